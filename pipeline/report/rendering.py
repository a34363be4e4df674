"""Our own SVG figures as PDF and PNG, drawn with matplotlib; so that each is designed once.

What our figures are made of is a small part of SVG: groups, rectangles, circles, text, and paths of
the commands M, L, H, V, h, v and Z. Anything else is an error, lest a part be lost unseen.
"""

import io
import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from pipeline.errors import check_installed

_INHERITED = ("fill", "stroke", "stroke-width", "stroke-dasharray", "font-size")
_PIXELS = 96  # to an inch, as in SVG
_POINT = 72 / _PIXELS  # points to a pixel
_PNG = 300  # dots to an inch
_ANCHORS = {"start": "left", "middle": "center", "end": "right"}


def render(svg: str, kind: str) -> bytes:
    """Return a figure of ours as ``pdf`` or ``png``.

    Raises:
        PipelineError: matplotlib is missing.
        ValueError: an SVG that has more than our figures do.
    """
    check_installed("matplotlib", kind.upper(), "plot")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    root = ElementTree.fromstring(svg)
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    figure = Figure(figsize=(width / _PIXELS, height / _PIXELS))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    _draw(axes, root, {}, 0.0)
    out = io.BytesIO()
    # No date, so that the same figure has the same bytes.
    metadata: dict[str, Any] = {"CreationDate": None} if kind == "pdf" else {"Software": None}
    figure.savefig(out, format=kind, dpi=_PNG, metadata=metadata, facecolor="white")
    return out.getvalue()


def _draw(axes: Any, element: ElementTree.Element, given: Mapping[str, str], down: float) -> None:
    """Draw an element and what is in it; ``down`` is by how much it is moved."""
    from matplotlib.patches import Circle, PathPatch, Rectangle

    name, own = element.tag.rpartition("}")[2], element.attrib
    style = {**given, **{key: own[key] for key in _INHERITED if key in own}}
    if name == "title":
        return
    if name in ("svg", "g"):
        moved = re.fullmatch(r"translate\(0 ([\d.]+)\)", own.get("transform", "translate(0 0)"))
        if moved is None:
            raise ValueError(f"transform {own['transform']!r} is none of our figures'")
        for child in element:
            _draw(axes, child, style, down + float(moved[1]))
        return
    place = {
        key: float(own[key]) for key in ("x", "y", "cx", "cy", "width", "height", "r") if key in own
    }
    if name == "text":
        turned = "rotate" in own.get("transform", "")
        axes.text(
            place["x"],
            place["y"] + down,
            # A dollar would begin a formula.
            (element.text or "").replace("$", r"\$"),
            color=style["fill"],
            fontsize=float(style["font-size"]) * _POINT,
            fontweight=own.get("font-weight", "normal"),
            ha=_ANCHORS[own.get("text-anchor", "start")],
            va="baseline",
            rotation=90 if turned else 0,
            rotation_mode="anchor",
        )
        return
    fill, stroke = style.get("fill", "#000"), style.get("stroke", "none")
    look: dict[str, Any] = {
        "facecolor": fill,
        "edgecolor": stroke,
        "linewidth": float(style.get("stroke-width", 1)) * _POINT if stroke != "none" else 0,
        "alpha": float(own.get("opacity", 1)),
        "antialiased": True,
    }
    if "stroke-dasharray" in style:
        dashes = [float(d) * _POINT for d in style["stroke-dasharray"].split()]
        look["linestyle"] = (0, dashes)
    if name == "rect":
        corner = (place.get("x", 0.0), place.get("y", 0.0) + down)
        axes.add_patch(Rectangle(corner, place["width"], place["height"], **look))
    elif name == "circle":
        axes.add_patch(Circle((place["cx"], place["cy"] + down), place["r"], **look))
    elif name == "path":
        path = _path(own["d"], down)
        if path is not None:
            axes.add_patch(PathPatch(path, **look, capstyle="butt"))
    else:
        raise ValueError(f"<{name}> is none of our figures'")


def _path(text: str, down: float) -> Any:
    """Return a path of matplotlib, None for an empty one."""
    from matplotlib.path import Path

    points: list[tuple[float, float]] = []
    codes: list[Any] = []
    x = y = 0.0
    begin = (0.0, 0.0)
    for command, numbers in re.findall(r"([A-Za-z])([^A-Za-z]*)", text):
        values = [float(v) for v in re.findall(r"-?[\d.]+", numbers)]
        if command in "ML":
            x, y = values
        elif command in "Hh":
            x = values[0] + (x if command == "h" else 0)
        elif command in "Vv":
            y = values[0] + (y if command == "v" else 0)
        elif command not in "Zz":
            raise ValueError(f"the command {command} of a path is none of our figures'")
        if command == "M":
            begin = (x, y)
        if command in "Zz":
            x, y = begin
        points.append((x, y + down))
        codes.append(
            {"M": Path.MOVETO}.get(command, Path.CLOSEPOLY if command in "Zz" else Path.LINETO)
        )
    return Path(points, codes) if points else None

"""Attention maps as pictures: a grid of layers and heads, the change over steps, boards."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import check_installed

if TYPE_CHECKING:
    from pipeline.lab.sharpening import Sharpening

_MANY = 30  # labels an axis takes; from there on every few


def check_pictures() -> None:
    """See that there is what draws pictures.

    Raises:
        PipelineError: matplotlib is missing.
    """
    check_installed("matplotlib", "a picture", "plot")


def _figure(width: float, height: float) -> Any:
    check_pictures()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def grid_png(found: np.ndarray, symbols: list[str] | None, title: str) -> bytes:
    """Draw the maps ``(layers, H, T, T)`` of one model, a panel for each layer and head.

    Args:
        symbols: of the string, its end left out; None where maps are averaged over several.
    """
    layers, heads, T, _ = found.shape
    side = 3.4 if T <= _MANY else 4.4
    figure = _figure(side * heads + 0.8, side * layers + 0.9)
    panels = figure.subplots(layers, heads, squeeze=False)
    image = None
    for layer in range(layers):
        for head in range(heads):
            panel = panels[layer, head]
            image = panel.imshow(found[layer, head], cmap="magma_r", vmin=0, vmax=1)
            panel.set_title(f"layer {layer + 1}, head {head + 1}", fontsize=9)
            _label(panel, T, symbols, first=head == 0, last=layer == layers - 1)
    figure.colorbar(image, ax=panels, shrink=0.6, label="attention weight")
    figure.suptitle(title, fontsize=11)
    return _png(figure)


def change_png(by_step: dict[int, np.ndarray], row: int, symbols: list[str] | None) -> bytes:
    """Draw what the writing of one position looks at, over the steps: a panel for each layer.

    Each line of a panel is a head at a step, each column a position looked at.

    Args:
        by_step: the maps ``(layers, H, T, T)`` by step.
        row: the position that is written, 1-based.
    """
    steps = sorted(by_step)
    layers, heads, _, _ = by_step[steps[0]].shape
    width = max(5.0, 0.19 * row + 2)
    figure = _figure(width, layers * (0.22 * heads * len(steps) + 0.9) + 0.5)
    panels = figure.subplots(layers, 1, squeeze=False)[:, 0]
    for layer, panel in enumerate(panels):
        lines = [by_step[s][layer, h, row - 1, :row] for h in range(heads) for s in steps]
        panel.imshow(np.array(lines), cmap="magma_r", vmin=0, vmax=1, aspect="auto")
        names = [f"head {h + 1}, step {s:,}" for h in range(heads) for s in steps]
        panel.set_yticks(range(len(names)), names, fontsize=6)
        for h in range(1, heads):
            panel.axhline(h * len(steps) - 0.5, color="#888888", linewidth=0.6)
        _columns(panel, row, symbols)
        panel.set_title(f"layer {layer + 1}: what writing position {row} looks at", fontsize=9)
    return _png(figure)


def board_png(
    by_step: dict[int, np.ndarray],
    cell: int,
    side: int,
    blocking: np.ndarray,
    ones: np.ndarray | None,
) -> bytes:
    """Draw the attention of one cell on the board: a row of panels for each step and layer.

    Args:
        by_step: the maps by step; row ``cell`` of each is that cell's.
        cell: 0-based, in the order in which the board is filled.
        blocking: bool ``(side^2,)``, the cells where a 1 rules one out here; outlined.
        ones: bool ``(side^2,)``, where the board has 1s, dotted; None where it is an average.
    """
    steps = sorted(by_step)
    layers, heads, _, _ = by_step[steps[0]].shape
    lines = [(step, layer) for step in steps for layer in range(layers)]
    figure = _figure(2.5 * heads + 0.8, 2.7 * len(lines) + 0.5)
    panels = figure.subplots(len(lines), heads, squeeze=False)
    image = None
    for i, (step, layer) in enumerate(lines):
        for head in range(heads):
            panel = panels[i, head]
            row = by_step[step][layer, head, cell]
            top = max(float(row[1 : cell + 1].max(initial=0.0)), 1e-9)
            image = _board(panel, row, side, cell, blocking, ones, top)
            panel.set_title(
                f"step {step:,}, layer {layer + 1}, head {head + 1}\nlargest {top:.2f}", fontsize=7
            )
    figure.colorbar(image, ax=panels, shrink=0.5, label="weight, as a share of the panel's largest")
    figure.suptitle(
        f"what cell {cell // side + 1},{cell % side + 1} (green) looks at; outlined: a 1 there "
        "forbids one here",
        fontsize=9,
    )
    return _png(figure)


def sharpening_png(shown: Sequence["Sharpening"]) -> bytes:
    """Draw what a head looks at early and late in training, a line of panels for each experiment.

    Rows are the positions written and columns those looked at, or the cells of a board.
    """
    figure = _figure(2 * 3.6 + 0.8, 3.7 * len(shown))
    panels = figure.subplots(len(shown), 2, squeeze=False)
    image = None
    for line, one in zip(panels, shown, strict=True):
        for panel, stage in zip(line, (one.early, one.late), strict=True):
            if one.board is None:
                image = panel.imshow(stage.map, cmap="magma_r", vmin=0, vmax=1)
                _label(panel, len(stage.map), one.symbols, first=True, last=True)
            else:
                side, cell, blocking = one.board
                ones = np.array([symbol == "1" for symbol in one.symbols])
                image = _board(panel, stage.map[cell], side, cell, blocking, ones, top=1.0)
            panel.set_title(
                f"{one.name}, step {stage.step:,}\nlayer {one.layer + 1}, head {one.head + 1}: "
                f"{stage.weight:.2f} on what decides",
                fontsize=8,
            )
    figure.colorbar(image, ax=panels, shrink=0.4, label="attention weight")
    return _png(figure)


def _board(
    panel: Any,
    row: np.ndarray,
    side: int,
    cell: int,
    blocking: np.ndarray,
    ones: np.ndarray | None,
    top: float,
) -> Any:
    """Draw on a board what the writing of a cell looks at, ``(cell + 1,)`` or more; see above."""
    shown = np.full(side * side, np.nan)
    shown[:cell] = row[1 : cell + 1]
    image = panel.imshow(shown.reshape(side, side) / top, cmap="magma_r", vmin=0, vmax=1)
    panel.set_facecolor("#d8d8d8")
    for place in np.flatnonzero(blocking[:cell]).tolist():
        _outline(panel, place, side, "#0072b2", 1.4)
    _outline(panel, cell, side, "#009e73", 2.4)
    if ones is not None:
        for place in np.flatnonzero(ones[:cell]).tolist():
            panel.plot(place % side, place // side, "o", color="#0072b2", markersize=3)
    panel.set_xticks(range(side), range(1, side + 1), fontsize=6)
    panel.set_yticks(range(side), range(1, side + 1), fontsize=6)
    return image


def _label(panel: Any, T: int, symbols: list[str] | None, first: bool, last: bool) -> None:
    """Name rows by what is written, columns by what is looked at."""
    _columns(panel, T, symbols)
    gap = _gap(T)
    places = range(0, T, gap)
    names = [str(t + 1) for t in places]
    if symbols is not None:
        written = [*symbols, "end"]
        names = [f"{t + 1}: {written[t]}" for t in places]
    panel.set_yticks(places, names, fontsize=5 if gap == 1 else 6)
    if first:
        panel.set_ylabel("position written", fontsize=8)
    if last:
        panel.set_xlabel("position looked at (^ the beginning)", fontsize=8)


def _columns(panel: Any, T: int, symbols: list[str] | None) -> None:
    gap = _gap(T)
    places = range(0, T, gap)
    names = ["^" if t == 0 else str(t) for t in places]
    if symbols is not None:
        read = ["^", *symbols]
        names = ["^" if t == 0 else f"{t}: {read[t]}" for t in places]
    panel.set_xticks(places, names, fontsize=5 if gap == 1 else 6, rotation=90)


def _gap(T: int) -> int:
    return 1 if T <= 45 else 2 if T <= 90 else 5


def _outline(panel: Any, place: int, side: int, colour: str, width: float) -> None:
    from matplotlib.patches import Rectangle

    corner = (place % side - 0.5, place // side - 0.5)
    panel.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=colour, linewidth=width))


def _png(figure: Any) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110)
    return out.getvalue()

"""Curves as an SVG figure, such as best score over CPU seconds: a panel for each chart.

Colours are of the palette of M. Okabe and K. Ito (2008), which colour-blind readers can tell apart,
those of it that stand out from white and from near-black alike; dashes tell lines apart too. The
background is left transparent and the text a middle grey, so that either page suits it; each line
has a class, by which the style sheet of a page can give it another colour.
"""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

_COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#7f7f7f")
_DASHES = ("", "6 3", "2 3", "8 3 2 3")
#: Of text and axes; it stands out from white and from near-black.
GREY = "#737373"
_WIDTH, _HEIGHT = 360, 250  # of a panel
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 30, 42  # its margins
_LETTER = 6.6  # width of a letter, generously
_ENTRY = 28  # width of a line in the legend, with its gaps
_LONGEST = 44  # letters of a name that are shown
_DOTS = 40  # points of a line that are also drawn as dots


class Line(NamedTuple):
    """One curve: (x, lowest, middle, highest) at each change, x rising; a band if they differ."""

    name: str
    points: Sequence[tuple[float, float, float, float]]


class Chart(NamedTuple):
    """One panel; unless told otherwise, best scores as steps over CPU seconds."""

    title: str
    lines: Sequence[Line]
    target: int | None = None  # drawn as a dotted line
    across: str = "CPU seconds"
    up: str = "best score"
    logarithmic: bool = True  # the axis across
    whole: bool = True  # the axis up goes by whole numbers
    steps: bool = True  # a value holds until the next; otherwise they are joined
    limits: tuple[float, float] | None = None  # of the axis up
    goal: str = "target"  # what the dotted line is


def plain(name: str, points: Sequence[tuple[float, float | None]]) -> Line:
    """Return a line without a band; where there is no value it has no point."""
    return Line(name, [(x, y, y, y) for x, y in points if y is not None])


def curves_svg(charts: Sequence[Chart], label: str) -> str:
    """Draw charts side by side, two in a row, under one legend.

    Args:
        charts: at least one; the same name has the same colour in all of them.
        label: what the figure shows, for those who cannot see it.
    """
    names = list(dict.fromkeys(line.name for chart in charts for line in chart.lines))
    columns = min(len(charts), 2)
    width = columns * _WIDTH
    legend, top = _legend(names, width)
    height = top + -(-len(charts) // columns) * _HEIGHT
    panels = "".join(
        _panel(chart, names, i % columns * _WIDTH, top + i // columns * _HEIGHT)
        for i, chart in enumerate(charts)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}" '
        f'font-family="system-ui, sans-serif" font-size="11" fill="{GREY}">'
        f"<title>{escape(label)}</title>{legend}{panels}</svg>\n"
    )


def _style(names: Sequence[str], name: str) -> str:
    cycle, place = divmod(names.index(name), len(_COLOURS))
    # Lines that lie on each other can be told apart, and so can colours by those who see few.
    dash = _DASHES[(place + cycle) % len(_DASHES)]
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'class="line{place}" stroke="{_COLOURS[place]}" stroke-width="1.8" fill="none"{dashed}'


def _legend(names: Sequence[str], width: int) -> tuple[str, int]:
    """Return the legend, wrapped into rows, and the y below it."""
    drawn, x, y = "", 10.0, 16
    for name in names:
        shown = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
        room = _ENTRY + len(shown) * _LETTER
        if x > 10 and x + room > width - 10:
            x, y = 10.0, y + 18
        drawn += f'<path d="M{x:g} {y - 4}h20" {_style(names, name)}/>'
        drawn += text_svg(x + 24, y, shown)
        x += room + 14
    return drawn, y + 6


def _panel(chart: Chart, names: Sequence[str], x0: float, y0: float) -> str:
    """Draw a panel whose upper left corner is (x0, y0)."""
    left, right = x0 + _LEFT, x0 + _WIDTH - _RIGHT
    top, bottom = y0 + _TOP, y0 + _HEIGHT - _BOTTOM
    drawn = text_svg(left, y0 + 18, chart.title, weight="bold")
    points = [point for line in chart.lines for point in line.points]
    if not points:
        return drawn + text_svg(left, top + 20, f"no trace of {chart.across}")
    moments = [point[0] for point in points]
    first, last = _time_range(moments) if chart.logarithmic else (min(moments), max(moments))
    low, high = chart.limits or _score_range(chart, points)

    def across(x: float) -> float:
        if chart.logarithmic:
            share = math.log(max(x, first) / first) / math.log(last / first)
        else:
            share = (x - first) / (last - first) if last > first else 0.5
        return left + share * (right - left)

    def up(score: float) -> float:
        return bottom - (score - low) / (high - low) * (bottom - top)

    for score in ticks(low, high, chart.whole):
        drawn += f'<path d="M{left:g} {up(score):.1f}H{right:g}" stroke="{GREY}" opacity=".25"/>'
        drawn += text_svg(left - 6, up(score) + 4, f"{score:g}", "end")
    for x in _time_ticks(first, last) if chart.logarithmic else ticks(first, last, whole=True):
        drawn += f'<path d="M{across(x):.1f} {bottom:g}v4" stroke="{GREY}"/>'
        drawn += text_svg(across(x), bottom + 16, f"{x:g}", "middle")
    drawn += f'<path d="M{left:g} {top:g}V{bottom:g}H{right:g}" stroke="{GREY}" fill="none"/>'
    drawn += text_svg((left + right) / 2, bottom + 32, chart.across, "middle")
    drawn += text_svg(x0 + 12, (top + bottom) / 2, chart.up, "middle", turned=True)
    if chart.target is not None:
        y = up(chart.target)
        drawn += f'<path d="M{left:g} {y:.1f}H{right:g}" stroke="{GREY}" stroke-dasharray="1 3"/>'
        drawn += text_svg(right - 2, y - 4, f"{chart.goal} {chart.target}", "end")
    placed = [
        (line, [(across(x), *map(up, scores)) for x, *scores in line.points])
        for line in chart.lines
        if line.points
    ]
    for line, rows in placed:
        if any(lowest != highest for _, lowest, _, highest in line.points):
            place = names.index(line.name) % len(_COLOURS)
            drawn += (
                f'<path class="band{place}" d="{_band(rows)}" fill="{_COLOURS[place]}" '
                'opacity=".15"/>'
            )
    draw = _steps if chart.steps else _joined
    for line, rows in placed:
        path = draw([(x, y) for x, _, y, _ in rows])
        drawn += f'<path d="{path}" {_style(names, line.name)}/>'
        if len(rows) <= _DOTS:
            drawn += "".join(
                _dot(names, line.name, x, y, f"{line.name}: {middle:.4g} at {chart.across} {at:g}")
                for (x, _, y, _), (at, _, middle, _) in zip(rows, line.points, strict=True)
            )
    return drawn


def _score_range(chart: Chart, points: Sequence[tuple[float, ...]]) -> tuple[float, float]:
    """Return the ends of the axis up, with some room above and below."""
    goal = [] if chart.target is None else [chart.target]
    low = min([point[1] for point in points] + goal)
    high = max([point[3] for point in points] + goal)
    # Real values, such as losses, have the scale they need; scores go by whole numbers.
    room = (
        (high - low) / 8
        if not chart.whole and high > low
        else max(1 if high - low < 2 else 0.5, (high - low) / 20)
    )
    return low - room, high + room


def _dot(names: Sequence[str], name: str, x: float, y: float, told: str) -> str:
    place = names.index(name) % len(_COLOURS)
    return (
        f'<circle class="dot{place}" cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{_COLOURS[place]}">'
        f"<title>{escape(told)}</title></circle>"
    )


def _joined(points: Sequence[tuple[float, float]]) -> str:
    """Return the path from point to point."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _steps(points: Sequence[tuple[float, float]], begin: str = "M") -> str:
    """Return the path that holds each height until the next point's x."""
    (x, y), *rest = points
    return f"{begin}{x:.1f} {y:.1f}" + "".join(f"H{x:.1f}V{y:.1f}" for x, y in rest)


def _band(rows: Sequence[tuple[float, ...]]) -> str:
    """Return the outline between the lowest and the highest, both of them steps."""
    (x, low), *rest = [(x, low) for x, low, _, _ in reversed(rows)]
    back = f"L{x:.1f} {low:.1f}" + "".join(f"V{y:.1f}H{x:.1f}" for x, y in rest)
    return f"{_steps([(x, high) for x, _, _, high in rows])}{back}Z"


def text_svg(
    x: float, y: float, text: str, anchor: str = "start", weight: str = "", turned: bool = False
) -> str:
    """Return a piece of text; ``turned`` by a quarter, to be read from the right."""
    more = f' font-weight="{weight}"' if weight else ""
    more += f' transform="rotate(-90 {x:g} {y:g})"' if turned else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'


def _time_range(moments: Sequence[float]) -> tuple[float, float]:
    """Return the ends of a logarithmic axis; what came before a hundredth second is moved there."""
    last = max(max(moments), 0.1)
    first = max(min(moments), last / 10_000, 0.01)
    return min(first, last / 10), last


def _time_ticks(first: float, last: float) -> list[float]:
    """Return 1, 2, 5, 10, ... within the ends of the axis, or their powers of ten if many."""
    exponents = range(math.floor(math.log10(first)), math.ceil(math.log10(last)) + 1)
    steps = (1, 2, 5) if last / first < 1000 else (1,)
    ticks = [step * 10.0**k for k in exponents for step in steps]
    return [tick for tick in ticks if first <= tick <= last]


def ticks(low: float, high: float, whole: bool = False) -> list[float]:
    """Return round numbers between two, eight at most; ``whole`` numbers alone if asked."""
    least = 0 if whole else -6
    step = next(
        s * 10.0**k
        for k in range(least, 13)
        for s in (1, 2, 5)
        if (high - low) / (s * 10.0**k) <= 8
    )
    return [round(k * step, 9) for k in range(math.ceil(low / step), math.floor(high / step) + 1)]

"""Best score over CPU seconds as an SVG figure: a panel for each size, a step line for each arm.

Colours are of the palette of M. Okabe and K. Ito (2008), which colour-blind readers can tell apart,
those of it that stand out from white and from near-black alike; a second cycle is dashed. The
background is left transparent and the text a middle grey, so that either page suits it.
"""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

_COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#7f7f7f")
_DASHES = ("", "6 3", "2 3", "8 3 2 3")
_GREY = "#737373"
_WIDTH, _HEIGHT = 360, 250  # of a panel
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 30, 42  # its margins
_LETTER = 6.6  # width of a letter, generously
_ENTRY = 28  # width of a line in the legend, with its gaps
_LONGEST = 44  # letters of a name that are shown


class Line(NamedTuple):
    """One arm: (CPU seconds, lowest, median, highest best so far) at each change, rising."""

    name: str
    points: Sequence[tuple[float, float, float, float]]


class Chart(NamedTuple):
    """One panel."""

    title: str
    lines: Sequence[Line]
    target: int | None = None  # drawn as a dotted line


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
        f'font-family="system-ui, sans-serif" font-size="11" fill="{_GREY}">'
        f"<title>{escape(label)}</title>{legend}{panels}</svg>\n"
    )


def _style(names: Sequence[str], name: str) -> str:
    cycle, place = divmod(names.index(name), len(_COLOURS))
    dash = _DASHES[cycle % len(_DASHES)]
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'stroke="{_COLOURS[place]}" stroke-width="1.8" fill="none"{dashed}'


def _legend(names: Sequence[str], width: int) -> tuple[str, int]:
    """Return the legend, wrapped into rows, and the y below it."""
    drawn, x, y = "", 10.0, 16
    for name in names:
        shown = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
        room = _ENTRY + len(shown) * _LETTER
        if x > 10 and x + room > width - 10:
            x, y = 10.0, y + 18
        drawn += f'<path d="M{x:g} {y - 4}h20" {_style(names, name)}/>'
        drawn += _text(x + 24, y, shown)
        x += room + 14
    return drawn, y + 6


def _panel(chart: Chart, names: Sequence[str], x0: float, y0: float) -> str:
    """Draw a panel whose upper left corner is (x0, y0)."""
    left, right = x0 + _LEFT, x0 + _WIDTH - _RIGHT
    top, bottom = y0 + _TOP, y0 + _HEIGHT - _BOTTOM
    drawn = _text(left, y0 + 18, chart.title, weight="bold")
    points = [point for line in chart.lines for point in line.points]
    if not points:
        return drawn + _text(left, top + 20, "no trace of CPU seconds")
    first, last = _time_range([point[0] for point in points])
    goal = [] if chart.target is None else [chart.target]
    low = min([point[1] for point in points] + goal) - 0.5
    high = max([point[3] for point in points] + goal) + 0.5

    def across(cpu: float) -> float:
        share = math.log(max(cpu, first) / first) / math.log(last / first)
        return left + share * (right - left)

    def up(score: float) -> float:
        return bottom - (score - low) / (high - low) * (bottom - top)

    for score in _whole_ticks(low, high):
        drawn += f'<path d="M{left:g} {up(score):.1f}H{right:g}" stroke="{_GREY}" opacity=".25"/>'
        drawn += _text(left - 6, up(score) + 4, str(score), "end")
    for cpu in _time_ticks(first, last):
        drawn += f'<path d="M{across(cpu):.1f} {bottom:g}v4" stroke="{_GREY}"/>'
        drawn += _text(across(cpu), bottom + 16, f"{cpu:g}", "middle")
    drawn += f'<path d="M{left:g} {top:g}V{bottom:g}H{right:g}" stroke="{_GREY}" fill="none"/>'
    drawn += _text((left + right) / 2, bottom + 32, "CPU seconds", "middle")
    drawn += _text(x0 + 12, (top + bottom) / 2, "best, points", "middle", turned=True)
    if chart.target is not None:
        y = up(chart.target)
        drawn += f'<path d="M{left:g} {y:.1f}H{right:g}" stroke="{_GREY}" stroke-dasharray="1 3"/>'
        drawn += _text(right - 2, y - 4, f"target {chart.target}", "end")
    placed = [
        (line.name, [(across(cpu), *map(up, scores)) for cpu, *scores in line.points])
        for line in chart.lines
        if line.points
    ]
    for name, rows in placed:
        colour = _COLOURS[names.index(name) % len(_COLOURS)]
        drawn += f'<path d="{_band(rows)}" fill="{colour}" opacity=".15"/>'
    for name, rows in placed:
        drawn += f'<path d="{_steps([(x, y) for x, _, y, _ in rows])}" {_style(names, name)}/>'
    return drawn


def _steps(points: Sequence[tuple[float, float]], begin: str = "M") -> str:
    """Return the path that holds each height until the next point's x."""
    (x, y), *rest = points
    return f"{begin}{x:.1f} {y:.1f}" + "".join(f"H{x:.1f}V{y:.1f}" for x, y in rest)


def _band(rows: Sequence[tuple[float, ...]]) -> str:
    """Return the outline between the lowest and the highest, both of them steps."""
    (x, low), *rest = [(x, low) for x, low, _, _ in reversed(rows)]
    back = f"L{x:.1f} {low:.1f}" + "".join(f"V{y:.1f}H{x:.1f}" for x, y in rest)
    return f"{_steps([(x, high) for x, _, _, high in rows])}{back}Z"


def _text(
    x: float, y: float, text: str, anchor: str = "start", weight: str = "", turned: bool = False
) -> str:
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


def _whole_ticks(low: float, high: float) -> list[int]:
    """Return whole numbers between two, eight at most."""
    step = next(s * 10**k for k in range(12) for s in (1, 2, 5) if (high - low) / (s * 10**k) <= 8)
    return list(range(math.ceil(low / step) * step, math.floor(high) + 1, step))

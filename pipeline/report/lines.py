"""Lines over a common axis as an SVG figure, for either page: text a middle grey, no background.

Colours are of the palette of M. Okabe and K. Ito (2008); a second cycle is dashed.
"""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

_COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#7f7f7f")
_DASHES = ("", "6 3", "2 3", "8 3 2 3")
_GREY = "#737373"
_WIDTH, _HEIGHT = 520, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 26, 26, 40
_ROW = 16


class Series(NamedTuple):
    """A line: as many heights as places, the places rising."""

    name: str
    places: Sequence[float]
    heights: Sequence[float]


def lines_svg(
    series: Sequence[Series],
    title: str,
    along: str,
    *,
    low: float | None = None,
    high: float | None = None,
    shares: bool = False,
) -> str:
    """Draw lines in one panel, named below it.

    Args:
        along: what the axis along the bottom counts.
        low, high: ends of the other axis; by default those of the heights.
        shares: write heights as percentages.
    """
    heights = [y for line in series for y in line.heights]
    low = min(heights, default=0.0) if low is None else low
    high = max(heights, default=1.0) if high is None else high
    high = high if high > low else low + 1
    most = max((x for line in series for x in line.places), default=1) or 1
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def across(x: float) -> float:
        return _LEFT + x / most * (right - _LEFT)

    def up(y: float) -> float:
        return bottom - (y - low) / (high - low) * (bottom - _TOP)

    drawn = _text(_LEFT, 16, title, weight="bold")
    for k in range(5):
        y = low + (high - low) * k / 4
        drawn += f'<path d="M{_LEFT} {up(y):.1f}H{right}" stroke="{_GREY}" opacity=".25"/>'
        drawn += _text(_LEFT - 6, up(y) + 4, f"{100 * y:.0f} %" if shares else f"{y:.3g}", "end")
        x = most * k / 4
        drawn += _text(across(x), bottom + 16, f"{x:,.0f}", "middle")
    drawn += f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" stroke="{_GREY}" fill="none"/>'
    drawn += _text((_LEFT + right) / 2, bottom + 32, along, "middle")
    for i, line in enumerate(series):
        points = " ".join(
            f"{across(x):.1f},{up(y):.1f}" for x, y in zip(line.places, line.heights, strict=True)
        )
        drawn += f'<polyline points="{points}" {_style(i)}/>'
        y = _HEIGHT + _ROW * i + 8
        drawn += f'<path d="M{_LEFT} {y - 4}h22" {_style(i)}/>{_text(_LEFT + 28, y, line.name)}'
    height = _HEIGHT + _ROW * len(series) + 6
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title)}" '
        f'font-family="system-ui, sans-serif" font-size="11" fill="{_GREY}">{drawn}</svg>'
    )


def _style(i: int) -> str:
    cycle, place = divmod(i, len(_COLOURS))
    dash = _DASHES[cycle % len(_DASHES)]
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'stroke="{_COLOURS[place]}" stroke-width="1.8" fill="none"{dashed}'


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "") -> str:
    more = f' font-weight="{weight}"' if weight else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'

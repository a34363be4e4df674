"""Graphs as pictures: vertices on a circle and edges between them, or a matrix of characters."""

from collections.abc import Sequence
from html import escape
from math import cos, pi, sin

import numpy as np

from pipeline.core.ground_set import GroundSet

_SIZE = 480  # pixels of a side
_ROOM = 24  # pixels around the circle, for the numbers
_NAMED = 64  # vertices, of which each has its number beside it
_SWAPS = 400


def graph_svg(
    ground: GroundSet,
    points: np.ndarray,
    *,
    added: Sequence[int] = (),
    removed: Sequence[int] = (),
    label: str = "",
) -> str:
    """Draw the graph with the edges ``points`` (k,) as an SVG document.

    Args:
        added: edges of ``points`` to draw in another colour.
        removed: edges not of ``points`` to draw dashed.
        label: what it shows.  Default: the number of edges.
    """
    places = vertex_places(ground, points)
    centre, radius = _SIZE / 2, _SIZE / 2 - _ROOM
    dot = max(2.0, min(6.0, 60 / ground.n))
    label = label or f"{len(points)} edges"

    def pixel(v: int, far: float = radius) -> tuple[float, float]:
        turn = 2 * pi * places[v] / ground.n
        return centre + far * sin(turn), centre - far * cos(turn)

    def lines(edges: Sequence[int]) -> str:
        ends = [[pixel(v) for v in pair] for pair in ground.coords[list(edges)].tolist()]
        return "".join(f"M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}" for (a, b), (c, d) in ends)

    plain = sorted(set(points.tolist()) - set(added))
    drawn = (
        f'<path class="edges" d="{lines(plain)}" stroke="#14508c" stroke-width="1.3" fill="none"/>'
    )
    if len(added):
        drawn += (
            f'<path class="added" d="{lines(added)}" stroke="#009e73" stroke-width="2" '
            'fill="none"/>'
        )
    if len(removed):
        drawn += (
            f'<path class="removed" d="{lines(removed)}" stroke="#d55e00" stroke-width="1.5" '
            'stroke-dasharray="6 4" fill="none"/>'
        )
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{dot:g}"/>' for x, y in map(pixel, range(ground.n))
    )
    names = ""
    if ground.n <= _NAMED:
        beside = ((v, *pixel(v, radius + _ROOM / 2)) for v in range(ground.n))
        names = "".join(f'<text x="{x:.1f}" y="{y + 3.5:.1f}">{v}</text>' for v, x, y in beside)
        names = (
            '<g class="names" fill="#555" font-family="sans-serif" font-size="10" '
            f'text-anchor="middle">{names}</g>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="graph" width="{_SIZE}" height="{_SIZE}" '
        f'viewBox="0 0 {_SIZE} {_SIZE}" role="img" aria-label="{escape(label)}">'
        f"<title>{escape(label)}</title>"
        f'<rect class="paper" width="{_SIZE}" height="{_SIZE}" fill="#fff"/>'
        f'{drawn}<g class="points" fill="#14508c">{dots}</g>{names}</svg>\n'
    )


def graph_tikz(ground: GroundSet, points: np.ndarray) -> str:
    """Draw the graph with the edges ``points`` (k,) as a ``tikzpicture``."""
    places = vertex_places(ground, points)
    turns = 90 - 360 * places / ground.n
    vertices = "\n".join(
        f"  \\node[circle, fill, inner sep=1.2pt, label={turns[v]:.1f}:{{\\tiny {v}}}] "
        f"(v{v}) at ({turns[v]:.3f}:3) {{}};"
        for v in range(ground.n)
    )
    edges = "\n".join(f"  \\draw (v{a}) -- (v{b});" for a, b in ground.coords[points].tolist())
    return f"\\begin{{tikzpicture}}\n{vertices}\n{edges}\n\\end{{tikzpicture}}\n"


def graph_text(ground: GroundSet, points: np.ndarray) -> str:
    """Write the adjacency matrix, a row for each vertex from 0 on."""
    matrix = np.full((ground.n, ground.n), "·")
    a, b = ground.coords[points].T
    matrix[a, b] = matrix[b, a] = "●"
    return "\n".join(" ".join(row) for row in matrix)


def vertex_places(ground: GroundSet, points: np.ndarray) -> np.ndarray:
    """Return where each vertex stands on the circle, int ``(n,)``, a permutation of 0 .. n - 1.

    In their order where a rotation of it leaves the graph as it is, so that this is seen. Others
    begin in order and change places in twos, whichever shortens the edges most.
    """
    n = ground.n
    places = np.arange(n)
    edges = np.zeros((n, n))
    a, b = ground.coords[points].T
    edges[a, b] = edges[b, a] = 1
    if any((np.roll(edges, (k, k), (0, 1)) == edges).all() for k in range(1, n // 2 + 1)):
        return places
    apart = np.abs(places[:, None] - places)
    apart = np.minimum(apart, n - apart).astype(np.float64)
    for _ in range(_SWAPS):
        # cost[v, w]: of the edges of v, were it where w is.
        cost = (edges @ apart[places])[:, places]
        now = np.diag(cost)
        gain = cost + cost.T - now[:, None] - now + 2 * edges * apart[places][:, places]
        v, w = np.unravel_index(np.argmin(gain), gain.shape)
        if gain[v, w] >= 0:
            break
        places[[v, w]] = places[[w, v]]
    return places

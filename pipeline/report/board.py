"""Constructions as pictures: boards in text and SVG, their axes of symmetry, heat maps.

What an SVG here is drawn in are attributes, so that it looks right alone in any program, and each
part has a class, by which the style sheet of a page gives it other colours.
"""

from collections.abc import Sequence
from html import escape

import numpy as np

_ROOM = 640  # pixels that the longer side of a board may take
_CELL = (6, 24)  # pixels of a cell, at least and at most
_WIDEST = 512  # cells to a side that can be told apart
_LAYERS = 6  # of a space, side by side
_MARGIN = 1
LEVELS = 10  # of a heat map
_FIT = 1e-9

#: The ends of an axis of symmetry: row, column, row, column.
Axis = tuple[float, float, float, float]


def is_board(coords: np.ndarray) -> bool:
    """Tell whether the elements are the cells of a full rectangle, from (0, 0)."""
    if coords.shape[1] != 2:
        return False
    rows, columns = (coords.max(axis=0) + 1).tolist()
    return bool(coords.min() == 0 and len(coords) == rows * columns)


def layout(coords: np.ndarray) -> np.ndarray | None:
    """Return a cell of the plane (row, column) for each element, from 0; None if there is none.

    A line is a row; a space is cut into layers by the first coordinate, side by side. With more
    coordinates the even and the odd ones give row and column, the first ones blocks of blocks.

    Args:
        coords: int ``(m, d)``.
    """
    places = coords.astype(np.int64) - coords.min(axis=0)
    if places.shape[1] == 1:
        places = np.hstack([np.zeros_like(places), places])
    elif places.shape[1] == 3:
        height, width = places[:, 1].max() + 2, places[:, 2].max() + 2
        down, across = np.divmod(places[:, 0], _LAYERS)
        places = np.stack([places[:, 1] + down * height, places[:, 2] + across * width], axis=1)
    elif places.shape[1] > 3:
        places = np.stack([_nested(places[:, ::2]), _nested(places[:, 1::2])], axis=1)
    if places.shape[1] != 2 or places.max() >= _WIDEST:
        return None
    return places


def _nested(places: np.ndarray) -> np.ndarray:
    """Return a place on a line for each row of coordinates: blocks of blocks, a gap between."""
    line, room = np.zeros(len(places), np.int64), 1
    for column in places.T[::-1]:
        line += column * room
        room *= int(column.max()) + 1
        room += 1
    return line


def board_text(coords: np.ndarray, points: np.ndarray) -> str | None:
    """Draw elements ``points`` (k,) on a board of characters; None when there is no board."""
    if not is_board(coords):
        return None
    rows, columns = coords.max(axis=0) + 1
    board = np.full((rows, columns), "·")
    board[coords[points, 0], coords[points, 1]] = "●"
    return "\n".join(" ".join(row) for row in board)


def board_svg(
    coords: np.ndarray,
    points: np.ndarray,
    *,
    added: Sequence[int] = (),
    removed: Sequence[int] = (),
    axes: Sequence[Axis] = (),
    label: str = "",
) -> str | None:
    """Draw elements ``points`` (k,) as an SVG document; None when there is no board.

    Args:
        added: elements of ``points`` to ring.
        removed: elements not of ``points`` to cross.
        axes: drawn as dashed lines.
        label: what it shows.  Default: the number of points.
    """
    places = layout(coords)
    if places is None:
        return None
    cell, width, height = _sizes(places)
    label = label or f"{len(points)} points"

    def centre(v: int) -> tuple[float, float]:
        return _pixel(float(places[v, 1]), cell), _pixel(float(places[v, 0]), cell)

    dots = "".join(
        f'<circle cx="{x:g}" cy="{y:g}" r="{cell * 0.36:g}"/>'
        for x, y in map(centre, np.sort(points).tolist())
    )
    more = ""
    if len(axes):
        lines = "".join(
            f"M{_pixel(c, cell):.1f} {_pixel(r, cell):.1f}L{_pixel(d, cell):.1f} "
            f"{_pixel(s, cell):.1f}"
            for r, c, s, d in axes
        )
        more += (
            f'<path class="axes" d="{lines}" stroke="#d55e00" stroke-width="1.5" '
            'stroke-dasharray="6 4" fill="none"/>'
        )
    if len(added):
        rings = "".join(
            f'<circle cx="{x:g}" cy="{y:g}" r="{cell * 0.45:g}"/>' for x, y in map(centre, added)
        )
        more += f'<g class="added" stroke="#009e73" stroke-width="2" fill="none">{rings}</g>'
    if len(removed):
        arm = cell * 0.28
        crosses = "".join(
            f"M{x - arm:.1f} {y - arm:.1f}L{x + arm:.1f} {y + arm:.1f}"
            f"M{x - arm:.1f} {y + arm:.1f}L{x + arm:.1f} {y - arm:.1f}"
            for x, y in map(centre, removed)
        )
        more += (
            f'<path class="removed" d="{crosses}" stroke="#d55e00" stroke-width="2" fill="none"/>'
        )
    return (
        f"{_opening(width, height, label, 'board')}"
        f'<rect class="paper" width="{width}" height="{height}" fill="#fff"/>'
        f'<path class="grid" d="{_grid(coords, places, cell)}" stroke="#ccc" stroke-width="1" '
        f'fill="none"/><g class="points" fill="#14508c">{dots}</g>{more}</svg>\n'
    )


def heatmap_svg(coords: np.ndarray, shares: np.ndarray, most: float, label: str) -> str | None:
    """Draw how often each element is used, the darker the more; None when there is no board.

    Args:
        shares: float ``(m,)`` in 0 .. 1.
        most: the share that is darkest.
        label: what it shows.
    """
    places = layout(coords)
    if places is None:
        return None
    cell, width, height = _sizes(places)
    found = np.rint(np.clip(shares / (most or 1), 0, 1) * LEVELS).astype(int)
    drawn = ""
    for level in range(1, LEVELS + 1):
        squares = "".join(
            f"M{c * cell + _MARGIN} {r * cell + _MARGIN}h{cell}v{cell}h-{cell}z"
            for r, c in places[found == level].tolist()
        )
        drawn += f'<path class="heat" d="{squares}" fill="#14508c" opacity="{level / LEVELS:g}"/>'
    return (
        f"{_opening(width, height, label, 'heatmap')}"
        f'<rect class="paper" width="{width}" height="{height}" fill="#fff"/>{drawn}'
        f'<path class="grid" d="{_grid(coords, places, cell)}" stroke="#ccc" stroke-width="1" '
        'fill="none"/></svg>\n'
    )


def geometry(coords: np.ndarray) -> dict[str, object] | None:
    """Return how a board is drawn, for a page that draws over it; None when there is no board."""
    places = layout(coords)
    if places is None:
        return None
    cell, width, height = _sizes(places)
    return {
        "cell": cell,
        "margin": _MARGIN,
        "width": width,
        "height": height,
        "rows": places[:, 0].tolist(),
        "columns": places[:, 1].tolist(),
        "plane": coords.shape[1] == 2 and is_board(coords - coords.min(axis=0)),
        "coords": coords.tolist(),
    }


def mirrors(coords: np.ndarray, rows: np.ndarray) -> list[Axis]:
    """Return the axes of the reflections of the plane among permutations of a board's elements.

    Others, such as those of a graph whose edges the elements are, are passed over.

    Args:
        coords: int ``(m, d)``; where d is not 2 there is nothing to find.
        rows: int ``(g, m)``, permutations.
    """
    axes: list[Axis] = []
    if coords.shape[1] != 2 or layout(coords) is None:
        return axes
    centre = coords.mean(axis=0)
    here = coords - centre
    reach = np.abs(here).max(axis=0) + 0.5
    for row in rows:
        there = here[row]
        matrix = np.linalg.lstsq(here, there, rcond=None)[0]
        straight = np.abs(here @ matrix - there).max() < _FIT * len(coords)
        if not straight or np.abs(matrix @ matrix.T - np.eye(2)).max() > _FIT * len(coords):
            continue
        if np.linalg.det(matrix) > 0:
            continue
        # A reflection: 2 u u^T - 1 for the unit vector u along its axis.
        along = (matrix + np.eye(2)) / 2
        u = along[np.argmax(np.abs(np.diag(along)))]
        u = u / np.linalg.norm(u)
        steps = [reach[i] / abs(u[i]) for i in range(2) if abs(u[i]) > _FIT]
        a, b = centre - u * min(steps), centre + u * min(steps)
        axes.append((*a.tolist(), *b.tolist()))
    return axes


def _sizes(places: np.ndarray) -> tuple[int, int, int]:
    """Return the pixels of a cell, and of the picture's width and height."""
    rows, columns = (places.max(axis=0) + 1).tolist()
    least, most = _CELL
    cell = max(least, min(most, _ROOM // max(rows, columns)))
    return cell, columns * cell + 2 * _MARGIN, rows * cell + 2 * _MARGIN


def _pixel(place: float, cell: int) -> float:
    """Return where the middle of a row or column is."""
    return place * cell + _MARGIN + cell / 2


def _grid(coords: np.ndarray, places: np.ndarray, cell: int) -> str:
    """Return the path of the lines between cells; of a board that is not full, a square each."""
    if not is_board(coords):
        return "".join(
            f"M{c * cell + _MARGIN} {r * cell + _MARGIN}h{cell}v{cell}h-{cell}z"
            for r, c in places.tolist()
        )
    rows, columns = (places.max(axis=0) + 1).tolist()
    lines = "".join(f"M1 {i * cell + 1}H{columns * cell + 1}" for i in range(rows + 1))
    return lines + "".join(f"M{j * cell + 1} 1V{rows * cell + 1}" for j in range(columns + 1))


def _opening(width: int, height: int, label: str, kind: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{kind}" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(label)}"><title>{escape(label)}</title>'
    )

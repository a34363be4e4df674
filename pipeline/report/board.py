"""Constructions as pictures: boards in text and SVG for ground sets that are plane grids."""

import numpy as np


def is_board(coords: np.ndarray) -> bool:
    """Tell whether the elements are the cells of a full rectangle, from (0, 0)."""
    if coords.shape[1] != 2:
        return False
    rows, columns = (coords.max(axis=0) + 1).tolist()
    return bool(coords.min() == 0 and len(coords) == rows * columns)


def board_text(coords: np.ndarray, points: np.ndarray) -> str | None:
    """Draw elements ``points`` (k,) on a board of characters; None when there is no board."""
    if not is_board(coords):
        return None
    rows, columns = coords.max(axis=0) + 1
    board = np.full((rows, columns), "·")
    board[coords[points, 0], coords[points, 1]] = "●"
    return "\n".join(" ".join(row) for row in board)


def board_svg(coords: np.ndarray, points: np.ndarray) -> str | None:
    """Draw elements ``points`` (k,) as an SVG document; None when there is no board."""
    if not is_board(coords):
        return None
    rows, columns = (coords.max(axis=0) + 1).tolist()
    cell = max(6, min(24, 640 // max(rows, columns)))
    width, height = columns * cell + 2, rows * cell + 2
    lines = "".join(f"M1 {i * cell + 1}H{width - 1}" for i in range(rows + 1))
    lines += "".join(f"M{j * cell + 1} 1V{height - 1}" for j in range(columns + 1))
    dots = "".join(
        f'<circle cx="{c * cell + 1 + cell / 2:g}" cy="{r * cell + 1 + cell / 2:g}" '
        f'r="{cell * 0.36:g}"/>'
        for r, c in coords[np.sort(points)].tolist()
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="{len(points)} points">'
        f'<rect width="{width}" height="{height}" fill="#fff"/>'
        f'<path d="{lines}" stroke="#ccc" stroke-width="1" fill="none"/>'
        f'<g fill="#14508c">{dots}</g></svg>\n'
    )

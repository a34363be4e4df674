"""What problems on the n x n grid share: cells as elements, the symmetries of the square."""

import numpy as np

from pipeline.core.ground_set import GroundSet
from pipeline.problem import helper


@helper
def read(array, i):
    """Return ``array[i]`` for an i known to be no end-relative index.

    Compiled code need not check for a negative index then, which takes a third off a hook.
    """
    return array[np.uint64(i)]


@helper
def bump(counts, slot, u, change):
    """Add ``change`` to the count of element u."""
    counts[np.uint64(slot[np.uint64(u)])] += change


@helper
def walk(at, cell, step, outside, counts, slot, change):
    """Add ``change`` to the count of each element from ``cell`` on, until the grid ends."""
    u = read(at, cell)
    while u != outside:
        bump(counts, slot, u, change)
        cell += step
        u = read(at, cell)


def padded(n: int) -> np.ndarray:
    """Return the element of each cell of the grid padded by n - 1 on each side, n * n outside.

    int32 ``(3n - 2, 3n - 2)``: a step between two cells of the grid never leaves it.
    """
    at = np.full((3 * n - 2, 3 * n - 2), n * n, np.int32)
    at[n - 1 : 2 * n - 1, n - 1 : 2 * n - 1] = np.arange(n * n).reshape(n, n)
    return at


def square_grid(n: int) -> GroundSet:
    """Return the n x n grid; element ``r * n + c`` is the cell in row r and column c (0-based).

    For problems that translations and the symmetries of the square keep.

    The group is the dihedral group of the square (order 8; fewer at n = 1, where the
    permutations coincide). Its classes carry their names: mirror (in a vertical or
    horizontal axis), diagonal, half-turn, both-mirrors, both-diagonals, quarter-turn, all.
    """
    r, c = (axis.ravel().astype(np.int32) for axis in np.indices((n, n)))
    e = n - 1
    images = [
        (r, c),  # 0 identity
        (c, e - r),  # 1 quarter turn
        (e - r, e - c),  # 2 half turn
        (e - c, r),  # 3 quarter turn back
        (r, e - c),  # 4 mirror, left and right exchanged
        (e - r, c),  # 5 mirror, top and bottom exchanged
        (c, r),  # 6 main diagonal
        (e - c, e - r),  # 7 other diagonal
    ]
    group = np.stack([row * n + column for row, column in images]).astype(np.int32)
    names = {
        "trivial": (0,),
        "mirror": (4,),
        "diagonal": (6,),
        "half-turn": (2,),
        "both-mirrors": (4, 5),
        "both-diagonals": (6, 7),
        "quarter-turn": (1,),
        "all": (1, 4),
    }
    if n == 1:
        group, names = group[:1], {"trivial": (0,)}
    return GroundSet(n, np.stack([r, c], axis=1), group, names, boxes=n > 1)


def on_the_grid(point, n):
    """Tell whether a point is a cell of the n x n grid, counted from 0."""
    return len(point) == 2 and all(0 <= x < n for x in point)


#: ``on_the_grid`` in C, for the second program of an announcement.
ON_THE_GRID_IN_C = """\
static int inside(const long *p, long n) {
    return p[0] >= 0 && p[0] < n && p[1] >= 0 && p[1] < n;
}
"""

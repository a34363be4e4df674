"""What problems on the n x n x n cube share: cells as elements, the symmetries of the cube."""

import numpy as np

from pipeline.core.ground_set import GroundSet, close_group

# Maps of a cell, coordinates counted from the centre, that generate the named classes.
_MAPS = {
    "central": [(-1, -2, -3)],
    "half-turn": [(-1, -2, 3)],
    "diagonal-half-turn": [(2, 1, -3)],
    "mirror": [(1, 2, -3)],
    "diagonal-mirror": [(2, 1, 3)],
    "third-turn": [(2, 3, 1)],
    "quarter-turn": [(-2, 1, 3)],
    "turning-mirror": [(-2, 1, -3)],
    "half-turns": [(-1, -2, 3), (1, -2, -3)],
    "diagonal-half-turns": [(-1, -2, 3), (2, 1, -3)],
    "mirrors": [(-1, 2, 3), (1, -2, 3), (1, 2, -3)],
    "central-half-turn": [(-1, -2, 3), (1, 2, -3)],
    "central-third-turn": [(2, 3, 1), (-1, -2, -3)],
    "turns": [(2, 3, 1), (-2, 1, 3)],
    "all": [(2, 3, 1), (-2, 1, 3), (-1, -2, -3)],
}


def cube(n: int) -> GroundSet:
    """Return the n x n x n cube; element ``(x * n + y) * n + z`` is the cell (x, y, z), from 0.

    For problems that translations and the symmetries of the cube keep.

    The group is that of the cube (order 48; fewer at n = 1, where the permutations coincide).
    Its classes of order 2 carry the names central (the point reflection in the centre),
    half-turn (about an axis through two faces), diagonal-half-turn (through two edges), mirror
    (parallel to faces) and diagonal-mirror (through two edges); larger ones those of what
    generates them: third-turn, quarter-turn, turning-mirror, half-turns,
    diagonal-half-turns, mirrors, central-half-turn, central-third-turn, turns, all.
    """
    coords = np.stack([axis.ravel() for axis in np.indices((n, n, n))], axis=1).astype(np.int32)
    if n == 1:
        return GroundSet(n, coords, np.zeros((1, 1), np.int32))
    images = {name: [_image(coords, n, map_) for map_ in maps] for name, maps in _MAPS.items()}
    group = close_group(np.stack(images["all"]))
    row = {permutation.tobytes(): i for i, permutation in enumerate(group)}
    names = {name: tuple(row[p.tobytes()] for p in maps) for name, maps in images.items()}
    return GroundSet(n, coords, group, {"trivial": (0,)} | names, boxes=True)


def _image(coords: np.ndarray, n: int, map_: tuple[int, int, int]) -> np.ndarray:
    """Return the element to which each cell goes: coordinate i becomes that of a signed number."""
    x, y, z = (coords[:, k - 1] if k > 0 else n - 1 - coords[:, -k - 1] for k in map_)
    return ((x * n + y) * n + z).astype(np.int32)


def in_the_cube(point, n):
    """Tell whether a point is a cell of the n x n x n cube, counted from 0."""
    return len(point) == 3 and all(0 <= x < n for x in point)


#: ``in_the_cube`` in C, for the second program of an announcement.
IN_THE_CUBE_IN_C = """\
static int inside(const long *p, long n) {
    return p[0] >= 0 && p[0] < n && p[1] >= 0 && p[1] < n && p[2] >= 0 && p[2] < n;
}
"""

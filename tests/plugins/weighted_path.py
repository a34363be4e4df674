"""Sets without two neighbours on a path, by weight: the largest set is not the best one."""

import numpy as np

from pipeline.core.ground_set import GroundSet
from pipeline.problem import Definition, Known, Problem, blocking_hook, checker

WEIGHTS = (1, 10, 1, 1, 10, 1)


@blocking_hook
def block(v, members, size, inside, slot, counts, delta, coords, tables):
    """Rule out the neighbours of v."""
    for u in (v - 1, v + 1):
        if 0 <= u < len(inside):
            counts[slot[u]] += delta


@checker
def check(points, size, coords, witness):
    """Look for two neighbours."""
    for i in range(size - 1):
        if coords[points[i + 1], 0] - coords[points[i], 0] == 1:
            witness[0], witness[1] = points[i], points[i + 1]
            return 2
    return 0


def on_the_path(point, n):
    """Tell whether a point is one of 0 .. n - 1."""
    return len(point) == 1 and 0 <= point[0] < n


def neighbours(points, convention):
    """Tell whether two points lie side by side."""
    (a,), (b,) = points
    return abs(a - b) == 1


class WeightedPath(Problem):
    """A path of n vertices, each with a weight."""

    name = "weighted-path"
    title = "no two neighbours on a path, largest weight"
    arity = 2
    hook = block
    checker = check
    definition = Definition(on_the_path, neighbours)

    def ground_size(self, n):
        """Return the number of vertices."""
        return n

    def ground_set(self, n):
        """Return the path; its weights leave it no symmetry."""
        path = np.arange(n, dtype=np.int32)
        return GroundSet(n, path[:, None], path[None])

    def score(self, cells, n):
        """Return the weight of each set."""
        bits = np.unpackbits(cells, axis=1, bitorder="little")[:, :n]
        return (bits @ np.resize(WEIGHTS, n)).astype(np.int32)

    def known(self, n):
        """Return the best weight of a few small paths."""
        return Known(10, "by hand", proved=True) if n == 3 else None

"""Graphs on n labelled vertices without a cycle of length four: as many edges as possible."""

import numpy as np

from pipeline.core.ground_set import GroundSet
from pipeline.problem import Definition, Known, Problem, blocking_hook, checker
from problems.graph import complete_graph, edge_table, is_edge, short_paths


@blocking_hook
def block(v, members, size, inside, slot, counts, delta, coords, tables):
    """Count what closes a 4-cycle with v and two members; O(n + size + squared degree)."""
    change = np.int32(delta)
    short_paths(v, members, size, slot, counts, change, coords, tables[0], np.int64(tables[1][0]))


@checker
def check(points, size, coords, witness):
    """Find two vertices with two common neighbours; O(n**2 + sum of squared degrees)."""
    n = 1
    for i in range(size):
        n = max(n, coords[points[i], 1] + 1)
    degree = np.zeros(n, np.int32)
    beside = np.empty((n, n), np.int32)
    edge = np.empty((n, n), np.int32)
    for i in range(size):
        a, b = coords[points[i], 0], coords[points[i], 1]
        for c, d in ((a, b), (b, a)):
            beside[c, degree[c]] = d
            edge[c, degree[c]] = points[i]
            degree[c] += 1
    # The edges of the path between two vertices that was seen first.
    first = np.full((n, n), -1, np.int32)
    second = np.empty((n, n), np.int32)
    for c in range(n):
        for i in range(degree[c]):
            for j in range(i):
                a, b = max(beside[c, i], beside[c, j]), min(beside[c, i], beside[c, j])
                if first[a, b] >= 0:
                    witness[0], witness[1] = first[a, b], second[a, b]
                    witness[2], witness[3] = edge[c, i], edge[c, j]
                    return 4
                first[a, b], second[a, b] = edge[c, i], edge[c, j]
    return 0


def a_four_cycle(points, convention):
    """Tell whether four edges form a cycle: four vertices, each on two of them."""
    ends = [vertex for edge in points for vertex in edge]
    return len(set(ends)) == 4 and all(ends.count(vertex) == 2 for vertex in ends)


class FourCycleFree(Problem):
    """Largest sets of edges of the complete graph on n vertices without a 4-cycle."""

    name = "four-cycle-free"
    title = "no four edges of a graph on n vertices form a cycle"
    unit = "edges"
    arity = 4
    smallest = 2
    hook = block
    checker = check
    definition = Definition(is_edge, a_four_cycle)

    def ground_set(self, n: int) -> GroundSet:
        """Return the edges of the complete graph."""
        return complete_graph(n)

    def ground_size(self, n: int) -> int:
        """Return the number of pairs of vertices."""
        return n * (n - 1) // 2

    def tables(self, n: int) -> tuple[np.ndarray, ...]:
        """Return the element of each two vertices, and n."""
        return edge_table(n), np.array([n])

    def known(self, n: int) -> Known | None:
        """Return the largest number of edges: proved to n = 40, a lower bound to n = 49."""
        if n < 2:
            return None
        if n <= len(_PROVED):
            return Known(_PROVED[n - 1], _SOURCE, proved=True, date="2023-01")
        found = dict(enumerate(_FOUND, start=len(_PROVED) + 1))
        return Known(found[n], _MCKAY, date="2022-03") if n in found else None


_SOURCE = "OEIS A006855 (Clapham, Flockhart, Sheehan; McKay)"
_MCKAY = "McKay in OEIS A006855"
# fmt: off
_PROVED = [
    0, 1, 3, 4, 6, 7, 9, 11, 13, 16, 18, 21, 24, 27, 30, 33, 36, 39, 42, 46, 50, 52, 56, 59, 63,
    67, 71, 76, 80, 85, 90, 92, 96, 102, 106, 110, 113, 117, 122, 127,
]
_FOUND = [132, 137, 142, 148, 154, 157, 163, 168, 174]
# fmt: on

"""Graphs on n labelled vertices of girth five or more: as many edges as possible."""

import numpy as np

from pipeline.core.ground_set import GroundSet
from pipeline.problem import Definition, Known, Problem, blocking_hook, checker
from problems.graph import bump, complete_graph, edge_table, is_edge, read, short_paths


@blocking_hook
def block(v, members, size, inside, slot, counts, delta, coords, tables):
    """Count what closes a triangle or a 4-cycle with v = {a, b}; O(n + size + squared degree)."""
    edge, n = tables[0], np.int64(tables[1][0])
    change = np.int32(delta)
    a, b = np.int64(coords[v, 0]), np.int64(coords[v, 1])
    at_a, at_b = short_paths(v, members, size, slot, counts, change, coords, edge, n)
    for x in at_a:
        bump(counts, slot, read(edge, b * n + x), change)
    for x in at_b:
        bump(counts, slot, read(edge, a * n + x), change)


@checker
def check(points, size, coords, witness):
    """Search three steps deep from every vertex, breadth first; O(n**2 + paths of two edges)."""
    n = 1
    for i in range(size):
        n = max(n, coords[points[i], 1] + 1)
    degree = np.zeros(n, np.int32)
    beside, edge = np.empty((n, n), np.int32), np.empty((n, n), np.int32)
    for i in range(size):
        a, b = coords[points[i], 0], coords[points[i], 1]
        for c, d in ((a, b), (b, a)):
            beside[c, degree[c]] = d
            edge[c, degree[c]] = points[i]
            degree[c] += 1
    # The step by which a vertex is reached from c, and the edge of its step before.
    last, before = np.empty(n, np.int32), np.empty(n, np.int32)
    for c in range(n):
        last[:] = -1
        for i in range(degree[c]):
            last[beside[c, i]], before[beside[c, i]] = edge[c, i], -1
        for i in range(degree[c]):
            x = beside[c, i]
            for j in range(degree[x]):
                y = beside[x, j]
                if y == c:
                    continue
                if last[y] < 0:
                    last[y], before[y] = edge[x, j], edge[c, i]
                    continue
                witness[0], witness[1], witness[2] = edge[c, i], edge[x, j], last[y]
                if before[y] < 0:
                    return 3
                witness[3] = before[y]
                return 4
    return 0


def a_short_cycle(points, convention):
    """Tell whether edges hold a triangle or are a 4-cycle."""
    from itertools import combinations

    def is_cycle(edges):
        ends = [vertex for edge in edges for vertex in edge]
        return len(set(ends)) == len(edges) and all(ends.count(vertex) == 2 for vertex in ends)

    return any(is_cycle(part) for k in (3, 4) for part in combinations(points, k))


class GirthFive(Problem):
    """Largest sets of edges of the complete graph on n vertices without triangle or 4-cycle."""

    name = "girth-5"
    title = "no three edges of a graph on n vertices form a triangle, no four a cycle"
    unit = "edges"
    arity = 4
    smallest = 2
    hook = block
    checker = check
    definition = Definition(is_edge, a_short_cycle)

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
        """Return the largest number of edges to n = 53; from 54 to 56 a lower bound."""
        if n < 2:
            return None
        if n <= len(_PROVED):
            return Known(_PROVED[n - 1], _source(n), proved=True, date="2023-01")
        found = dict(enumerate(_FOUND, start=len(_PROVED) + 1))
        return Known(found[n], "McKay in OEIS A006856", date="2023-01") if n in found else None


def _source(n: int) -> str:
    if n <= 32:
        return "OEIS A006856 (Garnick, Kwong, Lazebnik; Codish, Miller, Prosser, Stuckey)"
    return "OEIS A006856 (McKay)"


# fmt: off
_PROVED = [
    0, 1, 2, 3, 5, 6, 8, 10, 12, 15, 16, 18, 21, 23, 26, 28, 31, 34, 38, 41, 44, 47, 50, 54, 57,
    61, 65, 68, 72, 76, 80, 85, 87, 90, 95, 99, 104, 109, 114, 120, 124, 129, 134, 139, 145, 150,
    156, 162, 168, 175, 176, 178, 181,
]
_FOUND = [185, 189, 193]
# fmt: on

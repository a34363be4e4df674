"""Graphs on n labelled vertices without a cycle of length four: as many edges as possible."""

from itertools import combinations

import numpy as np

from pipeline.core.ground_set import GroundSet, close_group
from pipeline.problem import Definition, Known, Problem, blocking_hook, checker

SOURCE = "OEIS A006855; Clapham, Flockhart, Sheehan, J. Graph Theory 13 (1989)"


@blocking_hook
def block(v, members, size, inside, slot, counts, delta, coords, tables):
    """Look at every cycle a-b-c-d through v = {a, b}; O(n^2), a count is below n^2."""
    edge, n = tables[0], tables[1][0]
    a, b = coords[v]
    for c in range(n):
        for d in range(n):
            if c != d and c != a and c != b and d != a and d != b:
                others = (edge[b * n + c], edge[c * n + d], edge[d * n + a])
                there = inside[others[0]] + inside[others[1]] + inside[others[2]]
                for u in others:
                    if there - inside[u] == 2:
                        counts[slot[u]] += delta


@checker
def check(points, size, coords, witness):
    """Find two vertices with two common neighbours; O(edges * n)."""
    n = 1
    for i in range(size):
        n = max(n, coords[points[i], 1] + 1)
    edge = np.full((n, n), -1, np.int32)
    for i in range(size):
        a, b = coords[points[i]]
        edge[a, b] = edge[b, a] = points[i]
    for a in range(n):
        for b in range(a):
            first = -1
            for c in range(n):
                if edge[a, c] >= 0 and edge[b, c] >= 0:
                    if first >= 0:
                        witness[0], witness[1] = edge[a, first], edge[b, first]
                        witness[2], witness[3] = edge[a, c], edge[b, c]
                        return 4
                    first = c
    return 0


def an_edge(point, n):
    """Tell whether a point is a pair of vertices, the smaller first."""
    return len(point) == 2 and 0 <= point[0] < point[1] < n


def a_cycle(points, convention):
    """Tell whether four edges form a cycle: four vertices, each on two of them."""
    ends = [vertex for edge in points for vertex in edge]
    return len(set(ends)) == 4 and all(ends.count(vertex) == 2 for vertex in ends)


class FourCycleFree(Problem):
    """Largest sets of edges of the complete graph on n vertices without a 4-cycle."""

    name = "four-cycle-free"
    title = "no four edges of a graph on n vertices form a cycle"
    arity = 4
    smallest = 2
    hook = block
    checker = check
    definition = Definition(an_edge, a_cycle)

    def ground_set(self, n: int) -> GroundSet:
        """Return the pairs of vertices, moved by the symmetries of a regular n-gon."""
        edges = list(combinations(range(n), 2))
        place = {frozenset(edge): i for i, edge in enumerate(edges)}
        moves = [lambda x: (x + 1) % n, lambda x: -x % n]
        maps = np.array([[place[frozenset({f(a), f(b)})] for a, b in edges] for f in moves])
        group = close_group(maps)
        turn, flip = (int(np.argmax((group == row).all(axis=1))) for row in maps)
        names = {"rotation": (turn,), "reflection": (flip,), "dihedral": (turn, flip)}
        return GroundSet(n, np.array(edges, np.int32), group, names)

    def ground_size(self, n: int) -> int:
        """Return the number of pairs."""
        return n * (n - 1) // 2

    def tables(self, n: int) -> tuple[np.ndarray, ...]:
        """Return the edge between each two vertices, and n."""
        edge = np.zeros((n, n), np.int32)
        for i, (a, b) in enumerate(combinations(range(n), 2)):
            edge[a, b] = edge[b, a] = i
        return edge, np.array([n])

    def known(self, n: int) -> Known | None:
        """Return the exact values that are proved for few vertices."""
        values = dict(enumerate([1, 3, 4, 6, 7, 9, 11, 13, 16], start=2))
        return Known(values[n], SOURCE, proved=True) if n in values else None

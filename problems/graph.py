"""What problems on graphs share: the pairs of n vertices as elements, and who moves them.

A construction is a set of edges. The edge between a < b is element ``b * (b - 1) / 2 + a``: the
elements of a smaller graph come first, and the order is that of the graph6 format.
"""

import numpy as np

from pipeline.core.ground_set import GroundSet, close_group
from pipeline.problem import helper

#: Vertices, of which a graph has few enough for proofs.
_FEW = 12


@helper
def read(array, i):
    """Return ``array[i]`` for an i known to be no end-relative index."""
    return array[np.uint64(i)]


@helper
def bump(counts, slot, u, change):
    """Add ``change`` to the count of element u."""
    counts[np.uint64(slot[np.uint64(u)])] += change


@helper
def short_paths(v, members, size, slot, counts, change, coords, edge, n):
    """Count each pair that closes a 4-cycle with v = {a, b} and two members of a set.

    O(n + size + squared degree); a count is below n**2.

    Args:
        change: what is added to a count.
        edge: of ``edge_table``, flat.

    Returns:
        The neighbours of a, and those of b.
    """
    a, b = np.int64(coords[v, 0]), np.int64(coords[v, 1])
    from_a, from_b = a * n, b * n
    near = np.zeros(n, np.uint8)  # bit 0: beside a, bit 1: beside b
    at_a, at_b = np.empty(n, np.int64), np.empty(n, np.int64)
    many_a, many_b = 0, 0
    for i in range(size):
        w = read(members, i)
        x, y = np.int64(coords[w, 0]), np.int64(coords[w, 1])
        if x == a or y == a:
            at_a[many_a] = x + y - a
            near[np.uint64(x + y - a)] |= np.uint8(1)
            many_a += 1
        elif x == b or y == b:
            at_b[many_b] = x + y - b
            near[np.uint64(x + y - b)] |= np.uint8(2)
            many_b += 1
    for i in range(size):
        w = read(members, i)
        x, y = np.int64(coords[w, 0]), np.int64(coords[w, 1])
        here, there = read(near, x), read(near, y)
        if here | there == 0 or (x - a) * (x - b) * (y - a) * (y - b) == 0:
            continue
        # The path a, x, y lacks {y, b}; and so on.
        if here & 1:
            bump(counts, slot, read(edge, from_b + y), change)
        if there & 1:
            bump(counts, slot, read(edge, from_b + x), change)
        if here & 2:
            bump(counts, slot, read(edge, from_a + y), change)
        if there & 2:
            bump(counts, slot, read(edge, from_a + x), change)
    # The paths a, x and b, y lack {x, y}; the table has a bin for x = y.
    for i in range(many_a):
        for j in range(many_b):
            bump(counts, slot, read(edge, at_a[i] * n + at_b[j]), change)
    return at_a[:many_a], at_b[:many_b]


def edges(n: int) -> np.ndarray:
    """Return the pairs of vertices, int32 ``(n (n - 1) / 2, 2)``, the smaller first."""
    b, a = np.tril_indices(n, -1)
    return np.stack([a, b], axis=1).astype(np.int32)


def edge_table(n: int) -> np.ndarray:
    """Return int32 ``(n, n)``: the element of each two vertices; of one with itself, the bin."""
    at = np.full((n, n), n * (n - 1) // 2, np.int32)
    a, b = edges(n).T
    at[a, b] = at[b, a] = np.arange(len(a))
    return at


def on_edges(vertices: np.ndarray) -> np.ndarray:
    """Return what permutations of the vertices do to the edges.

    Args:
        vertices: integers ``(g, n)``; row i maps vertex v to column v.
    """
    n = vertices.shape[1]
    a, b = edges(n).T
    return edge_table(n)[vertices[:, a], vertices[:, b]]


def complete_graph(n: int) -> GroundSet:
    """Return the edges of the complete graph on n vertices.

    Constructions are equivalent where they are isomorphic. All permutations of the vertices are
    too many to be listed. For few vertices, where all is to be proved, the group is that of the
    regular n-gon. For more it is a rotation of order six that leaves n mod 6 vertices where they
    are: extremal graphs often have one of order two or three, and more classes would take their
    time from the trivial one, which is the best at all sizes that were tried.
    """
    v = np.arange(n)
    turned = n if n <= _FEW else n - n % 6
    step = 1 if n <= _FEW else turned // 6
    moves = [np.where(v < turned, (v + step) % turned, v), -v % n][: 2 if n <= _FEW else 1]
    moves = on_edges(np.stack(moves))
    group = close_group(moves)
    rows = tuple(int(np.argmax((group == row).all(axis=1))) for row in moves)
    names = {"rotation": rows[:1]}
    if n <= _FEW:
        names |= {"reflection": rows[1:], "dihedral": rows}
    return GroundSet(n, edges(n), group, names, graph=True)


def is_edge(point, n):
    """Tell whether a point is a pair of vertices, the smaller first."""
    return len(point) == 2 and 0 <= point[0] < point[1] < n

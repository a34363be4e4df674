"""A hypergraph in flat arrays: the forbidden sets of a problem, looked up by two of their elements.

All edges of an index have k elements, k >= 2; several are joined for edges of several sizes. For
k = 2 an index has a list for each vertex, its neighbours. For larger k it has a list for each
ordered pair (v, w) that lies in an edge: the k - 2 other elements of each edge that holds both. So
a hook that adds v looks at one list for each member, and at nothing that has no member in it.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from pipeline.core.jit import njit


def entries(k: int) -> int:
    """Return how many numbers the lists of an index hold for each edge of k elements."""
    return 2 if k == 2 else k * (k - 1) * (k - 2)


def bytes_of_index(edges: int, k: int, m: int) -> int:
    """Return the bytes of the index of a hypergraph of ``edges`` edges on m vertices."""
    lists = m if k == 2 else m * m
    return 4 * (lists + 1) + 4 * edges * entries(k)


def index_of(edges: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the index of a hypergraph.

    Args:
        edges: int32 ``(E, k)``; a row is the elements of an edge, each 0..m-1, ascending.

    Returns:
        (start, int32 ``(lists + 1,)``; others, flat int32): list i is
        ``others[start[i] : start[i + 1]]``, where a list is that of vertex i for k = 2, and of
        the pair (i // m, i % m) otherwise, with k - 2 elements for each edge.
    """
    lists = m if edges.shape[1] == 2 else m * m
    return _index(np.ascontiguousarray(edges, np.int32), m, lists)


@njit
def _index(edges, m, lists):
    k = edges.shape[1]
    width = max(k - 2, 1)
    start = np.zeros(lists + 1, np.int32)
    for e in range(len(edges)):
        for i in range(k):
            if k == 2:
                start[edges[e, i] + 1] += 1
                continue
            for j in range(k):
                if i != j:
                    start[edges[e, i] * m + edges[e, j] + 1] += width
    for i in range(lists):
        start[i + 1] += start[i]
    at = start[:-1].copy()
    others = np.empty(start[-1], np.int32)
    for e in range(len(edges)):
        for i in range(k):
            if k == 2:
                others[at[edges[e, i]]] = edges[e, 1 - i]
                at[edges[e, i]] += 1
                continue
            for j in range(k):
                if i == j:
                    continue
                pair = edges[e, i] * m + edges[e, j]
                for x in range(k):
                    if x not in (i, j):
                        others[at[pair]] = edges[e, x]
                        at[pair] += 1
    return start, others


def some_edges(
    start: np.ndarray, others: np.ndarray, k: int, m: int, rng: np.random.Generator, most: int
) -> np.ndarray:
    """Return edges of an index at random, int32 ``(_, k)``, rows ascending, distinct, in order."""
    width = max(k - 2, 1)
    if not len(others):
        return np.empty((0, k), np.int32)
    chosen = rng.integers(len(others) // width, size=most)
    lists = np.searchsorted(start, chosen * width, side="right") - 1
    heads = lists[:, None] if k == 2 else np.stack([lists // m, lists % m], axis=1)
    rows = np.concatenate([heads, others.reshape(-1, width)[chosen]], axis=1)
    return np.unique(np.sort(rows, axis=1), axis=0).astype(np.int32)


def joined(
    parts: Sequence[tuple[np.ndarray, np.ndarray]], sizes: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return several indices as one: starts, others, and int32 (k, lists before, others before)."""
    lists, held, layout, starts = 0, 0, [], []
    for (start, others), k in zip(parts, sizes, strict=True):
        layout += [k, lists, held]
        starts.append(start + np.int32(held))
        lists, held = lists + len(start), held + len(others)
    flat = np.concatenate([others for _, others in parts])
    return np.concatenate(starts), flat, np.array(layout, np.int32)


def parts_of(
    start: np.ndarray, others: np.ndarray, layout: np.ndarray
) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Return (k, start, others) of each index that ``joined`` has put together."""
    rows = layout.reshape(-1, 3).tolist()
    ends = [*((row[1], row[2]) for row in rows[1:]), (len(start), len(others))]
    return [
        (k, start[lists:last] - np.int32(held), others[held:end])
        for (k, lists, held), (last, end) in zip(rows, ends, strict=True)
    ]


def without(edges: np.ndarray, smaller: Sequence[np.ndarray], m: int) -> np.ndarray:
    """Return the edges that hold none of some smaller ones.

    Args:
        edges: int32 ``(E, k)``, rows ascending; smaller: likewise, with fewer columns.
    """
    for part in smaller:
        known = _keys(part, m)
        for columns in combinations(range(edges.shape[1]), part.shape[1]):
            edges = edges[~np.isin(_keys(edges[:, columns], m), known)]
    return edges


def _keys(rows: np.ndarray, m: int) -> np.ndarray:
    """Return a number for each row, exact for up to 2**64 sets of as many elements."""
    keys = np.zeros(len(rows), np.uint64)
    for column in rows.T:
        keys = keys * np.uint64(m) + column.astype(np.uint64)
    return keys


@njit
def block_listed(v, members, size, inside, slot, counts, delta, start, others, first, k):
    """Count, for each edge that holds v and has its other elements but u in the set, u.

    The arguments are those of a hook, then those of an index whose lists begin at ``first``.
    O(size * edges at v and a member).
    """
    m = len(inside)
    if k == 2:
        for i in range(start[first + v], start[first + v + 1]):
            counts[slot[others[i]]] += delta
        return
    width = k - 2
    for i in range(size):
        w = members[i]
        pair = first + np.int64(v) * m + w
        for at in range(start[pair], start[pair + 1], width):
            # An edge is met once for each of its members: the least of them counts.
            held = 0
            out = -1
            for j in range(at, at + width):
                if inside[others[j]]:
                    held += 1
                else:
                    out = j
            if held < width - 1:
                continue
            for j in range(at, at + width):
                if out >= 0 and out != j:
                    continue
                least = True
                for other in range(at, at + width):
                    if other != j and others[other] < w:
                        least = False
                if least:
                    counts[slot[others[j]]] += delta

"""What orbits do by themselves and in twos: what a search space is made from."""

import numpy as np

from pipeline.core.jit import njit


@njit
def orbit_pairs(hook, coords, tables, start, elements, of, sparse):
    """Find what orbits do by themselves and in twos.

    Args:
        sparse: int32 ``(capacity, 3)`` or empty; filled with rows (A, C, number of
            configurations with two elements in A and one in C), C not A, where A holds none
            by itself.

    Returns:
        (uint8 ``(M,)``, 1 for an orbit that holds a forbidden configuration; the number of
        rows, filled or not).
    """
    m, orbits = len(coords), len(start) - 1
    members = np.empty(m, np.int32)
    inside = np.zeros(m, np.uint8)
    slot = np.arange(m + 1).astype(np.int32)
    counts = np.zeros(m + 1, np.int32)
    sums = np.zeros(orbits, np.int64)
    touched = np.empty(orbits, np.int32)
    bad = np.zeros(orbits, np.uint8)
    rows = 0
    for a in range(orbits):
        held = np.int64(0)
        size = 0
        for i in range(start[a], start[a + 1]):
            u = elements[i]
            held += counts[u]
            if held > 0:
                break
            hook(u, members, size, inside, slot, counts, 1, coords, tables)
            members[size] = u
            inside[u] = 1
            size += 1
        if held > 0:
            bad[a] = 1
            for i in range(size):
                inside[members[i]] = 0
            counts[:] = 0
            continue
        # What one element does alone is no affair of two.
        for i in range(size):
            inside[members[i]] = 0
        for i in range(size):
            hook(members[i], members, 0, inside, slot, counts, -1, coords, tables)
        if size > 1:
            distinct = 0
            for u in range(m):
                c = of[u]
                if counts[u] != 0 and c != a:
                    if sums[c] == 0:
                        touched[distinct] = c
                        distinct += 1
                    sums[c] += counts[u]
            for i in range(distinct):
                if rows < len(sparse):
                    sparse[rows, 0] = a
                    sparse[rows, 1] = touched[i]
                    sparse[rows, 2] = sums[touched[i]]
                rows += 1
                sums[touched[i]] = 0
        counts[:] = 0
    return bad, rows

"""Cells of the n x n x n cube, no five of them on a common sphere or plane."""

import numpy as np

from pipeline.core.ground_set import GroundSet, close_group
from pipeline.problem import Problem, blocking_hook, checker


@blocking_hook
def block(v, members, size, inside, slot, counts, delta, coords, tables):
    """Lift cells to (x, y, z, x^2 + y^2 + z^2), v in the origin: five are on a sphere or plane
    when four vectors are dependent. O(size^3 m); a count is below m^3 / 6; a determinant is
    below 72 n^5, far inside int64."""
    m = len(inside)
    vectors = np.empty((m, 4), np.int64)
    for u in range(m):
        vectors[u, 3] = 0
        for axis in range(3):
            vectors[u, axis] = coords[u, axis] - coords[v, axis]
            vectors[u, 3] += vectors[u, axis] ** 2
    normal = np.empty(4, np.int64)
    for i in range(size):
        for j in range(i):
            for k in range(j):
                a, b, c = vectors[members[i]], vectors[members[j]], vectors[members[k]]
                for t in range(4):
                    p, q, r = (t + 1) % 4, (t + 2) % 4, (t + 3) % 4
                    normal[t] = a[p] * (b[q] * c[r] - b[r] * c[q])
                    normal[t] += a[q] * (b[r] * c[p] - b[p] * c[r])
                    normal[t] += a[r] * (b[p] * c[q] - b[q] * c[p])
                    normal[t] *= 1 - 2 * (t % 2)
                for u in range(m):
                    if np.sum(normal * vectors[u]) == 0:
                        counts[slot[u]] += delta
                # The four lie in their own plane, which closes nothing.
                for u in (v, np.int64(members[i]), np.int64(members[j]), np.int64(members[k])):
                    counts[slot[u]] -= delta


@checker
def check(points, size, coords, witness):
    """Eliminate without fractions (Bareiss, 1968) in the matrix of every five; O(size^5).

    Rows are (x, y, z, x^2 + y^2 + z^2, 1); all entries stay minors, their products in int64.
    """
    five, rows = np.arange(5), np.ones((5, 5), np.int64)
    while five[4] < size:
        for t in range(5):
            rows[t, 4] = 1
            rows[t, :3] = coords[points[five[t]]]
            rows[t, 3] = np.sum(rows[t, :3] ** 2)
        divisor = 1
        for k in range(4):
            pivot = k + np.argmax(rows[k:, k] != 0)
            for c in range(k, 5):
                rows[k, c], rows[pivot, c] = rows[pivot, c], rows[k, c]
            for r in range(k + 1, 5):
                for c in range(4, k - 1, -1):
                    rows[r, c] = (rows[k, k] * rows[r, c] - rows[r, k] * rows[k, c]) // divisor
            divisor = rows[k, k]
            if divisor == 0:
                break
        if divisor == 0 or rows[4, 4] == 0:
            for t in range(5):
                witness[t] = points[five[t]]
            return 5
        t = 0
        while t < 4 and five[t] + 1 == five[t + 1]:
            five[t] = t
            t += 1
        five[t] += 1
    return 0


class NoFiveOnASphere(Problem):
    """Largest sets of cells, no five on a sphere; a plane counts as one."""

    name = "no-5-on-a-sphere"
    title = "no five points of the n x n x n grid lie on a sphere or a plane"
    arity = 5
    hook = block
    checker = check

    def ground_set(self, n: int) -> GroundSet:
        """Return the cube with its 48 symmetries."""
        cells = np.arange(n**3).reshape(n, n, n)
        moves = [cells.transpose(1, 2, 0), cells.transpose(1, 0, 2), cells[::-1]]
        group = close_group(np.stack([move.ravel() for move in moves]))
        return GroundSet(n, np.argwhere(cells >= 0).astype(np.int32), group)

    def ground_size(self, n: int) -> int:
        """Return n ** 3."""
        return n**3

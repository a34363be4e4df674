"""Cells of the n x n grid, no four of them on a common circle or straight line."""

import numpy as np

from pipeline.core.ground_set import GroundSet, close_group
from pipeline.problem import Problem, blocking_hook, checker


@blocking_hook
def block(v, members, size, inside, slot, counts, delta, coords, tables):
    """Lift cells to (x, y, x^2 + y^2), v in the origin: four are on a circle or line when the
    lifted ones are in a plane. O(size^2 m); a count is below m^2 / 2, a coordinate of the
    normal below 2 (2n)^3, so a product fits int64 for every n in reach."""
    for i in range(size):
        for j in range(i):
            (ax, ay), (bx, by) = coords[members[i]] - coords[v], coords[members[j]] - coords[v]
            az, bz = np.int64(ax * ax + ay * ay), np.int64(bx * bx + by * by)
            nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
            for u in range(len(inside)):
                x, y = coords[u, 0] - coords[v, 0], coords[u, 1] - coords[v, 1]
                if nx * x + ny * y + nz * (x * x + y * y) == 0:
                    counts[slot[u]] += delta
            # v and the two members lie in their own plane, which closes nothing.
            counts[slot[v]] -= delta
            counts[slot[members[i]]] -= delta
            counts[slot[members[j]]] -= delta


@checker
def check(points, size, coords, witness):
    """Put every four of the points, lifted as above, into the determinant; O(size^4)."""
    lifted = np.empty((size, 3), np.int64)
    for i in range(size):
        x, y = coords[points[i]]
        lifted[i, 0], lifted[i, 1], lifted[i, 2] = x, y, x * x + y * y
    for i in range(size):
        for j in range(i):
            for k in range(j):
                normal = np.cross(lifted[j] - lifted[i], lifted[k] - lifted[i])
                for l in range(k):
                    if np.sum(normal * (lifted[l] - lifted[i])) == 0:
                        witness[0], witness[1] = points[i], points[j]
                        witness[2], witness[3] = points[k], points[l]
                        return 4
    return 0


class NoFourOnACircle(Problem):
    """Largest sets of cells, no four on a circle; a line counts as a circle, as in Thiele."""

    name = "no-4-on-a-circle"
    title = "no four points of the n x n grid lie on a circle or a straight line"
    arity = 4
    hook = block
    checker = check

    def ground_set(self, n: int) -> GroundSet:
        """Return the square grid with its eight symmetries, their classes unnamed."""
        cells = np.arange(n * n).reshape(n, n)
        group = close_group(np.stack([np.rot90(cells).ravel(), cells.T.ravel()]))
        return GroundSet(n, np.argwhere(cells >= 0).astype(np.int32), group)

    def ground_size(self, n: int) -> int:
        """Return n * n."""
        return n * n

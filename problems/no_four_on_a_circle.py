"""No four on a circle: no four cells of the n x n grid on a common circle or straight line.

Lift a cell to (x, y, x^2 + y^2). Circles and lines become planes: four cells are on one if and only
if the three differences to the fourth are linearly dependent.
"""

import numpy as np

from pipeline.core.ground_set import GroundSet
from pipeline.problem import Definition, Known, Problem, blocking_hook, checker
from problems.grid import ON_THE_GRID_IN_C, on_the_grid, square_grid

_U64 = np.uint64


@blocking_hook
def block(v, members, size, inside, slot, counts, delta, coords, tables):
    """Count the cells on the circle through v and each two members; O(size^2 n^2 / 2).

    A member is on each circle through v and itself, which closes nothing. A count is below size^2,
    a value of the plane's equation below 24 n^4, which fits int64 for each n in reach.
    """
    n = np.int64(tables[0][0])
    hits, across = np.zeros(len(inside), np.int32), np.empty(n, np.int64)
    vx, vy = np.int64(coords[v, 0]), np.int64(coords[v, 1])
    for i in range(size):
        ax, ay = coords[members[i], 0] - vx, coords[members[i], 1] - vy
        az = ax * ax + ay * ay
        for j in range(i):
            bx, by = coords[members[j], 0] - vx, coords[members[j], 1] - vy
            bz = bx * bx + by * by
            ex, ey, ez = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
            for y in range(n):
                across[y] = (ey + ez * (y - vy)) * (y - vy)
            for x in range(n):
                wanted, start = -(ex + ez * (x - vx)) * (x - vx), _U64(x * n)
                for y in range(_U64(n)):
                    hits[start + y] += np.int32(across[y] == wanted)
    hits[v] = 0
    for i in range(size):
        hits[members[i]] -= np.int32(size - 1)
    for u in range(len(inside)):
        counts[slot[u]] += np.int32(delta) * hits[u]


@checker
def check(points, size, coords, witness):
    """Put every four rows (x, y, x^2 + y^2, 1) into the determinant, by 2 x 2 minors; O(size^4)."""
    for i in range(size):
        for j in range(i):
            ax, ay = np.int64(coords[points[i], 0]), np.int64(coords[points[i], 1])
            bx, by = np.int64(coords[points[j], 0]), np.int64(coords[points[j], 1])
            a, b = ax * ax + ay * ay, bx * bx + by * by
            xy, xz, yz = ax * by - ay * bx, ax * b - a * bx, ay * b - a * by
            x, y, z = ax - bx, ay - by, a - b
            for k in range(j):
                cx, cy = np.int64(coords[points[k], 0]), np.int64(coords[points[k], 1])
                c = cx * cx + cy * cy
                for l in range(k):
                    dx, dy = np.int64(coords[points[l], 0]), np.int64(coords[points[l], 1])
                    d = dx * dx + dy * dy
                    here = xy * (c - d) - xz * (cy - dy) + yz * (cx - dx)
                    there = x * (cy * d - c * dy) - y * (cx * d - c * dx) + z * (cx * dy - cy * dx)
                    if here + there == 0:
                        witness[0], witness[1] = points[i], points[j]
                        witness[2], witness[3] = points[k], points[l]
                        return 4
    return 0


def on_a_circle(points, convention):
    """Tell whether four points are on a circle or a line: a determinant of order 3 vanishes."""
    (px, py) = points[0]
    rows = [(x - px, y - py) for x, y in points[1:]]
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = [(x, y, x * x + y * y) for x, y in rows]
    return ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx) == 0


ON_A_CIRCLE_IN_C = """
/* Some a (x^2 + y^2) + b x + c y + d vanishes at all four. */
static int forbidden(const long *const p[], int convention) {
    long rows[4][4];
    (void)convention;
    for (int i = 0; i < 4; i++) {
        long x = p[i][0], y = p[i][1];
        rows[i][0] = x * x + y * y;
        rows[i][1] = x;
        rows[i][2] = y;
        rows[i][3] = 1;
    }
    return det4(rows) == 0;
}
"""


class NoFourOnACircle(Problem):
    """Largest sets of cells of the n x n grid, no four on a circle; a line counts as one."""

    name = "no-4-on-a-circle"
    title = "no four points of the n x n grid lie on a circle or a straight line"
    arity = 4
    hook = block
    checker = check
    checker_degree = 4
    definition = Definition(on_the_grid, on_a_circle, ON_THE_GRID_IN_C + ON_A_CIRCLE_IN_C)

    def ground_set(self, n: int) -> GroundSet:
        """Return the square grid with its eight symmetries."""
        return square_grid(n)

    def ground_size(self, n: int) -> int:
        """Return n * n."""
        return n * n

    def tables(self, n: int) -> tuple[np.ndarray, ...]:
        """Return n."""
        return (np.array([n]),)

    def known(self, n: int) -> Known | None:
        """Return the largest size to n = 8."""
        if n > len(_PROVED):
            return None
        return Known(_PROVED[n - 1], _SOLVE, proved=True, date="2026-11")


_SOLVE = "exhaustive search by `pipeline solve`"
_PROVED = [1, 3, 5, 7, 9, 11, 14, 15]

"""No four in a plane: no four cells of the n x n x n cube in a common plane.

Three on a line are in a plane with any fourth.
"""

import numpy as np

from pipeline.core.ground_set import GroundSet
from pipeline.problem import Definition, Known, Problem, blocking_hook, checker
from problems.cube import IN_THE_CUBE_IN_C, cube, in_the_cube

_U64 = np.uint64


@blocking_hook
def block(v, members, size, inside, slot, counts, delta, coords, tables):
    """Count the cells in the plane through v and each two members; O(size^2 n^3 / 2).

    A member is in each plane through v and itself, which closes nothing. A count is below size^2,
    a value of the plane's equation below 6 n^3, which fits int32 to n = 700.
    """
    n = np.int64(tables[0][0])
    layer = _U64(n * n)
    hits, values = np.zeros(len(inside), np.int32), np.empty(layer, np.int32)
    vx, vy, vz = coords[v, 0], coords[v, 1], coords[v, 2]
    for i in range(size):
        a = members[i]
        ax, ay, az = coords[a, 0] - vx, coords[a, 1] - vy, coords[a, 2] - vz
        for j in range(i):
            b = members[j]
            bx, by, bz = coords[b, 0] - vx, coords[b, 1] - vy, coords[b, 2] - vz
            ex, ey, ez = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
            for y in range(n):
                for z in range(n):
                    values[_U64(y * n + z)] = ey * (y - vy) + ez * (z - vz)
            for x in range(n):
                wanted, start = np.int32(-ex * (x - vx)), _U64(x) * layer
                for t in range(layer):
                    hits[start + t] += np.int32(values[t] == wanted)
    hits[v] = 0
    for i in range(size):
        hits[members[i]] -= np.int32(size - 1)
    for u in range(len(inside)):
        counts[slot[u]] += np.int32(delta) * hits[u]


@checker
def check(points, size, coords, witness):
    """Look at the volume of the tetrahedron on every four; O(size^4)."""
    for i in range(size):
        for j in range(i):
            for k in range(j):
                for l in range(k):
                    o = coords[points[i]].astype(np.int64)
                    a, b = coords[points[j]] - o, coords[points[k]] - o
                    c = coords[points[l]] - o
                    volume = a[0] * b[1] * c[2] + a[1] * b[2] * c[0] + a[2] * b[0] * c[1]
                    volume -= a[2] * b[1] * c[0] + a[0] * b[2] * c[1] + a[1] * b[0] * c[2]
                    if volume == 0:
                        witness[0], witness[1] = points[i], points[j]
                        witness[2], witness[3] = points[k], points[l]
                        return 4
    return 0


def in_a_plane(points, convention):
    """Tell whether four points are in a plane: their tetrahedron has no volume."""
    p = points[0]
    a, b, c = ([q[i] - p[i] for i in range(3)] for q in points[1:])
    cross = [b[i - 2] * c[i - 1] - b[i - 1] * c[i - 2] for i in range(3)]
    return sum(a[i] * cross[i] for i in range(3)) == 0


IN_A_PLANE_IN_C = """
/* Some a x + b y + c z + d vanishes at all four. */
static int forbidden(const long *const p[], int convention) {
    long rows[4][4];
    (void)convention;
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < 3; k++) rows[i][k] = p[i][k];
        rows[i][3] = 1;
    }
    return det4(rows) == 0;
}
"""


class NoFourInAPlane(Problem):
    """Largest sets of cells of the n x n x n cube, no four in a plane."""

    name = "no-4-in-a-plane"
    title = "no four points of the n x n x n cube lie in a plane"
    arity = 4
    hook = block
    checker = check
    checker_degree = 4
    definition = Definition(in_the_cube, in_a_plane, IN_THE_CUBE_IN_C + IN_A_PLANE_IN_C)

    def ground_set(self, n: int) -> GroundSet:
        """Return the cube with its 48 symmetries."""
        return cube(n)

    def ground_size(self, n: int) -> int:
        """Return n ** 3."""
        return n**3

    def tables(self, n: int) -> tuple[np.ndarray, ...]:
        """Return n."""
        return (np.array([n]),)

    def known(self, n: int) -> Known | None:
        """Return the largest size to n = 6, and lower bounds to n = 17."""
        if n == 1:
            return Known(1, "there is one cell", proved=True, date="2026-11")
        if n <= 6:
            return Known(_OEIS[n - 2], "OEIS A280537", proved=True, date="2017-01")
        return Known(_OEIS[n - 2], "OEIS A280537", date="2017-01") if n <= 17 else None


_OEIS = [5, 8, 10, 13, 16, 18, 20, 23, 26, 28, 30, 32, 35, 36, 38, 42]

"""No five on a sphere: no five cells of the cube on a common sphere or plane.

Lift a cell to (x, y, z, q) with q = C(x, 2) + C(y, 2) + C(z, 2). Spheres and planes become
hyperplanes, since x^2 + y^2 + z^2 = 2 q + x + y + z: five cells are on one if and only if the four
differences to the fifth are linearly dependent. Four on a circle, or on a line, are so with any
fifth.
"""

import numpy as np

from pipeline.core.ground_set import GroundSet
from pipeline.problem import (
    Definition,
    Known,
    Problem,
    blocker_finder,
    blocking_hook,
    checker,
    helper,
)
from problems.cube import IN_THE_CUBE_IN_C, cube, in_the_cube

_16, _U64 = np.int16, np.uint64
#: Up to this n determinants, below 36 n^5, are told from 0 modulo 2^32.
_NARROW = 41


@helper
def lifted(u, w, coords):
    """Return the lifted difference of two cells; entries are below 3 n^2."""
    x, y, z = np.int64(coords[w, 0]), np.int64(coords[w, 1]), np.int64(coords[w, 2])
    a, b, c = np.int64(coords[u, 0]), np.int64(coords[u, 1]), np.int64(coords[u, 2])
    q = (x * (x - 1) - a * (a - 1) + y * (y - 1) - b * (b - 1) + z * (z - 1) - c * (c - 1)) // 2
    return x - a, y - b, z - c, q


@helper
def normal(a, b, c):
    """Return the vector whose product with d is the determinant of a, b, c, d; below 18 n^4."""
    p = a[0] * b[1] - a[1] * b[0]
    q = a[0] * b[2] - a[2] * b[0]
    r = a[0] * b[3] - a[3] * b[0]
    s = a[1] * b[2] - a[2] * b[1]
    t = a[1] * b[3] - a[3] * b[1]
    u = a[2] * b[3] - a[3] * b[2]
    return (
        t * c[2] - s * c[3] - u * c[1],
        q * c[3] - r * c[2] + u * c[0],
        r * c[1] - p * c[3] - t * c[0],
        p * c[2] - q * c[1] + s * c[0],
    )


@blocking_hook
def block(v, members, size, inside, slot, counts, delta, coords, tables):
    """Count for each cell the spheres through v and three members that it lies on; O(size^3 m)."""
    m = len(inside)
    n = np.int64(tables[0][0])
    hits = np.zeros(m, np.int32)
    if n <= _NARROW:
        values, wanted = np.empty(n * n, np.int32), np.empty(n, np.int32)
        count_spheres(v, members, size, coords, n, values, wanted, hits)
    else:
        values, wanted = np.empty(n * n, np.int64), np.empty(n, np.int64)
        count_spheres(v, members, size, coords, n, values, wanted, hits)
    # The four lie in their own hyperplane, which closes nothing.
    hits[v] -= size * (size - 1) * (size - 2) // 6
    for i in range(size):
        hits[members[i]] -= (size - 1) * (size - 2) // 2
    for u in range(m):
        if hits[u] != 0:
            counts[slot[u]] += delta * hits[u]


@helper
def count_spheres(v, members, size, coords, n, values, wanted, hits):
    """Add to ``hits`` for each cell the hyperplanes through v and three members that it lies on.

    Among the cells (x, y, z) of one x a hyperplane is a function of y and z plus a number: the
    ``n^2`` values of the function are made once and compared with that number, several at once.
    """
    origin, layer = lifted(v, 0, coords), _U64(n * n)
    for i in range(size):
        a = lifted(v, members[i], coords)
        for j in range(i):
            b = lifted(v, members[j], coords)
            for k in range(j):
                e = normal(a, b, lifted(v, members[k], coords))
                base = e[0] * origin[0] + e[1] * origin[1] + e[2] * origin[2] + e[3] * origin[3]
                for y in range(n):
                    at_y, start = base + e[1] * y + e[3] * (y * (y - 1) // 2), _U64(y * n)
                    for z in range(n):
                        at_z = e[2] * z + e[3] * (z * (z - 1) // 2)
                        values[start + _U64(z)] = at_y + at_z
                for x in range(n):
                    wanted[x] = -(e[0] * x + e[3] * (x * (x - 1) // 2))
                for x in range(n):
                    number, start = wanted[x], _U64(x * n * n)
                    for t in range(layer):
                        hits[start + t] += np.int32(values[t] == number)


@blocker_finder
def find_blockers(elements, count, members, size, since, coords, tables, blockers):
    """Look for four members that are on a sphere with each element; O(size^4 / 24) for each.

    A determinant is a sum over the 2 x 2 minors of two rows by those of the other two, which long
    loops over all pairs make. They go modulo 2^16, eight or sixteen at a time; where one vanishes
    there, ``_on_a_sphere`` looks at the whole numbers.
    """
    new = size - since
    order = np.empty(size, np.int32)
    for i in range(size):
        order[i] = members[since + i if i < new else i - new]
    pairs = _U64(max(size * (size - 1) // 2, 0))
    # Of each pair of members (a, b), a < b in that order: b - a, and the minors of a and b.
    steps, minors = np.empty(_U64(4) * pairs, _16), np.empty(_U64(6) * pairs, _16)
    here = np.empty(_U64(6) * pairs, _16)
    row = np.empty((4, size), _16)
    for i in range(size):
        for f, value in enumerate(lifted(0, order[i], coords)):
            row[f, i] = value
    at = _U64(0)
    for i in range(size):
        for j in range(i + 1, size):
            minor = at
            for f in range(4):
                steps[at + _U64(f) * pairs] = row[f, j] - row[f, i]
                for g in range(f + 1, 4):
                    minors[minor] = row[f, i] * row[g, j] - row[g, i] * row[f, j]
                    minor += pairs
            at += _U64(1)
    for i in range(count):
        u = elements[i]
        blockers[i, 0] = -1
        if size < 4:
            continue
        own, minor = lifted(0, u, coords), _U64(0)
        for f in range(4):
            for g in range(f + 1, 4):
                one, other = _16(own[f]), _16(own[g])
                s, t = _U64(f) * pairs, _U64(g) * pairs
                for k in range(pairs):
                    change = _16(_16(other * steps[s + k]) - _16(one * steps[t + k]))
                    here[minor + k] = _16(minors[minor + k] + change)
                minor += pairs
        first = _U64(0)
        for a in range(min(new, size - 3)):
            if blockers[i, 0] >= 0:
                break
            for b in range(a + 1, size - 2):
                rest = size - 1 - b
                tail = pairs - _U64(rest * (rest - 1) // 2)
                if vanishes(here, pairs, first + _U64(b - a - 1), tail):
                    on_a_sphere(u, order, size, a, b, coords, blockers, i)
                    if blockers[i, 0] >= 0:
                        break
            first += _U64(size - 1 - a)


@helper
def vanishes(p, n, s, tail):
    """Tell whether pair s and one of the n from ``tail`` on have no determinant modulo 2^16."""
    n2, n3, n4, n5 = n + n, n + n + n, _U64(4) * n, _U64(5) * n
    c0, c1, c2 = p[s], p[s + n], p[s + n2]
    c3, c4, c5 = p[s + n3], p[s + n4], p[s + n5]
    found = _16(0)
    for t in range(tail, n):
        d = _16(_16(c0 * p[n5 + t]) - _16(c1 * p[n4 + t]))
        d = _16(d + _16(c2 * p[n3 + t]))
        d = _16(d + _16(c3 * p[n2 + t]))
        d = _16(d - _16(c4 * p[n + t]))
        d = _16(d + _16(c5 * p[t]))
        found = _16(found | _16(d == 0))
    return found != 0


@helper
def on_a_sphere(u, order, size, i, j, coords, blockers, row):
    """Write members i and j and two after them to a row if they are on a sphere with u."""
    a, b = lifted(u, order[i], coords), lifted(u, order[j], coords)
    for k in range(j + 1, size):
        e = normal(a, b, lifted(u, order[k], coords))
        for l in range(k + 1, size):
            d = lifted(u, order[l], coords)
            if e[0] * d[0] + e[1] * d[1] + e[2] * d[2] + e[3] * d[3] == 0:
                blockers[row, 0], blockers[row, 1] = order[i], order[j]
                blockers[row, 2], blockers[row, 3] = order[k], order[l]
                return


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


def on_a_common_sphere(points, convention):
    """Tell whether five points lie on a sphere or a plane: a determinant of order 4 vanishes.

    With the first as the origin, some a (x^2 + y^2 + z^2) + b x + c y + d z vanishes at the rest.
    """
    u, v, w = points[0]
    moved = [(x - u, y - v, z - w) for x, y, z in points[1:]]
    return determinant([(x, y, z, x * x + y * y + z * z) for x, y, z in moved]) == 0


def determinant(rows):
    """Expand along the first row; of order 2 at least."""
    if len(rows) == 2:
        (a, b), (c, d) = rows
        return a * d - b * c
    return sum(
        (-1) ** i * a * determinant([row[:i] + row[i + 1 :] for row in rows[1:]])
        for i, a in enumerate(rows[0])
        if a
    )


ON_A_SPHERE_IN_C = """
/* With the last point as the origin: some a (x^2 + y^2 + z^2) + b x + c y + d z vanishes at the
   other four. */
static int forbidden(const long *const p[], int convention) {
    long rows[4][4];
    (void)convention;
    for (int i = 0; i < 4; i++) {
        rows[i][3] = 0;
        for (int k = 0; k < 3; k++) {
            rows[i][k] = p[i][k] - p[4][k];
            rows[i][3] += rows[i][k] * rows[i][k];
        }
    }
    return det4(rows) == 0;
}
"""


class NoFiveOnASphere(Problem):
    """Largest sets of cells of the n x n x n cube, no five on a sphere; a plane counts as one."""

    name = "no-5-on-a-sphere"
    title = "no five points of the n x n x n cube lie on a sphere or a plane"
    arity = 5
    hook = block
    find_blockers = find_blockers
    checker = check
    checker_degree = 5
    definition = Definition(in_the_cube, on_a_common_sphere, IN_THE_CUBE_IN_C + ON_A_SPHERE_IN_C)

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
        """Return the best known value from n = 7 on, with where it was first reported."""
        if n in _KNOWN:
            value, source, date = _KNOWN[n]
            return Known(value, source, date=date)
        return None


_ALPHA_EVOLVE = "AlphaEvolve, arXiv:2511.02864, problem 6.60"
_DEMONSTRANDUM = "Demonstrandum, doi:10.5281/zenodo.20673865"
_MENDEL = "hashkanna/mendel-evolve on GitHub"
_ALGAL = "hraness/algal-lab on GitHub"
_KNOWN = {
    7 + i: (value, _ALPHA_EVOLVE, "2025-11") for i, value in enumerate((21, 23, 26, 28, 31, 33))
}
_KNOWN |= {13: (36, _DEMONSTRANDUM, "2026-06"), 14: (38, _DEMONSTRANDUM, "2026-06")}
_KNOWN |= {15 + i: (value, _MENDEL, "2026-10") for i, value in enumerate((42, 44, 46))}
_KNOWN |= {18: (48, _ALGAL, "2026-09")}
_LATER = (51, 54, 56, 59, 62, 64, 66, 70, 72, 74, 76, 80, 82, 85, 86, 90, 91, 94, 96, 99, 102, 104)
_KNOWN |= {19 + i: (value, _MENDEL, "2026-10") for i, value in enumerate(_LATER)}

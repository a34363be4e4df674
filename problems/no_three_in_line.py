"""No three in line: no three points of the grid on any straight line, whatever its slope."""

import numpy as np

from pipeline.core.ground_set import GroundSet
from pipeline.problem import Definition, DegreeConstraints, Known, Problem, blocking_hook, checker
from problems.grid import ON_THE_GRID_IN_C, bump, on_the_grid, padded, read, square_grid, walk


@blocking_hook
def block(v, members, size, inside, slot, counts, delta, coords, tables):
    """Count for each cell the lines through v and a member that it lies on; O(size * n)."""
    at, steps, head = tables[0], tables[1], tables[2]
    n = np.int64(head[0])
    stride, width, pad = 3 * n - 2, 2 * n - 1, n - 1
    outside, change = np.int32(len(inside)), np.int32(delta)
    home = (coords[v, 0] + pad) * stride + coords[v, 1] + pad
    for i in range(size):
        w = read(members, i)
        dr = np.int64(coords[w, 0]) - coords[v, 0]
        dc = np.int64(coords[w, 1]) - coords[v, 1]
        step = np.int64(read(steps, (dr + pad) * width + dc + pad))
        walk(at, home + step, step, outside, counts, slot, change)
        walk(at, home - step, -step, outside, counts, slot, change)
        # The walk passed w itself, which closes nothing.
        bump(counts, slot, w, -change)


@checker
def check(points, size, coords, witness):
    """Find a point that sees two others in one direction up to sign; O(size**2 log n)."""
    span = 0
    for i in range(size):
        span = max(span, coords[points[i], 0], coords[points[i], 1])
    width = 2 * span + 1
    seen_by = np.full((span + 1) * width, -1, np.int32)
    partner = np.empty((span + 1) * width, np.int32)
    for i in range(size):
        a = points[i]
        for j in range(i + 1, size):
            b = points[j]
            dr = coords[b, 0] - coords[a, 0]
            dc = coords[b, 1] - coords[a, 1]
            x, y = abs(dr), abs(dc)
            while y:
                x, y = y, x % y
            dr //= x
            dc //= x
            if dr < 0 or (dr == 0 and dc < 0):
                dr, dc = -dr, -dc
            key = dr * width + dc + span
            if seen_by[key] == i:
                witness[0], witness[1], witness[2] = a, partner[key], b
                return 3
            seen_by[key] = i
            partner[key] = b
    return 0


def in_line(points, convention):
    """Tell whether three points lie on a line: their triangle has no area."""
    (ax, ay), (bx, by), (cx, cy) = points
    return (bx - ax) * (cy - ay) == (by - ay) * (cx - ax)


IN_LINE_IN_C = """
/* Two points are in the same direction from a third if the reduced steps to them are equal, or
   opposite. */
static void reduced_step(const long *a, const long *b, long step[2]) {
    long x = b[0] - a[0], y = b[1] - a[1], p = labs(x), q = labs(y);
    while (q) {
        long r = p % q;
        p = q;
        q = r;
    }
    step[0] = x / p;
    step[1] = y / p;
}
static int forbidden(const long *const p[], int convention) {
    long u[2], v[2];
    (void)convention;
    reduced_step(p[0], p[1], u);
    reduced_step(p[0], p[2], v);
    return (u[0] == v[0] && u[1] == v[1]) || (u[0] == -v[0] && u[1] == -v[1]);
}
"""


class NoThreeInLine(Problem):
    """Largest sets of cells of the n x n grid with no three on a line; at most 2n."""

    name = "no-3-in-line"
    title = "no three points of the n x n grid lie on a straight line"
    arity = 3
    hook = block
    checker = check
    definition = Definition(on_the_grid, in_line, ON_THE_GRID_IN_C + IN_LINE_IN_C)

    def ground_set(self, n: int) -> GroundSet:
        """Return the square grid with its dihedral group."""
        return square_grid(n)

    def ground_size(self, n: int) -> int:
        """Return n * n."""
        return n * n

    def tables(self, n: int) -> tuple[np.ndarray, ...]:
        """Return the grid padded by n - 1 on each side, and the step of each difference."""
        stride, pad = 3 * n - 2, n - 1
        dr, dc = (axis.ravel() - pad for axis in np.indices((2 * n - 1, 2 * n - 1)))
        g = np.maximum(np.gcd(dr, dc), 1)
        return padded(n), dr // g * stride + dc // g, np.array([n])

    def degree_constraints(self, n: int) -> DegreeConstraints | None:
        """Return the rows and columns, two cells in each; the outer ones have lower numbers.

        A search that breaks ties in favour of the inner ones finds three times as much at even n.
        """
        if n < 2:
            return None
        line = np.arange(n)
        outer_first = np.argsort(np.tile(np.minimum(line, n - 1 - line), 2), kind="stable")
        number = np.empty(2 * n, np.int32)
        number[outer_first] = np.arange(2 * n)
        row, column = (axis.ravel() for axis in np.indices((n, n)))
        classes = np.stack([number[row], number[n + column]], axis=1)
        return DegreeConstraints(classes, np.full(2 * n, 2, np.int32))

    def known(self, n: int) -> Known | None:
        """Return 2n where so many points are known to be possible, which is then the most."""
        if n == 1:
            return Known(1, "there is one cell", proved=True, date="2026-11")
        if n <= 60:
            return Known(2 * n, f"{_TWO_TO_A_ROW}; {_PRELLBERG}", proved=True, date="2026-08")
        if n <= 74 or n == 76:
            return Known(2 * n, f"{_TWO_TO_A_ROW}; {_BEYOND}", proved=True, date="2026-08")
        return None


# No row holds more than two, which proves that 2n are the most; the sets are others' finds.
_TWO_TO_A_ROW = "two to a row at most; sets in Flammenkamp's database"
_PRELLBERG = "Prellberg, arXiv:2602.07751"
_BEYOND = "Riley, Prellberg, Heule"

"""No isosceles triangle: no three points of the grid, one equally far from the other two."""

import numpy as np

from pipeline.core.ground_set import GroundSet
from pipeline.problem import Definition, Known, Problem, blocking_hook, checker, helper
from problems.grid import ON_THE_GRID_IN_C, bump, on_the_grid, padded, read, square_grid, walk

FLAT_FORBIDDEN, FLAT_ALLOWED = "flat-forbidden", "flat-allowed"
FLAT_IS_ALLOWED = 1


@blocking_hook
def block(v, members, size, inside, slot, counts, delta, coords, tables):
    """Count for each cell the isosceles triples it would close with v and one member.

    A triple has exactly one apex (three lattice points are never equilateral), so it is met
    once: apex v, apex w (circles of radius |vw|) or apex u (the bisector of v and w).
    O(size * (r(d) + n)) with r(d) the lattice points on a circle. A count is below
    size**2 <= m**2 / 4 < 2**31 for n <= 128, since a valid or nearly valid set is far smaller.
    """
    at, offsets, pairs, head = tables
    n = np.int64(head[0])
    stride, width, pad = 3 * n - 2, 2 * n - 1, n - 1
    outside, change = np.int32(len(inside)), np.int32(delta)
    home = (coords[v, 0] + pad) * stride + coords[v, 1] + pad
    for i in range(size):
        w = read(members, i)
        dr = np.int64(coords[w, 0]) - coords[v, 0]
        dc = np.int64(coords[w, 1]) - coords[v, 1]
        there = home + dr * stride + dc
        k = 4 * ((dr + pad) * width + dc + pad)
        for e in range(read(pairs, k), read(pairs, k + 1)):
            around = read(offsets, e)
            bump(counts, slot, read(at, home + around), change)
            bump(counts, slot, read(at, there + around), change)
        # Each circle passes through the other point, which closes nothing.
        bump(counts, slot, w, -change)
        bump(counts, slot, v, -change)
        step = np.int64(read(pairs, k + 3))
        if step != 0:
            first = home + read(pairs, k + 2)
            walk(at, first, step, outside, counts, slot, change)
            walk(at, first - step, -step, outside, counts, slot, change)
        if head[1] == FLAT_IS_ALLOWED:
            # Take back the flat triples: v, w and the reflection of one in the other, and
            # their midpoint where it is a cell.
            bump(counts, slot, read(at, home - dr * stride - dc), -change)
            bump(counts, slot, read(at, there + dr * stride + dc), -change)
            if dr % 2 == 0 and dc % 2 == 0:
                bump(counts, slot, read(at, home + dr // 2 * stride + dc // 2), -change)


@helper
def _find(points, size, coords, witness, flat_is_allowed):
    """Find an apex with two points at one distance; O(size**2).

    Where flat triples are allowed, two points opposite each other are none. Comparing with the
    first at a distance is enough then: a third is opposite to at most one of the two.
    """
    span = 0
    for i in range(size):
        span = max(span, coords[points[i], 0], coords[points[i], 1])
    seen_by = np.full(2 * span * span + 1, -1, np.int32)
    first = np.empty(2 * span * span + 1, np.int32)
    for i in range(size):
        a = points[i]
        for j in range(size):
            b = points[j]
            if a == b:
                continue
            dr = coords[a, 0] - coords[b, 0]
            dc = coords[a, 1] - coords[b, 1]
            d = dr * dr + dc * dc
            if seen_by[d] != i:
                seen_by[d] = i
                first[d] = b
                continue
            c = first[d]
            opposite = (
                coords[b, 0] + coords[c, 0] == 2 * coords[a, 0]
                and coords[b, 1] + coords[c, 1] == 2 * coords[a, 1]
            )
            if not (flat_is_allowed and opposite):
                witness[0], witness[1], witness[2] = c, a, b
                return 3
    return 0


@checker
def check_flat_forbidden(points, size, coords, witness):
    """Find an isosceles triple, three points on a line among them."""
    return _find(points, size, coords, witness, False)


@checker
def check_flat_allowed(points, size, coords, witness):
    """Find an isosceles triangle of positive area."""
    return _find(points, size, coords, witness, True)


def isosceles(points, convention):
    """Tell whether three points form an isosceles triangle.

    Under "flat-allowed" a point halfway between the other two is no triangle; under
    "flat-forbidden" it is one.
    """
    for i in range(3):
        (ax, ay), (bx, by), (cx, cy) = points[i], points[i - 1], points[i - 2]
        if (ax - bx) ** 2 + (ay - by) ** 2 == (ax - cx) ** 2 + (ay - cy) ** 2:
            halfway = 2 * ax == bx + cx and 2 * ay == by + cy
            return not (halfway and convention == "flat-allowed")
    return False


ISOSCELES_IN_C = """
/* c is as far from a as from b if (a - b) . (a + b - 2c) = 0; a + b = 2c is a midpoint, and that is
   allowed under the convention 1. */
static int is_apex(const long *a, const long *b, const long *c, int convention) {
    long x = a[0] + b[0] - 2 * c[0], y = a[1] + b[1] - 2 * c[1];
    if (x == 0 && y == 0) return convention == 0;
    return (a[0] - b[0]) * x + (a[1] - b[1]) * y == 0;
}
static int forbidden(const long *const p[], int convention) {
    return is_apex(p[0], p[1], p[2], convention) || is_apex(p[1], p[2], p[0], convention)
        || is_apex(p[2], p[0], p[1], convention);
}
"""


class Isosceles(Problem):
    """Largest sets of cells of the n x n grid without an isosceles triangle."""

    name = "isosceles"
    title = "no three points of the n x n grid form an isosceles triangle"
    arity = 3
    conventions = (FLAT_FORBIDDEN, FLAT_ALLOWED)
    hook = block
    definition = Definition(on_the_grid, isosceles, ON_THE_GRID_IN_C + ISOSCELES_IN_C)

    def __init__(self, convention: str | None = None) -> None:
        """Take "flat-forbidden" (a midpoint of two points counts, the default) or the other."""
        super().__init__(convention)
        flat = self.convention == FLAT_FORBIDDEN
        self.checker = check_flat_forbidden if flat else check_flat_allowed

    checker = check_flat_forbidden

    def ground_set(self, n: int) -> GroundSet:
        """Return the square grid with its dihedral group."""
        return square_grid(n)

    def ground_size(self, n: int) -> int:
        """Return n * n."""
        return n * n

    def tables(self, n: int) -> tuple[np.ndarray, ...]:
        """Return the padded grid, the circles, and what belongs to each difference of cells."""
        return _geometry(n, self.convention == FLAT_ALLOWED)

    def known(self, n: int) -> Known | None:
        """Return the best known value at n under this convention."""
        return (KNOWN if self.convention == FLAT_FORBIDDEN else KNOWN_FLAT_ALLOWED).get(n)


def _geometry(n: int, flat_allowed: bool) -> tuple[np.ndarray, ...]:
    """Tables of the hook, in coordinates of a grid padded by n - 1 on each side.

    at: element of each padded cell, n * n outside. offsets: the lattice points of each
    circle about the origin, one circle after the other. pairs: for each difference (dr, dc)
    the range of its circle in ``offsets``, and the first lattice point and the step of the
    bisector between the origin and (dr, dc); step 0 when no lattice point lies on it.
    """
    stride, pad = 3 * n - 2, n - 1
    dr, dc = (axis.ravel() - pad for axis in np.indices((2 * n - 1, 2 * n - 1)))
    square = dr * dr + dc * dc
    order = np.argsort(square, kind="stable")
    offsets = (dr * stride + dc)[order]
    radii = square[order]
    first = np.searchsorted(radii, square, "left")
    last = np.searchsorted(radii, square, "right")

    g = np.gcd(dr, dc)
    g[square == 0] = 1
    ur, uc = dr // g, dc // g
    norm = ur * ur + uc * uc
    # q is on the bisector when q . u = g |u|^2 / 2; with s . u = 1 one such q is that times s.
    s_r, s_c = _bezout(ur, uc)
    level = g * norm // 2
    q_r, q_c = level * s_r, level * s_c
    # Move along the bisector to the first lattice point at or past the midpoint, so that
    # walking both ways from it meets every cell of the grid before leaving it.
    along = (-q_r * uc + q_c * ur) // np.maximum(norm, 1)
    q_r, q_c = q_r + along * uc, q_c - along * ur
    has_bisector = (square > 0) & (g * norm % 2 == 0)
    start = np.where(has_bisector, q_r * stride + q_c, 0)
    step = np.where(has_bisector, -uc * stride + ur, 0)
    pairs = np.stack([first, last, start, step], axis=1)
    return padded(n), offsets, pairs, np.array([n, FLAT_IS_ALLOWED if flat_allowed else 0])


def _bezout(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (s, t) with s a + t b = 1 for coprime pairs, by Euclid on whole arrays."""
    old_r, r = a.copy(), b.copy()
    old_s, s = np.ones_like(a), np.zeros_like(a)
    old_t, t = np.zeros_like(a), np.ones_like(a)
    while np.any(r):
        quotient = old_r // np.where(r == 0, 1, r)
        quotient[r == 0] = 0
        live = r != 0
        old_r, r = np.where(live, r, old_r), np.where(live, old_r - quotient * r, 0)
        old_s, s = np.where(live, s, old_s), np.where(live, old_s - quotient * s, s)
        old_t, t = np.where(live, t, old_t), np.where(live, old_t - quotient * t, t)
    return old_s * np.sign(old_r), old_t * np.sign(old_r)


# --------------------------------------------------------------------------- known values


def _values(
    first: int, values: list[int], source: str, date: str, proved: bool = False
) -> dict[int, Known]:
    """Return values for n = first, first + 1, ... that have one source."""
    found = enumerate(values, start=first)
    return {n: Known(value, source, proved, date) for n, value in found}


# Proofs: `pytest -m slow` repeats them to n = 12, `pipeline solve isosceles --n 13` the last.
_SOLVE = "exhaustive search by `pipeline solve`"
_OTHERS = "and by stefperf/antiisosceles and hashkanna/mendel-evolve"
_PATTERNBOOST = "PatternBoost, arXiv:2411.00566, section 4.1"
_MENDEL = "hashkanna/mendel-evolve"
_ALPHAEVOLVE = "AlphaEvolve repository of problems; arXiv:2511.02864, section 6.39"
# Certificates in records/ hold the sets; for none of these sizes is more to be found in print.
_SEARCH = "`pipeline search`, certificate in records/"
_EXCHANGED = ("`pipeline search` and `pipeline exchange`, certificate in records/", "2026-11-28")
_OURS, _LATER = (_SEARCH, "2026-11-24"), (_SEARCH, "2026-11-28")

# What a smaller grid holds, a larger one does: no value lies below the one before.
_FROM_33 = [60, 60, 62, 64, 64, 66, 70, 70, 72, 72, 76, 76]
_FROM_51 = [92, 92, 94, 94, 96, 96, 100, 100]
_FROM_65 = [112, 112, 116, 116, 116, 120, 122, 122, 128, 128, 128, 128]
_FROM_78 = [132, 136, 136, 136, 136, 140, 140, 144]
_FROM_87 = [148, 148, 148, 148]
_FROM_91 = [152, 152, 152, 152, 156, 156, 160, 160, 160]

KNOWN = {
    **_values(1, [1, 2, 4, 6, 7, 9, 10, 13], _SOLVE, "2026-11", proved=True),
    **_values(9, [16, 18, 18, 20, 22], f"{_SOLVE}, {_OTHERS}", "2026-11", proved=True),
    **_values(14, [24, 25], *_OURS),
    16: Known(28, _PATTERNBOOST, date="2024"),
    **_values(17, [30, 32, 34, 34, 38, 38, 41, 42, 44, 46], *_OURS),
    27: Known(48, _PATTERNBOOST, date="2024"),
    **_values(28, [48, 50, 54, 54], *_OURS),
    32: Known(58, _MENDEL, date="2026-10"),
    **_values(33, _FROM_33, *_OURS),
    **_values(45, [80, 80, 82, 84], *_LATER),
    **_values(49, [88, 88], *_EXCHANGED),
    **_values(51, _FROM_51, *_LATER),
    **_values(59, [104, 104, 104], *_OURS),
    **_values(62, [108, 108], *_LATER),
    64: Known(112, _ALPHAEVOLVE, date="2025"),
    **_values(65, _FROM_65, *_LATER),
    **_values(77, [131], *_EXCHANGED),
    **_values(78, _FROM_78, *_LATER),
    86: Known(144, "that of n = 85, which the grid holds", date="2026-11-28"),
    **_values(87, _FROM_87, *_LATER),
    **_values(91, _FROM_91, *_LATER),
    100: Known(164, _ALPHAEVOLVE, date="2025"),
}

# The sequence is conjectured to go on as 2n - 2.
KNOWN_FLAT_ALLOWED = _values(
    1, [1, 2, 4, 6, 8, 10, 12, 14, 16, 18], f"OEIS A271914; {_SOLVE}", "2026-11", proved=True
)

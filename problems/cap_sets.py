"""Cap sets: no three points of F_3^n on a line."""

from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np

from pipeline.core.ground_set import GroundSet
from pipeline.problem import Definition, Known, Problem, blocking_hook, checker


@blocking_hook
def block(v, members, size, inside, slot, counts, delta, coords, tables):
    """Count the third point of the line through v and each member; O(size).

    An element is a number in base 3, and the digits of the third point are -(a + b) modulo 3: a
    table has them for one half of the digits, which are the low and the high ones in turn.
    """
    third, half = tables[0], np.int64(tables[1][0])
    high, low = v // half * half, v % half * half
    for i in range(size):
        a, b = members[i] // half, members[i] % half
        u = third[np.uint64(high + a)] * half + third[np.uint64(low + b)]
        counts[np.uint64(slot[np.uint64(u)])] += delta


@checker
def check(points, size, coords, witness):
    """Look for the third point of the line through each pair; O(3^n + size^2 n)."""
    n = coords.shape[1]
    point_at = np.full(3**n, -1, np.int32)
    for i in range(size):
        code = 0
        for x in coords[points[i]]:
            code = 3 * code + x
        point_at[code] = points[i]
    for i in range(size):
        for j in range(i):
            a, b = points[i], points[j]
            code = 0
            for x in range(n):
                s = coords[a, x] + coords[b, x]
                code = 3 * code + (2 * s) % 3
            if point_at[code] >= 0:
                witness[0], witness[1], witness[2] = a, b, point_at[code]
                return 3
    return 0


def a_vector(point, n):
    """Tell whether a point is in F_3^n."""
    return len(point) == n and all(0 <= x <= 2 for x in point)


def on_a_line(points, convention):
    """Tell whether three points are on a line: they are if their sum is zero."""
    return all(sum(point[i] for point in points) % 3 == 0 for i in range(len(points[0])))


ON_A_LINE_IN_C = """\
static int inside(const long *p, long n) {
    for (int k = 0; k < DIMENSION; k++)
        if (p[k] < 0 || p[k] > 2) return 0;
    return DIMENSION == n;
}
/* Three points are on a line if in each coordinate all are equal or all differ. */
static int forbidden(const long *const p[], int convention) {
    (void)convention;
    for (int k = 0; k < DIMENSION; k++) {
        int equal = (p[0][k] == p[1][k]) + (p[1][k] == p[2][k]) + (p[2][k] == p[0][k]);
        if (equal == 1) return 0;
    }
    return 1;
}
"""


class CapSets(Problem):
    """Largest sets of points of F_3^n with no three on a line."""

    name = "cap-sets"
    title = "no three points of F_3^n lie on a line"
    arity = 3
    hook = block
    checker = check
    definition = Definition(a_vector, on_a_line, ON_A_LINE_IN_C)

    def ground_set(self, n: int) -> GroundSet:
        """Return F_3^n; element k is the point whose coordinates are the digits of k in base 3.

        The group is that of the changes of signs, by which coordinates 1 and 2 change places
        (order 2^n; all affine maps are too many to be listed). Of its classes these are tried:
        blocks-B, in which the coordinates are cut into B blocks as equal as possible and those of a
        block change signs together; central (one block), which is the reflection in the origin;
        even-signs, where an even number of coordinates change signs.
        """
        coords = np.stack([axis.ravel() for axis in np.indices((3,) * n)], axis=1)
        group = np.stack([_signs(coords, chosen) for chosen in product((False, True), repeat=n)])
        # Row k of the group changes the signs of the coordinates that are 1 among the digits of k.
        bits = 2 ** np.arange(n)[::-1]
        names = {
            "central" if count == 1 else f"blocks-{count}": tuple(
                int(block.sum()) for block in np.array_split(bits, count)
            )
            for count in range(1, n + 1)
        }
        if n > 2:
            names["even-signs"] = tuple(int(a + b) for a, b in pairwise(bits))
        return GroundSet(n, coords.astype(np.int32), group, names, only_named=True)

    def ground_size(self, n: int) -> int:
        """Return 3 ** n."""
        return 3**n

    def tables(self, n: int) -> tuple[np.ndarray, ...]:
        """Return the third point for each two halves of the digits, and how many halves there are.

        A half has n / 2 digits, rounded up.
        """
        halves = np.stack([axis.ravel() for axis in np.indices((3,) * ((n + 1) // 2))], axis=1)
        place = 3 ** np.arange(halves.shape[1])[::-1]
        return -(halves[:, None] + halves[None]) % 3 @ place, np.array([len(halves)])

    def known(self, n: int) -> Known | None:
        """Return the largest size to n = 6, and best known values for n = 7 and 8."""
        return _KNOWN.get(n)


def _signs(coords: np.ndarray, chosen: Sequence[bool]) -> np.ndarray:
    """Return where each point goes when the chosen coordinates change their signs, int32 (m,)."""
    n = coords.shape[1]
    return (np.where(chosen, -coords % 3, coords) @ 3 ** np.arange(n)[::-1]).astype(np.int32)


_OEIS = "OEIS A090245 (Pellegrino; Edel, Ferret, Landjev, Storme; Potechin)"
_KNOWN = {
    n: Known(value, _OEIS, proved=True, date="2024-12")
    for n, value in enumerate((2, 4, 9, 20, 45, 112), start=1)
}
_KNOWN[7] = Known(236, "Calderbank and Fishburn, 1994")
_KNOWN[8] = Known(512, "FunSearch, doi:10.1038/s41586-023-06924-6", date="2023-12")

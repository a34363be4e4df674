"""0/1 matrices without the pattern 312, of the largest permanent."""

import numpy as np

from pipeline.problem import Known, Problem, compiled, suited


@compiled
def permanents(cells, n, found):
    """Write the permanent of each packed n x n matrix to int64 ``found``, row by row.

    After r rows there is a number for each set of r columns that these rows can fill; few can be
    filled where the ones are few. O(n * sets * log(sets)).
    """
    for which in range(len(cells)):
        masks, ways = np.zeros(1, np.int64), np.ones(1, np.int64)
        for r in range(n):
            columns = np.empty(n, np.int64)
            count = 0
            for c in range(n):
                v = r * n + c
                if cells[which, v >> 3] >> (v & 7) & 1:
                    columns[count] = c
                    count += 1
            new_masks = np.empty(len(masks) * count, np.int64)
            new_ways = np.empty(len(masks) * count, np.int64)
            made = 0
            for i in range(len(masks)):
                for k in range(count):
                    if not masks[i] >> columns[k] & 1:
                        new_masks[made] = masks[i] | np.int64(1) << columns[k]
                        new_ways[made] = ways[i]
                        made += 1
            order = np.argsort(new_masks[:made])
            masks, ways = np.empty(made, np.int64), np.empty(made, np.int64)
            kept = 0
            for i in order:
                if kept > 0 and masks[kept - 1] == new_masks[i]:
                    ways[kept - 1] += new_ways[i]
                else:
                    masks[kept], ways[kept] = new_masks[i], new_ways[i]
                    kept += 1
            masks, ways = masks[:kept], ways[:kept]
        found[which] = ways[0] if len(ways) else 0


class Permanent312(Problem):
    """0/1 n x n matrices without the pattern 312, of the largest permanent.

    The pattern: no rows i < j < k and columns c < d < e with ones at (i, e), (j, c) and (k, d). An
    element is a cell that holds a one. Of these matrices the permanent counts the permutation
    matrices below them, all of which avoid 312.
    """

    name = "permanent-312"
    title = "0/1 matrix without the pattern 312, of the largest permanent"
    unit = "permanent"

    def elements(self, n):
        """Return the cells of the matrix."""
        return [(row, column) for row in range(n) for column in range(n)]

    def forbidden(self, a, b, c):
        """Tell whether three ones form the pattern 312."""
        first = a if a[0] < b[0] else b
        second = b if a[0] < b[0] else a
        third = c
        if c[0] < first[0]:
            first, second, third = c, first, second
        elif c[0] < second[0]:
            second, third = c, second
        rising = first[0] < second[0] < third[0]
        return rising and second[1] < third[1] < first[1]

    def symmetries(self, n):
        """Return the reflection in the antidiagonal, which keeps the pattern and the permanent."""
        return [lambda cell: (n - 1 - cell[1], n - 1 - cell[0])]

    def score(self, cells, n):
        """Return the permanents."""
        found = np.zeros(len(cells), np.int64)
        suited(permanents, 20.0 * len(cells) * n**3)(np.ascontiguousarray(cells), n, found)
        return found

    def known(self, n: int) -> Known | None:
        """Return the largest known permanent: proved to n = 8."""
        if n <= len(_PROVED):
            return Known(_PROVED[n - 1], _SOURCE, proved=True)
        return Known(_FOUND[n], _SOURCE) if n in _FOUND else None


_SOURCE = "OEIS A343844, as quoted with the code of PatternBoost"
_PROVED = [1, 2, 4, 8, 16, 32, 64, 120]
_FOUND = {9: 225, 10: 424, 11: 795, 12: 1484, 13: 2809, 16: 18488, 19: 122256, 20: 227264}
_FOUND |= {22: 794910, 25: 5200384}

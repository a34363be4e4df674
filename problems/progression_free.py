"""Numbers without three in arithmetic progression: as many of 1 .. n as possible."""

import numpy as np

from pipeline.problem import Known, Problem


class ProgressionFree(Problem):
    """The most numbers of 1 .. n with no three in arithmetic progression."""

    name = "progression-free"

    def elements(self, n):
        """Return 1 .. n."""
        return [(k,) for k in range(1, n + 1)]

    def forbidden(self, a, b, c):
        """Tell whether one of three numbers is in the middle of the others."""
        return a[0] + c[0] == 2 * b[0] or a[0] + b[0] == 2 * c[0] or b[0] + c[0] == 2 * a[0]

    def known(self, n: int) -> Known | None:
        """Return the largest size to n = 209."""
        if n > _LEAST[-1]:
            return None
        size = int(np.searchsorted(_LEAST, n, side="right"))
        return Known(size, "OEIS A065825", proved=True, date="2025-02")


# fmt: off
# The least n that allow 1, 2, ... numbers.
_LEAST = [
    1, 2, 4, 5, 9, 11, 13, 14, 20, 24, 26, 30, 32, 36, 40, 41, 51, 54, 58, 63, 71, 74, 82, 84, 92,
    95, 100, 104, 111, 114, 121, 122, 137, 145, 150, 157, 163, 165, 169, 174, 194, 204, 209,
]
# fmt: on

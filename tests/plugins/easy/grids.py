"""Grid problems by their rule alone; the shipped ones and their hooks must say the same."""

from pipeline import Problem


class Grid(Problem):
    def elements(self, n):
        return [(x, y) for x in range(n) for y in range(n)]


class Isosceles(Grid):
    """The most cells of the n x n grid with no three at the corners of an isosceles triangle."""

    def forbidden(self, a, b, c):
        (ax, ay), (bx, by), (cx, cy) = a, b, c
        ab = squared(ax - bx, ay - by)
        bc = squared(bx - cx, by - cy)
        ca = squared(cx - ax, cy - ay)
        return ab == bc or bc == ca or ca == ab


class Lines(Grid):
    """The most cells of the n x n grid with no three on a line."""

    def forbidden(self, a, b, c):
        return (b[0] - a[0]) * (c[1] - a[1]) == (b[1] - a[1]) * (c[0] - a[0])


class Steps(Grid):
    """The most cells with no two a knight's move apart."""

    def forbidden(self, a, b):
        return abs((a[0] - b[0]) * (a[1] - b[1])) == 2


def squared(x, y):
    return x * x + y * y

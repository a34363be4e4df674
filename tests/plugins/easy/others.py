"""Problems that are no grids: the rule uses n, whole rows, self, or more than numba compiles."""

from itertools import product

from pipeline import Problem


class CapSets(Problem):
    """The most points of F_3^n with no three on a line."""

    def elements(self, n):
        return list(product(range(3), repeat=n))

    def forbidden(self, a, b, c):
        return ((a + b + c) % 3 == 0).all()


class Sidon(Problem):
    """The most numbers modulo n whose differences are distinct."""

    name = "sidon-modulo"
    smallest = 4

    def elements(self, n):
        return range(n)

    def forbidden(self, a, b, c, d, n):
        (p,), (q,), (r,), (s,) = a, b, c, d
        return (p + q - r - s) % n == 0 or (p + r - q - s) % n == 0 or (p + s - q - r) % n == 0

    def forbidden_three(self, a, b, c, n):
        return any_middle(a[0], b[0], c[0], n)

    def forbidden_two(self, a, b, n):
        return 2 * (a[0] - b[0]) % n == 0


def any_middle(p, q, r, n):
    """Tell whether one is in the middle of the two others."""
    return (p + q - 2 * r) % n == 0 or (p + r - 2 * q) % n == 0 or (q + r - 2 * p) % n == 0


class Plain(Problem):
    """The most numbers of 1..n with no two whose digits are the same set, in a base."""

    conventions = ("ten", "two")

    def elements(self, n):
        return [(k,) for k in range(1, n + 1)]

    def forbidden(self, a, b):
        base = "d" if self.convention == "ten" else "b"
        return set(format(int(a[0]), base)) == set(format(int(b[0]), base))


class Corners(Problem):
    """The most cells of the n x n grid with no corner, symmetries given by hand."""

    def elements(self, n):
        return [(x, y) for x in range(n) for y in range(n)]

    def symmetries(self, n):
        return [lambda p: (p[1], p[0])]

    def forbidden(self, a, b, c):
        return is_corner(a, b, c) or is_corner(b, c, a) or is_corner(c, a, b)


def is_corner(a, b, c):
    """Tell whether b and c are to the right of a and above it, as far, in either order."""
    d = b[0] - a[0] + c[0] - a[0]
    right = b[1] == a[1] and c[0] == a[0] and b[0] - a[0] == d and c[1] - a[1] == d
    above = c[1] == a[1] and b[0] == a[0] and c[0] - a[0] == d and b[1] - a[1] == d
    return d > 0 and (right or above)

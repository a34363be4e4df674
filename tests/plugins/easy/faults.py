"""Faults that a first try may have; each must be told in one line."""

from typing import Any

from pipeline import Problem


class Numbers(Problem):
    def elements(self, n):
        return range(n)


class Asymmetric(Numbers):
    def forbidden(self, a, b, c):
        return a[0] + b[0] == c[0]


class Never(Numbers):
    def forbidden(self, a, b, c):
        return False


class Always(Numbers):
    def forbidden(self, a, b, c):
        return True


class Raises(Numbers):
    def forbidden(self, a, b, c):
        return a[1] == b[0]


class Floats(Problem):
    def elements(self, n) -> Any:
        return [(0.5 * i,) for i in range(n)]

    def forbidden(self, a, b, c):
        return a[0] + b[0] == 2 * c[0]


class Ragged(Floats):
    def elements(self, n):
        return [(1,), (1, 2)]


class Many(Floats):
    def elements(self, n):
        return range(10**7)


class NoRows(Floats):
    def elements(self, n):
        return n


class Empty(Floats):
    def elements(self, n):
        return []


class Twice(Floats):
    def elements(self, n):
        return [(1,), (1,), (2,)]


class Leaves(Numbers):
    def symmetries(self, n):
        return [lambda p: (p[0] + 1,)]

    def forbidden(self, a, b):
        return abs(a[0] - b[0]) == 2


class NoSymmetry(Leaves):
    def symmetries(self, n):
        return [lambda p: ((p[0] + 1) % n,)]


class Folds(Leaves):
    def symmetries(self, n):
        return [lambda p: (0,)]


class Nothing(Problem):
    """Neither elements nor forbidden."""

"""Objectives that are no size: weights, scores of any kind, and faults that both may have."""

import numpy as np

from pipeline import Problem


class Grid(Problem):
    def elements(self, n):
        return [(r, c) for r in range(n) for c in range(n)]

    def forbidden(self, a, b, c):
        return (b[0] - a[0]) * (c[1] - a[1]) == (b[1] - a[1]) * (c[0] - a[0])


class Heavy(Grid):
    """No three in line, weights that no symmetry keeps."""

    def weight(self, n):
        return np.random.default_rng(n).integers(1, 100, n * n)


class Columns(Grid):
    """No three in line, weights that one mirror keeps."""

    unit = "value"

    def weight(self, n):
        return [1 + min(c, n - 1 - c) + 10 * r for r in range(n) for c in range(n)]


class Weightless(Grid):
    def weight(self, n):
        return np.arange(n * n) % 3


class Path(Problem):
    """No two neighbours on a path, of which few and far apart ones are wanted."""

    def elements(self, n):
        return [(k,) for k in range(n)]

    def forbidden(self, a, b):
        return abs(a[0] - b[0]) == 1


class Sparse(Path):
    """The nearer to three elements, and to the middle, the better; never above 0."""

    unit = "distance"

    def score(self, cells, n):
        bits = self.bits(cells, n)
        away = np.abs(2 * np.arange(n) - n + 1)
        return -np.abs(bits.sum(axis=1) - 3) * 100 - bits @ away


class Slow(Path):
    """The same for each set, in many lines of Python."""

    def score(self, cells, n):
        found = []
        for row in self.bits(cells, n):
            total = 0
            for _ in range(50):
                for value in row.tolist():
                    total += value
            found.append(total // 50)
        return found


class NaN(Path):
    def score(self, cells, n):
        return np.full(len(cells), np.nan)


class Fraction(Path):
    def score(self, cells, n):
        return self.bits(cells, n).sum(axis=1) / 2


class Shape(Path):
    def score(self, cells, n):
        return 7


class Huge(Path):
    def score(self, cells, n):
        return self.bits(cells, n).sum(axis=1) * 10**12


class Fickle(Path):
    def score(self, cells, n):
        return np.random.default_rng().integers(0, 10**6, len(cells))


class Raises(Path):
    def score(self, cells, n):
        return self.bits(cells, n) @ np.ones(n + 1)


class Lopsided(Path):
    """A score that a symmetry of the rule does not keep."""

    def score(self, cells, n):
        return self.bits(cells, n) @ np.arange(n)


class LopsidedTurned(Lopsided):
    def symmetries(self, n):
        return [lambda p: (n - 1 - p[0],)]


class ShortWeights(Path):
    def weight(self, n):
        return [1] * (n - 1)


class NegativeWeights(Path):
    def weight(self, n):
        return [-1] * n


class FractionWeights(Path):
    def weight(self, n):
        return [0.5] * n


class HugeWeights(Path):
    def weight(self, n):
        return [2**31 - 1] * n

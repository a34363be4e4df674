"""Rules that authors might write: does numba compile them, do they work on whole arrays, how fast?

python benchmarks/array_rules.py
"""

import inspect
import math
import time
from fractions import Fraction
from itertools import combinations, permutations

import numpy as np

from pipeline import Problem

_SETS, _AGAIN, _N = 20_000, 20, 12


class Base(Problem):
    p = 7

    def elements(self, n):
        return [(x, y) for x in range(n) for y in range(n)]


BAD = {(0, 1, 2): True, (1, 2, 3): True}
SETS = {frozenset((0, 1)), frozenset((2, 5))}


class SelfSum(Base):
    def forbidden(self, a, b, c):
        return (
            a[0] * b[1] + b[0] * c[1] + c[0] * a[1] - a[1] * b[0] - b[1] * c[0] - c[1] * a[0]
        ) % self.p == 0


class SelfOr(Base):
    def forbidden(self, a, b, c):
        return (
            (a[0] + c[0] - 2 * b[0]) % self.p == 0
            or (a[0] + b[0] - 2 * c[0]) % self.p == 0
            or (b[0] + c[0] - 2 * a[0]) % self.p == 0
        )


class SelfConvention(Base):
    def forbidden(self, a, b, c):
        d = a[0] * b[1] + b[0] * c[1] + c[0] * a[1] - a[1] * b[0] - b[1] * c[0] - c[1] * a[0]
        if self.convention == "standard":
            return d == 0
        return abs(d) <= 1


class Digits(Base):
    def forbidden(self, a, b):
        return set(str(int(a[0]))) == set(str(int(b[0])))


class BitCount(Base):
    def forbidden(self, a, b):
        return bin(int(a[0]) ^ int(b[0])).count("1") < 3


class BitCount2(Base):
    def forbidden(self, a, b):
        return (int(a[0]) ^ int(b[0])).bit_count() < 3


class Lookup(Base):
    def forbidden(self, a, b, c):
        return tuple(sorted((int(a[0]), int(b[0]), int(c[0])))) in BAD


class Sets(Base):
    def forbidden(self, a, b):
        return frozenset((int(a[0]), int(b[0]))) in SETS


class Slopes(Base):
    def forbidden(self, a, b, c):
        if a[0] == b[0] or a[0] == c[0]:
            return a[0] == b[0] == c[0]
        return Fraction(int(a[1] - b[1]), int(a[0] - b[0])) == Fraction(
            int(a[1] - c[1]), int(a[0] - c[0])
        )


class AnyPerm(Base):
    def forbidden(self, a, b, c):
        return any(
            p[0] + r[0] == 2 * q[0] and p[1] + r[1] == 2 * q[1]
            for p, q, r in permutations((a, b, c))
        )


class SortedRows(Base):
    def forbidden(self, a, b, c):
        p, q, r = sorted((tuple(a), tuple(b), tuple(c)))
        return p[0] + r[0] == 2 * q[0]


class Distances(Base):
    def forbidden(self, a, b, c):
        return (
            len({(p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2 for p, q in combinations((a, b, c), 2)})
            < 3
        )


class PowMod(Base):
    def forbidden(self, a, b):
        return pow(int(a[0]) - int(b[0]), 3, 13) in (1, 5, 8, 12)


class Rank(Base):
    def forbidden(self, a, b, c):
        return np.linalg.matrix_rank(np.array([b - a, c - a])) < 2


class Gcd(Base):
    def forbidden(self, a, b):
        return np.gcd(a[0] - b[0], a[1] - b[1]) == 1


class IsIn(Base):
    def forbidden(self, a, b, c):
        return np.isin(a[0] + b[0] + c[0], (3, 5, 11))


class Hyp(Base):
    def forbidden(self, a, b):
        return math.dist(a, b) == 5


class Strs(Base):
    def forbidden(self, a, b):
        return str(a[0]) in str(b[0]) or str(b[0]) in str(a[0])


def measured(kind):
    """Return what there is to say of a problem, as a row of text."""
    problem, rng = kind(), np.random.default_rng(0)
    rule, coords = problem.derived.rules[0], np.array(problem.elements(_N))
    m = len(coords)
    sets = np.stack([rng.choice(m, rule.arity, replace=False) for _ in range(_SETS)])
    compiled = rule.compiled is not None
    began = time.process_time()
    plain = [rule.plain(problem, coords[row], _N) for row in sets]
    plain_us = (time.process_time() - began) / _SETS * 1e6
    points = [np.ascontiguousarray(coords[column].T) for column in sets.T]
    try:
        found, began = np.zeros(0), time.process_time()
        for _ in range(_AGAIN):
            found = rule.function(problem, *points)
        ns = (time.process_time() - began) / _SETS / _AGAIN * 1e9
        right = np.shape(found) == (_SETS,) and bool((found == np.array(plain)).all())
        told = f"right, {ns:.0f} ns" if right else "another shape"
    except Exception as error:  # noqa: BLE001 - whatever the rule raises is the answer
        told = type(error).__name__
    return f"{kind.__name__}: numba {compiled}, plain {plain_us:.1f} us, on arrays: {told}"


if __name__ == "__main__":
    for found in list(globals().values()):
        if inspect.isclass(found) and issubclass(found, Base) and found is not Base:
            print(measured(found))

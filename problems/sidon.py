"""Sidon sets: numbers whose sums in pairs, or whose differences, are distinct.

In 1 .. n they are Golomb rulers of length n - 1 at most. Two equal differences have four numbers,
or three (a progression), or modulo n two that are half of n apart. One hook does for both: numbers
of 1 .. n stay what they are modulo a number so large that nothing wraps around.
"""

from math import gcd

import numpy as np

from pipeline.core.ground_set import GroundSet
from pipeline.problem import Known, Problem, blocking_hook, helper

_U64 = np.uint64
#: The largest group that is listed.
_MOST = 20_000


@blocking_hook
def block(v, members, size, inside, slot, counts, delta, coords, tables):
    """Count the numbers that make two equal differences with v and two members or one; O(size^2).

    A count is below 3 size^2. Smaller forbidden sets within a larger one are left out: a difference
    whose double is zero, and three numbers in progression among four.
    """
    at, zero, modulus = tables[0], tables[1], np.int64(tables[2][0])
    change = np.int32(delta)
    if modulus % 2 == 0:
        bump(counts, slot, at, modulus, v + modulus // 2, change)
    for i in range(size):
        w = np.int64(members[i])
        d = w - v
        if not is_zero(zero, modulus, 4 * d):
            bump(counts, slot, at, modulus, w + d, change)
            if not is_zero(zero, modulus, 3 * d):
                bump(counts, slot, at, modulus, v - d, change)
        # Numbers in the middle: one modulo an odd number, two or none modulo an even one.
        for twice in (d, d + modulus):
            step = twice // 2
            if twice % 2 == 0 and not (
                is_zero(zero, modulus, 3 * step) or is_zero(zero, modulus, 4 * step)
            ):
                bump(counts, slot, at, modulus, v + step, change)
        for j in range(i):
            x = np.int64(members[j])
            e = x - v
            # A parallelogram has v, w and x, and u across from one of them.
            if is_plain(zero, modulus, d, e):
                bump(counts, slot, at, modulus, v + d + e, change)
            if is_plain(zero, modulus, e, d - e):
                bump(counts, slot, at, modulus, v + d - e, change)
            if is_plain(zero, modulus, d, e - d):
                bump(counts, slot, at, modulus, v + e - d, change)


@helper
def bump(counts, slot, at, modulus, number, change):
    """Add ``change`` to the count of a number, taken modulo the modulus; -modulus .. 4 modulus."""
    counts[_U64(slot[_U64(at[_U64(number + modulus)])])] += change


@helper
def is_zero(zero, modulus, number):
    """Tell whether a number from -4 modulus to 4 modulus is 0 modulo the modulus."""
    return zero[_U64(number + 4 * modulus)] != 0


@helper
def is_plain(zero, modulus, d, e):
    """Tell whether v, v + d, v + e and v + d + e are four that hold no smaller forbidden set."""
    if is_zero(zero, modulus, 2 * d) or is_zero(zero, modulus, 2 * e):
        return False
    if is_zero(zero, modulus, 2 * (d + e)) or is_zero(zero, modulus, 2 * (d - e)):
        return False
    if is_zero(zero, modulus, d + 2 * e) or is_zero(zero, modulus, d - 2 * e):
        return False
    return not (is_zero(zero, modulus, e + 2 * d) or is_zero(zero, modulus, e - 2 * d))


def hook_tables(n: int, modulus: int) -> tuple[np.ndarray, ...]:
    """Return the element of each number from -modulus on, what is zero, and the modulus."""
    residue = np.arange(-modulus, 4 * modulus) % modulus
    zero = np.arange(-4 * modulus, 4 * modulus + 1) % modulus == 0
    return np.where(residue < n, residue, n), zero, np.array([modulus])


class Sidon(Problem):
    """The most numbers of 1 .. n whose differences are distinct: Golomb rulers."""

    name = "sidon"
    hook = block

    def elements(self, n):
        """Return 1 .. n."""
        return [(k,) for k in range(1, n + 1)]

    def forbidden(self, a, b, c, d):
        """Tell whether two of four numbers have the sum of the others."""
        (p,), (q,), (r,), (s,) = a, b, c, d
        return p + q == r + s or p + r == q + s or p + s == q + r

    def forbidden_three(self, a, b, c):
        """Tell whether three numbers are in progression."""
        (p,), (q,), (r,) = a, b, c
        return p + q == 2 * r or p + r == 2 * q or q + r == 2 * p

    def symmetries(self, n):
        """Return the reflection."""
        return [lambda p: (n + 1 - p[0],)]

    def tables(self, n: int) -> tuple[np.ndarray, ...]:
        """Return the tables of a modulus at which no sum of three wraps around."""
        return hook_tables(n, 8 * n)

    def known(self, n: int) -> Known | None:
        """Return the largest size to n = 586, by the shortest Golomb rulers."""
        if n > _RULERS[-1] + 1:
            return None
        marks = int(np.searchsorted(_RULERS, n - 1, side="right"))
        return Known(marks, "OEIS A003022", proved=True, date="2025-02")


class SidonModulo(Problem):
    """The most numbers modulo n whose sums in pairs are distinct, doubles among them."""

    name = "sidon-mod"
    hook = block

    def elements(self, n):
        """Return 0 .. n - 1."""
        return [(k,) for k in range(n)]

    def forbidden(self, a, b, c, d, n):
        """Tell whether two of four numbers have the sum of the others modulo n."""
        (p,), (q,), (r,), (s,) = a, b, c, d
        return (p + q - r - s) % n == 0 or (p + r - q - s) % n == 0 or (p + s - q - r) % n == 0

    def forbidden_three(self, a, b, c, n):
        """Tell whether three numbers are in progression modulo n."""
        (p,), (q,), (r,) = a, b, c
        return (p + q - 2 * r) % n == 0 or (p + r - 2 * q) % n == 0 or (q + r - 2 * p) % n == 0

    def forbidden_two(self, a, b, n):
        """Tell whether two numbers are half of n apart."""
        return 2 * (a[0] - b[0]) % n == 0

    def ground_set(self, n: int) -> GroundSet:
        """Return the numbers modulo n, with all maps x -> a x + b, a without factors of n's.

        Beyond 20,000 of these the group has b = 0 alone. The classes tried are times-A, powers of A
        as factors: many good sets go into themselves when multiplied.
        """
        numbers = np.arange(n)
        units = [a for a in range(1, n + 1) if gcd(a, n) == 1]
        shifts = numbers if n * len(units) <= _MOST else numbers[:1]
        group = np.concatenate([(a * numbers + shifts[:, None]) % n for a in units])
        names, seen = {}, {frozenset([1 % n])}
        for i, a in enumerate(units):
            powers, power = {1 % n}, a % n
            while power not in powers:
                powers.add(power)
                power = power * a % n
            if frozenset(powers) not in seen:
                seen.add(frozenset(powers))
                names[f"times-{a}"] = (i * len(shifts),)
        return GroundSet(n, numbers[:, None], group.astype(np.int32), names, only_named=True)

    def tables(self, n: int) -> tuple[np.ndarray, ...]:
        """Return the tables of the modulus n."""
        return hook_tables(n, n)

    def known(self, n: int) -> Known | None:
        """Return the largest size to n = 84, and for the least n that allow 10 to 14 numbers."""
        if n <= len(_MODULO):
            return Known(_MODULO[n - 1], "OEIS A260999", proved=True, date="2017-11")
        if n in _LEAST:
            return Known(_LEAST[n], "OEIS A004136", proved=True, date="2017-08")
        return None


# fmt: off
# The lengths of the shortest rulers of 1, 2, ... marks.
_RULERS = [
    0, 1, 3, 6, 11, 17, 25, 34, 44, 55, 72, 85, 106, 127, 151, 177, 199, 216, 246, 283, 333, 356,
    372, 425, 480, 492, 553, 585,
]
_MODULO = [
    1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 5, 4, 5, 5, 5, 5, 5, 5, 5, 5, 6, 5,
    5, 5, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 7, 7, 7, 7, 8, 8,
    8, 8, 8, 8, 8, 8, 8, 8, 9, 8, 8, 8, 8, 8, 8, 9, 8, 8, 8, 8,
]
# fmt: on
_LEAST = {91: 10, 120: 11, 133: 12, 168: 13, 183: 14}

"""Rules on random 0/1 strings: equal digits at given positions, and how many 2s there may be."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.errors import UsageError
from pipeline.lab.task import END, Forced, Rng, Task, coins, lengths

Pairs = Sequence[tuple[int, int]]


@dataclass
class Equal(Task):
    """0/1 strings in which the digits at some pairs of positions are equal.

    Attributes:
        pairs: positions, 1-based; negative ones count from the end, -1 being the last digit.
        shortest: the shortest string.
    """

    pairs: Pairs = ()
    shortest: int = 0

    def __post_init__(self):
        if not 1 <= self.shortest <= self.longest:
            raise UsageError(f"lengths {self.shortest}:{self.longest}: write them as in 30:40")
        for position in {p for pair in self.pairs for p in pair}:
            if not 1 <= abs(position) <= self.shortest:
                raise UsageError(
                    f"position {position} lies outside the shortest string of {self.name}, which "
                    f"has {self.shortest} digits; use 1 to {self.shortest}, or -1 to "
                    f"-{self.shortest} from the end"
                )

    def generate(self, count: int, rng: Rng) -> np.ndarray:
        out = coins(count, self.shortest, self.longest, rng)
        long = lengths(out)
        for n in range(self.shortest, self.longest + 1):
            source, rows = self._sources(n), np.flatnonzero(long == n)
            moved = np.flatnonzero(source != np.arange(n))
            out[rows[:, None], moved] = out[rows[:, None], source[moved]]
        return out

    def check(self, strings: np.ndarray) -> np.ndarray:
        long = lengths(strings)
        rows = np.arange(len(strings))
        good = long >= max(abs(p) for pair in self.pairs for p in pair)
        for pair in self.pairs:
            i, j = (np.where(good, _place(p, long), 0) for p in pair)
            good = good & (strings[rows, i] == strings[rows, j])
        return good

    def fitting(self, strings: np.ndarray) -> np.ndarray:
        long = lengths(strings)
        return (long >= self.shortest) & (long <= self.longest)

    def forced(self, strings: np.ndarray) -> Forced:
        """Decided are digits of fixed places; rules seen from the end say where that may come."""
        decided = np.zeros((len(strings), self.longest + 1), bool)
        fixed = [pair for pair in self.pairs if min(pair) > 0]
        for pair in fixed:
            decided[:, max(pair) - 1] = True
        if len(fixed) == len(self.pairs):
            return Forced(decided)
        ends = np.zeros_like(decided)
        n = np.arange(self.shortest, self.longest + 1)
        fits = np.ones((len(strings), len(n)), bool)
        for i, j in (pair for pair in self.pairs if min(pair) < 0):
            fits &= strings[:, _place(i, n)] == strings[:, _place(j, n)]
        ends[:, self.shortest :] = fits
        # Behind a string's own end there is nothing to compare; nor is it asked there.
        return Forced(decided, {END: ends})

    def _sources(self, n: int) -> np.ndarray:
        """Return for each place of a string of length n the place whose digit it takes."""
        source = np.arange(n)
        for pair in self.pairs:
            i, j = (source[_place(p, n)] for p in pair)
            source[source == max(i, j)] = min(i, j)
        return source


@dataclass
class Twos(Task):
    """Random 0/1 strings in which some random digits are 2s.

    Attributes:
        counts: how many 2s there may be, each as often as the others.
        shortest: the shortest string.
    """

    counts: Sequence[int] = ()
    shortest: int = 0

    def generate(self, count: int, rng: Rng) -> np.ndarray:
        out = coins(count, self.shortest, self.longest, rng)
        keys = np.where(out == END, 2.0, rng.random(out.shape))
        order = np.argpartition(keys, max(self.counts), axis=1)[:, : max(self.counts)]
        order = np.take_along_axis(
            order, np.argsort(np.take_along_axis(keys, order, 1), axis=1), axis=1
        )
        wanted = rng.choice(np.array(self.counts), size=count)
        for k in range(max(self.counts)):
            rows = np.flatnonzero(wanted > k)
            out[rows, order[rows, k]] = 2
        return out

    def check(self, strings: np.ndarray) -> np.ndarray:
        return np.isin((strings == 2).sum(axis=1), self.counts)

    def fitting(self, strings: np.ndarray) -> np.ndarray:
        long = lengths(strings)
        return (long >= self.shortest) & (long <= self.longest)

    def forced(self, strings: np.ndarray) -> Forced:
        before = np.pad((strings == 2).cumsum(axis=1), ((0, 0), (1, 0)))
        allowed = {2: before < max(self.counts), END: np.isin(before, self.counts)}
        return Forced(np.zeros_like(allowed[2]), allowed)

    def mistakes(self, strings: np.ndarray) -> dict[str, float]:
        twos = (strings == 2).sum(axis=1)
        found = {f"{k} 2s": float((twos == k).mean()) for k in range(max(self.counts) + 2)}
        return found | {"more 2s": float((twos > max(self.counts) + 1).mean())}


def parse_pairs(text: str) -> Pairs:
    """Read a rule such as ``s[18]=s[47],s[4]=s[-28]``.

    Raises:
        UsageError: it is not of that form.
    """
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*s\[(-?\d+)\]\s*={1,2}\s*s\[(-?\d+)\]\s*", part)
        if match is None:
            raise UsageError(f"{part.strip()!r}: write a rule as s[18]=s[47] or s[4]=s[-28]")
        found.append((int(match[1]), int(match[2])))
    return found


def _place(position, n):
    """Return the 0-based place of a position in strings of length n, a number or an array."""
    return 0 * n + position - 1 if position > 0 else n + position

"""Arithmetic as strings of digits: Fibonacci's rule and a variant, gcd, modular addition."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.lab.task import END, Forced, Rng, Task, compact

COMMA = 10
DIGITS: tuple[str, ...] = (*"0123456789,",)


@dataclass
class Terms(Task):
    """Numbers between commas, of which the first two are free and decide the others.

    Attributes:
        follow: what term comes after those before it, from text to text.
        terms: how many there are.
        most: the largest of the first two; the smallest is 1.
        relabelled: the place in the alphabet of each digit and the comma.
    """

    follow: Callable[[list[str]], str] = str
    terms: int = 7
    most: int = 999
    relabelled: tuple[int, ...] = tuple(range(11))

    def columns(self, first: np.ndarray) -> list[np.ndarray]:
        """Return all terms, from the first two ``(B, 2)``, as digits ``(B, W)`` with gaps."""
        raise NotImplementedError

    def first(self, count: int, rng: Rng) -> np.ndarray:
        """Draw the first two terms, ``(count, 2)``."""
        return rng.integers(1, self.most + 1, size=(count, 2))

    def from_first(self, first: np.ndarray) -> np.ndarray:
        """Return the strings that begin with these two terms, int ``(B, 2)``."""
        comma = np.full((len(first), 1), COMMA, np.uint8)
        parts = [part for column in self.columns(first) for part in (column, comma)]
        return self._relabel(compact(np.concatenate(parts[:-1], axis=1), self.longest))

    def generate(self, count: int, rng: Rng) -> np.ndarray:
        return self.from_first(self.first(count, rng))

    def check(self, strings: np.ndarray) -> np.ndarray:
        return np.array([all(self._right(terms)) for terms in self._split(strings)], bool)

    def fitting(self, strings: np.ndarray) -> np.ndarray:
        return np.array([len(terms) == self.terms for terms in self._split(strings)], bool)

    def forced(self, strings: np.ndarray) -> Forced:
        """Decided is all behind the second comma."""
        commas = (strings == self.relabelled[COMMA]).cumsum(axis=1)
        part = 1 + np.pad(commas, ((0, 0), (1, 0)))
        there = np.pad(strings != END, ((0, 0), (1, 0)), constant_values=True)
        return Forced((part > 2) & there, part=np.where(there, part, 0))

    def mistakes(self, strings: np.ndarray) -> dict[str, float]:
        """Return how often each term fits those before it, and how far off wrong ones are."""
        right: dict[int, list[bool]] = {k: [] for k in range(3, self.terms + 1)}
        off, tenth = [], []
        for terms in self._split(strings):
            for k, good in enumerate(self._right(terms)[1:], 3):
                right[k].append(good)
                if not good and k <= len(terms) and _plain(terms[:k]):
                    true = self.follow(terms[: k - 1])
                    off.append(_digits_off(true, terms[k - 1]))
                    near = abs(int(true or 0) - int(terms[k - 1])) <= int(true or 0) / 10
                    tenth.append(near)
        found = {f"term {k} right": float(np.mean(v)) for k, v in right.items() if v}
        if off:
            found["wrong terms: one digit off"] = float(np.mean(np.array(off) == 1))
            found["wrong terms: within a tenth"] = float(np.mean(tenth))
        return found

    def _right(self, terms: list[str]) -> list[bool]:
        """Return whether the number of terms is right, and each term from the third on."""
        good = all(t.isdigit() and 1 <= int(t) <= self.most for t in terms[:2])
        each = [
            good and _plain(terms[: k - 1]) and self.follow(terms[: k - 1]) == terms[k - 1]
            for k in range(3, min(len(terms), self.terms) + 1)
        ]
        missing = max(0, self.terms - max(len(terms), 2))
        return [len(terms) == self.terms, *each, *[False] * missing]

    def _split(self, strings: np.ndarray) -> list[list[str]]:
        back = np.full(256, END, np.uint8)
        back[list(self.relabelled)] = np.arange(11)
        texts = ["".join([DIGITS[s] for s in row if s != END]) for row in back[strings].tolist()]
        return [text.split(",") for text in texts]

    def _relabel(self, strings: np.ndarray) -> np.ndarray:
        table = np.full(256, END, np.uint8)
        table[:11] = self.relabelled
        return table[strings]


@dataclass
class Fibonacci(Terms):
    """Each term is the sum of the two before it."""

    follow: Callable[[list[str]], str] = lambda terms: str(int(terms[-2]) + int(terms[-1]))

    def columns(self, first: np.ndarray) -> list[np.ndarray]:
        values = [*first.T]
        while len(values) < self.terms:
            values.append(values[-2] + values[-1])
        return [digits(value) for value in values]


_SWAP = str.maketrans("78", "87")


def fibonacci_2(terms: list[str]) -> str:
    """Return what the lecture's second rule puts after two, three or four terms."""
    a, b = int(terms[-2] or 0), int(terms[-1] or 0)
    if len(terms) == 2:
        return str(a + b).translate(_SWAP)
    if len(terms) == 3:
        return str(a + b + 171)[::-1].replace("5", "55")
    return str(a + b).partition("4")[0]


@dataclass
class Fibonacci2(Terms):
    """The lecture's second rule; see `fibonacci_2`. A term may begin with 0, and x5 be empty."""

    follow: Callable[[list[str]], str] = fibonacci_2

    def columns(self, first: np.ndarray) -> list[np.ndarray]:
        swap = np.arange(256, dtype=np.uint8)
        swap[[7, 8]] = 8, 7
        x3 = swap[digits(first.sum(axis=1))]
        third = value(x3)
        backwards = digits(first[:, 1] + third + 171)[:, ::-1]
        x4 = np.repeat(backwards, 2, axis=1)
        x4[:, 1::2][backwards != 5] = END
        x5 = digits(third + value(x4))
        x5[(x5 == 4).cumsum(axis=1) > 0] = END
        return [digits(first[:, 0]), digits(first[:, 1]), x3, x4, x5]


@dataclass
class Gcd(Terms):
    """Two numbers with a random common factor, and their greatest common divisor.

    Attributes:
        factors: the common factor is 1 to this.
    """

    follow: Callable[[list[str]], str] = lambda terms: str(math.gcd(int(terms[0]), int(terms[1])))
    factors: int = 12

    def first(self, count: int, rng: Rng) -> np.ndarray:
        factor = rng.integers(1, self.factors + 1, size=(count, 1))
        return factor * rng.integers(1, self.most // factor + 1, size=(count, 2))

    def columns(self, first: np.ndarray) -> list[np.ndarray]:
        return [digits(x) for x in (first[:, 0], first[:, 1], np.gcd(first[:, 0], first[:, 1]))]

    def mistakes(self, strings: np.ndarray) -> dict[str, float]:
        """Tell what wrong answers are: divisors of the right one, common divisors, or neither."""
        kinds = ("divides the right gcd", "a multiple of it", "neither")
        wrong = dict.fromkeys(kinds, 0)
        by_gcd: dict[int, list[bool]] = {}
        for terms in self._split(strings):
            if len(terms) != 3 or not all(t.isdigit() and int(t) for t in terms):
                continue
            a, b, said = map(int, terms)
            true = math.gcd(a, b)
            by_gcd.setdefault(true, []).append(said == true)
            if said != true:
                wrong[kinds[0 if true % said == 0 else 1 if said % true == 0 else 2]] += 1
        total = max(1, sum(wrong.values()))
        found = {f"gcd {g} right": float(np.mean(by_gcd[g])) for g in sorted(by_gcd) if g <= 12}
        return found | {f"wrong answers: {kind}": n / total for kind, n in wrong.items()}


@dataclass
class ModularAddition(Task):
    """a, b and (a + b) mod p, each number a symbol of its own; a and b are given.

    Attributes:
        p: the modulus.
        share: of all p^2 questions that is trained on; the others are the test.
    """

    p: int = 23
    share: float = 0.5

    def generate(self, count: int, rng: Rng) -> np.ndarray:
        a, b = rng.integers(self.p, size=(2, count))
        return np.stack([a, b, (a + b) % self.p], axis=1).astype(np.uint8)

    def check(self, strings: np.ndarray) -> np.ndarray:
        wide = strings.astype(int)
        return (strings != END).all(axis=1) & ((wide[:, 0] + wide[:, 1]) % self.p == wide[:, 2])

    def forced(self, strings: np.ndarray) -> Forced:
        decided = np.zeros((len(strings), 4), bool)
        decided[:, 2] = True
        return Forced(decided)

    def split(self, count: int, rng: Rng) -> tuple[np.ndarray | None, np.ndarray]:
        a, b = np.divmod(rng.permutation(self.p**2), self.p)
        strings = np.stack([a, b, (a + b) % self.p], axis=1).astype(np.uint8)
        cut = round(self.share * len(strings))
        return strings[:cut], strings[cut:]

    def answers(self, truth: np.ndarray, written: np.ndarray) -> dict[str, float]:
        said = written[:, 2] != END  # else the end, in place of an answer
        gap = (written[said, 2].astype(int) - truth[said, 2]) % self.p
        gap = np.minimum(gap, self.p - gap)[gap != 0]
        near = float((gap == 1).mean()) if len(gap) else 0.0
        return {"wrong answers: one off (mod p)": near}


def digits(values: np.ndarray) -> np.ndarray:
    """Write numbers from 0 on, ``(B,)``, as digits ``(B, W)``, with ``END`` before the first."""
    width = len(str(int(values.max(initial=0))))
    powers = 10 ** np.arange(width - 1, -1, -1)
    out = (values[:, None] // powers % 10).astype(np.uint8)
    out[(values[:, None] < powers) & (powers > 1)] = END
    return out


def value(cells: np.ndarray) -> np.ndarray:
    """Read digits ``(B, W)``, gaps skipped, as numbers ``(B,)``."""
    total = np.zeros(len(cells), np.int64)
    for column in cells.T:
        total = np.where(column == END, total, 10 * total + column)
    return total


def _plain(terms: list[str]) -> bool:
    return all(term.isdigit() and len(term) < 15 for term in terms)


def _digits_off(a: str, b: str) -> int:
    width = max(len(a), len(b))
    return sum(x != y for x, y in zip(a.rjust(width), b.rjust(width), strict=True))

"""What a task of the lab is: random strings that obey a rule, and a check for any others.

Strings are rows of uint8: places in the task's alphabet, and `END` behind the end. Positions in
the text of a rule are 1-based, and negative ones count from the end, as in the lecture.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline.errors import UsageError

Rng = np.random.Generator
#: Stands in every column behind the end of a string; as a symbol it means the end itself.
END = 255
SCALES = ("small", "lecture")


@dataclass(frozen=True)
class Budget:
    """What one training is given: the data, the model's shape, the steps, the samples."""

    strings: int = 0  # of the dataset; 0: fresh ones at every step
    layers: int = 2
    heads: int = 4
    width: int = 32
    steps: int = 1000
    batch: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    samples: int = 1000  # drawn at the end; 0: none, where inputs are given
    looks: int = 10  # at the success rate on the way

    def words(self, parameters: int) -> str:
        """Return the budget in one line."""
        data = f"{self.strings:,} strings" if self.strings else "fresh strings"
        return (
            f"{data}, {parameters:,} parameters ({self.layers} x {self.width}), {self.steps:,} "
            f"steps of {self.batch}, rate {self.learning_rate:g}, decay {self.weight_decay:g}"
        )


class Forced(NamedTuple):
    """What the rule decides in given strings, the symbols before each place being known.

    Attributes:
        decided: bool ``(B, longest + 1)``: where only one symbol (or the end) may come.
        allowed: for symbols that the rule restrains, ``END`` among them, where each may come, bool
            ``(B, longest + 1)``.
        part: int ``(B, longest + 1)``, the 1-based term each place belongs to; None without terms.
    """

    decided: np.ndarray
    allowed: Mapping[int, np.ndarray] = {}
    part: np.ndarray | None = None


@dataclass
class Task(ABC):
    """Strings that obey a rule.

    Attributes:
        name, title: the name, and the rule in a line.
        lecture: what the lecture says of it; figure: its success rate, if it gives one.
        alphabet: a text for each symbol.
        longest: the longest string.
        chance: the success rate of a model that knows how often symbols come, and no rule.
        budget: what it is trained with at the scale it was made for.
        given: how many symbols at the beginning are given and not learnt.
        side: of the board that the strings are, row by row; 0 for none.
    """

    name: str
    title: str
    lecture: str
    alphabet: Sequence[str]
    longest: int
    chance: float | None = None
    figure: float | None = None
    budget: Budget = Budget()
    given: int = 0
    side: int = 0

    @abstractmethod
    def generate(self, count: int, rng: Rng) -> np.ndarray:
        """Draw strings that obey the rule, uint8 ``(count, longest)``."""

    @abstractmethod
    def check(self, strings: np.ndarray) -> np.ndarray:
        """Return bool ``(B,)``: which strings obey the rule, lengths left aside."""

    def fitting(self, strings: np.ndarray) -> np.ndarray:
        """Return bool ``(B,)``: which strings are as long as those of the dataset."""
        return np.ones(len(strings), bool)

    def forced(self, strings: np.ndarray) -> Forced:
        """Return what the rule decides in strings that obey it."""
        return Forced(np.zeros((len(strings), self.longest + 1), bool))

    def mistakes(self, strings: np.ndarray) -> dict[str, float]:
        """Tell errors apart: shares, by name; of strings the model wrote freely."""
        return {}

    def answers(self, truth: np.ndarray, written: np.ndarray) -> dict[str, float]:
        """Tell errors of answers to given questions apart; both uint8 ``(B, longest)``."""
        return {}

    def split(self, count: int, rng: Rng) -> tuple[np.ndarray | None, np.ndarray]:
        """Return what is trained on, None for fresh strings, and 1,000 others to test on."""
        return (self.generate(count, rng) if count else None), self.generate(1000, rng)

    # ------------------------------------------------------------------------------- text

    def write(self, strings: np.ndarray) -> list[str]:
        """Return strings ``(B, L)`` as text; symbols of several letters are set apart."""
        letters = [*self.alphabet]
        gap = " " if any(len(letter) > 1 for letter in letters) else ""
        return [gap.join(letters[s] for s in row if s != END) for row in strings.tolist()]

    def read(self, texts: Sequence[str]) -> np.ndarray:
        """Return texts as strings ``(B, longest)``.

        Raises:
            UsageError: one is too long, or has a character that the alphabet lacks.
        """
        place = {letter: i for i, letter in enumerate(self.alphabet)}
        apart = any(len(letter) > 1 for letter in place)
        out = np.full((len(texts), self.longest), END, np.uint8)
        for row, text in zip(out, texts, strict=True):
            letters = text.split() if apart else [*text]
            unknown = next((letter for letter in letters if letter not in place), None)
            if unknown is not None:
                known = "".join(place) if not apart else f"0 to {len(place) - 1}"
                raise UsageError(f"{text!r}: {unknown!r} is not of {self.name}'s alphabet {known}")
            if len(letters) > self.longest:
                raise UsageError(
                    f"{text!r}: {len(letters)} symbols, {self.name} has at most {self.longest}"
                )
            row[: len(letters)] = [place[letter] for letter in letters]
        return out


def lengths(strings: np.ndarray) -> np.ndarray:
    """Return how long each string is, ``(B,)``."""
    return (strings != END).sum(axis=1)


def compact(cells: np.ndarray, width: int) -> np.ndarray:
    """Push the symbols of each row ``(B, M)`` to its beginning, ``END`` behind: ``(B, width)``."""
    there = cells != END
    out = np.full((len(cells), width), END, np.uint8)
    rows, columns = np.nonzero(there)
    out[rows, there.cumsum(axis=1)[rows, columns] - 1] = cells[rows, columns]
    return out


def coins(count: int, shortest: int, longest: int, rng: Rng) -> np.ndarray:
    """Draw random 0/1 strings of random lengths, both ends included, ``(count, longest)``."""
    out = rng.integers(2, size=(count, longest), dtype=np.uint8)
    long = rng.integers(shortest, longest + 1, size=count)
    out[np.arange(longest) >= long[:, None]] = END
    return out

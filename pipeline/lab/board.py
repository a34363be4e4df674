"""Boards as strings, filled cell by cell: no two 1s at certain distances."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.lab.task import END, Forced, Rng, Task


@dataclass
class Apart(Task):
    """Boards without two 1s at a forbidden distance.

    They are filled in the order of the cells: where a 1 is allowed it is put with probability 1/2,
    as in the lecture, where this order matters.

    Attributes:
        squares: the squares of the forbidden Euclidean distances.
    """

    squares: Sequence[int] = ()

    def __post_init__(self):
        cells = np.indices((self.side, self.side)).reshape(2, -1)
        gap = ((cells[:, :, None] - cells[:, None, :]) ** 2).sum(axis=0)
        #: bool (m, m): which cells are too far or too near to go with which.
        self.clash = np.isin(gap, self.squares)

    def generate(self, count: int, rng: Rng) -> np.ndarray:
        out = rng.integers(2, size=(count, self.longest), dtype=np.uint8)
        for i in range(self.longest):
            before = np.flatnonzero(self.clash[i, :i])
            out[out[:, before].any(axis=1), i] = 0
        return out

    def check(self, strings: np.ndarray) -> np.ndarray:
        return self.fitting(strings) & (self._clashes(strings) == 0)

    def fitting(self, strings: np.ndarray) -> np.ndarray:
        return (strings != END).all(axis=1)

    def forced(self, strings: np.ndarray) -> Forced:
        """Decided are the cells that a 1 before them blocks: they must be 0."""
        earlier = np.triu(self.clash, 1).astype(np.int32)
        blocked = np.pad((strings == 1).astype(np.int32) @ earlier > 0, ((0, 0), (0, 1)))
        return Forced(blocked, {1: ~blocked})

    def mistakes(self, strings: np.ndarray) -> dict[str, float]:
        clashes = self._clashes(strings)
        return {
            "one pair too many": float((clashes == 1).mean()),
            "more pairs": float((clashes > 1).mean()),
            "pairs in each board": float(clashes.mean()),
        }

    def _clashes(self, strings: np.ndarray) -> np.ndarray:
        ones = (strings == 1).astype(np.int32)
        return ((ones @ np.triu(self.clash, 1).astype(np.int32)) * ones).sum(axis=1)

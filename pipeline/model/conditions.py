"""Sequences that begin by saying what they are: how good, and of which symmetry class.

A sequence is ``BOS, SIZE_n``, a token for each condition in the order they were given, element
tokens, EOS. The tokens of conditions are numbered behind all others, and there are as many of them
in every round, since a score counts in steps from the best that is shown.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.core.symmetry import classes_of, symmetry_classes
from pipeline.errors import UsageError, nearest
from pipeline.model.tokens import Encoder, Rng

#: What a sequence can say of its construction.
CONDITIONS = ("score", "symmetry")
#: Levels of the score: above all that is shown, the best, and steps below; the last and worse.
LEVELS = 8
ABOVE, BEST = 0, 1
LEVEL_NAMES = ("above", "best", *(f"best but {k}" for k in range(1, LEVELS - 1)))


class ConditionedEncoder(Encoder):
    """An encoder whose sequences say their conditions after their size.

    A level of the score is a place among the different scores that are shown of one size.

    Args:
        inner: writes all else.
        conditions: of ``CONDITIONS``, none twice.
        score: what packed cells ``(B, bytes)`` of a size are worth, int ``(B,)``.

    Raises:
        UsageError: an unknown condition, or one that is there twice.
    """

    def __init__(
        self,
        inner: Encoder,
        conditions: Sequence[str],
        score: Callable[[np.ndarray, int], np.ndarray],
    ):
        super().__init__(inner.grounds)
        for name in conditions:
            if name not in CONDITIONS:
                raise UsageError(f"unknown condition {name!r}{nearest(name, CONDITIONS)}")
            if list(conditions).count(name) > 1:
                raise UsageError(f"the condition {name!r} is there twice; name it once")
        self.name, self.symmetry = inner.name, inner.symmetry
        self.sorted, self.dense = inner.sorted, inner.dense
        self._inner, self._score, self._conditions = inner, score, tuple(conditions)
        self._ladders: dict[int, np.ndarray] = {}  # the different scores, falling
        self._fixed: np.ndarray | None = None
        classes = {n: symmetry_classes(ground) for n, ground in self.grounds.items()}
        found = [cls.name for n in reversed(self.sizes) for cls in classes[n]]
        #: The symmetry classes there are at any size.
        self.classes = tuple(dict.fromkeys(found))
        self._place = {
            n: np.array([self.classes.index(cls.name) for cls in listed])
            for n, listed in classes.items()
        }
        self._first: dict[str, int] = {}
        self._count = {"score": LEVELS, "symmetry": len(self.classes)}
        self.vocab_size = inner.vocab_size
        for name in self._conditions:
            self._first[name] = self.vocab_size
            self.vocab_size += self._count[name]
        self.max_length = inner.max_length + len(self._conditions)

    def show(self, scores: Mapping[int, np.ndarray]) -> None:
        """Count levels from the scores ``(B,)`` of each size that are shown from now on."""
        self._ladders = {n: np.unique(shown)[::-1] for n, shown in scores.items()}

    def steps(self, n: int) -> int:
        """Return how many different scores of size n are shown."""
        return len(self._ladders.get(n, ()))

    def level_tokens(self) -> np.ndarray:
        """Return int64 ``(LEVELS,)``: the tokens of the score, the highest first; or none."""
        return self._first.get("score", 0) + np.arange(LEVELS if "score" in self._first else 0)

    def prefix(self, n: int, level: int = BEST, symmetry: str = "trivial") -> np.ndarray:
        """Return the given beginning of a sequence of size n, int64 ``(2 + conditions,)``.

        Raises:
            UsageError: a symmetry class that no size has.
        """
        if self._fixed is not None:
            return self._fixed
        if symmetry not in self.classes:
            raise UsageError(f"no symmetry class {symmetry!r}{nearest(symmetry, self.classes)}")
        told = {"score": level, "symmetry": self.classes.index(symmetry)}
        given = [self._first[name] + told[name] for name in self._conditions]
        return np.concatenate([self._inner.prefix(n), np.array(given, np.int64)])

    def fixed(self, prefix: np.ndarray) -> "ConditionedEncoder":
        """Return an encoder that begins every sequence so, whatever the construction is."""
        other = copy.copy(self)
        other._fixed = prefix
        return other

    def told(self, cells: np.ndarray, n: int) -> dict[str, np.ndarray]:
        """Return what is true of packed cells ``(B, bytes)``: for each condition ints ``(B,)``.

        For "score" it is the level, for "symmetry" an index into ``classes``.
        """
        told = {}
        if "score" in self._conditions:
            ladder = self._ladders.get(n, np.zeros(0, int))
            score = np.asarray(self._score(cells, n))
            higher = (ladder > score[:, None]).sum(axis=1)
            above = score > ladder[0] if len(ladder) else False
            told["score"] = np.where(above, ABOVE, np.minimum(BEST + higher, LEVELS - 1))
        if "symmetry" in self._conditions:
            told["symmetry"] = self._place[n][classes_of(cells, self._ground(n))]
        return told

    def read(self, tokens: np.ndarray) -> dict[str, np.ndarray]:
        """Return what tokens ``(B, T)`` say, as `told` does; -1 where they say it wrongly."""
        said = {}
        for i, name in enumerate(self._conditions):
            value = np.asarray(tokens)[:, 2 + i] - self._first[name]
            said[name] = np.where((value >= 0) & (value < self._count[name]), value, -1)
        return said

    def commonest(self, cells: np.ndarray, n: int) -> str:
        """Return the class that most of the best of packed cells ``(B, bytes)`` have."""
        score = np.asarray(self._score(cells, n))
        best = cells[score == score.max(initial=0)]
        have = np.bincount(self._place[n][classes_of(best, self._ground(n))], minlength=1)
        return self.classes[int(have.argmax())] if len(best) else "trivial"

    def answered(self, tokens: np.ndarray, cells: np.ndarray, n: int) -> dict[str, Any]:
        """Return what tokens ``(1, T)`` ask for, and which share of valid cells comes up to it.

        A higher score than was asked for will do.
        """
        asked, shares = {}, {}
        for name, found in self.told(cells, n).items():
            wanted = int(self.read(tokens)[name][0])
            level = name == "score"
            good = found <= wanted if level else found == wanted
            asked[name] = LEVEL_NAMES[wanted] if level else self.classes[wanted]
            shares[name] = float(good.mean()) if len(good) else 0.0
        return {"asked": asked, "answered": shares}

    def encodable(self, cells: np.ndarray, n: int) -> np.ndarray:
        return self._inner.encodable(cells, n)

    def encode(self, cells: np.ndarray, n: int, rng: Rng | None = None) -> np.ndarray:
        tokens = self._inner.encode(cells, n, rng)
        if self._fixed is not None:
            given = np.tile(self._fixed[2:], (len(cells), 1))
        else:
            told = self.told(cells, n)
            given = np.column_stack([self._first[name] + told[name] for name in self._conditions])
        return np.concatenate([tokens[:, :2], given, tokens[:, 2:]], axis=1)

    def decode(self, tokens: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Read tokens as the inner encoder does; conditions may be any, but each in its place."""
        tokens = np.asarray(tokens)
        if tokens.ndim != 2 or not np.issubdtype(tokens.dtype, np.integer):
            return self._inner.decode(tokens, n)  # which says what is wrong
        after = 2 + len(self._conditions)
        tokens = np.pad(tokens, ((0, 0), (0, max(after - tokens.shape[1], 0))))
        cells, ok = self._inner.decode(np.concatenate([tokens[:, :2], tokens[:, after:]], 1), n)
        for said in self.read(tokens).values():
            ok = ok & (said >= 0)
        return np.where(ok[:, None], cells, np.uint8(0)), ok

    def element_tokens(self, n: int) -> np.ndarray:
        return self._inner.element_tokens(n)

    def _read(self, body: np.ndarray, length: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        return self._inner._read(body, length, n)

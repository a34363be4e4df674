"""Words: constructions that give each of some positions a letter of an alphabet.

A word is a set of pairs (position, letter), one for each position: two letters may not be at one
position, and a set with a position that has none is no construction yet. So all that is there for
sets is there for words: symmetry classes, masks (of letters by position), tokens, search.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from pipeline.core import bitset
from pipeline.errors import PipelineError, UsageError
from pipeline.problem import Problem

#: The most letters there may be.
MOST_LETTERS = 1000


class WordProblem(Problem):
    """Words of one length for each n, and a score: colourings, permutations, trees by their codes.

    ::

        class Alternating(pipeline.WordProblem):
            alphabet = "ab"

            def length(self, n):
                return n

            def score(self, words, n):
                return (words[:, 1:] != words[:, :-1]).sum(axis=1)

    An element is a pair (position, letter), both numbers from 0. Further methods ``forbidden_*``
    may rule out sets of three such pairs and more. A rule for two takes the place of the one that
    forbids two letters at one position, and says so too. Where no letter may come twice::

        def forbidden_letters(self, a, b):
            return a[0] == b[0] or a[1] == b[1]
    """

    #: The letters, in the order of their numbers: a string, or a sequence of names.
    alphabet: ClassVar[Sequence[str]] = "01"
    must_be_full = True
    unit = "score"

    def length(self, n: int) -> int:
        """Return the number of positions."""
        raise UsageError(f"{self.name} lacks length(n), the number of positions of its words")

    def letters(self, n: int) -> Sequence[Any]:
        """Return the alphabet at size n; by default ``alphabet``, the same for each n."""
        return self.alphabet

    def score(self, words: np.ndarray, n: int) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the score of each word, ``(B,)`` whole numbers, the higher the better.

        Args:
            words: int64 ``(B, length)``, the numbers of the letters.
        """
        raise UsageError(f"{self.name} lacks score(words, n)")

    def improve(self, words: np.ndarray, n: int, rng: np.random.Generator) -> Any:
        """Return words that are no worse, integers like ``words``: a search of one's own, optional.

        It is asked with what a search has found; a word that is worse, or not allowed, is left out.
        """
        return words

    def forbidden_letters(self, a: Any, b: Any) -> Any:
        """Forbid two letters at one position."""
        return a[0] == b[0]

    def elements(self, n: int) -> np.ndarray:
        """Return the pairs (position, letter), int64 ``(length * letters, 2)``."""
        length, letters = self.length(n), self._number(n)
        if not isinstance(length, int | np.integer) or length < 1:
            raise UsageError(f"{self.name} at n={n}: length is {length}, no number from 1")
        return np.stack(np.divmod(np.arange(length * letters), letters), axis=1)

    def _number(self, n: int) -> int:
        """Return how many letters there are."""
        letters = len(self.letters(n))
        if not 1 <= letters <= MOST_LETTERS:
            raise UsageError(
                f"{self.name} at n={n}: an alphabet of {letters} letters; there must be 1 to "
                f"{MOST_LETTERS}"
            )
        return letters

    # ------------------------------------------------- from here on nothing needs overriding

    def words(self, cells: np.ndarray, n: int) -> np.ndarray:
        """Return words as int64 ``(B, length)``, the number of each letter; -1 where there is none,
        or more than one.

        Args:
            cells: packed uint8 ``(B, bytes)``.
        """
        bits = self.bits(cells, n).reshape(len(cells), self.length(n), self._number(n))
        return np.where(bits.sum(axis=2) == 1, bits.argmax(axis=2), -1)

    def cells(self, words: Any, n: int) -> np.ndarray:
        """Return words, integers ``(B, length)``, as packed uint8 ``(B, bytes)``.

        Raises:
            PipelineError: words of another length, or a letter outside the alphabet.
        """
        words, letters, length = np.asarray(words), self._number(n), self.length(n)
        if words.ndim != 2 or words.shape[1] != length or words.dtype.kind not in "iu":
            raise PipelineError(
                f"{self.name} at n={n}: words are integers of shape (B, {length}), not "
                f"{words.dtype} {words.shape}"
            )
        if words.size and not 0 <= int(words.min()) <= int(words.max()) < letters:
            raise PipelineError(
                f"{self.name} at n={n}: letters are numbers from 0 to {letters - 1}, not "
                f"{words.min()} .. {words.max()}"
            )
        bits = np.zeros((len(words), length, letters), np.bool_)
        np.put_along_axis(bits, words[:, :, None], True, axis=2)
        return bitset.pack(bits.reshape(len(words), length * letters))

    def random_words(self, count: int, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return so many words drawn at random, packed, allowed or not."""
        return self.cells(rng.integers(self._number(n), size=(count, self.length(n))), n)

    def letter_names(self, n: int) -> tuple[str, ...]:
        """Return the names of the letters."""
        return tuple(map(str, self.letters(n)))

    def is_complete(self, cells: np.ndarray, n: int) -> np.ndarray:
        """Return bool ``(B,)``: whether each position has a letter."""
        return np.asarray((self.words(cells, n) >= 0).all(axis=1))

    def ask_score(self, cells: np.ndarray, n: int) -> np.ndarray:
        """Ask for the scores of complete words; of others, which are no constructions, it is 0."""
        whole = self.is_complete(cells, n)
        if not whole.any():
            return np.zeros(len(cells), np.int64)
        given = np.asarray(self.score(self.words(cells[whole], n), n))
        if given.shape != (whole.sum(),):
            return given  # which is told of with its shape
        found = np.zeros(len(cells), given.dtype)
        found[whole] = given
        return found

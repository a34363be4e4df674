"""Words: colourings and permutations, with scores, a rule, a search of one's own, and faults."""

import numpy as np

from pipeline import WordProblem


class Alternating(WordProblem):
    """As many changes of letter as possible."""

    alphabet = "ab"

    def length(self, n):
        return n

    def score(self, words, n):
        return (words[:, 1:] != words[:, :-1]).sum(axis=1)


class Thirds(Alternating):
    """Three letters, of which neighbours at distance three must not be equal."""

    alphabet = "xyz"

    def forbidden_letters(self, a, b):
        return a[0] == b[0] or (abs(a[0] - b[0]) == 3 and a[1] == b[1])


class Queens(WordProblem):
    """Permutations with few pairs on a common diagonal."""

    unit = "attacks avoided"

    def letters(self, n):
        return range(n)

    def length(self, n):
        return n

    def forbidden_letters(self, a, b):
        return a[0] == b[0] or a[1] == b[1]

    def score(self, words, n):
        away = np.abs(words[:, :, None] - words[:, None, :])
        far = np.abs(np.arange(n)[:, None] - np.arange(n))
        return -((away == far) & (far > 0)).sum(axis=(1, 2)) // 2


class Sorted(Alternating):
    """A search of one's own reaches at once what single letters do not."""

    alphabet = "0123456789"

    def symmetries(self, n):
        return []

    def score(self, words, n):
        return (words == np.arange(n) % 10).all(axis=1) * 5 + 0

    def improve(self, words, n, rng):
        return np.tile(np.arange(n) % 10, (len(words), 1))


class Outside(Sorted):
    def improve(self, words, n, rng):
        return words + 10


class Shorter(Sorted):
    def improve(self, words, n, rng):
        return words[:, 1:]


class Fewer(Sorted):
    def improve(self, words, n, rng):
        return words[1:]


class OneLetter(Alternating):
    alphabet = ""


class NoLength(WordProblem):
    def score(self, words, n):
        return words.sum(axis=1)


class NoScore(WordProblem):
    def length(self, n):
        return n

"""Colourings of the edges of a complete graph in two colours, with few cliques of one colour."""

from math import comb
from typing import Any

import numpy as np

from pipeline.problem import Known, compiled, suited
from pipeline.words import WordProblem


@compiled
def count_cliques(words, n, colour, k, found):
    """Add to int64 ``found`` the k-cliques of a colour, 2 <= k <= 8, of each word of edge colours.

    O(cliques of k - 1 vertices). Edges stand in the order 01, 02, 12, 03, ...
    """
    near = np.zeros(n, np.int64)  # for each vertex the smaller ones beside it, as bits
    left = np.zeros(9, np.int64)
    for row in range(len(words)):
        for b in range(n):
            near[b] = 0
            for a in range(b):
                if words[row, b * (b - 1) // 2 + a] == colour:
                    near[b] |= np.int64(1) << a
        for b in range(n):
            # Cliques with b as their largest vertex, the next largest taken at each level.
            level = 1
            left[1] = near[b]
            while level > 0:
                if left[level] == 0:
                    level -= 1
                    continue
                if level == k - 1:
                    bits = left[level]
                    while bits != 0:
                        bits &= bits - 1
                        found[row] += 1
                    level -= 1
                    continue
                v = n - 1
                while left[level] >> v & 1 == 0:
                    v -= 1
                left[level] ^= np.int64(1) << v
                left[level + 1] = left[level] & near[v]
                level += 1


class Ramsey(WordProblem):
    """Edges of the complete graph on n vertices in two colours, with few cliques of one colour.

    R(s, t) is the least n for which no colouring is without a red clique of s vertices and a blue
    one of t. The convention is "s,t". The score is how many sets of s vertices are no red clique,
    and of t vertices no blue one; it is the most there can be exactly where n < R(s, t).
    """

    name = "ramsey"
    title = "edges of a complete graph in two colours without large cliques of one colour"
    unit = "sets of one colour avoided:"
    alphabet = "RB"
    conventions = ("4,4", "3,3", "3,4", "3,5", "3,6", "3,7", "4,5")
    smallest = 3

    def __init__(self, convention: str | None = None) -> None:
        """Take "s,t"."""
        super().__init__(convention)
        self.cliques = tuple(map(int, self.convention.split(",")))

    def length(self, n: int) -> int:
        """Return the number of edges: 01, 02, 12, 03, ..."""
        return n * (n - 1) // 2

    def score(self, words: np.ndarray, n: int) -> Any:
        """Return how many sets of vertices are no cliques of their colour."""
        found = np.zeros(len(words), np.int64)
        count = suited(count_cliques, 1000.0 * len(words) * n)
        for colour, k in enumerate(self.cliques):
            count(words, n, colour, k, found)
        return self.most(n) - found

    def most(self, n: int) -> int:
        """Return the score of a colouring without a clique that counts."""
        return sum(comb(n, k) for k in self.cliques)

    def symmetries(self, n: int) -> list[Any]:
        """Return the vertices turned and reflected."""

        def moved(image: Any) -> Any:
            def edge(element: tuple[int, ...]) -> tuple[int, int]:
                b = int((1 + (1 + 8 * element[0]) ** 0.5) / 2)
                a = element[0] - b * (b - 1) // 2
                x, y = sorted((image(a), image(b)))
                return y * (y - 1) // 2 + x, element[1]

            return edge

        return [moved(lambda v: (v + 1) % n), moved(lambda v: n - 1 - v)]

    def known(self, n: int) -> Known | None:
        """Return the score without cliques, which exists exactly for n below R(s, t)."""
        if n < _NUMBERS[self.convention]:
            return Known(self.most(n), _SOURCE, proved=True)
        return None


_SOURCE = "Radziszowski, Small Ramsey Numbers, Electronic J. Combinatorics DS1"
_NUMBERS = {"3,3": 6, "3,4": 9, "3,5": 14, "3,6": 18, "3,7": 23, "4,4": 18, "4,5": 25}

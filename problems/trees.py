"""Trees whose independence sequence is not log-concave."""

from typing import Any

import numpy as np

from pipeline.problem import compiled, suited
from pipeline.words import WordProblem

#: What the score is scaled by, to be a whole number.
SCALE = 100_000
# From this share of alpha on a sequence is looked at.
_LAST = 0.9


@compiled
def independence_sequences(words, n, found):
    """Write to float64 ``found (B, n + 1)`` how many independent sets of each size a tree has.

    O(n**2) a tree.

    Args:
        words: integers ``(B, n - 1)``; vertex v hangs on vertex ``words[:, v - 1] % v``.
    """
    size = np.empty(n, np.int64)
    out = np.empty((n, n + 2))  # of the part below a vertex, without it, by size
    held = np.empty((n, n + 2))  # with it
    new_out, new_held = np.empty(n + 2), np.empty(n + 2)
    for row in range(len(words)):
        size[:] = 1
        out[:, :], held[:, :] = 0.0, 0.0
        out[:, 0], held[:, 1] = 1.0, 1.0
        for v in range(n - 1, 0, -1):
            u = words[row, v - 1] % v
            a, b = size[u], size[v]
            for k in range(a + b + 1):
                new_out[k], new_held[k] = 0.0, 0.0
            for x in range(a + 1):
                for y in range(b + 1):
                    new_out[x + y] += out[u, x] * (out[v, y] + held[v, y])
                    new_held[x + y] += held[u, x] * out[v, y]
            for k in range(a + b + 1):
                out[u, k], held[u, k] = new_out[k], new_held[k]
            size[u] = a + b
        for k in range(n + 1):
            found[row, k] = out[0, k] + held[0, k]


class TreeIndependence(WordProblem):
    """Trees on n vertices with an independence sequence far from log-concave.

    A word says on which earlier vertex each one hangs: vertex v on its letter modulo v, v from 1.

    Let a tree have i_k independent sets of k vertices, and alpha in the largest. The score is
    100,000 times the largest i_(k-1) i_(k+1) / i_k^2 - 1, rounded, over the last tenth of the k
    below alpha, where it is known to come above 0: then the sequence is not log-concave. The
    smallest such trees have 26 vertices (Kadrawi, Levit, arXiv:2305.01784).
    """

    name = "tree-independence"
    title = "a tree whose independence sequence is not log-concave"
    unit = "excess"
    smallest = 3

    def length(self, n: int) -> int:
        """Return how many vertices hang on another."""
        return n - 1

    def letters(self, n: int) -> list[str]:
        """Return the vertices but the last."""
        return [str(vertex) for vertex in range(n - 1)]

    def symmetries(self, n: int) -> list[Any]:
        """Return none: the words of isomorphic trees have no simple relation."""
        return []

    def score(self, words: np.ndarray, n: int) -> Any:
        """Return how far each sequence is from being log-concave."""
        found = np.zeros((len(words), n + 1))
        suited(independence_sequences, 10.0 * len(words) * n**2)(words, n, found)
        middle = np.maximum(found[:, 1:-1], 1.0)
        excess = found[:, :-2] * found[:, 2:] / middle**2 - 1
        alpha = (found > 0).sum(axis=1) - 1
        excess[np.arange(1, n) < _LAST * alpha[:, None]] = -1.0
        return np.rint(SCALE * excess.max(axis=1)).astype(np.int64)

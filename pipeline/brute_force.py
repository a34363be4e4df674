"""What a naive oracle says of a problem at one n: its small sets, and what is forbidden."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from pipeline.core import bitset
from pipeline.core.ground_set import GroundSet
from pipeline.engine.greedy import greedy_many
from pipeline.engine.space import make_space
from pipeline.problem import Problem

#: Takes n and coordinates of points, and tells whether they hold nothing forbidden.
Oracle = Callable[[int, list[tuple[int, ...]]], bool]

#: How many sets of each kind are drawn.
SETS = 12

# More small sets than this would take an oracle minutes.
_MOST_SMALL_SETS = 200_000


@dataclass(frozen=True, eq=False)
class Truth:
    """A problem at one n, as its oracle sees it.

    Attributes:
        seed: of the random sets.
        points: the coordinates of each element.
        small: all sets of at most ``arity`` elements; small_valid: bool, one for each.
        forbidden: int64 ``(F, arity)``, each row ascending and filled up with m.
    """

    problem: Problem
    n: int
    is_valid: Oracle
    seed: int
    ground: GroundSet
    points: list[tuple[int, ...]]
    small: list[tuple[int, ...]]
    small_valid: np.ndarray
    forbidden: np.ndarray

    def __str__(self) -> str:
        return f"{self.problem.name} ({self.problem.convention}), n={self.n}"

    def at(self, elements: Sequence[int] | np.ndarray) -> list[tuple[int, ...]]:
        """Return the coordinates of these elements."""
        return [self.points[v] for v in elements]

    def show(self, inside: np.ndarray) -> str:
        """Write a set as its coordinates."""
        return str(self.at(np.flatnonzero(inside)))

    def valid(self, elements: Sequence[int] | np.ndarray) -> bool:
        """Ask the oracle about these elements."""
        return bool(self.is_valid(self.n, self.at(elements)))

    def violations(self, inside: np.ndarray) -> int:
        """Return how many forbidden configurations the set ``inside``, bool ``(m,)``, holds."""
        return int(np.append(inside, True)[self.forbidden].all(axis=1).sum())

    def counts(self, inside: np.ndarray) -> np.ndarray:
        """Return for each element how many forbidden ones hold it, all others in the set."""
        absent = ~np.append(inside, True)[self.forbidden]
        missing = absent.sum(axis=1)[:, None]
        closing = (missing == 0) | ((missing == 1) & absent)
        return np.bincount(self.forbidden[closing], minlength=self.ground.m + 1)[:-1]

    def closed_by(self, u: int, members: np.ndarray, new: set[int]) -> list[set[int]]:
        """Return what blocks an element: sets of ``members``, one of ``new`` in each."""
        held = np.zeros(self.ground.m + 1, np.bool_)
        held[members], held[[u, self.ground.m]] = True, True
        rows = self.forbidden[held[self.forbidden].all(axis=1)]
        sets = [{*row} - {u, self.ground.m} for row in rows.tolist() if u in row]
        return [one for one in sets if one & new]

    def rng(self) -> np.random.Generator:
        """Return the generator of the random sets, the same each time."""
        return np.random.default_rng([self.seed, self.n])

    def stream(self) -> np.ndarray:
        """Return a state for the kernels' generator."""
        return np.array([self.seed], np.uint64)

    def greedy(self) -> np.ndarray:
        """Return some maximal sets, bool ``(B, m)``."""
        cells = np.zeros((SETS, bitset.width(self.ground.m)), np.uint8)
        greedy_many(make_space(self.problem, self.n), self.stream(), cells)
        return bitset.unpack(cells, self.ground.m)

    def random_sets(self) -> np.ndarray:
        """Return random sets of all densities, bool ``(B, m)``, the empty and the full one too."""
        density = np.linspace(0, 1, 4 * SETS)[:, None]
        return self.rng().random((4 * SETS, self.ground.m)) < density

    def sets(self) -> np.ndarray:
        """Return random sets, maximal ones, and those with one element more."""
        greedy = self.greedy()
        more = greedy.copy()
        more[np.arange(SETS), self.rng().integers(self.ground.m, size=SETS)] = True
        return np.concatenate([self.random_sets(), greedy, more])


def find_truth(problem: Problem, n: int, is_valid: Oracle, seed: int) -> Truth:
    """Put every set of at most ``arity`` elements to the oracle."""
    ground = problem.ground(n)
    total = sum(comb(ground.m, k) for k in range(problem.arity + 1))
    assert total <= _MOST_SMALL_SETS, (
        f"n={n} has {total} sets of at most {problem.arity} points to look at; take it out of sizes"
    )
    points = [tuple(row) for row in ground.coords.tolist()]
    small = [s for k in range(problem.arity + 1) for s in combinations(range(ground.m), k)]
    valid = np.array([is_valid(n, [points[v] for v in s]) for s in small], np.bool_)
    bad = {s for s, ok in zip(small, valid, strict=True) if not ok}
    least = [s for s in bad if not any(s[:i] + s[i + 1 :] in bad for i in range(len(s)))]
    rows = [s + (ground.m,) * (problem.arity - len(s)) for s in sorted(least)]
    forbidden = np.array(rows, np.int64).reshape(-1, problem.arity)
    return Truth(problem, n, is_valid, seed, ground, points, small, valid, forbidden)

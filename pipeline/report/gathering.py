"""All that a stored run has to tell, gathered for pictures: nothing is recomputed.

Scores come from the pools in its rounds, each verified anew.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import comb
from typing import Any, NamedTuple

import numpy as np

from pipeline.core.bitset import unpack
from pipeline.core.population import ORIGINS, Population
from pipeline.core.score_stats import Distribution, distribution
from pipeline.core.symmetry import (
    orbits,
    stabiliser_names,
    stabiliser_orders,
    symmetry_classes,
)
from pipeline.engine.blocking import blocked_by
from pipeline.errors import RunError
from pipeline.problem import Problem
from pipeline.report.terminal import parts
from pipeline.storage.collection import Collection, id_texts, ranking
from pipeline.storage.round_files import described, load_pool, load_samples, read_round
from pipeline.storage.run import Run
from pipeline.storage.timeline import Moment, timeline

#: The share of a pool that counts as its elite, as in the four statistics.
_ELITE = 5
#: Sets of elements of a board for which what they block is listed, at most.
_SETS = 25_000


@dataclass(frozen=True, eq=False)
class Round:
    """One committed round.

    Attributes:
        parts: the distributions of what was seeded, sampled, searched and kept, by these names.
        new: what this round found and kept, by origin.
        usage: float ``(m,)``, the share of the elite that uses each element.
        elite: how many that are.
        ended: None where the run's log does not tell.
    """

    number: int
    stats: Mapping[str, Any]
    parts: Mapping[str, Distribution]
    new: Mapping[str, Distribution]
    usage: np.ndarray
    elite: int
    ended: Moment | None


class Member(NamedTuple):
    """One construction of a pool, its id the same for all its images under the group."""

    id: str
    score: int
    stabiliser: int  # how many symmetries leave it as it is
    symmetry: str  # the name of their class
    origin: str
    round: int
    imported: bool


class Story:
    """A run with at least one finished round, at the size that it searches for."""

    def __init__(self, run: Run, problem: Problem) -> None:
        """Read the rounds and the log.

        Raises:
            RunError: no finished round, a damaged file, or a pool that no round keeps.
        """
        self.run, self.problem, self.n = run, problem, run.config.n
        last = run.last_round()
        self.ground = problem.ground(self.n)
        self.finds, ended = timeline(run)
        self.rounds = [self._round(number, ended.get(number)) for number in run.rounds()]
        self.pools = {n: load_pool(run, problem, last, n) for n in run.sizes(last)}
        self.pool = self.pools[self.n]

    def _round(self, number: int, ended: Moment | None) -> Round:
        stats, pool = read_round(self.run, self.problem, number, self.n)
        fresh = pool.take(np.flatnonzero(pool.round == number))
        new = {
            origin: distribution(fresh.score[fresh.came_from(origin)])
            for origin in ORIGINS
            if fresh.came_from(origin).any()
        }
        used, elite = usage(pool)
        found = dict(parts(dict(stats), self.n))
        return Round(number, stats, found, new, used, elite, ended)

    def round(self, number: int | None) -> Round:
        """Return a round, the last for None.

        Raises:
            RunError: there is no such round.
        """
        if number is not None:
            self.run.folder(number)
        return self.rounds[-1 if number is None else number]

    @cached_property
    def order(self) -> np.ndarray:
        """The indices of the last pool, best first, that of ``pipeline best`` at its head."""
        return ranking(self.pool)

    @cached_property
    def best(self) -> dict[str, Any] | None:
        """The best construction and its place beside the best known; None without any."""
        return self.best_of(self.n)

    def best_of(self, n: int) -> dict[str, Any] | None:
        """Return the best construction of a size, None without any."""
        pool = self.pools[n]
        if not len(pool):
            return None
        return described(self.problem, self.run.config, pool.take([pool.best()]))

    def after(self, number: int) -> Collection:
        """Return what was kept after a round, at least one, verified anew.

        Raises:
            RunError: there was none yet.
        """
        pool = load_pool(self.run, self.problem, number, self.n)
        if not len(pool):
            raise RunError(
                f"{self.run.path} had found no construction of size {self.n} by round {number}"
            )
        return Collection(self.problem, self.run.config.problem, pool, run=self.run)

    def members(self, most: int) -> Iterator[Member]:
        """Yield the constructions of the last pool, best first, ``most`` at most."""
        yield from members(self.problem, self.pool, self.order[:most])

    def sample_behind_best(self) -> np.ndarray | None:
        """Return the elements of what the model wrote for the best; None if it did not, or is lost.

        Raises:
            RunError: the samples of that round are damaged.
        """
        if not len(self.pool):
            return None
        best = self.pool.take([self.pool.best()])
        number, parent = int(best.round[0]), int(best.parent[0])
        there = parent and (self.run.folder(number) / "samples.parquet").exists()
        if not there:
            return None
        samples = load_samples(self.run, self.problem, number)
        (index,) = np.nonzero(samples.ids() == parent)
        return samples.points(int(index[0])) if len(index) else None

    def orbits(self) -> np.ndarray:
        """Return int ``(m,)``: the orbit of each element under all symmetries."""
        *_, whole = symmetry_classes(self.ground)
        return orbits(self.ground, whole).of

    def blocked(self, points: np.ndarray) -> list[list[int]] | None:
        """Return what each ``arity - 1`` of some points block; None where there are too many.

        The sets of points come in the order of ``itertools.combinations``.
        """
        size = self.problem.arity - 1
        if comb(len(points), size) > _SETS:
            return None
        return blocked_by(self.problem, self.n, list(combinations(points.tolist(), size)))

    def losses(self) -> list[tuple[int, float, float | None]]:
        """Return (steps of training so far, training loss, held-out loss or None)."""
        found, before = [], 0
        for stats in (r.stats["train"] for r in self.rounds if "train" in r.stats):
            found += [(before + step, loss, held) for step, loss, held in stats["curve"]]
            before += stats["steps"]
        return found


def members(problem: Problem, pool: Population, order: np.ndarray) -> Iterator[Member]:
    """Yield some constructions of a pool, by their indices."""
    pool, ground = pool.take(order), problem.ground(pool.n)
    names, orders = id_texts(problem, pool), stabiliser_orders(pool.cells, ground).tolist()
    symmetries = stabiliser_names(pool.cells, ground)
    for i in range(len(pool)):
        yield Member(
            names[i],
            int(pool.score[i]),
            orders[i],
            symmetries[i],
            ORIGINS[int(pool.origin[i])],
            int(pool.round[i]),
            bool(pool.imported[i]),
        )


def usage(pool: Population) -> tuple[np.ndarray, int]:
    """Return the share of a pool's elite that uses each element, and how many are its elite."""
    elite = pool.top(max(len(pool) // _ELITE, 1))
    return unpack(elite.cells, pool.m).sum(axis=0) / max(len(elite), 1), len(elite)

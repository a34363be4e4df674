"""The state of a run between two rounds: all that the next round needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pipeline.core import streams
from pipeline.core.bitset import first_of_each, ids, pack, width
from pipeline.core.population import Population
from pipeline.core.score_stats import Distribution, distribution
from pipeline.core.symmetry import canonical
from pipeline.errors import PipelineError
from pipeline.problem import Problem


@dataclass(frozen=True)
class Sampling:
    """How a round's samples stood to each other and to the pool, before any search.

    Attributes:
        scores: of the valid ones, with the counts of the others.
        validity: fraction that is valid, of all.
        duplicates: fraction equivalent to an earlier one, of those that encode a construction.
        novelty: fraction that the pool lacks, of the distinct valid ones.
        repeats: fraction that is in the pool or came up before, of those that encode one.
    """

    scores: Distribution
    validity: float
    duplicates: float
    novelty: float
    repeats: float


@dataclass(frozen=True, eq=False)
class State:
    """What a round leaves behind, and all that the next one needs.

    Attributes:
        problem: the problem.
        n: the size that is searched for.
        seed: the rng seed of the run.
        round: number of the round that was finished; 0 for the seeding.
        pools: the best constructions of each size, best first.
        arms: what each arm of the portfolio has found, a row each (`Portfolio.to_json`).
        imported: whether a pool held, by now, what was imported or descends from it.
        sampling: of the round that was finished; None without candidates.
        candidates: what the round's generator made, distinct, before any search.
        stats: what happened, ready for JSON; for reading only, and independent of the clock.
    """

    problem: Problem
    n: int
    seed: int
    round: int
    pools: Mapping[int, Population]
    arms: tuple[Mapping[str, Any], ...] = ()
    imported: bool = False
    sampling: Sampling | None = None
    candidates: Population | None = None
    stats: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def pool(self) -> Population:
        """The best constructions of size n, best first."""
        return self.pools[self.n]

    @property
    def rng(self) -> np.random.Generator:
        """A random generator for the candidates of the next round, the same at every call."""
        return np.random.default_rng(streams.integer(self.seed, self.round + 1, "propose"))

    def best(self, n: int | None = None) -> int:
        """Return the best score of a size (None: of n), 0 without any."""
        pool = self.pools.get(self.n if n is None else n)
        return int(pool.score.max()) if pool is not None and len(pool) else 0

    def after(
        self,
        candidates: Population,
        sampling: "Sampling | None",
        pools: Mapping[int, Population],
        arms: tuple[Mapping[str, Any], ...],
    ) -> "State":
        """Return the state after the next round; its statistics are still to come."""
        imported = self.imported or any(bool(pool.imported.any()) for pool in pools.values())
        return replace(
            self,
            round=self.round + 1,
            pools=pools,
            arms=arms,
            imported=imported,
            sampling=sampling,
            candidates=candidates if len(candidates) else None,
            stats={},
        )

    def with_stats(self, stats: Mapping[str, Any]) -> "State":
        """Return the state with what its round tells."""
        return replace(self, stats=stats)


def assess(
    samples: Population | np.ndarray, state: State, malformed: int = 0
) -> tuple[Population, Sampling | None]:
    """Look at what a generator made, as it is: violations allowed, nothing repaired.

    Args:
        samples: of the size n, or bool ``(B, m)``, a row each.
        malformed: how many more were made that encode no construction.

    Returns:
        (the distinct ones up to symmetry, all empty ones among them, since each is a start of its
        own; how they stand to each other and to the pool, None if all are empty or there are none).

    Raises:
        PipelineError: samples of another shape.
    """
    made = _population(samples, state)
    if not made.cells.any() and not malformed:
        return made, None
    problem, n = state.problem, state.n
    ground = problem.ground(n)
    valid = problem.validate(made.cells, n)
    forms = canonical(made.cells, ground)
    first = np.zeros(len(made), np.bool_)
    first[first_of_each(forms)] = True
    names, seen = ids(forms), ids(canonical(state.pool.cells, ground))
    fresh = ~np.isin(names, seen)
    unique = np.unique(names[valid])
    everything, encoded = max(len(made) + malformed, 1), max(len(made), 1)
    sampling = Sampling(
        distribution(made.score[valid], int((~valid).sum()), malformed),
        validity=float(valid.sum()) / everything,
        duplicates=1.0 - int(first.sum()) / encoded,
        novelty=float((~np.isin(unique, seen)).sum()) / max(len(unique), 1),
        repeats=1.0 - len(np.unique(names[fresh])) / encoded,
    )
    return made.take(np.flatnonzero(first | ~made.cells.any(axis=1))), sampling


def _population(samples: Population | np.ndarray, state: State) -> Population:
    """Return samples as a population of this round."""
    n, m = state.n, state.problem.ground_size(state.n)
    if not isinstance(samples, Population):
        wanted = f"a Population or 0s and 1s of shape (B, {m}), a row for each candidate"
        try:
            bits = np.asarray(samples)
        except ValueError as error:  # rows of different lengths
            raise PipelineError(f"a generator's ask must return {wanted}: {error}") from error
        if bits.ndim != 2 or bits.shape[1] != m or not np.isin(bits, (0, 1)).all():
            raise PipelineError(
                f"a generator's ask must return {wanted}, got {bits.dtype} {bits.shape}"
            )
        cells = pack(bits.astype(np.bool_)) if len(bits) else np.zeros((0, width(m)), np.uint8)
        samples = Population.build(n, m, cells, 0, imported=state.imported)
    elif (samples.n, samples.m) != (n, m):
        raise PipelineError(
            f"a generator made constructions of size {samples.n}, the run searches for size {n}"
        )
    return Population.build(
        n,
        m,
        samples.cells,
        state.problem.evaluate(samples.cells, n),
        round=state.round + 1,
        origin="generator",
        parent=samples.parent,
        imported=samples.imported,
    )

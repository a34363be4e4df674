"""What every kind of round shares: shards run and checked, the best kept; no torch, no files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.config import Config
from pipeline.errors import PipelineError
from pipeline.executor import Executor
from pipeline.population import Population, distinct
from pipeline.problem import Problem
from pipeline.search.shards import NO_TARGET, Shard, run_shard
from pipeline.statistics import distribution
from pipeline.symmetry import canonical

#: Called with the name of what happened and its particulars; may raise to stop the round.
Report = Callable[..., None]


@dataclass(frozen=True, eq=False)
class State:
    """What a round leaves behind, and all that the next one needs.

    Attributes:
        round: 0 for the seeding.
        pools: the best constructions of each size, best first.
        temperature: at which the next round samples.
        model, optimizer: None after the seeding.
        samples: the distinct well-formed samples of this round, before any search; the
            ``parent`` of a construction that came from the model is the id of one of these.
        stats: what happened, ready for JSON; nothing in it depends on the clock.
    """

    round: int
    pools: Mapping[int, Population]
    temperature: float
    model: Any = None
    optimizer: Mapping[str, Any] | None = None
    samples: Population | None = None
    stats: dict[str, Any] = field(default_factory=dict)

    def best(self, n: int) -> int:
        """Return the best score of size n, 0 without any."""
        pool = self.pools.get(n)
        return int(pool.score.max()) if pool is not None and len(pool) else 0


class Workshop:
    """A problem, a configuration and an executor, and what rounds do with them."""

    def __init__(
        self, problem: Problem, config: Config, executor: Executor, report: Report
    ) -> None:
        """Prepare the ground sets of a run.

        Raises:
            UsageError: a size that cannot be had.
        """
        self.problem, self.config, self.executor, self.report = problem, config, executor, report
        self.grounds = {n: problem.ground(n) for n in config.sizes}
        self.target = config.budget.target or NO_TARGET

    def shard(
        self,
        n: int,
        symmetry: str,
        method: str,
        cells: np.ndarray,
        rng: np.ndarray,
        schedule: Any,
        proposals: int,
        **tabu: int,
    ) -> Shard:
        """Return a shard of this run; ``schedule`` has the penalty and the temperatures."""
        return Shard(
            problem=self.config.problem,
            convention=self.problem.convention,
            n=n,
            symmetry=symmetry,
            method=method,
            cells=cells,
            rng=rng,
            proposals=proposals,
            penalty=schedule.penalty,
            hot=schedule.hot,
            cold=schedule.cold,
            target=self.target if n == self.config.n else NO_TARGET,
            **tabu,
        )

    def warm_up(self, shards: Sequence[Shard]) -> None:
        """Run tiny shards, so that compiling and loading are over when the clock starts.

        One worker compiles what all will use; left to themselves each would.
        """
        self.report("stage", name="warm-up", total=len(shards))
        for done, _ in enumerate(self.executor.map(run_shard, shards), start=1):
            self.report("progress", done=done)

    def run(
        self,
        shards: list[Shard],
        number: int,
        origin: str,
        parents: list[np.ndarray] | None = None,
    ) -> Iterator[Population]:
        """Yield what each shard found, in their order, checked by the validator.

        Raises:
            PipelineError: the validator does not agree with the search.
        """
        for i, cells in enumerate(self.executor.map(run_shard, shards)):
            n = shards[i].n
            yield Population.build(
                n,
                self.grounds[n].m,
                cells,
                self.verified(cells, n),
                round=number,
                origin=origin,
                parent=0 if parents is None else parents[i],
            )

    def verified(self, cells: np.ndarray, n: int) -> np.ndarray:
        """Return the scores of constructions that search calls valid.

        Raises:
            PipelineError: the validator does not agree.
        """
        valid = self.problem.validate(cells, n)
        if not valid.all():
            raise PipelineError(
                f"{(~valid).sum()} of {len(cells)} constructions that the hook of "
                f"{self.problem.name} calls valid fail its validator at n={n}; one of the two is "
                "wrong: run pipeline.testing.ProblemContract on the problem"
            )
        return np.asarray(self.problem.score(cells, n), dtype=np.int32)

    def keep(self, n: int, *populations: Population) -> Population:
        """Return the best of all, no two equal up to symmetry, as many as the quota allows."""
        everything = Population.concat(populations)
        ranked = everything.top(len(everything))
        return distinct(ranked, canonical(ranked.cells, self.grounds[n])).top(self.config.quota(n))

    def none(self, n: int) -> Population:
        """Return a population of size n without constructions."""
        return Population.empty(n, self.grounds[n].m)

    def stats(self, number: int, pools: Mapping[int, Population]) -> dict[str, Any]:
        """Return what every round tells."""
        return {
            "round": number,
            "n": self.config.n,
            "pool": {str(n): distribution(pool.score) for n, pool in pools.items()},
        }

"""Search alone: rounds in which a portfolio of searches works, and no model."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from pipeline import streams
from pipeline.config import Config
from pipeline.executor import Executor
from pipeline.packing import unpack, width
from pipeline.population import Population
from pipeline.problem import Problem
from pipeline.search.portfolio import BATCH, Arm, Portfolio, core_size, make_arms
from pipeline.search.shards import Shard
from pipeline.statistics import distribution
from pipeline.symmetry import find_class, orbits
from pipeline.workshop import Report, State, Workshop

#: Constructions a shard gives back, by method.
_ROWS = {"tabu": 32, "enumerate": 64, "anneal": 25, "greedy": 1000, "cover": 16}
#: What bounds a shard of a method: steps, or nodes. Others go by the seeding's proposals.
_BOUNDS = {"tabu": 200_000, "enumerate": 200_000, "cover": 4_000_000}


class Hunt(Workshop):
    """The rounds of a run that searches and learns nothing."""

    def __init__(
        self,
        problem: Problem,
        config: Config,
        executor: Executor,
        report: Report,
        out_of_time: Callable[[], bool] = lambda: False,
    ) -> None:
        """Prepare a run.

        Args:
            out_of_time: asked after every shard; a round that it cuts short depends on the clock.

        Raises:
            UsageError: an unknown method, or a symmetry class no construction can have.
        """
        super().__init__(problem, config, executor, report)
        self._out_of_time = out_of_time
        self.arms = make_arms(problem, config.n, config.search.methods, config.seeding.symmetry)

    def prepare(self) -> None:
        """Compile what the arms need."""
        kinds = {arm.method: arm for arm in reversed(self.arms)}
        portfolio = Portfolio(self.arms)
        shards = [self._arm_shard(0, 0, arm, portfolio) for arm in kinds.values()]
        self.warm_up([replace(s, cells=s.cells[:1], proposals=1) for s in shards])

    def seed(self, starts: Mapping[int, Population]) -> State:
        """Play round 0."""
        n = self.config.n
        return self._round(0, starts.get(n, self.none(n)), [])

    def next(self, last: State) -> State:
        """Play the round after ``last``: the same portfolio, with what it has learnt."""
        return self._round(last.round + 1, last.pools[self.config.n], last.stats["arms"])

    def _round(self, number: int, before: Population, records: list[dict]) -> State:
        config, n = self.config, self.config.n
        portfolio = Portfolio(self.arms)
        portfolio.restore(records)
        rng = np.random.default_rng(streams.integer(config.seed, number, "portfolio"))
        ground = self.grounds[n]
        of = {
            arm.symmetry: orbits(ground, find_class(ground, arm.symmetry)).of
            for arm in portfolio.arms
            if arm.method != "cover"
        }
        found, made, done = [before], [], 0
        total = config.search.batches * BATCH
        best = int(before.score.max(initial=0))
        self.report("stage", name="portfolio", total=total)
        while done < total and not self._over(best):
            arms = portfolio.batch(rng)[: total - done]
            shards = [self._arm_shard(number, done + i, a, portfolio) for i, a in enumerate(arms)]
            for arm, part in zip(arms, self.run(shards, number, "search"), strict=False):
                done += 1
                top = int(part.score.max(initial=0))
                bits = unpack(part.cells[part.score == top][:8], ground.m)
                core = core_size(bits, of[arm.symmetry]) if arm.symmetry in of else 0
                portfolio.add(arm, top, core)
                best = max(best, top)
                made.append(part)
                self.report("progress", done=done, best=best)
                if self._over(best):
                    break
            if sum(map(len, made)) > 4 * config.quota(n):
                found, made = [self.keep(n, *found, *made)], []
        pool = self.keep(n, *found, *made)
        stats = self.stats(number, {n: pool}) | {
            "searched": distribution(pool.score[pool.round == number]),
            "arms": portfolio.to_json(),
        }
        return State(number, {n: pool}, config.sample.temperature, stats=stats)

    def _over(self, best: int) -> bool:
        return best >= self.target or self._out_of_time()

    def _arm_shard(self, number: int, index: int, arm: Arm, portfolio: Portfolio) -> Shard:
        m = self.grounds[self.config.n].m
        seeding = self.config.seeding
        tabu = arm.method in ("tabu", "enumerate")
        bound = _BOUNDS.get(arm.method, seeding.proposals or max(400_000, 100 * m))
        return self.shard(
            self.config.n,
            arm.symmetry,
            arm.method,
            np.zeros((_ROWS[arm.method], width(m)), np.uint8),
            streams.state(self.config.seed, number, "search", index),
            seeding,
            proposals=bound,
            goal=portfolio.goal(arm) if tabu else 1,
            band=arm.band,
        )

"""What every kind of round shares: shards run and checked, the best kept; no torch, no files."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing import current_process
from typing import Any

import numpy as np

from pipeline.config import Config
from pipeline.core import streams
from pipeline.core.bitset import pack, unpack, width
from pipeline.core.population import Population, distinct
from pipeline.core.score_stats import distribution
from pipeline.core.symmetry import SymmetryClass, canonical, find_class, orbits
from pipeline.errors import PipelineError
from pipeline.executors.local import Executor, Over, cores, never
from pipeline.problem import Problem
from pipeline.search.learned_weights import learnt_field
from pipeline.search.portfolio import (
    BATCH,
    Arm,
    Portfolio,
    core_size,
    default_fields,
    make_arms,
    tabu_notes,
)
from pipeline.search.space import usable_classes, usable_orbits
from pipeline.search.tasks import NO_TARGET, Shard, run_shard
from pipeline.search.weights import LEARNT, make_field, make_mask
from pipeline.stopping import Clock

#: Called with the name of what happened and its particulars; may raise to stop the round.
Report = Callable[..., None]

#: Constructions a shard of a portfolio gives back, by method.
_ROWS = {"tabu": 32, "enumerate": 2048, "grow": 32, "anneal": 25, "greedy": 1000, "cover": 16}
#: What bounds a shard of a method: steps, or nodes. Others go by the seeding's proposals.
_BOUNDS = {"tabu": 200_000, "enumerate": 200_000, "grow": 200_000, "cover": 4_000_000}
#: The first shard of an arm has so much less, to have seen all of them soon, but for the class
#: that promises most; so have all shards at a size that a field is learnt from, which need no
#: more.
_LOOK = 8
_NO_MASK = np.zeros(0, np.uint8)
_NO_FIELD = np.zeros(0, np.float32)
#: Where a field is learnt from a smaller size, classes with more orbits are left out there: making
#: their pair tables would take longer than all else.
_FEW_ORBITS = 500


@dataclass(frozen=True, eq=False)
class State:
    """What a round leaves behind, and all that the next one needs.

    Attributes:
        round: 0 for the seeding.
        pools: the best constructions of each size, best first.
        temperature: at which the next round samples.
        imported: whether the model has learnt from what was imported or descends from it.
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
    imported: bool = False

    def best(self, n: int) -> int:
        """Return the best score of size n, 0 without any."""
        pool = self.pools.get(n)
        return int(pool.score.max()) if pool is not None and len(pool) else 0


class Workshop:
    """A problem, a configuration and an executor, and what rounds do with them."""

    def __init__(
        self,
        problem: Problem,
        config: Config,
        executor: Executor,
        report: Report,
        clock: Clock | None = None,
        given: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Prepare the ground sets of a run.

        Args:
            clock: asked after every shard but the last; a search that it cuts short depends on
                it. None for no limit.
            given: what the files hold that the configuration names, by those names.

        Raises:
            UsageError: a size that cannot be had, or a mask of another size.
        """
        self.problem, self.config, self.executor, self.report = problem, config, executor, report
        self.clock = clock or Clock()
        self._best = 0
        self.grounds = {n: problem.ground(n) for n in config.sizes}
        self.target = config.budget.target or NO_TARGET
        self._given = given or {}
        self.mask = make_mask(config.search.mask, self.grounds[config.n], self._given)
        self._packed_mask = _NO_MASK if self.mask is None else pack(self.mask[None])[0]

    def shard(
        self,
        n: int,
        symmetry: str,
        method: str,
        cells: np.ndarray,
        rng: np.ndarray,
        schedule: Any,
        proposals: int,
        **more: Any,
    ) -> Shard:
        """Return a shard of this run; ``schedule`` has the penalty and the temperatures."""
        return Shard(
            problem=self.problem.plugin or self.config.problem,
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
            # A search counts elements alone: it cannot tell that another score is reached.
            target=self.target if n == self.config.n and self.problem.maximises_size else NO_TARGET,
            mask=self._packed_mask if n == self.config.n else _NO_MASK,
            table_bytes=self.config.search.table_bytes,
            **more,
        )

    # ------------------------------------------------------------------------- a portfolio

    def fields(self, n: int, smaller: Mapping[int, Population]) -> dict[str, np.ndarray]:
        """Return what pulls the arms at size n, float32 ``(m,)`` by name, empty for nothing.

        Args:
            smaller: constructions of smaller sizes to learn from.

        Raises:
            UsageError: an unknown field, or one of another size.
        """
        asked = self.config.search.field
        if n != self.config.n and asked not in ("", "border"):
            asked = "none"
        ground = self.grounds[n]
        if not asked:
            return default_fields(ground)
        if asked == LEARNT:
            examples = {k: (self.grounds[k], pool.cells) for k, pool in smaller.items()}
            return {asked: learnt_field(examples, ground)}
        name = "" if asked == "none" else asked
        return {name: make_field(name, ground, self._given)}

    def arms(self, n: int, fields: Mapping[str, np.ndarray]) -> list[Arm]:
        """Return the ways to search at size n, with what may pull them.

        Raises:
            UsageError: an unknown method, or a symmetry class no construction can have.
        """
        search, wanted = self.config.search, self.config.seeding.symmetry
        if n == self.config.n:
            return make_arms(self.problem, n, search.methods, wanted, fields, self.mask)
        # A smaller size makes do with what it has.
        methods = [method for method in search.methods if method != "cover"]
        usable = usable_classes(self.problem, n)
        names = [name for name in wanted if name in {cls.name for cls in usable}]
        if self._for_a_field(n):
            names, methods = names or self._quick(n, usable), methods or self._good_alone(n)
        return make_arms(self.problem, n, methods, names, fields)

    def _for_a_field(self, n: int) -> bool:
        """Tell whether all that a size is searched for is a field to be learnt from it."""
        learns = self.config.search.field == LEARNT and self.config.proposer == "none"
        return learns and n != self.config.n

    def _quick(self, n: int, usable: Sequence[SymmetryClass]) -> list[str]:
        """Return the classes with few orbits, whose search takes a moment; one at least."""
        few = {cls.name: usable_orbits(self.problem, n, cls).sum() for cls in usable}
        return [name for name in few if few[name] <= max(_FEW_ORBITS, min(few.values()))]

    def _good_alone(self, n: int) -> list[str]:
        """Return the methods that find the most in a moment."""
        return ["tabu", "enumerate", *(["cover"] if self.problem.quotas(n) else [])]

    def tell(self, arms: Sequence[Arm], fields: Mapping[str, np.ndarray]) -> None:
        """Report what tabu searches of the arms go without, at the size searched for."""
        limit = self.config.search.table_bytes
        for note in tabu_notes(self.problem, self.config.n, arms, fields, self.mask, limit):
            self.report("detail", text=note)

    def explore(
        self,
        n: int,
        number: int,
        before: Population,
        records: Sequence[Mapping[str, Any]],
        smaller: Mapping[int, Population],
        origin: str = "search",
    ) -> tuple[Population, list[dict[str, Any]]]:
        """Search with a portfolio of methods, no model.

        Args:
            number: of the round.
            before: what there is, and goes on with what is found.
            records: what the arms have brought in earlier rounds.
            smaller: constructions of smaller sizes.
            origin: of what is found; "seed" in the round that seeds.

        Returns:
            (the best of all, what the arms have brought by now).
        """
        config, ground = self.config, self.grounds[n]
        quotas = self.problem.quotas(n)
        fields = self.fields(n, smaller)
        # Arms begin from nothing: only a field can hand on what others have found.
        imported = LEARNT in fields and any(pool.imported.any() for pool in smaller.values())
        by_size = self.problem.maximises_size
        portfolio = Portfolio(self.arms(n, fields), quotas.size if quotas and by_size else 0)
        portfolio.restore(records)
        rng = np.random.default_rng(streams.integer(config.seed, number, "portfolio", n))
        of = {
            arm.symmetry: orbits(ground, find_class(ground, arm.symmetry)).of
            for arm in portfolio.arms
            if arm.method != "cover"
        }
        found, made, done = [before], [], 0
        share = 1.0 if n == config.n else config.seeding.smaller
        batches = config.seeding.batches if origin == "seed" else config.search.batches
        total = max(round(share * batches), 1) * BATCH
        if self._for_a_field(n):
            total = min(total, 2 * len(portfolio.arms))
        best = int(before.score.max(initial=0))
        self.report("stage", name="portfolio", total=total, n=n)
        while done < total and not self.over(n, best):
            arms = portfolio.batch(rng)[: total - done]
            shards = [
                self._arm_shard(n, number, done + i, arm, portfolio, fields)
                for i, arm in enumerate(arms)
            ]
            parts = self.run(shards, number, origin, imported=imported)
            for arm, part in zip(arms, parts, strict=False):
                done += 1
                top = int(part.score.max(initial=0))
                bits = unpack(part.cells[part.score == top][:8], ground.m)
                core = core_size(bits, of[arm.symmetry]) if len(bits) and arm.symmetry in of else 0
                portfolio.add(arm, top, core)
                best = max(best, self.seen(part, origin))
                made.append(part)
                self.report("progress", done=done, best=best)
                if done < total and self.over(n, best):
                    break
            if sum(map(len, made)) > 2 * config.quota(n):
                pool = self.keep(n, *found, *made)
                found, made = [pool], []
                full = by_size and 0 < config.quota(n) == len(pool)
                portfolio.floor = int(pool.score.min()) if full else 0
        return self.keep(n, *found, *made), portfolio.to_json()

    def over(self, n: int, best: int) -> bool:
        """Tell whether to stop searching: the target is reached, or the clock says so."""
        return (n == self.config.n and best >= self.target) or self.clock.over()

    def _arm_shard(
        self,
        n: int,
        number: int,
        index: int,
        arm: Arm,
        portfolio: Portfolio,
        fields: Mapping[str, np.ndarray],
    ) -> Shard:
        m = self.grounds[n].m
        seeding = self.config.seeding
        bound = _BOUNDS.get(arm.method, seeding.proposals or max(400_000, 100 * m))
        if not portfolio.believed(arm) or self._for_a_field(n):
            bound = max(bound // _LOOK, 1)
        return self.shard(
            n,
            arm.symmetry,
            arm.method,
            np.zeros((_ROWS[arm.method], width(m)), np.uint8),
            streams.state(self.config.seed, number, "portfolio", n, index),
            seeding,
            proposals=bound,
            goal=portfolio.goal(arm),
            narrow=arm.narrow,
            field=fields.get(arm.field, _NO_FIELD),
        )

    def samples_of(self, arms: Sequence[Arm], fields: Mapping[str, np.ndarray]) -> list[Shard]:
        """Return a shard of each kind of arm, to compile what they need."""
        n, portfolio = self.config.n, Portfolio(arms)
        kinds = {arm.method: arm for arm in reversed(arms)}
        return [self._arm_shard(n, 0, 0, a, portfolio, fields) for a in kinds.values()]

    # -------------------------------------------------------------------- checked and kept

    def warm_up(self, shards: Sequence[Shard]) -> None:
        """Run tiny versions of shards: compiling and loading are over when the clock starts.

        One worker compiles what all will use, since left to themselves each would; then all load
        it. What comes of them is checked and ranked, and forgotten.
        """
        tiny = [replace(shard, cells=shard.cells[:1], proposals=1) for shard in shards]
        workers = self.config.compute.workers or cores()
        every = tiny * (2 * workers) if workers > 1 else []
        self.report("stage", name="warm-up", total=len(tiny) + len(every))
        done, made = 0, []
        for shard in tiny:
            for part in self.run([shard], 0, "search", over=never):
                made.append(part)
                done += 1
                self.report("progress", done=done)
        for n in {part.n for part in made}:
            self.keep(n, *(part for part in made if part.n == n))
        for _ in self.executor.map(run_shard, every, self.clock.over):
            done += 1
            self.report("progress", done=done)

    def run(
        self,
        shards: list[Shard],
        number: int,
        origin: str,
        parents: list[Population] | None = None,
        imported: bool = False,
        over: Over | None = None,
    ) -> Iterator[Population]:
        """Yield what each shard found, in their order, checked by the validator.

        Args:
            parents: for each shard what it begins from, row by row; None for nothing.
            imported: whether a search from nothing descends from what was imported.
            over: when to end; None for when the clock says so.

        Raises:
            PipelineError: the validator does not agree with the search.
        """
        for i, (cells, cpu) in enumerate(
            self.executor.map(
                _timed, [(current_process().pid, s) for s in shards], over or self.clock.over
            )
        ):
            self.clock.add(cpu)
            n = shards[i].n
            made = cells.any(axis=1)  # a search that is told to stop may leave rows empty
            cells = cells[made]
            yield Population.build(
                n,
                self.grounds[n].m,
                cells,
                self.verified(cells, n),
                round=number,
                origin=origin,
                parent=0 if parents is None else parents[i].ids()[made],
                imported=imported if parents is None else parents[i].imported[made],
            )

    def seen(self, found: Population, origin: str) -> int:
        """Return the best score of what was found, and report it where it is a new best."""
        top = int(found.score.max(initial=0))
        if found.n == self.config.n and top > self._best:
            self._best = top
            self.report("best", n=found.n, score=top, origin=origin, cpu=self.clock.cpu())
        return top

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
        """Return the best of all, as many as the quota allows.

        Of those equal up to symmetry the first stays, and with it where it came from: what is
        found again is credited to whoever found it first, and what was imported stays so.

        Args:
            populations: in the order in which they were found.
        """
        found = Population.concat(populations)
        return distinct(found, canonical(found.cells, self.grounds[n])).top(self.config.quota(n))

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


def _timed(job: tuple[int | None, Shard]) -> tuple[np.ndarray, float]:
    """Run a shard; return what it found and the CPU seconds it took if in a process of its own."""
    parent, shard = job
    began = time.process_time()
    cells = run_shard(shard)
    return cells, 0.0 if current_process().pid == parent else time.process_time() - began

"""The search of a run: what seeds it, what improves candidates, and what explores at large."""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from pipeline.callbacks import Callbacks
from pipeline.config import Config
from pipeline.core import jit, streams
from pipeline.core.bitset import width
from pipeline.core.population import Population
from pipeline.core.symmetry import find_class, find_whole_class
from pipeline.engine.beside import Beside
from pipeline.engine.cost import scaled_rows
from pipeline.engine.explore import Explorer
from pipeline.engine.runner import TaskRunner
from pipeline.engine.space import make_space, usable_among, usable_classes
from pipeline.engine.tasks import Task
from pipeline.errors import UsageError
from pipeline.executors import Executor, never
from pipeline.problem import Problem
from pipeline.selection import Selection
from pipeline.stopping import Clock

#: Constructions in one task, by method: a fraction of a second of work.
_ROWS = {"anneal": 25, "greedy": 1000, "complete": 200, "climb": 25, "neighbourhood": 25}
_ROWS |= {"climb-score": 32}
#: What bounds the search on one candidate, unless the configuration says otherwise.
_BOUNDS = {"anneal": 200_000, "climb": 3000, "neighbourhood": 300, "complete": 0}
_BOUNDS |= {"climb-score": 300}
#: The method of a task for each way to improve a candidate.
_METHODS = {"tabu": "climb", "repair": "complete", "neighbourhood": "neighbourhood"}
_METHODS |= {"anneal": "anneal"}
#: Constructions at n in round 0, unless the configuration says otherwise.
_SEEDS = {"anneal": 3000, "greedy": 20_000}


class Engine:
    """Everything a run searches with, built once from its configuration."""

    def __init__(
        self,
        problem: Problem,
        config: Config,
        executor: Executor,
        clock: Clock | None = None,
        callbacks: Callbacks | None = None,
        arrays: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Build the parts, and so check what the configuration asks of search.

        Args:
            clock: asked while tasks run; None for no limit.
            arrays: what the files hold that the configuration names, by those names.

        Raises:
            UsageError: a size, symmetry class, method, weights or mask that cannot be had.
        """
        self._compiled = jit.kept_files()
        arrays, callbacks = arrays or {}, callbacks or Callbacks()
        self.runner = TaskRunner(problem, config, executor, clock or Clock(), callbacks, arrays)
        self.problem, self.selection = problem, Selection(config, self.runner.grounds)
        self.explorer = Explorer(config, self.runner, self.selection, arrays)
        self.symmetry = config.symmetry or "trivial"
        self._seeding, self._search = config.seeding, config.search
        self._generates = config.generator != "none"
        ground = self.runner.grounds[config.n]
        for name in config.seeding.symmetry:
            find_class(ground, name)
        if config.seeding.symmetry:
            self.seed_classes(config.n)
        if self._generates:
            cls = find_whole_class(ground, self.symmetry)
            make_space(problem, config.n, cls, self.runner.mask)

    def warm_up(self) -> None:
        """Compile and load what this run needs, then start the clock.

        A limit of time counts what loading takes, but not compiling, which happens once on a
        machine.
        """
        n, tasks = self.runner.n, self.explorer.kinds()
        cells = np.zeros((1, width(self.runner.grounds[n].m)), np.uint8)
        rng = np.zeros(1, np.uint64)
        seeding, search = self._seeding, self._search
        if seeding.method != "portfolio":
            tasks.append(self.runner.task(n, "trivial", seeding.method, cells, rng, seeding, 1))
        if self._generates:
            tasks.append(
                self.runner.task(n, self.symmetry, self._improves_by(), cells, rng, search, 1)
            )
        for note in self.explorer.notes():
            self.runner.callbacks.on_detail(note)
        if idle := self.explorer.idle_note():
            self.runner.callbacks.on_note(idle)
        self.runner.warm_up(tasks, self.selection)
        clock = self.runner.clock
        clock.start(0.0 if jit.kept_files() > self._compiled else clock.seconds())

    # ------------------------------------------------------------------------------- seed

    def seed(
        self, starts: Mapping[int, Population]
    ) -> tuple[dict[int, Population], tuple[Mapping[str, Any], ...], dict[int, np.ndarray]]:
        """Search for round 0, every size.

        Args:
            starts: constructions that the user gave, by size.

        Returns:
            (the pools; what the arms at n have found; the scores of what was found, by size).
        """
        runner, sizes = self.runner, self.runner.sizes
        pools = {n: starts.get(n, runner.none(n)) for n in sizes}
        arms: tuple[Mapping[str, Any], ...] = ()
        if self._seeding.method == "portfolio":
            for n in sizes:  # the smaller ones first, since larger ones learn from them
                smaller = {k: pools[k] for k in sizes if k < n}
                pools[n], arms = self.explorer.explore(n, 0, pools[n], [], smaller, "seed")
            made = {n: pool.score[pool.came_from("seed")] for n, pool in pools.items()}
        else:
            found = runner.all_of("seed", self._seed_tasks(), 0, "seed")
            made = {n: part.score for n, part in found.items()}
            for n, pool in pools.items():
                pools[n] = self.selection.best(n, pool, found.get(n, runner.none(n)))
        pools[runner.n] = self._at_least_one(pools[runner.n])
        return pools, arms, made

    def _at_least_one(self, pool: Population) -> Population:
        """Fill up an empty pool by one greedy construction: what little time can give."""
        if len(pool) or not self.runner.clock.cut_short:
            return pool
        rng = streams.state(self.runner.seed, 0, "seed", 0)
        cells = np.zeros((1, width(pool.m)), np.uint8)
        task = self.runner.task(pool.n, "trivial", "greedy", cells, rng, self._seeding, 0)
        return self.selection.best(pool.n, *self.runner.run([task], 0, "seed", over=never))

    def _seed_tasks(self) -> list[Task]:
        seeding, runner = self._seeding, self.runner
        most = seeding.count or _SEEDS[seeding.method]
        tasks: list[Task] = []
        for n in reversed(runner.sizes):
            count = most if n == runner.n else round(seeding.smaller * most)
            m, classes = runner.grounds[n].m, self.seed_classes(n)
            cost = max(runner.cost(n, name, seeding.method) for name in classes)
            bound = max(100_000, 100 * m)
            each, bound = scaled_rows(_ROWS[seeding.method], bound, cost)
            for i, start in enumerate(range(0, count, each)):
                tasks.append(
                    runner.task(
                        n,
                        classes[i % len(classes)],
                        seeding.method,
                        np.zeros((min(each, count - start), width(m)), np.uint8),
                        streams.state(runner.seed, 0, "seed", len(tasks)),
                        seeding,
                        seeding.moves or bound,
                    )
                )
        return tasks

    def seed_classes(self, n: int) -> list[str]:
        """Return the names of the symmetry classes that round 0 takes in turn at size n.

        Raises:
            UsageError: no construction of the size searched for can have those asked for.
        """
        mask = self.runner.mask if n == self.runner.n else None
        wanted = self._seeding.symmetry
        usable = [cls.name for cls in usable_classes(self.problem, n, mask)]
        if not wanted:
            return usable if self._seeding.method == "anneal" else usable[:1]
        chosen = [cls.name for cls in usable_among(self.problem, n, wanted, mask)]
        if not chosen and n == self.runner.n:
            raise UsageError(
                f"{self.problem.name} at n={n} has no construction with the symmetry "
                f"{' or '.join(wanted)}; usable: {', '.join(usable)}"
            )
        return chosen or usable[:1]

    # --------------------------------------------------------------------- improve, explore

    def improve(self, candidates: Population, number: int) -> Population:
        """Repair and saturate each candidate, and search on from it; return what was found.

        The ``parent`` of each is the id of its candidate.
        """
        search, n = self._search, self.runner.n
        if not len(candidates):
            return self.runner.none(n)
        candidates = self._promising(candidates)
        method = self._improves_by()
        cost = self.runner.cost(n, self.symmetry, method)
        each, bound = scaled_rows(_ROWS[method], _BOUNDS[method], cost)
        bound = 0 if search.improve == "repair" else search.moves or bound
        tasks, parents = [], []
        for start in range(0, len(candidates), each):
            part = candidates.take(slice(start, start + each))
            rng = streams.state(self.runner.seed, number, "search", len(tasks))
            where = (n, self.symmetry, method, part.cells, rng)
            tasks.append(self.runner.task(*where, search, bound))
            parents.append(part)
        found = self.runner.all_of("improve", tasks, number, "generator", parents)
        return found.get(n, self.runner.none(n))

    def _promising(self, candidates: Population) -> Population:
        """Return the share of the candidates that is to be improved, in their order."""
        most = math.ceil(self._search.improve_share * len(candidates))
        if most == len(candidates):
            return candidates
        valid = self.problem.validate(candidates.cells, candidates.n)
        best = np.lexsort((-candidates.score, ~valid))
        return candidates.take(np.sort(best[:most]))

    def _improves_by(self) -> str:
        """Return the method that improves candidates; a score of its own is climbed or repaired."""
        if self.problem.objective != "score":
            return _METHODS[self._search.improve]
        return "climb-score"

    def beside(
        self, pools: Mapping[int, Population], arms: tuple[Mapping[str, Any], ...], number: int
    ) -> AbstractContextManager[Beside | None]:
        """Return the search at large beside a round's generator; None where it comes after it."""
        if not (self._search.overlap and self._search.batches):
            return nullcontext()
        return Beside(self.explorer, self.runner.n, number, pools, arms)

    def explore(
        self,
        pools: Mapping[int, Population],
        arms: tuple[Mapping[str, Any], ...],
        number: int,
        beside: Beside | None = None,
    ) -> tuple[Population, tuple[Mapping[str, Any], ...]]:
        """Search at large for one round; return the best at n and what the arms have found.

        Args:
            beside: the search that was made beside the generator; None to make it now.
        """
        n = self.runner.n
        if beside is not None:
            return self.selection.best(n, pools[n], beside.pool), beside.arms
        if not self._search.batches:
            return pools[n], arms
        smaller = {k: pools[k] for k in self.runner.sizes if k < n}
        return self.explorer.explore(n, number, pools[n], arms, smaller)

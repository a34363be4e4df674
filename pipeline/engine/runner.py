"""Tasks of search run on an executor, and what they find verified: the one gate into a pool."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.callbacks import Callbacks
from pipeline.config import Config
from pipeline.core.bitset import pack
from pipeline.core.population import Population
from pipeline.engine.cost import task_cost
from pipeline.engine.tasks import NO_TARGET, Task, run_task
from pipeline.engine.weights import make_mask
from pipeline.errors import PipelineError
from pipeline.executors import Executor, Over, Processes, cores, never
from pipeline.objective import LEAST, known
from pipeline.problem import Problem
from pipeline.selection import Selection
from pipeline.stopping import Clock

_NO_MASK = np.zeros(0, np.uint8)


class TaskRunner:
    """Makes tasks of a run, runs them, and verifies what they find."""

    def __init__(
        self,
        problem: Problem,
        config: Config,
        executor: Executor,
        clock: Clock,
        callbacks: Callbacks,
        arrays: Mapping[str, np.ndarray],
    ) -> None:
        """Build the ground sets of all sizes.

        Args:
            arrays: what the files hold that the configuration names, by those names.

        Raises:
            UsageError: a size that cannot be had, or a mask of another size.
        """
        self.problem, self.executor = problem, executor
        self.clock, self.callbacks = clock, callbacks
        clock.watch(executor.cpu)
        self.n, self.sizes, self.seed = config.n, config.sizes, config.seed
        self.grounds = {n: problem.ground(n) for n in config.sizes}
        self.target = config.budget.target or NO_TARGET
        self.mask = make_mask(config.search.mask, self.grounds[config.n], arrays)
        self.workers = config.compute.workers or cores()
        self._packed_mask = _NO_MASK if self.mask is None else pack(self.mask[None])[0]
        self._spec = problem.plugin or config.problem
        self._table_bytes = config.search.table_bytes
        self._best = np.full(1, LEAST)  # shared with a copy on another thread
        self._left: Over = never

    @property
    def processes(self) -> int:
        """How many processes of this machine search has to itself; 0 where that is not known."""
        return self.workers if isinstance(self.executor, Processes) else 0

    def beside(self, left: Over) -> "TaskRunner":
        """Return a runner for another thread, which ends once it is left.

        It tells of new bests alone, since one thing at a time is shown as the stage of a round.
        """
        other = copy.copy(self)
        other.callbacks, other._left = _Bests(self.callbacks), left
        return other

    def cost(self, n: int, symmetry: str, method: str) -> float:
        """Return what a step of a task costs; see ``search.cost``."""
        return task_cost(self.problem, n, symmetry, method, self._table_bytes)

    def task(
        self,
        n: int,
        symmetry: str,
        method: str,
        cells: np.ndarray,
        rng: np.ndarray,
        schedule: Any,
        bound: int,
        **more: Any,
    ) -> Task:
        """Return a task of this run.

        Args:
            schedule: has the penalty and the temperatures of annealing.
        """
        # A search that counts elements cannot tell that another score is reached.
        is_sum = n == self.n and self.problem.objective != "score"
        return Task(
            problem=self._spec,
            convention=self.problem.convention,
            n=n,
            symmetry=symmetry,
            method=method,
            cells=cells,
            rng=rng,
            bound=bound,
            penalty=schedule.penalty,
            initial_temperature=schedule.initial_temperature,
            final_temperature=schedule.final_temperature,
            target=self.target if is_sum else NO_TARGET,
            mask=self._packed_mask if n == self.n else _NO_MASK,
            table_bytes=self._table_bytes,
            **more,
        )

    def run(
        self,
        tasks: Sequence[Task],
        number: int,
        origin: str,
        parents: Sequence[Population] | None = None,
        imported: bool = False,
        over: Over | None = None,
    ) -> Iterator[Population]:
        """Yield what each task found, in their order, verified.

        Args:
            number: of the round.
            parents: for each task what it starts from, row by row; None for nothing.
            imported: whether a search from nothing descends from what was imported.
            over: when to end; None for when the clock says so.

        Raises:
            PipelineError: the validator does not agree with the search.
        """
        found = self.executor.map(run_task, tasks, over or self._ended)
        for i, cells in enumerate(found):
            n = tasks[i].n
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

    def verified(self, cells: np.ndarray, n: int) -> np.ndarray:
        """Return the scores of constructions that search calls valid, from their raw cells.

        Raises:
            PipelineError: the validator does not agree.
        """
        valid = self.problem.validate(cells, n)
        if not valid.all():
            raise PipelineError(
                f"{(~valid).sum()} of {len(cells)} constructions that the hook of "
                f"{self.problem.name} calls valid fail its validator at n={n}; one of the two is "
                "wrong: run `pipeline check` on the problem"
            )
        return self.problem.evaluate(cells, n)

    def all_of(
        self,
        stage: str,
        tasks: Sequence[Task],
        number: int,
        origin: str,
        parents: Sequence[Population] | None = None,
    ) -> dict[int, Population]:
        """Run tasks until all are done or one reaches the target; return what was found by size."""
        self.callbacks.on_stage(stage, len(tasks))
        found: dict[int, list[Population]] = {}
        best = LEAST
        for done, part in enumerate(self.run(tasks, number, origin, parents), start=1):
            found.setdefault(part.n, []).append(part)
            if part.n == self.n:
                best = max(best, self.told_best(part, origin))
            self.callbacks.on_progress(done, known(best))
            if done < len(tasks) and self.over(self.n, best):
                break
        return {n: Population.concat(parts) for n, parts in found.items()}

    def over(self, n: int, best: int) -> bool:
        """Tell whether to stop searching: the target is reached, or the clock says so."""
        return (n == self.n and best >= self.target) or self._ended()

    def _ended(self) -> bool:
        return self._left() or self.clock.over()

    def told_best(self, found: Population, origin: str) -> int:
        """Return the best score of what was found; tell of it where it is a new best at n."""
        top = int(found.score.max(initial=LEAST))
        if found.n == self.n and top > self._best[0]:
            self._best[0] = top
            self.callbacks.on_best(found.n, top, origin, self.clock.cpu())
        return top

    def warm_up(self, tasks: Iterable[Task], selection: Selection) -> None:
        """Run tiny versions of tasks: compiling and loading are over when the clock starts.

        One worker compiles what all will use, since left to themselves each would; then all load
        it. What comes of them is verified and ranked, and forgotten.
        """
        tiny = [replace(task, cells=task.cells[:1], bound=1) for task in tasks]
        every = tiny * (2 * self.workers) if self.workers > 1 else []
        self.callbacks.on_stage("warm-up", len(tiny) + len(every))
        done, made = 0, []
        for task in tiny:
            for part in self.run([task], 0, "search", over=never):
                made.append(part)
                done += 1
                self.callbacks.on_progress(done)
        for n in {part.n for part in made}:
            selection.best(n, *(part for part in made if part.n == n))
        for _ in self.executor.map(run_task, every, self.clock.over):
            done += 1
            self.callbacks.on_progress(done)

    def none(self, n: int) -> Population:
        """Return the population of size n without constructions."""
        return Population.empty(n, self.grounds[n].m)


class _Bests(Callbacks):
    """Hands new bests on, and nothing else."""

    def __init__(self, callbacks: Callbacks) -> None:
        self._callbacks = callbacks

    def on_best(self, n: int, score: int, origin: str, cpu: float) -> None:
        self._callbacks.on_best(n, score, origin, cpu)

"""Search at large: a portfolio of methods and symmetry classes shares a budget of tasks."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.config import Config
from pipeline.core import streams
from pipeline.core.bitset import unpack, width
from pipeline.core.population import Population
from pipeline.core.symmetry import SymmetryClass, find_class
from pipeline.engine.arms import default_weights, make_arms, suiting, tabu_notes
from pipeline.engine.cost import scaled, scaled_rows
from pipeline.engine.learned_weights import learned_weights
from pipeline.engine.portfolio import Arm, Portfolio, core_worth
from pipeline.engine.runner import TaskRunner
from pipeline.engine.space import usable_among, usable_classes, usable_orbits
from pipeline.engine.tasks import Task
from pipeline.engine.weights import LEARNED, make_weights
from pipeline.executors import Over, never
from pipeline.objective import LEAST, known, weights_of
from pipeline.selection import Selection

#: Constructions that a task gives back, by method.
_ROWS = {"tabu": 32, "enumerate": 2048, "anneal": 25, "greedy": 1000, "cover": 16}
_ROWS |= {"ruin-recreate": 8, "anneal-score": 32}
# What a task of ruin and recreate does, some seconds.
_WORK = 500_000_000
_NO_WEIGHTS = np.zeros(0, np.float32)


# An annealing on scores is at most so many times as long as the shortest.
_LONGEST = 32


def luby(i: int) -> int:
    """Return term i, from 1, of 1, 1, 2, 1, 1, 2, 4, 1, 1, 2, 1, 1, 2, 4, 8, ...

    Runs of these lengths are within a logarithm of the best for any distribution of how long a run
    must be (Luby, Sinclair, Zuckerman, Information Processing Letters 47 (1993) 173-180).
    """
    bits = i.bit_length()
    whole = i == (1 << bits) - 1
    return 1 << (bits - 1) if whole else luby(i - (1 << (bits - 1)) + 1)


class Explorer:
    """Searches each size by a portfolio, no model."""

    def __init__(
        self,
        config: Config,
        runner: TaskRunner,
        selection: Selection,
        arrays: Mapping[str, np.ndarray],
    ) -> None:
        """Check the methods, classes and weights that are asked for.

        Raises:
            UsageError: an unknown method or weights, or a symmetry class no construction can have.
        """
        self._seeding, self._search = config.seeding, config.search
        self._runner, self._selection, self._arrays = runner, selection, arrays
        # What bounds a task of a method: steps, or nodes. Others go by the moves of the seeding.
        self._bounds = {
            "tabu": config.search.tabu_steps,
            "enumerate": config.search.enumerate_nodes,
            "cover": config.search.cover_nodes,
            "ruin-recreate": _WORK,
            "anneal-score": config.search.score_moves,
        }
        self._learns = config.search.weights == LEARNED and config.generator == "none"
        self.active = config.seeding.method == "portfolio" or config.search.batches > 0
        if self.active:
            self.arms(runner.n, self.weights(runner.n, {}))

    def beside(self, left: Over) -> "Explorer":
        """Return an explorer for another thread, whose search ends once it is left."""
        other = copy.copy(self)
        other._runner = self._runner.beside(left)
        return other

    def weights(self, n: int, smaller: Mapping[int, Population]) -> dict[str, np.ndarray]:
        """Return the weights that guide the arms at size n, float32 ``(m,)`` by name.

        Empty ones guide nothing.

        Args:
            smaller: constructions of smaller sizes to learn from.

        Raises:
            UsageError: unknown weights, or those of another size.
        """
        asked, ground = self._search.weights, self._runner.grounds[n]
        if n != self._runner.n and asked not in ("", "border"):
            asked = "none"
        if not asked:
            return default_weights(ground)
        if asked == LEARNED:
            grounds = self._runner.grounds
            examples = {k: (grounds[k], pool.cells) for k, pool in smaller.items()}
            return {asked: learned_weights(examples, ground)}
        name = "" if asked == "none" else asked
        return {name: make_weights(name, ground, self._arrays)}

    def arms(self, n: int, weights: Mapping[str, np.ndarray]) -> list[Arm]:
        """Return the arms at size n.

        Raises:
            UsageError: an unknown method, or a symmetry class no construction can have.
        """
        search, wanted, problem = self._search, self._seeding.symmetry, self._runner.problem
        if n == self._runner.n:
            return make_arms(problem, n, search.methods, wanted, weights, self._runner.mask)
        # A smaller size makes do with what it has.
        methods = [method for method in search.methods if method != "cover"]
        names = [cls.name for cls in usable_among(problem, n, wanted)]
        if self._only_to_learn(n):
            usable = usable_classes(problem, n)
            names, methods = names or self._quick(n, usable), methods or self._good_alone(n)
        return make_arms(problem, n, methods, names, weights)

    def _only_to_learn(self, n: int) -> bool:
        """Tell whether a size is searched for nothing but to learn weights from it."""
        return self._learns and n != self._runner.n

    def _quick(self, n: int, usable: Sequence[SymmetryClass]) -> list[str]:
        """Return the classes with few orbits, whose search takes a moment; one at least."""
        few = {cls.name: usable_orbits(self._runner.problem, n, cls).sum() for cls in usable}
        return [
            name for name in few if few[name] <= max(self._search.few_orbits, min(few.values()))
        ]

    def _good_alone(self, n: int) -> list[str]:
        """Return the methods that find the most in a moment."""
        problem = self._runner.problem
        suits = [method for method in suiting(problem) if method not in ("anneal", "cover")]
        with_cover = problem.objective == "size" and problem.degree_constraints(n)
        return [*suits, *(["cover"] if with_cover else [])]

    def notes(self) -> list[str]:
        """Say, a line each, what the tabu searches at n go without."""
        if not self.active:
            return []
        runner = self._runner
        weights = self.weights(runner.n, {})
        arms, most = self.arms(runner.n, weights), self._search.table_bytes
        return tabu_notes(runner.problem, runner.n, arms, weights, runner.mask, most)

    def idle_note(self) -> str:
        """Say where there are more cores than tasks at a time; nothing if there are not."""
        cores, batch = (
            self._runner.executor.cores() if self.active else 1,
            self._search.tasks_per_batch,
        )
        if cores <= batch:
            return ""
        return (
            f"{cores} cores, and search hands out {batch} tasks at a time, so that {cores - batch} "
            f"cores wait: begin a run with --set search.tasks_per_batch={4 * cores}"
        )

    def kinds(self) -> list[Task]:
        """Return a task of each kind of arm at n, to compile what they need."""
        if not self.active:
            return []
        n = self._runner.n
        weights = self.weights(n, {})
        portfolio = Portfolio(self.arms(n, weights))
        kinds = {arm.method: arm for arm in reversed(portfolio.arms)}
        return [self._task(n, 0, 0, arm, portfolio, weights) for arm in kinds.values()]

    def explore(
        self,
        n: int,
        number: int,
        before: Population,
        arms: Sequence[Mapping[str, Any]],
        smaller: Mapping[int, Population],
        origin: str = "search",
        more: Over = never,
    ) -> tuple[Population, tuple[Mapping[str, Any], ...]]:
        """Search size n for one round.

        Args:
            number: of the round.
            before: the pool as it is.
            arms: what the arms have found in earlier rounds.
            smaller: constructions of smaller sizes.
            origin: of what is found; "seed" in the round that seeds.
            more: asked whether to go on where the tasks of a round are done.

        Returns:
            (the best of all, what the arms have found by now).
        """
        runner, problem = self._runner, self._runner.problem
        ground, degrees = runner.grounds[n], problem.degree_constraints(n)
        worth = weights_of(problem, n)
        weights = self.weights(n, smaller)
        # Arms begin from nothing: only learned weights can hand on what others have found.
        imported = LEARNED in weights and any(pool.imported.any() for pool in smaller.values())
        by_size = problem.objective == "size"
        wanted = degrees.size if degrees and by_size else 0
        batch = self._search.tasks_per_batch
        portfolio = Portfolio(self.arms(n, weights), wanted, batch, by_size)
        portfolio.restore(arms)
        rng = np.random.default_rng(streams.integer(runner.seed, number, "portfolio", n))
        classes = {
            arm.symmetry: find_class(ground, arm.symmetry)
            for arm in portfolio.arms
            if arm.method != "cover"
        }
        found, made, done = [before], [], 0
        total, most = self._tasks(n, origin, len(portfolio.arms)), self._selection.limits[n]
        best = int(before.score.max(initial=LEAST))
        runner.callbacks.on_stage("explore", total, n)
        while (done < total or more()) and not runner.over(n, best):
            chosen = portfolio.batch(rng)[: total - done if done < total else None]
            tasks = [
                self._task(n, number, done + i, arm, portfolio, weights)
                for i, arm in enumerate(chosen)
            ]
            parts = runner.run(tasks, number, origin, imported=imported)
            for arm, part in zip(chosen, parts, strict=False):
                done += 1
                top = int(part.score.max(initial=LEAST))
                bits = unpack(part.cells[part.score == top][:8], ground.m)
                held = len(bits) and arm.symmetry in classes
                core = core_worth(bits, ground, classes[arm.symmetry], worth) if held else 0
                portfolio.add(arm, top, core)
                best = max(best, runner.told_best(part, origin))
                made.append(part)
                runner.callbacks.on_progress(done, known(best))
                if (done < total or more()) and runner.over(n, best):
                    break
            if sum(map(len, made)) > 2 * most:
                pool = self._selection.best(n, *found, *made)
                found, made = [pool], []
                full = problem.objective != "score" and 0 < most == len(pool)
                portfolio.floor = int(pool.score.min()) if full else 0
        return self._selection.best(n, *found, *made), tuple(portfolio.to_json())

    def _tasks(self, n: int, origin: str, arms: int) -> int:
        """Return how many tasks a round has at size n."""
        share = 1.0 if n == self._runner.n else self._seeding.smaller
        batches = self._seeding.batches if origin == "seed" else self._search.batches
        total = max(round(share * batches), 1) * self._search.tasks_per_batch
        return min(total, 2 * arms) if self._only_to_learn(n) else total

    def _task(
        self,
        n: int,
        number: int,
        index: int,
        arm: Arm,
        portfolio: Portfolio,
        weights: Mapping[str, np.ndarray],
    ) -> Task:
        m = self._runner.grounds[n].m
        bound = self._bounds.get(arm.method, self._seeding.moves or max(400_000, 100 * m))
        if not portfolio.believed(arm) or self._only_to_learn(n):
            bound = max(bound // self._search.first_look, 1)
        if arm.method == "anneal-score":
            bound *= min(luby(index + 1), _LONGEST)
        rows, cost = _ROWS[arm.method], self._runner.cost(n, arm.symmetry, arm.method)
        if arm.method in ("anneal", "greedy", "anneal-score"):
            rows, steps = scaled_rows(rows, bound, cost)
            steps = bound if self._seeding.moves else steps
        else:
            steps = scaled(bound, cost)
        return self._runner.task(
            n,
            arm.symmetry,
            arm.method,
            np.zeros((rows, width(m)), np.uint8),
            streams.state(self._runner.seed, number, "portfolio", n, index),
            self._seeding,
            bound=steps,
            goal=portfolio.goal(arm),
            restricted=arm.restricted,
            weights=weights.get(arm.weights, _NO_WEIGHTS),
        )

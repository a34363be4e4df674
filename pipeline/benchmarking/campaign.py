"""A campaign: sizes, arms and rng seeds as independent runs, each of so much time.

First every size and arm has the same number of runs. Further runs go where the tail is promising:
where the share of runs that beat the best known value is largest, whatever their mean.
"""

import hashlib
import itertools
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.benchmarking.experiment import GENERATOR_KEY, Arm, Trial, file_mark, merged
from pipeline.benchmarking.results import Result
from pipeline.benchmarking.runner import Failure, Observer, carry_out
from pipeline.config import GENERATORS, MODELS, config_from
from pipeline.errors import UsageError
from pipeline.jobs import Place
from pipeline.problem import Problem
from pipeline.storage import files, inputs

_ROUNDS = 1_000_000  # more than any time allows
_OF_THE_CAMPAIGN = ("problem", "n", "seed", "budget")


@dataclass(frozen=True)
class Table:
    """What the runs of a campaign have found, so far.

    Attributes:
        rows: a size and an arm each.
        planned: how many runs there were to be.
        failures: the runs that came to nothing, and why.
        folder: where the runs are.
    """

    rows: tuple["Row", ...]
    planned: int
    failures: tuple[Failure, ...]
    folder: Path

    def __str__(self) -> str:
        """Write the table as text."""
        from pipeline.report.campaign import text

        return text(self.rows)

    def _repr_html_(self) -> str:
        """Draw the table in a notebook."""
        from pipeline.report.campaign import html

        return html(self.rows)


class Row(NamedTuple):
    """What the runs of one size and arm have found.

    Attributes:
        best_known: a value on record; None if there is none. ``proved``: no run can beat it.
        best, median: of the scores; None if no run has ended. ``run``: the folder of the best.
        runs: how many have ended.
        reached, beaten: how many have the best known value or more, and more than it; without one,
            how many have the best of all of them.
    """

    n: int
    arm: str
    best_known: int | None
    proved: bool
    best: int | None
    median: float | None
    runs: int
    reached: int
    beaten: int
    cpu: float
    run: str


@dataclass(frozen=True)
class Campaign:
    """Every arm runs at every size with rng seeds 0 to ``seeds`` - 1, then ``more`` runs in all.

    Raises:
        UsageError: nothing to run, or a number out of its range.
    """

    problem: str
    sizes: tuple[int, ...]
    arms: tuple[Arm, ...]
    seeds: int = 5
    more: int = 0
    seconds: float = 600.0  # of each run, on the clock
    cores: int = 1  # of each run
    settings: Mapping[str, Any] = field(default_factory=dict)  # of all runs, nested

    def __post_init__(self) -> None:
        """Check the ranges."""
        names = [arm.name for arm in self.arms]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise UsageError(f"arm {min(twice)!r} is there twice; name each arm once")
        if not names or not self.sizes:
            raise UsageError("name an arm and a size, as in: --n 48:64 --arms none")
        for what, number, least, most in (
            ("--seeds", self.seeds, 1, 100_000),
            ("--more", self.more, 0, 1_000_000),
            ("--cores", self.cores, 1, 1_000),
        ):
            if not least <= number <= most:
                raise UsageError(f"{what} {number}: name a number from {least:,} to {most:,}")
        for key in _OF_THE_CAMPAIGN:
            if key in self.settings:
                raise UsageError(f"--set {key}: it belongs to the campaign itself")

    def folder(self, label: str) -> str:
        """Return the name of the folder that holds its runs.

        Campaigns that differ in their sizes, arms and numbers of runs alone share one.
        """
        same: list[Any] = [self.problem, float(self.seconds), self.cores, self.settings]
        same += filter(None, [file_mark(self.problem)])  # of the user's own, which may change
        text = json.dumps(same, sort_keys=True)
        return f"campaign-{files.slug(label)}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"

    def trials(self, problem: Problem) -> list[Trial]:
        """Return the runs of all sizes and arms, rng seed by rng seed.

        Raises:
            UsageError: a configuration that cannot be, or a size that cannot be had.
        """
        for n in self.sizes:
            problem.ground(n)
        order = itertools.product(range(self.seeds), self.sizes, self.arms)
        return [self._trial(problem, arm, n, seed) for seed, n, arm in order]

    def next_trial(
        self, problem: Problem, results: Sequence[Result], under_way: Sequence[Trial]
    ) -> Trial | None:
        """Return the run that is most worth making after those of all; None if there are enough.

        The guess of what share of runs beats the best known value is (beaten + s) / (runs + 1),
        where s is the share of runs that reach it: the largest is next, of equal ones the one with
        fewer runs.

        Args:
            under_way: those that have failed too: they are not tried again now.
        """
        made = [(r.n, r.arm) for r in results] + [(t.n, t.arm) for t in under_way]
        planned = len(self.sizes) * len(self.arms) * self.seeds
        if len(made) >= planned + self.more:
            return None
        arms = {arm.name: arm for arm in self.arms}
        rows = [row for row in self.rows(problem, results) if not row.proved or not row.reached]
        if not rows:
            return None  # all that is left to find is proved not to be there

        def promise(row: Row) -> tuple[float, int, int]:
            count = made.count((row.n, row.arm))
            guess = (row.beaten + row.reached / max(row.runs, 1)) / (count + 1)
            return -guess, count, row.n

        chosen = min(rows, key=promise)
        seed = made.count((chosen.n, chosen.arm))
        taken = {(r.n, r.arm, r.seed) for r in results}
        taken |= {(t.n, t.arm, t.seed) for t in under_way}
        while (chosen.n, chosen.arm, seed) in taken:
            seed += 1
        return self._trial(problem, arms[chosen.arm], chosen.n, seed)

    def carry_out(
        self,
        problem: Problem,
        folder: Path,
        place: Place,
        observer: Observer | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Table:
        """Make the runs that are not there yet, or go on with them.

        Args:
            folder: where results and runs are kept.
            place: where the runs are made.
            stopped: asked many times a second; once true, the place is left.

        Raises:
            UsageError: a configuration that cannot be, or a size that cannot be had.
            RunError: another process carries out a campaign in this folder.
        """

        def further(found: Sequence[Result], under_way: Sequence[Trial]) -> Trial | None:
            return self.next_trial(problem, found, under_way)

        trials = self.trials(problem)
        results, failures = carry_out(trials, folder, problem, place, observer, stopped, further)
        rows = tuple(self.rows(problem, results))
        return Table(rows, len(trials) + self.more, tuple(failures), folder)

    def rows(self, problem: Problem, results: Sequence[Result]) -> list[Row]:
        """Return what was found at each size by each arm."""
        return [
            _row(problem, n, arm.name, [r for r in results if (r.n, r.arm) == (n, arm.name)])
            for n in self.sizes
            for arm in self.arms
        ]

    def _trial(self, problem: Problem, arm: Arm, n: int, seed: int) -> Trial:
        known = problem.known(n)
        settings = merged(
            {"compute": {"threads": self.cores}},
            self.settings,
            arm.settings,
            {
                "budget": {
                    "rounds": _ROUNDS,
                    "time": float(self.seconds),
                    "target": known.value if known is not None and known.proved else 0,
                },
                "compute": {"workers": self.cores},
            },
        )
        made_by = str(settings.get(GENERATOR_KEY, GENERATORS[0]))
        learns = settings.get("search", {}).get("weights") == "learned"
        if made_by in GENERATORS and made_by not in MODELS and not learns:
            settings.setdefault("sizes", [n])
        config = config_from(
            {**settings, "problem": self.problem, "n": n, "seed": seed}, f"arm {arm.name}"
        )
        config, _ = inputs.bound(config, inputs.read_files(config))
        name = f"n{n}-{arm.name}-seed{seed}-{config.identity[:8]}"
        name += file_mark(made_by)
        more = {"seconds": self.seconds, "threads": self.cores}
        return Trial(arm.name, n, seed, name, self.problem, settings, **more)


def _row(problem: Problem, n: int, arm: str, results: Sequence[Result]) -> Row:
    known = problem.known(n)
    best = max(results, key=lambda result: result.score, default=None)
    scores = [result.score for result in results]
    goal = known.value if known is not None else (best.score if best is not None else 0)
    return Row(
        n=n,
        arm=arm,
        best_known=None if known is None else known.value,
        proved=known is not None and known.proved,
        best=None if best is None else best.score,
        median=statistics.median(scores) if scores else None,
        runs=len(results),
        reached=sum(score >= goal for score in scores),
        beaten=sum(score > goal for score in scores),
        cpu=round(sum(result.cpu for result in results), 1),
        run="" if best is None else str(Path(best.run)),
    )

"""A comparison of arms: what was found at each size, what may be concluded, what weakens it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.benchmarking.experiment import Plan, control_of
from pipeline.benchmarking.results import Result, arm_names, check_pairs, result_of
from pipeline.benchmarking.runner import Failure, Observer, carry_out
from pipeline.benchmarking.statistics import (
    ArmSummary,
    Pairs,
    SizeSummary,
    at_equal_compute,
    summary,
    verdict,
    verdicts,
)
from pipeline.errors import UsageError
from pipeline.jobs import Place
from pipeline.problem import Problem
from pipeline.storage.run import Run

_AHEAD = {
    "best": "the higher best is ahead; of the same best, the one reached in less than 0.8 of the "
    "CPU time",
    "yield": "ahead is what has more constructions of the score counted, no two equal up to "
    "symmetry, if the other has less than 0.8 of them; all CPU seconds count, except in the column "
    "without training",
}


@dataclass(frozen=True)
class Comparison:
    """Arms at equal compute.

    Attributes:
        problem, convention: of all runs.
        label: the problem, with its convention where it has several.
        arms, control: the names of the arms, and the one that the others are compared with.
        sizes: a summary of each size of which there is a result, rising.
        warnings: what keeps this from being at equal compute.
        cpu_seconds: of each run; None for no limit.
        planned, failures, interrupted: how many runs there were to be, and what came in between.
        folder: where the runs are; None for finished runs from anywhere.
        measure: "best", the best score and when it was there, or "yield", how many constructions
            of the target's score or more, up to symmetry, there were in the end.
    """

    problem: str
    convention: str
    label: str
    arms: tuple[str, ...]
    control: str
    sizes: tuple[SizeSummary, ...]
    warnings: tuple[str, ...]
    cpu_seconds: float | None
    planned: int
    failures: tuple[Failure, ...] = ()
    interrupted: bool = False
    folder: Path | None = None
    measure: str = "best"

    def sentences(self) -> list[tuple[int | None, str]]:
        """Return what is to be said of each size; last, with None, of all sizes together."""
        early = [(size.n, size.too_early) for size in self.sizes if size.too_early]
        return early + [
            (n, ("" if n else "all sizes: ") + verdict(arm, self.control, pairs))
            for n, arm, pairs in verdicts(self.sizes)
        ]

    def notes(self) -> list[str]:
        """Return how the verdicts were come by, and what weakens them."""
        count = len(verdicts(self.sizes))
        method = (
            f"Pairs of the same rng seed against {self.control}: {_AHEAD[self.measure]}. Exact "
            f"two-sided sign test, ties left out: fewer than {Pairs().missing} pairs that are not "
            "tied decide nothing at p < 0.05"
        )
        several = f"; no correction for the {count} comparisons made" if count > 1 else ""
        return [f"{method}{several}.", *(f"warning: {text}" for text in self.warnings)]

    def __str__(self) -> str:
        """Write the table and the verdicts as text."""
        from pipeline.report.comparison import text

        return text(self)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON."""
        return {
            "folder": None if self.folder is None else str(self.folder),
            "problem": self.problem,
            "convention": self.convention,
            "budget_cpu_seconds": self.cpu_seconds,
            "measure": self.measure,
            "arms": list(self.arms),
            "control": self.control,
            "sizes": [_size_json(size) for size in self.sizes],
            "verdicts": [
                {
                    "n": n,
                    "arm": arm,
                    "control": self.control,
                    "ahead": pairs.ahead,
                    "tied": pairs.tied,
                    "behind": pairs.behind,
                    "p": pairs.p,
                    "test": "exact two-sided sign test",
                    "verdict": pairs.word,
                    "missing_pairs": pairs.missing,
                    "text": verdict(arm, self.control, pairs),
                }
                for n, arm, pairs in verdicts(self.sizes)
            ],
            "warnings": list(self.warnings),
            "failed": [
                {"arm": trial.arm, "n": trial.n, "seed": trial.seed, "error": error}
                for trial, error in self.failures
            ],
            "planned": self.planned,
            "interrupted": self.interrupted,
        }


def run_plan(
    plan: Plan,
    problem: Problem,
    folder: Path,
    place: Place,
    observer: Observer | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Comparison:
    """Carry a plan out in a folder, or go on with it, and compare its arms.

    Args:
        place: where the runs are carried out, each on one core.
        stopped: asked many times a second; once true, what is running is dropped.

    Raises:
        UsageError: a configuration that cannot be, or a size that cannot be had.
        RunError: another process carries out a plan in this folder.
    """
    trials = plan.trials(problem)
    results, failures = carry_out(trials, folder, problem, place, observer, stopped)
    cut, _, warnings = at_equal_compute(results, [plan.cpu_seconds for _ in results])
    if plan.settings.get("compute", {}).get("device", "cpu") != "cpu":
        warnings.append("not at equal compute: what a GPU does costs no CPU seconds")
    return _comparison(
        problem,
        cut,
        [arm.name for arm in plan.arms],
        plan.control,
        plan.goal,
        warnings=tuple(warnings),
        cpu_seconds=plan.cpu_seconds,
        planned=len(trials),
        failures=tuple(failures),
        interrupted=stopped(),
        folder=folder,
        measure=plan.measure,
    )


def of_runs(
    runs: Sequence[Run], problem: Problem, target: int = 0, control: str = ""
) -> Comparison:
    """Compare finished runs of one problem, whose arms differ in their settings.

    Args:
        target: what counts as reached; 0 for the best known value.
        control: the arm to compare with; empty for "none", or the last.

    Raises:
        UsageError: two runs that would be the same one of a pair, or an unknown control.
        RunError: a run is damaged, or is not what it claims.
    """
    configs = [run.config for run in runs]
    labels = arm_names(configs)
    results = [result_of(run, problem, arm) for run, arm in zip(runs, labels, strict=True)]
    check_pairs(results)
    names = list(dict.fromkeys(labels))
    cut, budget, warnings = at_equal_compute(results, [config.budget.cpu for config in configs])
    return _comparison(
        problem,
        cut,
        names,
        control_of(names, control),
        lambda _: target,
        warnings=tuple(warnings),
        cpu_seconds=budget if math.isfinite(budget) else None,
        planned=len(runs),
    )


def check_same_problem(runs: Sequence[Run], problems: Sequence[Problem]) -> None:
    """Refuse runs of several problems or conventions.

    Raises:
        UsageError: names two.
    """
    first = problems[0]
    for run, other in zip(runs, problems, strict=True):
        if (type(other), other.convention) != (type(first), first.convention):
            raise UsageError(
                f"{run.path} is of {other.name} ({other.convention}), {runs[0].path} of "
                f"{first.name} ({first.convention}); only runs of the same can be compared"
            )


def _comparison(
    problem: Problem,
    results: Sequence[Result],
    arms: Sequence[str],
    control: str,
    goal: Callable[[int], int],
    measure: str = "best",
    **others: Any,
) -> Comparison:
    sizes = []
    for n in sorted({result.n for result in results}):
        known = problem.known(n)
        target = goal(n) or (None if known is None else known.value)
        sizes.append(summary(results, n, arms, control, target, measure))
    return Comparison(
        problem=problem.name,
        convention=problem.convention,
        label=problem.name + ("" if len(problem.conventions) == 1 else f" ({problem.convention})"),
        arms=tuple(arms),
        control=control,
        sizes=tuple(sizes),
        measure=measure,
        **others,
    )


def _size_json(size: SizeSummary) -> dict[str, Any]:
    return {
        "n": size.n,
        "target": size.target,
        "control_median_best": size.control_median,
        "arms": [_arm_json(each) for each in size.arms],
    }


def _arm_json(each: ArmSummary) -> dict[str, Any]:
    cpu = each.cpu_to_control_median
    return {
        "arm": each.arm,
        "best": max(each.scores),
        "median": each.median,
        "min": min(each.scores),
        "max": max(each.scores),
        "reached": each.reached,
        "counts": None if each.counts is None else list(each.counts),
        "cpu_to_control_median_best": None if math.isinf(cpu) else cpu,
        "runs": [
            {
                "seed": result.seed,
                "score": result.score,
                "cpu": result.cpu,
                "training": result.training,
                "trace": [step._asdict() for step in result.trace],
                "run": result.run,
                "revision": result.revision,
            }
            for result in each.results
        ],
    }

"""What single runs found, and when: the material of a comparison."""

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.benchmarking.experiment import GENERATOR_KEY
from pipeline.config import Config, as_dict
from pipeline.config.files import flat
from pipeline.core.untrusted import read_json
from pipeline.errors import PipelineError, UsageError
from pipeline.problem import Problem
from pipeline.storage import files
from pipeline.storage.round_files import best_of
from pipeline.storage.run import Run


class Step(NamedTuple):
    """A moment at which the best score rose."""

    cpu: float  # CPU seconds of the run so far
    score: int
    origin: str  # seed, search, model or import


class Kept(NamedTuple):
    """What the pool held after a round, no two constructions equivalent."""

    cpu: float  # CPU seconds of the run so far
    histogram: dict[str, int]  # how many of each score


@dataclass(frozen=True)
class Result:
    """What one run found, its best verified from the raw cells."""

    arm: str
    n: int
    seed: int
    score: int
    cpu: float  # CPU seconds in all
    trace: tuple[Step, ...]  # both rising; ends at ``score``, or empty if the run kept none
    run: str
    revision: str | None = None  # of the program that made it
    kept: tuple[Kept, ...] = ()  # after each round
    training: float = 0.0  # of its CPU seconds, those that a model was trained for

    def reached(self, score: float) -> float:
        """Return the CPU seconds after which a score was there; infinity if it never was."""
        return next((step.cpu for step in self.trace if step.score >= score), math.inf)

    def count(self, score: int) -> int:
        """Return how many constructions of this score or more it had at its end."""
        held = self.kept[-1].histogram if self.kept else {}
        return sum(number for key, number in held.items() if int(key) >= score)

    def reached_at_once(self, score: float) -> bool:
        """Tell whether a score was there in round 0, before a generator was asked."""
        first = next((step.origin for step in self.trace if step.score >= score), "")
        return first in ("seed", "import")

    def within(self, budget: float) -> "Result":
        """Return what was found by the time that CPU seconds were used; 0 if that was nothing.

        A run may overrun its budget by the piece of work in hand. A run without a trace is
        returned as it is.
        """
        steps = tuple(step for step in self.trace if step.cpu <= budget)
        kept = tuple(part for part in self.kept if part.cpu <= budget)
        if (steps, kept) == (self.trace, self.kept):
            return self
        lost = steps != self.trace
        score = (steps[-1].score if steps else 0) if lost else self.score
        return replace(self, trace=steps, kept=kept, score=score)


def result_of(run: Run, problem: Problem, arm: str) -> Result:
    """Return what a finished run found.

    Raises:
        RunError: it has no finished round, is damaged, or is not what it claims.
    """
    best = best_of(run, problem)
    events = [e for e in run.events() if isinstance(e.get("cpu"), int | float)]
    cpu = max((e["cpu"] for e in events), default=0.0)
    trace = _trace(events, run.config.n, best["score"])
    if trace and trace[-1].score < best["score"]:
        trace += (Step(cpu, best["score"], best["origin"]),)
    revision = run.info["sessions"][-1].get("revision")
    config = run.config
    what = (arm, config.n, config.seed, best["score"], cpu, trace, str(run.path), revision)
    return Result(*what, _kept(run), _training(run))


def _training(run: Run) -> float:
    """Return the CPU seconds that a model was trained for, feedback among them."""
    stages = [e for e in run.events() if e.get("event") == "stage" and "process_cpu" in e]
    spent = [
        float(after["process_cpu"]) - float(stage["process_cpu"])
        for stage, after in itertools.pairwise(stages)
        if stage.get("name") in ("train", "feedback")
    ]
    return round(sum(max(seconds, 0.0) for seconds in spent), 3)  # less than 0: another session


def _kept(run: Run) -> tuple[Kept, ...]:
    """Return what the pool at n held after each round."""
    found: list[Kept] = []
    number = None
    for event in run.events():
        if event.get("event") == "round":
            number = event.get("number")
        elif event.get("event") == "cpu" and type(number) is int:
            histogram = run.stats(number)["pool"][str(run.config.n)]["histogram"]
            found.append(Kept(round(float(event["cpu"]), 3), histogram))
            number = None
    return tuple(found)


def _trace(events: Sequence[dict[str, Any]], n: int, score: int) -> tuple[Step, ...]:
    """Return the steps at which the best rose, up to the score that is verified."""
    bests = [e for e in events if e.get("event") == "best" and e.get("n") == n]
    steps: list[Step] = []
    for e in sorted(bests, key=lambda e: e["cpu"]):
        if e["score"] <= score and (not steps or steps[-1].score < e["score"]):
            steps.append(Step(round(float(e["cpu"]), 3), int(e["score"]), str(e.get("origin"))))
    return tuple(steps)


def read_result(path: Path) -> Result | None:
    """Return a stored result, None if there is none that can be read."""
    try:
        data = read_json(path)
        trace = tuple(Step(*step) for step in data.pop("trace"))
        kept = tuple(Kept(*part) for part in data.pop("kept", ()))
        return Result(**data, trace=trace, kept=kept)
    except (PipelineError, TypeError, KeyError, AttributeError):
        return None


def write_result(path: Path, result: Result) -> None:
    """Store a result, whole or not at all.

    Raises:
        PipelineError: it cannot be written.
    """
    files.write_file(path, files.to_json(asdict(result)))


# ------------------------------------------------------------------- finished runs as arms


def arm_names(configs: Sequence[Config]) -> list[str]:
    """Name the arm that each run belongs to: its generator, and what else tells it from others.

    Size, rng seed, budget and machine do not; sizes to learn from count by their distance to n.
    """
    settings = [_of_an_arm(config) for config in configs]
    names = []
    for own in settings:
        same = [other for other in settings if other[GENERATOR_KEY] == own[GENERATOR_KEY]]
        telling = [
            key for key in sorted(own) if len({json.dumps(other[key]) for other in same}) > 1
        ]
        names.append(" ".join([own[GENERATOR_KEY], *(f"{key}={own[key]}" for key in telling)]))
    return names


def _of_an_arm(config: Config) -> dict[str, Any]:
    data = as_dict(config)
    data["sizes"] = [config.n - n for n in config.sizes]
    for key in ("problem", "convention", "n", "seed", "budget", "compute"):
        del data[key]
    return dict(flat(data))


def check_pairs(results: Sequence[Result]) -> None:
    """Refuse two runs that would be the same one of a pair.

    Raises:
        UsageError: names both.
    """
    seen: dict[tuple[str, int, int], str] = {}
    for result in results:
        key = (result.arm, result.n, result.seed)
        if key in seen:
            raise UsageError(
                f"{seen[key]} and {result.run} are both {result.arm}, n={result.n}, rng seed "
                f"{result.seed}; name one of them"
            )
        seen[key] = result.run

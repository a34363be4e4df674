"""Which arm is better at equal compute: a plan of runs, how it is carried out, what may be said.

A plan is a problem, sizes, arms (configurations), rng seeds and a budget in CPU seconds. Each cell
of it, one arm at one size with one rng seed, is an ordinary run on one core. Arms are compared in
pairs of the same size and rng seed, by an exact sign test.
"""

import contextlib
import hashlib
import itertools
import json
import math
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.config import GENERATORS, MODELS, Config, as_dict, config_from
from pipeline.errors import PipelineError, RunError, UsageError, nearest
from pipeline.problem import Problem, problem_spec
from pipeline.storage import files, inputs
from pipeline.storage.round_files import best_of
from pipeline.storage.run import Run

#: The level below which an arm is called ahead or behind.
LEVEL = 0.05
#: The same score counts as ahead when it took less than this share of the other's CPU time.
FASTER = 0.8
#: What a cell is played by.
PROGRAM = (sys.executable, "-m", "pipeline")
#: CPU time beyond the budget that is no longer called equal compute.
TOLERANCE = 1.1

_POLL = 0.1  # seconds between two looks at what is being played
_ROUNDS = 1_000_000  # more than any budget of CPU seconds allows
_KEYS = ("problem", "n", "arms", "seeds", "budget_cpu_seconds", "target", "stop_at_target")
_KEYS += ("control", "settings")
#: What a plan decides, and what must be the same in all arms.
_OF_THE_PLAN = ("problem", "n", "seed")
_OF_ALL_ARMS = (*_OF_THE_PLAN, "convention", "budget", "compute")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

#: Called as ``report(event, **particulars)`` with the events kept, begun, done, failed and tick.
Report = Callable[..., None]


# ------------------------------------------------------------------------------- the plan


@dataclass(frozen=True)
class Arm:
    """One way to play: a name, and the keys of a configuration that make it differ."""

    name: str
    overrides: Mapping[str, Any]  # nested, as in config.toml

    def __post_init__(self) -> None:
        """Check the name, which becomes part of a folder's.

        Raises:
            UsageError: it is too long or has odd characters, or a key cannot differ between arms.
        """
        if not re.fullmatch(r"[A-Za-z0-9][\w.+-]{0,39}", self.name):
            raise UsageError(
                f"arm {self.name!r}: name it with letters, digits, '-', '_', '.' or '+', 40 at most"
            )
        for key in _OF_ALL_ARMS:
            if key in self.overrides:
                raise UsageError(
                    f"arm {self.name}: {key} must be the same in all arms; set it for all of them"
                )


@dataclass(frozen=True)
class Plan:
    """Every arm plays every size with every rng seed, 0 to ``seeds`` - 1.

    Raises:
        UsageError: nothing to compare, or a number out of its range.
    """

    problem: str
    sizes: tuple[int, ...]
    arms: tuple[Arm, ...]
    seeds: int = 6  # fewer cannot decide anything
    cpu_seconds: float = 60.0  # of each run
    settings: Mapping[str, Any] = field(default_factory=dict)  # of all arms, nested
    target: int | Mapping[int, int] = 0  # what "reached" counts, by size or of all; 0: best known
    stop_at_target: bool = False  # a run ends once it is there
    control: str = ""  # empty: the arm "none", or the last

    def __post_init__(self) -> None:
        """Check the ranges, and find the control."""
        names = [arm.name for arm in self.arms]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise UsageError(f"arm {min(twice)!r} is there twice; name each arm once")
        if len(names) < 2:
            raise UsageError("a comparison needs two arms or more, as in: --arms gpt,none")
        if not self.sizes:
            raise UsageError("name a size, as in: --n 40")
        if not 1 <= self.seeds <= 10_000:
            raise UsageError(f"seeds must be between 1 and 10,000, got {self.seeds}")
        if not 0 < self.cpu_seconds < 1e9:
            raise UsageError(f"the budget must be CPU seconds above 0, got {self.cpu_seconds:g}")
        targets = self.target if isinstance(self.target, Mapping) else {0: self.target}
        for goal in targets.values():
            if goal < 0:
                raise UsageError(f"target must be 0 or more, got {goal}")
        for key in _OF_THE_PLAN:
            if key in self.settings:
                raise UsageError(f"settings: {key} belongs to the plan itself, not to its settings")
        object.__setattr__(self, "control", control_of(names, self.control))

    def goal(self, n: int) -> int:
        """Return what counts as reached at a size, 0 for the best known value."""
        return self.target.get(n, 0) if isinstance(self.target, Mapping) else self.target

    def folder(self, label: str) -> str:
        """Return the name of the folder that holds its cells.

        Plans that differ in their sizes, arms, number of rng seeds or target alone share one, so
        that what has been played counts for all of them.
        """
        told: list[Any] = [self.problem, self.cpu_seconds, self.settings]
        path = Path(self.problem.rpartition(":")[0])
        if path.is_file():  # a problem of the user's own, which may change
            told.append(hashlib.sha256(path.read_bytes()).hexdigest())
        text = json.dumps(told, sort_keys=True)
        slug = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") or "problem"
        return f"compare-{slug}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"

    def cells(self, problem: Problem) -> list["Cell"]:
        """Return what is to be played, rng seed by rng seed, so that a part of it is fair.

        Raises:
            UsageError: a configuration that cannot be, or a size that cannot be had.
        """
        order = itertools.product(range(self.seeds), self.sizes, self.arms)
        return [self._cell(problem, arm, n, seed) for seed, n, arm in order]

    def _cell(self, problem: Problem, arm: Arm, n: int, seed: int) -> "Cell":
        known = problem.known(n)
        end = known.value if known is not None and known.proved else 0
        if self.stop_at_target:
            end = self.goal(n) or (known.value if known is not None else 0)
        told = merged(
            {"compute": {"device": "cpu", "threads": 1}},
            {"budget": {"rounds": _ROUNDS, "target": end}},
            self.settings,
            arm.overrides,
            {"budget": {"cpu": self.cpu_seconds}, "compute": {"workers": 1}},
        )
        learns = told.get("search", {}).get("weights") == "learned"
        if told.get("generator", "gpt") not in MODELS and not learns:
            told.setdefault("sizes", [n])  # the others have no use for smaller ones
        problem.ground(n)
        whole = {**told, "problem": self.problem, "n": n, "seed": seed}
        config = config_from(whole, f"arm {arm.name}")
        config, _ = inputs.bound(config, inputs.read_files(config))
        name = f"n{n}-{arm.name}-seed{seed}-{config.identity[:8]}"
        name += f"-to{end}" if self.stop_at_target else ""
        return Cell(arm.name, n, seed, name, self.problem, told)


@dataclass(frozen=True, eq=False)
class Cell:
    """One run of a plan."""

    arm: str
    n: int
    seed: int
    name: str  # of its file and folder; tells apart all that decides its result
    problem: str
    told: Mapping[str, Any]  # nested keys of the configuration

    def arguments(self, runs: Path) -> list[str]:
        """Return the words of the command that plays it in a folder of runs."""
        words = ["run", self.problem, "--n", str(self.n), "--seed", str(self.seed)]
        words += ["--json", "--runs", str(runs)]
        for key, value in _flat(self.told).items():
            words += ["--set", f"{key}={json.dumps(value, ensure_ascii=False)}"]
        return words


def plan_from(data: Mapping[str, Any], where: str, base: Path | None = None) -> Plan:
    """Make a plan of the keys of a SPEC file.

    Args:
        where: what to name in an error, such as the file.
        base: the folder that files named in it go by; the working directory if not given.

    Raises:
        UsageError: an unknown or missing key, a wrong type or value.
    """
    for key in data:
        if key not in _KEYS:
            raise UsageError(f"{where}: unknown key {key!r}{nearest(str(key), _KEYS)}")
    for key in ("problem", "n"):
        if key not in data:
            raise UsageError(f"{where}: the key {key!r} is missing")
    base = base or Path()
    try:
        settings = _section(data.get("settings", {}), "settings")
        inputs.absolute(settings, base)
        problem = _typed(str, data["problem"], "problem")
        budget = data.get("budget_cpu_seconds", Plan.cpu_seconds)
        return Plan(
            problem=problem_spec(str(base / problem) if ":" in problem else problem),
            sizes=_sizes(data["n"]),
            arms=arms_from(data.get("arms", ["gpt", "perturb", "none"]), base),
            seeds=_typed(int, data.get("seeds", Plan.seeds), "seeds"),
            cpu_seconds=float(_typed(float, budget, "budget_cpu_seconds")),
            settings=settings,
            target=_target(data.get("target", 0)),
            stop_at_target=_typed(bool, data.get("stop_at_target", False), "stop_at_target"),
            control=_typed(str, data.get("control", ""), "control"),
        )
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def arms_from(data: object, base: Path) -> tuple[Arm, ...]:
    """Make arms of a list of built-in names, or of a table of overrides for each name.

    Raises:
        UsageError: a name that is not built in and not described, or a wrong type.
    """
    if isinstance(data, list):
        for name in data:
            if name not in GENERATORS:
                raise UsageError(f"unknown arm {name!r}{nearest(str(name), GENERATORS)}")
        return tuple(Arm(name, {"generator": name}) for name in data)
    arms = []
    for name, told in _section(data, "arms").items():
        overrides = _section(told, f"arms.{name}")
        inputs.absolute(overrides, base)
        default = {"generator": name} if name in GENERATORS else {}
        arms.append(Arm(name, merged(default, overrides)))
    return tuple(arms)


def control_of(names: Sequence[str], asked: str = "") -> str:
    """Return the arm that the others are held against.

    Raises:
        UsageError: the one asked for is not among the arms.
    """
    if asked and asked not in names:
        raise UsageError(f"control: unknown arm {asked!r}{nearest(asked, names)}")
    return asked or ("none" if "none" in names else names[-1])


def merged(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested keys with later parts over earlier ones."""
    whole: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            inner = whole.get(key)
            if isinstance(value, Mapping):
                value = merged(inner, value) if isinstance(inner, Mapping) else merged(value)
            whole[key] = value
    return whole


def _section(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{name} must be a section, got {value!r}")
    return merged(value)


def _sizes(value: object) -> tuple[int, ...]:
    listed = value if isinstance(value, list) else [value]
    return tuple(sorted({_typed(int, n, "n") for n in listed}))


def _target(value: object) -> int | dict[int, int]:
    if not isinstance(value, dict):
        return _typed(int, value, "target")
    for n in value:
        if not str(n).isdecimal():
            raise UsageError(f"target: {n!r} is no size; write target = {{40 = 70, 48 = 84}}")
    return {int(n): _typed(int, goal, f"target.{n}") for n, goal in value.items()}


def _typed(kind: type, value: object, name: str) -> Any:
    accepted = (int, float) if kind is float else (kind,)
    if isinstance(value, bool) != (kind is bool) or not isinstance(value, accepted):
        words = {int: "a whole number", float: "a number", str: "a string", bool: "true or false"}
        raise UsageError(f"{name} must be {words[kind]}, got {value!r}")
    return value


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in data.items():
        nested = isinstance(value, Mapping)
        flat |= _flat(value, f"{prefix}{key}.") if nested else {prefix + key: value}
    return flat


# --------------------------------------------------------------------- what came of a run


class Step(NamedTuple):
    """A moment at which the best score rose."""

    cpu: float  # CPU seconds of the run so far
    score: int
    origin: str  # seed, search, model or import


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
    revision: str | None = None  # of the program that played it

    def reached(self, score: float) -> float:
        """Return the CPU seconds after which a score was there; infinity if it never was."""
        return next((step.cpu for step in self.trace if step.score >= score), math.inf)

    def within(self, budget: float) -> "Result":
        """Return what was found by the time that CPU seconds were used; 0 if that was nothing.

        A run may overrun its budget by the piece of work in hand. A run without a trace is
        returned as it is.
        """
        steps = tuple(step for step in self.trace if step.cpu <= budget)
        if steps == self.trace:
            return self
        return replace(self, trace=steps, score=steps[-1].score if steps else 0)


def result_of(run: Run, problem: Problem, arm: str) -> Result:
    """Return what a finished run found.

    Raises:
        RunError: it has no finished round, is damaged, or is not what it claims.
    """
    best = best_of(run, problem)
    events = list(_events(run.path / "events.jsonl"))
    cpu = max((e["cpu"] for e in events), default=0.0)
    trace = _trace(events, run.config.n, best["score"])
    if trace and trace[-1].score < best["score"]:
        trace += (Step(cpu, best["score"], best["origin"]),)
    revision = run.info["sessions"][-1].get("revision")
    config = run.config
    return Result(arm, config.n, config.seed, best["score"], cpu, trace, str(run.path), revision)


def _events(log: Path) -> Iterator[dict[str, Any]]:
    """Yield the events that tell CPU seconds; a torn line is left out."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict) and isinstance(event.get("cpu"), int | float):
                yield event


def _trace(events: Sequence[dict[str, Any]], n: int, score: int) -> tuple[Step, ...]:
    """Return the steps at which the best rose, up to the score that is verified."""
    bests = [e for e in events if e.get("event") == "best" and e.get("n") == n]
    steps: list[Step] = []
    for e in sorted(bests, key=lambda e: e["cpu"]):
        if (steps[-1].score if steps else -1) < e["score"] <= score:
            steps.append(Step(round(float(e["cpu"]), 3), int(e["score"]), str(e.get("origin"))))
    return tuple(steps)


def read_result(path: Path) -> Result | None:
    """Return a stored result, None if there is none that can be read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        trace = tuple(Step(*step) for step in data.pop("trace"))
        return Result(**data, trace=trace)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def write_result(path: Path, result: Result) -> None:
    """Store a result, whole or not at all."""
    files.write(path, (json.dumps(asdict(result)) + "\n").encode())


# ------------------------------------------------------------------------- carrying it out


class Failure(NamedTuple):
    """A run that came to nothing."""

    cell: Cell
    error: str


def carry_out(
    cells: Sequence[Cell],
    folder: Path,
    problem: Problem,
    jobs: int,
    report: Report,
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[list[Result], list[Failure]]:
    """Play the cells that have no result yet, ``jobs`` at once, each in a process of its own.

    Args:
        folder: holds ``cells/NAME.json`` for each finished cell and ``runs/NAME/`` with its run.
        stopped: asked many times a second; once true, what is being played is dropped.

    Raises:
        RunError: another process plays in this folder.
    """
    results: list[Result] = []
    failures: list[Failure] = []
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    with _locked(folder), contextlib.ExitStack() as children:
        stored = {cell: read_result(folder / "cells" / f"{cell.name}.json") for cell in cells}
        results += [result for result in stored.values() if result is not None]
        waiting = [cell for cell, result in stored.items() if result is None]
        playing: list[_Play] = []
        children.callback(lambda: [play.kill() for play in playing])
        report("kept", done=len(results), total=len(cells))
        while (waiting or playing) and not stopped():
            while waiting and len(playing) < jobs:
                playing.append(_Play(waiting.pop(0), folder))
                report("begun", cell=playing[-1].cell)
            time.sleep(_POLL)
            for play in [play for play in playing if play.process.poll() is not None]:
                playing.remove(play)
                try:
                    found = play.result(problem)
                except PipelineError as error:
                    failures.append(Failure(play.cell, str(error)))
                    report("failed", cell=play.cell, error=str(error), seconds=play.seconds)
                else:
                    write_result(folder / "cells" / f"{play.cell.name}.json", found)
                    results.append(found)
                    report("done", cell=play.cell, result=found, seconds=play.seconds)
            report("tick", waiting=len(waiting), playing=[play.seconds for play in playing])
    return results, failures


class _Play:
    """A cell that is being played, from the beginning: what an earlier try left is deleted."""

    def __init__(self, cell: Cell, folder: Path) -> None:
        self.cell = cell
        self._folder = folder / "runs" / cell.name
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._began = time.monotonic()
        with open(self._folder / "out.json", "wb") as out, open(self._folder / "log", "wb") as log:
            # A session of its own, so that Ctrl-C reaches us alone.
            self.process = subprocess.Popen(
                [*PROGRAM, *cell.arguments(self._folder)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                start_new_session=True,
                env=os.environ | dict.fromkeys(_THREADS, "1"),
            )

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self._began

    def result(self, problem: Problem) -> Result:
        """Return what a process that has ended found.

        Raises:
            PipelineError: it failed, or its best is not what it claims.
        """
        if self.process.returncode:
            raise PipelineError(self._error())
        try:
            told = json.loads((self._folder / "out.json").read_text(encoding="utf-8"))
            path = Path(told["run"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise PipelineError(f"{self._folder / 'out.json'} names no run") from error
        return result_of(Run(path), problem, self.cell.arm)

    def _error(self) -> str:
        text = (self._folder / "log").read_text(encoding="utf-8", errors="replace")
        last = (text.strip().splitlines() or [f"exit code {self.process.returncode}"])[-1]
        return last.removeprefix("pipeline: ")

    def kill(self) -> None:
        """End the process and its workers at once."""
        with contextlib.suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other comparisons out of a folder, where the system has such locks."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    files.append(folder / "lock", b"")  # refuses what is no file
    with open(folder / "lock", "a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunError(
                f"{folder} is in use by another `pipeline compare`; wait for it"
            ) from None
        yield


# ----------------------------------------------------------------------------- the verdict


def sign_test(ahead: int, behind: int) -> float:
    """Return the p-value of the exact two-sided sign test; ties are left out beforehand.

    The chance that fair coins, ``ahead + behind`` of them, fall at least as far from even.
    Source: J. Arbuthnot, 1710; W. J. Conover, Practical Nonparametric Statistics, section 3.4.
    """
    count = ahead + behind
    tail = sum(math.comb(count, k) for k in range(min(ahead, behind) + 1))
    return min(1.0, 2 * tail / 2**count)


@dataclass(frozen=True)
class Pairs:
    """How an arm did against the control, in pairs of the same size and rng seed."""

    ahead: int = 0
    tied: int = 0
    behind: int = 0

    def __add__(self, other: "Pairs") -> "Pairs":
        """Return the pairs of both."""
        return Pairs(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def count(self) -> int:
        """How many pairs there are, ties included."""
        return self.ahead + self.tied + self.behind

    @property
    def p(self) -> float:
        """The p-value of the exact two-sided sign test."""
        return sign_test(self.ahead, self.behind)

    @property
    def word(self) -> str:
        """``ahead`` or ``behind`` where the test decides, else ``not decided``."""
        if self.p >= LEVEL:
            return "not decided"
        return "ahead" if self.ahead > self.behind else "behind"

    @property
    def missing(self) -> int:
        """How many more pairs would decide it, if all went the way most did; 0 if it is decided."""
        high, low = max(self.ahead, self.behind), min(self.ahead, self.behind)
        return next(k for k in itertools.count() if sign_test(high + k, low) < LEVEL)


def compared(one: Result, other: Result) -> int:
    """Return 1 if ``one`` is ahead, -1 if it is behind, 0 if the two are tied.

    The higher best is ahead; of the same best, the one reached in less than 0.8 of the CPU time.
    """
    if one.score != other.score:
        return 1 if one.score > other.score else -1
    first, second = one.reached(one.score), other.reached(other.score)
    if math.isinf(first) or math.isinf(second):
        return 0
    return (first < FASTER * second) - (second < FASTER * first)


def pairs_of(arm: Sequence[Result], control: Sequence[Result]) -> Pairs:
    """Count the pairs of the same size and rng seed."""
    others = {(result.n, result.seed): result for result in control}
    found = [
        compared(result, others[result.n, result.seed])
        for result in arm
        if (result.n, result.seed) in others
    ]
    return Pairs(found.count(1), found.count(0), found.count(-1))


def verdict(arm: str, control: str, pairs: Pairs) -> str:
    """Say in a sentence what the pairs allow to be said, and no more."""
    if not pairs.count:
        return f"{arm} and {control} have no pair of the same rng seed: not decided."
    parts = [f"{arm} ahead of {control} in {pairs.ahead} of {pairs.count} pairs"]
    parts += [f"tied in {pairs.tied}"] if pairs.tied else []
    parts += [f"behind in {pairs.behind}"] if pairs.behind else []
    told = f"{', '.join(parts)} (sign test p = {pairs.p:.2g}): {pairs.word}"
    if pairs.word != "not decided":
        return f"{told}."
    ways = (pairs.ahead >= pairs.behind, pairs.behind >= pairs.ahead)
    way = {(True, False): "ahead", (False, True): "behind"}.get(ways, "one way")
    return f"{told} at this number of rng seeds; {pairs.missing} more, all {way}, would decide it."


@dataclass(frozen=True)
class Standing:
    """How an arm did at one size."""

    arm: str
    results: tuple[Result, ...]  # by rng seed
    reached: int | None  # runs that reached the target; None where there is no target
    cpu_to_bar: float  # median CPU seconds to the control's median best; infinity: most never did
    pairs: Pairs | None  # None for the control itself

    @property
    def scores(self) -> list[int]:
        """The best of each run."""
        return [result.score for result in self.results]

    @property
    def median(self) -> float:
        """The median best."""
        return statistics.median(self.scores)


@dataclass(frozen=True)
class Panel:
    """All arms at one size; arms without a result are left out."""

    n: int
    target: int | None
    bar: int | None  # the control's median best (the lower one of an even number)
    standings: tuple[Standing, ...]


def panel(
    results: Sequence[Result], n: int, arms: Sequence[str], control: str, target: int | None
) -> Panel:
    """Compare the arms at one size."""
    by_arm = {
        arm: sorted((r for r in results if (r.arm, r.n) == (arm, n)), key=lambda r: r.seed)
        for arm in arms
    }
    scores = [result.score for result in by_arm[control]]
    bar = statistics.median_low(scores) if scores else None
    standings = [
        Standing(
            arm=arm,
            results=tuple(found),
            reached=None if target is None else sum(r.score >= target for r in found),
            cpu_to_bar=math.inf
            if bar is None
            else statistics.median(r.reached(bar) for r in found),
            pairs=None if arm == control else pairs_of(found, by_arm[control]),
        )
        for arm, found in by_arm.items()
        if found
    ]
    return Panel(n, target, bar, tuple(standings))


def verdicts(panels: Sequence[Panel], control: str) -> list[tuple[int | None, str, Pairs]]:
    """Return size, arm and pairs of each verdict, then those over all sizes, if there are more.

    The size of a verdict over all sizes is None.
    """
    found: list[tuple[int | None, str, Pairs]] = []
    total: dict[str, Pairs] = {}
    for each in panels:
        for standing in each.standings:
            if standing.pairs is not None:
                found.append((each.n, standing.arm, standing.pairs))
                total[standing.arm] = total.get(standing.arm, Pairs()) + standing.pairs
    if len(panels) > 1:
        found += [(None, arm, pairs) for arm, pairs in total.items()]
    return found


def curve(results: Sequence[Result], end: float) -> list[tuple[float, float, float, float]]:
    """Return (CPU seconds, lowest, median, highest best so far) at each change, and at ``end``.

    It begins where every run has found something; runs that stopped early keep what they have.
    """
    moments = sorted({step.cpu for result in results for step in result.trace})
    rows: list[tuple[float, float, float, float]] = []
    for cpu in moments:
        so_far = [[s.score for s in result.trace if s.cpu <= cpu] for result in results]
        if all(so_far):
            bests = [scores[-1] for scores in so_far]
            rows.append((cpu, min(bests), statistics.median(bests), max(bests)))
    if rows and rows[-1][0] < end:
        rows.append((end, *rows[-1][1:]))
    return rows


# ------------------------------------------------------------------- finished runs as arms


def arm_names(configs: Sequence[Config]) -> list[str]:
    """Name the arm that each run belongs to: its generator, and what else tells it from others.

    Size, rng seed, budget and machine do not; sizes to learn from count by their distance to n.
    """
    flats = [_of_an_arm(config) for config in configs]
    keys = [
        key
        for key in sorted(flats[0])
        if key != "generator" and len({json.dumps(flat[key]) for flat in flats}) > 1
    ]
    names = []
    for flat in flats:
        same = [other for other in flats if other["generator"] == flat["generator"]]
        telling = [k for k in keys if len({json.dumps(other[k]) for other in same}) > 1]
        names.append(" ".join([flat["generator"], *(f"{k}={flat[k]}" for k in telling)]))
    return names


def _of_an_arm(config: Config) -> dict[str, Any]:
    data = as_dict(config)
    data["sizes"] = [config.n - n for n in config.sizes]
    for key in ("problem", "convention", "n", "seed", "budget", "compute"):
        del data[key]
    return _flat(data)


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


# ------------------------------------------------------------------------------- warnings


def at_equal_compute(
    results: Sequence[Result], budgets: Sequence[float]
) -> tuple[list[Result], float, list[str]]:
    """Cut results at the smallest of their budgets.

    Args:
        budgets: the CPU seconds that each run was given; 0 for no limit.

    Returns:
        (the results, the budget or infinity, what keeps this from being at equal compute).
    """
    budget = min((b for b in budgets if b), default=math.inf)
    cut = [result.within(budget) for result in results]
    found = []
    if len(set(budgets)) > 1 or 0 in budgets:
        listed = ", ".join(f"{b:g}" if b else "none" for b in sorted(set(budgets)))
        then = f"; compared at {budget:g}" if budget < math.inf else ""
        found.append(f"not at equal compute: budgets of CPU seconds: {listed}{then}")
    top = {n: max(r.score for r in cut if r.n == n) for n in {r.n for r in cut}}
    for arm in dict.fromkeys(result.arm for result in cut):
        most = max(r.cpu for r in cut if r.arm == arm)
        if most > TOLERANCE * budget:
            told = f"{arm} used up to {most:.0f} CPU seconds of {budget:g}"
            found.append(f"{told}; what it found after them does not count")
        least = min((r.cpu for r in cut if r.arm == arm and r.score < top[r.n]), default=math.inf)
        if least < budget / TOLERANCE < math.inf:
            told = f"{arm} stopped after {least:.0f} CPU seconds of {budget:g}, not at the best"
            found.append(f"not at equal compute: {told}")
    if any(not result.trace for result in results):
        found.append("some runs have no trace of CPU seconds; the same best counts as tied there")
    if len({result.revision for result in results}) > 1:
        found.append("not all were played by the same revision of this program")
    return cut, budget, found

"""The plan of a comparison at equal compute: which arms run at which sizes with which rng seeds.

A plan is a problem, sizes, arms (settings, a generator above all), rng seeds and a budget in CPU
seconds. Each trial of it, one arm at one size with one rng seed, is an ordinary run on one core.
"""

import hashlib
import inspect
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.config import GENERATORS, MEASURES, MODELS, config_from
from pipeline.config.files import flat
from pipeline.config.values import WORDS
from pipeline.errors import UsageError, nearest
from pipeline.generators.registry import NO_FILE, generator_spec, name_of
from pipeline.jobs import Job
from pipeline.plugins import problem_spec
from pipeline.problem import Problem
from pipeline.storage import files, inputs

#: The key of a configuration that chooses a generator.
GENERATOR_KEY = "generator"
#: The arms of a plan that names none.
_ARMS = ("gpt", "perturb", "none")

_ROUNDS = 1_000_000  # more than any budget of CPU seconds allows
_KEYS = ("problem", "n", "arms", "seeds", "budget_cpu_seconds", "target", "stop_at_target")
_KEYS += ("control", "settings", "measure")
# A pool of this many constructions leaves none out that a yield counts.
_ALL = 100_000
#: What a plan decides, and what must be the same in all arms.
_OF_THE_PLAN = ("problem", "n", "seed")
_OF_ALL_ARMS = (*_OF_THE_PLAN, "convention", "budget", "compute")


def generator_settings(word: object, base: Path | None = None) -> dict[str, Any]:
    """Return the settings that a generator stands for: the one place where a word becomes settings.

    Args:
        word: one of ``GENERATORS``, FILE.py:CLASS, or a class defined in a file.
        base: the folder that a FILE goes by; by default the working directory.

    Raises:
        UsageError: it is none of these.
    """
    if inspect.isclass(word):
        spec = name_of(word)
        if spec.startswith(NO_FILE) or "." in word.__qualname__:
            raise UsageError(
                f"{word.__name__} is not defined at the top level of a file, so the processes that "
                "run it cannot import it: move it to a file and import it from there"
            )
        return {GENERATOR_KEY: spec}
    if isinstance(word, str) and is_file_spec(word):
        return {GENERATOR_KEY: generator_spec(str((base or Path()) / word))}
    if word not in GENERATORS:
        raise UsageError(f"unknown arm {word!r}{nearest(str(word), GENERATORS)}")
    return {GENERATOR_KEY: word}


def is_file_spec(word: str) -> bool:
    """Tell whether a word names a file of the user's own, or a class in it."""
    return ".py:" in word or word.endswith(".py")


@dataclass(frozen=True)
class Arm:
    """One way to search: a name, and the settings of a configuration that make it differ."""

    name: str
    settings: Mapping[str, Any]  # nested, as in config.toml

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
            if key in self.settings:
                raise UsageError(
                    f"arm {self.name}: {key} must be the same in all arms; set it for all of them"
                )


@dataclass(frozen=True)
class Plan:
    """Every arm runs at every size with every rng seed, 0 to ``seeds`` - 1.

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
    measure: str = "best"  # one of MEASURES

    def __post_init__(self) -> None:
        """Check the ranges, and find the control."""
        names = [arm.name for arm in self.arms]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise UsageError(f"arm {min(twice)!r} is there twice; name each arm once")
        if len(names) < 2:
            raise UsageError(f"a comparison needs two arms or more, as in: --arms {_ARMS[0]},none")
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
        if self.measure not in MEASURES:
            raise UsageError(f"unknown measure {self.measure!r}{nearest(self.measure, MEASURES)}")
        if self.measure == "yield" and self.stop_at_target:
            raise UsageError(
                "a yield counts all that is found, so no run stops at its target; leave out one of "
                "the two"
            )
        for key in _OF_THE_PLAN:
            if key in self.settings:
                raise UsageError(f"settings: {key} belongs to the plan itself, not to its settings")
        object.__setattr__(self, "control", control_of(names, self.control))

    def goal(self, n: int) -> int:
        """Return what counts as reached at a size, 0 for the best known value."""
        return self.target.get(n, 0) if isinstance(self.target, Mapping) else self.target

    def folder(self, label: str) -> str:
        """Return the name of the folder that holds its trials.

        Plans that differ in their sizes, arms, number of rng seeds or target alone share one, so
        that what has been run counts for all of them.
        """
        same: list[Any] = [self.problem, self.cpu_seconds, self.settings]
        same += filter(None, [file_mark(self.problem)])  # of the user's own, which may change
        text = json.dumps(same, sort_keys=True)
        return f"compare-{files.slug(label)}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"

    def trials(self, problem: Problem) -> list["Trial"]:
        """Return what is to be run, rng seed by rng seed, so that a part of it is fair.

        Raises:
            UsageError: a configuration that cannot be, or a size that cannot be had.
        """
        order = itertools.product(range(self.seeds), self.sizes, self.arms)
        return [self._trial(problem, arm, n, seed) for seed, n, arm in order]

    def _trial(self, problem: Problem, arm: Arm, n: int, seed: int) -> "Trial":
        known = problem.known(n)
        counts = self.measure == "yield"
        if counts and known is None and not self.goal(n):
            raise UsageError(f"no best value is known at n={n}; say with --target what to count")
        end = known.value if known is not None and known.proved and not counts else 0
        if self.stop_at_target:
            end = self.goal(n) or (known.value if known is not None else 0)
        settings = merged(
            {"compute": {"device": "cpu", "threads": 1}},
            {"select": {"keep": _ALL}} if counts else {},
            {"budget": {"rounds": _ROUNDS, "target": end}},
            self.settings,
            arm.settings,
            {"budget": {"cpu": self.cpu_seconds}, "compute": {"workers": 1}},
        )
        learns = settings.get("search", {}).get("weights") == "learned"
        made_by = settings.get(GENERATOR_KEY, "gpt")
        if made_by in GENERATORS and made_by not in MODELS and not learns:
            settings.setdefault("sizes", [n])
        problem.ground(n)
        whole = {**settings, "problem": self.problem, "n": n, "seed": seed}
        config = config_from(whole, f"arm {arm.name}")
        config, _ = inputs.bound(config, inputs.read_files(config))
        name = f"n{n}-{arm.name}-seed{seed}-{config.identity[:8]}"
        name += file_mark(str(settings.get(GENERATOR_KEY, "")))
        name += f"-to{end}" if self.stop_at_target else ""
        name += "-yield" if counts else ""
        return Trial(arm.name, n, seed, name, self.problem, settings)


def file_mark(spec: str) -> str:
    """Return a mark of the content of the file that a spec names, if it names one."""
    path = Path(spec.rpartition(":")[0])
    if not path.is_file():
        return ""
    return f"-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"


@dataclass(frozen=True, eq=False)
class Trial:
    """One run of a plan."""

    arm: str
    n: int
    seed: int
    name: str  # of its file and folder; tells apart all that decides its result
    problem: str
    settings: Mapping[str, Any]  # nested keys of the configuration

    def __str__(self) -> str:
        """Say which it is."""
        return f"{self.arm}, n={self.n}, rng seed {self.seed}"

    seconds: float = 0.0  # of all sessions of a run that is gone on with; 0: it is begun anew
    threads: int = 1

    def job(self, runs: Path) -> Job:
        """Return it as a command to carry out in a folder of its own."""
        again: list[str] | None = None
        named = dict(flat(self.settings)).get(GENERATOR_KEY, "")
        if self.seconds:
            again = ["--problem", self.problem] if ":" in self.problem else []
            again += [f"--{GENERATOR_KEY}", str(named)] if is_file_spec(str(named)) else []
        return Job(
            name=self.name,
            folder=runs.absolute() / self.name,
            begin=tuple(self._words()),
            again=None if again is None else tuple(again),
            seconds=self.seconds,
            threads=self.threads,
        )

    def _words(self) -> list[str]:
        words = ["run", self.problem, "--n", str(self.n), "--seed", str(self.seed)]
        for key, value in flat(self.settings):
            if key == GENERATOR_KEY:  # whose file may only run where it is named as an option
                words += [f"--{GENERATOR_KEY}", str(value)]
            else:
                words += ["--set", f"{key}={json.dumps(value, ensure_ascii=False)}"]
        return words


def plan_from(data: Mapping[str, Any], where: str, base: Path | None = None) -> Plan:
    """Make a plan of the keys of a SPEC file.

    Args:
        where: what to name in an error, such as the file.
        base: the folder that files named in it go by; by default the working directory.

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
            arms=arms_from(data.get("arms", list(_ARMS)), base),
            seeds=_typed(int, data.get("seeds", Plan.seeds), "seeds"),
            cpu_seconds=float(_typed(float, budget, "budget_cpu_seconds")),
            settings=settings,
            target=_target(data.get("target", 0)),
            stop_at_target=_typed(bool, data.get("stop_at_target", False), "stop_at_target"),
            control=_typed(str, data.get("control", ""), "control"),
            measure=_typed(str, data.get("measure", Plan.measure), "measure"),
        )
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def arms_from(data: object, base: Path | None = None) -> tuple[Arm, ...]:
    """Make arms of a list of generators, or of a table of names.

    Args:
        data: generators as for ``generator_settings``, called by their own names; or for each name
            a generator or a table of settings. A name that is a generator's means that generator,
            unless its settings say otherwise.
        base: the folder that files go by; by default the working directory.

    Raises:
        UsageError: an unknown generator, or a wrong type.
    """
    if isinstance(data, Sequence) and not isinstance(data, str):
        each = [generator_settings(word, base) for word in data]
        return tuple(Arm(arm_name(settings), settings) for settings in each)
    arms = []
    for name, value in _section(data, "arms").items():
        if not isinstance(value, Mapping):
            arms.append(Arm(name, _generator_of(name, value, base)))
            continue
        settings = merged(value)
        inputs.absolute(settings, base or Path())
        if GENERATOR_KEY in settings:
            settings |= _generator_of(name, settings[GENERATOR_KEY], base)
        default = generator_settings(name) if name in GENERATORS else {}
        arms.append(Arm(name, merged(default, settings)))
    return tuple(arms)


def _generator_of(name: str, value: object, base: Path | None) -> dict[str, Any]:
    if not isinstance(value, str | type):
        raise UsageError(f"arms.{name} must be a section or a generator, got {value!r}")
    try:
        return generator_settings(value, base)
    except UsageError as error:
        raise UsageError(f"arms.{name}: {error}") from error


def arm_name(settings: Mapping[str, Any]) -> str:
    """Return the name of a bare arm: the generator's word, or the class's name."""
    return str(settings[GENERATOR_KEY]).rpartition(":")[2]


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
    if not isinstance(value, Mapping):
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
        raise UsageError(f"{name} must be {WORDS[kind]}, got {value!r}")
    return value

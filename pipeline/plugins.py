"""How a problem is found and loaded: entry points, or a path to a Python file that was typed.

Who may load a plugin's file: what a person typed. What stands in data names it at most.
"""

import hashlib
import importlib.util
import inspect
import json
import sys
from difflib import get_close_matches
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import MethodType
from typing import Any

from pipeline import hypergraph_file, plugin_files
from pipeline.core.jit import Callback
from pipeline.core.untrusted import read_json
from pipeline.errors import PipelineError, RunError, UsageError, nearest
from pipeline.plugin_files import one_line, run_file
from pipeline.problem import Problem

#: Where a run keeps the order of its problem's group.
_SYMMETRIES = "symmetries.json"


def named_in_data(
    spec: str, convention: str | None, where: str, typed: str | None = None
) -> Problem:
    """Return the problem that data names: a run, a file of constructions, an experiment.

    Data never loads code. A file is run only where a person typed it on this command line; it
    may have moved since, so the class alone must be the one that is named. A file of forbidden
    sets is data itself, and is read.

    Args:
        where: the data, for an error.
        typed: what the person gave as the problem, if anything.

    Raises:
        UsageError: a plugin that was not typed, or another problem than the one typed.
        PipelineError: no problem that is installed, or a convention that it has not.
    """
    if typed is None:
        if is_path(spec) and not is_hypergraph(spec):
            raise UsageError(
                f"{where} names the plugin {spec}; data never loads code: if you trust that file, "
                f"add --problem {spec}"
            )
        try:
            return load_problem(spec, convention)
        except UsageError as error:
            hint = (
                ""
                if spec in problem_names()
                else "; if it is a plugin, add --problem FILE.py:CLASS"
            )
            if is_hypergraph(spec):
                hint = "; if it was moved, add --problem FILE:hypergraph"
            told = f"{where}: {error}{hint}"
            raise PipelineError(told) from error
    if not is_of(spec, typed):
        raise UsageError(f"{where} is of {spec}, not of {typed}; name the problem that it is of")
    return load_problem(typed, convention)


def is_of(spec: str, typed: str, problem: Problem | None = None) -> bool:
    """Tell whether what data calls its problem is what was typed.

    Args:
        problem: what was typed, once it is loaded.
    """
    if is_path(spec) and is_path(typed):
        typed = problem_spec(typed)
        return spec.rpartition(":")[2] == typed.rpartition(":")[2]
    if is_path(typed) and spec not in problem_names():
        return spec == (problem or load_problem(typed)).name  # as a certificate calls it
    return problem_spec(spec) == problem_spec(typed)


def judge(problem: Problem) -> str:
    """Return " by FILE.py:CLASS" where a plugin judged, nothing for an installed problem."""
    return f" by {problem.plugin}" if problem.plugin else ""


def sources_of(spec: str) -> dict[str, bytes]:
    """Return the files that ``FILE.py:CLASS`` was loaded from; none for an installed problem."""
    return plugin_files.sources(Path(spec.rpartition(":")[0])) if is_path(spec) else {}


def digest_of(problem: Problem) -> str:
    """Return the SHA-256 of a plugin's files; empty for an installed problem."""
    found = sources_of(problem.plugin)
    return plugin_files.digest(found) if found else ""


# ----------------------------------------------------------------------- what a run keeps of it


def kept_files(spec: str, kind: str = "plugin") -> dict[str, bytes]:
    """Return what a run keeps of a user's code, by file name: the sources, to read, and their hash.

    Args:
        spec: FILE.py:CLASS, or FILE:hypergraph, of which the file is kept; of anything else
            nothing is.
        kind: "plugin" for a problem, "generator" for a generator.
    """
    found = sources_of(spec)
    if is_hypergraph(spec):
        (data,) = found.values()
        return {hypergraph_file.KEPT: data}
    if not found:
        return {}
    about = {
        kind: spec,
        "sha256": plugin_files.digest(found),
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in found.items()},
    }
    copies = {f"{kind}-{name.replace('/', '-')}": data for name, data in found.items()}
    return {f"{kind}.json": (json.dumps(about, indent=1) + "\n").encode(), **copies}


def kept_spec(spec: str, run: Path) -> str:
    """Return what names a run's problem: where it is a file of forbidden sets, the run's own copy.

    Args:
        spec: as the run's configuration has it.
    """
    split = hypergraph_file.split_spec(spec)
    return spec if split is None else f"{run.resolve() / hypergraph_file.KEPT}:{split[1]}"


def check_unchanged(run: Path, spec: str, kind: str = "plugin") -> None:
    """Compare a user's code with what a run keeps of it from its start, wherever it lies now.

    Args:
        spec, kind: as for `kept_files`.

    Raises:
        RunError: a file of it has changed, or what the run keeps is damaged.
    """
    path = run / f"{kind}.json"
    if not is_path(spec) or not path.exists():
        return
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        began, files = str(kept["sha256"]), dict(kept["files"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunError(f"{path} is damaged; restore it from a copy of the run") from error
    found = sources_of(spec)
    if plugin_files.digest(found) == began:
        return
    now = {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}
    changed = sorted(name for name in now.keys() | files.keys() if now.get(name) != files.get(name))
    raise RunError(
        f"{', '.join(changed) or spec} changed since {run.name} began, and its rounds "
        f"would no longer fit together; put back what the run keeps in {run}/{kind}-*.py, or start "
        "a new run"
    )


def kept_symmetries(problem: Problem, n: int) -> dict[str, bytes]:
    """Return what a run keeps of its problem's group: how large it is."""
    return {_SYMMETRIES: json.dumps({"order": len(problem.ground(n).group)}).encode()}


def check_symmetries(run: Path, problem: Problem, n: int) -> None:
    """Refuse to go on with a run where the problem has another group, which may hang on packages.

    Raises:
        RunError: the orders and what to do, or what the run keeps is damaged.
    """
    path = run / _SYMMETRIES
    if not path.exists():
        return  # a run of an earlier release
    try:
        began = int(read_json(path)["order"])
    except (PipelineError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path} is damaged; restore it from a copy of the run") from error
    now = len(problem.ground(n).group)
    if now != began:
        nauty = isinstance(problem, hypergraph_file.Hypergraph)
        raise RunError(
            f"{run.name} began with a group of {began} symmetries, here {problem.name} has {now}; "
            f"go on with the packages that it began with{', pynauty or not' if nauty else ''}, or "
            "start a new run"
        )


# --------------------------------------------------------------------------- the registry


@cache
def _entry_points() -> dict[str, Any]:
    return {point.name: point for point in entry_points(group="pipeline.problems")}


def problem_names() -> list[str]:
    """Return the names of the installed problems, sorted."""
    return sorted(_entry_points())


def is_shipped(problem: Problem) -> bool:
    """Tell whether a problem comes with this program, whatever others call themselves."""
    kind = type(problem)
    place = f"{kind.__module__}:{kind.__qualname__}"
    ours = any(
        p.value == place and p.value.startswith("problems.") for p in _entry_points().values()
    )
    return ours and not problem.plugin


def problem_spec(spec: str) -> str:
    """Return a spec that means the same from any working directory (paths made absolute).

    A file that is typed without a class is loaded, to see which it has; so is one of forbidden
    sets, to see which these are.
    """
    if spec.endswith(".py") or is_hypergraph(spec):
        return load_problem(spec).plugin
    if ":" not in spec:
        return spec
    path, _, attribute = spec.rpartition(":")
    return f"{Path(path).resolve()}:{attribute}"


def _plugin_spec(spec: str, kind: type[Problem]) -> str:
    split = hypergraph_file.split_spec(spec)
    if split is not None:
        return f"{split[0].resolve()}:{kind.name}"
    path = spec if spec.endswith(".py") else spec.rpartition(":")[0]
    return f"{Path(path).resolve()}:{kind.__qualname__}"


def load_problem(spec: str, convention: str | None = None) -> Problem:
    """Return the problem that ``spec`` names.

    Args:
        spec: the name of an installed problem, ``path/to/file.py:ClassName``, or
            ``path/to/file:hypergraph``.
        convention: one of the problem's conventions; None for its default.

    Raises:
        UsageError: no such problem, file, class or convention.
        PipelineError: the plugin's file cannot be imported.
    """
    if is_hypergraph(spec):
        found: Any = hypergraph_file.load(spec)
    else:
        found = _load_file(spec) if is_path(spec) else _load_installed(spec)
    if not (inspect.isclass(found) and issubclass(found, Problem)):
        raise UsageError(f"{spec} is not a subclass of pipeline.problem.Problem")
    if found.derived is None and not is_hypergraph(spec):
        _check_compiled(found, spec)
    made = found(convention)
    made.plugin = _plugin_spec(spec, found) if is_path(spec) else ""
    if made.plugin and found.known.__module__.startswith("problems."):
        # What is known of a problem that comes with this program holds for no other.
        made.known = MethodType(Problem.known, made)
    return made


def _is_a_base(kind: type[Problem]) -> bool:
    """Tell whether a class says nothing of what is forbidden, and others derive from it."""
    return kind.derived is None and kind.ground_set is Problem.ground_set


def _lack(kind: type[Problem]) -> str:
    """Say what such a class lacks, and what may have been meant by it."""
    close = get_close_matches("forbidden", vars(kind), n=1, cutoff=0.7)
    if close:
        return f"lacks forbidden; it has {close[0]!r}: did you mean 'forbidden'?"
    return "lacks forbidden and elements, or ground_set, hook and checker"


def _check_compiled(kind: type[Problem], spec: str) -> None:
    """Refuse a class without ``forbidden`` that lacks what the fast way asks for.

    Raises:
        UsageError: with what is missing.
    """
    if _is_a_base(kind):
        raise UsageError(f"{spec} {_lack(kind)}")
    for attribute, decorator in (("hook", "blocking_hook"), ("checker", "checker")):
        if not hasattr(kind, attribute):
            raise UsageError(f"{spec} lacks the attribute {attribute!r}")
        if not isinstance(getattr(kind, attribute), Callback):
            raise UsageError(
                f"the {attribute} of {spec} is not compiled; put @{decorator} of pipeline.problem "
                "over the function"
            )
    if not hasattr(kind, "arity"):
        raise UsageError(f"{spec} lacks the attribute 'arity'")


def is_path(spec: str) -> bool:
    """Tell whether a spec names a file; unless it is data, loading the problem runs it."""
    return ":" in spec or spec.endswith(".py")


def is_hypergraph(spec: str) -> bool:
    """Tell whether a spec names a file of forbidden sets, which is read and never run."""
    return hypergraph_file.split_spec(spec) is not None


def _load_installed(name: str) -> Any:
    points = _entry_points()
    if name not in points:
        raise UsageError(f"unknown problem {name!r}{nearest(name, points)}")
    try:
        _shipped()
        return points[name].load()
    except Exception as error:
        raise PipelineError(f"problem {name!r} cannot be imported: {one_line(error)}") from error


def _shipped() -> None:
    """Let the name ``problems`` mean the package beside this one, whatever else is called so."""
    name = "problems"
    file = Path(__file__).resolve().parent.parent / name / "__init__.py"
    there = getattr(sys.modules.get(name), "__file__", None)
    if not file.is_file() or (there and Path(there).resolve() == file):
        return
    spec = importlib.util.spec_from_file_location(
        name, file, submodule_search_locations=[str(file.parent)]
    )
    assert spec is not None
    assert spec.loader is not None
    for other in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
        del sys.modules[other]
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])


def _load_file(spec: str) -> Any:
    path, _, attribute = (spec, "", "") if spec.endswith(".py") else spec.rpartition(":")
    if not path:
        raise UsageError(
            f"{spec} names no file; name one, as in problem.py or problem.py:MyProblem"
        )
    file = Path(path)
    if not file.is_file():
        raise UsageError(f"no such file: {path}")
    try:
        loaded = run_file(file)
        for value in vars(loaded).values():
            if isinstance(value, Callback):
                _ = value.compiled  # so that what cannot be compiled is told of at once
    except SyntaxError as error:
        where = error.filename or path
        raise PipelineError(f"{where}, line {error.lineno}: {error.msg}") from error
    except PipelineError:
        raise
    except (Exception, SystemExit) as error:
        raise PipelineError(f"{path} cannot be imported: {one_line(error)}") from error
    classes = [
        value
        for value in vars(loaded).values()
        if inspect.isclass(value) and issubclass(value, Problem) and value is not Problem
    ]
    if not attribute:
        here = [c for c in classes if c.__module__ == loaded.__name__]
        own = [c for c in here if not _is_a_base(c)]
        if len(here) == 1 and not own:
            raise UsageError(f"{path}: {here[0].__name__} {_lack(here[0])}")
        if len(own) != 1:
            names = ", ".join(value.__name__ for value in own) or "none"
            raise UsageError(f"{path} must have one class of a problem, or name it; it has {names}")
        return own[0]
    if not hasattr(loaded, attribute):
        raise UsageError(
            f"{path} has no {attribute!r}{nearest(attribute, [c.__name__ for c in classes])}"
        )
    return getattr(loaded, attribute)

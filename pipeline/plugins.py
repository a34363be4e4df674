"""Who may load a plugin's file: what a person typed. What stands in data names it at most."""

import hashlib
import json
from pathlib import Path

from pipeline import plugin_files
from pipeline.errors import PipelineError, RunError, UsageError
from pipeline.problem import Problem, is_path, load_problem, problem_names, problem_spec


def named_in_data(
    spec: str, convention: str | None, where: str, typed: str | None = None
) -> Problem:
    """Return the problem that data names: a run, a file of constructions, an experiment.

    Data never loads code. A file is run only where a person typed it on this command line; it
    may have moved since, so the class alone must be the one that is named.

    Args:
        where: the data, for an error.
        typed: what the person gave as the problem, if anything.

    Raises:
        UsageError: a plugin that was not typed, or another problem than the one typed.
        PipelineError: no problem that is installed, or a convention that it has not.
    """
    if typed is None:
        if is_path(spec):
            raise UsageError(
                f"{where} names the plugin {spec}; data never loads code: if you trust that file, "
                f"add --problem {spec}"
            )
        try:
            return load_problem(spec, convention)
        except UsageError as error:
            hint = "; if it is a plugin, add --problem FILE.py:CLASS"
            told = f"{where}: {error}{'' if spec in problem_names() else hint}"
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
        return spec.rpartition(":")[2] == typed.rpartition(":")[2]
    if is_path(typed) and spec not in problem_names():
        return spec == (problem or load_problem(typed)).name  # as a certificate calls it
    return problem_spec(spec) == problem_spec(typed)


def judge(problem: Problem) -> str:
    """Return " by FILE.py:CLASS" where a plugin judged, nothing for an installed problem."""
    return f" by {problem.plugin}" if problem.plugin else ""


def sources_of(problem: Problem) -> dict[str, bytes]:
    """Return the files that a plugin was loaded from; none for an installed problem."""
    if not problem.plugin:
        return {}
    return plugin_files.sources(Path(problem.plugin.rpartition(":")[0]))


def digest_of(problem: Problem) -> str:
    """Return the SHA-256 of a plugin's files; empty for an installed problem."""
    found = sources_of(problem)
    return plugin_files.digest(found) if found else ""


# ----------------------------------------------------------------------- what a run keeps of it

_KEPT = "plugin.json"


def kept_files(problem: Problem) -> dict[str, bytes]:
    """Return what a run keeps of its plugin, by file name: the sources, to read, and their hash."""
    found = sources_of(problem)
    if not found:
        return {}
    about = {
        "plugin": problem.plugin,
        "sha256": plugin_files.digest(found),
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in found.items()},
    }
    copies = {f"plugin-{name.replace('/', '-')}": data for name, data in found.items()}
    return {_KEPT: (json.dumps(about, indent=1) + "\n").encode(), **copies}


def check_unchanged(run: Path, problem: Problem) -> None:
    """Compare a plugin with what a run keeps of the one it began with, wherever it lies now.

    Raises:
        RunError: a file of it has changed, or what the run keeps is damaged.
    """
    if not problem.plugin or not (run / _KEPT).exists():
        return
    try:
        kept = json.loads((run / _KEPT).read_text(encoding="utf-8"))
        began, files = str(kept["sha256"]), dict(kept["files"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunError(f"{run / _KEPT} is damaged; restore it from a copy of the run") from error
    found = sources_of(problem)
    if plugin_files.digest(found) == began:
        return
    now = {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}
    changed = sorted(name for name in now.keys() | files.keys() if now.get(name) != files.get(name))
    raise RunError(
        f"{', '.join(changed) or problem.plugin} changed since {run.name} began, and its rounds "
        f"would no longer fit together; put back what the run keeps in {run}/plugin-*.py, or start "
        "a new run"
    )

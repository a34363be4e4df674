"""Options and helpers that several commands share."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from pipeline.core.printable import printable
from pipeline.errors import UsageError
from pipeline.storage import files

Function = TypeVar("Function", bound=Callable[..., Any])

#: Version of what ``--json`` prints, in its key "schema".
JSON_SCHEMA = 1

#: How files of constructions end; a word that ends so names no run.
_SUFFIXES = (".json", ".jsonl", ".parquet", ".csv", ".txt", ".rle", ".cells")


#: Under which key of click's ``meta`` stands when the command began, by ``time.monotonic``.
BEGAN = "pipeline.began"


def interrupted(error: BaseException) -> bool:
    """Tell whether Ctrl-C is behind an error: compiled code wraps what a handler raised."""
    behind = error.__cause__ or error.__context__
    return isinstance(behind, KeyboardInterrupt) or (behind is not None and interrupted(behind))


def runs_option(function: Function) -> Function:
    """Add ``--runs DIR``."""
    return click.option(
        "--runs",
        "runs",
        metavar="DIR",
        help="Where runs lie.  [default: PIPELINE_RUNS, or ./runs]",
    )(function)


def json_option(function: Function) -> Function:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def problem_option(function: Function) -> Function:
    """Add ``--problem``, which names the problem of what is read, and allows its file to be run."""
    return click.option(
        "--problem",
        "problem",
        metavar="NAME|FILE.py:CLASS",
        help="The problem, where FILE names none; a plugin's file runs only if it is named here.",
    )(function)


def pick_options(function: Function) -> Function:
    """Add ``--rank`` and ``--id``, which pick one construction."""
    rank = click.option("--rank", type=int, metavar="K", help="The K-th best.  [default: the best]")
    return rank(click.option("--id", "id_", metavar="ID", help="The one with this id.")(function))


def echo(text: str, err: bool = False) -> None:
    """Print a line, made safe for a terminal."""
    click.echo(printable(text), err=err)


def print_json(data: dict[str, Any]) -> None:
    """Print an object with the version of its layout."""
    click.echo(json.dumps({"schema": JSON_SCHEMA, **data}))


def open_run(spec: str, runs: str | None) -> Any:
    """Return the run a user named."""
    from pipeline.storage.finding import find_run, runs_root

    return find_run(spec, runs_root(runs), lambda line: echo(f"left out: {line}", err=True))


def problem_of(run: Any, problem: str | None = None) -> Any:
    """Return the problem of a run, under the convention it was started with.

    Args:
        problem: what --problem says; it must be the run's, and a plugin's file runs only if it is
            named here.

    Raises:
        UsageError: a plugin that is not named here, or another problem than the run's.
    """
    from pipeline.plugins import named_in_data

    config = run.config
    return named_in_data(config.problem, config.convention or None, str(run.path), problem)


def as_file(target: str) -> Path | None:
    """Return the path of a FILE, None where a word names a RUN.

    Raises:
        UsageError: it looks like a file, and there is none.
    """
    path = Path(target)
    if path.is_file():
        return path
    return existing_file(target) if path.suffix in _SUFFIXES else None


def named_problem(problem: str | None) -> Any:
    """Return what --problem names, as readers of files take it; None for nothing."""
    from pipeline.plugins import load_problem, problem_spec
    from pipeline.storage.construction_files import Named

    return None if problem is None else Named(load_problem(problem), problem_spec(problem))


def collection_of(target: str, runs: str | None, problem: str | None, n: int | None) -> Any:
    """Return the constructions of a RUN's last round, or of a FILE, of one problem and size.

    Raises:
        UsageError: a file has several sizes or problems, and it is not said which.
    """
    from pipeline.storage.collection import of_file, of_run

    path = as_file(target)
    if path is None:
        opened = open_run(target, runs)
        return of_run(opened, problem_of(opened, problem), n)
    found = of_file(path, named_problem(problem), n)
    if len(found) > 1:
        kinds = ", ".join(f"{one.problem.name} n={one.n}" for one in found[:5])
        raise UsageError(f"{target} holds several kinds ({kinds}); choose with --n and --problem")
    return found[0]


def parse_sizes(text: str, option: str = "--sizes") -> list[int]:
    """Read ``8:16`` (both ends included), ``8,12,16`` or a mixture.

    Args:
        option: what to call it in an error.

    Raises:
        UsageError: not of that form, or a range that runs backwards.
    """
    sizes: set[int] = set()
    for part in text.split(","):
        low, colon, high = part.partition(":")
        try:
            first = int(low)
            last = int(high) if colon else first
        except ValueError:
            raise UsageError(f"{option} {text}: write a range as 8:16, or a list as 8,12") from None
        if last < first:
            raise UsageError(f"{option} {text}: the range runs backwards; write {last}:{first}")
        if last - first > 10_000:
            raise UsageError(f"{option} {text}: that is {last - first + 1:,} sizes; name fewer")
        sizes.update(range(first, last + 1))
    return sorted(sizes)


def parse_time(text: str) -> float:
    """Read seconds from ``90``, ``90s``, ``2m`` or ``1h``.

    Raises:
        UsageError: not of that form, or not above 0.
    """
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 0)
    try:
        seconds = float(text[:-1]) * unit if unit else float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 1e9:
        raise UsageError(f"--time {text}: write seconds, or a number with s, m or h, as in 2m")
    return seconds


def existing_file(text: str) -> Path:
    """Return the path of a file.

    Raises:
        UsageError: there is none.
    """
    path = Path(text)
    if not path.is_file():
        raise UsageError(f"no such file: {text}")
    return path


def writable(option: str, path: Path, force: bool = True) -> Path:
    """Return the path of a file that can be written, tried before there is anything to write.

    Args:
        force: whether a file that is there may be replaced; nothing but a file ever is.

    Raises:
        UsageError: it cannot.
    """
    found = files.obstacle(path)
    if found == "a folder":
        raise UsageError(f"{option} {path}: is a folder; name a file in it")
    if found:
        raise UsageError(
            f"{option} {path}: is {found}, and only a regular file is ever replaced; name another "
            "file, or delete it first"
        )
    there = path.exists()
    if there and not force:
        raise UsageError(
            f"{option} {path}: exists; add --force to replace it, or name another file"
        )
    if not path.absolute().parent.is_dir():
        raise UsageError(
            f"{option} {path}: cannot be written, there is no folder {path.parent}; make it first"
        )
    try:
        files.append(path, b"")
    except OSError as error:
        raise UsageError(
            f"{option} {path}: cannot be written ({error.strerror}); name a file in a folder of "
            "yours"
        ) from None
    if not there:
        path.unlink()
    return path

"""Options and helpers that several commands share."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from pipeline.errors import UsageError
from pipeline.printable import printable

Function = TypeVar("Function", bound=Callable[..., Any])

#: Version of what ``--json`` prints, in its key "schema".
JSON_SCHEMA = 1


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


def echo(text: str, err: bool = False) -> None:
    """Print a line, made safe for a terminal."""
    click.echo(printable(text), err=err)


def print_json(data: dict[str, Any]) -> None:
    """Print an object with the version of its layout."""
    click.echo(json.dumps({"schema": JSON_SCHEMA, **data}))


def open_run(spec: str, runs: str | None) -> Any:
    """Return the run a user named."""
    from pipeline.runs import find_run, runs_root

    return find_run(spec, runs_root(runs), lambda line: echo(f"left out: {line}", err=True))


def problem_of(run: Any) -> Any:
    """Return the problem of a run, under the convention it was started with."""
    from pipeline.problem import load_problem

    return load_problem(run.config.problem, run.config.convention or None)


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


def writable(option: str, path: Path) -> Path:
    """Return the path of a file that can be written, tried before there is anything to write.

    Raises:
        UsageError: it cannot.
    """
    there = path.exists()
    try:
        path.open("ab").close()
    except OSError as error:
        raise UsageError(
            f"{option} {path}: cannot be written ({error.strerror}); name a file in a folder of "
            "yours"
        ) from None
    if not there:
        path.unlink()
    return path

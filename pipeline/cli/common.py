"""Options and helpers that several commands share."""

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from pipeline.core.printable import printable
from pipeline.errors import UsageError
from pipeline.storage import files

Function = TypeVar("Function", bound=Callable[..., Any])

#: How files of constructions end; a word that ends so names no run.
_SUFFIXES = (".json", ".jsonl", ".parquet", ".csv", ".txt", ".rle", ".cells")


#: Under which key of click's ``meta`` stands when the command began, by ``time.monotonic``.
BEGAN = "pipeline.began"
_QUIET = "pipeline.quiet"


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
        help="Directory of the runs.  [default: PIPELINE_RUNS, or ./runs]",
    )(function)


def quiet_option(function: Function) -> Function:
    """Add ``--quiet``: nothing is printed on ``progress_console``."""

    def keep(context: click.Context, _option: click.Parameter, quiet: bool) -> None:
        context.meta[_QUIET] = quiet

    return click.option(
        "-q",
        "--quiet",
        is_flag=True,
        expose_value=False,
        callback=keep,
        help="Print no progress; results, warnings and errors alone.",
    )(function)


def progress_console() -> Any:
    """Return the console for progress: that of stderr, which --quiet silences."""
    from pipeline.report.terminal import console

    context = click.get_current_context(silent=True)
    return console(stderr=True, quiet=bool(context and context.meta.get(_QUIET)))


def json_option(function: Function) -> Function:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def problem_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add PROBLEM and, in its place, ``--hypergraph FILE``; the command is given ``problem``.

    Raises:
        UsageError: neither is given, or both are.
    """

    @functools.wraps(function)
    def command(problem: str | None, hypergraph: str | None, **others: Any) -> Any:
        if (problem is None) == (hypergraph is None):
            name = click.get_current_context().info_name
            raise UsageError(
                f"name a PROBLEM or a --hypergraph, one of the two, as in: pipeline {name} "
                "isosceles --n 16"
            )
        return function(problem=problem or f"{hypergraph}:hypergraph", **others)

    option = click.option(
        "--hypergraph",
        metavar="FILE",
        help="In place of PROBLEM: a text file with a line for each forbidden set.",
    )
    return click.argument("problem", required=False)(option(command))


def problem_option(function: Function) -> Function:
    """Add ``--problem``, which names the problem of what is read, and allows its file to be run."""
    return click.option(
        "--problem",
        "problem",
        metavar="NAME|FILE.py:CLASS",
        help="The problem, if FILE names none. A plugin file is run only if it is named here.",
    )(function)


@dataclass(frozen=True)
class Target:
    """What a command line names to look at: a run or a file, and which construction of it.

    Attributes:
        word: the RUN or FILE.
        rank: the K-th best construction is meant; None for the best.
        id: the construction with this id is meant; None for the best.
    """

    word: str
    runs: str | None = None
    problem: str | None = None
    n: int | None = None
    rank: int | None = None
    id: str | None = None

    @functools.cached_property
    def file(self) -> Path | None:
        """The FILE; None where the word names a RUN."""
        return as_file(self.word)

    def opened(self) -> tuple[Any, Any]:
        """Return the run and its problem."""
        run = open_run(self.word, self.runs)
        return run, problem_of(run, self.problem)

    def collections(self) -> list[Any]:
        """Return the constructions of a run's last round, or of a file, by problem and size."""
        from pipeline.storage.collection import of_file, of_run

        if self.file is not None:
            return of_file(self.file, named_problem(self.problem), self.n)
        return [of_run(*self.opened(), self.n)]

    def collection(self) -> Any:
        """Return the constructions of one problem and size.

        Raises:
            UsageError: a file has several sizes or problems, and it is not said which.
        """
        found = self.collections()
        if len(found) > 1:
            kinds = ", ".join(f"{one.problem.name} n={one.n}" for one in found[:5])
            raise UsageError(
                f"{self.word} holds several kinds ({kinds}); choose with --n and --problem"
            )
        return found[0]

    @property
    def is_picked(self) -> bool:
        """Whether one construction is named."""
        return self.rank is not None or self.id is not None

    def pick(self, held: Any) -> int:
        """Return the index of the construction that is meant, among those of a collection."""
        return held.pick(self.rank, self.id)


def target_options(
    metavar: str = "FILE|RUN", *, n: str = "", pick: bool = False, json: bool = True
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the argument that names a run or a file, and the options that go with it.

    The command is given a ``Target``, its first argument.

    Args:
        n: the help of ``--n``; empty for none.
        pick: add ``--rank`` and ``--id``.
        json: add ``--json``.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def command(word: str, runs: str | None, problem: str | None, **others: Any) -> Any:
            picked = {"n": others.pop("n", None), "rank": others.pop("rank", None)}
            return function(
                Target(word, runs, problem, id=others.pop("id", None), **picked), **others
            )

        if json:
            command = json_option(command)
        command = problem_option(runs_option(command))
        if pick:
            command = click.option("--id", metavar="ID", help="The construction with this id.")(
                command
            )
            command = click.option(
                "--rank", type=int, metavar="K", help="The K-th best.  [default: the best]"
            )(command)
        if n:
            command = click.option("--n", type=int, help=n)(command)
        return click.argument("word", metavar=metavar)(command)

    return decorate


def echo(text: str, err: bool = False) -> None:
    """Print a line, made safe for a terminal."""
    click.echo(printable(text), err=err)


def tell_judge(problem: Any) -> None:
    """Say on stderr which file verified what was written, where a plugin did."""
    from pipeline.plugins import judge

    if problem.plugin:
        echo(f"verified{judge(problem)}", err=True)


def print_json(data: dict[str, Any]) -> None:
    """Print what this command has found, with the version of its layout."""
    from pipeline.cli.printed import JSON_SCHEMA, checked

    command = click.get_current_context().command_path.partition(" ")[2]
    click.echo(json.dumps({"schema": JSON_SCHEMA, **checked(command, data)}))


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
    from pipeline.plugins import kept_spec, named_in_data

    config, spec = run.config, kept_spec(run.config.problem, run.path)
    return named_in_data(spec, config.convention or None, str(run.path), problem)


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


def size_of(problem: str, command: str, example: int) -> int:
    """Return the one size that a problem has, where none is named.

    Args:
        command, example: for an error, which shows how to name one.

    Raises:
        UsageError: the problem has more than one.
    """
    from pipeline.plugins import load_problem

    size = load_problem(problem).only_size
    if size is None:
        raise UsageError(f"name a size, as in: pipeline {command} {problem} --n {example}")
    return size


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

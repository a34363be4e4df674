"""The commands rm and prune: room on the disk, from whole runs or from models of old rounds."""

import contextlib
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from pipeline.cli.common import echo, json_option, print_json, runs_option
from pipeline.core.memory import readable
from pipeline.errors import PipelineError, RunError, UsageError
from pipeline.storage import files

_REMOVING = ".removing-"
_yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@click.command()
@click.argument("runs_named", metavar="RUN...", nargs=-1, required=True)
@_yes_option
@runs_option
@json_option
def rm(runs_named: tuple[str, ...], yes: bool, runs: str | None, as_json: bool) -> None:
    """Delete runs, damaged ones too.

    Shows the size of each and asks first. A running run is refused. RUN is a path, a unique
    prefix of its name, or latest.
    """
    paths = _folders(runs_named, runs)
    sizes = {path: files.size(path) for path in paths}
    for path in paths:
        with _held(path, to_write=False):
            pass  # before anybody is asked
    _say(f"{readable(size)}  {path}" for path, size in sizes.items())
    _ask(f"Delete {_many(paths)}, {readable(sum(sizes.values()))}?", yes)
    for path in paths:
        _remove(path)
    if as_json:
        print_json({"removed": [{"path": str(path), "bytes": sizes[path]} for path in paths]})
    else:
        echo(f"deleted {_many(paths)}, {readable(sum(sizes.values()))}")


@click.command()
@click.argument("runs_named", metavar="RUN...", nargs=-1)
@click.option("--all", "all_", is_flag=True, help="All runs, except those that are running.")
@click.option(
    "--keep-models",
    type=click.Choice(["last", "none"]),
    default="last",
    show_default=True,
    help="Models to keep: of the last two rounds and of each new best, or none.",
)
@_yes_option
@runs_option
@json_option
def prune(
    runs_named: tuple[str, ...],
    all_: bool,
    keep_models: str,
    yes: bool,
    runs: str | None,
    as_json: bool,
) -> None:
    """Delete models of old rounds.

    Constructions and statistics are kept. Shows how much that frees and asks first. Without any
    model a run can only continue from round 0. RUN is a path, a unique prefix of its name, or
    latest.
    """
    from pipeline.storage.finding import all_runs, runs_root
    from pipeline.storage.pruning import prunable
    from pipeline.storage.pruning import prune as delete
    from pipeline.storage.run import Run

    if bool(runs_named) == all_:
        raise UsageError("name runs, or all with --all, as in: pipeline prune latest")
    chosen: list[tuple[Any, int, int]] = []
    paths = all_runs(runs_root(runs)) if all_ else _folders(runs_named, runs)
    for path in paths:
        try:
            with _held(path):
                opened = Run(path)
                found = [file for there in prunable(opened, keep_models).values() for file in there]
        except PipelineError as error:
            if not all_:
                raise
            echo(f"left alone: {error}", err=True)
            continue
        chosen.append((opened, len(found), sum(map(files.size, found))))
    chosen = [one for one in chosen if one[1]]
    freed = sum(size for _, _, size in chosen)
    if chosen:
        _say(f"{readable(size)} in {count} files  {run.path}" for run, count, size in chosen)
        _ask(f"Delete these models, {readable(freed)}?", yes)
    for run, _, _ in chosen:
        with _held(run.path), _deleting(run.path):
            delete(run, keep_models)
    if as_json:
        rows = [{"path": str(r.path), "files": count, "bytes": b} for r, count, b in chosen]
        print_json({"pruned": rows})
    else:
        echo(f"freed {readable(freed)}" if chosen else "no model to delete")


def _folders(named: Sequence[str], runs: str | None) -> list[Path]:
    """Return the folders of runs, each once.

    Raises:
        RunError: none of that name, or what is no run's own folder.
    """
    from pipeline.storage.finding import find_folder, runs_root

    paths: dict[Path, Path] = {}
    for name in named:
        path = find_folder(name, runs_root(runs))
        if files.obstacle(Path(str(path).rstrip("/"))) != "a folder":
            raise RunError(f"{path} is a link; name the folder of the run itself")
        # Nothing that merely holds a file of that name is deleted.
        if not (path / "run.json").is_file() or not (path / "rounds").is_dir():
            raise RunError(f"{path} is not a run: it lacks run.json or rounds/; delete it by hand")
        paths.setdefault(path.resolve(), path)
    return list(paths.values())


def _held(path: Path, to_write: bool = True) -> contextlib.AbstractContextManager[None]:
    from pipeline.storage.lock import holding, holding_run

    return holding_run(path) if to_write else holding(path)


def _remove(path: Path) -> None:
    """Delete a run's folder: renamed first, so that no half of it is ever taken for a run."""
    hidden = path.resolve().with_name(f"{_REMOVING}{path.resolve().name}")
    with _deleting(path):
        if hidden.exists():  # the rest of a removal that was cut short
            shutil.rmtree(hidden)
        with _held(path, to_write=False):
            path.resolve().rename(hidden)
        shutil.rmtree(hidden)


@contextlib.contextmanager
def _deleting(path: Path) -> Any:
    try:
        yield
    except OSError as error:
        raise PipelineError(f"cannot delete {path}: {error.strerror or error}") from error


def _ask(question: str, yes: bool) -> None:
    """Go on when the answer is yes.

    Raises:
        UsageError: there is no terminal to ask at.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask at; add --yes to delete what is listed")
    click.confirm(question, abort=True, err=True)


def _say(lines: Any) -> None:
    for line in lines:
        echo(line, err=True)


def _many(paths: Sequence[Path]) -> str:
    return "1 run" if len(paths) == 1 else f"{len(paths)} runs"

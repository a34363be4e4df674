"""Runs from the command line: begun or taken up again, watched, and shown at their end."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import click

from pipeline.cli.common import BEGAN, echo, interrupted, print_json, progress_console


def words() -> list[str]:
    """Return the words of the command line that is being carried out."""
    return click.get_current_context().obj


def follow_if_told(gpus: int, problem: Callable[[], Any]) -> None:
    """Go on as a process that does not lead, to the end, where torchrun says that this is one.

    Args:
        gpus: how many processes there are to be.
        problem: loads that of the run.

    Raises:
        UsageError: torchrun has started another number.
    """
    from pipeline import ranks

    place = ranks.place_among(gpus)
    if place is not None and place.rank:
        from pipeline.following import follow

        follow(place, problem)


def load() -> None:
    """Import what takes a while, and say so."""
    progress_console().print("loading (the first time also compiling, about ten seconds)")
    import pipeline.launch  # noqa: F401


def begin(
    config: Any, plugin: Any, runs: str | None, files: dict[str, bytes] | None = None
) -> tuple[Any, Any]:
    """Build the parts of a new run, then make its folder.

    Returns:
        (the run, not locked yet; its parts).

    Raises:
        UsageError: what no run of this configuration could get past.
    """
    load()
    from pipeline import launch
    from pipeline.plugin_check import check_first_use
    from pipeline.storage.finding import runs_root

    check_first_use(plugin)
    tell_symmetries(plugin)
    executor = launch.executor_of(config)
    handed = {"executor": executor, "spent": _spent(), "files": files}
    return launch.begin(plugin, config, runs_root(runs), words(), **handed)


def tell_symmetries(plugin: Any) -> None:
    """Say how the symmetries of a hypergraph are found, where they are not."""
    from pipeline.core.automorphisms import HOW_TO_FIND, can_find
    from pipeline.hypergraph_file import Hypergraph

    if isinstance(plugin, Hypergraph) and not can_find():
        progress_console().print(HOW_TO_FIND)


def go_on(opened: Any, plugin: Any, generator: str | None = None, gpus: int | None = None) -> Any:
    """Return the parts of a run that is there already.

    Args:
        generator: the run's own generator, by a file that the user named.
        gpus: on how many to train and sample in this session; None for as many as ever.

    Raises:
        RunError: a file that it was given is missing.
    """
    load()
    from pipeline import launch
    from pipeline.generators.registry import generator_spec, is_own, make_own
    from pipeline.plugins import check_unchanged

    made = None
    if generator and is_own(opened.config.generator):
        made = make_own(generator_spec(generator))
        check_unchanged(opened.path, generator_spec(generator), "generator")
    handed = {"executor": launch.executor_of(opened.config), "generator": made, "spent": _spent()}
    return launch.go_on(opened, plugin, gpus, **handed)


def tell_processor(another: str) -> None:
    """Warn of a processor that is another than that of the session before."""
    from pipeline.report.terminal import console

    if another:
        console(stderr=True).say(
            f"another processor than before ({another}): what follows may not be the same, to the "
            "last bit, as it would have been there",
        )


def play(
    opened: Any, plugin: Any, parts: Any, quiet: bool = False, tensorboard: bool = False
) -> dict[str, Any]:
    """Carry out a locked run to the end of its budget, and return its best construction.

    Args:
        quiet: do not print the run's path.
        tensorboard: write each round for TensorBoard, too.
    """
    from pipeline.cli.live import Interrupted, Live
    from pipeline.plugins import is_hypergraph
    from pipeline.report.best_files import BestFiles
    from pipeline.report.terminal import console
    from pipeline.storage.event_log import EventLog
    from pipeline.storage.round_files import best_of

    err, progress = console(stderr=True), progress_console()
    compute, rounds = opened.config.compute, opened.config.budget.rounds
    executor, processes = parts.engine.runner.executor, parts.engine.runner.processes
    try:
        with Live(progress, rounds) as live:
            if not quiet:
                echo(str(opened.path))
            if opened.config.has_model:
                from pipeline.model.device import describe, prepare

                where = describe(prepare(compute.device, compute.threads))
                gpus = parts.generator.config.compute.gpus
                each = f", in each of {gpus} processes" if gpus > 1 else ""
                progress.print(f"model on {where}{each}")
            log = EventLog(opened, rounds, processes)
            parts.callbacks.listeners += [log, BestFiles(opened, plugin), live]
            if tensorboard:
                parts.callbacks.listeners += _tensorboard(opened, plugin, err)
            try:
                with _session(opened):
                    parts.run(_store(opened, plugin, parts))
            except (Interrupted, KeyboardInterrupt):
                executor.kill()
                raise
            except SystemError as error:
                if not interrupted(error):
                    raise
                raise KeyboardInterrupt from error
            finally:
                executor.close()
    except (Interrupted, KeyboardInterrupt):
        executor.kill()
        done = opened.rounds()
        kept = f"rounds 0 to {done[-1]} are kept" if done else "no round was finished yet"
        is_code = plugin.plugin and not is_hypergraph(plugin.plugin)
        named = f" --problem {plugin.plugin}" if is_code else ""
        again = f"pipeline resume {opened.name}{named}"
        err.say(f"stopped; {kept}. Go on with: {again}")
        sys.exit(130)
    return best_of(opened, plugin)


def _store(opened: Any, plugin: Any, parts: Any) -> Any:
    from pipeline.storage.run_store import RunStore

    return RunStore(opened, plugin, parts.clock)


@contextlib.contextmanager
def _session(opened: Any) -> Iterator[None]:
    """Note in a run how its session ends and how long it takes, unless it is killed."""
    from pipeline.errors import PipelineError

    began, ended = time.monotonic(), "stopped"
    try:
        yield
        ended = "done"
    finally:
        with contextlib.suppress(PipelineError):  # a full disk, which has been told of
            opened.end_session(ended, time.monotonic() - began)


def _spent() -> float:
    """Return the seconds since the command began, once; for a second run of it, none."""
    context = click.get_current_context(silent=True)
    began = context.meta.pop(BEGAN, None) if context else None
    return 0.0 if began is None else time.monotonic() - began


def _tensorboard(opened: Any, plugin: Any, err: Any) -> list[Any]:
    """Return what writes committed rounds for TensorBoard; nothing where its log cannot be."""
    from pipeline.report.tensorboard import FOLDER, TensorBoard

    def lost(reason: str) -> None:
        err.say(f"TensorBoard gets no more: {reason}")

    try:
        log = TensorBoard(opened, plugin, lost)
    except OSError as error:
        err.say(f"nothing is written for TensorBoard: {error}")
        return []
    err.say(f"look on with: tensorboard --logdir {opened.path / FOLDER}")
    return [log]


def finish(opened: Any, plugin: Any, found: dict[str, Any], as_json: bool) -> None:
    """Print what came of a run."""
    if as_json:
        print_json({"run": str(opened.path), "best": found})
        return
    from pipeline.cli.look import print_summary
    from pipeline.report.terminal import console

    print_summary(opened, plugin, found, console())

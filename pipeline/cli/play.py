"""Playing a run from the command line: begun or taken up again, watched, and shown at its end."""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

import click

from pipeline.cli.common import BEGAN, echo, interrupted, print_json, progress_console


def words() -> list[str]:
    """Return the words of the command line that is being carried out."""
    return click.get_current_context().obj


def load() -> None:
    """Import what takes a while, and say so."""
    progress_console().print("loading (the first time also compiling, about ten seconds)")
    import pipeline.session  # noqa: F401


def begin(config: Any, plugin: Any, runs: str | None, files: dict[str, bytes] | None = None) -> Any:
    """Make a folder for a new run, once nothing is found that it could not get past.

    Returns:
        The run, not locked yet.

    Raises:
        UsageError: what no run of this configuration could get past.
    """
    load()
    from pipeline.plugin_check import check_first_use
    from pipeline.plugins import kept_files
    from pipeline.session import check, settled
    from pipeline.storage import inputs
    from pipeline.storage.run import Run, runs_root

    check_first_use(plugin)
    named = inputs.read_files(config)
    check(plugin, config, inputs.arrays(named))
    config = settled(config)
    config, kept = inputs.bound(config, named)
    files = {**(files or {}), **kept, **kept_files(plugin)}
    return Run.create(runs_root(runs), config, plugin.name, words(), files)


def tell_processor(another: str) -> None:
    """Warn of a processor that is another than that of the session before."""
    from pipeline.report.terminal import console

    if another:
        console(stderr=True).print(
            f"another processor than before ({another}): what follows may not be the same, to the "
            "last bit, as it would have been there",
            soft_wrap=True,
            markup=False,
        )


def play(
    opened: Any, plugin: Any, quiet: bool = False, tensorboard: bool = False
) -> dict[str, Any]:
    """Play a locked run to the end of its budget, and return its best construction.

    Args:
        quiet: do not print the run's path.
        tensorboard: write each round for TensorBoard, too.
    """
    from pipeline import session
    from pipeline.cli.live import Interrupted, Live
    from pipeline.executors.local import make_executor
    from pipeline.report.terminal import console
    from pipeline.storage.round_files import best_of

    err, progress = console(stderr=True), progress_console()
    compute = opened.config.compute
    executor = make_executor(compute.workers)
    try:
        with Live(opened, progress) as live:
            if not quiet:
                echo(str(opened.path))
            if opened.config.proposer == "model":
                from pipeline.model.device import describe, prepare

                progress.print(f"model on {describe(prepare(compute.device, compute.threads))}")
            told = contextlib.nullcontext(live.report)
            if tensorboard:
                told = _with_tensorboard(opened, plugin, live, err)
            try:
                with told as report:
                    session.play(opened, plugin, executor, report, _spent())
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
        named = f" --problem {plugin.plugin}" if plugin.plugin else ""
        again = f"pipeline resume {opened.name}{named}"
        err.print(f"stopped; {kept}. Go on with: {again}", soft_wrap=True, markup=False)
        sys.exit(130)
    return best_of(opened, plugin)


def _spent() -> float:
    """Return the seconds since the command began, once; for a second run of it, none."""
    context = click.get_current_context(silent=True)
    began = context.meta.pop(BEGAN, None) if context else None
    return 0.0 if began is None else time.monotonic() - began


@contextlib.contextmanager
def _with_tensorboard(opened: Any, plugin: Any, live: Any, err: Any) -> Iterator[Any]:
    """Give what takes the events of a session, and writes committed rounds for TensorBoard.

    A log that cannot be written is told of and given up; the run goes on.
    """
    from pipeline.report.tensorboard import FOLDER, TensorLog

    log: TensorLog | None = None
    try:
        log = TensorLog(opened, plugin)
        err.print(f"look on with: tensorboard --logdir {opened.path / FOLDER}", soft_wrap=True)
    except OSError as error:
        err.print(f"nothing is written for TensorBoard: {error}", soft_wrap=True, markup=False)

    def report(event: str, **particulars: Any) -> None:
        nonlocal log
        live.report(event, **particulars)
        if event == "committed" and log is not None:
            try:
                log.add(particulars["stats"]["round"])
            except OSError as error:
                log = None
                err.print(f"TensorBoard gets no more: {error}", soft_wrap=True, markup=False)

    try:
        yield report
    finally:
        if log is not None:
            log.close()


def finish(opened: Any, plugin: Any, found: dict[str, Any], as_json: bool) -> None:
    """Print what came of a run."""
    if as_json:
        print_json({"run": str(opened.path), "best": found})
        return
    from pipeline.cli.look import print_summary
    from pipeline.report.terminal import console

    print_summary(opened, plugin, found, console())

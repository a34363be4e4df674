"""Playing a run from the command line: begun or taken up again, watched, and shown at its end."""

import sys
from typing import Any

import click

from pipeline.cli.common import print_json


def words() -> list[str]:
    """Return the words of the command line that is being carried out."""
    return click.get_current_context().obj


def load() -> None:
    """Import what takes a while, and say so."""
    from pipeline.report.terminal import console

    console(stderr=True).print("loading (the first time also compiling, about ten seconds)")
    import pipeline.session  # noqa: F401


def begin(config: Any, plugin: Any, runs: str | None, files: dict[str, bytes] | None = None) -> Any:
    """Make a folder for a new run, once nothing is found that it could not get past.

    Returns:
        The run, not locked yet.

    Raises:
        UsageError: what no run of this configuration could get past.
    """
    load()
    from pipeline import inputs
    from pipeline.runs import Run, runs_root
    from pipeline.session import check

    named = inputs.read_files(config)
    check(plugin, config, inputs.arrays(named))
    config, kept = inputs.bound(config, named)
    return Run.create(runs_root(runs), config, plugin.name, words(), {**(files or {}), **kept})


def play(opened: Any, plugin: Any, quiet: bool = False) -> dict[str, Any]:
    """Play a locked run to the end of its budget, and return its best construction.

    Args:
        quiet: do not print the run's path.
    """
    from pipeline import session
    from pipeline.cli.live import Interrupted, Live
    from pipeline.executor import make_executor
    from pipeline.report.terminal import console
    from pipeline.results import best_of

    err = console(stderr=True)
    compute = opened.config.compute
    executor = make_executor(compute.workers)
    try:
        with Live(opened, err) as live:
            if not quiet:
                click.echo(str(opened.path))
            if opened.config.proposer == "model":
                from pipeline.model.device import describe, prepare

                err.print(f"model on {describe(prepare(compute.device, compute.threads))}")
            try:
                session.play(opened, plugin, executor, live.report)
            except KeyboardInterrupt:
                executor.kill()
                raise
            finally:
                executor.close()
    except (Interrupted, KeyboardInterrupt):
        executor.kill()
        done = opened.rounds()
        kept = f"rounds 0 to {done[-1]} are kept" if done else "no round was finished yet"
        err.print(f"stopped; {kept}. Go on with: pipeline resume {opened.name}", soft_wrap=True)
        sys.exit(130)
    return best_of(opened, plugin)


def finish(opened: Any, plugin: Any, found: dict[str, Any], as_json: bool) -> None:
    """Print what came of a run."""
    if as_json:
        print_json({"run": str(opened.path), "best": found})
        return
    from pipeline.cli.look import print_summary
    from pipeline.report.terminal import console

    print_summary(opened, plugin, found, console())

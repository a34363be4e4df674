"""Options that say where many runs are made: on this machine, on SLURM or on Ray."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from pipeline.cli.help import Choice
from pipeline.config import PLACES
from pipeline.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])


def place_options(command: Command) -> Command:
    """Give a command the options that `place_of` reads."""
    for option in reversed(
        (
            click.option(
                "--on", type=Choice(PLACES), help="Where the runs are made.  [default: processes]"
            ),
            click.option(
                "--jobs", type=int, help="Runs at once.  [default: as many as there is room for]"
            ),
            click.option("--address", help="A Ray cluster to join: auto or HOST:PORT."),
            click.option("--gpus", type=int, help="Of each run, with --on ray.  [default: 0]"),
            click.option(
                "--slurm", multiple=True, metavar="KEY=VALUE", help="For sbatch: partition=short."
            ),
        )
    ):
        command = option(command)
    return command


def place_of(options: dict[str, Any], cores: int = 1) -> Any:
    """Return the place that the options name, for runs of so many cores.

    Raises:
        UsageError: no place, or an option of another one.
        PipelineError: what it needs is not there.
    """
    from pipeline.jobs import make_place

    if options["jobs"] is not None and options["jobs"] < 1:
        raise UsageError(f"--jobs {options['jobs']}: name a number from 1")
    on, jobs = options["on"] or PLACES[0], options["jobs"] or 0
    where, gpus = options["address"] or "", options["gpus"] or 0
    return make_place(on, jobs, cores, where, options["slurm"], gpus)

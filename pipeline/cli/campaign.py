"""pipeline campaign: sizes, arms and rng seeds as independent runs, on one machine or many."""

import shlex
import sys
from typing import Any

import click

from pipeline.cli.common import (
    echo,
    json_option,
    parse_sizes,
    parse_time,
    print_json,
    progress_console,
    quiet_option,
    runs_option,
    writable,
)
from pipeline.cli.help import Choice, Words
from pipeline.cli.play import words
from pipeline.config import GENERATORS, PLACES
from pipeline.errors import UsageError

_TIME = "10m"


@click.command()
@click.argument("problem")
@click.option("--n", required=True, help="The sizes, as 40,48 or 48:64.")
@click.option("--seeds", type=int, help="Runs of each size and arm.  [default: 5]")
@click.option("--time", "time_", help=f"Of each run, as 90, 2m or 1h.  [default: {_TIME}]")
@click.option(
    "--arms",
    type=Words(GENERATORS),
    help=f"Generators: {', '.join(GENERATORS)}, FILE.py:CLASS, or NAME=FILE.py:CLASS.  "
    "[default: none, search alone]",
)
@click.option(
    "--more", type=int, help="So many further runs where most beat the best known.  [default: 0]"
)
@click.option("--cores", type=int, help="Of each run.  [default: 1]")
@click.option("--on", type=Choice(PLACES), help="Where the runs are made.  [default: processes]")
@click.option("--jobs", type=int, help="Runs at once.  [default: as many as there is room for]")
@click.option("--address", help="A Ray cluster to join: auto or HOST:PORT.")
@click.option("--gpus", type=int, help="Of each run, with --on ray.  [default: 0]")
@click.option("--slurm", multiple=True, metavar="KEY=VALUE", help="For sbatch: partition=short.")
@click.option("--convention", help="A convention of the problem; see `pipeline problems`.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="For all runs.")
@click.option("-o", "--output", metavar="FILE.md", help="Write the table as Markdown.")
@quiet_option
@runs_option
@json_option
def campaign(problem: str, **options: Any) -> None:
    """Search many sizes with many rng seeds.

    \b
    pipeline campaign isosceles --n 48:64 --seeds 20 --time 1h
    pipeline campaign isosceles --n 48:64 --seeds 20 --time 1h --on slurm

    Each size, arm and rng seed is a run of its own. The same command again goes on where it
    stopped; it resumes runs that were cut short. With --on slurm the runs are arrays of jobs, which
    are queued again when preempted, and go on when this command ends. All nodes of a cluster must
    see the directory of the runs.
    """
    from pathlib import Path

    from pipeline.report.campaign import markdown, print_rows
    from pipeline.report.terminal import console
    from pipeline.storage.files import write_file

    output = writable("-o", Path(options["output"])) if options["output"] else None
    made, plugin = _made(problem, options)
    rows, failures, planned, folder, stopped = _carried_out(made, plugin, options)
    command = shlex.join(["pipeline", *words()])
    if output is not None:
        write_file(output, markdown(rows, command).encode())
    if options["as_json"]:
        print_json(
            {
                "command": command,
                "folder": str(folder),
                "problem": plugin.name,
                "convention": plugin.convention,
                "seconds": made.seconds,
                "planned": planned,
                "rows": [row._asdict() for row in rows],
                "failed": [
                    {"arm": one.arm, "n": one.n, "seed": one.seed, "error": error}
                    for one, error in failures
                ],
                "interrupted": stopped,
            }
        )
    else:
        print_rows(rows, console())
    err = console(stderr=True)
    if stopped:
        err.print("stopped. Go on with the same command:")
        err.say(f"  {command}")
        sys.exit(130)
    if failures:
        again = "the same command goes on with them"
        err.print(f"{len(failures)} of {planned} runs failed; {again}")
        sys.exit(1)


def _made(problem: str, options: dict[str, Any]) -> tuple[Any, Any]:
    """Return the campaign that the options make up, and its problem.

    Raises:
        UsageError: whatever is wrong with them.
    """
    from pipeline.benchmarking.campaign import Campaign
    from pipeline.benchmarking.experiment import arms_from
    from pipeline.cli.compare import chosen_arms
    from pipeline.config import with_setting
    from pipeline.plugins import load_problem, problem_spec

    settings: dict[str, Any] = {}
    if options["convention"] is not None:
        options["settings"] += (f"convention={options['convention']}",)
    for setting in options["settings"]:
        with_setting(settings, setting)
    spec = problem_spec(problem)
    plugin = load_problem(spec, settings.get("convention") or None)
    numbers = {key: options[key] for key in ("seeds", "more", "cores") if options[key] is not None}
    made = Campaign(
        problem=plugin.plugin or spec,
        sizes=tuple(parse_sizes(options["n"], "--n")),
        arms=arms_from(chosen_arms(options["arms"] or "none", None)),
        seconds=parse_time(options["time_"] or _TIME),
        settings=settings,
        **numbers,
    )
    return made, plugin


def _carried_out(made: Any, plugin: Any, options: dict[str, Any]) -> tuple[Any, ...]:
    """Carry a campaign out, or go on with it."""
    from pipeline.benchmarking.runner import carry_out
    from pipeline.cli.trials import Progress
    from pipeline.jobs import make_place
    from pipeline.report.terminal import span
    from pipeline.storage.finding import runs_root

    if options["jobs"] is not None and options["jobs"] < 1:
        raise UsageError(f"--jobs {options['jobs']}: name a number from 1")
    trials = made.trials(plugin)  # finds what cannot be, before anything is made
    on, jobs = options["on"] or PLACES[0], options["jobs"] or 0
    where, gpus = options["address"] or "", options["gpus"] or 0
    place = make_place(on, jobs, made.cores, where, options["slurm"], gpus)
    folder = runs_root(options["runs"]) / made.folder(plugin.name)
    if not options["as_json"]:
        echo(str(folder))
    results: list[Any] = []
    with Progress(progress_console(), span(made.seconds), place.room, made.seconds) as progress:

        def following(found: Any, under_way: Any) -> Any:
            return made.next_trial(plugin, found, under_way)

        results, failures = carry_out(
            trials, folder, plugin, place, progress, progress.stopping, following
        )
        stopped = progress.stopping()
    planned = len(trials) + made.more
    return made.rows(plugin, results), failures, planned, folder, stopped

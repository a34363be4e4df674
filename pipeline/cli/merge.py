"""The command merge: pools of several runs as one."""

import click

from pipeline.cli.common import (
    echo,
    json_option,
    open_run,
    print_json,
    problem_of,
    problem_option,
    runs_option,
)
from pipeline.cli.play import words


@click.command()
@click.argument("runs_named", metavar="RUN RUN...", nargs=-1, required=True)
@problem_option
@runs_option
@json_option
def merge(
    runs_named: tuple[str, ...], problem: str | None, runs: str | None, as_json: bool
) -> None:
    """Put the pools of runs together as a new run.

    \b
    pipeline merge isosceles-n16-a isosceles-n16-b
    pipeline resume latest --rounds +2

    The runs are of one problem and convention, with any rng seeds, sizes and settings. Every
    construction is verified anew, of equivalent ones the first stays. The new run has the settings
    of the first RUN, and all sizes.
    """
    opened = [open_run(name, runs) for name in runs_named]
    plugin = problem_of(opened[0], problem)
    from pipeline.merging import merge as put_together
    from pipeline.report.terminal import console, table
    from pipeline.storage.finding import runs_root

    made, sizes = put_together(opened, plugin, runs_root(runs), words())
    if as_json:
        print_json({"run": str(made.path), "sizes": [size._asdict() for size in sizes]})
        return
    echo(str(made.path))
    rows = table("n>", "constructions>", "kept, no two equivalent>", "best>")
    for size in sizes:
        rows.add_row(str(size.n), f"{size.given:,}", f"{size.kept:,}", str(size.best))
    out = console()
    out.print(rows)
    out.say(f"go on with: pipeline resume {made.name}")

"""The commands lab ...: the lecture's experiments, repeated, varied and looked at."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from pipeline.cli.common import echo, json_option, print_json, runs_option, writable
from pipeline.cli.help import Choice, Sections
from pipeline.cli.lab import tables, training, values
from pipeline.cli.play import words
from pipeline.config import DEVICES
from pipeline.errors import UsageError

_TASK = "TASK is a name (see `pipeline lab list`), a rule as s[3]=s[-1], or a file as my-rule.py."

_FILE = "Your own task is run only if it is named here."


@click.group(cls=Sections)
def lab() -> None:
    """Repeat, vary and look at every experiment of the lecture.

    \b
    pipeline lab list
    pipeline lab run equal-13-22
    pipeline lab attention latest
    pipeline lab sweep equal-13-22 --weight-decay 0,0.1 --seeds 2
    pipeline lab all

    Positions are 1-based, as in the lecture; -1 is the last.
    """


def scale_option(function: Any) -> Any:
    """Add ``--scale``."""
    return click.option(
        "--scale",
        type=Choice(("small", "lecture")),
        default="small",
        help="small: a minute to five on one core; lecture: as in the lecture, hours.  "
        "[default: small]",
    )(function)


def task_options(function: Any) -> Any:
    """Add TASK, and the options that say which part of it is meant at which scale."""
    lengths = "Lengths of the strings of a rule.  [default: 30:40]"
    function = click.option("--lengths", default="30:40", help=lengths)(function)
    rule = "Of five-rules: 1 to 5, or all.  [default: all]"
    function = scale_option(click.option("--rule", help=rule)(function))
    return click.argument("task")(function)


def training_options(function: Any) -> Any:
    """Add ``--device``, ``--runs`` and ``--json``."""
    device = "Device of the model.  [default: cpu; auto at lecture]"
    function = runs_option(json_option(function))
    return click.option("--device", type=Choice(DEVICES), help=device)(function)


def time_option(function: Any) -> Any:
    """Add ``--time``."""
    text = "Stop a training after this; `pipeline lab resume` goes on.  [default: none]"
    return click.option("--time", "time_", help=text)(function)


def jobs_option(function: Any) -> Any:
    """Add ``--jobs``."""
    text = "Trainings at once, each on one core.  [default: one for each core]"
    return click.option("--jobs", type=int, help=text)(function)


def _check_seeds(options: dict[str, Any]) -> None:
    if options["seeds"] < 1:
        raise UsageError(f"--seeds {options['seeds']}: give at least 1")


@lab.command("list")
@scale_option
@json_option
def list_(scale: str, as_json: bool) -> None:
    """List the tasks and what the lecture says about them."""
    from pipeline.lab.registry import entries

    found = entries(scale)
    if as_json:
        keys = ("name", "title", "lecture")
        rows = [{k: getattr(e, k) for k in keys} | {"labels": [*(e.tasks or {})]} for e in found]
        print_json({"tasks": rows})
        return
    from pipeline.report.terminal import console, table

    made = table("task", "what", "the lecture", whole=["task"])
    for entry in found:
        made.add_row(entry.name, entry.title, entry.lecture)
    console().print(made)


@lab.command("run")
@task_options
@click.option("--seed", default=0, help="The rng seed.  [default: 0]")
@click.option("--steps", type=int, help="Optimiser steps.")
@click.option("--batch", type=int, help="Strings per step.")
@click.option("--strings", type=int, help="Strings in the dataset; 0: new ones at every step.")
@click.option("--samples", type=int, help="Strings to sample from the trained model.")
@click.option("--learning-rate", type=float, help="Peak learning rate.")
@click.option("--weight-decay", type=float, help="Weight decay of the matrices.")
@click.option("--parameters", help="Model size, as 27k or 1.5M; or layers x width, as 2x64.")
@click.option("--checkpoints", help="Steps at which the model is kept, as 1000,15000.")
@time_option
@training_options
def run(task: str, **options: Any) -> None:
    """Train the GPT on a task, and count how often it obeys the rule.

    TASK is a name (see `pipeline lab list`), a rule as s[3]=s[-1], or a file as my-rule.py with
    lengths = 20, 30, generate(rng) and check(s). It ends with the success rate beside the
    lecture's; the run's directory holds curves, samples, models and page.html.
    """
    entry = values.find(task, options["scale"], options["lengths"])
    labels = values.labels(entry, options["rule"])
    cells = [(entry, training.asked(task, entry, label, options)) for label in labels]
    found = training.perform(
        cells, options, keep=values.steps(options["checkpoints"]), pictures=True
    )
    tables.finish(found, options["as_json"])


@lab.command()
@click.argument("run_", metavar="RUN")
@time_option
@click.option("--file", metavar="FILE.py", help=_FILE)
@runs_option
@json_option
def resume(run_: str, **options: Any) -> None:
    """Go on with a lab run that was stopped or killed.

    RUN is a path, a unique prefix of its name, or latest: the last that is not finished. On the
    machine that it began on it ends with the same model, curve and samples as without a stop. Where
    a training stands is kept once a minute, so a kill costs no more; the experiments text and
    isosceles-16 begin anew.
    """
    from pipeline.lab.folder import find_lab_run
    from pipeline.storage.finding import runs_root

    opened = find_lab_run(run_, runs_root(options["runs"]), unfinished=True)
    tables.finish([training.go_on(opened, options)], options["as_json"])


@lab.command()
@task_options
@click.option("--weight-decay", "decays", help="Values, as 0,0.01,0.1.")
@click.option("--learning-rate", "rates", help="Values, as 0.001,0.003.")
@click.option("--parameters", "sizes", help="Values, as 5k,27k or 2x32,2x64.")
@click.option("--seeds", default=1, help="How many rng seeds, from 0.  [default: 1]")
@click.option("--steps", type=int, help="Optimiser steps.")
@jobs_option
@training_options
def sweep(task: str, decays: str | None, rates: str | None, sizes: str | None, **options: Any):
    """Train over several values and rng seeds, and print a table.

    Finished runs are not repeated, and stopped trainings go on.
    """
    from itertools import product

    entry = values.find(task, options["scale"], options["lengths"])
    if entry.tasks is None:
        raise UsageError(f"{entry.name} is an experiment of its own; sweep over a task")
    _check_seeds(options)
    axes: dict[str, Sequence[Any]] = {"weight_decay": values.numbers("--weight-decay", decays)}
    axes["learning_rate"] = values.numbers("--learning-rate", rates)
    axes["parameters"] = sizes.split(",") if sizes else []
    axes = {name: values for name, values in axes.items() if values}
    settings = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    cells: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for label in values.labels(entry, options["rule"]):
        for setting in settings:
            for seed in range(options["seeds"]):
                asked = training.asked(task, entry, label, {**options, **setting, "seed": seed})
                cells.append(({"task": values.name_of(entry, label), **setting}, asked))
    runs = training.perform_missing([(entry, what) for _, what in cells], options)
    table: dict[tuple, list[Any]] = {}
    for (place, _), made in zip(cells, runs, strict=True):
        table.setdefault(tuple(place.items()), []).append(made)
    rows = [tables.swept(dict(place), made) for place, made in table.items()]
    if options["as_json"]:
        print_json({"rows": rows})
        return
    tables.print_sweep(rows)


@lab.command("all")
@scale_option
@click.option("--seeds", default=3, help="How many rng seeds, from 0.  [default: 3]")
@jobs_option
@click.option("--only", help="Only these tasks, as equal-13-22,gcd.")
@click.option(
    "-o",
    "out",
    metavar="FILE",
    help="Also write the table to FILE, with how it was made, and a figure of attention beside it.",
)
@training_options
def all_(out: str | None, only: str | None, **options: Any) -> None:
    """Run every task, and print the results beside the lecture's.

    Each task is trained with several rng seeds; an experiment has its own. Finished runs are not
    repeated and stopped trainings go on, so a stopped table continues. It is printed as Markdown,
    with --json as JSON.
    """
    from pipeline.errors import nearest
    from pipeline.lab.registry import entries
    from pipeline.storage.files import write_file

    _check_seeds(options)
    file = writable("-o", Path(out)) if out else None
    chosen = entries(options["scale"])
    if only:
        known = {entry.name: entry for entry in chosen}
        for name in only.split(","):
            if name not in known:
                raise UsageError(f"--only {name}: no task{nearest(name, known)}")
        chosen = [known[name] for name in only.split(",")]
    cells = [
        (entry, training.asked(entry.name, entry, label, {**options, "seed": seed}))
        for entry in chosen
        for label in values.labels(entry, None)
        for seed in range(options["seeds"] if entry.tasks else 1)
    ]
    runs = training.perform_missing(cells, options)
    from pipeline.lab.work import document, markdown, rows_of

    rows = [row for made in runs for row in rows_of(made)]
    table = markdown(rows)
    if file is not None:
        from pipeline.lab.sharpening import write_figure

        figure = write_figure(runs, file.with_name(f"{file.stem}-attention.png"))
        write_file(file, document(rows, words(), runs, figure).encode())
    if options["as_json"]:
        print_json({"scale": options["scale"], "rows": rows})
    else:
        click.echo(table, nl=False)


@lab.command()
@click.argument("run_", metavar="RUN")
@click.option("--string", help="One string.  [default: the mean over 200 of the task]")
@click.option("--steps", help="Steps of kept models, as 1000,15000.  [default: all]")
@click.option("--position", type=int, help="The output position to show over the steps.")
@click.option("--cell", help="Of a board task, as 5,4 (row, column): drawn on the board.")
@click.option("--file", metavar="FILE.py", help=_FILE)
@runs_option
@json_option
def attention(
    run_: str,
    string: str | None,
    steps: str | None,
    position: int | None,
    cell: str | None,
    file: str | None,
    runs: str | None,
    as_json: bool,
) -> None:
    """Draw what each layer and head of a lab run attends to.

    RUN is a path, a unique prefix of its name, or latest. Pictures are written to its directory and
    into its page.html.
    """
    from pipeline.lab.folder import find_lab_run
    from pipeline.storage.finding import runs_root

    opened = find_lab_run(run_, runs_root(runs))
    from pipeline.lab.looking import look

    looked = look(
        opened,
        string=string,
        steps=values.steps(steps),
        position=position,
        cell=values.cell(cell),
        file=file,
    )
    if as_json:
        print_json({"run": str(opened.path), **looked})
        return
    for step, lines in looked["sharpest"].items():
        for line in lines:
            at = "the beginning" if not line["looks at"] else f"position {line['looks at']}"
            echo(
                f"step {int(step):,}: writing position {line['writes']}, layer {line['layer']} "
                f"head {line['head']} looks at {at} with weight {line['weight']:.2f}"
            )
    for name in looked["files"]:
        echo(str(opened.path / name))

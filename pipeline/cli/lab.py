"""The commands lab ...: the lecture's experiments, repeated, varied and looked at."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from pipeline.cli.common import echo, json_option, print_json, runs_option, writable
from pipeline.cli.help import Choice, Sections
from pipeline.cli.play import words
from pipeline.config import DEVICES
from pipeline.errors import UsageError

_TASK = "TASK is a name (see `pipeline lab list`), a rule as s[3]=s[-1], or a file as my-rule.py."
#: Small models gain nothing from another device.
_DEVICES = {"small": "cpu", "lecture": "auto"}
_CHANGED = ("steps", "batch", "strings", "samples", "learning_rate", "weight_decay")


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
        help="small: a minute or two on a core; lecture: as large as the lecture's, hours.  "
        "[default: small]",
    )(function)


@lab.command("list")
@scale_option
@json_option
def list_(scale: str, as_json: bool) -> None:
    """List the tasks and what the lecture says of them."""
    from pipeline.lab.registry import entries

    found = entries(scale)
    if as_json:
        keys = ("name", "title", "lecture")
        told = [{k: getattr(e, k) for k in keys} | {"labels": [*(e.tasks or {})]} for e in found]
        print_json({"tasks": told})
        return
    from rich.table import Table

    from pipeline.report.terminal import console

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("task", "what", "the lecture"):
        table.add_column(name, no_wrap=name == "task")
    for entry in found:
        table.add_row(entry.name, entry.title, entry.lecture)
    console().print(table)


@lab.command("run")
@click.argument("task")
@scale_option
@click.option("--rule", help="Of five-rules: 1 to 5, or all.  [default: all]")
@click.option("--lengths", default="30:40", help="Of the strings of a rule.  [default: 30:40]")
@click.option("--seed", default=0, help="The rng seed.  [default: 0]")
@click.option("--steps", type=int, help="Optimiser steps.")
@click.option("--batch", type=int, help="Strings a step.")
@click.option("--strings", type=int, help="Of the dataset; 0: fresh ones at every step.")
@click.option("--samples", type=int, help="Strings the trained model writes.")
@click.option("--learning-rate", type=float, help="Its peak.")
@click.option("--weight-decay", type=float, help="On the matrices.")
@click.option("--parameters", help="A model of about so many, as 27k or 1.5M.")
@click.option("--checkpoints", help="Steps whose models are kept, as 1000,15000.")
@click.option(
    "--device", type=Choice(DEVICES), help="Of the model.  [default: cpu; auto at lecture]"
)
@runs_option
@json_option
def run(task: str, **options: Any) -> None:
    """Train the GPT on a task, and count how often it obeys the rule.

    TASK is a name (see `pipeline lab list`), a rule as s[3]=s[-1], or a file as my-rule.py with
    lengths = 20, 30, generate(rng) and check(s). Ends with the success rate beside the lecture's;
    the run's folder holds curves, samples, models and page.html.
    """
    entry = _find(task, options["scale"], options["lengths"])
    labels = _labels(entry, options["rule"])
    whats = [_asked(task, entry, label, options) for label in labels]
    found = _perform(entry, whats, options, keep=_steps(options["checkpoints"]), pictures=True)
    _finish(found, options["as_json"])


@lab.command()
@click.argument("task")
@scale_option
@click.option("--rule", help="Of five-rules: 1 to 5, or all.  [default: all]")
@click.option("--lengths", default="30:40", help="Of the strings of a rule.  [default: 30:40]")
@click.option("--weight-decay", "decays", help="Values, as 0,0.01,0.1.")
@click.option("--learning-rate", "rates", help="Values, as 0.001,0.003.")
@click.option("--parameters", "sizes", help="Values, as 5k,27k.")
@click.option("--seeds", default=1, help="How many rng seeds, from 0.  [default: 1]")
@click.option("--steps", type=int, help="Optimiser steps.")
@click.option(
    "--device", type=Choice(DEVICES), help="Of the model.  [default: cpu; auto at lecture]"
)
@runs_option
@json_option
def sweep(task: str, decays: str | None, rates: str | None, sizes: str | None, **options: Any):
    """Train over several values and rng seeds, and print a table.

    What is finished is not done again.
    """
    from itertools import product

    entry = _find(task, options["scale"], options["lengths"])
    if entry.tasks is None:
        raise UsageError(f"{entry.name} is an experiment of its own; sweep over a task")
    if options["seeds"] < 1:
        raise UsageError(f"--seeds {options['seeds']}: give at least 1")
    axes: dict[str, Sequence[Any]] = {"weight_decay": _numbers("--weight-decay", decays)}
    axes["learning_rate"] = _numbers("--learning-rate", rates)
    axes["parameters"] = sizes.split(",") if sizes else []
    axes = {name: values for name, values in axes.items() if values}
    settings = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    cells: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for label in _labels(entry, options["rule"]):
        for setting in settings:
            for seed in range(options["seeds"]):
                asked = _asked(task, entry, label, {**options, **setting, "seed": seed})
                cells.append(({"task": _name(entry, label), **setting}, asked))
    runs = _perform(entry, [what for _, what in cells], options, again=False)
    table: dict[tuple, list[Any]] = {}
    for (place, _), made in zip(cells, runs, strict=True):
        table.setdefault(tuple(place.items()), []).append(made)
    rows = [_swept(dict(place), made) for place, made in table.items()]
    if options["as_json"]:
        print_json({"rows": rows})
        return
    _print_sweep(rows)


@lab.command("all")
@scale_option
@click.option("--seed", default=0, help="The rng seed.  [default: 0]")
@click.option("--only", help="These tasks alone, as equal-13-22,gcd.")
@click.option("-o", "out", metavar="FILE", help="Write it there too, with how it was made.")
@click.option(
    "--device", type=Choice(DEVICES), help="Of the model.  [default: cpu; auto at lecture]"
)
@runs_option
@json_option
def all_(out: str | None, only: str | None, **options: Any) -> None:
    """Run every task, and print what came beside the lecture's.

    What is finished is not done again, so that a table that was stopped goes on. It is printed in
    Markdown, with --json as JSON.
    """
    from pipeline.errors import nearest
    from pipeline.lab.registry import entries
    from pipeline.storage.files import write_file

    file = writable("-o", Path(out)) if out else None
    chosen = entries(options["scale"])
    if only:
        known = {entry.name: entry for entry in chosen}
        for name in only.split(","):
            if name not in known:
                raise UsageError(f"--only {name}: no task{nearest(name, known)}")
        chosen = [known[name] for name in only.split(",")]
    runs = []
    for entry in chosen:
        whats = [_asked(entry.name, entry, label, options) for label in _labels(entry, None)]
        runs += _perform(entry, whats, options, again=False)
    from pipeline.lab.work import document, markdown, rows_of

    rows = [row for made in runs for row in rows_of(made)]
    table = markdown(rows)
    if file is not None:
        write_file(file, document(rows, words(), runs).encode())
    if options["as_json"]:
        print_json({"scale": options["scale"], "rows": rows})
    else:
        click.echo(table, nl=False)


@lab.command()
@click.argument("run_", metavar="RUN")
@click.option("--string", help="One string; by default the mean over 200 of the task's.")
@click.option("--steps", help="Steps whose models were kept, as 1000,15000.  [default: all]")
@click.option("--position", type=int, help="The position whose writing is shown over the steps.")
@click.option("--cell", help="Of a board task, as 5,4 (row, column): drawn on the board.")
@click.option("--file", metavar="FILE.py", help="A task of your own runs only if named here.")
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
    """Draw what each layer and head of a lab run looks at.

    RUN is a path, a unique prefix of its name, or latest. Pictures go to its folder and into its
    page.html.
    """
    from pipeline.lab.folder import find_lab_run
    from pipeline.storage.finding import runs_root

    opened = find_lab_run(run_, runs_root(runs))
    from pipeline.lab.looking import look

    told = look(
        opened,
        string=string,
        steps=_steps(steps),
        position=position,
        cell=_cell(cell),
        file=file,
    )
    if as_json:
        print_json({"run": str(opened.path), **told})
        return
    for step, lines in told["sharpest"].items():
        for line in lines:
            at = "the beginning" if not line["looks at"] else f"position {line['looks at']}"
            echo(
                f"step {int(step):,}: writing position {line['writes']}, layer {line['layer']} "
                f"head {line['head']} looks at {at} with weight {line['weight']:.2f}"
            )
    for name in told["files"]:
        echo(str(opened.path / name))


# ------------------------------------------------------------------------------- helpers


def _find(spec: str, scale: str, lengths: str) -> Any:
    from pipeline.lab.registry import find

    return find(spec, scale, _lengths(lengths))


def _lengths(text: str) -> tuple[int, int]:
    low, colon, high = text.partition(":")
    try:
        return int(low), int(high if colon else low)
    except ValueError:
        raise UsageError(f"--lengths {text}: write them as 30:40") from None


def _labels(entry: Any, rule: str | None) -> list[str]:
    from pipeline.errors import nearest

    labels = [*(entry.tasks or {"": None})]
    if rule in (None, "all"):
        return labels
    if rule not in labels or labels == [""]:
        known = nearest(str(rule), labels) if labels != [""] else "; leave it out"
        raise UsageError(f"--rule {rule}: {entry.name} has none of that name{known}")
    return [str(rule)]


def _name(entry: Any, label: str) -> str:
    return f"{entry.name} {label}".strip()


def _asked(spec: str, entry: Any, label: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return what a lab run is asked, the options put over the task's own budget."""
    from dataclasses import replace

    from pipeline.lab.work import asked
    from pipeline.model.device import pick_device

    budget = None
    if entry.tasks is None:
        given = [k for k in (*_CHANGED, "parameters") if options.get(k) is not None]
        if given:
            raise UsageError(f"--{given[0].replace('_', '-')}: {entry.name} has its own budget")
    else:
        task = entry.tasks[label]
        changed = {k: options[k] for k in _CHANGED if options.get(k) is not None}
        for name, value in changed.items():
            least = 0 if name in ("strings", "samples", "weight_decay", "learning_rate") else 1
            if not (value >= least and (value or name != "learning_rate")):
                raise UsageError(f"--{name.replace('_', '-')} {value}: too small")
        if changed.get("samples") and task.given:
            raise UsageError(f"--samples: {entry.name} answers given questions, it writes nothing")
        budget = replace(task.budget, **changed)
        if options.get("parameters"):
            from pipeline.lab.learning import with_parameters

            budget = with_parameters(task, budget, _count(options["parameters"]))
    return asked(
        spec,
        entry,
        label,
        scale=options["scale"],
        seed=options["seed"],
        budget=budget,
        lengths=_lengths(options.get("lengths", "30:40")),
        device=str(pick_device(options["device"] or _DEVICES[options["scale"]])),
    )


def _perform(
    entry: Any,
    whats: Sequence[dict[str, Any]],
    options: dict[str, Any],
    *,
    keep: Sequence[int] = (),
    pictures: bool = False,
    again: bool = True,
) -> list[Any]:
    """Do what is asked, watched; Ctrl-C leaves what is finished."""
    from pipeline.callbacks import CallbackList
    from pipeline.cli.live import Interrupted, Live
    from pipeline.lab.looking import draw
    from pipeline.lab.page import page
    from pipeline.lab.work import perform
    from pipeline.model.device import prepare
    from pipeline.report.terminal import console
    from pipeline.storage.event_log import EventLog
    from pipeline.storage.files import write_file
    from pipeline.storage.finding import runs_root

    err, root, made = console(stderr=True), runs_root(options["runs"]), []
    for what in whats:
        prepare(what["device"], threads=1)
        steps = what.get("budget", {}).get("steps", 0)
        early = keep or ((steps // 10,) if pictures else ())
        late = _Late()

        def begun(run: Any, what: dict[str, Any] = what, late: "_Late" = late) -> None:
            late.log = run
            if not options["as_json"]:
                echo(str(run.path), err=True)
            err.print(
                f"{_name(entry, what.get('label', ''))}, scale {what['scale']}, seed "
                f"{what['seed']}, {what['device']}",
                highlight=False,
            )

        try:
            with Live(err) as live:
                live.begin(_name(entry, what.get("label", "")))
                told = CallbackList([EventLog(late), live])
                run = perform(
                    entry, what, root, words(), told, keep=early, begun=begun, again=again
                )
                if pictures and entry.tasks is not None:
                    draw(run, told)
        except (Interrupted, KeyboardInterrupt):
            where = f"; {late.log.path} holds what there was" if late.log is not None else ""
            err.print(f"stopped{where}. What is finished is kept.", soft_wrap=True)
            sys.exit(130)
        if not (run.path / "page.html").exists() or pictures:
            write_file(run.path / "page.html", page(run).encode())
        made.append(run)
    return made


class _Late:
    """A log whose run is made once it is known that there is something to do."""

    log: Any = None

    def event(self, kind: str, **particulars: Any) -> None:
        """Append a line, if there is a run yet."""
        if self.log is not None:
            self.log.event(kind, **particulars)


def _finish(runs: Sequence[Any], as_json: bool) -> None:
    """Print what came of runs: a line each, errors told apart, some of what was written."""
    from pipeline.lab.work import percent, rows_of

    rows = [row for run in runs for row in rows_of(run)]
    if as_json:
        print_json({"runs": [str(run.path) for run in runs], "rows": rows})
        return
    from rich.table import Table

    from pipeline.report.terminal import console

    out = console()
    for run in runs:
        for row in (run.found or {}).get("rows", []):
            out.print(f"{row['name']}: {row['measured']}", style="bold", markup=False)
            for text in row.get("samples", [])[:2]:
                out.print(text, markup=False, soft_wrap=True)
        for text, good in (run.found or {}).get("samples", [])[: 10 if len(runs) == 1 else 3]:
            out.print(f"{'ok' if good else 'no'}  {text}", markup=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("task", "measured", "chance", "the lecture"):
        table.add_column(name)
    for row in rows:
        chance = "-" if row["chance"] is None else percent(row["chance"])
        table.add_row(row["name"], row["measured"], chance, row["lecture"])
    out.print(table)
    for row in rows:
        for title in ("forced", "errors"):
            told = [
                f"{k} {v:.2f}" if "in each" in k else f"{k} {percent(v)}"
                for k, v in row.get(title, {}).items()
            ]
            if told:
                what = "where the rule decides" if title == "forced" else "of what was written"
                out.print(f"{row['name']}, {what}: {', '.join(told)}", markup=False)
    if rows[0]["scale"] == "small":
        out.print("scale small: shorter than the lecture's training; see --scale lecture")
    for run in runs:
        out.print(str(run.path / "page.html"), soft_wrap=True, markup=False)


def _swept(place: dict[str, Any], runs: Sequence[Any]) -> dict[str, Any]:
    rates = [run.found["success"] for run in runs]
    decided = [run.found["forced"]["decided"] for run in runs if "decided" in run.found["forced"]]
    return {
        **place,
        "seeds": len(rates),
        "mean": sum(rates) / len(rates),
        "lowest": min(rates),
        "highest": max(rates),
        "decided": sum(decided) / len(decided) if decided else None,
        "parameters": runs[0].found["parameters"],
        "runs": [run.path.name for run in runs],
    }


def _print_sweep(rows: Sequence[dict[str, Any]]) -> None:
    from rich.table import Table

    from pipeline.lab.work import percent
    from pipeline.report.terminal import console

    table = Table(box=None, pad_edge=False, header_style="bold")
    names = [name for name in rows[0] if name not in ("runs",)]
    for name in names:
        table.add_column(name.replace("_", " "), justify="left" if name == "task" else "right")
    for row in rows:
        cells: Iterable[str] = (
            "-"
            if row[name] is None
            else percent(row[name])
            if name in ("mean", "lowest", "highest", "decided")
            else f"{row[name]:,}"
            if name == "parameters"
            else str(row[name])
            for name in names
        )
        table.add_row(*cells)
    console().print(table)


def _steps(text: str | None) -> list[int]:
    if not text:
        return []
    try:
        found = sorted({int(part) for part in text.split(",")})
    except ValueError:
        found = [0]
    if found[0] < 1:
        raise UsageError(f"{text}: write steps as 1000,15000")
    return found


def _numbers(option: str, text: str | None) -> list[float]:
    if text is None:
        return []
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{option} {text}: write numbers as 0,0.01,0.1") from None


def _count(text: str) -> int:
    unit = {"k": 1e3, "K": 1e3, "m": 1e6, "M": 1e6}.get(text[-1:], 0)
    try:
        count = float(text[:-1]) * unit if unit else float(text)
    except ValueError:
        count = 0
    if not 500 <= count <= 1e8:
        raise UsageError(f"--parameters {text}: write 500 to 100M, as 27k or 1.5M")
    return round(count)


def _cell(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    try:
        row, column = map(int, text.split(","))
    except ValueError:
        raise UsageError(f"--cell {text}: write row and column as 5,4") from None
    return row, column

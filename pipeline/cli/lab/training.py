"""Training from the command line: what a lab run is asked, and doing it, watched."""

import sys
from collections.abc import Sequence
from typing import Any

from pipeline.cli.common import echo
from pipeline.cli.lab import values
from pipeline.cli.play import words
from pipeline.errors import UsageError

#: Small models gain nothing from another device.
_DEVICES = {"small": "cpu", "lecture": "auto"}
_CHANGED = ("steps", "batch", "strings", "samples", "learning_rate", "weight_decay")


def asked(spec: str, entry: Any, label: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return what a lab run is asked, the options put over the task's own budget."""
    from dataclasses import replace

    from pipeline.lab import work
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

            budget = with_parameters(task, budget, values.count(options["parameters"]))
    return work.asked(
        spec,
        entry,
        label,
        scale=options["scale"],
        seed=options["seed"],
        budget=budget,
        lengths=values.length_range(options.get("lengths", "30:40")),
        device=str(pick_device(options["device"] or _DEVICES[options["scale"]])),
    )


def perform(
    cells: Sequence[tuple[Any, dict[str, Any]]],
    options: dict[str, Any],
    *,
    keep: Sequence[int] = (),
    pictures: bool = False,
    again: bool = True,
) -> list[Any]:
    """Train on entries as they are `asked`, watched; Ctrl-C leaves what is finished.

    Args:
        keep: the steps whose models are kept, beside the last.
        pictures: draw what each head attends to.
        again: False gives finished runs of the same back.
    """
    from pipeline.cli.live import Interrupted, Live
    from pipeline.lab import work
    from pipeline.lab.looking import draw
    from pipeline.model.device import prepare
    from pipeline.report.terminal import console
    from pipeline.storage.finding import runs_root

    err, root, made = console(stderr=True), runs_root(options["runs"]), []
    for entry, what in cells:
        prepare(what["device"], threads=1)
        early = keep or work.early_steps(what)
        name, begun = values.name_of(entry, what.get("label", "")), []

        def begin(run: Any, what: Any = what, begun: Any = begun, name: str = name) -> None:
            begun.append(run)
            if not options["as_json"]:
                echo(str(run.path), err=True)
            err.print(f"{name}, scale {what['scale']}, seed {what['seed']}, {what['device']}")

        try:
            with Live(err) as live:
                live.begin(name)
                run = work.perform(
                    entry, what, root, words(), live, keep=early, begun=begin, again=again
                )
                if pictures and entry.tasks is not None:
                    draw(run, live)
        except (Interrupted, KeyboardInterrupt):
            where = f"; {begun[0].path} holds what there was" if begun else ""
            err.say(f"stopped{where}. Finished runs are kept.")
            sys.exit(130)
        made.append(_with_page(run, anew=pictures))
    return made


def perform_missing(
    cells: Sequence[tuple[Any, dict[str, Any]]], options: dict[str, Any]
) -> list[Any]:
    """Return the runs of all that is asked, after training ``--jobs`` at once on what has none."""
    from pipeline.executors import cores

    jobs = options["jobs"] if options["jobs"] is not None else cores()
    if jobs < 1:
        raise UsageError(f"--jobs {jobs}: name a number from 1")
    from pipeline.lab.folder import finished
    from pipeline.storage.finding import runs_root

    root = runs_root(options["runs"])
    if jobs > 1:
        missing = [(entry, what) for entry, what in cells if finished(root, what) is None]
        _at_once(missing, root, jobs)
    return perform(cells, options, again=False)


def _at_once(cells: Sequence[tuple[Any, dict[str, Any]]], root: Any, jobs: int) -> None:
    """Train on several entries at once, each in a process of its own, the longest first."""
    from pipeline.cli.live import Interrupted, Live
    from pipeline.executors import Processes
    from pipeline.lab.folder import LabRun
    from pipeline.lab.work import carry_out, rows_of, work_of
    from pipeline.report.terminal import console

    cells = sorted(cells, key=lambda cell: -work_of(cell[1]))
    if not cells:
        return
    err, executor = console(stderr=True), Processes(jobs)
    try:
        with Live(err) as live:
            live.begin("the lab")
            live.on_stage("train", len(cells))
            tasks = [(what, root, words()) for _, what in cells]
            found = executor.map(carry_out, tasks, lambda: live.stopping)
            for done, path in enumerate(found, start=1):
                for row in rows_of(LabRun(path)):
                    live.on_note(f"{row['name']}, seed {row['seed']}: {row['measured']}")
                live.on_progress(done)
            live.on_progress(len(cells))
    except (Interrupted, KeyboardInterrupt):
        executor.kill()
        err.say("stopped. Finished runs are kept; the same command goes on.")
        sys.exit(130)
    finally:
        executor.close()


def _with_page(run: Any, anew: bool) -> Any:
    """Return a finished run, after writing its page."""
    from pipeline.lab.page import page
    from pipeline.storage.files import write_file

    if anew or not (run.path / "page.html").exists():
        write_file(run.path / "page.html", page(run).encode())
    return run

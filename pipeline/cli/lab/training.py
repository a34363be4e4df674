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
    from pipeline.lab import work
    from pipeline.lab.looking import draw
    from pipeline.lab.page import page
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
        late, name = _Late(), values.name_of(entry, what.get("label", ""))

        def begun(run: Any, what: Any = what, late: Any = late, name: str = name) -> None:
            late.log = run
            if not options["as_json"]:
                echo(str(run.path), err=True)
            err.print(
                f"{values.name_of(entry, what.get('label', ''))}, scale {what['scale']}, seed "
                f"{what['seed']}, {what['device']}",
            )

        try:
            with Live(err) as live:
                live.begin(name)
                listeners = CallbackList([EventLog(late), live])
                run = work.perform(
                    entry, what, root, words(), listeners, keep=early, begun=begun, again=again
                )
                if pictures and entry.tasks is not None:
                    draw(run, listeners)
        except (Interrupted, KeyboardInterrupt):
            where = f"; {late.log.path} holds what there was" if late.log is not None else ""
            err.say(f"stopped{where}. Finished runs are kept.")
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

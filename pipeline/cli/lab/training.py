"""Training from the command line: what a lab run is asked, and doing it, watched."""

import math
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from pipeline.callbacks import Callbacks
from pipeline.cli.common import echo, parse_time
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
        given = [k for k in (*_CHANGED, "parameters", "time_") if options.get(k) is not None]
        if given:
            option = given[0].strip("_").replace("_", "-")
            raise UsageError(f"--{option}: {entry.name} has its own budget")
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
            budget = values.sized(task, budget, options["parameters"])
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
    """Train on entries as they are `asked`, watched; Ctrl-C leaves what can go on.

    Args:
        keep: the steps whose models are kept, beside the last.
        pictures: draw what each head attends to.
        again: False gives finished runs of the same back.
    """
    from pipeline.lab import work
    from pipeline.storage.finding import runs_root

    root, made = runs_root(options["runs"]), []
    for entry, what in cells:
        early = keep or work.early_steps(what)

        def do(listener: Any, begin: Any, entry=entry, what=what, early=early) -> Any:
            return work.perform(
                entry, what, root, words(), listener, keep=early, begun=begin, again=again
            )

        made.append(_watched(entry, what, do, options, pictures))
    return made


def go_on(run: Any, options: dict[str, Any]) -> Any:
    """Go on with a lab run, watched; a finished one is given back."""
    from pipeline.lab import work

    if run.found is not None:
        echo(f"{run.path.name} is complete", err=True)
        return run
    entry = work.entry_of(run, options["file"])

    def do(listener: Any, begin: Any) -> Any:
        return work.go_on(run, entry, listener, begin)

    return _watched(entry, run.info["asked"], do, options, pictures=True)


def _watched(
    entry: Any,
    what: dict[str, Any],
    do: Callable[[Any, Any], Any],
    options: dict[str, Any],
    pictures: bool,
) -> Any:
    """Train, shown in the terminal, until it is finished, ``--time`` is over or Ctrl-C comes.

    Args:
        do: trains, given what listens and what is handed the folder; returns the lab run.
    """
    from pipeline.callbacks import CallbackList
    from pipeline.cli.live import Interrupted, Live
    from pipeline.lab.looking import draw
    from pipeline.model.device import prepare
    from pipeline.report.terminal import console

    err, begun = console(stderr=True), []
    name = values.name_of(entry, what.get("label", ""))
    prepare(what["device"], threads=1)
    limit = TimeLimit(parse_time(options["time_"]) if options.get("time_") else math.inf)
    try:
        with Live(err) as live:
            live.left = "pipeline lab resume goes on"
            live.begin(name)

            def begin(run: Any) -> None:
                begun.append(run)
                if not options["as_json"]:
                    echo(str(run.path), err=True)
                err.print(f"{name}, scale {what['scale']}, seed {what['seed']}, {what['device']}")

            run = do(CallbackList([live, limit]), begin)
            if pictures and entry.tasks is not None:
                draw(run, live)
    except TimeUp:
        err.say(_stopped(begun[0], options))
        return begun[0]
    except (Interrupted, KeyboardInterrupt):
        err.say(_stopped(begun[0], options) if begun else "stopped")
        sys.exit(130)
    return _with_page(run, anew=pictures)


def _stopped(run: Any, options: dict[str, Any]) -> str:
    """Say how far a run came that was stopped, and which command goes on with it."""
    state, what = run.held(), run.info["asked"]
    far = f" after step {state.step:,} of {what['budget']['steps']:,}" if state else ""
    more = ["--file", what["spec"]] if what["spec"].endswith(".py") else []
    more += ["--runs", options["runs"]] if options["runs"] else []
    again = shlex.join(["pipeline", "lab", "resume", run.path.name, *more])
    return f"stopped{far}. Go on with: {again}"


class TimeUp(Exception):
    """``--time`` is over."""


class TimeLimit(Callbacks):
    """Ends a training after so many seconds, at least one step on."""

    def __init__(self, seconds: float):
        self._end = time.monotonic() + seconds
        self._steps = 0  # 0 where nothing is trained

    def on_stage(self, name: str, total: int, n: int | None = None) -> None:
        self._steps = total if name == "train" else 0

    def on_progress(self, done: int, best: int | None = None, loss: float | None = None) -> None:
        if done < self._steps and time.monotonic() > self._end:
            raise TimeUp


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

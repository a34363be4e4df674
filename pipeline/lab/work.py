"""Lab runs from what is asked to a folder with all that came of it, and the rows of tables."""

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from pipeline.callbacks import CallbackList, Callbacks
from pipeline.errors import RunError, UsageError
from pipeline.lab.folder import LabRun, finished, stopped
from pipeline.lab.learning import learn
from pipeline.lab.own import Own
from pipeline.lab.registry import Entry, find
from pipeline.lab.state import State
from pipeline.lab.task import Budget, Task
from pipeline.model.checkpoint import load_model, save_model
from pipeline.model.device import prepare
from pipeline.model.gpt import GPT
from pipeline.storage.event_log import EventLog
from pipeline.storage.lock import holding

_AVERAGED = 200  # strings that an attention map is averaged over
_SEED = 7_000_000  # those strings are drawn apart from all that is trained and tested on


def asked(
    spec: str,
    entry: Entry,
    label: str = "",
    *,
    scale: str,
    seed: int,
    budget: Budget | None = None,
    lengths: tuple[int, int] = (30, 40),
    device: str = "cpu",
) -> dict[str, Any]:
    """Return what one lab run is asked: all that decides what comes of it."""
    found: dict[str, Any] = {"spec": spec, "name": entry.name, "scale": scale, "seed": seed}
    if entry.tasks is None:
        return found | {"experiment": entry.run, "device": device}
    task = entry.tasks[label]
    found |= {"label": label, "lengths": [*lengths], "device": device}
    found["budget"] = asdict(budget or task.budget)
    if isinstance(task, Own):
        found["spec"] = str(Path(spec).resolve())
        found["file"] = hashlib.sha256(Path(spec).read_bytes()).hexdigest()
    return found


def perform(
    entry: Entry,
    what: dict[str, Any],
    root: Path,
    command: list[str],
    callbacks: Callbacks,
    *,
    keep: Sequence[int] = (),
    begun: Callable[[LabRun], None] | None = None,
    again: bool = True,
) -> LabRun:
    """Do what is `asked` of an entry, in a folder under ``root``.

    Args:
        keep: the steps whose models are kept, beside the last.
        begun: is handed the folder before anything is done.
        again: False gives a finished run of the same back, if there is one, or goes on with one
            that was stopped.
    """
    before = None if again else finished(root, what)
    if before is not None:
        return before
    left = None if again else stopped(root, what)
    return go_on(left or LabRun.create(root, what, command, keep), entry, callbacks, begun)


def go_on(
    run: LabRun,
    entry: Entry,
    callbacks: Callbacks,
    begun: Callable[[LabRun], None] | None = None,
) -> LabRun:
    """Do what a lab run was asked, or what is left of it, and return it.

    A training goes on where it stands; an experiment of its own begins anew.

    Args:
        begun: is handed the folder before anything is done.

    Raises:
        RunError: another process is at it, or its state is damaged.
    """
    with holding(run.path):
        state = run.held()
        if begun is not None:
            begun(run)
        callbacks = CallbackList([EventLog(run), callbacks])
        if entry.tasks is None:
            _experiment(run, entry, callbacks)
        else:
            _train(run, entry.tasks[run.info["asked"]["label"]], callbacks, state)
    return run


def _experiment(run: LabRun, entry: Entry, callbacks: Callbacks) -> None:
    what = run.info["asked"]
    start, cpu = time.perf_counter(), time.process_time()
    rows = entry.experiment()(what["scale"], what["seed"], callbacks)
    seconds = {
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
    }
    run.finish({"rows": rows, **seconds})


def _train(run: LabRun, task: Task, callbacks: Callbacks, state: State | None) -> None:
    what = run.info["asked"]

    def save(step: int, model: GPT) -> None:
        run.model(step).parent.mkdir(exist_ok=True)
        save_model(run.model(step), model)

    found = learn(
        task,
        Budget(**what["budget"]),
        seed=what["seed"],
        callbacks=callbacks,
        device=what["device"],
        keep=run.info.get("keep", ()),
        save=save,
        look=run.keep_curve,
        start=state,
        hold=run.hold,
    )
    run.finish(found | {"title": task.title, "lecture": task.lecture, "chance": task.chance})


def carry_out(job: tuple[dict[str, Any], Path, list[str]]) -> Path:
    """Do what is `asked` in a process of its own, if it isn't done yet; return its folder.

    Args:
        job: what is asked, the folder of the runs, the command's words.
    """
    what, root, command = job
    prepare(what["device"], threads=1)
    entry = find(what["spec"], what["scale"], tuple(what.get("lengths", (30, 40))))
    keep = early_steps(what)
    return perform(entry, what, root, command, Callbacks(), keep=keep, again=False).path


def early_steps(what: dict[str, Any]) -> tuple[int, ...]:
    """Return the step whose model is kept beside the last, to see what changed."""
    return (what["budget"]["steps"] // 10,) if "budget" in what else ()


def work_of(what: dict[str, Any]) -> float:
    """Return about how much work what is `asked` is, to begin with the longest."""
    if "experiment" in what:
        return math.inf
    budget = Budget(**what["budget"])
    return float(budget.steps * budget.batch * budget.layers * budget.width)


def task_of(run: LabRun, file: str | None = None) -> Task:
    """Return the task a lab run was trained on; as for `entry_of`.

    Raises:
        RunError: also where it is an experiment's.
    """
    entry = entry_of(run, file)
    if entry.tasks is None:
        raise RunError(f"{run.path.name} is an experiment of its own; it keeps no model")
    return entry.tasks[run.info["asked"]["label"]]


def entry_of(run: LabRun, file: str | None = None) -> Entry:
    """Return the entry a lab run is of.

    Args:
        file: the user's own, as it was typed; one that only the run names is not run.

    Raises:
        UsageError: the task is in a file that was not typed.
        RunError: the user's file has changed since.
    """
    what = run.info["asked"]
    if "experiment" in what:
        return find(what["spec"], what["scale"])
    if str(what["spec"]).endswith(".py") and (
        file is None or Path(file).resolve() != Path(what["spec"]).resolve()
    ):
        raise UsageError(
            f"{run.path.name} names the file {what['spec']}; data never loads code: if you trust "
            f"that file, add --file {what['spec']}"
        )
    entry = find(what["spec"], what["scale"], tuple(what["lengths"]))
    if "file" in what and what["file"] != hashlib.sha256(_bytes(what["spec"])).hexdigest():
        raise RunError(f"{what['spec']} has changed since {run.path.name}; run it anew")
    return entry


def model_of(run: LabRun, step: int) -> GPT:
    """Return the model a lab run had at a step.

    Raises:
        RunError: it is not among those that were kept.
    """
    steps = run.steps()
    if step not in steps:
        kept = ", ".join(map(str, steps)) or "none"
        raise RunError(
            f"{run.path.name} kept no model of step {step} (kept: {kept}); choose with: pipeline "
            "lab run ... --checkpoints"
        )
    return load_model(run.model(step))


def some(task: Task) -> np.ndarray:
    """Return the strings that attention maps are averaged over, none of them trained on."""
    return task.generate(_AVERAGED, np.random.default_rng(_SEED))


def rows_of(run: LabRun) -> list[dict[str, Any]]:
    """Return the rows that a finished lab run adds to a table."""
    found, what = run.found or {}, run.info["asked"]
    common = {"seed": what["seed"], "scale": what["scale"], "run": run.path.name}
    if "rows" in found:
        shared = {"cpu_seconds": found["cpu_seconds"]} if len(found["rows"]) == 1 else {}
        return [{"chance": None, **common, **shared, **row} for row in found["rows"]]
    budget = Budget(**what["budget"])
    samples = f"of {budget.samples:,} samples" if budget.samples else "of test questions"
    return [
        {
            "name": " ".join(filter(None, [what["name"], what["label"]])),
            "title": found["title"],
            "measured": f"{percent(found['success'])} {samples}",
            "success": found["success"],
            "forced": found["forced"],
            "errors": found["errors"],
            "lecture": found["lecture"],
            "chance": found["chance"],
            "budget": budget.words(found["parameters"]),
            "cpu_seconds": found["cpu_seconds"],
            **common,
        }
    ]


def merged(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each task: of several rng seeds the medians, with the spread."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_name.setdefault(row["name"], []).append(row)
    found = []
    for several in by_name.values():
        first = several[0]
        if len(several) == 1:
            found.append(first)
            continue
        rates = [row["success"] for row in several]
        spread = f"{percent(median(rates))} ({percent(min(rates))} - {percent(max(rates))})"
        forced = {k: median(row["forced"][k] for row in several) for k in first["forced"]}
        found.append(
            {
                **first,
                "measured": first["measured"].replace(percent(first["success"]), spread, 1),
                "forced": forced,
                "cpu_seconds": median(row["cpu_seconds"] for row in several),
                "seed": f"{min(r['seed'] for r in several)} - {max(r['seed'] for r in several)}",
            }
        )
    return found


def percent(share: float) -> str:
    """Write a share as a percentage, 100 only where it is all."""
    shown = 100 * share
    if 99.95 <= shown < 100:
        return "99.9 %"
    return f"{shown:.1f} %" if shown < 99.95 else "100 %"


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as a table in Markdown, those of one task as one."""
    heads = ("task", "measured", "where the rule decides", "chance", "lecture", "budget", "seed")
    lines = [f"| {' | '.join((*heads, 'CPU s'))} |", f"|{'---|' * (len(heads) + 1)}"]
    for row in merged(rows):
        title = f": {row['title']}" if "title" in row else ""
        forced = ", ".join(f"{k} {percent(v)}" for k, v in row.get("forced", {}).items())
        chance = "-" if row["chance"] is None else percent(row["chance"])
        seconds = f"{row['cpu_seconds']:.0f}" if "cpu_seconds" in row else "-"
        cells = (f"**{row['name']}**{title}", row["measured"], forced or "-", chance)
        cells += (row["lecture"], row["budget"], str(row["seed"]), seconds)
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def document(
    rows: Sequence[dict[str, Any]],
    command: Sequence[str],
    runs: Sequence[LabRun],
    figure: str = "",
) -> str:
    """Return the table in Markdown below how it was made, and how to read it.

    Args:
        figure: in Markdown, what stands below it.
    """
    seconds = sum((run.found or {}).get("cpu_seconds", 0.0) for run in runs)
    kept = [word for word in command if not word.startswith(("--json", "-o"))]
    files = {command[i + 1] for i, word in enumerate(command[:-1]) if word == "-o"}
    shown = " ".join(word for word in kept if word not in files)
    return _DOCUMENT.format(
        command=shown,
        day=time.strftime("%Y-%m-%d"),
        machine=runs[-1].info["machine"],
        device=runs[-1].info["asked"]["device"],
        minutes=seconds / 60,
        table=markdown(rows),
    ) + (f"\n{figure}\n" if figure else "")


_DOCUMENT = """# The lecture's experiments, measured

`pipeline {command}` made this table on {day} ({machine}, {device}; {minutes:.1f} CPU minutes of
training, writing and judging in all). Each line is a fresh model of the kind that `pipeline run`
trains, and its folder under `lab/` in the folder of runs holds curves, samples and the model.
One that takes hours can be done in pieces (`--time 30m`): `pipeline lab resume RUN` goes on with
what was stopped or killed, and ends with the same model, curve and samples.

"Measured" is the share of freely written strings that obey the whole rule, or of questions that
are answered rightly. "Where the rule decides" is asked of the model with a true string before it:
"decided" is how often its likeliest symbol is the one that the rule leaves; "term 4" how often all
of that term is; "end allowed" (or "2 allowed") how much of the probability that it gives to the end
(or to a 2) falls where the rule lets one come. "Chance" is what a model reaches that knows how
often symbols come, and no rule. With several rng seeds each figure is their median, with the lowest
and the highest behind it. The lecture's own figures are of other budgets: a small scale that
falls short of one says only what so little training does.

{table}"""


def _bytes(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror})") from None

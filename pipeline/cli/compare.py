"""pipeline compare: arms at equal compute, as a plan to carry out, or as finished runs."""

import math
import shlex
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from pipeline.cli.common import (
    echo,
    existing_file,
    json_option,
    open_run,
    parse_sizes,
    print_json,
    problem_option,
    progress_console,
    quiet_option,
    runs_option,
    writable,
)
from pipeline.cli.help import Words
from pipeline.cli.play import words
from pipeline.config import PROPOSERS
from pipeline.errors import UsageError, nearest

_LINE_EVERY = 10.0  # seconds between lines where there is no terminal
_START = 8.0  # guessed seconds of a run beside its budget
_OF_A_PLAN = ("n", "arms", "seeds", "budget_cpu_seconds", "jobs", "convention", "settings")
_OF_A_PLAN += ("stop_at_target",)


@click.command()
@click.argument("what", nargs=-1, required=True, metavar="PROBLEM | SPEC.toml | RUN RUN...")
@click.option("--n", help="The sizes, as 40,48 or 40:44.")
@click.option(
    "--arms",
    type=Words(PROPOSERS),
    help="model, perturb, restart, none.  [default: model,perturb,none]",
)
@click.option("--seeds", type=int, help="How many rng seeds, from 0.  [default: 6]")
@click.option("--budget-cpu-seconds", type=float, help="Of each run, on one core.  [default: 60]")
@click.option("--target", type=int, help="What counts as reached.  [default: the best known]")
@click.option("--stop-at-target", is_flag=True, default=None, help="A run ends at its target.")
@click.option(
    "--control", type=Words(PROPOSERS), help="The arm the others are held against.  [default: none]"
)
@click.option("--jobs", type=int, help="Runs at once.  [default: one for each core]")
@click.option("--convention", help="A convention of the problem; see `pipeline problems`.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="For all arms.")
@click.option("--figure", metavar="FILE.svg", help="Draw the best score over CPU seconds.")
@click.option("-o", "--output", metavar="FILE.md", help="Write the table as Markdown.")
@problem_option
@quiet_option
@runs_option
@json_option
def compare(what: tuple[str, ...], **options: Any) -> None:
    """Compare ways of searching at equal compute.

    \b
    pipeline compare isosceles --n 40,48 --arms model,none --seeds 6
    pipeline compare SPEC.toml     the same from a file, with arms of one's own
    pipeline compare RUN RUN ...   finished runs

    Each arm plays each size with each rng seed on one core until its CPU seconds are used. The
    same command again goes on where it stopped. A SPEC holds problem, n, seeds,
    budget_cpu_seconds, target (one, or {40 = 70, 48 = 84}), stop_at_target, control, [settings]
    for all arms and [arms.NAME] for each.
    """
    from pipeline.storage.run import write_file

    outputs = {key: _writable(options[key], key) for key in ("figure", "output") if options[key]}
    story = _from_runs(what, options) if _are_runs(what) else _from_plan(what[0], options)
    if story["panels"]:
        if "figure" in outputs:
            write_file(outputs["figure"], _figure(story).encode())
        if "output" in outputs:
            write_file(outputs["output"], _markdown(story).encode())
    if options["as_json"]:
        print_json(_as_json(story))
    else:
        _print(story)
    _leave(story)


def _leave(story: dict[str, Any]) -> None:
    """Say what is missing, and end with the exit code for it."""
    from pipeline.report.terminal import console

    err = console(stderr=True)
    if story["interrupted"]:
        err.print("stopped; finished runs are kept. Go on with the same command:")
        err.print(f"  {_command()}", soft_wrap=True, markup=False)
        sys.exit(130)
    if story["failed"]:
        again = "the same command tries them again"
        err.print(f"{len(story['failed'])} of {story['planned']} runs failed; {again}")
        sys.exit(1)


def _command() -> str:
    return shlex.join(["pipeline", *words()])


# ------------------------------------------------------------------------ what is compared


def _are_runs(what: tuple[str, ...]) -> bool:
    """Tell whether the words name finished runs.

    Raises:
        UsageError: a mixture, or a single run.
    """
    from pipeline.problem import problem_names

    specs = [word for word in what if word.endswith(".toml")]
    runs = [word for word in what if Path(word, "run.json").is_file()]
    if len(what) > 1:
        others = specs + [w for w in what if w in problem_names() and w not in runs]
        if others:
            raise UsageError(
                f"{others[0]} goes alone: name a problem, a SPEC.toml, or two finished runs or more"
            )
        return True
    if runs:
        raise UsageError(f"{runs[0]} is a run; name two runs or more to compare them")
    return False


def _from_plan(word: str, options: dict[str, Any]) -> dict[str, Any]:
    """Carry a plan out, or go on with it, and return what came of it."""
    from pipeline.executors.local import cores
    from pipeline.plugins import named_in_data
    from pipeline.storage.run import runs_root

    plan = _plan(word, options)
    jobs = options["jobs"] if options["jobs"] is not None else cores()
    if jobs < 1:
        raise UsageError(f"--jobs {jobs}: name a number from 1")
    typed = options["problem"] if word.endswith(".toml") else plan.problem
    convention = plan.settings.get("convention") or None
    plugin = named_in_data(plan.problem, convention, word, typed)
    if plugin.plugin:  # it may have moved: the runs are given the file that was typed
        plan = replace(plan, problem=plugin.plugin)
    cells = plan.cells(plugin)
    folder = runs_root(options["runs"]) / plan.folder(plugin.name)
    progress = progress_console()
    if not options["as_json"]:
        echo(str(folder))
    from pipeline.benchmarking.experiment import at_equal_compute, carry_out

    with _Progress(progress, plan.cpu_seconds + _START, jobs) as live:
        results, failures = carry_out(cells, folder, plugin, jobs, live.report, live.stopping)
    names = [arm.name for arm in plan.arms]
    cut, _, warnings = at_equal_compute(results, [plan.cpu_seconds for _ in results])
    if plan.settings.get("compute", {}).get("device", "cpu") != "cpu":
        warnings.append("not at equal compute: what a GPU does costs no CPU seconds")
    return {
        "folder": str(folder),
        "budget_cpu_seconds": plan.cpu_seconds,
        "failed": failures,
        "interrupted": live.stopping(),
        "planned": len(cells),
    } | _story(plugin, cut, names, plan.control, plan.goal, warnings)


def _plan(word: str, options: dict[str, Any]) -> Any:
    """Return the plan that a problem or a SPEC and the options make up.

    Raises:
        UsageError: whatever is wrong with it.
    """
    from pipeline.benchmarking.experiment import plan_from
    from pipeline.config import read_toml, with_setting

    spec = existing_file(word) if word.endswith(".toml") else None
    data: dict[str, Any] = read_toml(spec) if spec else {"problem": word}
    if options["n"] is not None:
        try:
            data["n"] = parse_sizes(options["n"])
        except UsageError as error:
            raise UsageError(str(error).replace("--sizes", "--n")) from None
    if spec is None and "n" not in data:
        raise UsageError(f"name a size, as in: pipeline compare {word} --n 40")
    for key in ("seeds", "budget_cpu_seconds", "target", "stop_at_target", "control"):
        if options[key] is not None:
            data[key] = options[key]
    if options["arms"] is not None:
        data["arms"] = _chosen(options["arms"], data.get("arms"))
    if options["convention"] is not None:
        options["settings"] += (f"convention={options['convention']}",)
    for setting in options["settings"]:
        with_setting(data.setdefault("settings", {}), setting)
    return plan_from(data, word if spec else "the options", spec.parent if spec else None)


def _chosen(text: str, described: object) -> object:
    """Return the arms that ``--arms`` names, with what a SPEC says of them.

    Raises:
        UsageError: one is neither described nor built in, or is there twice.
    """

    names = [name.strip() for name in text.split(",")]
    told = described if isinstance(described, dict) else {}
    known = {*told, *PROPOSERS}
    for name in names:
        if name not in known:
            raise UsageError(f"unknown arm {name!r}{nearest(name, known)}")
        if names.count(name) > 1:
            raise UsageError(f"arm {name!r} is there twice; name each arm once")
    return {name: told.get(name, {}) for name in names}


def _from_runs(what: tuple[str, ...], options: dict[str, Any]) -> dict[str, Any]:
    """Compare finished runs.

    Raises:
        UsageError: runs of several problems or conventions, or twice the same.
    """
    from pipeline.benchmarking.experiment import (
        arm_names,
        at_equal_compute,
        check_pairs,
        control_of,
        result_of,
    )
    from pipeline.cli.common import problem_of

    for key in _OF_A_PLAN:
        if options[key] not in (None, ()):
            name = "set" if key == "settings" else key.replace("_", "-")
            raise UsageError(f"--{name} goes with a problem or a SPEC.toml, not with finished runs")
    runs = [open_run(word, options["runs"]) for word in what]
    plugin = problem_of(runs[0], options["problem"])
    for run in runs[1:]:
        other = problem_of(run, options["problem"])
        if (type(other), other.convention) != (type(plugin), plugin.convention):
            raise UsageError(
                f"{run.path} is of {other.name} ({other.convention}), {runs[0].path} of "
                f"{plugin.name} ({plugin.convention}); only runs of the same can be compared"
            )
    configs = [run.config for run in runs]
    labels = arm_names(configs)
    results = [result_of(run, plugin, arm) for run, arm in zip(runs, labels, strict=True)]
    check_pairs(results)
    names = list(dict.fromkeys(labels))
    control = control_of(names, options["control"] or "")
    budgets = [config.budget.cpu for config in configs]
    cut, budget, warnings = at_equal_compute(results, budgets)
    return {
        "folder": None,
        "budget_cpu_seconds": budget if math.isfinite(budget) else None,
        "failed": [],
        "interrupted": False,
        "planned": len(runs),
    } | _story(plugin, cut, names, control, lambda n: options["target"] or 0, warnings)


def _story(
    plugin: Any, results: Any, arms: list[str], control: str, target: Any, warnings: Any
) -> dict[str, Any]:
    """Return what is told about results in every form."""
    from pipeline.benchmarking.experiment import panel

    panels = []
    for n in sorted({result.n for result in results}):
        known = plugin.known(n)
        goal = target(n) or (None if known is None else known.value)
        panels.append(panel(results, n, arms, control, goal))
    return {
        "problem": plugin.name,
        "convention": plugin.convention,
        "label": plugin.name + ("" if len(plugin.conventions) == 1 else f" ({plugin.convention})"),
        "arms": arms,
        "control": control,
        "panels": panels,
        "warnings": warnings,
        "command": _command(),
    }


def _writable(text: str, option: str) -> Path:
    """Return a path that can be written to, found out before anything is played.

    Raises:
        UsageError: it cannot, or its name ends otherwise than what is written.
    """
    path, ending = Path(text), {"figure": ".svg", "output": ".md"}[option]
    name = {"figure": "--figure", "output": "-o"}[option]
    if path.suffix != ending:
        raise UsageError(f"{name} {text}: what is written there is {ending}; name it so")
    return writable(name, path)


# ----------------------------------------------------------------------------- what is told


def _headers(panel: Any) -> list[str]:
    reached = "reached" if panel.target is None else f"reached {panel.target}"
    cpu = "CPU s" if panel.bar is None else f"CPU s to {panel.bar}"
    return ["arm", "best", "median", "min-max", reached, cpu, "ahead", "tied", "behind"]


def _row(standing: Any) -> list[str]:
    scores, pairs = standing.scores, standing.pairs
    cpu = "-" if math.isinf(standing.cpu_to_bar) else f"{standing.cpu_to_bar:.1f}"
    return [
        standing.arm,
        str(max(scores)),
        f"{standing.median:g}",
        f"{min(scores)}-{max(scores)}",
        "-" if standing.reached is None else f"{standing.reached} of {len(scores)}",
        cpu,
        *(["", "", ""] if pairs is None else map(str, (pairs.ahead, pairs.tied, pairs.behind))),
    ]


def _title(story: dict[str, Any], n: int) -> str:
    return f"{story['label']}, n={n}"


def _sentences(story: dict[str, Any]) -> list[tuple[int | None, str]]:
    """Return each verdict with its size, None for all sizes together."""
    from pipeline.benchmarking.experiment import verdict, verdicts

    return [
        (n, ("" if n else "all sizes: ") + verdict(arm, story["control"], pairs))
        for n, arm, pairs in verdicts(story["panels"], story["control"])
    ]


def _notes(story: dict[str, Any]) -> list[str]:
    """Return how the verdicts were come by, and what weakens them."""
    from pipeline.benchmarking.experiment import Pairs

    count, control = len(_sentences(story)), story["control"]
    method = (
        f"Pairs of the same rng seed against {control}: the higher best is ahead; of the same "
        "best, the one reached in less than 0.8 of the CPU time. Exact two-sided sign test, ties "
        f"left out: fewer than {Pairs().missing} pairs that are not tied decide nothing at p < 0.05"
    )
    several = f"; no correction for the {count} comparisons made" if count > 1 else ""
    return [f"{method}{several}.", *(f"warning: {text}" for text in story["warnings"])]


def _print(story: dict[str, Any]) -> None:
    from rich.table import Table

    from pipeline.report.terminal import console

    out = console()
    if not story["panels"]:
        out.print("no run has finished yet")
        return
    sentences = _sentences(story)
    for panel in story["panels"]:
        out.print(f"\n{_title(story, panel.n)}", style="bold", markup=False)
        table = Table(box=None, pad_edge=False, header_style="bold")
        for i, name in enumerate(_headers(panel)):
            head = name.replace("reached ", "reached\n").replace(" to ", "\nto ")
            table.add_column(
                head, justify="right" if i else "left", overflow="fold", no_wrap=bool(i)
            )
        for standing in panel.standings:
            table.add_row(*_row(standing))
        out.print(table)
        for n, text in sentences:
            if n == panel.n:
                out.print(text, markup=False)
    together = [text for n, text in sentences if n is None]
    if together:
        out.print()
    for text in together:
        out.print(text, markup=False)
    out.print()
    for text in _notes(story):
        out.print(text, markup=False)


def _markdown(story: dict[str, Any]) -> str:
    """Return the tables and verdicts with the command that made them."""
    sentences = _sentences(story)
    lines = [f"    {story['command']}", ""]
    for panel in story["panels"]:
        heads = _headers(panel)
        lines += [f"{_title(story, panel.n)}:", ""]
        lines += [_cells(heads), _cells(["---"] + ["---:"] * (len(heads) - 1))]
        lines += [_cells(_row(standing)) for standing in panel.standings]
        lines += ["", *(f"- {text}" for n, text in sentences if n == panel.n), ""]
    together = [f"- {text}" for n, text in sentences if n is None]
    lines += [*together, ""] if together else []
    budget = story["budget_cpu_seconds"]
    each = f"{budget:g} CPU seconds on one core for each run. " if budget else ""
    return "\n".join([*lines, each + " ".join(_notes(story)), ""])


def _cells(texts: list[str]) -> str:
    return f"| {' | '.join(text.replace('|', chr(92) + '|') for text in texts)} |"


def _as_json(story: dict[str, Any]) -> dict[str, Any]:
    from pipeline.benchmarking.experiment import verdict, verdicts

    judged = [
        {
            "n": n,
            "arm": arm,
            "control": story["control"],
            "ahead": pairs.ahead,
            "tied": pairs.tied,
            "behind": pairs.behind,
            "p": pairs.p,
            "test": "exact two-sided sign test",
            "verdict": pairs.word,
            "missing_pairs": pairs.missing,
            "text": verdict(arm, story["control"], pairs),
        }
        for n, arm, pairs in verdicts(story["panels"], story["control"])
    ]
    kept = ("folder", "command", "problem", "convention", "budget_cpu_seconds", "arms", "control")
    return {
        **{key: story[key] for key in kept},
        "sizes": [_panel_json(panel) for panel in story["panels"]],
        "verdicts": judged,
        "warnings": story["warnings"],
        "failed": [
            {"arm": cell.arm, "n": cell.n, "seed": cell.seed, "error": error}
            for cell, error in story["failed"]
        ],
        "planned": story["planned"],
        "interrupted": story["interrupted"],
    }


def _panel_json(panel: Any) -> dict[str, Any]:
    return {
        "n": panel.n,
        "target": panel.target,
        "control_median_best": panel.bar,
        "arms": [
            {
                "arm": standing.arm,
                "best": max(standing.scores),
                "median": standing.median,
                "min": min(standing.scores),
                "max": max(standing.scores),
                "reached": standing.reached,
                "cpu_to_control_median_best": None
                if math.isinf(standing.cpu_to_bar)
                else standing.cpu_to_bar,
                "runs": [
                    {
                        "seed": result.seed,
                        "score": result.score,
                        "cpu": result.cpu,
                        "trace": [step._asdict() for step in result.trace],
                        "run": result.run,
                        "revision": result.revision,
                    }
                    for result in standing.results
                ],
            }
            for standing in panel.standings
        ],
    }


def _figure(story: dict[str, Any]) -> str:
    from pipeline.benchmarking.experiment import curve
    from pipeline.report.curves import Chart, Line, curves_svg

    charts = []
    for panel in story["panels"]:
        used = max(r.cpu for standing in panel.standings for r in standing.results)
        end = story["budget_cpu_seconds"] or used
        lines = [Line(s.arm, curve(s.results, end)) for s in panel.standings]
        charts.append(Chart(_title(story, panel.n), lines, panel.target))
    return curves_svg(charts, "best score over CPU seconds: median and range over rng seeds")


# ------------------------------------------------------------------------------ while it goes


class _Progress:
    """A bar with an ETA in a terminal, a line for each run elsewhere; Ctrl-C asks to stop."""

    def __init__(self, console: Any, expected: float, jobs: int) -> None:
        """Take the seconds that a run is expected to last, and how many are played at once."""
        self._console = console
        self._expected, self._jobs = expected, jobs
        self._lasted: list[float] = []
        self._done, self._total, self._said = 0, 0, time.monotonic()
        self._asked = False
        self._bars: Any = None
        self._task: Any = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "_Progress":
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._on_signal)
        if self._console.is_terminal:
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
            )

            self._bars = Progress(
                TextColumn("runs"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("ETA {task.fields[eta]}"),
                TextColumn("{task.fields[note]}", markup=False),
                console=self._console,
                transient=True,
            )
            self._task = self._bars.add_task("runs", total=None, eta="-", note="")
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _on_signal(self, _number: int, _frame: Any) -> None:
        self._asked = True

    def stopping(self) -> bool:
        """Tell whether the user has asked to stop."""
        return self._asked

    def report(self, event: str, **particulars: Any) -> None:
        """Take an event of what is carried out."""
        getattr(self, f"_on_{event}")(**particulars)

    def _on_kept(self, done: int, total: int) -> None:
        self._done, self._total = done, total
        if done:
            self._console.print(f"{done} of {total} runs are there already")

    def _on_begun(self, cell: Any) -> None:
        if self._bars is not None:
            self._bars.update(self._task, note=_words_of(cell))

    def _on_done(self, cell: Any, result: Any, seconds: float) -> None:
        self._ended(seconds)
        text = f"{self._done}/{self._total} {_words_of(cell)}: best {result.score}"
        self._console.print(f"{text}, {result.cpu:.1f} CPU s ({seconds:.0f} s)", markup=False)

    def _on_failed(self, cell: Any, error: str, seconds: float) -> None:
        self._ended(seconds)
        text = f"{self._done}/{self._total} {_words_of(cell)} failed: {error}"
        self._console.print(text, soft_wrap=True, markup=False)

    def _ended(self, seconds: float) -> None:
        self._done += 1
        self._lasted.append(seconds)

    def _on_tick(self, waiting: int, playing: list[float]) -> None:
        from pipeline.cli.solve import readable_seconds

        guess = max([self._expected, *playing])
        lasts = sum(self._lasted) / len(self._lasted) if self._lasted else guess
        left = waiting * lasts + sum(max(lasts - seconds, 0.0) for seconds in playing)
        eta = readable_seconds(left / min(self._jobs, max(waiting + len(playing), 1)))
        if self._bars is not None:
            self._bars.update(self._task, completed=self._done, total=self._total, eta=eta)
        elif (waiting or playing) and time.monotonic() - self._said > _LINE_EVERY:
            self._said = time.monotonic()
            self._console.print(f"{self._done}/{self._total} runs, ETA {eta}")


def _words_of(cell: Any) -> str:
    return f"{cell.arm}, n={cell.n}, rng seed {cell.seed}"

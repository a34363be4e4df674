"""pipeline solve: the exact optimum by exhaustive search, or bounds when the time is up."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from pipeline.cli.common import (
    json_option,
    parse_time,
    print_json,
    progress_console,
    quiet_option,
    writable,
)
from pipeline.cli.help import CLASSES, Words
from pipeline.errors import UsageError

_BEFORE_ETA = 0.002  # of the work; before that an estimate is worth nothing
_LINE_EVERY = 10.0  # seconds between lines where there is no terminal


@click.command()
@click.argument("problem")
@click.option("--n", type=int, help="The size, such as the side of the grid.")
@click.option(
    "--time", "time_", help="Stop with bounds after this time, as 90, 2m or 1h.  [default: never]"
)
@click.option(
    "--symmetry", type=Words(CLASSES), default="trivial", help="Only sets with this symmetry."
)
@click.option("--convention", help="A convention of the problem; see `pipeline problems`.")
@click.option("--workers", type=int, default=0, help="Processes.  [default: one for each core]")
@click.option("--all", "all_", is_flag=True, help="Find every set of the largest size, and count.")
@click.option(
    "--inequivalent", is_flag=True, help="With --all and -o: one set of each symmetry class."
)
@click.option("-o", "--output", metavar="FILE", help="Write the set as JSON, for `verify`.")
@quiet_option
@json_option
def solve(
    problem: str,
    n: int | None,
    time_: str | None,
    symmetry: str,
    convention: str | None,
    workers: int,
    all_: bool,
    inequivalent: bool,
    output: str | None,
    as_json: bool,
) -> None:
    """Find the largest set, and prove that it is the largest.

    PROBLEM is a name (see `pipeline problems`) or a plugin, as in ./mine.py:MyProblem. Stopped by
    --time or Ctrl-C (exit code 130), it prints bounds on the largest size.

    --all finds every set of that size, counts them up to symmetry and lists their stabilisers; if a
    problem has degree constraints (such as two points in each row), every set that meets them. This
    is feasible only for small n: it breaks no symmetry and uses one core.
    """
    if n is None:
        raise UsageError(f"name a size, as in: pipeline solve {problem} --n 8")
    if workers < 0:
        raise UsageError(f"--workers {workers}: name a number from 1, or 0 for one for each core")
    if inequivalent and not all_:
        raise UsageError("--inequivalent goes with --all")
    seconds = parse_time(time_) if time_ else float("inf")
    path = _writable(output) if output else None
    from pipeline.plugins import load_problem, problem_spec
    from pipeline.problem import check_objective
    from pipeline.report.terminal import console
    from pipeline.storage.construction_files import as_json as construction

    plugin = load_problem(problem, convention)
    check_objective(plugin, problem, n)
    plugin.ground(n)
    progress = progress_console()
    progress.print("loading (the first time also compiling, about twenty seconds)")
    from pipeline.plugin_check import check_first_use

    check_first_use(plugin)
    from pipeline.engine.exact import Question, solve
    from pipeline.executors import make_executor
    from pipeline.storage.files import write_file

    spec = problem_spec(problem)
    question = Question(spec, plugin.convention, n, symmetry)
    executor = make_executor(workers)
    with _Progress(progress) as bar:
        try:
            if all_:
                from pipeline.cli.every import every

                def prove(limit: float) -> Any:
                    return solve(question, executor, limit, bar.report)

                found, cells = every(plugin, question, seconds, prove, progress)
            else:
                answer = solve(question, executor, seconds, bar.report)
        finally:
            executor.close()
    if all_:
        _finish_all(plugin, found, cells, inequivalent, path, as_json)
        return
    found = construction(plugin, spec, n, answer.cells)
    if path:
        write_file(path, (json.dumps(found) + "\n").encode())
    if as_json:
        print_json(
            found
            | {
                "symmetry": symmetry,
                "lower": answer.lower,
                "upper": answer.upper,
                "proved": answer.proved,
                "nodes": answer.nodes,
                "seconds": round(answer.seconds, 3),
                "method": answer.method,
                "symmetry_broken": answer.broken,
                "interrupted": answer.interrupted,
            }
        )
    else:
        _print(plugin, n, symmetry, answer, console())
    if answer.interrupted:
        sys.exit(130)


def _finish_all(
    plugin: Any, found: dict[str, Any], cells: Any, inequivalent: bool, path: Any, as_json: bool
) -> None:
    """Print or write every set that was found, and leave with the exit code for it."""
    from pipeline.cli.every import print_every, rows_of
    from pipeline.engine.equivalence_classes import equivalence_classes
    from pipeline.report.exporting import to_json
    from pipeline.report.terminal import console
    from pipeline.storage.files import write_file

    n = found["n"]
    if path:
        kept = cells[equivalence_classes(cells, plugin.ground(n)).first] if inequivalent else cells
        write_file(path, to_json(rows_of(plugin, found["problem"], n, kept)).encode())
    if as_json:
        print_json(found)
    else:
        print_every(plugin, found, console())
    if found["interrupted"]:
        sys.exit(130)


def _writable(text: str) -> Path:
    """Return a path that can be written to, found out before anything else is done.

    Raises:
        UsageError: it cannot, or its name would have `verify` read it as something else.
    """
    path = Path(text)
    if path.suffix == ".parquet":
        raise UsageError(f"-o {text}: what is written is JSON; name it {path.with_suffix('.json')}")
    return writable("-o", path)


def _print(plugin: Any, n: int, symmetry: str, answer: Any, out: Any) -> None:
    """Print the set, what is proved about it, and its place beside the recorded value."""
    from pipeline.core.bitset import points
    from pipeline.report.drawing import drawn_text

    ground = plugin.ground(n)
    drawing = drawn_text(ground, points(answer.cells, ground.m))
    if drawing is not None and 2 * n - 1 <= out.width:
        out.print(drawing, markup=False)
        out.print()
    convention = "" if len(plugin.conventions) == 1 else f" ({plugin.convention})"
    claim = claim_text(answer, symmetry)
    out.print(f"{plugin.name}{convention}, n={n}: {claim}", soft_wrap=True, highlight=False)
    known = known_text(plugin.known(n), answer, symmetry)
    if known:
        out.print(known, soft_wrap=True, highlight=False)


def claim_text(answer: Any, symmetry: str) -> str:
    """Return what this program has shown, in one line, with how and at what cost."""
    among = "" if symmetry == "trivial" else f" with the symmetry {symmetry}"
    unit = "point" if answer.lower == 1 else "points"
    cost = f"{answer.nodes:,} nodes"
    cost += ", symmetry broken" if answer.broken else ""
    if answer.proved:
        return (
            f"maximum{among}: {answer.lower} {unit}, proved by this program's exhaustive search "
            f"({cost}, {answer.seconds:.1f} s)"
        )
    how = "at Ctrl-C" if answer.interrupted else "when the time was up"
    return (
        f"maximum{among}: {answer.lower} to {answer.upper} points; {answer.lower} verified, "
        f"bounds from this program's exhaustive search ({cost}), stopped {how} after "
        f"{answer.seconds:.1f} s"
    )


def known_text(known: Any, answer: Any, symmetry: str) -> str:
    """Return how that compares with the value on record; nothing where there is no comparison."""
    if known is None:
        return ""
    record = str(known)
    if known.proved and answer.lower > known.value:
        return f"this CONTRADICTS the value on record, {record}: the set above is larger"
    if symmetry != "trivial":
        return f"best known without a symmetry: {record}"
    if answer.upper < known.value:
        return f"this CONTRADICTS the value on record, {record}: no set is so large"
    if answer.lower > known.value:
        return f"{answer.lower - known.value} above the best known, {record}"
    return f"{'equal to the' if answer.lower == known.value else ''} best known, {record}".strip()


class _Progress:
    """A bar with an ETA in a terminal, a line now and then elsewhere."""

    def __init__(self, console: Any) -> None:
        self._console = console
        self._bars: Any = None
        self._task: Any = None
        self._stage, self._began, self._said = "", 0.0, time.monotonic()

    def __enter__(self) -> "_Progress":
        if self._console.is_terminal:
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            self._bars = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.percentage:>5.1f} %"),
                TimeElapsedColumn(),
                TextColumn("ETA {task.fields[eta]}"),
                TextColumn("{task.fields[note]}", markup=False),
                console=self._console,
                transient=True,
            )
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def report(self, stage: str, done: float, answer: Any) -> None:
        """Show how much of a stage is done, and what is known."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._began = stage, now
            if self._bars is not None:
                if self._task is not None:
                    self._bars.remove_task(self._task)
                self._task = self._bars.add_task(stage, total=1.0, eta="-", note="")
            else:
                self._console.print(stage)
        eta = "-"
        if done > _BEFORE_ETA:
            eta = readable_seconds((now - self._began) / done * (1 - done))
        note = f"{answer.lower} to {answer.upper}"
        if self._bars is not None:
            self._bars.update(self._task, completed=done, eta=eta, note=note)
        elif now - self._said > _LINE_EVERY:
            self._said = now
            self._console.print(f"{stage}: {100 * done:.1f} %, ETA {eta}, {note}")


def readable_seconds(seconds: float) -> str:
    """Write a duration as people do."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"

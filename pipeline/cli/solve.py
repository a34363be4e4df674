"""pipeline solve: the exact optimum by exhaustive search, or bounds when the time is up."""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from pipeline.cli.common import (
    json_option,
    parse_time,
    print_json,
    problem_argument,
    progress_console,
    quiet_option,
    size_of,
    writable,
)
from pipeline.cli.help import CLASSES, Words
from pipeline.errors import UsageError


@click.command()
@problem_argument
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
    """Find the largest set, or the heaviest, and prove that it is.

    PROBLEM is a name (see `pipeline problems`) or a plugin, as in ./mine.py:MyProblem; or give the
    forbidden sets in a file, with --hypergraph. Stopped by --time or Ctrl-C (exit code 130), it
    prints bounds on the largest size.

    --all finds every set of that size, counts them up to symmetry and lists their stabilisers; if a
    problem has degree constraints (such as two points in each row), every set that meets them. This
    is feasible only for small n: it breaks no symmetry and uses one core.
    """
    if n is None:
        n = size_of(problem, "solve", 8)
    if workers < 0:
        raise UsageError(f"--workers {workers}: name a number from 1, or 0 for one for each core")
    if inequivalent and not all_:
        raise UsageError("--inequivalent goes with --all")
    seconds = parse_time(time_) if time_ else float("inf")
    path = _writable(output) if output else None
    from pipeline.objective import check_bounded
    from pipeline.plugins import load_problem, problem_spec

    problem = problem_spec(problem)
    plugin = load_problem(problem, convention)
    check_bounded(plugin, problem, n)
    plugin.ground(n)
    progress = progress_console()
    progress.print("loading (the first time also compiling, about twenty seconds)")
    from pipeline.plugin_check import check_first_use

    check_first_use(plugin)
    from pipeline.engine.exact import Question, solve
    from pipeline.executors import make_executor
    from pipeline.report.bar import Bar

    question = Question(problem, plugin.convention, n, symmetry)
    executor = make_executor(workers)
    with Bar(progress) as bar:

        def report(stage: str, done: float, answer: Any) -> None:
            if stage != bar.title:
                bar.begin(stage)
            bar.show(done, f"{answer.lower} to {answer.upper}")

        def prove(limit: float) -> Any:
            return solve(question, executor, limit, report)

        try:
            if all_:
                from pipeline.cli.every import every

                every_set = every(plugin, question, seconds, prove, progress)
                finish = partial(_finish_all, plugin, *every_set, inequivalent)
            else:
                finish = partial(_finish_one, plugin, question, prove(seconds))
        finally:
            executor.close()
    if finish(path, as_json):
        sys.exit(130)


def _finish_one(plugin: Any, question: Any, answer: Any, path: Path | None, as_json: bool) -> bool:
    """Print or write the set that was found, and tell whether the user stopped the search."""
    from pipeline.report.terminal import console
    from pipeline.storage.construction_files import as_json as construction
    from pipeline.storage.files import write_file

    found = construction(plugin, question.problem, question.n, answer.cells)
    if path:
        write_file(path, (json.dumps(found) + "\n").encode())
    if as_json:
        names = ("lower", "upper", "proved", "nodes", "method", "interrupted")
        proof = {name: getattr(answer, name) for name in names}
        proof |= {"seconds": round(answer.seconds, 3), "symmetry_broken": answer.broken}
        print_json(found | {"symmetry": question.symmetry} | proof)
    else:
        _print(plugin, question.n, question.symmetry, answer, console())
    return answer.interrupted


def _finish_all(
    plugin: Any,
    found: dict[str, Any],
    cells: Any,
    inequivalent: bool,
    path: Path | None,
    as_json: bool,
) -> bool:
    """Print or write every set that was found, and tell whether the user stopped the search."""
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
    return found["interrupted"]


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
        out.print(drawing)
        out.print()
    convention = "" if len(plugin.conventions) == 1 else f" ({plugin.convention})"
    claim = claim_text(plugin, answer, symmetry)
    out.say(f"{plugin.name}{convention}, n={n}: {claim}")
    known = known_text(plugin.known(n), answer, symmetry)
    if known:
        out.say(known)


def claim_text(plugin: Any, answer: Any, symmetry: str) -> str:
    """Return what this program has shown, in one line, with how and at what cost."""
    among = "" if symmetry == "trivial" else f" with the symmetry {symmetry}"
    found = plugin.score_text(answer.lower)
    cost = f"{answer.nodes:,} nodes"
    cost += ", symmetry broken" if answer.broken else ""
    if answer.proved:
        return (
            f"maximum{among}: {found}, proved by this program's exhaustive search "
            f"({cost}, {answer.seconds:.1f} s)"
        )
    how = "at Ctrl-C" if answer.interrupted else "when the time was up"
    between = f"{found} to {answer.upper}"
    if plugin.objective == "size":
        between = f"{answer.lower} to {plugin.score_text(answer.upper)}"
    return (
        f"maximum{among}: {between}; {answer.lower} verified, "
        f"bounds from this program's exhaustive search ({cost}), stopped {how} after "
        f"{answer.seconds:.1f} s"
    )


def known_text(known: Any, answer: Any, symmetry: str) -> str:
    """Return how that compares with the value on record; nothing where there is no comparison."""
    if known is None:
        return ""
    record = str(known)
    if known.proved and answer.lower > known.value:
        return f"this CONTRADICTS the value on record, {record}: the set above is better"
    if symmetry != "trivial":
        return f"best known without a symmetry: {record}"
    if answer.upper < known.value:
        return f"this CONTRADICTS the value on record, {record}: no set is so good"
    if answer.lower > known.value:
        return f"{answer.lower - known.value} above the best known, {record}"
    return f"{'equal to the' if answer.lower == known.value else ''} best known, {record}".strip()

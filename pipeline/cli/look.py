"""Commands that look at runs: ls, show, hist, best."""

from pathlib import Path
from typing import Any

import click

from pipeline.cli.common import (
    Target,
    echo,
    json_option,
    open_run,
    print_json,
    problem_of,
    runs_option,
    target_options,
)

#: Points that are written out, where there is no board.
_SHOWN = 200


@click.command()
@runs_option
@json_option
def ls(runs: str | None, as_json: bool) -> None:
    """List the runs, oldest first.

    The columns are state, rounds, best score, running time and size on disk. A run is running, done
    (its budget is used or its target reached), stopped (`pipeline resume` continues it) or damaged.
    """
    from pipeline.storage.finding import runs_root
    from pipeline.storage.listing import UNBOUNDED, listing

    root = runs_root(runs)
    rows = listing(root)
    for row in rows:
        if "error" in row:
            echo(f"damaged: {row['error']}", err=True)
    if as_json:
        print_json({"runs": rows})
        return
    if not rows:
        echo(f"no runs in {root}; start one with: pipeline run isosceles --n 16")
        return
    from rich.text import Text

    from pipeline.core.memory import readable
    from pipeline.report.terminal import console, span, table

    heads = ("run", "problem", "state", "rounds>", "best>", "time>", "size>")
    made = table(*heads, whole=["run", "state"])
    for row in rows:
        name, state, size = Text(row["run"]), row["state"], readable(row["bytes"])
        if "error" in row:
            made.add_row(name, "-", state, "-", "-", "-", size)
            continue
        rounds = "-" if row["rounds"] is None else str(row["rounds"])
        if state != "done" and row["of"] < UNBOUNDED:
            rounds += f" of {row['of']}"
        # Of a plugin's path the file and the class say enough; --json has all of it.
        problem = Text(f"{Path(row['problem']).name}, n={row['n']}")
        best = "-" if row["best"] is None else str(row["best"])
        made.add_row(name, problem, state, rounds, best, span(row["seconds"]), size)
    console().print(made)


@click.command()
@target_options("RUN", pick=True)
def show(target: Target, as_json: bool) -> None:
    """Show a run: its command, its rounds, its best construction.

    --rank and --id pick another construction. RUN is a path, a unique prefix of its name, or
    latest. Of a problem of your own the best construction is shown with --problem FILE.py:CLASS;
    the rounds need no code.
    """
    from pipeline.report.terminal import console
    from pipeline.storage.collection import of_run

    opened = open_run(target.word, target.runs)
    plugin = _problem_if_allowed(opened, target)
    best = None
    if opened.rounds() and plugin is not None:
        held = of_run(opened, plugin)
        best = held.described(target.pick(held))
    notes = [event["text"] for event in opened.events() if event.get("event") == "note"]
    notes = list(dict.fromkeys(map(str, notes)))
    if as_json:
        rounds = [_stats(opened, plugin, k, opened.config.n) for k in opened.rounds()]
        info = {key: opened.info[key] for key in ("id", "problem", "n", "seed", "identity")}
        sessions = opened.info["sessions"]
        more = {"sessions": sessions, "rounds": rounds, "notes": notes, "best": best}
        print_json({**info, "path": str(opened.path), **more})
        return
    out = console()
    out.say(str(opened.path))
    for session in opened.info["sessions"]:
        command = " ".join(["pipeline", *session["command"]])
        out.say(f"{session['started']}  {command}")
        if not session["reproducible"]:
            out.say(f"not reproducible: {session['reason']}")
    for note in notes:
        out.say(note)
    for line in _busy(opened):
        out.say(line)
    if best is not None:
        print_summary(opened, plugin, best, out)
    elif opened.rounds():
        _print_rounds(opened, [opened.stats(k) for k in opened.rounds()], out)
        code = opened.config.problem
        out.say(f"as stored; its best is verified and shown by {code}: add --problem {code}")
    else:
        out.print(f"no finished round yet; run it with: pipeline resume {opened.name}")


def _busy(opened: Any) -> list[str]:
    """Say how busy the model and the search processes were, in the rounds that tell both."""
    rounds = [event for event in opened.events() if event.get("event") == "round"]
    shares = [(event.get("model_busy"), event.get("search_busy")) for event in rounds]
    both = [pair for pair in shares if all(isinstance(share, float) for share in pair)]
    if not both or not any(model for model, _ in both):
        return []
    model, search = (sum(part) / len(part) for part in zip(*both, strict=True))
    return [f"busy, of the time: the model {100 * model:.0f} %, search {100 * search:.0f} %"]


def _problem_if_allowed(opened: Any, target: Target) -> Any:
    """Return the problem of a run; None where it is a file of code that was not named.

    Raises:
        UsageError: one construction is asked for, which needs that code.
    """
    from pipeline.plugins import is_hypergraph, is_path

    spec = opened.config.problem
    is_code = is_path(spec) and not is_hypergraph(spec)
    if is_code and target.problem is None and not target.is_picked:
        return None
    return problem_of(opened, target.problem)


def _stats(opened: Any, plugin: Any, number: int, n: int) -> dict[str, Any]:
    """Return the statistics of a round, checked against its constructions where code may run."""
    from pipeline.storage.round_files import read_round

    return opened.stats(number) if plugin is None else read_round(opened, plugin, number, n)[0]


@click.command()
@click.option("--round", "round_", type=int, help="The round.  [default: the last]")
@target_options("RUN", n="The size.  [default: the one searched for]")
def hist(target: Target, round_: int | None, as_json: bool) -> None:
    """Draw the histogram of the scores of a round.

    Invalid samples and those of a wrong format have their own bars. RUN is a path, a unique prefix
    of its name, or latest.
    """
    from pipeline.errors import UsageError
    from pipeline.report.terminal import console, histogram, parts, statistics_table

    opened = open_run(target.word, target.runs)
    number = opened.last_round() if round_ is None else round_
    size = opened.config.n if target.n is None else target.n
    stats = _stats(opened, _problem_if_allowed(opened, target), number, size)
    found = parts(stats, size)
    if not found:
        there = ", ".join(stats["pool"])
        raise UsageError(f"round {number} has nothing of size {size}; it has {there}")
    if as_json:
        print_json({"run": opened.name, "round": number, "n": size, **dict(found)})
        return
    out = console()
    for what, distribution in found:
        out.print(histogram(distribution, what, f"round {number}, n={size}", out.width))
    out.print(statistics_table([stats], size))


@click.command()
@click.option("--convention", help="Of a PROBLEM: one of its conventions.  [default: its first]")
@target_options(
    "FILE|RUN|PROBLEM", n="The size.  [default, of a run: the one searched for]", pick=True
)
def best(target: Target, convention: str | None, as_json: bool) -> None:
    """Show the best construction of a run, a file or a problem.

    The construction is verified again. RUN is a path, a unique prefix of its name, or latest; FILE
    is any file that `verify` reads. With the name of a problem, and --n, all its runs are searched
    for the best.
    """
    from pipeline.errors import UsageError
    from pipeline.report.terminal import console

    if _is_problem(target.word):
        if target.is_picked or target.problem is not None:
            raise UsageError("--rank, --id and --problem go with a RUN or FILE, not with a PROBLEM")
        _best_of_problem(target, convention, as_json)
        return
    if convention is not None:
        raise UsageError("--convention goes with a PROBLEM; a run has its own")
    held = target.collection()
    found = held.described(target.pick(held))
    if held.run is not None:
        found |= {"run": held.run.name, "path": str(held.run.path)}
    if as_json:
        print_json(found)
    else:
        print_best(held.problem, found, console())


def _best_of_problem(target: Target, convention: str | None, as_json: bool) -> None:
    """Print the best construction of a problem in all its runs."""
    from pipeline.errors import UsageError
    from pipeline.plugins import load_problem
    from pipeline.publish.records import best_over_runs
    from pipeline.report.terminal import console
    from pipeline.storage.finding import runs_root

    what, n, err = target.word, target.n, console(stderr=True)
    if n is None:
        raise UsageError(
            f"{what} is a problem: name a size, as in: pipeline best {what} --n 16; for one run "
            f"write more of its name, as in: pipeline best {what}-n16 (see: pipeline ls)"
        )
    root, plugin = runs_root(target.runs), load_problem(what, convention)
    plugin.ground(n)
    for path in (root / what, Path(what)):
        if (path / "run.json").is_file():
            where = path if path.parent != Path() else f"./{path}"
            err.say(f"{what} is taken for the problem; for the run write {where}")
    found, survey = best_over_runs(plugin, what, n, root)
    for line in survey.damaged:
        err.say(f"left out: {line}")
    if as_json:
        print_json(found | {"runs": survey.runs})
        return
    print_best(plugin, found, console())
    many = "the one run" if survey.runs == 1 else f"{survey.runs:,} runs"
    console().say(f"best of {many} of {what}: {found['path']}")


def _is_problem(word: str) -> bool:
    """Tell whether a word names a problem: one that is installed, or FILE.py:CLASS."""
    from pipeline.plugins import problem_names

    return ".py:" in word or word.endswith(".py") or word in problem_names()


def print_summary(opened: Any, plugin: Any, found: dict[str, Any], out: Any) -> None:
    """Print the statistics of every round, the last histogram, and the best construction."""
    from pipeline.report.terminal import from_generator, imported
    from pipeline.storage.round_files import read_round

    read = [read_round(opened, plugin, k, opened.config.n) for k in opened.rounds()]
    rounds, pool = [stats for stats, _ in read], read[-1][1]
    _print_rounds(opened, rounds, out)
    for line in filter(None, (from_generator(pool, rounds[-1]), imported(pool))):
        out.say(f"{line}\n")
    print_best(plugin, found, out)


def _print_rounds(opened: Any, rounds: list[dict[str, Any]], out: Any) -> None:
    """Print the statistics of every round, and the last histogram."""
    from pipeline.report.terminal import histogram, parts, statistics_table

    out.print(statistics_table(rounds, opened.config.n))
    out.print()
    what, distribution = parts(rounds[-1], opened.config.n)[0]
    number = rounds[-1]["round"]
    out.print(histogram(distribution, what, f"round {number}, n={opened.config.n}", out.width))


def print_best(plugin: Any, found: dict[str, Any], out: Any) -> None:
    """Print a construction, its place beside the best known, and where it came from."""
    import numpy as np

    from pipeline.plugins import judge
    from pipeline.report.drawing import drawn_text

    ground = plugin.ground(found["n"])
    index = {tuple(row): v for v, row in enumerate(ground.coords.tolist())}
    points = np.array([index[tuple(point)] for point in found["points"]], dtype=np.int32)
    drawing = drawn_text(ground, points)
    if 2 * found["n"] - 1 > out.width:
        drawing = None
    if drawing is not None:
        out.print(drawing)
        out.print()
    convention = "" if len(plugin.conventions) == 1 else f" ({plugin.convention})"
    out.say(
        f"{plugin.name}{convention}, n={found['n']}: {plugin.score_text(found['score'])}, "
        f"verified{judge(plugin)}",
    )
    where = f"read from {found['file']}" if "file" in found else _origin(found)
    out.say(f"{_place(found)}; {where}")
    if drawing is None:
        out.say(_listed(found["points"]))


def _listed(points: list[list[int]]) -> str:
    """Write the coordinates of points, those of so many at most."""
    one = "{}" if all(len(point) == 1 for point in points) else "({})"
    shown = [one.format(", ".join(map(str, point))) for point in points[:_SHOWN]]
    return ", ".join(shown + ["..."] * (len(points) > _SHOWN))


def _place(found: dict[str, Any]) -> str:
    known, score = found["best_known"], found["score"]
    if known is None:
        return "no best known value on record for this size"
    words = filter(None, [found["best_known_source"], found["best_known_date"]])
    proved = ", proved optimal" if found["best_known_proved"] else ""
    source = f"{known} ({', '.join(words)}{proved})"
    if score > known:
        return f"{score - known} above the best known, {source}"
    return f"equal to the best known, {source}" if score == known else f"best known: {source}"


def _origin(found: dict[str, Any]) -> str:
    words = {
        "seed": "local search alone",
        "search": "local search",
        "generator": "search from a candidate",
    }
    if found["origin"] == "import":
        return "imported: from the file given with --start"
    descent = ", starting from the file given with --start" if found["imported"] else ""
    return f"found in round {found['round']} by {words[found['origin']]}{descent}"

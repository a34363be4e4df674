"""pipeline exchange: improve sets by exchanges of a few points, or show that there are none."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from pipeline.cli.common import (
    Target,
    echo,
    parse_time,
    print_json,
    progress_console,
    quiet_option,
    target_options,
    writable,
)
from pipeline.cli.help import CLASSES, Words
from pipeline.errors import UsageError

# Seconds of one piece of the work before it is worth a bar.
_PATIENCE = 1.0


@click.command()
@click.option(
    "--out",
    "most",
    type=click.IntRange(1),
    metavar="K",
    default=2,
    show_default=True,
    help="The most that is taken out: points, or orbits with --symmetry.",
)
@click.option(
    "--symmetry",
    type=Words(CLASSES),
    default="trivial",
    help="Exchange whole orbits of this class, of sets that have the symmetry.",
)
@click.option(
    "--top",
    type=click.IntRange(1),
    metavar="M",
    help="So many sets, best first.  [default: all of a FILE, the best of a RUN]",
)
@click.option("--time", "time_", help="Stop after this time, as 90, 2m or 1h.  [default: never]")
@click.option("-o", "--output", metavar="FILE", help="Write the sets as JSON, for `verify`.")
@quiet_option
@target_options(n="The size.  [default: of a RUN the one searched for]", pick=True)
def exchange(
    target: Target,
    most: int,
    symmetry: str,
    top: int | None,
    time_: str | None,
    output: str | None,
    as_json: bool,
) -> None:
    """Improve sets by exchanges, until all have been tried.

    A (k, k+1)-exchange takes k points out of a set and puts k + 1 in. All of up to K points are
    tried, without exception: either the set gets larger, again and again, or it is shown that no
    exchange of up to K for K + 1 exists, so that the set is locally optimal. Every set is verified
    before and after.

    With --symmetry the orbits of the class are exchanged as wholes, so that a small K reaches far;
    of several sets those without the symmetry are left out. Where points have weights, or orbits
    several sizes, any number may come in for the K, if they are worth more. FILE is any file that
    `verify` reads; RUN is a path, a unique prefix of its name, or latest. Stopped by --time or
    Ctrl-C (exit code 130) it says how far it came.
    """
    if target.is_picked and top is not None:
        raise UsageError("--top goes with neither --rank nor --id")
    deadline = time.monotonic() + parse_time(time_) if time_ else float("inf")
    path = writable("-o", Path(output)) if output else None
    chosen = list(_chosen(target, top))
    from pipeline.engine.exchange import check_exchangeable
    from pipeline.engine.exchange import exchange as search
    from pipeline.plugin_check import check_first_use
    from pipeline.report.bar import Bar
    from pipeline.report.exporting import to_json
    from pipeline.storage.files import write_file

    for held, _ in chosen:
        check_exchangeable(held.problem)
        check_first_use(held.problem)
    named = len(chosen)
    if named > 1 and symmetry != "trivial":
        chosen = _symmetric(chosen, symmetry)
    progress = progress_console()
    progress.print("loading (the first time also compiling, about a minute)")
    found, rows, lines = [], [], []
    with Bar(progress) as bar:
        for held, i in chosen:
            told = _Told(bar, len(chosen), len(found), sum(bool(o.steps) for o in found))
            limit = max(deadline - time.monotonic(), 0.0)
            cells = held.pool.cells[i]
            outcome = search(held.problem, held.n, cells, most, symmetry, limit, told)
            found.append(outcome)
            rows.append(_row(held, i, outcome))
            name = f"{i + 1}: " if len(chosen) > 1 else ""
            lines.append(name + _line(held.problem, rows[-1], outcome, most, symmetry))
            if outcome.stopped == "interrupt":
                break
    if path:
        sets = [{key: row[key] for key in _SET} for row in rows]
        text = json.dumps(sets[0]) + "\n" if named == 1 else to_json(sets)
        write_file(path, text.encode())
    interrupted, left = any(one.stopped == "interrupt" for one in found), named - len(found)
    if as_json:
        about = {"symmetry": symmetry, "out": most, "sets": rows, "left_out": left}
        print_json(about | {"interrupted": interrupted})
    else:
        for line in lines:  # not while there is a bar, which would take them for its own
            echo(line)
        if named > 1:
            improved = sum(bool(outcome.steps) for outcome in found)
            why = "at Ctrl-C" if interrupted else f"without the symmetry {symmetry}"
            more = f"; {left} left out, {why}" if left else ""
            echo(f"{improved} of {len(found)} sets improved{more}")
        elif found[0].steps:
            _show(chosen[0][0].problem, rows[0], found[0])
    if interrupted:
        sys.exit(130)


#: What `verify` reads of a row.
_SET = ("problem", "convention", "n", "score", "points", "imported")


def _chosen(target: Target, top: int | None) -> Iterator[tuple[Any, int]]:
    """Yield the constructions that are meant, verified: a collection and an index in it."""
    if target.is_picked:
        held = target.collection()
        yield held, target.pick(held)
        return
    for held in target.collections():
        many = top or (1 if held.run is not None else len(held.pool))
        for i in held.order[:many].tolist():
            yield held, i


def _symmetric(chosen: list[tuple[Any, int]], symmetry: str) -> list[tuple[Any, int]]:
    """Return those of several sets that have a symmetry.

    Raises:
        UsageError: none has.
    """
    from pipeline.core.symmetry import find_class
    from pipeline.engine.exchange import fitted

    kept, wrong = [], None
    for held, i in chosen:
        cls = find_class(held.problem.ground(held.n), symmetry)
        try:
            fitted(held.problem, held.n, held.pool.cells[i], cls)
        except UsageError as error:
            wrong = wrong or error
        else:
            kept.append((held, i))
    if wrong is not None and not kept:
        raise UsageError(f"none of {len(chosen)} sets has the symmetry {symmetry!r}") from wrong
    return kept


class _Told:
    """Draws how far a set is: a bar for each number that is taken out, or one for all sets."""

    def __init__(self, bar: Any, sets: int, done: int, improved: int) -> None:
        self._bar, self._sets, self._done, self._improved = bar, sets, done, improved
        self._stage, self._began = (0, 0), time.monotonic()
        if sets > 1 and not bar.title:
            bar.begin("sets", sets)

    def __call__(self, k: int, done: float, score: int) -> None:
        """Show the share that is done of the exchanges that take k out."""
        if self._sets > 1:
            self._bar.show(self._done, f"{self._improved} improved; {k} for {k + 1}")
            return
        now, title = time.monotonic(), f"exchanges of {k} for {k + 1}"
        if self._stage != (k, score):
            self._stage, self._began = (k, score), now
        took = now - self._began
        if took < _PATIENCE or not done:
            return
        if self._bar.title != title:
            self._bar.begin(title)
        self._bar.show(done, f"score {score}", took / done * (1 - done))


def _row(held: Any, i: int, outcome: Any) -> dict[str, Any]:
    """Return a set as it is in the end, and what led there."""
    from pipeline.storage.construction_files import as_json

    problem, n = held.problem, held.n
    coords = problem.ground(n).coords
    row = as_json(problem, held.spec, n, outcome.cells)
    return row | {
        "imported": bool(held.pool.imported[i]),
        "before": int(held.pool.score[i]),
        "steps": [
            {"out": coords[list(s.out)].tolist(), "in": coords[list(s.put_in)].tolist()}
            for s in outcome.steps
        ],
        "ruled_out": outcome.ruled_out,
        "complete": not outcome.stopped,
        "ways": outcome.ways,
        "searched": outcome.searched,
        "seconds": round(outcome.seconds, 3),
    }


def _line(plugin: Any, row: dict[str, Any], outcome: Any, most: int, symmetry: str) -> str:
    """Return what has been shown of a set, in one line."""
    from pipeline.plugins import judge

    many = len(outcome.steps)
    line = f"{plugin.name}, n={row['n']}: {plugin.score_text(outcome.score)}"
    if many:
        line += f", verified{judge(plugin)}; {row['before']} before, "
        line += f"{many} exchange{'s' * (many > 1)}"
    cost = f"{outcome.ways:,} sets to take out, {outcome.searched:,} of them searched"
    cost += f", {outcome.seconds:.1f} s"
    if not outcome.stopped:
        return f"{line}; {_none(most, outcome.alike, symmetry)} exists (exhaustive: {cost})"
    when = "at Ctrl-C" if outcome.stopped == "interrupt" else "when the time was up"
    shown = "nothing is ruled out"
    if outcome.ruled_out > 0:
        shown = f"{_none(outcome.ruled_out, outcome.alike, symmetry)} exists"
    far = f"stopped {when}, {100 * outcome.share:.0f} % of those of {outcome.ruled_out + 1} done"
    return f"{line}; {shown}; not exhaustive for {most}: {far} ({cost})"


def _none(k: int, alike: bool, symmetry: str) -> str:
    """Return what there is none of, in words."""
    orbits = "" if symmetry == "trivial" else f" orbits of {symmetry}"
    if alike:
        return f"no exchange of up to {k} for {k + 1}{orbits}"
    return f"no exchange of up to {k}{orbits or ' elements'} for others that count more"


def _show(plugin: Any, row: dict[str, Any], outcome: Any) -> None:
    """Print the exchanges of the one set there is, and draw it."""
    from pipeline.core.bitset import points
    from pipeline.report.drawing import drawn_text
    from pipeline.report.terminal import console

    for step in row["steps"]:
        echo(f"taken out {_places(step['out'])}; put in {_places(step['in'])}")
    ground, out = plugin.ground(row["n"]), console()
    drawing = drawn_text(ground, points(outcome.cells, ground.m))
    if drawing is not None and 2 * row["n"] - 1 <= out.width:
        out.print(drawing)
    known = plugin.known(row["n"])
    if known is not None:
        echo(f"best known: {known}")


def _places(points: list[list[int]]) -> str:
    return " ".join("(" + ", ".join(map(str, point)) + ")" for point in points) or "nothing"

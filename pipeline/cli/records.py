"""The command records: what is best known, and how far ours goes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from pipeline.cli.common import json_option, parse_sizes, print_json, runs_option


@click.command()
@click.argument("problem", required=False)
@click.option("--n", "sizes", help="Only these sizes, as 20:34 or 20,24.  [default: all]")
@click.option("--convention", help="One of the problem's conventions.  [default: each in turn]")
@runs_option
@json_option
def records(
    problem: str | None, sizes: str | None, convention: str | None, runs: str | None, as_json: bool
) -> None:
    """List the best known values, with their sources, beside ours.

    Ours are the certificates that come with this program (records/), and anything better in the
    runs on this disk. What was given to a run with --start, or found from it, is not ours: if it is
    better than ours, it has its own column. PROBLEM is a name (see `pipeline
    problems`) or a plugin, as in ./mine.py:MyProblem; without it, an overview of all installed
    problems.
    """
    from pipeline.errors import UsageError
    from pipeline.plugins import load_problem, problem_names
    from pipeline.publish.records import folder, table
    from pipeline.report.terminal import console
    from pipeline.storage.finding import runs_root

    if convention is not None and problem is None:
        raise UsageError("--convention: name its problem too, as in: pipeline records isosceles")
    chosen = None if sizes is None else parse_sizes(sizes, "--n")
    root, here, err, tables = runs_root(runs), folder(), console(stderr=True), []
    for spec in problem_names() if problem is None else [problem]:
        first = load_problem(spec, convention)
        for name in first.conventions if convention is None else [convention]:
            plugin = load_problem(spec, name)
            rows, survey = table(plugin, spec, root, chosen)
            for line in survey.damaged:
                err.say(f"left out: {line}")
            tables.append((plugin, rows))
    if here is None:
        err.print("this installation came without records/: ours are from the runs only")
    if as_json:
        print_json(
            {
                "records": None if here is None else str(here),
                "runs": str(root),
                "tables": [
                    {
                        "problem": plugin.name,
                        "convention": plugin.convention,
                        "title": plugin.title,
                        "rows": [row.as_json() for row in rows],
                    }
                    for plugin, rows in tables
                ],
            }
        )
        return
    if problem is None:
        _print_overview(tables, console())
        return
    for i, (plugin, rows) in enumerate(tables):
        if i:
            click.echo()
        _print(plugin, rows, here, console())


_SHORT = 6  # sizes that an overview names; of more it gives their number


def _print_overview(tables: Sequence[tuple[Any, Sequence[Any]]], out: Any) -> None:
    """Print a line for each problem: how many sizes are known, and where ours stands."""
    from pipeline.report.terminal import table

    names = ("n", "best known>", "proved>", "ours>", "equal>", "above>", "below, at n")
    made = table("problem", *names, whole=("problem", "n"))
    for plugin, rows in tables:
        if not rows:
            continue
        gaps = {row.n: row.gap for row in rows if row.gap is not None}
        below = [n for n, gap in gaps.items() if gap < 0]
        made.add_row(
            _name(plugin),
            f"{rows[0].n}-{rows[-1].n}" if len(rows) > 1 else str(rows[0].n),
            str(sum(row.best_known is not None for row in rows)),
            str(sum(row.proved for row in rows)),
            str(sum(row.ours is not None for row in rows)),
            str(sum(gap == 0 for gap in gaps.values())),
            str(sum(gap > 0 for gap in gaps.values())),
            f"{len(below)} sizes" if len(below) > _SHORT else ", ".join(map(str, below)),
        )
    out.print(
        "Numbers of sizes: with a best known value, proved, and with a construction of ours\n"
    )
    out.print(made)
    out.say("values, sources and files: name a problem, as in: pipeline records isosceles")


def _print(plugin: Any, rows: Sequence[Any], here: Path | None, out: Any) -> None:
    from pipeline.report.terminal import table

    out.print(f"{_name(plugin)}: {plugin.title}")
    if not rows:
        out.print("nothing is known for these sizes")
        return
    sources = {text: i for i, text in enumerate(dict.fromkeys(_source(r) for r in rows), start=1)}
    sources.pop("", None)
    foreign = any(row.imported is not None for row in rows)
    heads = ("n>", "best known>", "proved", "source", "ours>", "gap>")
    made = table(*heads, *(["imported>"] if foreign else []), "where")
    for row in rows:
        made.add_row(
            str(row.n),
            _or_dash(row.best_known),
            "proved" if row.proved else "",
            f"[{sources[_source(row)]}]" if row.source else "-",
            _or_dash(row.ours),
            _or_dash(row.gap),
            *([_or_dash(row.imported)] if foreign else []),
            {"record": "records", "run": Path(row.where).name, "": "-"}[row.held],
        )
    out.print(made)
    for text, i in sources.items():
        out.print(f"[{i}] {text}")
    if foreign:
        text = "imported: given with --start, or found from what was given; not counted as ours"
        out.say(text)
    if here is not None and any(row.held == "record" for row in rows):
        out.say(f"records: certificates in {here}")


def _name(plugin: Any) -> str:
    return plugin.name + (f" ({plugin.convention})" if len(plugin.conventions) > 1 else "")


def _source(row: Any) -> str:
    return ", ".join(filter(None, [row.source, row.date]))


def _or_dash(value: int | None) -> str:
    return "-" if value is None else str(value)

"""Counting up to symmetry: the command count, and how a census is printed."""

from collections.abc import Iterator
from typing import Any

import click

from pipeline.cli.common import (
    as_file,
    collection_of,
    json_option,
    named_problem,
    print_json,
    problem_option,
    runs_option,
)


@click.command()
@click.argument("target", metavar="FILE|RUN")
@click.option("--n", type=int, help="Which size.  [default, of a run: the one searched for]")
@problem_option
@runs_option
@json_option
def count(target: str, n: int | None, problem: str | None, runs: str | None, as_json: bool) -> None:
    """Count constructions up to symmetry, by score and stabiliser.

    Two are equivalent when a symmetry of the ground set takes one to the other. RUN (a path, a
    unique prefix of its name, or latest) stands for what its last round kept; FILE is whatever
    `verify` reads, such as `export` and `solve --all` write.
    """
    from pipeline.search.equivalence_classes import equivalence_classes

    groups = _groups(target, n, problem, runs)
    sizes = []
    for plugin, size, cells, scores in groups:
        ground = plugin.ground(size)
        counts = [
            {"score": score} | equivalence_classes(cells[scores == score], ground).as_json()
            for score in sorted(set(scores.tolist()), reverse=True)
        ]
        row = {"problem": plugin.name, "convention": plugin.convention, "n": size}
        sizes.append(row | {"scores": counts})
    if as_json:
        print_json({"where": target, "sizes": sizes})
        return
    from pipeline.report.terminal import console

    for row in sizes:
        _print(row, console())


def _groups(target: str, n: int | None, problem: str | None, runs: str | None) -> Iterator[Any]:
    """Yield (problem, size, cells, scores) of what is to be counted, no set twice."""
    from pipeline.core.bitset import first_of_each
    from pipeline.storage.collection import of_file

    path = as_file(target)
    if path is None:
        found = [collection_of(target, runs, problem, n)]
    else:
        found = of_file(path, named_problem(problem), n)
    for one in found:
        pool = one.pool.take(first_of_each(one.pool.cells))
        yield one.problem, one.n, pool.cells, pool.score


def _print(row: dict[str, Any], out: Any) -> None:
    from rich.table import Table

    out.print(f"{row['problem']} ({row['convention']}), n={row['n']}", markup=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("score", "constructions", "inequivalent"):
        table.add_column(name, justify="right")
    table.add_column("stabilisers of these")
    for line in row["scores"]:
        kinds = ", ".join(f"{k['name']} {k['inequivalent']:,}" for k in line["stabilisers"])
        many = (f"{line['constructions']:,}", f"{line['inequivalent']:,}")
        table.add_row(str(line["score"]), *many, kinds)
    out.print(table)


def census_table(found: dict[str, Any]) -> Any:
    """Return a line for each class of stabilisers, and one for all.

    Args:
        found: a census as JSON.
    """
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=True)
    table.add_column("stabiliser", footer="in all")
    table.add_column("order", justify="right")
    for key, name in (("inequivalent", "inequivalent"), ("constructions", "sets")):
        table.add_column(name, justify="right", footer=f"{found[key]:,}")
    for kind in found["stabilisers"]:
        many = (f"{kind['inequivalent']:,}", f"{kind['constructions']:,}")
        table.add_row(kind["name"], str(kind["order"]), *many)
    return table

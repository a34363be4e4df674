"""Counting up to symmetry: the command count, and how a census is printed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from pipeline.cli.common import json_option, open_run, print_json, problem_of, runs_option
from pipeline.errors import UsageError, VerificationError


@click.command()
@click.argument("target", metavar="FILE|RUN")
@click.option("--n", type=int, help="Which size.  [default, of a run: the one searched for]")
@runs_option
@json_option
def count(target: str, n: int | None, runs: str | None, as_json: bool) -> None:
    """Count constructions up to symmetry, by score and stabiliser.

    Two are equivalent when a symmetry of the ground set takes one to the other. RUN (a path, a
    unique prefix of its name, or latest) stands for what its last round kept; FILE is JSON or
    Parquet as `verify` reads it, such as `export` and `solve --all` write.
    """
    path = Path(target)
    if path.suffix in (".json", ".parquet") and not path.is_file():
        raise UsageError(f"no such file: {target}")
    from pipeline.census import census

    groups = _of_file(path, n) if path.is_file() else _of_run(target, n, runs)
    sizes = []
    for plugin, size, cells, scores in groups:
        ground = plugin.ground(size)
        counts = [
            {"score": score} | census(cells[scores == score], ground).as_json()
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


def _of_run(target: str, n: int | None, runs: str | None) -> Iterator[Any]:
    from pipeline.results import check_population, last_pool

    opened = open_run(target, runs)
    plugin = problem_of(opened)
    pool, where = last_pool(opened, plugin, n)
    check_population(plugin, pool, where)
    yield plugin, pool.n, pool.cells, pool.score


def _of_file(path: Path, n: int | None) -> Iterator[Any]:
    import numpy as np

    from pipeline.constructions import read_constructions
    from pipeline.packing import first_of_each

    found: dict[Any, list[Any]] = {}
    for one in read_constructions(path):
        witness = one.witness()
        if witness is not None:
            raise VerificationError(
                f"{one.where}: not valid; these points break the rule: {witness}"
            )
        if n is None or one.n == n:
            key = (one.problem.name, one.problem.convention, one.n)
            found.setdefault(key, []).append(one)
    if not found:
        size = "" if n is None else f" of size {n}"
        raise UsageError(f"{path} holds no construction{size}")
    for _, several in sorted(found.items(), key=lambda item: item[0]):
        problem, size = several[0].problem, several[0].n
        cells = np.concatenate([one.cells for one in several])
        cells = cells[first_of_each(cells)]
        yield problem, size, cells, np.asarray(problem.score(cells, size))


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

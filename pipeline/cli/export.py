"""The command export: what a run has found, for other programs."""

from pathlib import Path
from typing import Any

import click

from pipeline.cli.common import open_run, problem_of, runs_option

_LISTS, _PICTURES = ("json", "csv", "parquet", "lean-list"), ("svg", "tikz")


@click.command()
@click.argument("run_", metavar="RUN")
@click.option(
    "--format",
    "kind",
    type=click.Choice([*_LISTS, *_PICTURES]),
    help="svg and tikz draw the best one; the others list them.  [default: json]",
)
@click.option("--n", type=int, help="Which size.  [default: the one searched for]")
@click.option(
    "--top", type=click.IntRange(1), default=100, show_default=True, help="How many, best first."
)
@click.option("--inequivalent", is_flag=True, help="One of each class under the symmetry group.")
@click.option("-o", "file", metavar="FILE", help="Where to.  [default: standard output]")
@click.option("--force", is_flag=True, help="Replace FILE.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@runs_option
def export(
    run_: str,
    kind: str | None,
    n: int | None,
    top: int,
    inequivalent: bool,
    file: str | None,
    force: bool,
    as_json: bool,
    runs: str | None,
) -> None:
    """Write a run's last constructions for other programs.

    Every one is verified anew, and comes with its score, the round and origin it is from, and the
    order of its stabiliser. RUN is a path, a unique prefix of its name, or latest.
    """
    from pipeline.errors import UsageError
    from pipeline.report import exporting
    from pipeline.results import check_population, last_pool, metadata_of

    if as_json and kind not in (None, "json"):
        raise UsageError(f"--json and --format {kind}: name one of them")
    kind = kind or "json"
    if kind == "parquet" and file is None:
        raise UsageError("--format parquet: needs a file; add -o FILE.parquet")
    there = None if file is None else Path(file)
    if there is not None and (there.exists() and not force):
        raise UsageError(f"-o {file}: exists; add --force to replace it, or name another file")
    if there is not None and not there.absolute().parent.is_dir():
        raise UsageError(f"-o {file}: there is no folder {there.parent}; make it first")
    opened = open_run(run_, runs)
    plugin = problem_of(opened)
    pool, where = last_pool(opened, plugin, n)
    if inequivalent:
        pool = _one_of_each(plugin, pool)
    # The one drawn is the one that `pipeline best` shows.
    pool = pool.take([pool.best()]) if kind in _PICTURES else pool.top(top)
    check_population(plugin, pool, where)
    text = ""
    if kind != "parquet":
        rows, coords = _rows(plugin, opened.config.problem, pool), plugin.ground(pool.n).coords
        write: dict[str, Any] = {
            "json": lambda: exporting.to_json(rows),
            "csv": lambda: exporting.to_csv(rows),
            "lean-list": lambda: exporting.to_lean(rows),
            "svg": lambda: exporting.to_svg(rows[0], coords),
            "tikz": lambda: exporting.to_tikz(rows[0], coords),
        }
        text = write[kind]()
    if there is None:
        click.echo(text.encode(), nl=False)  # as a file: UTF-8, whatever the terminal's
        return
    beside = there.with_name(f".{there.name}.part")
    try:
        if kind == "parquet":
            pool.write(beside, metadata_of(opened, plugin))
        else:
            beside.write_text(text, encoding="utf-8")
        beside.replace(there)
    finally:
        beside.unlink(missing_ok=True)


def _one_of_each(plugin: Any, pool: Any) -> Any:
    """Return the first of each class of constructions under the problem's group."""
    import numpy as np

    from pipeline.symmetry import canonical

    forms = canonical(pool.cells, plugin.ground(pool.n))
    _, first = np.unique(forms, axis=0, return_index=True)
    return pool.take(np.sort(first))


def _rows(plugin: Any, spec: str, pool: Any) -> list[dict[str, Any]]:
    from pipeline.constructions import as_json
    from pipeline.population import ORIGINS
    from pipeline.symmetry import stabiliser_orders

    orders = stabiliser_orders(pool.cells, plugin.ground(pool.n))
    return [
        as_json(plugin, spec, pool.n, pool.cells[i])
        | {
            "round": int(pool.round[i]),
            "origin": ORIGINS[int(pool.origin[i])],
            "stabiliser": int(orders[i]),
        }
        for i in range(len(pool))
    ]

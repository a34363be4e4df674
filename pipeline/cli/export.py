"""The command export: what a run has found, for other programs."""

from pathlib import Path
from typing import Any

import click

from pipeline.cli.common import Target, target_options, tell_judge, writable
from pipeline.storage import files

_LISTS = ("json", "csv", "parquet", "lean-list", "graph6", "words")
_PICTURES = ("svg", "tikz")


@click.command()
@click.option(
    "--format",
    "kind",
    type=click.Choice([*_LISTS, *_PICTURES]),
    help="svg and tikz draw the best; the others list constructions.  [default: json]",
)
@click.option(
    "--top", type=click.IntRange(1), default=100, show_default=True, help="How many, best first."
)
@click.option("--inequivalent", is_flag=True, help="One construction of each symmetry class.")
@click.option("-o", "file", metavar="FILE", help="Output file.  [default: standard output]")
@click.option("--force", is_flag=True, help="Replace FILE.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@target_options(n="The size.  [default: the one searched for]", pick=True, json=False)
def export(
    target: Target,
    kind: str | None,
    top: int,
    inequivalent: bool,
    file: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write constructions of a run or a file for other programs.

    For a run: those of its last round. Each is verified again and comes with its score, round,
    origin, the order of its stabiliser, and an id shared by all equivalent ones. --rank and --id
    write only one. RUN is a path, a unique prefix of its name, or latest; FILE is any file that
    `verify` reads.
    """
    from pipeline.cli.printed import checked
    from pipeline.errors import UsageError
    from pipeline.report import exporting
    from pipeline.storage.files import write_file

    if as_json and kind not in (None, "json"):
        raise UsageError(f"--json and --format {kind}: name one of them")
    kind = kind or "json"
    if kind == "parquet" and file is None:
        raise UsageError("--format parquet: needs a file; add -o FILE.parquet")
    there = None if file is None else writable("-o", Path(file), force)
    held = target.collection()
    plugin, pool = held.problem, held.pool
    if target.is_picked or kind in _PICTURES:
        # The one drawn is the one that `pipeline best` shows.
        pool = pool.take([target.pick(held)])
    else:
        pool = (_one_of_each(plugin, pool) if inequivalent else pool).top(top)
    text = ""
    if kind != "parquet":
        rows, ground = _rows(plugin, held.spec, pool), plugin.ground(pool.n)
        write: dict[str, Any] = {
            "json": lambda: exporting.to_json(checked("export", rows)),
            "csv": lambda: exporting.to_csv(rows),
            "lean-list": lambda: exporting.to_lean(rows),
            "graph6": lambda: exporting.to_graph6(rows, ground),
            "words": lambda: exporting.to_words(rows, ground),
            "svg": lambda: exporting.to_svg(rows[0], ground),
            "tikz": lambda: exporting.to_tikz(rows[0], ground),
        }
        text = write[kind]()
    tell_judge(plugin)
    if there is None:
        click.echo(text.encode(), nl=False)  # as a file: UTF-8, whatever the terminal's
        return
    if kind != "parquet":
        write_file(there, text.encode())
        return
    with files.replacing(there) as beside:
        pool.write(beside, held.metadata())


def _one_of_each(plugin: Any, pool: Any) -> Any:
    """Return the first of each class of constructions under the problem's group."""
    import numpy as np

    from pipeline.core.symmetry import canonical

    forms = canonical(pool.cells, plugin.ground(pool.n))
    _, first = np.unique(forms, axis=0, return_index=True)
    return pool.take(np.sort(first))


def _rows(plugin: Any, spec: str, pool: Any) -> list[dict[str, Any]]:
    from pipeline.core.population import ORIGINS
    from pipeline.core.symmetry import stabiliser_orders
    from pipeline.storage.collection import id_texts
    from pipeline.storage.construction_files import as_json

    orders, names = stabiliser_orders(pool.cells, plugin.ground(pool.n)), id_texts(plugin, pool)
    return [
        as_json(plugin, spec, pool.n, pool.cells[i])
        | {
            "round": int(pool.round[i]),
            "origin": ORIGINS[int(pool.origin[i])],
            "imported": bool(pool.imported[i]),
            "stabiliser": int(orders[i]),
            "id": names[i],
        }
        for i in range(len(pool))
    ]

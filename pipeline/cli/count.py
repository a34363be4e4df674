"""Counting up to symmetry: the command count, and how a census is printed."""

from typing import Any

import click

from pipeline.cli.common import Target, print_json, target_options


@click.command()
@target_options(n="The size.  [default, of a run: the one searched for]")
def count(target: Target, as_json: bool) -> None:
    """Count constructions up to symmetry, by score and stabiliser.

    Two are equivalent when a symmetry of the ground set that is known maps one to the other; how
    many are known is printed, and there may be more. For a RUN (a path, a unique prefix of its
    name, or latest) the constructions kept in its last round are counted; FILE is any file that
    `verify` reads, such as `export` and `solve --all` write.
    """
    from pipeline.core.bitset import first_of_each
    from pipeline.engine.equivalence_classes import equivalence_classes

    sizes = []
    for held in target.collections():
        plugin, ground = held.problem, held.problem.ground(held.n)
        pool = held.pool.take(first_of_each(held.pool.cells))
        counts = [
            {"score": score}
            | equivalence_classes(pool.cells[pool.score == score], ground).as_json()
            for score in sorted(pool.counts(), reverse=True)
        ]
        row = {"problem": plugin.name, "convention": plugin.convention, "plugin": plugin.plugin}
        sizes.append(row | {"n": held.n, "up_to": ground.up_to, "scores": counts})
    if as_json:
        print_json({"where": target.word, "sizes": sizes})
        return
    from pipeline.report.terminal import console

    for row in sizes:
        _print(row, console())


def _print(row: dict[str, Any], out: Any) -> None:
    from pipeline.report.terminal import table

    by = f", verified by {row['plugin']}" if row["plugin"] else ""
    what = f"{row['problem']} ({row['convention']}), n={row['n']}{by}"
    out.say(f"{what}; inequivalent: up to {row['up_to']}")
    made = table("score>", "constructions>", "inequivalent>", "stabilisers of these")
    for line in row["scores"]:
        kinds = ", ".join(f"{k['name']} {k['inequivalent']:,}" for k in line["stabilisers"])
        many = (f"{line['constructions']:,}", f"{line['inequivalent']:,}")
        made.add_row(str(line["score"]), *many, kinds)
    out.print(made)


def census_table(found: dict[str, Any]) -> Any:
    """Return a line for each class of stabilisers, and one for all.

    Args:
        found: a census as JSON.
    """
    from pipeline.report.terminal import table

    made = table("stabiliser", "order>", "inequivalent>", "sets>", footer=True)
    made.columns[0].footer = "in all"
    for column, key in zip(made.columns[2:], ("inequivalent", "constructions"), strict=True):
        column.footer = f"{found[key]:,}"
    for kind in found["stabilisers"]:
        many = (f"{kind['inequivalent']:,}", f"{kind['constructions']:,}")
        made.add_row(kind["name"], str(kind["order"]), *many)
    return made

"""The command check: a plugin held against itself, before anything is searched with it."""

from typing import Any

import click

from pipeline.cli.common import echo, json_option, print_json, problem_argument


@click.command()
@problem_argument
@click.option("--n", type=int, help="The size to check and to measure.  [default: some small ones]")
@click.option("--convention", help="One of the problem's conventions.  [default: its first]")
@json_option
def check(problem: str, n: int | None, convention: str | None, as_json: bool) -> None:
    """Check that the parts of your own problem agree.

    PROBLEM is FILE.py or FILE.py:CLASS. `forbidden`, or hook, checker, tables and definition, and
    the symmetries are compared on small and random sets: the quick part of the contract, in a
    separate process, without pytest. Exit code 3 if a check fails.

    Then it says how fast the hook is, how long it takes to set up, and what memory its tables take.
    A size with too many small sets is measured, and smaller ones are checked. A file of forbidden
    sets (--hypergraph) has no parts that could disagree, and is measured alone.
    """
    from pipeline.plugin_check import check_plugin
    from pipeline.report.terminal import console

    if not as_json:
        console(stderr=True).print("checking (the first time also compiling)")
    found: list[dict[str, Any]] = []
    for one in check_plugin(problem, convention, n):
        numbers = dict(one.numbers)
        found.append({**one._asdict(), "sizes": list(one.sizes), "numbers": numbers})
        if not as_json:
            sizes = ", ".join(map(str, one.sizes))
            at = f" (n = {sizes})" if sizes else ""
            told = f"BAD  {one.what}: {one.wrong}" if one.wrong else f"ok   {one.what}{at}"
            echo(f"     {one.what}{at}: {one.note}" if one.note else told)
    bad = sum(bool(one["wrong"]) for one in found)
    if as_json:
        print_json({"problem": problem, "ok": not bad, "checks": found})
    if bad:
        raise SystemExit(3)

"""Commands that check: verify, problems, doctor."""

from pathlib import Path
from typing import Any

import click

from pipeline.cli.common import (
    existing_file,
    json_option,
    open_run,
    print_json,
    problem_of,
    runs_option,
)
from pipeline.errors import UsageError, VerificationError


@click.command()
@click.argument("target", metavar="FILE|RUN")
@click.option("--all-rounds", is_flag=True, help="Of a RUN: every round, not the last alone.")
@runs_option
@json_option
def verify(target: str, all_rounds: bool, runs: str | None, as_json: bool) -> None:
    """Check constructions with the independent validator.

    FILE is JSON ({"problem": "isosceles", "n": 8, "points": [[row, column], ...]}, 0-based; one
    object or a list) or a Parquet round; RUN is a path, a unique prefix, or latest, of which the
    last round is checked. Exit code 3, with the points of a violation, when one does not hold.
    """
    path = Path(target)
    if path.suffix in (".json", ".parquet"):
        existing_file(target)
    if all_rounds and path.is_file():
        raise UsageError(f"--all-rounds goes with a RUN; {target} is a file")
    try:
        lines = _verify_file(path) if path.is_file() else _verify_run(target, runs, all_rounds)
    except VerificationError as error:
        if as_json:
            print_json({"valid": False, "error": str(error)})
        raise
    if as_json:
        print_json({"valid": True, "checked": lines})
        return
    for line in lines:
        many = f"{line['count']:,} constructions, best score" if "count" in line else "score"
        where = line["where"] + (f" round {line['round']}" if "round" in line else "")
        click.echo(f"{where}: {line['problem']}, n={line['n']}, {many} {line['score']}, valid")


def _verify_file(path: Path) -> list[dict[str, Any]]:
    from pipeline.constructions import read_constructions, read_population
    from pipeline.results import check_population

    found: list[dict[str, Any]] = []
    if path.suffix == ".parquet":
        plugin, population = read_population(path)
        check_population(plugin, population, str(path))
        row = {"where": str(path), "problem": plugin.name, "convention": plugin.convention}
        score = int(population.score.max(initial=0))
        return [row | {"n": population.n, "count": len(population), "score": score}]
    for one in read_constructions(path):
        witness = one.witness()
        if witness is not None:
            raise VerificationError(
                f"{one.where}: {one.problem.name}, n={one.n}: not valid; these points break the "
                f"rule: {witness}"
            )
        found.append(
            {
                "where": one.where,
                "problem": one.problem.name,
                "convention": one.problem.convention,
                "n": one.n,
                "score": one.score(),
            }
        )
    return found


def _verify_run(target: str, runs: str | None, all_rounds: bool) -> list[dict[str, Any]]:
    from pipeline.results import verify_run

    opened = open_run(target, runs)
    plugin = problem_of(opened)
    last = opened.last_round()
    return [
        {
            "where": opened.name,
            "round": number,
            "problem": plugin.name,
            "convention": plugin.convention,
            "n": n,
            "count": count,
            "score": score,
        }
        for number, n, count, score in verify_run(
            opened, plugin, opened.rounds() if all_rounds else [last]
        )
    ]


@click.command()
@json_option
def problems(as_json: bool) -> None:
    """List the problems that are installed."""
    from pipeline.problem import load_problem, problem_names

    rows = []
    for name in problem_names():
        plugin = load_problem(name)
        rows.append({"name": name, "title": plugin.title, "conventions": list(plugin.conventions)})
    if as_json:
        print_json({"problems": rows})
        return
    for row in rows:
        click.echo(f"{row['name']}: {row['title']}")
        if len(row["conventions"]) > 1:
            first, *others = row["conventions"]
            click.echo(f"  --convention {first} (default), {', '.join(others)}")


@click.command()
@runs_option
@json_option
def doctor(runs: str | None, as_json: bool) -> None:
    """Say what this machine has, and what would not work."""
    from pipeline.doctor import examine
    from pipeline.runs import runs_root

    findings = examine(runs_root(runs))
    if as_json:
        print_json({"ok": all(f["ok"] for f in findings), "findings": findings})
    else:
        for finding in findings:
            click.echo(
                f"{'ok ' if finding['ok'] else 'BAD'}  {finding['what']}: {finding['found']}"
            )
    if not all(finding["ok"] for finding in findings):
        raise SystemExit(1)

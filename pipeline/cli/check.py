"""Commands that check: verify, problems, doctor."""

from pathlib import Path
from typing import Any

import click

from pipeline.cli.common import (
    Target,
    echo,
    json_option,
    named_problem,
    print_json,
    runs_option,
    target_options,
)
from pipeline.errors import UsageError, VerificationError


@click.command()
@click.option("--all-rounds", is_flag=True, help="Check every round of a RUN, not only the last.")
@target_options(n="Size of the constructions in a FILE.")
def verify(target: Target, all_rounds: bool, as_json: bool) -> None:
    """Check constructions with the independent validator.

    FILE is JSON ({"problem": "isosceles", "n": 8, "points": [[row, column], ...]}, 0-based; one
    object or a list), Parquet, CSV, Python tuples, a 0/1 matrix, a board of . and O, RLE, graph6,
    or of a problem on words a word on each line; where it does not say of which problem and size it
    is, --problem and --n do. RUN is a path, a unique prefix, or latest, of which the last round is
    checked. Exit code 3, with the points of a violation, when one does not hold.
    """
    path = target.file
    if path is not None and all_rounds:
        raise UsageError(f"--all-rounds goes with a RUN; {path} is a file")
    if path is None and target.n is not None:
        raise UsageError("--n goes with a FILE; of a RUN all sizes are checked")
    try:
        lines = _verify_file(path, target) if path else _verify_run(target, all_rounds)
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
        by = f" by {line['plugin']}" if line["plugin"] else ""
        what = f"{line['problem']}, n={line['n']}, {many} {line['score']}"
        echo(f"{where}: {what}, valid{by}{_descent(line)}")


def _descent(line: dict[str, Any]) -> str:
    """Say how many of the constructions are not this program's own."""
    if not line["imported"]:
        return ""
    many = f"{line['imported']:,} " if "count" in line else ""
    return f"; {many}imported, or found from what was imported"


def _verify_file(path: Path, target: Target) -> list[dict[str, Any]]:
    from pipeline.storage.collection import of_file
    from pipeline.storage.construction_files import is_parquet, read_constructions

    named, n = named_problem(target.problem), target.n
    if is_parquet(path):
        (found,) = of_file(path, named, n)
        return [_about(str(path), found.problem) | _of_population(found.pool)]
    lines = []
    for one in read_constructions(path, named, n):
        if n is None or one.n == n:
            one.check()
            row = {"n": one.n, "score": one.score(), "imported": int(one.imported)}
            lines.append(_about(one.where, one.problem) | row)
    if not lines:
        raise UsageError(f"{path} holds no construction of size {n}")
    return lines


def _about(where: str, plugin: Any) -> dict[str, Any]:
    about = {"where": where, "problem": plugin.name, "convention": plugin.convention}
    return about | {"plugin": plugin.plugin}


def _verify_run(target: Target, all_rounds: bool) -> list[dict[str, Any]]:
    from pipeline.storage.round_files import verify_run

    opened, plugin = target.opened()
    last = opened.last_round()
    return [
        _about(opened.name, plugin) | {"round": number} | _of_population(pool)
        for number, pool in verify_run(opened, plugin, opened.rounds() if all_rounds else [last])
    ]


def _of_population(pool: Any) -> dict[str, int | None]:
    imported = int(pool.imported.sum())
    score = int(pool.score.max()) if len(pool) else None
    return {"n": pool.n, "count": len(pool), "score": score, "imported": imported}


@click.command()
@json_option
def problems(as_json: bool) -> None:
    """List the problems that are installed."""
    from pipeline.plugins import load_problem, problem_names

    rows = []
    for name in problem_names():
        plugin = load_problem(name)
        rows.append({"name": name, "title": plugin.title, "conventions": list(plugin.conventions)})
    if as_json:
        print_json({"problems": rows})
        return
    for row in rows:
        echo(f"{row['name']}: {row['title']}")
        if len(row["conventions"]) > 1:
            first, *others = row["conventions"]
            echo(f"  --convention {first} (default), {', '.join(others)}")


@click.command()
@runs_option
@json_option
def doctor(runs: str | None, as_json: bool) -> None:
    """Check this machine: packages, device, memory, disk, kernels."""
    from pipeline.doctor import examine
    from pipeline.storage.finding import runs_root

    findings = examine(runs_root(runs))
    if as_json:
        print_json({"ok": all(f["ok"] for f in findings), "findings": findings})
    else:
        for finding in findings:
            echo(f"{'ok ' if finding['ok'] else 'BAD'}  {finding['what']}: {finding['found']}")
    if not all(finding["ok"] for finding in findings):
        raise SystemExit(1)

"""pipeline search: the portfolio alone, no model."""

import json
import time
from pathlib import Path
from typing import Any

import click

from pipeline.cli.common import (
    existing_file,
    json_option,
    parse_sizes,
    print_json,
    problem_argument,
    quiet_option,
    runs_option,
    size_of,
)
from pipeline.cli.help import CLASSES, METHODS, WEIGHTS, Choice, Words
from pipeline.cli.play import begin, finish, play
from pipeline.cli.run import configure
from pipeline.config import EXECUTORS
from pipeline.errors import UsageError

#: Rounds of a search that the clock or the target ends.
_ROUNDS = 1_000_000
_TIME = "60"


@click.command()
@problem_argument
@click.option("--n", "sizes", help="The size, or several in turn: 20:34 or 20,24.")
@click.option("--time", "time_", help=f"For each size, as 90, 2m or 1h.  [default: {_TIME} s]")
@click.option("--rounds", type=int, help="Stop after that many rounds, not by the clock.")
@click.option("--budget-cpu-seconds", type=float, help="Of all processes, not by the clock.")
@click.option("--target", type=int, help="Stop at this score.  [default: what is proved]")
@click.option(
    "--method",
    type=Words(METHODS),
    help="tabu, enumerate, anneal, greedy, cover, ruin-recreate.  [default: a portfolio]",
)
@click.option(
    "--symmetry",
    type=Words(CLASSES),
    help="Symmetry classes, as mirror,half-turn, or about the centre of a smaller board: "
    "mirror@9x8.  [default: all]",
)
@click.option(
    "--weights",
    type=Words(WEIGHTS),
    help="Element weights to start with: border, learned, none, a .npy file.",
)
@click.option("--mask", metavar="FILE", help="Use these elements alone: a .npy file of 0 and 1.")
@click.option("--keep", type=int, help="Constructions to keep, no two equal.  [default: 2000]")
@click.option("--seed", type=int, help="The rng seed.  [default: 0]")
@click.option("--convention", help="A convention of the problem; see `pipeline problems`.")
@click.option("--workers", type=int, help="Search processes.  [default: one for each core]")
@click.option("--executor", type=Choice(EXECUTORS), help="Of search.  [default: processes]")
@click.option("--address", help="A Ray cluster to join: auto or HOST:PORT.")
@click.option("--table", is_flag=True, help="Print a table beside the best known, no boards.")
@click.option("--config", "file", metavar="FILE", help="A TOML file; the options go over it.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any key of a config.")
@quiet_option
@runs_option
@json_option
def search(
    problem: str,
    sizes: str | None,
    file: str | None,
    settings: tuple[str, ...],
    table: bool,
    as_json: bool,
    runs: str | None,
    **options: Any,
) -> None:
    """Search with local search alone, on all cores.

    A portfolio of tabu searches, enumerations and annealings in all symmetry classes, each given
    the more time the more it brings. A search bounded by --rounds is the same everywhere. Of
    several sizes each begins with the best of the one before, where that fits.
    """
    keys = _keys_of(file, settings)
    if sizes is None and "n" not in keys:
        keys["n"] = size_of(problem, "search", 48)
    budget, search = keys.get("budget", {}), keys.get("search", {})
    for name, section in (("budget", budget), ("search", search)):
        if not isinstance(section, dict):
            raise UsageError(f"{file or '--set'}: {name} must be a section, got {section!r}")
    if options["rounds"] is None and "rounds" not in budget:
        options["rounds"] = _ROUNDS
        if "time" not in budget and not (options["budget_cpu_seconds"] or "cpu" in budget):
            options["time_"] = options["time_"] or _TIME
    if sizes is not None and any(setting.partition("=")[0].strip() == "n" for setting in settings):
        raise UsageError("--n and --set n=...: name the size once")
    several = [keys["n"]] if sizes is None else parse_sizes(sizes)
    learned = (options["weights"] or search.get("weights")) == "learned"
    prepared = []
    for n in several:
        given = {
            **options,
            "n": n,
            "sizes": None
            if learned
            else [n],  # learned weights take those given, or the usual ones
            "generator": "none",
        }
        config, plugin = configure(problem, file, settings, given)
        prepared.append((_with_target(config, plugin), plugin))
    rows: list[dict[str, Any]] = []
    for config, plugin in prepared:
        began = time.monotonic()
        start = _start(config, plugin, rows[-1]["best"]) if rows else {}
        made, parts = begin(config, plugin, runs, start)
        with made.lock():
            found = play(made, plugin, parts, quiet=as_json or table)
        seconds = round(time.monotonic() - began, 1)
        if not table and len(several) == 1:
            finish(made, plugin, found, as_json)
            return
        rows.append({"run": str(made.path), "seconds": seconds, "best": found})
    if as_json:
        print_json({"runs": rows})
    else:
        _print_table(rows)


def _start(config: Any, plugin: Any, before: dict[str, Any]) -> dict[str, bytes]:
    """Return a file with the best of the size before, to begin with where it fits."""
    from pipeline.storage.construction_files import at_larger_size
    from pipeline.storage.run import SMALLER

    if not before["points"] or config.search.mask:
        return {}
    larger = at_larger_size(before, plugin, config.n)
    return {SMALLER: json.dumps(larger).encode()} if larger else {}


def _keys_of(file: str | None, settings: tuple[str, ...]) -> dict[str, Any]:
    """Return the nested keys that a file and settings give."""
    from pipeline.config import read_toml, with_setting

    data = read_toml(existing_file(file)) if file else {}
    for setting in settings:
        with_setting(data, setting)
    return data


def _with_target(config: Any, plugin: Any) -> Any:
    """Stop where more is proved impossible; refuse to be sent beyond.

    Raises:
        UsageError: the target is above a proved value.
    """
    from pipeline.config import with_budget

    known = plugin.known(config.n)
    if known is None or not known.proved:
        return config
    if config.budget.target > known.value:
        raise UsageError(
            f"--target {config.budget.target}: {known.value} is proved optimal for "
            f"{plugin.name} at n={config.n} ({known.source})"
        )
    return config if config.budget.target else with_budget(config, target=known.value)


def _print_table(rows: list[dict[str, Any]]) -> None:
    from pipeline.report.terminal import console, table

    made = table("n>", "found>", "best known>", "gap>", "seconds>", "run")
    for row in rows:
        best = row["best"]
        score, known = best["score"], best["best_known"]
        proved = " (proved)" if best["best_known_proved"] else ""
        beside = ("-", "-") if known is None else (f"{known}{proved}", str(score - known))
        seconds, name = f"{row['seconds']:.1f}", Path(row["run"]).name
        made.add_row(str(best["n"]), str(score), *beside, seconds, name)
    console().print(made)

"""What search alone reaches: success rates and CPU seconds, through the command line.

    python benchmarks/search.py [--seeds 10] [--baseline 3] [--only isosceles] [--upto 60]
    python benchmarks/search.py --results FILE          # goes on where it was stopped
    python benchmarks/search.py --best-known --seeds 5  # every problem that ships

Each row is `pipeline search PROBLEM --n N --target T --budget-cpu-seconds S` with several rng
seeds. Seconds are CPU seconds of all processes up to the target, compiling and loading left out:
on two quiet cores it takes half as long. The baseline of a row is annealing alone
(`--method anneal`), in the same session; rows with more than a minute have none. With
`--best-known` the targets are the values that `pipeline records` lists with their sources, there is
no baseline, and where the target is not reached the best of each search is told. FILE keeps each
search in a line, so that the hours this takes may be cut in pieces.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pipeline.plugins import load_problem

#: The largest isosceles-free sets of sides 4 to 26 that are published or proved, or that rough
#: programs had found before this one.
_SMALL = [6, 7, 9, 10, 13, 16, 18, 18, 20, 22, 24, 25, 28, 30, 32, 34, 34, 38, 38, 41, 42, 44, 44]
#: Rows with a larger budget are not run with annealing alone.
_BASELINE_UPTO = 60


class Row(NamedTuple):
    """One search: a problem and a size, the score to reach, within how many CPU seconds."""

    problem: str
    n: int
    target: int
    cpu: int
    convention: str = ""


ROWS = [
    *(Row("isosceles", n, target, 20) for n, target in enumerate(_SMALL, start=4)),
    Row("isosceles", 27, 48, 4),
    Row("isosceles", 32, 58, 20),
    Row("isosceles", 48, 84, 20),
    Row("isosceles", 64, 104, 4),
    Row("isosceles", 64, 108, 120),
    Row("isosceles", 100, 156, 20),
    Row("isosceles", 100, 160, 600),
    *(Row("no-3-in-line", n, 2 * n, 20) for n in (10, 16, 20, 24, 28, 30, 32, 34, 36)),
    *(Row("no-3-in-line", n, 2 * n, 30) for n in (21, 25, 29, 31, 33, 35)),
    *(Row("no-3-in-line", n, 2 * n, 600) for n in (37, 38, 39, 40, 41, 42)),
    *(
        Row("four-cycle-free", n, target, 60)
        for n, target in enumerate([16, 18, 21, 24, 27, 30, 33, 36, 39, 42, 46], start=10)
    ),
]
#: The problems beside the two grids: sizes, CPU seconds, convention.
_BEST_KNOWN = [
    ("four-cycle-free", range(20, 33), 240, ""),
    ("four-cycle-free", range(33, 41), 1200, ""),
    ("girth-5", range(20, 33), 240, ""),
    ("cap-sets", range(3, 6), 60, ""),
    ("cap-sets", range(6, 9), 600, ""),
    ("sidon", (35, 45, 56), 60, ""),
    ("sidon", (73, 86, 107), 600, ""),
    ("sidon-mod", (57, 73, 91, 133, 168, 183), 120, ""),
    ("progression-free", (74, 104, 122, 150, 194), 120, ""),
    ("corner-free", range(5, 10), 60, ""),
    ("no-4-on-a-circle", range(4, 9), 60, ""),
    ("no-4-in-a-plane", range(3, 13), 240, ""),
    ("ramsey", (5,), 60, "3,3"),
    ("ramsey", (8,), 60, "3,4"),
    ("ramsey", (13,), 60, "3,5"),
    ("ramsey", (17,), 120, "3,6"),
    ("ramsey", (22,), 120, "3,7"),
    ("ramsey", (17,), 120, "4,4"),
    ("ramsey", (24,), 120, "4,5"),
    ("permanent-312", range(8, 14), 240, ""),
    ("tree-independence", (26,), 120, ""),
    ("no-5-on-a-sphere", range(3, 15), 1200, ""),
]


def best_known() -> Iterator[Row]:
    """Return the rows whose targets are the best known values; a tree's is any score above 0."""
    for problem, sizes, cpu, convention in _BEST_KNOWN:
        plugin = load_problem(problem, convention or None)
        for n in sizes:
            known = plugin.known(n)
            yield Row(problem, n, known.value if known else 1, cpu, convention)


class Outcome(NamedTuple):
    """How a search ended: its best score, and the CPU seconds until it had it."""

    score: float
    seconds: float


class Results:
    """Searches that were made, kept in a file of a line each."""

    def __init__(self, path: Path | None) -> None:
        """Take up what the file has."""
        self._path = path
        self._known: dict[str, Outcome] = {}
        if path and path.exists():
            for line in path.read_text().splitlines():
                row = json.loads(line)
                self._known[row["search"]] = Outcome(row["score"], row["seconds"])

    def get(self, row: Row, seed: int, *more: str) -> Outcome:
        """Return what a search found, made now unless it is known."""
        name = " ".join(map(str, (*row, seed, *more)))
        if name not in self._known:
            self._known[name] = once(row, seed, *more)
            if self._path:
                with self._path.open("a") as file:
                    file.write(json.dumps({"search": name, **self._known[name]._asdict()}) + "\n")
        return self._known[name]


def once(row: Row, seed: int, *more: str) -> Outcome:
    """Return the best of a search and the CPU seconds it took to find it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pipeline", "search", row.problem, "--n", str(row.n)]
        command += ["--target", str(row.target), "--budget-cpu-seconds", str(row.cpu)]
        command += ["--seed", str(seed), "--runs", folder, "--json", *more]
        command += ["--convention", row.convention] if row.convention else []
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        events = (Path(found["run"]) / "events.jsonl").read_text().splitlines()
    hits = [e["cpu"] for e in map(json.loads, events) if e["event"] == "best"]
    return Outcome(found["best"]["score"], hits[-1])


def cell(row: Row, outcomes: list[Outcome]) -> str:
    """Write how many reached the target, their median and the slowest; then what the others had."""
    if not outcomes:
        return "-"
    good = [one.seconds for one in outcomes if one.score >= row.target]
    short = sorted((one.score for one in outcomes if one.score < row.target), reverse=True)
    text = f"{len(good)} of {len(outcomes)}"
    if good:
        text += f", {statistics.median(good):.1f} s, {max(good):.1f} s at most"
    if short:
        text += f"; {', '.join(f'{score:g}' for score in short)}"
    return text


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--baseline", type=int, default=3, help="rng seeds of the baseline")
    parser.add_argument("--best-known", action="store_true", help="every problem that ships")
    parser.add_argument("--only", default="", help="rows whose problem contains this")
    parser.add_argument("--n", type=int, default=0, help="this size alone")
    parser.add_argument("--upto", type=int, default=10**9, help="rows of at most this budget")
    parser.add_argument("--workers", type=int, default=0, help="search processes of each search")
    parser.add_argument("--results", type=Path, help="a file that keeps each search")
    options = parser.parse_args()
    results = Results(options.results and options.results.absolute())
    os.chdir(Path(__file__).parents[1])
    more = ("--workers", str(options.workers)) if options.workers else ()
    rows = list(best_known()) if options.best_known else ROWS
    once(Row("isosceles", 8, 13, 4), 0)  # compiles
    once(Row("no-3-in-line", 8, 16, 4), 0)
    print("| problem | n | target | CPU limit | portfolio | annealing alone |")
    print("|---|---|---|---|---|---|", flush=True)
    for row in rows:
        if options.only not in row.problem or row.cpu > options.upto:
            continue
        if options.n not in (0, row.n):
            continue
        ours = [results.get(row, seed, *more) for seed in range(options.seeds)]
        paired = row.cpu <= _BASELINE_UPTO and not options.best_known
        seeds = range(options.baseline if paired else 0)
        plain = [results.get(row, seed, *more, "--method", "anneal") for seed in seeds]
        name = " ".join(filter(None, (row.problem, row.convention)))
        cells = f"{row.n} | {row.target} | {row.cpu} s | {cell(row, ours)} | {cell(row, plain)}"
        print(f"| {name} | {cells} |", flush=True)


if __name__ == "__main__":
    main()

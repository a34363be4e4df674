"""What search alone reaches: success rates and CPU seconds, through the command line.

    python benchmarks/search.py [--seeds 10] [--baseline 3] [--only isosceles] [--upto 60]
    python benchmarks/search.py --results FILE          # goes on where it was stopped

Each row is `pipeline search PROBLEM --n N --target T --budget-cpu-seconds S` with several rng
seeds. Seconds are CPU seconds of all processes up to the target, compiling and loading left out:
on two quiet cores it takes half as long. The baseline of a row is annealing alone
(`--method anneal`), in the same session; rows with more than a minute have none. FILE keeps each
search in a line, so that the hours this takes may be cut in pieces.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

FOUR_CYCLES = "tests/plugins/four_cycle_free.py:FourCycleFree"
#: The largest isosceles-free sets of sides 4 to 26 that are published or proved, or that rough
#: programs had found before this one.
_SMALL = [6, 7, 9, 10, 13, 16, 18, 18, 20, 22, 24, 25, 28, 30, 32, 34, 34, 38, 38, 41, 42, 44, 44]
#: Rows with a larger budget are not run with annealing alone.
_BASELINE_UPTO = 60

#: problem, n, target, CPU seconds
ROWS = [
    *(("isosceles", n, target, 20) for n, target in enumerate(_SMALL, start=4)),
    ("isosceles", 27, 48, 4),
    ("isosceles", 32, 58, 20),
    ("isosceles", 48, 84, 20),
    ("isosceles", 64, 104, 4),
    ("isosceles", 64, 108, 120),
    ("isosceles", 100, 156, 20),
    ("isosceles", 100, 160, 600),
    *(("no-3-in-line", n, 2 * n, 20) for n in (10, 16, 20, 24, 28, 30, 32, 34, 36)),
    *(("no-3-in-line", n, 2 * n, 30) for n in (21, 25, 29, 31, 33, 35)),
    *(("no-3-in-line", n, 2 * n, 600) for n in (37, 38, 39, 40, 41, 42)),
    *(
        (FOUR_CYCLES, n, target, 60)
        for n, target in enumerate([16, 18, 21, 24, 27, 30, 33, 36, 39, 42, 46], start=10)
    ),
]


class Results:
    """Searches that were made, kept in a file of a line each."""

    def __init__(self, path: Path | None) -> None:
        """Take up what the file has."""
        self._path = path
        self._known: dict[str, float | None] = {}
        if path and path.exists():
            for line in path.read_text().splitlines():
                row = json.loads(line)
                self._known[row["search"]] = row["seconds"]

    def get(
        self, problem: str, n: int, target: int, cpu: int, seed: int, *more: str
    ) -> float | None:
        """Return the CPU seconds of a search, made now unless it is known."""
        name = " ".join(map(str, (problem, n, target, cpu, seed, *more)))
        if name not in self._known:
            self._known[name] = once(problem, n, target, cpu, seed, *more)
            if self._path:
                with self._path.open("a") as file:
                    file.write(json.dumps({"search": name, "seconds": self._known[name]}) + "\n")
        return self._known[name]


def once(problem: str, n: int, target: int, cpu: int, seed: int, *more: str) -> float | None:
    """Return the CPU seconds a search took to its target, None if it fell short."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pipeline", "search", problem, "--n", str(n)]
        command += ["--target", str(target), "--budget-cpu-seconds", str(cpu)]
        command += ["--seed", str(seed), "--runs", folder, "--json", *more]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        events = (Path(found["run"]) / "events.jsonl").read_text().splitlines()
    hits = [e["cpu"] for e in map(json.loads, events) if e["event"] == "best"]
    return hits[-1] if found["best"]["score"] >= target else None


def cell(times: list[float | None]) -> str:
    """Write how many succeeded, their median and the slowest."""
    good = [t for t in times if t is not None]
    if not times:
        return "-"
    seconds = f", {statistics.median(good):.1f} s, {max(good):.1f} s at most" if good else ""
    return f"{len(good)} of {len(times)}{seconds}"


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--baseline", type=int, default=3, help="rng seeds of the baseline")
    parser.add_argument("--only", default="", help="rows whose problem contains this")
    parser.add_argument("--n", type=int, default=0, help="this size alone")
    parser.add_argument("--upto", type=int, default=10**9, help="rows of at most this budget")
    parser.add_argument("--results", type=Path, help="a file that keeps each search")
    options = parser.parse_args()
    results = Results(options.results and options.results.absolute())
    os.chdir(Path(__file__).parents[1])
    once("isosceles", 8, 13, 4, 0)
    once("no-3-in-line", 8, 16, 4, 0)
    print("| problem | n | target | CPU limit | portfolio | annealing alone |")
    print("|---|---|---|---|---|---|", flush=True)
    for problem, n, target, cpu in ROWS:
        if options.only not in problem or cpu > options.upto or options.n not in (0, n):
            continue
        row = (problem, n, target, cpu)
        ours = [results.get(*row, seed) for seed in range(options.seeds)]
        seeds = range(options.baseline if cpu <= _BASELINE_UPTO else 0)
        plain = [results.get(*row, seed, "--method", "anneal") for seed in seeds]
        name = problem.partition(":")[2] or problem
        print(f"| {name} | {n} | {target} | {cpu} s | {cell(ours)} | {cell(plain)} |", flush=True)


if __name__ == "__main__":
    main()

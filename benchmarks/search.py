"""What search alone reaches: success rates and seconds, through the command line.

    python benchmarks/search.py [--seeds 3] [--only isosceles]

Each row is `pipeline search PROBLEM --n N --target T --time S` with several rng seeds on all cores;
seconds are those of the search, compiling and loading left out. The baseline of a row is the same
command with annealing alone (`--method anneal`), in the same session.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

#: problem, n, target, seconds
ROWS = [
    ("isosceles", 16, 28, 10),
    ("isosceles", 20, 34, 10),
    ("isosceles", 24, 42, 10),
    ("isosceles", 27, 48, 10),
    ("isosceles", 31, 54, 10),
    ("isosceles", 32, 58, 20),
    ("isosceles", 48, 84, 20),
    ("isosceles", 64, 104, 20),
    ("isosceles", 64, 108, 60),
    ("no-3-in-line", 20, 40, 10),
    ("no-3-in-line", 28, 56, 10),
    ("no-3-in-line", 34, 68, 10),
    ("no-3-in-line", 36, 72, 20),
    ("no-3-in-line", 31, 62, 15),
    ("no-3-in-line", 35, 70, 30),
]


def once(problem: str, n: int, target: int, seconds: int, seed: int, *more: str) -> float | None:
    """Return the seconds a search took to its target, None if it fell short."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pipeline", "search", problem, "--n", str(n)]
        command += ["--target", str(target), "--time", str(seconds), "--seed", str(seed)]
        command += ["--runs", folder, "--json", *more]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        events = (Path(found["run"]) / "events.jsonl").read_text().splitlines()
    took = sum(e["seconds"] for e in map(json.loads, events) if e["event"] == "round")
    return took if found["best"]["score"] >= target else None


def cell(times: list[float | None]) -> str:
    """Write how many succeeded, and their median."""
    good = [t for t in times if t is not None]
    median = f", {statistics.median(good):.1f} s" if good else ""
    return f"{len(good)} of {len(times)}{median}"


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    once("isosceles", 8, 13, 1, 0)
    once("no-3-in-line", 8, 16, 1, 0)
    print(
        "| problem | n | target | limit | portfolio | annealing alone |\n|---|---|---|---|---|---|"
    )
    for problem, n, target, seconds in ROWS:
        if options.only not in problem:
            continue
        row = (problem, n, target, seconds)
        ours, plain = [], []
        for seed in range(options.seeds):
            ours.append(once(*row, seed))
            plain.append(once(*row, seed, "--method", "anneal"))
        print(
            f"| {problem} | {n} | {target} | {seconds} s | {cell(ours)} | {cell(plain)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

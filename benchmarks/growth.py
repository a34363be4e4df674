"""Growth tabu against tabu at a fixed size: CPU seconds to a target, through the command line.

    python benchmarks/growth.py [--seeds 5] [--seconds 10] [--weights none]

Each figure is `pipeline search isosceles --symmetry both-mirrors --method M --weights F` on one
core with an rng seed: CPU seconds to the target, compiling and loading left out; in brackets the
best score where the limit came first.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

#: n and the target.
TARGETS = {27: 48, 32: 56, 48: 84, 64: 108}


def once(n: int, target: int, method: str, field: str, seconds: int, seed: int) -> str:
    """Return the cell of one search."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pipeline", "search", "isosceles", "--n", str(n)]
        command += ["--symmetry", "both-mirrors", "--method", method, "--weights", field]
        command += ["--target", str(target), "--budget-cpu-seconds", str(seconds)]
        command += ["--workers", "1", "--seed", str(seed), "--runs", folder, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        events = (Path(found["run"]) / "events.jsonl").read_text().splitlines()
    hits = [e["cpu"] for e in map(json.loads, events) if e["event"] == "best"]
    score = found["best"]["score"]
    return f"{hits[-1]:.1f}" if score >= target else f"({score})"


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=10, help="CPU seconds of a search")
    parser.add_argument("--weights", default="none", help="as pipeline search takes it")
    options = parser.parse_args()
    os.chdir(Path(__file__).parents[1])
    print("| n, target | tabu | grow |")
    print("|---|---|---|", flush=True)
    for n, target in TARGETS.items():
        how = (options.field, options.seconds)
        cells = [
            ", ".join(once(n, target, method, *how, seed) for seed in range(options.seeds))
            for method in ("tabu", "grow")
        ]
        print(f"| {n}, {target} | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main()

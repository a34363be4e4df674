"""Beside the strongest peer: rates, and bests at equal CPU time, in the same session.

    git clone https://github.com/AxiomMath/axplorer FOLDER
    python benchmarks/peers.py FOLDER [--seconds 20] [--python PYTHON] [--only sphere] [--n 8]

FOLDER is a copy of axplorer (Apache-2.0), which is read there and not changed. Its classes for
spheres and for graphs without a 4-cycle run in a process of their own (peer_process.py), by a
Python with numpy, numba and psutil, this one unless another is named.

"greedy" makes sets from nothing; "mending" takes the violations out of the same sets on both sides,
the peer's best with 1 to 5 elements more, and fills them up; both rates are of one core. Ours pass
the independent validator besides, and so must the peer's best. The bests are those of as many CPU
seconds each: of the peer's greedy, of its local search over and over from the best so far, and of
`pipeline search` with its defaults, one worker. Compiling and loading are left out on both sides.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.bitset import pack
from pipeline.engine.greedy import complete_many, greedy_many
from pipeline.engine.space import make_space
from pipeline.plugins import load_problem
from pipeline.problem import Problem

#: a problem of ours, the peer's module and class, sizes
ROWS = [
    ("no-5-on-a-sphere", "src.envs.sphere", "SphereDataPoint", (6, 8, 10, 12)),
    ("four-cycle-free", "src.envs.cycle", "SquareDataPoint", (20, 30, 33, 40)),
]
_BATCH = 100
_RATES = "| problem, n | greedy: peer /s | ours /s | ratio | mending: peer /s | ours /s | ratio "
_RATES += "| mean size: peer | ours |"
_BESTS = "| problem, n | peer's greedy | our greedy | peer's local search | our search "
_BESTS += "| ahead after CPU s | best known |"


def peer(options: argparse.Namespace, module: str, kind: str, n: int) -> dict[str, Any]:
    """Return what the peer's class did."""
    worker = Path(__file__).parent / "peer_process.py"
    command = [options.python, worker, options.folder, module, kind, n, options.seconds]
    with tempfile.TemporaryDirectory() as cache:
        done = subprocess.run(
            [str(part) for part in command],
            env=os.environ | {"NUMBA_CACHE_DIR": cache, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            timeout=10 * options.seconds + 300,
            check=False,
        )
    if done.returncode:
        sys.exit(f"{options.folder}: its classes do not run; see above")
    return json.loads(done.stdout)


def packed(sets: list[list[int]], m: int) -> np.ndarray:
    """Pack sets of elements."""
    bits = np.zeros((len(sets), m), np.bool_)
    for row, elements in zip(bits, sets, strict=True):
        row[elements] = True
    return pack(bits)


def timed(
    problem: Problem, n: int, seconds: float, fill: Callable[[np.ndarray], None], start: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return how many sets a second are made of the start, checked and scored, and their sizes."""
    fill(start.copy())
    sizes, began = [], time.process_time()
    while (spent := time.process_time() - began) < seconds:
        cells = start.copy()
        fill(cells)
        assert problem.validate(cells, n).all()
        sizes.append(problem.evaluate(cells, n))
    found = np.concatenate(sizes)
    return len(found) / spent, found


def search(name: str, n: int, seconds: float) -> list[dict[str, Any]]:
    """Return each best of a search, with its CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pipeline", "search", name, "--n", str(n), "--json"]
        command += ["--budget-cpu-seconds", str(seconds), "--workers", "1", "--runs", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        events = (Path(json.loads(done.stdout)["run"]) / "events.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, events) if event["event"] == "best"]


def row(options: argparse.Namespace, name: str, module: str, kind: str, n: int) -> tuple[str, str]:
    """Return the row of each table."""
    problem, rng = load_problem(name), np.array([1], np.uint64)
    m, space, seconds = problem.ground(n).m, make_space(problem, n), options.seconds
    theirs = peer(options, module, kind, n)
    best = packed([theirs["best"]], m)
    assert problem.validate(best, n)[0]
    assert problem.evaluate(best, n)[0] == theirs["local"]

    nothing, dirty = packed([[]] * _BATCH, m), packed(theirs["dirty"], m)
    made, drawn = timed(problem, n, seconds, lambda cells: greedy_many(space, rng, cells), nothing)
    mended, sizes = timed(
        problem, n, seconds / 4, lambda cells: complete_many(space, rng, cells), dirty
    )
    rates = (
        f"| {name}, {n} | {theirs['greedy_rate']:,.0f} | {made:,.0f} "
        f"| {made / theirs['greedy_rate']:.1f} | {theirs['local_rate']:,.0f} | {mended:,.0f} "
        f"| {mended / theirs['local_rate']:.1f} "
        f"| {np.mean(theirs['mended']):.2f} | {sizes.mean():.2f} |"
    )
    steps, known = search(name, n, seconds), problem.known(n)
    ahead = [step["cpu"] for step in steps if step["score"] > theirs["local"]]
    bests = (
        f"| {name}, {n} | {theirs['greedy']} | {drawn.max()} | {theirs['local']} "
        f"| {steps[-1]['score']} | {f'{ahead[0]:.1f}' if ahead else '-'} "
        f"| {known.value if known else '-'} |"
    )
    return rates, bests


def main() -> None:
    """Print the two tables, the second one at the end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=20.0, help="CPU seconds of each column")
    parser.add_argument("--python", default=sys.executable, help="that runs the peer")
    parser.add_argument("--only", default="", help="rows whose problem contains this")
    parser.add_argument("--n", type=int, default=0, help="this size alone")
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print(f"{_RATES}\n{'|---' * 9}|", flush=True)
    table = [_BESTS, "|---" * 7 + "|"]
    for name, module, kind, sizes in ROWS:
        for n in sizes:
            if options.only in name and options.n in (0, n):
                rates, bests = row(options, name, module, kind, n)
                print(rates, flush=True)
                table.append(bests)
    print("\n" + "\n".join(table))


if __name__ == "__main__":
    main()

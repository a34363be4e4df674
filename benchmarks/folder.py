"""Looking at a folder of 200 runs: ls, hist, best of a problem, records.

    python benchmarks/folder.py

Seconds of whole processes, medians, wall clock and CPU; the baselines are `python -c pass` and
`pipeline --help` in the same rounds. The folder holds copies of one search of three rounds.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS, ROUNDS = 200, 3
_SMALL = ["--rounds", "3", "--set", "seeding.batches=1", "--set", "search.batches=1"]


def seconds(command: list[str]) -> tuple[float, float]:
    """Return the wall clock and the CPU seconds of a process."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, cpu


def main() -> None:
    """Print the table."""
    pipeline = [sys.executable, "-m", "pipeline"]
    with tempfile.TemporaryDirectory() as folder:
        one = [*pipeline, "search", "isosceles", "--n", "16", *_SMALL, "--runs", f"{folder}/one"]
        subprocess.run(one, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        (run,) = (path.parent for path in Path(folder, "one").glob("*/run.json"))
        for i in range(RUNS):
            shutil.copytree(run, Path(folder, "runs", f"isosceles-n16-20261125-{i:06x}"))
        name, there = "isosceles-n16-20261125-000042", ["--runs", f"{folder}/runs"]
        rows: dict[str, list[tuple[float, float]]] = {}
        for _ in range(ROUNDS + 1):
            for what, command in (
                ("python -c pass", [sys.executable, "-c", "pass"]),
                ("pipeline --help", [*pipeline, "--help"]),
                (f"pipeline ls, {RUNS} runs", [*pipeline, "ls", *there]),
                ("pipeline hist RUN", [*pipeline, "hist", name, *there]),
                ("pipeline hist latest", [*pipeline, "hist", "latest", *there]),
                ("pipeline show RUN", [*pipeline, "show", name, *there]),
                ("pipeline best isosceles", [*pipeline, "best", "isosceles", "--n", "16", *there]),
                ("pipeline records isosceles", [*pipeline, "records", "isosceles", *there]),
            ):
                rows.setdefault(what, []).append(seconds(command))
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print("| what | seconds, median | min | CPU seconds, median | min |")
    print("|---|---|---|---|---|")
    for what, took in rows.items():
        walls, cpus = zip(*took[1:], strict=True)  # the first reads the disk
        numbers = (statistics.median(walls), min(walls), statistics.median(cpus), min(cpus))
        print(f"| {what} | " + " | ".join(f"{number:.2f}" for number in numbers) + " |")


if __name__ == "__main__":
    main()

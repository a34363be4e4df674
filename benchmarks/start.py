"""Start-up: help, and the first line of progress of a run, with and without compiled kernels.

    python benchmarks/start.py

Seconds of whole processes, medians; the baseline is `python -c pass` in the same rounds.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

ROUNDS = 5


def seconds(command: list[str], environment: dict[str, str], until: str | None = None) -> float:
    """Time a command to its end, or to the first line on stderr that holds ``until``."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stderr is not None
    took = None
    for line in process.stderr:
        if until is not None and until in line:
            took = time.perf_counter() - start
            process.terminate()
            break
    process.communicate()
    return time.perf_counter() - start if took is None else took


def main() -> None:
    """Print the table."""
    pipeline = [sys.executable, "-m", "pipeline"]
    rows: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        run = [*pipeline, "run", "isosceles", "--n", "16", "--runs", f"{folder}/runs"]
        warm = {**os.environ, "NUMBA_CACHE_DIR": f"{folder}/warm"}
        seconds(run, warm, "kept mean")
        for i in range(ROUNDS):
            cold = {**os.environ, "NUMBA_CACHE_DIR": f"{folder}/cold{i}"}
            colder = {**os.environ, "NUMBA_CACHE_DIR": f"{folder}/colder{i}"}
            for name, command, environment, until in (
                ("python -c pass", [sys.executable, "-c", "pass"], warm, None),
                ("pipeline --help", [*pipeline, "--help"], warm, None),
                ("first progress of a run, compiled before", run, warm, "loading search"),
                ("search under way, compiled before", run, warm, "local search"),
                ("first progress of a run, nothing compiled", run, cold, "loading search"),
                ("search under way, nothing compiled", run, colder, "local search"),
            ):
                rows.setdefault(name, []).append(seconds(command, environment, until))
    print("| what | seconds, median | min - max |")
    print("|---|---|---|")
    for name, took in rows.items():
        print(f"| {name} | {statistics.median(took):.2f} | {min(took):.2f} - {max(took):.2f} |")


if __name__ == "__main__":
    main()

"""An hour of rounds, and many commands in one process: memory, handles and time stay as they were.

ATTACK_MINUTES sets for how long the run lasts (60), ATTACK_SEARCHES how many commands (300).
"""

import gc
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pytest
from conftest import TINY, only_run

MINUTES = float(os.environ.get("ATTACK_MINUTES", "60"))
SEARCHES = int(os.environ.get("ATTACK_SEARCHES", "300"))
WARM = 20  # rounds or commands before the first measurement
SAMPLES = 2000  # candidates of a round
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc"),
]


class Held(NamedTuple):
    """What a process and its children hold."""

    memory: int  # KiB
    files: int
    threads: int
    cpu: float  # seconds used so far


def tree(pid: int) -> Iterator[int]:
    """Yield a process and all that descend from it."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from tree(int(child))


def held(pid: int) -> Held:
    """Measure a process and its children."""
    memory = files = threads = ticks = 0
    for one in tree(pid):
        folder = Path(f"/proc/{one}")
        memory += int((folder / "statm").read_text().split()[1])
        files += len(os.listdir(folder / "fd"))
        told = (folder / "stat").read_text().rpartition(")")[2].split()
        ticks += int(told[11]) + int(told[12])
        threads += int(told[17])
    page, second = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")
    return Held(memory * page // 1024, files, threads, ticks / second)


def flat(measured: list[Held], record: Callable[[str, object], None]) -> None:
    """Check that the last measurements hold no more than those after the first few."""
    print(f"{'after':>8}  {'KiB':>9}  files  threads  CPU s a time")
    steps = [b.cpu - a.cpu for a, b in pairwise(measured)]
    part = max(1, len(steps) // 12)
    for i in range(WARM, len(measured), part):
        one, cost = measured[i], median(steps[i : i + part] or steps[-part:])
        print(f"{i:>8,}  {one.memory:>9,}  {one.files:>5}  {one.threads:>7}  {cost:>12.3f}")
    first, last = measured[WARM], measured[-1]
    record("KiB", f"{first.memory} -> {last.memory}")
    record("files", f"{first.files} -> {last.files}")
    assert last.files <= first.files + 2
    assert last.threads <= first.threads + 2  # a pool ends some of its own a moment later
    assert last.memory <= 1.1 * first.memory + 20_000
    window = max(1, min(100, (len(steps) - WARM) // 2))
    early, late = steps[WARM : WARM + window], steps[-window:]
    record("CPU s a time", f"{median(early):.3f} -> {median(late):.3f}")
    assert median(late) <= 2 * median(early)


def test_rounds_of_a_run_hold_no_more_than_the_first(tmp_path, record_property):
    words = ["run", "isosceles", "--n", "6", *TINY, "--rounds", "1000000", "--workers", "2"]
    words += ["--set", f"sample.count={SAMPLES}", "--set", "search.batches=1"]
    limit = f"{60 * MINUTES:.0f}s"
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline", *words, "--time", limit, "--runs", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        # What it prints in the end is longer than a pipe is.
        told: list[str] = []
        assert running.stdout is not None
        reader = threading.Thread(target=lambda out: told.extend(out), args=(running.stdout,))
        reader.start()
        measured, said = [], []
        assert running.stderr is not None
        for line in running.stderr:
            said.append(line)
            # Until the line after it no round is over, and the process is alive.
            if line.startswith("round ") and ": training" in line:
                measured.append(held(running.pid))
        reader.join()
    assert running.returncode == 0, "".join(said[-20:])
    rounds = len(list((only_run(tmp_path) / "rounds").iterdir())) - 1
    record_property("tried", rounds * SAMPLES)
    record_property("rounds", rounds)
    record_property("minutes", MINUTES)
    flat(measured, record_property)


def test_commands_one_after_the_other_hold_no_more_than_the_first(cli, tmp_path, record_property):
    record_property("tried", SEARCHES)
    search = ["search", "isosceles", "--rounds", 1, "--workers", 1, "--method", "anneal,greedy"]
    search += ["--set", "seeding.batches=1", "--set", "search.batches=1"]
    measured = []
    for count in range(SEARCHES):
        found = cli(*search, "--n", 4 + count % 3, "--seed", count, "--runs", tmp_path / "runs")
        assert found.code == 0, found.err
        shutil.rmtree(tmp_path / "runs")
        gc.collect()
        measured.append(held(os.getpid()))
    flat(measured, record_property)

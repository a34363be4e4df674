"""Many tasks that sleep, through the program's executors: what a task costs beside its work."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scale_results import table
from scale_tasks import Nap, asleep

from pipeline.core import streams
from pipeline.core.bitset import width
from pipeline.engine.tasks import Task
from pipeline.executors import Executor, Processes, make_executor

# A task of isosceles at this size with weights, and a result of as many sets and points as the
# mean of its tasks (see `--costs`).
_N, _ROWS, _POINTS = 64, 90, 100
# Seconds of the first tasks, so that each worker begins one.
_LOADED = 0.5


class Naps(Sequence[Nap]):
    """Tasks that are made as they are asked for."""

    def __init__(self, first: int, count: int, seconds: float) -> None:
        """Take the number of the first, how many there are, and how long each sleeps."""
        self._first, self._count, self._seconds = first, count, seconds
        self._weights = np.linspace(0, 1, _N * _N, dtype=np.float32)
        self._zeros = np.zeros((_ROWS, width(_N * _N)), np.uint8)

    def __len__(self) -> int:
        """Return how many there are."""
        return self._count

    def __getitem__(self, index: Any) -> Any:
        """Return one of them."""
        if index >= self._count:
            raise IndexError(index)
        number = self._first + index
        rng = streams.state(0, 0, "portfolio", _N, number)
        what = ("", "", _N, "mirror", "tabu", self._zeros, rng)
        task = Task(*what, bound=10**6, weights=self._weights)
        return Nap(task, self._seconds, _ROWS, _POINTS, number)


def simulate(tasks: int, kind: str, workers: int, nap: float, batch: int = 0) -> None:
    """Send tasks that sleep through an executor; print what they cost."""
    executor = Processes(workers) if kind == "processes" else make_executor(workers, kind)
    try:
        began = time.perf_counter()
        _through(executor, Naps(0, 4 * workers, _LOADED))  # all workers are there and have loaded
        ready = time.perf_counter() - began
        load, cpu, others = os.getloadavg()[0], time.process_time(), _of_others()
        marks = {share: max(int(share * tasks), 1) for share in (0.01, 0.1, 0.5, 1.0)}
        held, took, done, began = {}, {}, 0, time.perf_counter()
        each = batch or tasks
        while done < tasks:
            naps = Naps(done, min(each, tasks - done), nap)
            for number, cells in executor.map(asleep, naps):
                assert number == done
                assert cells.shape == (_ROWS, width(_N * _N))
                done += 1
                for share, mark in marks.items():
                    if done == mark:
                        held[share], took[share] = resident(), time.perf_counter() - began
        seconds = time.perf_counter() - began
        cpu, others = time.process_time() - cpu, _of_others() - others
    finally:
        executor.close()
    rows = [
        f"tasks | {tasks:,} of {1e3 * nap:.0f} ms, {workers} workers, {kind}"
        + (f", in batches of {batch}" if batch else ""),
        f"seconds until all workers had a task | {ready:.1f}",
        f"seconds | {seconds:.1f} (load before {load:.1f})",
        f"tasks a second | {tasks / seconds:.0f}",
        f"workers asleep | {100 * tasks * nap / workers / seconds:.0f} %",
        f"ms a task beside the sleep of a worker | {1e3 * (seconds / tasks - nap / workers):.3f}",
        f"CPU ms a task, main process | {1e3 * cpu / tasks:.3f}",
        f"CPU ms a task, workers and daemons | {1e3 * others / tasks:.3f}",
    ]
    rows += [
        f"MB of the main process after {share:.0%} | {held[share]:.1f} ({took[share]:.0f} s)"
        for share in marks
    ]
    table("simulation | ", rows)


def resident() -> float:
    """Return this process's resident memory in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _through(executor: Executor, naps: Naps) -> None:
    for _ in executor.map(asleep, naps):
        pass


def _of_others() -> float:
    """Return the CPU seconds of all processes that this one has started, and that these have."""
    parents, spent = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue  # ended meanwhile
        fields = text.rpartition(")")[2].split()
        parents[int(stat.parent.name)] = int(fields[1])
        spent[int(stat.parent.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf(
            "SC_CLK_TCK"
        )
    ours = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= more
    return sum(spent[pid] for pid in ours - {os.getpid()})

"""What a task costs the main process, in bytes and seconds, and what follows for many cores."""

import heapq
import os
import pickle
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from scale_results import Results, table
from scale_tasks import timed

from pipeline.config import config_from
from pipeline.engine.engine import Engine
from pipeline.executors import Executor, Processes, never
from pipeline.plugins import load_problem

#: Rounds whose tasks are measured: problem, size, batches, and settings of the search.
CASES: dict[str, tuple[str, int, int, dict[str, int]]] = {
    "isosceles, n = 32": ("isosceles", 32, 3, {}),
    "isosceles, n = 64": ("isosceles", 64, 3, {}),
    "isosceles, n = 64, steps and nodes x 4": (
        "isosceles",
        64,
        1,
        {"tabu_steps": 800_000, "enumerate_nodes": 800_000},
    ),
    "isosceles, n = 100": ("isosceles", 100, 3, {}),
    "no-3-in-line, n = 46": ("no-3-in-line", 46, 3, {}),
}
# Times that a recorded round is played again.
_PLAYED = 7
# Seconds of the main process for a task on Ray beside what it does with the result: to hand it
# over, to wait, and to take the result (see `--simulate`).
_RAY = 0.001
# Tasks under way for each core, as the executors have it.
_ROOM = 6
# Threads that verify, on paper.
_THREADS = 16


class Recorder:
    """Runs tasks on an executor and keeps what came of each, with its seconds."""

    def __init__(self, inner: Executor) -> None:
        self._inner, self.on = inner, False
        self.kept: list[tuple[Any, np.ndarray, float, float]] = []

    def map(self, function: Callable[..., Any], tasks: Sequence[Any], over: Any = never) -> Any:
        """Yield what tasks find."""
        if not self.on:
            yield from self._inner.map(function, tasks, over)
            return
        found = self._inner.map(timed, tasks, over)
        for task, (cells, seconds, cpu) in zip(tasks, found, strict=True):
            self.kept.append((task, cells, seconds, cpu))
            yield cells

    def cores(self) -> int:
        """Return how many tasks run at once."""
        return self._inner.cores()

    def cpu(self) -> float:
        """Return the CPU seconds of the executor."""
        return self._inner.cpu()

    def close(self) -> None:
        """Let go of the executor."""
        self._inner.close()

    kill = close


class Player:
    """Gives at once what tasks have found before: what is left is the main process's own work."""

    def __init__(self, kept: Sequence[tuple[Any, np.ndarray, float, float]]) -> None:
        self._found = {task.rng.tobytes(): cells for task, cells, _, _ in kept}

    def map(self, function: Any, tasks: Sequence[Any], over: Any = never) -> Iterator[Any]:
        """Yield what the tasks found."""
        for task in tasks:
            yield self._found[task.rng.tobytes()]

    def cores(self) -> int:
        """Return one: nothing runs."""
        return 1

    def cpu(self) -> float:
        """Return nothing: there are no workers."""
        return 0.0

    def close(self) -> None:
        """Nothing to let go of."""

    kill = close


def cost(name: str, n: int, batches: int, settings: dict[str, int]) -> dict[str, Any]:
    """Record a round of search, after one that tries all arms, and play it again without search."""
    data = {"problem": name, "n": n, "generator": "none", "compute": {"workers": 2}}
    config = config_from({**data, "search": {"batches": batches, **settings}}, "the benchmark")
    problem, recorder = load_problem(name), Recorder(Processes(2))
    engine = Engine(problem, config, recorder)
    engine.warm_up()
    pool, arms = engine.explorer.explore(n, 1, engine.runner.none(n), [], {})
    recorder.on = True
    after, _ = engine.explorer.explore(n, 2, pool, arms, {})
    recorder.close()
    taken: dict[str, list[float]] = {"1": [], "64": []}
    for _ in range(_PLAYED):
        for threads, into in taken.items():
            os.environ["OMP_NUM_THREADS"] = threads  # which bounds those that verify
            again = Engine(problem, config, Player(recorder.kept))
            began = time.thread_time()
            same, _ = again.explorer.explore(n, 2, pool, arms, {})
            into.append(time.thread_time() - began)
            assert (same.cells == after.cells).all()
    del os.environ["OMP_NUM_THREADS"]
    count = len(recorder.kept)
    return {
        "tasks": count,
        "cpu": [round(cpu, 4) for _, _, _, cpu in recorder.kept],
        "sent": [len(pickle.dumps(task, 5)) for task, _, _, _ in recorder.kept],
        "returned": [len(pickle.dumps(cells, 5)) for _, cells, _, _ in recorder.kept],
        "zeros": [task.cells.nbytes for task, _, _, _ in recorder.kept],
        "driver": statistics.median(taken["1"]) / count,
        "serial": statistics.median(taken["64"]) / count,
    }


def costs(results: Results) -> None:
    """Measure and print what tasks are to the main process."""
    rows = []
    for case, how in CASES.items():
        results.once("costs", case, 0, lambda how=how: cost(*how))
        row = _of(results, case)
        rows.append(
            f"{case} | {row['tasks']} | {np.mean(row['cpu']):.2f} | {max(row['cpu']):.1f} | "
            f"{np.mean(row['sent']) / 1e3:.1f} | "
            f"{np.mean(np.add(row['sent'], row['zeros'])) / 1e3:.0f} | "
            f"{np.mean(row['returned']) / 1e3:.1f} | {max(row['returned']) / 1e3:.0f} | "
            f"{1e3 * row['driver']:.2f} | {1e3 * row['serial']:.2f}"
        )
    table(
        "round of | tasks | CPU s a task | most | kB sent | with its zeros | kB returned | most | "
        "main process, ms | of it the main thread alone",
        rows,
    )


def _of(results: Results, case: str) -> dict[str, Any]:
    keys = ("tasks", "cpu", "sent", "zeros", "returned", "driver", "serial")
    return {key: results.all("costs", case, key)[0] for key in keys}


def busy(
    seconds: Sequence[float],
    cores: int,
    batch: int,
    driver: float,
    send: float = 0.0,
    room: int = _ROOM,
) -> float:
    """Return the share of the cores' time that tasks use, on paper.

    Args:
        seconds: of each task, in their order.
        batch: tasks that are handed out at once; the next wait for all of these.
        driver: seconds that the main process needs for each result, one after the other.
        send: seconds that it needs to hand a task over.
        room: tasks under way for each core.
    """
    now = 0.0
    for start in range(0, len(seconds), batch):
        part = seconds[start : start + batch]
        free, taken = [now] * min(cores, len(part)), [now]
        for i, long in enumerate(part):
            sent = now + (i + 1) * send if i < room * cores else taken[i - room * cores + 1]
            end = max(heapq.heappop(free), sent) + long
            heapq.heappush(free, end)
            taken.append(max(end, taken[-1]) + driver)
        now = max(taken[-1], now + min(len(part), room * cores) * send)
    return sum(seconds) / (cores * now) if now else 0.0


def paper(results: Results) -> None:
    """Print how busy cores are by the number of tasks in a batch, and what flows."""
    rng = np.random.default_rng(0)
    for case in CASES:
        row = _of(results, case)
        mean, beside = float(np.mean(row["cpu"])), row["driver"] - row["serial"]
        one, driver = (_RAY + row["serial"] + beside / threads for threads in (1, _THREADS))
        rows = []
        for cores in (2, 16, 64, 128, 256, 512, 1000):
            shares = []
            for batch in (16, cores, 4 * cores, 16 * cores):
                drawn = rng.choice(row["cpu"], size=batch * max(4, 512 // batch))
                shares.append(f"{busy(drawn.tolist(), cores, batch, driver, _RAY / 2):.0%}")
            rate = min(cores / mean, 1 / driver)
            rows.append(
                f"{cores} | {' | '.join(shares)} | {rate:.0f} | "
                f"{rate * np.mean(row['sent']) / 1e6:.2f} | "
                f"{rate * np.mean(row['returned']) / 1e6:.1f} | "
                f"{min(cores / mean * driver, 1):.0%} | "
                f"{_ROOM * cores * np.mean(row['returned']) / 1e6:.0f}"
            )
        print(
            f"{case}: {mean:.2f} s a task; of the main process {1e3 * one:.1f} ms with one thread, "
            f"{1e3 * driver:.1f} with {_THREADS}; so it keeps at most {mean / one:.0f} or "
            f"{mean / driver:.0f} cores busy.\n"
        )
        table(
            "cores | busy, 16 tasks a batch | 1 a core | 4 a core | 16 a core | tasks/s | MB/s out "
            "| MB/s back | main process | MB of results under way",
            rows,
        )

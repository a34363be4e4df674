"""What `scale.py` has the workers do: a task with its seconds, and a task that only sleeps."""

import time
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pipeline.core.bitset import pack
from pipeline.engine.tasks import Task, run_task


@dataclass(frozen=True, eq=False)
class Nap:
    """A task of the program that is slept through.

    Attributes:
        seconds: how long.
        rows, points: of the result, as many as a real one has.
        number: comes back with the result, to see that the order is kept.
    """

    task: Task
    seconds: float
    rows: int
    points: int
    number: int


def timed(task: Task) -> tuple[np.ndarray, float, float]:
    """Return what a task finds, its seconds, and its CPU seconds."""
    began, cpu = time.perf_counter(), time.thread_time()
    cells = run_task(task)
    return cells, time.perf_counter() - began, time.thread_time() - cpu


def asleep(nap: Nap) -> tuple[int, np.ndarray]:
    """Sleep, and return sets like those of a real task."""
    time.sleep(nap.seconds)
    return nap.number, _sets(nap.rows, nap.points, nap.task.cells.shape[1])


@lru_cache(maxsize=4)
def _sets(rows: int, points: int, width: int) -> np.ndarray:
    order = np.argsort(np.random.default_rng(1).random((rows, 8 * width)), axis=1)
    held = np.zeros((rows, 8 * width), np.bool_)
    np.put_along_axis(held, order[:, :points], True, axis=1)
    return pack(held)

"""Rows side by side on several threads: compiled code runs without the interpreter's lock."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np

# Steps, of some nanoseconds each, that are worth a thread: a millisecond.
_STEPS = 300_000
_MOST = 64


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def by_rows(
    function: Callable[[np.ndarray], np.ndarray], rows: np.ndarray, steps: float
) -> np.ndarray:
    """Return what a function gives that treats each row by itself, a part of the rows a thread.

    Args:
        function: compiled but for a line or two.
        steps: of all rows together, some nanoseconds each.
    """
    parts = min(_most(), len(rows), int(steps // _STEPS))
    if parts < 2:
        return function(rows)
    return np.concatenate(list(_threads().map(function, np.array_split(rows, parts))))


def _most() -> int:
    """Return how many threads to use: a core each, or what a job was told."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores(), int(told) if told.isdecimal() and int(told) else _MOST)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(cores(), _MOST), "rows")

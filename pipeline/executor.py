"""Where shards of work run: in this process or in several; the results are the same."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any, Protocol, TypeVar

from pipeline.errors import PipelineError

Task = TypeVar("Task")
Result = TypeVar("Result")


class Executor(Protocol):
    """Runs a pure function over tasks."""

    def map(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Yield ``function(task)`` for each task, in the order of the tasks."""
        ...

    def close(self) -> None:
        """Let go of whatever the executor holds; a task under way is finished."""
        ...

    def kill(self) -> None:
        """Let go of it at once."""
        ...


class Serial:
    """One task after the other, in this process."""

    def map(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Yield each result as soon as it is made."""
        return map(function, tasks)

    def close(self) -> None:
        """Nothing to let go of."""

    def kill(self) -> None:
        """Nothing to let go of."""


class Processes:
    """Several processes, started anew (spawn: a forked child may not use compiled threads)."""

    def __init__(self, workers: int) -> None:
        """Take the number of processes, at least 1; they start with the first task."""
        if workers < 1:
            raise ValueError(f"workers must be at least 1, got {workers}")
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def map(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Yield the results in the order of the tasks; leaving early cancels the rest.

        Raises:
            PipelineError: a worker died (killed, or out of memory).
        """
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start_worker,
            )
        with _interrupts_held():
            futures = [self._pool.submit(function, task) for task in tasks]
        try:
            for future in futures:
                yield future.result()
        except BrokenProcessPool as error:
            self._pool = None
            raise PipelineError(
                "a worker process died (out of memory?); resume the run with fewer --workers"
            ) from error
        finally:
            for future in futures:
                future.cancel()

    def close(self) -> None:
        """Stop the workers; tasks that have not begun are dropped."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def kill(self) -> None:
        """End the workers in the midst of their tasks."""
        for worker in list(((self._pool and self._pool._processes) or {}).values()):
            worker.kill()
        self.close()


def make_executor(workers: int) -> Executor:
    """Return an executor for that many processes; 0 takes one for each core."""
    workers = workers or cores()
    return Serial() if workers == 1 else Processes(workers)


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let Ctrl-C wait; a process started meanwhile never sees it, not even as it loads.

    The mask is for the processes, which inherit it. This one needs the handler held as well,
    since a signal may reach it by another thread and then runs the handler in this one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[Any] = []
    handler = signal.signal(signal.SIGINT, lambda *what: held.append(what))
    masks = hasattr(signal, "pthread_sigmask")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if masks else None
    try:
        yield
    finally:
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGINT, handler or signal.SIG_DFL)
    if held and callable(handler):
        handler(*held[-1])


def _start_worker(*_: Any) -> None:
    # Ctrl-C reaches the whole process group; the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A worker of a killed parent would wait for work for ever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)

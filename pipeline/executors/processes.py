"""Tasks in several processes of this machine, with the same results as in one."""

import contextlib
import itertools
import multiprocessing
import os
import signal
import sys
import threading
import time
import types
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any

import numpy as np

from pipeline.core import stop_flag
from pipeline.errors import PipelineError
from pipeline.executors.base import ENDING, GRACE, Over, R, T, awaited, given_a_moment, never

# How often tasks are begun again after a worker died before that counts as the tasks' own fault.
_RETRIES = 2
# Tasks handed over at once: so many for each worker, and some to go on with while one is slow.
# Results wait for those of earlier tasks, so this bounds what is held of them.
_ROOM, _AHEAD = 6, 64
# Seconds between two reports of a worker's CPU time.
_REPORT = 0.1


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Keep new workers from running the user's script once more, to find functions in it.

    Tasks are functions of this package, so a script needs no ``if __name__ == "__main__"``.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class Processes:
    """Several processes, started anew (spawn: a forked child may not use compiled threads)."""

    def __init__(self, workers: int) -> None:
        """Take the number of processes, at least 1; they start with the first task."""
        if workers < 1:
            raise ValueError(f"workers must be at least 1, got {workers}")
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None
        self._flag: Any = None
        self._cpu, self._cpu_before = np.zeros(0), 0.0

    def map(
        self, function: Callable[[T], R], tasks: Sequence[T], over: Over = never
    ) -> Iterator[R]:
        """Yield the results in the order of the tasks; leaving early cancels the rest.

        When a worker dies, others begin again what had no result yet.

        Raises:
            PipelineError: workers die again and again.
        """
        left, deaths = list(tasks), 0
        while left and not (deaths and over()):
            done = 0
            try:
                for result in self._attempt(function, left, over):
                    done += 1
                    yield result
                return
            except BrokenProcessPool as error:
                how = self._death()
                left, deaths = left[done:], deaths + 1
                if deaths > _RETRIES:
                    raise PipelineError(f"worker processes died {deaths} times: {how}") from error

    def _attempt(self, function: Callable[[T], R], tasks: Sequence[T], over: Over) -> Iterator[R]:
        under_way: deque[Future[R]] = deque()  # in the order of the tasks
        waiting = iter(tasks)
        try:
            while True:
                self._begin(function, waiting, under_way)
                if not under_way:
                    return
                if not awaited(under_way[0], over):
                    break
                yield under_way.popleft().result()
            self._flag[0] = 1
            until = time.monotonic() + GRACE
            while under_way and given_a_moment(under_way[0], until):
                yield under_way.popleft().result()
            self.kill()
        finally:
            # With workers of its own the next map owes nothing to what is left here.
            if self._pool is not None and not all(future.done() for future in under_way):
                self.close()

    def _begin(
        self, function: Callable[[T], R], waiting: Iterator[T], under_way: "deque[Future[R]]"
    ) -> None:
        """Hand tasks over while there is room."""
        tasks = list(itertools.islice(waiting, _ROOM * self._workers + _AHEAD - len(under_way)))
        if tasks:
            with _signals_held(), _without_main():
                pool = self._started()
                under_way += [pool.submit(_reported, function, task) for task in tasks]

    def cores(self) -> int:
        """Return the number of processes."""
        return self._workers

    def cpu(self) -> float:
        """Return the CPU seconds of the workers so far; those of a task under way are counted."""
        return self._cpu_before + float(self._cpu.sum())

    def close(self) -> None:
        """Stop the workers: tasks that have not begun are dropped, others told to come back."""
        if self._pool is not None:
            self._flag[0] = 1
            self._end(GRACE)

    def kill(self) -> None:
        """End the workers in the midst of their tasks."""
        for worker in self._processes():
            worker.kill()
        self._end(0)

    def _end(self, grace: float) -> list[Any]:
        """Let go of the pool, kill workers that outlast ``grace`` seconds, and return them all.

        The pool's own thread alone waits for the processes: of two that do, one may take a process
        that has ended for one that still runs.
        """
        pool, workers, self._pool = self._pool, self._processes(), None
        if pool is not None:
            late = threading.Timer(grace, lambda: [worker.kill() for worker in workers])
            late.daemon = True
            late.start()
            pool.shutdown(wait=True, cancel_futures=grace > 0)
            late.cancel()
        return workers

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            flag, cpu = context.RawArray("B", 1), context.RawArray("d", self._workers)
            self._cpu_before = self.cpu()
            self._flag, self._cpu = np.frombuffer(flag, np.uint8), np.frombuffer(cpu)
            self._pool = ProcessPoolExecutor(
                self._workers,
                mp_context=context,
                initializer=_start_worker,
                initargs=(flag, cpu, context.Value("i", 0)),
            )
        return self._pool

    def _processes(self) -> list[Any]:
        """Return the workers; the pool has no public way to name them."""
        return list((getattr(self._pool, "_processes", None) or {}).values())

    def _death(self) -> str:
        """Let go of a broken pool and say what ended the worker that died first."""
        codes = [worker.exitcode for worker in self._end(GRACE)]
        if -signal.SIGSEGV in codes:
            return (
                "a segmentation fault; the problem's hook or checker writes outside its arrays: "
                "run pipeline check on it"
            )
        killed = [code for code in codes if code is not None and code < 0 and code != -15]
        if killed:
            name = signal.Signals(-killed[0]).name
            return (
                f"they are killed ({name}; the system does so when memory is full); resume the "
                "run with fewer --workers"
            )
        return "they end by themselves; resume the run with --workers 1 to see why"


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Let Ctrl-C and its kin wait; a process started meanwhile never sees them as it loads.

    The mask is for the processes, which inherit it. This one needs the handlers held as well,
    since a signal may reach it by another thread and then runs the handler in this one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in ENDING]
    held: list[Any] = []
    handlers = {n: signal.signal(n, lambda *what: held.append(what)) for n in numbers}
    masks = hasattr(signal, "pthread_sigmask")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers) if masks else None
    try:
        yield
    finally:
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number, handler in handlers.items():
            signal.signal(number, handler or signal.SIG_DFL)
    for what in held[:1]:
        handler = handlers[what[0]]
        if callable(handler):
            handler(*what)
        elif handler is signal.SIG_DFL:
            signal.raise_signal(what[0])


# Where this process, a worker, tells the CPU seconds it has used; float64 (1,).
_own_cpu = np.zeros(1)


def _start_worker(flag: Any, cpu: Any, started: Any) -> None:
    # A signal reaches the whole process group; the parent alone decides what it means.
    for name in ENDING:
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    global _own_cpu
    with started.get_lock():
        _own_cpu = np.frombuffer(cpu)[started.value :][:1]
        started.value += 1
    stop_flag.adopt(flag)
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    """Report CPU time while tasks run, and end with the parent.

    A worker of a killed parent would wait for work for ever.
    """
    parent = multiprocessing.parent_process()
    while parent is not None:
        _own_cpu[0] = time.process_time()
        if wait([parent.sentinel], timeout=_REPORT):
            os._exit(1)


def _reported(function: Callable[[T], R], task: T) -> R:
    """Run a task and report the CPU time to the end of it."""
    try:
        return function(task)
    finally:
        _own_cpu[0] = time.process_time()

"""Where shards of work run: in this process or in several; the results are the same."""

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any, Protocol, TypeVar

import numpy as np

from pipeline.core import stop_flag
from pipeline.errors import PipelineError

Task = TypeVar("Task")
Result = TypeVar("Result")

#: Asked while tasks run whether to stop; what it raises ends the work at once.
Over = Callable[[], bool]

# Seconds between two looks at the clock, and those a task is given to come back once told to stop.
_LOOK, _GRACE = 0.05, 0.8
# How often tasks are begun again after a worker died before that counts as the tasks' own fault.
_RETRIES = 2
#: Signals that end a session; a worker leaves them to the process that started it.
ENDING = [s for s in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, s)]


def never() -> bool:
    """Go on to the end."""
    return False


class Executor(Protocol):
    """Runs a pure function over tasks."""

    def map(
        self, function: Callable[[Task], Result], tasks: Sequence[Task], over: Over = never
    ) -> Iterator[Result]:
        """Yield ``function(task)`` for each task, in the order of the tasks.

        Once ``over()`` is true, tasks under way are told to come back with what they have, and
        the results end with those that do so within a second.
        """
        ...

    def close(self) -> None:
        """Let go of whatever the executor holds; a task under way is told to come back."""
        ...

    def kill(self) -> None:
        """Let go of it at once."""
        ...


class Serial:
    """One task after the other, in this process, on a thread that can be left behind."""

    def map(
        self, function: Callable[[Task], Result], tasks: Sequence[Task], over: Over = never
    ) -> Iterator[Result]:
        """Yield each result as soon as it is made."""
        flag = stop_flag.flag()
        flag[0] = 0
        for task in tasks:
            future = _on_a_thread(function, task)
            try:
                in_time = _awaited(future, over)
            except BaseException:
                flag[0] = 1  # and it stays up for a task that takes no notice
                _given_a_moment(future)
                raise
            if in_time:
                yield future.result()
                continue
            flag[0] = 1
            if _given_a_moment(future):
                flag[0] = 0
                yield future.result()
            return

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
        self._flag: Any = None

    def map(
        self, function: Callable[[Task], Result], tasks: Sequence[Task], over: Over = never
    ) -> Iterator[Result]:
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

    def _attempt(
        self, function: Callable[[Task], Result], tasks: Sequence[Task], over: Over
    ) -> Iterator[Result]:
        futures: list[Future[Result]] = []
        try:
            with _signals_held():
                pool = self._started()
                futures += [pool.submit(function, task) for task in tasks]
            waiting = iter(futures)
            for future in waiting:
                if not _awaited(future, over):
                    waiting = itertools.chain([future], waiting)
                    break
                yield future.result()
            else:
                return
            self._flag[0] = 1
            until = time.monotonic() + _GRACE
            for future in waiting:
                if not _given_a_moment(future, until):
                    break
                yield future.result()
            self.kill()
        finally:
            # With workers of its own the next map owes nothing to what is left here.
            if self._pool is not None and not all(future.done() for future in futures):
                self.close()

    def close(self) -> None:
        """Stop the workers: tasks that have not begun are dropped, others told to come back."""
        if self._pool is not None:
            self._flag[0] = 1
            self._end(_GRACE)

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
            shared = context.RawArray("B", 1)
            self._flag = np.frombuffer(shared, np.uint8)
            self._pool = ProcessPoolExecutor(
                self._workers,
                mp_context=context,
                initializer=_start_worker,
                initargs=(shared,),
            )
        return self._pool

    def _processes(self) -> list[Any]:
        """Return the workers; the pool has no public way to name them."""
        return list((getattr(self._pool, "_processes", None) or {}).values())

    def _death(self) -> str:
        """Let go of a broken pool and say what ended the worker that died first."""
        codes = [worker.exitcode for worker in self._end(_GRACE)]
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


def make_executor(workers: int) -> Executor:
    """Return an executor for that many processes; 0 takes one for each core."""
    workers = workers or cores()
    return Serial() if workers == 1 else Processes(workers)


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _awaited(future: "Future[Any]", over: Over) -> bool:
    """Wait for a result; False once the work is over."""
    while not future.done():
        if over():
            return False
        wait_for([future], timeout=_LOOK)
    return True


def _given_a_moment(future: "Future[Any]", until: float | None = None) -> bool:
    """Tell whether a task that was told to come back does so."""
    left = _GRACE if until is None else until - time.monotonic()
    wait_for([future], timeout=max(left, 0))
    return future.done()


def _on_a_thread(function: Callable[[Task], Result], task: Task) -> "Future[Result]":
    """Begin a task on a thread that does not keep the process from ending."""
    future: Future[Result] = Future()

    def work() -> None:
        try:
            result = function(task)
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=work, daemon=True).start()
    return future


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


def _start_worker(shared: Any) -> None:
    # A signal reaches the whole process group; the parent alone decides what it means.
    for name in ENDING:
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    stop_flag.adopt(shared)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A worker of a killed parent would wait for work for ever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)

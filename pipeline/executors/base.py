"""What an executor is, and what those of this machine share."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")

#: Asked while tasks run whether to stop; what it raises ends the work at once.
Over = Callable[[], bool]

#: Signals that end a session; a worker leaves them to the process that started it.
ENDING = [
    name
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")  # SLURM and submitit send
    if hasattr(signal, name)
]
#: Seconds that a task is given to come back once told to stop.
GRACE = 0.8
# Seconds between two questions whether to stop.
_LOOK = 0.05


@contextlib.contextmanager
def handlers_kept() -> Iterator[None]:
    """Put the handlers of signals back that a library sets as it starts."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {name: signal.getsignal(getattr(signal, name)) for name in ENDING}
    try:
        yield
    finally:
        for name, handler in kept.items():
            signal.signal(getattr(signal, name), handler or signal.SIG_DFL)


def never() -> bool:
    """Go on to the end."""
    return False


class Executor(Protocol):
    """Runs a pure function over tasks."""

    def map(
        self, function: Callable[[T], R], tasks: Sequence[T], over: Over = never
    ) -> Iterator[R]:
        """Yield ``function(task)`` for each task, in the order of the tasks.

        Once ``over()`` is true, tasks under way are told to come back with what they have, and
        the results end with those that do so within a second.
        """
        ...

    def cores(self) -> int:
        """Return how many tasks can run at once.

        Raises:
            PipelineError: a cluster does not answer.
        """
        ...

    def cpu(self) -> float:
        """Return the CPU seconds that processes other than this one have spent.

        It grows while tasks run; whoever asks knows it to a tenth of a second.
        """
        ...

    def close(self) -> None:
        """Let go of whatever the executor holds; a task under way is told to come back."""
        ...

    def kill(self) -> None:
        """Let go of it at once."""
        ...


def awaited(future: "Future[Any]", over: Over) -> bool:
    """Wait for a result; False once the work is over."""
    while not future.done():
        if over():
            return False
        wait_for([future], timeout=_LOOK)
    return True


def given_a_moment(future: "Future[Any]", until: float | None = None) -> bool:
    """Tell whether a task that was told to come back does so."""
    left = GRACE if until is None else until - time.monotonic()
    wait_for([future], timeout=max(left, 0))
    return future.done()

"""Tasks one after the other, in this process."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future

from pipeline.core import stop_flag
from pipeline.executors.base import Over, R, T, awaited, given_a_moment, never


class Serial:
    """One task after the other, in this process, on a thread that can be left behind."""

    def map(
        self, function: Callable[[T], R], tasks: Sequence[T], over: Over = never
    ) -> Iterator[R]:
        """Yield each result as soon as it is made."""
        flag = stop_flag.flag()
        flag[0] = 0
        for task in tasks:
            future = _on_a_thread(function, task)
            try:
                in_time = awaited(future, over)
            except BaseException:
                flag[0] = 1  # and it stays up for a task that takes no notice
                given_a_moment(future)
                raise
            if in_time:
                yield future.result()
                continue
            flag[0] = 1
            if given_a_moment(future):
                flag[0] = 0
                yield future.result()
            return

    def cores(self) -> int:
        """Return 1: this process."""
        return 1

    def cpu(self) -> float:
        """Return 0: no other process works."""
        return 0.0

    def close(self) -> None:
        """Nothing to let go of."""

    def kill(self) -> None:
        """Nothing to let go of."""


def _on_a_thread(function: Callable[[T], R], task: T) -> "Future[R]":
    """Begin a task on a thread that does not keep the process from ending."""
    future: Future[R] = Future()

    def work() -> None:
        try:
            result = function(task)
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=work, daemon=True).start()
    return future

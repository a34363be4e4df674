"""Signals while a run goes on: the first Ctrl-C ends it in good order, the next one at once."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator
from typing import Any

from rich.console import Console

from pipeline.executors import ENDING
from pipeline.report.progress import ProgressDisplay
from pipeline.state import State

#: What is said to the first Ctrl-C.
STOPPING = "stopping; once more to stop at once"

# Seconds until the first Ctrl-C breaks into the work under way, and until the process is ended.
_BREAK_IN, _END = 0.7, 1.2


@contextlib.contextmanager
def on_signals(handler: Callable[[int, Any], None]) -> Generator[None, None, None]:
    """Have Ctrl-C, SIGTERM and the like handled for a while; one that is ignored stays so."""
    numbers = [getattr(signal, name) for name in ENDING]
    numbers = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


class Interrupted(Exception):
    """The user asked to stop; the round in progress is dropped."""


class Live(ProgressDisplay):
    """Shows in a terminal what goes on, and stops it when asked.

    Attributes:
        left: said where it takes no notice and is ended.
    """

    left = "finished rounds are kept: pipeline resume goes on"

    def __init__(self, console: Console, rounds: int = 0) -> None:
        """See `ProgressDisplay`."""
        super().__init__(console, rounds)
        self._asked = 0
        self._ended, self._heeded = threading.Event(), threading.Event()
        self._breaking_in = False
        self._signals = on_signals(self._on_signal)

    @property
    def stopping(self) -> bool:
        """Whether the user has asked to stop."""
        return self._asked > 0

    def __enter__(self) -> "Live":
        """Take over Ctrl-C, SIGTERM and the like."""
        self._signals.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        """Give all back."""
        self._ended.set()
        super().__exit__(*exception)
        self._signals.__exit__(None, None, None)

    def _on_signal(self, number: int, _frame: Any) -> None:
        if self._breaking_in:
            self._breaking_in = False
            if self._heeded.is_set():
                return  # the end is under way already, and must not be broken off
        self._asked += 1
        if self._asked > 1:
            self._heeded.set()
            raise KeyboardInterrupt
        threading.Thread(target=self._insist, daemon=True).start()
        self.bar.remark = STOPPING
        if not self.bar.is_drawn:
            # Not with the console: its locks and buffers may be in use by what was interrupted.
            with contextlib.suppress(OSError):
                os.write(2, f"{STOPPING}\n".encode())

    def _insist(self) -> None:
        """End a session that takes no notice: a round that is not committed never happened."""
        if self._ended.wait(_BREAK_IN):
            return
        if hasattr(signal, "pthread_kill") and not self._heeded.is_set():
            self._breaking_in = True
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        if self._ended.wait(_END):
            return
        for worker in multiprocessing.active_children():
            worker.kill()
        with contextlib.suppress(OSError):
            os.write(2, f"\npipeline: stopped; {self.left}\n".encode())
        os._exit(130)

    def _check(self) -> None:
        """End the run if the user has asked to stop."""
        if self._asked:
            self._heeded.set()
            raise Interrupted

    def begin(self, where: str) -> None:
        self._check()
        super().begin(where)

    def on_note(self, text: str) -> None:
        self._check()
        super().on_note(text)

    def on_stage(self, name: str, total: int, n: int | None = None) -> None:
        self._check()
        super().on_stage(name, total, n)

    def on_progress(self, done: int, best: int | None = None, loss: float | None = None) -> None:
        self._check()
        super().on_progress(done, best, loss)

    def on_round(self, state: State, seconds: float, cpu: float) -> None:
        super().on_round(state, seconds, cpu)
        self._check()

"""How a run looks while it goes on: a bar with an ETA in a terminal, lines elsewhere; Ctrl-C."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from pipeline.callbacks import STAGES, Callbacks
from pipeline.executors import ENDING
from pipeline.state import State

#: What is said to the first Ctrl-C.
STOPPING = "stopping; once more to stop at once"
_BEFORE_ETA = 3  # pieces of work that must be done; the first may hold the compiling
_LINE_EVERY = 10.0  # seconds between lines where there is no terminal

# Seconds until the first Ctrl-C breaks into the work under way, and until the process is ended.
_BREAK_IN, _END = 0.7, 1.2


class Interrupted(Exception):
    """The user asked to stop; the round in progress is dropped."""


class _Note(ProgressColumn):
    """What there is to say beside a bar."""

    def __init__(self, live: "Live") -> None:
        super().__init__()
        self._live = live

    def render(self, task: Task) -> Text:
        return Text(STOPPING if self._live.stopping else task.fields["note"])


class Live(Callbacks):
    """Shows in a terminal what goes on, and stops it when asked."""

    def __init__(self, console: Console, rounds: int = 0, quiet: bool = False) -> None:
        """Show on ``console``, which is that of stderr.

        Args:
            rounds: that the run will have; 0 where that is not known.
            quiet: show nothing, but still take Ctrl-C.
        """
        self._console, self._rounds, self._quiet = console, rounds, quiet
        self._bars: Progress | None = None
        self._task: Any = None
        self._title, self._total = "", 0
        self._began = self._said = 0.0
        self._where = ""
        self._asked = 0
        self._ended = threading.Event()
        self._previous: dict[int, Any] = {}

    @property
    def stopping(self) -> bool:
        """Whether the user has asked to stop."""
        return self._asked > 0

    def __enter__(self) -> "Live":
        """Take over Ctrl-C, SIGTERM and SIGHUP."""
        for number in (getattr(signal, name) for name in ENDING):
            if signal.getsignal(number) is signal.SIG_IGN:
                continue
            self._previous[number] = signal.signal(number, self._on_signal)
        if self._console.is_terminal and not self._quiet:
            self._bars = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("ETA"),
                TimeRemainingColumn(),
                _Note(self),
                console=self._console,
                transient=True,
            )
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Give all back."""
        self._ended.set()
        if self._bars is not None:
            self._bars.stop()
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: Any) -> None:
        self._asked += 1
        if self._asked > 1:
            raise KeyboardInterrupt
        threading.Thread(target=self._insist, daemon=True).start()
        if self._bars is None:
            # Not with the console: its locks and buffers may be in use by what was interrupted.
            with contextlib.suppress(OSError):
                os.write(2, f"{STOPPING}\n".encode())

    def _insist(self) -> None:
        """End a session that takes no notice: a round that is not committed never happened."""
        if self._ended.wait(_BREAK_IN):
            return
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        if self._ended.wait(_END):
            return
        for worker in multiprocessing.active_children():
            worker.kill()
        with contextlib.suppress(OSError):
            os.write(2, b"\npipeline: stopped; finished rounds are kept: pipeline resume goes on\n")
        os._exit(130)

    def _check(self) -> None:
        """End the run if the user has asked to stop."""
        if self._asked:
            raise Interrupted

    def _print(self, text: str) -> None:
        if not self._quiet:
            self._console.print(text, soft_wrap=True, markup=False)

    def begin(self, where: str) -> None:
        """Name the part of the work that begins, to show before its stages."""
        self._check()
        self._where = where

    def on_round_start(self, number: int) -> None:
        # A search that the clock ends has no number of rounds worth showing.
        known = 0 < self._rounds < 10_000
        self.begin(f"round {number}" + (f" of {self._rounds}" if known else ""))

    def on_note(self, text: str) -> None:
        self._check()
        self._print(text)

    def on_stage(self, name: str, total: int, n: int | None = None) -> None:
        self._check()
        self._total = total
        self._began = self._said = time.monotonic()
        what = STAGES.get(name, name) + ("" if n is None else f", n={n}")
        self._title = ": ".join(filter(None, [self._where, what]))
        if self._bars is None:
            self._print(self._title)
            return
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(self._title, total=total, note="")

    def on_progress(self, done: int, best: int = 0, loss: float | None = None) -> None:
        self._check()
        note = f"best {best}" if best else "" if loss is None else f"loss {loss:.3f}"
        now = time.monotonic()
        if self._bars is not None:
            self._bars.update(self._task, completed=done, note=note)
            return
        if now - self._said > _LINE_EVERY and done >= _BEFORE_ETA:
            self._said = now
            left = (now - self._began) / done * (self._total - done)
            self._print(
                f"{self._title} {done}/{self._total}, ETA {left:.0f} s, {note}".rstrip(", ")
            )

    def on_round(self, state: State, seconds: float, cpu: float) -> None:
        stats = state.stats
        pool = stats["pool"][str(state.n)]
        parts = [f"round {state.round}: nothing found"]
        if pool["valid"]:
            parts = [f"round {state.round}: best {pool['max']}, kept mean {pool['mean']:.2f}"]
        if "sampled" in stats:
            parts.append(f"{100 * stats['validity']:.0f} % of samples valid")
        if "searched" in stats:
            made, again = stats["kept_from_generator"], stats["rediscovered"]
            parts.append(f"{made} new kept from candidates, {again} rediscovered")
        self._print(f"{', '.join(parts)} ({seconds:.0f} s)")
        self._check()

"""How a run looks while it goes on: bars with an ETA in a terminal, lines elsewhere; Ctrl-C."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from typing import Any, Protocol

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

from pipeline.executors.local import ENDING

_TITLES = {
    "warm-up": "loading search",
    "seed": "local search",
    "train": "training",
    "sample": "sampling",
    "search": "repair and search",
    "portfolio": "search",
    "feedback": "feedback",
}
#: What is said to the first Ctrl-C.
STOPPING = "stopping; once more to stop at once"
_BEFORE_ETA = 3  # pieces of work that must be done; the first may hold the compiling
_LINE_EVERY = 10.0  # seconds between lines where there is no terminal
_LOG_EVERY = 2.0  # seconds between two reports of progress in the run's log


# Seconds until the first Ctrl-C breaks into the work under way, and until the process is ended.
_BREAK_IN, _END = 0.7, 1.2


class Interrupted(Exception):
    """The user asked to stop; the round in progress is dropped."""


class Log(Protocol):
    """What keeps a line for each thing that happened: a run, or a lab run."""

    def event(self, kind: str, **particulars: Any) -> None:
        """Append a line."""
        ...


class _Note(ProgressColumn):
    """What there is to say beside a bar."""

    def __init__(self, live: "Live") -> None:
        super().__init__()
        self._live = live

    def render(self, task: Task) -> Text:
        return Text(STOPPING if self._live.stopping else task.fields["note"])


class Live:
    """Shows what a session reports, logs it in the run's folder, and stops it when asked."""

    def __init__(self, run: Log, console: Console) -> None:
        """Show on ``console``, which is that of stderr."""
        self._run, self._console = run, console
        self._bars: Progress | None = None
        self._task: Any = None
        self._title, self._total = "", 0
        self._began = self._said = self._logged = 0.0
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
        if self._console.is_terminal:
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

    def report(self, event: str, **particulars: Any) -> None:
        """Take an event of the session."""
        if self._asked:
            raise Interrupted
        getattr(self, f"_on_{event}")(**particulars)

    def _on_round(self, number: int, rounds: int) -> None:
        # A search that the clock ends has no number of rounds worth showing.
        self._where = f"round {number}" + (f" of {rounds}" if rounds < 10_000 else "")

    def _on_task(self, name: str) -> None:
        self._where = name

    def _on_note(self, text: str) -> None:
        self._on_detail(text)
        self._console.print(text, soft_wrap=True, markup=False)

    def _on_detail(self, text: str) -> None:
        self._run.event("note", text=text)  # which `pipeline show` prints

    def _on_stage(self, name: str, total: int, n: int | None = None) -> None:
        self._total = total
        self._began = self._said = self._logged = time.monotonic()
        size = {} if n is None else {"n": n}
        title = _TITLES.get(name, name)
        self._run.event("stage", name=name, title=title, total=total, where=self._where, **size)
        what = title + (f", n={n}" if size else "")
        self._title = title = ": ".join(filter(None, [self._where, what]))
        if self._bars is None:
            self._console.print(title)
            return
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(title, total=total, note="")

    def _on_progress(self, done: int, best: int = 0, loss: float | None = None) -> None:
        note = f"best {best}" if best else "" if loss is None else f"loss {loss:.3f}"
        now = time.monotonic()
        if now - self._logged > _LOG_EVERY:
            self._logged = now
            self._run.event("progress", done=done)
        if self._bars is not None:
            self._bars.update(self._task, completed=done, note=note)
            return
        if now - self._said > _LINE_EVERY and done >= _BEFORE_ETA:
            self._said = now
            left = (now - self._began) / done * (self._total - done)
            self._console.print(
                f"{self._title} {done}/{self._total}, ETA {left:.0f} s, {note}".rstrip(", ")
            )

    def _on_best(self, n: int, score: int, origin: str, cpu: float) -> None:
        self._run.event("best", n=n, score=score, origin=origin, cpu=round(cpu, 3))

    def _on_cpu(self, cpu: float) -> None:
        self._run.event("cpu", cpu=round(cpu, 3))

    def _on_trained(self, **rates: float) -> None:
        self._run.event("trained", **rates)

    def _on_committed(self, stats: dict[str, Any], seconds: float) -> None:
        pool = stats["pool"][str(stats["n"])]
        self._run.event("round", number=stats["round"], seconds=seconds, best=pool["max"])
        parts = [f"round {stats['round']}: nothing found"]
        if pool["valid"]:
            parts = [f"round {stats['round']}: best {pool['max']}, kept mean {pool['mean']:.2f}"]
        if "sampled" in stats:
            parts.append(f"{100 * stats['validity']:.0f} % of samples valid")
        if "searched" in stats:
            by = "the model" if "sampled" in stats else "proposals"
            made, again = stats["kept_from_proposals"], stats["rediscovered"]
            parts.append(f"{made} new kept from {by}, {again} rediscovered")
        self._console.print(f"{', '.join(parts)} ({seconds:.0f} s)")

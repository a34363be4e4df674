"""How a run looks while it goes on: a bar with an ETA where there is a terminal, else lines."""

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
from pipeline.state import State

_BEFORE_ETA = 3  # pieces of work that must be done; the first may hold the compiling
_LINE_EVERY = 10.0  # seconds between lines where there is no terminal
_MANY = 10_000  # rounds; a search that the clock ends has no number of rounds worth showing


class _Note(ProgressColumn):
    """What there is to say beside a bar."""

    def __init__(self, display: "ProgressDisplay") -> None:
        super().__init__()
        self._display = display

    def render(self, task: Task) -> Text:
        return Text(self._display.remark or task.fields["note"])


class ProgressDisplay(Callbacks):
    """Shows what goes on. A context manager: the bar is there inside it alone."""

    def __init__(
        self, console: Console | None = None, rounds: int = 0, quiet: bool = False
    ) -> None:
        """Show on a console.

        Args:
            console: None for that of stderr.
            rounds: that the run will have; 0 where that is not known.
            quiet: show nothing.
        """
        self._console = Console(stderr=True) if console is None else console
        self._rounds, self._quiet = rounds if rounds < _MANY else 0, quiet
        self._bars: Progress | None = None
        self._task: Any = None
        self._title, self._total, self._where = "", 0, ""
        self._began = self._said = 0.0
        self._number, self._round_began, self._round_took = 0, 0.0, 0.0
        #: What to show in place of the note beside the bar.
        self.remark = ""

    @property
    def has_bar(self) -> bool:
        """Whether there is a bar, not lines."""
        return self._bars is not None

    def __enter__(self) -> "ProgressDisplay":
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
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def _print(self, text: str) -> None:
        if not self._quiet:
            self._console.print(text, soft_wrap=True, markup=False)

    def begin(self, where: str) -> None:
        """Name the part of the work that begins, to show before its stages."""
        self._where = where

    def on_round_start(self, number: int) -> None:
        self._number, self._round_began = number, time.monotonic()
        self.begin(f"round {number}" + (f" of {self._rounds}" if self._rounds else ""))

    def on_note(self, text: str) -> None:
        self._print(text)

    def on_stage(self, name: str, total: int, n: int | None = None) -> None:
        self._total = total
        self._began = self._said = time.monotonic()
        what = STAGES.get(name, name) + ("" if n is None else f", n={n}")
        self._title = ": ".join(filter(None, [self._where, what]))
        if self._bars is None:
            self._print(self._title)
            return
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(self._title, total=total, note=self._left_of_run())

    def on_progress(self, done: int, best: int = 0, loss: float | None = None) -> None:
        note = f"best {best}" if best else "" if loss is None else f"loss {loss:.3f}"
        note = ", ".join(filter(None, [note, self._left_of_run()]))
        now = time.monotonic()
        if self._bars is not None:
            self._bars.update(self._task, completed=done, note=note)
        elif now - self._said > _LINE_EVERY and done >= _BEFORE_ETA:
            self._said = now
            left = (now - self._began) / done * (self._total - done)
            parts = [f"{self._title} {done}/{self._total}", f"ETA {left:.0f} s", note]
            self._print(", ".join(filter(None, parts)))

    def _left_of_run(self) -> str:
        """Say how long the run will take from here on, once a round has shown what one takes."""
        if not self._rounds or not self._round_took or not self._number:
            return ""
        spent = time.monotonic() - self._round_began
        left = (self._rounds - self._number) * self._round_took
        return f"run ETA {left + max(self._round_took - spent, 0):.0f} s"

    def on_round(self, state: State, seconds: float, cpu: float) -> None:
        if state.round:
            self._round_took = seconds
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

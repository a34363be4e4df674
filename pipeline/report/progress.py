"""How a run looks while it goes on: a bar with an ETA where there is a terminal, else lines."""

import time

from rich.console import Console

from pipeline.callbacks import STAGES, Callbacks
from pipeline.report.bar import Bar
from pipeline.report.terminal import console as terminal
from pipeline.report.terminal import span
from pipeline.state import State

_MANY = 10_000  # rounds; a search that the clock ends has no number of rounds worth showing


class ProgressDisplay(Callbacks):
    """Shows what goes on. A context manager: the bar is there inside it alone."""

    def __init__(
        self, console: Console | None = None, rounds: int = 0, quiet: bool = False
    ) -> None:
        """Show on a console.

        Args:
            console: None for that of stderr.
            rounds: that the run will have; 0 where that is not known.
            quiet: show nothing, on that of stderr.
        """
        self.bar = Bar(terminal(stderr=True, quiet=quiet) if console is None else console)
        self._rounds = rounds if rounds < _MANY else 0
        self._where, self._number, self._round_began, self._round_took = "", 0, 0.0, 0.0

    def __enter__(self) -> "ProgressDisplay":
        self.bar.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.__exit__()

    def begin(self, where: str) -> None:
        """Name the part of the work that begins, to show before its stages."""
        self._where = where

    def on_round_start(self, number: int) -> None:
        self._number, self._round_began = number, time.monotonic()
        self.begin(f"round {number}" + (f" of {self._rounds}" if self._rounds else ""))

    def on_note(self, text: str) -> None:
        self.bar.say(text)

    def on_stage(self, name: str, total: int, n: int | None = None) -> None:
        what = STAGES.get(name, name) + ("" if n is None else f", n={n}")
        self.bar.begin(": ".join(filter(None, [self._where, what])), total, self._left_of_run())

    def on_progress(self, done: int, best: int | None = None, loss: float | None = None) -> None:
        note = f"best {best}" if best is not None else "" if loss is None else f"loss {loss:.3f}"
        self.bar.show(done, ", ".join(filter(None, [note, self._left_of_run()])))

    def _left_of_run(self) -> str:
        """Say how long the run will take from here on, once a round has shown what one takes."""
        if not self._rounds or not self._round_took or not self._number:
            return ""
        spent = time.monotonic() - self._round_began
        left = (self._rounds - self._number) * self._round_took
        return f"run ETA {span(left + max(self._round_took - spent, 0))}"

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
        self.bar.say(f"{', '.join(parts)} ({seconds:.0f} s)")

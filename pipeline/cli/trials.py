"""How trials go on: a bar with an ETA in a terminal, a line for each that ends."""

from collections.abc import Callable, Sequence
from typing import Any

from pipeline.benchmarking.experiment import Trial
from pipeline.benchmarking.results import Result
from pipeline.benchmarking.runner import Observer
from pipeline.cli.live import on_signals
from pipeline.report.bar import Bar

_START = 8.0  # seconds that a run is guessed to need beside its budget


class Progress(Observer):
    """Shows what is running and what was found; Ctrl-C asks to stop."""

    def __init__(
        self,
        console: Any,
        budget: str,
        jobs: int,
        seconds: float = 0.0,
        table: Callable[[Sequence[Result]], Any] | None = None,
    ) -> None:
        """Take what a run may use, how many run at once, and about how many seconds each lasts.

        Args:
            table: draws the results so far, in a terminal above the bar in place of lines.
        """
        self._table, self._results = table, list[Result]()
        self._bar, self._signals = Bar(console), on_signals(self._on_signal)
        self._budget, self._jobs, self._seconds = budget, jobs, seconds + _START
        self._lasted: list[float] = []
        self._done, self._total, self._note = 0, 0, ""
        self._asked = False

    def __enter__(self) -> "Progress":
        """Take over Ctrl-C, SIGTERM and the like."""
        self._signals.__enter__()
        self._bar.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Give all back."""
        self._bar.__exit__()
        self._signals.__exit__(None, None, None)

    def _on_signal(self, _number: int, _frame: Any) -> None:
        self._asked = True

    def stopping(self) -> bool:
        """Tell whether the user has asked to stop."""
        return self._asked

    def on_start(self, results: Sequence[Result], total: int) -> None:
        """Say what is there already."""
        self._done, self._total = len(results), total
        if results:
            self._bar.say(f"{len(results)} of {total} runs are there already")
        self._results = list(results)
        self._draw()
        self._bar.begin(f"runs of {self._budget}", total)

    def on_begin(self, trial: Trial) -> None:
        """Show what begins."""
        self._note = str(trial)

    def on_done(self, trial: Trial, result: Result, seconds: float) -> None:
        """Say what was found."""
        self._ended(seconds)
        self._results.append(result)
        if self._draw():
            return
        text = f"{self._done}/{self._total} {trial}: best {result.score}"
        self._bar.say(f"{text}, {result.cpu:.1f} CPU s ({seconds:.0f} s)")

    def on_failed(self, trial: Trial, error: str, seconds: float) -> None:
        """Say what failed, and why."""
        self._ended(seconds)
        text = f"{self._done}/{self._total} {trial} failed: {error}"
        self._bar.say(text)

    def on_leave(self, text: str) -> None:
        """Say what becomes of those that were left."""
        if text:
            self._bar.say(text)

    def _draw(self) -> bool:
        """Draw the table anew, where there is one and a terminal; tell whether it was."""
        if self._table is None or not self._bar.is_drawn:
            return False
        self._bar.above = self._table(self._results)
        return True

    def _ended(self, seconds: float) -> None:
        self._done += 1
        self._total = max(self._total, self._done)
        self._lasted.append(seconds)

    def on_tick(self, waiting: int, running: Sequence[float]) -> None:
        """Show how much is done, and guess when all is."""
        guess = max([self._seconds, *running])
        lasts = sum(self._lasted) / len(self._lasted) if self._lasted else guess
        left = waiting * lasts + sum(max(lasts - seconds, 0.0) for seconds in running)
        if waiting or running:
            eta = left / min(self._jobs, waiting + len(running))
            self._bar.show(self._done, self._note, eta)

"""How a comparison goes on: a bar with an ETA in a terminal, a line for each run elsewhere."""

import signal
import time
from collections.abc import Sequence
from typing import Any

from pipeline.benchmarking.experiment import Trial
from pipeline.benchmarking.results import Result
from pipeline.benchmarking.runner import Observer
from pipeline.executors import ENDING

_LINE_EVERY = 10.0  # seconds between lines where there is no terminal
_START = 8.0  # seconds that a run is guessed to need beside its budget


class Progress(Observer):
    """Shows what is running and what was found; Ctrl-C asks to stop."""

    def __init__(self, console: Any, cpu_seconds: float, jobs: int) -> None:
        """Take the budget of a run, and how many run at once."""
        self._console = console
        self._expected, self._jobs = cpu_seconds + _START, jobs
        self._lasted: list[float] = []
        self._done, self._total, self._said = 0, 0, time.monotonic()
        self._asked = False
        self._bars: Any = None
        self._task: Any = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Progress":
        """Take over Ctrl-C, SIGTERM and SIGHUP."""
        for number in (getattr(signal, name) for name in ENDING):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._on_signal)
        if self._console.is_terminal:
            from rich import progress

            self._bars = progress.Progress(
                progress.TextColumn("runs"),
                progress.BarColumn(bar_width=24),
                progress.MofNCompleteColumn(),
                progress.TimeElapsedColumn(),
                progress.TextColumn("ETA {task.fields[eta]}"),
                progress.TextColumn("{task.fields[note]}", markup=False),
                console=self._console,
                transient=True,
            )
            self._task = self._bars.add_task("runs", total=None, eta="-", note="")
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Give all back."""
        if self._bars is not None:
            self._bars.stop()
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _on_signal(self, _number: int, _frame: Any) -> None:
        self._asked = True

    def stopping(self) -> bool:
        """Tell whether the user has asked to stop."""
        return self._asked

    def on_start(self, done: int, total: int) -> None:
        """Say what is there already."""
        self._done, self._total = done, total
        if done:
            self._console.print(f"{done} of {total} runs are there already")

    def on_begin(self, trial: Trial) -> None:
        """Show what begins."""
        if self._bars is not None:
            self._bars.update(self._task, note=str(trial))

    def on_done(self, trial: Trial, result: Result, seconds: float) -> None:
        """Say what was found."""
        self._ended(seconds)
        text = f"{self._done}/{self._total} {trial}: best {result.score}"
        self._console.print(f"{text}, {result.cpu:.1f} CPU s ({seconds:.0f} s)", markup=False)

    def on_failed(self, trial: Trial, error: str, seconds: float) -> None:
        """Say what failed, and why."""
        self._ended(seconds)
        text = f"{self._done}/{self._total} {trial} failed: {error}"
        self._console.print(text, soft_wrap=True, markup=False)

    def _ended(self, seconds: float) -> None:
        self._done += 1
        self._lasted.append(seconds)

    def on_tick(self, waiting: int, running: Sequence[float]) -> None:
        """Show how much is done, and guess when all is."""
        from pipeline.cli.solve import readable_seconds

        guess = max([self._expected, *running])
        lasts = sum(self._lasted) / len(self._lasted) if self._lasted else guess
        left = waiting * lasts + sum(max(lasts - seconds, 0.0) for seconds in running)
        eta = readable_seconds(left / min(self._jobs, max(waiting + len(running), 1)))
        if self._bars is not None:
            self._bars.update(self._task, completed=self._done, total=self._total, eta=eta)
        elif (waiting or running) and time.monotonic() - self._said > _LINE_EVERY:
            self._said = time.monotonic()
            self._console.print(f"{self._done}/{self._total} runs, ETA {eta}")

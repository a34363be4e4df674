"""What is told while a run goes on: the terminal, the log, TensorBoard and a user's own listen."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.state import State

#: The stages of a round, and how they are called where people look.
STAGES = {
    "warm-up": "loading search",
    "seed": "local search",
    "explore": "search",
    "train": "training",
    "sample": "sampling",
    "improve": "repair and search",
    "feedback": "feedback",
}


class Callbacks:
    """Listens to a run. Override what you need; what a method raises ends the run.

    A round that has not been committed by then never happened, so a method may raise at any time.
    """

    def on_start(self, state: "State | None") -> None:
        """The run begins, or goes on from a state."""

    def on_round_start(self, number: int) -> None:
        """A round begins; number 0 is the seeding."""

    def on_stage(self, name: str, total: int, n: int | None = None) -> None:
        """A stage of a round begins.

        Args:
            name: one of ``STAGES``.
            total: how many steps, samples or tasks it has.
            n: the size, where a stage works on one of several.
        """

    def on_progress(self, done: int, best: int | None = None, loss: float | None = None) -> None:
        """So much of the stage is done; the best score in it, or the last loss, where known."""

    def on_best(self, n: int, score: int, origin: str, cpu: float) -> None:
        """A new best score of this session was verified, after so many CPU seconds."""

    def on_metrics(self, **values: float) -> None:
        """Rates of a stage, such as tokens per second; for logs, no result depends on them."""

    def on_note(self, text: str) -> None:
        """Something that the user should know, in one line."""

    def on_detail(self, text: str) -> None:
        """Something for those who look closely, in one line: a log keeps it."""

    def on_round(self, state: "State", seconds: float, cpu: float) -> None:
        """A round was committed, after so many seconds; the run has used so many CPU seconds."""

    def on_end(self, state: "State") -> None:
        """The run has reached a limit or its target."""


class CallbackList(Callbacks):
    """Several listeners as one, told in order."""

    def __init__(self, listeners: Iterable[Callbacks] = ()) -> None:
        self.listeners = list(listeners)

    @contextmanager
    def added(self, listener: Callbacks) -> Generator[None, None, None]:
        """Tell one more for a while."""
        self.listeners.append(listener)
        try:
            yield
        finally:
            self.listeners.remove(listener)

    def on_start(self, state: "State | None") -> None:
        for listener in self.listeners:
            listener.on_start(state)

    def on_round_start(self, number: int) -> None:
        for listener in self.listeners:
            listener.on_round_start(number)

    def on_stage(self, name: str, total: int, n: int | None = None) -> None:
        for listener in self.listeners:
            listener.on_stage(name, total, n)

    def on_progress(self, done: int, best: int | None = None, loss: float | None = None) -> None:
        for listener in self.listeners:
            listener.on_progress(done, best, loss)

    def on_best(self, n: int, score: int, origin: str, cpu: float) -> None:
        for listener in self.listeners:
            listener.on_best(n, score, origin, cpu)

    def on_metrics(self, **values: float) -> None:
        for listener in self.listeners:
            listener.on_metrics(**values)

    def on_note(self, text: str) -> None:
        for listener in self.listeners:
            listener.on_note(text)

    def on_detail(self, text: str) -> None:
        for listener in self.listeners:
            listener.on_detail(text)

    def on_round(self, state: "State", seconds: float, cpu: float) -> None:
        for listener in self.listeners:
            listener.on_round(state, seconds, cpu)

    def on_end(self, state: "State") -> None:
        for listener in self.listeners:
            listener.on_end(state)

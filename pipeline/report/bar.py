"""How far work has come: a bar with an ETA in a terminal, a line now and then elsewhere."""

import time
from collections.abc import Iterable
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from pipeline.report.terminal import span

_LINE_EVERY = 10.0  # seconds between lines where there is no terminal
#: Pieces of work, or the share of it, that must be done before an ETA is worth anything; the first
#: piece may hold the compiling.
_PIECES, _SHARE = 3, 0.002


class Bar:
    """Shows one piece of work after another. A context manager: the bar is there inside it alone.

    Attributes:
        title: of the piece of work.
        remark: what to show in place of the note beside the bar.
        above: what is drawn above the bar, anything that rich can draw; None for nothing.
    """

    def __init__(self, console: Console) -> None:
        self._console, self.remark = console, ""
        self.above: RenderableType | None = None
        self._bars: Progress | None = None
        self._task: TaskID | None = None
        self.title, self._total = "", 0
        self._began = self._said = 0.0

    @property
    def is_drawn(self) -> bool:
        """Whether there is a bar, not lines."""
        return self._bars is not None

    def __enter__(self) -> Self:
        """Draw a bar from here on, where there is a terminal."""
        if self._console.is_terminal and not self._console.quiet:
            self._bars = _Bars(
                self,
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[far]}"),
                TimeElapsedColumn(),
                TextColumn("ETA {task.fields[eta]}"),
                _Note(self),
                console=self._console,
                transient=True,
            )
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(text, soft_wrap=True, markup=False, highlight=False)

    def begin(self, title: str, total: int = 0, note: str = "") -> None:
        """Begin a piece of work.

        Args:
            total: what it counts to; 0 where its share is told.
        """
        self.title, self._total = title, total
        self._began = self._said = time.monotonic()
        if self._bars is None:
            self.say(title)
            return
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(
            title, total=total or 1, far=self._far(0), eta="-", note=note
        )

    def show(self, done: float, note: str = "", eta: float | None = None) -> None:
        """Show how much is done, as a number or as a share of 1.

        Args:
            eta: the seconds that are left; None to guess from those it has taken.
        """
        now, total = time.monotonic(), self._total or 1
        if eta is None and done >= (_PIECES if self._total else _SHARE):
            eta = (now - self._began) / done * (total - done)
        left = "-" if eta is None else span(eta)
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, completed=done, far=self._far(done), eta=left, note=note)
        elif now - self._said > _LINE_EVERY and eta is not None:
            self._said = now
            parts = [f"{self.title} {self._far(done)}", f"ETA {left}", note]
            self.say(", ".join(filter(None, parts)))

    def _far(self, done: float) -> str:
        return f"{done:g}/{self._total}" if self._total else f"{100 * done:.1f} %"


class _Bars(Progress):
    """The bar, and what is drawn above it."""

    def __init__(self, bar: Bar, *columns: ProgressColumn, **options: Any) -> None:
        self._bar = bar
        super().__init__(*columns, **options)

    def get_renderables(self) -> Iterable[RenderableType]:
        if self._bar.above is not None:
            yield self._bar.above
        yield from super().get_renderables()


class _Note(ProgressColumn):
    """What there is to say beside a bar; a remark may come from a handler of signals."""

    def __init__(self, bar: Bar) -> None:
        super().__init__()
        self._bar = bar

    def render(self, task: Task) -> Text:
        return Text(self._bar.remark or task.fields["note"])

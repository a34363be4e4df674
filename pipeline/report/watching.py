"""A run as its log tells it, while it goes on: what it is at, what it has found, its rounds."""

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline.report.terminal import span, table

_ROUNDS = 8  # of those that ended, shown
_BLOCKS = "▁▂▃▄▅▆▇█"


class Story:
    """What a run's events say so far; unknown events are passed over."""

    def __init__(self, name: str, n: int) -> None:
        """Begin to follow a run of size n."""
        self.name, self.n = name, n
        self.stage: dict[str, Any] | None = None
        self.progress: dict[str, Any] | None = None
        self.rounds: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None
        self.cpu = 0.0
        self.last = 0.0

    def take(self, event: Mapping[str, Any]) -> str | None:
        """Take in one event and return a line that tells of it, None where none is needed.

        Args:
            event: a line of events.jsonl.
        """
        kind, given = event.get("event"), dict(event)
        self.last = max(self.last, float(event.get("time", 0.0)))
        self.cpu = max(self.cpu, float(event.get("cpu", 0.0)))
        if kind == "stage":
            self.stage, self.progress = given, None
            return self.doing()
        if kind == "progress":
            self.progress = given
        elif kind == "best" and event.get("n") == self.n:
            self.best = given
            return f"best {event['score']}, after {event['cpu']:.1f} CPU seconds"
        elif kind == "round":
            self.rounds.append(given)
            self.stage = self.progress = None
            best = "nothing found" if event["best"] is None else f"best {event['best']}"
            return f"round {event['number']}: {best} ({event['seconds']:.0f} s)"
        elif kind == "note":
            return str(event.get("text", ""))
        return None

    def doing(self) -> str:
        """Say what the run is at."""
        if self.stage is None:
            return "between two pieces of work"
        size = f", n={self.stage['n']}" if "n" in self.stage else ""
        where = f"{self.stage['where']}: " if self.stage.get("where") else ""
        return f"{where}{self.stage.get('title', self.stage['name'])}{size}"

    def remaining(self) -> float | None:
        """Return the seconds that the stage will take from its last report on; None if unknown."""
        if self.stage is None or self.progress is None or not self.progress.get("done"):
            return None
        done, total = self.progress["done"], self.stage["total"]
        spent = self.progress["time"] - self.stage["time"]
        return spent / done * max(total - done, 0)

    def view(self, alive: bool, now: float | None = None) -> RenderableType:
        """Return the picture of the run at a moment (seconds since 1970; None for now).

        Args:
            alive: whether some process plays it.
        """
        moment = time.time() if now is None else now
        state = Text.assemble((self.name, "bold"), "  ", "running" if alive else "not running")
        if self.last:
            state.append(f", last heard of {span(moment - self.last)} ago")
        parts: list[RenderableType] = [state]
        if alive:
            parts.append(self._bar(moment))
        if self.best is not None:
            since = f"after {self.best['cpu']:.1f} of {self.cpu:.1f} CPU seconds"
            line = f"best {self.best['score']} at n={self.n}, {since}"
            parts.append(Text.assemble((line, "green")))
        if self.rounds:
            parts.append(self._table())
        return Group(*parts)

    def _bar(self, moment: float) -> RenderableType:
        grid = Table.grid(padding=(0, 1))
        row: list[RenderableType] = [self.doing()]
        if self.progress is not None and self.stage is not None:
            done, total = self.progress["done"], self.stage["total"]
            row += [ProgressBar(total=total, completed=done, width=24), f"{done:,}/{total:,}"]
            left = self.remaining()
            if left is not None:
                row.append(f"ETA {span(max(left - (moment - self.progress['time']), 0))}")
        grid.add_row(*row)
        return grid

    def _table(self) -> Table:
        made = table("round>", "best>", "seconds>", "best of every round")
        scores = [r["best"] for r in self.rounds]
        shown = self.rounds[-_ROUNDS:]
        for i, row in enumerate(shown):
            best = "-" if row["best"] is None else str(row["best"])
            drawn = sparks(scores[-40:]) if i == len(shown) - 1 else ""
            made.add_row(str(row["number"]), best, f"{row['seconds']:.0f}", drawn)
        return made


def sparks(scores: list[int | None]) -> str:
    """Draw numbers as a row of blocks, lowest to highest; a gap where there is none."""
    known = [score for score in scores if score is not None]
    low, high = min(known, default=0), max(known, default=0)
    top = len(_BLOCKS) - 1
    return "".join(
        " " if s is None else _BLOCKS[top if high == low else (s - low) * top // (high - low)]
        for s in scores
    )

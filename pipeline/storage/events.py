"""events.jsonl: a line for each thing that happened, for tails and tools."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.storage import files

NAME = "events.jsonl"


def append(folder: Path, kind: str, **particulars: Any) -> None:
    """Add an event to a folder's log; a log that cannot be written stops nothing."""
    with contextlib.suppress(OSError):
        moment = {"time": round(time.time(), 3), "event": kind}
        files.append_line(folder / NAME, moment | particulars)


def read(folder: Path, start: int = 0) -> list[dict[str, Any]]:
    """Return the events of a folder's log, oldest first; there may be no log.

    Args:
        start: the byte to begin at; below 0, counted from the end.
    """
    with contextlib.suppress(OSError):
        return list(files.parse_lines(files.read(folder / NAME, start)))
    return []


class Tail:
    """The events of a log, as they are written."""

    def __init__(self, folder: Path) -> None:
        """Follow the log of a folder, from its beginning."""
        self._path, self._place = folder / NAME, 0

    def new(self) -> Iterator[dict[str, Any]]:
        """Yield the events written since; a line in the making waits, a damaged one is skipped."""
        try:
            data = files.read(self._path, self._place)
        except OSError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._place += len(whole)
        yield from files.parse_lines(whole)

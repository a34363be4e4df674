"""What `scale.py` has measured, a line of a file each, and its tables."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


class Results:
    """Measurements by part, name and round."""

    def __init__(self, path: Path | None) -> None:
        """Read those of a file; None keeps them in memory alone."""
        self._path, self._rows = path, {}
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                self._rows[row["part"], row["name"], row["round"]] = row

    def once(self, part: str, name: str, number: int, work: Callable[[], dict[str, Any]]) -> None:
        """Measure unless it was measured."""
        if (part, name, number) in self._rows:
            return
        row = {"part": part, "name": name, "round": number} | work()
        self._rows[part, name, number] = row
        if self._path is not None:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def all(self, part: str, name: str, key: str) -> list[Any]:
        """Return one figure of all rounds, in their order."""
        return [row[key] for (p, n, _), row in sorted(self._rows.items()) if (p, n) == (part, name)]


def table(head: str, rows: Sequence[str]) -> None:
    """Print a Markdown table."""
    print(f"| {head} |\n|{'---|' * (head.count('|') + 1)}")
    for row in rows:
        print(f"| {row} |")
    print(flush=True)

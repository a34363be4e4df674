"""What a run looks like in a terminal: the lecture's statistics, histograms, a run on one line."""

import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.report.encoding import drawable
from pipeline.statistics import Distribution

_BLOCKS = " ▏▎▍▌▋▊▉█"


def statistics_table(rounds: list[dict[str, Any]], n: int) -> Table:
    """Return the four statistics of each round: what was made, and what was kept.

    Args:
        rounds: the stats of rounds, as in stats.json.
        n: the size the run searches for.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("round", justify="right")
    table.add_column("what")
    names = ("count", "mean", "median", "top 20 %", "max", "invalid", "wrong format")
    for name in names:
        table.add_column(name, justify="right")
    for stats in rounds:
        for what, found in parts(stats, n):
            failures = [str(found["invalid"]), str(found["wrong_format"])]
            table.add_row(
                str(stats["round"]),
                what,
                f"{found['count']:,}",
                _number(found["mean"]),
                _number(found["median"]),
                _number(found["top20"]),
                "-" if found["max"] is None else str(found["max"]),
                *(failures if what == "sampled" else ("", "")),
            )
    return table


def parts(stats: dict[str, Any], n: int) -> list[tuple[str, Distribution]]:
    """Return the distributions of size n that a round's stats hold, by name, in their order."""
    found: list[tuple[str, Distribution]] = []
    if str(n) in stats.get("seeded", {}):
        found.append(("seeded", stats["seeded"][str(n)]))
    if n == stats["n"]:
        found += [(name, stats[name]) for name in ("sampled", "searched") if name in stats]
    if str(n) in stats["pool"]:
        found.append(("kept", stats["pool"][str(n)]))
    return found


def histogram(found: Distribution, what: str, title: str, width: int = 80) -> Text:
    """Draw one bar for each score; what a model wrote has two more, for its failures.

    Args:
        what: "sampled" for what a model wrote, which alone can fail.
    """
    scores = {int(score): count for score, count in found["histogram"].items()}
    rows: list[tuple[str, int, str]] = []
    if scores:
        low, high = min(scores), max(scores)
        step = max(1, -(-(high - low + 1) // 40))
        for first in range(low, high + 1, step):
            label = str(first) if step == 1 else f"{first}-{min(first + step - 1, high)}"
            rows.append((label, sum(scores.get(first + i, 0) for i in range(step)), "cyan"))
    if what == "sampled":
        rows.append(("invalid", found["invalid"], "red"))
        rows.append(("wrong format", found["wrong_format"], "magenta"))
    text = Text(f"{title}: {what} ({found['count']:,})\n", style="bold")
    most = max((count for _, count, _ in rows), default=0) or 1
    margin = max((len(label) for label, _, _ in rows), default=0)
    room = max(width - margin - len(f"{most:,}") - 4, 10)
    for label, count, colour in rows:
        text.append(f"{label:>{margin}} ", style="default")
        text.append(_bar(count / most * room), style=colour)
        text.append(f" {count:,}\n", style="default")
    if not rows:
        text.append("nothing to show\n", style="default")
    return text


def console(stderr: bool = False) -> Console:
    """Return a console that honours NO_COLOR and wraps nothing where there is no terminal."""
    file = drawable(sys.stderr if stderr else sys.stdout)
    made = Console(file=file, stderr=stderr, highlight=False)
    return (
        made if made.is_terminal else Console(file=file, stderr=stderr, highlight=False, width=100)
    )


def _bar(length: float) -> str:
    eighths = round(length * 8)
    if length > 0:
        eighths = max(eighths, 1)
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_BLOCKS[rest] if rest else "")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"

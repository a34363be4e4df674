"""What a run looks like in a terminal: the lecture's statistics, histograms, a run on one line."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from pipeline.core.printable import printable
from pipeline.core.score_stats import Distribution
from pipeline.report.encoding import drawable

_BLOCKS = " ▏▎▍▌▋▊▉█"
_BARS = 40  # about so many of a histogram
_EMPTY = 4  # bars without anything that are shown in a row; more are a gap
_GAP = "…"


def statistics_table(rounds: list[dict[str, Any]], n: int) -> Table:
    """Return the four statistics of each round: what was made, and what was kept.

    Args:
        rounds: the stats of rounds, as in stats.json.
        n: the size the run searches for.
    """
    names = ("count", "mean", "median", "top 20 %", "max", "invalid", "wrong format")
    made = table("round>", "what", *(f"{name}>" for name in names))
    for stats in rounds:
        for what, found in parts(stats, n):
            failures = [str(found["invalid"]), str(found["wrong_format"])]
            made.add_row(
                str(stats["round"]),
                what,
                f"{found['count']:,}",
                _number(found["mean"]),
                _number(found["median"]),
                _number(found["top20"]),
                "-" if found["max"] is None else str(found["max"]),
                *(failures if what == "sampled" else ("", "")),
            )
    return made


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


def from_generator(pool: Any, stats: Mapping[str, Any]) -> str:
    """Say how much of a pool came from candidates, and how much of it was rediscovered.

    Args:
        pool: a population, after the round of ``stats``.

    Returns:
        Nothing for a round without candidates.
    """
    if "searched" not in stats:
        return ""
    made = int(pool.came_from("generator").sum())
    by = "the model" if "train" in stats else "candidates"
    text = f"{made:,} of the {len(pool):,} constructions kept came from {by}"
    if "rediscovered" not in stats:  # of an older release
        return text
    return f"{text}; round {stats['round']} rediscovered {stats['rediscovered']:,} more"


def imported(pool: Any) -> str:
    """Say how many of a population are not this program's own; nothing of none."""
    many = int(pool.imported.sum())
    if not many:
        return ""
    are = "is" if many == 1 else "are"
    return (
        f"{many:,} of the {len(pool):,} kept constructions {are} imported: given with --start, or "
        "found from what was"
    )


def histogram(found: Distribution, what: str, title: str, width: int = 80) -> Text:
    """Draw one bar for each score; what a model wrote has two more, for its failures.

    Args:
        what: "sampled" for what a model wrote, which alone can fail.
    """
    scores = {int(score): count for score, count in found["histogram"].items()}
    rows: list[tuple[str, int, str]] = [(label, count, "cyan") for label, count in _bars(scores)]
    if what == "sampled":
        rows.append(("invalid", found["invalid"], "red"))
        rows.append(("wrong format", found["wrong_format"], "magenta"))
    text = Text(f"{title}: {what} ({found['count']:,})\n", style="bold")
    most = max((count for _, count, _ in rows), default=0) or 1
    margin = max((len(label) for label, _, _ in rows), default=0)
    room = max(width - margin - len(f"{most:,}") - 4, 10)
    for label, count, colour in rows:
        if label == _GAP:
            text.append(f"{label:>{margin}}\n", style="default")
            continue
        text.append(f"{label:>{margin}} ", style="default")
        text.append(_bar(count / most * room), style=colour)
        text.append(f" {count:,}\n", style="default")
    if not rows:
        text.append("nothing to show\n", style="default")
    return text


def table(*columns: str, whole: Sequence[str] = (), footer: bool = False) -> Table:
    """Return a table without a frame.

    Args:
        columns: their heads; one that ends in ">" is pushed to the right, as numbers are.
        whole: those, beside numbers, that are never wrapped.
        footer: whether columns have one.
    """
    made = Table(box=None, pad_edge=False, header_style="bold", show_footer=footer)
    for column in columns:
        number = column.endswith(">")
        made.add_column(
            column.removesuffix(">"),
            justify="right" if number else "left",
            no_wrap=number or column in whole,
            overflow="fold",
        )
    return made


def console(stderr: bool = False, quiet: bool = False, file: IO[str] | None = None) -> "Terminal":
    """Return a console that honours NO_COLOR and wraps nothing where there is no terminal.

    Args:
        quiet: print nothing.
        file: print to this file instead.
    """
    file = drawable(sys.stderr if stderr else sys.stdout) if file is None else file
    made = Terminal(
        file=file, stderr=stderr, quiet=quiet, highlight=False, markup=False, emoji=False
    )
    if not made.is_terminal:
        made.width = 100
    return made


class Terminal(Console):
    """A console on which a text is that text: no markup, no control characters."""

    def say(self, text: str) -> None:
        """Print a line, however long it is."""
        self.print(text, soft_wrap=True)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)


def span(seconds: float) -> str:
    """Write a time in at most two units."""
    seconds = max(round(seconds), 0)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def _bars(scores: dict[int, int]) -> Iterator[tuple[str, int]]:
    """Yield the label and count of each bar, a few dozen whatever the scores.

    Few scores have a bar each, many share one with their neighbours. Of what lies empty between
    two bars a little is shown, and a lot is one gap.
    """
    if not scores:
        return
    low, high = min(scores), max(scores)
    step = 1 if len(scores) <= _BARS else -(-(high - low + 1) // _BARS)
    counts: dict[int, int] = {}
    for score in sorted(scores):
        first = low + (score - low) // step * step
        counts[first] = counts.get(first, 0) + scores[score]
    before = low
    for first, count in counts.items():
        far = (first - before) // step > _EMPTY
        if far:
            yield _GAP, 0
        empty = [] if far else [(begin, 0) for begin in range(before, first, step)]
        for begin, many in [*empty, (first, count)]:
            last = min(begin + step - 1, high)
            yield (str(begin) if step == 1 else f"{begin}-{last}"), many
        before = first + step


def _bar(length: float) -> str:
    eighths = round(length * 8)
    if length > 0:
        eighths = max(eighths, 1)
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_BLOCKS[rest] if rest else "")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"

"""A campaign as a table, for the terminal and in Markdown: what was found beside the best known."""

import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from pipeline.benchmarking.campaign import Row
from pipeline.report.terminal import console, table

_HEADS = ("n", "arm", "best known", "best", "median", "runs", "reached", "beaten", "CPU hours")


def drawn(rows: Sequence[Row]) -> Any:
    """Return the table for a rich console, with the run of each best."""
    made = table("n>", "arm", *(f"{head}>" for head in _HEADS[2:]), "run of the best")
    for row in rows:
        made.add_row(*_cells(row), Path(row.run).name if row.run else "-")
    return made


def text(rows: Sequence[Row]) -> str:
    """Return the table as text."""
    out = io.StringIO()
    print_rows(rows, console(file=out))
    return out.getvalue()


def html(rows: Sequence[Row]) -> str:
    """Return the table as HTML, for a notebook."""
    heads = "".join(f"<th>{escape(head)}</th>" for head in _HEADS)
    lines = ("".join(f"<td>{escape(cell)}</td>" for cell in _cells(row)) for row in rows)
    return f"<table><tr>{heads}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def print_rows(rows: Sequence[Row], out: Any) -> None:
    """Print the table on a rich console, and say where the best known value is beaten."""
    out.print(drawn(rows))
    above = [row for row in rows if row.beaten and row.best_known is not None]
    for row in above:
        out.print(
            f"n={row.n}: {row.best} is above the best known {row.best_known} on record here; "
            "look whether others have more before you call it new"
        )


def markdown(rows: Sequence[Row], command: str) -> str:
    """Return the table with the command that made it."""
    lines = [f"    {command}", "", _line(_HEADS), _line(["---:", "---", *["---:"] * 7])]
    return "\n".join([*lines, *(_line(_cells(row)) for row in rows), ""])


def _cells(row: Row) -> list[str]:
    known = "-" if row.best_known is None else f"{row.best_known}{' (proved)' * row.proved}"
    if not row.runs:
        return [str(row.n), row.arm, known, "-", "-", "0", "-", "-", "-"]
    return [
        str(row.n),
        row.arm,
        known,
        str(row.best),
        f"{row.median:g}",
        str(row.runs),
        str(row.reached),
        "-" if row.best_known is None else str(row.beaten),
        f"{row.cpu / 3600:.2f}",
    ]


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"

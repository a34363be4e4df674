"""Constructions written down for other programs: JSON, CSV, graph6, words, SVG, TikZ, Lean."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.core.ground_set import GroundSet
from pipeline.errors import UsageError
from pipeline.report.board import is_board
from pipeline.report.drawing import drawn_svg, word_text
from pipeline.report.graph_drawing import graph_tikz
from pipeline.storage import graph6

#: One construction: what ``constructions.as_json`` makes of it, and more columns of plain values.
Row = dict[str, Any]


def to_json(rows: Sequence[Row]) -> str:
    """Write a list that ``pipeline verify`` reads, an object to a line."""
    return "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"


def to_csv(rows: Sequence[Row]) -> str:
    """Write a line for each, its points as ``0 1;2 3``."""
    out = io.StringIO()
    columns = [key for key in rows[0] if key != "points"]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*columns, "points"])
    for row in rows:
        points = ";".join(" ".join(map(str, point)) for point in row["points"])
        writer.writerow([*(row[key] for key in columns), points])
    return out.getvalue()


def to_lean(rows: Sequence[Row]) -> str:
    """Write a definition in Lean 4: a list of lists of tuples of natural numbers."""
    d = len(rows[0]["points"][0]) if rows[0]["points"] else 1
    kind = " × ".join(["Nat"] * d)
    lists = []
    for row in rows:
        points = (", ".join(map(str, point)) for point in row["points"])
        lists.append("[" + ", ".join(f"({p})" if d > 1 else p for p in points) + "]")
    body = ",\n   ".join(lists)
    return f"def constructions : List (List ({kind})) :=\n  [{body}]\n"


def to_graph6(rows: Sequence[Row], ground: GroundSet) -> str:
    """Write a line for each graph.

    Raises:
        UsageError: the elements are no edges.
    """
    if not ground.graph:
        raise UsageError(
            "--format graph6: the elements are no edges of a graph; write the points with: "
            "pipeline export RUN --format json"
        )
    return "".join(graph6.to_graph6(row["n"], row["points"]) + "\n" for row in rows)


def to_words(rows: Sequence[Row], ground: GroundSet) -> str:
    """Write a line for each word: its letters.

    Raises:
        UsageError: the constructions are no words.
    """
    if not ground.letters:
        raise UsageError(
            "--format words: the constructions are sets; write the points with: "
            "pipeline export RUN --format json"
        )
    return "".join(word_text(ground, _elements(row, ground)) + "\n" for row in rows)


def to_tikz(row: Row, ground: GroundSet) -> str:
    """Draw one construction as a ``tikzpicture``: a graph, or a board with row 0 on top.

    Raises:
        UsageError: the ground set is neither.
    """
    if ground.graph:
        return graph_tikz(ground, _elements(row, ground))
    rows, columns = _board(ground.coords)
    dots = "\n".join(f"  \\fill ({c}.5,{rows - 1 - r}.5) circle (0.32);" for r, c in row["points"])
    return (
        "\\begin{tikzpicture}[scale=0.3]\n"
        f"  \\draw[gray!40] (0,0) grid ({columns},{rows});\n{dots}\n\\end{{tikzpicture}}\n"
    )


def to_svg(row: Row, ground: GroundSet) -> str:
    """Draw one construction as an SVG document.

    Raises:
        UsageError: there is no board to draw the ground set on.
    """
    drawn = drawn_svg(ground, _elements(row, ground))
    if drawn is None:
        raise UsageError(
            f"elements of {ground.coords.shape[1]} coordinates, or as far apart as these, cannot "
            "be drawn; write them with: pipeline export RUN --format json"
        )
    return drawn


def _elements(row: Row, ground: GroundSet) -> np.ndarray:
    index = {tuple(place): v for v, place in enumerate(ground.coords.tolist())}
    return np.array([index[tuple(point)] for point in row["points"]], dtype=np.int32)


def _board(coords: np.ndarray) -> tuple[int, int]:
    if not is_board(coords):
        raise UsageError(
            "TikZ draws full grids of the plane and graphs alone; draw an SVG, or write the points "
            "with: pipeline export RUN --format json"
        )
    rows, columns = (coords.max(axis=0) + 1).tolist()
    return rows, columns

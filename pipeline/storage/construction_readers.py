"""Constructions as people write them down: JSON, Python, CSV, matrices, boards, graph6; as text.

Nothing is evaluated and nothing of a problem is known here: what a text gives is taken apart into
points or cells, to be checked by whoever knows the problem.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from pipeline.errors import PipelineError, short
from pipeline.storage.graph6 import HEADER, from_graph6, looks_like_graph6

#: Bytes of a text that are read; more constructions fit into Parquet.
_LARGEST = 64_000_000
#: Cells of a board, and elements of one construction.
_CELLS, _POINTS = 25_000_000, 1_000_000
_DIGITS = 18  # of a coordinate
_EMPTY, _FULL = ".·_0", "OoXx#●*@█■1"
_KNOWN = "give JSON, Parquet, CSV, Python tuples, a 0/1 matrix, a board of . and O, RLE, or graph6"
#: Numbers and brackets alone, as Python prints lists, tuples and sets of them.
_PYTHON = re.compile(r"[\s\d,()\[\]{}-]*")
_BRACKETS = str.maketrans("(){}", "[][]")
_RLE = re.compile(r"\s*x\s*=\s*(\d{1,9})\s*,\s*y\s*=\s*(\d{1,9})", re.ASCII)


@dataclass(frozen=True, eq=False)
class Given:
    """One construction, as a text gives it; nothing of it is checked yet.

    Attributes:
        points: coordinates, a list of lists of whole numbers if all is well.
        where: how to name it in a message.
        side: of the square board or matrix it was drawn on; None for points.
        rows: of a list of points that may be meant as a 0/1 matrix: that matrix; or empty.
        graph: whether the points are the edges of a graph.
        word: in place of points, a word as it is written.
        said: what else the text says: "problem", "convention", "n", "score".
    """

    points: Any
    where: str
    side: int | None = None
    rows: Sequence[Sequence[int]] = ()
    graph: bool = False
    word: str = ""
    said: Mapping[str, Any] = field(default_factory=dict)


def read_text(path: Path, words: bool = False) -> Iterator[Given]:
    """Yield the constructions of a text.

    Args:
        words: whether lines that are neither JSON nor CSV are words, one each.

    Raises:
        PipelineError: it cannot be read, is too large, or is in no format known here.
    """
    text = _text(path)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    where = str(path)
    try:
        if not lines:
            raise PipelineError(f"{path} is empty; {_KNOWN}")
        if words and lines[0][0] not in "[({" and "points" not in lines[0].split(","):
            yield from (Given(None, f"{where}, word {i}", word=x) for i, x in enumerate(lines))
        elif path.suffix == ".g6" or lines[0].startswith(HEADER) or _is_graph6(lines):
            yield from _graphs(lines, where)
        elif text.lstrip()[0] in "[({":
            yield from _of_json(text, lines, where)
        elif any(_RLE.match(line) for line in lines[:100]):
            yield _rle(lines, where)
        elif _is_board(lines):
            yield _board(lines, where)
        elif "points" in lines[0].split(","):
            yield from _our_csv(text, where)
        else:
            yield _numbers(lines, where)
    except RecursionError:
        raise PipelineError(f"{path}: its lists are nested too deeply") from None


def on_board(rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the coordinates of what is set in a matrix."""
    return [[i, j] for i, row in enumerate(rows) for j, cell in enumerate(row) if cell]


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > _LARGEST:
            raise PipelineError(
                f"{path} has {size:,} bytes, a text may have {_LARGEST:,}; split it, or give "
                "Parquet"
            )
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise PipelineError(f"{path} is no text in UTF-8; {_KNOWN}") from None
    if "\0" in text:
        raise PipelineError(f"{path} is no text; {_KNOWN}")
    return text


# ------------------------------------------------------------------------ JSON and Python


def _of_json(text: str, lines: Sequence[str], where: str) -> Iterator[Given]:
    value = _parsed(text, lines, where)
    if not isinstance(value, list):
        yield _entry(value, where)
        return
    if not value:
        raise PipelineError(f"{where} holds an empty list; nothing to read")
    one = all(_whole(x) for x in value) or all(_is_row(x) for x in value)
    if one:
        yield _entry(value, where)
        return
    for i, entry in enumerate(value):
        yield _entry(entry, f"{where}, entry {i}")


def _parsed(text: str, lines: Sequence[str], where: str) -> Any:
    """Return what a text holds as JSON, as Python writes lists and tuples, or in lines of these."""
    try:
        return _loads(text)
    except ValueError as error:
        first = error
    if _PYTHON.fullmatch(text):
        for tried in (text, f"[{text}]"):
            try:
                return _loads(_as_json(tried))
            except ValueError:
                continue
    if len(lines) > 1 and all(line[0] in "[({" for line in lines):
        try:
            return [_loads(_as_json(x) if _PYTHON.fullmatch(x) else x) for x in lines]
        except ValueError:
            pass
    raise PipelineError(f"{where} is not JSON: {first}")


def _as_json(text: str) -> str:
    return re.sub(r",(\s*\])", r"\1", text.translate(_BRACKETS))


def _loads(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse, parse_int=_integer)


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number to be given")


def _integer(digits: str) -> int:
    if len(digits) > 4000:  # Python refuses more than 4,300
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits)


def _entry(value: Any, where: str) -> Given:
    if isinstance(value, dict):
        if "points" not in value:
            raise PipelineError(
                f"{where}: the key 'points' is missing; "
                'write {"problem": "isosceles", "n": 8, "points": [[0, 0], [0, 1]]}'
            )
        return Given(value["points"], where, said=value)
    if not isinstance(value, list):
        raise PipelineError(
            f"{where}: expected an object or a list of points, got {short(value)}; write "
            '{"problem": "isosceles", "n": 8, "points": [[0, 0], [0, 1]]}'
        )
    if value and all(_whole(x) for x in value):
        return Given([[x] for x in value], where)
    return Given(value, where, rows=value if _is_matrix(value) else ())


def _is_row(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_whole(x) for x in value)


def _is_matrix(value: Sequence[Any]) -> bool:
    """Tell whether rows are equally long and hold nothing but 0 and 1."""
    return (
        all(_is_row(row) for row in value)
        and len({len(row) for row in value}) == 1
        and all(x in (0, 1) for row in value for x in row)
    )


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# ------------------------------------------------------------------------- lines of numbers


def _our_csv(text: str, where: str) -> Iterator[Given]:
    """Yield the lines of what `pipeline export --format csv` writes."""
    try:
        rows = list(csv.DictReader(io.StringIO(text.strip()), strict=True))
    except csv.Error as error:
        raise PipelineError(f"{where} is not CSV: {error}") from None
    if not rows:
        raise PipelineError(f"{where} has no line under its first; nothing to read")
    for i, row in enumerate(rows):
        here = f"{where}, line {i + 2}"
        if row["points"] is None:
            raise PipelineError(f"{here} has fewer columns than the first line")
        points = [
            [_number(word, here) for word in point.split()]
            for point in row["points"].split(";")
            if point.strip()
        ]
        said: dict[str, Any] = {k: row[k] for k in ("problem", "convention") if row.get(k)}
        said |= {k: _number(str(row[k]), here) for k in ("n", "score") if row.get(k)}
        yield Given(points, here, said=said)


def _numbers(lines: Sequence[str], where: str) -> Given:
    """Return a construction of lines of numbers: points, or the rows of a matrix."""
    if all(set(line) <= {"0", "1"} and len(line) == len(lines) > 1 for line in lines):
        return _board(lines, where)
    words = [[w for w in re.split(r"[,;\s]+", line) if w] for line in lines]
    begin = 0 if all(map(_is_number, words[0])) else 1
    if begin and any(map(_is_number, words[0])):
        raise PipelineError(f"{where}, line 1: {short(lines[0])} is no line of numbers; {_KNOWN}")
    if len(words) == begin:
        raise PipelineError(f"{where} is in no format known here; {_KNOWN}")
    rows = [
        [_number(word, f"{where}, line {i}") for word in line]
        for i, line in enumerate(words[begin:], start=begin + 1)
    ]
    return Given(rows, where, rows=rows if not begin and _is_matrix(rows) else ())


def _is_number(word: str) -> bool:
    return re.fullmatch(r"[+-]?\d+", word, re.ASCII) is not None


def _number(word: str, where: str) -> int:
    if not _is_number(word) or len(word) > _DIGITS:
        raise PipelineError(f"{where}: {short(word)} is no whole number of use here; {_KNOWN}")
    return int(word)


# ----------------------------------------------------------------------------------- boards


def _is_board(lines: Sequence[str]) -> bool:
    letters = {c for line in lines if line[0] != "!" for c in line if not c.isspace()}
    return bool(letters) and letters <= {*_EMPTY, *_FULL} and not letters <= {"0", "1"}


def _board(lines: Sequence[str], where: str) -> Given:
    """Return a construction of a board, a character to a cell; spaces between them are skipped."""
    rows = ["".join(line.split()) for line in lines if line[0] != "!"]
    wide = max(map(len, rows))
    for i, row in enumerate(rows):
        # Programs that write a comment with "!" leave out the empty end of a row.
        if len(row) != wide and not any(line[0] == "!" for line in lines):
            raise PipelineError(
                f"{where}: row {i} of the board has {len(row)} cells, another {wide}; write all "
                "of each row"
            )
    points = [[i, j] for i, row in enumerate(rows) for j, c in enumerate(row) if c in _FULL]
    return Given(points, where, side=wide if wide == len(rows) else None)


def _is_graph6(lines: Sequence[str]) -> bool:
    return not _is_board(lines) and looks_like_graph6(lines)


def _graphs(lines: Sequence[str], where: str) -> Iterator[Given]:
    """Yield a graph of each line."""
    if lines[0].startswith(HEADER):
        lines = list(filter(None, [lines[0].removeprefix(HEADER), *lines[1:]]))
    for i, line in enumerate(lines):
        here = f"{where}, graph {i}"
        n, edges = from_graph6(line, here)
        yield Given(edges, here, graph=True, said={"n": n})


def _rle(lines: Sequence[str], where: str) -> Given:
    """Return a construction of run lengths, as programs for cellular automata write boards.

    After comments (#) and the header "x = COLUMNS, y = ROWS" come runs: b for empty, o for full,
    $ for the end of a row, each after its number if that is not 1; then "!".
    """
    at, head = next((i, m) for i, line in enumerate(lines) if (m := _RLE.match(line)))
    columns, rows = int(head[1]), int(head[2])
    if columns * rows > _CELLS:
        raise PipelineError(f"{where}: a board of {columns:,} x {rows:,} is more than can be read")
    body = "".join(line for line in lines[at + 1 :] if line[0] != "#").partition("!")[0]
    points: list[list[int]] = []
    row = column = end = 0
    for found in re.finditer(r"\s*(\d{0,9})([bo.A$])", body, re.ASCII):
        if found.start() != end:
            break
        end = found.end()
        many = int(found[1] or 1)
        if found[2] == "$":
            row, column = row + many, 0
            continue
        if column + many > columns or row >= rows:
            raise PipelineError(f"{where}: its runs leave the {columns} x {rows} of its header")
        if found[2] in "oA":
            if len(points) + many > _POINTS:
                raise PipelineError(f"{where}: more than {_POINTS:,} points")
            points += [[row, column + k] for k in range(many)]
        column += many
    if body[end:].strip():
        raise PipelineError(f"{where}: {short(body[end : end + 20])} is no run of b, o or $")
    return Given(points, where, side=columns if columns == rows else None)

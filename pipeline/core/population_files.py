"""Populations as Parquet files, with a fixed and versioned schema."""

import json
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.core import bitset
from pipeline.core.bitset import mismatch
from pipeline.core.population import COLUMNS, ORIGINS, Population
from pipeline.core.untrusted import parse_json
from pipeline.errors import PipelineError

#: What earlier releases called the origin "generator".
_EARLIER = ("model", "proposal")

SCHEMA_VERSION = 2
#: Without the column ``imported``; such files are read, and never written.
_BEFORE_DESCENT = 1
_KEY = b"extremal-pipeline.population"
_OWN_METADATA = ("schema", "n", "m", "digest")
# Rows are written and read this many at a time, so that neither holds a second copy of the cells.
_ROW_GROUP = 8192


def write(population: Population, path: str | Path, metadata: Mapping[str, str]) -> None:
    """Write a population; see :meth:`Population.write`."""
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str) or key in _OWN_METADATA:
            expected = f"strings under keys other than {', '.join(_OWN_METADATA)}"
            raise mismatch("metadata", expected, f"{key!r}: {value!r}")
    kept = {**metadata, "schema": SCHEMA_VERSION, "n": population.n, "m": population.m}
    text = json.dumps({**kept, "digest": _digest(kept)}, sort_keys=True)
    schema = _schema(population.m).with_metadata({_KEY: text.encode()})
    pq.write_table(
        pa.Table.from_arrays(_to_arrow(population), schema=schema),
        path,
        row_group_size=_ROW_GROUP,
        compression="zstd",
        use_dictionary=["origin"],  # pyright: ignore[reportArgumentType] (stub: bool only)
        # Arrow's zstd frames carry no checksum; without this a flipped bit goes unseen.
        write_page_checksum=True,
    )


def read(path: str | Path) -> tuple[Population, dict[str, str]]:
    """Read a population and its metadata; see :meth:`Population.read`."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            return _read(file)
    except FileNotFoundError:
        raise PipelineError(f"{path}: no such file; check the path") from None
    except _Foreign as error:
        raise PipelineError(f"{path}: {error}") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        cause = (str(error).splitlines() or [type(error).__name__])[0]
        fix = "restore it from a copy or make it again"
        raise PipelineError(f"{path}: damaged, or no Parquet file ({cause}); {fix}") from None


def tells_descent(path: str | Path) -> bool:
    """Tell whether a population's file says which constructions descend from imported ones.

    Files of older releases say only which were imported themselves.
    """
    return "imported" in pq.read_schema(path).names


def scores(path: str | Path) -> np.ndarray:
    """Return the scores in a population's file, int64 ``(size,)``, without the cells.

    Raises:
        OSError, ValueError, LookupError: it cannot be read, or has no such column.
    """
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        column = file.read(columns=["score"], use_threads=False).column("score")
    return np.concatenate([np.zeros(0, np.int64), *(values(c, np.int32) for c in column.chunks)])


def values(column: pa.Array, dtype: Any) -> np.ndarray:
    """Return the numbers of a column ``(size,)``.

    Not by ``to_numpy``, which imports pandas where it is installed, for half a second.

    Raises:
        ValueError: it has nulls, or another type.
    """
    kind, size = np.dtype(dtype), len(column)
    if column.null_count or column.type != pa.from_numpy_dtype(kind):
        raise ValueError(f"a column of {column.type}, not of {kind} without nulls")
    buffer = column.buffers()[1]
    if not size or buffer is None:
        return np.zeros(size, kind)
    if kind == np.bool_:
        bits = np.unpackbits(np.frombuffer(buffer, np.uint8), bitorder="little")
        return bits[column.offset : column.offset + size].astype(np.bool_)
    return np.frombuffer(buffer, kind, size, column.offset * kind.itemsize)


class _Foreign(Exception):
    """A readable Parquet file that is no population we can use; the text says what to do."""


def _schema(m: int, version: int = SCHEMA_VERSION) -> pa.Schema:
    columns = {
        "cells": pa.binary(bitset.width(m)),
        "score": pa.int32(),
        "round": pa.int32(),
        "origin": pa.dictionary(pa.int8(), pa.string()),
        "parent": pa.int64(),
        "imported": pa.bool_(),
    }
    if version == _BEFORE_DESCENT:
        del columns["imported"]
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns.items()])


def _digest(metadata: Mapping[str, Any]) -> str:
    """Hash the metadata: page checksums cover the columns, but nothing covers the footer."""
    return blake2b(json.dumps(metadata, sort_keys=True).encode(), digest_size=8).hexdigest()


def _to_arrow(population: Population) -> list[pa.Array]:
    """Wrap the columns, in the schema's order, without copying them."""
    kind = pa.binary(population.cells.shape[1])
    buffer = pa.py_buffer(population.cells)
    cells = pa.FixedSizeBinaryArray.from_buffers(kind, len(population), [None, buffer])
    codes = pa.array(population.origin.view(np.int8))
    origin = pa.DictionaryArray.from_arrays(codes, pa.array(ORIGINS))
    return [
        cells,
        pa.array(population.score),
        pa.array(population.round),
        origin,
        pa.array(population.parent),
        pa.array(population.imported),
    ]


def _read(file: pq.ParquetFile) -> tuple[Population, dict[str, str]]:
    schema = file.schema_arrow
    text = (schema.metadata or {}).get(_KEY)
    if text is None:
        raise _Foreign("a Parquet file, but no population; name one that pipeline wrote")
    try:
        metadata = parse_json(text, "its metadata")
    except PipelineError as error:
        raise ValueError(str(error)) from error
    if not isinstance(metadata, dict) or "schema" not in metadata:
        raise ValueError("its metadata lack a schema version")
    # Before anything else is judged: what the rest means depends on it.
    version = metadata["schema"]
    if version not in (_BEFORE_DESCENT, SCHEMA_VERSION):
        raise _Foreign(
            f"schema version {version}, but this release reads {_BEFORE_DESCENT} and "
            f"{SCHEMA_VERSION}; install the release that wrote it"
        )
    if metadata.pop("digest", None) != _digest(metadata):
        raise ValueError("its metadata do not match their digest")
    n, m = metadata.pop("n", None), metadata.pop("m", None)
    del metadata["schema"]
    if not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata are not all strings")
    if type(m) is not int or not 1 <= m < 2**31 or not schema.equals(_schema(m, version)):
        raise _Foreign(f"its columns do not fit m = {m}; make it again from its source")
    groups = range(file.num_row_groups)
    size = sum(file.metadata.row_group(i).num_rows for i in groups)
    if size != file.metadata.num_rows:
        raise ValueError(f"{size} rows of {file.metadata.num_rows}")
    cells = np.empty((size, bitset.width(m)), np.uint8)
    columns = {name: np.empty(size, dtype) for name, dtype in COLUMNS.items()}
    done = 0
    for i in groups:
        # Not iter_batches: that holds the compressed file in memory until it ends.
        for batch in file.read_row_group(i, use_threads=False).to_batches():
            rows = slice(done, done + len(batch))
            done += len(batch)
            cells[rows] = _rows_of(batch.column("cells"))
            for name in ("score", "round", "parent"):
                columns[name][rows] = values(batch.column(name), COLUMNS[name])
            columns["origin"][rows] = _origins(batch.column("origin"))
            said = version != _BEFORE_DESCENT and values(batch.column("imported"), np.bool_)
            columns["imported"][rows] = said
    columns["imported"] |= columns["origin"] == ORIGINS.index("import")
    if done != size:
        raise ValueError(f"{done} rows of {size}")
    return Population(n, m, cells, **columns), metadata


def _rows_of(cells: pa.FixedSizeBinaryArray) -> np.ndarray:
    bytes_each = cells.type.byte_width
    flat = np.frombuffer(cells.buffers()[1], np.uint8)
    begin = cells.offset * bytes_each
    return flat[begin : begin + len(cells) * bytes_each].reshape(len(cells), bytes_each)


def _origins(origin: pa.DictionaryArray) -> np.ndarray:
    names = origin.dictionary.to_pylist()
    names = ["generator" if name in _EARLIER else name for name in names]
    for name in names:
        if name not in ORIGINS:
            raise _Foreign(f"unknown origin {name!r}; install the release that wrote it")
    codes = values(origin.indices, np.int8)
    if len(codes) and (codes.min() < 0 or codes.max() >= len(names)):
        raise ValueError("origin: a code without a name")
    return np.array([ORIGINS.index(name) for name in names], np.uint8)[codes]

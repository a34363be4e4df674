"""Population: many constructions of one size, as columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core import bitset
from pipeline.core.bitset import mismatch

if TYPE_CHECKING:
    import pandas

ORIGINS = ("seed", "search", "generator", "import")

#: The columns beside the cells.
COLUMNS: dict[str, Any] = {
    "score": np.int32,
    "round": np.int32,
    "origin": np.uint8,
    "parent": np.int64,
    "imported": np.bool_,
}


@dataclass(frozen=True, eq=False)
class Population:
    """Many constructions of one size, as columns of equal length.

    Attributes:
        n: the problem's size parameter, from 1.
        m: the number of elements of the ground set, from 1.
        cells: uint8 ``(size, ceil(m / 8))``; packed as in :mod:`pipeline.core.bitset`.
        score: int32 ``(size,)``; higher is better.
        round: int32 ``(size,)``; the round that made it, from 0.
        origin: uint8 ``(size,)``; an index into ``ORIGINS``.
        parent: int64 ``(size,)``; the id of the construction it came from, 0 for none.
        imported: bool ``(size,)``; whether it was given from outside or descends from what was:
            its parent, or what a model or a field was learnt from.

    Raises:
        ValueError: a column of another dtype or shape; padding bits set; an unknown origin.
    """

    n: int
    m: int
    cells: np.ndarray
    score: np.ndarray
    round: np.ndarray
    origin: np.ndarray
    parent: np.ndarray
    imported: np.ndarray

    def __post_init__(self) -> None:
        for name in ("n", "m"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise mismatch(name, "an integer from 1", repr(value))
        object.__setattr__(self, "cells", bitset.checked(self.cells, self.m))
        for name, dtype in COLUMNS.items():
            column = getattr(self, name)
            shape = (len(self.cells),)
            if not isinstance(column, np.ndarray) or column.dtype != dtype or column.shape != shape:
                raise mismatch(name, f"{np.dtype(dtype)} {shape}", column)
        if (self.origin >= len(ORIGINS)).any():
            raise mismatch("origin", f"indices below {len(ORIGINS)}", self.origin.max())

    @classmethod
    def empty(cls, n: int, m: int) -> "Population":
        """Return the population of size n without constructions."""
        return cls.build(n, m, np.empty((0, bitset.width(m)), np.uint8), 0)

    @classmethod
    def build(
        cls,
        n: int,
        m: int,
        cells: np.ndarray,
        score: np.ndarray | int,
        round: np.ndarray | int = 0,
        origin: np.ndarray | str = "seed",
        parent: np.ndarray | int = 0,
        imported: np.ndarray | bool = False,
    ) -> "Population":
        """Return a population of packed ``cells`` (not copied); a scalar holds for all of them.

        Args:
            origin: a name of ``ORIGINS`` or indices into it.
            imported: what is of the origin "import" is so in any case.

        Raises:
            ValueError: see the class; also a column that is no integer or does not fit.
        """
        if isinstance(origin, str):
            if origin not in ORIGINS:
                raise mismatch("origin", f"one of {', '.join(ORIGINS)}", repr(origin))
            origin = np.array(ORIGINS.index(origin))
        given = {"score": score, "round": round, "origin": origin, "parent": parent}
        columns = {name: _column(name, value, len(cells)) for name, value in given.items()}
        flags = np.broadcast_to(imported, len(cells)).astype(np.bool_)
        flags |= columns["origin"] == ORIGINS.index("import")
        return cls(n, m, cells, **columns, imported=flags)

    @classmethod
    def concat(cls, populations: Sequence["Population"]) -> "Population":
        """Return the constructions of all, in order.

        Raises:
            ValueError: none given; different n or m.
        """
        if not populations:
            raise mismatch("populations", "at least one", "none")
        sizes = {(population.n, population.m) for population in populations}
        if len(sizes) > 1:
            raise mismatch("populations", "one (n, m)", ", ".join(map(str, sorted(sizes))))
        if len(populations) == 1:
            return populations[0]
        columns = {
            name: np.concatenate([getattr(population, name) for population in populations])
            for name in ("cells", *COLUMNS)
        }
        return cls(populations[0].n, populations[0].m, **columns)

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def nbytes(self) -> int:
        """The memory of all columns."""
        return sum(getattr(self, name).nbytes for name in ("cells", *COLUMNS))

    def came_from(self, origin: str) -> np.ndarray:
        """Return bool ``(size,)``: whose origin it is; a name of ``ORIGINS``."""
        return self.origin == ORIGINS.index(origin)

    def take(self, index: np.ndarray | slice | Sequence[int]) -> "Population":
        """Return the constructions at ``index``: integers, a mask or a slice (not copied)."""
        if not isinstance(index, slice):
            index = np.asarray(index)
            if not index.size:
                index = np.flatnonzero(index)
        columns = {name: getattr(self, name)[index] for name in ("cells", *COLUMNS)}
        return type(self)(self.n, self.m, **columns)

    def ids(self) -> np.ndarray:
        """Return int64 ``(size,)``: see :func:`pipeline.core.bitset.ids`."""
        return bitset.ids(self.cells)

    def bits(self) -> np.ndarray:
        """Return bool ``(size, m)``: a row for each construction, a column for each element."""
        return bitset.unpack(self.cells, self.m)

    def to_pandas(self) -> "pandas.DataFrame":
        """Return a table with a row for each construction: elements, score, where it came from.

        Raises:
            ImportError: pandas is not installed.
        """
        import pandas

        return pandas.DataFrame(
            {
                "id": self.ids(),
                "score": self.score,
                "elements": [self.points(i).tolist() for i in range(len(self))],
                "round": self.round,
                "origin": pandas.Categorical.from_codes(self.origin.astype(np.int8), list(ORIGINS)),
                "parent": self.parent,
                "imported": self.imported,
            }
        )

    def points(self, i: int) -> np.ndarray:
        """Return the elements of construction ``i``, ascending int32."""
        return bitset.points(self.cells[i], self.m)

    def best(self) -> int:
        """Return the index of the best; among equals the earliest round's, then the least id.

        So the credit for a score goes to what reached it first.

        Raises:
            ValueError: the population is empty.
        """
        if not len(self):
            raise mismatch("population", "at least one construction", "none")
        leaders = np.flatnonzero(self.score == self.score.max())
        leaders = leaders[self.round[leaders] == self.round[leaders].min()]
        return int(leaders[np.argmin(bitset.ids(self.cells[leaders]))])

    def top(self, k: int) -> "Population":
        """Return the k best (all, if there are fewer), best first.

        Ties stand in the order of their ids: a shuffle, but the same one wherever and in
        whatever order they were found. Equal constructions keep their order.
        """
        order = np.lexsort((self.ids(), -self.score.astype(np.int64)))
        return self.take(order[: max(k, 0)])

    def counts(self) -> dict[int, int]:
        """Return how many constructions have each score, by ascending score."""
        scores, counts = np.unique(self.score, return_counts=True)
        return dict(zip(scores.tolist(), counts.tolist(), strict=True))

    def write(self, path: str | Path, metadata: Mapping[str, str]) -> None:
        """Write the population as Parquet; the same content gives the same bytes.

        Args:
            metadata: strings to keep with it, such as "problem", "convention" and "config".

        Raises:
            ValueError: metadata that are no strings, or under a key of the format's own.
        """
        from pipeline.core import population_files

        population_files.write(self, path, metadata)

    @classmethod
    def read(cls, path: str | Path) -> tuple["Population", dict[str, str]]:
        """Return a population and the metadata it was written with.

        Raises:
            PipelineError: no such file, a damaged one, or one of another kind or version.
        """
        from pipeline.core import population_files

        return population_files.read(path)


def distinct(population: Population, canonical_cells: np.ndarray) -> Population:
    """Return the first construction of each distinct canonical row, in order.

    Args:
        canonical_cells: uint8 ``(size, bytes)``; see :func:`pipeline.core.symmetry.canonical`.

    Raises:
        ValueError: not one canonical row for each construction.
    """
    if np.shape(canonical_cells) != population.cells.shape:
        raise mismatch("canonical_cells", f"uint8 {population.cells.shape}", canonical_cells)
    firsts = bitset.first_of_each(canonical_cells)
    return population if len(firsts) == len(population) else population.take(firsts)


def _column(name: str, value: Any, size: int) -> np.ndarray:
    dtype = np.dtype(COLUMNS[name])
    column = np.asarray(value)
    if column.dtype.kind not in "iu" or column.shape not in ((), (size,)):
        raise mismatch(name, f"{dtype} ({size},)", column)
    limits = np.iinfo(dtype)
    if column.size and (column.min() < limits.min or column.max() > limits.max):
        expected = f"{limits.min} .. {limits.max}"
        raise mismatch(name, expected, f"{column.min()} .. {column.max()}")
    return np.ascontiguousarray(np.broadcast_to(column, size), dtype)

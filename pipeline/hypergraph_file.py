"""A problem from a text file that lists the forbidden sets: an explicit hypergraph.

The file is data and is never run. What is read from it has a name of its own, made of the edges, so
that ``FILE:hypergraph-0123456789ab`` means these edges or nothing.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np

from pipeline.core import kept_arrays
from pipeline.core.automorphisms import can_find, listed_automorphisms
from pipeline.core.ground_set import GroundSet, most_listed
from pipeline.core.hypergraph import block_listed, bytes_of_index, index_of, joined, without
from pipeline.core.jit import njit, suited
from pipeline.core.memory import memory_bytes, readable
from pipeline.core.untrusted import read_bytes
from pipeline.derived import MOST_ELEMENTS, TABLE_BYTES
from pipeline.errors import PipelineError, UsageError, short
from pipeline.predicate import ARITIES
from pipeline.problem import Problem, blocking_hook

#: What stands behind the colon where a problem is such a file, rather than FILE.py:CLASS.
KIND = "hypergraph"
#: What a run calls its own copy of the file.
KEPT = "hypergraph.txt"
#: The largest file that is read.
MOST_BYTES = 64_000_000

_SPEC = re.compile(rf"(?s)(.+):({KIND}(-[0-9a-f]{{12}})?)")
_COUNT = re.compile(r"\s*elements\s+(\S+)\s*")
_FORM = "write the elements of a forbidden set on each line, as in: 0 1 4"


def split_spec(spec: str) -> tuple[Path, str] | None:
    """Return the file that a spec names and its name; None where a spec means something else."""
    found = _SPEC.fullmatch(spec)
    if found is None or found[1].endswith(".py"):
        return None
    return Path(found[1]), found[2]


def load(spec: str) -> type["Hypergraph"]:
    """Return the problem that ``FILE:hypergraph`` or ``FILE:hypergraph-0123456789ab`` names.

    Raises:
        UsageError: no such file, or something else than forbidden sets in it.
        PipelineError: the spec has the name of another hypergraph.
    """
    split = split_spec(spec)
    assert split is not None
    path, name = split
    if not path.exists():
        raise UsageError(f"no such file: {path}")
    try:
        data = read_bytes(path)
    except PipelineError as error:
        raise UsageError(str(error)) from error
    if len(data) > MOST_BYTES:
        raise UsageError(
            f"{path} has {len(data):,} bytes, {MOST_BYTES:,} are the most; say what is forbidden "
            "by a rule, as in docs/own-problem.md"
        )
    made = _made(data, str(path))
    if name not in (KIND, made.name):
        raise PipelineError(
            f"{path} holds {made.name}, not {name}: the file has changed; put it back, or begin "
            "anew with what it holds"
        )
    return made


@lru_cache(maxsize=4)
def _made(data: bytes, where: str) -> type["Hypergraph"]:
    m, edges = parse(data, where)
    digest = hashlib.sha256(str(m).encode())
    for part in edges:
        digest.update(f" {part.shape[1]} ".encode() + part.astype("<i4").tobytes())
    title = f"none of {sum(map(len, edges)):,} listed sets of {m:,} elements lies within"
    about = {
        "__doc__": Hypergraph.__doc__,
        "name": f"{KIND}-{digest.hexdigest()[:12]}",
        "title": title,
        "arity": edges[-1].shape[1],
        "smallest": m,
        "only_size": m,
        "edges": edges,
    }
    return type("Hypergraph", (Hypergraph,), about)


def parse(data: bytes, where: str) -> tuple[int, tuple[np.ndarray, ...]]:
    """Return the number of elements, and the forbidden sets by size, int32 ``(_, k)``, k ascending.

    Rows ascend and are distinct; sets that hold a smaller one are left out.

    Args:
        where: the file, for an error.

    Raises:
        UsageError: something else than forbidden sets, or tables that would be too large.
    """
    count, sets = 0, {k: list[tuple[int, ...]]() for k in ARITIES}
    for place, words, comment in _lines(data, where):
        told = _COUNT.fullmatch(comment)
        if told:
            if count:
                raise UsageError(f"{place}: the number of elements is given twice; leave one out")
            count = _number(told[1], place)
            if not 1 <= count <= MOST_ELEMENTS:
                raise UsageError(
                    f"{place}: {count:,} elements; there may be 1 to {MOST_ELEMENTS:,}"
                )
        if words:
            edge = _edge(words, place)
            sets[len(edge)].append(edge)
    parts = [np.unique(np.array(found, np.int32), axis=0) for found in sets.values() if found]
    if not parts:
        raise UsageError(f"{where} holds no forbidden set; {_FORM}")
    last = max(int(part[:, -1].max()) for part in parts)
    if count and last >= count:
        raise UsageError(
            f"{where}: element {last} is in a forbidden set, and there are {count} elements, 0 to "
            f"{count - 1}"
        )
    m = count or last + 1
    need = sum(bytes_of_index(len(part), part.shape[1], m) for part in parts)
    most = min(TABLE_BYTES, memory_bytes() // 8)
    if need > most:
        raise UsageError(
            f"{where}: {sum(map(len, parts)):,} forbidden sets of {m:,} elements would take "
            f"{readable(need)} of tables, {readable(most)} are the most; leave elements out that "
            "are in no set"
        )
    kept: list[np.ndarray] = []
    for part in parts:
        kept.append(without(part, kept, m))
    return m, tuple(part for part in kept if len(part))


def _lines(data: bytes, where: str) -> Iterator[tuple[str, list[str], str]]:
    """Yield (place, words, comment) of each line."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{where} is no text; {_FORM}") from error
    for i, line in enumerate(text.splitlines(), start=1):
        given, _, comment = line.partition("#")
        yield f"{where}, line {i}", given.replace(",", " ").split(), comment


def _edge(words: Sequence[str], place: str) -> tuple[int, ...]:
    edge = tuple(sorted(_number(word, place) for word in words))
    if len(edge) not in ARITIES:
        hint = "; to go without an element use --mask" if len(edge) == 1 else ""
        raise UsageError(
            f"{place}: a forbidden set has {ARITIES[0]} to {ARITIES[-1]} elements, not "
            f"{len(edge)}{hint}"
        )
    twice = next((v for v, w in pairwise(edge) if v == w), None)
    if twice is not None:
        raise UsageError(f"{place}: element {twice} is there twice; leave one out")
    return edge


def _number(word: str, place: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", word):
        raise UsageError(
            f"{place}: {short(word)} is no element; elements are whole numbers from 0 to "
            f"{MOST_ELEMENTS - 1:,}"
        )
    return int(word)


# ---------------------------------------------------------------------------------- the problem


@blocking_hook
def look_up(v, members, size, inside, slot, counts, delta, coords, tables):
    """Look up the edges of v and each member; see ``block_listed``."""
    start, others, layout = tables[0], tables[1], tables[2]
    for i in range(0, len(layout), 3):
        k, first = layout[i], layout[i + 1]
        block_listed(v, members, size, inside, slot, counts, delta, start, others, first, k)


class _Edges:
    """Checks sets against the edges as they were read, without the tables of the hook."""

    def valid(self, problem: "Hypergraph", cells: np.ndarray, n: int) -> np.ndarray:
        """Return bool ``(B,)``: the rows of packed cells that hold no edge."""
        free = np.ones(len(cells), np.bool_)
        for edges in problem.edges:
            suited(_strike_out, edges.size * len(cells))(cells, edges, free)
        return free

    def witness(self, problem: "Hypergraph", chosen: np.ndarray, n: int) -> tuple[int, ...]:
        """Return an edge among some elements, empty without one."""
        inside = np.zeros(n, np.bool_)
        inside[chosen] = True
        for edges in problem.edges:
            held = inside[edges].all(axis=1)
            if held.any():
                return tuple(edges[np.argmax(held)].tolist())
        return ()


@njit
def _strike_out(cells, edges, free):
    """Mark the rows of cells that hold an edge; O(B E)."""
    for b in range(len(cells)):
        for e in range(len(edges)):
            i = 0
            while i < edges.shape[1] and cells[b, edges[e, i] >> 3] >> (edges[e, i] & 7) & 1:
                i += 1
            if i == edges.shape[1]:
                free[b] = False
                break


class Hypergraph(Problem):
    """The largest sets of elements that hold no forbidden set; n is the number of elements.

    Attributes:
        edges: the forbidden sets by size, int32 ``(_, k)``.
    """

    edges: ClassVar[tuple[np.ndarray, ...]] = ()
    hook = look_up
    _validator = _Edges()

    def ground(self, n: int) -> GroundSet:
        """Return the ground set.

        Raises:
            UsageError: n is not the number of elements.
        """
        if n != self.only_size:
            raise UsageError(
                f"n is the number of elements, which is {self.only_size}, not {n}; leave it out"
            )
        return super().ground(n)

    def ground_set(self, n: int) -> GroundSet:
        """Return the elements with the symmetries that are found."""
        key = f"{self.name}-group-{most_listed(n)}" * can_find()
        (flat,) = kept_arrays.kept(key, lambda: (listed_automorphisms(self.edges, n).ravel(),))
        return GroundSet(n, np.arange(n, dtype=np.int32)[:, None], flat.reshape(-1, n))

    def ground_size(self, n: int) -> int:
        """Return n."""
        return n

    def tables(self, n: int) -> tuple[np.ndarray, ...]:
        """Return the index of the edges of each size, and how these are put together."""
        sizes = [part.shape[1] for part in self.edges]
        return kept_arrays.kept(
            self.name, lambda: joined([index_of(part, n) for part in self.edges], sizes)
        )

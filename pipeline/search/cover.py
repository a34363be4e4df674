"""Depth-first search for sets of full size, where every class of elements has its quota.

The generalised exact cover: a problem's quotas (``Problem.quotas``) say how often a set of the
wanted size meets each class of elements; for no-3-in-line each row and column twice. The search
takes the class with the least on offer for what it lacks, tries its choices in random order,
strikes out whatever no longer gets on with what is there, and starts afresh after a number of
nodes. Sets of choices are bitsets; what one choice, or two together, rule out is written down in
``cover_tables``.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import intrinsic

from pipeline.compiling import inlined, kernel
from pipeline.packing import first_of_each, pack, unpack, width
from pipeline.problem import Problem
from pipeline.search.cover_tables import Cover, all_bits, cover_tables
from pipeline.search.kernels import below
from pipeline.symmetry import GroundSet

_FULL, _DEAD = -1, -2
# Columns of Dive.left.
_OPEN, _WORTH, _CLASS = 0, 1, 2
_SLICE = 1 << 22


class Dive(NamedTuple):
    """A search under way; level i holds the i-th choice and what was open before it."""

    at: np.ndarray  # int64 (2,): the level, -1 once all is done; 1 if it was just entered
    live: np.ndarray  # uint64 (D, W), the choices still open
    need: np.ndarray  # int64 (C,), what each class lacks
    chosen: np.ndarray  # int64 (D,)
    tries: np.ndarray  # int32 (D, bits), the open choices of the class that is filled
    left: np.ndarray  # int64 (D, 3): how many, how much of the class they fill, the class


class Found(NamedTuple):
    """What a search came back with.

    Attributes:
        cells: packed uint8 ``(k, ceil(m / 8))``, distinct.
        nodes: how many were visited.
        complete: True if there are no others.
    """

    cells: np.ndarray
    nodes: int
    complete: bool


def cover(
    problem: Problem,
    n: int,
    symmetry: str,
    *,
    nodes: int,
    cap: int,
    rng: np.ndarray,
    most: int = 1,
) -> Found:
    """Search for sets of the wanted size in random order, afresh after every ``cap`` nodes.

    Args:
        symmetry: a class, or two (see above).
        nodes: leave off after this many.
        cap: 100,000 does; ten times more or fewer hardly matters.
        rng: uint64 ``(1,)``, the generator's state, moved on.
        most: leave off with this many sets; those of one restart are often alike.

    Raises:
        UsageError: see ``cover_tables``.
    """
    work = cover_tables(problem, n, symmetry)
    found = np.zeros((most, width(len(work.friends))), np.uint8)
    used = stored = 0
    complete = False
    while used < nodes and stored < most and not complete:
        dive = _top(work)
        spent, more = _dive(work, dive, rng, min(cap, nodes - used), True, found[stored:])
        used, stored, complete = used + spent, stored + more, bool(dive.at[0] < 0)
    return Found(_cells(problem.ground(n), work, found[:stored]), used, complete)


def cover_all(problem: Problem, n: int, symmetry: str = "trivial", nodes: int = 2**62) -> Found:
    """Find every set of the wanted size, in a fixed order, or those within so many nodes.

    Raises:
        UsageError: see ``cover_tables``.
    """
    work, rng = cover_tables(problem, n, symmetry), np.zeros(1, np.uint64)
    parts, buffer = [], np.zeros((1024, width(len(work.friends))), np.uint8)
    used, dive = 0, _top(work)
    while used < nodes and dive.at[0] >= 0:
        # Python looks for Ctrl-C between two slices.
        spent, stored = _dive(work, dive, rng, min(_SLICE, nodes - used), False, buffer)
        used += spent
        parts.append(buffer[:stored].copy())
    found = np.concatenate([buffer[:0], *parts])
    return Found(_cells(problem.ground(n), work, found), used, bool(dive.at[0] < 0))


def _cells(ground: GroundSet, work: Cover, found: np.ndarray) -> np.ndarray:
    """Return the packed cells of packed sets of choices, without repetitions."""
    choices = len(work.friends)
    of = np.repeat(np.arange(choices), np.diff(work.start))
    members = np.zeros((len(found), ground.m), np.bool_)
    members[:, work.elements] = unpack(found, choices)[:, of]
    cells = pack(members)
    return cells[first_of_each(cells)]


def _top(work: Cover) -> Dive:
    """Return the beginning of a search."""
    choices, words = work.friends.shape
    levels = int(work.need.sum()) + 2
    bits = int(choices + work.twins[-1])
    live = np.zeros((levels, words), np.uint64)
    live[0] = all_bits(bits)
    return Dive(
        at=np.array([0, 1]),
        live=live,
        need=work.need.copy(),
        chosen=np.zeros(levels, np.int64),
        tries=np.zeros((levels, bits), np.int32),
        left=np.zeros((levels, 3), np.int64),
    )


def _count_ones(typing, x):
    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


def _find_lowest(typing, x):
    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], context.get_constant(types.boolean, True))

    return types.uint64(types.uint64), generate


#: How many bits of a uint64 are set: one machine instruction.
_ones: Any = intrinsic(_count_ones)
#: The place of the lowest bit of a uint64 other than 0.
_lowest: Any = intrinsic(_find_lowest)


@inlined
def _get(table, row, word):
    """Read a word; unsigned places spare the code for negative ones, a third of the time."""
    return table[np.uint64(row), np.uint64(word)]


@inlined
def _tightest(work, dive, level):
    """Return the class to fill next, _FULL if all are filled, _DEAD if one no longer can be.

    The one with the least on offer for what it lacks, ties to the higher number; O(C W).
    Against 4 * (offer - need) + need, which suits no-3-in-line too, it finds a quarter more.
    """
    best, least = _FULL, np.int64(2**62)
    for c in range(len(work.need)):
        need = dive.need[c]
        if need > 0:
            offer = np.int64(0)
            for w in range(dive.live.shape[1]):
                offer += np.int64(_ones(_get(dive.live, level, w) & _get(work.holds, c, w)))
            if offer < need:
                return _DEAD
            ratio = 1024 * offer // need
            if ratio <= least:
                best, least = c, ratio
    return best


@inlined
def _list_tries(work, dive, level, c):
    """Note the open choices of class c; no class: none."""
    count, worth = 0, np.int64(0)
    if c >= 0:
        for w in range(dive.live.shape[1]):
            bits = _get(dive.live, level, w) & _get(work.holds, c, w)
            worth += np.int64(_ones(bits))
            while bits != 0:
                dive.tries[level, count] = 64 * w + np.int64(_lowest(bits))
                count += 1
                bits &= bits - np.uint64(1)
        # Second bits come last.
        while count > 0 and dive.tries[level, count - 1] >= len(work.friends):
            count -= 1
    dive.left[level, _OPEN], dive.left[level, _WORTH] = count, worth
    dive.left[level, _CLASS] = max(c, 0)


@inlined
def _close_bit(live, level, bit):
    live[level, bit >> 6] &= ~(np.uint64(1) << np.uint64(bit & 63))


@inlined
def _descend(work, dive, level, choice):
    """Put a choice in and note what is open then; O(level W)."""
    live, words, under = dive.live, dive.live.shape[1], np.uint64(level + 1)
    for w in range(words):
        live[under, np.uint64(w)] = _get(live, level, w) & _get(work.friends, choice, w)
    for i in range(level):
        other = np.uint64(dive.chosen[i])
        for w in range(words):
            live[under, np.uint64(w)] &= ~work.closed[np.uint64(choice), other, np.uint64(w)]
    dive.chosen[level] = choice
    for p in range(work.part_start[choice], work.part_start[choice + 1]):
        c = np.uint64(work.part_class[p])
        dive.need[c] -= work.part_size[p]
        lack = np.uint64(dive.need[c])
        if lack < len(work.over):
            for w in range(words):
                live[under, np.uint64(w)] &= ~work.over[lack, c, np.uint64(w)]


@kernel
def _dive(work, dive, rng, nodes, randomly, found):
    """Go on until so many nodes were visited, ``found`` is full or nothing is left.

    Every set is met once: a choice that was tried is closed to those tried after it. What is
    open at a level never counts more in a class than the class lacks.

    Args:
        found: uint8 ``(K, ceil(M / 8))``, filled with packed sets of choices.

    Returns:
        (nodes visited, sets found).
    """
    level, new = dive.at[0], dive.at[1]
    used, stored = 0, 0
    while level >= 0 and used < nodes and stored < len(found):
        if new:
            new = 0
            used += 1
            c = _tightest(work, dive, level)
            if c == _FULL:
                found[stored] = 0
                for i in range(level):
                    found[stored, dive.chosen[i] >> 3] |= np.uint8(1 << (dive.chosen[i] & 7))
                stored += 1
            _list_tries(work, dive, level, c)
        c, count = dive.left[level, _CLASS], dive.left[level, _OPEN]
        if count == 0 or dive.left[level, _WORTH] < dive.need[c]:
            level -= 1
            if level >= 0:
                choice = dive.chosen[level]
                for p in range(work.part_start[choice], work.part_start[choice + 1]):
                    dive.need[work.part_class[p]] += work.part_size[p]
            continue
        i = below(rng, count) if randomly else count - 1
        choice = np.int64(dive.tries[level, i])
        dive.tries[level, i] = dive.tries[level, count - 1]
        dive.left[level, _OPEN] = count - 1
        _close_bit(dive.live, level, choice)
        for twin in range(work.twins[choice], work.twins[choice + 1]):
            _close_bit(dive.live, level, len(work.friends) + twin)
        for p in range(work.part_start[choice], work.part_start[choice + 1]):
            if work.part_class[p] == c:
                dive.left[level, _WORTH] -= work.part_size[p]
        _descend(work, dive, level, choice)
        level += 1
        new = 1
    dive.at[0], dive.at[1] = level, new
    return used, stored

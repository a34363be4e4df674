"""Depth-first search for sets of full size, where every class of elements has its degree.

The generalised exact cover: a problem's degree constraints (``Problem.degree_constraints``) say how
often a set of the wanted size meets each class of elements; for no-3-in-line each row and column
twice. The search takes the class with the least on offer for what it lacks, tries its choices,
strikes out whatever no longer gets on with what is there, and starts afresh after a number of
nodes. Down to the first dead end choices are random, from there on the last comes first: it stands
in classes that are hard to fill, and is closed to those tried after it. Sets of choices are
bitsets; what one choice, or two together, leave open is written down in ``cover_tables``.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import intrinsic

from pipeline.core.bitset import first_of_each, pack, unpack, width
from pipeline.core.ground_set import GroundSet
from pipeline.core.jit import inlined, kernel
from pipeline.core.stop_flag import stopped
from pipeline.engine.exact_cover_tables import Cover, cover_tables
from pipeline.engine.rng import unit
from pipeline.engine.weights import of_choices
from pipeline.problem import Problem

_FULL, _DEAD = -1, -2
_NONE = 2**62
# What is open next to the choices so far is written down for all where that many nodes follow.
_SHARE = 256
# Columns of Dive.at: the level, -1 once all is done; 1 if it was just entered; 1 if choices are
# random, until the first dead end; the nodes of all restarts; the elements of the largest set met.
_LEVEL, _NEW, _RANDOM, _NODES, _LARGEST = 0, 1, 2, 3, 4
_SLICE = 1 << 22
_NO_WEIGHTS = np.zeros(0, np.float32)
# What a weight counts for in the logarithm of a choice's chance, and the least of these.
_PULL, _FAINTEST = 4.0, -30.0


class Dive(NamedTuple):
    """A search under way; level i holds the i-th choice and what was open before it."""

    at: np.ndarray  # int64 (5,), in columns (see above)
    live: np.ndarray  # uint64 (D, W), the choices still open
    need: np.ndarray  # int64 (C,), what each class lacks
    offer: np.ndarray  # int64 (C,), how often the open choices count in each
    weight: np.ndarray  # int64 (C,), that of one on offer in a class
    chance: np.ndarray  # float64 (M,), of each choice while choices are random, up to a factor
    chosen: np.ndarray  # int64 (D,)
    size: np.ndarray  # int64 (D,), the elements of those before
    largest: np.ndarray  # uint8 (ceil(M / 8),), the largest set met, packed choices
    filled: np.ndarray  # int64 (D,), the class that is filled, _FULL or _DEAD
    beside: np.ndarray  # uint64 (D, M, W), what each open choice allows next to those chosen
    base: np.ndarray  # int64 (D,), the last level for which that is written down
    visits: np.ndarray  # int64 (D,), how often a level was entered, in all restarts


class Found(NamedTuple):
    """What a search came back with.

    Attributes:
        cells: packed uint8 ``(k, ceil(m / 8))``, distinct.
        nodes: how many were visited.
        complete: True if there are no others.
        nearest: packed uint8 ``(ceil(m / 8),)``, the largest valid set met, of the wanted size
            or short of it.
    """

    cells: np.ndarray
    nodes: int
    complete: bool
    nearest: np.ndarray


def cover(
    problem: Problem,
    n: int,
    symmetry: str,
    *,
    nodes: int,
    cap: int,
    rng: np.ndarray,
    most: int = 1,
    weights: np.ndarray = _NO_WEIGHTS,
) -> Found:
    """Search for sets of the wanted size in random order, afresh after every ``cap`` nodes.

    Args:
        symmetry: a class, or two (see above).
        nodes: leave off after this many.
        cap: 100,000 does; ten times more or fewer hardly matters.
        rng: uint64 ``(1,)``, the generator's state, moved on.
        most: leave off with this many sets; those of one restart are often alike.
        weights: float32 ``(m,)``, what each element is worth (see ``weights``); while choices are
            random they are drawn the more often the more their elements are worth. Empty: all
            alike.

    Raises:
        UsageError: see ``cover_tables``.
    """
    work = cover_tables(problem, n, symmetry)
    found = np.zeros((most, width(len(work.allow))), np.uint8)
    used = stored = 0
    complete, dive = False, _new(work)
    dive.chance[:] = _chances(work, weights)
    while used < nodes and stored < most and not complete and not (used and stopped()):
        _begin(work, dive, randomly=True)
        spent, more = _dive(work, dive, rng, min(cap, nodes - used), found[stored:])
        used, stored, complete = used + spent, stored + more, bool(dive.at[_LEVEL] < 0)
    ground = problem.ground(n)
    nearest = _cells(ground, work, dive.largest[None])[0]
    return Found(_cells(ground, work, found[:stored]), used, complete, nearest)


def cover_all(problem: Problem, n: int, symmetry: str = "trivial", nodes: int = 2**62) -> Found:
    """Find every set of the wanted size, in a fixed order, or those within so many nodes.

    Raises:
        UsageError: see ``cover_tables``.
    """
    none = np.zeros((0, width(problem.ground(n).m)), np.uint8)
    last, parts = Found(none, 0, False, none.sum(axis=0, dtype=np.uint8)), [none]
    for last in sweep(problem, n, symmetry, nodes):
        parts.append(last.cells)
    return last._replace(cells=np.concatenate(parts))


def sweep(
    problem: Problem, n: int, symmetry: str = "trivial", nodes: int = 2**62
) -> Iterator[Found]:
    """Yield what there is of the wanted size piece by piece, each set once, in a fixed order.

    Each piece comes with the nodes visited so far; the last is complete unless nodes ran out.
    Between two of them Python looks at the clock and for Ctrl-C.

    Raises:
        UsageError: see ``cover_tables``.
    """
    work, rng = cover_tables(problem, n, symmetry), np.zeros(1, np.uint64)
    ground = problem.ground(n)
    buffer = np.zeros((1024, width(len(work.allow))), np.uint8)
    used, dive = 0, _new(work)
    _begin(work, dive, randomly=False)
    while used < nodes and dive.at[_LEVEL] >= 0:
        spent, stored = _dive(work, dive, rng, min(_SLICE, nodes - used), buffer)
        used += spent
        found = _cells(ground, work, buffer[:stored])
        nearest = _cells(ground, work, dive.largest[None])[0]
        yield Found(found, used, bool(dive.at[_LEVEL] < 0), nearest)


def _cells(ground: GroundSet, work: Cover, found: np.ndarray) -> np.ndarray:
    """Return the packed cells of packed sets of choices, without repetitions."""
    choices = len(work.allow)
    of = np.repeat(np.arange(choices), np.diff(work.start))
    members = np.zeros((len(found), ground.m), np.bool_)
    members[:, work.elements] = unpack(found, choices)[:, of]
    cells = pack(members)
    return cells[first_of_each(cells)]


def _chances(work: Cover, weights: np.ndarray) -> np.ndarray:
    """Return float64 ``(M,)``: e^(_PULL mean worth of the elements of each choice), 1 at most."""
    sizes = np.diff(work.start)
    if not len(weights):
        return np.ones(len(sizes))
    of = np.full(len(weights), -1)
    of[work.elements] = np.repeat(np.arange(len(sizes)), sizes)
    worth = of_choices(weights, of, len(sizes)) / sizes
    return np.exp(np.maximum(_PULL * (worth - worth.max()), _FAINTEST))


def _new(work: Cover) -> Dive:
    """Return room for a search."""
    choices, _, words = work.allow.shape
    levels = int(work.need.sum()) + 2
    dive = Dive(
        at=np.zeros(5, np.int64),
        live=np.zeros((levels, words), np.uint64),
        need=work.need.copy(),
        offer=np.zeros_like(work.need),
        weight=np.zeros_like(work.need),
        chance=np.ones(choices),
        chosen=np.zeros(levels, np.int64),
        size=np.zeros(levels, np.int64),
        largest=np.zeros(width(choices), np.uint8),
        filled=np.zeros(levels, np.int64),
        # Few levels are ever written to, and the others take no memory.
        beside=np.empty((levels, choices, words), np.uint64),
        base=np.zeros(levels, np.int64),
        visits=np.zeros(levels, np.int64),
    )
    dive.beside[0] = work.allow[np.arange(choices), np.arange(choices)]
    return dive


def _begin(work: Cover, dive: Dive, *, randomly: bool) -> None:
    """Go back to the beginning."""
    dive.at[: _RANDOM + 1] = 0, 1, randomly
    dive.need[:] = work.need
    dive.weight[:] = work.weight[work.need, np.arange(len(work.need))]
    dive.live[0] = 0
    np.bitwise_or.at(dive.live[0], work.part_word, work.part_bits)


def _count_ones(typing, x):
    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


def _count_zeros(typing, x):
    def generate(context, builder, signature, arguments):
        return builder.ctlz(arguments[0], context.get_constant(types.boolean, True))

    return types.uint64(types.uint64), generate


#: How many bits of a uint64 are set: one machine instruction.
_ones: Any = intrinsic(_count_ones)
#: How many bits of a uint64 other than 0 stand above the highest that is set.
_zeros_above: Any = intrinsic(_count_zeros)


@inlined
def _get(table, row, word):
    """Read a word; unsigned places spare the code for negative ones, a third of the time."""
    return table[np.uint64(row), np.uint64(word)]


@inlined
def _offer(work, dive, level, c):
    """Return how often the open choices count in a class."""
    offer = np.int64(0)
    for w in range(c, dive.live.shape[1], len(work.need)):
        offer += np.int64(_ones(_get(dive.live, level, w)))
    return offer


@inlined
def _tightest(work, dive, level):
    """Return the class to fill next, _FULL if all are filled, _DEAD if one no longer can be.

    The one with the least on offer for what it lacks, later ones before earlier; O(W).
    """
    classes = len(work.need)
    for c in range(classes):
        dive.offer[np.uint64(c)] = np.int64(_ones(_get(dive.live, level, c)))
    for w in range(classes, dive.live.shape[1]):
        dive.offer[w % classes] += np.int64(_ones(_get(dive.live, level, w)))
    short, least = np.int64(0), np.int64(_NONE)
    for c in range(classes):
        place = np.uint64(c)
        offer, need = dive.offer[place], dive.need[place]
        short |= offer - need
        # The class itself in the lowest bits.
        key = ((offer * dive.weight[place]) << 16) + 0xFFFF - c
        least = min(least, key if need > 0 else np.int64(_NONE))
    if short < 0:
        return _DEAD
    return _FULL if least == _NONE else 0xFFFF - (least & 0xFFFF)


@inlined
def _last(work, dive, level, c):
    """Return the last open choice of a class."""
    for w in range(dive.live.shape[1] - len(work.need) + c, -1, -len(work.need)):
        bits = _get(dive.live, level, w)
        if bits:
            return np.int64(work.choice[w, np.uint64(63) - _zeros_above(bits)])
    return np.int64(-1)


@inlined
def _drawn(work, dive, level, c, rng):
    """Return an open choice of a class at random, each by its chance."""
    chosen, total = np.int64(-1), 0.0
    for w in range(c, dive.live.shape[1], len(work.need)):
        bits = _get(dive.live, level, w)
        while bits:
            bit = np.uint64(63) - _zeros_above(bits)
            bits ^= np.uint64(1) << bit
            choice = work.choice[w, bit]
            total += dive.chance[choice]
            if unit(rng) * total < dive.chance[choice]:
                chosen = np.int64(choice)
    return chosen


@inlined
def _change_need(work, dive, choice, sign):
    for p in range(work.part_start[choice], work.part_start[choice + 1]):
        c = np.uint64(work.part_class[p])
        dive.need[c] += sign * work.part_size[p]
        dive.weight[c] = work.weight[np.uint64(dive.need[c]), c]


@inlined
def _descend(work, dive, level, choice):
    """Put a choice in and note what is open then; O(level W)."""
    live, words, under = dive.live, dive.live.shape[1], np.uint64(level + 1)
    base, choice = np.uint64(dive.base[level]), np.uint64(choice)
    for w in range(words):
        live[under, np.uint64(w)] = _get(live, level, w) & dive.beside[base, choice, np.uint64(w)]
    for i in range(dive.base[level], level):
        other = np.uint64(dive.chosen[i])
        for w in range(words):
            live[under, np.uint64(w)] &= work.allow[other, choice, np.uint64(w)]
    _change_need(work, dive, choice, -1)
    for p in range(work.part_start[choice], work.part_start[choice + 1]):
        c = np.uint64(work.part_class[p])
        lack = np.uint64(dive.need[c])
        if lack < len(work.room):
            for w in range(words):
                live[under, np.uint64(w)] &= work.room[lack, c, np.uint64(w)]
    dive.chosen[level] = choice
    dive.size[level + 1] = dive.size[level] + work.start[choice + 1] - work.start[choice]
    dive.base[level + 1] = dive.base[level]


@inlined
def _write_down(work, dive, level):
    """Note what each open choice allows next to those chosen, for the nodes below; O(M W)."""
    words, here = dive.live.shape[1], np.uint64(level)
    base = np.uint64(dive.base[level])
    for a in range(len(work.allow)):
        choice, p = np.uint64(a), work.part_start[a]
        if _get(dive.live, level, work.part_word[p]) & work.part_bits[p]:
            for w in range(words):
                word = np.uint64(w)
                dive.beside[here, choice, word] = dive.beside[base, choice, word]
            for i in range(dive.base[level], level):
                other = np.uint64(dive.chosen[i])
                for w in range(words):
                    word = np.uint64(w)
                    dive.beside[here, choice, word] &= work.allow[other, choice, word]
    dive.base[level] = level


@inlined
def _store(dive, level, row):
    row[:] = 0
    for i in range(level):
        row[dive.chosen[i] >> 3] |= np.uint8(1 << (dive.chosen[i] & 7))


@kernel
def _dive(work, dive, rng, nodes, found):
    """Go on until so many nodes were visited, ``found`` is full or nothing is left.

    Every set is met once: a choice that was tried is closed to those tried after it. What is
    open at a level never counts more in a class than the class lacks.

    Args:
        found: uint8 ``(K, ceil(M / 8))``, filled with packed sets of choices.

    Returns:
        (nodes visited, sets found).
    """
    level, new, randomly = dive.at[_LEVEL], dive.at[_NEW], dive.at[_RANDOM]
    used, stored, before = 0, 0, dive.at[_NODES]
    while level >= 0 and used < nodes and stored < len(found):
        if new:
            new = 0
            used += 1
            c = _tightest(work, dive, level)
            dive.filled[level] = c
            dive.visits[level] += 1
            if dive.size[level] > dive.at[_LARGEST]:
                dive.at[_LARGEST] = dive.size[level]
                _store(dive, level, dive.largest)
            if c == _FULL:
                _store(dive, level, found[stored])
                stored += 1
            elif level > 0 and c != _DEAD and dive.visits[level] * _SHARE < before + used:
                _write_down(work, dive, level)
        c = dive.filled[level]
        offer = _offer(work, dive, level, c) if c >= 0 else np.int64(-1)
        if offer < dive.need[max(c, 0)]:
            randomly = 0
            level -= 1
            if level >= 0:
                _change_need(work, dive, dive.chosen[level], 1)
            continue
        choice = _drawn(work, dive, level, c, rng) if randomly else _last(work, dive, level, c)
        for p in range(work.part_start[choice], work.part_start[choice + 1]):
            dive.live[level, work.part_word[p]] &= ~work.part_bits[p]
        _descend(work, dive, level, choice)
        level += 1
        new = 1
    dive.at[_LEVEL], dive.at[_NEW], dive.at[_RANDOM] = level, new, randomly
    dive.at[_NODES] = before + used
    return used, stored

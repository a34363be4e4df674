"""Ruin and recreate: take a few choices out, refill several times, keep the best refill.

What left may not return for some steps (tabu), so a set that is as good as before is another one.
The set is always valid. For each choice that may not join it one forbidden configuration is
remembered, its *blocker*. A choice is looked at again when an element of its blocker leaves, and a
free one when something joins; nothing is counted, which is what costs where configurations have
four or five elements. Each look is a question to the problem's ``find_blockers``.

Ruin and recreate: Schrimpf et al., J. Comput. Phys. 159 (2000) 139-171. One blocker for each choice
is what watched literals are to a SAT solver (Moskewicz et al., DAC 2001).
"""

from typing import NamedTuple

import numpy as np

from pipeline.core.jit import kernel, njit
from pipeline.engine.rng import below

# Steps for which a choice that left may not return: at least, and how many more at most.
_TENURE, _LONGER = 2, 6
# What a question costs whatever it meets: without it, small ground sets take minutes.
_QUESTION = 100
# A set that is no better after the patience loses this share of its choices.
_KICK = 2


class Ruin(NamedTuple):
    """How far one search goes.

    Attributes:
        work: it ends after so much, counted as the pairs of members that its questions meet; a
            billion take some three seconds.
        most: a step takes out 1 to this many choices.
        refills: it fills up again so many times.
        worse: in so many of a thousand steps a smaller set is taken; in the others what left
            comes back instead.
        patience: after so many steps without a larger set half of the choices leave.
        stop: it ends with a set of this size.
    """

    work: int
    most: int
    refills: int
    worse: int
    patience: int
    stop: int


class Held(NamedTuple):
    """The set under way, M choices, m elements."""

    members: np.ndarray  # int32 (m + 1,), its elements
    where: np.ndarray  # int32 (m,), position in members
    inside: np.ndarray  # uint8 (m,)
    chosen: np.ndarray  # int32 (M,), its choices
    position: np.ndarray  # int32 (M,), position in chosen, -1 when absent
    blockers: np.ndarray  # int32 (M, arity - 1), -1 first for a choice that is free
    barred: np.ndarray  # int64 (M,), the step until which a choice may not join
    free: np.ndarray  # int32 (M,), the absent choices that are free
    room: np.ndarray  # int32 (M,), those of them that a refill may still take
    gone: np.ndarray  # int32 (M,), the choices that left last
    taken: np.ndarray  # int32 (M,), what a refill takes
    best: np.ndarray  # int32 (M,), what the best one takes
    elements: np.ndarray  # int32 (m,), questions
    answers: np.ndarray  # int32 (m, arity - 1)
    totals: np.ndarray  # int64 (3,): elements and choices of the set, work done


_SIZE, _CHOICES, _WORK = 0, 1, 2


@njit
def ruin_recreate(space, find, width, rng, how, found):
    """Search from nothing and return how many sets are in ``found``, the largest seen.

    Args:
        find: the compiled ``find_blockers`` of the problem.
        width: arity - 1.
        rng: uint64 ``(1,)``, moved on.
        how: a ``Ruin``.
        found: packed uint8 ``(B, ceil(m / 8))``; filled with maximal sets, unions of choices and
            perhaps a few elements more.
    """
    held, of = new_held(space, width)
    stored = _search(space, find, rng, how, held, of, found)
    for row in range(stored):
        _saturate(space, find, held, found[row])
    return stored


@njit
def new_held(space, width):
    """Return the empty set, and int32 ``(m,)`` the choice of each element, -1 for none."""
    m, choices = len(space.coords), len(space.start) - 1
    of = np.full(m, -1, np.int32)
    for choice in range(choices):
        for i in range(space.start[choice], space.start[choice + 1]):
            of[space.elements[i]] = choice
    held = Held(
        np.empty(m + 1, np.int32),
        np.empty(m, np.int32),
        np.zeros(m, np.uint8),
        np.empty(choices, np.int32),
        np.full(choices, -1, np.int32),
        np.full((choices, width), -1, np.int32),
        np.zeros(choices, np.int64),
        np.empty(choices, np.int32),
        np.empty(choices, np.int32),
        np.empty(choices, np.int32),
        np.empty(choices, np.int32),
        np.empty(choices, np.int32),
        np.empty(m, np.int32),
        np.full((m, width), -1, np.int32),
        np.zeros(3, np.int64),
    )
    return held, of


@kernel
def _search(space, find, rng, how, held, of, found):
    core, best, stored, largest, idle = np.int64(0), np.int64(0), 0, np.int64(0), 0
    step = 0
    while held.totals[_WORK] < how.work and best < how.stop and space.stop[0] == 0:
        step += 1
        most = min(how.most, held.totals[_CHOICES])
        leaving, least = 1 + below(rng, most) if most > 0 else 0, held.totals[_SIZE]
        if idle > how.patience:
            leaving, idle, largest = held.totals[_CHOICES] // _KICK, 0, np.int64(0)
            least = np.int64(0)
        elif below(rng, 1000) < how.worse:
            least = np.int64(0)
        ruin(space, rng, held, leaving, step)
        free = look_again(space, find, held, of)
        recreate(space, find, rng, how, held, free, step, leaving, least)
        idle += 1
        if held.totals[_SIZE] > largest:
            largest, idle = held.totals[_SIZE], 0
        if held.totals[_SIZE] >= core:
            core = held.totals[_SIZE]
            size = _filled(space, find, held, of)
            if size > best:
                best, stored = size, 0
            if size == best:
                _keep(held, size, found[stored % len(found)])
                stored += 1
    return min(stored, len(found))


@kernel
def ruin(space, rng, held, leaving, step):
    """Take out so many choices, drawn at random, and bar them for a while."""
    for n in range(leaving):
        choice = held.chosen[below(rng, held.totals[_CHOICES])]
        held.totals[_CHOICES] -= 1
        last = held.chosen[held.totals[_CHOICES]]
        held.chosen[held.position[choice]] = last
        held.position[last] = held.position[choice]
        held.position[choice] = -1
        held.gone[n] = choice
        held.blockers[choice, 0] = -1
        held.barred[choice] = step + 1 + _TENURE + below(rng, _LONGER)
        for i in range(space.start[choice], space.start[choice + 1]):
            u = space.elements[i]
            held.totals[_SIZE] -= 1
            other = held.members[held.totals[_SIZE]]
            held.members[held.where[u]] = other
            held.where[other] = held.where[u]
            held.inside[u] = 0


@kernel
def look_again(space, find, held, of):
    """Find blockers for the choices whose own have gone; list the free ones, return how many."""
    width, asked, free = held.blockers.shape[1], 0, 0
    for choice in range(len(held.position)):
        if held.position[choice] >= 0 or held.blockers[choice, 0] < 0:
            continue
        for k in range(width):
            w = held.blockers[choice, k]
            if w >= 0 and held.inside[w] == 0 and of[w] != choice:
                held.room[asked] = choice
                asked += 1
                break
    _ask(space, find, held, held.room, asked, held.totals[_SIZE], 0)
    _remember(held, asked)
    for choice in range(len(held.position)):
        if held.position[choice] < 0 and held.blockers[choice, 0] < 0:
            held.free[free] = choice
            free += 1
    return free


@kernel
def recreate(space, find, rng, how, held, free, step, leaving, least):
    """Fill up at random several times; keep the fill with most elements, the first of several.

    Where all have less than ``least`` elements, the choices that left last come back.
    """
    base, best, added = held.totals[_SIZE], np.int64(-1), 0
    for _ in range(how.refills):
        room = 0
        for i in range(free):
            if held.barred[held.free[i]] <= step:
                held.room[room] = held.free[i]
                room += 1
        size, taken = base, 0
        while room > 0:
            i = below(rng, room)
            held.taken[taken] = held.room[i]
            room -= 1
            held.room[i] = held.room[room]
            before = size
            size = _append(space, held, held.taken[taken], size)
            taken += 1
            _ask(space, find, held, held.room, room, size, before)
            left = 0
            for k in range(room):
                if held.answers[k, 0] < 0:
                    held.room[left] = held.room[k]
                    left += 1
            room = left
        if size > best:
            best, added = size, taken
            for i in range(taken):
                held.best[i] = held.taken[i]
        if free == 0:
            break
    if best < least:
        added = leaving
        for i in range(leaving):
            held.best[i] = held.gone[i]
    for i in range(added):
        choice = held.best[i]
        held.position[choice] = held.totals[_CHOICES]
        held.chosen[held.totals[_CHOICES]] = choice
        held.totals[_CHOICES] += 1
        size = held.totals[_SIZE]
        held.totals[_SIZE] = _append(space, held, choice, size)
        for k in range(size, held.totals[_SIZE]):
            held.where[held.members[k]] = k
            held.inside[held.members[k]] = 1
    if added > 0:
        left = 0
        for i in range(free):
            if held.position[held.free[i]] < 0:
                held.room[left] = held.free[i]
                left += 1
        _ask(space, find, held, held.room, left, held.totals[_SIZE], base)
        _remember(held, left)


@kernel
def _remember(held, count):
    """Make the answers about the first choices of the room their blockers."""
    for i in range(count):
        for k in range(held.blockers.shape[1]):
            held.blockers[held.room[i], k] = held.answers[i, k]


@kernel
def _append(space, held, choice, size):
    """Write the elements of a choice behind the first ``size`` members; return the new size."""
    for i in range(space.start[choice], space.start[choice + 1]):
        held.members[size] = space.elements[i]
        size += 1
    return size


@kernel
def _ask(space, find, held, choices, count, size, since):
    """Answer what blocks each of some choices, given the first ``size`` members.

    A configuration meets a choice in one element, which may as well be the first, by symmetry; or
    it holds an element and an earlier one of the same choice.
    """
    for i in range(count):
        held.elements[i] = space.elements[space.start[choices[i]]]
    _find(space, find, held, count, size, since, held.answers)
    for i in range(count):
        start, stop = space.start[choices[i]], space.start[choices[i] + 1]
        if held.answers[i, 0] >= 0 or stop - start == 1:
            continue
        for e in range(start + 1, stop):
            held.members[size + e - start - 1] = space.elements[e - 1]
            held.elements[0] = space.elements[e]
            _find(space, find, held, 1, size + e - start, size, held.answers[i:])
            if held.answers[i, 0] >= 0:
                break


@kernel
def _find(space, find, held, count, size, since, answers):
    held.totals[_WORK] += _QUESTION + count * size * size // 2
    if count > 0:
        find(
            held.elements,
            count,
            held.members,
            size,
            since,
            space.coords,
            space.tables,
            answers,
        )


@kernel
def _filled(space, find, held, of):
    """Add what fits behind the set: whole choices first, then single elements.

    An element fits by itself only where its choice is free, or is blocked by a configuration that
    holds another element of that choice.
    """
    size, width = held.totals[_SIZE], held.blockers.shape[1]
    for part in range(2):
        for choice in range(len(held.position)):
            if held.position[choice] >= 0:
                continue
            own = held.blockers[choice, 0] < 0
            for k in range(width):
                w = held.blockers[choice, k]
                own |= w >= 0 and of[w] == choice
            if not own:
                continue
            if part == 0 and held.blockers[choice, 0] < 0:
                held.room[0] = choice
                _ask(space, find, held, held.room, 1, size, 0)
                if held.answers[0, 0] < 0:
                    size = _append(space, held, choice, size)
            elif part == 1:
                for i in range(space.start[choice], space.start[choice + 1]):
                    u, held_already = space.elements[i], False
                    for k in range(held.totals[_SIZE], size):
                        held_already |= held.members[k] == u
                    held.elements[0] = u
                    if not held_already:
                        _find(space, find, held, 1, size, 0, held.answers)
                        if held.answers[0, 0] < 0:
                            held.members[size] = u
                            size += 1
    return size


@kernel
def _keep(held, size, bits):
    """Write the first ``size`` members to a packed row."""
    bits[:] = 0
    for i in range(size):
        u = held.members[i]
        bits[u >> 3] |= np.uint8(1 << (u & 7))


@kernel
def _saturate(space, find, held, bits):
    """Add to a packed row any element that fits, of no choice perhaps, until none does."""
    size, count = 0, 0
    for u in range(len(space.coords)):
        if bits[u >> 3] >> (u & 7) & 1:
            held.members[size] = u
            size += 1
        else:
            held.elements[count] = u
            count += 1
    since = 0
    while count > 0 and space.stop[0] == 0:
        _find(space, find, held, count, size, since, held.answers)
        left = 0
        for i in range(count):
            if held.answers[i, 0] < 0:
                held.elements[left] = held.elements[i]
                left += 1
        count, since = left, size
        if left > 0:
            count -= 1
            held.members[size] = held.elements[count]
            size += 1
    _keep(held, size, bits)

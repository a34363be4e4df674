"""Tabu search at a fixed size: as many elements as wanted, with ever fewer violations.

Runs on any space (see ``kernels``): on pair tables where there are some, on the hook otherwise.
A step takes out the choice in most violations and puts in the one that brings fewest, ties at
random; whoever left may not come back for two to four steps, whoever came may not leave for one
to three. These short tenures matter more than anything else here (longer ones, constant ones and
none were tried and lose).
"""

from typing import NamedTuple

import numpy as np

from pipeline.compiling import inlined, kernel, njit
from pipeline.search.kernels import (
    CHOICES,
    VIOLATIONS,
    below,
    clear,
    join,
    leave,
    load,
    new_state,
    part,
)

# A choice's key is its load times SCALE, plus its field, plus what forbids it.
SCALE = 16
_PRESENT, _TABU, _FORBIDDEN = np.int32(1 << 29), np.int32(1 << 28), np.int32(1 << 27)
# Choices come off the tabu list by a ring of this many steps; every tenure is shorter.
_RING = 64
_BLOCK = 64


class Tabu(NamedTuple):
    """How to search; the defaults are the ones to ship.

    Attributes:
        goal: elements to begin with.
        stop: leave off at a valid set of this many elements.
        steps: leave off after this many.
        enumerate: stay at the goal, shake every solution and look for another, rather than go
            on to more elements.
        stall: steps without progress before a part is thrown out at random.
        out_least, out_spread, in_least, in_spread: tenures, ``least + 0..spread-1`` steps.
        fade: steps in which the field goes to nothing.
    """

    goal: int
    stop: int
    steps: int
    enumerate: bool = False
    stall: int = 3000
    out_least: int = 2
    out_spread: int = 3
    in_least: int = 1
    in_spread: int = 3
    fade: int = 1


class _Memory(NamedTuple):
    """What the search knows beside the set itself."""

    penalty: np.ndarray  # int32 (M,), field and prohibitions of each choice
    field: np.ndarray  # int32 (M,), the part of it that is the field
    keys: np.ndarray  # int32 (M,), scratch
    held_until: np.ndarray  # int64 (M,), the step from which a member may leave
    ring: np.ndarray  # int32 (_RING,), first choice to be set free at a step
    after: np.ndarray  # int32 (M,), the next one


@inlined
def _least(space, state, memory, rng):
    """Return an absent, free choice of the least key, ties at random; -1 without any. O(M)."""
    choices = len(memory.keys)
    keys, penalty = memory.keys, memory.penalty
    least = np.int32(2147483647)
    if space.exact:
        for c in range(choices):
            key = np.int32(
                np.int32(np.int32(state.counts[c] + state.pair_load[c]) * np.int32(SCALE))
                + penalty[c]
            )
            keys[c] = key
            least = min(least, key)
    else:
        for c in range(choices):
            key = np.int32(load(space, state, c) * SCALE + penalty[c])
            keys[c] = key
            least = min(least, key)
    if least >= _FORBIDDEN:
        return -1
    ties = np.int32(0)
    for c in range(choices):
        ties = np.int32(ties + np.int32(keys[c] == least))
    skip = below(rng, ties)
    first = 0
    while True:
        here = np.int32(0)
        for c in range(first, min(first + _BLOCK, choices)):
            here = np.int32(here + np.int32(keys[c] == least))
        if skip < here:
            break
        skip -= here
        first += _BLOCK
    for c in range(first, choices):
        if keys[c] == least:
            if skip == 0:
                return c
            skip -= 1
    return -1


@inlined
def _worst(space, state, memory, rng, step):
    """Return the member in most violations that may leave, ties at random; any if none may."""
    worst, most, ties = -1, np.int64(-1), 0
    for i in range(state.totals[CHOICES]):
        c = state.chosen[i]
        if memory.held_until[c] <= step:
            here = part(space, state, c)
            if here > most:
                worst, most, ties = c, here, 1
            elif here == most:
                ties += 1
                if below(rng, ties) == 0:
                    worst = c
    if worst < 0:
        worst = state.chosen[below(rng, state.totals[CHOICES])]
    return worst


@inlined
def _enter(space, state, memory, sizes, c):
    """Add a choice and return its elements."""
    join(space, state, c)
    memory.penalty[c] += _PRESENT
    return sizes[c]


@inlined
def _shake(space, state, memory, rng, share):
    """Take out a share of the members at random."""
    for _ in range(1 + int(state.totals[CHOICES] * share)):
        if state.totals[CHOICES] == 0:
            break
        c = state.chosen[below(rng, state.totals[CHOICES])]
        leave(space, state, c)
        memory.penalty[c] -= _PRESENT


@inlined
def _store(state, row):
    row[:] = 0
    for i in range(state.totals[CHOICES]):
        c = state.chosen[i]
        row[c >> 3] |= np.uint8(1 << (c & 7))


@inlined
def _size(state, sizes):
    total = np.int64(0)
    for i in range(state.totals[CHOICES]):
        total += sizes[state.chosen[i]]
    return total


@njit
def tabu(space, state, rng, sizes, field, how, found):
    """Search from the set in ``state``; O(M + two joins) a step.

    Args:
        sizes: int32 ``(M,)``, the elements of each choice.
        field: int32 ``(M,)``, added to SCALE times the load of a choice; below 0 attracts.
        how: a ``Tabu``.
        found: uint8 ``(K, ceil(M / 8))``, filled with valid sets as packed choices, the oldest
            overwritten first.

    Returns:
        (how many were found, the size of the largest, the steps made).
    """
    choices = len(sizes)
    memory = _Memory(
        field.copy(),
        field.copy(),
        np.empty(choices, np.int32),
        np.zeros(choices, np.int64),
        np.full(_RING, -1, np.int32),
        np.full(choices, -1, np.int32),
    )
    return _tabu(space, state, rng, sizes, field, how, found, memory)


@kernel
def _tabu(space, state, rng, sizes, field, how, found, memory):
    choices = len(sizes)
    for i in range(state.totals[CHOICES]):
        memory.penalty[state.chosen[i]] += _PRESENT
    size = _size(state, sizes)
    goal, largest, stored = np.int64(how.goal), np.int64(0), 0
    fewest, since = np.int64(2**62), 0
    step = 0
    while step < how.steps:
        step += 1
        slot = step % _RING
        c = memory.ring[slot]
        while c >= 0:
            memory.penalty[c] -= _TABU
            c = memory.after[c]
        memory.ring[slot] = -1
        if step % 256 == 0 and how.fade > 1 and step <= how.fade + 256:
            left = max(1.0 - step / how.fade, 0.0)
            for c in range(choices):
                now = np.int32(field[c] * left)
                memory.penalty[c] += now - memory.field[c]
                memory.field[c] = now

        if state.totals[VIOLATIONS] == 0 and size >= goal:
            _store(state, found[stored % len(found)])
            stored += 1
            largest = max(largest, size)
            if largest >= how.stop:
                break
            fewest, since = np.int64(2**62), step
            if how.enumerate:
                _shake(space, state, memory, rng, 0.3 + 0.1 * below(rng, 5))
                size = _size(state, sizes)
            else:
                goal = size + 1
        elif state.totals[VIOLATIONS] > 0:
            c = _worst(space, state, memory, rng, step)
            leave(space, state, c)
            size -= sizes[c]
            memory.penalty[c] += _TABU - _PRESENT
            back = (step + how.out_least + below(rng, how.out_spread)) % _RING
            memory.after[c] = memory.ring[back]
            memory.ring[back] = c
        while size < goal:
            c = _least(space, state, memory, rng)
            if c < 0:
                break
            size += _enter(space, state, memory, sizes, c)
            memory.held_until[c] = step + how.in_least + below(rng, how.in_spread)
        if size < goal and state.totals[VIOLATIONS] == 0:
            # Everything that is left is forbidden or gone: no set of this size is in reach.
            goal = max(size, 1)
        if state.totals[VIOLATIONS] < fewest:
            fewest, since = state.totals[VIOLATIONS], step
        if step - since > how.stall:
            _shake(space, state, memory, rng, 0.15 + 0.01 * below(rng, 30))
            size = _size(state, sizes)
            while size < goal:
                c = below(rng, choices)
                if below(rng, 4) > 0 or memory.penalty[c] >= _FORBIDDEN:
                    c = _least(space, state, memory, rng)
                if c < 0:
                    break
                size += _enter(space, state, memory, sizes, c)
            fewest, since = state.totals[VIOLATIONS], step
    return stored, largest, step


@njit
def climb_many(space, rng, sizes, steps, sets):
    """Look for a larger set from each packed set of choices in ``sets``, in place.

    The search begins one element above the set it is given, and goes on from each set it finds.
    """
    state = new_state(space)
    nothing = np.zeros(len(sizes), np.int32)
    found = np.zeros((1, sets.shape[1]), np.uint8)
    for row in range(len(sets)):
        clear(state)
        size = 0
        for c in range(len(sizes)):
            if sets[row, c >> 3] >> (c & 7) & 1:
                join(space, state, c)
                size += sizes[c]
        how = Tabu(size + 1, 2**62, steps, False, 3000, 2, 3, 1, 3, 1)
        stored, _, _ = tabu(space, state, rng, sizes, nothing, how, found)
        if stored > 0:
            sets[row] = found[0]

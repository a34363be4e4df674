"""What tabu searches share: what each choice costs just now, and who may not come back yet.

A choice's key is its conflicts times SCALE, plus its penalty: its weight, and what forbids it.
"""

from typing import NamedTuple

import numpy as np

from pipeline.core.jit import inlined, njit
from pipeline.engine.rng import below
from pipeline.engine.state import CHOICES, conflicts_added, conflicts_removed, join, leave

SCALE = 16
_PRESENT, _TABU, FORBIDDEN = np.int32(1 << 29), np.int32(1 << 28), np.int32(1 << 27)
# Choices come off the tabu list by a ring of this many steps; every tenure is shorter.
_RING = 64
_BLOCK = 64


class TabuList(NamedTuple):
    """What a search knows beside the set itself."""

    penalty: np.ndarray  # int32 (M,), weight and prohibitions of each choice
    weights: np.ndarray  # int32 (M,), the part of it that is the weight
    keys: np.ndarray  # int32 (M,), scratch
    held_until: np.ndarray  # int64 (M,), the step from which a member may leave
    ring: np.ndarray  # int32 (_RING,), first choice to be set free at a step
    after: np.ndarray  # int32 (M,), the next one


@njit
def new_tabu_list(weights):
    """Return a list on which nothing stands."""
    choices = len(weights)
    return TabuList(
        weights.copy(),
        weights.copy(),
        np.empty(choices, np.int32),
        np.zeros(choices, np.int64),
        np.full(_RING, -1, np.int32),
        np.full(choices, -1, np.int32),
    )


@inlined
def begin(state, tabu_list, sizes):
    """Take note of the members there are and return how many elements they have."""
    total = np.int64(0)
    for i in range(state.totals[CHOICES]):
        c = state.chosen[i]
        tabu_list.penalty[c] += _PRESENT
        total += sizes[c]
    return total


@inlined
def set_free(tabu_list, step):
    """Let those come back whose time is over at a step; to be called at every one."""
    c = tabu_list.ring[step % _RING]
    while c >= 0:
        tabu_list.penalty[c] -= _TABU
        c = tabu_list.after[c]
    tabu_list.ring[step % _RING] = -1


@inlined
def fade(tabu_list, weights, left):
    """Let a share of the weights be left, 0 to 1."""
    for c in range(len(weights)):
        now = np.int32(weights[c] * left)
        tabu_list.penalty[c] += now - tabu_list.weights[c]
        tabu_list.weights[c] = now


@inlined
def least(space, state, tabu_list, rng):
    """Return an absent, free choice of the least key, ties at random; -1 without any. O(M)."""
    choices = len(tabu_list.keys)
    keys, penalty = tabu_list.keys, tabu_list.penalty
    lowest = np.int32(2147483647)
    if space.exact:
        for c in range(choices):
            key = np.int32(
                np.int32(np.int32(state.counts[c] + state.pair_conflicts[c]) * np.int32(SCALE))
                + penalty[c]
            )
            keys[c] = key
            lowest = min(lowest, key)
    else:
        for c in range(choices):
            key = np.int32(conflicts_added(space, state, c) * SCALE + penalty[c])
            keys[c] = key
            lowest = min(lowest, key)
    if lowest >= FORBIDDEN:
        return -1
    ties = np.int32(0)
    for c in range(choices):
        ties = np.int32(ties + np.int32(keys[c] == lowest))
    skip = below(rng, ties)
    first = 0
    while True:
        here = np.int32(0)
        for c in range(first, min(first + _BLOCK, choices)):
            here = np.int32(here + np.int32(keys[c] == lowest))
        if skip < here:
            break
        skip -= here
        first += _BLOCK
    for c in range(first, choices):
        if keys[c] == lowest:
            if skip == 0:
                return c
            skip -= 1
    return -1


@inlined
def worst(space, state, tabu_list, rng, step):
    """Return the member in most violations that may leave, ties at random; any if none may."""
    found, most, ties = -1, np.int64(-1), 0
    for i in range(state.totals[CHOICES]):
        c = state.chosen[i]
        if tabu_list.held_until[c] <= step:
            here = conflicts_removed(space, state, c)
            if here > most:
                found, most, ties = c, here, 1
            elif here == most:
                ties += 1
                if below(rng, ties) == 0:
                    found = c
    if found < 0:
        found = state.chosen[below(rng, state.totals[CHOICES])]
    return found


@inlined
def enter(space, state, tabu_list, sizes, c):
    """Add a choice and return its elements."""
    join(space, state, c)
    tabu_list.penalty[c] += _PRESENT
    return sizes[c]


@inlined
def drop(space, state, tabu_list, sizes, c, until):
    """Take out a member, which may not come back before a step, and return its elements."""
    leave(space, state, c)
    tabu_list.penalty[c] += _TABU - _PRESENT
    tabu_list.after[c] = tabu_list.ring[until % _RING]
    tabu_list.ring[until % _RING] = c
    return sizes[c]


@inlined
def shake(space, state, tabu_list, rng, sizes, share):
    """Take out a share of the members at random and return their elements."""
    gone = np.int64(0)
    for _ in range(1 + int(state.totals[CHOICES] * share)):
        if state.totals[CHOICES] == 0:
            break
        c = state.chosen[below(rng, state.totals[CHOICES])]
        leave(space, state, c)
        tabu_list.penalty[c] -= _PRESENT
        gone += sizes[c]
    return gone


@inlined
def store(state, row):
    """Write the members to a packed row."""
    row[:] = 0
    for i in range(state.totals[CHOICES]):
        c = state.chosen[i]
        row[c >> 3] |= np.uint8(1 << (c & 7))

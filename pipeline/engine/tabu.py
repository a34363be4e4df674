"""Tabu search at a fixed size: as many elements as wanted, with ever fewer violations.

Runs on any space (see ``state``): on pair tables where there are some, on the hook otherwise.
A step takes out the choice in most violations and puts in the one that brings fewest, ties at
random; whoever left may not come back for two to four steps, whoever came may not leave for one
to three. These short tenures matter more than anything else here (longer ones, constant ones and
none were tried and lose).
"""

from typing import NamedTuple

import numpy as np

from pipeline.core.jit import kernel, njit
from pipeline.engine.rng import below
from pipeline.engine.state import VIOLATIONS, clear, join, new_state
from pipeline.engine.tabu_list import (
    FORBIDDEN,
    begin,
    drop,
    enter,
    fade,
    least,
    new_tabu_list,
    set_free,
    shake,
    store,
    worst,
)


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
        fade: steps in which the weights go to nothing.
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


@njit
def tabu(space, state, rng, sizes, weights, how, found):
    """Search from the set in ``state``; O(M + two joins) a step.

    Args:
        sizes: int32 ``(M,)``, the elements of each choice.
        weights: int32 ``(M,)``, added to SCALE times the conflicts of a choice; below 0 attracts.
        how: a ``Tabu``.
        found: uint8 ``(K, ceil(M / 8))``, filled with valid sets as packed choices, the oldest
            overwritten first.

    Returns:
        (how many were found, the size of the largest, the steps made).
    """
    return _tabu(space, state, rng, sizes, weights, how, found, new_tabu_list(weights))


@kernel
def _tabu(space, state, rng, sizes, weights, how, found, tabu_list):
    choices = len(sizes)
    size = begin(state, tabu_list, sizes)
    goal, largest, stored = np.int64(how.goal), np.int64(0), 0
    fewest, since = np.int64(2**62), 0
    step = 0
    while step < how.steps and space.stop[0] == 0:
        step += 1
        set_free(tabu_list, step)
        if step % 256 == 0 and how.fade > 1 and step <= how.fade + 256:
            fade(tabu_list, weights, max(1.0 - step / how.fade, 0.0))

        if state.totals[VIOLATIONS] == 0 and size >= goal:
            store(state, found[stored % len(found)])
            stored += 1
            largest = max(largest, size)
            if largest >= how.stop:
                break
            fewest, since = np.int64(2**62), step
            if how.enumerate:
                size -= shake(space, state, tabu_list, rng, sizes, 0.3 + 0.1 * below(rng, 5))
            else:
                goal = size + 1
        elif state.totals[VIOLATIONS] > 0:
            c = worst(space, state, tabu_list, rng, step)
            until = step + how.out_least + below(rng, how.out_spread)
            size -= drop(space, state, tabu_list, sizes, c, until)
        while size < goal:
            c = least(space, state, tabu_list, rng)
            if c < 0:
                break
            size += enter(space, state, tabu_list, sizes, c)
            tabu_list.held_until[c] = step + how.in_least + below(rng, how.in_spread)
        if size < goal and state.totals[VIOLATIONS] == 0:
            # Everything that is left is forbidden or gone: no set of this size is in reach.
            goal = max(size, 1)
        if state.totals[VIOLATIONS] < fewest:
            fewest, since = state.totals[VIOLATIONS], step
        if step - since > how.stall:
            size -= shake(space, state, tabu_list, rng, sizes, 0.15 + 0.01 * below(rng, 30))
            while size < goal:
                c = below(rng, choices)
                if below(rng, 4) > 0 or tabu_list.penalty[c] >= FORBIDDEN:
                    c = least(space, state, tabu_list, rng)
                if c < 0:
                    break
                size += enter(space, state, tabu_list, sizes, c)
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
        if space.stop[0] != 0:
            break
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

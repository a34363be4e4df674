"""Growth tabu: a valid set that takes in one choice a step and gives up what stands against it.

Runs on any space, as ``tabu`` does. A step adds the absent choice that brings fewest violations,
ties at random, then takes out members, those in most violations first, until none is left. Half of
those that left, drawn at random, may not come back in the next step: tenures of one to three steps
and longer ones were tried and lose, and so do none. Between steps there is never a violation, so
every set on the way may be kept.
"""

from typing import NamedTuple

import numpy as np

from pipeline.core.jit import kernel, njit
from pipeline.errors import PipelineError
from pipeline.search.kernels import CHOICES, HOOK_IS_WRONG, VIOLATIONS, below
from pipeline.search.tabu_list import (
    begin,
    drop,
    enter,
    fade,
    least,
    new_memory,
    set_free,
    shake,
    store,
    worst,
)


class Growth(NamedTuple):
    """How to search; the defaults are the ones to ship.

    Attributes:
        stop: leave off at a set of this many elements.
        steps: leave off after this many.
        stall: steps without a larger set, since the last shake, before a part is thrown out at
            random.
        out_least, out_spread: tenures, ``least + 0..spread-1`` steps after the one in which a
            choice had to leave.
        fade: steps in which the field goes to nothing.
    """

    stop: int
    steps: int
    stall: int = 3000
    out_least: int = 0
    out_spread: int = 2
    fade: int = 1


@njit
def grow(space, state, rng, sizes, field, how, found):
    """Search from the set in ``state``, made valid first; O(M + a join and what it takes out) a
    step.

    Args:
        sizes, field: as ``tabu`` takes them.
        how: a ``Growth``.
        found: uint8 ``(K, ceil(M / 8))``, filled with valid sets as packed choices, no two of
            them equal: each that is larger than all before it, and others as large, up to K; the
            oldest overwritten first.

    Returns:
        (how many were found, the size of the largest, the steps made).

    Raises:
        PipelineError: the hook's counts contradict each other.
    """
    row = np.empty(found.shape[1], np.uint8)
    return _grow(space, state, rng, sizes, field, how, found, row, new_memory(field))


@kernel
def _grow(space, state, rng, sizes, field, how, found, row, memory):
    size = begin(state, memory, sizes)
    largest, as_large, stored = np.int64(0), 0, 0
    most, since = np.int64(0), 0
    step = 0
    while True:
        if state.totals[VIOLATIONS] == 0:  # as at all times but, with some starts, the first
            if size > most:
                most, since = size, step
            if size > largest:
                largest, as_large = size, 0
            if size == largest > 0 and as_large < len(found):
                store(state, row)
                if not _held(found, stored, as_large, row):
                    store(state, found[stored % len(found)])
                    stored += 1
                    as_large += 1
        if step >= how.steps or largest >= how.stop or space.stop[0] != 0:
            break
        step += 1
        set_free(memory, step)
        if step % 256 == 0 and how.fade > 1 and step <= how.fade + 256:
            fade(memory, field, max(1.0 - step / how.fade, 0.0))
        if step - since > how.stall:
            size -= shake(space, state, memory, rng, sizes, 0.15 + 0.01 * below(rng, 30))
            most, since = size, step

        c = least(space, state, memory, rng)
        if c >= 0:
            size += enter(space, state, memory, sizes, c)
            memory.held_until[c] = step + 1
        while state.totals[VIOLATIONS] > 0:
            if state.totals[CHOICES] == 0:
                # Nothing is left to take out, so going on would never end.
                raise PipelineError(HOOK_IS_WRONG)
            gone = worst(space, state, memory, rng, step)
            until = step + 1 + how.out_least + below(rng, how.out_spread)
            size -= drop(space, state, memory, sizes, gone, until)
    return stored, largest, step


@kernel
def _held(found, stored, last, row):
    """Tell whether a row is among the last ones stored."""
    for i in range(stored - last, stored):
        k, equal = i % len(found), 0
        while equal < len(row) and found[k, equal] == row[equal]:
            equal += 1
        if equal == len(row):
            return True
    return False

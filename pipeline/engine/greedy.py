"""Greedy search: fill a set up at random, take violations out, and both for many sets."""

import numpy as np

from pipeline.core.jit import kernel, njit
from pipeline.engine.rng import below
from pipeline.engine.state import (
    CHOICES,
    VIOLATIONS,
    clear,
    conflicts_added,
    conflicts_removed,
    enter_cells,
    join,
    keep_bits,
    leave,
    new_state,
)
from pipeline.errors import PipelineError

HOOK_IS_WRONG = (
    "the problem's hook counts wrongly: violations are left and no point has a part in them; "
    "test the plugin with pipeline.testing.ProblemContract"
)


@kernel
def saturate(space, state, rng, order):
    """Add free choices in random order until none is left; ``order`` is scratch (M,).

    A set without violations stays so. O(M) and one join per choice added. Told to stop, it leaves
    a set that is valid and need not be maximal.
    """
    for i in range(len(order)):
        order[i] = i
    add_free(space, state, rng, order, len(order))


@kernel
def add_free(space, state, rng, order, left):
    """Add the free ones of the first ``left`` choices in ``order``, which it shuffles."""
    while left > 0 and space.stop[0] == 0:
        i = below(rng, left)
        choice = order[i]
        left -= 1
        order[i] = order[left]
        if state.position[choice] < 0 and conflicts_added(space, state, choice) == 0:
            brought = join(space, state, choice)
            if brought > 0:
                leave(space, state, choice)


@kernel
def repair(space, state, rng):
    """Take out the choice in most violations (ties at random) until none is left.

    Raises:
        PipelineError: the hook's counts contradict each other.
    """
    while state.totals[VIOLATIONS] > 0:
        worst, most, ties = -1, np.int64(0), 0
        for i in range(state.totals[CHOICES]):
            choice = state.chosen[i]
            here = conflicts_removed(space, state, choice)
            if here > most:
                worst, most, ties = choice, here, 1
            elif here == most and most > 0:
                ties += 1
                if below(rng, ties) == 0:
                    worst = choice
        if worst < 0:
            # Going on would write outside the arrays.
            raise PipelineError(HOOK_IS_WRONG)
        leave(space, state, worst)


@njit
def greedy_many(space, rng, cells):
    """Fill each packed row of ``cells`` with a maximal set made by random greedy choice."""
    state = new_state(space)
    order = np.empty(len(space.start) - 1, np.int32)
    for row in range(len(cells)):
        clear(state)
        saturate(space, state, rng, order)
        keep_bits(state, cells[row])


@njit
def repair_many(space, rng, cells):
    """Take out of each packed row, in place, the choices in most violations until none is left."""
    state = new_state(space)
    for row in range(len(cells)):
        if space.stop[0] != 0:
            cells[row] = 0
            continue
        clear(state)
        enter_cells(space, state, cells[row])
        repair(space, state, rng)
        keep_bits(state, cells[row])


@njit
def complete_many(space, rng, cells):
    """Repair and saturate each packed row in place.

    A row that is not a union of choices keeps those choices whose first element it holds. Rows that
    are left when the kernel is told to stop become empty.
    """
    state = new_state(space)
    order = np.empty(len(space.start) - 1, np.int32)
    for row in range(len(cells)):
        if space.stop[0] != 0:
            cells[row] = 0
            continue
        clear(state)
        enter_cells(space, state, cells[row])
        repair(space, state, rng)
        saturate(space, state, rng, order)
        keep_bits(state, cells[row])

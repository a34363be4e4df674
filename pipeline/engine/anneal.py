"""Simulated annealing of sets of choices, violations allowed."""

import numpy as np

from pipeline.core.jit import kernel, njit
from pipeline.engine.greedy import saturate
from pipeline.engine.rng import below, unit
from pipeline.engine.state import (
    VIOLATIONS,
    WORTH,
    clear,
    conflicts_added,
    conflicts_removed,
    enter_cells,
    join,
    keep_bits,
    leave,
    new_state,
)


@kernel
def anneal(
    space, state, rng, weights, moves, penalty, initial_temperature, final_temperature, target, best
):
    """Anneal from the set in ``state``, violations allowed, and keep the best valid set seen.

    Energy: -worth - fading weights + penalty * violations, all in units of what an element is worth
    on average. The temperature falls geometrically from ``initial_temperature`` to
    ``final_temperature`` (in units of the mean size of a choice); the last 3 % run cooler and at a
    penalty of 2, to end among valid sets. A rejected move costs O(1), an accepted one a hook call.

    Args:
        weights: float64 ``(M,)``, what each choice is worth beside its ``space.worth``, in
            elements; they fade to nothing as the annealing goes on.
        target: stop at a valid set that is worth so much.
        best: packed cells of the best valid set, written when one is found.

    Returns:
        What the best valid set met is worth (0 if none but the empty one was met).
    """
    choices = len(space.start) - 1
    found = np.int64(0)
    best[:] = 0
    if choices == 0:
        return found
    scale = len(space.elements) / choices
    each_worth = len(space.elements) / max(space.worth.sum(), 1)
    stages = 400
    each = max(moves // stages, 1)
    if state.totals[VIOLATIONS] == 0 and state.totals[WORTH] > 0:
        found = state.totals[WORTH]
        keep_bits(state, best)
    temperature = initial_temperature * scale
    factor = (final_temperature / initial_temperature) ** (1.0 / stages)
    for stage in range(stages):
        strength = 1.0 - stage / stages
        if stage >= stages - stages * 3 // 100:
            penalty, temperature = 2.0, 0.5 * final_temperature * scale
        cut = 14.0 * temperature
        for _ in range(each):
            if space.stop[0] != 0:
                return found
            choice = below(rng, choices)
            worth = each_worth * space.worth[choice] + strength * weights[choice]
            if state.position[choice] < 0:
                guess = conflicts_added(space, state, choice)
                rise = penalty * guess - worth
                if rise > cut or (rise > 0 and unit(rng) >= np.exp(-rise / temperature)):
                    continue
                excess = penalty * (join(space, state, choice) - guess)
                if excess > 0 and unit(rng) >= np.exp(-excess / temperature):
                    leave(space, state, choice)
                    continue
            else:
                guess = conflicts_removed(space, state, choice)
                rise = worth - penalty * guess
                if rise > cut or (rise > 0 and unit(rng) >= np.exp(-rise / temperature)):
                    continue
                excess = penalty * (guess - leave(space, state, choice))
                if excess > 0 and unit(rng) >= np.exp(-excess / temperature):
                    join(space, state, choice)
                    continue
            if state.totals[VIOLATIONS] == 0 and state.totals[WORTH] > found:
                found = state.totals[WORTH]
                keep_bits(state, best)
                if found >= target:
                    return found
        temperature *= factor
    return found


@njit
def anneal_many(
    space,
    plain,
    rng,
    cells,
    weights,
    moves,
    penalty,
    initial_temperature,
    final_temperature,
    target,
):
    """Anneal each packed row in place, from what it holds (zeros: from nothing).

    Takes what ``anneal`` takes. What comes out is maximal under no symmetry at all: the best
    valid set is filled up by whole choices first, then by single elements (``plain`` is the space
    of the trivial class).
    """
    state, single = new_state(space), new_state(plain)
    order = np.empty(len(space.start) - 1, np.int32)
    single_order = np.empty(len(plain.start) - 1, np.int32)
    best = np.zeros(cells.shape[1], np.uint8)
    for row in range(len(cells)):
        if space.stop[0] != 0:
            cells[row] = 0
            continue
        clear(state)
        enter_cells(space, state, cells[row])
        anneal(
            space,
            state,
            rng,
            weights,
            moves,
            penalty,
            initial_temperature,
            final_temperature,
            target,
            best,
        )
        clear(state)
        enter_cells(space, state, best)
        saturate(space, state, rng, order)
        keep_bits(state, best)
        clear(single)
        enter_cells(plain, single, best)
        saturate(plain, single, rng, single_order)
        keep_bits(single, cells[row])

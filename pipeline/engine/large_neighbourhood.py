"""Large neighbourhoods: free a part of a set, and fill it again as well as can be.

The part is a random handful of members, or those that bar one absent choice which few members bar
and a few more at random. What is put in its place is found by exhaustive search with a limit of
nodes; it is never smaller, and as often as not another part of the same size, so that a set drifts
along a plateau until it can grow.
"""

import numpy as np

from pipeline.core.jit import kernel, njit
from pipeline.engine.branch_and_bound import complete_best
from pipeline.engine.greedy import repair, saturate
from pipeline.engine.rng import below
from pipeline.engine.search_tree import new_tree
from pipeline.engine.state import (
    CHOICES,
    clear,
    conflicts_added,
    conflicts_removed,
    enter_cells,
    join,
    keep_bits,
    leave,
    new_state,
)

# Absent choices looked at for one that few members bar.
_LOOKS = 12
# Free choices that a completion takes into account.
_ROOM = 256


@njit
def neighbourhood_many(space, rng, cells, tries, handful, nodes, triples):
    """Improve each packed row in place by so many neighbourhoods, each kept unless it is worse.

    A row that is not valid or not maximal is made so first.

    Args:
        rng: uint64 ``(1,)``, moved on.
        cells: packed uint8 ``(B, ceil(m / 8))``, unions of choices; so are the results, valid,
            maximal and with as many elements at least.
        tries: neighbourhoods for each row.
        handful: the most members freed at random, at least 1.
        nodes: limit of each completion; some hundred to a few thousand.
        triples: whether no configuration of the problem has more than three elements.
    """
    state, tree = new_state(space), new_tree(space, min(_ROOM, len(space.start) - 1), triples)
    order = np.empty(len(space.start) - 1, np.int32)
    freed = np.empty(len(space.start) - 1, np.int64)
    for row in range(len(cells)):
        if space.stop[0] != 0:
            break
        clear(state)
        enter_cells(space, state, cells[row])
        repair(space, state, rng)
        saturate(space, state, rng, order)
        for _ in range(tries):
            if space.stop[0] != 0:
                break
            count = _free_part(space, state, rng, handful, freed)
            need = np.int64(0)
            for i in range(count):
                need += space.worth[freed[i]]
            added, _ = complete_best(space, state, rng, need, nodes, tree)
            if added == 0:
                for i in range(count):
                    join(space, state, freed[i])
        saturate(space, state, rng, order)
        keep_bits(state, cells[row])


@kernel
def _free_part(space, state, rng, handful, freed):
    """Take out a part of the members, write it to ``freed`` and return how many they are."""
    count, choices = 0, len(space.start) - 1
    if below(rng, 2) == 0:
        count = _free_way(space, state, rng, choices, freed)
    more = min(1 + below(rng, handful), state.totals[CHOICES])
    for _ in range(more):
        freed[count] = state.chosen[below(rng, state.totals[CHOICES])]
        leave(space, state, freed[count])
        count += 1
    return count


@kernel
def _free_way(space, state, rng, choices, freed):
    """Take out the members that bar one absent choice, of several the one with least load."""
    wanted, least = -1, np.int64(0)
    for _ in range(_LOOKS):
        choice = below(rng, choices)
        if state.position[choice] < 0:
            here = conflicts_added(space, state, choice)
            if wanted < 0 or here < least:
                wanted, least = choice, here
    if wanted < 0:
        return 0
    count = 0
    join(space, state, wanted)
    for i in range(state.totals[CHOICES]):
        choice = state.chosen[i]
        if choice != wanted and conflicts_removed(space, state, choice) > 0:
            freed[count] = choice
            count += 1
    leave(space, state, wanted)
    for i in range(count):
        leave(space, state, freed[i])
    return count

"""Compiled search over a problem's hook, on the orbits of any symmetry class.

The kernels take the hook as a function pointer, so they are compiled once for all problems.

Words used below: a *choice* is what a search may take or leave: an orbit of the symmetry
class (a single element under the trivial class). A choice's *load* is the number of
violations it would bring if it joined.

How loads are kept. Let cnt(u) be the number of forbidden configurations that hold element u
and have all their other elements in the set S. For a choice C and the symmetric set S:

* ``exact`` spaces (configurations of at most three elements, or the trivial class):
  counts[C] = sum of cnt(u) over u in C; pair_load[C] = the number of configurations with two
  elements in C and the rest in S. A configuration meets C in one element or in two, so the
  load of an absent C is counts[C] + pair_load[C], and a present one takes part in
  counts[C] - pair_load[C] violations. By symmetry one element of the joining orbit stands
  for all, and the configurations that lie in two orbits come from tables made once.
* other spaces: counts[u] = cnt(u) for every element; elements join one by one and the
  violations are exact, but the load of an absent C, |C| cnt(u), misses configurations that
  meet C twice. Whoever joins a choice there looks at what it really brought.
"""

from typing import Any, NamedTuple

import numpy as np

from pipeline.core.jit import inlined, kernel, njit
from pipeline.errors import PipelineError

HOOK_IS_WRONG = (
    "the problem's hook counts wrongly: violations are left and no point has a part in them; "
    "test the plugin with pipeline.testing.ProblemContract"
)


class Space(NamedTuple):
    """One problem at one n under one symmetry class; read only. M choices, m elements."""

    hook: Any
    start: np.ndarray  # int32 (M + 1,), choice i is elements[start[i]:start[i + 1]]
    elements: np.ndarray  # int32
    slot: np.ndarray  # int32 (m + 1,), where the hook keeps an element's count
    key: np.ndarray  # int32 (M,), the slot that speaks for a choice
    weight: np.ndarray  # int32 (M,), how often that slot counts
    pair_start: np.ndarray  # int32 (M + 1,), rows of the two-orbit table
    pair_other: np.ndarray  # int32, the other choice
    pair_out: np.ndarray  # int32, configurations with two elements here, one there
    pair_in: np.ndarray  # int32, one here, two there
    coords: np.ndarray  # int32 (m, d)
    tables: Any  # four int32 arrays
    exact: bool
    stop: np.ndarray  # uint8 (1,), not 0 once search is to come back with what it has


class State(NamedTuple):
    """A set of choices under way, violations allowed."""

    members: np.ndarray  # int32 (m,), its elements
    where: np.ndarray  # int32 (m,), position in members
    inside: np.ndarray  # uint8 (m,)
    chosen: np.ndarray  # int32 (M,), its choices
    position: np.ndarray  # int32 (M,), position in chosen, -1 when absent
    counts: np.ndarray  # int32 (slots,)
    pair_load: np.ndarray  # int32 (M,)
    totals: np.ndarray  # int64 (3,): elements, choices, violations


SIZE, CHOICES, VIOLATIONS = 0, 1, 2


@njit
def new_state(space):
    """Return the empty set."""
    m, choices = len(space.coords), len(space.start) - 1
    return State(
        np.empty(m, np.int32),
        np.empty(m, np.int32),
        np.zeros(m, np.uint8),
        np.empty(choices, np.int32),
        np.full(choices, -1, np.int32),
        np.zeros(max(choices, m) + 1, np.int32),
        np.zeros(choices, np.int32),
        np.zeros(3, np.int64),
    )


@kernel
def clear(state):
    """Empty the set."""
    state.inside[:] = 0
    state.position[:] = -1
    state.counts[:] = 0
    state.pair_load[:] = 0
    state.totals[:] = 0


# --------------------------------------------------------------------------- random numbers


@inlined
def _draw(rng):
    """Return 64 random bits: splitmix64 (Steele, Lea, Flood 2014), state in rng[0]."""
    rng[0] += np.uint64(0x9E3779B97F4A7C15)
    z = rng[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@inlined
def below(rng, bound):
    """Return an integer in 0..bound-1; the bias is below bound / 2**32."""
    return np.int64(((_draw(rng) >> np.uint64(32)) * np.uint64(bound)) >> np.uint64(32))


@inlined
def unit(rng):
    """Return a float in [0, 1)."""
    return np.float64(_draw(rng) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


# ------------------------------------------------------------------------- join and leave


@inlined
def load(space, state, choice):
    """Return the load of an absent choice (a lower bound where the space is not exact)."""
    key, weight = space.key[choice], space.weight[choice]
    return weight * state.counts[key] + state.pair_load[choice]


@inlined
def part(space, state, choice):
    """Return how many violations a present choice takes part in (an upper bound)."""
    key, weight = space.key[choice], space.weight[choice]
    return weight * state.counts[key] - state.pair_load[choice]


@inlined
def _block(space, state, u, size, delta):
    """Have the hook count what element u blocks, with the first ``size`` members."""
    space.hook(
        u,
        state.members,
        size,
        state.inside,
        space.slot,
        state.counts,
        delta,
        space.coords,
        space.tables,
    )


@inlined
def join(space, state, choice):
    """Add an absent choice and return the violations it brings; O(one hook call per element
    joined, one in all where the space is exact)."""
    start, stop = space.start[choice], space.start[choice + 1]
    size = state.totals[SIZE]
    brought = np.int64(0)
    if space.exact:
        own = state.counts[choice]
        pairs = state.pair_load[choice]
        brought += own + pairs
        _block(space, state, space.elements[start], size, stop - start)
        state.counts[choice] = own + 2 * pairs
        for e in range(space.pair_start[choice], space.pair_start[choice + 1]):
            other = space.pair_other[e]
            state.counts[other] += space.pair_out[e]
            state.pair_load[other] += space.pair_in[e]
    for i in range(start, stop):
        u = space.elements[i]
        if not space.exact:
            brought += state.counts[u]
            _block(space, state, u, size, 1)
        state.where[u] = size
        state.members[size] = u
        state.inside[u] = 1
        size += 1
    state.position[choice] = state.totals[CHOICES]
    state.chosen[state.totals[CHOICES]] = choice
    state.totals[SIZE] = size
    state.totals[CHOICES] += 1
    state.totals[VIOLATIONS] += brought
    return brought


@inlined
def leave(space, state, choice):
    """Take a present choice out and return the violations that go with it; cost as join."""
    start, stop = space.start[choice], space.start[choice + 1]
    size = state.totals[SIZE]
    gone = np.int64(0)
    for i in range(stop - 1, start - 1, -1):
        u = space.elements[i]
        size -= 1
        last = state.members[size]
        state.members[state.where[u]] = last
        state.where[last] = state.where[u]
        state.inside[u] = 0
        if not space.exact:
            _block(space, state, u, size, -1)
            gone += state.counts[u]
    if space.exact:
        own = state.counts[choice] - 2 * state.pair_load[choice]
        gone += own + state.pair_load[choice]
        _block(space, state, space.elements[start], size, start - stop)
        state.counts[choice] = own
        for e in range(space.pair_start[choice], space.pair_start[choice + 1]):
            other = space.pair_other[e]
            state.counts[other] -= space.pair_out[e]
            state.pair_load[other] -= space.pair_in[e]
    state.totals[CHOICES] -= 1
    last = state.chosen[state.totals[CHOICES]]
    state.chosen[state.position[choice]] = last
    state.position[last] = state.position[choice]
    state.position[choice] = -1
    state.totals[SIZE] = size
    state.totals[VIOLATIONS] -= gone
    return gone


# ------------------------------------------------------- greedy, saturate, repair, anneal


@kernel
def saturate(space, state, rng, order):
    """Add free choices in random order until none is left; ``order`` is scratch (M,).

    A set without violations stays so. O(M) and one join per choice added. Told to stop, it leaves
    a set that is valid and need not be maximal.
    """
    for i in range(len(order)):
        order[i] = i
    left = len(order)
    while left > 0 and space.stop[0] == 0:
        i = below(rng, left)
        choice = order[i]
        left -= 1
        order[i] = order[left]
        if state.position[choice] < 0 and load(space, state, choice) == 0:
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
            here = part(space, state, choice)
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


@kernel
def _keep_bits(state, bits):
    bits[:] = 0
    for i in range(state.totals[SIZE]):
        u = state.members[i]
        bits[u >> 3] |= np.uint8(1 << (u & 7))


@kernel
def _enter(space, state, cells):
    """Join the choices whose first element is in a packed construction."""
    for choice in range(len(space.start) - 1):
        u = space.elements[space.start[choice]]
        if cells[u >> 3] >> (u & 7) & 1:
            join(space, state, choice)


@kernel
def anneal(space, state, rng, field, proposals, penalty, hot, cold, target, best):
    """Anneal from the set in ``state``, violations allowed, and keep the best valid set seen.

    Energy: -size - fading field + penalty * violations. The temperature falls geometrically from
    ``hot`` to ``cold`` (in units of the mean size of a choice); the last 3 % run cooler and at a
    penalty of 2, to end among valid sets. A rejected proposal costs O(1), an accepted one a hook
    call.

    Args:
        field: float64 ``(M,)``, what each choice is worth beside its elements, in elements; it
            fades to nothing as the annealing goes on.
        target: stop at a valid set of this many elements.
        best: packed cells of the best valid set, written when one is found.

    Returns:
        The size of the best valid set met (0 if none but the empty one was).
    """
    choices = len(space.start) - 1
    found = np.int64(0)
    best[:] = 0
    if choices == 0:
        return found
    scale = len(space.elements) / choices
    stages = 400
    each = max(proposals // stages, 1)
    if state.totals[VIOLATIONS] == 0 and state.totals[SIZE] > 0:
        found = state.totals[SIZE]
        _keep_bits(state, best)
    temperature = hot * scale
    factor = (cold / hot) ** (1.0 / stages)
    for stage in range(stages):
        strength = 1.0 - stage / stages
        if stage >= stages - stages * 3 // 100:
            penalty, temperature = 2.0, 0.5 * cold * scale
        cut = 14.0 * temperature
        for _ in range(each):
            if space.stop[0] != 0:
                return found
            choice = below(rng, choices)
            worth = space.start[choice + 1] - space.start[choice] + strength * field[choice]
            if state.position[choice] < 0:
                guess = load(space, state, choice)
                rise = penalty * guess - worth
                if rise > cut or (rise > 0 and unit(rng) >= np.exp(-rise / temperature)):
                    continue
                excess = penalty * (join(space, state, choice) - guess)
                if excess > 0 and unit(rng) >= np.exp(-excess / temperature):
                    leave(space, state, choice)
                    continue
            else:
                guess = part(space, state, choice)
                rise = worth - penalty * guess
                if rise > cut or (rise > 0 and unit(rng) >= np.exp(-rise / temperature)):
                    continue
                excess = penalty * (guess - leave(space, state, choice))
                if excess > 0 and unit(rng) >= np.exp(-excess / temperature):
                    join(space, state, choice)
                    continue
            if state.totals[VIOLATIONS] == 0 and state.totals[SIZE] > found:
                found = state.totals[SIZE]
                _keep_bits(state, best)
                if found >= target:
                    return found
        temperature *= factor
    return found


# ------------------------------------------------------------------- many constructions


@njit
def greedy_many(space, rng, cells):
    """Fill each packed row of ``cells`` with a maximal set made by random greedy choice."""
    state = new_state(space)
    order = np.empty(len(space.start) - 1, np.int32)
    for row in range(len(cells)):
        clear(state)
        saturate(space, state, rng, order)
        _keep_bits(state, cells[row])


@njit
def repair_many(space, rng, cells):
    """Take out of each packed row, in place, the choices in most violations until none is left."""
    state = new_state(space)
    for row in range(len(cells)):
        if space.stop[0] != 0:
            cells[row] = 0
            continue
        clear(state)
        _enter(space, state, cells[row])
        repair(space, state, rng)
        _keep_bits(state, cells[row])


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
        _enter(space, state, cells[row])
        repair(space, state, rng)
        saturate(space, state, rng, order)
        _keep_bits(state, cells[row])


@njit
def anneal_many(space, plain, rng, cells, field, proposals, penalty, hot, cold, target):
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
        _enter(space, state, cells[row])
        anneal(space, state, rng, field, proposals, penalty, hot, cold, target, best)
        clear(state)
        _enter(space, state, best)
        saturate(space, state, rng, order)
        _keep_bits(state, best)
        clear(single)
        _enter(plain, single, best)
        saturate(plain, single, rng, single_order)
        _keep_bits(single, cells[row])


# --------------------------------------------------- many sets that grow one choice a step


@kernel
def _row(states, row):
    return State(
        states.members[row],
        states.where[row],
        states.inside[row],
        states.chosen[row],
        states.position[row],
        states.counts[row],
        states.pair_load[row],
        states.totals[row],
    )


@kernel
def free_choices(space, states, free):
    """Mark in ``free``, bool ``(B, M)``, the absent choices of each set that violate nothing."""
    for row in range(len(free)):
        state = _row(states, row)
        for choice in range(free.shape[1]):
            fits = state.position[choice] < 0 and load(space, state, choice) == 0
            if fits and not space.exact:
                # The load may miss what several elements of the choice do together.
                fits = join(space, state, choice) == 0
                leave(space, state, choice)
            free[row, choice] = fits


@kernel
def join_each(space, states, choices):
    """Add ``choices[row]`` to each set; -1, or a choice that is there, adds nothing."""
    for row in range(len(choices)):
        state = _row(states, row)
        if choices[row] >= 0 and state.position[choices[row]] < 0:
            join(space, state, choices[row])


# ------------------------------------------------------------ what a space is made from


@njit
def orbit_pairs(hook, coords, tables, start, elements, of, sparse):
    """Find what orbits do by themselves and in twos.

    Args:
        sparse: int32 ``(capacity, 3)`` or empty; filled with rows (A, C, number of
            configurations with two elements in A and one in C), C not A.

    Returns:
        (uint8 ``(M,)``, 1 for an orbit that holds a forbidden configuration; the number of
        rows, filled or not).
    """
    m, orbits = len(coords), len(start) - 1
    members = np.empty(m, np.int32)
    inside = np.zeros(m, np.uint8)
    slot = np.arange(m + 1).astype(np.int32)
    counts = np.zeros(m + 1, np.int32)
    sums = np.zeros(orbits, np.int64)
    touched = np.empty(orbits, np.int32)
    bad = np.zeros(orbits, np.uint8)
    rows = 0
    for a in range(orbits):
        held = np.int64(0)
        size = 0
        for i in range(start[a], start[a + 1]):
            u = elements[i]
            held += counts[u]
            hook(u, members, size, inside, slot, counts, 1, coords, tables)
            members[size] = u
            inside[u] = 1
            size += 1
        # What one element does alone is no affair of two.
        for i in range(size):
            inside[members[i]] = 0
        for i in range(size):
            hook(members[i], members, 0, inside, slot, counts, -1, coords, tables)
        if held > 0:
            bad[a] = 1
        if size > 1:
            distinct = 0
            for u in range(m):
                c = of[u]
                if counts[u] != 0 and c != a:
                    if sums[c] == 0:
                        touched[distinct] = c
                        distinct += 1
                    sums[c] += counts[u]
            for i in range(distinct):
                if rows < len(sparse):
                    sparse[rows, 0] = a
                    sparse[rows, 1] = touched[i]
                    sparse[rows, 2] = sums[touched[i]]
                rows += 1
                sums[touched[i]] = 0
        counts[:] = 0
    return bad, rows

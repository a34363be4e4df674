"""The set that a search holds, over a problem's hook, on the orbits of any symmetry class.

Kernels take the hook as a function pointer, so they are compiled once for all problems.

Words used below: a *choice* is what a search may take or leave: an orbit of the symmetry
class (a single element under the trivial class). The *conflicts* of an absent
choice are the violations that it would add, those of a present one the violations that it is in.

How conflicts are counted. Let cnt(u) be the number of forbidden configurations that hold element u
and have all their other elements in the set S. For a choice C and the symmetric set S:

* ``exact`` spaces (configurations of at most three elements, or the trivial class):
  counts[C] = sum of cnt(u) over u in C; pair_conflicts[C] = the number of configurations with two
  elements in C and the rest in S. A configuration meets C in one element or in two, so the
  conflicts of an absent C are counts[C] + pair_conflicts[C], and a present one takes part in
  counts[C] - pair_conflicts[C] violations. By symmetry one element of the joining orbit stands
  for all, and the configurations that lie in two orbits come from tables made once.
* other spaces: counts[u] = cnt(u) for every element; elements join one by one and the
  violations are exact, but |C| cnt(u) for an absent C misses configurations that
  meet C twice. Whoever joins a choice there looks at what it really brought.
"""

from typing import Any, NamedTuple

import numpy as np

from pipeline.core.jit import inlined, kernel, njit


class Space(NamedTuple):
    """One problem at one n under one symmetry class; read only. M choices, m elements."""

    hook: Any
    start: np.ndarray  # int32 (M + 1,), choice i is elements[start[i]:start[i + 1]]
    elements: np.ndarray  # int32
    slot: np.ndarray  # int32 (m + 1,), where the hook keeps an element's count
    key: np.ndarray  # int32 (M,), the slot that speaks for a choice
    weight: np.ndarray  # int32 (M,), how often that slot counts
    worth: np.ndarray  # int32 (M,), what a choice adds to the score, where that is a sum
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
    pair_conflicts: np.ndarray  # int32 (M,)
    totals: np.ndarray  # int64 (4,): elements, choices, violations, what the choices are worth


SIZE, CHOICES, VIOLATIONS, WORTH = 0, 1, 2, 3


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
        np.zeros(4, np.int64),
    )


@kernel
def clear(state):
    """Empty the set."""
    state.inside[:] = 0
    state.position[:] = -1
    state.counts[:] = 0
    state.pair_conflicts[:] = 0
    state.totals[:] = 0


@inlined
def conflicts_added(space, state, choice):
    """Return the violations that an absent choice would add (a lower bound if not exact)."""
    key, weight = space.key[choice], space.weight[choice]
    return weight * state.counts[key] + state.pair_conflicts[choice]


@inlined
def conflicts_removed(space, state, choice):
    """Return how many violations would go with a present choice (an upper bound)."""
    key, weight = space.key[choice], space.weight[choice]
    return weight * state.counts[key] - state.pair_conflicts[choice]


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
        pairs = state.pair_conflicts[choice]
        brought += own + pairs
        _block(space, state, space.elements[start], size, stop - start)
        state.counts[choice] = own + 2 * pairs
        for e in range(space.pair_start[choice], space.pair_start[choice + 1]):
            other = space.pair_other[e]
            state.counts[other] += space.pair_out[e]
            state.pair_conflicts[other] += space.pair_in[e]
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
    state.totals[WORTH] += space.worth[choice]
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
        own = state.counts[choice] - 2 * state.pair_conflicts[choice]
        gone += own + state.pair_conflicts[choice]
        _block(space, state, space.elements[start], size, start - stop)
        state.counts[choice] = own
        for e in range(space.pair_start[choice], space.pair_start[choice + 1]):
            other = space.pair_other[e]
            state.counts[other] -= space.pair_out[e]
            state.pair_conflicts[other] -= space.pair_in[e]
    state.totals[CHOICES] -= 1
    last = state.chosen[state.totals[CHOICES]]
    state.chosen[state.position[choice]] = last
    state.position[last] = state.position[choice]
    state.position[choice] = -1
    state.totals[SIZE] = size
    state.totals[VIOLATIONS] -= gone
    state.totals[WORTH] -= space.worth[choice]
    return gone


@kernel
def keep_bits(state, bits):
    """Write the elements of the set to a packed row."""
    bits[:] = 0
    for i in range(state.totals[SIZE]):
        u = state.members[i]
        bits[u >> 3] |= np.uint8(1 << (u & 7))


@kernel
def enter_cells(space, state, cells):
    """Join the choices whose first element is in a packed construction."""
    for choice in range(len(space.start) - 1):
        u = space.elements[space.start[choice]]
        if cells[u >> 3] >> (u & 7) & 1:
            join(space, state, choice)

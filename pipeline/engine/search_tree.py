"""The tree of an exhaustive search: its nodes, the conflicts at each, and the bound below it.

Two candidates *conflict* when a forbidden configuration holds both and otherwise members alone,
so that no set that extends the members holds the two of them. Every member that joins adds
conflicts. At each node the candidates are packed greedily into groups in which all conflict; such
a group gives one candidate at most. As long as the groups together cannot lift the set above the
best one known their candidates are waived: a better set holds one of the others, and only those
are branched on (the bound of Tomita and Seki's clique search, DMTCS 2003, on a graph that grows).

Where configurations have at most three elements, the conflicts that any one choice brings are
written down beforehand and a node takes about half a microsecond; elsewhere the hook says at each
node what every candidate would block.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import intrinsic

from pipeline.core.jit import inlined, kernel, njit
from pipeline.engine.state import SIZE, conflicts_added, join, leave

#: Places in ``Tree.at``.
LEVEL, ROOT, NEW, BEST, HELD, COUNT, WORDS = range(7)


class Tree(NamedTuple):
    """A depth-first search under way among K candidates; W words of 64 hold a set of them.

    Candidates have numbers; those with high ones are branched on first, those with low ones are
    waived first. Level l holds the node of the first l branches taken.
    """

    at: np.ndarray  # int64 (7,): level, where it began, 1 if just entered, size to beat, length
    #                 of the best found (0: none), candidates, words in use
    choice: np.ndarray  # int64 (K,), the choice that a candidate is
    weight: np.ndarray  # int64 (K,), what it is worth
    live: np.ndarray  # uint64 (D, W), candidates not decided on
    todo: np.ndarray  # uint64 (D, W), those to branch on yet
    rows: np.ndarray  # uint64 (D, K, W), for each live candidate those it conflicts with
    ban: np.ndarray  # uint64 (K, K, W), what two candidates rule out; empty: ask the hook
    taken: np.ndarray  # int64 (D,), the branch taken at each level
    width: np.ndarray  # int64 (D,), the branches there were to take
    size: np.ndarray  # int64 (D,), elements taken before each level
    best: np.ndarray  # int64 (D,), the branches to the best set found
    group: np.ndarray  # uint64 (W,), scratch, as are all below
    number: np.ndarray  # int64 (M,), the candidate that a choice is, -1 for none
    counts: np.ndarray  # int32 (slots,)
    members: np.ndarray  # int32 (m,)
    inside: np.ndarray  # uint8 (m,)


def _count_ones(typing, x):
    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


def _count_low(typing, x):
    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], context.get_constant(types.boolean, True))

    return types.uint64(types.uint64), generate


def _count_high(typing, x):
    def generate(context, builder, signature, arguments):
        return builder.ctlz(arguments[0], context.get_constant(types.boolean, True))

    return types.uint64(types.uint64), generate


# One machine instruction each: bits set, zeros below the lowest of them, zeros above the highest.
ones: Any = intrinsic(_count_ones)
_below_lowest: Any = intrinsic(_count_low)
above_highest: Any = intrinsic(_count_high)


@njit
def new_tree(space, capacity, triples):
    """Return room for a search among up to ``capacity`` candidates.

    Args:
        triples: whether no configuration has more than three elements.
    """
    words, levels = (capacity + 63) // 64, capacity + 2
    m, slots = len(space.coords), max(len(space.coords), len(space.start) - 1) + 1
    return Tree(
        np.zeros(7, np.int64),
        np.zeros(capacity, np.int64),
        np.zeros(capacity, np.int64),
        np.zeros((levels, words), np.uint64),
        np.zeros((levels, words), np.uint64),
        np.empty((levels, capacity, words), np.uint64),
        np.empty((capacity if triples else 0, capacity, words), np.uint64),
        np.zeros(levels, np.int64),
        np.zeros(levels, np.int64),
        np.zeros(levels, np.int64),
        np.zeros(levels, np.int64),
        np.zeros(words, np.uint64),
        np.full(len(space.start) - 1, -1, np.int64),
        np.zeros(slots, np.int32),
        np.zeros(m, np.int32),
        np.zeros(m, np.uint8),
    )


@inlined
def lowest(word):
    """Return the place of the lowest bit of a word that is not 0."""
    return np.int64(_below_lowest(word))


@inlined
def bit(v):
    """Return the bit of a candidate in its word."""
    return np.uint64(1) << np.uint64(v & 63)


@kernel
def _mark_blocked(space, tree, u, members, size, inside, among, row):
    """Add to ``row`` the candidates ``among`` which could not join after u; one hook call."""
    counts, choice = tree.counts, tree.choice[u]
    counts[:] = 0
    space.hook(
        space.elements[space.start[choice]],
        members,
        size,
        inside,
        space.slot,
        counts,
        1,
        space.coords,
        space.tables,
    )
    for w in range(tree.at[WORDS]):
        bits = among[w]
        while bits != 0:
            t = 64 * w + lowest(bits)
            bits &= bits - np.uint64(1)
            other = tree.choice[t]
            for i in range(space.start[other], space.start[other + 1]):
                if counts[space.slot[space.elements[i]]] != 0 and t != u:
                    row[w] |= bit(t)


@kernel
def plant(space, state, tree, count):
    """Set a search up among the first ``count`` of ``tree.choice``, absent ones without load.

    The members of ``state`` are given. O(count^2) hook calls with the elements of one choice
    where configurations have at most three elements, O(count) elsewhere.
    """
    at, words = tree.at, (count + 63) // 64
    at[LEVEL], at[ROOT], at[NEW], at[HELD] = 0, 0, 1, 0
    at[COUNT], at[WORDS] = count, words
    tree.size[0] = 0
    tree.live[0, :] = 0
    for u in range(count):
        choice = tree.choice[u]
        tree.number[choice] = u
        tree.weight[u] = space.worth[choice]
        tree.live[0, u >> 6] |= bit(u)
    everyone = tree.live[0]
    for u in range(count):
        row = tree.rows[0, u]
        row[:] = 0
        _mark_blocked(
            space, tree, u, state.members, state.totals[SIZE], state.inside, everyone, row
        )
        choice = tree.choice[u]
        for e in range(space.pair_start[choice], space.pair_start[choice + 1]):
            t = tree.number[space.pair_other[e]]
            if t >= 0:
                row[t >> 6] |= bit(t)
    for u in range(count):
        tree.number[tree.choice[u]] = -1
    if len(tree.ban) > 0:
        for s in range(count):
            choice, size = tree.choice[s], 0
            for i in range(space.start[choice], space.start[choice + 1]):
                tree.members[size] = space.elements[i]
                tree.inside[space.elements[i]] = 1
                size += 1
            tree.ban[s, s, :words] = 0
            for u in range(s):
                row = tree.ban[s, u]
                row[:words] = 0
                _mark_blocked(space, tree, u, tree.members, size, tree.inside, everyone, row)
                for w in range(words):
                    tree.ban[u, s, w] = row[w]
            for i in range(size):
                tree.inside[tree.members[i]] = 0


@kernel
def waive(tree, level, lack):
    """Write to ``todo`` the live candidates of which a set that adds more than ``lack`` elements
    needs one, and return how much of ``lack`` the others leave; O(live W)."""
    words = tree.at[WORDS]
    todo, rows, group, weight = tree.todo, tree.rows, tree.group, tree.weight
    for w in range(words):
        todo[level, w] = tree.live[level, w]
    w = 0
    while lack > 0:
        while w < words and todo[level, w] == 0:
            w += 1
        if w == words:
            break
        v = 64 * w + lowest(todo[level, w])
        heaviest = weight[v]
        if heaviest > lack:
            break
        todo[level, w] &= ~bit(v)
        for x in range(w, words):
            group[x] = todo[level, x] & rows[level, v, x]
        x = w
        while x < words:
            if group[x] == 0:
                x += 1
                continue
            u = 64 * x + lowest(group[x])
            group[x] &= group[x] - np.uint64(1)
            if weight[u] > lack:
                continue
            heaviest = max(heaviest, weight[u])
            todo[level, x] &= ~bit(u)
            for y in range(x, words):
                group[y] &= rows[level, u, y]
        lack -= heaviest
    return lack


@kernel
def take(space, state, tree, level, v, lack):
    """Take candidate v at a level, and note at the next one who is left and who conflicts.

    Returns:
        False, with nothing changed, if v does not fit or too few are left to add more than
        ``lack`` elements.
    """
    words, under, asks = tree.at[WORDS], level + 1, len(tree.ban) == 0
    live, rows, weight = tree.live, tree.rows, tree.weight
    if asks and join(space, state, tree.choice[v]) > 0:
        # Only where loads are lower bounds.
        leave(space, state, tree.choice[v])
        return False
    left = np.int64(0)
    for w in range(words):
        bits = live[level, w] & ~rows[level, v, w]
        live[under, w] = bits
        while bits != 0:
            u = 64 * w + lowest(bits)
            bits &= bits - np.uint64(1)
            if asks and conflicts_added(space, state, tree.choice[u]) > 0:
                live[under, w] &= ~bit(u)
            else:
                left += weight[u]
    if left <= lack:
        if asks:
            leave(space, state, tree.choice[v])
        return False
    for w in range(words):
        bits = live[under, w]
        while bits != 0:
            u = 64 * w + lowest(bits)
            bits &= bits - np.uint64(1)
            if asks:
                size, row = state.totals[SIZE], rows[under, u]
                for x in range(words):
                    row[x] = rows[level, u, x]
                _mark_blocked(space, tree, u, state.members, size, state.inside, live[under], row)
            else:
                for x in range(words):
                    rows[under, u, x] = rows[level, u, x] | tree.ban[v, u, x]
    tree.taken[level] = v
    tree.size[under] = tree.size[level] + weight[v]
    return True


@kernel
def begin(space, state, tree, members, size, left, best):
    """Go down to the node of the first ``size`` of ``members``, to search below it alone.

    ``state`` is what the tree was planted on.

    Args:
        members: candidates.
        left: uint64 (W,), the candidates that may be added, if they fit.
        best: the size to beat.

    Returns:
        False if the members do not fit together; nothing is left to search then.
    """
    at = tree.at
    at[BEST], at[HELD], at[LEVEL], at[ROOT], at[NEW] = best, 0, 0, 0, 1
    for w in range(at[WORDS]):
        tree.live[0, w] = left[w]
    for i in range(size):
        tree.live[0, members[i] >> 6] |= bit(members[i])
    for i in range(size):
        v = members[i]
        fits = tree.live[i, v >> 6] & bit(v) != 0
        tree.live[i, v >> 6] &= ~bit(v)
        if not (fits and take(space, state, tree, i, v, -1)):
            for level in range(i - 1, -1, -1):
                if len(tree.ban) == 0:
                    leave(space, state, tree.choice[tree.taken[level]])
            at[LEVEL] = -1
            return False
    for w in range(at[WORDS]):
        tree.live[size, w] &= left[w]
    at[LEVEL], at[ROOT] = size, size
    return True


@kernel
def bound(tree):
    """Return how many elements a set below the node just begun can have at most."""
    level, enough = tree.at[LEVEL], np.int64(2**40)
    return tree.size[level] + enough - waive(tree, level, enough)

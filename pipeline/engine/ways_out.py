"""Every way to take k members out of a set that could pay, and what is best put in their place.

A way is k members. What may come in once they are out are the choices with a hitting set among
them. Most ways free too little to make up for what they cost, and are passed over by counting;
what the others free is searched exhaustively for a valid part that is worth more.
"""

from typing import Any, NamedTuple

import numpy as np

from pipeline.core.jit import kernel
from pipeline.engine.branch_and_bound import search
from pipeline.engine.hitting_sets import Frees
from pipeline.engine.search_tree import BEST, HELD, ROOT, Tree, plant
from pipeline.engine.search_tree import LEVEL as TREE_LEVEL
from pipeline.engine.state import join, leave

#: Places in ``Walk.at``.
LEVEL, FREED, COST, BUSY, OUT, SEARCHED, NEED = range(7)
#: What ``look`` returns.
DONE, MORE, FOUND, ROOM = range(4)
# What one call of a hook counts as, in steps of a nanosecond or two.
_HOOK = 5000


class Ways(NamedTuple):
    """What there is to know beforehand. s members, A absent choices, E hitting sets."""

    rows: np.ndarray  # int32 (E, k), see ``Frees``
    owner: np.ndarray  # int32 (E,)
    size: np.ndarray  # int32 (E,), members of each hitting set
    start: np.ndarray  # int64 (s + 1,), the hitting sets that hold member r are
    holding: np.ndarray  # int32, holding[start[r] : start[r + 1]]
    worth: np.ndarray  # int64 (A,)
    cost: np.ndarray  # int64 (s,), what the members are worth
    members: np.ndarray  # int32 (s,), the choices of the set
    absent: np.ndarray  # int32 (A,)


class Walk(NamedTuple):
    """Where a depth-first walk through all ways is."""

    at: np.ndarray  # int64 (7,): members on the path, what they free in all and what they cost,
    #                 1 while a way is searched, members out of the state, ways searched, the
    #                 choices that there must be room for
    path: np.ndarray  # int64 (k,), members, ascending
    following: np.ndarray  # int64 (k + 1,), the member to try next
    gone: np.ndarray  # uint8 (s,), 1 for those on the path
    missing: np.ndarray  # int32 (E,), members of each hitting set that are not on the path
    hits: np.ndarray  # int32 (A,), hitting sets of each choice that are on the path
    gain: np.ndarray  # int64 (s,), at least what the member would free on top
    out: np.ndarray  # int64 (k,), the members out of the state
    seen: np.ndarray  # uint8 (A,), scratch


def ways_of(frees: Frees, worth: np.ndarray) -> tuple[Ways, Walk]:
    """Return what a walk through all ways of the largest size of hitting set needs.

    Args:
        worth: int32 ``(M,)`` of every choice.
    """
    k, s = len(frees.begin) - 1, len(frees.members)
    rows, owner = np.ascontiguousarray(frees.rows), frees.owner
    size = (rows >= 0).sum(axis=1, dtype=np.int32)
    entry, column = np.nonzero(rows >= 0)
    member = rows[entry, column]
    order = np.argsort(member, kind="stable")
    start = np.searchsorted(member[order], np.arange(s + 1)).astype(np.int64)
    value = worth[frees.absent].astype(np.int64)
    cost = worth[frees.members].astype(np.int64)
    gain = np.zeros(s, np.int64)
    single = size == 1
    np.add.at(gain, rows[single, 0], value[owner[single]])
    holding = entry[order].astype(np.int32)
    ways = Ways(rows, owner, size, start, holding, value, cost, frees.members, frees.absent)
    walk = Walk(
        at=np.zeros(7, np.int64),
        path=np.zeros(k, np.int64),
        following=np.zeros(k + 1, np.int64),
        gone=np.zeros(s, np.uint8),
        missing=size.copy(),
        hits=np.zeros(len(value), np.int32),
        gain=gain,
        out=np.zeros(k, np.int64),
        seen=np.zeros(len(value), np.uint8),
    )
    return ways, walk


def tree_for(space: Any, capacity: int, depth: int) -> Tree:
    """Return room to search among so many choices, going so many deep, by asking the hook."""
    words, levels = (capacity + 63) // 64, min(depth, capacity) + 3
    m, choices = len(space.coords), len(space.start) - 1
    return Tree(
        at=np.zeros(7, np.int64),
        choice=np.zeros(capacity, np.int64),
        weight=np.zeros(capacity, np.int64),
        live=np.zeros((levels, words), np.uint64),
        todo=np.zeros((levels, words), np.uint64),
        rows=np.empty((levels, capacity, words), np.uint64),
        ban=np.empty((0, capacity, words), np.uint64),
        taken=np.zeros(levels, np.int64),
        width=np.zeros(levels, np.int64),
        size=np.zeros(levels, np.int64),
        best=np.zeros(levels, np.int64),
        group=np.zeros(words, np.uint64),
        number=np.full(choices, -1, np.int64),
        counts=np.zeros(max(m, choices) + 1, np.int32),
        members=np.zeros(m, np.int32),
        inside=np.zeros(m, np.uint8),
    )


@kernel
def _enter(ways, walk, r):
    """Put member r on the path; O(k) for each hitting set that holds it."""
    at = walk.at
    walk.gone[r] = 1
    at[COST] += ways.cost[r]
    for i in range(ways.start[r], ways.start[r + 1]):
        e = ways.holding[i]
        a = ways.owner[e]
        walk.missing[e] -= 1
        if walk.missing[e] == 1:
            for x in range(ways.size[e]):
                if walk.gone[ways.rows[e, x]] == 0:
                    walk.gain[ways.rows[e, x]] += ways.worth[a]
        elif walk.missing[e] == 0:
            walk.gain[r] -= ways.worth[a]
            walk.hits[a] += 1
            if walk.hits[a] == 1:
                at[FREED] += ways.worth[a]


@kernel
def _exit(ways, walk, r):
    """Take member r off the path; cost as ``_enter``."""
    at = walk.at
    at[COST] -= ways.cost[r]
    for i in range(ways.start[r], ways.start[r + 1]):
        e = ways.holding[i]
        a = ways.owner[e]
        if walk.missing[e] == 1:
            for x in range(ways.size[e]):
                if walk.gone[ways.rows[e, x]] == 0:
                    walk.gain[ways.rows[e, x]] -= ways.worth[a]
        elif walk.missing[e] == 0:
            walk.gain[r] += ways.worth[a]
            walk.hits[a] -= 1
            if walk.hits[a] == 0:
                at[FREED] -= ways.worth[a]
        walk.missing[e] += 1
    walk.gone[r] = 0


@kernel
def _next_way(ways, walk, work):
    """Go on to the next way that frees more than it costs.

    The last member of a way is looked up in ``gain`` and entered only if it might do. Sums of
    worths are int64 and below 2^31 times the hitting sets.

    Returns:
        (DONE, MORE once ``work`` is used up, or FOUND; the work that is left).
    """
    at, path, following = walk.at, walk.path, walk.following
    k, s, level = len(walk.path), len(ways.members), at[LEVEL]
    while level >= 0:
        if work <= 0:
            at[LEVEL] = level
            return MORE, work
        r = following[level]
        if level < k - 1:
            if r > s - (k - level):
                level -= 1
                if level >= 0:
                    _exit(ways, walk, path[level])
                continue
            path[level] = r
            _enter(ways, walk, r)
            work -= 4 * (ways.start[r + 1] - ways.start[r]) + 8
            following[level] = r + 1
            level += 1
            following[level] = r + 1
            continue
        least = at[COST] - at[FREED]
        while r < s and walk.gain[r] <= least + ways.cost[r]:
            r += 1
        work -= r - following[level] + 8
        if r == s:
            level -= 1
            if level >= 0:
                _exit(ways, walk, path[level])
            continue
        path[level] = r
        following[level] = r + 1
        _enter(ways, walk, r)
        if at[FREED] > at[COST]:
            at[LEVEL] = level
            return FOUND, work
        _exit(ways, walk, r)
    at[LEVEL] = level
    return DONE, work


@kernel
def _freed(ways, walk, choice):
    """Write the choices that the path frees to ``choice`` and return how many there are."""
    count = 0
    for mark in (1, 0):
        for level in range(len(walk.path)):
            r = walk.path[level]
            for i in range(ways.start[r], ways.start[r + 1]):
                e = ways.holding[i]
                a = ways.owner[e]
                if walk.missing[e] == 0 and walk.seen[a] != mark:
                    walk.seen[a] = mark
                    if mark == 1:
                        if count < len(choice):
                            choice[count] = ways.absent[a]
                        count += 1
    return count


@kernel
def _take_out(space, state, ways, walk):
    """Have those members be out of the state that are on the path."""
    at, same = walk.at, 0
    while same < at[OUT] and walk.out[same] == walk.path[same]:
        same += 1
    while at[OUT] > same:
        at[OUT] -= 1
        join(space, state, ways.members[walk.out[at[OUT]]])
    while at[OUT] < len(walk.path):
        r = walk.path[at[OUT]]
        leave(space, state, ways.members[r])
        walk.out[at[OUT]] = r
        at[OUT] += 1


@kernel
def look(space, state, tree, ways, walk, work):
    """Go on until a way pays, all were met, or so much work is done.

    Each of the C(s, k) ways is met once. O(C(s, k)) and, for each of the few that might pay, k
    hook calls and one for each choice it frees at every node of the search.

    Args:
        state: the whole set at first; afterwards without ``walk.out``.
        tree: from ``tree_for``.

    Returns:
        FOUND: ``walk.path`` may leave for the choices of ``tree.best``; ROOM: ``tree`` must
        take ``walk.at[NEED]`` choices; MORE: call again; DONE: no way pays.
    """
    at, last = walk.at, len(walk.path) - 1
    while work > 0 and space.stop[0] == 0:
        if at[BUSY] == 0:
            what, work = _next_way(ways, walk, work)
            if what != FOUND:
                return what
            count = _freed(ways, walk, tree.choice)
            if count > len(tree.choice):
                at[NEED] = count
                _exit(ways, walk, walk.path[last])
                walk.following[last] = walk.path[last]
                return ROOM
            _take_out(space, state, ways, walk)
            plant(space, state, tree, count)
            tree.at[BEST] = at[COST]
            at[BUSY] = count
            at[SEARCHED] += 1
            work -= _HOOK * (count + last)
        search(space, state, tree, 1)
        if tree.at[HELD] > 0:
            return FOUND
        if tree.at[TREE_LEVEL] < tree.at[ROOT]:
            _exit(ways, walk, walk.path[last])
            at[BUSY] = 0
        else:
            work -= _HOOK * at[BUSY]
    return MORE

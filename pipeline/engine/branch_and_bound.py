"""Exhaustive depth-first search on any space: branch and bound with a graph of conflicts.

See ``search_tree`` for the tree and its bound.
"""

import numpy as np

from pipeline.core.jit import kernel
from pipeline.engine.rng import below
from pipeline.engine.search_tree import (
    BEST,
    HELD,
    LEVEL,
    NEW,
    ROOT,
    WORDS,
    above_highest,
    bit,
    ones,
    plant,
    take,
    waive,
)
from pipeline.engine.state import conflicts_added, join, leave


@kernel
def search(space, state, tree, nodes):
    """Go on until all is done or so many nodes were visited, and return how many were.

    A set that beats ``tree.at[BEST]`` is written to ``tree.best``. All is done when
    ``tree.at[LEVEL]`` is below ``tree.at[ROOT]``. O(live^2 W) a node where configurations have at
    most three elements, one hook call for each live candidate elsewhere.
    """
    at, words, root = tree.at, tree.at[WORDS], tree.at[ROOT]
    level, used = at[LEVEL], 0
    while level >= root:
        if at[NEW]:
            if used == nodes or (used > 0 and space.stop[0] != 0):
                break
            at[NEW] = 0
            used += 1
            if tree.size[level] > at[BEST]:
                at[BEST], at[HELD] = tree.size[level], level
                for i in range(level):
                    tree.best[i] = tree.taken[i]
            waive(tree, level, at[BEST] - tree.size[level])
            tree.width[level] = 0
            for w in range(words):
                tree.width[level] += np.int64(ones(tree.todo[level, w]))
        w = words - 1
        while w >= 0 and tree.todo[level, w] == 0:
            w -= 1
        if w < 0:
            level -= 1
            if level >= 0 and len(tree.ban) == 0:
                leave(space, state, tree.choice[tree.taken[level]])
            continue
        v = 64 * w + 63 - np.int64(above_highest(tree.todo[level, w]))
        tree.todo[level, w] &= ~bit(v)
        tree.live[level, w] &= ~bit(v)
        if take(space, state, tree, level, v, at[BEST] - tree.size[level] - tree.weight[v]):
            level += 1
            at[NEW] = 1
    at[LEVEL] = level
    return used


@kernel
def collect(space, state, tree, nodes, found):
    """Go on as ``search`` does, but meet every set of more than ``tree.at[BEST]`` elements once.

    What extends such a set is not looked for. Stops after so many nodes, when ``found`` is full,
    or when all is done.

    Args:
        found: uint8 ``(R, ceil(m / 8))``, zeros; filled with packed sets of elements.

    Returns:
        (nodes visited, sets found).
    """
    at, words, root = tree.at, tree.at[WORDS], tree.at[ROOT]
    level, used, stored = at[LEVEL], 0, 0
    while level >= root:
        if at[NEW]:
            if used == nodes or stored == len(found):
                break
            at[NEW] = 0
            used += 1
            if tree.size[level] > at[BEST]:
                for i in range(level):
                    choice = tree.choice[tree.taken[i]]
                    for e in range(space.start[choice], space.start[choice + 1]):
                        v = space.elements[e]
                        found[stored, v >> 3] |= np.uint8(1 << (v & 7))
                stored += 1
                tree.todo[level, :words] = 0
            else:
                waive(tree, level, at[BEST] - tree.size[level])
        w = words - 1
        while w >= 0 and tree.todo[level, w] == 0:
            w -= 1
        if w < 0:
            level -= 1
            if level >= 0 and len(tree.ban) == 0:
                leave(space, state, tree.choice[tree.taken[level]])
            continue
        v = 64 * w + 63 - np.int64(above_highest(tree.todo[level, w]))
        tree.todo[level, w] &= ~bit(v)
        tree.live[level, w] &= ~bit(v)
        if take(space, state, tree, level, v, at[BEST] - tree.size[level] - tree.weight[v]):
            level += 1
            at[NEW] = 1
    at[LEVEL] = level
    return used, stored


@kernel
def give_up(space, state, tree):
    """Take back whatever an unfinished search has put into ``state``."""
    if len(tree.ban) == 0:
        for level in range(tree.at[LEVEL] - 1, -1, -1):
            leave(space, state, tree.choice[tree.taken[level]])
    tree.at[LEVEL] = -1


@kernel
def complete_best(space, state, rng, need, nodes, tree):
    """Add free choices of at least ``need`` elements in all, the most that a search finds.

    Exhaustive unless it runs out of nodes, or more choices are free than the tree has room for
    (then it takes some at random). Candidates come in random order, so that of several equally
    large additions any may be found.

    Args:
        state: a valid set; it gains the best addition, or nothing if ``need`` is not met.
        rng: uint64 ``(1,)``, moved on.
        nodes: leave off after visiting so many.
        tree: from ``new_tree(space, ...)``; scratch.

    Returns:
        (the elements added, the nodes visited).
    """
    room, count, seen = len(tree.choice), 0, 0
    for choice in range(len(space.start) - 1):
        if state.position[choice] < 0 and conflicts_added(space, state, choice) == 0:
            seen += 1
            i = below(rng, seen)
            if count < room:
                tree.choice[count] = tree.choice[i]
                tree.choice[i] = choice
                count += 1
            elif i < room:
                tree.choice[i] = choice
    plant(space, state, tree, count)
    tree.at[BEST] = need - 1
    used = search(space, state, tree, nodes)
    give_up(space, state, tree)
    added = np.int64(0)
    for i in range(tree.at[HELD]):
        join(space, state, tree.choice[tree.best[i]])
        added += tree.weight[tree.best[i]]
    return added, used

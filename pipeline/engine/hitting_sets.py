"""What must leave a set before a choice can join it: the smallest sets of members that free it.

A *hitting set* of an absent choice is a set of members without which the choice fits: it meets
every forbidden configuration that the choice would complete. Here are all smallest ones (none
holds another) of up to so many members, found through the problem's hook alone.
"""

from typing import Any, NamedTuple

import numpy as np

from pipeline.core.jit import inlined, kernel, njit
from pipeline.engine.state import (
    VIOLATIONS,
    conflicts_added,
    conflicts_removed,
    join,
    leave,
)


class Frees(NamedTuple):
    """Who frees whom: hitting sets of one size after the other. s members, A absent choices."""

    members: np.ndarray  # int32 (s,), the choices of the set
    absent: np.ndarray  # int32 (A,), the choices that may come in
    rows: np.ndarray  # int32 (E, k), a hitting set each, of places in `members`; filled up by -1
    owner: np.ndarray  # int32 (E,), whom it frees, a place in `absent`
    begin: np.ndarray  # int64 (k + 1, A + 1), those of size j of choice a: begin[j, a : a + 2]


class Scratch(NamedTuple):
    """Room for one search among s members."""

    path: np.ndarray  # int32 (k,), the members that are out
    following: np.ndarray  # int64 (k + 1,), the member to try next
    barred: np.ndarray  # int32 (s,), -1 for one that is out, l + 1 for one done with at level l


def no_frees(members: np.ndarray, absent: np.ndarray) -> Frees:
    """Return the hitting sets of size 0: none, as for a set to which nothing can be added."""
    return Frees(
        np.ascontiguousarray(members, np.int32),
        np.ascontiguousarray(absent, np.int32),
        np.zeros((0, 0), np.int32),
        np.zeros(0, np.int32),
        np.zeros((1, len(absent) + 1), np.int64),
    )


class Finder:
    """Finds the hitting sets of the next size, a piece of the work at a time.

    Attributes:
        frees: those known, the new ones among them once ``done`` is 1.
        done: the share of the work that is done.
    """

    def __init__(self, space: Any, state: Any, known: Frees) -> None:
        """Take a valid set and its hitting sets of all smaller sizes."""
        self._space, self._state, self._known = space, state, known
        size, count = len(known.begin), len(known.absent)
        used = len(known.rows)
        rows = np.full((used + 1024, size), -1, np.int32)
        rows[:used, : size - 1] = known.rows
        owner = np.empty(len(rows), np.int32)
        owner[:used] = known.owner
        begin = np.concatenate([known.begin, np.full((1, count + 1), used, np.int64)])
        self._used, self._at = used, 0
        self.frees = known._replace(rows=rows, owner=owner, begin=begin)
        s = len(known.members)
        self._scratch = Scratch(
            np.zeros(size, np.int32), np.zeros(size + 1, np.int64), np.zeros(s, np.int32)
        )

    @property
    def done(self) -> float:
        """The share of the absent choices that have been looked at."""
        return self._at / len(self.frees.absent) if len(self.frees.absent) else 1.0

    def go_on(self, steps: int) -> None:
        """Go on for so many removals and insertions or a few more."""
        frees = self.frees
        self._at, self._used, room = find_hitting_sets(
            self._space, self._state, frees, self._scratch, self._at, self._used, steps
        )
        if room > len(frees.rows):
            more = 2 * room - len(frees.rows)
            rows = np.full((more, frees.rows.shape[1]), -1, np.int32)
            self.frees = frees._replace(
                rows=np.concatenate([frees.rows, rows]),
                owner=np.concatenate([frees.owner, np.empty(more, np.int32)]),
            )
        if self._at == len(frees.absent):
            used = self._used
            self.frees = self.frees._replace(
                rows=self.frees.rows[:used].copy(), owner=self.frees.owner[:used].copy()
            )


@inlined
def _holds_smaller(frees, a, path, count):
    """Tell whether the members of a path hold a known hitting set of a choice; O(E_a k^2)."""
    held = False
    for size in range(1, len(frees.begin) - 1):
        for e in range(frees.begin[size, a], frees.begin[size, a + 1]):
            all_there = True
            for i in range(size):
                there = False
                for x in range(count):
                    there |= path[x] == frees.rows[e, i]
                all_there &= there
            held |= all_there
    return held


@kernel
def find_hitting_sets(space, state, frees, scratch, first, used, steps):
    """Write down the hitting sets of size k of absent choices, those of smaller sizes known.

    Members are taken out depth first. With L violations left and j removals to go, one of them
    must be in L / j violations at least, so only such members are tried; one that has been tried
    is not taken out beside those after it. O(members + k^2 hitting sets) and a hook call or two
    for each removal; at most members^k removals, most choices need one or none. No product
    overflows: violations are an int32, k is at most a few tens.

    Args:
        state: a valid set; the same when this returns.
        frees: its rows of size k are filled from ``used`` on, k the last row of ``begin``.
        first: the absent choice to begin with.
        steps: go on to no further choice after so many removals and insertions.

    Returns:
        (the choice to go on with, the rows used, the rows there must be room for).
    """
    members, rows, begin = frees.members, frees.rows, frees.begin
    path, following, barred = scratch.path, scratch.following, scratch.barred
    k, s, a, done = len(begin) - 1, len(frees.members), first, 0
    while a < len(frees.absent) and done < steps and space.stop[0] == 0:
        choice, found = frees.absent[a], used
        begin[k, a] = used
        done += 1
        brought = join(space, state, choice)
        level = np.int64(0)
        if brought == 0:
            level = np.int64(-1)
        following[0] = 0
        while level >= 0:
            left, load = k - level, state.totals[VIOLATIONS]
            r = following[level]
            if r == s:
                for i in range(s):
                    if barred[i] == level + 1:
                        barred[i] = 0
                level -= 1
                if level >= 0:
                    join(space, state, members[path[level]])
                    barred[path[level]] = level + 1
                continue
            following[level] = r + 1
            if barred[r] != 0:
                continue
            mine = conflicts_removed(space, state, members[r])
            if mine == 0 or mine * left < load:
                continue
            path[level] = r
            if _holds_smaller(frees, a, path, level + 1):
                continue
            if left > 1:
                done += 1
                leave(space, state, members[r])
                if state.totals[VIOLATIONS] == 0:  # only if the hook contradicts itself
                    join(space, state, members[r])
                    continue
                barred[r] = -1
                level += 1
                following[level] = 0
                continue
            fits = True
            if not space.exact:  # loads are upper bounds there
                done += 1
                leave(space, state, members[r])
                fits = state.totals[VIOLATIONS] == 0
                join(space, state, members[r])
            if fits:
                if found < len(rows):
                    for i in range(k):
                        rows[found, i] = path[i]
                    frees.owner[found] = a
                found += 1
        leave(space, state, choice)
        if found > len(rows):
            return a, used, found
        used = found
        a += 1
        begin[k, a] = used
    return a, used, used


@njit
def fill_up(space, state):
    """Add every choice that fits, in order, and return how many; O(M) and their hook calls."""
    added = 0
    for choice in range(len(space.start) - 1):
        here = state.position[choice] < 0 and space.worth[choice] > 0
        if here and conflicts_added(space, state, choice) == 0:
            if join(space, state, choice) > 0:  # only where loads are lower bounds
                leave(space, state, choice)
            else:
                added += 1
    return added

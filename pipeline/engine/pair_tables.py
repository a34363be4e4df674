"""Pair tables: the orbits of a class as a problem of their own, its hook a table.

Under a symmetry class a set of orbits is valid when no single orbit, no two and no three of them
hold a forbidden configuration. For configurations of at most three elements all of that can be
written down once: for each two orbits A and B that get on, the list of orbits C such that A, B
and C do not, though each two of them do. A search then walks short lists where the problem's
hook walks circles and lines.

The orbits make a space like any other, with orbits as elements under the trivial class, and every
kernel runs on it unchanged. A configuration counts once there, whatever the number of element
configurations behind it; under the trivial class the two counts agree.
"""

import numpy as np

from pipeline.core.jit import njit
from pipeline.engine.state import Space
from pipeline.problem import blocking_hook

_ENTRY = np.dtype(np.uint16)
MOST_CHOICES = 2**16 - 1


@blocking_hook
def table_hook(v, members, size, inside, slot, counts, delta, coords, tables):
    """Add ``delta`` to every orbit that v rules out, alone or with a member.

    tables: places (M * M,) of each pair's list in ``lists``; lists, two 16-bit entries to an
    int32, each list its length first; conflict_start (M + 1,) and conflicts: the orbits that v
    does not get on with. O(sum of the lists of v with each member).
    """
    places, conflict_start, conflicts = tables[0], tables[2], tables[3]
    lists = tables[1].view(np.uint16)
    change = np.int32(delta)
    row = np.uint64(v) * np.uint64(len(inside))
    for i in range(size):
        place = np.uint64(np.uint32(places[row + np.uint64(members[i])]))
        last = place + np.uint64(lists[place])
        while place < last:
            place += np.uint64(1)
            counts[np.uint64(lists[place])] += change
    for e in range(conflict_start[v], conflict_start[v + 1]):
        counts[np.uint64(conflicts[e])] += change


@njit
def _conflicts(space, unfriendly):
    """Mark, uint8 ``(M, M)``, the pairs of orbits that hold a forbidden configuration."""
    choices = len(space.start) - 1
    members = np.empty(len(space.coords), np.int32)
    inside = np.zeros(len(space.coords), np.uint8)
    counts = np.zeros(len(space.coords) + 1, np.int32)
    for a in range(choices):
        for e in range(space.pair_start[a], space.pair_start[a + 1]):
            unfriendly[a, space.pair_other[e]] = 1
        # Configurations of two elements: what one orbit blocks with nothing else there.
        space.hook(
            space.elements[space.start[a]],
            members,
            0,
            inside,
            space.slot,
            counts,
            1,
            space.coords,
            space.tables,
        )
        for c in range(choices):
            if counts[c] != 0 and c != a:
                unfriendly[a, c] = 1
                unfriendly[c, a] = 1
        counts[:] = 0


@njit
def _pair_lists(space, unfriendly, rows, places, lists):
    """Fill the lists of the pairs (a, b), a in ``rows`` and b < a.

    Returns the number of entries. Those beyond the room in ``lists`` are counted, not written.
    """
    choices = len(space.start) - 1
    most = 0
    for a in range(choices):
        most = max(most, space.start[a + 1] - space.start[a])
    members = np.empty(most, np.int32)
    inside = np.zeros(len(space.coords), np.uint8)
    block = 32
    counts = np.zeros((choices // block + 1) * block + block, np.int32)
    # Entry 0 is the empty list that pairs in conflict share.
    used = np.int64(1)
    room = np.int64(len(lists))
    for a in rows:
        for b in range(a):
            if unfriendly[a, b]:
                continue
            size = 0
            for i in range(space.start[b], space.start[b + 1]):
                members[size] = space.elements[i]
                inside[members[size]] = 1
                size += 1
            space.hook(
                space.elements[space.start[a]],
                members,
                size,
                inside,
                space.slot,
                counts,
                1,
                space.coords,
                space.tables,
            )
            for i in range(size):
                inside[members[i]] = 0
            head = used
            used += 1
            for first in range(0, choices, block):
                some = np.int32(0)
                for c in range(first, first + block):
                    some |= counts[c]
                if some == 0:
                    continue
                for c in range(first, min(first + block, choices)):
                    closed = counts[c] != 0 and c != a and c != b
                    if closed and not (unfriendly[a, c] or unfriendly[b, c]):
                        if used < room:
                            lists[used] = c
                        used += 1
                    counts[c] = 0
            counts[choices] = 0
            if head < room:
                lists[head] = used - head - 1
                places[a * choices + b] = head
                places[b * choices + a] = head
    return used


def _most_entries(choices: int, limit: int) -> int:
    """Return how many entries the lists may have, below 0 where there is room for none."""
    table = 4 * choices * choices
    if table + choices * choices > limit:
        return -1
    return min((limit - table) // _ENTRY.itemsize, 2**31 - 1)


def _likely_entries(space: Space, unfriendly: np.ndarray, places: np.ndarray) -> int:
    """Return room for all entries, by those of a few rows: filling what cannot fit takes minutes.

    ``places`` is scratch.
    """
    every = np.arange(len(unfriendly))
    some = every[len(every) // 64 :: max(len(every) // 24, 1)]
    part = _pair_lists(space, unfriendly, some, places, np.empty(0, np.uint16))
    return int(1.1 * part * every.sum() / max(some.sum(), 1)) + 4096


def surely_fit(choices: int, limit: int) -> bool:
    """Tell whether the tables of so many choices take at most ``limit`` bytes in any case."""
    # At most, every pair rules out every other choice.
    return choices <= MOST_CHOICES and choices**3 // 2 <= _most_entries(choices, limit) - 4096


def tables_fit(space: Space, limit: int) -> bool:
    """Tell whether ``with_tables`` is likely to make tables of so many bytes, without making them.

    Of a problem whose configurations have at most three elements.
    """
    choices = len(space.start) - 1
    most = _most_entries(choices, limit)
    if choices > MOST_CHOICES or most <= 0:
        return False
    if surely_fit(choices, limit):
        return True
    unfriendly = np.zeros((choices, choices), np.uint8)
    _conflicts(space, unfriendly)
    places = np.empty(choices * choices, np.int32)
    return _likely_entries(space, unfriendly, places) <= most


def with_tables(space: Space, arity: int, limit: int = 1 << 30) -> Space | None:
    """Return the same choices as a space whose hook reads pair tables.

    Its elements are the choices: packed sets of it hold one bit for each choice.

    Args:
        space: the choices.
        arity: of the problem, the elements of its largest forbidden configuration.
        limit: bytes the tables may take.

    Returns:
        None where they would take more, there are more than 65,535 choices, or configurations
        of more than three elements.
    """
    choices = len(space.start) - 1
    most = _most_entries(choices, limit)
    if arity > 3 or choices > MOST_CHOICES or most <= 0:
        return None
    unfriendly = np.zeros((choices, choices), np.uint8)
    _conflicts(space, unfriendly)
    places = np.zeros(choices * choices, np.int32)
    room = _likely_entries(space, unfriendly, places)
    while True:
        if room > most:
            return None
        lists = np.zeros(room + room % 2, np.uint16)
        used = _pair_lists(space, unfriendly, np.arange(choices), places, lists)
        if used <= room:
            break
        room = used
    rows, others = np.nonzero(unfriendly)
    starts = np.searchsorted(rows, np.arange(choices + 1)).astype(np.int32)
    one = np.arange(choices, dtype=np.int32)
    nothing = np.zeros(0, np.int32)
    return space._replace(
        hook=table_hook.compiled,
        start=np.arange(choices + 1, dtype=np.int32),
        elements=one,
        slot=np.arange(choices + 1, dtype=np.int32),
        key=one,
        weight=np.ones(choices, np.int32),
        pair_start=np.zeros(choices + 1, np.int32),
        pair_other=nothing,
        pair_out=nothing,
        pair_in=nothing,
        coords=np.stack([one, one], axis=1),
        tables=(places, lists.view(np.int32), starts, others.astype(np.int32)),
        exact=True,
    )

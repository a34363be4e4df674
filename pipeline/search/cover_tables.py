"""The tables of the search by quotas: choices, how they fill classes, what excludes what.

Choices are the orbits of a symmetry class, named as ever, or of two: ``CLASS/OTHER`` takes the
orbits of CLASS, but those that hold an element which a symmetry of OTHER outside CLASS fixes
fall into the orbits of what both have in common, and of such elements as few are taken as the
size demands. So "quarter-turn/both-diagonals" are quarter turns off the diagonals and a half
turn on them (Flammenkamp's "rct4"), as odd n needs: 2n is no multiple of 4 then.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from pipeline.compiling import njit
from pipeline.errors import UsageError
from pipeline.problem import Problem, crashes_raised, readable
from pipeline.symmetry import GroundSet, find_class


class Cover(NamedTuple):
    """Choices, quotas and what excludes what; read only. M choices, C classes, W 64-bit words.

    Classes that all choices meet equally often are one, and a class that each meets a multiple
    of g times counts by g. A choice that counts more than once in a class has a bit for each
    time, so that a class is counted by the bits of one mask; they are set and cleared together.
    """

    start: np.ndarray  # int32 (M + 1,), choice i is elements[start[i]:start[i + 1]]
    elements: np.ndarray  # int32
    need: np.ndarray  # int64 (C,), the quotas
    part_start: np.ndarray  # int32 (M + 1,), rows of the next two
    part_class: np.ndarray  # int32, the classes a choice counts in
    part_size: np.ndarray  # int32, and how often
    twins: np.ndarray  # int32 (M + 1,), choice i has the bits M + twins[i]..M + twins[i + 1] too
    holds: np.ndarray  # uint64 (C, W), the bits that count in a class
    over: np.ndarray  # uint64 (K, C, W), the choices that count more than k times in a class
    friends: np.ndarray  # uint64 (M, W), the choices that get on with one
    closed: np.ndarray  # uint64 (M, M, W), those that do not get on with two together


@lru_cache(maxsize=2)
def cover_tables(problem: Problem, n: int, symmetry: str, limit: int = 1 << 30) -> Cover:
    """Write down what a search reads, in ``limit`` bytes at most.

    Raises:
        UsageError: the problem has no quotas, or configurations of more than three elements;
            too large an n; no such class, or one that no set of the wanted size can have.
    """
    quotas, ground = problem.quotas(n), problem.ground(n)
    if quotas is None:
        raise UsageError(f"{problem.name} at n={n} offers no quotas; choose another search method")
    if problem.arity > 3:
        raise UsageError(
            f"{problem.name} forbids sets of {problem.arity} elements and the search by quotas "
            "handles three at most; choose another search method"
        )
    start, elements, apart, few = _choices(ground, symmetry, quotas.size)
    choices = len(start) - 1
    size = choices * choices * (8 * _words(choices) + 2)
    if size > limit:
        raise UsageError(
            f"the search by quotas of {problem.name} at n={n} with the symmetry {symmetry!r} would "
            f"need {readable(size)} of tables and may take {readable(limit)}; choose a smaller n "
            "or a symmetry with larger orbits"
        )
    of = np.empty(ground.m, np.int32)
    of[elements] = np.repeat(np.arange(choices), np.diff(start))
    # The elements set apart are one more class. To fill it first was tried, and finds fewer.
    parts = np.zeros((choices, len(quotas.capacity) + 1), np.int64)
    np.add.at(parts, (of[:, None], quotas.classes), 1)
    np.add.at(parts[:, -1], of, apart)
    need = np.append(quotas.capacity, few).astype(np.int64)

    hook = (problem.hook, ground.coords, problem.hook_tables(n))
    hostile = np.zeros((choices, choices), np.uint8)
    with crashes_raised(f"the hook of {problem.name}"):
        _hostile(*hook, start, elements, np.append(of, np.int32(choices)), hostile)
        use = _usable(hostile, parts, need)
        sizes = np.diff(start)[use]
        unit = np.maximum(np.gcd.reduce(parts[use], axis=0), 1)
        # The gcd of no sizes is 0.
        whole = max(np.gcd.reduce(sizes), 1)
        if not use.any() or (need % unit).any() or quotas.size % whole:
            raise UsageError(
                f"{problem.name} at n={n} has no set of {quotas.size} elements with the symmetry "
                f"{symmetry!r}; choose another"
            )
        parts, need = parts[use] // unit, need // unit
        once = np.unique(np.vstack([parts, need]), axis=1, return_index=True)[1]
        once = np.sort(once[need[once] > 0])
        hostile, elements = hostile[np.ix_(use, use)], elements[np.repeat(use, np.diff(start))]
        return _lay_out(hook, hostile, parts[:, once], need[once], sizes, elements)


def _choices(
    ground: GroundSet, symmetry: str, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return start and elements of the choices, bool ``(m,)`` of those that the second class
    sets apart, and how many of these a set has."""
    name, _, other = symmetry.partition("/")
    subgroup = find_class(ground, name).elements
    smallest = ground.group[list(subgroup)].min(axis=0)
    apart = np.zeros(ground.m, np.bool_)
    if other:
        second = find_class(ground, other).elements
        only = [i for i in second if i not in subgroup]
        fixed = (ground.group[only] == np.arange(ground.m)).any(axis=0)
        apart = np.isin(smallest, smallest[fixed])
        common = [i for i in second if i in subgroup]
        smallest = np.where(apart, ground.group[common].min(axis=0), smallest)
    elements = np.argsort(smallest, kind="stable").astype(np.int32)
    sizes = np.unique(smallest, return_counts=True)[1]
    start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    return start, elements, apart, size % len(subgroup) if other else 0


def _usable(hostile: np.ndarray, parts: np.ndarray, need: np.ndarray) -> np.ndarray:
    """Return bool ``(M,)``: the choices beside which each class can still be filled."""
    friends = (hostile == 0).astype(np.float32)
    use = (friends.diagonal() > 0) & (parts <= need).all(axis=1)
    np.fill_diagonal(friends, 0)
    while True:
        supply = friends[:, use] @ parts[use].astype(np.float32) + parts
        fits = use & (supply >= need).all(axis=1)
        if (fits == use).all():
            return use
        use = fits


def _lay_out(
    hook: tuple[Any, np.ndarray, Any],
    hostile: np.ndarray,
    parts: np.ndarray,
    need: np.ndarray,
    sizes: np.ndarray,
    elements: np.ndarray,
) -> Cover:
    """Write down what the choices and classes that are left mean to each other."""
    choices, m = len(parts), len(hook[1])
    start = _starts(sizes)
    slot = np.full(m + 1, choices, np.int32)
    slot[elements] = np.repeat(np.arange(choices), sizes)
    more = np.maximum(parts - 1, 0)
    # The choice each bit stands for, and the class it counts in if it is a second one or later.
    bits = np.append(np.arange(choices), np.repeat(np.arange(choices), more.sum(axis=1)))
    own = np.repeat(np.tile(np.arange(len(need)), choices), more.ravel())
    counts = parts[bits] > 0
    counts[choices:] = own[:, None] == np.arange(len(need))
    friends = (hostile == 0) & ~np.eye(choices, dtype=np.bool_)
    closed = np.zeros((choices, choices, _words(len(bits))), np.uint64)
    _close(*hook, start, elements, slot, friends, bits, closed)
    rows, classes = np.nonzero(parts)
    return Cover(
        start=start,
        elements=elements,
        need=need,
        part_start=np.searchsorted(rows, np.arange(choices + 1)).astype(np.int32),
        part_class=classes.astype(np.int32),
        part_size=parts[rows, classes].astype(np.int32),
        twins=_starts(more.sum(axis=1)),
        holds=_bits(counts.T),
        over=_bits(np.stack([k < parts[bits].T for k in range(parts.max())])),
        friends=_bits(friends[:, bits]),
        closed=closed,
    )


def _starts(sizes: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)


def _bits(members: np.ndarray) -> np.ndarray:
    """Return uint64 ``(..., W)`` from bool ``(..., B)``, bit j of word i for place 64 i + j."""
    padded = np.zeros((*members.shape[:-1], 64 * _words(members.shape[-1])), np.bool_)
    padded[..., : members.shape[-1]] = members
    return np.packbits(padded, axis=-1, bitorder="little").view("<u8").astype(np.uint64)


def all_bits(count: int) -> np.ndarray:
    """Return uint64 ``(W,)`` with the first bits set."""
    return _bits(np.ones(count, np.bool_))


def _words(bits: int) -> int:
    """Return a multiple of four: the loops over words then need no second one for the rest."""
    return (bits + 255) // 256 * 4


@njit
def _hostile(hook, coords, tables, start, elements, slot, hostile):  # pragma: no cover
    """Mark, uint8 ``(M, M)``, the choices that are forbidden together, or alone; O(m) hooks."""
    choices = len(hostile)
    members = np.empty(len(coords), np.int32)
    inside = np.zeros(len(coords), np.uint8)
    counts = np.zeros(choices + 1, np.int32)
    for a in range(choices):
        # Elements that two of a, or one, block: configurations with one element elsewhere.
        size = 0
        for i in range(start[a], start[a + 1]):
            hook(elements[i], members, size, inside, slot, counts, 1, coords, tables)
            members[size] = elements[i]
            inside[elements[i]] = 1
            size += 1
        for i in range(size):
            inside[members[i]] = 0
        for c in range(choices):
            if counts[c] != 0:
                hostile[a, c] = 1
                hostile[c, a] = 1
        counts[:] = 0


@njit
def _close(hook, coords, tables, start, elements, slot, friends, bits, closed):  # pragma: no cover
    """Mark for each two friends what they rule out together; O(M^3 + M m) and M m hook calls.

    The hook is called for every element of a choice: where two kinds of orbits meet, one does
    not speak for all.
    """
    choices = len(friends)
    members = np.empty(len(coords), np.int32)
    inside = np.zeros(len(coords), np.uint8)
    counts = np.zeros(choices + 1, np.int32)
    for b in range(choices):
        size = start[b + 1] - start[b]
        for i in range(size):
            members[i] = elements[start[b] + i]
            inside[members[i]] = 1
        for a in range(b):
            if not friends[a, b]:
                continue
            for i in range(start[a], start[a + 1]):
                hook(elements[i], members, size, inside, slot, counts, 1, coords, tables)
            for bit in range(len(bits)):
                if counts[bits[bit]] != 0:
                    closed[a, b, bit >> 6] |= np.uint64(1) << np.uint64(bit & 63)
            closed[b, a] = closed[a, b]
            counts[:] = 0
        for i in range(size):
            inside[members[i]] = 0

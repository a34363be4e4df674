"""The tables of exact cover: choices, how they fill classes, what excludes what.

Choices are the orbits of a symmetry class, named as ever, or of two: ``CLASS/OTHER`` takes the
orbits of CLASS, but those that hold an element which a symmetry of OTHER outside CLASS fixes
fall into the orbits of what both have in common, and of such elements as few are taken as the
size demands. So "quarter-turn/both-diagonals" are quarter turns off the diagonals and a half
turn on them (Flammenkamp's "rct4"), as odd n needs: 2n is no multiple of 4 then.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from pipeline.core.ground_set import GroundSet
from pipeline.core.jit import njit
from pipeline.core.memory import readable
from pipeline.core.symmetry import find_whole_class
from pipeline.errors import UsageError
from pipeline.problem import Problem
from pipeline.validator import crashes_raised


class Cover(NamedTuple):
    """Choices, degree constraints and what excludes what; read only. M choices, C classes, P parts.

    Choices are in the order of the classes they count in; Problem.degree_constraints numbers these,
    and high numbers are dealt with first. Classes that all choices meet equally often are one, and
    a class that each meets a multiple of g times counts by g; some that need nothing make C a
    multiple of eight. A set of choices is K words of 64 bits for each class, uint64 ``(K, C)``, W
    of them in a row: a choice has a bit in each class for each time it counts there, all of them
    set or none. So what a class has on offer is the number of bits in its words.
    """

    start: np.ndarray  # int32 (M + 1,), choice i is elements[start[i]:start[i + 1]]
    elements: np.ndarray  # int32
    need: np.ndarray  # int64 (C,), the degree constraints
    part_start: np.ndarray  # int32 (M + 1,), rows of the next four
    part_class: np.ndarray  # int32 (P,), the classes a choice counts in
    part_size: np.ndarray  # int32 (P,), and how often
    part_word: np.ndarray  # int32 (P,), the word that holds its bits
    part_bits: np.ndarray  # uint64 (P,), and these
    choice: np.ndarray  # int32 (W, 64), the choice a bit stands for
    weight: np.ndarray  # int64 (largest degree + 1, C), what one on offer weighs
    room: np.ndarray  # uint64 (L, C, W), the choices that count k times in a class at most
    allow: np.ndarray  # uint64 (M, M, W), the choices that get on with two; i, i: with one


@lru_cache(maxsize=3)
def cover_tables(problem: Problem, n: int, symmetry: str, limit: int = 1 << 30) -> Cover:
    """Write down what a search reads, in ``limit`` bytes at most.

    Raises:
        UsageError: the problem has no degree constraints, or configurations of more than three
            elements; too large an n; no such class, or one that no set of the wanted size can have.
    """
    constraints, ground = problem.degree_constraints(n), problem.ground(n)
    if constraints is None:
        raise UsageError(
            f"{problem.name} at n={n} has no degree constraints; choose another search method"
        )
    if problem.arity > 3:
        raise UsageError(
            f"{problem.name} forbids sets of {problem.arity} elements and exact cover "
            "handles three at most; choose another search method"
        )
    start, elements, apart, few = _choices(ground, symmetry, constraints.size)
    choices = len(start) - 1
    of = np.empty(ground.m, np.int32)
    of[elements] = np.repeat(np.arange(choices), np.diff(start))
    # The elements set apart are one more class, the first, and so the last in case of doubt.
    parts = np.zeros((choices, 1 + len(constraints.capacity)), np.int64)
    np.add.at(parts, (of[:, None], 1 + constraints.classes), 1)
    np.add.at(parts[:, 0], of, apart)
    need = np.append(few, constraints.capacity).astype(np.int64)

    def refuse_above_limit(size: int) -> None:
        if size > limit:
            raise UsageError(
                f"exact cover of {problem.name} at n={n} with the symmetry {symmetry!r} "
                f"would need {readable(size)} of tables and may take {readable(limit)}; choose a "
                "smaller n or a symmetry with larger orbits"
            )

    # Every choice has a bit at least.
    refuse_above_limit(choices * choices * (choices // 8 + 2))
    hook = (problem.hook.compiled, ground.coords, problem.hook_tables(n))
    hostile = np.zeros((choices, choices), np.uint8)
    with crashes_raised(f"the hook of {problem.name}"):
        _hostile(*hook, start, elements, np.append(of, np.int32(choices)), hostile)
        use = np.flatnonzero(_usable(hostile, parts, need))
        unit = np.maximum(np.gcd.reduce(parts[use], axis=0), 1)
        # The gcd of no sizes is 0.
        whole = max(np.gcd.reduce(np.diff(start)[use]), 1)
        if not len(use) or (need % unit).any() or constraints.size % whole:
            raise UsageError(
                f"{problem.name} at n={n} has no set of {constraints.size} elements with the "
                f"symmetry {symmetry!r}; choose another"
            )
        parts, need = parts[use] // unit, need // unit
        once = np.unique(np.vstack([parts, need]), axis=1, return_index=True)[1]
        once = np.sort(once[need[once] > 0])
        parts, need = parts[:, once], need[once]
        # By the mean number of the classes they count in.
        order = np.argsort(parts @ np.arange(len(need)) / parts.sum(axis=1), kind="stable")
        use, parts = use[order], parts[order]
        bits = _place(parts)
        refuse_above_limit(len(use) ** 2 * (8 * len(bits.choice) + 1))
        choice_elements = [elements[start[i] : start[i + 1]] for i in use]
        return _lay_out(hook, hostile[np.ix_(use, use)], parts, need, bits, choice_elements)


def _choices(
    ground: GroundSet, symmetry: str, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return start and elements of the choices, bool ``(m,)`` of those that the second class
    sets apart, and how many of these a set has."""
    name, _, other = symmetry.partition("/")
    subgroup = find_whole_class(ground, name).elements
    smallest = ground.group[list(subgroup)].min(axis=0)
    apart = np.zeros(ground.m, np.bool_)
    if other:
        second = find_whole_class(ground, other).elements
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


class Bits(NamedTuple):
    """Where the choices have their bits; a row for each word of each choice."""

    choice: np.ndarray  # int32 (W, 64), as in Cover; -1 for none
    lanes: int  # C
    owner: np.ndarray  # int64 (P,)
    size: np.ndarray  # int32 (P,), how many
    word: np.ndarray  # int32 (P,)
    bits: np.ndarray  # uint64 (P,)

    def row(self, members: np.ndarray) -> np.ndarray:
        """Return uint64 ``(W,)`` from bool ``(M,)``."""
        held = members[self.choice] & (self.choice >= 0)
        return np.packbits(held, axis=1, bitorder="little").view("<u8")[:, 0].astype(np.uint64)


def _place(parts: np.ndarray) -> Bits:
    """Give each choice its bits in each class, later choices higher ones.

    Args:
        parts: int64 ``(M, C)``, how often a choice counts in a class.
    """
    # A multiple of eight: the loops over classes then need no second one for the rest.
    lanes = (parts.shape[1] + 7) // 8 * 8
    classes, owner = np.nonzero(parts.T)
    times = parts[owner, classes]
    classes, owner = np.repeat(classes, times), np.repeat(owner, times)
    place = np.arange(len(classes)) - np.searchsorted(classes, classes)
    word, bit = place // 64 * lanes + classes, place % 64
    words = (place.max() // 64 + 1) * lanes
    choice = np.full((words, 64), -1, np.int32)
    choice[word, bit] = owner
    rows, at, size = np.unique(owner * words + word, return_inverse=True, return_counts=True)
    bits = np.zeros(len(rows), np.uint64)
    np.bitwise_or.at(bits, at, np.uint64(1) << bit.astype(np.uint64))
    where, size = (rows % words).astype(np.int32), size.astype(np.int32)
    return Bits(choice, lanes, rows // words, size, where, bits)


def _lay_out(
    hook: tuple[Any, np.ndarray, Any],
    hostile: np.ndarray,
    parts: np.ndarray,
    need: np.ndarray,
    bits: Bits,
    choice_elements: list[np.ndarray],
) -> Cover:
    """Write down what the choices and classes that are left mean to each other."""
    choices, spare = len(parts), bits.lanes - len(need)
    parts, need = np.pad(parts, ((0, 0), (0, spare))), np.pad(need, (0, spare))
    sizes = [len(some) for some in choice_elements]
    elements = np.concatenate(choice_elements)
    start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    slot = np.full(len(hook[1]) + 1, choices, np.int32)
    slot[elements] = np.repeat(np.arange(choices), sizes)
    part_start = np.searchsorted(bits.owner, np.arange(choices + 1)).astype(np.int32)
    friends = (hostile == 0) & ~np.eye(choices, dtype=np.bool_)
    allow = np.zeros((choices, choices, len(bits.choice)), np.uint64)
    own = (part_start, bits.word, bits.bits)
    _allow(*hook, start, elements, slot, friends, *own, allow)
    return Cover(
        start=start,
        elements=elements,
        need=need,
        part_start=part_start,
        part_class=bits.word % np.int32(bits.lanes),
        part_size=bits.size,
        part_word=bits.word,
        part_bits=bits.bits,
        choice=bits.choice,
        weight=_weights(int(need.max()), bits.lanes),
        room=np.array([[bits.row(p <= k) for p in parts.T] for k in range(parts.max())]),
        allow=allow,
    )


def _weights(most: int, classes: int) -> np.ndarray:
    """Return int64 ``(most + 1, C)``: less for a class that lacks more, and for a later one."""
    lack = np.maximum(np.arange(most + 1), 1)[:, None]
    return (2**20 / lack / (1 + np.arange(classes) / classes)).astype(np.int64)


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
def _allow(
    hook, coords, tables, start, elements, slot, friends, part_start, word, bits, allow
):  # pragma: no cover
    """Write down what each two friends leave open; O(M^3 + M m) and M m hook calls.

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
        for a in range(b + 1):
            if a < b and not friends[a, b]:
                continue
            for i in range(start[a], start[a + 1]):
                if a < b:
                    hook(elements[i], members, size, inside, slot, counts, 1, coords, tables)
            for c in range(choices):
                if friends[b, c] and (a == b or (friends[a, c] and counts[c] == 0)):
                    for p in range(part_start[c], part_start[c + 1]):
                        allow[a, b, word[p]] |= bits[p]
            allow[b, a] = allow[a, b]
            counts[:] = 0
        for i in range(size):
            inside[members[i]] = 0

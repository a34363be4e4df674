"""All forbidden sets of a problem at one n, in elements or in whole orbits: for other solvers."""

import math
from collections.abc import Callable
from itertools import combinations

import numpy as np

from pipeline.core.jit import njit
from pipeline.core.symmetry import find_class
from pipeline.engine.space import choice_of, make_space
from pipeline.engine.state import Space, conflicts_added, join, leave, new_state
from pipeline.errors import UsageError
from pipeline.problem import Problem

# Sets that are looked through, some minutes, and forbidden ones that are kept, at most.
_LOOKED, _KEPT = 10**11, 5_000_000


def forbidden_sets(
    problem: Problem,
    n: int,
    symmetry: str = "trivial",
    told: Callable[[float], None] = lambda _: None,
) -> tuple[Space, list[np.ndarray]]:
    """Return the choices of a symmetry class, and every smallest set of them that is forbidden.

    Args:
        told: called with the share that is done, 0 to 1.

    Returns:
        The space; for each size from 2 on int32 ``(F, size)``, rows of choices, ascending.

    Raises:
        UsageError: no such class, no orbit of it is usable, or too many sets to look through.
    """
    cls = find_class(problem.ground(n), symmetry)
    space = make_space(problem, n, cls)
    # Where orbits are not counted exactly, elements are.
    looked = space if space.exact else make_space(problem, n)
    choices = len(looked.key)
    fewer = "take a smaller n" + " or a larger --symmetry" * (looked is space)
    if math.comb(choices, problem.arity) > _LOOKED:
        raise UsageError(
            f"{problem.name} at n={n} has {choices:,} choices, too many to list what is forbidden; "
            f"{fewer}"
        )
    parts: list[np.ndarray] = []
    room = np.empty((1 << 16, problem.arity), np.int32)
    total = 0
    for first in range(choices):
        found = _from_first(looked, first, problem.arity, room)
        if found > len(room):
            room = np.empty((2 * found, problem.arity), np.int32)
            _from_first(looked, first, problem.arity, room)
        parts.append(room[:found].copy())
        total += found
        if total > _KEPT:
            raise UsageError(
                f"{problem.name} at n={n} has more than {_KEPT:,} forbidden sets; {fewer}"
            )
        told((first + 1) / choices)
    rows = np.concatenate(parts)
    if looked is not space:
        rows = _in_orbits(rows, looked, space)
    sizes = (rows >= 0).sum(axis=1)
    by_size = [rows[sizes == size][:, :size] for size in range(2, problem.arity + 1)]
    return space, _smallest(by_size, len(space.key))


@njit
def _from_first(space, first, arity, rows):
    """Write the forbidden sets that begin with a choice and are allowed without their last.

    Rows are filled up with -1. Those beyond the room are counted, not written.
    """
    choices = len(space.start) - 1
    state = new_state(space)
    path = np.zeros(arity, np.int32)
    following = np.zeros(arity + 1, np.int64)
    path[0], following[1] = first, first + 1
    join(space, state, first)
    level, found = 1, 0
    while level > 0:
        c = following[level]
        if c == choices:
            level -= 1
            leave(space, state, path[level])
            continue
        following[level] = c + 1
        if conflicts_added(space, state, c) > 0:
            if found < len(rows):
                rows[found] = -1
                rows[found, :level] = path[:level]
                rows[found, level] = c
            found += 1
        elif level + 1 < arity:
            join(space, state, c)
            path[level] = c
            level += 1
            following[level] = c + 1
    return found


def _in_orbits(rows: np.ndarray, elements: Space, space: Space) -> np.ndarray:
    """Return sets of elements as sets of orbits, those left out that use others."""
    of = choice_of(space)[elements.elements]
    orbits = np.where(rows >= 0, of[rows], -1)
    usable = ((orbits >= 0) | (rows < 0)).all(axis=1)
    last = len(space.key)  # sorts behind every orbit
    orbits = np.sort(np.where(rows >= 0, orbits, last)[usable], axis=1)
    orbits[:, 1:][orbits[:, 1:] == orbits[:, :-1]] = last
    orbits = np.unique(np.sort(orbits, axis=1), axis=0)
    return np.where(orbits == last, -1, orbits).astype(np.int32)


def _smallest(by_size: list[np.ndarray], choices: int) -> list[np.ndarray]:
    """Leave out the sets that hold a smaller one."""
    kept: list[np.ndarray] = []
    for rows in by_size:
        fine = np.ones(len(rows), np.bool_)
        for smaller in kept:
            if not len(smaller) or not len(rows):
                continue
            known = np.unique(_codes(smaller, choices))
            for columns in combinations(range(rows.shape[1]), smaller.shape[1]):
                fine &= ~np.isin(_codes(rows[:, columns], choices), known)
        kept.append(rows[fine])
    return [rows for rows in kept if len(rows)]


def _codes(rows: np.ndarray, choices: int) -> np.ndarray:
    """Return a number for each row; the sizes that are looked through keep it below 2^63."""
    codes = np.zeros(len(rows), np.int64)
    for column in rows.T:
        codes = codes * choices + column
    return codes

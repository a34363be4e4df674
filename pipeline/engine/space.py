"""The search space of one problem at one n under one symmetry class."""

from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache

import numpy as np

from pipeline.core import stop_flag
from pipeline.core.symmetry import (
    Orbits,
    SymmetryClass,
    belonging,
    find_class,
    orbits,
    symmetry_classes,
)
from pipeline.engine.orbit_pairs import orbit_pairs
from pipeline.engine.state import Space
from pipeline.errors import UsageError
from pipeline.objective import weights_of
from pipeline.problem import Problem


def make_space(
    problem: Problem,
    n: int,
    symmetry: SymmetryClass | None = None,
    mask: np.ndarray | None = None,
    traps: bool = True,
) -> Space:
    """Lay out the choices of a search: the usable orbits of a symmetry class.

    An orbit that holds a forbidden configuration by itself is dropped.

    Args:
        symmetry: one of the ground set's classes; None for the trivial one.
        mask: bool ``(m,)``, the elements that may be used; None for all.
        traps: keep orbits that do not get on with most of the others (the cells on a mirror's
            axis, say). A set loses little without them, and a search is caught by them. They are
            kept in any case where they are no minority.

    Raises:
        UsageError: no orbit of the class is usable (say, quarter turns for isosceles), or none
            lies within the mask.
    """
    ground = problem.ground(n)
    hook, tables = problem.hook.compiled, problem.hook_tables(n)
    cls = symmetry or symmetry_classes(ground)[0]
    parts = orbits(ground, cls)
    exact = problem.arity <= 3 or cls.order == 1

    free, rows = _free_orbits(problem, n, cls)
    if not free.any():
        raise UsageError(
            f"{problem.name} at n={n} has no construction with the symmetry {cls.name!r}: "
            "every orbit holds something forbidden"
        )
    use = np.flatnonzero(free & _within(parts, mask))
    if not len(use):
        raise UsageError(
            f"{problem.name} at n={n}: no orbit of the symmetry {cls.name!r} lies within the "
            "mask; widen it"
        )
    table = np.empty((rows if exact else 0, 3), np.int32)
    if exact:
        how = (hook, ground.coords, tables, parts.start, parts.elements, parts.of)
        orbit_pairs(*how, table)
    if not traps and len(use) > 1:
        use = use[~_trapped(table, use, len(parts))]
    choice_of = np.full(len(parts), -1, np.int32)
    choice_of[use] = np.arange(len(use))
    sizes = np.diff(parts.start)[use]
    start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    kept = np.repeat(choice_of >= 0, np.diff(parts.start))

    first = parts.elements[parts.start[use]]
    if exact:
        # Elements of dropped orbits count into the bin behind the last choice.
        of = choice_of[parts.of]
        slot = np.append(np.where(of < 0, len(use), of), len(use)).astype(np.int32)
        key, weight = np.arange(len(use), dtype=np.int32), np.ones(len(use), np.int32)
    else:
        slot = np.arange(ground.m + 1, dtype=np.int32)
        key, weight = first.astype(np.int32), sizes.astype(np.int32)
    pairs = _pair_rows(choice_of, table, len(use))
    elements = np.ascontiguousarray(parts.elements[kept])
    worth = np.add.reduceat(weights_of(problem, n)[elements], start[:-1])
    return Space(
        hook=hook,
        start=start,
        elements=elements,
        slot=slot,
        key=key,
        weight=weight,
        worth=worth.astype(np.int32),
        pair_start=pairs[0],
        pair_other=pairs[1],
        pair_out=pairs[2],
        pair_in=pairs[3],
        coords=ground.coords,
        tables=tables,
        exact=exact,
        stop=stop_flag.flag(),
    )


def _trapped(table: np.ndarray, use: np.ndarray, orbits_: int) -> np.ndarray:
    """Mark the usable orbits in conflict with more than half of the others, if a minority."""
    usable = np.zeros(orbits_, np.bool_)
    usable[use] = True
    rows = table[usable[table[:, 0]] & usable[table[:, 1]]][:, :2].astype(np.int64)
    both = np.unique(np.concatenate([rows, rows[:, ::-1]]), axis=0)
    others = np.bincount(both[:, 0], minlength=orbits_)[use]
    trapped = others > (len(use) - 1) / 2
    return trapped & (2 * trapped.sum() < len(use))


def choice_of(space: Space) -> np.ndarray:
    """Return int32 ``(m,)``: the choice of each element, -1 for none."""
    of = np.full(len(space.coords), -1, np.int32)
    of[space.elements] = np.repeat(np.arange(len(space.start) - 1), np.diff(space.start))
    return of


def _pair_rows(choice_of: np.ndarray, table: np.ndarray, choices: int) -> tuple[np.ndarray, ...]:
    """Sort the rows (two here, one there) into one table that each orbit reads both ways."""
    a, c = choice_of[table[:, 0]].astype(np.int64), choice_of[table[:, 1]].astype(np.int64)
    usable = (a >= 0) & (c >= 0)
    a, c, number = a[usable], c[usable], table[usable, 2]
    keys, place = np.unique(np.concatenate([a * choices + c, c * choices + a]), return_inverse=True)
    out, back = np.zeros(len(keys), np.int32), np.zeros(len(keys), np.int32)
    out[place[: len(a)]] = number
    back[place[len(a) :]] = number
    start = np.searchsorted(keys, np.arange(choices + 1, dtype=np.int64) * choices)
    return start.astype(np.int32), (keys % max(choices, 1)).astype(np.int32), out, back


def _within(parts: Orbits, mask: np.ndarray | None) -> np.ndarray:
    """Return bool ``(M,)``: the orbits that lie within a mask."""
    if mask is None:
        return np.ones(len(parts), np.bool_)
    return np.minimum.reduceat(mask[parts.elements], parts.start[:-1])


def usable_orbits(
    problem: Problem, n: int, cls: SymmetryClass, mask: np.ndarray | None = None
) -> np.ndarray:
    """Return bool ``(M,)``: the orbits of a class that hold nothing forbidden by themselves.

    Args:
        mask: bool ``(m,)``, the elements that may be used; None for all.
    """
    return _free_orbits(problem, n, cls)[0] & _within(orbits(problem.ground(n), cls), mask)


@lru_cache(maxsize=256)
def _free_orbits(problem: Problem, n: int, cls: SymmetryClass) -> tuple[np.ndarray, int]:
    """Return the orbits that are free, bool ``(M,)``, and the rows of ``orbit_pairs``.

    What is outside the box of a class is not free.
    """
    ground, parts = problem.ground(n), orbits(problem.ground(n), cls)
    bad, rows = orbit_pairs(
        problem.hook.compiled,
        ground.coords,
        problem.hook_tables(n),
        parts.start,
        parts.elements,
        parts.of,
        np.empty((0, 3), np.int32),
    )
    return (bad == 0) & _within(parts, belonging(ground, cls)), rows


def usable_classes(
    problem: Problem, n: int, mask: np.ndarray | None = None
) -> tuple[SymmetryClass, ...]:
    """Return the symmetry classes that have a usable orbit, within a mask, found by trying.

    Those of the whole ground set; see ``usable_among`` for those of boxes.
    """
    classes = symmetry_classes(problem.ground(n))
    return tuple(cls for cls in classes if usable_orbits(problem, n, cls, mask).any())


def usable_among(
    problem: Problem, n: int, names: Iterable[str], mask: np.ndarray | None = None
) -> list[SymmetryClass]:
    """Return the symmetry classes of some names that there are at n and have a usable orbit."""
    found = []
    for name in names:
        with suppress(UsageError):
            cls = find_class(problem.ground(n), name)
            if usable_orbits(problem, n, cls, mask).any():
                found.append(cls)
    return found

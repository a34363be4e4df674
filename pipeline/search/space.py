"""The search space of one problem at one n under one symmetry class."""

import numpy as np

from pipeline.errors import UsageError
from pipeline.problem import Problem
from pipeline.search import kernels
from pipeline.symmetry import SymmetryClass, orbits, symmetry_classes


def make_space(problem: Problem, n: int, symmetry: SymmetryClass | None = None) -> kernels.Space:
    """Lay out the choices of a search: the usable orbits of a symmetry class.

    An orbit that holds a forbidden configuration by itself is dropped.

    Args:
        symmetry: one of the ground set's classes; None for the trivial one.

    Raises:
        UsageError: no orbit of the class is usable (say, quarter turns for isosceles).
    """
    ground = problem.ground(n)
    hook, tables = problem.hook, problem.hook_tables(n)
    cls = symmetry or symmetry_classes(ground)[0]
    parts = orbits(ground, cls)
    exact = problem.arity <= 3 or cls.order == 1

    no_rows = np.empty((0, 3), np.int32)
    found = (hook, ground.coords, tables, parts.start, parts.elements, parts.of)
    bad, rows = kernels.orbit_pairs(*found, no_rows)
    use = np.flatnonzero(bad == 0)
    if not len(use):
        raise UsageError(
            f"{problem.name} at n={n} has no construction with the symmetry {cls.name!r}: "
            "every orbit holds something forbidden"
        )
    choice_of = np.full(len(parts), -1, np.int32)
    choice_of[use] = np.arange(len(use))
    sizes = np.diff(parts.start)[use]
    start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    kept = np.repeat(bad == 0, np.diff(parts.start))

    first = parts.elements[parts.start[use]]
    if exact:
        # Elements of dropped orbits count into the bin behind the last choice.
        of = choice_of[parts.of]
        slot = np.append(np.where(of < 0, len(use), of), len(use)).astype(np.int32)
        key, weight = np.arange(len(use), dtype=np.int32), np.ones(len(use), np.int32)
        table = np.empty((rows, 3), np.int32)
        kernels.orbit_pairs(*found, table)
        pairs = _pair_rows(choice_of, table, len(use))
    else:
        slot = np.arange(ground.m + 1, dtype=np.int32)
        key, weight = first.astype(np.int32), sizes.astype(np.int32)
        pairs = _pair_rows(choice_of, no_rows, len(use))
    return kernels.Space(
        hook=hook,
        start=start,
        elements=np.ascontiguousarray(parts.elements[kept]),
        slot=slot,
        key=key,
        weight=weight,
        pair_start=pairs[0],
        pair_other=pairs[1],
        pair_out=pairs[2],
        pair_in=pairs[3],
        coords=ground.coords,
        tables=tables,
        exact=exact,
    )


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


def usable_classes(problem: Problem, n: int) -> tuple[SymmetryClass, ...]:
    """Return the symmetry classes that have a usable orbit, found by trying."""
    found = []
    for cls in symmetry_classes(problem.ground(n)):
        try:
            make_space(problem, n, cls)
        except UsageError:
            continue
        found.append(cls)
    return tuple(found)

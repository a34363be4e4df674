"""What a few chosen elements block together, asked of a problem's own hook."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from pipeline.core import jit
from pipeline.core.jit import njit
from pipeline.problem import Problem
from pipeline.validator import NOT_PLAIN, crashes_raised

_STEPS = 4  # of a hook, for each member and unit of n


def blocked_by(problem: Problem, n: int, sets: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the elements that may not join each of some valid sets, ascending.

    Args:
        sets: element indices, as many in each set, distinct within one.

    Raises:
        PipelineError: the problem's hook raises.
    """
    rows = np.ascontiguousarray(sets, dtype=np.int32)
    if not rows.size:
        return [[] for _ in sets]
    if not jit.pays(rows.size * _STEPS * n):
        with suppress(*NOT_PLAIN):
            return list(_plainly(problem, n, rows))
    ground = problem.ground(n)
    given = (problem.hook.compiled, ground.coords, problem.hook_tables(n), rows)
    start = np.zeros(len(rows) + 1, np.int64)
    with crashes_raised(f"the hook of {problem.name}"):
        _list_blocked(*given, start, np.zeros(0, np.int32))
        elements = np.zeros(start[-1], np.int32)
        _list_blocked(*given, start, elements)
    return [part.tolist() for part in np.split(elements, start[1:-1])]


def blockers_of(
    problem: Problem, n: int, elements: np.ndarray, members: np.ndarray, since: int = 0
) -> np.ndarray:
    """Return what the problem's ``find_blockers`` says of elements, int32 ``(B, arity - 1)``.

    Args:
        elements: int32 ``(B,)``, none of them a member.
        members: int32 ``(size,)``, a valid set.
        since: where the newer members begin, of which a blocker holds one.

    Raises:
        PipelineError: the finder raises.
    """
    rows = np.full((len(elements), problem.arity - 1), -1, np.int32)
    given = (problem.ground(n).coords, problem.hook_tables(n), rows)
    with crashes_raised(f"the finder of {problem.name}"):
        _find(problem.find_blockers.compiled, elements, members, since, *given)
    return rows


@njit
def _find(find: Any, elements, members, since, coords, tables, rows):  # pragma: no cover
    find(elements, len(elements), members, len(members), since, coords, tables, rows)


def _plainly(problem: Problem, n: int, rows: np.ndarray) -> Iterator[list[int]]:
    """Yield what each row blocks, by the hook as plain Python."""
    hook, coords = jit.plain(problem.hook.py_func), problem.ground(n).coords
    m, coords = len(coords), coords.astype(object)
    tables = tuple(table.astype(object) for table in problem.hook_tables(n))
    for row in rows.astype(object):
        inside, counts = np.zeros(m, np.uint8), np.zeros(m + 1, np.int32)
        for size, v in enumerate(row):
            hook(v, row, size, inside, np.arange(m + 1), counts, 1, coords, tables)
            inside[v] = 1
        yield np.flatnonzero(counts[:m] > 0).tolist()


@njit
def _list_blocked(hook: Any, coords, tables, rows, start, elements):  # pragma: no cover
    """Fill ``elements`` if there is room, ``start`` in any case; O(m) and the hooks for a row."""
    m = len(coords)
    slot = np.arange(m + 1).astype(np.int32)
    counts = np.zeros(m + 1, np.int32)
    inside = np.zeros(m, np.uint8)
    for i in range(len(rows)):
        counts[:] = 0
        row = rows[i]
        for size in range(len(row)):
            hook(row[size], row, size, inside, slot, counts, 1, coords, tables)
            inside[row[size]] = 1
        for v in row:
            inside[v] = 0
        used = start[i]
        for u in range(m):
            if counts[u] > 0:
                if used < len(elements):
                    elements[used] = u
                used += 1
        start[i + 1] = used

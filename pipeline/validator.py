"""How sets are checked from raw cells: by a problem's checker, compiled or as plain Python."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import numpy as np

from pipeline.core import bitset, jit
from pipeline.core.bitset import popcounts, row_points
from pipeline.core.jit import njit
from pipeline.core.threads import by_rows
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from pipeline.problem import Problem

#: What code raises that only numba runs.
NOT_PLAIN = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class CheckerValidator:
    """Asks the checker that a problem's author wrote."""

    def valid(self, problem: "Problem", cells: np.ndarray, n: int) -> np.ndarray:
        """Return bool ``(B,)``: the rows of packed cells that hold nothing forbidden."""
        ground = problem.ground(n)
        steps, given = self._steps(problem, popcounts(cells)), (ground.m, ground.coords)
        if not jit.pays(steps):
            with suppress(*NOT_PLAIN):
                rows = (bitset.points(row, ground.m) for row in cells)
                return np.array([not _violation(problem, row, ground.coords) for row in rows])
        with crashes_raised(f"the checker of {problem.name}"):
            check = problem.checker.compiled
            return by_rows(lambda some: _validate(check, some, *given), cells, steps)

    def witness(self, problem: "Problem", points: np.ndarray, n: int) -> tuple[int, ...]:
        """Return the elements of one violation among some, ascending int32; empty without one."""
        coords = problem.ground(n).coords
        if not jit.pays(self._steps(problem, np.array([len(points)]))):
            with suppress(*NOT_PLAIN):
                return _violation(problem, points, coords)
        found = np.zeros(16, np.int32)
        with crashes_raised(f"the checker of {problem.name}"):
            size = _check_points(problem.checker.compiled, points, coords, found)
        return tuple(found[:size].tolist())

    @staticmethod
    def _steps(problem: "Problem", sizes: np.ndarray) -> float:
        """Estimate the steps that the checker takes for sets of some sizes."""
        degree = problem.checker_degree or problem.arity - 1
        return float((sizes.astype(np.float64) ** degree).sum())


def _violation(problem: "Problem", points: np.ndarray, coords: np.ndarray) -> tuple[int, ...]:
    """Return the elements of one violation, by the checker as plain Python.

    The numbers it is given are Python's: as exact as those of compiled code, and never wrap.

    Raises:
        Exception: one of NOT_PLAIN, where the checker runs as compiled code alone, or fails.
    """
    found = np.zeros(16, np.int32)
    given = points.astype(object), len(points), coords.astype(object), found
    size = jit.plain(problem.checker.py_func)(*given)
    return tuple(found[:size].tolist())


@njit
def _validate(check, cells, m, coords):  # pragma: no cover
    ok = np.empty(len(cells), np.bool_)
    points = np.empty(m, np.int32)
    witness = np.empty(16, np.int32)
    for i in range(len(cells)):
        size = row_points(cells[i], points)
        ok[i] = check(points, size, coords, witness) == 0
    return ok


@njit
def _check_points(check, points, coords, witness):  # pragma: no cover
    return check(points, len(points), coords, witness)


@contextmanager
def crashes_raised(what: str) -> Iterator[None]:
    """Turn a crash of compiled plugin code into an error that names ``what``.

    A C callback cannot raise: numba reports the exception as unraisable and returns 0, which
    for a checker would mean "valid", and for a hook that its counts are wrong from then on.
    """
    crashes: list[str] = []
    before = sys.unraisablehook
    sys.unraisablehook = lambda args: crashes.append(f"{args.exc_type.__name__}: {args.exc_value}")
    try:
        yield
    finally:
        sys.unraisablehook = before
    if crashes:
        raise PipelineError(f"{what} fails with {crashes[0]}; run its ProblemContract")

"""What a step of search costs, counted rather than timed, and how large a task is for it.

A task is bounded by a number of steps, and most of a step is the problem's hook: a walk along a
few lines takes a microsecond, one through all spheres of three points and a new one takes ten
milliseconds. A bound that is a fraction of a second for the first is an hour for the second.

The cost is a number of array accesses. No clock is read, so a run has the same tasks, and the same
results, on any machine.
"""

import math
import sys
import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from pipeline.core import bitset
from pipeline.core.symmetry import find_class, orbits
from pipeline.engine.array_accesses import BudgetSpentError, Meter
from pipeline.engine.pair_tables import surely_fit
from pipeline.engine.tasks import ON_SCORES, ON_TABLES
from pipeline.problem import Problem
from pipeline.words import WordProblem

#: Costs up to this leave a task as it is, six seconds at most. Hooks that walk the lines and the
#: circles of a grid stay below it up to n = 100.
CHEAP = 12.0
#: Steps that a task has in any case, since fewer would not fill a set.
FEWEST = 20

# Array accesses of a step of isosceles at n = 16, the unit.
_UNIT = 2386.0
# A step looks at the key of every choice, several at once.
_SCAN = 0.25
# Operations of plain Python after which counting ends: a tenth of a second.
_BUDGET = 200_000
# How large the sets of a search are, in units of a greedy one.
_HELD = 1.25
# Lines of Python that take as long as a move on scores, whose set is built up anew.
_LINES, _JOINS = 300, 30
# Constructions whose scoring is counted.
_SCORED = 8


def scaled(bound: int, cost: float) -> int:
    """Return how many steps a task makes.

    Args:
        bound: the steps of a task of about half a second where a step costs 1.
        cost: of a step.

    Returns:
        ``bound`` for a cost up to ``CHEAP``; for larger ones as many steps as take half a second,
        or a few more, since too few would not fill a set.
    """
    if cost <= CHEAP:
        return bound
    return _at_least_enough(bound, cost)


def scaled_rows(rows: int, bound: int, cost: float) -> tuple[int, int]:
    """Return how many constructions a task works on, one by one, and the steps for each.

    Args:
        rows, bound: those of a task of about half a second where a step costs 1.
        cost: of a step.

    Returns:
        Both as they are for a cost up to ``CHEAP``; otherwise fewer constructions, and where one
        is still too much, fewer steps.
    """
    if cost <= CHEAP:
        return rows, bound
    fewer = max(int(rows / cost), 1)
    return fewer, _at_least_enough(bound, cost * fewer / rows)


def _at_least_enough(bound: int, cost: float) -> int:
    return min(bound, max(int(bound / cost), FEWEST))


def task_cost(problem: Problem, n: int, symmetry: str, method: str, table_bytes: int) -> float:
    """Return what a step of a task costs.

    Args:
        symmetry, method, table_bytes: of the task.

    Returns:
        1 where the hook is not called: an exact cover, ruin and recreate, or a walk on pair tables
        that fit. Otherwise see ``step_cost``; of a move on scores also what the score costs.
    """
    if method in ON_SCORES:
        joins = max(_greedy_size(problem, n), _JOINS) / _JOINS
        return joins * step_cost(problem, n, symmetry) + _score_lines(problem, n) / _LINES
    if method in ("cover", "ruin-recreate"):
        return 1.0
    if method in ON_TABLES and problem.arity <= 3:
        ground = problem.ground(n)
        if surely_fit(len(orbits(ground, find_class(ground, symmetry))), table_bytes):
            return 1.0
    return step_cost(problem, n, symmetry)


@lru_cache(maxsize=256)
def step_cost(problem: Problem, n: int, symmetry: str = "trivial") -> float:
    """Return what a step costs of a search that calls the problem's hook.

    Args:
        symmetry: name of the symmetry class whose orbits are searched. Where configurations may
            have more than three elements, the elements of an orbit join one by one.

    Returns:
        The cost in units of a step of isosceles at n = 16; 1 where it cannot be counted, since the
        hook has no plain Python or this one raises.
    """
    ground = problem.ground(n)
    try:
        accesses = _accesses(problem, n)
    except Exception:  # noqa: BLE001 - a plugin's code may raise anything here
        return 1.0
    if problem.arity > 3:
        accesses *= ground.m / len(orbits(ground, find_class(ground, symmetry)))
    return (accesses + _SCAN * ground.m) / _UNIT


@lru_cache(maxsize=256)
def _accesses(problem: Problem, n: int) -> float:
    """Return the array accesses of the hook at a set as large as those of a search."""
    m, arity = problem.ground(n).m, problem.arity
    made, blocked = _counted_accesses(problem, n)
    start = size = len(made)
    if blocked is None:
        size = max(size, min(m, 2 * math.isqrt(m)))
    # Each arity - 1 elements block about as many. When every element is blocked log m times on
    # average, about one is free.
    while blocked and size < m and blocked * _growth(start, size, arity - 1) < math.log(m):
        size += 1
    held = math.ceil(_HELD * size)
    return made[-1] * _growth(start - 1, held - 1, _degree(made, arity - 2))


def _greedy_size(problem: Problem, n: int) -> int:
    """Return the elements of a greedy set, or of a part of one; 1 where they cannot be counted."""
    try:
        return max(len(_counted_accesses(problem, n)[0]), 1)
    except Exception:  # noqa: BLE001 - a plugin's code may raise anything here
        return 1


@lru_cache(maxsize=256)
def _score_lines(problem: Problem, n: int) -> float:
    """Return the lines of Python that a problem's score runs for each construction."""
    m, lines = problem.ground(n).m, 0
    rng = np.random.default_rng(0)
    if isinstance(problem, WordProblem):
        cells = problem.random_words(_SCORED, n, rng)
    else:
        sets = np.argsort(rng.random((_SCORED, m)), axis=1)[:, : _greedy_size(problem, n)]
        cells = bitset.from_points([np.sort(one) for one in sets], m)

    def count(frame: Any, event: str, argument: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        problem.ask_score(cells, n)
    except Exception:  # noqa: BLE001 - what a plugin's code raises is told of where it counts
        return 0.0
    finally:
        sys.settrace(before)
    return lines / _SCORED


def _growth(small: int, large: int, degree: int) -> float:
    """Return by how much subsets of ``degree`` elements become more between two sizes."""
    degree = min(degree, small)
    return math.comb(large, degree) / math.comb(small, degree)


def _degree(made: Sequence[int], most: int) -> int:
    """Return the degree, at most ``most``, with which accesses grow with the size of the set."""
    large = len(made) - 1
    small = large // 2
    for degree in range(most):
        if made[large] <= 1.1 * made[small] * _growth(small, large, degree):
            return degree
    return most


def _counted_accesses(problem: Problem, n: int) -> tuple[list[int], float | None]:
    """Fill a set with free elements until none is left or enough is counted.

    Returns:
        (the accesses of the hook as each element joined; how often an element that is left is
        blocked on average, 0 where none is free, None where not enough is known).
    """
    ground, meter = problem.ground(n), Meter(_BUDGET)
    hook, m = meter.counted(problem.hook), ground.m
    members, inside = np.zeros(m, np.int32), np.zeros(m, np.uint8)
    slot, counts = np.arange(m + 1, dtype=np.int32), np.zeros(m + 1, np.int32)
    views = [meter.view(array) for array in (members, inside, slot, counts, ground.coords)]
    tables = tuple(map(meter.view, problem.hook_tables(n)))
    made: list[int] = []
    blocked = None
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for v in np.random.default_rng(0).permutation(m):
            if counts[v] != 0:
                continue
            size, before = np.int64(len(made)), meter.accesses
            try:
                hook(v, views[0], size, *views[1:4], np.int64(1), views[4], tables)
            except BudgetSpentError:
                return made or [_BUDGET], blocked
            made.append(meter.accesses - before)
            members[size], inside[v] = v, 1
            blocked = float(counts[:m][inside == 0].sum()) / m or None
    return made, 0.0

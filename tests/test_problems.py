"""The problems and their known values: proved again by exhaustive search over their own hooks."""

from pathlib import Path

import numpy as np
import oracles
import pytest
from numba import njit

from pipeline.core import bitset
from pipeline.core.bitset import first_of_each, pack
from pipeline.core.symmetry import canonical, orbits, symmetry_classes
from pipeline.engine.greedy import greedy_many
from pipeline.engine.space import make_space
from pipeline.engine.state import CHOICES, VIOLATIONS, conflicts_added, join, leave, new_state
from pipeline.errors import PipelineError, UsageError
from pipeline.plugins import load_problem, problem_names
from pipeline.problem import Problem, checker
from problems.isosceles import FLAT_ALLOWED, FLAT_FORBIDDEN, Isosceles

PLUGINS = Path(__file__).parent / "plugins"
GRIDS = [
    ("isosceles", FLAT_FORBIDDEN),
    ("isosceles", FLAT_ALLOWED),
    ("no-3-in-line", None),
]

# --------------------------------------------------------------------- the largest sets, proved


@njit
def _grow(space, state, allowed, best):
    """Return the larger of ``best`` and the most elements of a valid set that holds those of
    ``state`` and otherwise elements of ``allowed``; depth first, the last allowed ones first."""
    base = state.totals[CHOICES]
    left = np.empty((len(allowed) + 1, len(allowed)), np.int64)
    count = np.zeros(len(allowed) + 1, np.int64)
    for u in allowed:
        if conflicts_added(space, state, u) == 0:
            left[0, count[0]] = u
            count[0] += 1
    deep = 0
    best = max(best, base)
    while True:
        if base + deep + count[deep] <= best:
            if deep == 0:
                return best
            deep -= 1
            leave(space, state, left[deep, count[deep]])
            continue
        count[deep] -= 1
        join(space, state, left[deep, count[deep]])
        deep += 1
        best = max(best, base + deep)
        count[deep] = 0
        for i in range(count[deep - 1]):
            if conflicts_added(space, state, left[deep - 1, i]) == 0:
                left[deep, count[deep]] = left[deep - 1, i]
                count[deep] += 1


def largest(problem, n):
    """Return the most elements of a valid set.

    A set either avoids the first orbit of the whole group or holds, after a symmetry, its
    first element; and so on with the second. Inner orbits exclude the most, so they go first.
    """
    ground, space = problem.ground(n), make_space(problem, n)
    whole = orbits(ground, symmetry_classes(ground)[-1])
    parts = np.split(whole.elements.astype(np.int64), whole.start[1:-1])
    middle = (ground.coords.min(axis=0) + ground.coords.max(axis=0)) / 2
    parts.sort(key=lambda part: np.sum((ground.coords[part[0]] - middle) ** 2))
    best = 0
    for i, part in enumerate(parts):
        state = new_state(space)
        join(space, state, int(part[0]))
        allowed = np.concatenate([part[1:], *parts[i + 1 :]])
        best = _grow(space, state, allowed[::-1].copy(), best)
    return best


# The second sequence is OEIS A271914.
FLAT_FORBIDDEN_VALUES = enumerate([1, 2, 4, 6, 7, 9, 10, 13, 16, 18], start=1)
FLAT_ALLOWED_VALUES = enumerate([1, 2, 4, 6, 8, 10, 12, 14, 16, 18], start=1)


def slow_from(limit, cases):
    """Mark those with n from ``limit`` as slow."""
    return [pytest.param(*c, marks=[pytest.mark.slow] * (c[0] >= limit)) for c in cases]


@pytest.mark.parametrize(("n", "value"), slow_from(9, FLAT_FORBIDDEN_VALUES))
def test_exhaustive_search_proves_the_largest_isosceles_free_sets(n, value):
    problem = load_problem("isosceles")
    assert largest(problem, n) == value
    known = problem.known(n)
    assert known is not None
    assert (known.value, known.proved) == (value, True)


@pytest.mark.parametrize(("n", "value"), slow_from(9, FLAT_ALLOWED_VALUES))
def test_exhaustive_search_proves_the_largest_sets_where_flat_triples_are_allowed(n, value):
    problem = load_problem("isosceles", FLAT_ALLOWED)
    assert largest(problem, n) == value
    known = problem.known(n)
    assert known is not None
    assert (known.value, known.proved) == (value, True)


@pytest.mark.parametrize(("n", "value"), slow_from(9, [(4, 4), (5, 6), (6, 7), (7, 9), (8, 11)]))
def test_exhaustive_search_proves_the_largest_four_cycle_free_graphs(n, value):
    problem = load_problem(f"{PLUGINS / 'four_cycle_free.py'}:FourCycleFree")
    assert largest(problem, n) == value
    known = problem.known(n)
    assert known is not None
    assert known.value == value


# --------------------------------------------------------------- all solutions of no-3-in-line


@njit
def _two_in_each_row(space, n, found):
    """Write the valid sets with two cells in each row to ``found`` (bool rows, as many as fit)
    and return their number; row by row, all pairs of columns, three in a column are a line."""
    state = new_state(space)
    a, b = np.zeros(n, np.int64), np.zeros(n, np.int64)
    row, solutions = 0, 0
    while row >= 0:
        if state.totals[CHOICES] > 2 * row:
            leave(space, state, row * n + b[row])
            leave(space, state, row * n + a[row])
        b[row] += 1
        if b[row] == n:
            a[row] += 1
            b[row] = a[row] + 1
            if b[row] >= n:
                row -= 1
                continue
        first, second = row * n + a[row], row * n + b[row]
        if conflicts_added(space, state, first) or conflicts_added(space, state, second):
            continue
        join(space, state, first)
        join(space, state, second)
        hopeless = state.totals[VIOLATIONS] > 0
        for later in range(row + 1, n):
            free = 0
            for u in range(later * n, later * n + n):
                free += conflicts_added(space, state, u) == 0
            hopeless |= free < 2
        if hopeless:
            continue
        if row == n - 1:
            if solutions < len(found):
                found[solutions] = state.inside.astype(np.bool_)
            solutions += 1
        else:
            row += 1
            a[row], b[row] = 0, 0
    return solutions


# OEIS A000755 (all) and A000769 (up to symmetry).
SOLUTIONS = [(2, 1, 1), (3, 2, 1), (4, 11, 4), (5, 32, 5), (6, 50, 11), (7, 132, 22)]
SOLUTIONS += [(8, 380, 57), (9, 368, 51), (10, 1135, 156)]


@pytest.mark.parametrize(("n", "every", "distinct"), slow_from(9, SOLUTIONS))
def test_exhaustive_search_finds_every_full_set_without_three_in_line(n, every, distinct):
    problem = load_problem("no-3-in-line")
    found = np.zeros((2000, n * n), np.bool_)
    count = _two_in_each_row(make_space(problem, n), n, found)
    assert count == every
    cells = pack(found[:count])
    assert problem.validate(cells, n).all()
    assert len(first_of_each(canonical(cells, problem.ground(n)))) == distinct


# ----------------------------------------------------------------------------------- every size


def check_size(spec, convention, n):
    """Build everything a search at n needs, and search a little."""
    problem = load_problem(spec, convention)
    ground = problem.ground(n)
    assert ground.m == problem.ground_size(n) == n * n
    assert all(t.dtype == np.int32 and t.ndim == 1 for t in problem.hook_tables(n))
    space = make_space(problem, n)
    cells = np.zeros((2, bitset.width(n * n)), np.uint8)
    greedy_many(space, np.array([n], np.uint64), cells)
    assert problem.validate(cells, n).all()
    for row in cells:
        points = bitset.points(row, ground.m)
        assert problem.witness(points, n) is None
        more = np.setdiff1d(np.arange(ground.m), points)[:: max(1, n)]
        joined = bitset.from_points([np.append(points, u) for u in more], ground.m)
        assert not problem.validate(joined, n).any(), "greedy sets must be maximal"


@pytest.mark.parametrize("n", [*range(1, 13), 17, 64, 127, 128])
@pytest.mark.parametrize(("spec", "convention"), GRIDS)
def test_a_size_gives_valid_maximal_greedy_sets(spec, convention, n):
    check_size(spec, convention, n)


@pytest.mark.slow
@pytest.mark.parametrize(("spec", "convention"), GRIDS)
def test_every_size_to_128_gives_valid_maximal_greedy_sets(spec, convention):
    for n in range(1, 129):
        check_size(spec, convention, n)


@pytest.mark.parametrize(
    ("spec", "convention", "oracle"),
    [
        ("isosceles", FLAT_FORBIDDEN, oracles.no_isosceles),
        ("isosceles", FLAT_ALLOWED, oracles.no_isosceles_but_flat),
        ("no-3-in-line", None, oracles.no_three_in_line),
    ],
)
@pytest.mark.parametrize("n", [20, 31])
def test_validator_agrees_with_the_oracle_where_nothing_was_tabulated(spec, convention, oracle, n):
    problem = load_problem(spec, convention)
    ground = problem.ground(n)
    cells = np.zeros((3, bitset.width(n * n)), np.uint8)
    greedy_many(make_space(problem, n), np.array([3], np.uint64), cells)
    rng = np.random.default_rng(n)
    sets = [bitset.points(row, n * n) for row in cells]
    sets += [np.append(points, rng.integers(n * n)) for points in sets]
    sets += [rng.choice(n * n, size, replace=False) for size in (3, 4, 5, 6, 8, 10) * 3]
    for points in sets:
        packed = bitset.from_points([points], n * n)
        coords = [tuple(ground.coords[v].tolist()) for v in np.unique(points)]
        assert problem.validate(packed, n)[0] == oracle(coords)


# -------------------------------------------------------------------- finding and refusing them


def test_the_shipped_problems_are_installed():
    assert {"isosceles", "no-3-in-line"} <= set(problem_names())


def test_a_plugin_is_loaded_from_a_path_once():
    spec = f"{PLUGINS / 'four_cycle_free.py'}:FourCycleFree"
    assert type(load_problem(spec)) is type(load_problem(spec))


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("isoceles", "did you mean 'isosceles'"),
        ("nowhere.py:X", "no such file"),
        (f"{PLUGINS / 'four_cycle_free.py'}:FourCycle", "did you mean 'FourCycleFree'"),
        (f"{PLUGINS / 'four_cycle_free.py'}:block", "not a subclass"),
    ],
)
def test_a_spec_that_names_nothing_is_refused_with_a_hint(spec, says):
    with pytest.raises(UsageError, match=says):
        load_problem(spec)


def test_an_unknown_convention_is_refused_with_a_hint():
    with pytest.raises(UsageError, match="did you mean 'flat-allowed'"):
        load_problem("isosceles", "flat-alowed")


def test_a_plugin_that_numba_refuses_is_reported_with_what_and_where(tmp_path):
    file = tmp_path / "broken.py"
    file.write_text(
        "from pipeline.problem import checker\n\n\n"
        "@checker\ndef check(points, size, coords, witness):\n    return 'none'\n"
    )
    with pytest.raises(PipelineError, match=r"No conversion .* line 6") as error:
        load_problem(f"{file}:Broken")
    assert "\n" not in str(error.value)


@checker
def _divide_by_zero(points, size, coords, witness):
    return 1 // (size - size)


def test_a_checker_that_crashes_does_not_pass_for_a_verdict():
    class Crashes(Isosceles):
        checker = _divide_by_zero

        def __init__(self):
            Problem.__init__(self)

    with pytest.raises(PipelineError, match="checker of isosceles fails with ZeroDivisionError"):
        Crashes().validate(np.zeros((1, 2), np.uint8), 4)
    with pytest.raises(PipelineError, match="checker of isosceles fails with ZeroDivisionError"):
        Crashes().witness(np.arange(3), 4)


def test_a_size_below_the_smallest_is_refused():
    plugin = load_problem(f"{PLUGINS / 'four_cycle_free.py'}:FourCycleFree")
    for problem, least in ((load_problem("isosceles"), 1), (plugin, 2)):
        with pytest.raises(UsageError, match=f"n must be at least {least}, got {least - 1}"):
            problem.ground(least - 1)


def test_a_size_that_memory_cannot_hold_is_refused_with_one_that_fits():
    with pytest.raises(UsageError, match="the largest n that fits is about"):
        load_problem("isosceles").ground(1_000_000)

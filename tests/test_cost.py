"""The cost of a step: counts that are known, the same everywhere, of the order measured."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import python_of
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import config_from
from pipeline.core.bitset import width
from pipeline.core.jit import inlined, njit
from pipeline.core.population import Population
from pipeline.engine.array_accesses import BudgetSpentError, Meter
from pipeline.engine.cost import CHEAP, FEWEST, scaled, scaled_rows, step_cost, task_cost
from pipeline.engine.engine import Engine
from pipeline.executors import Serial, never
from pipeline.plugins import load_problem
from problems.isosceles import Isosceles

SPHERES = f"{Path(__file__).parent}/plugins/no_five_on_a_sphere.py:NoFiveOnASphere"
CASES = [("isosceles", 16), ("isosceles", 64), ("no-3-in-line", 20), (SPHERES, 3), (SPHERES, 7)]


@inlined
def read_twice(array, i):
    """Read an element two times."""
    return array[i] + array[i]


@njit
def walk(array, n):
    """Read 2 n elements through a helper, and write n."""
    for i in range(n):
        array[i] = read_twice(array, i)


@njit
def whole(array):
    """Make an array, multiply, sum, and write one element."""
    made = np.zeros(len(array), np.int64)
    made[0] = np.sum(array * made)
    return made


def accesses(function, *args, budget=10**6):
    meter = Meter(budget)
    meter.counted(type("", (), {"__wrapped__": python_of(function)}))(
        *(meter.view(arg) if isinstance(arg, np.ndarray) else arg for arg in args)
    )
    return meter.accesses


@pytest.mark.parametrize("n", [0, 1, 7])
def test_each_element_read_or_written_counts_once(n):
    assert accesses(walk, np.arange(10), n) == 3 * n


def test_whole_arrays_count_by_their_elements_and_something_for_being_made():
    small, large = (accesses(whole, np.arange(m)) for m in (10, 1010))
    assert small > 3 * 10 + 1
    assert large - small == 3 * 1000


def test_a_function_is_left_as_it_was_and_does_the_same():
    before = dict(python_of(walk).__globals__)
    plain, counted = np.arange(5), np.arange(5)
    walk(plain, 5)
    assert accesses(walk, counted, 5) == 15
    np.testing.assert_array_equal(plain, counted)
    assert python_of(walk).__globals__ == before


def test_counting_ends_with_the_budget():
    with pytest.raises(BudgetSpentError):
        accesses(walk, np.arange(1000), 1000, budget=2999)
    assert accesses(walk, np.arange(1000), 1000, budget=3000) == 3000


def test_isosceles_at_16_is_the_unit():
    assert step_cost(load_problem("isosceles"), 16) == pytest.approx(1, abs=0.01)


# Microseconds of a tabu step that calls the hook, over those of isosceles at n = 16.
@pytest.mark.parametrize(
    ("spec", "n", "measured"),
    [
        ("isosceles", 32, 2.2),
        ("isosceles", 64, 6.5),
        ("no-3-in-line", 64, 3.6),
        (SPHERES, 3, 43),
        (SPHERES, 5, 880),
        (SPHERES, 7, 6900),
    ],
)
def test_costs_are_of_the_order_that_was_measured(spec, n, measured):
    assert measured / 3 < step_cost(load_problem(spec), n) < 3 * measured


def test_another_process_counts_the_same():
    script = (
        "import sys; from pipeline.plugins import load_problem\n"
        "from pipeline.engine.cost import step_cost\n"
        f"print([step_cost(load_problem(p), n) for p, n in {CASES!r}])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == str([step_cost(load_problem(p), n) for p, n in CASES])


def test_elements_that_join_one_by_one_cost_a_call_each():
    spheres, lines = load_problem(SPHERES), load_problem("no-3-in-line")
    mirror = step_cost(spheres, 4, "all")
    assert mirror > 10 * step_cost(spheres, 4)
    assert step_cost(lines, 8, "mirror") == step_cost(lines, 8)


class NoPython(Isosceles):
    """Its hook is an address alone."""

    hook = object()


@njit
def broken(v, members, size, inside, slot, counts, delta, coords, tables):
    """Read beyond the end."""
    counts[len(counts) + 5] += delta


class Broken(Isosceles):
    """Its hook raises."""

    hook = type("", (), {"__wrapped__": python_of(broken)})


@pytest.mark.parametrize("problem", [NoPython, Broken])
def test_a_hook_that_cannot_be_counted_counts_as_cheap(problem):
    assert step_cost(problem(), 6) == 1.0


@pytest.mark.parametrize(
    ("spec", "n"), [("isosceles", 4), ("isosceles", 100), ("no-3-in-line", 100)]
)
def test_tasks_of_the_shipped_problems_keep_their_size(spec, n):
    cost = step_cost(load_problem(spec), n)
    assert scaled(200_000, cost) == 200_000
    assert scaled_rows(25, 400_000, cost) == (25, 400_000)


def test_a_task_of_dear_steps_has_few_and_enough_to_fill_a_set():
    assert scaled(200_000, 1000) == 200
    assert scaled(200_000, 10**7) == scaled(200_000, 10**12) == FEWEST
    assert scaled(20, 10**7) == 20
    assert scaled_rows(1000, 0, 100) == (10, 0)
    assert scaled_rows(25, 400_000, 250) == (1, 40_000)


@given(st.integers(1, 3000), st.integers(0, 10**7), st.floats(0, 1e12))
def test_tasks_never_grow_and_are_never_empty(rows, bound, cost):
    fewer, steps = scaled_rows(rows, bound, cost)
    assert 1 <= fewer <= rows
    assert min(bound, FEWEST) <= steps <= bound
    assert scaled(bound, cost) <= bound
    if cost <= CHEAP:
        assert (fewer, steps) == (rows, bound)


def test_a_walk_on_pair_tables_and_an_exact_cover_cost_1_whatever_the_hook():
    lines = load_problem("no-3-in-line")
    hook = step_cost(lines, 8)
    assert hook != 1
    assert task_cost(lines, 8, "trivial", "tabu", 1 << 30) == 1
    assert task_cost(lines, 8, "trivial", "cover", 0) == 1
    assert task_cost(lines, 8, "trivial", "tabu", 0) == hook
    assert task_cost(lines, 8, "trivial", "anneal", 1 << 30) == hook
    spheres = load_problem(SPHERES)
    assert task_cost(spheres, 3, "trivial", "tabu", 1 << 30) == step_cost(spheres, 3)


def tasks_of(spec, n, **changes):
    """Return a task of an engine for each method."""
    config = config_from({"problem": spec, "n": n, "sizes": [n], **changes}, "the test")
    asked = []

    class Asked(Serial):
        def map(self, function, tasks, over=never):
            asked.extend(tasks)
            return super().map(function, [], over)

    engine = Engine(load_problem(spec), config, Asked())
    asked += engine.explorer.kinds()
    m = engine.runner.grounds[n].m
    engine.improve(Population.build(n, m, np.zeros((60, width(m)), np.uint8), 0), 1)
    engine.seed({})
    return {task.method: task for task in reversed(asked)}


def test_an_engine_makes_small_tasks_of_dear_steps_and_the_usual_ones_of_cheap_steps():
    methods = {"methods": ["tabu", "anneal", "greedy"], "improve": "tabu"}
    changes = {"search": methods, "seeding": {"method": "greedy"}, "generator": "perturb"}
    sizes = {"tabu": (32, 200_000), "anneal": (25, 400_000), "climb": (25, 3000)}
    cheap = tasks_of("isosceles", 12, **changes)
    for method, size in sizes.items():
        assert (len(cheap[method].cells), cheap[method].bound) == size
    assert len(cheap["greedy"].cells) == 1000
    for method, task in tasks_of(SPHERES, 5, **changes).items():
        cost = step_cost(load_problem(SPHERES), 5, task.symmetry)
        assert cost > 100
        rows = 32 if method == "tabu" else max(int(1000 / cost), 1) if method == "greedy" else 1
        assert len(task.cells) == rows
        if method in sizes:
            whole = sizes[method][1] * (1 if method == "tabu" else sizes[method][0])
            assert task.bound == max(int(whole / cost), FEWEST)

"""No four on a circle, no four in a plane: hooks against slow ones, what is known."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from pipeline.core import bitset
from pipeline.engine.space import make_space
from pipeline.engine.state import join, leave, new_state
from pipeline.plugins import load_problem
from pipeline.testing import ProblemContract
from problems.no_four_in_a_plane import in_a_plane
from problems.no_four_on_a_circle import on_a_circle

CIRCLES, PLANES = load_problem("no-4-on-a-circle"), load_problem("no-4-in-a-plane")
SLOW_CIRCLES = f"{Path(__file__).parent}/plugins/no_four_on_a_circle.py:NoFourOnACircle"


def rank_is_full(rows):
    """Tell whether integer rows are independent, in floating point: small numbers alone."""
    return np.linalg.matrix_rank(np.array(rows, float)) == len(rows)


class TestNoFourOnACircle(ProblemContract):
    problem = "no-4-on-a-circle"
    sizes = (1, 2, 3, 4)

    def is_valid(self, n, points):
        lifted = [(x, y, x * x + y * y, 1) for x, y in points]
        return all(rank_is_full(four) for four in combinations(lifted, 4))


class TestNoFourInAPlane(ProblemContract):
    problem = "no-4-in-a-plane"
    sizes = (1, 2, 3)

    def is_valid(self, n, points):
        return all(rank_is_full([(*p, 1) for p in four]) for four in combinations(points, 4))


def counts_by_definition(problem, n, members):
    """Return how many threes of members forbid each other cell."""
    points = [tuple(p) for p in problem.ground(n).coords.tolist()]
    rule = problem.definition.forbidden
    counts = np.zeros(len(points), np.int32)
    for three in combinations(sorted(members), 3):
        for u in range(len(points)):
            if u not in three:
                counts[u] += rule([points[w] for w in (*three, u)], "standard")
    return counts


@pytest.mark.parametrize(("problem", "n"), [(CIRCLES, 6), (CIRCLES, 9), (PLANES, 3), (PLANES, 5)])
def test_the_hook_counts_as_the_definition_does(problem, n):
    space = make_space(problem, n)
    state, rng, members = new_state(space), np.random.default_rng(n), set()
    for step in range(12):
        choice = int(rng.integers(space.coords.shape[0]))
        (join if choice not in members else leave)(space, state, choice)
        members ^= {choice}
        if step % 4 == 3:
            expected = counts_by_definition(problem, n, members)
            np.testing.assert_array_equal(state.counts[: len(expected)], expected)


def test_the_hook_for_circles_is_the_example_plugin_s():
    spaces = make_space(CIRCLES, 12), make_space(load_problem(SLOW_CIRCLES), 12)
    states, rng = [new_state(space) for space in spaces], np.random.default_rng(0)
    for choice in rng.permutation(144)[:20].tolist():
        for space, state in zip(spaces, states, strict=True):
            join(space, state, choice)
        np.testing.assert_array_equal(states[0].counts, states[1].counts)


def test_the_definitions_know_circles_lines_and_planes():
    assert on_a_circle([(0, 0), (2, 0), (0, 2), (2, 2)], "standard")
    assert on_a_circle([(0, 1), (1, 2), (2, 3), (5, 6)], "standard")
    assert not on_a_circle([(0, 0), (1, 0), (2, 0), (0, 1)], "standard")
    assert in_a_plane([(0, 0, 0), (1, 1, 1), (2, 2, 2), (0, 1, 2)], "standard")
    assert in_a_plane([(0, 0, 3), (3, 0, 0), (0, 3, 0), (1, 1, 1)], "standard")
    assert not in_a_plane([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)], "standard")


@pytest.mark.parametrize(("problem", "sizes"), [(CIRCLES, (1, 2, 3, 4)), (PLANES, (1, 2))])
def test_the_largest_sizes_are_those_of_all_sets(problem, sizes):
    for n in sizes:
        m = problem.ground(n).m
        cells = bitset.pack((np.arange(2**m)[:, None] >> np.arange(m) & 1).astype(np.bool_))
        known = problem.known(n)
        assert known is not None
        assert known.proved
        assert known.value == bitset.popcounts(cells[problem.validate(cells, n)]).max()


def test_best_known_values_of_planes_are_proved_to_6_and_end_at_17():
    values = [PLANES.known(n) for n in range(1, 19)]
    assert [v is not None and v.proved for v in values] == [n <= 6 for n in range(1, 19)]
    assert [v.value for v in values if v is not None][-1] == 42
    assert values[-1] is None
    # A layer is a plane, so that it holds three at most.
    assert all(v.value <= 3 * n for n, v in enumerate(values, start=1) if v is not None)

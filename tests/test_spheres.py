"""No five on a sphere: the cube, the hook and the finder against slow ones, what is known."""

from itertools import combinations, pairwise, permutations, product
from pathlib import Path

import numpy as np
import oracles
import pytest

from pipeline.core import bitset
from pipeline.core.symmetry import find_class, orbits, symmetry_classes
from pipeline.engine.blocking import blockers_of
from pipeline.engine.space import make_space
from pipeline.engine.state import join, leave, new_state
from pipeline.plugins import load_problem
from pipeline.testing import ProblemContract
from problems.no_five_on_a_sphere import determinant, on_a_common_sphere

SLOW = f"{Path(__file__).parent}/plugins/no_five_on_a_sphere.py:NoFiveOnASphere"
SPHERES = load_problem("no-5-on-a-sphere")


class TestShippedNoFiveOnASphere(ProblemContract):
    problem = "no-5-on-a-sphere"
    sizes = (1, 2, 3)

    def is_valid(self, n, points):
        return oracles.no_five_on_a_sphere(points)


# ------------------------------------------------------------------------------------- the cube


def test_the_group_is_all_signed_permutations_of_the_coordinates():
    ground = SPHERES.ground(3)
    images = set()
    for axes in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
        for flips in product((False, True), repeat=3):
            moved = ground.coords[:, axes].copy()
            moved[:, flips] = 2 - moved[:, flips]
            images.add(tuple((moved @ [9, 3, 1]).tolist()))
    assert {tuple(row) for row in ground.group.tolist()} == images
    assert len(symmetry_classes(ground)) == 33  # of subgroups up to conjugacy: the point groups


@pytest.mark.parametrize(
    ("name", "images"),
    [
        ("central", [(3, 2, 1)]),
        ("half-turn", [(3, 2, 2)]),
        ("diagonal-half-turn", [(1, 0, 1)]),
        ("mirror", [(0, 1, 1)]),
        ("diagonal-mirror", [(1, 0, 2)]),
        ("third-turn", [(1, 2, 0), (2, 0, 1)]),
        ("quarter-turn", [(3, 2, 2), (2, 0, 2), (1, 3, 2)]),
        ("half-turns", [(3, 2, 2), (0, 2, 1), (3, 1, 1)]),
    ],
)
def test_a_class_moves_a_cell_to_where_its_name_says(name, images):
    ground = SPHERES.ground(4)
    parts = orbits(ground, find_class(ground, name))
    cell = np.flatnonzero((ground.coords == (0, 1, 2)).all(axis=1))[0]
    orbit = parts.elements[np.isin(parts.elements, np.flatnonzero(parts.of == parts.of[cell]))]
    assert {tuple(p) for p in ground.coords[orbit].tolist()} == {(0, 1, 2), *images}


# ------------------------------------------------------------------------- the hook, the finder


@pytest.mark.parametrize("n", [5, 7])
def test_the_hook_counts_as_the_slow_one_does(n):
    fast, slow = make_space(SPHERES, n), make_space(load_problem(SLOW), n)
    states = new_state(fast), new_state(slow)
    # Both grounds have the cells in one order; their counts hang on nothing else.
    np.testing.assert_array_equal(fast.coords, slow.coords)
    rng = np.random.default_rng(n)
    for _ in range(14):
        choice = int(rng.integers(n**3))
        for space, state in zip((fast, slow), states, strict=True):
            (join if state.position[choice] < 0 else leave)(space, state, choice)
        np.testing.assert_array_equal(states[0].counts, states[1].counts)


# At 60 minors and determinants are far beyond 16 bits, and at 41 beyond 31.
@pytest.mark.parametrize("n", [5, 41, 60])
@pytest.mark.parametrize("near", [False, True])
def test_blockers_are_on_a_sphere_and_none_is_missed(n, near):
    ground, rng = SPHERES.ground(n), np.random.default_rng(n)
    # Cells of a corner, or whose coordinates are multiples of 8, give zeros modulo 2^16.
    good = (ground.coords < 5).all(axis=1) if near else (ground.coords % 8 == 0).all(axis=1)
    cells = rng.permutation(np.flatnonzero(good) if near or n > 40 else ground.m)
    members, elements = cells[:9].astype(np.int32), cells[9:60].astype(np.int32)
    points = [tuple(p) for p in ground.coords.tolist()]
    blocked = []
    for size, since in ((9, 0), (9, 7), (9, 9), (8, 3), (4, 0), (3, 0), (0, 0)):
        rows = blockers_of(SPHERES, n, elements, members[:size].copy(), since)
        for u, row in zip(elements.tolist(), rows.tolist(), strict=True):
            closing = [
                four
                for four in combinations(members[:size].tolist(), 4)
                if set(four) & set(members[since:size].tolist())
                and oracles.on_a_sphere([points[w] for w in (*four, u)])
            ]
            assert (row[0] >= 0) == bool(closing)
            assert row[0] < 0 or tuple(row) in {tuple(p) for p in permuted(closing)}
            blocked.append(bool(closing))
    assert any(blocked)
    assert not all(blocked)


def permuted(fours):
    """Yield the orders in which a finder may name each four: any."""
    for four in fours:
        yield from permutations(four)


def test_the_definition_knows_spheres_circles_and_planes():
    sphere = [(0, 0, 0), (2, 0, 0), (0, 2, 0), (0, 0, 2), (2, 2, 2)]
    circle = [(0, 0, 0), (2, 0, 0), (0, 2, 0), (2, 2, 0), (1, 0, 5)]
    plane = [(0, 0, 1), (1, 0, 1), (3, 1, 1), (2, 7, 1), (0, 4, 1)]
    for five in (sphere, circle, plane):
        assert on_a_common_sphere(five, "standard")
    assert not on_a_common_sphere([*sphere[:4], (1, 2, 2)], "standard")
    assert determinant([[2, 1], [7, 4]]) == 1


@pytest.mark.parametrize("n", [3, 4])
def test_four_on_a_circle_block_every_other_cell(n):
    ground = SPHERES.ground(n)
    square = np.flatnonzero((ground.coords[:, 2] == 0) & (ground.coords[:, :2] < 2).all(axis=1))
    cells = [np.append(square, u) for u in np.setdiff1d(np.arange(ground.m), square)]
    assert SPHERES.validate(bitset.from_points([square], ground.m), n).all()
    assert not SPHERES.validate(bitset.from_points(cells, ground.m), n).any()


def test_the_best_known_values_have_sources_and_grow():
    values = [known for n in range(7, 41) if (known := SPHERES.known(n)) is not None]
    assert len(values) == 34
    assert [v.value for v in values[:6]] == [21, 23, 26, 28, 31, 33]
    assert all(v.source and v.date and not v.proved for v in values)
    assert all(a.value < b.value for a, b in pairwise(values))

"""Problems on vectors and numbers, against brute force and what is known."""

from itertools import combinations, combinations_with_replacement, pairwise, product

import numpy as np
import pytest

from pipeline.core import bitset
from pipeline.core.symmetry import find_class, orbits, symmetry_classes
from pipeline.engine.space import make_space
from pipeline.engine.state import join, leave, new_state
from pipeline.plugins import load_problem
from pipeline.problem import Problem
from pipeline.testing import ProblemContract

CAPS = load_problem("cap-sets")


class TestCapSets(ProblemContract):
    problem = "cap-sets"
    sizes = (1, 2, 3)

    def is_valid(self, n, points):
        return not any(
            all((x + y + z) % 3 == 0 for x, y, z in zip(*three, strict=True))
            for three in combinations(points, 3)
        )


def largest(problem, n):
    """Return the size of the largest valid set, all sets tried."""
    m = problem.ground(n).m
    cells = bitset.pack((np.arange(2**m)[:, None] >> np.arange(m) & 1).astype(np.bool_))
    return int(bitset.popcounts(cells[problem.validate(cells, n)]).max())


def known(problem, n):
    """Return what is known at n, which there must be."""
    found = problem.known(n)
    assert found is not None
    return found


@pytest.mark.parametrize("n", [1, 2])
def test_the_largest_cap_sets_are_as_known(n):
    assert known(CAPS, n).proved
    assert known(CAPS, n).value == largest(CAPS, n)


def test_the_product_of_two_cap_sets_is_one():
    values = [known(CAPS, n).value for n in range(1, 9)]
    for a, b in product(range(1, 8), repeat=2):
        if a + b <= 8:
            assert values[a + b - 1] >= values[a - 1] * values[b - 1]


@pytest.mark.parametrize(
    ("name", "images"),
    [
        ("central", [(2, 1, 0, 2, 2)]),
        ("blocks-2", [(2, 1, 0, 1, 1), (1, 2, 0, 2, 2), (2, 1, 0, 2, 2)]),
        ("blocks-5", [(a, b, 0, c, d) for a, b, c, d in product((1, 2), repeat=4)]),
        (
            "even-signs",  # the third coordinate is 0 and makes any number even
            [(a, b, 0, c, d) for a, b, c, d in product((1, 2), repeat=4)],
        ),
    ],
)
def test_a_class_of_cap_sets_changes_the_signs_that_its_name_says(name, images):
    ground = CAPS.ground(5)
    parts = orbits(ground, find_class(ground, name))
    point = np.flatnonzero((ground.coords == (1, 2, 0, 1, 1)).all(axis=1))[0]
    orbit = np.flatnonzero(parts.of == parts.of[point])
    assert {tuple(p) for p in ground.coords[orbit].tolist()} == {(1, 2, 0, 1, 1), *images}


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_only_the_named_classes_of_cap_sets_are_tried(n):
    ground = CAPS.ground(n)
    names = {cls.name for cls in symmetry_classes(ground)}
    blocks = {"central", *(f"blocks-{count}" for count in range(2, n + 1))}
    assert len(ground.group) == 2**n
    assert names == {"trivial", *blocks} | ({"even-signs"} if n > 2 else set())
    everyone = np.flatnonzero((ground.coords != 0).all(axis=1))
    even = orbits(ground, find_class(ground, "even-signs" if n > 2 else "trivial"))
    assert len(np.unique(even.of[everyone])) == (2 if n > 2 else 2**n)


def test_the_hook_of_cap_sets_knows_odd_and_even_dimensions():
    for n in (1, 4, 5):
        coords = CAPS.ground(n).coords
        third, half = CAPS.tables(n)
        half = int(half[0])
        assert third.shape == (half, half)
        rng = np.random.default_rng(n)
        for a, b in rng.integers(len(coords), size=(50, 2)):
            u = third[a // half, b // half] * half + third[a % half, b % half]
            assert ((coords[a] + coords[b] + coords[u]) % 3 == 0).all()


# ------------------------------------------------------------------------------- Sidon sets


def has_distinct_sums(numbers, modulus):
    """Tell whether all sums of two numbers differ, those of a number with itself too."""
    sums = [(a + b) % modulus for a, b in combinations_with_replacement(numbers, 2)]
    return len(set(sums)) == len(sums)


class TestSidon(ProblemContract):
    problem = "sidon"
    sizes = (1, 2, 4, 9)

    def is_valid(self, n, points):
        return has_distinct_sums([a for (a,) in points], 10 * n)


class TestSidonModulo(ProblemContract):
    problem = "sidon-mod"
    sizes = (1, 2, 3, 4, 6, 8, 9)

    def is_valid(self, n, points):
        return has_distinct_sums([a for (a,) in points], n)


@pytest.mark.parametrize("name", ["sidon", "sidon-mod"])
@pytest.mark.parametrize("n", [1, 2, 5, 10, 14])
def test_the_largest_sidon_sets_are_as_known(name, n):
    problem = load_problem(name)
    assert known(problem, n).proved
    assert known(problem, n).value == largest(problem, n)


# All kinds of moduli: a multiple of 3, of 4, of 8, twice an odd number, a prime.
@pytest.mark.parametrize(("name", "n"), [("sidon", 20), *(("sidon-mod", n) for n in range(12, 25))])
def test_the_hook_of_sidon_sets_counts_as_the_rule_does(name, n):
    problem = load_problem(name)
    assert problem.derived is not None
    own = {"hook": problem.derived.hook, "tables": Problem.tables}
    by_rule = type(f"{type(problem).__name__}ByRule", (type(problem),), own)()
    spaces = make_space(problem, n), make_space(by_rule, n)
    states = [new_state(space) for space in spaces]
    rng = np.random.default_rng(n)
    for _ in range(30):
        choice = int(rng.integers(n))
        for space, state in zip(spaces, states, strict=True):
            (join if state.position[choice] < 0 else leave)(space, state, choice)
        np.testing.assert_array_equal(states[0].counts[:n], states[1].counts[:n])


def test_golomb_rulers_are_as_long_as_known():
    problem = load_problem("sidon")
    assert [known(problem, n).value for n in (177, 178, 199, 200, 585, 586)] == [
        15,
        16,
        16,
        17,
        27,
        28,
    ]
    assert problem.known(587) is None


def test_sidon_sets_modulo_n_are_no_larger_than_the_number_of_sums_allows():
    problem = load_problem("sidon-mod")
    for n in range(1, 201):
        found = problem.known(n)
        if found is not None:
            assert found.value * (found.value - 1) < n
    assert known(problem, 183).value == 14
    assert problem.known(182) is None


def test_the_group_modulo_n_is_affine_and_its_classes_multiply():
    ground = load_problem("sidon-mod").ground(13)
    assert len(ground.group) == 13 * 12
    classes = {cls.name: cls.order for cls in symmetry_classes(ground)}
    orders = {"trivial": 1, "times-2": 12, "times-3": 3, "times-4": 6, "times-5": 4, "times-12": 2}
    assert classes == orders | {"all": 156}
    parts = orbits(ground, find_class(ground, "times-3"))
    assert np.flatnonzero(parts.of == parts.of[1]).tolist() == [1, 3, 9]
    assert len(load_problem("sidon-mod").ground(151).group) == 150


# ------------------------------------------------------------------ progressions and corners


class TestProgressionFree(ProblemContract):
    problem = "progression-free"
    sizes = (1, 2, 5, 9)

    def is_valid(self, n, points):
        held = {a for (a,) in points}
        return not any(a + 2 * d in held for a in held for d in range(1, n) if a + d in held)


class TestCornerFree(ProblemContract):
    problem = "corner-free"
    sizes = (1, 2, 3, 4)

    def is_valid(self, n, points):
        held = {tuple(point) for point in points}
        steps = [d for d in range(-n, n + 1) if d]
        return not any((x + d, y) in held and (x, y + d) in held for x, y in held for d in steps)


@pytest.mark.parametrize(
    ("name", "sizes"), [("progression-free", (1, 2, 3, 9, 14, 15)), ("corner-free", (1, 2, 3, 4))]
)
def test_the_largest_sets_are_as_known(name, sizes):
    problem = load_problem(name)
    for n in sizes:
        assert known(problem, n).proved
        assert known(problem, n).value == largest(problem, n)


def test_progression_free_sizes_rise_by_one_at_a_time_and_end_where_they_are_not_known():
    problem = load_problem("progression-free")
    values = [known(problem, n).value for n in range(1, 210)]
    assert {b - a for a, b in pairwise(values)} == {0, 1}
    assert (values[120], values[121], values[-1]) == (31, 32, 43)
    assert problem.known(210) is None


def test_corners_have_the_symmetries_of_both_diagonals():
    ground = load_problem("corner-free").ground(5)
    names = {cls.name: cls.order for cls in symmetry_classes(ground)}
    assert names["diagonal"] == names["half-turn"] == 2
    assert len(ground.group) == 4

"""Problems on vectors and numbers: cap sets, against brute force and what is known."""

from itertools import combinations, product

import numpy as np
import pytest

from pipeline.core import bitset
from pipeline.core.symmetry import find_class, orbits, symmetry_classes
from pipeline.plugins import load_problem
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

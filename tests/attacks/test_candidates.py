"""Hostile candidates: the validators of the shipped problems against the naive oracles.

ATTACK_CANDIDATES sets how many the long part tries (1000000).
"""

import os

import numpy as np
import oracles
import pytest

from pipeline.core.bitset import pack
from pipeline.problem import load_problem

MANY = int(os.environ.get("ATTACK_CANDIDATES", "1000000"))
RULES = [
    ("isosceles", "flat-forbidden", oracles.no_isosceles),
    ("isosceles", "flat-allowed", oracles.no_isosceles_but_flat),
    ("no-3-in-line", None, oracles.no_three_in_line),
]


def candidates(rng, many, n):
    """Return bool ``(many, n * n)``: few points and many, mirrored, on a line."""
    cells = rng.random((many, n * n)) < rng.choice([0.02, 0.1, 0.2, 0.4, 1.0], (many, 1))
    boards = cells.reshape(many, n, n)
    kind = rng.integers(5, size=many)
    boards[kind == 1] &= boards[kind == 1, ::-1]
    boards[kind == 2] |= boards[kind == 2].transpose(0, 2, 1)
    boards[kind == 3, 1:] = False
    return cells


def disagreements(name, convention, valid, many, seed):
    problem = load_problem(name, convention)
    rng, wrong = np.random.default_rng(seed), []
    for n in range(2, 7):
        coords = [tuple(p) for p in problem.ground(n).coords.tolist()]
        for first in range(0, many // 5, 10_000):
            cells = candidates(rng, min(10_000, many // 5 - first), n)
            told = problem.validate(pack(cells), n)
            for row, said in zip(cells, told.tolist(), strict=True):
                if said != valid([coords[v] for v in np.flatnonzero(row)]):
                    wrong.append((n, np.flatnonzero(row).tolist()))
    return wrong


@pytest.mark.parametrize(("name", "convention", "valid"), RULES)
def test_ten_thousand_candidates_are_judged_as_by_the_definition(
    name, convention, valid, record_property
):
    record_property("tried", 3335)
    assert disagreements(name, convention, valid, 3335, seed=1) == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "convention", "valid"), RULES)
def test_a_million_candidates_are_judged_as_by_the_definition(
    name, convention, valid, record_property
):
    record_property("tried", MANY // 3 // 5 * 5)
    assert disagreements(name, convention, valid, MANY // 3, seed=2) == []


@pytest.mark.parametrize("name", ["isosceles", "no-3-in-line"])
def test_bits_beyond_the_last_element_never_hide_a_violation(name):
    problem = load_problem(name)
    cells = np.zeros((256, 9), bool)
    cells[:, :3] = True  # a flat triple in the first row
    packed = pack(cells)
    packed[:, -1] |= np.arange(256, dtype=np.uint8) & 0xFE
    assert not problem.validate(packed, 3).any()

"""Hostile candidates: the validators of the shipped problems against the naive oracles.

All boards up to n = 4, and distinct ones beyond: sparse, dense, mirrored, on a few lines, maximal
ones and those a point or two away from one. ATTACK_CANDIDATES sets how many distinct candidates
the long part tries over all rules (1000000).
"""

import os
from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np
import oracles
import pytest

from pipeline.core.bitset import pack
from pipeline.plugins import load_problem
from pipeline.problem import Problem

MANY = int(os.environ.get("ATTACK_CANDIDATES", "1000000"))
SIZES = (5, 6, 7, 8, 9, 10, 11, 12, 16, 25)
RULES = [
    ("isosceles", "flat-forbidden", oracles.no_isosceles),
    ("isosceles", "flat-allowed", oracles.no_isosceles_but_flat),
    ("no-3-in-line", None, oracles.no_three_in_line),
]
Valid = Callable[[oracles.Points], bool]


def every(n: int) -> np.ndarray:
    """Return all boards of a size, bool ``(2 ** (n * n), n * n)``."""
    return (np.arange(2 ** (n * n))[:, None] >> np.arange(n * n) & 1).astype(bool)


def maximal(rng: np.random.Generator, n: int, valid: Valid) -> np.ndarray:
    """Return a board, bool ``(n, n)``, to which no point can be added, made by the oracle.

    It keeps to its first 12 points: the oracle looks at each triple.
    """
    board, points = np.zeros((n, n), bool), []
    for v in rng.permutation(n * n):
        new = (int(v) // n, int(v) % n)
        if all(valid([*pair, new]) for pair in combinations(points, 2)):
            points.append(new)
            board[new] = True
        if len(points) == 12:
            break
    return board


def drawn(rng: np.random.Generator, many: int, n: int, bases: np.ndarray) -> np.ndarray:
    """Return boards of many kinds, bool ``(many, n * n)``; some are equal."""
    share = np.minimum(rng.integers(2, 11, (many, 1, 1)) / (n * n), 0.5)
    boards = rng.random((many, n, n)) < share
    kind = rng.integers(8, size=many)
    boards[kind == 0] = rng.random((int((kind == 0).sum()), n, n)) < 0.3  # dense
    boards[kind == 1] &= boards[kind == 1, ::-1]
    boards[kind == 2] |= boards[kind == 2].transpose(0, 2, 1)
    boards[kind == 3, 2:] = False  # on two lines, so a third point is near
    near = np.flatnonzero(kind >= 6)
    for i, base in zip(near, rng.integers(len(bases), size=len(near)), strict=True):
        board = np.rot90(bases[base], int(rng.integers(4)))
        boards[i] = board.T if rng.random() < 0.5 else board
        # Without some points and with up to two others: valid, or not by few triples.
        boards[i] &= rng.random((n, n)) < rng.choice([1.0, 0.8, 0.5])
        boards[i].flat[rng.integers(n * n, size=rng.integers(3))] ^= True
    return boards.reshape(many, n * n)


def distinct(valid: Valid, many: int, seed: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (n, boards) with ``many`` boards in all, no two equal."""
    rng = np.random.default_rng(seed)
    for n in (2, 3, 4):
        some = every(n)
        some = some[rng.permutation(len(some))[: many // 5]]
        many -= len(some)
        yield n, some
    for left, n in enumerate(reversed(SIZES), 1):
        wanted = many // left if left < len(SIZES) else many
        many -= wanted
        bases = np.array([maximal(rng, n, valid) for _ in range(4 if wanted < 1000 else 12)])
        seen: set[bytes] = set()
        while len(seen) < wanted:
            some = drawn(rng, min(10_000, 2 * (wanted - len(seen))), n, bases)
            keys = [row.tobytes() for row in np.packbits(some, axis=1)]
            first = {key: i for i, key in enumerate(keys) if key not in seen}
            chosen = list(first.items())[: wanted - len(seen)]
            seen.update(key for key, _ in chosen)
            yield n, some[[i for _, i in chosen]]


def judge(name: str, convention: str | None, valid: Valid, many: int, seed: int) -> dict[str, int]:
    """Compare the validator with the oracle; return how many boards of which kind it was."""
    problem = load_problem(name, convention)
    counts = {"distinct": 0, "valid": 0, "invalid by few": 0}
    for n, cells in distinct(valid, many, seed):
        coords = [tuple(p) for p in problem.ground(n).coords.tolist()]
        told = problem.validate(pack(cells), n)
        for i, (row, said) in enumerate(zip(cells, told.tolist(), strict=True)):
            members = np.flatnonzero(row)
            points = [coords[v] for v in members]
            assert said == valid(points), (n, points)
            if i % 50 == 0:
                witnessed(problem, n, members, coords, valid)
            counts["valid"] += said
            counts["invalid by few"] += not said and len(members) <= 12
        counts["distinct"] += len(cells)
    return counts


def witnessed(problem: Problem, n: int, members: np.ndarray, coords: list, valid: Valid) -> None:
    """Check that a witness is given where, and only where, points break the rule, and is one."""
    found = problem.witness(members, n)
    assert (found is None) == valid([coords[v] for v in members])
    if found is not None:
        assert set(found) <= set(members.tolist())
        assert not valid([coords[v] for v in found])


@pytest.mark.parametrize(("name", "convention", "valid"), RULES)
def test_thousands_of_candidates_are_judged_as_by_the_definition(
    name, convention, valid, record_property
):
    counts = judge(name, convention, valid, 3000, seed=1)
    record_property("tried", counts["distinct"])
    assert counts["distinct"] == 3000
    assert counts["valid"] > 500
    assert counts["invalid by few"] > 500


@pytest.mark.slow
@pytest.mark.parametrize(("name", "convention", "valid"), RULES)
def test_a_million_candidates_are_judged_as_by_the_definition(
    name, convention, valid, fresh_seed, record_property
):
    counts = judge(name, convention, valid, -(-MANY // len(RULES)), fresh_seed)
    record_property("tried", counts["distinct"])
    record_property("candidates", str(counts))
    assert counts["distinct"] == -(-MANY // len(RULES))


@pytest.mark.parametrize("name", ["isosceles", "no-3-in-line"])
def test_bits_beyond_the_last_element_never_hide_a_violation(name):
    problem = load_problem(name)
    cells = np.zeros((256, 9), bool)
    cells[:, :3] = True  # a flat triple in the first row
    packed = pack(cells)
    packed[:, -1] |= np.arange(256, dtype=np.uint8) & 0xFE
    assert not problem.validate(packed, 3).any()

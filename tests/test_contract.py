"""The contract for plugins: sound problems pass it, and each defect fails the test meant for it."""

import subprocess
import sys
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
import oracles
import pytest

from pipeline.core.ground_set import GroundSet, close_group
from pipeline.errors import PipelineError
from pipeline.model.tokens import PointEncoder
from pipeline.problem import Known, Problem, blocking_hook, checker
from pipeline.testing import ProblemContract
from problems.grid import square_grid
from problems.isosceles import FLAT_ALLOWED, Isosceles, check_flat_forbidden

PLUGINS = Path(__file__).parent / "plugins"


class TestIsosceles(ProblemContract):
    problem = "isosceles"
    sizes = (1, 2, 3, 4, 5)

    def is_valid(self, n, points):
        return oracles.no_isosceles(points)


class TestIsoscelesFlatAllowed(ProblemContract):
    problem = "isosceles"
    convention = FLAT_ALLOWED
    sizes = (1, 2, 3, 4, 5)

    def is_valid(self, n, points):
        return oracles.no_isosceles_but_flat(points)


class TestNoThreeInLine(ProblemContract):
    problem = "no-3-in-line"
    sizes = (1, 2, 3, 4, 5)

    def is_valid(self, n, points):
        return oracles.no_three_in_line(points)


class TestFourCycleFree(ProblemContract):
    problem = f"{PLUGINS / 'four_cycle_free.py'}:FourCycleFree"
    sizes = (2, 3, 4, 5, 6)

    def is_valid(self, n, points):
        return oracles.no_four_cycle(points)


class TestNoFourOnACircle(ProblemContract):
    problem = f"{PLUGINS / 'no_four_on_a_circle.py'}:NoFourOnACircle"
    sizes = (1, 2, 3, 4)

    def is_valid(self, n, points):
        return oracles.no_four_on_a_circle(points)


class TestNoFiveOnASphere(ProblemContract):
    problem = f"{PLUGINS / 'no_five_on_a_sphere.py'}:NoFiveOnASphere"
    sizes = (1, 2, 3)

    def is_valid(self, n, points):
        return oracles.no_five_on_a_sphere(points)


# ----------------------------------------------------- what else the framework promises to bear


@blocking_hook
def _block_neighbours_and_middles(v, members, size, inside, slot, counts, delta, coords, tables):
    m = len(inside)
    for u in range(m):
        if abs(u - v) == 1:
            counts[slot[u]] += delta
    for i in range(size):
        for u in range(m):
            a, b, c = min(u, v, members[i]), u + v + members[i], max(u, v, members[i])
            b -= a + c
            if b - a == c - b and b - a > 1:
                counts[slot[u]] += delta


@checker
def _check_neighbours_and_middles(points, size, coords, witness):
    for i in range(size):
        for j in range(i):
            witness[0], witness[1] = points[j], points[i]
            if points[i] - points[j] == 1:
                return 2
            for k in range(j):
                if points[i] - points[j] == points[j] - points[k]:
                    witness[2] = points[k]
                    return 3
    return 0


class SparseRow(Problem):
    """Sets of 1..n without neighbours and without the middle of two; scored by their sum."""

    name = "sparse-row"
    arity = 3
    hook = _block_neighbours_and_middles
    checker = _check_neighbours_and_middles

    def ground_set(self, n: int) -> GroundSet:
        numbers = np.arange(n, dtype=np.int32)
        return GroundSet(n, numbers[:, None] + 1, close_group(numbers[None]))

    def ground_size(self, n: int) -> int:
        return n

    def score(self, cells: np.ndarray, n: int) -> np.ndarray:
        bits = np.unpackbits(cells, axis=1, count=n, bitorder="little")
        return (bits @ np.arange(1, n + 1)).astype(np.int32)


class TestForbiddenSetsOfTwoSizesAndAScoreOfItsOwn(ProblemContract):
    problem = SparseRow
    sizes = (1, 2, 5, 11)

    def is_valid(self, n, points):
        numbers = sorted(x for (x,) in points)
        near = any(b - a == 1 for a, b in combinations(numbers, 2))
        return not near and not any(b - a == c - b for a, b, c in combinations(numbers, 3))

    def expected_score(self, n, points):
        return sum(x for (x,) in points)


# ------------------------------------------------------------------------- problems with a flaw


def failures(mutant, base: type[ProblemContract] = TestIsosceles, at=(3, 4)) -> set[str]:
    """Return the names of the contract's tests that ``mutant`` fails."""
    contract = type("Contract", (base,), {"problem": mutant, "sizes": at})
    failed = set()
    for name in dir(contract):
        if name.startswith("test_"):
            try:
                getattr(contract(), name)()
            except (AssertionError, PipelineError):
                failed.add(name.removeprefix("test_"))
    return failed


HOOK = "hook_counts_match_the_oracle"
LOADS = "loads_of_choices_match_the_oracle"
GREEDY = "greedy_sets_are_valid_and_maximal"
COMPLETED = "completed_sets_are_valid_and_maximal"
REPAIRED = "repaired_sets_are_valid_subsets"
GROUP = "group_maps_forbidden_to_forbidden"
VALIDATOR = "validator_agrees_with_the_oracle"
WITNESS = "witness_shows_a_violation_inside_the_set"
SCORES = "scores_are_those_of_the_points"
ENCODERS = "encoders_read_back_what_they_wrote"
ARITY = "arity_is_the_size_of_the_largest_forbidden_configuration"
GROUND = "ground_set_is_sound"
PROVED = "proved_values_are_not_exceeded"


def test_a_sound_subclass_fails_nothing():
    assert failures(Isosceles) == set()


class HalfReader(PointEncoder):
    def _read(self, body, length, n):
        ok, cells = super()._read(body, length, n)
        cells[:, cells.shape[1] // 2 :] = False
        return ok, cells


class ReadsHalf(Isosceles):
    def encoders(self) -> Mapping[str, type]:
        return {"half": HalfReader}


def test_a_decoder_that_fills_half_the_object_is_caught():
    assert failures(ReadsHalf) == {ENCODERS}


class ScoreOfAnArray(Isosceles):
    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[tuple, np.ndarray] = {}

    def score(self, cells: np.ndarray, n: int) -> np.ndarray:
        return self.seen.setdefault((n, id(cells)), super().score(cells, n))


class ScoreOfAShape(ScoreOfAnArray):
    def score(self, cells: np.ndarray, n: int) -> np.ndarray:
        return self.seen.setdefault((n, cells.shape), super().score(cells, n))


@pytest.mark.parametrize("mutant", [ScoreOfAnArray, ScoreOfAShape])
def test_a_score_from_a_stale_cache_is_caught(mutant):
    assert SCORES in failures(mutant)


@checker
def _pass_everything(points, size, coords, witness):
    return 0


class PassesEverything(Isosceles):
    def __init__(self) -> None:
        super().__init__()
        self.checker = _pass_everything


def test_a_validator_that_passes_everything_is_caught():
    assert failures(PassesEverything) == {VALIDATOR, WITNESS}


class RejectsFlatTriples(Isosceles):
    def __init__(self) -> None:
        super().__init__(FLAT_ALLOWED)
        self.checker = check_flat_forbidden


def test_a_validator_that_rejects_too_much_is_caught():
    assert failures(RejectsFlatTriples, TestIsoscelesFlatAllowed) == {VALIDATOR, WITNESS}


@checker
def _witness_by_position(points, size, coords, witness):
    found = np.empty(16, np.int32)
    for i in range(size):
        for j in range(size):
            for k in range(j):
                a, b = coords[points[j]] - coords[points[i]], coords[points[k]] - coords[points[i]]
                if i != j and i != k and np.sum(a * a) == np.sum(b * b):
                    found[0], found[1], found[2] = i, j, k
                    witness[:3] = found[:3]
                    return 3
    return 0


class NamesPositions(Isosceles):
    def __init__(self) -> None:
        super().__init__()
        self.checker = _witness_by_position


def test_a_witness_of_positions_instead_of_elements_is_caught():
    assert failures(NamesPositions) == {WITNESS}


@blocking_hook
def _without_bisector(v, members, size, inside, slot, counts, delta, coords, tables):
    for i in range(size):
        w = members[i]
        side = coords[v] - coords[w]
        for u in range(len(inside)):
            a, b = coords[u] - coords[v], coords[u] - coords[w]
            if u != v and u != w:
                from_v, from_w = np.sum(a * a), np.sum(b * b)
                counts[slot[u]] += delta * (np.sum(side * side) in (from_v, from_w))


class WithoutBisector(Isosceles):
    hook = _without_bisector


def test_a_hook_that_misses_one_kind_of_triple_is_caught():
    assert {HOOK, LOADS, GREEDY, COMPLETED, REPAIRED} == failures(WithoutBisector)


@blocking_hook
def _counting_itself(v, members, size, inside, slot, counts, delta, coords, tables):
    for i in range(size):
        w = members[i]
        side = coords[v] - coords[w]
        for u in range(len(inside)):
            a, b = coords[u] - coords[v], coords[u] - coords[w]
            d, equal = np.sum(side * side), np.sum(a * a) == np.sum(b * b)
            if u != w:
                counts[slot[u]] += delta * (equal or d in (np.sum(a * a), np.sum(b * b)))


class CountsItself(Isosceles):
    hook = _counting_itself


def test_a_hook_that_counts_the_element_that_joins_is_caught():
    assert HOOK in failures(CountsItself)


@blocking_hook
def _never_takes_back(v, members, size, inside, slot, counts, delta, coords, tables):
    for i in range(size):
        step = 2 * members[i] - v
        if delta > 0 and 0 <= step < len(inside):
            counts[slot[step]] += delta


class NeverTakesBack(Isosceles):
    hook = _never_takes_back


def test_a_hook_that_does_not_take_back_is_caught():
    assert {HOOK, LOADS} <= failures(NeverTakesBack)


class Sheared(Isosceles):
    def ground_set(self, n: int) -> GroundSet:
        r, c = np.indices((n, n))
        shear = (r * n + (c + r) % n).ravel()
        return GroundSet(n, square_grid(n).coords, close_group(shear[None]))


def test_a_group_that_does_not_act_is_caught():
    assert {GROUP, LOADS} <= failures(Sheared)


class OfPairs(Isosceles):
    arity = 2


def test_an_arity_that_is_too_small_is_caught():
    assert ARITY in failures(OfPairs)


class MiscountsElements(Isosceles):
    def ground_size(self, n: int) -> int:
        return n


def test_a_wrong_number_of_elements_is_caught():
    assert failures(MiscountsElements) == {GROUND}


class ClaimsTooLittle(Isosceles):
    def known(self, n: int) -> Known | None:
        return Known(3, "a dream", proved=True)


def test_a_proof_that_search_refutes_is_caught():
    assert failures(ClaimsTooLittle) == {PROVED}


# -------------------------------------------------------------------------- the contract itself


def test_a_size_with_too_many_small_sets_is_refused_with_advice():
    contract = type("Contract", (TestIsosceles,), {"sizes": (40,)})
    with pytest.raises(AssertionError, match="take it out of sizes"):
        contract().test_ground_set_is_sound()


def test_the_contract_needs_no_pytest():
    code = "import sys; sys.modules['pytest'] = None; import pipeline.testing"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)

"""Compiled code comes late, and plain Python says the same where it stands in for it."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from conftest import python_of
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import bitset, jit, permutation_group, symmetry
from pipeline.engine import blocking
from pipeline.plugins import load_problem
from pipeline.problem import Problem, checker
from pipeline.validator import _violation
from problems.grid import square_grid
from problems.isosceles import Isosceles, block

PROBLEMS = [("isosceles", "flat-forbidden"), ("isosceles", "flat-allowed"), ("no-3-in-line", None)]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such variable")
def test_compiled_code_lies_in_the_users_caches_by_version(monkeypatch, tmp_path):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = jit.folder.__wrapped__()
    assert found.is_dir()
    assert found.parent == tmp_path / "extremal-pipeline"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "mine"))
    assert jit.folder.__wrapped__() == tmp_path / "mine" / "extremal-pipeline" / found.name


def test_importing_problems_and_kernels_compiles_nothing():
    code = (
        "import sys, problems.isosceles, problems.no_three_in_line\n"
        "import pipeline.engine.greedy, pipeline.engine.tabu, pipeline.storage.collection\n"
        "assert 'numba' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def without_numba(monkeypatch):
    """What is asked is answered as in a process that has not imported numba."""
    monkeypatch.setattr(jit, "is_loaded", lambda: False)
    monkeypatch.setattr(symmetry, "is_loaded", lambda: False)


@st.composite
def some_sets(draw):
    n = draw(st.integers(1, 7))
    elements = st.integers(0, n * n - 1)
    return n, draw(st.lists(st.sets(elements, max_size=12), min_size=1, max_size=4))


@pytest.mark.parametrize(("name", "convention"), PROBLEMS)
@given(some_sets())
def test_a_checker_finds_the_same_as_plain_python(name, convention, found):
    n, sets = found
    problem = load_problem(name, convention)
    coords = problem.ground(n).coords
    for members in sets:
        points = np.array(sorted(members), np.int32)
        assert (_violation(problem, points, coords) or None) == problem.witness(points, n)


def test_a_few_sets_are_validated_without_compiled_code(without_numba, monkeypatch):
    monkeypatch.setattr(jit, "load", None)  # whatever is compiled now would fail
    problem = Isosceles()
    cells = bitset.from_points([np.array([0, 1]), np.array([0, 1, 2])], 25)
    assert problem.validate(cells, 5).tolist() == [True, False]
    assert problem.witness(np.array([0, 1, 2]), 5) == (0, 1, 2)


@checker
def _by_view(points, size, coords, witness):
    """Find two points in one column, by what arrays of Python's numbers cannot do."""
    flat = coords.view(np.int32).ravel()
    for i in range(size):
        for j in range(i):
            if flat[2 * points[i] + 1] == flat[2 * points[j] + 1]:
                witness[0], witness[1] = points[j], points[i]
                return 2
    return 0


class ByView(Problem):
    name = "by-view"
    arity = 2
    hook = block
    checker = _by_view

    def ground_set(self, n):
        return square_grid(n)

    def ground_size(self, n):
        return n * n


def test_a_checker_that_only_numba_can_run_is_compiled(without_numba):
    cells = bitset.from_points([np.array([0, 1]), np.array([0, 3])], 9)
    assert ByView().validate(cells, 3).tolist() == [True, False]
    assert ByView().witness(np.array([0, 3]), 3) == (0, 3)


@given(some_sets())
def test_symmetries_are_the_same_without_compiled_code(found):
    n, sets = found
    ground = square_grid(n)
    cells = bitset.from_points([np.array(sorted(s), np.int32) for s in sets], ground.m)
    group = np.ascontiguousarray(ground.group)
    least = symmetry._least_images(cells, group)
    assert np.array_equal(symmetry._least_images_in_numpy(cells, group), least)
    index = np.arange(len(cells)) % len(group)
    images = symmetry._images(cells, group, index)
    assert np.array_equal(jit.plain(python_of(symmetry._images))(cells, group, index), images)


def test_subgroups_are_the_same_without_compiled_code(without_numba, monkeypatch):
    group = square_grid(4).group
    compiled = permutation_group._reach
    steps = np.array([group[1], group[4]], np.int32)
    plainly = jit.plain(python_of(compiled))(steps, 1)
    assert np.array_equal(plainly, compiled(steps, 1))


@pytest.mark.parametrize(("name", "convention"), PROBLEMS)
def test_what_points_block_is_the_same_without_compiled_code(name, convention):
    problem = load_problem(name, convention)
    pairs = np.array([[0, 7], [3, 12], [6, 18], [24, 1]], np.int32)
    plainly = list(blocking._plainly(problem, 5, pairs))
    assert plainly == blocking.blocked_by(problem, 5, pairs.tolist())


def test_a_compiled_function_is_told_from_its_options():
    compiled: Any = bitset.row_points
    assert compiled.py_func is compiled.__wrapped__
    row, out = np.array([5, 1], np.uint8), np.zeros(16, np.int64)
    assert bitset.row_points(row, out) == 3
    assert out[:3].tolist() == [0, 2, 8]

"""Rows on several threads: the same as on one."""

import numpy as np
import pytest

from pipeline.core import threads
from pipeline.core.bitset import pack
from pipeline.core.symmetry import canonical
from pipeline.plugins import load_problem


@pytest.fixture
def many(monkeypatch):
    """Four threads for however little work, and the sizes of the parts."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "cores", lambda: 4)
    monkeypatch.setattr(threads, "_STEPS", 1)


def sets(count):
    return pack(np.random.default_rng(1).random((count, 81)) < 0.05)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 301])
def test_what_is_valid_and_what_is_equivalent_is_the_same_on_threads(count, many, monkeypatch):
    problem, cells = load_problem("isosceles"), sets(count)
    valid, forms = problem.validate(cells, 9), canonical(cells, problem.ground(9))
    monkeypatch.setattr(threads, "cores", lambda: 1)
    assert valid.tolist() == problem.validate(cells, 9).tolist()
    assert count < 300 or 0 < valid.sum() < count
    assert (forms == canonical(cells, problem.ground(9))).all()


def test_rows_are_shared_out_in_order_and_little_work_is_not(many, monkeypatch):
    seen = []

    def noted(some):
        seen.append(len(some))
        return some * 2

    rows = np.arange(10)
    assert threads.by_rows(noted, rows, 10).tolist() == (2 * rows).tolist()
    assert sorted(seen) == [2, 2, 3, 3]
    seen.clear()
    threads.by_rows(noted, rows, 1)
    assert seen == [10]
    seen.clear()
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # as a job has it
    threads.by_rows(noted, rows, 10)
    assert seen == [5, 5]


def test_an_error_on_a_thread_reaches_the_caller(many):
    def fails(some):
        if some[0]:
            raise ZeroDivisionError
        return some

    with pytest.raises(ZeroDivisionError):
        threads.by_rows(fails, np.arange(8), 8)

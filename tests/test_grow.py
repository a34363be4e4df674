"""Growth tabu against a naive oracle: what it stores, what it leaves behind, what it reaches."""

from functools import cache
from pathlib import Path

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tabu import (
    CIRCLE,
    FOUR_CYCLE,
    SPHERE,
    Apart,
    parts_of,
    problem_of,
    stream,
    tabu_shard,
)
from test_tabu import PROBLEMS as TRIPLES

from pipeline.brute_force import find_truth
from pipeline.core import bitset
from pipeline.core.symmetry import find_class, invariant
from pipeline.errors import PipelineError
from pipeline.problem import blocking_hook, load_problem
from pipeline.search import kernels
from pipeline.search.grow import Growth, grow
from pipeline.search.pair_tables import with_tables
from pipeline.search.space import make_space, usable_classes
from pipeline.search.tasks import NO_TARGET, run_shard
from problems.isosceles import FLAT_ALLOWED, FLAT_FORBIDDEN

ORACLES = {key: oracle for key, (oracle, *_) in TRIPLES.items()} | {
    (FOUR_CYCLE, "standard"): oracles.no_four_cycle,
    (CIRCLE, "standard"): oracles.no_four_on_a_circle,
    (SPHERE, "standard"): oracles.no_five_on_a_sphere,
}
SIZES = {
    ("isosceles", FLAT_FORBIDDEN): 6,
    ("isosceles", FLAT_ALLOWED): 5,
    ("no-3-in-line", "standard"): 6,
    ("apart", "standard"): 14,
    (FOUR_CYCLE, "standard"): 7,
    (CIRCLE, "standard"): 4,
    (SPHERE, "standard"): 3,
}
#: A problem at one size under a class, and whether on pair tables.
CASES = [
    (*key, n, cls.name, tables)
    for key, n in SIZES.items()
    for cls in usable_classes(problem_of(*key), n)[:6]
    for tables in ((False, True) if key in TRIPLES else (False,))
]
seeds = st.integers(0, 2**64 - 1)


@cache
def truth_of(spec, convention, n):
    valid = ORACLES[spec, convention]
    return find_truth(problem_of(spec, convention), n, lambda _, points: valid(points), seed=1)


@cache
def space_of(spec, convention, n, symmetry, tables):
    problem = problem_of(spec, convention)
    space = make_space(problem, n, find_class(problem.ground(n), symmetry), traps=False)
    if not tables:
        return space, parts_of(space)
    table = with_tables(space, 3)
    assert table is not None
    return table, parts_of(space)


def search(space, parts, seed=1, rows=16, field=None, begin=(), **how):
    """Return (the sets found, bool ``(K, m)``, how many in all, the largest, steps, the state)."""
    sizes = parts.sum(axis=1).astype(np.int32)
    field = np.zeros_like(sizes) if field is None else field.astype(np.int32)
    asked = Growth(stop=NO_TARGET, steps=2000)._replace(**how)
    found = np.zeros((rows, bitset.width(len(sizes))), np.uint8)
    state = kernels.new_state(space)
    for choice in begin:
        kernels.join(space, state, choice)
    stored, largest, steps = grow(space, state, stream(seed), sizes, field, asked, found)
    chosen = bitset.unpack(found[: min(stored, rows)], len(sizes))
    return (chosen.astype(np.int64) @ parts) > 0, stored, largest, steps, state


@settings(max_examples=100)
@given(st.sampled_from(CASES), seeds, st.integers(1, 40), st.integers(0, 300), st.integers(5, 400))
def test_what_is_stored_is_valid_symmetric_and_never_twice_the_same(case, seed, rows, steps, stall):
    space, parts = space_of(*case)
    truth, ground = truth_of(*case[:3]), problem_of(*case[:2]).ground(case[2])
    how = {"steps": steps, "stall": stall}
    found, stored, largest, made, _ = search(space, parts, seed, rows, **how)
    assert made == steps
    assert len(found) == min(stored, rows)
    assert (stored > 0) == (steps > 0)
    assert all(truth.valid(np.flatnonzero(inside)) for inside in found)
    assert len(np.unique(found, axis=0)) == len(found)
    assert invariant(bitset.pack(found), ground, find_class(ground, case[3])).all()
    assert found.sum(axis=1).max(initial=0) == largest


@given(st.sampled_from(CASES), seeds, st.integers(0, 300))
def test_the_set_it_ends_with_is_valid_and_its_counts_are_those_of_brute_force(case, seed, steps):
    space, parts = space_of(*case)
    truth = truth_of(*case[:3])
    *_, state = search(space, parts, seed, steps=steps, stall=50)
    inside = np.logical_or.reduce(parts[state.position >= 0], axis=0)
    assert state.totals[kernels.VIOLATIONS] == truth.violations(inside) == 0
    assert state.totals[kernels.CHOICES] == (state.position >= 0).sum()
    if case[3] == "trivial":
        assert (state.counts[: len(parts)] == truth.counts(inside)[space.elements]).all()
    for choice in np.flatnonzero(state.position < 0):
        brought = kernels.join(space, state, choice)
        assert (brought == 0) == (truth.violations(inside | parts[choice]) == 0)
        kernels.leave(space, state, choice)


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{Path(c[0]).stem}-{c[3]}-{c[4]}")
def test_the_same_rng_gives_the_same_sets(case):
    space, parts = space_of(*case)
    first, again = (search(space, parts, seed=5) for _ in range(2))
    assert first[0].tobytes() == again[0].tobytes()
    assert first[1:4] == again[1:4]


def test_another_rng_gives_other_sets():
    space, parts = space_of("isosceles", FLAT_FORBIDDEN, 9, "trivial", True)
    assert len({search(space, parts, seed)[0].tobytes() for seed in range(10)}) == 10


@pytest.mark.parametrize("tables", [False, True])
@pytest.mark.parametrize("n", range(1, 9))
@pytest.mark.parametrize("spec", ["isosceles", "no-3-in-line"])
def test_small_boards_reach_their_proved_optimum(spec, n, tables):
    problem = load_problem(spec)
    known = problem.known(n)
    assert known is not None
    assert known.proved
    space, parts = space_of(spec, problem.convention, n, "trivial", tables)
    found, _, largest, steps, _ = search(space, parts, steps=200_000, stop=known.value)
    assert largest == known.value == found.sum(axis=1).max()
    assert steps < 200_000


@pytest.mark.parametrize("symmetry", ["trivial", "reflection"])
def test_sixteen_edges_on_ten_vertices_hold_no_4_cycle(symmetry):
    space, parts = space_of(FOUR_CYCLE, "standard", 10, symmetry, False)
    found, _, largest, _, _ = search(space, parts, stop=16, steps=300_000)
    assert largest == 16
    coords = problem_of(FOUR_CYCLE, "standard").ground(10).coords
    assert oracles.no_four_cycle([tuple(e) for e in coords[found[found.sum(1) == 16][0]].tolist()])


@pytest.mark.parametrize(
    ("n", "symmetry", "size", "seed"),
    [(27, "both-mirrors", 48, 1), (32, "both-mirrors", 56, 1), (48, "both-mirrors", 80, 1)],
)
def test_it_reaches_good_sets_without_isosceles_triangles(n, symmetry, size, seed):
    space, parts = space_of("isosceles", FLAT_FORBIDDEN, n, symmetry, True)
    found, _, largest, _, _ = search(space, parts, seed, stop=size, steps=300_000)
    assert largest == size
    problem = load_problem("isosceles")
    assert problem.validate(bitset.pack(found), n).all()
    assert problem.score(bitset.pack(found), n).max() == size


def test_each_larger_set_is_stored_and_then_others_as_large():
    space, parts = space_of("isosceles", FLAT_FORBIDDEN, 9, "trivial", True)
    found, stored, largest, _, _ = search(space, parts, rows=400, stall=100, steps=100_000)
    sizes = found.sum(axis=1)
    assert (np.diff(sizes) >= 0).all()
    assert (sizes[0], sizes[-1], largest) == (1, 16, 16)
    assert set(sizes) == set(range(1, 17))
    assert stored == len(found)
    assert (sizes == 14).sum() > 20
    few, stored, _, _, _ = search(space, parts, rows=3, stall=100, steps=100_000)
    assert (few.sum(axis=1) == 16).all()
    assert len(np.unique(few, axis=0)) == 3 < stored


def test_it_stops_at_the_size_it_is_told():
    space, parts = space_of("no-3-in-line", "standard", 8, "trivial", True)
    found, stored, largest, steps, _ = search(space, parts, stop=10, steps=10**6)
    assert found.sum(axis=1).tolist()[-1] == largest == 10
    assert stored >= 10
    assert steps < 1000


def test_it_goes_on_from_a_set_and_stores_it_where_that_is_valid():
    space, parts = space_of("no-3-in-line", "standard", 8, "trivial", True)
    corners = [0, 7, 56, 63]
    found, stored, largest, _, _ = search(space, parts, begin=corners, steps=0)
    assert (stored, largest) == (1, 4)
    assert np.flatnonzero(found[0]).tolist() == corners
    row = [0, 1, 2, 3, 4]
    found, stored, largest, _, state = search(space, parts, begin=row, steps=0)
    assert (stored, largest) == (0, 0)
    found, _, _, _, state = search(space, parts, begin=row, steps=1)
    assert state.totals[kernels.VIOLATIONS] == 0
    assert len(found) == 1
    assert found[0, :5].sum() <= 2


@pytest.mark.parametrize("tables", [False, True])
def test_a_field_keeps_it_out_of_where_it_forbids_and_steers_until_it_has_faded(tables):
    space, parts = space_of("isosceles", FLAT_FORBIDDEN, 8, "trivial", tables)
    left = np.arange(64) % 8 < 4
    found, *_ = search(space, parts, field=np.where(left, 1 << 27, 0), rows=64)
    assert len(found) > 8
    assert not found[:, left].any()
    assert search(space, parts, field=np.full(64, 1 << 27))[1:4] == (0, 0, 2000)
    # A pull so strong fills the right half before anything else.
    pulled = np.where(left, 0, -1000 * 16)
    found, *_ = search(space, parts, field=pulled, rows=64)
    assert not found[found.sum(axis=1) <= 6][:, left].any()
    found, *_ = search(space, parts, field=pulled, rows=64, fade=1000, steps=20_000)
    assert found[found.sum(axis=1) == 13][:, left].any()


def test_without_a_set_in_reach_it_ends_with_its_steps():
    for n in (1, 2):
        space, parts = space_of("isosceles", FLAT_FORBIDDEN, n, "trivial", False)
        _, _, largest, steps, _ = search(space, parts, steps=500, stall=7)
        assert (largest, steps) == (n, 500)


@pytest.mark.parametrize(
    ("spec", "n", "symmetry"),
    [
        (FOUR_CYCLE, 8, "reflection"),
        (CIRCLE, 6, "order-4-2"),
        (SPHERE, 3, "trivial"),
        ("isosceles", 13, "both-mirrors"),
        ("no-3-in-line", 10, "quarter-turn"),
    ],
)
@pytest.mark.parametrize("table_bytes", [1, 400_000_000])
def test_a_shard_of_any_arity_gives_back_maximal_sets_no_two_equal(spec, n, symmetry, table_bytes):
    problem = load_problem(spec)
    shard = tabu_shard(spec, n, symmetry, "grow", steps=3000, table_bytes=table_bytes)
    cells = run_shard(shard)
    assert len(cells)
    assert problem.validate(cells, n).all()
    again = cells.copy()
    kernels.complete_many(make_space(problem, n), stream(7), again)
    assert (again == cells).all()
    assert run_shard(shard).tobytes() == cells.tobytes()


def test_a_shard_stops_at_its_target():
    cells = run_shard(tabu_shard("isosceles", 32, "both-mirrors", "grow", target=48))
    assert 48 <= load_problem("isosceles").score(cells, 32).max() < 58


@blocking_hook
def _who_is_not_there(v, members, size, inside, slot, counts, delta, coords, tables):
    for u in (v - 1, v + 1):
        if 0 <= u < len(inside) and (delta < 0 or inside[u] == 0):
            counts[slot[u]] += delta


class Forgetful(Apart):
    """No two neighbours; a hook that never tells a member that it has come to stand beside one."""

    name = "forgetful"
    hook = _who_is_not_there


def test_a_hook_that_contradicts_itself_is_told_and_does_not_hang():
    space = make_space(Forgetful(), 9)
    with pytest.raises(PipelineError, match="the problem's hook counts wrongly"):
        search(space, parts_of(space))

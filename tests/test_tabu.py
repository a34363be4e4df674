"""Search at a fixed size: pair tables against brute force, masks and traps, what tabu finds."""

from dataclasses import replace
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.brute_force import find_truth
from pipeline.core import bitset, streams
from pipeline.core.ground_set import GroundSet
from pipeline.core.symmetry import find_class, invariant, orbits
from pipeline.engine.greedy import complete_many, greedy_many, repair
from pipeline.engine.pair_tables import MOST_CHOICES, tables_fit, with_tables
from pipeline.engine.space import make_space, usable_classes
from pipeline.engine.state import CHOICES, VIOLATIONS, State, join, leave, new_state
from pipeline.engine.tabu import Tabu, climb_many, tabu
from pipeline.engine.tabu_list import SCALE
from pipeline.engine.tasks import NO_TARGET, Task, run_task
from pipeline.engine.weights import make_weights
from pipeline.errors import UsageError
from pipeline.plugins import load_problem
from pipeline.problem import Problem, blocking_hook
from problems.isosceles import FLAT_ALLOWED, FLAT_FORBIDDEN

PLUGINS = Path(__file__).parent / "plugins"
FOUR_CYCLE = f"{PLUGINS / 'four_cycle_free.py'}:FourCycleFree"
CIRCLE = f"{PLUGINS / 'no_four_on_a_circle.py'}:NoFourOnACircle"
SPHERE = f"{PLUGINS / 'no_five_on_a_sphere.py'}:NoFiveOnASphere"


@blocking_hook
def _neighbours_and_progressions(v, members, size, inside, slot, counts, delta, coords, tables):
    m = len(inside)
    for u in (v - 1, v + 1):
        if 0 <= u < m:
            counts[slot[u]] += delta
    for i in range(size):
        w = members[i]
        step = abs(w - v)
        if step >= 2:
            for u in (2 * v - w, 2 * w - v):
                if 0 <= u < m:
                    counts[slot[u]] += delta
        if step >= 4 and step % 2 == 0:
            counts[slot[(v + w) // 2]] += delta


class Apart(Problem):
    """Numbers 0..n-1, no two neighbours, no three evenly spaced: configurations of two sizes."""

    name = "apart"
    arity = 3
    hook = _neighbours_and_progressions

    def ground_set(self, n: int) -> GroundSet:
        """Return the numbers in a row, and its reflection."""
        row = np.arange(n, dtype=np.int32)
        return GroundSet(n, row[:, None], np.stack([row, row[::-1]]), {"reflection": (1,)})

    def ground_size(self, n: int) -> int:
        """Return n."""
        return n


def apart(points):
    values = sorted(value for (value,) in points)
    return not any(b == a + 1 for a, b in combinations(values, 2)) and not any(
        a + c == 2 * b for a, b, c in combinations(values, 3)
    )


# (spec, convention): the oracle, the sizes to look at, widths of bands (0: no mask).
PROBLEMS = {
    ("isosceles", FLAT_FORBIDDEN): (oracles.no_isosceles, (1, 2, 5, 6, 7), (0, 1, 2)),
    ("isosceles", FLAT_ALLOWED): (oracles.no_isosceles_but_flat, (4, 5, 6), (0, 1, 2)),
    ("no-3-in-line", "standard"): (oracles.no_three_in_line, (3, 6, 7), (0, 1, 2)),
    ("apart", "standard"): (apart, (2, 9, 14, 30), (0, 5)),
}


@cache
def problem_of(spec, convention):
    return Apart() if spec == "apart" else load_problem(spec, convention)


@cache
def truth_of(spec, convention, n):
    valid = PROBLEMS[spec, convention][0]
    return find_truth(problem_of(spec, convention), n, lambda _, points: valid(points), seed=1)


def mask_of(ground, band):
    return oracles.border_band(ground.coords, band) if band else None


@cache
def walked_space(spec, convention, n, symmetry, band):
    problem = problem_of(spec, convention)
    ground = problem.ground(n)
    return make_space(problem, n, find_class(ground, symmetry), mask_of(ground, band))


@cache
def table_space(case):
    table = with_tables(walked_space(*case), 3)
    assert table is not None
    return table


def fits(spec, convention, n, symmetry, band):
    """Tell whether a class leaves anything to choose within a band that cuts."""
    ground = problem_of(spec, convention).ground(n)
    if band and oracles.border_band(ground.coords, band).all():
        return False
    try:
        walked_space(spec, convention, n, symmetry, band)
    except UsageError:
        return False
    return True


CASES = [
    (*key, n, cls.name, band)
    for key, (_, sizes, bands) in PROBLEMS.items()
    for n in sizes
    for cls in usable_classes(problem_of(*key), n)
    for band in bands
    if fits(*key, n, cls.name, band)
]
PLAIN = [case for case in CASES if case[3] == "trivial"]

cases = st.sampled_from(CASES)
walks = st.lists(st.integers(0, 10**6), max_size=25)
seeds = st.integers(0, 2**64 - 1)


def parts_of(space):
    """Return bool ``(M, m)``: the elements of each choice of a space over elements."""
    parts = np.zeros((len(space.start) - 1, len(space.coords)), bool)
    parts[np.repeat(np.arange(len(parts)), np.diff(space.start)), space.elements] = True
    return parts


def walk(space, picks):
    """Return the state after each choice named has joined, or left where it was there."""
    state = new_state(space)
    for pick in picks:
        choice = pick % (len(space.start) - 1)
        (join if state.position[choice] < 0 else leave)(space, state, choice)
    return state


def held_by(state: State, parts: np.ndarray) -> np.ndarray:
    """Return bool ``(m,)``: the elements of a state's choices."""
    return np.logical_or.reduce(parts[state.position >= 0], axis=0)


def stream(seed):
    return np.array([seed], np.uint64)


# -------------------------------------------------------------------------------- pair tables


@given(cases, walks)
def test_tables_tell_the_sets_without_violations_as_brute_force_does(case, picks):
    space, table = walked_space(*case), table_space(case)
    state = walk(table, picks)
    found = truth_of(*case[:3]).violations(held_by(state, parts_of(space)))
    assert (state.totals[VIOLATIONS] == 0) == (found == 0)


@given(cases, walks, seeds)
def test_a_count_is_zero_just_for_choices_that_a_valid_set_can_take(case, picks, seed):
    space, table, truth = walked_space(*case), table_space(case), truth_of(*case[:3])
    parts = parts_of(space)
    state = walk(table, picks)
    repair(table, state, stream(seed))
    inside = held_by(state, parts)
    assert truth.violations(inside) == 0
    for choice in np.flatnonzero(state.position < 0):
        assert state.pair_conflicts[choice] == 0
        brings = truth.violations(inside | parts[choice])
        assert (state.counts[choice] == 0) == (brings == 0)


@given(st.sampled_from(PLAIN), walks)
def test_without_symmetry_tables_count_what_the_hook_and_brute_force_count(case, picks):
    space, table, truth = walked_space(*case), table_space(case), truth_of(*case[:3])
    by_hook, by_table = walk(space, picks), walk(table, picks)
    choices = len(space.start) - 1
    counts = by_table.counts[:choices]
    assert (counts == by_hook.counts[:choices]).all()
    inside = held_by(by_table, parts_of(space))
    assert (counts == truth.counts(inside)[space.elements]).all()
    assert by_table.totals[VIOLATIONS] == by_hook.totals[VIOLATIONS]
    assert by_table.totals[VIOLATIONS] == truth.violations(inside)


@given(cases, walks, st.randoms(use_true_random=False))
def test_counts_are_zero_again_when_everything_has_left(case, picks, random):
    table = table_space(case)
    state = walk(table, picks)
    here = state.chosen[: state.totals[CHOICES]].tolist()
    random.shuffle(here)
    for choice in here:
        leave(table, state, choice)
    assert not state.counts[: len(table.start) - 1].any()
    assert not state.totals.any()


@given(cases, walks)
def test_the_violations_that_come_with_a_choice_go_with_it(case, picks):
    table = table_space(case)
    state = walk(table, picks)
    for choice in range(min(len(table.start) - 1, 12)):
        before = state.counts.copy()
        there = state.position[choice] >= 0
        first, second = (leave, join) if there else (join, leave)
        assert first(table, state, choice) == second(table, state, choice)
        assert (state.counts == before).all()


def test_tables_that_would_not_fit_are_not_made():
    space = walked_space("isosceles", FLAT_FORBIDDEN, 7, "trivial", 0)
    needed = sum(
        table.nbytes for table in table_space(("isosceles", FLAT_FORBIDDEN, 7, "trivial", 0)).tables
    )
    for limit in (0, 4 * 49 * 49, 5 * 49 * 49 + 100, needed // 2):
        assert with_tables(space, 3, limit) is None
    assert with_tables(space, 3, 4 * needed) is not None


@pytest.mark.parametrize(
    "case", [c for c in CASES if c[2] > 5], ids=lambda c: "-".join(map(str, c))
)
def test_whether_tables_fit_is_told_without_making_them(case):
    space = walked_space(*case)
    needed = sum(table.nbytes for table in table_space(case).tables[:2])
    for limit, fits_ in [(needed // 3, False), (3 * needed + 20_000, True)]:
        assert tables_fit(space, limit) == fits_
        assert (with_tables(space, 3, limit) is not None) == fits_


def test_what_tables_cannot_name_does_not_fit():
    space = walked_space("isosceles", FLAT_FORBIDDEN, 5, "trivial", 0)
    many = space._replace(start=np.arange(MOST_CHOICES + 2, dtype=np.int32))
    assert not tables_fit(many, 2**62)


def test_tables_of_more_choices_than_16_bits_can_name_are_not_made():
    space = walked_space("isosceles", FLAT_FORBIDDEN, 5, "trivial", 0)
    many = space._replace(start=np.arange(MOST_CHOICES + 2, dtype=np.int32))
    assert MOST_CHOICES == 65_535
    assert with_tables(many, 3, 2**62) is None


def test_orbits_of_larger_configurations_have_no_tables():
    problem = load_problem(FOUR_CYCLE)
    space = make_space(problem, 8, find_class(problem.ground(8), "reflection"))
    assert not space.exact
    assert with_tables(space, 4) is None


# ----------------------------------------------------------------------------- masks and traps


@pytest.mark.parametrize("case", [c for c in CASES if c[4]], ids=lambda c: "-".join(map(str, c)))
def test_choices_within_a_mask_are_the_usable_orbits_that_lie_in_it(case):
    ground = problem_of(*case[:2]).ground(case[2])
    mask = mask_of(ground, case[4])
    every = parts_of(walked_space(*case[:4], 0))
    within = parts_of(walked_space(*case))
    expected = every[(every <= mask).all(axis=1)]
    assert np.array_equal(within, expected)


def test_a_mask_that_holds_no_whole_orbit_is_refused_in_one_line():
    problem = load_problem("isosceles")
    ground = problem.ground(6)
    mask = np.zeros(36, bool)
    mask[:18] = True
    vertical = find_class(ground, "half-turn")
    for none in (mask, np.zeros(36, bool)):
        with pytest.raises(UsageError, match="'half-turn' lies within the mask; widen it") as told:
            make_space(problem, 6, vertical, none)
        assert "\n" not in str(told.value)
    assert len(make_space(problem, 6, None, mask).start) == 19


@pytest.mark.parametrize("n", [15, 21, 27])
def test_both_mirrors_of_an_odd_board_go_without_the_cells_on_its_axes(n):
    problem = load_problem("isosceles")
    ground = problem.ground(n)
    both = find_class(ground, "both-mirrors")
    all_of_them = parts_of(make_space(problem, n, both))
    fewer = parts_of(make_space(problem, n, both, traps=False))
    axes = (ground.coords == n // 2).any(axis=1)
    assert all_of_them[:, axes].any()
    assert np.array_equal(fewer, all_of_them[~all_of_them[:, axes].any(axis=1)])


def test_traps_that_are_no_minority_are_kept():
    problem = load_problem("isosceles")
    both = find_class(problem.ground(9), "both-mirrors")
    every = make_space(problem, 9, both)
    assert np.array_equal(parts_of(make_space(problem, 9, both, traps=False)), parts_of(every))
    # Most of them are in conflict with more than half of the others.
    trapped = 2 * np.diff(every.pair_start) > len(every.key) - 1
    assert 2 * trapped.sum() >= len(every.key)


@pytest.mark.parametrize(
    "case", [c for c in CASES if c[2] > 2], ids=lambda c: "-".join(map(str, c))
)
def test_a_trap_is_an_orbit_at_odds_with_more_than_half_of_the_others(case):
    spec, convention, n, symmetry, band = case
    problem = problem_of(spec, convention)
    ground = problem.ground(n)
    every = parts_of(walked_space(*case))
    found = make_space(problem, n, find_class(ground, symmetry), mask_of(ground, band), traps=False)
    three = truth_of(spec, convention, n).forbidden
    three = three[(three < ground.m).all(axis=1)]
    # A configuration in two orbits has two elements in the one and one in the other.
    held = every[:, three].sum(axis=2)
    at_odds = np.zeros((len(every), len(every)), bool)
    for column in held.T:
        there = np.flatnonzero(column)
        if column.sum() == 3 and len(there) == 2:
            at_odds[there[0], there[1]] = at_odds[there[1], there[0]] = True
    trapped = at_odds.sum(axis=1) > (len(every) - 1) / 2
    expected = every[~trapped] if 2 * trapped.sum() < len(every) else every
    assert np.array_equal(parts_of(found), expected)


# --------------------------------------------------------------------------------------- tabu


@cache
def searched_space(spec, convention, n, symmetry, tables):
    problem = problem_of(spec, convention)
    space = make_space(problem, n, find_class(problem.ground(n), symmetry), traps=False)
    if not tables:
        return space, parts_of(space)
    table = with_tables(space, 3)
    assert table is not None
    return table, parts_of(space)


def search(space, parts, seed=1, rows=16, weights=None, **how):
    """Return (the sets found as bool ``(K, m)``, how many in all, the largest, the steps)."""
    sizes = parts.sum(axis=1).astype(np.int32)
    weights = np.zeros_like(sizes) if weights is None else weights.astype(np.int32)
    asked = Tabu(goal=1, stop=NO_TARGET, steps=3000)._replace(**how)
    found = np.zeros((rows, bitset.width(len(sizes))), np.uint8)
    state = new_state(space)
    stored, largest, steps = tabu(space, state, stream(seed), sizes, weights, asked, found)
    chosen = bitset.unpack(found[: min(stored, rows)], len(sizes))
    return (chosen.astype(np.int64) @ parts) > 0, stored, largest, steps


# A space to search: a problem at one size under a class, and whether on tables.
SEARCHED = [
    (*key, n, cls, tables)
    for key, n, classes in [
        (("isosceles", FLAT_FORBIDDEN), 8, ("trivial", "mirror", "both-mirrors")),
        (("isosceles", FLAT_ALLOWED), 7, ("trivial", "diagonal")),
        (("no-3-in-line", "standard"), 8, ("trivial", "half-turn", "quarter-turn")),
        (("apart", "standard"), 30, ("trivial", "reflection")),
        ((FOUR_CYCLE, "standard"), 8, ("trivial", "reflection", "rotation")),
    ]
    for cls in classes
    for tables in ((False, True) if key[0] != FOUR_CYCLE else (False,))
]
VALID = {key: oracle for key, (oracle, *_) in PROBLEMS.items()} | {
    (FOUR_CYCLE, "standard"): oracles.no_four_cycle
}


def usable(case):
    names = [cls.name for cls in usable_classes(problem_of(*case[:2]), case[2])]
    return case[3] in names


SEARCHED = [case for case in SEARCHED if usable(case)]


def is_valid(case, inside):
    coords = problem_of(*case[:2]).ground(case[2]).coords
    return VALID[case[:2]]([tuple(row) for row in coords[inside].tolist()])


@settings(max_examples=60)
@given(st.sampled_from(SEARCHED), seeds, st.integers(1, 30), st.booleans())
def test_what_tabu_stores_is_valid_symmetric_and_no_larger_than_it_says(case, seed, goal, many):
    space, parts = searched_space(*case)
    how = {"goal": goal, "enumerate": many, "steps": 1500, "stall": 100}
    found, stored, largest, steps = search(space, parts, seed, rows=6, **how)
    assert steps == 1500
    assert len(found) == min(stored, 6)
    assert stored or goal > 3
    assert found.sum(axis=1).max(initial=0) <= largest <= found.shape[1]
    ground = problem_of(*case[:2]).ground(case[2])
    assert invariant(bitset.pack(found), ground, find_class(ground, case[3])).all()
    assert all(is_valid(case, inside) for inside in found)


@pytest.mark.parametrize("tables", [False, True])
def test_the_sizes_asked_for_are_the_sizes_stored(tables):
    space, parts = searched_space("isosceles", FLAT_FORBIDDEN, 9, "trivial", tables)
    found, stored, largest, _ = search(space, parts, goal=9, enumerate=True)
    assert stored >= len(found) == 16
    assert (found.sum(axis=1) == 9).all()
    assert largest == 9
    found, stored, largest, steps = search(space, parts, goal=9, stop=12, steps=10**6)
    assert found.sum(axis=1).tolist() == [9, 10, 11, 12]
    assert (stored, largest) == (4, 12)
    assert steps < 10**6


def test_tabu_goes_on_from_the_set_it_is_given():
    space, parts = searched_space("no-3-in-line", "standard", 8, "trivial", True)
    sizes = np.ones(len(parts), np.int32)
    state = new_state(space)
    corners = [0, 7, 56, 63]
    for choice in corners:
        join(space, state, choice)
    found = np.zeros((2, 8), np.uint8)
    how = Tabu(goal=4, stop=5, steps=100)
    stored, largest, _ = tabu(space, state, stream(1), sizes, np.zeros_like(sizes), how, found)
    assert (stored, largest) == (2, 5)
    first, second = bitset.unpack(found, 64)
    assert np.flatnonzero(first).tolist() == corners
    assert second.sum() == 5
    assert second[corners].all()


@pytest.mark.parametrize("case", SEARCHED, ids=lambda c: f"{Path(c[0]).stem}-{c[3]}-{c[4]}")
def test_the_same_rng_gives_the_same_sets(case):
    space, parts = searched_space(*case)
    first = search(space, parts, seed=5, goal=3)
    again = search(space, parts, seed=5, goal=3)
    assert first[0].tobytes() == again[0].tobytes()
    assert first[1:] == again[1:]


def test_another_rng_gives_other_sets():
    space, parts = searched_space("isosceles", FLAT_FORBIDDEN, 9, "trivial", True)
    made = {search(space, parts, seed, goal=9)[0].tobytes() for seed in range(10)}
    assert len(made) == 10


@pytest.mark.parametrize("tables", [False, True])
def test_enumeration_finds_many_distinct_sets_of_one_size(tables):
    space, parts = searched_space("isosceles", FLAT_FORBIDDEN, 9, "mirror", tables)
    how = {"goal": 14, "enumerate": True, "steps": 20_000}
    found, stored, _, _ = search(space, parts, rows=64, **how)
    assert stored >= 64
    assert set(found.sum(axis=1).tolist()) <= {14, 15}
    assert len(np.unique(found, axis=0)) >= 16


@pytest.mark.parametrize("tables", [False, True])
@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("spec", ["isosceles", "no-3-in-line"])
def test_a_goal_beyond_what_exists_ends_with_the_steps(spec, n, many, tables):
    problem = load_problem(spec)
    for cls in usable_classes(problem, n):
        space, parts = searched_space(spec, problem.convention, n, cls.name, tables)
        for goal in (1, n * n, 1000):
            how = {"goal": goal, "enumerate": many, "steps": 500, "stall": 7}
            found, _, largest, steps = search(space, parts, **how)
            assert steps == 500
            known = problem.known(n)
            assert known is not None
            assert largest <= known.value
            if cls.order == 1 and (goal == 1 or n == 1) and not many:
                assert largest == known.value
            assert problem.validate(bitset.pack(found), n).all()


@pytest.mark.parametrize("tables", [False, True])
def test_nothing_is_found_where_the_field_forbids_everything(tables):
    space, parts = searched_space("isosceles", FLAT_FORBIDDEN, 8, "trivial", tables)
    field = np.full(64, 1 << 27)
    assert search(space, parts, weights=field)[1:] == (0, 0, 3000)


@pytest.mark.parametrize("tables", [False, True])
def test_no_steps_find_nothing(tables):
    space, parts = searched_space("isosceles", FLAT_FORBIDDEN, 8, "trivial", tables)
    assert search(space, parts, steps=0)[1:] == (0, 0, 0)


# -------------------------------------------------------------------------------------- fields


def used(found: np.ndarray) -> np.ndarray:
    return np.logical_or.reduce(found, axis=0)


@pytest.mark.parametrize("tables", [False, True])
def test_a_field_keeps_a_search_out_of_where_it_forbids_or_repels(tables):
    space, parts = searched_space("isosceles", FLAT_FORBIDDEN, 8, "trivial", tables)
    left = np.arange(64) % 8 < 4
    forbidding = np.where(left, 1 << 27, 0)
    assert not used(search(space, parts, weights=forbidding)[0])[left].any()
    repelling = np.where(left, 1000 * SCALE, 0)
    how = {"goal": 5, "enumerate": True}
    assert not used(search(space, parts, weights=repelling, **how)[0])[left].any()
    attracting = np.where(left, 0, -1000 * SCALE)
    assert not used(search(space, parts, weights=attracting, **how)[0])[left].any()
    assert used(search(space, parts, **how)[0])[left].any()


def test_a_field_that_has_faded_steers_nothing_any_more():
    space, parts = searched_space("isosceles", FLAT_FORBIDDEN, 8, "trivial", True)
    left = np.arange(64) % 8 < 4
    repelling = np.where(left, 1000 * SCALE, 0)
    how = {"goal": 5, "enumerate": True, "steps": 20_000, "rows": 2000}
    lasting, stored, _, _ = search(space, parts, weights=repelling, **how)
    assert not used(lasting)[left].any()
    fading, stored, _, _ = search(space, parts, weights=repelling, fade=2000, **how)
    late = np.roll(fading, -(stored % 2000), axis=0)[-1000:]
    assert abs(late[:, left].mean() / late.mean() - 1) < 0.1
    early, _, _, _ = search(space, parts, weights=repelling, fade=2000, **how | {"steps": 1500})
    assert not used(early)[left].any()


# ------------------------------------------------------------------------------------- reaches


@pytest.mark.parametrize(
    ("n", "symmetry", "goal", "size", "seed"),
    [
        (27, "both-mirrors", 40, 48, 2),
        (32, "both-mirrors", 46, 56, 1),
        (48, "both-mirrors", 70, 84, 3),
        (31, "mirror", 46, 54, 1),
    ],
)
def test_tabu_reaches_the_best_known_sets_without_isosceles_triangles(
    n, symmetry, goal, size, seed
):
    space, parts = searched_space("isosceles", FLAT_FORBIDDEN, n, symmetry, True)
    found, _, largest, _ = search(space, parts, seed, goal=goal, stop=size, steps=300_000)
    assert largest == size
    problem = load_problem("isosceles")
    cells = bitset.pack(found)
    assert problem.validate(cells, n).all()
    assert problem.score(cells, n).max() == size
    inside = found[found.sum(axis=1).argmax()]
    assert oracles.no_isosceles([tuple(row) for row in problem.ground(n).coords[inside].tolist()])


@pytest.mark.parametrize("symmetry", ["trivial", "reflection"])
def test_tabu_reaches_sixteen_edges_on_ten_vertices_without_a_4_cycle(symmetry):
    case = (FOUR_CYCLE, "standard", 10, symmetry, False)
    space, parts = searched_space(*case)
    found, _, largest, _ = search(space, parts, goal=10, stop=16, steps=200_000)
    assert largest == 16
    assert all(is_valid(case, inside) for inside in found)


# -------------------------------------------------------------------------------------- shards


def tabu_task(spec, n, symmetry, method="tabu", rows=8, steps=20_000, **options):
    cells = np.zeros((rows, bitset.width(load_problem(spec).ground_size(n))), np.uint8)
    rng = streams.state(1, 0, "search")
    return Task(spec, "", n, symmetry, method, cells, rng, steps, **options)


@pytest.mark.parametrize("method", ["tabu", "enumerate"])
@pytest.mark.parametrize(
    ("spec", "n", "symmetry", "restricted"),
    [
        ("isosceles", 13, "both-mirrors", False),
        ("isosceles", 13, "mirror", True),
        ("no-3-in-line", 10, "half-turn", False),
        (FOUR_CYCLE, 8, "reflection", False),
        (FOUR_CYCLE, 8, "trivial", False),
    ],
)
def test_what_a_tabu_task_gives_back_is_maximal_and_the_same_each_time(
    spec, n, symmetry, restricted, method
):
    problem = load_problem(spec)
    weights = make_weights("border" if restricted else "", problem.ground(n), {})
    how = {"goal": 5, "restricted": restricted, "weights": weights, "steps": 3000}
    task = tabu_task(spec, n, symmetry, method, **how)
    cells = run_task(task)
    assert len(cells)
    assert problem.validate(cells, n).all()
    again = cells.copy()
    complete_many(make_space(problem, n), stream(7), again)
    assert (again == cells).all()
    assert run_task(task).tobytes() == cells.tobytes()


def test_a_restricted_tabu_task_stops_at_its_target_and_keeps_to_the_border():
    weights = make_weights("border", load_problem("isosceles").ground(32), {})
    how = {"goal": 40, "target": 52, "restricted": True, "weights": weights}
    cells = run_task(tabu_task("isosceles", 32, "both-mirrors", **how))
    score = load_problem("isosceles").score(cells, 32)
    assert 52 <= score.max() < 58
    ground = load_problem("isosceles").ground(32)
    of = orbits(ground, find_class(ground, "both-mirrors")).of
    inside = bitset.unpack(cells, ground.m)[score.argmax()]
    whole = np.bincount(of[inside], minlength=of.max() + 1) == np.bincount(of)
    in_orbits = whole[of] & inside
    assert oracles.border_band(ground.coords, 8)[in_orbits].mean() > 0.9


def test_a_tabu_task_that_finds_nothing_gives_nothing_back():
    cells = run_task(tabu_task("isosceles", 9, "mirror", steps=0))
    assert cells.shape == (0, bitset.width(81))


@pytest.mark.parametrize("method", ["tabu", "enumerate"])
def test_a_tabu_task_without_room_for_tables_finds_sets_as_good(method):
    task = tabu_task("isosceles", 12, "both-mirrors", method, goal=14, rows=64)
    problem = load_problem("isosceles")
    found = [run_task(task), run_task(replace(task, table_bytes=1))]
    assert all(problem.validate(cells, 12).all() for cells in found)
    tops = [int(problem.score(cells, 12).max()) for cells in found]
    assert min(tops) >= 18


# --------------------------------------------------------------------------------------- climb


CLIMBED = [
    ("isosceles", 10, "trivial"),
    ("isosceles", 11, "mirror"),
    ("isosceles", 11, "both-mirrors"),
    ("no-3-in-line", 8, "half-turn"),
    (FOUR_CYCLE, 8, "trivial"),
    (FOUR_CYCLE, 8, "reflection"),
    (CIRCLE, 6, "trivial"),
    (CIRCLE, 6, "order-2-1"),
    (CIRCLE, 6, "order-4-2"),
    (SPHERE, 3, "trivial"),
    (SPHERE, 3, "order-2-1"),
]


def starts_of(spec, n):
    """Return sets that are invalid, empty, full, and valid: packed."""
    m = load_problem(spec).ground_size(n)
    density = np.array([[0.0], [0.05], [0.2], [0.5], [1.0]])
    drawn = bitset.pack(np.random.default_rng(1).random((5, m)) < density)
    greedy = np.zeros((3, bitset.width(m)), np.uint8)
    greedy_many(make_space(load_problem(spec), n), stream(1), greedy)
    return np.concatenate([drawn, greedy])


@pytest.mark.parametrize("steps", [0, 2000])
@pytest.mark.parametrize("case", CLIMBED, ids=lambda c: f"{Path(c[0]).stem}-{c[1]}-{c[2]}")
def test_a_climb_is_never_smaller_than_its_start_filled_up_and_is_maximal(case, steps):
    spec, n, symmetry = case
    problem = load_problem(spec)
    assert symmetry in {cls.name for cls in usable_classes(problem, n)}
    task = replace(tabu_task(spec, n, symmetry, "climb", steps=steps), cells=starts_of(spec, n))
    cells = run_task(task)
    assert cells.shape == task.cells.shape
    assert problem.validate(cells, n).all()
    filled_up = run_task(replace(task, method="complete"))
    assert (bitset.popcounts(cells) >= bitset.popcounts(filled_up)).all()
    again = cells.copy()
    complete_many(make_space(problem, n), stream(7), again)
    assert (again == cells).all()
    assert run_task(task).tobytes() == cells.tobytes()
    assert (task.cells == starts_of(spec, n)).all()


def test_a_climb_keeps_a_start_whose_orbits_it_goes_without():
    # The middle column of an odd board under its mirror: single cells, at odds with most others.
    problem = load_problem("isosceles")
    ground = problem.ground(11)
    space = make_space(problem, 11, find_class(ground, "mirror"), traps=False)
    assert not np.isin(np.flatnonzero(ground.coords[:, 1] == 5), space.elements).any()
    start = np.zeros((1, 121), bool)
    start[0, [5, 5 + 11]] = True
    task = tabu_task("isosceles", 11, "mirror", "climb", steps=0)
    cells = run_task(replace(task, cells=bitset.pack(start)))
    filled_up = run_task(replace(task, cells=bitset.pack(start), method="complete"))
    assert bitset.popcounts(cells) >= bitset.popcounts(filled_up)


def test_climbing_finds_larger_sets_than_filling_up():
    starts = starts_of("isosceles", 16)[[0] * 24]
    task = replace(tabu_task("isosceles", 16, "trivial", "climb", steps=5000), cells=starts)
    climbed = bitset.popcounts(run_task(task))
    filled_up = bitset.popcounts(run_task(replace(task, method="complete")))
    assert climbed.mean() >= filled_up.mean() + 3
    assert climbed.max() >= 26


@pytest.mark.parametrize("tables", [False, True])
def test_sets_that_climb_are_valid_unions_of_choices_and_never_shrink(tables):
    space, parts = searched_space("isosceles", FLAT_FORBIDDEN, 8, "mirror", tables)
    sizes = parts.sum(axis=1).astype(np.int32)
    sets = np.zeros((6, bitset.width(len(sizes))), np.uint8)
    before = sets.copy()
    climb_many(space, stream(1), sizes, 0, sets)
    assert (sets == before).all()
    for steps in (50, 500, 5000):
        climb_many(space, stream(steps), sizes, steps, sets)
        chosen = bitset.unpack(sets, len(sizes))
        inside = (chosen.astype(np.int64) @ parts) > 0
        assert all(is_valid(("isosceles", FLAT_FORBIDDEN, 8), row) for row in inside)
        grown = chosen @ sizes
        assert (grown >= bitset.unpack(before, len(sizes)) @ sizes).all()
        before = sets.copy()
    assert grown.max() >= 12

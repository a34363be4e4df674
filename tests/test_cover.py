"""Exact cover: against everything there is at small n, and up to 2n points at larger."""

from itertools import combinations

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import bitset
from pipeline.core.bitset import first_of_each
from pipeline.core.ground_set import GroundSet
from pipeline.core.symmetry import canonical, find_class, invariant, symmetry_classes
from pipeline.engine.exact_cover import cover, cover_all
from pipeline.engine.exact_cover_tables import cover_tables
from pipeline.errors import UsageError
from pipeline.plugins import load_problem
from pipeline.problem import DegreeConstraints, Problem, blocking_hook, checker
from problems.grid import square_grid
from problems.no_three_in_line import NoThreeInLine

MIXED = "quarter-turn/both-diagonals"
LINES = load_problem("no-3-in-line")
# n; full sets of no-3-in-line, all and up to symmetry: OEIS A000755 and A000769.
SOLUTIONS = [(2, 1, 1), (3, 2, 1), (4, 11, 4), (5, 32, 5), (6, 50, 11), (7, 132, 22)]
SOLUTIONS += [(8, 380, 57), (9, 368, 51), (10, 1135, 156)]


def rng_of(seed):
    return np.array([seed], np.uint64)


def sets(cells):
    return {row.tobytes() for row in cells}


def all_with(symmetry, n):
    """Return what there is with a symmetry; nothing where that is proved beforehand."""
    try:
        found = cover_all(LINES, n, symmetry)
    except UsageError:
        return set()
    assert found.complete
    return sets(found.cells)


# ------------------------------------------------------------------------------ everything there is


@pytest.mark.parametrize(("n", "every", "distinct"), SOLUTIONS)
def test_every_full_set_without_three_in_line_is_found_once(n, every, distinct):
    found = cover_all(LINES, n)
    assert found.complete
    assert len(found.cells) == len(sets(found.cells)) == every
    assert LINES.validate(found.cells, n).all()
    assert (LINES.score(found.cells, n) == 2 * n).all()
    assert len(first_of_each(canonical(found.cells, LINES.ground(n)))) == distinct


@pytest.mark.parametrize("n", range(2, 9))
def test_under_a_symmetry_the_sets_are_those_of_all_that_have_it(n):
    ground, every = LINES.ground(n), cover_all(LINES, n).cells
    for cls in symmetry_classes(ground):
        assert all_with(cls.name, n) == sets(every[invariant(every, ground, cls)])


@pytest.mark.parametrize("n", [3, 5, 7, 9])
def test_quarter_turns_off_the_diagonals_are_all_found_at_odd_n(n):
    ground, every = LINES.ground(n), cover_all(LINES, n).cells
    row, column = ground.coords.T
    diagonal = (row == column) | (row + column == n - 1)
    off = bitset.pack(bitset.unpack(every, n * n) & ~diagonal)
    symmetric = invariant(every, ground, find_class(ground, "half-turn"))
    symmetric &= invariant(off, ground, find_class(ground, "quarter-turn"))
    assert all_with(MIXED, n) == sets(every[symmetric])


def test_the_sets_of_odd_n_are_there_to_be_compared():
    assert sum(len(all_with(MIXED, n)) for n in (3, 5, 7, 9)) > 0


# ---------------------------------------------------------------------------- what excludes what


def allowed(work, row):
    """Return the choices whose bits are set; of a choice either all are or none."""
    held = np.unpackbits(row.astype("<u8").view(np.uint8), bitorder="little") == 1
    choice = work.choice.ravel()
    some, others = set(choice[held].tolist()), set(choice[~held].tolist())
    assert -1 not in some
    assert not some & others
    return sorted(some)


def counted(work):
    """Return int (M, C): how often each choice counts in each class."""
    parts = np.zeros((len(work.allow), len(work.need)), int)
    owner = np.repeat(np.arange(len(parts)), np.diff(work.part_start))
    np.add.at(parts, (owner, work.part_class), work.part_size)
    return parts


@pytest.mark.parametrize("symmetry", ["trivial", "mirror", "half-turn", "quarter-turn", MIXED])
@pytest.mark.parametrize("n", [4, 5, 6, 7])
def test_tables_say_which_choices_are_forbidden_together(n, symmetry):
    try:
        work = cover_tables(LINES, n, symmetry)
    except UsageError:
        pytest.skip("no set has this symmetry")
    coords = [tuple(row) for row in LINES.ground(n).coords.tolist()]
    choices = np.split(work.elements, work.start[1:-1])
    assert sum(map(len, choices)) == len(set(work.elements.tolist()))

    def fit(*some):
        return oracles.no_three_in_line([coords[v] for i in some for v in choices[i]])

    for a, b in combinations(range(len(choices)), 2):
        if not fit(a, b):
            assert not work.allow[a, b].any()
            continue
        assert (work.allow[a, b] == work.allow[b, a]).all()
        others = [c for c in range(len(choices)) if c not in (a, b)]
        every = [c for c in others if fit(a, c) and fit(b, c) and fit(a, b, c)]
        assert allowed(work, work.allow[a, b]) == every
    for a in range(len(choices)):
        every = [c for c in range(len(choices)) if c != a and fit(a, c)]
        assert allowed(work, work.allow[a, a]) == every


@pytest.mark.parametrize("symmetry", ["trivial", "half-turn", "quarter-turn"])
def test_a_choice_has_a_bit_in_each_class_for_each_time_it_counts_there(symmetry):
    work = cover_tables(LINES, 6, symmetry)
    classes = len(work.need)
    for choice, row in enumerate(counted(work)):
        own = (work.choice == choice).sum(axis=1).reshape(-1, classes).sum(axis=0)
        assert (own == row).all()
    for k in range(len(work.room)):
        for c in range(classes):
            assert (
                allowed(work, work.room[k, c]) == np.flatnonzero(counted(work)[:, c] <= k).tolist()
            )


# -------------------------------------------------------------------------------------- at larger n


@pytest.mark.parametrize(
    ("n", "symmetry"),
    [(n, "quarter-turn") for n in (20, 24, 28, 32)] + [(n, MIXED) for n in (21, 25, 27, 31)],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_fixed_seed_reaches_two_in_every_row_and_column(n, symmetry, seed):
    found = cover(LINES, n, symmetry, nodes=30_000_000, cap=100_000, rng=rng_of(seed))
    assert len(found.cells) == 1
    assert LINES.validate(found.cells, n).all()
    assert LINES.score(found.cells, n)[0] == 2 * n
    common = find_class(LINES.ground(n), "quarter-turn" if n % 2 == 0 else "half-turn")
    assert invariant(found.cells, LINES.ground(n), common).all()


def test_many_sets_at_once_are_valid_and_distinct():
    found = cover(LINES, 26, "quarter-turn", nodes=10**7, cap=20_000, rng=rng_of(5), most=30)
    assert 20 <= len(found.cells) == len(sets(found.cells)) <= 30
    assert LINES.validate(found.cells, 26).all()
    assert (LINES.score(found.cells, 26) == 52).all()


def test_a_seed_repeats_itself_and_another_differs():
    def run(seed):
        return cover(LINES, 26, "quarter-turn", nodes=10**7, cap=10**4, rng=rng_of(seed), most=3)

    first, again, other = run(1), run(1), run(2)
    assert (first.cells == again.cells).all()
    assert first.nodes == again.nodes
    assert sets(first.cells) != sets(other.cells)


def test_a_search_ends_with_its_nodes_or_when_there_is_nothing_left():
    found = cover(LINES, 60, "quarter-turn", nodes=2500, cap=1000, rng=rng_of(1))
    assert (len(found.cells), found.nodes, found.complete) == (0, 2500, False)
    found = cover_all(LINES, 10, nodes=1000)
    assert (found.nodes, found.complete) == (1000, False)
    found = cover(LINES, 6, "trivial", nodes=10**6, cap=10**5, rng=rng_of(1), most=1000)
    assert (len(found.cells), found.complete) == (50, True)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_largest_set_on_the_way_is_valid_and_falls_short_until_one_is_found(seed):
    missed = cover(LINES, 60, "quarter-turn", nodes=2500, cap=1000, rng=rng_of(seed))
    assert LINES.validate(missed.nearest[None], 60).all()
    assert 60 < LINES.score(missed.nearest[None], 60)[0] < 120
    more = cover(LINES, 60, "quarter-turn", nodes=40_000, cap=1000, rng=rng_of(seed))
    assert LINES.score(more.nearest[None], 60)[0] >= LINES.score(missed.nearest[None], 60)[0]
    hit = cover(LINES, 20, "quarter-turn", nodes=10**6, cap=10**5, rng=rng_of(seed))
    assert (hit.nearest == hit.cells[0]).all()


def test_a_field_decides_what_random_choices_are_made_of():
    every = cover_all(LINES, 12, "quarter-turn").cells
    for wanted in every[:: max(len(every) // 8, 1)]:
        pull = np.where(bitset.unpack(wanted[None], 144)[0], 10, 0).astype(np.float32)
        # Six choices of four elements and the look that finds all classes full.
        found = cover(LINES, 12, "quarter-turn", nodes=7, cap=7, rng=rng_of(1), weights=pull)
        assert sets(found.cells) == {wanted.tobytes()}
    even = cover(LINES, 12, "quarter-turn", nodes=7, cap=7, rng=rng_of(1))
    flat = np.full(144, 3, np.float32)
    same = cover(LINES, 12, "quarter-turn", nodes=7, cap=7, rng=rng_of(1), weights=flat)
    assert (even.nearest == same.nearest).all()


# ----------------------------------------------------------------------------------- other problems


@blocking_hook
def attack(v, members, size, inside, slot, counts, delta, coords, tables):
    for u in range(len(inside)):
        dr, dc = abs(coords[u, 0] - coords[v, 0]), abs(coords[u, 1] - coords[v, 1])
        if u != v and (dr == 0 or dc == 0 or dr == dc):
            counts[slot[u]] += delta


@checker
def no_attack(points, size, coords, witness):
    for i in range(size):
        for j in range(i):
            dr = abs(coords[points[i], 0] - coords[points[j], 0])
            dc = abs(coords[points[i], 1] - coords[points[j], 1])
            if dr == 0 or dc == 0 or dr == dc:
                witness[0], witness[1] = points[i], points[j]
                return 2
    return 0


class Queens(Problem):
    name = "queens"
    arity = 2
    hook = attack
    checker = no_attack

    def ground_set(self, n):
        return square_grid(n)

    def ground_size(self, n):
        return n * n

    def degree_constraints(self, n):
        row, column = (axis.ravel() for axis in np.indices((n, n)))
        classes = np.stack([row, n + column], axis=1).astype(np.int32)
        return DegreeConstraints(classes, np.ones(2 * n, np.int32))


@pytest.mark.parametrize(("n", "every"), [(4, 2), (5, 10), (6, 4), (7, 40), (8, 92)])
def test_all_ways_to_place_n_queens_are_found(n, every):
    queens = Queens()
    found = cover_all(queens, n)
    assert (len(found.cells), found.complete) == (every, True)
    assert queens.validate(found.cells, n).all()


# OEIS A033148: placements that a quarter turn leaves as they are.
@pytest.mark.parametrize(("n", "every"), [(4, 2), (5, 2), (12, 8), (13, 8)])
def test_queens_under_quarter_turns_are_as_many_as_published(n, every):
    assert len(cover_all(Queens(), n, "quarter-turn").cells) == every


class CountedQueens(Queens):
    """With one more class, of more than 64 elements: all there are."""

    name = "counted queens"

    def degree_constraints(self, n):
        lines = super().degree_constraints(n)
        classes = np.column_stack([lines.classes, np.full(n * n, 2 * n, np.int32)])
        return DegreeConstraints(classes, np.append(lines.capacity, n).astype(np.int32))


@pytest.mark.parametrize(("n", "symmetry", "every"), [(9, "trivial", 352), (11, "half-turn", None)])
def test_a_class_may_take_more_than_one_word(n, symmetry, every):
    queens = CountedQueens()
    work = cover_tables(queens, n, symmetry)
    assert len(work.choice) == 2 * len(work.need)
    found = cover_all(queens, n, symmetry).cells
    assert sets(found) == sets(cover_all(Queens(), n, symmetry).cells)
    assert every in (None, len(found))


def test_thirty_queens_are_placed_at_random():
    queens = Queens()
    found = cover(queens, 30, "half-turn", nodes=10**6, cap=10_000, rng=rng_of(3), most=5)
    assert len(found.cells) == 5
    assert queens.validate(found.cells, 30).all()


M = 10


@blocking_hook
def listed(v, members, size, inside, slot, counts, delta, coords, tables):
    rows = tables[0]
    for first in range(0, len(rows), 3):
        row = rows[first : first + 3]
        for u in row:
            fits = u >= 0 and u != v and (row == v).any()
            for other in row:
                if other >= 0 and other != v and other != u:
                    fits &= inside[other] == 1
            if fits:
                counts[slot[u]] += delta


class Listed(Problem):
    """Any list of forbidden pairs and triples, any degree constraints."""

    name = "listed"
    arity = 3
    hook = listed
    checker = no_attack  # not called

    def __init__(self, rows, classes, capacity):
        super().__init__()
        self.rows, self.given = rows, DegreeConstraints(classes, capacity)

    def ground_set(self, n):
        order = np.arange(M, dtype=np.int32)
        group = np.stack([order, np.append(order[:6] ^ 1, order[6:])]).astype(np.int32)
        return GroundSet(n, order[:, None], group, {"swap": (1,)})

    def ground_size(self, n):
        return M

    def tables(self, n):
        return (np.array([(*row, -1, -1)[:3] for row in self.rows], np.int32),)

    def degree_constraints(self, n):
        return self.given


ELEMENT = st.integers(0, M - 1)


@settings(max_examples=60)
@given(
    listed=st.lists(st.frozensets(ELEMENT, min_size=2, max_size=3), max_size=12),
    classes=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=M, max_size=M),
    inside=st.sets(ELEMENT, min_size=2),
    symmetry=st.sampled_from(["trivial", "swap"]),
)
def test_any_pairs_triples_and_degree_constraints_agree_with_brute_force(
    listed, classes, inside, symmetry
):
    classes = np.array(classes, np.int32)
    capacity = np.bincount(classes[sorted(inside)].ravel(), minlength=4).astype(np.int32)
    swapped = [frozenset(v ^ 1 if v < 6 else v for v in row) for row in listed]
    rows = {row for row in [*listed, *swapped] if not any(o < row for o in [*listed, *swapped])}
    problem = Listed(sorted(map(sorted, rows)), classes, capacity)

    subsets = (np.arange(2**M)[:, None] >> np.arange(M) & 1).astype(np.bool_)
    incidence = (classes[:, :, None] == np.arange(4)).sum(axis=1)
    wanted = (subsets @ incidence == capacity).all(axis=1)
    for row in rows:
        wanted &= ~subsets[:, sorted(row)].all(axis=1)
    if symmetry == "swap":
        wanted &= (subsets == subsets[:, problem.ground(1).group[1]]).all(axis=1)
    try:
        found = cover_all(problem, 1, symmetry).cells
    except UsageError:
        found = np.zeros((0, 2), np.uint8)
    assert sets(found) == sets(bitset.pack(subsets[wanted]))


# ----------------------------------------------------------------------------------------- refusals


def test_a_problem_without_degree_constraints_is_refused():
    with pytest.raises(
        UsageError, match=r"isosceles at n=8 has no degree constraints; choose another"
    ):
        cover_all(load_problem("isosceles"), 8)
    with pytest.raises(UsageError, match="no degree constraints"):
        cover_all(LINES, 1)


def test_configurations_of_four_elements_are_refused():
    class Four(Queens):
        arity = 4

    with pytest.raises(UsageError, match="forbids sets of 4 elements"):
        cover_all(Four(), 5)


def test_tables_that_take_too_much_memory_are_refused():
    with pytest.raises(
        UsageError, match=r"need .* of tables and may take 1.1 GB; choose a smaller"
    ):
        cover_all(LINES, 128)


@pytest.mark.parametrize("n", [5, 31])
def test_a_symmetry_that_no_full_set_has_is_refused(n):
    with pytest.raises(UsageError, match=f"no set of {2 * n} elements with the symmetry 'quarter"):
        cover(LINES, n, "quarter-turn", nodes=1000, cap=100, rng=rng_of(1))


@pytest.mark.parametrize("symmetry", ["quarter-turns", "quarter-turn/diagonals"])
def test_an_unknown_symmetry_is_refused_with_a_hint(symmetry):
    with pytest.raises(UsageError, match="did you mean"):
        cover_all(LINES, 8, symmetry)


@pytest.mark.parametrize(
    ("classes", "capacity", "says"),
    [
        (np.zeros((4, 1), np.int64), np.ones(1, np.int32), "classes: expected int32"),
        (np.zeros(4, np.int32), np.ones(1, np.int32), "classes: expected int32 with 2"),
        (np.ones((4, 1), np.int32), np.ones(1, np.int32), r"classes in 0 \.\. 0, got 1 \.\. 1"),
        (np.zeros((4, 2), np.int32), np.ones(1, np.int32), "a sum divisible by 2"),
        (np.zeros((4, 1), np.int32), -np.ones(1, np.int32), "numbers from 0"),
    ],
)
def test_degree_constraints_of_another_shape_are_refused(classes, capacity, says):
    with pytest.raises(ValueError, match=says):
        DegreeConstraints(classes, capacity)


def test_degree_constraints_of_no_three_in_line_are_two_to_a_row_and_column_from_outside_in():
    constraints = NoThreeInLine().degree_constraints(5)
    assert constraints is not None
    assert constraints.size == 10
    grid = constraints.classes.reshape(5, 5, 2)
    assert (grid == grid[:, :1, :] * [1, 0] + grid[:1, :, :] * [0, 1]).all()
    assert grid[2, 2].min() == 8
    assert max(grid[0, 0]) < 4

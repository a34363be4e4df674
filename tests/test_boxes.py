"""Symmetry classes of boxes: off-centre mirrors and turns, and the search among their orbits."""

import itertools
from pathlib import Path

import numpy as np
import pytest

import pipeline
from pipeline.core import bitset
from pipeline.core.ground_set import GroundSet
from pipeline.core.symmetry import (
    belonging,
    find_class,
    find_whole_class,
    invariant,
    orbits,
    permutations,
    trimmed_classes,
)
from pipeline.engine.arms import make_arms
from pipeline.engine.portfolio import core_worth
from pipeline.engine.tasks import Task, run_task
from pipeline.errors import UsageError
from pipeline.plugins import load_problem
from problems.cube import cube
from problems.grid import square_grid


def images(ground: GroundSet, name: str, maps: dict[str, object]) -> set[tuple[int, ...]]:
    """Return the permutations that maps of (cell, sides) make, outside the box nothing."""
    sides = find_class(ground, name).box
    place = {tuple(cell): v for v, cell in enumerate(ground.coords.tolist())}
    found = set()
    for move in maps.values():
        row = []
        for cell in ground.coords.tolist():
            inside = all(x < side for x, side in zip(cell, sides, strict=True))
            row.append(place[move(cell, sides)] if inside else place[tuple(cell)])  # type: ignore[operator]
        found.add(tuple(row))
    return found


MAPS = {
    "same": lambda c, s: (c[0], c[1]),
    "columns": lambda c, s: (c[0], s[1] - 1 - c[1]),
    "rows": lambda c, s: (s[0] - 1 - c[0], c[1]),
    "turn": lambda c, s: (s[0] - 1 - c[0], s[1] - 1 - c[1]),
    "diagonal": lambda c, s: (c[1], c[0]),
    "antidiagonal": lambda c, s: (s[0] - 1 - c[1], s[1] - 1 - c[0]),
}


@pytest.mark.parametrize(
    ("name", "maps"),
    [
        ("both-mirrors@4x5", ["same", "columns", "rows", "turn"]),
        ("mirror@5x4", ["same", "columns"]),
        ("half-turn@2x5", ["same", "turn"]),
        ("both-diagonals@4x4", ["same", "diagonal", "antidiagonal", "turn"]),
        ("mirror@5x1", ["same"]),
    ],
)
def test_a_class_of_a_box_acts_about_the_centre_of_the_box(name, maps):
    ground = square_grid(5)
    found = permutations(ground, find_class(ground, name))
    assert set(map(tuple, found.tolist())) == images(ground, name, {key: MAPS[key] for key in maps})


def test_a_box_of_a_cube_has_central_symmetry():
    ground = cube(4)
    cls = find_class(ground, "central@4x3x4")
    expected = images(
        ground,
        cls.name,
        {
            "same": lambda c, s: tuple(c),
            "central": lambda c, s: tuple(b - 1 - a for a, b in zip(c, s, strict=True)),
        },
    )
    assert set(map(tuple, permutations(ground, cls).tolist())) == expected


def test_orbits_of_a_box_are_those_of_a_smaller_board_and_single_cells_outside():
    ground = square_grid(6)
    cls = find_class(ground, "both-mirrors@5x6")
    found = orbits(ground, cls)
    inside = belonging(ground, cls)
    assert inside.sum() == 30
    sets = {
        frozenset(map(tuple, ground.coords[np.flatnonzero(found.of == o)].tolist()))
        for o in range(len(found))
    }
    expected = {
        frozenset({(r, c), (4 - r, c), (r, 5 - c), (4 - r, 5 - c)})
        for r, c in itertools.product(range(5), range(6))
    } | {frozenset({(5, c)}) for c in range(6)}
    assert sets == expected


def test_of_classes_that_the_square_takes_to_each_other_one_is_listed():
    names = [cls.name for cls in trimmed_classes(square_grid(6))]
    assert names == ["half-turn@5x6", "mirror@6x5", "both-mirrors@5x6"]
    assert trimmed_classes(square_grid(1)) == ()
    assert trimmed_classes(load_problem("sidon").ground(6)) == ()
    cubes = [cls.name for cls in trimmed_classes(cube(4))]
    assert {"central@3x4x4", "mirrors@3x4x4"} <= set(cubes)
    assert len(cubes) == len(set(cubes))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("both-mirrors@5x7", "as @6x6 at most; got @5x7"),
        ("both-mirrors@0x6", "as @6x6 at most; got @0x6"),
        ("both-mirrors@5", "as @6x6 at most; got @5"),
        ("both-mirrors@five", "as @6x6 at most; got @five"),
        ("both-mirrors@", "as @6x6 at most; got @"),
        ("quarter-turn@5x6", "'quarter-turn' does not map a box of 5x6 onto itself"),
        ("both-mirors@5x6", "did you mean 'both-mirrors'"),
    ],
)
def test_a_wrong_box_is_one_line(name, message):
    with pytest.raises(UsageError, match=message):
        find_class(square_grid(6), name)


def test_what_deals_with_the_whole_ground_set_alone_refuses_a_box():
    with pytest.raises(UsageError, match="of the whole ground set alone"):
        find_class(load_problem("cap-sets").ground(3), "trivial@3x3x3")
    with pytest.raises(UsageError, match="local search alone takes"):
        find_whole_class(square_grid(6), "half-turn@5x6")


@pytest.mark.parametrize("coords", [[(0, 0), (0, 1), (1, 0)], [(0, 0), (0, 1), (0, 2)]])
def test_boxes_are_claimed_of_grids_alone(coords):
    count = len(coords)
    ground = GroundSet(3, np.array(coords), np.arange(count)[None], boxes=True)
    with pytest.raises(UsageError, match="fill no grid"):
        find_class(ground, "trivial@1x1")


def test_boxes_are_claimed_of_reflections_and_turns_alone():
    coords = np.array(list(itertools.product(range(2), range(3))))
    swapped = np.array([1, 0, 2, 3, 4, 5])
    ground = GroundSet(3, coords, np.stack([np.arange(6), swapped]), boxes=True)
    with pytest.raises(UsageError, match="no reflection or turn"):
        find_class(ground, "all@1x3")


@pytest.mark.parametrize("method", ["tabu", "anneal", "greedy", "enumerate"])
def test_search_in_a_box_finds_valid_sets_symmetric_within_it(method):
    problem = load_problem("isosceles")
    ground = problem.ground(9)
    cls = find_class(ground, "both-mirrors@8x9")
    task = Task(
        problem="isosceles",
        convention="flat-forbidden",
        n=9,
        symmetry=cls.name,
        method=method,
        cells=np.zeros((20, bitset.width(ground.m)), np.uint8),
        rng=np.array([5], np.uint64),
        bound=20_000,
        goal=8,
    )
    found = run_task(task)
    found = found[found.any(axis=1)]
    assert len(found)
    assert problem.validate(found, 9).all()
    bits = bitset.unpack(found, ground.m)
    outside = ~belonging(ground, cls)
    assert invariant(bitset.pack(bits & ~outside), ground, cls).any()
    # Tabu and enumeration add what fits beside the orbits, without the symmetry.
    assert bits[:, outside].any() == (method in ("tabu", "enumerate"))


def test_what_fills_up_outside_does_not_count_as_orbits():
    ground = square_grid(4)
    cls = find_class(ground, "both-mirrors@3x4")
    bits = np.zeros((1, 16), np.bool_)
    bits[0, [0, 3, 8, 11]] = True  # the corners of the box
    bits[0, 13] = True
    assert core_worth(bits, ground, cls, np.ones(16, np.int64)) == 4
    whole = find_class(ground, "trivial")
    assert core_worth(bits, ground, whole, np.ones(16, np.int64)) == 5


@pytest.mark.end_to_end
def test_search_takes_a_box_by_name_and_passes_the_centred_class(cli, tmp_path):
    # Both mirrors of the 13 x 14 board hold 24 points, the best known; of the 14 x 14 board fewer.
    result = pipeline.search(
        "isosceles", n=14, rounds=0, symmetry=["both-mirrors@13x14"], workers=1
    )
    assert result.score == 24
    for words, message in [
        (
            ("search", "no-3-in-line", "--n", "9", "--symmetry", "mirror@9x8", "--method", "cover"),
            "@",
        ),
        (("solve", "isosceles", "--n", "5", "--symmetry", "half-turn@4x5"), "local search alone"),
        (("run", "isosceles", "--n", "6", "--set", "symmetry=half-turn@5x6"), "local search alone"),
    ]:
        found = cli(*words)
        assert found.code == 2
        assert message in found.error


def test_a_name_with_an_at_sign_is_that_class():
    square = square_grid(3)
    named = GroundSet(3, square.coords, square.group, {"mine@2": square.class_names["mirror"]})
    assert find_class(named, "mine@2").elements == find_class(square, "mirror").elements


ANCHORED = """
from pipeline import Problem

class Anchored(Problem):
    arity = 2
    def elements(self, n):
        return [(x, y) for x in range(n) for y in range(n)]
    def forbidden(self, a, b):
        # Kept by the turns of the whole board, not by a shift: distances from the centre count.
        n = 6
        ax, ay, bx, by = (2 * a[0] - n + 1, 2 * a[1] - n + 1, 2 * b[0] - n + 1, 2 * b[1] - n + 1)
        return ax * ax + ay * ay == bx * bx + by * by
"""


def test_a_rule_of_ones_own_has_boxes_where_shifts_keep_it(tmp_path):
    twins = Path(__file__).parent / "plugins" / "easy" / "twins.py"
    for name, n, boxes in [
        ("Isosceles", 6, True),
        ("Spheres", 3, True),
        ("SidonModulo", 24, False),
    ]:
        assert load_problem(f"{twins}:{name}").ground(n).boxes == boxes
    (tmp_path / "anchored.py").write_text(ANCHORED)
    ground = load_problem(f"{tmp_path / 'anchored.py'}:Anchored").ground(6)
    assert len(ground.group) == 8
    assert not ground.boxes


def test_boxes_are_searched_where_they_are_named():
    problem = load_problem("isosceles")
    assert not any("@" in arm.symmetry for arm in make_arms(problem, 30))
    named = make_arms(problem, 30, symmetries=["both-mirrors@28x30", "mirror"])
    assert {arm.symmetry for arm in named} == {"both-mirrors@28x30", "mirror"}

"""Exhaustive search: against an oracle, with and without symmetry, stopped early, as a command."""

import json
import os
import re
import signal
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.core.bitset import from_points, pack, popcounts, unpack, width
from pipeline.core.symmetry import find_class, invariant
from pipeline.engine import exact
from pipeline.engine.branch_and_bound import complete_best, search
from pipeline.engine.exact import Question, solve
from pipeline.engine.greedy import complete_many, greedy_many, saturate
from pipeline.engine.large_neighbourhood import neighbourhood_many
from pipeline.engine.pair_tables import with_tables
from pipeline.engine.pieces import (
    Piece,
    PieceTask,
    bits_of,
    candidates_of,
    planted,
    search_pieces,
    split,
)
from pipeline.engine.rng import below
from pipeline.engine.search_tree import new_tree
from pipeline.engine.space import make_space, usable_classes
from pipeline.engine.state import clear, conflicts_added, leave, new_state
from pipeline.errors import UsageError
from pipeline.executors import Serial, make_executor
from pipeline.plugins import load_problem

PLUGINS = Path(__file__).parent / "plugins"
FOUR_CYCLE = f"{PLUGINS / 'four_cycle_free.py'}:FourCycleFree"
CIRCLE = f"{PLUGINS / 'no_four_on_a_circle.py'}:NoFourOnACircle"
SPHERE = f"{PLUGINS / 'no_five_on_a_sphere.py'}:NoFiveOnASphere"


def naive(problem, n, spaces_cells):
    """Return the most elements of a valid union of choices: every union, by the checker."""
    valid = problem.validate(spaces_cells, n)
    return int(popcounts(spaces_cells)[valid].max())


def every_union(problem, n, symmetry):
    """Return all unions of whole orbits, packed; for at most 16 orbits."""
    ground = problem.ground(n)
    space = make_space(problem, n, find_class(ground, symmetry))
    choices = len(space.start) - 1
    assert choices <= 16
    taken = np.unpackbits(
        np.arange(1 << choices, dtype="<u4").view(np.uint8).reshape(-1, 4),
        axis=1,
        count=choices,
        bitorder="little",
    )
    members = np.zeros((len(taken), ground.m), np.bool_)
    members[:, space.elements] = np.repeat(taken, np.diff(space.start), axis=1)
    return pack(members)


def proved(spec, n, symmetry="trivial", convention=""):
    """Return the answer of an unlimited search, checked for what must always hold."""
    answer = solve(Question(spec, convention, n, symmetry), Serial())
    problem = load_problem(spec, convention or None)
    ground = problem.ground(n)
    assert answer.proved
    assert problem.validate(answer.cells[None], n)[0]
    assert popcounts(answer.cells[None])[0] == answer.lower
    assert invariant(answer.cells[None], ground, find_class(ground, symmetry))[0]
    return answer


CASES = [
    *[("isosceles", n, convention) for n in (1, 2, 3, 4) for convention in ("", "flat-allowed")],
    *[("no-3-in-line", n, "") for n in (1, 2, 3, 4)],
    *[(FOUR_CYCLE, n, "") for n in (2, 3, 4, 5, 6)],
    *[(CIRCLE, n, "") for n in (1, 2, 3, 4)],
    *[(SPHERE, n, "") for n in (1, 2)],
]


@pytest.mark.parametrize(("spec", "n", "convention"), CASES)
def test_the_optimum_is_that_of_all_sets_tried_one_by_one_in_every_class(spec, n, convention):
    problem = load_problem(spec, convention or None)
    # The cube has 33 classes; the first and the last few will do.
    classes = usable_classes(problem, n)
    for cls in dict.fromkeys([*classes[:5], *classes[-5:]]):
        every = every_union(problem, n, cls.name)
        found = proved(spec, n, cls.name, convention)
        assert found.lower == naive(problem, n, every), cls.name


# From the tests of the problems, which prove them by a search of their own.
VALUES = [
    *[("isosceles", n, "", v) for n, v in enumerate([7, 9, 10, 13, 16, 18], start=5)],
    *[("isosceles", n, "flat-allowed", v) for n, v in enumerate([8, 10, 12, 14, 16, 18], start=5)],
    *[("no-3-in-line", n, "", 2 * n) for n in (5, 6, 8, 10)],
    *[(FOUR_CYCLE, n, "", v) for n, v in enumerate([9, 11], start=7)],
]
SLOW = [
    ("isosceles", 11, "", 18),
    ("isosceles", 12, "", 20),
    (FOUR_CYCLE, 9, "", 13),
    (FOUR_CYCLE, 10, "", 16),
]


@pytest.mark.parametrize(
    ("spec", "n", "convention", "value"),
    [*VALUES, *[pytest.param(*case, marks=pytest.mark.slow) for case in SLOW]],
)
def test_proved_values_are_proved_again(spec, n, convention, value):
    assert proved(spec, n, convention=convention).lower == value


def without_symmetry(question, best):
    """Return the best of one search through the whole tree, nothing broken, no parts."""
    here = planted(question)
    everyone = bits_of(np.arange(len(here.tree.choice)), here)
    found = search_pieces(
        PieceTask(question, (Piece(np.zeros(0, np.int64), everyone),), best, 2**62)
    )
    assert not found.pieces
    return found.best


@pytest.mark.parametrize(
    ("spec", "n", "symmetry"),
    [
        *[("isosceles", n, s) for n in (5, 6, 7, 8) for s in ("trivial", "mirror", "half-turn")],
        ("no-3-in-line", 5, "trivial"),
        (FOUR_CYCLE, 6, "trivial"),
        (FOUR_CYCLE, 7, "reflection"),
        (CIRCLE, 4, "trivial"),
    ],
)
@pytest.mark.parametrize("gap", [1, 2])
def test_breaking_symmetry_loses_no_optimum(spec, n, symmetry, gap):
    question = Question(spec, "", n, symmetry)
    here = planted(question)
    best = without_symmetry(question, 0)
    assert without_symmetry(question, best) == best
    # From below the optimum some piece finds it; from the optimum none finds more.
    for start in (max(best - gap, 0), best):
        pieces = split(here, start, np.arange(len(here.tree.choice)))
        found = [search_pieces(PieceTask(question, (piece,), start, 2**62)) for piece in pieces]
        assert max((one.best for one in found), default=start) == best
    assert sum(piece.share for piece in pieces) == pytest.approx(1) or not pieces


def test_every_small_set_has_an_image_in_some_piece():
    question = Question("isosceles", "", 4)
    here = planted(question)
    pieces = split(here, 2, np.arange(16))
    reached = set()
    for piece in pieces:
        allowed = [*piece.members, *candidates_of(piece.left)]
        for more in combinations(candidates_of(piece.left), 1):
            reached.add(frozenset([*piece.members, *more]))
        assert len(set(allowed)) == len(allowed)
    cells = here.tree.choice
    problem = here.problem
    number = np.argsort(cells)
    for three in combinations(range(16), 3):
        if problem.witness(np.array(three, np.int32), 4) is None:
            images = here.group[:, number[list(three)]]
            assert any(frozenset(image.tolist()) in reached for image in images)


@pytest.mark.parametrize(("spec", "n", "value"), [("isosceles", 9, 16), (FOUR_CYCLE, 8, 11)])
def test_pieces_left_over_are_the_rest_of_the_search(spec, n, value):
    question = Question(spec, "", n)
    here = planted(question)
    whole = split(here, value, np.arange(len(here.tree.choice)))
    at_once = search_pieces(PieceTask(question, tuple(whole), value, 2**62))
    assert not at_once.pieces
    pieces, nodes, rounds = tuple(whole), 0, 0
    while pieces:
        part = search_pieces(PieceTask(question, pieces, value, 700))
        open_ = sum(piece.share for piece in part.pieces)
        assert open_ < sum(piece.share for piece in pieces)
        pieces, nodes, rounds = part.pieces, nodes + part.nodes, rounds + 1
    assert rounds > 2
    # A level taken up again is visited once more.
    assert at_once.nodes <= nodes < 2 * at_once.nodes
    lower = search_pieces(PieceTask(question, tuple(whole), value - 1, 2**62))
    assert lower.best in (value, value - 1)


def test_bounds_hold_the_truth_between_them_wherever_the_search_is_stopped(monkeypatch):
    question = Question("isosceles", "", 8)

    class Stops(Serial):
        def __init__(self, after):
            self.left = after

        def map(self, function, tasks, over=None):
            for task in tasks:
                self.left -= 1
                if self.left < 0:
                    raise KeyboardInterrupt
                yield function(task)

    monkeypatch.setattr(exact, "_NODES", 64)
    seen = []
    for after in (0, 3, 8, 20, 40, 60, 80, 100, 10_000):
        answer = solve(question, Stops(after))
        assert answer.interrupted == (after < 10_000)
        assert answer.lower <= 13 <= answer.upper
        seen.append((answer.lower, answer.upper))
    assert seen[-1] == (13, 13)
    assert seen[0][1] == 64
    assert [low for low, _ in seen] == sorted(low for low, _ in seen)
    assert len({high for _, high in seen}) >= 3
    assert [high for _, high in seen] == sorted((high for _, high in seen), reverse=True)


@pytest.mark.parametrize("seconds", [1e-9, 0.02, 0.05])
@pytest.mark.parametrize(
    ("spec", "n", "value"),
    [("isosceles", 3, 4), ("isosceles", 8, 13), (FOUR_CYCLE, 4, 4), (FOUR_CYCLE, 8, 11)],
)
def test_the_truth_lies_within_the_bounds_however_short_the_time(spec, n, value, seconds):
    answer = solve(Question(spec, "", n), Serial(), seconds=seconds)
    assert answer.lower <= value <= answer.upper


@pytest.mark.parametrize(("spec", "n", "value"), [("isosceles", 9, 16), (FOUR_CYCLE, 8, 11)])
def test_an_interrupted_search_leaves_no_trace(spec, n, value, monkeypatch):
    question = Question(spec, "", n)
    slices = iter(range(10**9))

    def interrupted(space, state, tree, nodes):
        if next(slices) == 40:
            raise KeyboardInterrupt
        return search(space, state, tree, min(nodes, 50))

    monkeypatch.setattr("pipeline.engine.pieces.search", interrupted)
    answer = solve(question, Serial())
    assert answer.interrupted
    assert answer.lower <= value <= answer.upper
    monkeypatch.undo()
    again = solve(question, Serial())
    assert (again.lower, again.upper) == (value, value)


def test_time_that_is_up_leaves_bounds():
    answer = solve(Question("isosceles", "", 14), Serial(), seconds=0.5)
    assert not answer.proved
    assert not answer.interrupted
    assert 8 <= answer.lower < answer.upper <= 14 * 14
    assert load_problem("isosceles").validate(answer.cells[None], 14)[0]


def test_two_workers_find_what_one_finds():
    found = []
    for workers in (1, 2):
        executor = make_executor(workers)
        answer = solve(Question("isosceles", "", 8), executor)
        executor.close()
        found.append((answer.lower, answer.upper, answer.nodes, answer.cells.tobytes()))
    assert found[0] == found[1]


def test_a_size_too_large_is_refused_with_what_to_do():
    with pytest.raises(UsageError, match="too many for exhaustive search; take a smaller n"):
        solve(Question("isosceles", "", 60), Serial())


# ------------------------------------------------------------------------------- the kernel


@pytest.mark.parametrize(
    ("spec", "n", "symmetry"),
    [
        ("isosceles", 6, "trivial"),
        ("isosceles", 8, "mirror"),
        (FOUR_CYCLE, 6, "trivial"),
        (FOUR_CYCLE, 7, "reflection"),
    ],
)
def test_a_completion_adds_as_much_as_can_be(spec, n, symmetry):
    problem = load_problem(spec)
    space = make_space(problem, n, find_class(problem.ground(n), symmetry))
    choices = len(space.start) - 1
    state, rng = new_state(space), np.array([5], np.uint64)
    tree = new_tree(space, choices, problem.arity <= 3)
    order = np.empty(choices, np.int32)
    for _ in range(20):
        clear(state)
        saturate(space, state, rng, order)
        for _ in range(4):
            leave(space, state, state.chosen[below(rng, state.totals[1])])
        before = set(state.chosen[: state.totals[1]].tolist())
        free = [
            c
            for c in range(choices)
            if state.position[c] < 0 and conflicts_added(space, state, c) == 0
        ][:16]
        most = int(_most(problem, n, space, before, free))
        kept = state.counts.copy()
        added, used = complete_best(space, state, rng, most + 50, 2**40, tree)
        assert (added, set(state.chosen[: state.totals[1]].tolist())) == (0, before)
        assert np.array_equal(state.counts, kept)
        assert used >= 1
        size = state.totals[0]
        added, _ = complete_best(space, state, rng, 1, 2**40, tree)
        assert state.totals[0] == size + added
        assert state.totals[2] == 0
        assert added >= most
        cells = pack(state.inside.astype(np.bool_)[None])
        assert problem.validate(cells, n)[0]
        assert before <= set(state.chosen[: state.totals[1]].tolist())
        again, _ = complete_best(space, state, rng, 1, 2**40, tree)
        assert again == 0


def _most(problem, n, space, before, free):
    """Return the most elements that some of the free choices add, all subsets tried."""
    elements = [space.elements[space.start[c] : space.start[c + 1]] for c in range(len(space.key))]
    base = [elements[c] for c in before] + [np.zeros(0, np.int32)]
    subsets = [s for k in range(min(len(free), 4) + 1) for s in combinations(free, k)]
    sets = [np.concatenate(base + [elements[c] for c in subset]) for subset in subsets]
    cells = from_points(sets, problem.ground(n).m)
    valid = problem.validate(cells, n)
    return popcounts(cells)[valid].max() - sum(len(elements[c]) for c in before)


def test_a_completion_with_few_nodes_or_little_room_is_still_valid():
    problem = load_problem("isosceles")
    space = make_space(problem, 10)
    state, rng = new_state(space), np.array([1], np.uint64)
    for room, nodes in ((100, 3), (7, 1000), (1, 10)):
        clear(state)
        tree = new_tree(space, room, True)
        added, used = complete_best(space, state, rng, 1, nodes, tree)
        assert used <= nodes
        assert added == state.totals[0] <= room
        assert problem.validate(pack(state.inside.astype(np.bool_)[None]), 10)[0]


# -------------------------------------------------------------------------- neighbourhoods


@pytest.mark.parametrize(
    ("spec", "n", "symmetry", "gain"),
    [
        ("isosceles", 16, "trivial", 5),
        ("isosceles", 20, "both-mirrors", 4),
        ("isosceles", 24, "trivial", 5),
        ("no-3-in-line", 12, "trivial", 2),
        (FOUR_CYCLE, 10, "trivial", 0.5),
        (FOUR_CYCLE, 9, "reflection", 0),
        (CIRCLE, 5, "order-2-1", 0),
    ],
)
def test_neighbourhoods_never_lose_and_improve_greedy_sets(spec, n, symmetry, gain):
    problem = load_problem(spec)
    ground = problem.ground(n)
    cls = find_class(ground, symmetry)
    space = make_space(problem, n, cls)
    greedy = np.zeros((6, width(ground.m)), np.uint8)
    greedy_many(space, np.array([n], np.uint64), greedy)
    cells, before = greedy.copy(), popcounts(greedy)
    for _ in range(3):
        neighbourhood_many(space, np.array([3], np.uint64), cells, 60, 6, 500, problem.arity <= 3)
        after = popcounts(cells)
        assert (after >= before).all()
        assert problem.validate(cells, n).all()
        assert invariant(cells, ground, cls).all()
        before = after
    assert (before - popcounts(greedy)).mean() >= gain
    maximal = cells.copy()
    complete_many(space, np.array([1], np.uint64), maximal)
    assert np.array_equal(maximal, cells)


def test_neighbourhoods_work_on_pair_tables():
    problem = load_problem("isosceles")
    plain = make_space(problem, 16, find_class(problem.ground(16), "mirror"), traps=False)
    space = with_tables(plain, problem.arity)
    assert space is not None
    cells = np.zeros((3, width(len(plain.start) - 1)), np.uint8)
    greedy_many(space, np.array([1], np.uint64), cells)
    before = popcounts(cells)
    neighbourhood_many(space, np.array([1], np.uint64), cells, 60, 6, 500, True)
    assert (popcounts(cells) > before).all()
    choices = unpack(cells, len(plain.start) - 1)
    members = np.zeros((3, 256), np.bool_)
    members[:, plain.elements] = np.repeat(choices, np.diff(plain.start), axis=1)
    assert problem.validate(pack(members), 16).all()


def test_neighbourhoods_drift_to_other_sets_of_the_same_size():
    problem = load_problem("isosceles")
    space = make_space(problem, 10)
    cells = solve(Question("isosceles", "", 10), Serial()).cells[None].repeat(4, axis=0)
    moved = cells.copy()
    neighbourhood_many(space, np.array([2], np.uint64), moved, 200, 8, 2000, True)
    assert (popcounts(moved) == 18).all()
    assert any(not np.array_equal(a, b) for a, b in zip(moved, cells, strict=True))


def test_the_same_numbers_make_the_same_neighbourhoods():
    space = make_space(load_problem("isosceles"), 12)
    found = []
    for _ in range(2):
        cells, rng = np.zeros((2, 18), np.uint8), np.array([9], np.uint64)
        neighbourhood_many(space, rng, cells, 20, 5, 300, True)
        found.append((cells.tobytes(), int(rng[0])))
    assert found[0] == found[1]


# ------------------------------------------------------------------------------ the command


def told(found: Any) -> dict[str, Any]:
    assert found.code == 0, found
    return json.loads(found.out)


def test_solve_draws_the_set_and_says_what_is_proved_how(cli):
    found = cli("solve", "isosceles", "--n", 6, "--workers", 1)
    assert found.code == 0
    assert found.out.count("●") == 9
    assert re.search(
        r"isosceles \(flat-forbidden\), n=6: maximum: 9 points, proved by this "
        r"program's exhaustive search \([\d,]+ nodes, symmetry broken, \d+\.\d s\)\n",
        found.out,
    )
    assert "equal to the best known, 9" in found.out
    assert "loading" in found.err
    assert "\x1b" not in found.out + found.err


def test_solve_writes_what_verify_reads(cli, tmp_path):
    file = tmp_path / "best.json"
    for spec, more in (("isosceles", ["--convention", "flat-allowed"]), (FOUR_CYCLE, [])):
        answer = told(cli("solve", spec, "--n", 6, "--json", "--workers", 1, *more, "-o", file))
        assert answer["proved"]
        assert answer["lower"] == answer["upper"] == answer["score"] == len(answer["points"])
        assert answer["schema"] == 1
        assert answer["symmetry"] == "trivial"
        checked = told(cli("verify", file, "--json", "--problem", spec))["checked"]
        assert checked[0]["score"] == answer["lower"]
        assert checked[0]["convention"] == answer["convention"]


def test_solve_with_a_symmetry_claims_no_more_than_that(cli):
    found = cli("solve", "isosceles", "--n", 6, "--symmetry", "both-mirrors", "--workers", 1)
    assert "maximum with the symmetry both-mirrors: " in found.out
    assert "best known without a symmetry: 9" in found.out


def test_solve_stopped_by_the_clock_gives_bounds(cli):
    found = cli("solve", "isosceles", "--n", 15, "--time", "1", "--workers", 1)
    assert found.code == 0
    assert re.search(r"maximum: \d+ to \d+ points; .* stopped when the time", found.out)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["isosceles"], "name a size, as in: pipeline solve isosceles --n 8"),
        (["isosceles", "--n", 0], "n must be at least 1, got 0"),
        (["isosceles", "--n", 6, "--symmetry", "miror"], "did you mean 'mirror'"),
        (["isosceles", "--n", 6, "--symmetry", "quarter-turn"], "no construction with the sym"),
        (["isosceles", "--n", 6, "--time", "soon"], "--time soon: write seconds"),
        (["isosceles", "--n", 6, "--workers", -1], "name a number from 1"),
        (["isosceles", "--n", 80], "too many for exhaustive search"),
        (["isosceles", "--n", 6, "--convention", "flat"], "no convention 'flat'"),
        (["isosceles", "--n", 6, "-o", "/nowhere/x.json"], "-o /nowhere/x.json: cannot be written"),
        (["isosceles", "--n", 6, "-o", "x.parquet"], "name it x.json"),
        (["isoceles", "--n", 6], "did you mean 'isosceles'"),
    ],
)
def test_bad_input_is_one_line_with_the_fix(cli, arguments, says):
    found = cli("solve", *arguments)
    assert found.code == 2
    assert says in found.error
    assert not found.out


def test_a_file_that_is_there_is_left_alone_when_the_question_is_refused(cli, tmp_path):
    file = tmp_path / "kept.json"
    assert cli("solve", "isosceles", "--n", 0, "-o", file).code == 2
    assert not file.exists()
    file.write_text("mine")
    assert cli("solve", "isosceles", "--n", 0, "-o", file).code == 2
    assert file.read_text() == "mine"


def test_a_value_on_record_that_does_not_hold_is_said_plainly():
    from pipeline.cli.solve import known_text
    from pipeline.problem import Known

    proved_ = exact.Answer(13, 13, np.zeros(8, np.uint8))
    assert "CONTRADICTS" in known_text(Known(14, "a table"), proved_, "trivial")
    assert "CONTRADICTS" in known_text(Known(12, "a table", proved=True), proved_, "trivial")
    assert "CONTRADICTS" in known_text(Known(12, "a table", proved=True), proved_, "mirror")
    assert known_text(Known(14, "a table"), proved_, "mirror").startswith("best known without")
    assert known_text(Known(12, "a table"), proved_, "trivial").startswith("1 above")
    assert known_text(Known(13, "a table"), proved_, "trivial").startswith("equal to the")
    assert known_text(None, proved_, "trivial") == ""


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_still_tells_the_bounds(tmp_path, workers):
    command = [sys.executable, "-m", "pipeline", "solve", "isosceles", "--n", "16", "--json"]
    process = subprocess.Popen(
        [*command, "--workers", str(workers)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    # What the first stage has begun is under way once it is said.
    while "local search" not in process.stderr.readline():
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    answer = json.loads(out)
    assert answer["interrupted"]
    assert answer["lower"] <= 40
    assert answer["upper"] >= 28

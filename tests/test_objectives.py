"""What is maximised where it is not the size: weights, and scores of any kind; by brute force."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import only_run

import pipeline
from pipeline.core import bitset
from pipeline.core.symmetry import find_class, symmetry_classes
from pipeline.engine.cost import task_cost
from pipeline.engine.exact import Question, every, solve
from pipeline.engine.explore import luby
from pipeline.engine.greedy import greedy_many
from pipeline.engine.score_search import anneal_scores, climb_scores, move_rows, repaired
from pipeline.engine.space import make_space
from pipeline.engine.tasks import Task, run_task
from pipeline.errors import UsageError
from pipeline.executors import Serial
from pipeline.objective import weights_of
from pipeline.plugins import load_problem
from problems.permanent_312 import Permanent312, permanents

FILE = Path(__file__).parent / "plugins" / "easy" / "objectives.py"


def spec(name: str) -> str:
    return f"{FILE}:{name}"


def all_valid(problem, n):
    """Return every valid set, packed."""
    m = problem.ground(n).m
    bits = (np.arange(1 << m)[:, None] >> np.arange(m) & 1).astype(np.bool_)
    cells = bitset.pack(bits)
    return cells[problem.validate(cells, n)]


def best_of(problem, n):
    cells = all_valid(problem, n)
    scores = problem.evaluate(cells, n)
    return int(scores.max()), int((scores == scores.max()).sum())


def task(name, n, method, symmetry="trivial", rows=4, bound=3000, seed=1, cells=None):
    m = load_problem(spec(name)).ground(n).m
    rng = np.array([seed], np.uint64)
    cells = np.zeros((rows, bitset.width(m)), np.uint8) if cells is None else cells
    return Task(spec(name), "", n, symmetry, method, cells, rng, bound)


# -------------------------------------------------------------------------------- weights


@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("name", ["Heavy", "Columns", "Weightless"])
def test_exhaustive_search_proves_the_heaviest_set(name, n):
    problem = load_problem(spec(name))
    answer = solve(Question(spec(name), problem.convention, n), Serial())
    assert answer.proved
    assert answer.lower == best_of(problem, n)[0]
    assert problem.validate(answer.cells[None], n)[0]
    assert problem.evaluate(answer.cells[None], n)[0] == answer.lower


@pytest.mark.parametrize("name", ["Heavy", "Columns"])
def test_all_heaviest_sets_are_found_once_each(name):
    problem = load_problem(spec(name))
    best, many = best_of(problem, 4)
    found = np.concatenate([c for c, _, _ in every(Question(spec(name), "standard", 4), best)])
    assert len(found) == many == len(np.unique(found, axis=0))


def test_sets_are_not_counted_where_elements_weigh_nothing():
    with pytest.raises(UsageError, match="weight 0"):
        next(every(Question(spec("Weightless"), "standard", 3), 4))


@pytest.mark.parametrize("method", ["tabu", "enumerate", "anneal"])
@pytest.mark.parametrize("name", ["Heavy", "Columns"])
def test_every_search_from_nothing_reaches_the_heaviest_set(name, method):
    problem, n = load_problem(spec(name)), 4
    goal = best_of(problem, n)[0]
    tops = []
    for seed in range(3):
        cells = run_task(task(name, n, method, bound=20_000, seed=seed))
        assert problem.validate(cells, n).all()
        tops.append(int(problem.evaluate(cells, n).max()))
    # Enumeration stays at the weight it is given.
    assert max(tops) == goal if method != "enumerate" else max(tops) > goal / 2


@pytest.mark.parametrize("method", ["climb", "neighbourhood", "anneal"])
def test_every_search_from_starts_makes_them_no_lighter(method):
    problem, n = load_problem(spec("Heavy")), 5
    space = make_space(problem, n)
    cells = np.zeros((20, bitset.width(25)), np.uint8)
    greedy_many(space, np.array([3], np.uint64), cells)
    before = problem.evaluate(cells, n)
    after = problem.evaluate(run_task(task("Heavy", n, method, cells=cells)), n)
    assert (after >= before).all()
    assert after.mean() > before.mean()


def test_symmetries_that_move_weight_are_left_out():
    rows = {name: load_problem(spec(name)).ground(5) for name in ("Grid", "Heavy", "Columns")}
    assert [len(rows[name].group) for name in ("Grid", "Heavy", "Columns")] == [8, 1, 2]
    assert [cls.name for cls in symmetry_classes(rows["Columns"])] == ["trivial", "mirror"]
    weights = weights_of(load_problem(spec("Columns")), 5)
    assert (weights[rows["Columns"].group] == weights).all()


def test_an_orbit_is_worth_the_weight_of_its_elements():
    problem = load_problem(spec("Columns"))
    ground = problem.ground(5)
    space = make_space(problem, 5, find_class(ground, "mirror"))
    weights = weights_of(problem, 5)
    for choice, worth in enumerate(space.worth):
        held = space.elements[space.start[choice] : space.start[choice + 1]]
        assert worth == weights[held].sum()


@pytest.mark.end_to_end
def test_the_command_line_names_what_a_weight_counts(cli, tmp_path):
    solved = cli("solve", spec("Columns"), "--n", 4)
    assert solved.code == 0
    best = best_of(load_problem(spec("Columns")), 4)[0]
    assert f"maximum: value {best}, proved" in solved.out
    assert "point" not in solved.out
    found = cli("search", spec("Columns"), "--n", 4, "--rounds", 1, "--runs", tmp_path)
    assert found.code == 0
    assert f"value {best}, verified" in found.out


def test_a_run_by_weight_goes_on_to_its_target(cli, tmp_path):
    best = best_of(load_problem(spec("Heavy")), 4)[0]
    found = cli("search", spec("Heavy"), "--n", 4, "--target", best, "--runs", tmp_path)
    assert found.code == 0
    assert f"weight {best}, verified" in found.out


# --------------------------------------------------------------------------------- scores


def test_symmetries_that_change_scores_are_left_out():
    assert len(load_problem(spec("Path")).ground(9).group) == 2
    assert len(load_problem(spec("Sparse")).ground(9).group) == 2
    assert len(load_problem(spec("Lopsided")).ground(9).group) == 1


@pytest.mark.parametrize("symmetry", ["trivial", "all"])
def test_a_move_gives_a_valid_set_of_whole_orbits(symmetry):
    problem, n = Permanent312(), 5
    ground = problem.ground(n)
    space = make_space(problem, n, find_class(ground, symmetry))
    rng = np.array([5], np.uint64)
    cells = np.zeros((50, bitset.width(25)), np.uint8)
    changed = 0
    for _ in range(30):
        before = cells.copy()
        move_rows(space, rng, cells, False)
        assert problem.validate(cells, n).all()
        bits = problem.bits(cells, n)
        if symmetry == "all":
            assert (bits[:, ground.group[1]] == bits).all()
        changed += int((cells != before).any(axis=1).sum())
    assert changed > 1000


def test_the_moves_reach_every_valid_set():
    problem, n = load_problem(spec("Path")), 5
    space = make_space(problem, n)
    rng, cells, seen = np.array([0], np.uint64), np.zeros((40, 1), np.uint8), set()
    for _ in range(200):
        move_rows(space, rng, cells, False)
        seen |= set(cells[:, 0].tolist())
    wanted = {row[0] for row in all_valid(problem, n).tolist()}
    assert wanted - {0} <= seen <= wanted


@pytest.mark.parametrize(("name", "n"), [("Sparse", 9), ("Sparse", 12), ("Lopsided", 10)])
def test_annealing_reaches_the_best_score(name, n):
    problem = load_problem(spec(name))
    cells = run_task(task(name, n, "anneal-score", rows=8, bound=200))
    assert problem.validate(cells, n).all()
    assert problem.evaluate(cells, n).max() == best_of(problem, n)[0]


def test_lengths_of_annealings_are_those_of_luby():
    terms = [1, 1, 2, 1, 1, 2, 4, 1, 1, 2, 1, 1, 2, 4, 8]
    assert [luby(i + 1) for i in range(15)] == terms
    assert max(luby(i) for i in range(1, 1000)) == 256


def test_a_climb_keeps_the_best_it_met():
    problem, n = load_problem(spec("Sparse")), 14
    space = make_space(problem, n)
    rng = np.array([2], np.uint64)
    cells = np.zeros((30, bitset.width(n)), np.uint8)
    greedy_many(space, rng, cells)
    before = problem.evaluate(cells, n)
    climbed = problem.evaluate(climb_scores(problem, n, space, rng, cells, 5), n)
    further = problem.evaluate(anneal_scores(problem, n, space, rng, cells, 100), n)
    assert (climbed >= before).all()
    assert (further >= before).all()
    assert further.mean() > before.mean()


def test_repair_fills_up_only_where_the_score_gains():
    problem, n = load_problem(spec("Sparse")), 9
    space = make_space(problem, n)
    rng = np.array([2], np.uint64)
    three = bitset.pack(np.array([[0, 0, 1, 0, 1, 0, 1, 0, 0]], np.bool_))
    assert (repaired(problem, n, space, rng, three.copy()) == three).all()
    torn = bitset.pack(np.array([[0, 0, 1, 1, 1, 0, 1, 0, 0]], np.bool_))
    assert problem.validate(repaired(problem, n, space, rng, torn), n).all()


def test_a_score_in_many_lines_of_python_costs_more_than_one_in_few():
    slow, fast = (load_problem(spec(name)) for name in ("Slow", "Sparse"))
    cost = [task_cost(p, 20, "trivial", "anneal-score", 0) for p in (slow, fast)]
    assert cost[0] > cost[1] + 3


@pytest.mark.end_to_end
def test_a_run_with_scores_below_zero_keeps_them_and_can_be_resumed(cli, tmp_path):
    options = ("--generator", "perturb", "--rounds", 1, "--runs", tmp_path, "--workers", 1)
    small = (
        "--set",
        "seeding.batches=1",
        "--set",
        "seeding.moves=2000",
        "--set",
        "search.batches=1",
    )
    small += ("--set", "sample.count=20", "--set", "search.tasks_per_batch=2")
    assert cli("run", spec("Sparse"), "--n", 9, *options, *small).code == 0
    run = only_run(tmp_path)
    best = best_of(load_problem(spec("Sparse")), 9)[0]
    assert best < 0
    shown = cli("best", run, "--json", "--problem", spec("Sparse"))
    assert json.loads(shown.out)["score"] == best
    again = cli("resume", run, "--rounds", "+1", "--problem", spec("Sparse"))
    assert again.code == 0
    for command in ("show", "hist", "ls"):
        words = (run, "--problem", spec("Sparse")) if command != "ls" else ("--runs", tmp_path)
        told = cli(command, *words)
        assert told.code == 0
        assert str(best) in told.out
    report = cli("report", run, "-o", tmp_path / "report.html", "--problem", spec("Sparse"))
    assert report.code == 0
    assert f"distance {best}" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_target_below_zero_is_not_reached_by_nothing():
    found = pipeline.search(spec("Sparse"), n=9, target=-8, rounds=1)
    assert found.score == -8


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("NaN", "nan is no whole number"),
        ("Fraction", "is no whole number; round it, or scale it"),
        ("Shape", "numbers, one for each construction"),
        ("Huge", "do not fit in int32; scale the score"),
        ("Fickle", "must depend on the construction and on nothing else"),
        ("Raises", "in score)"),
        ("LopsidedTurned", "symmetries[0] changes the score"),
        ("ShortWeights", "9 whole numbers, one for each element"),
        ("NegativeWeights", "numbers from 0"),
        ("FractionWeights", "whole numbers, one for each element"),
        ("HugeWeights", "a sum that int32 holds"),
    ],
)
def test_a_fault_of_an_objective_is_told_in_one_line(name, said, cli, tmp_path):
    found = cli("search", spec(name), "--n", 9, "--rounds", 1, "--runs", tmp_path)
    assert found.code == 1
    line = found.err.strip().splitlines()[-1]
    assert said in line
    assert "please send" not in found.err


def test_what_counts_elements_alone_is_refused_for_another_objective(cli, tmp_path):
    for name, method in (("Heavy", "cover"), ("Sparse", "cover")):
        found = cli("search", spec(name), "--n", 4, "--method", method, "--runs", tmp_path)
        assert found.code == 2
        assert "counts elements alone" in found.err


# ----------------------------------------------------------------------------- permanents


def brute_permanent(matrix):
    n = len(matrix)
    rows = range(n)
    return sum(all(matrix[r][p[r]] for r in rows) for p in itertools.permutations(rows))


@pytest.mark.parametrize("n", [1, 2, 3, 5, 6])
def test_permanents_are_those_of_the_definition(n):
    bits = np.random.default_rng(n).random((30, n * n)) < 0.6
    found = np.zeros(30, np.int64)
    permanents(bitset.pack(bits), n, found)
    assert found.tolist() == [brute_permanent(row.reshape(n, n)) for row in bits]
    assert Permanent312().evaluate(bitset.pack(bits), n).tolist() == found.tolist()


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_the_best_permanents_are_those_on_record(n):
    problem = Permanent312()
    known = problem.known(n)
    assert known is not None
    assert best_of(problem, n)[0] == known.value


@pytest.mark.parametrize("n", [5, 6, 7])
def test_a_search_reaches_the_proved_permanents(n):
    problem = Permanent312()
    known = problem.known(n)
    assert known is not None
    assert pipeline.search("permanent-312", n=n, target=known.value, rounds=1).score == known.value


def test_a_permanent_has_no_certificate_of_points(cli, tmp_path):
    assert cli("search", "permanent-312", "--n", 4, "--target", 8, "--runs", tmp_path).code == 0
    found = cli("certificate", only_run(tmp_path), "-o", tmp_path / "set.json")
    assert found.code == 2
    assert "a certificate claims a number of points" in found.err


def test_nothing_is_proved_of_a_score_that_nothing_bounds():
    with pytest.raises(UsageError, match="cannot bound"):
        solve(Question("permanent-312", "standard", 3), Serial())

"""Words as constructions: what they are made of, how they are searched, shown and learnt."""

import itertools
import json
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import only_run

import pipeline
from pipeline.core import bitset
from pipeline.engine.score_search import move_rows
from pipeline.engine.space import make_space
from pipeline.engine.tasks import Task, run_task
from pipeline.errors import PipelineError
from pipeline.plugins import load_problem
from pipeline.report.drawing import drawn_text
from problems.ramsey import Ramsey, count_cliques
from problems.trees import TreeIndependence, independence_sequences

FILE = Path(__file__).parent / "plugins" / "easy" / "words.py"


def spec(name: str) -> str:
    return f"{FILE}:{name}"


def loaded(name: str) -> Any:
    return load_problem(spec(name))


def all_words(problem, n):
    letters, length = len(problem.letters(n)), problem.length(n)
    return np.array(list(itertools.product(range(letters), repeat=length)))


def task(name, n, method="anneal-score", rows=8, bound=200, seed=1, cells=None):
    m = loaded(name).ground(n).m
    cells = np.zeros((rows, bitset.width(m)), np.uint8) if cells is None else cells
    return Task(spec(name), "", n, "trivial", method, cells, np.array([seed], np.uint64), bound)


@pytest.mark.parametrize("name", ["Alternating", "Thirds", "Queens"])
def test_words_and_cells_say_the_same(name):
    problem, n = loaded(name), 5
    words = all_words(problem, n)
    cells = problem.cells(words, n)
    assert (bitset.popcounts(cells) == 5).all()
    assert (problem.words(cells, n) == words).all()


def test_a_word_is_valid_where_each_position_has_a_letter_and_no_rule_is_broken():
    problem, n = loaded("Thirds"), 5
    words = all_words(problem, n)
    valid = problem.validate(problem.cells(words, n), n)
    wanted = [all(w[i] != w[i + 3] for i in range(2)) for w in words]
    assert valid.tolist() == wanted
    bits = problem.bits(problem.cells(words[valid][:1], n), n)
    one = np.flatnonzero(bits[0])
    fewer = bitset.from_points([one[1:]], 15)
    more = bits.copy()
    more[0, :3] = True
    assert problem.is_allowed(fewer, n)[0]
    assert not problem.validate(fewer, n)[0]
    assert not problem.validate(bitset.pack(more), n)[0]


@pytest.mark.parametrize("name", ["Alternating", "Thirds", "Queens"])
def test_every_move_gives_a_word_and_all_words_are_reached(name):
    problem, n = loaded(name), 4
    space = make_space(problem, n)
    words = all_words(problem, n)
    wanted = words[problem.validate(problem.cells(words, n), n)]
    cells = problem.cells(np.repeat(wanted[:1], 40, axis=0), n)
    rng, seen = np.array([0], np.uint64), set()
    for _ in range(150):
        move_rows(space, rng, cells, True)
        assert problem.validate(cells, n).all()
        seen |= set(map(tuple, problem.words(cells, n).tolist()))
    assert seen == set(map(tuple, wanted.tolist()))


@pytest.mark.parametrize(("name", "n"), [("Alternating", 12), ("Thirds", 9), ("Queens", 8)])
def test_annealing_reaches_the_best_words(name, n):
    problem = loaded(name)
    best = {"Alternating": 11, "Thirds": 8, "Queens": 0}[name]
    cells = run_task(task(name, n))
    cells = cells[cells.any(axis=1)]
    assert problem.validate(cells, n).all()
    assert problem.evaluate(cells, n).max() == best


def test_a_search_of_ones_own_is_asked():
    problem = loaded("Sorted")
    cells = run_task(task("Sorted", 12, bound=3))
    assert (problem.words(cells, 12) == np.arange(12) % 10).all()
    start = np.zeros((3, bitset.width(120)), np.uint8)
    cells = run_task(task("Sorted", 12, "climb-score", bound=0, cells=start))
    assert (problem.evaluate(cells, 12) == 5).all()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Outside", "letters are numbers from 0 to 9"),
        ("Shorter", "words are integers of shape (B, 5)"),
        ("Fewer", "0 words for 1"),
        ("OneLetter", "an alphabet of 0 letters; there must be 1 to 1000"),
        ("NoLength", "lacks length(n)"),
        ("NoScore", "lacks score(words, n)"),
    ],
)
def test_a_fault_of_a_word_problem_is_told_in_one_line(name, said, cli, tmp_path):
    options = ("--rounds", 1, "--runs", tmp_path, "--set", "search.score_moves=8")
    found = cli("search", spec(name), "--n", 5, *options)
    assert found.code in (1, 2, 3)
    assert said in found.err.strip().splitlines()[-1]
    assert "please send" not in found.err


def test_a_run_on_words_is_searched_learnt_shown_and_resumed(cli, tmp_path):
    small = ("seeding.batches=1", "search.batches=1", "search.tasks_per_batch=2", "train.steps=4")
    small += ("sample.count=20", "model.width=16", "model.layers=1", "search.score_moves=20")
    options = [word for setting in small for word in ("--set", setting)]
    where = ("--runs", tmp_path / "runs", "--workers", 1)
    made = cli("run", spec("Queens"), "--n", 6, "--rounds", 1, *where, *options)
    assert made.code == 0
    run = only_run(tmp_path / "runs")
    mine = ("--problem", spec("Queens"))
    assert cli("resume", run, "--rounds", "+1", *mine).code == 0
    best = json.loads(cli("best", run, "--json", *mine).out)
    assert best["score"] == 0
    word = [letter for _, letter in sorted(best["points"])]
    assert sorted(word) == list(range(6))
    assert "".join(map(str, word)) in cli("best", run, *mine).out
    assert cli("export", run, "--format", "json", *mine).code == 0
    assert cli("report", run, "-o", tmp_path / "report.html", *mine).code == 0
    torn = tmp_path / "torn.json"
    torn.write_text(json.dumps({"problem": spec("Queens"), "n": 6, "points": best["points"][1:]}))
    found = cli("verify", torn, *mine)
    assert found.code == 3
    assert "a position has no letter" in found.err


def test_words_leave_and_come_back_as_words(cli, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("0 2 4 1 3\n02413\n\n4 2 0 3 1\n")  # letters apart, or of a character each
    mine = ("--problem", spec("Queens"), "--n", 5)
    assert cli("verify", words, *mine).code == 0
    left = tmp_path / "left.txt"
    assert cli("export", words, *mine, "--format", "words", "-o", left).code == 0
    assert set(left.read_text().splitlines()) == {"02413", "42031"}
    assert cli("verify", left, *mine).code == 0
    many = TreeIndependence().letter_names(14)
    words.write_text(" ".join(many) + "\n")
    trees = ("--problem", "tree-independence", "--n", 14)
    assert cli("export", words, *trees, "--format", "words").out == words.read_text()
    sets = cli("export", "latest", "--format", "words", "--runs", _sets(tmp_path, cli))
    assert (sets.code, "the constructions are sets" in sets.error) == (2, True)


def _sets(tmp_path, cli):
    limits = (
        "--rounds",
        0,
        "--set",
        "seeding.batches=1",
        "--set",
        "seeding.moves=2000",
        "--workers",
        1,
    )
    assert cli("search", "isosceles", "--n", 4, *limits, "--runs", tmp_path / "runs").code == 0
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("0 2 4 1", 1, "'0 2 4 1' is no word of queens at n=5, which has 5 letters"),
        ("0 2 4 1 5", 1, "'5' is no letter of queens at n=5; letters are '0 1 2 3 4'"),
        ("?2413", 1, "'?' is no letter"),
        ("02423", 3, "not valid"),
        ("0 2 4 1 3", 2, "does not say of which size it is"),
    ],
)
def test_a_word_that_is_none_is_told_of_in_a_line(text, code, said, cli, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text(text)
    size = () if code == 2 else ("--n", 5)
    found = cli("verify", words, "--problem", spec("Queens"), *size)
    assert (found.code, "Traceback" in found.err) == (code, False)
    assert said in found.err


@pytest.mark.end_to_end
def test_the_interface_of_words_is_that_of_sets():
    small = {"search": {"score_moves": 50}, "seeding": {"batches": 1, "moves": 2000}}
    found = pipeline.search(spec("Queens"), n=6, rounds=1, config=small)
    assert found.score == 0
    drawn = drawn_text(found.problem.ground(6), found.best().elements)
    assert drawn is not None
    assert drawn in str(found.best())
    with pytest.raises(PipelineError, match="letters are numbers"):
        loaded("Queens").cells(np.array([[9] * 6]), 6)


# ------------------------------------------------------------------------ Ramsey colourings


@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_cliques_are_counted_as_the_definition_has_it(k):
    n = 8
    words = np.random.default_rng(k).integers(2, size=(20, n * (n - 1) // 2))
    for colour in (0, 1):
        found = np.zeros(20, np.int64)
        count_cliques(words, n, colour, k, found)
        for word, said in zip(words, found, strict=True):
            mine = sum(
                all(
                    word[b * (b - 1) // 2 + a] == colour for a, b in itertools.combinations(some, 2)
                )
                for some in itertools.combinations(range(n), k)
            )
            assert said == mine


@pytest.mark.parametrize(("convention", "n"), [("3,3", 5), ("3,4", 8), ("3,5", 13), ("4,4", 17)])
def test_colourings_below_the_ramsey_number_are_found(convention, n):
    known = Ramsey(convention).known(n)
    assert known is not None
    assert Ramsey(convention).known(n + 1) is None
    found = pipeline.search(Ramsey(convention), n=n, rounds=1)
    assert found.score == known.value == comb(n, int(convention[0])) + comb(n, int(convention[2]))


def test_no_colouring_of_six_vertices_is_without_triangles():
    problem = Ramsey("3,3")
    words = all_words(problem, 6)
    scores = problem.score(words, 6)
    assert scores.max() == problem.most(6) - 2  # Goodman: two triangles at least


# --------------------------------------------------------------------------------- trees


def brute_sequence(word, n):
    edges = [(v, int(word[v - 1]) % v) for v in range(1, n)]
    counts = [0] * (n + 1)
    for bits in range(1 << n):
        if not any(bits >> a & 1 and bits >> b & 1 for a, b in edges):
            counts[bits.bit_count()] += 1
    return counts


def test_independence_sequences_are_those_of_the_definition():
    n = 9
    words = np.random.default_rng(0).integers(n - 1, size=(12, n - 1))
    found = np.zeros((12, n + 1))
    independence_sequences(words, n, found)
    assert found.tolist() == [brute_sequence(word, n) for word in words]


def test_a_tree_that_is_not_log_concave_is_found():
    found = pipeline.search("tree-independence", n=26, target=1, rounds=20)
    assert found.score > 0
    problem = TreeIndependence()
    word = problem.words(bitset.from_points([found.best().elements], problem.ground_size(26)), 26)
    counts = np.zeros((1, 27))
    independence_sequences(word, 26, counts)
    row = [int(x) for x in counts[0]]
    assert any(row[k - 1] * row[k + 1] > row[k] ** 2 for k in range(1, 26))

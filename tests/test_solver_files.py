"""Files for other solvers: they mean the problem, and answers to them are read and verified."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest

from pipeline.core import bitset
from pipeline.core.symmetry import belonging, find_class, orbits
from pipeline.engine.forbidden_sets import forbidden_sets
from pipeline.errors import PipelineError, UsageError
from pipeline.plugins import load_problem
from pipeline.publish.solver_files import at_least, decoded

PLUGINS = Path(__file__).parent / "plugins"
CASES = [
    ("isosceles", None, 3, "trivial"),
    ("isosceles", "flat-allowed", 3, "trivial"),
    ("isosceles", None, 5, "both-mirrors"),
    ("isosceles", None, 4, "half-turn@3x4"),
    ("no-3-in-line", None, 4, "quarter-turn"),
    ("no-4-on-a-circle", None, 3, "trivial"),
    ("no-4-on-a-circle", None, 4, "half-turn"),
    ("no-5-on-a-sphere", None, 2, "trivial"),
    ("no-5-on-a-sphere", None, 3, "half-turns"),
    ("girth-5", None, 5, "trivial"),
    (f"{PLUGINS / 'easy' / 'objectives.py'}:Columns", None, 3, "trivial"),
]


def every_set(problem, n, symmetry):
    """Return all sets of whole usable orbits, bool ``(2**k, m)``, and each's choices."""
    ground = problem.ground(n)
    cls = find_class(ground, symmetry)
    of = orbits(ground, cls).of
    alone = [bitset.pack((of == o)[None]) for o in range(of.max() + 1)]
    usable = [
        o
        for o in range(of.max() + 1)
        if problem.validate(alone[o], n)[0] and belonging(ground, cls)[of == o].all()
    ]
    chosen = np.array(list(itertools.product([False, True], repeat=len(usable))))
    bits = np.stack([of == o for o in usable], axis=1)
    return (chosen @ bits.T.astype(int)) > 0, chosen


@pytest.mark.parametrize(("spec", "convention", "n", "symmetry"), CASES)
def test_the_listed_sets_are_the_smallest_forbidden_ones(spec, convention, n, symmetry):
    problem = load_problem(spec, convention)
    space, found = forbidden_sets(problem, n, symmetry)
    sets, chosen = every_set(problem, n, symmetry)
    assert chosen.shape[1] == len(space.key)
    valid = problem.validate(bitset.pack(sets), n)
    wrong = {frozenset(np.flatnonzero(row)) for row in chosen[~valid]}
    smallest = {s for s in wrong if not any(s - {v} in wrong for v in s)}
    listed = [frozenset(row.tolist()) for rows in found for row in rows]
    assert len(set(listed)) == len(listed)
    assert set(listed) == smallest


def solutions(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Return which assignments of an OPB file hold, bool ``(2**k,)``, and minus its objective."""
    head = re.match(r"\* #variable= (\d+) #constraint= (\d+)\n", text)
    assert head is not None
    count = int(head[1])
    every = np.array(list(itertools.product([0, 1], repeat=count)))
    fine, value, constraints = np.ones(len(every), np.bool_), np.zeros(len(every)), 0
    for line in text.splitlines():
        if line.startswith("*"):
            continue
        terms = re.findall(r"([-+]\d+) x(\d+)", line)
        sums = sum((int(a) * every[:, int(x) - 1] for a, x in terms), np.zeros(len(every), int))
        if line.startswith("min:"):
            value = -sums
        else:
            constraints += 1
            bound = re.search(r">= (-?\d+) ;$", line)
            assert bound is not None
            fine &= sums >= int(bound[1])
    assert constraints == int(head[2])
    return fine, value


@pytest.mark.parametrize(("spec", "convention", "n", "symmetry"), CASES)
def test_an_opb_file_means_the_problem(spec, convention, n, symmetry, cli, tmp_path):
    problem = load_problem(spec, convention)
    words = [spec, "--n", n, "--symmetry", symmetry]
    words += ["--convention", convention] if convention else []
    assert cli("encode", *words, "-o", tmp_path / "all.opb").code == 0
    sets, _ = every_set(problem, n, symmetry)
    cells = bitset.pack(sets)
    valid, scores = problem.validate(cells, n), problem.evaluate(cells, n)
    fine, value = solutions((tmp_path / "all.opb").read_text())
    np.testing.assert_array_equal(fine, valid)
    np.testing.assert_array_equal(value, scores)
    best = int(scores[valid].max())
    assert cli("encode", *words, "-o", tmp_path / "k.opb", "--size", best).code == 0
    fine, _ = solutions((tmp_path / "k.opb").read_text())
    np.testing.assert_array_equal(fine, valid & (scores >= best))


def holds(clauses, assignment):
    """Tell whether clauses hold where variable i has the value ``assignment[i - 1]``."""
    return all(any(assignment[abs(x) - 1] == (x > 0) for x in clause) for clause in clauses)


@pytest.mark.parametrize(("count", "k"), [(3, 1), (3, 2), (3, 3), (4, 2), (2, 0), (2, 3)])
def test_a_counter_holds_exactly_where_enough_literals_do(count, k):
    clauses, used = at_least(range(1, count + 1), k, count)
    for values in itertools.product([False, True], repeat=count):
        found = any(
            holds(clauses, (*values, *more))
            for more in itertools.product([False, True], repeat=used - count)
        )
        assert found == (sum(values) >= k)


def lines_of(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines() if not line.startswith("c")]


def test_a_wcnf_file_has_hard_clauses_and_what_each_choice_is_worth(cli, tmp_path):
    words = ["isosceles", "--n", 5, "--symmetry", "both-mirrors"]
    found = cli("encode", *words, "-o", tmp_path / "a.wcnf", "--json")
    about = json.loads(found.out)
    lines = lines_of(tmp_path / "a.wcnf")
    hard = [list(map(int, line[1:-1])) for line in lines if line[0] == "h"]
    soft = [list(map(int, line)) for line in lines if line[0] != "h"]
    assert len(hard) == about["constraints"]
    assert [row[1:] for row in soft] == [[i + 1, 0] for i in range(about["variables"])]
    problem = load_problem("isosceles")
    sets, chosen = every_set(problem, 5, "both-mirrors")
    valid = problem.validate(bitset.pack(sets), 5)
    assert [holds(hard, row) for row in chosen.tolist()] == valid.tolist()
    worth = np.array([row[0] for row in soft])
    np.testing.assert_array_equal(chosen @ worth, sets.sum(axis=1))


def test_a_choice_that_is_worth_nothing_has_no_soft_clause(cli, tmp_path):
    plugin = f"{PLUGINS / 'easy' / 'objectives.py'}:Weightless"
    assert cli("encode", plugin, "--n", 3, "-o", tmp_path / "a.wcnf").code == 0
    soft = [line for line in lines_of(tmp_path / "a.wcnf") if line[0] != "h"]
    assert [list(map(int, line)) for line in soft] == [[v % 3, v + 1, 0] for v in range(9) if v % 3]


def test_a_cnf_file_asks_for_a_size(cli, tmp_path):
    assert cli("encode", "isosceles", "--n", 3, "-o", tmp_path / "a.cnf", "--size", 4).code == 0
    head, *lines = lines_of(tmp_path / "a.cnf")
    clauses = [list(map(int, line[:-1])) for line in lines]
    assert head == ["p", "cnf", str(max(abs(x) for c in clauses for x in c)), str(len(clauses))]
    forbidden = [c for c in clauses if all(abs(x) <= 9 for x in c)]
    _, used = at_least(range(1, 10), 4, 9)
    assert int(head[2]) == used
    problem = load_problem("isosceles")
    sets, chosen = every_set(problem, 3, "trivial")
    for row, members in zip(chosen.tolist(), sets, strict=True):
        # The counter's variables, as they are forced from below.
        more = [sum(row[: i + 1]) >= j for i in range(9) for j in range(1, 5)]
        valid = problem.validate(bitset.pack(members[None]), 3)[0]
        assert holds(clauses, row + more) == (valid and members.sum() >= 4)
        assert holds(forbidden, row) == valid


ANSWERS = [
    "c found\ns OPTIMUM FOUND\nv x1 x2 -x3\nv -x4 -x5 -x6 -x7 -x8 -x9\n",
    "s SATISFIABLE\nv 1 2 -3 -4\nv -5 -6 -7 -8 -9 10 -11 0\n",
    "o 7\nv 110000000\n",
    "objective value: 2\nx1   1 \t(obj:-1)\nx2 1.0\nx5 0\n",
]


@pytest.mark.parametrize("answer", ANSWERS)
def test_answers_of_all_kinds_are_read_and_verified(answer, cli, tmp_path):
    (tmp_path / "answer").write_text(answer)
    out = tmp_path / "set.json"
    found = cli("decode", "isosceles", tmp_path / "answer", "--n", 3, "-o", out)
    assert (found.code, found.error) == (0, "")
    assert "2 points, verified" in found.out
    assert json.loads(out.read_text())["points"] == [[0, 0], [0, 1]]
    assert cli("verify", out).code == 0
    told = json.loads(cli("decode", "isosceles", tmp_path / "answer", "--n", 3, "--json").out)
    assert (told["score"], told["best_known"], told["symmetry"]) == (2, 4, "trivial")


def test_an_answer_in_orbits_is_read_by_its_symmetry(cli, tmp_path):
    (tmp_path / "answer").write_text("v x1\n")
    words = ["decode", "isosceles", tmp_path / "answer", "--n", 4, "--symmetry", "half-turn@3x4"]
    assert json.loads(cli(*words, "--json").out)["points"] == [[0, 0], [2, 3]]


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        ("s UNSATISFIABLE\n", 1, "no line begins with v; it says 's UNSATISFIABLE'"),
        ("", 1, "no values of variables in the answer"),
        ("v x1 -x1\n", 1, "gives x1 both values"),
        ("v x1 y2\n", 1, "none of a variable: 'y2'"),
        ("v x1 x2 x3\n", 1, "these points break the rule: [[0, 0], [0, 1], [0, 2]]"),
    ],
)
def test_an_answer_that_is_none_is_one_line(answer, code, message, cli, tmp_path):
    (tmp_path / "answer").write_text(answer)
    found = cli("decode", "isosceles", tmp_path / "answer", "--n", 3)
    assert found.code == code or found.code > 0
    assert message in found.error
    assert found.err.count("\n") <= 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["isosceles", "--n", "4", "-o", "a.txt"], "must end in .opb, .wcnf or .cnf"),
        (["isosceles", "--n", "4", "-o", "a.cnf"], "add --size K"),
        (["isosceles", "--n", "4", "-o", "a.wcnf", "--size", "4"], "--size goes with"),
        (["isosceles", "--n", "4", "-o", "a.opb", "--size", "0"], "a number from 1"),
        (["isosceles", "--n", "5", "-o", "a.cnf", "--size", "4", "--symmetry", "mirror"], "sizes"),
        (["isosceles", "--n", "200", "-o", "a.opb"], "too many to list what is forbidden"),
        (["no-5-on-a-sphere", "--n", "9", "-o", "a.opb"], "forbidden; take a smaller n"),
        (["permanent-312", "--n", "4", "-o", "a.opb"], "score of its own"),
        (["isosceles", "--n", "4", "-o", "nowhere/a.opb"], "nowhere"),
    ],
)
def test_what_cannot_be_encoded_is_one_line(words, message, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = cli("encode", *words)
    assert found.code == 2
    assert message in found.error
    assert not list(tmp_path.glob("a.*"))


def test_choices_that_an_answer_does_not_name_are_out():
    problem = load_problem("isosceles")
    space, _ = forbidden_sets(problem, 3)
    assert decoded("v x9", space, 9).tolist() == [False] * 8 + [True]
    with pytest.raises(PipelineError):
        decoded("x1 = 1", space, 9)
    with pytest.raises(UsageError):
        forbidden_sets(problem, 3, "both-mirors")

"""Problems from a text file that lists the forbidden sets: read, searched, judged, carried on."""

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY

import pipeline
from pipeline.core import automorphisms, bitset, kept_arrays
from pipeline.core.ground_set import most_listed
from pipeline.errors import PipelineError, RunError, UsageError
from pipeline.hypergraph_file import parse
from pipeline.plugins import load_problem, problem_spec
from pipeline.testing import ProblemContract

FILE = Path(__file__).parent / "data" / "edges.txt"
SPEC = f"{FILE}:hypergraph"
EDGES = [
    set(map(int, re.split("[ ,]+", line)))
    for line in (raw.partition("#")[0].strip() for raw in FILE.read_text().splitlines())
    if line
]


def largest() -> int:
    """Return the size of a largest set without an edge, by trying all."""
    return max(
        len(chosen)
        for k in range(13)
        for chosen in itertools.combinations(range(12), k)
        if not any(edge <= set(chosen) for edge in EDGES)
    )


class TestTheHypergraph(ProblemContract):
    problem = SPEC
    sizes = (12,)

    def is_valid(self, n, points):
        return not any(edge <= {v for (v,) in points} for edge in EDGES)


# -------------------------------------------------------------------------------------- reading


def test_sets_are_read_sorted_once_and_without_those_that_hold_a_smaller_one():
    m, parts = parse(FILE.read_bytes(), "here")
    assert m == 12
    assert [part.shape for part in parts] == [(4, 2), (4, 3), (4, 4)]
    rows = [set(row) for part in parts for row in part.tolist()]
    assert all(edge in rows for edge in EDGES if edge != {0, 3, 6})


def test_without_a_comment_that_counts_them_the_elements_end_with_the_last_one_named():
    assert parse(b"0 7\n2,1 , 3\n", "here")[0] == 8


def test_a_name_depends_on_the_sets_alone(tmp_path):
    (tmp_path / "a").write_text("# one\n2 0 1\n0 4\n")
    (tmp_path / "b").write_text("4,0\r\n0,1,2\r\n1 0 2\r\n")
    (tmp_path / "c").write_text("# elements 6\n2 0 1\n0 4\n")
    a, b, c = (load_problem(f"{tmp_path / name}:hypergraph").name for name in "abc")
    assert a == b != c
    assert re.fullmatch("hypergraph-[0-9a-f]{12}", a)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "holds no forbidden set"),
        (b"# nothing\n\n", "holds no forbidden set"),
        (b"0 1\n4\n", "line 2: a forbidden set has 2 to 8 elements, not 1; .*--mask"),
        (b"0 1 2 3 4 5 6 7 8", "line 1: a forbidden set has 2 to 8 elements, not 9"),
        (b"0 1\n2 3 2\n", "line 2: element 2 is there twice"),
        (b"0 -1", "line 1: '-1' is no element"),
        (b"0 1.5", "line 1: '1.5' is no element"),
        (b"0 x", "line 1: 'x' is no element"),
        (b"0 " + b"9" * 5000, "line 1: .* is no element"),
        ("0 ٣".encode(), "line 1: .* is no element"),
        (b"\xff\xfe0 1", "is no text"),
        (b"# elements 5\n# elements 5\n0 1", "line 2: the number of elements is given twice"),
        (b"# elements many\n0 1", "line 1: 'many' is no element"),
        (b"# elements 0\n0 1", "line 1: 0 elements; there may be 1 to 1,000,000"),
        (b"# elements 10000000\n0 1", "line 1: 10,000,000 elements; there may be 1 to 1,000,000"),
        (b"# elements 3\n0 3", "element 3 is in a forbidden set, and there are 3 elements, 0 to 2"),
        (b"0 1 999999", "1 forbidden sets of 1,000,000 elements would take .* of tables"),
    ],
)
def test_what_is_no_list_of_forbidden_sets_is_told_in_a_line_that_names_the_fix(text, message):
    with pytest.raises(UsageError, match=f"^here.*{message}") as told:
        parse(text, "here")
    assert "\n" not in str(told.value)


def test_a_file_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.hypergraph_file.MOST_BYTES", 5)
    (tmp_path / "edges.txt").write_text("0 1 2\n")
    with pytest.raises(UsageError, match=r"has 6 bytes, 5 are the most"):
        load_problem(f"{tmp_path / 'edges.txt'}:hypergraph")


def test_a_size_that_is_not_the_number_of_elements_is_refused():
    with pytest.raises(UsageError, match="n is the number of elements, which is 12, not 6"):
        load_problem(SPEC).ground(6)


# ------------------------------------------------------------------------------------ judging


def test_the_validator_agrees_with_a_look_at_every_edge():
    problem, rng = load_problem(SPEC), np.random.default_rng(0)
    chosen = rng.random((3000, 12)) < rng.random((3000, 1))
    held = [[edge for edge in EDGES if edge <= set(np.flatnonzero(row))] for row in chosen]
    assert problem.validate(bitset.pack(chosen), 12).tolist() == [not some for some in held]
    for row, some in zip(chosen[:200], held, strict=False):
        shown = problem.witness(np.flatnonzero(row), 12)
        assert (shown is None) == (not some)
        assert shown is None or set(shown) in some


# ----------------------------------------------------------------------------------- symmetries


@pytest.fixture
def no_cache(monkeypatch):
    """Make arrays anew."""
    monkeypatch.setattr(kept_arrays, "kept", lambda _key, make: make())


@pytest.mark.usefixtures("no_cache")
def test_the_symmetries_are_those_that_permute_the_edges():
    pytest.importorskip("pynauty", reason="pynauty is missing: pip install '.[nauty]'")
    group = load_problem(SPEC).ground(12).group
    smallest = {frozenset(edge) for edge in EDGES if edge != {0, 3, 6}}
    for row in group:
        assert {frozenset(row[list(edge)].tolist()) for edge in smallest} == smallest
    assert any((row == (np.arange(12) + 3) % 12).all() for row in group)


def test_a_group_that_is_too_large_gives_way_to_a_subgroup():
    pytest.importorskip("pynauty", reason="pynauty is missing: pip install '.[nauty]'")
    pairs = np.array([[0, 1]], np.int32)  # and eight elements that may all change places
    group = automorphisms.listed_automorphisms([pairs], 10)
    assert 24 <= len(group) <= most_listed(10)
    assert all(set(row[:2].tolist()) == {0, 1} for row in group)


@pytest.mark.usefixtures("no_cache")
def test_without_pynauty_there_are_no_symmetries(monkeypatch):
    monkeypatch.setattr("pipeline.hypergraph_file.can_find", lambda: False)
    monkeypatch.setattr(automorphisms, "can_find", lambda: False)
    assert len(load_problem(SPEC).ground(12).group) == 1


# --------------------------------------------------------------------------- commands and runs


def test_search_and_solve_take_a_file_and_need_no_size(tmp_path, cli):
    given = ("--hypergraph", FILE, "--workers", 1, "--json")
    limits = (
        "--rounds",
        0,
        "--set",
        "seeding.batches=1",
        "--set",
        "seeding.moves=2000",
        "--runs",
        tmp_path,
    )
    found = cli("search", *given, *limits)
    assert found.code == 0, found.err
    assert json.loads(found.out)["best"]["score"] == largest()
    proof = json.loads(cli("solve", *given).out)
    assert (proof["n"], proof["upper"], proof["proved"]) == (12, largest(), True)


def test_check_says_what_the_file_holds(cli):
    done = cli("check", "--hypergraph", FILE)
    assert done.code == 0, done.err
    assert (
        "forbidden (n = 12): 4 of 2 elements, 4 of 3 elements, 4 of 4 elements, listed" in done.out
    )
    wrong = cli("check", "--hypergraph", FILE, "--n", 7)
    assert (wrong.code, "n is the number of elements, which is 12" in wrong.error) == (2, True)


@pytest.fixture
def begun(tmp_path, cli):
    """A run of one round, of a file that is then moved away."""
    file = tmp_path / "edges.txt"
    file.write_bytes(FILE.read_bytes())
    tiny = ["--rounds", "1", *TINY[4:]]
    done = cli("run", "--hypergraph", file, *tiny, "--runs", tmp_path / "runs")
    assert done.code == 0, done.err
    file.rename(tmp_path / "moved.txt")
    return Path(done.out.splitlines()[0])


def test_a_run_goes_on_and_is_judged_by_its_own_copy_of_the_file(begun, tmp_path, cli):
    where = ("--runs", begun.parent)
    assert (begun / "hypergraph.txt").read_bytes() == FILE.read_bytes()
    assert cli("resume", "latest", "--rounds", "+1", *where).code == 0
    for command in (["show"], ["verify", "--all-rounds"], ["best"], ["report"]):
        done = cli(*command, "latest", *where)
        assert (done.code, "Traceback" in done.err) == (0, False), done.err
    made = cli("certificate", "latest", *where, "-o", tmp_path / "cert")
    assert made.code == 0, made.err
    check = [sys.executable, "-I", "-S", str(tmp_path / "cert" / "verify.py")]
    assert subprocess.run(check, capture_output=True).returncode == 0


def test_a_run_with_another_group_is_not_resumed(begun, cli):
    kept = begun / "symmetries.json"
    order = json.loads(kept.read_text())["order"]
    kept.write_text(json.dumps({"order": order + 6}))
    done = cli("resume", begun, "--rounds", "+1")
    assert (done.code, "Traceback" in done.err) == (4, False)
    assert f"began with a group of {order + 6} symmetries" in done.error
    assert f"has {order}; go on with the packages that it began with, pynauty" in done.error
    with pytest.raises(RunError, match="began with a group of"):
        pipeline.run(store=pipeline.open_run(begun), rounds=2)
    kept.write_text("[]")
    assert "symmetries.json is damaged" in cli("resume", begun, "--rounds", "+1").error
    kept.unlink()  # as in an earlier release
    assert cli("resume", begun, "--rounds", "+1").code == 0


def test_a_certificate_of_a_set_with_an_edge_fails_however_few_elements_it_has(
    begun, tmp_path, cli
):
    cli("certificate", "latest", "--runs", begun.parent, "-o", tmp_path / "cert")
    (file,) = (tmp_path / "cert").glob("*.json")
    claim = json.loads(file.read_text())
    file.write_text(json.dumps(claim | {"points": [[0], [3]], "score": 2}))
    check = [sys.executable, "-I", "-S", str(tmp_path / "cert" / "verify.py")]
    done = subprocess.run(check, capture_output=True, text=True)
    assert (done.returncode, "these break the rule" in done.stdout) == (1, True)


def test_a_copy_that_was_changed_is_noticed(begun, cli):
    with open(begun / "hypergraph.txt", "a") as file:
        file.write("0 1\n")
    done = cli("verify", begun)
    assert (done.code, "the file has changed" in done.error) == (1, True)


def test_constructions_name_the_file_which_may_have_moved_but_not_changed(begun, tmp_path, cli):
    best = begun / "best" / "n12.json"
    moved = tmp_path / "moved.txt"
    lost = cli("verify", best)
    assert (lost.code, "--problem FILE:hypergraph" in lost.error) == (1, True)
    assert cli("verify", best, "--problem", f"{moved}:hypergraph").code == 0
    moved.write_text(moved.read_text() + "0 1\n")
    assert cli("verify", best, "--problem", f"{moved}:hypergraph").code == 1
    moved.rename(tmp_path / "edges.txt")
    changed = cli("verify", best)
    assert (changed.code, "the file has changed" in changed.error) == (1, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["search"], "name a PROBLEM or a --hypergraph"),
        (["solve", "isosceles", "--hypergraph", FILE], "one of the two"),
        (["run", "--hypergraph", "nope.txt"], "no such file: nope.txt"),
        (["search", "--hypergraph", FILE, "--n", 7], "n is the number of elements, which is 12"),
        (["solve", "--hypergraph", FILE, "--n", 7], "n is the number of elements, which is 12"),
        (["run", "--hypergraph", FILE, "--sizes", "9:12"], "n is the number of elements"),
        (["check", "--hypergraph", "nope.txt"], "no such file: nope.txt"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_bad_input_is_one_line(words, message, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = cli(*words)
    assert (done.code, message in done.error, done.out) == (2, True, "")


def test_a_file_is_a_problem_of_the_python_interface_too():
    found = pipeline.search(
        SPEC, 12, rounds=0, workers=1, config={"seeding": {"batches": 1, "moves": 2000}}
    )
    assert found.best().score == largest()
    assert pipeline.verify(SPEC, [(0,), (1,)], 12).valid
    assert not pipeline.verify(SPEC, [(0,), (3,)], 12).valid


def test_a_spec_means_the_sets_it_was_made_of(tmp_path):
    file = tmp_path / "edges.txt"
    file.write_text("0 1\n")
    spec = problem_spec(f"{file}:hypergraph")
    assert load_problem(spec).name == spec.rpartition(":")[2]
    file.write_text("0 2\n")
    with pytest.raises(PipelineError, match="the file has changed"):
        load_problem(spec)

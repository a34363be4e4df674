"""Constructions in the formats that people write: each read, and used wherever a run is."""

import csv
import json

import numpy as np
import pytest

from pipeline.core.bitset import from_points
from pipeline.storage.construction_files import read_constructions

#: The same ten points at n=7, no isosceles triangle among them.
POINTS = [[0, 3], [0, 4], [2, 3], [2, 6], [3, 4], [3, 6], [4, 0], [5, 0], [6, 1], [6, 2]]
ROWS = [[int([i, j] in POINTS) for j in range(7)] for i in range(7)]
ENTRY = {"problem": "isosceles", "n": 7, "points": POINTS}


def _board(empty, full, between=""):
    return "\n".join(between.join(full if x else empty for x in row) for row in ROWS) + "\n"


#: Those that are drawn say their size by it.
DRAWN = {
    "board": _board(".", "O"),
    "board of x": _board("_", "x"),
    "board of hashes": _board(".", "#"),
    "board of discs": _board("·", "●", " "),
    "0 and 1": _board("0", "1"),
    "0 and 1, spaced": _board("0", "1", " "),
    "0 and 1 as CSV": _board("0", "1", ","),
    "matrix": json.dumps(ROWS),
    "matrix as Python prints it": str(tuple(map(tuple, ROWS))),
    "cells": "!Name: ours\n"
    + "\n".join(row.rstrip(".") or "." for row in _board(".", "O").split()),
    "RLE": "#N ours\nx = 7, y = 7, rule = B3/S23\n3b2o2b$7b$3bo2bo$4bobo$o$\no$b2o!\nwords",
    "RLE, empty rows skipped": "x=7,y=7\n3b2o2$3bo2bo$4bobo$o$o$b2o!",
}
LISTED = {
    "list": json.dumps(POINTS),
    "list over lines": json.dumps(POINTS, indent=1),
    "tuples": str([tuple(p) for p in POINTS]),
    "tuple of tuples, a comma left": str(tuple(map(tuple, POINTS))).replace("))", "),)"),
    "set": "{" + ", ".join(str(tuple(p)) for p in POINTS) + "}",
    "tuples without brackets": ", ".join(str(tuple(p)) for p in POINTS),
    "CSV": "row,column\n" + "\n".join(f"{i},{j}" for i, j in POINTS),
    "CSV of a spreadsheet": "\ufeffrow;column\r\n" + "\r\n".join(f"{i};{j}" for i, j in POINTS),
    "columns": "\n".join(f"{i}\t{j}" for i, j in POINTS),
    "object without a size": json.dumps({"problem": "isosceles", "points": POINTS}),
}
SAYING = {
    "object": json.dumps(ENTRY),
    "list of objects": json.dumps([ENTRY, ENTRY]),
    "objects in lines": "\n".join([json.dumps(ENTRY)] * 2),
    "our CSV": "problem,convention,n,score,points\nisosceles,,7,10,"
    + ";".join(f"{i} {j}" for i, j in POINTS),
}


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def written(tmp_path, text, name="given.txt"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", [*DRAWN, *LISTED, *SAYING])
def test_every_format_is_read(tmp_path, cli, name):
    text = {**DRAWN, **LISTED, **SAYING}[name]
    words = [] if name in SAYING else ["--problem", "isosceles"]
    words += ["--n", 7] if name in LISTED else []
    found = cli("verify", written(tmp_path, text), *words, "--json")
    assert found.code == 0, found.err
    for row in json.loads(found.out)["checked"]:
        assert (row["problem"], row["n"], row["score"]) == ("isosceles", 7, 10)


@pytest.mark.parametrize("name", ["board", "tuples", "our CSV", "object"])
def test_the_format_is_known_by_the_content_not_by_the_name(tmp_path, cli, name):
    text = {**DRAWN, **LISTED, **SAYING}[name]
    path = written(tmp_path, text, "given.json")
    assert cli("verify", path, "--problem", "isosceles", "--n", 7).code == 0


def test_what_a_file_does_not_say_is_asked_for(tmp_path, cli):
    path = written(tmp_path, LISTED["tuples"])
    found = cli("verify", path)
    assert found.code == 2
    assert "names no problem; add --problem" in found.error
    found = cli("verify", path, "--problem", "isosceles")
    assert found.code == 2
    assert "add --n" in found.error


def test_a_file_of_another_problem_than_named_is_refused(tmp_path, cli):
    found = cli("verify", written(tmp_path, SAYING["object"]), "--problem", "no-3-in-line")
    assert found.code == 1
    assert "of 'isosceles', not of no-3-in-line" in found.error


@pytest.mark.parametrize("n", [7, 8])
def test_a_set_that_counts_from_one_is_told_so(tmp_path, cli, n):
    moved = [[i + 1, j + 1] for i, j in POINTS]
    found = cli("verify", written(tmp_path, json.dumps({**ENTRY, "points": moved})))
    assert found.code == 1
    assert "take 1 from every coordinate" in found.error
    # Nothing of the kind is said where it would not hold.
    flat = [[1, 5], [1, 6], [1, 7]]
    found = cli("verify", written(tmp_path, json.dumps({**ENTRY, "n": n, "points": flat})))
    assert found.code in (1, 3)
    assert "take 1" not in found.error


def test_two_rows_of_two_may_be_either_and_are_refused(tmp_path, cli):
    path = written(tmp_path, "[[0, 1], [1, 0]]")
    found = cli("verify", path, "--problem", "isosceles", "--n", 2)
    assert found.code == 2
    assert "may be a matrix, or points" in found.error


def test_several_lists_are_several_constructions(tmp_path, cli):
    path = written(tmp_path, f"{[tuple(p) for p in POINTS]}\n{[tuple(p) for p in POINTS[:3]]}\n")
    found = cli("verify", path, "--problem", "isosceles", "--n", 7, "--json")
    assert [row["score"] for row in json.loads(found.out)["checked"]] == [10, 3]


def test_a_problem_of_one_coordinate_takes_bare_numbers(tmp_path, cli):
    plugin = written(tmp_path, _LINE, "on_a_line.py")
    path = written(tmp_path, "[0, 1, 4]")
    words = ("--problem", f"{plugin}:OnALine", "--n", 6, "--json")
    assert json.loads(cli("verify", path, *words).out)["checked"][0]["score"] == 3


_LINE = """
import numpy as np
from pipeline.problem import Problem, blocking_hook, checker
from pipeline.core.ground_set import GroundSet

@blocking_hook
def hook(v, members, size, inside, slot, counts, delta, coords, tables):
    pass

@checker
def check(points, size, coords, witness):
    return 0

class OnALine(Problem):
    name, arity, hook, checker = "on-a-line", 2, hook, check
    def ground_size(self, n):
        return n
    def ground_set(self, n):
        places = np.arange(n, dtype=np.int32)
        return GroundSet(n, places[:, None], places[None])
"""


# ----------------------------------------------------------------- a FILE where a RUN goes


def test_what_export_writes_is_read_back(played, cli, tmp_path):
    for kind in ("json", "csv", "parquet"):
        path = tmp_path / f"pool.{kind}"
        assert cli("export", played, "--format", kind, "--top", 7, "-o", path).code == 0
        found = cli("count", path, "--json")
        assert found.code == 0, found.err
        (size,) = json.loads(found.out)["sizes"]
        assert sum(row["inequivalent"] for row in size["scores"]) == 7
        assert cli("export", path, "--format", "csv").code == 0


@pytest.mark.parametrize("name", ["board", "RLE", "matrix"])
def test_a_file_goes_wherever_a_run_goes(tmp_path, cli, name):
    path, words = written(tmp_path, DRAWN[name]), ("--problem", "isosceles")
    told = json.loads(cli("best", path, *words, "--json").out)
    assert (told["score"], told["file"]) == (10, str(path))
    assert f"read from {path}" in cli("best", path, *words).out
    (row,) = json.loads(cli("export", path, *words).out)
    assert (row["points"], row["origin"]) == (POINTS, "import")
    assert "10" in cli("count", path, *words).out
    assert cli("certificate", path, *words, "-o", "cert").code == 0
    (held,) = (tmp_path / "cert").glob("*.json")
    assert json.loads(held.read_text())["provenance"]["file"] == path.name
    for what in ("board", "heatmap", "scores"):
        drawn = tmp_path / f"{what}.svg"
        assert cli("plot", path, *words, "--what", what, "-o", drawn).code == 0
        assert drawn.read_text().startswith("<svg")
    assert cli("report", path, *words, "-o", "page.html").code == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert path.name in page
    assert "equal to the best known" in page
    assert page.count("<svg") >= 3


def test_what_a_file_cannot_tell_is_a_wrong_option(tmp_path, cli):
    path, words = written(tmp_path, DRAWN["board"]), ("--problem", "isosceles")
    found = cli("plot", path, *words, "--what", "progress", "-o", "x.svg")
    assert found.code == 2
    assert "is a file, which has no rounds" in found.error
    assert cli("plot", path, *words, "--what", "board", "--round", 1, "-o", "x.svg").code == 2
    assert "say where its page goes" in cli("report", path, *words).error
    found = cli("report", path, path, *words, "-o", "x.html")
    assert found.code == 2
    assert "no progress to compare" in found.error
    found = cli("best", "nobody.csv")
    assert found.code == 2
    assert "no such file" in found.error


@pytest.mark.parametrize("suffix", ["txt", "csv", "rle"])
def test_a_run_starts_from_any_format(tmp_path, cli, suffix):
    text = {"txt": DRAWN["board"], "csv": LISTED["CSV"], "rle": DRAWN["RLE"]}[suffix]
    start = written(tmp_path, text, f"start.{suffix}")
    words = ["--sizes", 7, "--rounds", 0, "--workers", 1, "--seeding", "greedy"]
    words += ["--set", "seeding.count=5", "--set", "compute.threads=1", "--runs", tmp_path / "runs"]
    found = cli("run", "isosceles", "--n", 7, *words, "--start", start, "--json")
    assert found.code == 0, found.err
    best = json.loads(found.out)["best"]
    assert (best["score"], best["origin"]) == (10, "import")
    assert sorted(best["points"]) == POINTS


# --------------------------------------------------------------------------- picking one


def test_a_construction_is_picked_by_rank_or_id(played, cli, tmp_path):
    rows = json.loads(cli("export", played, "--top", 50).out)
    shown = json.loads(cli("best", played, "--rank", 5, "--json").out)
    assert shown["points"] in [row["points"] for row in rows]
    for row in rows[:5]:
        for command in (("best",), ("export",)):
            words = (*command, played, "--id", row["id"][:12], "--json")
            told = json.loads(cli(*words).out)
            assert (told[0] if command == ("export",) else told)["points"] == row["points"]
    last = rows[-1]
    assert f": {last['score']} points" in cli("show", played, "--id", last["id"]).out
    assert cli("certificate", played, "--id", last["id"], "-o", tmp_path / "c").code == 0
    (held,) = (tmp_path / "c").glob("*.json")
    assert json.loads(held.read_text())["points"] == last["points"]
    plots = [tmp_path / f"{i}.svg" for i in (1, 2)]
    for path, rank in zip(plots, (1, len(rows)), strict=True):
        assert cli("plot", played, "--what", "board", "--rank", rank, "-o", path).code == 0
    assert plots[0].read_bytes() != plots[1].read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--rank", 0), "give 1 to"),
        (("--rank", 10**6), "give 1 to"),
        (("--id", "zz"), "no construction"),
        (("--id", ""), "construction"),
        (("--id", "1", "--rank", 1), "name one of them"),
    ],
)
def test_a_pick_that_is_none_is_a_wrong_option(played, cli, words, message):
    found = cli("best", played, *words)
    assert found.code == 2
    assert message in found.error


def test_ids_are_those_of_a_class(tmp_path, cli):
    turned = [[6 - i, j] for i, j in POINTS]
    path = written(tmp_path, json.dumps([ENTRY, {**ENTRY, "points": turned}]), "two.json")
    first, second = json.loads(cli("export", path).out)
    assert first["id"] == second["id"]
    assert first["points"] != second["points"]


def test_the_csv_of_export_needs_no_other_reader(played, cli):
    rows = list(csv.DictReader(cli("export", played, "--format", "csv").out.splitlines()))
    assert len(rows) > 5
    assert all(len(row["points"].split(";")) == int(row["score"]) for row in rows)


def test_a_moved_plugin_is_known_by_its_file_and_class(tmp_path, cli):
    (tmp_path / "there").mkdir()
    plugin = written(tmp_path / "there", _LINE, "on_a_line.py")
    entry = {"problem": "/old/on_a_line.py:OnALine", "n": 6, "points": [[0], [3]]}
    path = written(tmp_path, json.dumps(entry), "given.json")
    assert cli("verify", path, "--problem", f"{plugin}:OnALine").code == 0
    other = written(tmp_path, json.dumps({**entry, "problem": "/old/on_a_line.py:Other"}))
    assert cli("verify", other, "--problem", f"{plugin}:OnALine").code == 1


def test_points_are_the_elements_that_were_given(tmp_path):
    path = written(tmp_path, SAYING["object"])
    (found,) = read_constructions(path)
    expected = from_points([np.array([7 * i + j for i, j in POINTS])], 49)
    assert (found.cells == expected).all()

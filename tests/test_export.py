"""export: what a run has found, read back by other means."""

import csv
import io
import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from pipeline.core.bitset import pack
from pipeline.core.population import Population


@pytest.fixture
def rows(played, cli) -> list[dict]:
    return json.loads(cli("export", played).out)


def images(points: list[list[int]], n: int) -> set[frozenset]:
    """Return what the eight symmetries of the square make of a set."""
    found = set()
    for turn in range(4):
        for flip in (False, True):
            moved = [(r, n - 1 - c) if flip else (r, c) for r, c in points]
            for _ in range(turn):
                moved = [(c, n - 1 - r) for r, c in moved]
            found.add(frozenset(moved))
    return found


def test_json_is_what_verify_reads_best_first(rows, played, cli, tmp_path):
    file = tmp_path / "all.json"
    assert cli("export", played, "-o", file).code == 0
    assert json.loads(file.read_text()) == rows
    assert cli("verify", file).code == 0
    scores = [row["score"] for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert len(rows) > 5
    best = json.loads(cli("best", played, "--json").out)
    assert best["points"] in [row["points"] for row in rows if row["score"] == best["score"]]


def test_the_stabiliser_counts_the_symmetries_that_leave_a_set_as_it_is(rows):
    for row in rows:
        assert row["stabiliser"] == 8 // len(images(row["points"], 6))


def test_csv_holds_the_same(rows, played, cli):
    found = list(csv.DictReader(io.StringIO(cli("export", played, "--format", "csv").out)))
    for line, row in zip(found, rows, strict=True):
        assert int(line["score"]) == row["score"]
        points = [list(map(int, p.split())) for p in line["points"].split(";")]
        assert points == row["points"]


def test_lean_holds_the_same(rows, played, cli):
    text = cli("export", played, "--format", "lean-list").out
    assert text.startswith("def constructions : List (List (Nat × Nat)) :=")
    body = text.split(":=")[1].replace("(", "[").replace(")", "]")
    assert json.loads(body) == [row["points"] for row in rows]


def test_parquet_holds_the_same(rows, played, cli, tmp_path):
    assert cli("export", played, "--format", "parquet").code == 2
    file = tmp_path / "pool.parquet"
    assert cli("export", played, "--format", "parquet", "-o", file).code == 0
    pool, metadata = Population.read(file)
    assert metadata["problem"] == "isosceles"
    assert pool.score.tolist() == [row["score"] for row in rows]
    assert cli("verify", file).code == 0


def test_a_picture_has_a_dot_for_each_point_of_the_best(played, cli):
    best = json.loads(cli("best", played, "--json").out)["points"]
    drawn = ElementTree.fromstring(cli("export", played, "--format", "svg").out)
    assert len([e for e in drawn.iter() if e.tag.endswith("circle")]) == len(best)
    tikz = cli("export", played, "--format", "tikz").out
    dots = re.findall(r"\\fill \((\d+)\.5,(\d+)\.5\)", tikz)
    assert sorted((5 - int(y), int(x)) for x, y in dots) == sorted(map(tuple, best))
    assert tikz.count("{") == tikz.count("}")


def test_inequivalent_keeps_one_of_each_class(played, cli):
    every = json.loads(cli("export", played, "--top", "100000").out)
    some = json.loads(cli("export", played, "--top", "100000", "--inequivalent").out)
    classes = {frozenset(images(row["points"], 6)) for row in every}
    assert len(some) == len(classes)
    assert {frozenset(images(row["points"], 6)) for row in some} == classes


def test_equivalent_ones_are_told_from_others(played, cli):
    from pipeline.cli.export import _one_of_each
    from pipeline.core.symmetry import apply
    from pipeline.plugins import load_problem

    problem = load_problem("isosceles")
    ground = problem.ground(6)
    row = np.zeros(36, np.bool_)
    row[[0, 1, 9]] = True
    cells = np.repeat(pack(row[None]), 8, axis=0)
    moved = apply(cells, ground, np.arange(8))
    pool = Population.build(6, 36, moved, problem.score(moved, 6))
    assert len(_one_of_each(problem, pool)) == 1


def test_top_limits_them_and_n_chooses_the_size(played, cli):
    assert len(json.loads(cli("export", played, "--top", "3").out)) == 3
    small = json.loads(cli("export", played, "--n", "5").out)
    assert {row["n"] for row in small} == {5}
    assert cli("export", played, "--n", "9").code == 4
    assert cli("export", played, "--top", "0").code == 2
    assert "invalid" in cli("export", played, "--format", "xml").error.lower()


def test_a_file_that_exists_is_left_alone_without_force(played, cli, tmp_path):
    file = tmp_path / "mine.json"
    file.write_text("mine")
    refused = cli("export", played, "-o", file)
    assert (refused.code, file.read_text()) == (2, "mine")
    assert "--force" in refused.error
    assert cli("export", played, "-o", file, "--force").code == 0
    assert json.loads(file.read_text())
    assert "no folder" in cli("export", played, "-o", tmp_path / "none" / "x.json").error
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.json", "runs"]


def test_a_damaged_round_is_one_line(played, cli):
    file = played / "rounds" / "0002" / "n6.parquet"
    file.write_bytes(file.read_bytes()[:100])
    refused = cli("export", played)
    assert refused.code == 4
    assert len(refused.err.strip().splitlines()) == 1

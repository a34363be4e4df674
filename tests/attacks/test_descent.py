"""What was given with --start, and what is found from it, is never called ours."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import TINY, contents, only_run, redo_manifest
from loops import Loop

from pipeline.config import config_from
from pipeline.core import population_files
from pipeline.core.population import Population
from pipeline.core.symmetry import canonical
from pipeline.plugins import load_problem
from pipeline.publish import records
from pipeline.storage.construction_files import read_constructions
from pipeline.storage.finding import find_run
from pipeline.storage.round_files import load_pool

#: Eight rows and columns less a corner: 14 points, the most under this convention; greedy search
#: with so few tries comes to about ten.
CORNER = [[i, 0] for i in range(7)] + [[7, i] for i in range(1, 8)]
SMALL = [[i, 0] for i in range(5)] + [[5, i] for i in range(1, 6)]
START = {"problem": "isosceles", "convention": "flat-allowed", "n": 8, "points": CORNER}
FEW = [
    *TINY[2:],
    *("--sizes", "8", "--convention", "flat-allowed"),
    *("--seeding", "greedy", "--set", "seeding.count=5"),
]


@pytest.fixture
def begun(tmp_path, cli):
    """Return the run that began with the corner, of two rounds with a model."""
    (tmp_path / "start.json").write_text(json.dumps(START))
    found = cli(
        *("run", "isosceles", "--n", 8, *FEW, "--start", tmp_path / "start.json"),
        *("--runs", tmp_path / "runs"),
    )
    assert found.code == 0
    assert "imported: from the file given with --start" in found.out
    return only_run(tmp_path / "runs")


def rows_of(cli, runs):
    options = ("--n", 8, "--convention", "flat-allowed", "--runs", runs)
    return cli("records", "isosceles", *options), json.loads(
        cli("records", "isosceles", *options, "--json").out
    )["tables"][0]["rows"]


def test_records_do_not_count_it_as_ours(begun, cli):
    told, (row,) = rows_of(cli, begun.parent)
    assert row["imported"] == 14
    assert row["ours"] < 14
    assert row["gap"] == row["ours"] - 14
    assert "not counted as ours" in told.out


def test_every_command_that_shows_it_says_so(begun, cli, tmp_path):
    assert json.loads(cli("best", begun, "--json").out)["imported"] is True
    assert json.loads((begun / "best" / "n8.json").read_text())["imported"] is True
    assert "imported" in cli("best", begun).out
    assert "kept constructions" in (shown := cli("show", begun).out)
    assert "imported: given with --start, or found from what was" in shown
    (checked,) = json.loads(cli("verify", begun, "--json").out)["checked"]
    assert 0 < checked["imported"] < checked["count"]
    assert "or found from what was imported" in cli("verify", begun).out
    rows = json.loads(cli("export", begun).out)
    assert {row["imported"] for row in rows} == {True, False}
    assert sum(row["imported"] for row in rows) == checked["imported"]
    pool = tmp_path / "pool.parquet"
    assert cli("export", begun, "--format", "parquet", "-o", pool).code == 0
    assert "or found from what was imported" in cli("verify", pool).out
    assert cli("certificate", begun, "-o", tmp_path / "cert").code == 0
    (certificate,) = (tmp_path / "cert").glob("*.json")
    assert json.loads(certificate.read_text())["provenance"]["imported"] is True
    assert "or found from what was imported" in cli("verify", certificate).out
    assert cli("report", begun).code == 0
    assert "<strong>Imported:</strong>" in (begun / "report.html").read_text(encoding="utf-8")


def test_a_certificate_that_says_so_is_no_record_of_ours(begun, cli, tmp_path, monkeypatch):
    assert cli("certificate", begun, "-o", tmp_path / "own" / "isosceles").code == 0
    monkeypatch.setattr(records, "folder", lambda: tmp_path / "own")
    assert list(records.own(load_problem("isosceles", "flat-allowed"))) == []


def test_descent_is_stored_with_the_round_and_survives_a_resume(begun, cli):
    again = begun.parent / "again"
    shutil.copytree(begun, again)
    whole = contents(begun)
    shutil.rmtree(again / "rounds" / "0002")
    assert cli("resume", again).code == 0
    assert contents(again) == whole


def test_pools_of_an_older_release_are_not_believed_to_be_our_own(begun, cli):
    shutil.rmtree(begun / "rounds" / "0002")
    for folder in sorted((begun / "rounds").iterdir()):
        without_descent(folder)
    run, problem = find_run(str(begun), begun.parent), load_problem("isosceles", "flat-allowed")
    pool = load_pool(run, problem, 1, 8)
    assert np.array_equal(pool.imported, ~pool.came_from("seed"))
    assert rows_of(cli, begun.parent)[1][0]["ours"] < 14
    assert cli("resume", begun).code == 0
    made, _ = Population.read(begun / "rounds" / "0002" / "samples.parquet")
    assert made.imported.all()


def test_a_round_that_does_not_say_what_it_descends_from_is_damaged(begun, cli):
    shutil.rmtree(begun / "rounds" / "0002")
    folder = begun / "rounds" / "0001"
    memory = json.loads((folder / "state.json").read_text())
    del memory["imported"]
    (folder / "state.json").write_text(json.dumps(memory))
    redo_manifest(begun, 1)
    found = cli("resume", begun)
    assert found.code == 4
    assert "state.json" in found.error


def without_descent(folder: Path) -> None:
    """Turn the pools of a round into those that do not know of descent, its manifest too."""
    for file in folder.glob("*.parquet"):
        table = pq.read_table(file)
        metadata = json.loads(table.schema.metadata[population_files._KEY]) | {"schema": 1}
        del metadata["digest"]
        metadata["digest"] = population_files._digest(metadata)
        table = table.drop_columns(["imported"])
        text = {population_files._KEY: json.dumps(metadata)}
        pq.write_table(table.replace_schema_metadata(text), file)
    redo_manifest(folder.parent.parent, int(folder.name))


# --------------------------------------------------------------------------- how it is handed on

BASE = {
    "problem": "isosceles",
    "convention": "flat-allowed",
    "n": 8,
    "sizes": [6, 8],
    "seeding": {"method": "greedy", "count": 5},
    "search": {"moves": 2000, "batches": 0},
    "select": {"keep": 40},
    "model": {"width": 16, "heads": 2, "layers": 1},
    "train": {"steps": 8, "evaluate_every": 4},
    "sample": {"count": 30},
    "compute": {"device": "cpu", "threads": 1, "workers": 1},
}


def started(points, n=8, **changes):
    """Return a loop and its round 0, which began with some points."""
    loop = Loop(config_from({**BASE, **changes}, "the test"))
    problem = loop.problem
    ground = problem.ground(n)
    index = {tuple(row): v for v, row in enumerate(ground.coords.tolist())}
    bits = np.zeros((1, ground.m), np.bool_)
    bits[0, [index[tuple(p)] for p in points]] = True
    cells = np.packbits(bits, axis=1, bitorder="little")
    start = Population.build(n, ground.m, cells, problem.score(cells, n), origin="import")
    return loop, loop.seed({n: start})


def test_what_perturbs_an_import_descends_from_it_and_other_children_do_not():
    loop, state = started(CORNER, generator="perturb", sample={"count": 60})
    proposals = loop.generator.ask(state)
    elites = state.pools[8]
    parents = [np.flatnonzero(((elites.cells & row) == row).all(axis=1)) for row in proposals.cells]
    sure = [(i, of[0]) for i, of in enumerate(parents) if len(of) == 1]
    assert {bool(elites.imported[of]) for _, of in sure} == {True, False}
    assert all(proposals.imported[i] == elites.imported[of] for i, of in sure)
    kept = loop.next(state).pools[8]
    made = kept.take(np.flatnonzero(kept.came_from("generator")))
    told = dict(zip(proposals.ids().tolist(), proposals.imported.tolist(), strict=True))
    assert len(made)
    assert [told[parent] for parent in made.parent.tolist()] == made.imported.tolist()


def test_what_begins_from_nothing_does_not_descend_from_an_import():
    loop, state = started(CORNER, generator="restart")
    after = loop.next(state).pools[8]
    assert after.imported.sum() == 1
    assert after.came_from("import").sum() == 1


@pytest.mark.parametrize(("n", "points"), [(8, CORNER), (6, SMALL)])
def test_a_model_that_has_seen_an_import_of_any_size_hands_it_on(n, points):
    loop, state = started(points, n)
    assert state.pools[n].imported.any()
    after = loop.next(state)
    assert after.imported
    assert after.candidates is not None
    assert after.candidates.imported.all()
    made = after.pools[8]
    assert made.imported[made.came_from("generator")].all()
    assert not made.imported[made.came_from("seed")].any()


def test_a_model_of_which_nobody_can_tell_what_it_was_shown_is_held_to_have_seen_it():
    loop, state = started(CORNER, train={**BASE["train"], "sizes": [6]})
    after = loop.next(state)
    assert after.imported
    assert after.pools[8].imported[after.pools[8].came_from("generator")].all()


def test_that_a_pool_once_held_an_import_is_not_forgotten():
    loop, state = started(CORNER)
    clean = {n: pool.take(np.flatnonzero(~pool.imported)) for n, pool in state.pools.items()}
    after = loop.next(replace(state, pools=clean))
    assert after.imported
    assert after.candidates is not None
    assert after.candidates.imported.all()


def test_a_field_learnt_from_an_import_hands_it_on():
    search = {"batches": 1, "weights": "learned", "methods": ["greedy", "anneal"]}
    changes = {"generator": "none", "search": search}
    _, state = started(SMALL, 6, **changes, seeding={"method": "portfolio", "batches": 1})
    assert state.pools[6].imported.any()
    assert state.pools[8].imported.all()


def test_what_search_finds_again_stays_imported_and_keeps_its_credit():
    loop, state = started(CORNER, generator="none", search={"batches": 1})
    for _ in range(2):
        state = loop.next(state)
    pool = state.pools[8]
    start = canonical(pool.take(pool.came_from("import")).cells, loop.grounds[8])
    assert len(start) == 1
    assert pool.imported.sum() == 1


def test_of_equal_constructions_the_first_found_stays():
    loop, state = started(CORNER, generator="restart")
    ground, pool = loop.grounds[8], state.pools[8]
    images = [
        np.unpackbits(pool.cells, axis=1, count=64, bitorder="little")[:, g] for g in ground.group
    ]
    for bits in images:
        cells = np.packbits(bits, axis=1, bitorder="little")
        again = Population.build(8, 64, cells, pool.score, round=3, origin="search")
        assert np.array_equal(loop.engine.selection.best(8, pool, again).cells, pool.cells)


def test_rediscoveries_are_counted_beside_what_is_new():
    loop, state = started(CORNER, generator="perturb", sample={"count": 60})
    for _ in range(2):
        before, state = state, loop.next(state)
        pool, stats = state.pools[8], state.stats
        new = int((pool.round == state.round).sum())
        assert stats["kept_from_generator"] == new
        assert 0 < stats["rediscovered"] <= len(pool) - new
        assert stats["searched"]["max"] <= pool.score.max()
        assert stats["rediscovered"] <= len(before.pools[8])


def test_what_the_model_found_again_is_said_in_terminal_and_report(begun, cli):
    stats = json.loads((begun / "rounds" / "0002" / "stats.json").read_text())
    assert stats["rediscovered"] > 0
    said = f"came from the model; round 2 rediscovered {stats['rediscovered']} more"
    assert said in cli("show", begun).out
    assert cli("report", begun).code == 0
    page = (begun / "report.html").read_text(encoding="utf-8")
    assert said in page
    assert "rediscovered by samples" in page


def test_a_file_cannot_say_that_it_is_our_own(tmp_path, cli):
    claim = START | {"imported": False, "origin": "search", "provenance": {"imported": False}}
    (tmp_path / "start.json").write_text(json.dumps(claim))
    start = ("--start", tmp_path / "start.json", "--rounds", 0, "--runs", tmp_path / "runs")
    assert cli("run", "isosceles", "--n", 8, *FEW, *start).code == 0
    assert rows_of(cli, tmp_path / "runs")[1][0]["imported"] == 14
    (tmp_path / "told.json").write_text(json.dumps(START | {"imported": True}))
    (found,) = read_constructions(tmp_path / "told.json")
    assert found.imported

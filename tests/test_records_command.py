"""records and best PROBLEM: what is best known beside what is ours, and where it lies."""

import json
import re
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from conftest import redo_manifest

from pipeline.core.bitset import from_points
from pipeline.core.population import Population
from pipeline.core.score_stats import distribution
from pipeline.errors import VerificationError
from pipeline.plugins import load_problem
from pipeline.problem import Known
from pipeline.publish import records
from pipeline.storage.run import Run

ROOT = Path(__file__).resolve().parent.parent
FOUR_CYCLE = str(ROOT / "tests" / "plugins" / "four_cycle_free.py") + ":FourCycleFree"

#: Values with the words their source must hold: (first n, values), proved or not.
ON_RECORD = [
    (1, [1, 2, 4, 6, 7, 9, 10, 13], True, "exhaustive"),
    (9, [16, 18, 18, 20, 22], True, "exhaustive"),
    (14, [24, 25], False, "records/"),
    (16, [28], False, "arXiv:2411.00566, section 4.1"),
    (17, [30, 32, 34, 34, 38, 38, 41, 42, 44], False, "records/"),
    (27, [48], False, "arXiv:2411.00566"),
    (28, [48, 50], False, "records/"),
    (31, [54], False, "records/"),
    (32, [58], False, "mendel-evolve"),
    (34, [60], False, "records/"),
    (48, [84], False, "records/"),
    (64, [112], False, "arXiv:2511.02864, section 6.39"),
    (100, [164], False, "AlphaEvolve"),
]


def tables(cli, *arguments):
    done = cli("records", *arguments, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)["tables"]


def row(cli, n, *arguments):
    (table,) = tables(cli, "isosceles", "--n", n, "--convention", "flat-forbidden", *arguments)
    (found,) = table["rows"]
    return found


# -------------------------------------------------------------------------------- known values


@pytest.mark.parametrize(("first", "values", "proved", "words"), ON_RECORD)
def test_isosceles_knows_what_is_on_record_and_who_found_it(first, values, proved, words):
    problem = load_problem("isosceles")
    for n, value in enumerate(values, start=first):
        known = problem.known(n)
        assert known is not None
        assert (known.value, known.proved) == (value, proved)
        assert words in known.source


def test_no_three_in_line_knows_where_two_to_a_row_are_reached():
    known = {n: load_problem("no-3-in-line").known(n) for n in range(1, 80)}
    assert {n for n, k in known.items() if k} == {*range(1, 75), 76}
    assert all(k.value == (2 * n if n > 1 else 1) and k.proved for n, k in known.items() if k)
    by_prellberg = [n for n, k in known.items() if k and "arXiv:2602.07751" in k.source]
    assert by_prellberg == list(range(2, 61))


@pytest.mark.parametrize("name", ["isosceles", "no-3-in-line"])
def test_every_value_has_a_source_and_a_date_and_every_proof_is_named(name):
    for convention in load_problem(name).conventions:
        values = [load_problem(name, convention).known(n) for n in range(1, 200)]
        for known in filter(None, values):
            assert known.source
            assert re.match(r"\d{4}", known.date)
            assert not known.proved or re.search("exhaustive|two to a row|one cell", known.source)


def test_a_value_whose_source_is_this_tool_has_a_certificate_of_that_size():
    problem = load_problem("isosceles")
    ours = {n: score for n, score, _ in records.own(problem)}
    told = {n: k for n in range(1, 200) if (k := problem.known(n)) and "records/" in k.source}
    assert len(told) > 40
    assert {n: ours.get(n) for n in told} == {n: k.value for n, k in told.items()}


@pytest.mark.parametrize("given", [{"source": " "}, {"source": "x", "date": "last year"}])
def test_a_value_without_a_source_or_with_a_date_that_is_none_is_refused(given):
    with pytest.raises(ValueError, match=r"source|date"):
        Known(3, **given)


# ------------------------------------------------------------------------------- the command


def test_each_size_stands_beside_our_certificate(cli, tmp_path):
    (lines,) = tables(cli, "no-3-in-line", "--runs", tmp_path)
    rows = {r["n"]: r for r in lines["rows"]}
    assert set(rows) == {*range(1, 75), 76}
    assert (rows[36]["ours"], rows[36]["gap"], rows[36]["held"]) == (72, 0, "record")
    assert json.loads(Path(rows[36]["where"]).read_text())["score"] == 72
    assert (rows[60]["ours"], rows[60]["gap"], rows[60]["where"]) == (None, None, "")
    assert rows[60]["best_known"] == 120
    assert row(cli, 64, "--runs", tmp_path)["gap"] == -4


def test_without_a_problem_each_has_one_line_of_how_far_ours_goes(cli, tmp_path):
    wanted = {}
    for table in filter(lambda t: t["rows"], tables(cli, "--runs", tmp_path)):
        gaps = [r["gap"] for r in table["rows"] if r["gap"] is not None]
        below = ", ".join(str(r["n"]) for r in table["rows"] if (r["gap"] or 0) < 0)
        counts = [
            sum(r["best_known"] is not None for r in table["rows"]),
            sum(r["proved"] for r in table["rows"]),
            sum(r["ours"] is not None for r in table["rows"]),
            gaps.count(0),
            sum(gap > 0 for gap in gaps),
        ]
        wanted[table["problem"], table["convention"]] = [*map(str, counts), below]
    told = cli("records", "--runs", tmp_path)
    lines = [line for line in told.out.splitlines() if re.search(r" \d+-\d+ ", line)]
    assert len(lines) == len(wanted) > 15
    for line in lines:
        name, rest = re.split(r" +\d+-\d+ +", line)
        convention = re.search(r"\((.*)\)", name)
        (key,) = [
            key
            for key in wanted
            if key[0] == name.split()[0] and (not convention or key[1] == convention[1])
        ]
        *counts, below = wanted[key]
        assert rest.split(maxsplit=5)[:5] == counts
        assert rest.rstrip().endswith(below)
    assert lines[0] == min(lines)
    assert "pipeline records isosceles" in told.out


def test_a_run_counts_where_it_holds_more_than_the_certificates(played, cli, monkeypatch):
    root = played.parent
    assert row(cli, 6, "--runs", root)["held"] == "record"
    monkeypatch.setattr(records, "folder", lambda: None)
    found = row(cli, 6, "--runs", root)
    assert (found["ours"], found["gap"], found["held"]) == (9, 0, "run")
    assert found["where"] == str(played)
    told = cli("records", "isosceles", "--runs", root)
    assert "came without records/" in told.err
    assert played.name in told.out


def test_the_table_fits_80_columns_and_numbers_its_sources(played, cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(records, "folder", lambda: None)
    out = cli("records", "isosceles", "--runs", played.parent).out
    lines = [line.rstrip() for line in out.splitlines()]
    in_table = [line for line in lines if re.match(" *[n0-9]+ +[0-9b-]", line)]
    assert len(in_table) > 70
    assert max(map(len, in_table)) <= 80
    assert any(re.match(r" *16 +28 +\[\d\] +- +- +-$", line) for line in lines)
    assert any(re.match(rf" *6 +9 +proved +\[1\] +9 +0 +{played.name}$", line) for line in lines)
    assert any(line.startswith("[1] exhaustive search") for line in lines)


def test_without_a_problem_all_are_listed_with_all_their_conventions(cli, tmp_path):
    named = [(t["problem"], t["convention"]) for t in tables(cli, "--runs", tmp_path, "--n", "2:9")]
    assert named == [
        ("cap-sets", "standard"),
        ("corner-free", "standard"),
        ("four-cycle-free", "standard"),
        ("girth-5", "standard"),
        ("isosceles", "flat-forbidden"),
        ("isosceles", "flat-allowed"),
        ("no-3-in-line", "standard"),
        ("no-4-in-a-plane", "standard"),
        ("no-4-on-a-circle", "standard"),
        ("no-5-on-a-sphere", "standard"),
        ("permanent-312", "standard"),
        ("progression-free", "standard"),
        *(("ramsey", name) for name in ("4,4", "3,3", "3,4", "3,5", "3,6", "3,7", "4,5")),
        ("sidon", "standard"),
        ("sidon-mod", "standard"),
        ("tree-independence", "standard"),
    ]


def test_a_plugin_from_a_file_has_its_table(cli, tmp_path):
    (found,) = tables(cli, FOUR_CYCLE, "--runs", tmp_path)
    assert {r["n"]: r["best_known"] for r in found["rows"]}[10] == 16
    assert {r["held"] for r in found["rows"]} == {""}


@pytest.mark.parametrize("own", ["pass", "title = 'mine'"])
def test_a_plugin_gets_nothing_of_the_problem_whose_name_it_takes(own, cli, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from problems.isosceles import Isosceles as Shipped\n\n\n"
        f"class Isosceles(Shipped):\n    {own}\n"
    )
    (first, second) = tables(cli, f"{file}:Isosceles", "--runs", tmp_path, "--n", "2:20")
    assert first["problem"] == second["problem"] == "isosceles"
    assert first["rows"] == second["rows"] == []


def test_it_works_from_any_folder(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert row(cli, 26)["held"] == "record"


def test_certificates_go_into_the_wheel_where_they_are_looked_for(tmp_path, monkeypatch):
    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    place = told["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]["records"]
    assert records.folder() == ROOT / "records"
    # As installed: a package with what the wheel brings, and a stranger beside it.
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / "records").mkdir()
    monkeypatch.setattr(records, "__file__", str(tmp_path / "pipeline" / "publish" / "records.py"))
    assert records.folder() == tmp_path / place
    (tmp_path / place).rmdir()
    assert records.folder() is None


def test_a_certificate_that_was_changed_is_not_counted(tmp_path, monkeypatch, cli):
    copy = Path(shutil.copytree(ROOT / "records", tmp_path / "records"))
    file = copy / "isosceles" / "isosceles-flat-forbidden-n009.json"
    file.write_text(file.read_text().replace('"round": 0', '"round": 1'))
    monkeypatch.setattr(records, "folder", lambda: copy)
    with pytest.raises(VerificationError, match="SHA-256"):
        list(records.own(load_problem("isosceles")))
    refused = cli("records", "isosceles")
    assert (refused.code, file.name in refused.error) == (3, True)


def test_a_run_that_is_damaged_is_left_out_and_named(played, cli):
    (played / "rounds" / "0002" / "stats.json").write_text("{}")
    done = cli("records", "isosceles", "--n", 6, "--runs", played.parent)
    assert done.code == 0
    assert "left out:" in done.err
    assert "stats.json is damaged" in done.err


def test_a_run_that_is_damaged_is_not_counted_among_those_looked_through(played, cli):
    twin = Path(shutil.copytree(played, played.with_name(f"{played.name}-twin")))
    words = ("best", "isosceles", "--n", 6, "--runs", played.parent)
    assert "best of 2 runs of isosceles" in cli(*words).out
    for name in ("stats.json", "n6.parquet"):  # seen at once, and when it is opened
        there = twin / "rounds" / "0002" / name
        kept = there.read_bytes()
        there.write_bytes(kept[:-1])
        told = cli(*words)
        there.write_bytes(kept)
        assert "best of the one run of isosceles" in told.out
        assert "left out:" in told.err


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["isosceless"], 2, "did you mean 'isosceles'"),
        (["isosceles", "--n", "9:3"], 2, "--n 9:3: the range runs backwards"),
        (["isosceles", "--n", "few"], 2, "--n few: write a range"),
        (["isosceles", "--convention", "flat"], 2, "no convention 'flat'"),
        (["--convention", "standard"], 2, "name its problem too"),
    ],
)
def test_bad_input_is_one_line(words, code, complaint, cli):
    refused = cli("records", *words)
    assert (refused.code, complaint in refused.error) == (code, True), refused.err
    assert len(refused.err.strip().splitlines()) == 1


# --------------------------------------------------------------------------- best of a problem


def test_best_of_a_problem_is_that_of_all_its_runs(played, cli):
    root = played.parent
    other = Path(shutil.copytree(played, root / "isosceles-n6-20000101-000000"))
    one = json.loads(cli("best", played, "--json").out)
    found = json.loads(cli("best", "isosceles", "--n", 6, "--runs", root, "--json").out)
    assert {k: found[k] for k in one if k not in ("run", "path")} == {
        k: v for k, v in one.items() if k not in ("run", "path")
    }
    assert (found["runs"], found["best_known"]) == (2, 9)
    assert found["path"] in (str(played), str(other))
    told = cli("best", "isosceles", "--n", 6, "--runs", root)
    assert "exhaustive search" in told.out
    assert f"best of 2 runs of isosceles: {found['path']}" in told.out
    assert "n=5: 7 points" in cli("best", "isosceles", "--n", 5, "--runs", root).out


def test_the_higher_score_wins_whichever_run_is_older(played, cli):
    lower = Path(shutil.copytree(played, played.parent / "isosceles-n6-lower"))
    folder = lower / "rounds" / "0002"
    pool, metadata = Population.read(folder / "n6.parquet")
    low = Population.build(6, pool.m, from_points([np.array([0, 1, 8])], pool.m), 3)
    low.write(folder / "n6.parquet", metadata)
    stats = json.loads((folder / "stats.json").read_text())
    stats["pool"]["6"] = distribution(low.score)
    (folder / "stats.json").write_text(json.dumps(stats))
    redo_manifest(lower, 2)
    assert Run(lower).stats(2)["pool"]["6"]["max"] == 3
    found = json.loads(cli("best", "isosceles", "--n", 6, "--runs", played.parent, "--json").out)
    assert found["path"] == str(played)


def test_runs_of_another_convention_do_not_count(played, cli):
    words = ("best", "isosceles", "--n", 6, "--runs", played.parent)
    refused = cli(*words, "--convention", "flat-allowed")
    assert refused.code == 4
    assert "there is no run of it" in refused.error


def test_a_size_no_run_has_is_one_line_that_names_what_there_is(played, cli):
    refused = cli("best", "isosceles", "--n", 16, "--runs", played.parent)
    assert refused.code == 4
    assert "sizes 5, 6" in refused.error
    assert "pipeline search isosceles --n 16" in refused.error
    assert "isosceles-flat-forbidden-n016.json" in refused.error


def test_a_problems_name_never_means_a_run(played, cli, monkeypatch):
    root = played.parent
    bare = cli("best", "isosceles", "--runs", root)
    assert bare.code == 2
    assert "isosceles is a problem: name a size" in bare.error
    assert "pipeline best isosceles-n16" in bare.error
    # A longer prefix does.
    assert json.loads(cli("best", "isosceles-n6", "--runs", root, "--json").out)["n"] == 6
    # A folder of that name is told apart by its path, and said to be passed over.
    shutil.copytree(played, root / "isosceles")
    monkeypatch.chdir(root)
    told = cli("best", "isosceles", "--n", 6)
    assert "is taken for the problem; for the run write ./isosceles" in told.err
    assert json.loads(cli("best", "./isosceles", "--json").out)["run"] == "isosceles"


def test_a_convention_goes_with_a_problem(played, cli):
    refused = cli("best", played, "--convention", "flat-allowed")
    assert (refused.code, "goes with a PROBLEM" in refused.error) == (2, True)

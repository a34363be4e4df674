"""A problem with a score of its own is never told of as if its size were what counts."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import only_run
from loops import Loop, configured

from pipeline.engine.exact import Question, every, solve
from pipeline.engine.tasks import NO_TARGET, run_task
from pipeline.errors import UsageError
from pipeline.executors import Serial
from pipeline.plugins import load_problem

SPEC = f"{Path(__file__).parent.parent / 'plugins' / 'weighted_path.py'}:WeightedPath"
#: What would be a claim about sizes.
CLAIMS = re.compile(r"\d+ points?\b|is the most|between \d+ and \d+")


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--all",),
        ("--all", "--inequivalent", "-o", "sets.json"),
        ("--time", "1"),
        ("--symmetry", "trivial", "--json"),
        ("-o", "set.json"),
    ],
)
@pytest.mark.parametrize("n", [3, 6])
def test_exhaustive_search_refuses_a_problem_with_a_score_of_its_own(
    options, n, cli, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    found = cli("solve", SPEC, "--n", n, *options)
    assert found.code == 2
    assert found.out == ""
    assert len(found.err.splitlines()) == 1
    assert "has a score of its own" in found.err
    assert f"pipeline search {SPEC} --n {n}" in found.err
    assert "proved" not in found.err
    assert not list(tmp_path.iterdir())


def test_the_library_refuses_it_too():
    question = Question(SPEC, "standard", 3, "trivial")
    with pytest.raises(UsageError, match="a score of its own"):
        solve(question, Serial())
    with pytest.raises(UsageError, match="a score of its own"):
        next(every(question, 2))


def test_a_search_finds_the_best_score_and_never_speaks_of_points(cli, tmp_path):
    found = cli("search", SPEC, "--n", 3, "--rounds", 1, "--workers", 1, "--runs", tmp_path)
    assert found.code == 0
    assert "weighted-path, n=3: score 10, verified" in found.out
    said = [found.out, found.err]
    run = only_run(tmp_path)
    for command in ("show", "best", "hist", "verify", "count"):
        told = cli(command, run, "--problem", SPEC)
        assert told.code == 0
        said += [told.out, told.err]
    for command in (("records", SPEC), ("best", SPEC, "--n", 3), ("ls",)):
        told = cli(*command, "--runs", tmp_path)
        assert told.code == 0
        said += [told.out, told.err]
    for text in said:
        assert not CLAIMS.search(text.replace("10 (by hand, proved optimal)", ""))
    best = json.loads(cli("best", run, "--problem", SPEC, "--json").out)
    assert (best["score"], best["points"]) == (10, [[1]])


@pytest.mark.parametrize("improve", ["climb", "neighbourhood"])
def test_a_larger_set_of_less_score_does_not_take_the_place_of_a_better_one(improve):
    loop = loop_of(SPEC)
    best = np.packbits([[0, 1, 0, 0, 1, 0]], axis=1, bitorder="little")
    rng = np.zeros(1, np.uint64)
    search = loop.config.search
    found = run_task(loop.runner.task(6, "trivial", improve, best, rng, search, 1000))
    assert loop.problem.score(found, 6).tolist() == [20]


def test_no_search_that_counts_elements_stops_at_a_score():
    def target(spec):
        loop = loop_of(spec, target=5)
        cells, rng = np.zeros((1, 5), np.uint8), np.zeros(1, np.uint64)
        return loop.runner.task(6, "trivial", "greedy", cells, rng, loop.config.search, 1).target

    assert target("isosceles") == 5
    assert target(SPEC) == NO_TARGET


def loop_of(spec, target=0):
    return Loop(configured({"problem": spec, "n": 6, "sizes": [6]}, budget={"target": target}))


#: A round of few and short tasks.
FEW = (
    "--rounds",
    0,
    "--workers",
    1,
    "--set",
    "seeding.batches=1",
    "--set",
    "search.score_moves=50",
)


def test_the_report_calls_scores_scores(cli, tmp_path):
    found = cli("search", SPEC, "--n", 6, *FEW, "--runs", tmp_path)
    assert found.code == 0
    run = only_run(tmp_path)
    assert cli("report", run, "--problem", SPEC).code == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "score 20" in page
    assert "20 points" not in page


def test_no_certificate_claims_a_number_of_points_for_it(cli, tmp_path):
    found = cli("search", SPEC, "--n", 2, *FEW, "--runs", tmp_path)
    assert found.code == 0
    folder = tmp_path / "certificates"
    refused = cli("certificate", only_run(tmp_path), "--problem", SPEC, "-o", folder)
    assert refused.code == 2
    assert "has another score" in refused.error
    assert not folder.exists()


def test_whether_size_counts_is_seen_from_the_class_not_stated():
    assert load_problem("isosceles").objective == "size"
    assert load_problem("no-3-in-line").objective == "size"
    problem = load_problem(SPEC)
    assert problem.objective == "score"
    assert problem.score_text(1) == "score 1"
    assert load_problem("isosceles").score_text(1) == "1 point"

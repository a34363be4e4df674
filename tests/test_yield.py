"""Comparing arms by their yield: how many good constructions there are in the end."""

import json
from typing import Any

import pytest

from pipeline.benchmarking.experiment import Arm, Plan
from pipeline.benchmarking.results import Kept, Result, Step, _trace, read_result, write_result
from pipeline.benchmarking.statistics import compared_by_yield, summary
from pipeline.errors import UsageError
from pipeline.plugins import load_problem


def result(arm: str, seed: int, *kept: Kept) -> Result:
    return Result(arm, 6, seed, 9, 10.0, (Step(1.0, 9, "search"),), "run", None, kept)


FEW = Kept(4.0, {"7": 90, "8": 4, "9": 1})
MANY = Kept(9.0, {"7": 200, "8": 5, "9": 2})


def test_a_yield_counts_what_has_the_score_or_more_at_the_end():
    one = result("a", 0, FEW, MANY)
    assert [one.count(score) for score in (7, 8, 9, 10)] == [207, 7, 2, 0]
    assert one.within(5.0).count(8) == 5
    assert one.within(1.0).count(8) == 0
    assert result("a", 0).count(7) == 0


def test_a_yield_is_ahead_if_the_other_has_less_than_four_fifths():
    few, many = result("a", 0, FEW), result("b", 0, MANY)
    assert compared_by_yield(many, few, 8) == 1
    assert compared_by_yield(few, many, 8) == -1
    assert compared_by_yield(few, many, 10) == 0
    near = result("c", 0, Kept(9.0, {"8": 6}))
    assert compared_by_yield(near, many, 8) == compared_by_yield(many, near, 8) == 0


def test_pairs_go_by_the_yield_where_it_is_the_measure():
    results = [result("a", seed, MANY) for seed in range(6)]
    results += [result("none", seed, FEW) for seed in range(6)]
    size = summary(results, 6, ["a", "none"], "none", 8, "yield")
    arm, control = size.arms
    assert (arm.counts, control.counts) == ((7,) * 6, (5,) * 6)
    assert arm.pairs is not None
    assert (arm.pairs.ahead, arm.pairs.word) == (6, "ahead")
    plain = summary(results, 6, ["a", "none"], "none", 8).arms[0]
    assert plain.counts is None
    assert plain.pairs is not None
    assert plain.pairs.tied == 6


def test_what_a_run_kept_is_stored_with_its_result(tmp_path):
    one = result("a", 0, FEW, MANY)
    write_result(tmp_path / "one.json", one)
    assert read_result(tmp_path / "one.json") == one


def test_the_best_of_scores_below_zero_is_followed_too():
    scores = [-9, -4, -6, -2]
    events = [
        {"event": "best", "n": 6, "score": score, "cpu": float(cpu), "origin": "search"}
        for cpu, score in enumerate(scores)
    ]
    assert [step.score for step in _trace(events, 6, -2)] == [-9, -4, -2]


def plan(**changes: Any) -> Plan:
    arms = (Arm("restart", {"generator": "restart"}), Arm("none", {"generator": "none"}))
    how: dict[str, Any] = {"measure": "yield"} | changes
    return Plan("isosceles", (6,), arms, **how)


def test_a_run_that_is_counted_goes_on_beyond_the_best_known_and_keeps_all():
    problem = load_problem("isosceles")
    trial = plan().trials(problem)[0]
    assert trial.settings["budget"]["target"] == 0
    assert trial.settings["select"]["keep"] >= 100_000
    assert trial.name != plan(measure="best").trials(problem)[0].name
    kept = plan(settings={"select": {"keep": 7}}).trials(problem)[0]
    assert kept.settings["select"]["keep"] == 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"measure": "yeild"}, "unknown measure 'yeild'; did you mean 'yield'"),
        ({"stop_at_target": True}, "a yield counts all that is found"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        plan(**changes)


def test_without_a_best_known_value_a_yield_needs_a_target():
    problem = load_problem("isosceles")
    with pytest.raises(UsageError, match="no best value is known at n=1001; say with --target"):
        Plan("isosceles", (1001,), plan().arms, measure="yield").trials(problem)


@pytest.mark.end_to_end
def test_a_comparison_by_yield_is_run_and_shown(tmp_path, cli):
    asked = ["isosceles", "--n", 5, "--arms", "gpt,none", "--seeds", 1, "--measure", "yield"]
    asked += ["--budget-cpu-seconds", 3, "--target", 6, "--jobs", 1, "--runs", tmp_path]
    few = ("search.batches=1", "search.tabu_steps=2000", "seeding.batches=1", "seeding.moves=2000")
    asked += [word for setting in few for word in ("--set", setting)]
    asked += ["--set", "train.steps=20", "--set", "sample.count=20", "--set", "model.width=8"]
    told = json.loads(cli("compare", *asked, "--json").out)
    assert told["measure"] == "yield"
    for arm in told["sizes"][0]["arms"]:
        (count,) = arm["counts"]
        # Of sets of six points or more in the 5 x 5 grid there are some; seven is the most.
        assert 1 <= count <= 2000
    training = {arm["arm"]: arm["runs"][0]["training"] for arm in told["sizes"][0]["arms"]}
    used = {arm["arm"]: arm["runs"][0]["cpu"] for arm in told["sizes"][0]["arms"]}
    assert 0 < training["gpt"] < used["gpt"]
    assert training["none"] == 0
    shown = cli("compare", *asked).out
    assert "6 or more: median" in shown
    assert "without training" in shown
    assert "each 100 CPU s" in shown

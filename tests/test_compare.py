"""Comparing arms: the sign test, traces, resuming, what is refused, and what is shown.

Runs are made by a stand-in for `pipeline run` that writes a real run's folder at once; one test
runs the real thing.
"""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from math import inf
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.benchmarking import experiment, results, runner, statistics
from pipeline.benchmarking.comparison import Comparison
from pipeline.benchmarking.experiment import GENERATOR_KEY, Arm, Plan
from pipeline.benchmarking.results import Result, Step
from pipeline.benchmarking.statistics import Pairs
from pipeline.cli.compare import chosen_arms
from pipeline.config import Config, config_from, with_setting
from pipeline.core.bitset import pack
from pipeline.core.population import Population
from pipeline.errors import RunError, UsageError
from pipeline.jobs import Processes, job
from pipeline.plugins import load_problem
from pipeline.report.curves import Chart, Line, curves_svg
from pipeline.storage import lock
from pipeline.storage.round_files import metadata_of
from pipeline.storage.run import Run

#: The most there can be at n=6, so any part of it is valid.
SIX = [(0, 0), (0, 1), (2, 0), (2, 4), (3, 0), (3, 4), (4, 5), (5, 1), (5, 5)]
ARMS = ["gpt", "perturb", "none"]
BASE = ["isosceles", "--n", "6", "--budget-cpu-seconds", "5", "--jobs", "2"]


# --------------------------------------------------------------------------- a run at once


def make_run(
    root: Path, settings: dict[str, Any], steps: list[tuple[float, int]], cpu: float, n: int = 6
) -> Run:
    """Write a run whose best rose at (CPU seconds, score); the last score is what it holds."""
    problem = load_problem(settings.get("problem", "isosceles"), settings.get("convention"))
    config = config_from({"problem": "isosceles", "n": n, **settings}, "test")
    run = Run.create(root, config, "isosceles", ["run"])
    coords = problem.ground(n).coords.tolist()
    inside = np.zeros((1, len(coords)), bool)
    inside[0, [coords.index(list(cell)) for cell in SIX[: steps[-1][1]]]] = True
    cells = pack(inside)
    pool = Population.build(n, len(coords), cells, problem.score(cells, n))

    def write(folder: Path) -> None:
        pool.write(folder / f"n{n}.parquet", metadata_of(run, problem))

    run.commit(0, write)
    for at, score in steps:
        run.event("best", n=n, score=score, cpu=at, origin="search")
    run.event("cpu", cpu=cpu)
    run.end_session("done", 1.0)
    return run


#: Acts as `pipeline run` by copying a run that is there. The model finds 8, what else there is 7.
STAND_IN = """
import json, os, pathlib, shutil, sys, time

def word(key):
    return sys.argv[sys.argv.index(key) + 1]

generator = word("--GENERATOR")
seed = word("--seed")
with open(os.environ["ASKED"], "a") as log:
    log.write(f"{generator} {word('--n')} {seed}\\n")
if int(seed) >= int(os.environ.get("SLOW_FROM", "99")):
    time.sleep(60)
if seed == os.environ.get("FAILS"):
    sys.exit("loading\\npipeline: no luck with this one")
(made,) = pathlib.Path(os.environ["MADE"], generator, seed).iterdir()
run = shutil.copytree(made, os.path.join(word("--runs"), made.name))
print(json.dumps({"schema": 1, "run": run}))
"""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs for the stand-in, each in a folder GENERATOR/SEED."""
    root = tmp_path_factory.mktemp("made")
    for generator, best in (("gpt", 8), ("perturb", 7), ("none", 7)):
        for seed in range(6):
            settings = {GENERATOR_KEY: generator, "seed": seed}
            make_run(
                root / generator / str(seed), settings, [(0.5, 5), (1 + seed / 2, best)], cpu=5.2
            )
    return root


@pytest.fixture
def run_by_stand_in(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], list[str]]:
    """Have trials run by the stand-in; call it for the GENERATOR N SEED it was asked for."""
    log = tmp_path / "asked.txt"
    monkeypatch.setattr(
        job,
        "PROGRAM",
        (sys.executable, "-S", "-c", STAND_IN.replace("GENERATOR", GENERATOR_KEY)),
    )
    monkeypatch.setenv("MADE", str(made))
    monkeypatch.setenv("ASKED", str(log))
    monkeypatch.setenv("PIPELINE_RUNS", str(tmp_path / "runs"))
    return lambda: log.read_text().splitlines() if log.is_file() else []


def result(arm: str, score: int, seed: int = 0, cpu: float = 1.0, n: int = 6) -> Result:
    return Result(arm, n, seed, score, 10.0, (Step(cpu, score, "search"),), "run")


# ----------------------------------------------------------------------------- the verdict


@pytest.mark.parametrize("count", range(11))
def test_the_sign_test_is_that_of_all_coin_throws(count):
    for ahead in range(count + 1):
        far = abs(2 * ahead - count)
        as_far = [abs(2 * sum(throws) - count) >= far for throws in product((0, 1), repeat=count)]
        exact = sum(as_far) / len(as_far)
        assert statistics.sign_test(ahead, count - ahead) == pytest.approx(exact)


@given(st.integers(0, 40), st.integers(0, 40))
def test_the_pairs_that_are_missing_are_the_fewest_that_decide(ahead, behind):
    missing = Pairs(ahead, 3, behind).missing
    high, low = max(ahead, behind), min(ahead, behind)
    assert statistics.sign_test(high + missing, low) < statistics.LEVEL
    assert missing == 0 or statistics.sign_test(high + missing - 1, low) >= statistics.LEVEL


def test_five_pairs_never_decide_and_six_do():
    assert Pairs(5, 0, 0).word == Pairs(0, 0, 5).word == "not decided"
    assert (Pairs(6, 0, 0).word, Pairs(0, 9, 6).word) == ("ahead", "behind")
    assert Pairs().missing == 6


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [
        (
            Pairs(4, 0, 1),
            "gpt ahead of none in 4 of 5 pairs, behind in 1 (sign test p = 0.38): not decided at "
            "this number of rng seeds; 4 more, all ahead, would decide it.",
        ),
        (
            Pairs(1, 3, 1),
            "gpt ahead of none in 1 of 5 pairs, tied in 3, behind in 1 (sign test p = 1): not "
            "decided at this number of rng seeds; 7 more, all one way, would decide it.",
        ),
        (Pairs(6, 0, 0), "gpt ahead of none in 6 of 6 pairs (sign test p = 0.031): ahead."),
        (
            Pairs(1, 0, 9),
            "gpt ahead of none in 1 of 10 pairs, behind in 9 (sign test p = 0.021): behind.",
        ),
        (Pairs(), "gpt and none have no pair of the same rng seed: not decided."),
    ],
)
def test_a_verdict_says_what_the_pairs_allow(pairs, sentence):
    assert statistics.verdict("gpt", "none", pairs) == sentence


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((9, 4.0), (8, 1.0), 1),
        ((7, 1.0), (8, 4.0), -1),
        ((8, 0.79), (8, 1.0), 1),
        ((8, 0.8), (8, 1.0), 0),
        ((8, 1.0), (8, 0.8), 0),
        ((8, 1.0), (8, 0.79), -1),
        ((8, 0.0), (8, 0.0), 0),
    ],
)
def test_a_pair_goes_to_the_higher_best_then_to_the_clearly_faster(one, other, expected):
    a, b = result("a", one[0], cpu=one[1]), result("b", other[0], cpu=other[1])
    assert statistics.compared(a, b) == expected
    assert statistics.compared(b, a) == -expected


def test_without_a_trace_the_same_best_is_tied():
    assert statistics.compared(replace(result("a", 8), trace=()), result("b", 8)) == 0


def test_pairs_are_of_the_same_size_and_rng_seed():
    arm = [result("gpt", 9, seed=k) for k in range(4)] + [result("gpt", 5, seed=0, n=7)]
    control = [result("none", 8, seed=k) for k in (1, 3, 5)] + [result("none", 5, seed=0, n=7)]
    assert statistics.pairs_of(arm, control) == Pairs(2, 1, 0)


def test_a_summary_counts_reached_targets_and_time_to_the_median_of_the_control():
    none = [result("none", s, seed=k) for k, s in enumerate((7, 8, 8, 9))]
    steps = (Step(0.5, 7, "seed"), Step(2.0, 8, "search"), Step(6.0, 9, "gpt"))
    model = [replace(result("gpt", 9, seed=k), trace=steps) for k in range(2)]
    perturb = [result("perturb", s, seed=k) for k, s in enumerate((7, 7, 8))]
    found = statistics.summary([*none, *model, *perturb], 6, ["gpt", "perturb", "none"], "none", 9)
    assert found.control_median == 8
    by_arm = {each.arm: each for each in found.arms}
    assert {arm: s.reached for arm, s in by_arm.items()} == {"gpt": 2, "perturb": 0, "none": 1}
    assert by_arm["gpt"].cpu_to_control_median == 2.0
    assert by_arm["perturb"].cpu_to_control_median == inf
    assert by_arm["none"].pairs is None
    assert by_arm["gpt"].pairs == Pairs(2, 0, 0)
    assert by_arm["gpt"].median == 9


def test_several_sizes_have_a_verdict_together():
    order = product((("gpt", 9), ("none", 8)), range(3), (6, 7))
    results = [result(arm, score, seed, n=n) for (arm, score), seed, n in order]
    summaries = [statistics.summary(results, n, ["gpt", "none"], "none", None) for n in (6, 7)]
    found = statistics.verdicts(summaries)
    assert [(n, pairs.word) for n, _, pairs in found] == [
        (6, "not decided"),
        (7, "not decided"),
        (None, "ahead"),
    ]
    assert len(statistics.verdicts(summaries[:1])) == 1


def test_a_target_that_was_reached_in_round_0_is_marked():
    early = replace(result("gpt", 9), trace=(Step(1.0, 5, "seed"), Step(2.0, 9, "seed")))
    later = replace(result("gpt", 9, 1), trace=(Step(1.0, 8, "seed"), Step(2.0, 9, "generator")))
    results = [early, later, result("none", 8), result("none", 9, 1)]
    size = statistics.summary(results, 6, ["gpt", "none"], "none", 9)
    told = "9 was reached in round 0, before a generator was asked: gpt in 1 of 2 runs."
    assert size.too_early == told
    found = Comparison(
        *("p", "", "p", ("gpt", "none"), "none", (size,), ()), cpu_seconds=1.0, planned=4
    )
    assert told in str(found)
    for target in (10, None):
        assert statistics.summary(results, 6, ["gpt", "none"], "none", target).too_early == ""


def test_a_curve_is_the_median_and_range_of_the_best_so_far():
    first = replace(result("a", 9), trace=(Step(1.0, 5, "seed"), Step(4.0, 9, "gpt")))
    second = replace(result("a", 7), trace=(Step(2.0, 7, "seed"),))
    assert statistics.curve([first, second], 10.0) == [
        (2.0, 5, 6.0, 7),
        (4.0, 7, 8.0, 9),
        (10.0, 7, 8.0, 9),
    ]
    assert statistics.curve([first, replace(second, trace=())], 10.0) == []


# ------------------------------------------------------------------------------ the result


def test_a_result_is_the_verified_best_and_when_each_best_was_reached(tmp_path):
    run = make_run(tmp_path, {"seed": 3}, [(0.5, 5), (2.25, 8)], cpu=5.5)
    found = results.result_of(run, load_problem("isosceles"), "gpt")
    assert (found.n, found.seed, found.score, found.cpu) == (6, 3, 8, 5.5)
    assert found.trace == (Step(0.5, 5, "search"), Step(2.25, 8, "search"))
    assert [found.reached(k) for k in (4, 5, 6, 8, 9)] == [0.5, 0.5, 2.25, 2.25, inf]


def test_a_trace_leaves_out_torn_lines_other_sizes_and_what_was_not_kept(tmp_path):
    run = make_run(tmp_path, {}, [(1.0, 6), (2.0, 8)], cpu=5.0)
    run.event("best", n=5, score=7, cpu=0.1, origin="seed")
    run.event("best", n=6, score=6, cpu=1.5, origin="seed")
    run.event("best", n=6, score=9, cpu=3.0, origin="gpt")  # of a round that was dropped
    with open(run.path / "events.jsonl", "a", encoding="utf-8") as log:
        log.write('[]\n{"event": "best", "n": 6, "sc')
    found = results.result_of(run, load_problem("isosceles"), "gpt")
    assert [(step.cpu, step.score) for step in found.trace] == [(1.0, 6), (2.0, 8)]


def test_a_run_without_events_has_a_best_and_no_trace(tmp_path):
    run = make_run(tmp_path, {}, [(1.0, 8)], cpu=5.0)
    (run.path / "events.jsonl").unlink()
    found = results.result_of(run, load_problem("isosceles"), "gpt")
    assert (found.score, found.cpu, found.trace, found.reached(8)) == (8, 0.0, (), inf)


def test_a_best_that_is_not_valid_is_no_result(tmp_path):
    run = make_run(tmp_path, {}, [(1.0, 8)], cpu=5.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[__name__], "SIX", [(0, 0), (0, 1), (0, 2), *SIX])
        run = make_run(tmp_path, {}, [(1.0, 8)], cpu=5.0)
    with pytest.raises(RunError, match="not valid; witness"):
        results.result_of(run, load_problem("isosceles"), "gpt")


def test_a_stored_result_comes_back_and_a_damaged_one_does_not(tmp_path):
    file, kept = tmp_path / "trial.json", result("gpt", 8)
    results.write_result(file, kept)
    assert results.read_result(file) == kept
    assert list(tmp_path.iterdir()) == [file]
    whole = file.read_text()
    for text in (whole[:20], "[]", "{}", whole.replace("score", "sc")):
        file.write_text(text)
        assert results.read_result(file) is None
    assert results.read_result(tmp_path / "none.json") is None


# -------------------------------------------------------------------------------- the plan


def plan(**changes: Any) -> Plan:
    arms = tuple(Arm(name, {GENERATOR_KEY: name}) for name in ("gpt", "none"))
    given = {"problem": "isosceles", "sizes": (6, 7), "arms": arms, "seeds": 2, "cpu_seconds": 5.0}
    return Plan(**{**given, **changes})


def test_trials_come_rng_seed_by_rng_seed():
    trials = plan().trials(load_problem("isosceles"))
    assert [(t.seed, t.n, t.arm) for t in trials] == list(product((0, 1), (6, 7), ("gpt", "none")))
    assert len({trial.name for trial in trials}) == len(trials)


def test_a_trial_is_an_ordinary_command_on_one_core(tmp_path):
    trial = plan(settings={"model": {"tokens": "dense"}}).trials(load_problem("isosceles"))[0]
    words = list(trial.job(tmp_path).words())
    assert words[:6] == ["run", "isosceles", "--n", "6", "--seed", "0"]
    assert words[words.index(f"--{GENERATOR_KEY}") + 1] == "gpt"
    settings: dict[str, Any] = {}
    for at, word in enumerate(words):
        if word == "--set":
            with_setting(settings, words[at + 1])
    assert settings["compute"] == {"device": "cpu", "threads": 1, "workers": 1}
    assert settings["budget"]["cpu"] == 5.0
    assert settings["model"]["tokens"] == "dense"


def test_an_arm_that_learns_nothing_spends_nothing_on_smaller_sizes():
    def sizes(generator: str = "", **settings: Any) -> Any:
        settings |= {GENERATOR_KEY: generator} if generator else {}
        arms = (Arm("a", settings), Arm("b", {}))
        return plan(arms=arms).trials(load_problem("isosceles"))[0].settings.get("sizes")

    assert sizes("none") == sizes("perturb") == [6]
    assert sizes("none", sizes=[5, 6]) == [5, 6]
    assert sizes("none", search={"weights": "learned"}) is None
    assert sizes("gpt") is sizes() is None


def test_the_folder_is_shared_by_plans_that_only_ask_for_more():
    name = plan().folder("isosceles")
    assert re.fullmatch(r"compare-isosceles-[0-9a-f]{6}", name)
    assert plan(seeds=9, sizes=(8,), target=5).folder("isosceles") == name
    assert plan(cpu_seconds=6.0).folder("isosceles") != name
    assert plan(settings={"convention": "flat-allowed"}).folder("isosceles") != name


def test_runs_may_end_at_a_target_of_each_size_and_are_then_kept_apart():
    apart = plan(sizes=(6, 7, 8), target={6: 8, 7: 9}, stop_at_target=True)
    ends = {c.n: c.settings["budget"]["target"] for c in apart.trials(load_problem("isosceles"))}
    assert ends == {6: 8, 7: 9, 8: 13}
    whole = plan(sizes=(6, 7, 8))
    assert apart.folder("isosceles") == whole.folder("isosceles")
    names = [{c.name for c in p.trials(load_problem("isosceles"))} for p in (apart, whole)]
    assert not names[0] & names[1]
    trials = plan(sizes=(6,), target=8).trials(load_problem("isosceles"))
    ends = {trial.settings["budget"]["target"] for trial in trials}
    assert ends == {9}  # which is proved, so that nothing can be better
    data = {"problem": "isosceles", "n": [6, 7], "arms": ["gpt", "none"]}
    read = experiment.plan_from(data | {"target": {"6": 8}, "stop_at_target": True}, "file.toml")
    assert (read.goal(6), read.goal(7), read.stop_at_target) == (8, 0, True)


def test_a_trial_is_another_one_when_what_decides_its_result_changes():
    def names(**changes: Any) -> set[str]:
        return {trial.name for trial in plan(**changes).trials(load_problem("isosceles"))}

    arms = (Arm("gpt", {GENERATOR_KEY: "gpt", "select": {"keep": 9}}), Arm("none", {}))
    assert names() < names(seeds=3)
    assert not names() & names(arms=arms)


def test_files_of_an_arm_go_by_the_folder_of_the_spec_and_by_their_content(tmp_path):
    def trial() -> experiment.Trial:
        np.save(tmp_path / "pull.npy", np.full(36, float(next(numbers))))
        data = {"problem": "isosceles", "n": 6, "seeds": 1}
        arms = {"drawn": {GENERATOR_KEY: "none", "search": {"weights": "pull.npy"}}, "none": {}}
        return experiment.plan_from({**data, "arms": arms}, "test", tmp_path).trials(problem)[0]

    numbers, problem = iter((1, 2)), load_problem("isosceles")
    first, second = trial(), trial()
    assert f'search.weights="{tmp_path}/pull.npy"' in first.job(tmp_path).begin
    assert first.name != second.name


def test_a_problem_of_ones_own_goes_by_the_folder_of_the_spec_and_by_its_content(tmp_path):
    plugin = Path(__file__).parent / "plugins" / "four_cycle_free.py"
    (tmp_path / "mine.py").write_bytes(plugin.read_bytes())
    data = {"problem": "mine.py:FourCycleFree", "n": 5, "budget_cpu_seconds": 5}
    found = experiment.plan_from(data, "test", tmp_path)
    assert found.problem == f"{tmp_path}/mine.py:FourCycleFree"
    before = found.folder("mine")
    (tmp_path / "mine.py").write_bytes(plugin.read_bytes() + b"# changed\n")
    assert found.folder("mine") != before


MINE = """
class Mine:
    class Inner:
        pass
"""


def test_an_arm_may_be_a_class_in_a_file_by_its_path_or_itself(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    spec = f"{file}:Mine"
    (bare, none) = experiment.arms_from(["mine.py:Mine", "none"], tmp_path)
    assert (bare.name, bare.settings) == ("Mine", {GENERATOR_KEY: spec})
    assert (none.name, none.settings) == ("none", {GENERATOR_KEY: "none"})
    loaded = importlib.util.spec_from_file_location("mine_of_a_test", file)
    assert loaded is not None
    assert loaded.loader is not None
    module = importlib.util.module_from_spec(loaded)
    sys.modules["mine_of_a_test"] = module
    try:
        loaded.loader.exec_module(module)
        arms = experiment.arms_from({"mine": module.Mine, "gpt": "gpt", "bare": "none"})
        assert [arm.settings for arm in arms] == [
            {GENERATOR_KEY: spec},
            {GENERATOR_KEY: "gpt"},
            {GENERATOR_KEY: "none"},
        ]
        with pytest.raises(UsageError, match="Inner is not defined at the top level of a file"):
            experiment.arms_from({"mine": module.Mine.Inner, "none": {}})
    finally:
        del sys.modules["mine_of_a_test"]


def test_a_trial_names_its_file_as_an_option_and_is_another_one_when_the_file_changes(
    tmp_path, monkeypatch
):
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    monkeypatch.setattr(experiment, "config_from", lambda *_: Config("isosceles", 6))
    arms = experiment.arms_from({"mine": f"{file}:Mine", "none": {}})

    def trial() -> experiment.Trial:
        return plan(arms=arms, sizes=(6,)).trials(load_problem("isosceles"))[0]

    words = list(trial().job(tmp_path).words())
    assert words[words.index(f"--{GENERATOR_KEY}") + 1] == f"{file}:Mine"
    assert "sizes" not in trial().settings  # it may learn from smaller ones
    before = trial().name
    file.write_text(MINE + "# changed")
    assert trial().name != before


@pytest.mark.parametrize(
    ("arms", "expected"),
    [
        ("none,gpt", {"none": {}, "gpt": {}}),
        ("./mine.py:Mine,none", {"Mine": {GENERATOR_KEY: "HERE/mine.py:Mine"}, "none": {}}),
        ("a=mine.py:Mine,b=none", {"a": {GENERATOR_KEY: "HERE/mine.py:Mine"}}
         | {"b": {GENERATOR_KEY: "none"}}),
        ("tuned=mine.py:Mine,none", {"none": {}}
         | {"tuned": {"select": {"keep": 9}, GENERATOR_KEY: "HERE/mine.py:Mine"}}),
        ("tuned,none", {"tuned": {"select": {"keep": 9}}, "none": {}}),
    ],
)  # fmt: skip
def test_the_option_names_generators_files_and_arms_of_the_spec(
    tmp_path, monkeypatch, arms, expected
):
    monkeypatch.chdir(tmp_path)
    found = chosen_arms(arms, {"tuned": {"select": {"keep": 9}}})
    assert json.dumps(found, sort_keys=True) == json.dumps(expected, sort_keys=True).replace(
        "HERE", str(tmp_path)
    )


@pytest.mark.parametrize(
    "text",
    [
        f'[arms.mine]\n{GENERATOR_KEY} = "mine.py:Mine"\n[arms.none]',
        'arms = ["mine.py:Mine", "none"]',
        'arms.mine = "mine.py:Mine"\narms.none = "none"',
        f'settings.{GENERATOR_KEY} = "mine.py:Mine"',
    ],
)
def test_a_spec_names_no_file_that_is_run(tmp_path, cli, text):
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')" + MINE)
    spec = tmp_path / "spec.toml"
    spec.write_text(f'problem = "isosceles"\nn = 6\n{text}\n')
    found = cli("compare", spec, "--runs", tmp_path / "runs")
    assert (found.code, found.out) == (2, "")
    assert "names the file mine.py:Mine; data never loads code" in found.error
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "runs").exists()


def test_the_control_is_none_or_the_last_or_the_one_asked_for():
    assert experiment.control_of(["none", "gpt"]) == "none"
    assert experiment.control_of(["gpt", "perturb"]) == "perturb"
    assert experiment.control_of(["gpt", "none"], "gpt") == "gpt"
    with pytest.raises(UsageError, match="did you mean 'gpt'"):
        experiment.control_of(["gpt", "none"], "gptt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arms": ["gpt", "pertub"]}, "unknown arm 'pertub'; did you mean 'perturb'"),
        ({"arms": ["gpt"]}, "two arms or more"),
        ({"arms": ["none", "none"]}, "'none' is there twice"),
        ({"arms": 3}, "arms must be a section, got 3"),
        ({"arms": {"a": 1, "none": {}}}, "arms.a must be a section or a generator, got 1"),
        ({"arms": {"a": "gptt", "none": {}}}, "arms.a: unknown arm 'gptt'; did you mean 'gpt'"),
        ({"arms": {"a b": {}, "none": {}}}, "arm 'a b': name it with letters"),
        ({"arms": {"a": {"budget": {"rounds": 1}}, "none": {}}}, "arm a: budget must be the same"),
        ({"arms": {"a": {"seed": 1}, "none": {}}}, "arm a: seed must be the same"),
        ({"seeds": 0}, "seeds must be between 1 and 10,000, got 0"),
        ({"seeds": "3"}, "seeds must be a whole number, got '3'"),
        ({"seeds": True}, "seeds must be a whole number"),
        ({"n": []}, "name a size"),
        ({"n": "40"}, "n must be a whole number"),
        ({"budget_cpu_seconds": 0}, "CPU seconds above 0, got 0"),
        ({"budget_cpu_seconds": float("nan")}, "CPU seconds above 0"),
        ({"budget-cpu-seconds": 3}, "unknown key 'budget-cpu-seconds'; did you mean 'budget_cpu"),
        ({"settings": {"n": 3}}, "n belongs to the plan"),
        ({"target": -1}, "target must be 0 or more"),
        ({"target": {"6": -1}}, "target must be 0 or more"),
        ({"target": {"six": 8}}, "target: 'six' is no size"),
        ({"target": {"6": "8"}}, "target.6 must be a whole number"),
        ({"stop_at_target": 1}, "stop_at_target must be true or false"),
        ({"control": "perturb"}, "unknown arm 'perturb'; known: gpt, none"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(change, message):
    data = {"problem": "isosceles", "n": 6, "arms": ["gpt", "none"], **change}
    with pytest.raises(UsageError, match=rf"^file\.toml: .*{message}"):
        experiment.plan_from(data, "file.toml")


def test_a_key_that_no_configuration_has_is_refused_before_anything_runs():
    arms = (Arm("odd", {"select": {"kep": 3}}), Arm("none", {}))
    with pytest.raises(UsageError, match=r"arm odd: unknown key 'select.kep'; did you mean"):
        plan(arms=arms).trials(load_problem("isosceles"))


# ------------------------------------------------------------------------- carrying it out


def test_a_comparison_prints_its_folder_the_tables_and_the_verdicts(run_by_stand_in, cli):
    found = cli("compare", *BASE, "--seeds", "6", "--arms", "gpt,none")
    assert found.code == 0, found.err
    assert re.match(r"\S+/runs/compare-isosceles-\w{6}\n", found.out)
    assert "isosceles (flat-forbidden), n=6" in found.out
    assert re.search(r"^gpt +8 +8 +8-8 +0 of 6 +2\.2 +6 +0 +0$", found.out, re.M)
    assert re.search(r"^none +7 +7 +7-7 +0 of 6 +2\.2 *$", found.out, re.M)
    assert "gpt ahead of none in 6 of 6 pairs (sign test p = 0.031): ahead." in found.out
    assert "fewer than 6 pairs" in " ".join(found.out.split())
    assert "12/12" in found.err
    assert len(run_by_stand_in()) == 12


def test_the_same_command_again_runs_nothing_and_more_seeds_only_those(run_by_stand_in, cli):
    assert cli("compare", *BASE, "--seeds", "2", "--arms", "gpt,none").code == 0
    first = cli("compare", *BASE, "--seeds", "2", "--arms", "gpt,none", "--json")
    assert len(run_by_stand_in()) == 4
    assert "4 of 4 runs are there already" in first.err
    assert cli("compare", *BASE, "--seeds", "3", "--arms", "gpt,perturb,none").code == 0
    assert sorted(run_by_stand_in()[4:]) == [
        "gpt 6 2",
        "none 6 2",
        "perturb 6 0",
        "perturb 6 1",
        "perturb 6 2",
    ]


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_ends_the_children_and_the_same_command_goes_on(
    run_by_stand_in, cli, monkeypatch, tmp_path
):
    monkeypatch.setenv("SLOW_FROM", "1")
    words = ["compare", *BASE, "--seeds", "2", "--arms", "gpt,none"]
    code = f"from pipeline.jobs import job; job.PROGRAM = {job.PROGRAM!r}; "
    code += "from pipeline.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    while len(run_by_stand_in()) < 4:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "gpt ahead of none in 1 of 1 pairs" in out
    assert "Go on with the same command" in err
    assert "pipeline compare isosceles --n 6" in err
    assert "Traceback" not in err
    monkeypatch.delenv("SLOW_FROM")
    assert cli(*words).code == 0
    assert sorted(run_by_stand_in()[4:]) == ["gpt 6 1", "none 6 1"]


def test_what_an_earlier_try_left_is_thrown_away(run_by_stand_in, cli, tmp_path):
    words = ["compare", *BASE, "--seeds", "1", "--arms", "gpt,none"]
    assert cli(*words).code == 0
    (folder,) = (tmp_path / "runs").iterdir()
    (stored,) = folder.glob("results/n6-gpt-seed0-*.json")
    stored.write_text(stored.read_text()[:30])
    left = folder / "runs" / stored.stem / "left"
    left.touch()
    assert cli(*words).code == 0
    assert run_by_stand_in()[2:] == ["gpt 6 0"]
    assert not left.exists()
    assert results.read_result(stored) is not None


def test_a_run_that_fails_is_reported_and_the_others_go_on(run_by_stand_in, cli, monkeypatch):
    monkeypatch.setenv("FAILS", "1")
    words = ["compare", *BASE, "--seeds", "3", "--arms", "gpt,none"]
    found = cli(*words)
    assert found.code == 1
    assert "gpt, n=6, rng seed 1 failed: no luck with this one" in found.err
    assert "2 of 6 runs failed; the same command tries them again" in found.err
    assert "gpt ahead of none in 2 of 2 pairs" in found.out
    shown = json.loads(cli(*words, "--json").out)
    assert shown["failed"][0] == {
        "arm": "gpt",
        "n": 6,
        "seed": 1,
        "error": "no luck with this one",
    }
    monkeypatch.delenv("FAILS")
    assert cli(*words).code == 0
    assert len(run_by_stand_in()) == 6 + 2 + 2


def test_progress_is_lines_with_an_eta_where_there_is_no_terminal(
    run_by_stand_in, cli, monkeypatch
):
    monkeypatch.setattr("pipeline.report.bar._LINE_EVERY", 0.0)
    found = cli("compare", *BASE, "--seeds", "1", "--arms", "gpt,none", "--jobs", "1")
    assert re.search(
        r"^runs of [\d.]+ CPU seconds [01]/2, ETA [\dmins ]+, \w+, n=6, rng seed 0$",
        found.err,
        re.M,
    )
    assert re.search(r"^2/2 none, n=6, rng seed 0: best 7, 5\.2 CPU s", found.err, re.M)
    assert not {"\x1b", "\r"} & set(found.err)


def test_when_every_run_fails_there_is_no_table(run_by_stand_in, cli, monkeypatch):
    monkeypatch.setenv("FAILS", "0")
    found = cli("compare", *BASE, "--seeds", "1", "--arms", "gpt,none")
    assert found.code == 1
    assert "no run has finished yet" in found.out
    assert "Traceback" not in found.err


def test_a_second_comparison_in_the_same_folder_waits_its_turn(tmp_path):
    with lock.holding(tmp_path), pytest.raises(RunError, match="in use by process"):
        runner.carry_out([], tmp_path, load_problem("isosceles"), Processes(1))


# ---------------------------------------------------------------------------- what is shown


def test_json_holds_everything(run_by_stand_in, cli):
    found = cli("compare", *BASE, "--seeds", "2", "--arms", "gpt,none", "--json")
    shown = json.loads(found.out)
    assert shown["schema"] == 1
    assert (shown["problem"], shown["budget_cpu_seconds"]) == ("isosceles", 5.0)
    assert (shown["control"], shown["arms"]) == ("none", ["gpt", "none"])
    assert (shown["planned"], shown["failed"], shown["interrupted"]) == (4, [], False)
    (size,) = shown["sizes"]
    assert (size["n"], size["target"], size["control_median_best"]) == (6, 9, 7)
    model = size["arms"][0]
    assert (model["best"], model["median"], model["min"], model["reached"]) == (8, 8, 8, 0)
    (first, _) = model["runs"]
    assert first["trace"] == [
        {"cpu": 0.5, "score": 5, "origin": "search"},
        {"cpu": 1.0, "score": 8, "origin": "search"},
    ]
    assert Path(first["run"], "run.json").is_file()
    (verdict,) = shown["verdicts"]
    assert (verdict["ahead"], verdict["p"], verdict["verdict"]) == (2, 0.5, "not decided")
    assert verdict["test"] == "exact two-sided sign test"


def test_a_table_fits_eighty_columns_without_colour(run_by_stand_in, cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    found = cli("compare", *BASE, "--seeds", "1", "--target", "7")
    assert "\x1b" not in found.out
    (header,) = (line for line in found.out.splitlines() if line.startswith("arm "))
    assert len(header) <= 80
    assert re.search(r"^perturb +7 +7 +7-7 +1 of 1 ", found.out, re.M)


def test_markdown_names_the_command_that_made_it(run_by_stand_in, cli, tmp_path):
    file = tmp_path / "table.md"
    words = ["compare", *BASE, "--seeds", "1", "--arms", "gpt,none", "-o", file]
    assert cli(*words).code == 0
    text = file.read_text()
    assert text.startswith(f"    pipeline {' '.join(map(str, words))}\n")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 4
    assert len({row.count("|") for row in rows}) == 1
    assert "- gpt ahead of none in 1 of 1 pairs" in text
    assert "5 CPU seconds on one core for each run." in text


def within(svg: str) -> ElementTree.Element:
    """Parse a figure and check that all of it lies in its viewBox."""
    root = ElementTree.fromstring(svg)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    tag = "{http://www.w3.org/2000/svg}"
    for text in root.iter(f"{tag}text"):
        assert 0 <= float(text.attrib["x"]) <= width
        assert 0 <= float(text.attrib["y"]) <= height
    for path in root.iter(f"{tag}path"):
        x = y = 0.0
        for command, numbers in re.findall(r"([A-Za-z])([^A-Za-z]*)", path.attrib["d"]):
            values = [float(v) for v in numbers.split()]
            if command in "ML":
                x, y = values
            elif command in "Hh":
                x = values[0] + (x if command == "h" else 0)
            elif command in "Vv":
                y = values[0] + (y if command == "v" else 0)
            assert 0 <= x <= width, path.attrib["d"]
            assert 0 <= y <= height, path.attrib["d"]
    return root


NAMES = st.text(st.characters(codec="utf-8", categories=["L", "P", "S"]), min_size=1, max_size=60)


@st.composite
def charts(draw: Callable[..., Any]) -> list[Chart]:
    names = draw(st.lists(NAMES, min_size=1, max_size=8, unique=True))
    made = []
    for n in range(draw(st.integers(1, 3))):
        lines = []
        for name in names:
            times = draw(st.lists(st.floats(0, 1e5), max_size=5, unique=True))
            low = draw(st.integers(0, 300))
            rows = [
                (t, low + k, low + k + 0.5, low + 3 * k + 1) for k, t in enumerate(sorted(times))
            ]
            lines.append(Line(name, rows))
        made.append(Chart(f"n={n}", lines, draw(st.none() | st.integers(1, 400))))
    return made


@given(charts())
def test_a_figure_is_well_formed_and_stays_in_its_box(made):
    root = within(curves_svg(made, "label"))
    assert root.attrib["role"] == "img"


def test_a_figure_escapes_what_it_shows():
    svg = curves_svg([Chart("<n> & more", [Line('a"<b>', [(1.0, 1, 2, 3)])])], 'x"<y>')
    texts = [element.text for element in within(svg).iter() if element.text]
    assert {"<n> & more", 'a"<b>', 'x"<y>', "CPU seconds"} <= set(texts)


def test_a_comparison_draws_its_figure(run_by_stand_in, cli, tmp_path):
    file = tmp_path / "curves.svg"
    assert cli("compare", *BASE, "--seeds", "2", "--arms", "gpt,none", "--figure", file).code == 0
    texts = [element.text for element in within(file.read_text()).iter()]
    assert {"gpt", "none", "target 9", "isosceles (flat-forbidden), n=6"} <= set(texts)


# --------------------------------------------------------------------------- finished runs


def finished(root: Path, generator: str, seed: int, score: int, **settings: Any) -> Path:
    config = {GENERATOR_KEY: generator, "seed": seed, "budget": {"cpu": 5.0}, **settings}
    return make_run(root, config, [(1.0, 5), (2.0, score)], cpu=5.0).path


def test_finished_runs_are_compared_by_their_generator(tmp_path, cli):
    runs = [finished(tmp_path, "gpt", k, 8) for k in range(2)]
    runs += [finished(tmp_path, "none", k, 7) for k in range(2)]
    found = cli("compare", *runs)
    assert found.code == 0, found.err
    assert "gpt ahead of none in 2 of 2 pairs" in found.out
    assert "warning" not in found.out
    assert json.loads(cli("compare", *runs, "--json").out)["folder"] is None


def test_finished_runs_of_one_generator_are_told_apart_by_their_keys(tmp_path, cli):
    runs = [finished(tmp_path, "gpt", 0, 8), finished(tmp_path, "none", 0, 7)]
    runs += [finished(tmp_path, "gpt", 0, 7, model={"tokens": "dense"})]
    shown = json.loads(cli("compare", *runs, "--json").out)
    assert shown["arms"] == ["gpt model.tokens=points", "none", "gpt model.tokens=dense"]


def test_other_budgets_are_warned_of_and_compared_at_the_smallest(tmp_path, cli):
    runs = [finished(tmp_path, "gpt", 0, 8), finished(tmp_path, "none", 0, 7, budget={})]
    assert "warning: not at equal compute: budgets" in cli("compare", *runs).out
    runs[1] = finished(tmp_path, "none", 0, 7, budget={"cpu": 1.5})
    shown = json.loads(cli("compare", *runs, "--json").out)
    assert shown["budget_cpu_seconds"] == 1.5
    assert [arm["best"] for arm in shown["sizes"][0]["arms"]] == [5, 5]


def test_what_was_found_after_the_budget_does_not_count():
    steps = (Step(1.0, 7, "seed"), Step(9.0, 8, "gpt"))
    late = replace(result("gpt", 8), trace=steps, cpu=30.0)
    assert late.within(9.0) is late
    assert (late.within(8.9).score, late.within(8.9).trace) == (7, steps[:1])
    assert late.within(0.5).score == 0
    traceless = replace(late, trace=())
    assert traceless.within(0.5) is traceless
    none = replace(result("none", 7), cpu=8.5)
    (cut, other), budget, warnings = statistics.at_equal_compute([late, none], [8.0, 8.0])
    assert (cut.score, other.score, budget) == (7, 7, 8.0)
    assert warnings == [
        "gpt used up to 30 CPU seconds of 8; what it found after them does not count"
    ]


def test_a_run_that_stopped_early_below_the_best_is_warned_of():
    early = [replace(result("gpt", 8), cpu=2.0), replace(result("none", 7), cpu=3.0)]
    _, _, warnings = statistics.at_equal_compute(early, [8.0, 8.0])
    assert warnings == [
        "not at equal compute: none stopped after 3 CPU seconds of 8, not at the best"
    ]


@pytest.mark.parametrize(
    ("settings", "code", "message"),
    [
        ({"problem": "no-3-in-line"}, 2, "no-3-in-line .*only runs of the same can be compared"),
        ({"convention": "flat-allowed"}, 2, "flat-allowed.*only runs of the same"),
        ({"seed": 0, GENERATOR_KEY: "none"}, 2, "are both none, n=6, rng seed 0; name one of them"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(tmp_path, cli, settings, code, message):
    one = finished(tmp_path, "none", 0, 7)
    other = make_run(tmp_path, {"seed": 1, **settings}, [(1.0, 2)], cpu=5.0).path
    found = cli("compare", one, other)
    assert found.code == code
    assert re.search(message, found.error), found.error


# ------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Missing argument"),
        (["isosceles"], "name a size, as in: pipeline compare isosceles --n 40"),
        (["isoceles", "--n", "6"], "unknown problem 'isoceles'; did you mean 'isosceles'"),
        (["isosceles", "--n", "6x"], "--n 6x: write a range"),
        (
            ["isosceles", "--n", "6", "--arms", "pertub"],
            "unknown arm 'pertub'; did you mean 'perturb'",
        ),
        (["isosceles", "--n", "6", "--arms", "none,none"], "'none' is there twice"),
        (["isosceles", "--n", "6", "--arms", ""], "unknown arm ''"),
        (["isosceles", "--n", "6", "--seeds", "0"], "seeds must be between 1"),
        (["isosceles", "--n", "6", "--jobs", "0"], "--jobs 0: name a number from 1"),
        (["isosceles", "--n", "6", "--budget-cpu-seconds", "-1"], "CPU seconds above 0"),
        (["isosceles", "--n", "6", "--convention", "flat"], "no convention 'flat'"),
        (["isosceles", "--n", "6", "--set", "model.tokns=x"], "'model.tokns'; did you mean"),
        (["isosceles", "--n", "6", "--figure", "x.png"], "--figure x.png: .*svg"),
        (["isosceles", "--n", "6", "-o", "no/such/x.md"], "-o no/such/x.md: cannot be written"),
        (["isosceles", "no-3-in-line", "--n", "6"], "isosceles goes alone"),
        (["a.toml", "b.toml"], "a.toml goes alone"),
        (["none.toml"], "no such file: none.toml"),
    ],
)
def test_bad_input_is_one_line(cli, words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = cli("compare", *words)
    assert (found.code, found.out) == (2, ""), found
    assert len(found.err.strip().splitlines()) == 1
    assert re.search(message, found.error), found.error
    assert not (tmp_path / "runs").exists()


def test_runs_and_a_plan_do_not_mix(tmp_path, cli):
    run = finished(tmp_path, "none", 0, 7)
    assert "x.toml goes alone" in cli("compare", run, "x.toml").error
    assert "name two runs or more" in cli("compare", run).error
    assert "--seeds goes with a problem" in cli("compare", run, run, "--seeds", "3").error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n = [", "spec.toml is not TOML"),
        ("sizes = 3", "unknown key 'sizes'"),
        ('problem = "isosceles"\nn = 6\n[arms.a]\nselect.kep = 3\n[arms.none]', "'select.kep'"),
        ("n = 6", "the key 'problem' is missing"),
    ],
)
def test_a_spec_that_cannot_be_read_is_one_line(tmp_path, cli, text, message):
    (tmp_path / "spec.toml").write_text(text)
    found = cli("compare", tmp_path / "spec.toml", "--runs", tmp_path / "runs")
    assert (found.code, found.out) == (2, "")
    assert message in found.error


def test_a_spec_describes_arms_and_options_go_over_it(run_by_stand_in, cli, tmp_path):
    spec = tmp_path / "spec.toml"
    spec.write_text(
        'problem = "isosceles"\nn = 6\nseeds = 3\nbudget_cpu_seconds = 5\n'
        "settings.select.keep = 100\n[arms.gpt]\n[arms.bordered]\n"
        f'{GENERATOR_KEY} = "none"\n'
        'search.weights = "border"\n[arms.none]\n'
    )
    shown = json.loads(cli("compare", spec, "--seeds", "1", "--json").out)
    assert (shown["arms"], shown["planned"]) == (["gpt", "bordered", "none"], 3)
    shown = json.loads(cli("compare", spec, "--seeds=1", "--arms=bordered,none", "--json").out)
    assert (shown["arms"], shown["planned"]) == (["bordered", "none"], 2)
    assert len(run_by_stand_in()) == 3


# ---------------------------------------------------------------------------- the real thing


@pytest.mark.slow
def test_real_runs_are_compared_at_equal_compute(tmp_path, cli):
    words = ["isosceles", "--n", "12", "--arms", "gpt,none", "--seeds", "2"]
    words += ["--budget-cpu-seconds", "5", "--runs", tmp_path]
    shown = json.loads(cli("compare", *words, "--json").out)
    assert shown["failed"] == []
    for arm in shown["sizes"][0]["arms"]:
        for run in arm["runs"]:
            assert run["trace"][-1]["score"] == run["score"]
            assert 0 < run["trace"][-1]["cpu"] <= run["cpu"]
    assert cli("compare", *words).code == 0


# ------------------------------------------------------------------------------ where runs are made


@pytest.mark.end_to_end
def test_arms_compared_on_ray_are_those_of_this_machine(cli, tmp_path):
    pytest.importorskip("ray", reason="needs Ray: pip install -e '.[test]'")
    words = ["isosceles", "--n", "5", "--seeds", "1", "--arms", "none,restart", "--stop-at-target"]
    found = cli("compare", *words, "--on", "ray", "--jobs", "1", "--json", "--runs", tmp_path)
    assert found.code == 0, found.err
    (size,) = json.loads(found.out)["sizes"]
    assert [arm["reached"] for arm in size["arms"]] == [1, 1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--on", "slum"], "slurm"),
        (["--address", "auto"], "--on ray"),
        (["--slurm", "partition=short"], "--on slurm"),
    ],
)
def test_options_of_another_place_are_refused(words, message, cli, tmp_path):
    done = cli("compare", "isosceles", "--n", "5", *words, "--runs", tmp_path)
    assert done.code == 2
    assert message in done.error
    assert not list(tmp_path.iterdir())

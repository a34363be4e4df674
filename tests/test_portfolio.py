"""Search without a model: the portfolio, the rounds it is played in, and pipeline search."""

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import oracles
import pytest
from conftest import contents, only_run
from hypothesis import given
from hypothesis import strategies as st
from loops import FEW_STEPS, Loop, Told, configured, rounds_of, same, written_and_read

from pipeline.config import Config
from pipeline.core.population import ORIGINS, Population
from pipeline.core.symmetry import canonical, find_class, orbits
from pipeline.engine.arms import make_arms, tabu_notes
from pipeline.engine.portfolio import BATCH, Arm, Portfolio, core_worth
from pipeline.engine.runner import TaskRunner
from pipeline.engine.space import make_space, usable_classes
from pipeline.engine.weights import make_weights
from pipeline.errors import UsageError
from pipeline.executors import Processes, Serial
from pipeline.plugins import load_problem
from pipeline.state import State
from pipeline.stopping import Clock
from pipeline.storage.construction_files import at_larger_size
from pipeline.storage.finding import find_run
from pipeline.storage.run import SMALLER

PLUGINS = Path(__file__).parent / "plugins"
FOUR_CYCLE = f"{PLUGINS / 'four_cycle_free.py'}:FourCycleFree"


#: The methods that any problem has.
METHODS = ("tabu", "enumerate", "anneal", "greedy")


def rng(seed=1):
    return np.random.default_rng(seed)


# ------------------------------------------------------------------------------------- batches


def arms_of(number):
    return [Arm("tabu", f"class {i}") for i in range(number)]


def played(portfolio, brings, batches, seed=1):
    """Return the arms of so many batches, ``brings(arm)`` telling what a shard of it finds."""
    chance, given_out = rng(seed), []
    for _ in range(batches):
        batch = portfolio.batch(chance)
        for arm in batch:
            portfolio.add(arm, *brings(arm))
        given_out += batch
    return given_out


@given(st.integers(1, 60), st.integers(0, 2**32), st.sampled_from([1, 2, 5, BATCH]))
def test_every_arm_gets_a_turn_and_no_batch_is_larger_than_it_may_be(number, seed, tasks):
    portfolio = Portfolio(arms_of(number), batch=tasks)
    first = portfolio.batch(rng(seed))
    assert first == arms_of(number)[:tasks]
    played(portfolio, lambda arm: (5, 5), 1 + -(-number // -(-tasks // 2)), seed)
    assert all(portfolio.records[arm].tasks for arm in portfolio.arms)
    assert len(portfolio.batch(rng(seed))) == tasks


def test_a_batch_depends_on_the_records_and_the_rng_alone():
    def bring(arm):
        return (20, 18) if arm.symmetry == "class 3" else (17, 16)

    one, two = Portfolio(arms_of(20)), Portfolio(arms_of(20))
    assert played(one, bring, 8) == played(two, bring, 8)
    again = Portfolio(arms_of(20))
    again.restore(one.to_json())
    for seed in range(20):
        assert again.batch(rng(seed)) == one.batch(rng(seed))
    assert len({tuple(a.name for a in one.batch(rng(seed))) for seed in range(20)}) > 1


def test_the_arm_that_finds_more_gets_more_and_no_arm_is_given_up():
    def bring(arm):
        return (20, 20) if arm.symmetry == "class 2" else (16, 16)

    given_out = Counter(played(Portfolio(arms_of(5)), bring, 40))
    best = given_out.pop(Arm("tabu", "class 2"))
    assert best > 4 * max(given_out.values())
    assert min(given_out.values()) >= 10


def test_ruin_and_recreate_leaves_a_class_whose_orbits_do_not_fit_together():
    arms = [Arm("ruin-recreate", f"class {i}") for i in range(5)]

    def bring(arm):
        return (20, 4) if arm.symmetry == "class 3" else (20, 18)

    given_out = played(Portfolio(arms, batch=5), bring, 20)
    assert Counter(given_out)[arms[3]] == 1
    # The first task of each but the first class was a short one: a whole one comes next.
    assert given_out[5:8] == [arms[1], arms[2], arms[4]]


def test_ruin_and_recreate_goes_on_in_the_only_class_it_is_given():
    arm = Arm("ruin-recreate", "class 0")
    assert played(Portfolio([arm]), lambda _: (20, 4), 3) == [arm] * (1 + 2 * BATCH)


def test_among_equals_the_arm_that_gets_there_more_often_gets_more():
    turns = Counter()

    def bring(arm):
        turns[arm] += 1
        often = arm.symmetry == "class 0" or turns[arm] % 5 == 1
        return (20, 20) if often else (15, 15)

    given_out = Counter(played(Portfolio(arms_of(3)), bring, 60))
    assert given_out[Arm("tabu", "class 0")] > 1.5 * given_out[Arm("tabu", "class 1")]


def test_exact_covers_get_most_until_one_is_there_and_the_nearest_of_them_most_of_that():
    near, far = Arm("cover", "class 0"), Arm("cover", "class 1")
    others = arms_of(4)
    reached = {near: (36, 0), far: (30, 0)}

    def bring(arm):
        return reached.get(arm, (34, 34))

    portfolio = Portfolio([near, far, *others], wanted=40)
    given_out = Counter(played(portfolio, bring, 40))
    covers = given_out[near] + given_out[far]
    assert 0.65 * given_out.total() < covers < 0.85 * given_out.total()
    assert given_out[near] > 4 * given_out[far] > 0
    reached[near] = (40, 0)
    portfolio.add(near, 40, 0)
    given_out = Counter(played(portfolio, bring, 40))
    assert given_out.most_common(1)[0][0] == near
    assert given_out[far] < 0.15 * given_out.total()


def test_records_keep_the_best_how_often_it_was_reached_and_the_largest_core():
    arm = Arm("tabu", "mirror")
    portfolio = Portfolio([arm, Arm("anneal", "mirror")])
    for best, core in [(10, 10), (12, 8), (12, 11), (11, 9), (12, 2)]:
        portfolio.add(arm, best, core)
    assert vars(portfolio.records[arm]) == {"tasks": 5, "best": 12, "hits": 3, "core": 11}
    assert portfolio.best == 12


def test_records_survive_being_written_and_read():
    def bring(arm):
        return (10 + int(arm.symmetry[-1]), 9)

    arms = [
        *arms_of(9),
        Arm("enumerate", "class 1", "border", restricted=True),
        Arm("anneal", "class 1"),
    ]
    arms += [Arm("anneal", "class 1", weights="border"), Arm("tabu", "class 1", weights="mine.npy")]
    portfolio = Portfolio(arms)
    played(portfolio, bring, 5)
    rows = json.loads(json.dumps(portfolio.to_json()))
    assert [row["best"] for row in rows] == sorted((row["best"] for row in rows), reverse=True)
    again = Portfolio(arms)
    again.restore(rows)
    assert again.records == portfolio.records
    fewer = Portfolio(arms[:3])
    fewer.restore(rows)
    assert fewer.records == {arm: portfolio.records[arm] for arm in arms[:3]}


def test_enumeration_waits_until_another_arm_has_told_what_size_is_in_reach():
    climb, many = (
        Arm(method, "mirror", "border", restricted=True) for method in ("tabu", "enumerate")
    )
    portfolio = Portfolio([climb, many, Arm("anneal", "mirror")])
    assert portfolio.goal(climb) == 1
    assert many not in portfolio.batch(rng())
    portfolio.add(Arm("anneal", "mirror"), 30, 30)
    assert many not in portfolio.batch(rng())
    portfolio.add(climb, 24, 20)
    assert many in portfolio.batch(rng())
    assert portfolio.goal(many) == 20
    assert portfolio.goal(climb) == 17


def test_enumeration_takes_turns_between_the_size_in_reach_and_smaller_ones():
    climb, many = (
        Arm(method, "mirror", "border", restricted=True) for method in ("tabu", "enumerate")
    )
    portfolio = Portfolio([climb, many])
    portfolio.add(climb, 100, 100)
    goals = []
    for _ in range(8):
        goals.append(portfolio.goal(many))
        assert portfolio.goal(climb) == 85
        portfolio.add(many, 100, 90)
    assert goals == [100, 92, 100, 84] * 2


def test_enumeration_makes_no_sets_too_small_to_be_kept():
    climb, many = Arm("tabu", "mirror"), Arm("enumerate", "mirror")
    portfolio = Portfolio([climb, many])
    assert portfolio.floor == 0
    portfolio.add(climb, 100, 100)
    portfolio.floor = 90
    goals = []
    for _ in range(4):
        goals.append(portfolio.goal(many))
        portfolio.add(many, 100, 100)
    assert goals == [100, 92, 100, 100]
    assert portfolio.goal(climb) == 85


def test_a_core_counts_for_all_arms_of_its_orbits_whatever_pulls_them():
    climb, pulled = Arm("tabu", "mirror"), Arm("tabu", "mirror", weights="border")
    apart = [Arm("tabu", "mirror", "border", restricted=True), Arm("tabu", "half-turn")]
    portfolio = Portfolio([climb, pulled, *apart])
    portfolio.add(pulled, 100, 100)
    assert [portfolio.goal(arm) for arm in (climb, pulled, *apart)] == [85, 85, 1, 1]


def test_enumeration_alone_begins_from_nothing():
    many = Arm("enumerate", "mirror")
    portfolio = Portfolio([many])
    assert portfolio.batch(rng()) == [many]
    assert portfolio.goal(many) == 1
    portfolio.add(many, 120, 100)
    assert portfolio.batch(rng()) == [many] * BATCH
    assert portfolio.goal(many) == 92


@given(
    st.integers(0, 2**32),
    st.sampled_from(["trivial", "mirror", "half-turn", "both-mirrors", "both-mirrors@4x5"]),
)
def test_the_core_is_what_lies_in_whole_orbits(seed, symmetry):
    ground = load_problem("isosceles").ground(5)
    cls = find_class(ground, symmetry)
    of = orbits(ground, cls).of
    in_class = [not cls.box or r < 4 for r in range(5) for _ in range(5)]
    bits = rng(seed).random((4, 25)) < 0.6
    sizes = []
    for row in bits:
        whole = [c for c in range(of.max() + 1) if row[of == c].all()]
        sizes.append(sum(int(((of == c) & in_class).sum()) for c in whole))
    assert core_worth(bits, ground, cls, np.ones(len(of), np.int64)) == max(sizes)
    assert core_worth(bits[:0], ground, cls, np.ones(len(of), np.int64)) == 0


# ---------------------------------------------------------------------------------------- arms


def test_an_unknown_method_or_class_is_refused_with_the_nearest():
    problem = load_problem("isosceles")
    with pytest.raises(UsageError, match=r"unknown method 'taboo'.*tabu"):
        make_arms(problem, 8, ["taboo"])
    with pytest.raises(UsageError, match=r"no symmetry class 'mirorr'.*mirror"):
        make_arms(problem, 8, [], ["mirorr"])


def test_a_class_that_no_construction_has_is_refused_with_those_that_some_have():
    with pytest.raises(UsageError, match=r"the symmetry 'quarter-turn'; usable: .*both-mirrors"):
        make_arms(load_problem("isosceles"), 8, [], ["mirror", "quarter-turn"])
    assert make_arms(load_problem("no-3-in-line"), 8, [], ["quarter-turn"])


@pytest.mark.parametrize(("spec", "n"), [("isosceles", 9), ("no-3-in-line", 6), (FOUR_CYCLE, 7)])
def test_the_arms_are_every_method_in_every_usable_class(spec, n):
    problem = load_problem(spec)
    usable = {cls.name for cls in usable_classes(problem, n)}
    arms = make_arms(problem, n)
    assert {(a.method, a.symmetry, a.restricted) for a in arms if a.method in METHODS} == {
        (method, name, False) for method in ("tabu", "anneal", "enumerate") for name in usable
    }
    assert len(set(arms)) == len(arms)
    for method in METHODS:
        assert {(a.method, a.symmetry) for a in make_arms(problem, n, [method], ["trivial"])} == {
            (method, "trivial")
        }


def test_large_boards_have_restricted_arms_and_no_tabu_on_more_orbits_than_it_can_bear():
    arms = make_arms(load_problem("isosceles"), 48)
    pulls: dict[tuple[str, str], list[tuple[bool, str]]] = {}
    for a in arms:
        pulls.setdefault((a.method, a.symmetry), []).append((a.restricted, a.weights))
    every = [(True, "border"), (False, "border"), (False, "")]
    for key in product(("tabu", "enumerate"), ("both-mirrors", "mirror")):
        assert pulls[key] == every
    for name in ("both-mirrors", "trivial"):
        assert pulls["anneal", name] == [(False, "border"), (False, "")]
    assert ("tabu", "trivial") not in pulls
    asked = make_arms(load_problem("isosceles"), 48, ["tabu"], ["trivial"])
    assert [(a.restricted, a.weights) for a in asked] == every
    assert asked[0].name == "tabu, trivial, weights border, restricted"


@pytest.mark.parametrize("n", [19, 20])
@pytest.mark.parametrize("field", [None, "", "border", "unknown"])
def test_a_field_is_taken_by_all_arms_or_by_none_and_small_boards_go_without(n, field):
    problem = load_problem("isosceles")
    known = "" if field == "unknown" else field  # as one yet to be learnt
    fields = None if known is None else {field: make_weights(known, problem.ground(n), {})}
    arms = make_arms(problem, n, weights_by_name=fields)
    expected = {field} if field is not None else {"", "border"} if n == 20 else {""}
    assert {a.weights for a in arms if a.method != "cover"} == expected
    narrow = n == 20 and field in (None, "border")
    assert {a.restricted for a in arms if a.method == "tabu"} == (
        {False, True} if narrow else {False}
    )
    assert all(a.weights == "border" for a in arms if a.restricted)
    assert len(set(arms)) == len(arms)


# -------------------------------------------------------------------------------------- rounds


#: Settings of search at large: so few steps that a round takes no time.
FEW = {**FEW_STEPS, "tabu_steps": 4000, "enumerate_nodes": 4000}


def search_config(**changes: Any) -> Config:
    data: dict[str, Any] = {
        "problem": "isosceles",
        "n": 9,
        "sizes": [9],
        "generator": "none",
        "seeding": {"moves": 2000, "batches": 2},
        "search": {"batches": 2, **FEW},
        "select": {"keep": 40},
    }
    return configured(data, **changes)


@pytest.fixture(scope="module")
def states() -> list[State]:
    return rounds_of(search_config(), 2)


def test_pools_are_valid_distinct_up_to_symmetry_best_first_and_within_the_quota(states):
    problem = load_problem("isosceles")
    ground = problem.ground(9)
    for state in states:
        (pool,) = state.pools.values()
        assert 0 < len(pool) <= 40
        assert (np.diff(pool.score) <= 0).all()
        assert len(np.unique(canonical(pool.cells, ground), axis=0)) == len(pool)
        new = pool.round == state.round
        assert {ORIGINS[k] for k in pool.origin[new]} <= {"search" if state.round else "seed"}
        assert {ORIGINS[k] for k in pool.origin[~new]} <= {"seed", "search"}
        for i in range(len(pool)):
            points = [tuple(row) for row in ground.coords[pool.points(i)].tolist()]
            assert oracles.no_isosceles(points)
            assert len(points) == pool.score[i]
    assert len(states[-1].pools[9]) == 40
    assert states[-1].best(9) == 16


def test_a_pool_never_gets_worse_and_its_arms_go_on_from_their_records(states):
    for before, after in pairwise(states):
        assert after.best(9) >= before.best(9)
        assert after.pools[9].score.sum() >= before.pools[9].score.sum()
        shards = [sum(row["tasks"] for row in s.stats["arms"]) for s in (before, after)]
        assert shards[1] - shards[0] == 2 * BATCH
    assert sum(row["tasks"] for row in states[0].stats["arms"]) == 2 * BATCH


def test_the_same_rng_seed_gives_the_same_rounds_and_another_gives_others(states):
    again = rounds_of(search_config(), 2)
    assert all(same(a, b) for a, b in zip(states, again, strict=True))
    other = rounds_of(search_config(seed=1), 0)[0]
    assert not np.array_equal(other.pools[9].cells, states[0].pools[9].cells)


def test_a_round_goes_on_from_what_was_written_of_the_last(states):
    last = states[1]
    assert same(Loop(search_config()).next(written_and_read(last)), states[2])


@pytest.fixture(scope="module")
def two():
    """Two worker processes."""
    executor = Processes(2)
    yield executor
    executor.close()


def test_processes_find_what_one_process_finds(states, two):
    parallel = rounds_of(search_config(), 1, two)
    assert all(same(a, b) for a, b in zip(states, parallel, strict=False))


def test_a_target_ends_a_round_at_the_same_shard_however_many_work(two):
    config = search_config(budget={"target": 15}, seeding={"batches": 50})
    told = Told()
    alone = Loop(config, told=told).seed()
    assert alone.best(9) >= 15
    assert len(told.done) == sum(row["tasks"] for row in alone.stats["arms"]) < 50 * BATCH
    assert same(alone, Loop(config, two).seed())


def test_a_target_that_is_there_already_asks_for_no_search(states):
    after = Loop(search_config(budget={"target": 16})).next(states[-1])
    assert after.stats["arms"] == states[-1].stats["arms"]
    assert np.array_equal(after.pools[9].cells, states[-1].pools[9].cells)


class Looks(Clock):
    """Is over after so many looks, and may tell of each."""

    def __init__(self, looks: float = float("inf"), told: Told | None = None) -> None:
        super().__init__()
        self.looks, self.told = looks, told

    def over(self) -> bool:
        if self.told is not None:
            self.told.events.append(("asked", {}))
        self.looks -= 1
        self.cut_short = self.cut_short or self.looks < 0
        return self.looks < 0


class Parts(Clock):
    """Is over once so many parts have been told of."""

    def __init__(self, parts: int, told: Told) -> None:
        super().__init__()
        self.parts, self.told = parts, told

    def over(self) -> bool:
        passed = len(self.told.done) >= self.parts
        self.cut_short = self.cut_short or passed
        return passed


@pytest.mark.parametrize("parts", [0, 1, 5, 20])
def test_a_round_that_runs_out_of_time_keeps_what_is_there(parts):
    told = Told()
    loop = Loop(search_config(), told=told, clock=Parts(parts, told))
    state = loop.seed()
    assert loop.runner.clock.cut_short
    assert told.done == list(range(1, parts + 1))
    assert len(state.pools[9])  # one greedy construction where there was time for nothing
    assert sum(row["tasks"] for row in state.stats["arms"]) == parts


def test_the_clock_is_asked_only_while_there_is_something_to_cut_short():
    told = Told()
    Loop(search_config(), told=told, clock=Looks(told=told)).seed()
    events = [event for event, _ in told.events]
    assert events.count("progress") == 2 * BATCH
    assert "asked" in events
    assert "asked" not in events[len(events) - events[::-1].index("progress") :]


@pytest.mark.parametrize("methods", [["tabu", "anneal"], ["enumerate"]])
def test_fields_and_bands_are_the_same_with_two_processes(methods, two):
    limits = {"batches": 2, "methods": methods}
    symmetry = {"symmetry": ["both-mirrors", "mirror"], "moves": 2000}
    config = search_config(n=20, sizes=[20], search=limits, seeding=symmetry)
    alone, parallel = rounds_of(config, 1), rounds_of(config, 1, two)
    assert all(same(a, b) for a, b in zip(alone, parallel, strict=True))
    rows = alone[0].stats["arms"]
    assert {row["weights"] for row in rows} == {"", "border"}
    assert {row["restricted"] for row in rows} == {False, True}
    assert load_problem("isosceles").validate(alone[-1].pools[20].cells, 20).all()


def test_a_full_pool_sets_the_floor_of_enumeration(monkeypatch):
    floors: list[tuple[int, int]] = []
    goal = Portfolio.goal

    def spy(portfolio: Portfolio, arm: Arm) -> int:
        found = goal(portfolio, arm)
        if arm.method == "enumerate" and portfolio.floor:
            core = max(portfolio.records[a].core for a in portfolio.arms)
            floors.append((found, min(portfolio.floor, core)))
        return found

    monkeypatch.setattr(Portfolio, "goal", spy)
    methods = {"methods": ["tabu", "enumerate"]}
    seeding = {"symmetry": ["trivial"], "batches": 5}
    config = search_config(search=methods, seeding=seeding, select={"keep": 5})
    rounds_of(config, 0)
    assert floors
    assert all(found >= least for found, least in floors)


@pytest.mark.parametrize("symmetry", [[], ["mirror"]])
def test_progress_never_goes_beyond_the_total_it_was_told(symmetry):
    told = Told()
    Loop(search_config(seeding={"batches": 1, "symmetry": symmetry}), told=told).seed()
    assert told.stages == [("explore", BATCH, 9)]
    assert told.done == list(range(1, BATCH + 1))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("spec", ["isosceles", "no-3-in-line", FOUR_CYCLE])
def test_every_method_finds_something_by_itself(spec, method):
    config = search_config(
        problem=spec,
        n=7,
        sizes=[7],
        search={"methods": [method]},
        seeding={"batches": 1, "moves": 2000},
    )
    (state,) = rounds_of(config, 0)
    pool = state.pools[7]
    problem = load_problem(spec)
    assert problem.validate(pool.cells, 7).all()
    assert (problem.score(pool.cells, 7) == pool.score).all()
    known = problem.known(7)
    assert known is not None
    assert known.value - 1 <= state.best(7) <= known.value
    assert {row["method"] for row in state.stats["arms"]} == {method}


def test_starts_enter_the_pool_as_imports(states):
    best = states[-1].pools[9].take([0])
    start = Population.build(9, 81, best.cells, best.score, origin="import")
    pool = Loop(search_config(), clock=Looks(0)).seed({9: start}).pools[9]
    assert [ORIGINS[k] for k in pool.origin] == ["import"]
    assert np.array_equal(pool.cells, start.cells)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_the_smallest_boards_are_searched_too(n):
    for spec in ("isosceles", "no-3-in-line"):
        (state,) = rounds_of(
            search_config(problem=spec, n=n, sizes=[n], seeding={"batches": 1, "moves": 2000}), 0
        )
        known = load_problem(spec).known(n)
        assert known is not None
        assert state.best(n) == known.value


# ----------------------------------------------------------------------------- pipeline search

TINY = ["--workers", 1, "--set", "seeding.moves=2000", "--set", "search.batches=1"]
TINY += ["--set", "seeding.batches=1", "--set", "seeding.moves=2000"]
TINY += [word for key, value in FEW.items() for word in ("--set", f"search.{key}={value}")]


def lines(text: str) -> list[str]:
    return text.strip().splitlines()


def refused(found: Any, message: str) -> None:
    assert found.code == 2, found
    assert re.search(message, found.error), found.error
    assert len(lines(found.err)) == 1
    assert not found.out


def runs_in(root: Path) -> list[Path]:
    return sorted(p.parent for p in root.glob("*/run.json"))


def rounds_in(run: Path) -> list[str]:
    return sorted(p.name for p in (run / "rounds").iterdir())


def test_a_search_prints_its_path_first_and_the_best_construction_last(tmp_path, cli):
    options = [*TINY, "--rounds", 1, "--runs", tmp_path, "--target", 16]
    found = cli("search", "isosceles", "--n", 9, *options)
    run = only_run(tmp_path)
    assert found.code == 0
    assert lines(found.out)[0] == str(run)
    assert "isosceles (flat-forbidden), n=9: 16 points, verified" in found.out
    assert "equal to the best known, 16" in found.out
    assert "by local search" in found.out
    assert "round 0 of 1" in found.err
    assert {p.name for p in (run / "best").iterdir()} == {"n9.json", "n9.svg"}
    assert cli("verify", run).code == 0


def test_a_search_as_json_is_one_object(tmp_path, cli):
    found = cli("search", "isosceles", "--n", 6, *TINY, "--json", "--runs", tmp_path)
    told = json.loads(found.out)
    assert told["run"] == str(only_run(tmp_path))
    assert told["best"]["score"] == told["best"]["best_known"] == 9


def test_several_sizes_are_searched_in_turn_and_make_a_table(tmp_path, cli):
    options = [*TINY, "--rounds", 0, "--runs", tmp_path]
    found = cli("search", "no-3-in-line", "--n", "5:6,8", *options, "--table")
    assert found.code == 0
    head, *rows = lines(found.out)
    assert head.split()[:3] == ["n", "found", "best"]
    assert [row.split()[:2] for row in rows] == [["5", "10"], ["6", "12"], ["8", "16"]]
    for row, run in zip(rows, runs_in(tmp_path), strict=True):
        assert "(proved)" in row
        assert row.split()[-1] == run.name
        assert cli("show", row.split()[-1], "--runs", tmp_path).code == 0
    assert "● ·" not in found.out


@pytest.mark.parametrize("problem", ["isosceles", FOUR_CYCLE])
def test_of_several_sizes_each_begins_with_the_best_of_the_one_before(problem, tmp_path, cli):
    options = ["--method", "greedy", "--rounds", 0, "--runs", tmp_path, "--json"]
    found = cli("search", problem, "--n", "8,7", *options)
    assert found.code == 0
    first, second = json.loads(found.out)["runs"]
    start = json.loads((Path(second["run"]) / SMALLER).read_text())
    assert (start["n"], start["points"]) == (8, first["best"]["points"])
    assert second["best"]["score"] >= first["best"]["score"]
    assert not second["best"]["imported"]
    assert not (Path(first["run"]) / SMALLER).exists()


def test_what_is_no_construction_at_a_larger_size_is_not_begun_with():
    problem = load_problem("isosceles")
    small = {"problem": "isosceles", "convention": "flat-forbidden", "n": 4}
    good = small | {"points": [[0, 0], [0, 1], [1, 3]]}
    assert at_larger_size(good, problem, 5) == good | {"n": 5}
    assert at_larger_size(small | {"points": [[0, 0], [0, 1], [0, 2]]}, problem, 5) is None
    assert at_larger_size(small | {"points": [[0, 0], [4, 9]]}, problem, 5) is None


def test_a_table_of_one_size_and_of_what_has_no_best_known(tmp_path, cli):
    plugin = f"{PLUGINS / 'no_four_on_a_circle.py'}:NoFourOnACircle"
    options = [*TINY, "--rounds", 0, "--runs", tmp_path / ("long-" * 30), "--table"]
    found = cli("search", plugin, "--n", 4, *options)
    assert found.code == 0
    _, row = lines(found.out)
    assert row.split()[2:4] == ["-", "-"]


def test_several_sizes_as_json_are_a_list_of_runs(tmp_path, cli):
    options = [*TINY, "--rounds", 0, "--runs", tmp_path, "--json"]
    told = json.loads(cli("search", "isosceles", "--n", "4,6", *options).out)
    assert [(row["best"]["n"], row["best"]["score"]) for row in told["runs"]] == [(4, 6), (6, 9)]
    assert [row["run"] for row in told["runs"]] == [str(run) for run in runs_in(tmp_path)]


def test_a_search_of_so_many_rounds_is_the_same_everywhere(tmp_path, cli):
    # No class has the proved 18 on a 10 x 10 board within so few steps: all rounds are played.
    options = ["search", "isosceles", "--n", 14, *TINY, "--rounds", 2, "--runs"]
    for name, more in [("a", []), ("b", []), ("c", ["--workers", 2]), ("d", ["--seed", 1])]:
        assert cli(*options, tmp_path / name, *more).code == 0
    first = contents(only_run(tmp_path / "a"))
    assert rounds_in(only_run(tmp_path / "a")) == ["0000", "0001", "0002"]
    assert contents(only_run(tmp_path / "b")) == first
    for name in ("c", "d"):
        other = contents(only_run(tmp_path / name))
        same_bytes = {file for file in first if other[file] == first[file]}
        pools = {file for file in first if file.endswith("n14.parquet")}
        assert len(pools) == 3
        assert same_bytes >= pools if name == "c" else not same_bytes & pools


def test_a_search_that_is_resumed_ends_with_the_same_bytes(tmp_path, cli):
    options = ["search", "isosceles", "--n", 14, *TINY, "--runs"]
    assert cli(*options, tmp_path / "whole", "--rounds", 2).code == 0
    assert cli(*options, tmp_path / "parts", "--rounds", 0).code == 0
    whole, parts = only_run(tmp_path / "whole"), only_run(tmp_path / "parts")
    assert rounds_in(parts) == ["0000"]
    assert cli("resume", parts, "--rounds", "+1").code == 0
    assert rounds_in(parts) == ["0000", "0001"]
    found = cli("resume", "latest", "--rounds", 2, "--workers", 2, "--runs", parts.parent)
    assert found.code == 0
    assert "n=14" in found.out
    assert contents(parts) == contents(whole)


def test_a_search_stops_where_more_is_proved_impossible(tmp_path, cli):
    found = cli("search", "no-3-in-line", "--n", 6, *TINY, "--runs", tmp_path)
    assert found.code == 0
    assert "12 points, verified" in found.out
    run = only_run(tmp_path)
    assert len(rounds_in(run)) <= 3
    assert find_run(str(run), tmp_path).config.budget.target == 12


def test_a_target_stops_a_search(tmp_path, cli):
    found = cli("search", "isosceles", "--n", 14, *TINY, "--target", 18, "--runs", tmp_path)
    assert found.code == 0
    assert rounds_in(only_run(tmp_path)) == ["0000"]


@pytest.mark.parametrize("sizes", ["6", "5,6"])
def test_a_target_above_a_proved_value_is_refused_before_anything_runs(tmp_path, cli, sizes):
    found = cli("search", "no-3-in-line", "--n", sizes, "--target", 13, "--runs", tmp_path / "r")
    refused(found, r"--target 13: 1[02] is proved optimal for no-3-in-line at n=[56] \(")
    assert not (tmp_path / "r").exists()


def test_a_target_above_what_is_only_known_is_allowed(tmp_path, cli):
    options = [*TINY, "--rounds", 0, "--target", 40, "--runs", tmp_path]
    assert cli("search", "isosceles", "--n", 14, *options).code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--symmetry", "quarter-turn"],
            "no construction with the symmetry 'quarter-turn'; usable",
        ),
        (["--symmetry", "mirrror"], "no symmetry class 'mirrror'.*mirror"),
        (["--method", "taboo"], "unknown .*'taboo'.*tabu"),
        (["--keep", "0"], "keep"),
        (["--rounds", "-1"], "rounds"),
        (["--time", "soon"], "--time soon"),
        (["--n", "9:6"], "runs backwards"),
    ],
)
def test_what_no_search_could_get_past_is_refused_before_anything_runs(
    tmp_path, cli, options, message
):
    found = cli("search", "isosceles", "--n", 8, *options, "--runs", tmp_path / "r")
    assert found.code == 2
    assert re.search(message, found.error), found.error
    assert "Traceback" not in found.err
    assert not found.out
    assert not runs_in(tmp_path / "r")


def test_a_search_without_a_size_is_told_how_to_name_one(cli):
    refused(cli("search", "isosceles"), "name a size, as in: pipeline search isosceles --n 48")


def test_a_search_keeps_as_many_as_it_is_told(tmp_path, cli):
    options = [*TINY, "--rounds", 0, "--runs", tmp_path]
    assert cli("search", "isosceles", "--n", 14, *options, "--keep", 3).code == 0
    pool, _ = Population.read(only_run(tmp_path) / "rounds" / "0000" / "n14.parquet")
    assert len(pool) == 3


def test_a_search_keeps_to_the_methods_and_classes_it_is_told(tmp_path, cli):
    chosen = ["--method", "tabu,greedy", "--symmetry", "mirror, half-turn"]
    options = [*TINY, "--rounds", 0, "--runs", tmp_path]
    assert cli("search", "isosceles", "--n", 14, *chosen, *options).code == 0
    stats = json.loads((only_run(tmp_path) / "rounds" / "0000" / "stats.json").read_text())
    assert {(row["method"], row["symmetry"]) for row in stats["arms"]} == {
        (method, name) for method in ("tabu", "greedy") for name in ("mirror", "half-turn")
    }


@pytest.mark.parametrize("by_file", [True, False])
def test_rounds_of_a_file_or_a_setting_bound_a_search(tmp_path, cli, by_file):
    file = tmp_path / "mine.toml"
    file.write_text("[budget]\nrounds = 1\n")
    bound = ["--config", file] if by_file else ["--set", "budget.rounds=1"]
    assert cli("search", "isosceles", "--n", 14, *TINY, *bound, "--runs", tmp_path).code == 0
    run = only_run(tmp_path)
    assert rounds_in(run) == ["0000", "0001"]
    assert find_run(str(run), tmp_path).config.budget.time == 0


def test_a_search_by_the_clock_ends_with_it_and_keeps_what_is_there(tmp_path, cli, monkeypatch):
    told_best, done = TaskRunner.told_best, []

    def counted(self, *what):
        done.append(what)
        return told_best(self, *what)

    monkeypatch.setattr(TaskRunner, "told_best", counted)
    monkeypatch.setattr(Clock, "seconds", lambda _: 25.0 * len(done))  # that is what a task takes
    assert (
        cli("search", "isosceles", "--n", 14, *TINY, "--time", "1m", "--runs", tmp_path).code == 0
    )
    run = only_run(tmp_path)
    assert rounds_in(run) == ["0000"]
    stats = json.loads((run / "rounds" / "0000" / "stats.json").read_text())
    assert sum(row["tasks"] for row in stats["arms"]) == 3 < BATCH


def test_a_round_that_the_clock_cuts_short_is_called_not_reproducible(tmp_path, cli, monkeypatch):
    clock = iter(range(0, 10**6, 10))
    monkeypatch.setattr("pipeline.stopping.time.monotonic", lambda: float(next(clock)))
    options = [*TINY, "--time", "1m", "--runs", tmp_path]
    assert cli("search", "isosceles", "--n", 14, *options).code == 0
    run = only_run(tmp_path)
    (session,) = json.loads((run / "run.json").read_text())["sessions"]
    assert session["reproducible"] is False
    assert session["reason"] == "round 0 was cut short by the clock"
    monkeypatch.undo()
    assert "not reproducible: round 0 was cut short by the clock" in lines(cli("show", run).out)
    (told,) = json.loads(cli("show", run, "--json").out)["sessions"]
    assert told == session
    # What is played after it goes by numbers again, and the mark stays.
    assert cli("resume", run, "--time", "1h", "--rounds", 1).code == 0
    sessions = json.loads((run / "run.json").read_text())["sessions"]
    assert [s["reproducible"] for s in sessions] == [False, True]
    assert cli("show", run).out.count("not reproducible") == 1


@pytest.mark.parametrize("options", [["--rounds", 1], ["--time", "1h", "--target", 18]])
def test_a_search_that_the_clock_does_not_cut_short_says_nothing(tmp_path, cli, options):
    found = cli("search", "isosceles", "--n", 14, *TINY, *options, "--runs", tmp_path)
    assert found.code == 0
    run = only_run(tmp_path)
    (session,) = json.loads((run / "run.json").read_text())["sessions"]
    assert session["reproducible"] is True
    assert "reason" not in session
    assert "reproducible" not in cli("show", run).out


def notes_of(**changes: Any) -> list[str]:
    """Return what the tabu searches of a configuration go without."""
    return Loop(search_config(**changes)).engine.explorer.notes()


def test_more_cores_than_tasks_at_a_time_are_told():
    class Wide(Serial):
        def cores(self) -> int:
            return 20

    told = Told()
    Loop(search_config(), Wide(), told).engine.warm_up()
    (note,) = told.named("note")
    assert note["text"].startswith("20 cores, and search hands out 16 tasks at a time, so that 4 ")
    assert "search.tasks_per_batch=80" in note["text"]
    told = Told()
    Loop(search_config(search={"tasks_per_batch": 20}), Wide(), told).engine.warm_up()
    assert not told.named("note")


def left_out(n: int, symmetry: str) -> str | None:
    """Return the line on the orbits that tabu goes without, None where there are none."""
    problem = load_problem("isosceles")
    cls = find_class(problem.ground(n), symmetry)
    every, fewer = (len(make_space(problem, n, cls, traps=t).key) for t in (True, False))
    if every == fewer:
        return None
    out = f"{every - fewer} of {every}"
    return f"{symmetry}: {out} orbits left out of tabu, each in conflict with most of the others"


def test_notes_say_once_for_each_class_what_orbits_tabu_goes_without():
    names = [cls.name for cls in usable_classes(load_problem("isosceles"), 9)]
    expected = {line for name in names if (line := left_out(9, name))}
    assert any(line.startswith("mirror: 9 of 45 orbits left out") for line in expected)
    assert sorted(notes_of()) == sorted(expected)


def test_what_a_search_goes_without_is_shown_by_show_alone(tmp_path, cli):
    found = cli("search", "isosceles", "--n", 9, *TINY, "--rounds", 0, "--runs", tmp_path)
    assert found.code == 0
    assert "orbits left out" not in found.err + found.out
    shown = cli("show", only_run(tmp_path)).out.splitlines()
    assert any(line.startswith("mirror: 9 of 45 orbits left out") for line in shown)


@pytest.mark.parametrize(
    ("n", "changes", "names"),
    [
        (9, {"seeding": {"symmetry": ["mirror", "trivial"]}}, ["mirror"]),
        (9, {"seeding": {"symmetry": ["both-mirrors", "trivial"]}}, []),
        (9, {"search": {"methods": ["anneal", "greedy"]}}, []),
        (8, {"seeding": {"symmetry": ["mirror", "half-turn"]}}, []),
    ],
)
def test_only_classes_that_tabu_searches_are_spoken_of(n, changes, names):
    assert notes_of(n=n, sizes=[n], **changes) == [left_out(9, name) for name in names]


def test_notes_say_where_pair_tables_would_take_more_than_they_may(tmp_path, cli):
    changes = {
        "seeding": {"symmetry": ["trivial", "both-mirrors"]},
        "search": {"methods": ["tabu", "anneal"], "table_bytes": 700_000},
    }
    assert notes_of(n=20, sizes=[20], **changes) == [
        "no pair tables in trivial, weights border, restricted; trivial: they would take more than "
        "700 kB (search.table_bytes), so tabu is a few times slower there"
    ]
    options = ["--n", 20, *TINY, "--method", "tabu,anneal", "--symmetry", "trivial,both-mirrors"]
    options += ["--rounds", 0, "--set", "search.table_bytes=700000", "--runs", tmp_path]
    assert cli("search", "isosceles", *options).code == 0
    assert cli("verify", only_run(tmp_path)).code == 0


def test_problems_of_larger_configurations_have_no_tables_to_speak_of():
    problem = load_problem(FOUR_CYCLE)
    arms = make_arms(problem, 8)
    assert any(arm.method == "tabu" for arm in arms)
    assert tabu_notes(problem, 8, arms, {}, None, 1) == []


def test_a_limit_of_no_bytes_is_refused(tmp_path, cli):
    options = ["--set", "search.table_bytes=0", "--runs", tmp_path / "r"]
    refused(cli("search", "isosceles", "--n", 9, *options), "search.table_bytes must be at least 1")


@pytest.mark.parametrize("by_file", [True, False])
def test_the_size_may_stand_in_a_file_or_a_setting(tmp_path, cli, by_file):
    file = tmp_path / "mine.toml"
    file.write_text("n = 9\nsizes = [5, 9]\n[budget]\nrounds = 0\n")
    told = ["--config", file] if by_file else ["--set", "n=9", "--rounds", 0]
    assert cli("search", "isosceles", *told, *TINY, "--runs", tmp_path).code == 0
    run = find_run("latest", tmp_path)
    assert run.config.sizes == (9,)
    # What the command line says goes over it.
    if by_file:
        assert (
            cli("search", "isosceles", *told, *TINY, "--n", 6, "--runs", tmp_path / "b").code == 0
        )
        assert only_run(tmp_path / "b").name.startswith("isosceles-n6-")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = 3", "name a size, as in: pipeline search isosceles --n 48"),
        ('n = "9"', "n must be a whole number, got '9'"),
        ("n = 0", "n must be at least 1, got 0"),
        ("budget = 3\nn = 9", "budget must be a section"),
    ],
)
def test_a_file_without_a_good_size_is_one_line(tmp_path, cli, text, message):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    refused(cli("search", "isosceles", "--config", file, "--runs", tmp_path / "r"), message)


def test_degree_constraints_out_of_reach_are_one_line(tmp_path, cli):
    options = ["--n", 5, "--method", "cover", "--symmetry", "all", "--runs", tmp_path / "r"]
    found = cli("search", "no-3-in-line", *options)
    assert found.code == 2
    assert "'cover' finds the degree constraints out of reach" in found.error


# --------------------------------------------------------------------------- other processes

WITHOUT_TORCH = """
import sys
from pipeline.cli import main
try:
    main(sys.argv[1:])
except SystemExit as stopped:
    assert not stopped.code, stopped.code
print("torch" in sys.modules)
"""


def test_neither_a_search_nor_its_resumption_loads_torch(tmp_path):
    few = [*map(str, TINY), "--method", "anneal", "--runs", str(tmp_path)]
    search = ["search", "isosceles", "--n", "6", *few, "--rounds", "0"]
    for command in (search, ["resume", "latest", "--rounds", "+1", "--runs", str(tmp_path)]):
        call = [sys.executable, "-c", WITHOUT_TORCH, *command]
        done = subprocess.run(call, capture_output=True, text=True, check=True)
        assert lines(done.stdout)[-1] == "False"
    assert rounds_in(only_run(tmp_path))


@pytest.mark.end_to_end
@pytest.mark.skipif(os.name != "posix", reason="sends signals as POSIX does")
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_keeps_the_rounds_that_are_finished(tmp_path, cli, workers):
    few = ["--method", "anneal", *TINY, "--workers", workers, "--rounds", 10**6]
    command = ["search", "isosceles", "--n", 14, *few, "--target", 60, "--runs", tmp_path]
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    seen = ""
    while "round 1: best" not in seen:
        line = process.stderr.readline()
        assert line, seen
        seen += line
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate()
    run = only_run(tmp_path)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert lines(out) == [str(run)]
    last = len(rounds_in(run)) - 1
    assert last >= 1
    expected = f"stopped; rounds 0 to {last} are kept. Go on with: pipeline resume {run.name}"
    assert lines(err)[-1] == expected
    assert cli("resume", run, "--rounds", last + 1, "--workers", 1).code == 0
    assert len(rounds_in(run)) == last + 2

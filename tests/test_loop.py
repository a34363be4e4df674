"""The loop without a file system: pools, provenance, temperature, statistics, wrong hooks."""

import statistics as naive
from collections import Counter
from dataclasses import replace
from itertools import combinations, pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loops import FEW_STEPS, Loop, Told, configured, rounds_of, same

from pipeline.callbacks import Callbacks
from pipeline.config import Config
from pipeline.core.bitset import ids
from pipeline.core.population import ORIGINS, Population
from pipeline.core.score_stats import distribution
from pipeline.core.symmetry import canonical
from pipeline.engine.tasks import Task
from pipeline.errors import PipelineError, UsageError
from pipeline.executors import Processes, Serial, never
from pipeline.plugins import load_problem
from pipeline.problem import Problem
from pipeline.state import State

TINY: dict[str, Any] = {
    "problem": "isosceles",
    "n": 6,
    "sizes": [5, 6],
    "seeding": {"method": "anneal", "count": 40, "moves": 3000},
    "search": {"moves": 2000, "batches": 0},
    "select": {"keep": 12},
    "model": {"width": 16, "heads": 2, "layers": 1},
    "train": {"steps": 8, "evaluate_every": 4},
    "sample": {"count": 30},
    "compute": {"device": "cpu", "threads": 1, "workers": 1},
}


def tiny(**changes: Any) -> Config:
    return configured(TINY, **changes)


@pytest.fixture(scope="module")
def states() -> list[State]:
    return rounds_of(tiny(), 3)


def points_of(problem: Problem, pool: Population, i: int) -> list[tuple[int, ...]]:
    return [tuple(row) for row in problem.ground(pool.n).coords[pool.points(i)].tolist()]


# ---------------------------------------------------------------------------------- pools


def test_pools_hold_only_valid_constructions_with_their_own_score(states):
    problem = load_problem("isosceles")
    for state in states:
        for pool in state.pools.values():
            for i in range(len(pool)):
                points = points_of(problem, pool, i)
                assert oracles.no_isosceles(points)
                assert pool.score[i] == len(points)


def test_pools_hold_no_two_constructions_equal_up_to_symmetry(states):
    problem = load_problem("isosceles")
    for state in states:
        for n, pool in state.pools.items():
            forms = canonical(pool.cells, problem.ground(n))
            assert len(np.unique(forms, axis=0)) == len(pool)


def test_pools_keep_to_their_quotas_best_first(states):
    config = tiny()
    for state in states:
        assert set(state.pools) == {5, 6}
        for n, pool in state.pools.items():
            assert 0 < len(pool) <= config.quota(n)
            assert (np.diff(pool.score) <= 0).all()


def test_a_pool_never_gets_worse(states):
    for before, after in pairwise(states):
        assert after.best(6) >= before.best(6)
        assert after.pools[6].score.sum() >= before.pools[6].score.sum()
        assert after.pools[5] is before.pools[5]


def test_where_a_construction_came_from_is_kept():
    states = rounds_of(tiny(seeding={"method": "greedy", "count": 4}), 3)
    first = states[0].pools[6]
    assert {ORIGINS[k] for k in first.origin} == {"seed"}
    assert not first.round.any()
    assert not first.parent.any()
    assert states[0].candidates is None
    from_model = 0
    for state in states[1:]:
        assert state.candidates is not None
        made = set(state.candidates.ids().tolist())
        pool = state.pools[6]
        new = pool.round == state.round
        from_model += int(new.sum())
        assert {ORIGINS[k] for k in pool.origin[new]} <= {"generator"}
        assert set(pool.parent[new].tolist()) <= made
        assert (state.candidates.round == state.round).all()
        assert state.stats["kept_from_generator"] == new.sum()
    assert from_model


def test_samples_are_distinct_up_to_symmetry_and_unsearched(states):
    problem = load_problem("isosceles")
    for state in states[1:]:
        samples = state.candidates
        assert len(np.unique(canonical(samples.cells, problem.ground(6)), axis=0)) == len(samples)
        assert state.stats["searched"]["count"] == len(samples)


def test_starts_enter_the_pool_as_imports():
    config = tiny()
    loop = Loop(config)
    best = rounds_of(config, 0)[0].pools[6].take([0])
    start = Population.build(6, 36, best.cells, best.score, origin="import")
    pool = loop.seed({6: start}).pools[6]
    (place,) = np.flatnonzero(pool.ids() == start.ids()[0])
    assert ORIGINS[pool.origin[place]] == "import"


def test_the_same_rng_seed_gives_the_same_states(states):
    again = rounds_of(tiny(), 2)
    for a, b in zip(states, again, strict=False):
        assert a.stats == b.stats
        for n in a.pools:
            np.testing.assert_array_equal(a.pools[n].cells, b.pools[n].cells)


def test_another_rng_seed_gives_others(states):
    other = rounds_of(tiny(seed=1), 0)[0]
    assert not np.array_equal(other.pools[6].ids(), states[0].pools[6].ids())


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("tokens", ["points", "dense", "orbits"])
def test_the_smallest_grids_go_through_the_whole_loop(n, tokens):
    for problem, most in (("isosceles", (1, 2, 4)), ("no-3-in-line", (1, 4, 6))):
        config = tiny(problem=problem, n=n, sizes=[n], model={"tokens": tokens})
        state = rounds_of(config, 2)[-1]
        assert state.best(n) == most[n - 1]


def test_orbit_tokens_keep_to_their_symmetry():
    config = tiny(
        seeding={"symmetry": ["both-mirrors"]},
        model={"tokens": "orbits"},
        symmetry="both-mirrors",
    )
    problem = load_problem("isosceles")
    state = rounds_of(config, 1)[-1]
    assert state.candidates is not None
    assert len(state.candidates)
    for i in range(len(state.candidates)):
        points = set(points_of(problem, state.candidates, i))
        assert {(5 - r, c) for r, c in points} == {(r, 5 - c) for r, c in points} == points


def test_a_target_ends_the_search_early():
    told = Told()
    loop = Loop(tiny(budget={"target": 7}, seeding={"count": 400}), told=told)
    state = loop.seed()
    ((name, total, _),) = told.stages
    assert name == "seed"
    assert state.best(6) >= 7
    assert told.done[-1] < total


def test_a_callback_that_raises_stops_the_round():
    class Stop(Exception):
        pass

    class Stopping(Callbacks):
        def on_progress(
            self, done: int, best: int | None = None, loss: float | None = None
        ) -> None:
            raise Stop

    with pytest.raises(Stop):
        Loop(tiny(), told=Stopping()).seed()


# ------------------------------------------------------------------- seeded by a portfolio


class Watched(Serial):
    """Keeps what it was asked to run."""

    def __init__(self) -> None:
        self.shards: list[Task] = []

    def map(self, function: Any, tasks: Any, over: Any = never) -> Any:
        self.shards += [task if isinstance(task, Task) else task[1] for task in tasks]
        return super().map(function, tasks, over)


def seeded(executor: Any = None, **changes: Any) -> tuple[Loop, State, Told]:
    """Return a loop seeded by a portfolio with few steps, its state, and what it told."""
    few = {**FEW_STEPS, "tabu_steps": 3000, "enumerate_nodes": 3000}
    changes["search"] = {**few, **changes.get("search", {})}
    seeding = {"method": "portfolio", "moves": 2000, "batches": 1}
    changes["seeding"] = {**seeding, **changes.get("seeding", {})}
    told = Told()
    loop = Loop(tiny(**changes), executor, told)
    return loop, loop.seed(), told


def test_a_portfolio_seeds_every_size():
    seeding = {"batches": 4, "smaller": 0.5}
    loop, state, told = seeded(sizes=[4, 5, 6], seeding=seeding, select={"keep": 12})
    assert told.stages == [("explore", 32, 4), ("explore", 32, 5), ("explore", 64, 6)]
    assert [state.best(n) for n in (4, 5, 6)] == [6, 7, 9]
    for n, pool in state.pools.items():
        assert 0 < len(pool) <= loop.config.quota(n)
        assert loop.problem.validate(pool.cells, n).all()
        assert len(np.unique(canonical(pool.cells, loop.grounds[n]), axis=0)) == len(pool)
        assert state.stats["seeded"][str(n)]["max"] == state.best(n)
    assert {ORIGINS[k] for k in state.pools[6].origin} == {"seed"}
    after = loop.next(state)
    assert after.best(6) == 9


def test_a_share_of_nothing_still_seeds_the_smaller_sizes():
    _, state, told = seeded(seeding={"smaller": 0.0})
    assert told.stages == [("explore", 16, 5), ("explore", 16, 6)]
    assert len(state.pools[5])


def test_smaller_sizes_of_which_nothing_is_kept_are_no_trouble():
    _, state, _ = seeded(select={"smaller": 0.0})
    assert len(state.pools[5]) == 0
    assert state.best(6) == 9


def test_a_portfolio_seeds_the_same_with_two_processes():
    _, alone, _ = seeded()
    executor = Processes(2)
    try:
        _, parallel, _ = seeded(executor)
    finally:
        executor.close()
    assert alone.stats == parallel.stats
    for n in (5, 6):
        assert np.array_equal(alone.pools[n].cells, parallel.pools[n].cells)


def test_sizes_that_lack_a_symmetry_are_seeded_in_all_that_they_have():
    watched = Watched()
    symmetry = {"symmetry": ["both-mirrors"]}
    _, state, _ = seeded(watched, sizes=[1, 2, 5, 6], seeding=symmetry)
    used = {n: {s.symmetry for s in watched.shards if s.n == n} for n in (1, 2, 5, 6)}
    assert used[5] == used[6] == {"both-mirrors"}
    assert "both-mirrors" not in used[1]
    assert used[1]
    assert used[2]
    assert [state.best(n) for n in (1, 2)] == [1, 2]


def test_quotas_are_for_the_size_searched_for_alone():
    watched = Watched()
    search = {"methods": ["cover"]}
    _, state, _ = seeded(watched, problem="no-3-in-line", search=search)
    assert {s.method for s in watched.shards if s.n == 6} == {"cover"}
    assert {s.method for s in watched.shards if s.n == 5} > {"tabu"}
    assert (state.best(5), state.best(6)) == (10, 12)


def test_starts_join_what_a_portfolio_finds():
    loop, state, _ = seeded()
    best = state.pools[6].take([0])
    start = Population.build(6, 36, best.cells, best.score, origin="import")
    pool = loop.seed({6: start}).pools[6]
    (place,) = np.flatnonzero(pool.ids() == start.ids()[0])
    assert ORIGINS[pool.origin[place]] == "import"


@pytest.mark.parametrize("improve", ["tabu", "neighbourhood", "anneal", "repair"])
@pytest.mark.parametrize("symmetry", ["", "both-mirrors"])
def test_samples_are_improved_as_told(improve, symmetry):
    watched = Watched()
    model = {"tokens": "orbits"} if symmetry else {}
    seeding = {"symmetry": [symmetry]} if symmetry else {}
    search = {"improve": improve, "moves": 0}
    config = tiny(search=search, model=model, symmetry=symmetry, seeding=seeding)
    loop = Loop(config, watched)
    first = loop.seed()
    watched.shards.clear()
    state = loop.next(first)
    done = {"tabu": "climb", "repair": "complete"}.get(improve, improve)
    assert {s.method for s in watched.shards} == {done}
    assert {s.symmetry for s in watched.shards} == {symmetry or "trivial"}
    assert {s.bound > 0 for s in watched.shards} == {improve != "repair"}
    assert load_problem("isosceles").validate(state.pools[6].cells, 6).all()


def test_only_the_most_promising_share_of_the_samples_is_improved():
    watched = Watched()
    config = tiny(search={"improve_share": 0.3}, sample={"masked": False, "count": 40})
    loop = Loop(config, watched)
    first = loop.seed()
    watched.shards.clear()
    candidates = loop.next(first).candidates
    assert candidates is not None
    valid = load_problem("isosceles").validate(candidates.cells, 6)
    ranked = sorted(zip(~valid, -candidates.score, strict=True))
    most = -(-3 * len(candidates) // 10)
    cells = np.concatenate([task.cells for task in watched.shards])
    taken = np.isin(candidates.ids(), ids(cells))
    assert len(cells) == most == taken.sum()
    assert sorted(zip(~valid[taken], -candidates.score[taken], strict=True)) == ranked[:most]
    assert 0 < valid.sum() < len(candidates)


@pytest.mark.parametrize("tokens", ["points", "orbits"])
def test_samples_may_be_told_to_go_on_while_they_can(tokens):
    config = tiny(sample={"maximal": True}, model={"tokens": tokens, "order": "random"})
    problem = load_problem("isosceles")
    samples = rounds_of(config, 1)[1].candidates
    assert samples is not None
    assert len(samples)
    for i in range(len(samples)):
        points = set(points_of(problem, samples, i))
        free = set(product(range(6), range(6))) - points
        assert not any(oracles.no_isosceles([*points, cell]) for cell in free)


@pytest.mark.parametrize("changes", [{"sample": {"masked": False}}, {"model": {"tokens": "dense"}}])
def test_what_cannot_go_on_is_not_told_to(changes):
    changes["sample"] = {"maximal": True, **changes.get("sample", {})}
    with pytest.raises(UsageError, match=r"^sample\.maximal"):
        Loop(tiny(**changes))


# ---------------------------------------------------------------------------- temperature


def heated(heat: float, repeats: float, adapt: bool = True) -> float:
    generator = Loop(tiny(sample={"adapt_temperature": adapt})).generator
    generator.temperature = heat
    return generator._adapted(repeats)


def test_the_temperature_rises_while_repeats_dominate_and_falls_back():
    assert heated(1.0, 0.6) == pytest.approx(1.1)
    assert heated(1.1, 0.6) == pytest.approx(1.21)
    assert heated(1.95, 0.9) == 2.0
    assert heated(1.21, 0.3) == 1.21
    assert heated(1.21, 0.1) == pytest.approx(1.1)
    assert heated(1.05, 0.0) == 1.0
    assert heated(1.0, 1.0, adapt=False) == 1.0


def test_a_round_samples_at_the_temperature_that_repeats_of_the_last_call_for():
    config = tiny(n=2, sizes=[2])  # so few constructions that nearly all samples repeat
    states = rounds_of(config, 3)
    assert states[1].stats["temperature"] == 1.0
    for before, after in pairwise(states[1:]):
        assert before.sampling is not None
        assert before.sampling.repeats == before.stats["repeats"]
        expected = heated(before.stats["temperature"], before.sampling.repeats)
        assert after.stats["temperature"] == expected
    assert states[-1].stats["temperature"] > 1.0


# ----------------------------------------------------------------------------- statistics


@given(
    st.lists(st.integers(0, 40), max_size=60),
    st.integers(0, 9),
    st.integers(0, 9),
)
def test_statistics_are_those_of_a_naive_computation(scores, invalid, wrong):
    found = distribution(np.array(scores, np.int32), invalid, wrong)
    best = sorted(scores, reverse=True)
    assert found["count"] == len(scores) + invalid + wrong
    assert (found["valid"], found["invalid"], found["wrong_format"]) == (
        len(scores),
        invalid,
        wrong,
    )
    assert found["histogram"] == {str(k): v for k, v in sorted(Counter(scores).items())}
    assert list(found["histogram"]) == [str(k) for k in sorted(set(scores))]
    if not scores:
        assert [found[k] for k in ("mean", "median", "top20", "max")] == [None] * 4
        return
    fifth = best[: max(1, len(best) // 5)]
    assert found["mean"] == pytest.approx(naive.fmean(scores))
    assert found["median"] == naive.median(scores)
    assert found["top20"] == pytest.approx(naive.fmean(fifth))
    assert found["max"] == best[0]


def test_stats_hold_four_statistics_and_failures_of_all_that_was_made(states):
    for state in states:
        parts = [state.stats["pool"][str(n)] for n in (5, 6)]
        parts += list(state.stats.get("seeded", {}).values())
        parts += [state.stats[k] for k in ("sampled", "searched") if k in state.stats]
        for part in parts:
            assert {"mean", "median", "top20", "max", "invalid", "wrong_format"} <= part.keys()
        if state.round:
            sampled = state.stats["sampled"]
            assert sampled["count"] == 30
            assert state.stats["validity"] == sampled["valid"] / 30
            for share in ("validity", "novelty", "duplicates", "repeats"):
                assert 0 <= state.stats[share] <= 1
        else:
            assert state.stats["seeded"]["6"]["count"] == 40
            assert state.stats["seeded"]["5"]["count"] == 10


def test_free_samples_count_as_failures_where_they_fail():
    config = tiny(sample={"masked": False, "count": 60, "temperature": 2.0})
    state = rounds_of(config, 1)[-1]
    sampled = state.stats["sampled"]
    assert sampled["invalid"] + sampled["wrong_format"] > 0
    assert sampled["count"] == 60
    valid = load_problem("isosceles").validate(state.pools[6].cells, 6)
    assert valid.all()


def test_duplicates_and_novelty_are_those_of_a_naive_computation():
    config = tiny(sample={"count": 200})
    loop = Loop(config)
    before = loop.seed()
    made: list[Population] = []
    ask = loop.generator.ask

    def spy(state: State) -> Population:
        made.append(ask(state))
        return made[-1]

    loop.generator.ask = spy
    told = loop.next(before).stats
    (asked,) = made
    cells = asked.cells
    ground = loop.grounds[6]
    names = ids(canonical(cells, ground)).tolist()
    seen = set(ids(canonical(before.pools[6].cells, ground)).tolist())
    valid = loop.problem.validate(cells, 6)
    of_valid = {name for name, ok in zip(names, valid, strict=True) if ok}
    first_time = set(names) - seen
    assert told["duplicates"] == pytest.approx(1 - len(set(names)) / len(names))
    assert told["novelty"] == pytest.approx(len(of_valid - seen) / len(of_valid))
    assert told["repeats"] == pytest.approx(1 - len(first_time) / len(names))


# -------------------------------------------------------------------------- what stops it


WRONG_HOOK = '''
"""Isosceles with a hook that misses everything: search calls anything valid."""

from pipeline.problem import blocking_hook
from problems.isosceles import Isosceles


@blocking_hook
def block_nothing(v, members, size, inside, slot, counts, delta, coords, tables):
    counts[slot[len(inside)]] += delta


class Wrong(Isosceles):
    name = "wrong"
    hook = block_nothing
'''


def test_a_hook_that_the_validator_contradicts_stops_with_one_line(tmp_path: Path):
    plugin = tmp_path / "wrong_hook.py"
    plugin.write_text(WRONG_HOOK)
    loop = Loop(tiny(problem=f"{plugin}:Wrong", seeding={"method": "greedy"}))
    with pytest.raises(PipelineError, match="the hook of wrong calls valid fail") as caught:
        loop.seed()
    assert "\n" not in str(caught.value)
    assert "run `pipeline check`" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeding": {"symmetry": ["mirorr"]}}, "did you mean 'mirror'"),
        ({"symmetry": "mirorr"}, "did you mean 'mirror'"),
        (
            {"sizes": [1, 6], "model": {"tokens": "orbits"}, "symmetry": "mirror"},
            r"at n=1: no symmetry class 'mirror'.*leave that size out with --sizes",
        ),
        ({"compute": {"device": "cuda"}}, "no CUDA device"),
    ],
)
def test_what_cannot_be_had_is_refused_before_any_work(changes, message):
    import torch

    if "compute" in changes and torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(UsageError, match=message):
        Loop(tiny(**changes))


def test_a_symmetry_no_construction_has_is_refused():
    with pytest.raises(UsageError, match=r"quarter-turn; usable: trivial, "):
        Loop(tiny(seeding={"symmetry": ["quarter-turn"]})).seed()


def test_tokens_that_can_write_nothing_in_the_pools_say_what_to_do():
    loop = Loop(tiny(model={"tokens": "orbits"}, symmetry="both-mirrors"))
    state = loop.seed()
    lone = Population.build(6, 36, np.array([[1, 0, 0, 0, 0]], np.uint8), 1)  # one corner
    with pytest.raises(PipelineError, match=r"no construction can be written .*seeding\.symmetry"):
        loop.next(replace(state, pools={6: lone}))


def test_oracle_and_pool_agree_on_no_three_in_line():
    problem = load_problem("no-3-in-line")
    state = rounds_of(tiny(problem="no-3-in-line"), 1)[-1]
    for n, pool in state.pools.items():
        for i in range(len(pool)):
            points = points_of(problem, pool, i)
            assert oracles.no_three_in_line(points)
            assert max(Counter(r for r, _ in points).values()) <= 2
            assert len(list(combinations(points, 2))) == pool.score[i] * (pool.score[i] - 1) // 2
        assert state.best(n) <= 2 * n


# ------------------------------------------------------------------- feedback and attention bias


@pytest.mark.parametrize("kind", ["prefer", "policy"])
def test_feedback_tunes_the_model_by_what_its_samples_came_to(kind):
    feedback = {"kind": kind, "steps": 4, "batch": 4, "learning_rate": 1e-3}
    search = {"improve": "repair", "batches": 0}

    def played(number: int, **changes: Any) -> tuple[list[State], Any]:
        loop = Loop(tiny(search=search, **changes))
        return loop.rounds(number), loop.generator.model

    told_so, model = played(1, feedback=feedback)
    again, same_model = played(1, feedback=feedback)
    without, other_model = played(1)
    stats = told_so[1].stats["feedback"]
    assert stats["changed"]
    assert stats["good"] > 0 < stats["bad"]
    assert told_so[1].stats["train"] == without[1].stats["train"]
    for name, weight in model.state_dict().items():
        assert weight.isfinite().all()
        assert weight.equal(same_model.state_dict()[name])
    pairs = zip(model.parameters(), other_model.parameters(), strict=True)
    assert any(not a.equal(b) for a, b in pairs)
    assert same(told_so[1], again[1])
    assert same(*(played(2, feedback=feedback)[0][2] for _ in range(2)))


@pytest.mark.parametrize("bias", ["distance", "offset"])
def test_a_model_that_with_an_attention_bias_goes_through_the_loop(bias):
    loop = Loop(tiny(model={"attention_bias": bias}))
    assert loop.rounds(1)[-1].stats["validity"] == 1
    biases = [w for name, w in loop.generator.model.state_dict().items() if "bias" in name]
    assert any(bias.any() for bias in biases), "the biases must have learnt something"


def test_bias_needs_tokens_that_stand_for_elements():
    with pytest.raises(UsageError, match="do not stand for elements"):
        rounds_of(tiny(model={"attention_bias": "offset", "tokens": "dense"}), 1)

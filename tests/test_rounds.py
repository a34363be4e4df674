"""Rounds without a model: what they begin with, the clock, learnt fields, large neighbourhoods."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import oracles
import pytest
from conftest import contents, only_run
from loops import FEW_STEPS, Loop, Told, configured, rounds_of, same, written_and_read

from pipeline.config import Config
from pipeline.core import streams
from pipeline.core.bitset import pack, popcounts, unpack
from pipeline.core.ground_set import GroundSet
from pipeline.core.population import ORIGINS
from pipeline.core.symmetry import canonical, orbits, symmetry_classes
from pipeline.engine.greedy import complete_many
from pipeline.engine.learned_weights import learned_weights
from pipeline.engine.portfolio import BATCH
from pipeline.engine.runner import TaskRunner
from pipeline.engine.space import make_space, usable_classes
from pipeline.engine.tasks import Task, run_task
from pipeline.errors import UsageError
from pipeline.executors import Processes
from pipeline.loop import Memory
from pipeline.plugins import load_problem
from pipeline.state import assess
from pipeline.stopping import Clock, TimeLimit

PLUGINS = Path(__file__).parent / "plugins"
FOUR_CYCLE = f"{PLUGINS / 'four_cycle_free.py'}:FourCycleFree"
GENERATORS = ("perturb", "restart", "none")


def tiny(generator: str, **changes: Any) -> Config:
    data: dict[str, Any] = {
        "problem": "isosceles",
        "n": 8,
        "sizes": [6, 8],
        "generator": generator,
        "seeding": {"method": "greedy", "count": 60},
        "search": {"batches": 1 if generator == "none" else 0, "moves": 400, **FEW_STEPS},
        "select": {"keep": 20},
        "sample": {"count": 40},
        "compute": {"workers": 1},
    }
    return configured(data, **changes)


# --------------------------------------------------------------------------------- generators


@pytest.mark.parametrize("batches", [0, 1])
@pytest.mark.parametrize("generator", GENERATORS)
def test_pools_are_valid_distinct_best_first_and_never_get_worse(generator, batches):
    batches = max(batches, generator == "none")
    states = rounds_of(tiny(generator, search={"batches": int(batches)}), 2)
    ground = load_problem("isosceles").ground(8)
    may = {
        "seed",
        *(["search"] if batches else []),
        *(["generator"] if generator != "none" else []),
    }
    for before, after in pairwise(states):
        assert after.best(8) >= before.best(8)
        assert after.pools[8].score.sum() >= before.pools[8].score.sum()
        assert after.pools[6] is before.pools[6]
        assert after.round == before.round + 1
    for state in states:
        pool = state.pools[8]
        assert 0 < len(pool) <= 20
        assert (np.diff(pool.score) <= 0).all()
        assert len(np.unique(canonical(pool.cells, ground), axis=0)) == len(pool)
        for i in range(len(pool)):
            points = [tuple(row) for row in ground.coords[pool.points(i)].tolist()]
            assert oracles.no_isosceles(points)
            assert len(points) == pool.score[i]
        assert {ORIGINS[k] for k in pool.origin} <= may
        if state.round:
            new = pool.round == state.round
            of = {name: int((new & pool.came_from(name)).sum()) for name in ORIGINS}
            assert state.stats["kept_from_generator"] == of["generator"]
            assert state.stats["kept_from_search"] == of["search"]
            assert of["seed"] == 0
            again = state.stats["rediscovered"]
            assert 0 <= again <= len(pool) - of["generator"]
            assert again == 0 or generator != "none"
            count = 0 if generator == "none" else 40
            assert state.stats.get("searched", {"count": 0})["count"] == count
    shards = [sum(row["tasks"] for row in state.stats["arms"]) for state in states]
    assert shards == [0, batches * BATCH, 2 * batches * BATCH]
    assert states[-1].best(8) > states[0].best(8)


@pytest.mark.parametrize("n", [1, 2, 8])
def test_what_is_perturbed_is_most_of_an_elite(n):
    loop = Loop(tiny("perturb", n=n, sizes=[n], sample={"count": 300}))
    last = loop.seed()
    made = loop.generator.ask(last)
    assert loop.generator.stats == {}
    candidates, _ = assess(made, last)
    assert {ORIGINS[k] for k in candidates.origin} == {"generator"}
    assert set(candidates.round.tolist()) == {1}
    elites = unpack(last.pools[n].cells, n * n)
    shares, used = set(), set()
    for row in unpack(made.cells, n * n):
        of = np.flatnonzero((elites >= row).all(axis=1))
        assert len(of)
        fitting = [i for i in of if n == 1 or 0.5 <= row.sum() / elites[i].sum() <= 0.9]
        assert fitting
        used.update(of.tolist())
        shares.add(int(row.sum()))
    assert set(made.parent.tolist()) == set(last.pools[n].ids().tolist())
    assert len(made) == 300
    assert used == set(range(len(elites)))
    if n == 8:
        most = int(last.pools[n].score.max())
        assert min(shares) == -(-most // 2) or min(shares) < most / 2 + 1
        assert max(shares) == most - math.ceil(0.1 * most)
    assert np.array_equal(loop.generator.ask(last).cells, made.cells)
    other = loop.generator.ask(replace(last, round=1))
    assert n < 8 or not np.array_equal(other.cells, made.cells)


def test_restarts_are_empty_and_all_of_them_are_searched_from():
    loop = Loop(tiny("restart"))
    last = loop.seed()
    candidates, sampling = assess(loop.generator.ask(last), last)
    assert len(candidates) == 40
    assert not candidates.cells.any()
    assert not candidates.score.any()
    assert sampling is None
    after = loop.next(last)
    assert after.stats["searched"]["count"] == 40
    assert "sampled" not in after.stats


def test_without_a_generator_there_are_no_candidates_and_search_must_be_there():
    loop = Loop(tiny("none"))
    last = loop.seed()
    assert len(loop.generator.ask(last)) == 0
    after = loop.next(last)
    assert (after.candidates, after.sampling) == (None, None)
    assert not {"searched", "sampled"} & set(after.stats)
    with pytest.raises(UsageError, match=r"search\.batches must be at least 1 with generator"):
        tiny("none", search={"batches": 0})
    with pytest.raises(UsageError, match=r"generator: unknown 'pertub'.*'perturb'"):
        tiny("pertub")


@pytest.mark.parametrize("generator", ["perturb", "restart"])
@pytest.mark.parametrize("improve", ["neighbourhood", "anneal", "repair"])
def test_proposals_are_improved_in_a_symmetry_too(generator, improve):
    search = {"improve": improve}
    config = tiny(generator, symmetry="both-mirrors", search=search, sample={"count": 8})
    last = rounds_of(config, 1)[-1]
    assert load_problem("isosceles").validate(last.pools[8].cells, 8).all()


@pytest.fixture(scope="module")
def two():
    """Two worker processes."""
    executor = Processes(2)
    yield executor
    executor.close()


@pytest.mark.parametrize("generator", GENERATORS)
def test_rounds_are_the_same_again_and_with_two_processes(generator, two):
    config = tiny(generator, search={"batches": 1})
    alone = rounds_of(config, 2)
    for others in (rounds_of(config, 2), rounds_of(config, 2, two)):
        assert all(same(a, b) for a, b in zip(alone, others, strict=True))
    other = rounds_of(tiny(generator, search={"batches": 1}, seed=1), 0)[0]
    assert not np.array_equal(other.pools[8].cells, alone[0].pools[8].cells)


@pytest.mark.parametrize("generator", GENERATORS)
def test_a_round_goes_on_from_what_was_written_of_the_last(generator):
    config = tiny(generator, search={"batches": 1})
    states = rounds_of(config, 2)
    last = states[1]
    assert same(Loop(config).next(written_and_read(last)), states[2])


@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize("seeding", ["portfolio", "greedy"])
def test_what_is_compiled_before_the_clock_starts_changes_nothing(generator, seeding):
    config = tiny(generator, seeding={"method": seeding, "batches": 1, "moves": 500})
    told = Told()
    loop = Loop(config, told=told)
    loop.engine.warm_up()
    ((name, total, _),) = told.stages
    assert name == "warm-up"
    assert told.done == list(range(1, total + 1))
    first = loop.seed()
    assert same(first, rounds_of(config, 0)[0])


# ------------------------------------------------------------------------- runs by themselves

QUICK = [
    *("--workers", 1, "--sizes", "6,8", "--seeding", "greedy", "--set", "seeding.count=60"),
    *("--set", "search.moves=400", "--set", "sample.count=40", "--set", "select.keep=20"),
    *("--set", "search.batches=1", "--set", "seeding.batches=1", "--set", "seeding.moves=2000"),
    *(word for key, value in FEW_STEPS.items() for word in ("--set", f"search.{key}={value}")),
]


def events_of(run: Path, name: str) -> list[dict[str, Any]]:
    events = map(json.loads, (run / "events.jsonl").read_text().splitlines())
    return [event for event in events if event["event"] == name]


def rounds_in(run: Path) -> list[str]:
    return sorted(p.name for p in (run / "rounds").iterdir())


@pytest.mark.parametrize("generator", GENERATORS)
def test_a_run_that_is_resumed_ends_with_the_same_bytes(tmp_path, cli, generator):
    options = ["run", "isosceles", "--n", 8, *QUICK, "--generator", generator, "--runs"]
    assert cli(*options, tmp_path / "whole", "--rounds", 2).code == 0
    assert cli(*options, tmp_path / "parts", "--rounds", 0).code == 0
    whole, parts = only_run(tmp_path / "whole"), only_run(tmp_path / "parts")
    assert cli("resume", parts, "--rounds", "+1").code == 0
    assert rounds_in(parts) == ["0000", "0001"]
    assert cli("resume", parts, "--rounds", 2, "--workers", 2).code == 0
    assert contents(parts) == contents(whole)
    assert cli("verify", whole).code == 0
    assert not list(whole.glob("rounds/*/generator"))


def test_a_run_without_a_model_that_searches_nothing_is_one_line(tmp_path, cli):
    options = [*QUICK, "--generator", "none", "--set", "search.batches=0", "--runs", tmp_path]
    found = cli("run", "isosceles", "--n", 8, *options)
    assert found.code == 2
    assert "search.batches must be at least 1 with generator" in found.error
    assert not list(tmp_path.iterdir())


WITHOUT_TORCH = """
import sys
from pipeline.cli import main
for command in sys.argv[1].split(";"):
    try:
        main(command.split("|"))
    except SystemExit as stopped:
        assert not stopped.code, stopped.code
print("torch" in sys.modules)
"""


def test_runs_without_a_model_load_no_torch(tmp_path):
    commands = []
    for generator in GENERATORS:
        runs = ["--runs", tmp_path / generator]
        few = [*QUICK, "--set", "search.methods=['greedy']", "--generator", generator]
        commands.append(["run", "isosceles", "--n", 6, *few, "--sizes", 6, "--rounds", 1, *runs])
        commands.append(["resume", "latest", "--rounds", "+1", *runs])
    text = ";".join("|".join(map(str, command)) for command in commands)
    call = [sys.executable, "-c", WITHOUT_TORCH, text]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "False"
    assert all(len(rounds_in(only_run(tmp_path / name))) == 3 for name in GENERATORS)


def test_new_bests_are_told_as_they_come_and_what_they_cost(tmp_path, cli):
    options = [*QUICK, "--generator", "restart", "--rounds", 2, "--runs", tmp_path]
    assert cli("run", "isosceles", "--n", 8, *options).code == 0
    run = only_run(tmp_path)
    bests = events_of(run, "best")
    assert len(bests) > 1
    assert all(a["score"] < b["score"] and a["cpu"] <= b["cpu"] for a, b in pairwise(bests))
    assert {best["n"] for best in bests} == {8}
    assert bests[0]["origin"] == "seed"
    assert {best["origin"] for best in bests} <= {"seed", "generator", "search"}
    spent = [event["cpu"] for event in events_of(run, "cpu")]
    assert len(spent) == 3
    assert 0 < bests[0]["cpu"] <= spent[0] < spent[1] < spent[2]
    best = json.loads((run / "best" / "n8.json").read_text())
    assert bests[-1]["score"] == best["score"]
    assert all(best["cpu"] <= spent[-1] for best in bests)


# ----------------------------------------------------------------------------------- the clock


class Hands:
    """The clocks of the system, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = self.cpu = 100.0
        monkeypatch.setattr("pipeline.stopping.time.monotonic", lambda: self.seconds)
        monkeypatch.setattr("pipeline.stopping.time.process_time", lambda: self.cpu)


def test_a_clock_counts_from_its_start_what_workers_spend_too(monkeypatch):
    hands = Hands(monkeypatch)
    clock, spent = Clock(cpu=10), [0.0]
    clock.watch(lambda: spent[0])
    spent[0] = 50.0
    hands.seconds, hands.cpu = 110.0, 103.0
    clock.start()
    assert (clock.seconds(), clock.cpu()) == (0, 0)
    hands.seconds, hands.cpu = 150.0, 106.0
    spent[0] += 6
    assert (clock.seconds(), clock.cpu()) == (40, 9)
    assert not clock.over()
    assert not clock.cut_short
    spent[0] += 2
    assert not clock.cut_short  # nobody has asked
    assert clock.over()
    assert clock.cut_short


def test_either_limit_ends_and_none_never_does(monkeypatch):
    hands = Hands(monkeypatch)
    clocks = [Clock(), Clock(seconds=5), Clock(cpu=5), Clock(5, 50)]
    hands.seconds += 6
    assert [clock.over() for clock in clocks] == [False, True, False, True]
    hands.cpu += 6
    assert [clock.over() for clock in clocks] == [False, True, True, True]
    assert [clock.cut_short for clock in clocks] == [False, True, True, True]
    hands.seconds, hands.cpu = hands.seconds - 6, hands.cpu - 6
    assert not clocks[1].over()
    assert clocks[1].cut_short  # which is remembered


def test_what_workers_spend_is_counted_beside_what_this_process_does(two):
    config = tiny("none", sizes=[8], seeding={"method": "portfolio", "batches": 1})
    alone = Loop(config)
    alone.seed()
    assert alone.runner.executor.cpu() == 0  # this process counts its own
    clock, before = Clock(), two.cpu()
    Loop(config, two, clock=clock).seed()
    assert clock.cpu() >= two.cpu() - before > 0


class Parts(Clock):
    """Is over once so many parts have been told of."""

    def __init__(self, parts: int, told: Told) -> None:
        super().__init__()
        self.parts, self.told = parts, told

    def over(self) -> bool:
        passed = len(self.told.done) >= self.parts
        self.cut_short = self.cut_short or passed
        return passed


def test_seeds_and_proposals_stop_with_the_clock_and_are_not_cut_at_their_end():
    config = tiny("perturb", sizes=[8], sample={"count": 120}, seeding={"count": 2500})
    before = rounds_of(config, 0)[0]
    for parts in (1, 2, 3, 4):
        told = Told()
        clock = Parts(parts, told)
        state = Loop(config, told=told, clock=clock).seed()
        assert told.done == list(range(1, min(parts, 3) + 1))
        assert clock.cut_short == (parts < 3)
        assert len(state.pools[8])
    for parts in (1, 4, 5, 6):
        told = Told()
        clock = Parts(parts, told)
        after = Loop(config, told=told, clock=clock).next(before)
        assert told.done == list(range(1, min(parts, 5) + 1))
        assert clock.cut_short == (parts < 5)
        assert after.best(8) >= before.best(8)


def test_seeding_without_any_time_keeps_one_construction():
    told = Told()
    config = tiny("perturb", sizes=[8], seeding={"count": 2500})
    state = Loop(config, told=told, clock=Parts(0, told)).seed()
    assert len(state.pools[8])
    assert len(told.done) <= 1


@pytest.mark.parametrize("generator", ["perturb", "none"])
def test_a_limit_of_cpu_seconds_ends_a_run_and_says_what_it_cut(
    tmp_path, cli, monkeypatch, generator
):
    told_best, done = TaskRunner.told_best, []

    def counted(self, *what):
        done.append(what)
        return told_best(self, *what)

    monkeypatch.setattr(TaskRunner, "told_best", counted)
    monkeypatch.setattr(Clock, "cpu", lambda _: 80.0 * len(done))  # that is what a task takes
    options = [*QUICK, "--sizes", 8, "--seeding", "portfolio", "--generator", generator]
    options += ["--rounds", 9, "--budget-cpu-seconds", 200, "--runs", tmp_path]
    assert cli("run", "isosceles", "--n", 8, *options).code == 0
    run = only_run(tmp_path)
    assert rounds_in(run) == ["0000"]
    stats = json.loads((run / "rounds" / "0000" / "stats.json").read_text())
    assert sum(row["tasks"] for row in stats["arms"]) == 3 < BATCH
    (session,) = json.loads((run / "run.json").read_text())["sessions"]
    assert session["reproducible"] is False
    assert session["reason"] == "round 0 was cut short by the clock"
    monkeypatch.undo()
    assert cli("verify", run).code == 0


class Passed(Clock):
    """Is over once round 1 has had a part of its work; has a limit of time, or of CPU seconds."""

    def __init__(self, told: Told, **limits: float) -> None:
        super().__init__(**limits)
        self.told = told

    def over(self) -> bool:
        rounds = self.told.named("round start")
        passed = len(rounds) > 1 and self.told.events[-1][0] == "progress"
        self.cut_short = self.cut_short or passed
        return self.cut_short


@pytest.mark.parametrize(
    ("limits", "kept"),
    [({"seconds": 10_000.0}, [0]), ({"cpu": 10_000.0}, [0, 1])],
    ids=["time", "CPU seconds"],
)
def test_a_round_that_is_cut_short_is_left_out_by_the_limit_of_time_alone(limits, kept):
    told = Told()
    config = tiny("perturb", sizes=[8], sample={"count": 120}, budget={"rounds": 1})
    loop = Loop(config, told=told, clock=Passed(told, **limits))
    parts = replace(loop.parts, limit=TimeLimit(loop.runner.clock, generates=True))
    parts.callbacks.listeners[0] = parts.limit
    parts.run(Memory())
    assert loop.runner.clock.cut_short
    assert [row["state"].round for row in told.named("round")] == kept
    notes = [note["text"] for note in told.named("note")]
    assert notes == ([] if 1 in kept else ["round 1 is left out: its search did not end in time"])


def test_a_limit_of_cpu_seconds_that_is_not_reached_says_nothing(tmp_path, cli):
    options = [*QUICK, "--generator", "perturb", "--rounds", 1, "--runs", tmp_path]
    assert cli("run", "isosceles", "--n", 8, *options, "--budget-cpu-seconds", 10_000).code == 0
    run = only_run(tmp_path)
    assert rounds_in(run) == ["0000", "0001"]
    (session,) = json.loads((run / "run.json").read_text())["sessions"]
    assert session["reproducible"] is True


# -------------------------------------------------------------------------------- learnt fields


def ground_of(n: int) -> GroundSet:
    return load_problem("isosceles").ground(n)


def naive_field(examples: dict[int, np.ndarray], n: int) -> list[float]:
    """Return the field of an n x n grid, by loops over cells and the eight symmetries."""

    def images(r: int, c: int, side: int) -> list[tuple[int, int]]:
        found = []
        for _ in range(4):
            r, c = c, side - 1 - r
            found += [(r, c), (c, r)]
        return found

    def place(r: int, c: int, side: int) -> tuple[float, float]:
        return (2 * r / (side - 1) - 1, 2 * c / (side - 1) - 1) if side > 1 else (0.0, 0.0)

    def averaged(values: dict[tuple[int, int], float], side: int) -> dict[tuple[int, int], float]:
        return {q: sum(values[p] for p in images(*q, side)) / 8 for q in values}

    total = {(r, c): 0.0 for r in range(n) for c in range(n)}
    for side, bits in examples.items():
        cells = [(r, c) for r in range(side) for c in range(side)]
        used = {q: float(sum(row[q[0] * side + q[1]] for row in bits)) for q in cells}
        used = averaged(used, side)
        mean = sum(used.values()) / len(used)
        for q in total:
            top = bottom = 0.0
            for p in cells:
                (x, y), (u, v) = place(*q, n), place(*p, side)
                steps = math.hypot(x - u, y - v) * (side - 1) / 2
                weight = math.exp(-0.5 * (steps / 1.5) ** 2)
                top, bottom = top + weight * used[p] / mean, bottom + weight
            total[q] += top / bottom / len(examples)
    total = averaged(total, n)
    mean = sum(total.values()) / len(total)
    return [2 * math.log(max(value / mean, 0.02)) for value in total.values()]


@pytest.mark.parametrize(("sizes", "n"), [((3,), 5), ((4, 5), 7), ((2,), 4), ((5,), 5), ((6,), 3)])
def test_a_learnt_field_is_that_of_a_naive_loop(sizes, n):
    rng = np.random.default_rng(n)
    bits = {k: rng.random((6, k * k)) < rng.random(k * k) for k in sizes}
    found = learned_weights({k: (ground_of(k), pack(b)) for k, b in bits.items()}, ground_of(n))
    assert found.dtype == np.float32
    assert found.shape == (n * n,)
    np.testing.assert_allclose(found, naive_field(bits, n), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spec", ["isosceles", FOUR_CYCLE])
def test_a_learnt_field_is_the_same_on_all_of_an_orbit(spec):
    problem = load_problem(spec)
    small, ground = problem.ground(5), problem.ground(8)
    bits = np.random.default_rng(1).random((9, small.m)) < 0.4
    found = learned_weights({5: (small, pack(bits))}, ground)
    assert np.isfinite(found).all()
    whole = max(symmetry_classes(ground), key=lambda cls: cls.order)
    of = orbits(ground, whole).of
    for orbit in range(of.max() + 1):
        assert len(np.unique(found[of == orbit])) == 1


def test_without_examples_there_is_no_learnt_field():
    none = np.zeros((0, 2), np.uint8)
    lone = np.ones((1, 1), np.uint8)
    nothing = np.zeros((2, 2), np.uint8)  # constructions without elements
    for k, cells in ((4, none), (4, nothing), (1, lone), (0, none)):
        examples = {k: (ground_of(k), cells)} if k else {}
        found = learned_weights(examples, ground_of(6))
        assert found.dtype == np.float32
        assert found.shape == (0,)


def test_what_lies_near_the_border_is_carried_to_a_larger_border():
    rng = np.random.default_rng(2)
    coords = ground_of(8).coords
    steps = np.minimum(coords, 7 - coords).min(axis=1)
    bits = rng.random((200, 64)) < np.array([0.6, 0.3, 0.1, 0.02])[steps]
    field = learned_weights({8: (ground_of(8), pack(bits))}, ground_of(16))
    coords = ground_of(16).coords
    steps = np.minimum(coords, 15 - coords).min(axis=1)
    means = [field[steps == step].mean() for step in range(8)]
    assert all(a > b for a, b in pairwise(means))
    assert field[steps == 0].min() > 0 > field[steps == 7].max()


def test_a_learnt_field_comes_of_the_pools_of_smaller_sizes():
    config = tiny("none", n=10, sizes=[], search={"weights": "learned", "methods": ["anneal"]})
    assert config.sizes == (4, 5, 6, 10)
    loop = Loop(config)
    explorer = loop.engine.explorer
    assert {arm.weights for arm in explorer.arms(10, explorer.weights(10, {}))} == {"learned"}
    assert {arm.weights for arm in explorer.arms(5, explorer.weights(5, {}))} == {""}
    state = loop.seed()
    smaller = {n: state.pools[n] for n in (4, 5, 6)}
    examples = {n: (ground_of(n), p.cells) for n, p in smaller.items()}
    expected = learned_weights(examples, ground_of(10))
    assert np.array_equal(explorer.weights(10, smaller)["learned"], expected)
    assert len(explorer.weights(10, {})["learned"]) == 0


def test_a_learnt_field_has_narrow_arms_where_it_is_known():
    config = tiny("none", n=24, sizes=[], search={"weights": "learned"})
    explorer = Loop(config).engine.explorer
    coords = ground_of(24).coords
    usage = np.minimum(coords, 23 - coords).min(axis=1) < 4
    fields = {"learned": learned_weights({24: (ground_of(24), pack(usage[None]))}, ground_of(24))}
    assert any(arm.restricted for arm in explorer.arms(24, fields))
    assert not any(arm.restricted for arm in explorer.arms(24, explorer.weights(24, {})))


def test_a_search_with_a_learnt_field_seeds_smaller_sizes_first(tmp_path, cli):
    few = [
        "--workers",
        1,
        "--set",
        "seeding.moves=2000",
        "--set",
        "seeding.batches=1",
        "--set",
        "seeding.moves=2000",
    ]
    options = ["--weights", "learned", "--rounds", 0, *few, "--runs", tmp_path / "a"]
    found = cli("search", "isosceles", "--n", 12, *options)
    assert found.code == 0, found.err
    run = only_run(tmp_path / "a")
    stages = [event["n"] for event in events_of(run, "stage") if event["name"] == "explore"]
    assert stages == [5, 6, 7, 12]
    stats = json.loads((run / "rounds" / "0000" / "stats.json").read_text())
    pulled = {"tabu", "anneal", "enumerate"}
    assert {row["weights"] for row in stats["arms"] if row["method"] in pulled} == {"learned"}
    assert all(stats["pool"][n]["valid"] for n in ("5", "6", "7", "12"))
    assert cli("verify", run).code == 0
    # Its configuration makes the same run again, and the field may stand in a setting as well.
    again = ["--config", run / "config.toml", "--runs", tmp_path / "b"]
    assert cli("search", "isosceles", "--n", 12, *again).code == 0
    assert contents(only_run(tmp_path / "b")) == contents(run)
    setting = ["--set", "search.weights=learned", "--rounds", 0, *few, "--runs", tmp_path / "c"]
    assert cli("search", "isosceles", "--n", 12, *setting).code == 0
    assert contents(only_run(tmp_path / "c")) == contents(run)


def test_a_size_that_is_told_twice_is_refused(tmp_path, cli):
    options = ["--set", "n=9", "--runs", tmp_path / "r"]
    found = cli("search", "isosceles", "--n", 8, *options)
    assert (found.code, found.out, len(found.err.strip().splitlines())) == (2, "", 1)
    assert "name the size once" in found.error
    assert not (tmp_path / "r").exists()


def test_a_search_section_that_is_none_is_one_line(tmp_path, cli):
    file = tmp_path / "mine.toml"
    file.write_text("search = 3\n")
    found = cli("search", "isosceles", "--n", 8, "--config", file, "--runs", tmp_path / "r")
    assert (found.code, len(found.err.strip().splitlines())) == (2, 1)
    assert "search must be a section" in found.error


# ------------------------------------------------------------------------- large neighbourhoods

CASES = {
    "tables": ("isosceles", 9, 400_000_000),
    "hook": ("isosceles", 9, 1),
    "line": ("no-3-in-line", 8, 400_000_000),
    "arity-4": (FOUR_CYCLE, 7, 400_000_000),
}


@pytest.mark.parametrize("symmetry", [0, 1, -1])
@pytest.mark.parametrize("case", CASES)
def test_neighbourhoods_give_maximal_sets_no_smaller_than_what_they_began_with(case, symmetry):
    spec, n, table_bytes = CASES[case]
    problem = load_problem(spec)
    ground = problem.ground(n)
    classes = [cls.name for cls in usable_classes(problem, n)]
    rng = np.random.default_rng(3)
    share = np.array([0.0, 0.1, 0.3, 0.6, 1.0])[:, None]
    cells = pack(rng.random((5, ground.m)) < share)
    shard = Task(
        problem=spec,
        convention=problem.convention,
        n=n,
        symmetry=classes[symmetry],
        method="neighbourhood",
        cells=cells,
        rng=streams.state(1, 1, "search", 0),
        bound=20,
        table_bytes=table_bytes,
    )
    before = cells.copy()
    found = run_task(shard)
    assert np.array_equal(cells, before)
    assert found.shape == cells.shape
    assert found.dtype == np.uint8
    assert problem.validate(found, n).all()
    completed = run_task(replace(shard, method="complete"))
    assert (popcounts(found) >= popcounts(completed)).all()
    more = found.copy()
    complete_many(make_space(problem, n), streams.state(1, 1, "search", 1), more)
    assert np.array_equal(more, found)
    for row in unpack(found, ground.m):
        larger = np.repeat(row[None], int((~row).sum()), axis=0)
        larger[np.arange(len(larger)), np.flatnonzero(~row)] = True
        assert not problem.validate(pack(larger), n).any()
    assert np.array_equal(run_task(shard), found)


@pytest.mark.parametrize("table_bytes", [400_000_000, 1])
def test_neighbourhoods_find_larger_sets_than_filling_up(table_bytes):
    problem = load_problem("isosceles")
    shard = Task(
        problem="isosceles",
        convention=problem.convention,
        n=12,
        symmetry="trivial",
        method="neighbourhood",
        cells=np.zeros((8, 18), np.uint8),
        rng=streams.state(2, 1, "search", 0),
        bound=150,
        table_bytes=table_bytes,
    )
    found = popcounts(run_task(shard))
    filled_up = popcounts(run_task(replace(shard, method="complete")))
    assert found.mean() >= filled_up.mean() + 2

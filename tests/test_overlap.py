"""Search at large beside the generator: what it finds, how it ends, and what it tells."""

import threading

import pytest
from conftest import TINY, only_run
from loops import FEW_STEPS, Loop, Told, configured

from pipeline.engine.portfolio import Portfolio
from pipeline.errors import PipelineError
from pipeline.executors import Processes, Serial, make_executor
from pipeline.generators.base import Generator
from pipeline.storage.run import Run

DATA = {
    "problem": "isosceles",
    "n": 8,
    "sizes": [8],
    "generator": "restart",
    "seeding": {"method": "greedy", "count": 60},
    "search": {"batches": 2, "tasks_per_batch": 3, "moves": 400, **FEW_STEPS},
    "select": {"keep": 50},
    "sample": {"count": 20},
    "compute": {"workers": 1},
}


class Asked(Generator):
    """Does something when it is asked, then gives two constructions of the pool."""

    def __init__(self, does):
        self.does = does

    def ask(self, state):
        self.does()
        return state.pool.take(slice(0, 2))


def played(generator, told=None, **changes):
    config = configured(DATA, search={"overlap": True, **changes})
    loop = Loop(config, told=told, generator=generator)
    return loop, loop.rounds(2)


def tasks_of(state):
    return sum(row["tasks"] for row in state.arms)


def test_search_goes_on_as_long_as_the_generator_is_at_work(monkeypatch):
    least, many = 2 * 3, 20
    added, add = threading.Semaphore(0), Portfolio.add

    def count(*result):
        add(*result)
        added.release()

    def wait():
        for _ in range(many):
            assert added.acquire(timeout=60)

    monkeypatch.setattr(Portfolio, "add", count)
    threads = threading.active_count()
    _, states = played(Asked(wait))
    assert tasks_of(states[1]) >= many
    assert threading.active_count() == threads
    _, states = played(Asked(lambda: None))
    assert tasks_of(states[1]) >= least


def test_what_is_found_beside_the_generator_is_kept_and_verified():
    loop, states = played(Asked(lambda: None))
    state = states[-1]
    assert state.pool.came_from("search").any()
    assert loop.problem.validate(state.pool.cells, 8).all()
    assert loop.problem.evaluate(state.pool.cells, 8).tolist() == state.pool.score.tolist()


def test_the_stages_told_are_those_of_the_generator_and_new_bests_come_through():
    told = Told()
    played(Asked(lambda: None), told)
    assert "explore" not in [name for name, _, _ in told.stages]
    assert "search" in [best["origin"] for best in told.named("best")]


def test_a_generator_that_fails_leaves_no_search_behind():
    def fail():
        raise PipelineError("no candidates today")

    threads = threading.active_count()
    with pytest.raises(PipelineError, match="no candidates today"):
        played(Asked(fail), batches=10**6)  # hours of search, if it were waited for
    assert threading.active_count() == threads


def test_what_the_search_raises_ends_the_round(monkeypatch):
    def failing(*_, **__):
        raise PipelineError("no search today")

    monkeypatch.setattr("pipeline.engine.explore.Explorer.explore", failing)
    with pytest.raises(PipelineError, match="no search today"):
        played(Asked(lambda: None))


def test_without_overlap_the_search_comes_after_the_generator():
    seen = []
    config = configured(DATA)
    loop = Loop(config, generator=Asked(lambda: seen.append(threading.active_count())))
    before = threading.active_count()
    states = loop.rounds(2)
    assert seen == [before, before]
    assert states[-1].pool.came_from("search").any()


def test_one_worker_is_a_process_where_this_one_has_other_work():
    assert isinstance(make_executor(1), Serial)
    executor = make_executor(1, beside=True)
    assert isinstance(executor, Processes)
    executor.close()


def test_a_run_that_overlaps_is_kept_resumed_and_says_how_busy_it_was(cli, tmp_path):
    words = ["--overlap", "--set", "search.batches=1", "--set", "search.tabu_steps=2000"]
    words += ["--set", "search.enumerate_nodes=2000", "--runs", tmp_path]
    assert cli("run", "isosceles", "--n", "6", *TINY, *words).code == 0
    run = Run(only_run(tmp_path))
    assert run.config.search.overlap
    assert cli("resume", run.path, "--rounds", "+1").code == 0
    rounds = [event for event in run.events() if event["event"] == "round"]
    assert [event["number"] for event in rounds] == [0, 1, 2, 3]
    assert all(0 <= event["model_busy"] <= 1 for event in rounds)
    assert all(event["search_busy"] >= 0 for event in rounds[1:3])
    shown = cli("show", run.path)
    assert shown.out.count("not reproducible: with search.overlap") == 2
    assert [session["reproducible"] for session in Run(run.path).info["sessions"]] == [False, False]
    assert "busy, of the time: the model" in shown.out

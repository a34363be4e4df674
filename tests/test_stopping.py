"""What a session has spent, by a clock that is told of its workers."""

from typing import Any

import pytest
from loops import Loop, Told, configured

from pipeline.generators.base import Generator
from pipeline.loop import Memory
from pipeline.stopping import Clock, TimeLimit, TimeUp


def test_workers_count_from_when_they_are_watched_and_a_start_forgets_what_was_before():
    clock, spent = Clock(cpu=50), [1000.0]
    clock.watch(lambda: spent[0])
    assert clock.cpu() < 5
    spent[0] = 1040.0
    assert 40 <= clock.cpu() < 45
    assert not clock.over()
    spent[0] = 1060.0
    assert 60 <= clock.cpu() < 65
    assert clock.over()
    clock.start()
    assert clock.cpu() < 5
    spent[0] = 1072.0
    assert 12 <= clock.cpu() < 17


def test_watching_others_keeps_what_the_first_have_spent():
    clock, spent = Clock(), [0.0]
    clock.watch(lambda: spent[0])
    spent[0] = 30.0
    clock.watch(lambda: 500.0)
    assert 30 <= clock.cpu() < 35
    spent[0] = 90.0
    assert clock.cpu() < 35


def test_training_and_sampling_end_with_the_cpu_seconds_and_search_keeps_what_it_found():
    clock, spent = Clock(cpu=50), [0.0]
    clock.watch(lambda: spent[0])
    limit = TimeLimit(clock, generates=True)
    limit.on_round_start(0)
    limit.on_stage("seed", 9)
    spent[0] += 100.0
    limit.on_progress(1)  # the seeding is never dropped
    clock.start()
    limit.on_round_start(1)
    limit.on_stage("train", 9)
    limit.on_progress(1)
    limit.on_stage("improve", 9)
    spent[0] += 100.0
    limit.on_progress(1)
    limit.on_stage("explore", 9)
    limit.on_round_start(2)
    for name in ("train", "sample", "improve"):
        with pytest.raises(TimeUp, match="the CPU time is up"):
            limit.on_stage(name, 9)
    with pytest.raises(TimeUp, match="the CPU time is up"):
        limit.on_progress(2)


class Dear(Generator):
    """Needs many CPU seconds in ask, or leaves none for tell."""

    def __init__(self, stage: str) -> None:
        self.stage, self.steps, self.told, self.spent = stage, 0, 0, 0.0

    def ask(self, state: Any) -> Any:
        if self.stage:
            self.callbacks.on_stage(self.stage, 100)
        for step in range(100):
            self.spent += 1000.0
            self.steps += 1
            if self.stage:
                self.callbacks.on_progress(step)
        return state.pool.bits()[:2]

    def tell(self, candidates: Any, improved: Any) -> None:
        self.told += 1


@pytest.mark.parametrize(("stage", "steps"), [("train", 5), ("sample", 5), ("", 100)])
def test_a_generator_of_ones_own_is_stopped_at_the_budget_of_cpu_seconds(stage, steps):
    """One that tells no progress is asked to the end, and its candidates are not searched."""
    data = {
        "problem": "isosceles",
        "n": 4,
        "sizes": [4],
        "seeding": {"method": "greedy", "count": 20},
        "search": {"improve": "repair", "batches": 0},
        "budget": {"rounds": 3, "cpu": 4500.0},
        "compute": {"workers": 1},
    }
    made, told = Dear(stage), Told()
    loop = Loop(configured(data), told=told, generator=made)
    loop.runner.clock.watch(lambda: made.spent)
    state = loop.parts.run(Memory())
    assert (state.round, made.steps, made.told) == (0, steps, 0)
    assert [n["text"] for n in told.named("note")] == ["round 1 is left out: the CPU time is up"]


def test_nothing_is_learned_once_the_cpu_seconds_are_used():
    data = {
        "problem": "isosceles",
        "n": 4,
        "sizes": [4],
        "seeding": {"method": "greedy", "count": 20},
        "search": {"improve": "repair", "batches": 0},
        "compute": {"workers": 1},
    }
    made = Dear("")
    loop = Loop(configured(data), generator=made)
    seeded = loop.seed()
    assert loop.next(seeded).round == made.told == 1
    assert not loop.runner.clock.cut_short
    loop.runner.clock = Clock(cpu=1.0)
    spent = [0.0]
    loop.runner.clock.watch(lambda: spent[0])
    spent[0] = 2.0
    assert loop.next(seeded).round == made.told == 1
    assert loop.runner.clock.cut_short  # so the run is not called reproducible


@pytest.mark.parametrize(
    ("generator", "budget", "told"),
    [
        ("gpt", {"cpu": 1e-6}, ["the CPU time was up in round 0, before the model was trained"]),
        (
            "perturb",
            {"cpu": 1e-6},
            ["the CPU time was up in round 0, before the generator was asked"],
        ),
        ("none", {"cpu": 1e-6}, []),
        (
            "perturb",
            {"target": 1},
            ["ended: the target 1 is reached (by default what is proved the most)"],
        ),
        ("none", {"rounds": 0}, []),
    ],
)
def test_a_run_that_ends_before_its_rounds_are_played_says_why(generator, budget, told):
    data = {
        "problem": "isosceles",
        "n": 4,
        "sizes": [4],
        "generator": generator,
        "seeding": {"method": "greedy", "count": 20},
        "budget": {"rounds": 3, **budget},
        "compute": {"workers": 1, "device": "cpu"},
    }
    heard = Told()
    Loop(configured(data), told=heard).parts.run(Memory())
    assert [note["text"] for note in heard.named("note")] == told

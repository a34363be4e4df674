"""Runs in memory: built from a configuration, played a round at a time, and what they told."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline import loop
from pipeline.assembly import build
from pipeline.callbacks import Callbacks
from pipeline.config import Config, config_from
from pipeline.core.population import Population
from pipeline.executors import Executor, Serial
from pipeline.generators.base import Generator
from pipeline.plugins import load_problem
from pipeline.state import Sampling, State
from pipeline.stopping import Clock

#: Settings of search at large by which a task has so few steps, or nodes, that it takes no time.
FEW_STEPS = {"tabu_steps": 2000, "enumerate_nodes": 2000, "cover_nodes": 40_000}


def configured(data: Mapping[str, Any], **changes: Any) -> Config:
    """Return the configuration of ``data`` with changes; those of a section go over its keys."""
    merged = dict(data)
    for key, value in changes.items():
        merged[key] = {**merged.get(key, {}), **value} if isinstance(value, dict) else value
    return config_from(merged, "the test")


class Told(Callbacks):
    """Keeps what is told, in order: a pair (event, particulars) each."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def named(self, name: str) -> list[dict[str, Any]]:
        """Return the particulars of all events of a name."""
        return [particulars for event, particulars in self.events if event == name]

    @property
    def stages(self) -> list[tuple[str, int, int | None]]:
        """The name, the total and the size of each stage."""
        return [(stage["name"], stage["total"], stage["n"]) for stage in self.named("stage")]

    @property
    def done(self) -> list[int]:
        """How much was done, at each step of progress."""
        return [progress["done"] for progress in self.named("progress")]

    def on_start(self, state: State | None) -> None:
        self.events.append(("start", {"state": state}))

    def on_round_start(self, number: int) -> None:
        self.events.append(("round start", {"number": number}))

    def on_stage(self, name: str, total: int, n: int | None = None) -> None:
        self.events.append(("stage", {"name": name, "total": total, "n": n}))

    def on_progress(self, done: int, best: int | None = None, loss: float | None = None) -> None:
        self.events.append(("progress", {"done": done, "best": best, "loss": loss}))

    def on_best(self, n: int, score: int, origin: str, cpu: float) -> None:
        self.events.append(("best", {"n": n, "score": score, "origin": origin, "cpu": cpu}))

    def on_metrics(self, **values: float) -> None:
        self.events.append(("metrics", values))

    def on_note(self, text: str) -> None:
        self.events.append(("note", {"text": text}))

    def on_round(self, state: State, seconds: float, cpu: float) -> None:
        self.events.append(("round", {"state": state, "seconds": seconds, "cpu": cpu}))

    def on_end(self, state: State) -> None:
        self.events.append(("end", {"state": state}))


class Loop:
    """The parts of a run, for rounds one at a time."""

    def __init__(
        self,
        config: Config,
        executor: Executor | None = None,
        told: Callbacks | None = None,
        *,
        clock: Clock | None = None,
        arrays: Mapping[str, np.ndarray] | None = None,
        generator: Generator | None = None,
    ) -> None:
        """Build the parts; None for a serial executor, nobody who listens, no limit of time."""
        self.config = config
        self.problem = load_problem(config.problem, config.convention or None)
        self.parts = build(
            self.problem, config, executor or Serial(), arrays=arrays, generator=generator
        )
        self.engine, self.runner = self.parts.engine, self.parts.engine.runner
        self.grounds = self.runner.grounds
        #: Any, since each kind has attributes of its own.
        self.generator: Any = self.parts.generator
        if told is not None:
            self.parts.callbacks.listeners.append(told)
        if clock is not None:
            self.runner.clock = clock
            clock.watch(self.runner.executor.cpu)

    def seed(self, starts: dict[int, Population] | None = None) -> State:
        """Play round 0."""
        return loop.seed(self.engine, loop.Memory(starts))

    def next(self, state: State) -> State:
        """Play the round after a state."""
        return loop.step(state, self.engine, self.generator)

    def rounds(self, number: int) -> list[State]:
        """Play round 0 and so many more; return the state after each."""
        states = [self.seed()]
        for _ in range(number):
            states.append(self.next(states[-1]))
        return states


def rounds_of(config: Config, number: int, executor: Executor | None = None) -> list[State]:
    """Play round 0 and so many more of a configuration; return the state after each."""
    return Loop(config, executor).rounds(number)


def written_and_read(state: State) -> State:
    """Return what a later session knows of a state: its pools, and what JSON can hold.

    Nothing is computed from statistics or from the candidates of a round that is over.
    """
    arms, sampling = json.loads(json.dumps([state.arms, vars_of(state.sampling)]))
    found = None if sampling is None else Sampling(**sampling)
    where = (state.problem, state.n, state.seed, state.round, state.pools)
    return State(*where, tuple(arms), state.imported, found)


def vars_of(sampling: Sampling | None) -> dict[str, Any] | None:
    """Return the statistics of samples as a dictionary."""
    return None if sampling is None else vars(sampling)


def same(a: State, b: State) -> bool:
    """Tell whether two states are equal in all that is written of them."""
    columns = ("cells", "score", "round", "origin", "parent", "imported")
    pairs = [(a.pools[n], b.pools[n]) for n in a.pools] if set(a.pools) == set(b.pools) else None
    if (a.candidates is None) != (b.candidates is None) or pairs is None:
        return False
    if a.candidates is not None and b.candidates is not None:
        pairs.append((a.candidates, b.candidates))
    plain = ("round", "stats", "arms", "imported", "sampling")
    return all(getattr(a, name) == getattr(b, name) for name in plain) and all(
        np.array_equal(getattr(p, name), getattr(q, name)) for p, q in pairs for name in columns
    )

"""The loop: a generator makes candidates, search improves them, the best go into the next round."""

import time
from typing import Protocol

from pipeline import round_stats
from pipeline.callbacks import CallbackList
from pipeline.core.population import Population
from pipeline.engine.engine import Engine
from pipeline.generators.base import Generator
from pipeline.state import State, assess
from pipeline.stopping import AnyOf, TimeLimit, TimeUp


def run(
    engine: Engine,
    generator: Generator,
    store: "Store",
    stop: AnyOf,
    callbacks: CallbackList,
    limit: TimeLimit,
) -> State:
    """Go on from the last round that was kept until a rule says stop; return the last state.

    Args:
        limit: ends a round that cannot end in time; such a round never happened.
    """
    state = before = store.load(engine, generator)
    callbacks.on_start(state)
    if state is None or not stop(state):
        engine.warm_up()
    while state is None or not stop(state):
        began, number = time.monotonic(), 0 if state is None else state.round + 1
        callbacks.on_round_start(number)
        try:
            new = step(state, engine, generator) if state else seed(engine, store)
            limit.check_round()
        except TimeUp as reason:
            callbacks.on_note(f"round {number} is left out: {reason}")
            break
        state = new
        store.commit(state, generator)
        callbacks.on_round(state, time.monotonic() - began, engine.runner.clock.cpu())
    else:
        if state is not before and (why := stop.why(state)):
            callbacks.on_note(why)
    assert state is not None  # the seeding is never left out
    callbacks.on_end(state)
    return state


def seed(engine: Engine, store: "Store") -> State:
    """Round 0: local search, and what the user gave to start from."""
    pools, arms, scores = engine.seed(store.starts(engine))
    imported = any(bool(pool.imported.any()) for pool in pools.values())
    state = State(engine.problem, engine.runner.n, engine.runner.seed, 0, pools, arms, imported)
    return state.with_stats(round_stats.of_seeding(state, scores))


def step(state: State, engine: Engine, generator: Generator) -> State:
    """One round: make candidates, improve them, explore at large, keep the best."""
    number, n, best = state.round + 1, state.n, engine.selection.best
    with engine.beside(state.pools, state.arms, number) as beside:
        candidates, sampling = assess(generator.ask(state), state, generator.malformed)
    improved = engine.improve(candidates, number)
    if not engine.runner.clock.cpu_over():  # else there is no time to learn
        generator.tell(candidates, improved)
    pools = {**state.pools, n: best(n, state.pool, improved)}
    pool, arms = engine.explore(pools, state.arms, number, beside)
    new = state.after(candidates, sampling, {**pools, n: pool}, arms)
    return new.with_stats(round_stats.of_round(new, improved, generator.stats))


class Store(Protocol):
    """Where the rounds of a run are kept."""

    def load(self, engine: Engine, generator: Generator) -> State | None:
        """Return the state after the last round that was kept; None without any."""
        ...

    def starts(self, engine: Engine) -> dict[int, Population]:
        """Return the constructions to start from, by size, verified."""
        ...

    def commit(self, state: State, generator: Generator) -> None:
        """Keep a round, whole or not at all."""
        ...


class Memory:
    """Keeps no rounds: a run in memory, from its start to its end."""

    def __init__(self, starts: dict[int, Population] | None = None) -> None:
        """Take constructions to start from, by size, verified."""
        self._starts = starts or {}

    def load(self, engine: Engine, generator: Generator) -> State | None:
        """Return None: every run is a new one."""
        return None

    def starts(self, engine: Engine) -> dict[int, Population]:
        """Return what was given."""
        return self._starts

    def commit(self, state: State, generator: Generator) -> None:
        """Keep nothing."""

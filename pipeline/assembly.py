"""The parts of a run, built once from its configuration: building them is checking it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pipeline import loop
from pipeline.callbacks import CallbackList
from pipeline.config import MODELS, Config
from pipeline.engine.engine import Engine
from pipeline.errors import UsageError
from pipeline.executors import Executor
from pipeline.footprint import check_memory
from pipeline.generators.base import Generator
from pipeline.generators.registry import make_generator
from pipeline.loop import Store
from pipeline.problem import Problem
from pipeline.state import State
from pipeline.stopping import AnyOf, Clock, StoppingRule, TimeLimit, make_stop


class Companions(Protocol):
    """Other processes that train and sample with this one."""

    def cpu(self) -> float:
        """Return the CPU seconds that they have used."""
        ...

    def close(self) -> None:
        """Let them end."""
        ...


@dataclass(frozen=True)
class Parts:
    """What the loop is handed, and the other processes of the model, where there are any."""

    engine: Engine
    generator: Generator
    stop: AnyOf
    callbacks: CallbackList
    limit: TimeLimit
    companions: Companions | None = None

    @property
    def clock(self) -> Clock:
        """What the run has used."""
        return self.engine.runner.clock

    def run(self, store: Store) -> State:
        """Play rounds until the budget is used; return the last state."""
        handed = (self.engine, self.generator, store, self.stop, self.callbacks, self.limit)
        try:
            return loop.run(*handed)
        finally:
            self.close()

    def close(self) -> None:
        """Let the other processes of the model end, where there are any."""
        if self.companions is not None:
            self.companions.close()


def build(
    problem: Problem,
    config: Config,
    executor: Executor,
    *,
    generator: Generator | None = None,
    arrays: Mapping[str, np.ndarray] | None = None,
    stop: Iterable[StoppingRule] = (),
    spent: float = 0.0,
) -> Parts:
    """Build the parts of a run, and so check its configuration.

    Args:
        generator: None for the one that the configuration names.
        arrays: what the files hold that the configuration names, by those names.
        stop: rules beside those of the budget.
        spent: seconds of the limit of time that have gone already.

    Raises:
        UsageError: a size, symmetry class, method, weights, mask, kind of tokens, shape or device
            that cannot be had, or more memory than there is.
    """
    if config.compute.gpus > 1 and (generator is not None or not config.has_model):
        raise UsageError(
            f"--gpus {config.compute.gpus} is for the generators {', '.join(MODELS)}, which have "
            f"a model, not for {config.generator}; leave it out"
        )
    check_memory(problem, config)
    clock = Clock(config.budget.time, config.budget.cpu, spent)
    generates = config.generator != "none"
    aim = "the model was trained" if config.has_model else "the generator was asked"
    limit = TimeLimit(clock, generates, aim)
    callbacks = CallbackList([limit])
    engine = Engine(problem, config, executor, clock, callbacks, arrays)
    made: Any = generator or make_generator(config, engine.runner.mask)
    made.setup(problem, config, callbacks)
    companions = made.gather(engine.runner.mask) if config.compute.gpus > 1 else None
    if companions is not None:
        clock.watch(lambda: executor.cpu() + companions.cpu())
    rules = AnyOf([*make_stop(config.budget, limit).rules, *stop])
    return Parts(engine, made, rules, callbacks, limit, companions)

"""How a run begins and is gone on with, from Python and from the command line.

Of a configuration the parts are built; they run in a folder or in memory.
"""

import time as clock_time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.assembly import Parts, build
from pipeline.callbacks import Callbacks
from pipeline.config import Config, differences, with_gpus
from pipeline.configuring import settled, spec_of
from pipeline.engine.weights import make_mask, make_weights
from pipeline.errors import UsageError
from pipeline.executors import Executor, make_executor
from pipeline.generators.base import Generator
from pipeline.loop import Memory
from pipeline.plugins import (
    check_symmetries,
    kept_files,
    kept_spec,
    kept_symmetries,
    load_problem,
    named_in_data,
)
from pipeline.problem import Problem
from pipeline.report.best_files import BestFiles
from pipeline.report.progress import ProgressDisplay
from pipeline.result import Result
from pipeline.state import State
from pipeline.stopping import StoppingRule
from pipeline.storage import inputs
from pipeline.storage.event_log import EventLog
from pipeline.storage.run import Run
from pipeline.storage.run_store import RunStore


def problem_from(problem: str | Problem) -> Problem:
    """Return the problem that a caller named or gave."""
    return problem if isinstance(problem, Problem) else load_problem(problem)


def problem_of_run(run: Run, problem: str | Problem | None) -> Problem:
    """Return the problem of a run that is there; data never loads code."""
    config, typed = run.config, spec_of(problem) if isinstance(problem, Problem) else problem
    spec = kept_spec(config.problem, run.path)
    return named_in_data(spec, config.convention or None, str(run.path), typed)


def executor_of(config: Config) -> Executor:
    """Return what runs the tasks of a run.

    Raises:
        UsageError: an address, and no Ray to look for it.
        PipelineError: Ray is not installed.
    """
    compute = config.compute
    handed = (compute.workers, compute.executor, compute.address)
    return make_executor(*handed, beside=config.search.overlap)


def begin(
    problem: Problem,
    config: Config,
    runs: Path,
    command: list[str],
    *,
    files: Mapping[str, bytes] | None = None,
    **handed: Any,
) -> tuple[Run, Parts]:
    """Build the parts of a new run, then make its folder.

    Args:
        runs: the directory of runs.
        command: the words that begin it.
        files: what else the run keeps, by name.
        handed: what else `build` is given.

    Returns:
        (the run, not locked yet; its parts).

    Raises:
        UsageError: what no run of this configuration could get past.
    """
    named = inputs.read_files(config)
    _check_files(config, problem, inputs.arrays(named))
    config, kept = inputs.bound(settled(config), named)
    parts = build(problem, config, arrays=inputs.arrays(kept), **handed)
    own = {**kept_files(problem.plugin), **_kept_generator(config.generator)}
    own |= kept_symmetries(problem, config.n)
    given = {**(files or {}), **kept, **own}
    try:
        return Run.create(runs, config, problem.name, command, given), parts
    except BaseException:
        parts.close()
        raise


def _check_files(config: Config, problem: Problem, arrays: Mapping[str, np.ndarray]) -> None:
    """See that files of weights and masks fit, while they have the names that the user gave them.

    Raises:
        UsageError: one does not.
    """
    ground, search = problem.ground(config.n), config.search
    make_mask(search.mask, ground, arrays)
    if search.weights in arrays:
        make_weights(search.weights, ground, arrays)


def go_on(run: Run, problem: Problem, gpus: int | None = None, **handed: Any) -> Parts:
    """Return the parts of a run that is there already.

    Args:
        gpus: on how many to train and sample in this session; None for as many as ever.
        handed: what else `build` is given.

    Raises:
        RunError: a file that it was given is missing.
    """
    arrays = inputs.arrays(inputs.stored_files(run.config, run.path))
    return build(problem, with_gpus(run.config, gpus), arrays=arrays, **handed)


def carry_out(
    problem: Problem,
    config: Config,
    generator: Generator | None,
    store: str | Path | Run | None,
    callbacks: list[Callbacks],
    stop: list[StoppingRule],
    progress: bool | None,
) -> Result:
    """Run in memory, in a new folder or in one that is there."""
    began = clock_time.monotonic()
    executor = executor_of(config)
    handed: dict[str, Any] = {"executor": executor, "generator": generator, "stop": stop}
    display = ProgressDisplay(rounds=config.budget.rounds, quiet=progress is False)
    try:
        if store is None:
            arrays = inputs.arrays(inputs.read_files(config))
            parts = build(problem, config, arrays=arrays, **handed)
            state, path = _watched(parts, Memory(), display, callbacks), None
        elif isinstance(store, Run):
            with store.lock():
                _check_same(store, config)
                check_symmetries(store.path, problem, config.n)
                store.set_budget(config)
                parts = go_on(store, problem, **handed)
                state = _kept_in(store, parts, display, callbacks)
            path = store.path
        else:
            folder, parts = begin(problem, config, Path(store), ["pipeline.run"], **handed)
            with folder.lock():
                state = _kept_in(folder, parts, display, callbacks)
            config, path = folder.config, folder.path
    finally:
        executor.close()
    seconds = clock_time.monotonic() - began
    return Result(state, problem, config, seconds, parts.clock.cpu(), path)


def _kept_generator(spec: str) -> dict[str, bytes]:
    """Return what a run keeps of a generator's file; nothing of a class that has none."""
    return kept_files(spec, "generator") if Path(spec.rpartition(":")[0]).is_file() else {}


def _kept_in(
    folder: Run, parts: Parts, display: ProgressDisplay, callbacks: list[Callbacks]
) -> State:
    """Run in a folder that is held."""
    log = EventLog(folder, folder.config.budget.rounds, parts.engine.runner.processes)
    best = BestFiles(folder, parts.engine.problem)
    store = RunStore(folder, parts.engine.problem, parts.clock)
    return _watched(parts, store, display, [log, best, *callbacks])


def _watched(
    parts: Parts, store: Any, display: ProgressDisplay, callbacks: list[Callbacks]
) -> State:
    with display:
        parts.callbacks.listeners += [*callbacks, display]
        return parts.run(store)


def _check_same(run: Run, config: Config) -> None:
    """See that a run is gone on with under its own configuration.

    Raises:
        UsageError: a key that decides results is another.
    """
    changed = differences(run.config, config)
    if changed:
        raise UsageError(
            f"{run.path} was begun with another configuration ({'; '.join(changed)}); give its "
            "own, or a directory for a new run"
        )

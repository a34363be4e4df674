"""What `pipeline.run` does: arguments to a configuration, parts, a folder or none, a result."""

import time as clock_time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.assembly import Parts, build, settled
from pipeline.callbacks import Callbacks
from pipeline.config import Config, config_from, differences, resolved
from pipeline.errors import UsageError
from pipeline.executors import make_executor
from pipeline.generators.base import Generator
from pipeline.loop import Memory
from pipeline.plugins import (
    check_symmetries,
    kept_files,
    kept_spec,
    kept_symmetries,
    load_problem,
    named_in_data,
    problem_spec,
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


def spec_of(problem: Problem) -> str:
    """Return what names a problem: its name, or FILE.py:CLASS."""
    return problem.plugin or problem.name


def configured(
    problem: Problem,
    config: Mapping[str, Any] | Config | None,
    told: Mapping[str, Any],
    budget: Mapping[str, Any],
    workers: int | None,
) -> Config:
    """Return the configuration that arguments and keys make up."""
    from msgspec.structs import replace

    told = {key: value for key, value in told.items() if value is not None}
    limits = {key: value for key, value in budget.items() if value is not None}
    if isinstance(config, Config):
        made = replace(config, **told, budget=replace(config.budget, **limits))
        if workers is not None:
            made = replace(made, compute=replace(made.compute, workers=workers))
        return resolved(made)
    data: dict[str, Any] = {**(config or {}), **told, "problem": problem_spec(spec_of(problem))}
    data["budget"] = {**data.get("budget", {}), **limits}
    if workers is not None:
        data["compute"] = {**data.get("compute", {}), "workers": workers}
    if data.setdefault("n", problem.only_size) is None:
        raise UsageError(f'name a size, as in: pipeline.run("{problem.name}", n=16)')
    data.setdefault("convention", problem.convention)
    made = config_from(data, "the configuration")
    if "sizes" not in data:
        made = replace(made, sizes=tuple(k for k in made.sizes if k >= problem.smallest))
    return resolved(made)


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
    executor = make_executor(config.compute.workers)
    display = ProgressDisplay(rounds=config.budget.rounds, quiet=progress is False)
    try:
        if store is None:
            arrays = inputs.arrays(inputs.read_files(config))
            parts = build(problem, config, executor, generator=generator, arrays=arrays, stop=stop)
            state, path = _watched(parts, Memory(), display, callbacks), None
        else:
            folder, config = _folder(store, problem, config)
            arrays = inputs.arrays(inputs.stored_files(config, folder.path))
            with folder.lock():
                parts = build(
                    problem, config, executor, generator=generator, arrays=arrays, stop=stop
                )
                kept = [EventLog(folder, config.budget.rounds), BestFiles(folder, problem)]
                into = RunStore(folder, problem, parts.clock)
                state, path = _watched(parts, into, display, [*kept, *callbacks]), folder.path
    finally:
        executor.close()
    seconds = clock_time.monotonic() - began
    return Result(state, problem, config, seconds, parts.clock.cpu(), path)


def _kept_generator(spec: str) -> dict[str, bytes]:
    """Return what a run keeps of a generator's file; nothing of a class that has none."""
    return kept_files(spec, "generator") if Path(spec.rpartition(":")[0]).is_file() else {}


def _watched(
    parts: Parts, store: Any, display: ProgressDisplay, callbacks: list[Callbacks]
) -> State:
    with display:
        parts.callbacks.listeners += [*callbacks, display]
        return parts.run(store)


def _folder(store: str | Path | Run, problem: Problem, config: Config) -> tuple[Run, Config]:
    """Return the run to go on with, or a new one in a directory of runs."""
    if isinstance(store, Run):
        changed = differences(store.config, config)
        if changed:
            raise UsageError(
                f"{store.path} was begun with another configuration ({'; '.join(changed)}); give "
                "its own, or a directory for a new run"
            )
        check_symmetries(store.path, problem, config.n)
        store.set_budget(config)
        return store, config
    named = inputs.read_files(config)
    bound, kept = inputs.bound(settled(config), named)
    own = {**kept_files(problem.plugin), **_kept_generator(bound.generator)}
    own |= kept_symmetries(problem, bound.n)
    made = Run.create(Path(store), bound, problem.name, ["pipeline.run"], {**kept, **own})
    return made, bound

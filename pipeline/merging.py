"""Pools of finished runs put together, as the round 0 of a new run."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace as changed

from pipeline import round_stats
from pipeline.assembly import build
from pipeline.core.population import Population
from pipeline.errors import UsageError
from pipeline.executors import Serial
from pipeline.generators.registry import is_own
from pipeline.plugins import check_symmetries, check_unchanged, kept_files, kept_symmetries
from pipeline.problem import Problem
from pipeline.report.best_files import BestFiles
from pipeline.selection import Selection
from pipeline.state import State
from pipeline.storage import inputs, run_json
from pipeline.storage.event_log import EventLog
from pipeline.storage.round_files import load_pool
from pipeline.storage.run import Run
from pipeline.storage.run_store import RunStore


class MergedSize(NamedTuple):
    """What became of the constructions of one size."""

    n: int
    given: int  # constructions of all the runs
    kept: int  # of them, no two equivalent
    best: int


def merge(
    runs: Sequence[Run],
    problem: Problem,
    folder: Path,
    command: list[str],
) -> tuple[Run, list[MergedSize]]:
    """Make a new run of the pools of others, with which ``resume`` goes on.

    Every construction is verified from its raw cells. Of equivalent ones the first stays; it keeps
    its origin. The new run has the configuration of the first, the sizes of all, and as n the
    largest n.

    Args:
        runs: two or more, of one problem and convention.
        problem: theirs.
        folder: the directory of runs.
        command: the words that ask for it.

    Returns:
        (the run, what became of each size).

    Raises:
        UsageError: less than two runs, one twice, runs of several problems, or a first one whose
            generator is the user's own.
        RunError: one has no finished round, is damaged, or was made with another plugin.
        VerificationError: a construction is not valid.
    """
    began = time.monotonic()
    _check(runs)
    for run in runs:
        run_json.check_resumable(run.path, run.info)
        check_unchanged(run.path, problem.plugin)
        check_symmetries(run.path, problem, run.config.n)
    first = runs[0].config
    sizes = tuple(sorted({n for run in runs for n in run.config.sizes}))
    config = changed(first, n=max(run.config.n for run in runs), sizes=sizes)
    config = changed(config, budget=type(first.budget)())
    selection = Selection(config, {n: problem.ground(n) for n in sizes})
    given = {n: [_pool(run, problem, n) for run in runs if n in run.config.sizes] for n in sizes}
    pools = {n: selection.best(n, *parts) for n, parts in given.items()}

    stored = inputs.stored_files(config, runs[0].path)
    kept = {**stored, **kept_files(problem.plugin), **kept_symmetries(problem, config.n)}
    arrays = inputs.arrays(stored)
    parts = build(problem, config, Serial(), arrays=arrays)
    made = Run.create(folder, config, problem.name, command, kept)
    imported = any(bool(pool.imported.any()) for pool in pools.values())
    state = State(problem, config.n, config.seed, 0, pools, (), imported)
    scores = {n: Population.concat(found).score for n, found in given.items()}
    state = state.with_stats(round_stats.of_seeding(state, scores))
    with made.lock():
        made.not_reproducible(f"pools merged of {', '.join(run.name for run in runs)}")
        RunStore(made, problem).commit(state, parts.generator)
        for listener in (EventLog(made), BestFiles(made, problem)):
            listener.on_round(state, time.monotonic() - began, 0.0)
        made.end_session("done", time.monotonic() - began)
    return made, [
        MergedSize(n, len(scores[n]), len(pool), state.best(n)) for n, pool in pools.items()
    ]


def _check(runs: Sequence[Run]) -> None:
    """Refuse runs that cannot be put together.

    Raises:
        UsageError: says why.
    """
    if len(runs) < 2:
        raise UsageError("name two runs or more to merge")
    names = [run.path.resolve() for run in runs]
    twice = next((run for i, run in enumerate(runs) if names[i] in names[:i]), None)
    if twice is not None:
        raise UsageError(f"{twice.name} is named twice")
    first = runs[0]
    if is_own(first.config.generator):
        raise UsageError(
            f"{first.name} has a generator of your own, {first.config.generator}; name a run with "
            "another one first"
        )
    for run in runs[1:]:
        ours, theirs = (
            f"{one.config.problem} {one.config.convention}".strip() for one in (first, run)
        )
        if ours != theirs:
            raise UsageError(
                f"{first.name} is of {ours} and {run.name} of {theirs}; merge runs of one problem "
                "and convention"
            )


def _pool(run: Run, problem: Problem, n: int) -> Population:
    """Return the verified pool of the last round, as found in round 0 of another run."""
    pool = load_pool(run, problem, run.last_round(), n)
    return replace(pool, round=np.zeros_like(pool.round))

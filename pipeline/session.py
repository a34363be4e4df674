"""A session with a run: load its last round, play rounds until the budget is used, commit each."""

import json
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import Config
from pipeline.constructions import Construction, as_json, read_constructions
from pipeline.errors import PipelineError, RunError, UsageError, VerificationError
from pipeline.executor import Executor
from pipeline.loop import Loop, Report, State
from pipeline.model.checkpoint import load_model, load_optimizer, save_model, save_optimizer
from pipeline.population import ORIGINS, Population
from pipeline.problem import Problem
from pipeline.report.board import board_svg
from pipeline.runs import Run


def play(run: Run, problem: Problem, executor: Executor, report: Report) -> State:
    """Play rounds of a locked run until its budget is used; return the last state.

    Args:
        report: called as ``report(event, **particulars)``; what it raises ends the session
            without the round in progress, which a later session plays again with the same result.

    Raises:
        RunError: the last round is damaged.
        PipelineError: whatever stops a round (a full disk, a hook the validator contradicts).
    """
    config = run.config
    began = time.monotonic()
    loop = Loop(problem, config, executor, report)
    state = load_state(run, loop)
    longest = 0.0
    while not _finished(config, state, began, longest):
        number = 0 if state is None else state.round + 1
        report("round", number=number, rounds=config.budget.rounds)
        start = time.monotonic()
        state = loop.seed(_starts(run, problem, config)) if state is None else loop.next(state)
        run.commit(state.round, partial(_write_round, run, problem, state))
        run.write_best(_best(problem, config, state))
        took = time.monotonic() - start
        longest = max(longest, took) if state.round else 0.0
        report("committed", stats=state.stats, seconds=round(took, 3))
    assert state is not None
    return state


def _finished(config: Config, state: State | None, began: float, longest: float) -> bool:
    """Tell whether the budget is used, or the next round would overrun it."""
    if state is None:
        return False
    budget = config.budget
    if budget.target and state.best(config.n) >= budget.target:
        return True
    if budget.time and time.monotonic() - began + longest > budget.time:
        return True
    return state.round >= budget.rounds


def load_state(run: Run, loop: Loop) -> State | None:
    """Return the state after the last committed round, None when there is none.

    Raises:
        RunError: a file of that round is damaged, or does not fit the run.
    """
    rounds = run.rounds()
    if not rounds:
        return None
    number = rounds[-1]
    run.check_round(number)
    config = run.config
    pools = {n: load_pool(run, loop.problem, number, n) for n in config.sizes}
    memory = json.loads(run.file(number, "rng.json").read_text(encoding="utf-8"))
    temperature, stats = float(memory["temperature"]), run.stats(number)
    if number == 0:
        return State(0, pools, temperature, stats=stats)
    model = load_model(run.file(number, "model.safetensors"), loop.model_config(), loop.device)
    optimizer = load_optimizer(run.file(number, "optimizer.safetensors"))
    return State(number, pools, temperature, model, optimizer, stats=stats)


def load_pool(run: Run, problem: Problem, number: int, n: int) -> Population:
    """Return the pool of size n after a round.

    Raises:
        RunError: it is damaged, or of another problem, convention or size.
    """
    where = run.file(number, f"n{n}.parquet")
    try:
        pool, metadata = Population.read(where)
    except PipelineError as error:
        raise RunError(str(error)) from error
    expected = _metadata(run, problem)
    if metadata != expected or pool.n != n or pool.m != problem.ground(n).m:
        raise RunError(
            f"{where} belongs to another run ({metadata.get('problem')}, n={pool.n}); restore "
            "the file of this run"
        )
    return pool


def verify_run(run: Run, problem: Problem) -> Iterator[tuple[int, int, int]]:
    """Check every construction of the last round anew; yield (n, how many, best score).

    Raises:
        VerificationError: a construction is invalid (with its witness), or has another score.
        RunError: a file is damaged.
    """
    number = run.last_round()
    run.check_round(number)
    for n in run.sizes(number):
        pool = load_pool(run, problem, number, n)
        where = run.folder(number) / f"n{n}.parquet"
        check_population(problem, pool, str(where))
        yield n, len(pool), int(pool.score.max(initial=0))


def check_population(problem: Problem, pool: Population, where: str) -> None:
    """Check constructions from their raw cells.

    Raises:
        VerificationError: names the first that is invalid, with its witness, or that has
            another score than the stored one.
    """
    valid = problem.validate(pool.cells, pool.n)
    for i in np.flatnonzero(~valid)[:1]:
        found = Construction(problem, pool.n, pool.points(int(i)), f"{where}, row {i}")
        raise VerificationError(f"{found.where}: not valid; witness {found.witness()}")
    score = np.asarray(problem.score(pool.cells, pool.n))
    for i in np.flatnonzero(score != pool.score)[:1]:
        raise VerificationError(
            f"{where}, row {i}: the stored score is {pool.score[i]}, its points have {score[i]}"
        )


def best_of(run: Run, problem: Problem, n: int | None = None) -> dict[str, Any]:
    """Return the best construction of a run as JSON, verified anew, with where it came from.

    Raises:
        RunError: no finished round, or none of that size.
        VerificationError: it is not what it claims.
    """
    number = run.last_round()
    size = run.config.n if n is None else n
    if size not in run.sizes(number):
        there = ", ".join(str(k) for k in run.sizes(number))
        raise RunError(f"{run.path} has no constructions of size {size}; it has {there}")
    pool = load_pool(run, problem, number, size)
    if not len(pool):
        raise RunError(f"{run.path} has found no construction of size {size} yet")
    top = pool.take(np.array([pool.best()]))
    check_population(problem, top, str(run.folder(number) / f"n{size}.parquet"))
    return _described(problem, run.config, top)


def _described(problem: Problem, config: Config, top: Population) -> dict[str, Any]:
    known = problem.known(top.n)
    return as_json(problem, config.problem, top.n, top.cells[0]) | {
        "round": int(top.round[0]),
        "origin": ORIGINS[int(top.origin[0])],
        "best_known": None if known is None else known.value,
        "best_known_source": None if known is None else known.source,
        "best_known_proved": None if known is None else known.proved,
    }


def import_starts(problem: Problem, path: Path) -> dict[int, Population]:
    """Read constructions to start from.

    Raises:
        PipelineError: the file is malformed, or of another problem or convention.
        VerificationError: a construction is not valid.
    """
    parts: dict[int, list[np.ndarray]] = {}
    for found in read_constructions(path):
        same = type(found.problem).__name__ == type(problem).__name__
        if not same or found.problem.convention != problem.convention:
            raise PipelineError(
                f"{found.where}: of {found.problem.name} ({found.problem.convention}), the run is "
                f"of {problem.name} ({problem.convention})"
            )
        witness = found.witness()
        if witness is not None:
            raise VerificationError(f"{found.where}: not valid; witness {witness}")
        parts.setdefault(found.n, []).append(found.cells)
    starts = {}
    for n, rows in parts.items():
        cells = np.concatenate(rows)
        starts[n] = Population.build(
            n, problem.ground(n).m, cells, problem.score(cells, n), origin="import"
        )
    return starts


def _starts(run: Run, problem: Problem, config: Config) -> dict[int, Population]:
    found = [p for p in run.path.glob("start.*") if p.suffix in (".json", ".parquet")]
    starts = import_starts(problem, found[0]) if found else {}
    extra = sorted(set(starts) - set(config.sizes))
    if extra:
        raise UsageError(
            f"--start has constructions of size {extra[0]}, which is not among the sizes "
            f"{', '.join(map(str, config.sizes))}; add it with --sizes"
        )
    return starts


def _metadata(run: Run, problem: Problem) -> dict[str, str]:
    return {
        "problem": run.config.problem,
        "convention": problem.convention,
        "config": run.config.identity,
    }


def _write_round(run: Run, problem: Problem, state: State, folder: Path) -> None:
    """Write all that a round's folder holds, none of it dependent on the clock."""
    metadata = _metadata(run, problem)
    for n, pool in state.pools.items():
        pool.write(folder / f"n{n}.parquet", metadata)
    if state.samples is not None:
        state.samples.write(folder / "samples.parquet", metadata)
    if state.model is not None and state.optimizer is not None:
        save_model(folder / "model.safetensors", state.model)
        save_optimizer(folder / "optimizer.safetensors", state.optimizer)
    memory = {
        "seed": run.config.seed,
        "round": state.round,
        "streams": "numpy SeedSequence(seed, spawn_key=(round, stage, shard))",
        "temperature": state.temperature,
    }
    for name, data in (("rng.json", memory), ("stats.json", state.stats)):
        (folder / name).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _best(problem: Problem, config: Config, state: State) -> Mapping[str, bytes]:
    files: dict[str, bytes] = {}
    for n, pool in state.pools.items():
        if len(pool):
            top = pool.take(np.array([pool.best()]))
            files[f"n{n}.json"] = (json.dumps(_described(problem, config, top)) + "\n").encode()
            drawing = board_svg(problem.ground(n).coords, top.points(0))
            if drawing is not None:
                files[f"n{n}.svg"] = drawing.encode()
    return files

"""A session with a run: load its last round, play rounds until the budget is used, commit each."""

import contextlib
import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import Config
from pipeline.core import jit
from pipeline.core.bitset import unpack
from pipeline.core.population import Population
from pipeline.core.symmetry import find_class
from pipeline.core.untrusted import read_json
from pipeline.errors import PipelineError, UsageError
from pipeline.executors.local import Executor, Serial
from pipeline.footprint import check_memory
from pipeline.problem import Problem
from pipeline.report.board import board_svg
from pipeline.rounds import Rounds
from pipeline.search.space import make_space
from pipeline.stopping import Clock
from pipeline.storage import inputs
from pipeline.storage.construction_files import Named, read_constructions
from pipeline.storage.manifest import MODEL_FILES
from pipeline.storage.pruning import prune
from pipeline.storage.round_files import described, load_pool, metadata_of
from pipeline.storage.run import SMALLER, Run
from pipeline.workshop import Report, State, Workshop


def play(
    run: Run, problem: Problem, executor: Executor, report: Report, spent: float = 0.0
) -> State:
    """Play rounds of a locked run until its budget is used; return the last state.

    How the session ended and how long it took is noted in the run, unless it is killed.

    Args:
        report: called as ``report(event, **particulars)``; what it raises ends the session
            without the round in progress, which a later session plays again with the same result.
        spent: seconds of the limit of time that have gone already.

    Raises:
        RunError: the last round is damaged.
        PipelineError: whatever stops a round (a full disk, a hook the validator contradicts).
    """
    began = time.monotonic()
    ended = "stopped"
    try:
        state = _play(run, problem, executor, report, spent)
        ended = "done"
    finally:
        with contextlib.suppress(PipelineError):  # a full disk, which has been told of
            run.end_session(ended, time.monotonic() - began)
    return state


def _play(run: Run, problem: Problem, executor: Executor, report: Report, spent: float) -> State:
    config = run.config
    began, compiled = time.monotonic() - spent, jit.kept_files()
    clock = Clock(config.budget.time, config.budget.cpu)
    given = inputs.arrays(inputs.stored_files(config, run.path))
    timed = _Timed(report, clock, config)
    player = _player(problem, config, executor, timed.report, clock, given)
    state = load_state(run, player)
    if state is not None:
        run.write_best(_best(problem, config, state))  # in case a kill came between the two
        _prune(run, state)
    if not _finished(config, state, clock, 0.0):
        player.prepare()
    # A limit counts what loading takes, but not compiling, which happens once on a machine.
    fresh = jit.kept_files() > compiled
    clock.start(0.0 if fresh else time.monotonic() - began)
    longest = 0.0
    while not _finished(config, state, clock, longest):
        number = 0 if state is None else state.round + 1
        report("round", number=number, rounds=config.budget.rounds)
        start = time.monotonic()
        starts = _starts(run, player) if state is None else {}
        try:
            with timed.limited(state is not None):
                state = player.seed(starts) if state is None else player.next(state)
        except _TimeUp as reason:
            report("note", text=f"round {number} is left out: {reason}")
            break
        if clock.cut_short:
            run.not_reproducible(f"round {state.round} was cut short by the clock")
        run.commit(state.round, partial(_write_round, run, problem, state))
        run.write_best(_best(problem, config, state))
        _prune(run, state)
        took = time.monotonic() - start
        longest = max(longest, took) if state.round else 0.0
        report("committed", stats=state.stats, seconds=round(took, 3))
        report("cpu", cpu=clock.cpu())
    assert state is not None
    return state


def check(problem: Problem, config: Config, given: Mapping[str, np.ndarray]) -> None:
    """Find what no run of this configuration could get past, before there is a run.

    Args:
        given: what the files hold that the configuration names, by those names.

    Raises:
        UsageError: a size, symmetry class, kind of tokens, shape, device, field or mask that
            cannot be had.
    """
    check_memory(problem, config)
    player = _player(problem, config, Serial(), lambda *_, **__: None, Clock(), given)
    if config.seeding.method == "portfolio" or config.search.batches:
        player.arms(config.n, player.fields(config.n, {}))
    if config.seeding.symmetry:
        player.seed_classes(config.n)
    if config.proposer != "none":
        cls = find_class(player.grounds[config.n], config.model.symmetry or "trivial")
        make_space(problem, config.n, cls, player.mask)
    if config.proposer == "model":
        from pipeline.loop import Loop

        assert isinstance(player, Loop)
        player.writer.check()


def settled(config: Config) -> Config:
    """Return the configuration with the precision that "auto" comes to on this machine.

    So that a run goes on in the same one elsewhere; without a model there is nothing to settle.
    """
    compute = config.compute
    if config.proposer != "model" or compute.precision != "auto":
        return config
    from pipeline.model.device import pick_device, settled_precision

    precision = settled_precision(pick_device(compute.device), config.model.width)
    return replace(config, compute=replace(compute, precision=precision))


def _prune(run: Run, state: State) -> None:
    """Delete the models that are not to be kept; what cannot be deleted waits for a later round."""
    if state.model is not None:
        with contextlib.suppress(OSError):
            prune(run, run.config.store.keep_models)


def _player(
    problem: Problem,
    config: Config,
    executor: Executor,
    report: Report,
    clock: Clock,
    given: Mapping[str, np.ndarray],
) -> Rounds:
    """Return who plays the rounds; where no model is wanted, no torch is loaded."""
    if config.proposer != "model":
        return Rounds(problem, config, executor, report, clock, given)
    from pipeline.loop import Loop

    return Loop(problem, config, executor, report, clock, given)


class _TimeUp(Exception):
    """A round cannot end in time; its text says why."""


class _Timed:
    """Reports what happens, and ends a round with a model that would overrun the limit of time.

    Such a round is worth nothing unless it is finished; a search that is cut short keeps what it
    has found.
    """

    def __init__(self, report: Report, clock: Clock, config: Config) -> None:
        self._report, self._clock = report, clock
        self._counts = bool(config.budget.time) and config.proposer != "none"
        self._limited = False
        self._stage, self._total, self._began = "", 0, 0.0

    @contextlib.contextmanager
    def limited(self, limited: bool) -> Iterator[None]:
        """Watch the time while a round is played."""
        self._limited = limited and self._counts
        try:
            yield
            if self._limited and self._clock.cut_short:
                raise _TimeUp("its search did not end in time")
        finally:
            self._limited = False

    def report(self, event: str, **particulars: Any) -> None:
        """Pass an event on.

        Raises:
            _TimeUp: the time is over, or the stage under way would need more than is left.
        """
        self._report(event, **particulars)
        if not self._limited:
            return
        now, left = time.monotonic(), self._clock.left()
        if event == "stage":
            self._stage, self._total, self._began = particulars["name"], particulars["total"], now
        done = particulars.get("done", 0) if event == "progress" else 0
        spent = now - self._began
        told = done >= _ENOUGH and spent > 1  # before that an estimate is worth nothing
        need = spent / done * (self._total - done) if told else 0.0
        if left < 0:
            raise _TimeUp("the time is up")
        if need > left:
            raise _TimeUp(f"{self._stage} would take {need:.0f} s more, {left:.0f} are left")


# Steps after which the time of those to come is estimated.
_ENOUGH = 20


def _finished(config: Config, state: State | None, clock: Clock, longest: float) -> bool:
    """Tell whether the budget is used, or the next round would overrun it."""
    if state is None:
        return False
    budget = config.budget
    if budget.target and state.best(config.n) >= budget.target:
        return True
    # A search that is cut short keeps what it has; a round of the model would be lost.
    ahead = 0.0 if config.proposer == "none" else longest
    if clock.left() < ahead:
        return True
    if budget.cpu and clock.cpu() > budget.cpu:
        return True
    return state.round >= budget.rounds


def load_state(run: Run, player: Workshop) -> State | None:
    """Return the state after the last committed round, None when there is none.

    Raises:
        RunError: a file of that round is damaged, or does not fit the run.
    """
    rounds = run.rounds()
    if not rounds:
        return None
    number = rounds[-1]
    if run.is_pruned(number):
        run.file(number, MODEL_FILES[0])  # says what to do
    run.check_round(number)
    config = run.config
    pools = {n: load_pool(run, player.problem, number, n) for n in config.sizes}
    stats, (temperature, imported) = run.stats(number), _memory(run, number)
    if not (run.folder(number) / "model.safetensors").is_file():
        return State(number, pools, temperature, stats=stats, imported=imported)
    from pipeline.loop import Loop
    from pipeline.model.checkpoint import load_optimizer

    assert isinstance(player, Loop)
    model = player.writer.load(run.file(number, "model.safetensors"))
    optimizer = load_optimizer(run.file(number, "optimizer.safetensors"))
    return State(number, pools, temperature, model, optimizer, stats=stats, imported=imported)


def _memory(run: Run, number: int) -> tuple[float, bool]:
    """Return what a round left to the next: the temperature of samples, the descent of what learns.

    Rounds of older releases do not say the latter; then what was given may have been learnt from.
    """
    path = run.file(number, "rng.json")
    try:
        memory = read_json(path)
    except PipelineError as error:
        raise run.damaged(path, number) from error
    memory = memory if isinstance(memory, dict) else {}
    found, imported = memory.get("temperature"), memory.get("imported", run.start() is not None)
    if type(found) is not float or not 0 < found < math.inf or type(imported) is not bool:
        raise run.damaged(path, number)
    return found, imported


def import_starts(
    problem: Problem, path: Path, spec: str = "", n: int | None = None
) -> dict[int, Population]:
    """Read constructions to start from; the run's own problem validates and scores them.

    Args:
        spec: what names the problem; empty for its name.
        n: the size of those that do not say theirs.

    Raises:
        PipelineError: the file is malformed, or of another problem or convention.
        VerificationError: a construction is not valid.
    """
    parts: dict[int, list[np.ndarray]] = {}
    for found in read_constructions(path, Named(problem, spec or problem.name), n):
        if found.problem.convention != problem.convention:
            raise PipelineError(
                f"{found.where}: of {found.problem.name} ({found.problem.convention}), the run is "
                f"of {problem.name} ({problem.convention})"
            )
        found.check()
        parts.setdefault(found.n, []).append(found.cells)
    starts = {}
    for size, rows in parts.items():
        cells = np.concatenate(rows)
        m = problem.ground(size).m
        score = problem.score(cells, size)
        starts[size] = Population.build(size, m, cells, score, origin="import")
    return starts


def _starts(run: Run, player: Workshop) -> dict[int, Population]:
    config = player.config
    given, smaller = run.start(), run.path / SMALLER
    starts = import_starts(player.problem, given, config.problem, config.n) if given else {}
    if smaller.is_file():  # this program's own, which has it in a round of another run
        found = import_starts(player.problem, smaller, config.problem)
        starts = {
            n: Population.build(n, pool.m, pool.cells, pool.score, origin="search")
            for n, pool in found.items()
        }
    if player.mask is not None and config.n in starts:
        outside = unpack(starts[config.n].cells, len(player.mask))[:, ~player.mask]
        if outside.any():
            raise UsageError("--start has a construction that leaves the mask; begin without one")
    extra = sorted(set(starts) - set(config.sizes))
    if extra:
        raise UsageError(
            f"--start has constructions of size {extra[0]}, which is not among the sizes "
            f"{', '.join(map(str, config.sizes))}; add it with --sizes"
        )
    return starts


def _write_round(run: Run, problem: Problem, state: State, folder: Path) -> None:
    """Write all that a round's folder holds, none of it dependent on the clock."""
    metadata = metadata_of(run, problem)
    for n, pool in state.pools.items():
        pool.write(folder / f"n{n}.parquet", metadata)
    if state.samples is not None:
        state.samples.write(folder / "samples.parquet", metadata)
    if state.model is not None and state.optimizer is not None:
        from pipeline.model.checkpoint import save_model, save_optimizer

        save_model(folder / "model.safetensors", state.model)
        save_optimizer(folder / "optimizer.safetensors", state.optimizer)
    memory = {
        "seed": run.config.seed,
        "round": state.round,
        "streams": "numpy SeedSequence(seed, spawn_key=(round, stage, *shard))",
        "temperature": state.temperature,
        "imported": state.imported,
    }
    for name, data in (("rng.json", memory), ("stats.json", state.stats)):
        (folder / name).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _best(problem: Problem, config: Config, state: State) -> Mapping[str, bytes]:
    files: dict[str, bytes] = {}
    for n, pool in state.pools.items():
        if len(pool):
            top = pool.take(np.array([pool.best()]))
            files[f"n{n}.json"] = (json.dumps(described(problem, config, top)) + "\n").encode()
            drawing = board_svg(problem.ground(n).coords, top.points(0))
            if drawing is not None:
                files[f"n{n}.svg"] = drawing.encode()
    return files

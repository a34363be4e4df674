"""A run's folder as the store of the loop: what a round's folder holds, written and read."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core.bitset import unpack
from pipeline.core.population import Population
from pipeline.core.score_stats import checked_arms, checked_sampling
from pipeline.core.untrusted import read_json
from pipeline.errors import PipelineError, RunError, UsageError
from pipeline.problem import Problem
from pipeline.state import Sampling, State
from pipeline.stopping import Clock
from pipeline.storage.construction_files import Named, read_constructions
from pipeline.storage.manifest import GENERATOR
from pipeline.storage.round_files import load_pool, metadata_of
from pipeline.storage.run import SMALLER, Run

if TYPE_CHECKING:
    from pipeline.engine.engine import Engine
    from pipeline.generators.base import Generator

_STATE = "state.json"


class RunStore:
    """Keeps the rounds of a locked run."""

    def __init__(self, run: Run, problem: Problem, clock: Clock | None = None) -> None:
        """Take a run.

        Args:
            clock: a round that it cut short makes the run not reproducible; None for none.
        """
        self.run, self._problem, self._clock = run, problem, clock

    def load(self, engine: "Engine", generator: "Generator") -> State | None:
        """Return the state after the last round, None when there is none.

        Raises:
            RunError: a file of that round is damaged, or does not fit the run.
        """
        run, config = self.run, self.run.config
        rounds = run.rounds()
        if not rounds:
            return None
        number = rounds[-1]
        if run.is_pruned(number):
            raise run.without_model(number)
        run.check_round(number)
        pools = {n: load_pool(run, self._problem, number, n) for n in config.sizes}
        arms, imported, sampling = self._state(number)
        folder = run.folder(number) / GENERATOR
        if folder.is_dir():
            try:
                generator.load(folder)
            except PipelineError as error:
                raise RunError(f"{error}; {run.way_out(number)}") from error
        return State(
            *(self._problem, config.n, config.seed, number, pools, arms, imported, sampling),
            stats=run.stats(number),
        )

    def _state(self, number: int) -> tuple[tuple[Mapping[str, Any], ...], bool, Sampling | None]:
        """Return what a round left to the next, beside its pools."""
        path = self.run.file(number, _STATE)
        try:
            found = read_json(path)
            sampling = found["sampling"]
            if type(found["imported"]) is not bool:
                raise TypeError
            return (
                tuple(checked_arms(found["arms"])),
                found["imported"],
                None if sampling is None else Sampling(**checked_sampling(sampling)),
            )
        except (PipelineError, KeyError, TypeError, ValueError) as error:
            raise self.run.damaged(path, number) from error

    def commit(self, state: State, generator: "Generator") -> None:
        """Write a round into its folder; the rename of the folder is the commit.

        Raises:
            PipelineError: the disk is full or cannot be written.
        """
        if self._clock is not None and self._clock.cut_short:
            self.run.not_reproducible(f"round {state.round} was cut short by the clock")
        elif self.run.config.search.overlap and state.round:
            self.run.not_reproducible("with search.overlap the clock decides how much is searched")
        self.run.commit(state.round, lambda folder: self._write(state, generator, folder))

    def _write(self, state: State, generator: "Generator", folder: Path) -> None:
        """Write all that a round's folder holds, none of it dependent on the clock."""
        metadata = metadata_of(self.run, self._problem)
        for n, pool in state.pools.items():
            pool.write(folder / f"n{n}.parquet", metadata)
        if state.candidates is not None and state.sampling is not None:
            state.candidates.write(folder / "samples.parquet", metadata)
        own = folder / GENERATOR
        own.mkdir()
        generator.save(own)
        if not any(own.iterdir()):
            own.rmdir()
        memory = {
            "seed": state.seed,
            "round": state.round,
            "streams": "numpy SeedSequence(seed, spawn_key=(round, stage, *task))",
            "imported": state.imported,
            "sampling": None if state.sampling is None else asdict(state.sampling),
            "arms": list(state.arms),
        }
        for name, data in ((_STATE, memory), ("stats.json", state.stats)):
            (folder / name).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")

    def starts(self, engine: "Engine") -> dict[int, Population]:
        """Return the constructions that the run was given to start from, by size, verified.

        Raises:
            PipelineError: see `import_starts`.
            UsageError: one leaves the mask, or its size is not among those of the run.
        """
        config, problem = self.run.config, self._problem
        given, smaller = self.run.start(), self.run.path / SMALLER
        starts = import_starts(problem, given, config.problem, config.n) if given else {}
        if smaller.is_file():  # this program's own, which has it in a round of another run
            starts = {
                n: Population.build(n, pool.m, pool.cells, pool.score, origin="search")
                for n, pool in import_starts(problem, smaller, config.problem).items()
            }
        check_starts(starts, config.sizes, engine.runner.mask, config.n)
        return starts


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
        score = problem.evaluate(cells, size)
        m = problem.ground(size).m
        starts[size] = Population.build(size, m, cells, score, origin="import")
    return starts


def check_starts(
    starts: Mapping[int, Population], sizes: tuple[int, ...], mask: np.ndarray | None, n: int
) -> None:
    """See that constructions to start from fit a run.

    Raises:
        UsageError: one leaves the mask, or its size is not among those of the run.
    """
    if mask is not None and n in starts:
        outside = unpack(starts[n].cells, len(mask))[:, ~mask]
        if outside.any():
            raise UsageError("--start has a construction that leaves the mask; begin without one")
    extra = sorted(set(starts) - set(sizes))
    if extra:
        raise UsageError(
            f"--start has constructions of size {extra[0]}, which is not among the sizes "
            f"{', '.join(map(str, sizes))}; add it with --sizes"
        )

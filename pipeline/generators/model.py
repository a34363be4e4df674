"""What generators with a model share: trained on the pools, then asked for samples."""

import json
import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.callbacks import Callbacks
from pipeline.config import Config, as_dict, resolved
from pipeline.core import streams
from pipeline.core.bitset import popcounts
from pipeline.core.ground_set import GroundSet
from pipeline.core.population import Population
from pipeline.core.symmetry import find_whole_class
from pipeline.core.untrusted import read_json
from pipeline.errors import PipelineError, RunError, UsageError
from pipeline.generators.base import Generator
from pipeline.model import checkpoint
from pipeline.model.companions import Companions
from pipeline.model.device import prepare, take_own
from pipeline.model.device_memory import in_halves
from pipeline.model.feedback import FeedbackResult
from pipeline.model.parallel import ALONE, Group, Joined, arrays_of, tensors_of
from pipeline.model.train import TrainResult
from pipeline.plugins import problem_names
from pipeline.problem import Problem
from pipeline.state import State

_MODEL, _OPTIMIZER, _STATE = "model.safetensors", "optimizer.safetensors", "generator.json"
#: What begins the names of arrays that are sent to other processes.
_WEIGHTS, _OPTIMIZERS, _CELLS = "model/", "optimizer/", "cells/"
#: Share of samples that were seen before above which the temperature rises, and below which it
#: falls again; by a tenth a round, to twice the one asked for at most.
_MANY, _FEW, _STEP, _HIGHEST = 0.5, 0.25, 1.1, 2.0


class ModelGenerator(Generator):
    """Trains a model on the best constructions of all sizes, then samples from it.

    With ``compute.gpus`` several processes do both together. One leads: it is asked and told, and
    has the others do the same work on other rows (`gather`, `follow`). Feedback, a few steps, is
    the leader's alone: all others are sent its weights before they train or sample.

    Attributes:
        usual_temperature: where the configuration asks for none.
        group: the processes that train and sample together.
    """

    usual_temperature = 1.0
    group: Group = ALONE
    _companions: Companions | None = None

    def setup(self, problem: Problem, config: Config, callbacks: Callbacks) -> None:
        """Prepare the device and find the symmetry class in every size.

        Raises:
            UsageError: a device, or a symmetry class, that cannot be had.
        """
        super().setup(problem, config, callbacks)
        self.grounds: dict[int, GroundSet] = {n: problem.ground(n) for n in config.sizes}
        self._check_symmetry()
        self.device = prepare(config.compute.device, resolved(config).compute.threads)
        if config.compute.gpus > 1:
            take_own(self.device, config.compute.device, config.compute.gpus)
            self._check_shares()
        self.model: Any = None
        self.optimizer: Mapping[str, Any] | None = None
        self.temperature = self._base_temperature
        self._round = 0

    def _check_symmetry(self) -> None:
        name = self.config.symmetry or "trivial"
        find_whole_class(self.grounds[self.config.n], name)
        for n, ground in self.grounds.items():
            try:
                find_whole_class(ground, name)
            except UsageError as error:
                raise UsageError(f"at n={n}: {error}; leave that size out with --sizes") from error

    def _check_shares(self) -> None:
        gpus = self.config.compute.gpus
        for key, rows in (
            ("train.batch", self.config.train.batch),
            ("sample.count", self.config.sample.count),
        ):
            if rows < gpus:
                raise UsageError(f"{key} is {rows}, too few for --gpus {gpus}: give {gpus} or more")

    def gather(self, mask: np.ndarray | None) -> Companions:
        """Call the other processes, which load while this one goes on; it leads from now on.

        Args:
            mask: as for ``make_generator``.

        Raises:
            UsageError: a problem that no other process can load.
        """
        spec = self.problem.plugin or self.problem.name
        if not self.problem.plugin and spec not in problem_names():
            raise UsageError(f"--gpus needs a problem from a file, which {spec} is not")
        told = {"config": as_dict(self.config), "mask": None if mask is None else mask.tolist()}
        named = (spec, self.problem.convention)
        self._companions = Companions(self.config.compute.gpus, named, told)
        return self._companions

    def ask(self, state: State) -> Population:
        """Train on the pools, then sample."""
        if self._companions is not None:
            self.group = self._companions.joined(self.device)
        self._round = state.round + 1
        self.stats = {}
        if state.sampling is not None:
            self.temperature = self._adapted(state.sampling.repeats)
        self._train(state)
        self.callbacks.on_stage("sample", self.config.sample.count)
        longest = max(int(popcounts(pool.cells).max(initial=0)) for pool in state.pools.values())
        with self.group.order(self._what("sample", longest=longest), self._learned()):
            cells, well_formed = self._sampled(longest)
        self.malformed = int((~well_formed).sum())
        self.stats["temperature"] = self.temperature
        m = self.grounds[state.n].m
        return Population.build(state.n, m, cells[well_formed], 0, imported=state.imported)

    def _train(self, state: State) -> None:
        """Train the last model on, or a new one."""
        readable = {
            n: pool.take(np.flatnonzero(self.readable(pool.cells, n)))
            for n, pool in state.pools.items()
        }
        sizes = self.config.train.sizes or self.config.sizes
        shown = {n: pool for n, pool in readable.items() if n in sizes and len(pool)}
        if not shown:
            raise PipelineError(
                f"no construction can be written {self.manner}; seed with it (seeding.symmetry)"
            )
        if self.model is None or self.config.train.from_scratch:
            self.model, self.optimizer = self.new(), None
        self.callbacks.on_stage("train", self.config.train.steps)
        given = {n: pool.cells for n, pool in shown.items()}
        cells = {f"{_CELLS}{n}": packed for n, packed in given.items()}
        with self.group.order(self._what("train"), {**self._learned(), **cells}):
            result = self.train(given)
        self.optimizer = result.optimizer_state
        self.callbacks.on_metrics(
            tokens_per_second=round(result.tokens_per_second),
            utilisation=round(result.utilisation, 3),
        )
        self.stats = {
            "train": {
                "steps": result.steps,
                "loss": result.train_loss,
                "holdout_loss": result.holdout_loss,
                "stopped_early": result.stopped_early,
                "curve": result.curve,
                "shown": {str(n): len(pool) for n, pool in shown.items()},
            }
        }

    def _sampled(self, longest: int) -> tuple[np.ndarray, np.ndarray]:
        """Sample this process's share, and return that of all; see `sample`."""
        rows = range(*self.group.share(self.config.sample.count))
        cells, well_formed = in_halves(
            lambda batch: self.sample(longest, batch, rows),
            self.config.sample.batch,
            self.callbacks.on_note,
            self.group,
        )
        whole = self.config.sample.count
        return self.group.gathered(cells, whole), self.group.gathered(well_formed, whole)

    def _what(self, what: str, **more: int) -> dict[str, Any]:
        return {"what": what, "round": self._round, "temperature": self.temperature, **more}

    def _learned(self) -> dict[str, np.ndarray]:
        """Return the model and the state of its optimiser, for other processes if there are any."""
        if self.group.size == 1:
            return {}
        optimizer = arrays_of(self.optimizer or {}, _OPTIMIZERS)
        return {**arrays_of(self.model.state_dict(), _WEIGHTS), **optimizer}

    def follow(self, group: Joined) -> None:
        """Do what the process that leads has all do, until it has no more.

        Raises:
            Lost: it has ended.
        """
        self.group = group
        while True:
            what, arrays = group.receive()
            if what["what"] == "over":
                return
            self._round, self.temperature = what["round"], what["temperature"]
            self.model = self.new() if self.model is None else self.model
            self.model.load_state_dict(tensors_of(arrays, _WEIGHTS))
            self.optimizer = tensors_of(arrays, _OPTIMIZERS) or None
            if what["what"] == "sample":
                self._sampled(what["longest"])
            else:
                cells = {k: array for k, array in arrays.items() if k.startswith(_CELLS)}
                self.train({int(k.removeprefix(_CELLS)): array for k, array in cells.items()})
            group.done()

    def tell(self, candidates: Population, improved: Population) -> None:
        """Tune the model by the scores that its samples came to."""
        config = self.config.feedback
        if config.kind == "none":
            return
        reached = dict(zip(improved.parent.tolist(), improved.score.tolist(), strict=True))
        known = np.array([i in reached for i in candidates.ids().tolist()], dtype=bool)
        shown = candidates.take(np.flatnonzero(known))
        shown = shown.take(np.flatnonzero(self.readable(shown.cells, shown.n)))
        if not len(shown):
            return
        self.callbacks.on_stage("feedback", config.steps)
        scores = np.array([reached[i] for i in shown.ids().tolist()])
        self.stats = {**self.stats, "feedback": asdict(self.feedback(shown.cells, scores))}

    @property
    def _base_temperature(self) -> float:
        return self.config.sample.temperature or self.usual_temperature

    def _adapted(self, repeats: float) -> float:
        """Return the next temperature: higher while most samples were seen before, then back."""
        base = self._base_temperature
        if not self.config.sample.adapt_temperature:
            return base
        if repeats > _MANY:
            return min(self.temperature * _STEP, _HIGHEST * base)
        return max(self.temperature / _STEP, base) if repeats < _FEW else self.temperature

    def save(self, folder: Path) -> None:
        """Write the model, the state of its optimiser and the temperature."""
        if self.model is not None and self.optimizer is not None:
            checkpoint.save_model(folder / _MODEL, self.model)
            checkpoint.save_optimizer(folder / _OPTIMIZER, self.optimizer)
        text = json.dumps({"temperature": self.temperature}, indent=1)
        (folder / _STATE).write_text(text + "\n", encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Read them.

        Raises:
            RunError: a file is damaged, or of another model.
        """
        found = read_json(folder / _STATE)
        temperature = found.get("temperature") if isinstance(found, dict) else None
        if type(temperature) is not float or not 0 < temperature < math.inf:
            raise RunError(f"{folder / _STATE} is damaged: it has no temperature")
        self.temperature = temperature
        if (folder / _MODEL).is_file():
            self.model = self.read(folder / _MODEL)
            self.optimizer = checkpoint.load_optimizer(folder / _OPTIMIZER)

    def seed(self, stage: str) -> int:
        """Return the rng seed of a stage of this round."""
        return streams.integer(self.config.seed, self._round, stage)

    def stepped(self, step: int, steps: int, loss: float) -> None:
        """Tell the progress of a training."""
        self.callbacks.on_progress(step, loss=loss)

    def sampled(self, done: int, total: int) -> None:
        """Tell the progress of sampling, that of other processes being like this one's."""
        self.callbacks.on_progress(min(done * self.group.size, self.config.sample.count))

    # --------------------------------------------------------- what a kind of model must have

    @property
    @abstractmethod
    def manner(self) -> str:
        """How it writes, to end the sentence "no construction can be written ..."."""

    @abstractmethod
    def readable(self, cells: np.ndarray, n: int) -> np.ndarray:
        """Return bool ``(B,)``: which packed cells ``(B, bytes)`` of size n it can learn from."""

    @abstractmethod
    def new(self) -> Any:
        """Return an untrained model for this round, the same for the same rng seed."""

    @abstractmethod
    def train(self, shown: Mapping[int, np.ndarray]) -> TrainResult:
        """Train the model in place on packed cells by size, all readable."""

    @abstractmethod
    def sample(self, longest: int, batch: int, rows: range) -> tuple[np.ndarray, np.ndarray]:
        """Sample constructions of size n, ``batch`` at a time.

        Args:
            longest: the most elements of any construction in the pools.
            rows: which of the round's samples, counted from 0.

        Returns:
            (packed cells ``(len(rows), bytes)``, violations allowed; which are well-formed
            ``(len(rows),)``).
        """

    @abstractmethod
    def feedback(self, cells: np.ndarray, scores: np.ndarray) -> FeedbackResult:
        """Tune the model by what its constructions of size n, packed and readable, came to."""

    @abstractmethod
    def read(self, path: Path) -> Any:
        """Read a model of this run from a file.

        Raises:
            RunError: it is damaged, no model, or of another shape.
        """

"""The vision transformer, which fills a board of orbits one choice after another."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from pipeline.callbacks import Callbacks
from pipeline.config import Config
from pipeline.generators.orbit_filler import OrbitFiller
from pipeline.model import checkpoint, masked_decoding
from pipeline.model.attention_bias import among
from pipeline.model.train import TrainResult
from pipeline.model.vision import View, Vision, VisionConfig, view
from pipeline.problem import Problem


class VisionGenerator(OrbitFiller):
    """A vision transformer on the orbits of a symmetry class."""

    model: Vision

    def setup(self, problem: Problem, config: Config, callbacks: Callbacks) -> None:
        """Lay out the orbit grids of the run, and find the model's shape.

        Raises:
            UsageError: a symmetry class, shape or device that cannot be had.
        """
        super().setup(problem, config, callbacks)
        self._shape()

    def readable(self, cells: np.ndarray, n: int) -> np.ndarray:
        return self.boards[n].readable(cells)

    def new(self) -> Vision:
        return Vision(self._shape(), seed=self.seed("initialise")).to(self.device)

    def train(self, shown: Mapping[int, np.ndarray]) -> TrainResult:
        return masked_decoding.train(
            self.model,
            self.boards,
            self.seen,
            shown,
            self.config.train,
            counts=self.config.sample.masked,
            seed=self.seed("train"),
            precision=self.config.compute.precision,
            optimizer_state=self.optimizer,
            group=self.group,
            progress=self.stepped,
            note=self.callbacks.on_note,
        )

    def sample(self, longest: int, batch: int, rows: range) -> tuple[np.ndarray, np.ndarray]:
        config, n = self.config.sample, self.config.n
        members = masked_decoding.fill(
            self.model,
            self.boards[n],
            self.seen,
            list(self.boards).index(n),
            len(rows),
            counts=config.masked,
            temperature=self.temperature,
            top_p=config.top_p,
            seed=self.seed("sample"),
            batch=batch,
            first=rows.start,
            precision=self.config.compute.precision,
            progress=self.sampled,
        )
        return self.boards[n].cells(members), np.ones(len(members), np.bool_)

    def read(self, path: Path) -> Vision:
        return checkpoint.load_vision(path, self._shape(), self.device)

    @cached_property
    def seen(self) -> View:
        """How the model sees the orbit grids, in their order."""
        coords = [board.places for board in self.boards.values()]
        related = among(coords, self._shape().attention_bias)
        places = [(board.fractions, board.places) for board in self.boards.values()]
        return view(places, related, self.device)

    def _shape(self) -> VisionConfig:
        model = self.config.model
        return VisionConfig(
            dimensions=self.boards[self.config.n].places.shape[1],
            layers=model.layers,
            heads=model.heads,
            width=model.width,
            attention_bias=model.attention_bias,
        )

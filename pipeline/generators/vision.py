"""The vision transformer, which fills a board of orbits one choice after another."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from pipeline.callbacks import Callbacks
from pipeline.config import Config
from pipeline.core.population import Population
from pipeline.engine.orbit_grid import OrbitGrid
from pipeline.errors import UsageError
from pipeline.generators.model import ModelGenerator
from pipeline.model import checkpoint, masked_decoding
from pipeline.model.attention_bias import among
from pipeline.model.feedback import FeedbackResult
from pipeline.model.train import TrainResult
from pipeline.model.vision import View, Vision, VisionConfig, view
from pipeline.problem import Problem


class VisionGenerator(ModelGenerator):
    """A vision transformer on the orbits of a symmetry class.

    Args:
        mask: bool ``(m,)``, the elements that may be used at size n; None for all.
    """

    model: Vision

    def __init__(self, mask: np.ndarray | None = None) -> None:
        self._mask = mask

    def setup(self, problem: Problem, config: Config, callbacks: Callbacks) -> None:
        """Lay out the orbit grids of the run.

        Raises:
            UsageError: a symmetry class that no construction can have, a shape or a device.
        """
        super().setup(problem, config, callbacks)
        if config.feedback.kind != "none":
            raise UsageError("feedback needs the generator 'gpt'; set feedback.kind to 'none'")
        symmetry = config.symmetry or "trivial"
        self.boards = {
            n: OrbitGrid(problem, n, symmetry, self._mask if n == config.n else None)
            for n in self.grounds
        }
        self._shape()

    @property
    def manner(self) -> str:
        return f"as orbits of the symmetry {self.config.symmetry or 'trivial'!r}"

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
            progress=self.stepped,
        )

    def sample(self, pools: Mapping[int, Population]) -> tuple[np.ndarray, np.ndarray]:
        config, n = self.config.sample, self.config.n
        members = masked_decoding.fill(
            self.model,
            self.boards[n],
            self.seen,
            list(self.boards).index(n),
            config.count,
            counts=config.masked,
            temperature=self.temperature,
            top_p=config.top_p,
            seed=self.seed("sample"),
            batch=config.batch,
            precision=self.config.compute.precision,
            progress=self.sampled,
        )
        return self.boards[n].cells(members), np.ones(len(members), np.bool_)

    def feedback(self, cells: np.ndarray, scores: np.ndarray) -> FeedbackResult:
        raise UsageError("feedback needs the generator 'gpt'")

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

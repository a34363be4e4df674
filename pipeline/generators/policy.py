"""The policy on features, which fills sets one choice after another."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline.callbacks import Callbacks
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.generators.orbit_filler import OrbitFiller
from pipeline.model import checkpoint, policy
from pipeline.model.policy import Policy, PolicyConfig
from pipeline.model.train import TrainResult
from pipeline.problem import Problem


class PolicyGenerator(OrbitFiller):
    """A policy on features of the orbits of a symmetry class.

    It learns from the whole orbits of a construction, whatever else that holds.
    """

    model: Policy
    usual_temperature = 0.25
    on_tables = True

    def setup(self, problem: Problem, config: Config, callbacks: Callbacks) -> None:
        """Lay out the orbit grids of the run, and find the model's shape.

        Raises:
            UsageError: a symmetry class, shape or device that cannot be had, or invalid samples.
        """
        super().setup(problem, config, callbacks)
        if not config.sample.masked:
            raise UsageError(
                "the policy knows only what violates nothing; leave sample.masked at true"
            )
        self._shape()

    def readable(self, cells: np.ndarray, n: int) -> np.ndarray:
        return np.asarray(self.boards[n].cores(cells).any(axis=1))

    def new(self) -> Policy:
        return Policy(self._shape(), seed=self.seed("initialise")).to(self.device)

    def train(self, shown: Mapping[int, np.ndarray]) -> TrainResult:
        return policy.train(
            self.model,
            self.boards,
            {n: self.boards[n].cores(cells) for n, cells in shown.items()},
            self.config.train,
            seed=self.seed("train"),
            optimizer_state=self.optimizer,
            group=self.group,
            progress=self.stepped,
            note=self.callbacks.on_note,
        )

    def sample(self, longest: int, batch: int, rows: range) -> tuple[np.ndarray, np.ndarray]:
        config, board = self.config.sample, self.boards[self.config.n]
        members = policy.fill(
            self.model,
            board,
            len(rows),
            temperature=self.temperature,
            top_p=config.top_p,
            seed=self.seed("sample"),
            batch=batch,
            first=rows.start,
            progress=self.sampled,
        )
        return board.cells(members), np.ones(len(members), np.bool_)

    def read(self, path: Path) -> Policy:
        return checkpoint.load_policy(path, self._shape(), self.device)

    def _shape(self) -> PolicyConfig:
        model, board = self.config.model, self.boards[self.config.n]
        return PolicyConfig(board.feature_count, model.layers, model.width)

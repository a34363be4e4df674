"""The policy on features, which fills sets one choice after another."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline.callbacks import Callbacks
from pipeline.config import Config
from pipeline.core.population import Population
from pipeline.engine.orbit_grid import OrbitGrid
from pipeline.errors import UsageError
from pipeline.generators.model import ModelGenerator
from pipeline.model import checkpoint, policy
from pipeline.model.feedback import FeedbackResult
from pipeline.model.policy import Policy, PolicyConfig
from pipeline.model.train import TrainResult
from pipeline.problem import Problem


class PolicyGenerator(ModelGenerator):
    """A policy on features of the orbits of a symmetry class.

    It learns from the whole orbits of a construction, whatever else that holds.

    Args:
        mask: bool ``(m,)``, the elements that may be used at size n; None for all.
    """

    model: Policy
    usual_temperature = 0.25

    def __init__(self, mask: np.ndarray | None = None) -> None:
        self._mask = mask

    def setup(self, problem: Problem, config: Config, callbacks: Callbacks) -> None:
        """Lay out the orbit grids of the run.

        Raises:
            UsageError: a symmetry class that no construction can have, a shape or a device.
        """
        super().setup(problem, config, callbacks)
        symmetry, table_bytes = config.symmetry or "trivial", config.search.table_bytes
        self.boards = {
            n: OrbitGrid(problem, n, symmetry, self._mask if n == config.n else None, table_bytes)
            for n in self.grounds
        }
        self._shape()

    @property
    def manner(self) -> str:
        return f"as orbits of the symmetry {self.config.symmetry or 'trivial'!r}"

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
            progress=self.stepped,
        )

    def sample(self, pools: Mapping[int, Population]) -> tuple[np.ndarray, np.ndarray]:
        config, board = self.config.sample, self.boards[self.config.n]
        members = policy.fill(
            self.model,
            board,
            config.count,
            temperature=self.temperature,
            top_p=config.top_p,
            seed=self.seed("sample"),
            batch=config.batch,
            progress=self.sampled,
        )
        return board.cells(members), np.ones(len(members), np.bool_)

    def feedback(self, cells: np.ndarray, scores: np.ndarray) -> FeedbackResult:
        raise UsageError("feedback needs the generator 'gpt'")

    def read(self, path: Path) -> Policy:
        return checkpoint.load_policy(path, self._shape(), self.device)

    def _shape(self) -> PolicyConfig:
        model, board = self.config.model, self.boards[self.config.n]
        return PolicyConfig(board.told, model.layers, model.width)

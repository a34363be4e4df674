"""What generators share whose model fills a grid of orbits, one choice after another."""

import numpy as np

from pipeline.callbacks import Callbacks
from pipeline.config import Config
from pipeline.engine.orbit_grid import OrbitGrid
from pipeline.errors import UsageError
from pipeline.generators.model import ModelGenerator
from pipeline.model.feedback import FeedbackResult
from pipeline.problem import Problem

_NO_FEEDBACK = "feedback needs the generator 'gpt'; set feedback.kind to 'none'"


class OrbitFiller(ModelGenerator):
    """A model on the orbits of a symmetry class, size by size in ``boards``.

    Args:
        mask: bool ``(m,)``, the elements that may be used at size n; None for all.

    Attributes:
        on_tables: whether its sets grow on pair tables, where these fit.
    """

    on_tables = False

    def __init__(self, mask: np.ndarray | None = None) -> None:
        self._mask = mask

    def setup(self, problem: Problem, config: Config, callbacks: Callbacks) -> None:
        """Lay out the orbit grids of the run.

        Raises:
            UsageError: a symmetry class that no construction can have, or a device.
        """
        super().setup(problem, config, callbacks)
        if config.feedback.kind != "none":
            raise UsageError(_NO_FEEDBACK)
        symmetry = config.symmetry or "trivial"
        room = config.search.table_bytes if self.on_tables else 0
        self.boards = {
            n: OrbitGrid(problem, n, symmetry, self._mask if n == config.n else None, room)
            for n in self.grounds
        }

    @property
    def manner(self) -> str:
        return f"as orbits of the symmetry {self.config.symmetry or 'trivial'!r}"

    def feedback(self, cells: np.ndarray, scores: np.ndarray) -> FeedbackResult:
        raise UsageError(_NO_FEEDBACK)

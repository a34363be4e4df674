"""What a generator is: anything with ``ask`` and ``tell``."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.callbacks import Callbacks
from pipeline.config import Config
from pipeline.core.population import Population
from pipeline.problem import Problem
from pipeline.state import State


class Generator(ABC):
    """Makes the candidates of each round; search repairs and improves them.

    Only ``ask`` must be written. A generator that learns keeps what it has learned in attributes of
    its own and writes them in ``save``; without ``save`` and ``load`` it must make do, after a
    resumed run, with what ``ask`` is given.

    Attributes:
        problem: the problem of the run, from ``setup`` on.
        config: the configuration of the run, from ``setup`` on.
        callbacks: to tell progress: ``on_stage(name, total)``, then ``on_progress(done)``.
        malformed: how many samples of the last ``ask`` encode no construction (beside those it
            returned), for the statistics.
        stats: what the last round adds to its statistics, ready for JSON.
    """

    problem: Problem
    config: Config
    callbacks: Callbacks = Callbacks()
    malformed: int = 0
    stats: Mapping[str, Any] = {}

    def setup(self, problem: Problem, config: Config, callbacks: Callbacks) -> None:
        """Get ready for a run; called once, before the first round. Extend it by ``super``.

        Raises:
            UsageError: what the configuration asks for cannot be had.
        """
        self.problem, self.config, self.callbacks = problem, config, callbacks

    @abstractmethod
    def ask(self, state: State) -> Population | np.ndarray:
        """Return candidates for the next round; violations and duplicates are allowed.

        Args:
            state: after the last round: ``state.pools`` has the best constructions of each size as
                populations (``.bits()`` is bool ``(B, m)``), ``state.rng`` is a random generator
                that makes the run repeatable, ``state.n`` the size, ``state.problem`` the problem.

        Returns:
            bool ``(B, m)``, a row for each candidate and a column for each element of the ground
            set of size n, or a Population.
        """

    def tell(self, candidates: Population, improved: Population) -> None:  # noqa: B027
        """Learn what search made of the candidates; the default learns nothing.

        Args:
            candidates: the distinct ones of the last ``ask``.
            improved: verified constructions; ``improved.parent`` is the id of the candidate that
                each came from (``candidates.ids()``).
        """

    def save(self, folder: Path) -> None:  # noqa: B027
        """Write what has been learned into a folder of this generator's own."""

    def load(self, folder: Path) -> None:  # noqa: B027
        """Read what ``save`` wrote after the last round."""

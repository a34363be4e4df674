"""The files under best/: of each size the best construction, as JSON and drawn; models pruned."""

import contextlib
import json

import numpy as np

from pipeline.callbacks import Callbacks
from pipeline.problem import Problem
from pipeline.report.drawing import drawn_svg
from pipeline.state import State
from pipeline.storage.pruning import prune
from pipeline.storage.round_files import described
from pipeline.storage.run import Run


class BestFiles(Callbacks):
    """Keeps what is made from a run's rounds up to date: best/, and which models stay."""

    def __init__(self, run: Run, problem: Problem) -> None:
        self._run, self._problem = run, problem

    def on_start(self, state: State | None) -> None:
        """Catch up, in case the process was killed between a commit and this."""
        if state is not None:
            self._update(state)

    def on_round(self, state: State, seconds: float, cpu: float) -> None:
        """Write what the round has changed."""
        self._update(state)

    def _update(self, state: State) -> None:
        files: dict[str, bytes] = {}
        for n, pool in state.pools.items():
            if len(pool):
                top = pool.take(np.array([pool.best()]))
                found = described(self._problem, self._run.config, top)
                files[f"n{n}.json"] = (json.dumps(found) + "\n").encode()
                drawing = drawn_svg(self._problem.ground(n), top.points(0))
                if drawing is not None:
                    files[f"n{n}.svg"] = drawing.encode()
        self._run.write_best(files)
        with contextlib.suppress(OSError):  # what cannot be deleted waits for a later round
            prune(self._run, self._run.config.store.keep_models)

"""A run for TensorBoard: scalars, histograms and boards of each committed round.

It is made from the run's own rounds alone, so it can be thrown away and made again, and nothing
that a run promises depends on it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.callbacks import Callbacks
from pipeline.core.score_stats import Distribution
from pipeline.errors import check_installed
from pipeline.problem import Problem
from pipeline.report.board import layout
from pipeline.report.terminal import parts
from pipeline.state import State
from pipeline.storage.round_files import load_pool, read_round
from pipeline.storage.run import Run

FOLDER = "tensorboard"
_PIXELS = 512  # that the longer side of a board may take
_POINT, _PLACE = 32, 225  # shades of grey
_RATES = ("validity", "novelty", "duplicates", "temperature")
_COUNTS = {
    "kept_from_generator": "generator",
    "rediscovered": "rediscovered",
    "kept_from_search": "search",
}
_LOSSES = {"loss": "loss/training", "holdout_loss": "loss/held out"}
_STATISTICS = ("mean", "median", "top20", "max", "invalid", "wrong_format")


class TensorBoard(Callbacks):
    """Writes the rounds of a run to its folder ``tensorboard``, those that are there at once."""

    def __init__(
        self, run: Run, problem: Problem, lost: Callable[[str], None] = lambda _: None
    ) -> None:
        """Begin anew with the rounds committed so far.

        Args:
            lost: told why, when a log that cannot be written is given up; the run goes on.

        Raises:
            PipelineError: tensorboard is missing.
            RunError: a round is damaged.
        """
        check_installed("tensorboard", "--tensorboard", "tensorboard")
        from torch.utils.tensorboard import SummaryWriter

        self._run, self._problem, self._lost = run, problem, lost
        folder = run.path / FOLDER
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        self._writer: Any = SummaryWriter(str(folder))
        for number in run.rounds():
            self.add(number)

    def add(self, number: int) -> None:
        """Write one round."""
        n, log = self._run.config.n, self._writer
        stats, _ = read_round(self._run, self._problem, number, n)
        moment = (self._run.folder(number) / "stats.json").stat().st_mtime
        values = {f"samples/{key}": stats[key] for key in _RATES if key in stats}
        values |= {f"kept/{name}": stats[key] for key, name in _COUNTS.items() if key in stats}
        values |= {name: stats.get("train", {}).get(key) for key, name in _LOSSES.items()}
        for name, part in parts(stats, n):
            values |= {f"scores/{name}/{key}": part[key] for key in _STATISTICS}
            if part["histogram"]:
                tag, at = f"scores/{name}", {"global_step": number, "walltime": moment}
                log.add_histogram_raw(tag, **_bars(part), **at)
        for tag, value in values.items():
            if value is not None:
                log.add_scalar(tag, value, number, moment)
        board = self._board(number)
        if board is not None:
            log.add_image("best", board, number, moment, dataformats="HW")
        log.flush()

    def on_round(self, state: State, seconds: float, cpu: float) -> None:
        """Write a committed round."""
        if self._writer is None:
            return
        try:
            self.add(state.round)
        except OSError as error:
            self._writer = None
            self._lost(str(error))

    def on_end(self, state: State) -> None:
        """Write what is left."""
        self.close()

    def close(self) -> None:
        """Write what is left, and let go of the log."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _board(self, number: int) -> np.ndarray | None:
        """Return a picture of the best after a round, uint8 (height, width); None without any."""
        n = self._run.config.n
        places = layout(self._problem.ground(n).coords)
        pool = load_pool(self._run, self._problem, number, n)
        if places is None or not len(pool):
            return None
        rows, columns = (places.max(axis=0) + 1).tolist()
        shades = np.full((rows, columns), 255, np.uint8)
        shades[places[:, 0], places[:, 1]] = _PLACE
        best = places[pool.points(pool.best())]
        shades[best[:, 0], best[:, 1]] = _POINT
        cell = max(_PIXELS // max(rows, columns), 2)
        shades = shades.repeat(cell, axis=0).repeat(cell, axis=1)
        shades[::cell] = shades[:, ::cell] = 255  # lines between cells
        return shades


def _bars(found: Distribution) -> dict[str, Any]:
    """Return a histogram with a bar for each score, as ``add_histogram_raw`` takes it."""
    bars = sorted((int(score), count) for score, count in found["histogram"].items())
    buckets: dict[float, int] = {}  # counts, by upper end
    for score, count in bars:
        if buckets and score - 0.5 not in buckets:
            buckets[score - 0.5] = 0  # a gap
        buckets[score + 0.5] = count
    return {
        "min": bars[0][0] - 0.5,
        "max": bars[-1][0] + 0.5,
        "num": sum(count for _, count in bars),
        "sum": sum(score * count for score, count in bars),
        "sum_squares": sum(score**2 * count for score, count in bars),
        "bucket_limits": list(buckets),
        "bucket_counts": list(buckets.values()),
    }

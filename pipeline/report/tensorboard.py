"""A run for TensorBoard: scalars, histograms and boards of each committed round.

It is made from the run's own rounds alone, so it can be thrown away and made again, and nothing
that a run promises depends on it.
"""

import importlib
import importlib.util
import io
from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.callbacks import Callbacks
from pipeline.core.score_stats import Distribution
from pipeline.errors import PipelineError
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


def check_tensorboard() -> None:
    """See that TensorBoard is installed.

    Raises:
        PipelineError: it is not.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise PipelineError(
            "--tensorboard needs the package tensorboard; install it with: "
            "pip install 'extremal-pipeline[tensorboard]'"
        )


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
        check_tensorboard()
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._run, self._problem, self._lost = run, problem, lost
        folder = run.path / FOLDER
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        self._writer: Any = EventFileWriter(str(folder))
        for number in run.rounds():
            self.add(number)

    def add(self, number: int) -> None:
        """Write one round."""
        events = _proto("event_pb2")
        n = self._run.config.n
        stats, _ = read_round(self._run, self._problem, number, n)
        moment = (self._run.folder(number) / "stats.json").stat().st_mtime
        made = [s for name, part in parts(stats, n) for s in _of_scores(f"scores/{name}", part)]
        made += [_scalar(f"samples/{key}", stats[key]) for key in _RATES if key in stats]
        made += [_scalar(f"kept/{name}", stats[k]) for k, name in _COUNTS.items() if k in stats]
        made += self._losses(stats)
        drawn = self._board(number)
        made += [] if drawn is None else [drawn]
        for summary in made:
            self._writer.add_event(events.Event(wall_time=moment, step=number, summary=summary))
        self._writer.flush()

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

    def _losses(self, stats: dict[str, Any]) -> list[Any]:
        told = stats.get("train", {})
        names = {"loss": "loss/training", "holdout_loss": "loss/held out"}
        return [
            _scalar(name, told[key]) for key, name in names.items() if told.get(key) is not None
        ]

    def _board(self, number: int) -> Any:
        """Return a picture of the best after a round, None where there is none."""
        from PIL import Image

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
        data = io.BytesIO()
        Image.fromarray(shades).save(data, format="png")
        summary = _proto("summary_pb2").Summary
        image = summary.Image(
            height=shades.shape[0],
            width=shades.shape[1],
            colorspace=1,
            encoded_image_string=data.getvalue(),
        )
        return summary(value=[summary.Value(tag="best", image=image)])


def _of_scores(tag: str, found: Distribution) -> list[Any]:
    """Return the four statistics, the failures, and a histogram with a bar for each score."""
    from tensorboard.plugins.histogram import metadata
    from tensorboard.util import tensor_util

    keys = ("mean", "median", "top20", "max", "invalid", "wrong_format")
    values = {key: found[key] for key in keys}
    made = [_scalar(f"{tag}/{key}", v) for key, v in values.items() if v is not None]
    if found["histogram"]:
        bars = [(int(s) - 0.5, int(s) + 0.5, count) for s, count in found["histogram"].items()]
        tensor = tensor_util.make_tensor_proto(np.array(bars, np.float64), dtype=np.float64)
        about = metadata.create_summary_metadata(display_name=None, description=None)
        summary = _proto("summary_pb2").Summary
        value = summary.Value(tag=tag, metadata=about, tensor=tensor)
        made.append(summary(value=[value]))
    return made


def _proto(name: str) -> Any:
    """Return a module of protocol buffers, whose classes no type checker can see."""
    return importlib.import_module(f"tensorboard.compat.proto.{name}")


def _scalar(tag: str, value: float) -> Any:
    from tensorboard.plugins.scalar import summary_v2

    return summary_v2.scalar_pb(tag, float(value))

"""Where a training of the lab stands between two steps, in one file from which it goes on."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.errors import RunError
from pipeline.model.checkpoint import load_training, save_training
from pipeline.storage import files

_TENSORS = ("weights", "moments")
_FIX = "delete it, and `pipeline lab resume` begins anew"


@dataclass(frozen=True)
class State:
    """All that the steps to come depend on, and what was noted on the way.

    Attributes:
        step: the steps that were taken.
        drawn: the strings that were drawn for them; those behind ``step`` batches are shown next.
        stream: of the generator of random numbers, before it drew the last of them.
        curve: its entries so far.
        seconds, cpu_seconds: that the steps took.
        losses: of the steps since the curve's last entry, in nats a token.
        weights: of the model, by name.
        moments: of the optimiser, by name.
    """

    step: int
    drawn: int
    stream: Mapping[str, Any]
    curve: list[dict[str, Any]]
    seconds: float
    cpu_seconds: float
    losses: list[float] = field(repr=False)
    weights: dict[str, Tensor] = field(repr=False)
    moments: dict[str, Tensor] = field(repr=False)


class Stream:
    """Draws what a model is shown, and goes on from a state with what would have come next.

    Args:
        draw: returns tokens int64 ``(total, T)``.
        rng: it draws with.
        batch: how many are shown in a step.

    Attributes:
        drawn: the strings that were drawn.
        before: the state of ``rng`` before it drew the last of them.
    """

    def __init__(
        self,
        draw: Callable[[np.random.Generator], np.ndarray],
        rng: np.random.Generator,
        batch: int,
        start: State | None,
    ):
        self._draw, self._rng = draw, rng
        self.drawn, self.before = 0, rng.bit_generator.state
        self._left: int | None = None
        if start is not None:
            self.drawn, rng.bit_generator.state = start.drawn, start.stream
            # All that was drawn earlier is shown before more is drawn, so what is left is the end
            # of the last.
            self._left = start.drawn - start.step * batch

    def next(self) -> np.ndarray:
        """Return what is shown next, tokens int64 ``(total, T)``."""
        self.before = self._rng.bit_generator.state
        found = self._draw(self._rng)
        if self._left is not None:
            left, self._left = self._left, None
            return found[len(found) - left :]
        self.drawn += len(found)
        return found


class Clock:
    """Counts seconds and CPU seconds, with those before a state."""

    def __init__(self, start: State | None):
        before = (0.0, 0.0) if start is None else (start.seconds, start.cpu_seconds)
        self._began = time.perf_counter() - before[0], time.process_time() - before[1]

    def read(self) -> tuple[float, float]:
        """Return how many there are by now."""
        return time.perf_counter() - self._began[0], time.process_time() - self._began[1]


def save(path: Path, state: State, identity: str) -> None:
    """Write a state, whole or not at all, in the place of an earlier one.

    Args:
        identity: of what the training was asked.

    Raises:
        PipelineError: it cannot be written.
    """
    tensors = {"losses": torch.tensor(state.losses, dtype=torch.float64)}
    for name in _TENSORS:
        tensors |= {f"{name}.{key}": value for key, value in getattr(state, name).items()}
    apart = {"losses", *_TENSORS}
    about = {k: v for k, v in vars(state).items() if k not in apart} | {"identity": identity}
    with files.writing(path), files.replacing(path) as beside:
        save_training(beside, tensors, about)
        files.sync(beside)


def load(path: Path, identity: str) -> State:
    """Read a state.

    Raises:
        RunError: it is damaged, or that of a training that was asked something else.
    """
    try:
        tensors, about = load_training(path)
    except RunError as error:
        raise RunError(f"{error}; {_FIX}") from None
    if about.pop("identity", None) != identity:
        raise RunError(f"{path}: is the state of another training; {_FIX}")
    parts = {
        name: {
            key.removeprefix(f"{name}."): value
            for key, value in tensors.items()
            if key.startswith(f"{name}.")
        }
        for name in _TENSORS
    }
    try:
        np.random.default_rng(0).bit_generator.state = about["stream"]
        given: dict[str, Any] = {**about, **parts, "losses": tensors["losses"].tolist()}
        return State(**given)
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path}: was written by another version ({error}); {_FIX}") from None


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put weights of a state into a model.

    Raises:
        RunError: they are another model's.
    """
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise RunError(f"the weights belong to another model ({reason}); {_FIX}") from None

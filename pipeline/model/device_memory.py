"""What becomes of a batch that does not fit into the device's memory: it is taken in halves."""

import contextlib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from pipeline.errors import PipelineError

Made = TypeVar("Made")
Note = Callable[[str], None]

_TOO_LARGE = (
    "out of memory on the device, for one construction at a time; choose a smaller model "
    "(model.width, model.layers) or a smaller n"
)


def in_halves(make: Callable[[int], Made], batch: int, note: Note) -> Made:
    """Return ``make(batch)``, or with half the batch, and so on, where memory is too small.

    Args:
        note: is told what became of the batch.

    Raises:
        PipelineError: a batch of 1 is too large.
    """
    while True:
        with contextlib.suppress(torch.OutOfMemoryError):
            return make(batch)
        batch = _half(batch)
        note(f"out of memory on the device: {batch:,} samples at a time")


class Gradients:
    """Finds the gradient of a batch's mean loss, adding it up in parts where that is too large.

    Args:
        loss_of: returns the mean loss of a batch, how many losses that is the mean of, and how
            many positions the batch shows to the model.
        weights: whose gradients are set.
        note: is told what became of a batch.
    """

    def __init__(
        self,
        loss_of: Callable[[Any], tuple[Tensor, int, int]],
        weights: Iterable[Tensor],
        note: Note,
    ):
        self._loss_of, self._weights, self._note = loss_of, list(weights), note
        self._rows = 0  # of a part; 0 for all

    def of(self, batch: Any) -> tuple[float, int]:
        """Set the gradients; return the mean loss, and the positions shown.

        Args:
            batch: an array or a list, of which parts can be taken; of anything else none are.

        Raises:
            PipelineError: one row is too large.
        """
        rows = len(batch) if isinstance(batch, np.ndarray | list) else 1
        while True:
            for weight in self._weights:
                weight.grad = None
            with contextlib.suppress(torch.OutOfMemoryError):
                return self._added(batch, rows)
            self._rows = _half(min(self._rows or rows, rows))
            self._note(f"out of memory on the device: a step adds up {self._rows:,} at a time")

    def _added(self, batch: Any, rows: int) -> tuple[float, int]:
        if not 0 < self._rows < rows:
            loss, _, positions = self._loss_of(batch)
            loss.backward()
            return loss.item(), positions
        total, count, shown = 0.0, 0, 0
        for start in range(0, rows, self._rows):
            loss, losses, positions = self._loss_of(batch[start : start + self._rows])
            (loss * losses).backward()
            total, count, shown = total + loss.item() * losses, count + losses, shown + positions
        for weight in self._weights:
            if weight.grad is not None:
                weight.grad /= count
        return total / count, shown


def _half(batch: int) -> int:
    if batch == 1:
        raise PipelineError(_TOO_LARGE)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return (batch + 1) // 2

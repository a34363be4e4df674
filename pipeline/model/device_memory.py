"""What becomes of a batch that does not fit into the device's memory: it is taken in halves."""

import contextlib
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from pipeline.errors import PipelineError
from pipeline.model.parallel import ALONE, Group

Made = TypeVar("Made")
Note = Callable[[str], None]

_TOO_LARGE = (
    "out of memory on the device, for one construction at a time; choose a smaller model "
    "(model.width, model.layers) or a smaller n"
)


@runtime_checkable
class Parted(Protocol):
    """A batch of which parts can be taken, as of an array's rows."""

    @property
    def total(self) -> int:
        """How many rows it has."""
        ...

    def between(self, first: int, last: int) -> Any:
        """Return the batch of these rows, the last one left out."""
        ...


def rows_of(batch: Any) -> int:
    """Return how many rows a batch has, of which parts can be taken; 1 where none can."""
    if isinstance(batch, Parted):
        return batch.total
    return len(batch) if isinstance(batch, np.ndarray) else 1


def part_of(batch: Any, first: int, last: int) -> Any:
    """Return some rows of a batch, the last one left out."""
    if (first, last) == (0, rows_of(batch)):
        return batch
    return batch.between(first, last) if isinstance(batch, Parted) else batch[first:last]


def in_halves(make: Callable[[int], Made], batch: int, note: Note, group: Group = ALONE) -> Made:
    """Return ``make(batch)``, or with half the batch, and so on, where memory is too small.

    Args:
        note: is told what became of the batch.
        group: where the memory of one process is too small, all of them try again.

    Raises:
        PipelineError: a batch of 1 is too large.
    """
    while True:
        made: list[Made] = []
        with contextlib.suppress(torch.OutOfMemoryError):
            made.append(make(batch))
        (fitted,) = group.sums([len(made)])
        if fitted == group.size:
            return made[0]
        batch = _half(batch)
        note(f"out of memory on the device: {batch:,} samples at a time")


class Gradients:
    """Finds the gradient of a batch's mean loss, adding it up in parts where that is too large.

    The processes of a group are given the same batch, and each takes its own rows of it.

    Args:
        loss_of: returns the mean loss of a batch, how many losses that is the mean of, and how
            many positions the batch shows to the model.
        weights: whose gradients are set.
        note: is told what became of a batch.
        group: of the processes that each find a part.
    """

    def __init__(
        self,
        loss_of: Callable[[Any], tuple[Tensor, int, int]],
        weights: Iterable[Tensor],
        note: Note,
        group: Group = ALONE,
    ):
        self._loss_of, self._weights, self._note = loss_of, list(weights), note
        self._group = group
        self._rows = 0  # of a part; 0 for all

    def of(self, batch: Any) -> tuple[float, int]:
        """Set the gradients; return the mean loss, and the positions shown.

        Args:
            batch: an array or a `Parted`, of which parts can be taken; of anything else none are.

        Raises:
            PipelineError: one row is too large.
        """
        rows = rows_of(batch)
        first, last = self._group.share(rows)
        most = -(-rows // self._group.size)  # of any process: all take parts of one size
        while True:
            for weight in self._weights:
                weight.grad = None
            found: tuple[float, int, int] | None = None
            with contextlib.suppress(torch.OutOfMemoryError):
                found = self._added(batch, first, last, most)
            fitted, total, count, shown = self._group.sums(
                [found is not None, *(found or (0.0, 0, 0))]
            )
            if fitted == self._group.size:
                self._divide(count)
                return total / count, int(shown)
            self._rows = _half(min(self._rows or most, most))
            self._note(f"out of memory on the device: a step adds up {self._rows:,} at a time")

    def _added(self, batch: Any, first: int, last: int, most: int) -> tuple[float, int, int]:
        """Return the sum of the losses of these rows, their number and the positions shown."""
        at_once = self._rows or most
        if at_once >= most and self._group.size == 1:
            loss, _, positions = self._loss_of(batch)
            loss.backward()
            return loss.item(), 1, positions  # the mean as it is, without a rounding more
        total, count, shown = 0.0, 0, 0
        for start in range(first, last, at_once):
            part = part_of(batch, start, min(start + at_once, last))
            loss, losses, positions = self._loss_of(part)
            (loss * losses).backward()
            total, count, shown = total + loss.item() * losses, count + losses, shown + positions
        return total, count, shown

    def _divide(self, count: float) -> None:
        """Make the gradient of a sum of losses, of which processes have parts, that of the mean."""
        gradients = [weight.grad for weight in self._weights if weight.grad is not None]
        self._group.add(gradients)
        if count != 1:
            for gradient in gradients:
                gradient /= count


def _half(batch: int) -> int:
    if batch == 1:
        raise PipelineError(_TOO_LARGE)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return (batch + 1) // 2

"""Several processes that train and sample together, each with its share of the rows.

All of them hold the same model and go through the same steps. Between processes go numbers and raw
arrays with a header in JSON; nothing is pickled.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from pipeline.core.untrusted import parse_json
from pipeline.errors import PipelineError

#: A process waits for the next round while another searches, for days if need be; that one of them
#: has ended is seen at once, since its connections close.
_ROUND = timedelta(days=300)
_STEP = timedelta(minutes=10)  # on GPUs, from the first process that adds up to the last


class Lost(PipelineError):
    """Another process of the group has ended."""


class Group:
    """One process alone, the ordinary case: it has all rows, and nothing is sent.

    Attributes:
        rank: the number of this process, 0 for the one that leads.
        size: of how many.
        cpu: the CPU seconds of the others, as of the last order.
    """

    rank, size = 0, 1
    cpu = 0.0

    def share(self, rows: int) -> tuple[int, int]:
        """Return which of so many rows are this process's: the first, and the one after the last.

        The shares of two processes differ by one row at most.
        """
        return self._share(self.rank, rows)

    def _share(self, rank: int, rows: int) -> tuple[int, int]:
        return rank * rows // self.size, (rank + 1) * rows // self.size

    def sums(self, values: Sequence[float]) -> list[float]:
        """Return the sum of each value over all processes, the same in all of them."""
        return list(values)

    def mean(self, value: float, weight: int) -> float:
        """Return the mean of a value over all processes, the same in all of them."""
        if self.size == 1:
            return value
        total, weights = self.sums([value * weight, weight])
        return total / weights if weights else math.nan

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Put the sum over all processes into each tensor, float32."""

    def gathered(self, rows: np.ndarray, total: int) -> np.ndarray:
        """Return the rows of all processes in order, to the one that leads; to others their own.

        Args:
            rows: this process's share of ``total`` rows.
        """
        return rows

    @contextmanager
    def order(self, what: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Iterator[None]:
        """Have all processes do something, which this one does inside the context.

        Args:
            what: ready for JSON.
            arrays: what the others need for it, by name.
        """
        yield


#: What needs no other process is handed this.
ALONE = Group()


class Joined(Group):
    """One of several processes.

    Args:
        rank: 0 for the one that leads.
        size: of how many.
        device: of the model; gradients are added up there (NCCL on CUDA), all else on the CPU.
        store: where the processes find one another.
        lost: told that a process is gone, returns why.

    Attributes:
        busy: whether the processes are at work together, so that each waits for the others.
    """

    def __init__(
        self,
        rank: int,
        size: int,
        device: torch.device,
        store: Any,
        lost: Callable[[], str],
    ) -> None:
        self.rank, self.size, self._device, self._lost = rank, size, device, lost
        self.busy = False
        on_gpus = device.type == "cuda"
        with self._together():
            dist.init_process_group(
                "nccl" if on_gpus else "gloo",
                store=store,
                rank=rank,
                world_size=size,
                timeout=_STEP if on_gpus else _ROUND,
            )
            self._control: Any = dist.new_group(backend="gloo", timeout=_ROUND)

    def close(self) -> None:
        """Leave the group."""
        if self._device.type == "cpu" or not self.busy:  # NCCL would wait for what is under way
            dist.destroy_process_group()

    def sums(self, values: Sequence[float]) -> list[float]:
        numbers = torch.tensor(values, dtype=torch.float64)
        with self._together():
            dist.all_reduce(numbers, group=self._control)
        return numbers.tolist()

    def add(self, tensors: Sequence[Tensor]) -> None:
        if not tensors:
            return
        whole = torch.cat([tensor.flatten() for tensor in tensors])  # one message, not hundreds
        with self._together():
            dist.all_reduce(whole)
        for tensor, part in zip(tensors, whole.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def gathered(self, rows: np.ndarray, total: int) -> np.ndarray:
        counts = [last - first for first, last in (self._share(r, total) for r in range(self.size))]
        mine = np.zeros((max(counts), *rows.shape[1:]), rows.dtype)
        mine[: len(rows)] = rows
        sent = torch.from_numpy(np.frombuffer(bytearray(mine.tobytes()), np.uint8))
        parts = [torch.empty_like(sent) for _ in counts] if not self.rank else None
        with self._together():
            dist.gather(sent, parts, dst=0, group=self._control)
        if parts is None:
            return rows
        found = [part.numpy().view(rows.dtype).reshape(mine.shape) for part in parts]
        return np.concatenate([part[:n] for part, n in zip(found, counts, strict=True)])

    @contextmanager
    def order(self, what: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Iterator[None]:
        self.busy = True
        self._send(what, arrays)
        yield
        self.done()
        self.busy = False  # not after an error, which leaves the others in the midst of it

    def done(self) -> None:
        """Come to the end of an order with the others, and count their CPU seconds."""
        (self.cpu,) = self.sums([time.process_time() if self.rank else 0.0])

    def release(self) -> None:
        """Tell the others that there is nothing more to do, unless they are in the midst of it."""
        if not self.busy:
            self._send({"what": "over"}, {})

    def _send(self, what: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        kept = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        listed = [[name, str(a.dtype), list(np.shape(arrays[name]))] for name, a in kept.items()]
        data = json.dumps({"what": what, "arrays": listed}).encode()
        for part in (data, b"".join(array.tobytes() for array in kept.values())):
            whole = torch.from_numpy(np.frombuffer(bytearray(part), np.uint8))
            with self._together():
                dist.broadcast(torch.tensor([len(part)]), 0, group=self._control)
                dist.broadcast(whole, 0, group=self._control)

    def receive(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Wait for an order of the process that leads; return it, and the arrays by name."""
        head, body = self._received(), self._received()
        told = parse_json(head, "an order")
        arrays, start = {}, 0
        for name, dtype, shape in told["arrays"]:
            array = np.frombuffer(body, dtype, math.prod(shape), start).reshape(shape)
            arrays[name], start = array.copy(), start + array.nbytes
        return told["what"], arrays

    def _received(self) -> bytes:
        length = torch.zeros(1, dtype=torch.int64)
        with self._together():
            dist.broadcast(length, 0, group=self._control)
            whole = torch.zeros(int(length.item()), dtype=torch.uint8)
            dist.broadcast(whole, 0, group=self._control)
        return whole.numpy().tobytes()

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Turn a lost connection into one line.

        Raises:
            Lost: a process has ended.
        """
        try:
            yield
        except RuntimeError as error:  # DistError is one
            raise Lost(self._lost()) from error


def arrays_of(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, np.ndarray]:
    """Return tensors as arrays to send, their names behind a prefix."""
    return {f"{prefix}{name}": t.detach().cpu().numpy() for name, t in tensors.items()}


def tensors_of(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, Tensor]:
    """Return what `arrays_of` made of tensors, on the CPU."""
    return {
        name.removeprefix(prefix): torch.from_numpy(array)
        for name, array in arrays.items()
        if name.startswith(prefix)
    }

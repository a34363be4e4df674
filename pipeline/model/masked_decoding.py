"""What a vision model is shown of constructions, and how it fills boards of its own.

Shapes: B boards, L positions, M choices.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipeline.config import TrainConfig
from pipeline.core.bitset import pack
from pipeline.model.device import pick_dtype
from pipeline.model.parallel import ALONE, Group
from pipeline.model.partial_sets import Board, Filling, Look, fill_boards, reveal, train_on_parts
from pipeline.model.train import TrainResult
from pipeline.model.vision import IN, STOP, UNKNOWN, View, Vision

_CACHED, _MOST = 8192, 65536  # positions looked at together on a CPU, elsewhere
_LONGER = 2.0  # times as long as the shortest beside it a board may be, the rest being padding


class Shown(NamedTuple):
    """Boards as a model reads them: the stop first, then what is in or open, then padding."""

    sizes: np.ndarray  # int64 (B,), which of the view's sizes
    choices: np.ndarray  # int64 (B, L), -1 for padding
    states: np.ndarray  # int64 (B, L)
    open: np.ndarray  # bool (B, L), what may join
    due: np.ndarray  # bool (B, L), what is to join; the stop where there is nothing

    @property
    def lengths(self) -> np.ndarray:
        """The positions of each board that are no padding, int64 ``(B,)``."""
        return (self.choices >= 0).sum(axis=1)

    @property
    def total(self) -> int:
        """How many boards there are."""
        return len(self.sizes)

    def between(self, first: int, last: int) -> "Shown":
        """Return the boards of these rows, the last one left out."""
        return self.take(np.arange(first, last))

    def take(self, rows: np.ndarray) -> "Shown":
        """Return these boards, without columns that are padding in all of them."""
        used = int(self.lengths[rows].max(initial=1))
        return Shown(self.sizes[rows], *(part[rows, :used] for part in self[1:]))


def arrange(size: int, members: np.ndarray, open_: np.ndarray, due: np.ndarray) -> Shown:
    """Write boards down, each bool ``(B, M)``; what is neither in nor open is left away."""
    B, M = members.shape
    there = members | open_
    counts = there.sum(axis=1)
    L = int(counts.max(initial=0))
    order = np.argsort(~there, axis=1, kind="stable")[:, :L]
    padding = np.arange(L) >= counts[:, None]

    def along(values: np.ndarray, first: int | bool, rest: int | bool) -> np.ndarray:
        whole = np.full((B, 1 + L), first, type(first))
        whole[:, 1:] = np.where(padding, rest, values)
        return whole

    return Shown(
        np.full(B, size, np.int64),
        along(order, M, -1),
        along(np.where(np.take_along_axis(members, order, axis=1), IN, UNKNOWN), STOP, UNKNOWN),
        along(np.take_along_axis(open_, order, axis=1), False, False),
        along(np.take_along_axis(due, order, axis=1), False, False),
    )


def example(
    size: int, board: Board, cells: np.ndarray, counts: bool, rng: np.random.Generator
) -> Shown:
    """Tell a random part of each construction, packed ``(B, bytes)``, moved by a random symmetry.

    How many choices are revealed is drawn uniformly, then which: what sampling knows on its way.

    Args:
        counts: leave away what the revealed part rules out, and never learn to stop, since what is
            left says when.
    """
    known, members = reveal(board, cells, rng, whole=not counts)
    free = board.free(known) | members if counts else np.ones_like(members)
    shown = arrange(size, known, free & ~known, members & ~known)
    if not counts:
        shown.open[:, 0] = True
        shown.due[:, 0] = ~shown.due.any(axis=1)
    return shown


def alike(lengths: np.ndarray, most: int) -> list[np.ndarray]:
    """Return the rows of ``lengths (B,)`` in parts of like length, ``most`` positions in each."""
    order = np.argsort(-lengths, kind="stable")
    parts, first = [], 0
    for i in range(1, len(order) + 1):
        longest = lengths[order[first]]
        full = (i + 1 - first) * longest > most
        if i == len(order) or full or lengths[order[i]] * _LONGER < longest:
            parts.append(order[first:i])
            first = i
    return parts


def next_loss(model: Vision, seen: View, shown: Shown, dtype: torch.dtype) -> Tensor:
    """Return the loss ``(B,)`` in nats: the mean over all that is due of -log p(it joins next).

    0 where nothing is due. With boards that know when to stop, stopping is one more choice.

    Args:
        dtype: of the products; float32 switches no autocast on.
    """
    device = seen.waves.device
    open_, due = torch.from_numpy(shown.open).to(device), torch.from_numpy(shown.due).to(device)
    logits = _look(model, seen, shown, dtype).masked_fill(~open_, -torch.inf)
    logs = logits.log_softmax(dim=1)
    return -logs.masked_fill(~due, 0.0).sum(dim=1) / due.sum(dim=1).clamp(min=1)


def train(
    model: Vision,
    boards: Mapping[int, Board],
    seen: View,
    constructions: Mapping[int, np.ndarray],
    config: TrainConfig,
    *,
    counts: bool,
    seed: int,
    precision: str = "auto",
    optimizer_state: Mapping[str, Tensor] | None = None,
    group: Group = ALONE,
    progress: Callable[[int, int, float], None] | None = None,
    note: Callable[[str], None] = print,
) -> TrainResult:
    """Train a model in place on packed constructions ``{n: (B, bytes)}``; losses per choice.

    As ``train.train`` does, of which it takes the arguments. The sum of the losses of a
    construction of K choices over what is revealed bounds its own, by the log of K! from above.

    Args:
        boards: of all sizes, rising, in the order in which they are seen.
        counts: as for `example`.
    """
    dtype = pick_dtype(precision, seen.waves.device, model.config.width)

    def examples(chosen: Mapping[int, np.ndarray], rng: np.random.Generator) -> Shown:
        made = [
            example(place, board, chosen[n], counts, rng)
            for place, (n, board) in enumerate(boards.items())
            if n in chosen
        ]
        return _stack(made)

    def loss(batch: Shown) -> tuple[Tensor, int, int]:
        parts = [batch.take(rows) for rows in alike(batch.lengths, _most(seen))]
        losses = torch.cat([next_loss(model, seen, part, dtype) for part in parts])
        return losses.mean(), len(losses), int(batch.lengths.sum())

    return train_on_parts(
        model,
        constructions,
        config,
        examples,
        loss,
        seed=seed,
        dtype=dtype,
        optimizer_state=optimizer_state,
        group=group,
        progress=progress,
        note=note,
    )


@torch.inference_mode()
def fill(
    model: Vision,
    board: Board,
    seen: View,
    size: int,
    count: int,
    *,
    counts: bool,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int,
    batch: int = 512,
    precision: str = "auto",
    first: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Fill ``count`` empty boards; return their choices bool ``(count, M)``.

    At each step one choice joins each board, drawn from the model's distribution over those that
    are open: with ``counts`` those that violate nothing, until none is left; without, all that are
    not in, until the model stops. The same seed and batch give the same boards on one device and
    thread count.

    Args:
        size: which of the sizes seen the board has.
        temperature, top_p, precision, first, progress: as for ``sample.sample``.
        batch: boards at a time.

    Raises:
        PipelineError: the model's logits are not finite.
    """
    dtype = pick_dtype(precision, seen.waves.device, model.config.width)

    def look(members: np.ndarray, filling: Filling | None) -> Look:
        open_ = ~members if filling is None else filling.free()
        shown = arrange(size, members, open_, open_)
        shown.open[:, 0] = filling is None
        return Look(shown.choices, shown.open, _logits(model, seen, shown, members, dtype))

    how = {"temperature": temperature, "top_p": top_p, "seed": seed, "batch": batch, "first": first}
    return fill_boards(board, count, look, counts=counts, progress=progress, **how)


def _logits(
    model: Vision, seen: View, shown: Shown, members: np.ndarray, dtype: torch.dtype
) -> Tensor:
    """Return the logits float32 ``(B, L)``, equal boards looked at once."""
    _, first, of = np.unique(pack(members), axis=0, return_index=True, return_inverse=True)
    few = shown.take(first)
    found = torch.zeros(few.choices.shape, device=seen.waves.device)
    for rows in alike(few.lengths, _most(seen)):
        part = few.take(rows)
        found[torch.from_numpy(rows), : part.choices.shape[1]] = _look(model, seen, part, dtype)
    return found[torch.from_numpy(of.reshape(-1)).to(found.device)]


def _most(seen: View) -> int:
    return _CACHED if seen.waves.device.type == "cpu" else _MOST


def _look(model: Vision, seen: View, shown: Shown, dtype: torch.dtype) -> Tensor:
    """Return the logits float32 ``(B, L)`` of boards."""
    device = seen.waves.device
    given = (torch.from_numpy(part).to(device) for part in shown[:3])
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        return model(seen, *given).float()


def _stack(parts: list[Shown]) -> Shown:
    """Put boards below one another, padded to the longest."""
    longest = max(part.choices.shape[1] for part in parts)

    def padded(name: str, filler: int) -> np.ndarray:
        arrays = [getattr(part, name) for part in parts]
        ends = [((0, 0), (0, longest - array.shape[1])) for array in arrays]
        filled = zip(arrays, ends, strict=True)
        return np.concatenate([np.pad(a, end, constant_values=filler) for a, end in filled])

    sizes = np.concatenate([part.sizes for part in parts])
    rest = (padded("choices", -1), padded("states", 0), padded("open", 0), padded("due", 0))
    return Shown(sizes, *rest)

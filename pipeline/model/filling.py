"""What a vision model is shown of constructions, and how it fills boards of its own.

Shapes: B boards, L positions, M choices.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from pipeline.config import TrainConfig
from pipeline.model.device import pick_dtype
from pipeline.model.sample import choose
from pipeline.model.train import HOLDOUT_MOST, TrainResult, fit, locate
from pipeline.model.vision import IN, STOP, UNKNOWN, View, Vision

_EVALUATION_ROWS = 256
_POSITIONS = 8192  # that a CPU looks at together: more fall out of its caches


class Filling(Protocol):
    """Sets under way, with the problem's own counts."""

    def free(self) -> np.ndarray:
        """Return bool ``(B, M)``: what may join each set."""
        ...

    def join(self, choices: np.ndarray) -> None:
        """Add a choice int64 ``(B,)`` to each set; -1 adds nothing."""
        ...

    def keep(self, index: np.ndarray) -> None:
        """Make row i what row ``index[i]`` was, and drop the rest."""
        ...


class Board(Protocol):
    """The choices of one size; see ``search.board``."""

    def __len__(self) -> int: ...

    def members(self, cells: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Return bool ``(B, M)``, the choices of packed cells, moved at random if asked."""
        ...

    def free(self, members: np.ndarray) -> np.ndarray:
        """Return bool ``(B, M)``: what can be added to each set ``(B, M)``."""
        ...

    def begin(self, rows: int) -> Filling:
        """Start ``rows`` empty sets."""
        ...


class Sequence(NamedTuple):
    """Boards as a model reads them: the stop first, then what is in or open, then padding."""

    choices: np.ndarray  # int64 (B, L)
    states: np.ndarray  # int64 (B, L)


class Example(NamedTuple):
    """Boards of one size to learn from: what is told, what is open, what is to join."""

    n: int
    sequence: Sequence
    open: np.ndarray  # bool (B, L), what the model chooses among
    due: np.ndarray  # bool (B, L), the members not told yet; the stop where there are none


def arrange(members: np.ndarray, open_: np.ndarray) -> Sequence:
    """Write boards down: members bool ``(B, M)`` and what is open, the rest left away."""
    B, M = members.shape
    shown = members | open_
    counts = shown.sum(axis=1)
    L = int(counts.max(initial=0))
    order = np.argsort(~shown, axis=1, kind="stable")[:, :L]
    padding = np.arange(L) >= counts[:, None]
    choices = np.full((B, 1 + L), M, np.int64)
    choices[:, 1:] = np.where(padding, M + 1, order)
    states = np.full((B, 1 + L), STOP, np.int64)
    states[:, 1:] = np.where(np.take_along_axis(members, order, axis=1) & ~padding, IN, UNKNOWN)
    return Sequence(choices, states)


def example(
    n: int, board: Board, cells: np.ndarray, counts: bool, rng: np.random.Generator
) -> Example:
    """Tell a random part of each construction, packed ``(B, bytes)``, moved by a random symmetry.

    How many choices are told is drawn uniformly, and then which: what sampling knows on its way.

    Args:
        counts: leave away what the told part rules out, and never learn to stop, since what is
            left says when.
    """
    members = board.members(cells, rng)
    sizes = members.sum(axis=1)
    told = (rng.random(len(members)) * (sizes + (not counts))).astype(np.int64)
    keys = np.where(members, rng.random(members.shape), np.inf)
    rank = np.argsort(np.argsort(keys, axis=1), axis=1)
    known = members & (rank < told[:, None])
    free = board.free(known) | members if counts else np.ones_like(members)
    sequence = arrange(known, free & ~known)
    inside = np.pad(members, ((0, 0), (0, 2)))[np.arange(len(members))[:, None], sequence.choices]
    open_ = (sequence.states == UNKNOWN) & (sequence.choices < len(board))
    due = open_ & inside
    if not counts:
        open_[:, 0] = True
        due[:, 0] = ~due.any(axis=1)
    return Example(n, sequence, open_, due)


def next_loss(model: Vision, seen: View, shown: Example, dtype: torch.dtype) -> Tensor:
    """Return the loss ``(B,)`` in nats: the mean over all that are due of -log p(it joins next).

    0 where nothing is due.

    Args:
        dtype: of the products; float32 switches no autocast on.
    """
    device = seen.waves.device
    choices, states = (torch.from_numpy(part).to(device) for part in shown.sequence)
    open_, due = torch.from_numpy(shown.open).to(device), torch.from_numpy(shown.due).to(device)
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        logits = model(seen, choices, states)
    logs = logits.float().masked_fill(~open_, -torch.inf).log_softmax(dim=1)
    return -logs.masked_fill(~due, 0.0).sum(dim=1) / due.sum(dim=1).clamp(min=1)


def train(
    model: Vision,
    boards: Mapping[int, Board],
    views: Mapping[int, View],
    constructions: Mapping[int, np.ndarray],
    config: TrainConfig,
    *,
    counts: bool,
    seed: int,
    precision: str = "auto",
    optimizer_state: Mapping[str, Tensor] | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> TrainResult:
    """Train a model in place on packed constructions ``{n: (B, bytes)}``; losses per choice.

    As ``train.train`` does, of which it takes the arguments. A batch is read size by size.

    Args:
        counts: as for `example`.
    """
    sizes, rows = locate(constructions)
    if not len(rows):
        raise ValueError("constructions: at least one is needed to train on")
    rng = np.random.default_rng(seed)
    held = min(int(config.holdout * len(rows)), HOLDOUT_MOST)
    shuffled = rng.permutation(len(rows))
    dtype = pick_dtype(precision, next(model.parameters()).device, model.config.width)

    def examples(chosen: np.ndarray, most: int) -> list[Example]:
        made = []
        for n in np.unique(sizes[chosen]).tolist():
            cells = constructions[n][rows[chosen[sizes[chosen] == n]]]
            parts = [cells[first : first + most] for first in range(0, len(cells), most)]
            made += [example(n, boards[n], part, counts, rng) for part in parts]
        return made

    def batches() -> Iterator[list[Example]]:
        queue = np.zeros(0, np.int64)
        while True:
            while len(queue) < config.batch:
                queue = np.concatenate([queue, rng.permutation(shuffled[held:])])
            yield examples(queue[: config.batch], config.batch)
            queue = queue[config.batch :]

    def loss(batch: list[Example]) -> tuple[Tensor, int]:
        total = sum(next_loss(model, views[part.n], part, dtype).sum() for part in batch)
        assert isinstance(total, Tensor)
        padding = {n: len(board) + 1 for n, board in boards.items()}
        shown = sum(int((part.sequence.choices != padding[part.n]).sum()) for part in batch)
        return total / config.batch, shown

    @torch.no_grad()
    def evaluate() -> float:
        losses = [next_loss(model, views[part.n], part, dtype) for part in held_out]
        return torch.cat(losses).mean().item()

    held_out = examples(shuffled[:held], _EVALUATION_ROWS)
    return fit(
        model,
        config,
        batches(),
        loss,
        evaluate if held else None,
        dtype=dtype,
        optimizer_state=optimizer_state,
        progress=progress,
    )


@torch.inference_mode()
def fill(
    model: Vision,
    board: Board,
    seen: View,
    count: int,
    *,
    counts: bool,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int,
    batch: int = 512,
    precision: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Fill ``count`` empty boards; return the choices bool ``(count, M)``.

    At each step one choice joins each board, drawn from the model's distribution over those that
    are open: with ``counts`` those that violate nothing, until none is left; without, all that are
    not in, until the model stops. The same seed and batch give the same boards on one device and
    thread count.

    Args:
        temperature, top_p, precision, progress: as for ``sample.sample``.
        batch: boards at a time.

    Raises:
        PipelineError: the model's logits are not finite.
    """
    dtype = pick_dtype(precision, seen.waves.device, model.config.width)
    members = np.zeros((count, len(board)), np.bool_)
    generator = np.random.default_rng(seed)
    for start in range(0, count, batch):
        part = members[start : start + batch]
        # One table row per board, drawn in order: what ended before alters no other's numbers.
        uniforms = generator.random((len(part), len(board) + 1))
        filling = board.begin(len(part)) if counts else None
        ids = np.arange(len(part))
        for step in range(len(board) + 1):
            inside = part[ids]
            open_ = ~inside if filling is None else filling.free()
            sequence = arrange(inside, open_)
            legal = (sequence.states == UNKNOWN) & (sequence.choices < len(board))
            legal[:, 0] = filling is None
            logits = _look(model, seen, sequence, dtype)
            # Position 0, the stop, is drawn where nothing else is legal.
            picks = choose(logits, uniforms[ids, step], legal, 0, temperature, top_p)
            chosen = sequence.choices[np.arange(len(ids)), picks]
            going = np.flatnonzero(picks)
            ids, chosen = ids[going], chosen[going]
            part[ids, chosen] = True
            if progress is not None:
                progress(start + len(part) - len(ids), count)
            if not len(ids):
                break
            if filling is not None:
                filling.keep(going)
                filling.join(chosen)
    return members


def _look(model: Vision, seen: View, sequence: Sequence, dtype: torch.dtype) -> Tensor:
    """Return the logits float32 ``(B, L)`` of boards, a handful at a time on a CPU."""
    device = seen.waves.device
    choices, states = (torch.from_numpy(part).to(device) for part in sequence)
    rows = len(choices) if device.type != "cpu" else max(1, _POSITIONS // choices.shape[1])
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        pairs = zip(choices.split(rows), states.split(rows), strict=True)
        return torch.cat([model(seen, *pair).float() for pair in pairs])

"""Models that fill sets choice by choice: what they learn from, and how they are asked.

Such a model is shown a random part of a construction and learns what else is in it, in no order
(order-agnostic autoregression: Uria et al. 2014, arXiv:1310.1757). Shapes: B sets, L positions, M
choices.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from pipeline.config import TrainConfig
from pipeline.model.device_memory import Parted, part_of
from pipeline.model.parallel import ALONE, Group
from pipeline.model.sample import choose, skip
from pipeline.model.train import HOLDOUT_MOST, TrainResult, descend, locate


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
    """The choices of one size, as of ``engine.orbit_grid``."""

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


class Look(NamedTuple):
    """What a model sees of sets and thinks of it; position 0 is to stop, the rest are choices."""

    choices: np.ndarray  # int64 (B, L), -1 for padding
    open: np.ndarray  # bool (B, L), what may be drawn
    logits: Tensor  # float32 (B, L)


def reveal(
    board: Board, cells: np.ndarray, rng: np.random.Generator, whole: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return a random part of each construction and all of it, choices bool ``(B, M)``.

    How many choices are revealed is drawn uniformly, then which: what sampling knows on its way.
    Each construction, packed ``(B, bytes)``, is moved by a random symmetry first.

    Args:
        whole: all of a construction may be revealed too.
    """
    members = board.members(cells, rng)
    most = members.sum(axis=1) + whole
    revealed = (rng.random(len(members)) * most).astype(np.int64)
    keys = np.where(members, rng.random(members.shape), np.inf)
    rank = np.argsort(np.argsort(keys, axis=1), axis=1)
    return members & (rank < revealed[:, None]), members


def train_on_parts(
    model: Any,
    constructions: Mapping[int, np.ndarray],
    config: TrainConfig,
    examples: Callable[[Mapping[int, np.ndarray], np.random.Generator], Parted],
    loss: Callable[[Any], tuple[Tensor, int, int]],
    *,
    seed: int,
    dtype: torch.dtype,
    optimizer_state: Mapping[str, Tensor] | None = None,
    group: Group = ALONE,
    progress: Callable[[int, int, float], None] | None = None,
    note: Callable[[str], None] = print,
) -> TrainResult:
    """Train a model in place on parts of packed constructions ``{n: (B, bytes)}``.

    As ``train.train`` does, of which it takes the arguments.

    Args:
        examples: reveals parts of some constructions, a row for each.
        loss: returns the mean loss of these, of how many losses, and how many positions they show.
        dtype: of the products.
    """
    sizes, rows = locate(constructions)
    if not len(rows):
        raise ValueError("constructions: at least one is needed to train on")
    rng = np.random.default_rng(seed)
    held = min(int(config.holdout * len(rows)), HOLDOUT_MOST)
    shuffled = rng.permutation(len(rows))

    def revealed(chosen: np.ndarray) -> Parted:
        known = np.unique(sizes[chosen]).tolist()
        return examples({n: constructions[n][rows[chosen[sizes[chosen] == n]]] for n in known}, rng)

    def batches() -> Iterator[Any]:
        queue = np.zeros(0, np.int64)
        while True:
            while len(queue) < config.batch:
                queue = np.concatenate([queue, rng.permutation(shuffled[held:])])
            yield revealed(queue[: config.batch])
            queue = queue[config.batch :]

    held_out = revealed(shuffled[:held]) if held else None
    first, last = group.share(held)

    @torch.no_grad()
    def evaluate() -> tuple[float, int]:
        if first == last:
            return 0.0, 0
        found, losses, _ = loss(part_of(held_out, first, last))
        return found.item(), losses

    return descend(
        model,
        config,
        batches(),
        loss,
        evaluate if held else None,
        dtype=dtype,
        optimizer_state=optimizer_state,
        group=group,
        progress=progress,
        note=note,
    )


def fill_boards(
    board: Board,
    count: int,
    look: Callable[[np.ndarray, Filling | None], Look],
    *,
    counts: bool,
    temperature: float,
    top_p: float,
    seed: int,
    batch: int,
    first: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Fill ``count`` empty boards; return their choices bool ``(count, M)``.

    At each step one choice joins each board, drawn from the model's distribution over those that
    are open, until none is or the model stops. The same seed and batch give the same boards on one
    device and thread count.

    Args:
        look: asks the model about sets of choices ``(B, M)``, with the problem's counts of them.
        counts: keep these counts, so that what is open violates nothing.
        temperature, top_p, first, progress: as for ``sample.sample``.
        batch: boards at a time.

    Raises:
        PipelineError: the model's logits are not finite.
    """
    members = np.zeros((count, len(board)), np.bool_)
    generator = skip(np.random.default_rng(seed), first * (len(board) + 1))
    for start in range(0, count, batch):
        part = members[start : start + batch]
        # One table row per board, drawn in order: what ended before alters no other's numbers.
        uniforms = generator.random((len(part), len(board) + 1))
        filling = board.begin(len(part)) if counts else None
        ids = np.arange(len(part))
        for step in range(len(board) + 1):
            seen = look(part[ids], filling)
            # The stop is drawn where nothing else is open.
            picks = choose(seen.logits, uniforms[ids, step], seen.open, 0, temperature, top_p)
            going = np.flatnonzero(picks)
            ids, chosen = ids[going], seen.choices[going, picks[going]]
            part[ids, chosen] = True
            if progress is not None:
                progress(start + len(part) - len(ids), count)
            if not len(ids):
                break
            if filling is not None:
                filling.keep(going)
                filling.join(chosen)
    return members

"""A policy on features: a small network, shared by all choices, that scores what may join a set.

It reads what the framework knows of a choice (see ``engine.choice_features``) and nothing else, so
what it learns on small sizes it can use on large ones. Shapes: R choices of B sets, F features.
"""

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.config import TrainConfig
from pipeline.errors import UsageError
from pipeline.model.parallel import ALONE, Group
from pipeline.model.partial_sets import Board, Filling, Look, fill_boards, reveal, train_on_parts
from pipeline.model.train import TrainResult


@dataclass(frozen=True)
class PolicyConfig:
    """The shape of a policy.

    Attributes:
        features: F, from 1.
        layers: hidden layers, 1 to 16.
        width: of each, 1 to 4096.

    Raises:
        UsageError: a value out of range.
    """

    features: int
    layers: int = 2
    width: int = 64

    def __post_init__(self):
        for name, most in (("features", 65536), ("layers", 16), ("width", 4096)):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most:
                raise UsageError(f"{name} = {value!r}: a policy takes a whole number, 1 to {most}")

    def flops(self, positions: float) -> float:
        """Return the operations of the products of one choice, forward, among any number."""
        return 2 * self.width * (self.features + (self.layers - 1) * self.width + 1)


Sets = TypeVar("Sets", bound=Filling)


class Policy(nn.Module):
    """Logits of what joins next.

    Args:
        config: the shape.
        seed: draws the weights, the same on every device; None leaves them as torch makes them
            (to be overwritten).
    """

    def __init__(self, config: PolicyConfig, *, seed: int | None = 0):
        super().__init__()
        self.config = config
        widths = [config.features] + [config.width] * config.layers
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        self.head = nn.Linear(config.width, 1, bias=False)
        if seed is not None:
            self._draw(seed)

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits ``(R,)`` of choices with the features float32 ``(R, F)``."""
        for layer in self.hidden:
            features = F.silu(layer(features))
        return self.head(features)[:, 0]

    @torch.no_grad()
    def _draw(self, seed: int) -> None:
        # Drawn on the CPU in the order of the names, whatever device the weights live on.
        generator = torch.Generator().manual_seed(seed)
        for weight in self.parameters():
            bound = math.sqrt(3 / weight.shape[1]) if weight.ndim == 2 else 0.0
            weight.copy_((2 * torch.rand(weight.shape, generator=generator) - 1) * bound)


class FeatureBoard(Board, Protocol[Sets]):
    """The choices of one size, and what is known of each."""

    def holding(self, members: np.ndarray) -> Sets:
        """Return sets of choices bool ``(B, M)`` as ones under way."""
        ...

    def features(self, sets: Sets, free: np.ndarray) -> np.ndarray:
        """Return float32 ``(R, F)``: what is known of each choice marked in ``free (B, M)``."""
        ...


class Example(NamedTuple):
    """What may join some sets, and what of it is to."""

    features: Tensor  # float32 (R, F)
    rows: Tensor  # int64 (R,), rising, the set of each
    due: Tensor  # bool (R,)
    sets: int

    @property
    def total(self) -> int:
        """How many sets there are."""
        return self.sets

    def between(self, first: int, last: int) -> "Example":
        """Return the sets of these numbers, the last one left out."""
        begin, end = torch.searchsorted(self.rows, torch.tensor([first, last])).tolist()
        rows = self.rows[begin:end] - first
        return Example(self.features[begin:end], rows, self.due[begin:end], last - first)


def example(board: FeatureBoard[Any], cells: np.ndarray, rng: np.random.Generator) -> Example:
    """Reveal a random part of each construction, packed ``(B, bytes)``."""
    known, members = reveal(board, cells, rng, whole=False)
    sets = board.holding(known)
    free = sets.free() | (members & ~known)
    features = board.features(sets, free)
    due = members[free]
    return Example(
        torch.from_numpy(features),
        torch.from_numpy(np.nonzero(free)[0]),
        torch.from_numpy(due),
        len(cells),
    )


def joined(parts: list[Example]) -> Example:
    """Return several examples as one."""
    before = np.cumsum([0] + [part.sets for part in parts])
    return Example(
        torch.cat([part.features for part in parts]),
        torch.cat([part.rows + int(b) for part, b in zip(parts, before, strict=False)]),
        torch.cat([part.due for part in parts]),
        int(before[-1]),
    )


def log_probabilities(logits: Tensor, rows: Tensor, sets: int) -> Tensor:
    """Return the log of each choice's probability among those of its set, ``(R,)``."""
    most = torch.full((sets,), -torch.inf, device=logits.device)
    most = most.scatter_reduce(0, rows, logits.detach(), "amax")
    shifted = logits - most[rows]
    total = torch.zeros(sets, device=logits.device).index_add(0, rows, shifted.exp())
    return shifted - total.log()[rows]


def next_loss(model: Policy, shown: Example) -> Tensor:
    """Return the loss ``(B,)`` in nats: the mean over all that is due of -log p(it joins next)."""
    device = model.head.weight.device
    rows, due = shown.rows.to(device), shown.due.to(device)
    logs = log_probabilities(model(shown.features.to(device)), rows, shown.sets)
    zeros = torch.zeros(shown.sets, device=device)
    missed = zeros.index_add(0, rows, -logs.masked_fill(~due, 0.0))
    return missed / zeros.index_add(0, rows, due.float()).clamp(min=1)


def train(
    model: Policy,
    boards: Mapping[int, FeatureBoard[Any]],
    constructions: Mapping[int, np.ndarray],
    config: TrainConfig,
    *,
    seed: int,
    optimizer_state: Mapping[str, Tensor] | None = None,
    group: Group = ALONE,
    progress: Callable[[int, int, float], None] | None = None,
    note: Callable[[str], None] = print,
) -> TrainResult:
    """Train a policy in place on packed constructions ``{n: (B, bytes)}``; losses per choice.

    As ``train.train`` does, of which it takes the arguments.
    """

    def examples(chosen: Mapping[int, np.ndarray], rng: np.random.Generator) -> Example:
        return joined([example(boards[n], cells, rng) for n, cells in chosen.items()])

    def loss(shown: Example) -> tuple[Tensor, int, int]:
        losses = next_loss(model, shown)
        return losses.mean(), len(losses), len(shown.rows)

    return train_on_parts(
        model,
        constructions,
        config,
        examples,
        loss,
        seed=seed,
        dtype=torch.float32,
        optimizer_state=optimizer_state,
        group=group,
        progress=progress,
        note=note,
    )


@torch.inference_mode()
def fill(
    model: Policy,
    board: FeatureBoard[Any],
    count: int,
    *,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int,
    batch: int = 512,
    first: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Fill ``count`` empty boards; return their choices bool ``(count, M)``.

    At each step one choice joins each board, drawn from the policy's distribution over those that
    violate nothing, until none is left. The arguments are those of ``partial_sets.fill_boards``.
    """
    device = model.head.weight.device

    def look(members: np.ndarray, filling: Any) -> Look:
        free = filling.free()
        rows, choices = np.nonzero(free)
        room = free.sum(axis=1)
        place = 1 + np.arange(len(rows)) - (np.cumsum(room) - room)[rows]
        shape = len(free), 1 + int(room.max(initial=0))
        known = torch.from_numpy(board.features(filling, free)).to(device)
        logits = torch.zeros(shape, device=device)
        at = torch.from_numpy(rows).to(device), torch.from_numpy(place).to(device)
        logits[at] = model(known)
        listed, open_ = np.full(shape, -1, np.int64), np.zeros(shape, np.bool_)
        listed[rows, place], open_[rows, place] = choices, True
        return Look(listed, open_, logits)

    how = {"temperature": temperature, "top_p": top_p, "seed": seed, "batch": batch, "first": first}
    return fill_boards(board, count, look, counts=True, progress=progress, **how)

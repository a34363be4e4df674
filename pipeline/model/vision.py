"""A small vision transformer that fills a masked board, one choice after another.

- a board is a sequence of choices (cells, or orbits under a symmetry class): those that are in, and
  those of which nothing is known yet. What is ruled out is left away, as masked autoencoders leave
  away what is masked (He et al. 2021, arXiv:2111.06377). One position more stands for stopping
- bidirectional: the blocks of `gpt.Block`, each position seeing all of them
- a choice is its state, an embedding drawn from N(0, 1), and its place, a product of sines and
  cosines of its coordinates that begins as large: as fractions of the box they fill, which carry
  over from size to size, and in steps, which distances are counted in. No size is told
- one number for each choice comes out; a softmax over what is not known yet is the distribution of
  the choice that joins next. What is known being a random part of a construction, this is order-
  agnostic autoregression (Uria et al. 2014, arXiv:1310.1757; Hoogeboom et al. 2022,
  arXiv:2110.02037): the sum of its losses bounds the construction's own
- with an attention bias, the biases of `gpt.Block`, by the places of two choices

Shapes: B boards, L positions, M choices, D width, d coordinates.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.errors import UsageError
from pipeline.model.gpt import CLASSES, Block, GPTConfig

UNKNOWN, IN, STOP = 0, 1, 2
_STATES = 3
#: Half waves across the box, 2**0 and up; waves of 2**1 steps and up.
_ACROSS, _LONG = 5, 6


@dataclass(frozen=True)
class VisionConfig:
    """The shape of a model.

    Attributes:
        dimensions: d, 1 to 64.
        layers, heads, width, attention_bias: as for `GPTConfig`.

    Raises:
        UsageError: a value out of range.
    """

    dimensions: int
    layers: int = 2
    heads: int = 4
    width: int = 64
    attention_bias: str = "off"

    def __post_init__(self):
        if type(self.dimensions) is not int or not 1 <= self.dimensions <= 64:
            raise UsageError(f"dimensions = {self.dimensions!r}: give a whole number from 1 to 64")
        self.blocks()

    def blocks(self) -> GPTConfig:
        """Return the shape of its blocks."""
        return GPTConfig(1, 1, self.layers, self.heads, self.width, self.attention_bias)

    def flops(self, positions: float) -> float:
        """Return the operations of one position's products, forward, among so many."""
        D = self.width
        return 2 * (12 * self.layers * D * D + D) + 4 * self.layers * D * positions


class View(NamedTuple):
    """How a model sees the choices of several sizes; the one behind a size's last is to stop."""

    waves: Tensor  # float32 (sum of M + 1, F), size after size
    start: Tensor  # int64 (sizes,), where each begins
    relation: Tensor | None  # uint8 (sum of (M + 1)**2,), likewise
    begin: Tensor  # int64 (sizes,), where each begins there


def view(
    places: Sequence[tuple[np.ndarray, np.ndarray]],
    relations: Sequence[np.ndarray] | None = None,
    device: torch.device | str = "cpu",
) -> View:
    """Return how choices are seen.

    Args:
        places: for each size the fractions ``(M, d)`` in 0..1 and whole steps ``(M, d)``.
        relations: uint8 ``(M, M)`` for each size, as of `attention_bias.among`; None without a
            bias.
    """
    lengths = np.array([len(steps) + 1 for _, steps in places])
    waves = np.concatenate([_waves(*place) for place in places])
    related = None
    if relations is not None:
        flat = np.concatenate([np.pad(table, (0, 1)).reshape(-1) for table in relations])
        related = torch.from_numpy(flat).to(device)
    return View(
        torch.from_numpy(waves).float().to(device),
        torch.from_numpy(np.cumsum(lengths) - lengths).to(device),
        related,
        torch.from_numpy(np.cumsum(lengths**2) - lengths**2).to(device),
    )


def _waves(fractions: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return ``(M + 1, F)``, zero for the stop."""
    across = fractions[:, :, None] * np.pi * 2.0 ** np.arange(_ACROSS)
    long = steps[:, :, None] * 2 * np.pi / 2.0 ** np.arange(1, _LONG + 1)
    angles = np.concatenate([across, long], axis=2).reshape(len(steps), -1)
    return np.pad(np.concatenate([np.sin(angles), np.cos(angles)], axis=1), ((0, 1), (0, 0)))


class Vision(nn.Module):
    """Logits of what joins next.

    Args:
        config: the shape.
        seed: draws the weights, the same on every device; None leaves them as torch makes them
            (to be overwritten).
    """

    def __init__(self, config: VisionConfig, *, seed: int | None = 0):
        super().__init__()
        self.config = config
        self.states = nn.Embedding(_STATES, config.width)
        waves = 2 * config.dimensions * (_ACROSS + _LONG)
        self.places = nn.Linear(waves, config.width, bias=False)
        self.blocks = nn.ModuleList(Block(config.blocks()) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width)
        self.head = nn.Linear(config.width, 1, bias=False)
        if seed is not None:
            self._draw(seed)

    def forward(self, seen: View, sizes: Tensor, choices: Tensor, states: Tensor) -> Tensor:
        """Return the logits ``(B, L)`` that each position joins next.

        Args:
            sizes: int64 ``(B,)``, which of the sizes seen each board has.
            choices: int64 ``(B, L)`` in -1 .. M: M to stop, -1 for padding.
            states: int64 ``(B, L)``: UNKNOWN, IN, or STOP.
        """
        there = choices >= 0
        choices = choices.clamp(min=0)
        at = seen.start[sizes][:, None] + choices
        x = F.embedding(at, self.places(seen.waves)) + self.states(states)
        classes = self._classes(seen, sizes, choices, there)
        mask = there[:, None, None, :] if classes is None else None
        for block in self.blocks:
            x = block(x, classes, mask)
        return self.head(self.norm(x))[:, :, 0]

    def _classes(self, seen: View, sizes: Tensor, choices: Tensor, there: Tensor) -> Tensor | None:
        """Return the classes ``(B, L, L)`` of each position to all others; None without any."""
        if seen.relation is None:
            return None
        ends = torch.cat([seen.start[1:], seen.start.new_tensor([len(seen.waves)])])
        lengths = (ends - seen.start)[sizes][:, None, None]
        at = seen.begin[sizes][:, None, None] + choices[:, :, None] * lengths + choices[:, None, :]
        return seen.relation[at].long().masked_fill(~there[:, None, :], CLASSES)

    @torch.no_grad()
    def _draw(self, seed: int) -> None:
        # Drawn on the CPU in the order of the names, whatever device the weights live on.
        generator = torch.Generator().manual_seed(seed)
        for name, weight in self.named_parameters():
            if weight.ndim < 2 or name.endswith(".bias"):
                continue
            if name == "states.weight":
                drawn = torch.randn(weight.shape, generator=generator)
            else:
                bound = 1 / math.sqrt(weight.shape[1])
                drawn = (2 * torch.rand(weight.shape, generator=generator) - 1) * bound
                if name.endswith(("mix.weight", "down.weight")):
                    drawn /= math.sqrt(self.config.layers)
                elif name == "places.weight":
                    drawn *= math.sqrt(6)  # as large as a state: a wave's mean square is a half
            weight.copy_(drawn)

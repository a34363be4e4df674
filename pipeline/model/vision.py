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
- with a geometry, the biases of `gpt.Block`, by the places of two choices

Shapes: B boards, L positions, M choices, D width, d coordinates.
"""

import math
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
        layers, heads, width, geometry: as for `GPTConfig`.

    Raises:
        UsageError: a value out of range.
    """

    dimensions: int
    layers: int = 2
    heads: int = 4
    width: int = 64
    geometry: str = "off"

    def __post_init__(self):
        if type(self.dimensions) is not int or not 1 <= self.dimensions <= 64:
            raise UsageError(f"dimensions = {self.dimensions!r}: give a whole number from 1 to 64")
        self.blocks()

    def blocks(self) -> GPTConfig:
        """Return the shape of its blocks."""
        return GPTConfig(1, 1, self.layers, self.heads, self.width, self.geometry)

    def flops(self, positions: float) -> float:
        """Return the operations of one position's products, forward, among so many."""
        D = self.width
        return 2 * (12 * self.layers * D * D + D) + 4 * self.layers * D * positions


class View(NamedTuple):
    """How a model sees the choices of one size; row M is for stopping, row M + 1 for padding."""

    waves: Tensor  # float32 (M + 2, F)
    relation: Tensor | None  # uint8 (M + 2, M + 2); CLASSES for what must not be seen


def view(
    fractions: np.ndarray,
    steps: np.ndarray,
    relation: np.ndarray | None,
    device: torch.device | str = "cpu",
) -> View:
    """Return how choices are seen.

    Args:
        fractions: ``(M, d)`` in 0..1.
        steps: whole numbers ``(M, d)``.
        relation: with a geometry, uint8 ``(M, M)`` as of ``geometry.among``.
    """
    across = fractions[:, :, None] * np.pi * 2.0 ** np.arange(_ACROSS)
    long = steps[:, :, None] * 2 * np.pi / 2.0 ** np.arange(1, _LONG + 1)
    angles = np.concatenate([across, long], axis=2).reshape(len(steps), -1)
    waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    seen = torch.from_numpy(np.pad(waves, ((0, 2), (0, 0)))).float().to(device)
    if relation is None:
        return View(seen, None)
    classes = np.pad(relation, (0, 2))
    classes[:, -1] = CLASSES
    return View(seen, torch.from_numpy(classes).to(device))


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

    def forward(self, seen: View, choices: Tensor, states: Tensor) -> Tensor:
        """Return the logits ``(B, L)`` that each position joins next.

        Args:
            choices: int64 ``(B, L)`` in 0 .. M + 1: M to stop, M + 1 for padding.
            states: int64 ``(B, L)``: UNKNOWN, IN, or STOP.
        """
        x = F.embedding(choices, self.places(seen.waves)) + self.states(states)
        classes, mask = None, None
        if seen.relation is not None:
            classes = seen.relation[choices[:, :, None], choices[:, None, :]].long()
        else:
            mask = (choices < len(seen.waves) - 1)[:, None, None, :]
        for block in self.blocks:
            x = block(x, classes, mask)
        return self.head(self.norm(x))[:, :, 0]

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

"""A small GPT.

- decoder only, pre-norm residual blocks: causal attention, then a GELU MLP four times as wide
- norms with a gain and no bias, no bias in any linear layer, no dropout
- learned absolute positions, added to the token embedding
- untied output head
- with a geometry, a learnt bias on each attention score, one for each layer, head and relation of
  the two tokens (after Graphormer, Ying et al. 2021, arXiv:2106.05234); it begins at zero
- embeddings drawn from N(0, 1), linear layers uniform in +-1/sqrt(inputs) (PyTorch's default),
  the two projections into the residual stream scaled by 1/sqrt(layers); the untied head is
  what matters: tied, from N(0, 0.02), the same net does not learn the lecture's first task in
  1,000 steps, where this takes 200 to 400 (benchmarks/init.py)

Shapes: B sequences, T positions, H heads, D width, V vocabulary.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.errors import UsageError, nearest

#: What a model may know of where its tokens lie; see ``pipeline.model.geometry``.
GEOMETRIES = ("off", "distance", "offset")
#: How many relations two tokens can have; 0 is that of a token that stands for no element.
CLASSES = 64


@dataclass(frozen=True)
class GPTConfig:
    """The shape of a model.

    Attributes:
        vocab_size: V, at least 1.
        block_size: the most positions of a sequence, at least 1.
        layers: 1 to 256; no other value exceeds 2^24.
        heads: H, at least 1.
        width: D, a multiple of heads.
        geometry: one of ``GEOMETRIES``, the relation that attention has a bias for.

    Raises:
        UsageError: a value out of range.
    """

    vocab_size: int
    block_size: int
    layers: int = 2
    heads: int = 4
    width: int = 64
    geometry: str = "off"

    def __post_init__(self):
        # The upper ends keep a forged checkpoint from asking for what no machine has.
        most = dict.fromkeys(("vocab_size", "block_size", "heads", "width"), 1 << 24)
        for name, limit in {**most, "layers": 256}.items():
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= limit:
                raise UsageError(f"{name} = {value!r}: give a whole number from 1 to {limit}")
        if self.width % self.heads:
            near = self.heads * max(1, round(self.width / self.heads))
            raise UsageError(
                f"width = {self.width} is no multiple of heads = {self.heads}; use width = {near}"
            )
        if self.geometry not in GEOMETRIES:
            known = nearest(str(self.geometry), GEOMETRIES)
            raise UsageError(f"geometry {self.geometry!r}: unknown{known}")

    def flops(self, positions: float) -> float:
        """Return the operations of one token's products, forward, in a sequence so long."""
        D = self.width
        weights = 12 * self.layers * D * D + D * self.vocab_size
        return 2 * weights + 2 * self.layers * D * positions


class Block(nn.Module):
    """One residual block: attention and MLP."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        D = config.width
        self.heads = config.heads
        self.attention_norm = _norm(D)
        self.qkv = nn.Linear(D, 3 * D, bias=False)
        self.mix = nn.Linear(D, D, bias=False)
        self.mlp_norm = _norm(D)
        self.up = nn.Linear(D, 4 * D, bias=False)
        self.down = nn.Linear(4 * D, D, bias=False)
        known = config.geometry != "off"
        self.bias = nn.Parameter(torch.zeros(config.heads, CLASSES)) if known else None

    def forward(self, x: Tensor, classes: Tensor | None = None) -> Tensor:
        """Map ``(B, T, D)`` to ``(B, T, D)``, each position seeing those before it and itself.

        With a geometry, ``classes (B, T, T)`` are as for `biases`.
        """
        q, k, v = self.project(x)
        if x.device.type == "cpu":  # where torch's own is ten times slower in bfloat16
            with torch.autocast("cpu", enabled=False):
                y = self._attend(q.float(), k.float(), v.float(), classes)
        else:
            y = self._attend(q, k, v, classes)
        return self.close(x, y)

    def biases(self, classes: Tensor, dtype: torch.dtype) -> Tensor:
        """Return what is added to the scores of classes int64 ``(B, Q, K)``: ``(B, H, Q, K)``.

        Class ``CLASSES`` stands for what must not be seen.
        """
        assert self.bias is not None
        known = F.pad(self.bias, (0, 1), value=-torch.inf).to(dtype)
        found = known.index_select(1, classes.flatten())
        return found.view(len(known), *classes.shape).transpose(0, 1)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values of ``(B, T, D)``, each ``(B, H, T, D / H)``."""
        B, T, D = x.shape
        split = self.qkv(self.attention_norm(x)).view(B, T, 3, self.heads, D // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4)
        return q, k, v

    def close(self, x: Tensor, y: Tensor) -> Tensor:
        """Add attention's answers ``(B, H, T, D / H)`` to ``(B, T, D)``, and the MLP's to that."""
        x = x + self.mix(y.transpose(1, 2).reshape(x.shape))
        return x + self.down(F.gelu(self.up(self.mlp_norm(x)), approximate="tanh"))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, classes: Tensor | None) -> Tensor:
        if classes is None:
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)
        mask = self.biases(classes, q.dtype)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


class GPT(nn.Module):
    """Next-token logits of a sequence.

    Args:
        config: the shape.
        relation: with a geometry, what `relate` takes; a model without it computes nothing.
        seed: draws the weights, the same on every device; None leaves them as torch makes them
            (to be overwritten).
    """

    relation: Tensor | None

    def __init__(
        self, config: GPTConfig, relation: np.ndarray | None = None, *, seed: int | None = 0
    ):
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocab_size, config.width)
        self.positions = nn.Embedding(config.block_size, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = _norm(config.width)
        self.head = nn.Linear(config.width, config.vocab_size, bias=False)
        self.relate(relation)
        if seed is not None:
            self._draw(seed)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits ``(B, T, V)`` of what follows each position of int64 ``(B, T)``.

        Raises:
            ValueError: T exceeds the block size.
        """
        T = tokens.shape[1]
        if self.config.block_size < T:
            raise ValueError(f"T = {T} exceeds the model's block size {self.config.block_size}")
        x = self.tokens(tokens) + self.positions.weight[:T]
        classes = self._classes(tokens)
        for block in self.blocks:
            x = block(x, classes)
        return self.head(self.norm(x))

    @torch.no_grad()
    def line_up(self, tokens: np.ndarray) -> None:
        """Lay the embeddings of tokens ``(k,)`` on a line, from the first's to the last's."""
        if len(tokens):
            ends = self.tokens.weight[tokens[[0, -1]].tolist()]
            share = torch.linspace(0, 1, len(tokens))[:, None].to(ends)
            self.tokens.weight[tokens.tolist()] = torch.lerp(ends[:1], ends[1:], share)

    @torch.no_grad()
    def extend(self, token: int, near: int, far: int) -> None:
        """Put a token's embedding as far beyond that of ``near`` as that lies beyond ``far``."""
        weight = self.tokens.weight
        weight[token] = 2 * weight[near] - weight[far]

    def relate(self, relation: np.ndarray | None) -> None:
        """Take over the relation of every two tokens, uint8 ``(V, V)`` below ``CLASSES``.

        It is no weight: files of models lack it, and it is made anew from the tokens
        (``geometry.relations``).

        Raises:
            ValueError: a table for a model without geometry, or of another type or shape.
        """
        table = None
        if relation is not None:
            V = self.config.vocab_size
            if self.config.geometry == "off":
                raise ValueError("relation: given to a model without geometry")
            if relation.dtype != np.uint8 or relation.shape != (V, V) or relation.max() >= CLASSES:
                raise ValueError(
                    f"relation: expected uint8 ({V}, {V}) below {CLASSES}, got {relation.dtype} "
                    f"{relation.shape} up to {relation.max()}"
                )
            table = torch.from_numpy(relation).to(self.head.weight.device)
        self.register_buffer("relation", table, persistent=False)

    def related(self) -> Tensor | None:
        """Return the relation of every two tokens, uint8 ``(V, V)``; None without geometry.

        Raises:
            ValueError: a geometry, but no table.
        """
        if self.relation is None and self.config.geometry != "off":
            raise ValueError("a model with geometry needs its relation table: give it to relate")
        return self.relation

    def _classes(self, tokens: Tensor) -> Tensor | None:
        """Return the classes ``(B, T, T)`` of each position's token to those that it sees."""
        relation = self.related()
        if relation is None:
            return None
        classes = relation[tokens[:, :, None], tokens[:, None, :]].long()
        T = tokens.shape[1]
        later = torch.ones((T, T), dtype=torch.bool, device=tokens.device).triu(1)
        return classes.masked_fill(later, CLASSES)

    @torch.no_grad()
    def _draw(self, seed: int) -> None:
        # Drawn on the CPU in the order of the names, whatever device the weights live on.
        generator = torch.Generator().manual_seed(seed)
        for name, weight in self.named_parameters():
            if weight.ndim < 2 or name.endswith(".bias"):
                continue
            if name.startswith(("tokens.", "positions.")):
                drawn = torch.randn(weight.shape, generator=generator)
            else:
                bound = 1 / math.sqrt(weight.shape[1])
                drawn = (2 * torch.rand(weight.shape, generator=generator) - 1) * bound
                if name.endswith(("mix.weight", "down.weight")):
                    drawn /= math.sqrt(self.config.layers)
            weight.copy_(drawn)


def _norm(width: int) -> nn.Module:
    return nn.RMSNorm(width)

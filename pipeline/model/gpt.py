"""A small GPT.

- decoder only, pre-norm residual blocks: causal attention, then a GELU MLP four times as wide
- norms with a gain and no bias, no bias in any linear layer, no dropout
- learned absolute positions, added to the token embedding
- untied output head
- embeddings drawn from N(0, 1), linear layers uniform in +-1/sqrt(inputs) (PyTorch's default),
  the two projections into the residual stream scaled by 1/sqrt(layers); the untied head is
  what matters: tied, from N(0, 0.02), the same net does not learn the lecture's first task in
  1,000 steps, where this takes 200 to 400 (benchmarks/init.py)
- a static key-value cache for sampling, whose rows can be dropped as sequences end

Shapes: B sequences, T positions, H heads, D width, V vocabulary.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.errors import UsageError


@dataclass(frozen=True)
class GPTConfig:
    """The shape of a model.

    Attributes:
        vocab_size: V, at least 1.
        block_size: the most positions of a sequence, at least 1.
        layers: 1 to 256; no other value exceeds 2^24.
        heads: H, at least 1.
        width: D, a multiple of heads.

    Raises:
        UsageError: a value out of range.
    """

    vocab_size: int
    block_size: int
    layers: int = 2
    heads: int = 4
    width: int = 64

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


class Cache:
    """Keys and values of every layer for a fixed number of positions, each ``(B, H, T, D / H)``."""

    def __init__(self, layers: int, shape: tuple[int, ...], like: Tensor):
        self.keys = [like.new_empty(shape) for _ in range(layers)]
        self.values = [like.new_empty(shape) for _ in range(layers)]

    @property
    def rows(self) -> int:
        """B, the number of sequences."""
        return self.keys[0].shape[0]

    @property
    def length(self) -> int:
        """T, the most positions."""
        return self.keys[0].shape[2]

    def keep(self, index: Tensor) -> None:
        """Make row i what row ``index[i]`` was; index int64 ``(rows,)``, repeats allowed."""
        self.keys = [key.index_select(0, index) for key in self.keys]
        self.values = [value.index_select(0, index) for value in self.values]


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

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, T, D)`` to ``(B, T, D)``, each position seeing those before it and itself."""
        q, k, v = self.project(x)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self._close(x, y)

    def step(self, x: Tensor, key: Tensor, value: Tensor, position: int) -> Tensor:
        """Map ``(B, 1, D)`` to ``(B, 1, D)`` at a position, filling that place of the cache."""
        q, k, v = self.project(x)
        key[:, :, position] = k[:, :, 0]
        value[:, :, position] = v[:, :, 0]
        seen = slice(position + 1)
        y = F.scaled_dot_product_attention(q, key[:, :, seen], value[:, :, seen])
        return self._close(x, y)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values of ``(B, T, D)``, each ``(B, H, T, D / H)``."""
        B, T, D = x.shape
        split = self.qkv(self.attention_norm(x)).view(B, T, 3, self.heads, D // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4)
        return q, k, v

    def _close(self, x: Tensor, y: Tensor) -> Tensor:
        x = x + self.mix(y.transpose(1, 2).reshape(x.shape))
        return x + self.down(F.gelu(self.up(self.mlp_norm(x)), approximate="tanh"))


class GPT(nn.Module):
    """Next-token logits of a sequence.

    Args:
        config: the shape.
        seed: draws the weights, the same on every device; None leaves them as torch makes them
            (to be overwritten).
    """

    def __init__(self, config: GPTConfig, *, seed: int | None = 0):
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocab_size, config.width)
        self.positions = nn.Embedding(config.block_size, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = _norm(config.width)
        self.head = nn.Linear(config.width, config.vocab_size, bias=False)
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
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))

    def new_cache(self, batch: int, length: int) -> Cache:
        """Return an empty cache for ``batch`` sequences of at most ``length`` positions.

        Raises:
            ValueError: length exceeds the block size.
        """
        config = self.config
        if length > config.block_size:
            raise ValueError(f"length = {length} exceeds the block size {config.block_size}")
        shape = (batch, config.heads, length, config.width // config.heads)
        return Cache(config.layers, shape, self.head.weight.detach())

    def step(self, tokens: Tensor, position: int, cache: Cache) -> Tensor:
        """Return the logits ``(B, V)`` after tokens int64 ``(B,)`` at a position from 0 on.

        The positions before it must have gone through the same cache, in order.
        """
        x = (self.tokens(tokens) + self.positions.weight[position])[:, None]
        for block, key, value in zip(self.blocks, cache.keys, cache.values, strict=True):
            x = block.step(x, key, value, position)  # pyright: ignore[reportCallIssue]
        return self.head(self.norm(x[:, 0]))

    @torch.no_grad()
    def _draw(self, seed: int) -> None:
        # Drawn on the CPU in the order of the names, whatever device the weights live on.
        generator = torch.Generator().manual_seed(seed)
        for name, weight in self.named_parameters():
            if weight.ndim < 2:
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

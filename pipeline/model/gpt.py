"""A small GPT.

- decoder only, pre-norm residual blocks: causal attention, then a GELU MLP four times as wide
- norms with a gain and no bias, no bias in any linear layer, no dropout
- learned absolute positions, added to the token embedding
- untied output head
- with an embedding by coordinates, an element's token is the sum of a learnt vector for each of its
  coordinates; with one by fractions, tokens, positions and the head's rows are what small networks
  make of features of their coordinates (see ``pipeline.model.coordinate_embedding``)
- with an attention bias, a learnt number is added to each attention score, one for each layer, head
  and relation of the two tokens (after Graphormer, Ying et al. 2021, arXiv:2106.05234); it begins
  at zero
- embeddings drawn from N(0, 1), linear layers uniform in +-1/sqrt(inputs) (PyTorch's default),
  the two projections into the residual stream scaled by 1/sqrt(layers); the untied head is
  what matters: tied, from N(0, 0.02), the same net does not learn the lecture's first task in
  1,000 steps, where this takes 200 to 400 (benchmarks/init.py)

Shapes: B sequences, T positions, H heads, D width, V vocabulary.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.errors import UsageError, nearest

if TYPE_CHECKING:
    from pipeline.model.coordinate_embedding import TokenFeatures

#: What a model may know of where its tokens lie; see ``pipeline.model.attention_bias``.
ATTENTION_BIASES = ("off", "distance", "offset")
#: What the embedding of an element's token is made of; see ``pipeline.model.coordinate_embedding``.
EMBEDDINGS = ("free", "coordinates", "fractions")
#: How many numbers are known of a position in a sequence.
POSITION_FEATURES = 9
#: How many relations two tokens can have; 0 is that of a token that stands for no element.
CLASSES = 64
_NO_FEATURES = "a model with a coordinate embedding needs features: give them to set_features"


@dataclass(frozen=True)
class GPTConfig:
    """The shape of a model.

    Attributes:
        vocab_size: V, at least 1.
        block_size: the most positions of a sequence, at least 1.
        layers: 1 to 256; no other value exceeds 2^24.
        heads: H, at least 1.
        width: D, a multiple of heads.
        attention_bias: one of ``ATTENTION_BIASES``, the relation that attention has a bias for.
        embedding: one of ``EMBEDDINGS``.
        features: K, how many numbers are known of a token; 0 with the embedding "free" alone.

    Raises:
        UsageError: a value out of range.
    """

    vocab_size: int
    block_size: int
    layers: int = 2
    heads: int = 4
    width: int = 64
    attention_bias: str = "off"
    embedding: str = "free"
    features: int = 0

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
        if self.attention_bias not in ATTENTION_BIASES:
            known = nearest(str(self.attention_bias), ATTENTION_BIASES)
            raise UsageError(f"attention_bias {self.attention_bias!r}: unknown{known}")
        if self.embedding not in EMBEDDINGS:
            known = nearest(str(self.embedding), EMBEDDINGS)
            raise UsageError(f"embedding {self.embedding!r}: unknown{known}")
        least = 0 if self.embedding == "free" else 1
        most_features = (1 << 24) * least
        if type(self.features) is not int or not least <= self.features <= most_features:
            raise UsageError(
                f"features = {self.features!r}: give a whole number from {least} to {most_features}"
            )

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
        known = config.attention_bias != "off"
        self.bias = nn.Parameter(torch.zeros(config.heads, CLASSES)) if known else None

    def forward(
        self, x: Tensor, classes: Tensor | None = None, seen: Tensor | None = None
    ) -> Tensor:
        """Map ``(B, T, D)`` to ``(B, T, D)``, each position seeing those before it and itself.

        Args:
            classes: with an attention bias, ``(B, T, T)`` as for `biases`; they say what is seen.
            seen: without, bool ``(B, 1, 1, T)``: what every position sees instead.
        """
        q, k, v = self.project(x)
        if x.device.type == "cpu":  # where torch's own is ten times slower in bfloat16
            wide = torch.promote_types(q.dtype, torch.float32)
            with torch.autocast("cpu", enabled=False):
                y = self._attend(q.to(wide), k.to(wide), v.to(wide), classes, seen)
        else:
            y = self._attend(q, k, v, classes, seen)
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

    def _attend(
        self, q: Tensor, k: Tensor, v: Tensor, classes: Tensor | None, seen: Tensor | None
    ) -> Tensor:
        if classes is None and seen is None:
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)
        mask = seen if classes is None else self.biases(classes, q.dtype)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


class GPT(nn.Module):
    """Next-token logits of a sequence.

    Args:
        config: the shape.
        relation: with an attention bias, what `relate` takes; a model without it computes nothing.
        features: with an embedding that is not free, what `set_features` takes; likewise.
        seed: draws the weights, the same on every device; None leaves them as torch makes them
            (to be overwritten).
    """

    relation: Tensor | None
    features: Tensor | None
    known: Tensor | None
    times: Tensor | None
    size_of: Tensor | None

    def __init__(
        self,
        config: GPTConfig,
        relation: np.ndarray | None = None,
        features: "TokenFeatures | None" = None,
        *,
        seed: int | None = 0,
    ):
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocab_size, config.width)
        if config.embedding != "fractions":
            self.positions = nn.Embedding(config.block_size, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = _norm(config.width)
        self.head = nn.Linear(config.width, config.vocab_size, bias=False)
        D, K = config.width, config.features
        if config.embedding == "coordinates":
            self.coordinates = nn.Embedding(K, D)
        if config.embedding == "fractions":
            self.token_net, self.head_net = _net(K, D), _net(K, D)
            self.position_net = _net(POSITION_FEATURES, D)
        self.relate(relation)
        self.set_features(features)
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
        table, positions, head = self._tables()
        if self.config.embedding == "fractions":  # which has a table for each size
            size = self._sizes(tokens)
            place = torch.arange(T, device=tokens.device)
            x = F.embedding(size[:, None] * table.shape[1] + tokens, table.flatten(0, 1))
            x = x + F.embedding(size[:, None] * positions.shape[1] + place, positions.flatten(0, 1))
            # As a product: both ways it is faster than an index, which copies and scatters.
            chosen = F.one_hot(size, len(head)).to(head.dtype) @ head.flatten(1)
            rows = chosen.view(-1, *head.shape[1:]).transpose(1, 2)
        else:
            x = F.embedding(tokens, table[0]) + positions[0, :T]
            rows = head[0].T
        classes = self._classes(tokens)
        for block in self.blocks:
            x = block(x, classes)
        return self.norm(x) @ rows

    def tables(self, prefix: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Return what a sequence that begins with ``prefix (P,)`` is written by.

        Returns:
            The embeddings of its tokens ``(V, D)`` and positions ``(T, D)``, and the rows of its
            head ``(V, D)``.
        """
        size = None
        if self.config.embedding == "fractions":
            size = self._sizes(torch.as_tensor(prefix, device=self.head.weight.device)[None])
        table, positions, head = self._tables(size)
        return table[0], positions[0], head[0]

    def _tables(self, size: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return the same for sizes ``(S,)``, or all: ``(S, V, D)``, ``(S, T, D)``, ``(S, V, D)``.

        Raises:
            ValueError: a coordinate embedding, but no features.
        """
        tokens, head = self.tokens.weight[None], self.head.weight[None]
        if self.config.embedding == "free":
            return tokens, self.positions.weight[None], head
        if self.features is None or self.times is None or self.known is None:
            raise ValueError(_NO_FEATURES)
        known = self.known[:, None]
        if self.config.embedding == "coordinates":
            placed = self.features @ self.coordinates.weight
            return torch.where(known, placed, tokens), self.positions.weight[None], head
        features, times = self.features, self.times
        if size is not None:
            features, times = features[size], times[size]
        shape = (self.config.width,)
        placed = F.rms_norm(self.token_net(features), shape)
        return (
            torch.where(known, placed, tokens),
            F.rms_norm(self.position_net(times), shape),
            torch.where(known, self.head_net(features), head),
        )

    def _sizes(self, tokens: Tensor) -> Tensor:
        """Return the index of the size of each sequence ``(B, T)``, which its second token says."""
        if self.size_of is None:
            raise ValueError(_NO_FEATURES)
        return self.size_of[tokens[:, min(1, tokens.shape[1] - 1)]]

    def set_features(self, features: "TokenFeatures | None") -> None:
        """Take over what is known of the tokens.

        It is no weight: files of models lack it, and it is made anew from the tokens
        (`coordinate_embedding.token_features`).

        Raises:
            ValueError: features for a free embedding, or of another shape.
        """
        config = self.config
        given: tuple[Tensor | None, ...] = (None,) * 4
        if features is not None:
            if config.embedding == "free":
                raise ValueError("features: given to a model with a free embedding")
            V, T, K = config.vocab_size, config.block_size, config.features
            found = features.features.shape[1:], features.positions.shape[1:]
            if found != ((V, K), (T, POSITION_FEATURES)):
                raise ValueError(f"expected features of ({V}, {K}) and {T} positions")
            device = self.head.weight.device
            given = tuple(torch.from_numpy(part).to(device) for part in features)
        for name, part in zip(("features", "known", "times", "size_of"), given, strict=True):
            self.register_buffer(name, part, persistent=False)

    def relate(self, relation: np.ndarray | None) -> None:
        """Take over the relation of every two tokens, uint8 ``(V, V)`` below ``CLASSES``.

        It is no weight: files of models lack it, and it is made anew from the tokens
        (`attention_bias.relations`).

        Raises:
            ValueError: a table for a model without an attention bias, or of another type or shape.
        """
        table = None
        if relation is not None:
            V = self.config.vocab_size
            if self.config.attention_bias == "off":
                raise ValueError("relation: given to a model without an attention bias")
            if relation.dtype != np.uint8 or relation.shape != (V, V) or relation.max() >= CLASSES:
                raise ValueError(
                    f"relation: expected uint8 ({V}, {V}) below {CLASSES}, got {relation.dtype} "
                    f"{relation.shape} up to {relation.max()}"
                )
            table = torch.from_numpy(relation).to(self.head.weight.device)
        self.register_buffer("relation", table, persistent=False)

    def related(self) -> Tensor | None:
        """Return the relation of every two tokens, uint8 ``(V, V)``; None without a bias.

        Raises:
            ValueError: an attention bias, but no table.
        """
        if self.relation is None and self.config.attention_bias != "off":
            raise ValueError(
                "a model with an attention bias needs its relation table: give it to relate"
            )
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
            if name.startswith(("tokens.", "positions.", "coordinates.")):
                drawn = torch.randn(weight.shape, generator=generator)
            else:
                bound = 1 / math.sqrt(weight.shape[1])
                drawn = (2 * torch.rand(weight.shape, generator=generator) - 1) * bound
                if name.endswith(("mix.weight", "down.weight")):
                    drawn /= math.sqrt(self.config.layers)
            weight.copy_(drawn)


def _norm(width: int) -> nn.Module:
    return nn.RMSNorm(width)


def _net(inputs: int, width: int) -> nn.Module:
    """Return a network of one hidden layer, from features ``(.., inputs)`` to ``(.., width)``."""
    first, second = nn.Linear(inputs, width, bias=False), nn.Linear(width, width, bias=False)
    return nn.Sequential(first, nn.GELU(approximate="tanh"), second)

"""Decoding, one token of many sequences at a time, over a static cache of keys and values.

Two decoders with one face: ``Lanes`` runs on a CPU, on products by torch and the kernels of
``pipeline.model.decode_kernels``; ``Batch`` runs on any device, on torch alone.

Shapes: B sequences, T positions, H heads, D width, V vocabulary.
"""

import copy
import math
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.model import decode_kernels
from pipeline.model.gpt import GPT, Block

_LANES = 16  # fewer columns, or other than whole vectors, and a product may round another way


class Decoder(Protocol):
    """Sequences under way; each step appends one token to every one of them."""

    def begin(self, prefix: np.ndarray, rows: int) -> Tensor:
        """Start ``rows`` sequences with ``prefix (P,)`` and return the logits ``(rows, V)``."""
        ...

    def step(self, tokens: np.ndarray) -> Tensor:
        """Return the logits ``(B, V)`` after tokens int64 ``(B,)``."""
        ...

    def keep(self, index: np.ndarray) -> None:
        """Make sequence i what ``index[i]`` was, and drop the rest; index int64, rising."""
        ...


def decoder(model: GPT, rows: int, length: int, dtype: torch.dtype) -> Decoder:
    """Return the decoder of a model's device for at most ``rows`` sequences of ``length``.

    Args:
        dtype: float32 or bfloat16, of the products and the cache.
    """
    kind = Lanes if model.head.weight.device.type == "cpu" else Batch
    return kind(model, rows, length, dtype)


def as_numpy(tensor: Tensor) -> np.ndarray:
    """Return the memory of a CPU tensor; bfloat16 as its bits, which numpy lacks."""
    return tensor.view(torch.uint16).numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()


class Lanes:
    """A decoder on a CPU: everything feature major, ``(D, B)``, a sequence to a lane.

    Lanes are rounded up to whole vectors; what those behind the last sequence hold is dropped.
    """

    def __init__(self, model: GPT, rows: int, length: int, dtype: torch.dtype):
        weights = {name: weight.detach() for name, weight in model.state_dict().items()}

        def product(name: str) -> Tensor:
            return weights[f"{name}.weight"].to(dtype)

        def norm(name: str) -> np.ndarray:
            return weights[f"{name}.weight"].numpy()

        self._width, self._size = model.config.width, model.config.width // model.config.heads
        self._dtype, self._length = dtype, length
        self._tables = model.tables
        self._blocks = []
        for name in (f"blocks.{layer}" for layer in range(model.config.layers)):
            query, memory = product(f"{name}.qkv").split([self._width, 2 * self._width])
            others = (product(f"{name}.{part}") for part in ("mix", "up", "down"))
            norms = norm(f"{name}.attention_norm"), norm(f"{name}.mlp_norm")
            bias = weights.get(f"{name}.bias", torch.empty(model.config.heads, 0)).numpy()
            self._blocks.append((*norms, query, memory, bias, *others))
        self._norm = norm("norm")
        lanes = _padded(rows)
        cells = length * 2 * self._width * lanes
        self._memory = [torch.empty(cells, dtype=dtype) for _ in self._blocks]
        relation = model.related()
        self._relation = None if relation is None else relation.numpy()
        self._past = np.empty(0 if relation is None else length * lanes, np.int32)

    def begin(self, prefix: np.ndarray, rows: int) -> Tensor:
        self._seen = 0
        self._tokens, self._positions, head = (t.detach() for t in self._tables(prefix))
        self._head = head.to(self._dtype)
        self._spread(1)
        for token in prefix[:-1]:
            self.step(np.array([token]))
        logits = self.step(prefix[-1:])
        firsts = [cache[: self._seen, :, :1].clone() for cache in self._caches()]
        self._spread(rows)
        for cache, first in zip(self._caches(), firsts, strict=True):
            cache[: self._seen] = first
        if self._relation is not None:
            self._tokens_seen()[:] = prefix[:, None]
        return logits.repeat(rows, 1)

    def step(self, tokens: np.ndarray) -> Tensor:
        width, position, lanes = self._width, self._seen, self._lanes
        self._seen += 1
        padded = torch.zeros(lanes, dtype=torch.int64)
        padded[: self._rows] = torch.from_numpy(tokens)
        x = (self._tokens[padded] + self._positions[position]).T.contiguous()
        h, y = self._empty(width), self._empty(width)
        wide = self._empty(4 * width)
        scratch = np.empty((self._length + self._size + 2, lanes), np.float32)
        classes = self._classes(padded.numpy())
        for cache, block in zip(self._caches(), self._blocks, strict=True):
            first, second, query, memory, bias, mix, up, down = block
            cache = cache[: self._seen]
            decode_kernels.normalise(x.numpy(), first, scratch[0], as_numpy(h))
            torch.mm(memory, h, out=cache[position])
            torch.mm(query, h, out=y)
            decode_kernels.attend(as_numpy(y), as_numpy(cache), bias, classes, scratch, as_numpy(h))
            x += torch.mm(mix, h, out=y)
            decode_kernels.normalise(x.numpy(), second, scratch[0], as_numpy(h))
            decode_kernels.gelu(as_numpy(torch.mm(up, h, out=wide)).reshape(-1))
            x += torch.mm(down, wide, out=y)
        decode_kernels.normalise(x.numpy(), self._norm, scratch[0], as_numpy(h))
        return torch.mm(h.T, self._head.T)[: self._rows]

    def keep(self, index: np.ndarray) -> None:
        before = self._lanes
        self._spread(len(index))
        index = np.pad(index, (0, self._lanes - len(index)), mode="edge")
        used = self._seen * 2 * self._width
        for memory in map(as_numpy, self._memory):
            decode_kernels.gather(
                memory[: used * before], before, index, memory[: used * self._lanes]
            )
        if self._relation is not None:
            past, used = self._past, self._seen
            decode_kernels.gather(past[: used * before], before, index, past[: used * self._lanes])

    def _tokens_seen(self) -> np.ndarray:
        """Return the tokens of each sequence so far, ``(T, lanes)``; T = 0 without a bias."""
        return self._past[: self._seen * self._lanes].reshape(-1, self._lanes)

    def _classes(self, tokens: np.ndarray) -> np.ndarray:
        """Append tokens ``(lanes,)``; return their relations uint8 ``(T, lanes)`` to all so far."""
        past = self._tokens_seen()
        if self._relation is None:
            return np.empty(past.shape, np.uint8)
        past[-1] = tokens
        return self._relation[tokens, past]

    def _spread(self, rows: int) -> None:
        self._rows, self._lanes = rows, _padded(rows)

    def _caches(self) -> list[Tensor]:
        """Return each layer's keys and values, ``(T, 2 D, lanes)``, at the start of its memory."""
        shape = (self._length, 2 * self._width, self._lanes)
        return [memory[: math.prod(shape)].view(shape) for memory in self._memory]

    def _empty(self, features: int) -> Tensor:
        return torch.empty((features, self._lanes), dtype=self._dtype)


class Batch:
    """A decoder on any device: row major, torch's own kernels, caches ``(B, H, T, D / H)``."""

    def __init__(self, model: GPT, rows: int, length: int, dtype: torch.dtype):
        self._tables = model.tables
        self._model, self._dtype = copy.deepcopy(model).to(dtype), dtype
        config, device = model.config, model.head.weight.device
        shape = (2, rows, config.heads, length, config.width // config.heads)
        self._caches = [torch.empty(shape, dtype=dtype, device=device) for _ in model.blocks]
        self._relation = self._model.related()
        self._past = torch.empty((rows, length), dtype=torch.int64, device=device)

    def begin(self, prefix: np.ndarray, rows: int) -> Tensor:
        self._tokens, self._positions, self._head = (
            table.detach().to(self._dtype) for table in self._tables(prefix)
        )
        self._seen, self._rows = 0, 1
        for token in prefix[:-1]:
            self.step(np.array([token]))
        logits = self.step(prefix[-1:])
        self._rows = rows
        for cache in self._caches:
            cache[:, 1:rows, :, : self._seen] = cache[:, :1, :, : self._seen]
        self._past[1:rows, : self._seen] = self._past[:1, : self._seen]
        return logits.repeat(rows, 1)

    def step(self, tokens: np.ndarray) -> Tensor:
        model, position = self._model, self._seen
        self._seen += 1
        given = torch.from_numpy(tokens).to(model.head.weight.device)
        x = (F.embedding(given, self._tokens) + self._positions[position])[:, None]
        classes = self._classes(given)
        for block, cache in zip(model.blocks, self._caches, strict=True):
            assert isinstance(block, Block)
            q, k, v = block.project(x)
            seen = cache[:, : self._rows, :, : self._seen]
            seen[0, :, :, position], seen[1, :, :, position] = k[:, :, 0], v[:, :, 0]
            mask = None if classes is None else block.biases(classes, q.dtype)
            x = block.close(x, F.scaled_dot_product_attention(q, *seen, attn_mask=mask))
        return F.linear(model.norm(x[:, 0]), self._head)

    def keep(self, index: np.ndarray) -> None:
        kept = torch.from_numpy(index).to(self._caches[0].device)
        self._rows = len(index)
        for cache in self._caches:
            used = cache[:, :, :, : self._seen]
            used[:, : self._rows] = used.index_select(1, kept)
        if self._relation is not None:
            self._past[: self._rows] = self._past[kept]

    def _classes(self, tokens: Tensor) -> Tensor | None:
        """Append tokens ``(B,)``; return their relations ``(B, 1, T)`` to all so far, or None."""
        if self._relation is None:
            return None
        past = self._past[: self._rows, : self._seen]
        past[:, -1] = tokens
        return self._relation[tokens[:, None], past].long()[:, None]


def _padded(rows: int) -> int:
    return -(-rows // _LANES) * _LANES

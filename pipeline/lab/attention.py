"""Attention maps of the product's own GPT: what each layer and head looks at, and how much."""

import math

import numpy as np
import torch
from torch import Tensor

from pipeline.lab.learning import tokens_of
from pipeline.lab.task import END
from pipeline.model.gpt import GPT

_ROWS = 100  # strings at a time


@torch.no_grad()
def weights(model: GPT, tokens: Tensor) -> list[Tensor]:
    """Return the attention weights of tokens int64 ``(B, T)``, for each layer ``(B, H, T, T)``.

    Row t holds what position t looks at when it says what follows it: 0 behind t, its sum 1. They
    are computed anew from what each block is given in the model's own forward pass, and its own
    queries and keys, as softmax(q k / sqrt(S) + bias).
    """
    given: list[tuple] = []
    hooks = [
        block.register_forward_pre_hook(lambda _, arguments: given.append(arguments))
        for block in model.blocks
    ]
    try:
        model(tokens)
    finally:
        for hook in hooks:
            hook.remove()
    T = tokens.shape[1]
    later = torch.ones((T, T), dtype=torch.bool, device=tokens.device).triu(1)
    found = []
    for block, (x, *classes) in zip(model.blocks, given, strict=True):
        q, k, _ = block.project(x)  # type: ignore[operator]
        scores = (q @ k.transpose(2, 3)).float() / math.sqrt(q.shape[3])
        if classes and classes[0] is not None:
            scores = scores + block.biases(classes[0], scores.dtype)  # type: ignore[operator]
        found.append(scores.masked_fill(later, -torch.inf).softmax(dim=3))
    return found


def maps(model: GPT, strings: np.ndarray) -> np.ndarray:
    """Return the maps of strings ``(B, L)``, averaged: ``(layers, H, L + 1, L + 1)``.

    Row t is the writing of the symbol at position t + 1 (or of the end), column 0 the sign of the
    beginning, column t the symbol at position t. A row is averaged over the strings that have it.
    """
    long = int((strings != END).sum(axis=1).max())
    strings = strings[:, :long]
    there = np.pad(strings != END, ((0, 0), (1, 0)), constant_values=True)
    total = 0.0
    for start in range(0, len(strings), _ROWS):
        part = slice(start, start + _ROWS)
        tokens = torch.from_numpy(tokens_of(strings[part])[:, :-1]).to(model.head.weight.device)
        each = torch.stack(weights(model, tokens)).cpu().numpy()  # (layers, B, H, T, T)
        total = total + np.einsum("lbhqk,bq->lhqk", each, there[part])
    return total / there.sum(axis=0)[:, None]


def sharpest(found: np.ndarray, positions: list[int]) -> list[dict[str, float]]:
    """Return for each position that is written, 1-based, which head looks hardest, and where.

    Args:
        found: as of `maps`. Position 0 in "looks at" is the beginning.
    """
    hardest = []
    for position in positions:
        rows = found[:, :, position - 1, :position]
        layer, head, at = np.unravel_index(rows.argmax(), rows.shape)
        hardest.append(
            {
                "writes": position,
                "layer": int(layer) + 1,
                "head": int(head) + 1,
                "looks at": int(at),
                "weight": round(float(rows[layer, head, at]), 4),
            }
        )
    return hardest

"""Sampling from a GPT, with no notion of what the tokens mean."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from pipeline.errors import PipelineError
from pipeline.model import decode_kernels
from pipeline.model.decode import Decoder, as_numpy, decoder
from pipeline.model.device import pick_dtype
from pipeline.model.device_mask import TableGuide
from pipeline.model.gpt import GPT

_COMPACT = 8  # a batch is compacted when one in so many of its sequences has ended
_NOT_FINITE = "the model's logits are not finite; train it anew or roll back"


class Guide(Protocol):
    """What may come next, for the sequences of one batch; it starts after the prefix."""

    def legal(self) -> np.ndarray | Tensor:
        """Return bool ``(rows, V)``: the tokens that each sequence may go on with."""
        ...

    def advance(self, tokens: np.ndarray) -> None:
        """Take in the token int64 ``(rows,)`` that each sequence went on with.

        A sequence that has ended gets the padding token; what `legal` says of it is not read.
        """
        ...

    def keep(self, index: np.ndarray) -> None:
        """Make row i what row ``index[i]`` was, and drop the rest; index int64 ``(rows,)``."""
        ...


class TabledGuide(Guide, Protocol):
    """A guide that can be followed on another device."""

    def table(self) -> tuple[np.ndarray, np.ndarray, bool, bool] | None:
        """Return what ``masks.TableGuide`` needs, None where a table does not say it all."""
        ...


@torch.inference_mode()
def sample(
    model: GPT,
    prefix: np.ndarray,
    count: int,
    *,
    length: int,
    eos: int,
    pad: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int,
    batch: int = 512,
    precision: str = "auto",
    guide_factory: Callable[[int], TabledGuide] | None = None,
    first: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Draw ``count`` sequences of at most ``length`` tokens that begin with ``prefix (P,)``.

    Sequence i depends on the seed and on i. On a CPU batch size and compaction change no bit of
    its logits; on a GPU they may change the rounding of one, which matters only where a draw
    falls on the very edge between two tokens.

    Args:
        temperature: divides the logits; 0 or below takes the likeliest token.
        top_p: in (0, 1]: only the likeliest tokens that together reach this mass (of what the
            guide allows) can be drawn.
        batch: sequences at a time.
        precision: as for ``device.pick_dtype``.
        guide_factory: makes the guide of a batch from its number of sequences. A sequence to
            which it leaves no token ends with EOS.
        first: the number of the first sequence: those before it are drawn elsewhere.
        progress: called as (sequences ended, count) after every position. It may raise.

    Returns:
        int64 ``(count, length)``, padded after EOS. A row that did not end has no EOS.

    Raises:
        ValueError: a length, prefix, count, batch or top_p out of range.
        PipelineError: the model's logits are not finite.
    """
    prefix = np.asarray(prefix, np.int64)
    if not 1 <= len(prefix) <= length <= model.config.block_size:
        raise ValueError(
            f"length = {length}: give {len(prefix)} (the prefix) to {model.config.block_size} "
            "(the model's block size)"
        )
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p = {top_p}: give a share above 0, at most 1")
    if count < 0 or batch < 1:
        raise ValueError(f"count = {count}, batch = {batch}: give at least 0 and at least 1")
    device = model.head.weight.device
    dtype = pick_dtype(precision, device, model.config.width)
    machine = decoder(model, min(batch, count), length, dtype)
    guides: Callable[[int], Guide] | None = guide_factory
    if guide_factory is not None and device.type == "cuda":
        table = guide_factory(1).table()
        guides = (
            guides if table is None else TableGuide(table, model.config.vocab_size, device).begin
        )
    out = np.full((count, length), pad, np.int64)
    out[:, : len(prefix)] = prefix
    generator = skip(np.random.default_rng(seed), first * length)

    def pick(logits: Tensor, u: np.ndarray, legal: np.ndarray | Tensor | None) -> np.ndarray:
        return choose(logits, u, legal, eos, temperature, top_p)

    for start in range(0, count, batch):
        rows = min(batch, count - start)
        # One table row per sequence, drawn in order: no batch size alters sequence i's numbers.
        uniforms = generator.random((rows, length))
        guide = guides(rows) if guides is not None else None

        def report(ended: int, start: int = start) -> None:
            if progress is not None:
                progress(start + ended, count)

        part = out[start : start + rows]
        _sample_batch(machine, part, prefix, uniforms, (eos, pad), pick, guide, report)
    return out


def skip(generator: np.random.Generator, numbers: int) -> np.random.Generator:
    """Have a generator go past so many numbers of ``random``; return it."""
    assert isinstance(generator.bit_generator, np.random.PCG64)  # a step for each number
    generator.bit_generator.advance(numbers)
    return generator


def _sample_batch(
    machine: Decoder,
    out: np.ndarray,
    prefix: np.ndarray,
    uniforms: np.ndarray,
    marks: tuple[int, int],
    pick: Callable[[Tensor, np.ndarray, np.ndarray | Tensor | None], np.ndarray],
    guide: Guide | None,
    report: Callable[[int], None],
) -> None:
    """Fill ``out (rows, length)`` behind the prefix."""
    eos, pad = marks
    rows, length = out.shape
    ids = np.arange(rows)
    ended = np.zeros(rows, bool)
    logits = machine.begin(prefix, rows)
    for position in range(len(prefix), length):
        legal = guide.legal() if guide is not None else None
        tokens = pick(logits, uniforms[ids, position], legal)
        tokens[ended] = pad
        out[ids, position] = tokens
        ended |= tokens == eos
        report(rows - len(ids) + int(ended.sum()))
        if ended.all():
            return
        if guide is not None:
            guide.advance(tokens)
        if ended.sum() * _COMPACT >= len(ids):
            index = np.flatnonzero(~ended)
            ids, ended, tokens = ids[index], ended[index], tokens[index]
            machine.keep(index)
            if guide is not None:
                guide.keep(index)
        if position + 1 < length:
            logits = machine.step(tokens)


def choose(
    logits: Tensor,
    uniforms: np.ndarray,
    legal: np.ndarray | Tensor | None,
    eos: int,
    temperature: float,
    top_p: float,
) -> np.ndarray:
    """Return the next token int64 ``(rows,)`` by inverse transform of ``uniforms (rows,)``.

    Args:
        legal: bool ``(rows, V)``; a row with nothing legal draws ``eos``.

    Raises:
        PipelineError: a logit is not finite.
    """
    if logits.device.type != "cpu":
        return _choose_there(logits, uniforms, legal, eos, temperature, top_p)
    tokens = np.empty(len(logits), np.int64)
    allowed = np.zeros((0, 0), np.bool_) if legal is None else np.asarray(legal)
    if not decode_kernels.draw(
        as_numpy(logits), uniforms, allowed, eos, temperature, top_p, tokens
    ):
        raise PipelineError(_NOT_FINITE)
    return tokens


def _choose_there(
    logits: Tensor,
    uniforms: np.ndarray,
    legal: np.ndarray | Tensor | None,
    eos: int,
    temperature: float,
    top_p: float,
) -> np.ndarray:
    """Do the same on the device of the logits."""
    logits = logits.float()
    if not bool(torch.isfinite(logits).all()):
        raise PipelineError(_NOT_FINITE)
    if legal is not None:
        allowed = torch.as_tensor(legal, device=logits.device).clone()
        allowed[:, eos] |= ~allowed.any(dim=1)
        logits = logits.masked_fill(~allowed, -torch.inf)
    if temperature <= 0:
        return logits.argmax(dim=1).cpu().numpy()
    # The likeliest is brought to 0 first: a tiny temperature then sends the rest to -inf.
    logits = (logits - logits.amax(dim=1, keepdim=True)) / temperature
    probabilities = torch.softmax(logits, dim=1)
    if top_p < 1:
        ranked, order = probabilities.sort(dim=1, descending=True, stable=True)
        # A token stays if those before it do not reach top_p: the likeliest always does.
        cut = ranked.cumsum(dim=1) - ranked >= top_p
        probabilities = probabilities.scatter(1, order, ranked.masked_fill(cut, 0.0))
    # Doubles, where the device has them: sums of float32 would drop the rarest tokens.
    double = torch.float32 if logits.device.type == "mps" else torch.float64
    heights = probabilities.to(double).cumsum(dim=1)
    drawn = torch.from_numpy(uniforms).to(double).to(logits.device) * heights[:, -1]
    # The first height above the number drawn: a token of probability zero adds no height, so
    # it is never the first. Rounding up to the very top is sent to the last that has any.
    picked = torch.searchsorted(heights, drawn[:, None], right=True)[:, 0]
    place = torch.arange(logits.shape[1], device=logits.device)
    last = torch.where(probabilities > 0, place, 0).amax(dim=1)
    return torch.minimum(picked, last).cpu().numpy()

"""Training: of a GPT on constructions of several sizes or any tokens, of a model on any loss."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.config import TrainConfig
from pipeline.errors import PipelineError
from pipeline.model.device import compiled, peak_flops, pick_dtype
from pipeline.model.device_memory import Gradients
from pipeline.model.gpt import GPT
from pipeline.model.optimizer import Optimizer
from pipeline.model.parallel import ALONE, Group
from pipeline.model.tokens import PAD, Encoder

HOLDOUT_MOST = 1000  # more would only slow the evaluations down
_EVALUATION_ROWS = 256
_FINAL_RATE = 0.1  # of the learning rate, at the end of the cosine


@dataclass(frozen=True)
class TrainResult:
    """What a training came to; the losses are nats per token.

    Attributes:
        steps: the steps that were run.
        best_step: the step whose weights the model has now.
        train_loss: the mean over the last stretch between evaluations.
        holdout_loss: of the weights the model has now; None without held-out constructions.
        curve: (step, mean training loss since the last entry, held-out loss or None).
        stopped_early: whether patience ran out.
        optimizer_state: named tensors that a next `train` continues from.
        tokens_per_second: shown to the model in its steps, by all processes, padding left out. It
            goes by the clock, as the next does, so it belongs into no file that a resumed run must
            repeat.
        utilisation: the share of the speed of the devices that went into the model's own products.
    """

    steps: int
    best_step: int
    train_loss: float
    holdout_loss: float | None
    curve: list[tuple[int, float, float | None]]
    stopped_early: bool
    optimizer_state: dict[str, Tensor] = field(repr=False)
    tokens_per_second: float = field(compare=False)
    utilisation: float = field(compare=False)


def train(
    model: GPT,
    encoder: Encoder,
    constructions: Mapping[int, np.ndarray],
    config: TrainConfig,
    *,
    seed: int,
    precision: str = "auto",
    optimizer_state: Mapping[str, Tensor] | None = None,
    group: Group = ALONE,
    progress: Callable[[int, int, float], None] | None = None,
    note: Callable[[str], None] = print,
) -> TrainResult:
    """Train a model in place on packed constructions ``{n: (B, bytes)}``.

    Every step draws from all sizes in proportion to their numbers, each construction under a
    fresh random symmetry. With a held-out part the model ends with the weights (and moments) of
    its best evaluation. The same input gives the same bits on one device and thread count.

    Args:
        precision: as for ``device.pick_dtype``; weights and moments are float32 in any case.
        optimizer_state: a former result's; its moments go on, the schedule starts anew.
        group: the processes that train together. Each is given the same, takes its own rows of each
            batch and ends with the same weights: those of one process up to rounding.
        progress: called as (step, steps, loss) after every step. It may raise, KeyboardInterrupt
            say; the model is then left half trained.
        note: is told where a batch was too large for the device's memory.

    Raises:
        ValueError: no constructions at all, or one that the encoder cannot encode.
        RunError: an optimiser state of another model.
        PipelineError: the loss is no longer finite.
    """
    sizes, rows = locate(constructions)
    if not len(rows):
        raise ValueError("constructions: at least one is needed to train on")
    rng = np.random.default_rng(seed)
    held = min(int(config.holdout * len(rows)), HOLDOUT_MOST)
    shuffled = rng.permutation(len(rows))

    def written(chosen: np.ndarray) -> np.ndarray:
        return _encode(encoder, constructions, sizes[chosen], rows[chosen], rng)

    return fit(
        model,
        config,
        held=written(shuffled[:held]),
        epoch=lambda: written(rng.permutation(shuffled[held:])),
        ignored=len(encoder.prefix(encoder.sizes[0])) - 1,
        precision=precision,
        optimizer_state=optimizer_state,
        group=group,
        progress=progress,
        note=note,
    )


def fit(
    model: GPT,
    config: TrainConfig,
    *,
    epoch: Callable[[], np.ndarray],
    held: np.ndarray | None = None,
    ignored: int = 0,
    precision: str = "auto",
    optimizer: Optimizer | None = None,
    optimizer_state: Mapping[str, Tensor] | None = None,
    after: int = 0,
    group: Group = ALONE,
    progress: Callable[[int, int, float], None] | None = None,
    note: Callable[[str], None] = print,
) -> TrainResult:
    """Train a model in place on tokens int64 ``(total, T)``, with no notion of what they mean.

    Args:
        epoch: returns what is shown next, in its order; asked again when that is used up.
        held: tokens to be held out, none of which `epoch` returns.
        ignored: how many targets of each sequence are given anyway and have no loss.
        optimizer: of the model, in place of one made of ``config`` and ``optimizer_state``.
        after: so many of ``config.steps`` were taken before, of which the model's weights and the
            optimizer are; `epoch` then begins with what is shown next. Not with a held-out part.

    The rest, and what it raises, is as for `train`; ``config.holdout`` plays no part.
    """
    held_tokens = np.zeros((0, 0), np.int64) if held is None else held
    device = model.head.weight.device
    dtype = pick_dtype(precision, device, model.config.width)
    run = compiled(model)

    def loss(tokens: np.ndarray) -> tuple[Tensor, int, int]:
        total, count = token_loss(run, torch.from_numpy(tokens).to(device), ignored, dtype)
        return total / count, int(count), int((tokens[:, :-1] != PAD).sum())

    first, last = group.share(len(held_tokens))
    return descend(
        model,
        config,
        _batches(epoch, config.batch),
        loss,
        (lambda: _evaluate(model, held_tokens[first:last], ignored, dtype))
        if len(held_tokens)
        else None,
        dtype=dtype,
        optimizer=optimizer,
        optimizer_state=optimizer_state,
        after=after,
        group=group,
        progress=progress,
        note=note,
    )


def descend(
    model: Any,
    config: TrainConfig,
    batches: Iterator[Any],
    loss_of: Callable[[Any], tuple[Tensor, int, int]],
    evaluate: Callable[[], tuple[float, int]] | None,
    *,
    dtype: torch.dtype,
    optimizer: Optimizer | None = None,
    optimizer_state: Mapping[str, Tensor] | None = None,
    after: int = 0,
    group: Group = ALONE,
    progress: Callable[[int, int, float], None] | None = None,
    note: Callable[[str], None] = print,
) -> TrainResult:
    """Train a model in place: Muon and AdamW, warm-up, cosine, early stop.

    Args:
        model: a module with a ``config`` that counts ``flops``.
        batches: as many as there are steps, of ``config.batch`` constructions each.
        loss_of: returns a batch's mean loss, of how many losses, and how many positions it shows
            the model.
        evaluate: returns the mean loss on this process's share of what is held out, and of how many
            losses that is the mean; None where nothing is held out.
        dtype: of the products, for `TrainResult.utilisation`.
        optimizer, after: as for `fit`.
        optimizer_state, group, progress, note: as for `train`.

    Raises:
        RunError: an optimiser state of another model.
        PipelineError: the loss is no longer finite.
    """
    if optimizer is None:
        rate, decay = config.learning_rate, config.weight_decay
        optimizer = Optimizer(model, rate, decay, state=optimizer_state)
    curve: list[tuple[int, float, float | None]] = []
    best: tuple[float, int, dict[str, Tensor], dict[str, Tensor]] | None = None
    since, stopped, step = [], False, after
    seen, seconds = 0, 0.0
    gradients = Gradients(loss_of, model.parameters(), note, group)
    model.train()
    for step, batch in enumerate(batches, after + 1):
        start = time.perf_counter()
        loss, positions = gradients.of(batch)
        if config.clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimizer.step(_rate(step, config))
        since.append(loss)
        seconds += time.perf_counter() - start
        seen += positions
        if not math.isfinite(since[-1]):
            raise PipelineError(
                f"training diverged at step {step} (loss {since[-1]}); lower the learning rate "
                f"from {config.learning_rate}"
            )
        if progress is not None:
            progress(step, config.steps, since[-1])
        if step % config.evaluate_every == 0 or step == config.steps:
            holdout = group.mean(*evaluate()) if evaluate is not None else None
            curve.append((step, float(np.mean(since)), holdout))
            since = []
            if holdout is not None:
                if best is None or holdout < best[0]:
                    best = (holdout, step, _weights(model), optimizer.state())
                lost = sum(1 for entry in curve if entry[0] > best[1])
                stopped = 0 < config.patience <= lost and step < config.steps
        if stopped or step == config.steps:
            break
    holdout, best_step, state = None, step, None
    if best is not None:
        holdout, best_step, weights, state = best
        model.load_state_dict(weights)
    rate = seen / seconds
    length = seen / ((step - after) * config.batch)
    flops = 3 * model.config.flops(length)  # backward costs twice forward
    return TrainResult(
        steps=step,
        best_step=best_step,
        train_loss=curve[-1][1],
        holdout_loss=holdout,
        curve=curve,
        stopped_early=stopped,
        optimizer_state=state or optimizer.state(),
        tokens_per_second=rate,
        utilisation=flops * rate / (group.size * peak_flops(_device(model), dtype)),
    )


def token_loss(
    model: Callable[[Tensor], Tensor],
    tokens: Tensor,
    ignored: int,
    dtype: torch.dtype,
    reduction: str = "sum",
) -> tuple[Tensor, Tensor]:
    """Return the loss in nats of tokens int64 ``(B, T)``, and how many targets have one.

    The first ``ignored`` targets, which are given anyway, and padding have none.

    Args:
        dtype: of the products; float32 switches no autocast on.
        reduction: "sum", or "none" for the loss of each target, ``(B * (T - 1),)``.
    """
    target = tokens[:, 1:].clone()
    target[:, :ignored] = PAD
    with torch.autocast(tokens.device.type, dtype, enabled=dtype != torch.float32):
        logits = model(tokens[:, :-1])
    loss = F.cross_entropy(
        logits.float().flatten(0, 1), target.flatten(), ignore_index=PAD, reduction=reduction
    )
    return loss, (target != PAD).sum()


def locate(constructions: Mapping[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the size and the row of every construction, each ``(total,)``."""
    known = sorted(constructions)
    counts = [len(constructions[n]) for n in known]
    rows = [np.arange(count) for count in counts]
    return np.repeat(np.array(known, int), counts), np.concatenate([*rows, np.zeros(0, int)])


def _batches(epoch: Callable[[], np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Yield batches ``(size, T)`` for ever, of one epoch's tokens ``(total, T)`` after another.

    What is left of an epoch goes before the next; T is as long as the longest of the batch.
    """
    queue = epoch()
    while True:
        while len(queue) < size:
            queue = _stack([queue, epoch()])
        batch, queue = queue[:size], queue[size:]
        yield batch[:, (batch != PAD).any(axis=0)]


def _encode(
    encoder: Encoder,
    constructions: Mapping[int, np.ndarray],
    sizes: np.ndarray,
    rows: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Encode the constructions of these sizes and rows, augmented, as int64 ``(B, T)``."""
    known = np.unique(sizes)
    parts = [encoder.encode(constructions[n][rows[sizes == n]], n, rng) for n in known.tolist()]
    order = np.argsort(np.argsort(sizes, kind="stable"))
    return _stack(parts)[order]


def _stack(parts: list[np.ndarray]) -> np.ndarray:
    """Put tokens ``(B, T)`` below one another, padded to the longest."""
    longest = max((part.shape[1] for part in parts), default=0)
    ends = [((0, 0), (0, longest - part.shape[1])) for part in parts]
    padded = [np.pad(part, end, constant_values=PAD) for part, end in zip(parts, ends, strict=True)]
    return np.concatenate([np.zeros((0, longest), np.int64), *padded])


@torch.no_grad()
def _evaluate(
    model: GPT, tokens: np.ndarray, ignored: int, dtype: torch.dtype
) -> tuple[float, int]:
    """Return the mean loss per token of ``(B, T)``, and of how many losses that is the mean."""
    # Rows of like length together: the padding beyond the longest of a batch is cut off.
    tokens = tokens[np.argsort((tokens != PAD).sum(axis=1), kind="stable")]
    total, count = 0.0, 0
    for start in range(0, len(tokens), _EVALUATION_ROWS):
        part = tokens[start : start + _EVALUATION_ROWS]
        part = torch.from_numpy(part[:, (part != PAD).any(axis=0)])
        loss, targets = token_loss(model, part.to(model.head.weight.device), ignored, dtype)
        total += loss.item()
        count += int(targets.item())
    return total / max(count, 1), count


def _rate(step: int, config: TrainConfig) -> float:
    """Return the share of the peak learning rate at a step from 1 on."""
    if step <= config.warmup:
        return step / config.warmup
    through = (step - config.warmup) / max(1, config.steps - config.warmup)
    return _FINAL_RATE + (1 - _FINAL_RATE) * (1 + math.cos(math.pi * min(1.0, through))) / 2


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in model.state_dict().items()}

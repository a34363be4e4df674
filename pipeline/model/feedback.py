"""Telling a trained model which of its constructions came to much, and which did not.

Two ways to do so, both against the model as it was, the *reference*:

- "prefer": direct preference optimisation, on pairs of a good and a bad construction (Rafailov et
  al. 2023, arXiv:2305.18290, equation 7)
- "policy": REINFORCE (Williams 1992) on the scores, with their mean as baseline and a penalty on
  the Kullback-Leibler divergence from the reference
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.config import FeedbackConfig
from pipeline.errors import PipelineError
from pipeline.model.device import compiled, pick_dtype
from pipeline.model.gpt import GPT
from pipeline.model.tokens import Encoder
from pipeline.model.train import token_loss

_BETAS = (0.9, 0.99)
_CLIP = 1.0  # largest norm of a gradient
_MEASURED = 1000  # constructions by which accuracy and divergence are measured
_ROWS = 256  # of them at a time


@dataclass(frozen=True)
class FeedbackResult:
    """What a feedback came to; all but the first three are None where it had nothing to tell.

    Attributes:
        changed: False where the kind is "none" or all scores are equal, so that no construction is
            better than another; the weights are then untouched.
        good, bad: how many constructions are in the two parts that pairs are drawn from.
        loss: the mean over the last tenth of the steps.
        before, after: the share of pairs whose better construction the model finds likelier; the
            better is often the longer, which makes it less likely.
        raised: the share of pairs whose better construction gained more likelihood than the other.
        divergence: estimate of KL(reference || model), in nats per construction.
    """

    changed: bool
    good: int
    bad: int
    loss: float | None = None
    before: float | None = None
    after: float | None = None
    raised: float | None = None
    divergence: float | None = None


def feedback(
    model: GPT,
    encoder: Encoder,
    n: int,
    cells: np.ndarray,
    scores: np.ndarray,
    config: FeedbackConfig,
    *,
    seed: int,
    precision: str = "auto",
    progress: Callable[[int, int, float], None] | None = None,
) -> FeedbackResult:
    """Tune a model in place by what became of packed constructions ``(B, bytes)`` of size n.

    Each step writes its constructions anew, under fresh random symmetries. The same input gives
    the same bits on one device and thread count. Of several processes that train together the one
    that leads does this alone: the others are sent its weights before the next training.

    Args:
        cells: what the model wrote in one round, no two alike.
        scores: ``(B,)``, what each came to, after local search say. Good are the ``share`` of
            the constructions with the highest and what ties with them, bad those with the lowest;
            where the two would meet, all that differ from the commonest score or from those above.
        precision: as for ``device.pick_dtype``.
        progress: called as (step, steps, loss) after every step. It may raise, KeyboardInterrupt
            say; the model is then left half tuned.

    Raises:
        ValueError: scores of another shape, or a construction that the encoder cannot encode.
        PipelineError: the loss is no longer finite.
    """
    scores = np.asarray(scores, np.float64)
    if scores.shape != (len(cells),):
        raise ValueError(f"scores: expected ({len(cells)},), got {scores.shape}")
    good, bad = _parts(scores, config.fraction)
    if config.kind == "none" or not len(bad):
        return FeedbackResult(False, len(good), len(bad))
    rng = np.random.default_rng(seed)
    device = model.head.weight.device
    dtype = pick_dtype(precision, device, model.config.width)
    ignored = len(encoder.prefix(n)) - 1

    def written(rows: np.ndarray) -> Tensor:
        return torch.from_numpy(encoder.encode(cells[rows], n, rng)).to(device)

    reference = compiled(copy.deepcopy(model).requires_grad_(False))
    run = compiled(model)

    def ratios(tokens: Tensor) -> Tensor:
        with torch.no_grad():
            before = _likelihoods(reference, tokens, ignored, dtype)
        return _likelihoods(run, tokens, ignored, dtype) - before

    pairs = written(_draw_pairs(good, bad, _MEASURED // 2, rng))
    drawn = written(rng.permutation(len(cells))[:_MEASURED])
    advantages = torch.from_numpy((scores - scores.mean()) / scores.std()).float().to(device)
    earlier = _total(run, pairs, ignored, dtype)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, betas=_BETAS, weight_decay=0.0
    )
    losses: list[float] = []
    for step in range(1, config.steps + 1):
        if config.kind == "prefer":
            rows = _draw_pairs(good, bad, config.batch, rng)
            better, worse = ratios(written(rows)).sum(dim=1).chunk(2)
            loss = preference_loss(better, worse, config.beta)
        else:
            rows = rng.integers(len(cells), size=config.batch)
            loss = policy_loss(ratios(written(rows)), advantages[rows], config.beta)
        losses.append(loss.item())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP).item()
        if not math.isfinite(losses[-1] + norm):
            raise PipelineError(
                f"feedback diverged at step {step} (loss {losses[-1]}); lower its learning rate "
                f"from {config.learning_rate}"
            )
        optimizer.step()
        if progress is not None:
            progress(step, config.steps, losses[-1])
    with torch.no_grad():
        moved = torch.cat([ratios(part) for part in drawn.split(_ROWS)])
    later = _total(run, pairs, ignored, dtype)
    return FeedbackResult(
        changed=True,
        good=len(good),
        bad=len(bad),
        loss=float(np.mean(losses[-max(1, config.steps // 10) :])),
        before=_share_larger(earlier),
        after=_share_larger(later),
        raised=_share_larger(later - earlier),
        divergence=divergence(moved).mean().item(),
    )


def preference_loss(better: Tensor, worse: Tensor, beta: float) -> Tensor:
    """Return the mean of -log sigmoid(beta (better - worse)).

    Args:
        better, worse: ``(B,)``, log(p(x) / p_reference(x)) of each pair's two constructions.
    """
    return -F.logsigmoid(beta * (better - worse)).mean()


def policy_loss(ratios: Tensor, advantages: Tensor, beta: float) -> Tensor:
    """Return a loss whose gradient is that of REINFORCE against the reference's samples.

    Over constructions x with advantages A it is the mean of

        -min(1, p(x) / p_reference(x)) A grad log p(x)  +  beta grad KL(reference || model)

    The weight, which is held constant, corrects for x having been drawn from the reference. It is
    cut off at 1, so that what grows likely counts once, and what grows unlikely is left alone.

    Args:
        ratios: ``(B, T)``, log(p / p_reference) of each token, 0 for those that do not count.
        advantages: ``(B,)``, each score less the mean, in standard deviations.
    """
    total = ratios.sum(dim=1)
    weight = total.detach().clamp(max=0).exp()
    return (beta * divergence(ratios) - weight * advantages * total).mean()


def divergence(ratios: Tensor) -> Tensor:
    """Return an estimate ``(B,)`` of KL(reference || model) from samples of the reference.

    The sum over tokens of r - 1 - log r, log r being ``ratios (B, T)``: never negative, and
    unbiased, as is its gradient (k3 in Schulman 2020, "Approximating KL Divergence").
    """
    return (ratios.expm1() - ratios).sum(dim=1)


def _parts(scores: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the good and of the bad, each of the one above each of the other."""
    if not len(scores):
        return np.zeros(0, int), np.zeros(0, int)
    count = max(1, round(share * len(scores)))
    ranked = np.sort(scores)
    low, high = ranked[count - 1], ranked[-count]
    good, bad = scores >= high, scores <= low
    if low == high:
        good = scores > low if (scores > low).any() else good
        bad = ~good
    return np.flatnonzero(good), np.flatnonzero(bad)


def _draw_pairs(
    good: np.ndarray, bad: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Return rows ``(2 count,)``: the better of each pair, then the worse."""
    return np.concatenate([rng.choice(good, count), rng.choice(bad, count)])


def _likelihoods(
    model: Callable[[Tensor], Tensor], tokens: Tensor, ignored: int, dtype: torch.dtype
) -> Tensor:
    """Return the log-probability of each token after the first, ``(B, T - 1)``.

    It is 0 for what is given anyway and for padding.
    """
    losses, _ = token_loss(model, tokens, ignored, dtype, reduction="none")
    return -losses.view(len(tokens), -1)


@torch.no_grad()
def _total(
    model: Callable[[Tensor], Tensor], tokens: Tensor, ignored: int, dtype: torch.dtype
) -> Tensor:
    """Return the log-probability of each sequence of tokens ``(B, T)``."""
    parts = [_likelihoods(model, part, ignored, dtype).sum(dim=1) for part in tokens.split(_ROWS)]
    return torch.cat(parts)


def _share_larger(values: Tensor) -> float:
    """Return how many of the values ``(2 B,)`` of pairs are larger in the first half, a share."""
    better, worse = values.chunk(2)
    return (better > worse).float().mean().item()

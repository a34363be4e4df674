"""What the initialisation is worth: the lecture's task "digit 13 = digit 22", three starts.

python benchmarks/init.py [--steps 800] [--seeds 1]    two to four minutes on one core

1,000 random 0/1 strings of 30 to 40 digits whose 13th and 22nd digit (counted from 1) agree.
All nets have the same shape, data and training; measured is the share of 1,000 fresh strings
whose 22nd digit is the likelier one, given the digits before it. Chance is 50 %.
"""

import argparse
import math
import time

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.model.gpt import GPT, GPTConfig

PAD, BOS, EOS, ZERO = 0, 1, 2, 3
LAYERS, BATCH, RATE = 4, 32, 1e-3


def strings(count: int, rng: np.random.Generator) -> Tensor:
    """Return tokens int64 ``(count, 42)`` of strings that obey the rule; digit i is at place i."""
    tokens = np.full((count, 42), PAD)
    tokens[:, 0] = BOS
    lengths = rng.integers(30, 41, size=count)
    digits = ZERO + rng.integers(2, size=(count, 40))
    digits[:, 21] = digits[:, 12]
    inside = np.arange(40) < lengths[:, None]
    tokens[:, 1:41][inside] = digits[inside]
    tokens[np.arange(count), lengths + 1] = EOS
    return torch.from_numpy(tokens)


def ours(seed: int) -> GPT:
    """Return the net as the pipeline makes it."""
    return GPT(GPTConfig(ZERO + 2, 42, layers=LAYERS, heads=4, width=64), seed=seed)


def small(seed: int) -> GPT:
    """Return the net with GPT-2's scales: all weights N(0, 0.02), less into the residuals."""
    model = ours(seed)
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if weight.ndim == 2:
            residual = name.endswith(("mix.weight", "down.weight"))
            std = 0.02 / math.sqrt(2 * LAYERS) if residual else 0.02
            nn.init.normal_(weight, 0, std, generator=generator)
    return model


def tied(seed: int) -> GPT:
    """Return the net with GPT-2's start: the scales of `small`, the head tied to the tokens."""
    model = small(seed)
    model.head.weight = model.tokens.weight
    return model


def accuracies(model: GPT, steps: int, seed: int, every: int) -> list[float]:
    """Train and return the accuracy on digit 22 after each ``every`` steps."""
    rng = np.random.default_rng(seed)
    data, fresh = strings(1000, rng), strings(1000, rng)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    found = []
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, step / 50)
        batch = data[torch.from_numpy(rng.integers(len(data), size=BATCH))]
        logits = model(batch[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten(), ignore_index=PAD)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % every == 0:
            with torch.no_grad():
                guess = model(fresh[:, :22])[:, -1, ZERO : ZERO + 2].argmax(dim=1) + ZERO
            found.append((guess == fresh[:, 22]).double().mean().item())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    every = max(1, options.steps // 8)
    marks = range(every, options.steps + 1, every)
    print("| init | seed | " + " | ".join(map(str, marks)) + " | s |")
    print("|---" * (len(marks) + 3) + "|")
    starts = {"N(0, 1), untied": ours, "N(0, 0.02), untied": small, "N(0, 0.02), tied": tied}
    for name, make in starts.items():
        for seed in range(options.seeds):
            start = time.perf_counter()
            found = accuracies(make(seed), options.steps, seed, every)
            shares = " | ".join(f"{100 * share:.1f} %" for share in found)
            seconds = time.perf_counter() - start
            print(f"| {name} | {seed} | {shares} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()

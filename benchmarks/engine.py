"""What the model's engine is worth: sampling and training against plain ways, in one run.

python benchmarks/engine.py [--quick]    five minutes on one core; with --quick one

Isosceles at n = 16, point tokens, sizes 12 to 16, models of 4 layers that were shortly trained on
greedy constructions. Measured are CPU seconds on one thread, the ways in turn, medians. A sampling
ends with constructions decoded, checked and scored. The plain ways, in float32:

- no cache: makemore's, every token by a pass over all that stands before it
- torch.cat: keys and values in a cache that grows by torch.cat, rows go on after their end
- plain step: each batch encoded when it is needed, AdamW not fused
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.config import TrainConfig
from pipeline.core.bitset import width as bytes_of
from pipeline.engine.greedy import greedy_many
from pipeline.engine.space import make_space
from pipeline.generators.token_mask import TokenMask
from pipeline.model.device import describe, peak_flops, prepare
from pipeline.model.gpt import GPT, Block, GPTConfig
from pipeline.model.sample import sample
from pipeline.model.tokens import EOS, PAD, make_encoder
from pipeline.model.train import train
from pipeline.plugins import load_problem

N, SIZES, LAYERS, LENGTH = 16, range(12, 17), 4, 34
HEADS = {64: 4, 256: 8}
PEER = 2_920  # tokens/s of the strongest peer on such a core: width 256, 4 layers, batch 400
PROBLEM = load_problem("isosceles")
ENCODER = make_encoder("points", {n: PROBLEM.ground(n) for n in SIZES})

Draw = Callable[[Tensor], Tensor]


def greedy(count: int) -> dict[int, np.ndarray]:
    """Return packed greedy constructions of each size, ``count`` of the largest."""
    data = {}
    for n in SIZES:
        rows = count if n == N else count // 4
        data[n] = np.zeros((rows, bytes_of(n * n)), np.uint8)
        greedy_many(make_space(PROBLEM, n), np.array([n], np.uint64), data[n])
    return data


# ------------------------------------------------------------------------------ sampling


def drawer(rows: int, masked: bool) -> Draw:
    """Return softmax and multinomial, behind the guide's mask if asked."""
    guide = TokenMask(PROBLEM, ENCODER, N, rows) if masked else None

    def draw(logits: Tensor) -> Tensor:
        if guide is not None:
            logits = logits.masked_fill(~torch.from_numpy(guide.legal()), -torch.inf)
        tokens = torch.multinomial(logits.softmax(dim=1), 1)[:, 0]
        if guide is not None:
            guide.advance(tokens.numpy())
        return tokens

    return draw


def without_cache(model: GPT, rows: int, draw: Draw) -> Tensor:
    """Sample as makemore does."""
    tokens = torch.from_numpy(ENCODER.prefix(N)).repeat(rows, 1)
    while tokens.shape[1] < LENGTH and not (tokens == EOS).any(dim=1).all():
        tokens = torch.cat([tokens, draw(model(tokens)[:, -1])[:, None]], dim=1)
    return tokens


def with_growing_cache(model: GPT, rows: int, draw: Draw) -> Tensor:
    """Sample with a cache that grows by torch.cat."""
    tokens = torch.from_numpy(ENCODER.prefix(N)).repeat(rows, 1)
    caches: list[list[Tensor]] = [[] for _ in model.blocks]
    given = tokens
    while tokens.shape[1] < LENGTH and not (tokens == EOS).any(dim=1).all():
        start = tokens.shape[1] - given.shape[1]
        x = model.tokens(given) + model.positions.weight[start : tokens.shape[1]]
        for i, block in enumerate(model.blocks):
            assert isinstance(block, Block)
            q, *new = block.project(x)
            old = caches[i] or [part[:, :, :0] for part in new]
            caches[i] = k, v = [torch.cat(pair, dim=2) for pair in zip(old, new, strict=True)]
            y = F.scaled_dot_product_attention(q, k, v, is_causal=not start)
            x = block.close(x, y)
        given = draw(model.head(model.norm(x[:, -1])))[:, None]
        tokens = torch.cat([tokens, given], dim=1)
    return tokens


def finished(tokens: Tensor) -> np.ndarray:
    """Return the tokens with what was drawn after each end turned into padding."""
    ended = (tokens == EOS).cumsum(dim=1) - (tokens == EOS).long() > 0
    return tokens.masked_fill(ended, PAD).numpy()


def sampling(model: GPT, rows: int, rounds: int) -> None:
    """Print the rows of one model in the table of sampling."""

    def plain(way: Callable[[GPT, int, Draw], Tensor], masked: bool) -> np.ndarray:
        return finished(way(model, rows, drawer(rows, masked)))

    def ours(precision: str, masked: bool) -> np.ndarray:
        return sample(
            model,
            ENCODER.prefix(N),
            rows,
            length=LENGTH,
            eos=EOS,
            pad=PAD,
            seed=0,
            batch=rows,
            precision=precision,
            guide_factory=(lambda r: TokenMask(PROBLEM, ENCODER, N, r)) if masked else None,
        )

    ways: dict[str, Callable[[bool], np.ndarray]] = {
        "no cache": lambda masked: plain(without_cache, masked),
        "torch.cat": lambda masked: plain(with_growing_cache, masked),
        "ours, fp32": lambda masked: ours("fp32", masked),
        "ours, bf16": lambda masked: ours("bf16", masked),
    }
    for masked in (False, True):
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for i in range(rounds + 1):
            for name, way in ways.items():
                if name == "no cache" and not 0 < i <= max(1, rounds // 2):
                    continue  # it takes longer than all others together
                start = time.process_time()
                tokens = way(masked)
                cells, ok = ENCODER.decode(tokens, N)
                valid = PROBLEM.validate(cells[ok], N)
                PROBLEM.score(cells[ok][valid], N)
                seconds = time.process_time() - start
                if i:  # the first turn compiles
                    written = int((tokens[:, 2:] != PAD).sum())
                    found[name].append((written / seconds, int(valid.sum()) / seconds))
        base = median(rate for rate, _ in found["torch.cat"])
        for name, rates in found.items():
            tokens_each = median(rate for rate, _ in rates)
            valid_each = median(rate for _, rate in rates)
            peer = f"{tokens_each / PEER:.1f}" if model.config.width == 256 else ""
            print(
                f"| {model.config.width} | {'masked' if masked else 'free'} | {name} "
                f"| {tokens_each:,.0f} | {tokens_each / base:.2f} | {peer} | {valid_each:,.0f} |",
                flush=True,
            )


# ------------------------------------------------------------------------------ training


def plain_training(model: GPT, data: dict[int, np.ndarray], steps: int, batch: int) -> None:
    """Train in the plainest way."""
    rng = np.random.default_rng(0)
    sizes = np.repeat(list(data), [len(rows) for rows in data.values()])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=False)
    for _ in range(steps):
        parts = []
        for n, count in zip(*np.unique(rng.choice(sizes, batch), return_counts=True), strict=True):
            rows = ENCODER.encode(data[int(n)][rng.integers(len(data[int(n)]), size=count)], n, rng)
            parts += [torch.from_numpy(row) for row in rows]
        tokens = nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=PAD)
        logits = model(tokens[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=PAD)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def training(shape: GPTConfig, data: dict[int, np.ndarray], batch: int, rounds: int) -> None:
    """Print the rows of one shape in the table of training."""
    steps = 2000 // shape.width
    config = TrainConfig(steps=steps, batch=batch, holdout=0.0, evaluate_every=steps)
    length = np.concatenate([PROBLEM.score(rows, n) + 2 for n, rows in data.items()]).mean()
    flops = 3 * shape.flops(length) * length * batch

    def ours(precision: str) -> None:
        train(GPT(shape), ENCODER, data, config, seed=0, precision=precision)

    ways: dict[str, Callable[[], None]] = {
        "plain step": lambda: plain_training(GPT(shape), data, steps, batch),
        "ours, fp32": lambda: ours("fp32"),
        "ours, bf16": lambda: ours("bf16"),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for i in range(rounds + 1):
        for name, way in ways.items():
            start = time.process_time()
            way()
            if i:
                found[name].append((time.process_time() - start) / steps)
    base = median(found["plain step"])
    for name, seconds in found.items():
        dtype = torch.bfloat16 if name.endswith("bf16") else torch.float32
        step, peak = median(seconds), peak_flops(torch.device("cpu"), dtype)
        print(
            f"| {shape.width} | {name} | {1e3 * step:.1f} | {base / step:.2f} "
            f"| {length * batch / step:,.0f} | {100 * flops / step / peak:.0f} % |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="width 64 alone, fewer rounds")
    options = parser.parse_args()
    cpu = prepare("cpu", threads=1)
    torch.manual_seed(0)
    rounds, rows, widths = (1, 100, [64]) if options.quick else (5, 400, [64, 256])
    data = greedy(2000)
    shapes = [GPTConfig(ENCODER.vocab_size, 40, LAYERS, HEADS[w], w) for w in widths]
    speeds = [f"{peak_flops(cpu, dtype) / 1e9:.0f}" for dtype in (torch.float32, torch.bfloat16)]
    print(f"{describe(cpu)}; products: fp32 {speeds[0]}, bf16 {speeds[1]} GFLOP/s\n")

    print("| width | draws | engine | tokens/s | / torch.cat | / peer | valid, scored /s |")
    print("|---" * 7 + "|")
    for shape in shapes:
        model = GPT(shape)
        steps = 40 if options.quick else 19_200 // shape.width
        train(model, ENCODER, data, TrainConfig(steps=steps, patience=0), seed=0)
        with torch.inference_mode():
            sampling(model.eval(), rows, rounds)

    print(
        "\n| width | batch of 32 | ms a step | plain / this | tokens/s | model FLOP utilisation |"
    )
    print("|---" * 6 + "|")
    for shape in shapes:
        training(shape, data, 32, rounds)


if __name__ == "__main__":
    main()

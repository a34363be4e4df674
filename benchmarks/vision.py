"""The vision transformer against the GPT at equal CPU seconds of training and sampling.

python benchmarks/vision.py [--seconds 60] [--seeds 3]    about half an hour on one core

Both learn from the same constructions, found by annealing (not counted), a tenth of those of size n
held out; each trains for as many steps as fit into the budget beside the sampling of 300
constructions. Scores are of the samples as they are, all of them valid and maximal under the
symmetry (the GPT may stop before), and after the short climb of a run (`search.improve`, 3,000
steps). The held-out loss is in nats per construction, given what the problem's counts leave open:
exact for the GPT, an upper bound for the vision transformer, whose order is random (the mean over
orders, less log K! for the orders of K choices).
"""

import argparse
import math
import time
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace

from pipeline import loop
from pipeline.assembly import build
from pipeline.callbacks import Callbacks
from pipeline.config import Config, config_from
from pipeline.core import streams
from pipeline.core.bitset import popcounts
from pipeline.core.population import Population
from pipeline.engine.tasks import Task, run_task
from pipeline.executors import Serial
from pipeline.generators.gpt import GPTGenerator
from pipeline.generators.model import ModelGenerator
from pipeline.generators.token_mask import TokenMask
from pipeline.generators.vision import VisionGenerator
from pipeline.model.masked_decoding import example, next_loss
from pipeline.model.tokens import EOS, PAD
from pipeline.plugins import load_problem

PROBLEM = load_problem("isosceles")
CASES: dict[str, dict[str, Any]] = {
    "n = 16, cells": {"n": 16, "sizes": [12, 13, 14, 15, 16]},
    "n = 32, both mirrors": {
        "n": 32,
        "sizes": [20, 24, 28, 32],
        "symmetry": "both-mirrors",
        "model": {"tokens": "orbits"},
        "seeding": {"symmetry": ["both-mirrors"]},
    },
}
ARMS: dict[str, dict[str, Any]] = {
    "gpt": {},
    "vision": {"generator": "vision", "model": {"attention_bias": "offset"}},
    "gpt, offset": {"model": {"attention_bias": "offset"}},
    "vision, off": {"generator": "vision"},
}
SAMPLES = 300
_PROBE = 12  # steps that tell how long one takes
_TRIED = 60  # samples that tell how long one takes
_TOLD = 8  # random parts by which a held-out construction is judged


def config_of(case: dict[str, Any], arm: dict[str, Any], seed: int, steps: int = 1) -> Config:
    """Return the configuration of a run of one case with one model."""
    data = {
        "problem": "isosceles",
        "seed": seed,
        **case,
        **arm,
        "seeding": {"method": "anneal", "count": 1200, **case.get("seeding", {})},
        "model": {**case.get("model", {}), **arm.get("model", {})},
        "sample": {"count": SAMPLES},
        "train": {"steps": steps, "holdout": 0.0, "evaluate_every": steps},
        "compute": {"device": "cpu", "threads": 1, "workers": 1},
    }
    return config_from(data, "benchmarks/vision.py")


def generator_of(config: Config) -> ModelGenerator:
    """Return the generator of a configuration, its model new."""
    made = build(PROBLEM, config, Serial()).generator
    assert isinstance(made, ModelGenerator)
    made.model = made.new()
    return made


def pools_of(config: Config) -> tuple[dict[int, Population], np.ndarray]:
    """Return what round 0 of a run keeps of each size, and the cells held out of n."""
    parts = build(PROBLEM, config, Serial())
    generator = parts.generator
    assert isinstance(generator, ModelGenerator)
    rng = np.random.default_rng(config.seed)
    shown = {
        n: pool.take(np.flatnonzero(generator.readable(pool.cells, n)))
        for n, pool in loop.seed(parts.engine, loop.Memory()).pools.items()
    }
    mixed = shown[config.n].take(rng.permutation(len(shown[config.n])))
    held = len(mixed) // 10
    left = mixed.take(np.arange(held, len(mixed)))
    return {**shown, config.n: left}, mixed.cells[:held]


class Moments(Callbacks):
    """Keeps the CPU seconds at each step."""

    def __init__(self) -> None:
        self.seconds = [time.process_time()]

    def on_progress(self, done: int, best: int | None = None, loss: float | None = None) -> None:
        self.seconds.append(time.process_time())


def steps_within(case: Any, model: Any, seed: int, shown: Any, seconds: float) -> int:
    """Return how many steps fit into CPU seconds beside the sampling, by a short trial."""
    config = config_of(case, model, seed, _PROBE)
    generator = generator_of(replace(config, sample=replace(config.sample, count=_TRIED)))
    generator.callbacks = moments = Moments()
    generator.train({n: pool.cells for n, pool in shown.items()})
    each = float(np.median(np.diff(moments.seconds[2:])))  # the first ones compile
    start = time.process_time()
    generator.sample(longest_of(shown), generator.config.sample.batch, range(_TRIED))
    asked = (time.process_time() - start) * SAMPLES / _TRIED
    return max(1, round((seconds - min(asked, seconds / 2)) / each))


def longest_of(pools: Any) -> int:
    """Return the most elements of any construction in some pools."""
    return max(int(popcounts(pool.cells).max(initial=0)) for pool in pools.values())


@torch.no_grad()
def held_out_loss(generator: ModelGenerator, cells: np.ndarray) -> float:
    """Return nats per construction, a choice being one among those the counts leave open."""
    model, n, rng = generator.model, generator.config.n, np.random.default_rng(1)
    if isinstance(generator, VisionGenerator):
        place, board = list(generator.boards).index(n), generator.boards[n]
        size = board.members(cells).sum(axis=1)
        orders = np.array([math.lgamma(k + 1) for k in size])
        losses = []
        for row in range(len(cells)):
            told = np.repeat(cells[row : row + 1], _TOLD, axis=0)
            shown = example(place, board, told, True, rng)
            losses.append(next_loss(model, generator.seen, shown, torch.float32).mean().item())
        return float((size * np.array(losses) - orders).mean())
    assert isinstance(generator, GPTGenerator)
    tokens = generator.encoder.encode(cells, n, rng)
    logits = model(torch.from_numpy(tokens[:, :-1])).double()
    guide = TokenMask(PROBLEM, generator.encoder, n, len(cells))
    total = np.zeros(len(cells))
    ended = np.zeros(len(cells), bool)
    for position in range(2, tokens.shape[1]):
        legal = torch.from_numpy(guide.legal())
        logs = logits[:, position - 1].masked_fill(~legal, -torch.inf).log_softmax(dim=1).numpy()
        here = tokens[:, position]
        total -= np.where(ended, 0.0, logs[np.arange(len(cells)), here])
        ended |= here == EOS
        guide.advance(np.where(ended, PAD, here))
    return float(total.mean())


def climbed(config: Config, cells: np.ndarray, number: int) -> np.ndarray:
    """Return the scores that samples come to by the short climb of a run."""
    shard = Task(
        problem=config.problem,
        convention=PROBLEM.convention,
        n=config.n,
        symmetry=config.symmetry or "trivial",
        method="climb",
        cells=cells,
        rng=streams.state(config.seed, number, "search"),
        bound=3000,
    )
    return PROBLEM.score(run_task(shard), config.n)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", default=";".join(ARMS), help="separated by ;")
    options = parser.parse_args()
    print("| case | arm | seed | steps | CPU s: train, sample | held out | mean, max | climbed |")
    print("|---|---|---|---|---|---|---|---|")
    for seed in range(options.seeds):
        for name, case in CASES.items():
            shown, held = pools_of(config_of(case, ARMS["vision"], seed))
            for arm in options.arms.split(";"):
                model = ARMS[arm]
                steps = steps_within(case, model, seed, shown, options.seconds)
                config = config_of(case, model, seed, steps)
                generator = generator_of(config)
                began = time.process_time()
                generator.train({n: pool.cells for n, pool in shown.items()})
                trained = time.process_time()
                few, rows = generator.config.sample.batch, range(config.sample.count)
                cells, formed = generator.sample(longest_of(shown), few, rows)
                sampled = time.process_time()
                cells = cells[formed]
                score, after = PROBLEM.score(cells, config.n), climbed(config, cells, 1)
                assert PROBLEM.validate(cells, config.n).all()
                print(
                    f"| {name} | {arm} | {seed} | {steps} "
                    f"| {trained - began:.0f}, {sampled - trained:.1f} "
                    f"| {held_out_loss(generator, held):.1f} "
                    f"| {score.mean():.2f}, {score.max()} | {after.mean():.2f}, {after.max()} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()

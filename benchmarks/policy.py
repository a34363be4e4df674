"""What a policy on features writes by itself, beside rules without learning: no search follows.

    python benchmarks/policy.py isosceles --symmetry both-mirrors --from 24,28,32,36 --to 32,48,64
    python benchmarks/policy.py permanent-312 --from 8,10,12 --to 12,16,20

Search finds the sets of the small sizes; the policy learns from them; then sets are filled from
nothing at each size, choice by choice among those that violate nothing. "least damage" takes a
choice with weight exp(-10 b d), where d is the share of the free choices that it would block.
"""

import argparse
import time

import numpy as np
import torch
from torch import nn

import pipeline
from pipeline.config import TABLE_BYTES, TrainConfig
from pipeline.engine.orbit_grid import OrbitGrid
from pipeline.model import policy
from pipeline.model.policy import Policy, PolicyConfig
from pipeline.plugins import load_problem


class Rule(Policy):
    """A policy that nobody trained: so much for each unit of the first feature, the damage."""

    def __init__(self, features: int, weight: float) -> None:
        super().__init__(PolicyConfig(features, layers=1, width=1))
        self.head = nn.Linear(features, 1, bias=False)
        with torch.no_grad():
            self.head.weight.zero_()[0, 0] = weight

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.head(features)[:, 0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problem")
    parser.add_argument("--symmetry", default="trivial")
    parser.add_argument("--from", dest="shown", default="24,28,32,36")
    parser.add_argument("--to", default="32,48,64")
    parser.add_argument("--seconds", type=float, default=10, help="of search at each small size")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    problem = load_problem(options.problem)
    boards: dict[int, OrbitGrid] = {}

    def board(n: int) -> OrbitGrid:
        if n not in boards:
            boards[n] = OrbitGrid(problem, n, options.symmetry, table_bytes=TABLE_BYTES)
        return boards[n]

    shown: dict[int, np.ndarray] = {}
    for n in map(int, options.shown.split(",")):
        classes = [] if options.symmetry == "trivial" else [options.symmetry]
        how = {"time": options.seconds, "symmetry": classes, "target": 10**9}
        found = pipeline.search(options.problem, n, seed=options.seed, workers=1, **how)
        pool = found.state.pools[n]
        cells = np.unique(board(n).cores(pool.cells), axis=0)
        shown[n] = cells[cells.any(axis=1)]
        scores = problem.evaluate(shown[n], n)
        print(f"shown of n={n}: {len(shown[n])}, mean {scores.mean():.1f}, max {scores.max()}")
    features = next(iter(boards.values())).feature_count
    model = Policy(PolicyConfig(features), seed=options.seed)
    began = time.process_time()
    steps = TrainConfig(steps=options.steps, evaluate_every=50)
    result = policy.train(model, boards, shown, steps, seed=options.seed)
    print(f"trained: {result.steps} steps, {time.process_time() - began:.0f} CPU seconds")
    arms: dict[str, tuple[Policy, float]] = {
        "uniform": (Rule(features, 0.0), 1.0),
        "least damage, b = 10": (Rule(features, -100.0), 1.0),
        "least damage, b = 40": (Rule(features, -400.0), 1.0),
        "policy, temperature 1": (model, 1.0),
        "policy, temperature 0.25": (model, 0.25),
        "policy, temperature 0.1": (model, 0.1),
    }
    print("| n | written by | mean | top fifth | max | distinct | ms each |")
    print("|---|---|---|---|---|---|---|")
    for n in map(int, options.to.split(",")):
        for name, (writer, temperature) in arms.items():
            began = time.process_time()
            members = policy.fill(
                writer, board(n), options.count, temperature=temperature, seed=options.seed
            )
            each = 1000 * (time.process_time() - began) / options.count
            scores = np.sort(problem.evaluate(board(n).cells(members), n))[::-1]
            top = scores[: max(len(scores) // 5, 1)].mean()
            distinct = len(np.unique(members, axis=0))
            row = [
                n,
                name,
                f"{scores.mean():.1f}",
                f"{top:.1f}",
                scores[0],
                distinct,
                f"{each:.1f}",
            ]
            print(f"| {' | '.join(map(str, row))} |", flush=True)


if __name__ == "__main__":
    main()

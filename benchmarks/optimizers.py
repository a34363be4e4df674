"""Muon on the matrices of the blocks against AdamW on everything, on the lecture's experiments.

    python benchmarks/optimizers.py [--seeds 3] [--only five-rules,fibonacci]

Each task of the lab at the small scale, with its own model, steps and learning rate, which are
Muon's; AdamW gets the same, and with --rates others too. Printed are the share of samples that obey
the rule, of each rng seed, and the median CPU seconds on one core.
"""

import argparse
import statistics
from dataclasses import replace

import torch

from pipeline.callbacks import Callbacks
from pipeline.lab.learning import learn
from pipeline.lab.registry import entries
from pipeline.lab.task import Task
from pipeline.model import train
from pipeline.model.device import prepare
from pipeline.model.optimizer import Optimizer


class AdamW(Optimizer):
    """The same with AdamW for the matrices of the blocks too."""

    inner = "none of them"


def found(task: Task, rate: float, kind: type[Optimizer], seeds: int) -> tuple[list[float], float]:
    """Return the success rates, rising, and the median CPU seconds."""
    train.Optimizer = kind  # type: ignore[misc]
    budget = replace(task.budget, learning_rate=rate, looks=1)
    made = [learn(task, budget, seed=seed, callbacks=Callbacks()) for seed in range(seeds)]
    rates = sorted(100 * one["success"] for one in made)
    return rates, statistics.median(one["cpu_seconds"] for one in made)


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="these tasks, such as one-2,fibonacci")
    parser.add_argument("--rates", default="", help="more learning rates for AdamW, as 0.001,0.01")
    options = parser.parse_args()
    prepare("cpu", threads=1)
    print(f"torch {torch.__version__}, {options.seeds} rng seeds\n")
    print("| task | optimiser | rate | samples that obey, % | CPU s |")
    print("|---|---|---|---|---|", flush=True)
    more = [float(rate) for rate in options.rates.split(",") if rate]
    for entry in entries():
        if not entry.tasks or (options.only and entry.name not in options.only.split(",")):
            continue
        for label, task in entry.tasks.items():
            usual = task.budget.learning_rate
            ways = [("Muon", Optimizer, usual), *(("AdamW", AdamW, r) for r in [usual, *more])]
            for name, kind, rate in ways:
                rates, seconds = found(task, rate, kind, options.seeds)
                figures = ", ".join(f"{r:.1f}" for r in rates)
                title = f"{entry.name} {label}".strip()
                print(f"| {title} | {name} | {rate:g} | {figures} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()

"""What a model is shown, switch by switch: the loss, its samples, and what search makes of them.

    python benchmarks/shown.py [--n 16] [--seeds 3] [--steps 300] [--only free,fractions]

For each rng seed a short portfolio makes constructions of isosceles at five sizes, n the largest;
every model learns from the same ones, for the same number of steps, and writes 500 constructions
held to what is legal, each of which then starts a climb as in a run. Of each figure the mean over
the rng seeds is given and behind it the standard deviation of its difference from the first row's.
Seconds are CPU seconds of training and sampling on one thread.
"""

import argparse
import sys
import time
from dataclasses import replace
from statistics import mean, stdev
from typing import Any

from msgspec import structs

from pipeline.benchmarking.experiment import merged
from pipeline.config import config_from
from pipeline.executors import Serial
from pipeline.loop import Loop
from pipeline.plugins import load_problem

#: What is trained: a name and what it changes.
MODELS: dict[str, dict[str, Any]] = {
    "free": {"model": {"embedding": "free"}},
    "coordinates": {"model": {"embedding": "coordinates"}},
    "fractions": {"model": {"embedding": "fractions"}},
    "weight decay 0": {"model": {"embedding": "free"}, "train": {"weight_decay": 0.0}},
    "weight decay 0.1": {"model": {"embedding": "free"}, "train": {"weight_decay": 0.1}},
    "free: n unseen": {"model": {"embedding": "free"}, "train": {"sizes": "smaller"}},
    "fractions: n unseen": {"model": {"embedding": "fractions"}, "train": {"sizes": "smaller"}},
}
#: How one of them is sampled beside the usual way.
SAMPLINGS: dict[str, dict[str, dict[str, Any]]] = {
    "free": {
        "maximal": {"maximal": True},
        "temperature 0.8": {"temperature": 0.8},
        "temperature 1.2": {"temperature": 1.2},
    },
}
COLUMNS = ("held-out loss", "samples, mean", "top 20 %", "after climb, mean", "max", "seconds")


def loop_of(n: int, seed: int, steps: int, overrides: dict[str, Any]) -> Loop:
    """Return a loop of five sizes with one model's settings."""
    sizes = list(range(n - 4, n + 1))
    told = {
        "problem": "isosceles",
        "n": n,
        "sizes": sizes,
        "seed": seed,
        "seeding": {"batches": 1},
        "train": {"steps": steps, "patience": 0},
        "sample": {"count": 500, "adapt_temperature": False},
        "search": {"batches": 0},
        "compute": {"device": "cpu", "threads": 1},
    }
    told = merged(told, overrides)
    if told["train"].get("sizes") == "smaller":
        told["train"]["sizes"] = sizes[:-1]
    config = config_from(told, "the benchmark")
    return Loop(load_problem("isosceles"), config, Serial(), lambda *_, **__: None)


def played(n: int, seed: int, steps: int, names: list[str]) -> dict[str, tuple[float, ...]]:
    """Return the figures of every row of these models, for one rng seed."""
    first = loop_of(n, seed, steps, {}).seed({})
    state = State(0, first.pools, 1.0, stats=first.stats)
    rows = {}
    for name in names:
        overrides = MODELS[name]
        loop = loop_of(n, seed, steps, overrides)
        began = time.process_time()
        model, _, told, _ = loop._train(1, state)
        training, config = time.process_time() - began, loop.config
        for way, changes in {name: {}, **SAMPLINGS.get(name, {})}.items():
            loop.config = structs.replace(config, sample=structs.replace(config.sample, **changes))
            loop.writer.config = loop.config
            began = time.process_time()
            at = replace(state, temperature=loop.config.sample.temperature)
            cells, well_formed, _ = loop._sample(1, model, at)
            seconds = training + time.process_time() - began
            samples, said = loop._judge(1, cells, well_formed, at)
            after = loop._improve(1, samples).score
            sampled, loss = said["sampled"], told["holdout_loss"]
            found = (loss, sampled["mean"], sampled["top20"], after.mean(), after.max(), seconds)
            rows[way] = tuple(float(x) for x in found)
            print(n, seed, way, *(round(x, 3) for x in rows[way]), file=sys.stderr, flush=True)
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--n", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--only", default=",".join(MODELS), help="models, with commas between")
    options = parser.parse_args()
    names = options.only.split(",")
    played(8, 0, 2, names[:1])  # compiles
    found = [played(options.n, seed, options.steps, names) for seed in range(options.seeds)]
    print(f"n = {options.n}, {options.steps} steps, {options.seeds} rng seeds\n")
    print(f"| shown | {' | '.join(COLUMNS)} |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    base = names[0]
    for way in found[0]:
        cells = []
        for i in range(len(COLUMNS)):
            values = [rows[way][i] for rows in found]
            apart = [rows[way][i] - rows[base][i] for rows in found]
            spread = f" ± {stdev(apart):.2g}" if way != base and len(apart) > 1 else ""
            cells.append(f"{mean(values):.4g}{spread}")
        print(f"| {way} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()

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
from statistics import mean, stdev
from typing import Any

from msgspec import structs

from pipeline.assembly import Parts, build
from pipeline.benchmarking.experiment import merged
from pipeline.config import config_from
from pipeline.core.bitset import popcounts
from pipeline.core.population import Population
from pipeline.executors import Serial
from pipeline.generators.gpt import GPTGenerator
from pipeline.loop import Memory, seed
from pipeline.plugins import load_problem
from pipeline.state import assess

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


def parts_of(n: int, seed: int, steps: int, overrides: dict[str, Any]) -> Parts:
    """Return the parts of a run of five sizes with one model's settings."""
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
    return build(load_problem("isosceles"), config, Serial())


def played(n: int, number: int, steps: int, names: list[str]) -> dict[str, tuple[float, ...]]:
    """Return the figures of every row of these models, for one rng seed."""
    state = seed(parts_of(n, number, steps, {}).engine, Memory())
    rows = {}
    for name in names:
        parts = parts_of(n, number, steps, MODELS[name])
        generator, engine = parts.generator, parts.engine
        assert isinstance(generator, GPTGenerator)
        began = time.process_time()
        samples = generator.ask(state)
        training, config = time.process_time() - began, generator.config
        loss = generator.stats["train"]["holdout_loss"]
        for way, changes in {name: {}, **SAMPLINGS.get(name, {})}.items():
            took = training
            if changes:  # the same model, sampled in another way
                sampling = structs.replace(config.sample, **changes)
                generator.config = structs.replace(config, sample=sampling)
                generator.temperature = sampling.temperature
                began = time.process_time()
                longest = max(int(popcounts(p.cells).max(initial=0)) for p in state.pools.values())
                every = range(sampling.count)
                cells, well_formed = generator.sample(longest, sampling.batch, every)
                took += time.process_time() - began
                generator.malformed = int((~well_formed).sum())
                samples = Population.build(n, samples.m, cells[well_formed], 0)
            distinct, sampling = assess(samples, state, generator.malformed)
            assert sampling is not None
            after = engine.improve(distinct, 1).score
            scores = sampling.scores
            found = (loss, scores["mean"], scores["top20"], after.mean(), after.max(), took)
            rows[way] = tuple(float(x or 0) for x in found)
            print(n, number, way, *(round(x, 3) for x in rows[way]), file=sys.stderr, flush=True)
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

"""What else a GPT's samples are good for: a field, and where a search by quotas begins.

    python benchmarks/samples.py no-3-in-line [--n 36] [--seeds 2] [--dives 3000]
    python benchmarks/samples.py isosceles [--n 48,64,100] [--seeds 5]

A GPT on the orbits of a class learns from five smaller sizes alone, and then writes constructions
of size n, held to what is legal. For no-3-in-line (quarter turn) each of them is what a dive of
100,000 nodes begins with; what counts is how many dives end at 2n points. For isosceles (both
mirrors) how often samples use a cell makes a field, and so does how often the constructions of the
smaller sizes do, carried over; what counts is the CPU seconds of tabu to the target.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.assembly import Parts, build
from pipeline.config import config_from
from pipeline.core.bitset import pack, popcounts, width
from pipeline.core.population import Population
from pipeline.core.symmetry import canonical
from pipeline.engine.exact_cover import cover
from pipeline.engine.learned_weights import learned_weights
from pipeline.engine.tasks import Task, run_task
from pipeline.engine.weights import make_weights
from pipeline.executors import Serial
from pipeline.plugins import load_problem
from pipeline.state import State

NODES = 100_000
NONE = np.zeros(0, np.float32)
SHOWN = {"no-3-in-line": [24, 26, 28, 30, 32], "isosceles": [24, 27, 30, 33, 36]}
CLASS = {"no-3-in-line": "quarter-turn", "isosceles": "both-mirrors"}
TARGETS = {48: 84, 64: 108, 100: 160}


def parts_of(problem: str, n: int, seed: int, count: int, steps: int) -> Parts:
    """Return the parts of a run whose GPT learns from the smaller sizes alone."""
    told: dict[str, Any] = {
        "problem": problem,
        "n": n,
        "sizes": [*SHOWN[problem], n],
        "seed": seed,
        "seeding": {"batches": 2, "smaller": 1.0, "symmetry": [CLASS[problem]]},
        "symmetry": CLASS[problem],
        "model": {"tokens": "orbits"},
        "train": {"steps": steps, "patience": 0, "sizes": SHOWN[problem]},
        "sample": {"count": count, "adapt_temperature": False},
        "compute": {"device": "cpu", "threads": 1},
    }
    config = config_from(told, "the benchmark")
    return build(load_problem(problem), config, Serial())


def written(parts: Parts, pools: dict[int, Population]) -> np.ndarray:
    """Return bool ``(count, m)``: what a GPT writes that learned from these."""
    runner, generator = parts.engine.runner, parts.generator
    state = State(runner.problem, runner.n, runner.seed, 0, pools)
    began = time.process_time()
    samples = generator.ask(state)
    told = generator.stats["train"]
    losses = f"{told['loss']:.2f} a token, held out {told['holdout_loss']:.2f}"
    seconds = time.process_time() - began
    print(f"n = {runner.n}: loss {losses}; {seconds:.0f} CPU s", flush=True)
    assert isinstance(samples, Population)
    return samples.bits()


def full_sets(n: int, symmetry: str, count: int) -> np.ndarray:
    """Return distinct packed sets of full size that random dives end at."""
    problem, rng, found = load_problem("no-3-in-line"), np.array([n], np.uint64), []
    while len(found) < count:
        how = {"nodes": NODES, "cap": NODES, "rng": rng}
        found += list(cover(problem, n, symmetry, **how).cells)
    return np.unique(found, axis=0)


def outer(sample: np.ndarray, n: int) -> np.ndarray:
    """Return what of a sample lies outside the middle half of the board."""
    board = sample.reshape(n, n).copy()
    board[n // 4 : n - n // 4, n // 4 : n - n // 4] = False
    return board.ravel()


def beginnings(n: int, seeds: int, dives: int, steps: int) -> None:
    """Print how many dives come to full size by what they begin with."""
    problem, name = load_problem("no-3-in-line"), CLASS["no-3-in-line"]
    pools = {}
    for k in SHOWN["no-3-in-line"]:
        cells = full_sets(k, name, 1000)
        pools[k] = Population.build(k, k * k, cells, np.full(len(cells), 2 * k, np.int32))
    ground = problem.ground(n)
    shown = {k: (problem.ground(k), pool.cells) for k, pool in pools.items()}
    density = learned_weights(shown, ground)
    for seed in range(seeds):
        parts = parts_of("no-3-in-line", n, seed, dives, steps)
        samples = written(parts, pools | {n: parts.engine.runner.none(n)})
        usage = learned_weights({n: (ground, pack(samples))}, ground)
        ways: dict[str, Callable[[int], np.ndarray]] = {
            "at random": lambda i: NONE,
            "usage of the smaller sizes": lambda i: density,
            "usage of the samples": lambda i, usage=usage: usage,
            "a sample": lambda i, s=samples: np.float32(3) * s[i],
            "a sample's outer half": lambda i, s=samples: np.float32(3) * outer(s[i], n),
        }
        for way, begins in ways.items():
            rng, nodes, found = np.array([seed], np.uint64), 0, []
            for i in range(len(samples)):
                how = {"nodes": NODES, "cap": NODES, "rng": rng}
                dive = cover(problem, n, name, **how, weights=begins(i))
                nodes, found = nodes + dive.nodes, [*found, *dive.cells]
            forms = canonical(np.array(found), ground) if found else np.zeros((0, 1))
            print(
                f"| {n} | {seed} | {way} | {len(found)} | {len(np.unique(forms, axis=0))} "
                f"| {nodes / 1e6:.0f} |",
                flush=True,
            )


def tabu_seconds(n: int, field: np.ndarray, seed: int, narrow: bool) -> str:
    """Return the CPU seconds that tabu takes to the target, or in brackets what it has after 60."""
    m, rng, best = n * n, np.array([seed * 2654435761 + n], np.uint64), 0
    began = time.process_time()
    while best < TARGETS[n] and time.process_time() - began < 60:
        shard = Task(
            problem="isosceles",
            convention="",
            n=n,
            symmetry=CLASS["isosceles"],
            method="tabu",
            cells=np.zeros((16, width(m)), np.uint8),
            rng=rng.copy(),
            bound=200_000,
            goal=max(best * 6 // 7, 1),
            target=TARGETS[n],
            weights=field,
            restricted=narrow,
        )
        best = max(best, int(popcounts(run_task(shard)).max(initial=0)))
        rng += np.uint64(1)
    seconds = time.process_time() - began
    return f"{seconds:.1f}" if best >= TARGETS[n] else f"({best})"


def fields(sizes: list[int], seeds: int, steps: int) -> None:
    """Print the CPU seconds of tabu to the target by the field that pulls it."""
    problem = load_problem("isosceles")
    maker = parts_of("isosceles", sizes[0], 0, 1, steps)
    began = time.process_time()
    runner, explore = maker.engine.runner, maker.engine.explorer.explore
    pools = {k: explore(k, 0, runner.none(k), [], {}, "seed")[0] for k in SHOWN["isosceles"]}
    sets = sum(map(len, pools.values()))
    print(f"{sets} sets of smaller sizes; {time.process_time() - began:.0f} CPU s", flush=True)
    for n in sizes:
        ground, parts = problem.ground(n), parts_of("isosceles", n, 0, 1000, steps)
        shown = {k: (problem.ground(k), pool.cells) for k, pool in pools.items()}
        samples = written(parts, pools | {n: parts.engine.runner.none(n)})
        ways = {
            "border": make_weights("border", ground, {}),
            "usage of the smaller sizes": learned_weights(shown, ground),
            "usage of the samples": learned_weights({n: (ground, pack(samples))}, ground),
        }
        for way, field in ways.items():
            tabu_seconds(n, field, 0, True)  # makes the tables, which all of them use
            found = ", ".join(tabu_seconds(n, field, 1 + s, True) for s in range(seeds))
            print(f"| {n}, {TARGETS[n]} | {way} | {found} |", flush=True)


def main() -> None:
    """Print the rows of one problem."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("problem", choices=list(SHOWN))
    parser.add_argument("--n", default="")
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--dives", type=int, default=3000)
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()
    if options.problem == "isosceles":
        sizes = [int(n) for n in (options.n or "48,64,100").split(",")]
        fields(sizes, options.seeds or 5, options.steps)
    else:
        for n in (options.n or "36").split(","):
            beginnings(int(n), options.seeds or 2, options.dives, options.steps)


if __name__ == "__main__":
    main()

"""The lecture's isosceles experiment: what a model makes of greedy attempts at n = 16.

    pipeline lab run isosceles-16

Greedy attempts are shown to a model, alone and with the best of all smaller sizes, and it writes
freely: nothing rules out a blocked cell or a wrong format. Before a sample counts, points are taken
out of it until no three form an isosceles triangle; none is added and nothing is searched. Source:
A. Z. Wagner, "Transformers and Makemore", 22 September 2023, which does not say how its illegal
outputs were scored, and gives wrongly formatted ones -10.

The lecture's attempts spread wider than random greedy filling does, and its samples have spikes at
multiples of 4, so symmetric sets were among them. `ATTEMPTS` is a mixture whose mean, median, mean
of the top 20 % and maximum are within 0.5 of the lecture's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np

from pipeline.assembly import Parts, build
from pipeline.callbacks import Callbacks
from pipeline.config import Config, config_from
from pipeline.core import bitset, streams
from pipeline.core.population import Population
from pipeline.core.score_stats import distribution
from pipeline.engine.greedy import repair_many
from pipeline.engine.space import make_space
from pipeline.errors import UsageError, nearest
from pipeline.executors import Serial
from pipeline.loop import Memory
from pipeline.loop import seed as seeded
from pipeline.plugins import load_problem
from pipeline.state import State

N = 16
#: What the lecture's slides give: mean, median, mean of the top 20 %, max.
LECTURE: Mapping[tuple[str, str], tuple[float, float, float, int]] = {
    ("alone", "input"): (16.7, 17, 20.7, 23),
    ("alone", "model"): (15.9, 17, 21.9, 24),
    ("all n <= 16", "model"): (15.4, 16, 23.4, 25),
}
_FIGURES = ("mean", "median", "top 20 %", "max")


@dataclass(frozen=True)
class Attempts:
    """Greedy fillings of one kind.

    Attributes:
        symmetry: the class they are made in.
        share: of all that is shown.
        lacking: each lacks so many of its points at most, at random: an attempt that was given up.
    """

    symmetry: str
    share: float
    lacking: int = 0


#: What is shown.
ATTEMPTS = (
    Attempts("trivial", 0.4, lacking=6),
    Attempts("diagonal", 0.3),
    Attempts("both-mirrors", 0.15, lacking=1),
    Attempts("both-diagonals", 0.15, lacking=1),
)
#: So many times as many attempts are made as are shown: some are equivalent, some too good.
_SPARE = 2
#: The score of what is no construction.
WRONG_FORMAT = -10


@dataclass(frozen=True)
class Scale:
    """How much is done."""

    greedy: int  # attempts at n
    steps: int  # of training, for each of the two models
    samples: int
    shape: Mapping[str, Any]  # of the models


SCALES: Mapping[str, Scale] = {
    "tiny": Scale(300, 20, 60, {"width": 16, "heads": 2, "layers": 1}),
    "small": Scale(20_000, 2_000, 1_000, {"width": 128, "layers": 3}),
    "lecture": Scale(100_000, 30_000, 10_000, {"width": 128, "layers": 4}),
}
#: Of each smaller size the best are shown, no more than so many for one construction at n.
_SMALLER = 1 / 40


def run(scale: str, seed: int, callbacks: Callbacks, n: int = N) -> list[dict[str, Any]]:
    """Play the experiment once; return its three rows.

    Args:
        scale: a name of ``SCALES``; "small" takes a core about seven minutes.
        seed: the rng seed.
        callbacks: told the progress.

    Returns:
        For each row what was shown ("alone", or with smaller sizes), whose constructions they are
        ("input" or "model"), "seed", and what `statistics.distribution` says of them, the wrongly
        formatted counted with a score of -10; "illegal" is how many had to be repaired.

    Raises:
        UsageError: an unknown scale.
    """
    if scale not in SCALES:
        raise UsageError(f"unknown scale {scale!r}{nearest(scale, SCALES)}")
    callbacks.on_note(f"greedy attempts at n = {n}")
    alone = _parts(SCALES[scale], seed, (n,), callbacks)
    shown = _attempts(SCALES[scale], seed, n, callbacks)
    first = State(alone.engine.problem, n, seed, 0, {n: shown})
    rows = [{"shown": "alone", "whose": "input", "seed": seed, **_statistics(shown.score, 0, 0)}]
    rows.append({"shown": "alone", "whose": "model", "seed": seed, **_asked(alone, first)})
    together = _parts(SCALES[scale], seed, tuple(range(1, n + 1)), callbacks)
    pools = {k: _best(together, k) for k in range(1, n)} | {n: shown}
    state = State(first.problem, n, seed, 0, pools)
    rows.append({"shown": f"all n <= {n}", "whose": "model", "seed": seed})
    rows[-1] |= _asked(together, state)
    return rows


def experiment(scale: str, seed: int, callbacks: Callbacks) -> list[dict[str, Any]]:
    """Play the experiment for three rng seeds, ``seed`` and the next two; see ``lab.registry``.

    Of each figure the median is given, and behind it the least and the largest.
    """
    seeds = range(seed, seed + 3)
    rows = [row for one in seeds for row in run(scale, one, callbacks)]
    how = SCALES[scale]
    shape = ", ".join(f"{key} {value}" for key, value in how.shape.items())
    budget = (
        f"{how.greedy:,} attempts, {how.steps:,} steps, {shape}, {how.samples:,} samples, "
        f"rng seeds {seeds[0]} to {seeds[-1]}"
    )
    made = []
    for shown, whose in LECTURE:
        ours = [row for row in rows if (row["shown"], row["whose"]) == (shown, whose)]
        measured = {
            name: [row[name] for row in ours] for name in ("mean", "median", "top20", "max")
        }
        shares = {
            name: [100 * row[name] / row["count"] for row in ours]
            for name in ("wrong_format", "illegal")
        }
        text = _figures([_spread(values) for values in measured.values()])
        if whose == "model":
            text += (
                f"; wrong format {_spread(shares['wrong_format'], ' %')}, "
                f"illegal before repair {_spread(shares['illegal'], ' %')}"
            )
        theirs = _figures([f"{value:g}" for value in LECTURE[shown, whose]])
        made.append(
            {
                "name": f"isosceles-16, {shown}, {whose}",
                "measured": text,
                "lecture": theirs,
                "budget": budget,
                "values": {**measured, **shares},
            }
        )
    return made


def _figures(texts: Sequence[str]) -> str:
    return ", ".join(f"{name} {t}" for name, t in zip(_FIGURES, texts, strict=True))


def _parts(
    scale: Scale,
    seed: int,
    sizes: tuple[int, ...],
    callbacks: Callbacks,
    symmetry: str = "trivial",
) -> Parts:
    config = _config(scale, seed, sizes, symmetry)
    parts = build(load_problem(config.problem), config, Serial())
    parts.callbacks.listeners.append(callbacks)
    return parts


def _attempts(scale: Scale, seed: int, n: int, callbacks: Callbacks) -> Population:
    """Return what is shown at size n, distinct up to symmetry."""
    most = LECTURE["alone", "input"][-1]
    rng, made = np.random.default_rng([seed, n]), []
    for kind in ATTEMPTS:
        wanted = round(kind.share * scale.greedy)
        few = replace(scale, greedy=_SPARE * wanted)
        parts = _parts(few, seed, (n,), callbacks, symmetry=kind.symmetry)
        found = seeded(parts.engine, Memory()).pools[n]
        cells = _without_some(found.bits(), kind.lacking, rng)
        scores = parts.engine.runner.verified(cells, n)
        fitting = np.flatnonzero(scores <= most)
        made.append(
            Population.build(n, found.m, cells, scores).take(rng.permutation(fitting)[:wanted])
        )
    return Population.concat(made)


def _without_some(members: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Take up to ``most`` random members out of each set, bool ``(B, M)``; return them packed."""
    keys = np.where(members, rng.random(members.shape), 2.0)
    rank = keys.argsort(axis=1).argsort(axis=1)
    return bitset.pack(members & (rank >= rng.integers(most + 1, size=(len(members), 1))))


def _config(scale: Scale, seed: int, sizes: tuple[int, ...], symmetry: str) -> Config:
    settings = {
        "problem": "isosceles",
        "n": sizes[-1],
        "sizes": sizes,
        "seed": seed,
        "seeding": {"method": "greedy", "count": scale.greedy, "symmetry": (symmetry,)},
        "select": {"keep": scale.greedy, "smaller": _SMALLER},
        "model": dict(scale.shape),
        "train": {"steps": scale.steps, "patience": 0, "evaluate_every": max(scale.steps // 5, 1)},
        "sample": {"count": scale.samples, "masked": False},
        "search": {"batches": 0},
        "compute": {"device": "auto"},
    }
    return config_from(settings, "the experiment")


def _best(parts: Parts, n: int) -> Population:
    """Return the best constructions of a smaller size, by the portfolio of searches."""
    engine = parts.engine
    pool, _ = engine.explorer.explore(n, 0, engine.runner.none(n), [], {}, "seed")
    return pool.take(pool.score == pool.score.max())


def _asked(parts: Parts, state: State) -> dict[str, Any]:
    """Train on a state, sample freely, repair, and say what came of it."""
    n, generator = state.n, parts.generator
    samples = generator.ask(state)
    assert isinstance(samples, Population)
    written = state.problem.evaluate(samples.cells, n)
    cells = np.ascontiguousarray(samples.cells).copy()
    rng = streams.state(state.seed, 1, "search")
    repair_many(make_space(state.problem, n), rng, cells)
    scores = parts.engine.runner.verified(cells, n)
    illegal = int((scores < written).sum())
    return _statistics(scores, generator.malformed, illegal) | {
        "holdout_loss": generator.stats["train"]["holdout_loss"]
    }


def _statistics(scores: np.ndarray, wrong: int, illegal: int) -> dict[str, Any]:
    counted = np.concatenate([scores, np.full(wrong, WRONG_FORMAT)])
    return {**distribution(counted), "wrong_format": wrong, "illegal": illegal}


def _spread(values: Sequence[float], unit: str = "") -> str:
    low, middle, high = min(values), median(values), max(values)
    text = f"{middle:.3g}{unit}"
    return text if low == high else f"{text} ({low:.3g} - {high:.3g})"

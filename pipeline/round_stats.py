"""What a round tells of itself, ready for JSON; nothing in a run is computed from it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.core.bitset import ids
from pipeline.core.population import Population
from pipeline.core.score_stats import distribution
from pipeline.core.symmetry import canonical
from pipeline.state import State


def of_seeding(state: State, scores: Mapping[int, np.ndarray]) -> dict[str, Any]:
    """Return what round 0 tells.

    Args:
        scores: of all that was found, by size.
    """
    seeded = {str(n): distribution(found) for n, found in scores.items()}
    return _pools(state) | {"seeded": seeded, "arms": list(state.arms)}


def of_round(state: State, improved: Population, of_generator: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a later round tells.

    Args:
        state: after the round.
        improved: what search made of the candidates.
        of_generator: what the generator tells.
    """
    pool, sampling = state.pool, state.sampling
    new = pool.round == state.round
    generated = new & ~pool.came_from("search")
    stats = _pools(state) | dict(of_generator)
    if sampling is not None:
        stats["sampled"] = sampling.scores
        for name in ("validity", "duplicates", "novelty", "repeats"):
            stats[name] = getattr(sampling, name)
    if state.candidates is not None:
        stats["searched"] = distribution(improved.score)
    ground = state.problem.ground(state.n)
    reached = np.isin(ids(canonical(pool.cells, ground)), ids(canonical(improved.cells, ground)))
    return stats | {
        "kept_from_generator": int(generated.sum()),
        "rediscovered": int((reached & ~generated).sum()),
        "kept_from_search": int((new & pool.came_from("search")).sum()),
        "arms": list(state.arms),
    }


def _pools(state: State) -> dict[str, Any]:
    return {
        "round": state.round,
        "n": state.n,
        "pool": {str(n): distribution(pool.score) for n, pool in state.pools.items()},
    }

"""One rng seed, many independent streams, named by what they are for.

A stream depends on the run's seed and its name alone, so results do not depend on how many
workers there are or on what ran before.
"""

from typing import Final

import numpy as np

#: The stages of a round that draw random numbers; the numbers are part of a run's identity.
_NAMES = ("seed", "initialise", "train", "sample", "search", "portfolio", "propose", "feedback")
STAGES: Final = {name: number for number, name in enumerate(_NAMES)}


def _sequence(seed: int, round_: int, stage: str, task: tuple[int, ...]) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(round_, STAGES[stage], *task))


def state(seed: int, round_: int, stage: str, *task: int) -> np.ndarray:
    """Return the first state of a kernel's generator, uint64 ``(1,)``.

    Args:
        task: numbers that tell the tasks of one stage apart.
    """
    return _sequence(seed, round_, stage, task).generate_state(1, np.uint64)


def integer(seed: int, round_: int, stage: str, *task: int) -> int:
    """Return a seed for a library's generator, in 0..2**63 - 1."""
    return int(state(seed, round_, stage, *task)[0] >> np.uint64(1))

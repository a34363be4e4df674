"""What a run will hold in memory at least, and the refusal of what cannot fit."""

import math

from pipeline.config import Config
from pipeline.core.memory import memory_bytes, readable
from pipeline.errors import UsageError
from pipeline.problem import Problem


def check_memory(problem: Problem, config: Config) -> None:
    """Refuse a configuration that needs more memory than this machine has.

    The estimates are low: what is refused could not have been played.

    Raises:
        UsageError: names the keys, and the memory it would need.
    """
    have = memory_bytes()
    for keys, need in _needs(problem.ground_size(config.n), config).items():
        if need > have:
            raise UsageError(
                f"{keys}: at n={config.n} that takes at least {readable(need)} of memory and this "
                f"machine has {readable(have)}; choose less"
            )


def _needs(m: int, config: Config) -> dict[str, int]:
    """Return bytes by the keys that decide them, for m elements."""
    seeds = {f"seeding.count = {config.seeding.count:,}": config.seeding.count * m // 8}
    if config.generator == "none":
        return seeds
    count, model = config.sample.count, config.model
    # Samples are packed and unpacked once, a byte for each element.
    needs = seeds | {f"sample.count = {count:,}": count * m}
    if not config.has_model:
        return needs
    # Weights, their gradients and the momentum of Muon, in float32.
    weights = 12 * model.layers * model.width**2
    needs[f"model.layers = {model.layers}, model.width = {model.width:,}"] = 12 * weights
    # A construction has some sqrt(m) elements; each is a row of numbers between any two blocks.
    row = 4 * math.isqrt(m) * model.layers * model.width
    train, batch = config.train, min(config.sample.batch, count)
    needs[f"train.batch = {train.batch:,}"] = 8 * row * train.batch
    needs[f"sample.batch = {batch:,}"] = 2 * row * batch
    return needs

"""Random numbers of kernels, from a state that they are handed."""

import numpy as np

from pipeline.core.jit import inlined


@inlined
def _draw(rng):
    """Return 64 random bits: splitmix64 (Steele, Lea, Flood 2014), state in rng[0]."""
    rng[0] += np.uint64(0x9E3779B97F4A7C15)
    z = rng[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@inlined
def below(rng, bound):
    """Return an integer in 0..bound-1; the bias is below bound / 2**32."""
    return np.int64(((_draw(rng) >> np.uint64(32)) * np.uint64(bound)) >> np.uint64(32))


@inlined
def unit(rng):
    """Return a float in [0, 1)."""
    return np.float64(_draw(rng) >> np.uint64(11)) * (1.0 / 9007199254740992.0)

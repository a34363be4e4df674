"""Weights learned from good constructions of smaller sizes: where they have their elements.

What is learned on small sizes carries over to large ones when positions are taken as fractions of
the side (Wagner, "Transformers and Makemore", 2023, says so of transformers; a network fitted to
the same counts and this estimate were worth the same). The estimate is a kernel density in
normalised coordinates, averaged over the symmetries of the ground set.
"""

from collections.abc import Mapping

import numpy as np

from pipeline.core.bitset import unpack
from pipeline.core.ground_set import GroundSet
from pipeline.core.symmetry import orbits, symmetry_classes
from pipeline.errors import UsageError

# Constructions of one size that are looked at: the best.
_MOST = 500
# The width of the kernel, in steps of the smaller ground set.
_STEPS = 1.5
# The least share of the mean density that is told apart, so that nothing is shut out for good.
_LEAST = 0.02
_ROWS = 256


def learned_weights(
    examples: Mapping[int, tuple[GroundSet, np.ndarray]], ground: GroundSet
) -> np.ndarray:
    """Return float32 ``(m,)``: 2 ln (density / mean density), what an element is worth more.

    Args:
        examples: for each smaller size its ground set and packed constructions, best first.
        ground: the one to make weights for.

    Returns:
        Empty where there is nothing to learn from.
    """
    densities = [
        _carried(_usage(small, cells[:_MOST]), small, ground)
        for small, cells in examples.values()
        if cells.any() and small.m > 1
    ]
    if not densities:
        return np.zeros(0, np.float32)
    density = np.mean(densities, axis=0)
    return (2 * np.log(np.maximum(density / density.mean(), _LEAST))).astype(np.float32)


def _usage(ground: GroundSet, cells: np.ndarray) -> np.ndarray:
    """Return how often each element is used, 1 on average, the same for all of an orbit."""
    used = _symmetrised(unpack(cells, ground.m).mean(axis=0), ground)
    return used / max(used.mean(), 1e-12)


def _whole_orbits(ground: GroundSet) -> np.ndarray:
    """Return int32 ``(m,)``: the orbits under all symmetries of the ground set."""
    whole = max(symmetry_classes(ground), key=lambda cls: cls.order)
    return orbits(ground, whole).of


def _symmetrised(values: np.ndarray, ground: GroundSet) -> np.ndarray:
    of = _whole_orbits(ground)
    return (np.bincount(of, weights=values) / np.bincount(of))[of]


def _carried(usage: np.ndarray, small: GroundSet, ground: GroundSet) -> np.ndarray:
    """Average the usage of a small ground set about each place of another.

    The usage is the same for all of an orbit, and so one element stands for its own.
    """
    if small.coords.shape[1] != ground.coords.shape[1]:
        raise UsageError(
            f"learned weights go by coordinates, and elements have {small.coords.shape[1]} of them "
            f"at n={small.n} and {ground.coords.shape[1]} at n={ground.n}; use --weights none"
        )
    _, stands, of = np.unique(_whole_orbits(ground), return_index=True, return_inverse=True)
    here, there = _normalised(ground.coords)[stands], _normalised(small.coords)
    side = int((small.coords.max(axis=0) - small.coords.min(axis=0)).max())
    scale = side / (2 * _STEPS)
    density = np.empty(len(here))
    for first in range(0, len(here), _ROWS):
        part = here[first : first + _ROWS]
        apart = ((part[:, None, :] - there[None, :, :]) ** 2).sum(axis=2) * scale**2
        # The nearest is brought to weight 1, so that far places do not fall to 0 / 0.
        weight = np.exp(-0.5 * (apart - apart.min(axis=1, keepdims=True)))
        density[first : first + _ROWS] = weight @ usage / weight.sum(axis=1)
    return density[of]


def _normalised(coords: np.ndarray) -> np.ndarray:
    """Return coordinates in -1..1, each axis by the box that they fill."""
    low, high = coords.min(axis=0), coords.max(axis=0)
    return (2.0 * coords - low - high) / np.maximum(high - low, 1)

"""What a user says of single elements: weights, which pull a search, and masks, which bound it.

Weights are what each element is worth to a search beside the point it scores. It pulls a search to
where good sets lie and fades to nothing while it runs (an exact cover: after the choices that
it begins with), so that the end is decided by the problem alone. It is float32 ``(m,)``, in
elements: 1 makes an element worth two.
"""

from collections.abc import Mapping

import numpy as np

from pipeline.core.ground_set import GroundSet
from pipeline.errors import UsageError

#: Weights from good constructions of smaller sizes (see ``density``).
LEARNED = "learned"
#: Weights that every ground set has.
NAMES = ("border", LEARNED)
# The share of a ground set that a restricted search goes without.
_LOWEST = 0.25


def make_weights(name: str, ground: GroundSet, given: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return weights, float32 ``(m,)``; empty for none.

    Args:
        name: "" (no weights), "border" (a ramp that falls from 2 at the border of the box that the
            coordinates fill to -6 inside; drawn after looking at good isosceles-free sets), or
            one of those given.
        given: arrays of m finite numbers, in the shape of the ground set or flat, by name.

    Raises:
        UsageError: an unknown name, or an array that is no weights of this ground set.
    """
    if not name:
        return np.zeros(0, np.float32)
    if name == "border":
        low, high = ground.coords.min(axis=0), ground.coords.max(axis=0)
        steps = np.minimum(ground.coords - low, high - ground.coords).min(axis=1)
        side = int((high - low).max()) + 1
        return (2 * np.maximum(1 - 16 * steps / side, -3)).astype(np.float32)
    if name not in given:
        known = ", ".join((*NAMES, "none"))
        raise UsageError(f"unknown weights {name!r}: give {known}, or a file that ends with .npy")
    weights = given[name]
    largest = np.finfo(np.float32).max
    if (
        weights.dtype.kind not in "fiu"
        or weights.size != ground.m
        or not (abs(weights) <= largest).all()
    ):
        raise UsageError(
            f"{name} is no weights for n={ground.n}: {ground.m} finite numbers are needed, one for "
            f"each element, not {weights.dtype} of shape {weights.shape}"
        )
    return weights.astype(np.float32).ravel()


def restricted(weights: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Return the part of a mask, bool ``(m,)``, without the quarter that weights value least.

    Whatever is worth as little as the last of that quarter is left out with it: of the border's
    weights all that lies a quarter of the side or more inside.

    Args:
        weights: float32 ``(m,)``.
        mask: bool ``(m,)``; None for all.
    """
    high = weights > np.quantile(weights, _LOWEST, method="lower")
    return high if mask is None else high & mask


def make_mask(name: str, ground: GroundSet, given: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Return a mask, bool ``(m,)``, True for what may be used; None for all.

    Args:
        name: "" (all), or one of those given.
        given: arrays of m times 0 or 1, in the shape of the ground set or flat, by name.

    Raises:
        UsageError: an array that is no mask of this ground set.
    """
    if not name:
        return None
    mask = given[name]
    if mask.dtype.kind not in "biuf" or mask.size != ground.m or not np.isin(mask, (0, 1)).all():
        raise UsageError(
            f"{name} is no mask for n={ground.n}: {ground.m} times 0 or 1 are needed, one for "
            f"each element, not {mask.dtype} of shape {mask.shape}"
        )
    return mask.astype(np.bool_).ravel()


def of_choices(weights: np.ndarray, of: np.ndarray, choices: int) -> np.ndarray:
    """Return what each choice is worth, float64 ``(M,)``: the sum over its elements.

    Args:
        weights: float32 ``(m,)``, or empty for none.
        of: int32 ``(m,)``, the choice of each element, -1 for none.
    """
    if not len(weights):
        return np.zeros(choices)
    return np.bincount(of[of >= 0], weights=weights[of >= 0], minlength=choices)

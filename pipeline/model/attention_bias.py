"""The relation of the elements that two tokens stand for, which attention may have a bias for.

Relations are numbered below ``gpt.CLASSES``; 0 is that of a token that stands for no element. The
near ones each have a number of their own, the far ones share what is left, ever more of them one.
"""

from collections.abc import Callable, Sequence
from math import comb

import numpy as np

from pipeline.errors import UsageError, nearest
from pipeline.model.coordinate_embedding import distinct_coordinates
from pipeline.model.gpt import ATTENTION_BIASES, CLASSES
from pipeline.model.tokens import Encoder

_MOST = 8192  # element tokens; a table of 64 MiB


def relations(encoder: Encoder, bias: str) -> np.ndarray | None:
    """Return the relation of every two tokens, uint8 ``(V, V)``, for `GPT.relate`.

    A token's coordinates are its element's; those of an orbit are its smallest element's, by which
    the framework's tokens go, so that they are the same at every size. O(V^2).

    Args:
        bias: "distance" tells apart by Euclidean distance, "offset" by the differences in
            each coordinate, whatever their signs and order; "off" gives None.

    Raises:
        UsageError: an unknown bias; an encoder whose tokens stand for no element ("dense"),
            for other coordinates at other sizes, or are more than 8192.
    """
    if bias not in ATTENTION_BIASES:
        raise UsageError(f"model.attention_bias {bias!r}: unknown{nearest(bias, ATTENTION_BIASES)}")
    if bias == "off":
        return None
    tokens, coords = distinct_coordinates(encoder, "model.attention_bias", bias, "off")
    if len(tokens) > _MOST:
        raise UsageError(
            f"model.attention_bias {bias!r}: {len(tokens)} element tokens, and it takes "
            f"{_MOST} at most; use 'off'"
        )
    class_of = _by_distance(coords) if bias == "distance" else _by_offset(coords)
    table = np.zeros((encoder.vocab_size, encoder.vocab_size), np.uint8)
    for token, place in zip(tokens, coords, strict=True):
        table[token, tokens] = class_of(np.abs(coords - place))
    return table


def among(coords: Sequence[np.ndarray], bias: str) -> list[np.ndarray] | None:
    """Return the relations of the choices of several sizes, by the same rule at all of them.

    Args:
        coords: for each size the coordinates int64 ``(M, d)`` of its choices.
        bias: as for `relations`.

    Returns:
        For each size uint8 ``(M, M)``; None for "off".
    """
    if bias == "off":
        return None
    every = np.unique(np.concatenate(coords), axis=0)
    class_of = _by_distance(every) if bias == "distance" else _by_offset(every)
    return [
        np.array([class_of(np.abs(here - place)) for place in here], np.uint8) for here in coords
    ]


def _by_distance(coords: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return what maps differences ``(k, d)`` to the classes of their squared lengths ``(k,)``."""

    def squared(differences: np.ndarray) -> np.ndarray:
        return (differences**2).sum(axis=1)

    distinct = np.unique(np.concatenate([np.unique(squared(coords - at)) for at in coords]))
    least = distinct[_levels(len(distinct), CLASSES - 1)]
    return lambda differences: np.searchsorted(least, squared(differences), side="right")


def _by_offset(coords: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return what maps differences ``(k, d)`` to the classes ``(k,)`` of their sorted levels."""
    d = coords.shape[1]
    # Of c levels there are comb(c + d - 1, d) choices of d, in rising order and with repetition.
    count = max(c for c in range(1, CLASSES) if comb(c + d - 1, d) < CLASSES)
    least = _levels(int(np.ptp(coords, axis=0).max()) + 1, count)
    # They are numbered by the combinatorial number system: level l at place j counts for this.
    worth = np.array([[comb(l + j, j + 1) for j in range(d)] for l in range(count)])

    def class_of(differences: np.ndarray) -> np.ndarray:
        levels = np.sort(np.searchsorted(least, differences, side="right") - 1, axis=1)
        return 1 + worth[levels, np.arange(d)].sum(axis=1)

    return class_of


def _levels(values: int, most: int) -> np.ndarray:
    """Return the least value of each of at most ``most`` levels of the values 0 .. values - 1.

    One value to a level at first, then each level longer than the last by about the same factor.
    """
    least = [0]
    while least[-1] + 1 < values and len(least) < most:
        low, left = least[-1], most - len(least)
        factor = (values / max(low, 1)) ** (1 / (left + 1))
        least.append(max(low + 1, round(low * factor)))
    return np.array(least)

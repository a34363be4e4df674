"""Where the elements that tokens stand for lie, for models that are shown it.

A *feature* is a number that is known of a token, or of a position in the sequence, before anything
is learnt. What a model computes from features alone carries over to tokens, and to sizes, that it
has never seen.
"""

from typing import NamedTuple

import numpy as np

from pipeline.core.symmetry import Orbits, find_whole_class, orbits
from pipeline.errors import UsageError, nearest
from pipeline.model.gpt import EMBEDDINGS, POSITION_FEATURES
from pipeline.model.tokens import Encoder

_WAVES = 16  # of each coordinate


class TokenFeatures(NamedTuple):
    """What is known of tokens and positions, of S sizes, V tokens, T positions.

    What does not depend on the size is there once, S = 1.
    """

    features: np.ndarray  # float32 (S, V, K), K at least 1
    known: np.ndarray  # bool (V,), whose features count; the others are marks
    positions: np.ndarray  # float32 (S, T, POSITION_FEATURES)
    size_of: np.ndarray  # int64 (V,), the index in S of the size that a token stands for, or 0


def token_features(encoder: Encoder, embedding: str) -> TokenFeatures | None:
    """Return the features of an encoder's tokens, None for the embedding "free".

    Args:
        embedding: "coordinates" tells which value each coordinate of an element has, one number
            for each; "fractions" smooth functions of the coordinates as shares of the side, by
            which a cell of a size that was never seen is like those about the same place of
            others, and likewise the size, and the position as a share of it.

    Raises:
        UsageError: an unknown embedding; an encoder whose tokens stand for no element ("dense"),
            or, with "coordinates", for other ones at other sizes.
    """
    if embedding not in EMBEDDINGS:
        raise UsageError(f"model.embedding {embedding!r}: unknown{nearest(embedding, EMBEDDINGS)}")
    if embedding == "free":
        return None
    if embedding == "coordinates":
        return _by_coordinates(encoder)
    return _by_fractions(encoder)


def usual_embedding(encoder: Encoder) -> str:
    """Return "fractions", which learns most from least (benchmarks/shown.py), or "free".

    The latter is for encoders whose tokens stand for no element.
    """
    named = all(_stand_for_elements(encoder, n) for n in encoder.sizes)
    return "fractions" if named else "free"


def elements(
    encoder: Encoder, key: str, value: str, fallback: str
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Return the tokens int64 ``(k,)`` and the coordinates ``(k, d)`` of each size's elements.

    A token's coordinates are its element's; those of an orbit are its smallest element's.

    Args:
        key, value, fallback: a setting, and what else it may be, for the error.

    Raises:
        UsageError: an encoder whose tokens stand for no element ("dense").
    """
    known = {}
    for n, ground in encoder.grounds.items():
        if not _stand_for_elements(encoder, n):
            raise UsageError(
                f"{key} {value!r}: {encoder.name!r} tokens do not stand for elements; "
                f"use model.tokens 'points' or 'orbits', or {key.partition('.')[2]} {fallback!r}"
            )
        found = _choices(encoder, n)
        smallest = found.elements[found.start[:-1]]
        known[n] = encoder.element_tokens(n).astype(np.int64), ground.coords[smallest]
    return known


def _choices(encoder: Encoder, n: int) -> Orbits:
    ground = encoder.grounds[n]
    return orbits(ground, find_whole_class(ground, encoder.symmetry))


def _stand_for_elements(encoder: Encoder, n: int) -> bool:
    return not encoder.dense and len(encoder.element_tokens(n)) == len(_choices(encoder, n))


def distinct_coordinates(
    encoder: Encoder, key: str, value: str, fallback: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the element tokens int64 ``(k,)`` of all sizes and the coordinates ``(k, d)`` of each.

    Raises:
        UsageError: as for `elements`; a token for other coordinates at another size.
    """
    known = [np.column_stack(part) for part in elements(encoder, key, value, fallback).values()]
    if len({part.shape[1] for part in known}) > 1:
        raise UsageError(
            f"{key} {value!r}: elements have another number of coordinates at each size; use "
            f"{key.partition('.')[2]} {fallback!r}, or one size alone"
        )
    found = np.unique(np.concatenate(known).astype(np.int64), axis=0)
    tokens = found[:, 0]
    twice = tokens[1:][tokens[1:] == tokens[:-1]]
    if len(twice):
        raise UsageError(
            f"{key} {value!r}: {encoder.name!r} token {twice[0]} stands for elements "
            f"at several places; use {key.partition('.')[2]} {fallback!r}"
        )
    return tokens, found[:, 1:]


def _by_coordinates(encoder: Encoder) -> TokenFeatures:
    tokens, coords = distinct_coordinates(encoder, "model.embedding", "coordinates", "free")
    columns = coords.T - coords.min(axis=0)[:, None]
    axes = [np.eye(column.max() + 1, dtype=np.float32)[column] for column in columns]
    V = encoder.vocab_size
    features = np.zeros((1, V, sum(axis.shape[1] for axis in axes)), np.float32)
    # A sum of d vectors is then as long as one of them.
    features[0, tokens] = np.concatenate(axes, axis=1) / np.sqrt(len(axes))
    known = np.zeros(V, np.bool_)
    known[tokens] = True
    nothing = np.zeros((1, encoder.max_length, POSITION_FEATURES), np.float32)
    return TokenFeatures(features, known, nothing, np.zeros(V, np.int64))


def _by_fractions(encoder: Encoder) -> TokenFeatures:
    found = elements(encoder, "model.embedding", "fractions", "free")
    V, sizes = encoder.vocab_size, encoder.sizes
    dimension = max(coords.shape[1] for _, coords in found.values())
    outside, inside, size, first = 0, 1, 2, 4
    features = np.zeros((len(sizes), V, first + dimension * (1 + _WAVES)), np.float32)
    positions = np.empty((len(sizes), encoder.max_length, POSITION_FEATURES), np.float32)
    known = np.zeros(V, np.bool_)
    size_of = np.zeros(V, np.int64)
    marks = {n: int(encoder.prefix(n)[1]) for n in sizes}
    for tokens, _ in found.values():
        known[tokens] = True
    for s, n in enumerate(sizes):
        tokens, coords = found[n]
        features[s, known, outside] = 1  # one vector for all that this size has not
        features[s, tokens, outside], features[s, tokens, inside] = 0, 1
        waves = _waves(_fractions(coords)).reshape(len(tokens), -1)
        features[s, tokens, first : first + waves.shape[1]] = waves
        for k, mark in marks.items():
            features[s, mark, size : size + 2] = 1, k / sizes[-1]
        size_of[marks[n]] = s
        # Sequences are about as long as the side, or twice: a share that grows and stays below 1.
        place = np.arange(encoder.max_length)
        share = (place / (place + n))[:, None]
        positions[s] = np.cos(np.pi * np.arange(POSITION_FEATURES) * share)
    known[list(marks.values())] = True
    return TokenFeatures(features, known, positions, size_of)


def _fractions(coords: np.ndarray) -> np.ndarray:
    """Return coordinates in (-1, 1): (2 x - n + 1) / n where they run from 0 to n - 1."""
    low, high = coords.min(axis=0), coords.max(axis=0)
    return (2.0 * coords - low - high) / (high - low + 1)


def _waves(fractions: np.ndarray) -> np.ndarray:
    """Return each fraction ``(k, d)`` itself and cosines of it, ``(k, d, 1 + _WAVES)``."""
    angle = np.pi * (fractions[..., None] + 1) / 2
    waves = np.cos(angle * np.arange(1, _WAVES + 1))
    return np.concatenate([fractions[..., None], waves], axis=-1)

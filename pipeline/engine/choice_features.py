"""What is known of each choice that may join a set: what it blocks, where it lies, what is near.

A model that scores choices by these numbers need not find them in tokens, and what it learns on
small sizes it can use on large ones.
"""

import itertools
from typing import NamedTuple

import numpy as np

from pipeline.core.ground_set import GroundSet
from pipeline.core.jit import kernel
from pipeline.engine.set_batch import set_of
from pipeline.engine.state import CHOICES, conflicts_added, join, leave

# How far the offsets reach whose elements are counted, by the number of coordinates.
_REACH = {1: 8, 2: 3, 3: 1}
# Steps over which the nearness to an end of an axis falls by e.
_NEAR = 2.0
# What is larger is cut off here: spreads from the mean, and counts of elements.
_FAR = 4
# With at most so many coordinates, all products of two are features.
_FEW = 4


class Geometry(NamedTuple):
    """Where the choices lie; M choices, d coordinates."""

    start: np.ndarray  # int32 (M + 1,), choice i is elements[start[i]:start[i + 1]]
    elements: np.ndarray  # int32
    coords: np.ndarray  # int32 (m, d)
    reach: int  # offsets of at most so many steps in each coordinate are counted
    graph: bool


def make_geometry(ground: GroundSet, start: np.ndarray, elements: np.ndarray) -> Geometry:
    """Return where choices lie, their elements as in a space of orbits."""
    reach = 0 if ground.graph else _REACH.get(ground.coords.shape[1], 0)
    return Geometry(start, elements, ground.coords, reach, ground.graph)


def counted(geometry: Geometry) -> int:
    """Return how many numbers `describe` counts for a choice."""
    d = geometry.coords.shape[1]
    return 2 + d + (2 * geometry.reach + 1) ** d * (geometry.reach > 0)


@kernel
def describe(space, states, free, geometry, blocks, before, counts):
    """Count, int32 ``(R, K)``, for each choice that is marked in ``free``, row by row of the sets.

    The K numbers of a choice: the free choices that it would block; those it would block that are
    blocked already; for each coordinate the elements of the set that have the same (of a graph, the
    edges at the lesser and at the greater end by degree); the elements at each offset from its
    first, in the order of ``itertools.product``, the last coordinate moving fastest.

    Args:
        space: in which the choices are counted.
        states: B sets, from which nothing is taken in the end.
        free: bool ``(B, M)``.
        geometry: a ``Geometry``.
        blocks: whether to count the first two, which costs two joins for each choice. Both are
            lower bounds in a space that is not exact.
        before: int64 ``(M,)``, scratch.
    """
    at, d = 0, geometry.coords.shape[1]
    side = 2 * geometry.reach + 1
    for row in range(len(free)):
        state = set_of(states, row)
        for choice in range(free.shape[1]):
            absent = state.position[choice] < 0
            before[choice] = conflicts_added(space, state, choice) if absent else 0
        for choice in range(free.shape[1]):
            if not free[row, choice]:
                continue
            here = counts[at]
            at += 1
            here[:] = 0
            if blocks:
                _count_blocked(space, state, free[row], before, choice, here)
            u = geometry.coords[geometry.elements[geometry.start[choice]]]
            for i in range(state.totals[CHOICES]):
                other = state.chosen[i]
                for e in range(geometry.start[other], geometry.start[other + 1]):
                    v = geometry.coords[geometry.elements[e]]
                    if geometry.graph:
                        here[2] += (u[0] == v[0]) | (u[0] == v[1])
                        here[3] += (u[1] == v[0]) | (u[1] == v[1])
                        continue
                    place, near = 0, geometry.reach > 0
                    for k in range(d):
                        apart = v[k] - u[k]
                        here[2 + k] += apart == 0
                        near = near and -geometry.reach <= apart <= geometry.reach
                        place = place * side + apart + geometry.reach
                    if near:
                        here[2 + d + place] += 1
            if geometry.graph and here[2] > here[3]:
                here[2], here[3] = here[3], here[2]


@kernel
def _count_blocked(space, state, free, before, choice, here):
    join(space, state, choice)
    for other in range(len(free)):
        if state.position[other] < 0 and conflicts_added(space, state, other) > before[other]:
            if free[other]:
                here[0] += 1
            elif before[other] > 0:
                here[1] += 1
    leave(space, state, choice)


def features_of(
    geometry: Geometry, ground: GroundSet, free: np.ndarray, counts: np.ndarray, sizes: np.ndarray
) -> np.ndarray:
    """Return float32 ``(R, F)``: the counts of `describe` as a model reads them, and the places.

    Args:
        free: bool ``(B, M)``, R of them.
        counts: int32 ``(R, K)``.
        sizes: the elements of each set, ``(B,)``.
    """
    rows, choices = np.nonzero(free)
    room, total = free.sum(axis=1), free.shape[1]
    blocked = counts[:, :2].astype(np.float64)
    mean = np.stack([np.bincount(rows, part, len(free)) for part in blocked.T], axis=1)
    apart = blocked - (mean / np.maximum(room, 1)[:, None])[rows]
    square = np.stack([np.bincount(rows, part, len(free)) for part in (apart**2).T], axis=1)
    spread = np.sqrt(square / np.maximum(room, 1)[:, None])[rows]
    parts = [
        blocked / np.stack([np.maximum(room, 1)[rows], np.full(len(rows), total)], axis=1),
        np.clip(apart / np.maximum(spread, 1e-6), -_FAR, _FAR),
        np.stack([room / total, np.log1p(sizes) / 4], axis=1)[rows],
        _places(geometry, ground)[choices],
        np.minimum(counts[:, 2:], _FAR),
    ]
    return np.concatenate(parts, axis=1).astype(np.float32)


def _places(geometry: Geometry, ground: GroundSet) -> np.ndarray:
    """Return float64 ``(M, P)``: where each choice lies, by its first element, and its share."""
    sizes = np.diff(geometry.start)
    share = (sizes / sizes.max())[:, None]
    if geometry.graph:  # all vertices are alike
        return share
    coords = geometry.coords[geometry.elements[geometry.start[:-1]]].astype(np.float64)
    low, high = geometry.coords.min(axis=0), geometry.coords.max(axis=0)
    across = (2 * coords - low - high) / np.maximum(high - low, 1)
    ends = np.stack([coords - low, high - coords], axis=2)
    edge = ends.min(axis=(1, 2))[:, None]
    pairs = itertools.combinations(range(coords.shape[1] if coords.shape[1] <= _FEW else 0), 2)
    products = [across[:, i] * across[:, j] for i, j in pairs]
    return np.concatenate(
        [
            *(share, across, np.abs(across), across**2),
            *(np.exp(-ends / _NEAR).reshape(len(coords), -1), np.exp(-edge / _NEAR)),
            2 * edge / max(int((high - low).max()), 1),
            np.stack(products, axis=1) if products else np.zeros((len(coords), 0)),
        ],
        axis=1,
    )

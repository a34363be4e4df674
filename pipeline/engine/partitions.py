"""Partitions of a ground set into boxes and strips, within which sets can be bounded exactly."""

import numpy as np

_SMALL_PART = 12


def halves(part: np.ndarray, coords: np.ndarray) -> list[np.ndarray]:
    """Cut a box (candidates) across its longest side; none for a small one."""
    if len(part) <= _SMALL_PART:
        return []
    here = coords[part]
    low, high = here.min(axis=0), here.max(axis=0)
    axis = int(np.argmax(high - low))
    lower = 2 * here[:, axis] <= low[axis] + high[axis]
    return [part[lower], part[~lower]]


def partitions(coords: np.ndarray) -> list[list[np.ndarray]]:
    """Return partitions of the candidates into boxes and strips, by the size of their parts.

    Args:
        coords: integers (K, d), of the candidates.
    """
    everyone = np.arange(len(coords))
    found: list[list[np.ndarray]] = []
    for column in coords.T:
        values, line = np.unique(column, return_inverse=True)
        for lines in range(1, (len(values) + 1) // 2 + 1):
            strip = line // lines
            found.append([everyone[strip == i] for i in range(strip.max() + 1)])
    boxes, finer = [everyone], _cut([everyone], coords)
    while len(finer) > len(boxes):
        found.append(finer)
        boxes, finer = finer, _cut(finer, coords)
    several = [parts for parts in found if len(parts) > 1]
    return sorted(several, key=lambda parts: max(len(part) for part in parts))


def _cut(parts: list[np.ndarray], coords: np.ndarray) -> list[np.ndarray]:
    return [half for part in parts for half in halves(part, coords) or [part]]


def key_of(part: np.ndarray, group: np.ndarray) -> bytes:
    """Return what parts have in common that are images of one another."""
    images = np.sort(group[:, part], axis=1)
    return min(row.tobytes() for row in images)

"""Boxes within a grid, which have symmetries of their own: reflections about off-centre axes."""

import math
import re

import numpy as np

from pipeline.core.ground_set import GroundSet
from pipeline.errors import UsageError


def may_have_boxes(ground: GroundSet) -> bool:
    """Tell whether the elements fill a grid of two directions or more, which the group turns."""
    try:
        return (
            len(_sides(ground)) > 1 and _linear_parts(ground, range(len(ground.group))) is not None
        )
    except UsageError:
        return False


def read_box(ground: GroundSet, text: str) -> tuple[int, ...]:
    """Return the sides of a box that is written as 55x56.

    Raises:
        UsageError: not so written, no box of the ground set, or the ground set has none.
    """
    if not ground.boxes:
        raise UsageError(
            f"@{text}: this problem has symmetry classes of the whole ground set alone"
        )
    whole = _sides(ground)
    written = re.fullmatch(r"\d{1,9}(x\d{1,9})*", text)
    sides = tuple(int(side) for side in text.split("x")) if written else ()
    if len(sides) != len(whole) or not all(0 < a <= b for a, b in zip(sides, whole, strict=True)):
        most = "x".join(map(str, whole))
        raise UsageError(f"a box is written by its sides, as @{most} at most; got @{text}")
    return sides


def write_box(sides: tuple[int, ...]) -> str:
    """Return the sides of a box as they are written."""
    return "x".join(map(str, sides))


def trimmed_boxes(ground: GroundSet, elements: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the boxes, one shorter than the ground set in a direction, that suit some symmetries.

    All of them map such a box onto itself, and one at least reverses the direction: its axis is
    half a cell off the middle then. Empty where ``ground.boxes`` is not set.
    """
    if not ground.boxes:
        return []
    whole, linear = _sides(ground), _linear_parts(ground, elements)
    found = []
    for axis, side in enumerate(whole):
        alone = np.abs(linear[:, axis, axis]).all()
        if side > 1 and alone and (linear[:, axis, axis] < 0).any():
            found.append((*whole[:axis], side - 1, *whole[axis + 1 :]))
    return found


def turned(ground: GroundSet, sides: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the sides of a box after each symmetry of the ground set."""
    linear = _linear_parts(ground, range(len(ground.group)))
    return [tuple(row) for row in (np.abs(linear) @ sides).tolist()]


def within(ground: GroundSet, sides: tuple[int, ...]) -> np.ndarray:
    """Return bool ``(m,)``: the elements of the box of these sides in the corner of the grid."""
    return (ground.coords - ground.coords.min(axis=0) < sides).all(axis=1)


def box_permutations(
    ground: GroundSet, elements: tuple[int, ...], sides: tuple[int, ...]
) -> np.ndarray | None:
    """Return int32 ``(len(elements), m)``: symmetries, about the centre of a box.

    They fix what is outside. None where one of them does not map the box onto itself.

    Args:
        elements: indices into the group; maps of coordinates, each an axis to an axis.
    """
    whole, inside = _sides(ground), within(ground, sides)
    coords = (ground.coords - ground.coords.min(axis=0)).astype(np.int64)
    at = np.empty(math.prod(whole), np.int32)
    at[np.ravel_multi_index(tuple(coords.T), whole)] = np.arange(ground.m)
    rows = np.tile(np.arange(ground.m, dtype=np.int32), (len(elements), 1))
    for row, linear in zip(rows, _linear_parts(ground, elements), strict=True):
        if tuple(np.abs(linear) @ sides) != sides:
            return None
        shift = np.where(linear.sum(axis=1) < 0, np.array(sides) - 1, 0)
        image = coords[inside] @ linear.T + shift
        row[inside] = at[np.ravel_multi_index(tuple(image.T), whole)]
    return rows


def _sides(ground: GroundSet) -> tuple[int, ...]:
    """Return how many cells the grid has in each direction.

    Raises:
        UsageError: the elements fill no grid, or one of a single cell in a direction.
    """
    sides = tuple((np.ptp(ground.coords, axis=0) + 1).tolist())
    if math.prod(sides) != ground.m or min(sides) < 2:
        raise UsageError("boxes=True: the coordinates fill no grid of two cells or more each way")
    return sides


def _linear_parts(ground: GroundSet, elements: range | tuple[int, ...]) -> np.ndarray:
    """Return int64 ``(len(elements), d, d)``: what maps do to a step in each direction.

    Raises:
        UsageError: one does not take steps along axes to steps along axes.
    """
    coords = ground.coords.astype(np.int64)
    steps = coords - coords.min(axis=0)
    d = steps.shape[1]
    (origin,) = np.flatnonzero((steps == 0).all(axis=1))
    units = [np.flatnonzero((steps == unit).all(axis=1))[0] for unit in np.eye(d, dtype=np.int64)]
    chosen = list(elements)
    ends = coords[ground.group[np.array(chosen)[:, None], np.array([origin, *units])]]
    parts = (ends[:, 1:] - ends[:, :1]).transpose(0, 2, 1)
    fine = (np.abs(parts).sum(axis=1) == 1).all() and (np.abs(parts).sum(axis=2) == 1).all()
    # One map at a time: all images of a large group would take gigabytes.
    for i, part, end in zip(chosen, parts, ends, strict=True):
        axis = np.abs(part).argmax(axis=1)
        linear = steps[:, axis] * part[np.arange(d), axis]
        fine = fine and bool((coords[ground.group[i]] == end[0] + linear).all())
        if not fine:
            raise UsageError("boxes=True: a symmetry is no reflection or turn of the grid")
    return parts

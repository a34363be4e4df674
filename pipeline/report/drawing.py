"""Constructions as pictures: a graph as a graph, anything else on a board."""

from collections.abc import Sequence

import numpy as np

from pipeline.core.ground_set import GroundSet
from pipeline.report.board import Axis, board_svg, board_text
from pipeline.report.graph_drawing import graph_svg, graph_text


def drawn_svg(
    ground: GroundSet,
    points: np.ndarray,
    *,
    added: Sequence[int] = (),
    removed: Sequence[int] = (),
    axes: Sequence[Axis] = (),
    label: str = "",
) -> str | None:
    """Draw elements ``points`` (k,) as an SVG document; None when there is no way to.

    Args:
        added: elements of ``points`` to mark.
        removed: elements not of ``points`` to mark.
        axes: of symmetry, on a board.
        label: what it shows.  Default: the number of elements.
    """
    marked = {"added": added, "removed": removed, "label": label}
    if ground.graph:
        return graph_svg(ground, points, **marked)
    return board_svg(ground.coords, points, axes=axes, **marked)


def drawn_text(ground: GroundSet, points: np.ndarray) -> str | None:
    """Draw elements ``points`` (k,) in characters; None when there is no way to."""
    if ground.letters:
        return word_text(ground, points)
    return graph_text(ground, points) if ground.graph else board_text(ground.coords, points)


def word_text(ground: GroundSet, points: np.ndarray) -> str:
    """Write a word: its letters, apart where one has a name of several characters; ? for none."""
    names = ground.letters
    word = ["?"] * (len(ground.coords) // len(names))
    for v in points.tolist():
        word[v // len(names)] = names[v % len(names)]
    return ("" if all(len(name) == 1 for name in names) else " ").join(word)

"""Attention early and late in training on four experiments, as one figure.

The lecture shows how attention is diffuse at first and sharpens onto what decides, long after the
rule is obeyed: the 13th digit when the 22nd is written, the 2s that there are already, the cells of
the board where a 1 forbids one here.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from pipeline.lab.attention import weights
from pipeline.lab.board import Apart
from pipeline.lab.folder import LabRun
from pipeline.lab.learning import tokens_of
from pipeline.lab.pictures import sharpening_png
from pipeline.lab.rules import Equal, Twos
from pipeline.lab.task import END, Task
from pipeline.lab.work import model_of, some, task_of
from pipeline.model.gpt import GPT
from pipeline.storage.files import write_file

#: The experiments that the figure shows.
SHOWN = ("equal-13-22", "one-2", "zero-or-two-2s", "no-distance-4-5")
_STRINGS = 50  # that a weight is averaged over
_FIGURE = (
    "What a head attends to, early and late: rows are positions written, columns those that are "
    "looked at. On the board the cell written is green, and the cells where a 1 forbids one there "
    "are outlined."
)


class Stage(NamedTuple):
    """What one head looks at, at one step.

    Attributes:
        weight: the attention on what decides, averaged over what it decides.
        map: ``(T, T)`` of the string drawn; row t writes position t + 1, column 0 is the beginning.
    """

    step: int
    weight: float
    map: np.ndarray


class Sharpening(NamedTuple):
    """One experiment: the head that looks hardest at what decides in the end, early and late.

    Attributes:
        symbols: the string drawn.
        board: of a board, its side, the cell written (0-based), and bool ``(side^2,)`` the cells
            where a 1 forbids one there; None for other strings.
    """

    name: str
    layer: int
    head: int
    symbols: list[str]
    early: Stage
    late: Stage
    board: tuple[int, int, np.ndarray] | None


def first_runs(runs: Sequence[LabRun]) -> list[LabRun]:
    """Return the first run of each experiment shown that kept models early and late."""
    found: dict[str, LabRun] = {}
    for run in runs:
        name = run.info["asked"]["name"]
        if name in SHOWN and len(run.steps()) > 1:
            found.setdefault(name, run)
    return [found[name] for name in SHOWN if name in found]


def sharpening(run: LabRun) -> Sharpening:
    """Return how attention sharpened between the first and the last step whose model was kept.

    Raises:
        RunError: the run kept no model, or is no task of ``SHOWN``.
    """
    task, steps = task_of(run), run.steps()
    strings = some(task)[:_STRINGS]
    decisive = np.stack([decides(task, string) for string in strings])
    early, late = (_maps(model_of(run, step), strings) for step in (steps[0], steps[-1]))
    layer, head = np.unravel_index(_on(late, decisive).argmax(), late.shape[:2])
    example = int((strings != END).sum(axis=1).argmin())  # the shortest is drawn largest
    long = int((strings[example] != END).sum())
    first, last = (
        Stage(
            step,
            float(_on(found, decisive)[layer, head]),
            found[layer, head, example, : long + 1, : long + 1],
        )
        for step, found in ((steps[0], early), (steps[-1], late))
    )
    board = None
    if isinstance(task, Apart):
        cell = int(decisive[example].sum(axis=1).argmax())
        board = task.side, cell, task.clash[cell]
    symbols = [str(task.alphabet[s]) for s in strings[example, :long]]
    return Sharpening(task.name, int(layer), int(head), symbols, first, last, board)


def decides(task: Task, string: np.ndarray) -> np.ndarray:
    """Return which positions decide about which, bool ``(L + 1, L + 1)``, as in the maps.

    Row t is the writing of position t + 1; column c, from 1 on, the symbol at position c.
    """
    L = len(string)
    found = np.zeros((L + 1, L + 1), np.bool_)
    if isinstance(task, Equal):
        for pair in task.pairs:
            found[max(pair) - 1, min(pair)] = True
    elif isinstance(task, Twos):
        found[:, 1:] = string == 2
    elif isinstance(task, Apart):
        found[:-1, 1:] = task.clash & (string == 1)
    found &= np.tri(L + 1, dtype=np.bool_)  # nothing later is seen
    found[(string != END).sum() + 1 :] = False
    return found


def _maps(model: GPT, strings: np.ndarray) -> np.ndarray:
    """Return what each head looks at, ``(layers, heads, B, T, T)``."""
    tokens = torch.from_numpy(tokens_of(strings)[:, :-1]).to(model.head.weight.device)
    return torch.stack(weights(model, tokens)).cpu().numpy().transpose(0, 2, 1, 3, 4)


def _on(found: np.ndarray, decisive: np.ndarray) -> np.ndarray:
    """Return the weight on what decides, averaged over what it decides, ``(layers, heads)``."""
    rows = decisive.any(axis=2)
    return (found * decisive).sum(axis=4)[:, :, rows].mean(axis=2)


def write_figure(runs: Sequence[LabRun], path: Path) -> str:
    """Draw what the runs show of ``SHOWN``, and return the figure in Markdown.

    It is empty where there is nothing to show, or no matplotlib to draw it.
    """
    shown = [sharpening(run) for run in first_runs(runs)]
    if not shown or importlib.util.find_spec("matplotlib") is None:
        return ""
    write_file(path, sharpening_png(shown))
    return f"![Attention early and late in training]({path.name})\n\n{_FIGURE} {caption(shown)}"


def caption(shown: Sequence[Sharpening]) -> str:
    """Say what the figure shows, in a sentence for each experiment."""
    return " ".join(
        f"{one.name}: {one.early.weight:.2f} of a head's attention on what decides after "
        f"{one.early.step:,} steps, {one.late.weight:.2f} after {one.late.step:,}."
        for one in shown
    )

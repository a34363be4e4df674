"""The attention of a lab run: its maps at the steps that were kept, as pictures in its folder."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.callbacks import Callbacks
from pipeline.errors import PipelineError, UsageError
from pipeline.lab.attention import maps, sharpest
from pipeline.lab.board import Apart
from pipeline.lab.folder import LabRun
from pipeline.lab.page import page
from pipeline.lab.pictures import board_png, change_png, check_pictures, grid_png
from pipeline.lab.task import END, Task
from pipeline.lab.work import model_of, some, task_of
from pipeline.storage.files import write_file

_NAMED = 6  # positions told in words unless one is asked for


def draw(run: LabRun, callbacks: Callbacks) -> None:
    """Draw a fresh run's maps if matplotlib is there, and say so if not."""
    try:
        check_pictures()
    except PipelineError as error:
        callbacks.on_note(f"no pictures of attention: {error}")
        return
    callbacks.on_note("drawing attention")
    look(run, file=run.info["asked"].get("spec"))  # typed for this very run


def look(
    run: LabRun,
    *,
    string: str | None = None,
    steps: Sequence[int] = (),
    position: int | None = None,
    cell: tuple[int, int] | None = None,
    file: str | None = None,
) -> dict[str, Any]:
    """Draw a run's maps into its folder and its page.

    Args:
        string: one of the task's; by default maps are averaged over 200 fresh ones.
        steps: of models that were kept; by default all.
        position: the one whose writing is drawn over the steps, 1-based; by default the last that
            the rule decides, or that of the cell.
        cell: row and column of a board, 1-based.
        file: of a task of one's own, as it was typed.

    Returns:
        The files, the steps, and which head looks hardest where at positions the rule decides.

    Raises:
        UsageError: a string that is none of the task's, or a position or cell outside it.
        RunError: a step whose model was not kept.
        PipelineError: matplotlib is missing.
    """
    check_pictures()
    task = task_of(run, file)
    if cell is not None and not task.side:
        raise UsageError(f"--cell: the strings of {task.name} are no boards")
    strings = some(task) if string is None else task.read([string])
    if not (strings != END).any():
        raise UsageError("--string: give at least one symbol")
    found = {step: maps(model_of(run, step), strings) for step in steps or run.steps()}
    long = next(iter(found.values())).shape[2]
    symbols = None
    if string is not None:
        symbols = [str(task.alphabet[s]) for s in strings[0] if s != END]
    decided = _decided(task, strings)
    if position is not None and not 1 <= position <= long:
        raise UsageError(f"--position {position}: choose 1 to {long}")
    row = position or (decided[-1] if decided else long)
    r, c = cell or (6, 4)
    place = (r - 1) * task.side + c - 1
    if isinstance(task, Apart):
        if not (1 <= r <= task.side and 1 <= c <= task.side):
            raise UsageError(f"--cell {r},{c}: choose rows and columns of 1 to {task.side}")
        if place >= long:
            raise UsageError(f"--cell {r},{c}: lies behind the end of the string")
        row = position or place + 1
    over = f"of {string}" if string is not None else f"mean of {len(strings)} strings"
    name = "mean" if string is None else f"string-{string[:40]}"
    files: dict[str, bytes] = {}
    for step, each in found.items():
        title = f"{run.info['asked']['name']}, step {step:,}, {over}"
        files[f"{name}-step-{step:07d}.png"] = grid_png(each, symbols, title)
    files[f"{name}-position-{row}-over-steps.png"] = change_png(found, row, symbols)
    if isinstance(task, Apart):
        ones = None if string is None else strings[0] == 1
        files[f"{name}-cell-{r}-{c}-on-the-board.png"] = board_png(
            found, place, task.side, task.clash[place], ones
        )
    (run.path / "attention").mkdir(exist_ok=True)
    for file, data in files.items():
        write_file(run.path / "attention" / _safe(file), data)
    write_file(run.path / "page.html", page(run).encode())
    shown = [position] if position is not None else decided[-_NAMED:] or [row]
    return {
        "steps": [*found],
        "files": [f"attention/{_safe(file)}" for file in files] + ["page.html"],
        "sharpest": {str(step): sharpest(each, shown) for step, each in found.items()},
    }


def _decided(task: Task, strings: np.ndarray) -> list[int]:
    """Return the positions, 1-based, that the rule decides in every string that has them."""
    here = task.forced(strings).decided
    inside = np.pad(strings != END, ((0, 0), (1, 0)), constant_values=True)
    always = (here | ~inside).all(axis=0) & inside.any(axis=0)
    return (np.flatnonzero(always) + 1).tolist()


def _safe(name: str) -> str:
    """Keep letters, digits and a few signs of a file's name."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-._") else "_" for c in name)

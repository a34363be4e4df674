"""Which models of a run's rounds are kept, and the deletion of the others.

Of each round the model, the state of its optimiser and what a generator of the user's own keeps are
by far the largest part, and only the last round's are needed to go on. Kept are those of the last
two rounds, so that the last can be recomputed when it is damaged, and those of each round that
found a new best; and those of the seeding, to which a run can always go back. What is kept depends
on the rounds that are there alone, so a run that was killed ends with the same files.
"""

import contextlib
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.storage import files
from pipeline.storage.manifest import EARLIER_MODEL_FILES, GENERATOR
from pipeline.storage.run import PRUNED, Run

_LAST = 2  # rounds whose models are kept in any case


def prunable(run: Run, keep: str = "last") -> dict[int, list[Path]]:
    """Return the files of models that may go, by round.

    Args:
        keep: "last" for the last two and those of new bests, "none", or "all".
    """
    if keep == "all":
        return {}
    found: dict[int, list[Path]] = {}
    for number in run.rounds()[1 : None if keep == "none" else -_LAST]:
        folder = run.folder(number)
        there = [folder / name for name in EARLIER_MODEL_FILES if (folder / name).is_file()]
        there += sorted(
            p for p in (folder / GENERATOR).rglob("*") if p.is_symlink() or not p.is_dir()
        )
        if there and (keep == "none" or run.is_pruned(number) or not _is_new_best(run, number)):
            found[number] = there
    return found


def prune(run: Run, keep: str = "last") -> None:
    """Delete the files of models that may go, of a run that is held.

    A round is marked before its files go: what is killed in between is mended by the next call.

    Raises:
        OSError: a file cannot be written or deleted.
    """
    for number, there in prunable(run, keep).items():
        mark = run.folder(number) / PRUNED
        if not mark.is_file():
            names = [file.relative_to(mark.parent).as_posix() for file in there]
            files.write(mark, files.to_json({"pruned": names}))
        for file in there:
            with contextlib.suppress(FileNotFoundError):
                file.unlink()
        _remove_empty(mark.parent / GENERATOR)


def _remove_empty(folder: Path) -> None:
    """Delete a folder, and those in it, that hold no file."""
    with contextlib.suppress(OSError):
        for inner in folder.iterdir():
            if inner.is_dir() and not inner.is_symlink():
                _remove_empty(inner)
        folder.rmdir()


def _is_new_best(run: Run, number: int) -> bool:
    """Tell whether a round found more than the rounds before it; true where that is not known."""
    try:
        n = str(run.config.n)
        best, before = (run.stats(k)["pool"][n]["max"] for k in (number, number - 1))
        return best is not None and (before is None or best > before)
    except (PipelineError, KeyError, TypeError):
        return True

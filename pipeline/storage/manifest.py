"""manifest.json of a round: the SHA-256 of every file in its folder, subfolders included."""

import os
import re
from pathlib import Path

from pipeline.core.untrusted import read_json
from pipeline.errors import PipelineError
from pipeline.storage import files

NAME = "manifest.json"
#: The subfolder in which a generator keeps its files, which a round may lose once later ones are
#: there; and where runs of format 1 had them.
GENERATOR = "generator"
EARLIER_MODEL_FILES = ("model.safetensors", "optimizer.safetensors")
_PART = rf"(?!\.\.?(?:/|$)|{re.escape(files.TEMPORARY)})[^/\\:\0]+"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*")


def is_model_file(name: str) -> bool:
    """Tell whether a file of a round belongs to its generator alone."""
    return name.startswith(f"{GENERATOR}/") or name in EARLIER_MODEL_FILES


def write(folder: Path) -> None:
    """Put a folder and all that is in it on the disk, with a manifest.

    Raises:
        PipelineError: something in it is no regular file, or has a name that no manifest can hold.
        OSError: it cannot be written.
    """
    names, folders = _entries(folder)
    sums = {name: files.digest(folder / name) for name in names}
    for name in names:
        files.sync(folder / name)
    for inner in folders:
        files.sync(folder / inner)
    files.write(folder / NAME, files.to_json(sums))
    files.sync(folder)


def read(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file that a folder must hold, by its path in the folder.

    Raises:
        PipelineError: there is no manifest, or it is damaged.
    """
    found = read_json(folder / NAME)
    if not isinstance(found, dict):
        raise PipelineError(f"{folder / NAME} is no object")
    for name, value in found.items():
        if not _PATH.fullmatch(name) or not isinstance(value, str):
            raise PipelineError(f"{folder / NAME} names {name[:80]!r}, which is no file of a round")
    return found


def intact(folder: Path, name: str, expected: str | None) -> bool:
    """Tell whether a file is what was committed; no link is followed on the way to it."""
    path = folder
    for part in name.split("/")[:-1]:
        path = path / part
        if files.obstacle(path) != "a folder":
            return False
    try:
        return files.digest(folder / name) == expected
    except OSError:
        return False


def _entries(folder: Path) -> tuple[list[str], list[str]]:
    """Return the paths of files, sorted, and of folders, inner ones first."""
    names: list[str] = []
    folders: list[str] = []
    for at, inner, there in os.walk(folder, topdown=False):
        for name in [*inner, *there]:
            path = Path(at, name)
            place = path.relative_to(folder).as_posix()
            what = files.obstacle(path)
            if what not in ("", "a folder"):
                raise PipelineError(f"{place} of a round is {what}; write regular files only")
            if not _PATH.fullmatch(place):
                raise PipelineError(f"{place!r} is no name for a file of a round; choose another")
            (folders if what else names).append(place)
    return sorted(names), folders

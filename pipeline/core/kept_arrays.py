"""Arrays that take long to make, kept beside compiled code between sessions and processes.

They are mapped into memory, so that several processes share them. What cannot be read is made
again, and what cannot be written is not kept.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.core import jit

#: Bytes that are kept in all; the oldest go first.
MOST_BYTES = 4 << 30

Arrays = tuple[np.ndarray, ...]
_held: dict[str, Arrays] = {}


def kept(key: str, make: Callable[[], Arrays]) -> Arrays:
    """Return arrays by their key, made if they are not kept: one-dimensional int32.

    Args:
        key: names what they depend on, such as a hash; empty to make them each time.
    """
    if not key:
        return make()
    if key not in _held:
        folder = jit.folder() / "arrays" / key
        found = _read(folder)
        if found is None:
            found = make()
            with contextlib.suppress(OSError):
                _write(folder, found)
        _held[key] = found
    return _held[key]


def _read(folder: Path) -> Arrays | None:
    try:
        count = int((folder / "count").read_text(encoding="utf-8"))
        found = tuple(_mapped(folder / f"{i}.npy") for i in range(count))
        os.utime(folder)
    except (OSError, ValueError, EOFError):
        return None
    return found


def _mapped(path: Path) -> np.ndarray:
    array = np.load(path, allow_pickle=False)
    if array.size > 1 << 16:
        array = np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))
    if array.dtype != np.int32 or array.ndim != 1:
        raise ValueError(f"{path} holds something else")
    return array


def _write(folder: Path, arrays: Arrays) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    _prune(folder.parent, sum(array.nbytes for array in arrays))
    made = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        for i, array in enumerate(arrays):
            np.save(made / f"{i}.npy", array, allow_pickle=False)
        (made / "count").write_text(str(len(arrays)), encoding="utf-8")
        os.replace(made, folder)
    except OSError:
        shutil.rmtree(made, ignore_errors=True)
        raise


def _prune(folder: Path, more: int) -> None:
    """Leave room for so many bytes more."""
    oldest_first = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)
    sizes = [sum(file.stat().st_size for file in path.glob("*")) for path in oldest_first]
    left = sum(sizes) + more
    for path, size in zip(oldest_first, sizes, strict=True):
        if left <= MOST_BYTES:
            return
        shutil.rmtree(path, ignore_errors=True)
        left -= size

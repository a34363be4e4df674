"""Compiled code that is kept between sessions and is never stale.

numba stamps the code it keeps by the one file a function stands in, and so misses an edit in
another file whose functions were compiled into it. Here the folder it keeps code in is named by
a hash of this project's files that hold compiled code; a plugin's own file is stamped as ever.
"""

import contextlib
import hashlib
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core.caching import FunctionCache

Function = TypeVar("Function", bound=Callable[..., Any])

_VERSIONS = 4
#: How a file shows that it holds compiled code.
_MARKS = (b"pipeline.core.jit", b"blocking_hook", b"@helper")


def kernel_files() -> list[Path]:
    """Return this project's files that hold compiled code, sorted."""
    pipeline = Path(__file__).resolve().parent.parent
    ours = [*pipeline.rglob("*.py"), *(pipeline.parent / "problems").rglob("*.py")]
    return sorted(p for p in ours if any(mark in p.read_bytes() for mark in _MARKS))


def _digest() -> str:
    digest = hashlib.sha256()
    for path in [Path(__file__).resolve(), *kernel_files()]:
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _caches() -> Path:
    """Return where programs of this user keep what they can make again."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData/Local"))
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _folder() -> Path:
    """Return the first folder of our own that can be made: the user's choice, caches, temporary."""
    given = os.environ.get("NUMBA_CACHE_DIR")
    name = f"extremal-pipeline/{_digest()}"
    choices = [Path(given) / name] if given else []
    with contextlib.suppress(RuntimeError):
        choices.append(_caches() / name)
    for path in choices:
        with contextlib.suppress(OSError):
            if not path.exists():
                path.mkdir(parents=True)
                _prune(path.parent)
            if os.access(path, os.W_OK):
                return path
    return Path(tempfile.gettempdir()) / name


def kept_files() -> int:
    """Return how many files of compiled code there are; compiling adds to them."""
    return sum(len(files) for _, _, files in os.walk(FOLDER))


def _prune(folder: Path) -> None:
    """Leave the code of the last few versions alone, and remove older ones."""
    for old in sorted(folder.iterdir(), key=lambda p: p.stat().st_mtime)[:-_VERSIONS]:
        shutil.rmtree(old, ignore_errors=True)


#: Where compiled code is kept.
FOLDER = _folder()
numba.config.CACHE_DIR = str(FOLDER)  # type: ignore[attr-defined]


_save = FunctionCache.save_overload
_told: list[str] = []


def _save_if_possible(self: FunctionCache, sig: Any, data: Any) -> None:
    """Keep compiled code; a disk that is full or cannot be written costs time, nothing else."""
    try:
        _save(self, sig, data)
    except OSError as error:
        _without(error.strerror or str(error))


def _without(reason: str) -> None:
    """Say once, in the main process, that code is compiled anew each time."""
    if not _told and multiprocessing.parent_process() is None:
        line = f"pipeline: compiled code cannot be kept in {FOLDER} ({reason}); going on without"
        print(line, file=sys.stderr)
    _told.append(reason)


FunctionCache.save_overload = _save_if_possible  # numba lets the error stop the import


def kept(compile: Callable[..., Any], function: Callable[..., Any], **options: Any) -> Any:
    """Compile a function, its code kept where there is a folder for it."""
    try:
        return compile(function, cache=True, **options)
    except RuntimeError as error:  # numba found no folder that it can write
        if "cannot cache" not in str(error):
            raise
        _without("no folder can be written")
        return compile(function, **options)


def njit(function: Function) -> Function:
    """Compile a function, its code kept; scores are integers, so no fastmath anywhere.

    Compiled code runs without the interpreter's lock, so that another thread can tell it to stop.
    """
    return kept(numba.njit, function, nogil=True)


def kernel(function: Function) -> Function:
    """Compile an inner loop that makes no arrays.

    It goes without numba's counting of references, whose atomic steps would otherwise cost as
    much as the search itself.
    """
    return kept(numba.njit, function, nogil=True, _nrt=False)


def inlined(function: Function) -> Function:
    """Compile what is copied into its callers, where even a call would be felt."""
    return kept(numba.njit, function, _nrt=False, inline="always")

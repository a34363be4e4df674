"""Which files passed a check before, on this machine, byte for byte.

Checking thousands of constructions takes longer than all else that a command does which only
looks at a run. So the hash of what passed is kept beside the compiled code that checked it. A file
with one other byte is checked, and so is any file once that code has changed.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from pipeline.core import jit
from pipeline.plugins import is_shipped
from pipeline.problem import Problem
from pipeline.storage import files

_MOST = 2_000_000  # bytes; a longer list is begun anew


def once(problem: Problem, paths: Iterable[Path], check: Callable[[], None]) -> None:
    """Run a check of files, unless it passed before.

    Args:
        check: a function, or a partial of one, that raises where the files, of a problem under
            its convention, are not what they should be. It must depend on nothing else. For a
            problem that is not shipped it always runs.
    """
    if not is_shipped(problem):
        check()
        return
    key = _key(problem, paths, check)
    kept = jit.folder() / "verified"
    with contextlib.suppress(OSError):
        if key in kept.read_bytes().split():
            return
    check()
    with contextlib.suppress(OSError):
        if kept.exists() and kept.stat().st_size > _MOST:
            kept.unlink()
        files.append(kept, key + b"\n")


def _key(problem: Problem, paths: Iterable[Path], check: Callable[[], None]) -> bytes:
    found = hashlib.sha256()
    function = check.func if isinstance(check, partial) else check
    for text in (function.__qualname__, problem.name, problem.convention):
        found.update(f"{len(text)} {text}".encode())
    for path in (Path(function.__code__.co_filename), *paths):
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest().encode()

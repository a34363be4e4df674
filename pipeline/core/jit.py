"""Compiled code that costs nothing before it is called, is kept between sessions, is never stale.

A function is compiled, and numba imported, when it is first called: what only reads constructions
never waits for either.

numba stamps the code it keeps by the one file a function stands in, and so misses an edit in
another file whose functions were compiled into it. Here the folder it keeps code in is named by
a hash of this project's files that hold compiled code; a plugin's own file is stamped as ever.
"""

import contextlib
import functools
import hashlib
import os
import re
import shutil
import sys
import tempfile
import types
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

_PROGRAM = "extremal-pipeline"
_VERSIONS = 4
#: So many steps of a loop take plain Python a quarter of a second, less than numba's import.
_PLAIN_STEPS = 300_000
#: How a file shows that it holds compiled code.
_MARK = re.compile(
    rb"^@(njit|kernel|inlined|intrinsic|compiled|helper|blocking_hook|blocker_finder|checker)\b",
    re.MULTILINE,
)


def kernel_files() -> list[Path]:
    """Return this project's files that hold compiled code, sorted."""
    pipeline = Path(__file__).resolve().parent.parent
    ours = [*pipeline.rglob("*.py"), *(pipeline.parent / "problems").rglob("*.py")]
    return sorted(p for p in ours if _MARK.search(p.read_bytes()))


def _digest() -> str:
    digest = hashlib.sha256()
    for path in [Path(__file__).resolve(), *kernel_files()]:
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def folder() -> Path:
    """Return where compiled code is kept: the user's choice, the user's caches, or temporary."""
    import platformdirs

    version, given = _digest(), os.environ.get("NUMBA_CACHE_DIR")
    choices = [Path(given) / _PROGRAM / version] if given else []
    users = platformdirs.user_cache_path(_PROGRAM, appauthor=False)
    if users.is_absolute():  # it is not where nobody knows the user's home
        choices.append(users / version)
    for path in choices:
        with contextlib.suppress(OSError):
            if not path.exists():
                path.mkdir(parents=True)
                _prune(path.parent)
            if os.access(path, os.W_OK):
                return path
    return Path(tempfile.gettempdir()) / _PROGRAM / version


def kept_files() -> int:
    """Return how many files of compiled code there are; compiling adds to them."""
    return sum(len(files) for _, _, files in os.walk(folder()))


def _prune(folder: Path) -> None:
    """Leave the code of the last few versions alone, and remove older ones."""
    for old in sorted(folder.iterdir(), key=lambda p: p.stat().st_mtime)[:-_VERSIONS]:
        shutil.rmtree(old, ignore_errors=True)


def is_loaded() -> bool:
    """Tell whether this process has paid for compiled code already."""
    return "numba" in sys.modules


@cache
def load() -> types.ModuleType:
    """Return numba, told where to keep its code and what the functions of this module are."""
    import numba
    from numba.core.caching import FunctionCache
    from numba.extending import typeof_impl

    numba.config.CACHE_DIR = str(folder())  # type: ignore[attr-defined]
    save = FunctionCache.save_overload

    def save_if_possible(self: FunctionCache, sig: Any, data: Any) -> None:
        """Keep compiled code; a disk that is full or cannot be written costs time, nothing else."""
        try:
            save(self, sig, data)
        except OSError as error:
            _without(error.strerror or str(error))

    FunctionCache.save_overload = save_if_possible  # numba lets the error stop the import

    @typeof_impl.register(Compiled)
    def _(function: Compiled, _context: Any) -> Any:  # for those that compiled code calls
        return numba.typeof(function.compiled)

    return numba


_told: list[str] = []


def _without(reason: str) -> None:
    """Say once, in the main process, that code is compiled anew each time."""
    import multiprocessing

    if not _told and multiprocessing.parent_process() is None:
        line = f"pipeline: compiled code cannot be kept in {folder()} ({reason}); going on without"
        print(line, file=sys.stderr)
    _told.append(reason)


class Compiled:
    """A function that is compiled when it is first called.

    Attributes:
        py_func: the function as it was written.
    """

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        """Take the options of ``numba.njit``."""
        functools.update_wrapper(self, function)
        self.py_func, self._options = function, options

    @cached_property
    def compiled(self) -> Any:
        """The function as numba has it."""
        return kept(load().njit, self.py_func, **self._options)

    @property
    def targetoptions(self) -> dict[str, Any]:
        """What numba asks whether to copy the function into its callers."""
        return self.compiled.targetoptions

    def __call__(self, *arguments: Any) -> Any:
        """Call the compiled function."""
        return self.compiled(*arguments)


class Callback:
    """A function of one signature that compiled code takes as an argument.

    Attributes:
        py_func: the function as it was written.
    """

    def __init__(self, signature: str, function: Callable[..., Any], is_kept: bool = True) -> None:
        """Take a signature in numba's words, and whether its code may be kept."""
        self.__doc__ = function.__doc__
        self.py_func, self._signature, self._is_kept = function, signature, is_kept

    @cached_property
    def compiled(self) -> Any:
        """The function as numba has it, to be handed to compiled code."""

        def compile(function: Callable[..., Any], **options: Any) -> Any:
            return load().cfunc(self._signature, **options)(function)

        return kept(compile, self.py_func) if self._is_kept else compile(self.py_func)


def suited(function: Function, steps: float) -> Function:
    """Return a compiled function, or the same as plain Python where few steps are all it takes.

    Until numba is there, its import takes longer than so few. Results are the same.
    """
    return function if pays(steps) else plain(function.py_func)  # type: ignore[attr-defined]


def pays(steps: float) -> bool:
    """Tell whether compiled code is sooner done with so many steps than plain Python."""
    return is_loaded() or steps > _PLAIN_STEPS


def plain(function: Callable[..., Any], seen: dict[Any, Any] | None = None) -> Any:
    """Return a function as plain Python, together with the compiled ones that it calls."""
    seen = {} if seen is None else seen
    if function in seen:
        return seen[function]
    names = dict(function.__globals__)
    made = types.FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, function.__closure__
    )
    seen[function] = made
    for name in function.__code__.co_names:
        inner = getattr(names.get(name), "py_func", None)
        if inner is not None:
            names[name] = plain(inner, seen)
    return made


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
    return Compiled(function, nogil=True)  # type: ignore[return-value]


def kernel(function: Function) -> Function:
    """Compile an inner loop that makes no arrays.

    It goes without numba's counting of references, whose atomic steps would otherwise cost as
    much as the search itself.
    """
    return Compiled(function, nogil=True, _nrt=False)  # type: ignore[return-value]


def inlined(function: Function) -> Function:
    """Compile what is copied into its callers, where even a call would be felt."""
    return Compiled(function, _nrt=False, inline="always")  # type: ignore[return-value]

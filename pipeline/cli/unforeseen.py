"""What becomes of an error that nobody foresaw: one line, and a file to send."""

import contextlib
import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from pipeline import __version__
from pipeline.plugin_files import place_in_plugin

_PACKAGES = ("torch", "numpy", "numba", "pyarrow", "click", "rich", "safetensors")


def line_of(error: Exception, words: Sequence[str]) -> str:
    """Return the line that tells of an error, after writing what helps to mend it into a file.

    An error in the Python code of a plugin names the plugin's file and line instead. With
    PIPELINE_DEBUG set the traceback is printed too.

    Args:
        words: the command line.
    """
    trace = "".join(traceback.format_exception(error))
    if os.environ.get("PIPELINE_DEBUG"):
        sys.stderr.write(trace)
    what = " ".join(f"{type(error).__name__}: {error}".rstrip(": ").split())[:300]
    if "OutOfMemoryError" in type(error).__name__ or "allocate memory" in what:
        return "out of memory; choose a smaller n, batch or model"
    place = place_in_plugin(trace)
    if place:
        return f"{place}: {what}; mend the plugin (PIPELINE_DEBUG=1 shows the traceback)"
    file = _written(trace, words)
    fix = f"please send {file}" if file else "PIPELINE_DEBUG=1 shows the traceback"
    return f"internal error: {what}; {fix}"


def _written(trace: str, words: Sequence[str]) -> str | None:
    versions = [f"pipeline {__version__}", f"python {platform.python_version()}"]
    for name in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions.append(f"{name} {version(name)}")
    parts = [" ".join(["pipeline", *words]), ", ".join(versions), platform.platform(), trace]
    try:
        handle, path = tempfile.mkstemp(prefix="pipeline-error-", suffix=".txt")
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write("\n".join(parts))
    except OSError:
        return None
    return path

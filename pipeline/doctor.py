"""What this machine has, and what would not work here."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.core import jit
from pipeline.core.memory import memory_bytes, readable
from pipeline.executors import cores
from pipeline.plugins import load_problem, problem_names

#: Asked in a process of its own: torch takes a while to import, and one that crashes is a finding.
_DEVICE = "from pipeline.model import device; print(device.describe(device.pick_device('auto')))"
_PACKAGES = ("torch", "numpy", "numba", "pyarrow", "click", "rich", "safetensors")


def examine(root: Path) -> list[dict[str, Any]]:
    """Return findings, each with what was looked at, what was found, and whether it is well.

    Args:
        root: the folder of runs, which need not exist yet.
    """
    with _asking(_DEVICE) as device:
        problems = [_check(name) for name in problem_names()]
        model = _model(device)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    free = shutil.disk_usage(_existing(root)).free
    findings = [
        _finding("pipeline", f"{__version__} on Python {platform.python_version()}"),
        _finding("packages", versions),
        _finding("machine", f"{platform.system()} {platform.machine()}, {cores()} cores usable"),
        _finding("memory", readable(memory_bytes())),
        model,
        _finding("disk", f"{readable(free)} free for {root}", free > 200e6),
        _writable(f"runs in {root}", _existing(root)),
        _compiled(),
    ]
    return findings + problems


def _finding(what: str, found: str, ok: bool = True) -> dict[str, Any]:
    return {"what": what, "found": found, "ok": ok}


def _existing(path: Path) -> Path:
    """Return the path, or the nearest of its parents that is there."""
    path = path.resolve()
    while not path.exists():
        path = path.parent
    return path


def _asking(program: str) -> "subprocess.Popen[str]":
    """Begin a Python process with this package, whatever else is called so."""
    here = str(Path(__file__).resolve().parent.parent)
    program = f"import sys; sys.path.insert(0, {here!r}); {program}"
    pipe = subprocess.PIPE
    command = [sys.executable, "-P", "-c", program]
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)


def _model(device: "subprocess.Popen[str]") -> dict[str, Any]:
    told, wrong = device.communicate()
    if device.returncode == 0:
        return _finding("model runs on", told.strip())
    reason = (wrong.strip().splitlines() or [f"exit code {device.returncode}"])[-1]
    return _finding("model", f"torch cannot be imported: {reason}; install it again", False)


def _writable(what: str, folder: Path) -> dict[str, Any]:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return _finding(what, "writable")
    except OSError as error:
        return _finding(what, f"not writable: {error.strerror}; choose another with --runs", False)


def _compiled() -> dict[str, Any]:
    what = "compiled kernels"
    if os.access(jit.folder(), os.W_OK):
        return _finding(what, "kept between sessions")
    return _finding(
        what, "not kept: every start compiles anew; set NUMBA_CACHE_DIR to a writable folder", False
    )


def _check(name: str) -> dict[str, Any]:
    """Try a problem at a small size: greedy sets must pass its validator."""
    import numpy as np

    from pipeline.core.bitset import width
    from pipeline.engine.greedy import greedy_many
    from pipeline.engine.space import make_space

    problem = load_problem(name)
    n = 5
    cells = np.zeros((20, width(problem.ground(n).m)), np.uint8)
    greedy_many(make_space(problem, n), np.array([1], np.uint64), cells)
    valid = problem.validate(cells, n).all()
    found = "search and validator agree" if valid else "search and validator DISAGREE"
    return _finding(f"problem {name}", found, bool(valid))

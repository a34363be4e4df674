"""Sessions: the stretches of time in which a run was carried on, as run.json lists them."""

import contextlib
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.storage import events
from pipeline.storage.machine import processor

#: How a moment is written.
STARTED = "%Y-%m-%dT%H:%M:%S%z"
_FOREVER = 1e9  # seconds
_TAIL = 65_536  # bytes at the end of a log in which its last line is looked for


def new_session(command: list[str]) -> dict[str, Any]:
    """Return what run.json says of a session that begins now."""
    import numpy

    return {
        "command": command,
        "started": time.strftime(STARTED),
        "pipeline": __version__,
        "revision": _revision(),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "machine": machine(),
        "processor": processor(),
        "executable": Path(sys.executable).name,
        "reproducible": True,
    }


def machine() -> str:
    """Return the system, its architecture and its cores."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def are_sessions(found: Any) -> bool:
    """Tell whether a value read from run.json is the list of its sessions."""
    return isinstance(found, list) and bool(found) and all(map(_is_session, found))


def _is_session(found: Any) -> bool:
    if not isinstance(found, dict):
        return False
    command, reproducible = found.get("command"), found.get("reproducible")
    try:
        time.strptime(found.get("started", ""), STARTED)
    except (TypeError, ValueError):
        return False
    texts = [found.get(key, "") for key in ("pipeline", "python", "numpy", "machine", "executable")]
    return (
        isinstance(command, list)
        and all(isinstance(word, str) for word in [*command, *texts])
        and isinstance(found.get("revision"), str | None)
        and isinstance(reproducible, bool)
        and (reproducible or isinstance(found.get("reason"), str))
    )


def seconds(sessions: Sequence[dict[str, Any]], index: int, folder: Path) -> float:
    """Return how long a session took; of one that was killed, until the last event of its log."""
    took = sessions[index].get("seconds")
    if isinstance(took, int | float) and 0 <= took < _FOREVER:
        return float(took)
    started = _moment(sessions[index].get("started"))
    if started is None:
        return 0.0
    until, tail = math.inf, -_TAIL
    if index not in (-1, len(sessions) - 1):
        until, tail = _moment(sessions[index + 1].get("started")) or math.inf, 0
    last = started
    for event in events.read(folder, tail):
        moment = event.get("time")
        if isinstance(moment, int | float) and last < moment < until:
            last = float(moment)
    return round(min(last - started, _FOREVER), 1)


def _moment(started: Any) -> float | None:
    try:
        return datetime.strptime(started, STARTED).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def _revision() -> str | None:
    """Return the git revision this code was checked out at, if it was."""
    root = Path(__file__).resolve().parent.parent.parent
    if not (root / ".git").exists():
        return None
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["git", "-C", str(root), "rev-parse", "HEAD"]
        found = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
        return found.stdout.strip() or None
    return None

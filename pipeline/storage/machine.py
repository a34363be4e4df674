"""The processor that a session runs on: its bits may be others than another's."""

import contextlib
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def processor() -> dict[str, Any]:
    """Return the CPU's model, and the instruction sets that numpy finds in it."""
    import numpy as np

    found: Any = np.show_config(mode="dicts")
    simd = found.get("SIMD Extensions", {})
    names = {*simd.get("baseline", []), *simd.get("found", [])}
    return {"model": _model(), "instructions": sorted(names)}


def changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say how the processor of a session differs from the one before; empty if it is the same.

    Args:
        before: the session before, as in run.json; an old one does not say.
        now: this session.
    """
    old, new = before.get("processor"), now["processor"]
    if not isinstance(old, dict) or old == new:
        return ""
    if old.get("model") != new["model"]:
        return f"{old.get('model')}, now {new['model']}"
    names = old.get("instructions")
    # Versions of numpy have their own names for instruction sets.
    if not isinstance(names, list) or before.get("numpy") != now["numpy"]:
        return ""
    had, has = set(map(str, names)), set(new["instructions"])
    parts = [f"without {', '.join(sorted(had - has))}"] if had - has else []
    parts += [f"with {', '.join(sorted(has - had))}"] if has - had else []
    return f"{new['model']}, now {' and '.join(parts)}" if parts else ""


def _model() -> str:
    """Return what the CPU calls itself, as well as this system tells it."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Hardware", "cpu model") and value.strip():
                return value.strip()
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        if platform.system() == "Darwin":
            command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
            return done.stdout.strip() or platform.machine()
    return platform.processor() or platform.machine() or "unknown"

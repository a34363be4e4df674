"""A lab run's folder, under ``lab/`` in the folder of runs.

lab.json       what was asked, what was found; written anew as the training goes on
curve.csv      the success rate over the steps
samples.txt    what the model wrote, each line after "ok" or "no"
models/        step-0001000.safetensors, at the steps asked for and the last
attention/     pictures
page.html      all of it on one page
events.jsonl   one line per thing that happened
"""

import contextlib
import csv
import hashlib
import io
import json
import os
import platform
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.errors import PipelineError, RunError
from pipeline.storage import files

SCHEMA = 1


class LabRun:
    """One training in the lab.

    Attributes:
        path: the folder.
        info: what lab.json holds: schema, id, task, label, asked, identity, and, when it is
            finished, found.
    """

    def __init__(self, path: Path):
        """Open a folder.

        Raises:
            RunError: it is no lab run, or a damaged one.
        """
        self.path = path
        try:
            self.info = json.loads((path / "lab.json").read_text(encoding="utf-8"))
            fits = self.info["schema"] == SCHEMA and isinstance(self.info["asked"], dict)
        except FileNotFoundError:
            raise RunError(f"{path} is not a lab run: it has no lab.json") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{path / 'lab.json'} is damaged ({error}); run it anew") from None
        if not fits:
            raise RunError(f"{path} was written in another format; run it anew")

    @classmethod
    def create(cls, root: Path, asked: dict[str, Any], command: list[str]) -> "LabRun":
        """Make a folder for what is asked, a dict with at least the task's "name"."""
        day = time.strftime("%Y%m%d")
        label = f"-{asked['label']}" if asked.get("label") else ""
        path = root / "lab" / f"{asked['name']}{label}-{day}-{secrets.token_hex(3)}"
        try:
            path.mkdir(parents=True)
        except OSError as error:
            raise PipelineError(f"cannot write {path}: {error.strerror or error}") from error
        info = {
            "schema": SCHEMA,
            "id": path.name,
            "asked": asked,
            "identity": identity(asked),
            "command": command,
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "pipeline": __version__,
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        }
        put(path / "lab.json", _json(info))
        return cls(path)

    @property
    def found(self) -> dict[str, Any] | None:
        """What came of it; None while it is not finished."""
        return self.info.get("found")

    def finish(self, found: dict[str, Any]) -> None:
        """Keep what came of it; from then on it is finished."""
        self.keep_curve(found.get("curve", []))
        lines = [f"{'ok' if good else 'no'}  {text}" for text, good in found.get("samples", [])]
        put(self.path / "samples.txt", "".join(f"{line}\n" for line in lines).encode())
        self.info["found"] = found
        put(self.path / "lab.json", _json(self.info))

    def keep_curve(self, curve: list[dict[str, Any]]) -> None:
        """Write the curve as far as it goes."""
        flat = [_flat(entry) for entry in curve]
        names = list(dict.fromkeys(name for entry in flat for name in entry))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)
        put(self.path / "curve.csv", text.getvalue().encode())

    def event(self, kind: str, **particulars: Any) -> None:
        """Append a line to events.jsonl; a log that cannot be written stops nothing."""
        line = json.dumps({"time": round(time.time(), 3), "event": kind, **particulars})
        with contextlib.suppress(OSError):
            files.append(self.path / "events.jsonl", f"{line}\n".encode())

    def model(self, step: int) -> Path:
        """Return the path of the model of a step."""
        return self.path / "models" / f"step-{step:07d}.safetensors"

    def steps(self) -> list[int]:
        """Return the steps whose models are kept, rising."""
        names = (re.fullmatch(r"step-(\d+)\.safetensors", p.name) for p in self._models())
        return sorted(int(match[1]) for match in names if match)

    def _models(self) -> Iterator[Path]:
        return (self.path / "models").glob("*.safetensors")


def identity(asked: dict[str, Any]) -> str:
    """Return a short hash of what was asked: the same is not done twice."""
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def lab_runs(root: Path) -> list[Path]:
    """Return the folders of lab runs under the folder of runs, oldest first."""
    found = [p.parent for p in (root / "lab").glob("*/lab.json")]
    return sorted(found, key=lambda p: (p.stat().st_ctime_ns, p.name))


def find_lab_run(spec: str, root: Path) -> LabRun:
    """Return the lab run that ``spec`` names: a path, a unique prefix, or ``latest``.

    The latest is the last that keeps a model, if any does: an experiment of its own keeps none.

    Raises:
        RunError: none, or more than one.
    """
    if Path(spec, "lab.json").is_file() or (os.sep in spec and Path(spec).is_dir()):
        return LabRun(Path(spec))
    runs = lab_runs(root)
    if not runs:
        raise RunError(f"there is no lab run in {root / 'lab'}; make one with: pipeline lab run")
    if spec == "latest":
        kept = [p for p in runs if any((p / "models").glob("*.safetensors"))]
        return LabRun((kept or runs)[-1])
    exact = [p for p in runs if p.name == spec]
    found = exact or [p for p in runs if p.name.startswith(spec)]
    if len(found) != 1:
        names = ", ".join(p.name for p in found[:4] or runs[-4:]) + (", ..." if found[4:] else "")
        told = f"fits {len(found)} lab runs" if found else "is no lab run; there are"
        raise RunError(f"{spec!r} {told} ({names}); write more of a name")
    return LabRun(found[0])


def finished(root: Path, asked: dict[str, Any]) -> LabRun | None:
    """Return the newest finished lab run of what is asked, if there is one."""
    wanted = identity(asked)
    for path in reversed(lab_runs(root)):
        with contextlib.suppress(RunError):
            run = LabRun(path)
            if run.info.get("identity") == wanted and run.found is not None:
                return run
    return None


def put(path: Path, data: bytes) -> None:
    """Write a file at once: beside, then renamed into place.

    Raises:
        PipelineError: the disk is full or cannot be written.
    """
    try:
        path.parent.mkdir(exist_ok=True)
        files.write(path, data)
    except OSError as error:
        raise PipelineError(f"cannot write {path}: {error.strerror or error}") from error


def _flat(entry: dict[str, Any]) -> dict[str, Any]:
    flat = {}
    for key, value in entry.items():
        if isinstance(value, dict):
            flat |= {f"{key} {inner}": number for inner, number in value.items()}
        else:
            flat[key] = value
    return flat


def _json(data: Any) -> bytes:
    return (json.dumps(data, indent=1) + "\n").encode()

"""A lab run's folder, under ``lab/`` in the folder of runs.

lab.json       what was asked, what was found; written anew as the training goes on
curve.csv      the success rate over the steps
samples.txt    what the model wrote, each line after "ok" or "no"
state          .safetensors: where the training stands, until it is finished
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
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.core.untrusted import read_json
from pipeline.errors import PipelineError, RunError
from pipeline.lab.state import State, load, save
from pipeline.storage import events, files, finding
from pipeline.storage.lock import refuse, why_free
from pipeline.storage.sessions import STARTED, machine

SCHEMA = 1
_LAB_RUNS = finding.Kind(
    "lab.json",
    "lab run",
    "make one with: pipeline lab run",
    "name one of those in it, or make one with: pipeline lab run",
)


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
        if not (path / "lab.json").is_file():
            raise RunError(f"{path} is not a lab run: it has no lab.json")
        try:
            self.info = read_json(path / "lab.json")
            fits = self.info["schema"] == SCHEMA and isinstance(self.info["asked"], dict)
        except (PipelineError, KeyError, TypeError) as error:
            raise RunError(f"{path / 'lab.json'} is damaged ({error}); run it anew") from None
        if not fits:
            raise RunError(f"{path} was written in another format; run it anew")

    @classmethod
    def create(
        cls, root: Path, asked: dict[str, Any], command: list[str], keep: Sequence[int] = ()
    ) -> "LabRun":
        """Make a folder for what is asked, a dict with at least the task's "name".

        Args:
            keep: the steps whose models are kept, beside the last.
        """
        detail = f"-{asked['label']}" if asked.get("label") else ""
        path = root / "lab" / files.new_name(f"{asked['name']}{detail}")
        info = {
            "schema": SCHEMA,
            "id": path.name,
            "asked": asked,
            "identity": identity(asked),
            "command": command,
            "keep": [*keep],
            "started": time.strftime(STARTED),
            "pipeline": __version__,
            "machine": machine(),
        }
        with files.writing(path), files.new_folder(path) as beside:
            files.write(beside / "lab.json", files.to_json(info))
        return cls(path)

    @property
    def found(self) -> dict[str, Any] | None:
        """What came of it; None while it is not finished."""
        return self.info.get("found")

    @property
    def state(self) -> Path:
        """The path of the state that an unfinished training goes on from."""
        return self.path / "state.safetensors"

    def finish(self, found: dict[str, Any]) -> None:
        """Keep what came of it; from then on it is finished."""
        self.keep_curve(found.get("curve", []))
        lines = [f"{'ok' if good else 'no'}  {text}" for text, good in found.get("samples", [])]
        files.write_file(self.path / "samples.txt", "".join(f"{line}\n" for line in lines).encode())
        self.info["found"] = found
        files.write_file(self.path / "lab.json", files.to_json(self.info))
        with contextlib.suppress(OSError):
            self.state.unlink()

    def keep_curve(self, curve: list[dict[str, Any]]) -> None:
        """Write the curve as far as it goes."""
        flat = [_flat(entry) for entry in curve]
        names = list(dict.fromkeys(name for entry in flat for name in entry))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)
        files.write_file(self.path / "curve.csv", text.getvalue().encode())

    def hold(self, state: State) -> None:
        """Keep where the training stands."""
        save(self.state, state, identity(self.info["asked"]))

    def held(self) -> State | None:
        """Return where the training stands; None where it has hardly begun.

        Raises:
            RunError: the state is damaged, or that of another training.
        """
        refuse(self.state, files.obstacle(self.state))
        asked = identity(self.info["asked"])
        return load(self.state, asked) if self.state.exists() else None

    def event(self, kind: str, **particulars: Any) -> None:
        """Append a line to events.jsonl; a log that cannot be written stops nothing."""
        events.append(self.path, kind, **particulars)

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
    return finding.folders(root / "lab", _LAB_RUNS)


def find_lab_run(spec: str, root: Path, unfinished: bool = False) -> LabRun:
    """Return the lab run that ``spec`` names: a path, a unique prefix, or ``latest``.

    The latest is the last that keeps a model, if any does: an experiment of its own keeps none.

    Args:
        unfinished: the latest is the last that is not finished, if any is.

    Raises:
        RunError: none, or more than one.
    """
    found = finding.named(spec, root / "lab", _LAB_RUNS)
    if spec == "latest":
        if unfinished:
            open_ends = (run for run in _readable(found) if run.found is None)
            return next(open_ends, None) or LabRun(found[0])
        kept = [path for path in found if any((path / "models").glob("*.safetensors"))]
        return LabRun((kept or found)[0])
    if len(found) > 1:
        raise finding.ambiguous(spec, found, _LAB_RUNS)
    return LabRun(found[0])


def finished(root: Path, asked: dict[str, Any]) -> LabRun | None:
    """Return the newest finished lab run of what is asked, if there is one."""
    return next((run for run in _asked(root, asked) if run.found is not None), None)


def stopped(root: Path, asked: dict[str, Any]) -> LabRun | None:
    """Return the newest lab run of what is asked that can go on and that nobody goes on with."""
    return next(
        (
            run
            for run in _asked(root, asked)
            if run.found is None and run.state.exists() and why_free(run.path)
        ),
        None,
    )


def _asked(root: Path, asked: dict[str, Any]) -> Iterator[LabRun]:
    """Yield the lab runs of what is asked, newest first."""
    wanted = identity(asked)
    for run in _readable(reversed(lab_runs(root))):
        if run.info.get("identity") == wanted:
            yield run


def _readable(paths: Iterable[Path]) -> Iterator[LabRun]:
    for path in paths:
        with contextlib.suppress(RunError):
            yield LabRun(path)


def _flat(entry: dict[str, Any]) -> dict[str, Any]:
    flat = {}
    for key, value in entry.items():
        if isinstance(value, dict):
            flat |= {f"{key} {inner}": number for inner, number in value.items()}
        else:
            flat[key] = value
    return flat

"""Where runs are, and which one a user means: a path, a unique prefix of a name, or ``latest``."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PipelineError, RunError
from pipeline.storage.run import Run


@dataclass(frozen=True)
class Kind:
    """A kind of folder that is found by name.

    Attributes:
        marker: the file that makes a folder one of the kind.
        name: what it is called.
        begin: how to get the first one.
        listed: how to see which there are.
    """

    marker: str
    name: str
    begin: str
    listed: str


_RUNS = Kind(
    "run.json",
    "run",
    "start one, or name its folder with --runs",
    "`pipeline ls` lists what is there",
)


def runs_root(folder: str | None = None) -> Path:
    """Return the directory of the runs: the one named, or PIPELINE_RUNS, or ./runs."""
    return Path(folder or os.environ.get("PIPELINE_RUNS") or "runs")


def all_runs(root: Path) -> list[Path]:
    """Return the folders of runs under ``root``, oldest first."""
    return folders(root, _RUNS)


def find_run(spec: str, root: Path, left_out: Callable[[str], None] = lambda _: None) -> Run:
    """Return the run that ``spec`` names: a path, a unique prefix, or ``latest``.

    Args:
        left_out: called with a line for each run that ``spec`` may mean but that cannot be read.

    Raises:
        RunError: none, or more than one, or it is damaged.
    """
    found = named(spec, root, _RUNS)
    if len(found) == 1:
        return Run(found[0])
    lines: list[str] = []
    whole = _readable(found, lines.append)
    several = [next(whole, None) or Run(found[0])] if spec == "latest" else list(whole)
    for line in lines:
        left_out(line)
    if len(several) == 1:
        return several[0]
    raise ambiguous(spec, [run.path for run in several] or found, _RUNS)


def find_folder(spec: str, root: Path) -> Path:
    """Return the folder of the run that ``spec`` names, whatever state it is in.

    Raises:
        RunError: none, or more than one.
    """
    found = named(spec, root, _RUNS)
    if len(found) > 1 and spec != "latest":
        raise ambiguous(spec, found, _RUNS)
    return found[0]


# ----------------------------------------------------------------------------- any kind


def folders(root: Path, kind: Kind) -> list[Path]:
    """Return the folders of a kind under ``root``, oldest first."""
    if not root.is_dir():
        return []
    found = [path.parent for path in root.glob(f"[!.]*/{kind.marker}")]
    return sorted(found, key=lambda p: (p.joinpath(kind.marker).lstat().st_ctime_ns, p.name))


def named(spec: str, root: Path, kind: Kind) -> list[Path]:
    """Return the folders that ``spec`` may mean, at least one; of ``latest`` all, latest first.

    Raises:
        RunError: there is none.
    """
    if Path(spec, kind.marker).is_file() or (os.sep in spec and Path(spec).is_dir()):
        return [Path(spec)]
    there = folders(root, kind)
    if spec == "latest":
        if not there:
            raise RunError(f"there is no {kind.name} in {root}; {kind.begin}")
        return sorted(there, key=lambda path: _last_change(path, kind), reverse=True)
    exact = [path for path in there if path.name == spec]
    found = exact or [path for path in there if path.name.startswith(spec)]
    if not found:
        raise RunError(f"no {kind.name} {spec!r} in {root}; {kind.listed}")
    return found


def ambiguous(spec: str, found: list[Path], kind: Kind) -> RunError:
    """Return the error for a word that means several folders."""
    names = ", ".join(p.name for p in found[:4]) + (", ..." if len(found) > 4 else "")
    return RunError(f"{spec!r} fits {len(found)} {kind.name}s ({names}); write more of the name")


def _readable(paths: list[Path], left_out: Callable[[str], None]) -> Iterator[Run]:
    """Yield the runs that can be opened."""
    for path in paths:
        try:
            run = Run(path)
        except PipelineError as error:
            left_out(str(error))
            continue
        yield run


def _last_change(path: Path, kind: Kind) -> tuple[int, str]:
    times = [p.stat().st_mtime_ns for p in (path / "rounds", path / kind.marker) if p.exists()]
    return max(times, default=0), path.name

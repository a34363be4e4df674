"""A run's folder: rounds that are there whole or not at all, a lock, and what resuming needs.

    config.toml   the resolved configuration, always complete
    run.json      ids, versions, machine, rng seed, the command of each session
    events.jsonl  one line per thing that happened
    start.json, field-HASH.npy, mask-HASH.npy   copies of the files the run was given, if any
    rounds/0003/  nK.parquet, samples.parquet, model and optimizer, rng.json, stats.json,
                  manifest.json with the SHA-256 of each
    best/         nK.json nK.svg, made from the last round

A round is written beside and renamed into place; the rename is the commit.
"""

import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.config import Config, config_from, differences, read_toml, short, to_toml
from pipeline.errors import PipelineError, RunError, UsageError
from pipeline.untrusted import parse_json, read_json

_SCHEMA = 1
_TEMPORARY = ".writing-"
_STARTED = "%Y-%m-%dT%H:%M:%S%z"
#: What run.json must hold; format 1.
_INFO = {"schema", "id", "problem", "n", "seed", "identity", "config", "sessions"}


class Run:
    """One run's folder. Reading needs no lock; whoever plays rounds holds it."""

    def __init__(self, path: Path) -> None:
        """Open an existing run.

        Raises:
            RunError: it is not a run, or run.json or config.toml is damaged or was edited in
                more than its budget.
        """
        self.path = path
        self._load()

    def _load(self) -> None:
        path = self.path
        if not (path / "run.json").is_file():
            raise RunError(f"{path} is not a run: it has no run.json")
        self.info = _read_json(path / "run.json", "restore it from a copy of the run")
        if not isinstance(self.info, dict) or not self.info.keys() >= _INFO:
            raise RunError(f"{path / 'run.json'} is damaged; restore it from a copy of the run")
        if self.info["schema"] != _SCHEMA:
            raise RunError(
                f"{path} was written in run format {short(self.info['schema'])}; this is pipeline "
                f"{__version__}, which reads format {_SCHEMA}: use a release that matches"
            )
        try:
            where = str(path / "run.json")
            self.started_with = config_from(self.info["config"], where, complete=True)
        except UsageError as error:
            raise RunError(f"{error}; restore the file from a copy of the run") from error
        config, told = self.started_with, self.info
        same = [config.identity, config.problem, config.n, config.seed]
        if same != [told[key] for key in ("identity", "problem", "n", "seed")]:
            raise RunError(f"{where} was edited; restore it from a copy of the run")
        if not isinstance(told["id"], str) or not _are_sessions(told["sessions"]):
            raise RunError(
                f"{where} is damaged: its id or its sessions are not what pipeline writes; restore "
                "it from a copy of the run"
            )
        self.config = self._read_config()

    @classmethod
    def create(
        cls,
        root: Path,
        config: Config,
        label: str,
        command: list[str],
        files: Mapping[str, bytes] | None = None,
    ) -> "Run":
        """Make a folder for a new run under ``root``, whole or not at all, and return it.

        Args:
            label: the problem's name, for the folder's.
            command: the command line that asked for it.
            files: what else to keep in it, such as the constructions to start from.
        """
        import secrets

        slug = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") or "problem"
        day = time.strftime("%Y%m%d")
        path = root / f"{slug}-n{config.n}-{day}-{secrets.token_hex(3)}"
        info = {
            "schema": _SCHEMA,
            "id": path.name,
            "problem": config.problem,
            "n": config.n,
            "seed": config.seed,
            "identity": config.identity,
            "config": asdict(config),
            "sessions": [_session(command)],
        }
        beside = root / f"{_TEMPORARY}{path.name}"
        with _writing(root):
            try:
                (beside / "rounds").mkdir(parents=True)
                for name, data in (files or {}).items():
                    _write(beside / name, data)
                _write(beside / "config.toml", to_toml(config).encode())
                _write(beside / "run.json", _json(info))
                beside.rename(path)
            except BaseException:
                shutil.rmtree(beside, ignore_errors=True)
                raise
        return cls(path)

    def _read_config(self) -> Config:
        file = self.path / "config.toml"
        try:
            config = config_from(read_toml(file), str(file), complete=True)
        except UsageError as error:
            raise RunError(
                f"{error} (the run's own copy is in run.json; `pipeline resume` "
                "cannot go on until config.toml is whole again)"
            ) from error
        changed = differences(self.started_with, config)
        if changed:
            raise RunError(
                f"{file} differs from what the run was started with ({'; '.join(changed)}); only "
                "the budget may change: put it back, or start a new run with --config"
            )
        return config

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    # ------------------------------------------------------------------------------- lock

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for writing; the system lets go of it when the process dies.

        Raises:
            RunError: another live process holds it.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self.path / "lock")
        holder = self.path / "lock.pid"
        try:
            lock.acquire(timeout=0)
        except Timeout:
            who = holder.read_text().strip() if holder.is_file() else "another process"
            raise RunError(
                f"{self.path} is in use by {who}; wait for it, or stop it first"
            ) from None
        except OSError as error:
            raise RunError(f"cannot lock {self.path}: {error.strerror or error}") from error
        try:
            with _writing(self.path):
                holder.write_text(f"process {os.getpid()} on {platform.node()}\n")
            self._load()  # whoever held it before may have changed its budget and its sessions
            self._clean()
            yield
        finally:
            with contextlib.suppress(OSError):
                holder.unlink()
            lock.release()

    def is_held(self) -> bool:
        """Tell whether a live process holds the run, without reaching for the lock itself."""
        try:
            words = (self.path / "lock.pid").read_text().split()
            number, node = int(words[1]), words[3]
        except (OSError, ValueError, IndexError):
            return False
        if node != platform.node() or sys.platform == "win32":
            return True  # nobody here can know better
        try:
            os.kill(number, 0)  # which sends nothing
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def _clean(self) -> None:
        """Delete what a killed process was writing."""
        for folder in (self.path, self.path / "best", self.path / "rounds"):
            for left in folder.glob(f"{_TEMPORARY}*"):
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    with contextlib.suppress(OSError):
                        left.unlink()

    # ----------------------------------------------------------------------------- rounds

    def rounds(self) -> list[int]:
        """Return the numbers of the committed rounds, rising.

        Raises:
            RunError: one is missing in between.
        """
        folder = self.path / "rounds"
        names = [p.name for p in folder.glob("*") if re.fullmatch(r"[0-9]{4,}", p.name)]
        names.sort(key=lambda name: (len(name), name))
        for number, name in enumerate(names):
            if len(name) > 4 and name[0] == "0":
                raise RunError(f"{folder} holds {name}, which is no round; move it away")
            if name != f"{number:04d}":
                raise RunError(
                    f"{folder} lacks round {number}; restore it, or delete the rounds after it and "
                    "resume"
                )
        return list(range(len(names)))

    def last_round(self) -> int:
        """Return the number of the last committed round.

        Raises:
            RunError: there is none yet.
        """
        rounds = self.rounds()
        if not rounds:
            raise RunError(
                f"{self.path} has no finished round yet; play it with: pipeline resume {self.name}"
            )
        return rounds[-1]

    def folder(self, number: int) -> Path:
        """Return the folder of a committed round.

        Raises:
            RunError: there is no such round.
        """
        path = self.path / "rounds" / f"{number:04d}"
        if not path.is_dir():
            rounds = self.rounds()
            there = f"it has rounds 0 to {rounds[-1]}" if rounds else "it has none yet"
            raise RunError(f"{self.path} has no round {number}; {there}")
        return path

    def commit(self, number: int, write: Callable[[Path], None]) -> None:
        """Have ``write`` fill a folder beside, then rename it into place.

        Raises:
            PipelineError: the disk is full or cannot be written; nothing is left behind.
        """
        final = self.path / "rounds" / f"{number:04d}"
        beside = self.path / "rounds" / f"{_TEMPORARY}{number:04d}"
        self._check_there()
        with _writing(final, f"; free some space and run: pipeline resume {self.name}"):
            try:
                shutil.rmtree(beside, ignore_errors=True)
                beside.mkdir(parents=True)
                write(beside)
                manifest = {file.name: _digest(file) for file in sorted(beside.iterdir())}
                for file in beside.iterdir():
                    _sync(file)
                _write(beside / "manifest.json", _json(manifest))
                _sync(beside)
                beside.rename(final)
                _sync(final.parent)
            except BaseException:
                shutil.rmtree(beside, ignore_errors=True)
                raise

    def check_round(self, number: int) -> None:
        """Compare every file of a round with its manifest.

        Raises:
            RunError: a file is missing, cut short or altered.
        """
        for name in self._manifest(self.folder(number)):
            self.file(number, name)

    def file(self, number: int, name: str) -> Path:
        """Return the path of a round's file, once it is found to be what was committed.

        Raises:
            RunError: it is missing or damaged.
        """
        folder = self.folder(number)
        path, expected = folder / name, self._manifest(folder).get(name)
        try:
            whole = _digest(path) == expected
        except OSError:
            whole = False
        if not whole:
            raise self._damaged(path, number)
        return path

    def stats(self, number: int) -> dict[str, Any]:
        """Return what a round's stats.json says.

        Raises:
            RunError: it is damaged.
        """
        path = self.file(number, "stats.json")
        found = _read_json(path, "restore it from a copy of the run")
        if not isinstance(found, dict) or found.get("round") != number:
            raise self._damaged(path, number)
        return found

    def bests(self) -> dict[int, int | None]:
        """Return the best score of each size, as the last round counts it; {} before round 0.

        Raises:
            RunError: a file is damaged, or a round is missing.
        """
        rounds = self.rounds()
        if not rounds:
            return {}
        pools = self.stats(rounds[-1]).get("pool")
        if not isinstance(pools, dict) or pools.keys() != set(map(str, self.config.sizes)):
            raise self._damaged(self.folder(rounds[-1]) / "stats.json", rounds[-1])
        for pool in pools.values():
            score = pool.get("max", "") if isinstance(pool, dict) else ""
            if score is not None and type(score) is not int:
                raise self._damaged(self.folder(rounds[-1]) / "stats.json", rounds[-1])
        return {int(n): pool["max"] for n, pool in pools.items()}

    def sizes(self, number: int) -> list[int]:
        """Return the sizes a round holds constructions of."""
        names = (re.fullmatch(r"n(\d+)\.parquet", p.name) for p in self.folder(number).iterdir())
        return sorted(int(found[1]) for found in names if found)

    def _manifest(self, folder: Path) -> dict[str, str]:
        number = int(folder.name)
        try:
            found = read_json(folder / "manifest.json")
        except PipelineError as error:
            raise self._damaged(folder / "manifest.json", number) from error
        if not isinstance(found, dict):
            raise self._damaged(folder / "manifest.json", number)
        return found

    def _damaged(self, file: Path, number: int) -> RunError:
        return RunError(
            f"{file} is damaged or missing; delete the folders of round {number} and later under "
            f"{self.path / 'rounds'} and run: pipeline resume {self.name} (they are played again, "
            "with the same result)"
        )

    # ---------------------------------------------------------------------- everything else

    def write_best(self, files: Mapping[str, bytes]) -> None:
        """Replace files under best/, each at once."""
        with _writing(self.path / "best"):
            (self.path / "best").mkdir(exist_ok=True)
            for name, data in files.items():
                _write(self.path / "best" / name, data)

    def event(self, kind: str, **particulars: Any) -> None:
        """Append a line to events.jsonl; a log that cannot be written stops nothing.

        Raises:
            RunError: the run's folder is gone.
        """
        self._check_there()
        line = json.dumps({"time": round(time.time(), 3), "event": kind, **particulars})
        with (
            contextlib.suppress(OSError),
            open(self.path / "events.jsonl", "a", encoding="utf-8") as log,
        ):
            log.write(line + "\n")

    def events(self) -> list[dict[str, Any]]:
        """Return what events.jsonl tells, oldest first; there may be no log."""
        with contextlib.suppress(FileNotFoundError):
            return list(parse_events((self.path / "events.jsonl").read_bytes()))
        return []

    def _check_there(self) -> None:
        if not (self.path / "run.json").is_file():
            raise RunError(
                f"{self.path} was deleted while the run was played; nothing more can be kept: "
                "start a new run"
            )

    def set_budget(self, config: Config) -> None:
        """Write a configuration that differs in its budget or workers alone."""
        assert not differences(self.started_with, config)
        with _writing(self.path):
            _write(self.path / "config.toml", to_toml(config).encode())
        self.config = config

    def add_session(self, command: list[str]) -> None:
        """Note in run.json that the run goes on."""
        self.info["sessions"].append(_session(command))
        self._write_info()

    def not_reproducible(self, reason: str) -> None:
        """Note in run.json that what this session found depends on more than its configuration."""
        self.info["sessions"][-1] |= {"reproducible": False, "reason": reason}
        self._write_info()

    def _write_info(self) -> None:
        with _writing(self.path):
            _write(self.path / "run.json", _json(self.info))


def parse_events(data: bytes) -> Iterator[dict[str, Any]]:
    """Yield the events that lines of a log hold; a line that is damaged or torn is skipped."""
    for line in data.splitlines():
        try:
            event = parse_json(line, "the log")
        except PipelineError:
            continue
        if isinstance(event, dict):
            yield event


# ------------------------------------------------------------------------- finding runs


def runs_root(given: str | None = None) -> Path:
    """Return the folder of runs: as given, or PIPELINE_RUNS, or ./runs."""
    return Path(given or os.environ.get("PIPELINE_RUNS") or "runs")


def all_runs(root: Path) -> list[Path]:
    """Return the folders of runs under ``root``, oldest first."""
    if not root.is_dir():
        return []
    found = [p.parent for p in root.glob("[!.]*/run.json")]
    return sorted(found, key=lambda p: (p.joinpath("run.json").lstat().st_ctime_ns, p.name))


def find_run(spec: str, root: Path, left_out: Callable[[str], None] = lambda _: None) -> Run:
    """Return the run that ``spec`` names: a path, a unique prefix, or ``latest``.

    Args:
        left_out: told, in a line each, of runs that ``spec`` may mean but that cannot be read.

    Raises:
        RunError: none, or more than one.
    """
    if Path(spec, "run.json").is_file() or (os.sep in spec and Path(spec).is_dir()):
        return Run(Path(spec))
    runs = all_runs(root)
    if spec == "latest":
        if not runs:
            raise RunError(f"there is no run in {root}; start one, or name its folder with --runs")
        runs.sort(key=_last_change, reverse=True)
        lines: list[str] = []
        run = next(_readable(runs, lines.append), None) or Run(runs[0])
        for line in lines:
            left_out(line)
        return run
    exact = [p for p in runs if p.name == spec]
    found = exact or [p for p in runs if p.name.startswith(spec)]
    if len(found) > 1:
        whole = list(_readable(found, left_out))
        if len(whole) == 1:
            return whole[0]
        found = [run.path for run in whole] or found
        names = ", ".join(p.name for p in found[:4]) + (", ..." if len(found) > 4 else "")
        raise RunError(f"{spec!r} fits {len(found)} runs ({names}); write more of the name")
    if not found:
        raise RunError(f"no run {spec!r} in {root}; `pipeline ls` lists what is there")
    return Run(found[0])


def _readable(paths: list[Path], left_out: Callable[[str], None]) -> Iterator[Run]:
    """Yield the runs that can be opened."""
    for path in paths:
        try:
            run = Run(path)
        except PipelineError as error:
            left_out(str(error))
            continue
        yield run


def _last_change(path: Path) -> tuple[int, str]:
    times = [p.stat().st_mtime_ns for p in (path / "rounds", path / "run.json") if p.exists()]
    return max(times, default=0), path.name


# ------------------------------------------------------------------------------ writing


@contextlib.contextmanager
def _writing(path: Path, fix: str = "") -> Iterator[None]:
    """Turn an error of the file system into one line."""
    try:
        yield
    except OSError as error:
        raise PipelineError(f"cannot write {path}: {error.strerror or error}{fix}") from error


def write_file(path: Path, data: bytes) -> None:
    """Write a file at once, or leave what was there.

    Raises:
        PipelineError: it cannot be written.
    """
    with _writing(path):
        _write(path, data)


def _write(path: Path, data: bytes) -> None:
    """Write a file at once: beside, to the disk, renamed into place."""
    beside = path.with_name(f"{_TEMPORARY}{path.name}")
    try:
        with open(beside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Have the system put a file, or the entries of a folder, on the disk."""
    if os.name == "posix":
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _json(data: Any) -> bytes:
    return (json.dumps(data, indent=1) + "\n").encode()


def _read_json(path: Path, fix: str) -> Any:
    try:
        return read_json(path)
    except PipelineError as error:
        reason = str(error).removeprefix(f"{path}").lstrip(": ")
        raise RunError(f"{path} is damaged ({reason}); {fix}") from error


def _are_sessions(found: Any) -> bool:
    """Tell whether a value read from run.json is the list of its sessions."""
    return isinstance(found, list) and bool(found) and all(map(_is_session, found))


def _is_session(found: Any) -> bool:
    if not isinstance(found, dict):
        return False
    command, reproducible = found.get("command"), found.get("reproducible")
    try:
        time.strptime(found.get("started", ""), _STARTED)
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


def _session(command: list[str]) -> dict[str, Any]:
    import numpy

    return {
        "command": command,
        "started": time.strftime(_STARTED),
        "pipeline": __version__,
        "revision": _revision(),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "executable": Path(sys.executable).name,
        "reproducible": True,
    }


def _revision() -> str | None:
    """Return the git revision this code was checked out at, if it was."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["git", "-C", str(root), "rev-parse", "HEAD"]
        found = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
        return found.stdout.strip() or None
    return None

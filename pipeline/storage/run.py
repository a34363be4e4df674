"""A run's folder: rounds that are there whole or not at all, a lock, and what resuming needs.

    config.toml   the resolved configuration, always complete
    run.json      ids, versions, machine, rng seed, the command of each session
    events.jsonl  one line per thing that happened
    start.json, field-HASH.npy, mask-HASH.npy   copies of the files the run was given, if any
    smaller.json  in place of start.json, the best of the size before in a search over several
    rounds/0003/  nK.parquet, samples.parquet, model and optimizer, rng.json, stats.json,
                  manifest.json with the SHA-256 of each; where the model and optimizer were
                  deleted to save room, pruned.json says so
    best/         nK.json nK.svg, made from the last round

A round is written beside and renamed into place; the rename is the commit.
"""

import contextlib
import hashlib
import json
import math
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.config import Config, as_dict, config_from, differences, read_toml, short, to_toml
from pipeline.core.score_stats import checked_stats, distribution
from pipeline.core.untrusted import parse_json, read_json
from pipeline.errors import PipelineError, RunError, UsageError
from pipeline.storage import files
from pipeline.storage.machine import changed, processor

#: What a search over several sizes begins each with: the best of the one before.
SMALLER = "smaller.json"
_SCHEMA = 1
_TEMPORARY = files.TEMPORARY
_STARTED = "%Y-%m-%dT%H:%M:%S%z"
#: What a round may lose once later ones are there, and the mark of a round that has.
MODEL_FILES = ("model.safetensors", "optimizer.safetensors")
PRUNED = "pruned.json"
#: A holder on another machine counts as gone when it has given no sign for so many seconds.
_SILENCE = 60.0
_SIGN_EVERY = 10.0  # seconds between two signs
_FOREVER = 1e9  # seconds
_TAIL = 65_536  # bytes at the end of a log in which its last line is looked for
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
        given: Mapping[str, bytes] | None = None,
    ) -> "Run":
        """Make a folder for a new run under ``root``, whole or not at all, and return it.

        Args:
            label: the problem's name, for the folder's.
            command: the command line that asked for it.
            given: what else to keep in it, such as the constructions to start from.
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
            "config": as_dict(config),
            "sessions": [_session(command)],
        }
        beside = root / f"{_TEMPORARY}{path.name}"
        with _writing(root):
            try:
                (beside / "rounds").mkdir(parents=True)
                for name, data in (given or {}).items():
                    files.write(beside / name, data)
                files.write(beside / "config.toml", to_toml(config).encode())
                files.write(beside / "run.json", _json(info))
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
            RunError: another live process holds it, or something in it leads out of it.
        """
        with holding(self.path):
            self._load()  # whoever held it before may have changed its budget and its sessions
            self._clean()
            yield

    def is_held(self) -> bool:
        """Tell whether a live process holds the run, without reaching for the lock itself."""
        return not self.why_free()

    def why_free(self) -> str:
        """Say why no live process holds the run; "" where one does.

        The lock itself is not tried, since whoever wants it would find it taken meanwhile. What
        lock.pid says is held against the processes of this machine: the number, and when that
        process began, since numbers are given again. Of another machine nothing is known but the
        signs that a holder gives: the times of lock.pid and of the log.
        """
        try:
            words = files.read(self.path / "lock.pid", most=1000).decode().split()
            number, node = int(words[1]), words[3]
        except (OSError, ValueError, IndexError):
            return "not running"
        if node == platform.node() and os.name == "posix":
            try:
                os.kill(number, 0)  # which sends nothing
            except (ProcessLookupError, OverflowError):
                return f"not running: process {number} has ended without a word"
            except PermissionError:
                pass
            began, now = words[5:6], _began(number)
            if began and now:
                same = began == [now]
                return "" if same else f"not running: process {number} is another one by now"
        signs = [0.0]
        for name in ("lock.pid", "events.jsonl"):
            with contextlib.suppress(OSError):
                signs.append(os.lstat(self.path / name).st_mtime)
        silent = time.time() - max(signs)
        if silent < _SILENCE:
            return ""
        return f"not running: process {number} on {node} has given no sign for {silent:.0f} s"

    def _clean(self) -> None:
        """Delete what a killed process was writing."""
        for folder in ("", "best/", "rounds/", "rounds/*/"):
            for left in self.path.glob(f"{folder}{_TEMPORARY}*"):
                if left.is_dir() and not left.is_symlink():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    with contextlib.suppress(OSError):
                        left.unlink()

    def start(self) -> Path | None:
        """Return the copy of the constructions that ``--start`` named; None without any."""
        found = (self.path / f"start.{kind}" for kind in ("json", "parquet", "txt"))
        return next((path for path in found if path.is_file()), None)

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
                files.write(beside / "manifest.json", _json(manifest))
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
        lost = MODEL_FILES if self.is_pruned(number) else ()
        for name in self._manifest(self.folder(number)):
            if name not in lost:
                self.file(number, name)

    def is_pruned(self, number: int) -> bool:
        """Tell whether the model of a round was deleted to save room (see ``pruning``)."""
        return (self.folder(number) / PRUNED).is_file()

    def file(self, number: int, name: str) -> Path:
        """Return the path of a round's file, once it is found to be what was committed.

        Raises:
            RunError: it is missing, damaged or pruned.
        """
        folder = self.folder(number)
        if name in MODEL_FILES and self.is_pruned(number):
            raise RunError(self._without_model(number))
        path, expected = folder / name, self._manifest(folder).get(name)
        try:
            whole = _digest(path) == expected
        except OSError:
            whole = False
        if not whole:
            raise self.damaged(path, number)
        return path

    def stats(self, number: int) -> dict[str, Any]:
        """Return what a round's stats.json says, if it makes sense and fits what the round kept.

        What is said of the constructions kept is counted anew, by their stored scores.

        Raises:
            RunError: it is damaged, or says what is not so.
        """
        path = self.file(number, "stats.json")
        try:
            found = checked_stats(self._json(path, number))
            if (found["round"], found["n"]) != (number, self.config.n):
                raise ValueError("it is of another round or size")
            kept = {str(n): distribution(self._scores(number, n)) for n in self.sizes(number)}
            if found["pool"].keys() != kept.keys():
                raise ValueError("it tells of other sizes than the round has")
            for n, true in kept.items():
                if found["pool"][n]["histogram"] != true["histogram"]:
                    raise ValueError(f"its histogram of size {n} is not that of n{n}.parquet")
        except ValueError as error:
            raise self.damaged(path, number, f"is not what the round did ({error})") from error
        return found | {"pool": kept}

    def _scores(self, number: int, n: int) -> Any:
        """Return the scores that are stored with a round's constructions of size n."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.file(number, f"n{n}.parquet")
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                column = file.read(columns=["score"], use_threads=False).column("score")
            return column.to_numpy().astype("int64", casting="safe")
        except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
            raise self.damaged(path, number) from error

    def bests(self) -> dict[int, int | None]:
        """Return the best score of each size, as the last round counts it; {} before round 0.

        Raises:
            RunError: a file is damaged, or a round is missing.
        """
        rounds = self.rounds()
        if not rounds:
            return {}
        pools = self.stats(rounds[-1])["pool"]
        if pools.keys() != set(map(str, self.config.sizes)):
            raise self.damaged(self.folder(rounds[-1]) / "stats.json", rounds[-1])
        return {int(n): pool["max"] for n, pool in pools.items()}

    def sizes(self, number: int) -> list[int]:
        """Return the sizes a round holds constructions of."""
        manifest = self._manifest(self.folder(number))
        names = (re.fullmatch(r"n(\d{1,9})\.parquet", name, re.ASCII) for name in manifest)
        return sorted(int(found[1]) for found in names if found)

    def _manifest(self, folder: Path) -> dict[str, str]:
        number = int(folder.name)
        found = self._json(folder / "manifest.json", number)
        if not isinstance(found, dict):
            raise self.damaged(folder / "manifest.json", number)
        return found

    def _json(self, file: Path, number: int) -> Any:
        """Return what a JSON file of a round holds."""
        try:
            return read_json(file)
        except PipelineError as error:
            raise self.damaged(file, number) from error

    def damaged(self, file: Path, number: int, how: str = "is damaged or missing") -> RunError:
        """Return the error for a file of a round, with the way out."""
        return RunError(f"{file} {how}; {self.way_out(number)}")

    def way_out(self, number: int) -> str:
        """Say how to be rid of a round that cannot be used."""
        return (
            f"delete the folders of round {number} and later under {self.path / 'rounds'} and run: "
            f"pipeline resume {self.name} (they are played again, with the same result)"
        )

    def _without_model(self, number: int) -> str:
        """Say what to do about a round whose model is gone."""
        model, begin = MODEL_FILES[0], number
        while begin and (self.is_pruned(begin) or not (self.folder(begin) / model).is_file()):
            begin -= 1
        return (
            f"{self.folder(number)}: its model was pruned; to go on from round {begin} delete the "
            f"folders of the rounds after it and run: pipeline resume {self.name} (they are played "
            "again, with the same result); --keep-models all prunes none"
        )

    # ---------------------------------------------------------------------- everything else

    def write_best(self, drawn: Mapping[str, bytes]) -> None:
        """Replace files under best/, each at once."""
        with _writing(self.path / "best"):
            (self.path / "best").mkdir(exist_ok=True)
            for name, data in drawn.items():
                files.write(self.path / "best" / name, data)

    def event(self, kind: str, **particulars: Any) -> None:
        """Append a line to events.jsonl; a log that cannot be written stops nothing.

        Raises:
            RunError: the run's folder is gone.
        """
        self._check_there()
        line = json.dumps({"time": round(time.time(), 3), "event": kind, **particulars})
        with contextlib.suppress(OSError):
            files.append(self.path / "events.jsonl", f"{line}\n".encode())

    def events(self) -> list[dict[str, Any]]:
        """Return what events.jsonl tells, oldest first; there may be no log."""
        with contextlib.suppress(OSError):
            return list(parse_events(files.read(self.path / "events.jsonl")))
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
            files.write(self.path / "config.toml", to_toml(config).encode())
        self.config = config

    def add_session(self, command: list[str]) -> str:
        """Note in run.json that the run goes on.

        Returns:
            In what this processor is another than that of the session before; empty if it is not.
        """
        before, now = self.info["sessions"][-1], _session(command)
        if "seconds" not in before:  # it was killed; soon its end is no longer that of the log
            before["seconds"] = self.seconds(-1)
        self.info["sessions"].append(now)
        self._write_info()
        return changed(before, now)

    def end_session(self, ended: str, seconds: float) -> None:
        """Note in run.json how this session ended, "done" or "stopped", and how long it took."""
        self.info["sessions"][-1] |= {"ended": ended, "seconds": round(seconds, 1)}
        self._write_info()

    def seconds(self, session: int) -> float:
        """Return how long a session took; of one that was killed, until its last sign."""
        sessions = self.info["sessions"]
        seconds = sessions[session].get("seconds")
        if isinstance(seconds, int | float) and 0 <= seconds < _FOREVER:
            return float(seconds)
        started = _moment(sessions[session].get("started"))
        if started is None:
            return 0.0
        until, tail = math.inf, -_TAIL
        if session not in (-1, len(sessions) - 1):
            until, tail = _moment(sessions[session + 1].get("started")) or math.inf, 0
        last = started
        with contextlib.suppress(OSError):
            for event in parse_events(files.read(self.path / "events.jsonl", start=tail)):
                moment = event.get("time")
                if isinstance(moment, int | float) and last < moment < until:
                    last = float(moment)
        return round(min(last - started, _FOREVER), 1)

    def not_reproducible(self, reason: str) -> None:
        """Note in run.json that what this session found depends on more than its configuration."""
        self.info["sessions"][-1] |= {"reproducible": False, "reason": reason}
        self._write_info()

    def _write_info(self) -> None:
        with _writing(self.path):
            files.write(self.path / "run.json", _json(self.info))


def parse_events(data: bytes) -> Iterator[dict[str, Any]]:
    """Yield the events that lines of a log hold; a line that is damaged or torn is skipped."""
    for line in data.splitlines():
        try:
            event = parse_json(line, "the log")
        except PipelineError:
            continue
        if isinstance(event, dict):
            yield event


# --------------------------------------------------------------------------------- lock


@contextlib.contextmanager
def holding(path: Path, to_write: bool = True) -> Iterator[None]:
    """Hold the folder of a run, whatever state it is in.

    Args:
        to_write: whether anything but the lock will be written in it.

    Raises:
        RunError: another live process holds it, or something in it leads out of it.
    """
    from filelock import FileLock, Timeout

    _check_layout(path, to_write)
    lock = FileLock(path / "lock")
    holder = path / "lock.pid"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        who = "another process"
        with contextlib.suppress(OSError, UnicodeDecodeError, IndexError):
            who = files.read(holder, most=1000).decode().splitlines()[0]
        raise RunError(f"{path} is in use by {who}; wait for it, or stop it first") from None
    except OSError as error:
        raise RunError(f"cannot lock {path}: {error.strerror or error}") from error
    ended = threading.Event()
    try:
        with _writing(path):
            number = os.getpid()
            told = f"process {number} on {platform.node()}\nstarted {_began(number)}\n"
            files.overwrite(holder, told.encode())
        threading.Thread(target=_give_signs, args=(holder, ended), daemon=True).start()
        yield
    finally:
        ended.set()
        with contextlib.suppress(OSError):
            holder.unlink()
        lock.release()


def _check_layout(path: Path, to_write: bool) -> None:
    """Refuse a run in which a link or a device stands where something is to be written.

    Raises:
        RunError: names it.
    """
    names, folders = ["lock", "lock.pid"], []
    if to_write:
        names += ["events.jsonl", "run.json", "config.toml"]
        folders = [path / name for name in ("rounds", "best", "tensorboard")]
        with contextlib.suppress(OSError):
            folders += (path / "rounds").iterdir()
    found = {path / name: files.obstacle(path / name) for name in names}
    found |= {folder: files.obstacle(folder).removeprefix("a folder") for folder in folders}
    for there, what in found.items():
        if what:
            raise RunError(
                f"{there} is {what}; a run writes in its own folder alone: put a copy of what "
                "belongs there in its place, or delete it"
            )


def _give_signs(holder: Path, ended: threading.Event) -> None:
    """Touch lock.pid now and then, for those who look from another machine."""
    while not ended.wait(_SIGN_EVERY):
        with contextlib.suppress(OSError):
            os.utime(holder, follow_symlinks=False)


def _began(number: int) -> str:
    """Return when a process of this machine began, in the system's own measure; "" if unknown."""
    try:
        # The name of the program stands in brackets and may hold anything.
        told = Path(f"/proc/{number}/stat").read_bytes().rpartition(b")")[2].split()
        return told[19].decode()
    except (OSError, IndexError, UnicodeDecodeError):
        return ""


def _moment(started: Any) -> float | None:
    try:
        return datetime.strptime(started, _STARTED).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


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
        RunError: none, or more than one, or it is damaged.
    """
    found = _named(spec, root)
    if len(found) == 1:
        return Run(found[0])
    lines: list[str] = []
    whole = _readable(found, lines.append)
    several = [next(whole, None) or Run(found[0])] if spec == "latest" else list(whole)
    for line in lines:
        left_out(line)
    if len(several) == 1:
        return several[0]
    raise _ambiguous(spec, [run.path for run in several] or found)


def find_folder(spec: str, root: Path) -> Path:
    """Return the folder of the run that ``spec`` names, whatever state it is in.

    Raises:
        RunError: none, or more than one.
    """
    found = _named(spec, root)
    if len(found) > 1 and spec != "latest":
        raise _ambiguous(spec, found)
    return found[0]


def _named(spec: str, root: Path) -> list[Path]:
    """Return the folders that ``spec`` may mean, at least one; of ``latest`` all, latest first."""
    if Path(spec, "run.json").is_file() or (os.sep in spec and Path(spec).is_dir()):
        return [Path(spec)]
    runs = all_runs(root)
    if spec == "latest":
        if not runs:
            raise RunError(f"there is no run in {root}; start one, or name its folder with --runs")
        return sorted(runs, key=_last_change, reverse=True)
    exact = [p for p in runs if p.name == spec]
    found = exact or [p for p in runs if p.name.startswith(spec)]
    if not found:
        raise RunError(f"no run {spec!r} in {root}; `pipeline ls` lists what is there")
    return found


def _ambiguous(spec: str, found: list[Path]) -> RunError:
    names = ", ".join(p.name for p in found[:4]) + (", ..." if len(found) > 4 else "")
    return RunError(f"{spec!r} fits {len(found)} runs ({names}); write more of the name")


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
        files.write(path, data)


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
        "processor": processor(),
        "executable": Path(sys.executable).name,
        "reproducible": True,
    }


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

"""A run's folder: rounds that are there whole or not at all, a lock, and what resuming needs.

    config.toml   the resolved configuration, always complete
    run.json      ids, versions, machine, rng seed, the command of each session
    events.jsonl  one line per thing that happened
    start.json, field-HASH.npy, mask-HASH.npy   copies of files that the configuration names
    smaller.json  in place of start.json, the best of the size before in a search over several
    rounds/0003/  nK.parquet, samples.parquet, state.json (what the next round needs), stats.json
                  (for reading only), generator/ (what it saves, such as a model and its optimiser),
                  manifest.json with the SHA-256 of each; where the generator's files were deleted
                  to save room, pruned.json says so
    best/         nK.json nK.svg, made from the last round

A round is written beside and renamed into place; the rename is the commit.
"""

import contextlib
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.config import Config, as_dict, differences, to_toml
from pipeline.core.untrusted import read_json
from pipeline.errors import PipelineError, RunError, UsageError
from pipeline.storage import events, files, lock, manifest, run_json, sessions, stats
from pipeline.storage.machine import changed

#: What a search over several sizes begins each with: the best of the one before.
SMALLER = "smaller.json"
#: The mark of a round whose model was deleted to save room.
PRUNED = "pruned.json"


class Run:
    """One run's folder. Reading needs no lock; whoever adds rounds holds it.

    Attributes:
        path: the folder.
        info: what run.json holds.
        config: the configuration, with the budget of the last session.
        started_with: the configuration that the run was started with.
    """

    def __init__(self, path: Path) -> None:
        """Open an existing run.

        Raises:
            RunError: it is not a run, or run.json or config.toml is damaged or was edited in
                more than its budget.
        """
        self.path = path
        self._load()

    def _load(self) -> None:
        self.info, self.started_with = run_json.read_info(self.path)
        self.config = self._read_config()

    @classmethod
    def create(
        cls,
        root: Path,
        config: Config,
        label: str,
        command: list[str],
        kept: Mapping[str, bytes] | None = None,
    ) -> "Run":
        """Make a folder for a new run under ``root``, whole or not at all, and return it.

        Args:
            label: the problem's name, for the folder's.
            command: the command line that asked for it.
            kept: what else to keep in it, such as the constructions to start from.
        """
        path = root / files.new_name(f"{files.slug(label)}-n{config.n}")
        info = {
            "schema": run_json.RUN_FORMAT,
            "id": path.name,
            "problem": config.problem,
            "n": config.n,
            "seed": config.seed,
            "identity": config.identity,
            "config": as_dict(config),
            "sessions": [sessions.new_session(command)],
        }
        with files.writing(root), files.new_folder(path) as beside:
            (beside / "rounds").mkdir()
            for name, data in (kept or {}).items():
                files.write(beside / name, data)
            files.write(beside / "config.toml", to_toml(config).encode())
            files.write(beside / run_json.NAME, files.to_json(info))
        return cls(path)

    def _read_config(self) -> Config:
        file = self.path / "config.toml"
        try:
            config = run_json.read_config(file, self.info)
        except UsageError as error:
            raise RunError(
                f"{error} (the run's own copy is in run.json; `pipeline resume` "
                "cannot go on until config.toml is whole again)"
            ) from error
        edited = differences(self.started_with, config)
        if edited:
            raise RunError(
                f"{file} differs from what the run was started with ({'; '.join(edited)}); only "
                "the budget may change: put it back, or start a new run with --config"
            )
        return config

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def identity(self) -> str:
        """The short hash of all that decides the results, as its files of constructions say it."""
        return self.info["identity"]

    def start(self) -> Path | None:
        """Return the copy of the constructions that ``--start`` named; None without any."""
        found = (self.path / f"start.{kind}" for kind in ("json", "parquet", "txt"))
        return next((path for path in found if path.is_file()), None)

    # ------------------------------------------------------------------------------- lock

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run to go on with it.

        Raises:
            RunError: another live process holds it, something in it leads out of it, or it is of
                an earlier format.
        """
        run_json.check_resumable(self.path, self.info)
        with lock.holding_run(self.path):
            self._load()  # whoever held it before may have changed its budget and its sessions
            self._clean()
            yield

    def is_held(self) -> bool:
        """Tell whether a live process holds the run, without reaching for the lock itself."""
        return not self.why_free()

    def why_free(self) -> str:
        """Say why no live process holds the run; "" where one does: see ``lock.why_free``."""
        return lock.why_free(self.path)

    def _clean(self) -> None:
        """Delete what a killed process was writing."""
        for folder in ("", "best/", "rounds/", "rounds/*/"):
            for left in self.path.glob(f"{folder}{files.TEMPORARY}*"):
                if left.is_dir() and not left.is_symlink():
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
                f"{self.path} has no finished round yet; go on with: pipeline resume {self.name}"
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
        """Have ``write`` fill a folder beside, subfolders included, then rename it into place.

        Raises:
            PipelineError: the disk is full or cannot be written, or what was written is not made
                of regular files; nothing is left behind.
        """
        final = self.path / "rounds" / f"{number:04d}"
        self._check_there()
        with files.writing(final, f"; free some space and run: pipeline resume {self.name}"):
            with files.new_folder(final) as beside:
                write(beside)
                manifest.write(beside)
            files.sync(final.parent)

    def check_round(self, number: int) -> None:
        """Compare every file of a round with its manifest.

        Raises:
            RunError: a file is missing, cut short or altered.
        """
        pruned = self.is_pruned(number)
        for name in self.manifest(number):
            if not (pruned and manifest.is_model_file(name)):
                self.file(number, name)

    def is_pruned(self, number: int) -> bool:
        """Tell whether the model of a round was deleted to save room (see ``pruning``)."""
        return (self.folder(number) / PRUNED).is_file()

    def file(self, number: int, name: str) -> Path:
        """Return the path of a round's file, once it is found to be what was committed.

        Args:
            name: its path in the round's folder, with ``/``.

        Raises:
            RunError: it is missing, damaged or pruned.
        """
        folder = self.folder(number)
        if manifest.is_model_file(name) and self.is_pruned(number):
            raise self.without_model(number)
        if not manifest.intact(folder, name, self.manifest(number).get(name)):
            raise self.damaged(folder / name, number)
        return folder / name

    def manifest(self, number: int) -> dict[str, str]:
        """Return the SHA-256 of each file of a round, by its path in the round's folder.

        Raises:
            RunError: the manifest is damaged.
        """
        folder = self.folder(number)
        try:
            return manifest.read(folder)
        except PipelineError as error:
            raise self.damaged(folder / manifest.NAME, number) from error

    def stats(self, number: int) -> dict[str, Any]:
        """Return what a round's stats.json says, if it makes sense and fits what the round kept.

        What is said of the constructions kept is counted anew, by their stored scores.

        Raises:
            RunError: it is damaged, or says what is not so.
        """
        path = self.file(number, "stats.json")
        scores = {n: self._scores(number, n) for n in self.sizes(number)}
        try:
            return stats.checked(read_json(path), number, self.config.n, scores)
        except ValueError as error:
            raise self.damaged(path, number, f"is not what the round did ({error})") from error
        except PipelineError as error:
            raise self.damaged(path, number) from error

    def _scores(self, number: int, n: int) -> Any:
        from pipeline.core.population_files import scores

        path = self.file(number, f"n{n}.parquet")
        try:
            return scores(path)
        except (OSError, ValueError, TypeError, LookupError) as error:  # pyarrow's among them
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
        names = self.manifest(number)
        found = (re.fullmatch(r"n(\d{1,9})\.parquet", name, re.ASCII) for name in names)
        return sorted(int(match[1]) for match in found if match)

    def damaged(self, file: Path, number: int, how: str = "is damaged or missing") -> RunError:
        """Return the error for a file of a round, with the way out."""
        return RunError(f"{file} {how}; {self.way_out(number)}")

    def way_out(self, number: int) -> str:
        """Say how to be rid of a round that cannot be used."""
        return (
            f"delete the folders of round {number} and later under {self.path / 'rounds'} and run: "
            f"pipeline resume {self.name} (they are recomputed, with the same result)"
        )

    def without_model(self, number: int) -> RunError:
        """Return the error for a round whose model was pruned, with the way out."""
        begin = number
        while begin and (self.is_pruned(begin) or not self._has_model(begin)):
            begin -= 1
        return RunError(
            f"{self.folder(number)}: its model was pruned; to go on from round {begin} delete the "
            f"folders of the rounds after it and run: pipeline resume {self.name} (they are "
            "recomputed, with the same result); --keep-models all prunes none"
        )

    def _has_model(self, number: int) -> bool:
        return any(map(manifest.is_model_file, self.manifest(number)))

    # ------------------------------------------------------- the log, the sessions, the best

    def write_best(self, drawn: Mapping[str, bytes]) -> None:
        """Replace files under best/, each at once."""
        with files.writing(self.path / "best"):
            (self.path / "best").mkdir(exist_ok=True)
            for name, data in drawn.items():
                files.write(self.path / "best" / name, data)

    def event(self, kind: str, **particulars: Any) -> None:
        """Append a line to events.jsonl; a log that cannot be written stops nothing.

        Raises:
            RunError: the run's folder is gone.
        """
        self._check_there()
        events.append(self.path, kind, **particulars)

    def events(self) -> list[dict[str, Any]]:
        """Return the events of the log, oldest first; there may be no log."""
        return events.read(self.path)

    def _check_there(self) -> None:
        if not (self.path / run_json.NAME).is_file():
            raise RunError(
                f"{self.path} was deleted while the run went on; nothing more can be kept: start "
                "a new run"
            )

    def set_budget(self, config: Config) -> None:
        """Write a configuration that differs in its budget or workers alone."""
        assert not differences(self.started_with, config)
        files.write_file(self.path / "config.toml", to_toml(config).encode())
        self.config = config

    def add_session(self, command: list[str]) -> str:
        """Note in run.json that the run goes on.

        Returns:
            In what this processor is another than that of the session before; empty if it is not.
        """
        before, now = self.info["sessions"][-1], sessions.new_session(command)
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
        return sessions.seconds(self.info["sessions"], session, self.path)

    def not_reproducible(self, reason: str) -> None:
        """Note in run.json that what this session found depends on more than its configuration."""
        self.info["sessions"][-1] |= {"reproducible": False, "reason": reason}
        self._write_info()

    def _write_info(self) -> None:
        files.write_file(self.path / run_json.NAME, files.to_json(self.info))

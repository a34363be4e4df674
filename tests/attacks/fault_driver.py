"""Take up a run with `pipeline resume` once for each trial, cut short or hindered at a moment.

    fault_driver.py FRESH FOLDER < TRIALS    prints what became of each, a line of JSON a trial

A trial is [FAULT, MOMENT]. FRESH is copied for it, and the moment is a call, counted among those
by which this process changes or reads what is in the run's folder; they come in the same order
each time. What happens at that call, by FAULT:

    count    nothing; the number of calls is told
    kill     kill -9, before the call is made
    after    kill -9, once it is made
    torn     kill -9, half of what is written being written
    exit     os._exit(1), as a library that gives up
    ENOSPC, EIO, EACCES   the call fails with that error; of a write, half is written
    SIGINT, SIGTERM, SIGHUP   the signal
    wall     kill -9 from without, MOMENT seconds after the start, if it has not ended

Then the run is taken up again, unhindered. Each trial is a process of its own, forked from one in
which such a run has ended already, so that nothing but the run itself is left to do.
"""

import builtins
import contextlib
import errno
import io
import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import safetensors.torch

from pipeline.cli import main as pipeline

_COUNTED = ("fsync", "mkdir", "open", "rename", "replace", "rmdir", "unlink", "write")


class Clock:
    """Counts calls, and does what a fault is at one of them."""

    def __init__(self, fault: str, moment: int, folder: Path) -> None:
        self.fault, self.moment, self.folder = fault, moment, str(folder)
        self.passed, self.log = 0, []
        self.ours: set[int] = set()  # handles of files in the folder

    def call(self, name: str, make: Callable[[], Any], half: Callable[[], Any] = int) -> Any:
        """Make a call; ``half`` writes half of what is to be written."""
        self.passed += 1
        self.log.append(name)
        if self.passed != self.moment:
            return make()
        if self.fault == "after":
            with contextlib.suppress(OSError):  # of one that looks for what is not there
                make()
        if self.fault in ("torn", "ENOSPC", "EIO", "EACCES"):
            half()
        if self.fault in ("kill", "after", "torn"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "exit":
            os._exit(1)
        if self.fault.startswith("SIG"):
            signal.raise_signal(getattr(signal, self.fault))
        if self.fault.startswith("E"):
            raise OSError(getattr(errno, self.fault), f"injected {self.fault} at {name}")
        return make()

    def inside(self, what: Any) -> bool:
        """Tell whether a path or a handle is of the run."""
        if isinstance(what, int):
            return what in self.ours
        try:
            return os.path.abspath(os.fsdecode(what)).startswith(self.folder)
        except TypeError:
            return False

    def install(self) -> None:
        """Count the calls of this process from now on."""
        for name in _COUNTED:
            setattr(os, name, self._of_os(name, getattr(os, name)))
        close = os.close

        def closing(handle: int) -> None:
            self.ours.discard(handle)
            close(handle)

        os.close = closing
        opening = builtins.open

        def opened(file: Any, mode: str = "r", *rest: Any, **others: Any) -> Any:
            if not self.inside(file):
                return opening(file, mode, *rest, **others)
            made = self.call("open", lambda: opening(file, mode, *rest, **others))
            self.ours.add(made.fileno())
            return made if mode in ("r", "rb") else Writing(made, self)

        builtins.open = io.open = opened
        # These two write by code that is not Python's.
        for owner, name in (
            (pyarrow.parquet.ParquetWriter, "write_table"),
            (pyarrow.parquet.ParquetWriter, "close"),
            (safetensors.torch, "save"),
        ):
            setattr(owner, name, self._of_library(name, getattr(owner, name)))

    def _of_os(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def counted(what: Any, *rest: Any, **others: Any) -> Any:
            if not self.inside(what):
                return original(what, *rest, **others)

            def half() -> None:
                if name == "write":
                    original(what, rest[0][: len(rest[0]) // 2])

            made = self.call(f"os.{name}", lambda: original(what, *rest, **others), half)
            if name == "open":
                self.ours.add(made)
            return made

        return counted

    def _of_library(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *rest, **others: self.call(name, lambda: original(*rest, **others))


class Writing:
    """A file whose writes are counted, and go to the system at once."""

    def __init__(self, file: Any, clock: Clock) -> None:
        self._file, self._clock = file, clock

    def write(self, data: Any) -> int:
        def some(part: Any) -> int:
            done = self._file.write(part)
            self._file.flush()
            return done

        half = data[: len(data) // 2]
        return self._clock.call("write", lambda: some(data), lambda: some(half))

    def close(self) -> None:
        if not self._file.closed:
            self._clock.ours.discard(self._file.fileno())
        self._file.close()

    def __enter__(self) -> "Writing":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __iter__(self) -> Any:
        return iter(self._file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def resumed(folder: Path, clock: Clock | None = None) -> int:
    """Take up a run, as from the command line; return the exit code."""
    if clock is not None:
        clock.install()
    try:
        pipeline(["resume", str(folder), "--workers", "1"])
    except SystemExit as stop:
        return int(stop.code or 0)
    raise AssertionError("a command without an exit code")


def trial(fresh: Path, root: Path, fault: str, moment: float) -> dict[str, Any]:
    """Take up a copy of a run, hindered and then again; say how both ended, and what was said."""
    folder = root / f"{fault}-{moment}"
    shutil.copytree(fresh, folder)
    clock = Clock(fault, 0 if fault == "wall" else int(moment), folder)
    began = time.monotonic()
    child = forked(folder, clock)
    if fault == "wall":
        signal.sigtimedwait([signal.SIGCHLD], moment)
        os.kill(child, signal.SIGKILL)  # one that has ended takes no notice
    code = ended(child)
    told = {"fault": fault, "moment": moment, "code": code, "seconds": time.monotonic() - began}
    told |= {"said": said(folder), "folder": str(folder)}
    if fault == "count":
        told["calls"] = json.loads(folder.with_suffix(".json").read_text())
    told |= {"again": ended(forked(folder)), "said_again": said(folder)}
    return told


def forked(folder: Path, clock: Clock | None = None) -> int:
    """Take up a run in a process of its own; return its number."""
    log = os.open(folder.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    child = os.fork()
    if child:
        os.close(log)
        return child
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(log, 1)
    os.dup2(log, 2)
    code = 99
    try:
        code = resumed(folder, clock)
        if clock is not None and clock.fault == "count":
            folder.with_suffix(".json").write_text(json.dumps(clock.log))
    except BaseException:  # noqa: BLE001 - told of by its traceback, which nothing may have
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


def ended(child: int) -> int:
    """Wait for a process; return its exit code, below 0 if a signal ended it."""
    _, status = os.waitpid(child, 0)
    signal.sigtimedwait([signal.SIGCHLD], 0)
    return os.waitstatus_to_exitcode(status)


def said(folder: Path) -> str:
    """Return what the last process that took up a run has printed."""
    return folder.with_suffix(".log").read_text(encoding="utf-8", errors="replace")


def main(fresh: str, root: str) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    warm = Path(root) / "warm"
    shutil.copytree(fresh, warm)
    silent = contextlib.redirect_stdout, contextlib.redirect_stderr
    with open(os.devnull, "w") as nowhere, silent[0](nowhere), silent[1](nowhere):
        # What only the first of a process does (imports, loading of kernels) is over then.
        assert resumed(warm) == 0
    for fault, moment in json.load(sys.stdin):
        print(json.dumps(trial(Path(fresh), Path(root), fault, moment)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

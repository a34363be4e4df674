"""Carry on with a run once for each number on the command line, killed at that moment (kill -9).

A moment is an event of the session, or a call that puts something on the disk; they are numbered
as they come, so each falls at the same place every time. Prints how many a whole session has when
the moment is 0. Each is a process of its own, forked before anything was computed.

With FAULT=ENOSPC or FAULT=EIO in the environment nothing is killed: the calls alone are counted,
and the one of that number fails with this error, as on a full or a broken disk.
"""

import errno
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet
import safetensors.torch
from carrying_on import carry_on

from pipeline.callbacks import Callbacks
from pipeline.errors import PipelineError
from pipeline.storage.run import Run

FAULT = os.environ.get("FAULT", "")


class Countdown:
    def __init__(self, at: int) -> None:
        self.at, self.passed = at, 0

    def tick(self, *, call: bool = False) -> None:
        if FAULT and not call:
            return
        self.passed += 1
        if self.passed != self.at:
            return
        if FAULT:
            raise OSError(getattr(errno, FAULT), f"injected {FAULT}")
        os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: Any, name: str) -> None:
        """Count a call twice: before it, and once it is done."""
        original = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.tick(call=True)
            result = original(*args, **kwargs)
            self.tick()
            return result

        setattr(owner, name, counted)


class Ticking(Callbacks):
    """Counts every event."""

    def __init__(self, clock: Countdown) -> None:
        self._clock = clock

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("on_"):
            return super().__getattribute__(name)
        return lambda *_, **__: self._clock.tick()


def session(folder: Path, at: int) -> None:
    clock = Countdown(at)
    run = Run(folder)
    with run.lock():
        for owner, name in (
            (os, "fsync"),
            (Path, "rename"),
            (Path, "replace"),
            (Path, "mkdir"),
            (Path, "write_bytes"),
            (Path, "write_text"),
            (pyarrow.parquet.ParquetWriter, "close"),
            (safetensors.torch, "save"),
        ):
            clock.around(owner, name)

        carry_on(run, Ticking(clock))
    if not at:
        print(clock.passed, flush=True)


def main(fresh: str, root: str, *moments: str) -> None:
    for moment in moments:
        folder = Path(root) / f"killed-{moment}"
        shutil.copytree(fresh, folder)
        child = os.fork()
        if child == 0:
            code = 0
            try:
                session(folder, int(moment))
            except (OSError, PipelineError):
                code = 1
            os._exit(code)
        _, status = os.waitpid(child, 0)
        expected = (0, 1) if FAULT else (-signal.SIGKILL if int(moment) else 0,)
        assert os.waitstatus_to_exitcode(status) in expected, (moment, status)


if __name__ == "__main__":
    main(*sys.argv[1:])

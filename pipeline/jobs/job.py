"""A job: one command of this program that makes one run, in a folder of its own."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.storage import files
from pipeline.storage.run import Run

#: What a job is run by.
PROGRAM = (sys.executable, "-m", "pipeline")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_GRACE = 30.0  # seconds that a command is given to commit its round
_LEAST = 1.0  # seconds that are worth going on for


@dataclass(frozen=True)
class Job:
    """One command, begun anew or gone on with; its folder holds the run and the log.

    Attributes:
        name: tells it from other jobs.
        folder: its own, on a disk that all places of a job see.
        begin: the words of the command, without its directory of runs.
        again: what `resume RUN` needs beside; None for a job that is begun anew each time.
        seconds: how long all sessions of a job that is gone on with may take together.
        threads: cores.
    """

    name: str
    folder: Path
    begin: tuple[str, ...]
    again: tuple[str, ...] | None = None
    seconds: float = 0.0
    threads: int = 1

    def run(self) -> Run | None:
        """Return the run that it has made so far; None if there is none.

        Raises:
            RunError: it is damaged.
        """
        made = sorted(path.parent for path in self.folder.glob("*/run.json"))
        return Run(made[-1]) if made else None

    def is_done(self) -> bool:
        """Tell whether its run came to the end of its budget.

        Raises:
            RunError: the run is damaged.
        """
        run = self.run()
        return run is not None and run.info["sessions"][-1].get("ended") == "done"

    def words(self) -> tuple[str, ...]:
        """Return the words of the command that does what is left; none if all is done.

        Raises:
            RunError: its run is damaged.
        """
        where = ("--runs", str(self.folder), "--json")
        run = self.run() if self.again is not None else None
        if run is None:
            return *self.begin, *where
        spent = sum(run.seconds(number) for number in range(len(run.info["sessions"])))
        left = self.seconds - spent
        if self.is_done() or left < _LEAST:
            return ()
        return "resume", str(run.path), "--time", f"{left:.1f}", *(self.again or ()), "--json"

    def error(self) -> str:
        """Return the last line of its log: why it ended, where it failed."""
        try:
            text = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            return f"no log: {error}"
        lines = [line for line in text.splitlines() if line.strip()]
        return lines[-1].removeprefix("pipeline: ") if lines else "it ended without a word"


def start(job: Job) -> "subprocess.Popen[bytes]":
    """Start what is left of a job, in a session of its own, so that Ctrl-C reaches us alone.

    Raises:
        PipelineError: its folder cannot be written, or its run is damaged.
    """
    with files.writing(job.folder):
        if job.again is None:
            shutil.rmtree(job.folder, ignore_errors=True)
        job.folder.mkdir(parents=True, exist_ok=True)
        words = job.words()
        with open(job.folder / "log", "ab") as log:
            return subprocess.Popen(
                [*PROGRAM, *words] if words else [sys.executable, "-c", ""],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
                env=os.environ | dict.fromkeys(_THREADS, str(job.threads)),
            )


def stop(processes: Sequence["subprocess.Popen[bytes]"]) -> None:
    """Have commands commit what they have and end; those that do not are killed."""
    for process in processes:
        if process.poll() is None:
            process.terminate()
    for process in processes:
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            kill(process)
            process.wait()


def kill(process: "subprocess.Popen[bytes]") -> None:
    """End a command and its workers at once."""
    with contextlib.suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def carry_out(job: Job) -> int:
    """Carry a job out where this runs, and return its exit code.

    What breaks in, such as a job that is to be requeued, stops the command in good order.
    """
    try:
        process = start(job)
    except PipelineError as error:
        job.folder.mkdir(parents=True, exist_ok=True)
        with open(job.folder / "log", "a", encoding="utf-8") as log:
            log.write(f"pipeline: {error}\n")
        return 1
    try:
        return process.wait()
    finally:
        stop([process])

"""Carrying a plan out: each trial in a process of its own, its result kept, resumable.

results/NAME.json   what a finished trial found
runs/NAME/          its run, with what its command printed
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.benchmarking.experiment import Trial
from pipeline.benchmarking.results import Result, read_result, result_of, write_result
from pipeline.core.untrusted import read_json
from pipeline.errors import PipelineError
from pipeline.problem import Problem
from pipeline.storage import files, lock
from pipeline.storage.run import Run

#: What a trial is run by.
PROGRAM = (sys.executable, "-m", "pipeline")
_POLL = 0.1  # seconds between two looks at the processes
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class Observer:
    """Follows a plan as it is carried out; override the methods that are of interest."""

    def on_start(self, done: int, total: int) -> None:
        """Take how many trials have a result already, of how many."""

    def on_begin(self, trial: Trial) -> None:
        """Take a trial that begins."""

    def on_done(self, trial: Trial, result: Result, seconds: float) -> None:
        """Take what a trial found, and how long it took."""

    def on_failed(self, trial: Trial, error: str, seconds: float) -> None:
        """Take why a trial came to nothing, and how long it took."""

    def on_tick(self, waiting: int, running: Sequence[float]) -> None:
        """Take how many trials wait, and for how many seconds each of the others has run."""


class Failure(NamedTuple):
    """A trial that came to nothing."""

    trial: Trial
    error: str


def carry_out(
    trials: Sequence[Trial],
    folder: Path,
    problem: Problem,
    jobs: int,
    observer: Observer | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[list[Result], list[Failure]]:
    """Run the trials that have no result yet, ``jobs`` at once, each in a process of its own.

    Args:
        folder: where results and runs are kept.
        stopped: asked many times a second; once true, what is running is dropped.

    Raises:
        RunError: another process carries out a plan in this folder, or something in it leads out.
        PipelineError: a result cannot be kept.
    """
    observer = observer or Observer()
    failures: list[Failure] = []
    with files.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("results", "runs"):
            lock.refuse(folder / name, files.obstacle(folder / name).removeprefix("a folder"))
            (folder / name).mkdir(exist_ok=True)
    places = {trial: folder / "results" / f"{trial.name}.json" for trial in trials}
    with lock.holding(folder), contextlib.ExitStack() as children:
        stored = {trial: read_result(place) for trial, place in places.items()}
        results = [result for result in stored.values() if result is not None]
        waiting = [trial for trial, result in stored.items() if result is None]
        running: list[_Process] = []
        children.callback(lambda: [process.kill() for process in running])
        observer.on_start(len(results), len(trials))
        while (waiting or running) and not stopped():
            while waiting and len(running) < jobs:
                running.append(_Process(waiting.pop(0), folder))
                observer.on_begin(running[-1].trial)
            time.sleep(_POLL)
            for process in [one for one in running if one.has_ended()]:
                running.remove(process)
                trial = process.trial
                try:
                    found = process.result(problem)
                except PipelineError as error:
                    failures.append(Failure(trial, str(error)))
                    observer.on_failed(trial, str(error), process.seconds)
                else:
                    write_result(places[trial], found)
                    results.append(found)
                    observer.on_done(trial, found, process.seconds)
            observer.on_tick(len(waiting), [process.seconds for process in running])
    return results, failures


class _Process:
    """A trial that is running, from the beginning: what an earlier try left is deleted."""

    def __init__(self, trial: Trial, folder: Path) -> None:
        self.trial = trial
        self._folder = folder / "runs" / trial.name
        self._began = time.monotonic()
        with files.writing(self._folder):
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir()
            with (
                open(self._folder / "out.json", "wb") as out,
                open(self._folder / "log", "wb") as log,
            ):
                # A session of its own, so that Ctrl-C reaches us alone.
                self._process = subprocess.Popen(
                    [*PROGRAM, *trial.arguments(self._folder)],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=log,
                    start_new_session=True,
                    env=os.environ | dict.fromkeys(_THREADS, "1"),
                )

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self._began

    def has_ended(self) -> bool:
        """Tell whether the process has ended."""
        return self._process.poll() is not None

    def result(self, problem: Problem) -> Result:
        """Return what a process that has ended found.

        Raises:
            PipelineError: it failed, or its best is not what it claims.
        """
        if self._process.returncode:
            raise PipelineError(self._error())
        out = read_json(self._folder / "out.json")
        if not isinstance(out, dict) or not isinstance(out.get("run"), str):
            raise PipelineError(f"{self._folder / 'out.json'} names no run")
        return result_of(Run(Path(out["run"])), problem, self.trial.arm)

    def _error(self) -> str:
        text = (self._folder / "log").read_text(encoding="utf-8", errors="replace")
        last = (text.strip().splitlines() or [f"exit code {self._process.returncode}"])[-1]
        return last.removeprefix("pipeline: ")

    def kill(self) -> None:
        """End the process and its workers at once."""
        with contextlib.suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
        self._process.wait()

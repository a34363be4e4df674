"""Trials carried out as jobs, each result kept as soon as it is there, resumable.

results/NAME.json   what a finished trial found
runs/NAME/          its run, with its log
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.benchmarking.experiment import Trial
from pipeline.benchmarking.results import Result, read_result, result_of, write_result
from pipeline.errors import PipelineError
from pipeline.jobs import Job, Place
from pipeline.problem import Problem
from pipeline.storage import files, lock

_POLL = 0.1  # seconds between two looks at the jobs


class Observer:
    """Follows trials as they are carried out; override the methods that are of interest."""

    def on_start(self, results: Sequence[Result], total: int) -> None:
        """Take the results that are there already, and of how many trials."""

    def on_begin(self, trial: Trial) -> None:
        """Take a trial that begins."""

    def on_done(self, trial: Trial, result: Result, seconds: float) -> None:
        """Take what a trial found, and how long it took from when it was handed over."""

    def on_failed(self, trial: Trial, error: str, seconds: float) -> None:
        """Take why a trial came to nothing, and how long it took."""

    def on_tick(self, waiting: int, running: Sequence[float]) -> None:
        """Take how many trials wait, and for how many seconds each of the others has run."""

    def on_leave(self, text: str) -> None:
        """Take what becomes of the trials that were under way when they were left."""


class Failure(NamedTuple):
    """A trial that came to nothing."""

    trial: Trial
    error: str


#: Returns the trial that is worth carrying out next, or none, by the results and by the trials that
#: are under way or have failed.
Next = Callable[[Sequence[Result], Sequence[Trial]], Trial | None]


def carry_out(
    trials: Sequence[Trial],
    folder: Path,
    problem: Problem,
    place: Place,
    observer: Observer | None = None,
    stopped: Callable[[], bool] = lambda: False,
    next_: Next = lambda results, under_way: None,
) -> tuple[list[Result], list[Failure]]:
    """Carry out the trials that have no result yet, then those that are worth it.

    Args:
        folder: where results and runs are kept.
        place: where the trials run.
        stopped: asked many times a second; once true, the place is left.
        next_: asked for further trials once all of ``trials`` have ended.

    Raises:
        RunError: another process carries out a plan in this folder, or something in it leads out.
        PipelineError: a result cannot be kept, or the place takes no jobs.
    """
    with files.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("results", "runs"):
            lock.refuse(folder / name, files.obstacle(folder / name).removeprefix("a folder"))
            (folder / name).mkdir(exist_ok=True)
    with lock.holding(folder):
        return _Work(folder, problem, place, observer or Observer(), next_).go(trials, stopped)


class _Work:
    """Trials that wait and that are under way, and what has come of the others."""

    def __init__(
        self, folder: Path, problem: Problem, place: Place, observer: Observer, next_: Next
    ) -> None:
        self._folder, self._problem, self._place = folder, problem, place
        self._observer, self._next = observer, next_
        self._results: list[Result] = []
        self._failures: list[Failure] = []
        self._under_way: dict[Job, tuple[Trial, float]] = {}
        self._planned: set[str] = set()

    def go(
        self, trials: Sequence[Trial], stopped: Callable[[], bool]
    ) -> tuple[list[Result], list[Failure]]:
        """Carry the trials out until all is done or the work is stopped."""
        self._planned = {trial.name for trial in trials}
        stored = {trial: read_result(self._kept(trial)) for trial in trials}
        self._results = [result for result in stored.values() if result is not None]
        waiting = [trial for trial, result in stored.items() if result is None]
        self._observer.on_start(self._results, len(trials))
        jobs = {trial.job(self._folder / "runs"): trial for trial in waiting}
        for job in self._place.resumed(list(jobs)):
            self._under_way[job] = jobs[job], time.monotonic()
            waiting.remove(jobs[job])
        for trial in [trial for job, trial in jobs.items() if _ended_unseen(job)]:
            if trial in waiting:
                waiting.remove(trial)
                self._take(trial.job(self._folder / "runs"), trial, 0.0)
        try:
            while not stopped():
                self._fill(waiting)
                if not self._under_way:
                    break
                self._collect()
                self._observer.on_tick(len(waiting), self._place.running())
                time.sleep(_POLL)
        finally:
            self._observer.on_leave(self._place.leave())
        return self._results, self._failures

    def _kept(self, trial: Trial) -> Path:
        return self._folder / "results" / f"{trial.name}.json"

    def _fill(self, waiting: list[Trial]) -> None:
        """Hand over as many trials as there is room for."""
        free = self._place.room - len(self._under_way)
        chosen = [waiting.pop(0) for _ in range(min(free, len(waiting)))]
        # A further trial is chosen by what all that were planned have found.
        while len(chosen) < free and not self._planned_left(chosen):
            under_way = [trial for trial, _ in self._under_way.values()] + chosen
            failed = [failure.trial for failure in self._failures]
            trial = self._next(self._results, under_way + failed)
            if trial is None:
                break
            if (found := read_result(self._kept(trial))) is not None:
                self._results.append(found)  # of an earlier time
            else:
                chosen.append(trial)
        if not chosen:
            return
        jobs = {trial.job(self._folder / "runs"): trial for trial in chosen}
        self._place.submit(list(jobs))
        for job, trial in jobs.items():
            self._under_way[job] = trial, time.monotonic()
            self._observer.on_begin(trial)

    def _planned_left(self, chosen: Sequence[Trial]) -> bool:
        """Tell whether a planned trial is under way, or about to be."""
        there = [trial for trial, _ in self._under_way.values()]
        return any(trial.name in self._planned for trial in (*there, *chosen))

    def _collect(self) -> None:
        """Take up what has ended."""
        for job in self._place.ended():
            trial, began = self._under_way.pop(job)
            self._take(job, trial, time.monotonic() - began)

    def _take(self, job: Job, trial: Trial, seconds: float) -> None:
        """Keep what a job that has ended found, or why it found nothing."""
        try:
            found = _result(job, trial, self._problem)
        except PipelineError as error:
            self._failures.append(Failure(trial, str(error)))
            self._observer.on_failed(trial, str(error), seconds)
        else:
            write_result(self._kept(trial), found)
            self._results.append(found)
            self._observer.on_done(trial, found, seconds)


def _ended_unseen(job: Job) -> bool:
    """Tell whether a job that can be gone on with came to its end while nobody looked after it."""
    try:
        return job.again is not None and job.is_done()
    except PipelineError:
        return False


def _result(job: Job, trial: Trial, problem: Problem) -> Result:
    """Return what a job that has ended found.

    Raises:
        PipelineError: it did not come to its end, or its best is not what it claims.
    """
    run = job.run()
    if run is None or (not job.is_done() and job.words()):
        raise PipelineError(job.error())
    return result_of(run, problem, trial.arm)

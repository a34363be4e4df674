"""Where jobs run: what a place can do, and this machine as one."""

import subprocess
import time
from collections.abc import Sequence
from typing import Protocol

from pipeline.errors import RunError
from pipeline.executors import cores
from pipeline.jobs.job import Job, kill, start, stop


class Place(Protocol):
    """Runs jobs."""

    @property
    def room(self) -> int:
        """How many jobs it takes at once.

        Raises:
            PipelineError: a cluster does not answer.
        """
        ...

    def submit(self, jobs: Sequence[Job]) -> None:
        """Take jobs; they begin when there is room for them.

        Raises:
            PipelineError: it cannot.
        """
        ...

    def resumed(self, jobs: Sequence[Job]) -> list[Job]:
        """Return those of some jobs that an earlier process gave to this place and still run."""
        ...

    def ended(self) -> list[Job]:
        """Return the jobs that have ended since it was asked last, however they ended."""
        ...

    def running(self) -> list[float]:
        """Return for how many seconds each job that has not ended has been there."""
        ...

    def leave(self) -> str:
        """Stop the jobs that run here, or leave them to the cluster.

        Returns:
            What is to be said of that; empty if nothing.
        """
        ...


class Processes:
    """Processes of this machine. One that is left stops its jobs: they commit and end."""

    def __init__(self, jobs: int = 0, threads: int = 1) -> None:
        """Take how many run at once, and how many cores each has; 0 jobs for all the cores."""
        self.room = jobs or max(cores() // threads, 1)
        self._processes: dict[Job, tuple[float, subprocess.Popen[bytes]]] = {}
        self._damaged: list[Job] = []

    def submit(self, jobs: Sequence[Job]) -> None:
        """Start them all; one whose run is damaged has ended before it began."""
        for job in jobs:
            try:
                self._processes[job] = time.monotonic(), start(job)
            except RunError:
                self._damaged.append(job)

    def resumed(self, jobs: Sequence[Job]) -> list[Job]:
        """Return none: processes end with what started them."""
        return []

    def ended(self) -> list[Job]:
        """Return those whose process has ended."""
        found = [job for job, (_, one) in self._processes.items() if one.poll() is not None]
        for job in found:
            del self._processes[job]
        found += self._damaged
        self._damaged = []
        return found

    def running(self) -> list[float]:
        """Return the seconds since each was started."""
        return [time.monotonic() - began for began, _ in self._processes.values()]

    def leave(self) -> str:
        """Stop what runs: at once what would be begun anew, in good order what can be resumed."""
        for job, (_, process) in self._processes.items():
            if job.again is None:
                kill(process)
        stop([process for _, process in self._processes.values()])
        self._processes = {}
        return ""

"""Jobs as tasks of a Ray cluster whose nodes see the same disk."""

import time
from collections.abc import Sequence
from typing import Any

from pipeline.errors import PipelineError
from pipeline.executors.ray import Ray
from pipeline.jobs.job import Job, carry_out


class RayTasks:
    """A Ray cluster. A job of a lost node begins again elsewhere and goes on with its run."""

    def __init__(self, jobs: int, threads: int, address: str = "", gpus: int = 0) -> None:
        """Take how many jobs may run at once, the cores and GPUs of each, and the cluster.

        Raises:
            PipelineError: Ray is not installed.
        """
        self._ray, self._threads = Ray(jobs * threads, address), threads
        self._most, self._gpus = jobs, gpus
        self._jobs: dict[Any, tuple[Job, float]] = {}

    @property
    def room(self) -> int:
        """How many jobs the cluster has cores for now; one that is there may grow.

        Raises:
            PipelineError: no cluster answers, or it has fewer GPUs than a job needs.
        """
        found = max(self._ray.cores() // self._threads, 1)
        if self._gpus:
            there = self._ray.gpus()
            if there < self._gpus:
                raise PipelineError(
                    f"--gpus {self._gpus}: the Ray cluster has {there} GPUs; leave the option out"
                )
            found = min(found, there // self._gpus)
        return min(found, self._most) if self._most else found

    def submit(self, jobs: Sequence[Job]) -> None:
        """Hand them to the cluster."""
        for job in jobs:
            reference = self._ray.submit(carry_out, job, self._threads, self._gpus)
            self._jobs[reference] = job, time.monotonic()

    def resumed(self, jobs: Sequence[Job]) -> list[Job]:
        """Return none: the tasks of a process end with it."""
        return []

    def ended(self) -> list[Job]:
        """Return those whose task has ended, however it did."""
        return [self._jobs.pop(one)[0] for one in self._ray.ready(list(self._jobs))]

    def running(self) -> list[float]:
        """Return the seconds since each was handed over."""
        return [time.monotonic() - began for _, began in self._jobs.values()]

    def leave(self) -> str:
        """Cancel the tasks: their commands commit and end."""
        self._ray.cancel(list(self._jobs))
        self._jobs = {}
        self._ray.close()
        return ""

"""Jobs on a SLURM cluster, by submitit: arrays of jobs that go on after they were preempted."""

import json
import math
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.core.untrusted import read_json
from pipeline.errors import PipelineError, UsageError, check_installed
from pipeline.jobs.job import Job, carry_out
from pipeline.storage import files

_AT_ONCE = 256  # jobs of an array
_SPARE = 5  # minutes of a job beside those of its run
_REQUEUES = 1_000
_OURS = ("time", "cpus_per_task", "job_name", "nodes", "array_parallelism")
_LOOK = 60.0  # seconds between two questions to SLURM; the disk is asked each time


class Requeued:
    """A job as submitit carries it out: one that is preempted is put in the queue again."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def __call__(self) -> int:
        """Carry the job out."""
        return carry_out(self.job)

    def checkpoint(self) -> Any:
        """Return what is to be done once it has a node again: the same, which goes on."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class Slurm:
    """A SLURM cluster whose nodes see the same disk. Its jobs go on when it is left."""

    def __init__(self, jobs: int, threads: int, parameters: Sequence[str] = ()) -> None:
        """Take how many jobs may run at once, the cores of each, and parameters of sbatch.

        Raises:
            PipelineError: submitit is not installed, or there is no SLURM.
            UsageError: a parameter that is none.
        """
        check_installed("submitit", "--on slurm", "slurm")
        if shutil.which("sbatch") is None or shutil.which("srun") is None:
            raise PipelineError(
                "no SLURM here: sbatch is not on the PATH; go to a login node of the cluster, or "
                "leave --on slurm out"
            )
        self.room = _AT_ONCE * 40
        self._parameters = _parameters(parameters)
        self._parameters |= {"array_parallelism": jobs or _AT_ONCE, "cpus_per_task": threads}
        self._jobs: dict[Job, Any] = {}
        self._began: dict[Job, float] = {}
        self._asked = time.monotonic()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Submit an array.

        Raises:
            PipelineError: sbatch refuses it.
        """
        import submitit
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        folder = _folder(jobs[0])
        executor = submitit.SlurmExecutor(folder, max_num_timeout=_REQUEUES)
        minutes = math.ceil(max(job.seconds for job in jobs) / 60) + _SPARE
        try:
            executor.update_parameters(job_name="pipeline", time=minutes)
            executor.update_parameters(**self._parameters)
            with executor.batch():
                made = [executor.submit(Requeued(job)) for job in jobs]
        except (FailedJobError, FailedSubmissionError, OSError) as error:
            reason = " ".join(str(error).split())[-300:]
            raise PipelineError(f"SLURM did not take the jobs: {reason}") from error
        self._add(dict(zip(jobs, made, strict=True)))
        ids = _submitted(folder) | {job.name: one.job_id for job, one in self._jobs.items()}
        files.write_file(folder / "jobs.json", json.dumps(ids).encode())

    def resumed(self, jobs: Sequence[Job]) -> list[Job]:
        """Return those that were submitted earlier and have not ended."""
        import submitit

        ids = _submitted(_folder(jobs[0])) if jobs else {}
        known = {
            job: submitit.SlurmJob(_folder(job), ids[job.name]) for job in jobs if job.name in ids
        }
        found = {job: one for job, one in known.items() if not one.done(force_check=True)}
        self._add(found)
        return list(found)

    def _add(self, jobs: dict[Job, Any]) -> None:
        self._jobs |= jobs
        self._began |= dict.fromkeys(jobs, time.monotonic())

    def ended(self) -> list[Job]:
        """Return those that SLURM, or what they left on the disk, says have ended."""
        force = time.monotonic() - self._asked > _LOOK
        self._asked = time.monotonic() if force else self._asked
        found = [job for job, one in self._jobs.items() if one.done(force_check=force)]
        for job in found:
            del self._jobs[job], self._began[job]
        return found

    def running(self) -> list[float]:
        """Return the seconds since each was submitted, or since it was asked after first."""
        return [time.monotonic() - began for began in self._began.values()]

    def leave(self) -> str:
        """Leave the jobs to the cluster."""
        if not self._jobs:
            return ""
        return f"{len(self._jobs)} jobs go on in SLURM; the same command looks after them again"


def _parameters(texts: Sequence[str]) -> dict[str, Any]:
    """Return parameters of sbatch that were written as KEY=VALUE.

    Raises:
        UsageError: not of that form, none of sbatch's, or one that a campaign sets itself.
    """
    import submitit

    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        key = key.strip().removeprefix("--").replace("-", "_")
        if not equals or not value:
            raise UsageError(f"--slurm {text}: write KEY=VALUE, as in partition=short")
        if key in _OURS:
            raise UsageError(f"--slurm {text}: {key} follows from --time, --cores and --jobs")
        found[key] = int(value) if value.isdecimal() else value
        with tempfile.TemporaryDirectory() as folder:
            try:
                submitit.SlurmExecutor(folder).update_parameters(**{key: found[key]})
            except ValueError as error:
                known = ", ".join(re.findall(r"- (\w+) \(default", str(error)))
                raise UsageError(f"--slurm {text}: not among the parameters: {known}") from error
    return found


def _folder(job: Job) -> Path:
    """Return the folder in which submitit keeps its files, beside those of the runs."""
    return job.folder.parent.parent / "slurm"


def _submitted(folder: Path) -> dict[str, str]:
    """Return the numbers that SLURM gave to jobs, by their names; none if there is no such file."""
    try:
        found = read_json(folder / "jobs.json")
    except PipelineError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(k): str(v) for k, v in found.items() if str(v).replace("_", "").isdecimal()}

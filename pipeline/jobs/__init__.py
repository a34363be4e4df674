"""Whole commands as jobs: on this machine, on a SLURM cluster, on a Ray cluster."""

from pipeline.config import PLACES
from pipeline.errors import UsageError, nearest
from pipeline.jobs.job import Job
from pipeline.jobs.places import Place, Processes

__all__ = ["Job", "Place", "Processes", "make_place"]


def make_place(
    kind: str,
    jobs: int,
    threads: int = 1,
    address: str = "",
    slurm: tuple[str, ...] = (),
    gpus: int = 0,
) -> Place:
    """Return a place to run jobs in.

    Args:
        kind: one of ``PLACES``.
        jobs: how many may run at once; 0 for as many as there is room for.
        threads: cores of each job.
        address: of a Ray cluster that is there, ``auto`` or HOST:PORT.
        slurm: parameters of sbatch, as "partition=short".
        gpus: of each job, on Ray.

    Raises:
        UsageError: an unknown place, or an option of another one.
        PipelineError: what it needs is not there.
    """
    if kind not in PLACES:
        raise UsageError(f"unknown place {kind!r}{nearest(kind, PLACES)}")
    if jobs < 0 or threads < 1:
        raise UsageError(f"{jobs} jobs of {threads} cores: name numbers from 1")
    if address and kind != "ray":
        raise UsageError(f"--address {address} is of a Ray cluster; add --on ray")
    if slurm and kind != "slurm":
        raise UsageError(f"--slurm {slurm[0]} is of a SLURM cluster; add --on slurm")
    if gpus < 0:
        raise UsageError(f"--gpus {gpus}: name a number from 0")
    if gpus and kind != "ray":
        raise UsageError(
            f"--gpus {gpus} is for --on ray; on SLURM say --slurm gpus_per_node={gpus}"
        )
    if kind == "slurm":
        from pipeline.jobs.slurm import Slurm

        return Slurm(jobs, threads, slurm)
    if kind == "ray":
        from pipeline.jobs.ray import RayTasks

        return RayTasks(jobs, threads, address, gpus)
    return Processes(jobs, threads)

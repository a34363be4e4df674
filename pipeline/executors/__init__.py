"""Where tasks run: in this process or in several; the results are the same."""

from pipeline.core.threads import cores
from pipeline.errors import UsageError
from pipeline.executors.base import ENDING, Executor, Over, never
from pipeline.executors.processes import Processes
from pipeline.executors.serial import Serial

__all__ = ["ENDING", "Executor", "Over", "Processes", "Serial", "cores", "make_executor", "never"]


def make_executor(
    workers: int, kind: str = "processes", address: str = "", beside: bool = False
) -> Executor:
    """Return an executor for that many processes; 0 takes one for each core.

    Args:
        kind: processes, or ray.
        address: of a Ray cluster that is there; empty for one of its own.
        beside: whether this process has other work meanwhile: then none of the tasks is its own.

    Raises:
        UsageError: an address, and no Ray to look for it.
        PipelineError: Ray is not installed.
    """
    if address and kind != "ray":
        raise UsageError(f"--address {address} is of a Ray cluster; add --executor ray")
    if kind == "ray":
        from pipeline.executors.ray import Ray

        return Ray(workers, address)
    workers = workers or cores()
    return Serial() if workers == 1 and not beside else Processes(workers)

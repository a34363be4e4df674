"""Tasks on a Ray cluster, of one machine or of many, with the same results as in one process."""

import contextlib
import hashlib
import io
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.core import stop_flag
from pipeline.core.threads import cores
from pipeline.errors import PipelineError, check_installed
from pipeline.executors.base import Over, R, T, handlers_kept, never
from pipeline.plugins import sources_of

_ANSWER = 10.0  # seconds that a cluster is given to answer
_LOOK = 0.05  # seconds between two questions whether to stop
_ROOM = 6  # tasks under way for each core: the next go on while results wait for a slow one
_CLEAN = 30.0  # seconds that tasks are given to end once broken into
_RETRIES = 5  # of a task whose worker or node was lost
_PORT = 6379


class Ray:
    """A Ray cluster: one of its own on this machine, or one that is there.

    A task of a lost worker or node begins again elsewhere, with its own random numbers.
    """

    def __init__(self, workers: int, address: str = "") -> None:
        """Take where to run; it is begun, or joined, with the first task.

        Args:
            workers: processes of a cluster of its own; 0 takes one for each core.
            address: of a cluster that is there, ``auto`` or HOST:PORT; empty for one of its own.

        Raises:
            PipelineError: Ray is not installed.
        """
        check_installed("ray", "--executor ray", "ray")
        self._workers, self._address = workers or cores(), address
        self._ray: Any = None
        self._task: Any = None
        self._spent = 0.0
        self._plugins: dict[str, Any] = {}

    def map(
        self, function: Callable[[T], R], tasks: Sequence[T], over: Over = never
    ) -> Iterator[R]:
        """Yield the results in the order of the tasks; leaving early cancels the rest.

        Once ``over()`` is true, tasks under way are lost: a cluster cannot call them back.

        Raises:
            PipelineError: no cluster answers, one has another release, or workers die again and
                again.
        """
        ray = self._started()
        room = max(_ROOM * self.cores(), 1)
        under_way: list[Any] = []  # in the order of the tasks
        waiting = iter(tasks)
        try:
            while True:
                under_way += [
                    self._task.remote(function, task, self._shipped(task))
                    for task in _first(waiting, room - len(under_way))
                ]
                if not under_way:
                    return
                while not ray.wait(under_way[:1], timeout=_LOOK)[0]:
                    if over():
                        return
                yield self._result(under_way.pop(0))
        finally:
            if self._ray is not None:  # else it was left meanwhile, and all its tasks with it
                for reference in under_way:
                    ray.cancel(reference, force=True)

    def cores(self) -> int:
        """Return how many cores the cluster has now.

        Raises:
            PipelineError: no cluster answers.
        """
        return int(self._started().cluster_resources().get("CPU", 1))

    def gpus(self) -> int:
        """Return how many GPUs the cluster has now.

        Raises:
            PipelineError: no cluster answers.
        """
        return int(self._started().cluster_resources().get("GPU", 0))

    def submit(self, function: Callable[[Any], Any], task: Any, cpus: int, gpus: int = 0) -> Any:
        """Hand one task over, and return what it is asked after by.

        Args:
            gpus: that no other task has meanwhile; the task sees these alone.

        Raises:
            PipelineError: no cluster answers.
        """
        how = {"num_cpus": cpus, "max_retries": _RETRIES} | ({"num_gpus": gpus} if gpus else {})
        return self._started().remote(**how)(function).remote(task)

    def ready(self, references: Sequence[Any]) -> list[Any]:
        """Return those of some tasks that have ended, or were lost again and again."""
        if not references:
            return []
        return self._started().wait(list(references), num_returns=len(references), timeout=0)[0]

    def cancel(self, references: Sequence[Any]) -> None:
        """Break into tasks, and wait a while until they have ended."""
        if not references:
            return
        for reference in references:
            self._started().cancel(reference, force=False)
        self._started().wait(list(references), num_returns=len(references), timeout=_CLEAN)

    def cpu(self) -> float:
        """Return the CPU seconds of all tasks that have ended; those under way are not counted."""
        return self._spent

    def close(self) -> None:
        """Leave the cluster, or end the one of its own."""
        if self._ray is not None:
            self._ray.shutdown()
            self._ray, self._task, self._plugins = None, None, {}

    def kill(self) -> None:
        """Do the same at once."""
        self.close()

    def _result(self, reference: Any) -> Any:
        """Return what a task has found, or raise what it has raised."""
        lost = self._ray.exceptions
        try:
            found, error, seconds = self._ray.get(reference)
        except (lost.WorkerCrashedError, lost.OutOfMemoryError, lost.ObjectLostError) as why:
            raise PipelineError(f"workers of the Ray cluster died again and again: {why}") from why
        except lost.RaySystemError as why:
            reason = " ".join(str(why).split())[-300:]
            raise PipelineError(f"the Ray cluster cannot carry a task out: {reason}") from why
        self._spent += seconds
        if error is not None:
            raise error
        return found

    def _started(self) -> Any:
        if self._ray is not None:
            return self._ray
        if self._address:
            _check_answers(self._address)
        import ray

        quiet = io.StringIO()
        with handlers_kept(), contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            try:
                ray.init(
                    address=self._address or "local",
                    num_cpus=None if self._address else self._workers,
                    include_dashboard=None if self._address else False,
                    log_to_driver=False,
                    configure_logging=False,
                )
            except (ConnectionError, TimeoutError, RuntimeError, ValueError) as error:
                where = self._address or "this machine"
                reason = " ".join(str(error).split())[:300]
                raise PipelineError(f"no Ray cluster on {where}: {reason}") from error
        self._ray = ray
        # Spread: by default Ray fills one node before it asks another, too late for short batches.
        how = {"num_cpus": 1, "max_retries": _RETRIES, "scheduling_strategy": "SPREAD"}
        self._task = ray.remote(**how)(_carry_out)
        self._check_releases()
        return ray

    def _check_releases(self) -> None:
        """Refuse a cluster with a node that has another release.

        Raises:
            PipelineError: names the node and what it has.
        """
        ray = self._ray
        strategies = ray.util.scheduling_strategies
        about = ray.remote(num_cpus=0, max_retries=_RETRIES)(_release)
        for node in (node for node in ray.nodes() if node["Alive"]):
            at = strategies.NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            try:
                found = ray.get(about.options(scheduling_strategy=at).remote(), timeout=6 * _ANSWER)
            except ray.exceptions.TaskUnschedulableError:
                continue  # lost since
            except Exception as error:
                reason = " ".join(str(error).split())[-300:]
                self.close()
                raise PipelineError(
                    f"the Ray node {node['NodeManagerAddress']} cannot load pipeline: {reason}"
                ) from error
            if found != _release():
                self.close()
                raise PipelineError(
                    f"the Ray node {node['NodeManagerAddress']} has pipeline {found[0]} of other "
                    f"sources than this one, {__version__}; install the same on all nodes"
                )

    def _shipped(self, task: Any) -> Any:
        """Return a reference to the files of a task's plugin, for a node that has none of them."""
        spec = getattr(task, "problem", "")
        if spec not in self._plugins:
            files = sources_of(spec)
            self._plugins[spec] = self._ray.put(files) if files else None
        return self._plugins[spec]


def _first(waiting: Iterator[T], count: int) -> list[T]:
    return [task for _, task in zip(range(count), waiting, strict=False)]


def _check_answers(address: str) -> None:
    """Look whether something answers at an address.

    Raises:
        PipelineError: nothing does, after ten seconds.
    """
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        with socket.create_connection((host or address, int(port or _PORT)), timeout=_ANSWER):
            return
    except ValueError:
        raise PipelineError(f"--address {address}: write it as HOST:PORT, or auto") from None
    except OSError as error:
        raise PipelineError(
            f"--address {address}: nothing answers there within {_ANSWER:.0f} s ({error}); start a "
            "cluster with `ray start --head`, or leave --address out"
        ) from error


# ------------------------------------------------------------------- what runs on the cluster


def _carry_out(
    function: Callable[[Any], Any], task: Any, files: Mapping[str, bytes] | None
) -> tuple[Any, BaseException | None, float]:
    """Return what a task finds, or what it raises, and its CPU seconds."""
    began = time.process_time()
    stop_flag.flag()[0] = 0
    try:
        found, error = function(_at_home(task, files)), None
    except PipelineError as raised:
        found, error = None, raised
    return found, error, time.process_time() - began


def _release() -> tuple[str, str]:
    """Return the version of this package here, and a hash of its sources."""
    return __version__, _digest()


@cache
def _digest() -> str:
    root = Path(sys.modules["pipeline"].__path__[0])
    seen = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        seen.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return seen.hexdigest()


def _at_home(task: Any, files: Mapping[str, bytes] | None) -> Any:
    """Return a task whose plugin is read from here: its own place, or what was sent."""
    if files is None or not is_dataclass(task) or "problem" not in {f.name for f in fields(task)}:
        return task
    path, _, name = task.problem.rpartition(":")  # type: ignore[attr-defined]
    if Path(path).is_file() and sources_of(task.problem) == dict(files):  # type: ignore[attr-defined]
        return task
    text = repr(sorted(files.items())).encode()
    folder = _written(hashlib.sha256(text).hexdigest(), tuple(files.items()))
    return replace(task, problem=f"{folder / Path(path).name}:{name}")  # type: ignore[type-var]


@cache
def _written(digest: str, files: tuple[tuple[str, bytes], ...]) -> Path:
    """Return a folder of this process's own that holds what was sent."""
    folder = Path(tempfile.mkdtemp(prefix=f"pipeline-plugin-{digest[:16]}-"))
    for relative, data in files:
        (folder / relative).parent.mkdir(parents=True, exist_ok=True)
        (folder / relative).write_bytes(data)
    return folder

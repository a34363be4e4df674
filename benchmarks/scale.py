"""How search scales: cores, nodes, a lost node, the main process, and a hundred thousand tasks.

    python benchmarks/scale.py --strong --results FILE      # the same work with more cores
    python benchmarks/scale.py --weak --results FILE        # work in proportion to the cores
    python benchmarks/scale.py --lost-node --results FILE   # a Ray node killed within a round
    python benchmarks/scale.py --costs --results FILE       # bytes and seconds that tasks cost
    python benchmarks/scale.py --paper --results FILE       # many cores, from those on paper
    python benchmarks/scale.py --simulate 100000 --executor ray --workers 32

FILE keeps each measurement in a line, so that a part goes on where it was stopped; the table is of
all that is there. Every configuration is measured once in each of `--rounds` rounds, one after the
other, and the table has the medians; the baseline is the first row. Ray's nodes are those of its
own test cluster, one core each, on this machine.
"""

import argparse
import contextlib
import hashlib
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scale_costs
import scale_simulation
from scale_results import Results, table

from pipeline.callbacks import Callbacks
from pipeline.config import config_from
from pipeline.core import streams
from pipeline.core.bitset import width
from pipeline.engine.engine import Engine
from pipeline.engine.tasks import Task, run_task
from pipeline.executors import Executor, Processes, Serial, make_executor
from pipeline.plugins import load_problem

#: What runs the work: its name, its kind, how many processes or nodes.
WHO = [
    ("serial", "serial", 1),
    ("processes, 1", "processes", 1),
    ("processes, 2", "processes", 2),
    ("Ray, 1 node", "ray", 1),
    ("Ray, 2 nodes", "ray", 2),
]
# Tasks for each core, and steps of each, where work grows with the cores.
_TASKS, _STEPS = 12, 600_000
# Every size is searched as isosceles is at this one.
_N = 32


@contextlib.contextmanager
def ray_nodes(count: int) -> Iterator[tuple[Any, list[Any]]]:
    """A Ray cluster of so many nodes with one core each, and the nodes beside the head."""
    from ray.cluster_utils import Cluster

    # Workers find the package and the functions beside this file.
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([os.getcwd(), *sys.path]))
    name = "RAY_worker_niceness"  # at its usual 15 they give way to whatever else runs here
    os.environ[name] = "0"
    head = {"num_cpus": 1, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(count - 1)]
        cluster.wait_for_nodes()
        yield cluster, nodes
    finally:
        cluster.shutdown()


@contextlib.contextmanager
def an_executor(kind: str, count: int) -> Iterator[tuple[Executor, Callable[[], None]]]:
    """Return an executor, and what takes the last of its nodes away."""
    if kind != "ray":
        made = Serial() if kind == "serial" else Processes(count)
        yield made, lambda: None
        made.close()
        return
    with ray_nodes(count) as (cluster, nodes):
        made = make_executor(0, "ray", cluster.address)
        yield made, lambda: cluster.remove_node(nodes[-1], allow_graceful=False)
        made.close()


class AtHalf(Callbacks):
    """Does something once, when half of the tasks of a stage have ended; off until told."""

    def __init__(self, action: Callable[[], None]) -> None:
        self.on, self._action, self._total = False, action, 0

    def on_stage(self, name: str, total: int, n: int | None = None) -> None:
        """Keep how many tasks there are."""
        self._total = total

    def on_progress(self, done: int, best: int | None = None, loss: float | None = None) -> None:
        """Do it at half of them."""
        if self.on and done == self._total // 2:
            self.on = False
            threading.Thread(target=self._action, daemon=True).start()


def explored(kind: str, count: int, batches: int, loses: bool = False) -> dict[str, Any]:
    """Explore isosceles for one round; return its seconds, CPU seconds and a hash of what is found.

    Args:
        loses: whether the last node is killed when half of the tasks are done.
    """
    data = {"problem": "isosceles", "n": _N, "generator": "none", "search": {"batches": batches}}
    config = config_from({**data, "compute": {"workers": count}}, "the benchmark")
    with an_executor(kind, count) as (executor, lose):
        half = AtHalf(lose)
        engine = Engine(load_problem("isosceles"), config, executor, None, half)
        engine.warm_up()
        half.on = loses
        nothing = engine.runner.none(_N)
        return measured(
            executor, lambda: engine.explorer.explore(_N, 1, nothing, [], {})[0].cells.tobytes()
        )


def in_proportion(kind: str, count: int) -> dict[str, Any]:
    """Run so many equal tasks for each core."""
    tasks = [
        Task(
            "isosceles",
            "",
            _N,
            "mirror",
            "tabu",
            np.zeros((32, width(_N * _N)), np.uint8),
            streams.state(0, 0, "seed", i),
            bound=_STEPS,
        )
        for i in range(_TASKS * count)
    ]
    with an_executor(kind, count) as (executor, _):
        list(executor.map(run_task, tasks[: 2 * count]))  # compiled and loaded now
        return measured(
            executor, lambda: b"".join(f.tobytes() for f in executor.map(run_task, tasks))
        )


def measured(executor: Executor, work: Callable[[], bytes]) -> dict[str, Any]:
    """Do some work once; return its seconds, CPU seconds, a hash of it, and the load before."""
    load = os.getloadavg()[0]
    before, began = executor.cpu() + time.process_time(), time.perf_counter()
    found = work()
    seconds = time.perf_counter() - began
    cpu = executor.cpu() + time.process_time() - before
    digest = hashlib.sha256(found).hexdigest()[:16]
    return {"seconds": seconds, "cpu": cpu, "found": digest, "load": load}


def scaling(part: str, results: Results, rounds: int, batches: int) -> None:
    """Measure the same work, or work in proportion, with each of WHO; print the table."""
    strong = part == "strong"
    for number in range(rounds):
        for name, kind, count in WHO:
            work = (lambda k=kind, c=count: explored(k, c, batches)) if strong else None
            results.once(part, name, number, work or (lambda k=kind, c=count: in_proportion(k, c)))
    rows, first = [], None
    for name, _, count in WHO:
        seconds = results.all(part, name, "seconds")
        base = first = first or seconds
        ratio = [b / s for b, s in zip(base, seconds, strict=True)]
        efficiency = statistics.median(ratio) / (count if strong else 1)
        cpu = statistics.median(results.all(part, name, "cpu"))
        load = statistics.median(results.all(part, name, "load"))
        middle = f"{statistics.median(seconds):.1f} | {min(seconds):.1f} - {max(seconds):.1f}"
        tasks = batches * 16 if strong else _TASKS * count
        rows.append(
            f"{name} | {tasks} | {middle} | {cpu:.1f} | {efficiency:.2f} | {load:.1f} | "
            f"{_same(results.all(part, name, 'found'))}"
        )
    table("run by | tasks | seconds | min - max | CPU seconds | efficiency | load | result", rows)


def lost_node(results: Results, rounds: int, batches: int) -> None:
    """Measure a round of two nodes, of one, and of two of which one is killed at half."""
    ways = [("1 node", 1, False), ("2 nodes", 2, False), ("2 nodes, 1 killed at half", 2, True)]
    for number in range(rounds):
        for name, count, loses in ways:
            results.once(
                "lost", name, number, lambda c=count, k=loses: explored("ray", c, batches, k)
            )
    seconds = {name: results.all("lost", name, "seconds") for name, _, _ in ways}
    one, two, lost = seconds.values()
    ideal = [(a + b) / 2 for a, b in zip(one, two, strict=True)]
    late = statistics.median(c - i for c, i in zip(lost, ideal, strict=True))
    rows = [
        f"{name} | {statistics.median(took):.1f} | {min(took):.1f} - {max(took):.1f} | "
        f"{_same(results.all('lost', name, 'found'))}"
        for name, took in seconds.items()
    ]
    rows.append(f"half with 2, half with 1 (computed) | {statistics.median(ideal):.1f} | |")
    rows.append(f"lost beside that | {late:.1f} | |")
    table("Ray | seconds | min - max | result", rows)


def _same(found: Sequence[str]) -> str:
    """Return the hash of what was found where all are the same."""
    return found[0][:8] if len(set(found)) == 1 else "DIFFERENT"


def main(words: Sequence[str] | None = None) -> None:
    """Do the parts that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for part in ("strong", "weak", "lost-node", "costs", "paper"):
        parser.add_argument(f"--{part}", action="store_true")
    parser.add_argument("--rounds", type=int, default=3, help="of measurements")
    parser.add_argument("--batches", type=int, default=3, help="of 16 tasks, for a round of search")
    parser.add_argument("--results", type=Path, help="keep measurements here")
    parser.add_argument("--simulate", type=int, metavar="TASKS", help="tasks that sleep")
    parser.add_argument("--executor", choices=("processes", "ray"), default="processes")
    parser.add_argument("--workers", type=int, default=2, help="of the simulation")
    parser.add_argument("--nap", type=float, default=0.02, help="seconds that a task sleeps")
    parser.add_argument("--batch", type=int, default=0, help="tasks in one map; 0 for all in one")
    asked = parser.parse_args(words)
    results = Results(asked.results)
    if asked.strong:
        scaling("strong", results, asked.rounds, asked.batches)
    if asked.weak:
        scaling("weak", results, asked.rounds, asked.batches)
    if asked.lost_node:
        lost_node(results, asked.rounds, asked.batches)
    if asked.costs or asked.paper:
        scale_costs.costs(results)
    if asked.paper:
        scale_costs.paper(results)
    if asked.simulate:
        how = asked.executor, asked.workers, asked.nap, asked.batch
        scale_simulation.simulate(asked.simulate, *how)


if __name__ == "__main__":
    main()

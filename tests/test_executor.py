"""Executors: one after the other or in processes, the same results; leaving, dying, stopping."""

import multiprocessing
import os
import pickle
import select
import signal
import subprocess
import sys
import time
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.bitset import width
from pipeline.core.streams import integer, state
from pipeline.engine.tasks import Task, run_task
from pipeline.errors import PipelineError
from pipeline.executors import Processes, Serial, cores, make_executor
from pipeline.plugins import load_problem
from pipeline.stopping import Clock


def square(x: int) -> int:
    return x * x


def fail_at_three(x: int) -> int:
    if x == 3:
        raise PipelineError("three is too many")
    return x


def die(_: int) -> None:
    os._exit(1)


def die_once(task: tuple[Path, int]) -> int:
    """Die at the third task, the first time."""
    folder, i = task
    if i == 2 and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return i


def die_by(number: int) -> None:
    os.kill(os.getpid(), number)


def burn(seconds: float) -> float:
    """Use CPU time, and return the process's."""
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
    return until


def note(task: tuple[Path, int]) -> int:
    """Leave a file; the task of number 1 first waits until its fifo is opened for writing."""
    folder, i = task
    if i == 1:
        (folder / "fifo").read_text()
    (folder / f"ran-{i}").touch()
    return i


@pytest.fixture
def two():
    """Two worker processes."""
    executor = Processes(2)
    yield executor
    executor.close()


def shards() -> list[Task]:
    problem = load_problem("isosceles")
    return [
        Task(
            "isosceles",
            problem.convention,
            n,
            "mirror" if method == "anneal" else "trivial",
            method,
            np.zeros((5, width(problem.ground(n).m)), np.uint8),
            state(1, 0, "seed", i),
            bound=2000,
        )
        for i, (n, method) in enumerate(
            (n, method) for n in (4, 6) for method in ("greedy", "complete", "anneal")
        )
    ]


def test_processes_give_what_one_process_gives(two):
    expected = list(Serial().map(run_task, shards()))
    found = list(two.map(run_task, shards()))
    assert len(found) == len(expected) == 6
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_task_from_nothing_is_sent_without_its_zeros():
    zeros = np.zeros((2048, width(4096)), np.uint8)
    task = Task("isosceles", "", 64, "mirror", "enumerate", zeros, state(1, 0, "seed", 0), goal=7)
    sent = pickle.dumps(task)
    assert len(sent) < 2000
    came = pickle.loads(sent)
    assert (came.cells.shape, came.cells.dtype) == (zeros.shape, zeros.dtype)
    assert not came.cells.any()
    assert (came.method, came.goal, came.rng[0]) == ("enumerate", 7, task.rng[0])
    some = zeros.copy()
    some[5, 7] = 3
    assert (pickle.loads(pickle.dumps(replace(task, cells=some))).cells == some).all()
    assert pickle.loads(pickle.dumps(replace(task, cells=zeros[:0]))).cells.shape == (0, 512)


def test_results_that_were_taken_are_let_go(two):
    taken = []
    for i, found in enumerate(two.map(np.zeros, [3] * 300)):
        taken.append(weakref.ref(found))
        if i == 299:
            assert sum(one() is not None for one in taken) == 1


@pytest.mark.parametrize("kind", ["serial", "processes"])
def test_results_come_in_the_order_of_the_tasks(kind, two):
    executor = Serial() if kind == "serial" else two
    assert list(executor.map(square, range(20))) == [i * i for i in range(20)]
    assert list(executor.map(square, [])) == []


def test_an_error_of_ours_reaches_the_caller_and_the_pool_goes_on(two):
    found = []
    with pytest.raises(PipelineError, match="three is too many"):
        found.extend(two.map(fail_at_three, range(6)))
    assert list(two.map(square, [7])) == [49]


def test_leaving_early_cancels_what_has_not_begun_and_closing_waits_for_nobody(tmp_path):
    os.mkfifo(tmp_path / "fifo")  # the task that reads it takes no notice of being told to stop
    executor = Processes(1)
    results = executor.map(note, [(tmp_path, i) for i in range(12)])
    assert next(iter(results)) == 0
    results.close()  # type: ignore[attr-defined]
    executor.close()
    assert not multiprocessing.active_children()
    assert [p.name for p in tmp_path.glob("ran-*")] == ["ran-0"]


def test_serial_does_nothing_that_is_not_asked_for(tmp_path):
    results = Serial().map(note, [(tmp_path, i) for i in (0, 2, 3)])
    assert next(iter(results)) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["ran-0"]


def test_workers_that_die_again_and_again_give_one_line_and_the_next_map_has_new_ones(two):
    with pytest.raises(PipelineError, match=r"died 3 times: .* --workers 1 to see why") as caught:
        list(two.map(die, [1]))
    assert "\n" not in str(caught.value)
    assert list(two.map(square, [3])) == [9]


def test_what_a_killed_worker_had_in_hand_is_begun_again(two, tmp_path):
    assert list(two.map(die_once, [(tmp_path, i) for i in range(6)])) == list(range(6))
    assert (tmp_path / "died").exists()


def test_a_worker_killed_between_two_maps_is_replaced(two):
    assert list(two.map(square, [2])) == [4]
    for worker in multiprocessing.active_children():
        worker.kill()
        worker.join()
    assert list(two.map(square, [3, 4])) == [9, 16]


def test_the_cause_of_a_death_is_named(two):
    with pytest.raises(PipelineError, match=r"segmentation fault.*pipeline check"):
        list(two.map(die_by, [signal.SIGSEGV]))
    with pytest.raises(PipelineError, match=r"killed \(SIGKILL.*fewer --workers"):
        list(two.map(die_by, [signal.SIGKILL]))


@pytest.mark.parametrize("kind", ["serial", "processes"])
def test_once_the_work_is_over_a_search_comes_back_with_valid_sets(kind):
    executor = Serial() if kind == "serial" else Processes(1)
    problem = load_problem("isosceles")
    zeros = np.zeros((5, width(144)), np.uint8)
    endless = [
        Task("isosceles", problem.convention, 12, "trivial", method, zeros, state(1, 0, "seed", i))
        for i, method in enumerate(("tabu", "anneal", "enumerate"))
    ]
    short = [replace(shard, bound=1) for shard in endless]
    assert len(list(executor.map(run_task, short))) == 3  # what they need is compiled now
    asked: list[int] = []

    def over() -> bool:
        asked.append(1)
        return len(asked) > 20

    tasks = [replace(shard, bound=2**40, goal=1) for shard in endless]
    found = list(executor.map(run_task, tasks, over))
    executor.close()
    assert 1 <= len(found) <= 3
    for cells in found:
        assert problem.validate(cells, 12).all()


def test_cpu_time_of_workers_counts_to_the_end_of_a_task_and_never_falls(two):
    assert two.cpu() == 0
    ends = list(two.map(burn, [0.05]))
    before = two.cpu()
    assert before >= max(ends)
    two.kill()
    assert two.cpu() >= before
    list(two.map(burn, [0.05]))
    assert two.cpu() >= before + 0.05
    two.close()
    assert two.cpu() >= before + 0.05


def test_a_limit_of_cpu_time_ends_a_task_under_way():
    executor = Processes(1)
    problem = load_problem("isosceles")
    zeros = np.zeros((1, width(144)), np.uint8)
    endless = Task(
        "isosceles", problem.convention, 12, "trivial", "tabu", zeros, state(1, 0, "seed", 0)
    )
    list(executor.map(run_task, [replace(endless, bound=1)]))
    clock, asked = Clock(cpu=0.3), 0
    clock.watch(executor.cpu)
    assert not clock.over()

    def over() -> bool:
        nonlocal asked
        asked += 1
        return clock.over() or asked > 2000

    found = list(executor.map(run_task, [replace(endless, bound=2**40)], over))
    executor.close()
    assert len(found) == 1
    assert problem.validate(found[0], 12).all()
    assert clock.cpu() > 0.3
    assert asked <= 2000


@pytest.mark.parametrize("kind", ["serial", "processes"])
def test_a_task_that_takes_no_notice_is_left_behind(kind, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    executor = Serial() if kind == "serial" else Processes(1)
    assert list(executor.map(note, [(tmp_path, 1), (tmp_path, 2)], lambda: True)) in ([], [1])
    if kind == "serial":
        (tmp_path / "fifo").write_text("go on")
    executor.close()
    assert list(executor.map(square, [5])) == [25]
    executor.close()


def test_killing_does_not_wait_for_the_task_under_way(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    executor = Processes(1)
    results = executor.map(note, [(tmp_path, 0), (tmp_path, 1)])
    assert next(iter(results)) == 0
    executor.kill()
    assert not multiprocessing.active_children()
    assert not (tmp_path / "ran-1").exists()


def test_closing_twice_or_before_any_work_is_harmless():
    executor = Processes(1)
    executor.close()
    executor.kill()
    Serial().close()
    Serial().kill()


_ORPHANS = """
import os, sys
from pipeline.executors import Processes
if __name__ == "__main__":
    executor = Processes(1)
    for _ in executor.map(abs, [1]):
        pass
    print(*executor._pool._processes, flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="watches a process as Linux does")
def test_workers_of_a_killed_parent_end_by_themselves(tmp_path):
    script = tmp_path / "orphans.py"
    script.write_text(_ORPHANS)
    parent = subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    worker = os.pidfd_open(int(parent.stdout.readline()))
    try:
        assert not select.select([worker], [], [], 0)[0]
        parent.send_signal(signal.SIGKILL)
        parent.communicate()
        assert select.select([worker], [], [], 60)[0]
    finally:
        os.close(worker)


def test_the_number_of_workers_decides_the_executor():
    assert isinstance(make_executor(1), Serial)
    assert isinstance(make_executor(3), Processes)
    assert isinstance(make_executor(0), Serial if cores() == 1 else Processes)
    with pytest.raises(ValueError, match="at least 1"):
        Processes(0)


def test_streams_depend_on_their_name_alone():
    names = [(r, stage, i) for r in (0, 1) for stage in ("seed", "train", "search") for i in (0, 1)]
    first = [int(state(5, *name)[0]) for name in names]
    assert first == [int(state(5, *name)[0]) for name in reversed(names)][::-1]
    assert len(set(first)) == len(names)
    assert not set(first) & {int(state(6, *name)[0]) for name in names}
    assert all(0 <= integer(5, *name) < 2**63 for name in names)

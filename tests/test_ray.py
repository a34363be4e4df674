"""Search on a Ray cluster: the results of one process, whatever becomes of its nodes."""

import importlib.util
import os
import shutil
import socket
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

from pipeline.config import config_from
from pipeline.core import streams
from pipeline.core.bitset import width
from pipeline.engine.tasks import Task, run_task
from pipeline.errors import PipelineError
from pipeline.executors import Serial, make_executor
from pipeline.executors.ray import Ray
from pipeline.jobs.ray import RayTasks

pytest.importorskip("ray", reason="needs Ray: pip install -e '.[test]'")
pytestmark = pytest.mark.end_to_end


def tasks(count, problem="isosceles", n=8):
    cells = np.zeros((4, width(n * n)), np.uint8)
    return [
        Task(problem, "", n, "trivial", "anneal", cells, streams.state(0, 0, "seed", i), bound=4000)
        for i in range(count)
    ]


def slow(number):
    time.sleep(0.4)
    return number * number


def devices(seconds):
    time.sleep(seconds)
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def failing(number):
    raise PipelineError(f"task {number} cannot be done")


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one core each on this machine, and a way to lose the second."""
    from ray.cluster_utils import Cluster

    # Workers, those of nodes added later too, find the functions of this file and the package.
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    yield made
    made.shutdown()
    del os.environ["PYTHONPATH"]
    if before is not None:
        os.environ["PYTHONPATH"] = before


@pytest.fixture
def on_cluster(cluster):
    executor = Ray(0, cluster.address)
    yield executor
    executor.close()


def test_tasks_give_what_they_give_in_one_process(on_cluster):
    expected = list(Serial().map(run_task, tasks(8)))
    found = list(on_cluster.map(run_task, tasks(8)))
    assert len(found) == 8
    assert all((a == b).all() for a, b in zip(found, expected, strict=True))
    assert on_cluster.cpu() > 0


def test_an_error_of_a_task_is_the_users(on_cluster):
    with pytest.raises(PipelineError, match=r"^task 3 cannot be done$"):
        list(on_cluster.map(failing, [3]))


def test_it_stops_when_it_is_over(on_cluster):
    list(on_cluster.map(slow, range(2)))
    began = time.monotonic()
    found = list(on_cluster.map(slow, range(200), lambda: time.monotonic() - began > 1.5))
    assert found == [k * k for k in range(len(found))]
    assert len(found) < 20
    assert time.monotonic() - began < 10


def test_leaving_the_cluster_in_the_midst_of_tasks_is_quiet(cluster):
    executor = Ray(0, cluster.address)
    found: Any = executor.map(slow, range(6))
    assert next(found) == 0
    executor.kill()
    found.close()  # a generator that is closed later than its cluster


def test_a_plugin_that_a_node_lacks_is_sent_along(on_cluster, tmp_path, monkeypatch):
    from pipeline.executors import ray as on_ray

    source = shutil.copy("tests/plugins/four_cycle_free.py", tmp_path / "mine.py")
    spec = f"{source}:FourCycleFree"
    expected = list(Serial().map(run_task, tasks(2, spec, n=6)))
    files = on_ray.sources_of(spec)
    (tmp_path / "mine.py").rename(tmp_path / "gone.py")
    there = on_ray._at_home(tasks(1, spec, n=6)[0], files)
    assert there.problem != spec
    assert (run_task(there) == expected[0]).all()
    (tmp_path / "gone.py").rename(tmp_path / "mine.py")
    assert on_ray._at_home(tasks(1, spec, n=6)[0], files).problem == spec
    found = list(on_cluster.map(run_task, tasks(2, spec, n=6)))
    assert all((a == b).all() for a, b in zip(found, expected, strict=True))


def test_the_loss_of_a_node_changes_nothing(cluster, on_cluster):
    node = cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    found = on_cluster.map(slow, range(20))
    first = next(found)
    threading.Timer(0.2, lambda: cluster.remove_node(node, allow_graceful=False)).start()
    assert [first, *found] == [k * k for k in range(20)]


def test_jobs_with_gpus_have_one_each_and_a_cluster_without_says_so(cluster):
    place = RayTasks(0, 1, cluster.address, gpus=1)
    with pytest.raises(PipelineError, match=r"--gpus 1: the Ray cluster has 0 GPUs"):
        print(place.room)
    node = cluster.add_node(num_cpus=4, num_gpus=2)  # Ray counts what it is told
    cluster.wait_for_nodes()
    assert place.room == 2
    seen = [place._ray.submit(devices, 0.5, 1, 1) for _ in range(2)]
    assert sorted(place._ray._ray.get(seen)) == ["0", "1"]
    place.leave()
    cluster.remove_node(node)


def test_a_run_is_the_same_as_in_processes_of_this_machine(cluster, cli, tmp_path, contents_of):
    words = [
        "search",
        "isosceles",
        "--n",
        6,
        "--rounds",
        1,
        "--set",
        "seeding.batches=1",
        "--set",
        "seeding.moves=2000",
    ]
    words += ["--set", "search.batches=1", "--set", "search.tabu_steps=2000"]
    words += ["--set", "search.enumerate_nodes=2000", "--workers", 1]
    there = ["--executor", "ray", "--address", cluster.address]
    for name, more in (("here", []), ("there", there)):
        done = cli(*words, *more, "--runs", tmp_path / name)
        assert done.code == 0, done.err
    ours, theirs = (contents_of(tmp_path / name) for name in ("here", "there"))
    assert ours
    assert ours == theirs


@pytest.fixture
def contents_of():
    """The constructions of a folder's only run, by file."""
    import pyarrow.parquet as parquet

    def read(folder):
        (run,) = (path for path in folder.iterdir() if path.is_dir())
        files = sorted(run.glob("rounds/*/n*.parquet"))
        return {str(file.relative_to(run)): parquet.read_table(file).to_pydict() for file in files}

    return read


# ------------------------------------------------------------------------------- what is refused


def test_a_node_with_other_sources_is_refused(cluster, monkeypatch):
    from pipeline.executors import ray as on_ray

    monkeypatch.setattr(on_ray, "_digest", lambda: "other")
    executor = Ray(0, cluster.address)
    with pytest.raises(PipelineError, match="install the same on all nodes"):
        list(executor.map(slow, [1]))


def test_an_address_where_nothing_answers_is_one_line(cli, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["search", "isosceles", "--n", 5, "--rounds", 0, "--executor", "ray"]
    done = cli(*words, "--address", f"127.0.0.1:{port}", "--runs", tmp_path)
    assert done.code == 1
    assert "nothing answers there within 10 s" in done.error
    done = cli(*words, "--address", "127.0.0.1:x", "--runs", tmp_path)
    assert "write it as HOST:PORT" in done.error


def test_an_address_without_the_executor_is_refused_and_makes_nothing(cli, tmp_path):
    done = cli("search", "isosceles", "--n", 5, "--address", "auto", "--runs", tmp_path)
    assert done.code == 2
    assert "add --executor ray" in done.error
    assert not list(tmp_path.iterdir())


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PipelineError, match=r"pip install 'extremal-pipeline\[ray\]'"):
        make_executor(1, "ray")


def test_the_executor_is_no_part_of_what_decides_results():
    base = {"problem": "isosceles", "n": 6}
    plain = config_from(base, "a test")
    other = config_from({**base, "compute": {"executor": "ray", "address": "auto"}}, "a test")
    assert plain.identity == other.identity

"""Kills and faults of the disk at numbered moments: a resumed run ends with the same bytes.

ATTACK_KILLS sets how many moments the long part tries (200).
"""

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY, contents, only_run
from pipeline.session import play

from pipeline.executors import Serial
from pipeline.problem import load_problem
from pipeline.storage.run import Run

DRIVER = Path(__file__).parents[1] / "kill_driver.py"
KILLS = int(os.environ.get("ATTACK_KILLS", "200"))
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def resume(folder: Path) -> None:
    run = Run(folder)
    with run.lock():
        play(run, load_problem(run.config.problem), Serial(), lambda *_, **__: None)


class Disk:
    """Plays of one run, cut short at numbered moments."""

    def __init__(self, played: Path, folder: Path) -> None:
        self.played, self.folder = played, folder
        self.fresh = folder / "fresh"
        shutil.copytree(played, self.fresh, ignore=shutil.ignore_patterns("0*", "best"))

    def drive(self, fault: str, *moments: int) -> str:
        environment = {"PYTHONPATH": os.pathsep.join(sys.path), "FAULT": fault}
        command = [sys.executable, DRIVER, self.fresh, self.folder, *map(str, moments)]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def moments(self, fault: str) -> int:
        total = int(self.drive(fault, 0))
        shutil.rmtree(self.folder / "killed-0")
        return total

    def survives(self, fault: str, moments: list[int]) -> None:
        self.drive(fault, *moments)
        expected = contents(self.played)
        for moment in moments:
            folder = self.folder / f"killed-{moment}"
            resume(folder)
            assert contents(folder) == expected, (fault, moment)
            assert not list(folder.rglob(".writing-*")), (fault, moment)
            shutil.rmtree(folder)


@pytest.fixture
def disk(played, tmp_path):
    return Disk(played, tmp_path / "disk")


def test_some_writes_that_fail_leave_a_run_that_resumes_to_the_same_bytes(disk, record_property):
    chosen = [3, 17]
    record_property("tried", len(chosen))
    disk.survives("ENOSPC", chosen)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["ENOSPC", "EIO"])
def test_any_write_sync_and_rename_that_fails_leaves_a_run_that_resumes(
    disk, fault, record_property
):
    total = disk.moments(fault)
    chosen = sorted(random.Random(7).sample(range(1, total + 1), min(KILLS, total)))
    record_property("tried", len(chosen))
    disk.survives(fault, chosen)


@pytest.mark.slow
def test_a_run_killed_at_any_moment_resumes_to_the_same_bytes(disk, record_property):
    total = disk.moments("")
    chosen = sorted(random.Random(11).sample(range(1, total + 1), min(KILLS, total)))
    record_property("tried", len(chosen))
    disk.survives("", chosen)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_a_run_whose_workers_are_killed_ends_or_resumes_with_the_same_bytes(
    played, tmp_path, record_property
):
    times = max(1, KILLS // 20)
    record_property("tried", times)
    options = [*TINY, "--workers", "2"]
    for k in range(times):
        root = tmp_path / f"workers-{k}"
        words = [sys.executable, "-m", "pipeline", "run", "isosceles", "--n", "6", *options]
        with subprocess.Popen(
            [*words, "--runs", str(root)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as running:
            kill_one(running, random.Random(k))
            _, said = running.communicate()
        assert "Traceback" not in said, said
        assert running.returncode in (0, 1, 130), said
        resume(only_run(root))
        assert contents(only_run(root)) == contents(played)


def kill_one(running: subprocess.Popen, rng: random.Random) -> None:
    """Kill one worker of a process once it has some, after a number of looks at /proc."""
    looks, seen = rng.randrange(1, 2000), 0
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    while running.poll() is None:
        try:
            workers = [int(pid) for pid in children.read_text().split() if _is_worker(pid)]
        except OSError:
            return
        seen += bool(workers)
        if seen > looks:
            os.kill(rng.choice(workers), signal.SIGKILL)
            return


def _is_worker(pid: str) -> bool:
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False

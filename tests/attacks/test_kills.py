"""Kills, signals and faults of the disk at any moment: a resumed run ends with the same bytes.

ATTACK_KILLS sets how many moments the long part tries for each kind (200), ATTACK_SEED repeats
the moments of a run that failed.
"""

import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY, contents, only_run

DRIVER = Path(__file__).with_name("fault_driver.py")
KILLS = int(os.environ.get("ATTACK_KILLS", "200"))
FAILURES = ("ENOSPC", "EIO", "EACCES")
ENDING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
DEATHS = ("kill", "after", "torn", "exit")
pytestmark = pytest.mark.skipif(
    not hasattr(signal, "sigtimedwait"), reason="needs fork and sigtimedwait"
)
Trial = tuple[str, float]


class Disk:
    """A run taken up again and again, from its beginning or after round 1, cut short each time."""

    def __init__(self, played: Path, folder: Path) -> None:
        self.expected, self.folder, self.seconds = contents(played), folder, 0.0
        self.starts = {"no round": folder / "fresh", "two rounds": folder / "begun"}
        gone = shutil.ignore_patterns("0*", "best")
        shutil.copytree(played, self.starts["no round"], ignore=gone)
        shutil.copytree(played, self.starts["two rounds"])
        shutil.rmtree(self.starts["two rounds"] / "rounds" / "0002")

    def trials(self, start: str, trials: list[Trial]) -> Iterator[dict[str, Any]]:
        """Yield what became of each, after checking that the run ended with the same bytes."""
        root = self.folder / "trials"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        command = [sys.executable, DRIVER, self.starts[start], root]
        one_thread = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "NUMBA")}
        path = {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(root)}
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | path | one_thread,
        ) as driver:
            assert driver.stdin is not None
            assert driver.stdout is not None
            with driver.stdin as trials_in:
                json.dump(trials, trials_in)
            for line in driver.stdout:
                told = json.loads(line)
                folder = Path(told["folder"])
                assert told["again"] == 0, told
                assert contents(folder) == self.expected, told
                assert not list(folder.rglob(".writing-*")), told
                shutil.rmtree(folder)
                yield told
        assert driver.returncode == 0

    def calls(self, start: str) -> int:
        """Return how many moments there are."""
        (told,) = self.trials(start, [("count", 0)])
        self.seconds = told["seconds"]
        assert told["code"] == 0
        assert {"open", "os.open", "write", "os.fsync", "os.replace", "os.rename"} <= set(
            told["calls"]
        )
        return len(told["calls"])


def check(told: dict[str, Any]) -> None:
    """Check that a session ended as its fault should: killed, or in a line that says why."""
    fault, code, said = told["fault"], told["code"], told["said"]
    assert "Traceback" not in said, told
    assert "internal error" not in said, told
    last = (said.strip().splitlines() or [""])[-1]
    if fault in ("kill", "after", "torn", "wall"):
        assert code == -signal.SIGKILL, told
    elif fault == "exit":
        assert code == 1, told
    elif fault in ENDING and code:
        assert code == 130, told
        assert "pipeline resume" in said or last == "pipeline: stopped", told
    elif code:
        assert code in (1, 4), told
        assert "pipeline: " in said, told


@pytest.fixture
def disk(played, tmp_path):
    return Disk(played, tmp_path / "disk")


@pytest.mark.end_to_end
def test_some_kills_and_faults_leave_a_run_that_resumes_to_the_same_bytes(disk, record_property):
    # In the commit of round 0, right after its rename, in training, as best/ is written.
    trials = [("kill", 9), ("after", 60), ("torn", 90), ("exit", 130), ("ENOSPC", 55)]
    trials += [("EIO", 20), ("EACCES", 75), ("SIGTERM", 100), ("SIGINT", 45)]
    record_property("tried", len(trials))
    told = list(disk.trials("no round", trials))
    assert len(told) == len(trials)
    for one in told:
        check(one)


@pytest.mark.slow
@pytest.mark.parametrize("start", ["no round", "two rounds"])
@pytest.mark.parametrize("faults", [DEATHS, FAILURES, ENDING], ids=["kills", "failures", "signals"])
def test_any_call_may_be_the_last_or_fail(disk, start, faults, fresh_seed, record_property):
    every = [(fault, k) for k in range(1, disk.calls(start) + 1) for fault in faults]
    chosen = random.Random(fresh_seed).sample(every, min(KILLS, len(every)))
    record_property("tried", len(chosen))
    ends = []
    for told in disk.trials(start, chosen):
        check(told)
        ends.append(told["code"])
    assert len(ends) == len(chosen)
    record_property("exit codes", str({code: ends.count(code) for code in sorted(set(ends))}))


@pytest.mark.slow
def test_a_run_killed_at_any_time_resumes_to_the_same_bytes(disk, fresh_seed, record_property):
    disk.calls("no round")
    rng, killed, tried = random.Random(fresh_seed), 0, 0
    while killed < KILLS:
        times = [("wall", rng.uniform(0, disk.seconds)) for _ in range(KILLS - killed)]
        for told in disk.trials("no round", times):
            tried += 1
            if told["code"] != 0:  # else it had ended before
                check(told)
                killed += 1
        assert tried < 10 * KILLS + 100, "the run ends before its kills"
    record_property("runs", tried)
    record_property("tried", killed)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfd")
def test_a_run_whose_workers_are_killed_ends_or_resumes_with_the_same_bytes(
    played, tmp_path, fresh_seed, record_property
):
    rng, killed, tried, wanted = random.Random(fresh_seed), 0, 0, max(1, KILLS // 10)
    words = [sys.executable, "-m", "pipeline", "run", "isosceles", "--n", "6", *TINY]
    while killed < wanted:
        root = tmp_path / f"workers-{tried}"
        tried += 1
        with subprocess.Popen(
            [*words, "--workers", "2", "--runs", str(root)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as running:
            lines: list[str] = []
            dead = kill_one(running, rng, lines)
            _, rest = running.communicate()
        said = "".join(lines) + rest
        assert "Traceback" not in said, said
        assert running.returncode in (0, 1, 130), said
        killed += dead
        if running.returncode:
            again = [*words[:3], "resume", str(only_run(root)), "--workers", "1"]
            subprocess.run(again, check=True, capture_output=True)
        assert contents(only_run(root)) == contents(played), said
        shutil.rmtree(root)
        assert tried < 5 * wanted + 20, "no worker was alive when it was to be killed"
    record_property("runs", tried)
    record_property("tried", killed)


def kill_one(running: subprocess.Popen[str], rng: random.Random, lines: list[str]) -> bool:
    """Kill one worker of a command after a number of its lines; tell whether one was killed."""
    assert running.stderr is not None
    wanted = rng.randrange(2, 16)
    for line in running.stderr:
        lines.append(line)
        if len(lines) >= wanted and (workers := list(workers_of(running.pid))):
            return killed(rng.choice(workers))
    return False


def workers_of(pid: int) -> Iterator[int]:
    """Yield the processes that a command has started to search in."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            try:
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    yield int(child)
            except OSError:
                continue


def killed(pid: int) -> bool:
    """Kill a process; tell whether it was alive before, and is dead now."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if select.select([handle], [], [], 0)[0]:  # it has ended
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        return bool(select.select([handle], [], [], 60)[0])
    finally:
        os.close(handle)

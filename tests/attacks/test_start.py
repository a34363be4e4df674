"""Signals while a command starts, before its first task: one line, exit 130, nothing left behind.

ATTACK_SIGNALS sets how many moments of a start the long part tries (60).
"""

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SIGNALS = int(os.environ.get("ATTACK_SIGNALS", "60"))
ENDING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals as POSIX has them")
#: Sends a signal at an audit event: the first of a name, or the one of a number. Counted are those
#: after the command line has begun to load; before that there is only Python.
WATCH = """
import os, signal, sys
begun, passed = False, 0
def watch(event, arguments):
    global begun, passed
    what = arguments[0] if event == "import" else event
    begun = begun or what == "pipeline.report.encoding"
    if not begun or event not in ("import", "open", "os.mkdir", "os.rename"):
        return
    if event in ("os.mkdir", "os.rename") and "isosceles-n9" not in str(arguments):
        return
    passed += 1
    if os.environ.get("AT") in (what, str(passed)):
        os.environ["AT"] = ""
        os.kill(os.getpid(), getattr(signal, os.environ["SIGNAL"]))
    if event == "os.rename":  # the run is made, and the first task is near
        os.environ["AT"] = ""
        if os.environ.get("COUNT"):
            os.write(1, f"events {passed}\\n".encode())
            os._exit(0)
if os.environ.get("AT") or os.environ.get("COUNT"):
    sys.addaudithook(watch)
"""
MOMENTS = {  # of the imports and of what follows them, in the order in which they come
    "pipeline.cli.commands": "SIGTERM",
    "click": "SIGHUP",
    "numba": "SIGUSR1",
    "torch": "SIGINT",
    "os.mkdir": "SIGTERM",
    "os.rename": "SIGHUP",
}


@pytest.fixture
def start(tmp_path):
    """Start a command with some variables set; return its exit code, stdout and stderr."""
    (tmp_path / "sitecustomize.py").write_text(WATCH)
    path = os.pathsep.join([str(tmp_path), *(str(Path(p).absolute()) for p in sys.path if p)])
    search = ["search", "isosceles", "--n", "9", "--time", "9h", "--workers", "2"]
    run = ["run", "isosceles", "--n", "9", "--workers", "2"]

    def call(**variables: str) -> tuple[int, str, str]:
        words = search if variables.get("AT") in MOMENTS and variables["AT"] != "torch" else run
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", *words, "--runs", str(tmp_path / "runs")],
            capture_output=True,  # which ends when the last worker has closed them
            text=True,
            env=os.environ | {"PYTHONPATH": path} | variables,
            start_new_session=True,
            timeout=240,
        )
        return done.returncode, done.stdout, done.stderr

    return call


def ends_in_one_line(start, runs: Path, at: str, name: str) -> None:
    code, _, said = start(AT=at, SIGNAL=name)
    assert code == 130, (at, name, said)
    assert "Traceback" not in said, (at, name, said)
    told = [line for line in said.splitlines() if line.startswith(("stopped;", "pipeline: "))]
    assert len(told) == 1, (at, name, said)
    assert said.rstrip().endswith(told[0]), (at, name, said)
    left = [path.name for path in runs.glob("*")]
    assert not [n for n in left if n.startswith(".")], (at, name, left)
    # A run that was made is whole, and the line names it.
    for name in left:
        assert f"pipeline resume {name}" in told[0] or told[0] == "pipeline: stopped", said
        assert (runs / name / "run.json").is_file()
    assert not list(runs.rglob(".writing-*"))


@pytest.mark.parametrize(
    ("at", "name"),
    [
        pytest.param(at, name, marks=[] if name == quick else pytest.mark.slow)
        for at, quick in MOMENTS.items()
        for name in ENDING
    ],
)
def test_a_signal_as_a_command_starts_is_one_line(start, tmp_path, at, name):
    ends_in_one_line(start, tmp_path / "runs", at, name)


@pytest.mark.slow
def test_a_signal_at_any_moment_of_a_start_is_one_line(
    start, tmp_path, fresh_seed, record_property
):
    _, said, _ = start(COUNT="yes")
    total = int(said.split()[-1])
    shutil.rmtree(tmp_path / "runs")  # that count ended as by a kill
    rng = random.Random(fresh_seed)
    record_property("tried", SIGNALS)
    for _ in range(SIGNALS):
        ends_in_one_line(start, tmp_path / "runs", str(rng.randint(1, total)), rng.choice(ENDING))

"""Limits of time and signals while tasks run: whatever a step costs, a command ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import TINY, only_run

ROOT = Path(__file__).parents[2]
#: A problem whose tasks would run for many minutes each: a step costs a millisecond.
DEAR = ["search", f"{ROOT}/tests/plugins/no_five_on_a_sphere.py:NoFiveOnASphere", "--n", "7"]
#: Long enough for a cold start on a busy machine, and far from what one task takes.
PATIENCE = 240


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "pipeline", *words]


@pytest.mark.end_to_end
@pytest.mark.parametrize("workers", [pytest.param("1", marks=pytest.mark.slow), "2"])
def test_a_search_whose_steps_are_dear_ends_at_its_limit_with_what_it_has(tmp_path, workers):
    words = [*DEAR, "--time", "4", "--workers", workers, "--runs", str(tmp_path)]
    done = subprocess.run(command(*words), capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert "verified" in done.stdout
    info = (only_run(tmp_path) / "run.json").read_text()
    assert "cut short by the clock" in info


@pytest.fixture
def searching(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A search that would not end for hours, in a process group of its own, under way."""
    words = [*DEAR, "--time", "9h", "--workers", "2", "--runs", str(tmp_path)]
    process = subprocess.Popen(
        command(*words),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if "round 0" in line:
                break
        yield process, tmp_path
    finally:
        process.kill()
        process.wait()


@pytest.mark.end_to_end
@pytest.mark.skipif(os.name != "posix", reason="process groups as POSIX has them")
@pytest.mark.parametrize(
    "name",
    [
        "SIGTERM",
        "SIGUSR1",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("SIGINT", "SIGHUP")),
    ],
)
def test_a_signal_to_the_whole_group_ends_a_search_in_the_midst_of_its_tasks(searching, name):
    process, root = searching
    os.killpg(process.pid, getattr(signal, name))
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert f"pipeline resume {only_run(root).name}" in said


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_a_command_that_keeps_nothing_ends_by_sigterm_with_one_line():
    process = subprocess.Popen(
        command("solve", "isosceles", "--n", "16", "--workers", "1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "bounds of parts" in line:
            break
    process.terminate()
    out, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "maximum: " in out
    assert "Traceback" not in said


@pytest.mark.end_to_end
def test_a_round_of_the_model_that_cannot_end_in_time_is_left_out_the_first_one_too(cli, tmp_path):
    found = cli(
        *("run", "isosceles", "--n", "6", *TINY, "--runs", tmp_path),
        *("--set", "train.steps=1000000", "--set", "train.patience=0", "--time", "6"),
    )
    assert found.code == 0, found.err
    assert "round 1 is left out" in found.err
    assert [p.name for p in sorted((only_run(tmp_path) / "rounds").iterdir())] == ["0000"]

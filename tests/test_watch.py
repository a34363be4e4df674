"""watch: a run seen from another terminal, through its log alone."""

import io
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import contents
from rich.console import Console

from pipeline.report.watching import Story, sparks
from pipeline.storage.events import Tail
from pipeline.storage.run import Run

EVENTS = [
    {"time": 100.0, "event": "stage", "name": "seed", "title": "local search", "total": 10}
    | {"where": "round 0 of 2", "n": 6},
    {"time": 104.0, "event": "progress", "done": 4},
    {"time": 104.5, "event": "best", "n": 5, "score": 7, "origin": "seed", "cpu": 1.0},
    {"time": 105.0, "event": "best", "n": 6, "score": 9, "origin": "seed", "cpu": 1.5},
    {"time": 105.5, "event": "something new"},
]


def told(width: int = 80, **options) -> str:
    story = Story("a-run", 6)
    for event in EVENTS:
        story.take(event)
    out = Console(width=width, record=True, file=io.StringIO())
    out.print(story.view(**options))
    return out.export_text()


def test_a_view_says_what_goes_on_how_long_and_what_was_found():
    text = told(alive=True, now=106.0)
    assert "a-run  running, last heard of 0 s ago" in text
    assert "round 0 of 2: local search, n=6" in text
    assert "4/10" in text
    assert "ETA 4 s" in text  # 6 pieces at 1 s each, 2 s of which have passed
    assert "best 9 at n=6, after 1.5 of 1.5 CPU seconds" in text
    assert "best 7" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_view_of_what_has_ended_has_no_bar():
    text = told(alive=False, now=106.0)
    assert "not running" in text
    assert "ETA" not in text


def test_a_stage_of_which_nothing_is_done_has_no_eta():
    story = Story("a-run", 6)
    story.take(EVENTS[0])
    assert story.remaining() is None
    story.take({"time": 102.0, "event": "progress", "done": 0})
    assert story.remaining() is None
    story.take({"time": 103.0, "event": "progress", "done": 10})
    assert story.remaining() == 0


def test_rounds_are_listed_and_end_their_stage():
    story = Story("a-run", 6)
    story.take(EVENTS[0])
    assert story.take({"event": "round", "number": 0, "seconds": 3.2, "best": None}) == (
        "round 0: nothing found (3 s)"
    )
    assert story.doing() == "between two pieces of work"
    assert len(story.rounds) == 1


def test_sparks_run_from_the_lowest_to_the_highest():
    assert sparks([1, None, 2, 3]) == "▁ ▄█"
    assert sparks([5, 5]) == "██"
    assert sparks([]) == ""


def test_a_line_in_the_making_waits_and_a_damaged_one_is_skipped(tmp_path):
    tail, log = Tail(tmp_path), tmp_path / "events.jsonl"
    assert list(tail.new()) == []
    log.write_text('{"event": "a"}\nnot json\n[1]\n{"event": ')
    assert list(tail.new()) == [{"event": "a"}]
    with log.open("a") as more:
        more.write('"b"}\n')
    assert list(tail.new()) == [{"event": "b"}]
    assert list(tail.new()) == []


def test_a_run_is_held_by_a_live_process_alone(played):
    run = Run(played)
    assert not run.is_held()
    with run.lock():
        assert run.is_held()
        holder = (played / "lock.pid").read_text()
    assert not run.is_held()
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        text=True,
        capture_output=True,
        check=True,
    ).stdout.strip()
    words = holder.split()
    (played / "lock.pid").write_text(" ".join([words[0], gone, *words[2:]]))
    assert not run.is_held()
    (played / "lock.pid").write_text("")
    assert not run.is_held()


def _holder(name: str) -> list[str]:
    """Return what lock.pid says when this process holds a run, but for when it began."""
    return ["process", str(os.getpid()), "on", name, "started"]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_a_number_that_another_process_has_by_now_holds_nothing(played, cli):
    (played / "lock.pid").write_text(" ".join([*_holder(platform.node()), "1"]))
    assert not Run(played).is_held()
    found = cli("watch", played)
    assert found.code == 0
    assert found.out.splitlines()[-1] == (
        f"not running: process {os.getpid()} is another one by now"
    )


def test_a_holder_on_another_machine_counts_while_it_gives_signs(played, cli, monkeypatch):
    holder = played / "lock.pid"
    holder.write_text(" ".join([*_holder("elsewhere"), "1"]))
    run = Run(played)
    assert run.is_held()  # lock.pid was written just now
    for name in ("lock.pid", "events.jsonl"):
        os.utime(played / name, (1, 1))
    assert not run.is_held()
    found = cli("watch", played)
    assert found.code == 0
    last = found.out.splitlines()[-1]
    assert last.startswith(f"not running: process {os.getpid()} on elsewhere has given no sign for")
    run.event("progress", done=1)
    assert run.is_held()


def test_a_holder_gives_signs(played, monkeypatch):
    monkeypatch.setattr("pipeline.storage.lock._SIGN_EVERY", 0.001)
    run, holder = Run(played), played / "lock.pid"
    with run.lock():
        os.utime(holder, (1, 1))
        deadline = time.monotonic() + 60
        while holder.stat().st_mtime == 1 and time.monotonic() < deadline:
            os.sched_yield()
        assert holder.stat().st_mtime > 1


def test_what_lock_pid_holds_may_be_anything(played):
    for data in (b"\xff", b"process x on y", b"process 1" * 10**6, b"process 9" + b"9" * 400):
        (played / "lock.pid").write_bytes(data)
        assert not Run(played).is_held()
    (played / "lock.pid").write_text(f"process {10**30} on {platform.node()}")
    assert not Run(played).is_held()


def test_watching_a_run_that_has_ended_tells_its_story(played, cli):
    found = cli("watch", played)
    assert found.code == 0
    lines = found.out.splitlines()
    best = json.loads(cli("best", played, "--json").out)["score"]
    assert lines[0] == played.name
    assert lines[-1] == "not running"
    assert any(line.startswith("round 2: best") for line in lines)
    assert any(line.startswith(f"best {best}, after") for line in lines)


@pytest.mark.end_to_end
def test_watching_a_run_that_goes_on_sees_it_end_and_changes_nothing(played, cli, tmp_path):
    before = contents(played)
    resume = [sys.executable, "-m", "pipeline", "resume", str(played), "--rounds", "+1"]
    with subprocess.Popen(resume, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as going:
        deadline = time.monotonic() + 120
        while not Run(played).is_held():
            if going.poll() is not None or time.monotonic() > deadline:
                pytest.fail("the run never began")
            time.sleep(0.01)
        found = cli("watch", played)
        assert going.wait(timeout=120) == 0
    assert found.code == 0
    assert any(line.startswith("round 3: best") for line in found.out.splitlines())
    after = contents(played)
    # But for the models that a round more makes superfluous.
    kept = [n for n in before if n.startswith("rounds") and "/generator/" not in n]
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}

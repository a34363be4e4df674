"""The benchmark of scale: its figures on paper, its record of measurements, tasks that sleep."""

import importlib
import sys
from pathlib import Path

import pytest

from pipeline.executors import Serial

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
on_linux = pytest.mark.skipif(not Path("/proc").exists(), reason="reads memory as Linux has it")


@pytest.fixture
def module(monkeypatch):
    """Import a file of the benchmark."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module
    for name in [name for name in sys.modules if name.partition("_")[0] == "scale"]:
        del sys.modules[name]


def test_cores_are_busy_as_far_as_batches_and_the_main_process_let_them(module):
    busy = module("scale_costs").busy
    ones = [1.0] * 64
    assert busy(ones, 1, 16, 0.0) == 1
    assert busy(ones, 16, 16, 0.0) == 1
    assert busy(ones, 64, 16, 0.0) == 0.25  # a batch is a barrier
    assert busy(ones, 4, 64, 0.0) == 1
    assert busy([1.0, 3.0] * 2, 2, 2, 0.0) == 8 / 12  # and waits for its slowest task
    # The main process takes half a second for each result: it keeps two cores busy.
    assert busy([1.0] * 6400, 64, 6400, 0.5) == pytest.approx(2 / 64, rel=0.01)
    # With one task under way for a core, a core waits for results of earlier tasks.
    assert busy([4.0, 1.0, 1.0, 1.0], 2, 4, 0.0, room=1) < busy([4.0, 1.0, 1.0, 1.0], 2, 4, 0.0)
    assert busy([], 4, 4, 0.0) == 0


def test_what_was_measured_is_not_measured_again(module, tmp_path):
    made, path = module("scale_results").Results, tmp_path / "results.jsonl"
    first = made(path)
    for number in range(2):
        first.once("strong", "serial", number, lambda number=number: {"seconds": number + 1.5})
    again = made(path)
    again.once("strong", "serial", 1, lambda: pytest.fail("it was measured"))
    again.once("strong", "other", 0, lambda: {"seconds": 9})
    assert made(path).all("strong", "serial", "seconds") == [1.5, 2.5]
    assert made(path).all("strong", "other", "seconds") == [9]


@on_linux
def test_tasks_that_sleep_go_through_an_executor(module, monkeypatch, capsys):
    simulation = module("scale_simulation")
    monkeypatch.setattr(simulation, "Processes", lambda _: Serial())
    monkeypatch.setattr(simulation, "_LOADED", 0.0)
    simulation.simulate(40, "processes", 2, 0.0, batch=16)
    told = capsys.readouterr().out
    assert "| tasks | 40 of 0 ms, 2 workers, processes, in batches of 16 |" in told
    assert "MB of the main process after 100%" in told


@on_linux
@pytest.mark.end_to_end
def test_the_simulation_runs_in_processes(module, capsys):
    module("scale").main(["--simulate", "200", "--nap", "0.001"])
    assert "| tasks | 200 of 1 ms, 2 workers, processes |" in capsys.readouterr().out

"""What a session notes of its processor, and what a run decides for good when it begins."""

import json

import pytest
from conftest import TINY, only_run

from pipeline.config import Config, read_toml
from pipeline.configuring import settled
from pipeline.storage import machine
from pipeline.storage.run import Run

AUTO = [word for word in TINY if "compute.precision" not in word]


def _as_of(run, **processor):
    """Let the last session of a run have had another processor."""
    path = run / "run.json"
    told = json.loads(path.read_text())
    told["sessions"][-1]["processor"] |= processor
    path.write_text(json.dumps(told))


def test_a_session_notes_the_model_of_the_processor_and_its_instruction_sets(played):
    (session,) = Run(played).info["sessions"]
    assert session["processor"] == machine.processor()
    assert session["processor"]["model"]
    assert all(isinstance(name, str) for name in session["processor"]["instructions"])


def test_a_resume_on_the_same_processor_says_nothing(played, cli):
    assert "another processor" not in cli("resume", played).err


@pytest.mark.parametrize(
    ("processor", "message"),
    [
        ({"model": "Imaginary 9000"}, "(Imaginary 9000, now "),
        ({"instructions": ["ABACUS"]}, "without ABACUS"),
        ({"instructions": []}, "now with "),
    ],
)
def test_a_resume_on_another_processor_warns_in_one_line(played, cli, processor, message):
    _as_of(played, **processor)
    found = cli("resume", played)
    assert found.code == 0
    (line,) = [line for line in found.err.splitlines() if "another processor than before" in line]
    assert message in line


@pytest.mark.parametrize("held", [None, "x", 3, [], {}, {"model": [], "instructions": 3}])
def test_a_session_that_does_not_say_is_no_error(held):
    now = {"processor": machine.processor(), "numpy": "2"}
    assert isinstance(machine.changed({"processor": held, "numpy": "2"}, now), str)
    assert machine.changed({}, now) == ""


def test_the_precision_is_decided_when_the_run_begins(tmp_path, cli):
    words = ["run", "isosceles", "--n", 6, *AUTO, "--rounds", 0, "--runs", tmp_path]
    assert cli(*words).code == 0
    run = only_run(tmp_path)
    assert read_toml(run / "config.toml")["compute"]["precision"] == "fp32"  # its width is 16
    assert json.loads((run / "run.json").read_text())["config"]["compute"]["precision"] == "fp32"
    assert Run(run).config.identity == Run(run).info["identity"]


@pytest.mark.parametrize(("multiplies", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_what_pays_on_this_machine(monkeypatch, multiplies, expected):
    monkeypatch.setattr("pipeline.model.device._multiplies_bf16", lambda: multiplies)
    data = Config(problem="isosceles", n=6)
    on_cpu = settled(_on_cpu(data))
    assert on_cpu.compute.precision == expected
    assert settled(on_cpu) == on_cpu


def test_without_a_model_there_is_nothing_to_decide():
    config = Config(problem="isosceles", n=6, generator="none")
    assert settled(config) is config


def _on_cpu(config):
    from msgspec.structs import replace

    return replace(config, compute=replace(config.compute, device="cpu"))

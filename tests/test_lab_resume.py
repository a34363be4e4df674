"""Trainings of the lab that are stopped or killed and go on, to the same bytes."""

import json
from dataclasses import replace

import pytest
from torch import nn

from pipeline.callbacks import Callbacks
from pipeline.errors import PipelineError, RunError
from pipeline.lab import state
from pipeline.lab.folder import LabRun, find_lab_run, finished, lab_runs
from pipeline.lab.registry import find
from pipeline.lab.task import Budget
from pipeline.lab.work import asked, go_on, perform
from pipeline.storage.lock import holding

TINY = Budget(steps=30, width=16, heads=2, layers=1, batch=24, samples=20, looks=3)
FEW = ["--steps", "40", "--samples", "20", "--parameters", "1k"]
CLOCK = {"seconds", "cpu_seconds"}

pytestmark = pytest.mark.usefixtures("one_thread")


class Killed(BaseException):
    """Stands for what ends a process."""


class KilledAt(Callbacks):
    """Ends a training after so many steps of this session."""

    def __init__(self, steps):
        self.steps = steps

    def on_progress(self, done, best=None, loss=None):
        if done == self.steps:
            raise Killed


def begin(root, task, budget, callbacks, **options):
    entry = find(task)
    label = next(iter(entry.tasks or {}))
    what = asked(task, entry, label, scale="small", seed=3, budget=budget)
    return perform(entry, what, root, [], callbacks, keep=(8,), **options)


def left(run):
    """Return what a finished run leaves: models, curve and samples as bytes, and what was found."""
    files = sorted([*run.path.glob("models/*"), run.path / "curve.csv", run.path / "samples.txt"])
    found = {key: value for key, value in LabRun(run.path).info["found"].items()}
    bytes_ = {file.name: file.read_bytes() for file in files}
    return bytes_, {key: value for key, value in found.items() if key not in CLOCK}


def stop_at(root, steps, task="one-2", budget=TINY):
    with pytest.raises(Killed):
        begin(root, task, budget, KilledAt(steps))
    return LabRun(lab_runs(root)[-1])


@pytest.mark.parametrize(
    ("task", "budget"),
    [
        ("one-2", TINY),  # fresh strings
        ("one-2", replace(TINY, strings=50)),  # an epoch ends amid a batch
        ("one-2", replace(TINY, strings=10)),  # a batch is more than an epoch
        ("modular-addition", replace(TINY, strings=529, samples=0, weight_decay=1.0)),
    ],
    ids=["fresh strings", "a dataset", "a dataset smaller than a batch", "given questions"],
)
def test_a_training_that_was_stopped_ends_with_the_bytes_of_one_that_was_not(
    tmp_path, task, budget
):
    whole = begin(tmp_path / "whole", task, budget, Callbacks())
    run = stop_at(tmp_path / "pieces", 4, task, budget)
    for steps in (1, 9):  # stops amid the steps between two entries of the curve, and at one
        state_ = run.held()
        assert state_ is not None
        with pytest.raises(Killed):
            go_on(run, find(task), KilledAt(steps))
    state_ = run.held()
    assert state_ is not None
    assert state_.step == 14
    assert run.steps() == [8]
    assert left(go_on(run, find(task), Callbacks())) == left(whole)
    assert not run.state.exists()


def test_fresh_strings_go_on_amid_those_drawn_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.lab.learning._EPOCH", 100)  # no multiple of the batch
    whole = begin(tmp_path / "whole", "one-2", TINY, Callbacks())
    run = stop_at(tmp_path / "pieces", 13)
    assert left(go_on(run, find("one-2"), Callbacks())) == left(whole)


def test_a_kill_without_a_word_costs_the_steps_since_the_last_state(tmp_path, monkeypatch):
    whole = begin(tmp_path / "whole", "one-2", TINY, Callbacks())
    run, held = stop_at(tmp_path / "pieces", 12), []
    real = state.save

    def killed(path, now, identity):
        if now.step == 20:
            raise Killed
        held.append(now.step)
        real(path, now, identity)

    monkeypatch.setattr("pipeline.lab.folder.save", killed)
    with pytest.raises(Killed):  # it stops at 20, and cannot keep that
        go_on(run, find("one-2"), KilledAt(8))
    monkeypatch.undo()
    state_ = run.held()
    assert held == []
    assert state_ is not None
    assert state_.step == 12
    assert left(go_on(run, find("one-2"), Callbacks())) == left(whole)


def test_a_training_that_was_killed_while_it_sampled_samples_again(tmp_path):
    class Sampling(Callbacks):
        def on_stage(self, name, total, n=None):
            if name == "sample":
                raise Killed

    whole = begin(tmp_path / "whole", "one-2", TINY, Callbacks())
    with pytest.raises(Killed):
        begin(tmp_path / "pieces", "one-2", TINY, Sampling())
    run = LabRun(lab_runs(tmp_path / "pieces")[0])
    assert run.found is None
    assert left(go_on(run, find("one-2"), Callbacks())) == left(whole)


def test_states_are_kept_as_the_clock_says_and_change_nothing(tmp_path, monkeypatch):
    from pipeline.lab import learning

    whole = begin(tmp_path / "whole", "one-2", TINY, Callbacks())
    times = iter(range(0, 100_000, 25))
    monkeypatch.setattr(learning.time, "monotonic", lambda: next(times))
    held = []
    real = LabRun.hold
    monkeypatch.setattr(LabRun, "hold", lambda run, now: (held.append(now.step), real(run, now)))
    other = begin(tmp_path / "other", "one-2", TINY, Callbacks())
    assert len(held) > 5
    assert held[-1] == TINY.steps
    assert left(other) == left(whole)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[:-100], "truncated or no safetensors file"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "is damaged"),
        (lambda data: data.replace(b'step\\\\\\": 12', b'step\\\\\\": 13'), "is damaged"),
        (lambda data: b"\x80" + data[1:8] + b"x" + data[9:], "is a pickle"),
        (lambda data: b"", "truncated or no safetensors file"),
    ],
)
def test_a_damaged_state_is_one_line_that_names_the_fix(tmp_path, cli, damage, said):
    whole = begin(tmp_path / "whole", "one-2", TINY, Callbacks())
    run = stop_at(tmp_path, 12)
    before = run.state.read_bytes()
    run.state.write_bytes(damage(before))
    assert run.state.read_bytes() != before
    done = cli("lab", "resume", run.path)
    assert done.code == 4
    assert said in done.error
    assert "state.safetensors" in done.error
    assert "delete it, and `pipeline lab resume` begins anew" in done.error
    assert len(done.err.strip().splitlines()) == 1
    run.state.unlink()
    assert left(go_on(run, find("one-2"), Callbacks())) == left(whole)


def test_a_state_of_another_training_or_another_kind_of_file_is_refused(tmp_path):
    run = stop_at(tmp_path, 12)
    other = stop_at(tmp_path, 12, budget=replace(TINY, width=8))
    mine = run.state.read_bytes()
    run.state.write_bytes(other.state.read_bytes())
    with pytest.raises(RunError, match=r"another training; delete it, and .* begins anew"):
        run.held()
    run.state.write_bytes(run.model(8).read_bytes())
    with pytest.raises(RunError, match=r"holds 'model' .*; delete it"):
        run.held()
    run.state.write_bytes(mine)
    held = run.held()
    assert held is not None
    state.save(run.state, replace(held, weights={"x": held.weights["head.weight"]}), "it")
    with pytest.raises(RunError, match="another model"):
        state.load_weights(nn.Linear(2, 2), state.load(run.state, "it").weights)


def test_what_is_no_file_or_was_asked_otherwise_is_not_gone_on_with(tmp_path):
    run = stop_at(tmp_path, 12)
    run.info["asked"]["budget"]["steps"] += 1
    with pytest.raises(RunError, match="another training"):
        run.held()
    run.state.unlink()
    run.state.symlink_to(run.path / "lab.json")
    with pytest.raises(RunError, match="is a symbolic link"):
        run.held()


def test_nothing_random_is_taken_from_a_state_that_is_none(tmp_path):
    run = stop_at(tmp_path, 12)
    held = run.held()
    assert held is not None
    state.save(run.state, replace(held, stream={"bit_generator": "?"}), "it")
    with pytest.raises(RunError, match="another version"):
        state.load(run.state, "it")


def test_a_run_that_another_process_trains_is_left_to_it(tmp_path):
    run = stop_at(tmp_path, 12)
    with holding(run.path), pytest.raises(PipelineError, match="in use by process"):
        go_on(run, find("one-2"), Callbacks())


def test_what_is_asked_again_goes_on_with_what_was_stopped(tmp_path):
    run = stop_at(tmp_path, 12)
    found = begin(tmp_path, "one-2", TINY, Callbacks(), again=False)
    assert found.path == run.path
    assert finished(tmp_path, run.info["asked"]) is not None
    assert begin(tmp_path, "one-2", TINY, Callbacks(), again=False).path == run.path
    assert len(lab_runs(tmp_path)) == 1


def test_the_latest_to_resume_is_the_last_that_is_not_finished(tmp_path):
    run = stop_at(tmp_path, 12)
    done = begin(tmp_path, "one-2", TINY, Callbacks())
    assert find_lab_run("latest", tmp_path, unfinished=True).path == run.path
    go_on(run, find("one-2"), Callbacks())
    assert find_lab_run("latest", tmp_path, unfinished=True).path in (run.path, done.path)


# ---------------------------------------------------------------------------- the commands


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("PIPELINE_RUNS", str(tmp_path))
    monkeypatch.setattr("pipeline.lab.looking.draw", lambda run, live: None)  # which takes long
    return tmp_path


def test_a_training_is_done_in_pieces_of_so_much_time(cli, root):
    done = cli("lab", "run", "one-2", *FEW, "--time", "0.000001", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["rows"] == []
    (path,) = lab_runs(root)
    said = f"stopped after step 1 of 40. Go on with: pipeline lab resume {path.name}"
    assert said in done.err
    done = cli("lab", "resume", path.name, "--time", "0.000001")
    assert "goes on after step 1 of 40" in done.err
    assert "stopped after step 2 of 40" in done.err
    assert done.out == ""
    done = cli("lab", "resume", "latest", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["runs"] == [str(path)]
    assert told["rows"][0]["run"] == path.name
    again = cli("lab", "resume", "latest")
    assert f"{path.name} is complete" in again.err
    assert "% of 20 samples" in again.out


def test_ctrl_c_says_how_to_go_on(cli, root, monkeypatch):
    from pipeline.cli.live import Interrupted, Live

    def interrupted(live, done, best=None, loss=None):
        if done == 5:
            raise Interrupted

    monkeypatch.setattr(Live, "on_progress", interrupted)
    done = cli("lab", "run", "one-2", *FEW, "--runs", root / "my runs")
    monkeypatch.undo()
    assert done.code == 130
    (path,) = lab_runs(root / "my runs")
    last = done.err.strip().splitlines()[-1]
    assert last.startswith("stopped after step 5 of 40. Go on with: pipeline lab resume one-2-")
    assert last.endswith(f" --runs '{root / 'my runs'}'")
    assert cli("lab", "resume", path).code == 0


def test_a_task_of_ones_own_goes_on_where_its_file_is_named(cli, root):
    own = root / "own.py"
    own.write_text(
        "lengths = 4, 6\n\n\ndef generate(rng):\n    n = rng.integers(4, 7)\n"
        "    return '0' + ''.join(rng.choice(['0', '1'], size=n - 1))\n\n\n"
        "def check(s):\n    return s[:1] == '0'\n"
    )
    done = cli("lab", "run", own, *FEW, "--time", "0.000001")
    assert done.code == 0, done.err
    assert f"--file {own}" in done.err
    assert "data never loads code" in cli("lab", "resume", "latest").error
    done = cli("lab", "resume", "latest", "--file", own)
    assert done.code == 0, done.err
    assert "own" in done.out


def test_an_experiment_of_its_own_begins_anew(cli, root, monkeypatch):
    asked_for = []

    def run(scale, seed, callbacks):
        asked_for.append(seed)
        if len(asked_for) == 1:
            raise KeyboardInterrupt
        row = {"name": "mine", "measured": "all", "lecture": "-", "budget": "none"}
        return [{**row, "values": {"x": 1.0}}]

    monkeypatch.setattr("pipeline.lab.text.run", run)
    done = cli("lab", "run", "text", "--seed", "3")
    assert done.code == 130
    assert "stopped. Go on with: pipeline lab resume text-" in done.err
    done = cli("lab", "resume", "latest")
    assert done.code == 0, done.err
    assert "mine: all" in done.out
    assert asked_for == [3, 3]
    assert len(lab_runs(root)) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "one-2", "--time", "soon"], "--time soon: write seconds"),
        (["run", "text", "--time", "1m"], "--time: text has its own budget"),
        (["resume", "latest"], "there is no lab run"),
        (["resume", "one-3"], "no lab run 'one-3'"),
    ],
)
def test_a_wrong_word_is_one_line_and_leaves_nothing(cli, root, words, said):
    done = cli("lab", *words)
    assert done.code in (2, 4)
    assert said in done.error
    assert len(done.err.strip().splitlines()) == 1
    assert lab_runs(root) == []

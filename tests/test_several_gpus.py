"""Several processes train and sample as one would, and none waits for one that is dead."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from conftest import TINY, contents, only_run

from pipeline import loop, ranks
from pipeline.assembly import build
from pipeline.config import Config, as_dict, config_from, differences, resolved
from pipeline.configuring import configured
from pipeline.errors import PipelineError, UsageError
from pipeline.executors import Serial
from pipeline.model import masked_decoding, policy
from pipeline.model.companions import Companions
from pipeline.model.device_memory import Gradients, in_halves, part_of, rows_of
from pipeline.model.parallel import ALONE, Group
from pipeline.model.sample import skip
from pipeline.storage.run import Run

pytestmark = pytest.mark.usefixtures("one_thread")

PATIENCE = 120  # seconds until a test calls something a hang
MANY = [f"--set={key}" for key in ("train.batch=999", "sample.count=999", "compute.device=auto")]
LONG = ["--set", "train.steps=1000000", "--set", "train.evaluate_every=1000000"]


# ----------------------------------------------------------------- shares, without processes


class Threads(Group):
    """A group of threads of this process."""

    def __init__(self, rank, size, shared):
        self.rank, self.size, self._shared = rank, size, shared

    def _all(self, mine):
        self._shared["given"][self.rank] = mine
        self._shared["barrier"].wait(PATIENCE)
        found = [self._shared["given"][rank] for rank in range(self.size)]
        self._shared["barrier"].wait(PATIENCE)
        return found

    def sums(self, values):
        return [float(sum(column)) for column in zip(*self._all(list(values)), strict=True)]

    def add(self, tensors):
        found = self._all([tensor.clone() for tensor in tensors])
        for tensor, parts in zip(tensors, zip(*found, strict=True), strict=True):
            tensor.copy_(torch.stack(parts).sum(dim=0))


def in_threads(size, work):
    """Return what ``work(group)`` comes to in each of several threads."""
    shared = {"given": {}, "barrier": threading.Barrier(size)}
    found = {}

    def one(rank):
        try:
            found[rank] = work(Threads(rank, size, shared))
        except PipelineError as error:
            found[rank] = error

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    return [found[rank] for rank in range(size)]


@pytest.mark.parametrize("size", [1, 2, 3, 8])
@pytest.mark.parametrize("rows", [0, 1, 7, 64])
def test_shares_are_all_rows_once_and_alike(size, rows):
    shares = [Threads(rank, size, {}).share(rows) for rank in range(size)]
    assert [row for first, last in shares for row in range(first, last)] == list(range(rows))
    lengths = [last - first for first, last in shares]
    assert max(lengths) - min(lengths) <= 1


def _batch():
    rng = np.random.default_rng(0)
    return rng.standard_normal((32, 5)).astype(np.float32)


def _gradient(group, rows, room=99):
    """Return (mean loss, positions, gradients) of rows of different numbers of losses."""
    torch.manual_seed(0)  # threads share it, so the weights are set below
    model = torch.nn.Linear(5, 3)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.linspace(-1, 1, weight.numel()).view_as(weight))

    def loss_of(batch):
        limit = room if group.rank else 99
        if len(batch) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        kept = batch[:, 0] > 0
        losses = model(torch.from_numpy(batch[kept])).square().mean(dim=1)
        return losses.sum() / max(len(losses), 1), len(losses), len(batch)

    notes: list[str] = []
    loss, shown = Gradients(loss_of, model.parameters(), notes.append, group).of(rows)
    return loss, shown, [weight.grad for weight in model.parameters()], notes


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("room", [99, 3])
def test_the_gradient_of_a_batch_is_the_same_from_several(size, room):
    loss, shown, gradient, _ = _gradient(ALONE, _batch())
    for other in in_threads(size, lambda group: _gradient(group, _batch(), room)):
        assert other[0] == pytest.approx(loss, rel=1e-5)
        assert other[1] == shown == 32
        for a, b in zip(gradient, other[2], strict=True):
            torch.testing.assert_close(a, b)
        # One process alone is short of memory, and all take smaller parts.
        assert bool(other[3]) == (room < 16)


def test_all_give_up_where_one_row_is_too_large_for_one_of_them():
    for error in in_threads(2, lambda group: _gradient(group, _batch(), 0)):
        assert isinstance(error, PipelineError)
        assert "choose a smaller model" in str(error)


def test_all_sample_less_at_a_time_where_one_is_short_of_memory():
    def work(group):
        def make(batch):
            if group.rank and batch > 30:
                raise torch.OutOfMemoryError
            return batch

        return in_halves(make, 100, lambda note: None, group)

    assert in_threads(2, work) == [25, 25]


def test_parts_of_boards_and_of_sets_are_theirs():
    shown = masked_decoding.arrange(0, np.eye(6, dtype=bool), ~np.eye(6, dtype=bool), np.eye(6) < 0)
    assert rows_of(shown) == 6
    assert np.array_equal(part_of(shown, 2, 5).choices, shown.choices[2:5])
    rows = torch.tensor([0, 0, 1, 3, 3, 3])
    sets = policy.Example(torch.arange(12.0).view(6, 2), rows, rows > 0, 4)
    assert rows_of(sets) == 4
    part = part_of(sets, 1, 4)
    assert (part.rows.tolist(), part.sets) == ([0, 2, 2, 2], 3)
    assert torch.equal(part.features, sets.features[2:])
    assert part_of(sets, 2, 3).rows.tolist() == []


def test_a_stream_goes_on_where_others_have_drawn():
    whole = np.random.default_rng(5).random((10, 7))
    assert np.array_equal(skip(np.random.default_rng(5), 4 * 7).random((6, 7)), whole[4:])


# --------------------------------------------------------------------- what is asked for


def test_one_process_decides_as_before_and_several_otherwise():
    one = Config("isosceles", 6)
    two = config_from({"problem": "isosceles", "n": 6, "compute": {"gpus": 2}}, "x")
    assert one.identity != two.identity
    assert differences(one, two) == ["compute.gpus 1 -> 2"]
    assert resolved(two).compute.threads <= resolved(one).compute.threads


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--generator", "none", "--set", "search.batches=1"], "--gpus 2 is for the generators"),
        (["--generator", "perturb"], "gpt, vision, policy, which have a model, not for perturb"),
        (["--set", "train.batch=1"], "train.batch is 1, too few for --gpus 2: give 2 or more"),
        (["--set", "sample.count=1"], "sample.count is 1, too few"),
        ([*MANY, "--gpus", "999"], r"this machine has .* CUDA device.*--device cpu"),
        (["--gpus", "0"], "compute.gpus must be"),
    ],
)
def test_what_cannot_be_shared_is_refused_in_one_line(options, line, cli, tmp_path):
    found = cli("run", "isosceles", "--n", 6, *TINY, "--gpus", 2, *options, "--runs", tmp_path)
    assert found.code == 2
    assert re.search(line, found.error)
    assert not list(tmp_path.iterdir())


def test_torchrun_must_start_as_many_as_are_asked_for(monkeypatch):
    for name, value in ranks.environment(1, 3, "127.0.0.1", 29500).items():
        monkeypatch.setenv(name, value)
    assert ranks.place_among(3) == ranks.Place(1, 3, 1, "127.0.0.1", 29500)
    with pytest.raises(UsageError, match="torchrun has started 3 processes, and --gpus is 1"):
        ranks.place_among(1)
    monkeypatch.setenv("RANK", "x")
    assert ranks.place() is None


# --------------------------------------------------------------- two processes, as one would


def parts_of(generator, gpus, device="cpu", **compute):
    data = {
        "problem": "isosceles",
        "n": 6,
        "sizes": (5, 6),
        "generator": generator,
        "seeding": {"method": "anneal", "count": 60, "moves": 3000},
        "train": {"steps": 30, "evaluate_every": 5, "batch": 12, "holdout": 0.2},
        "sample": {"count": 31, "batch": 7},
        "model": {"width": 16, "heads": 2, "layers": 1},
        "compute": {"device": device, "threads": 1, "workers": 1, "gpus": gpus, **compute},
    }
    config, problem = configured(data, "a test")
    return build(problem, config, Serial())


@contextmanager
def asked(generator, gpus, device="cpu", **compute) -> Iterator:
    """Yield (a generator that has trained and sampled once, its candidates)."""
    parts = parts_of(generator, gpus, device, **compute)
    try:
        state = loop.seed(parts.engine, loop.Memory())
        yield parts.generator, parts.generator.ask(state)
    finally:
        parts.close()


def check_the_same(ours, theirs, tolerance):
    """See that two trainings had one loss curve, and ended with the same weights.

    Muon multiplies in bfloat16, so weights that differ in their last bits before a step differ by
    more after it; as much as those of one process that adds its gradient up in parts.
    """
    one, two = ours.stats["train"], theirs.stats["train"]
    assert len(one["curve"]) == 6
    for a, b in zip(one["curve"], two["curve"], strict=True):
        assert b == pytest.approx(a, rel=tolerance)
    assert one["holdout_loss"] == pytest.approx(two["holdout_loss"], rel=tolerance)
    for name, weight in ours.model.state_dict().items():
        torch.testing.assert_close(weight, theirs.model.state_dict()[name], rtol=0, atol=2e-3)


@pytest.mark.end_to_end
@pytest.mark.parametrize("generator", ["gpt", "vision", "policy"])
def test_two_processes_learn_what_one_does_and_sample_the_same(generator):
    with asked(generator, 1) as (ours, _), asked(generator, 2) as (theirs, _):
        check_the_same(ours, theirs, 1e-5)
        # The same weights to the bit, in both processes: whatever differs is the sampling.
        theirs.model.load_state_dict(ours.model.state_dict())
        alone, _ = ours._sampled(9)
        with theirs.group.order(theirs._what("sample", longest=9), theirs._learned()):
            together, _ = theirs._sampled(9)
        assert len(alone) == 31
        assert np.array_equal(alone, together)


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
@pytest.mark.parametrize("generator", ["gpt", "vision", "policy"])
def test_two_gpus_learn_what_one_does(generator):
    precision = {"precision": "fp32"}
    with (
        asked(generator, 1, "cuda", **precision) as (ours, _),
        asked(generator, 2, "cuda", **precision) as (theirs, candidates),
    ):
        check_the_same(ours, theirs, 2e-2)
        assert len(candidates) + theirs.malformed == 31


# ------------------------------------------------------------------------- whole commands


def words(root, *more, rounds="2"):
    return ["run", "isosceles", "--n", "6", *TINY, "--rounds", rounds, "--runs", str(root), *more]


def started(*arguments, program=("-m", "pipeline")):
    return subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "1000"},
    )


def followers(leader):
    """Return the processes that a command has started to train with it."""
    told = subprocess.run(["ps", "-ww", "-eo", "pid,ppid,args"], capture_output=True, text=True)
    rows = [line.split(None, 2) for line in told.stdout.splitlines()[1:]]
    return [int(r[0]) for r in rows if int(r[1]) == leader.pid and "pipeline.following" in r[2]]


def until(process, text):
    """Read what a process says until it says this."""
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"it ended without {text!r}")


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    told = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return told.stdout.strip()[:1] in ("", "Z")


def all_go(pids):
    waited = threading.Event()
    return any(all(map(gone, pids)) or waited.wait(0.1) for _ in range(10 * PATIENCE))


@pytest.mark.end_to_end
def test_a_run_that_was_killed_goes_on_to_the_same_bytes_and_leaves_no_process(tmp_path, cli):
    assert cli(*words(tmp_path / "whole", "--gpus", "2")).code == 0
    whole = contents(only_run(tmp_path / "whole"))
    process = started(*words(tmp_path / "cut", "--gpus", "2"))
    until(process, "round 2 of 2: training")
    others = followers(process)
    assert len(others) == 1
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert all_go(others)
    cut = only_run(tmp_path / "cut")
    assert Run(cut).last_round() == 1
    assert cli("resume", cut).code == 0
    assert contents(cut) == whole
    # On another number it goes on too, and says that sums are rounded otherwise.
    assert cli("resume", cut, "--rounds", "+1", "--gpus", "1").code == 0
    session = Run(cut).info["sessions"][-1]
    assert (session["reproducible"], "--gpus 1, not 2" in session["reason"]) == (False, True)


@pytest.mark.end_to_end
def test_a_process_that_cannot_begin_says_why_in_one_line(tmp_path):
    told = {"config": as_dict(resolved(Config("isosceles", 6))), "mask": None}
    others = Companions(2, (f"{tmp_path}/gone.py:Gone", ""), told)
    try:
        with pytest.raises(PipelineError, match=r"gone\.py"):
            others.joined(torch.device("cpu"))
    finally:
        others.close()


@pytest.mark.end_to_end
def test_a_process_that_is_killed_ends_the_run_with_one_line(tmp_path):
    process = started(*words(tmp_path, "--gpus", "2", *LONG))
    until(process, "round 1 of 2: training")
    (other,) = followers(process)
    os.kill(other, signal.SIGKILL)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    (line,) = [line for line in err.splitlines() if line.startswith("pipeline:")]
    assert "number 1 was killed (SIGKILL); finished rounds are kept" in line
    assert "Traceback" not in err


@pytest.mark.end_to_end
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_of_them(number, tmp_path):
    process = started(*words(tmp_path, "--gpus", "2", *LONG))
    until(process, "round 1 of 2: training")
    others = followers(process)
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "stopped; rounds 0 to 0 are kept" in err
    assert others
    assert all_go(others)


TORCHRUN = ("-m", "torch.distributed.run", "--nproc-per-node")


@pytest.mark.end_to_end
def test_under_torchrun_one_process_speaks(tmp_path):
    program = (*TORCHRUN, "2", "-m", "--", "pipeline")
    told = words(tmp_path, "--gpus", "2", "--json", rounds="1")
    out, err = (process := started(*told, program=program)).communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    run = only_run(tmp_path)
    assert json.loads(out)["run"] == str(run)
    assert err.count("round 1 of 1: training") == 1
    # It is resumed likewise, and has nothing left to do: the other process hears of that.
    process = started("resume", run, "--json", program=program)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert json.loads(out)["run"] == str(run)


@pytest.mark.end_to_end
def test_another_number_from_torchrun_is_one_line(tmp_path):
    program = (*TORCHRUN, "3", "-m", "--", "pipeline")
    process = started(*words(tmp_path, "--gpus", "2"), program=program)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    said = [line for line in err.splitlines() if line.startswith("pipeline:")]
    assert said == [
        "pipeline: torchrun has started 3 processes, and --gpus is 2; give --nproc-per-node and "
        "--gpus the same number"
    ]
    assert not list(tmp_path.iterdir())

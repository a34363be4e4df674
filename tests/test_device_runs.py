"""A run of each model on each kind of device: it trains, samples, is kept and resumed."""

import pytest
from conftest import TINY, only_run

from pipeline.config import MODELS
from pipeline.storage.run import Run

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("generator", MODELS)
def test_a_run_of_a_model_is_played_and_resumed_on_a_device(generator, device, cli, tmp_path):
    words = ["--generator", generator, "--device", device, "--set", "train.steps=20"]
    done = cli("run", "isosceles", "--n", "6", *TINY, *words, "--rounds", "1", "--runs", tmp_path)
    assert done.code == 0, done.err
    run = Run(only_run(tmp_path))
    assert cli("resume", run.path, "--rounds", "+1").code == 0
    assert run.rounds() == [0, 1, 2]
    for number in (1, 2):
        stats = run.stats(number)
        curve = stats["train"]["curve"]
        assert curve[-1][1] < curve[0][1] or number == 2  # the second goes on from the first
        assert stats["sampled"]["valid"] > 0
    assert f"model on {device}" in done.err
    assert cli("verify", run.path / "best" / "n6.json").code == 0

"""The model: what it computes, how it learns, what it draws, and which files it refuses."""

import json
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from pipeline.config import TrainConfig
from pipeline.core.bitset import pack, unpack
from pipeline.core.ground_set import GroundSet
from pipeline.errors import PipelineError, RunError, UsageError
from pipeline.model.checkpoint import load_model, load_optimizer, save_model, save_optimizer
from pipeline.model.device import describe, pick_device, seed_generator
from pipeline.model.gpt import GPT, GPTConfig
from pipeline.model.sample import sample
from pipeline.model.tokens import BOS, EOS, PAD, make_encoder
from pipeline.model.train import train

pytestmark = pytest.mark.usefixtures("one_thread")


SMALL = GPTConfig(vocab_size=11, block_size=12, layers=2, heads=2, width=16)


def grid(n):
    """Return the n x n grid under its two mirrors."""
    cells = np.arange(n * n, dtype=np.int32).reshape(n, n)
    coords = np.array([(r, c) for r in range(n) for c in range(n)], np.int32)
    group = np.array([cells.ravel(), cells[::-1].ravel(), cells[:, ::-1].ravel()], np.int32)
    return GroundSet(n, coords, np.concatenate([group, cells[::-1, ::-1].reshape(1, -1)]))


def rule_data(n, count, seed):
    """Return constructions with one cell in every row, in the same or the mirrored column."""
    rng = np.random.default_rng(seed)
    column = rng.integers(n, size=(count, 1))
    column = np.where(rng.random((count, n)) < 0.5, column, n - 1 - column)
    cells = np.zeros((count, n, n), bool)
    cells[np.arange(count)[:, None], np.arange(n), column] = True
    return pack(cells.reshape(count, n * n))


def obeys(cells, n):
    bits = unpack(cells, n * n).reshape(-1, n, n)
    folded = bits.argmax(axis=2)
    folded = np.minimum(folded, n - 1 - folded)
    return (bits.sum(axis=2) == 1).all(axis=1) & (folded == folded[:, :1]).all(axis=1)


def learner(sizes=(4, 5), **shape):
    encoder = make_encoder("points", {n: grid(n) for n in sizes}, max_points={n: n for n in sizes})
    shape = {"layers": 2, "heads": 2, "width": 32, **shape}
    return encoder, GPT(GPTConfig(encoder.vocab_size, encoder.max_length, **shape), seed=0)


def bits_of(model):
    return {name: weight.numpy().tobytes() for name, weight in model.state_dict().items()}


def fixed_logits(logits):
    """Return a model whose logits depend on the position alone; row p is what follows position p.

    Nothing is added to the positions, and each of them picks its own column of the head.
    """
    logits = torch.as_tensor(logits, dtype=torch.float32)
    length = len(logits) + 1
    model = GPT(GPTConfig(logits.shape[1], length, 1, 1, length))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if not name.endswith("norm.weight"):
                weight.zero_()
        model.positions.weight.copy_(torch.eye(length))
        model.head.weight[:, :-1] = logits.T / length**0.5
    return model


# gpt


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocab_size": 0}, "vocab_size = 0"),
        ({"layers": 257}, "layers = 257"),
        ({"width": 2.5}, "width = 2.5"),
        ({"heads": 3}, "use width = 15"),
    ],
)
def test_an_impossible_shape_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        replace(SMALL, **change)


def test_a_position_sees_only_what_is_before_it():
    model = GPT(SMALL)
    tokens = torch.randint(11, (3, 12), generator=torch.Generator().manual_seed(0))
    other = tokens.clone()
    other[:, 7:] = (other[:, 7:] + 1) % 11
    assert torch.allclose(model(tokens)[:, :7], model(other)[:, :7], atol=1e-6)
    assert not torch.allclose(model(tokens)[:, 7:], model(other)[:, 7:], atol=1e-3)
    with pytest.raises(ValueError, match="block size 12"):
        model(torch.zeros((1, 13), dtype=torch.int64))


def test_weights_come_from_the_seed_alone():
    torch.manual_seed(5)
    first = bits_of(GPT(SMALL, seed=1))
    torch.manual_seed(6)
    assert first == bits_of(GPT(SMALL, seed=1))
    assert first != bits_of(GPT(SMALL, seed=2))


@torch.no_grad()
def test_greedy_sampling_is_greedy_decoding_without_a_cache():
    model = GPT(SMALL, seed=3)
    drawn = sample(model, np.array([1, 4]), 2, length=12, eos=2, pad=0, temperature=0, seed=0)
    tokens = [1, 4]
    while len(tokens) < 12 and tokens[-1] != 2:
        tokens.append(int(model(torch.tensor([tokens]))[0, -1].argmax()))
    assert drawn.tolist() == [tokens + [0] * (12 - len(tokens))] * 2


# sample


def test_samples_follow_the_distribution():
    weights = np.array([[0, 0, 1, 4, 2, 1], [0, 0, 3, 1, 1, 3]], float)
    with np.errstate(divide="ignore"):
        logits = np.log(weights)
    model = fixed_logits(np.where(np.isinf(logits), -1e9, logits))
    drawn = sample(model, np.array([1]), 4000, length=3, eos=2, pad=0, seed=1)
    for column, expected in ((drawn[:, 1], weights[0]), (drawn[drawn[:, 1] != 2, 2], weights[1])):
        counts = np.bincount(column, minlength=6)
        assert not counts[expected == 0].any()
        wanted = (expected / expected.sum() * len(column))[expected > 0]
        chi_square = ((counts[expected > 0] - wanted) ** 2 / wanted).sum()
        assert chi_square < 20  # three degrees of freedom: one draw in 6,000 is above
    assert (drawn[drawn[:, 1] == 2, 2] == 0).all()


def test_temperature_sharpens_and_top_p_cuts():
    model = fixed_logits(np.log([[1e-9, 1e-9, 0.4, 0.3, 0.2, 0.1]]))

    def shares(**options):
        drawn = sample(model, np.array([1]), 2000, length=2, eos=2, pad=0, seed=0, **options)
        return np.bincount(drawn[:, 1], minlength=6) / 2000

    assert shares(temperature=0.1)[2] > 0.9
    assert shares(temperature=1e-30)[2] == 1
    assert shares(temperature=0)[2] == 1
    assert shares(temperature=100.0)[0] > 0.1
    cut = shares(top_p=0.69)
    assert not cut[4:].any()
    assert abs(cut[2] - 4 / 7) < 0.05
    assert shares(top_p=1e-9)[2] == 1
    assert shares(top_p=0.71)[4] > 0.1


def test_batch_size_and_compaction_do_not_change_a_sample():
    model = GPT(SMALL, seed=3)
    options: dict[str, Any] = {"length": 12, "eos": 2, "pad": 0, "seed": 7}
    whole = sample(model, np.array([1, 4]), 60, **options)
    ended = (whole == 2).any(axis=1)
    assert 0 < ended.sum() < 60  # both kinds are there
    for batch in (1, 7, 64):
        assert np.array_equal(sample(model, np.array([1, 4]), 60, batch=batch, **options), whole)
    assert np.array_equal(sample(model, np.array([1, 4]), 20, **options), whole[:20])
    assert not np.array_equal(sample(model, np.array([1, 4]), 60, **{**options, "seed": 8}), whole)
    after = np.cumsum(whole == 2, axis=1) - (whole == 2) > 0
    assert not whole[after].any()


def test_a_row_that_does_not_end_is_left_without_an_end():
    logits = np.zeros((4, 5))
    logits[:, 2] = -50.0
    drawn = sample(fixed_logits(logits), np.array([1]), 5, length=5, eos=2, pad=0, seed=0)
    assert not (drawn == 2).any()


class Rising:
    """Lets tokens above 2 go on only upwards, by row; it leaves nothing behind the top."""

    def __init__(self, rows, top=7):
        self.last, self.top = np.full(rows, 2), top

    def legal(self):
        tokens = np.arange(self.top + 4)
        return (tokens > self.last[:, None]) & (tokens <= self.top)

    def advance(self, tokens):
        assert len(tokens) == len(self.last)
        self.last = np.maximum(self.last, tokens)

    def keep(self, index):
        self.last = self.last[index]

    def table(self):
        return None


def test_the_guide_is_obeyed_and_an_end_taken_where_it_leaves_nothing():
    model = fixed_logits(np.zeros((11, 11)))
    made = []

    def factory(rows):
        made.append(rows)
        return Rising(rows)

    drawn = sample(
        model, np.array([1]), 50, length=12, eos=2, pad=0, seed=0, batch=20, guide_factory=factory
    )
    assert made == [20, 20, 10]
    for row in drawn:
        body = row[1 : list(row).index(2)]
        assert (np.diff(body) > 0).all()
        assert body.min() > 2
        assert body[-1] == 7
    assert len(np.unique(drawn, axis=0)) > 10


def test_a_guide_may_allow_what_the_model_thinks_impossible():
    logits = np.full((2, 11), -1e30)
    logits[:, 0] = 1e30
    drawn = sample(
        fixed_logits(logits), np.array([1]), 9, length=3, eos=2, pad=0, seed=0, guide_factory=Rising
    )
    assert ((drawn[:, 1] > 2) & (drawn[:, 1] <= 7)).all()


def test_sampling_reports_and_can_be_interrupted():
    model = fixed_logits(np.zeros((4, 5)))
    seen = []
    options: dict[str, Any] = {"length": 5, "eos": 2, "pad": 0, "seed": 0, "batch": 10}
    sample(model, np.array([1]), 25, progress=lambda *a: seen.append(a), **options)
    ended = [done for done, count in seen if count == 25]
    assert len(ended) == len(seen) > 3
    assert 0 <= min(ended) <= max(ended) <= 25

    def interrupt(done, count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample(model, np.array([1]), 25, progress=interrupt, **options)


def test_sampling_refuses_what_it_cannot_do():
    model = fixed_logits(np.full((4, 5), np.nan))
    options: dict[str, Any] = {"eos": 2, "pad": 0, "seed": 0}
    with pytest.raises(PipelineError, match="not finite"):
        sample(model, np.array([1]), 2, length=3, **options)
    with pytest.raises(ValueError, match="length = 6"):
        sample(model, np.array([1]), 2, length=6, **options)
    with pytest.raises(ValueError, match="top_p"):
        sample(model, np.array([1]), 2, length=3, top_p=0, **options)
    assert sample(model, np.array([1]), 0, length=3, **options).shape == (0, 3)


# train


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "train.steps must be at least 1, got 0"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"holdout": 0.6}, "at most 0.5"),
        ({"patience": -1}, "patience must be at least 0, got -1"),
        ({"clip": float("nan")}, "clip must be between 0 and .*, got nan"),
    ],
)
def test_an_impossible_training_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        TrainConfig(**change)


def test_it_learns_an_easy_rule_at_two_sizes():
    encoder, model = learner()
    data = {n: rule_data(n, 300, n) for n in (4, 5)}
    config = TrainConfig(steps=250, batch=64, learning_rate=3e-3, warmup=20, patience=0)
    seen = []
    result = train(model, encoder, data, config, seed=0, progress=lambda *a: seen.append(a))
    assert [s[:2] for s in seen] == [(i, 250) for i in range(1, 251)]
    assert result.curve[-1][1] < 0.5 * seen[0][2]
    assert result.steps == 250
    assert not result.stopped_early
    assert [entry[0] for entry in result.curve] == [50, 100, 150, 200, 250]
    for n in (4, 5):
        tokens = sample(
            model, encoder.prefix(n), 200, length=encoder.max_length, eos=EOS, pad=PAD, seed=0
        )
        cells, ok = encoder.decode(tokens, n)
        assert ok.mean() > 0.85
        assert obeys(cells[ok], n).mean() > 0.75


def test_the_same_training_gives_the_same_bits():
    results = []
    for seed in (0, 0, 1):
        encoder, model = learner()
        data = {n: rule_data(n, 40, n) for n in (4, 5)}
        results.append((train(model, encoder, data, TrainConfig(steps=12), seed=seed), model))
    assert bits_of(results[0][1]) == bits_of(results[1][1])
    assert bits_of(results[0][1]) != bits_of(results[2][1])
    assert results[0][0].curve == results[1][0].curve
    first, second = (result.optimizer_state for result, _ in results[:2])
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_early_stop_brings_back_the_best_weights():
    encoder, model = learner(sizes=(4,), width=64)
    noise = pack(np.eye(16, dtype=bool)[np.random.default_rng(0).permutation(16)])
    data = {4: np.concatenate([noise, noise])[:24]}
    data = {4: np.unique(data[4], axis=0)}
    config = TrainConfig(
        steps=400, batch=8, learning_rate=1e-2, warmup=1, holdout=0.4, evaluate_every=5, patience=3
    )
    result = train(model, encoder, data, config, seed=0)
    assert result.stopped_early
    assert result.steps == result.best_step + 15 < 400
    best = min(result.curve, key=lambda entry: entry[2] or np.inf)
    assert (result.best_step, result.holdout_loss) == (best[0], best[2])
    # The weights are those of the best step: a training cut off there ends with the same.
    encoder, again = learner(sizes=(4,), width=64)
    stops = []

    def stop(step, steps, loss):
        if step > result.best_step:
            stops.append(step)
            raise KeyboardInterrupt

    weights = {}

    def watch(step, steps, loss):
        if step == result.best_step:
            weights.update(bits_of(again))
        stop(step, steps, loss)

    with pytest.raises(KeyboardInterrupt):
        train(again, encoder, data, config, seed=0, progress=watch)
    assert stops == [result.best_step + 1]
    assert bits_of(model) == weights


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_handful_of_constructions_is_enough(count):
    encoder, model = learner()
    data = {4: rule_data(4, count, 0), 5: rule_data(5, 0, 0)}
    result = train(model, encoder, data, TrainConfig(steps=3), seed=0)
    assert result.holdout_loss is None
    assert result.best_step == result.steps == 3
    assert np.isfinite(result.train_loss)


def test_no_constructions_are_refused():
    encoder, model = learner()
    for nothing in ({}, {4: rule_data(4, 0, 0)}):
        with pytest.raises(ValueError, match="at least one"):
            train(model, encoder, nothing, TrainConfig(steps=3), seed=0)


def test_a_next_round_goes_on_with_the_moments(tmp_path):
    encoder, model = learner()
    data = {4: rule_data(4, 30, 0)}
    config = TrainConfig(steps=5, holdout=0.0)
    first = train(model, encoder, data, config, seed=0)
    save_optimizer(tmp_path / "optimizer.safetensors", first.optimizer_state)
    state = load_optimizer(tmp_path / "optimizer.safetensors")
    before = {name: tensor.clone() for name, tensor in state.items()}
    second = train(model, encoder, data, config, seed=1, optimizer_state=state)
    assert second.optimizer_state["head.weight.step"] == 10
    assert all(torch.equal(state[name], before[name]) for name in state)  # not written to
    _, other = learner(width=64)
    with pytest.raises(RunError, match="train without it"):
        train(other, encoder, data, config, seed=1, optimizer_state=state)
    with pytest.raises(RunError, match="another model"):
        train(model, encoder, data, config, seed=1, optimizer_state={"x": torch.zeros(1)})


def test_a_diverging_training_says_so():
    encoder, model = learner()
    with torch.no_grad():
        model.head.weight[0, 0] = torch.nan
    with pytest.raises(PipelineError, match="lower the learning rate"):
        train(model, encoder, {4: rule_data(4, 9, 0)}, TrainConfig(steps=3), seed=0)


def test_the_prefix_is_not_learnt():
    encoder, model = learner(sizes=(5,))
    before = model(torch.tensor([[BOS]])).softmax(-1)[0, 0, encoder.prefix(5)[1]].item()
    train(model, encoder, {5: rule_data(5, 50, 0)}, TrainConfig(steps=40), seed=0)
    after = model(torch.tensor([[BOS]])).softmax(-1)[0, 0, encoder.prefix(5)[1]].item()
    assert after < max(2 * before, 0.2)


# checkpoint


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(path, GPT(SMALL, seed=4))
    return path


def test_a_model_comes_back_as_it_was(saved):
    again = load_model(saved, SMALL)
    assert bits_of(again) == bits_of(GPT(SMALL, seed=4))
    assert again.config == SMALL
    assert all(weight.requires_grad for weight in again.parameters())
    assert bits_of(load_model(saved)) == bits_of(again)
    first = saved.read_bytes()
    save_model(saved, again)
    assert saved.read_bytes() == first


def test_another_shape_is_refused_with_both_named(saved):
    with pytest.raises(RunError, match="width = 16, expected 32"):
        load_model(saved, replace(SMALL, width=32))


@pytest.mark.parametrize("write", [pickle.dumps, torch.save])
def test_pickles_and_torch_files_are_refused_unread(tmp_path, write):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("it was loaded",))

    path = tmp_path / "model.safetensors"
    if write is torch.save:
        torch.save({"weight": torch.zeros(2), "bomb": Bomb()}, path)
    else:
        path.write_bytes(pickle.dumps(Bomb()))
    for load in (load_model, load_optimizer):
        with pytest.raises(RunError, match="pickle or zip archive"):
            load(path)


def test_a_header_that_looks_like_a_pickle_is_not_mistaken_for_one(tmp_path):
    path = tmp_path / "optimizer.safetensors"
    found = set()
    for size in range(1, 400):
        save_optimizer(path, {"x" * size: torch.ones(1)})
        if path.read_bytes()[:1] == b"\x80":
            found.add(size)
            assert load_optimizer(path)["x" * size] == 1
    assert found


def test_damaged_files_are_refused_in_one_line(saved, tmp_path):
    whole = saved.read_bytes()
    for cut in (0, 5, 40, len(whole) // 2, len(whole) - 1):
        saved.write_bytes(whole[:cut])
        with pytest.raises(RunError, match="truncated or no safetensors") as caught:
            load_model(saved)
        assert "\n" not in str(caught.value)
    with pytest.raises(RunError, match="cannot be read"):
        load_model(tmp_path / "missing.safetensors")
    with pytest.raises(RunError, match="cannot be read"):
        load_model(tmp_path)


def rewrite(path, tensors=None, about=None):
    model = GPT(SMALL)
    tensors = model.state_dict() if tensors is None else tensors
    metadata = None if about is None else {"pipeline": json.dumps(about)}
    path.write_bytes(safetensors.torch.save(tensors, metadata))


def test_files_without_a_sound_config_are_refused(saved):
    config = {"vocab_size": 11, "block_size": 12, "layers": 2, "heads": 2, "width": 16}
    rewrite(saved)
    with pytest.raises(RunError, match="no config"):
        load_model(saved)
    for about in ([], {"kind": "model"}):
        rewrite(saved, about=about)
        with pytest.raises(RunError, match="no config"):
            load_model(saved)
    for bad in (None, {}, {**config, "width": 15}, {**config, "layers": 10**9}, {**config, "z": 1}):
        rewrite(saved, about={"format": 1, "kind": "model", "config": bad})
        with pytest.raises(RunError, match="config is not valid"):
            load_model(saved)
    rewrite(saved, about={"format": 2, "kind": "model", "config": config})
    with pytest.raises(RunError, match="format 2"):
        load_model(saved)
    rewrite(saved, about={"format": 1, "kind": "optimizer"})
    with pytest.raises(RunError, match="'optimizer'"):
        load_model(saved)


def test_missing_extra_and_misshapen_tensors_are_refused(saved):
    about = {"format": 1, "kind": "model", "config": vars(SMALL)}
    full = dict(GPT(SMALL).state_dict())
    cases = {
        r"lacks 1 tensor \(head.weight\)": {k: v for k, v in full.items() if k != "head.weight"},
        r"adds 1 tensor \(other\)": {**full, "other": torch.zeros(1)},
        r"head.weight is F32 \(11, 8\)": {**full, "head.weight": torch.zeros(11, 8)},
        "head.weight is F64": {**full, "head.weight": torch.zeros(11, 16, dtype=torch.float64)},
    }
    for message, tensors in cases.items():
        rewrite(saved, tensors, about)
        with pytest.raises(RunError, match=message):
            load_model(saved)


# device


def test_a_missing_device_names_the_way_out(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UsageError) as caught:
        pick_device("cuda")
    assert str(caught.value) == (
        "--device cuda: this machine has no CUDA device (torch sees none); use --device cpu"
    )
    assert pick_device("auto") == pick_device("cpu") == torch.device("cpu")
    with pytest.raises(UsageError, match="did you mean 'cuda'"):
        pick_device("cudo")


def test_auto_takes_cuda_then_mps(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device().type == "cuda"


def test_a_device_is_described_and_seeded():
    assert describe(torch.device("cpu")).startswith("cpu, ")
    drawn = [torch.rand(3, generator=seed_generator(1)) for _ in range(2)]
    assert torch.equal(*drawn)
    with pytest.raises(UsageError, match="threads = 0"):
        seed_generator(1, threads=0)

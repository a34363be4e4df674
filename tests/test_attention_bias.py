"""Attention bias: its table, its bias, and that every decoder agrees."""

import json
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from pipeline.config import TrainConfig
from pipeline.core.bitset import pack
from pipeline.core.ground_set import GroundSet
from pipeline.errors import RunError, UsageError
from pipeline.model.attention_bias import relations
from pipeline.model.checkpoint import load_model, save_model
from pipeline.model.decode import Batch, Lanes
from pipeline.model.gpt import CLASSES, GPT, Block, GPTConfig
from pipeline.model.sample import sample
from pipeline.model.tokens import EOS, PAD, Encoder, make_encoder
from pipeline.model.train import train
from pipeline.plugins import load_problem

FP32, BF16 = torch.float32, torch.bfloat16
KINDS = ["distance", "offset"]
PROBLEM = load_problem("isosceles")
gpu = pytest.mark.gpu


pytestmark = pytest.mark.usefixtures("one_thread")


def written(sizes, kind="points", symmetry=None):
    return make_encoder(kind, {n: PROBLEM.ground(n) for n in sizes}, symmetry)


ENCODER = written((3, 4))


def table(kind="distance", encoder: Encoder = ENCODER) -> np.ndarray:
    found = relations(encoder, kind)
    assert found is not None
    return found


def shape(bias="distance", width=16, heads=2, length=14):
    return GPTConfig(ENCODER.vocab_size, length, 2, heads, width, bias)


def net(bias="distance", width=16, heads=2, seed=0, length=14, spread=2.0):
    """Return a model whose biases are drawn, with that deviation."""
    given = None if bias == "off" else table(bias)
    model = GPT(shape(bias, width, heads, length), given, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for bias in biases(model):
            bias.copy_(spread * torch.randn(bias.shape, generator=generator))
    return model


def biases(model):
    return [weight for name, weight in model.named_parameters() if name.endswith(".bias")]


def lines(rows=37, length=14, seed=0):
    """Return token sequences int64 ``(rows, length)`` that all begin alike."""
    tokens = np.random.default_rng(seed).integers(ENCODER.vocab_size, size=(rows, length))
    tokens[:, :3] = 1, 4, 9
    return torch.from_numpy(tokens)


# the table


@pytest.mark.parametrize(("kind", "symmetry"), [("points", None), ("orbits", "half-turn")])
@pytest.mark.parametrize("bias", KINDS)
def test_the_table_is_that_of_counting_by_hand(bias, kind, symmetry):
    encoder = written((3, 5, 6), kind, symmetry)
    found = table(bias, encoder)
    place = {}
    for n in encoder.sizes:
        for cell in np.ndindex(n, n):
            twin = (n - 1 - cell[0], n - 1 - cell[1])
            if symmetry is None or cell <= twin:
                alone = np.zeros((n, n), bool)
                alone[cell] = True
                if symmetry:
                    alone[twin] = True
                token = int(encoder.encode(pack(alone.reshape(1, -1)), n)[0, 2])
                assert place.setdefault(token, cell) == cell
    seen: dict[int, Any] = {}
    for a in range(encoder.vocab_size):
        for b in range(encoder.vocab_size):
            if a not in place or b not in place:
                assert found[a, b] == 0
                continue
            gaps = sorted(abs(p - q) for p, q in zip(place[a], place[b], strict=True))
            relation = tuple(gaps) if bias == "offset" else gaps[0] ** 2 + gaps[1] ** 2
            assert seen.setdefault(int(found[a, b]), relation) == relation
    assert len(place) == encoder.vocab_size - 6
    assert len(set(seen.values())) == len(seen)
    assert min(seen) == 1
    assert max(seen) < CLASSES


@pytest.mark.parametrize("bias", KINDS)
def test_far_relations_share_a_class_and_near_ones_do_not(bias):
    encoder = written((20,))
    found = table(bias, encoder)[4:, 4:].reshape(20, 20, 20, 20)[0, 0]
    assert found.min() == 1
    assert found.max() < CLASSES
    assert len(np.unique(found)) > 50
    near = [int(found[r, c]) for r, c in combinations_with_replacement(range(4), 2)]
    assert len(set(near)) == len(near)
    assert found[0, 19] == found[0, 18] or bias == "distance"
    along = found[0].astype(int)
    assert (np.diff(along) >= 0).all() or bias == "offset"
    assert np.array_equal(found, found.T)


@pytest.mark.parametrize("bias", KINDS)
@pytest.mark.parametrize("d", [1, 3, 8, 70])
def test_any_number_of_coordinates_will_do(bias, d):
    rng = np.random.default_rng(0)
    coords = np.unique(rng.integers(-50, 50, size=(40, d)), axis=0).astype(np.int32)
    ground = GroundSet(7, coords, np.arange(len(coords), dtype=np.int32)[None])
    found = table(bias, make_encoder("points", {7: ground}))
    assert np.array_equal(found, found.T)
    assert found[4:, 4:].min() == 1
    assert found.max() < CLASSES
    assert set(np.diag(found)[4:].tolist()) == {1}


def test_what_has_no_bias_is_refused_in_one_line():
    assert relations(ENCODER, "off") is None
    with pytest.raises(UsageError, match="did you mean 'distance'"):
        relations(ENCODER, "distanse")
    with pytest.raises(UsageError, match="did you mean 'offset'"):
        shape("ofset")
    with pytest.raises(UsageError, match="'dense' tokens do not stand for elements"):
        relations(written((3,), "dense"), "offset")
    moving = written((3, 4))
    moving.element_tokens = lambda n: np.arange(n * n, dtype=np.int32) + 5  # by number, not place
    with pytest.raises(UsageError, match="token 8 stands for elements at several places"):
        relations(moving, "offset")
    with pytest.raises(UsageError, match="8192 at most"):
        relations(written((91,)), "distance")


# the bias


@torch.no_grad()
@pytest.mark.parametrize("bias", KINDS)
@pytest.mark.parametrize("dtype", [FP32, BF16])
def test_without_a_bias_it_is_the_plain_model_bit_for_bit(bias, dtype):
    plain, knowing = net("off", 64, 4), net(bias, 64, 4, spread=0)
    tokens = lines()
    with torch.autocast("cpu", dtype, enabled=dtype == BF16):
        assert torch.equal(plain(tokens), knowing(tokens))
    machines = [Lanes(model, 37, 14, dtype) for model in (plain, knowing)]
    assert torch.equal(*(machine.begin(tokens[0, :3].numpy(), 37) for machine in machines))
    for position in range(3, 14):
        assert torch.equal(*(machine.step(tokens[:, position].numpy()) for machine in machines))


def test_the_bias_is_added_to_the_scores_of_its_relation():
    model = net()
    relation = table()
    tokens = lines(5)
    x = model.tokens(tokens) + model.positions.weight
    for block in model.blocks:
        assert isinstance(block, Block)
        assert block.bias is not None
        q, k, v = block.project(x)
        y = torch.zeros_like(v)
        for b, h, i in np.ndindex(5, 2, 14):
            scores = torch.stack(
                [
                    q[b, h, i] @ k[b, h, j] / 8**0.5
                    + block.bias[h, int(relation[tokens[b, i], tokens[b, j]])]
                    for j in range(i + 1)
                ]
            )
            y[b, h, i] = scores.softmax(0) @ v[b, h, : i + 1]
        x = block.close(x, y)
    assert torch.allclose(model(tokens), model.head(model.norm(x)), atol=1e-5)
    assert not torch.allclose(model(tokens), net(spread=0)(tokens), atol=0.1)


@pytest.mark.parametrize("dtype", [FP32, BF16])
def test_the_bias_is_learnt_where_its_relation_is_seen(dtype):
    model, tokens = net(), lines()
    with torch.autocast("cpu", dtype, enabled=dtype == BF16):
        loss = model(tokens).float().log_softmax(-1).square().mean()
    loss.backward()
    relation = torch.from_numpy(table())
    seen = {int(relation[a, b]) for row in tokens for i, a in enumerate(row) for b in row[: i + 1]}
    unseen = [c for c in range(CLASSES) if c not in seen]
    assert unseen
    for bias in biases(model):
        assert bias.grad is not None
        assert torch.isfinite(bias.grad).all()
        assert (bias.grad[:, sorted(seen)] != 0).all()
        assert not bias.grad[:, unseen].any()


def test_the_gradient_of_the_bias_is_that_of_finite_differences():
    model, tokens = net().double(), lines()  # float32 rounds the difference away
    model(tokens).log_softmax(-1).square().mean().backward()
    bias, step = biases(model)[0], 1e-5
    assert bias.grad is not None
    with torch.no_grad():
        bias[1, 2] += step
        up = model(tokens).log_softmax(-1).square().mean()
        bias[1, 2] -= 2 * step
        down = model(tokens).log_softmax(-1).square().mean()
    assert bias.grad[1, 2].item() == pytest.approx((up - down).item() / (2 * step), rel=1e-6)


# decoding


@torch.no_grad()
@pytest.mark.parametrize("kind", [Lanes, Batch])
@pytest.mark.parametrize(("width", "heads"), [(16, 2), (24, 3), (64, 4)])
@pytest.mark.parametrize("dtype", [FP32, BF16])
def test_the_cache_changes_nothing(kind, width, heads, dtype):
    model, tokens = net("offset", width, heads), lines()
    whole = model(tokens)
    machine = kind(model, 37, 14, dtype)
    close: dict[str, Any] = {"atol": 2e-5 if dtype == FP32 else 0.08}
    for _ in range(2):
        kept = np.arange(37)
        logits = machine.begin(tokens[0, :3].numpy(), 37)
        for position in range(3, 14):
            assert torch.allclose(logits.float(), whole[kept, position - 1], **close)
            if position in (5, 9, 10):
                index = np.flatnonzero(np.arange(len(kept)) % 5 != position % 3)
                machine.keep(index)
                kept = kept[index]
            logits = machine.step(tokens[kept, position].numpy())
        assert torch.allclose(logits.float(), whole[kept, 13], **close)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [FP32, BF16])
def test_a_sequence_has_the_same_bits_in_every_batch(dtype):
    model, tokens = net("distance", 64, 4), lines(70).numpy()

    def logits_of(rows, drop):
        machine = Lanes(model, len(rows), 14, dtype)
        found = [machine.begin(tokens[0, :3], len(rows))]
        for position in range(3, 14):
            found.append(machine.step(tokens[rows, position]))
            if position == 7 and drop:
                machine.keep(np.arange(1, len(rows)))
                rows = rows[1:]
        return [logits[-1] for logits in found]

    alone = logits_of(np.array([69]), drop=False)
    for rows in (np.arange(70), np.arange(53, 70), np.arange(66, 70)):
        for drop in (False, True):
            assert all(map(torch.equal, logits_of(rows, drop), alone))


@torch.no_grad()
@pytest.mark.parametrize("bias", KINDS)
def test_greedy_decoding_gives_the_tokens_of_the_whole_model(bias):
    for seed in range(4):
        model = net(bias, 24, 3, seed, length=20)
        options: dict[str, Any] = {"eos": EOS, "pad": PAD, "temperature": 0, "seed": 0}
        drawn = sample(model, np.array([1, 4]), 3, length=20, precision="fp32", **options)
        tokens = [1, 4]
        while len(tokens) < 20 and tokens[-1] != EOS:
            tokens.append(int(model(torch.tensor([tokens]))[0, -1].argmax()))
        assert drawn.tolist() == [tokens + [PAD] * (20 - len(tokens))] * 3


def test_batches_change_no_sample():
    model = net("offset", 64, 4, spread=0.5)
    options: dict[str, Any] = {"length": 14, "eos": EOS, "pad": PAD, "seed": 7}
    for precision in ("fp32", "bf16"):
        whole = sample(model, np.array([1, 4]), 100, precision=precision, **options)
        for batch in (1, 7, 64):
            again = sample(model, np.array([1, 4]), 70, precision=precision, batch=batch, **options)
            assert np.array_equal(again, whole[:70])


# training and files


def test_training_moves_the_bias_and_repeats_itself():
    rng = np.random.default_rng(0)
    data = {n: pack(rng.random((40, n * n)) < 0.3) for n in (3, 4)}
    config = TrainConfig(steps=8, evaluate_every=4, batch=16)
    found = []
    for _ in range(2):
        model = GPT(shape(length=ENCODER.max_length), table())
        result = train(model, ENCODER, data, config, seed=0)
        found.append((model.state_dict(), result.optimizer_state))
        assert all(bias.abs().sum() > 0 for bias in biases(model))
    for first, second in zip(*found, strict=True):
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_bias_learns_faster_than_a_weight_and_goes_on_with_its_moments():
    data = {4: pack(np.random.default_rng(0).random((20, 16)) < 0.3)}
    config = TrainConfig(steps=1, warmup=1, learning_rate=1e-3, holdout=0.0)
    model = GPT(shape(length=ENCODER.max_length), table())
    result = train(model, ENCODER, data, config, seed=0)
    # Adam's first step is as long as the rate wherever there is a gradient.
    assert max(bias.abs().max().item() for bias in biases(model)) == pytest.approx(2e-2, rel=0.01)
    gain = model.get_parameter("norm.weight")
    assert (gain - 1).abs().max().item() == pytest.approx(1e-3, rel=0.01)
    state = result.optimizer_state
    again = train(model, ENCODER, data, config, seed=1, optimizer_state=state).optimizer_state
    assert state["blocks.1.bias.step"] == 1
    assert again["blocks.1.bias.step"] == 2


def test_an_untrained_model_has_the_weights_of_the_plain_one():
    plain = net("off").state_dict()
    knowing = GPT(shape(), table()).state_dict()
    assert {name for name in knowing if name not in plain} == {f"blocks.{i}.bias" for i in (0, 1)}
    assert all(torch.equal(plain[name], knowing[name]) for name in plain)


def test_a_model_comes_back_from_its_file(tmp_path):
    path = tmp_path / "model.safetensors"
    model = net("offset")
    save_model(path, model)
    assert "relation" not in safetensors.torch.load_file(path)
    again = load_model(path, model.config, relation=table("offset"))
    assert again.config.attention_bias == "offset"
    assert torch.equal(again(lines()), model(lines()))
    with pytest.raises(RunError, match="attention_bias = offset, expected distance"):
        load_model(path, shape("distance"))
    bare = load_model(path)
    for use in (lambda: bare(lines()), lambda: Lanes(bare, 1, 14, FP32)):
        with pytest.raises(ValueError, match="needs its relation table"):
            use()


def test_a_file_from_before_there_was_bias_still_loads(tmp_path):
    path = tmp_path / "model.safetensors"
    model = net("off")
    config = {key: value for key, value in vars(model.config).items() if key != "attention_bias"}
    about = {"format": 1, "kind": "model", "config": config}
    path.write_bytes(safetensors.torch.save(model.state_dict(), {"pipeline": json.dumps(about)}))
    again = load_model(path, shape("off"))
    assert torch.equal(again(lines()), model(lines()))


def test_a_file_that_calls_its_bias_as_before_still_loads(tmp_path):
    path = tmp_path / "model.safetensors"
    model = net("offset")
    config = vars(model.config) | {"geometry": "offset"}
    del config["attention_bias"]
    about = {"format": 1, "kind": "model", "config": config}
    path.write_bytes(safetensors.torch.save(model.state_dict(), {"pipeline": json.dumps(about)}))
    again = load_model(path, shape("offset"), relation=table("offset"))
    assert torch.equal(again(lines()), model(lines()))


def test_a_table_that_does_not_fit_is_refused():
    good = table()
    for bad in (good[:-1], good.astype(np.int64), good + np.uint8(60)):
        with pytest.raises(ValueError, match="expected uint8"):
            GPT(shape(), bad)
    with pytest.raises(ValueError, match="without an attention bias"):
        GPT(shape("off"), good)


# a GPU


@gpu
@torch.no_grad()
def test_a_gpu_knows_the_bias():
    model, tokens = net("offset", 64, 4), lines(50)
    whole = model(tokens)
    model = model.to("cuda")
    assert torch.allclose(model(tokens.to("cuda")).cpu(), whole, atol=1e-3)
    machine = Batch(model, 50, 14, FP32)
    logits = machine.begin(tokens[0, :3].numpy(), 50)
    for position in range(3, 14):
        logits = machine.step(tokens[:, position].numpy())
    assert torch.allclose(logits.cpu(), whole[:, -1], atol=1e-3)


@gpu
def test_a_gpu_learns_the_bias():
    rng = np.random.default_rng(0)
    data = {n: pack(rng.random((40, n * n)) < 0.3) for n in (3, 4)}
    config = TrainConfig(steps=40, evaluate_every=20, batch=16)
    found = []
    for _ in range(2):
        model = GPT(shape(length=ENCODER.max_length), table()).to("cuda")
        found.append(train(model, ENCODER, data, config, seed=0).curve)
        assert all(bias.abs().sum() > 0 for bias in biases(model))
    assert found[0] == found[1]
    assert found[0][-1][1] < found[0][0][1]

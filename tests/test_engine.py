"""The engine: its kernels against torch, its decoders against the whole model, its rates."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from pipeline.config import TrainConfig
from pipeline.core.bitset import pack, unpack
from pipeline.errors import PipelineError, UsageError
from pipeline.generators.token_mask import TokenMask
from pipeline.model import decode_kernels, device
from pipeline.model.decode import Batch, Lanes, as_numpy, decoder
from pipeline.model.device_mask import TableGuide
from pipeline.model.gpt import GPT, GPTConfig
from pipeline.model.sample import _choose_there, choose, sample
from pipeline.model.tokens import EOS, PAD, make_encoder
from pipeline.model.train import _batches, train
from pipeline.plugins import load_problem

FP32, BF16 = torch.float32, torch.bfloat16
CPU = torch.device("cpu")
CIRCLE = f"{Path(__file__).parent / 'plugins' / 'no_four_on_a_circle.py'}:NoFourOnACircle"
SHAPES = [(16, 2), (24, 3), (64, 4)]
gpu = pytest.mark.gpu


pytestmark = pytest.mark.usefixtures("one_thread")


def net(width=16, heads=2, seed=0, vocabulary=23, length=14):
    return GPT(GPTConfig(vocabulary, length, 2, heads, width), seed=seed)


def numbers(*shape, seed=0, dtype=FP32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def tolerance(dtype) -> dict[str, Any]:
    return {"atol": 2e-6, "rtol": 2e-6} if dtype == FP32 else {"atol": 0.02, "rtol": 0.02}


# kernels


@pytest.mark.parametrize("dtype", [FP32, BF16])
def test_gelu_and_norm_are_those_of_torch(dtype):
    x = 4 * numbers(37, 19)
    gain = numbers(37, seed=1)
    out = torch.empty(37, 19, dtype=dtype)
    decode_kernels.normalise(x.numpy(), gain.numpy(), np.empty(19, np.float32), as_numpy(out))
    expected = F.rms_norm(x.T, (37,), gain).T.to(dtype)
    assert torch.allclose(out.float(), expected.float(), **tolerance(dtype))
    values = torch.cat([x.flatten(), torch.tensor([0.0, -0.0, 60.0, -60.0, 1e4, -1e4])]).to(dtype)
    expected = F.gelu(values.float(), approximate="tanh").to(dtype)
    decode_kernels.gelu(as_numpy(values))
    assert torch.allclose(values.float(), expected.float(), **tolerance(dtype))


@pytest.mark.parametrize("dtype", [FP32, BF16])
@pytest.mark.parametrize(("width", "heads"), SHAPES)
@pytest.mark.parametrize("positions", [1, 2, 9])
@pytest.mark.parametrize("related", [False, True])
def test_attention_is_that_of_torch(width, heads, positions, related, dtype):
    lanes, size = 21, width // heads
    query, cache = 3 * numbers(width, lanes), numbers(positions, 2 * width, lanes, seed=1)
    query, cache = query.to(dtype), cache.to(dtype)
    bias = 2 * numbers(heads, 7, seed=2)
    classes = torch.randint(7, (positions, lanes), generator=torch.Generator().manual_seed(3))
    out = torch.empty(width, lanes, dtype=dtype)
    scratch = np.empty((positions + size + 2, lanes), np.float32)
    given = classes.numpy().astype(np.uint8)[: positions if related else 0]
    decode_kernels.attend(
        as_numpy(query), as_numpy(cache), bias.numpy(), given, scratch, as_numpy(out)
    )
    q = query.float().view(heads, size, 1, lanes).permute(3, 0, 2, 1)
    k, v = (
        half.float().view(positions, heads, size, lanes).permute(3, 1, 0, 2)
        for half in (cache[:, :width].clone(), cache[:, width:].clone())
    )
    mask = bias[:, classes].permute(2, 0, 1)[:, :, None] if related else None
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    expected = expected.permute(1, 3, 2, 0).reshape(width, lanes)
    assert torch.allclose(out.float(), expected, **tolerance(dtype))


def test_bfloat16_is_rounded_as_torch_rounds_it():
    drawn = numbers(4000)
    halves = (drawn.view(torch.int32) & ~0xFFFF | 0x8000).view(FP32)  # as far from both
    gain = torch.cat([drawn, 1e-38 * drawn, 1e38 * drawn, halves, torch.tensor([0.0, -0.0])])
    # A norm of equal features leaves the gain, exactly so for a power of two that is large.
    same = np.full((len(gain), 1), 4096, np.float32)
    out = torch.empty(len(gain), 1, dtype=BF16)
    decode_kernels.normalise(same, gain.numpy(), np.empty(1, np.float32), as_numpy(out))
    assert torch.equal(out[:, 0].view(torch.int16), gain.to(BF16).view(torch.int16))


def test_nothing_that_is_not_a_number_is_lost():
    for bad in (np.nan, np.inf):
        for name in ("tokens", "blocks.1.qkv", "blocks.0.mix", "blocks.0.up", "norm", "head"):
            for dtype in ("fp32", "bf16"):
                model = net()
                with torch.no_grad():
                    weight = model.get_parameter(f"{name}.weight")
                    weight.view(-1)[0 if name != "tokens" else model.config.width] = bad
                with pytest.raises(PipelineError, match="not finite"):
                    sample(
                        model, np.array([1, 1]), 5, length=9, eos=2, pad=0, seed=0, precision=dtype
                    )


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1e-30, 0.7, 1.0, 3.0]), st.data())
def test_both_ways_to_draw_agree(seed, temperature, data):
    rng = np.random.default_rng(seed)
    rows, vocabulary = 5, 9
    logits = torch.from_numpy(rng.normal(scale=3, size=(rows, vocabulary)).astype(np.float32))
    uniforms = rng.random(rows)
    uniforms[0], uniforms[1] = 0, np.nextafter(1, 0)
    legal = rng.random((rows, vocabulary)) < rng.random() if data.draw(st.booleans()) else None
    top_p = data.draw(st.sampled_from([1.0, 0.9, 0.4, 1e-9]))
    options = (legal, EOS, temperature, top_p)
    there = _choose_there(logits, uniforms, *options)
    here = choose(logits, uniforms, *options)
    assert here.tolist() == there.tolist()
    if legal is not None:
        assert all(legal[i, t] or (t == EOS and not legal[i].any()) for i, t in enumerate(here))


# decoders


@torch.no_grad()
@pytest.mark.parametrize("kind", [Lanes, Batch])
@pytest.mark.parametrize(("width", "heads"), SHAPES)
@pytest.mark.parametrize("dtype", [FP32, BF16])
def test_the_cache_changes_nothing(kind, width, heads, dtype):
    model = net(width, heads)
    tokens = torch.randint(23, (37, 14), generator=torch.Generator().manual_seed(0))
    tokens[:, :3] = torch.tensor([1, 3, 4])
    whole = model(tokens)
    machine = kind(model, 37, 14, dtype)
    close: dict[str, Any] = {"atol": 1e-5 if dtype == FP32 else 0.06}
    for _ in range(2):  # a decoder can begin anew
        kept = np.arange(37)
        logits = machine.begin(tokens[0, :3].numpy(), 37)
        for position in range(3, 14):
            assert logits.shape == (len(kept), 23)
            assert torch.allclose(logits.float(), whole[kept, position - 1], **close)
            if position in (5, 9, 10):
                index = np.flatnonzero(np.arange(len(kept)) % 5 != position % 3)
                machine.keep(index)
                kept = kept[index]
            logits = machine.step(tokens[kept, position].numpy())
        assert torch.allclose(logits.float(), whole[kept, 13], **close)


@torch.no_grad()
@pytest.mark.parametrize("width", [16, 64])
@pytest.mark.parametrize("dtype", [FP32, BF16])
def test_a_sequence_has_the_same_bits_in_every_batch(width, dtype):
    model = net(width, 4)
    tokens = np.random.default_rng(0).integers(23, size=(14, 70))
    prefix = np.array([1, 3])

    def logits_of(rows, drop):
        machine = Lanes(model, len(rows), 14, dtype)
        found = [machine.begin(prefix, len(rows))]
        for position in range(2, 14):
            found.append(machine.step(tokens[position, rows]))
            if position == 7 and drop:
                machine.keep(np.arange(1, len(rows)))
                rows = rows[1:]
        return [logits[-1] for logits in found]

    alone = logits_of(np.array([69]), drop=False)
    for rows in (np.arange(70), np.arange(53, 70), np.arange(66, 70)):
        for drop in (False, True):
            assert all(map(torch.equal, logits_of(rows, drop), alone))


@pytest.mark.parametrize(("width", "heads"), SHAPES)
def test_greedy_decoding_gives_the_tokens_of_the_whole_model(width, heads):
    for seed in range(3):
        model = net(width, heads, seed, length=20)
        options: dict[str, Any] = {"eos": 2, "pad": 0, "temperature": 0, "seed": 0}
        drawn = sample(model, np.array([1, 4]), 3, length=20, precision="fp32", **options)
        tokens = [1, 4]
        while len(tokens) < 20 and tokens[-1] != 2:
            tokens.append(int(model(torch.tensor([tokens]))[0, -1].argmax()))
        assert drawn.tolist() == [tokens + [0] * (20 - len(tokens))] * 3


def test_batches_change_no_sample_in_bfloat16():
    model = net(64, 4, seed=3)
    options: dict[str, Any] = {"length": 14, "eos": 2, "pad": 0, "seed": 7, "precision": "bf16"}
    whole = sample(model, np.array([1, 4]), 150, **options)
    assert (whole == 2).any(axis=1).mean() > 0.2
    for batch in (1, 7, 64):
        again = sample(model, np.array([1, 4]), 70, batch=batch, **options)
        assert np.array_equal(again, whole[:70])


@pytest.mark.parametrize("kind", ["points", "dense", "orbits"])
def test_masked_samples_are_valid(kind):
    problem = load_problem("no-3-in-line")
    encoder = make_encoder(
        kind,
        {4: problem.ground(4), 6: problem.ground(6)},
        "half-turn" if kind == "orbits" else None,
    )
    model = GPT(GPTConfig(encoder.vocab_size, encoder.max_length, 2, 4, 64))
    tokens = sample(
        model,
        encoder.prefix(6),
        60,
        length=encoder.max_length,
        eos=EOS,
        pad=PAD,
        seed=0,
        batch=33,
        guide_factory=lambda rows: TokenMask(problem, encoder, 6, rows),
    )
    cells, ok = encoder.decode(tokens, 6)
    assert ok.all()
    assert problem.validate(cells, 6).all()
    assert problem.score(cells, 6).max() > 2


@pytest.mark.parametrize("maximal", [False, True])
@pytest.mark.parametrize("spec", ["isosceles", "no-3-in-line"])
@pytest.mark.parametrize(
    ("kind", "symmetry", "order"),
    [("points", None, "sorted"), ("points", None, "random"), ("orbits", "half-turn", "sorted")],
)
def test_a_table_guides_as_the_counts_do(spec, kind, symmetry, order, maximal):
    problem, rows = load_problem(spec), 30
    encoder = make_encoder(kind, {n: problem.ground(n) for n in (4, 5)}, symmetry, order)
    guide = TokenMask(problem, encoder, 5, rows, maximal)
    table = guide.table()
    assert table is not None
    other = TableGuide(table, encoder.vocab_size, CPU)
    for _ in range(2):
        other.begin(rows).advance(np.full(rows, encoder.element_tokens(5)[0]))
    other.begin(rows)
    rng = np.random.default_rng(0)
    for step in range(20):
        legal = guide.legal()
        assert np.array_equal(legal, other.legal().numpy())
        tokens = np.array([rng.choice(np.flatnonzero(row)[-9:]) for row in legal])
        guide.advance(tokens)
        other.advance(tokens)
        if step == 2:
            index = np.arange(1, rows, 2)
            guide.keep(index)
            other.keep(index)


@pytest.mark.parametrize("spec", ["isosceles", "no-3-in-line"])
def test_in_random_order_nothing_can_be_added_to_a_maximal_sample(spec):
    problem = load_problem(spec)
    encoder = make_encoder("points", {n: problem.ground(n) for n in (4, 6)}, order="random")
    model = GPT(GPTConfig(encoder.vocab_size, encoder.max_length, 1, 2, 16))
    options: dict[str, Any] = {"length": encoder.max_length, "eos": EOS, "pad": PAD, "seed": 0}
    full = {}
    for maximal in (False, True):

        def guide(rows: int, maximal: bool = maximal) -> TokenMask:
            return TokenMask(problem, encoder, 6, rows, maximal)

        tokens = sample(model, encoder.prefix(6), 40, guide_factory=guide, **options)
        cells, ok = encoder.decode(tokens, 6)
        assert ok.all()
        bits = unpack(cells, 36)
        full[maximal] = [
            not problem.validate(pack(row | np.eye(36, dtype=bool)[~row]), 6).any() for row in bits
        ]
    assert all(full[True])
    assert not all(full[False])


def test_no_table_where_pairs_do_not_say_it_all():
    circle, line = load_problem(CIRCLE), load_problem("no-3-in-line")
    for problem, kind in ((circle, "points"), (line, "dense")):
        encoder = make_encoder(kind, {4: problem.ground(4)})
        assert TokenMask(problem, encoder, 4, 1).table() is None


# precision and devices


def test_the_precision_follows_the_machine(monkeypatch):
    monkeypatch.setattr(device, "_multiplies_bf16", lambda: True)
    assert device.pick_dtype("auto", CPU, 64) == BF16
    assert device.pick_dtype("auto", CPU, 63) == FP32
    assert device.pick_dtype("bf16", CPU, 8) == BF16
    assert device.pick_dtype("fp32", torch.device("cuda"), 256) == FP32
    assert device.pick_dtype("auto", torch.device("cuda"), 8) == BF16
    assert device.pick_dtype("auto", torch.device("mps"), 256) == FP32
    monkeypatch.setattr(device, "_multiplies_bf16", lambda: False)
    assert device.pick_dtype("auto", CPU, 512) == FP32
    with pytest.raises(UsageError, match="did you mean 'bf16'"):
        device.pick_dtype("bf61", CPU, 64)


# training


def lessons():
    problem = load_problem("no-3-in-line")
    encoder = make_encoder("points", {n: problem.ground(n) for n in (4, 5)})
    rng = np.random.default_rng(0)
    data = {
        n: np.packbits(rng.random((30, n * n)) < 0.3, axis=1, bitorder="little") for n in (4, 5)
    }
    return encoder, data


@pytest.mark.parametrize("dtype", [FP32, BF16])
def test_gradients_are_finite(dtype):
    model = net(64, 4)
    tokens = torch.randint(23, (9, 14), generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype, enabled=dtype == BF16):
        logits = model(tokens)
    assert logits.dtype == dtype
    F.cross_entropy(logits.float().flatten(0, 1), tokens.flatten()).backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.dtype == FP32
        assert torch.isfinite(weight.grad).all()
        assert weight.grad.abs().sum() > 0


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_repeats_itself_in_every_precision(precision):
    encoder, data = lessons()
    config = TrainConfig(steps=8, evaluate_every=4, batch=16)
    results, states = [], []
    for _ in range(2):
        model = GPT(GPTConfig(encoder.vocab_size, encoder.max_length, 2, 4, 64), seed=0)
        results.append(train(model, encoder, data, config, seed=0, precision=precision))
        states.append(model.state_dict())
    first, second = results
    assert first.curve == second.curve
    assert first.curve[0][1] > first.curve[-1][1]
    assert all(weight.dtype == FP32 for weight in states[0].values())
    assert all(map(torch.equal, states[0].values(), states[1].values()))
    moments = first.optimizer_state, second.optimizer_state
    assert all(map(torch.equal, *(m.values() for m in moments)))


def test_the_rate_is_reported_and_kept_out_of_comparisons():
    encoder, data = lessons()
    model = GPT(GPTConfig(encoder.vocab_size, encoder.max_length, 1, 2, 16), seed=0)
    result = train(model, encoder, data, TrainConfig(steps=5, batch=16), seed=0)
    assert result.tokens_per_second > 0
    assert 0 < result.utilisation < 1
    assert model.config.flops(0) == 2 * (12 * 16 * 16 + 16 * encoder.vocab_size)
    assert json.dumps(result.tokens_per_second)


def test_an_epoch_shows_everything_once():
    epochs = []

    def epoch():
        rows = np.random.default_rng(len(epochs)).permutation(10) + 3
        epochs.append(rows)
        body = np.full((10, 2 + len(epochs)), PAD)
        body[:, 0], body[:, 1] = rows, np.where(rows > 9, 1, PAD)
        return body

    batches = _batches(epoch, 4)
    shown = [next(batches) for _ in range(10)]
    firsts = np.concatenate([batch[:, 0] for batch in shown])
    assert np.array_equal(firsts, np.concatenate(epochs[:4]))
    assert all(batch.shape == (4, 1 + (batch[:, 0] > 9).any()) for batch in shown)


# a GPU


@gpu
@torch.no_grad()
def test_a_gpu_decodes_and_draws():
    model = net(64, 4)
    tokens = torch.randint(23, (50, 14), generator=torch.Generator().manual_seed(0))
    tokens[:, 0] = 1
    whole = model(tokens)[:, -1]
    model = model.to("cuda")
    machine = decoder(model, 50, 14, FP32)
    logits = machine.begin(np.array([1]), 50)
    for position in range(1, 14):
        logits = machine.step(tokens[:, position].numpy())
    assert torch.allclose(logits.cpu(), whole, atol=1e-3)
    options: dict[str, Any] = {"length": 14, "eos": 2, "pad": 0, "seed": 0, "batch": 10_000}
    drawn = sample(model, np.array([1, 4]), 30_000, **options)
    assert np.array_equal(sample(model, np.array([1, 4]), 10_000, **options), drawn[:10_000])
    assert len(np.unique(drawn, axis=0)) > 10_000


@gpu
def test_a_gpu_obeys_the_mask():
    problem = load_problem("no-3-in-line")
    encoder = make_encoder("points", {6: problem.ground(6)})
    model = GPT(GPTConfig(encoder.vocab_size, encoder.max_length, 2, 4, 64)).to("cuda")
    options: dict[str, Any] = {"length": encoder.max_length, "eos": EOS, "pad": PAD, "seed": 0}
    tokens = sample(
        model,
        encoder.prefix(6),
        20_000,
        batch=10_000,
        guide_factory=lambda rows: TokenMask(problem, encoder, 6, rows),
        **options,
    )
    cells, ok = encoder.decode(tokens, 6)
    assert ok.all()
    assert problem.validate(cells, 6).all()


@gpu
def test_a_gpu_learns():
    encoder, data = lessons()
    shape = GPTConfig(encoder.vocab_size, encoder.max_length, 2, 4, 64)
    config = TrainConfig(steps=40, batch=16, evaluate_every=20)
    curves = []
    for _ in range(2):
        model = GPT(shape, seed=0).to("cuda")
        curves.append(train(model, encoder, data, config, seed=0).curve)
    assert curves[0] == curves[1]
    assert curves[0][-1][1] < curves[0][0][1]

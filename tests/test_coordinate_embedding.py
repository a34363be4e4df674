"""Coordinate embeddings: their features, that every decoder agrees, and unseen sizes."""

import json
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from loops import Loop, rounds_of
from test_loop import tiny

from pipeline.config import TrainConfig
from pipeline.core.bitset import pack, unpack
from pipeline.core.ground_set import GroundSet
from pipeline.errors import PipelineError, RunError, UsageError
from pipeline.generators.gpt import GPTGenerator
from pipeline.model.attention_bias import relations
from pipeline.model.checkpoint import load_model, save_model
from pipeline.model.coordinate_embedding import TokenFeatures, token_features
from pipeline.model.decode import Batch, Lanes
from pipeline.model.gpt import GPT, GPTConfig
from pipeline.model.sample import sample
from pipeline.model.tokens import EOS, PAD, Encoder, make_encoder
from pipeline.model.train import train
from pipeline.plugins import load_problem

FP32, BF16 = torch.float32, torch.bfloat16
KINDS = ["coordinates", "fractions"]
PROBLEM = load_problem("isosceles")


pytestmark = pytest.mark.usefixtures("one_thread")


def written(sizes, kind="points", symmetry=None, order="sorted"):
    return make_encoder(kind, {n: PROBLEM.ground(n) for n in sizes}, symmetry, order)


ENCODER = written((3, 4))


def known(embedding, encoder: Encoder = ENCODER) -> TokenFeatures:
    found = token_features(encoder, embedding)
    assert found is not None
    return found


def shape(embedding, encoder=ENCODER, width=16, heads=2, length=14, bias="off"):
    told = token_features(encoder, embedding)
    features = 0 if told is None else told.features.shape[2]
    return GPTConfig(encoder.vocab_size, length, 2, heads, width, bias, embedding, features)


def cut(told: TokenFeatures | None, length) -> TokenFeatures | None:
    return None if told is None else told._replace(positions=told.positions[:, :length])


def net(embedding, encoder=ENCODER, seed=0, length=14, bias="off", **more):
    config = shape(embedding, encoder, length=length, bias=bias, **more)
    told = cut(token_features(encoder, embedding), length)
    return GPT(config, relations(encoder, bias), told, seed=seed)


def lines(rows=37, length=14, n=4, seed=0):
    """Return token sequences int64 ``(rows, length)`` that begin with the prefix of n."""
    tokens = np.random.default_rng(seed).integers(ENCODER.vocab_size, size=(rows, length))
    tokens[:, :2] = ENCODER.prefix(n)
    return torch.from_numpy(tokens)


# ------------------------------------------------------------------------------- features


@pytest.mark.parametrize(("kind", "symmetry"), [("points", None), ("orbits", "half-turn")])
def test_coordinates_are_told_one_by_one(kind, symmetry):
    encoder = written((3, 5), kind, symmetry)
    told = known("coordinates", encoder)
    assert told.features.shape[0] == 1
    rows = 3 if symmetry else 5
    for n in encoder.sizes:
        for cell in np.ndindex(n, n):
            alone = np.zeros((n, n), bool)
            alone[cell] = alone[(n - 1 - cell[0], n - 1 - cell[1]) if symmetry else cell] = True
            token = encoder.encode(pack(alone.reshape(1, -1)), n)[0, 2]
            first = min(cell, (n - 1 - cell[0], n - 1 - cell[1])) if symmetry else cell
            row = told.features[0, token]
            assert np.flatnonzero(row).tolist() == [first[0], rows + first[1]]
            assert np.linalg.norm(row) == pytest.approx(1)
            assert told.known[token]
    assert told.known.sum() == encoder.vocab_size - 5


def test_a_row_and_a_column_add_up():
    model = net("coordinates")
    table = model.tables(ENCODER.prefix(4))[0].detach()
    at = table[ENCODER.element_tokens(4)].view(4, 4, 16)
    assert torch.allclose(at[1, 2] - at[1, 0], at[3, 2] - at[3, 0], atol=1e-6)
    assert torch.allclose(at[2, 1] - at[0, 1], at[2, 3] - at[0, 3], atol=1e-6)
    assert not torch.allclose(at[1, 2], at[2, 1], atol=1e-2)
    assert torch.equal(table[:5], model.tokens.weight[:5])


def test_fractions_are_those_of_the_side():
    encoder = written((3, 4, 9))
    told = known("fractions", encoder)
    for s, n in enumerate(encoder.sizes):
        tokens = encoder.element_tokens(n)
        for (r, c), token in zip(np.ndindex(n, n), tokens, strict=True):
            row = told.features[s, token]
            assert row[:4].tolist() == [0, 1, 0, 0]
            for x, values in ((r, row[4:21]), (c, row[21:38])):
                share = (2 * x - n + 1) / n
                assert values[0] == pytest.approx(share)
                assert values[3] == pytest.approx(np.cos(np.pi * 3 * (share + 1) / 2), abs=1e-6)
        outside = np.setdiff1d(np.flatnonzero(told.known), tokens)
        outside = outside[outside >= 6]
        assert (told.features[s, outside] == np.eye(38)[0]).all()
        assert len(outside) == 81 - n * n
    assert told.features[0, 3, 2:4].tolist() == pytest.approx([1, 3 / 9])
    assert told.size_of[:7].tolist() == [0, 0, 0, 0, 1, 2, 0]
    assert np.array_equal(told.known, np.arange(encoder.vocab_size) > 2)


def test_the_same_place_of_two_sizes_is_the_same():
    encoder = written((3, 9))
    told = known("fractions", encoder)
    middle = [encoder.element_tokens(n)[n * n // 2] for n in (3, 9)]
    assert np.array_equal(told.features[0, middle[0]], told.features[1, middle[1]])
    model = net("fractions", encoder)
    small, large = (model.tables(encoder.prefix(n)) for n in (3, 9))
    for table in (0, 2):
        assert torch.allclose(small[table][middle[0]], large[table][middle[1]], atol=1e-6)
    assert not torch.allclose(small[0][middle[1]], large[0][middle[1]], atol=1e-2)


@pytest.mark.parametrize("embedding", KINDS)
@pytest.mark.parametrize("d", [1, 3, 5])
def test_any_number_of_coordinates_will_do(embedding, d):
    rng = np.random.default_rng(0)
    coords = np.unique(rng.integers(-50, 50, size=(40, d)), axis=0).astype(np.int32)
    ground = GroundSet(7, coords, np.arange(len(coords), dtype=np.int32)[None])
    told = known(embedding, make_encoder("points", {7: ground}))
    rows = told.features[0, 4:]
    assert len(np.unique(rows, axis=0)) == len(coords)
    assert np.abs(rows).max() <= 1


def test_what_has_no_coordinates_is_refused_in_one_line():
    assert token_features(ENCODER, "free") is None
    with pytest.raises(UsageError, match="did you mean 'fractions'"):
        token_features(ENCODER, "fraction")
    with pytest.raises(UsageError, match="did you mean 'coordinates'"):
        GPTConfig(9, 9, embedding="coordinate", features=3)
    for features, embedding in ((0, "fractions"), (3, "free"), (1 << 25, "coordinates")):
        with pytest.raises(UsageError, match="features = "):
            GPTConfig(9, 9, embedding=embedding, features=features)
    for embedding in KINDS:
        with pytest.raises(UsageError, match=r"'dense' tokens do not stand .* or embedding 'free'"):
            token_features(written((3,), "dense"), embedding)
    moving = written((3, 4))
    moving.element_tokens = lambda n: np.arange(n * n, dtype=np.int32) + 5  # by number, not place
    with pytest.raises(UsageError, match="token 8 stands for elements at several places"):
        token_features(moving, "coordinates")
    assert token_features(moving, "fractions") is not None


@pytest.mark.parametrize("embedding", KINDS)
def test_features_that_do_not_fit_are_refused(embedding):
    told = known(embedding)
    config = shape(embedding, length=ENCODER.max_length)
    for bad in (
        told._replace(features=told.features[:, :-1]),
        told._replace(features=told.features[:, :, :-1]),
        told._replace(positions=told.positions[:, 1:]),
    ):
        with pytest.raises(ValueError, match="expected features of"):
            GPT(config, None, bad)
    with pytest.raises(ValueError, match="free embedding"):
        GPT(shape("free"), None, told)
    bare = GPT(config)
    for use in (lambda: bare(lines()), lambda: bare.tables(ENCODER.prefix(4))):
        with pytest.raises(ValueError, match="needs features"):
            use()


# ------------------------------------------------------------------------------- decoding


@torch.no_grad()
@pytest.mark.parametrize("embedding", KINDS)
@pytest.mark.parametrize("kind", [Lanes, Batch])
@pytest.mark.parametrize("dtype", [FP32, BF16])
@pytest.mark.parametrize("bias", ["off", "offset"])
def test_the_cache_changes_nothing(embedding, kind, dtype, bias):
    model = net(embedding, width=24, heads=3, bias=bias)
    close: dict[str, Any] = {"atol": 2e-5 if dtype == FP32 else 0.08}
    for n in (4, 3):  # a decoder can begin anew, at another size
        tokens = lines(n=n)
        whole = model(tokens)
        machine = kind(model, 37, 14, dtype)
        kept = np.arange(37)
        logits = machine.begin(tokens[0, :2].numpy(), 37)
        for position in range(2, 14):
            assert torch.allclose(logits.float(), whole[kept, position - 1], **close)
            if position in (5, 9, 10):
                index = np.flatnonzero(np.arange(len(kept)) % 5 != position % 3)
                machine.keep(index)
                kept = kept[index]
            logits = machine.step(tokens[kept, position].numpy())
        assert torch.allclose(logits.float(), whole[kept, 13], **close)


@torch.no_grad()
@pytest.mark.parametrize("embedding", KINDS)
def test_one_batch_may_hold_several_sizes(embedding):
    model = net(embedding)
    both = torch.cat([lines(5, n=3), lines(5, n=4)])
    assert torch.allclose(model(both)[:5], model(both[:5]), atol=1e-5)
    assert torch.allclose(model(both)[5:], model(both[5:]), atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("embedding", KINDS)
def test_greedy_decoding_gives_the_tokens_of_the_whole_model(embedding):
    for seed in range(4):
        model = net(embedding, seed=seed, width=24, heads=3)
        options: dict[str, Any] = {"eos": EOS, "pad": PAD, "temperature": 0, "seed": 0}
        for mark in (3, 4):
            drawn = sample(model, np.array([1, mark]), 3, length=14, precision="fp32", **options)
            tokens = [1, mark]
            while len(tokens) < 14 and tokens[-1] != EOS:
                tokens.append(int(model(torch.tensor([tokens]))[0, -1].argmax()))
            assert drawn.tolist() == [tokens + [PAD] * (14 - len(tokens))] * 3


@pytest.mark.parametrize("embedding", KINDS)
def test_batches_change_no_sample(embedding):
    model = net(embedding, width=64, heads=4)
    options: dict[str, Any] = {"length": 14, "eos": EOS, "pad": PAD, "seed": 7}
    for precision in ("fp32", "bf16"):
        whole = sample(model, ENCODER.prefix(4), 100, precision=precision, **options)
        for batch in (1, 7, 64):
            again = sample(
                model, ENCODER.prefix(4), 70, precision=precision, batch=batch, **options
            )
            assert np.array_equal(again, whole[:70])


# ------------------------------------------------------------------------------- learning


@pytest.mark.parametrize("embedding", KINDS)
@pytest.mark.parametrize("dtype", [FP32, BF16])
def test_gradients_are_finite_and_reach_every_weight(embedding, dtype):
    model, tokens = net(embedding), torch.cat([lines(9, n=3), lines(9, n=4)])
    with torch.autocast("cpu", dtype, enabled=dtype == BF16):
        loss = model(tokens).float().log_softmax(-1).square().mean()
    loss.backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name
        assert weight.grad.abs().sum() > 0, name


@pytest.mark.parametrize("embedding", KINDS)
def test_the_same_training_gives_the_same_bits_and_goes_on(embedding):
    rng = np.random.default_rng(0)
    data = {n: pack(rng.random((40, n * n)) < 0.3) for n in (3, 4)}
    config = TrainConfig(steps=8, evaluate_every=4, batch=16)
    found = []
    for _ in range(2):
        model = net(embedding, length=ENCODER.max_length)
        result = train(model, ENCODER, data, config, seed=0)
        found.append((model.state_dict(), result.optimizer_state))
        again = train(model, ENCODER, data, config, seed=1, optimizer_state=result.optimizer_state)
        assert again.optimizer_state["head.weight.step"] == 16
    for first, second in zip(*found, strict=True):
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.end_to_end
def test_fractions_know_something_of_a_size_they_never_saw():
    encoder = written((8, 10, 12, 14))
    rng = np.random.default_rng(0)
    data = {}
    for n in encoder.sizes:  # points lie in the outermost fifth
        share = np.abs((2 * np.arange(n) - n + 1) / n)
        border = np.maximum(*np.meshgrid(share, share)).ravel() > 0.6
        data[n] = pack((rng.random((300, n * n)) < 0.1) & border)
    config = TrainConfig(steps=150, evaluate_every=150, batch=32, patience=0)
    inside = {}
    for embedding in ("free", "fractions"):
        model = net(embedding, encoder, length=encoder.max_length, width=32)
        train(model, encoder, {n: data[n] for n in (8, 10, 12)}, config, seed=0)
        tokens = sample(
            model, encoder.prefix(14), 100, length=40, eos=EOS, pad=PAD, seed=0, precision="fp32"
        )
        bits = unpack(encoder.decode(tokens, 14)[0], 196)
        share = np.abs((2 * np.arange(14) - 13) / 14)
        border = np.maximum(*np.meshgrid(share, share)).ravel() > 0.6
        inside[embedding] = bits[:, border].sum() / max(bits.sum(), 1)
        far = bits.reshape(-1, 14, 14)[:, 12:].sum()
    assert inside["fractions"] > 0.9 > inside["free"]
    assert far > 50


# ------------------------------------------------------------------------------- files, the loop


@pytest.mark.parametrize("embedding", KINDS)
def test_a_model_comes_back_from_its_file(embedding, tmp_path):
    path = tmp_path / "model.safetensors"
    model = net(embedding)
    save_model(path, model)
    assert not {"features", "known", "times", "size_of"} & safetensors.torch.load_file(path).keys()
    again = load_model(path, model.config, features=cut(known(embedding), 14))
    assert torch.equal(again(lines()), model(lines()))
    with pytest.raises(RunError, match=f"embedding = {embedding}, expected free"):
        load_model(path, shape("free"))


def test_a_file_from_before_there_were_coordinates_still_loads(tmp_path):
    path = tmp_path / "model.safetensors"
    model = net("free")
    new = ("embedding", "features")
    config = {key: value for key, value in vars(model.config).items() if key not in new}
    about = {"format": 1, "kind": "model", "config": config}
    path.write_bytes(safetensors.torch.save(model.state_dict(), {"pipeline": json.dumps(about)}))
    assert torch.equal(load_model(path, shape("free"))(lines()), model(lines()))


@pytest.mark.parametrize("embedding", KINDS)
@pytest.mark.parametrize(("tokens", "symmetry"), [("points", ""), ("orbits", "both-mirrors")])
def test_rounds_are_played_with_every_embedding(embedding, tokens, symmetry):
    model = {"embedding": embedding, "tokens": tokens, "attention_bias": "offset"}
    seeding = {"symmetry": [symmetry]} if symmetry else {}
    loop = Loop(tiny(model=model, symmetry=symmetry, seeding=seeding))
    state = loop.rounds(2)[-1]
    assert loop.generator.model.config.embedding == embedding
    assert state.candidates is not None
    assert len(state.candidates)
    assert PROBLEM.validate(state.candidates.cells, 6).all()


@pytest.mark.parametrize(
    ("asked", "tokens", "found"),
    [
        ("auto", "points", "fractions"),
        ("auto", "orbits", "fractions"),
        ("auto", "dense", "free"),
        ("free", "points", "free"),
        ("coordinates", "orbits", "coordinates"),
    ],
)
def test_fractions_are_usual_where_tokens_stand_for_elements(asked, tokens, found):
    generator = Loop(tiny(model={"embedding": asked, "tokens": tokens})).generator
    assert isinstance(generator, GPTGenerator)
    assert generator.shape().embedding == found
    assert (generator.features is None) == (found == "free")


def test_a_model_may_be_kept_from_the_size_it_is_asked_for():
    config = tiny(train={"sizes": [5]}, model={"embedding": "fractions"})
    state = rounds_of(config, 1)[-1]
    assert list(state.stats["train"]["shown"]) == ["5"]
    assert state.candidates is not None
    assert state.candidates.n == 6
    assert len(state.candidates)
    with pytest.raises(UsageError, match=r"train\.sizes must be among the sizes 5, 6, got \[4\]"):
        tiny(train={"sizes": [4]})
    with pytest.raises(UsageError, match="'dense' tokens"):
        Loop(tiny(model={"tokens": "dense", "embedding": "fractions"}))
    empty = tiny(train={"sizes": [5]}, select={"smaller": 0.0})
    with pytest.raises(PipelineError, match="no construction"):
        rounds_of(empty, 1)

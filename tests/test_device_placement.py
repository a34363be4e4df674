"""What a GPU would be given, on tensors that only say where they are: no GPU is needed.

An operation of a tensor on torch's device "meta" and one on the CPU fails as it does with a GPU, so
a tensor that was made on the wrong device is found here. Nothing is computed: what a step reads
back from the device (a loss, a token that was drawn) cannot be part of it. FakeTensorMode knows
CUDA by name, but torch without CUDA can neither index nor go backwards there.
"""

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.core.bitset import pack
from pipeline.engine.orbit_grid import OrbitGrid
from pipeline.generators.token_mask import TokenMask
from pipeline.model import masked_decoding, policy, vision
from pipeline.model.attention_bias import among, relations
from pipeline.model.coordinate_embedding import token_features
from pipeline.model.decode import Batch
from pipeline.model.device_mask import TableGuide
from pipeline.model.gpt import GPT, GPTConfig
from pipeline.model.policy import Policy, PolicyConfig
from pipeline.model.tokens import make_encoder
from pipeline.model.train import token_loss
from pipeline.model.vision import Vision, VisionConfig
from pipeline.plugins import load_problem

ELSEWHERE = torch.device("meta")
PROBLEM = load_problem("isosceles")
ENCODER = make_encoder("points", {n: PROBLEM.ground(n) for n in (5, 6)})
SETS = np.random.default_rng(0).random((4, 36)) < 0.2
KINDS = [("free", "off"), ("fractions", "off"), ("coordinates", "distance"), ("free", "offset")]


@pytest.fixture(autouse=True)
def no_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Autocast knows the device "meta" not at all; it moves no tensor."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())


def gpt(embedding: str, bias: str) -> GPT:
    features = None if embedding == "free" else token_features(ENCODER, embedding)
    config = GPTConfig(
        ENCODER.vocab_size,
        ENCODER.max_length,
        layers=2,
        heads=2,
        width=16,
        attention_bias=bias,
        embedding=embedding,
        features=0 if features is None else features.features.shape[2],
    )
    relation = relations(ENCODER, bias) if bias != "off" else None
    with ELSEWHERE:
        return GPT(config, relation, features, seed=None)


def trained(model: Any, loss: torch.Tensor) -> None:
    """See that a step of an optimiser stays on the device."""
    loss.backward()
    optimizer = torch.optim.AdamW(model.parameters())
    optimizer.step()
    assert loss.device == ELSEWHERE
    assert {p.device for p in model.parameters()} == {ELSEWHERE}
    assert {p.grad.device for p in model.parameters() if p.grad is not None} == {ELSEWHERE}


def tokens() -> torch.Tensor:
    encoded = ENCODER.encode(pack(SETS), 6, np.random.default_rng(0))
    return torch.from_numpy(encoded).to(ELSEWHERE)


@pytest.mark.parametrize(("embedding", "bias"), KINDS)
def test_a_training_step_of_the_gpt_stays_on_the_device(embedding, bias):
    model = gpt(embedding, bias)
    trained(model, token_loss(model, tokens(), 0, torch.float32)[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("embedding", "bias"), KINDS)
def test_sampling_from_the_gpt_stays_on_the_device(embedding, bias, dtype):
    batch = Batch(gpt(embedding, bias), 6, ENCODER.max_length, dtype)
    logits = batch.begin(np.asarray(ENCODER.prefix(6)), 6)
    assert logits.device == ELSEWHERE
    batch.keep(np.array([0, 2, 5]))
    assert batch.step(np.array([3, 4, 5])).device == ELSEWHERE


def test_the_mask_of_a_gpu_stays_on_it():
    table = TokenMask(PROBLEM, ENCODER, 6, 1).table()
    assert table is not None
    guide = TableGuide(table, ENCODER.vocab_size, ELSEWHERE).begin(4)
    guide.advance(np.array([5, 6, 7, 8]))
    guide.keep(np.array([0, 3]))
    assert guide.legal().device == ELSEWHERE


@pytest.mark.parametrize("bias", ["off", "distance"])
def test_a_training_step_of_the_vision_transformer_stays_on_the_device(bias):
    board = OrbitGrid(PROBLEM, 6)
    pairs = [(board.fractions, board.places)]
    seen = vision.view(pairs, among([board.places], bias), ELSEWHERE)
    with ELSEWHERE:
        model = Vision(VisionConfig(2, 2, 2, 16, bias), seed=None)
    shown = masked_decoding.example(0, board, pack(SETS), False, np.random.default_rng(0))
    trained(model, masked_decoding.next_loss(model, seen, shown, torch.float32).mean())


def test_a_training_step_of_the_policy_stays_on_the_device():
    board = OrbitGrid(PROBLEM, 6)
    with ELSEWHERE:
        model = Policy(PolicyConfig(board.feature_count, 2, 16), seed=None)
    shown = policy.example(board, pack(SETS), np.random.default_rng(0))
    trained(model, policy.next_loss(model, shown).mean())


def test_a_tensor_on_the_wrong_device_is_found():
    model = gpt("fractions", "off")
    model.features = torch.zeros(model.features.shape)  # type: ignore[union-attr]
    with pytest.raises(RuntimeError, match="device"):
        token_loss(model, tokens(), 0, torch.float32)

"""Feedback: the two losses against their formulas, and what they make of a model."""

from math import log
from typing import Any

import numpy as np
import pytest
import torch
from msgspec.structs import replace

from pipeline.core.bitset import from_points, pack, unpack
from pipeline.errors import PipelineError, UsageError
from pipeline.model import feedback as room
from pipeline.model.attention_bias import relations
from pipeline.model.feedback import (
    FeedbackConfig,
    divergence,
    feedback,
    policy_loss,
    preference_loss,
)
from pipeline.model.gpt import GPT, GPTConfig
from pipeline.model.tokens import EOS, PAD, make_encoder
from pipeline.plugins import load_problem

N = 4
FP32, BF16 = torch.float32, torch.bfloat16
PROBLEM = load_problem("isosceles")
ENCODER = make_encoder("points", {n: PROBLEM.ground(n) for n in (3, N)})
PREFER = FeedbackConfig(kind="prefer", steps=25, batch=8, learning_rate=3e-3)
POLICY = replace(PREFER, kind="policy")
TWO = from_points([np.array([0, 6, 11]), np.array([1, 2])], N * N)


pytestmark = pytest.mark.usefixtures("one_thread")


def net(width=32, bias="off", seed=0):
    shape = GPTConfig(ENCODER.vocab_size, ENCODER.max_length, 2, 2, width, bias)
    return GPT(shape, relations(ENCODER, bias), seed=seed)


def sets(count=40, seed=0):
    """Return distinct sets, packed; a score for each, which its first element decides."""
    rng = np.random.default_rng(seed)
    cells = np.unique(pack(rng.random((count, N * N)) < 0.3), axis=0)
    return cells, unpack(cells, N * N)[:, :4].sum(axis=1) + 10


def bits_of(model):
    return {name: weight.numpy().tobytes() for name, weight in model.state_dict().items()}


def gradients(model):
    """Return the gradients by name, and forget them."""
    found = {k: weight.grad for k, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    return found


@torch.no_grad()
def likelihood(model, tokens):
    """Return the log-probability of each line of tokens after its prefix, one by one."""
    found = []
    for line in tokens.tolist():
        line = line[: line.index(EOS) + 1]
        logs = model(torch.tensor([line])).log_softmax(-1)[0]
        found.append(sum(logs[i - 1, line[i]].item() for i in range(2, len(line))))
    return np.array(found)


def mean_likelihood(model, cells):
    """Return the mean log-probability of sets under all symmetries, ``(B,)``."""
    found = []
    for moved in PROBLEM.ground(N).group:
        image = np.zeros((len(cells), N * N), bool)
        image[:, moved] = unpack(cells, N * N)
        found.append(likelihood(model, ENCODER.encode(pack(image), N)))
    return np.mean(found, axis=0)


# the formulas


def test_the_preference_loss_is_that_of_the_paper():
    # beta 1/2: the model has made the better twice as likely, then also the worse 4 times less.
    better, worse = torch.tensor([log(2.0), log(2.0)]), torch.tensor([0.0, -log(4.0)])
    assert preference_loss(better[:1], worse[:1], 0.5).item() == pytest.approx(
        log(1 + 2**-0.5), rel=1e-6
    )
    expected = (0.534800 + 0.302733) / 2  # log(1 + 2**-0.5) and log(1 + 8**-0.5), by hand
    assert preference_loss(better, worse, 0.5).item() == pytest.approx(expected, abs=2e-6)
    assert preference_loss(better, better, 0.5).item() == pytest.approx(log(2), rel=1e-6)


def test_the_policy_loss_weighs_each_gradient_by_its_advantage():
    ratios = torch.tensor([[log(0.5), 0.0], [log(2.0), log(2.0)]], requires_grad=True)
    policy_loss(ratios, torch.tensor([-1.0, 2.0]), 0.0).backward()
    # Weights min(1, 1/2) and min(1, 4); a token that does not count has no way into the model.
    assert ratios.grad is not None
    assert torch.allclose(ratios.grad, -torch.tensor([[-0.5, -0.5], [2.0, 2.0]]) / 2)
    ratios.grad = None
    policy_loss(ratios, torch.zeros(2), 3.0).backward()
    assert ratios.grad is not None
    assert torch.allclose(ratios.grad, 3 * (ratios.detach().exp() - 1) / 2)


def test_the_divergence_is_estimated_without_bias():
    p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.2, 0.6])  # reference, model
    estimate = divergence((q / p).log()[:, None])
    assert (estimate >= 0).all()
    exact = (p * (p / q).log()).sum().item()
    assert (p * estimate).sum().item() == pytest.approx(exact, rel=1e-6)
    assert not divergence(torch.zeros(2, 5)).any()


def test_likelihoods_are_of_what_comes_after_the_prefix_and_padding_does_not_matter():
    model = net()
    tokens = torch.from_numpy(ENCODER.encode(TWO, N))
    found = room._likelihoods(model, tokens, 1, FP32)
    assert np.allclose(found.sum(dim=1).detach(), likelihood(model, tokens), atol=1e-5)
    assert found[1, -1] == 0
    assert not found[:, 0].any()
    wider = torch.nn.functional.pad(tokens, (0, 3), value=PAD)
    again = room._likelihoods(model, wider, 1, FP32)
    assert torch.allclose(again[:, : found.shape[1]], found, atol=1e-6)
    assert not again[:, found.shape[1] :].any()


def test_at_the_reference_the_policy_gradient_is_that_of_reinforce():
    model = net()
    tokens = torch.from_numpy(ENCODER.encode(TWO, N))
    advantages = torch.tensor([1.0, -1.0])
    ours = room._likelihoods(model, tokens, 1, FP32)
    policy_loss(ours - ours.detach(), advantages, 5.0).backward()
    found = gradients(model)
    (-advantages * room._likelihoods(model, tokens, 1, FP32).sum(dim=1)).mean().backward()
    for name, gradient in gradients(model).items():
        assert torch.allclose(found[name], gradient, atol=1e-5), name


@pytest.mark.parametrize("loss", ["prefer", "policy"])
def test_gradients_are_finite_in_bfloat16(loss):
    model, reference = net(64, "offset"), net(64, "offset", seed=1)
    tokens = torch.from_numpy(ENCODER.encode(sets()[0], N))[:8]
    ratios = room._likelihoods(model, tokens, 1, BF16)
    ratios = ratios - room._likelihoods(reference, tokens, 1, BF16).detach()
    if loss == "prefer":
        preference_loss(*ratios.sum(dim=1).chunk(2), 0.1).backward()
    else:
        policy_loss(ratios, torch.linspace(-1, 1, 8), 0.1).backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all()
        assert weight.grad.abs().sum() > 0, name


# pairs


@pytest.mark.parametrize(
    ("scores", "good", "bad"),
    [
        ([1, 2, 3, 4, 5, 6, 7, 8], [6, 7], [0, 1]),
        ([8, 2, 2, 2, 8, 8, 5, 5], [0, 4, 5], [1, 2, 3]),  # ties come along
        ([5, 5, 5, 6, 5, 5], [3], [0, 1, 2, 4, 5]),
        ([5, 5, 4, 5, 5, 5], [0, 1, 3, 4, 5], [2]),
        ([5, 5, 4, 6, 5, 5], [3], [0, 1, 2, 4, 5]),
        ([5, 6], [1], [0]),
    ],
)
def test_the_good_score_more_than_the_bad(scores, good, bad):
    found = room._parts(np.array(scores, float), 0.25)
    assert [part.tolist() for part in found] == [good, bad]


@pytest.mark.parametrize("kind", ["prefer", "policy"])
@pytest.mark.parametrize("scores", [[], [7], [7, 7, 7]])
def test_where_all_are_alike_nothing_is_touched(kind, scores):
    model, cells = net(), sets()[0][: len(scores)]
    before = bits_of(model)
    config = replace(PREFER, kind=kind)
    result = feedback(model, ENCODER, N, cells, np.array(scores, int), config, seed=0)
    assert not result.changed
    assert result.bad == 0
    assert result.loss is result.before is result.divergence is None
    assert bits_of(model) == before


def test_off_is_off():
    model, (cells, scores) = net(), sets()
    before = bits_of(model)
    assert not feedback(model, ENCODER, N, cells, scores, FeedbackConfig(), seed=0).changed
    assert bits_of(model) == before


# what it makes of a model


@pytest.mark.parametrize("config", [PREFER, POLICY])
@pytest.mark.parametrize("better", [0, 1])
def test_it_learns_which_of_two_is_better(config, better):
    model, reference = net(), net()
    scores = np.array([10, 10])
    scores[better] = 12
    seen = []
    result = feedback(
        model, ENCODER, N, TWO, scores, config, seed=0, progress=lambda *a: seen.append(a)
    )
    assert [step for step, _, _ in seen] == list(range(1, 26))
    assert result.changed
    assert (result.good, result.bad) == (1, 1)
    gain = mean_likelihood(model, TWO) - mean_likelihood(reference, TWO)
    assert gain[better] > gain[1 - better] + 1
    if config is POLICY:
        assert gain[better] > 0.3 > 0 > gain[1 - better]
    assert result.after == 1
    assert result.divergence is not None
    assert result.divergence > 0


@pytest.mark.parametrize("config", [PREFER, POLICY])
def test_the_reference_stays_as_it_was_and_the_model_near_it(config, monkeypatch):
    copies = []
    deepcopy = room.copy.deepcopy

    def watch(model):
        copies.append(deepcopy(model))
        return copies[-1]

    monkeypatch.setattr(room.copy, "deepcopy", watch)
    cells, scores = sets()
    moved = []
    for beta in (0.05, 5.0):
        model = net()
        change: dict[str, Any] = {"beta": beta, "learning_rate": 1e-3}
        result = feedback(model, ENCODER, N, cells, scores, replace(config, **change), seed=0)
        assert bits_of(copies.pop()) == bits_of(net())
        assert bits_of(model) != bits_of(net())
        assert all(weight.requires_grad for weight in model.parameters())
        moved.append(result.divergence)
    assert moved[1] < moved[0]


@pytest.mark.parametrize("config", [PREFER, POLICY])
def test_many_are_told_apart_by_what_they_have_in_common(config):
    cells, _ = sets(200)
    scores = np.asarray(PROBLEM.score(cells, N))
    model = net()
    result = feedback(model, ENCODER, N, cells, scores, replace(config, steps=60), seed=0)
    before, after, raised = result.before, result.after, result.raised
    assert before is not None
    assert after is not None
    assert raised is not None
    assert after > before
    assert raised > 0.9
    assert result.good >= 40
    assert result.bad >= 40


@pytest.mark.parametrize("config", [PREFER, POLICY])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_feedback_gives_the_same_bits(config, precision):
    cells, scores = sets()
    results = []
    for seed in (0, 0, 1):
        model = net(64, "distance")
        how: dict[str, Any] = {"seed": seed, "precision": precision}
        result = feedback(model, ENCODER, N, cells, scores, replace(config, steps=5), **how)
        results.append((result, bits_of(model)))
    assert results[0] == results[1]
    assert results[0][1] != results[2][1]


# errors


@pytest.mark.parametrize("weight", ["head.weight", "norm.weight"])
def test_a_diverging_feedback_says_so_and_spoils_no_weight(weight):
    model, (cells, scores) = net(), sets()
    with torch.no_grad():
        model.get_parameter(weight).view(-1)[0] = torch.inf
    before = bits_of(model)
    with pytest.raises(PipelineError, match=r"diverged at step 1 .* from 0.003"):
        feedback(model, ENCODER, N, cells, scores, PREFER, seed=0)
    assert bits_of(model) == before


def test_what_cannot_be_told_is_refused():
    model, (cells, scores) = net(), sets()
    with pytest.raises(ValueError, match="scores: expected"):
        feedback(model, ENCODER, N, cells, scores[:-1], PREFER, seed=0)
    orbits = make_encoder("orbits", {N: PROBLEM.ground(N)}, "half-turn")
    with pytest.raises(ValueError, match="lack the encoder's symmetry"):
        feedback(model, orbits, N, cells, scores, PREFER, seed=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "dpo"}, "feedback.kind: unknown 'dpo'"),
        ({"kind": "polcy"}, "did you mean 'policy'"),
        ({"steps": 0}, "feedback.steps must be at least 1, got 0"),
        ({"batch": 0}, "feedback.batch must be at least 1"),
        ({"learning_rate": 0.0}, "above 0 and at most 1, got 0.0"),
        ({"beta": float("nan")}, "feedback.beta must be between 0 and"),
        ({"fraction": 0.6}, "at most 0.5, got 0.6"),
    ],
)
def test_an_impossible_feedback_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        replace(PREFER, **change)

"""The optimiser of every training: who steps which weights, and that its state goes on."""

import pytest
import torch

from pipeline.errors import RunError
from pipeline.model.gpt import GPT, GPTConfig
from pipeline.model.optimizer import Optimizer
from pipeline.model.policy import Policy, PolicyConfig

CONFIG = GPTConfig(7, 9, layers=2, heads=2, width=8)

pytestmark = pytest.mark.usefixtures("one_thread")


def with_gradients(model, steps, optimizer, first=0):
    for step in range(first, first + steps):
        generator = torch.Generator().manual_seed(step)
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step(1 / (1 + step))
    return {name: weight.clone() for name, weight in model.state_dict().items()}


def test_the_matrices_of_the_blocks_are_muons_and_all_else_adamws():
    model = GPT(CONFIG, seed=1)
    ours = with_gradients(model, 3, Optimizer(model, 0.01, 0.1))

    plain = GPT(CONFIG, seed=1)
    named = dict(plain.named_parameters())
    inner = [p for k, p in named.items() if k.startswith("blocks.") and p.ndim == 2]
    matrices = [named["head.weight"]]
    rest = [p for p in named.values() if not any(p is q for q in inner + matrices)]
    muon = torch.optim.Muon(inner, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}],
        betas=(0.9, 0.99),
        fused=True,
    )
    for step in range(3):
        generator = torch.Generator().manual_seed(step)
        for parameter in plain.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        for optimizer in (muon, adamw):
            for group in optimizer.param_groups:
                group["lr"] = 0.01 / (1 + step)
            optimizer.step()
    assert len(inner) == 8
    for name, weight in plain.state_dict().items():
        assert (ours[name] == weight).all(), name


@pytest.mark.parametrize("decays", [False, True])
def test_embeddings_decay_only_where_asked(decays):
    model = GPT(CONFIG, seed=1)
    before = model.tokens.weight.detach().clone()
    optimizer = Optimizer(model, 0.01, 0.5, decay_embeddings=decays)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step(1.0)
    expected = before * (1 - 0.01 * 0.5) if decays else before
    torch.testing.assert_close(model.tokens.weight, expected)


@pytest.mark.parametrize("make", [lambda: GPT(CONFIG, seed=1), lambda: Policy(PolicyConfig(5, 8))])
def test_a_state_goes_on_where_it_was(make):
    whole = make()
    start = {name: weight.clone() for name, weight in whole.state_dict().items()}
    wanted = with_gradients(whole, 4, Optimizer(whole, 0.01, 0.1))

    first, second = make(), make()
    first.load_state_dict(start)
    optimizer = Optimizer(first, 0.01, 0.1)
    second.load_state_dict(with_gradients(first, 2, optimizer))
    again = Optimizer(second, 0.01, 0.1, state=optimizer.state())
    found = with_gradients(second, 2, again, first=2)
    for name, weight in wanted.items():
        assert (found[name] == weight).all(), name


def test_a_state_of_another_model_is_refused():
    model = GPT(CONFIG, seed=1)
    optimizer = Optimizer(model, 0.01, 0.0)
    with_gradients(model, 1, optimizer)
    moments = optimizer.state()
    for wrong in ({}, moments | {"x": torch.zeros(1)}):
        with pytest.raises(RunError, match="another model"):
            Optimizer(GPT(CONFIG, seed=1), 0.01, 0.0, state=wrong)
    moments["head.weight.exp_avg"] = torch.zeros(3, 3)
    with pytest.raises(RunError, match=r"shape \(3, 3\) for head.weight"):
        Optimizer(GPT(CONFIG, seed=1), 0.01, 0.0, state=moments)

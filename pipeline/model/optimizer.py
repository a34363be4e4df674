"""The optimiser of every training: Muon on the matrices of the blocks, AdamW on all else.

Muon (K. Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) steps along the orthogonal
matrix next to the momentum, so that a direction in which gradients are small is learnt as fast as
any other. Some tasks, such as a digit that decides another far away, are learnt from far fewer
steps than by AdamW, others from as many (benchmarks/RESULTS.md, "Optimisers").
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pipeline.errors import RunError

_BETAS = (0.9, 0.99)
_BIAS_RATE = 20  # times the learning rate, for biases of attention: scores are of order 1
_ADAMW = ("exp_avg", "exp_avg_sq", "step")
_MUON = ("momentum_buffer",)


class Optimizer:
    """Muon and AdamW at one learning rate and weight decay.

    Args:
        model: its matrices below ``blocks`` are Muon's; embeddings, heads and vectors AdamW's.
        learning_rate: the peak; Muon's steps are scaled to the size of AdamW's.
        weight_decay: of matrices.
        decay_embeddings: let weight decay pull on the embeddings too.
        state: what `state` returned for such a model.

    Raises:
        RunError: a state of another model.
    """

    #: Which weights are Muon's, by how their names begin, as far as they are matrices.
    inner = "blocks."

    def __init__(
        self,
        model: nn.Module,
        learning_rate: float,
        weight_decay: float,
        *,
        decay_embeddings: bool = False,
        state: Mapping[str, Tensor] | None = None,
    ):
        self._named = named = dict(model.named_parameters())
        self._peak = learning_rate
        kinds = () if decay_embeddings else (nn.Embedding,)
        embeddings = tuple(f"{k}." for k, part in model.named_modules() if isinstance(part, kinds))
        bias = {name for name, p in named.items() if name.endswith(".bias") and p.ndim > 1}
        plain = {k for k, p in named.items() if p.ndim != 2 or k.startswith(embeddings)}
        inner = {k for k in named if k.startswith(self.inner)} - plain - bias
        groups = [
            self._group([k for k in named if k in names], decay, times)
            for names, decay, times in (
                (named.keys() - inner - bias - plain, weight_decay, 1),
                (plain, 0.0, 1),
                (bias, 0.0, _BIAS_RATE),
            )
        ]
        device = next(model.parameters()).device
        self._fused = device.type in ("cpu", "cuda")
        self._parts: dict[torch.optim.Optimizer, tuple[str, ...]] = {
            torch.optim.AdamW(groups, lr=learning_rate, betas=_BETAS, fused=self._fused): _ADAMW
        }
        if inner:
            muon = torch.optim.Muon(
                [self._group([k for k in named if k in inner], weight_decay, 1)],
                lr=learning_rate,
                adjust_lr_fn="match_rms_adamw",
            )
            self._parts[muon] = _MUON
        self._owner = {
            parameter: optimizer
            for optimizer in self._parts
            for group in optimizer.param_groups
            for parameter in group["params"]
        }
        if state is not None:
            self._restore(state)

    def step(self, share: float) -> None:
        """Take a step at this share of the peak learning rate."""
        for optimizer in self._parts:
            for group in optimizer.param_groups:
                group["lr"] = self._peak * share * group["times"]
            optimizer.step()

    def state(self) -> dict[str, Tensor]:
        """Return copies of the moments, by the name of the weight and of the moment."""
        return {
            f"{name}.{moment}": self._owner[parameter].state[parameter][moment].detach().clone()
            for name, parameter in self._named.items()
            for moment in self._moments(parameter)
        }

    def _group(self, names: list[str], decay: float, times: float) -> dict[str, object]:
        return {"params": [self._named[k] for k in names], "weight_decay": decay, "times": times}

    def _moments(self, parameter: Tensor) -> tuple[str, ...]:
        return self._parts[self._owner[parameter]]

    def _restore(self, state: Mapping[str, Tensor]) -> None:
        wanted = {f"{k}.{moment}" for k, p in self._named.items() for moment in self._moments(p)}
        if set(state) != wanted:
            raise RunError("the optimiser state belongs to another model; train without it")
        for name, parameter in self._named.items():
            moments = {k: state[f"{name}.{k}"].clone() for k in self._moments(parameter)}
            for moment, values in moments.items():
                if moment == "step":
                    moments[moment] = values.to(parameter.device if self._fused else "cpu")
                    continue
                if values.shape != parameter.shape:
                    raise RunError(
                        f"the optimiser state has shape {tuple(values.shape)} for {name}, "
                        f"the model {tuple(parameter.shape)}; train without it"
                    )
                moments[moment] = values.to(parameter.device)
            self._owner[parameter].state[parameter] = moments

"""What may come next, worked out on the device that draws it, for batches of tens of thousands."""

from typing import Self

import numpy as np
import torch
from torch import Tensor

from pipeline.model.tokens import EOS


class TableGuide:
    """A guide (see ``sample``) that looks up what each pair of choices rules out.

    O(T M) per token, T choices there and M in all, against a walk of the problem's hook on a CPU.
    """

    def __init__(
        self,
        table: tuple[np.ndarray, np.ndarray, bool, bool],
        vocabulary: int,
        device: torch.device,
    ):
        """Take over a guide's ``table``; `begin` makes it a guide."""
        blocks, tokens, self._rising, self._maximal = table
        choices = len(tokens)
        # One choice more, which rules out nothing, is what any other token stands for.
        self._blocks = torch.zeros((choices + 1, choices + 1, choices), dtype=torch.bool)
        self._blocks[:-1, :-1] = torch.from_numpy(blocks)
        self._blocks = self._blocks.to(device)
        self._token = torch.from_numpy(tokens.astype(np.int64)).to(device)
        self._choice_of = torch.full((vocabulary,), choices, device=device)
        self._choice_of[self._token] = torch.arange(choices, device=device)

    def begin(self, rows: int) -> Self:
        """Start ``rows`` empty constructions."""
        self._chosen: list[Tensor] = []
        self._blocked = self._blocks.new_zeros((rows, len(self._token)))
        return self

    def legal(self) -> Tensor:
        """Return bool ``(rows, V)`` on the device."""
        legal = self._blocked.new_zeros((len(self._blocked), len(self._choice_of)))
        legal[:, self._token] = ~self._blocked
        legal[:, EOS] = self._blocked.all(dim=1) if self._maximal else True
        return legal

    def advance(self, tokens: np.ndarray) -> None:
        """Take the token that each row chose, int64 ``(rows,)``."""
        given = torch.from_numpy(tokens).to(self._token.device)
        chosen = self._choice_of[given]
        self._chosen.append(chosen)
        for other in self._chosen:
            self._blocked |= self._blocks[chosen, other]
        if self._rising:
            self._blocked |= self._token <= given[:, None]

    def keep(self, index: np.ndarray) -> None:
        """Go on with these rows alone."""
        kept = torch.from_numpy(index).to(self._token.device)
        self._blocked = self._blocked[kept]
        self._chosen = [chosen[kept] for chosen in self._chosen]

"""What may come next while a model writes constructions, by the problem's own counts."""

import numpy as np

from pipeline.core.symmetry import find_whole_class, orbits
from pipeline.engine.set_batch import free_choices, join_each
from pipeline.engine.space import make_space
from pipeline.engine.state import State, new_state
from pipeline.model.tokens import EOS, Encoder
from pipeline.problem import Problem

_TABLE_CHOICES = 1024  # a table of 1 GiB


class TokenMask:
    """Legal next tokens for a batch of constructions under way.

    A choice is legal while it is absent and closes nothing with what is there; with tokens in
    rising order nothing before the last one is. The end is always legal, or, if constructions
    are to be ``maximal``, where no choice is. Follows the guide protocol of ``model.sample``:
    legal, advance, keep, table.
    """

    def __init__(
        self, problem: Problem, encoder: Encoder, n: int, rows: int, maximal: bool = False
    ) -> None:
        """Start ``rows`` empty constructions of size n, to be written in the encoder's tokens."""
        self._maximal = maximal
        ground = problem.ground(n)
        self._dense = encoder.dense
        cls = find_whole_class(ground, encoder.symmetry)
        self._space = make_space(problem, n, cls)
        self._pairs = problem.arity <= 3 and not self._dense
        first = self._space.elements[self._space.start[:-1]]
        tokens = np.asarray(encoder.element_tokens(n))
        self._sorted = encoder.sorted
        self._vocabulary = encoder.vocab_size
        if self._dense:
            # Two tokens, out and in; the step says which element they speak of.
            self._out, self._in = (int(t) for t in tokens)
            self._choice_at = np.full(ground.m, -1, np.int64)
            self._choice_at[first] = np.arange(len(first))
        else:
            self._token = tokens[orbits(ground, cls).of[first]]
            self._choice_of = np.full(self._vocabulary, -1, np.int64)
            self._choice_of[self._token] = np.arange(len(first))
        self._step = 0
        self._last = np.full(rows, -1, np.int64)
        self._states = self._empty(rows)

    def legal(self) -> np.ndarray:
        """Return bool ``(rows, vocabulary)``: the tokens that may come next."""
        rows = len(self._last)
        free = np.empty((rows, len(self._space.start) - 1), np.bool_)
        free_choices(self._space, self._states, free)
        legal = np.zeros((rows, self._vocabulary), np.bool_)
        if self._dense:
            if self._step == len(self._choice_at):
                legal[:, EOS] = True
                return legal
            legal[:, self._out] = True
            choice = self._choice_at[self._step]
            legal[:, self._in] = free[:, choice] if choice >= 0 else False
            return legal
        if self._sorted:
            free &= self._token[None, :] > self._last[:, None]
        legal[:, self._token] = free
        legal[:, EOS] = ~free.any(axis=1) if self._maximal else True
        return legal

    def advance(self, tokens: np.ndarray) -> None:
        """Take the token that each row chose, int ``(rows,)``."""
        if self._dense:
            if self._step == len(self._choice_at):
                return
            chosen = np.where(tokens == self._in, self._choice_at[self._step], -1)
        else:
            chosen = self._choice_of[tokens]
            self._last = np.maximum(self._last, np.where(chosen >= 0, tokens, -1))
        join_each(self._space, self._states, chosen)
        self._step += 1

    def keep(self, index: np.ndarray) -> None:
        """Go on with these rows alone."""
        self._last = self._last[index]
        self._states = State(*(a[index] for a in self._states))

    def table(self) -> tuple[np.ndarray, np.ndarray, bool, bool] | None:
        """Return what a device needs to know to follow without counts, None where that is not all.

        What a set rules out is then what its pairs rule out, as no configuration has more than
        three elements. O(M^3), M choices.

        Returns:
            bool ``(M, M, M)``, what the pair [a, b] rules out, itself included, [a, a] being a
            alone; the choices' tokens int ``(M,)``; whether tokens come in rising order; whether
            constructions are to be maximal.
        """
        choices = len(self._space.start) - 1
        if not self._pairs or choices > _TABLE_CHOICES:
            return None
        free = np.empty((choices, choices, choices), np.bool_)
        for a in range(choices):
            states = self._empty(choices)
            join_each(self._space, states, np.full(choices, a))
            join_each(self._space, states, np.arange(choices))
            free_choices(self._space, states, free[a])
        return ~free, self._token, self._sorted, self._maximal

    def _empty(self, rows: int) -> State:
        one = new_state(self._space)
        return State(*(np.repeat(a[None], rows, axis=0) for a in one))

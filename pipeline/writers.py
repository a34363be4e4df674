"""Who writes the proposals of a loop: a kind of model, how it is trained, asked, told and kept."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import Config, resolved
from pipeline.core import streams
from pipeline.core.bitset import popcounts
from pipeline.core.population import Population
from pipeline.core.symmetry import GroundSet, find_class
from pipeline.errors import UsageError
from pipeline.model import checkpoint, masked_decoding
from pipeline.model.attention_bias import among, relations
from pipeline.model.conditions import ABOVE, BEST, ConditionedEncoder
from pipeline.model.coordinate_embedding import Places, places, usual_embedding
from pipeline.model.device import prepare
from pipeline.model.feedback import FeedbackResult, feedback
from pipeline.model.gpt import GPT, GPTConfig
from pipeline.model.sample import sample
from pipeline.model.tokens import EOS, PAD, make_encoder
from pipeline.model.train import TrainResult, train
from pipeline.model.vision import View, Vision, VisionConfig, view
from pipeline.problem import Problem
from pipeline.search.orbit_grid import Board
from pipeline.search.token_mask import Guide

#: Called as (step, steps, loss) after every step; may raise.
Stepped = Callable[[int, int, float], None]


class Writer(ABC):
    """A kind of model, for one run. It holds no weights: models are given to it and come from it.

    Args:
        grounds: the ground sets of the sizes that are learnt from.

    Raises:
        UsageError: a device that this machine lacks.
    """

    def __init__(self, problem: Problem, config: Config, grounds: Mapping[int, GroundSet]) -> None:
        self.problem, self.config, self.grounds = problem, config, grounds
        self.device = prepare(config.compute.device, resolved(config).compute.threads)

    def taught(self, shown: Mapping[int, Population]) -> dict[int, Population]:
        """Return what of the readable constructions a model is trained on: ``train.sizes``."""
        sizes = self.config.train.sizes or self.config.sizes
        return {n: pool for n, pool in shown.items() if n in sizes and len(pool)}

    @property
    @abstractmethod
    def manner(self) -> str:
        """How it writes, to end the sentence "no construction can be written ..."."""

    @abstractmethod
    def check(self) -> None:
        """Find what no model of this run could get past, without making one.

        Raises:
            UsageError: a shape or geometry that cannot be had.
        """

    @abstractmethod
    def readable(self, cells: np.ndarray, n: int) -> np.ndarray:
        """Return bool ``(B,)``: which packed cells ``(B, bytes)`` of size n it can learn from."""

    @abstractmethod
    def new(self, number: int) -> Any:
        """Return an untrained model for a round, the same for the same rng seed."""

    @abstractmethod
    def train(
        self,
        number: int,
        model: Any,
        optimizer: Mapping[str, Any] | None,
        shown: Mapping[int, Population],
        progress: Stepped,
    ) -> TrainResult:
        """Train a model in place on those constructions that are `taught`.

        Args:
            optimizer: the state that a former training left, if any.
            shown: the best there is of each size, all readable.
        """

    @abstractmethod
    def sample(
        self,
        number: int,
        model: Any,
        pools: Mapping[int, Population],
        temperature: float,
        progress: Callable[[int, int], None],
    ) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """Ask for ``sample.count`` constructions of size n.

        Args:
            pools: the best there is of each size.
            progress: called as (ended, count); may raise.

        Returns:
            (packed cells ``(count, bytes)``, violations allowed; which are well-formed
            ``(count,)``; what else to tell of them).
        """

    @abstractmethod
    def feedback(
        self,
        number: int,
        model: Any,
        cells: np.ndarray,
        scores: np.ndarray,
        progress: Stepped,
    ) -> FeedbackResult:
        """Tune a model by what its constructions of size n, packed and readable, came to."""

    @abstractmethod
    def load(self, path: Path) -> Any:
        """Read a model of this run from a file of `checkpoint.save_model`.

        Raises:
            RunError: it is damaged, no model, or of another shape.
        """

    def seed(self, number: int, stage: str) -> int:
        """Return the seed of a stage of a round."""
        return streams.integer(self.config.seed, number, stage)


def make_writer(
    problem: Problem,
    config: Config,
    grounds: Mapping[int, GroundSet],
    mask: np.ndarray | None = None,
) -> Writer:
    """Return the writer of the kind that a configuration asks for.

    Args:
        mask: bool ``(m,)``, the elements that may be used at size n; None for all.

    Raises:
        UsageError: tokens, a symmetry class or a device that cannot be had.
    """
    if config.model.kind == "vision":
        return BoardWriter(problem, config, grounds, mask)
    return TokenWriter(problem, config, grounds)


class TokenWriter(Writer):
    """A GPT that writes constructions token by token."""

    def __init__(self, problem: Problem, config: Config, grounds: Mapping[int, GroundSet]) -> None:
        """Make the tokens of the run.

        Raises:
            UsageError: a kind of tokens, order or symmetry class that cannot be had.
        """
        super().__init__(problem, config, grounds)
        model = config.model
        self.encoder = make_encoder(
            model.tokens,
            grounds,
            symmetry=model.symmetry or None,
            order=model.order,
            own=problem.encoders(),
        )
        self._conditioned: ConditionedEncoder | None = None
        if model.condition:
            self._conditioned = ConditionedEncoder(self.encoder, model.condition, problem.score)
            self.encoder = self._conditioned
        self._prefix = self.encoder.prefix(config.n)
        self._check_sampling()

    def _check_sampling(self) -> None:
        model, sample = self.config.model, self.config.sample
        for key, asked, name in (
            ("sample.ask", sample.ask != "best", "score"),
            ("sample.symmetry", bool(sample.symmetry), "symmetry"),
        ):
            if asked and name not in model.condition:
                raise UsageError(f"{key} needs a model that is told it: model.condition=['{name}']")
        if sample.symmetry:
            find_class(self.grounds[self.config.n], sample.symmetry)
        if sample.maximal and not sample.constrained:
            raise UsageError("sample.maximal needs sample.constrained, which knows what is legal")
        if sample.maximal and model.tokens == "dense":
            raise UsageError(
                "sample.maximal: 'dense' tokens end with the last element; leave it off"
            )

    @property
    def manner(self) -> str:
        model = self.config.model
        return f"in {model.tokens!r} tokens under the symmetry {model.symmetry!r}"

    def check(self) -> None:
        self.shape()
        self._relation()

    def readable(self, cells: np.ndarray, n: int) -> np.ndarray:
        return self.encoder.encodable(cells, n)

    def new(self, number: int) -> GPT:
        seed = self.seed(number, "initialise")
        model = GPT(self.shape(), self._relation(), self.places, seed=seed)
        if self._conditioned:
            model.line_up(self._conditioned.level_tokens())
        return model.to(self.device)

    def train(
        self,
        number: int,
        model: GPT,
        optimizer: Mapping[str, Any] | None,
        shown: Mapping[int, Population],
        progress: Stepped,
    ) -> TrainResult:
        if self._conditioned:
            # A size that is kept from the model has its steps too, to tell what samples came to.
            self._conditioned.show({n: pool.score for n, pool in shown.items()})
        return train(
            model,
            self.encoder,
            {n: pool.cells for n, pool in self.taught(shown).items()},
            self.config.train,
            seed=self.seed(number, "train"),
            optimizer_state=optimizer,
            precision=self.config.compute.precision,
            progress=progress,
        )

    def sample(
        self,
        number: int,
        model: GPT,
        pools: Mapping[int, Population],
        temperature: float,
        progress: Callable[[int, int], None],
    ) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        config, n = self.config.sample, self.config.n
        self._ask(model, pools[n])
        longest = max(int(popcounts(p.cells).max(initial=0)) for p in pools.values())
        length = self.encoder.max_length
        if self.encoder.name != "dense":
            length = min(length, 2 * longest + 6 + len(self._prefix))

        def guide(rows: int) -> Guide:
            return Guide(self.problem, self.encoder, n, rows, config.maximal)

        tokens = sample(
            model,
            self._prefix,
            config.count,
            length=length,
            eos=EOS,
            pad=PAD,
            temperature=temperature,
            top_p=config.top_p,
            seed=self.seed(number, "sample"),
            precision=self.config.compute.precision,
            batch=config.batch,
            guide_factory=guide if config.constrained else None,
            progress=progress,
        )
        cells, well_formed = self.encoder.decode(tokens, n)
        told = {}
        if self._conditioned:
            good = cells[well_formed]
            valid = good[self.problem.validate(good, n)]
            told = self._conditioned.answered(tokens[:1], valid, n)
        return cells, well_formed, told

    def _ask(self, model: GPT, pool: Population) -> None:
        """Settle what samples begin with, and give a model what it needs to be asked for it."""
        config, n, encoder = self.config.sample, self.config.n, self._conditioned
        if encoder is None:
            return
        # Nothing above the best was ever shown. Levels began on a line, so the next step up
        # is looked for as far beyond the best as that lies beyond the second.
        above = config.ask == "above" and encoder.steps(n) > 1
        if above:
            model.extend(*encoder.level_tokens()[:3].tolist())
        shown = pool.cells[encoder.encodable(pool.cells, n)]
        symmetry = config.symmetry or encoder.commonest(shown, n)
        self._prefix = encoder.prefix(n, ABOVE if above else BEST, symmetry)

    def feedback(
        self,
        number: int,
        model: GPT,
        cells: np.ndarray,
        scores: np.ndarray,
        progress: Stepped,
    ) -> FeedbackResult:
        encoder = self.encoder
        if self._conditioned:  # they were written after what was asked
            encoder = self._conditioned.fixed(self._prefix)
        return feedback(
            model,
            encoder,
            self.config.n,
            cells,
            scores,
            self.config.feedback,
            seed=self.seed(number, "feedback"),
            precision=self.config.compute.precision,
            progress=progress,
        )

    def load(self, path: Path) -> GPT:
        told = self._relation(), self.places
        return checkpoint.load_model(path, self.shape(), self.device, *told)

    @property
    def embedding(self) -> str:
        """What tokens are embedded by."""
        asked = self.config.model.embedding
        return usual_embedding(self.encoder) if asked == "auto" else asked

    @cached_property
    def places(self) -> Places | None:
        """What is known of the tokens, None with a free embedding."""
        return places(self.encoder, self.embedding)

    def shape(self) -> GPTConfig:
        """Return the shape of this run's model."""
        model = self.config.model
        return GPTConfig(
            vocab_size=self.encoder.vocab_size,
            block_size=self.encoder.max_length,
            layers=model.layers,
            heads=model.heads,
            width=model.width,
            geometry=model.geometry,
            embedding=self.embedding,
            features=0 if self.places is None else self.places.features.shape[2],
        )

    def _relation(self) -> np.ndarray | None:
        """Return how the elements of every two tokens lie, None without geometry."""
        return relations(self.encoder, self.config.model.geometry)


class BoardWriter(Writer):
    """A vision transformer that fills boards of a symmetry class, choice by choice."""

    def __init__(
        self,
        problem: Problem,
        config: Config,
        grounds: Mapping[int, GroundSet],
        mask: np.ndarray | None,
    ) -> None:
        """Lay out the boards of the run.

        Raises:
            UsageError: a symmetry class that no construction can have.
        """
        super().__init__(problem, config, grounds)
        symmetry = config.model.symmetry or "trivial"
        self.boards = {
            n: Board(problem, n, symmetry, mask if n == config.n else None) for n in grounds
        }

    @property
    def manner(self) -> str:
        return f"as orbits of the symmetry {self.config.model.symmetry or 'trivial'!r}"

    def check(self) -> None:
        self._shape()

    def readable(self, cells: np.ndarray, n: int) -> np.ndarray:
        return self.boards[n].readable(cells)

    def new(self, number: int) -> Vision:
        return Vision(self._shape(), seed=self.seed(number, "initialise")).to(self.device)

    def train(
        self,
        number: int,
        model: Vision,
        optimizer: Mapping[str, Any] | None,
        shown: Mapping[int, Population],
        progress: Stepped,
    ) -> TrainResult:
        return masked_decoding.train(
            model,
            self.boards,
            self.seen,
            {n: pool.cells for n, pool in self.taught(shown).items()},
            self.config.train,
            counts=self.config.sample.constrained,
            seed=self.seed(number, "train"),
            precision=self.config.compute.precision,
            optimizer_state=optimizer,
            progress=progress,
        )

    def sample(
        self,
        number: int,
        model: Vision,
        pools: Mapping[int, Population],
        temperature: float,
        progress: Callable[[int, int], None],
    ) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        config, n = self.config.sample, self.config.n
        members = masked_decoding.fill(
            model,
            self.boards[n],
            self.seen,
            list(self.boards).index(n),
            config.count,
            counts=config.constrained,
            temperature=temperature,
            top_p=config.top_p,
            seed=self.seed(number, "sample"),
            batch=config.batch,
            precision=self.config.compute.precision,
            progress=progress,
        )
        return self.boards[n].cells(members), np.ones(len(members), np.bool_), {}

    def feedback(
        self,
        number: int,
        model: Vision,
        cells: np.ndarray,
        scores: np.ndarray,
        progress: Stepped,
    ) -> FeedbackResult:
        raise UsageError("feedback needs model.kind 'gpt'")

    def load(self, path: Path) -> Vision:
        return checkpoint.load_vision(path, self._shape(), self.device)

    @cached_property
    def seen(self) -> View:
        """How the model sees the boards, in their order."""
        related = among([board.places for board in self.boards.values()], self._shape().geometry)
        places = [(board.fractions, board.places) for board in self.boards.values()]
        return view(places, related, self.device)

    def _shape(self) -> VisionConfig:
        model = self.config.model
        return VisionConfig(
            dimensions=self.boards[self.config.n].places.shape[1],
            layers=model.layers,
            heads=model.heads,
            width=model.width,
            geometry=model.geometry,
        )

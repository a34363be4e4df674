"""The GPT, which writes constructions token by token."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from pipeline.callbacks import Callbacks
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.generators.model import ModelGenerator
from pipeline.generators.token_mask import TokenMask
from pipeline.model import checkpoint
from pipeline.model.attention_bias import relations
from pipeline.model.coordinate_embedding import TokenFeatures, token_features, usual_embedding
from pipeline.model.feedback import FeedbackResult, feedback
from pipeline.model.gpt import GPT, GPTConfig
from pipeline.model.sample import sample
from pipeline.model.tokens import EOS, PAD, make_encoder
from pipeline.model.train import TrainResult, train
from pipeline.problem import Problem


class GPTGenerator(ModelGenerator):
    """A GPT on tokens: points, cells one by one, or orbits of a symmetry class."""

    model: GPT

    def setup(self, problem: Problem, config: Config, callbacks: Callbacks) -> None:
        """Make the tokens of the run, and find the model's shape.

        Raises:
            UsageError: tokens, an order, symmetry class, shape or device that cannot be had.
        """
        super().setup(problem, config, callbacks)
        model, sampling = config.model, config.sample
        self.encoder = make_encoder(
            model.tokens,
            self.grounds,
            symmetry=config.symmetry or None,
            order=model.order,
            own=problem.encoders(),
        )
        if sampling.maximal and not sampling.masked:
            raise UsageError("sample.maximal needs sample.masked, which knows what is legal")
        if sampling.maximal and model.tokens == "dense":
            raise UsageError(
                "sample.maximal: 'dense' tokens end with the last element; leave it off"
            )
        self.shape()
        self._relation()

    @property
    def manner(self) -> str:
        model = self.config.model
        return f"in {model.tokens!r} tokens under the symmetry {self.config.symmetry!r}"

    def readable(self, cells: np.ndarray, n: int) -> np.ndarray:
        return self.encoder.encodable(cells, n)

    def new(self) -> GPT:
        model = GPT(self.shape(), self._relation(), self.features, seed=self.seed("initialise"))
        return model.to(self.device)

    def train(self, shown: Mapping[int, np.ndarray]) -> TrainResult:
        return train(
            self.model,
            self.encoder,
            shown,
            self.config.train,
            seed=self.seed("train"),
            optimizer_state=self.optimizer,
            precision=self.config.compute.precision,
            group=self.group,
            progress=self.stepped,
            note=self.callbacks.on_note,
        )

    def sample(self, longest: int, batch: int, rows: range) -> tuple[np.ndarray, np.ndarray]:
        config, n = self.config.sample, self.config.n
        prefix = self.encoder.prefix(n)
        length = self.encoder.max_length
        if self.encoder.name != "dense":
            length = min(length, 2 * longest + 6 + len(prefix))

        def guide(many: int) -> TokenMask:
            return TokenMask(self.problem, self.encoder, n, many, config.maximal)

        tokens = sample(
            self.model,
            prefix,
            len(rows),
            length=length,
            eos=EOS,
            pad=PAD,
            temperature=self.temperature,
            top_p=config.top_p,
            seed=self.seed("sample"),
            precision=self.config.compute.precision,
            batch=batch,
            guide_factory=guide if config.masked else None,
            first=rows.start,
            progress=self.sampled,
        )
        return self.encoder.decode(tokens, n)

    def feedback(self, cells: np.ndarray, scores: np.ndarray) -> FeedbackResult:
        return feedback(
            self.model,
            self.encoder,
            self.config.n,
            cells,
            scores,
            self.config.feedback,
            seed=self.seed("feedback"),
            precision=self.config.compute.precision,
            progress=self.stepped,
        )

    def read(self, path: Path) -> GPT:
        known = self._relation(), self.features
        return checkpoint.load_model(path, self.shape(), self.device, *known)

    @property
    def embedding(self) -> str:
        """What tokens are embedded by."""
        asked = self.config.model.embedding
        return usual_embedding(self.encoder) if asked == "auto" else asked

    @cached_property
    def features(self) -> TokenFeatures | None:
        """What is known of the tokens from their coordinates, None with a free embedding."""
        return token_features(self.encoder, self.embedding)

    def shape(self) -> GPTConfig:
        """Return the shape of this run's model."""
        model = self.config.model
        return GPTConfig(
            vocab_size=self.encoder.vocab_size,
            block_size=self.encoder.max_length,
            layers=model.layers,
            heads=model.heads,
            width=model.width,
            attention_bias=model.attention_bias,
            embedding=self.embedding,
            features=0 if self.features is None else self.features.features.shape[2],
        )

    def _relation(self) -> np.ndarray | None:
        """Return how the elements of every two tokens lie, None without an attention bias."""
        return relations(self.encoder, self.config.model.attention_bias)

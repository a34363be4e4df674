"""The loop with a model: its rounds begin by training on the pools and sampling."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from pipeline import streams
from pipeline.clock import Clock
from pipeline.conditions import ABOVE, BEST, ConditionedEncoder
from pipeline.config import Config, resolved
from pipeline.errors import PipelineError, UsageError
from pipeline.executor import Executor
from pipeline.model.device import prepare
from pipeline.model.feedback import feedback
from pipeline.model.geometry import relations
from pipeline.model.gpt import GPT, GPTConfig
from pipeline.model.places import Places, places, usual_embedding
from pipeline.model.sample import sample
from pipeline.model.train import train
from pipeline.packing import ids
from pipeline.population import Population, distinct
from pipeline.problem import Problem
from pipeline.rounds import Rounds
from pipeline.search.guide import Guide
from pipeline.statistics import Distribution, distribution
from pipeline.symmetry import canonical, find_class
from pipeline.tokens import EOS, PAD, Encoder, make_encoder
from pipeline.workshop import Report, State


class Loop(Rounds):
    """Rounds that begin with what a model has written."""

    def __init__(
        self,
        problem: Problem,
        config: Config,
        executor: Executor,
        report: Report,
        clock: Clock | None = None,
        given: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Prepare a run, and torch in this process: its threads and its kernels.

        Raises:
            UsageError: a size, symmetry class, token kind, device or mask that cannot be had.
        """
        super().__init__(problem, config, executor, report, clock, given)
        self.device = prepare(config.compute.device, resolved(config).compute.threads)
        self._encoder: Encoder | None = None
        self._places: Places | None = None
        for name in config.seeding.symmetry:
            find_class(self.grounds[config.n], name)
        self._check_model_symmetry()
        self._check_sampling()

    def _check_model_symmetry(self) -> None:
        name = self.config.model.symmetry or "trivial"
        find_class(self.grounds[self.config.n], name)
        for n, ground in self.grounds.items():
            try:
                find_class(ground, name)
            except UsageError as error:
                raise UsageError(f"at n={n}: {error}; leave that size out with --sizes") from error

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

    def propose(
        self, number: int, last: State
    ) -> tuple[Population, dict[str, Any], dict[str, Any]]:
        """Train on the pools, sample, and take what is well-formed and distinct."""
        model, optimizer, training = self._train(number, last)
        prefix = self._asked(model, last)
        tokens = self._sample(number, model, prefix, last)
        samples, told = self._judge(number, tokens, last)
        temperature = self._next_temperature(last.temperature, told["repeats"])
        told = {
            "train": training,
            "temperature": last.temperature,
            "next_temperature": temperature,
            **told,
        }
        return samples, told, {"model": model, "optimizer": optimizer, "samples": samples}

    def feed_back(
        self, number: int, proposals: Population, improved: Population, learnt: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Tune the model by the scores that its samples came to."""
        config = self.config.feedback
        reached = dict(zip(improved.parent.tolist(), improved.score.tolist(), strict=True))
        told_of = np.array([i in reached for i in proposals.ids().tolist()], dtype=bool)
        shown = proposals.take(np.flatnonzero(told_of))
        shown = shown.take(np.flatnonzero(self.encoder.encodable(shown.cells, shown.n)))
        encoder = self.encoder
        if isinstance(encoder, ConditionedEncoder):  # they were written after what was asked
            encoder = encoder.fixed(self._prefix)
        if config.kind == "none" or not len(shown):
            return {}
        self.report("stage", name="feedback", total=config.steps)
        result = feedback(
            learnt["model"],
            encoder,
            shown.n,
            shown.cells,
            np.array([reached[i] for i in shown.ids().tolist()]),
            config,
            seed=streams.integer(self.config.seed, number, "feedback"),
            precision=self.config.compute.precision,
            progress=lambda step, steps, loss: self.report("progress", done=step, loss=loss),
        )
        return {"feedback": asdict(result)}

    # ------------------------------------------------------------------------------- model

    @property
    def encoder(self) -> Encoder:
        """The tokens of this run."""
        if self._encoder is None:
            model = self.config.model
            self._encoder = make_encoder(
                model.tokens,
                self.grounds,
                symmetry=model.symmetry or None,
                order=model.order,
                own=self.problem.encoders(),
            )
            if model.condition:
                self._encoder = ConditionedEncoder(
                    self._encoder, model.condition, self.problem.score
                )
        return self._encoder

    def model_config(self) -> GPTConfig:
        """Return the shape of this run's model."""
        model, places = self.config.model, self.places()
        return GPTConfig(
            vocab_size=self.encoder.vocab_size,
            block_size=self.encoder.max_length,
            layers=model.layers,
            heads=model.heads,
            width=model.width,
            geometry=model.geometry,
            embedding=self.embedding(),
            features=0 if places is None else places.features.shape[2],
        )

    def relation(self) -> np.ndarray | None:
        """Return how the elements of every two tokens lie, None without geometry."""
        return relations(self.encoder, self.config.model.geometry)

    def places(self) -> Places | None:
        """Return what is known of the tokens, None with a free embedding."""
        if self._places is None:
            self._places = places(self.encoder, self.embedding())
        return self._places

    def embedding(self) -> str:
        """Return what tokens are embedded by."""
        asked = self.config.model.embedding
        return usual_embedding(self.encoder) if asked == "auto" else asked

    def new_model(self, number: int) -> GPT:
        """Return an untrained model, the same for the same rng seed."""
        seed = streams.integer(self.config.seed, number, "initialise")
        model = GPT(self.model_config(), self.relation(), self.places(), seed=seed)
        if isinstance(self.encoder, ConditionedEncoder):
            model.line_up(self.encoder.level_tokens())
        return model.to(self.device)

    def _train(self, number: int, last: State) -> tuple[GPT, Mapping[str, Any], dict[str, Any]]:
        sizes = self.config.train.sizes or self.config.sizes
        pools = {n: self._shown(pool) for n, pool in last.pools.items()}
        shown = {n: pool.cells for n, pool in pools.items() if n in sizes and len(pool)}
        if isinstance(self.encoder, ConditionedEncoder):
            # A size that is kept from the model has its steps too, to tell what samples came to.
            self.encoder.show({n: pool.score for n, pool in pools.items()})
        if not shown:
            raise PipelineError(
                f"no construction can be written in {self.config.model.tokens!r} tokens under the "
                f"symmetry {self.config.model.symmetry!r}; seed with it (seeding.symmetry)"
            )
        fresh = last.model is None or self.config.train.from_scratch
        model = self.new_model(number) if fresh else last.model
        assert model is not None
        config = self.config.train
        self.report("stage", name="train", total=config.steps)
        result = train(
            model,
            self.encoder,
            shown,
            config,
            seed=streams.integer(self.config.seed, number, "train"),
            optimizer_state=None if fresh else last.optimizer,
            precision=self.config.compute.precision,
            progress=lambda step, steps, loss: self.report("progress", done=step, loss=loss),
        )
        rates = {"tokens_per_second": round(result.tokens_per_second)}
        self.report("trained", **rates, utilisation=round(result.utilisation, 3))
        told = {
            "steps": result.steps,
            "loss": result.train_loss,
            "holdout_loss": result.holdout_loss,
            "stopped_early": result.stopped_early,
            "curve": result.curve,
            "shown": {str(n): len(cells) for n, cells in shown.items()},
        }
        return model, result.optimizer_state, told

    def _shown(self, pool: Population) -> Population:
        """Return what of a pool can be written in this run's tokens."""
        return pool.take(np.flatnonzero(self.encoder.encodable(pool.cells, pool.n)))

    def _asked(self, model: GPT, last: State) -> np.ndarray:
        """Return what samples begin with, and give a model what it needs to be asked for it."""
        config, n, encoder = self.config.sample, self.config.n, self.encoder
        self._prefix = encoder.prefix(n)
        if isinstance(encoder, ConditionedEncoder):
            # Nothing above the best was ever shown. Levels began on a line, so the next step up
            # is looked for as far beyond the best as that lies beyond the second.
            above = config.ask == "above" and encoder.steps(n) > 1
            if above:
                model.extend(*encoder.level_tokens()[:3].tolist())
            symmetry = config.symmetry or encoder.commonest(self._shown(last.pools[n]).cells, n)
            self._prefix = encoder.prefix(n, ABOVE if above else BEST, symmetry)
        return self._prefix

    def _sample(self, number: int, model: GPT, prefix: np.ndarray, last: State) -> np.ndarray:
        config, n = self.config.sample, self.config.n
        longest = max((int(p.score.max()) for p in last.pools.values() if len(p)), default=0)
        length = self.encoder.max_length
        if self.encoder.name != "dense":
            length = min(length, 2 * longest + 6 + len(prefix))
        self.report("stage", name="sample", total=config.count)

        def guide(rows: int) -> Guide:
            return Guide(self.problem, self.encoder, n, rows, config.maximal)

        return sample(
            model,
            prefix,
            config.count,
            length=length,
            eos=EOS,
            pad=PAD,
            temperature=last.temperature,
            top_p=config.top_p,
            seed=streams.integer(self.config.seed, number, "sample"),
            precision=self.config.compute.precision,
            batch=config.batch,
            guide_factory=guide if config.constrained else None,
            progress=lambda done, total: self.report("progress", done=done),
        )

    def _judge(
        self, number: int, tokens: np.ndarray, last: State
    ) -> tuple[Population, dict[str, Any]]:
        """Decode samples, check them as they are, and drop those equal up to symmetry."""
        n = self.config.n
        ground = self.grounds[n]
        cells, well_formed = self.encoder.decode(tokens, n)
        cells = cells[well_formed]
        valid = self.problem.validate(cells, n)
        score = np.asarray(self.problem.score(cells, n), dtype=np.int32)
        sampled: Distribution = distribution(
            score[valid], int((~valid).sum()), int((~well_formed).sum())
        )
        forms = canonical(cells, ground)
        made = Population.build(n, ground.m, cells, score, round=number, origin="model")
        fresh = distinct(made, forms)
        names, seen = ids(forms), ids(canonical(last.pools[n].cells, ground))
        known = np.isin(names, seen)
        unique_valid = np.unique(names[valid])
        count, decoded = len(tokens), max(len(cells), 1)
        told = {
            "sampled": sampled,
            "validity": float(valid.sum()) / count,
            "duplicates": 1.0 - len(fresh) / decoded,
            "novelty": float((~np.isin(unique_valid, seen)).sum()) / max(len(unique_valid), 1),
            "repeats": 1.0 - len(np.unique(names[~known])) / decoded,
        }
        if isinstance(self.encoder, ConditionedEncoder):
            told |= self.encoder.answered(tokens[:1], cells[valid], n)
        return fresh, told

    def _next_temperature(self, temperature: float, repeats: float) -> float:
        """Raise the temperature by a tenth while most samples were seen before; then go back."""
        base = self.config.sample.temperature
        if not self.config.sample.adapt:
            return base
        if repeats > 0.5:
            return min(temperature * 1.1, 2 * base)
        return max(temperature / 1.1, base) if repeats < 0.25 else temperature

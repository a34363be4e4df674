"""One round of the loop, without a file system: seed, then train, sample, repair, search, keep."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline import streams
from pipeline.config import Config, resolved
from pipeline.errors import PipelineError, UsageError
from pipeline.executor import Executor
from pipeline.model.device import prepare
from pipeline.model.gpt import GPT, GPTConfig
from pipeline.model.sample import sample
from pipeline.model.train import train
from pipeline.packing import ids, width
from pipeline.population import Population, distinct
from pipeline.problem import Problem
from pipeline.search.guide import Guide
from pipeline.search.shards import Shard
from pipeline.search.space import usable_classes
from pipeline.statistics import Distribution, distribution
from pipeline.symmetry import canonical, find_class
from pipeline.tokens import EOS, PAD, Encoder, make_encoder
from pipeline.workshop import Report, State, Workshop

#: Constructions in one shard, by method: a fraction of a second of work.
_SHARD = {"anneal": 25, "greedy": 1000, "complete": 200}
#: Constructions at n in round 0, unless the configuration says otherwise.
_SEEDS = {"anneal": 3000, "greedy": 20_000}


class Loop(Workshop):
    """The rounds of one run, over a problem, a configuration and an executor."""

    def __init__(
        self, problem: Problem, config: Config, executor: Executor, report: Report
    ) -> None:
        """Prepare a run, and torch in this process: its threads and its kernels.

        Raises:
            UsageError: a size, symmetry class, token kind or device that cannot be had.
        """
        super().__init__(problem, config, executor, report)
        self.device = prepare(config.compute.device, resolved(config).compute.threads)
        self._encoder: Encoder | None = None
        for name in config.seeding.symmetry:
            find_class(self.grounds[config.n], name)
        self._check_model_symmetry()

    def _check_model_symmetry(self) -> None:
        name = self.config.model.symmetry or "trivial"
        find_class(self.grounds[self.config.n], name)
        for n, ground in self.grounds.items():
            try:
                find_class(ground, name)
            except UsageError as error:
                raise UsageError(f"at n={n}: {error}; leave that size out with --sizes") from error

    def prepare(self) -> None:
        """Compile what the search of this run needs."""
        method = self.config.seeding.method
        n = self.config.n
        cells = np.zeros((1, width(self.grounds[n].m)), np.uint8)
        state = np.zeros(1, np.uint64)
        self.warm_up(
            [self.shard(n, "trivial", method, cells, state, self.config.seeding, proposals=1)]
        )

    # ---------------------------------------------------------------------- the two rounds

    def seed(self, starts: Mapping[int, Population]) -> State:
        """Play round 0: constructions by local search, and any that the user gave."""
        found = self._search(self._seed_shards(), 0, "seed", "seed")
        pools = {
            n: self.keep(n, starts.get(n, self.none(n)), found.get(n, self.none(n)))
            for n in self.config.sizes
        }
        seeded = {str(n): distribution(p.score) for n, p in found.items()}
        stats = self.stats(0, pools) | {"seeded": seeded}
        return State(0, pools, self.config.sample.temperature, stats=stats)

    def next(self, last: State) -> State:
        """Play a round: train on the pools, sample, repair and search, validate, keep the best."""
        number = last.round + 1
        model, optimizer, training = self._train(number, last)
        tokens = self._sample(number, model, last)
        samples, told = self._judge(number, tokens, last)
        improved = self._improve(number, samples)
        n = self.config.n
        pool = self.keep(n, last.pools[n], improved)
        pools = {**last.pools, n: pool}
        new = int((pool.round == number).sum())
        temperature = self._next_temperature(last.temperature, told["repeats"])
        stats = self.stats(number, pools) | {
            "train": training,
            "temperature": last.temperature,
            "next_temperature": temperature,
            **told,
            "searched": distribution(improved.score),
            "kept_from_model": new,
        }
        return State(number, pools, temperature, model, optimizer, samples, stats)

    # ------------------------------------------------------------------------------ search

    def _seed_shards(self) -> list[Shard]:
        seeding = self.config.seeding
        shards: list[Shard] = []
        for n in reversed(self.config.sizes):
            most = seeding.count or _SEEDS[seeding.method]
            count = most if n == self.config.n else round(seeding.smaller * most)
            m = self.grounds[n].m
            classes = self.seed_classes(n)
            each = _SHARD[seeding.method]
            for i, start in enumerate(range(0, count, each)):
                shards.append(
                    self.shard(
                        n,
                        classes[i % len(classes)],
                        seeding.method,
                        np.zeros((min(each, count - start), width(m)), np.uint8),
                        streams.state(self.config.seed, 0, "seed", len(shards)),
                        seeding,
                        seeding.proposals or max(100_000, 100 * m),
                    )
                )
        return shards

    def seed_classes(self, n: int) -> list[str]:
        """Return the names of the symmetry classes that round 0 takes in turn at size n.

        Raises:
            UsageError: no construction of the size searched for can have those asked for.
        """
        usable = [cls.name for cls in usable_classes(self.problem, n)]
        wanted = self.config.seeding.symmetry
        if not wanted:
            return usable if self.config.seeding.method == "anneal" else usable[:1]
        chosen = [name for name in wanted if name in usable]
        if not chosen and n == self.config.n:
            raise UsageError(
                f"{self.problem.name} at n={n} has no construction with the symmetry "
                f"{' or '.join(wanted)}; usable: {', '.join(usable)}"
            )
        return chosen or usable[:1]

    def _search(
        self,
        shards: list[Shard],
        number: int,
        origin: str,
        stage: str,
        parents: list[np.ndarray] | None = None,
    ) -> dict[int, Population]:
        """Run shards until all are done or one reaches the target."""
        self.report("stage", name=stage, total=len(shards))
        found: dict[int, list[Population]] = {}
        best = 0
        for done, part in enumerate(self.run(shards, number, origin, parents), start=1):
            found.setdefault(part.n, []).append(part)
            if part.n == self.config.n:
                best = max(best, int(part.score.max(initial=0)))
            self.report("progress", done=done, best=best)
            if best >= self.target:
                break
        return {n: Population.concat(parts) for n, parts in found.items()}

    def _improve(self, number: int, samples: Population) -> Population:
        """Repair and saturate each sample, then anneal it shortly."""
        search, n = self.config.search, self.config.n
        method = "anneal" if search.proposals else "complete"
        each = _SHARD[method]
        shards, parents = [], []
        for start in range(0, len(samples), each):
            part = samples.take(np.arange(start, min(start + each, len(samples))))
            rng = streams.state(self.config.seed, number, "search", len(shards))
            symmetry = self.config.model.symmetry or "trivial"
            shards.append(
                self.shard(n, symmetry, method, part.cells, rng, search, search.proposals)
            )
            parents.append(part.ids())
        found = self._search(shards, number, "model", "search", parents)
        return found.get(n, self.none(n))

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
        return self._encoder

    def model_config(self) -> GPTConfig:
        """Return the shape of this run's model."""
        model = self.config.model
        return GPTConfig(
            vocab_size=self.encoder.vocab_size,
            block_size=self.encoder.max_length,
            layers=model.layers,
            heads=model.heads,
            width=model.width,
        )

    def new_model(self, number: int) -> GPT:
        """Return an untrained model, the same for the same rng seed."""
        seed = streams.integer(self.config.seed, number, "initialise")
        return GPT(self.model_config(), seed=seed).to(self.device)

    def _train(self, number: int, last: State) -> tuple[GPT, Mapping[str, Any], dict[str, Any]]:
        shown = {
            n: pool.cells[self.encoder.encodable(pool.cells, n)]
            for n, pool in last.pools.items()
            if len(pool)
        }
        shown = {n: cells for n, cells in shown.items() if len(cells)}
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
            progress=lambda step, steps, loss: self.report("progress", done=step, loss=loss),
        )
        told = {
            "steps": result.steps,
            "loss": result.train_loss,
            "holdout_loss": result.holdout_loss,
            "stopped_early": result.stopped_early,
            "curve": result.curve,
            "shown": {str(n): len(cells) for n, cells in shown.items()},
        }
        return model, result.optimizer_state, told

    def _sample(self, number: int, model: GPT, last: State) -> np.ndarray:
        config, n = self.config.sample, self.config.n
        longest = max((int(p.score.max()) for p in last.pools.values() if len(p)), default=0)
        length = self.encoder.max_length
        if self.encoder.name != "dense":
            length = min(length, 2 * longest + 8)
        self.report("stage", name="sample", total=config.count)

        def guide(rows: int) -> Guide:
            return Guide(self.problem, self.encoder, n, rows)

        return sample(
            model,
            self.encoder.prefix(n),
            config.count,
            length=length,
            eos=EOS,
            pad=PAD,
            temperature=last.temperature,
            top_p=config.top_p,
            seed=streams.integer(self.config.seed, number, "sample"),
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
        return fresh, told

    def _next_temperature(self, temperature: float, repeats: float) -> float:
        """Raise the temperature by a tenth while most samples were seen before; then go back."""
        base = self.config.sample.temperature
        if not self.config.sample.adapt:
            return base
        if repeats > 0.5:
            return min(temperature * 1.1, 2 * base)
        return max(temperature / 1.1, base) if repeats < 0.25 else temperature

"""The loop with a model: its rounds begin by training on the pools and sampling."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from pipeline.config import Config
from pipeline.core.bitset import ids
from pipeline.core.population import Population, distinct
from pipeline.core.score_stats import Distribution, distribution
from pipeline.core.symmetry import canonical, find_class
from pipeline.errors import PipelineError, UsageError
from pipeline.executors.local import Executor
from pipeline.problem import Problem
from pipeline.rounds import Rounds
from pipeline.stopping import Clock
from pipeline.workshop import Report, State
from pipeline.writers import make_writer


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
        for name in config.seeding.symmetry:
            find_class(self.grounds[config.n], name)
        self._check_model_symmetry()
        self.writer = make_writer(problem, config, self.grounds, self.mask)

    def _check_model_symmetry(self) -> None:
        name = self.config.model.symmetry or "trivial"
        find_class(self.grounds[self.config.n], name)
        for n, ground in self.grounds.items():
            try:
                find_class(ground, name)
            except UsageError as error:
                raise UsageError(f"at n={n}: {error}; leave that size out with --sizes") from error

    def propose(
        self, number: int, last: State
    ) -> tuple[Population, dict[str, Any], dict[str, Any]]:
        """Train on the pools, sample, and take what is well-formed and distinct."""
        model, optimizer, training, imported = self._train(number, last)
        cells, well_formed, asked = self._sample(number, model, last)
        samples, told = self._judge(number, cells, well_formed, last)
        samples = replace(samples, imported=np.full(len(samples), imported))
        temperature = self._next_temperature(last.temperature, told["repeats"])
        told = {
            "train": training,
            "temperature": last.temperature,
            "next_temperature": temperature,
            **asked,
            **told,
        }
        learnt = {"model": model, "optimizer": optimizer, "imported": imported}
        return samples, told, {**learnt, "samples": samples}

    def feed_back(
        self, number: int, proposals: Population, improved: Population, learnt: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Tune the model by the scores that its samples came to."""
        config = self.config.feedback
        if config.kind == "none":
            return {}
        reached = dict(zip(improved.parent.tolist(), improved.score.tolist(), strict=True))
        told_of = np.array([i in reached for i in proposals.ids().tolist()], dtype=bool)
        shown = proposals.take(np.flatnonzero(told_of))
        shown = shown.take(np.flatnonzero(self.writer.readable(shown.cells, shown.n)))
        if not len(shown):
            return {}
        self.report("stage", name="feedback", total=config.steps)
        result = self.writer.feedback(
            number,
            learnt["model"],
            shown.cells,
            np.array([reached[i] for i in shown.ids().tolist()]),
            lambda step, steps, loss: self.report("progress", done=step, loss=loss),
        )
        return {"feedback": asdict(result)}

    # ------------------------------------------------------------------------------- model

    def _train(
        self, number: int, last: State
    ) -> tuple[Any, Mapping[str, Any], dict[str, Any], bool]:
        """Train the last model on, or a new one.

        Returns:
            (the model, its optimiser, what to tell of the training, whether the model has learnt
            from what was imported or descends from it).
        """
        readable = self.writer.readable
        shown = {
            n: pool.take(np.flatnonzero(readable(pool.cells, n))) for n, pool in last.pools.items()
        }
        taught = self.writer.taught(shown)
        if not taught:
            raise PipelineError(
                f"no construction can be written {self.writer.manner}; seed with it "
                "(seeding.symmetry)"
            )
        fresh = last.model is None or self.config.train.from_scratch
        model = self.writer.new(number) if fresh else last.model
        self.report("stage", name="train", total=self.config.train.steps)
        result = self.writer.train(
            number,
            model,
            None if fresh else last.optimizer,
            shown,
            lambda step, steps, loss: self.report("progress", done=step, loss=loss),
        )
        rates = {"tokens_per_second": round(result.tokens_per_second)}
        self.report("trained", **rates, utilisation=round(result.utilisation, 3))
        told = {
            "steps": result.steps,
            "loss": result.train_loss,
            "holdout_loss": result.holdout_loss,
            "stopped_early": result.stopped_early,
            "curve": result.curve,
            "shown": {str(n): len(pool) for n, pool in taught.items()},
        }
        imported = not fresh and last.imported
        imported = imported or any(bool(pool.imported.any()) for pool in taught.values())
        return model, result.optimizer_state, told, imported

    def _sample(
        self, number: int, model: Any, last: State
    ) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """Return packed cells, which of them are well-formed, and what to tell of them."""
        self.report("stage", name="sample", total=self.config.sample.count)
        return self.writer.sample(
            number,
            model,
            last.pools,
            last.temperature,
            lambda done, total: self.report("progress", done=done),
        )

    def _judge(
        self, number: int, cells: np.ndarray, well_formed: np.ndarray, last: State
    ) -> tuple[Population, dict[str, Any]]:
        """Check samples as they are, and drop those equal up to symmetry."""
        n = self.config.n
        ground = self.grounds[n]
        count, cells = len(cells), cells[well_formed]
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
        decoded = max(len(cells), 1)
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

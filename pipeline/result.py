"""What a run has found, as Python meets it: printed, drawn in a notebook, or taken further."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import Config
from pipeline.core.population import ORIGINS, Population
from pipeline.core.score_stats import Distribution, distribution
from pipeline.errors import UsageError
from pipeline.problem import Known, Problem
from pipeline.state import State

_BAR = 60  # characters, or quarters of em, of the longest bar of a histogram


@dataclass(frozen=True, eq=False)
class Found:
    """One verified construction.

    Attributes:
        problem: the problem.
        n: the size.
        elements: int32, indices into the ground set, rising.
        score: from the raw cells.
        round: the round that found it.
        origin: seed, search, generator or import.
        imported: whether it was imported, or descends from what was.
    """

    problem: Problem
    n: int
    elements: np.ndarray
    score: int
    round: int
    origin: str
    imported: bool

    @property
    def points(self) -> list[tuple[int, ...]]:
        """The coordinates of its elements, in order."""
        coords = self.problem.ground(self.n).coords
        return [tuple(row) for row in coords[self.elements].tolist()]

    @property
    def best_known(self) -> Known | None:
        """The best known value of this size, with its source; None if there is none on record."""
        return self.problem.known(self.n)

    def __str__(self) -> str:
        """Draw it, and say what it is."""
        from pipeline.report.drawing import drawn_text

        drawn = drawn_text(self.problem.ground(self.n), self.elements)
        return "\n\n".join(filter(None, [drawn, self._summary()]))

    def __repr__(self) -> str:
        return f"<{self._summary()}>"

    def _summary(self) -> str:
        known = self.best_known
        beside = "" if known is None else f"; best known: {known}"
        score = self.problem.score_text(self.score)
        return f"{self.problem.name}, n={self.n}: {score}, verified{beside}"

    def _repr_html_(self) -> str:
        """Draw it in a notebook."""
        from html import escape

        from pipeline.report.drawing import drawn_svg

        drawn = drawn_svg(self.problem.ground(self.n), self.elements)
        return f"<figure>{drawn or ''}<figcaption>{escape(self._summary())}</figcaption></figure>"


@dataclass(frozen=True)
class Histogram:
    """How many constructions have each score.

    Attributes:
        title: what they are.
        counts: how many, by rising score.
        statistics: count, mean, median, mean of the top 20 %, max.
    """

    title: str
    counts: Mapping[int, int]
    statistics: Distribution

    def __str__(self) -> str:
        """Draw a bar for each score."""
        most = max(self.counts.values(), default=1)
        rows = [
            f"{score:>8} {'█' * max(round(_BAR * many / most), 1)} {many:,}"
            for score, many in self.counts.items()
        ]
        return "\n".join([self.title, *rows])

    def _repr_html_(self) -> str:
        """Draw it in a notebook."""
        from html import escape

        most = max(self.counts.values(), default=1)
        bar = "display:inline-block;height:0.8em;background:#4477aa;width"
        rows = "".join(
            f"<tr><td>{score}</td><td style='text-align:left'>"
            f"<span style='{bar}:{20 * many / most:.2f}em'></span> {many:,}</td></tr>"
            for score, many in self.counts.items()
        )
        return f"<table><caption>{escape(self.title)}</caption>{rows}</table>"


@dataclass(frozen=True, eq=False)
class Result:
    """What a run came to.

    Attributes:
        state: after the last round: ``state.pools`` has the best of each size.
        problem, config: what was run.
        seconds, cpu: wall time, and CPU seconds of all processes, of this call.
        path: the run's folder; None for a run in memory.
    """

    state: State
    problem: Problem
    config: Config
    seconds: float
    cpu: float
    path: Path | None = None

    @property
    def score(self) -> int:
        """The best score of size n; 0 if nothing was found."""
        return self.state.best()

    def pool(self, n: int | None = None) -> Population:
        """Return the best constructions of a size (None: the one searched for), best first.

        Raises:
            UsageError: the run has no such size.
        """
        size = self.state.n if n is None else n
        if size not in self.state.pools:
            there = ", ".join(map(str, self.state.pools))
            raise UsageError(f"the run has no constructions of size {size}; it has {there}")
        return self.state.pools[size]

    def best(self, n: int | None = None) -> Found:
        """Return the best construction of a size (None: the one searched for).

        Raises:
            UsageError: the run has no such size, or found nothing of it.
        """
        pool = self.pool(n)
        if not len(pool):
            raise UsageError(f"the run found nothing of size {pool.n}")
        i = pool.best()
        return Found(
            problem=self.problem,
            n=pool.n,
            elements=pool.points(i),
            score=int(pool.score[i]),
            round=int(pool.round[i]),
            origin=ORIGINS[int(pool.origin[i])],
            imported=bool(pool.imported[i]),
        )

    def histogram(self, n: int | None = None) -> Histogram:
        """Return the scores of the constructions kept, of a size (None: the one searched for)."""
        pool = self.pool(n)
        title = f"{self.problem.name}, n={pool.n}: {len(pool):,} constructions kept"
        return Histogram(title, pool.counts(), distribution(pool.score))

    def __repr__(self) -> str:
        last = f"after round {self.state.round}"
        return f"<Result: {self.problem.name}, n={self.state.n}, best {self.score} {last}>"

    def _repr_html_(self) -> str:
        """Draw the best construction and the histogram in a notebook."""
        if not len(self.state.pool):
            return f"<p>{self.problem.name}, n={self.state.n}: nothing found</p>"
        parts: tuple[Any, Any] = (self.best(), self.histogram())
        return "".join(part._repr_html_() for part in parts)

    def to_json(self) -> dict[str, Any]:
        """Return the best construction and how the run went, ready for JSON."""
        found = self.best() if len(self.state.pool) else None
        return {
            "problem": self.config.problem,
            "n": self.state.n,
            "score": self.score,
            "points": [] if found is None else [list(p) for p in found.points],
            "rounds": self.state.round,
            "seconds": round(self.seconds, 3),
            "cpu_seconds": round(self.cpu, 3),
        }

"""What a run has found: its pools and its best, read from its folder and verified anew.

Nothing here needs a model, so that looking at a run never loads torch.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.config import Config
from pipeline.constructions import Construction, as_json
from pipeline.errors import PipelineError, RunError, VerificationError
from pipeline.population import ORIGINS, Population, tells_descent
from pipeline.problem import Problem
from pipeline.runs import Run
from pipeline.search.fields import LEARNT


def load_pool(run: Run, problem: Problem, number: int, n: int) -> Population:
    """Return the pool of size n after a round.

    Raises:
        RunError: it is damaged, or of another problem, convention or size.
    """
    where = run.file(number, f"n{n}.parquet")
    try:
        pool, metadata = Population.read(where)
    except PipelineError as error:
        raise RunError(str(error)) from error
    expected = metadata_of(run, problem)
    if metadata != expected or pool.n != n or pool.m != problem.ground(n).m:
        raise RunError(
            f"{where} belongs to another run ({metadata.get('problem')}, n={pool.n}); restore "
            "the file of this run"
        )
    if run.start() is not None and not tells_descent(where):
        return replace(pool, imported=_may_descend(run, pool))
    return pool


def _may_descend(run: Run, pool: Population) -> np.ndarray:
    """Return which constructions of an older release's run may descend from imported ones.

    Searches of their own begin from nothing, unless a field was learnt for them.
    """
    own = pool.came_from("seed") | pool.came_from("search")
    return ~own if run.config.search.field != LEARNT else np.ones(len(pool), np.bool_)


def verify_run(
    run: Run, problem: Problem, numbers: Iterable[int]
) -> Iterator[tuple[int, Population]]:
    """Check every construction of some rounds anew; yield (round, pool) of each size.

    Raises:
        VerificationError: a construction is invalid (with its witness), or has another score.
        RunError: a file is damaged.
    """
    for number in numbers:
        run.check_round(number)
        for n in run.sizes(number):
            pool = load_pool(run, problem, number, n)
            where = run.folder(number) / f"n{n}.parquet"
            check_population(problem, pool, str(where))
            yield number, pool


def last_pool(run: Run, problem: Problem, n: int | None = None) -> tuple[Population, str]:
    """Return the pool of a size after the last round, not empty and not verified, and its file.

    Args:
        n: None for the size that the run searches for.

    Raises:
        RunError: no finished round, none of that size, or it is damaged.
    """
    number, size = run.last_round(), run.config.n if n is None else n
    if size not in run.sizes(number):
        there = ", ".join(map(str, run.sizes(number)))
        raise RunError(f"{run.path} has no constructions of size {size}; it has {there}")
    pool = load_pool(run, problem, number, size)
    if not len(pool):
        raise RunError(f"{run.path} has found no construction of size {size} yet")
    return pool, str(run.folder(number) / f"n{size}.parquet")


def check_population(problem: Problem, pool: Population, where: str) -> None:
    """Check constructions from their raw cells.

    Raises:
        VerificationError: names the first that is invalid, with its witness, or that has
            another score than the stored one.
    """
    valid = problem.validate(pool.cells, pool.n)
    for i in np.flatnonzero(~valid)[:1]:
        found = Construction(problem, pool.n, pool.points(int(i)), f"{where}, row {i}")
        raise VerificationError(f"{found.where}: not valid; witness {found.witness()}")
    score = np.asarray(problem.score(pool.cells, pool.n))
    for i in np.flatnonzero(score != pool.score)[:1]:
        raise VerificationError(
            f"{where}, row {i}: the stored score is {pool.score[i]}, its points have {score[i]}"
        )


def best_of(run: Run, problem: Problem, n: int | None = None, own: bool = False) -> dict[str, Any]:
    """Return the best construction of a run as JSON, verified anew, with where it came from.

    Args:
        own: the best of those that were not imported and descend from nothing imported.

    Raises:
        RunError: no finished round, or none of that size.
        VerificationError: it is not what it claims.
    """
    pool, where = last_pool(run, problem, n)
    pool = pool.take(np.flatnonzero(~pool.imported)) if own else pool
    if not len(pool):
        raise RunError(f"{where} holds nothing but what was imported, or found from what was")
    top = pool.take(np.array([pool.best()]))
    check_population(problem, top, where)
    return described(problem, run.config, top)


def described(problem: Problem, config: Config, top: Population) -> dict[str, Any]:
    """Return a population's first construction as JSON, beside the best known value."""
    known = problem.known(top.n)
    return as_json(problem, config.problem, top.n, top.cells[0]) | {
        "round": int(top.round[0]),
        "origin": ORIGINS[int(top.origin[0])],
        "imported": bool(top.imported[0]),
        "best_known": None if known is None else known.value,
        "best_known_source": None if known is None else known.source,
        "best_known_date": None if known is None else known.date,
        "best_known_proved": None if known is None else known.proved,
    }


def metadata_of(run: Run, problem: Problem) -> dict[str, str]:
    """Return what a file of constructions says about the run it belongs to."""
    return {
        "problem": run.config.problem,
        "convention": problem.convention,
        "config": run.config.identity,
    }

"""What a run has found: its pools and its best, read from its folder and verified anew.

Nothing here needs a model, so that looking at a run never loads torch.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import Config
from pipeline.core.bitset import first_of_each
from pipeline.core.population import ORIGINS, Population
from pipeline.core.population_files import tells_descent
from pipeline.core.symmetry import canonical
from pipeline.engine.weights import LEARNED
from pipeline.errors import PipelineError, RunError, VerificationError
from pipeline.problem import Problem
from pipeline.storage import verdicts
from pipeline.storage.construction_files import Construction, as_json
from pipeline.storage.run import Run


def load_pool(run: Run, problem: Problem, number: int, n: int) -> Population:
    """Return the pool of size n after a round, once it passes the gate that search passes.

    Raises:
        RunError: it is damaged, of another problem, convention or size, or not a pool that a
            round keeps: see ``check_pool``.
    """
    pool, where = _read_pool(run, problem, number, n)

    def check() -> None:
        check_pool(problem, pool, number, str(where))

    try:
        verdicts.once(problem, [where], check)
        _check_rounds(pool, number, str(where))  # which the bytes alone do not say
    except VerificationError as error:
        raise RunError(f"{error}; {run.way_out(number)}") from error
    return pool


def _read_pool(run: Run, problem: Problem, number: int, n: int) -> tuple[Population, Path]:
    """Return the pool of size n after a round, not verified, and its file."""
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
        pool = replace(pool, imported=_may_descend(run, pool))
    return pool, where


def _may_descend(run: Run, pool: Population) -> np.ndarray:
    """Return which constructions of an older release's run may descend from imported ones.

    Searches of their own begin from nothing, unless weights were learned for them.
    """
    own = pool.came_from("seed") | pool.came_from("search")
    return ~own if run.config.search.weights != LEARNED else np.ones(len(pool), np.bool_)


def read_round(run: Run, problem: Problem, number: int, n: int) -> tuple[dict[str, Any], Any]:
    """Return the statistics of a round, checked against what it stored, and its pool of size n.

    Scores and counts of what was kept are counted anew from the cells. Of samples only those that
    are distinct are stored: their statistics must include these.

    Returns:
        (the statistics, the pool or None where the round has none of that size).

    Raises:
        RunError: a file is damaged, or one does not fit another.
    """
    stats = run.stats(number)
    pool = load_pool(run, problem, number, n) if str(n) in stats["pool"] else None
    try:
        _check_range(problem, stats)
        if pool is not None and n == stats["n"] and "kept_from_search" in stats:
            _check_kept(stats, pool, number)
        if "sampled" in stats and (run.folder(number) / "samples.parquet").exists():
            samples = load_samples(run, problem, number)
            paths = [run.folder(number) / name for name in ("samples.parquet", "stats.json")]
            verdicts.once(problem, paths, lambda: _check_samples(problem, stats, samples))
    except ValueError as error:
        path = run.folder(number) / "stats.json"
        raise run.damaged(path, number, f"is not what the round did ({error})") from error
    return stats, pool


def load_samples(run: Run, problem: Problem, number: int) -> Population:
    """Return the samples of a round, distinct, as the model made them.

    Raises:
        RunError: they are damaged, of another size, or have other scores than are stored.
    """
    path = run.file(number, "samples.parquet")
    try:
        samples, metadata = Population.read(path)
    except PipelineError as error:
        raise RunError(str(error)) from error
    n = run.config.n
    fits = samples.n == n and samples.m == problem.ground(n).m
    if not fits or metadata != metadata_of(run, problem):
        raise run.damaged(path, number, "belongs to another run")
    if (problem.evaluate(samples.cells, n) != samples.score).any():
        raise run.damaged(path, number, "has scores that its points have not")
    return samples


def _check_range(problem: Problem, stats: Mapping[str, Any]) -> None:
    """Refuse scores that no construction can have."""
    if problem.objective != "size":
        return  # any number may be a score
    parts = [(f"seeded {n}", int(n), part) for n, part in stats.get("seeded", {}).items()]
    parts += [(k, stats["n"], stats[k]) for k in ("sampled", "searched") if k in stats]
    for name, n, part in parts:
        scores = [int(score) for score in part["histogram"]]
        if n < problem.smallest or not all(0 <= s <= problem.ground_size(n) for s in scores):
            raise ValueError(f"{name}: a score that no construction of size {n} can have")


def _check_kept(stats: Mapping[str, Any], pool: Population, number: int) -> None:
    new, searched = pool.round == number, pool.came_from("search")
    kept = {"kept_from_search": new & searched, "kept_from_generator": new & ~searched}
    for key, rows in kept.items():
        if stats[key] != int(rows.sum()):
            raise ValueError(f"{key} is {stats[key]}, the pool has {int(rows.sum())}")


def _check_samples(problem: Problem, stats: Mapping[str, Any], samples: Population) -> None:
    sampled = stats["sampled"]
    decoded = sampled["count"] - sampled["wrong_format"]
    distinct = round((1 - stats["duplicates"]) * max(decoded, 1))
    valid = problem.validate(samples.cells, samples.n)
    stored = samples.take(np.flatnonzero(valid)).counts()
    fits = all(sampled["histogram"].get(str(s), 0) >= many for s, many in stored.items())
    empty = int((~samples.cells.any(axis=1)).sum())  # each is kept: a start of its own
    fits = fits and len(samples) - max(empty - 1, 0) == distinct
    if not fits or int((~valid).sum()) > sampled["invalid"]:
        raise ValueError("sampled is not what samples.parquet holds")


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
            pool, where = _read_pool(run, problem, number, n)
            check_pool(problem, pool, number, str(where))
            yield number, pool


def last_pool(run: Run, problem: Problem, n: int | None = None) -> tuple[Population, str]:
    """Return the pool of a size after the last round, not empty, verified, and its file.

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
    score = problem.evaluate(pool.cells, pool.n)
    for i in np.flatnonzero(score != pool.score)[:1]:
        raise VerificationError(
            f"{where}, row {i}: the stored score is {pool.score[i]}, its points have {score[i]}"
        )


def check_pool(problem: Problem, pool: Population, number: int, where: str) -> None:
    """Check that a pool is one that a round keeps: what search finds passes the same.

    Raises:
        VerificationError: names the first construction that is invalid, has another score than
            the stored one, is equivalent to one before it, or comes from a later round.
    """
    check_population(problem, pool, where)
    forms = canonical(pool.cells, problem.ground(pool.n))
    first = first_of_each(forms)
    if len(first) < len(pool):
        row = int(np.setdiff1d(np.arange(len(pool)), first)[0])
        twin = int(np.flatnonzero((forms == forms[row]).all(axis=1))[0])
        raise VerificationError(f"{where}, row {row}: equivalent to row {twin}")
    _check_rounds(pool, number, where)


def _check_rounds(pool: Population, number: int, where: str) -> None:
    for row in np.flatnonzero((pool.round < 0) | (pool.round > number))[:1]:
        raise VerificationError(
            f"{where}, row {row}: says it is of round {pool.round[row]}, kept by round {number}"
        )


def best_of(run: Run, problem: Problem, n: int | None = None, own: bool = False) -> dict[str, Any]:
    """Return the best construction of a run as JSON, verified anew, with where it came from.

    Args:
        own: the best of those that were not imported and descend from nothing imported.

    Raises:
        RunError: no finished round, none of that size, or its pool is not what a round keeps.
    """
    pool, where = last_pool(run, problem, n)
    pool = pool.take(np.flatnonzero(~pool.imported)) if own else pool
    if not len(pool):
        raise RunError(f"{where} holds nothing but what was imported, or found from what was")
    top = pool.take(np.array([pool.best()]))
    return described(problem, run.config, top)


def described(problem: Problem, config: Config, top: Population) -> dict[str, Any]:
    """Return a population's first construction as JSON, beside the best known value."""
    return as_json(problem, config.problem, top.n, top.cells[0]) | {
        "round": int(top.round[0]),
        "origin": ORIGINS[int(top.origin[0])],
        "imported": bool(top.imported[0]),
        **best_known(problem, top.n),
    }


def best_known(problem: Problem, n: int) -> dict[str, Any]:
    """Return the best known value of a size as JSON."""
    known = problem.known(n)
    return {
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
        "config": run.identity,
    }

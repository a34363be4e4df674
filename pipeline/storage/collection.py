"""What a person names to look at, a run or a file, as verified constructions of one size."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.bitset import ids
from pipeline.core.population import Population
from pipeline.core.symmetry import canonical
from pipeline.errors import UsageError
from pipeline.problem import Problem
from pipeline.storage.construction_files import (
    Construction,
    Named,
    as_json,
    is_parquet,
    read_constructions,
    read_population,
)
from pipeline.storage.round_files import (
    best_known,
    check_population,
    described,
    last_pool,
    metadata_of,
)
from pipeline.storage.run import Run


@dataclass(frozen=True, eq=False)
class Collection:
    """Constructions of one problem and size, each verified, at least one.

    Attributes:
        spec: what names the problem: a name, or a file and a class.
        run: whose last round they are; None for those of a file.
        file: that they were read from; None for those of a run.
    """

    problem: Problem
    spec: str
    pool: Population
    run: Run | None = None
    file: Path | None = None

    @property
    def n(self) -> int:
        """Their size."""
        return self.pool.n

    @property
    def where(self) -> str:
        """The run or the file, for a message."""
        return str(self.file) if self.run is None else self.run.name

    @cached_property
    def order(self) -> np.ndarray:
        """The indices of all, best first; at the head is what ``pipeline best`` shows."""
        return ranking(self.pool)

    def pick(self, rank: int | None = None, id: str | None = None) -> int:
        """Return the index of one: by its rank from 1, by the beginning of its id, or the best.

        Raises:
            UsageError: there is none, or the id has several.
        """
        if rank is not None and id is not None:
            raise UsageError("--id and --rank: name one of them")
        if id is None:
            if rank is not None and not 1 <= rank <= len(self.pool):
                raise UsageError(
                    f"--rank {rank}: {self.where} has {len(self.pool):,} of size {self.n}; give "
                    f"1 to {len(self.pool)}"
                )
            return int(self.order[(rank or 1) - 1])
        names = id_texts(self.problem, self.pool)
        found = [i for i in self.order.tolist() if names[i].startswith(id.lower())]
        if not id or len({names[i] for i in found}) != 1:
            many = "no construction" if not found else "more than one construction"
            raise UsageError(
                f"--id {id}: {many} of size {self.n} in {self.where} has it; `pipeline export "
                "--format json` lists them with their ids"
            )
        return found[0]

    def metadata(self) -> dict[str, str]:
        """Return what a Parquet file of these says of them."""
        if self.run is not None:
            return metadata_of(self.run, self.problem)
        return {"problem": self.spec, "convention": self.problem.convention}

    def described(self, index: int) -> dict[str, Any]:
        """Return one as JSON, beside the best known value, with where it comes from."""
        one = self.pool.take([index])
        if self.run is not None:
            return described(self.problem, self.run.config, one)
        assert self.file is not None
        found = as_json(self.problem, self.spec, self.n, one.cells[0])
        return found | {"file": str(self.file)} | best_known(self.problem, self.n)


def of_run(run: Run, problem: Problem, n: int | None = None) -> Collection:
    """Return what the last round of a run kept of a size.

    Raises:
        RunError: no finished round, none of that size, or its pool is not what a round keeps.
    """
    pool, _ = last_pool(run, problem, n)
    return Collection(problem, run.config.problem, pool, run=run)


def of_file(path: Path, named: Named | None = None, n: int | None = None) -> list[Collection]:
    """Return the constructions of a file, verified, those of one problem and size together.

    Args:
        n: this size alone; and the size of those that do not say theirs.

    Raises:
        UsageError: the file does not say of which problem or size it is, or has none of this size.
        PipelineError: it cannot be read or is malformed.
        VerificationError: one is not what it claims, or not valid.
    """
    if is_parquet(path):
        problem, spec, pool = read_population(path, named)
        check_population(problem, pool, str(path))
        found = [Collection(problem, spec, pool, file=path)] if len(pool) else []
    else:
        found = list(_grouped(path, named, n))
    found = [one for one in found if n is None or one.n == n]
    if not found:
        size = "" if n is None else f" of size {n}"
        raise UsageError(f"{path} holds no construction{size}")
    return found


def _grouped(path: Path, named: Named | None, n: int | None) -> Iterator[Collection]:
    groups: dict[Any, list[Construction]] = {}
    for one in read_constructions(path, named, n):
        one.check()
        key = (one.problem.name, one.problem.convention, one.n, one.spec)
        groups.setdefault(key, []).append(one)
    for _, several in sorted(groups.items(), key=lambda item: item[0]):
        first = several[0]
        cells = np.concatenate([one.cells for one in several])
        score = first.problem.evaluate(cells, first.n)
        m = first.problem.ground(first.n).m
        pool = Population.build(first.n, m, cells, score, origin="import")
        yield Collection(first.problem, first.spec, pool, file=path)


def ranking(pool: Population) -> np.ndarray:
    """Return the indices of a pool, best first, that of ``pipeline best`` at their head."""
    if not len(pool):
        return np.zeros(0, np.int64)
    order = np.lexsort((pool.ids(), -pool.score.astype(np.int64)))
    best = pool.best()
    return np.concatenate([order[order == best], order[order != best]])


def id_texts(problem: Problem, pool: Population) -> list[str]:
    """Return an id of each construction, the same for all that are equivalent to it."""
    names = ids(canonical(pool.cells, problem.ground(pool.n)))
    return [f"{int(name) & (2**64 - 1):016x}" for name in names]

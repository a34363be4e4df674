"""A shard: a piece of search that runs anywhere and gives the same result everywhere."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pipeline.errors import UsageError
from pipeline.problem import Problem, crashes_raised, load_problem
from pipeline.search import kernels
from pipeline.search.space import make_space
from pipeline.symmetry import find_class

#: No target: larger than any construction.
NO_TARGET = 2**62


@dataclass(frozen=True, eq=False)
class Shard:
    """What to do, to what, with which random numbers.

    Attributes:
        problem, convention: as ``load_problem`` takes them.
        n: the size.
        symmetry: name of the symmetry class whose orbits are searched.
        method: greedy (from nothing), complete (repair, saturate) or anneal.
        cells: packed uint8 ``(B, ceil(m / 8))``, where each search starts.
        rng: uint64 ``(1,)``, from ``streams.state``.
        proposals, penalty, hot, cold, target: of the annealing (see ``kernels.anneal``).
    """

    problem: str
    convention: str
    n: int
    symmetry: str
    method: str
    cells: np.ndarray
    rng: np.ndarray
    proposals: int = 0
    penalty: float = 0.5
    hot: float = 0.2
    cold: float = 0.12
    target: int = NO_TARGET


def run_shard(shard: Shard) -> np.ndarray:
    """Search from each start and return what came out, packed like the starts.

    Raises:
        UsageError: an unknown method, or a symmetry class no construction can have.
        PipelineError: the problem's hook raises or is wrong.
    """
    space, plain = _spaces(shard.problem, shard.convention, shard.n, shard.symmetry)
    rng, cells = shard.rng.copy(), np.ascontiguousarray(shard.cells).copy()
    with crashes_raised(f"the hook of {shard.problem}"):
        _search(shard, space, plain, rng, cells)
    return cells


def _search(
    shard: Shard, space: kernels.Space, plain: kernels.Space, rng: np.ndarray, cells: np.ndarray
) -> None:
    if shard.method == "greedy":
        kernels.greedy_many(space, rng, cells)
    elif shard.method == "complete":
        kernels.complete_many(space, rng, cells)
    elif shard.method == "anneal":
        how = (shard.proposals, shard.penalty, shard.hot, shard.cold, shard.target)
        kernels.anneal_many(space, plain, rng, cells, *how)
    else:
        raise UsageError(f"unknown search method {shard.method!r}")


@lru_cache(maxsize=4)
def _problem(spec: str, convention: str) -> Problem:
    return load_problem(spec, convention or None)


@lru_cache(maxsize=64)
def _spaces(spec: str, convention: str, n: int, name: str) -> tuple[kernels.Space, kernels.Space]:
    problem = _problem(spec, convention)
    plain = make_space(problem, n)
    cls = find_class(problem.ground(n), name)
    return (plain if cls.order == 1 else make_space(problem, n, cls)), plain

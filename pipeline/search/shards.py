"""A shard: a piece of search that runs anywhere and gives the same result everywhere."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pipeline.errors import UsageError
from pipeline.packing import pack, unpack, width
from pipeline.problem import Problem, crashes_raised, load_problem
from pipeline.search import kernels
from pipeline.search.cover import cover
from pipeline.search.space import border_band, make_space
from pipeline.search.tables import with_tables
from pipeline.search.tabu import Tabu, tabu
from pipeline.symmetry import find_class

#: What the pair tables of one symmetry class may take; without them the hook is walked, which
#: is a few times slower. Both mirrors at n = 100 take 150 MB.
TABLE_BYTES = 400_000_000

# Nodes after which a search by quotas begins afresh.
_COVER_CAP = 100_000

#: No target: larger than any construction.
NO_TARGET = 2**62


@dataclass(frozen=True, eq=False)
class Shard:
    """What to do, to what, with which random numbers.

    Attributes:
        problem, convention: as ``load_problem`` takes them.
        n: the size.
        symmetry: name of the symmetry class whose orbits are searched.
        method: greedy (from nothing), complete (repair, saturate), anneal, or one from nothing
            that gives up to B sets: tabu (ever larger ones), enumerate (many of size ``goal``)
            or cover (by the problem's quotas).
        cells: packed uint8 ``(B, ceil(m / 8))``, where each search starts.
        rng: uint64 ``(1,)``, from ``streams.state``.
        proposals: of each annealing, the steps of a tabu search, or the nodes of a cover.
        penalty, hot, cold: of the annealing (see ``kernels.anneal``).
        target: stop at a set of this size.
        goal, band: of the tabu search: the size it begins at, and the band along the border it
            keeps to (0: none).
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
    goal: int = 1
    band: int = 0


def run_shard(shard: Shard) -> np.ndarray:
    """Search from each start and return what came out, packed like the starts, maximal.

    Raises:
        UsageError: an unknown method, or a symmetry class no construction can have.
        PipelineError: the problem's hook raises or is wrong.
    """
    where = (shard.problem, shard.convention, shard.n)
    with crashes_raised(f"the hook of {shard.problem}"):
        if shard.method in ("tabu", "enumerate"):
            return _tabu(shard, *_orbit_space(*where, shard.symmetry, shard.band), _plain(*where))
        if shard.method == "cover":
            problem = _problem(shard.problem, shard.convention)
            rng, most = shard.rng.copy(), len(shard.cells)
            how = {"nodes": shard.proposals, "cap": _COVER_CAP, "rng": rng, "most": most}
            return cover(problem, shard.n, shard.symmetry, **how).cells
        return _search(shard, _space(*where, shard.symmetry), _plain(*where))


def _search(shard: Shard, space: kernels.Space, plain: kernels.Space) -> np.ndarray:
    rng, cells = shard.rng.copy(), np.ascontiguousarray(shard.cells).copy()
    if shard.method == "greedy":
        kernels.greedy_many(space, rng, cells)
    elif shard.method == "complete":
        kernels.complete_many(space, rng, cells)
    elif shard.method == "anneal":
        how = (shard.proposals, shard.penalty, shard.hot, shard.cold, shard.target)
        kernels.anneal_many(space, plain, rng, cells, *how)
    else:
        raise UsageError(f"unknown search method {shard.method!r}")
    return cells


def _tabu(
    shard: Shard, space: kernels.Space, sizes: np.ndarray, of: np.ndarray, plain: kernels.Space
) -> np.ndarray:
    """Search among the orbits, then add what fits without the symmetry."""
    rng = shard.rng.copy()
    how = Tabu(
        goal=shard.goal,
        stop=shard.target,
        steps=shard.proposals,
        enumerate=shard.method == "enumerate",
    )
    found = np.zeros((len(shard.cells), width(len(sizes))), np.uint8)
    state = kernels.new_state(space)
    stored, _, _ = tabu(space, state, rng, sizes, np.zeros_like(sizes), how, found)
    chosen = unpack(found[: min(stored, len(found))], len(sizes))
    cells = pack(np.where(of >= 0, chosen[:, of], False))
    kernels.complete_many(plain, rng, cells)
    return cells


@lru_cache(maxsize=4)
def _problem(spec: str, convention: str) -> Problem:
    return load_problem(spec, convention or None)


@lru_cache(maxsize=64)
def _space(spec: str, convention: str, n: int, name: str) -> kernels.Space:
    problem = _problem(spec, convention)
    return make_space(problem, n, find_class(problem.ground(n), name))


def _plain(spec: str, convention: str, n: int) -> kernels.Space:
    return _space(spec, convention, n, "trivial")


@lru_cache(maxsize=12)
def _orbit_space(
    spec: str, convention: str, n: int, name: str, band: int
) -> tuple[kernels.Space, np.ndarray, np.ndarray]:
    """Return the choices of a tabu search, on pair tables where they fit in memory.

    With them, int32 ``(M,)`` the elements of each choice, and int32 ``(m,)`` the choice of each
    element, -1 for none.
    """
    problem = _problem(spec, convention)
    ground = problem.ground(n)
    mask = border_band(ground.coords, band) if band else None
    space = make_space(problem, n, find_class(ground, name), mask, traps=False)
    sizes = np.diff(space.start).astype(np.int32)
    of = np.full(ground.m, -1, np.int32)
    of[space.elements] = np.repeat(np.arange(len(sizes)), sizes)
    return with_tables(space, problem.arity, TABLE_BYTES) or space, sizes, of

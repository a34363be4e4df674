"""A shard: a piece of search that runs anywhere and gives the same result everywhere."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from pipeline.config import SearchConfig
from pipeline.core.bitset import pack, unpack, width
from pipeline.core.symmetry import find_class
from pipeline.errors import UsageError
from pipeline.problem import Problem, crashes_raised, load_problem
from pipeline.search import kernels
from pipeline.search.exact_cover import cover
from pipeline.search.grow import Growth, grow
from pipeline.search.large_neighbourhood import neighbourhood_many
from pipeline.search.pair_tables import table_hook, with_tables
from pipeline.search.space import choice_of, make_space
from pipeline.search.tabu import Tabu, climb_many, tabu
from pipeline.search.tabu_list import SCALE
from pipeline.search.weights import narrowed, of_choices

# A neighbourhood: the most members freed at random, and the nodes to fill it up again.
_HANDFUL, _NODES = 6, 1000

# Violations that a tabu search lets pass for an element that a field calls worth one more point,
# and the most a field may add to the key of a choice, well below what forbids one.
_PULL, _STRONGEST = 0.2, 1 << 24

# Proposals and steps for each choice beyond which a search among few choices repeats itself.
_PROPOSALS_EACH, _STEPS_EACH = 4000, 5000

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
        method: greedy (from nothing); complete (repair, saturate), or anneal, climb (tabu) or
            neighbourhood (large ones) from each start; or one from nothing that gives up to B
            sets: tabu (ever larger ones), grow (the same, valid at every step), enumerate (many
            of size ``goal``) or cover (by the problem's quotas; one that falls short where it
            finds none).
        cells: packed uint8 ``(B, ceil(m / 8))``, where each search starts.
        rng: uint64 ``(1,)``, from ``streams.state``.
        proposals: of each annealing, the steps of a tabu search, or the nodes of a cover.
        penalty, hot, cold: of the annealing (see ``kernels.anneal``).
        target: stop at a set of this size.
        goal: the size a tabu search begins at (not to grow, which begins from nothing).
        narrow: whether a tabu search goes without the quarter that its field values least.
        mask: packed uint8 ``(ceil(m / 8),)``, the elements that may be used; empty for all.
        field: float32 ``(m,)``, what each element is worth beside the point it scores (see
            ``fields``): to annealing and tabu, fading while they run, and to what a cover begins
            with; empty for none.
        table_bytes: what pair tables may take; without them tabu walks the hook, which is a few
            times slower. Both mirrors of isosceles at n = 100 take 150 MB.
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
    narrow: bool = False
    mask: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint8))
    field: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    table_bytes: int = SearchConfig.table_bytes


def run_shard(shard: Shard) -> np.ndarray:
    """Search from each start and return what came out, packed like the starts, maximal.

    Told to stop (see ``stopping``) it returns what it has: valid sets, perhaps empty ones.

    Raises:
        UsageError: an unknown method, or a symmetry class no construction can have.
        PipelineError: the problem's hook raises or is wrong.
    """
    where = (shard.problem, shard.convention, shard.n, shard.mask.tobytes())
    with crashes_raised(f"the hook of {shard.problem}"):
        if shard.method in ("tabu", "enumerate", "grow", "climb", "neighbourhood"):
            within = shard.mask.tobytes()
            if shard.narrow:
                mask = narrowed(shard.field, _unpacked(within, len(shard.field)))
                within = pack(mask[None])[0].tobytes()
            among = _orbit_space(*where[:3], within, shard.symmetry, shard.table_bytes)
            if shard.method in ("climb", "neighbourhood"):
                return _from_starts(shard, *among, _space(*where, shard.symmetry), _plain(*where))
            return _tabu(shard, *among, _plain(*where))
        if shard.method == "cover":
            problem = _problem(shard.problem, shard.convention)
            rng, most = shard.rng.copy(), len(shard.cells)
            how = {"nodes": shard.proposals, "cap": _COVER_CAP, "rng": rng, "most": most}
            found = cover(problem, shard.n, shard.symmetry, **how, field=shard.field)
            cells = found.cells if len(found.cells) else found.nearest[None].copy()
            return _filled_up(_plain(*where), rng, cells)
        return _search(shard, _space(*where, shard.symmetry), _plain(*where))


def _search(shard: Shard, space: kernels.Space, plain: kernels.Space) -> np.ndarray:
    rng, cells = shard.rng.copy(), np.ascontiguousarray(shard.cells).copy()
    if shard.method == "greedy":
        kernels.greedy_many(space, rng, cells)
    elif shard.method == "complete":
        kernels.complete_many(space, rng, cells)
    elif shard.method == "anneal":
        mu = of_choices(shard.field, choice_of(space), len(space.key))
        proposals = min(shard.proposals, _PROPOSALS_EACH * len(space.key))
        if not space.exact:
            proposals //= max(len(space.elements) // len(space.key), 1)  # it joins one by one
        how = (proposals, shard.penalty, shard.hot, shard.cold, shard.target)
        kernels.anneal_many(space, plain, rng, cells, mu, *how)
    else:
        raise UsageError(f"unknown search method {shard.method!r}")
    return cells


def _tabu(
    shard: Shard, space: kernels.Space, sizes: np.ndarray, of: np.ndarray, plain: kernels.Space
) -> np.ndarray:
    """Search among the orbits, then add what fits without the symmetry."""
    rng, steps = shard.rng.copy(), min(shard.proposals, _STEPS_EACH * len(sizes))
    limits = {"stop": shard.target, "steps": steps, "fade": steps if len(shard.field) else 1}
    worth = of_choices(shard.field, of, len(sizes))
    pull = np.clip(np.rint(-SCALE * _PULL * worth), -_STRONGEST, _STRONGEST).astype(np.int32)
    found = np.zeros((len(shard.cells), width(len(sizes))), np.uint8)
    state = kernels.new_state(space)
    if shard.method == "grow":
        stored, _, _ = grow(space, state, rng, sizes, pull, Growth(**limits), found)
    else:
        how = Tabu(goal=shard.goal, enumerate=shard.method == "enumerate", **limits)
        stored, _, _ = tabu(space, state, rng, sizes, pull, how, found)
    chosen = unpack(np.unique(found[: min(stored, len(found))], axis=0), len(sizes))
    cells = pack(np.where(of >= 0, chosen[:, of], False))
    return _filled_up(plain, rng, cells)


def _from_starts(
    shard: Shard,
    space: kernels.Space,
    sizes: np.ndarray,
    of: np.ndarray,
    orbits_: kernels.Space,
    plain: kernels.Space,
) -> np.ndarray:
    """Repair each start, search on from it among the orbits, and add what fits beside them.

    A start that is better than what comes of it stays: it may hold orbits tabu goes without.
    """
    rng, starts = shard.rng.copy(), np.ascontiguousarray(shard.cells).copy()
    kernels.complete_many(orbits_, rng, starts)
    if shard.method == "neighbourhood" and space.hook is not table_hook.compiled:
        triples = _problem(shard.problem, shard.convention).arity <= 3
        cells = starts.copy()
        neighbourhood_many(orbits_, rng, cells, shard.proposals, _HANDFUL, _NODES, triples)
    else:
        first = np.full(len(sizes), -1)
        first[of[of >= 0][::-1]] = np.flatnonzero(of >= 0)[::-1]
        sets = pack(unpack(starts, len(of))[:, first])
        if shard.method == "climb":
            climb_many(space, rng, sizes, shard.proposals, sets)
        else:
            neighbourhood_many(space, rng, sets, shard.proposals, _HANDFUL, _NODES, True)
        cells = pack(np.where(of >= 0, unpack(sets, len(sizes))[:, of], False))
    cells = _filled_up(plain, rng, cells)
    starts = _filled_up(plain, rng, starts)
    score = _problem(shard.problem, shard.convention).score
    better = score(starts, shard.n) > score(cells, shard.n)
    return np.where(better[:, None], starts, cells)


def _filled_up(plain: kernels.Space, rng: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Return valid sets with whatever still fits; as they are where search is told to stop."""
    filled = cells.copy()
    kernels.complete_many(plain, rng, filled)
    return np.where(filled.any(axis=1, keepdims=True), filled, cells)


@lru_cache(maxsize=4)
def _problem(spec: str, convention: str) -> Problem:
    return load_problem(spec, convention or None)


@lru_cache(maxsize=64)
def _space(spec: str, convention: str, n: int, mask: bytes, name: str) -> kernels.Space:
    problem = _problem(spec, convention)
    ground = problem.ground(n)
    return make_space(problem, n, find_class(ground, name), _unpacked(mask, ground.m))


def _plain(spec: str, convention: str, n: int, mask: bytes) -> kernels.Space:
    return _space(spec, convention, n, mask, "trivial")


def _unpacked(mask: bytes, m: int) -> np.ndarray | None:
    """Return the bool mask ``(m,)`` of packed bytes, None of none."""
    return unpack(np.frombuffer(mask, np.uint8)[None], m)[0] if mask else None


@lru_cache(maxsize=12)
def _orbit_space(
    spec: str, convention: str, n: int, packed: bytes, name: str, table_bytes: int
) -> tuple[kernels.Space, np.ndarray, np.ndarray]:
    """Return the choices of a tabu search, on pair tables where they fit in memory.

    With them, int32 ``(M,)`` the elements of each choice, and int32 ``(m,)`` the choice of each
    element, -1 for none.
    """
    problem = _problem(spec, convention)
    ground = problem.ground(n)
    mask = _unpacked(packed, ground.m)
    space = make_space(problem, n, find_class(ground, name), mask, traps=False)
    sizes = np.diff(space.start).astype(np.int32)
    of = choice_of(space)
    return with_tables(space, problem.arity, table_bytes) or space, sizes, of

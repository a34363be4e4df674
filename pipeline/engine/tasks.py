"""A task: a piece of search that runs anywhere and gives the same result everywhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from pipeline.config import TABLE_BYTES
from pipeline.core.bitset import pack, unpack, width
from pipeline.core.stop_flag import stopped
from pipeline.core.symmetry import find_class
from pipeline.engine.anneal import anneal_many
from pipeline.engine.exact_cover import cover
from pipeline.engine.greedy import complete_many, greedy_many
from pipeline.engine.large_neighbourhood import neighbourhood_many
from pipeline.engine.pair_tables import table_hook, with_tables
from pipeline.engine.ruin_recreate import Ruin, ruin_recreate
from pipeline.engine.score_search import anneal_scores, climb_scores, repaired
from pipeline.engine.space import choice_of, make_space
from pipeline.engine.state import Space, new_state
from pipeline.engine.tabu import Tabu, climb_many, tabu
from pipeline.engine.tabu_list import SCALE
from pipeline.engine.weights import of_choices, restricted
from pipeline.errors import UsageError
from pipeline.plugin_files import plugin_errors
from pipeline.plugins import load_problem
from pipeline.problem import Problem
from pipeline.validator import crashes_raised
from pipeline.words import WordProblem

# A neighbourhood: the most members freed at random, and the nodes to fill it up again.
_HANDFUL, _NODES = 6, 1000

# Violations that a tabu search lets pass for an element that the weights call worth one more point,
# and the most weights may add to the key of a choice, well below what forbids one.
_PULL, _STRONGEST = 0.2, 1 << 24

# Moves and steps for each choice beyond which a search among few choices repeats itself.
_MOVES_EACH, _STEPS_EACH = 4000, 5000

# Ruin and recreate: the most choices taken out, refills, worse sets in a thousand, patience.
_RUIN, _REFILLS, _WORSE, _PATIENCE = 3, 8, 20, 2000

# Nodes after which an exact cover begins afresh.
_COVER_CAP = 100_000

# The share of an annealing on scores that goes on without the symmetry.
_BESIDE = 0.1

#: Methods that walk pair tables rather than the hook where these fit.
ON_TABLES = ("tabu", "enumerate", "climb", "neighbourhood")

#: Methods that follow a score that is no sum over the elements.
ON_SCORES = ("anneal-score", "climb-score")

#: No target: larger than any construction.
NO_TARGET = 2**62


@dataclass(frozen=True, eq=False)
class Task:
    """What to do, to what, with which random numbers.

    Attributes:
        problem, convention: as ``load_problem`` takes them.
        n: the size.
        symmetry: name of the symmetry class whose orbits are searched.
        method: greedy (from nothing); complete (repair, saturate), or anneal, climb (tabu) or
            neighbourhood (large ones) from each start; or one from nothing that gives up to B
            sets: tabu (ever larger ones), enumerate (many of size ``goal``), ruin-recreate (by
            the problem's ``find_blockers``) or cover (exact, by the problem's degree
            constraints; one that falls short where it finds none). By the problem's score alone:
            anneal-score from nothing, climb-score from each start.
        cells: packed uint8 ``(B, ceil(m / 8))``, where each search starts.
        rng: uint64 ``(1,)``, from ``streams.state``.
        bound: the moves of each annealing or climb, the steps of a tabu search, the work of ruin
            and recreate, or the nodes of an exact cover.
        penalty, initial_temperature, final_temperature: of the annealing (see ``anneal``).
        target: stop at a set of this size.
        goal: the size a tabu search begins at.
        restricted: whether a tabu search goes without the quarter that its weights value least.
        mask: packed uint8 ``(ceil(m / 8),)``, the elements that may be used; empty for all.
        weights: float32 ``(m,)``, what each element is worth beside the point it scores (see
            ``weights``): to annealing and tabu, fading while they run, and to what a cover begins
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
    bound: int = 0
    penalty: float = 0.5
    initial_temperature: float = 0.2
    final_temperature: float = 0.12
    target: int = NO_TARGET
    goal: int = 1
    restricted: bool = False
    mask: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint8))
    weights: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    table_bytes: int = TABLE_BYTES

    def __getstate__(self) -> dict[str, Any]:
        """Return what is sent to a worker: of a search from nothing the shape of its cells.

        Two thousand empty sets at n = 100 are 2.6 MB.
        """
        return self.__dict__ | {"cells": self.cells if self.cells.any() else self.cells.shape}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Take up what was sent."""
        cells = state["cells"]
        cells = np.zeros(cells, np.uint8) if isinstance(cells, tuple) else cells
        self.__dict__.update(state, cells=cells)


def run_task(task: Task) -> np.ndarray:
    """Search from each start and return what came out, packed like the starts, maximal.

    Told to stop (see ``stopping``) it returns what it has: valid sets, perhaps empty ones.

    Raises:
        UsageError: an unknown method, or a symmetry class no construction can have.
        PipelineError: the problem's hook raises or is wrong.
    """
    where = (task.problem, task.convention, task.n, task.mask.tobytes())
    with crashes_raised(f"the hook of {task.problem}"):
        if task.method in ("tabu", "enumerate", "climb", "neighbourhood"):
            within = task.mask.tobytes()
            if task.restricted:
                mask = restricted(task.weights, _unpacked(within, len(task.weights)))
                within = pack(mask[None])[0].tobytes()
            among = _orbit_space(*where[:3], within, task.symmetry, task.table_bytes)
            if task.method in ("climb", "neighbourhood"):
                return _from_starts(task, *among, _space(*where, task.symmetry), _plain(*where))
            return _tabu(task, *among, _plain(*where))
        if task.method in ON_SCORES:
            return _on_scores(task, _space(*where, task.symmetry), _plain(*where))
        if task.method == "ruin-recreate":
            return _ruin_recreate(task, _space(*where, task.symmetry))
        if task.method == "cover":
            problem = _problem(task.problem, task.convention)
            rng, most = task.rng.copy(), len(task.cells)
            how = {"nodes": task.bound, "cap": _COVER_CAP, "rng": rng, "most": most}
            found = cover(problem, task.n, task.symmetry, **how, weights=task.weights)
            cells = found.cells if len(found.cells) else found.nearest[None].copy()
            return _filled_up(_plain(*where), rng, cells)
        return _search(task, _space(*where, task.symmetry), _plain(*where))


def _search(task: Task, space: Space, plain: Space) -> np.ndarray:
    rng, cells = task.rng.copy(), np.ascontiguousarray(task.cells).copy()
    if task.method == "greedy":
        greedy_many(space, rng, cells)
    elif task.method == "complete":
        complete_many(space, rng, cells)
    elif task.method == "anneal":
        mu = of_choices(task.weights, choice_of(space), len(space.key))
        moves = min(task.bound, _MOVES_EACH * len(space.key))
        if not space.exact:
            moves //= max(len(space.elements) // len(space.key), 1)  # it joins one by one
        how = (moves, task.penalty, task.initial_temperature, task.final_temperature, task.target)
        anneal_many(space, plain, rng, cells, mu, *how)
    else:
        raise UsageError(f"unknown search method {task.method!r}")
    return cells


def _tabu(task: Task, space: Space, worth: np.ndarray, of: np.ndarray, plain: Space) -> np.ndarray:
    """Search among the orbits, then add what fits without the symmetry."""
    rng, steps = task.rng.copy(), min(task.bound, _STEPS_EACH * len(worth))
    limits = {"stop": task.target, "steps": steps, "fade": steps if len(task.weights) else 1}
    drawn = of_choices(task.weights, of, len(worth))
    pull = np.clip(np.rint(-SCALE * _PULL * drawn), -_STRONGEST, _STRONGEST).astype(np.int32)
    found = np.zeros((len(task.cells), width(len(worth))), np.uint8)
    state = new_state(space)
    how = Tabu(goal=task.goal, enumerate=task.method == "enumerate", **limits)
    stored, _, _ = tabu(space, state, rng, worth, pull, how, found)
    chosen = unpack(np.unique(found[: min(stored, len(found))], axis=0), len(worth))
    cells = pack(np.where(of >= 0, chosen[:, of], False))
    return _filled_up(plain, rng, cells)


def _ruin_recreate(task: Task, space: Space) -> np.ndarray:
    """Search among the orbits and what fits beside them."""
    problem = _problem(task.problem, task.convention)
    how = Ruin(task.bound, _RUIN, _REFILLS, _WORSE, _PATIENCE, task.target)
    found, find = np.zeros_like(task.cells), problem.find_blockers.compiled
    stored = ruin_recreate(space, find, problem.arity - 1, task.rng.copy(), how, found)
    return np.unique(found[:stored], axis=0)


def _on_scores(task: Task, space: Space, plain: Space) -> np.ndarray:
    """Search by the score, among the orbits first, then among single elements."""
    problem, rng = _problem(task.problem, task.convention), task.rng.copy()
    cells = np.ascontiguousarray(task.cells).copy()
    beside = max(int(_BESIDE * task.bound), 1) if space is not plain else 0
    if task.method == "anneal-score":
        greedy_many(space, rng, cells)
        cells = anneal_scores(problem, task.n, space, rng, cells, task.bound - beside)
    else:
        cells = repaired(problem, task.n, space, rng, cells)
        cells = climb_scores(problem, task.n, space, rng, cells, task.bound - beside)
    if beside:
        cells = climb_scores(problem, task.n, plain, rng, cells, beside)
    if isinstance(problem, WordProblem):
        cells = _improved(problem, task.n, rng, cells)
    return np.where(problem.is_complete(cells, task.n)[:, None], cells, 0).astype(np.uint8)


def _improved(problem: WordProblem, n: int, rng: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Ask a problem's own search to improve words; take what is allowed and no worse."""
    if type(problem).improve is WordProblem.improve or stopped():
        return cells
    whole = problem.is_complete(cells, n)
    with plugin_errors(f"improve of {problem.name} at n={n}"):
        given = problem.words(cells[whole], n)
        found = problem.cells(problem.improve(given, n, np.random.default_rng(rng)), n)
        if len(found) != len(given):
            raise ValueError(f"{len(found)} words for {len(given)}")
    better = problem.validate(found, n)
    better &= problem.evaluate(found, n) >= problem.evaluate(cells[whole], n)
    cells = cells.copy()
    cells[np.flatnonzero(whole)[better]] = found[better]
    return cells


def _from_starts(
    task: Task,
    space: Space,
    worth: np.ndarray,
    of: np.ndarray,
    orbits_: Space,
    plain: Space,
) -> np.ndarray:
    """Repair each start, search on from it among the orbits, and add what fits beside them.

    A start that is better than what comes of it stays: it may hold orbits tabu goes without.
    """
    rng, starts = task.rng.copy(), np.ascontiguousarray(task.cells).copy()
    complete_many(orbits_, rng, starts)
    if task.method == "neighbourhood" and space.hook is not table_hook.compiled:
        triples = _problem(task.problem, task.convention).arity <= 3
        cells = starts.copy()
        neighbourhood_many(orbits_, rng, cells, task.bound, _HANDFUL, _NODES, triples)
    else:
        first = np.full(len(worth), -1)
        first[of[of >= 0][::-1]] = np.flatnonzero(of >= 0)[::-1]
        sets = pack(unpack(starts, len(of))[:, first])
        if task.method == "climb":
            climb_many(space, rng, worth, task.bound, sets)
        else:
            neighbourhood_many(space, rng, sets, task.bound, _HANDFUL, _NODES, True)
        cells = pack(np.where(of >= 0, unpack(sets, len(worth))[:, of], False))
    cells = _filled_up(plain, rng, cells)
    starts = _filled_up(plain, rng, starts)
    evaluate = _problem(task.problem, task.convention).evaluate
    better = evaluate(starts, task.n) > evaluate(cells, task.n)
    return np.where(better[:, None], starts, cells)


def _filled_up(plain: Space, rng: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Return valid sets with whatever still fits; as they are where search is told to stop."""
    filled = cells.copy()
    complete_many(plain, rng, filled)
    return np.where(filled.any(axis=1, keepdims=True), filled, cells)


@lru_cache(maxsize=4)
def _problem(spec: str, convention: str) -> Problem:
    return load_problem(spec, convention or None)


@lru_cache(maxsize=64)
def _space(spec: str, convention: str, n: int, mask: bytes, name: str) -> Space:
    problem = _problem(spec, convention)
    ground = problem.ground(n)
    return make_space(problem, n, find_class(ground, name), _unpacked(mask, ground.m))


def _plain(spec: str, convention: str, n: int, mask: bytes) -> Space:
    return _space(spec, convention, n, mask, "trivial")


def _unpacked(mask: bytes, m: int) -> np.ndarray | None:
    """Return the bool mask ``(m,)`` of packed bytes, None of none."""
    return unpack(np.frombuffer(mask, np.uint8)[None], m)[0] if mask else None


@lru_cache(maxsize=12)
def _orbit_space(
    spec: str, convention: str, n: int, packed: bytes, name: str, table_bytes: int
) -> tuple[Space, np.ndarray, np.ndarray]:
    """Return the choices of a tabu search, on pair tables where they fit in memory.

    With them, int32 ``(M,)`` what each choice is worth, and int32 ``(m,)`` the choice of each
    element, -1 for none.
    """
    problem = _problem(spec, convention)
    ground = problem.ground(n)
    mask = _unpacked(packed, ground.m)
    space = make_space(problem, n, find_class(ground, name), mask, traps=False)
    of = choice_of(space)
    return with_tables(space, problem.arity, table_bytes) or space, space.worth, of

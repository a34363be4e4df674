"""The ways to search that suit a problem: methods on symmetry classes, guided by weights."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np

from pipeline.core.ground_set import GroundSet
from pipeline.core.memory import readable
from pipeline.core.symmetry import SymmetryClass, find_class
from pipeline.engine.exact_cover import cover
from pipeline.engine.pair_tables import tables_fit
from pipeline.engine.portfolio import Arm
from pipeline.engine.space import make_space, usable_classes, usable_orbits
from pipeline.engine.weights import make_weights, restricted
from pipeline.errors import UsageError, nearest
from pipeline.executors import cores
from pipeline.problem import Problem

METHODS = ("tabu", "enumerate", "anneal", "greedy", "cover", "ruin-recreate", "anneal-score")

# Above this many orbits making the pair tables of a tabu search takes longer than most searches,
# and annealing is the better use of time. Classes of order 4 and more win at large n.
_TABU_ORBITS, _TABU_ORBITS_LARGE = 1200, 2000
_COVER_ORDER = 4
_RUIN_ORDER = 4
# The side from which on weights are worth trying.
_LARGE = 20
# Nodes of an exact cover after which a symmetry that is not ruled out is taken for possible.
_LOOK = 400_000


def make_arms(
    problem: Problem,
    n: int,
    methods: Sequence[str] = (),
    symmetries: Sequence[str] = (),
    weights_by_name: Mapping[str, np.ndarray] | None = None,
    mask: np.ndarray | None = None,
) -> list[Arm]:
    """Return the arms for a problem at n, or those of the given methods and classes alone.

    Args:
        weights_by_name: what guides arms, float32 ``(m,)`` by name, empty for nothing or not known
            yet; None: the border's and nothing on large sides, nothing on small ones.
        mask: bool ``(m,)``, the elements that may be used; None for all. Classes without an orbit
            in it have no arms.

    Raises:
        UsageError: an unknown method or class, a class no construction can have, a method that
            knows no mask or that the problem has nothing for, or nothing left to search.
    """
    ground = problem.ground(n)
    methods, symmetries = tuple(dict.fromkeys(methods)), tuple(dict.fromkeys(symmetries))
    for method in methods:
        if method not in METHODS:
            raise UsageError(f"unknown method {method!r}{nearest(method, METHODS)}")
    asked = [find_class(ground, name) for name in symmetries]
    for cls in asked:
        if not usable_orbits(problem, n, cls).any():
            usable = ", ".join(usable.name for usable in usable_classes(problem, n))
            raise UsageError(
                f"{problem.name} at n={n} has no construction with the symmetry {cls.name!r}; "
                f"usable: {usable}"
            )
    questions = problem.find_blockers is not None
    if "ruin-recreate" in methods and not questions:
        raise UsageError(f"{problem.name} has no find_blockers, which 'ruin-recreate' needs")
    suits = suiting(problem)
    for method in methods:
        if problem.objective != "size" and method in ("cover", "ruin-recreate"):
            raise UsageError(
                f"{method!r} counts elements alone, and {problem.name} has another objective; "
                f"take {' or '.join(suits)}"
            )
    chosen = asked or _by_promise([*usable_classes(problem, n)], questions)
    if mask is not None:
        chosen = [cls for cls in chosen if usable_orbits(problem, n, cls, mask).any()]
        if not chosen:
            named = f"the symmetry {' or '.join(symmetries)}" if symmetries else "any symmetry"
            raise UsageError(
                f"{problem.name} at n={n}: no orbit of {named} lies within the mask; widen it"
            )
    weights_by_name = default_weights(ground) if weights_by_name is None else weights_by_name
    arms: list[Arm] = []
    for method in methods or suits:
        if method == "cover":
            names = _cover_classes(problem, n, chosen, methods, mask is not None)
            weights = next(iter(weights_by_name)) if len(weights_by_name) == 1 else ""
            arms += [Arm(method, name, weights) for name in names]
        elif method in ("greedy", "ruin-recreate", "anneal-score"):
            arms += [Arm(method, cls.name) for cls in chosen]
        elif method == "anneal":
            arms += [Arm(method, cls.name, name) for cls in chosen for name in weights_by_name]
        else:
            for cls in chosen:
                arms += _tabu_arms(problem, n, method, cls, weights_by_name, bool(methods), mask)
    if not arms:
        raise UsageError(
            f"{problem.name} at n={n}: 'cover' finds the degree constraints out of reach in every "
            "symmetry asked for; ask for others, or for another method"
        )
    return arms


def suiting(problem: Problem) -> tuple[str, ...]:
    """Return the methods that suit a problem's objective and what it can be asked."""
    if problem.objective == "score":
        return ("anneal-score",)
    by_size = problem.objective == "size"
    if problem.find_blockers is not None and by_size:
        return ("cover", "ruin-recreate")
    return ("cover", "tabu", "anneal", "enumerate")[0 if by_size else 1 :]


def _by_promise(classes: list[SymmetryClass], questions: bool) -> list[SymmetryClass]:
    """Put the largest class first and the trivial one next: one of the two wins most often.

    Ruin and recreate goes into classes of order 4 at most, those of order 2 first: configurations
    of four or five elements leave little of the others.
    """
    if questions:
        small = [cls for cls in classes if cls.order <= _RUIN_ORDER]
        return sorted(small or classes, key=lambda cls: abs(cls.order - 2))
    ranked = sorted(classes, key=lambda cls: -cls.order)
    return [*ranked[:1], *ranked[-1:], *ranked[1:-1]] if len(ranked) > 1 else ranked


def _tabu_arms(
    problem: Problem,
    n: int,
    method: str,
    cls: SymmetryClass,
    weights_by_name: Mapping[str, np.ndarray],
    asked_for: bool,
    mask: np.ndarray | None,
) -> list[Arm]:
    """Return the arms of a method on pair tables that are worth their making.

    From a side of 20 on there is a restricted one for each of the weights, which comes first since
    its tables are small.
    """
    most = _TABU_ORBITS_LARGE if cls.order >= 4 else _TABU_ORBITS
    large = _side(problem.ground(n).coords) >= _LARGE
    arms = []
    for name, weights in weights_by_name.items():
        for apart in (True, False) if large and len(weights) else (False,):
            if apart and not 0.2 < restricted(weights, None).mean() < 1:
                continue
            within = restricted(weights, mask) if apart else mask
            choices = usable_orbits(problem, n, cls, within).sum()
            if choices > 0 and (asked_for or choices <= most):
                arms.append(Arm(method, cls.name, name, apart))
    return arms


def tabu_notes(
    problem: Problem,
    n: int,
    arms: Sequence[Arm],
    weights_by_name: Mapping[str, np.ndarray],
    mask: np.ndarray | None,
    table_bytes: int,
) -> list[str]:
    """Say, a line each, what the tabu searches among the arms go without.

    That is, by class, orbits in conflict with most others; and pair tables that would take more
    than ``table_bytes``.
    """
    ground = problem.ground(n)
    tabu = [arm for arm in arms if arm.method in ("tabu", "enumerate", "climb")]
    trapped: dict[str, str] = {}
    walking = []
    places = dict.fromkeys((arm.symmetry, arm.weights if arm.restricted else "") for arm in tabu)
    for symmetry, near in places:
        within = restricted(weights_by_name[near], mask) if near else mask
        where = (problem, n, find_class(ground, symmetry), within)
        every, space = make_space(*where), make_space(*where, traps=False)
        place = f"{symmetry}, weights {near}, restricted" if near else symmetry
        out = len(every.key) - len(space.key)
        if out:
            trapped[symmetry] = (
                f"{place}: {out} of {len(every.key)} orbits left out of tabu, each in conflict "
                "with most of the others"
            )
        if problem.arity <= 3 and not tables_fit(space, table_bytes):
            walking.append(place)
    notes = list(trapped.values())
    if walking:
        notes.append(
            f"no pair tables in {'; '.join(walking)}: they would take more than "
            f"{readable(table_bytes)} (search.table_bytes), so tabu is a few times slower there"
        )
    return notes


def _cover_classes(
    problem: Problem,
    n: int,
    chosen: Sequence[SymmetryClass],
    methods: Sequence[str],
    masked: bool,
) -> list[str]:
    """Return the symmetries that can meet the degree constraints, alone or mixed with another.

    Raises:
        UsageError: asked for by name, and the problem has no degree constraints or there is a mask.
    """
    if masked:
        if methods:
            raise UsageError("the method 'cover' knows no mask; leave out one of the two")
        return []
    if problem.degree_constraints(n) is None:
        if methods:
            raise UsageError(
                f"{problem.name} at n={n} has no degree constraints, which 'cover' needs"
            )
        return []
    # The larger the class the smaller the tree; small ones are for small n or on demand.
    large = [cls for cls in chosen if (methods or cls.order >= _COVER_ORDER) and not cls.box]
    if methods and not large:
        raise UsageError("the method 'cover' takes symmetries of the whole ground set, without @")
    # The tables of a large side take a second a class; compiled code lets other threads run.
    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(lambda cls: _may_cover(problem, n, cls.name), large))
    names: list[str] = []
    for cls in large:
        if _may_cover(problem, n, cls.name):
            names.append(cls.name)
        else:
            mixed = [f"{cls.name}/{o.name}" for o in large if o is not cls and o.order == cls.order]
            names += [name for name in mixed if _may_cover(problem, n, name)]
    return names


@lru_cache(maxsize=256)
def _may_cover(problem: Problem, n: int, symmetry: str) -> bool:
    """Tell whether a symmetry may meet degree constraints: not where a short look rules it out."""
    try:
        found = cover(
            problem, n, symmetry, nodes=_LOOK, cap=_LOOK, rng=np.zeros(1, np.uint64), most=1
        )
    except UsageError:
        return False
    return len(found.cells) > 0 or not found.complete


def _side(coords: np.ndarray) -> int:
    return int((coords.max(axis=0) - coords.min(axis=0)).max()) + 1


def default_weights(ground: GroundSet) -> dict[str, np.ndarray]:
    """Return the weights worth trying by default: on large sides, not of graphs, the border's."""
    none = {"": np.zeros(0, np.float32)}
    if ground.graph or _side(ground.coords) < _LARGE:
        return none
    return {"border": make_weights("border", ground, {})} | none

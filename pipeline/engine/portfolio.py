"""A portfolio: ways to search, and a budget shared out among them by what they bring.

The work is cut into batches of tasks. A batch is handed out by what all batches before it
brought, never by the clock or by how many workers there are, so that a search bounded by a number
of batches is the same everywhere.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from pipeline.core.ground_set import GroundSet
from pipeline.core.memory import readable
from pipeline.core.symmetry import SymmetryClass, find_class
from pipeline.engine.exact_cover import cover
from pipeline.engine.pair_tables import tables_fit
from pipeline.engine.space import make_space, usable_classes, usable_orbits
from pipeline.engine.weights import make_weights, restricted
from pipeline.errors import UsageError, nearest
from pipeline.executors import cores
from pipeline.problem import Problem

METHODS = ("tabu", "enumerate", "anneal", "greedy", "cover", "ruin-recreate")

#: Tasks handed out at once; more than any sensible number of workers would have to wait for.
BATCH = 16

# Above this many orbits making the pair tables of a tabu search takes longer than most searches,
# and annealing is the better use of time. Classes of order 4 and more win at large n.
_TABU_ORBITS, _TABU_ORBITS_LARGE = 1200, 2000
_COVER_ORDER = 4
_RUIN_ORDER = 4
# The side from which on weights are worth trying.
_LARGE = 20
# Shares of the largest core that enumeration takes in turn.
_LESS = (1.0, 0.92, 1.0, 0.84)
# Nodes of an exact cover after which a symmetry that is not ruled out is taken for possible.
_LOOK = 400_000


@dataclass(frozen=True)
class Arm:
    """One way to search: a method on the orbits of a class.

    Attributes:
        weights: what guides the search at its beginning (see ``weights``); empty for nothing.
        restricted: whether it goes without the quarter that the weights value least.
    """

    method: str
    symmetry: str
    weights: str = ""
    restricted: bool = False

    @property
    def name(self) -> str:
        """How it is called in reports."""
        weights = f", weights {self.weights}" if self.weights else ""
        return f"{self.method}, {self.symmetry}{weights}{', restricted' if self.restricted else ''}"


@dataclass
class Record:
    """What an arm has brought so far.

    Attributes:
        tasks: how many it was given.
        best: the largest set it found.
        hits: how many of its tasks ended at that size.
        core: the most elements of a set of its that lie in whole orbits of its class.
    """

    tasks: int = 0
    best: int = 0
    hits: int = 0
    core: int = 0


class Portfolio:
    """Arms and their records; hands out batches."""

    def __init__(self, arms: Sequence[Arm], wanted: int = 0, batch: int = BATCH) -> None:
        """Begin with arms that have brought nothing yet; ``floor`` is the size worth keeping.

        Args:
            wanted: the size that exact cover is after; 0 without any.
            batch: how many tasks are handed out at once.
        """
        self.arms, self.wanted, self._batch = list(arms), wanted, batch
        self.floor = 0
        self.records = {arm: Record() for arm in arms}

    @property
    def best(self) -> int:
        """The largest set any arm has found."""
        return max((record.best for record in self.records.values()), default=0)

    def batch(self, rng: np.random.Generator) -> list[Arm]:
        """Return the arms of the next batch of tasks.

        Arms that had no turn yet take the whole of the first batch and half of later ones. Of
        the other tasks three quarters go by what an arm has brought: half as many for every
        element its best falls short of the best of all, and among equals more to those that
        reach it often. The rest are given out evenly, since an arm that starts slowly may still
        win. Exact cover comes to the size it is after at once or not at all: until one
        has, its arms get three quarters of all, shared out among them in the same way.
        """
        fresh = [a for a in self.arms if not self.records[a].tasks and self._ready(a)]
        tried = [a for a in self.arms if self.records[a].tasks]
        chosen = fresh[: -(-self._batch // 2) if tried else self._batch]
        if not tried:
            return chosen
        covers = [a for a in tried if a.method == "cover" and self.best < self.wanted]
        others = [a for a in tried if a not in covers]
        parts = [(covers, 0.75 if others else 1.0), (others, 0.25 if covers else 1.0)]
        share = np.concatenate([part * self._shares(arms) for arms, part in parts])
        drawn = rng.choice(len(tried), size=self._batch - len(chosen), p=share)
        return chosen + [(covers + others)[i] for i in drawn]

    def _shares(self, arms: Sequence[Arm]) -> np.ndarray:
        """Return what each of some arms gets of all they get; they sum to 1."""
        if not arms:
            return np.zeros(0)
        records = [self.records[a] for a in arms]
        rates = np.array([(r.hits + 1) / (r.tasks + 2) for r in records])
        best = np.array([r.best for r in records], dtype=float)
        weight = rates * 0.5 ** (best.max() - best)
        return 0.75 * weight / weight.sum() + 0.25 / len(arms)

    def goal(self, arm: Arm) -> int:
        """Return the size a tabu search of this arm begins at.

        To climb: a little below the largest core its orbits have had. To enumerate: that
        core, and in every second task less, where sets abound, unless so small are not kept.
        """
        core = max(self.records[a].core for a in self.arms if _same_orbits(a, arm))
        if arm.method != "enumerate":
            return max(int(0.85 * core), 1)
        less = int(core * _LESS[self.records[arm].tasks % len(_LESS)])
        return max(less if less >= self.floor else core, 1)

    def _ready(self, arm: Arm) -> bool:
        """Tell whether an arm can begin: enumeration waits to be told what size is in reach."""
        quiet = ("enumerate", "cover")
        others = [a for a in self.arms if _same_orbits(a, arm) and a.method not in quiet]
        return arm.method != "enumerate" or not others or any(self.records[a].core for a in others)

    def believed(self, arm: Arm) -> bool:
        """Tell whether an arm gets a whole task: it had one already, or is of the first class."""
        return self.records[arm].tasks > 0 or arm.symmetry == self.arms[0].symmetry

    def add(self, arm: Arm, best: int, core: int) -> None:
        """Take the result of one task."""
        record = self.records[arm]
        record.tasks += 1
        record.core = max(record.core, core)
        if best > record.best:
            record.best, record.hits = best, 0
        record.hits += best == record.best

    def to_json(self) -> list[dict[str, Any]]:
        """Return the records, best arms first."""
        rows = [asdict(arm) | asdict(self.records[arm]) for arm in self.arms]
        return sorted(rows, key=lambda row: (-row["best"], -row["hits"] / max(row["tasks"], 1)))

    def restore(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take up the records of an earlier round."""
        for row in rows:
            arm = Arm(row["method"], row["symmetry"], row["weights"], row["restricted"])
            if arm in self.records:
                kept = {key: row[key] for key in ("tasks", "best", "hits", "core")}
                self.records[arm] = Record(**kept)


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
    usable = {cls.name: cls for cls in usable_classes(problem, n)}
    for name in symmetries:
        find_class(ground, name)
        if name not in usable:
            raise UsageError(
                f"{problem.name} at n={n} has no construction with the symmetry {name!r}; "
                f"usable: {', '.join(usable)}"
            )
    questions = problem.find_blockers is not None
    if "ruin-recreate" in methods and not questions:
        raise UsageError(f"{problem.name} has no find_blockers, which 'ruin-recreate' needs")
    suits = ("cover", "ruin-recreate") if questions else ("cover", "tabu", "anneal", "enumerate")
    chosen = [usable[name] for name in symmetries] or _by_promise([*usable.values()], questions)
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
        elif method in ("greedy", "ruin-recreate"):
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
    large = [cls for cls in chosen if methods or cls.order >= _COVER_ORDER]
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


def core_size(bits: np.ndarray, of: np.ndarray) -> int:
    """Return the most elements that lie in whole orbits, over sets ``bits``, bool ``(B, m)``."""
    sizes = np.bincount(of)
    best = 0
    for row in bits:
        held = np.bincount(of[row], minlength=len(sizes))
        best = max(best, int(sizes[held == sizes].sum()))
    return best


def _same_orbits(a: Arm, b: Arm) -> bool:
    return (a.symmetry, a.restricted and a.weights) == (b.symmetry, b.restricted and b.weights)


def _side(coords: np.ndarray) -> int:
    return int((coords.max(axis=0) - coords.min(axis=0)).max()) + 1


def default_weights(ground: GroundSet) -> dict[str, np.ndarray]:
    """Return the weights worth trying by default: on large sides, not of graphs, the border's."""
    none = {"": np.zeros(0, np.float32)}
    if ground.graph or _side(ground.coords) < _LARGE:
        return none
    return {"border": make_weights("border", ground, {})} | none

"""Exchanges: k choices of a set for more, all of them tried, until none is left.

A (k, k + 1)-exchange takes k elements out of a valid set and puts k + 1 in; a set that has none of
up to K for K + 1 is K-swap optimal (Andrade, Resende and Werneck, J. Heuristics 2012, for k = 1 in
graphs). Here the choices may be orbits of a symmetry class and elements may have weights, so
an exchange takes k choices out and puts any others in that are worth more together. For elements
that count 1 each the two are the same.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from pipeline.core import jit, symmetry
from pipeline.core.bitset import unpack
from pipeline.core.symmetry import SymmetryClass, find_class, invariant, symmetry_classes
from pipeline.engine.hitting_sets import Finder, Frees, fill_up, no_frees
from pipeline.engine.search_tree import HELD, Tree
from pipeline.engine.space import choice_of, make_space
from pipeline.engine.state import clear, join, keep_bits, new_state
from pipeline.engine.ways_out import (
    DONE,
    FOUND,
    LEVEL,
    NEED,
    ROOM,
    SEARCHED,
    Walk,
    Ways,
    look,
    tree_for,
    ways_of,
)
from pipeline.errors import PipelineError, UsageError
from pipeline.problem import Problem
from pipeline.validator import crashes_raised

# Seconds that a piece of the work should take.
_PIECE = 0.2
# Bytes that the search of one way may take, and those of all hitting sets.
_TREE, _SETS = 1 << 30, 1 << 31

#: Called with the number of choices that are taken out, how far that is (0..1) and the score.
Told = Callable[[int, float, int], None]


@dataclass(frozen=True)
class Step:
    """One exchange: element indices, ascending. The first may put in without taking out."""

    out: tuple[int, ...]
    put_in: tuple[int, ...]


@dataclass
class Outcome:
    """What came of a set.

    Attributes:
        cells: packed uint8 ``(ceil(m / 8),)``, the set in the end, verified.
        score: of it.
        steps: the exchanges from the given set to it.
        ruled_out: no exchange takes out so many choices or fewer; -1 where not even this is known.
        share: how much of the next number was gone through, 0 to 1.
        ways: how many sets of choices to take out are ruled out, of the set in the end.
        searched: how many of them freed enough to be searched.
        alike: whether all choices count the same, so that one more in than out is what pays.
        seconds: it took.
        stopped: "time", "interrupt", or empty where all was gone through.
    """

    cells: np.ndarray
    score: int
    steps: list[Step] = field(default_factory=list)
    ruled_out: int = -1
    share: float = 0.0
    ways: int = 0
    searched: int = 0
    alike: bool = True
    seconds: float = 0.0
    stopped: str = ""


def check_exchangeable(problem: Problem) -> None:
    """Refuse a problem that exchanges are not for.

    Raises:
        UsageError: its constructions are words, or its score is no sum over the elements.
    """
    if problem.must_be_full:
        raise UsageError(
            f"{problem.name} is about words, which have a letter at every position; exchanges are "
            "for sets"
        )
    if problem.objective == "score":
        raise UsageError(
            f"{problem.name} has a score of its own; exchanges need one that is a sum over the "
            "elements: their number, or their weight"
        )


def exchange(
    problem: Problem,
    n: int,
    cells: np.ndarray,
    most: int = 2,
    cls: str = "trivial",
    seconds: float = float("inf"),
    told: Told = lambda k, done, score: None,
) -> Outcome:
    """Improve a set by exchanges until none takes out ``most`` choices or fewer.

    Small exchanges are tried first; after one that pays all begins again. Ctrl-C ends the work as
    the time does. The same set gives the same result everywhere where neither does.

    Args:
        cells: packed uint8 ``(ceil(m / 8),)``, a valid set.
        cls: the symmetry class whose orbits are exchanged; the set, or one equivalent to it, must
            be a union of them.
        seconds: stop after so many.

    Raises:
        UsageError: no such class, the set has not this symmetry, or a problem that exchanges are
            not for.
        PipelineError: the hook raises, or contradicts the checker; too much memory is needed.
    """
    check_exchangeable(problem)
    if most < 1:
        raise UsageError(f"--out {most}: take out 1 at least")
    began, compiled = time.monotonic(), jit.kept_files()
    found = find_class(problem.ground(n), cls)
    turned, back = fitted(problem, n, cells, found)
    outcome = Outcome(turned, int(problem.evaluate(turned[None], n)[0]))
    try:
        with crashes_raised(f"the hook of {problem.name}"):
            work = _Exchange(problem, n, found, most, outcome, told)
            if jit.kept_files() > compiled:  # once on a machine, and no part of the time
                began = time.monotonic()
            work.run(began + seconds)
    except KeyboardInterrupt:
        outcome.stopped = "interrupt"
    outcome.seconds = time.monotonic() - began
    if back is not None:
        p = problem.ground(n).group[back]
        outcome.cells = symmetry.apply(outcome.cells[None], problem.ground(n), back)[0]
        outcome.steps = [
            replace(one, out=_moved(one.out, p), put_in=_moved(one.put_in, p))
            for one in outcome.steps
        ]
    return outcome


def fitted(
    problem: Problem, n: int, cells: np.ndarray, cls: SymmetryClass
) -> tuple[np.ndarray, int | None]:
    """Return the set as a union of orbits of a class, and the map that takes it back.

    A class stands for its conjugates, so the set may have to be turned.

    Raises:
        UsageError: it has not this symmetry.
    """
    ground = problem.ground(n)
    if invariant(cells[None], ground, cls)[0]:
        return cells, None
    every = np.arange(len(ground.group))
    images = symmetry.apply(np.repeat(cells[None], len(every), axis=0), ground, every)
    for i in np.flatnonzero(invariant(images, ground, cls)).tolist():
        there = ground.group[:, ground.group[i]]
        back = np.flatnonzero((there == np.arange(ground.m)).all(axis=1))
        if len(back):
            return images[i], int(back[0])
    classes = (one for one in symmetry_classes(ground) if one.order > 1)
    has = [one.name for one in classes if invariant(images, ground, one).any()]
    hint = f"it has: {', '.join(has[:8])}" if has else "it has none; leave out --symmetry"
    raise UsageError(f"the set has not the symmetry {cls.name!r}; {hint}")


def _moved(elements: tuple[int, ...], permutation: np.ndarray) -> tuple[int, ...]:
    return tuple(sorted(permutation[list(elements)].tolist()))


class _Exchange:
    """One set on its way to have no exchange."""

    def __init__(
        self,
        problem: Problem,
        n: int,
        cls: SymmetryClass,
        most: int,
        outcome: Outcome,
        told: Told,
    ) -> None:
        self._problem, self._n, self._most = problem, n, most
        self._outcome, self._told = outcome, told
        self._space = make_space(problem, n, cls)
        self._state = new_state(self._space)
        chosen = unpack(outcome.cells[None], problem.ground(n).m)[0]
        self._chosen = np.unique(choice_of(self._space)[np.flatnonzero(chosen)])
        # A valid set holds usable orbits alone, but for what is outside a box.
        if len(self._chosen) and self._chosen[0] < 0:
            raise UsageError(f"the set has points outside the box of {cls.name!r}")
        worth = self._space.worth[self._space.worth > 0]
        outcome.alike = not len(worth) or bool((worth == worth[0]).all())

    def run(self, deadline: float) -> None:
        """Exchange until nothing is left to exchange, or the time is up."""
        outcome = self._outcome
        self._fill_up()
        k = 1
        frees = self._frees()
        while k <= self._most:
            outcome.share = 0.0
            frees = self._longer(frees, k, deadline)
            if outcome.stopped:
                return
            better = self._look(frees, k, deadline)
            if outcome.stopped:
                return
            if better is None:
                outcome.ruled_out, outcome.share = k, 0.0
                k += 1
                continue
            self._replace(*better)
            self._fill_up()
            k, frees = 1, self._frees()

    def _enter(self) -> None:
        """Have the state hold the choices of the set."""
        clear(self._state)
        for choice in self._chosen:
            join(self._space, self._state, int(choice))

    def _frees(self) -> Frees:
        """Return what is known of hitting sets at first: nothing."""
        self._enter()
        absent = np.setdiff1d(np.flatnonzero(self._space.worth > 0), self._chosen)
        return no_frees(self._chosen, absent)

    def _fill_up(self) -> None:
        """Put in what fits without taking anything out."""
        self._enter()
        before = self._chosen
        if fill_up(self._space, self._state):
            put_in = np.setdiff1d(np.flatnonzero(self._state.position >= 0), before)
            self._replace(np.zeros(0, np.int64), put_in)
        self._outcome.ruled_out, self._outcome.ways = 0, 1

    def _replace(self, out: np.ndarray, put_in: np.ndarray) -> None:
        """Carry out an exchange of choices, verified from the raw cells.

        Raises:
            PipelineError: the validator says otherwise than the hook.
        """
        outcome, space = self._outcome, self._space
        self._chosen = np.union1d(np.setdiff1d(self._chosen, out), put_in).astype(np.int32)
        self._enter()
        cells = np.zeros_like(outcome.cells)
        keep_bits(self._state, cells)
        score = int(self._problem.evaluate(cells[None], self._n)[0])
        if not self._problem.validate(cells[None], self._n)[0] or score <= outcome.score:
            raise PipelineError(
                f"the hook and the checker of {self._problem.name} contradict each other; run its "
                "ProblemContract"
            )
        step = Step(_elements(space, out), _elements(space, put_in))
        outcome.cells, outcome.score = cells, score
        outcome.steps.append(step)
        outcome.ruled_out, outcome.ways, outcome.searched = 0, 1, 0

    def _late(self, deadline: float) -> bool:
        if time.monotonic() < deadline and not self._space.stop[0]:
            return False
        self._outcome.stopped = "time"
        return True

    def _longer(self, frees: Frees, k: int, deadline: float) -> Frees:
        """Return the hitting sets with those of size k."""
        finder, steps = Finder(self._space, self._state, frees), 64
        while finder.done < 1 and not self._late(deadline):
            steps = _paced(finder.go_on, steps)
            self._told(k, 0.5 * finder.done, self._outcome.score)
            if finder.frees.rows.nbytes > _SETS:
                raise PipelineError(
                    f"more than {len(finder.frees.rows):,} sets of up to {k} members would let "
                    "something in, too many to keep; take a smaller --out"
                )
        return finder.frees

    def _look(self, frees: Frees, k: int, deadline: float) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the choices that may leave and those for them; None where no k may leave."""
        space, outcome = self._space, self._outcome
        ways, walk = ways_of(frees, space.worth)
        depth = _depth(ways, k)
        tree, work, searched = tree_for(space, 64, depth), 1 << 20, outcome.searched
        what = 0

        def go_on(work: int) -> None:
            nonlocal what
            what = look(space, self._state, tree, ways, walk, work)

        while True:
            if self._late(deadline):
                return None
            work = _paced(go_on, work)
            outcome.searched = searched + int(walk.at[SEARCHED])
            if what == FOUND:
                members = frees.members[walk.path]
                return members, tree.choice[tree.best[: tree.at[HELD]]]
            if what == DONE:
                outcome.ways += math.comb(len(frees.members), k)
                self._enter()
                return None
            if what == ROOM:
                tree = self._roomier(int(walk.at[NEED]), depth)
            outcome.share = _share(walk, len(frees.members))
            self._told(k, 0.5 + 0.5 * outcome.share, outcome.score)

    def _roomier(self, need: int, depth: int) -> Tree:
        """Return a tree for more choices.

        Raises:
            PipelineError: it would take too much memory.
        """
        capacity = 1 << (need - 1).bit_length()
        if capacity // 8 * capacity * (min(depth, capacity) + 3) > _TREE:
            raise PipelineError(
                f"taking a few members out lets any of {need:,} choices in, too many to try all; "
                "take a smaller --out"
            )
        return tree_for(self._space, capacity, depth)


def _elements(space: object, choices: np.ndarray) -> tuple[int, ...]:
    """Return the elements of choices, ascending."""
    of = choice_of(space)  # type: ignore[arg-type]
    return tuple(np.flatnonzero(np.isin(of, choices)).tolist())


def _depth(ways: Ways, k: int) -> int:
    """Return how many choices put in are worth more than any k members, at most."""
    if not len(ways.worth) or not len(ways.cost):
        return 1
    return int(np.sort(ways.cost)[-k:].sum() // ways.worth.min()) + 1


def _share(walk: Walk, s: int) -> float:
    """Return how much of a walk through all ways is done, by the place of its path among them."""
    k, passed, before = len(walk.path), 0, -1
    for level in range(int(walk.at[LEVEL]) + 1):
        # The members that were tried here, and all ways below them.
        r = int(walk.path[level]) if level < walk.at[LEVEL] else int(walk.following[level])
        passed += sum(math.comb(s - q - 1, k - level - 1) for q in range(before + 1, r))
        before = r
    return passed / max(math.comb(s, k), 1)


def _paced(go_on: Callable[[int], None], amount: int) -> int:
    """Do an amount of work and return how much to do next, for pieces of a fraction of a second."""
    began = time.monotonic()
    go_on(amount)
    took = time.monotonic() - began
    return max(amount // 2, 1) if took > 2 * _PIECE else amount * 2 if took < _PIECE else amount

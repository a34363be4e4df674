"""The most elements a valid set can have: proved by exhaustive search, or bounded when stopped.

The tree of ``exact`` is cut into pieces that anyone may search. Batches of tasks take the pieces
with the largest shares first; a task that has used up its nodes gives back what it left as smaller
pieces. A better set is told to the next batch alone, so nothing depends on who worked on what.

Symmetry: with the candidates in their order, highest first, a set is searched for only if no image
of it under the group is larger as a row of bits (lex-leader; Crawford, Ginsberg, Luks, Roy, KR
1996). That is looked at for the first two members, where it pays.

Bounds of parts: the ground set is cut into strips and boxes. The largest sets within such parts
are found exactly, small parts first, and no set has more elements than those of the parts together.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from pipeline.core import bitset, jit, streams
from pipeline.core.jit import njit
from pipeline.core.symmetry import SymmetryClass, find_class, normaliser, orbits, symmetry_classes
from pipeline.errors import PipelineError, UsageError
from pipeline.executors import Executor
from pipeline.problem import Problem, check_objective, crashes_raised, load_problem
from pipeline.search import branch_and_bound, kernels
from pipeline.search.portfolio import make_arms
from pipeline.search.space import make_space
from pipeline.search.tasks import Shard, run_shard

# What the tables of one process may take; 1,000 choices are the most then.
_BYTES = 270_000_000
# Tasks of a batch, and the nodes of each: half a second to two seconds.
_TASKS = 16
_NODES, _NODES_ASKED = 1 << 20, 1 << 15
# Nodes that the bound of one part may cost where no time is set, in tasks.
_NODES_PART = 32
# The share of a given time that bounds of parts may take.
_PART_TIME = 0.3
_SMALL_PART = 12
# Seconds between two looks at the clock.
_LOOK = 0.05
# Seconds for the bounds of what is left when the time is up.
_BOUNDING = 0.5
# Local search for a first set: steps of a tabu search for each element, nodes of one by quotas.
_FIRST_STEPS, _FIRST_NODES = 100, 200_000
_NO_LIMIT = float("inf")


@dataclass(frozen=True)
class Question:
    """What is asked: the most elements of a valid set that has the symmetry.

    Attributes:
        problem, convention: as ``load_problem`` takes them.
        n: the size.
        symmetry: name of the symmetry class; "trivial" for all sets.
    """

    problem: str
    convention: str
    n: int
    symmetry: str = "trivial"


class Planted(NamedTuple):
    """What a question's search needs, made once in each process."""

    problem: Problem
    space: kernels.Space
    state: kernels.State
    tree: branch_and_bound.Tree
    group: np.ndarray  # int64 (g, K): where each symmetry moves each candidate, identity first


@dataclass(frozen=True, eq=False)
class Piece:
    """The sets that hold ``members`` and otherwise candidates of ``left`` alone.

    Attributes:
        members: int64, candidates in the order they were taken.
        left: uint64 (W,), a set of candidates.
        share: about how much of the whole work this is.
    """

    members: np.ndarray
    left: np.ndarray
    share: float = 1.0


@dataclass(frozen=True, eq=False)
class Task:
    """Pieces to search for a set of more than ``best`` elements, with so many nodes and until."""

    question: Question
    pieces: tuple[Piece, ...]
    best: int
    nodes: int
    until: float = _NO_LIMIT


class Result(NamedTuple):
    """What a task came back with: a better set, if ``found`` holds candidates, and what is left."""

    best: int
    found: np.ndarray
    nodes: int
    pieces: tuple[Piece, ...]


@dataclass
class Answer:
    """What is known so far.

    Attributes:
        lower: elements of the largest set found.
        upper: no set has more.
        cells: packed uint8 ``(ceil(m / 8),)``, a set of ``lower`` elements.
        nodes: how many were visited.
        seconds: since the beginning.
        method: what the upper bound comes from.
        broken: whether sets were told apart up to symmetry alone.
        interrupted: whether the user stopped it.
    """

    lower: int
    upper: int
    cells: np.ndarray
    nodes: int = 0
    seconds: float = 0.0
    method: str = ""
    broken: bool = False
    interrupted: bool = False

    @property
    def proved(self) -> bool:
        """Whether the largest set is known."""
        return self.lower == self.upper


#: Called with the stage, how much of it is done (0..1) and what is known so far.
Report = Callable[[str, float, Answer], None]


def solve(
    question: Question,
    executor: Executor,
    seconds: float = _NO_LIMIT,
    report: Report = lambda stage, done, answer: None,
) -> Answer:
    """Find the largest set and prove that it is, or what bounds can be had in the time.

    Without a limit of time the answer and the number of nodes are the same everywhere.
    Ctrl-C ends the work as the time does.

    Raises:
        UsageError: an unknown class or one that no set can have, n too small, too many choices,
            or a problem that maximises something else than size.
        PipelineError: the problem's hook raises or is wrong.
    """
    began, compiled = time.monotonic(), jit.kept_files()
    problem = load_problem(question.problem, question.convention or None)
    check_objective(problem, question.problem, question.n)
    check_size(problem, question)
    ground = problem.ground(question.n)
    answer = Answer(0, ground.m, np.zeros(bitset.width(ground.m), np.uint8), method="counting")
    try:
        with crashes_raised(f"the hook of {question.problem}"):
            _warm_up(problem, question, executor)
            if jit.kept_files() > compiled:  # once on a machine, and no part of the time
                began = time.monotonic()
            _Solver(question, executor, began + seconds, report, answer).run()
    except KeyboardInterrupt:
        executor.kill()
        answer.interrupted = True
    answer.seconds = time.monotonic() - began
    return answer


def every(question: Question, size: int) -> Iterator[tuple[np.ndarray, int, bool]]:
    """Yield the sets of ``size`` elements, the most there can be, each once, in a fixed order.

    They come in pieces: (packed uint8 ``(k, ceil(m / 8))``, nodes visited so far, whether these
    were the last). On one core, and no symmetry is broken: all images of a set are met.

    Args:
        size: as ``solve`` has proved it for this question.

    Raises:
        UsageError: see ``solve``.
    """
    problem = load_problem(question.problem, question.convention or None)
    check_objective(problem, question.problem, question.n)
    check_size(problem, question)
    here, used = planted(question), 0
    whole = Piece(np.zeros(0, np.int64), _bits(np.arange(len(here.tree.choice)), here))
    at = here.tree.at
    with crashes_raised(f"the hook of {problem.name}"):
        _begin(here, whole, size - 1)
        while at[branch_and_bound.LEVEL] >= at[branch_and_bound.ROOT]:
            found = np.zeros((1024, bitset.width(len(here.space.coords))), np.uint8)
            nodes = _NODES if len(here.tree.ban) else _NODES_ASKED
            spent, stored = branch_and_bound.collect(
                here.space, here.state, here.tree, nodes, found
            )
            used += spent
            yield found[:stored], used, bool(at[branch_and_bound.LEVEL] < at[branch_and_bound.ROOT])


def check_size(problem: Problem, question: Question) -> None:
    """Refuse a question whose tables would not fit in memory.

    Raises:
        UsageError: also for an unknown class, or one that no set can have.
    """
    ground = problem.ground(question.n)
    cls = find_class(ground, question.symmetry)
    choices = len(orbits(ground, cls))
    if choices * choices * ((choices + 63) // 64) * 16 > _BYTES:
        raise UsageError(
            f"{problem.name} at n={question.n} has {choices:,} choices, too many for exhaustive "
            "search; take a smaller n or a larger --symmetry, or look for good sets with: "
            f"pipeline search {question.problem} --n {question.n}"
        )
    make_space(problem, question.n, cls)


class _Solver:
    """One question under way; everything it finds goes into ``answer``."""

    def __init__(
        self,
        question: Question,
        executor: Executor,
        until: float,
        report: Report,
        answer: Answer,
    ) -> None:
        self._question, self._executor, self._until = question, executor, until
        self._report, self._answer = report, answer
        self._planted = planted(question)
        self._pieces: list[Piece] = []

    def run(self) -> None:
        """Look for good sets, bound the parts, then search the whole tree."""
        planted, answer = self._planted, self._answer
        answer.upper = int(planted.tree.weight.sum())
        self._take(_greedy(planted))
        self._first_sets()
        self._bound_parts()
        if answer.proved:
            return
        answer.broken = len(planted.group) > 1
        self._report("exhaustive search", 0.0, answer)
        self._pieces = split(planted, answer.lower, np.arange(len(planted.tree.choice)))
        try:
            self._prove()
        finally:
            self._bound_pieces()

    def _over(self) -> bool:
        return time.monotonic() > self._until

    def _take(self, cells: np.ndarray) -> None:
        """Note a packed set if it is the largest so far, once it has been checked."""
        problem, n = self._planted.problem, self._question.n
        if not problem.validate(cells[None], n)[0]:
            raise PipelineError(
                f"the hook and the checker of {problem.name} contradict each other; run its "
                "ProblemContract"
            )
        score = int(problem.score(cells[None], n)[0])
        if score > self._answer.lower:
            self._answer.lower, self._answer.cells = score, cells

    def _first_sets(self) -> None:
        self._report("local search", 0.0, self._answer)
        shards = _first_shards(self._planted.problem, self._question)
        for i, cells in enumerate(self._executor.map(run_shard, shards, self._over)):
            for row in _symmetric(self._planted, cells):
                self._take(row)
            self._report("local search", (i + 1) / len(shards), self._answer)
            if time.monotonic() > self._until:
                break

    def _lower_upper(self, upper: int, method: str) -> None:
        if upper < self._answer.upper:
            self._answer.upper, self._answer.method = upper, method

    # ------------------------------------------------------------------------- bounds of parts

    def _bound_parts(self) -> None:
        """Bound all by what is largest within parts, ever larger ones."""
        if self._answer.proved:
            return
        now = time.monotonic()
        until = now + _PART_TIME * max(self._until - now, 0)
        values: dict[bytes, int] = {}
        stages = partitions(self._coords())
        self._report("bounds of parts", 0.0, self._answer)
        for i, parts in enumerate(stages):
            if self._over():
                return
            solved = self._solve_parts(parts, values, until)
            self._lower_upper(self._sum(parts, values), "parts")
            self._report("bounds of parts", (i + 1) / len(stages), self._answer)
            if self._answer.proved or not solved:
                return

    def _coords(self) -> np.ndarray:
        """Return the coordinates of the first element of each candidate."""
        space, tree = self._planted.space, self._planted.tree
        return space.coords[space.elements[space.start[tree.choice]]]

    def _sum(self, parts: Iterable[np.ndarray], values: dict[bytes, int]) -> int:
        weight = self._planted.tree.weight
        keys = [(part, _key(part, self._planted.group)) for part in parts]
        return sum(values.get(key, int(weight[part].sum())) for part, key in keys)

    def _solve_parts(self, parts: list[np.ndarray], values: dict[bytes, int], until: float) -> bool:
        """Bound the parts (candidates each) and tell whether all were solved."""
        keys = {_key(part, self._planted.group): part for part in parts}
        fresh = {key: part for key, part in keys.items() if key not in values}
        nodes = 2**62 if until < _NO_LIMIT else _NODES_PART * self._nodes() // _TASKS
        tasks, owner = [], []
        for key, part in fresh.items():
            best = values[key] = self._within(part)
            pieces = split(self._planted, best, part)
            heaps = [tuple(pieces[i::_TASKS]) for i in range(_TASKS)]
            tasks += [Task(self._question, heap, best, nodes, until) for heap in heaps if heap]
            owner += [key for heap in heaps if heap]
        left: dict[bytes, list[Piece]] = {}
        found_by = self._executor.map(run_task, tasks, self._over)
        for key, task in zip(owner, tasks, strict=True):
            # A task that did not come back in time has left all its pieces.
            nothing = Result(task.best, np.zeros(0, np.int64), 0, task.pieces)
            found = next(found_by, nothing)
            self._answer.nodes += found.nodes
            values[key] = max(values[key], found.best)
            if found.pieces:
                left.setdefault(key, []).extend(found.pieces)
        for key, pieces in left.items():
            upper = max(bound_of(self._planted, piece) for piece in pieces)
            halves = _halves(fresh[key], self._coords())
            values[key] = max(
                values[key], min(upper, self._sum(halves, values) if halves else upper)
            )
        return not left

    def _within(self, part: np.ndarray) -> int:
        """Return how many elements of the best set lie in a part."""
        space, tree = self._planted.space, self._planted.tree
        first = space.elements[space.start[tree.choice[part]]]
        inside = bitset.unpack(self._answer.cells[None], len(space.coords))[0]
        return int(tree.weight[part][inside[first]].sum())

    # --------------------------------------------------------------------------------- the tree

    def _nodes(self) -> int:
        return _NODES if len(self._planted.tree.ban) else _NODES_ASKED

    def _prove(self) -> None:
        """Search all pieces, batch by batch."""
        answer = self._answer
        while self._pieces and time.monotonic() < self._until:
            self._pieces.sort(key=lambda piece: -piece.share)
            heaps = [tuple(self._pieces[i::_TASKS]) for i in range(_TASKS)]
            heaps = [heap for heap in heaps if heap]
            how = (answer.lower, self._nodes(), self._until)
            tasks = [Task(self._question, heap, *how) for heap in heaps]
            try:
                for i, found in enumerate(self._executor.map(run_task, tasks, self._over)):
                    heaps[i] = found.pieces
                    answer.nodes += found.nodes
                    if found.best > answer.lower and len(found.found):
                        self._take(_cells(self._planted, found.found))
                    open_ = sum(piece.share for heap in heaps for piece in heap)
                    self._report("exhaustive search", 1 - open_, answer)
            finally:
                self._pieces = [piece for heap in heaps for piece in heap]

    def _bound_pieces(self) -> None:
        here, upper, until = self._planted, self._answer.lower, time.monotonic() + _BOUNDING
        for piece in self._pieces:
            exactly = time.monotonic() < until
            upper = max(upper, bound_of(here, piece) if exactly else _most(here, piece))
        self._lower_upper(upper, "exhaustive search")


# -------------------------------------------------------------------------------- in any process


@lru_cache(maxsize=2)
def planted(question: Question) -> Planted:
    """Return what a question's search needs; candidates near the centre have high numbers.

    Raises:
        UsageError: an unknown class, or one that no set can have.
    """
    problem = load_problem(question.problem, question.convention or None)
    ground = problem.ground(question.n)
    cls = find_class(ground, question.symmetry)
    space = make_space(problem, question.n, cls)
    state = kernels.new_state(space)
    choices = len(space.start) - 1
    moves = _moves(problem, question.n, cls, space)
    order = _outer_first(space, moves)
    number = np.empty(choices, np.int64)
    number[order] = np.arange(choices)
    tree = _room(space, choices, problem.arity <= 3)
    tree.choice[:] = order
    branch_and_bound.plant(space, state, tree, choices)
    return Planted(problem, space, state, tree, np.ascontiguousarray(number[moves[:, order]]))


def _room(space: kernels.Space, choices: int, triples: bool) -> branch_and_bound.Tree:
    """Return a tree whose rows take memory only once they are reached."""
    tree = branch_and_bound.new_tree(space, 0, triples)
    words, levels = (choices + 63) // 64, choices + 2
    shapes = {
        **dict.fromkeys(("choice", "weight"), (choices,)),
        **dict.fromkeys(("live", "todo"), (levels, words)),
        "rows": (levels, choices, words),
        "ban": (choices if triples else 0, choices, words),
        **dict.fromkeys(("taken", "width", "size", "best"), (levels,)),
        "group": (words,),
    }
    return tree._replace(
        **{name: np.zeros(shape, getattr(tree, name).dtype) for name, shape in shapes.items()}
    )


def _moves(problem: Problem, n: int, cls: SymmetryClass, space: kernels.Space) -> np.ndarray:
    """Return int64 (g, M): where the symmetries that keep the class move the choices."""
    ground = problem.ground(n)
    of = np.full(ground.m, -1, np.int64)
    of[space.elements] = np.repeat(np.arange(len(space.start) - 1), np.diff(space.start))
    first = space.elements[space.start[:-1]]
    moves = of[ground.group[list(normaliser(ground, cls))][:, first]]
    _, rows = np.unique(moves, axis=0, return_index=True)
    return moves[np.sort(rows)]


def _outer_first(space: kernels.Space, moves: np.ndarray) -> np.ndarray:
    """Return the choices by distance from the centre, farthest first, images side by side."""
    low, high = space.coords.min(axis=0), space.coords.max(axis=0)
    away = np.sum((2 * space.coords.astype(np.int64) - low - high) ** 2, axis=1)
    sums = np.add.reduceat(away[space.elements], space.start[:-1]) / np.diff(space.start)
    mean = np.round(sums[moves].mean(axis=0), 6)
    return np.lexsort([np.arange(len(mean)), moves.min(axis=0), -mean])


def run_task(task: Task) -> Result:
    """Search the pieces of a task one after the other, as far as nodes and time allow."""
    here = planted(task.question)
    best, used, left = task.best, 0, []
    found = np.zeros(0, np.int64)
    with crashes_raised(f"the hook of {here.problem.name}"):
        for piece in task.pieces:
            if used >= task.nodes or time.monotonic() >= task.until:
                left.append(piece)
            elif _begin(here, piece, best):
                used += _search(here, task.nodes - used, task.until)
                at = here.tree.at
                if at[branch_and_bound.HELD]:
                    best, found = (
                        int(at[branch_and_bound.BEST]),
                        here.tree.best[: at[branch_and_bound.HELD]].copy(),
                    )
                left += _unfinished(here, piece)
    return Result(best, found, used, tuple(left))


def _begin(here: Planted, piece: Piece, best: int) -> bool:
    members = piece.members
    # A search that was stopped, even in the midst of it, leaves no trace.
    kernels.clear(here.state)
    return branch_and_bound.begin(
        here.space, here.state, here.tree, members, len(members), piece.left, best
    )


def _search(here: Planted, nodes: int, until: float) -> int:
    """Search on in slices, between which Python looks at the clock and for Ctrl-C."""
    at, used, slice_ = here.tree.at, 0, 256
    while used < nodes and at[branch_and_bound.LEVEL] >= at[branch_and_bound.ROOT]:
        began = time.monotonic()
        if began >= until:
            break
        used += branch_and_bound.search(
            here.space, here.state, here.tree, min(slice_, nodes - used)
        )
        slice_ = slice_ * 2 if time.monotonic() - began < _LOOK / 2 else slice_
    return used


def _unfinished(here: Planted, piece: Piece) -> list[Piece]:
    """Return what is left of a piece under way: what each level of the search has yet to do."""
    tree, left, share = here.tree, [], piece.share
    for level in range(tree.at[branch_and_bound.ROOT], tree.at[branch_and_bound.LEVEL] + 1):
        fresh = level == tree.at[branch_and_bound.LEVEL] and tree.at[branch_and_bound.NEW]
        todo = 1 if fresh else int(np.bitwise_count(tree.todo[level]).sum())
        width = 1 if fresh else int(tree.width[level])
        if todo:
            members = tree.taken[:level].copy()
            left.append(Piece(members, tree.live[level].copy(), share * todo / width))
        share /= width
    return left


def bound_of(here: Planted, piece: Piece) -> int:
    """Return a bound for the elements of the sets of a piece."""
    if not _begin(here, piece, 0):
        return 0
    return int(branch_and_bound.bound(here.tree))


def _most(here: Planted, piece: Piece) -> int:
    """Return a bound at once: as if all that is left could be added."""
    weight = here.tree.weight
    return int(weight[piece.members].sum() + weight[_numbers(piece.left)].sum())


# ------------------------------------------------------------------------- cutting at the root


def split(here: Planted, best: int, part: np.ndarray) -> list[Piece]:
    """Cut the search for more than ``best`` elements into pieces by the first two members.

    Of sets that are images of one another, under the symmetries that keep the part, one at least
    is in a piece.

    Args:
        part: candidates, ascending; no others are used.
    """
    keeps = (np.sort(here.group[:, part], axis=1) == part).all(axis=1)
    group, weight = np.ascontiguousarray(here.group[keeps]), here.tree.weight
    pieces: list[Piece] = []
    for one in _branches(here, Piece(np.zeros(0, np.int64), _bits(part, here)), best, group):
        if weight[one.members].sum() > best:
            pieces.append(Piece(one.members, one.left & 0))
        pieces += _branches(here, one, best, group)
    total = sum(piece.share for piece in pieces)
    return [Piece(piece.members, piece.left, piece.share / total) for piece in pieces]


def _branches(here: Planted, piece: Piece, best: int, group: np.ndarray) -> list[Piece]:
    """Return the pieces that take one member more, of which a better set may be the image."""
    if not _begin(here, piece, 0):
        return []
    live = here.tree.live[here.tree.at[branch_and_bound.LEVEL]].copy()
    weight = here.tree.weight
    size = int(weight[piece.members].sum())
    candidates = _numbers(live)
    inside = np.zeros(len(weight), np.bool_)
    inside[piece.members] = True
    found = []
    for i in range(len(candidates) - 1, -1, -1):
        v = candidates[i]
        reach = size + int(weight[candidates[: i + 1]].sum())
        if reach <= best:
            break
        inside[v] = True
        if _may_lead(group, inside, v):
            members = np.append(piece.members, v)
            # Measured: twice as many to choose from are about thirty times the work.
            found.append(Piece(members, _bits(candidates[:i], here), float(i + 1) ** 5))
        inside[v] = False
    return found


@njit
def _may_lead(group, inside, decided):
    """Tell whether no image of a set is larger as a row of bits, as far as one can tell.

    Candidates are compared from the highest number down; those below ``decided`` are open.
    O(g K) at worst.
    """
    for g in range(len(group)):
        for v in range(len(inside) - 1, decided - 1, -1):
            image = group[g, v]
            if image < decided or inside[v] > inside[image]:
                break
            if inside[v] < inside[image]:
                return False
    return True


def _bits(candidates: np.ndarray, here: Planted) -> np.ndarray:
    """Return the set of these candidates as uint64 (W,)."""
    words = np.zeros(here.tree.live.shape[1], np.uint64)
    shifted = np.left_shift(np.uint64(1), (candidates & 63).astype(np.uint64))
    np.bitwise_or.at(words, candidates >> 6, shifted)
    return words


def _numbers(words: np.ndarray) -> np.ndarray:
    """Return the candidates of a set, ascending."""
    places = np.arange(64, dtype=np.uint64)
    return np.flatnonzero((words[:, None] >> places & np.uint64(1)).ravel())


def _cells(here: Planted, candidates: np.ndarray) -> np.ndarray:
    """Return the packed set of these candidates' elements."""
    space = here.space
    chosen = here.tree.choice[candidates]
    elements = [space.elements[space.start[c] : space.start[c + 1]] for c in chosen]
    return bitset.from_points([np.concatenate(elements)], len(space.coords))[0]


# -------------------------------------------------------------------------------------- parts


def _halves(part: np.ndarray, coords: np.ndarray) -> list[np.ndarray]:
    """Cut a box (candidates) across its longest side; none for a small one."""
    if len(part) <= _SMALL_PART:
        return []
    here = coords[part]
    low, high = here.min(axis=0), here.max(axis=0)
    axis = int(np.argmax(high - low))
    lower = 2 * here[:, axis] <= low[axis] + high[axis]
    return [part[lower], part[~lower]]


def partitions(coords: np.ndarray) -> list[list[np.ndarray]]:
    """Return partitions of the candidates into boxes and strips, by the size of their parts.

    Args:
        coords: integers (K, d), of the candidates.
    """
    everyone = np.arange(len(coords))
    found: list[list[np.ndarray]] = []
    for column in coords.T:
        values, line = np.unique(column, return_inverse=True)
        for lines in range(1, (len(values) + 1) // 2 + 1):
            strip = line // lines
            found.append([everyone[strip == i] for i in range(strip.max() + 1)])
    boxes, finer = [everyone], _cut([everyone], coords)
    while len(finer) > len(boxes):
        found.append(finer)
        boxes, finer = finer, _cut(finer, coords)
    several = [parts for parts in found if len(parts) > 1]
    return sorted(several, key=lambda parts: max(len(part) for part in parts))


def _cut(parts: list[np.ndarray], coords: np.ndarray) -> list[np.ndarray]:
    return [half for part in parts for half in _halves(part, coords) or [part]]


def _key(part: np.ndarray, group: np.ndarray) -> bytes:
    """Return what parts have in common that are images of one another."""
    images = np.sort(group[:, part], axis=1)
    return min(row.tobytes() for row in images)


# ----------------------------------------------------------------------------------- first sets


def _greedy(here: Planted) -> np.ndarray:
    cells = np.zeros((1, bitset.width(len(here.space.coords))), np.uint8)
    kernels.greedy_many(here.space, np.zeros(1, np.uint64), cells)
    return cells[0]


def _first_shards(problem: Problem, question: Question) -> list[Shard]:
    """Return a short local search in every class whose sets have the symmetry asked for."""
    n = question.n
    ground = problem.ground(n)
    asked = set(find_class(ground, question.symmetry).elements)
    names = {cls.name for cls in symmetry_classes(ground) if asked <= set(cls.elements)}
    arms = dict.fromkeys(
        (arm.method, arm.symmetry)
        for arm in make_arms(problem, n)
        if arm.method in ("tabu", "cover") and arm.symmetry in names and not arm.narrow
    )
    zeros = np.zeros((4, bitset.width(ground.m)), np.uint8)
    shards = [
        Shard(
            problem=question.problem,
            convention=question.convention,
            n=n,
            symmetry=symmetry,
            method=method,
            cells=zeros,
            rng=streams.state(0, 0, "search", i),
            proposals=_FIRST_NODES if method == "cover" else _FIRST_STEPS * ground.m,
        )
        for i, (method, symmetry) in enumerate(arms)
    ]
    # Those with fewest orbits first: they take a moment, and time may be short.
    return sorted(shards, key=lambda shard: -find_class(ground, shard.symmetry).order)


def _warm_up(problem: Problem, question: Question, executor: Executor) -> None:
    """Have everything compiled once, by one task after the other."""
    kinds = {shard.method: shard for shard in _first_shards(problem, question)}
    for shard in kinds.values():
        for _ in executor.map(run_shard, [replace(shard, cells=shard.cells[:1], proposals=1)]):
            pass
    _greedy(planted(question))
    nothing = Piece(np.zeros(0, np.int64), planted(question).tree.live[0] & 0)
    run_task(Task(question, (nothing,), 0, 1))


def _symmetric(here: Planted, cells: np.ndarray) -> np.ndarray:
    """Return the sets without what is in no whole orbit of the symmetry, made maximal again."""
    space = here.space
    inside = bitset.unpack(cells, len(space.coords))
    whole = np.minimum.reduceat(inside[:, space.elements], space.start[:-1], axis=1)
    kept = np.zeros_like(inside)
    kept[:, space.elements] = np.repeat(whole, np.diff(space.start), axis=1)
    found = bitset.pack(kept)
    kernels.complete_many(space, np.zeros(1, np.uint64), found)
    return found

"""The largest size or weight of a valid set: proved by exhaustive search, or bounded if stopped.

The tree of the search is cut into pieces that anyone may search. Batches of tasks take the pieces
with the largest shares first; a task that has used up its nodes gives back what it left as smaller
pieces. A better set is told to the next batch alone, so nothing depends on who worked on what.

Bounds of parts: the ground set is cut into strips and boxes. The largest sets within such parts
are found exactly, small parts first, and no set has more elements than those of the parts together.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from pipeline.core import bitset, jit
from pipeline.core.symmetry import find_whole_class, orbits
from pipeline.engine.branch_and_bound import collect
from pipeline.engine.first_sets import first_tasks, greedy_set, symmetric
from pipeline.engine.partitions import halves, key_of, partitions
from pipeline.engine.pieces import (
    Piece,
    PieceResult,
    PieceTask,
    Question,
    at_once_bound_of,
    begin_at,
    bits_of,
    bound_of,
    cells_of,
    planted,
    search_pieces,
    split,
)
from pipeline.engine.search_tree import LEVEL, ROOT
from pipeline.engine.space import make_space
from pipeline.engine.tasks import run_task
from pipeline.errors import PipelineError, UsageError
from pipeline.executors import Executor
from pipeline.objective import check_bounded, weights_of
from pipeline.plugins import load_problem
from pipeline.problem import Problem
from pipeline.validator import crashes_raised

# What the tables of one process may take; 1,000 choices are the most then.
_BYTES = 270_000_000
# Tasks of a batch, and the nodes of each: half a second to two seconds.
_TASKS = 16
_NODES, _NODES_ASKED = 1 << 20, 1 << 15
# Nodes that the bound of one part may cost where no time is set, in tasks.
_NODES_PART = 32
# The share of a given time that bounds of parts may take.
_PART_TIME = 0.3
# Seconds for the bounds of what is left when the time is up.
_BOUNDING = 0.5
_NO_LIMIT = float("inf")


@dataclass
class Answer:
    """What is known so far.

    Attributes:
        lower: the score of the best set found: its size, or its weight.
        upper: no set has more.
        cells: packed uint8 ``(ceil(m / 8),)``, a set with the score ``lower``.
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
            or a problem with a score that is no sum over the elements.
        PipelineError: the problem's hook raises or is wrong.
    """
    began, compiled = time.monotonic(), jit.kept_files()
    problem = load_problem(question.problem, question.convention or None)
    check_bounded(problem, question.problem, question.n)
    check_size(problem, question)
    ground = problem.ground(question.n)
    upper = int(weights_of(problem, question.n).sum())
    answer = Answer(0, upper, np.zeros(bitset.width(ground.m), np.uint8), method="counting")
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
    """Yield the sets with the score ``size``, the most there can be, each once, in a fixed order.

    They come in pieces: (packed uint8 ``(k, ceil(m / 8))``, nodes visited so far, whether these
    were the last). On one core, and no symmetry is broken: all images of a set are met.

    Args:
        size: as ``solve`` has proved it for this question.

    Raises:
        UsageError: see ``solve``.
    """
    problem = load_problem(question.problem, question.convention or None)
    check_bounded(problem, question.problem, question.n)
    check_size(problem, question)
    if not weights_of(problem, question.n).all():
        raise UsageError(
            f"{problem.name} at n={question.n} has elements of weight 0, which any best set may "
            "have or not; leave them out of the elements to count the sets"
        )
    here, used = planted(question), 0
    whole = Piece(np.zeros(0, np.int64), bits_of(np.arange(len(here.tree.choice)), here))
    at = here.tree.at
    with crashes_raised(f"the hook of {problem.name}"):
        begin_at(here, whole, size - 1)
        while at[LEVEL] >= at[ROOT]:
            found = np.zeros((1024, bitset.width(len(here.space.coords))), np.uint8)
            nodes = _NODES if len(here.tree.ban) else _NODES_ASKED
            spent, stored = collect(here.space, here.state, here.tree, nodes, found)
            used += spent
            yield found[:stored], used, bool(at[LEVEL] < at[ROOT])


def check_size(problem: Problem, question: Question) -> None:
    """Refuse a question whose tables would not fit in memory.

    Raises:
        UsageError: also for an unknown class, or one that no set can have.
    """
    ground = problem.ground(question.n)
    cls = find_whole_class(ground, question.symmetry)
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
        self._take(greedy_set(planted))
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
        score = int(problem.evaluate(cells[None], n)[0])
        if score > self._answer.lower:
            self._answer.lower, self._answer.cells = score, cells

    def _first_sets(self) -> None:
        self._report("local search", 0.0, self._answer)
        tasks = first_tasks(self._planted.problem, self._question)
        for i, cells in enumerate(self._executor.map(run_task, tasks, self._over)):
            for row in symmetric(self._planted, cells):
                self._take(row)
            self._report("local search", (i + 1) / len(tasks), self._answer)
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
        keys = [(part, key_of(part, self._planted.group)) for part in parts]
        return sum(values.get(key, int(weight[part].sum())) for part, key in keys)

    def _solve_parts(self, parts: list[np.ndarray], values: dict[bytes, int], until: float) -> bool:
        """Bound the parts (candidates each) and tell whether all were solved."""
        keys = {key_of(part, self._planted.group): part for part in parts}
        fresh = {key: part for key, part in keys.items() if key not in values}
        nodes = 2**62 if until < _NO_LIMIT else _NODES_PART * self._nodes() // _TASKS
        tasks, owner = [], []
        for key, part in fresh.items():
            best = values[key] = self._within(part)
            pieces = split(self._planted, best, part)
            heaps = [tuple(pieces[i::_TASKS]) for i in range(_TASKS)]
            tasks += [PieceTask(self._question, heap, best, nodes, until) for heap in heaps if heap]
            owner += [key for heap in heaps if heap]
        left: dict[bytes, list[Piece]] = {}
        found_by = self._executor.map(search_pieces, tasks, self._over)
        for key, task in zip(owner, tasks, strict=True):
            # A task that did not come back in time has left all its pieces.
            nothing = PieceResult(task.best, np.zeros(0, np.int64), 0, task.pieces)
            found = next(found_by, nothing)
            self._answer.nodes += found.nodes
            values[key] = max(values[key], found.best)
            if found.pieces:
                left.setdefault(key, []).extend(found.pieces)
        for key, pieces in left.items():
            upper = max(bound_of(self._planted, piece) for piece in pieces)
            boxes = halves(fresh[key], self._coords())
            values[key] = max(values[key], min(upper, self._sum(boxes, values) if boxes else upper))
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
            tasks = [PieceTask(self._question, heap, *how) for heap in heaps]
            try:
                for i, found in enumerate(self._executor.map(search_pieces, tasks, self._over)):
                    heaps[i] = found.pieces
                    answer.nodes += found.nodes
                    if found.best > answer.lower and len(found.found):
                        self._take(cells_of(self._planted, found.found))
                    open_ = sum(piece.share for heap in heaps for piece in heap)
                    self._report("exhaustive search", 1 - open_, answer)
            finally:
                self._pieces = [piece for heap in heaps for piece in heap]

    def _bound_pieces(self) -> None:
        here, upper, until = self._planted, self._answer.lower, time.monotonic() + _BOUNDING
        for piece in self._pieces:
            exactly = time.monotonic() < until
            upper = max(upper, bound_of(here, piece) if exactly else at_once_bound_of(here, piece))
        self._lower_upper(upper, "exhaustive search")


def _warm_up(problem: Problem, question: Question, executor: Executor) -> None:
    """Have everything compiled once, by one task after the other."""
    kinds = {task.method: task for task in first_tasks(problem, question)}
    for task in kinds.values():
        for _ in executor.map(run_task, [replace(task, cells=task.cells[:1], bound=1)]):
            pass
    greedy_set(planted(question))
    nothing = Piece(np.zeros(0, np.int64), planted(question).tree.live[0] & 0)
    search_pieces(PieceTask(question, (nothing,), 0, 1))

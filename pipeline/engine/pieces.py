"""Pieces of an exhaustive search: made by cutting its tree, searched anywhere, bounded.

Symmetry: with the candidates in their order, highest first, a set is searched for only if no image
of it under the group is larger as a row of bits (lex-leader; Crawford, Ginsberg, Luks, Roy, KR
1996). That is looked at for the first two members, where it pays.
"""

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from pipeline.core import bitset
from pipeline.core.jit import njit
from pipeline.core.symmetry import SymmetryClass, find_whole_class, normaliser
from pipeline.engine.branch_and_bound import search
from pipeline.engine.search_tree import (
    BEST,
    HELD,
    LEVEL,
    NEW,
    ROOT,
    Tree,
    begin,
    bound,
    new_tree,
    plant,
)
from pipeline.engine.space import make_space
from pipeline.engine.state import Space, State, clear, new_state
from pipeline.plugins import load_problem
from pipeline.problem import Problem
from pipeline.validator import crashes_raised

# Seconds between two looks at the clock.
_LOOK = 0.05
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
    space: Space
    state: State
    tree: Tree
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
class PieceTask:
    """Pieces to search for a set of more than ``best`` elements, with so many nodes and until."""

    question: Question
    pieces: tuple[Piece, ...]
    best: int
    nodes: int
    until: float = _NO_LIMIT


class PieceResult(NamedTuple):
    """What a task came back with: a better set, if ``found`` holds candidates, and what is left."""

    best: int
    found: np.ndarray
    nodes: int
    pieces: tuple[Piece, ...]


@lru_cache(maxsize=2)
def planted(question: Question) -> Planted:
    """Return what a question's search needs; candidates near the centre have high numbers.

    Raises:
        UsageError: an unknown class, or one that no set can have.
    """
    problem = load_problem(question.problem, question.convention or None)
    ground = problem.ground(question.n)
    cls = find_whole_class(ground, question.symmetry)
    space = make_space(problem, question.n, cls)
    state = new_state(space)
    choices = len(space.start) - 1
    moves = _moves(problem, question.n, cls, space)
    order = _outer_first(space, moves)
    number = np.empty(choices, np.int64)
    number[order] = np.arange(choices)
    tree = _room(space, choices, problem.arity <= 3)
    tree.choice[:] = order
    plant(space, state, tree, choices)
    return Planted(problem, space, state, tree, np.ascontiguousarray(number[moves[:, order]]))


def _room(space: Space, choices: int, triples: bool) -> Tree:
    """Return a tree whose rows take memory only once they are reached."""
    tree = new_tree(space, 0, triples)
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


def _moves(problem: Problem, n: int, cls: SymmetryClass, space: Space) -> np.ndarray:
    """Return int64 (g, M): where the symmetries that keep the class move the choices."""
    ground = problem.ground(n)
    of = np.full(ground.m, -1, np.int64)
    of[space.elements] = np.repeat(np.arange(len(space.start) - 1), np.diff(space.start))
    first = space.elements[space.start[:-1]]
    moves = of[ground.group[list(normaliser(ground, cls))][:, first]]
    _, rows = np.unique(moves, axis=0, return_index=True)
    return moves[np.sort(rows)]


def _outer_first(space: Space, moves: np.ndarray) -> np.ndarray:
    """Return the choices by distance from the centre, farthest first, images side by side."""
    low, high = space.coords.min(axis=0), space.coords.max(axis=0)
    away = np.sum((2 * space.coords.astype(np.int64) - low - high) ** 2, axis=1)
    sums = np.add.reduceat(away[space.elements], space.start[:-1]) / np.diff(space.start)
    mean = np.round(sums[moves].mean(axis=0), 6)
    return np.lexsort([np.arange(len(mean)), moves.min(axis=0), -mean])


def search_pieces(task: PieceTask) -> PieceResult:
    """Search the pieces of a task one after the other, as far as nodes and time allow."""
    here = planted(task.question)
    best, used, left = task.best, 0, []
    found = np.zeros(0, np.int64)
    with crashes_raised(f"the hook of {here.problem.name}"):
        for piece in task.pieces:
            if used >= task.nodes or time.monotonic() >= task.until:
                left.append(piece)
            elif begin_at(here, piece, best):
                used += _search(here, task.nodes - used, task.until)
                at = here.tree.at
                if at[HELD]:
                    best, found = (
                        int(at[BEST]),
                        here.tree.best[: at[HELD]].copy(),
                    )
                left += _unfinished(here, piece)
    return PieceResult(best, found, used, tuple(left))


def begin_at(here: Planted, piece: Piece, best: int) -> bool:
    members = piece.members
    # A search that was stopped, even in the midst of it, leaves no trace.
    clear(here.state)
    return begin(here.space, here.state, here.tree, members, len(members), piece.left, best)


def _search(here: Planted, nodes: int, until: float) -> int:
    """Search on in slices, between which Python looks at the clock and for Ctrl-C."""
    at, used, slice_ = here.tree.at, 0, 256
    while used < nodes and at[LEVEL] >= at[ROOT]:
        began = time.monotonic()
        if began >= until:
            break
        used += search(here.space, here.state, here.tree, min(slice_, nodes - used))
        slice_ = slice_ * 2 if time.monotonic() - began < _LOOK / 2 else slice_
    return used


def _unfinished(here: Planted, piece: Piece) -> list[Piece]:
    """Return what is left of a piece under way: what each level of the search has yet to do."""
    tree, left, share = here.tree, [], piece.share
    for level in range(tree.at[ROOT], tree.at[LEVEL] + 1):
        fresh = level == tree.at[LEVEL] and tree.at[NEW]
        todo = 1 if fresh else int(np.bitwise_count(tree.todo[level]).sum())
        width = 1 if fresh else int(tree.width[level])
        if todo:
            members = tree.taken[:level].copy()
            left.append(Piece(members, tree.live[level].copy(), share * todo / width))
        share /= width
    return left


def bound_of(here: Planted, piece: Piece) -> int:
    """Return a bound for the elements of the sets of a piece."""
    if not begin_at(here, piece, 0):
        return 0
    return int(bound(here.tree))


def at_once_bound_of(here: Planted, piece: Piece) -> int:
    """Return a bound at once: as if all that is left could be added."""
    weight = here.tree.weight
    return int(weight[piece.members].sum() + weight[candidates_of(piece.left)].sum())


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
    for one in _branches(here, Piece(np.zeros(0, np.int64), bits_of(part, here)), best, group):
        if weight[one.members].sum() > best:
            pieces.append(Piece(one.members, one.left & 0))
        pieces += _branches(here, one, best, group)
    total = sum(piece.share for piece in pieces)
    return [Piece(piece.members, piece.left, piece.share / total) for piece in pieces]


def _branches(here: Planted, piece: Piece, best: int, group: np.ndarray) -> list[Piece]:
    """Return the pieces that take one member more, of which a better set may be the image."""
    if not begin_at(here, piece, 0):
        return []
    live = here.tree.live[here.tree.at[LEVEL]].copy()
    weight = here.tree.weight
    size = int(weight[piece.members].sum())
    candidates = candidates_of(live)
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
            found.append(Piece(members, bits_of(candidates[:i], here), float(i + 1) ** 5))
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


def bits_of(candidates: np.ndarray, here: Planted) -> np.ndarray:
    """Return the set of these candidates as uint64 (W,)."""
    words = np.zeros(here.tree.live.shape[1], np.uint64)
    shifted = np.left_shift(np.uint64(1), (candidates & 63).astype(np.uint64))
    np.bitwise_or.at(words, candidates >> 6, shifted)
    return words


def candidates_of(words: np.ndarray) -> np.ndarray:
    """Return the candidates of a set, ascending."""
    places = np.arange(64, dtype=np.uint64)
    return np.flatnonzero((words[:, None] >> places & np.uint64(1)).ravel())


def cells_of(here: Planted, candidates: np.ndarray) -> np.ndarray:
    """Return the packed set of these candidates' elements."""
    space = here.space
    chosen = here.tree.choice[candidates]
    elements = [space.elements[space.start[c] : space.start[c + 1]] for c in chosen]
    return bitset.from_points([np.concatenate(elements)], len(space.coords))[0]

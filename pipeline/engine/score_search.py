"""Annealing on a score that only the problem's author knows, many sets side by side.

A score is asked of a batch of sets at a time, so as many searches go in step, each on a set of its
own. All sets are valid: a move takes a few choices out, or brings one in and lets those give way
that are in conflict with it; then it fills up with others, mostly. Now and then it does not, and
may do both, since more elements need not be better here.
"""

import numpy as np

from pipeline.core.jit import kernel, njit
from pipeline.engine.greedy import add_free, repair, saturate
from pipeline.engine.rng import below
from pipeline.engine.state import (
    CHOICES,
    VIOLATIONS,
    Space,
    clear,
    conflicts_removed,
    enter_cells,
    join,
    keep_bits,
    leave,
    new_state,
)
from pipeline.problem import Problem

# The most choices that a move takes out, and in how many of eight it fills up.
_MOST_OUT, _FILLS = 3, 6
# The temperature at the end, as a share of that at the beginning.
_COLD = 0.02


def anneal_scores(
    problem: Problem, n: int, space: Space, rng: np.ndarray, cells: np.ndarray, steps: int
) -> np.ndarray:
    """Anneal each row, and return the best sets that were met, packed like the rows.

    Where it begins, the temperature is the median change of the score that a move makes.

    Args:
        space: of the symmetry class whose orbits are taken and left.
        rng: uint64 ``(1,)``, moved on.
        cells: packed uint8 ``(B, ceil(m / 8))``, valid sets, unions of choices.
        steps: moves of each row.
    """
    return _search(problem, n, space, rng, cells, steps, True)


def climb_scores(
    problem: Problem, n: int, space: Space, rng: np.ndarray, cells: np.ndarray, steps: int
) -> np.ndarray:
    """Take moves from each row that make the score no worse; otherwise as ``anneal_scores``."""
    return _search(problem, n, space, rng, cells, steps, False)


def repaired(
    problem: Problem, n: int, space: Space, rng: np.ndarray, cells: np.ndarray
) -> np.ndarray:
    """Return each row without violations, filled up where that makes its score no worse."""
    bare, full = cells.copy(), cells.copy()
    repair_rows(space, rng, bare, full)
    if problem.must_be_full:
        return full
    better = problem.evaluate(full, n) >= problem.evaluate(bare, n)
    return np.where(better[:, None], full, bare)


def _search(
    problem: Problem,
    n: int,
    space: Space,
    rng: np.ndarray,
    cells: np.ndarray,
    steps: int,
    is_hot: bool,
) -> np.ndarray:
    draw = np.random.default_rng(rng.copy())
    held, score = cells, problem.evaluate(cells, n).astype(np.float64)
    best, top, start = held.copy(), score.copy(), 0.0
    for step in range(steps):
        if space.stop[0] != 0:
            break
        moved = held.copy()
        move_rows(space, rng, moved, problem.must_be_full)
        change = problem.evaluate(moved, n) - score
        if step == 0 and is_hot and change.any():
            start = float(np.median(np.abs(change[change != 0])))
        taken = change >= 0
        if start > 0:
            temperature = start * _COLD ** (step / steps)
            taken |= draw.random(len(held)) < np.exp(np.minimum(change, 0) / temperature)
        held = np.where(taken[:, None], moved, held)
        score = np.where(taken, score + change, score)
        better = score > top
        best[better], top[better] = held[better], score[better]
    return best


@njit
def repair_rows(space, rng, bare, full):
    """Take violations out of each packed row of both; fill those of ``full`` up."""
    state = new_state(space)
    order = np.empty(len(space.start) - 1, np.int32)
    for row in range(len(bare)):
        if space.stop[0] != 0:
            bare[row], full[row] = 0, 0
            continue
        clear(state)
        enter_cells(space, state, bare[row])
        repair(space, state, rng)
        keep_bits(state, bare[row])
        saturate(space, state, rng, order)
        keep_bits(state, full[row])


@njit
def move_rows(space, rng, cells, must_fill):
    """Make one random move from each packed row, a valid set, in place; fill up in any case?"""
    choices = len(space.start) - 1
    state, order = new_state(space), np.empty(choices, np.int32)
    gone = np.empty(_MOST_OUT, np.int32)
    for row in range(len(cells)):
        if space.stop[0] != 0:
            break
        clear(state)
        enter_cells(space, state, cells[row])
        fills = must_fill or below(rng, 8) < _FILLS
        out, brings = 1 + below(rng, _MOST_OUT if fills else 1), below(rng, 2) == 0
        if brings and (fills or below(rng, 2) == 0):
            out = 0
        out = min(out, state.totals[CHOICES])
        for i in range(out):
            gone[i] = state.chosen[below(rng, state.totals[CHOICES])]
            leave(space, state, gone[i])
        if brings and state.totals[CHOICES] < choices:
            _bring_in(space, state, rng)
        if fills:
            # What left comes back only where nothing else was in its way.
            left = 0
            for choice in range(choices):
                if state.position[choice] < 0 and not _among(choice, gone, out):
                    order[left] = choice
                    left += 1
            add_free(space, state, rng, order, left)
            add_free(space, state, rng, gone, out)
        keep_bits(state, cells[row])


@kernel
def _bring_in(space, state, rng):
    """Add a random absent choice and take out those it is in conflict with."""
    while True:
        wanted = below(rng, len(space.start) - 1)
        if state.position[wanted] < 0:
            break
    join(space, state, wanted)
    while state.totals[VIOLATIONS] > 0:
        worst, most, ties = wanted, np.int64(0), 0
        for i in range(state.totals[CHOICES]):
            choice = state.chosen[i]
            here = conflicts_removed(space, state, choice)
            if choice == wanted or here < most or here == 0:
                continue
            ties = ties + 1 if here == most else 1
            if here > most or below(rng, ties) == 0:
                worst, most = choice, here
        leave(space, state, worst)
        if worst == wanted:
            break


@kernel
def _among(choice, some, count):
    found = False
    for i in range(count):
        found = found or some[i] == choice
    return found

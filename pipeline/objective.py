"""What a construction is worth: its size, the weight of its elements, or a score of its own."""

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core.bitset import mismatch, popcounts, unpack
from pipeline.core.ground_set import GroundSet
from pipeline.errors import UsageError
from pipeline.plugin_files import plugin_errors

if TYPE_CHECKING:
    from pipeline.problem import Problem

#: A score below every other: of no construction at all.
LEAST = int(np.iinfo(np.int32).min)
_MOST = int(np.iinfo(np.int32).max)
# Constructions scored a second time, one by one, to see that a score depends on nothing else.
_PROBED = 4
# Constructions weighed at once, which bounds the memory.
_ROWS = 256


@lru_cache(maxsize=64)
def weights_of(problem: "Problem", n: int) -> np.ndarray:
    """Return what each element counts in a score that is a sum, int64 ``(m,)``; 1s for the size.

    Raises:
        PipelineError: not a whole number from 0 for each element, or more than int32 holds in all.
    """
    return _given_weights(problem, n, problem.ground(n).m)


def _given_weights(problem: "Problem", n: int, m: int) -> np.ndarray:
    with plugin_errors(f"weight({n}) of {problem.name}"):
        given = problem.weight(n)
        if given is None:
            return np.ones(m, np.int64)
        array = np.asarray(given)
        if array.shape != (m,) or array.dtype.kind not in "biu":
            raise mismatch("weight", f"{m} whole numbers, one for each element", array)
        if array.min() < 0 or array.astype(np.float64).sum() > _MOST:
            expected = "numbers from 0 with a sum that int32 holds"
            raise mismatch("weight", expected, f"{array.min()} .. {array.max()}")
    return array.astype(np.int64)


def keeping_weights(problem: "Problem", ground: GroundSet) -> GroundSet:
    """Return the ground set with those symmetries alone that take no element to a heavier one."""
    if problem.objective != "weight":
        return ground
    weights = _given_weights(problem, ground.n, ground.m)
    kept = (weights[ground.group] == weights).all(axis=1)
    place = np.cumsum(kept) - 1
    names = {
        name: tuple(int(place[seed]) for seed in seeds)
        for name, seeds in ground.class_names.items()
        if kept[list(seeds)].all()
    }
    alike = bool((weights == weights[0]).all())
    forms = ground.forms if alike else None
    how = {"graph": ground.graph and alike, "forms": forms, "class_names": names}
    return replace(ground, group=ground.group[kept], **how)


def sum_of_weights(problem: "Problem", cells: np.ndarray, n: int) -> np.ndarray:
    """Return the weight of each construction, int32 ``(B,)``: its size where none are given."""
    if problem.objective == "size":
        return popcounts(cells)
    weights, found = weights_of(problem, n), np.empty(len(cells), np.int32)
    for start in range(0, len(cells), _ROWS):
        some = slice(start, start + _ROWS)
        found[some] = unpack(cells[some], len(weights)) @ weights
    return found


def evaluate(problem: "Problem", cells: np.ndarray, n: int) -> np.ndarray:
    """Return the score of each construction, int32 ``(B,)``, checked.

    Raises:
        PipelineError: the problem's score raises, is no whole number, or depends on more than the
            construction.
    """
    if problem.objective != "score":
        return sum_of_weights(problem, cells, n)
    with plugin_errors(f"score of {problem.name} at n={n}"):
        found = _checked(problem.ask_score(cells, n), len(cells))
        if len(cells) and n not in problem.probed:
            problem.probed.add(n)
            for i in range(0, len(cells), max(len(cells) // _PROBED, 1)):
                again = int(_checked(problem.ask_score(cells[i : i + 1].copy(), n), 1)[0])
                if again != found[i]:
                    raise ValueError(
                        f"a construction has the score {found[i]} in a batch and {again} alone; "
                        "it must depend on the construction and on nothing else"
                    )
    return found


def _checked(given: Any, count: int) -> np.ndarray:
    array = np.asarray(given)
    if array.shape != (count,) or array.dtype.kind not in "biuf":
        raise mismatch("the score", f"{count} numbers, one for each construction", array)
    if array.dtype.kind == "f" and not (np.isfinite(array) & (array == np.rint(array))).all():
        wrong = array[~(np.isfinite(array) & (array == np.rint(array)))][0]
        raise ValueError(f"{wrong} is no whole number; round it, or scale it, as 1000 times it")
    if count and not LEAST < int(array.min()) <= int(array.max()) <= _MOST:
        raise ValueError(f"{array.min()} .. {array.max()} do not fit in int32; scale the score")
    return array.astype(np.int32)


def known(best: int) -> int | None:
    """Return a best score, None for ``LEAST``: there is none yet."""
    return None if best == LEAST else best


def score_text(problem: "Problem", score: int) -> str:
    """Write a score with its unit: "28 points", "weight 10"."""
    unit = unit_of(problem)
    if problem.objective != "size":
        return f"{unit} {score}"
    return f"{score} {unit.removesuffix('s') if score == 1 else unit}"


def unit_of(problem: "Problem") -> str:
    """Return what a score counts; its author's word, or "points", "weight" and "score"."""
    return problem.unit or {"size": "points"}.get(problem.objective, problem.objective)


def check_bounded(problem: "Problem", spec: str, n: int) -> None:
    """Refuse to prove a best score where nothing bounds it.

    Args:
        spec: what to call the problem on a command line.

    Raises:
        UsageError: the problem has a score that is no sum over the elements.
    """
    if problem.objective == "score":
        raise UsageError(
            f"{problem.name} has a score of its own, which exhaustive search cannot bound; look "
            f"for high scores with: pipeline search {spec} --n {n}"
        )

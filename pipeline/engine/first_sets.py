"""Good sets to begin an exhaustive search with, by short local searches."""

import numpy as np

from pipeline.core import bitset, streams
from pipeline.core.symmetry import find_whole_class, symmetry_classes
from pipeline.engine.arms import make_arms
from pipeline.engine.greedy import complete_many, greedy_many
from pipeline.engine.pieces import Planted, Question
from pipeline.engine.tasks import Task
from pipeline.problem import Problem

# Steps of a tabu search for each element, nodes of an exact cover, work of ruin and recreate.
_FIRST_STEPS, _FIRST_NODES, _FIRST_WORK = 100, 200_000, 20_000_000


def greedy_set(here: Planted) -> np.ndarray:
    cells = np.zeros((1, bitset.width(len(here.space.coords))), np.uint8)
    greedy_many(here.space, np.zeros(1, np.uint64), cells)
    return cells[0]


def first_tasks(problem: Problem, question: Question) -> list[Task]:
    """Return a short local search in every class whose sets have the symmetry asked for."""
    n = question.n
    ground = problem.ground(n)
    bounds = {"tabu": _FIRST_STEPS * ground.m, "cover": _FIRST_NODES, "ruin-recreate": _FIRST_WORK}
    asked = set(find_whole_class(ground, question.symmetry).elements)
    names = {cls.name for cls in symmetry_classes(ground) if asked <= set(cls.elements)}
    arms = dict.fromkeys(
        (arm.method, arm.symmetry)
        for arm in make_arms(problem, n)
        if arm.method in bounds and arm.symmetry in names and not arm.restricted
    )
    zeros = np.zeros((4, bitset.width(ground.m)), np.uint8)
    tasks = [
        Task(
            problem=question.problem,
            convention=question.convention,
            n=n,
            symmetry=symmetry,
            method=method,
            cells=zeros,
            rng=streams.state(0, 0, "search", i),
            bound=bounds[method],
        )
        for i, (method, symmetry) in enumerate(arms)
    ]
    # Those with fewest orbits first: they take a moment, and time may be short.
    return sorted(tasks, key=lambda task: -find_whole_class(ground, task.symmetry).order)


def symmetric(here: Planted, cells: np.ndarray) -> np.ndarray:
    """Return the sets without what is in no whole orbit of the symmetry, made maximal again."""
    space = here.space
    inside = bitset.unpack(cells, len(space.coords))
    whole = np.minimum.reduceat(inside[:, space.elements], space.start[:-1], axis=1)
    kept = np.zeros_like(inside)
    kept[:, space.elements] = np.repeat(whole, np.diff(space.start), axis=1)
    found = bitset.pack(kept)
    complete_many(space, np.zeros(1, np.uint64), found)
    return found

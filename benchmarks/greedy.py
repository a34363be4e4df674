"""Greedy constructions per second: valid, scored and stored, against one object per grid.

    python benchmarks/greedy.py

Isosceles in the both-mirrors class, one core. "ours" makes a Population: greedy sets, checked
and scored by the independent validator from their raw cells, packed, equal ones kept. "objects"
is the plain way to write it, one Python object per grid whose inner loops are compiled; "kernel"
is our greedy kernel alone. Each figure is the median of rounds in which the three take turns.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
from numba import njit

from pipeline.core.bitset import width
from pipeline.core.population import Population
from pipeline.core.symmetry import find_class
from pipeline.engine.greedy import greedy_many
from pipeline.engine.space import make_space
from pipeline.plugins import load_problem

#: Measured on a 2-core machine like the one of RESULTS.md: the strongest peer's own class.
PEER = {16: 9_800, 32: 4_800, 64: 830}
ROUNDS = 7


@njit(cache=True)
def closes(points, count, r, c):
    """Tell whether (r, c) closes an isosceles triangle with two of the points."""
    for i in range(count):
        d = (points[i, 0] - r) ** 2 + (points[i, 1] - c) ** 2
        if d == 0:
            return True
        for j in range(count):
            if i != j:
                side = (points[i, 0] - points[j, 0]) ** 2 + (points[i, 1] - points[j, 1]) ** 2
                if side == d:
                    return True
                if j > i and (points[j, 0] - r) ** 2 + (points[j, 1] - c) ** 2 == d:
                    return True
    return False


class Board:
    """One construction as an object, filled greedily by orbits of both mirrors."""

    def __init__(self, n: int, rng: np.random.Generator) -> None:
        """Fill a board of side n."""
        self.points, self.count = np.empty((n * n, 2), np.int64), 0
        e, half = n - 1, n // 2
        for cell in rng.permutation(half * half):
            r, c = divmod(int(cell), half)
            before = self.count
            for x, y in ((r, c), (e - r, c), (r, e - c), (e - r, e - c)):
                if closes(self.points, self.count, x, y):
                    self.count = before
                    break
                self.points[self.count] = x, y
                self.count += 1

    def score(self) -> int:
        """Return the number of points, -1 for an invalid board."""
        for k in range(self.count):
            if closes(self.points, k, *self.points[k]):
                return -1
        return self.count


def rate(work: Callable[[int], object], count: int) -> float:
    """Return how many a second ``work(count)`` makes."""
    start = time.process_time()
    work(count)
    return count / (time.process_time() - start)


def main() -> None:
    """Print the table."""
    problem = load_problem("isosceles")
    print(
        "| n | ours, /s | kernel, /s | objects, /s | ours / kernel | ours / objects | ours / peer |"
    )
    print("|---|---|---|---|---|---|---|")
    for n, count in ((16, 40_000), (32, 12_000), (64, 3_000)):
        m = problem.ground(n).m
        space = make_space(problem, n, find_class(problem.ground(n), "both-mirrors"))
        state, rng = np.array([1], np.uint64), np.random.default_rng(1)

        def kernel(k: int, space=space, state=state, m=m) -> np.ndarray:
            cells = np.zeros((k, width(m)), np.uint8)
            greedy_many(space, state, cells)
            return cells

        def ours(k: int, n=n, m=m, kernel=kernel) -> Population:
            cells = kernel(k)
            assert problem.validate(cells, n).all()
            return Population.build(n, m, cells, problem.score(cells, n))

        def objects(k: int, n=n, rng=rng) -> list[Board]:
            boards = [Board(n, rng) for _ in range(k)]
            assert min(board.score() for board in boards) > 0
            return boards

        for work in (ours, objects):
            work(20)
        rates = [
            (rate(ours, count), rate(kernel, count), rate(objects, max(count // 200, 10)))
            for _ in range(ROUNDS)
        ]
        a, b, c = (statistics.median(column) for column in zip(*rates, strict=True))
        to_kernel = statistics.median(x / y for x, y, _ in rates)
        to_objects = statistics.median(x / z for x, _, z in rates)
        print(
            f"| {n} | {a:,.0f} | {b:,.0f} | {c:,.0f} | {to_kernel:.2f} | {to_objects:.0f} "
            f"| {a / PEER[n]:.1f} |"
        )


if __name__ == "__main__":
    main()

"""Oracles: what is forbidden, said as slowly and obviously as possible, from coordinates alone."""

from collections.abc import Callable, Sequence
from itertools import combinations, permutations

import numpy as np

Point = tuple[int, ...]
Points = Sequence[Point]


def distance2(a: Point, b: Point) -> int:
    """Return the squared distance of two points."""
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def on_a_line(a: Point, b: Point, c: Point) -> bool:
    """Tell whether the triangle abc has no area."""
    return (b[0] - a[0]) * (c[1] - a[1]) == (b[1] - a[1]) * (c[0] - a[0])


def isosceles(a: Point, b: Point, c: Point) -> bool:
    """Tell whether some corner is as far from one of the others as from the other."""
    return any(distance2(p, q) == distance2(p, r) for p, q, r in permutations((a, b, c)))


def no_isosceles(points: Points) -> bool:
    """Tell whether no three points form an isosceles triangle, be it flat or not."""
    return not any(isosceles(*three) for three in combinations(points, 3))


def no_isosceles_but_flat(points: Points) -> bool:
    """Tell whether no three points form an isosceles triangle that has an area."""
    return not any(isosceles(*t) and not on_a_line(*t) for t in combinations(points, 3))


def no_three_in_line(points: Points) -> bool:
    """Tell whether no three points lie on a line."""
    return not any(on_a_line(*three) for three in combinations(points, 3))


def no_four_cycle(edges: Points) -> bool:
    """Tell whether no four of these edges (pairs of vertices) close a cycle, in any order."""
    known = {frozenset(edge) for edge in edges}
    vertices = sorted({vertex for edge in edges for vertex in edge})
    return not any(
        {frozenset(e) for e in ((a, b), (b, c), (c, d), (d, a))} <= known
        for a, b, c, d in permutations(vertices, 4)
    )


def determinant(rows: Sequence[Sequence[int]]) -> int:
    """Return the determinant of a square matrix by its first row, exactly."""
    if len(rows) == 2:
        return rows[0][0] * rows[1][1] - rows[0][1] * rows[1][0]
    minors = [[[*row[:i], *row[i + 1 :]] for row in rows[1:]] for i in range(len(rows))]
    terms = [x and x * determinant(m) for x, m in zip(rows[0], minors, strict=True)]
    return sum(terms[::2]) - sum(terms[1::2])


def on_a_sphere(points: Points) -> bool:
    """Tell whether d + 2 points of d-space are on a common sphere or hyperplane.

    Such a sphere through the origin is a |p|^2 + b . p = 0: d + 1 equations for a and b.
    """
    moved = [[x - y for x, y in zip(p, points[0], strict=True)] for p in points[1:]]
    return determinant([[*p, sum(x * x for x in p)] for p in moved]) == 0


def no_four_on_a_circle(points: Points) -> bool:
    """Tell whether no four points of the plane lie on a circle or line."""
    return not any(on_a_sphere(four) for four in combinations(points, 4))


def no_five_on_a_sphere(points: Points) -> bool:
    """Tell whether no five points of space lie on a sphere or plane."""
    return not any(on_a_sphere(five) for five in combinations(points, 5))


def forbidden_sets(points: Points, arity: int, valid: Callable[[Points], bool]) -> np.ndarray:
    """Return the forbidden configurations as rows of element indices, int64 ``(F, arity)``.

    For problems whose configurations all have ``arity`` elements.
    """
    rows = [s for s in combinations(range(len(points)), arity) if not valid([points[v] for v in s])]
    return np.array(rows, np.int64).reshape(-1, arity)


def border_band(coords: np.ndarray, width: int) -> np.ndarray:
    """Return bool ``(m,)``: the elements at most ``width - 1`` steps from the border."""
    low, high = coords.min(axis=0), coords.max(axis=0)
    return np.minimum(coords - low, high - coords).min(axis=1) < width

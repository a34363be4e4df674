"""The problems that ship, and a weighted one, in ten lines of plain Python each."""

from itertools import combinations, permutations, product

import numpy as np

from pipeline import Problem, WordProblem


class Grid(Problem):
    def elements(self, n):
        return [(x, y) for x in range(n) for y in range(n)]


class Cube(Problem):
    def elements(self, n):
        return list(product(range(n), repeat=3))


class Graph(Problem):
    smallest = 2

    def elements(self, n):
        return [(a, b) for b in range(n) for a in range(b)]

    def symmetries(self, n):
        swap, turn = {0: 1, 1: 0}, {v: (v + 1) % n for v in range(n)}
        return [lambda e, to=to: sorted(to.get(v, v) for v in e) for to in (swap, turn)]


class Numbers(Problem):
    def elements(self, n):
        return range(1, n + 1)


# ------------------------------------------------------------------------------ plane and space


class Isosceles(Grid):
    def forbidden(self, a, b, c):
        return is_apex(a, b, c) or is_apex(b, a, c) or is_apex(c, a, b)


class IsoscelesFlatAllowed(Grid):
    def forbidden(self, a, b, c):
        return not is_flat(a, b, c) and (is_apex(a, b, c) or is_apex(b, a, c) or is_apex(c, a, b))


class Lines(Grid):
    def forbidden(self, a, b, c):
        return is_flat(a, b, c)


class Circles(Grid):
    def forbidden(self, a, b, c, d):
        return volume(lifted(a, d), lifted(b, d), lifted(c, d)) == 0


class Planes(Cube):
    def forbidden(self, a, b, c, d):
        return volume(minus(a, d), minus(b, d), minus(c, d)) == 0


class Spheres(Cube):
    def forbidden(self, a, b, c, d, e):
        p, q, r, s = minus(a, e), minus(b, e), minus(c, e), minus(d, e)
        one = squared(p) * volume(q, r, s) - squared(q) * volume(p, r, s)
        return one == squared(s) * volume(p, q, r) - squared(r) * volume(p, q, s)


def is_apex(a, b, c):
    return (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 == (a[0] - c[0]) ** 2 + (a[1] - c[1]) ** 2


def is_flat(a, b, c):
    return (b[0] - a[0]) * (c[1] - a[1]) == (b[1] - a[1]) * (c[0] - a[0])


def lifted(a, b):
    x, y = a[0] - b[0], a[1] - b[1]
    return x, y, x * x + y * y


def minus(a, b):
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


def squared(p):
    return p[0] * p[0] + p[1] * p[1] + p[2] * p[2]


def volume(p, q, r):
    x, y, z = q[1] * r[2] - q[2] * r[1], q[2] * r[0] - q[0] * r[2], q[0] * r[1] - q[1] * r[0]
    return p[0] * x + p[1] * y + p[2] * z


# ------------------------------------------------------------------------- numbers and vectors


class Progressions(Numbers):
    def forbidden(self, a, b, c):
        low, high = min(a[0], b[0], c[0]), max(a[0], b[0], c[0])
        return 3 * (low + high) == 2 * (a[0] + b[0] + c[0])


class Sidon(Numbers):
    def forbidden(self, a, b, c, d):
        half = a[0] + b[0] + c[0] + d[0]
        return 2 * (a[0] + b[0]) == half or 2 * (a[0] + c[0]) == half or 2 * (a[0] + d[0]) == half

    def forbidden_three(self, a, b, c):
        return 3 * a[0] == a[0] + b[0] + c[0] or 2 * b[0] == a[0] + c[0] or 2 * c[0] == a[0] + b[0]


class SidonModulo(Problem):
    def elements(self, n):
        return range(n)

    def forbidden(self, a, b, c, d, n):
        p, q, r = a[0] - b[0], a[0] - c[0], a[0] - d[0]
        return (p + q - r) % n == 0 or (p + r - q) % n == 0 or (q + r - p) % n == 0

    def forbidden_three(self, a, b, c, n):
        return is_middle(a, b, c, n) or is_middle(b, c, a, n) or is_middle(c, a, b, n)

    def forbidden_two(self, a, b, n):
        return 2 * (a[0] - b[0]) % n == 0


def is_middle(a, b, c, n):
    return (b[0] + c[0] - 2 * a[0]) % n == 0


class Caps(Problem):
    def elements(self, n):
        return list(product(range(3), repeat=n))

    def forbidden(self, a, b, c):
        return ((a + b + c) % 3 == 0).all()

    def symmetries(self, n):
        return [lambda p, i=i: (*p[:i], -p[i] % 3, *p[i + 1 :]) for i in range(n)]


class Corners(Grid):
    def forbidden(self, a, b, c):
        return is_corner(a, b, c) or is_corner(b, c, a) or is_corner(c, a, b)


def is_corner(a, b, c):
    x, y = b[0] - a[0], b[1] - a[1]
    return x * y == 0 and c[0] - a[0] == y and c[1] - a[1] == x


# --------------------------------------------------------------------------------------- graphs


class FourCycles(Graph):
    def forbidden(self, a, b, c, d):
        return is_cycle((a, b, c, d))


class ShortCycles(FourCycles):
    def forbidden_three(self, a, b, c):
        return is_cycle((a, b, c))


def is_cycle(edges):
    for edge in edges:
        for vertex in edge:
            degree = 0
            for other in edges:
                degree += (other[0] == vertex) + (other[1] == vertex)
            if degree != 2:
                return False
    return True


# --------------------------------------------------------------------------- weights and scores


class WeightedPath(Problem):
    def elements(self, n):
        return range(n)

    def forbidden(self, a, b):
        return abs(a[0] - b[0]) == 1

    def weight(self, n):
        return np.resize((1, 10, 1, 1, 10, 1), n)


class Permanents(Grid):
    def forbidden(self, a, b, c):
        rising = is_312(a, b, c) or is_312(b, c, a) or is_312(c, a, b)
        return rising or is_312(a, c, b) or is_312(b, a, c) or is_312(c, b, a)

    def score(self, cells, n):
        rows = self.bits(cells, n).reshape(-1, n, n)
        return sum(rows[:, range(n), columns].all(axis=1) for columns in permutations(range(n)))


def is_312(a, b, c):
    return a[0] < b[0] < c[0] and b[1] < c[1] < a[1]


class Colourings(WordProblem):
    alphabet = "RB"
    smallest = 3

    def length(self, n):
        return n * (n - 1) // 2

    def score(self, words, n):
        edge = {pair: i for i, pair in enumerate((a, b) for b in range(n) for a in range(b))}
        cliques = [(k, some) for k in (3, 4) for some in combinations(range(n), k)]
        inside = [(k, [edge[pair] for pair in combinations(some, 2)]) for k, some in cliques]
        return sum((words[:, edges] != k - 3).any(axis=1) for k, edges in inside)

    def symmetries(self, n):
        def moved(image):
            pairs = [(a, b) for b in range(n) for a in range(b)]
            return lambda p: (pairs.index(tuple(sorted(map(image, pairs[p[0]])))), p[1])

        return [moved(lambda v: (v + 1) % n), moved(lambda v: n - 1 - v)]


class Trees(WordProblem):
    smallest = 3

    def length(self, n):
        return n - 1

    def letters(self, n):
        return range(n - 1)

    def symmetries(self, n):
        return []

    def score(self, words, n):
        sets, found = np.arange(2**n)[:, None] >> np.arange(n) & 1, []
        for word in words:
            has_edge = sets[:, 1:] & sets[:, word % np.arange(1, n)]
            i = np.bincount(sets[~has_edge.any(axis=1)].sum(axis=1))
            last = [k for k in range(1, len(i) - 1) if k >= 0.9 * (len(i) - 1)]
            found.append(max((i[k - 1] * i[k + 1] / i[k] ** 2 for k in last), default=0) - 1)
        return np.rint(100_000 * np.array(found)).astype(int)

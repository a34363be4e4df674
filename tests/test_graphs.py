"""Graphs: the problems on them, their values by brute force, isomorphism, and graph6."""

from itertools import combinations, pairwise, permutations
from math import factorial

import numpy as np
import pytest

from pipeline.core import bitset
from pipeline.core.graph_forms import MOST, graph_forms
from pipeline.core.ground_set import GroundSet
from pipeline.core.symmetry import canonical, stabiliser_names, stabiliser_orders
from pipeline.plugins import load_problem
from pipeline.testing import ProblemContract
from problems.graph import edges, on_edges


def cycles(edge_list, lengths):
    """Tell whether a graph has a cycle of one of these lengths: all orders of all vertices."""
    graph = {frozenset(edge) for edge in edge_list}
    vertices = sorted(set().union(*graph)) if graph else []
    return any(
        all(frozenset((row[i - 1], row[i])) in graph for i in range(k))
        for k in lengths
        for row in permutations(vertices, k)
    )


class TestFourCycleFree(ProblemContract):
    problem = "four-cycle-free"
    sizes = (2, 3, 4, 5)

    def is_valid(self, n, points):
        return not cycles(points, [4])


class TestGirthFive(ProblemContract):
    problem = "girth-5"
    sizes = (2, 3, 4, 5)

    def is_valid(self, n, points):
        return not cycles(points, [3, 4])


def every_graph(n):
    """Return all graphs on n vertices, packed."""
    m = n * (n - 1) // 2
    return bitset.pack((np.arange(2**m)[:, None] >> np.arange(m) & 1).astype(np.bool_))


@pytest.mark.parametrize("name", ["four-cycle-free", "girth-5"])
@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_the_best_known_values_of_few_vertices_are_those_of_all_graphs(name, n):
    problem, cells = load_problem(name), every_graph(n)
    valid = problem.validate(cells, n)
    lengths = [4] if name == "four-cycle-free" else [3, 4]
    coords = problem.ground(n).coords
    for row in np.random.default_rng(1).choice(len(cells), 60):
        edge_list = coords[bitset.points(cells[row], len(coords))].tolist()
        assert valid[row] == (not cycles(edge_list, lengths))
    known = problem.known(n)
    assert known is not None
    assert known.proved
    assert known.value == problem.score(cells[valid], n).max()


@pytest.mark.parametrize("name", ["four-cycle-free", "girth-5"])
def test_the_best_known_values_rise_with_n_by_no_more_than_a_vertex_can_bring(name):
    problem = load_problem(name)
    found = [problem.known(n) for n in range(2, 60)]
    values = [known.value for known in found if known is not None]
    assert problem.known(1) is None
    assert [known is not None for known in found] == [k < len(values) for k in range(58)]
    for n, (smaller, larger) in enumerate(pairwise(values), start=3):
        # Without a vertex of least degree there are at most as many edges as on n - 1 vertices.
        assert smaller <= larger <= smaller + 2 * larger // n


# ------------------------------------------------------------------------------- isomorphism


@pytest.mark.parametrize(("n", "classes"), [(2, 2), (3, 4), (4, 11), (5, 34), (6, 156)])
def test_forms_are_equal_for_isomorphic_graphs_alone(n, classes):
    """The numbers of graphs are OEIS A000088."""
    cells = every_graph(n)
    forms, orders = graph_forms(cells, edges(n), n)
    least, first, of, many = np.unique(
        forms, axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    assert len(least) == classes
    assert (orders == orders[first][of]).all()
    assert (many * orders[first] == factorial(n)).all()
    assert (graph_forms(least, edges(n), n)[0] == least).all()
    for row in np.random.default_rng(2).choice(len(cells), 20):
        images = on_edges(np.array(list(permutations(range(n)))))
        members = bitset.unpack(cells[row][None], len(edges(n)))[0]
        moved = bitset.pack(members[np.argsort(images, axis=1)])
        assert (np.unique(forms[of == of[row]], axis=0) == forms[row]).all()
        assert set(map(bytes, moved)) == set(map(bytes, cells[of == of[row]]))


def petersen():
    """Return the edges of Petersen's graph: pairs of five that are disjoint."""
    pairs = list(combinations(range(5), 2))
    return [(i, j) for i, j in combinations(range(10), 2) if not {*pairs[i]} & {*pairs[j]}]


def moore():
    """Return the edges of the Hoffman-Singleton graph, by Robertson's pentagons."""
    found = []
    for h, j in np.ndindex(5, 5):
        found.append((5 * h + j, 5 * h + (j + 1) % 5))
        found.append((25 + 5 * h + j, 25 + 5 * h + (j + 2) % 5))
        found += [(5 * h + j, 25 + 5 * i + (h * i + j) % 5) for i in range(5)]
    return found


SYMMETRIC = {
    "petersen": (10, petersen(), 120),
    "hoffman-singleton": (50, moore(), 252_000),
    "five-petersens": (
        50,
        [(10 * k + a, 10 * k + b) for k in range(5) for a, b in petersen()],
        120**5 * 120,
    ),
    "no-edges": (12, [], factorial(12)),
    "star": (40, [(0, i) for i in range(1, 40)], MOST),
    "twins": (9, [(0, i) for i in range(2, 6)] + [(1, i) for i in range(2, 6)], 2 * 24 * 6),
    "rook": (
        25,
        [(a, b) for a, b in combinations(range(25), 2) if a // 5 == b // 5 or a % 5 == b % 5],
        2 * 120**2,
    ),
}


@pytest.mark.parametrize("name", SYMMETRIC)
def test_forms_and_groups_of_symmetric_graphs(name):
    n, edge_list, order = SYMMETRIC[name]
    rng = np.random.default_rng(3)
    moved = on_edges(np.stack([np.arange(n), *(rng.permutation(n) for _ in range(5))]))
    index = {tuple(edge): i for i, edge in enumerate(edges(n).tolist())}
    graph = [index[min(a, b), max(a, b)] for a, b in edge_list]
    cells = bitset.from_points([np.sort(row[graph]).astype(np.int32) for row in moved], len(index))
    forms, orders = graph_forms(cells, edges(n), n)
    assert (forms == forms[0]).all()
    assert (bitset.popcounts(forms) == len(edge_list)).all()
    assert orders.tolist() == [order] * 6


def test_graphs_that_colours_do_not_tell_apart():
    """Both are regular of degree 2, so that refinement of colours alone sees no difference."""
    hexagon = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0)]
    triangles = [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)]
    index = {tuple(edge): i for i, edge in enumerate(edges(6).tolist())}
    rows = [
        np.array(sorted(index[min(e), max(e)] for e in g), np.int32) for g in (hexagon, triangles)
    ]
    forms, orders = graph_forms(bitset.from_points(rows, 15), edges(6), 6)
    assert (forms[0] != forms[1]).any()
    assert orders.tolist() == [12, 72]


def test_a_ground_set_of_graphs_goes_by_isomorphism():
    ground = load_problem("four-cycle-free").ground(5)
    path, other = np.array([0, 1], np.int32), np.array([5, 8], np.int32)  # both of two edges
    assert ground.coords[path].tolist() == [[0, 1], [0, 2]]
    assert ground.coords[other].tolist() == [[2, 3], [2, 4]]
    cells = bitset.from_points([path, other], ground.m)
    forms = canonical(cells, ground)
    assert (forms[0] == forms[1]).all()
    assert stabiliser_orders(cells, ground).tolist() == [4, 4]
    assert stabiliser_names(cells, ground) == ["order-4", "order-4"]


def test_a_problem_may_have_canonical_forms_of_its_own():
    def sizes_alone(cells):
        return np.sort(cells, axis=1), np.full(len(cells), 7)

    ground = GroundSet(16, np.arange(16)[:, None], np.arange(16)[None], forms=sizes_alone)
    cells = np.array([[1, 2], [2, 1]], np.uint8)
    assert canonical(cells, ground).tolist() == [[1, 2], [1, 2]]
    assert stabiliser_orders(cells, ground).tolist() == [7, 7]


def test_a_graph_needs_all_pairs_of_its_vertices():
    with pytest.raises(ValueError, match="all pairs a < b of 4 vertices"):
        GroundSet(4, edges(4)[:-1], np.arange(5)[None], graph=True)

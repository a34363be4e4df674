"""Symmetry: group actions, classes and canonical forms against Python sets of Python tuples."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import bitset, permutation_group, symmetry
from pipeline.core.ground_set import GroundSet, close_group
from pipeline.core.symmetry import find_class, symmetry_classes
from pipeline.errors import UsageError

# The first call of a kernel compiles it, which no deadline should count.
compiled_on_first_call = settings(deadline=None)


def square_grid(n, named=True):
    """Return the n x n grid under the dihedral group of the square, its classes named."""
    row, column = np.divmod(np.arange(n * n), n)
    last = n - 1
    generators = {
        "one mirror": (row, last - column),
        "other mirror": (last - row, column),
        "diagonal": (column, row),
        "antidiagonal": (last - column, last - row),
        "half turn": (last - row, last - column),
        "quarter turn": (column, last - row),
    }
    maps = {key: (r * n + c).astype(np.int32) for key, (r, c) in generators.items()}
    group = close_group(np.stack([maps["quarter turn"], maps["one mirror"]]))
    index = {key: int(np.flatnonzero((group == p).all(axis=1))[0]) for key, p in maps.items()}
    named_seeds = {
        "one mirror": ["one mirror"],
        "diagonal": ["diagonal"],
        "half turn": ["half turn"],
        "quarter turn": ["quarter turn"],
        "both mirrors": ["one mirror", "other mirror"],
        "both diagonals": ["diagonal", "antidiagonal"],
    }
    names = {name: tuple(index[key] for key in keys) for name, keys in named_seeds.items()}
    coords = np.stack([row, column], axis=1).astype(np.int32)
    return GroundSet(n, coords, group, names if named else {})


def cube_cells():
    """Return the 27 cells of a cube under its 48 symmetries."""
    coords = np.array(list(itertools.product(range(3), repeat=3)))
    flipped = np.concatenate([2 - coords[:, :1], coords[:, 1:]], axis=1)
    images = [coords[:, [1, 2, 0]], coords[:, [1, 0, 2]], flipped]
    return GroundSet(3, coords.astype(np.int32), close_group(np.array(images) @ [9, 3, 1]))


def complete_graph(k):
    """Return the edges of K_k under all permutations of the vertices."""
    edges = list(itertools.combinations(range(k), 2))
    place = {edge: i for i, edge in enumerate(edges)}
    vertex_maps = [[1, 0, *range(2, k)], [*range(1, k), 0]]
    images = [[place[min(s[a], s[b]), max(s[a], s[b])] for a, b in edges] for s in vertex_maps]
    return GroundSet(k, np.array(edges, np.int32), close_group(np.array(images)))


def polygon(n):
    """Return the corners of a regular n-gon under the dihedral group of order 2n."""
    corner = np.arange(n, dtype=np.int32)
    group = close_group(np.stack([(corner + 1) % n, -corner % n]))
    return GroundSet(n, corner[:, None], group)


def disjoint_swaps(k):
    """Return k pairs of elements, each swapped on its own: an elementary abelian group."""
    element = np.arange(2 * k, dtype=np.int32)
    swaps = [np.where(element // 2 == i, element ^ 1, element) for i in range(k)]
    return GroundSet(k, element[:, None], close_group(np.stack(swaps)))


GROUNDS = {
    "square of side 1": square_grid(1),
    "square of side 3": square_grid(3),
    "square of side 4": square_grid(4),
    "cube": cube_cells(),
    "graph on 5": complete_graph(5),
    "pentagon": polygon(5),
}


@st.composite
def constructions(draw):
    """Return a ground set and a few subsets of it."""
    ground = GROUNDS[draw(st.sampled_from(sorted(GROUNDS)))]
    members = st.sets(st.integers(0, ground.m - 1))
    return ground, draw(st.lists(members, min_size=1, max_size=4))


def packed(sets, m):
    return bitset.from_points([np.array(sorted(members), np.int64) for members in sets], m)


def as_set(row, m):
    return frozenset(bitset.points(row, m).tolist())


def images(ground, members):
    """Return the image of a set under each group element, as sets."""
    return [frozenset(int(permutation[v]) for v in members) for permutation in ground.group]


def compose(a, b):
    return tuple(a[v] for v in b)


def classes_by_brute_force(ground):
    """Return the number of conjugacy classes of subsets closed under multiplication."""
    group = [tuple(row) for row in ground.group.tolist()]
    rest = group[1:]
    seen = set()
    classes = 0
    for size in range(len(group)):
        if len(group) % (size + 1):
            continue
        for others in itertools.combinations(rest, size):
            subset = frozenset([group[0], *others])
            if subset in seen or any(compose(a, b) not in subset for a in others for b in others):
                continue
            classes += 1
            for x in group:
                undo = tuple(np.argsort(x).tolist())
                seen.add(frozenset(compose(compose(x, h), undo) for h in subset))
    return classes


def test_a_group_is_closed_and_starts_with_the_identity():
    for ground in GROUNDS.values():
        rows = [tuple(row) for row in ground.group.tolist()]
        assert rows[0] == tuple(range(ground.m))
        assert len(set(rows)) == len(rows)
        assert {compose(a, b) for a in rows for b in rows[:9]} == set(rows)
    assert [len(ground.group) for ground in GROUNDS.values()] == [1, 8, 8, 48, 120, 10]


def test_no_generators_generate_the_identity_alone():
    assert close_group(np.empty((0, 3), np.int32)).tolist() == [[0, 1, 2]]


def test_a_group_beyond_the_limit_is_refused():
    cycle = np.roll(np.arange(9), 1)[None]
    assert len(close_group(cycle, limit=9)) == 9
    with pytest.raises(ValueError, match="at most 8 elements"):
        close_group(cycle, limit=8)


@pytest.mark.parametrize("generators", [[[0, 0]], [[1, 2]], [0, 1], [[0.0, 1.0]]])
def test_generators_must_be_permutations(generators):
    with pytest.raises(ValueError, match="generators: expected"):
        close_group(np.array(generators))


ONE = np.zeros((1, 1), np.int32)
TWO = np.array([[0], [1]], np.int32)
STAY = np.array([[0, 1]], np.int32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, ONE, ONE), "n: expected an integer from 1, got 0"),
        ((2, TWO.astype(float), STAY), r"coords: expected int32 .* got float64 \(2, 1\)"),
        ((2, TWO[:, 0], STAY), "coords: expected int32"),
        ((2, TWO[:0], STAY), "coords: expected int32"),
        ((2, TWO * 0, STAY), "coords: expected distinct rows"),
        ((2, TWO, STAY.astype(float)), r"group: expected int32 \(g, 2\), got float64 \(1, 2\)"),
        ((2, TWO, ONE), r"group: expected int32 \(g, 2\), got int32 \(1, 1\)"),
        ((2, TWO, STAY[:, ::-1]), "group: expected the identity as row 0"),
        ((2, TWO, np.array([[0, 1], [1, 1]], np.int32)), "group: expected permutations.*row 1"),
        ((2, TWO, np.array([[0, 1], [1, 2]], np.int32)), "group: expected permutations.*row 1"),
        ((2, TWO, STAY, {"swap": (1,)}), r"class_names\['swap'\]: expected indices in 0 \.\. 0"),
    ],
)
def test_a_ground_set_names_the_argument_that_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        GroundSet(*arguments)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[0, 1, 2], [1, 2, 0]], "closed"),
        ([[0, 1, 2], [1, 0, 2], [1, 0, 2]], "distinct rows"),
        ([[0, 1, 2], [1, 0, 2], [0, 2, 1]], "closed"),
    ],
)
def test_rows_that_are_no_group_are_refused_when_used_as_one(rows, message):
    ground = GroundSet(3, np.arange(3, dtype=np.int32)[:, None], np.array(rows, np.int32))
    with pytest.raises(ValueError, match=message):
        symmetry_classes(ground)


@pytest.mark.parametrize("n", [2, 3, 4, 9])
def test_the_square_has_its_eight_classes(n):
    classes = symmetry_classes(square_grid(n))
    assert [cls.order for cls in classes] == [1, 2, 2, 2, 4, 4, 4, 8]
    assert classes[0].name == "trivial"
    assert classes[-1].name == "all"
    assert {cls.name for cls in classes[1:4]} == {"one mirror", "diagonal", "half turn"}
    assert {cls.name for cls in classes[4:7]} == {"both mirrors", "both diagonals", "quarter turn"}


def test_classes_without_a_name_are_counted_within_their_order():
    names = [cls.name for cls in symmetry_classes(square_grid(4, named=False))]
    assert names[:4] == ["trivial", "order-2-1", "order-2-2", "order-2-3"]
    assert names[4:] == ["order-4-1", "order-4-2", "order-4-3", "all"]


def test_a_name_keeps_its_own_subgroup_not_a_conjugate():
    ground = square_grid(3, named=False)
    mirrors = [
        i for i in range(8) if len(set(ground.group[i])) == 9 and (i and order(ground, i) == 2)
    ]
    for i in mirrors:
        named = GroundSet(3, ground.coords, ground.group, {"mine": (i,)})
        assert find_class(named, "mine").elements == (0, i)
        assert len(symmetry_classes(named)) == 8


def order(ground, i):
    power, count = ground.group[i], 1
    while (power != ground.group[0]).any():
        power, count = ground.group[i][power], count + 1
    return count


def test_names_of_one_class_give_way_to_the_first():
    ground = square_grid(1)
    assert [(cls.name, cls.elements) for cls in symmetry_classes(ground)] == [("trivial", (0,))]
    square = square_grid(3)
    twice = {"first": square.class_names["diagonal"], "second": square.class_names["diagonal"]}
    names = [c.name for c in symmetry_classes(GroundSet(3, square.coords, square.group, twice))]
    assert "first" in names
    assert "second" not in names


def test_a_name_of_another_class_is_refused():
    square = square_grid(3)
    wrong = GroundSet(3, square.coords, square.group, {"trivial": square.class_names["diagonal"]})
    with pytest.raises(ValueError, match="'trivial'"):
        symmetry_classes(wrong)


def test_known_numbers_of_classes():
    assert len(symmetry_classes(cube_cells())) == 33
    assert len(symmetry_classes(complete_graph(5))) == 19


@pytest.mark.parametrize("n", [3, 4, 5, 6, 7])
def test_classes_of_small_dihedral_groups_match_brute_force(n):
    ground = polygon(n)
    assert len(symmetry_classes(ground)) == classes_by_brute_force(ground)


@pytest.mark.parametrize("n", range(3, 33))
def test_classes_of_dihedral_groups_follow_the_divisors(n):
    # One cyclic class for each divisor; dihedral subgroups of index d: one class, two if d is even.
    divisors = [d for d in range(1, n + 1) if n % d == 0]
    expected = len(divisors) + sum(2 - d % 2 for d in divisors)
    assert len(symmetry_classes(polygon(n))) == expected


def test_a_large_group_offers_cyclic_named_trivial_and_whole():
    plain = complete_graph(6)
    assert len(plain.group) == 720 > permutation_group.MAX_ORDER
    # S_6: cyclic subgroups up to conjugacy are the 11 cycle types.
    assert len(symmetry_classes(plain)) == 12
    involutions = [i for i in range(720) if order(plain, i) == 2]
    commuting = next(
        (a, b)
        for a, b in itertools.combinations(involutions, 2)
        if compose(plain.group[a], plain.group[b]) == compose(plain.group[b], plain.group[a])
    )
    names = {"four group": commuting, "whole": tuple(range(720))}
    named = GroundSet(6, plain.coords, plain.group, names)
    classes = symmetry_classes(named)
    assert len(classes) == 13
    assert find_class(named, "four group").order == 4
    assert classes[-1].name == "whole"


def test_a_group_with_very_many_subgroups_falls_back_to_cyclic_ones():
    # Z_2^6 has 2825 subgroups and 63 involutions.
    assert len(symmetry_classes(disjoint_swaps(6))) == 1 + 63 + 1
    assert len(symmetry_classes(disjoint_swaps(4))) == 67


def test_only_the_named_classes_are_listed_where_the_ground_set_says_so():
    swaps = disjoint_swaps(6)
    names = {"two": (1, 2), "none": (0,)}
    ground = GroundSet(swaps.n, swaps.coords, swaps.group, names, only_named=True)
    classes = symmetry_classes(ground)
    assert [(cls.name, cls.order) for cls in classes] == [("trivial", 1), ("two", 4), ("all", 64)]


@pytest.mark.parametrize("name", sorted(GROUNDS))
def test_classes_are_subgroups_in_order_and_found_by_name(name):
    ground = GROUNDS[name]
    classes = symmetry_classes(ground)
    assert [cls.order for cls in classes] == sorted(cls.order for cls in classes)
    assert classes[0].elements == (0,)
    assert classes[-1].elements == tuple(range(len(ground.group)))
    rows = [tuple(row) for row in ground.group.tolist()]
    for cls in classes:
        subgroup = {rows[i] for i in cls.elements}
        assert {compose(a, b) for a in subgroup for b in subgroup} == subgroup
        assert find_class(ground, cls.name) is cls


def test_classes_do_not_depend_on_chance():
    first, second = (symmetry_classes(complete_graph(5)) for _ in range(2))
    assert first == second


def test_an_unknown_class_suggests_the_nearest():
    with pytest.raises(
        UsageError, match="no symmetry class 'one miror'; did you mean 'one mirror'"
    ):
        find_class(square_grid(3), "one miror")


@pytest.mark.parametrize("name", sorted(GROUNDS))
def test_orbits_partition_the_elements(name):
    ground = GROUNDS[name]
    for cls in symmetry_classes(ground):
        found = symmetry.orbits(ground, cls)
        expected = sorted(
            {
                tuple(sorted({int(ground.group[i][v]) for i in cls.elements}))
                for v in range(ground.m)
            }
        )
        spans = list(itertools.pairwise(found.start.tolist()))
        assert [tuple(found.elements[a:b].tolist()) for a, b in spans] == expected
        assert len(found) == len(expected)
        for i, orbit in enumerate(expected):
            assert set(found.of[list(orbit)].tolist()) == {i}
        assert {found.start.dtype, found.elements.dtype, found.of.dtype} == {np.dtype(np.int32)}


@pytest.mark.parametrize("name", ["square of side 1", "square of side 4", "cube", "pentagon"])
def test_the_normaliser_is_what_keeps_the_subgroup(name):
    ground = GROUNDS[name]
    rows = [tuple(row) for row in ground.group.tolist()]
    for cls in symmetry_classes(ground):
        subgroup = {rows[i] for i in cls.elements}
        keeps = tuple(
            i
            for i, x in enumerate(rows)
            if {compose(x, h) for h in subgroup} == {compose(h, x) for h in subgroup}
        )
        assert symmetry.normaliser(ground, cls) == keeps


@compiled_on_first_call
@given(constructions())
def test_the_canonical_form_is_the_least_image(family):
    ground, sets = family
    least = symmetry.canonical(packed(sets, ground.m), ground)
    for row, members in zip(least, sets, strict=True):
        packed_images = [image.tobytes() for image in packed(images(ground, members), ground.m)]
        assert row.tobytes() == min(packed_images)


@compiled_on_first_call
@given(constructions())
def test_the_canonical_form_is_equal_for_images_and_only_for_them(family):
    ground, sets = family
    for members in sets:
        every = packed(images(ground, members), ground.m)
        assert len(np.unique(symmetry.canonical(every, ground), axis=0)) == 1
    least = symmetry.canonical(packed(sets, ground.m), ground)
    for (i, one), (j, other) in itertools.combinations(enumerate(sets), 2):
        equivalent = frozenset(other) in images(ground, one)
        assert equivalent == (least[i].tobytes() == least[j].tobytes())


@compiled_on_first_call
@given(constructions(), st.integers(0, 10**6))
def test_applying_an_element_maps_the_points(family, salt):
    ground, sets = family
    cells = packed(sets, ground.m)
    each = (salt + 7 * np.arange(len(sets))) % len(ground.group)
    mapped = symmetry.apply(cells, ground, each)
    for row, members, i in zip(mapped, sets, each, strict=True):
        assert as_set(row, ground.m) == images(ground, members)[i]
    one = int(each[0])
    assert np.array_equal(symmetry.apply(cells, ground, one)[0], mapped[0])
    same_for_all = np.full(len(sets), one)
    both = symmetry.apply(cells, ground, one), symmetry.apply(cells, ground, same_for_all)
    assert np.array_equal(*both)


@compiled_on_first_call
@given(constructions())
def test_orbit_and_stabiliser_multiply_to_the_group_order(family):
    ground, sets = family
    cells = packed(sets, ground.m)
    orders = symmetry.stabiliser_orders(cells, ground)
    for row, members, size in zip(cells, sets, orders, strict=True):
        every = images(ground, members)
        fixing = tuple(i for i, image in enumerate(every) if image == frozenset(members))
        assert symmetry.stabiliser(row, ground) == fixing
        assert size == len(fixing)
        assert size * len(set(every)) == len(ground.group)


@compiled_on_first_call
@given(constructions())
def test_invariance_is_being_fixed_by_the_whole_subgroup(family):
    ground, sets = family
    for cls in symmetry_classes(ground):
        unions = [
            {int(ground.group[i][v]) for v in members for i in cls.elements} for members in sets
        ]
        assert symmetry.invariant(packed(unions, ground.m), ground, cls).all()
        fixed = symmetry.invariant(packed(sets, ground.m), ground, cls)
        expected = [
            all(images(ground, members)[i] == frozenset(members) for i in cls.elements)
            for members in sets
        ]
        assert fixed.tolist() == expected


def test_an_empty_batch_passes_through():
    ground = square_grid(3)
    none = packed([], 9)
    assert symmetry.canonical(none, ground).shape == (0, 2)
    assert symmetry.apply(none, ground, 3).shape == (0, 2)
    assert symmetry.stabiliser_orders(none, ground).shape == (0,)
    assert symmetry.invariant(none, ground, symmetry_classes(ground)[1]).shape == (0,)


@pytest.mark.parametrize("index", [8, -1, np.array([0, 1, 2]), np.array([0.0, 1.0])])
def test_an_index_outside_the_group_is_refused(index):
    with pytest.raises(ValueError, match="index: expected"):
        symmetry.apply(packed([{0}, {1}], 9), square_grid(3), index)


def test_cells_of_another_size_are_refused():
    ground = square_grid(3)
    for call in (symmetry.canonical, symmetry.stabiliser_orders):
        with pytest.raises(ValueError, match=r"cells: expected uint8 \(B, 2\)"):
            call(packed([{0}], 16)[:, :1], ground)
    with pytest.raises(ValueError, match="bits past element 8"):
        symmetry.canonical(packed([{15}], 16), ground)


def test_burnside_counts_the_canonical_forms():
    ground = square_grid(3)
    every = np.arange(2**9, dtype="<u2").view(np.uint8).reshape(-1, 2)
    fixed = sum(2 ** len(cycles(row)) for row in ground.group)
    assert len(np.unique(symmetry.canonical(every, ground), axis=0)) * 8 == fixed


def cycles(permutation):
    """Return the cycles of a permutation, as sets."""
    found = set()
    for v in range(len(permutation)):
        cycle = [v]
        while permutation[cycle[-1]] != v:
            cycle.append(int(permutation[cycle[-1]]))
        found.add(frozenset(cycle))
    return found

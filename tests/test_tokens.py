"""Encoders: what is written is read back, and nothing else is read."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.bitset import pack, unpack
from pipeline.core.ground_set import GroundSet
from pipeline.core.symmetry import canonical, find_class, invariant, orbits
from pipeline.errors import UsageError
from pipeline.model.tokens import BOS, ENCODERS, EOS, PAD, PointEncoder, make_encoder

SIZES = (1, 2, 3, 5, 6)
KINDS = [
    ("dense", None, "sorted"),
    ("points", None, "sorted"),
    ("points", None, "random"),
    ("orbits", "mirror", "sorted"),
    ("orbits", "both mirrors", "random"),
    ("orbits", "half turn", "sorted"),
    ("orbits", "all", "sorted"),
    ("orbits", None, "sorted"),
]


@cache
def square(n: int) -> GroundSet:
    """Return the n x n grid under the dihedral group of the square."""
    coords = np.array([(r, c) for r in range(n) for c in range(n)], np.int32)
    grid = np.arange(n * n, dtype=np.int32).reshape(n, n)
    images = [np.rot90(side, turns) for side in (grid, grid.T) for turns in range(4)]
    group = np.unique(np.array([image.ravel() for image in images]), axis=0)
    place = {row.tobytes(): i for i, row in enumerate(group)}
    mirror, flip = (np.ascontiguousarray(g).ravel() for g in (grid[:, ::-1], grid[::-1]))
    named = {
        "mirror": (mirror,),
        "both mirrors": (mirror, flip),
        "half turn": (mirror[flip],),
    }
    names = {k: tuple(place[p.tobytes()] for p in v) for k, v in named.items()} if n > 1 else {}
    return GroundSet(n, coords, group, names)


def encoder_for(kind, symmetry, order, sizes=SIZES, **options):
    # The grid of one cell, and for most classes that of four, has no such class.
    known = [n for n in sizes if symmetry in (None, "all") or n > 2]
    known = [n for n in known if symmetry is None or n > 1]
    return make_encoder(kind, {n: square(n) for n in known}, symmetry, order, **options)


def constructions(encoder, n, count, seed, symmetry):
    """Return packed random constructions of every density, the empty one first."""
    rng = np.random.default_rng(seed)
    ground = square(n)
    of = orbits(ground, find_class(ground, symmetry or "trivial")).of
    chosen = rng.random((count, of.max() + 1)) < rng.random((count, 1))
    chosen[0] = False
    return pack(chosen[:, of])


def rows(tokens, n, encoder):
    return encoder.decode(np.array([tokens]), n)


@pytest.mark.parametrize(("kind", "symmetry", "order"), KINDS)
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32), augmented=st.booleans())
def test_what_is_encoded_is_decoded(kind, symmetry, order, seed, augmented):
    encoder = encoder_for(kind, symmetry, order)
    rng = np.random.default_rng(seed) if augmented else None
    for n in encoder.sizes:
        cells = constructions(encoder, n, 9, seed, symmetry)
        assert encoder.encodable(cells, n).all()
        tokens = encoder.encode(cells, n, rng)
        assert tokens.dtype == np.int64
        assert tokens.shape[1] == ((tokens != PAD).sum(axis=1)).max() <= encoder.max_length
        assert 0 <= tokens.min() <= tokens.max() < encoder.vocab_size
        read, ok = encoder.decode(tokens, n)
        assert ok.all()
        if augmented:
            assert np.array_equal(canonical(read, square(n)), canonical(cells, square(n)))
            cls = find_class(square(n), symmetry or "trivial")
            assert invariant(read, square(n), cls).all()
        else:
            assert np.array_equal(read, cells)


@pytest.mark.parametrize(("kind", "symmetry", "order"), KINDS)
def test_encoding_is_the_same_each_time_unless_an_rng_says_otherwise(kind, symmetry, order):
    encoder = encoder_for(kind, symmetry, order)
    cells = constructions(encoder, 5, 20, 1, symmetry)
    assert np.array_equal(encoder.encode(cells, 5), encoder.encode(cells, 5))
    drawn = [encoder.encode(cells, 5, np.random.default_rng(s)) for s in (2, 2, 3)]
    assert np.array_equal(drawn[0], drawn[1])
    if symmetry != "all":
        assert not np.array_equal(drawn[0], drawn[2])


def test_augmentation_moves_each_construction_by_its_own_symmetry():
    encoder = encoder_for("points", None, "sorted")
    cells = np.repeat(pack(np.arange(25)[None] == 1), 400, axis=0)
    read, _ = encoder.decode(encoder.encode(cells, 5, np.random.default_rng(0)), 5)
    _, counts = np.unique(read, axis=0, return_counts=True)
    assert len(counts) == 8
    assert counts.min() > 25


def test_orbit_augmentation_reaches_the_whole_normaliser():
    encoder = encoder_for("orbits", "both mirrors", "sorted")
    cell = np.zeros((5, 5), bool)
    cell[np.ix_([0, 4], [1, 3])] = True
    cells = np.repeat(pack(cell.reshape(1, -1)), 50, axis=0)
    read, _ = encoder.decode(encoder.encode(cells, 5, np.random.default_rng(0)), 5)
    assert len(np.unique(read, axis=0)) == 2  # itself and its transpose


@pytest.mark.parametrize(("kind", "symmetry", "order"), KINDS)
def test_tokens_rise_exactly_where_the_encoder_says_so(kind, symmetry, order):
    encoder = encoder_for(kind, symmetry, order)
    assert encoder.sorted == (kind != "dense" and order == "sorted")
    full = constructions(encoder, 6, 1, 0, symmetry) * 0
    full = pack(~unpack(full, 36))
    tokens = encoder.encode(full, 6, np.random.default_rng(0))[0, 2:-1]
    if encoder.sorted:
        assert (np.diff(tokens) > 0).all()
    elif kind != "dense":
        assert not (np.diff(tokens) > 0).all()
    if kind != "dense":
        assert sorted(tokens) == sorted(encoder.element_tokens(6))


def test_a_cell_has_the_same_token_at_every_size():
    for kind, symmetry in (("points", None), ("orbits", "half turn")):
        encoder = encoder_for(kind, symmetry, "sorted", sizes=(3, 5, 6))
        seen = {}
        for n in encoder.sizes:
            ground = square(n)
            found = orbits(ground, find_class(ground, symmetry or "trivial"))
            places = ground.coords[found.elements[found.start[:-1]]].tolist()
            assert encoder.element_tokens(n).dtype == np.int32
            for place, token in zip(map(tuple, places), encoder.element_tokens(n), strict=True):
                assert seen.setdefault(place, token) == token
        assert len(set(seen.values())) == len(seen)
        assert encoder.vocab_size == 3 + 3 + len(seen)


def test_sequences_are_laid_out_as_documented():
    encoder = make_encoder("points", {3: square(3), 2: square(2)})
    assert encoder.sizes == (2, 3)
    assert encoder.prefix(2).tolist() == [BOS, 3]
    assert encoder.prefix(3).tolist() == [BOS, 4]
    cells = pack(np.array([[1, 0, 0, 0, 0, 0, 0, 0, 1], [0, 1, 0, 0, 0, 0, 0, 0, 0]], bool))
    assert encoder.encode(cells, 3).tolist() == [[1, 4, 5, 13, 2], [1, 4, 6, 2, 0]]
    dense = make_encoder("dense", {3: square(3), 2: square(2)})
    assert dense.encode(cells[:1], 3).tolist() == [[1, 4, 6, 5, 5, 5, 5, 5, 5, 5, 6, 2]]
    assert dense.element_tokens(2).tolist() == [5, 6]
    assert encoder.encode(cells[:0], 3).shape == (0, 3)


def test_malformed_rows_are_refused_not_guessed():
    encoder = make_encoder("points", {3: square(3), 2: square(2)})
    size3, a, b = 4, 5, 13  # cells (0, 0) and (2, 2)
    good = [BOS, size3, b, a, EOS, PAD]
    cells, ok = rows(good, 3, encoder)
    assert ok.all()
    assert np.flatnonzero(unpack(cells, 9)).tolist() == [0, 8]
    bad = {
        "no BOS": [PAD, size3, a, b, EOS, PAD],
        "another size": [BOS, 3, a, EOS, PAD, PAD],
        "no EOS": [BOS, size3, a, b, PAD, PAD],
        "no EOS at all": [BOS, size3, a, b, 6, 7],
        "PAD inside": [BOS, size3, a, PAD, b, EOS],
        "element after EOS": [BOS, size3, a, EOS, b, PAD],
        "two EOS": [BOS, size3, a, EOS, EOS, PAD],
        "repeated": [BOS, size3, a, b, a, EOS],
        "size token inside": [BOS, size3, a, size3, EOS, PAD],
        "BOS inside": [BOS, size3, BOS, a, EOS, PAD],
        "beyond the vocabulary": [BOS, size3, a, 99, EOS, PAD],
        "negative": [BOS, size3, a, -1, EOS, PAD],
    }
    for what, row in bad.items():
        cells, ok = rows(row, 3, encoder)
        assert not ok.any(), what
        assert not cells.any(), what
    assert not rows([BOS, 3, b, EOS], 2, encoder)[1].any()  # a cell that size 2 has not
    for short in ([], [BOS], [BOS, size3], [BOS, size3, a]):
        assert not encoder.decode(np.array([short], np.int64).reshape(1, -1), 3)[1].any()
    assert rows([BOS, size3, EOS], 3, encoder)[1].all()  # the empty construction


def test_dense_rows_are_refused_unless_every_element_is_given():
    encoder = make_encoder("dense", {2: square(2)})
    zero, one = encoder.element_tokens(2)
    body = [zero, one, one, zero]
    assert rows([BOS, 3, *body, EOS, PAD], 2, encoder)[1].all()
    for row in (
        [BOS, 3, *body[:3], EOS],
        [BOS, 3, *body, one, EOS],
        [BOS, 3, *body],
        [BOS, 3, *body[:3], PAD, EOS],
        [BOS, 3, *body[:3], 3, EOS],
        [BOS, 3, *body, EOS, EOS],
        [BOS, 3, EOS],
    ):
        cells, ok = rows(row, 2, encoder)
        assert not ok.any(), row
        assert not cells.any()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-1, 16), max_size=12), st.sampled_from(["points", "dense", "orbits"]))
def test_whatever_is_accepted_encodes_to_the_same_tokens(body, kind):
    encoder = make_encoder(kind, {3: square(3), 2: square(2)})
    cells, ok = rows([BOS, 4, *body], 3, encoder)
    if ok[0]:
        given_tokens = [t for t in body if t not in (EOS, PAD)]
        given_tokens = given_tokens if kind == "dense" else sorted(given_tokens)
        assert encoder.encode(cells, 3)[0].tolist() == [BOS, 4, *given_tokens, EOS]


def test_only_invariant_constructions_are_encodable():
    encoder = encoder_for("orbits", "both mirrors", "sorted")
    corner = pack(np.arange(25)[None] == 0)
    centre = pack(np.arange(25)[None] == 12)
    both = np.concatenate([corner, centre])
    assert encoder.encodable(both, 5).tolist() == [False, True]
    with pytest.raises(ValueError, match="symmetry"):
        encoder.encode(both, 5)


def test_the_longest_sequence_is_known_from_the_data():
    grounds = {2: square(2), 6: square(6)}
    assert make_encoder("points", grounds).max_length == 39
    assert make_encoder("dense", grounds).max_length == 39
    assert make_encoder("points", grounds, max_points={6: 7}).max_length == 10
    encoder = make_encoder("points", grounds, max_points={2: 99, 6: 3})
    assert encoder.max_length == 7  # size 2 has four cells
    five = pack(np.arange(36)[None] < 5)
    assert not encoder.encodable(five, 6).any()
    with pytest.raises(ValueError, match="max_points"):
        encoder.encode(five, 6)


def test_points_are_orbits_under_the_trivial_class():
    points = encoder_for("points", None, "sorted")
    trivial = encoder_for("orbits", "trivial", "sorted", sizes=SIZES[2:])
    assert isinstance(points, PointEncoder)
    assert points.symmetry == trivial.symmetry == "trivial"
    cells = constructions(points, 5, 20, 0, None)
    ours = encoder_for("points", None, "sorted", sizes=SIZES[2:])
    assert np.array_equal(ours.encode(cells, 5), trivial.encode(cells, 5))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pionts", None, "sorted"), "did you mean 'points'"),
        (("points", None, "randm"), "did you mean 'random'"),
        (("orbits", "both mirors", "sorted"), "did you mean 'both mirrors'"),
        (("points", "both mirrors", "sorted"), "use tokens 'orbits'"),
        (("dense", None, "random"), "'sorted'"),
    ],
)
def test_unknown_words_name_the_nearest(arguments, message):
    with pytest.raises(UsageError, match=message):
        encoder_for(*arguments)


def test_a_problem_may_add_its_own_kind(monkeypatch):
    class Mine(PointEncoder):
        name = "mine"

    monkeypatch.setitem(ENCODERS, "mine", Mine)
    assert make_encoder("mine", {3: square(3)}).name == "mine"


def test_wrong_sizes_and_shapes_are_value_errors():
    encoder = make_encoder("points", {3: square(3)})
    with pytest.raises(ValueError, match="n = 4"):
        encoder.prefix(4)
    with pytest.raises(ValueError, match="n = 4"):
        encoder.decode(np.zeros((1, 3), int), 4)
    with pytest.raises(ValueError, match="integers"):
        encoder.decode(np.zeros((1, 3)), 3)
    with pytest.raises(ValueError, match="one size"):
        make_encoder("points", {})

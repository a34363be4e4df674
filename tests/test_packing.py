"""Packing: round trips, ids and duplicates against sets of Python integers."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import bitset

# The first call of a kernel compiles it, which no deadline should count.
compiled_on_first_call = settings(deadline=None)


@st.composite
def families(draw):
    """Return m and a list of subsets of range(m)."""
    m = draw(st.integers(1, 40))
    sets = draw(st.lists(st.sets(st.integers(0, m - 1)), max_size=8))
    return m, sets


def packed(sets, m):
    return bitset.from_points([np.array(sorted(members), np.int64) for members in sets], m)


@compiled_on_first_call
@given(families())
def test_a_row_is_the_number_whose_binary_digits_are_the_elements(family):
    m, sets = family
    cells = packed(sets, m)
    assert cells.shape == (len(sets), (m + 7) // 8)
    numbers = [int.from_bytes(row.tobytes(), "little") for row in cells]
    assert numbers == [sum(2**v for v in members) for members in sets]


@compiled_on_first_call
@given(families())
def test_every_view_of_a_packed_row_tells_the_same_set(family):
    m, sets = family
    cells = packed(sets, m)
    members = bitset.unpack(cells, m)
    assert members.shape == (len(sets), m)
    assert [set(np.flatnonzero(row).tolist()) for row in members] == sets
    assert [bitset.points(row, m).tolist() for row in cells] == [sorted(s) for s in sets]
    assert bitset.popcounts(cells).tolist() == [len(s) for s in sets]
    assert np.array_equal(bitset.pack(members), cells)


@compiled_on_first_call
@given(families())
def test_ids_and_first_occurrences_tell_sets_apart(family):
    m, sets = family
    cells = packed([*sets, *sets], m)
    keys = [frozenset(members) for members in [*sets, *sets]]
    ids = bitset.ids(cells)
    assert 0 not in ids
    assert len(set(ids.tolist())) == len(set(keys))
    assert bitset.first_of_each(cells).tolist() == sorted({keys.index(key) for key in keys})


def splitmix(row):
    """Return the hash of one row with Python's integers."""
    state = len(row)
    for begin in range(0, len(row), 8):
        word = int.from_bytes(row[begin : begin + 8], "little")
        state = ((state ^ word) + 0x9E3779B97F4A7C15) % 2**64
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB % 2**64
        state ^= state >> 31
    return state or 1


@compiled_on_first_call
@given(st.integers(1, 20), st.binary(max_size=60))
def test_ids_follow_their_definition(count, text):
    rows = [text[begin : begin + count].ljust(count) for begin in range(0, len(text), count)]
    cells = np.frombuffer(b"".join(rows), np.uint8).reshape(-1, count)
    assert bitset.ids(cells).view(np.uint64).tolist() == [splitmix(row) for row in rows]


def test_ids_are_the_same_in_every_release():
    rows = np.frombuffer(hashlib.sha256(b"rows").digest(), np.uint8)[:30].reshape(3, 10)
    pinned = [-2572961007282998519, 6622892349206043666, -3392633451430108563]
    assert bitset.ids(rows).tolist() == pinned
    assert bitset.ids(np.asfortranarray(rows)).tolist() == pinned


def test_ids_depend_on_the_number_of_bytes():
    one, two = (bitset.ids(np.zeros((1, size), np.uint8))[0] for size in (1, 2))
    assert one != two


def test_first_occurrences_survive_equal_hashes(monkeypatch):
    cells = np.array([[1], [2], [1], [3], [2]], np.uint8)
    collided = np.full(5, 7, np.uint64)
    monkeypatch.setattr(bitset, "_hashes", lambda _: collided)
    assert bitset.first_of_each(cells).tolist() == [0, 1, 3]


def test_no_rows_are_rows_too():
    none = packed([], 9)
    assert none.shape == (0, 2)
    for result in (bitset.ids(none), bitset.popcounts(none), bitset.first_of_each(none)):
        assert result.shape == (0,)
    assert bitset.unpack(none, 9).shape == (0, 9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bitset.unpack(np.zeros((2, 2), np.uint8), 8), r"cells: expected uint8 \(B, 1\)"),
        (lambda: bitset.unpack(np.zeros((2, 1), np.int8), 8), r"got int8 \(2, 1\)"),
        (lambda: bitset.unpack(np.full((1, 1), 8, np.uint8), 3), "bits past element 2"),
        (lambda: bitset.from_points([np.array([3])], 3), r"elements in 0 \.\. 2, got 3 \.\. 3"),
        (lambda: bitset.from_points([np.array([-1])], 3), "elements in"),
        (lambda: bitset.from_points([np.array([0.5])], 3), "integer element indices"),
        (lambda: bitset.pack(np.zeros((1, 3), np.uint8)), r"members: expected bool \(B, m\)"),
        (lambda: bitset.points(np.zeros((1, 1), np.uint8), 3), "row: expected"),
        (lambda: bitset.ids(np.zeros(3, np.uint8)), r"cells: expected uint8 \(B, bytes\)"),
    ],
)
def test_a_wrong_argument_is_named_with_what_was_expected(call, message):
    with pytest.raises(ValueError, match=message):
        call()

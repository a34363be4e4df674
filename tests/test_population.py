"""Population: columns, selection, duplicates, and Parquet files whole and damaged."""

import json
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import bitset, population_files
from pipeline.core.population import ORIGINS, Population, distinct
from pipeline.errors import PipelineError

# The first call of a kernel compiles it, which no deadline should count.
compiled_on_first_call = settings(deadline=None)

METADATA = {"problem": "isosceles", "convention": "flat triples forbidden", "config": "7f3a9c"}
COLUMNS = ("cells", "score", "round", "origin", "parent", "imported")


def sample(size=50, n=5, seed=0):
    rng = np.random.default_rng(seed)
    cells = bitset.pack(rng.random((size, n * n)) < 0.3)
    return Population.build(
        n,
        n * n,
        cells,
        bitset.popcounts(cells),
        round=rng.integers(0, 9, size),
        origin=rng.integers(0, len(ORIGINS), size),
        parent=rng.integers(-(2**63), 2**63, size),
        imported=rng.random(size) < 0.3,
    )


def same(one, other):
    return (one.n, one.m) == (other.n, other.m) and all(
        np.array_equal(getattr(one, name), getattr(other, name))
        and getattr(one, name).dtype == getattr(other, name).dtype
        for name in COLUMNS
    )


def test_scalars_hold_for_every_construction():
    built = Population.build(3, 9, np.zeros((2, 2), np.uint8), np.array([4, 5]), 7, "generator", 11)
    assert built.score.tolist() == [4, 5]
    assert built.round.tolist() == [7, 7]
    assert [ORIGINS[code] for code in built.origin] == ["generator", "generator"]
    assert built.parent.tolist() == [11, 11]
    assert built.nbytes == 2 * (2 + 4 + 4 + 1 + 8 + 1)


def test_an_empty_population_has_its_columns():
    empty = Population.empty(3, 9)
    assert len(empty) == 0
    assert empty.cells.shape == (0, 2)
    assert empty.counts() == {}
    assert len(empty.top(3)) == 0
    assert len(empty.take([])) == 0
    assert len(distinct(empty, empty.cells)) == 0
    with pytest.raises(ValueError, match="population: expected at least one construction"):
        empty.best()


CELLS = np.zeros((2, 2), np.uint8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 9, CELLS, 0), "n: expected an integer from 1, got 0"),
        ((3, 9.0, CELLS, 0), "m: expected an integer from 1, got 9.0"),
        ((3, 17, CELLS, 0), r"cells: expected uint8 \(B, 3\) for m = 17, got uint8 \(2, 2\)"),
        ((3, 9, CELLS.astype(int), 0), r"cells: expected uint8 \(B, 2\), got int64 \(2, 2\)"),
        ((3, 9, CELLS + np.uint8(255), 0), "cells: expected the bits past element 8"),
        ((3, 9, CELLS, [1, 2, 3]), r"score: expected int32 \(2,\), got int64 \(3,\)"),
        ((3, 9, CELLS, 1.5), r"score: expected int32 \(2,\), got float64"),
        ((3, 9, CELLS, 2**31), "score: expected -2147483648 .. 2147483647, got 2147483648"),
        (
            (3, 9, CELLS, 0, 0, "oracle"),
            "origin: expected one of seed, search, generator, import",
        ),
        ((3, 9, CELLS, 0, 0, 5), "origin: expected indices below 4, got 5"),
    ],
)
def test_a_wrong_column_is_named_with_what_was_expected(arguments, message):
    with pytest.raises(ValueError, match=message):
        Population.build(*arguments)


def test_columns_are_checked_without_build_too():
    good = sample(2)
    with pytest.raises(ValueError, match=r"score: expected int32 \(2,\), got int64 \(2,\)"):
        Population(
            good.n,
            good.m,
            good.cells,
            good.score.astype(int),
            good.round,
            good.origin,
            good.parent,
            good.imported,
        )


def test_take_and_concat_undo_each_other():
    whole = sample()
    mask = np.arange(50) < 20
    parts = [whole.take(mask), whole.take(np.arange(20, 30)), whole.take(slice(30, None))]
    assert same(Population.concat(parts), whole)
    assert same(whole.take(slice(None, None, -1)), whole.take(np.arange(50)[::-1]))


def test_only_one_size_is_put_together():
    with pytest.raises(ValueError, match=r"populations: expected one \(n, m\)"):
        Population.concat([sample(), sample(n=6)])
    with pytest.raises(ValueError, match="populations: expected at least one"):
        Population.concat([])


def test_points_and_counts_read_the_columns():
    cells = bitset.from_points([np.array([8, 0]), np.array([4])], 9)
    built = Population.build(3, 9, cells, np.array([2, 1]))
    assert built.points(0).tolist() == [0, 8]
    assert built.counts() == {1: 1, 2: 1}
    assert built.ids().tolist() == bitset.ids(built.cells).tolist()


@compiled_on_first_call
@given(st.permutations(range(50)), st.integers(0, 60))
def test_the_best_do_not_depend_on_the_order_of_arrival(order, k):
    whole = sample().take(slice(None))
    mixed = whole.take(np.array(order))
    best = whole.top(k)
    assert np.array_equal(mixed.top(k).cells, best.cells)
    keys = sorted(zip(-whole.score, whole.ids(), strict=True))[:k]
    assert list(zip(-best.score, best.ids(), strict=True)) == keys
    assert np.array_equal(mixed.cells[mixed.best()], whole.cells[whole.best()])


def test_the_best_is_the_first_round_to_reach_the_score():
    cells = bitset.pack(np.eye(4, dtype=bool))
    rounds = np.array([0, 3, 1, 2], np.int32)
    found = Population.build(2, 4, cells, np.array([1, 5, 5, 5], np.int32), round=rounds)
    assert found.best() == 2


def test_equal_constructions_keep_their_order():
    built = Population.build(3, 9, np.zeros((4, 2), np.uint8), 3, np.array([5, 1, 9, 2]))
    assert built.top(3).round.tolist() == [5, 1, 9]


def test_a_negative_extreme_score_is_the_worst():
    built = Population.build(3, 9, CELLS, np.array([-(2**31), 0]))
    assert built.top(1).score.tolist() == [0]


@compiled_on_first_call
@given(st.lists(st.integers(0, 5)))
def test_the_first_of_each_canonical_row_is_kept(values):
    cells = np.array(values, np.uint8).reshape(-1, 1)
    built = Population.build(3, 8, cells, np.arange(len(values)))
    kept = distinct(built, cells // 2)
    halves = [value // 2 for value in values]
    assert kept.score.tolist() == sorted({halves.index(half) for half in halves})


def test_canonical_rows_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="canonical_cells: expected"):
        distinct(sample(3), sample(4).cells)


@pytest.mark.parametrize("size", [0, 1, 50, population_files._ROW_GROUP + 1])
def test_a_file_gives_back_what_was_written(tmp_path, size):
    path = tmp_path / "n5.parquet"
    whole = sample(size)
    whole.write(path, METADATA)
    read, metadata = Population.read(path)
    assert same(read, whole)
    assert metadata == METADATA


def test_a_slice_is_written_as_itself(tmp_path):
    part = sample().take(slice(7, 41, 3))
    part.write(tmp_path / "part.parquet", {})
    assert same(Population.read(tmp_path / "part.parquet")[0], part)


def test_the_same_content_gives_the_same_bytes(tmp_path):
    first, second = tmp_path / "a.parquet", tmp_path / "b.parquet"
    sample().write(first, METADATA)
    copied = sample().take(np.arange(50))
    copied.write(second, dict(reversed(METADATA.items())))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("metadata", [{"n": "3"}, {"schema": "2"}, {"problem": 3}])
def test_metadata_are_strings_under_free_keys(tmp_path, metadata):
    with pytest.raises(ValueError, match="metadata: expected strings under keys other than"):
        sample().write(tmp_path / "n5.parquet", metadata)


def test_the_schema_is_what_it_was():
    """Readers of old files rely on this; a change needs a new SCHEMA_VERSION."""
    assert population_files.SCHEMA_VERSION == 2
    first = [
        ("cells", "fixed_size_binary[2]"),
        ("score", "int32"),
        ("round", "int32"),
        ("origin", "dictionary<values=string, indices=int8, ordered=0>"),
        ("parent", "int64"),
    ]
    assert [(field.name, str(field.type)) for field in population_files._schema(9, 1)] == first
    second = [*first, ("imported", "bool")]
    assert [(field.name, str(field.type)) for field in population_files._schema(9)] == second


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "n5.parquet"
    sample().write(path, METADATA)
    return path


def refusal(path):
    with pytest.raises(PipelineError) as caught:
        Population.read(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    assert "; " in text
    return text


def rewrite(path, change_table=lambda table: table, **change_metadata):
    """Write the file again with another table or other metadata."""
    table = pq.read_table(path)
    metadata = json.loads(table.schema.metadata[population_files._KEY]) | change_metadata
    del metadata["digest"]
    metadata["digest"] = population_files._digest(metadata)
    table = change_table(table)
    pq.write_table(
        table.replace_schema_metadata({population_files._KEY: json.dumps(metadata)}), path
    )


def replaced(name, column):
    """Return the change of a table that puts ``column`` in place of another."""

    def change(table):
        place = table.schema.get_field_index(name)
        return table.set_column(place, pa.field(name, column.type, nullable=False), column)

    return change


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    assert "no such file" in refusal(tmp_path / "n5.parquet")


@pytest.mark.parametrize("keep", [0, 3, 100, -1])
def test_a_truncated_file_is_refused(written, keep):
    written.write_bytes(written.read_bytes()[:keep])
    assert "damaged" in refusal(written)


def test_a_file_of_another_kind_is_refused(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("not a population\n" * 20)
    assert "damaged, or no Parquet file" in refusal(text)
    foreign = tmp_path / "foreign.parquet"
    pq.write_table(pa.table({"x": [1, 2]}), foreign)
    assert "no population" in refusal(foreign)
    assert "damaged" in refusal(tmp_path)


def test_no_flipped_bit_goes_unseen(written):
    good = written.read_bytes()
    whole, _ = Population.read(written)
    refused = 0
    for place in range(0, len(good), 3):
        damaged = bytearray(good)
        damaged[place] ^= 1 << (place % 8)
        written.write_bytes(damaged)
        try:
            read, metadata = Population.read(written)
        except PipelineError:
            refused += 1
            continue
        assert same(read, whole)
        assert metadata == METADATA
    assert refused > len(good) / 6


def test_origin_codes_without_a_name_are_refused():
    indices = pa.array([0, 1], pa.int8())
    column = pa.DictionaryArray.from_arrays(indices, pa.array(["seed"]), safe=False)
    with pytest.raises(ValueError, match="a code without a name"):
        population_files._origins(column)


def test_another_schema_version_names_both(written):
    rewrite(written, schema=3)
    text = refusal(written)
    assert "schema version 3" in text
    assert "reads 1 and 2" in text


def test_a_file_of_the_first_version_is_read_and_tells_imports_alone(written):
    whole, _ = Population.read(written)
    assert population_files.tells_descent(written)
    rewrite(written, lambda table: table.drop_columns(["imported"]), schema=1)
    assert not population_files.tells_descent(written)
    read, metadata = Population.read(written)
    assert metadata == METADATA
    assert np.array_equal(read.cells, whole.cells)
    assert np.array_equal(read.imported, whole.came_from("import"))


def test_what_is_imported_cannot_be_said_not_to_be(written):
    whole, _ = Population.read(written)
    rewrite(written, replaced("imported", pa.array([False] * 50)))
    assert np.array_equal(Population.read(written)[0].imported, whole.came_from("import"))
    assert Population.build(3, 9, CELLS, 0, origin="import", imported=False).imported.all()


def test_columns_that_do_not_fit_m_are_refused(written):
    rewrite(written, m=33)
    assert "do not fit m = 33" in refusal(written)


@pytest.mark.parametrize("m", [None, "25", 0, -25, 2**80])
def test_an_m_that_is_none_is_refused(written, m):
    rewrite(written, m=m)
    assert "do not fit" in refusal(written)


@pytest.mark.parametrize("changes", [{"n": 0}, {"n": "5"}, {"problem": 3}])
def test_metadata_of_a_wrong_type_are_refused(written, changes):
    rewrite(written, **changes)
    assert "damaged" in refusal(written)


@pytest.mark.parametrize("text", ["[1]", "{}", "{", "\xff"])
def test_metadata_that_are_no_object_are_refused(written, text):
    table = pq.read_table(written)
    table = table.replace_schema_metadata({population_files._KEY: text.encode("latin-1")})
    pq.write_table(table, written)
    assert "damaged" in refusal(written)


def test_padding_bits_are_refused(written):
    cells = np.full((50, 4), 255, np.uint8)
    column = pa.FixedSizeBinaryArray.from_buffers(pa.binary(4), 50, [None, pa.py_buffer(cells)])
    rewrite(written, replaced("cells", column))
    assert "bits past element 24" in refusal(written)


def test_an_unknown_origin_is_refused(written):
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 50, pa.int8()), pa.array(["oracle"]))
    rewrite(written, replaced("origin", column))
    assert "unknown origin 'oracle'" in refusal(written)


def test_a_column_of_another_type_or_none_is_refused(written):
    rewrite(written, replaced("score", pa.array([1.0] * 50)))
    assert "columns do not fit" in refusal(written)
    rewrite(written, lambda table: table.drop_columns(["score"]))
    assert "columns do not fit" in refusal(written)


def test_origins_are_read_by_name_not_by_number(written):
    whole, _ = Population.read(written)
    names = pa.array([ORIGINS[code] for code in whole.origin])
    backwards = names.dictionary_encode().cast(pa.dictionary(pa.int8(), pa.string()))
    rewrite(written, replaced("origin", backwards))
    assert same(Population.read(written)[0], whole)


@pytest.fixture
def arrow_pool():
    """Return a memory pool of Arrow's that has seen nothing but this test."""
    usual = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(usual)
    pa.set_memory_pool(pool)
    yield pool
    pa.set_memory_pool(usual)


def test_neither_writing_nor_reading_holds_the_cells_twice(tmp_path, arrow_pool):
    path = tmp_path / "n64.parquet"
    size = 5 * population_files._ROW_GROUP
    whole = Population.build(64, 4096, np.zeros((size, 512), np.uint8), 0)
    tracemalloc.start()
    whole.write(path, METADATA)
    _, numpy_for_writing = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    read, _ = Population.read(path)
    _, numpy_for_reading = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert same(read, whole)
    assert numpy_for_writing < whole.nbytes / 4
    assert numpy_for_reading < whole.nbytes * 1.1
    assert arrow_pool.max_memory() < whole.nbytes * 0.7

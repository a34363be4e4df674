"""What a user says of single elements: fields that pull, masks that bound, the files of both."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import oracles
import pytest
from conftest import TINY as TINY_RUN
from conftest import contents, only_run
from hypothesis import given
from hypothesis import strategies as st
from loops import Loop, configured
from msgspec import structs

from pipeline.config import Config, config_from
from pipeline.core import bitset, streams
from pipeline.core.ground_set import GroundSet
from pipeline.core.population import Population
from pipeline.core.symmetry import find_class, orbits
from pipeline.engine.arms import make_arms
from pipeline.engine.explore import Explorer
from pipeline.engine.portfolio import Arm
from pipeline.engine.space import choice_of, make_space, usable_classes
from pipeline.engine.tasks import Task, run_task
from pipeline.engine.weights import make_mask, make_weights, of_choices, restricted
from pipeline.errors import RunError, UsageError
from pipeline.plugins import load_problem
from pipeline.storage import inputs

PLUGINS = Path(__file__).parent / "plugins"
FOUR_CYCLE = f"{PLUGINS / 'four_cycle_free.py'}:FourCycleFree"
SPHERE = f"{PLUGINS / 'no_five_on_a_sphere.py'}:NoFiveOnASphere"


def ground_of(spec: str, n: int) -> GroundSet:
    return load_problem(spec).ground(n)


def saved(folder: Path, values: Any, name: str = "given.npy") -> Path:
    np.save(folder / name, np.asarray(values))
    return folder / name


# -------------------------------------------------------------------------------------- fields


@pytest.mark.parametrize("spec", ["isosceles", SPHERE, FOUR_CYCLE])
@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_the_border_field_is_a_ramp_that_ends(spec, n):
    ground = ground_of(spec, n)
    rows = ground.coords.tolist()
    low, high = ([f(column) for column in zip(*rows, strict=True)] for f in (min, max))
    side = max(b - a for a, b in zip(low, high, strict=True)) + 1
    expected = []
    for row in rows:
        steps = min(min(x - a, b - x) for x, a, b in zip(row, low, high, strict=True))
        expected.append(max(2 - 32 * steps / side, -6))
    field = make_weights("border", ground, {})
    assert field.dtype == np.float32
    assert field == pytest.approx(expected)


def test_no_name_is_no_field():
    assert len(make_weights("", ground_of("isosceles", 4), {})) == 0


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.uint8])
@pytest.mark.parametrize("shape", [(9,), (3, 3), (9, 1)])
def test_a_field_of_ones_own_is_taken_in_any_shape(dtype, shape):
    values = np.arange(9, dtype=dtype).reshape(shape)
    field = make_weights("mine.npy", ground_of("isosceles", 3), {"mine.npy": values})
    assert field.tolist() == list(range(9))
    assert field.dtype == np.float32


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(8),
        np.zeros(10),
        np.zeros(0),
        np.full(9, np.nan),
        np.append(np.zeros(8), np.inf),
        np.full(9, 1e300),
        np.zeros(9, complex),
        np.array(["x"] * 9),
        np.zeros(9, [("a", "i4")]),
        np.zeros(9, "M8[s]"),
    ],
    ids=str,
)
def test_what_is_no_field_of_this_size_is_one_line(values):
    with pytest.raises(UsageError, match=r"^mine is no weights for n=3: 9 finite numbers") as told:
        make_weights("mine", ground_of("isosceles", 3), {"mine": values})
    assert "\n" not in str(told.value)


def test_an_unknown_field_says_what_there_is():
    with pytest.raises(
        UsageError, match=r"unknown weights 'bordr': give border, learned, none, or a file"
    ):
        make_weights("bordr", ground_of("isosceles", 3), {})


@given(st.integers(0, 2**32), st.sampled_from(["trivial", "mirror", "half-turn", "both-mirrors"]))
def test_a_choice_is_worth_what_its_elements_are_together(seed, symmetry):
    problem = load_problem("isosceles")
    ground = problem.ground(7)
    space = make_space(problem, 7, find_class(ground, symmetry), traps=False)
    field = np.random.default_rng(seed).normal(size=49).astype(np.float32)
    expected = [
        sum(float(field[u]) for u in space.elements[a:b])
        for a, b in zip(space.start[:-1], space.start[1:], strict=True)
    ]
    assert of_choices(field, choice_of(space), len(space.key)) == pytest.approx(expected)
    assert not of_choices(field[:0], choice_of(space), len(space.key)).any()


def shard(spec: str, n: int, symmetry: str, method: str, seed: int = 1, rows: int = 16, **more):
    cells = np.zeros((rows, bitset.width(load_problem(spec).ground_size(n))), np.uint8)
    steps = {"anneal": 100_000}.get(method, 20_000)
    rng = streams.state(seed, 0, "search")
    return Task(spec, "", n, symmetry, method, cells, rng, **{"bound": steps, **more})


def is_maximal(spec: str, n: int, cells: np.ndarray, mask: np.ndarray | None = None) -> bool:
    """Tell whether constructions are valid, and nothing of the mask can join one of them."""
    problem = load_problem(spec)
    m = problem.ground_size(n)
    if not problem.validate(cells, n).all():
        return False
    for inside in bitset.unpack(cells, m):
        if mask is not None and (inside & ~mask).any():
            return False
        absent = np.flatnonzero(~inside if mask is None else ~inside & mask)
        more = np.repeat(inside[None], len(absent), axis=0)
        more[np.arange(len(absent)), absent] = True
        if len(more) and problem.validate(bitset.pack(more), n).any():
            return False
    return True


def inner_shares(method: str, symmetry: str, rows: int, **more: Any) -> tuple[float, float, float]:
    """Return the share of points in the inner quarter of a board: pulled there, not, pulled out."""
    n = 16
    coords = ground_of("isosceles", n).coords
    inner = np.abs(2 * coords - (n - 1)).max(axis=1) < n // 2
    towards = np.where(inner, 4, -4).astype(np.float32)
    shares = []
    for field in (towards, towards[:0], -towards):
        told = shard("isosceles", n, symmetry, method, weights=field, rows=rows, **more)
        streams_ = [streams.state(seed, 0, "search") for seed in range(3)]
        cells = np.concatenate([run_task(replace(told, rng=rng)) for rng in streams_])
        assert len(cells) > 20
        bits = bitset.unpack(cells, n * n)
        shares.append(float(bits[:, inner].sum() / bits.sum()))
    return shares[0], shares[1], shares[2]


@pytest.mark.parametrize(
    ("method", "symmetry", "rows", "more"),
    [
        ("anneal", "trivial", 16, {}),
        ("anneal", "half-turn", 16, {}),
        ("tabu", "trivial", 32, {}),
        ("tabu", "trivial", 32, {"table_bytes": 1}),
        ("enumerate", "trivial", 20_000, {"goal": 20}),
    ],
)
def test_a_strong_field_leaves_sets_nearer_to_where_it_pulls(method, symmetry, rows, more):
    towards, without, away = inner_shares(method, symmetry, rows, **more)
    assert towards > away + 0.1
    assert away - 0.02 <= without <= towards + 0.02


def test_what_a_search_finds_once_its_field_has_faded_shows_nothing_of_it():
    # Only the last sets found are given back.
    towards, without, away = inner_shares("enumerate", "trivial", 32, goal=20)
    assert max(towards, without, away) - min(towards, without, away) < 0.05


@pytest.mark.parametrize("method", ["anneal", "tabu", "enumerate"])
@pytest.mark.parametrize(
    ("spec", "n", "symmetry"),
    [
        ("isosceles", 9, "both-mirrors"),
        ("isosceles", 10, "trivial"),
        ("no-3-in-line", 8, "quarter-turn"),
        (FOUR_CYCLE, 7, "reflection"),
    ],
)
@pytest.mark.parametrize("strength", [1.0, 1e9, 3e38])
def test_a_field_fades_and_leaves_valid_maximal_sets_however_strong(
    spec, n, symmetry, method, strength
):
    m = load_problem(spec).ground_size(n)
    field = np.random.default_rng(1).uniform(-1, 1, m).astype(np.float32) * np.float32(strength)
    told = shard(spec, n, symmetry, method, weights=field, rows=8, goal=5)
    cells = run_task(told)
    assert len(cells)
    assert is_maximal(spec, n, cells)
    assert run_task(told).tobytes() == cells.tobytes()


def test_a_field_of_nothing_is_no_field_to_an_annealing():
    told = shard("isosceles", 9, "mirror", "anneal")
    nothing = replace(told, weights=np.zeros(81, np.float32))
    assert run_task(nothing).tobytes() == run_task(told).tobytes()


# --------------------------------------------------------------------------------------- masks


@pytest.mark.parametrize("dtype", [bool, np.int64, np.uint8, np.float64])
@pytest.mark.parametrize("shape", [(9,), (3, 3)])
def test_a_mask_is_taken_as_zeros_and_ones_in_any_shape(dtype, shape):
    values = np.array([1, 0, 0, 1, 1, 0, 1, 0, 1], dtype).reshape(shape)
    mask = make_mask("mine.npy", ground_of("isosceles", 3), {"mine.npy": values})
    assert mask is not None
    assert mask.dtype == bool
    assert mask.astype(int).tolist() == [1, 0, 0, 1, 1, 0, 1, 0, 1]
    assert make_mask("", ground_of("isosceles", 3), {}) is None


@pytest.mark.parametrize(
    "values",
    [np.zeros(8), np.ones(10, bool), np.full(9, 2), np.full(9, -1), np.full(9, 0.5), ["1"] * 9],
    ids=str,
)
def test_what_is_no_mask_of_this_size_is_one_line(values):
    with pytest.raises(UsageError, match=r"^mine is no mask for n=3: 9 times 0 or 1") as told:
        make_mask("mine", ground_of("isosceles", 3), {"mine": np.asarray(values)})
    assert "\n" not in str(told.value)


METHODS = ("tabu", "enumerate", "climb", "anneal", "greedy", "complete")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("spec", "n", "symmetry"),
    [
        ("isosceles", 9, "trivial"),
        ("isosceles", 9, "mirror"),
        ("isosceles", 9, "both-mirrors"),
        ("no-3-in-line", 7, "half-turn"),
        (FOUR_CYCLE, 7, "reflection"),
        (FOUR_CYCLE, 7, "trivial"),
        (SPHERE, 3, "trivial"),
    ],
)
def test_every_method_keeps_to_a_mask_and_fills_it(spec, n, symmetry, method):
    problem = load_problem(spec)
    ground = problem.ground(n)
    rng = np.random.default_rng(1)
    # Some orbits, and beside them some elements alone.
    parts = orbits(ground, find_class(ground, symmetry))
    mask = (rng.random(len(parts)) < 0.6)[parts.of]
    mask[rng.choice(ground.m, ground.m // 8, replace=False)] = True
    assert 0.5 < mask.mean() < 0.9
    told = shard(spec, n, symmetry, method, bound=3000, rows=6, goal=3)
    told = replace(told, mask=bitset.pack(mask[None])[0])
    if method in ("climb", "complete"):
        told = replace(told, cells=bitset.pack(rng.random((6, ground.m)) < 0.3))
    cells = run_task(told)
    assert len(cells)
    alone = method in ("greedy", "complete")  # these fill up whole orbits, and no more
    if alone and symmetry != "trivial":
        assert problem.validate(cells, n).all()
        assert not bitset.unpack(cells, ground.m)[:, ~mask].any()
    else:
        assert is_maximal(spec, n, cells, mask)
    assert run_task(told).tobytes() == cells.tobytes()


def test_a_narrow_search_goes_without_the_quarter_that_its_field_values_least():
    rng = np.random.default_rng(3)
    for m in (8, 36, 101):
        field = rng.permutation(m).astype(np.float32)
        mask = rng.random(m) < 0.5
        worst = np.argsort(field)[: int(0.25 * (m - 1)) + 1]
        expected = ~np.isin(np.arange(m), worst)
        assert restricted(field, None).tolist() == expected.tolist()
        assert restricted(field, mask).tolist() == (expected & mask).tolist()
    tied = np.array([0, 0, 0, 1, 2, 2], np.float32)
    assert restricted(tied, None).tolist() == [False, False, False, True, True, True]


@pytest.mark.parametrize("n", [20, 32, 48, 100])
def test_near_the_border_is_less_than_a_quarter_of_the_side_away(n):
    ground = ground_of("isosceles", n)
    inside = restricted(make_weights("border", ground, {}), None)
    assert inside.tolist() == oracles.border_band(ground.coords, n // 4).tolist()


def test_a_class_without_an_orbit_in_the_mask_has_no_arms():
    problem = load_problem("isosceles")
    ground = problem.ground(8)
    mask = ground.coords[:, 0] < 4
    names = {cls.name for cls in usable_classes(problem, 8, mask)}
    assert names == {"trivial", "mirror", "diagonal"}
    assert {arm.symmetry for arm in make_arms(problem, 8, mask=mask)} == names
    both = make_arms(problem, 8, ["tabu"], ["mirror", "half-turn"], mask=mask)
    assert [arm.symmetry for arm in both] == ["mirror"]
    for symmetries, named in [
        (["half-turn"], "the symmetry half-turn"),
        (["half-turn", "both-mirrors"], "the symmetry half-turn or both-mirrors"),
    ]:
        expected = f"no orbit of {named} lies within the mask; widen it"
        with pytest.raises(UsageError, match=expected):
            make_arms(problem, 8, [], symmetries, mask=mask)
    with pytest.raises(UsageError, match="no orbit of any symmetry lies within the mask; widen it"):
        make_arms(problem, 8, mask=np.zeros(64, bool))


def test_a_search_by_quotas_knows_no_mask():
    problem = load_problem("no-3-in-line")
    assert "cover" in {arm.method for arm in make_arms(problem, 8)}
    mask = np.ones(64, bool)
    assert "cover" not in {arm.method for arm in make_arms(problem, 8, mask=mask)}
    with pytest.raises(UsageError, match="'cover' knows no mask; leave out one of the two"):
        make_arms(problem, 8, ["cover", "tabu"], mask=mask)


# --------------------------------------------------------------------------------------- files


def named(**search: Any) -> Config:
    return config_from({"problem": "isosceles", "n": 3, "search": search}, "the test")


def test_files_are_called_by_their_content_and_nothing_else_is_touched(tmp_path):
    mask, field = saved(tmp_path, np.ones(9), "a.npy"), saved(tmp_path, np.arange(9), "b.npy")
    config = named(mask=str(mask), weights=str(field), batches=2)
    files = inputs.read_files(config)
    assert set(files) == {str(mask), str(field)}
    assert inputs.arrays(files)[str(field)].tolist() == list(range(9))
    after, kept = inputs.bound(config, files)
    assert re.fullmatch(r"mask-[0-9a-f]{16}\.npy", after.search.mask)
    assert re.fullmatch(r"weights-[0-9a-f]{16}\.npy", after.search.weights)
    assert kept == {
        after.search.mask: mask.read_bytes(),
        after.search.weights: field.read_bytes(),
    }
    back = structs.replace(
        after, search=structs.replace(after.search, mask=str(mask), weights=str(field))
    )
    assert back == config
    # The same bytes under another name make the same run; other bytes make another.
    again = named(mask=str(saved(tmp_path, np.ones(9), "c.npy")), weights=str(field), batches=2)
    assert inputs.bound(again, inputs.read_files(again))[0].identity == after.identity
    saved(tmp_path, np.zeros(9), "c.npy")
    assert inputs.bound(again, inputs.read_files(again))[0].identity != after.identity


@pytest.mark.parametrize("field", ["", "none", "border", "bordr"])
def test_a_configuration_without_files_stays_as_it_is(field):
    config = named(weights=field)
    assert inputs.read_files(config) == {}
    assert inputs.bound(config, {}) == (config, {})
    assert inputs.stored_files(config, Path("nowhere")) == {}


def test_a_file_that_a_run_kept_is_read_back_unless_it_is_another(tmp_path):
    config = named(mask=str(saved(tmp_path, np.ones(9))))
    config, kept = inputs.bound(config, inputs.read_files(config))
    ((name, data),) = kept.items()
    with pytest.raises(RunError, match=f"{name} is damaged or missing; put back the mask"):
        inputs.stored_files(config, tmp_path)
    (tmp_path / name).write_bytes(data)
    assert inputs.stored_files(config, tmp_path) == kept
    for wrong in (data[:-1], data + b"\0", b""):
        (tmp_path / name).write_bytes(wrong)
        with pytest.raises(RunError, match="damaged or missing"):
            inputs.stored_files(config, tmp_path)


def test_relative_files_go_by_the_folder_they_are_named_in(tmp_path):
    data: dict[str, Any] = {"search": {"weights": "x.npy", "mask": "/y.npy", "batches": 2}}
    inputs.absolute(data, tmp_path)
    assert data == {"search": {"weights": str(tmp_path / "x.npy"), "mask": "/y.npy", "batches": 2}}
    for plain in ({}, {"search": 3}, {"search": {"weights": "border"}}, {"search": {"mask": 3}}):
        before = json.dumps(plain)
        inputs.absolute(plain, tmp_path)
        assert json.dumps(plain) == before


def _not_npy(folder: Path, kind: str) -> Path:
    path = folder / "given.npy"
    if kind == "pickle":
        np.save(path, np.array([None] * 16, object), allow_pickle=True)
    elif kind == "zip":
        with open(path, "wb") as file:
            np.savez(file, a=np.zeros(16))
    elif kind == "cut":
        saved(folder, np.zeros(16))
        path.write_bytes(path.read_bytes()[:-5])
    elif kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_bytes({"empty": b"", "text": b"border\n", "header": b"\x93NUMPY\x01\x00"}[kind])
    return path


@pytest.mark.parametrize("option", ["--weights", "--mask"])
@pytest.mark.parametrize(
    "kind", ["pickle", "zip", "cut", "folder", "missing", "empty", "text", "header", "size", "nan"]
)
def test_a_file_that_is_no_good_is_one_line_before_there_is_a_run(tmp_path, cli, option, kind):
    if kind in ("size", "nan"):
        path = saved(tmp_path, np.ones(9) if kind == "size" else np.full(16, np.nan))
    else:
        path = _not_npy(tmp_path, kind)
    found = cli("search", "isosceles", "--n", 4, option, path, "--runs", tmp_path / "r")
    assert found.code == 2
    assert str(path) in found.error
    assert len(found.err.strip().splitlines()) == 2  # that it is loading, and this
    assert not found.out
    assert not (tmp_path / "r").exists()


# ------------------------------------------------------------------------------ pipeline search

SEARCH = ["--workers", 1, "--rounds", 0, "--set", "seeding.moves=2000"]
SEARCH += ["--set", "search.batches=1", "--set", "seeding.batches=1", "--set", "seeding.moves=2000"]
SEARCH += ["--set", "search.tabu_steps=4000", "--set", "search.enumerate_nodes=4000"]


def fields_of(run: Path) -> set[tuple[str, str]]:
    rows = json.loads((run / "rounds" / "0000" / "stats.json").read_text())["arms"]
    return {(row["method"], row["weights"]) for row in rows}


def test_a_search_is_pulled_by_the_field_it_is_told(tmp_path, cli):
    path = saved(tmp_path, np.arange(81).reshape(9, 9))
    told = {"border": "border", "none": "", str(path): None}
    for number, (field, kept) in enumerate(told.items()):
        options = [*SEARCH, "--weights", field, "--method", "tabu,anneal,greedy"]
        assert (
            cli("search", "isosceles", "--n", 9, *options, "--runs", tmp_path / f"{number}").code
            == 0
        )
        run = only_run(tmp_path / f"{number}")
        if kept is None:
            (file,) = run.glob("*.npy")
            assert file.read_bytes() == path.read_bytes()
            kept = file.name
        assert fields_of(run) == {("tabu", kept), ("anneal", kept), ("greedy", "")}
        assert cli("verify", run).code == 0


def test_an_unknown_field_is_one_line(tmp_path, cli):
    found = cli("search", "isosceles", "--n", 9, "--weights", "nonsense", "--runs", tmp_path / "r")
    assert found.code == 2
    assert re.search(
        "unknown weights 'nonsense': give border, learned, none, or a file", found.error
    )
    assert not (tmp_path / "r").exists()


def inside_of(run: Path, n: int, number: int = 0) -> np.ndarray:
    pool, _ = Population.read(run / "rounds" / f"{number:04d}" / f"n{n}.parquet")
    return bitset.unpack(pool.cells, n * n)


def test_a_search_keeps_to_its_mask_and_resumes_with_it_alone(tmp_path, cli):
    mask = np.zeros((9, 9), int)
    mask[:6, :6] = 1
    path = saved(tmp_path, mask)
    search = ["search", "isosceles", "--n", 9, *SEARCH, "--mask", path, "--runs"]
    assert cli(*search, tmp_path / "whole", "--rounds", 1).code == 0
    assert cli(*search, tmp_path / "parts").code == 0
    whole, parts = only_run(tmp_path / "whole"), only_run(tmp_path / "parts")
    path.unlink()
    assert cli("resume", parts, "--rounds", 1).code == 0
    assert contents(parts) == contents(whole)
    for number in (0, 1):
        inside = inside_of(whole, 9, number)
        assert len(inside) > 5
        assert not inside[:, mask.ravel() == 0].any()
    best = json.loads(cli("best", whole, "--json").out)
    assert best["score"] == 9  # what a 6 x 6 board has
    (kept,) = parts.glob("mask-*.npy")
    kept.write_bytes(saved(tmp_path, 1 - mask).read_bytes())
    found = cli("resume", parts, "--rounds", 2)
    assert found.code == 4
    assert re.search(rf"{kept.name} is damaged or missing; put back the mask", found.error)
    kept.unlink()
    assert cli("resume", parts, "--rounds", 2).code == 4
    assert cli("best", parts).code == 0


def test_the_configuration_of_a_run_makes_the_same_run_again(tmp_path, cli, monkeypatch):
    path = saved(tmp_path, np.arange(81) < 60)
    assert (
        cli("search", "isosceles", "--n", 9, *SEARCH, "--mask", path, "--runs", tmp_path / "a").code
        == 0
    )
    first = only_run(tmp_path / "a")
    path.unlink()
    again = ["--config", first / "config.toml", "--runs", tmp_path / "b"]
    assert cli("search", "isosceles", *again).code == 0
    assert contents(only_run(tmp_path / "b")) == contents(first)
    # From the command line, a relative file goes by the working directory.
    (tmp_path / "c").mkdir()
    saved(tmp_path / "c", np.arange(81) < 60, "mine.npy")
    monkeypatch.chdir(tmp_path / "c")
    assert (
        cli("search", "isosceles", "--n", 9, *SEARCH, "--mask", "mine.npy", "--runs", "r").code == 0
    )
    assert contents(only_run(tmp_path / "c" / "r")) == contents(first)


def test_a_mask_that_leaves_nothing_is_one_line(tmp_path, cli):
    for values, options, message in [
        (np.zeros(64), [], "no orbit of any symmetry lies within the mask; widen it"),
        (
            np.arange(64) < 32,
            ["--symmetry", "half-turn"],
            "symmetry half-turn lies within the mask",
        ),
        (np.ones(64), ["--method", "cover"], "'cover' knows no mask"),
    ]:
        path = saved(tmp_path, values)
        found = cli(
            "search", "no-3-in-line", "--n", 8, "--mask", path, *options, "--runs", tmp_path
        )
        assert found.code == 2
        assert re.search(message, found.error), found.error
        assert not list(tmp_path.glob("*/run.json"))
    found = cli("search", "isosceles", "--n", 8, "--mask", "mask.txt", "--runs", tmp_path)
    assert (found.code, len(found.err.splitlines())) == (2, 1)
    assert "search.mask must be a .npy file, got 'mask.txt'" in found.error


@pytest.mark.parametrize("seeding", ["portfolio", "anneal", "greedy"])
def test_a_run_with_a_model_keeps_to_a_mask_at_the_size_searched_for(tmp_path, cli, seeding):
    mask = oracles.border_band(ground_of("isosceles", 6).coords, 1)
    path = saved(tmp_path, mask)
    options = ["--seeding", seeding, "--set", f"search.mask={path}", "--set", "search.batches=1"]
    found = cli("run", "isosceles", "--n", 6, *TINY_RUN, *options, "--runs", tmp_path / "r")
    assert found.code == 0, found.err
    run = only_run(tmp_path / "r")
    for number in range(3):
        inside = inside_of(run, 6, number)
        assert len(inside)
        assert not inside[:, ~mask].any()
    assert inside_of(run, 5)[:, 12].any() or len(inside_of(run, 5))


def test_a_start_outside_the_mask_is_refused(tmp_path, cli, played):
    path = saved(tmp_path, np.arange(36) < 6)
    start = played / "best" / "n6.json"
    options = ["--start", start, "--set", f"search.mask={path}", "--runs", tmp_path / "r"]
    found = cli("run", "isosceles", "--n", 6, *TINY_RUN, *options)
    assert found.code == 2
    assert "leaves the mask" in found.error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "no orbit of the symmetry 'trivial' lies within the mask"),
        (["--seeding", "portfolio"], "no orbit of any symmetry lies within the mask"),
    ],
)
def test_a_run_whose_mask_leaves_nothing_is_refused(tmp_path, cli, options, message):
    path = saved(tmp_path, np.zeros(36))
    options = [*TINY_RUN, *options, "--set", f"search.mask={path}", "--runs", tmp_path / "r"]
    found = cli("run", "isosceles", "--n", 6, *options)
    assert found.code == 2
    assert re.search(message, found.error), found.error
    assert not (tmp_path / "r").exists()


def test_smaller_sizes_go_without_the_mask_and_the_field_of_the_largest():
    given = {"m.npy": np.arange(36) < 18, "f.npy": np.arange(36)}
    search = {"mask": "m.npy", "weights": "f.npy"}
    config = config_from({"problem": "isosceles", "n": 6, "sizes": [5, 6], "search": search}, "x")
    loop = Loop(config, arrays=given)
    explorer = loop.engine.explorer
    arms = {n: explorer.arms(n, explorer.weights(n, {})) for n in (5, 6)}
    assert {arm.weights for arm in arms[6]} == {"f.npy"}
    assert {arm.weights for arm in arms[5]} == {""}
    assert "half-turn" in {arm.symmetry for arm in arms[5]}
    assert "half-turn" not in {arm.symmetry for arm in arms[6]}
    made = {
        n: loop.runner.task(
            n,
            "trivial",
            "greedy",
            np.zeros((1, 5), np.uint8),
            np.zeros(1, np.uint64),
            config.seeding,
            1,
        )
        for n in (5, 6)
    }
    assert len(made[5].mask) == 0
    assert bitset.unpack(made[6].mask[None], 36)[0].tolist() == [True] * 18 + [False] * 18


def test_a_size_that_a_field_is_learnt_from_is_only_glanced_at():
    def explorer(problem: str, *sizes: int, **changes: Any) -> Explorer:
        data = {"problem": problem, "n": sizes[-1], "sizes": sizes, "generator": "none"}
        return Loop(configured(data, search={"weights": "learned"}, **changes)).engine.explorer

    def ways(explorer: Explorer, n: int) -> list[Arm]:
        return explorer.arms(n, explorer.weights(n, {}))

    learns = explorer("isosceles", 8, 38, 64)
    assert {arm.method for arm in ways(learns, 38)} == {"tabu", "enumerate"}
    assert {arm.symmetry for arm in ways(learns, 38)} == {"both-mirrors", "both-diagonals"}
    assert {arm.symmetry for arm in ways(learns, 8)} > {"trivial", "mirror"}
    assert {arm.weights for arm in ways(learns, 38)} == {""}
    assert {arm.weights for arm in ways(learns, 64)} == {"learned"}
    assert "cover" in {arm.method for arm in ways(explorer("no-3-in-line", 16, 24), 16)}
    # The model is to learn from what is found there.
    modelled = ways(explorer("isosceles", 38, 64, generator="gpt"), 38)
    assert {"anneal", "tabu"} < {arm.method for arm in modelled}

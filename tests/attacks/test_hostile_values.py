"""Numbers, nesting and files that nobody means well with: one line each, and nothing written."""

import contextlib
import json
import struct
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import Config, config_from, parse_toml, with_budget, with_setting
from pipeline.config.describe import keys
from pipeline.core.jit import kept
from pipeline.core.population import Population
from pipeline.errors import PipelineError, RunError, UsageError
from pipeline.footprint import check_memory
from pipeline.model.checkpoint import load_optimizer
from pipeline.plugins import load_problem
from pipeline.storage import inputs
from pipeline.storage.files import parse_lines
from pipeline.storage.run import Run

BASE = Config("isosceles", 6)
DIGITS = "9" * 5000
DEEP = "[" * 100_000
#: Anything that JSON can hold.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


#: (section, key) of every number in a configuration.
NUMBERS = [
    tuple(("." + key.name).split(".")[-2:])
    for key in keys()
    if key.name == "n" or type(key.default) in (int, float)
]


@pytest.mark.parametrize("value", [-(2**62), 2**62])
@pytest.mark.parametrize(("section", "key"), [k for k in NUMBERS if k != ("", "seed")])
def test_every_number_of_a_configuration_has_a_lower_and_an_upper_end(section, key, value):
    inner = {section: {key: value}} if section else {key: value}
    with pytest.raises(UsageError):
        config_from({"problem": "isosceles", "n": 6} | inner, "x")


@pytest.mark.parametrize("changes", [{"rounds": 10**26}, {"target": 10**26}, {"time": 1e300}])
def test_a_new_budget_passes_the_same_ranges(changes):
    with pytest.raises(UsageError, match="must be at most"):
        with_budget(BASE, **changes)


@pytest.mark.parametrize(
    "options",
    [
        ["--rounds", "+1" + "0" * 26],
        ["--rounds", "+" + DIGITS],
        ["--target", "1" + "0" * 26],
        ["--workers", str(2**62)],
    ],
)
def test_a_resume_that_is_refused_leaves_the_run_as_it_was(played, cli, options):
    before = {name: (played / name).read_bytes() for name in ("run.json", "config.toml")}
    done = cli("resume", played, *options)
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert {name: (played / name).read_bytes() for name in before} == before


@pytest.mark.parametrize("value", [DIGITS, "[" * 20_000 + "]" * 20_000, DEEP])
def test_values_of_a_setting_that_no_reader_takes_are_one_line(value):
    with pytest.raises(UsageError):
        _set({"problem": "isosceles", "n": 6}, value)


def _set(data: dict[str, Any], value: str) -> Config:
    with_setting(data, f"seed={value}")
    return config_from(data, "x")


@pytest.mark.parametrize("text", [f"seed = {DIGITS}", f"seed = {DEEP}", ".".join("a" * 5000)])
def test_toml_that_no_reader_takes_is_one_line(text):
    with pytest.raises(UsageError):
        parse_toml(text, "x")


def test_an_error_is_short_however_long_the_value_is(cli):
    done = cli("run", "isosceles", "--n", "5", "--sizes", DIGITS)
    assert done.code == 2
    assert len(done.err) < 2500


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ({"sample": {"count": 10**8}, "n": 900}, "sample.count"),
        ({"model": {"width": 65_536, "layers": 200}}, "model.width"),
        ({"train": {"batch": 10**6}, "model": {"width": 1024, "layers": 16}}, "train.batch"),
        ({"seeding": {"count": 10**8}, "n": 3000}, "seeding.count"),
    ],
)
def test_what_cannot_fit_is_refused_with_what_it_would_need(data, named, monkeypatch):
    monkeypatch.setattr("pipeline.footprint.memory_bytes", lambda: 16 << 30)
    config = config_from({"problem": "isosceles", "n": 6} | data, "x")
    with pytest.raises(UsageError, match=rf"{named} = .*memory and this machine has 17 GB"):
        check_memory(load_problem("isosceles"), config)


def test_what_a_run_usually_is_fits_a_small_machine(monkeypatch):
    monkeypatch.setattr("pipeline.footprint.memory_bytes", lambda: 2 << 30)
    check_memory(load_problem("isosceles"), Config("isosceles", 64))


def npy(shape: str) -> bytes:
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + bytes(64)


@pytest.mark.parametrize("shape", [f"({10**22},)", "(10**11,)", f"({10**11},)", "(-8,)", "(7,)"])
def test_an_array_file_must_hold_what_its_header_claims(shape):
    with pytest.raises(UsageError, match=r"^x is no \.npy file of numbers: "):
        inputs.arrays({"x": npy(shape)})
    assert inputs.arrays({"x": npy("(8,)")})["x"].shape == (8,)


@given(st.binary(max_size=200), st.booleans())
def test_no_array_file_gets_past_the_one_line(data, begins_well):
    with pytest.raises(UsageError):
        inputs.arrays({"x": (npy("(8,)")[:60] if begins_well else b"") + data + b"."})


@pytest.mark.parametrize("text", [DEEP, '{"schema": ' + DIGITS + "}", "[]", "5", "\x1b"])
def test_metadata_of_a_round_that_nobody_wrote_are_one_line(played, tmp_path, text):
    table = pq.read_table(played / "rounds" / "0002" / "n6.parquet")
    told = {**(table.schema.metadata or {}), b"extremal-pipeline.population": text.encode()}
    pq.write_table(table.replace_schema_metadata(told), tmp_path / "x.parquet")
    with pytest.raises(PipelineError):
        Population.read(tmp_path / "x.parquet")


@pytest.mark.parametrize("text", [DEEP, DIGITS, "[]", "{}", '{"kind": [], "format": {}}'])
def test_metadata_of_a_model_that_nobody_wrote_are_one_line(tmp_path, text):
    file = tmp_path / "x.safetensors"
    safetensors.numpy.save_file({"a": np.zeros(1)}, file, metadata={"pipeline": text})
    with pytest.raises(RunError):
        load_optimizer(file)


@pytest.mark.parametrize(
    "sessions",
    [
        None,
        5,
        [],
        [5],
        [{}],
        {"a": 1},
        [{"command": 5, "started": "2026-11-26T21:30:06+0000", "reproducible": True}],
        [{"command": [], "started": [], "reproducible": True}],
        [{"command": [], "started": "2026-11-26T21:30:06+0000", "reproducible": False}],
    ],
)
@pytest.mark.parametrize("command", ["show", "resume", "report"])
def test_sessions_of_another_type_are_one_line(played, cli, sessions, command):
    info = json.loads((played / "run.json").read_text())
    (played / "run.json").write_text(json.dumps(info | {"sessions": sessions}))
    done = cli(command, played)
    assert done.code == 4
    assert len(done.err.splitlines()) == 1
    assert "run.json is damaged" in done.err


@settings(max_examples=40)
@given(data=st.data())
def test_no_value_in_run_json_gets_past_the_one_line(tmp_path_factory, data):
    made = Run.create(tmp_path_factory.mktemp("runs"), BASE, "x", ["run"]).path
    info = json.loads((made / "run.json").read_text())
    key = data.draw(st.sampled_from(sorted(info)))
    (made / "run.json").write_text(json.dumps(info | {key: data.draw(JSON)}))
    with contextlib.suppress(RunError):
        assert Run(made).name


@given(st.text(max_size=60) | st.sampled_from(["n = ", "[a]", "x = [", "1.e9 = 2"]))
def test_no_toml_gets_past_the_one_line(text):
    try:
        config_from(parse_toml(text, "x"), "x")
    except UsageError:
        pass
    else:
        pytest.fail("a configuration without a problem")


@given(JSON)
def test_no_configuration_gets_past_the_one_line(data):
    with pytest.raises(UsageError):
        config_from(data, "x")


@given(st.lists(st.binary(max_size=40) | JSON.map(lambda x: json.dumps(x).encode())))
def test_a_log_yields_objects_alone_whatever_stands_there(lines):
    log = b"\n".join([*lines, DEEP.encode(), DIGITS.encode(), b'{"event": "x"}'])
    found = list(parse_lines(log))
    assert all(isinstance(event, dict) for event in found)
    assert found[-1] == {"event": "x"}


PLUGIN = """
from problems.isosceles import Isosceles

class Mine(Isosceles):
    name = "mine"

    def {hook}(self, *given):
        raise {error}("boom\\x1b[31m")
"""


@pytest.mark.parametrize("hook", ["score", "ground_set", "ground_size", "known"])
@pytest.mark.parametrize("error", ["ValueError", "RecursionError"])
def test_a_plugin_that_raises_is_named_with_its_line(tmp_path, cli, hook, error):
    file = tmp_path / f"raises_{hook}_{error}.py"
    file.write_text(PLUGIN.format(hook=hook, error=error))
    spec = f"{file}:Mine"
    done = cli("search", spec, "--n", 5, "--rounds", 1, "--workers", 1, "--runs", tmp_path)
    assert done.code == (3 if hook == "score" else 1)  # scores are checked at the first use
    assert f"{file}, line 8, in {hook}" in done.error
    assert "boom\\x1b[31m" in done.error
    assert "Traceback" not in done.err


@pytest.fixture
def bug(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    def fails(_root):
        raise KeyError("nobody foresaw this")

    monkeypatch.setattr("pipeline.storage.listing.listing", fails)


@pytest.mark.usefixtures("bug")
def test_what_nobody_foresaw_is_one_line_and_a_file_to_send(cli, tmp_path):
    done = cli("ls")
    (file,) = tmp_path.glob("pipeline-error-*.txt")
    assert done.code == 1
    assert done.err.splitlines() == [
        f"pipeline: internal error: KeyError: 'nobody foresaw this'; please send {file}"
    ]
    text = file.read_text()
    assert "pipeline ls\n" in text
    assert "numpy " in text
    assert "Traceback" in text


@pytest.mark.usefixtures("bug")
def test_a_traceback_is_shown_where_it_is_asked_for(cli, monkeypatch):
    monkeypatch.setenv("PIPELINE_DEBUG", "1")
    assert "Traceback" in cli("ls").err


def test_code_that_cannot_be_kept_is_compiled_all_the_same(monkeypatch, capsys):
    from numba import njit
    from numba.core.caching import FunctionCache

    from pipeline.core import jit

    def full(*_given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FunctionCache, "save_overload", full)
    jit.load.__wrapped__()  # puts its own before numba's
    monkeypatch.setattr(jit, "_told", [])
    monkeypatch.setattr(FunctionCache, "load_overload", lambda *_given: None)
    assert kept(njit, _next)(3) == 4
    assert kept(njit, _after)(3) == 5
    err = capsys.readouterr().err
    assert err.count("compiled code cannot be kept") == 1
    assert "No space left on device" in err


def test_code_is_compiled_where_no_folder_can_be_written():
    asked: list[dict[str, Any]] = []

    def compile(function: Any, **options: Any) -> Any:
        asked.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function 'f': no locator available")
        return function

    assert kept(compile, _next) is _next
    assert asked == [{"cache": True}, {}]


def _next(x: int) -> int:
    return x + 1


def _after(x: int) -> int:
    return x + 2

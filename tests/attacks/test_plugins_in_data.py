"""Data never loads code: a plugin's file runs only where a person typed it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import config_from
from pipeline.core.population import Population
from pipeline.errors import UsageError
from pipeline.plugins import load_problem
from pipeline.storage.run import Run

PLUGINS = Path(__file__).parents[1] / "plugins"
CLASS = "FourCycleFree"
#: A valid set of its points, at n = 4: a path.
POINTS = [[0, 1], [1, 2], [2, 3]]


@pytest.fixture
def plugin(tmp_path):
    """A plugin that leaves a file behind when it is run."""
    file = tmp_path / "evil.py"
    source = (PLUGINS / "four_cycle_free.py").read_text(encoding="utf-8")
    mark = f"open({str(tmp_path / 'RAN')!r}, 'w').close()\n"
    file.write_text(f"{source}\n{mark}", encoding="utf-8")
    return file


@pytest.fixture
def ran(tmp_path):
    return lambda: (tmp_path / "RAN").exists()


@pytest.fixture
def data(plugin, tmp_path):
    """Files of each kind that name the plugin."""
    spec = f"{plugin}:{CLASS}"
    one = tmp_path / "set.json"
    one.write_text(json.dumps({"problem": spec, "n": 4, "points": POINTS}))
    problem = load_problem(f"{PLUGINS / 'four_cycle_free.py'}:{CLASS}")
    m = problem.ground_size(4)
    cells = np.array([[0b100001]], np.uint8)
    pool = Population.build(4, m, cells, problem.score(cells, 4), origin="search")
    pool.write(tmp_path / "set.parquet", {"problem": spec, "convention": "standard"})
    spec_file = tmp_path / "spec.toml"
    spec_file.write_text(f'problem = "{spec}"\nn = 4\narms = ["perturb", "none"]\n')
    config = config_from({"problem": spec, "n": 4}, "the test")
    run = Run.create(tmp_path / "runs", config, "evil", ["run"])
    return {"json": one, "parquet": tmp_path / "set.parquet", "toml": spec_file, "run": run.path}


COMMANDS = [
    ("json", "verify FILE"),
    ("json", "count FILE"),
    ("json", "run isosceles --n 4 --start FILE"),
    ("parquet", "verify FILE"),
    ("parquet", "count FILE"),
    ("toml", "compare FILE"),
    ("run", "show FILE --rank 1"),
    ("run", "best FILE"),
    ("run", "verify FILE"),
    ("run", "count FILE"),
    ("run", "export FILE"),
    ("run", "report FILE"),
    ("run", "plot FILE --what board -o picture.svg"),
    ("run", "certificate FILE -o cert"),
    ("run", "compare FILE FILE"),
    ("run", "resume FILE"),
]


@pytest.mark.parametrize(("kind", "command"), COMMANDS)
def test_a_plugin_that_only_data_names_is_refused_in_a_line_and_never_run(
    kind, command, data, plugin, ran, cli, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    found = cli(*(str(data[kind]) if word == "FILE" else word for word in command.split()))
    assert found.code in (1, 2)
    assert len(found.err.strip().splitlines()) == 1
    assert "evil.py" in found.error
    assert not ran()
    if "--start" not in command:
        assert found.code == 2
        assert f"data never loads code: if you trust that file, add --problem {plugin}" in found.err


def test_a_task_of_the_lab_that_only_a_run_names_is_not_run(tmp_path):
    from types import SimpleNamespace

    from pipeline.lab.work import task_of

    asked = {"spec": str(tmp_path / "own.py"), "scale": "small", "lengths": [4, 4], "label": ""}
    run: Any = SimpleNamespace(path=tmp_path, info={"asked": asked})
    (tmp_path / "own.py").write_text("open('RAN', 'w')\n")
    with pytest.raises(UsageError, match=r"data never loads code: .* add --file .*own\.py"):
        task_of(run)


@pytest.mark.parametrize("command", ["ls", "records isosceles", "best isosceles --n 4"])
def test_surveys_of_runs_run_no_plugin(command, data, ran, cli, tmp_path):
    found = cli(*command.split(), "--runs", tmp_path / "runs")
    assert "Traceback" not in found.err
    assert not ran()


@pytest.mark.parametrize("named", ["evil.py", "evil.py:Mine"])
def test_a_generator_that_only_data_names_is_never_run(named, plugin, ran, cli, tmp_path):
    written = plugin.parent / named
    config, spec = tmp_path / "config.toml", tmp_path / "spec.toml"
    config.write_text(f'generator = "{written}"\n')
    spec.write_text(f'problem = "isosceles"\nn = 4\narms = ["{written}", "none"]\n')
    runs = ["--runs", tmp_path / "runs"]
    for words in (["run", "isosceles", "--n", 4, "--config", config], ["compare", spec]):
        found = cli(*words, *runs)
        assert (found.code, "data never loads code" in found.error) == (2, True)
    assert not ran()


@pytest.mark.parametrize("command", ["watch", "hist", "show"])
def test_looking_on_needs_no_plugin(command, data, ran, cli):
    assert "data never" not in cli(command, data["run"]).err
    assert not ran()


@pytest.mark.parametrize("kind", ["json", "parquet"])
def test_a_plugin_that_was_typed_judges_and_is_named(kind, data, plugin, ran, cli):
    found = cli("verify", data[kind], "--problem", f"{plugin}:{CLASS}")
    assert (found.code, ran()) == (0, True)
    assert f"valid by {plugin}:{CLASS}" in found.out


def test_what_was_typed_judges_in_place_of_the_file_that_data_names(data, plugin, ran, cli):
    mine = f"{PLUGINS / 'four_cycle_free.py'}:{CLASS}"
    found = cli("verify", data["json"], "--problem", mine)
    assert found.code == 0
    assert f"valid by {mine}" in found.out
    assert not ran()


def test_another_problem_than_the_typed_one_is_refused(data, ran, cli):
    found = cli("verify", data["json"], "--problem", "isosceles")
    assert found.code in (1, 2)
    assert "isosceles" in found.error
    assert not ran()


def test_a_moved_plugin_serves_the_searches_of_a_run_that_names_another_file(
    data, plugin, ran, cli, tmp_path
):
    kept = shutil.copy(plugin, tmp_path / "moved.py")
    plugin.write_text("raise SystemExit('the file that the run names was run')\n")
    found = cli("show", data["run"], "--problem", f"{kept}:{CLASS}")
    assert (found.code, ran()) == (0, True)


@pytest.mark.parametrize(
    "words",
    [
        ("count", "FILE"),
        ("export", "FILE", "--format", "csv"),
        ("plot", "FILE", "--what", "scores", "-o", "scores.svg"),
        ("report", "FILE", "-o", "page.html"),
        ("best", "FILE"),
        ("verify", "FILE"),
    ],
)
def test_where_a_plugin_judged_the_output_names_it(words, data, plugin, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = [str(data["json"]) if word == "FILE" else word for word in words]
    told = cli(*command, "--problem", f"{plugin}:{CLASS}")
    assert told.code == 0, told.err
    assert f"by {plugin}:{CLASS}" in told.out + told.err

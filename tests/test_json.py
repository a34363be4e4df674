"""What --json prints: one object with its version, as docs/schemas says, of every command."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import click
import pytest
from documented import ROOT, every_command

from pipeline.cli import printed
from pipeline.cli.commands import cli as program
from pipeline.cli.printed import JSON_SCHEMA, PRINTED
from pipeline.errors import PipelineError
from pipeline.lab import registry
from pipeline.lab.task import Budget

jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema: pip install -e '.[test]'")

#: By command; that of `lab list` lies in lab-list.json.
SCHEMAS = {
    path.stem.replace("-", " "): json.loads(path.read_text())
    for path in (ROOT / "docs/schemas").glob("*.json")
    if path.stem != "config"
}
COMMANDS = every_command(program)
PAGE = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
TINY = [
    *(
        "--rounds",
        "0",
        "--workers",
        "1",
        "--set",
        "seeding.batches=1",
        "--set",
        "seeding.moves=2000",
    ),
    *("--set", "seeding.count=20", "--set", "seeding.moves=500", "--symmetry", "mirror"),
    *("--set", "search.tabu_steps=200", "--set", "search.enumerate_nodes=200"),
    *("--set", "search.cover_nodes=4000"),
]

FEW = ["--steps", 2, "--parameters", "1k"]

#: Calls of every command, RUN for a run; what is printed must be as its schema says.
CALLS = [
    ("run", "isosceles", "--n", 4, "--sizes", 4, *TINY, "--seeding", "anneal"),
    ("resume", "RUN"),
    ("merge", "RUN", "COPY"),
    ("search", "isosceles", "--n", 4, *TINY),
    ("search", "isosceles", "--n", "4:5", *TINY),
    ("solve", "isosceles", "--n", 4, "--workers", 1),
    ("solve", "isosceles", "--n", 4, "--workers", 1, "--all"),
    ("solve", "no-3-in-line", "--n", 5, "--all"),
    ("ls",),
    ("show", "RUN"),
    ("hist", "RUN"),
    ("hist", "RUN", "--round", 0, "--n", 5),
    ("best", "RUN"),
    ("best", "isosceles", "--n", 6),
    ("count", "RUN"),
    ("records",),
    ("watch", "RUN"),
    ("export", "RUN", "--top", 5),
    ("certificate", "RUN", "-o", "cert"),
    ("certificate", "RUN", "-o", "announced", "--announce"),
    ("encode", "isosceles", "--n", 4, "-o", "a.opb"),
    ("decode", "isosceles", "answer", "--n", 4),
    ("exchange", "RUN"),
    ("exchange", "FILE", "--out", 1, "--time", 60),
    ("verify", "RUN", "--all-rounds"),
    ("check", f"{ROOT / 'tests/plugins/four_cycle_free.py'}:FourCycleFree", "--n", 3),
    ("rm", "RUN", "--yes"),
    ("prune", "RUN", "--keep-models", "none", "--yes"),
    ("problems",),
    ("doctor",),
    ("report", "RUN"),
    ("plot", "RUN", "--what", "scores", "-o", "scores.svg"),
    ("best", "FILE"),
    ("count", "FILE"),
    ("export", "FILE"),
    ("verify", "FILE"),
    ("certificate", "FILE", "-o", "of-a-file"),
    ("plot", "FILE", "--what", "board", "-o", "board.svg"),
    ("report", "FILE", "-o", "file.html"),
    ("lab", "list"),
    ("lab", "run", "one-2", *FEW, "--samples", 4, "--strings", 20),
    ("lab", "sweep", "s[1]=s[3]", "--lengths", 4, "--weight-decay", "0,0.1", *FEW),
]
#: Those that train for seconds are no part of the quick tests.
MARKED = [
    pytest.param(call, marks=[pytest.mark.end_to_end] * (call[:2] == ("lab", "sweep")))
    for call in CALLS
]


def named(call):
    """Return the name of the command that a call is of: "ls", or "lab list"."""
    return next(name for k in (1, 2) if (name := " ".join(call[:k])) in COMMANDS)


@pytest.fixture(autouse=True)
def _home(played, monkeypatch):
    monkeypatch.chdir(played.parent.parent)
    Path("answer").write_text("v x1 x2\n")
    monkeypatch.setenv("PIPELINE_RUNS", str(played.parent))


def check(name, data):
    jsonschema.validate(data, SCHEMAS[name], cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize("call", MARKED, ids=lambda call: " ".join(map(str, call[:4])))
def test_what_a_command_prints_is_as_its_schema_says(call, played, cli):
    named_by = {"RUN": played, "FILE": played / "best" / "n6.json", "COPY": played.parent / "copy"}
    if "COPY" in call:
        shutil.copytree(played, named_by["COPY"])
    done = cli(*[named_by.get(word, word) for word in call], "--json")
    assert done.code == 0, done.err
    # export writes a list, an object to a line; watch an object a line.
    texts = [done.out] if call[0] == "export" else done.out.splitlines()
    assert texts
    assert len(texts) == 1 or call[0] == "watch"
    for text in texts:
        data = json.loads(text)
        check(named(call), data)
        assert call[0] == "export" or data["schema"] == JSON_SCHEMA


@pytest.mark.end_to_end
def test_arms_compared_are_as_the_schema_says(cli):
    words = ("--n", 5, "--arms", "perturb,none", "--seeds", 1, "--budget-cpu-seconds", "0.2")
    done = cli("compare", "isosceles", *words, "--jobs", 1, "--json")
    assert done.code == 0, done.err
    check("compare", json.loads(done.out))


def test_a_campaign_is_as_the_schema_says(cli):
    done = cli("campaign", "isosceles", "--n", 5, "--seeds", 1, "--time", 9, "--jobs", 1, "--json")
    assert done.code == 0, done.err
    check("campaign", json.loads(done.out))


def test_attention_looked_at_is_as_the_schema_says(cli):
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install -e '.[test]'")
    assert cli("lab", "run", "one-2", *FEW, "--samples", 4, "--strings", 20).code == 0
    done = cli("lab", "attention", "latest", "--json")
    assert done.code == 0, done.err
    check("lab attention", json.loads(done.out))


def test_a_training_stopped_and_gone_on_with_is_as_the_schema_says(cli):
    words = ("one-2", *FEW, "--samples", 4, "--strings", 20, "--time", "0.000001")
    done = cli("lab", "run", *words, "--json")
    assert done.code == 0, done.err
    check("lab run", json.loads(done.out))
    done = cli("lab", "resume", "latest", "--json")
    assert done.code == 0, done.err
    check("lab resume", json.loads(done.out))


def test_tasks_and_an_experiment_of_the_lab_are_as_the_schemas_say(cli, monkeypatch):
    budget = Budget(steps=2, layers=1, heads=1, width=8, batch=4, samples=4)
    found = registry.entries()
    few = [
        replace(e, tasks={k: replace(t, budget=budget) for k, t in e.tasks.items()})
        for e in found
        if e.tasks
    ]
    alone = [entry for entry in found if not entry.tasks]
    monkeypatch.setattr(registry, "entries", lambda scale: few + alone)
    monkeypatch.setattr("pipeline.lab.text._BUDGETS", {"small": budget})
    done = cli("lab", "all", "--only", "one-2,gcd,text", "--jobs", 1, "--json")
    assert done.code == 0, done.err
    check("lab all", json.loads(done.out))
    done = cli("lab", "run", "text", "--json")
    assert done.code == 0, done.err
    check("lab run", json.loads(done.out))


def test_a_run_without_rounds_and_a_damaged_one_are_as_the_schema_says(played, cli):
    shutil.rmtree(played / "rounds" / "0000")
    check("ls", json.loads(cli("ls", "--json").out))
    for number in (1, 2):
        shutil.rmtree(played / "rounds" / f"000{number}")
    listed = json.loads(cli("ls", "--json").out)
    check("ls", listed)
    assert listed["runs"][0]["rounds"] is None
    check("show", json.loads(cli("show", played, "--json").out))


def test_what_does_not_hold_is_as_the_schema_says(cli, tmp_path):
    file = tmp_path / "bad.json"
    file.write_text('{"problem": "isosceles", "n": 3, "points": [[0, 0], [0, 1], [0, 2]]}')
    refused = cli("verify", file, "--json")
    assert refused.code == 3
    check("verify", json.loads(refused.out))


def takes_json(command: click.Command) -> bool:
    return any("--json" in parameter.opts for parameter in command.params)


def test_every_command_takes_json_and_has_a_schema_a_row_and_a_call_here():
    read = {name for name, command in COMMANDS.items() if takes_json(command)}
    assert set(COMMANDS) - read == {"completion"}
    called = {named(call) for call in CALLS}
    called |= {"campaign", "compare", "lab attention", "lab all", "lab resume"}
    assert set(SCHEMAS) == set(PRINTED) == read == called
    for name in SCHEMAS:
        assert f"`{name}`" in PAGE
        assert f"schemas/{name.replace(' ', '-')}.json" in PAGE or name == "resume"


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_sound_and_says_its_version(name):
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
    assert SCHEMAS[name]["title"].startswith(f"pipeline {name} ")
    for one in SCHEMAS[name].get("oneOf", [SCHEMAS[name]]):
        if name != "export":
            assert one["properties"]["schema"] == {"const": JSON_SCHEMA}
            assert "schema" in one["required"]


@pytest.mark.parametrize(
    "data",
    [{}, {"problems": [{"name": "x"}]}, {"problems": [], "more": 1}, {"problems": "none"}],
)
def test_what_is_not_as_the_schema_says_is_not_printed(data):
    with pytest.raises(PipelineError, match="not as its schema says"):
        printed.checked("problems", data)
    with pytest.raises(jsonschema.ValidationError):
        check("problems", {"schema": JSON_SCHEMA, **data})


def test_json_and_another_format_are_told_apart(played, cli):
    refused = cli("export", played, "--format", "csv", "--json")
    assert (refused.code, "name one of them" in refused.error) == (2, True)

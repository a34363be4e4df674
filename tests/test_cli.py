"""The command line, as a user meets it: what is said, where, and the exit code."""

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY, contents, only_run
from documented import FEW_STEPS

from pipeline import __version__
from pipeline.cli.commands import cli as group
from pipeline.config import Config, to_toml
from pipeline.stopping import Clock
from pipeline.storage.run import Run

PIPELINE = [sys.executable, "-m", "pipeline"]
VALID = {"problem": "isosceles", "n": 4, "points": [[0, 0], [0, 1]]}
FLAT = [[0, 0], [0, 1], [0, 2]]


def lines(text: str) -> list[str]:
    return text.strip().splitlines()


def fails(found: Any, code: int, message: str) -> None:
    """Check that a command ended with one clear line and this exit code."""
    assert found.code == code, found
    assert re.search(message, found.error), found.error
    assert found.error.startswith("pipeline: ")
    assert "Traceback" not in found.err


def fails_at_once(found: Any, code: int, message: str) -> None:
    fails(found, code, message)
    assert len(lines(found.err)) == 1
    assert not found.out


# --------------------------------------------------------------------------- run, resume


def test_a_run_prints_its_path_first_and_what_it_found_last(tmp_path, cli):
    found = cli("run", "isosceles", "--n", 6, *TINY, "--runs", tmp_path)
    run = only_run(tmp_path)
    printed = lines(found.out)
    assert found.code == 0
    assert printed[0] == str(run)
    assert "isosceles (flat-forbidden), n=6: 9 points, verified" in found.out
    assert "equal to the best known, 9" in found.out
    assert "round 2, n=6: sampled (20)" in found.out
    for k in range(3):
        assert f"round {k}: best 9" in found.err
    assert {p.name for p in (run / "best").iterdir()} == {"n5.json", "n5.svg", "n6.json", "n6.svg"}


def test_progress_is_plain_lines_where_there_is_no_terminal(tmp_path, cli):
    found = cli("run", "isosceles", "--n", 6, *TINY, "--rounds", 1, "--runs", tmp_path)
    assert "\x1b" not in found.out + found.err
    assert "\r" not in found.out + found.err
    assert "round 1 of 1: training" in lines(found.err)


def test_a_run_as_json_is_one_object(tmp_path, cli):
    found = cli("run", "isosceles", "--n", 6, *TINY, "--rounds", 0, "--runs", tmp_path, "--json")
    told = json.loads(found.out)
    assert told["run"] == str(only_run(tmp_path))
    assert told["best"]["score"] == 9


def test_resume_plays_more_rounds(played, cli):
    assert cli("resume", played, "--rounds", "+2").code == 0
    assert len(list((played / "rounds").iterdir())) == 5
    assert cli("resume", "latest", "--rounds", 5, "--runs", played.parent).code == 0
    assert len(list((played / "rounds").iterdir())) == 6
    told = json.loads(cli("show", played, "--json").out)
    assert len(told["sessions"]) == 3


@pytest.mark.parametrize("rounds", ["x", "-2", "+", "1.5", ""])
def test_rounds_of_another_form_are_refused(played, cli, rounds):
    fails_at_once(cli("resume", played, f"--rounds={rounds}"), 2, "--rounds .*write a number")


def test_a_target_stops_a_run_early(tmp_path, cli):
    arguments = [*TINY, "--rounds", 50, "--target", 7, "--runs", tmp_path]
    found = cli("run", "isosceles", "--n", 6, *arguments)
    assert found.code == 0
    assert [p.name for p in (only_run(tmp_path) / "rounds").iterdir()] == ["0000"]
    assert cli("resume", "latest", "--target", 0, "--rounds", 1, "--runs", tmp_path).code == 0
    assert len(list((only_run(tmp_path) / "rounds").iterdir())) == 2


def test_a_time_limit_ends_a_run_with_whole_rounds(tmp_path, cli, monkeypatch):
    commit, done = Run.commit, []

    def counted(self, number, write):
        done.append(number)
        commit(self, number, write)

    monkeypatch.setattr(Run, "commit", counted)
    monkeypatch.setattr(Clock, "seconds", lambda _: 10.0 * len(done))  # that is what a round takes
    arguments = [*TINY, "--rounds", 1000, "--time", "2m", "--runs", tmp_path]
    found = cli("run", "isosceles", "--n", 6, *arguments)
    assert found.code == 0
    assert 10 <= len(list((only_run(tmp_path) / "rounds").iterdir())) <= 13


def test_the_rng_seed_decides_the_results(played, tmp_path, cli):
    arguments = ["run", "isosceles", "--n", 6, *TINY, "--runs"]
    assert cli(*arguments, tmp_path / "same", "--seed", 0).code == 0
    assert cli(*arguments, tmp_path / "other", "--seed", 1, "--rounds", 0).code == 0
    assert contents(only_run(tmp_path / "same")) == contents(played)
    name = "rounds/0000/n6.parquet"
    assert contents(only_run(tmp_path / "other"))[name] != contents(played)[name]


@pytest.mark.parametrize(
    "options",
    [
        ["--tokens", "dense"],
        ["--tokens", "dense", "--free"],
        ["--free", "--temperature", "2", "--top-p", "0.9"],
        [
            "--tokens",
            "orbits",
            "--set",
            "symmetry=both-mirrors",
            "--symmetry",
            "both-mirrors",
        ],
        ["--convention", "flat-allowed"],
        ["--seeding", "greedy", "--from-scratch"],
        ["--n", "7", "--sizes", "5,7"],
        ["--n", "3", "--sizes", "1:3"],
        ["--n", "1", "--sizes", "1"],
        ["--set", "search.moves=0", "--set", "model.order=random"],
    ],
    ids=" ".join,
)
def test_every_option_goes_through_the_whole_loop(tmp_path, cli, options):
    found = cli("run", "isosceles", "--n", 6, *TINY, "--rounds", 1, "--runs", tmp_path, *options)
    assert found.code == 0, found.err
    assert "verified" in found.out
    assert cli("verify", "latest", "--runs", tmp_path).code == 0


def test_a_plugin_is_run_by_its_path(tmp_path, cli):
    plugin = Path(__file__).parent / "plugins" / "four_cycle_free.py"
    arguments = [*TINY, "--sizes", "4:5", "--rounds", 1, "--runs", tmp_path]
    named = f"{plugin}:FourCycleFree"
    found = cli("run", named, "--n", 5, *arguments)
    assert found.code == 0
    assert "n=5: 6 points, verified" in found.out
    there = ["--problem", named, "--runs", tmp_path]
    assert json.loads(cli("best", "latest", *there, "--json").out)["score"] == 6
    assert cli("resume", "latest", "--rounds", "+1", *there).code == 0
    assert cli("verify", only_run(tmp_path) / "best" / "n5.json", *there).code == 0


# --------------------------------------------------------------------------------- start


@pytest.mark.parametrize("kind", ["json", "parquet", "txt"])
def test_a_start_enters_the_pool(played, tmp_path, cli, kind):
    best = json.loads((played / "best" / "n6.json").read_text())
    file = tmp_path / f"given.{kind}"
    file.write_text(json.dumps(best))
    if kind == "parquet":
        file.write_bytes((played / "rounds" / "0002" / "n6.parquet").read_bytes())
    arguments = [*TINY, "--seeding", "greedy", "--set", "seeding.count=1", "--rounds", 0]
    found = cli("run", "isosceles", "--n", 6, *arguments, "--start", file, "--runs", tmp_path / "r")
    assert found.code == 0, found.err
    told = json.loads(cli("best", "latest", "--runs", tmp_path / "r", "--json").out)
    assert (told["score"], told["origin"]) == (9, "import")


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        ({**VALID, "n": 6, "points": FLAT}, 3, r"not valid; these points break the rule: \[\["),
        ({**VALID, "n": 6, "problem": "no-3-in-line"}, 1, "of .no-3-in-line., not of isosceles"),
        ({**VALID, "n": 6, "convention": "flat-allowed"}, 1, "flat-allowed"),
        (VALID, 2, "size 4, which is not among the sizes 5, 6; add it with --sizes"),
        ({**VALID, "n": 6, "score": 3}, 3, "claims the score 3"),
        ({"n": 6}, 1, "'points' is missing"),
        ([], 1, "empty list"),
    ],
)
def test_a_start_that_is_no_good_is_refused_before_there_is_a_run(
    tmp_path, cli, given, code, message
):
    file = tmp_path / "given.json"
    file.write_text(json.dumps(given))
    arguments = [*TINY, "--start", file, "--runs", tmp_path / "runs"]
    fails_at_once(cli("run", "isosceles", "--n", 6, *arguments), code, message)
    assert not (tmp_path / "runs").exists()


# --------------------------------------------------------------------------------- looking


def test_ls_lists_runs_and_says_which_are_damaged(played, cli):
    found = cli("ls", "--runs", played.parent)
    assert re.search(rf"{played.name}\s+isosceles, n=6\s+done\s+2\s+9\s+\d+ s\s+\d+ kB", found.out)
    (row,) = json.loads(cli("ls", "--runs", played.parent, "--json").out)["runs"]
    assert (row["run"], row["n"], row["rounds"], row["best"]) == (played.name, 6, 2, 9)
    (played / "config.toml").write_text("n = [")
    assert re.search(rf"{played.name}\s+-\s+damaged", cli("ls", "--runs", played.parent).out)
    (row,) = json.loads(cli("ls", "--runs", played.parent, "--json").out)["runs"]
    assert "not TOML" in row["error"]


def test_ls_of_nothing_says_how_to_start(tmp_path, cli):
    found = cli("ls", "--runs", tmp_path / "none")
    assert (found.code, found.out.startswith("no runs in ")) == (0, True)
    assert json.loads(cli("ls", "--runs", tmp_path, "--json").out)["runs"] == []


def test_the_environment_names_the_folder_of_runs(played, cli, monkeypatch):
    monkeypatch.setenv("PIPELINE_RUNS", str(played.parent))
    assert played.name in cli("ls").out
    assert cli("hist", "latest").code == 0


def test_show_tells_command_rounds_and_best(played, cli):
    found = cli("show", played)
    assert "  pipeline run isosceles --n 6 " in found.out
    assert "n=6: 9 points, verified" in found.out
    told = json.loads(cli("show", played, "--json").out)
    assert [stats["round"] for stats in told["rounds"]] == [0, 1, 2]
    assert told["best"]["score"] == 9
    assert told["identity"]


def test_a_stage_of_one_size_says_which(tmp_path, cli):
    options = [
        *TINY,
        *FEW_STEPS,
        "--seeding",
        "portfolio",
        "--set",
        "seeding.batches=1",
        "--rounds",
        1,
    ]
    options += ["--set", "search.batches=1"]
    found = cli("run", "isosceles", "--n", 6, *options, "--runs", tmp_path)
    assert found.code == 0
    shown = [line for line in lines(found.err) if line.startswith("round 0 of 1: ")]
    assert shown == ["round 0 of 1: search, n=5", "round 0 of 1: search, n=6"]
    said = lines(found.err)
    at = said.index("round 1 of 1: repair and search")
    assert "round 1 of 1: search, n=6" in said[at:]
    events = [json.loads(e) for e in lines((only_run(tmp_path) / "events.jsonl").read_text())]
    stages = [e for e in events if e["event"] == "stage" and e["name"] == "explore"]
    assert [stage["n"] for stage in stages] == [5, 6, 6]


def test_hist_draws_a_round_and_a_size(played, cli):
    last = cli("hist", played).out
    assert all(f"round 2, n=6: {what}" in last for what in ("sampled", "searched", "kept"))
    assert "top 20 %" in last
    first = cli("hist", played, "--round", 0).out
    assert "round 0, n=6: seeded (40)" in first
    assert "round 0, n=5: kept" in cli("hist", played, "--round", 0, "--n", 5).out
    told = json.loads(cli("hist", played, "--round", 1, "--json").out)
    assert (told["round"], told["n"], told["sampled"]["count"]) == (1, 6, 20)


def test_hist_shows_failures_as_bars_of_their_own(tmp_path, cli):
    arguments = ["--free", "--temperature", 2, "--rounds", 1, "--runs", tmp_path]
    assert cli("run", "isosceles", "--n", 6, *TINY, *arguments).code == 0
    drawn = cli("hist", "latest", "--runs", tmp_path).out
    told = json.loads(cli("hist", "latest", "--runs", tmp_path, "--json").out)["sampled"]
    assert told["invalid"] + told["wrong_format"] > 0
    assert re.search(rf"^ *invalid \S* ?{told['invalid']}$", drawn, re.M)
    assert re.search(rf"^wrong format \S* ?{told['wrong_format']}$", drawn, re.M)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--round", 9], 4, "has no round 9; it has rounds 0 to 2"),
        (["--round", -1], 4, "has no round -1"),
        (["--n", 9], 2, "nothing of size 9; it has 5, 6"),
        (["--round", "x"], 2, "--round"),
    ],
)
def test_hist_of_what_is_not_there(played, cli, options, code, message):
    fails_at_once(cli("hist", played, *options), code, message)


def test_best_is_verified_json_that_verify_reads(played, tmp_path, cli):
    found = cli("best", played, "--json")
    told = json.loads(found.out)
    assert (told["problem"], told["n"], told["score"]) == ("isosceles", 6, 9)
    assert told["convention"] == "flat-forbidden"
    assert len(told["points"]) == 9
    file = tmp_path / "best.json"
    file.write_text(found.out)
    assert cli("verify", file).code == 0
    assert "n=5" in cli("best", played, "--n", 5).out
    fails_at_once(cli("best", played, "--n", 17), 4, "no constructions of size 17; it has 5, 6")


def test_problems_and_doctor(tmp_path, cli):
    assert "--convention flat-forbidden (default), flat-allowed" in cli("problems").out
    rows = json.loads(cli("problems", "--json").out)["problems"]
    assert {"isosceles", "no-3-in-line"} <= {row["name"] for row in rows}
    found = cli("doctor", "--runs", tmp_path / "none")
    assert found.code == 0
    assert all(line.startswith("ok ") for line in lines(found.out))
    told = json.loads(cli("doctor", "--json").out)
    assert told["ok"]
    assert all({"what", "found", "ok"} == set(finding) for finding in told["findings"])


def test_doctor_fails_where_something_is_wrong(cli, monkeypatch):
    bad = [{"what": "disk", "found": "1 kB free", "ok": False}]
    monkeypatch.setattr("pipeline.doctor.examine", lambda _root: bad)
    found = cli("doctor")
    assert (found.code, found.out) == (1, "BAD  disk: 1 kB free\n")
    assert json.loads(cli("doctor", "--json").out)["ok"] is False


def test_quiet_leaves_results_and_errors_alone(cli, tmp_path):
    words = ["run", "isosceles", "--n", 6, *TINY, "--rounds", 1, "--runs", tmp_path]
    quiet = cli(*words, "--quiet")
    assert (quiet.code, quiet.err) == (0, "")
    assert "verified" in quiet.out
    assert "round 1" in cli(*words).err
    assert cli("solve", "isosceles", "--n", 4, "--workers", 1, "-q").err == ""
    refused = cli("solve", "isosceles", "--n", 0, "-q")
    assert refused.code == 2
    assert "n must be at least 1" in refused.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_that_asks_this_program(shell, cli):
    found = cli("completion", shell)
    assert (found.code, found.err) == (0, "")
    assert f"_PIPELINE_COMPLETE={shell}_complete" in found.out


def test_version_and_help(cli):
    assert __version__ in cli("--version").out
    assert cli("-h").code == 0
    for name, command in group.commands.items():
        assert command.help
        assert f"Usage: pipeline {name}" in cli(name, "--help").out


# --------------------------------------------------------------------------------- verify


def verified(cli: Any, tmp_path: Path, data: Any, *options: str) -> Any:
    file = tmp_path / "given.json"
    file.write_text(data if isinstance(data, str) else json.dumps(data))
    return cli("verify", file, *options)


@pytest.mark.parametrize(
    ("data", "score"),
    [
        (VALID, 2),
        ({**VALID, "score": 2}, 2),
        ({**VALID, "convention": "flat-forbidden"}, 2),
        ({**VALID, "points": FLAT, "convention": "flat-allowed"}, 3),
        ({**VALID, "points": []}, 0),
        ({**VALID, "n": 1, "points": [[0, 0]]}, 1),
        ({**VALID, "comment": "further keys are fine"}, 2),
    ],
)
def test_a_valid_construction_is_one_line_with_n_and_score(tmp_path, cli, data, score):
    found = verified(cli, tmp_path, data)
    assert found.code == 0
    (line,) = lines(found.out)
    assert line.endswith(f"isosceles, n={data['n']}, score {score}, valid")
    told = json.loads(verified(cli, tmp_path, data, "--json").out)
    assert told["valid"]
    assert (told["checked"][0]["n"], told["checked"][0]["score"]) == (data["n"], score)


def test_a_list_is_checked_entry_by_entry(tmp_path, cli):
    other = {"problem": "no-3-in-line", "n": 3, "points": [[0, 0], [0, 1]]}
    found = verified(cli, tmp_path, [VALID, other])
    assert [line.split(": ", 1)[1] for line in lines(found.out)] == [
        "isosceles, n=4, score 2, valid",
        "no-3-in-line, n=3, score 2, valid",
    ]
    fails_at_once(verified(cli, tmp_path, [VALID, {**VALID, "points": FLAT}]), 3, "entry 1: ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"points": FLAT}, r"not valid.*\[\[0, 0\], \[0, 1\], \[0, 2\]\]"),
        ({"points": [[0, 0], [0, 1], [1, 0]], "convention": "flat-allowed"}, "not valid"),
        ({"points": FLAT, "problem": "no-3-in-line"}, r"\[\[0, 0\], \[0, 1\], \[0, 2\]\]"),
        ({"score": 3}, "claims the score 3, its points have 2"),
        ({"score": 0}, "claims the score 0, its points have 2"),
    ],
)
def test_what_does_not_hold_is_exit_3_with_a_witness(tmp_path, cli, changes, message):
    fails_at_once(verified(cli, tmp_path, {**VALID, **changes}), 3, message)
    found = verified(cli, tmp_path, {**VALID, **changes}, "--json")
    assert found.code == 3
    assert json.loads(found.out)["valid"] is False


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"points": [[0, 0], [0, 4]]}, r"point 1, \[0, 4\], is not an element of size n=4"),
        ({"points": [[-1, 0]]}, "point 0.*not an element"),
        ({"points": [[0, 2**70]]}, "not an element"),
        ({"points": [[0, 0], [0, 0]]}, "given twice"),
        ({"points": [[0]]}, "a list of 2 whole numbers"),
        ({"points": [[0, 1, 2]]}, "a list of 2 whole numbers"),
        ({"points": [[0, 1.0]]}, "a list of 2 whole numbers"),
        ({"points": [[0, True]]}, "a list of 2 whole numbers"),
        ({"points": [0, 1]}, "a list of 2 whole numbers"),
        ({"points": {}}, "points must be a list"),
        ({"points": None}, "points must be a list"),
        ({"n": "4"}, "n must be a whole number"),
        ({"n": True}, "n must be a whole number"),
        ({"n": 4.0}, "n must be a whole number"),
        ({"n": 0}, "n must be at least 1"),
        ({"n": -3}, "n must be at least 1"),
        ({"n": 10**6}, "far more than 2 points need"),
        ({"n": 10**200}, "n must be a whole number below"),
        ({"score": True}, "score must be a whole number"),
        ({"score": "2"}, "score must be a whole number"),
        ({"score": 2.0}, "score must be a whole number"),
        ({"problem": "isoceles"}, "did you mean 'isosceles'"),
        ({"problem": 3}, "problem must be a string"),
        ({"convention": "x"}, "no convention 'x'"),
        ({"convention": 3}, "convention must be a string"),
    ],
    ids=repr,
)
def test_a_malformed_construction_is_one_line(tmp_path, cli, changes, message):
    fails_at_once(verified(cli, tmp_path, {**VALID, **changes}), 1, message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("{", "not JSON"),
        ("null", "no format known here"),
        ("[null]", "entry 0: expected an object"),
        ("[]", "empty list"),
        ("{}", "'points' is missing"),
        ("[" * 100_000, "nested too deeply"),
        ('{"n": ' + "9" * 5000 + "}", "not JSON"),
    ],
    ids=lambda text: text[:12],
)
def test_a_malformed_file_is_one_line(tmp_path, cli, text, message):
    fails_at_once(verified(cli, tmp_path, text), 1, message)


def test_a_file_of_bytes_or_none_is_one_line(tmp_path, cli):
    for name in ("given.json", "given.parquet"):
        (tmp_path / name).write_bytes(b"\xff\x00PAR1")
        fails_at_once(cli("verify", tmp_path / name), 1, name)
        fails_at_once(cli("verify", tmp_path / "no" / name), 2, "no such file")


def test_a_parquet_round_is_one_line(played, cli):
    found = cli("verify", played / "rounds" / "0002" / "n6.parquet")
    assert found.code == 0
    (line,) = lines(found.out)
    assert re.search(r"isosceles, n=6, \d+ constructions, best score 9, valid$", line)


def test_a_parquet_file_of_something_else_is_one_line(tmp_path, cli):
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    fails_at_once(cli("verify", tmp_path / "a.parquet"), 1, "no population")


def test_a_run_is_verified_size_by_size(played, cli):
    found = cli("verify", played)
    assert found.code == 0
    assert [line.split(", ")[1] for line in lines(found.out)] == ["n=5", "n=6"]


# ------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["isoceles", "--n", 6], "unknown problem 'isoceles'; did you mean 'isosceles'"),
        (["isosceles"], "name a size"),
        (["isosceles", "--n", 0], "n must be at least 1, got 0"),
        (["isosceles", "--n", -3], "n must be at least 1, got -3"),
        (["isosceles", "--n", 10**6], "n=1000000 would need about .* of memory"),
        (["isosceles", "--n", 10**400], "n must be at most"),
        (["isosceles", "--n", "six"], "'six' is not a valid integer"),
        (["isosceles", "--n", 6, "--sizes", "20:16"], "runs backwards; write 16:20"),
        (["isosceles", "--n", 6, "--sizes", "5:8"], "sizes must be at most n"),
        (["isosceles", "--n", 6, "--sizes", "0:6"], "sizes must be at least 1"),
        (["isosceles", "--n", 6, "--sizes", "a"], "write a range as 8:16"),
        (["isosceles", "--n", 6, "--sizes", "1:1000000"], "name fewer"),
        (["isosceles", "--n", 6, "--rounds", -1], "budget.rounds must be at least 0"),
        (["isosceles", "--n", 6, "--time", "soon"], "--time soon: write seconds"),
        (["isosceles", "--n", 6, "--time", "0"], "--time 0: write seconds"),
        (["isosceles", "--n", 6, "--seed", -1], "seed must be at least 0"),
        (["isosceles", "--n", 6, "--convention", "flat"], "did you mean 'flat-"),
        (["isosceles", "--n", 6, "--seeding", "aneal"], "did you mean 'anneal'"),
        (["isosceles", "--n", 6, "--device", "gpu"], "did you mean 'cpu'"),
        (["isosceles", "--n", 6, "--set", "train.steps"], "write it as section.key=value"),
        (["isosceles", "--n", 6, "--set", "train.stepz=8"], "did you mean 'train.steps'"),
        (["isosceles", "--n", 6, "--set", "train.steps=x"], "train.steps must be a whole number"),
        (["isosceles", "--n", 6, "--config", "nope.toml"], "no such file: nope.toml"),
        (["isosceles", "--n", 6, "--start", "nope.json"], "no such file: nope.json"),
        (["./nope.py:X", "--n", 6], "no such file"),
        (["./nope.py", "--n", 6], "no such file"),
        (["isosceles", "--n", 6, "--roundz", 3], "--roundz"),
        ([], "PROBLEM"),
    ],
    ids=lambda value: " ".join(map(str, value))[:40] if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_makes_no_run(tmp_path, cli, arguments, message):
    fails_at_once(cli("run", *arguments, "--runs", tmp_path / "runs"), 2, message)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tokens", "pointz"], "unknown tokens 'pointz'; did you mean 'points'"),
        (["--symmetry", "mirorr"], "did you mean 'mirror'"),
        (["--symmetry", "quarter-turn"], "no construction with the symmetry quarter-turn"),
        (["--set", "symmetry=mirror"], "use tokens 'orbits'"),
        (
            ["--tokens", "orbits", "--set", "symmetry=quarter-turn"],
            "no construction with the symmetry 'quarter-turn'",
        ),
        (["--set", "model.order=shuffled"], "order"),
        (["--set", "compute.device=cuda"], "this machine has no CUDA device.*use --device cpu"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_no_run_could_get_past_is_said_before_there_is_one(tmp_path, cli, options, message):
    import torch

    if "compute.device=cuda" in options and torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    found = cli("run", "isosceles", "--n", 6, *TINY, *options, "--runs", tmp_path / "runs")
    fails(found, 2, message)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("def f(:\n", 1, r"plugin\.py, line 1: invalid syntax"),
        ("import nothing_of_the_kind\n", 1, "ModuleNotFoundError: No module named"),
        ("X = 3\n", 2, "is not a subclass of pipeline.problem.Problem"),
        ("", 2, "has no 'X'"),
        ("raise SystemExit(7)\n", 1, "cannot be imported: SystemExit"),
    ],
)
def test_a_plugin_that_is_no_good_is_one_line(tmp_path, cli, text, code, message):
    file = tmp_path / "plugin.py"
    file.write_text(text)
    fails_at_once(cli("run", f"{file}:X", "--n", 5, "--runs", tmp_path / "runs"), code, message)


def test_the_printed_config_can_be_given_back(tmp_path, cli):
    options = ["--n", 6, *TINY, "--symmetry", "mirror,half-turn", "--free", "--time", "2m"]
    printed = cli("run", "isosceles", *options, "--print-config", "--runs", tmp_path / "r")
    assert printed.code == 0
    assert not (tmp_path / "r").exists()
    file = tmp_path / "config.toml"
    file.write_text(printed.out)
    again = cli("run", "isosceles", "--config", file, "--print-config")
    assert again.out == printed.out


def test_a_config_file_and_options_over_it_give_the_same_identity(played, tmp_path, cli):
    file = tmp_path / "config.toml"
    file.write_text((played / "config.toml").read_text())
    arguments = ["--config", file, "--rounds", 0, "--runs", tmp_path / "r"]
    assert cli("run", "isosceles", *arguments).code == 0
    ours, theirs = (
        json.loads((p / "run.json").read_text()) for p in (only_run(tmp_path / "r"), played)
    )
    assert ours["identity"] == theirs["identity"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n = [", "not TOML"),
        ("train = 3", "train must be a section"),
        ('seed = "6"', "seed must be a"),
        ("n = 6\nseedz = 3", "unknown key 'seedz'; did you mean 'seed'"),
        ("n = 6\n[train]\nsteps = 1.5", "train.steps must be a whole number, got 1.5"),
    ],
)
def test_a_config_file_that_is_no_good_is_named(tmp_path, cli, text, message):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    arguments = ["--config", file, "--runs", tmp_path / "r"]
    fails_at_once(cli("run", "isosceles", "--n", 6, *arguments), 2, f"mine.toml.*{message}")


def test_a_folder_of_runs_that_cannot_be_written_is_one_line(tmp_path, cli):
    (tmp_path / "file").write_text("in the way")
    found = cli("run", "isosceles", "--n", 6, *TINY, "--runs", tmp_path / "file" / "runs")
    fails(found, 1, "cannot write .*Not a directory")


def test_running_out_of_memory_is_one_line(played, cli, monkeypatch):
    def full(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("pipeline.generators.gpt.train", full)
    fails(cli("resume", played, "--rounds", "+1"), 1, "out of memory; choose a smaller")
    assert len(list((played / "rounds").iterdir())) == 3


# ---------------------------------------------------------- interrupts, pipes, terminals


def start(*arguments: Any, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PIPELINE, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def read_until(process: subprocess.Popen[str], text: str) -> str:
    assert process.stderr is not None
    seen = ""
    while text not in seen:
        line = process.stderr.readline()
        assert line, seen
        seen += line
    return seen


LONG = ["run", "isosceles", "--n", 6, *TINY, "--rounds", 1000]


@pytest.mark.end_to_end
@pytest.mark.skipif(os.name != "posix", reason="sends signals as POSIX does")
@pytest.mark.parametrize(
    ("workers", "moment"), [(1, "round 1 of 1000: sampling"), (2, "round 0 of 1000: local search")]
)
def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(played, tmp_path, cli, workers, moment):
    count = ["--set", "seeding.count=4000"] if workers == 2 else []
    process = start(*LONG, *count, "--workers", workers, "--runs", tmp_path)
    read_until(process, moment)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate()
    run = only_run(tmp_path)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert lines(err)[-1].endswith(f"Go on with: pipeline resume {run.name}")
    assert lines(out) == [str(run)] or out.startswith(str(run))
    if workers == 1:
        done = len(list((run / "rounds").iterdir()))
        assert cli("resume", run, "--rounds", max(2, done)).code == 0
        ours, theirs = contents(run), contents(played)
        names = [name for name in theirs if name.startswith("rounds")]
        assert {name: ours[name] for name in names} == {name: theirs[name] for name in names}


@pytest.mark.end_to_end
@pytest.mark.skipif(os.name != "posix", reason="sends signals as POSIX does")
def test_a_second_ctrl_c_stops_at_once(tmp_path):
    # One annealing of 10**12 proposals takes days: only a stop in its midst ends this.
    endless = ["--set", "seeding.moves=1000000000000", "--workers", 2]
    process = start(*LONG, *endless, "--runs", tmp_path)
    read_until(process, "round 0 of 1000: local search")
    process.send_signal(signal.SIGINT)
    read_until(process, "once more to stop at once")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in err
    name = only_run(tmp_path).name
    assert (
        lines(err)[-1] == f"stopped; no round was finished yet. Go on with: pipeline resume {name}"
    )


@pytest.mark.skipif(os.name != "posix", reason="sends signals as POSIX does")
def test_ctrl_c_before_there_is_a_run_is_one_line(tmp_path):
    process = start(*LONG, "--runs", tmp_path / "runs")
    read_until(process, "loading")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert lines(err) == ["pipeline: stopped"]
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").glob("*/rounds/*"))


def test_a_reader_that_goes_away_is_no_error(played):
    for command in (["hist", played], ["best", played, "--json"], ["ls", "--runs", played.parent]):
        process = start(*command)
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait() == 0
        process.stderr.close()


def in_a_terminal(*arguments: Any, **environment: str) -> str:
    """Run a command with a terminal for stdout and stderr; return what it wrote."""
    import pty

    ours, theirs = pty.openpty()
    plain = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        [*PIPELINE, *map(str, arguments)],
        stdout=theirs,
        stderr=theirs,
        env=plain | {"TERM": "xterm", "COLUMNS": "100"} | environment,
    )
    os.close(theirs)
    data = b""
    with contextlib.suppress(OSError):  # Linux says so when the other side is closed
        while select.select([ours], [], [], 300)[0] and (part := os.read(ours, 65536)):
            data += part
    os.close(ours)
    assert process.wait() == 0
    return data.decode()


@pytest.mark.end_to_end
@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_colours_and_bars_only_in_a_terminal_and_no_colour_when_asked(played, tmp_path, cli):
    colour = re.compile(r"\x1b\[[0-9;]*3[0-9]m")
    assert colour.search(in_a_terminal("hist", played))
    assert not colour.search(in_a_terminal("hist", played, NO_COLOR="1"))
    assert "\x1b" not in cli("hist", played).out
    shown = in_a_terminal("run", "isosceles", "--n", 6, *TINY, "--rounds", 1, "--runs", tmp_path)
    assert "ETA" in shown
    assert "round 0 of 1: local search" in shown


def test_the_default_config_is_what_the_file_says(tmp_path, cli):
    printed = cli("run", "isosceles", "--n", 6, "--print-config", "--set", "compute.threads=1")
    expected = to_toml(Config("isosceles", 6)).replace("threads = 0", "threads = 1")
    assert printed.out == expected

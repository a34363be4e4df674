"""What the README shows: every command is run, in its order, with small budgets."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")

#: Budgets for a test; what the commands mean stays as it is.
SMALL_LOOP = shlex.split(
    "--set seeding.count=40 --set seeding.proposals=2000 --set seeding.batches=1 "
    "--set search.batches=1 --set search.proposals=500 --set train.steps=4 --set sample.count=10 "
    "--set select.keep=50 --set model.width=16 --set model.layers=1"
)
SMALL_RUN = [*SMALL_LOOP, "--workers", "1", "--rounds", "1"]
SMALL_SEARCH = shlex.split("--rounds 0 --set seeding.batches=1 --symmetry both-mirrors --workers 1")
SMALL_COMPARE = ["--n", "9", "--seeds", "1", "--budget-cpu-seconds", "1", *SMALL_LOOP]
SMALL = {"run": SMALL_RUN, "search": SMALL_SEARCH, "compare": SMALL_COMPARE}


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch):
    few = {"tabu": 2000, "enumerate": 2000, "cover": 40_000}
    monkeypatch.setattr("pipeline.workshop._BOUNDS", few)


def commands() -> list[str]:
    """Return the indented lines that call the program, comments taken off."""
    found = []
    for line in README.splitlines():
        if line.startswith("    ") and "pipeline" in line and "pip install" not in line:
            text = line.strip().removeprefix("$ ").split("  #")[0].strip()
            if text.startswith("pipeline "):
                found.append(text)
    return found


def test_every_command_of_the_readme_works(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIPELINE_RUNS", str(tmp_path / "runs"))
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    written = re.search(r"\$ echo '(.*)' > set.json\n", README)
    assert written is not None
    (tmp_path / "set.json").write_text(written[1])
    assert cli("run", "isosceles", "--n", "16", *SMALL_RUN).code == 0
    told = commands()
    assert len(told) > 15
    for command in told:
        words = shlex.split(command)[1:]
        small = SMALL.get(words[0], [])
        if words[0] == "search":
            # The clock would end these; here a number of rounds does.
            at = words.index("--time")
            words[at : at + 2] = []
        if words[0] == "resume":
            words = [w.replace("+2", "+1") for w in words]
        found = cli(*words, *small)
        assert found.code == 0, (command, found.error)
    assert "    python cert/verify.py\n" in README
    subprocess.run([sys.executable, "cert/verify.py"], check=True, capture_output=True)


def test_the_readme_shows_what_verify_prints(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = re.search(r"\$ echo '(.*)' > set.json\n.*\$ pipeline verify set.json\n +(.*)\n", README)
    assert shown is not None
    (tmp_path / "set.json").write_text(shown[1])
    assert cli("verify", "set.json").out.strip() == shown[2]


@pytest.mark.parametrize(
    "line",
    [
        "python3 -m venv .venv && . .venv/bin/activate && pip install -e . "
        "&& pipeline run isosceles --n 16",
        "python3 -m venv .venv && . .venv/bin/activate && pip install -e '.[test]' && pytest",
    ],
)
def test_setting_up_is_one_line_that_ci_runs(line):
    assert f"    {line}\n" in README
    part = line.split("pip install")[1]
    assert f"pip install{part}" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_shown_output_has_the_form_of_the_real_one(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("PIPELINE_RUNS", str(tmp_path))
    real = cli("run", "isosceles", "--n", "16", *SMALL_RUN).out
    shown = README.split("```")[1]

    def form(text: str) -> list[str]:
        """Return what is left without numbers, bars and points."""
        kept = [re.sub(r"[\d.,█▏▎▍▌▋▊▉●·-]+", "", line).split() for line in text.splitlines()]
        return sorted({" ".join(words) for words in kept if words} - {""})

    missing = [line for line in form(real) if line not in form(shown) and "runs" not in line]
    assert [line for line in missing if "best known" not in line and "/" not in line] == []

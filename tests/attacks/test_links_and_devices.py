"""Links, pipes and devices where a file is to be written: refused, and never opened."""

import os
import shutil
import stat
from pathlib import Path

import pytest
from conftest import contents

from pipeline.storage import files
from pipeline.storage.run import Run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="makes nodes as POSIX does")


def make(kind: str, there: Path, victim: Path) -> None:
    """Put something that is no file in the way; the device is a node that swallows all."""
    victim.write_text("precious")
    if kind == "link":
        there.symlink_to(victim)
    elif kind == "dangling link":
        there.symlink_to(victim.with_name("not there"))
    elif kind == "pipe":
        os.mkfifo(there)
    elif kind == "folder":
        there.mkdir()
    else:
        try:
            os.mknod(there, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        except PermissionError:
            pytest.skip("only root makes nodes")


KINDS = ("link", "dangling link", "pipe", "folder", "device")
OUTPUTS = {
    "report": ("report", "RUN", "--force", "-o", "FILE.html"),
    "plot": ("plot", "RUN", "--what", "scores", "--force", "-o", "FILE.svg"),
    "export": ("export", "RUN", "--force", "-o", "FILE.json"),
    "parquet": ("export", "RUN", "--format", "parquet", "--force", "-o", "FILE.parquet"),
    "solve": ("solve", "isosceles", "--n", 3, "--workers", 1, "-o", "FILE.json"),
    "figure": ("compare", "isosceles", "--n", 4, "--figure", "FILE.svg"),
    "table": ("compare", "isosceles", "--n", 4, "-o", "FILE.md"),
    "lab": ("lab", "all", "-o", "FILE.md"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", OUTPUTS)
def test_only_a_regular_file_is_ever_replaced(command, kind, played, tmp_path, cli):
    words = [played if word == "RUN" else word for word in OUTPUTS[command]]
    there = tmp_path / str(words[-1])
    make(kind, there, tmp_path / "victim")
    before, beside = os.lstat(there), sorted(tmp_path.iterdir())
    found = cli(*words[:-1], there)
    assert found.code == 2
    assert len(found.err.strip().splitlines()) == 1
    assert str(there) in found.error
    assert "name a" in found.error
    after = os.lstat(there)
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert sorted(tmp_path.iterdir()) == beside
    assert (tmp_path / "victim").read_text() == "precious"


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_replaces_only_regular_files(kind, played, tmp_path, cli):
    folder = tmp_path / "certificate"
    assert cli("certificate", played, "-o", folder).code == 0
    for file in list(folder.iterdir()):
        file.unlink()
        make(kind, file, tmp_path / "victim")
        found = cli("certificate", played, "-o", folder, "--force")
        assert found.code == 2
        assert "only a regular file is ever replaced" in found.error
        shutil.rmtree(file) if kind == "folder" else file.unlink()
        assert cli("certificate", played, "-o", folder, "--force").code == 0
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_report_beside_the_run_follows_no_link(played, tmp_path, cli):
    make("link", played / "report.html", tmp_path / "victim")
    found = cli("report", played)
    assert (found.code, "is a symbolic link" in found.error) == (2, True)
    assert (tmp_path / "victim").read_text() == "precious"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["lock", "lock.pid", "events.jsonl"])
def test_a_run_writes_no_file_through_what_is_none(name, kind, played, tmp_path, cli):
    (played / name).unlink(missing_ok=True)
    make(kind, played / name, tmp_path / "victim")
    rounds = contents(played)
    found = cli("resume", played, "--rounds", "+1")
    assert found.code == 4
    assert len(found.err.strip().splitlines()) == 1
    assert f"{played / name} is a " in found.error
    assert contents(played) == rounds
    assert (tmp_path / "victim").read_text() == "precious"
    assert not (tmp_path / "not there").exists()


@pytest.mark.parametrize("name", ["rounds", "best", "rounds/0001"])
def test_a_run_writes_and_deletes_nothing_in_a_folder_elsewhere(name, played, tmp_path, cli):
    elsewhere = tmp_path / "elsewhere"
    (played / name).rename(elsewhere)
    (played / name).symlink_to(elsewhere)
    (elsewhere / ".writing-mine").write_text("precious")
    before = sorted(elsewhere.rglob("*"))
    found = cli("resume", played, "--rounds", "+1")
    assert found.code == 4
    assert "is a symbolic link; a run writes in its own folder alone" in found.error
    assert cli("prune", played, "--keep-models", "none", "--yes").code == 4
    assert sorted(elsewhere.rglob("*")) == before


@pytest.mark.parametrize("kind", ["link", "pipe", "device"])
def test_a_log_that_is_no_file_is_as_good_as_none(kind, played, tmp_path, cli):
    (played / "events.jsonl").unlink()
    make(kind, played / "events.jsonl", tmp_path / "victim")
    run = Run(played)
    run.event("note", text="x")
    assert run.events() == []
    assert cli("watch", played).code == 0
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_link_planted_where_a_file_is_written_beside_is_not_followed(tmp_path):
    victim, there = tmp_path / "victim", tmp_path / "there"
    make("link", tmp_path / ".writing-there", victim)
    files.write(there, b"data")
    assert there.read_bytes() == b"data"
    assert victim.read_text() == "precious"
    assert sorted(tmp_path.iterdir()) == [there, victim]


def test_rm_deletes_links_and_not_what_they_lead_to(played, tmp_path, cli):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("precious")
    shutil.rmtree(played / "best")
    (played / "best").symlink_to(elsewhere)
    assert cli("rm", played, "--yes").code == 0
    assert not played.exists()
    assert (elsewhere / "file").read_text() == "precious"


def test_rm_of_a_link_to_a_run_is_refused(played, tmp_path, cli):
    link = tmp_path / "link"
    link.symlink_to(played)
    for name in (link, f"{link}/"):
        found = cli("rm", name, "--yes")
        assert (found.code, "is a link; name the folder of the run itself" in found.error) == (
            4,
            True,
        )
    assert (played / "run.json").is_file()

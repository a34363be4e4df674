"""One run that is damaged or hostile is left out of what looks through all of them, and named."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import RunError
from pipeline.storage.run import Run


def _stats(text: str) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        import hashlib

        folder = run / "rounds" / "0002"
        (folder / "stats.json").write_text(text)
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["stats.json"] = hashlib.sha256(text.encode()).hexdigest()
        (folder / "manifest.json").write_text(json.dumps(manifest))

    return damage


def _info(text: str) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        (run / "run.json").write_text(text)

    return damage


def _folder(name: str) -> Callable[[Path], None]:
    return lambda run: run.joinpath("rounds", name).mkdir()


def _fifo(run: Path) -> None:
    (run / "run.json").unlink()
    os.mkfifo(run / "run.json")


def _config(run: Path) -> None:
    (run / "config.toml").write_text("x = " + "[" * 100_000)


DAMAGES = {
    "deep run.json": _info("[" * 100_000),
    "list in run.json": _info("[]"),
    "digits in run.json": _info('{"schema": ' + "9" * 5000 + "}"),
    "pipe": _fifo,
    "deep config": _config,
    "empty stats": _stats("{}"),
    "list in stats": _stats("[1]"),
    "pool of text": _stats('{"n": 6, "round": 2, "pool": {"5": {"max": 1}, "6": {"max": "9"}}}'),
    "round 00000": _folder("00000"),
    "round 99999999": _folder("99999999"),
    "round of 200 digits": _folder("9" * 200),
}


@pytest.fixture(params=DAMAGES)
def beside(request: pytest.FixtureRequest, played: Path) -> Path:
    """A damaged run beside the whole one."""
    other = Path(shutil.copytree(played, played.parent / "isosceles-n6-other"))
    DAMAGES[request.param](other)
    return other


@pytest.mark.parametrize(
    "command", [["ls"], ["best", "isosceles", "--n", "6"], ["records", "isosceles", "--n", "6"]]
)
def test_a_survey_leaves_a_damaged_run_out_and_names_it(played, beside, cli, command):
    done = cli(*command, "--runs", beside.parent, "--json")
    assert done.code == 0
    told = [line for line in done.err.splitlines() if beside.name in line]
    assert told
    assert len(set(told)) == 1
    assert json.loads(done.out)
    if command[0] == "best":
        assert json.loads(done.out)["run"] == played.name


def test_such_a_run_itself_is_one_line(beside, cli):
    done = cli("best", beside) if (beside / "run.json").is_file() else cli("show", beside)
    with pytest.raises(RunError):
        Run(beside).bests()
    if done.code:  # a best is read from the pool alone
        assert done.code == 4
        assert len(done.err.splitlines()) == 1


def test_latest_and_a_prefix_pass_over_a_run_that_cannot_be_opened(played, cli):
    other = Path(shutil.copytree(played, played.parent / "isosceles-n6-other"))
    _info("[" * 100_000)(other)
    for spec in ("latest", "iso"):
        done = cli("best", spec, "--runs", other.parent, "--json")
        assert done.code == 0
        assert json.loads(done.out)["run"] == played.name
        assert done.err.startswith("left out: ")
        assert other.name in done.err


def test_a_best_that_is_not_what_it_claims_gives_way_to_the_next(played, cli):
    other = Path(shutil.copytree(played, played.parent / "isosceles-n6-other"))
    (other / "rounds" / "0002" / "n6.parquet").write_bytes(b"PAR1")
    done = cli("best", "isosceles", "--n", 6, "--runs", other.parent, "--json")
    assert done.code == 0
    assert json.loads(done.out)["run"] == played.name


def test_what_is_done_under_the_lock_goes_by_what_stands_there_then(played):
    ours, theirs = Run(played), Run(played)
    with theirs.lock():
        theirs.add_session(["resume", "first"])
    with ours.lock():
        ours.add_session(["resume", "second"])
    commands = [session["command"] for session in Run(played).info["sessions"]]
    assert commands[1:] == [["resume", "first"], ["resume", "second"]]


@pytest.mark.parametrize("what", ["event", "commit"])
def test_a_folder_that_is_deleted_underneath_is_noticed_at_once(played, what):
    run = Run(played)
    shutil.rmtree(played)
    with pytest.raises(RunError, match="was deleted while"):
        run.event("progress", done=1) if what == "event" else run.commit(3, lambda _: None)
    assert not played.exists()

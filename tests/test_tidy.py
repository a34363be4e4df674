"""Room on the disk: which models are kept, pruning that may be cut short, rm, and what ls says."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from carrying_on import OnStage, carry_on
from conftest import TINY, contents, only_run
from msgspec.structs import replace

from pipeline.config import Config, with_budget
from pipeline.core.memory import readable
from pipeline.errors import RunError
from pipeline.storage import pruning
from pipeline.storage.listing import row
from pipeline.storage.manifest import is_model_file
from pipeline.storage.pruning import prunable, prune
from pipeline.storage.run import Run


def go_on(path, rounds, keep="last"):
    """Carry on with a run up to so many rounds."""
    run = Run(path)
    with run.lock():
        config = with_budget(run.config, rounds=rounds)
        config = replace(config, store=replace(config.store, keep_models=keep))
        run.set_budget(config)
        run.add_session(["resume"])
        carry_on(run)
    return run


def with_models(run: Run) -> list[int]:
    names = ("generator/model.safetensors", "generator/optimizer.safetensors")
    return [k for k in run.rounds() if all((run.folder(k) / name).is_file() for name in names)]


@pytest.fixture(scope="session")
def _longer(_played: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("longer") / _played.name
    shutil.copytree(_played, path)
    go_on(path, 5, "all")
    return path


@pytest.fixture
def longer(_longer: Path, tmp_path: Path) -> Run:
    """A run of five rounds after the seeding that has kept every model."""
    return Run(Path(shutil.copytree(_longer, tmp_path / "long" / _longer.name)))


def bests(run: Run) -> list[int]:
    """Return the rounds that found more than the one before."""
    scores = [run.stats(k)["pool"]["6"]["max"] for k in run.rounds()]
    return [k for k in range(1, len(scores)) if scores[k] > scores[k - 1]]


# --------------------------------------------------------------------------- which are kept


def test_the_models_of_the_last_two_rounds_and_of_new_bests_are_kept(longer, played):
    assert with_models(longer) == [1, 2, 3, 4, 5]
    run = go_on(played, 5)
    assert with_models(run) == sorted({*bests(run), 4, 5})
    assert len(with_models(run)) < 5
    for number in run.rounds():
        run.check_round(number)
        assert run.is_pruned(number) == (number not in (0, *with_models(run)))


def test_all_else_is_the_same_whichever_are_kept(longer, played):
    lean = contents(go_on(played, 5).path)
    gone = {name for name in contents(longer.path) if name not in lean}
    assert gone
    assert all(is_model_file(name.split("/", 2)[2]) for name in gone)
    marks = {name for name in lean if name.endswith("pruned.json")}
    assert {k: v for k, v in contents(longer.path).items() if k not in gone} == {
        k: v for k, v in lean.items() if k not in marks
    }


def test_a_new_best_keeps_its_model_for_good(longer, monkeypatch):
    scores = {0: 7, 1: 7, 2: 8, 3: 8, 4: 8, 5: 9}

    def stats(self, number):
        return {"pool": {"6": {"max": scores[number]}}}

    monkeypatch.setattr(Run, "stats", stats)
    assert list(prunable(longer)) == [1, 3]
    assert list(prunable(longer, "none")) == [1, 2, 3, 4, 5]
    assert prunable(longer, "all") == {}


def test_the_files_of_a_users_generator_are_pruned_like_a_model(tmp_path):
    def write(folder: Path) -> None:
        (folder / "generator" / "deep").mkdir(parents=True)
        (folder / "generator" / "deep" / "weights").write_bytes(b"w" * 9)
        (folder / "generator" / "settings.json").write_text("{}")
        (folder / "state.json").write_text("{}")

    run = Run.create(tmp_path, Config("isosceles", 6), "isosceles", [])
    for number in range(4):
        run.commit(number, write)
    found = prunable(run, "none")
    assert list(found) == [1, 2, 3]  # a run can go back to its seeding at any time
    assert {path.name for there in found.values() for path in there} == {"weights", "settings.json"}
    prune(run, "none")
    assert not run.is_pruned(0)
    for number in run.rounds()[1:]:
        assert run.is_pruned(number)
        run.check_round(number)
        names = {path.name for path in run.folder(number).iterdir()}
        assert names == {"manifest.json", "pruned.json", "state.json"}
        with pytest.raises(RunError, match="its model was pruned"):
            run.file(number, "generator/settings.json")


def test_a_link_in_a_generators_folder_is_deleted_and_not_what_it_leads_to(tmp_path):
    run = Run.create(tmp_path / "runs", Config("isosceles", 6), "isosceles", [])
    for number in range(3):
        run.commit(number, lambda folder: (folder / "generator").mkdir())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("precious")
    link = run.folder(1) / "generator" / "link"
    link.symlink_to(elsewhere)
    prune(run, "none")
    assert not link.is_symlink()
    assert (elsewhere / "file").read_text() == "precious"


@pytest.mark.parametrize("stats", [{}, {"pool": {"6": {"max": None}}}, {"pool": []}])
def test_models_of_rounds_of_which_too_little_is_known_are_judged_without_a_traceback(
    longer, monkeypatch, stats
):
    monkeypatch.setattr(Run, "stats", lambda self, number: stats)
    assert set(prunable(longer)) <= {1, 2, 3}


def test_the_option_keeps_all_and_may_change_on_resume(tmp_path, cli):
    words = ["run", "isosceles", "--n", 6, *TINY, "--rounds", 4, "--keep-models", "all"]
    assert cli(*words, "--runs", tmp_path).code == 0
    run = Run(only_run(tmp_path))
    assert with_models(run) == [1, 2, 3, 4]
    assert cli("resume", run.path, "--keep-models", "last").code == 0
    assert with_models(run) == sorted({*bests(run), 3, 4})


# ------------------------------------------------------------------------------ cut short


class Killed(BaseException):
    """Stands for kill -9: nothing after it is done."""


@pytest.mark.parametrize("at", range(6))
def test_pruning_that_is_cut_short_is_mended_by_the_next(longer, tmp_path, monkeypatch, at):
    whole = Run(Path(shutil.copytree(longer.path, tmp_path / "whole")))
    prune(whole)
    calls = iter(range(100))

    def killed(original):
        def call(*arguments, **options):
            if next(calls) == at:
                raise Killed
            return original(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed(Path.unlink))
        patch.setattr(pruning.files, "write", killed(pruning.files.write))
        with pytest.raises(Killed):
            prune(longer)
    for number in longer.rounds():
        longer.check_round(number)  # nothing counts as damaged meanwhile
    go_on(longer.path, 5)
    assert contents(longer.path) == contents(whole.path)


def test_a_model_that_is_lost_and_not_pruned_is_damage(longer):
    (longer.folder(2) / "generator" / "model.safetensors").unlink()
    with pytest.raises(RunError, match="is damaged or missing"):
        longer.check_round(2)


# ---------------------------------------------------------------------------- going on again


def test_going_on_from_a_round_without_its_model_says_how(longer, cli):
    before = contents(longer.path)
    prune(longer)
    for number in (4, 5):
        shutil.rmtree(longer.folder(number))
    kept = max([0, *with_models(longer)])
    found = cli("resume", longer.path, "--rounds", 5)
    assert found.code == 4
    assert f"rounds/0003: its model was pruned; to go on from round {kept} delete" in found.error
    for number in range(kept + 1, 4):
        shutil.rmtree(longer.folder(number))
    assert cli("resume", longer.path, "--rounds", 5).code == 0
    after = contents(longer.path)
    assert {k: v for k, v in after.items() if k in before} == {
        k: v for k, v in before.items() if k in after
    }


# --------------------------------------------------------------------------------- commands


def test_prune_says_sizes_and_asks(longer, cli, monkeypatch):
    before = contents(longer.path)
    refused = cli("prune", longer.path)
    assert (refused.code, "add --yes" in refused.error) == (2, True)
    assert f"files  {longer.path}" in refused.err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("click.confirm", lambda text, **_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert cli("prune", longer.path).code == 130
    assert contents(longer.path) == before
    asked = []
    monkeypatch.setattr("click.confirm", lambda text, **_: asked.append(text))
    freed = sum(f.stat().st_size for there in prunable(longer).values() for f in there)
    found = cli("prune", longer.path)
    assert found.code == 0
    assert "kB?" in asked[0]
    assert freed > 0
    assert with_models(longer) == sorted({*bests(longer), 4, 5})
    assert "no model to delete" in cli("prune", longer.path).out


def test_prune_all_leaves_alone_what_it_cannot_open(longer, tmp_path, cli):
    root = longer.path.parent
    broken = Path(shutil.copytree(longer.path, root / "broken"))
    (broken / "config.toml").write_text("n = [")
    found = cli("prune", "--all", "--runs", root, "--keep-models", "none", "--yes")
    assert found.code == 0
    assert "left alone: " in found.err
    assert with_models(longer) == []
    assert with_models(Run(Path(shutil.copytree(longer.path, tmp_path / "copy")))) == []
    assert (broken / "rounds" / "0001" / "generator" / "model.safetensors").is_file()
    for command in ("show", "hist", "best", "verify", "report"):
        assert cli(command, longer.path).code == 0, command
    found = cli("resume", longer.path, "--rounds", "+1")
    assert (found.code, "to go on from round 0 delete" in found.error) == (4, True)


@pytest.mark.parametrize("words", [(), ("--all", "RUN")])
def test_prune_wants_runs_or_all(words, played, cli):
    found = cli("prune", *[played if word == "RUN" else word for word in words], "--yes")
    assert (found.code, "name runs, or all with --all" in found.error) == (2, True)


@pytest.mark.parametrize("command", [["rm"], ["prune", "--keep-models", "none"]])
def test_a_run_that_goes_on_is_left_alone(command, played, cli):
    script = f"""
from pathlib import Path
from pipeline.storage.run import Run
with Run(Path({str(played)!r})).lock():
    print("held", flush=True)
    input()
"""
    words = [sys.executable, "-c", script]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            assert row(played)["state"] == "running"
            before = contents(played)
            found = cli(*command, played, "--yes")
            assert found.code == 4
            assert f"in use by process {holder.pid}" in found.error
            assert contents(played) == before
        finally:
            holder.kill()
    assert row(played)["state"] == "done"
    assert cli(*command, played, "--yes").code == 0


def test_rm_says_sizes_asks_and_deletes_damaged_runs_too(played, cli):
    (played / "config.toml").write_text("n = [")
    refused = cli("rm", played)
    assert (refused.code, "add --yes" in refused.error) == (2, True)
    assert f"kB  {played}" in refused.err
    assert played.is_dir()
    found = cli("rm", played, "--yes")
    assert (found.code, found.out.startswith("deleted 1 run, ")) == (0, True)
    assert list(played.parent.iterdir()) == []


def test_rm_deletes_no_folder_that_is_not_a_run(tmp_path, cli):
    (tmp_path / "run.json").write_text("{}")
    found = cli("rm", tmp_path, "--yes")
    assert (found.code, "is not a run" in found.error) == (4, True)
    assert (tmp_path / "run.json").is_file()


def test_a_removal_that_was_cut_short_leaves_no_half_of_a_run(played, cli, monkeypatch):
    def killed(path):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(Killed):
            cli("rm", played, "--yes")
    assert json.loads(cli("ls", "--runs", played.parent, "--json").out)["runs"] == []


# --------------------------------------------------------------------------------- ls


def told(path: Path) -> tuple:
    found = row(path)
    return found["state"], found["rounds"], found["best"]


def test_ls_tells_done_from_stopped(played):
    assert told(played) == ("done", 2, 9)
    run = Run(played)
    run.set_budget(with_budget(run.config, rounds=5))
    assert told(played) == ("stopped", 2, 9)
    run.set_budget(with_budget(run.config, rounds=5, target=9))
    assert told(played) == ("done", 2, 9)


def test_a_search_that_the_clock_ended_is_done_and_shows_no_million(tmp_path, cli):
    words = ["search", "isosceles", "--n", 6, "--target", 0, "--workers", 1, "--runs", tmp_path]
    few = [
        "--set",
        "seeding.batches=1",
        "--set",
        "seeding.moves=2000",
        "--set",
        "search.batches=1",
        "--method",
        "greedy",
    ]
    assert cli(*words, *few, "--budget-cpu-seconds", "0.01").code == 0
    assert row(only_run(tmp_path))["state"] == "done"
    listed = cli("ls", "--runs", tmp_path).out
    assert " of " not in listed
    assert "1000000" not in listed


def test_a_run_that_was_stopped_is_stopped_and_its_time_is_known(played):
    def stop():
        raise KeyboardInterrupt

    run = Run(played)
    with run.lock():
        run.set_budget(with_budget(run.config, rounds=3))
        run.add_session(["resume"])
        with pytest.raises(KeyboardInterrupt):
            carry_on(run, OnStage(stop))
    assert told(played)[0] == "stopped"
    sessions = Run(played).info["sessions"]
    assert [s["ended"] for s in sessions] == ["done", "stopped"]
    assert row(played)["seconds"] == pytest.approx(sum(s["seconds"] for s in sessions), abs=0.1)


def test_the_time_of_a_session_that_was_killed_is_that_of_its_log(played):
    file = played / "run.json"
    info = json.loads(file.read_text())
    del info["sessions"][0]["seconds"], info["sessions"][0]["ended"]
    file.write_text(json.dumps(info))
    run = Run(played)
    start = run.seconds(0)
    assert start >= 0
    run.event("progress", done=1)
    later = run.seconds(0)
    assert later >= start
    run.add_session(["resume"])
    assert run.info["sessions"][0]["seconds"] == later


@pytest.mark.parametrize("seconds", [-1, 1e400, "x", True, None, []])
def test_a_time_that_makes_no_sense_is_not_believed(played, seconds):
    run = Run(played)
    run.info["sessions"][0]["seconds"] = seconds
    assert 0 <= run.seconds(0) < 1e9


@pytest.mark.parametrize("pool", [{}, [], None, {"6": 3}, {"6": {"max": "x"}}, {"6": {"max": []}}])
def test_a_run_whose_statistics_make_no_sense_is_damaged_and_hides_no_other(
    played, cli, monkeypatch, pool
):
    other = Path(shutil.copytree(played, played.parent / "other"))
    true = Run.stats

    def stats(self, number):
        return {"pool": pool} if self.path == other else true(self, number)

    monkeypatch.setattr(Run, "stats", stats)
    rows = json.loads(cli("ls", "--runs", played.parent, "--json").out)["runs"]
    assert {r["run"]: r["state"] for r in rows} == {played.name: "done", "other": "damaged"}


def test_sizes_are_those_of_the_disk_and_follow_no_link(played, tmp_path):
    before = row(played)["bytes"]
    big = tmp_path / "big"
    big.write_bytes(bytes(10**7))
    (played / "link").symlink_to(big)
    assert row(played)["bytes"] - before < 10**5
    shutil.copy(big, played / "copy")
    assert row(played)["bytes"] - before >= 10**7


def test_bytes_are_written_short():
    written = {0: "0 bytes", 999: "999 bytes", 1000: "1.0 kB", 9949: "9.9 kB", 99_499: "99 kB"}
    written |= {999_499: "999 kB", 999_500: "1.0 MB", 5 * 10**9: "5.0 GB", 10**13: "10 TB"}
    assert {size: readable(size) for size in written} == written

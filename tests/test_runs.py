"""Run folders: commit, lock, resume, kill -9, a full disk, and every way a run can be damaged."""

import errno
import json
import multiprocessing
import os
import pickle
import random
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from carrying_on import carry_on
from conftest import TINY, contents, only_run, redo_manifest

from pipeline.config import Config, to_toml, with_budget
from pipeline.core.population import Population
from pipeline.errors import PipelineError, RunError
from pipeline.plugins import load_problem
from pipeline.storage.finding import all_runs, find_run, runs_root
from pipeline.storage.round_files import best_of, load_pool, verify_run
from pipeline.storage.run import Run
from pipeline.storage.run_json import RUN_FORMAT

DRIVER = Path(__file__).parent / "kill_driver.py"


def resume(folder: Path, **budget: Any) -> None:
    run = Run(folder)
    with run.lock():
        run.set_budget(with_budget(run.config, **budget))
        carry_on(run)


# -------------------------------------------------------------------------- same bytes


def test_one_round_then_one_more_ends_like_two_at_once(played, tmp_path, cli):
    assert cli("run", "isosceles", "--n", 6, *TINY, "--rounds", 1, "--runs", tmp_path).code == 0
    run = only_run(tmp_path)
    assert len(list((run / "rounds").iterdir())) == 2
    assert cli("resume", run, "--rounds", "+1").code == 0
    assert contents(run) == contents(played)


def test_processes_end_with_the_same_bytes_as_one(played, tmp_path, cli):
    assert cli("run", "isosceles", "--n", 6, *TINY, "--workers", 2, "--runs", tmp_path).code == 0
    assert contents(only_run(tmp_path)) == contents(played)


def _killed_at(played: Path, tmp_path: Path, moments: list[int]) -> dict[int, Path]:
    fresh = tmp_path / "fresh"
    shutil.copytree(played, fresh, ignore=shutil.ignore_patterns("0*", "best"))
    subprocess.run(
        [sys.executable, DRIVER, fresh, tmp_path, *map(str, moments)],
        check=True,
        capture_output=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return {moment: tmp_path / f"killed-{moment}" for moment in moments}


def _moments_in_all(played: Path, tmp_path: Path) -> int:
    fresh = tmp_path / "whole"
    shutil.copytree(played, fresh, ignore=shutil.ignore_patterns("0*", "best"))
    done = subprocess.run(
        [sys.executable, DRIVER, fresh, tmp_path, "0"],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert contents(tmp_path / "killed-0") == contents(played)
    return int(done.stdout)


@pytest.mark.end_to_end
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_run_killed_at_any_of_some_moments_ends_with_the_same_bytes(played, tmp_path):
    # In the commit of round 0, right after its rename, in training, as best/ is written.
    for folder in _killed_at(played, tmp_path, [14, 35, 60, 130]).values():
        resume(folder)
        assert contents(folder) == contents(played)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_run_killed_at_any_moment_ends_with_the_same_bytes(played, tmp_path):
    total = _moments_in_all(played, tmp_path)
    chosen = [*random.Random(5).sample(range(1, total), 40), total]
    for folder in _killed_at(played, tmp_path, sorted(chosen)).values():
        resume(folder)
        assert contents(folder) == contents(played)


def test_a_run_killed_between_the_last_commit_and_its_best_is_mended(played):
    before = contents(played)
    shutil.rmtree(played / "best")
    resume(played)
    assert contents(played) == before


def test_what_a_killed_process_was_writing_is_cleared_away(played):
    before = contents(played)
    (played / "rounds" / ".writing-0003").mkdir()
    (played / "rounds" / ".writing-0003" / "n6.parquet").write_bytes(b"half")
    (played / "best" / ".writing-n6.json").write_bytes(b"half")
    (played / "rounds" / "0001" / ".writing-pruned.json").write_bytes(b"half")
    (played / ".writing-run.json").write_bytes(b"half")
    resume(played)
    assert contents(played) == before
    assert not list(played.rglob(".writing-*"))


# ------------------------------------------------------------------------------- commit


@pytest.fixture
def fresh(tmp_path) -> Run:
    return Run.create(tmp_path, Config("isosceles", 6), "isosceles", ["run"])


def test_a_round_is_there_whole_or_not_at_all(fresh):
    seen: list[list[str]] = []

    def write(folder: Path) -> None:
        (folder / "a").write_text("1")
        seen.append(sorted(p.name for p in (fresh.path / "rounds").iterdir()))

    fresh.commit(0, write)
    assert seen == [[".writing-0000"]]
    assert [p.name for p in (fresh.path / "rounds").iterdir()] == ["0000"]
    assert fresh.file(0, "a").read_text() == "1"
    fresh.check_round(0)


def _with_generator(folder: Path) -> None:
    (folder / "a").write_text("1")
    (folder / "generator" / "weights").mkdir(parents=True)
    (folder / "generator" / "weights" / "w.npz").write_bytes(b"\0\1")
    (folder / "generator" / "settings.json").write_text("{}")


def test_the_manifest_covers_the_files_of_a_generator(fresh):
    fresh.commit(0, _with_generator)
    names = ["a", "generator/settings.json", "generator/weights/w.npz"]
    assert list(fresh.manifest(0)) == names
    fresh.check_round(0)
    weights = fresh.file(0, "generator/weights/w.npz")
    assert weights.read_bytes() == b"\0\1"
    for data in (b"\0", b"\0\2"):
        weights.write_bytes(data)
        with pytest.raises(RunError, match=r"generator/weights/w\.npz is damaged or missing"):
            fresh.check_round(0)
    weights.unlink()
    with pytest.raises(RunError, match=r"generator/weights/w\.npz is damaged or missing"):
        fresh.check_round(0)


def test_every_file_and_folder_of_a_round_is_on_the_disk_before_its_rename(fresh, monkeypatch):
    synced: list[str] = []
    names: dict[int, str] = {}
    opened, sync, rename = os.open, os.fsync, Path.rename

    def note_open(path: Any, *args: Any, **kwargs: Any) -> int:
        handle = opened(path, *args, **kwargs)
        names[handle] = str(path)
        return handle

    def note_sync(handle: int) -> None:
        synced.append(Path(names[handle]).name)
        sync(handle)

    def note_rename(self: Path, target: Path) -> Path:
        synced.append(f"rename to {target.name}")
        return rename(self, target)

    monkeypatch.setattr(os, "open", note_open)
    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "rename", note_rename)
    fresh.commit(0, _with_generator)
    at = synced.index("rename to 0000")
    files = {"a", "settings.json", "w.npz", "weights", "generator", ".writing-manifest.json"}
    assert set(synced[:at]) == files | {".writing-0000"}
    assert synced[at + 1 :] == ["rounds"]


@pytest.mark.skipif(os.name != "posix", reason="makes nodes as POSIX does")
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_round_is_made_of_regular_files_alone(fresh, tmp_path, kind):
    def write(folder: Path) -> None:
        (folder / "generator").mkdir()
        there = folder / "generator" / "weights"
        there.symlink_to(tmp_path) if kind == "link" else os.mkfifo(there)

    with pytest.raises(PipelineError, match="generator/weights of a round is a "):
        fresh.commit(0, write)
    assert not list((fresh.path / "rounds").iterdir())


@pytest.mark.skipif(os.name != "posix", reason="makes links as POSIX does")
def test_no_link_is_followed_to_a_file_of_a_round(fresh, tmp_path):
    fresh.commit(0, _with_generator)
    inside = fresh.folder(0) / "generator"
    inside.rename(tmp_path / "elsewhere")
    inside.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="is damaged or missing"):
        fresh.file(0, "generator/settings.json")
    with pytest.raises(RunError, match="is a symbolic link"), fresh.lock():
        pass


@pytest.mark.parametrize(
    "manifest", ['{"../../run.json": "0"}', '{"/etc/hosts": "0"}', '{"a": 3}', '{"": "0"}', "[]"]
)
def test_a_manifest_names_files_of_its_round_alone(fresh, manifest):
    fresh.commit(0, _with_generator)
    (fresh.folder(0) / "manifest.json").write_text(manifest)
    with pytest.raises(RunError, match=r"manifest\.json is damaged or missing"):
        fresh.check_round(0)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, RunError])
def test_a_round_whose_writing_fails_leaves_nothing(fresh, error):
    def write(folder: Path) -> None:
        (folder / "a").write_text("1")
        raise error("no")

    with pytest.raises(error):
        fresh.commit(0, write)
    assert not list((fresh.path / "rounds").iterdir())


def test_a_folder_whose_creation_fails_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", _full)
    with pytest.raises(PipelineError, match="No space left on device"):
        Run.create(tmp_path / "runs", Config("isosceles", 6), "isosceles", [])
    assert not list((tmp_path / "runs").iterdir())


def test_run_json_tells_what_made_the_run(played):
    info = json.loads((played / "run.json").read_text())
    assert info["problem"] == "isosceles"
    assert (info["n"], info["seed"], info["schema"]) == (6, 0, RUN_FORMAT)
    (session,) = info["sessions"]
    assert {"command", "started", "pipeline", "python", "numpy", "machine"} <= session.keys()
    assert session["reproducible"] is True
    for line in (played / "events.jsonl").read_text().splitlines():
        assert {"time", "event"} <= json.loads(line).keys()


# --------------------------------------------------------------------------------- lock


def _hold(path: str, ready: Any, release: Any) -> None:
    with Run(Path(path)).lock():
        ready.set()
        release.wait()


def test_a_run_in_use_is_refused_by_name_of_the_holder_but_can_be_read(played, cli):
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(str(played), ready, release))
    holder.start()
    try:
        assert ready.wait(120)
        found = cli("resume", played, "--rounds", "+1")
        assert found.code == 4
        assert f"in use by process {holder.pid} on " in found.error
        assert cli("hist", played).code == 0
    finally:
        release.set()
        holder.join()
    assert cli("resume", played).code == 0


# ------------------------------------------------------------------------------- resume


@pytest.mark.parametrize(
    ("key", "line", "new"),
    [
        ("sample.temperature", "temperature = 0.0", "temperature = 1.5"),
        ("seed", "seed = 0", "seed = 1"),
        ("model.layers", "layers = 1", "layers = 2"),
        ("n", "n = 6", "n = 7"),
        ("compute.threads", "threads = 1", "threads = 2"),
    ],
)
def test_only_the_budget_may_be_edited(played, cli, key, line, new):
    file = played / "config.toml"
    text = file.read_text()
    assert text.count(f"\n{line}\n") == 1
    file.write_text(text.replace(f"\n{line}\n", f"\n{new}\n"))
    before = contents(played)
    for command in (["resume", played], ["hist", played]):
        found = cli(*command)
        assert found.code == 4
        assert re.search(rf"config\.toml differs .*\b{re.escape(key)} .* -> ", found.error)
        assert "only the budget may change" in found.error
    assert contents(played) == before


def test_the_budget_may_be_edited_by_hand(played, cli):
    file = played / "config.toml"
    file.write_text(file.read_text().replace("rounds = 2", "rounds = 3"))
    assert cli("resume", played).code == 0
    assert Run(played).last_round() == 3


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed = 0", "seeed = 0", "unknown key 'seeed'; did you mean 'seed'"),
        ("seed = 0\n", "", "the key 'seed' is missing"),
        ("seed = 0", 'seed = "0"', "seed must be a whole number"),
        ("seed = 0", "seed = ", "is not TOML"),
    ],
)
def test_a_config_that_is_not_whole_is_refused(played, cli, old, new, message):
    file = played / "config.toml"
    file.write_text(file.read_text().replace(old, new))
    found = cli("resume", played)
    assert found.code == 4
    assert message in found.error


def test_an_edited_run_json_is_refused(played, cli):
    for file in (played / "run.json", played / "config.toml"):
        file.write_text(
            file.read_text().replace('"seed": 0', '"seed": 1').replace("d = 0", "d = 1")
        )
    found = cli("resume", played)
    assert found.code == 4
    assert "run.json was edited" in found.error


def test_a_run_of_a_later_format_says_so(played, cli):
    file = played / "run.json"
    file.write_text(file.read_text().replace(f'"schema": {RUN_FORMAT}', '"schema": 99'))
    found = cli("show", played)
    assert found.code == 4
    assert "run format 99" in found.error


@pytest.fixture
def earlier(tmp_path) -> Path:
    """A run of format 1, as the release before format 2 made it: perturbation, rounds 0 to 2."""
    made = Path(__file__).parent / "data" / "run_format_1"
    return Path(shutil.copytree(made, tmp_path / "runs" / made.name))


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["show"], "isosceles (flat-forbidden), n=6: 9 points, verified"),
        (["best"], "equal to the best known, 9"),
        (["verify"], "12 constructions"),
        (["verify", "--all-rounds"], "round 1"),
        (["hist"], "round 2, n=6"),
        (["hist", "--round", "1"], "round 1, n=6"),
        (["watch"], "round 2: best 9"),
        (["export", "--format", "csv"], "isosceles"),
        (["count"], "n=6"),
    ],
)
def test_a_run_of_an_earlier_format_is_shown(earlier, cli, command, shown):
    found = cli(command[0], earlier, *command[1:])
    assert found.code == 0, found.err
    assert shown in found.out


def test_a_run_of_an_earlier_format_is_listed_and_found(earlier, cli):
    (row,) = json.loads(cli("ls", "--runs", earlier.parent, "--json").out)["runs"]
    assert (row["state"], row["best"], row["rounds"], row["of"]) == ("done", 9, 2, 2)
    assert row["seconds"] == 37.8
    found = cli("best", "isosceles", "--n", 6, "--runs", earlier.parent, "--json")
    assert json.loads(found.out)["path"] == str(earlier)


def test_a_run_of_an_earlier_format_is_resumed_by_its_own_release(earlier, cli):
    before = {path: path.read_bytes() for path in earlier.rglob("*") if path.is_file()}
    found = cli("resume", earlier, "--rounds", "+1")
    assert found.code == 4
    assert found.err.splitlines() == [
        f"pipeline: {earlier} has run format 1, which this release shows but does not resume: "
        "resume it with pipeline 0.1.0 (revision 6f70c909ab21), or start a new run"
    ]
    assert {path: path.read_bytes() for path in earlier.rglob("*") if path.is_file()} == before


def test_a_run_of_an_earlier_format_has_its_settings_by_their_present_names(earlier):
    run = Run(earlier)
    config = run.config
    assert (config.problem, config.n, config.sizes, config.seed) == ("isosceles", 6, (6,), 0)
    assert (config.budget.rounds, config.select.keep, config.sample.count) == (2, 12, 20)
    assert (config.generator, config.search.moves) == ("perturb", 2000)
    assert run.identity == "bf758d819736527b"


@pytest.mark.parametrize("change", [{"n": "6"}, {"seed": None}, {"problem": 3}, {"n": 0}])
def test_a_run_of_an_earlier_format_needs_its_problem_size_and_seed(earlier, cli, change):
    file = earlier / "run.json"
    info = json.loads(file.read_text())
    info["config"] |= change
    file.write_text(json.dumps(info))
    found = cli("show", earlier)
    assert (found.code, len(found.err.splitlines())) == (4, 1)


@pytest.mark.parametrize("change", [{"seed": 1}, {"problem": "no-3-in-line"}, {"identity": 3}])
def test_an_edited_run_json_of_an_earlier_format_is_refused(earlier, cli, change):
    file = earlier / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    found = cli("show", earlier)
    assert (found.code, len(found.err.splitlines())) == (4, 1)
    assert "run.json" in found.error


def test_resume_without_more_rounds_plays_none(played, cli):
    before = contents(played)
    assert cli("resume", played).code == 0
    assert contents(played) == before
    assert len(json.loads((played / "run.json").read_text())["sessions"]) == 2


def test_workers_may_change_on_resume(played, cli):
    assert cli("resume", played, "--workers", 1, "--rounds", 3).code == 0
    assert Run(played).last_round() == 3


# ----------------------------------------------------------------------------- damage

READERS = (["show"], ["hist"], ["best"], ["verify"], ["ls"])


def files_of(run: Path) -> list[str]:
    return sorted(str(p.relative_to(run)) for p in run.rglob("*") if p.is_file())


def test_each_file_of_a_run_cut_in_half_gives_one_line_or_does_no_harm(played, tmp_path, cli):
    names = [n for n in files_of(played) if not n.startswith("rounds/0001/") and "lock" not in n]
    assert len(names) > 12
    for name in names:
        run = Path(shutil.copytree(played, tmp_path / "cut" / played.name))
        data = (run / name).read_bytes()
        (run / name).write_bytes(data[: len(data) // 2])
        for command in (*READERS, ["resume"]):
            where = ["--runs", run.parent] if command == ["ls"] else [run]
            found = cli(*command, *where)
            assert found.code in (0, 3, 4), (name, command, found)
            assert "Traceback" not in found.err
            if found.code:
                assert found.error.startswith("pipeline: "), (name, command)
                assert str(run) in found.error, (name, command)
        shutil.rmtree(run.parent)


def test_a_damaged_last_round_is_played_again_with_the_same_result(played, cli):
    before = contents(played)
    file = played / "rounds" / "0002" / "n6.parquet"
    file.write_bytes(file.read_bytes()[:100])
    found = cli("resume", played)
    assert found.code == 4
    assert "delete the folders of round 2 and later" in found.error
    shutil.rmtree(played / "rounds" / "0002")
    assert cli("resume", played).code == 0
    assert contents(played) == before


def test_a_missing_round_in_between_is_named(played, cli):
    shutil.rmtree(played / "rounds" / "0001")
    for command in ("show", "resume", "best", "verify"):
        found = cli(command, played)
        assert found.code == 4
        assert "lacks round 1" in found.error


def test_a_pool_of_another_run_is_refused(played, tmp_path, cli):
    other = tmp_path / "other"
    arguments = ["run", "no-3-in-line", "--n", 6, *TINY, "--rounds", 0, "--runs", other]
    assert cli(*arguments).code == 0
    theirs = only_run(other) / "rounds" / "0000" / "n6.parquet"
    shutil.copy(theirs, played / "rounds" / "0002" / "n6.parquet")
    assert "is damaged" in cli("best", played).error
    redo_manifest(played, 2)
    for command in ("best", "verify", "show", "resume"):
        found = cli(command, played)
        assert found.code == 4, command
        assert "belongs to another run (no-3-in-line, n=6)" in found.error


def test_an_invalid_construction_in_a_pool_is_found_by_its_witness(played, cli):
    run = Run(played)
    problem = load_problem("isosceles")
    pool = load_pool(run, problem, 2, 6)
    cells = pool.cells.copy()
    cells[0] = 255
    cells[0, -1] = 0b1111
    file = played / "rounds" / "0002" / "n6.parquet"
    _, metadata = Population.read(file)
    kept = {k: metadata[k] for k in ("problem", "convention", "config")}
    replace(pool, cells=cells).write(file, kept)
    redo_manifest(played, 2)
    found = cli("verify", played)
    assert found.code == 3
    assert re.search(
        r"row 0: not valid; witness \[\[\d, \d\], \[\d, \d\], \[\d, \d\]\]", found.error
    )
    replace(pool, score=pool.score + 1).write(file, kept)
    redo_manifest(played, 2)
    for command, code in (("verify", 3), ("best", 4), ("show", 4)):
        found = cli(command, played)
        assert found.code == code
        assert "the stored score is 10, its points have 9" in found.error


def test_a_model_of_another_shape_is_refused(played, tmp_path, cli):
    other = tmp_path / "other"
    arguments = ["--set", "model.width=32", "--rounds", 1, "--runs", other]
    assert cli("run", "isosceles", "--n", 6, *TINY, *arguments).code == 0
    theirs = only_run(other) / "rounds" / "0001" / "generator" / "model.safetensors"
    shutil.copy(theirs, played / "rounds" / "0002" / "generator" / "model.safetensors")
    redo_manifest(played, 2)
    found = cli("resume", played, "--rounds", "+1")
    assert found.code == 4
    assert "another shape: width = 32, expected 16" in found.error
    assert Run(played).last_round() == 2


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["generator/model.safetensors", "generator/optimizer.safetensors"])
def test_a_pickle_where_a_model_should_be_is_never_loaded(played, tmp_path, cli, name):
    mark = tmp_path / "ran"
    (played / "rounds" / "0002" / name).write_bytes(pickle.dumps(Bomb(mark)))
    assert cli("resume", played, "--rounds", "+1").code == 4
    redo_manifest(played, 2)
    found = cli("resume", played, "--rounds", "+1")
    assert found.code == 4
    assert "pickle" in found.error
    assert not mark.exists()


# -------------------------------------------------------------------------- a full disk


def _full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class FullAfter:
    """Lets some calls pass, then the disk is full."""

    def __init__(self, calls: int, original: Any) -> None:
        self.left, self.original = calls, original

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.left -= 1
        return self.original(*args, **kwargs) if self.left >= 0 else _full()


@pytest.mark.parametrize("passed", [0, 1, 2, 5, 9, 11])
def test_a_full_disk_leaves_nothing_behind_and_earlier_rounds_safe(
    played, tmp_path, cli, monkeypatch, passed
):
    run = Path(shutil.copytree(played, tmp_path / "full"))
    shutil.rmtree(run / "rounds" / "0002")
    before = sorted(p.name for p in (run / "rounds").iterdir())
    sums = {k: v for k, v in contents(run).items() if k.startswith("rounds")}
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", FullAfter(passed, os.fsync))
        found = cli("resume", run)
    assert found.code == 1
    assert "No space left on device" in found.error
    assert sorted(p.name for p in (run / "rounds").iterdir()) == before
    assert {k: v for k, v in contents(run).items() if k.startswith("rounds")} == sums
    assert not list(run.rglob(".writing-*"))
    assert cli("resume", run).code == 0
    assert contents(run) == contents(played)


@pytest.mark.parametrize(
    "writer",
    [
        "core.population.Population.write",
        "model.checkpoint.save_model",
        "model.checkpoint.save_optimizer",
    ],
)
def test_a_disk_that_fills_in_the_middle_of_a_file_says_how_to_go_on(
    played, cli, monkeypatch, writer
):
    shutil.rmtree(played / "rounds" / "0002")
    with monkeypatch.context() as patch:
        patch.setattr(f"pipeline.{writer}", _full)
        found = cli("resume", played)
    assert found.code == 1
    assert f"No space left on device; free some space and run: pipeline resume {played.name}" in (
        found.error
    )
    assert sorted(p.name for p in (played / "rounds").iterdir()) == ["0000", "0001"]


# -------------------------------------------------------------------------- finding runs


def test_runs_are_found_by_path_name_prefix_or_latest(played, tmp_path, monkeypatch):
    root = played.parent
    for spec in (str(played), f"{played}/", played.name, played.name[:-2], "iso", "latest"):
        assert find_run(spec, root).path.resolve() == played
    monkeypatch.chdir(root)
    assert find_run(played.name, Path("elsewhere")).name == played.name
    second = Run.create(root, Config("isosceles", 6), "isosceles", [])
    assert find_run("latest", root).name == second.name
    with pytest.raises(RunError, match=r"'iso' fits 2 runs .*write more of the name"):
        find_run("iso", root)
    with pytest.raises(RunError, match="no run 'nope'"):
        find_run("nope", root)
    assert len(all_runs(root)) == 2


def test_a_folder_still_being_made_is_no_run(played):
    shutil.copytree(played, played.parent / f".writing-{played.name}")
    assert all_runs(played.parent) == [played]


def test_the_folder_of_runs_is_given_or_from_the_environment(monkeypatch):
    monkeypatch.delenv("PIPELINE_RUNS", raising=False)
    assert runs_root() == Path("runs")
    monkeypatch.setenv("PIPELINE_RUNS", "/elsewhere")
    assert runs_root() == Path("/elsewhere")
    assert runs_root("here") == Path("here")


@pytest.mark.parametrize("spec", ["latest", "nope", "./nope"])
def test_a_run_that_is_not_there_is_one_line(tmp_path, cli, spec):
    for command in ("show", "hist", "best", "resume", "verify"):
        found = cli(command, spec, "--runs", tmp_path)
        assert found.code == 4
        assert len(found.err.strip().splitlines()) == 1


def test_a_run_without_a_round_says_how_to_play_it(fresh, cli):
    for command in ("hist", "best", "verify"):
        found = cli(command, fresh.path)
        assert found.code == 4
        assert f"pipeline resume {fresh.name}" in found.error
    shown = cli("show", fresh.path)
    assert shown.code == 0
    assert f"pipeline resume {fresh.name}" in shown.out


# ------------------------------------------------------------------------------- results


def test_what_a_run_found_is_read_back_and_verified(played):
    run, problem = Run(played), load_problem("isosceles")
    found = best_of(run, problem)
    assert found["score"] == len(found["points"]) == 9
    assert json.loads((played / "best" / "n6.json").read_text()) == found
    checked = verify_run(run, problem, [run.last_round()])
    sizes = {pool.n: pool.score.max() for _, pool in checked}
    assert sizes[6] == 9
    assert sizes[5] == best_of(run, problem, 5)["score"]
    with pytest.raises(RunError, match="no constructions of size 4; it has 5, 6"):
        best_of(run, problem, 4)


def test_the_config_of_a_run_is_complete(played):
    run = Run(played)
    assert (played / "config.toml").read_text() == to_toml(run.config)

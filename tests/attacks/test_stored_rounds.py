"""Rounds whose files fit their manifest and lie all the same: nothing of it is shown or kept."""

import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import redo_manifest

from pipeline.core.bitset import from_points
from pipeline.core.population import Population
from pipeline.core.score_stats import checked_stats, distribution

#: Commands that read a run's last round, and how they end where it lies.
READING = [
    ("show",),
    ("best",),
    ("export",),
    ("export", "--top", 1),
    ("count",),
    ("report",),
    ("certificate", "-o", "certificate"),
    ("plot", "--what", "board", "-o", "board.svg"),
    ("resume", "--rounds", "+1"),
]


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def one_line(outcome, code):
    assert outcome.code == code, outcome
    assert "Traceback" not in outcome.err
    assert len(outcome.error) < 600
    return outcome.error


def forge(run, change, number=2):
    """Put another pool, and the statistics of that, into a round."""
    folder = run / "rounds" / f"{number:04d}"
    pool, metadata = Population.read(folder / "n6.parquet")
    pool = change(pool)
    pool.write(folder / "n6.parquet", metadata)
    told = json.loads((folder / "stats.json").read_text())
    told["pool"]["6"] = distribution(pool.score)
    for key, searched in (("kept_from_search", True), ("kept_from_generator", False)):
        new = (pool.round == number) & (pool.came_from("search") == searched)
        told[key] = int(new.sum())
    (folder / "stats.json").write_text(json.dumps(told))
    redo_manifest(run, number)


def invalid(pool):
    """Make the last of many rows one with a violation: no command shows it."""
    cells = pool.cells.copy()
    cells[-1] = from_points([np.array([0, 1, 2])], pool.m)[0]
    score = pool.score.copy()
    score[-1] = 3
    return replace(pool, cells=cells, score=score)


def wrong_score(pool):
    score = pool.score.copy()
    score[-1] += 1
    return replace(pool, score=score)


def twice(pool):
    return pool.take(np.r_[np.arange(len(pool)), len(pool) - 1])


def from_the_future(pool):
    return replace(pool, round=pool.round + 7)


LIES = {
    invalid: "not valid; witness",
    wrong_score: "the stored score is",
    twice: "equivalent to row",
    from_the_future: "kept by round 2",
}


@pytest.mark.parametrize("command", READING, ids=lambda words: words[0])
@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_what_is_read_back_passes_the_gate_that_search_passes(played, cli, command, lie):
    forge(played, lie)
    found = one_line(cli(command[0], played, *command[1:]), 4)
    assert LIES[lie] in found
    assert "n6.parquet" in found
    assert "pipeline resume" in found  # the way out
    assert not (played / "rounds" / "0003").exists()


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_verify_names_the_row(played, cli, lie):
    forge(played, lie)
    assert LIES[lie] in one_line(cli("verify", played), 3)


def test_an_equivalent_construction_is_a_duplicate(played, cli):
    def mirrored(pool):
        grid = np.unpackbits(pool.cells, axis=1, count=36, bitorder="little").reshape(-1, 6, 6)
        grid = grid[0, ::-1] if (grid[0, ::-1] != grid[0]).any() else grid[0].T
        cells = np.packbits(grid.reshape(1, 36), axis=1, bitorder="little")
        return Population.concat([pool, replace(pool.take([0]), cells=cells)])

    forge(played, mirrored)
    assert "equivalent to row 0" in one_line(cli("show", played), 4)


def test_a_lie_in_an_earlier_round_is_seen_where_it_is_shown(played, cli):
    forge(played, invalid, number=1)
    for command in (("show",), ("hist", "--round", 1), ("report",)):
        found = one_line(cli(command[0], played, *command[1:]), 4)
        assert "0001" in found
        assert "delete the folders of round 1 and later" in found


# ---------------------------------------------------------------------------- stats.json


def _set(*keys):
    *path, value = keys

    def change(told):
        for key in path[:-1]:
            told = told[key]
        told[path[-1]] = value

    return change


STATS = {
    "another histogram of what is kept": _set("pool", "6", distribution(np.full(50, 9))),
    "a best that nobody has": _set("pool", "6", "max", 36),
    "a mean that is not that": _set("pool", "6", "mean", 35.0),
    "a size more": _set("pool", "7", distribution(np.array([3]))),
    "a huge score": _set("sampled", "histogram", {"1000000000000": 20}),
    "a score above all elements": _set("searched", distribution(np.full(19, 37))),
    "a negative count": _set("sampled", "invalid", -1),
    "counts that do not add up": _set("sampled", "count", 10**6),
    "a fraction": _set("sampled", "valid", 19.5),
    "a score that is a word": _set("sampled", "histogram", {"many": 20}),
    "no histogram": _set("sampled", "histogram", None),
    "other samples than are stored": _set("sampled", distribution(np.full(20, 30))),
    "another validity": _set("validity", 0.123),
    "a share above 1": _set("novelty", 17),
    "more found by search": _set("kept_from_search", 10**6),
    "another round": _set("round", 7),
    "arms that are none": _set("arms", [{"method": "tabu"}]),
    "a curve that is none": _set("train", "curve", [["x"]]),
}


@pytest.mark.parametrize("lie", STATS)
def test_statistics_that_are_not_so_are_never_shown(played, cli, lie):
    path = played / "rounds" / "0002" / "stats.json"
    told = json.loads(path.read_text())
    STATS[lie](told)
    path.write_text(json.dumps(told))
    redo_manifest(played, 2)
    for command in ("hist", "show", "report"):
        found = one_line(cli(command, played), 4)
        assert "stats.json is not what the round did" in found
        assert "delete the folders of round 2" in found


@pytest.mark.parametrize("text", ["{}", "[" * 100_000, "null", "NaN", '{"round": 1e999}', "\x00"])
def test_statistics_that_are_no_statistics_are_one_line(played, cli, text):
    path = played / "rounds" / "0002" / "stats.json"
    path.write_text(text)
    redo_manifest(played, 2)
    for command in ("hist", "show", "resume"):
        found = one_line(cli(command, played), 4)
        assert "stats.json is" in found
        assert "delete the folders of round 2" in found
    listed = cli("ls", "--runs", played.parent)
    assert listed.code == 0
    assert "damaged" in listed.out


def test_what_a_round_wrote_makes_sense(played):
    for number in range(3):
        told = json.loads((played / "rounds" / f"{number:04d}" / "stats.json").read_text())
        assert checked_stats(told) == told


@pytest.mark.parametrize("value", ['"hot"', "-1.0", "1e999", "NaN", "null", "[1]"])
def test_a_temperature_that_is_none_is_one_line(played, cli, value):
    path = played / "rounds" / "0002" / "generator" / "generator.json"
    path.write_text(f'{{"temperature": {value}}}')
    redo_manifest(played, 2)
    found = one_line(cli("resume", played, "--rounds", "+1"), 4)
    assert "generator.json" in found
    assert "delete the folders of round 2" in found


WRONG = {
    "no sampling": {"sampling": ...},
    "no arms": {"arms": ...},
    "no descent": {"imported": ...},
    "arms that are none": {"arms": [3]},
    "an arm without a name": {"arms": [{"method": "tabu"}]},
    "arms as an object": {"arms": {}},
    "a sampling that is none": {"sampling": [1]},
    "a sampling without scores": {"sampling": {"repeats": 0.5}},
    "descent that is neither": {"imported": "no"},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_state_that_makes_no_sense_is_one_line(played, cli, wrong):
    path = played / "rounds" / "0002" / "state.json"
    told = json.loads(path.read_text()) | WRONG[wrong]
    path.write_text(json.dumps({key: value for key, value in told.items() if value is not ...}))
    redo_manifest(played, 2)
    found = one_line(cli("resume", played, "--rounds", "+1"), 4)
    assert "state.json is damaged or missing" in found
    assert "delete the folders of round 2" in found


@pytest.mark.parametrize("value", ["hot", -0.1, 1.1, None, True])
def test_repeats_that_are_no_share_are_one_line(played, cli, value):
    path = played / "rounds" / "0002" / "state.json"
    told = json.loads(path.read_text())
    told["sampling"]["repeats"] = value
    path.write_text(json.dumps(told))
    redo_manifest(played, 2)
    assert "state.json" in one_line(cli("resume", played, "--rounds", "+1"), 4)

"""The lecture's isosceles experiment: what it shows, how it counts, what it puts beside it."""

from dataclasses import replace

import pytest
from loops import Told

from pipeline.callbacks import Callbacks
from pipeline.core.score_stats import distribution
from pipeline.errors import UsageError
from pipeline.lab import isosceles
from pipeline.lab.isosceles import LECTURE, WRONG_FORMAT, run
from pipeline.plugins import load_problem


def played(seed=0):
    told = Told()
    return run("tiny", seed, told, n=6), told


@pytest.fixture(scope="module")
def rows_and_events():
    return played()


def test_there_are_three_rows_of_the_lectures_statistics(rows_and_events):
    rows, _ = rows_and_events
    keys = [(row["shown"], row["whose"]) for row in rows]
    assert keys == [("alone", "input"), ("alone", "model"), ("all n <= 6", "model")]
    for row in rows:
        scores = sorted(int(s) for s, k in row["histogram"].items() for _ in range(k))
        assert row["count"] == len(scores)
        assert row["mean"] == pytest.approx(sum(scores) / len(scores))
        assert row["max"] == scores[-1] <= 9  # the most there can be
        best = scores[-(len(scores) // 5) :]
        assert row["top20"] == pytest.approx(sum(best) / len(best))
    assert 100 < rows[0]["count"] <= 300  # so small a board has few
    assert rows[0]["wrong_format"] == rows[0]["illegal"] == 0


def test_what_is_shown_spreads_as_the_lectures_attempts():
    few = replace(isosceles.SCALES["tiny"], greedy=4000)
    shown = isosceles._attempts(few, 0, 16, Callbacks())
    found = distribution(shown.score)
    wanted = LECTURE["alone", "input"]
    for name, value in zip(("mean", "median", "top20"), wanted, strict=False):
        assert found[name] == pytest.approx(value, abs=0.5), name
    assert max(shown.score) <= wanted[-1]
    assert len(shown) == pytest.approx(4000, abs=50)
    problem = load_problem("isosceles")
    assert problem.validate(shown.cells, 16).all()
    assert (problem.evaluate(shown.cells, 16) == shown.score).all()
    # Multiples of 4 stand out, as in the lecture's histogram.
    counts = {int(k): v for k, v in found["histogram"].items()}
    assert min(counts[16], counts[20]) > 1.25 * max(counts[15], counts[19], counts[21])


def test_what_has_no_format_is_a_bar_of_its_own(rows_and_events):
    rows, _ = rows_and_events
    for row in rows[1:]:
        assert row["wrong_format"] == row["histogram"].get(str(WRONG_FORMAT), 0)
        assert row["count"] <= 60
        assert 0 <= row["illegal"] <= row["count"] - row["wrong_format"]
    assert rows[1]["wrong_format"] > 0  # after so few steps
    assert rows[1]["wrong_format"] < rows[1]["count"]


def test_samples_are_written_freely_and_not_searched(rows_and_events):
    _, told = rows_and_events
    stages = [name for name, _, _ in told.stages]
    attempts = ["seed"] * len(isosceles.ATTEMPTS)
    assert stages == [*attempts, "train", "sample", *["explore"] * 5, "train", "sample"]


@pytest.mark.end_to_end
def test_the_same_rng_seed_gives_the_same_rows(rows_and_events):
    rows, _ = rows_and_events
    assert played()[0] == rows
    assert played(1)[0] != rows


def row(seed, mean, top, wrong=0, **more):
    base = {"shown": "alone", "whose": "model", "seed": seed, "mean": mean, "median": 17.0}
    return {**base, "top20": 21.0, "max": top, "count": 200, "wrong_format": wrong, "illegal": 10}


def test_ours_stand_beside_the_lectures_with_their_spread(monkeypatch):
    figures = {0: (15.0, 22, 2), 1: (17.0, 24, 0), 2: (16.0, 23, 0)}

    def rows(scale, seed, callbacks):
        assert scale == "small"
        return [
            row(seed, *figures[seed][:2], wrong=figures[seed][2]) | {"shown": shown, "whose": whose}
            for shown, whose in LECTURE
        ]

    monkeypatch.setattr(isosceles, "run", rows)
    given, alone, together = isosceles.experiment("small", 0, Callbacks())
    assert given["name"] == "isosceles-16, alone, input"
    assert given["measured"] == "mean 16 (15 - 17), median 17, top 20 % 21, max 23 (22 - 24)"
    assert alone["measured"].endswith("; wrong format 0 % (0 - 1), illegal before repair 5 %")
    assert alone["lecture"] == "mean 15.9, median 17, top 20 % 21.9, max 24"
    assert together["values"]["max"] == [22, 24, 23]
    assert together["budget"].endswith("rng seeds 0 to 2")


def test_an_unknown_scale_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'small'"):
        run("smal", 0, Callbacks())

"""Histograms of scores that no run would have: short, at once, and none left out."""

import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pipeline.core.score_stats import distribution
from pipeline.report.figures import histogram_svg
from pipeline.report.terminal import histogram

FAR = 10**12
MOST_ROWS = 202


def found(scores: dict[int, int]):
    counted = distribution(np.array([1, 2, 3]))
    counted["histogram"] = {str(score): count for score, count in scores.items()}
    return counted


def rows(scores: dict[int, int]) -> list[str]:
    out = Console(width=80, record=True, file=io.StringIO())
    out.print(histogram(found(scores), "kept", "title"))
    return out.export_text().strip().splitlines()[1:]


def counts(lines: list[str]) -> int:
    return sum(int(line.split()[-1].replace(",", "")) for line in lines if line.strip() != "…")


@given(st.dictionaries(st.integers(-FAR, FAR), st.integers(1, 1000), min_size=1, max_size=300))
def test_a_histogram_is_short_and_complete_whatever_the_scores(scores):
    lines = rows(scores)
    assert len(lines) <= MOST_ROWS
    assert counts(lines) == sum(scores.values())


def test_scores_far_apart_have_a_gap_between_them():
    lines = [line.strip() for line in rows({3: 2, 5: 1, 9: 1, FAR: 4})]
    assert [line.split()[0] for line in lines] == ["3", "4", "5", "6", "7", "8", "9", "…", str(FAR)]


@pytest.mark.parametrize("scores", [{7: 1, FAR: 2}, {-FAR: 1, FAR: 3}, {k: 1 for k in range(500)}])
def test_a_figure_is_short_whatever_the_scores(scores):
    drawn = histogram_svg(found(scores), "title", (min(scores), max(scores)))
    assert drawn.count('class="bar"') <= 40
    bars = re.findall(r"<title>(?:-?\d+|-?\d+ to -?\d+): ([\d,]+)</title>", drawn)
    assert sum(int(count.replace(",", "")) for count in bars) == sum(scores.values())

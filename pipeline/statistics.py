"""The lecture's way to look at many constructions: four statistics, and a histogram with failures.

Source: A. Z. Wagner, "Transformers and Makemore", 22 September 2023.
"""

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import numpy as np


class Distribution(TypedDict):
    """Scores of one batch; the statistics speak of the valid constructions alone.

    A batch without valid constructions has None for each statistic.
    """

    count: int  # everything that was looked at, failures included
    valid: int
    invalid: int  # well-formed, with a violation
    wrong_format: int  # no construction at all
    mean: float | None
    median: float | None
    top20: float | None  # mean of the best fifth, at least one
    max: int | None
    histogram: dict[str, int]  # score -> how many valid ones, rising


def distribution(scores: "np.ndarray", invalid: int = 0, wrong_format: int = 0) -> Distribution:
    """Summarise the scores of valid constructions, int ``(B,)``, and count the failures."""
    import numpy as np  # not needed to look at what has been counted

    scores = np.sort(np.asarray(scores))[::-1]
    valid = len(scores)
    values, numbers = np.unique(scores, return_counts=True)
    best = scores[: max(valid // 5, 1)]
    return Distribution(
        count=valid + invalid + wrong_format,
        valid=valid,
        invalid=invalid,
        wrong_format=wrong_format,
        mean=float(scores.mean()) if valid else None,
        median=float(np.median(scores)) if valid else None,
        top20=float(best.mean()) if valid else None,
        max=int(scores[0]) if valid else None,
        histogram={str(v): int(k) for v, k in zip(values, numbers, strict=True)},
    )

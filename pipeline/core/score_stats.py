"""The lecture's way to look at many constructions: four statistics, and a histogram with failures.

Source: A. Z. Wagner, "Transformers and Makemore", 22 September 2023.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from msgspec import UNSET, Meta, Struct, UnsetType, ValidationError, convert

if TYPE_CHECKING:
    import numpy as np

_SCORE = 2**31  # scores are int32
Whole = Annotated[int, Meta(ge=0, lt=2**53)]
Score = Annotated[int, Meta(gt=-_SCORE, lt=_SCORE)]
Share = Annotated[float, Meta(ge=0, le=1)]
Size = Annotated[str, Meta(pattern="^[0-9]{1,10}$")]
#: How many have each score, by the score as text.
Histogram = Annotated[
    dict[Annotated[str, Meta(pattern="^(0|-?[1-9][0-9]{0,9})$")], Whole], Meta(max_length=100_000)
]


class Distribution(TypedDict):
    """Scores of one batch; the statistics speak of the valid constructions alone.

    A batch without valid constructions has None for each statistic.
    """

    count: Whole  # everything that was looked at, failures included
    valid: Whole
    invalid: Whole  # well-formed, with a violation
    wrong_format: Whole  # no construction at all
    mean: float | None
    median: float | None
    top20: float | None  # mean of the best fifth, at least one
    max: Score | None
    histogram: Histogram  # of the valid ones, rising


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


Loss = Annotated[float, Meta(ge=-1e9)] | None


class Arm(Struct, kw_only=True):
    """What an arm of the portfolio has found; more keys may come."""

    method: str
    symmetry: str
    weights: str
    restricted: bool
    tasks: Whole
    hits: Whole
    core: Whole
    best: Score | None = None  # before its first task


class Training(Struct, kw_only=True):
    """What a training came to; more keys may come."""

    steps: Whole
    loss: Loss = None
    holdout_loss: Loss = None
    curve: list[tuple[Whole, Loss, Loss]]


class Sampling(Struct, kw_only=True, forbid_unknown_fields=True):
    """How a round's samples stood to each other, and to those before."""

    scores: Distribution
    validity: Share
    duplicates: Share
    novelty: Share
    repeats: Share


class RoundStats(Struct, kw_only=True):
    """What a round says of itself; a generator may add keys of its own."""

    round: Whole
    n: Whole
    pool: dict[Size, Distribution]
    arms: list[Arm]
    seeded: dict[Size, Distribution] | UnsetType = UNSET
    sampled: Distribution | UnsetType = UNSET
    searched: Distribution | UnsetType = UNSET
    validity: Share | UnsetType = UNSET
    duplicates: Share | UnsetType = UNSET
    novelty: Share | UnsetType = UNSET
    repeats: Share | UnsetType = UNSET
    temperature: Annotated[float, Meta(ge=0, le=1e9)] | UnsetType = UNSET
    kept_from_generator: Whole | UnsetType = UNSET
    rediscovered: Whole | UnsetType = UNSET
    kept_from_search: Whole | UnsetType = UNSET
    train: Training | UnsetType = UNSET


_OF_SAMPLES = ("validity", "duplicates", "novelty", "repeats")
_OF_SAMPLES += ("kept_from_generator", "kept_from_search")


def checked_stats(data: Any) -> dict[str, Any]:
    """Return what a round says of itself, once all that is read of it makes sense.

    Whatever else it holds is let through.

    Raises:
        ValueError: says what does not.
    """
    if isinstance(data, dict) and "kept_from_proposals" in data:  # as earlier releases called it
        data["kept_from_generator"] = data.pop("kept_from_proposals")
    _check(data, RoundStats)
    for key in ("pool", "seeded"):
        for n, part in data.get(key, {}).items():
            _check_sums(part, f"{key} {n}")
    for key in {"sampled", "searched"} & data.keys():
        _check_sums(data[key], key)
    if "sampled" in data:
        for key in _OF_SAMPLES:
            _need(key in data, f"{key} is missing")
        share = data["sampled"]["valid"] / max(data["sampled"]["count"], 1)
        _need(math.isclose(data["validity"], share, abs_tol=1e-9), "validity is not sampled's")
    return data


def checked_arms(data: Any) -> list[Mapping[str, Any]]:
    """Return what the arms of a portfolio have found, once all of it makes sense.

    Raises:
        ValueError: says what does not.
    """
    return _check(data, list[Arm])


def checked_sampling(data: Any) -> dict[str, Any]:
    """Return how a round's samples stood to each other, once all of it makes sense.

    Raises:
        ValueError: says what does not.
    """
    _check(data, Sampling)
    _check_sums(data["scores"], "sampling")
    return data


def _check(data: Any, kind: Any) -> Any:
    """Return a value as it is, once it is of a type.

    Raises:
        ValueError: it is not.
    """
    try:
        convert(data, kind)
    except (ValidationError, OverflowError) as error:
        raise ValueError(str(error)) from None
    return data


def _check_sums(found: Distribution, where: str) -> None:
    """Hold what is said of a distribution against its histogram.

    Raises:
        ValueError: says what does not fit.
    """
    scores = sorted((int(score), many) for score, many in found["histogram"].items())
    _need(all(abs(score) < _SCORE for score, _ in scores), f"{where}: a score is too large")
    failures = found["invalid"] + found["wrong_format"]
    _need(sum(many for _, many in scores) == found["valid"], f"{where}: histogram and valid differ")
    _need(found["valid"] + failures == found["count"], f"{where}: the counts do not add up")
    for key, value in _summary(scores, found["valid"]).items():
        told = found[key]
        same = told is None if value is None else told is not None
        fits = value is None or math.isclose(told or 0, value, rel_tol=1e-6, abs_tol=1e-9)
        _need(same and fits, f"{where}: {key} is not that of the histogram")


def _summary(scores: list[tuple[int, int]], valid: int) -> dict[str, float | None]:
    """Return the four statistics of (score, how many) in rising order."""
    if not valid:
        return dict.fromkeys(("mean", "median", "top20", "max"))
    top, left = max(valid // 5, 1), max(valid // 5, 1)
    best = 0
    for score, many in reversed(scores):
        best += score * min(many, left)
        left -= min(many, left)
    middle = [_at(scores, (valid - 1) // 2), _at(scores, valid // 2)]
    return {
        "mean": sum(score * many for score, many in scores) / valid,
        "median": sum(middle) / 2,
        "top20": best / top,
        "max": max(score for score, many in scores if many),
    }


def _at(scores: list[tuple[int, int]], index: int) -> int:
    """Return the score at an index of all of them in rising order."""
    for score, many in scores:
        if index < many:
            return score
        index -= many
    raise AssertionError


def _need(ok: bool, complaint: str) -> None:
    if not ok:
        raise ValueError(complaint)

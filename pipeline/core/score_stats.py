"""The lecture's way to look at many constructions: four statistics, and a histogram with failures.

Source: A. Z. Wagner, "Transformers and Makemore", 22 September 2023.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict

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


#: Scores that one histogram may hold, and the largest of them either way: scores are int32.
_KEYS, _SCORE = 100_000, 2**31
_PARTS = ("sampled", "searched")
_SHARES = ("validity", "duplicates", "novelty", "repeats")
_ARM = {"method": str, "symmetry": str, "weights": str, "restricted": bool}
_ARM |= dict.fromkeys(("tasks", "hits", "core"), int)


def checked_stats(data: Any) -> dict[str, Any]:
    """Return what a round says of itself, once all that is read of it makes sense.

    Whatever else it holds is let through.

    Raises:
        ValueError: says what does not.
    """
    _need(isinstance(data, dict), "it is no object")
    if "kept_from_proposals" in data:  # as earlier releases called it
        data["kept_from_generator"] = data.pop("kept_from_proposals")
    for key in ("round", "n"):
        _need(_whole(data.get(key)), f"{key} must be a whole number from 0")
    for key in ("pool", "seeded"):
        _need(key in data or key == "seeded", f"{key} is missing")
        for n, part in _object(data.get(key, {}), key).items():
            _need(n.isascii() and n.isdigit() and len(n) < 11, f"{key}: no size {n[:20]!r}")
            _check_distribution(part, f"{key} {n}")
    for key in _PARTS:
        if key in data:
            _check_distribution(data[key], key)
    _check_model(data)
    checked_arms(data.get("arms"))
    return data


def checked_arms(data: Any) -> list[Mapping[str, Any]]:
    """Return what the arms of a portfolio have found, once all of it makes sense.

    Raises:
        ValueError: says what does not.
    """
    for arm in _list(data, "arms"):
        _object(arm, "an arm")
        for key, kind in _ARM.items():
            value = arm.get(key)
            good = _whole(value) if kind is int else type(value) is kind
            _need(good, f"an arm's {key} is wrong")
        best = arm.get("best")  # null before its first task
        good = best is None or (isinstance(best, int) and _number(best, -_SCORE, _SCORE))
        _need(good, "an arm's best is wrong")
    return data


def checked_sampling(data: Any) -> dict[str, Any]:
    """Return how a round's samples stood to each other, once all of it makes sense.

    Raises:
        ValueError: says what does not.
    """
    _need(set(_object(data, "sampling")) == {"scores", *_SHARES}, "sampling has other keys")
    _check_distribution(data["scores"], "sampling")
    for key in _SHARES:
        _need(_number(data[key], 0, 1), f"{key} must lie between 0 and 1")
    return data


def _check_model(data: Mapping[str, Any]) -> None:
    """Check what a round says of its model and of what came of it."""
    for key in _SHARES:
        _need(key not in data or _number(data[key], 0, 1), f"{key} must lie between 0 and 1")
    fine = "temperature" not in data or _number(data["temperature"], 0, 1e9)
    _need(fine, "temperature must be a number above 0")
    for key in ("kept_from_generator", "rediscovered", "kept_from_search"):
        _need(key not in data or _whole(data[key]), f"{key} must be a whole number from 0")
    if "sampled" in data:
        for key in (*_SHARES, "kept_from_generator", "kept_from_search"):
            _need(key in data, f"{key} is missing")
        share = data["sampled"]["valid"] / max(data["sampled"]["count"], 1)
        _need(math.isclose(data["validity"], share, abs_tol=1e-9), "validity is not sampled's")
    if "train" in data:
        told = _object(data["train"], "train")
        _need(_whole(told.get("steps")), "train.steps must be a whole number from 0")
        for key in ("loss", "holdout_loss"):
            _need(_loss(told.get(key)), f"train.{key} must be a number")
        for row in _list(told.get("curve"), "train.curve"):
            fine = isinstance(row, list) and len(row) == 3 and _whole(row[0])
            _need(fine and all(map(_loss, row[1:])), "train.curve has a row that is none")


def _check_distribution(found: Any, where: str) -> None:
    _object(found, where)
    for key in ("count", "valid", "invalid", "wrong_format"):
        _need(_whole(found.get(key)), f"{where}: {key} must be a whole number from 0")
    histogram = _object(found.get("histogram"), f"{where}: histogram")
    _need(len(histogram) <= _KEYS, f"{where}: more than {_KEYS:,} scores")
    scores: list[tuple[int, int]] = []
    for key, many in histogram.items():
        number = len(key) < 12 and key.removeprefix("-").isdecimal()
        _need(number, f"{where}: no score {key[:20]!r}")
        score = int(key)
        _need(str(score) == key and abs(score) < _SCORE, f"{where}: no score {key!r}")
        _need(_whole(many), f"{where}: score {key} must have a whole number")
        scores.append((score, many))
    failures = found["invalid"] + found["wrong_format"]
    _need(sum(many for _, many in scores) == found["valid"], f"{where}: histogram and valid differ")
    _need(found["valid"] + failures == found["count"], f"{where}: the counts do not add up")
    for key, value in _summary(sorted(scores), found["valid"]).items():
        told = found.get(key)
        same = told is None if value is None else _number(told, -_SCORE, _SCORE)
        _need(same, f"{where}: {key} is wrong")
        fits = value is None or math.isclose(told, value, rel_tol=1e-6, abs_tol=1e-9)
        _need(fits, f"{where}: {key} is not that of the histogram")


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


def _object(value: Any, what: str) -> dict[str, Any]:
    _need(isinstance(value, dict), f"{what} must be an object")
    return value


def _list(value: Any, what: str) -> list[Any]:
    _need(isinstance(value, list), f"{what} must be a list")
    return value


def _need(ok: bool, complaint: str) -> None:
    if not ok:
        raise ValueError(complaint)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _number(value: Any, low: float, high: float) -> bool:
    fine = isinstance(value, int | float) and not isinstance(value, bool)
    return fine and low <= value <= high


def _loss(value: Any) -> bool:
    return value is None or (_number(value, -math.inf, math.inf) and not math.isnan(value))

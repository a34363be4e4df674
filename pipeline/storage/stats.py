"""stats.json of a round, held against the scores that the round stored."""

from collections.abc import Mapping
from typing import Any

from pipeline.core.score_stats import checked_stats, distribution


def checked(data: Any, number: int, n: int, scores: Mapping[int, Any]) -> dict[str, Any]:
    """Return what a round says of itself, with what it says of its pools counted anew.

    Args:
        number, n: the round, and the size that its run searches for.
        scores: those stored with the constructions of each size.

    Raises:
        ValueError: says what makes no sense, or does not fit what is stored.
    """
    found = checked_stats(data)
    if (found["round"], found["n"]) != (number, n):
        raise ValueError("it is of another round or size")
    kept = {str(size): distribution(stored) for size, stored in scores.items()}
    if found["pool"].keys() != kept.keys():
        raise ValueError("it tells of other sizes than the round has")
    for size, true in kept.items():
        if found["pool"][size]["histogram"] != true["histogram"]:
            raise ValueError(f"its histogram of size {size} is not that of n{size}.parquet")
    return found | {"pool": kept}

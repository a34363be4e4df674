"""What the words of a lab command mean: tasks, parts, steps, numbers."""

from math import inf
from typing import Any, TypeVar

from pipeline.errors import UsageError

Number = TypeVar("Number", int, float)


def find(spec: str, scale: str, lengths: str) -> Any:
    """Return the entry that TASK names."""
    from pipeline.lab import registry

    return registry.find(spec, scale, length_range(lengths))


def length_range(text: str) -> tuple[int, int]:
    """Read ``30:40`` or ``30``."""
    low, colon, high = text.partition(":")
    try:
        return int(low), int(high if colon else low)
    except ValueError:
        raise UsageError(f"--lengths {text}: write them as 30:40") from None


def labels(entry: Any, rule: str | None) -> list[str]:
    """Return the parts of a task that are meant; [""] for a task of one part."""
    from pipeline.errors import nearest

    labels = [*(entry.tasks or {"": None})]
    if rule in (None, "all"):
        return labels
    if rule not in labels or labels == [""]:
        known = nearest(str(rule), labels) if labels != [""] else "; leave it out"
        raise UsageError(f"--rule {rule}: {entry.name} has none of that name{known}")
    return [str(rule)]


def name_of(entry: Any, label: str) -> str:
    """Return how to call a part of a task."""
    return f"{entry.name} {label}".strip()


def steps(text: str | None) -> list[int]:
    """Read steps as ``1000,15000``; none for no text."""
    return sorted(set(_listed(int, text, f"{text}: write steps as 1000,15000", least=1)))


def numbers(option: str, text: str | None) -> list[float]:
    """Read numbers as ``0,0.01,0.1``; none for no text."""
    return _listed(float, text, f"{option} {text}: write numbers as 0,0.01,0.1")


def sized(task: Any, budget: Any, text: str) -> Any:
    """Return a budget with a model as large as ``27k`` or ``1.5M``, or of the shape ``2x64``."""
    from dataclasses import replace

    from pipeline.lab.learning import shape, with_parameters

    layers, x, width = text.partition("x")
    if not (x and layers.isdecimal() and width.isdecimal()):
        return with_parameters(task, budget, _count(text))
    found = replace(budget, layers=int(layers), width=int(width))
    shape(task, found)  # refuses what no model has
    return found


def _count(text: str) -> int:
    """Read a number of parameters as ``27k`` or ``1.5M``."""
    unit = {"k": 1e3, "K": 1e3, "m": 1e6, "M": 1e6}.get(text[-1:], 0)
    try:
        count = float(text[:-1]) * unit if unit else float(text)
    except ValueError:
        count = 0
    if not 500 <= count <= 1e8:
        raise UsageError(
            f"--parameters {text}: write 500 to 100M, as 27k or 1.5M, or layers x width, as 2x64"
        )
    return round(count)


def cell(text: str | None) -> tuple[int, int] | None:
    """Read row and column as ``5,4``."""
    wrong = f"--cell {text}: write row and column as 5,4"
    found = _listed(int, text, wrong)
    if text is not None and len(found) != 2:
        raise UsageError(wrong)
    return (found[0], found[1]) if found else None


def _listed(kind: type[Number], text: str | None, wrong: str, least: float = -inf) -> list[Number]:
    """Return the numbers of a list with commas; none for no text."""
    try:
        found = [kind(part) for part in text.split(",")] if text is not None else []
    except ValueError:
        raise UsageError(wrong) from None
    if found and min(found) < least:
        raise UsageError(wrong)
    return found

"""Configurations of runs of earlier formats, as far as they have a meaning today.

They are needed to show such runs, not to go on with them: keys that are gone are left out, and a
section whose values are no longer allowed takes today's defaults.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pipeline.config import Config, config_from
from pipeline.errors import UsageError

#: What every configuration has had, by type.
_ALWAYS = {"problem": str, "n": int, "convention": str, "seed": int}


def earlier_config(data: Any, where: str) -> Config:
    """Return the configuration that the keys of an earlier format come nearest to.

    Raises:
        UsageError: its problem, size, convention or rng seed is not one.
    """
    found = data if isinstance(data, Mapping) else {}
    base: dict[str, Any] = {}
    for key, kind in _ALWAYS.items():
        if type(found.get(key)) is not kind:
            raise UsageError(f"{where}: {key} is missing or damaged")
        base[key] = found[key]
    config = config_from(base, where)
    for key, today in asdict(config).items():
        if key in found and key not in _ALWAYS:
            value = _common(found[key], today)
            try:
                config = config_from({**base, key: value}, where)
            except UsageError:
                continue
            base[key] = value
    return config


def _common(value: Any, today: Any) -> Any:
    """Return a value, and of a section the keys that there are today."""
    if not isinstance(today, dict) or not isinstance(value, Mapping):
        return value
    return {key: inner for key, inner in value.items() if key in today}

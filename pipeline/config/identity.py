"""What of a configuration decides the results of a run, and a short hash of it."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from pipeline.config.sections import GENERATORS, Config


def deciding(config: Config) -> dict[str, Any]:
    """Return the nested keys that decide the results of a run: no budget, executor or store.

    Nor, with a generator of ours that has no model, the settings of one. A generator of the
    user's own may read them, so there they count.
    """
    data = msgspec.to_builtins(config)
    del data["budget"], data["store"]
    for name in ("workers", "executor", "address"):
        del data["compute"][name]
    if config.generator in GENERATORS and not config.has_model:
        del data["model"], data["train"], data["feedback"]
        data["sample"] = {"count": config.sample.count}
    return data


def identity_of(config: Config, known: Mapping[str, Any] | None = None) -> str:
    """Return a short hash of all that decides the results.

    Args:
        known: the nested keys that there were when a run began, so that the hash of a run stays
            what it was where later releases have more; None for all.
    """
    data = deciding(config)
    if known is not None:
        data = _among(data, known)
    text = msgspec.json.encode(data, order="sorted")
    return hashlib.sha256(text).hexdigest()[:16]


def _among(data: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of nested keys that is among others."""
    return {
        key: _among(value, known[key]) if isinstance(value, dict) else value
        for key, value in data.items()
        if key in known
    }

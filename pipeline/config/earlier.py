"""Configurations of runs of format 1, whose keys had other names."""

from collections.abc import Mapping
from typing import Any

from pipeline.config.files import config_from, flat
from pipeline.config.sections import Config
from pipeline.errors import UsageError, short

#: Where the keys of runs of format 1 went: an empty name for those that are gone.
_EARLIER = {
    "proposer": "generator",
    "model.symmetry": "symmetry",
    "model.kind": "",
    "model.condition": "",
    "model.geometry": "model.attention_bias",
    "seeding.proposals": "seeding.moves",
    "seeding.hot": "seeding.initial_temperature",
    "seeding.cold": "seeding.final_temperature",
    "search.field": "search.weights",
    "search.proposals": "search.moves",
    "search.hot": "search.initial_temperature",
    "search.cold": "search.final_temperature",
    "sample.constrained": "sample.masked",
    "sample.adapt": "sample.adapt_temperature",
    "sample.ask": "",
    "sample.symmetry": "",
    "feedback.share": "feedback.fraction",
}
#: Words that have other names since.
_EARLIER_WORDS = {
    ("search.weights", "learnt"): "learned",
    ("search.improve", "climb"): "tabu",
    ("search.improve", "complete"): "repair",
}


def earlier(data: Mapping[str, Any], where: str) -> Config:
    """Make a configuration of the nested keys that runs of format 1 have, to show such a run.

    Its identity is not the one that the run was given.

    Raises:
        UsageError: as for `config_from`.
    """
    if not isinstance(data, Mapping):
        raise UsageError(f"{where}: the configuration must be a section, got {short(data)}")
    new: dict[str, Any] = {}
    for key, value in flat(data):
        name = _EARLIER.get(key, key)
        section, dot, last = name.rpartition(".")
        if isinstance(value, str):
            value = _EARLIER_WORDS.get((name, value), value)
        if name:
            (new.setdefault(section, {}) if dot else new)[last] = value
    if new.get("generator") == "model":
        model = data.get("model", {})
        new["generator"] = model.get("kind", "gpt") if isinstance(model, Mapping) else "gpt"
    # Before models were pruned, all were kept.
    return config_from({"store": {"keep_models": "all"}} | new, where)

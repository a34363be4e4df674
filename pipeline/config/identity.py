"""What of a configuration decides the results of a run."""

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

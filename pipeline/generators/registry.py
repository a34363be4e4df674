"""Generators by name, and a user's own from a file that the user named."""

import numpy as np

from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.generators.base import Generator
from pipeline.generators.simple import Nothing, Perturb, Restart

_SIMPLE = {"perturb": Perturb, "restart": Restart, "none": Nothing}


def make_generator(config: Config, mask: np.ndarray | None = None) -> Generator:
    """Return the generator that a configuration asks for; torch is loaded for a model alone.

    Args:
        mask: bool ``(m,)``, the elements that may be used at size n; None for all.

    Raises:
        UsageError: there is none of that name, or its file cannot be loaded.
    """
    name = config.proposer
    if name in _SIMPLE:
        return _SIMPLE[name]()
    if config.model.kind == "vision":
        from pipeline.generators.vision import VisionGenerator

        return VisionGenerator(mask)
    if name == "model":
        from pipeline.generators.gpt import GPTGenerator

        return GPTGenerator()
    raise UsageError(f"no generator {name!r}")

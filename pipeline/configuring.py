"""The configuration of a new run: made of nested keys, for its problem, on this machine."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from pipeline.config import Config, config_from, resolved
from pipeline.errors import UsageError
from pipeline.plugins import load_problem, problem_spec
from pipeline.problem import Problem


def configured(
    data: Mapping[str, Any], where: str, problem: Problem | None = None
) -> tuple[Config, Problem]:
    """Return the configuration of a new run that nested keys make up, and its problem.

    Args:
        where: what to name in an error, such as the file.
        problem: None for the one that the keys name.

    Raises:
        UsageError: an unknown key, a wrong value, or a size that cannot be had.
    """
    config = config_from(data, where)
    problem = problem or load_problem(config.problem, config.convention or None)
    if "sizes" not in data:
        usual = tuple(k for k in config.sizes if k >= problem.smallest)
        config = replace(config, sizes=usual)
    for n in reversed(config.sizes):
        problem.ground(n)
    return resolved(config), problem


def from_arguments(
    problem: Problem,
    config: Mapping[str, Any] | Config | None,
    told: Mapping[str, Any],
    budget: Mapping[str, Any],
    workers: int | None,
) -> Config:
    """Return the configuration that the arguments of `pipeline.run` make up."""
    told = {key: value for key, value in told.items() if value is not None}
    limits = {key: value for key, value in budget.items() if value is not None}
    if isinstance(config, Config):
        made = replace(config, **told, budget=replace(config.budget, **limits))
        if workers is not None:
            made = replace(made, compute=replace(made.compute, workers=workers))
        return resolved(made)
    data: dict[str, Any] = {**(config or {}), **told, "problem": problem_spec(spec_of(problem))}
    data["budget"] = {**data.get("budget", {}), **limits}
    if workers is not None:
        data["compute"] = {**data.get("compute", {}), "workers": workers}
    if data.setdefault("n", problem.only_size) is None:
        raise UsageError(f'name a size, as in: pipeline.run("{problem.name}", n=16)')
    data.setdefault("convention", problem.convention)
    return configured(data, "the configuration", problem)[0]


def settled(config: Config) -> Config:
    """Return the configuration with the precision that "auto" comes to on this machine.

    So that a run goes on in the same one elsewhere; without a model there is nothing to settle.
    """
    compute = config.compute
    if not config.has_model or compute.precision != "auto":
        return config
    from pipeline.model.device import pick_device, settled_precision

    precision = settled_precision(pick_device(compute.device), config.model.width)
    return replace(config, compute=replace(compute, precision=precision))


def spec_of(problem: Problem) -> str:
    """Return what names a problem: its name, or FILE.py:CLASS."""
    return problem.plugin or problem.name

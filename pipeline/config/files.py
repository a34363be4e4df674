"""Configurations from TOML, nested keys and settings, and to TOML."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from pipeline.config.identity import deciding
from pipeline.config.sections import Config
from pipeline.config.values import Section, complaint, fields, is_section, prefix_of
from pipeline.core.untrusted import read_bytes
from pipeline.errors import PipelineError, UsageError, nearest, short


def as_dict(config: Section) -> dict[str, Any]:
    """Return nested plain values, lists as tuples."""
    return msgspec.to_builtins(config)


def to_toml(config: Config) -> str:
    """Write a configuration with every key."""
    import tomli_w

    return tomli_w.dumps(as_dict(config))


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """Return the keys of a TOML text.

    Raises:
        UsageError: it is not TOML; names ``where`` and the line.
    """
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where} is not TOML: {error}") from error
    except RecursionError:
        raise UsageError(f"{where}: its values are nested too deeply") from None
    except ValueError:
        raise UsageError(f"{where}: it has a number of thousands of digits") from None


def read_toml(path: Path) -> dict[str, Any]:
    """Return the keys of a TOML file.

    Raises:
        UsageError: it cannot be read or is not TOML.
    """
    try:
        return parse_toml(read_bytes(path).decode("utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    except PipelineError as error:
        raise UsageError(str(error)) from error


def config_from(
    data: Mapping[str, Any], where: str, like: Mapping[str, Any] | None = None
) -> Config:
    """Make a configuration of nested keys.

    Args:
        where: what to name in an error, such as the file.
        like: nested keys that it must have, such as those that a run began with.

    Raises:
        UsageError: an unknown or missing key (the nearest is suggested), a wrong type or value.
    """
    try:
        _check_keys(Config, data, like or {})
        return _convert(data)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def _check_keys(cls: type[Section], data: object, like: Mapping[str, Any]) -> None:
    """Check that nested keys are all known, and none is missing that is needed or in others."""
    prefix = prefix_of(cls)
    if not isinstance(data, Mapping):
        name = prefix.rstrip(".") or "the configuration"
        raise UsageError(f"{name} must be a section, got {short(data)}")
    known = {field.name: field for field in fields(cls)}
    for key in data:
        if key not in known:
            hint = nearest(prefix + str(key)[:100], [prefix + name for name in known])
            raise UsageError(f"unknown key {short(f'{prefix}{key}')}{hint}")
    for name, field in known.items():
        if name not in data:
            if name in like or field.required:
                raise UsageError(f"the key {prefix + name!r} is missing")
        elif is_section(field.type):
            _check_keys(field.type, data[name], like.get(name, {}))


def _convert(data: Mapping[str, Any]) -> Config:
    """Make a configuration of keys that are known.

    Raises:
        UsageError: a wrong type or value.
    """
    try:
        return msgspec.convert(data, Config)
    except msgspec.ValidationError as error:
        # The message ends with where: " - at `$.train.steps`", or "`$.sizes[1]`".
        path = str(error).rpartition(" - at `$.")[2].partition("[")[0].strip("`")
    kind, value = Config, data
    for name in path.split("."):
        kind = next(field.type for field in fields(kind) if field.name == name)
        value = value[name]
    raise UsageError(complaint(path, kind, value))


def with_setting(data: dict[str, Any], setting: str) -> None:
    """Apply ``section.key=value`` to nested keys in place; the value is TOML, or a bare word.

    Raises:
        UsageError: there is no ``=``.
    """
    import tomllib

    key, equals, value = setting.partition("=")
    if not equals:
        raise UsageError(f"--set {setting}: write it as section.key=value")
    try:
        parsed = tomllib.loads(f"v = {value}")["v"]
    except tomllib.TOMLDecodeError:
        parsed = value
    except (RecursionError, ValueError):
        raise UsageError(f"--set {key}: its value is nested too deeply, or too long") from None
    *sections, last = key.strip().split(".")
    for section in sections:
        inner = data.setdefault(section, {})
        if not isinstance(inner, dict):
            raise UsageError(f"--set {setting}: {section} is not a section")
        data = inner
    data[last] = parsed


def resolved(config: Config) -> Config:
    """Return the configuration with what depends on this machine written out.

    Sums in the model's training are split by thread, so the number of threads belongs to a run.
    Half the cores, since a small model gains little from more, and threads that wait for one
    another lose more than they gain as soon as anything else runs (seen: 50 times slower). Several
    processes of one model share them.
    """
    if config.compute.threads:
        return config
    from pipeline.executors import (
        cores,  # loads processes, which looking at runs has no need of
    )

    threads = min(max(cores() // (2 * config.compute.gpus), 1), 4)
    return replace(config, compute=replace(config.compute, threads=threads))


def with_budget(config: Config, **changes: float | int | None) -> Config:
    """Return the configuration with a new budget; None leaves a value as it is."""
    known = {key: value for key, value in changes.items() if value is not None}
    return replace(config, budget=replace(config.budget, **known))  # type: ignore[arg-type]


def with_gpus(config: Config, gpus: int | None) -> Config:
    """Return the configuration with another number of processes for the model; None leaves it.

    Raises:
        UsageError: a number out of range.
    """
    if gpus is None:
        return config
    return replace(config, compute=replace(config.compute, gpus=gpus))


def differences(a: Config, b: Config) -> list[str]:
    """List the keys in which two configurations differ, of those that decide the results."""
    if a == b:
        return []
    left, right = dict(flat(deciding(a))), dict(flat(deciding(b)))
    return [
        f"{key} {left.get(key)!r} -> {right.get(key)!r}"
        for key in dict.fromkeys([*left, *right])
        if left.get(key) != right.get(key)
    ]


def flat(data: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield (key with its section, value) of nested keys."""
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}.{name}", inner) for name, inner in value.items())
        else:
            yield key, value

"""Every key with what the documentation says of it, and the JSON Schema of a configuration.

The meaning of a key is the text below it in sections.py, read from the source since Python itself
does not keep it.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from pipeline.config import sections
from pipeline.config.sections import Config
from pipeline.config.values import Section, fields, is_section, parts, prefix_of, rule


class Key(NamedTuple):
    """What is known of one key of the configuration."""

    name: str  # with its section, as "train.steps"
    default: Any  # None where a value is required
    rule: str  # what a value must be
    unit: str  # what a number counts; empty for words and flags
    meaning: str  # full sentences
    expert: bool  # whether few runs need another value than the default


def keys(cls: type[Section] = Config) -> Iterator[Key]:
    """Yield every key, in the order of the file: those of no section first."""
    inner = []
    for field in fields(cls):
        if is_section(field.type):
            inner.append(field.type)
            continue
        _, meta = parts(field.type)
        told = (meta and meta.extra) or {"unit": "", "expert": False}
        yield Key(
            name=prefix_of(cls) + field.name,
            default=None if field.required else field.default,
            rule=rule(field.type),
            meaning=meanings()[cls.__name__, field.name],
            **told,
        )
    for section in inner:
        yield from keys(section)


@cache
def meanings() -> dict[tuple[str, str], str]:
    """Return the text below each key, by the names of its class and the key."""
    found = {}
    for node in ast.parse(Path(sections.__file__).read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for line, after in zip(node.body, node.body[1:], strict=False):
            match line, after:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    found[node.name, name] = " ".join(text.split())
    return found


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a configuration file, which may leave out any key."""
    schema = msgspec.json.schema(Config)
    for name, section in schema["$defs"].items():
        section.pop("required", None)
        for key, value in section["properties"].items():
            if "$ref" not in value:
                value["description"] = meanings()[name, key]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The configuration of pipeline run",
        **schema,
    }

"""Values of a configuration: their types, ranges and units, and the error for any other."""

from functools import cache
from typing import Any, Literal, TypeGuard, get_args, get_origin

import msgspec
from msgspec.structs import FieldInfo, force_setattr
from msgspec.structs import fields as _fields

from pipeline.errors import UsageError, nearest, short

#: What a value of each type is called in a message.
WORDS = {int: "a whole number", float: "a number", str: "a string", bool: "true or false"}
_LISTS = {int: "a list of whole numbers", str: "a list of strings"}


def key(unit: str = "", *, expert: bool = False, **bounds: Any) -> msgspec.Meta:
    """Describe a key, as metadata of its type.

    Args:
        unit: what a number counts.
        expert: whether few runs need another value than the default.
        bounds: ge or gt, and le.
    """
    told = {"unit": unit, "expert": expert}
    shown = {f"x-{name}": value for name, value in told.items() if value}
    return msgspec.Meta(extra=told, extra_json_schema=shown, **bounds)


def expert(unit: str = "", **bounds: Any) -> msgspec.Meta:
    """Describe a key for experts; see `key`."""
    return key(unit, expert=True, **bounds)


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Values that are checked however they are made: read from a file, called for or replaced."""

    def __post_init__(self) -> None:
        """Check every value against its key.

        Raises:
            UsageError: a value of another type, or out of its range.
        """
        for field in fields(type(self)):
            value = getattr(self, field.name)
            try:
                valid = msgspec.convert(value, field.type)
            except msgspec.ValidationError:
                raise UsageError(complaint(self._name(field.name), field.type, value)) from None
            if valid is not value:  # a list becomes a tuple, a whole number a number
                force_setattr(self, field.name, valid)
        self._check()

    def _check(self) -> None:
        """Check what concerns several keys."""

    def _name(self, key: str) -> str:
        return prefix_of(type(self)) + key


def prefix_of(cls: type[Section]) -> str:
    """Return what names of keys of a section begin with, such as "train."; "" for the whole."""
    section = cls.__name__.removesuffix("Config").lower()
    return f"{section}." if section else ""


@cache
def fields(cls: type[Section]) -> tuple[FieldInfo, ...]:
    """Return the fields of a section: its keys, and for the whole its sections."""
    return _fields(cls)


def is_section(kind: Any) -> TypeGuard[type[Section]]:
    """Tell whether a type is that of a section, not of a key."""
    return isinstance(kind, type) and issubclass(kind, Section)


def rule(kind: Any) -> str:
    """Return what a value of an annotated type must be, to end the sentence "it must be ..."."""
    plain, bounds = parts(kind)
    if get_origin(plain) is Literal:
        return "one of " + ", ".join(get_args(plain))
    if get_origin(plain) is tuple:
        return _LISTS[parts(get_args(plain)[0])[0]]
    if bounds is None or bounds.le is None:
        return WORDS[plain]
    if bounds.gt is not None:
        return f"above {bounds.gt:,} and at most {bounds.le:,}"
    return f"between {bounds.ge:,} and {bounds.le:,}"


def parts(kind: Any) -> tuple[Any, msgspec.Meta | None]:
    """Return the type that is annotated, and by what."""
    annotated = hasattr(kind, "__metadata__")
    return (kind.__origin__, kind.__metadata__[0]) if annotated else (kind, None)


def complaint(key: str, kind: Any, value: Any) -> str:
    """Say in one line why a value is none of an annotated type."""
    plain, _ = parts(kind)
    if is_section(plain):
        return f"{key} must be a section, got {short(value)}"
    if get_origin(plain) is tuple:
        if not isinstance(value, list | tuple):
            return f"{key} must be a list, got {short(value)}"
        item = get_args(plain)[0]
        return next(complaint(key, item, x) for x in value if not _is_valid(item, x))
    if get_origin(plain) is Literal:
        if isinstance(value, str):
            return f"{key}: unknown {short(value)}{nearest(value[:100], get_args(plain))}"
        return f"{key} must be a string, {rule(kind)}, got {short(value)}"
    accepted = (int, float) if plain is float else plain
    right = isinstance(value, accepted) and isinstance(value, bool) == (plain is bool)
    return f"{key} must be {_broken(kind, value) if right else WORDS[plain]}, got {short(value)}"


def _broken(kind: Any, value: Any) -> str:
    """Return the end of a range that a number is beyond."""
    _, bounds = parts(kind)
    if bounds is not None and bounds.le is not None and value > bounds.le:
        return f"at most {bounds.le:,}"
    if bounds is not None and bounds.ge is not None and value < bounds.ge:
        return f"at least {bounds.ge:,}"
    return rule(kind)  # "above ...", or no number at all


def _is_valid(kind: Any, value: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True

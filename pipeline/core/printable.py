"""Text from files and plugins, made safe to print: nothing in it can steer a terminal."""

import re

# Controls (C0 but tab and newline, DEL, C1), marks that turn the direction of writing, line and
# paragraph separators, and lone surrogates.
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    r"""Return a text with what could steer a terminal escaped, as ``\x1b``."""
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)

"""Output in any locale: what a stream's encoding cannot hold is drawn in ASCII."""

import codecs
import io
import unicodedata
from typing import Any, TextIO

_ERRORS = "pipeline.ascii"  # the name of the error handler below
#: All that boards, bars and sparklines are drawn with, and rich's mark of a cut.
_DRAWN = "·●▏▎▍▌▋▊▉█▁▂▃▄▅▆▇…"
_ASCII = str.maketrans(_DRAWN + "━╸╺–—×‘’“”", ".O" + "#" * 8 + "_.-=+*%~" + "-----x''\"\"")


def lenient(stream: TextIO | None) -> None:
    """Let a stream replace what it cannot encode, where it would raise an exception."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=_ERRORS)


def drawable(stream: TextIO | None) -> Any:
    """Return the stream, or one before it that draws in ASCII where it cannot hold a drawing.

    That is settled once for a stream, so that no drawing is half in ASCII.
    """
    try:
        _DRAWN.encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return _InAscii(stream)
    return stream


class _InAscii:
    """A text stream that writes drawings in ASCII; all else is the stream's."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(text.translate(_ASCII))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _replacement(error: UnicodeError) -> tuple[str | bytes, int]:
    """Return what stands for characters that cannot be encoded, and where to go on."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    if all("\udc80" <= letter <= "\udcff" for letter in text):
        return text.encode("ascii", "surrogateescape"), error.end  # bytes of a file's name
    return "".join(map(_in_ascii, text)), error.end


def _in_ascii(letter: str) -> str:
    letter = letter.translate(_ASCII)
    plain = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode("ascii")
    return plain or "?"


codecs.register_error(_ERRORS, _replacement)

"""Errors people meet: one line each that names the fix, and the exit code that goes with it."""

import importlib.util
import reprlib
from collections.abc import Iterable
from difflib import get_close_matches


class PipelineError(Exception):
    """Something the user can mend; its text is one line that says how."""

    exit_code = 1


class UsageError(PipelineError):
    """A wrong option, key or value."""

    exit_code = 2


class VerificationError(PipelineError):
    """A construction that does not hold what it claims."""

    exit_code = 3


class RunError(PipelineError):
    """A run folder that is locked, damaged or of another kind than asked for."""

    exit_code = 4


def check_installed(package: str, what: str, extra: str) -> None:
    """See that a package which comes with an extra is there.

    Args:
        what: what needs it.

    Raises:
        PipelineError: it is missing.
    """
    if importlib.util.find_spec(package) is None:
        raise PipelineError(
            f"{what} needs the package {package}; install it with: "
            f"pip install 'extremal-pipeline[{extra}]'"
        )


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"``, or the list of what is known when nothing is close."""
    known = sorted(known)
    close = get_close_matches(word, known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(known)}" if known else ""


def short(value: object) -> str:
    """Write a value that a file gave, however long or deep it is."""
    writer = reprlib.Repr()
    writer.maxstring = writer.maxlong = writer.maxother = 80
    writer.maxlist = writer.maxtuple = writer.maxdict = 20
    try:
        return writer.repr(value)
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number of thousands of digits"

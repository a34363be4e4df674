"""The command line. Commands import what is heavy when they run, so that help comes at once."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code; Ctrl-C is one line from the start."""
    from pipeline.report.encoding import lenient

    with _stopped_at_once():
        for stream in (sys.stdout, sys.stderr):
            lenient(stream)
        from pipeline.cli.commands import call
    for number in (getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")):
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)  # they end a command as Ctrl-C does
    code = call(arguments)
    sys.exit(code)


@contextlib.contextmanager
def _stopped_at_once() -> Iterator[None]:
    """End the process at Ctrl-C: an exception may be lost in the imports of other libraries."""

    def stop(_number: int, _frame: Any) -> None:
        os.write(2, b"pipeline: stopped\n")
        os._exit(130)

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

"""The command line. Commands import what is heavy when they run, so that help comes at once."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

#: Signals that end a command, as Ctrl-C does; schedulers send the last before the time is up.
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
_ENDING = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
#: Seconds that a command has to end after a signal, where it does not handle signals itself.
_PATIENCE = 10.0


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code; a signal is one line from the start."""
    with _on_signals(_stop_at_once):
        silent = _is_silent()
        from pipeline.report.encoding import lenient

        for stream in (sys.stdout, sys.stderr):
            lenient(stream)
        from pipeline.cli.commands import call
    over = threading.Event()

    def interrupt(_number: int, _frame: Any) -> NoReturn:
        threading.Thread(target=_insist, args=(over,), daemon=True).start()
        raise KeyboardInterrupt

    with _on_signals(interrupt):
        try:
            code = call(arguments)
        finally:
            over.set()
    # Python remembers a KeyboardInterrupt inside an exec() of any library, handled or not, and
    # ends by the signal instead of with the exit code, unless another exec() comes after it.
    exec("")
    if silent and code:
        time.sleep(_PATIENCE)  # torchrun ends all as soon as one fails: let the first say why
    sys.exit(code)


@contextlib.contextmanager
def _on_signals(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Handle the signals that would end this process otherwise; one that is ignored stays so."""
    usual = (signal.SIG_DFL, signal.default_int_handler)
    before = {n: old for n in _ENDING if (old := signal.getsignal(n)) in usual}
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _is_silent() -> bool:
    """Let the first alone speak of several processes that torchrun started with the same words."""
    from pipeline.ranks import place

    found = place()
    if found is None or not found.rank:
        return False
    if not os.environ.get("PIPELINE_DEBUG"):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for number in (1, 2):
            os.dup2(nowhere, number)
    return True


def _stop_at_once(*_: Any) -> None:
    # For the imports of other libraries, in which an exception may be lost.
    os.write(2, b"pipeline: stopped\n")
    os._exit(130)


def _insist(over: threading.Event) -> None:
    """End a command that goes on: an exception is lost where Python code is called from C."""
    if not over.wait(_PATIENCE):
        _stop_at_once()

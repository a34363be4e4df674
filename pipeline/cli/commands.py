"""All commands under one name, and what becomes of an error that one of them meets."""

import contextlib
import os
import sys
import time
from typing import Any

import click

from pipeline import __version__
from pipeline.cli.common import BEGAN, interrupted
from pipeline.cli.help import Later, Sections
from pipeline.core.printable import printable
from pipeline.errors import PipelineError

#: Characters of an error; what is cut out of its middle is some value that was given.
_LONGEST = 2000


class _ReaderGone(Exception):
    """Nobody reads what is printed any more (say, `| head`)."""


class _Group(Sections):
    """A group that tells a broken pipe from an exit code, of which click and rich make one."""

    def invoke(self, ctx: click.Context) -> Any:
        ctx.meta[BEGAN] = time.monotonic()
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise _ReaderGone from None
        except SystemExit as stop:
            if isinstance(stop.__context__, BrokenPipeError):
                raise _ReaderGone from None
            raise


#: The order of the help: each command, and the module of this package that has it.
_SECTIONS = {
    "Search": {
        "run": "run",
        "resume": "run",
        "merge": "merge",
        "search": "search",
        "solve": "solve",
        "exchange": "exchange",
        "compare": "compare",
        "campaign": "campaign",
    },
    "Look": {
        "ls": "look",
        "show": "look",
        "best": "look",
        "hist": "look",
        "watch": "watch",
        "count": "count",
    },
    "Other solvers": {"encode": "solvers", "decode": "solvers"},
    "Check": {"verify": "check", "check": "plugin", "problems": "check", "doctor": "check"},
    "Publish": {
        "report": "report",
        "plot": "report",
        "export": "export",
        "certificate": "certificate",
        "records": "records",
    },
    "Tidy up": {"rm": "tidy", "prune": "tidy", "completion": "completion"},
    "Experiments": {"lab": "lab"},
}


@click.group(
    cls=_Group,
    commands=Later({name: at for section in _SECTIONS.values() for name, at in section.items()}),
    sections=_SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="pipeline")
def cli() -> None:
    """Search for extremal constructions: local search, and a GPT that learns from the best.

    \b
    pipeline run isosceles --n 16      the whole loop, a minute or two on two cores
    pipeline search isosceles --n 48 --time 30
    pipeline resume latest --rounds +2
    pipeline hist latest
    """


def call(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; every error is one line."""
    code: Any
    words = sys.argv[1:] if arguments is None else arguments
    try:
        code = cli.main(args=words, prog_name="pipeline", standalone_mode=False, obj=words)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "pipeline"
        code = _fail(f"{_one_line(error.format_message())} (see: {path} --help)", 2)
    except click.ClickException as error:
        code = _fail(_one_line(error.format_message()), error.exit_code)
    except PipelineError as error:
        code = _fail(_one_line(str(error)), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        code = _fail("stopped", 130)
    except SystemError as error:
        if not interrupted(error):
            raise
        code = _fail("stopped", 130)
    except _ReaderGone:
        with contextlib.suppress(OSError):  # let nothing more flush into it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        code = _fail(f"the system refused:{where} {error.strerror or error}", 1)
    except MemoryError:
        code = _fail("out of memory; choose a smaller n, batch or number of constructions", 1)
    except Exception as error:  # noqa: BLE001 - the one place that takes what nobody foresaw
        from pipeline.cli.unforeseen import line_of

        code = _fail(line_of(error, words), 1)
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int) -> int:
    if len(message) > _LONGEST:
        message = f"{message[: _LONGEST // 2]} ... {message[-_LONGEST // 2 :]}"
    print(f"pipeline: {printable(message)}", file=sys.stderr)
    return code


def _one_line(text: str) -> str:
    return " ".join(text.split())

"""The command line. Commands import what is heavy when they run, so that help comes at once."""

import contextlib
import os
import sys
from typing import Any

import click

from pipeline import __version__
from pipeline.cli.check import doctor, problems, verify
from pipeline.cli.look import best, hist, ls, show
from pipeline.cli.run import resume, run
from pipeline.errors import PipelineError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="pipeline")
def cli() -> None:
    """Search for extremal constructions: local search, and a GPT that learns from the best.

    \b
    pipeline run isosceles --n 16      the whole loop, about three minutes on two cores
    pipeline resume latest --rounds +2
    pipeline hist latest
    """


for _command in (run, resume, ls, show, hist, best, verify, problems, doctor):
    cli.add_command(_command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code; every error is one line."""
    code: Any
    try:
        code = cli.main(args=arguments, prog_name="pipeline", standalone_mode=False)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "pipeline"
        code = _fail(f"{_one_line(error.format_message())} (see: {path} --help)", 2)
    except click.ClickException as error:
        code = _fail(_one_line(error.format_message()), error.exit_code)
    except PipelineError as error:
        code = _fail(_one_line(str(error)), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        code = _fail("stopped", 130)
    except BrokenPipeError:
        # The reader went away (say, `| head`); leave quietly, and let nothing flush into it.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        code = _fail(f"the system refused:{where} {error.strerror or error}", 1)
    except MemoryError:
        code = _fail("out of memory; choose a smaller n, batch or number of constructions", 1)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> int:
    print(f"pipeline: {message}", file=sys.stderr)
    return code


def _one_line(text: str) -> str:
    return " ".join(text.split())

"""The command watch: a run from another terminal, while it goes on."""

import time
from typing import Any

import click

from pipeline.cli.common import echo, json_option, open_run, print_json, runs_option
from pipeline.storage.events import Tail

_EVERY = 0.5  # seconds between two looks


@click.command()
@click.argument("run_", metavar="RUN")
@runs_option
@json_option
def watch(run_: str, runs: str | None, as_json: bool) -> None:
    """Watch a run from another terminal.

    Reads the run's log and changes nothing. It ends when the run ends, when the process of the run
    is gone or silent for a minute, or at Ctrl-C. RUN is a path,
    a unique prefix of its name, or latest. --json prints each event as a line.
    """
    from rich.live import Live

    from pipeline.report.terminal import console
    from pipeline.report.watching import Story

    opened = open_run(run_, runs)
    if as_json:
        _stream(opened)
        return
    story, tail, out = Story(opened.name, opened.config.n), Tail(opened.path), console()
    if not out.is_terminal:
        out.print(opened.name)
        while True:
            ended = opened.why_free()
            for event in tail.new():
                line = story.take(event)
                if line:
                    out.say(line)
            if ended:
                break
            time.sleep(_EVERY)
        out.say(ended)
        return
    with Live(console=out, auto_refresh=False) as live:
        while True:
            ended = opened.why_free()
            for event in tail.new():
                story.take(event)
            live.update(story.view(not ended), refresh=True)
            if ended:
                break
            time.sleep(_EVERY)
    out.say(ended)


def _stream(opened: Any) -> None:
    """Print each event as a JSON object on a line of its own, until the run ends."""
    tail = Tail(opened.path)
    while True:
        ended = opened.why_free()
        for event in tail.new():
            print_json({"run": opened.name, **event})
        if ended:
            echo(ended, err=True)
            return
        time.sleep(_EVERY)

"""What files and plugins say cannot steer the terminal it is printed on."""

import io
import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from pipeline.core.printable import printable
from pipeline.report.terminal import console

HOSTILE = "\x1b]0;owned\x07\x1b[31mred\x9b31m\u202eback\r[red]x[/red]:smile:"


@given(st.text())
def test_what_is_printed_holds_no_control_characters(text):
    shown = printable(text)
    assert not any(ord(c) < 32 and c not in "\n\t" for c in shown)
    assert not set(shown) & {"\x7f", "\x9b", "\u202e", "\u2066", "\u2028"}
    shown.encode("utf-8")
    assert printable(shown) == shown


@pytest.mark.parametrize("force", [True, False])
def test_a_console_shows_escapes_and_markup_as_they_are_written(force):
    out = console()
    out.file, out._force_terminal = io.StringIO(), force
    out.width = 300
    table = Table(HOSTILE)
    table.add_row(HOSTILE)
    for what in (HOSTILE, Text(HOSTILE), table):
        out.print(what)
    shown = out.file.getvalue()
    assert shown.count("[red]x[/red]:smile:") == 4
    assert "\x1b]" not in shown
    assert "\x1b[31m" not in shown
    assert "\\x1b]0;owned" in shown
    assert not set(shown) & {"\x07", "\x9b", "\u202e", "\r"}


@pytest.mark.parametrize("command", ["show", "ls", "watch"])
def test_escapes_in_a_run_are_shown_as_such(played, cli, command):
    info = json.loads((played / "run.json").read_text())
    info["sessions"][0]["command"] = ["run", HOSTILE]
    (played / "run.json").write_text(json.dumps(info))
    with open(played / "events.jsonl", "a") as log:
        log.write(json.dumps({"event": "note", "text": HOSTILE}) + "\n")
    shutil.copytree(played, played.parent / "named-\x1b[31m[red]")
    arguments = ["--runs", played.parent] if command == "ls" else [played]
    done = cli(command, *arguments)
    assert done.code == 0
    assert not set(done.out + done.err) & {"\x1b", "\x07", "\x9b", "\u202e"}


def test_escapes_in_an_error_are_shown_as_such(cli):
    done = cli("show", "\x1b[31m\u202e")
    assert done.code == 4
    assert "\\x1b[31m\\u202e" in done.err
    assert "\x1b" not in done.err


PLUGIN = """
from problems.isosceles import Isosceles

class Mine(Isosceles):
    name = "mine\\x1b[31m[red]"
    title = "\\x1b]0;owned\\x07"
"""


@pytest.mark.parametrize("command", [["records"], ["count", "--n", "3"]])
def test_escapes_in_the_names_of_a_plugin_are_shown_as_such(tmp_path, cli, command):
    file = tmp_path / "named_to_harm.py"
    file.write_text(PLUGIN)
    done = cli(command[0], f"{file}:Mine", *command[1:])
    assert "\x1b" not in done.out + done.err
    assert "\x07" not in done.out + done.err

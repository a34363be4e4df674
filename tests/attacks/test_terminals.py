"""Terminals of any encoding: drawings turn into ASCII, and nothing is a traceback."""

import io
import sys
from pathlib import Path

import pytest

ENCODINGS = ["ascii", "latin-1", "cp1252", "cp437", "shift_jis", "utf-8", "utf-16"]


@pytest.fixture
def terminal(monkeypatch):
    """Call a command with stdout and stderr of an encoding; return both as text."""
    from pipeline.cli import main

    def call(encoding, *words):
        streams = [io.TextIOWrapper(io.BytesIO(), encoding, errors="strict") for _ in range(2)]
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", streams[0])
            patch.setattr(sys, "stderr", streams[1])
            with pytest.raises(SystemExit) as stopped:
                main([str(word) for word in words])
            for stream in streams:
                stream.flush()
        assert stopped.value.code == 0
        return [stream.buffer.getvalue().decode(encoding, "replace") for stream in streams]

    return call


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_boards_and_bars_are_drawn_in_ascii_where_the_encoding_holds_no_others(
    played, terminal, encoding, record_property
):
    record_property("tried", 4)
    drawn = "".join(terminal(encoding, *words, played)[0] for words in (["best"], ["hist"]))
    options = (
        "--rounds",
        0,
        "--workers",
        1,
        "--set",
        "seeding.batches=1",
        "--set",
        "seeding.moves=2000",
        "--n",
        5,
    )
    root = played.parent
    found, said = terminal(encoding, "search", "isosceles", *options, "--runs", root)
    assert "round 0" in said
    drawn += found
    terminal(encoding, "ls", "--runs", root)
    if encoding.startswith("utf"):
        assert set("·●█") <= set(drawn)
        assert "O ." not in drawn
    else:
        assert drawn.isascii()
        assert "O ." in drawn
        assert "##" in drawn


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_that_no_encoding_holds_are_printed_with_replacements(terminal, tmp_path, encoding):
    for name in ("Erdős", "集合", "\udcff"):
        out, _ = terminal(encoding, "ls", "--runs", Path(tmp_path, name))
        assert "no runs in" in out


def test_what_is_exported_is_utf_8_in_any_locale(played, terminal):
    out, _ = terminal("latin-1", "export", played, "--format", "lean-list")
    assert "Nat × Nat" in out.encode("latin-1").decode()

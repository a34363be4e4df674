"""The page of errors: each line it shows is what its command prints, with the exit code it says."""

import re
import shlex
import signal
import subprocess
import sys

import pytest
from documented import ROOT

from pipeline import errors

PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")


def shown():
    """Yield (exit code, command, line) of all that the page shows."""
    for part in re.split(r"^## Code ", PAGE, flags=re.MULTILINE)[1:]:
        code = int(part.partition(":")[0])
        for block in re.findall(r"```console\n(.*?)```", part, re.DOTALL):
            lines = block.splitlines()
            for command, line in zip(lines[::2], lines[1::2], strict=True):
                yield code, command.removeprefix("$ pipeline "), line


@pytest.mark.parametrize(("code", "command", "line"), list(shown()))
def test_the_line_and_the_exit_code_are_those_of_the_page(
    code, command, line, cli, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.delenv("PIPELINE_RUNS", raising=False)
    (tmp_path / "runs").mkdir()
    for name, text in saved().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    if code == 130:
        assert interrupted(command) == (code, line)
        return
    found = cli(*shlex.split(command))
    assert (found.code, found.err.strip()) == (code, line)  # click ends the line of a ^C first
    assert found.out == ""


def interrupted(command):
    """Return how a command ends at SIGTERM, sent once it is under way."""
    words = [sys.executable, "-X", "importtime", "-m", "pipeline", *shlex.split(command)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for told in process.stderr:
        if told.rstrip().endswith("| pipeline.doctor"):
            break
    process.send_signal(signal.SIGTERM)
    _, rest = process.communicate(timeout=60)
    said = [line for line in rest.splitlines() if not line.startswith("import time:")]
    return process.returncode, "\n".join(said).strip()


def saved():
    pairs = re.findall(r"Save this as `([^`]+)`:\n\n```json\n(.*?)```", PAGE, re.DOTALL)

    return dict(pairs)


def test_the_table_has_every_exit_code_of_the_classes():
    told = {int(code): name for code, name in re.findall(r"^\| (\d+) .* `(\w+)` \|$", PAGE, re.M)}
    for code, name in told.items():
        if hasattr(errors, name):
            assert getattr(errors, name).exit_code == code
    of_their_own = [k for k in errors.PipelineError.__subclasses__() if "exit_code" in vars(k)]
    classes = {k.__name__ for k in of_their_own} | {"PipelineError"}
    assert classes <= set(told.values())
    assert {code for code, _, _ in shown()} == set(told)

"""The help of the command line: sections, whole sentences, words that the shell completes."""

import pytest
from click.shell_completion import ShellComplete
from documented import every_command

from pipeline.cli.commands import cli as program
from pipeline.cli.help import CLASSES, METHODS, summary
from pipeline.cli.lab import lab
from pipeline.core.symmetry import symmetry_classes
from pipeline.plugins import load_problem


@pytest.mark.parametrize("group", [(), ("lab",)])
def test_a_group_without_a_command_prints_its_help_on_stdout(cli, group):
    bare, asked = cli(*group), cli(*group, "--help")
    assert bare == asked
    assert bare.code == 0
    assert bare.err == ""
    assert len(bare.out.splitlines()) > 15


def test_summaries_are_whole_sentences_on_one_line_each(cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for out, group in ((cli().out, program), (cli("lab").out, lab)):
        assert "..." not in out.split("\n\n", 1)[1]
        for name, command in group.commands.items():
            line = f"  {name} "
            (found,) = (row for row in out.splitlines() if row.startswith(line))
            assert found.endswith(summary(command))


def test_every_command_is_in_a_section(cli):
    assert "\nCommands:" not in cli().out


def completed(*typed):
    *words, last = typed
    found = ShellComplete(program, {}, "pipeline", "_PIPELINE_COMPLETE")
    return [item.value for item in found.get_completions(words, last)]


def test_the_shell_completes_choices_and_lists_of_them():
    assert completed("run", "--device", "c") == ["cuda", "cpu"]
    assert completed("lab", "run", "--scale", "") == ["small", "lecture"]
    assert completed("search", "--method", "tabu,gr") == ["tabu,greedy"]
    assert completed("solve", "--symmetry", "half") == ["half-turn"]


def test_what_the_shell_offers_is_what_there_is():
    from pipeline.engine.arms import METHODS as known

    assert known == METHODS
    ground = load_problem("isosceles").ground(4)
    assert set(CLASSES) == {c.name for c in symmetry_classes(ground)}


def test_a_wrong_choice_is_told_the_nearest_word(cli):
    found = cli("run", "isosceles", "--n", 6, "--device", "cpuu")
    assert found.code == 2
    assert found.error == "pipeline: --device cpuu: unknown; did you mean 'cpu'?"
    assert all(command.help for command in every_command(program).values())

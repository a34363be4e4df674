"""Groups whose help comes without being asked for, in sections, with whole sentences."""

import importlib
import inspect
from collections import UserDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from pipeline.errors import UsageError, nearest

#: What the shell offers where a problem may know more words: its methods are in engine.arms,
#: its classes in core.permutation_group, both too heavy to import for help.
METHODS = ("tabu", "enumerate", "anneal", "greedy", "cover", "ruin-recreate", "anneal-score")
CLASSES = (
    *("trivial", "mirror", "diagonal", "half-turn", "both-mirrors", "both-diagonals"),
    *("quarter-turn", "all"),
)
WEIGHTS = ("border", "learned", "none")


class Later(UserDict[str, Any]):
    """Commands by name: given as a module of this package, imported when it is asked for."""

    def __getitem__(self, name: str) -> click.Command:
        """Return the command, which its module calls as the user does."""
        found = super().__getitem__(name)
        if isinstance(found, str):
            module = importlib.import_module(f"pipeline.cli.{found}")
            self[name] = found = getattr(module, name)
        return found


class Sections(click.Group):
    """A group that lists its commands in sections, and prints its help when it is given nothing."""

    def __init__(
        self, *args: Any, sections: Mapping[str, Iterable[str]] | None = None, **kwargs: Any
    ) -> None:
        """Take the commands' names by section, in the order to show them in."""
        super().__init__(*args, **kwargs)
        self._sections = dict(sections or {})

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take no arguments for a question after the help, which is an answer and no error."""
        return super().parse_args(ctx, args or ctx.help_option_names[-1:])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a list for each section; what is in none comes last."""
        placed = {name for names in self._sections.values() for name in names}
        others = [name for name in self.list_commands(ctx) if name not in placed]
        width = max(map(len, self.commands), default=0)
        for title, names in [*self._sections.items(), ("Commands", others)]:
            rows = [
                (name.ljust(width), summary(self.commands[name]))
                for name in names
                if name in self.commands
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def summary(command: click.Command) -> str:
    """Return the first sentence of a command's help, whole."""
    first = inspect.cleandoc(command.help or "").partition("\n\n")[0]
    return " ".join(first.split()).partition(". ")[0].rstrip(".") + "."


class Choice(click.Choice):
    """One of some words; the shell completes them, and a wrong one is told the nearest."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the word.

        Raises:
            UsageError: it is none of the words.
        """
        if value not in self.choices:
            option = param.opts[0] if param is not None else "option"
            raise UsageError(f"{option} {value}: unknown{nearest(str(value), self.choices)}")
        return value


class Words(click.ParamType):
    """Any text that the shell completes with some words, the last of a list with commas."""

    name = "text"

    def __init__(self, words: Sequence[str]) -> None:
        """Take the words to offer; what else is allowed is for the command to say."""
        self._words = tuple(words)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the words that the last one typed begins."""
        before, comma, last = incomplete.rpartition(",")
        return [CompletionItem(before + comma + w) for w in self._words if w.startswith(last)]

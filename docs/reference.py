"""Write the parts of the guide that are made from the program: cli.md, and the keys in loop.md.

python docs/reference.py
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import click

from pipeline import config
from pipeline.cli.commands import cli

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- keys: made by reference.py -->\n", "<!-- end of keys -->\n"


def reference() -> str:
    """Return the reference of the command line as Markdown."""
    parts = [
        "# Command line\n",
        "Made by `python docs/reference.py` from the program itself; a test holds it up to date.\n",
        "Exit codes: 0 all is well, 1 an error, 2 a wrong option, 3 a construction does not hold,\n"
        "4 a run is locked, damaged or of another kind, 130 interrupted. An error is one line on\n"
        "stderr; results go to stdout. `--json` prints what [json.md](json.md) describes.\n",
    ]
    # Under the context of the group, which settles how help is asked for.
    group = cli.make_context("pipeline", [], resilient_parsing=True)
    return "\n".join([*parts, *_commands(cli, group)])


def _commands(group: click.Group, parent: click.Context, before: str = "") -> Iterator[str]:
    """Yield a part for each command, those of a group after it."""
    for name, command in sorted(group.commands.items()):
        with click.Context(command, parent=parent, info_name=name) as context:
            yield _command(before + name, command, context)
            if isinstance(command, click.Group):
                yield from _commands(command, context, f"{before}{name} ")


def _command(name: str, command: click.Command, context: click.Context) -> str:
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f"## {name}\n", f"    pipeline {name} {usage}\n", _prose(command.help or "")]
    rows = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if isinstance(parameter, click.Option) and record is not None:
            rows.append(f"| `{_cell(record[0])}` | {_cell(record[1])} |")
    return "\n".join([*lines, "| option | meaning |", "|---|---|", *rows, ""])


def _prose(text: str) -> str:
    """Return a docstring as Markdown; a block after \\b is shown as it is."""
    parts = []
    for part in inspect.cleandoc(text).split("\n\n"):
        as_is = part.startswith("\b")
        body = part.removeprefix("\b").strip("\n")
        parts.append(textwrap.indent(body, "    ") if as_is else body)
    return "\n\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def meanings() -> dict[tuple[str, str], str]:
    """Return what the comments of config.py say of each key, by class and name."""
    source = Path(config.__file__).read_text(encoding="utf-8")
    lines = source.splitlines()
    found = {}
    for node in ast.parse(source).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for item in node.body:
            if not (isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)):
                continue
            beside = lines[item.lineno - 1].partition("  # ")[2]
            above, i = [], item.lineno - 2
            while lines[i].strip().startswith("# "):
                above.insert(0, lines[i].strip().removeprefix("# "))
                i -= 1
            found[node.name, item.target.id] = beside or " ".join(above)
    return found


def keys() -> list[tuple[str, str, str]]:
    """Return (key, default, meaning) of everything a configuration holds."""
    return _keys(config.Config, "", meanings())


def _keys(cls: Any, prefix: str, told: dict[tuple[str, str], str]) -> list[tuple[str, str, str]]:
    hints, rows, inner = get_type_hints(cls), [], []
    for key in fields(cls):
        hint = hints[key.name]
        if is_dataclass(hint):
            inner += _keys(hint, f"{prefix}{key.name}.", told)
            continue
        required = prefix + key.name in ("problem", "n")
        default = "must be given" if required else f"`{_toml(key.default)}`"
        rows.append((prefix + key.name, default, told[cls.__name__, key.name]))
    return rows + inner


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    return "[]" if value == () else str(value)


def with_keys(page: str) -> str:
    """Return loop.md with the table of keys as it is now."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    rows = [f"| `{key}` | {default} | {_cell(meaning)} |" for key, default, meaning in keys()]
    return "\n".join(
        [f"{before}{BEGIN}", "| key | default | meaning |", "|---|---|---|", *rows, ""]
    ) + (f"\n{END}{after}")


def main() -> None:
    """Write both."""
    (HERE / "cli.md").write_text(reference(), encoding="utf-8")
    page = HERE / "loop.md"
    page.write_text(with_keys(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()

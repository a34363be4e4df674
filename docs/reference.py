"""Write what is made from the program: cli.md, the keys in loop.md, and the schemas.

python docs/reference.py
"""

import inspect
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click

from pipeline.cli.commands import cli
from pipeline.cli.printed import PRINTED
from pipeline.cli.printed import json_schema as printed_schema
from pipeline.config.describe import json_schema, keys

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- keys: made by reference.py -->\n", "<!-- end of keys -->\n"


def reference() -> str:
    """Return the reference of the command line as Markdown."""
    parts = [
        "# Command line\n",
        "Made by `python docs/reference.py` from the program itself; a test holds it up to date.\n",
        "Exit codes: 0 all is well, 1 an error, 2 a wrong option, 3 a construction does not hold,\n"
        "4 a run is locked, damaged or of another kind, 130 interrupted. An error is one line on\n"
        "stderr; results go to stdout. `--json` prints what [json.md](json.md) describes, checked\n"
        "by the types that the JSON Schemas in [schemas/](schemas) are made from.\n",
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


def rows() -> tuple[list[str], list[str]]:
    """Return the rows of the table of keys: those that a user meets, and those for experts."""
    found: tuple[list[str], list[str]] = ([], [])
    for key in keys():
        default = "must be given" if key.default is None else f"`{_toml(key.default)}`"
        unit = f" ({key.unit})" if key.unit else ""
        cells = (f"`{key.name}`", default, f"{key.rule}{unit}", key.meaning)
        found[key.expert].append("| " + " | ".join(map(_cell, cells)) + " |")
    return found


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    return "[]" if value == () else str(value)


def with_keys(page: str) -> str:
    """Return loop.md with the tables of keys as they are now."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    head = ["| key | default | value | meaning |", "|---|---|---|---|"]
    usual, experts = rows()
    told = "Few runs need another value than the default here."
    lines = [*head, *usual, "", "### Keys for experts", "", told, "", *head, *experts]
    return "\n".join([f"{before}{BEGIN}", *lines, f"\n{END}{after}"])


def schemas() -> dict[str, str]:
    """Return the JSON Schemas by file: of a configuration, and of what each command prints."""
    made = {name.replace(" ", "-"): printed_schema(name) for name in PRINTED}
    made["config"] = json_schema()
    return {f"{name}.json": json.dumps(made[name], indent=1) + "\n" for name in sorted(made)}


def main() -> None:
    """Write all of it."""
    (HERE / "cli.md").write_text(reference(), encoding="utf-8")
    page = HERE / "loop.md"
    page.write_text(with_keys(page.read_text(encoding="utf-8")), encoding="utf-8")
    for name, text in schemas().items():
        (HERE / "schemas" / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

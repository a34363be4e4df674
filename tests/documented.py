"""What a page shows: its commands, run with small budgets, and its files."""

import glob
import re
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parent.parent

#: Few steps of a task of the portfolio.
FEW_STEPS = shlex.split(
    "--set search.tabu_steps=2000 --set search.enumerate_nodes=2000 --set search.cover_nodes=4000 "
    "--set search.score_moves=20"
)
#: Budgets for a test; what the commands mean stays as it is.
SMALL_LOOP = FEW_STEPS + shlex.split(
    "--set seeding.count=40 --set seeding.moves=2000 --set seeding.batches=1 "
    "--set search.batches=1 --set search.moves=500 --set train.steps=4 --set sample.count=10 "
    "--set select.keep=50 --set model.width=16 --set model.layers=1"
)
SMALL_RUN = [*SMALL_LOOP, "--workers", "1", "--rounds", "1"]
SMALL_SEARCH = FEW_STEPS + shlex.split(
    "--rounds 0 --set seeding.batches=1 --set seeding.moves=2000 --workers 1 "
    "--symmetry both-mirrors"
)
SMALL_COMPARE = ["--n", "9", "--seeds", "1", "--budget-cpu-seconds", "0.5", *SMALL_LOOP]
SMALL_LAB = {
    "run": shlex.split("--steps 12 --samples 20 --strings 40 --parameters 1k"),
    "sweep": shlex.split("--steps 3 --parameters 1k --seeds 1 --jobs 1"),
}
SMALL_CAMPAIGN = ["--n", "8,9", "--seeds", "1", *SMALL_LOOP]
SMALL = {
    "run": SMALL_RUN,
    "search": SMALL_SEARCH,
    "compare": SMALL_COMPARE,
    "campaign": SMALL_CAMPAIGN,
}


def commands(page: str) -> list[str]:
    """Return the indented lines of a page that call the program, comments taken off."""
    found = []
    for line in page.splitlines():
        if line.startswith("    ") and "pipeline" in line and "pip install" not in line:
            text = line.strip().removeprefix("$ ").split("  #")[0].strip()
            if text.startswith("pipeline "):
                found.append(text)
    return found


def every_command(group: click.Group, before: str = "") -> dict[str, click.Command]:
    """Return all commands by name, those of a group inside as "lab list"."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= every_command(command, f"{before}{name} ")
        else:
            found[before + name] = command
    return found


def files(page: str) -> dict[str, str]:
    """Return the files that a page has its reader save, by name: "Save ... `name`:" and a block."""
    found = re.findall(r"Save\s[^`]*`([^`]+)`[^`]*:\n\n```\w+\n(.*?)```", page, re.DOTALL)
    return dict(found)


def blocks(page: str) -> list[str]:
    """Return the blocks of Python of a page that are no files to save, in their order."""
    saved = set(files(page).values())
    return [
        text for text in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if text not in saved
    ]


def small(command: str) -> list[str]:
    """Return the words of a command with a budget for a test.

    What a command sets itself is set again after it, and the last one counts.
    """
    words = [
        name
        for word in shlex.split(command)[1:]
        for name in (sorted(glob.glob(word)) if "*" in word else [word])
    ]
    if words[0] == "search":
        # The clock would end these; here a number of rounds does.
        at = words.index("--time")
        words[at : at + 2] = []
        words = [re.sub(r"^(\d+):\d+$", r"\1", word) for word in words]  # the first of its sizes
    if words[0] == "resume":
        words = [word.replace("+2", "+1") for word in words]
    more = SMALL_LAB.get(words[1], []) if words[0] == "lab" else SMALL.get(words[0], [])
    if words[0] == "compare" and words[-1].endswith(".toml"):
        more = [*more, "--arms", "none,learnt"]
    if words[0] == "search" and "isosceles" not in words and "no-3-in-line" not in words:
        more = [word for word in more if word not in ("--symmetry", "both-mirrors")]
    return [*words, *([] if "--print-config" in words else more)]


def play(cli: Callable[..., Any], told: Iterable[str]) -> None:
    """Run commands in their order; each must succeed."""
    for command in told:
        found = cli(*small(command))
        assert found.code == 0, (command, found.error)

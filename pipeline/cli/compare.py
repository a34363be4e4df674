"""pipeline compare: arms at equal CPU time, as a plan to carry out, or as finished runs."""

import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.common import (
    echo,
    existing_file,
    json_option,
    open_run,
    parse_sizes,
    print_json,
    problem_of,
    problem_option,
    progress_console,
    quiet_option,
    runs_option,
    writable,
)
from pipeline.cli.help import Words
from pipeline.cli.places import place_of, place_options
from pipeline.cli.play import words
from pipeline.config import GENERATORS, MEASURES
from pipeline.errors import UsageError, nearest

if TYPE_CHECKING:
    from pipeline.benchmarking.comparison import Comparison

_OF_A_PLAN = ("n", "arms", "seeds", "budget_cpu_seconds", "jobs", "convention", "settings")
_OF_A_PLAN += ("stop_at_target", "measure", "on", "address", "gpus", "slurm")


@click.command()
@click.argument("what", nargs=-1, required=True, metavar="PROBLEM | SPEC.toml | RUN RUN...")
@click.option("--n", help="The sizes, as 40,48 or 40:44.")
@click.option(
    "--arms",
    type=Words(GENERATORS),
    help=f"Generators: {', '.join(GENERATORS)}, FILE.py:CLASS, or NAME=FILE.py:CLASS.  "
    f"[default: {GENERATORS[0]},perturb,none]",
)
@click.option("--seeds", type=int, help="How many rng seeds, from 0.  [default: 6]")
@click.option("--budget-cpu-seconds", type=float, help="Of each run, on one core.  [default: 60]")
@click.option("--target", type=int, help="What counts as reached.  [default: the best known]")
@click.option("--stop-at-target", is_flag=True, default=None, help="A run ends at its target.")
@click.option(
    "--measure",
    type=Words(MEASURES),
    help="Compare the best score and when it was there, or the yield: how many constructions of "
    "the target's score or more there are in the end.  [default: best]",
)
@click.option(
    "--control", type=Words(GENERATORS), help="The arm to compare the others with.  [default: none]"
)
@place_options
@click.option("--convention", help="A convention of the problem; see `pipeline problems`.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="For all arms.")
@click.option("--figure", metavar="FILE.svg", help="Draw the best score over CPU seconds.")
@click.option("-o", "--output", metavar="FILE.md", help="Write the table as Markdown.")
@problem_option
@quiet_option
@runs_option
@json_option
def compare(what: tuple[str, ...], **options: Any) -> None:
    """Benchmark configurations at equal CPU time.

    \b
    pipeline compare isosceles --n 40,48 --arms gpt,none --seeds 6
    pipeline compare SPEC.toml     the same from a file, with arms of your own
    pipeline compare RUN RUN ...   finished runs

    Each arm runs at each size with each rng seed on one core until its CPU seconds are used. The
    same command again goes on where it stopped. A SPEC holds problem, n, seeds,
    budget_cpu_seconds, target (one, or {40 = 70, 48 = 84}), stop_at_target, measure, control,
    [settings] for all arms and [arms.NAME] for each.
    """
    from pipeline.report.comparison import figure, markdown, print_comparison
    from pipeline.report.terminal import console
    from pipeline.storage.files import write_file

    outputs = {key: _writable(options[key], key) for key in ("figure", "output") if options[key]}
    found = _of_runs(what, options) if _are_runs(what) else _of_plan(what[0], options)
    if found.sizes:
        if "figure" in outputs:
            write_file(outputs["figure"], figure(found).encode())
        if "output" in outputs:
            write_file(outputs["output"], markdown(found, _command()).encode())
    if options["as_json"]:
        print_json({"command": _command(), **found.to_json()})
    else:
        print_comparison(found, console())
    _leave(found)


def _leave(found: "Comparison") -> None:
    """Say what is missing, and end with the exit code for it."""
    from pipeline.report.terminal import console

    err = console(stderr=True)
    if found.interrupted:
        err.print("stopped; finished runs are kept. Go on with the same command:")
        err.say(f"  {_command()}")
        sys.exit(130)
    if found.failures:
        again = "the same command tries them again"
        err.print(f"{len(found.failures)} of {found.planned} runs failed; {again}")
        sys.exit(1)


def _command() -> str:
    return shlex.join(["pipeline", *words()])


# ------------------------------------------------------------------------ what is compared


def _are_runs(what: tuple[str, ...]) -> bool:
    """Tell whether the words name finished runs.

    Raises:
        UsageError: a mixture, or a single run.
    """
    from pipeline.plugins import problem_names

    specs = [word for word in what if word.endswith(".toml")]
    runs = [word for word in what if Path(word, "run.json").is_file()]
    if len(what) > 1:
        others = specs + [w for w in what if w in problem_names() and w not in runs]
        if others:
            raise UsageError(
                f"{others[0]} goes alone: name a problem, a SPEC.toml, or two finished runs or more"
            )
        return True
    if runs:
        raise UsageError(f"{runs[0]} is a run; name two runs or more to compare them")
    return False


def _of_plan(word: str, options: dict[str, Any]) -> "Comparison":
    """Carry a plan out, or go on with it, and compare its arms."""
    from pipeline.plugins import named_in_data
    from pipeline.storage.finding import runs_root

    plan = _plan(word, options)
    typed = options["problem"] if word.endswith(".toml") else plan.problem
    convention = plan.settings.get("convention") or None
    plugin = named_in_data(plan.problem, convention, word, typed)
    if plugin.plugin:  # it may have moved: the runs use the file that was typed
        plan = replace(plan, problem=plugin.plugin)
    plan.trials(plugin)  # finds what cannot be, before anything is made
    place = place_of(options)
    folder = runs_root(options["runs"]) / plan.folder(plugin.name)
    if not options["as_json"]:
        echo(str(folder))
    from pipeline.benchmarking.comparison import run_plan
    from pipeline.cli.trials import Progress

    budget = f"{plan.cpu_seconds:g} CPU seconds"
    with Progress(progress_console(), budget, place.room, plan.cpu_seconds) as progress:
        return run_plan(plan, plugin, folder, place, progress, progress.stopping)


def _plan(word: str, options: dict[str, Any]) -> Any:
    """Return the plan that a problem or a SPEC and the options make up.

    Raises:
        UsageError: whatever is wrong with it.
    """
    from pipeline.benchmarking.experiment import plan_from
    from pipeline.config import read_toml, with_setting

    spec = existing_file(word) if word.endswith(".toml") else None
    data: dict[str, Any] = read_toml(spec) if spec else {"problem": word}
    if spec is not None:
        _check_no_file(data, word)
    if options["n"] is not None:
        data["n"] = parse_sizes(options["n"], "--n")
    if spec is None and "n" not in data:
        raise UsageError(f"name a size, as in: pipeline compare {word} --n 40")
    for key in ("seeds", "budget_cpu_seconds", "target", "stop_at_target", "measure", "control"):
        if options[key] is not None:
            data[key] = options[key]
    if options["arms"] is not None:
        data["arms"] = chosen_arms(options["arms"], data.get("arms"))
    if options["convention"] is not None:
        options["settings"] += (f"convention={options['convention']}",)
    for setting in options["settings"]:
        with_setting(data.setdefault("settings", {}), setting)
    return plan_from(data, word if spec else "the options", spec.parent if spec else None)


def _check_no_file(data: Mapping[str, Any], spec: str) -> None:
    """Refuse a SPEC that names the file of a generator: data never loads code.

    Raises:
        UsageError: says how to name it instead.
    """
    from pipeline.benchmarking.experiment import GENERATOR_KEY, is_file_spec

    arms = data.get("arms")
    listed = {str(name): {GENERATOR_KEY: name} for name in arms} if isinstance(arms, list) else arms
    named = {"settings": data.get("settings"), **(listed if isinstance(listed, dict) else {})}
    for name, settings in named.items():
        word = settings.get(GENERATOR_KEY) if isinstance(settings, dict) else settings
        if isinstance(word, str) and is_file_spec(word):
            arm = "NAME" if name == "settings" or is_file_spec(name) else name
            raise UsageError(
                f"{spec} names the file {word}; data never loads code: if you trust that file, "
                f"name it on the command line, as in: --arms {arm}={word},none"
            )


def chosen_arms(text: str, described: object) -> dict[str, Any]:
    """Return the arms that ``--arms`` names, with what a SPEC says of them.

    Raises:
        UsageError: one is neither described nor a generator, or is there twice.
    """
    from pipeline.benchmarking.experiment import (
        GENERATORS,
        arm_name,
        generator_settings,
        is_file_spec,
        merged,
    )

    described = described if isinstance(described, dict) else {}
    chosen: dict[str, Any] = {}
    for word in (part.strip() for part in text.split(",")):
        match = re.fullmatch(r"([\w.+-]+)=(.+)", word)
        name, generator = (match[1], match[2]) if match else (word, word)
        if is_file_spec(word) and not match:
            name = arm_name(generator_settings(word))
        if match or is_file_spec(word):
            settings = described.get(name, {})
            settings = settings if isinstance(settings, dict) else {}
            value: Any = merged(settings, generator_settings(generator))
        elif word in described or word in GENERATORS:
            value = described.get(word, {})
        else:
            raise UsageError(f"unknown arm {word!r}{nearest(word, {*described, *GENERATORS})}")
        if name in chosen:
            raise UsageError(f"arm {name!r} is there twice; name each arm once")
        chosen[name] = value
    return chosen


def _of_runs(what: tuple[str, ...], options: dict[str, Any]) -> "Comparison":
    """Compare finished runs.

    Raises:
        UsageError: runs of several problems or conventions, or twice the same.
    """
    from pipeline.benchmarking.comparison import check_same_problem, of_runs

    for key in _OF_A_PLAN:
        if options[key] not in (None, ()):
            name = "set" if key == "settings" else key.replace("_", "-")
            raise UsageError(f"--{name} goes with a problem or a SPEC.toml, not with finished runs")
    runs = [open_run(word, options["runs"]) for word in what]
    problems = [problem_of(run, options["problem"]) for run in runs]
    check_same_problem(runs, problems)
    return of_runs(runs, problems[0], options["target"] or 0, options["control"] or "")


def _writable(text: str, option: str) -> Path:
    """Return a path that can be written to, found out before anything is run.

    Raises:
        UsageError: it cannot, or its name does not end as what is written there does.
    """
    path, ending = Path(text), {"figure": ".svg", "output": ".md"}[option]
    name = {"figure": "--figure", "output": "-o"}[option]
    if path.suffix != ending:
        raise UsageError(f"{name} {text}: what is written there is {ending}; name it so")
    return writable(name, path)

"""pipeline run, pipeline resume."""

from pathlib import Path
from typing import Any

import click

from pipeline.cli.common import (
    existing_file,
    json_option,
    open_run,
    parse_sizes,
    parse_time,
    problem_argument,
    problem_of,
    problem_option,
    quiet_option,
    runs_option,
    size_of,
)
from pipeline.cli.help import CLASSES, WEIGHTS, Choice, Words
from pipeline.cli.play import begin, finish, follow_if_told, go_on, play, tell_processor, words
from pipeline.config import DEVICES, EXECUTORS, FEEDBACKS, GENERATORS, SEEDINGS, TOKENS
from pipeline.errors import UsageError, check_installed

_STOP = "[default: none]"
KEEP = ("last", "all")
_KEPT = "Models to keep: all, or of the last two rounds and of each new best."


@click.command()
@problem_argument
@click.option("--n", type=int, help="The size to search for, such as the side of the grid.")
@click.option("--sizes", help="Sizes to learn from, as 8:16 or 8,12.  [default: n-4 to n]")
@click.option("--rounds", type=int, help="Rounds of train, sample, search.  [default: 3]")
@click.option("--time", "time_", help=f"Begin no round that would end later than this.  {_STOP}")
@click.option("--budget-cpu-seconds", type=float, help=f"Stop when so much is used.  {_STOP}")
@click.option("--target", type=int, help=f"Stop at this score.  {_STOP}")
@click.option("--seed", type=int, help="The rng seed.  [default: 0]")
@click.option("--convention", help="A convention of the problem; see `pipeline problems`.")
@click.option(
    "--generator",
    type=Words(GENERATORS),
    help="What makes candidates, FILE.py or FILE.py:CLASS.  [default: gpt]",
)
@click.option(
    "--weights",
    type=Words(WEIGHTS),
    help="Element weights to start with: border, learned, none, a .npy file.",
)
@click.option("--seeding", type=Choice(SEEDINGS), help="Search of round 0.  [default: portfolio]")
@click.option(
    "--symmetry", type=Words(CLASSES), help="Symmetry classes to seed in, as mirror,half-turn."
)
@click.option("--start", metavar="FILE", help="Constructions to begin with, as `verify` reads.")
@click.option("--tokens", type=Words(TOKENS), help="points, dense or orbits.  [default: points]")
@click.option("--free", is_flag=True, help="Let the model write blocked elements too.")
@click.option("--from-scratch", is_flag=True, help="A new model in each round.")
@click.option("--temperature", type=float, help="Of the sampling.  [default: 1.0; policy: 0.25]")
@click.option("--top-p", type=float, help="Sample from the likeliest tokens alone.  [default: 1.0]")
@click.option("--feedback", type=Choice(FEEDBACKS), help="After search.  [default: none]")
@click.option("--device", type=Choice(DEVICES), help="Of the model.  [default: auto]")
@click.option("--gpus", type=int, help="Train and sample on so many, a process each.  [default: 1]")
@click.option("--workers", type=int, help="Search processes.  [default: one for each core]")
@click.option("--overlap", is_flag=True, help="Search while the model trains and samples.")
@click.option("--executor", type=Choice(EXECUTORS), help="Of search.  [default: processes]")
@click.option("--address", help="A Ray cluster to join: auto or HOST:PORT.")
@click.option("--config", "file", metavar="FILE", help="A TOML file; the options go over it.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any key of a config.")
@click.option("--tensorboard", is_flag=True, help="Write each round for TensorBoard, too.")
@click.option("--keep-models", type=Choice(KEEP), help=f"{_KEPT}  [default: last]")
@click.option("--print-config", is_flag=True, help="Print the complete configuration and stop.")
@quiet_option
@runs_option
@json_option
def run(problem: str, file: str | None, settings: tuple[str, ...], **options: Any) -> None:
    """Search with a model that learns from the best constructions.

    PROBLEM is a name (see `pipeline problems`) or a plugin, as in ./mine.py:MyProblem; or give the
    forbidden sets in a file, with --hypergraph.
    """
    from pipeline.config import to_toml

    config, plugin = configure(problem, file, settings, options)
    if options["print_config"]:
        click.echo(to_toml(config).encode(), nl=False)  # TOML is UTF-8
        return
    follow_if_told(config.compute.gpus, lambda: plugin)
    if options["tensorboard"]:
        check_installed("tensorboard", "--tensorboard", "tensorboard")
    start = existing_file(options["start"]) if options["start"] else None
    files: dict[str, bytes] = {}
    if start is not None:
        kind = start.suffix if start.suffix in (".parquet", ".json") else ".txt"
        files = {f"start{kind}": start.read_bytes()}
        _check_start(plugin, config, start)
    made, parts = begin(config, plugin, options["runs"], files)
    with made.lock():
        found = play(made, plugin, parts, options["as_json"], options["tensorboard"])
        finish(made, plugin, found, options["as_json"])


@click.command()
@click.argument("run_", metavar="RUN")
@click.option("--rounds", help="Rounds in all, or that many more as +2.")
@click.option("--time", "time_", help="A new limit, for this session.")
@click.option("--target", type=int, help="A new target; 0 for none.")
@click.option("--gpus", type=int, help="Train and sample on so many, in this session.")
@click.option("--workers", type=int, help="Search processes; the results are the same.")
@click.option("--executor", type=Choice(EXECUTORS), help="Of search; the results are the same.")
@click.option("--address", help="A Ray cluster to join: auto or HOST:PORT.")
@click.option("--tensorboard", is_flag=True, help="Write each round for TensorBoard, too.")
@problem_option
@click.option(
    "--generator", help="The run's own generator, as ./mine.py:Mine; data never loads code."
)
@click.option("--keep-models", type=Choice(KEEP), help=_KEPT)
@quiet_option
@runs_option
@json_option
def resume(
    run_: str,
    rounds: str | None,
    time_: str | None,
    target: int | None,
    gpus: int | None,
    workers: int | None,
    executor: str | None,
    address: str | None,
    tensorboard: bool,
    problem: str | None,
    generator: str | None,
    keep_models: str | None,
    runs: str | None,
    as_json: bool,
) -> None:
    """Go on with a run.

    RUN is a path, a unique prefix of its name, or latest. Only the budget may change, and which
    models are kept. Without options the run goes on to the rounds it was given. With another number
    of --gpus sums are rounded otherwise, and `show` says so.
    """
    from msgspec.structs import replace

    from pipeline.config import with_budget, with_gpus
    from pipeline.generators.registry import generator_typed
    from pipeline.plugins import check_symmetries, check_unchanged

    if tensorboard:
        check_installed("tensorboard", "--tensorboard", "tensorboard")
    opened = open_run(run_, runs)
    generator_typed(opened.config.generator, generator, opened.name)
    together = with_gpus(opened.config, gpus).compute.gpus
    follow_if_told(together, lambda: problem_of(opened, problem))
    with opened.lock():
        config = with_budget(
            opened.config,
            rounds=_rounds(rounds, opened),
            time=parse_time(time_) if time_ else None,
            target=target,
        )
        where = {"workers": workers, "executor": executor, "address": address}
        where = {key: value for key, value in where.items() if value is not None}
        config = replace(config, compute=replace(config.compute, **where))
        if keep_models is not None:
            config = replace(config, store=replace(config.store, keep_models=keep_models))
        plugin = problem_of(opened, problem)
        check_unchanged(opened.path, plugin.plugin)
        check_symmetries(opened.path, plugin, config.n)
        opened.set_budget(config)
        tell_processor(opened.add_session(words()))
        if together != config.compute.gpus:
            opened.not_reproducible(
                f"--gpus {together}, not {config.compute.gpus} as it began with"
            )
        parts = go_on(opened, plugin, generator, gpus)
        finish(opened, plugin, play(opened, plugin, parts, as_json, tensorboard), as_json)


def configure(
    problem: str, file: str | None, settings: tuple[str, ...], options: dict[str, Any]
) -> tuple[Any, Any]:
    """Return the configuration that a file, options and settings make up, and its problem.

    Raises:
        UsageError: an unknown key, a wrong value, or a size that cannot be had.
    """
    from pipeline.config import read_toml, with_setting
    from pipeline.configuring import configured
    from pipeline.generators.registry import generator_spec
    from pipeline.plugins import problem_spec
    from pipeline.storage.inputs import absolute

    data = read_toml(existing_file(file)) if file else {}
    absolute(data, Path(file or "").parent)
    _check_generator(data, file)
    data |= {"problem": problem_spec(problem)}
    _overlay(data, options)
    for setting in settings:
        with_setting(data, setting)
    absolute(data, Path())
    if data.get("n") is None:
        data["n"] = size_of(problem, "run", 16)
    if isinstance(data.get("generator"), str):
        data["generator"] = generator_spec(data["generator"])
    return configured(data, file or "the options")


def _check_generator(data: dict[str, Any], file: str | None) -> None:
    """Refuse a configuration file that names code of its own: data never loads code.

    Raises:
        UsageError: its generator is a file.
    """
    named = data.pop("generator", "")
    if isinstance(named, str) and (":" in named or named.endswith(".py")):
        raise UsageError(
            f"{file} names the generator {named}; data never loads code: if you trust that file, "
            f"leave the key out and add --generator {named}"
        )
    if named:
        data["generator"] = named


def _rounds(text: str | None, opened: Any) -> int | None:
    if text is None:
        return None
    done = max(opened.rounds(), default=0)
    try:
        number = int(text) if len(text) < 100 else -1
    except ValueError:
        number = -1
    if number < 0:
        raise UsageError(f"--rounds {text}: write a number in all, as 5, or more, as +2")
    return done + number if text.startswith("+") else number


def _overlay(data: dict[str, Any], options: dict[str, Any]) -> None:
    """Put the options that were given over the keys of a configuration."""

    places = {
        "n": ("n",),
        "seed": ("seed",),
        "convention": ("convention",),
        "rounds": ("budget", "rounds"),
        "target": ("budget", "target"),
        "budget_cpu_seconds": ("budget", "cpu"),
        "seeding": ("seeding", "method"),
        "tokens": ("model", "tokens"),
        "temperature": ("sample", "temperature"),
        "top_p": ("sample", "top_p"),
        "device": ("compute", "device"),
        "gpus": ("compute", "gpus"),
        "feedback": ("feedback", "kind"),
        "workers": ("compute", "workers"),
        "executor": ("compute", "executor"),
        "address": ("compute", "address"),
        "keep_models": ("store", "keep_models"),
        "keep": ("select", "keep"),
        "weights": ("search", "weights"),
        "mask": ("search", "mask"),
        "generator": ("generator",),
    }
    options = {name: value for name, value in options.items() if value is not None}
    given: dict[tuple[str, ...], Any] = {
        place: options[name] for name, place in places.items() if name in options
    }
    if "sizes" in options:
        sizes = options["sizes"]
        given["sizes",] = parse_sizes(sizes) if isinstance(sizes, str) else sizes
    if "time_" in options:
        given["budget", "time"] = parse_time(options["time_"])
    if "symmetry" in options:
        given["seeding", "symmetry"] = [s.strip() for s in options["symmetry"].split(",")]
    if "method" in options:
        given["search", "methods"] = [s.strip() for s in options["method"].split(",")]
    if options.get("free"):
        given["sample", "masked"] = False
    if options.get("overlap"):
        given["search", "overlap"] = True
    if options.get("from_scratch"):
        given["train", "from_scratch"] = True
    for (*sections, key), value in given.items():
        inner = data
        for section in sections:
            inner = inner.setdefault(section, {})
            if not isinstance(inner, dict):
                raise UsageError(f"{section} must be a section of the configuration")
        inner[key] = value


def _check_start(plugin: Any, config: Any, start: Path) -> None:
    from pipeline.storage.run_store import check_starts, import_starts

    found = import_starts(plugin, start, config.problem, config.n)
    check_starts(found, config.sizes, None, config.n)

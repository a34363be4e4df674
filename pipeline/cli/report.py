"""The commands report and plot: a run as a page to look at, and its figures one by one."""

import webbrowser
from pathlib import Path
from typing import Any

import click

from pipeline.cli.common import (
    Target,
    as_file,
    echo,
    json_option,
    open_run,
    print_json,
    problem_of,
    problem_option,
    runs_option,
    target_options,
    tell_judge,
    writable,
)
from pipeline.errors import UsageError, check_installed

_WHAT = ("scores", "progress", "board", "heatmap")
_SUFFIXES = (".svg", ".pdf", ".png", ".tex")


@click.command()
@click.argument("targets", metavar="FILE|RUN...", nargs=-1, required=True)
@click.option("-o", "file", metavar="FILE", help="Output file.  [default: report.html in the run]")
@click.option("--n", type=int, help="Of a FILE: which size, and that of what names none.")
@click.option("--force", is_flag=True, help="Replace FILE.")
@click.option("--open", "open_", is_flag=True, help="Open it in a browser.")
@problem_option
@runs_option
@json_option
def report(
    targets: tuple[str, ...],
    file: str | None,
    n: int | None,
    force: bool,
    open_: bool,
    problem: str | None,
    runs: str | None,
    as_json: bool,
) -> None:
    """Make a page of a run, or one that compares several.

    One HTML file that needs no network: rounds, boards, progress, model, pool, and how to reproduce
    it. Several runs of one problem and size are overlaid, by default in comparison.html in the
    directory of the runs. RUN is a path, a unique prefix of its name, or latest. For
    a FILE that `verify` reads, the page shows boards and scores, and -o is required.
    """
    from pipeline.report.gathering import Story
    from pipeline.report.page import comparison_page, file_page, run_page
    from pipeline.storage.files import write_file
    from pipeline.storage.finding import runs_root

    there = None if file is None else writable("-o", Path(file), force)
    sources, opened = [word for word in targets if as_file(word) is not None], []
    if sources and len(targets) > 1:
        raise UsageError(
            f"{sources[0]} is a file, which has no progress to compare; give only that one"
        )
    if sources and there is None:
        raise UsageError(f"{sources[0]} is a file: say where its page goes, as in -o report.html")
    if n is not None and not sources:
        raise UsageError("--n goes with a FILE; a RUN is shown at the size it searches for")
    if not sources:
        opened = [open_run(name, runs) for name in targets]
    if there is None:
        alone = len(opened) == 1
        usual = opened[0].path / "report.html" if alone else runs_root(runs) / "comparison.html"
        there = writable("-o", usual)
    if sources:
        held = Target(sources[0], runs, problem, n).collection()
        plugin, text = held.problem, file_page(held)
    else:
        stories = [Story(run, problem_of(run, problem)) for run in opened]
        plugin = stories[0].problem
        text = run_page(stories[0]) if len(stories) == 1 else comparison_page(stories)
    write_file(there, text.encode())
    if as_json:
        facts: dict[str, Any] = {"runs": [str(run.path) for run in opened]}
        facts = {"from": sources[0]} if sources else facts
        facts |= {"bytes": there.stat().st_size, "plugin": plugin.plugin}
        print_json({"file": str(there), **facts})
    else:
        echo(str(there))
        tell_judge(plugin)
    if open_ and not webbrowser.open(there.resolve().as_uri()):
        echo("no browser found; open the file yourself", err=True)


@click.command()
@click.option(
    "--what",
    type=click.Choice(_WHAT),
    required=True,
    help="Scores of a round, progress, the best construction, or how often each cell is used.",
)
@click.option("--round", "round_", type=int, help="Of a RUN: the round.  [default: the last]")
@click.option(
    "-o", "file", metavar="FILE", required=True, help="A .svg, .pdf or .png; a board also .tex."
)
@click.option("--force", is_flag=True, help="Replace FILE.")
@target_options(n="Size of the constructions in a FILE.", pick=True)
def plot(
    target: Target, what: str, round_: int | None, file: str, force: bool, as_json: bool
) -> None:
    """Draw one figure of a run or a file, for a paper.

    The suffix of the output file sets the format; .pdf and .png need matplotlib. RUN is a path, a
    unique prefix of its name, or latest; FILE is any file that `verify` reads. --rank and --id pick
    the board to draw.
    """
    from pipeline.report.rendering import render
    from pipeline.storage.files import write_file

    suffix = Path(file).suffix.lower()
    if suffix not in _SUFFIXES:
        raise UsageError(f"-o {file}: no format of that name; end it in {', '.join(_SUFFIXES)}")
    if suffix == ".tex" and what != "board":
        raise UsageError(f"-o {file}: .tex draws a board alone; use .svg or .pdf for --what {what}")
    if round_ is not None and what == "progress":
        raise UsageError("--round: --what progress shows all rounds; leave it out")
    if what != "board" and target.is_picked:
        raise UsageError(f"--rank and --id pick a board; --what {what} shows all constructions")
    if suffix in (".pdf", ".png"):
        check_installed("matplotlib", suffix[1:].upper(), "plot")
    there, facts = writable("-o", Path(file), force), {}
    if target.file is not None:
        if what == "progress" or round_ is not None:
            raise UsageError(
                f"{target.file} is a file, which has no rounds: draw its board, heatmap or scores"
            )
        held = target.collection()
        plugin, drawn = held.problem, _figure_of(held, what, suffix, target)
        facts["from"] = str(target.file)
    else:
        if target.n is not None:
            raise UsageError("--n goes with a FILE; a RUN is drawn at the size it searches for")
        opened, plugin = target.opened()
        drawn = _figure(opened, plugin, what, round_, suffix, target)
        facts["run"] = str(opened.path)
    data = render(drawn, suffix[1:]) if suffix in (".pdf", ".png") else drawn.encode()
    write_file(there, data)
    if as_json:
        print_json({"file": str(there), **facts, "what": what, "plugin": plugin.plugin})
    else:
        echo(str(there))
        tell_judge(plugin)


def _figure_of(held: Any, what: str, suffix: str, target: Target) -> str:
    """Return a figure of constructions that no run tells of, as SVG, or a board as TikZ."""
    from pipeline.core.score_stats import distribution
    from pipeline.report import figures
    from pipeline.report.gathering import usage

    plugin, pool = held.problem, held.pool
    if what == "board":
        return _board(held, target.pick(held), suffix)
    if what == "scores":
        limits = int(pool.score.min()), int(pool.score.max())
        return figures.histogram_svg(distribution(pool.score), held.where, limits)
    used, _ = usage(pool)
    label = f"{plugin.name}, n={held.n}: cells used by the best fifth of {held.where}"
    return _heatmap(plugin, held.n, used, label)


def _board(held: Any, index: int, suffix: str) -> str:
    from pipeline.report import exporting

    row, ground = held.described(index), held.problem.ground(held.n)
    return exporting.to_tikz(row, ground) if suffix == ".tex" else exporting.to_svg(row, ground)


def _figure(
    opened: Any, plugin: Any, what: str, number: int | None, suffix: str, target: Target
) -> str:
    """Return a figure as SVG, or a board as TikZ."""
    from pipeline.report import figures
    from pipeline.report.gathering import Story

    story = Story(opened, plugin)
    if what == "progress":
        return figures.progress_svg(story)
    found = story.round(number)
    if what == "scores":
        return figures.histograms_svg(story, found)
    if what == "board":
        held = story.after(found.number)
        return _board(held, target.pick(held), suffix)
    label = f"{plugin.name}, n={story.n}: cells used by the best fifth after round {found.number}"
    return _heatmap(plugin, story.n, found.usage, label)


def _heatmap(plugin: Any, n: int, used: Any, label: str) -> str:
    from pipeline.report.board import heatmap_svg

    most = float(used.max())
    drawn = heatmap_svg(plugin.ground(n).coords, used, most, f"{label}, maximum {most:.0%}")
    if drawn is None:
        raise UsageError(
            f"--what heatmap: the elements of {plugin.name} have no board to be drawn on; use "
            "--what scores or progress"
        )
    return drawn

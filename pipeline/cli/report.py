"""The commands report and plot: a run as a page to look at, and its figures one by one."""

import webbrowser
from pathlib import Path
from typing import Any

import click

from pipeline.cli.common import json_option, open_run, print_json, problem_of, runs_option
from pipeline.errors import UsageError

_WHAT = ("scores", "progress", "board", "heatmap")
_SUFFIXES = (".svg", ".pdf", ".png", ".tex")


@click.command()
@click.argument("runs_named", metavar="RUN...", nargs=-1, required=True)
@click.option("-o", "file", metavar="FILE", help="Where to.  [default: report.html in the run]")
@click.option("--force", is_flag=True, help="Replace FILE.")
@click.option("--open", "open_", is_flag=True, help="Open it in a browser.")
@runs_option
@json_option
def report(
    runs_named: tuple[str, ...],
    file: str | None,
    force: bool,
    open_: bool,
    runs: str | None,
    as_json: bool,
) -> None:
    """Make a page of a run, or one that compares several.

    One HTML file that needs no network: rounds, boards, progress, model, pool, and how to repeat
    it. Several runs of one problem and size are laid over each other, by default in
    comparison.html where runs lie. RUN is a path, a unique prefix of its name, or latest.
    """
    from pipeline.report.gathering import Story
    from pipeline.report.page import comparison_page, run_page
    from pipeline.runs import runs_root, write_file

    there = None if file is None else new_file(file, force)
    opened = [open_run(name, runs) for name in runs_named]
    stories = [Story(run, problem_of(run)) for run in opened]
    if len(stories) == 1:
        text = run_page(stories[0])
        there = there or opened[0].path / "report.html"
    else:
        text = comparison_page(stories)
        there = there or runs_root(runs) / "comparison.html"
    write_file(there, text.encode())
    if as_json:
        told = {"runs": [str(run.path) for run in opened]}
        print_json({"file": str(there), "bytes": there.stat().st_size, **told})
    else:
        click.echo(str(there))
    if open_ and not webbrowser.open(there.resolve().as_uri()):
        click.echo("no browser was found; open the file in one yourself", err=True)


@click.command()
@click.argument("run_", metavar="RUN")
@click.option(
    "--what",
    type=click.Choice(_WHAT),
    required=True,
    help="Scores of a round, progress, the best board, or how often cells are used.",
)
@click.option("--round", "round_", type=int, help="Which round.  [default: the last]")
@click.option(
    "-o", "file", metavar="FILE", required=True, help="A .svg, .pdf or .png; a board also .tex."
)
@click.option("--force", is_flag=True, help="Replace FILE.")
@runs_option
@json_option
def plot(
    run_: str,
    what: str,
    round_: int | None,
    file: str,
    force: bool,
    runs: str | None,
    as_json: bool,
) -> None:
    """Draw one figure of a run, for a paper.

    The suffix of FILE says in which format; .pdf and .png need matplotlib. RUN is a path, a
    unique prefix of its name, or latest.
    """
    from pipeline.report.rendering import check_renderer, render
    from pipeline.runs import write_file

    suffix = Path(file).suffix.lower()
    if suffix not in _SUFFIXES:
        raise UsageError(f"-o {file}: no format of that name; end it in {', '.join(_SUFFIXES)}")
    if suffix == ".tex" and what != "board":
        raise UsageError(f"-o {file}: .tex draws a board alone; use .svg or .pdf for --what {what}")
    if round_ is not None and what == "progress":
        raise UsageError("--round: --what progress shows all rounds; leave it out")
    if suffix in (".pdf", ".png"):
        check_renderer()
    there = new_file(file, force)
    opened = open_run(run_, runs)
    drawn = _figure(opened, problem_of(opened), what, round_, suffix)
    data = render(drawn, suffix[1:]) if suffix in (".pdf", ".png") else drawn.encode()
    write_file(there, data)
    if as_json:
        print_json({"file": str(there), "run": str(opened.path), "what": what})
    else:
        click.echo(str(there))


def _figure(opened: Any, plugin: Any, what: str, number: int | None, suffix: str) -> str:
    """Return a figure as SVG, or a board as TikZ."""
    from pipeline.report import exporting, figures
    from pipeline.report.board import heatmap_svg
    from pipeline.report.gathering import Story

    story = Story(opened, plugin)
    if what == "progress":
        return figures.progress_svg(story)
    found = story.round(number)
    if what == "scores":
        return figures.histograms_svg(story, found)
    if what == "board":
        row, coords = story.best_after(found.number), story.ground.coords
        return exporting.to_tikz(row, coords) if suffix == ".tex" else exporting.to_svg(row, coords)
    label = f"{plugin.name}, n={story.n}: cells used by the best fifth after round {found.number}"
    most = float(found.usage.max())
    drawn = heatmap_svg(story.ground.coords, found.usage, most, f"{label}, {most:.0%} at most")
    if drawn is None:
        raise UsageError(
            f"--what heatmap: the elements of {plugin.name} have no board to be drawn on; use "
            "--what scores or progress"
        )
    return drawn


def new_file(file: str, force: bool) -> Path:
    """Return the path of a file that may be written.

    Raises:
        UsageError: it exists and ``force`` is not set, or its folder does not.
    """
    there = Path(file)
    if there.is_dir():
        raise UsageError(f"-o {file}: is a folder; name a file in it")
    if there.exists() and not force:
        raise UsageError(f"-o {file}: exists; add --force to replace it, or name another file")
    if not there.absolute().parent.is_dir():
        raise UsageError(f"-o {file}: there is no folder {there.parent}; make it first")
    return there

"""A comparison of arms as tables for the terminal and in Markdown, and as a figure."""

import io
import math
import statistics
from typing import Any

from pipeline.benchmarking.comparison import Comparison
from pipeline.benchmarking.statistics import ArmSummary, SizeSummary, curve
from pipeline.report.curves import Chart, Line, curves_svg
from pipeline.report.terminal import console, table


def print_comparison(comparison: Comparison, out: Any) -> None:
    """Print a table and the verdicts of each size, then those over all, on a rich console."""
    if not comparison.sizes:
        out.print("no run has finished yet")
        return
    sentences = comparison.sentences()
    for size in comparison.sizes:
        out.print(f"\n{_title(comparison, size)}", style="bold")
        first, *numbers = _headers(size)
        heads = (h.replace("reached ", "reached\n").replace(" to ", "\nto ") for h in numbers)
        made = table(first, *(f"{head}>" for head in heads))
        for each in size.arms:
            made.add_row(*_row(each))
        out.print(made)
        for n, text in sentences:
            if n == size.n:
                out.print(text)
    together = [text for n, text in sentences if n is None]
    for text in ([""] if together else []) + together + ["", *comparison.notes()]:
        out.print(text)


def text(comparison: Comparison) -> str:
    """Return the tables and verdicts as text, 100 columns wide."""
    out = io.StringIO()
    print_comparison(comparison, console(file=out))
    return out.getvalue()


def markdown(comparison: Comparison, command: str) -> str:
    """Return the tables and verdicts with the command that made them."""
    sentences = comparison.sentences()
    lines = [f"    {command}", ""]
    for size in comparison.sizes:
        heads = _headers(size)
        lines += [f"{_title(comparison, size)}:", ""]
        lines += [_cells(heads), _cells(["---"] + ["---:"] * (len(heads) - 1))]
        lines += [_cells(_row(each)) for each in size.arms]
        lines += ["", *(f"- {text}" for n, text in sentences if n == size.n), ""]
    together = [f"- {text}" for n, text in sentences if n is None]
    lines += [*together, ""] if together else []
    budget = comparison.cpu_seconds
    each = f"{budget:g} CPU seconds on one core for each run. " if budget else ""
    return "\n".join([*lines, each + " ".join(comparison.notes()), ""])


def figure(comparison: Comparison) -> str:
    """Return the best score over CPU seconds of each arm as SVG, a panel for each size."""
    charts = []
    for size in comparison.sizes:
        used = max(result.cpu for each in size.arms for result in each.results)
        end = comparison.cpu_seconds or used
        lines = [Line(each.arm, curve(each.results, end)) for each in size.arms]
        charts.append(Chart(_title(comparison, size), lines, size.target))
    return curves_svg(charts, "best score over CPU seconds: median and range over rng seeds")


def _title(comparison: Comparison, size: SizeSummary) -> str:
    return f"{comparison.label}, n={size.n}"


def _headers(size: SizeSummary) -> list[str]:
    reached = "reached" if size.target is None else f"reached {size.target}"
    if size.arms[0].counts is not None:
        counted = [
            f"{size.target} or more: median",
            "min-max",
            "each 100 CPU s",
            "without training",
        ]
        return ["arm", "best", *counted, "ahead", "tied", "behind"]
    cpu = "CPU s" if size.control_median is None else f"CPU s to {size.control_median}"
    return ["arm", "best", "median", "min-max", reached, cpu, "ahead", "tied", "behind"]


def _row(each: ArmSummary) -> list[str]:
    scores, pairs, cpu = each.scores, each.pairs, each.cpu_to_control_median
    versus = ["", "", ""]
    if pairs is not None:
        versus = [str(number) for number in (pairs.ahead, pairs.tied, pairs.behind)]
    if each.counts is not None:
        used = sum(result.cpu for result in each.results)
        trained = sum(result.training for result in each.results)
        numbers = [
            f"{statistics.median(each.counts):g}",
            f"{min(each.counts)}-{max(each.counts)}",
            f"{100 * sum(each.counts) / used:.1f}",
            f"{100 * sum(each.counts) / max(used - trained, 1e-9):.1f}",
        ]
        return [each.arm, str(max(scores)), *numbers, *versus]
    return [
        each.arm,
        str(max(scores)),
        f"{each.median:g}",
        f"{min(scores)}-{max(scores)}",
        "-" if each.reached is None else f"{each.reached} of {len(scores)}",
        "-" if math.isinf(cpu) else f"{cpu:.1f}",
        *versus,
    ]


def _cells(texts: list[str]) -> str:
    return f"| {' | '.join(text.replace('|', chr(92) + '|') for text in texts)} |"

"""The figures of a run as SVG: histograms with failure bars, progress, rates, losses, heat maps."""

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from pipeline.core.score_stats import Distribution
from pipeline.report.curves import GREY, Chart, Line, curves_svg, plain, text_svg, ticks
from pipeline.report.gathering import Round, Story
from pipeline.storage.timeline import Moment

_SCORE, _INVALID, _FORMAT = "#0072b2", "#d55e00", "#cc79a7"
_WIDTH, _HEIGHT = 360, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 42, 10, 32, 34
_BARS = 40
#: What a distribution is called, by its name in stats.json.
TITLES = {
    "seeded": "Found by local search",
    "sampled": "Candidates as they are",
    "searched": "After repair and search",
    "kept": "Kept for the next round",
}
#: What a construction came from, by its origin.
ORIGIN_TITLES = {
    "seed": "local search of round 0",
    "search": "search alone",
    "generator": "search on candidates",
    "import": "given with --start",
}
#: Ways to count how far a run has come: the axis, and its place in a ``Moment``.
AXES = {"rounds": "round", "time": "seconds", "cpu": "CPU seconds"}


def histogram_svg(
    found: Distribution, title: str, limits: tuple[int, int], failures: bool = False
) -> str:
    """Draw how many constructions have each score, and the lecture's four statistics.

    Args:
        limits: the least and the largest score on the axis.
        failures: draw bars for what is invalid or no construction, too.
    """
    label = f"{title}: {statistics_text(found)}"
    return _figure(_histogram(found, title, limits, failures), label, _HEIGHT)


def _histogram(found: Distribution, title: str, limits: tuple[int, int], failures: bool) -> str:
    """Return the inside of a histogram."""
    low, high = limits
    step = max(1, -(-(high - low + 1) // _BARS))
    counts: dict[int, int] = {}
    for score, count in found["histogram"].items():
        place = (int(score) - low) // step
        counts[place] = counts.get(place, 0) + count
    bars: list[tuple[str, int, str, str]] = []
    for place, first in enumerate(range(low, high + 1, step)):
        last = first + step - 1
        name = str(first) if step == 1 else f"{first} to {last}"
        bars.append((name, counts.get(place, 0), "bar", _SCORE))
    scores = len(bars)
    if failures:
        bars.append(("invalid", found["invalid"], "bar-invalid", _INVALID))
        bars.append(("wrong format", found["wrong_format"], "bar-format", _FORMAT))
    left, right, top, bottom = _LEFT, _WIDTH - _RIGHT, _TOP, _HEIGHT - _BOTTOM
    # The failures stand apart, each as wide as four letters need at least.
    apart = 100 if failures else 0
    wide = (right - left - apart) / scores
    most = max((count for _, count, _, _ in bars), default=0) or 1
    drawn = ""
    for tick in ticks(0, most, whole=True):
        y = bottom - tick / most * (bottom - top)
        drawn += f'<path d="M{left} {y:.1f}H{right}" stroke="{GREY}" opacity=".25"/>'
        drawn += text_svg(left - 5, y + 4, f"{tick:,g}", "end")
    every = max(1, -(-scores * 22 // (right - left - apart)))
    for i, (name, count, kind, colour) in enumerate(bars):
        if i < scores:
            x, width = left + i * wide, wide
            if i % every == 0:
                drawn += text_svg(x + width / 2, bottom + 14, name.split()[0], "middle")
        else:
            x, width = right - apart + 8 + (i - scores) * 46, 42
            drawn += text_svg(x + width / 2, bottom + 14, name.split()[-1], "middle")
        height = count / most * (bottom - top)
        if count:
            height = max(height, 1.0)
        drawn += (
            f'<rect class="{kind}" x="{x + width * 0.06:.1f}" y="{bottom - height:.1f}" '
            f'width="{width * 0.88:.1f}" height="{height:.1f}" fill="{colour}">'
            f"<title>{escape(name)}: {count:,}</title></rect>"
        )
    drawn += f'<path d="M{left} {bottom}H{right}" stroke="{GREY}" fill="none"/>'
    drawn += text_svg(left + (right - left - apart) / 2, bottom + 29, "score", "middle")
    if failures:
        drawn += text_svg(right - apart / 2 + 6, bottom + 29, "failures", "middle")
    for name, dash in (("mean", "4 3"), ("top20", "1 2")):
        value = found[name]
        if value is not None and low <= value <= high + 1:
            x = left + ((value - low) / step + 0.5 / step) * wide
            drawn += (
                f'<path class="mark" d="M{x:.1f} {top - 6}V{bottom}" stroke="#000" '
                f'stroke-width="1.5" stroke-dasharray="{dash}" fill="none">'
                f"<title>{_STATISTICS[name]}: {value:.2f}</title></path>"
            )
    return drawn + text_svg(left, 14, f"{title} ({found['count']:,})", weight="bold")


def _figure(drawn: str, label: str, height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="figure" width="{_WIDTH}" '
        f'height="{height}" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{escape(label)}" font-family="system-ui, sans-serif" font-size="11" '
        f'fill="{GREY}"><title>{escape(label)}</title>{drawn}</svg>\n'
    )


_STATISTICS = {"mean": "mean", "median": "median", "top20": "mean of the top 20 %", "max": "max"}


def statistics_text(found: Distribution) -> str:
    """Write the four statistics on a line."""
    if found["mean"] is None:
        return "no valid construction"
    values = {"mean": "mean", "median": "median", "top20": "top 20 %", "max": "max"}
    return ", ".join(f"{word} {found[key]:.4g}" for key, word in values.items())


def histograms_svg(story: Story, found: Round) -> str:
    """Draw what a round made and kept, one histogram under the other."""
    limits, drawn = score_limits(story.rounds), ""
    for i, (name, part) in enumerate(found.parts.items()):
        body = _histogram(part, TITLES[name], limits, failures=name == "sampled")
        drawn += f'<g transform="translate(0 {i * _HEIGHT})">{body}</g>'
    label = f"{story.run.name}: scores of round {found.number}"
    return _figure(drawn, label, _HEIGHT * max(len(found.parts), 1))


def score_limits(rounds: Sequence[Round], names: Sequence[str] = tuple(TITLES)) -> tuple[int, int]:
    """Return the least and the largest score that any round has, so that all share an axis."""
    scores = [
        int(score)
        for r in rounds
        for name, found in r.parts.items()
        if name in names
        for score in found["histogram"]
    ]
    return (min(scores), max(scores)) if scores else (0, 1)


def round_histograms(story: Story, found: Round) -> list[tuple[str, str]]:
    """Return (name, histogram) of what a round made and kept."""
    limits = score_limits(story.rounds)
    return [
        (name, histogram_svg(part, TITLES[name], limits, failures=name == "sampled"))
        for name, part in found.parts.items()
    ]


def progress_charts(story: Story, axis: str) -> list[Chart]:
    """Return how best, top 20 % and mean of what is made went, the model's and search's apart.

    Args:
        axis: a key of ``AXES``.
    """
    at = _place(axis)
    ended = [(r, x) for r in story.rounds if (x := at(r.number, r.ended)) is not None]
    charts = [_bests(story, axis, ended)]
    for name, title in TITLES.items():
        made = [(x, r.parts[name]) for r, x in ended if name in r.parts]
        if name == "seeded" or not made:
            continue
        lines = [
            plain(word, [(x, found[key]) for x, found in made])
            for key, word in (("max", "best"), ("top20", "top 20 %"), ("mean", "mean"))
        ]
        charts.append(_chart(title, lines, axis))
    return charts


def _bests(story: Story, axis: str, ended: Sequence[tuple[Round, float]]) -> Chart:
    """Chart the best that each origin has brought so far."""
    at, lines = _place(axis), []
    for origins, title in (
        (("import",), "given with --start"),
        (("seed", "search"), "by search alone"),
        (("generator",), "from candidates"),
    ):
        found = [
            (x, max((r.new[o]["max"] or 0 for o in origins if o in r.new), default=0))
            for r, x in ended
        ]
        if "generator" in origins:  # what they led to counts, though it had been found before
            found = [
                (x, r.parts["searched"]["max"] or 0) for r, x in ended if "searched" in r.parts
            ]
        if axis != "rounds":
            # The log knows the moment of what was the best of all; the rest is known by round.
            found += [
                (x, find.score)
                for find in story.finds
                if find.origin in origins and (x := at(0, find.at)) is not None
            ]
        if not any(score for _, score in found):
            continue
        best, points = 0, []
        for x, score in sorted(found):
            best = max(best, score)
            points.append((x, best or None))
        lines.append(plain(title, points))
    known = story.problem.known(story.n)
    chart = _chart("Best so far", [line for line in lines if line.points], axis, steps=True)
    return chart._replace(target=None if known is None else known.value, goal="best known")


def rates_chart(story: Story) -> Chart | None:
    """Return how many samples were valid, new and repeated, by round; None without a model."""
    made = [r for r in story.rounds if "validity" in r.stats]
    if not made:
        return None
    names = (
        ("validity", "valid"),
        ("novelty", "new among the valid"),
        ("duplicates", "duplicates"),
    )
    lines = [plain(word, [(r.number, 100 * r.stats[key]) for r in made]) for key, word in names]
    return _chart("Samples of the model", lines, "rounds")._replace(up="%", limits=(0, 100))


def loss_chart(story: Story) -> Chart | None:
    """Return the loss of all trainings, one after another; None without a model."""
    losses = story.losses()
    if not losses:
        return None
    lines = [
        plain("training", [(step, loss) for step, loss, _ in losses]),
        plain("held out", [(step, held) for step, _, held in losses]),
    ]
    lines = [line for line in lines if line.points]
    return Chart("Loss", lines, None, "steps of training", "nats per token", False, False, False)


def comparison_charts(stories: Sequence[Story], names: Sequence[str], axis: str) -> list[Chart]:
    """Return best, top 20 % and mean of what several runs kept, a line for each run."""
    charts = []
    for key, title in (
        ("max", "Best"),
        ("top20", "Top 20 % of the kept"),
        ("mean", "Mean of the kept"),
    ):
        lines = []
        for story, name in zip(stories, names, strict=True):
            at = _place(axis)
            points = [
                (x, r.parts["kept"][key])
                for r in story.rounds
                if "kept" in r.parts and (x := at(r.number, r.ended)) is not None
            ]
            if key == "max" and axis != "rounds":
                found = [(at(0, find.at), find.score) for find in story.finds]
                points = sorted({*points, *((x, s) for x, s in found if x is not None)})
            lines.append(plain(name, points))
        charts.append(_chart(title, lines, axis, steps=key == "max"))
    return charts


def chart_svg(chart: Chart) -> str:
    """Draw one chart."""
    return curves_svg([chart], f"{chart.title} over {chart.across}")


def progress_svg(story: Story) -> str:
    """Draw the progress of a run over rounds and over time."""
    charts = [c for axis in ("rounds", "time") for c in progress_charts(story, axis)]
    return curves_svg(charts, f"{story.run.name}: best, top 20 % and mean")


def _chart(title: str, lines: Sequence[Line], axis: str, steps: bool = False) -> Chart:
    return Chart(title, lines, None, AXES[axis], "score", False, True, steps)


def _place(axis: str) -> Callable[[int, Moment | None], Any]:
    """Return what tells where on an axis a round or a find stands, None for unknown."""
    if axis == "rounds":
        return lambda number, _moment: float(number)
    if axis == "time":
        return lambda _number, moment: None if moment is None else moment.seconds
    return lambda _number, moment: None if moment is None else moment.cpu

"""The report: one HTML file that holds all it needs, of one run or of several beside each other.

The page is made from ``template/``; figures are the same SVG as everywhere, and a block of JSON
holds what its script needs to draw over boards, to move through rounds and to sort the pool.
"""

import base64
import shlex
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from pipeline import __version__
from pipeline.config import to_toml
from pipeline.core.score_stats import distribution
from pipeline.core.symmetry import stabiliser
from pipeline.errors import UsageError
from pipeline.report import figures
from pipeline.report.board import geometry, heatmap_svg, is_board, mirrors
from pipeline.report.drawing import drawn_svg
from pipeline.report.gathering import Member, Story, members, usage
from pipeline.report.terminal import from_generator, imported, span
from pipeline.storage.collection import Collection
from pipeline.storage.files import digest

#: Constructions that are drawn, and that the table lists.
_BOARDS, _LISTED = 12, 2000
#: Numbers of what sets of points block, over all boards; the best one's come in any case.
_BLOCKED = 150_000
_STEPS = 255  # of the share of an elite, in the heat maps


def run_page(story: Story) -> str:
    """Return the page of one run."""
    listed = list(story.members(_LISTED))
    boards = _boards(story, listed)
    rounds = [
        {
            "number": r.number,
            "ended": r.ended,
            "histograms": [Markup(svg) for _, svg in figures.round_histograms(story, r)],
            "parts": r.parts,
            "stats": r.stats,
        }
        for r in story.rounds
    ]
    last, most = story.rounds[-1], max(float(r.usage.max()) for r in story.rounds)
    label = f"How often each is used by the elite of round {last.number}"
    data: dict[str, Any] = {
        "kind": "run",
        "run": story.run.name,
        "arity": story.problem.arity,
        "geometry": geometry(story.ground.coords),
        "graph": story.ground.graph,
        "boards": [board["data"] for board in boards],
        "heat": {
            "elite": [r.elite for r in story.rounds],
            "usage": [_bytes(r.usage) for r in story.rounds],
            "most": most,
            "orbits": story.orbits().tolist(),
        },
        "pool": [[*m[:4], _found_by(m), m.round] for m in listed],
    }
    loss, rates = figures.loss_chart(story), figures.rates_chart(story)
    return _render(
        "run.html",
        data,
        title=f"{story.problem.name}, n={story.n}",
        story=story,
        best=story.best,
        place=_place(story.best),
        boards=boards,
        rounds=rounds,
        progress=_progress(lambda axis: figures.progress_charts(story, axis)),
        loss=None if loss is None else Markup(figures.chart_svg(loss)),
        rates=None if rates is None else Markup(figures.chart_svg(rates)),
        heatmap=_svg(heatmap_svg(story.ground.coords, last.usage, most, label)) if most else None,
        cells="cells" if is_board(story.ground.coords) else "elements",
        has_axes=any(board["axes"] for board in boards),
        source=_source(story),
        most=most,
        sizes=_sizes(story),
        listed=len(listed),
        sessions=_sessions(story),
        config=to_toml(story.run.config),
        origins=figures.ORIGIN_TITLES,
        part_titles=figures.TITLES,
        imported=imported(story.pool),
        proposed=from_generator(story.pool, last.stats),
    )


def file_page(held: Collection) -> str:
    """Return the page of constructions that were read from a file."""
    assert held.file is not None
    problem, pool, ground = held.problem, held.pool, held.problem.ground(held.n)
    listed = list(members(problem, pool, held.order[:_LISTED]))
    boards = []
    for i, member in zip(held.order[:_BOARDS].tolist(), listed, strict=False):
        points = pool.points(i)
        name = f"{problem.score_text(member.score)}, symmetry {member.symmetry}"
        svg = _svg(drawn_svg(ground, points, label=name))
        boards.append({"svg": svg, "name": name, "points": ground.coords[points].tolist()})
    limits = int(pool.score.min()), int(pool.score.max())
    used, _ = usage(pool)
    most, best = float(used.max()), held.described(held.pick())
    label = "How often each is used by the best fifth"
    return _render(
        "file.html",
        {"kind": "file"},
        title=f"{problem.name}, n={held.n}",
        problem=problem,
        held=held,
        digest=digest(held.file),
        best=best,
        place=_place(best),
        boards=boards,
        histogram=Markup(figures.histogram_svg(distribution(pool.score), "All", limits)),
        heatmap=_svg(heatmap_svg(ground.coords, used, most, label)) if most else None,
        members=listed,
    )


def comparison_page(stories: Sequence[Story]) -> str:
    """Return a page that lays several runs over each other.

    Raises:
        UsageError: they are of different problems, conventions or sizes; or one run twice.
    """
    kinds = {(s.problem.name, s.problem.convention, s.n) for s in stories}
    if len(kinds) > 1:
        told = "; ".join(f"{s.run.name}: {s.problem.name}, n={s.n}" for s in stories)
        raise UsageError(
            f"runs of one problem, convention and size can be laid over each other, not {told}"
        )
    if len({s.run.path.resolve() for s in stories}) < len(stories):
        raise UsageError("a run is named twice; name each once")
    names = [s.run.name for s in stories]
    limits = figures.score_limits([s.rounds[-1] for s in stories], ("kept",))
    finals = [
        Markup(figures.histogram_svg(s.rounds[-1].parts["kept"], s.run.name, limits))
        for s in stories
        if "kept" in s.rounds[-1].parts
    ]
    found = [best for best in (s.best for s in stories) if best is not None]
    return _render(
        "comparison.html",
        {"kind": "comparison"},
        title=f"{stories[0].problem.name}, n={stories[0].n}: {len(stories)} runs",
        stories=stories,
        story=stories[0],
        place=_place(max(found, key=lambda best: best["score"], default=None)),
        progress=_progress(lambda axis: figures.comparison_charts(stories, names, axis)),
        finals=finals,
        rows=[_summary(s) for s in stories],
    )


def _found_by(member: Member) -> str:
    descent = ", from what was given" if member.imported and member.origin != "import" else ""
    return figures.ORIGIN_TITLES[member.origin] + descent


def _summary(story: Story) -> dict[str, Any]:
    last = story.rounds[-1]
    return {
        "name": story.run.name,
        "generator": story.run.config.generator,
        "seed": story.run.config.seed,
        "rounds": last.number,
        "kept": last.parts.get("kept"),
        "sampled": last.parts.get("sampled"),
        "ended": last.ended,
        "best": story.best,
    }


def _render(name: str, data: dict[str, Any], **more: Any) -> str:
    folder = files("pipeline.report") / "template"

    def read(file: str) -> str:
        return (folder / file).read_text(encoding="utf-8")

    environment = Environment(
        autoescape=True,
        loader=FunctionLoader(read),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "span": span}
    return environment.get_template(name).render(
        data=data,
        style=Markup(read("page.css")),
        script=Markup(read("page.js")),
        version=__version__,
        **more,
    )


def _boards(story: Story, listed: Sequence[Member]) -> list[dict[str, Any]]:
    """Return the best constructions: how they look, and what their points block."""
    boards, room, ground = [], _BLOCKED, story.ground
    for i, member in zip(story.order[:_BOARDS].tolist(), listed, strict=False):
        points = story.pool.points(i)
        fixing = stabiliser(story.pool.cells[i], ground)
        axes = [] if ground.graph else mirrors(ground.coords, ground.group[list(fixing)])
        blocked = None if ground.graph else story.blocked(points)
        size = 0 if blocked is None else sum(map(len, blocked)) + len(blocked)
        if boards and size > room:  # that of the best comes in any case
            blocked = None
        room -= size if blocked is not None else 0
        name = story.problem.score_text(member.score)
        label = f"{name}, symmetry {member.symmetry}"
        drawn = drawn_svg(ground, points, axes=axes, label=label)
        boards.append(
            {
                "svg": _svg(drawn),
                "member": member,
                "name": name,
                "axes": len(axes),
                "points": ground.coords[points].tolist(),
                "data": {"name": name, "points": points.tolist(), "blocked": blocked},
            }
        )
    return boards


def _source(story: Story) -> dict[str, Any] | None:
    """Return where the best came from: the sample behind it, and what search made of that."""
    sample, best = story.sample_behind_best(), story.best
    if best is None or sample is None:
        return None
    points = story.pool.points(story.pool.best())
    added, removed = np.setdiff1d(points, sample), np.setdiff1d(sample, points)
    ground, coords = story.ground, story.ground.coords
    label = f"the best, {len(added)} points added, {len(removed)} removed"
    return {
        "sample": _svg(drawn_svg(ground, sample, label=f"the sample, {len(sample)} points")),
        "result": _svg(
            drawn_svg(ground, points, added=added.tolist(), removed=removed.tolist(), label=label)
        ),
        "size": len(sample),
        "witness": story.problem.witness(sample, story.n) is not None,
        "added": coords[added].tolist(),
        "removed": coords[removed].tolist(),
    }


def _sizes(story: Story) -> list[dict[str, Any]]:
    """Return a row for each size that the run keeps constructions of."""
    rows = []
    for n, pool in sorted(story.pools.items(), reverse=True):
        best = story.best_of(n)
        drawn = None
        if best is not None:
            drawn = drawn_svg(story.problem.ground(n), pool.points(pool.best()))
        rows.append(
            {"n": n, "count": len(pool), "best": best, "place": _place(best), "svg": _svg(drawn)}
        )
    return rows


def _sessions(story: Story) -> list[dict[str, Any]]:
    return [
        {**session, "line": shlex.join(["pipeline", *session["command"]])}
        for session in story.run.info["sessions"]
    ]


def _progress(charts: Any) -> list[tuple[str, str, list[Markup]]]:
    """Return (axis, its title, charts) of each axis there is a trace of."""
    found = []
    for axis, title in (("rounds", "rounds"), ("time", "time"), ("cpu", "CPU seconds")):
        drawn = [
            Markup(figures.chart_svg(c)) for c in charts(axis) if any(x.points for x in c.lines)
        ]
        if drawn:
            found.append((axis, title, drawn))
    return found


def _place(best: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the place of a construction beside the best known; None where none is on record."""
    if best is None or best["best_known"] is None:
        return None
    gap = best["score"] - best["best_known"]
    words = f"{gap} above the best known" if gap > 0 else "equal to the best known"
    return {
        "words": f"{-gap} below the best known" if gap < 0 else words,
        "value": best["best_known"],
        "source": best["best_known_source"],
        "proved": best["best_known_proved"],
    }


def _bytes(shares: np.ndarray) -> str:
    return base64.b64encode(np.rint(shares * _STEPS).astype(np.uint8).tobytes()).decode()


def _svg(drawn: str | None) -> Markup | None:
    return None if drawn is None else Markup(drawn)


def _number(value: float | None, digits: int = 1) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"

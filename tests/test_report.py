"""report, plot and TensorBoard: what a stored run says, and that pictures say the same."""

import hashlib
import io
import json
import shutil
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from importlib import util
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import TINY, contents, only_run

from pipeline.cli.common import problem_of
from pipeline.core.bitset import from_points, unpack
from pipeline.core.population import Population
from pipeline.core.score_stats import distribution
from pipeline.core.symmetry import symmetry_classes
from pipeline.engine.blocking import blocked_by
from pipeline.plugins import load_problem
from pipeline.report import figures
from pipeline.report.board import board_svg, layout, mirrors
from pipeline.report.curves import Chart, curves_svg, plain, ticks
from pipeline.report.gathering import Story
from pipeline.report.rendering import render
from pipeline.storage.run import Run

PLUGINS = Path(__file__).parent / "plugins"
SVG = "{http://www.w3.org/2000/svg}"


class Page(HTMLParser):
    """The elements of a page, the cells of its tables and its data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.rows: list[list[str]] = []
        self.scripts: list[str] = []
        self._in = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags[tag] += 1
        self.ids.add(given.get("id") or "")
        self.links += [given[key] or "" for key in ("src", "href") if key in given]
        self._in = tag
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
        elif tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self._in in ("td", "th") and self.rows:
            self.rows[-1][-1] += data.strip()
        elif self._in == "script":
            self.scripts[-1] += data

    def handle_endtag(self, tag):
        self._in = ""

    @property
    def data(self) -> dict:
        return json.loads(self.scripts[0])


def made(cli, *arguments) -> Page:
    done = cli("report", *arguments)
    assert done.code == 0, done.err
    return Page(Path(done.out.strip()).read_text(encoding="utf-8"))


def story(run: Path) -> Story:
    opened = Run(run)
    return Story(opened, problem_of(opened))


def small_run(cli, root: Path, problem: str, n: int, *more: str) -> Path:
    """Play two rounds without a model."""
    words = ["--seeding", "greedy", "--set", "seeding.count=30", "--set", "search.batches=0"]
    words += ["--set", "sample.count=5", "--set", "search.improve=repair", "--rounds", "1"]
    words += ["--generator", "perturb", "--workers", "1", "--sizes", str(n), "--n", str(n)]
    done = cli("run", problem, *words, *more, "--runs", root)
    assert done.code == 0, done.err
    return only_run(root)


# ----------------------------------------------------------------------------- the page


def test_a_page_is_one_file_that_asks_for_nothing_else(played, cli):
    page = made(cli, played)
    assert {link for link in page.links if not link.startswith("#")} == {"data:,"}
    assert page.tags["script"] == 2
    text = (played / "report.html").read_text(encoding="utf-8")
    assert text.replace("http://www.w3.org/2000/svg", "").count("http") == text.count("http-equiv")
    assert {
        "boards",
        "rounds",
        "progress",
        "usage",
        "model",
        "origin",
        "pool",
        "repeat",
    } <= page.ids


def test_its_statistics_are_those_of_the_rounds(played, cli):
    rows = made(cli, played).rows
    for number in range(3):
        told = json.loads(cli("hist", played, "--round", str(number), "--json").out)
        for what in ("seeded", "sampled", "searched", "kept"):
            if what in told:
                found = told[what]
                values = [
                    "–" if found[key] is None else f"{found[key]:.1f}"
                    for key in ("mean", "median", "top20")
                ]
                best = "–" if found["max"] is None else str(found["max"])
                title = figures.TITLES[what].lower()
                row = [str(number), title, str(found["count"]), *values, best]
                assert row in [r[:7] for r in rows], what


def test_its_pool_is_the_stored_one(played, cli):
    pool = made(cli, played).data["pool"]
    rows = json.loads(cli("export", played, "--top", "1000").out)
    assert Counter((p[1], p[2], p[5]) for p in pool) == Counter(
        (row["score"], row["stabiliser"], row["round"]) for row in rows
    )
    assert len({p[0] for p in pool}) == len(pool)


def test_its_first_board_is_the_best(played, cli):
    page = made(cli, played)
    best = json.loads(cli("best", played, "--json").out)
    coords = page.data["geometry"]["coords"]
    assert [coords[v] for v in page.data["boards"][0]["points"]] == best["points"]


def test_names_and_commands_cannot_break_out(played, cli):
    bad = played.with_name("<!--<script>&'\"<img src=x>")
    played.rename(bad)
    info = json.loads((bad / "run.json").read_text())
    info["sessions"][0]["command"] = ["run", "</script><script>alert(1)</script>"]
    (bad / "run.json").write_text(json.dumps(info))
    page = made(cli, bad)
    assert page.tags["script"] == 2
    assert page.tags["img"] == 0
    assert page.data["run"] == bad.name
    other = Path(shutil.copytree(bad, bad.with_name("other")))
    both = made(cli, bad, other, "-o", bad.parent / "both.html")
    assert both.tags["script"] == 2
    assert both.tags["img"] == 0


def test_a_page_may_be_made_again_but_a_file_of_yours_is_left_alone(played, cli, tmp_path):
    assert cli("report", played).code == cli("report", played).code == 0
    mine = tmp_path / "mine.html"
    mine.write_text("mine")
    refused = cli("report", played, "-o", mine)
    assert (refused.code, mine.read_text()) == (2, "mine")
    assert "--force" in refused.error
    assert cli("report", played, "-o", mine, "--force").code == 0
    assert mine.read_text().startswith("<!doctype html>")
    assert "no folder" in cli("report", played, "-o", tmp_path / "no" / "x.html").error
    assert "is a folder" in cli("report", played, "-o", tmp_path).error


def test_a_report_changes_nothing_that_a_run_promises(played, cli):
    before = contents(played)
    told = json.loads(cli("report", played, "--json").out)
    assert told["file"] == str(played / "report.html")
    assert told["bytes"] == (played / "report.html").stat().st_size
    assert contents(played) == before
    assert cli("resume", played, "--rounds", "2").code == 0


def test_the_browser_is_given_the_file(played, cli, monkeypatch):
    asked = []
    monkeypatch.setattr("webbrowser.open", lambda url: asked.append(url) or True)
    assert cli("report", played, "--open").code == 0
    assert asked == [(played / "report.html").resolve().as_uri()]


def test_a_run_without_a_model_has_no_section_on_it(cli, tmp_path):
    run = small_run(cli, tmp_path, "no-3-in-line", 5)
    page = made(cli, run)
    assert "model" not in page.ids
    assert "candidates" in page.ids
    assert {"boards", "rounds", "progress", "usage", "pool", "repeat"} <= page.ids
    titles = {row[1] for row in page.rows if len(row) == 9}
    assert {"found by local search", "after repair and search"} <= titles


def test_a_graph_and_a_space_are_drawn_and_know_what_is_blocked(cli, tmp_path):
    spec = f"{PLUGINS / 'four_cycle_free.py'}:FourCycleFree"
    graph = made(cli, small_run(cli, tmp_path / "a", spec, 5), "--problem", spec).data
    assert (graph["arity"], graph["geometry"]["plane"]) == (4, False)
    spec = f"{PLUGINS / 'no_five_on_a_sphere.py'}:NoFiveOnASphere"
    space = made(cli, small_run(cli, tmp_path / "b", spec, 2), "--problem", spec).data
    board = space["boards"][0]
    assert len(board["blocked"]) == len(list(combinations(board["points"], 4)))
    places = set(zip(space["geometry"]["rows"], space["geometry"]["columns"], strict=True))
    assert len(places) == 8


FOUR_COORDINATES = """
import numpy as np
from pipeline.problem import Problem, blocking_hook, checker
from pipeline.core.ground_set import GroundSet

@blocking_hook
def block(v, members, size, inside, slot, counts, delta, coords, tables):
    for u in range(len(inside)):
        if u != v and coords[u, 3] == coords[v, 3]:
            counts[slot[u]] += delta

@checker
def check(points, size, coords, witness):
    for i in range(size):
        for j in range(i):
            if coords[points[i], 3] == coords[points[j], 3]:
                witness[0], witness[1] = points[i], points[j]
                return 2
    return 0

class Four(Problem):
    name, arity, hook, checker = "four", 2, block, check

    def ground_set(self, n):
        coords = 1000 * np.argwhere(np.ones((n, n, n, n))).astype(np.int32)  # too far apart
        return GroundSet(n, coords, np.arange(n**4, dtype=np.int32)[None])

    def ground_size(self, n):
        return n**4
"""


def test_what_no_picture_can_show_is_listed(cli, tmp_path):
    plugin = tmp_path / "four.py"
    plugin.write_text(FOUR_COORDINATES)
    spec = f"{plugin}:Four"
    run = small_run(cli, tmp_path / "runs", spec, 2)
    page = made(cli, run, "--problem", spec)
    assert page.data["geometry"] is None
    assert "usage" not in page.ids
    assert "4 coordinates" in (run / "report.html").read_text(encoding="utf-8")
    for what in ("board", "heatmap"):
        to = tmp_path / "x.svg"
        refused = cli("plot", run, "--problem", spec, "--what", what, "-o", to)
        assert (refused.code, len(refused.err.strip().splitlines())) == (2, 1)
        assert "data never" not in refused.err


# --------------------------------------------------------------------------- several runs


def test_runs_are_laid_over_each_other(played, cli, tmp_path):
    other = Path(shutil.copytree(played, played.with_name("other")))
    page = made(cli, played, other, "--runs", tmp_path)
    assert (tmp_path / "comparison.html").is_file()
    best = json.loads(cli("best", played, "--json").out)["score"]
    rows = {row[0]: row for row in page.rows[1:]}
    assert rows[played.name][4] == rows["other"][4] == str(best)


def test_runs_of_different_problems_or_a_run_with_itself_are_refused(played, cli, tmp_path):
    other = small_run(cli, tmp_path / "more", "no-3-in-line", 6)
    refused = cli("report", played, other, "-o", tmp_path / "x.html")
    assert refused.code == 2
    assert "one problem" in refused.error
    assert "twice" in cli("report", played, played, "-o", tmp_path / "x.html").error
    assert not (tmp_path / "x.html").exists()


# ------------------------------------------------------------------------------ bad input


def one_line(done, code: int) -> str:
    assert done.code == code, done
    assert len(done.err.strip().splitlines()) == 1
    return done.error


@pytest.mark.parametrize("command", [["report"], ["plot", "--what", "scores", "-o", "x.svg"]])
def test_runs_that_cannot_be_read_are_one_line(played, cli, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "no run 'nobody'" in one_line(cli(*command, "nobody", "--runs", tmp_path / "runs"), 4)
    # What a killed process was writing is no round.
    shutil.copytree(played / "rounds" / "0002", played / "rounds" / ".writing-0003")
    (played / "rounds" / ".writing-0003" / "n6.parquet").unlink()
    assert cli(*command, played).code == 0
    (tmp_path / "x.svg").unlink(missing_ok=True)
    (played / "rounds" / "0001" / "n6.parquet").unlink()
    assert "damaged or missing" in one_line(cli(*command, played), 4)
    shutil.rmtree(played / "rounds")
    (played / "rounds").mkdir()
    assert "no finished round" in one_line(cli(*command, played), 4)
    assert not (tmp_path / "x.svg").exists()


def test_a_score_that_the_points_do_not_have_is_never_shown(played, cli):
    file = played / "rounds" / "0002" / "n6.parquet"
    _, metadata = Population.read(file)
    every = from_points([np.arange(36, dtype=np.int32)], 36)
    forged = Population.build(6, 36, every, 36)
    forged.write(file, metadata)
    manifest = file.with_name("manifest.json")
    told = json.loads(manifest.read_text())
    told["n6.parquet"] = hashlib.sha256(file.read_bytes()).hexdigest()
    manifest.write_text(json.dumps(told))
    assert "n6.parquet" in one_line(cli("report", played), 4)
    assert not (played / "report.html").exists()


# ------------------------------------------------------------------------------- gathered


def test_the_usage_of_cells_is_counted_over_the_best_fifth(played):
    for found in story(played).rounds:
        pool, _ = Population.read(played / "rounds" / f"{found.number:04d}" / "n6.parquet")
        best = pool.top(max(len(pool) // 5, 1))
        assert found.elite == len(best)
        assert found.usage * len(best) == pytest.approx(unpack(best.cells, 36).sum(axis=0))


def test_what_search_changed_leads_from_the_sample_to_the_best(tmp_path, cli):
    few = ("--seeding", "greedy", "--set", "seeding.count=4")
    assert cli("run", "isosceles", "--n", 6, *TINY, *few, "--runs", tmp_path).code == 0
    played = only_run(tmp_path)
    told = story(played)
    found = [i for i in range(len(told.pool)) if told.pool.came_from("generator")[i]]
    assert found, "the tiny run keeps something from its samples"
    # As if that were the best: the pool is what the story looks at.
    told.pool = told.pool.take([found[0]])
    sample = told.sample_behind_best()
    assert sample is not None
    samples, _ = Population.read(
        played / "rounds" / f"{int(told.pool.round[0]):04d}" / "samples.parquet"
    )
    assert sample.tolist() in [samples.points(i).tolist() for i in range(len(samples))]


def test_breaks_between_sessions_are_left_out(played):
    info = json.loads((played / "run.json").read_text())
    info["sessions"] = [
        {**info["sessions"][0], "started": "2026-01-01T00:00:00+0000"},
        {**info["sessions"][0], "started": "2026-01-02T00:00:00+0000"},
    ]
    (played / "run.json").write_text(json.dumps(info))
    first, second = 1767225600.0, 1767225600.0 + 86400
    events = [
        {"time": first + 5, "event": "best", "n": 6, "score": 7, "origin": "seed", "cpu": 2.0},
        {"time": first + 10, "event": "round", "number": 0, "seconds": 9, "best": 7},
        {"time": first + 10, "event": "cpu", "cpu": 4.0},
        {"time": first + 20, "event": "progress", "done": 1},
        {
            "time": second + 1,
            "event": "best",
            "n": 6,
            "score": 7,
            "origin": "generator",
            "cpu": 0.5,
        },
        {
            "time": second + 2,
            "event": "best",
            "n": 5,
            "score": 99,
            "origin": "generator",
            "cpu": 0.6,
        },
        {
            "time": second + 3,
            "event": "best",
            "n": 6,
            "score": 9,
            "origin": "generator",
            "cpu": 1.0,
        },
        {"time": second + 6, "event": "round", "number": 1, "seconds": 5, "best": 9},
        {"time": second + 6, "event": "cpu", "cpu": 3.0},
    ]
    lines = "\n".join(map(json.dumps, events)) + '\n{"time": torn'
    (played / "events.jsonl").write_text(lines)
    told = story(played)
    assert [(f.score, f.origin, *f.at) for f in told.finds] == [
        (7, "seed", 5.0, 2.0),
        (9, "generator", 23.0, 5.0),
    ]
    assert [r.ended and tuple(r.ended) for r in told.rounds] == [(10.0, 4.0), (26.0, 7.0), None]
    # The last round is not in the log, so it has no place on an axis of time.
    kept = next(
        c for c in figures.progress_charts(told, "time") if c.title == "Kept for the next round"
    )
    assert [point[0] for point in kept.lines[0].points] == [10.0, 26.0]


def test_without_a_log_there_is_progress_over_rounds_alone(played, cli):
    (played / "events.jsonl").unlink()
    made(cli, played)
    text = (played / "report.html").read_text(encoding="utf-8")
    assert 'data-axis="rounds"' in text
    assert 'data-axis="time"' not in text


@pytest.mark.parametrize(
    ("spec", "n"),
    [
        ("isosceles", 6),
        ("no-3-in-line", 6),
        (f"{PLUGINS / 'four_cycle_free.py'}:FourCycleFree", 5),
        (f"{PLUGINS / 'no_four_on_a_circle.py'}:NoFourOnACircle", 4),
    ],
)
def test_what_points_block_is_what_the_validator_refuses(spec, n):
    problem = load_problem(spec)
    ground = problem.ground(n)
    rng = np.random.default_rng(0)
    size = problem.arity - 1
    sets = [sorted(rng.choice(ground.m, size, replace=False).tolist()) for _ in range(12)]
    sets = [s for s in sets if problem.witness(np.array(s), n) is None]
    assert sets
    for chosen, found in zip(sets, blocked_by(problem, n, sets), strict=True):
        others = [u for u in range(ground.m) if u not in chosen]
        cells = from_points([np.array(sorted([*chosen, u]), np.int32) for u in others], ground.m)
        refused = np.flatnonzero(~problem.validate(cells, n))
        assert found == [others[i] for i in refused]


def test_the_axes_of_every_symmetry_class_are_its_reflections():
    ground = load_problem("isosceles").ground(5)
    axes = {
        cls.name: sorted(
            tuple(round(x, 6) for x in axis)
            for axis in mirrors(ground.coords, ground.group[list(cls.elements)])
        )
        for cls in symmetry_classes(ground)
    }
    count = {name: len(found) for name, found in axes.items()}
    assert count == {
        **{"trivial": 0, "half-turn": 0, "quarter-turn": 0, "mirror": 1, "diagonal": 1},
        **{"both-mirrors": 2, "both-diagonals": 2, "all": 4},
    }
    ((a, b, c, d),) = axes["mirror"]  # left and right exchanged: a column stays
    assert b == d == 2
    assert {a, c} == {-0.5, 4.5}


# -------------------------------------------------------------------------------- figures


def test_layers_of_a_space_lie_side_by_side_and_what_has_no_plane_is_not_drawn():
    cube = np.argwhere(np.ones((2, 3, 3))).astype(np.int32)
    places = layout(cube)
    assert places is not None
    assert len({tuple(p) for p in places.tolist()}) == 18
    assert places.max(axis=0).tolist() == [2, 6]
    assert layout(np.array([[0, 0], [0, 10**6]])) is None


def test_more_coordinates_give_blocks_of_blocks():
    places = layout(np.argwhere(np.ones((3, 3, 3, 3, 3))))
    assert places is not None
    assert len({tuple(p) for p in places.tolist()}) == 3**5
    rows = {a + b + c for a in (0, 13, 26) for b in (0, 4, 8) for c in (0, 1, 2)}
    assert set(places[:, 0].tolist()) == rows
    assert set(places[:, 1].tolist()) == {0, 1, 2, 4, 5, 6, 8, 9, 10}


def test_bars_are_as_high_as_their_counts_and_failures_have_their_own():
    found = distribution(np.array([4, 4, 4, 6]), invalid=3, wrong_format=2)
    root = ElementTree.fromstring(figures.histogram_svg(found, "x", (3, 6), failures=True))
    bars = {}
    for bar in root.iter(f"{SVG}rect"):
        title = bar.find(f"{SVG}title")
        assert title is not None
        bars[title.text] = float(bar.attrib["height"])
    assert list(bars) == ["3: 0", "4: 3", "5: 0", "6: 1", "invalid: 3", "wrong format: 2"]
    assert bars["3: 0"] == 0
    assert bars["4: 3"] == bars["invalid: 3"] == pytest.approx(3 * bars["6: 1"], abs=0.2)


def test_many_scores_share_bars():
    found = distribution(np.arange(100))
    root = ElementTree.fromstring(figures.histogram_svg(found, "x", (0, 99)))
    titles = [title.text or "" for title in root.iter(f"{SVG}title")][1:-2]
    assert len(titles) <= 40
    assert sum(int(title.rpartition(": ")[2]) for title in titles) == 100


@pytest.mark.parametrize(("low", "high"), [(0, 1), (3.5, 3.6), (0, 1e6), (-2.5, 7)])
def test_ticks_are_round_rising_and_few(low, high):
    found = ticks(low, high)
    assert 2 <= len(found) <= 9
    assert found == sorted(found)
    assert low <= found[0]
    assert found[-1] <= high
    assert all(tick == int(tick) for tick in ticks(low, high, whole=True))


def test_a_value_that_is_missing_is_no_point():
    assert plain("a", [(0, None), (1, 2.0)]).points == [(1, 2.0, 2.0, 2.0)]
    svg = curves_svg([Chart("t", [plain("a", [])], across="round", logarithmic=False)], "x")
    assert "no trace of round" in svg


# ----------------------------------------------------------------------------------- plot


@pytest.mark.parametrize("what", ["scores", "progress", "board", "heatmap"])
def test_every_figure_is_written_in_every_format(played, cli, tmp_path, what):
    pytest.importorskip("matplotlib")
    magic = {"svg": b"<svg", "pdf": b"%PDF", "png": b"\x89PNG"}
    for kind, start in magic.items():
        file = tmp_path / f"x.{kind}"
        done = cli("plot", played, "--what", what, "-o", file)
        assert (done.code, done.out.strip()) == (0, str(file)), done.err
        assert file.read_bytes().startswith(start)
    ElementTree.parse(tmp_path / "x.svg")


def test_a_picture_has_a_dot_where_each_point_is():
    pytest.importorskip("matplotlib")
    image = pytest.importorskip("PIL.Image")
    coords = np.argwhere(np.ones((4, 4))).astype(np.int32)
    drawn = board_svg(coords, np.array([1, 11]))
    assert drawn is not None
    shades = np.asarray(image.open(io.BytesIO(render(drawn, "png"))).convert("L"))
    step = len(shades) / 4
    dark = [
        (r, c)
        for r in range(4)
        for c in range(4)
        if shades[int((r + 0.5) * step), int((c + 0.5) * step)] < 128
    ]
    assert dark == [(0, 1), (2, 3)]


def test_a_board_may_be_of_an_earlier_round_and_in_tikz(played, cli, tmp_path):
    file = tmp_path / "x.tex"
    assert cli("plot", played, "--what", "board", "--round", "0", "-o", file).code == 0
    best = story(played).rounds[0].parts["kept"]["max"]
    assert file.read_text().count("\\fill") == best


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--what", "scores", "-o", "x.jpg"], "no format of that name"),
        (["--what", "scores", "-o", "x"], "no format of that name"),
        (["--what", "scores", "-o", "x.tex"], "draws a board alone"),
        (["--what", "progress", "--round", "1", "-o", "x.svg"], "leave it out"),
        (["--what", "board", "-o", "there.svg"], "--force"),
        (["--what", "picture", "-o", "x.svg"], "picture"),
    ],
)
def test_what_cannot_be_plotted_is_told_in_a_line(
    played, cli, tmp_path, monkeypatch, options, words
):
    monkeypatch.chdir(tmp_path)
    Path("there.svg").write_text("mine")
    assert words in one_line(cli("plot", played, *options), 2)
    assert Path("there.svg").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["runs", "there.svg"]


def test_a_round_that_is_not_there_is_named(played, cli, tmp_path):
    done = cli("plot", played, "--what", "board", "--round", "7", "-o", tmp_path / "x.svg")
    assert "no round 7" in one_line(done, 4)


def without(monkeypatch, package: str) -> None:
    found = util.find_spec
    monkeypatch.setattr(
        util, "find_spec", lambda name, *more: None if name == package else found(name, *more)
    )


def test_a_missing_matplotlib_is_one_line_and_svg_needs_none(played, cli, tmp_path, monkeypatch):
    without(monkeypatch, "matplotlib")
    refused = cli("plot", played, "--what", "board", "-o", tmp_path / "x.pdf")
    assert "pip install 'extremal-pipeline[plot]'" in one_line(refused, 1)
    assert cli("plot", played, "--what", "board", "-o", tmp_path / "x.svg").code == 0


def test_looking_never_loads_torch(played):
    code = (
        "import sys\nfrom pipeline.cli.commands import call\n"
        "assert call(['report', sys.argv[1]]) == 0\n"
        "assert call(['plot', sys.argv[1], '--what', 'board', '-o', sys.argv[1] + '/b.svg']) == 0\n"
        "assert not {'torch', 'matplotlib', 'tensorboard'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(played)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------------------- TensorBoard


def test_tensorboard_gets_what_the_rounds_say_and_the_run_stays_the_same(played, cli, tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    words = ["run", "isosceles", "--n", "6", *TINY, "--tensorboard", "--runs", tmp_path / "tb"]
    done = cli(*words)
    assert done.code == 0, done.err
    run = only_run(tmp_path / "tb")
    assert contents(run) == contents(played)

    def read() -> dict:
        sizes = {"scalars": 0, "histograms": 0, "images": 0}
        log = events.EventAccumulator(str(run / "tensorboard"), sizes)
        log.Reload()
        assert [image.step for image in log.Images("best")] == [0, 1, 2]
        told = {tag: {e.step: e.value for e in log.Scalars(tag)} for tag in log.Tags()["scalars"]}
        for event in log.Histograms("scores/kept"):
            bars = zip(
                event.histogram_value.bucket_limit, event.histogram_value.bucket, strict=True
            )
            told |= {("bars", event.step): {str(int(end)): n for end, n in bars if n}}
        return told

    told = read()
    for number in range(3):
        stats = Run(run).stats(number)
        assert told["scores/kept/max"][number] == stats["pool"]["6"]["max"]
        assert told["bars", number] == stats["pool"]["6"]["histogram"]
        if number:
            assert told["samples/validity"][number] == pytest.approx(stats["validity"])
    # Taken up again with nothing left to play: the log is made anew, and says the same.
    assert cli("resume", run, "--tensorboard").code == 0
    assert len(list((run / "tensorboard").iterdir())) == 1
    assert read() == told


def test_a_missing_tensorboard_is_one_line_and_starts_no_run(cli, tmp_path, monkeypatch):
    without(monkeypatch, "tensorboard")
    done = cli("run", "isosceles", "--n", "6", *TINY, "--tensorboard", "--runs", tmp_path / "x")
    assert "pip install 'extremal-pipeline[tensorboard]'" in one_line(done, 1)
    assert not (tmp_path / "x").exists()


def test_a_log_for_tensorboard_that_cannot_be_written_stops_nothing(cli, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    from pipeline.report.tensorboard import TensorBoard

    def full(self, number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TensorBoard, "add", full)
    done = cli("run", "isosceles", "--n", "6", *TINY, "--tensorboard", "--runs", tmp_path / "x")
    assert done.code == 0
    assert "No space left on device" in done.err
    assert Run(only_run(tmp_path / "x")).rounds() == [0, 1, 2]

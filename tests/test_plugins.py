"""Plugins: checked before they are believed, loaded with their neighbours, kept by their runs."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline import plugin_check, plugin_notes
from pipeline.cli import look
from pipeline.core.ground_set import GroundSet
from pipeline.errors import PipelineError, RunError, UsageError
from pipeline.executors import Processes
from pipeline.model.tokens import make_encoder
from pipeline.plugin_files import digest, sources
from pipeline.plugins import check_unchanged, kept_files, load_problem

PLUGINS = Path(__file__).parent / "plugins"
CLASS = "Numbers"

#: No two numbers of 0 .. n - 1 that differ by one; what is in braces makes it wrong.
SOURCE = """
import numpy as np
{imports}
from pipeline.problem import Definition, Problem, blocking_hook, checker
from pipeline.core.ground_set import GroundSet

@blocking_hook
def block(v, members, size, inside, slot, counts, delta, coords, tables):
    m = len(inside)
    for u in (v - 1, v + 1):
        if 0 <= u < m:
            counts[slot[u{outside}]] += delta

@checker
def check(points, size, coords, witness):
    for i in range({checked}):
        if coords[points[i], 0] + 1 == coords[points[i + 1], 0]:
            witness[0], witness[1] = points[i], points[i + 1]
            return 2
    return 0

def inside(point, n):
    return True

def forbidden(points, convention):
    (a,), (b,) = sorted(points)
    return b - a == {apart}

class Numbers(Problem):
    name = "numbers"
    arity = 2
    hook = block
    checker = check
    {definition}

    def ground_size(self, n):
        return n

    def tables(self, n):
        return {tables}

    def ground_set(self, n):
        numbers = np.arange(n)
        group = {group}
        return GroundSet(n, {coords}, group[: 1 if n == 1 else 2])
"""
RIGHT = {
    "imports": "",
    "outside": "",
    "checked": "size - 1",
    "apart": "1",
    "definition": "definition = Definition(inside, forbidden)",
    "tables": "()",
    "group": "np.stack([numbers, n - 1 - numbers])",
    "coords": "numbers[:, None]",
}


@pytest.fixture
def plugin(tmp_path):
    """Write a plugin into a folder of its own, and return its spec."""

    def write(folder="one", **parts):
        file = tmp_path / folder / "numbers_apart.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(SOURCE.format_map(RIGHT | parts), encoding="utf-8")
        sys.modules.pop("pipeline_plugin_numbers_apart", None)
        return f"{file}:{CLASS}"

    return write


def first_wrong(spec):
    return next(one for one in plugin_check.check_plugin(spec) if one.wrong)


# --------------------------------------------------------------------------------- the check


def test_a_sound_plugin_with_numpy_s_own_integers_passes_every_check(plugin, cli):
    found = cli("check", plugin())
    assert found.code == 0, found.out
    assert {line.split()[0] for line in found.out.splitlines()} == {
        "ok",
        "speed",
        "memory",
        "certificate:",
    }
    assert "tokens" in found.out


WRONG = [
    ({"outside": " + 1000000"}, "bounds of the arrays", "numbers_apart.py, line 12: the hook"),
    ({"checked": "0", "definition": ""}, "hook against checker", "the hook counted 1"),
    ({"checked": "0"}, "checker against definition", "may not be together"),
    ({"apart": "2"}, "checker against definition", "the definition says"),
    ({"group": "np.stack([numbers, (numbers + 1) % n])"}, "ground set", "group"),
    ({"tables": "(np.array([0.5]),)"}, "tables", "expected whole numbers, got float64"),
    ({"coords": "numbers[:, None] / 2"}, "", "coords: expected int32 (m, d), not empty, got float"),
    ({"coords": "numbers[:, None] + 2**40"}, "", "numbers that int32 holds"),
    ({"coords": "numbers[:3, None]"}, "", "expected int32 (g, "),
]


@pytest.mark.parametrize(("parts", "what", "says"), WRONG)
def test_a_wrong_plugin_fails_the_check_that_finds_it(parts, what, says, plugin):
    found = first_wrong(plugin(**parts))
    assert what in found.what
    assert says in found.wrong


def test_a_process_that_dies_is_a_check_that_failed(plugin):
    source = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    found = first_wrong(plugin(imports=source))
    assert "died of SIGSEGV" in found.wrong


def test_the_check_leaves_with_3_and_says_what_is_wrong_as_json_too(plugin, cli):
    found = cli("check", plugin(tables="(np.array([0.5]),)"), "--json")
    told = json.loads(found.out)
    assert (found.code, told["ok"]) == (3, False)
    assert next(one["what"] for one in told["checks"] if one["wrong"]) == "tables"


@pytest.mark.parametrize("command", ["run", "search", "solve"])
def test_a_plugin_that_fails_is_refused_at_its_first_use(command, plugin, cli, tmp_path):
    spec = plugin(checked="0", definition="")
    folder = [] if command == "solve" else ["--runs", tmp_path / "runs"]
    found = cli(command, spec, "--n", 5, *folder)
    assert found.code == 3
    assert "hook against checker" in found.error
    assert not (tmp_path / "runs").exists()


def test_a_plugin_is_checked_once_and_again_when_its_file_changes(plugin, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(plugin_check.jit, "folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(plugin_check, "check_plugin", lambda *a, **k: asked.append(a) or iter(()))
    spec = plugin()
    for _ in range(2):
        plugin_check.check_first_use(load_problem(spec))
    assert len(asked) == 1
    plugin_check.check_first_use(load_problem(plugin(imports="# changed")))
    assert len(asked) == 2
    plugin_check.check_first_use(load_problem("isosceles"))
    assert len(asked) == 2


# ------------------------------------------------------------------------------ what it gives


def test_integers_of_any_width_are_coordinates_and_permutations_if_int32_holds_them():
    numbers = np.arange(3)
    ground = GroundSet(3, numbers[:, None], numbers[None])
    assert (ground.coords.dtype, ground.group.dtype) == (np.int32, np.int32)
    with pytest.raises(ValueError, match="numbers that int32 holds"):
        GroundSet(3, numbers[:, None] + 2**31, numbers[None])


def test_a_ground_set_that_is_none_is_one_line_that_names_the_problem(plugin):
    problem = load_problem(plugin(coords="numbers[:, None] / 2"))
    with pytest.raises(PipelineError, match="the ground set of numbers at n=4: coords: expected"):
        problem.ground(4)


@pytest.mark.parametrize("kind", ["points", "orbits", "dense"])
def test_places_of_several_dimensions_have_tokens_of_their_own(kind):
    grounds = {}
    for n in (1, 2, 3):
        places = np.stack(np.meshgrid(*[np.arange(2)] * n), axis=-1).reshape(-1, n)
        grounds[n] = GroundSet(n, places, np.arange(len(places))[None])
    encoder = make_encoder(kind, grounds)
    for n, ground in grounds.items():
        cells = np.arange(2 ** min(ground.m, 8), dtype=np.uint8)[:, None]
        back, ok = encoder.decode(encoder.encode(cells, n), n)
        assert ok.all()
        assert (back == cells).all()


def test_what_goes_by_places_says_that_their_dimensions_differ():
    from pipeline.model.coordinate_embedding import distinct_coordinates

    grounds = {n: GroundSet(n, np.zeros((1, n), np.int32), np.zeros((1, 1), int)) for n in (1, 2)}
    with pytest.raises(UsageError, match="another number of coordinates at each size; use"):
        distinct_coordinates(
            make_encoder("points", grounds), "model.embedding", "coordinates", "free"
        )


# ---------------------------------------------------------------------------------- neighbours


def test_two_plugins_with_neighbours_of_one_name_each_have_their_own(plugin, tmp_path):
    names = []
    for folder, value in (("one", 1), ("two", 2)):
        spec = plugin(folder, imports="from near import NAME", definition="title = NAME")
        (tmp_path / folder / "near.py").write_text(f"NAME = 'neighbour {value}'\n")
        names.append(load_problem(spec).title)
    assert names == ["neighbour 1", "neighbour 2"]
    assert not any(str(tmp_path) in place for place in sys.path)


def title_of(spec):
    return load_problem(spec).title


def test_a_worker_finds_the_neighbour_too(plugin, tmp_path):
    spec = plugin(imports="from near import NAME", definition="title = NAME")
    (tmp_path / "one" / "near.py").write_text("NAME = 'neighbour'\n")
    workers = Processes(1)
    try:
        assert list(workers.map(title_of, [spec])) == ["neighbour"]
    finally:
        workers.close()


def test_a_neighbour_hides_nothing_that_is_installed(plugin, tmp_path):
    spec = plugin(imports="import json, problems.isosceles", definition="title = json.__name__")
    (tmp_path / "one" / "json.py").write_text("raise SystemExit\n")
    (tmp_path / "one" / "problems.py").write_text("raise SystemExit\n")
    assert load_problem(spec).title == "json"


def test_a_changed_neighbour_changes_the_fingerprint(plugin, tmp_path):
    spec = plugin(imports="import near")
    file, near = Path(spec.rpartition(":")[0]), tmp_path / "one" / "near.py"
    near.write_text("A = 1\n")
    (tmp_path / "one" / "not_imported.py").write_text("")
    load_problem(spec)
    before = sources(file)
    assert set(before) == {"numbers_apart.py", "near.py"}
    near.write_text("A = 2\n")
    assert digest(sources(file)) != digest(before)


def test_the_shipped_problems_are_ours_whatever_lies_in_the_working_directory(tmp_path):
    (tmp_path / "problems").mkdir()
    for name in ("__init__", "isosceles", "no_three_in_line"):
        (tmp_path / "problems" / f"{name}.py").write_text("raise SystemExit('not ours')\n")
    for path in ([], ["-c", "import sys; sys.path.insert(0, ''); import pipeline.__main__ as m"]):
        words = [*path] if path else ["-m", "pipeline", "problems"]
        if path:
            words[1] += "; m.main(['problems'])"
        found = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert found.returncode == 0, found.stderr
        assert "isosceles: no three points" in found.stdout


# ------------------------------------------------------------------------- what a run keeps of it


@pytest.fixture
def run(plugin, cli, tmp_path):
    """A run of the plugin, and its spec."""
    spec = plugin()
    words = [
        "--rounds",
        0,
        "--workers",
        1,
        "--method",
        "anneal",
        "--set",
        "seeding.batches=1",
        "--set",
        "seeding.moves=2000",
    ]
    found = cli("search", spec, "--n", 5, *words, "--runs", tmp_path / "runs")
    assert found.code == 0, found.err
    (path,) = (tmp_path / "runs").iterdir()
    return path, spec


def test_a_run_keeps_its_plugin_and_goes_on_with_it_where_it_was_moved_unless_it_changed(
    run, cli, tmp_path
):
    path, spec = run
    file = Path(spec.rpartition(":")[0])
    assert (path / "plugin-numbers_apart.py").read_bytes() == file.read_bytes()
    moved = tmp_path / "elsewhere" / file.name
    moved.parent.mkdir()
    shutil.move(file, moved)
    refused = cli("resume", path)
    assert (refused.code, "data never loads code" in refused.err) == (2, True)
    found = cli("resume", path, "--problem", f"{moved}:{CLASS}", "--rounds", 1)
    assert found.code == 0, found.err
    assert f"verified by {moved}:{CLASS}" in " ".join(found.out.split())
    moved.write_text(moved.read_text() + "# another\n")
    sys.modules.pop("pipeline_plugin_numbers_apart")
    refused = cli("resume", path, "--problem", f"{moved}:{CLASS}", "--rounds", 2)
    assert refused.code == 4
    assert "numbers_apart.py changed since" in refused.error


def test_the_numbers_of_a_run_need_no_code_and_its_best_does(run, cli):
    path, spec = run
    sys.modules.pop("pipeline_plugin_numbers_apart")
    for command in ("show", "hist"):
        alone = cli(command, path)
        assert alone.code == 0, alone.err
        assert "seeded" in alone.out
        assert json.loads(cli(command, path, "--json").out)
    assert "pipeline_plugin_numbers_apart" not in sys.modules
    told = cli("show", path)
    assert told.out.splitlines()[-1].endswith(f"add --problem {spec}")
    assert cli("show", path, "--rank", 1).code == 2
    assert json.loads(cli("show", path, "--json").out)["best"] is None
    best = cli("best", path, "--problem", spec).out
    assert best.splitlines()[-1] == "0, 2, 4"  # there is no board of numbers
    assert best.splitlines()[-1] == cli("show", path, "--problem", spec).out.splitlines()[-1]


def test_of_many_points_some_are_written(monkeypatch):
    monkeypatch.setattr(look, "_SHOWN", 2)
    assert look._listed([[0, 1, 2, 0], [1, 1, 1, 1]]) == "(0, 1, 2, 0), (1, 1, 1, 1)"
    assert look._listed([[7], [8], [9]]) == "7, 8, ..."


def test_a_damaged_note_of_the_plugin_is_one_line(plugin, tmp_path):
    problem = load_problem(plugin())
    for name, data in kept_files(problem.plugin).items():
        (tmp_path / name).write_bytes(data)
    check_unchanged(tmp_path, problem.plugin)
    for damage in ("[" * 100_000, "{}", '{"sha256": 1, "files": 2}'):
        (tmp_path / "plugin.json").write_text(damage)
        with pytest.raises(RunError, match="restore it"):
            check_unchanged(tmp_path, problem.plugin)


def test_a_problem_that_is_installed_leaves_nothing_behind():
    assert kept_files(load_problem("isosceles").plugin) == {}


@pytest.mark.parametrize(
    ("spec", "n", "advice"),
    [
        (f"{PLUGINS / 'easy' / 'grids.py'}:Isosceles", 5, ""),
        (f"{PLUGINS / 'easy' / 'grids.py'}:Isosceles", 64, "the forbidden sets are not listed"),
        (f"{PLUGINS / 'no_five_on_a_sphere.py'}:NoFiveOnASphere", 12, "find_blockers"),
    ],
)
def test_check_measures_the_size_that_is_named_and_says_what_to_do_where_it_is_slow(
    spec, n, advice, monkeypatch
):
    monkeypatch.setattr(plugin_notes, "SLOW", 1e12 if "five" in spec else 0)
    problem = load_problem(spec)
    told = {one.what: one for one in plugin_notes.notes(problem, n)}
    speed, memory = told["speed"], told["memory"]
    assert re.match(r"[\d,]+ calls of the hook in a second; set up in \S+ s", speed.text)
    assert advice in speed.text
    assert ("slow" in speed.text or "not listed" in speed.text) == bool(advice)
    assert speed.numbers["hook_calls_per_second"] > 0
    assert memory.numbers["table_bytes"] == sum(t.nbytes for t in problem.hook_tables(n))


def test_a_size_too_large_to_look_at_all_small_sets_is_measured_and_smaller_ones_checked(cli):
    spec = f"{PLUGINS / 'easy' / 'progressions.py'}"
    done = cli("check", spec, "--n", 300, "--json")
    found = json.loads(done.out)["checks"]
    assert done.code == 0, done.err
    sizes = {one["what"]: one["sizes"] for one in found}
    assert sizes["speed"] == sizes["memory"] == [300]
    assert max(sizes["ground set"]) < 300

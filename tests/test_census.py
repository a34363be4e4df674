"""Every largest set, and counting up to symmetry: against published counts and naive oracles."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import oracles
import pytest

from pipeline.core import bitset
from pipeline.core.symmetry import apply, stabiliser_names
from pipeline.engine.equivalence_classes import equivalence_classes
from pipeline.engine.exact import Question, every
from pipeline.engine.exact_cover import Found, cover_all
from pipeline.plugins import load_problem

PLUGINS = Path(__file__).resolve().parent / "plugins"
FOUR_CYCLE = f"{PLUGINS / 'four_cycle_free.py'}:FourCycleFree"
CIRCLE = f"{PLUGINS / 'no_four_on_a_circle.py'}:NoFourOnACircle"

#: n; sets of 2n points of which no three are in line, all (OEIS A000755) and up to symmetry
#: (OEIS A000769).
PUBLISHED = [(2, 1, 1), (3, 2, 1), (4, 11, 4), (5, 32, 5), (6, 50, 11), (7, 132, 22)]
PUBLISHED += [(8, 380, 57), (9, 368, 51), (10, 1135, 156)]
SLOW = [(11, 1120, 158), (12, 4348, 566)]


def solve_all(cli, problem, n, *more):
    done = cli("solve", problem, "--n", n, "--all", "--workers", 1, "--json", *more)
    assert done.code == 0, done.err
    return json.loads(done.out)


def rows(cells):
    return sorted(row.tobytes() for row in cells)


def collected(spec, n, size, symmetry="trivial", convention=""):
    """Return what the exhaustive search finds of a size, in one piece."""
    parts = list(every(Question(spec, convention, n, symmetry), size))
    assert [last for _, _, last in parts] == [False] * (len(parts) - 1) + [True]
    return np.concatenate([cells for cells, _, _ in parts])


# --------------------------------------------------------------------------- every largest set


@pytest.mark.parametrize(
    ("n", "sets", "inequivalent"),
    [*PUBLISHED, *[pytest.param(*case, marks=pytest.mark.slow) for case in SLOW]],
)
def test_no_three_in_line_has_as_many_solutions_as_published(n, sets, inequivalent, cli):
    found = solve_all(cli, "no-3-in-line", n)
    assert (found["size"], found["complete"]) == (2 * n, True)
    assert (found["constructions"], found["inequivalent"]) == (sets, inequivalent)
    # A set with a stabiliser of order k has 8 / k images.
    assert sum(8 // kind["order"] * kind["inequivalent"] for kind in found["stabilisers"]) == sets
    for kind in found["stabilisers"]:
        assert kind["constructions"] == 8 // kind["order"] * kind["inequivalent"]


@pytest.mark.parametrize("n", range(2, 7))
def test_two_searches_that_share_nothing_find_the_same_sets(n):
    by_quotas = cover_all(load_problem("no-3-in-line"), n).cells
    assert rows(collected("no-3-in-line", n, 2 * n)) == rows(by_quotas)


@pytest.mark.parametrize(
    ("spec", "n", "convention"),
    [
        *[
            ("isosceles", n, convention)
            for n in (1, 2, 3, 4)
            for convention in ("", "flat-allowed")
        ],
        ("no-3-in-line", 1, ""),
        *[(FOUR_CYCLE, n, "") for n in (2, 3, 4, 5)],
        *[(CIRCLE, n, "") for n in (2, 3)],
    ],
)
def test_the_largest_sets_are_those_of_all_sets_tried_one_by_one(spec, n, convention):
    problem = load_problem(spec, convention or None)
    m = problem.ground(n).m
    numbers = np.arange(2**m, dtype=np.uint32)
    cells = bitset.pack((numbers[:, None] >> np.arange(m, dtype=np.uint32)) & 1 == 1)
    valid = cells[problem.validate(cells, n)]
    score = bitset.popcounts(valid)
    largest = valid[score == score.max()]
    found = collected(spec, n, int(score.max()), convention=convention)
    assert rows(found) == rows(largest)


def test_with_a_symmetry_they_are_those_of_all_that_have_it(cli):
    for symmetry in ("mirror", "half-turn"):
        found = solve_all(cli, "isosceles", 4, "--symmetry", symmetry)
        problem = load_problem("isosceles")
        oracle = [
            points
            for points in combinations([(r, c) for r in range(4) for c in range(4)], found["size"])
            if oracles.no_isosceles(list(points)) and _has(points, symmetry)
        ]
        assert found["constructions"] == len(oracle) > 0
        known = problem.known(4)
        assert known is not None
        assert known.value >= found["size"]


def _has(points, symmetry):
    moves = {"mirror": lambda r, c: (r, 3 - c), "half-turn": lambda r, c: (3 - r, 3 - c)}
    return {moves[symmetry](r, c) for r, c in points} == set(points)


def test_isosceles_is_counted_by_the_exhaustive_search(cli):
    found = solve_all(cli, "isosceles", 6)
    assert (found["size"], found["method"]) == (9, "exhaustive search")
    assert (
        sum(8 // k["order"] * k["inequivalent"] for k in found["stabilisers"])
        == (found["constructions"])
    )


def test_what_is_written_is_verified_and_counted_again(cli, tmp_path):
    whole, some = tmp_path / "all.json", tmp_path / "some.json"
    solve_all(cli, "no-3-in-line", 6, "-o", whole)
    solve_all(cli, "no-3-in-line", 6, "-o", some, "--inequivalent")
    assert (len(json.loads(whole.read_text())), len(json.loads(some.read_text()))) == (50, 11)
    assert cli("verify", whole).code == cli("verify", some).code == 0
    for file in (whole, some):
        ((line,),) = [s["scores"] for s in json.loads(cli("count", file, "--json").out)["sizes"]]
        assert (line["score"], line["inequivalent"]) == (12, 11)
    orders = sorted(row["stabiliser"] for row in json.loads(some.read_text()))
    assert sum(8 // order for order in orders) == 50


def test_it_says_what_it_found_in_words(cli):
    out = cli("solve", "no-3-in-line", "--n", 4, "--all").out
    assert "no-3-in-line, n=4: 11 sets of 8 points, 4 up to the 8 symmetries that are known" in out
    lines = [line.split() for line in out.splitlines()]
    assert ["in", "all", "4", "11"] in lines
    assert ["both-diagonals", "4", "1", "2"] in lines


def test_when_the_time_is_up_it_says_so_and_counts_what_it_has(cli):
    words = ("solve", "no-3-in-line", "--n", 14, "--all", "--time", "0.001")
    found = cli(*words)
    assert found.code == 0
    assert "at least" in found.out
    assert "so far; stopped when the time was up" in found.out
    assert json.loads(cli(*words, "--json").out)["complete"] is False


def test_stopped_by_ctrl_c_it_keeps_what_it_has(cli, monkeypatch, tmp_path):
    cells = cover_all(load_problem("no-3-in-line"), 5).cells[:3]

    def stopped(problem, n, symmetry):
        yield Found(cells, 10, False, cells[0])
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.engine.exact_cover.sweep", stopped)
    file = tmp_path / "three.json"
    found = cli("solve", "no-3-in-line", "--n", 5, "--all", "-o", file)
    assert (found.code, "stopped at Ctrl-C" in found.out) == (130, True)
    assert len(json.loads(file.read_text())) == 3


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["no-3-in-line", "--n", 6, "--inequivalent"], 2, "--inequivalent goes with --all"),
        (["isosceles", "--n", 15, "--all", "--time", "1"], 1, "--all needs the largest size"),
        (["isosceles", "--n", 80, "--all"], 2, "too many for exhaustive search"),
        (["no-3-in-line", "--n", 6, "--all", "--symmetry", "miror"], 2, "did you mean 'mirror'"),
        (["no-3-in-line", "--n", 200, "--all"], 2, "choose a smaller n"),
    ],
)
def test_bad_input_of_solve_all_is_one_line(words, code, complaint, cli):
    refused = cli("solve", *words, "--workers", 1)
    assert (refused.code, complaint in refused.error) == (code, True), refused.err


# ------------------------------------------------------------------------------------ the census


def images(points, n):
    """Return what the eight symmetries of the square make of a set."""
    found = []
    for _ in range(4):
        points = frozenset((c, n - 1 - r) for r, c in points)
        found += [points, frozenset((r, n - 1 - c) for r, c in points)]
    return found


def test_a_census_counts_classes_and_stabilisers_as_a_naive_one_does():
    ground = load_problem("isosceles").ground(3)
    every_set = np.arange(1, 512)[:, None] >> np.arange(9) & 1 == 1
    cells = bitset.pack(every_set[::3])
    found = equivalence_classes(cells, ground)
    naive = {}
    for row in every_set[::3]:
        moved = images(frozenset(divmod(int(v), 3) for v in np.flatnonzero(row)), 3)
        naive.setdefault(frozenset(moved), 0)
        naive[frozenset(moved)] += 1
    assert (found.constructions, found.inequivalent) == (len(cells), len(naive))
    by_order = {}
    for orbit, many in naive.items():
        counts = by_order.setdefault(8 // len(orbit), [0, 0])
        counts[0], counts[1] = counts[0] + 1, counts[1] + many
    told = {}
    for kind in found.kinds:
        counts = told.setdefault(kind.order, [0, 0])
        counts[0], counts[1] = counts[0] + kind.inequivalent, counts[1] + kind.constructions
    assert told == by_order
    firsts = [
        frozenset(images(map(lambda v: divmod(int(v), 3), np.flatnonzero(row)), 3))
        for row in bitset.unpack(cells[found.first], 9)
    ]
    assert len(set(firsts)) == len(firsts)


def test_stabilisers_have_one_name_whichever_image_is_looked_at():
    ground = load_problem("isosceles").ground(4)
    sets = {
        "mirror": [(0, 0), (0, 3)],
        "diagonal": [(0, 0), (1, 1)],
        "both-mirrors": [(0, 1), (0, 2), (3, 1), (3, 2)],
        "quarter-turn": [(0, 1), (1, 3), (3, 2), (2, 0)],
        "half-turn": [(0, 1), (3, 2)],
        "all": [(0, 0), (0, 3), (3, 0), (3, 3)],
        "trivial": [(0, 0), (0, 1), (1, 3)],
    }
    for name, points in sets.items():
        row = bitset.from_points([np.array([4 * r + c for r, c in points])], 16)
        moved = apply(np.repeat(row, 8, axis=0), ground, np.arange(8))
        assert set(stabiliser_names(moved, ground)) == {name}


# ---------------------------------------------------------------------------------------- count


def test_the_pool_of_a_run_is_counted_by_score(played, cli):
    out = json.loads(cli("count", played, "--json").out)
    (size,) = out["sizes"]
    pool = json.loads(cli("export", played, "--top", 100_000).out)
    some = json.loads(cli("export", played, "--top", 100_000, "--inequivalent").out)
    for line in size["scores"]:
        score = line["score"]
        assert line["constructions"] == sum(row["score"] == score for row in pool)
        assert line["inequivalent"] == sum(row["score"] == score for row in some)
        assert sum(k["inequivalent"] for k in line["stabilisers"]) == line["inequivalent"]
    assert [line["score"] for line in size["scores"]] == sorted(
        {row["score"] for row in pool}, reverse=True
    )
    told = cli("count", played).out
    symmetries = "the 8 symmetries that are known"
    assert told.startswith(f"isosceles (flat-forbidden), n=6; inequivalent: up to {symmetries}\n")
    assert size["up_to"] == symmetries
    assert json.loads(cli("count", played, "--n", 5, "--json").out)["sizes"][0]["n"] == 5


@pytest.mark.parametrize(
    ("problem", "n", "words"),
    [
        ("cap-sets", 4, "the 16 symmetries that are known"),  # of all affine maps
        ("girth-5", 5, "isomorphism"),
    ],
)
def test_it_is_said_up_to_what_constructions_are_told_apart(problem, n, words):
    assert load_problem(problem).ground(n).up_to == words


def test_constructions_of_several_sizes_in_a_file_are_counted_apart(cli, tmp_path):
    file = tmp_path / "mixed.json"
    sets = [(3, [[0, 0]]), (2, [[0, 1]]), (2, [[1, 0]]), (2, [[1, 0]])]
    file.write_text(json.dumps([{"problem": "isosceles", "n": n, "points": p} for n, p in sets]))
    sizes = json.loads(cli("count", file, "--json").out)["sizes"]
    counts = [
        (s["n"], [(c["constructions"], c["inequivalent"]) for c in s["scores"]]) for s in sizes
    ]
    assert counts == [(2, [(2, 1)]), (3, [(1, 1)])]


@pytest.mark.parametrize(
    ("content", "more", "code", "complaint"),
    [
        (None, [], 2, "no such file"),
        ("[", [], 1, "is not JSON"),
        ('{"problem": "isosceles", "n": 3, "points": [[0, 0]]}', ["--n", 4], 2, "of size 4"),
        (
            '{"problem": "isosceles", "n": 3, "points": [[0,0],[0,1],[0,2]]}',
            [],
            3,
            "break the rule",
        ),
    ],
)
def test_bad_input_of_count_is_one_line(content, more, code, complaint, cli, tmp_path):
    file = tmp_path / "set.json"
    if content is not None:
        file.write_text(content)
    refused = cli("count", file, *more)
    assert (refused.code, complaint in refused.error) == (code, True), refused.err
    assert len(refused.err.strip().splitlines()) == 1


def test_a_size_a_run_has_not_is_one_line(played, cli):
    refused = cli("count", played, "--n", 9)
    assert (refused.code, "it has 5, 6" in refused.error) == (4, True)

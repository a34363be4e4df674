"""Exchanges: against all sets there are, with symmetry and weights, stopped early, as a command."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.bitset import from_points, pack, points, unpack
from pipeline.core.symmetry import find_class, invariant
from pipeline.engine import exchange as engine
from pipeline.engine.exchange import exchange
from pipeline.engine.hitting_sets import Finder, no_frees
from pipeline.engine.space import choice_of, make_space
from pipeline.engine.state import join, new_state
from pipeline.errors import UsageError
from pipeline.exchanging import Exchanged
from pipeline.exchanging import exchange as exchange_points
from pipeline.objective import weights_of
from pipeline.plugins import load_problem

PLUGINS = Path(__file__).parent / "plugins"
CIRCLE = f"{PLUGINS / 'no_four_on_a_circle.py'}:NoFourOnACircle"
WEIGHTED = f"{PLUGINS / 'easy' / 'objectives.py'}:Heavy"
RECORDS = Path(__file__).parent.parent / "records"


def masks(problem, n, symmetry):
    """Return the space, and bool ``(2^M, M)``: all sets of choices; for at most 16 choices."""
    space = make_space(problem, n, find_class(problem.ground(n), symmetry))
    choices = len(space.start) - 1
    assert choices <= 16
    return space, (np.arange(1 << choices)[:, None] >> np.arange(choices) & 1).astype(np.bool_)


def cells_of(space, taken):
    members = np.zeros((len(taken), len(space.coords)), np.bool_)
    members[:, space.elements] = np.repeat(taken, np.diff(space.start), axis=1)
    return pack(members)


def fewest_out(valid, worth, taken):
    """Return how many choices a better set lacks of this one, at least; None for a best set."""
    better = valid[valid @ worth > taken @ worth]
    return int((taken & ~better).sum(axis=1).min()) if len(better) else None


def random_maximal(valid, rng):
    """Return a valid set of choices to which none can be added, or now and then any valid set."""
    taken = valid[rng.integers(len(valid))]
    if rng.random() < 0.1:
        return taken
    while True:
        above = valid[(valid & taken).sum(axis=1) == taken.sum()]
        above = above[above.sum(axis=1) == taken.sum() + 1]
        if not len(above):
            return taken
        taken = above[rng.integers(len(above))]


CASES = [
    ("isosceles", 4, "trivial"),
    ("isosceles", 8, "both-mirrors"),
    ("isosceles", 5, "diagonal"),
    ("no-3-in-line", 4, "trivial"),
    ("no-3-in-line", 5, "mirror"),
    ("no-4-in-a-plane", 2, "trivial"),
    (CIRCLE, 4, "trivial"),
    *((CIRCLE, 5, f"order-2-{k}") for k in (1, 2, 3)),
    ("no-4-in-a-plane", 3, "all"),
    ("four-cycle-free", 6, "trivial"),
    ("sidon", 16, "trivial"),
]


@pytest.mark.parametrize(("spec", "n", "symmetry"), CASES)
def test_the_smallest_exchange_is_found_and_none_is_missed(spec, n, symmetry):
    problem = load_problem(spec)
    space, every = masks(problem, n, symmetry)
    worth = weights_of(problem, n)[space.elements]
    worth = np.add.reduceat(worth, space.start[:-1])
    valid = every[problem.validate(cells_of(space, every), n)]
    rng = np.random.default_rng(1)
    sizes = set()
    for _ in range(40):
        taken = random_maximal(valid, rng)
        want = fewest_out(valid, worth, taken)
        (given,) = cells_of(space, taken[None])
        found = exchange(problem, n, given, 3, symmetry)
        sizes.add(want)
        if want is None or want > 3:
            assert (found.steps, found.ruled_out) == ([], 3)
            assert (found.cells == given).all()
            continue
        of = choice_of(space)
        assert len({of[v] for v in found.steps[0].out}) == want
        assert found.ruled_out == 3
        # The steps lead from the given set to the one in the end, which has no exchange.
        now = set(points(given, problem.ground(n).m).tolist())
        for step in found.steps:
            assert set(step.out) <= now
            assert not now & set(step.put_in)
            now = now - set(step.out) | set(step.put_in)
        assert sorted(now) == points(found.cells, problem.ground(n).m).tolist()
        assert problem.validate(found.cells[None], n)[0]
        inside = unpack(found.cells[None], problem.ground(n).m)[0]
        rest = fewest_out(valid, worth, inside[space.elements[space.start[:-1]]])
        assert rest is None or rest > 3
    assert sizes & {1, 2, 3} or spec not in ("isosceles", "no-3-in-line", "sidon")


@pytest.mark.parametrize("spec", ["isosceles", "no-4-in-a-plane", "four-cycle-free"])
def test_larger_sets_have_an_exchange_exactly_where_trying_all_finds_one(spec):
    problem, n = load_problem(spec), {"isosceles": 7, "no-4-in-a-plane": 3}.get(spec, 7)
    m, rng, met = problem.ground(n).m, np.random.default_rng(2), set()

    def valid(sets):
        return problem.validate(from_points([np.sort(s) for s in sets], m), n)

    def has_exchange(members, k):
        for out in combinations(members, k):
            kept = [v for v in members if v not in out]
            others = [v for v in range(m) if v not in members]
            free = [
                v for v, ok in zip(others, valid([[*kept, v] for v in others]), strict=True) if ok
            ]
            groups = [np.array([*kept, *more]) for more in combinations(free, k + 1)]
            if groups and valid(groups).any():
                return True
        return False

    for _ in range(12):
        members: list[int] = []
        for v in rng.permutation(m).tolist():
            if valid([[*members, v]])[0]:
                members.append(v)
        want = next((k for k in (1, 2) if has_exchange(members, k)), None)
        found = exchange(problem, n, from_points([np.sort(members)], m)[0], 2)
        met.add(want)
        assert (len(found.steps[0].out) if found.steps else None) == want
        last = points(found.cells, m).tolist()
        assert not any(has_exchange(last, k) for k in (1, 2))
    assert len(met) > 1


@pytest.mark.parametrize(
    ("spec", "n", "symmetry"),
    [("isosceles", 6, "trivial"), ("four-cycle-free", 6, "trivial"), (CIRCLE, 5, "order-2-1")],
)
def test_hitting_sets_are_the_smallest_sets_that_free_a_choice(spec, n, symmetry):
    problem = load_problem(spec)
    ground = problem.ground(n)
    space = make_space(problem, n, find_class(ground, symmetry))
    state, choices = new_state(space), len(space.start) - 1
    rng, chosen = np.random.default_rng(3), []

    def fits(some):
        return problem.validate(cells_of(space, np.isin(np.arange(choices), some)[None]), n)[0]

    for c in rng.permutation(choices).tolist():
        if fits([*chosen, c]):
            chosen.append(c)
            join(space, state, c)
    absent = np.setdiff1d(np.arange(choices), chosen)
    frees = no_frees(np.sort(chosen), absent)
    for _ in range(3):
        finder = Finder(space, state, frees)
        while finder.done < 1:
            finder.go_on(5)
        frees = finder.frees
    outs = [frozenset(row[row >= 0].tolist()) for row in frees.rows]
    told = set(zip(frees.owner.tolist(), outs, strict=True))
    assert len(told) == len(frees.rows)
    naive = set()
    for a, c in enumerate(absent.tolist()):
        smallest: list[frozenset[int]] = []
        for k in (1, 2, 3):
            for out in map(frozenset, combinations(range(len(chosen)), k)):
                kept = [v for i, v in enumerate(frees.members.tolist()) if i not in out]
                if not any(s <= out for s in smallest) and fits([*kept, c]):
                    smallest.append(out)
        naive |= {(a, out) for out in smallest}
    assert told == naive
    assert naive


def test_heavier_choices_may_come_in_for_more_lighter_ones():
    problem = load_problem(WEIGHTED)
    space, every = masks(problem, 4, "trivial")
    worth = weights_of(problem, 4)[space.elements]
    assert len(set(worth.tolist())) > 1
    valid = every[problem.validate(cells_of(space, every), 4)]
    rng = np.random.default_rng(4)
    for _ in range(40):
        taken = random_maximal(valid, rng)
        want = fewest_out(valid, worth, taken)
        found = exchange(problem, 4, cells_of(space, taken[None])[0], 2)
        assert (want is None or want > 2) == (not found.steps)
        assert found.score >= taken @ worth
        assert not found.alike


def of_record(n):
    path = RECORDS / "isosceles" / f"isosceles-flat-forbidden-n{n:03d}.json"
    return path, json.loads(path.read_text())["points"]


def test_a_record_has_no_exchange_of_few_points():
    _, given = of_record(16)
    found = exchange_points("isosceles", given, 16, out=2)
    assert isinstance(found, Exchanged)
    assert (found.best.score, found.steps, found.ruled_out) == (28, [], 2)
    assert found.ways == 1 + 28 + 28 * 27 // 2


def test_a_set_that_lacks_points_is_filled_up_and_exchanged():
    _, given = of_record(16)
    found = exchange_points("isosceles", given[:20], 16, out=2)
    assert found.best.score > 20
    assert found.ruled_out == 2
    out, put_in = found.steps[0]
    assert (out, set(put_in) <= set(found.best.points)) == ([], len(found.steps) == 1)
    with pytest.raises(UsageError, match="--out 0"):
        exchange_points("isosceles", given, 16, out=0)


def test_the_empty_set_is_filled_up():
    found = exchange_points("isosceles", [], 3, out=2)
    assert found.best.score >= 2
    assert found.steps[0][0] == []


def test_a_set_is_turned_to_have_the_symmetry_of_its_class():
    problem = load_problem("isosceles")
    ground = problem.ground(6)
    cls = find_class(ground, "mirror")
    space = make_space(problem, 6, cls)
    (cells,) = cells_of(space, np.isin(np.arange(len(space.start) - 1), [0])[None])
    turned = pack(unpack(cells[None], ground.m)[:, np.arange(36).reshape(6, 6).T.ravel()])
    assert invariant(turned, ground, cls)[0] != invariant(cells[None], ground, cls)[0]
    found = exchange(problem, 6, turned[0], 2, "mirror")
    assert problem.validate(found.cells[None], 6)[0]
    # It lies as it was given.
    given = set(points(turned[0], 36).tolist())
    for step in found.steps:
        assert set(step.out) <= given
        given = given - set(step.out) | set(step.put_in)
    assert sorted(given) == points(found.cells, 36).tolist()


def test_a_set_without_the_symmetry_is_refused_with_those_it_has():
    _, given = of_record(16)
    with pytest.raises(UsageError, match=r"has not the symmetry 'diagonal'; it has: mirror$"):
        exchange_points("isosceles", given, 16, symmetry="diagonal")
    with pytest.raises(UsageError, match="has not the symmetry 'mirror'; it has none"):
        exchange_points("isosceles", given[:9], 16, symmetry="mirror")


def test_when_the_time_is_up_it_says_how_far_it_came(monkeypatch):
    problem = load_problem("isosceles")
    _, given = of_record(16)
    cells = from_points([np.sort([r * 16 + c for r, c in given])], 256)[0]
    found = exchange(problem, 16, cells, 2, seconds=1e-9)
    assert (found.stopped, found.ruled_out) == ("time", 0)
    told = []

    def stop(k, done, score):
        told.append((k, done, score))
        if k == 2:
            raise KeyboardInterrupt

    found = exchange(problem, 16, cells, 3, told=stop)
    assert (found.stopped, found.ruled_out) == ("interrupt", 1)
    assert (found.cells == cells).all()
    assert [score for _, _, score in told] == [28] * len(told)
    assert sorted(told) == told


def test_pieces_of_the_work_lead_to_the_same_result(monkeypatch):
    problem = load_problem("isosceles")
    ground = problem.ground(9)
    rng = np.random.default_rng(5)
    given = from_points([np.sort(rng.choice(81, 2, replace=False))], 81)[0]
    whole = exchange(problem, 9, given, 3)
    monkeypatch.setattr(engine, "_paced", lambda go_on, _: go_on(1) or 1)
    shares = []
    pieces = exchange(problem, 9, given, 3, told=lambda k, done, _: shares.append((k, done)))
    assert (pieces.cells == whole.cells).all()
    assert (pieces.steps, pieces.ways, pieces.searched) == (
        whole.steps,
        whole.ways,
        whole.searched,
    )
    assert all(0 <= done <= 1 for _, done in shares)
    assert ground.m == 81


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("tree-independence", "is about words"),
        (f"{PLUGINS / 'weighted_path.py'}:WeightedPath", "has a score of its own"),
    ],
)
def test_problems_that_are_no_sets_with_a_sum_are_refused(spec, told):
    with pytest.raises(UsageError, match=told):
        exchange_points(spec, [], 5)


# ------------------------------------------------------------------------------- the command


def test_the_command_says_that_there_is_no_exchange(cli):
    path, _ = of_record(16)
    found = cli("exchange", path, "--out", 2)
    assert found.code == 0, found.err
    assert "isosceles, n=16: 28 points; no exchange of up to 2 for 3" in found.out
    assert "exhaustive: 407 sets to take out" in found.out
    path, _ = of_record(33)
    found = cli("exchange", path, "--symmetry", "both-mirrors", "--json")
    (one,) = json.loads(found.out)["sets"]
    assert (one["score"], one["before"], one["ruled_out"], one["complete"]) == (60, 60, 2, True)


def test_the_command_writes_the_improved_sets_for_verify(tmp_path, cli):
    _, given = of_record(12)
    sets = [{"problem": "isosceles", "n": 12, "points": given[:k]} for k in (8, 20)]
    file, out = tmp_path / "given.json", tmp_path / "out.json"
    file.write_text(json.dumps(sets))
    found = cli("exchange", file, "-o", out)
    assert found.code == 0, found.err
    assert "1 of 2 sets improved" in found.out
    assert cli("verify", out).code == 0
    written = json.loads(out.read_text())
    assert written[0]["score"] == 20
    assert written[1]["score"] > 8
    one = cli("exchange", file, "--rank", 2, "-o", out)
    assert "put in" in one.out
    assert json.loads(out.read_text())["score"] == written[1]["score"]


def test_of_a_run_the_best_is_taken_or_so_many(played, cli):
    found = cli("exchange", played, "--json")
    assert len(json.loads(found.out)["sets"]) == 1
    found = cli("exchange", played, "--top", 3, "--json")
    assert len(json.loads(found.out)["sets"]) == 3


def test_of_several_sets_those_without_the_symmetry_are_left_out(tmp_path, cli):
    file = tmp_path / "two.json"
    sets = [{"problem": "isosceles", "n": n, "points": of_record(n)[1]} for n in (33, 35)]
    file.write_text(json.dumps(sets))
    found = cli("exchange", file, "--symmetry", "both-mirrors")
    assert "0 of 1 sets improved; 1 left out, without the symmetry both-mirrors" in found.out
    found = cli("exchange", file, "--symmetry", "diagonal")
    assert (found.code, found.out) == (2, "")
    assert "none of 2 sets has the symmetry 'diagonal'" in found.error


def test_wrong_use_of_the_command_is_one_line(tmp_path, cli):
    path, _ = of_record(16)
    bad = tmp_path / "bad.json"
    bad.write_text('{"problem": "isosceles", "n": 3, "points": [[0, 0], [0, 1], [0, 2]]}')
    assert cli("exchange", bad).code == 3
    for words, told in [
        ([path, "--out", 0], "--out"),
        ([path, "--symmetry", "diagonal"], "has not the symmetry"),
        ([path, "--time", "x"], "--time x"),
        ([path, "--rank", 1, "--top", 2], "--top"),
    ]:
        found = cli("exchange", *words)
        assert found.code == 2
        assert told in found.error

"""Search: every kernel against brute force, shards that repeat themselves, legal next tokens."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import bitset, streams
from pipeline.core.symmetry import find_class, invariant, orbits
from pipeline.engine.anneal import anneal, anneal_many
from pipeline.engine.greedy import complete_many, greedy_many, repair, repair_many, saturate
from pipeline.engine.space import make_space, usable_classes
from pipeline.engine.state import (
    CHOICES,
    SIZE,
    VIOLATIONS,
    conflicts_added,
    conflicts_removed,
    join,
    leave,
    new_state,
)
from pipeline.engine.tasks import NO_TARGET, Task, run_task
from pipeline.errors import PipelineError, UsageError
from pipeline.generators.token_mask import TokenMask
from pipeline.model.tokens import EOS, make_encoder
from pipeline.plugins import load_problem
from pipeline.problem import blocking_hook
from problems.isosceles import FLAT_ALLOWED, FLAT_FORBIDDEN, Isosceles

PLUGINS = Path(__file__).parent / "plugins"
CIRCLE = f"{PLUGINS / 'no_four_on_a_circle.py'}:NoFourOnACircle"

# (spec, convention): the oracle, and the sizes to look at.
PROBLEMS = {
    ("isosceles", FLAT_FORBIDDEN): (oracles.no_isosceles, (1, 3, 4, 5, 6)),
    ("isosceles", FLAT_ALLOWED): (oracles.no_isosceles_but_flat, (3, 4, 5)),
    ("no-3-in-line", "standard"): (oracles.no_three_in_line, (3, 4, 5, 6)),
    (CIRCLE, "standard"): (oracles.no_four_on_a_circle, (3, 4)),
}
SIZES = [(*key, n) for key, (_, sizes) in PROBLEMS.items() for n in sizes]
CASES = [
    (*size, cls.name) for size in SIZES for cls in usable_classes(load_problem(*size[:2]), size[2])
]


@cache
def problem_of(spec, convention):
    return load_problem(spec, convention)


@cache
def forbidden(spec, convention, n):
    """Return the forbidden configurations, int64 ``(F, arity)``, from the oracle alone."""
    problem = problem_of(spec, convention)
    points = [tuple(row) for row in problem.ground(n).coords.tolist()]
    return oracles.forbidden_sets(points, problem.arity, PROBLEMS[spec, convention][0])


@cache
def space_of(spec, convention, n, symmetry):
    problem = problem_of(spec, convention)
    return make_space(problem, n, find_class(problem.ground(n), symmetry))


def violations(inside, case):
    return int(inside[forbidden(*case[:3])].all(axis=1).sum())


def cells_of(space, choice):
    inside = np.zeros(len(space.coords), bool)
    inside[space.elements[space.start[choice] : space.start[choice + 1]]] = True
    return inside


def choices_of(space):
    return range(len(space.start) - 1)


def walked(space, picks):
    """Return the state after each choice named has joined, or left where it was there."""
    state = new_state(space)
    for pick in picks:
        choice = pick % len(choices_of(space))
        (join if state.position[choice] < 0 else leave)(space, state, choice)
    return state


def stream(seed):
    return np.array([seed], np.uint64)


def is_maximal(inside, space, case):
    """Tell whether the set is valid and no absent choice could join it."""
    return violations(inside, case) == 0 and all(
        (inside | cells_of(space, choice) == inside).all()
        or violations(inside | cells_of(space, choice), case)
        for choice in choices_of(space)
    )


cases = st.sampled_from(CASES)
walks = st.lists(st.integers(0, 10**6), max_size=25)
seeds = st.integers(0, 2**64 - 1)

# ------------------------------------------------------------------------------ join and leave


@given(cases, walks)
def test_the_state_is_that_of_the_set_however_it_was_reached(case, picks):
    space = space_of(*case)
    state = walked(space, picks)
    inside = state.inside.astype(bool)
    chosen = [c for c in choices_of(space) if inside[cells_of(space, c)].all()]
    size = int(state.totals[SIZE])
    assert sorted(state.chosen[: state.totals[CHOICES]].tolist()) == chosen
    assert sorted(state.members[:size].tolist()) == np.flatnonzero(inside).tolist()
    assert (state.where[state.members[:size]] == np.arange(size)).all()
    assert (state.chosen[state.position[chosen]] == chosen).all()
    assert state.totals[VIOLATIONS] == violations(inside, case)


@given(cases, walks)
def test_loads_are_the_violations_that_a_choice_brings_or_takes(case, picks):
    space = space_of(*case)
    state = walked(space, picks)
    inside = state.inside.astype(bool)
    here = violations(inside, case)
    for choice in choices_of(space):
        change = abs(violations(inside ^ cells_of(space, choice), case) - here)
        if state.position[choice] < 0:
            brings = conflicts_added(space, state, choice)
            assert brings == change if space.exact else brings <= change
        else:
            takes_part = conflicts_removed(space, state, choice)
            assert takes_part == change if space.exact else takes_part >= change


@given(cases, walks, st.integers(0, 10**6))
def test_what_joins_and_leaves_again_leaves_no_trace(case, picks, pick):
    space = space_of(*case)
    state = walked(space, picks)
    before = state.counts.copy(), state.pair_conflicts.copy(), state.totals.copy()
    choice = pick % len(choices_of(space))
    first, second = join, leave
    if state.position[choice] >= 0:
        first, second = second, first
    assert first(space, state, choice) == second(space, state, choice)
    kept = slice(0, len(choices_of(space)) if space.exact else len(space.coords))
    assert (state.counts[kept] == before[0][kept]).all()
    assert (state.pair_conflicts == before[1]).all()
    assert (state.totals == before[2]).all()


# ------------------------------------------------------------------- greedy, saturate, repair


@given(cases, seeds)
def test_greedy_sets_are_maximal_and_symmetric(case, seed):
    space, problem, n = space_of(*case), problem_of(*case[:2]), case[2]
    cells = np.zeros((2, bitset.width(len(space.coords))), np.uint8)
    greedy_many(space, stream(seed), cells)
    assert invariant(cells, problem.ground(n), find_class(problem.ground(n), case[3])).all()
    for inside in bitset.unpack(cells, len(space.coords)):
        assert is_maximal(inside, space, case)


@given(cases, walks, seeds)
def test_repair_only_takes_out_and_ends_valid(case, picks, seed):
    space = space_of(*case)
    state = walked(space, picks)
    before = state.inside.astype(bool)
    repair(space, state, stream(seed))
    after = state.inside.astype(bool)
    assert not (after & ~before).any()
    assert violations(after, case) == state.totals[VIOLATIONS] == 0
    assert violations(before, case) or (after == before).all()


@given(cases, walks, seeds)
def test_saturate_only_adds_and_ends_maximal(case, picks, seed):
    space = space_of(*case)
    state = walked(space, picks)
    rng = stream(seed)
    repair(space, state, rng)
    before = state.inside.astype(bool)
    saturate(space, state, rng, np.empty(len(choices_of(space)), np.int32))
    after = state.inside.astype(bool)
    assert not (before & ~after).any()
    assert is_maximal(after, space, case)


@given(cases, seeds)
def test_completing_any_bytes_gives_maximal_sets(case, seed):
    space = space_of(*case)
    m = len(space.coords)
    density = np.array([[0.05], [0.3], [1.0]])
    cells = bitset.pack(np.random.default_rng(seed).random((3, m)) < density)
    complete_many(space, stream(seed), cells)
    for inside in bitset.unpack(cells, m):
        assert is_maximal(inside, space, case)


@given(st.sampled_from(["isosceles", "no-3-in-line"]), seeds)
def test_repairing_rows_only_takes_out_of_those_that_need_it(spec, seed):
    problem, n = load_problem(spec), 6
    density = np.array([[0.0], [0.1], [0.3], [1.0]])
    before = np.random.default_rng(seed).random((4, n * n)) < density
    cells = bitset.pack(before)
    repair_many(make_space(problem, n), stream(seed), cells)
    after = bitset.unpack(cells, n * n)
    assert not (after & ~before).any()
    assert problem.validate(cells, n).all()
    valid = problem.validate(bitset.pack(before), n)
    assert (after[valid] == before[valid]).all()
    assert (after[~valid].sum(axis=1) >= 2).all()


def test_completing_keeps_what_is_valid():
    problem, n = load_problem("isosceles"), 9
    space = make_space(problem, n)
    cells = np.zeros((20, bitset.width(n * n)), np.uint8)
    greedy_many(space, stream(1), cells)
    completed = cells.copy()
    complete_many(space, stream(2), completed)
    assert (completed == cells).all()


@blocking_hook
def _never_takes_back(v, members, size, inside, slot, counts, delta, coords, tables):
    for i in range(size):
        if delta > 0:
            counts[slot[(members[i] + v) % len(inside)]] += delta


def test_a_hook_that_contradicts_itself_ends_repair_with_advice():
    class NeverTakesBack(Isosceles):
        hook = _never_takes_back

    space = make_space(NeverTakesBack(), 4)
    state = walked(space, [0, 1, 2, 3, 1, 1, 2, 2, 1, 2])
    state.counts[:] = 0
    state.totals[VIOLATIONS] = 1
    with pytest.raises(PipelineError, match="ProblemContract"):
        repair(space, state, stream(1))


# ---------------------------------------------------------------------------------- annealing


@settings(max_examples=40)
@given(cases, seeds, st.floats(0.1, 2.0))
def test_annealing_keeps_the_best_valid_set_it_met(case, seed, penalty):
    space = space_of(*case)
    m = len(space.coords)
    best = np.zeros(bitset.width(m), np.uint8)
    state = new_state(space)
    how = (np.zeros(len(choices_of(space))), 4000, penalty, 0.3, 0.1, NO_TARGET)
    size = anneal(space, state, stream(seed), *how, best)
    inside = bitset.unpack(best[None], m)[0]
    assert inside.sum() == size
    assert violations(inside, case) == 0
    assert state.totals[VIOLATIONS] == violations(state.inside.astype(bool), case)


@settings(max_examples=40)
@given(cases, seeds)
def test_annealed_sets_are_maximal_without_any_symmetry(case, seed):
    space, plain = space_of(*case), space_of(*case[:3], "trivial")
    m = len(space.coords)
    cells = bitset.pack(np.random.default_rng(seed).random((3, m)) < 0.2)
    how = (np.zeros(len(choices_of(space))), 2000, 0.5, 0.3, 0.1, NO_TARGET)
    anneal_many(space, plain, stream(seed), cells, *how)
    for inside in bitset.unpack(cells, m):
        assert is_maximal(inside, plain, case)


def test_annealing_never_loses_the_valid_set_it_starts_from():
    problem, n = load_problem("isosceles"), 12
    space = make_space(problem, n)
    cells = np.zeros((10, bitset.width(n * n)), np.uint8)
    greedy_many(space, stream(1), cells)
    before = problem.score(cells, n)
    how = (np.zeros(n * n), 400, 0.5, 5.0, 5.0, NO_TARGET)
    anneal_many(space, space, stream(2), cells, *how)
    assert (problem.score(cells, n) >= before).all()


def anneal_shard(spec, n, symmetry, seed=1, rows=8, bound=1_000_000, **options):
    problem = load_problem(spec)
    cells = np.zeros((rows, bitset.width(problem.ground_size(n))), np.uint8)
    rng = streams.state(seed, 0, "search", 0)
    return Task(spec, "", n, symmetry, "anneal", cells, rng, bound, **options)


@pytest.mark.parametrize(("symmetry", "rows"), [("trivial", 8), ("mirror", 8), ("half-turn", 96)])
def test_annealing_reaches_28_points_without_isosceles_triangle_at_16(symmetry, rows):
    cells = run_task(anneal_shard("isosceles", 16, symmetry, rows=rows, target=28))
    problem = load_problem("isosceles")
    assert problem.validate(cells, 16).all()
    assert problem.score(cells, 16).max() == 28


@pytest.mark.parametrize("symmetry", ["half-turn", "quarter-turn"])
@pytest.mark.parametrize("n", range(2, 21, 2))
def test_annealing_reaches_two_points_a_row_without_three_in_line(n, symmetry):
    cells = run_task(anneal_shard("no-3-in-line", n, symmetry, target=2 * n))
    problem = load_problem("no-3-in-line")
    assert problem.validate(cells, n).all()
    assert problem.score(cells, n).max() == 2 * n


# ------------------------------------------------------------------------------------- shards


@pytest.mark.parametrize("method", ["greedy", "complete", "anneal"])
@pytest.mark.parametrize("symmetry", ["trivial", "half-turn"])
def test_a_shard_gives_the_same_bytes_again_and_leaves_its_input_alone(method, symmetry):
    shard = anneal_shard("isosceles", 10, symmetry, bound=20_000)
    starts = np.random.default_rng(1).random((len(shard.cells), 100)) < 0.1
    shard = replace(shard, method=method, cells=bitset.pack(starts))
    first = run_task(shard)
    assert (shard.cells == bitset.pack(starts)).all()
    assert run_task(shard).tobytes() == first.tobytes()
    other = replace(shard, rng=streams.state(2, 0, "search"))
    assert run_task(other).tobytes() != first.tobytes()


def test_a_shard_of_an_unknown_method_is_refused():
    with pytest.raises(UsageError, match="unknown search method 'jump'"):
        run_task(replace(anneal_shard("isosceles", 4, "trivial"), method="jump"))


# ------------------------------------------------------------------------------------- spaces


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{Path(size[0]).stem}-{size[2]}")
def test_orbits_that_hold_something_forbidden_are_no_choices_and_all_others_are(size):
    problem, ground = problem_of(*size[:2]), problem_of(*size[:2]).ground(size[2])
    for name in {case[3] for case in CASES if case[:3] == size}:
        space = space_of(*size, name)
        choices = {tuple(np.flatnonzero(cells_of(space, c)).tolist()) for c in choices_of(space)}
        parts = orbits(ground, find_class(ground, name))
        every = [tuple(one.tolist()) for one in np.split(parts.elements, parts.start[1:-1])]
        expected = set()
        for orbit in every:
            inside = np.isin(np.arange(ground.m), orbit)
            if not violations(inside, size):
                expected.add(orbit)
        assert choices == expected, f"{problem.name}, {name}"


def test_a_symmetry_class_without_usable_orbits_is_refused():
    problem = load_problem("isosceles")
    quarter = find_class(problem.ground(6), "quarter-turn")
    with pytest.raises(UsageError, match="no construction with the symmetry 'quarter-turn'"):
        make_space(problem, 6, quarter)
    names = [cls.name for cls in usable_classes(problem, 6)]
    assert names == ["trivial", "half-turn", "mirror", "diagonal", "both-mirrors", "both-diagonals"]


# -------------------------------------------------------------------------- legal next tokens


@pytest.mark.parametrize(
    ("kind", "symmetry", "order"),
    [
        ("points", None, "sorted"),
        ("points", None, "random"),
        ("orbits", "mirror", "sorted"),
        ("orbits", "half-turn", "random"),
        ("orbits", "both-mirrors", "sorted"),
        ("dense", None, "sorted"),
    ],
)
@pytest.mark.parametrize("maximal", [False, True])
@pytest.mark.parametrize(("spec", "convention"), PROBLEMS)
def test_the_guide_allows_what_brute_force_allows(spec, convention, maximal, kind, symmetry, order):
    n, rows = 4, 6
    case = (spec, convention, n)
    problem = problem_of(spec, convention)
    ground = problem.ground(n)
    if symmetry not in (None, *(cls.name for cls in usable_classes(problem, n))):
        symmetry = usable_classes(problem, n)[-1].name
    encoder = make_encoder(kind, {m: problem.ground(m) for m in (3, 4)}, symmetry, order)
    guide = TokenMask(problem, encoder, n, rows, maximal)
    tokens = encoder.element_tokens(n).tolist()
    parts = orbits(ground, find_class(ground, symmetry or "trivial"))
    elements = np.split(parts.elements, parts.start[1:-1])
    rng = np.random.default_rng(1)
    inside = np.zeros((rows, ground.m), bool)
    last = np.zeros(rows, int)
    alive = np.arange(rows)

    def joined(row, part):
        after = inside[row].copy()
        after[part] = True
        return after

    def may_join(row, part):
        return not inside[row, part].any() and not violations(joined(row, part), case)

    for step in range(ground.m + 1):
        legal = guide.legal()
        assert legal.shape == (len(alive), encoder.vocab_size)
        for row, allowed in zip(alive, legal, strict=True):
            if kind == "dense":
                out, into = tokens
                expected = {out} | ({into} if step < ground.m and may_join(row, [step]) else set())
                expected = expected if step < ground.m else {EOS}
            else:
                expected = {
                    token
                    for token, part in zip(tokens, elements, strict=True)
                    if may_join(row, part) and not (order == "sorted" and token <= last[row])
                }
                expected |= set() if maximal and expected else {EOS}
            assert set(np.flatnonzero(allowed).tolist()) == expected
        chosen = np.array([rng.choice(np.flatnonzero(allowed)) for allowed in legal])
        # The end is drawn too often when few tokens are legal; go on while one can.
        more = np.array([np.flatnonzero(allowed)[-1] for allowed in legal])
        chosen = np.where(chosen == EOS, more, chosen)
        guide.advance(chosen)
        for row, token in zip(alive, chosen.tolist(), strict=True):
            if kind == "dense" and token == tokens[1]:
                inside[row, step] = True
            elif kind != "dense" and token != EOS:
                inside[row] = joined(row, elements[tokens.index(token)])
                last[row] = max(last[row], token)
        going = np.flatnonzero(chosen != EOS)
        if step == 1:
            going = going[1:]
        guide.keep(going)
        alive = alive[going]
        if not len(alive):
            break
    for row in inside:
        assert violations(row, case) == 0

"""Ruin and recreate: what it remembers against the oracle, what it finds, when it ends."""

import numpy as np
import oracles
import pytest

from pipeline.core.bitset import popcounts, unpack, width
from pipeline.core.symmetry import find_class, orbits
from pipeline.engine.arms import make_arms
from pipeline.engine.ruin_recreate import (
    Ruin,
    look_again,
    new_held,
    recreate,
    ruin,
    ruin_recreate,
)
from pipeline.engine.space import make_space
from pipeline.errors import UsageError
from pipeline.plugins import load_problem

SPHERES = load_problem("no-5-on-a-sphere")
FIND = SPHERES.find_blockers.compiled
CLASSES = ["trivial", "central", "third-turn", "half-turns"]


def space_of(n, symmetry):
    return make_space(SPHERES, n, find_class(SPHERES.ground(n), symmetry))


def forbids(points, choice, members):
    """Tell whether a set that was valid holds five on a sphere once a choice has joined."""
    return not oracles.no_five_on_a_sphere([points[v] for v in (*members, *choice)])


@pytest.mark.parametrize("symmetry", CLASSES)
def test_what_is_free_and_what_blocks_the_others_is_what_the_oracle_says(symmetry):
    space = space_of(3, symmetry)
    points = [tuple(p) for p in space.coords.tolist()]
    held, of = new_held(space, 4)
    rng, how = np.array([3], np.uint64), Ruin(0, 2, 2, 0, 10, 10**6)
    choices = [
        space.elements[space.start[c] : space.start[c + 1]].tolist()
        for c in range(len(space.start) - 1)
    ]
    for step in range(6):
        leaving, before = min(1 + step % 2, held.totals[1]), set(held.members[: held.totals[0]])
        least = len(before) + 1000 * (step == 5)  # out of reach: what left comes back
        ruin(space, rng, held, leaving, step)
        free = look_again(space, FIND, held, of)
        members = held.members[: held.totals[0]].tolist()
        for c, choice in enumerate(choices):
            if held.position[c] < 0:
                assert (c in held.free[:free]) == (not forbids(points, choice, members))
        recreate(space, FIND, rng, how, held, free, step, leaving, least)
        members = held.members[: held.totals[0]].tolist()
        assert oracles.no_five_on_a_sphere([points[v] for v in members])
        assert len(members) >= len(before)
        assert step < 5 or set(members) == before
        assert sorted(np.flatnonzero(held.inside)) == sorted(members)
        assert sorted(members) == sorted(
            v for c in held.chosen[: held.totals[1]] for v in choices[c]
        )
        for c, choice in enumerate(choices):
            blocker = [w for w in held.blockers[c].tolist() if w >= 0]
            if held.position[c] < 0 and blocker:
                assert set(blocker) <= {*members, *choice}
                fives = [[*blocker, u] for u in choice if u not in blocker]
                assert any(oracles.on_a_sphere([points[v] for v in five]) for five in fives)


@pytest.mark.parametrize("symmetry", CLASSES)
@pytest.mark.parametrize("n", [4, 5])
def test_sets_are_valid_and_maximal(n, symmetry):
    space, m = space_of(n, symmetry), n**3
    found = np.zeros((6, width(m)), np.uint8)
    stored = ruin_recreate(
        space, FIND, 4, np.array([n], np.uint64), Ruin(300_000, 2, 3, 300, 20, 10**6), found
    )
    assert stored > 0
    assert SPHERES.validate(found[:stored], n).all()
    assert len(set(popcounts(found[:stored]).tolist())) <= 2  # what no orbit holds comes on top
    for row in unpack(found[:stored], m)[:2]:
        more = np.repeat(row[None], m - row.sum(), axis=0)
        more[np.arange(len(more)), np.flatnonzero(~row)] = True
        assert not SPHERES.validate(np.packbits(more, axis=1, bitorder="little"), n).any()


def test_a_symmetric_set_is_found_with_what_fits_beside_it():
    ground = SPHERES.ground(5)
    space, of = space_of(5, "central"), orbits(ground, find_class(ground, "central")).of
    found = np.zeros((8, width(125)), np.uint8)
    how = Ruin(20_000_000, 2, 4, 50, 1000, 10**6)
    stored = ruin_recreate(space, FIND, 4, np.zeros(1, np.uint64), how, found)
    assert popcounts(found[:stored]).max() >= 13
    for row in unpack(found[:stored], 125):
        held = np.bincount(of[row], minlength=of.max() + 1)
        assert (held == np.bincount(of)).sum() >= 6


def test_the_same_random_numbers_give_the_same_sets_and_others_others():
    space, sets = space_of(5, "central"), []
    for seed in (1, 1, 2):
        found = np.zeros((4, width(125)), np.uint8)
        how = Ruin(2_000_000, 2, 4, 50, 50, 10**6)
        ruin_recreate(space, FIND, 4, np.array([seed], np.uint64), how, found)
        sets.append(found.tobytes())
    assert sets[0] == sets[1] != sets[2]


def test_it_ends_at_the_size_asked_for_and_when_told_to():
    space, found = space_of(4, "central"), np.zeros((4, width(64)), np.uint8)
    how = Ruin(10**15, 2, 4, 50, 100, 8)
    stored = ruin_recreate(space, FIND, 4, np.array([1], np.uint64), how, found)
    assert popcounts(found[:stored]).min() >= 8
    told = space._replace(stop=np.ones(1, np.uint8))
    endless = how._replace(stop=10**6)
    assert ruin_recreate(told, FIND, 4, np.array([1], np.uint64), endless, found) == 0


def test_it_is_the_way_to_search_where_there_is_a_finder_and_refused_where_not():
    assert {arm.method for arm in make_arms(SPHERES, 4)} == {"ruin-recreate"}
    lines = load_problem("no-3-in-line")
    assert "ruin-recreate" not in {arm.method for arm in make_arms(lines, 8)}
    with pytest.raises(UsageError, match="no find_blockers"):
        make_arms(lines, 8, ["ruin-recreate"])

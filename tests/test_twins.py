"""Each problem that ships against its twin in ten lines: one hypergraph, one hook, one optimum."""

from pathlib import Path

import numpy as np
import pytest

import pipeline
from pipeline.core import bitset
from pipeline.core.symmetry import canonical
from pipeline.engine.space import make_space
from pipeline.engine.state import join, leave, new_state
from pipeline.plugins import is_shipped, load_problem, problem_names

PLUGINS = Path(__file__).parent / "plugins"
TWIN = PLUGINS / "easy" / "twins.py"
#: The twin, the problem with its convention, a size at which all is looked at, a larger one.
TWINS = [
    ("Isosceles", "isosceles", None, 4, 9),
    ("IsoscelesFlatAllowed", "isosceles", "flat-allowed", 4, 9),
    ("Lines", "no-3-in-line", None, 4, 9),
    ("Circles", "no-4-on-a-circle", None, 4, 7),
    ("Planes", "no-4-in-a-plane", None, 2, 4),
    ("Spheres", "no-5-on-a-sphere", None, 2, 3),
    ("Progressions", "progression-free", None, 9, 30),
    ("Sidon", "sidon", None, 10, 25),
    ("SidonModulo", "sidon-mod", None, 12, 24),
    ("Caps", "cap-sets", None, 2, 4),
    ("Corners", "corner-free", None, 4, 8),
    ("FourCycles", "four-cycle-free", None, 5, 6),
    ("ShortCycles", "girth-5", None, 5, 6),
    ("WeightedPath", f"{PLUGINS / 'weighted_path.py'}:WeightedPath", None, 7, 20),
    ("Permanents", "permanent-312", None, 4, 5),
    ("Colourings", "ramsey", "3,4", 4, 7),
    ("Trees", "tree-independence", None, 4, 16),
]


def sizes(which):
    """Return the parameters: a twin, the problem that ships, the convention, n."""
    cases = [(f"{TWIN}:{twin}", *row[:2], row[2 + which]) for twin, *row in TWINS]
    return pytest.mark.parametrize(
        ("twin", "shipped", "convention", "n"), cases, ids=[twin for twin, *_ in TWINS]
    )


@sizes(0)
def test_all_sets_of_a_small_ground_set_are_judged_and_sorted_alike(twin, shipped, convention, n):
    one, other = load_problem(twin), load_problem(shipped, convention)
    np.testing.assert_array_equal(one.ground(n).coords, other.ground(n).coords)
    m = one.ground(n).m
    cells = bitset.pack((np.arange(2**m)[:, None] >> np.arange(m) & 1).astype(np.bool_))
    valid = one.validate(cells, n)
    np.testing.assert_array_equal(valid, other.validate(cells, n))
    scores = one.evaluate(cells[valid], n)
    np.testing.assert_array_equal(scores, other.evaluate(cells[valid], n))
    forms = [
        np.unique(canonical(cells, p.ground(n)), axis=0, return_inverse=True)[1]
        for p in (one, other)
    ]
    classes = len(np.unique(np.stack(forms), axis=1).T)
    assert classes == forms[0].max() + 1 == forms[1].max() + 1
    for problem in (one, other):
        # Compiling the exact search takes seven seconds of a problem whose hook has four loops.
        if problem.objective != "score" and problem.arity < 5:
            assert pipeline.solve(problem, n, workers=1).upper == scores.max()


@sizes(1)
def test_the_validator_and_the_hook_say_the_same_of_random_sets(twin, shipped, convention, n):
    one, other = load_problem(twin), load_problem(shipped, convention)
    spaces = make_space(one, n), make_space(other, n)
    states, rng = [new_state(space) for space in spaces], np.random.default_rng(n)
    m, sets, top = one.ground(n).m, [], 4 * one.arity
    for _ in range(60):
        chosen = np.flatnonzero(states[0].position >= 0)
        choice = rng.choice(chosen) if len(chosen) > rng.integers(top) else rng.integers(m)
        for space, state in zip(spaces, states, strict=True):
            (join if state.position[choice] < 0 else leave)(space, state, choice)
        np.testing.assert_array_equal(states[0].counts[:m], states[1].counts[:m])
        sets.append(states[0].position >= 0)
    cells = bitset.pack(np.array(sets))
    allowed = one.is_allowed(cells, n)
    np.testing.assert_array_equal(allowed, other.is_allowed(cells, n))
    assert 0 < allowed.sum() < len(allowed)
    if isinstance(one, pipeline.WordProblem):
        words = one.random_words(60, n, rng)
        scores = one.evaluate(words, n)
        np.testing.assert_array_equal(scores, other.evaluate(words, n))
        assert len(np.unique(scores)) > 2


def test_every_problem_that_ships_has_a_twin():
    shipped = {name for name in problem_names() if is_shipped(load_problem(name))}
    assert shipped == {name for _, name, *_ in TWINS if not name.endswith("WeightedPath")}

"""ProblemContract: the conformance tests that every problem plugin runs."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import ClassVar

import numpy as np

from pipeline.brute_force import SETS, Truth, find_truth
from pipeline.core import bitset
from pipeline.core.symmetry import (
    SymmetryClass,
    apply,
    belonging,
    canonical,
    invariant,
    orbits,
    permutations,
    symmetry_classes,
    trimmed_classes,
)
from pipeline.engine.blocking import blockers_of
from pipeline.engine.greedy import complete_many, greedy_many, repair
from pipeline.engine.space import make_space, usable_among, usable_classes
from pipeline.engine.state import (
    VIOLATIONS,
    Space,
    State,
    conflicts_added,
    conflicts_removed,
    join,
    leave,
    new_state,
)
from pipeline.errors import UsageError
from pipeline.model.tokens import ENCODERS, ORDERS, PAD, make_encoder
from pipeline.plugins import load_problem
from pipeline.problem import Problem

_STEPS, _CHOICES = 30, 8


class ProblemContract:
    """What the framework takes for granted of a problem. Subclass it, and let pytest collect it::

        class TestMine(ProblemContract):
            problem = "path/to/mine.py:Mine"
            sizes = (2, 3, 4)

            def is_valid(self, n, points):
                return not any(bad(*three) for three in itertools.combinations(points, 3))

    Attributes:
        problem: what ``load_problem`` takes, or a function without arguments (a class, say)
            that returns the problem.
        convention: one of the problem's, where ``problem`` is a string; None for its default.
        sizes: the n to test; small ones, since all sets of ``arity`` elements are looked at.
        seed: of the random sets.
    """

    problem: ClassVar[str | Callable[..., Problem]]
    convention: ClassVar[str | None] = None
    sizes: ClassVar[Sequence[int]] = (2, 3, 4)
    seed: ClassVar[int] = 1

    def is_valid(self, n: int, points: list[tuple[int, ...]]) -> bool:
        """Say whether these points (their coordinates) hold nothing forbidden: slow, obvious.

        A forbidden configuration is a smallest set for which this is False.
        """
        raise NotImplementedError(f"{type(self).__name__} lacks is_valid, the naive oracle")

    def expected_score(self, n: int, points: list[tuple[int, ...]]) -> int:
        """Return the score of these points; override it where the problem overrides score."""
        return len(points)

    def test_ground_set_is_sound(self) -> None:
        for t in self._truths():
            assert t.ground.n == t.n, f"{t}: the ground set says n={t.ground.n}"
            told = t.problem.ground_size(t.n)
            assert told == t.ground.m, f"{t}: elements() says {told}, there are {t.ground.m}"
            assert len(set(t.points)) == t.ground.m, f"{t}: two elements share coordinates"
            assert t.valid([]), f"{t}: the empty set must be valid"
            alone = [t.points[v] for v in range(t.ground.m) if not t.valid([v])]
            assert not alone, f"{t}: {alone[0]} is forbidden by itself; leave it out of the ground"
            symmetry_classes(t.ground)  # raises ValueError unless the rows are a group

    def test_arity_is_the_size_of_the_largest_forbidden_configuration(self) -> None:
        for t in self._truths():
            for inside in t.random_sets():
                held = t.violations(inside)
                assert t.valid(np.flatnonzero(inside)) == (held == 0), (
                    f"{t}: the oracle and the {held} forbidden configurations of at most "
                    f"arity = {t.problem.arity} points disagree on {t.show(inside)}"
                )

    def test_group_maps_forbidden_to_forbidden(self) -> None:
        for t in self._truths():
            known = {tuple(row) for row in t.forbidden.tolist()}
            for g, permutation in enumerate(t.ground.group):
                images = np.sort(np.append(permutation, t.ground.m)[t.forbidden], axis=1).tolist()
                stray = next((row for row in images if tuple(row) not in known), None)
                assert stray is None, f"{t}: group[{g}] maps a forbidden set to the valid {stray}"
            for cls in trimmed_classes(t.ground):
                inside = np.append(belonging(t.ground, cls), True)[t.forbidden].all(axis=1)
                for permutation in permutations(t.ground, cls):
                    images = np.append(permutation, t.ground.m)[t.forbidden[inside]]
                    images = np.sort(images, axis=1).tolist()
                    stray = next((row for row in images if tuple(row) not in known), None)
                    assert stray is None, (
                        f"{t}: boxes=True, but {cls.name} maps a forbidden set to the valid {stray}"
                    )
            for row in bitset.pack(t.sets()):
                g = np.arange(len(t.ground.group))
                moved = apply(np.repeat(row[None], len(g), axis=0), t.ground, g)
                valid = [t.valid(bitset.points(image, t.ground.m)) for image in moved]
                assert len(set(valid)) == 1, f"{t}: group[{valid.index(not valid[0])}] does not act"
                scores = t.problem.evaluate(moved, t.n)
                g = int(np.argmax(scores != scores[0]))
                assert scores[g] == scores[0], (
                    f"{t}: group[{g}] changes a score; name the maps that do not, in symmetries(n)"
                )
                forms = canonical(moved, t.ground)
                assert (forms == forms[0]).all(), f"{t}: equivalent sets have different forms"

    def test_hook_counts_match_the_oracle(self) -> None:
        for t in self._truths():
            plain = make_space(t.problem, t.n)
            # The other way of counting does not mend what the hook does to v itself.
            for space in (plain, plain._replace(exact=False)):
                for state, inside in _walk(space, t.rng()):
                    said, true = state.counts[: t.ground.m], t.counts(inside)
                    v = int(np.argmax(said != true))
                    assert said[v] == true[v], (
                        f"{t}: {t.show(inside)} lacks only {t.points[v]} to hold {true[v]} "
                        f"forbidden configurations, the hook counted {said[v]}"
                    )

    def test_blockers_match_the_oracle(self) -> None:
        for t in self._truths():
            if t.problem.find_blockers is None:
                continue
            for inside in t.greedy():
                members = t.rng().permutation(np.flatnonzero(inside)).astype(np.int32)
                others = np.flatnonzero(~inside).astype(np.int32)
                for size in range(len(members) + 1):
                    since = int(t.rng().integers(size + 1)) if size % 2 else 0
                    rows = blockers_of(t.problem, t.n, others, members[:size], since)
                    held, new = members[:size], set(members[since:size].tolist())
                    for u, row in zip(others.tolist(), rows.tolist(), strict=True):
                        blocker = {w for w in row if w >= 0}
                        true = t.closed_by(u, held, new)
                        where = f"{t}: of {t.points[u]} with {t.at(held)}, since {since},"
                        assert bool(true) == (row[0] >= 0), f"{where} blockers are {true}"
                        assert not blocker or blocker in true, f"{where} {blocker} is none"

    def test_loads_of_choices_match_the_oracle(self) -> None:
        for t, space, _ in self._spaces():
            rng = t.rng()
            for state, inside in _walk(space, rng):
                here, said = t.violations(inside), state.totals[VIOLATIONS]
                assert said == here, f"{t}: {t.show(inside)} counts {said} violations, not {here}"
                for choice in rng.permutation(len(space.start) - 1)[:_CHOICES].tolist():
                    changed = inside ^ _cells_of(space, choice, t.ground.m)
                    true = t.violations(changed) - here
                    if state.position[choice] < 0:
                        said = conflicts_added(space, state, choice)
                        agrees = said == true if space.exact else 0 <= said <= true
                    else:
                        true, said = -true, conflicts_removed(space, state, choice)
                        agrees = said == true if space.exact else said >= true
                    assert agrees, (
                        f"{t}: between {t.show(inside)} and {t.show(changed)} are {true} "
                        f"violations, the load says {said}"
                    )

    def test_greedy_sets_are_valid_and_maximal(self) -> None:
        for t, space, cls in self._spaces():
            cells = np.zeros((SETS, bitset.width(t.ground.m)), np.uint8)
            greedy_many(space, t.stream(), cells)
            self._assert_maximal(t, space, cls, cells)

    def test_completed_sets_are_valid_and_maximal(self) -> None:
        for t, space, cls in self._spaces():
            of = orbits(t.ground, cls).of
            cells = bitset.pack(t.rng().random((SETS, of.max() + 1))[:, of] < 0.4)
            complete_many(space, t.stream(), cells)
            self._assert_maximal(t, space, cls, cells)

    def _assert_maximal(self, t, space, cls, cells) -> None:
        assert invariant(cells, t.ground, cls).all(), f"{t}: search lost the symmetry {cls.name}"
        for inside in bitset.unpack(cells, t.ground.m):
            assert t.valid(np.flatnonzero(inside)), f"{t}: search made {t.show(inside)}, not valid"
            for choice in range(len(space.start) - 1):
                joined = inside | _cells_of(space, choice, t.ground.m)
                assert (joined == inside).all() or t.violations(joined), (
                    f"{t}: search left {t.show(inside)}, though {t.show(joined)} is valid"
                )

    def test_repaired_sets_are_valid_subsets(self) -> None:
        for t, space, _ in self._spaces():
            for state, inside in _walk(space, t.rng()):
                repaired = State(*(array.copy() for array in state))
                repair(space, repaired, t.stream())
                left = repaired.inside.astype(np.bool_)
                assert not (left & ~inside).any(), f"{t}: repair added to {t.show(inside)}"
                assert t.valid(np.flatnonzero(left)), f"{t}: repair left {t.show(left)}, not valid"

    def test_validator_agrees_with_the_oracle(self) -> None:
        for t in self._truths():
            small = bitset.from_points([np.array(s, np.int64) for s in t.small], t.ground.m)
            sets = t.sets()
            valid = np.array([t.valid(np.flatnonzero(s)) for s in sets])
            cells = bitset.pack(sets)
            batches = [(small, t.small_valid), (cells, valid), (cells[::-1], valid[::-1])]
            batches += [(cells[i : i + 1], valid[i : i + 1]) for i in range(len(sets))]
            for batch, true in batches:
                said = t.problem.is_allowed(batch, t.n)
                assert said.shape == true.shape, f"{t}: validate gives the shape {said.shape}"
                i = int(np.argmax(said != true))
                assert said[i] == true[i], (
                    f"{t}: the validator says {bool(said[i])} of "
                    f"{t.show(bitset.unpack(batch[i : i + 1], t.ground.m)[0])}, the oracle not"
                )

    def test_witness_shows_a_violation_inside_the_set(self) -> None:
        for t in self._truths():
            for inside in t.sets():
                members = np.flatnonzero(inside)
                witness = t.problem.witness(members, t.n)
                if t.valid(members):
                    assert witness is None, f"{t}: witness {witness} against {t.show(inside)}"
                    continue
                assert witness, f"{t}: no witness against {t.show(inside)}"
                assert set(witness) <= set(members.tolist()), f"{t}: {witness} is not in the set"
                assert not t.valid(sorted(witness)), f"{t}: the witness {witness} is valid"

    def test_scores_are_those_of_the_points(self) -> None:
        for t in self._truths():
            sets = t.sets()
            true = np.array([self.expected_score(t.n, t.at(np.flatnonzero(s))) for s in sets])
            # Batches of one shape in one array, in turn: a score that is remembered by anything
            # but the cells is wrong at the second.
            batch = np.empty_like(bitset.pack(sets))
            for order in (np.arange(len(sets)), np.arange(len(sets))[::-1]) * 2:
                batch[:] = bitset.pack(sets[order])
                said = t.problem.evaluate(batch, t.n)
                assert said.shape == true.shape, f"{t}: score gives the shape {said.shape}"
                i = int(np.argmax(said != true[order]))
                assert said[i] == true[order][i], (
                    f"{t}: {t.show(sets[order][i])} scores {said[i]}, not {true[order][i]}"
                )

    def test_proved_values_are_not_exceeded(self) -> None:
        for t in self._truths():
            known = t.problem.known(t.n)
            if known is not None:
                assert known.source, f"{t}: a known value needs its source"
                best = t.problem.evaluate(bitset.pack(t.greedy()), t.n).max()
                assert not known.proved or best <= known.value, f"{t}: {best} beats the proved"

    def test_encoders_read_back_what_they_wrote(self) -> None:
        grounds = {t.n: t.ground for t in self._truths()}
        for t, _, cls in self._spaces():
            own = t.problem.encoders()
            of = orbits(t.ground, cls).of
            random = t.rng().random((SETS, of.max() + 1))[:, of] < 0.4
            trivial = cls.order == 1
            cells = bitset.pack(np.concatenate([t.sets(), random]) if trivial else random)
            for kind in {**ENCODERS, **own}:
                found = 0
                for order in ORDERS:
                    # One vocabulary for all sizes; not each of them need have the class.
                    several = grounds if trivial else {t.n: t.ground}
                    try:
                        encoder = make_encoder(kind, several, cls.name, order, own=own)
                    except UsageError:  # not every kind takes every order and symmetry
                        continue
                    own_cells = cells[encoder.encodable(cells, t.n)]
                    found += len(own_cells)
                    where = f"{t}: encoder {kind!r} ({order} order, symmetry {cls.name})"
                    tokens = encoder.encode(own_cells, t.n)
                    back, ok = encoder.decode(tokens, t.n)
                    assert ok.all(), f"{where} cannot read what it wrote"
                    assert (back == own_cells).all(), f"{where} reads something else than it wrote"
                    back, ok = encoder.decode(encoder.encode(own_cells, t.n, t.rng()), t.n)
                    same = canonical(back, t.ground) == canonical(own_cells, t.ground)
                    assert ok.all(), f"{where} cannot read what it moved"
                    assert same.all(), f"{where} changes more than the position"
                    ended = np.where(np.arange(tokens.shape[1]) < 2, tokens, PAD)
                    assert not encoder.decode(ended, t.n)[1].any(), f"{where} reads a torn row"
                assert found or not trivial, f"{t}: encoder {kind!r} takes no construction at all"

    def _truths(self) -> Iterator[Truth]:
        for n in self.sizes:
            yield _truth(type(self), n)  # found once, for all tests of the class

    def _spaces(self) -> Iterator[tuple[Truth, Space, SymmetryClass]]:
        for t in self._truths():
            boxes = [cls.name for cls in trimmed_classes(t.ground)]
            for cls in (*usable_classes(t.problem, t.n), *usable_among(t.problem, t.n, boxes)):
                yield t, make_space(t.problem, t.n, cls), cls


@cache
def _truth(contract: type[ProblemContract], n: int) -> Truth:
    given, oracle = contract.problem, contract()
    problem = load_problem(given, contract.convention) if isinstance(given, str) else given()
    return find_truth(problem, n, oracle.is_valid, contract.seed)


def _walk(space: Space, rng: np.random.Generator) -> Iterator[tuple[State, np.ndarray]]:
    """Let random choices join and leave, violations allowed; yield the state and its set."""
    state = new_state(space)
    for _ in range(_STEPS):
        choice = int(rng.integers(len(space.start) - 1))
        (join if state.position[choice] < 0 else leave)(space, state, choice)
        yield state, state.inside.astype(np.bool_)


def _cells_of(space: Space, choice: int, m: int) -> np.ndarray:
    """Return the elements of a choice, bool ``(m,)``."""
    inside = np.zeros(m, np.bool_)
    inside[space.elements[space.start[choice] : space.start[choice + 1]]] = True
    return inside

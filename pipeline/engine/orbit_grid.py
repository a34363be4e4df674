"""A ground set as the choices of a symmetry class, and what sets of them leave free."""

import numpy as np

from pipeline.core.bitset import pack, unpack
from pipeline.core.symmetry import find_whole_class, normaliser
from pipeline.engine.choice_features import (
    Geometry,
    counted,
    describe,
    features_of,
    make_geometry,
)
from pipeline.engine.pair_tables import with_tables
from pipeline.engine.set_batch import free_choices, join_each
from pipeline.engine.space import choice_of, make_space
from pipeline.engine.state import Space, State, new_state
from pipeline.problem import Problem


class OrbitGrid:
    """The choices at one size: the orbits of a class that hold nothing forbidden, M of them.

    Attributes:
        n: the size.
        places: int64 ``(M, d)``, the coordinates of each choice's smallest element.
        fractions: float64 ``(M, d)``, the same in 0..1, by the box that the ground set fills.
        ground: the ground set.
        geometry: where the choices lie in it.
    """

    def __init__(
        self,
        problem: Problem,
        n: int,
        symmetry: str = "trivial",
        mask: np.ndarray | None = None,
        table_bytes: int = 0,
    ) -> None:
        """Lay them out.

        Args:
            mask: bool ``(m,)``, the elements outside of which nothing is free; None for all.
            table_bytes: what pair tables may take, with which sets grow faster.

        Raises:
            UsageError: no such class, or no construction can have it.
        """
        ground = problem.ground(n)
        cls = find_whole_class(ground, symmetry)
        self.n, self.ground = n, ground
        self._space = make_space(problem, n, cls)
        self._counting = with_tables(self._space, problem.arity, table_bytes) or self._space
        self.geometry = make_geometry(ground, self._space.start, self._space.elements)
        self._tells_blocked = problem.find_blockers is None
        self._of = choice_of(self._space)
        self._first = self._space.elements[self._space.start[:-1]]
        self._moved = self._of[ground.group[list(normaliser(ground, cls))][:, self._first]]
        self.places = ground.coords[self._first].astype(np.int64)
        low, high = ground.coords.min(axis=0), ground.coords.max(axis=0)
        self.fractions = (self.places - low) / np.maximum(high - low, 1)
        self._within = np.ones(len(self), np.bool_)
        if mask is not None:
            self._within[self._of[~mask & (self._of >= 0)]] = False

    def __len__(self) -> int:
        return len(self._first)

    def readable(self, cells: np.ndarray) -> np.ndarray:
        """Return bool ``(B,)``: which packed cells ``(B, bytes)`` are unions of choices."""
        return (cells == self.cells(self.members(cells))).all(axis=1)

    def members(self, cells: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Return bool ``(B, M)``: the choices whose smallest element packed cells hold.

        Args:
            rng: moves each construction by a random symmetry that permutes the choices.
        """
        inside = unpack(cells, len(self._of))[:, self._first]
        if rng is None:
            return inside
        rows, choices = np.nonzero(inside)
        moved = self._moved[rng.integers(len(self._moved), size=len(cells))[rows], choices]
        inside = np.zeros_like(inside)
        inside[rows, moved] = True
        return inside

    def cells(self, members: np.ndarray) -> np.ndarray:
        """Return the packed cells ``(B, bytes)`` of choices bool ``(B, M)``."""
        return pack(members[:, self._of] & (self._of >= 0))

    def cores(self, cells: np.ndarray) -> np.ndarray:
        """Return the choices that packed cells ``(B, bytes)`` hold whole, packed likewise."""
        space, inside = self._space, unpack(cells, len(self._of))[:, self._space.elements]
        return self.cells(np.minimum.reduceat(inside, space.start[:-1], axis=1))

    @property
    def feature_count(self) -> int:
        """How many features a choice has, F."""
        none = np.zeros((0, counted(self.geometry)), np.int32)
        free, sizes = np.zeros((1, len(self)), np.bool_), np.zeros(1, np.int64)
        return features_of(self.geometry, self.ground, free, none, sizes).shape[1]

    def begin(self, rows: int) -> "GridSets":
        """Start ``rows`` empty sets."""
        return GridSets(self._counting, self._within, rows)

    def free(self, members: np.ndarray) -> np.ndarray:
        """Return bool ``(B, M)``: what can be added to each set of choices ``(B, M)``."""
        return self.holding(members).free()

    def holding(self, members: np.ndarray) -> "GridSets":
        """Return sets of choices bool ``(B, M)`` as ones that may grow on."""
        filling = self.begin(len(members))
        counts = members.sum(axis=1)
        order = np.argsort(~members, axis=1, kind="stable")
        for place in range(int(counts.max(initial=0))):
            filling.join(np.where(place < counts, order[:, place], -1))
        return filling

    def features(self, sets: "GridSets", free: np.ndarray) -> np.ndarray:
        """Return float32 ``(R, F)``: what is known of each choice marked in ``free (B, M)``."""
        counts = sets.describe(free, self.geometry, self._tells_blocked)
        return features_of(self.geometry, self.ground, free, counts, sets.sizes(self.geometry))


class GridSets:
    """Sets that grow choice by choice, by the problem's own counts."""

    def __init__(self, space: Space, within: np.ndarray, rows: int) -> None:
        """Start ``rows`` empty sets; ``within (M,)`` are the choices that may be free."""
        one = new_state(space)
        self._space, self._within = space, within
        self._states = State(*(np.repeat(a[None], rows, axis=0) for a in one))

    def free(self) -> np.ndarray:
        """Return bool ``(rows, M)``: the absent choices that close nothing with what is there."""
        states = self._states
        free = np.empty((len(states.totals), len(self._within)), np.bool_)
        free_choices(self._space, states, free)
        return free & self._within

    def join(self, choices: np.ndarray) -> None:
        """Add a choice int64 ``(rows,)`` to each set; -1, or one that is there, adds nothing."""
        join_each(self._space, self._states, choices)

    def describe(self, free: np.ndarray, geometry: Geometry, blocks: bool) -> np.ndarray:
        """Return int32 ``(R, K)``: what is counted of each choice marked in ``free``."""
        counts = np.empty((int(free.sum()), counted(geometry)), np.int32)
        before = np.empty(free.shape[1], np.int64)
        describe(self._space, self._states, free, geometry, blocks, before, counts)
        return counts

    def sizes(self, geometry: Geometry) -> np.ndarray:
        """Return int64 ``(rows,)``: the elements of each set."""
        return (self._states.position >= 0) @ np.diff(geometry.start).astype(np.int64)

    def keep(self, index: np.ndarray) -> None:
        """Go on with these rows alone."""
        self._states = State(*(a[index] for a in self._states))

"""The finite set whose subsets are constructions, and the group that acts on it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from pipeline.core.bitset import mismatch

Forms = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, eq=False)
class GroundSet:
    """The finite set whose subsets are the constructions of one size ``n``.

    Attributes:
        n: the problem's size parameter (the side of the grid, the number of vertices, ...).
        coords: int32 ``(m, d)``; row v holds the coordinates of element v, all rows distinct.
            Other integers are taken too, where int32 holds them.
        group: int32 ``(g, m)`` likewise; row i is a permutation of the elements, the identity
            first.
            Any group of symmetries of the problem; it need not be all of them.
        class_names: a name for each symmetry class that has one, as the indices (into
            ``group``) of elements that generate a subgroup of that class.
        only_named: whether these classes, the trivial one and that of the whole group are all
            that a search tries: for groups of many subgroups, of which the problem knows the
            promising ones.
        boxes: whether every box of the grid that ``coords`` fill has the symmetries of a box: the
            linear parts of ``group``, about the centre of the box, map what is forbidden within it
            to what is. So it is where translations and the group keep the problem. Classes of
            boxes may then be searched in (see ``symmetry.find_class``).
        graph: whether constructions are graphs on the vertices 0 .. n - 1, their elements the
            edges: all pairs of vertices, the smaller first. They are then equivalent where they
            are isomorphic, drawn as graphs, and written as graph6.
        letters: the names of letters, where elements are pairs (position, letter) in this order and
            constructions are words; empty elsewhere.
        forms: canonical forms of the problem's own, under a group that is too large to be
            listed: ``forms(cells)`` returns for packed uint8 ``(B, bytes)`` as many rows, equal
            exactly for equivalent constructions, and int64 ``(B,)``, the orders of the
            stabilisers. None for the least images under ``group``.

    Raises:
        ValueError: an attribute of another dtype, shape or range. That the rows of ``group``
            are distinct and closed is checked where the group is first used as one.
    """

    n: int
    coords: np.ndarray
    group: np.ndarray
    class_names: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    only_named: bool = False
    boxes: bool = False
    graph: bool = False
    letters: tuple[str, ...] = ()
    forms: Forms | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.n, int) or self.n < 1:
            raise mismatch("n", "an integer from 1", repr(self.n))
        for name in ("coords", "group"):
            object.__setattr__(self, name, _as_int32(name, getattr(self, name)))
        coords, group = self.coords, self.group
        if not _is_int32_matrix(coords) or not coords.size:
            raise mismatch("coords", "int32 (m, d), not empty", coords)
        ordered = coords[np.lexsort(coords.T)]
        if (ordered[1:] == ordered[:-1]).all(axis=1).any():
            raise mismatch("coords", "distinct rows", "two that are equal")
        everyone = np.arange(self.m, dtype=np.int32)
        if not _is_int32_matrix(group) or not len(group) or group.shape[1] != self.m:
            raise mismatch("group", f"int32 (g, {self.m})", group)
        if (group[0] != everyone).any():
            raise mismatch("group", "the identity as row 0", "another permutation")
        wrong = np.flatnonzero((np.sort(group, axis=1) != everyone).any(axis=1))
        if len(wrong):
            raise mismatch("group", "permutations of the elements", f"none in row {wrong[0]}")
        if self.graph:
            b, a = np.tril_indices(self.n, -1)
            pairs = np.stack([a, b], axis=1)
            if (
                coords.shape != pairs.shape
                or (np.unique(coords, axis=0) != np.unique(pairs, axis=0)).any()
            ):
                raise mismatch("coords", f"all pairs a < b of {self.n} vertices", coords)
        for name, seeds in self.class_names.items():
            if not all(0 <= seed < len(group) for seed in seeds):
                expected = f"indices in 0 .. {len(group) - 1}"
                raise mismatch(f"class_names[{name!r}]", expected, tuple(seeds))

    @property
    def m(self) -> int:
        """The number of elements."""
        return len(self.coords)

    @property
    def up_to(self) -> str:
        """Up to what two constructions are told apart, in words.

        A group that is listed need not be the whole one, and so its order is named.
        """
        if self.graph:
            return "isomorphism"
        if self.forms is not None:
            return "the canonical forms of the problem"
        order = len(self.group)
        if order == 1:
            return "equality, since no symmetry is known"
        return f"the {order:,} symmetries that are known"


def _as_int32(name: str, array: np.ndarray) -> np.ndarray:
    """Return integers as int32.

    Raises:
        ValueError: one is too large.
    """
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu":
        return array  # which is told of with its shape
    if array.dtype == np.int32 or not array.size:
        return array.astype(np.int32, copy=False)
    low, high = int(array.min()), int(array.max())
    if low < -(2**31) or high >= 2**31:
        raise mismatch(name, "numbers that int32 holds", f"{low} .. {high}")
    return array.astype(np.int32)


def most_listed(m: int) -> int:
    """Return the order of the largest group on m elements that is put together from what is found.

    Canonical forms try every permutation: 2,000 take 0.1 ms for a set of ten elements. On many
    elements memory is the bound, 80 MB at m = 10,000.
    """
    return 2_000 if m <= 10_000 else 500


def close_group(generators: np.ndarray, limit: int = 20_000) -> np.ndarray:
    """Return all products of the generators, breadth first: int32 ``(g, m)``, identity first.

    Args:
        generators: integers ``(k, m)``; row i is a permutation, the image of v at column v.
        limit: the largest group to return.

    Raises:
        ValueError: a row that is no permutation; a group of more than ``limit`` elements.
    """
    generators = np.asarray(generators)
    if generators.ndim != 2 or generators.dtype.kind not in "iu":
        raise mismatch("generators", "integers (k, m)", generators)
    identity = np.arange(generators.shape[1], dtype=np.int32)
    if (np.sort(generators, axis=1) != identity).any():
        raise mismatch("generators", "permutations", "a row that is none")
    generators = generators.astype(np.int32)
    found = {identity.tobytes(): identity}
    frontier = [identity]
    while frontier:
        products = [generator[element] for element in frontier for generator in generators]
        frontier = []
        for element in products:
            if found.setdefault(element.tobytes(), element) is element:
                frontier.append(element)
        if len(found) > limit:
            raise mismatch("generators", f"a group of at most {limit} elements", "more")
    return np.stack(list(found.values()))


def _is_int32_matrix(array: object) -> bool:
    return isinstance(array, np.ndarray) and array.dtype == np.int32 and array.ndim == 2

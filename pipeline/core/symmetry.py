"""Group actions on a ground set: orbits, canonical form, stabiliser, symmetry classes."""

from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from pipeline.core import bitset, boxes
from pipeline.core.bitset import mismatch, row_points
from pipeline.core.graph_forms import graph_forms
from pipeline.core.ground_set import Forms, GroundSet
from pipeline.core.jit import is_loaded, njit, suited
from pipeline.core.permutation_group import PermutationGroup, Subgroup
from pipeline.core.threads import by_rows
from pipeline.errors import UsageError, nearest

#: Up to so many bytes of images NumPy is done before numba is imported.
_NUMPY_BYTES = 4_000_000


@dataclass(frozen=True)
class SymmetryClass:
    """A subgroup that stands for all its conjugates: sorted indices into the ground's group.

    Attributes:
        box: the sides of the box about whose centre these maps act; empty for the ground set's.
            Elements outside have no part in the class.
    """

    name: str
    elements: tuple[int, ...]
    box: tuple[int, ...] = ()

    @property
    def order(self) -> int:
        """The number of elements of the subgroup."""
        return len(self.elements)


@dataclass(frozen=True, eq=False)
class Orbits:
    """The orbits of a subgroup, ordered by their smallest element. Shared: do not write to it.

    Attributes:
        start: int32 ``(M + 1,)``; orbit i is ``elements[start[i] : start[i + 1]]``.
        elements: int32 ``(m,)``; ascending within an orbit.
        of: int32 ``(m,)``; the orbit of each element.
    """

    start: np.ndarray
    elements: np.ndarray
    of: np.ndarray

    def __len__(self) -> int:
        return len(self.start) - 1


@lru_cache(maxsize=32)
def symmetry_classes(ground: GroundSet) -> tuple[SymmetryClass, ...]:
    """Return one subgroup of each conjugacy class, by order, then by a fixed order.

    The trivial class ("trivial") is first and the whole group ("all" unless named) is last.
    ``ground.class_names`` names classes, and a name's own subgroup stands for its class; where
    two names mean one class (a group that acts on few elements) the first is kept; classes
    without a name are "order-ORDER-K". All classes are listed while there are few
    (``subgroups.MAX_ORDER`` group elements, ``subgroups.MAX_CLASSES`` classes); otherwise the
    trivial, the cyclic and the named ones and the whole group. With ``ground.only_named`` these
    without the cyclic ones, however many there are.

    Raises:
        ValueError: ``ground.group`` is no group; a name that another class must carry.
    """
    group = _permutations(ground)
    # A class is known by the smallest of its conjugates, however it was found.
    standing: dict[Subgroup, Subgroup] = {}
    whole = tuple(range(group.order))
    for subgroup in [(0,), whole] if ground.only_named else group.subgroups():
        smallest = min(group.conjugates(subgroup))
        standing[smallest] = smallest
    names: dict[Subgroup, str] = {(0,): "trivial"}
    for name, seeds in ground.class_names.items():
        subgroup = group.generated(seeds)
        smallest = min(group.conjugates(subgroup))
        if smallest not in names:
            names[smallest] = name
            standing[smallest] = subgroup
    names.setdefault(whole, "all")
    classes: list[SymmetryClass] = []
    unnamed: dict[int, int] = {}
    for smallest in sorted(standing, key=lambda subgroup: (len(subgroup), subgroup)):
        order = len(smallest)
        if smallest not in names:
            unnamed[order] = unnamed.get(order, 0) + 1
        name = names.get(smallest, f"order-{order}-{unnamed.get(order)}")
        if any(name == other.name for other in classes):
            raise mismatch("class_names", f"{name!r} for the class that has it", "another")
        classes.append(SymmetryClass(name, standing[smallest]))
    return tuple(classes)


def find_class(ground: GroundSet, name: str) -> SymmetryClass:
    """Return the symmetry class called ``name``.

    "both-mirrors@55x56" is the class "both-mirrors" about the centre of a box of these sides in
    the corner of the grid.

    Raises:
        UsageError: there is none.
    """
    classes = {cls.name: cls for cls in symmetry_classes(ground)}
    if name in classes:
        return classes[name]
    whole, _, box = name.partition("@")
    if whole not in classes:
        raise UsageError(f"no symmetry class {whole!r}{nearest(whole, classes)}")
    return _in_a_box(ground, classes[whole], box)


def find_whole_class(ground: GroundSet, name: str) -> SymmetryClass:
    """Return the symmetry class called ``name``, which must not be one of a box.

    Raises:
        UsageError: there is none, or it is one of a box, with which local search alone can deal.
    """
    cls = find_class(ground, name)
    if cls.box:
        raise UsageError(f"{name!r}: local search alone takes a symmetry class of a box")
    return cls


@lru_cache(maxsize=32)
def trimmed_classes(ground: GroundSet) -> tuple[SymmetryClass, ...]:
    """Return the classes about the centres of boxes that are a cell shorter in one direction.

    One of those that the whole group takes to each other, and none that the shorter direction does
    not matter to. Empty where ``ground.boxes`` is not set.
    """
    if not ground.boxes:
        return ()
    group, found = _permutations(ground), {}
    for cls in symmetry_classes(ground):
        for sides in boxes.trimmed_boxes(ground, cls.elements):
            images = enumerate(boxes.turned(ground, sides))
            first = min((image, group.conjugate(cls.elements, g)) for g, image in images)
            found.setdefault(first, _in_a_box(ground, cls, boxes.write_box(sides)))
    return tuple(found.values())


def _in_a_box(ground: GroundSet, cls: SymmetryClass, text: str) -> SymmetryClass:
    sides = boxes.read_box(ground, text)
    if boxes.box_permutations(ground, cls.elements, sides) is None:
        raise UsageError(
            f"the symmetry {cls.name!r} does not map a box of {text} onto itself; take one with "
            "equal sides, or another class"
        )
    return SymmetryClass(f"{cls.name}@{boxes.write_box(sides)}", cls.elements, sides)


@lru_cache(maxsize=64)
def permutations(ground: GroundSet, cls: SymmetryClass) -> np.ndarray:
    """Return int32 ``(order, m)``, the permutations of the class; they fix what is outside it."""
    if not cls.box:
        return ground.group[list(cls.elements)]
    found = boxes.box_permutations(ground, cls.elements, cls.box)
    assert found is not None, f"{cls.name} was made where it maps its box onto itself"
    return found


def belonging(ground: GroundSet, cls: SymmetryClass) -> np.ndarray:
    """Return bool ``(m,)``: the elements that a class acts on; all, unless it is one of a box."""
    return boxes.within(ground, cls.box) if cls.box else np.ones(ground.m, np.bool_)


@lru_cache(maxsize=256)
def orbits(ground: GroundSet, cls: SymmetryClass) -> Orbits:
    """Return the orbits of the class's subgroup on the elements."""
    smallest = permutations(ground, cls).min(axis=0)
    elements = np.argsort(smallest, kind="stable").astype(np.int32)
    _, of, sizes = np.unique(smallest, return_inverse=True, return_counts=True)
    start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    return Orbits(start, elements, of.astype(np.int32))


@lru_cache(maxsize=256)
def normaliser(ground: GroundSet, cls: SymmetryClass) -> tuple[int, ...]:
    """Return the indices of the group elements x with x H x^-1 = H, H the class's subgroup.

    These permute the orbits of H, so they act on constructions that H fixes. H is a class of the
    whole ground set.
    """
    return _permutations(ground).normaliser(cls.elements)


def canonical(cells: np.ndarray, ground: GroundSet) -> np.ndarray:
    """Return the canonical form of each row: equal exactly for equivalent constructions.

    That is its least image (bytes compared in order) under the whole group, unless the ground set
    has forms of its own.

    Args:
        cells: packed uint8 ``(B, bytes)``; so is the result.

    Raises:
        ValueError: ``cells`` does not fit the ground set.
    """
    cells = bitset.checked(cells, ground.m)
    own = _own_forms(ground)
    if own is not None:
        return own(cells)[0]
    work = cells.size * len(ground.group)
    group = np.ascontiguousarray(ground.group)
    if not is_loaded() and work <= _NUMPY_BYTES:
        return _least_images_in_numpy(cells, group)
    return by_rows(lambda some: _least_images(some, group), cells, work)


def apply(cells: np.ndarray, ground: GroundSet, index: int | np.ndarray) -> np.ndarray:
    """Return the packed images of uint8 ``(B, bytes)`` under ``ground.group[index]``.

    Args:
        index: one group element for all rows, or integers ``(B,)``, one for each.

    Raises:
        ValueError: ``cells`` does not fit the ground set; a wrong or out-of-range ``index``.
    """
    cells = bitset.checked(cells, ground.m)
    index = np.asarray(index)
    if index.dtype.kind not in "iu" or index.shape not in ((), (len(cells),)):
        raise mismatch("index", f"an integer or integers ({len(cells)},)", index)
    if index.size and (index.min() < 0 or index.max() >= len(ground.group)):
        expected = f"0 .. {len(ground.group) - 1}"
        raise mismatch("index", expected, f"{index.min()} .. {index.max()}")
    each = np.ascontiguousarray(np.broadcast_to(index, len(cells)), np.int64).copy()
    return suited(_images, cells.size)(cells, np.ascontiguousarray(ground.group), each)


def stabiliser(row: np.ndarray, ground: GroundSet) -> tuple[int, ...]:
    """Return the indices of the group elements that fix the packed row ``(bytes,)``.

    Raises:
        ValueError: the row does not fit the ground set.
    """
    return tuple(np.flatnonzero(_fixing(row[None], ground.group)[0]).tolist())


def stabiliser_orders(cells: np.ndarray, ground: GroundSet) -> np.ndarray:
    """Return integers ``(B,)``: how many symmetries fix each row of uint8 ``(B, bytes)``.

    These are elements of the group; the automorphisms of a graph.

    Raises:
        ValueError: ``cells`` does not fit the ground set.
    """
    cells = bitset.checked(cells, ground.m)
    own = _own_forms(ground)
    if own is not None:
        return own(cells)[1]
    return _fixing(cells, ground.group).sum(axis=1, dtype=np.int32)


def stabiliser_names(cells: np.ndarray, ground: GroundSet) -> list[str]:
    """Return for each row of uint8 ``(B, bytes)`` the symmetry class of its stabiliser.

    One that is none of ``symmetry_classes`` (the list may be short where the group is large) is
    "order-ORDER"; so are all where the ground set has canonical forms of its own.

    Raises:
        ValueError: ``cells`` does not fit the ground set.
    """
    if _own_forms(ground) is not None:
        orders = stabiliser_orders(cells, ground).tolist()
        return ["trivial" if order == 1 else f"order-{order}" for order in orders]
    group = _permutations(ground)
    names = {min(group.conjugates(c.elements)): c.name for c in symmetry_classes(ground)}
    kinds, which = np.unique(_fixing(cells, ground.group), axis=0, return_inverse=True)
    found = []
    for kind in kinds:
        fixing = tuple(np.flatnonzero(kind).tolist())
        found.append(names.get(min(group.conjugates(fixing)), f"order-{len(fixing)}"))
    return [found[i] for i in which.reshape(-1).tolist()]


def invariant(cells: np.ndarray, ground: GroundSet, cls: SymmetryClass) -> np.ndarray:
    """Return bool ``(B,)``: the rows that every element of the class's subgroup fixes.

    Raises:
        ValueError: ``cells`` does not fit the ground set.
    """
    return _fixing(cells, permutations(ground, cls)).sum(axis=1) == cls.order


def _own_forms(ground: GroundSet) -> Forms | None:
    """Return what gives the ground set's own canonical forms, if it has any."""
    if ground.graph and ground.forms is None:
        return partial(graph_forms, edges=ground.coords, n=ground.n)
    return ground.forms


@lru_cache(maxsize=32)
def _permutations(ground: GroundSet) -> PermutationGroup:
    return PermutationGroup(ground.group)


@njit
def _least_images(cells, group):
    """O(B g (points + bytes compared)); a comparison stops at the first byte that differs."""
    least = cells.copy()
    points = np.empty(group.shape[1], np.int64)
    image = np.zeros(cells.shape[1], np.uint8)
    for b in range(cells.shape[0]):
        count = row_points(cells[b], points)
        for i in range(1, group.shape[0]):
            for k in range(count):
                v = group[i, points[k]]
                image[v >> 3] |= np.uint8(1 << (v & 7))
            for byte in range(cells.shape[1]):
                if image[byte] != least[b, byte]:
                    if image[byte] < least[b, byte]:
                        least[b] = image
                    break
            for k in range(count):
                image[group[i, points[k]] >> 3] = 0
    return least


def _least_images_in_numpy(cells: np.ndarray, group: np.ndarray) -> np.ndarray:
    """The same without numba; O(B g m)."""
    m, least, every = group.shape[1], cells, np.arange(len(cells))
    members = bitset.unpack(cells, m)
    for permutation in group[1:]:
        image = bitset.pack(members[:, np.argsort(permutation)])
        first = np.argmax(image != least, axis=1)  # 0 where no byte differs
        smaller = image[every, first] < least[every, first]
        least = np.where(smaller[:, None], image, least)
    return least


@njit
def _images(cells, group, index):
    """O(B (points + bytes))."""
    images = np.zeros_like(cells)
    points = np.empty(group.shape[1], np.int64)
    for b in range(cells.shape[0]):
        for k in range(row_points(cells[b], points)):
            v = group[index[b], points[k]]
            images[b, v >> 3] |= np.uint8(1 << (v & 7))
    return images


def _fixing(cells: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return bool ``(B, g)``: the permutations that map every point of a row into it.

    O(B g points).
    """
    members = bitset.unpack(cells, group.shape[1])
    fixed = np.ones((len(cells), len(group)), np.bool_)
    row, point = np.nonzero(members)
    for i, permutation in enumerate(group):
        fixed[row[~members[row, permutation[point]]], i] = False
    return fixed

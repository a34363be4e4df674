"""The symmetries of a problem that gives coordinates and a rule: those it names, or those found.

Maps of coordinates that often are symmetries (of grids and cubes, of cyclic groups, of the vertices
of a graph) are tried: each must take elements to elements and forbidden sets to forbidden sets.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import permutations, product
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core import bitset, kept_arrays
from pipeline.core.boxes import may_have_boxes
from pipeline.core.ground_set import GroundSet, close_group, most_listed
from pipeline.derived import Derived, rows_of
from pipeline.errors import PipelineError, UsageError

if TYPE_CHECKING:
    from pipeline.problem import Problem

# Forbidden sets that a map is tried on, and how many must be known where not all are.
_TRIED, _ENOUGH = 5_000, 20
# Sets whose score a map must keep, and elements that are tried for each.
_PROBES, _LOOKS = 12, 200
_WORDS = 500
# Up to this many axes all ways to permute and reflect them are tried, and up to this length all
# multiplications modulo it.
_AXES, _MODULUS = 3, 256

_NAMES = ("mirror", "diagonal", "half-turn", "quarter-turn", "both-mirrors", "both-diagonals")
_NAMES += ("reflection", "rotation", "shift", "point-reflection")

Map = Callable[[tuple[int, ...]], Sequence[int]]


def ground_of(problem: "Problem", derived: Derived, n: int) -> GroundSet:
    """Return the ground set of a problem that gives ``elements``, with its symmetries.

    Raises:
        UsageError: a map that the problem names leaves the elements.
        PipelineError: one takes a forbidden set to one that is not.
    """
    coords = rows_of(problem, n)
    finder = _Finder(problem, derived, n, coords)
    given = problem.symmetries(n)
    group, names = finder.found() if given is None else finder.given(given)
    ground = GroundSet(n, coords, group, names, letters=problem.letter_names(n))
    boxes = not problem.must_be_full and may_have_boxes(ground) and finder.shifts()
    return replace(ground, boxes=True) if boxes else ground


class _Finder:
    def __init__(self, problem: "Problem", derived: Derived, n: int, coords: np.ndarray) -> None:
        self._problem, self._derived, self._n, self._coords = problem, derived, n, coords
        self._low, self._span = coords.min(axis=0), np.ptp(coords, axis=0) + 1
        self._where, self._most = f"{problem.name} at n={n}", most_listed(len(coords))
        self._index = {tuple(row): v for v, row in enumerate(coords.tolist())}
        self._probes = np.zeros((0, len(coords)), np.bool_)
        if problem.objective == "score":
            self._probes = _some_valid(problem, derived, len(coords), n)

    def given(self, maps: Iterable[Map]) -> tuple[np.ndarray, dict[str, tuple[int, ...]]]:
        """Return the group that maps of coordinates generate, and no names."""
        m = len(self._coords)
        generators = [np.arange(m, dtype=np.int32)]
        some = self._derived.some_forbidden(self._problem, self._n, _TRIED)
        for i, map_ in enumerate(maps):
            image = [self._index.get(_point(map_, row)) for row in self._index]
            lost = next((row for row, v in zip(self._index, image, strict=True) if v is None), None)
            if lost is not None:
                raise UsageError(
                    f"{self._where}: symmetries[{i}] takes the element {lost} to "
                    f"{_point(map_, lost)}, which is none"
                )
            permutation = np.array(image, np.int32)
            if len(set(image)) < m:
                raise UsageError(f"{self._where}: symmetries[{i}] takes two elements to one")
            if not self._keeps_score(permutation):
                raise PipelineError(f"{self._where}: symmetries[{i}] changes the score")
            stray = self._first_lost(permutation, some)
            if stray is not None:
                points = [tuple(row) for row in self._coords[stray].tolist()]
                raise PipelineError(
                    f"{self._where}: symmetries[{i}] takes the forbidden set {points} to one that "
                    "is allowed"
                )
            generators.append(permutation)
        try:
            return close_group(np.array(generators)), {}
        except ValueError as error:
            raise UsageError(
                f"{self._where}: the symmetries generate a large group ({error}); name fewer"
            ) from error

    def found(self) -> tuple[np.ndarray, dict[str, tuple[int, ...]]]:
        """Return the group that is found, and names of classes in it."""
        key = self._derived.key(self._problem, self._n)
        name = f"{key}-group-{self._most}" * bool(key)
        generators, codes, named = kept_arrays.kept(name, self._generators)
        m = len(self._coords)
        group = close_group(np.concatenate([np.arange(m), generators]).reshape(-1, m))
        place = {row.tobytes(): i for i, row in enumerate(group)}
        names: dict[str, tuple[int, ...]] = {}
        for code, permutation in zip(codes.tolist(), named.reshape(-1, m), strict=True):
            names.setdefault(_NAMES[code], ())
            names[_NAMES[code]] += (place[permutation.tobytes()],)
        return group, names

    def shifts(self) -> bool:
        """Tell whether forbidden sets stay forbidden when they are moved by a step of the grid."""
        key = self._derived.key(self._problem, self._n)
        (found,) = kept_arrays.kept(f"{key}-shifts" * bool(key), self._shifts)
        return bool(found[0])

    def _shifts(self) -> tuple[np.ndarray]:
        some = self._derived.some_forbidden(self._problem, self._n, _TRIED)
        for step in (
            *np.eye(len(self._span), dtype=np.int64),
            *-np.eye(len(self._span), dtype=int),
        ):
            moved = map(tuple, (self._coords + step).tolist())
            image = np.array([self._index.get(row, -1) for row in moved])
            staying = [sets[(image[sets] >= 0).all(axis=1)] for sets in some]
            if min(map(len, staying)) < _ENOUGH or self._first_lost(image, staying) is not None:
                return (np.zeros(1, np.int32),)
        return (np.ones(1, np.int32),)

    def _generators(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return permutations that generate the group, numbers of names, those with these names.

        All flat; a name that comes more than once means the class of what they generate together.
        """
        is_listed = self._derived.listed(self._problem, self._n) is not None
        some = self._derived.some_forbidden(self._problem, self._n, _TRIED)
        group = np.arange(len(self._coords), dtype=np.int32)[None]
        if not is_listed and min(map(len, some)) < _ENOUGH:
            return np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.int32)
        held = {group[0].tobytes()}
        generators: list[np.ndarray] = []
        named: dict[str, tuple[np.ndarray, ...]] = {}
        for name, permutation in self._candidates():
            if not self._keeps_score(permutation):
                continue
            few = [sets[:50] for sets in some]
            if any(self._first_lost(permutation, sets) is not None for sets in (few, some)):
                continue
            if permutation.tobytes() not in held:
                try:
                    group = close_group(np.array([*generators, permutation]), self._most)
                except ValueError:
                    continue
                generators.append(permutation)
                held = {row.tobytes() for row in group}
            if name:
                named.setdefault(name, (permutation,))
        for name, part in (("both-mirrors", "mirror"), ("both-diagonals", "diagonal")):
            if self._coords.shape[1] == 2 and part in named and "half-turn" in named:
                named[name] = named[part] + named["half-turn"]
        codes = [_NAMES.index(name) for name, parts in named.items() for _ in parts]
        rows = [permutation for parts in named.values() for permutation in parts]
        return _flat(generators), np.array(codes, np.int32), _flat(rows)

    def _first_lost(self, permutation: np.ndarray, some: list[np.ndarray]) -> np.ndarray | None:
        """Return a forbidden set whose image is allowed, None without one."""
        for rule, sets in zip(self._derived.rules, some, strict=True):
            image = np.sort(permutation[sets], axis=1)
            lost = sets[~self._derived.holds(self._problem, rule, image, self._n)]
            if len(lost):
                return lost[0]
        return None

    def _keeps_score(self, permutation: np.ndarray) -> bool:
        """Tell whether a map changes the score of none of the sets that it is tried on."""
        if not len(self._probes):
            return True
        moved = np.zeros_like(self._probes)
        moved[:, permutation] = self._probes
        sets = [bitset.pack(bits) for bits in (self._probes, moved)]
        before, after = (self._problem.evaluate(cells, self._n) for cells in sets)
        return bool((before == after).all())

    def _candidates(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield maps that take elements to elements, as permutations, with names or none."""
        coords = self._coords - self._low
        maps = [*self._of_axes(coords), *self._of_vertices(coords), *self._of_cycles(coords)]
        for name, image in maps:
            rows = map(tuple, (image + self._low).tolist())
            found = [self._index.get(row, -1) for row in rows]
            if -1 not in found and len(set(found)) == len(found):
                yield name, np.array(found, np.int32)

    def _of_axes(self, coords: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Axes permuted and reflected: the symmetries of grids and cubes."""
        d, span = coords.shape[1], self._span
        everyone = tuple(range(d))
        turned = [everyone, *(_swapped(everyone, i) for i in range(d - 1))]
        flips = [tuple(int(i == j) for j in range(d)) for i in range(d)]
        flips += [(0,) * d, (1,) * d]
        if d <= _AXES:
            turned, flips = list(permutations(everyone)), list(product((0, 1), repeat=d))
        for order, flip in product(turned, flips):
            if (span[list(order)] == span).all():
                image = coords[:, order]
                yield _axes_name(order, flip), np.where(flip, span - 1 - image, image)

    def _of_vertices(self, coords: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Vertices turned and reflected, where an element is a set of them in ascending order."""
        d = coords.shape[1]
        values = self._coords - self._low.min()
        if d < 2 or not (np.diff(values, axis=1) > 0).all():
            return
        count = int(values.max()) + 1
        for name, image in (
            ("rotation", (values + 1) % count),
            ("reflection", count - 1 - values),
        ):
            yield name, np.sort(image, axis=1) + self._low.min() - self._low

    def _of_cycles(self, coords: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Shifts of each axis and multiplications of all, modulo its length."""
        d, span = coords.shape[1], self._span
        for axis in range(d):
            shifted = coords.copy()
            shifted[:, axis] = (shifted[:, axis] + 1) % span[axis]
            yield "shift" if axis == 0 else "", shifted
        length = int(span[0])
        if (span == length).all() and length <= _MODULUS:
            for u in range(2, length - 1):
                if math.gcd(u, length) == 1:
                    # About 0, wherever the coordinates begin.
                    yield "", ((coords + self._low) * u - self._low) % length


def _some_valid(problem: "Problem", derived: Derived, m: int, n: int) -> np.ndarray:
    """Return a few valid sets, bool ``(B, m)``: elements are added at random while they fit."""
    rng, found = np.random.default_rng(0), np.zeros((_PROBES, m), np.bool_)
    if problem.must_be_full:
        return problem.bits(problem.random_words(_WORDS, n, rng), n)  # type: ignore[attr-defined]
    for row in found:
        for v in rng.permutation(m)[:_LOOKS]:
            row[v] = True
            row[v] = derived.valid(problem, bitset.pack(row[None]), n)[0]
    return found


def _point(map_: Map, row: tuple[int, ...]) -> tuple[int, ...]:
    """Return what a map makes of an element, as whole numbers.

    Raises:
        PipelineError: it raises, or gives something else.
    """
    try:
        found: Any = map_(row)
        return tuple(int(x) for x in (found if np.ndim(found) else [found]))
    except Exception as error:
        raise PipelineError(
            f"a map of symmetries raises {type(error).__name__} at {row}: {error}"
        ) from error


def _flat(rows: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.int32), *rows])


def _swapped(order: tuple[int, ...], i: int) -> tuple[int, ...]:
    return (*order[:i], order[i + 1], order[i], *order[i + 2 :])


def _axes_name(order: tuple[int, ...], flip: tuple[int, ...]) -> str:
    """Return the name of a reflection or turn of axes; empty for most."""
    d, flips, moved = len(order), sum(flip), sum(i != axis for i, axis in enumerate(order))
    if d == 1:
        return "reflection" if flips else ""
    if not moved:
        if flips == d:
            return "half-turn" if d == 2 else "point-reflection"
        return "mirror" if flips == 1 else ""
    if moved == 2 and not flips:
        return "diagonal"
    return "quarter-turn" if d == 2 and flips == 1 else ""

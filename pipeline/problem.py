"""What a problem plugin is: a family of ground sets, a hook, a checker, and what goes with them."""

import sys
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pipeline.core import bitset, jit
from pipeline.core.bitset import mismatch, popcounts, row_points
from pipeline.core.ground_set import GroundSet
from pipeline.core.jit import Callback, inlined, njit
from pipeline.core.memory import memory_bytes, readable
from pipeline.errors import PipelineError, UsageError, nearest
from pipeline.known import Definition, Known
from pipeline.plugin_files import has_neighbours, one_line, place_in_plugin

#: Decorator for small functions that a plugin's hook and checker call; they share its file.
helper = inlined

#: How many flat int32 tables a problem may hand to its hook.
TABLES = 4

# In numba's words: int32[::1] is an array in C order.
_HOOK_SIGNATURE = (
    "void("
    "int64, "  # v, the element that joins or leaves
    "int32[::1], "  # members, the elements of the set, v not among them
    "int64, "  # size, how many of `members` count
    "uint8[::1], "  # inside (m,), 1 for a member
    "int32[::1], "  # slot (m + 1,), where the count of element u is kept; slot[m] is a bin
    "int32[::1], "  # counts
    "int64, "  # delta, what to add
    "int32[:,::1], "  # coords (m, d)
    f"UniTuple(int32[::1], {TABLES}))"
)
_CHECKER_SIGNATURE = (
    "int64("
    "int32[::1], "  # points, the elements of the construction, ascending
    "int64, "  # size, how many of `points` count
    "int32[:,::1], "  # coords (m, d)
    "int32[::1])"  # witness, filled with the elements of one violation
)


def blocking_hook(function: Callable[..., None]) -> Any:
    """Compile a problem's incremental hook.

    ``hook(v, members, size, inside, slot, counts, delta, coords, tables)`` is called when
    element v joins (delta > 0) or leaves (delta < 0) the set S = ``members[:size]``, v not
    in S. For every forbidden configuration F that holds v and has all but one of its other
    elements in S, it does ``counts[slot[u]] += delta`` for the missing element u. Each pair
    (F, u) counts once, and u may itself be in S (then F lies in the set once v is there).
    A forbidden configuration is a smallest invalid set, so it has two elements or more and holds
    no other. What a walk adds to ``counts[slot[v]]`` it must take back: v lacks nothing.
    ``slot[m]`` is a bin: writing there is harmless, so a walk over a padded grid may map the
    outside to element m.
    """
    return _callback(_HOOK_SIGNATURE, function)


def checker(function: Callable[..., int]) -> Any:
    """Compile a problem's independent validator.

    ``checker(points, size, coords, witness)`` looks at ``points[:size]`` alone and returns 0
    if they hold no forbidden configuration; otherwise it writes the elements of one to
    ``witness`` (room for 16) and returns how many. It shares nothing with the hook.
    """
    return _callback(_CHECKER_SIGNATURE, function)


def _callback(signature: str, function: Callable[..., Any]) -> Callback:
    """Make a callback, its code kept if numba has one file to stamp it by."""
    has_source = Path(function.__code__.co_filename).is_file() and not has_neighbours()
    return Callback(signature, function, has_source)


@dataclass(frozen=True, eq=False)
class DegreeConstraints:
    """How often a set of the wanted size meets each class of elements, with C classes.

    Attributes:
        classes: int32 ``(m, q)``; row v holds the q classes, 0..C-1, that element v counts in.
        capacity: int32 ``(C,)``; a valid set of the wanted size meets class c exactly
            ``capacity[c]`` times, and any set that does has that size. Where nothing else
            decides, a search fills the classes with higher numbers first.

    Raises:
        ValueError: an attribute of another dtype, shape or range.
    """

    classes: np.ndarray
    capacity: np.ndarray

    def __post_init__(self) -> None:
        for name, array, shape in (("classes", self.classes, 2), ("capacity", self.capacity, 1)):
            if array.dtype != np.int32 or array.ndim != shape or not array.size:
                raise mismatch(name, f"int32 with {shape} dimensions, not empty", array)
        if self.classes.min() < 0 or self.classes.max() >= len(self.capacity):
            found = f"{self.classes.min()} .. {self.classes.max()}"
            raise mismatch("classes", f"classes in 0 .. {len(self.capacity) - 1}", found)
        if self.capacity.min() < 0 or self.capacity.sum() % self.classes.shape[1]:
            expected = f"numbers from 0 with a sum divisible by {self.classes.shape[1]}"
            raise mismatch("capacity", expected, self.capacity.tolist())

    @property
    def size(self) -> int:
        """The number of elements of a set that meets every degree constraint."""
        return int(self.capacity.sum()) // self.classes.shape[1]


class Problem(ABC):
    """A family of ground sets, one for each n, and what is forbidden in them.

    A plugin sets the class attributes and ``ground_set``; everything else has a default.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    #: The number of elements of the largest forbidden configuration, at least 2.
    arity: ClassVar[int]
    #: Conventions of the mathematics a user may choose from; the first is the default.
    conventions: ClassVar[tuple[str, ...]] = ("standard",)
    #: The least n with an element to choose.
    smallest: ClassVar[int] = 1
    #: Upper estimate of memory per element of the ground set, for refusing what cannot fit.
    bytes_per_element: ClassVar[int] = 400
    #: The problem in plain Python; without it there are no certificates.
    definition: ClassVar[Definition | None] = None
    #: The file and class that the problem was loaded from; empty for an installed one.
    plugin: str = ""
    #: The incremental hook (see ``blocking_hook``) and the validator (see ``checker``).
    hook: Any
    checker: Any

    def __init__(self, convention: str | None = None) -> None:
        """Take a convention by name.

        Raises:
            UsageError: the problem has no such convention.
        """
        self.convention = self.conventions[0] if convention is None else convention
        if self.convention not in self.conventions:
            hint = nearest(self.convention, self.conventions)
            raise UsageError(f"{self.name} has no convention {self.convention!r}{hint}")
        self._grounds: dict[int, GroundSet] = {}

    @abstractmethod
    def ground_set(self, n: int) -> GroundSet:
        """Return the ground set of size n (called once for each n)."""

    @abstractmethod
    def ground_size(self, n: int) -> int:
        """Return the number of elements of the ground set of size n, without building it."""

    def tables(self, n: int) -> tuple[np.ndarray, ...]:
        """Return up to four flat int32 arrays that the hook reads."""
        return ()

    def known(self, n: int) -> Known | None:
        """Return the best known score at n under this convention, if there is one on record."""
        return None

    def degree_constraints(self, n: int) -> DegreeConstraints | None:
        """Return what every set of the wanted size must meet exactly, if the problem has such."""
        return None

    def encoders(self) -> Mapping[str, type]:
        """Return encoders of the problem's own, by name, beside the ones of the framework."""
        return {}

    # ------------------------------------------------- from here on nothing needs overriding

    def ground(self, n: int) -> GroundSet:
        """Return the ground set of size n, built once.

        Raises:
            UsageError: n is too small, or the machine has not the memory.
        """
        if n not in self._grounds:
            check_size(self, n)
            with _plugin_errors(f"the ground set of {self.name} at n={n}"):
                ground = self.ground_set(n)
                if not isinstance(ground, GroundSet):
                    raise mismatch("ground_set", "a GroundSet", type(ground).__name__)
            # The hook's signature asks for C order; numpy returns Fortran's after a transpose.
            coords = np.array(ground.coords, order="C")
            self._grounds[n] = replace(ground, coords=coords)
        return self._grounds[n]

    def hook_tables(self, n: int) -> tuple[np.ndarray, ...]:
        """Return the hook's tables, filled up with empty ones to the number it expects."""
        with _plugin_errors(f"the tables of {self.name} at n={n}"):
            own = tuple(_table(f"table {i}", t) for i, t in enumerate(self.tables(n)))
        if len(own) > TABLES:
            raise PipelineError(f"{self.name} gives {len(own)} tables, the hook takes {TABLES}")
        return own + (np.zeros(0, np.int32),) * (TABLES - len(own))

    def validate(self, cells: np.ndarray, n: int) -> np.ndarray:
        """Check constructions from their raw cells.

        Args:
            cells: packed uint8 ``(B, ceil(m / 8))``.

        Returns:
            bool ``(B,)``, True where nothing forbidden is in the set, nor a bit beyond the last
            element, for which the checker has no room.
        """
        ground = self.ground(n)
        cells, inside = np.ascontiguousarray(cells), np.ones(len(cells), np.bool_)
        if ground.m % 8:
            inside = cells[:, -1] >> ground.m % 8 == 0
        if not inside.all():
            cells = cells * inside[:, None]
        if not jit.pays(self._steps(popcounts(cells))):
            with suppress(*NOT_PLAIN):
                rows = (bitset.points(row, ground.m) for row in cells)
                return inside & [not self._violation(row, ground.coords) for row in rows]
        with crashes_raised(f"the checker of {self.name}"):
            return inside & _validate(self.checker.compiled, cells, ground.m, ground.coords)

    def score(self, cells: np.ndarray, n: int) -> np.ndarray:
        """Return the score of each construction, int32 ``(B,)``, from raw cells: its size.

        A problem with another objective overrides this. Searches still collect large sets, and
        the best of them by this score are kept; proofs and bounds of the largest size do not
        speak of it, and are refused.
        """
        return popcounts(cells)

    @property
    def maximises_size(self) -> bool:
        """Whether the score is the size: not where a problem overrides ``score``."""
        return getattr(self.score, "__func__", None) is Problem.score

    def score_text(self, score: int) -> str:
        """Write a score: a number of points, or "score 10" where the objective is another."""
        many = "point" if score == 1 else "points"
        return f"{score} {many}" if self.maximises_size else f"score {score}"

    def witness(self, points: np.ndarray, n: int) -> tuple[int, ...] | None:
        """Return the elements of one violation among ``points`` (element indices), or None."""
        points, coords = np.sort(np.asarray(points, dtype=np.int32)), self.ground(n).coords
        if not jit.pays(self._steps(np.array([len(points)]))):
            with suppress(*NOT_PLAIN):
                return self._violation(points, coords) or None
        found = np.zeros(16, np.int32)
        with crashes_raised(f"the checker of {self.name}"):
            size = _check_points(self.checker.compiled, points, coords, found)
        return tuple(found[:size].tolist()) or None

    def _steps(self, sizes: np.ndarray) -> float:
        """Estimate the steps that the checker takes for sets of some sizes."""
        return float((sizes.astype(np.float64) ** (self.arity - 1)).sum())

    def _violation(self, points: np.ndarray, coords: np.ndarray) -> tuple[int, ...]:
        """Return the elements of one violation, by the checker as plain Python.

        The numbers it is given are Python's: as exact as those of compiled code, and never wrap.

        Raises:
            Exception: one of NOT_PLAIN, where the checker runs as compiled code alone, or fails.
        """
        found = np.zeros(16, np.int32)
        given = points.astype(object), len(points), coords.astype(object), found
        size = jit.plain(self.checker.py_func)(*given)
        return tuple(found[:size].tolist())


#: What code raises that only numba runs.
NOT_PLAIN = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def _table(name: str, given: Any) -> np.ndarray:
    """Return whole numbers as a flat int32 array.

    Raises:
        ValueError: something else, or numbers too large.
    """
    array = np.asarray(given)
    if array.size and array.dtype.kind not in "biu":
        raise mismatch(name, "whole numbers", array)
    if array.size and not -(2**31) <= int(array.min()) <= int(array.max()) < 2**31:
        raise mismatch(name, "numbers that int32 holds", f"{array.min()} .. {array.max()}")
    return np.ascontiguousarray(array, dtype=np.int32).ravel()


@contextmanager
def _plugin_errors(what: str) -> Iterator[None]:
    """Make one line of what a plugin's own Python raises."""
    try:
        yield
    except (PipelineError, MemoryError):
        raise
    except Exception as error:
        told = str(error) if isinstance(error, ValueError) else one_line(error)
        place = place_in_plugin("".join(traceback.format_exception(error)))
        at = f" ({place})" if place else ""
        raise PipelineError(f"{what}: {told}{at}") from error


@njit
def _validate(check, cells, m, coords):  # pragma: no cover
    ok = np.empty(len(cells), np.bool_)
    points = np.empty(m, np.int32)
    witness = np.empty(16, np.int32)
    for i in range(len(cells)):
        size = row_points(cells[i], points)
        ok[i] = check(points, size, coords, witness) == 0
    return ok


@njit
def _check_points(check, points, coords, witness):  # pragma: no cover
    return check(points, len(points), coords, witness)


@contextmanager
def crashes_raised(what: str) -> Iterator[None]:
    """Turn a crash of compiled plugin code into an error that names ``what``.

    A C callback cannot raise: numba reports the exception as unraisable and returns 0, which
    for a checker would mean "valid", and for a hook that its counts are wrong from then on.
    """
    crashes: list[str] = []
    before = sys.unraisablehook
    sys.unraisablehook = lambda args: crashes.append(f"{args.exc_type.__name__}: {args.exc_value}")
    try:
        yield
    finally:
        sys.unraisablehook = before
    if crashes:
        raise PipelineError(f"{what} fails with {crashes[0]}; run its ProblemContract")


def check_size(problem: Problem, n: int) -> None:
    """Refuse an n that is too small or whose ground set cannot fit in this machine's memory.

    Raises:
        UsageError: with the memory it would need.
    """
    if n < problem.smallest:
        raise UsageError(f"n must be at least {problem.smallest}, got {n}")
    need, have = problem.ground_size(n) * problem.bytes_per_element, memory_bytes()
    if need > have // 2:
        low, high = problem.smallest, n
        while high - low > 1:
            middle = (low + high) // 2
            fits = problem.ground_size(middle) * problem.bytes_per_element <= have // 2
            low, high = (middle, high) if fits else (low, middle)
        raise UsageError(
            f"{problem.name} at n={n} would need about {readable(need)} of memory and this "
            f"machine has {readable(have)}; the largest n that fits is about {low}"
        )


def check_objective(problem: Problem, spec: str, n: int) -> None:
    """Refuse to prove a largest size where the objective is another.

    Args:
        spec: what to call the problem on a command line.

    Raises:
        UsageError: the problem has a score of its own.
    """
    if not problem.maximises_size:
        raise UsageError(
            f"{problem.name} has a score of its own, and an exhaustive search knows the size "
            f"alone; look for high scores with: pipeline search {spec} --n {n}"
        )

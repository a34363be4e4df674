"""What a problem plugin is: a family of ground sets, a hook, a checker, and what goes with them."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pipeline import objective
from pipeline.core.bitset import mismatch, unpack
from pipeline.core.ground_set import GroundSet
from pipeline.core.jit import Callback, inlined, njit
from pipeline.core.jit import suited as suited  # for plugins
from pipeline.core.memory import memory_bytes, readable
from pipeline.degrees import DegreeConstraints
from pipeline.derived import Derived, rows_of
from pipeline.errors import PipelineError, UsageError, nearest
from pipeline.found_symmetries import Map, ground_of
from pipeline.known import Definition, Known
from pipeline.plugin_files import has_neighbours, plugin_errors
from pipeline.predicate import Predicate, is_rule
from pipeline.validator import CheckerValidator

#: Decorator for small functions that a plugin's hook and checker call; they share its file.
helper = inlined

#: Decorator for a function of plain loops that a score calls; ``suited(function, steps)`` is the
#: same as plain Python where so few steps are sooner done than numba is loaded.
compiled = njit

#: How many flat int32 tables a problem may hand to its hook.
TABLES = 4

#: In numba's words: int32[::1] is an array in C order.
HOOK_SIGNATURE = (
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
_FINDER_SIGNATURE = (
    "void("
    "int32[::1], "  # elements, none of them a member
    "int64, "  # count, how many of `elements` are asked about
    "int32[::1], "  # members, a set without violations
    "int64, "  # size, how many of `members` count
    "int64, "  # since, where the newer members begin
    "int32[:,::1], "  # coords (m, d)
    f"UniTuple(int32[::1], {TABLES}), "
    "int32[:,::1])"  # blockers, a row of arity - 1 for each element
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
    return _callback(HOOK_SIGNATURE, function)


def blocker_finder(function: Callable[..., None]) -> Any:
    """Compile a finder of what blocks elements: for problems whose hook is dear, optional.

    ``find_blockers(elements, count, members, size, since, coords, tables, blockers)`` is asked
    about elements that are not in the valid set S = ``members[:size]``. To row i of ``blockers``
    it writes the other elements of one forbidden configuration that holds ``elements[i]``, has
    all others in S and one at least in ``members[since:size]``; -1 in the first column where
    there is none, and behind those of a smaller configuration. It may end at the first it finds.
    """
    return _callback(_FINDER_SIGNATURE, function)


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


class Problem:
    """A family of ground sets, one for each n, and what is forbidden in them.

    The easy way: ``elements`` and ``forbidden`` in plain Python, from which all else follows::

        class Progressions(pipeline.Problem):
            def elements(self, n):
                return [(k,) for k in range(1, n + 1)]

            def forbidden(self, a, b, c):
                return a[0] + c[0] == 2 * b[0] or a[0] + b[0] == 2 * c[0] or b[0] + c[0] == 2 * a[0]

    ``forbidden`` gets the coordinates of so many distinct elements, each int64 ``(d,)``, and n
    after them if it has a parameter of this name, and tells whether they may not be together, which
    must not depend on their order. Further methods whose names begin with ``forbidden_`` forbid
    sets of other sizes.

    The fast way: ``ground_set``, a ``hook`` and a ``checker``, compiled by numba.
    """

    #: What the problem is called; by default the name of the class, in lower case with hyphens.
    name: ClassVar[str]
    #: One line that says what is looked for; by default the first of the docstring.
    title: ClassVar[str] = ""
    #: The number of elements of the largest forbidden configuration, 2 to 8; ``forbidden`` tells.
    arity: ClassVar[int]
    #: Conventions of the mathematics a user may choose from; the first is the default.
    conventions: ClassVar[tuple[str, ...]] = ("standard",)
    #: The least n with an element to choose.
    smallest: ClassVar[int] = 1
    #: The one n that there is; None where there are others.
    only_size: ClassVar[int | None] = None
    #: Upper estimate of memory per element of the ground set, for refusing what cannot fit.
    bytes_per_element: ClassVar[int] = 400
    #: What a score counts, as "edges"; by default "points", or "weight" or "score" of another kind.
    unit: ClassVar[str] = ""
    #: The checker takes about the size of a set to this power, in steps; None for arity - 1. It
    #: decides whether numba is loaded to check a few sets.
    checker_degree: ClassVar[int | None] = None
    #: The problem in plain Python; without it there are no certificates.
    definition: ClassVar[Definition | None] = None
    #: The file and class that the problem was loaded from; empty for an installed one.
    plugin: str = ""
    #: The incremental hook (see ``blocking_hook``) and the validator (see ``checker``).
    hook: Any
    checker: Any
    #: What blocks an element (see ``blocker_finder``), for searches that need no counts; or None.
    find_blockers: Any = None

    #: Whether a set that can be added to is no construction yet (see ``WordProblem``).
    must_be_full: ClassVar[bool] = False
    #: What follows from ``forbidden``; None without it.
    derived: ClassVar[Derived | None] = None
    _validator: ClassVar[Any] = CheckerValidator()
    #: What the author called the problem, rather than leave it to the class.
    _given: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, **more: Any) -> None:
        """Name the class, and derive what follows from its ``forbidden``."""
        super().__init_subclass__(**more)
        own = cls.__dict__
        cls._given = cls._given | ({"name", "title"} & own.keys())
        if "name" not in cls._given:
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__).lower()
        if "title" not in cls._given and cls.__doc__:
            cls.title = inspect.cleandoc(cls.__doc__).partition("\n")[0].rstrip(".")
        if not any(map(is_rule, own)):
            return
        rules = {key: getattr(cls, key) for key in dir(cls) if is_rule(key)}  # inherited ones too
        cls.derived = Derived([Predicate(cls.name, rule) for rule in rules.values() if rule])
        if own.get("arity", cls.derived.arity) != cls.derived.arity:
            raise UsageError(
                f"{cls.name}: arity is {cls.arity}, and forbidden takes {cls.derived.arity} points"
            )
        cls.arity = cls.derived.arity
        if "hook" not in own:
            cls.hook = cls.derived.hook
        cls._validator = CheckerValidator() if "checker" in own else cls.derived

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
        #: The sizes at which the score has been found to depend on the construction alone.
        self.probed: set[int] = set()

    def elements(self, n: int) -> Any:
        """Return the coordinates of the elements of size n, a row of whole numbers for each."""
        raise UsageError(f"{self.name} lacks elements(n), the coordinates of its elements")

    def symmetries(self, n: int) -> Iterable[Map] | None:
        """Return maps of coordinates, tuples to tuples, that generate the symmetries.

        None to have them found (of grids, cubes, cyclic groups, vertices of a graph).
        """
        return None

    def ground_set(self, n: int) -> GroundSet:
        """Return the ground set of size n (called once for each n); by default of ``elements``."""
        if self.derived is None:
            raise UsageError(f"{self.name} lacks forbidden(a, b, ...), or a ground_set(n)")
        return ground_of(self, self.derived, n)

    def ground_size(self, n: int) -> int:
        """Return the number of elements of the ground set of size n, if possible unbuilt."""
        return len(rows_of(self, n)) if self.derived else self.ground_set(n).m

    def tables(self, n: int) -> tuple[np.ndarray, ...]:
        """Return up to four flat int32 arrays that the hook reads."""
        return self.derived.tables(self, n) if self.derived and self.is_derived else ()

    def known(self, n: int) -> Known | None:
        """Return the best known score at n under this convention, if there is one on record."""
        return None

    def degree_constraints(self, n: int) -> DegreeConstraints | None:
        """Return what every set of the wanted size must meet exactly, if the problem has such."""
        return None

    def encoders(self) -> Mapping[str, type]:
        """Return encoders of the problem's own, by name, beside the ones of the framework."""
        return {}

    def weight(self, n: int) -> Any:
        """Return what each element counts, ``(m,)`` whole numbers from 0; None for 1 each.

        The score is the sum. Every method follows it, and exact search proves the largest.
        """
        return None

    def score(self, cells: np.ndarray, n: int) -> Any:
        """Return the score of each construction, ``(B,)`` whole numbers, the higher the better.

        By default the weight, or the size. Overridden for an objective that is no sum over the
        elements (for one to be minimised: minus it), it is asked about a batch at a time, and must
        depend on nothing but the set and keep under ``symmetries``. ``bits`` unpacks the cells.
        """
        return objective.sum_of_weights(self, cells, n)

    # ------------------------------------------------- from here on nothing needs overriding

    def bits(self, cells: np.ndarray, n: int) -> np.ndarray:
        """Return constructions as bool ``(B, m)``: a row for each, a column for each element."""
        # The symmetries of a ground set under way are tried on scores.
        return unpack(cells, self._grounds[n].m if n in self._grounds else self.ground_size(n))

    def ground(self, n: int) -> GroundSet:
        """Return the ground set of size n, built once.

        Raises:
            UsageError: n is too small, or the machine has not the memory.
        """
        if n not in self._grounds:
            check_size(self, n)
            with plugin_errors(f"the ground set of {self.name} at n={n}"):
                ground = self.ground_set(n)
                if not isinstance(ground, GroundSet):
                    raise mismatch("ground_set", "a GroundSet", type(ground).__name__)
            # The hook's signature asks for C order; numpy returns Fortran's after a transpose.
            coords = np.array(ground.coords, order="C")
            ground = objective.keeping_weights(self, replace(ground, coords=coords))
            self._grounds[n] = ground
        return self._grounds[n]

    def hook_tables(self, n: int) -> tuple[np.ndarray, ...]:
        """Return the hook's tables, filled up with empty ones to the number it expects."""
        with plugin_errors(f"the tables of {self.name} at n={n}"):
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
        return self.is_complete(cells, n) & self.is_allowed(cells, n)

    def is_complete(self, cells: np.ndarray, n: int) -> np.ndarray:
        """Return bool ``(B,)``, False where something must still be added; by default nothing."""
        return np.ones(len(cells), np.bool_)

    def is_allowed(self, cells: np.ndarray, n: int) -> np.ndarray:
        """Return bool ``(B,)``, True where nothing forbidden is in the set, complete or not."""
        m = self.ground(n).m
        cells, inside = np.ascontiguousarray(cells), np.ones(len(cells), np.bool_)
        if m % 8:
            inside = cells[:, -1] >> m % 8 == 0
        if not inside.all():
            cells = cells * inside[:, None]
        return inside & self._validator.valid(self, cells, n)

    @property
    def is_derived(self) -> bool:
        """Whether the hook follows from ``forbidden``, rather than being its author's."""
        return self.derived is not None and self.hook is self.derived.hook

    @property
    def objective(self) -> str:
        """What is maximised: "size", "weight" where ``weight`` is given, "score" of its own."""
        if getattr(self.score, "__func__", None) is not Problem.score:
            return "score"
        return "size" if getattr(self.weight, "__func__", None) is Problem.weight else "weight"

    def evaluate(self, cells: np.ndarray, n: int) -> np.ndarray:
        """Return the score of each construction, int32 ``(B,)``, from raw cells.

        Args:
            cells: packed uint8 ``(B, ceil(m / 8))``.

        Raises:
            PipelineError: the problem's score or weight raises, or is no whole number.
        """
        return objective.evaluate(self, cells, n)

    def letter_names(self, n: int) -> tuple[str, ...]:
        """Return the names of the letters where constructions are words; none elsewhere."""
        return ()

    def ask_score(self, cells: np.ndarray, n: int) -> Any:
        """Call ``score`` with what it takes."""
        return self.score(cells, n)

    def score_text(self, score: int) -> str:
        """Write a score with its unit: "28 points", "weight 10", "score 256"."""
        return objective.score_text(self, score)

    def witness(self, points: np.ndarray, n: int) -> tuple[int, ...] | None:
        """Return the elements of one violation among ``points`` (element indices), or None."""
        ascending = np.sort(np.asarray(points, dtype=np.int32))
        return self._validator.witness(self, ascending, n) or None


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

"""What follows from a problem's ``elements`` and ``forbidden``: its hook, validator and tables.

Where all forbidden sets can be listed, the hook looks them up (``core.hypergraph``); elsewhere it
tries the rule on every set that v, the members and one more element make. The validator is the
definition itself: the rule, on all sets of ``arity`` elements.
"""

import hashlib
import inspect
import operator
import sys
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import combinations, islice, pairwise, permutations
from math import comb
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core import bitset, kept_arrays
from pipeline.core.bitset import row_points
from pipeline.core.hypergraph import (
    block_listed,
    bytes_of_index,
    entries,
    index_of,
    joined,
    parts_of,
    some_edges,
    without,
)
from pipeline.core.jit import load, pays
from pipeline.core.memory import memory_bytes
from pipeline.errors import PipelineError, UsageError
from pipeline.plugin_files import digest, sources
from pipeline.predicate import Predicate
from pipeline.rule_loops import CHECK_MANY, check_text, find_text, hook_text

if TYPE_CHECKING:
    from pipeline.problem import Problem

#: The most elements that a list of them may have.
MOST_ELEMENTS = 1_000_000
#: Sets that are tried to list the forbidden ones: by compiled code, and by plain Python.
TRIES, PLAIN_TRIES = 6_000_000_000, 20_000_000
#: Bytes that the list may take, unless an eighth of the memory is less.
TABLE_BYTES = 1 << 30
# The format of the index, for those that are kept.
_FORMAT = 2
# Random sets, and forbidden ones, on which the rule is tried in every order.
_SETS, _EDGES, _ORDERS = 200, 100, 24


class Derived:
    """What is derived for a class of problems, once in a process.

    Attributes:
        rules: its ``forbidden`` methods, by the number of points they take.
    """

    def __init__(self, rules: Sequence[Predicate]) -> None:
        self.rules = sorted(rules, key=lambda rule: rule.arity)
        for one, other in pairwise(self.rules):
            if one.arity == other.arity:
                raise UsageError(
                    f"{one.function.__qualname__} and {other.function.__qualname__} both take "
                    f"{one.arity} points, join them in one by `or`"
                )
        self.hook = DerivedHook(self.rules)

    @property
    def arity(self) -> int:
        """The number of elements of the largest forbidden set."""
        return self.rules[-1].arity

    @property
    def why_plain(self) -> str:
        """Why some rule stays plain Python; empty where numba compiles all."""
        return next((rule.why_plain for rule in self.rules if rule.compiled is None), "")

    @cached_property
    def _kernels(self) -> dict[str, Any]:
        """The loops over sets, compiled: ``find3`` for a rule of three points, and so on."""
        make, made = self.rules[-1].jitted, {}
        rules = {f"rule{rule.arity}": rule.compiled for rule in self.rules}
        for rule in self.rules:
            made[f"find{rule.arity}"] = rule.jitted(find_text(rule.arity), "find", rules)
        made["check"] = make(check_text([rule.arity for rule in self.rules]), "check", rules)
        row_points_ = row_points.compiled  # type: ignore[attr-defined]
        names = {"check": made["check"], "row_points": row_points_}
        made["check_many"] = make(CHECK_MANY, "check_many", names)
        return made

    # ------------------------------------------------------------------------------ the list

    def tables(self, problem: "Problem", n: int) -> tuple[np.ndarray, ...]:
        """Return the hook's tables: the index of the forbidden sets, how it is laid out, and n.

        The layout has three numbers for each rule: its arity, and where its lists and what is in
        them begin. All three arrays are empty where the hook walks.

        Raises:
            UsageError: they are too many to list, and numba does not compile the rule.
        """
        found = kept_arrays.kept(self.key(problem, n), lambda: self._index(problem, n))
        return (*found, np.array([n], np.int32))

    def key(self, problem: "Problem", n: int) -> str:
        """Return what the forbidden sets depend on: the source of the class, convention and n.

        Empty for a class that is not what its module has by its name: others may have the same
        text and name.
        """
        kind = type(problem)
        try:
            if operator.attrgetter(kind.__qualname__)(sys.modules[kind.__module__]) is not kind:
                return ""
        except (AttributeError, KeyError):
            return ""
        found = {}
        try:
            for code in (kind, *kind.__mro__[1:-1], *(rule.function for rule in self.rules)):
                found |= sources(Path(inspect.getfile(code)))
        except (OSError, TypeError):
            return ""
        words = f"{_FORMAT} {kind.__qualname__} {problem.convention} {n} {digest(found)}"
        return hashlib.sha256(words.encode()).hexdigest()

    def _index(self, problem: "Problem", n: int) -> tuple[np.ndarray, ...]:
        m, most = len(rows_of(problem, n)), min(TABLE_BYTES, memory_bytes() // 8)
        tries = sum(comb(m, rule.arity) for rule in self.rules)
        self.try_some(problem, n)
        edges = None
        if tries <= (PLAIN_TRIES if self.why_plain else TRIES):
            edges = self._edges(problem, n, most)
        if edges is not None:
            self.try_edges(problem, n, edges)
            return joined(
                [index_of(part, m) for part in edges], [rule.arity for rule in self.rules]
            )
        if self.why_plain:
            raise UsageError(
                f"{problem.name} at n={n}: its {tries:,} sets of {self.arity} elements are too "
                f"many to list without compiled code; {self.why_plain}"
            )
        return (np.zeros(0, np.int32),) * 3

    def _edges(self, problem: "Problem", n: int, most: int) -> list[np.ndarray] | None:
        """Return the forbidden sets of each rule; None where they would take too many bytes."""
        m, smaller = len(rows_of(problem, n)), []
        for rule in self.rules:
            left = most - sum(bytes_of_index(len(part), part.shape[1], m) for part in smaller)
            found, total = [np.empty((0, rule.arity), np.int32)], 0
            for part in self._found(problem, rule, n):
                total += len(part)
                if bytes_of_index(total, rule.arity, m) > left:
                    return None
                found.append(part)
            smaller.append(without(np.concatenate(found), smaller, m))
        return smaller

    def forbidden_sets(self, problem: "Problem", n: int) -> list[np.ndarray]:
        """Return the forbidden sets of each rule, int32 ``(_, arity)``; rows ascend.

        Sets that hold a smaller forbidden one are left out.
        """
        found = self._edges(problem, n, memory_bytes())
        assert found is not None
        return found

    def _found(self, problem: "Problem", rule: Predicate, n: int) -> Iterator[np.ndarray]:
        """Yield the sets that a rule forbids, by their least element."""
        coords, k = rows_of(problem, n), rule.arity
        if self.why_plain:
            chosen = (
                row
                for row in combinations(range(len(coords)), k)
                if self._said(problem, rule, coords[list(row)], n)
            )
            while part := list(islice(chosen, 100_000)):
                yield np.array(part, np.int32)
            return
        find, room = self._kernels[f"find{k}"], np.empty((1 << 16, k), np.int32)
        for first in range(len(coords) - k + 1):
            count = find(first, coords, n, room)
            if count > len(room):
                room = np.empty((2 * count, k), np.int32)
                count = find(first, coords, n, room)
            yield room[:count].copy()

    def try_some(self, problem: "Problem", n: int) -> None:
        """Try the rules on random sets: first of all, since compiled code checks no index.

        Raises:
            PipelineError: as ``_try_orders``.
        """
        m, rng = len(rows_of(problem, n)), np.random.default_rng(0)
        for rule in self.rules:
            if m >= rule.arity:
                random = [rng.choice(m, rule.arity, replace=False) for _ in range(_SETS)]
                self._try_orders(problem, rule, n, np.array(random))

    def try_edges(self, problem: "Problem", n: int, edges: Sequence[np.ndarray]) -> None:
        """Try the rules on some of the sets that they forbid, ``edges`` by rule.

        Raises:
            PipelineError: as ``_try_orders``.
        """
        rng = np.random.default_rng(0)
        for rule, part in zip(self.rules, edges, strict=True):
            self._try_orders(problem, rule, n, part[rng.permutation(len(part))[:_EDGES]])

    def _try_orders(self, problem: "Problem", rule: Predicate, n: int, sets: np.ndarray) -> None:
        """Try a rule as plain Python on sets, in every order of their elements, then compiled.

        Raises:
            PipelineError: it raises, or depends on the order, or compiled code says otherwise.
        """
        coords = rows_of(problem, n)
        orders = list(islice(permutations(range(rule.arity)), _ORDERS))
        for chosen in sets:
            points = coords[np.sort(chosen)]
            said = [self._said(problem, rule, points[list(order)], n) for order in orders]
            name = rule.function.__name__
            if len(set(said)) > 1:
                a, b = points[list(orders[0])], points[list(orders[said.index(not said[0])])]
                raise PipelineError(
                    f"{problem.name} at n={n}: {name}{_shown(a)} is {said[0]} and "
                    f"{name}{_shown(b)} is {not said[0]}; it must not depend on the order"
                )
            if rule.compiled is None:
                continue
            compiled = bool(rule.compiled(*points, n))
            if compiled != said[0]:
                raise PipelineError(
                    f"{problem.name} at n={n}: {name}{_shown(points)} is {said[0]} in Python "
                    f"and {compiled} compiled; its numbers may be too large for 64 bits"
                )

    @staticmethod
    def _said(problem: "Problem", rule: Predicate, points: np.ndarray, n: int) -> bool:
        try:
            return rule.plain(problem, points, n)
        except Exception as error:
            hint = ""
            if isinstance(error, ValueError) and "truth value of an array" in str(error):
                hint = "; points are NumPy rows: compare numbers, as a[0], or sort tuples of them"
            raise PipelineError(
                f"{problem.name} at n={n}: {rule.function.__name__}{_shown(points)} raises "
                f"{type(error).__name__}: {error}{hint}"
            ) from error

    # ------------------------------------------------------------------------- the validator

    def valid(self, problem: "Problem", cells: np.ndarray, n: int) -> np.ndarray:
        """Return bool ``(B,)``: the rows of packed cells that hold no forbidden set."""
        coords = rows_of(problem, n)
        steps = sum(comb(int(size), self.arity) for size in bitset.popcounts(cells))
        if pays(steps) and not self.why_plain:
            return self._kernels["check_many"](np.ascontiguousarray(cells), coords, n)
        rows = (bitset.points(row, len(coords)) for row in cells)
        return np.array([not self._violation(problem, row, n) for row in rows], np.bool_)

    def witness(self, problem: "Problem", points: np.ndarray, n: int) -> tuple[int, ...]:
        """Return a forbidden set among some elements, empty without one."""
        if pays(comb(len(points), self.arity)) and not self.why_plain:
            found, given = np.zeros(self.arity, np.int32), np.ascontiguousarray(points, np.int32)
            size = self._kernels["check"](given, len(given), rows_of(problem, n), n, found)
            return tuple(found[:size].tolist())
        return self._violation(problem, points, n)

    def _violation(self, problem: "Problem", points: np.ndarray, n: int) -> tuple[int, ...]:
        coords = rows_of(problem, n)
        for rule in self.rules:
            for chosen in combinations(points.tolist(), rule.arity):
                if self._said(problem, rule, coords[list(chosen)], n):
                    return chosen
        return ()

    # ----------------------------------------------------------------- what symmetries ask for

    def listed(self, problem: "Problem", n: int) -> int | None:
        """Return the number of forbidden sets, None where they are not listed."""
        start, others, layout, _ = self.tables(problem, n)
        if not len(layout):
            return None
        return sum(len(part) // entries(k) for k, _, part in parts_of(start, others, layout))

    def some_forbidden(self, problem: "Problem", n: int, most: int) -> list[np.ndarray]:
        """Return some forbidden sets of each rule, int32 ``(_, arity)``, the same every time."""
        start, others, layout, _ = self.tables(problem, n)
        m, rng = len(rows_of(problem, n)), np.random.default_rng(0)
        if len(layout):
            parts = parts_of(start, others, layout)
            return [some_edges(lists, entries_, k, m, rng, most) for k, lists, entries_ in parts]
        found = []
        for rule in self.rules:
            tried = np.stack([rng.choice(m, rule.arity, replace=False) for _ in range(20 * most)])
            held = tried[self.holds(problem, rule, tried, n)][:most]
            found.append(np.sort(held, axis=1).astype(np.int32))
        return found

    def holds(self, problem: "Problem", rule: Predicate, sets: np.ndarray, n: int) -> np.ndarray:
        """Return bool ``(B,)``: the rows of integers ``(B, arity)`` that a rule forbids."""
        coords = rows_of(problem, n)
        if rule.compiled is None:
            return np.array([rule.plain(problem, coords[row], n) for row in sets], np.bool_)
        return np.array([rule.compiled(*coords[row], n) for row in sets], np.bool_)


class DerivedHook:
    """The hook, made when it is first asked for; stands where a problem's own ``hook`` does."""

    def __init__(self, rules: Sequence[Predicate]) -> None:
        self._rules = rules

    @cached_property
    def py_func(self) -> Any:
        """The hook as Python; what it calls may be compiled."""
        names: dict[str, Any] = {"block_listed": block_listed}
        walks = all(rule.compiled is not None for rule in self._rules)
        if walks:
            names |= {f"rule{rule.arity}": rule.compiled for rule in self._rules}
        arities = [rule.arity for rule in self._rules]
        return self._rules[-1].written(hook_text(arities, walks), "block", names)

    @cached_property
    def compiled(self) -> Any:
        """The hook as numba has it."""
        from pipeline.problem import HOOK_SIGNATURE

        def compile_(function: Any, **options: Any) -> Any:
            return load().cfunc(HOOK_SIGNATURE, **options)(function)

        return self._rules[-1].kept(compile_, self.py_func)


def rows_of(problem: "Problem", n: int) -> np.ndarray:
    """Return the coordinates that ``elements`` gives, int64 ``(m, d)``, made once for each n.

    Raises:
        UsageError: none, too many, or something else than rows of whole numbers.
    """
    kept: dict[int, np.ndarray] = problem.__dict__.setdefault("_rows", {})
    if n not in kept:
        kept[n] = _rows(problem, n)
    return kept[n]


def _rows(problem: "Problem", n: int) -> np.ndarray:
    given = problem.elements(n)
    where = f"{problem.name} at n={n}: elements"
    if isinstance(given, int | np.integer):
        raise UsageError(f"{where} gives a number; give the coordinates, a row for each element")
    rows = given if isinstance(given, np.ndarray) else list(islice(iter(given), MOST_ELEMENTS + 1))
    if len(rows) > MOST_ELEMENTS:
        raise UsageError(f"{where} gives more than {MOST_ELEMENTS:,}, the most there may be")
    if not len(rows):
        raise UsageError(f"{where} gives none; name a larger n, or set `smallest` in the class")
    try:
        array = np.array(rows)
    except ValueError:
        array = np.array([], object)
    if array.ndim == 1 and array.dtype.kind in "iub":
        array = array[:, None]
    if array.ndim != 2 or array.dtype.kind not in "iub":
        raise UsageError(
            f"{where} must give rows of as many whole numbers each, such as "
            "[(x, y) for x in range(n) for y in range(n)]"
        )
    return np.ascontiguousarray(array, np.int64)


def _shown(points: np.ndarray) -> str:
    """Write points as arguments."""
    return f"({', '.join(str(tuple(row)) for row in points.tolist())})"

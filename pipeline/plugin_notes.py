"""What was made of a problem of one's own: symmetries, forbidden sets, and what a search costs."""

import time
from collections.abc import Iterator, Mapping
from math import comb
from typing import NamedTuple

import numpy as np

from pipeline.core.automorphisms import HOW_TO_FIND, can_find
from pipeline.core.bitset import popcounts, width
from pipeline.core.memory import readable
from pipeline.core.symmetry import find_class, symmetry_classes
from pipeline.derived import TRIES
from pipeline.engine.greedy import greedy_many
from pipeline.engine.space import make_space
from pipeline.errors import UsageError
from pipeline.hypergraph_file import Hypergraph
from pipeline.problem import Problem
from pipeline.publish.rules import rules_of

#: Calls of the hook in a second below which search is slow.
SLOW = 20_000
#: The note that is of no size.
CERTIFICATE = "certificate"
_SECONDS = 0.5
_FAST_WAY = "docs/own-problem.md#the-fast-way"


class Note(NamedTuple):
    """Something worth knowing: what it is about, in words, and the numbers in them."""

    what: str
    text: str
    numbers: Mapping[str, float]


def notes(problem: Problem, n: int) -> Iterator[Note]:
    """Yield what is worth knowing at size n."""
    problem.ground(n)
    began, anew = time.perf_counter(), type(problem)(problem.convention)
    ground, tables = anew.ground(n), anew.hook_tables(n)
    set_up = time.perf_counter() - began
    is_kept = problem.is_derived or isinstance(problem, Hypergraph)
    if is_kept:
        yield _symmetries(problem, n)
        yield Note("forbidden", _forbidden(problem, n), {})
    calls = _calls_per_second(problem, n)
    words = f"{calls:,.0f} calls of the hook in a second; set up in {set_up:.2g} s"
    words += ", what was listed before not counted" * is_kept
    told = {"hook_calls_per_second": round(calls, 1), "set_up_seconds": round(set_up, 3)}
    yield Note("speed", words + _what_to_do(problem, n, calls), told)
    bytes_ = {
        "table_bytes": sum(table.nbytes for table in tables),
        "group_bytes": ground.group.nbytes,
    }
    words = f"{readable(bytes_['table_bytes'])} of tables, {readable(bytes_['group_bytes'])} of "
    yield Note("memory", f"{words}symmetries", bytes_)
    yield Note(CERTIFICATE, _certificate(problem), {})


def _symmetries(problem: Problem, n: int) -> Note:
    ground = problem.ground(n)
    names = ", ".join(cls.name for cls in symmetry_classes(ground)[1:])
    found = f"{len(ground.group)} found{f': {names}' * bool(names)}; there may be more, and what "
    found += f"is called inequivalent is so up to {ground.up_to}"
    if isinstance(problem, Hypergraph) and not can_find():
        found = HOW_TO_FIND
    return Note("symmetries", found, {"symmetries": len(ground.group)})


def _forbidden(problem: Problem, n: int) -> str:
    if isinstance(problem, Hypergraph):
        told = ", ".join(f"{len(part):,} of {part.shape[1]} elements" for part in problem.edges)
        return f"{told}, listed"
    derived = problem.derived
    assert derived is not None
    edges, why = derived.listed(problem, n), derived.why_plain
    if why:  # and so they are listed
        slow = "slow to list, search is not affected"
        return f"{edges:,} forbidden sets, listed by plain Python: {slow} ({why})"
    where = "tried one by one" if edges is None else f"{edges:,} forbidden sets, listed"
    return f"compiled by numba; {where}"


def _certificate(problem: Problem) -> str:
    """Say whether what is found can be certified, and what to do where it cannot."""
    if problem.objective != "size":
        return "none, since the score is no number of points: export gives JSON"
    try:
        rules_of(problem)
    except UsageError as error:
        return f"not yet: {error}"
    copied = "elements and forbidden" if problem.definition is None else "the definition"
    if isinstance(problem, Hypergraph):
        copied = "the forbidden sets"
    return f"ok, its program holds a copy of {copied}"


def _calls_per_second(problem: Problem, n: int) -> float:
    """Return how often a second the hook is called while sets are filled up at random."""
    space = make_space(problem, n, find_class(problem.ground(n), "trivial"))
    rng, calls = np.zeros(1, np.uint64), 0

    def fill(count: int) -> int:
        cells = np.zeros((count, width(problem.ground(n).m)), np.uint8)
        greedy_many(space, rng, cells)
        return int(popcounts(cells).sum())

    fill(1)  # which compiles
    began, count = time.perf_counter(), 1
    while (seconds := time.perf_counter() - began) < _SECONDS:
        calls += fill(count)
        count = min(2 * count, 1000)
    return calls / seconds


def _what_to_do(problem: Problem, n: int, calls: float) -> str:
    """Return what makes search faster where it is slow; empty where it is not."""
    derived = problem.derived
    if problem.is_derived and derived is not None and derived.listed(problem, n) is None:
        tries = sum(comb(problem.ground_size(n), rule.arity) for rule in derived.rules)
        why = f"{tries:,} would have to be tried, {TRIES:,} are the most"
        if tries <= TRIES:
            why = "their tables would take too much memory"
        return (
            f"; the forbidden sets are not listed, since {why}: name a smaller n, or write a hook "
            f"({_FAST_WAY})"
        )
    if calls >= SLOW:
        return ""
    if problem.is_derived or isinstance(problem, Hypergraph):
        return "; slow, since an element is in many forbidden sets: name a smaller n"
    if problem.arity > 3 and problem.find_blockers is None:
        return f"; slow: find_blockers lets search go without counts ({_FAST_WAY})"
    return "; slow: let the hook keep in tables what it computes anew at each call"

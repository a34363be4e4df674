"""Problems as files for other solvers (OPB, WCNF, CNF), and what these solvers answer.

Variable i stands for the i-th choice, an element or a whole orbit, and is true where that is in the
set. OPB is the format of the pseudo-Boolean competition, CNF and WCNF are those of the SAT and
MaxSAT competitions (hard clauses begin with h).
"""

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from pipeline.engine.space import choice_of
from pipeline.engine.state import Space
from pipeline.errors import PipelineError, UsageError
from pipeline.problem import Problem

FORMATS = ("opb", "wcnf", "cnf")


def format_of(path: Path, size: int | None) -> str:
    """Return the format that the name of a file ends in, which must suit what is asked.

    Args:
        size: what the set must score at least; None for the largest there is.

    Raises:
        UsageError: another format, CNF without a size, WCNF with one, a size below 1.
    """
    kind = path.suffix.removeprefix(".")
    if kind not in FORMATS:
        raise UsageError(f"-o {path}: the name must end in .opb, .wcnf or .cnf")
    if size is not None and size < 1:
        raise UsageError(f"--size {size}: name a number from 1")
    if kind == "wcnf" and size is not None:
        raise UsageError("WCNF asks for the largest set; --size goes with .opb and .cnf")
    if kind == "cnf" and size is None:
        raise UsageError("CNF asks whether there is a set of a size; add --size K, or write .opb")
    return kind


def encoded(
    problem: Problem,
    n: int,
    symmetry: str,
    space: Space,
    forbidden: Sequence[np.ndarray],
    kind: str,
    size: int | None,
) -> tuple[Iterator[str], int, int]:
    """Return the lines of a file, the number of variables and of constraints.

    Args:
        space, forbidden: as ``forbidden_sets`` returns them.
        kind, size: as for ``format_of``.

    Raises:
        UsageError: CNF of choices of different worth.
    """
    worth, count = space.worth.tolist(), len(space.key)
    if kind == "cnf" and len(set(worth)) > 1:
        raise UsageError(
            "CNF counts choices, and those of this class have different sizes; write .opb"
        )
    title = [
        " ".join(f"{problem.name} ({problem.convention}), n={n}, symmetry {symmetry}".split()),
        "pipeline decode reads the answer",
        *(f"x{i + 1} = {_points(problem, n, space, i)}" for i in range(count)),
    ]
    constraints = sum(map(len, forbidden))
    if kind == "opb":
        constraints += size is not None
        return _opb(title, forbidden, worth, size, constraints), count, constraints
    comments = [f"c {line}" for line in title]
    if kind == "wcnf":
        soft = (f"{value} {i + 1} 0" for i, value in enumerate(worth) if value)
        return chain(comments, _clauses(forbidden, "h "), soft), count, constraints
    assert size is not None
    needed = -(-size // worth[0]) if worth[0] else count + 1
    counter, variables = at_least(range(1, count + 1), needed, count)
    constraints += len(counter)
    head = [*comments, f"p cnf {variables} {constraints}"]
    last = (" ".join(map(str, [*clause, 0])) for clause in counter)
    return chain(head, _clauses(forbidden), last), variables, constraints


def _clauses(forbidden: Sequence[np.ndarray], before: str = "") -> Iterator[str]:
    """Yield a clause for each forbidden set: not all of it."""
    for rows in forbidden:
        for row in rows:
            yield before + " ".join(f"-{choice + 1}" for choice in row) + " 0"


def _opb(
    title: list[str],
    forbidden: Sequence[np.ndarray],
    worth: list[int],
    size: int | None,
    constraints: int,
) -> Iterator[str]:
    yield f"* #variable= {len(worth)} #constraint= {constraints}"
    yield from (f"* {line}" for line in title)
    if size is None:
        yield f"min: {' '.join(f'-{value} x{i + 1}' for i, value in enumerate(worth))} ;"
    else:
        yield f"{' '.join(f'+{value} x{i + 1}' for i, value in enumerate(worth))} >= {size} ;"
    for rows in forbidden:
        end = f" >= {1 - rows.shape[1]} ;"
        for row in rows:
            yield " ".join(f"-1 x{choice + 1}" for choice in row) + end


def at_least(literals: Sequence[int], k: int, used: int) -> tuple[list[list[int]], int]:
    """Return clauses that hold where k of the literals do, and the number of variables by then.

    A sequential counter (Sinz, CP 2005): a new variable (i, j) implies that j of the first i hold.

    Args:
        used: the variables 1 to this number are taken.
    """
    if k > len(literals):
        return [[]], used
    clauses: list[list[int]] = []
    before: dict[int, int] = {}  # the variable that implies j of those so far, for j from 1
    for literal in literals:
        now = {j: used + j for j in range(1, k + 1)}
        used += k
        for j, variable in now.items():
            some = [before[j]] if j in before else []
            clauses.append([-variable, literal, *some])
            if j > 1:
                clauses.append([-variable, *some, *([before[j - 1]] if j - 1 in before else [])])
        before = now
    if k > 0:
        clauses.append([before[k]])
    return clauses, used


def _points(problem: Problem, n: int, space: Space, choice: int) -> str:
    start, stop = space.start[choice], space.start[choice + 1]
    points = problem.ground(n).coords[space.elements[start:stop]].tolist()
    return " ".join("(" + ", ".join(map(str, point)) + ")" for point in points)


def decoded(text: str, space: Space, m: int) -> np.ndarray:
    """Return the set that a solver's answer means, bool ``(m,)``.

    Read are lines of values, ``v x1 -x2``, ``v 1 -2 0`` or ``v 10``, as the competitions have them,
    and lines ``x1 1`` of a name and a value.

    Raises:
        PipelineError: there are none, or a variable is given both ways.
    """
    count = len(space.key)
    given: dict[int, bool] = {}
    for variable, value in _values(text, count):
        # Those of a counter come behind the choices.
        if variable <= count and given.setdefault(variable, value) != value:
            raise PipelineError(f"the answer gives x{variable} both values")
    if not given:
        said = re.search(r"^s .*$", text, re.MULTILINE)
        more = f"; it says {said[0]!r}" if said else ""
        raise PipelineError(f"no values of variables in the answer: no line begins with v{more}")
    chosen = np.zeros(count + 1, np.bool_)  # choice -1 is none
    chosen[np.array(list(given)) - 1] = list(given.values())
    of = choice_of(space)
    assert len(of) == m
    return chosen[of]


def _values(text: str, count: int) -> Iterator[tuple[int, bool]]:
    """Yield variables, from 1, and their values, as often as they are given."""
    for line in text.splitlines():
        words = line.split()
        if words and words[0] == "v":
            yield from _of_words(words[1:], count)
        elif re.fullmatch(r"x[1-9]\d{0,8}", words[0] if words else "") and _is_number(words[1:]):
            yield int(words[0][1:]), float(words[1]) > 0.5


def _of_words(words: list[str], count: int) -> Iterator[tuple[int, bool]]:
    if len(words) == 1 and len(words[0]) >= count > 1 and set(words[0]) <= {"0", "1"}:
        yield from ((i + 1, bit == "1") for i, bit in enumerate(words[0]))
        return
    for word in words:
        found = re.fullmatch(r"(-?)x?(\d{1,9})", word)
        if found is None:
            raise PipelineError(f"the answer has a value that is none of a variable: {word[:40]!r}")
        if int(found[2]):
            yield int(found[2]), not found[1]


def _is_number(words: list[str]) -> bool:
    """Tell whether the first of some words is a number."""
    return bool(words) and re.fullmatch(r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?", words[0]) is not None

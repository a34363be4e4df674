"""The definition of a problem as text, for the program that goes with a certificate."""

import ast
import inspect
import itertools
import re
import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import UsageError
from pipeline.hypergraph_file import Hypergraph
from pipeline.predicate import without_self
from pipeline.problem import Problem

_PLAIN = (
    "a certificate needs plain Python on tuples of whole numbers, from the standard library alone"
)
_WRITE = "compare the numbers of the points one by one, as in a loop over zip(a, b, c)"
_DEFINE = (
    "add `definition = Definition(inside, forbidden)` to the class, with `from pipeline.problem "
    "import Definition` and two functions in plain Python, inside(point, n) and "
    "forbidden(points, convention)"
)
# What calls an author's own functions.
_WRAPPERS = """


def inside(point, n, known={}):
    if n not in known:
        known[n] = {tuple(e) if hasattr(e, "__iter__") else (e,) for e in elements(n)}
    return point in known[n]


def forbidden(points, convention, n):
"""
# Where the forbidden sets are listed, a set is looked at as a whole.
_LISTED = """\
# The elements are 0 .. {n} - 1; these sets of them are forbidden.
FORBIDDEN = [
{edges}
]


def inside(point, n):
    return n == {n} and len(point) == 1 and 0 <= point[0] < n


def forbidden(points, convention, n):
    held = {{v for (v,) in points}}
    return any(held.issuperset(few) for few in FORBIDDEN)"""
_SETS = 300


def tuple_size(problem: Problem) -> int:
    """Return how many points ``forbidden`` is to be asked about together."""
    return problem.smallest if isinstance(problem, Hypergraph) else problem.arity


def rules_of(problem: Problem) -> str:
    """Return the text of ``inside(point, n)`` and ``forbidden(points, convention, n)``.

    Raises:
        UsageError: the problem has neither a definition nor a ``forbidden`` that can be copied.
    """
    given = problem.definition
    if isinstance(problem, Hypergraph):
        return _LISTED.format(n=problem.only_size, edges=_lines(problem))
    if given is not None:
        text = "\n\n\n".join(
            [
                *_called(given.inside, given.forbidden),
                _renamed(given.inside, "inside"),
                _renamed(given.forbidden, "rule"),
                "def forbidden(points, convention, n):\n"
                "    return len(points) == SIZE and rule(points, convention)",
            ]
        )
        _try(problem, text)
        return text
    if problem.derived is None:
        raise UsageError(
            f"{problem.name} gives no definition in plain Python, which a certificate needs: "
            f"{_DEFINE}"
        )
    text = _copied(problem)
    _try(problem, text)
    return text


def _lines(problem: Hypergraph) -> str:
    return "\n".join(f"    {tuple(row)}," for part in problem.edges for row in part.tolist())


def _renamed(function: Any, name: str) -> str:
    source = textwrap.dedent(inspect.getsource(function))
    return re.sub(r"^def \w+\(", f"def {name}(", source, count=1).rstrip()


def _called(*functions: Any) -> list[str]:
    """Return the source of what functions use in the files that they are in, each once."""
    found: dict[str, None] = {}
    for function in functions:
        source = Path(inspect.getfile(function)).read_text(encoding="utf-8")
        module = ast.parse(source)
        own = [
            node
            for node in module.body
            if isinstance(node, ast.FunctionDef) and node.name == function.__name__
        ]
        for node in _needed(module, own):
            if node not in own:
                found[ast.get_source_segment(source, node) or ""] = None
    return list(found)


def _copied(problem: Problem) -> str:
    """Return an author's ``elements`` and ``forbidden`` with all that they call in their file."""
    kind, derived = type(problem), problem.derived
    assert derived is not None
    methods = []
    rules = [(f"rule{rule.arity}", rule.function) for rule in derived.rules]
    for name, function in (("elements", kind.elements), *rules):
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
        assert isinstance(tree, ast.FunctionDef)
        found = without_self(tree)
        if found is None:
            raise UsageError(f"{problem.name}: {tree.name} uses self; {_PLAIN}: {_DEFINE}")
        found.name = name
        methods.append(found)
    module = ast.parse(Path(inspect.getfile(kind)).read_text(encoding="utf-8"))
    parts = [ast.unparse(node) for node in [*_needed(module, methods), *methods]]
    lines = [
        f"    for some in itertools.combinations(points, {rule.arity}):\n"
        f"        if rule{rule.arity}(*some{', n' * rule.takes_n}):\n"
        "            return True"
        for rule in derived.rules
    ]
    return "\n\n\n".join(parts) + _WRAPPERS + "\n".join([*lines, "    return False"])


def _needed(module: ast.Module, functions: list[ast.FunctionDef]) -> list[ast.stmt]:
    """Return the statements of a module that bind what functions use, in their order."""
    binds = {name: node for node in module.body for name in _bound(node)}
    wanted: list[ast.stmt] = []
    left: list[ast.AST] = list(functions)
    while left:
        for node in ast.walk(left.pop()):
            used = binds.get(node.id) if isinstance(node, ast.Name) else None
            if used is not None and used not in wanted and not isinstance(used, ast.ClassDef):
                wanted.append(used)
                left.append(used)
    return [node for node in module.body if node in wanted]


def _bound(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    targets = node.targets if isinstance(node, ast.Assign) else []
    names = [node for target in targets for node in ast.walk(target)]
    return [name.id for name in names if isinstance(name, ast.Name)]


def _try(problem: Problem, text: str) -> None:
    """Hold the text against the problem, on tuples, with nothing else of ours around.

    Raises:
        UsageError: it says something else, or fails.
    """
    n = problem.smallest
    while problem.ground_size(n) < 2 * problem.arity and n < problem.smallest + 20:
        n += 1
    coords, rng = problem.ground(n).coords, np.random.default_rng(0)
    points = [tuple(row) for row in coords.tolist()]
    sets = _some_forbidden(problem, n, rng)
    if len(points) >= problem.arity:
        sets += [rng.choice(len(points), problem.arity, replace=False) for _ in range(_SETS)]
    names: dict[str, Any] = {"itertools": itertools, "SIZE": problem.arity}
    try:
        exec(compile(text, "verify.py", "exec"), names)
        there = all(names["inside"](point, n) for point in points)
        same = all(
            names["forbidden"]([points[v] for v in chosen], problem.convention, n)
            == (problem.witness(np.array(chosen), n) is not None)
            for chosen in sets
        )
    except Exception as error:
        raise UsageError(
            f"{problem.name}: {_PLAIN}, and there its forbidden fails with {type(error).__name__}: "
            f"{error}; {_WRITE}, or {_DEFINE}"
        ) from error
    if "numpy" in text or not there or not same:
        raise UsageError(
            f"{problem.name}: {_PLAIN}, and there its forbidden says something else or needs "
            f"numpy; {_WRITE}, or {_DEFINE}"
        )


def _some_forbidden(problem: Problem, n: int, rng: np.random.Generator) -> list[list[int]]:
    """Return some tuples that are forbidden."""
    if problem.derived is not None:
        found = problem.derived.some_forbidden(problem, n, _SETS)
        return [row.tolist() for part in found for row in part]
    m, several = problem.ground_size(n), []
    for _ in range(_SETS if m > problem.arity else 0):
        chosen = rng.choice(m, min(m, 4 * problem.arity), replace=False)
        broken = problem.witness(np.sort(chosen), n)
        if broken is not None and len(broken) == problem.arity:
            several.append([int(v) for v in broken])
    return several

"""The rule of a problem as its author wrote it: a function of a few points, compiled if it can be.

``forbidden(self, a, b, c)`` or ``forbidden(self, a, b, c, n)`` gets the coordinates of ``arity``
elements, each an int64 array ``(d,)``, in any order. numba compiles it where it uses nothing but
numbers, arrays and functions of the same kind; otherwise it stays plain Python.
"""

import ast
import copy
import functools
import hashlib
import inspect
import re
import textwrap
import types
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.jit import kept, load
from pipeline.errors import UsageError
from pipeline.plugin_files import has_neighbours

#: The fewest and the most points that a rule may speak of.
ARITIES = range(2, 9)
_ONE_BY_ONE = "compare the numbers one by one, as a[0] != b[0]"
#: What to write for what numba does not know, or not of a generator expression.
_INSTEAD = {
    "all": "write a loop that returns False",
    "any": "write a loop that returns True",
    "tuple": "write (a[0], a[1])",
    "yield": "write a loop in place of the generator expression",
    **dict.fromkeys(("set", "frozenset", "dict"), _ONE_BY_ONE),
    **dict.fromkeys(("max", "min", "sorted", "sum"), "give it a list in brackets"),
}


def is_rule(name: str) -> bool:
    """Tell whether a method of this name says what is forbidden."""
    return name == "forbidden" or name.startswith("forbidden_")


class Predicate:
    """A problem's ``forbidden``: what it is called with, and what numba makes of it.

    Attributes:
        function: the method as it was written.
        arity: how many points it takes.
        takes_n: whether the size comes after them.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        """Read the parameters.

        Args:
            name: what to call the problem in an error.

        Raises:
            UsageError: too few or too many parameters.
        """
        words = list(inspect.signature(function).parameters.values())[1:]
        if any(word.kind is not word.POSITIONAL_OR_KEYWORD for word in words):
            raise UsageError(
                f"{name}: {function.__name__} takes points by position, as in (self, a, b, c)"
            )
        self.function = function
        self.takes_n = bool(words) and words[-1].name == "n"
        self.arity = len(words) - self.takes_n
        if self.arity not in ARITIES:
            low, high = ARITIES[0], ARITIES[-1]
            raise UsageError(
                f"{name}: {function.__name__} takes {low} to {high} points, not {self.arity}"
            )
        self.names = [word.name for word in words[: self.arity]]
        self.why_plain = ""
        self._file = function.__code__.co_filename
        # Of a text that makes a function anew each time it runs, only one would be kept.
        is_one = "<locals>" not in function.__qualname__
        self._is_kept = is_one and Path(self._file).is_file() and not has_neighbours()

    def plain(self, problem: Any, points: Iterable[np.ndarray], n: int) -> bool:
        """Tell by plain Python whether points, int64 ``(d,)`` each, may not be together."""
        return bool(self.function(problem, *points, *([n] if self.takes_n else [])))

    @cached_property
    def source(self) -> ast.FunctionDef | None:
        """The function without ``self``, as syntax; None where its text cannot be had."""
        try:
            text = textwrap.dedent(inspect.getsource(self.function))
            tree = ast.parse(text).body[0]
        except (OSError, SyntaxError, TypeError, IndexError):
            return None
        return without_self(tree) if isinstance(tree, ast.FunctionDef) else None

    @cached_property
    def compiled(self) -> Any:
        """``forbidden(a, b, c, n)`` as numba has it; None, and ``why_plain``, where it cannot."""
        if self.source is None:
            self.why_plain = "it uses self, or its source text cannot be had"
            return None
        tree = _Unpacking(self.names).visit(copy.deepcopy(self.source))
        if not self.takes_n:
            tree.args.args.append(ast.arg("n"))
        ast.increment_lineno(tree, self.function.__code__.co_firstlineno - 1)
        module = ast.fix_missing_locations(ast.Module([tree], []))
        names = _compilable_names(self.function)
        exec(compile(module, self._file, "exec"), names)
        numba = load()
        points = ", ".join(f"p{i}" for i in range(self.arity))
        text = f"def rule({points}, n):\n    return bool(forbidden({points}, n))"
        found = self.jitted(text, "rule", {"forbidden": numba.njit(names[tree.name])})
        row = numba.int64[::1]
        try:
            found.compile((*[row] * self.arity, numba.int64))
        except (
            numba.core.errors.NumbaError,
            numba.core.errors.UnsupportedBytecodeError,  # which is no NumbaError
        ) as error:
            self.why_plain = _why(str(error), self.source)
            return None
        return found

    def jitted(self, text: str, name: str, names: dict[str, Any]) -> Any:
        """Return a function of a text of ours as numba has it, kept as the author's file is."""
        return self.kept(
            functools.partial(load().njit, nogil=True), self.written(text, name, names)
        )

    def kept(self, compile_: Callable[..., Any], function: Callable[..., Any]) -> Any:
        """Compile what ``written`` returns; its code is kept, stamped by the author's file."""
        return kept(compile_, function) if self._is_kept else compile_(function)

    def written(self, text: str, name: str, names: dict[str, Any]) -> Any:
        """Return a function of a text, such as loops as deep as the arity asks.

        Its name differs where what it calls does: numba keeps code by names.

        Args:
            names: what it calls.
        """
        called = [(key, getattr(names[key], "__qualname__", "")) for key in sorted(names)]
        mark = hashlib.sha256(repr((text, called)).encode()).hexdigest()[:12]
        full = f"{name}_{re.sub('[^a-zA-Z0-9]', '_', self.function.__qualname__)}_{mark}"
        space = {"np": np, "__name__": self.function.__module__, **names}
        text = text.replace(f"def {name}(", f"def {full}(", 1)
        exec(compile(text, self._file, "exec"), space)
        return space[full]

    @property
    def only_indexes(self) -> bool:
        """Whether points are indexed and unpacked alone, so that tuples do as well as arrays."""
        if self.source is None:
            return False
        looks = _Unpacking(self.names)
        looks.visit(copy.deepcopy(self.source))
        return not looks.whole


def without_self(tree: ast.FunctionDef) -> ast.FunctionDef | None:
    """Return a method as a function, without decorators and annotations; None if it uses self."""
    own = tree.args.args[0].arg
    if any(isinstance(node, ast.Name) and node.id == own for node in ast.walk(tree)):
        return None
    tree.args.args = [ast.arg(word.arg) for word in tree.args.args[1:]]
    tree.decorator_list, tree.returns = [], None
    return tree


class _Unpacking(ast.NodeTransformer):
    """Writes ``x, y = a`` as ``x, y = a[0], a[1]``, which numba needs of an array.

    Attributes:
        whole: whether a point is used as a whole anywhere, neither indexed nor unpacked.
    """

    def __init__(self, names: list[str]) -> None:
        self._names, self.whole = set(names), False

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        """Write out what is unpacked; a tuple of points on the right goes one by one."""
        for target in node.targets:
            node.value = self._written_out(target, node.value)
        node.value = self.visit(node.value)
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.Subscript:
        """An index into a point is no use of the whole, a slice is."""
        is_point = isinstance(node.value, ast.Name) and node.value.id in self._names
        if not is_point or isinstance(node.slice, ast.Slice):
            node.value = self.visit(node.value)
        node.slice = self.visit(node.slice)
        return node

    def visit_Call(self, node: ast.Call) -> ast.Call:
        """The length of a point is no use of the whole."""
        if isinstance(node.func, ast.Name) and node.func.id == "len":
            return node
        self.generic_visit(node)
        return node

    def visit_Name(self, node: ast.Name) -> ast.Name:
        """See a point that is used as a whole."""
        self.whole = self.whole or node.id in self._names
        return node

    def _written_out(self, target: ast.expr, value: ast.expr) -> ast.expr:
        if not isinstance(target, ast.Tuple | ast.List):
            return value
        if isinstance(value, ast.Name) and value.id in self._names:
            row: list[ast.expr] = [
                ast.Subscript(ast.Name(value.id, ast.Load()), ast.Constant(i), ast.Load())
                for i in range(len(target.elts))
            ]
            return ast.Tuple(row, ast.Load())
        if isinstance(value, ast.Tuple) and len(value.elts) == len(target.elts):
            value.elts = [
                self._written_out(*pair) for pair in zip(target.elts, value.elts, strict=True)
            ]
        return value


def _compilable_names(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the names that a function sees, its author's other functions compiled."""
    seen: dict[str, Any] = {}
    names = dict(function.__globals__)
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    names.update({name: cell.cell_contents for name, cell in cells})
    for name, value in list(names.items()):
        if isinstance(value, types.FunctionType) and value.__module__ == function.__module__:
            names[name] = _helper(value, seen)
    return names


def _helper(function: types.FunctionType, seen: dict[str, Any]) -> Any:
    """Return a function compiled when it is called, and those that it calls."""
    if function.__qualname__ not in seen:
        names = dict(function.__globals__)
        copy = types.FunctionType(
            function.__code__, names, function.__name__, function.__defaults__, function.__closure__
        )
        seen[function.__qualname__] = load().njit(copy)
        for name in function.__code__.co_names:
            value = names.get(name)
            if isinstance(value, types.FunctionType) and value.__module__ == function.__module__:
                names[name] = _helper(value, seen)
    return seen[function.__qualname__]


def _why(told: str, source: ast.FunctionDef) -> str:
    """Return in one line why numba does not compile a rule, and what to write where that is known.

    Args:
        told: what numba says.
    """
    found = re.search(r"Untyped global name '(\w+)'|Function\(<class '(\w+)'>\)", told)
    word = found and (found[1] or found[2])
    if "yield in a closure" in told:
        word = next(_takers_of_generators(source), "yield")
    if word in _INSTEAD:
        return f"numba cannot compile `{word}`: {_INSTEAD[word]}"
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    what = [line for line in lines if not line.startswith(("Failed in", "During:", "File"))]
    return f"numba: {(what or lines or ['it fails'])[0]}"


def _takers_of_generators(source: ast.FunctionDef) -> Iterator[str]:
    """Yield the names of the functions that are called with a generator expression."""
    for node in ast.walk(source):
        if isinstance(node, ast.Call) and any(isinstance(a, ast.GeneratorExp) for a in node.args):
            yield ast.unparse(node.func)

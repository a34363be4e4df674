"""Counting the array accesses of a compiled function, by running it in plain Python.

The count stands for the time that the function takes, and is the same on every machine.
"""

import types
from collections.abc import Callable
from typing import Any

import numpy as np

# What making an array counts for, beside its elements: memory is asked for and given back.
_ARRAY = 32
# What an operation on whole arrays takes in plain Python, in units of reading an element.
_EFFORT = 5

_MAKERS = ("arange", "array", "asarray", "copy", "empty", "empty_like", "eye", "full", "full_like")
_MAKERS += ("identity", "ones", "ones_like", "zeros", "zeros_like")


class BudgetSpentError(Exception):
    """Counting took longer than it may."""


class Meter:
    """Counts array accesses.

    An element read or written counts 1; an operation on whole arrays counts each element of the
    largest, and something for the array that it makes.
    """

    def __init__(self, budget: int) -> None:
        """Begin at 0.

        Args:
            budget: elements that may be read or written one by one, which take half a microsecond
                each; more raise ``BudgetSpentError``.
        """
        self.accesses, self._left = 0, budget
        self.view = _view_maker(self)

    def add(self, accesses: int, effort: int = 1) -> None:
        """Count so many more."""
        self.accesses += accesses
        self._left -= effort
        if self._left < 0:
            raise BudgetSpentError

    def counted(self, function: Any) -> Callable[..., Any]:
        """Return the plain Python of a compiled function and of the compiled ones it calls.

        Arrays that it makes count; arrays that it is given do so where they are a ``view``.

        Raises:
            AttributeError: the function is not one that numba has compiled.
        """
        numpy_: Any = _CountedNumpy(self)
        known: dict[Any, Any] = {}

        def replaced(value: Any) -> Any:
            if value is np:
                return numpy_
            inner = getattr(value, "py_func", None)
            return plain(inner) if isinstance(inner, types.FunctionType) else value

        def plain(function: Any) -> Any:
            if function in known:
                return known[function]
            scope, cells = dict(function.__globals__), function.__closure__ or ()
            ours = tuple(types.CellType() for _ in cells)
            name, defaults = function.__name__, function.__defaults__
            made = types.FunctionType(function.__code__, scope, name, defaults, ours)
            known[function] = made
            scope.update((name, replaced(value)) for name, value in list(scope.items()))
            for cell, theirs in zip(ours, cells, strict=True):
                cell.cell_contents = replaced(theirs.cell_contents)
            return made

        return plain(getattr(function, "py_func", None) or function.__wrapped__)


def _view_maker(meter: Meter) -> Callable[[np.ndarray], Any]:
    """Return what makes a view of an array that counts, as does every array made from it."""

    class Counted(np.ndarray):
        def __getitem__(self, at: Any) -> Any:
            meter.add(1)
            return super().__getitem__(at)

        def __setitem__(self, at: Any, value: Any) -> None:
            meter.add(1)
            super().__setitem__(at, value)

        def __iter__(self) -> Any:
            return (self[i] for i in range(len(self)))

        def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **more: Any) -> Any:
            return whole(getattr(ufunc, method), inputs, more)

        def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
            return whole(func, args, kwargs)

    def uncounted(value: Any) -> Any:
        if isinstance(value, Counted):
            return value.view(np.ndarray)
        if isinstance(value, tuple | list):
            return type(value)(map(uncounted, value))
        return value

    def whole(function: Any, args: Any, kwargs: Any) -> Any:
        args, kwargs = uncounted(args), {key: uncounted(value) for key, value in kwargs.items()}
        made = function(*args, **kwargs)
        meter.add(_ARRAY + max(np.size(array) for array in (*args, made)), _EFFORT)
        return made.view(Counted) if isinstance(made, np.ndarray) else made

    return lambda array: array.view(Counted)


class _CountedNumpy:
    """numpy, whose new arrays count."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def __getattr__(self, name: str) -> Any:
        found = getattr(np, name)
        if name not in _MAKERS:
            return found

        def make(*args: Any, **kwargs: Any) -> Any:
            array = found(*args, **kwargs)
            self._meter.add(_ARRAY + array.size, _EFFORT)
            return self._meter.view(array)

        return make

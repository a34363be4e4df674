"""What is known of a problem: best values with sources, and its definition in plain Python."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.core.bitset import mismatch


@dataclass(frozen=True)
class Known:
    """A best known value: a lower bound unless ``proved``, never without its source.

    Attributes:
        source: who found it, or where it stands; for a proved one, where the proof is too.
        date: when that was so, as 2026, 2026-11 or 2026-11-24; empty where the source says it.

    Raises:
        ValueError: no source, or a date of another form.
    """

    value: int
    source: str
    proved: bool = False
    date: str = ""

    def __post_init__(self) -> None:
        if not self.source.strip():
            raise mismatch("source", "who found it", "nothing")
        if not re.fullmatch(r"(\d{4}(-\d\d){0,2})?", self.date):
            raise mismatch("date", "YYYY, YYYY-MM or YYYY-MM-DD", repr(self.date))

    def __str__(self) -> str:
        """Write it with its source, its date, and whether it is proved."""
        proved = ", proved optimal" if self.proved else ""
        return f"{self.value} ({', '.join(filter(None, [self.source, self.date]))}{proved})"


@dataclass(frozen=True)
class Definition:
    """A problem in plain Python, for readers of a certificate who have not this program.

    Both functions are copied into the program that goes with a certificate: they use nothing but
    their arguments and the standard library, imported inside them, and run on Python 3.8.

    Attributes:
        inside: ``inside(point, n)`` tells whether a tuple of whole numbers is an element.
        forbidden: ``forbidden(points, convention)`` tells whether some ``arity`` points, tuples
            in any order, may not be together.
        in_c: the same once more in C99, by another formula, for a second program that shares no
            line with the first: ``static int inside(const long *p, long n)`` and ``static int
            forbidden(const long *const p[], int convention)``, the convention counted from 0 in
            the problem's order. ``DIMENSION`` is the number of coordinates, and ``det4(rows)`` the
            determinant of four rows of four numbers. Empty for none.
    """

    inside: Callable[..., bool]
    forbidden: Callable[..., bool]
    in_c: str = ""

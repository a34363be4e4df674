"""The public function exchange: improve a set by exchanges, or show that there are none."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pipeline.launch import problem_from
from pipeline.problem import Problem
from pipeline.result import Found

Points = list[tuple[int, ...]]


class Exchanged(NamedTuple):
    """What came of a set.

    Attributes:
        best: the set in the end, verified.
        steps: the exchanges that led to it: points taken out, points put in.
        ruled_out: no exchange takes out so many choices or fewer; -1 where not even this is known.
        ways: how many sets of choices to take out this rules out.
        complete: whether all was gone through; False if the time was up.
        seconds: wall time.
    """

    best: Found
    steps: list[tuple[Points, Points]]
    ruled_out: int
    ways: int
    complete: bool
    seconds: float


def exchange(
    problem: str | Problem,
    points: Iterable[Sequence[int]],
    n: int,
    *,
    out: int = 2,
    symmetry: str = "trivial",
    time: float | None = None,
) -> Exchanged:
    """Improve a set by exchanges until none takes out ``out`` points or fewer; every one is tried.

    Args:
        problem: as for `run`; its score must be a sum over the elements.
        points: coordinates of a valid set, 0-based.
        n: the size.
        out: the most that is taken out: points, or orbits of a symmetry class.
        symmetry: a class whose orbits are exchanged as wholes; the set must have this symmetry.
        time: limit in seconds; None for none.

    Raises:
        UsageError: an unknown class, one that the set has not, or a problem on words or with a
            score of its own.
        VerificationError: the set is not valid.
    """
    from pipeline.core.bitset import points as elements_in
    from pipeline.engine.exchange import check_exchangeable, exchange
    from pipeline.storage.construction_files import Construction, elements_of

    made = problem_from(problem)
    check_exchangeable(made)
    elements = elements_of([list(map(int, point)) for point in points], made, n, "the points")
    given = Construction(made, n, elements, "the points")
    given.check()
    limit = float("inf") if time is None else time
    found = exchange(made, n, given.cells[0], out, symmetry, limit)
    if found.stopped == "interrupt":
        raise KeyboardInterrupt
    coords = made.ground(n).coords

    def places(elements: Sequence[int]) -> Points:
        return [tuple(point) for point in coords[list(elements)].tolist()]

    last = elements_in(found.cells, made.ground(n).m)
    best = Found(made, n, last, found.score, 0, "import", imported=True)
    steps = [(places(step.out), places(step.put_in)) for step in found.steps]
    complete = not found.stopped
    return Exchanged(best, steps, found.ruled_out, found.ways, complete, found.seconds)

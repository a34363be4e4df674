"""Constructions as people exchange them, in any format, checked from the raw points."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.bitset import from_points, points, popcounts
from pipeline.core.population import Population
from pipeline.errors import PipelineError, UsageError, VerificationError, short
from pipeline.plugins import is_of, is_path, load_problem, named_in_data
from pipeline.problem import Problem
from pipeline.storage.construction_readers import Given, on_board, read_text
from pipeline.words import WordProblem

#: Elements of the ground sets of one file: these in any case, and so many more for each point.
_ELEMENTS, _EACH = 262_144, 1000


@dataclass(frozen=True, eq=False)
class Construction:
    """One set of points, as given.

    Attributes:
        points: element indices, ascending.
        where: how to name it in a message.
        spec: what names the problem: a name, or a file and a class.
        imported: whether its file says that it was given with ``--start``, or found from what was.
    """

    problem: Problem
    n: int
    points: np.ndarray
    where: str
    spec: str = ""
    imported: bool = False

    @property
    def cells(self) -> np.ndarray:
        """The packed row, uint8 ``(1, ceil(m / 8))``."""
        return from_points([self.points], self.problem.ground(self.n).m)

    def score(self) -> int:
        """Return the score, from the raw cells."""
        return int(self.problem.evaluate(self.cells, self.n)[0])

    def witness(self) -> list[list[int]] | None:
        """Return the coordinates of one violation, or None for a valid construction."""
        if self.problem.validate(self.cells, self.n)[0]:
            return None
        found = self.problem.witness(self.points, self.n)
        coords = self.problem.ground(self.n).coords
        return [] if found is None else [coords[v].tolist() for v in found]

    def check(self) -> None:
        """Check it from its raw points.

        Raises:
            VerificationError: not valid; with the points that break the rule.
        """
        witness = self.witness()
        if witness is not None:
            given = self.problem.ground(self.n).coords[self.points].tolist()
            if self.problem.is_allowed(self.cells, self.n)[0]:
                raise VerificationError(
                    f"{self.where}: {self.problem.name}, n={self.n}: not complete: a position has "
                    "no letter"
                )
            hint = _one_based(given, self.problem, self.n)
            raise VerificationError(
                f"{self.where}: {self.problem.name}, n={self.n}: not valid; these points break "
                f"the rule: {witness}{hint}"
            )


@dataclass(frozen=True, eq=False)
class Named:
    """The problem that what is read is said to be of, by who reads it.

    Attributes:
        spec: a name, or a file and a class.
    """

    problem: Problem
    spec: str


def as_json(problem: Problem, spec: str, n: int, row: np.ndarray) -> dict[str, Any]:
    """Return one packed row as the JSON object that ``verify`` reads."""
    ground = problem.ground(n)
    return {
        "problem": spec,
        "convention": problem.convention,
        "n": n,
        "score": int(problem.evaluate(row[None], n)[0]),
        "points": ground.coords[points(row, ground.m)].tolist(),
    }


def read_constructions(
    path: Path, named: Named | None = None, n: int | None = None
) -> Iterator[Construction]:
    """Yield the constructions of a file in any format known here, not yet validated.

    Args:
        named: of this problem all must be; None for the one that the file names,
            which must be installed: a plugin that only a file names is not run.
        n: the size of those that do not say theirs.

    Raises:
        UsageError: the file leaves open of which problem or size it is, and so does the call.
        PipelineError: the file cannot be read, is malformed or of another problem than named;
            points off the grid or twice; a size that its points do not need.
        VerificationError: a score is claimed that the points do not have.
    """
    if is_parquet(path):
        yield from _from_parquet(path, named)
        return
    sizes = _Sizes()
    problems: dict[tuple[str, str | None], Problem] = {}
    for given in read_text(path, named is not None and isinstance(named.problem, WordProblem)):
        problem, spec = _problem_of(given, named, problems)
        yield _parse(given, problem, spec, n, sizes)


def check_all(path: Path) -> None:
    """Check the constructions of a file, which says of which problem they are.

    Raises:
        PipelineError: as ``read_constructions``.
        VerificationError: one is not valid, or not of the score that it claims.
    """
    for one in read_constructions(path):
        one.check()


def is_parquet(path: Path) -> bool:
    """Tell whether a file is Parquet, by how it begins or by its name."""
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"PAR1" or path.suffix == ".parquet"
    except OSError:
        return False


def at_larger_size(found: Mapping[str, Any], problem: Problem, n: int) -> dict[str, Any] | None:
    """Return a construction, as ``as_json`` writes it, as one of a larger size.

    Args:
        found: of this problem and a smaller size.

    Returns:
        None unless its points are elements at size n too, and make a valid construction there.
    """
    entry = {key: found[key] for key in ("problem", "convention", "points")} | {"n": n}
    try:
        where = elements_of(found["points"], problem, n, "")
    except PipelineError:
        return None
    return None if Construction(problem, n, where, "").witness() is not None else entry


class _Sizes:
    """How large the ground sets of one file have become, and whether its points need them."""

    def __init__(self) -> None:
        self._elements: dict[tuple[Problem, int], int] = {}
        self._points = 0

    def need(self, problem: Problem, n: int, count: int, where: str) -> None:
        """Refuse a size before its ground set is made, if no such number of points needs it."""
        self._points += count
        if n < problem.smallest or (problem, n) in self._elements:
            return  # the one is refused with its own error
        self._elements[problem, n] = problem.ground_size(n)
        total = sum(self._elements.values())
        if total > max(_ELEMENTS, _EACH * self._points):
            raise PipelineError(
                f"{where}: n={n} has {problem.ground_size(n):,} elements, far more than "
                f"{count:,} points need; give the size that they are of"
            )


def _problem_of(
    given: Given, named: Named | None, problems: dict[tuple[str, str | None], Problem]
) -> tuple[Problem, str]:
    """Return the problem of a construction under its convention, and what names it."""
    where, spec = given.where, given.said.get("problem")
    convention = given.said.get("convention")
    if spec is not None and not isinstance(spec, str):
        raise PipelineError(f"{where}: problem must be a string, got {short(spec)}")
    if convention is not None and not isinstance(convention, str):
        raise PipelineError(f"{where}: convention must be a string, got {short(convention)}")
    if named is None:
        if spec is None:
            raise UsageError(f"{where} names no problem; add --problem, as in --problem isosceles")
        if (spec, convention) not in problems:
            problems[spec, convention] = named_in_data(spec, convention, where)
        return problems[spec, convention], spec
    if spec is not None and not is_of(spec, named.spec, named.problem):
        told = Path(spec).name if is_path(spec) else spec
        raise PipelineError(f"{where}: of {short(told)}, not of {named.spec}")
    if convention in (None, named.problem.convention):
        return named.problem, named.spec
    try:
        if (named.spec, convention) not in problems:
            loaded = load_problem(named.problem.plugin or named.spec, convention)
            problems[named.spec, convention] = loaded
    except UsageError as error:
        raise PipelineError(f"{where}: {error}") from error
    return problems[named.spec, convention], named.spec


def _parse(given: Given, problem: Problem, spec: str, n: int | None, sizes: _Sizes) -> Construction:
    where, said = given.where, given.said
    side = given.side or (len(given.rows) if _is_square(given.rows) else None)
    size = said.get("n", n if n is not None else side)
    if size is None:
        raise UsageError(f"{where} does not say of which size it is; add --n, as in --n 16")
    if not isinstance(size, int) or isinstance(size, bool) or abs(size) >= 2**31:
        raise PipelineError(f"{where}: n must be a whole number below 2**31, got {short(size)}")
    sizes.need(problem, size, len(given.word) or _distinct(given.points), where)
    try:
        ground = problem.ground(size)
    except UsageError as error:
        raise PipelineError(f"{where}: {error}") from error
    if given.graph and not ground.graph:
        raise PipelineError(
            f"{where}: is a graph, and the elements of {problem.name} are no edges; name a "
            "problem on graphs, as in --problem four-cycle-free"
        )
    points, coords = given.points, ground.coords
    if given.word:
        assert isinstance(problem, WordProblem)
        points = _pairs(given.word, problem, size, where)
    elif given.rows and len(given.rows[0]) != coords.shape[1]:
        points = on_board(given.rows)
    elif _is_square(given.rows):
        raise UsageError(
            f"{where}: may be a matrix, or points; write it as an object with the key points"
        )
    provenance = said.get("provenance")  # of a certificate
    told = [said, provenance if isinstance(provenance, dict) else {}]
    imported = any(part.get("imported") is True for part in told)
    elements = elements_of(points, problem, size, where)
    found = Construction(problem, size, elements, where, spec, imported)
    claimed = said.get("score")
    if claimed is not None and (not isinstance(claimed, int) or isinstance(claimed, bool)):
        raise PipelineError(f"{where}: score must be a whole number, got {short(claimed)}")
    if claimed is not None and claimed != found.score():
        raise VerificationError(
            f"{where}: claims the score {short(claimed)}, its points have {found.score()}"
        )
    return found


def _pairs(word: str, problem: WordProblem, n: int, where: str) -> list[list[int]]:
    """Return the pairs (position, letter) of a word, its letters apart, or of a character each."""
    names, length = problem.letter_names(n), problem.length(n)
    letters = word.split() if len(word.split()) == length else [*word]
    if len(letters) != length:
        raise PipelineError(
            f"{where}: {short(word)} is no word of {problem.name} at n={n}, which has {length} "
            "letters; set them apart by spaces"
        )
    lost = next((letter for letter in letters if letter not in names), None)
    if lost is not None:
        raise PipelineError(
            f"{where}: {short(lost)} is no letter of {problem.name} at n={n}; letters are "
            f"{short(' '.join(names))}"
        )
    return [[i, names.index(letter)] for i, letter in enumerate(letters)]


def _distinct(given: Any) -> int:
    """Return how many different points are given."""
    if not isinstance(given, list):
        return 0
    try:
        return len({tuple(point) for point in given})
    except TypeError:  # not all are lists of numbers, which is told of later
        return 0


def _is_square(rows: Any) -> bool:
    return bool(rows) and len(rows) == len(rows[0])


def elements_of(given: Any, problem: Problem, n: int, where: str) -> np.ndarray:
    coords, index = problem.ground(n).coords, _index(problem, n)
    d = coords.shape[1]
    if not isinstance(given, list):
        raise PipelineError(f"{where}: points must be a list, got {short(given)}")
    seen: set[int] = set()
    for i, point in enumerate(given):
        whole = isinstance(point, list) and all(
            isinstance(x, int) and not isinstance(x, bool) for x in point
        )
        if not whole or len(point) != d:
            raise PipelineError(
                f"{where}: point {i} must be a list of {d} whole numbers, got {short(point)}"
            )
        v = index.get(tuple(point))
        if v is None:
            raise PipelineError(
                f"{where}: point {i}, {short(point)}, is not an element of size n={n} "
                f"(coordinates run from {coords.min(0).tolist()} to {coords.max(0).tolist()})"
                f"{_one_based(given, problem, n)}"
            )
        if v in seen:
            raise PipelineError(f"{where}: point {i}, {short(point)}, is given twice")
        seen.add(v)
    return np.array(sorted(seen), dtype=np.int32)


@lru_cache(maxsize=8)
def _index(problem: Problem, n: int) -> Mapping[tuple[int, ...], int]:
    """Return the element at each place."""
    return {tuple(row): v for v, row in enumerate(problem.ground(n).coords.tolist())}


def _one_based(given: Any, problem: Problem, n: int) -> str:
    """Return what to say of points that do not hold, where they would if read from 1 on."""
    index = _index(problem, n)
    try:
        places = {tuple(x - 1 for x in point) for point in given}
    except TypeError:
        return ""
    if len(places) < len(given) or not places <= index.keys():
        return ""
    moved = Construction(problem, n, np.array(sorted(index[p] for p in places), np.int32), "")
    if moved.witness() is not None:
        return ""
    return "; read from 1 on, not from 0, they are valid: take 1 from every coordinate"


def read_population(path: Path, named: Named | None = None) -> tuple[Problem, str, Population]:
    """Return what a Parquet file holds, unverified: its problem, what names it, constructions.

    Raises:
        PipelineError: the file cannot be read, or is not of a problem that is installed or named.
    """
    population, metadata = Population.read(path)
    given = Given(None, str(path), said=metadata)
    problem, spec = _problem_of(given, named, {})
    n, many = population.n, int(popcounts(population.cells).sum(dtype=np.int64))
    _Sizes().need(problem, n, many, str(path))
    try:
        m = problem.ground(n).m
    except UsageError as error:
        raise PipelineError(f"{path}: {error}") from error
    if m != population.m:
        raise PipelineError(
            f"{path}: says n={n} with {population.m} elements, {problem.name} has {m}"
        )
    return problem, spec, population


def _from_parquet(path: Path, named: Named | None) -> Iterator[Construction]:
    problem, spec, population = read_population(path, named)
    m = population.m
    for i in range(len(population)):
        row = points(population.cells[i], m)
        where, imported = f"{path}, row {i}", bool(population.imported[i])
        found = Construction(problem, population.n, row, where, spec, imported)
        if found.score() != population.score[i]:
            raise VerificationError(
                f"{found.where}: the stored score is {population.score[i]}, its points have "
                f"{found.score()}"
            )
        yield found

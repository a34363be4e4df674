"""Constructions as people exchange them: JSON objects with points, checked from the raw points."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import PipelineError, UsageError, VerificationError
from pipeline.packing import from_points, points
from pipeline.plugins import named_in_data
from pipeline.population import Population
from pipeline.problem import Problem


@dataclass(frozen=True, eq=False)
class Construction:
    """One set of points, as given.

    Attributes:
        points: element indices, ascending.
        where: how to name it in a message.
    """

    problem: Problem
    n: int
    points: np.ndarray
    where: str

    @property
    def cells(self) -> np.ndarray:
        """The packed row, uint8 ``(1, ceil(m / 8))``."""
        return from_points([self.points], self.problem.ground(self.n).m)

    def score(self) -> int:
        """Return the score, from the raw cells."""
        return int(self.problem.score(self.cells, self.n)[0])

    def witness(self) -> list[list[int]] | None:
        """Return the coordinates of one violation, or None for a valid construction."""
        if self.problem.validate(self.cells, self.n)[0]:
            return None
        found = self.problem.witness(self.points, self.n)
        coords = self.problem.ground(self.n).coords
        return [] if found is None else [coords[v].tolist() for v in found]


def as_json(problem: Problem, spec: str, n: int, row: np.ndarray) -> dict[str, Any]:
    """Return one packed row as the JSON object that ``verify`` reads."""
    ground = problem.ground(n)
    return {
        "problem": spec,
        "convention": problem.convention,
        "n": n,
        "score": int(problem.score(row[None], n)[0]),
        "points": ground.coords[points(row, ground.m)].tolist(),
    }


def read_constructions(path: Path, typed: str | None = None) -> Iterator[Construction]:
    """Yield the constructions of a JSON file (an object or a list of them) or a Parquet round.

    Args:
        typed: the problem as a person typed it; a plugin that only the file names is not run.

    Raises:
        PipelineError: the file cannot be read or is malformed; points off the grid or twice.
        VerificationError: a score is claimed that the points do not have.
    """
    if path.suffix == ".parquet":
        yield from _from_parquet(path, typed)
        return
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise PipelineError(f"{path} is not JSON: {error}") from error
    except RecursionError:
        raise PipelineError(f"{path}: its lists are nested too deeply") from None
    problems: dict[tuple[str, str | None], Problem] = {}
    several = isinstance(data, list)
    if several and not data:
        raise PipelineError(f"{path} holds an empty list; nothing to read")
    for i, entry in enumerate(data if several else [data]):
        yield _parse(entry, f"{path}, entry {i}" if several else str(path), problems, typed)


def at_larger_size(found: Mapping[str, Any], problem: Problem, n: int) -> dict[str, Any] | None:
    """Return a construction, as ``as_json`` writes it, as one of a larger size.

    Args:
        found: of this problem and a smaller size.

    Returns:
        None unless its points are elements at size n too, and make a valid construction there.
    """
    entry = {key: found[key] for key in ("problem", "convention", "points")} | {"n": n}
    try:
        where = _elements(found["points"], problem.ground(n).coords, n, "")
    except PipelineError:
        return None
    return None if Construction(problem, n, where, "").witness() is not None else entry


def _parse(
    entry: Any,
    where: str,
    problems: dict[tuple[str, str | None], Problem],
    typed: str | None,
) -> Construction:
    example = 'write {"problem": "isosceles", "n": 8, "points": [[0, 0], [0, 1]]}'
    if not isinstance(entry, dict):
        raise PipelineError(f"{where}: expected an object, got {_short(entry)}; {example}")
    missing = [key for key in ("problem", "n", "points") if key not in entry]
    if missing:
        raise PipelineError(f"{where}: the key {missing[0]!r} is missing; {example}")
    spec, n, convention = entry["problem"], entry["n"], entry.get("convention")
    if not isinstance(spec, str):
        raise PipelineError(f"{where}: problem must be a string, got {_short(spec)}")
    if not isinstance(n, int) or isinstance(n, bool) or abs(n) >= 2**31:
        raise PipelineError(f"{where}: n must be a whole number below 2**31, got {_short(n)}")
    if convention is not None and not isinstance(convention, str):
        raise PipelineError(f"{where}: convention must be a string, got {_short(convention)}")
    if (spec, convention) not in problems:
        problems[spec, convention] = named_in_data(spec, convention, where, typed)
    try:
        problem = problems[spec, convention]
        ground = problem.ground(n)
    except UsageError as error:
        raise PipelineError(f"{where}: {error}") from error
    found = Construction(problem, n, _elements(entry["points"], ground.coords, n, where), where)
    claimed = entry.get("score")
    if claimed is not None and (not isinstance(claimed, int) or isinstance(claimed, bool)):
        raise PipelineError(f"{where}: score must be a whole number, got {_short(claimed)}")
    if claimed is not None and claimed != found.score():
        raise VerificationError(
            f"{where}: claims the score {_short(claimed)}, its points have {found.score()}"
        )
    return found


def _elements(given: Any, coords: np.ndarray, n: int, where: str) -> np.ndarray:
    d = coords.shape[1]
    if not isinstance(given, list):
        raise PipelineError(f"{where}: points must be a list, got {_short(given)}")
    index = {tuple(row): v for v, row in enumerate(coords.tolist())}
    seen: set[int] = set()
    for i, point in enumerate(given):
        whole = isinstance(point, list) and all(
            isinstance(x, int) and not isinstance(x, bool) for x in point
        )
        if not whole or len(point) != d:
            raise PipelineError(
                f"{where}: point {i} must be a list of {d} whole numbers, got {_short(point)}"
            )
        v = index.get(tuple(point))
        if v is None:
            raise PipelineError(
                f"{where}: point {i}, {point}, is not an element of size n={n} "
                f"(coordinates run from {coords.min(0).tolist()} to {coords.max(0).tolist()})"
            )
        if v in seen:
            raise PipelineError(f"{where}: point {i}, {point}, is given twice")
        seen.add(v)
    return np.array(sorted(seen), dtype=np.int32)


def read_population(path: Path, typed: str | None = None) -> tuple[Problem, Population]:
    """Return the constructions of a Parquet file, unverified, and the problem they are of.

    Raises:
        PipelineError: the file cannot be read, or is not of a problem that is installed.
    """
    population, metadata = Population.read(path)
    spec, convention = metadata.get("problem", ""), metadata.get("convention")
    problem = named_in_data(spec, convention, str(path), typed)
    try:
        m = problem.ground(population.n).m
    except UsageError as error:
        raise PipelineError(f"{path}: {error}") from error
    if m != population.m:
        raise PipelineError(
            f"{path}: says n={population.n} with {population.m} elements, {problem.name} has {m}"
        )
    return problem, population


def _from_parquet(path: Path, typed: str | None) -> Iterator[Construction]:
    problem, population = read_population(path, typed)
    m = population.m
    for i in range(len(population)):
        row = points(population.cells[i], m)
        found = Construction(problem, population.n, row, f"{path}, row {i}")
        if found.score() != population.score[i]:
            raise VerificationError(
                f"{found.where}: the stored score is {population.score[i]}, its points have "
                f"{found.score()}"
            )
        yield found


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."

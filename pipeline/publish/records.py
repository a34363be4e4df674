"""What is best known beside what is ours: certificates in records/, and runs on this disk."""

import json
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.errors import PipelineError, RunError, VerificationError
from pipeline.plugins import is_shipped, problem_spec
from pipeline.problem import Problem
from pipeline.publish import certificates
from pipeline.storage import verdicts
from pipeline.storage.construction_files import check_all
from pipeline.storage.finding import all_runs
from pipeline.storage.round_files import best_of, load_pool
from pipeline.storage.run import Run

# Problems say what is known at one n; sizes up to this one are asked for.
_LARGEST = 1000


class Found(NamedTuple):
    """The best of one size in a run, as its last round counts it."""

    score: int
    run: Run


@dataclass
class Survey:
    """What the runs of a problem have found.

    Attributes:
        found: by size, best first; of equal ones that of the oldest run.
        own: the same of what was not imported, nor found from what was.
        runs: how many runs of the problem there are, damaged ones left out.
        damaged: what is wrong with those that cannot be read, a line each.
    """

    found: dict[int, list[Found]]
    own: dict[int, list[Found]]
    runs: int
    damaged: list[str]

    def best(
        self, problem: Problem, n: int, above: int | None = None, own: bool = False
    ) -> tuple[dict[str, Any], Run] | None:
        """Return the best construction of a size, verified anew, and its run.

        A run whose best is not what it claims is added to the damaged ones and left out.

        Args:
            above: a score that it must exceed; None is returned where nothing does.
            own: of what was not imported, nor found from what was.
        """
        for score, run in (self.own if own else self.found).get(n, []):
            if above is not None and score <= above:
                break
            try:
                return best_of(run, problem, n, own), run
            except PipelineError as error:
                if str(error) not in self.damaged:
                    self.damaged.append(str(error))
                    self.runs -= 1
        return None


@dataclass(frozen=True)
class Row:
    """One size: what is best known, what is ours, and where that lies.

    Attributes:
        gap: ours less the best known, None where either is missing.
        held: "record" for a certificate that comes with this program, "run" for a run's, or "".
        where: the path of the certificate or of the run.
        imported: the best in the runs that was given with ``--start`` or found from what was,
            where that is above ours; None elsewhere.
    """

    n: int
    best_known: int | None
    proved: bool
    source: str
    date: str
    ours: int | None
    gap: int | None
    held: str
    where: str
    imported: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def folder() -> Path | None:
    """Return the folder of certificates that comes with this program; None if it was left out."""
    package = Path(__file__).resolve().parent.parent
    installed, checkout = package / "own_records", package.parent
    if installed.is_dir():
        return installed
    # Beside an installed package there may be anything.
    beside = (checkout / "pyproject.toml").is_file() and (checkout / "records").is_dir()
    return checkout / "records" if beside else None


def survey(problem: Problem, spec: str, root: Path) -> Survey:
    """Look through the runs under ``root`` for the best of each size, by what they say of it.

    Args:
        problem: under one convention; runs of another do not count.
        spec: what its runs are of: a name, or a file and a class.
    """
    found: dict[int, list[Found]] = {}
    own: dict[int, list[Found]] = {}
    count, damaged, spec = 0, [], problem_spec(spec)
    for path in all_runs(root):
        try:
            run = Run(path)
            if run.config.problem != spec or not _same_convention(run, problem):
                continue
            bests = run.bests()
            alone = bests if run.start() is None else _alone(run, problem)
            count += 1
        except PipelineError as error:
            damaged.append(str(error))
            continue
        for ranked, scores in ((found, bests), (own, alone)):
            for n, score in scores.items():
                if score is not None:
                    ranked.setdefault(n, []).append(Found(score, run))
    for several in (*found.values(), *own.values()):
        several.sort(key=lambda one: -one.score)  # of equal ones the oldest first, as they come
    return Survey(found, own, count, damaged)


def _alone(run: Run, problem: Problem) -> dict[int, int]:
    """Return the best score of each size that a run found without what it was given."""
    rounds, scores = run.rounds(), {}
    for n in run.sizes(rounds[-1]) if rounds else []:
        pool = load_pool(run, problem, rounds[-1], n)
        if not pool.imported.all():
            scores[n] = int(pool.score[~pool.imported].max())
    return scores


def _same_convention(run: Run, problem: Problem) -> bool:
    return (run.config.convention or problem.conventions[0]) == problem.convention


def own(problem: Problem) -> Iterator[tuple[int, int, Path]]:
    """Yield (n, points, file) of each certificate that comes with this program, checked anew.

    One that says that it was imported, or found from what was, is not our own and left out.

    A plugin has none, whatever it calls itself.

    Raises:
        PipelineError: one cannot be read.
        VerificationError: one does not hold what it claims, or was changed.
    """
    here = folder() if is_shipped(problem) else None
    stem = certificates.file_name({"convention": problem.convention, "n": 0}, problem.name)
    for file in sorted(here.glob(f"*/{stem.removesuffix('000.json')}*.json")) if here else []:
        data = file.read_bytes()
        if not certificates.is_untouched(data):
            raise VerificationError(f"{file}: its SHA-256 does not fit; restore the file")
        # Reading compares the score that a certificate claims with that of its points.
        verdicts.once(problem, [file], partial(check_all, file))
        found = json.loads(data)
        if not found["provenance"].get("imported"):
            yield found["n"], found["score"], file


def table(
    problem: Problem, spec: str, root: Path, sizes: Collection[int] | None = None
) -> tuple[list[Row], Survey]:
    """Return a row for each size of which anything is known, and what the runs have found.

    What is ours has been checked from its points: certificates all, of runs those that are shown.

    Args:
        sizes: these alone; None for all.
    """
    found = survey(problem, spec, root)
    records = {n: (score, file) for n, score, file in own(problem)}
    asked = sorted(sizes) if sizes is not None else range(problem.smallest, _LARGEST + 1)
    rows = []
    for n in asked:
        known = problem.known(n) if n >= problem.smallest else None
        score, held, where, imported = None, "", "", None
        if n in records:
            score, held, where = records[n][0], "record", str(records[n][1])
        ours = found.best(problem, n, score, own=True)
        if ours is not None:
            score, held, where = ours[0]["score"], "run", str(ours[1].path)
        given = found.best(problem, n, score)
        if given is not None:
            imported = given[0]["score"]
        if known is None and score is None and imported is None:
            continue
        rows.append(
            Row(
                n,
                None if known is None else known.value,
                known is not None and known.proved,
                "" if known is None else known.source,
                "" if known is None else known.date,
                score,
                None if known is None or score is None else score - known.value,
                held,
                where,
                imported,
            )
        )
    return rows, found


def best_over_runs(
    problem: Problem, spec: str, n: int, root: Path
) -> tuple[dict[str, Any], Survey]:
    """Return the best construction of size n in all runs under ``root``, verified anew.

    Raises:
        RunError: no run has one.
    """
    found = survey(problem, spec, root)
    ours = found.best(problem, n)
    if ours is None:
        there = ", ".join(map(str, sorted(found.found)))
        has = f"{found.runs} runs of it have sizes {there}" if there else "there is no run of it"
        # A certificate that comes with the program is no run, but it is an answer.
        record = next((str(file) for size, _, file in own(problem) if size == n), "")
        also = f"; a record lies at {record}" if record else ""
        left = f"; left out: {found.damaged[0]}" if found.damaged else ""
        raise RunError(
            f"no run in {root} holds {problem.name} ({problem.convention}) at n={n} ({has}); find "
            f"some with: pipeline search {spec} --n {n}{also}{left}"
        )
    best, run = ours
    return best | {"run": run.name, "path": str(run.path)}, found

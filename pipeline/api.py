"""The public functions: run, search, solve, verify. `import pipeline` has them all."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.callbacks import Callbacks
from pipeline.config import Config
from pipeline.configuring import from_arguments, spec_of
from pipeline.errors import UsageError
from pipeline.executors import make_executor
from pipeline.generators.base import Generator
from pipeline.generators.registry import (
    generator_of,
    generator_spec,
    generator_typed,
    name_of,
)
from pipeline.launch import carry_out, problem_from, problem_of_run
from pipeline.plugins import problem_spec
from pipeline.problem import Problem
from pipeline.result import Found, Result
from pipeline.stopping import StoppingRule
from pipeline.storage.run import Run

if TYPE_CHECKING:
    from pipeline.benchmarking.campaign import Table
    from pipeline.benchmarking.comparison import Comparison

#: Rounds of a search that the clock or the target ends.
_ROUNDS = 1_000_000


def run(
    problem: str | Problem | None = None,
    n: int | None = None,
    *,
    generator: str | Generator | type[Generator] | None = None,
    rounds: int | None = None,
    time: float | None = None,
    cpu_seconds: float | None = None,
    target: int | None = None,
    sizes: Sequence[int] | None = None,
    seed: int | None = None,
    config: Mapping[str, Any] | Config | None = None,
    store: str | Path | Run | None = None,
    workers: int | None = None,
    callbacks: Iterable[Callbacks] = (),
    stop: Iterable[StoppingRule] = (),
    progress: bool | None = None,
) -> Result:
    """Search with a generator that learns from the best constructions.

    ::

        result = pipeline.run("isosceles", n=16, rounds=2)
        print(result.best(), result.histogram())

    Args:
        problem: a name that `pipeline problems` lists, ``"path/to/file.py:CLASS"``, or a Problem;
            None for that of the run to go on with.
        n: the size to search for, such as the side of the grid.
        generator: what makes the candidates of a round: "gpt" (default), "vision", "perturb",
            "restart", "none", ``"path/to/file.py:CLASS"``, or a `Generator` of yours.
        rounds: rounds after the seeding (default 3).
        time: limit in seconds; None for none.
        cpu_seconds: limit in CPU seconds of all processes; None for none.
        target: stop at this score; None for none.
        sizes: sizes to learn from (default n - 4 to n).
        seed: the rng seed (default 0); equal seeds give equal results where no limit of time ends
            the run.
        config: any other key of a configuration, nested, as
            ``{"train": {"steps": 500}, "sample": {"count": 2000}}``, or a `Config`.
        store: where to keep the run: None for memory alone, a directory of runs (a new run is made
            in it), or a `Run` to go on with (`open_run`), whose configuration holds.
        workers: search processes; 0 for one for each core (default).
        callbacks: told what happens; what one raises ends the run.
        stop: rules asked after each round, such as ``lambda state: state.best() >= 28``.
        progress: show a bar; None for where there is a terminal or a notebook.

    Returns:
        The result: pools, the best construction, a histogram.

    Raises:
        PipelineError: and its children; the message is one line that names the fix.
    """
    if isinstance(store, Run):
        config = store.config if config is None else config
        made = problem_of_run(store, problem)
        generator_typed(store.config.generator, generator, str(store.path))
    elif problem is None:
        raise UsageError('name a problem, as in: pipeline.run("isosceles", n=16)')
    else:
        made = problem_from(problem)
    wanted = {"rounds": rounds, "time": time, "cpu": cpu_seconds, "target": target}
    told: dict[str, Any] = {"n": n, "sizes": None if sizes is None else tuple(sizes), "seed": seed}
    if isinstance(generator, str):
        told["generator"] = generator_spec(generator)
    elif generator is not None:
        told["generator"] = name_of(generator)
    settings = from_arguments(made, config, told, wanted, workers)
    return carry_out(
        made, settings, generator_of(generator), store, list(callbacks), list(stop), progress
    )


def search(
    problem: str | Problem,
    n: int,
    *,
    time: float | None = None,
    rounds: int | None = None,
    target: int | None = None,
    methods: Sequence[str] = (),
    symmetry: Sequence[str] = (),
    **more: Any,
) -> Result:
    """Search with local search alone, no model.

    ::

        found = pipeline.search("no-3-in-line", n=30, time=20)

    Args:
        problem, n, target: as for `run`.
        time: limit in seconds (default 60, where no number of rounds is given).
        rounds: rounds of the portfolio, 64 tasks each; None for as many as the time allows.
        methods: tabu, enumerate, anneal, greedy, cover, ruin-recreate (default: a portfolio).
        symmetry: symmetry classes, such as "both-mirrors" (default: all).
        more: what else `run` takes.
    """
    config = more.pop("config", None)
    if not isinstance(config, Config):
        config = dict(config or {})
        if methods:
            config["search"] = {**config.get("search", {}), "methods": list(methods)}
        if symmetry:
            config["seeding"] = {**config.get("seeding", {}), "symmetry": list(symmetry)}
    if time is None and rounds is None and not more.get("cpu_seconds"):
        time = 60.0
    if target is None:
        known = problem_from(problem).known(n)
        target = known.value if known is not None and known.proved else None
    more.setdefault("sizes", [n])
    rounds = _ROUNDS if rounds is None else rounds
    limits = {"time": time, "rounds": rounds, "target": target}
    return run(problem, n, generator="none", config=config, **limits, **more)


class Proof(NamedTuple):
    """What exhaustive search has shown.

    Attributes:
        lower: the elements of the largest set found.
        upper: no set has more.
        proved: whether the two agree.
        best: that set, verified.
        nodes: of the search tree.
        seconds: wall time.
    """

    lower: int
    upper: int
    proved: bool
    best: Found
    nodes: int
    seconds: float


def solve(
    problem: str | Problem,
    n: int,
    *,
    symmetry: str = "trivial",
    time: float | None = None,
    workers: int = 0,
) -> Proof:
    """Find the largest set of size n and prove that it is, or bound it when the time is up.

    Args:
        problem: as for `run`; its score must be the size.
        symmetry: a symmetry class; "trivial" for all sets.
        time: limit in seconds; None for none.
        workers: processes; 0 for one for each core.

    Raises:
        UsageError: an unknown class, n too small, or a problem whose score is not the size.
    """
    from pipeline.core.bitset import points
    from pipeline.engine.exact import Question, solve
    from pipeline.objective import check_bounded

    made = problem_from(problem)
    check_bounded(made, spec_of(made), n)
    executor = make_executor(workers)
    question = Question(spec_of(made), made.convention, n, symmetry)
    try:
        answer = solve(question, executor, float("inf") if time is None else time)
    finally:
        executor.close()
    elements = points(answer.cells, made.ground_size(n))
    best = Found(made, n, elements, len(elements), 0, "search", imported=False)
    return Proof(answer.lower, answer.upper, answer.proved, best, answer.nodes, answer.seconds)


def compare(
    problem: str | Problem,
    n: int | Sequence[int],
    arms: Mapping[str, Any] | Sequence[str] = ("gpt", "perturb", "none"),
    *,
    seeds: int = 6,
    cpu_seconds: float = 60.0,
    target: int = 0,
    measure: str = "best",
    control: str = "",
    config: Mapping[str, Any] | None = None,
    runs: str | Path | None = None,
    jobs: int = 0,
) -> "Comparison":
    """Benchmark generators, or whole configurations, at equal CPU time.

    ::

        arms = {"mine": Mine, "gpt": "gpt", "none": "none"}
        found = pipeline.compare("isosceles", n=[24, 32], arms=arms, seeds=5, cpu_seconds=60)
        print(found)

    Each arm runs at each size with each rng seed, in a process of one core, until its CPU seconds
    are used. The same call again goes on where it stopped.

    Args:
        problem: as for `run`.
        n: a size, or several.
        arms: generators by name; or for each name of an arm a generator, a `Generator` class that
            a file defines, or a nested configuration.
        seeds: how many rng seeds, from 0; fewer than 6 cannot decide anything at p < 0.05.
        cpu_seconds: of each run.
        target: the score that counts as reached; 0 for the best known value.
        measure: "best" compares the best score and when it was there; "yield" how many
            constructions of the target's score or more there were in the end, up to symmetry.
        control: the arm that the others are compared with ("" for "none", or the last).
        config: what all arms have in common, nested as for `run`.
        runs: the directory of runs; None for $PIPELINE_RUNS or ./runs.
        jobs: runs at once; 0 for one for each core.

    Returns:
        A summary of each arm and size, and an exact sign test of each arm against the control.
    """
    from pipeline.benchmarking.comparison import run_plan
    from pipeline.benchmarking.experiment import Plan, arms_from
    from pipeline.jobs import Processes
    from pipeline.storage.finding import runs_root

    made = problem_from(problem)
    plan = Plan(
        problem=problem_spec(spec_of(made)),
        sizes=(n,) if isinstance(n, int) else tuple(n),
        arms=arms_from(arms),
        seeds=seeds,
        cpu_seconds=cpu_seconds,
        settings=dict(config or {}),
        target=target,
        control=control,
        measure=measure,
    )
    folder = runs_root(None if runs is None else str(runs)) / plan.folder(made.name)
    return run_plan(plan, made, folder, Processes(jobs))


def campaign(
    problem: str | Problem,
    n: int | Sequence[int],
    *,
    seeds: int = 5,
    time: float = 600.0,
    arms: Mapping[str, Any] | Sequence[str] = ("none",),
    more: int = 0,
    cores: int = 1,
    config: Mapping[str, Any] | None = None,
    on: str = "processes",
    jobs: int = 0,
    address: str = "",
    gpus: int = 0,
    slurm: Sequence[str] = (),
    runs: str | Path | None = None,
) -> "Table":
    """Search sizes with many rng seeds, each run by itself.

    ::

        found = pipeline.campaign("isosceles", n=range(48, 65), seeds=20, time=3600)
        print(found)

    The same call again goes on where it stopped, and resumes runs that were cut short.

    Args:
        problem: as for `run`.
        n: a size, or several.
        seeds: how many rng seeds, from 0, for each size and arm.
        time: of each run, in seconds.
        arms: as for `compare`; "none" is search alone.
        more: so many further runs, where most beat the best known value.
        cores: of each run.
        config: what all runs have in common, nested as for `run`.
        on: where the runs are made: "processes" of this machine, "slurm" or "ray".
        jobs: runs at once; 0 for as many as there is room for.
        address: of a Ray cluster to join: "auto" or "HOST:PORT".
        gpus: of each run, on Ray.
        slurm: parameters of sbatch, as ``["partition=short"]``.
        runs: the directory of runs; None for $PIPELINE_RUNS or ./runs.

    Returns:
        For each size and arm what was found, beside the best known value.

    Raises:
        UsageError: a configuration that cannot be, a size that cannot be had, or a wrong place.
    """
    from pipeline.benchmarking.campaign import Campaign
    from pipeline.benchmarking.experiment import arms_from
    from pipeline.jobs import make_place
    from pipeline.storage.finding import runs_root

    made = problem_from(problem)
    plan = Campaign(
        problem=problem_spec(spec_of(made)),
        sizes=(n,) if isinstance(n, int) else tuple(n),
        arms=arms_from(arms),
        seeds=seeds,
        more=more,
        seconds=time,
        cores=cores,
        settings=dict(config or {}),
    )
    place = make_place(on, jobs, cores, address, tuple(slurm), gpus)
    folder = runs_root(None if runs is None else str(runs)) / plan.folder(made.name)
    return plan.carry_out(made, folder, place)


class Verdict(NamedTuple):
    """What the independent validator says of a set of points.

    Attributes:
        valid: whether nothing forbidden is in it.
        score: of the set as it is.
        witness: the points of one violation; None for a valid set.
    """

    valid: bool
    score: int
    witness: list[tuple[int, ...]] | None


def verify(problem: str | Problem, points: Iterable[Sequence[int]], n: int) -> Verdict:
    """Check a set of points by the problem's independent validator.

    Args:
        problem: as for `run`.
        points: coordinates, 0-based, such as ``[(0, 1), (2, 2)]``.
        n: the size.

    Raises:
        UsageError: a point that is no element, or one that is there twice.
    """
    from pipeline.storage.construction_files import Construction, elements_of

    made = problem_from(problem)
    elements = elements_of([list(map(int, point)) for point in points], made, n, "the points")
    found = Construction(made, n, elements, "the points")
    witness = found.witness()
    shown = None if witness is None else [tuple(point) for point in witness]
    return Verdict(witness is None, found.score(), shown)


def open_run(name: str | Path, runs: str | Path | None = None) -> Run:
    """Open a run to look at, or to go on with: ``run(store=open_run(...))``.

    Args:
        name: a path, a unique prefix of its name, or "latest".
        runs: the directory of runs; None for $PIPELINE_RUNS or ./runs.

    Raises:
        RunError: none, or more than one, or it is damaged.
    """
    from pipeline.storage.finding import find_run, runs_root

    return find_run(str(name), runs_root(None if runs is None else str(runs)))

"""What is printed of runs."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from pipeline.cli.printed.constructions import Count, Found, Part
from pipeline.core.score_stats import Distribution, RoundStats

Measure = Literal["best", "yield"]


class Run(Part):
    """What came of a run."""

    run: str
    best: Found


class RunOfSeveral(Run):
    """What came of one of several runs."""

    seconds: float


class MergedSize(Part):
    """What became of the constructions of one size, in a merge of runs."""

    n: int
    given: Count
    kept: Count
    best: int


class Merge(Part):
    """A run made of the pools of others."""

    run: str
    sizes: Annotated[list[MergedSize], Meta(min_length=1)]


class Search(Part):
    """What came of a search over several sizes, or with --table."""

    runs: list[RunOfSeveral]


class Listed(Part):
    """A run; of one that is damaged an error, and its size."""

    run: str
    path: str
    state: Literal["running", "done", "stopped", "damaged"]
    bytes: Count  # taken on the disk
    problem: str | UnsetType = UNSET
    n: int | UnsetType = UNSET
    rounds: Count | UnsetType | None = UNSET
    of: Count | UnsetType = UNSET
    best: int | UnsetType | None = UNSET
    seconds: Annotated[float, Meta(ge=0)] | UnsetType = UNSET  # of all sessions together
    error: str | UnsetType = UNSET


class Ls(Part):
    """The runs in a folder, oldest first."""

    runs: list[Listed]


class Processor(Struct):
    """A processor, and which instructions of use here it has."""

    model: str
    instructions: list[str]


class Session(Struct, kw_only=True):
    """One command that began a run or went on with it; more keys may come."""

    command: list[str]
    started: str
    pipeline: str
    revision: str | None
    python: str
    numpy: str
    machine: str
    executable: str
    reproducible: bool
    reason: str | UnsetType = UNSET
    processor: Processor | UnsetType = UNSET


class Show(Part):
    """A run: its command lines, the statistics of its rounds, its best."""

    id: str
    problem: str
    n: int
    seed: Count
    identity: str
    path: str
    sessions: list[Session]
    rounds: list[RoundStats]
    best: Found | None
    notes: list[str]


class Hist(Part):
    """The distributions of one size in one round."""

    run: str
    round: Count
    n: int
    seeded: Distribution | UnsetType = UNSET
    sampled: Distribution | UnsetType = UNSET
    searched: Distribution | UnsetType = UNSET
    kept: Distribution | UnsetType = UNSET


class Watch(Struct, kw_only=True):
    """One event of a run, on a line of its own; the other keys depend on the event."""

    run: str
    time: float
    event: str


class Pairs(Part):
    """What may be concluded of one arm at one size."""

    n: int
    arm: str
    control: str
    ahead: Count
    tied: Count
    behind: Count
    p: float | None
    test: str
    verdict: str
    missing_pairs: Count
    text: str


class ArmRun(Part):
    """One run of an arm."""

    seed: Count
    score: int
    cpu: float
    training: float  # of these CPU seconds, those that a model was trained for
    trace: list[dict[str, Any]]
    run: str
    revision: str | None


class Arm(Part):
    """The runs of one arm at one size."""

    arm: str
    best: int
    median: float
    min: int
    max: int
    reached: Count | None
    counts: list[Count] | None  # of each run, where the measure is the yield
    cpu_to_control_median_best: float | None
    runs: list[ArmRun]


class ArmsOfSize(Part):
    """All arms at one size."""

    n: int
    target: int | None
    control_median_best: float | None
    arms: list[Arm]


class Failed(Part):
    """A run that failed."""

    arm: str
    n: int
    seed: Count
    error: str


class Compare(Part):
    """Arms at equal compute: each run, and what may be concluded."""

    folder: str | None
    command: str | None
    problem: str
    convention: str
    budget_cpu_seconds: float | None
    measure: Measure
    arms: list[str]
    control: str | None
    sizes: list[ArmsOfSize]
    verdicts: list[Pairs]
    warnings: list[str]
    failed: list[Failed]
    planned: Count | None
    interrupted: bool


class CampaignRow(Part):
    """What the runs of one size and arm have found, beside the best known value on record."""

    n: int
    arm: str
    best_known: int | None
    proved: bool
    best: int | None
    median: float | None
    runs: Count
    reached: Count
    beaten: Count
    cpu: float
    run: str


class Campaign(Part):
    """Sizes, arms and rng seeds as runs of so many seconds each."""

    command: str
    folder: str
    problem: str
    convention: str
    seconds: float
    planned: Count
    rows: list[CampaignRow]
    failed: list[Failed]
    interrupted: bool


class Removed(Part):
    """A run that was deleted, and what it took on the disk."""

    path: str
    bytes: Count


class Rm(Part):
    """The runs that were deleted."""

    removed: list[Removed]


class Pruned(Part):
    """A run whose models were deleted: how many files, and their bytes."""

    path: str
    files: Count
    bytes: Count


class Prune(Part):
    """The runs whose models were deleted."""

    pruned: list[Pruned]

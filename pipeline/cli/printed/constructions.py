"""What is printed of constructions."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

Count = Annotated[int, Meta(ge=0)]
Many = Annotated[int, Meta(ge=1)]
Origin = Literal["seed", "search", "generator", "import"]


class Part(Struct, forbid_unknown_fields=True, kw_only=True):
    """An object with no other keys."""


class Construction(Part):
    """A construction, as `verify` and --start read it."""

    problem: str
    convention: str
    n: int
    score: int
    points: list[list[int]]


class Exported(Construction):
    """A construction with the order of its stabiliser, and an id that equivalent ones share."""

    round: Count
    origin: Origin
    imported: bool
    stabiliser: Many
    id: str


class Rated(Construction):
    """A construction beside the best known value of its size."""

    best_known: int | None
    best_known_source: str | None
    best_known_date: str | None
    best_known_proved: bool | None


class Found(Rated):
    """A construction of a run."""

    round: Count
    origin: Origin
    imported: bool


class BestOfRun(Found):
    """The best construction of a run, or the one that --rank or --id picks."""

    run: str
    path: str


class BestOfFile(Rated):
    """The same of a file."""

    file: str


class BestOfProblem(BestOfRun):
    """The best of all runs of a problem."""

    runs: Count


class Certificate(Found):
    """Where a certificate and its verifier were written, and what it holds."""

    certificate: str
    verifier: str
    announcement: str | None


class CertificateOfFile(BestOfFile):
    """The same of a file."""

    certificate: str
    verifier: str
    announcement: str | None


class Stabilisers(Part):
    """The constructions whose stabilisers are of one symmetry class."""

    name: str
    order: int
    inequivalent: Count
    constructions: Count


class ByScore(Part):
    """The constructions of one score."""

    score: int
    constructions: Count
    inequivalent: Count
    stabilisers: list[Stabilisers]


class BySize(Part):
    """The constructions of one size; ``plugin`` names the file and class that judged, if any."""

    problem: str
    convention: str
    plugin: str
    n: int
    up_to: str  # two constructions are told apart, in words
    scores: list[ByScore]


class CountUp(Part):
    """Constructions up to symmetry, by size and score."""

    where: str
    sizes: list[BySize]


class Solve(Construction):
    """A largest set, with the bounds that are proved."""

    symmetry: str
    lower: Count
    upper: Count
    proved: bool
    nodes: Count
    seconds: float
    method: str
    symmetry_broken: bool
    interrupted: bool


class Step(Part):
    """One exchange: points taken out, and points put in."""

    out: list[list[int]]
    put_in: list[list[int]] = field(name="in")


class ExchangedSet(Construction):
    """A set after all exchanges; ``before`` is the score it had."""

    imported: bool
    before: int
    steps: list[Step]
    ruled_out: Annotated[int, Meta(ge=-1)]
    complete: bool
    ways: Count
    searched: Count
    seconds: float


class Exchange(Part):
    """Sets improved by exchanges, or shown to have none."""

    symmetry: str
    out: Many
    sets: list[ExchangedSet]
    left_out: Count  # sets without the symmetry, or not gone through at Ctrl-C
    interrupted: bool


class Encode(Part):
    """A problem as a file for another solver."""

    problem: str
    convention: str
    n: int
    symmetry: str
    file: str
    variables: Count
    constraints: Count


class Decode(Rated):
    """The set in a solver's answer."""

    symmetry: str


class SolveAll(Part):
    """How many largest sets there are."""

    problem: str
    convention: str
    n: int
    symmetry: str
    size: Count
    constructions: Count
    inequivalent: Count
    stabilisers: list[Stabilisers]
    complete: bool
    method: str
    nodes: Count
    seconds: float
    interrupted: bool


class Checked(Part):
    """What was checked; ``plugin`` names the file and class that judged, if any."""

    where: str
    problem: str
    convention: str
    plugin: str
    n: int
    score: int | None
    imported: Count
    count: Count | UnsetType = UNSET
    round: Count | UnsetType = UNSET


class Verify(Part):
    """What was checked, all of it valid."""

    valid: bool
    checked: list[Checked]


class Refused(Part):
    """With exit code 3, what does not hold."""

    valid: bool
    error: str

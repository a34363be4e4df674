"""What is printed of problems, of what is best known, of this machine, and of what was written."""

from typing import Literal

from msgspec import field

from pipeline.cli.printed.constructions import Count, Part


class Check(Part):
    """One check of a plugin: what is wrong, or what is worth knowing, and the numbers in that."""

    what: str
    sizes: list[int]
    wrong: str
    note: str
    numbers: dict[str, float]


class CheckPlugin(Part):
    """What was checked of a plugin; with exit code 3 what is wrong."""

    ok: bool
    problem: str
    checks: list[Check]


class Installed(Part):
    """A problem, its default convention first."""

    name: str
    title: str
    conventions: list[str]


class Problems(Part):
    """The problems that are installed."""

    problems: list[Installed]


class Finding(Part):
    """One thing that was looked at."""

    what: str
    found: str
    ok: bool


class Doctor(Part):
    """What this machine has and lacks."""

    ok: bool
    findings: list[Finding]


class Page(Part):
    """A page that was written; ``plugin`` names the file and class that judged, if any."""

    file: str
    bytes: Count
    plugin: str


class Report(Page):
    """The page that was written, and the runs it tells of."""

    runs: list[str]


class ReportOfFile(Page):
    """The page that was written, and the file of constructions it shows."""

    of: str = field(name="from")


class Figure(Part):
    """A figure that was written; ``plugin`` names the file and class that judged, if any."""

    file: str
    what: str
    plugin: str


class Plot(Figure):
    """The figure that was written, and the run it shows."""

    run: str


class PlotOfFile(Figure):
    """The figure that was written, and the file of constructions it shows."""

    of: str = field(name="from")


class Known(Part):
    """What is best known of a size, and what is ours: a record, or in a run."""

    n: int
    best_known: int | None
    proved: bool
    source: str
    date: str
    ours: int | None
    gap: int | None
    held: Literal["record", "run", ""]
    where: str
    imported: int | None


class KnownOfProblem(Part):
    """The sizes of a problem under one convention."""

    problem: str
    convention: str
    title: str
    rows: list[Known]


class Records(Part):
    """What is best known of each size, and what is ours."""

    records: str | None
    runs: str
    tables: list[KnownOfProblem]

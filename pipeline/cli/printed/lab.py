"""What the lab's commands print with `--json`, as types."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from pipeline.cli.printed.constructions import Count, Many, Part

Share = Annotated[float, Meta(ge=0, le=1)]
Scale = Literal["small", "lecture"]


class Task(Part):
    """A task of the lecture, what it says of it, and the labels of one that is several."""

    name: str
    title: str
    lecture: str
    labels: list[str]


class LabList(Part):
    """The lecture's tasks."""

    tasks: list[Task]


class Trained(Part):
    """What came of a task beside the lecture's; of an experiment of its own ``values``."""

    name: str
    measured: str
    lecture: str
    chance: Share | None
    budget: str
    seed: int
    scale: Scale
    run: str
    title: str | UnsetType = UNSET
    success: Share | UnsetType = UNSET
    forced: dict[str, Share] | UnsetType = UNSET
    errors: dict[str, float] | UnsetType = UNSET
    cpu_seconds: Annotated[float, Meta(ge=0)] | UnsetType = UNSET
    values: dict[str, float | list[float]] | UnsetType = UNSET
    samples: list[str] | UnsetType = UNSET


class LabRun(Part):
    """The folders of what was trained, and what came of those that are finished."""

    runs: Annotated[list[str], Meta(min_length=1)]
    rows: list[Trained]


class LabAll(Part):
    """A row for all that was trained, beside the lecture's."""

    scale: Scale
    rows: list[Trained]


class Head(Part):
    """Which head looks hardest where; positions are 1-based, 0 is the beginning."""

    writes: Many
    layer: Many
    head: Many
    looks_at: Count = field(name="looks at")
    weight: Share


class LabAttention(Part):
    """The pictures in the folder of a lab run, and which head looks hardest where, by step."""

    run: str
    steps: list[Count]
    files: list[str]
    sharpest: dict[str, list[Head]]


class Swept(Part):
    """One combination of values: its success rates over the rng seeds."""

    task: str
    seeds: Many
    mean: Share
    lowest: Share
    highest: Share
    decided: Share | None
    parameters: Many
    runs: Annotated[list[str], Meta(min_length=1)]
    weight_decay: float | UnsetType = UNSET
    learning_rate: float | UnsetType = UNSET


class LabSweep(Part):
    """A row for each combination of the values asked for."""

    rows: list[Swept]

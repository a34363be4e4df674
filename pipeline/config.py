"""What a run is told: frozen dataclasses that load from TOML and say what is wrong with it."""

import hashlib
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import tomli_w

from pipeline.core.untrusted import read_bytes
from pipeline.errors import PipelineError, UsageError, nearest, short


def _need(ok: bool, name: str, value: object, rule: str) -> None:
    if not ok:
        raise UsageError(f"{name} must be {rule}, got {short(value)}")


def _within(name: str, value: float, low: float, high: float, unit: str = "") -> None:
    """Demand a number between two others, both allowed, that no sensible run goes beyond."""
    if not low <= value <= high:  # which no NaN passes
        beyond = value > high
        rule = f"at most {high:,}" if beyond else f"{low:,} or more"
        raise UsageError(f"{name} must be {rule}{unit}, got {short(value)}")


# No run needs more of what is counted one by one, of what is held in memory, or of steps; of other
# numbers than counts.
_MANY, _HELD, _STEPS, _LARGE = 10**9, 10**8, 10**12, 10**6


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        hint = nearest(value[:100], known)
        raise UsageError(f"{name}: unknown {short(value)}{hint or ': give ' + ', '.join(known)}")


#: What the rounds of a run may begin with.
PROPOSERS = ("model", "perturb", "restart", "none")
#: How round 0 may be searched.
SEEDINGS = ("portfolio", "anneal", "greedy")
#: What a model may learn from the outcome of search.
FEEDBACKS = ("none", "prefer", "policy")
#: Where a model may run.
DEVICES = ("auto", "cuda", "mps", "cpu")
#: Ways to write a construction that every problem has.
TOKENS = ("points", "dense", "orbits")


@dataclass(frozen=True)
class BudgetConfig:
    """When a run stops; the only part that may change when it is resumed."""

    rounds: int = 3  # rounds after the seeding
    time: float = 0.0  # seconds; 0 for no limit
    cpu: float = 0.0  # CPU seconds of all processes, of a session; 0 for no limit
    target: int = 0  # stop at this score; 0 for none

    def __post_init__(self) -> None:
        """Check the ranges."""
        _within("budget.rounds", self.rounds, 0, _MANY)
        _within("budget.time", self.time, 0, _MANY, " seconds")
        _within("budget.cpu", self.cpu, 0, _MANY, " CPU seconds")
        _within("budget.target", self.target, 0, _MANY)


@dataclass(frozen=True)
class SeedConfig:
    """Round 0: the constructions the first model learns from."""

    method: str = "portfolio"  # of searches, as in search.methods; anneal; greedy (the lecture's)
    batches: int = 4  # of the portfolio, 16 shards each
    count: int = 0  # constructions at n; 0: 3,000 annealed or 20,000 greedy
    smaller: float = 0.25  # share of the work for each smaller size
    proposals: int = 0  # proposals of one annealing; 0: chosen by the size of the ground set
    symmetry: tuple[str, ...] = ()  # symmetry classes in turn; empty: all usable (greedy: trivial)
    penalty: float = 0.5  # energy of one violation, in points
    hot: float = 0.20  # first temperature, in orbit sizes
    cold: float = 0.12  # last temperature

    def __post_init__(self) -> None:
        """Check the ranges."""
        _one_of("seeding.method", self.method, SEEDINGS)
        _within("seeding.batches", self.batches, 1, _LARGE)
        _within("seeding.count", self.count, 0, _HELD)
        _need(0 <= self.smaller <= 1, "seeding.smaller", self.smaller, "between 0 and 1")
        _within("seeding.proposals", self.proposals, 0, _STEPS)
        _check_schedule("seeding", self.penalty, self.hot, self.cold)


@dataclass(frozen=True)
class SearchConfig:
    """Local search: the portfolio, and what is done to each proposal.

    A proposal (a sample of the model, say) is repaired and filled up (complete) in any case; then
    it may be the start of a tabu search (climb), of large neighbourhoods (neighbourhood) or of a
    short cool annealing (anneal).
    """

    methods: tuple[str, ...] = ()  # cover, tabu, enumerate, grow, anneal, greedy; empty: chosen
    batches: int = 4  # of the portfolio in each later round, 16 shards each; 0: proposals alone
    field: str = ""  # border, learnt, a .npy file, or none; empty: with and without the border's
    mask: str = ""  # a .npy file of 0 and 1: the elements that may be used; empty: all
    # Bytes that the pair tables of one class may take, in each worker; without them a tabu search
    # walks the hook, a few times slower. It counts otherwise there and goes other ways, so this
    # decides results too.
    table_bytes: int = 400_000_000
    improve: str = "climb"  # climb, neighbourhood, anneal or complete
    proposals: int = 0  # of an annealing, or steps of a climb; 0: chosen
    penalty: float = 0.5  # as in seeding, for the short annealing of a proposal
    hot: float = 0.14  # its first temperature, in orbit sizes
    cold: float = 0.10  # its last temperature

    def __post_init__(self) -> None:
        """Check the ranges."""
        _within("search.batches", self.batches, 0, _LARGE)
        _need(self.mask[-4:] in ("", ".npy"), "search.mask", self.mask, "a .npy file")
        _within("search.table_bytes", self.table_bytes, 1, _STEPS)
        _one_of("search.improve", self.improve, ("climb", "neighbourhood", "anneal", "complete"))
        _within("search.proposals", self.proposals, 0, _STEPS)
        _check_schedule("search", self.penalty, self.hot, self.cold)


def _check_schedule(section: str, penalty: float, hot: float, cold: float) -> None:
    _need(penalty > 0, f"{section}.penalty", penalty, "above 0")
    _need(cold > 0, f"{section}.cold", cold, "above 0")
    _need(hot >= cold, f"{section}.hot", hot, f"at least {section}.cold ({cold})")
    for name, value in (("penalty", penalty), ("hot", hot)):
        _within(f"{section}.{name}", value, 0, _LARGE)


@dataclass(frozen=True)
class SelectConfig:
    """What is kept from round to round."""

    keep: int = 2000  # constructions at n
    smaller: float = 0.25  # share of that for each smaller size

    def __post_init__(self) -> None:
        """Check the ranges."""
        _within("select.keep", self.keep, 1, _HELD)
        _need(0 <= self.smaller <= 1, "select.smaller", self.smaller, "between 0 and 1")


@dataclass(frozen=True)
class ModelConfig:
    """The GPT and the tokens it reads, or the vision transformer."""

    # gpt, which writes constructions token by token, or vision, which fills a board of the
    # symmetry's orbits step by step (no use for tokens and order; it learns best with a geometry).
    kind: str = "gpt"
    layers: int = 2  # blocks of attention and a feed-forward part
    heads: int = 4  # of attention in each block
    width: int = 64  # numbers that stand for a token, a multiple of heads
    tokens: str = "points"  # points, dense, orbits, or one of the problem's own
    order: str = "sorted"  # of points: sorted or random
    symmetry: str = ""  # the class of orbit tokens, of a board and of the search on samples
    # What attention has a learnt bias for: off; distance, that of the two elements; offset, their
    # differences in each coordinate.
    geometry: str = "off"
    # What an element's token is embedded by: free, itself; coordinates, each of its coordinates;
    # fractions, them as shares of the side, by which a model knows something of sizes it was not
    # trained on (train.sizes); auto, fractions, or free where tokens stand for no elements.
    embedding: str = "auto"
    condition: tuple[str, ...] = ()  # what a sequence says of itself first: score, symmetry

    def __post_init__(self) -> None:
        """Check the ranges."""
        _one_of("model.kind", self.kind, ("gpt", "vision"))
        for name in self.condition:
            _one_of("model.condition", name, ("score", "symmetry"))
        twice = len(set(self.condition)) < len(self.condition)
        _need(not twice, "model.condition", list(self.condition), "without repetition")
        _one_of("model.embedding", self.embedding, ("auto", "free", "coordinates", "fractions"))
        _one_of("model.geometry", self.geometry, ("off", "distance", "offset"))
        for name, most in (("layers", 256), ("heads", 1 << 16), ("width", 1 << 16)):
            _within(f"model.{name}", getattr(self, name), 1, most)
        _need(
            self.width % self.heads == 0,
            "model.width",
            self.width,
            f"a multiple of model.heads ({self.heads})",
        )


@dataclass(frozen=True)
class TrainConfig:
    """How the GPT is trained in each round: AdamW, warm-up, cosine, early stop."""

    steps: int = 700  # optimiser steps at most
    batch: int = 64  # constructions a step
    learning_rate: float = 3e-3  # its peak; a cosine takes it down to a tenth
    warmup: int = 50  # steps in which it rises to the peak
    weight_decay: float = 0.01  # on the matrices of the blocks and the head
    holdout: float = 0.1  # share of the constructions that is held out, 1,000 at most
    evaluate_every: int = 50  # steps between two looks at the held-out loss
    patience: int = 4  # looks without a better one before it stops; 0: never early
    clip: float = 1.0  # largest norm of a gradient; 0: no clipping
    from_scratch: bool = False  # a new model in each round, not the last one tuned further
    sizes: tuple[int, ...] = ()  # those of the run's sizes that the model is shown; empty: all

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, most in (("steps", _MANY), ("batch", _LARGE), ("evaluate_every", _MANY)):
            _within(f"train.{name}", getattr(self, name), 1, most)
        for name in ("warmup", "weight_decay", "patience", "clip"):
            _within(f"train.{name}", getattr(self, name), 0, _MANY)
        rate = self.learning_rate
        _need(0 < rate <= 1, "train.learning_rate", rate, "above 0 and at most 1")
        _need(0 <= self.holdout <= 0.5, "train.holdout", self.holdout, "between 0 and 0.5")


@dataclass(frozen=True)
class SampleConfig:
    """How the GPT is asked for constructions."""

    count: int = 1000  # samples a round
    batch: int = 500  # samples at a time
    temperature: float = 1.0  # below 1: closer to what was learnt; above: more varied
    top_p: float = 1.0  # draw from the likeliest tokens alone that have this share together
    constrained: bool = True  # mask what the problem's own counts rule out
    adapt: bool = True  # raise the temperature while duplicates dominate, lower it again after
    maximal: bool = False  # no end while a legal element is left (of those that may come next)
    # What a model with conditions is asked for: the best score shown, or above, a step more.
    ask: str = "best"
    symmetry: str = ""  # asked for by one: a class; empty: the one that most of the best have

    def __post_init__(self) -> None:
        """Check the ranges."""
        _one_of("sample.ask", self.ask, ("best", "above"))
        _within("sample.count", self.count, 1, _HELD)
        _within("sample.batch", self.batch, 1, _HELD)
        _need(self.temperature > 0, "sample.temperature", self.temperature, "above 0")
        _within("sample.temperature", self.temperature, 0, _LARGE)
        _need(0 < self.top_p <= 1, "sample.top_p", self.top_p, "above 0 and at most 1")


@dataclass(frozen=True)
class FeedbackConfig:
    """How a trained model is told which of its samples came to much after search."""

    kind: str = "none"  # none, prefer (pairs of a good and a bad one) or policy (the scores)
    steps: int = 100  # optimiser steps
    batch: int = 32  # pairs a step, or constructions
    learning_rate: float = 3e-4  # of AdamW, constant
    beta: float = 0.1  # what holds the model to what it was: higher, and it moves less
    share: float = 0.25  # of the constructions, that are good, and as many that are bad

    def __post_init__(self) -> None:
        """Check the ranges."""
        _one_of("feedback.kind", self.kind, FEEDBACKS)
        for name, most in (("steps", _MANY), ("batch", _LARGE)):
            _within(f"feedback.{name}", getattr(self, name), 1, most)
        rate, share = self.learning_rate, self.share
        _need(0 < rate <= 1, "feedback.learning_rate", rate, "above 0 and at most 1")
        _within("feedback.beta", self.beta, 0, _LARGE)
        _need(0 < share <= 0.5, "feedback.share", share, "above 0 and at most 0.5")


@dataclass(frozen=True)
class ComputeConfig:
    """Where it runs. ``workers`` never changes a result; device and threads may."""

    device: str = "auto"  # auto, cuda, mps, cpu
    workers: int = 0  # search processes; 0: one for each core
    threads: int = 0  # of torch on a CPU; 0: half the cores, at least 1 and at most 4
    # Of the model: fp32, bf16; auto: bf16 where it is faster, decided when the run begins.
    precision: str = "auto"

    def __post_init__(self) -> None:
        """Check the ranges."""
        _one_of("compute.device", self.device, DEVICES)
        _one_of("compute.precision", self.precision, ("auto", "fp32", "bf16"))
        _within("compute.workers", self.workers, 0, 1024)
        _within("compute.threads", self.threads, 0, 1024)


@dataclass(frozen=True)
class StoreConfig:
    """What a run keeps on the disk; no result depends on it, and it may change on resume."""

    keep_models: str = "last"  # last: of the last two rounds and of each new best; or all

    def __post_init__(self) -> None:
        """Check the values."""
        _one_of("store.keep_models", self.keep_models, ("last", "all"))


@dataclass(frozen=True)
class Config:
    """Everything a run is told."""

    problem: str  # a name of `pipeline problems`, or FILE.py:CLASS
    n: int  # the size to search for, such as the side of the grid
    convention: str = ""  # empty: the problem's default
    sizes: tuple[int, ...] = ()  # sizes to learn from, n among them; empty: n-4 to n
    seed: int = 0  # the rng seed
    # What a round begins with: samples of the model, elites perturbed, fresh starts (restart), or
    # none, for search alone.
    proposer: str = "model"
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    seeding: SeedConfig = field(default_factory=SeedConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    select: SelectConfig = field(default_factory=SelectConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)
    feedback: FeedbackConfig = field(default_factory=FeedbackConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    store: StoreConfig = field(default_factory=StoreConfig)

    def __post_init__(self) -> None:
        """Check the ranges and put the sizes in order, n always among them."""
        _need(self.n >= 1, "n", self.n, "at least 1")
        _within("n", self.n, 1, 2**31 - 1)
        _one_of("proposer", self.proposer, PROPOSERS)
        if self.proposer == "none":
            _need(self.search.batches >= 1, "search.batches", 0, "1 or more without proposals")
        if self.model.kind != "gpt" and self.feedback.kind != "none":
            raise UsageError(
                f"feedback.kind {self.feedback.kind!r} needs model.kind 'gpt', got "
                f"{self.model.kind!r}; set one of the two"
            )
        _need(0 <= self.seed < 2**63, "seed", self.seed, "between 0 and 2**63 - 1")
        sizes = self.sizes or self._usual_sizes()
        _need(min(sizes) >= 1, "sizes", min(sizes), "at least 1")
        _need(
            max(sizes) <= self.n,
            "sizes",
            max(sizes),
            f"at most n ({self.n}), the size that is searched for",
        )
        object.__setattr__(self, "sizes", tuple(sorted({*sizes, self.n})))
        odd = sorted(set(self.train.sizes) - set(self.sizes))
        _need(not odd, "train.sizes", odd, f"among the sizes {', '.join(map(str, self.sizes))}")

    def _usual_sizes(self) -> tuple[int, ...]:
        """Return the sizes to learn from: those just below, or for a field small ones."""
        if self.search.field == "learnt":
            small = {max(round(share * self.n), 1) for share in (0.4, 0.5, 0.6)}
            return (*sorted(small), self.n)
        return tuple(range(max(1, self.n - 4), self.n + 1))

    @property
    def identity(self) -> str:
        """A short hash of all that decides the results: no budget, workers or store."""
        data = asdict(self)
        del data["budget"], data["compute"]["workers"], data["store"]
        text = json.dumps(data, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def quota(self, n: int) -> int:
        """Return how many constructions of size n are kept."""
        share = 1.0 if n == self.n else self.select.smaller
        return round(share * self.select.keep)


# ------------------------------------------------------------------------ to and from TOML


def to_toml(config: Config) -> str:
    """Write a configuration with every key."""
    data = asdict(config)
    plain = {key: value for key, value in data.items() if not isinstance(value, dict)}
    tables = {key: value for key, value in data.items() if isinstance(value, dict)}
    return tomli_w.dumps({**plain, **tables})


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """Return the keys of a TOML text.

    Raises:
        UsageError: it is not TOML; names ``where`` and the line.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where} is not TOML: {error}") from error
    except RecursionError:
        raise UsageError(f"{where}: its values are nested too deeply") from None
    except ValueError:
        raise UsageError(f"{where}: it has a number of thousands of digits") from None


def read_toml(path: Path) -> dict[str, Any]:
    """Return the keys of a TOML file.

    Raises:
        UsageError: it cannot be read or is not TOML.
    """
    try:
        return parse_toml(read_bytes(path).decode("utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    except PipelineError as error:
        raise UsageError(str(error)) from error


def config_from(data: Mapping[str, Any], where: str, complete: bool = False) -> Config:
    """Make a configuration of nested keys.

    Args:
        where: what to name in an error, such as the file.
        complete: demand every key, as in a run's own config.toml.

    Raises:
        UsageError: an unknown or missing key (the nearest is suggested), a wrong type or value.
    """
    try:
        return _build(Config, data, "", complete)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def with_setting(data: dict[str, Any], setting: str) -> None:
    """Apply ``section.key=value`` to nested keys in place; the value is TOML, or a bare word.

    Raises:
        UsageError: there is no ``=``.
    """
    key, equals, value = setting.partition("=")
    if not equals:
        raise UsageError(f"--set {setting}: write it as section.key=value")
    try:
        parsed = tomllib.loads(f"v = {value}")["v"]
    except tomllib.TOMLDecodeError:
        parsed = value
    except (RecursionError, ValueError):
        raise UsageError(f"--set {key}: its value is nested too deeply, or too long") from None
    *sections, last = key.strip().split(".")
    for section in sections:
        inner = data.setdefault(section, {})
        if not isinstance(inner, dict):
            raise UsageError(f"--set {setting}: {section} is not a section")
        data = inner
    data[last] = parsed


def resolved(config: Config) -> Config:
    """Return the configuration with what depends on this machine written out.

    Sums in the model's training are split by thread, so the number of threads belongs to a run.
    Half the cores, since a small model gains little from more, and threads that wait for one
    another lose more than they gain as soon as anything else runs (seen: 50 times slower).
    """
    if config.compute.threads:
        return config
    from pipeline.executors.local import (
        cores,  # loads processes, which looking at runs has no need of
    )

    return replace(config, compute=replace(config.compute, threads=min(max(cores() // 2, 1), 4)))


def with_budget(config: Config, **changes: float | int | None) -> Config:
    """Return the configuration with a new budget; None leaves a value as it is."""
    known = {key: value for key, value in changes.items() if value is not None}
    return replace(config, budget=replace(config.budget, **known))  # type: ignore[arg-type]


def differences(a: Config, b: Config) -> list[str]:
    """List the keys in which two configurations differ; budget, workers and store left out."""
    if a == b:
        return []
    left, right = _flat(asdict(a)), _flat(asdict(b))
    return [
        f"{key} {left[key]!r} -> {right[key]!r}"
        for key in left
        if left[key] != right[key]
        and not key.startswith(("budget.", "store."))
        and key != "compute.workers"
    ]


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _build(cls: type, data: object, prefix: str, complete: bool) -> Any:
    if not isinstance(data, Mapping):
        raise UsageError(
            f"{prefix.rstrip('.') or 'the configuration'} must be a section, got {short(data)}"
        )
    if complete and cls is Config:
        data = {**_EARLIER, **data}
    hints = _hints(cls)
    known = [f.name for f in fields(cls)]
    for key in data:
        if key not in known:
            hint = nearest(prefix + str(key)[:100], [prefix + name for name in known])
            raise UsageError(f"unknown key {short(prefix + str(key))}{hint}")
    values = {}
    for name in known:
        if name not in data:
            required = name in ("problem", "n") and cls is Config
            if complete or required:
                raise UsageError(f"the key {prefix + name!r} is missing")
            continue
        hint, value = hints[name], data[name]
        if is_dataclass(hint):
            assert isinstance(hint, type)
            values[name] = _build(hint, value, f"{prefix}{name}.", complete)
        else:
            values[name] = _convert(hint, value, prefix + name)
    return cls(**values)


#: Sections that runs of earlier versions lack, and what those versions did.
_EARLIER = {"store": {"keep_models": "all"}}
_WORDS = {int: "a whole number", float: "a number", str: "a string", bool: "true or false"}


def _convert(hint: Any, value: Any, name: str) -> Any:
    if hint in (tuple[int, ...], tuple[str, ...]):
        if not isinstance(value, list | tuple):
            raise UsageError(f"{name} must be a list, got {short(value)}")
        inner = int if hint == tuple[int, ...] else str
        return tuple(_convert(inner, item, name) for item in value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise UsageError(f"{name} must be below 2**63")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise UsageError(f"{name} must be {_WORDS[hint]}, got {short(value)}")
    if hint is float and not math.isfinite(value):
        raise UsageError(f"{name} must be a finite number, got {short(value)}")
    return value

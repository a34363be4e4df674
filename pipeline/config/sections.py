"""Every key of a configuration, by section. The text below a key is its documentation.

The table of keys in docs/loop.md and the JSON Schema in docs/schemas/config.json are made from it.
"""

from typing import Annotated, Literal, get_args

import msgspec
from msgspec.structs import force_setattr

from pipeline.config.values import Section, expert, key, prefix_of
from pipeline.errors import UsageError, nearest, short

#: Generators that train a model. Without one the settings of the model play no part.
MODELS = ("gpt", "vision", "policy")
#: The generators that come with the program; others are named as FILE.py:CLASS.
GENERATORS = (*MODELS, "perturb", "restart", "none")
#: What a comparison goes by: the best score and when it was there, or how many good sets there are.
MEASURES = ("best", "yield")
#: Tokens that every problem has; a problem may offer others.
TOKENS = ("points", "dense", "orbits")

Seeding = Literal["portfolio", "anneal", "greedy"]
Improve = Literal["tabu", "neighbourhood", "anneal", "repair"]
Feedback = Literal["none", "prefer", "policy"]
Device = Literal["auto", "cuda", "mps", "cpu"]
Kind = Literal["processes", "ray"]
SEEDINGS: tuple[str, ...] = get_args(Seeding)
FEEDBACKS: tuple[str, ...] = get_args(Feedback)
DEVICES: tuple[str, ...] = get_args(Device)
EXECUTORS: tuple[str, ...] = get_args(Kind)
PLACES = (*EXECUTORS, "slurm")  # where whole runs can be carried out

#: The default of search.table_bytes.
TABLE_BYTES = 400_000_000

# Upper ends that no sensible run exceeds: counts, what is held in memory, steps, other numbers.
_MANY, _HELD, _STEPS, _LARGE = 10**9, 10**8, 10**12, 10**6
_SIDE = 2**31 - 1
_Size = Annotated[int, msgspec.Meta(ge=1, le=_SIDE)]


class BudgetConfig(Section, frozen=True):
    """When a run stops. Only this section may change when a run is resumed."""

    rounds: Annotated[int, key("rounds", ge=0, le=_MANY)] = 3
    """The run stops after this many rounds after the seeding."""
    time: Annotated[float, key("seconds", ge=0, le=_MANY)] = 0.0
    """The run stops after this wall time; 0 sets no limit."""
    cpu: Annotated[float, key("CPU seconds", ge=0, le=_MANY)] = 0.0
    """The run stops after this CPU time of all its processes, counted anew when it is resumed; 0
    sets no limit."""
    target: Annotated[int, key("score", ge=-_MANY, le=_MANY)] = 0
    """The run stops when a construction reaches this score; 0 sets none."""


class SeedingConfig(Section, frozen=True):
    """Round 0: the constructions that the first model is trained on."""

    method: Seeding = "portfolio"
    """The search that makes the first constructions: the portfolio of search.methods, annealing, or
    greedy filling from nothing (the lecture's way)."""
    batches: Annotated[int, key("batches", ge=1, le=_LARGE)] = 4
    """The portfolio runs this many batches of search.tasks_per_batch tasks."""
    count: Annotated[int, expert("constructions", ge=0, le=_HELD)] = 0
    """Annealing and greedy filling make this many constructions of size n; 0 means 3,000 by
    annealing and 20,000 by greedy filling."""
    smaller: Annotated[float, expert("share", ge=0, le=1)] = 0.25
    """Each smaller size gets this share of the work that n gets."""
    moves: Annotated[int, expert("moves", ge=0, le=_STEPS)] = 0
    """One annealing tries this many moves; 0 means a number that grows with the ground set."""
    symmetry: tuple[str, ...] = ()
    """The portfolio searches in these symmetry classes, and annealing and greedy filling take them
    in turn; empty means all that a construction can have, and the trivial class for greedy
    filling."""
    penalty: Annotated[float, expert("elements", gt=0, le=_LARGE)] = 0.5
    """A violation costs an annealing as much energy as this many elements are worth."""
    initial_temperature: Annotated[float, expert("mean orbit sizes", gt=0, le=_LARGE)] = 0.20
    """An annealing starts at this temperature."""
    final_temperature: Annotated[float, expert("mean orbit sizes", gt=0, le=_LARGE)] = 0.12
    """An annealing ends at this temperature."""

    def _check(self) -> None:
        _at_least(self, "initial_temperature", "final_temperature")


class SearchConfig(Section, frozen=True):
    """Local search: the portfolio, and what improves each candidate of a generator."""

    methods: tuple[str, ...] = ()
    """The portfolio uses these methods: tabu, enumerate, anneal, greedy, cover or ruin-recreate;
    empty means those that suit the problem."""
    batches: Annotated[int, key("batches", ge=0, le=_LARGE)] = 4
    """After the seeding the portfolio runs this many batches a round; 0 means that search starts
    from the candidates alone."""
    overlap: Annotated[bool, expert()] = False
    """If true, a round's portfolio runs while the generator is at work, and as long as it is. How
    much it finds then depends on the clock, so a run does not repeat itself."""
    weights: str = ""
    """Weights of the elements guide the start of a search: border, learned (from good constructions
    of smaller sizes), none, or a .npy file with a number for each element; empty means that the
    portfolio tries border and none where n is large."""
    mask: str = ""
    """Constructions of size n use only the elements that are 1 in this .npy file of 0 and 1; empty
    means all elements."""
    improve: Improve = "tabu"
    """After its repair each candidate is improved by a tabu search, by large neighbourhoods, by a
    short annealing, or by no more than the repair."""
    moves: Annotated[int, expert("moves", ge=0, le=_STEPS)] = 0
    """The improvement of one candidate takes this many moves; 0 means 3,000 by tabu search, 300 by
    large neighbourhoods and 200,000 by annealing."""
    improve_share: Annotated[float, expert("share", gt=0, le=1)] = 1.0
    """This share of a round's candidates is improved: those of the best scores as they are, valid
    ones before others."""
    table_bytes: Annotated[int, expert("bytes", ge=1, le=_STEPS)] = TABLE_BYTES
    """Each worker may use this much memory for the pair tables of one symmetry class. Without pair
    tables tabu search is a few times slower. Its conflict counts differ then, so this changes
    results."""
    penalty: Annotated[float, expert("elements", gt=0, le=_LARGE)] = 0.5
    """A violation costs the annealing of a candidate as much energy as this many elements are
    worth."""
    initial_temperature: Annotated[float, expert("mean orbit sizes", gt=0, le=_LARGE)] = 0.14
    """The annealing of a candidate starts at this temperature."""
    final_temperature: Annotated[float, expert("mean orbit sizes", gt=0, le=_LARGE)] = 0.10
    """The annealing of a candidate ends at this temperature."""
    tabu_steps: Annotated[int, expert("steps", ge=1, le=_STEPS)] = 200_000
    """A tabu task of the portfolio takes at most this many steps."""
    enumerate_nodes: Annotated[int, expert("nodes", ge=1, le=_STEPS)] = 200_000
    """An enumeration task of the portfolio visits at most this many nodes, one a step."""
    cover_nodes: Annotated[int, expert("nodes", ge=1, le=_STEPS)] = 4_000_000
    """An exact cover task of the portfolio visits at most this many nodes."""
    score_moves: Annotated[int, expert("moves", ge=1, le=_STEPS)] = 500
    """The shortest annealing on the problem's own score makes this many moves; others up to 32
    times as many."""
    tasks_per_batch: Annotated[int, expert("tasks", ge=1, le=_LARGE)] = 16
    """The portfolio hands out this many tasks in one batch, and chooses the methods of the next
    batch by what they found."""
    first_look: Annotated[int, expert("factor", ge=1, le=_LARGE)] = 8
    """The first task of each method and symmetry class is shorter by this factor, so that all of
    them are tried early; so are all tasks at sizes that only learned weights need."""
    few_orbits: Annotated[int, expert("orbits", ge=1, le=_MANY)] = 500
    """At sizes that only learned weights need, symmetry classes with more orbits than this are left
    out, unless all have more."""

    def _check(self) -> None:
        if self.mask[-4:] not in ("", ".npy"):
            raise UsageError(f"search.mask must be a .npy file, got {short(self.mask)}")
        _at_least(self, "initial_temperature", "final_temperature")


def _at_least(config: Section, larger: str, smaller: str) -> None:
    least, got = getattr(config, smaller), getattr(config, larger)
    if got < least:
        name = prefix_of(type(config))
        raise UsageError(f"{name}{larger} must be at least {name}{smaller} ({least}), got {got}")


class PerturbConfig(Section, frozen=True):
    """How the generator "perturb" changes a construction of the pool."""

    least: Annotated[float, expert("share", ge=0, le=1)] = 0.1
    """A perturbation deletes at least this share of the elements."""
    most: Annotated[float, expert("share", ge=0, le=1)] = 0.5
    """A perturbation deletes at most this share of the elements."""

    def _check(self) -> None:
        least, most = self.least, self.most
        if least > most:
            raise UsageError(f"perturb.least must be at most perturb.most ({most}), got {least}")


class SelectConfig(Section, frozen=True):
    """What is kept from round to round."""

    keep: Annotated[int, key("constructions", ge=1, le=_HELD)] = 2000
    """The best constructions of size n are kept, this many at most, no two equal up to symmetry."""
    smaller: Annotated[float, expert("share", ge=0, le=1)] = 0.25
    """For each smaller size this share of that number is kept."""


class ModelConfig(Section, frozen=True):
    """The model of the generators "gpt", "vision" and "policy"."""

    layers: Annotated[int, key("blocks", ge=1, le=256)] = 2
    """The model has this many blocks of attention and MLP, a policy as many hidden layers."""
    heads: Annotated[int, key("heads", ge=1, le=1 << 16)] = 4
    """Each block has this many attention heads."""
    width: Annotated[int, key("dimensions", ge=1, le=1 << 16)] = 64
    """A token is embedded in this many dimensions, a multiple of model.heads; so wide are the
    hidden layers of a policy."""
    tokens: str = "points"
    """The GPT writes a construction as the tokens of its points, as dense bits, as the orbits of
    the symmetry class, or in tokens of the problem's own."""
    order: str = "sorted"
    """The GPT is shown point tokens in sorted or in random order."""
    embedding: Literal["auto", "free", "coordinates", "fractions"] = "auto"
    """An element's token is embedded by a vector of its own (free), by one for each of its
    coordinates, or by its coordinates as fractions of the side, which carries over to sizes that
    the model was not trained on. The default, auto, means fractions, or free where tokens stand for
    no elements."""
    attention_bias: Literal["off", "distance", "offset"] = "off"
    """Attention scores get a learned bias for the distance of the two elements, or for their offset
    in each coordinate."""

    def _check(self) -> None:
        if self.width % self.heads:
            raise UsageError(
                f"model.width must be a multiple of model.heads ({self.heads}), got {self.width}"
            )


class TrainConfig(Section, frozen=True):
    """How the model is trained in each round: Muon and AdamW, warm-up, cosine decay, early
    stopping."""

    steps: Annotated[int, key("steps", ge=1, le=_MANY)] = 350
    """A round trains for at most this many optimiser steps."""
    batch: Annotated[int, key("constructions", ge=1, le=_LARGE)] = 64
    """A training step sees this many constructions."""
    learning_rate: Annotated[float, key("learning rate", gt=0, le=1)] = 3e-3
    """The learning rate rises to this peak and then decays to a tenth of it."""
    warmup: Annotated[int, expert("steps", ge=0, le=_MANY)] = 50
    """The learning rate rises to its peak in this many steps."""
    weight_decay: Annotated[float, expert("rate", ge=0, le=_MANY)] = 0.01
    """The matrices of the blocks and of the head decay at this rate."""
    holdout: Annotated[float, expert("share", ge=0, le=0.5)] = 0.1
    """This share of the constructions, 1,000 at most, is held out to measure the loss."""
    evaluate_every: Annotated[int, expert("steps", ge=1, le=_MANY)] = 50
    """The loss on what is held out is evaluated every so many steps."""
    patience: Annotated[int, expert("evaluations", ge=0, le=_MANY)] = 4
    """Training stops after this many evaluations without improvement; 0 means that it never stops
    early."""
    clip: Annotated[float, expert("norm", ge=0, le=_MANY)] = 1.0
    """Gradients are scaled down to this norm; 0 means no clipping."""
    from_scratch: bool = False
    """If true, each round trains a new model instead of training the last one further."""
    sizes: Annotated[tuple[_Size, ...], key("sizes")] = ()
    """The model is trained on these of the run's sizes; empty means all."""


class SampleConfig(Section, frozen=True):
    """How a generator is asked for candidates; all but the count concerns a model."""

    count: Annotated[int, key("candidates", ge=1, le=_HELD)] = 1000
    """The generator makes this many candidates a round."""
    batch: Annotated[int, expert("candidates", ge=1, le=_HELD)] = 500
    """The model samples this many candidates at a time."""
    temperature: Annotated[float, key("temperature", ge=0, le=_LARGE)] = 0.0
    """The logits are divided by this temperature: the lower, the closer samples are to what was
    learned; 0 means 1, and 0.25 for the policy, which learns elements in any order and so gives
    many of them a share."""
    top_p: Annotated[float, expert("probability", gt=0, le=1)] = 1.0
    """Each token is drawn from the likeliest ones that together have this probability."""
    masked: bool = True
    """If true, a token mask rules out the elements that would complete a violation."""
    adapt_temperature: Annotated[bool, expert()] = True
    """If true, the temperature rises while most samples are duplicates, and falls back later."""
    maximal: bool = False
    """If true, a sample may not end while an element could still be added."""


class FeedbackConfig(Section, frozen=True):
    """How the GPT learns from what search made of its samples."""

    kind: Feedback = "none"
    """After search the GPT is tuned by no feedback, by preferences between good and bad samples
    (DPO), or by the scores (policy gradient)."""
    steps: Annotated[int, key("steps", ge=1, le=_MANY)] = 100
    """A round gives this many steps of feedback."""
    batch: Annotated[int, expert("samples", ge=1, le=_LARGE)] = 32
    """A step of feedback sees this many pairs of samples, or samples."""
    learning_rate: Annotated[float, expert("learning rate", gt=0, le=1)] = 3e-4
    """Feedback has this constant learning rate."""
    beta: Annotated[float, expert("strength", ge=0, le=_LARGE)] = 0.1
    """The penalty on leaving the model as it was before has this strength."""
    fraction: Annotated[float, expert("share", gt=0, le=0.5)] = 0.25
    """This fraction of the samples is labelled good, and as large a one bad."""


class ComputeConfig(Section, frozen=True):
    """Where a run computes. Neither the executor nor the number of workers changes a result."""

    device: Device = "auto"
    """The model is trained and sampled on this device."""
    workers: Annotated[int, key("processes", ge=0, le=1024)] = 0
    """Search uses this many processes; 0 means one for each core."""
    executor: Kind = "processes"
    """Search runs in processes of this machine, or as tasks of a Ray cluster."""
    address: Annotated[str, expert()] = ""
    """Search joins the Ray cluster at this address, auto or HOST:PORT; empty means a cluster of its
    own on this machine."""
    threads: Annotated[int, key("threads", ge=0, le=1024)] = 0
    """The model uses this many threads on a CPU; 0 means half the cores, from 1 to 4."""
    gpus: Annotated[int, expert("processes", ge=1, le=1024)] = 1
    """This many processes train and sample together, each on a GPU of its own, or on the CPU with
    as many threads. Another number rounds differently, so this changes results."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """The model computes in this precision; auto means bf16 where that is faster, decided when the
    run starts."""


class StoreConfig(Section, frozen=True):
    """What a run keeps on the disk. No result depends on it, and it may change on resume."""

    keep_models: Literal["last", "all"] = "last"
    """The models of the last two rounds and of each new best score are kept, or those of all
    rounds."""


class Config(Section, frozen=True):
    """The whole configuration of a run."""

    problem: str
    """The problem is a name that `pipeline problems` lists, or FILE.py:CLASS."""
    n: Annotated[int, key("size", ge=1, le=_SIDE)]
    """The run searches for constructions of this size, such as the side of a grid."""
    convention: str = ""
    """The problem is read in this convention; empty means its default."""
    sizes: Annotated[tuple[_Size, ...], key("sizes")] = ()
    """The run learns from these sizes, n always among them; empty means n-4 to n, or 0.4, 0.5 and
    0.6 of n for learned weights."""
    seed: Annotated[int, key("seed", ge=0, le=2**63 - 1)] = 0
    """All random numbers derive from this seed."""
    generator: str = "gpt"
    """A round starts from candidates that this generator makes: samples of a GPT (gpt), of a vision
    transformer (vision) or of a policy on features (policy), constructions of the pool with
    elements deleted (perturb), empty ones (restart), no candidates (none), or those of a class of
    your own, FILE.py:CLASS."""
    symmetry: str = ""
    """Candidates have this symmetry class, in orbit tokens, on the grid of the vision transformer
    and the policy, and in the search that improves them; empty means no symmetry."""
    budget: BudgetConfig = msgspec.field(default_factory=BudgetConfig)
    seeding: SeedingConfig = msgspec.field(default_factory=SeedingConfig)
    search: SearchConfig = msgspec.field(default_factory=SearchConfig)
    perturb: PerturbConfig = msgspec.field(default_factory=PerturbConfig)
    select: SelectConfig = msgspec.field(default_factory=SelectConfig)
    model: ModelConfig = msgspec.field(default_factory=ModelConfig)
    train: TrainConfig = msgspec.field(default_factory=TrainConfig)
    sample: SampleConfig = msgspec.field(default_factory=SampleConfig)
    feedback: FeedbackConfig = msgspec.field(default_factory=FeedbackConfig)
    compute: ComputeConfig = msgspec.field(default_factory=ComputeConfig)
    store: StoreConfig = msgspec.field(default_factory=StoreConfig)

    def _check(self) -> None:
        """Check what concerns several sections; put the sizes in order, n always among them."""
        if self.generator not in GENERATORS and ".py:" not in self.generator:
            raise UsageError(
                f"generator: unknown {short(self.generator)}"
                f"{nearest(self.generator[:100], GENERATORS)}"
            )
        if self.generator == "none" and not self.search.batches:
            raise UsageError("search.batches must be at least 1 with generator 'none', got 0")
        if self.generator in ("vision", "policy") and self.feedback.kind != "none":
            raise UsageError(
                f"feedback.kind {self.feedback.kind!r} needs generator 'gpt', got "
                f"{self.generator!r}; set one of the two"
            )
        sizes = self.sizes or self._usual_sizes()
        if max(sizes) > self.n:
            got = f"the size that is searched for, got {max(sizes)}"
            raise UsageError(f"sizes must be at most n ({self.n}), {got}")
        force_setattr(self, "sizes", tuple(sorted({*sizes, self.n})))
        if odd := sorted(set(self.train.sizes) - set(self.sizes)):
            among = ", ".join(map(str, self.sizes))
            raise UsageError(f"train.sizes must be among the sizes {among}, got {short(odd)}")

    def _usual_sizes(self) -> tuple[int, ...]:
        """Return the sizes to learn from: those just below, or for learned weights small ones."""
        if self.search.weights == "learned":
            small = {max(round(share * self.n), 1) for share in (0.4, 0.5, 0.6)}
            return (*sorted(small), self.n)
        return tuple(range(max(1, self.n - 4), self.n + 1))

    @property
    def has_model(self) -> bool:
        """Whether the generator trains a model of ours."""
        return self.generator in MODELS

    @property
    def identity(self) -> str:
        """A short hash of all that decides the results."""
        from pipeline.config.identity import identity_of

        return identity_of(self)

    def quota(self, n: int) -> int:
        """Return how many constructions of size n are kept."""
        share = 1.0 if n == self.n else self.select.smaller
        return round(share * self.select.keep)

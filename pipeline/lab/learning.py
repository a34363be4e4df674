"""One training of the product's model on a task, watched: curve, samples, errors, checkpoints."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from pipeline.callbacks import Callbacks
from pipeline.config import TrainConfig
from pipeline.lab.state import Clock, State, Stream, load_weights
from pipeline.lab.task import END, Budget, Forced, Task
from pipeline.model.gpt import GPT, GPTConfig
from pipeline.model.optimizer import Optimizer
from pipeline.model.sample import sample
from pipeline.model.tokens import BOS, EOS, PAD
from pipeline.model.train import fit

_FIRST = 3  # token of the alphabet's first symbol
_EPOCH = 4096  # fresh strings made at a time
_LOOKED = 500  # strings of train and test looked at on the way
_DRAWN = 200  # samples drawn on the way
_SHOWN = 40  # samples kept
_ROWS = 250  # strings in one forward pass


def shape(task: Task, budget: Budget) -> GPTConfig:
    """Return the model's shape: room for BOS, the longest string and one symbol too many."""
    return GPTConfig(
        len(task.alphabet) + _FIRST,
        task.longest + 2,
        layers=budget.layers,
        heads=budget.heads,
        width=budget.width,
    )


def parameters(config: GPTConfig) -> int:
    """Return how many numbers a model of this shape learns."""
    with torch.device("meta"):
        return sum(p.numel() for p in GPT(config, seed=None).parameters())


def with_parameters(task: Task, budget: Budget, wanted: int) -> Budget:
    """Return the budget with a model of about so many parameters, as broad as makemore's are.

    Widths are multiples of 8 near 16 a layer; the number is met as well as that allows.
    """
    tried = [
        replace(budget, layers=layers, width=width, heads=4)
        for layers in range(1, 13)
        for width in range(8, 16 * 12 * 4, 8)
        if layers * width * width * 3 <= max(wanted, 1000)
    ]

    def distance(candidate: Budget) -> float:
        config = shape(task, candidate)
        D, rest = config.width, config.vocab_size * 2 + config.block_size + 1
        count = D * rest + config.layers * (12 * D * D + 2 * D)
        off = abs(np.log(count / wanted))
        return float(max(off, 0.05) + 0.1 * abs(np.log(D / (16 * config.layers))))

    return min(tried, key=distance)


def tokens_of(strings: np.ndarray) -> np.ndarray:
    """Write strings ``(B, L)`` as tokens int64 ``(B, L + 2)``: BOS, symbols, EOS, PAD."""
    out = np.full((len(strings), strings.shape[1] + 2), PAD, np.int64)
    out[:, 0] = BOS
    out[:, 1:-1] = np.where(strings == END, PAD, strings.astype(np.int64) + _FIRST)
    out[np.arange(len(out)), 1 + (strings != END).sum(axis=1)] = EOS
    return out


def strings_of(tokens: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Read tokens ``(B, T)`` as strings ``(B, longest)``, and which are whole, bool ``(B,)``.

    Whole is what is BOS, symbols and then EOS; the rest is all ``END``.
    """
    body = tokens[:, 1:]
    ended = (body == EOS).cumsum(axis=1) > 0
    whole = ended.any(axis=1) & (ended | (body >= _FIRST)).all(axis=1)
    out = np.full((len(tokens), longest), END, np.uint8)
    used = np.where(ended | ~whole[:, None], END, body - _FIRST)[:, :longest]
    out[:, : used.shape[1]] = used
    return out, whole


def learn(
    task: Task,
    budget: Budget,
    *,
    seed: int,
    callbacks: Callbacks,
    device: torch.device | str = "cpu",
    precision: str = "auto",
    keep: Sequence[int] = (),
    save: Callable[[int, GPT], None] | None = None,
    look: Callable[[list[dict[str, Any]]], None] | None = None,
    start: State | None = None,
    hold: Callable[[State], None] | None = None,
    every: float = 60.0,
) -> dict[str, Any]:
    """Train a model on a task and return what came of it, ready for JSON.

    A training that goes on from a state ends as one that was never stopped, on one device and
    thread count.

    Args:
        callbacks: told the progress; what they raise ends the training, once its state is held.
        keep: steps whose model is handed to ``save``, with the last one.
        look: is handed the curve when it has a new entry.
        start: a state of this training to go on from; None for a fresh model.
        hold: is handed the state now and then, and when the training ends.
        every: seconds between two states.

    Raises:
        RunError: a state of another model.
    """
    clock = Clock(start)
    config = shape(task, budget)
    rng, fresh = (np.random.default_rng([seed, k]) for k in (0, 1))
    train, test = task.split(budget.strings, rng)
    known = None if train is None else tokens_of(train)

    def draw(rng: np.random.Generator) -> np.ndarray:
        if known is not None:
            return known[rng.permutation(len(known))]
        return tokens_of(task.generate(_EPOCH, rng))

    model = GPT(config, seed=seed).to(device)
    if start is not None:
        load_weights(model, start.weights)
    optimizer = Optimizer(
        model,
        budget.learning_rate,
        budget.weight_decay,
        # The lecture's weight decay is on all weights of the net; without it on the embeddings,
        # modular addition is learnt by heart alone.
        decay_embeddings=True,
        state=None if start is None else start.moments,
    )
    data = Stream(draw, fresh, budget.batch, start)
    curve: list[dict[str, Any]] = [] if start is None else [*start.curve]
    losses: list[float] = [] if start is None else [*start.losses]
    done = 0 if start is None else start.step
    held = time.monotonic()
    looks = {round(budget.steps * k / budget.looks) for k in range(1, budget.looks + 1)}
    looks |= {k for k in keep if k <= budget.steps} | {budget.steps}

    def stand(step: int) -> None:
        nonlocal held
        if hold is not None:
            weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
            place, noted = (step, data.drawn, data.before), ([*curve], *clock.read(), [*losses])
            hold(State(*place, *noted, weights, optimizer.state()))
        held = time.monotonic()

    def progress(step: int, steps: int, loss: float) -> None:
        losses.append(loss)
        looked = step in looks
        if looked:
            curve.append(_look(task, model, train, test, step, losses, seed, budget, precision))
            losses.clear()
            if look is not None:
                look(curve)
            if save is not None and (step in keep or step == steps):
                save(step, model)
        fresh_state = step == steps or time.monotonic() - held >= every
        if fresh_state:
            stand(step)
        try:
            if looked:
                callbacks.on_note(f"step {step:,}: {words(curve[-1])}")
            callbacks.on_progress(step - done, loss=loss)
        except BaseException:
            if not fresh_state:
                stand(step)
            raise

    training = TrainConfig(
        steps=budget.steps,
        batch=budget.batch,
        learning_rate=budget.learning_rate,
        warmup=min(50, budget.steps // 10),
        weight_decay=budget.weight_decay,
        evaluate_every=budget.steps,
    )
    if done:
        callbacks.on_note(f"goes on after step {done:,} of {budget.steps:,}")
    if done < budget.steps:
        callbacks.on_stage("train", budget.steps - done)
        fit(
            model,
            training,
            epoch=data.next,
            ignored=task.given,
            precision=precision,
            optimizer=optimizer,
            after=done,
            progress=progress,
            note=callbacks.on_note,
        )
    found: dict[str, Any] = {"parameters": parameters(config), "curve": curve}
    logits = predict(model, test)
    found["forced"] = forced(task, test, logits)
    if budget.samples:
        callbacks.on_stage("sample", budget.samples)
        written, whole = write(
            task,
            model,
            budget.samples,
            seed,
            precision,
            lambda done, _: callbacks.on_progress(done),
        )
        good = whole & task.check(written)
        found["success"] = float(good.mean())
        found["errors"] = {
            "unfinished": float(1 - whole.mean()),
            "other length": float((whole & ~task.fitting(written)).mean()),
            **(task.mistakes(written[whole]) if whole.any() else {}),
        }
        found["novel"] = _novel(train, written[good])
        texts = task.write(written[:_SHOWN])
        found["samples"] = [[t, bool(ok)] for t, ok in zip(texts, good[:_SHOWN], strict=True)]
    else:
        answered = test.copy()
        likeliest = logits[:, task.given].argmax(axis=1)
        answered[:, task.given] = np.where(likeliest < len(task.alphabet), likeliest, END)
        found["errors"] = task.answers(test, answered)
        texts = task.write(answered[:_SHOWN])
        good = task.check(answered)
        found["success"] = float(good.mean())
        found["samples"] = [[t, bool(ok)] for t, ok in zip(texts, good[:_SHOWN], strict=True)]
    found["seconds"], found["cpu_seconds"] = (round(used, 1) for used in clock.read())
    return found


def write(
    task: Task,
    model: GPT,
    count: int,
    seed: int,
    precision: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Have a model write freely; return strings ``(count, longest)`` and which are whole."""
    drawn = sample(
        model,
        np.array([BOS]),
        count,
        length=task.longest + 2,
        eos=EOS,
        pad=PAD,
        seed=seed,
        precision=precision,
        progress=progress,
    )
    return strings_of(drawn, task.longest)


@torch.inference_mode()
def predict(model: GPT, strings: np.ndarray) -> np.ndarray:
    """Return the probability of each symbol at each place of strings, the true ones before it.

    Returns:
        float32 ``(B, L + 1, symbols + 1)``; the last symbol is the end.
    """
    tokens = torch.from_numpy(tokens_of(strings)[:, :-1]).to(model.head.weight.device)
    parts = [model(part).float().softmax(dim=2).cpu() for part in tokens.split(_ROWS)]
    found = torch.cat(parts).numpy()
    return np.concatenate([found[:, :, _FIRST:], found[:, :, EOS : EOS + 1]], axis=2)


def forced(task: Task, strings: np.ndarray, chances: np.ndarray) -> dict[str, float]:
    """Return how a model does where the rule decides, from what `predict` says.

    "decided": the share of those places where the likeliest symbol is the right one; "term k":
    the share of strings all of whose places in that term are so. "end allowed" and the like: of
    the probability that the model gives to a symbol, the share that falls where it may come.
    """
    rule: Forced = task.forced(strings)
    true = np.pad(strings, ((0, 0), (0, 1)), constant_values=END).astype(int)
    last = chances.shape[2] - 1
    inside = np.pad(strings != END, ((0, 0), (1, 0)), constant_values=True)
    right = chances.argmax(axis=2) == np.where(true == END, last, true)
    found = {}
    if rule.decided.any():
        found["decided"] = float(right[rule.decided & inside].mean())
    for symbol, where in rule.allowed.items():
        given = chances[:, :, last if symbol == END else symbol] * inside
        name = "end" if symbol == END else task.alphabet[symbol]
        found[f"{name} allowed"] = float((given * where).sum() / given.sum())
    if rule.part is not None:
        for part in range(3, int(rule.part.max()) + 1):
            mine = rule.part == part
            found[f"term {part}"] = float((right | ~mine).all(axis=1).mean())
    return found


def words(entry: dict[str, Any]) -> str:
    """Say what an entry of a curve holds."""
    parts = [f"loss {entry['loss']:.3f}"]
    if "success" in entry:
        parts.append(f"{entry['success']:.1%} of samples obey the rule")
    parts += [
        f"{name} {entry[name]['decided']:.1%} right where decided"
        for name in ("train", "test")
        if "decided" in entry.get(name, {})
    ]
    return ", ".join(parts).replace("%", " %")


def _look(
    task: Task,
    model: GPT,
    train: np.ndarray | None,
    test: np.ndarray,
    step: int,
    losses: list[float],
    seed: int,
    budget: Budget,
    precision: str,
) -> dict[str, Any]:
    entry: dict[str, Any] = {"step": step, "loss": float(np.mean(losses))}
    for name, strings in (("train", train), ("test", test)):
        if strings is not None:
            part = strings[:_LOOKED]
            entry[name] = forced(task, part, predict(model, part))
    if budget.samples:
        written, whole = write(task, model, min(_DRAWN, budget.samples), seed, precision)
        entry["success"] = float((whole & task.check(written)).mean())
    return entry


def _novel(train: np.ndarray | None, written: np.ndarray) -> float | None:
    """Return the share of strings that the dataset lacks; None without one."""
    if train is None or not len(written):
        return None
    known = {row.tobytes() for row in train}
    return float(np.mean([row.tobytes() not in known for row in written]))

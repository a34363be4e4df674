"""The tasks and experiments of the lab, by name.

An entry is either made of tasks (strings with a rule, see ``task``), which the lab trains on and
checks itself, or is an experiment of its own: a function ``run(scale, seed, callbacks)`` that
returns rows, dicts with at least

    name      what the row is of, begins with the entry's name
    measured  what was found, in a few words
    lecture   what the lecture found, in a few words
    budget    what it was given, in a line
    values    the numbers behind it, by name; samples (optional): some of what was written

``scale`` is "small" or "lecture"; the callbacks are told the progress, and raise when the user
wants to stop.
To add one, put an Entry with ``run="module:function"`` into `entries`.
"""

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.callbacks import Callbacks
from pipeline.errors import UsageError, nearest
from pipeline.lab.arithmetic import DIGITS, Fibonacci, Fibonacci2, Gcd, ModularAddition
from pipeline.lab.board import Apart
from pipeline.lab.rules import Equal, Twos, parse_pairs
from pipeline.lab.task import SCALES, Budget, Task

Experiment = Callable[[str, int, Callbacks], list[dict[str, Any]]]


@dataclass(frozen=True)
class Entry:
    """One line of `pipeline lab list`.

    Attributes:
        name, title, lecture: what it is, in a line, and what the lecture says of it.
        tasks: by label; the only one of an entry has the label "".
        run: of an experiment, "module:function".
    """

    name: str
    title: str
    lecture: str
    tasks: Mapping[str, Task] | None = None
    run: str = ""

    def experiment(self) -> Experiment:
        """Import and return the experiment's function."""
        module, _, function = self.run.partition(":")
        return getattr(importlib.import_module(module), function)


#: makemore's own default model and training, as in the lecture.
_LECTURE = Budget(strings=100_000, layers=4, width=64, steps=15_000, learning_rate=5e-4)
_FIVE = {
    "1": ("s[18]=s[47]", 0.99),
    "2": ("s[18]=s[-21]", 0.54),
    "3": ("s[-1]=s[-2]", 0.90),
    "4": ("s[18]=s[39],s[31]=s[44],s[4]=s[28]", 0.99),
    "5": ("s[18]=s[39],s[31]=s[44],s[4]=s[-28]", 0.51),
}
_ADDS = "27k parameters, an hour: vaguely like addition; 400k, a day: all shown rows right"
#: "5" says "five" to nobody: digits and the comma under other signs, in no order.
_SIGNS = (*"!#$%&*+:<>@",)
_RELABELLED = (7, 2, 9, 0, 5, 10, 3, 8, 1, 6, 4)


def entries(scale: str = "small") -> list[Entry]:
    """Return all there is, in the lecture's order, with the sizes and budgets of a scale.

    "lecture" is as large as the lecture's own, hours each on a CPU; "small" is what one core does
    in a minute to five: shorter trainings of smaller models, and strings of 50 to 64 for the five
    rules.

    Raises:
        UsageError: an unknown scale.
    """
    if scale not in SCALES:
        raise UsageError(f"--scale {scale}: unknown{nearest(scale, SCALES)}")

    def budget(small: Budget, lecture: Budget = _LECTURE) -> Budget:
        return small if scale == "small" else lecture

    fibonacci = budget(
        Budget(steps=4000, layers=3, width=64, batch=64),
        Budget(layers=8, width=64, steps=150_000, batch=128, learning_rate=1e-3),
    )
    p = 23 if scale == "small" else 97
    most = 999 if scale == "small" else 999_999
    return [
        Entry(
            "text",
            "bigram, averaging and a GPT on Shakespeare's sonnets, side by side",
            "a bigram model babbles, averaging the past helps a little",
            run="pipeline.lab.text:run",
        ),
        _alone(
            Equal(
                "equal-13-22",
                "0/1 strings of length 30 to 40, digit 13 = digit 22",
                "99.7 %",
                (*"01",),
                40,
                chance=0.5,
                figure=0.997,
                budget=budget(
                    Budget(strings=1000, steps=1500, batch=16), replace(_LECTURE, strings=1000)
                ),
                pairs=[(13, 22)],
                shortest=30,
            )
        ),
        Entry(
            "five-rules",
            f"five rules on 0/1 strings of length 50 to {64 if scale == 'small' else 200}",
            "after 15,000 steps 99, 54, 90, 99 and 51 %; after 150,000 all above 99 %",
            {rule: _five(rule, scale) for rule in _FIVE},
        ),
        _alone(
            Twos(
                "one-2",
                "0/1 strings of length 10 to 15 with one 2 at a random place",
                "an attention map",
                (*"012",),
                15,
                chance=0.38,  # (1 - 1/n)^(n - 1): a 2 as often as in the data, at random
                budget=budget(Budget(steps=1500)),
                counts=(1,),
                shortest=10,
            )
        ),
        _alone(
            Twos(
                "zero-or-two-2s",
                "0/1 strings of length 30 to 40, half of them with two 2s",
                "an attention map",
                (*"012",),
                40,
                chance=0.55,  # (1 + 1/2) / e: the number of 2s nearly Poisson's, of mean 1
                budget=budget(Budget(steps=2500)),
                counts=(0, 2),
                shortest=30,
            )
        ),
        _alone(
            Fibonacci(
                "fibonacci",
                "x1, x2 from 1 to 999, each next of seven terms the sum of the two before it",
                _ADDS,
                DIGITS,
                36,
                chance=0.0,
                budget=fibonacci,
            )
        ),
        _alone(
            Fibonacci(
                "fibonacci-relabelled",
                "fibonacci with other signs for the digits and the comma",
                f"no change; {_ADDS}",
                _SIGNS,
                36,
                chance=0.0,
                budget=fibonacci,
                relabelled=_RELABELLED,
            )
        ),
        _alone(
            Fibonacci2(
                "fibonacci-2",
                "x3 = x1+x2, 7s and 8s swapped; x4 = x2+x3+171 backwards, 5s doubled; "
                "x5 = x3+x4 before its first 4",
                "learned completely overnight",
                DIGITS,
                28,
                chance=0.0,
                budget=budget(
                    Budget(steps=4000, layers=3, width=64, batch=64),
                    Budget(layers=6, width=96, steps=150_000, batch=64, learning_rate=1e-3),
                ),
                terms=5,
            )
        ),
        _alone(
            Apart(
                "no-distance-4-5",
                "8x8 boards, filled in order, no two 1s at distance 4 or 5",
                "an attention map; was never told that there is a board",
                (*"01",),
                64,
                chance=0.0,
                side=8,
                budget=budget(Budget(steps=2500, width=48)),
                squares=(16, 25),
            )
        ),
        _alone(
            Gcd(
                "gcd",
                f"two numbers to {most:,} with a random common factor of 1 to 12, and their gcd",
                "can be learned; wrong answers are not absurd (Charton)",
                DIGITS,
                3 * len(str(most)) + 2,
                chance=0.07,  # the commonest gcd, 12, whatever the numbers
                budget=budget(
                    Budget(steps=4000, layers=3, width=64, batch=64),
                    Budget(layers=4, width=128, steps=150_000, batch=128, learning_rate=1e-3),
                ),
                terms=3,
                most=most,
            )
        ),
        Entry(
            "modular-addition",
            f"a + b mod {p}: grokking, with weight decay and without",
            "can be learned; weight decay leads to the simplest rule, eventually",
            {f"decay-{decay:g}": _modular(p, decay, scale) for decay in (1.0, 0.0)},
        ),
        Entry(
            "isosceles-16",
            "greedy attempts at n = 16 without isosceles triangles, and what a model makes of them",
            "a few hundred samples beat the input: max 24, with smaller sizes 25, of 23",
            run="pipeline.lab.isosceles:experiment",
        ),
    ]


def find(spec: str, scale: str = "small", lengths: tuple[int, int] = (30, 40)) -> Entry:
    """Return the entry of a name, of a rule such as ``s[3]=s[-1]``, or of a user's file.

    Args:
        lengths: of the strings of a rule.

    Raises:
        UsageError: an unknown name, or a rule or file that makes no task.
    """
    if spec.endswith(".py"):
        from pipeline.lab.own import load

        return _alone(load(Path(spec)))
    if "[" in spec:
        return _alone(_rule(spec, *lengths))
    known = {entry.name: entry for entry in entries(scale)}
    if spec not in known:
        raise UsageError(
            f"unknown task {spec!r}{nearest(spec, known)} (`pipeline lab list` shows all; a rule "
            "as s[3]=s[-1] or a file as my-rule.py will do too)"
        )
    return known[spec]


def _alone(task: Task) -> Entry:
    return Entry(task.name, task.title, task.lecture, {"": task})


def _five(rule: str, scale: str) -> Equal:
    text, figure = _FIVE[rule]
    pairs = parse_pairs(text)
    return Equal(
        "five-rules",
        text.replace("s[-21]", "s[n-20]").replace(",", ", "),
        f"{figure:.0%} after 15,000 steps, above 99 % after 150,000".replace("%", " %", 1),
        (*"01",),
        64 if scale == "small" else 200,
        chance=0.5 ** len(pairs),
        figure=figure,
        budget=Budget(steps=2500, batch=16) if scale == "small" else _LECTURE,
        pairs=pairs,
        shortest=50,
    )


def _rule(text: str, low: int, high: int) -> Equal:
    pairs = parse_pairs(text)
    return Equal(
        re.sub(r"[^a-z0-9-]+", "-", text.lower().replace("=", "-is-")).strip("-"),
        f"0/1 strings of length {low} to {high}, {text}",
        "-",
        (*"01",),
        high,
        chance=0.5 ** len(pairs),
        budget=Budget(steps=1200),
        pairs=pairs,
        shortest=low,
    )


def _modular(p: int, decay: float, scale: str) -> ModularAddition:
    small = scale == "small"
    return ModularAddition(
        "modular-addition",
        f"a + b mod {p}, {0.8 if small else 0.5:.0%} of all pairs to train on, decay {decay:g}",
        "can be learned; weight decay leads to the simplest rule, eventually",
        tuple(map(str, range(p))),
        3,
        chance=1 / p,
        budget=Budget(
            strings=p * p,
            layers=1,
            width=64 if small else 128,
            steps=3000 if small else 40_000,
            batch=128 if small else 512,
            learning_rate=3e-3 if small else 1e-3,
            weight_decay=decay,
            samples=0,
            looks=40,
        ),
        given=2,
        p=p,
        # So small a table needs most of its entries shown before the rest follow from a rule.
        share=0.8 if small else 0.5,
    )

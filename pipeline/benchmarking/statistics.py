"""What may be said of arms at equal compute: pairs, an exact sign test, summaries by size.

Arms are compared in pairs of the same size and rng seed.
"""

import itertools
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from functools import partial

from pipeline.benchmarking.results import Result

#: The level below which an arm is called ahead or behind.
LEVEL = 0.05
#: The same score counts as ahead when it took less than this share of the other's CPU time.
FASTER = 0.8
#: CPU time beyond the budget that is no longer called equal compute.
TOLERANCE = 1.1


def sign_test(ahead: int, behind: int) -> float:
    """Return the p-value of the exact two-sided sign test; ties are left out beforehand.

    The chance that fair coins, ``ahead + behind`` of them, fall at least as far from even.
    Source: J. Arbuthnot, 1710; W. J. Conover, Practical Nonparametric Statistics, section 3.4.
    """
    count = ahead + behind
    tail = sum(math.comb(count, k) for k in range(min(ahead, behind) + 1))
    return min(1.0, 2 * tail / 2**count)


@dataclass(frozen=True)
class Pairs:
    """How an arm did against the control, in pairs of the same size and rng seed."""

    ahead: int = 0
    tied: int = 0
    behind: int = 0

    def __add__(self, other: "Pairs") -> "Pairs":
        """Return the pairs of both."""
        return Pairs(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def count(self) -> int:
        """How many pairs there are, ties included."""
        return self.ahead + self.tied + self.behind

    @property
    def p(self) -> float:
        """The p-value of the exact two-sided sign test."""
        return sign_test(self.ahead, self.behind)

    @property
    def word(self) -> str:
        """``ahead`` or ``behind`` where the test decides, else ``not decided``."""
        if self.p >= LEVEL:
            return "not decided"
        return "ahead" if self.ahead > self.behind else "behind"

    @property
    def missing(self) -> int:
        """How many more pairs would decide it, if all went the way most did; 0 if it is decided."""
        high, low = max(self.ahead, self.behind), min(self.ahead, self.behind)
        return next(k for k in itertools.count() if sign_test(high + k, low) < LEVEL)


def compared(one: Result, other: Result) -> int:
    """Return 1 if ``one`` is ahead, -1 if it is behind, 0 if the two are tied.

    The higher best is ahead; of the same best, the one reached in less than 0.8 of the CPU time.
    """
    if one.score != other.score:
        return 1 if one.score > other.score else -1
    first, second = one.reached(one.score), other.reached(other.score)
    if math.isinf(first) or math.isinf(second):
        return 0
    return (first < FASTER * second) - (second < FASTER * first)


def compared_by_yield(one: Result, other: Result, score: int) -> int:
    """Return 1 if ``one`` is ahead, -1 if it is behind, 0 if the two are tied.

    Ahead is what has more constructions of this score or more, if the other has less than 0.8 of
    them.
    """
    first, second = one.count(score), other.count(score)
    return (second < FASTER * first) - (first < FASTER * second)


def pairs_of(
    arm: Sequence[Result],
    control: Sequence[Result],
    compare: Callable[[Result, Result], int] = compared,
) -> Pairs:
    """Count the pairs of the same size and rng seed."""
    others = {(result.n, result.seed): result for result in control}
    found = [
        compare(result, others[result.n, result.seed])
        for result in arm
        if (result.n, result.seed) in others
    ]
    return Pairs(found.count(1), found.count(0), found.count(-1))


def verdict(arm: str, control: str, pairs: Pairs) -> str:
    """Say in a sentence what the pairs allow to be said, and no more."""
    if not pairs.count:
        return f"{arm} and {control} have no pair of the same rng seed: not decided."
    parts = [f"{arm} ahead of {control} in {pairs.ahead} of {pairs.count} pairs"]
    parts += [f"tied in {pairs.tied}"] if pairs.tied else []
    parts += [f"behind in {pairs.behind}"] if pairs.behind else []
    text = f"{', '.join(parts)} (sign test p = {pairs.p:.2g}): {pairs.word}"
    if pairs.word != "not decided":
        return f"{text}."
    ways = (pairs.ahead >= pairs.behind, pairs.behind >= pairs.ahead)
    way = {(True, False): "ahead", (False, True): "behind"}.get(ways, "one way")
    return f"{text} at this number of rng seeds; {pairs.missing} more, all {way}, would decide it."


@dataclass(frozen=True)
class ArmSummary:
    """How an arm did at one size."""

    arm: str
    results: tuple[Result, ...]  # by rng seed
    reached: int | None  # runs that reached the target; None where there is no target
    reached_at_once: int  # runs that did so in round 0
    # Median CPU seconds to the control's median best; infinity where most runs never had it.
    cpu_to_control_median: float
    pairs: Pairs | None  # None for the control itself
    # By rng seed, the constructions of the target's score or more; None where they play no part.
    counts: tuple[int, ...] | None = None

    @property
    def scores(self) -> list[int]:
        """The best of each run."""
        return [result.score for result in self.results]

    @property
    def median(self) -> float:
        """The median best."""
        return statistics.median(self.scores)


@dataclass(frozen=True)
class SizeSummary:
    """All arms at one size; arms without a result are left out."""

    n: int
    target: int | None
    control_median: int | None  # its median best (the lower one of an even number)
    arms: tuple[ArmSummary, ...]

    @property
    def too_early(self) -> str:
        """Say in how many runs the target was reached before a generator had a part in it."""
        early = [(each.arm, each.reached_at_once, len(each.results)) for each in self.arms]
        found = [f"{arm} in {many} of {runs} runs" for arm, many, runs in early if many]
        if not found:
            return ""
        what = f"{self.target} was reached in round 0, before a generator was asked"
        return f"{what}: {', '.join(found)}."


def summary(
    results: Sequence[Result],
    n: int,
    arms: Sequence[str],
    control: str,
    target: int | None,
    measure: str = "best",
) -> SizeSummary:
    """Compare the arms at one size."""
    score = target if measure == "yield" else None
    by = compared if score is None else partial(compared_by_yield, score=score)
    by_arm = {
        arm: sorted((r for r in results if (r.arm, r.n) == (arm, n)), key=lambda r: r.seed)
        for arm in arms
    }
    scores = [result.score for result in by_arm[control]]
    middle = statistics.median_low(scores) if scores else None
    found = [
        ArmSummary(
            arm=arm,
            results=tuple(runs),
            reached=None if target is None else sum(r.score >= target for r in runs),
            reached_at_once=0 if target is None else sum(r.reached_at_once(target) for r in runs),
            cpu_to_control_median=math.inf
            if middle is None
            else statistics.median(r.reached(middle) for r in runs),
            pairs=None if arm == control else pairs_of(runs, by_arm[control], by),
            counts=None if score is None else tuple(result.count(score) for result in runs),
        )
        for arm, runs in by_arm.items()
        if runs
    ]
    return SizeSummary(n, target, middle, tuple(found))


def verdicts(sizes: Sequence[SizeSummary]) -> list[tuple[int | None, str, Pairs]]:
    """Return size, arm and pairs of each verdict, then those over all sizes, if there are more.

    The size of a verdict over all sizes is None.
    """
    found: list[tuple[int | None, str, Pairs]] = []
    total: dict[str, Pairs] = {}
    for size in sizes:
        for each in size.arms:
            if each.pairs is not None:
                found.append((size.n, each.arm, each.pairs))
                total[each.arm] = total.get(each.arm, Pairs()) + each.pairs
    if len(sizes) > 1:
        found += [(None, arm, pairs) for arm, pairs in total.items()]
    return found


def curve(results: Sequence[Result], end: float) -> list[tuple[float, float, float, float]]:
    """Return (CPU seconds, lowest, median, highest best so far) at each change, and at ``end``.

    It begins where every run has found something; runs that stopped early keep what they have.
    """
    moments = sorted({step.cpu for result in results for step in result.trace})
    rows: list[tuple[float, float, float, float]] = []
    for cpu in moments:
        so_far = [[s.score for s in result.trace if s.cpu <= cpu] for result in results]
        if all(so_far):
            bests = [scores[-1] for scores in so_far]
            rows.append((cpu, min(bests), statistics.median(bests), max(bests)))
    if rows and rows[-1][0] < end:
        rows.append((end, *rows[-1][1:]))
    return rows


def at_equal_compute(
    results: Sequence[Result], budgets: Sequence[float]
) -> tuple[list[Result], float, list[str]]:
    """Cut results at the smallest of their budgets.

    Args:
        budgets: the limit of each run, in CPU seconds; 0 for no limit.

    Returns:
        (the results, the budget or infinity, what keeps this from being at equal compute).
    """
    budget = min((b for b in budgets if b), default=math.inf)
    cut = [result.within(budget) for result in results]
    found = []
    if len(set(budgets)) > 1 or 0 in budgets:
        listed = ", ".join(f"{b:g}" if b else "none" for b in sorted(set(budgets)))
        then = f"; compared at {budget:g}" if budget < math.inf else ""
        found.append(f"not at equal compute: budgets of CPU seconds: {listed}{then}")
    top = {n: max(r.score for r in cut if r.n == n) for n in {r.n for r in cut}}
    for arm in dict.fromkeys(result.arm for result in cut):
        most = max(r.cpu for r in cut if r.arm == arm)
        if most > TOLERANCE * budget:
            text = f"{arm} used up to {most:.0f} CPU seconds of {budget:g}"
            found.append(f"{text}; what it found after them does not count")
        least = min((r.cpu for r in cut if r.arm == arm and r.score < top[r.n]), default=math.inf)
        if least < budget / TOLERANCE < math.inf:
            text = f"{arm} stopped after {least:.0f} CPU seconds of {budget:g}, not at the best"
            found.append(f"not at equal compute: {text}")
    if any(not result.trace for result in results):
        found.append("some runs have no trace of CPU seconds; the same best counts as tied there")
    if len({result.revision for result in results}) > 1:
        found.append("not all runs were made by the same revision of this program")
    return cut, budget, found

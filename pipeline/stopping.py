"""When a run stops: rules that are asked between rounds, and the clock that search looks at."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from pipeline.callbacks import Callbacks
from pipeline.config import BudgetConfig
from pipeline.state import State

#: The stages that search for constructions, whose finds are kept however they end.
_SEARCHES = ("improve", "explore")
_LEAST = 1.0  # seconds that a session has for its work, whatever loading took


class StoppingRule(Protocol):
    """Asked after each round whether the run is to stop; any function of a state is one."""

    def __call__(self, state: State) -> bool:
        """Tell whether to stop."""
        ...


class Rounds:
    """Stop after so many rounds beside the seeding."""

    def __init__(self, most: int) -> None:
        self.most = most

    def __call__(self, state: State) -> bool:
        return state.round >= self.most


class Target:
    """Stop at a score of size n."""

    def __init__(self, score: int) -> None:
        self.score = score

    def __call__(self, state: State) -> bool:
        return len(state.pool) > 0 and state.best() >= self.score

    def why(self, state: State) -> str:
        """Say that it is reached."""
        return f"ended: the target {self.score} is reached (by default what is proved the most)"


class AnyOf:
    """Stop as soon as one of several rules says so."""

    def __init__(self, rules: Sequence[StoppingRule]) -> None:
        self.rules = list(rules)

    def __call__(self, state: State) -> bool:
        return any(rule(state) for rule in self.rules)

    def why(self, state: State) -> str:
        """Return why a run has ended, where a rule has something to say of it; or nothing."""
        rules = [rule for rule in self.rules if rule(state)]
        told = (rule.why(state) for rule in rules if isinstance(rule, Target | TimeLimit))
        return next(filter(None, told), "")


class Clock:
    """Counts from ``start`` on, and tells when a limit is passed."""

    def __init__(self, seconds: float = 0.0, cpu: float = 0.0, spent: float = 0.0) -> None:
        """Take limits in seconds and CPU seconds of all processes, 0 for none.

        Args:
            spent: seconds that have gone already.
        """
        self._limits = (seconds, cpu)
        self.cut_short = False
        self._workers: Callable[[], float] = lambda: 0.0
        self.start(spent)

    def start(self, spent: float = 0.0) -> None:
        """Begin to count.

        Args:
            spent: seconds that have gone already; of a limit in seconds one is left in any case.
        """
        limit = self._limits[0]
        spent = max(min(spent, limit - _LEAST), 0.0) if limit else spent
        self._began, self._cpu_began = time.monotonic() - spent, time.process_time()
        self._before, self.cut_short = -self._workers(), False

    def seconds(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self._began

    def cpu(self) -> float:
        """Return the CPU seconds of this process and of the workers."""
        return time.process_time() - self._cpu_began + self._workers() + self._before

    def watch(self, workers: Callable[[], float]) -> None:
        """Count the CPU seconds of an executor's workers, those of tasks under way included.

        Args:
            workers: returns them (``Executor.cpu``); from now on they count.
        """
        self._before += self._workers() - workers()
        self._workers = workers

    def left(self) -> float:
        """Return the seconds until the limit, infinity without one."""
        return self._limits[0] - self.seconds() if self._limits[0] else math.inf

    def cpu_left(self) -> float:
        """Return the CPU seconds until the limit, infinity without one."""
        return self._limits[1] - self.cpu() if self._limits[1] else math.inf

    def over(self) -> bool:
        """Tell whether a limit is passed; who asks stops then, which is remembered."""
        passed = self.left() < 0 or self.cpu_left() < 0
        self.cut_short = self.cut_short or passed
        return passed

    def cpu_over(self) -> bool:
        """Tell whether the limit of CPU seconds is passed, which is remembered likewise."""
        passed = self.cpu_left() < 0
        self.cut_short = self.cut_short or passed
        return passed


class TimeUp(Exception):
    """A round cannot end in time; its text says why. The round is dropped."""


class TimeLimit(Callbacks):
    """Stops a run at its limits of time and CPU time, between rounds and within them.

    A search that is cut short keeps what it has found. Under a limit of time, a round with
    candidates of a generator is kept whole or not at all: it is not begun where the longest so far
    would not fit, and it is dropped as soon as a stage of it is seen to need more than is left.
    Under a limit of CPU time a round is dropped where that is up before its search begins: nothing
    has been found by then. A generator that tells no progress is asked to the end.
    """

    #: Steps, and seconds, of a stage after which the time of the rest is estimated.
    _STEPS, _SECONDS = 20, 1.0

    def __init__(self, clock: Clock, generates: bool, aim: str = "the generator was asked") -> None:
        """Watch a clock.

        Args:
            generates: whether rounds have candidates.
            aim: what comes after the seeding, for a message.
        """
        self._clock, self._generates, self._aim = clock, generates, aim
        self._inside = self._asking = False
        self._stage, self._total, self._began = "", 0, 0.0
        self._longest = 0.0

    def __call__(self, state: State) -> bool:
        """Tell whether a limit is passed, or the next round would pass one."""
        return self._clock.left() < self._longest or self._clock.cpu_left() < 0

    def why(self, state: State) -> str:
        """Say that the seeding took all of it, where a generator was to be asked."""
        if state.round or not self._generates:
            return ""
        what = "CPU time" if self._clock.cpu_left() < 0 else "time"
        return f"the {what} was up in round 0, before {self._aim}"

    def on_round_start(self, number: int) -> None:
        """From now on a round that cannot end in time is dropped; the seeding never is."""
        self._asking = self._generates and number > 0
        self._inside = self._generates and number > 0 and self._clock.left() < math.inf

    def on_round(self, state: State, seconds: float, cpu: float) -> None:
        """Remember how long a round took."""
        self._inside = self._asking = False
        if self._generates and state.round:
            self._longest = max(self._longest, seconds)

    def on_stage(self, name: str, total: int, n: int | None = None) -> None:
        """See whether there is time left for a stage."""
        self._stage, self._total, self._began = name, total, time.monotonic()
        self._check(0)
        self._asking = self._asking and name not in _SEARCHES

    def on_progress(self, done: int, best: int | None = None, loss: float | None = None) -> None:
        """See whether there is time left for the rest of a stage."""
        self._check(done)

    def check_round(self) -> None:
        """Drop a round whose search was cut short.

        Raises:
            TimeUp: it was.
        """
        if self._inside and self._clock.cut_short:
            raise TimeUp("its search did not end in time")

    def _check(self, done: int) -> None:
        if self._asking and self._clock.cpu_left() < 0:
            raise TimeUp("the CPU time is up")
        if not self._inside:
            return
        left, spent = self._clock.left(), time.monotonic() - self._began
        known = done >= self._STEPS and spent > self._SECONDS
        need = spent / done * (self._total - done) if known else 0.0
        if left < 0:
            raise TimeUp("the time is up")
        if need > left:
            raise TimeUp(f"{self._stage} would take {need:.0f} s more, {left:.0f} are left")


def make_stop(budget: BudgetConfig, limit: TimeLimit) -> AnyOf:
    """Return the stopping rules that a budget asks for."""
    rules: list[Any] = [Rounds(budget.rounds), limit]
    return AnyOf([*rules, Target(budget.target)] if budget.target else rules)

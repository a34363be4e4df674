"""The log of a run, events.jsonl: a line for each thing that happened."""

import time
from typing import Any, Protocol

from pipeline.callbacks import STAGES, Callbacks
from pipeline.state import State

_EVERY = 2.0  # seconds between two lines of progress
_OF_THE_MODEL = ("train", "sample", "feedback")


class Log(Protocol):
    """What keeps a line for each thing that happened: a run, or a run of the lab."""

    def event(self, kind: str, **particulars: Any) -> None:
        """Append a line."""
        ...


class EventLog(Callbacks):
    """Writes what happens into a log."""

    def __init__(self, log: Log, rounds: int = 0, processes: int = 0) -> None:
        """Take where to write.

        Args:
            rounds: that the run will have; 0 where that is not known.
            processes: that search has to itself, to tell how busy they are; 0 for none.
        """
        self._log, self._rounds, self._processes = log, rounds, processes
        self._logged, self._where = 0.0, ""
        self._stage, self._since, self._model = "", time.monotonic(), 0.0
        self._others: tuple[float, float] | None = None

    def on_round_start(self, number: int) -> None:
        known = 0 < self._rounds < 10_000
        self._where = f"round {number}" + (f" of {self._rounds}" if known else "")

    def on_stage(self, name: str, total: int, n: int | None = None) -> None:
        self._logged = time.monotonic()
        self._turn(name)
        size = {} if n is None else {"n": n}
        title = STAGES.get(name, name)
        used = {"process_cpu": round(time.process_time(), 3)}  # of this process, which trains
        self._log.event(
            "stage", name=name, title=title, total=total, where=self._where, **used, **size
        )

    def on_progress(self, done: int, best: int | None = None, loss: float | None = None) -> None:
        now = time.monotonic()
        if now - self._logged > _EVERY:
            self._logged = now
            self._log.event("progress", done=done)

    def on_best(self, n: int, score: int, origin: str, cpu: float) -> None:
        self._log.event("best", n=n, score=score, origin=origin, cpu=round(cpu, 3))

    def on_metrics(self, **values: float) -> None:
        self._log.event("trained", **values)

    def on_note(self, text: str) -> None:
        self._log.event("note", text=text)

    def on_detail(self, text: str) -> None:
        self._log.event("note", text=text)  # which `pipeline show` prints

    def on_round(self, state: State, seconds: float, cpu: float) -> None:
        best = state.stats["pool"][str(state.n)]["max"]
        took = {"seconds": round(seconds, 3), **self._busy(seconds, cpu)}
        self._log.event("round", number=state.round, best=best, **took)
        self._log.event("cpu", cpu=round(cpu, 3))

    def _turn(self, stage: str) -> None:
        now = time.monotonic()
        if self._stage in _OF_THE_MODEL:
            self._model += now - self._since
        self._stage, self._since = stage, now

    def _busy(self, seconds: float, cpu: float) -> dict[str, float]:
        """Return the shares of a round's time that the model and the search processes worked."""
        self._turn("")
        model, self._model = self._model, 0.0
        before, self._others = self._others, (time.monotonic(), cpu - time.process_time())
        shares = {"model_busy": round(model / max(seconds, 1e-9), 3)}
        if before is not None and self._processes:
            now, used = self._others
            share = (used - before[1]) / (self._processes * max(now - before[0], 1e-9))
            shares["search_busy"] = round(share, 3)
        return shares

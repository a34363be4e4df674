"""When a run found what, by its log: seconds and CPU seconds, its sessions one after another."""

from datetime import datetime
from typing import NamedTuple

from pipeline.storage.run import Run

_STARTED = "%Y-%m-%dT%H:%M:%S%z"


class Moment(NamedTuple):
    """How long a run had been running when something happened, its sessions one after another."""

    seconds: float
    cpu: float | None


class Find(NamedTuple):
    """A score that had not been reached before."""

    at: Moment
    score: int
    origin: str


def timeline(run: Run) -> tuple[list[Find], dict[int, Moment]]:
    """Return the finds, and when each round ended, by number; breaks between sessions left out."""
    sessions = run.info["sessions"]
    starts = [datetime.strptime(s["started"], _STARTED).timestamp() for s in sessions]
    finds: list[Find] = []
    ended: dict[int, Moment] = {}
    session, before, cpu_before = 0, 0.0, 0.0
    last, cpu = starts[0], 0.0
    closing: int | None = None  # the round whose CPU seconds come next
    for event in run.events():
        moment = float(event.get("time", last))
        while session + 1 < len(starts) and moment >= starts[session + 1]:
            before += last - starts[session]
            cpu_before, cpu, closing = cpu_before + cpu, 0.0, None
            session += 1
            last = starts[session]
        last = max(last, moment)
        seconds = before + last - starts[session]
        cpu = max(cpu, float(event.get("cpu", 0.0)))
        kind = event.get("event")
        if kind == "best" and event.get("n") == run.config.n:
            score = int(event["score"])
            if not finds or score > finds[-1].score:
                finds.append(Find(Moment(seconds, cpu_before + cpu), score, event["origin"]))
        elif kind == "round":
            closing = int(event["number"])
            ended[closing] = Moment(seconds, None)
        elif kind == "cpu" and closing is not None:
            ended[closing] = Moment(ended[closing].seconds, cpu_before + cpu)
    return finds, ended

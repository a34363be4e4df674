"""A row for each run in a directory, from its small files and stored scores alone."""

from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.storage import files
from pipeline.storage.finding import all_runs
from pipeline.storage.run import Run

#: A search with a time limit has more rounds than this in its budget, which mean nothing.
UNBOUNDED = 10_000


def listing(root: Path) -> list[dict[str, Any]]:
    """Return a row for each run under ``root``, oldest first; of a damaged one an error."""
    return [row(path) for path in all_runs(root)]


def row(path: Path) -> dict[str, Any]:
    """Say of a run its problem, state, best score, time in seconds and size in bytes.

    Its state is "running" while a process holds it, "done" when its last session used its budget
    or reached its target, "stopped" when it can be taken up again, or "damaged".
    """
    found: dict[str, Any] = {"run": path.name, "path": str(path), "bytes": files.size(path)}
    try:
        return found | _of(Run(path))
    except PipelineError as error:
        return found | {"state": "damaged", "error": str(error)}
    # A run may come from anywhere, and one that holds anything at all must not hide the others.
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        text = f"{path} is damaged ({type(error).__name__}); restore it from a copy, or remove it"
        return found | {"state": "damaged", "error": text}


def _of(run: Run) -> dict[str, Any]:
    config, sessions = run.config, run.info["sessions"]
    rounds = run.rounds()
    best = run.bests().get(config.n)
    seconds = round(sum(run.seconds(k) for k in range(len(sessions))), 1)
    return {
        "problem": config.problem,
        "n": config.n,
        "state": _state(run, rounds, best),
        "rounds": len(rounds) - 1 if rounds else None,
        "of": config.budget.rounds,
        "best": best,
        "seconds": max(seconds, 0.0),
    }


def _state(run: Run, rounds: list[int], best: int | None) -> str:
    if run.is_held():
        return "running"
    budget, last = run.config.budget, run.info["sessions"][-1]
    if not rounds:
        return "stopped"
    if rounds[-1] >= budget.rounds or (budget.target and (best or 0) >= budget.target):
        return "done"
    # Only the session itself knows whether the clock has ended it.
    timed = bool(budget.time or budget.cpu)
    return "done" if timed and last.get("ended") == "done" else "stopped"

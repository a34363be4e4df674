"""Carrying on with a run in this process, as `pipeline resume` does, without the command line."""

import contextlib
import time
from collections.abc import Callable
from typing import Any

from pipeline.assembly import build
from pipeline.callbacks import Callbacks
from pipeline.errors import PipelineError
from pipeline.executors import Serial
from pipeline.plugins import load_problem
from pipeline.report.best_files import BestFiles
from pipeline.storage import inputs
from pipeline.storage.event_log import EventLog
from pipeline.storage.run import Run
from pipeline.storage.run_store import RunStore


class OnStage(Callbacks):
    """Calls a function as each stage begins."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self._act = act

    def on_stage(self, name: str, total: int, n: int | None = None) -> None:
        self._act()


def carry_on(run: Run, *listeners: Callbacks) -> None:
    """Carry on with a run that is held, until its budget is used."""
    problem = load_problem(run.config.problem, run.config.convention or None)
    arrays = inputs.arrays(inputs.stored_files(run.config, run.path))
    parts = build(problem, run.config, Serial(), arrays=arrays)
    parts.callbacks.listeners += [EventLog(run), BestFiles(run, problem), *listeners]
    began, ended = time.monotonic(), "stopped"
    try:
        parts.run(RunStore(run, problem, parts.clock))
        ended = "done"
    finally:
        with contextlib.suppress(PipelineError):
            run.end_session(ended, time.monotonic() - began)

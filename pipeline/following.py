"""A process that does not lead: it builds the model of the one that does, and waits for rounds.

It makes no folder and prints nothing.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.callbacks import Callbacks
from pipeline.config import MODELS, config_from
from pipeline.core.untrusted import parse_json
from pipeline.errors import PipelineError
from pipeline.executors import ENDING
from pipeline.generators.registry import make_generator
from pipeline.problem import Problem
from pipeline.ranks import Place, place


def main() -> None:
    """Follow the process that started this one; it names the problem on stdin."""
    spec, convention = parse_json(sys.stdin.buffer.readline() or b'["", ""]', "stdin")
    threading.Thread(target=_end_with_the_leader, daemon=True).start()
    found = place()
    assert found is not None

    def problem() -> Problem:
        from pipeline.plugins import load_problem

        return load_problem(spec, convention or None)

    follow(found, problem)


def follow(found: Place, problem: Callable[[], Problem]) -> None:
    """Train and sample with the process that leads until it ends, then end this process.

    What is done comes from the one that leads, data alone: the problem is the one that this
    process was told by its own command line or pipe.

    Args:
        found: which process this is.
        problem: loads it.
    """
    for name in ENDING:
        signal.signal(getattr(signal, name), lambda *_: os._exit(0))
    code = 0
    try:
        _follow(found, problem)
    except BaseException as error:  # noqa: BLE001 - the one that leads has to hear of it
        code = 1
        if os.environ.get("PIPELINE_DEBUG"):
            import traceback

            traceback.print_exception(error)
    os._exit(code)  # whatever threads of torch still wait for others


def _follow(found: Place, problem: Callable[[], Problem]) -> None:
    from pipeline.model.companions import Companion
    from pipeline.model.parallel import Lost

    try:
        companion = Companion(found)
    except RuntimeError:
        return  # the one that leads has gone
    try:
        told = companion.told()
        if told is None:
            return
        config = config_from(told["config"], "what the first process says")
        if config.generator not in MODELS:
            raise PipelineError(f"the generator {config.generator} has no model to share")
        mask = told["mask"]
        generator: Any = make_generator(config, None if mask is None else np.array(mask, np.bool_))
        generator.setup(problem(), config, Callbacks())
        group = companion.joined(generator.device)
        if group is None:
            return
        for name in ENDING:  # the one that leads decides what a signal means
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        generator.follow(group)
        group.close()
    except Lost:
        return
    except PipelineError as error:
        companion.failed(str(error))
    except Exception as error:
        companion.failed(f"process {found.rank} of {found.size}: {type(error).__name__}: {error}")
        raise


def _end_with_the_leader() -> None:
    """End when the pipe closes, which it does however the process at its other end ended."""
    with contextlib.suppress(OSError):
        sys.stdin.buffer.read()
    os._exit(0)

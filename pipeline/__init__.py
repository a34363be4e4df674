"""A generate-filter-retrain search pipeline for extremal combinatorics.

::

    import pipeline

    result = pipeline.run("isosceles", n=16, rounds=2)
    print(result.best(), result.histogram())

`run`, `search`, `solve`, `exchange`, `compare`, `campaign` and `verify` do the work; `Problem`,
`WordProblem` and `Generator` are what a problem and a model of one's own extend. Importing this
loads nothing heavy and changes nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.api import Proof, Verdict, campaign, compare, open_run, run, search, solve, verify
    from pipeline.callbacks import Callbacks
    from pipeline.config import Config
    from pipeline.core.population import Population
    from pipeline.errors import PipelineError
    from pipeline.exchanging import Exchanged, exchange
    from pipeline.generators.base import Generator
    from pipeline.plugins import load_problem
    from pipeline.problem import Problem
    from pipeline.result import Found, Histogram, Result
    from pipeline.state import State
    from pipeline.storage.run import Run
    from pipeline.words import WordProblem

__version__ = "0.1.0"

__all__ = [
    "Callbacks",
    "Config",
    "Exchanged",
    "Found",
    "Generator",
    "Histogram",
    "PipelineError",
    "Population",
    "Problem",
    "Proof",
    "Result",
    "Run",
    "State",
    "Verdict",
    "WordProblem",
    "campaign",
    "compare",
    "exchange",
    "load_problem",
    "open_run",
    "run",
    "search",
    "solve",
    "verify",
]

#: Where each public name is defined.
_HOMES = {
    **dict.fromkeys(("Proof", "Verdict", "campaign", "compare", "open_run"), "api"),
    "run": "api",
    "search": "api",
    **dict.fromkeys(("Found", "Histogram", "Result"), "result"),
    "solve": "api",
    "verify": "api",
    "Callbacks": "callbacks",
    "Config": "config",
    "Generator": "generators.base",
    **dict.fromkeys(("Exchanged", "exchange"), "exchanging"),
    "PipelineError": "errors",
    "Population": "core.population",
    "Problem": "problem",
    "Run": "storage.run",
    "State": "state",
    "WordProblem": "words",
    "load_problem": "plugins",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
    return getattr(importlib.import_module(f"pipeline.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

"""Search at large in the background, while the generator is at work."""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

from pipeline.core.population import Population
from pipeline.engine.explore import Explorer


class Beside:
    """A round's search at large, on a thread of its own, from the pools that the round begins with.

    It does the tasks of a round at least, and goes on until the generator is done, so that the
    cores have work as long as the model has. How many tasks that is depends on the clock, and the
    results with it. The generator knows nothing of what is found meanwhile: in the next round it
    does, so no pool that it learns from is older than a round.
    """

    def __init__(
        self,
        explorer: Explorer,
        n: int,
        number: int,
        pools: Mapping[int, Population],
        arms: tuple[Mapping[str, Any], ...],
    ) -> None:
        """Take what to search: size n in a round, beside smaller sizes."""
        self.pool, self.arms = pools[n], arms
        self._done, self._left = threading.Event(), threading.Event()
        self._explorer, self._thread = explorer.beside(self._left.is_set), ThreadPoolExecutor(1)
        smaller = {k: pool for k, pool in pools.items() if k < n}
        self._what = (n, number, pools[n], arms, smaller)

    def __enter__(self) -> "Beside":
        self._found = self._thread.submit(
            self._explorer.explore, *self._what, more=lambda: not self._done.is_set()
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Wait for the tasks under way; where the generator failed they are told to come back.

        Raises:
            PipelineError: what the search has raised, where the generator has not.
        """
        if kind is not None:
            self._left.set()
        self._done.set()
        self._thread.shutdown()
        if kind is None:
            self.pool, self.arms = self._found.result()

"""What is kept from round to round: of each size the best, no two equivalent."""

from collections.abc import Mapping

from pipeline.config import Config
from pipeline.core.ground_set import GroundSet
from pipeline.core.population import Population, distinct
from pipeline.core.symmetry import canonical


class Selection:
    """Keeps the best constructions of each size."""

    def __init__(self, config: Config, grounds: Mapping[int, GroundSet]) -> None:
        """Take what a configuration allows for each size."""
        self.limits = {n: config.quota(n) for n in grounds}
        self._grounds = grounds

    def best(self, n: int, *populations: Population) -> Population:
        """Return the best of all, as many as are kept.

        Of equivalent ones the first stays, and with it where it came from: what is found again is
        credited to whoever found it first, and what was imported stays so.

        Args:
            populations: in the order in which they were found.
        """
        found = Population.concat(populations)
        return distinct(found, canonical(found.cells, self._grounds[n])).top(self.limits[n])

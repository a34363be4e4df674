"""Generators without a model: elites perturbed, fresh starts, and none at all."""

import math

import numpy as np

from pipeline.core.bitset import pack, unpack, width
from pipeline.core.population import Population
from pipeline.generators.base import Generator
from pipeline.state import State


class Perturb(Generator):
    """Elites of the pool, each less a random share of its elements."""

    def ask(self, state: State) -> Population:
        elites, rng, m = state.pool, state.rng, state.pool.m
        count = self.config.sample.count if len(elites) else 0
        low, high = self.config.perturb.least, self.config.perturb.most
        of = rng.integers(max(len(elites), 1), size=count)
        bits = unpack(elites.cells[of], m)
        for row in bits:
            members = rng.permutation(np.flatnonzero(row))
            least, most = math.ceil(low * len(members)), int(high * len(members))
            row[members[: rng.integers(least, max(most, least) + 1)]] = False
        cells = pack(bits) if count else np.zeros((0, width(m)), np.uint8)
        parent, imported = elites.ids()[of], elites.imported[of]
        return Population.build(state.n, m, cells, 0, parent=parent, imported=imported)


class Restart(Generator):
    """Empty sets: each is a start from nothing for search."""

    def ask(self, state: State) -> Population:
        m = state.pool.m  # a population, which says that none descends from what was imported
        cells = np.zeros((self.config.sample.count, width(m)), np.uint8)
        return Population.build(state.n, m, cells, 0)


class Nothing(Generator):
    """No candidates: the run is search alone."""

    def ask(self, state: State) -> np.ndarray:
        return np.zeros((0, state.pool.m), np.bool_)

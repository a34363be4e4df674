"""The rounds of a run, without a file system and without torch: seed, propose, search, keep.

What the proposals are is what tells runs apart: elites perturbed, fresh starts, nothing, or (see
``loop``) what a model has written. All else is the same for all of them.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.core import streams
from pipeline.core.bitset import ids, pack, unpack, width
from pipeline.core.population import Population
from pipeline.core.score_stats import distribution
from pipeline.core.symmetry import canonical
from pipeline.errors import UsageError
from pipeline.executors.local import never
from pipeline.search.portfolio import Arm
from pipeline.search.space import usable_classes
from pipeline.search.tasks import Shard
from pipeline.workshop import State, Workshop

#: Constructions in one shard, by method: a fraction of a second of work.
_SHARD = {"anneal": 25, "greedy": 1000, "complete": 200, "climb": 25, "neighbourhood": 25}
#: What bounds the search on one sample, unless the configuration says otherwise.
_IMPROVE = {"anneal": 200_000, "climb": 3000, "neighbourhood": 300, "complete": 0}
#: Constructions at n in round 0, unless the configuration says otherwise.
_SEEDS = {"anneal": 3000, "greedy": 20_000}
#: The least and the largest share of an elite that a perturbation takes out.
_DROPPED = (0.1, 0.5)


class Rounds(Workshop):
    """The rounds of one run, over a problem, a configuration and an executor."""

    def prepare(self) -> None:
        """Say what search goes without, and compile what this run needs."""
        n, seeding, search = self.config.n, self.config.seeding, self.config.search
        cells = np.zeros((1, width(self.grounds[n].m)), np.uint8)
        state = np.zeros(1, np.uint64)
        explores = seeding.method == "portfolio" or search.batches > 0
        fields = self.fields(n, {})
        arms = self.arms(n, fields) if explores else []
        shards = self.samples_of(arms, fields)
        if seeding.method != "portfolio":
            shards.append(self.shard(n, "trivial", seeding.method, cells, state, seeding, 1))
        if self.config.proposer != "none":
            symmetry = self.config.model.symmetry or "trivial"
            arms = [*arms, Arm(search.improve, symmetry)]
            shards.append(self.shard(n, symmetry, search.improve, cells, state, search, 1))
        self.tell(arms, fields)
        self.warm_up(shards)

    # ---------------------------------------------------------------------- the two rounds

    def seed(self, starts: Mapping[int, Population]) -> State:
        """Play round 0: constructions by local search, and any that the user gave."""
        config = self.config
        pools = {n: starts.get(n, self.none(n)) for n in config.sizes}
        arms: list[dict[str, Any]] = []
        if config.seeding.method == "portfolio":
            for n in config.sizes:  # the smaller ones first, since larger ones learn from them
                smaller = {k: pools[k] for k in config.sizes if k < n}
                pools[n], arms = self.explore(n, 0, pools[n], [], smaller, "seed")
            made = {n: pool.score[pool.came_from("seed")] for n, pool in pools.items()}
        else:
            found = self._search(self._seed_shards(), 0, "seed", "seed")
            made = {n: part.score for n, part in found.items()}
            pools = {n: self.keep(n, pool, found.get(n, self.none(n))) for n, pool in pools.items()}
        pools[config.n] = self._at_least_one(pools[config.n])
        seeded = {str(n): distribution(score) for n, score in made.items()}
        stats = self.stats(0, pools) | {"seeded": seeded, "arms": arms}
        return State(0, pools, config.sample.temperature, stats=stats)

    def next(self, last: State) -> State:
        """Play a round: make proposals, search on from them and at large, keep the best."""
        number, n = last.round + 1, self.config.n
        proposals, told, learnt = self.propose(number, last)
        pool, reached = last.pools[n], np.zeros(0, np.int64)
        if len(proposals):
            improved = self._improve(number, proposals)
            reached = ids(canonical(improved.cells, self.grounds[n]))
            pool = self.keep(n, pool, improved)
            told = {**told, "searched": distribution(improved.score)}
            told |= self.feed_back(number, proposals, improved, learnt)
        arms = last.stats["arms"]
        if self.config.search.batches:
            smaller = {k: last.pools[k] for k in self.config.sizes if k < n}
            pool, arms = self.explore(n, number, pool, arms, smaller)
        pools = {**last.pools, n: pool}
        new = pool.round == number
        proposed = new & ~pool.came_from("search")
        again = np.isin(ids(canonical(pool.cells, self.grounds[n])), reached) & ~proposed
        stats = self.stats(number, pools) | {
            **told,
            "kept_from_proposals": int(proposed.sum()),
            "rediscovered": int(again.sum()),
            "kept_from_search": int((new & pool.came_from("search")).sum()),
            "arms": arms,
        }
        temperature = told.get("next_temperature", last.temperature)
        return State(number, pools, temperature, stats=stats, **learnt)

    def _at_least_one(self, pool: Population) -> Population:
        """Fill up an empty pool by one greedy construction: what little time can give."""
        if len(pool) or not self.clock.cut_short:
            return pool
        rng = streams.state(self.config.seed, 0, "seed", 0)
        cells = np.zeros((1, width(pool.m)), np.uint8)
        shard = self.shard(pool.n, "trivial", "greedy", cells, rng, self.config.seeding, 0)
        return self.keep(pool.n, *self.run([shard], 0, "seed", over=never))

    # --------------------------------------------------------------------------- proposals

    def propose(
        self, number: int, last: State
    ) -> tuple[Population, dict[str, Any], dict[str, Any]]:
        """Make the constructions that a round begins with; violations allowed.

        Returns:
            (the proposals, distinct; what to tell of them; what else the state is to hold).
        """
        n, count = self.config.n, self.config.sample.count
        rng = np.random.default_rng(streams.integer(self.config.seed, number, "propose"))
        imported: np.ndarray | bool = False
        if self.config.proposer == "perturb":
            elites = last.pools[n]
            cells, of = _perturbed(elites.cells, self.grounds[n].m, count, rng)
            imported = elites.imported[of]
        elif self.config.proposer == "restart":
            cells = np.zeros((count, width(self.grounds[n].m)), np.uint8)
        else:
            cells = np.zeros((0, width(self.grounds[n].m)), np.uint8)
        score, m = self.problem.score(cells, n), self.grounds[n].m
        made = {"round": number, "origin": "proposal", "imported": imported}
        return Population.build(n, m, cells, score, **made), {}, {}

    def feed_back(
        self, number: int, proposals: Population, improved: Population, learnt: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Tell whoever proposed what came of it, and return what to tell of that."""
        return {}

    def _improve(self, number: int, proposals: Population) -> Population:
        """Repair and fill up each proposal, and search on from it."""
        search, n = self.config.search, self.config.n
        method = search.improve
        bound = search.proposals or _IMPROVE[method]
        origin = "model" if self.config.proposer == "model" else "proposal"
        each = _SHARD[method]
        shards, parents = [], []
        for start in range(0, len(proposals), each):
            part = proposals.take(np.arange(start, min(start + each, len(proposals))))
            rng = streams.state(self.config.seed, number, "search", len(shards))
            symmetry = self.config.model.symmetry or "trivial"
            shards.append(self.shard(n, symmetry, method, part.cells, rng, search, bound))
            parents.append(part)
        found = self._search(shards, number, origin, "search", parents)
        return found.get(n, self.none(n))

    # ------------------------------------------------------------------------------- seeds

    def _seed_shards(self) -> list[Shard]:
        seeding = self.config.seeding
        shards: list[Shard] = []
        for n in reversed(self.config.sizes):
            most = seeding.count or _SEEDS[seeding.method]
            count = most if n == self.config.n else round(seeding.smaller * most)
            m = self.grounds[n].m
            classes = self.seed_classes(n)
            each = _SHARD[seeding.method]
            for i, start in enumerate(range(0, count, each)):
                shards.append(
                    self.shard(
                        n,
                        classes[i % len(classes)],
                        seeding.method,
                        np.zeros((min(each, count - start), width(m)), np.uint8),
                        streams.state(self.config.seed, 0, "seed", len(shards)),
                        seeding,
                        seeding.proposals or max(100_000, 100 * m),
                    )
                )
        return shards

    def seed_classes(self, n: int) -> list[str]:
        """Return the names of the symmetry classes that round 0 takes in turn at size n.

        Raises:
            UsageError: no construction of the size searched for can have those asked for.
        """
        mask = self.mask if n == self.config.n else None
        usable = [cls.name for cls in usable_classes(self.problem, n, mask)]
        wanted = self.config.seeding.symmetry
        if not wanted:
            return usable if self.config.seeding.method == "anneal" else usable[:1]
        chosen = [name for name in wanted if name in usable]
        if not chosen and n == self.config.n:
            raise UsageError(
                f"{self.problem.name} at n={n} has no construction with the symmetry "
                f"{' or '.join(wanted)}; usable: {', '.join(usable)}"
            )
        return chosen or usable[:1]

    def _search(
        self,
        shards: list[Shard],
        number: int,
        origin: str,
        stage: str,
        parents: list[Population] | None = None,
    ) -> dict[int, Population]:
        """Run shards until all are done or one reaches the target."""
        self.report("stage", name=stage, total=len(shards))
        found: dict[int, list[Population]] = {}
        best = 0
        for done, part in enumerate(self.run(shards, number, origin, parents), start=1):
            found.setdefault(part.n, []).append(part)
            if part.n == self.config.n:
                best = max(best, self.seen(part, origin))
            self.report("progress", done=done, best=best)
            if done < len(shards) and self.over(self.config.n, best):
                break
        return {n: Population.concat(parts) for n, parts in found.items()}


def _perturbed(
    cells: np.ndarray, m: int, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return ``count`` packed rows, each one of ``cells`` less a random share of its elements.

    With them, which row each was made from.
    """
    if not len(cells):
        return np.zeros((0, cells.shape[1]), np.uint8), np.zeros(0, np.int64)
    of = rng.integers(len(cells), size=count)
    bits = unpack(cells[of], m)
    for row in bits:
        members = rng.permutation(np.flatnonzero(row))
        least, most = math.ceil(_DROPPED[0] * len(members)), int(_DROPPED[1] * len(members))
        dropped = rng.integers(least, max(most, least) + 1)
        row[members[:dropped]] = False
    return pack(bits), of

"""A portfolio: ways to search, and a budget shared out among them by what they bring.

The work is cut into batches of tasks. A batch is handed out by what all batches before it
brought, never by the clock or by how many workers there are, so that a search bounded by a number
of batches is the same everywhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.core.ground_set import GroundSet
from pipeline.core.symmetry import SymmetryClass, belonging, orbits
from pipeline.objective import LEAST, known

#: Tasks handed out at once; more than any sensible number of workers would have to wait for.
BATCH = 16

# Shares of the largest core that enumeration takes in turn.
_LESS = (1.0, 0.92, 1.0, 0.84)


@dataclass(frozen=True)
class Arm:
    """One way to search: a method on the orbits of a class.

    Attributes:
        weights: what guides the search at its beginning (see ``weights``); empty for nothing.
        restricted: whether it goes without the quarter that the weights value least.
    """

    method: str
    symmetry: str
    weights: str = ""
    restricted: bool = False

    @property
    def name(self) -> str:
        """How it is called in reports."""
        weights = f", weights {self.weights}" if self.weights else ""
        return f"{self.method}, {self.symmetry}{weights}{', restricted' if self.restricted else ''}"


@dataclass
class Record:
    """What an arm has brought so far.

    Attributes:
        tasks: how many it was given.
        best: the best score it found.
        hits: how many of its tasks ended at that score.
        core: the most that is in whole orbits of its class of a set of its: elements, or weight.
    """

    tasks: int = 0
    best: int = LEAST
    hits: int = 0
    core: int = 0


class Portfolio:
    """Arms and their records; hands out batches."""

    def __init__(
        self, arms: Sequence[Arm], wanted: int = 0, batch: int = BATCH, by_size: bool = True
    ) -> None:
        """Begin with arms that have brought nothing yet; ``floor`` is the size worth keeping.

        Args:
            wanted: the size that exact cover is after; 0 without any.
            batch: how many tasks are handed out at once.
            by_size: whether scores are numbers of elements.
        """
        self.arms, self.wanted, self._batch = list(arms), wanted, batch
        self.floor, self._by_size = 0, by_size
        self.records = {arm: Record() for arm in arms}

    @property
    def best(self) -> int:
        """The best score any arm has found."""
        return max((record.best for record in self.records.values()), default=LEAST)

    def batch(self, rng: np.random.Generator) -> list[Arm]:
        """Return the arms of the next batch of tasks.

        Arms that had no turn yet take the whole of the first batch and half of later ones. Of
        the other tasks three quarters go by what an arm has brought: half as many for every
        element its best falls short of the best of all (or 50th part of that, where the score is
        another), and among equals more to those that reach it often. The rest are given out
        evenly, since an arm that starts slowly may still win, unless hardly any orbits of its
        class fit together. Exact cover comes to the size it is after at once or not at all: until
        one has, its arms get three quarters of all, shared out among them in the same way.
        """
        fresh = [a for a in self.arms if self._awaits_turn(a) and self._ready(a)]
        tried = [a for a in self.arms if self.records[a].tasks and not self._hopeless(a)]
        chosen = fresh[: -(-self._batch // 2) if tried else self._batch]
        if not tried:
            return chosen
        covers = [a for a in tried if a.method == "cover" and self.best < self.wanted]
        others = [a for a in tried if a not in covers]
        parts = [(covers, 0.75 if others else 1.0), (others, 0.25 if covers else 1.0)]
        share = np.concatenate([part * self._shares(arms) for arms, part in parts])
        drawn = rng.choice(len(tried), size=self._batch - len(chosen), p=share)
        return chosen + [(covers + others)[i] for i in drawn]

    def _shares(self, arms: Sequence[Arm]) -> np.ndarray:
        """Return what each of some arms gets of all they get; they sum to 1."""
        if not arms:
            return np.zeros(0)
        records = [self.records[a] for a in arms]
        rates = np.array([(r.hits + 1) / (r.tasks + 2) for r in records])
        best = np.array([r.best for r in records], dtype=float)
        step = 1.0 if self._by_size else max(abs(best.max()) / 50, 1.0)
        weight = rates * 0.5 ** ((best.max() - best) / step)
        return 0.75 * weight / weight.sum() + 0.25 / len(arms)

    def goal(self, arm: Arm) -> int:
        """Return the size a tabu search of this arm begins at.

        To climb: a little below the largest core its orbits have had. To enumerate: that
        core, and in every second task less, where sets abound, unless so small are not kept.
        """
        core = max(self.records[a].core for a in self.arms if _same_orbits(a, arm))
        if arm.method != "enumerate":
            return max(int(0.85 * core), 1)
        less = int(core * _LESS[self.records[arm].tasks % len(_LESS)])
        return max(less if less >= self.floor else core, 1)

    def _ready(self, arm: Arm) -> bool:
        """Tell whether an arm can begin: enumeration waits to be told what size is in reach."""
        quiet = ("enumerate", "cover")
        others = [a for a in self.arms if _same_orbits(a, arm) and a.method not in quiet]
        return arm.method != "enumerate" or not others or any(self.records[a].core for a in others)

    def _awaits_turn(self, arm: Arm) -> bool:
        """Tell whether an arm had no whole task yet: the first of ruin and recreate is short."""
        tasks, short = self.records[arm].tasks, arm.symmetry != self.arms[0].symmetry
        again = arm.method == "ruin-recreate" and short and not self._hopeless(arm)
        return tasks == 0 or (tasks == 1 and again)

    def _hopeless(self, arm: Arm) -> bool:
        """Tell whether the sets of a class have less than half the core of another's.

        Two orbits of a mirror lie on a circle: of larger configurations few classes have sets.
        """
        most = max(record.core for record in self.records.values())
        is_tried = arm.method == "ruin-recreate" and self.records[arm].tasks > 0
        return is_tried and most > 0 and 2 * self.records[arm].core < most

    def believed(self, arm: Arm) -> bool:
        """Tell whether an arm gets a whole task: it had one already, or is of the first class."""
        return self.records[arm].tasks > 0 or arm.symmetry == self.arms[0].symmetry

    def add(self, arm: Arm, best: int, core: int) -> None:
        """Take the result of one task."""
        record = self.records[arm]
        record.tasks += 1
        record.core = max(record.core, core)
        if best > record.best:
            record.best, record.hits = best, 0
        record.hits += best == record.best

    def to_json(self) -> list[dict[str, Any]]:
        """Return the records, best arms first."""
        records = sorted(
            self.records.items(),
            key=lambda item: (-item[1].best, -item[1].hits / (item[1].tasks or 1)),
        )
        return [asdict(arm) | asdict(r) | {"best": known(r.best)} for arm, r in records]

    def restore(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take up the records of an earlier round."""
        for row in rows:
            arm = Arm(row["method"], row["symmetry"], row["weights"], row["restricted"])
            if arm in self.records:
                best = LEAST if row["best"] is None else row["best"]
                self.records[arm] = Record(row["tasks"], best, row["hits"], row["core"])


def core_worth(bits: np.ndarray, ground: GroundSet, cls: SymmetryClass, weights: np.ndarray) -> int:
    """Return the most that is in whole orbits of a class, over sets ``bits``, bool ``(B, m)``.

    What is outside the box of a class is in none.

    Args:
        weights: int64 ``(m,)``, what each element counts.
    """
    of = orbits(ground, cls).of
    sizes = np.bincount(of)
    worth = np.bincount(of, np.where(belonging(ground, cls), weights, 0))
    best = 0
    for row in bits:
        held = np.bincount(of[row], minlength=len(sizes))
        best = max(best, int(worth[held == sizes].sum()))
    return best


def _same_orbits(a: Arm, b: Arm) -> bool:
    return (a.symmetry, a.restricted and a.weights) == (b.symmetry, b.restricted and b.weights)

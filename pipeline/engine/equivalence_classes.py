"""How many constructions there are up to symmetry, and with which stabilisers."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.core.ground_set import GroundSet
from pipeline.core.symmetry import canonical, stabiliser_names, stabiliser_orders


@dataclass(frozen=True)
class Kind:
    """The constructions whose stabilisers are of one symmetry class.

    Attributes:
        name, order: of the class.
        inequivalent: how many there are of which none is an image of another.
        constructions: how many there are.
    """

    name: str
    order: int
    inequivalent: int
    constructions: int


@dataclass(frozen=True, eq=False)
class EquivalenceClasses:
    """What a list of distinct constructions holds.

    Attributes:
        first: ascending rows, the first of each class of equivalent ones.
        kinds: by the order of the stabiliser, then by name.
    """

    constructions: int
    first: np.ndarray
    kinds: tuple[Kind, ...]

    @property
    def inequivalent(self) -> int:
        """How many there are up to symmetry."""
        return len(self.first)

    def as_json(self) -> dict[str, Any]:
        """Return the numbers as plain values."""
        return {
            "constructions": self.constructions,
            "inequivalent": self.inequivalent,
            "stabilisers": [asdict(kind) for kind in self.kinds],
        }


def equivalence_classes(cells: np.ndarray, ground: GroundSet) -> EquivalenceClasses:
    """Count constructions, packed uint8 ``(B, bytes)`` and distinct, up to the ground's group."""
    forms = canonical(cells, ground)
    _, first, of = np.unique(forms, axis=0, return_index=True, return_inverse=True)
    size = np.bincount(of.ravel(), minlength=len(first))
    names = stabiliser_names(cells[first], ground)
    orders = stabiliser_orders(cells[first], ground).tolist()
    kinds: dict[tuple[int, str], list[int]] = {}
    for order, name, many in zip(orders, names, size.tolist(), strict=True):
        kinds.setdefault((order, name), []).append(many)
    found = [Kind(name, order, len(n), sum(n)) for (order, name), n in sorted(kinds.items())]
    return EquivalenceClasses(len(cells), np.sort(first), tuple(found))

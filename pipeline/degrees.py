"""How often a set of the wanted size meets classes of elements: what exact cover works with."""

from dataclasses import dataclass

import numpy as np

from pipeline.core.bitset import mismatch


@dataclass(frozen=True, eq=False)
class DegreeConstraints:
    """How often a set of the wanted size meets each class of elements, with C classes.

    Attributes:
        classes: int32 ``(m, q)``; row v holds the q classes, 0..C-1, that element v counts in.
        capacity: int32 ``(C,)``; a valid set of the wanted size meets class c exactly
            ``capacity[c]`` times, and any set that does has that size. Where nothing else
            decides, a search fills the classes with higher numbers first.

    Raises:
        ValueError: an attribute of another dtype, shape or range.
    """

    classes: np.ndarray
    capacity: np.ndarray

    def __post_init__(self) -> None:
        for name, array, shape in (("classes", self.classes, 2), ("capacity", self.capacity, 1)):
            if array.dtype != np.int32 or array.ndim != shape or not array.size:
                raise mismatch(name, f"int32 with {shape} dimensions, not empty", array)
        if self.classes.min() < 0 or self.classes.max() >= len(self.capacity):
            found = f"{self.classes.min()} .. {self.classes.max()}"
            raise mismatch("classes", f"classes in 0 .. {len(self.capacity) - 1}", found)
        if self.capacity.min() < 0 or self.capacity.sum() % self.classes.shape[1]:
            expected = f"numbers from 0 with a sum divisible by {self.classes.shape[1]}"
            raise mismatch("capacity", expected, self.capacity.tolist())

    @property
    def size(self) -> int:
        """The number of elements of a set that meets every degree constraint."""
        return int(self.capacity.sum()) // self.classes.shape[1]

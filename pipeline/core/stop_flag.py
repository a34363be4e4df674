"""The flag that tells compiled search to stop: one byte that several processes share.

A kernel reads ``space.stop[0]`` at every step and comes back with what it has once it is not 0.
What it found until then is valid, as ever; how far it came depends on the clock.
"""

from typing import Any

import numpy as np

_flag: np.ndarray = np.zeros(1, np.uint8)


def flag() -> np.ndarray:
    """Return this process's flag, uint8 ``(1,)``; spaces hold it, and it stays the same array."""
    return _flag


def adopt(shared: Any) -> None:
    """Take a byte that another process writes, before any space is made."""
    global _flag
    _flag = np.frombuffer(shared, np.uint8)


def stopped() -> bool:
    """Tell whether the flag is up."""
    return bool(_flag[0])

"""Which of several processes this one is, as torchrun says it in the environment."""

import os
from typing import NamedTuple

from pipeline.errors import UsageError

_NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


class Place(NamedTuple):
    """One of the processes that train and sample together.

    Attributes:
        rank: its number among all; 0 leads.
        size: how many there are.
        local: its number on its machine, which is that of its GPU.
        address, port: where the processes find one another.
    """

    rank: int
    size: int
    local: int
    address: str
    port: int


def place() -> Place | None:
    """Return the place of this process; None where nobody gave it one."""
    found = {name: os.environ.get(name, "") for name in _NAMES}
    numbers = [found[name] for name in _NAMES if name != "MASTER_ADDR"]
    if not found["MASTER_ADDR"] or not all(number.isdecimal() for number in numbers):
        return None
    rank, size, local, port = map(int, numbers)
    return Place(rank, size, local, found["MASTER_ADDR"], port)


def place_among(gpus: int) -> Place | None:
    """Return the place of this process, among as many as the configuration asks for.

    Raises:
        UsageError: torchrun has started another number.
    """
    found = place()
    if found is not None and found.size != gpus:
        raise UsageError(
            f"torchrun has started {found.size} process{'' if found.size == 1 else 'es'}, and "
            f"--gpus is {gpus}; give --nproc-per-node and --gpus the same number"
        )
    return found


def environment(rank: int, size: int, address: str, port: int) -> dict[str, str]:
    """Return what tells a process of this machine its place."""
    values = (rank, size, rank, address, port)
    return {name: str(value) for name, value in zip(_NAMES, values, strict=True)}

"""The graph6 format: a graph as a line of printable characters, six bits to each.

Defined in formats.txt of nauty (McKay): the number of vertices, then a bit for each pair of them,
{0, 1}, {0, 2}, {1, 2}, {0, 3}, ...; a character is six bits plus 63.
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np

from pipeline.errors import PipelineError, short

HEADER = ">>graph6<<"
_LINE = re.compile(r"[?-~]+")
#: Vertices that a construction may have: the pairs of more would not fit anywhere.
_VERTICES = 2**18 - 1


def to_graph6(n: int, edges: Iterable[Sequence[int]]) -> str:
    """Write a graph on the vertices 0 .. n - 1 as a line, without its end.

    Raises:
        ValueError: n is negative or 2**18 or more.
    """
    if not 0 <= n <= _VERTICES:
        raise ValueError(f"n: expected 0 .. {_VERTICES}, got {n}")
    bits = np.zeros(-(-n * (n - 1) // 12) * 6, np.int64)
    for a, b in edges:
        low, high = sorted((a, b))
        bits[high * (high - 1) // 2 + low] = 1
    sixes = bits.reshape(-1, 6) @ (1 << np.arange(5, -1, -1))
    head = [n] if n <= 62 else [63, n >> 12, n >> 6 & 63, n & 63]
    return bytes([*head, *sixes.tolist()]).translate(_SHIFT).decode("ascii")


def looks_like_graph6(lines: Iterable[str]) -> bool:
    """Tell whether all lines have the length that their first characters ask for."""
    return all(_LINE.fullmatch(line) and _fault(line) == "" for line in lines)


def from_graph6(line: str, where: str) -> tuple[int, list[list[int]]]:
    """Return the number of vertices and the edges, each with the smaller vertex first.

    Raises:
        PipelineError: the line is no graph6.
    """
    fault = _fault(line) if _LINE.fullmatch(line) else "holds other characters than ? to ~"
    if fault:
        raise PipelineError(f"{where}: {short(line)} is no graph6: it {fault}")
    n, sixes = _split(line)
    bits = (sixes[:, None] >> np.arange(5, -1, -1) & 1).ravel()
    found = np.flatnonzero(bits)
    # Pair {a, b} is number b (b - 1) / 2 + a.
    high = ((1 + np.sqrt(1 + 8 * found.astype(np.float64))) / 2).astype(np.int64)
    high -= high * (high - 1) // 2 > found
    high += high * (high + 1) // 2 <= found
    return n, np.stack([found - high * (high - 1) // 2, high], axis=1).tolist()


_SHIFT = bytes(min(i + 63, 126) for i in range(256))


def _split(line: str) -> tuple[int, np.ndarray]:
    """Return the number of vertices, and the sixes of bits that follow."""
    values = np.frombuffer(line.encode("ascii"), np.uint8).astype(np.int64) - 63
    if values[0] < 63:
        return int(values[0]), values[1:]
    if len(values) < 4 or values[1] == 63:
        return _VERTICES + 1, values[1:]
    return int(values[1] << 12 | values[2] << 6 | values[3]), values[4:]


def _fault(line: str) -> str:
    """Return what is wrong with a line of the right characters, or nothing."""
    n, sixes = _split(line)
    if n > _VERTICES:
        return f"has more than {_VERTICES:,} vertices, or ends too soon"
    pairs = n * (n - 1) // 2
    if len(sixes) != -(-pairs // 6):
        return f"has {len(sixes)} characters of edges, {n} vertices need {-(-pairs // 6)}"
    if len(sixes) and int(sixes[-1]) & ((1 << (-pairs % 6)) - 1):
        return "has an edge beyond the last vertex"
    return ""

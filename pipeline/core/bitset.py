"""Packed constructions: uint8 rows, element ``8 * i + j`` is bit ``j`` of byte ``i``."""

from collections.abc import Sequence

import numpy as np

from pipeline.core.jit import njit

# splitmix64 (Steele, Lea, Flood, OOPSLA 2014): increment and the two multipliers of its finaliser.
_INCREMENT = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLY_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLY_2 = np.uint64(0x94D049BB133111EB)


def width(m: int) -> int:
    """Return the number of bytes that hold m elements."""
    return (m + 7) // 8


def mismatch(name: str, expected: str, got: object) -> ValueError:
    """Return the error for argument ``name``; an array is described by its dtype and shape."""
    if isinstance(got, np.ndarray):
        got = f"{got.dtype} {got.shape}"
    return ValueError(f"{name}: expected {expected}, got {got}")


def checked(cells: np.ndarray, m: int, name: str = "cells") -> np.ndarray:
    """Return ``cells`` as contiguous uint8 ``(B, width(m))`` (not copied if it is already).

    Raises:
        ValueError: another dtype or shape, or a padding bit that is set.
    """
    wanted = width(m)
    if not isinstance(cells, np.ndarray) or cells.dtype != np.uint8 or cells.ndim != 2:
        raise mismatch(name, f"uint8 (B, {wanted})", cells)
    if cells.shape[1] != wanted:
        raise mismatch(name, f"uint8 (B, {wanted}) for m = {m}", cells)
    if m % 8 and (cells[:, -1] >> (m % 8)).any():
        raise mismatch(name, f"the bits past element {m - 1} to be zero", "some that are set")
    return np.ascontiguousarray(cells)


def pack(members: np.ndarray) -> np.ndarray:
    """Return uint8 ``(B, width(m))`` from bool ``(B, m)``.

    Raises:
        ValueError: not a boolean matrix.
    """
    if not isinstance(members, np.ndarray) or members.dtype != np.bool_ or members.ndim != 2:
        raise mismatch("members", "bool (B, m)", members)
    return np.packbits(members, axis=1, bitorder="little")


def unpack(cells: np.ndarray, m: int) -> np.ndarray:
    """Return bool ``(B, m)`` from uint8 ``(B, width(m))``.

    Raises:
        ValueError: see :func:`checked`.
    """
    return np.unpackbits(checked(cells, m), axis=1, count=m, bitorder="little").view(np.bool_)


def from_points(sets: Sequence[np.ndarray], m: int) -> np.ndarray:
    """Return uint8 ``(len(sets), width(m))`` from element indices, each in ``0 .. m - 1``.

    Raises:
        ValueError: an index that is no integer or out of range.
    """
    cells = np.zeros((len(sets), width(m)), np.uint8)
    arrays = [np.asarray(members).reshape(-1) for members in sets]
    arrays = [members for members in arrays if members.size]
    if not arrays:
        return cells
    flat = np.concatenate(arrays)
    if flat.dtype.kind not in "iu":
        raise mismatch("sets", "integer element indices", flat.dtype)
    if flat.min() < 0 or flat.max() >= m:
        raise mismatch("sets", f"elements in 0 .. {m - 1}", f"{flat.min()} .. {flat.max()}")
    rows = np.repeat(np.arange(len(sets)), [np.size(members) for members in sets])
    bits = np.left_shift(1, flat & 7).astype(np.uint8)
    np.bitwise_or.at(cells, (rows, flat >> 3), bits)
    return cells


def points(row: np.ndarray, m: int) -> np.ndarray:
    """Return the elements of one packed row ``(width(m),)`` as ascending int32.

    Raises:
        ValueError: see :func:`checked`.
    """
    if not isinstance(row, np.ndarray) or row.ndim != 1:
        raise mismatch("row", f"uint8 ({width(m)},)", row)
    return np.flatnonzero(unpack(row[None], m)[0]).astype(np.int32)


@njit
def row_points(row, out):
    """Write the elements of one packed row to ``out``, ascending; return how many.

    For use in kernels: nothing is checked.
    """
    count = 0
    for byte in range(len(row)):
        if row[byte]:
            for bit in range(8):
                if row[byte] >> bit & 1:
                    out[count] = 8 * byte + bit
                    count += 1
    return count


def popcounts(cells: np.ndarray) -> np.ndarray:
    """Return int32 ``(B,)``: the number of elements of each row of uint8 ``(B, bytes)``.

    Raises:
        ValueError: not a uint8 matrix.
    """
    return np.bitwise_count(_matrix(cells)).sum(axis=1, dtype=np.int32)


def ids(cells: np.ndarray) -> np.ndarray:
    """Return int64 ``(B,)``: a hash of each row of uint8 ``(B, bytes)``, never 0.

    It depends on the bytes and their number alone: not on the machine, the byte order or the
    versions of libraries. Equal rows of N distinct ones happen with probability about N^2 / 2^65.

    Raises:
        ValueError: not a uint8 matrix.
    """
    return _hashes(_matrix(cells)).view(np.int64)


def first_of_each(cells: np.ndarray) -> np.ndarray:
    """Return int64 ascending indices: the first occurrence of each distinct row of ``cells``.

    Rows are compared byte for byte, so a hash collision loses nothing.

    Raises:
        ValueError: not a uint8 matrix.
    """
    cells = _matrix(cells)
    _, first, which = np.unique(_hashes(cells), return_index=True, return_inverse=True)
    if (cells[first[which]] != cells).any():  # two rows have one hash
        _, first = np.unique(cells, axis=0, return_index=True)
    return np.sort(first)


def _matrix(cells: np.ndarray) -> np.ndarray:
    if not isinstance(cells, np.ndarray) or cells.dtype != np.uint8 or cells.ndim != 2:
        raise mismatch("cells", "uint8 (B, bytes)", cells)
    return np.ascontiguousarray(cells)


def _hashes(cells: np.ndarray) -> np.ndarray:
    """O(B * bytes); uint64 arithmetic wraps by design. The byte order of the machine has no say."""
    size, count = cells.shape
    words = np.zeros((size, -(-count // 8) * 8), np.uint8)
    words[:, :count] = cells
    state = np.full(size, count, np.uint64)
    for word in words.view("<u8").T:
        state = (state ^ word) + _INCREMENT
        state = (state ^ (state >> np.uint64(30))) * _MULTIPLY_1
        state = (state ^ (state >> np.uint64(27))) * _MULTIPLY_2
        state ^= state >> np.uint64(31)
    state[state == 0] = 1
    return state

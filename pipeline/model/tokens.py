"""Encoders between constructions and token sequences, several sizes in one vocabulary.

A sequence is ``BOS, SIZE_n, element tokens, EOS, PAD, PAD, ...``. Token 0 is PAD, 1 BOS, 2 EOS,
then one token per size in rising order, then the element tokens.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import numpy as np

from pipeline.core.bitset import pack, unpack
from pipeline.core.ground_set import GroundSet
from pipeline.core.symmetry import apply, find_whole_class, normaliser, orbits
from pipeline.errors import UsageError, nearest

Rng = np.random.Generator
PAD, BOS, EOS = 0, 1, 2
_FIRST_SIZE = 3
ORDERS = ("sorted", "random")


class Encoder(ABC):
    """Constructions of several sizes as rows of tokens, and back.

    Attributes:
        name: the kind, as in ``ENCODERS``.
        sizes: the sizes it knows, rising; grounds: the ground set of each.
        vocab_size: the number of tokens; they are 0 to vocab_size - 1.
        max_length: the longest sequence, BOS and EOS included.
        symmetry: the class whose orbits are its choices, "trivial" when every element is one.
        sorted: whether `encode` writes element tokens in rising order (always so without rng).
        dense: whether the place of a token says which element it speaks of, and not the token.
    """

    name: str
    sizes: tuple[int, ...]
    grounds: Mapping[int, GroundSet]
    vocab_size: int
    max_length: int
    symmetry: str = "trivial"
    sorted: bool
    dense: bool = False

    def __init__(self, grounds: Mapping[int, GroundSet]):
        if not grounds:
            raise ValueError("grounds: at least one size is needed")
        self.sizes = tuple(sorted(grounds))
        self.grounds = {n: grounds[n] for n in self.sizes}
        self._first_element = _FIRST_SIZE + len(self.sizes)

    def prefix(self, n: int) -> np.ndarray:
        """Return the given beginning of every sequence of size n, int64 ``(2,)``."""
        self._ground(n)
        return np.array([BOS, _FIRST_SIZE + self.sizes.index(n)], np.int64)

    @abstractmethod
    def encodable(self, cells: np.ndarray, n: int) -> np.ndarray:
        """Return bool ``(B,)``: which of the packed cells ``(B, bytes)`` `encode` accepts."""

    @abstractmethod
    def encode(self, cells: np.ndarray, n: int, rng: Rng | None = None) -> np.ndarray:
        """Write packed cells ``(B, bytes)`` of size n as int64 ``(B, T)``, T the longest of them.

        With ``rng`` each construction is first moved by a random symmetry of its own, and its
        tokens are shuffled where the order is "random". Without, nothing is random.

        Raises:
            ValueError: a construction is not `encodable`, or n is not one of `sizes`.
        """

    def decode(self, tokens: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Read tokens ``(B, T)`` as constructions of size n, never guessing.

        A row is ok only if it is the prefix of n, element tokens that make up a construction of
        size n in any order without repetition, EOS, and then nothing but PAD.

        Returns:
            Packed cells uint8 ``(B, bytes)``, all zero where not ok, and ok bool ``(B,)``.
        """
        tokens = np.asarray(tokens)
        if tokens.ndim != 2 or not np.issubdtype(tokens.dtype, np.integer):
            raise ValueError(f"tokens: expected integers (B, T), got {tokens.dtype} {tokens.shape}")
        # Three more columns of PAD, so that even T = 0 has a body to look at.
        tokens = np.pad(tokens.astype(np.int64), ((0, 0), (0, 3)))
        body = tokens[:, 2:]
        ends = body == EOS
        length = ends.argmax(axis=1)  # element tokens before the first EOS
        after = np.arange(body.shape[1]) > length[:, None]
        ok = ends.any(axis=1) & (tokens[:, :2] == self.prefix(n)).all(axis=1)
        ok &= ((body == PAD) | ~after).all(axis=1)
        good, cells = self._read(body, np.where(ok, length, 0), n)
        ok &= good
        return pack(cells & ok[:, None]), ok

    @abstractmethod
    def element_tokens(self, n: int) -> np.ndarray:
        """Return int32 ``(choices,)``: the token of each choice of size n (orbit, element)."""

    @abstractmethod
    def _read(self, body: np.ndarray, length: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Read ``body[i, :length[i]]`` as element tokens: ok ``(B,)`` and bool cells ``(B, m)``."""

    def _ground(self, n: int) -> GroundSet:
        if n not in self.grounds:
            raise ValueError(f"n = {n}: the encoder knows the sizes {list(self.sizes)}")
        return self.grounds[n]

    def _frame(self, count: int, longest: int, n: int) -> np.ndarray:
        """Return padding ``(count, T)`` with the prefix of n, for ``longest`` element tokens."""
        out = np.full((count, longest + 3), PAD, np.int64)
        out[:, :2] = self.prefix(n)
        return out


class OrbitEncoder(Encoder):
    """One token per chosen orbit under a symmetry class: its smallest element's coordinates.

    ``max_points`` gives, per size, the most orbits that a construction will have (any upper
    bound will do; a size left out counts with all its orbits).

    Raises:
        UsageError: an unknown order or symmetry class.
    """

    name = "orbits"

    def __init__(
        self,
        grounds: Mapping[int, GroundSet],
        *,
        symmetry: str | None = None,
        order: str = "sorted",
        max_points: Mapping[int, int] | None = None,
    ):
        super().__init__(grounds)
        if order not in ORDERS:
            raise UsageError(f"unknown token order {order!r}{nearest(order, ORDERS)}")
        self.sorted, self.symmetry = order == "sorted", symmetry or "trivial"
        self._orbit_of: dict[int, np.ndarray] = {}  # (m,)
        self._smallest: dict[int, np.ndarray] = {}  # (k,), an element
        self._moved: dict[int, np.ndarray] = {}  # (normaliser, k), an orbit
        for n, ground in self.grounds.items():
            cls = find_whole_class(ground, self.symmetry)
            found = orbits(ground, cls)
            smallest = found.elements[found.start[:-1]]
            self._orbit_of[n], self._smallest[n] = found.of, smallest
            self._moved[n] = found.of[ground.group[list(normaliser(ground, cls))][:, smallest]]
        places = _as_wide([g.coords[self._smallest[n]] for n, g in self.grounds.items()])
        known, index = np.unique(np.concatenate(places), axis=0, return_inverse=True)
        ends = np.cumsum([len(p) for p in places])[:-1]
        tokens = np.split(self._first_element + index.reshape(-1), ends)
        self._tokens = {n: t.astype(np.int32) for n, t in zip(self.sizes, tokens, strict=True)}
        self.vocab_size = self._first_element + len(known)
        limits = max_points or {}
        self._most = max(min(limits.get(n, len(t)), len(t)) for n, t in self._tokens.items())
        self.max_length = self._most + 3

    def encodable(self, cells: np.ndarray, n: int) -> np.ndarray:
        invariant, chosen = self._chosen(cells, n)
        return invariant & (chosen.sum(axis=1) <= self._most)

    def encode(self, cells: np.ndarray, n: int, rng: Rng | None = None) -> np.ndarray:
        invariant, chosen = self._chosen(cells, n)
        if not invariant.all():
            raise ValueError(f"constructions of size {n}: some lack the encoder's symmetry")
        counts = chosen.sum(axis=1)
        longest = int(counts.max(initial=0))
        if longest > self._most:
            raise ValueError(
                f"constructions of size {n}: one of {longest} tokens, above max_points"
            )
        rows, picks = np.nonzero(chosen)
        if rng is not None:
            moved = self._moved[n]
            picks = moved[rng.integers(len(moved), size=len(cells))[rows], picks]
        tokens = self._tokens[n][picks]
        keys = tokens if rng is None or self.sorted else rng.random(len(rows))
        by_row = np.lexsort((keys, rows))
        out = self._frame(len(cells), longest, n)
        place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        out[rows, 2 + place] = tokens[by_row]
        out[np.arange(len(cells)), 2 + counts] = EOS
        return out

    def element_tokens(self, n: int) -> np.ndarray:
        self._ground(n)
        return self._tokens[n]

    def _read(self, body: np.ndarray, length: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        inside = np.arange(body.shape[1]) < length[:, None]
        known = (body >= 0) & (body < self.vocab_size)
        choices = np.full(self.vocab_size, -1)
        choices[self._tokens[n]] = np.arange(len(self._tokens[n]))
        choice = choices[np.where(known, body, PAD)]
        ok = ((choice >= 0) | ~inside).all(axis=1)
        rows, columns = np.nonzero(inside & ok[:, None])
        chosen = np.zeros((len(body), len(self._smallest[n])), bool)
        chosen[rows, choice[rows, columns]] = True
        ok &= chosen.sum(axis=1) == length  # fewer: one was repeated
        return ok, chosen[:, self._orbit_of[n]]

    def _chosen(self, cells: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return which rows are unions of orbits ``(B,)``, and the orbits ``(B, k)``."""
        bits = unpack(cells, self._ground(n).m)
        chosen = bits[:, self._smallest[n]]
        return (bits == chosen[:, self._orbit_of[n]]).all(axis=1), chosen


def _as_wide(places: list[np.ndarray]) -> list[np.ndarray]:
    """Return coordinates ``(k, d)`` with one d, filled up with a number that stands for none.

    Places of other dimensions are then no places of each other, and keep tokens of their own.
    """
    widest, none = max(place.shape[1] for place in places), np.iinfo(np.int32).min
    return [
        np.pad(place, ((0, 0), (0, widest - place.shape[1])), constant_values=none)
        for place in places
    ]


class PointEncoder(OrbitEncoder):
    """One token per element: orbits under the trivial class."""

    name = "points"

    def __init__(self, grounds: Mapping[int, GroundSet], *, symmetry: str | None = None, **options):
        _no_symmetry(self.name, symmetry)
        super().__init__(grounds, **options)


class DenseEncoder(Encoder):
    """A 0 or a 1 for every element in element order, as in the lecture: always m + 3 tokens.

    Raises:
        UsageError: an order other than "sorted" (the elements' own), or a symmetry class.
    """

    name = "dense"
    dense = True

    def __init__(
        self,
        grounds: Mapping[int, GroundSet],
        *,
        symmetry: str | None = None,
        order: str = "sorted",
        max_points: Mapping[int, int] | None = None,
    ):
        _no_symmetry(self.name, symmetry)
        if order != "sorted":
            raise UsageError(f"token order {order!r}: 'dense' tokens only have the order 'sorted'")
        super().__init__(grounds)
        self.sorted = False
        self.vocab_size = self._first_element + 2
        self.max_length = max(ground.m for ground in self.grounds.values()) + 3

    def encodable(self, cells: np.ndarray, n: int) -> np.ndarray:
        return np.ones(len(unpack(cells, self._ground(n).m)), bool)

    def encode(self, cells: np.ndarray, n: int, rng: Rng | None = None) -> np.ndarray:
        ground = self._ground(n)
        if rng is not None:
            cells = apply(cells, ground, rng.integers(len(ground.group), size=len(cells)))
        bits = unpack(cells, ground.m)
        out = self._frame(len(bits), ground.m, n)
        out[:, 2:-1] = self._first_element + bits
        out[:, -1] = EOS
        return out

    def element_tokens(self, n: int) -> np.ndarray:
        """Return int32 ``(2,)``: the tokens of "not in" and "in"; position t is element t - 2."""
        self._ground(n)
        return self._first_element + np.arange(2, dtype=np.int32)

    def _read(self, body: np.ndarray, length: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        m = self._ground(n).m
        bits = np.pad(body, ((0, 0), (0, m)))[:, :m] - self._first_element
        return (length == m) & ((bits == 0) | (bits == 1)).all(axis=1), bits == 1


# The framework's kinds, by name.
ENCODERS: dict[str, Callable[..., Encoder]] = {
    encoder.name: encoder for encoder in (DenseEncoder, PointEncoder, OrbitEncoder)
}


def make_encoder(
    kind: str,
    grounds: Mapping[int, GroundSet],
    symmetry: str | None = None,
    order: str = "sorted",
    max_points: Mapping[int, int] | None = None,
    own: Mapping[str, Callable[..., Encoder]] | None = None,
) -> Encoder:
    """Build the encoder of a kind for the ground sets ``{n: GroundSet}``.

    Args:
        kind: "dense", "points", "orbits", or one of ``own``.
        symmetry: the class for "orbits", by name; None or empty is the trivial one.
        order: "sorted" by token, or "random": shuffled at each encoding that is given an rng.
        max_points: per size, the most element tokens of one construction (default: all).
        own: encoders of the problem's own, by name; they take the same keyword arguments.

    Raises:
        UsageError: an unknown kind, order or class, or an option that the kind does not take.
    """
    known = {**ENCODERS, **(own or {})}
    if kind not in known:
        raise UsageError(f"unknown tokens {kind!r}{nearest(kind, known)}")
    return known[kind](grounds, symmetry=symmetry, order=order, max_points=max_points)


def _no_symmetry(kind: str, symmetry: str | None) -> None:
    if symmetry and symmetry != "trivial":
        raise UsageError(f"symmetry {symmetry!r}: {kind!r} tokens take none; use tokens 'orbits'")

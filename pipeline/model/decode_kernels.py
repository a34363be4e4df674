"""Compiled loops of one decoding step on a CPU, one lane per sequence.

What a model holds while it writes lies *feature major*: ``(D, B)``, the B sequences side by side.
Every sum (a norm's, a softmax's, a product of query and key) then runs down the features while
the innermost loop runs along the lanes, so that it is vectorised without any sum being
reordered: a sequence's numbers depend on no other, and are the same bits in every batch.

Numbers are float32, or bfloat16 seen as its uint16 bits; what is summed is float32. A NaN stays
a NaN, so that it is found in the logits.
"""

import numpy as np
from numba import types
from numba.extending import overload

from pipeline.core.jit import inlined, kernel, njit

_EPSILON = np.float32(np.finfo(np.float32).eps)  # of the norms, as in torch
_LEAST = np.float32(-87.0)  # the exponential of less is no normal float32


def _wide(x):
    """Return a number as float32."""
    raise NotImplementedError


def _narrow(x, like):
    """Return a float32 in the type of ``like``, bfloat16 rounded to the nearest, ties to even."""
    raise NotImplementedError


@overload(_wide, inline="always")
def _wide_of(x):
    if x == types.uint16:
        return lambda x: np.uint32(np.uint32(x) << np.uint32(16)).view(np.float32)
    return lambda x: x


@overload(_narrow, inline="always")
def _narrow_to(x, like):
    if like != types.uint16:
        return lambda x, like: x

    def rounded(x, like):
        bits = np.float32(x).view(np.uint32)
        half = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
        return np.uint16((bits + half) >> np.uint32(16))

    return rounded


@inlined
def _exp(x):
    """Return e**x for x at most 88, within two units in the last place (Cephes' expf)."""
    x = _LEAST if x < _LEAST else x
    # Adding 1.5 * 2**23 rounds to a whole number and leaves it in the lowest bits.
    shifted = x * np.float32(1.44269504) + np.float32(12582912.0)
    k = shifted - np.float32(12582912.0)
    r = (x - k * np.float32(0.693359375)) + k * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * r * r + r + np.float32(1.0)
    exponent = np.int32(np.float32(shifted).view(np.int32) + np.int32(127))
    return p * np.int32(exponent << np.int32(23)).view(np.float32)


@kernel
def normalise(x, gain, scale, out):
    """Write the RMS norm of x, float32 ``(D, B)``, into ``out``; ``scale (B,)`` is scratch."""
    for b in range(len(scale)):
        scale[b] = 0
    for d in range(len(x)):
        row = x[d]
        for b in range(len(scale)):
            scale[b] += row[b] * row[b]
    share = np.float32(1 / len(x))
    for b in range(len(scale)):
        scale[b] = np.divide(np.float32(1.0), np.sqrt(scale[b] * share + _EPSILON))
    for d in range(len(x)):
        row, into = x[d], out[d]
        for b in range(len(scale)):
            into[b] = _narrow(row[b] * scale[b] * gain[d], into[b])


@kernel
def gelu(x):
    """Put each number ``(size,)`` through GELU, by its tanh formula, in place."""
    for i in range(len(x)):
        a = _wide(x[i])
        u = np.float32(1.5957691216057308) * (a + np.float32(0.044715) * a * a * a)
        u = np.float32(-80.0) if u < np.float32(-80.0) else u
        x[i] = _narrow(np.divide(a, np.float32(1.0) + _exp(-u)), x[i])


@kernel
def attend(queries, cache, bias, classes, scratch, out):
    """Let each lane's query look at the positions in its cache: softmax(q k / sqrt(S) + bias) v.

    O(T D) per lane, which reads the cache once.

    Args:
        queries: ``(D, B)``, D = H * S.
        cache: ``(T, 2 D, B)``, the keys and then the values of every position seen.
        bias: float32 ``(H, C)``, what each head adds to the score of a class.
        classes: uint8 ``(T, B)``, the class of each position seen, below C; or ``(0, B)``, and
            nothing is added.
        scratch: float32, at least ``(T + S + 2, B)``.
        out: ``(D, B)``.
    """
    positions, lanes = len(cache), queries.shape[1]
    width = len(queries)
    size = width // len(bias)
    share = np.float32(1.0) / np.sqrt(np.float32(size))
    scores, query = scratch[:positions], scratch[positions : positions + size]
    top, total = scratch[positions + size], scratch[positions + size + 1]
    for first in range(0, width, size):
        for d in range(size):
            row, given = query[d], queries[first + d]
            for b in range(lanes):
                row[b] = _wide(given[b]) * share
        added = bias[first // size]
        for t in range(positions):
            score = scores[t]
            if len(classes):
                for b in range(lanes):
                    score[b] = added[classes[t, b]]
            else:
                for b in range(lanes):
                    score[b] = 0
            for d in range(size):
                row, key = query[d], cache[t, first + d]
                for b in range(lanes):
                    score[b] += row[b] * _wide(key[b])
        for b in range(lanes):
            top[b] = scores[0, b]
            total[b] = 0
        for t in range(1, positions):
            score = scores[t]
            for b in range(lanes):
                top[b] = score[b] if score[b] > top[b] else top[b]
        for t in range(positions):
            score = scores[t]
            for b in range(lanes):
                score[b] = _exp(score[b] - top[b])
                total[b] += score[b]
        for d in range(size):
            for b in range(lanes):
                top[b] = 0
            for t in range(positions):
                score, value = scores[t], cache[t, width + first + d]
                for b in range(lanes):
                    top[b] += score[b] * _wide(value[b])
            into = out[first + d]
            for b in range(lanes):
                into[b] = _narrow(np.divide(top[b], total[b]), into[b])


@kernel
def gather(rows, lanes, index, out):
    """Write ``rows (R * lanes,)``, lane ``index[i]`` of each row, into ``out (R * len(index),)``.

    The two may be the same memory where the index rises.
    """
    for r in range(len(out) // len(index)):
        row, into = rows[r * lanes : (r + 1) * lanes], out[r * len(index) : (r + 1) * len(index)]
        for i in range(len(index)):
            into[i] = row[index[i]]


@njit
def draw(logits, uniforms, legal, eos, temperature, top_p, tokens):
    """Write each row's next token into ``tokens``, by inverse transform of its uniform number.

    Args:
        logits: ``(B, V)``.
        uniforms: float64 ``(B,)`` in [0, 1).
        legal: bool ``(B, V)``, or empty where all is. A row with nothing legal draws ``eos``.
        temperature: 0 or below takes the likeliest.
        top_p: as for ``sample``.
        tokens: int64 ``(B,)``.

    Returns:
        Whether every logit is finite; the tokens mean nothing where not.
    """
    vocabulary = logits.shape[1]
    place = np.empty(vocabulary, np.int32)
    weight = np.empty(vocabulary, np.float32)
    for b in range(len(logits)):
        row = logits[b]
        wrong = 0
        for v in range(vocabulary):
            x = _wide(row[v])
            wrong |= x - x != 0
        if wrong:
            return False
        count, best = 0, 0
        for v in range(vocabulary):
            if len(legal) == 0 or legal[b, v]:
                place[count] = v
                weight[count] = _wide(row[v])
                best = count if weight[count] > weight[best] else best
                count += 1
        tokens[b] = place[best] if count else eos
        if count < 2 or temperature <= 0:
            continue
        w, top = weight[:count], weight[best]
        inverse = 1 / temperature
        for i in range(count):
            x = np.float32((w[i] - top) * inverse)
            w[i] = _exp(x) if x > _LEAST else np.float32(0.0)
        if top_p < 1:
            _cut(w, top_p)
        total = np.float64(0)
        for i in range(count):
            total += w[i]
        # The first height above the number drawn; the last that has any where rounding is at it.
        goal, height = uniforms[b] * total, np.float64(0)
        for i in range(count):
            if w[i] > 0:
                height += w[i]
                tokens[b] = place[i]
                if height > goal:
                    break
    return True


@njit
def _cut(w, top_p):
    """Set to 0 what comes after the likeliest that together reach the share top_p."""
    total = np.float64(0)
    for x in w:
        total += x
    before = np.float64(0)
    for i in np.argsort(-w, kind="mergesort"):
        x = w[i]
        if before >= top_p * total:
            w[i] = 0
        before += x

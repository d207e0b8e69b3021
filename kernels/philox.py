"""Counter-based random words: Philox4x32-10 (Salmon et al., SC11, doi 10.1145/2063384.2063405).

Word j of a stream of a chip is `Philox(counter = (j>>2 low, j>>2 high, stream, chip), key = seed)[j & 3]`, so
every random number is a pure function of (seed, chip, stream, j). The state sits in 64-bit lanes whose upper half
is left dirty; only what is multiplied or returned is masked.
"""

from __future__ import annotations

import numpy as np

from .jit import entry, inner
from .simd import filled, lanes_of, load, resized, store, width_of

# Streams; their numbers are part of the format: never renumber, only append.
(
    INIT,
    NEURON,
    MISMATCH,
    ORDER,
    PERTURBATION,
    PHASE,
    COST,
    COST_MINUS,
    BASELINE,
    WRITE,
    DEVICE,
    PULSE,
    READ,
    CONVERTER,
    FAULT,
) = range(15)
PROGRAM, REFRESH, FLICKER, TELEGRAPH = range(15, 19)
COLOUR, FIELD = 20, 21

M0 = np.uint64(0xD2511F53)
M1 = np.uint64(0xCD9E8D57)
W0 = np.uint64(0x9E3779B9)
W1 = np.uint64(0xBB67AE85)
LOW = np.uint64(0xFFFFFFFF)
S32 = np.uint64(32)


@inner
def philox(c0, c1, c2, c3, k0, k1):
    """Ten rounds on uint64 scalars or vectors that hold 32-bit words; the upper halves of the result are dirty."""
    for _ in range(10):
        p0 = (c0 & LOW) * M0
        p1 = (c2 & LOW) * M1
        c0 = (p1 >> S32) ^ c1 ^ k0
        c2 = (p0 >> S32) ^ c3 ^ k1
        c1 = p1
        c3 = p0
        k0 = k0 + W0
        k1 = k1 + W1
    return c0, c1, c2, c3


@inner
def words4(seed, ids, stream, block, out, row):
    """Words 4*block .. 4*block+3 of `stream` of every chip into out[row:row+4], uint32[.., lanes].

    seed, stream, block : uint64; ids : uint64[1, lanes].
    """
    low = filled(block & LOW, ids)
    high = filled(block >> S32, ids)
    which = filled(stream, ids)
    for v in range(0, lanes_of(ids), width_of(ids)):
        w0, w1, w2, w3 = philox(low, high, which, load(ids, 0, v), seed & LOW, seed >> S32)
        store(out, row, v, resized(w0, out))
        store(out, row + 1, v, resized(w1, out))
        store(out, row + 2, v, resized(w2, out))
        store(out, row + 3, v, resized(w3, out))


@entry
def fill_words(seed, ids, stream, first, out):
    """Words first .. first+n-1 of a stream; `first` a multiple of 4, out uint32[n (a multiple of 4), lanes]."""
    block = first >> np.uint64(2)
    for row in range(0, out.shape[0], 4):
        words4(seed, ids, stream, block + np.uint64(row >> 2), out, row)


@entry
def philox_block(counter, key, out):
    """One block: counter uint64[4], key uint64[2], out uint64[4] (for the known-answer test)."""
    w0, w1, w2, w3 = philox(counter[0], counter[1], counter[2], counter[3], key[0], key[1])
    out[0], out[1], out[2], out[3] = w0 & LOW, w1 & LOW, w2 & LOW, w3 & LOW

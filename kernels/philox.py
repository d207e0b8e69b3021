"""Counter-based random words: Philox4x32-10 (Salmon et al., SC11, doi 10.1145/2063384.2063405).

Word j of a stream of a chip is `Philox(counter = (j>>2 low, j>>2 high, stream, chip), key = seed)[j & 3]`, so
every random number is a pure function of (seed, chip, stream, j). The state sits in uint64 lanes and only
what is multiplied or returned is masked, which is twice as fast as uint32 lanes.
"""

from __future__ import annotations

import numpy as np

from .jit import entry, inner

# Streams; their numbers are part of the format: never renumber, only append.
INIT, NEURON, MISMATCH, ORDER, PERTURBATION, PHASE, COST, COST_MINUS, BASELINE, WRITE = range(10)

M0 = np.uint64(0xD2511F53)
M1 = np.uint64(0xCD9E8D57)
W0 = np.uint64(0x9E3779B9)
W1 = np.uint64(0xBB67AE85)
LOW = np.uint64(0xFFFFFFFF)
S32 = np.uint64(32)


@inner
def philox(c0, c1, c2, c3, k0, k1):
    """Ten rounds; all arguments and results uint64 that hold 32-bit words."""
    for _ in range(10):
        p0 = M0 * (c0 & LOW)
        p1 = M1 * (c2 & LOW)
        c0 = (p1 >> S32) ^ c1 ^ k0
        c1 = p1 & LOW
        c2 = (p0 >> S32) ^ c3 ^ k1
        c3 = p0 & LOW
        c0 = c0 & LOW
        c2 = c2 & LOW
        k0 = (k0 + W0) & LOW
        k1 = (k1 + W1) & LOW
    return c0, c1, c2, c3


@inner
def words4(seed, ids, stream, block, out, row):
    """Words 4*block .. 4*block+3 of `stream` of every chip in `ids` into out[row:row+4], uint32[.., lanes].

    seed, stream, block : uint64; ids : uint64[lanes].
    """
    k0 = seed & LOW
    k1 = seed >> S32
    b0 = block & LOW
    b1 = block >> S32
    o0 = out[row]
    o1 = out[row + 1]
    o2 = out[row + 2]
    o3 = out[row + 3]
    for lane in range(ids.shape[0]):
        r0, r1, r2, r3 = philox(b0, b1, stream, ids[lane], k0, k1)
        o0[lane] = np.uint32(r0)
        o1[lane] = np.uint32(r1)
        o2[lane] = np.uint32(r2)
        o3[lane] = np.uint32(r3)


@entry
def fill_words(seed, ids, stream, first, out):
    """Words first .. first+n-1 of a stream; `first` a multiple of 4, out uint32[n (a multiple of 4), lanes]."""
    block = first >> np.uint64(2)
    for row in range(0, out.shape[0], 4):
        words4(seed, ids, stream, block + np.uint64(row >> 2), out, row)


@entry
def philox_block(counter, key, out):
    """One block: counter uint64[4], key uint64[2], out uint64[4] (for the known-answer test)."""
    out[0], out[1], out[2], out[3] = philox(counter[0], counter[1], counter[2], counter[3], key[0], key[1])

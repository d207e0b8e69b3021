"""Random words of the emulated chips: Philox4x32-10, written from the paper, and what is made of its words.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11 (2011). `philox4x32`
is the plain version in Python integers; `philox4x32_array` is the same in NumPy, for many words at once.

A stream is a sequence of 32-bit words; word j is a pure function of (seed, chip, stream, j).
"""

import math

import numpy as np

# Streams: the third word of the counter.
INIT = 0  # initial parameters
NEURON = 1  # spread of the neurons
MISMATCH = 2  # mismatch of the perturbation amplitude
ORDER = 3  # order of the samples
PERTURBATION = 4  # random and gaussian perturbations
PHASE = 5  # phases of the sinusoids
COST = 6  # noise of the perturbed measurement (antithetic: of the plus side)
COST_MINUS = 7  # noise of the minus side of an antithetic measurement
BASELINE = 8  # noise of the baseline
WRITE = 9  # noise of a write

MULTIPLIER_0 = 0xD2511F53
MULTIPLIER_1 = 0xCD9E8D57
WEYL_0 = 0x9E3779B9  # golden ratio
WEYL_1 = 0xBB67AE85  # sqrt(3) - 1
ROUNDS = 10
MASK = 0xFFFFFFFF


def philox4x32(counter, key):
    """Four words from a counter of four words and a key of two, in Python integers.

    >>> [f"{w:08x}" for w in philox4x32((0, 0, 0, 0), (0, 0))]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        product_0 = MULTIPLIER_0 * c0  # 64 bits: high and low halves
        product_1 = MULTIPLIER_1 * c2
        c0, c1, c2, c3 = (
            (product_1 >> 32) ^ c1 ^ k0,
            product_1 & MASK,
            (product_0 >> 32) ^ c3 ^ k1,
            product_0 & MASK,
        )
        k0 = (k0 + WEYL_0) & MASK  # the key after the last round is not used
        k1 = (k1 + WEYL_1) & MASK
    return c0, c1, c2, c3


def philox4x32_array(c0, c1, c2, c3, key):
    """The same for arrays of counters (anything that broadcasts, values < 2**32).

    Returns uint32[..., 4]. Products are formed in uint64, where 32 x 32 bits never overflow.
    """
    c0, c1, c2, c3 = np.broadcast_arrays(*(np.asarray(c, dtype=np.uint64) for c in (c0, c1, c2, c3)))
    low, half = np.uint64(MASK), np.uint64(32)
    k0, k1 = key
    for _ in range(ROUNDS):
        product_0 = np.uint64(MULTIPLIER_0) * c0
        product_1 = np.uint64(MULTIPLIER_1) * c2
        c0 = (product_1 >> half) ^ c1 ^ np.uint64(k0)
        c1 = product_1 & low
        c2 = (product_0 >> half) ^ c3 ^ np.uint64(k1)
        c3 = product_0 & low
        k0 = (k0 + WEYL_0) & MASK
        k1 = (k1 + WEYL_1) & MASK
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def split64(value):
    """(low, high) 32-bit halves of a 64-bit integer."""
    return value & MASK, value >> 32


def word(seed, chip, stream, j):
    """Word j of a stream, a Python integer in [0, 2**32).

    >>> word(0, 0, 0, 1) == philox4x32((0, 0, 0, 0), (0, 0))[1]
    True
    """
    low, high = split64(j >> 2)
    return philox4x32((low, high, stream, chip), split64(seed))[j & 3]


def words(seed, chip, stream, j0, count):
    """Words j0 .. j0+count-1 of a stream: uint32[count]. j0 need not be a multiple of 4."""
    first, last = j0 >> 2, (j0 + count + 3) >> 2  # blocks of four words
    blocks = np.uint64(first) + np.arange(last - first, dtype=np.uint64)
    low = blocks & np.uint64(MASK)
    high = blocks >> np.uint64(32)
    flat = philox4x32_array(low, high, stream, chip, split64(seed)).reshape(-1)
    start = j0 & 3
    return flat[start : start + count]


def uniform(w):
    """(w + 0.5) 2**-32, in (0, 1), for a word or an array of words; exact in double precision."""
    return (np.float64(w) + 0.5) * 2.0**-32


def normal(seed, chip, stream, e):
    """Standard normal number e of a stream (Box and Muller, Ann. Math. Stat. 29, 610 (1958)).

    A block of four words gives four normals: words 0, 1 the normals 0, 1 and words 2, 3 the normals 2, 3.
    """
    j = 4 * (e // 4) + 2 * ((e % 4) // 2)
    a = word(seed, chip, stream, j)
    b = word(seed, chip, stream, j + 1)
    r = math.sqrt(-2.0 * math.log(uniform(a)))
    t = 2.0 * math.pi * uniform(b)
    return r * math.cos(t) if e % 2 == 0 else r * math.sin(t)


def normals(seed, chip, stream, e0, count):
    """Normals e0 .. e0+count-1 of a stream: float64[count]."""
    first = e0 - e0 % 2  # whole pairs
    pairs = (e0 + count - first + 1) // 2
    u = uniform(words(seed, chip, stream, first, 2 * pairs).astype(np.float64)).reshape(pairs, 2)
    r = np.sqrt(-2.0 * np.log(u[:, 0]))
    t = 2.0 * np.pi * u[:, 1]
    both = np.stack([r * np.cos(t), r * np.sin(t)], axis=-1).reshape(-1)
    return both[e0 - first : e0 - first + count]

"""Signs and normals of one chip, 64 words of a stream at a time: what lanes of chips make one by one."""

from __future__ import annotations

import numpy as np

from .across import ramp, reversed_bits, store_turns
from .jit import allocating_entry, inner, leaf
from .mathfn import normal_pair, uniform
from .perturb import parity, words_per_perturbation
from .philox import INIT, LOW, PERTURBATION, S32, philox
from .simd import WIDTH, fma, load, resized, splat, store, where

TURN = 4 * WIDTH  # words of one vector of Philox blocks


@leaf
def blocks16(seed, chip, stream, block, like):
    """Four vectors of words: lane l holds block + l; word 4 (block + l) + r is in vector r."""
    number = ramp() + np.uint64(block)
    a, b, c, d = philox(
        number & LOW, number >> S32, splat(np.uint64(stream)), splat(np.uint64(chip)), seed & LOW, seed >> S32
    )
    return resized(a, like), resized(b, like), resized(c, like), resized(d, like)


@inner
def random_row(k, n_params, seed, chip, words, row):
    """The signs of random perturbation k (as `random_words`) into a row of words."""
    first = k * words_per_perturbation(n_params)
    skip = first & 3
    n = (n_params + 31) // 32
    for w in range(0, n + skip, TURN):
        a, b, c, d = blocks16(seed, chip, PERTURBATION, (first + w) >> 2, words)
        store_turns(words, row, w, reversed_bits(a), reversed_bits(b), reversed_bits(c), reversed_bits(d))
    if skip > 0:  # of one or two words only
        for w in range(n):
            words[row, w] = words[row, w + skip]


@inner
def walsh_row(k, n_params, words, row):
    """The signs of Walsh codes at perturbation k (as `walsh_words`) into a row of words.

    Parameter 32 r + b has code 32 r + (b + 1): the parity of its low five bits under k is the same for every r, that
    of r under the rest turns the word over.
    """
    period = np.int64(1)
    while period < n_params + 1:
        period *= 2
    k = k % period
    low = np.uint32(0)
    for b in range(31):
        low = np.uint32(low | np.uint32(parity((b + 1) & k) << np.uint32(b)))
    high = np.uint32(k >> 5)
    number = resized(ramp(), words)
    for r in range(0, (n_params + 31) // 32, WIDTH):
        turned = odd(number + np.uint32(r), high)
        last = odd(number + np.uint32(r + 1), high)
        word = where(turned != np.uint32(0), low ^ np.uint32(0x7FFFFFFF), splat(low))
        store(words, row, r, word | (last << np.uint32(31)))


@leaf
def odd(a, mask):
    """1 in the lanes where a & mask has an odd number of bits."""
    x = a & mask
    x = x ^ (x >> np.uint32(16))
    x = x ^ (x >> np.uint32(8))
    x = x ^ (x >> np.uint32(4))
    x = x ^ (x >> np.uint32(2))
    x = x ^ (x >> np.uint32(1))
    return x & np.uint32(1)


@inner
def normals64(seed, chip, stream, block, words, out):
    """out real[1, 64] <- normals 4 block .. 4 block + 63 of a stream (as `normals4`); words for its type."""
    a, b, c, d = blocks16(seed, chip, stream, block, words)
    n0, n1 = normal_pair(a, b, out)
    n2, n3 = normal_pair(c, d, out)
    store_turns(out, 0, 0, n0, n1, n2, n3)


@allocating_entry
def draw_theta_row(seed, chip, scale, theta):
    """theta real[1, a multiple of 64] as `draw_theta`, scale of the same shape."""
    words = np.empty((1, TURN), np.uint32)
    for p in range(0, theta.shape[1], TURN):
        a, b, c, d = blocks16(seed, chip, INIT, p >> 2, words)
        store_turns(words, 0, 0, a, b, c, d)
        for v in range(0, TURN, WIDTH):
            u = uniform(load(words, 0, v), theta)
            store(theta, 0, p + v, fma(u, 2.0, -1.0) * load(scale, 0, p + v))

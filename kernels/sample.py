"""Which sample a chip sees when, and the copy of it into lanes."""

from __future__ import annotations

import numpy as np

from .jit import inner, leaf
from .philox import ORDER, words4
from .simd import WIDTH, any_lane, load, splat, store, where

ROUNDS = 12  # words of key an epoch; with 8, sets of 8 have orders that come visibly too often


@inner
def bits_of(n):
    """Number of bits of the smallest power of two >= n, at least 1."""
    bits = 1
    while (1 << bits) < n:
        bits += 1
    return bits


@leaf
def shuffle(position, n, keys, index, b):
    """index[b, lane] <- image of `position` under each chip's permutation of 0..n-1.

    keys : uint32[12, lanes], words 12 e .. 12 e + 11 of stream ORDER in epoch e; index : uint32[batch, lanes].
    A keyed bijection of the next power of two (odd multiply, add, xor-shift), applied until it lands below n;
    nothing is stored.
    """
    width = bits_of(n)
    half = np.uint32(max(1, width // 2))
    mask = np.uint32((1 << width) - 1)
    size = np.uint32(n)
    one = np.uint32(1)
    upper = np.uint32(16)
    for v in range(0, index.shape[1], WIDTH):
        out = splat(np.uint32(position))
        outside = out >= np.uint32(0)
        while any_lane(outside):
            x = out
            for r in range(ROUNDS):
                w = load(keys, r, v)
                x = (x * (w | one) + (w >> upper)) & mask
                x = x ^ (x >> half)
            out = where(outside, x, out)
            outside = out >= size
        store(index, b, v, out)


@leaf
def draw_samples(s0, batch, shuffled, n_train, seed, ids, keys, epoch_of_keys, index):
    """index[b] <- sample of presentation s0 + b, b < batch; returns the epoch the keys now belong to."""
    for b in range(batch):
        epoch = (s0 + b) // n_train
        position = (s0 + b) - epoch * n_train
        if shuffled:
            if epoch != epoch_of_keys:
                for q in range(ROUNDS // 4):
                    words4(seed, ids, np.uint64(ORDER), np.uint64(ROUNDS // 4 * epoch + q), keys, 4 * q)
                epoch_of_keys = epoch
            shuffle(position, n_train, keys, index, b)
        else:
            for v in range(0, index.shape[1], WIDTH):
                store(index, b, v, np.uint32(position))
    return epoch_of_keys


@leaf
def gather(table, index, b, out):
    """out[i, lane] <- table[index[b, lane], i]."""
    for lane in range(index.shape[1]):
        source = np.int64(index[b, lane])
        for i in range(table.shape[1]):
            out[i, lane] = table[source, i]

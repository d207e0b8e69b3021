"""Which sample a chip sees when, and the copy of it into lanes."""

from __future__ import annotations

import numpy as np

from .jit import inner
from .philox import ORDER, words4

ROUNDS = 12  # words of key an epoch; with 8, sets of 8 have orders that come visibly too often


@inner
def bits_of(n):
    """Number of bits of the smallest power of two >= n, at least 1."""
    bits = 1
    while (1 << bits) < n:
        bits += 1
    return bits


@inner
def shuffle(position, n, keys, out):
    """out[lane] <- image of `position` under each chip's permutation of 0..n-1.

    keys : uint32[12, lanes], words 12 e .. 12 e + 11 of stream ORDER in epoch e; out : int64[lanes].
    A keyed bijection of the next power of two (odd multiply, add, xor-shift), applied until it lands below n; nothing is stored.
    """
    bits = bits_of(n)
    half = np.uint32(max(1, bits // 2))
    mask = np.uint32((1 << bits) - 1)
    size = np.uint32(n)
    lanes = out.shape[0]
    for lane in range(lanes):
        out[lane] = position
    first = True
    outside = True
    while outside:
        count = 0
        for lane in range(lanes):
            start = np.uint32(out[lane])
            x = start
            for r in range(ROUNDS):
                w = keys[r, lane]
                x = np.uint32(np.uint32(x * np.uint32(w | np.uint32(1))) + np.uint32(w >> np.uint32(16))) & mask
                x = np.uint32(x ^ np.uint32(x >> half))
            moves = first or start >= size
            x = x if moves else start
            out[lane] = np.int64(x)
            count += np.int64(x >= size)
        first = False
        outside = count > 0


@inner
def draw_samples(s0, batch, shuffled, n_train, seed, ids, keys, epoch_of_keys, index):
    """index[b] <- sample of presentation s0 + b, b < batch; returns the epoch the keys now belong to."""
    for b in range(batch):
        epoch = (s0 + b) // n_train
        position = (s0 + b) - epoch * n_train
        row = index[b]
        if shuffled:
            if epoch != epoch_of_keys:
                for q in range(ROUNDS // 4):
                    words4(seed, ids, np.uint64(ORDER), np.uint64(ROUNDS // 4 * epoch + q), keys, 4 * q)
                epoch_of_keys = epoch
            shuffle(position, n_train, keys, row)
        else:
            for lane in range(row.shape[0]):
                row[lane] = position
    return epoch_of_keys


@inner
def gather(table, index, out):
    """out[i, lane] <- table[index[lane], i]."""
    for lane in range(index.shape[0]):
        row = table[index[lane]]
        for i in range(row.shape[0]):
            out[i, lane] = row[i]

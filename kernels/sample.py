"""Which sample a chip sees when, and the copy of it into lanes."""

from __future__ import annotations

import numpy as np

from .jit import inner, leaf
from .philox import ORDER, words4
from .simd import any_lane, at, filled, lanes_of, load, put, store, where, width_of
from .transpose import prefetch, transpose4

ROUNDS = 12  # words of key an epoch; with 8, sets of 8 have orders that come visibly too often
KEY_ROWS = ROUNDS + 1  # and four images at once, where they fit into a word
FAR_BYTES = 1 << 18  # a data set that is larger than this is not near at hand when a sample of it comes up


@inner
def order_width(n):
    """Number of bits of the smallest power of two >= n, at least 1."""
    bits = 1
    while (1 << bits) < n:
        bits += 1
    return bits


@leaf
def shuffle(position, n, width, keys, index, b):
    """index[b, lane] <- image of `position` under each chip's permutation of 0..n-1.

    keys : uint32[13, lanes], words 12 e .. 12 e + 11 of stream ORDER in epoch e; index : uint32[batch, lanes].
    A keyed bijection of the next power of two, 2**width (odd multiply, add, xor-shift), applied until it lands below n;
    nothing is stored.
    """
    half = np.uint32(max(1, width // 2))
    mask = np.uint32((1 << width) - 1)
    size = np.uint32(n)
    for v in range(0, lanes_of(index), width_of(index)):
        out = filled(np.uint32(position), index)
        outside = out >= np.uint32(0)
        while any_lane(outside):
            x = out
            for r in range(ROUNDS):
                w = load(keys, r, v)
                x = x * (w | np.uint32(1)) + (w >> np.uint32(16))
                x = (x & mask) ^ ((x & mask) >> half)
            out = where(outside, x, out)
            outside = out >= size
        store(index, b, v, out)


@leaf
def shuffle4(position, width, keys):
    """Row 12 of keys <- the images of positions 4 q .. 4 q + 3, `position` being one of them, a byte each.

    As `shuffle`, for n = 2**width <= 16: then a product of two numbers and a third fit into a byte.
    """
    half = np.uint32(max(1, width // 2))
    mask = np.uint32((1 << width) - 1)
    ones = np.uint32(0x01010101)
    masks = np.uint32(mask * ones)
    shifted = np.uint32((mask >> half) * ones)
    start = np.uint32(((position & ~3) * 0x01010101 + 0x03020100) & masks)
    for v in range(0, lanes_of(keys), width_of(keys)):
        x = filled(start, keys)
        for r in range(ROUNDS):
            w = load(keys, r, v)
            x = (x * ((w & mask) | np.uint32(1)) + ((w >> np.uint32(16)) & mask) * ones) & masks
            x = x ^ ((x >> half) & shifted)
        store(keys, ROUNDS, v, x)


@leaf
def next_samples(epoch, position, keys_epoch, shuffled, n_train, width, seed, ids, keys, index):
    """index[b] <- sample of each of the next presentations, the first being number `position` of `epoch`.

    width : order_width(n_train); keys_epoch : the epoch the keys belong to, or -1. Returns the three as they are then.
    """
    small = width <= 4 and (1 << width) == n_train
    for b in range(index.shape[0]):
        if shuffled:
            fresh = epoch != keys_epoch
            if fresh:
                for q in range(ROUNDS // 4):
                    words4(seed, ids, np.uint64(ORDER), np.uint64(ROUNDS // 4 * epoch + q), keys, 4 * q)
                keys_epoch = epoch
            if small:
                if fresh or position & 3 == 0:
                    shuffle4(position, width, keys)
                shift = np.uint32(8 * (position & 3))
                for v in range(0, lanes_of(index), width_of(index)):
                    store(index, b, v, (load(keys, ROUNDS, v) >> shift) & np.uint32(15))
            else:
                shuffle(position, n_train, width, keys, index, b)
        else:
            for v in range(0, lanes_of(index), width_of(index)):
                store(index, b, v, np.uint32(position))
        position += 1
        if position == n_train:
            position = 0
            epoch += 1
    return epoch, position, keys_epoch


@leaf
def draw_samples(s0, batch, shuffled, n_train, seed, ids, keys, keys_epoch, index):
    """index[b] <- sample of presentation s0 + b, b < batch; returns the epoch the keys now belong to."""
    epoch = s0 // n_train
    width = order_width(n_train)
    _, _, keys_epoch = next_samples(
        epoch, s0 - epoch * n_train, keys_epoch, shuffled, n_train, width, seed, ids, keys, index[:batch]
    )
    return keys_epoch


@leaf
def gather(table, index, b, out):
    """out[i, lane] <- table[index[b, lane], i]."""
    n, columns = table.shape
    if width_of(out) == 1:
        source = np.int64(at(index, b, 0))
        for i in range(columns):
            put(out, i, 0, table[source, i])
    elif n <= 4:  # choose among broadcast numbers
        for v in range(0, lanes_of(out), width_of(out)):
            which = load(index, b, v)
            for i in range(columns):
                x = filled(table[0, i], out)
                for s in range(1, n):
                    x = where(which == np.uint32(s), table[s, i], x)
                store(out, i, v, x)
    elif columns >= 4:  # the last four overlap those before
        for v in range(0, lanes_of(out), width_of(out)):
            transpose4(table, index, b, v, out)
    else:
        for lane in range(lanes_of(out)):
            source = np.int64(at(index, b, lane))
            for i in range(columns):
                put(out, i, lane, table[source, i])


@leaf
def fetch(table, index, b):
    """Have the rows that `gather` is to copy later brought nearer."""
    for lane in range(lanes_of(index)):
        prefetch(table, np.int64(at(index, b, lane)))

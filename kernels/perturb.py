"""Perturbations: as one sign bit per parameter (random, walsh) or as values (the others)."""

from __future__ import annotations

import numpy as np

from .jit import inner, leaf
from .mathfn import normal_pair, sincos64
from .philox import PERTURBATION, words4
from .simd import filled, flip, floor, fma, lanes_of, load, resized, store, width_of
from .table import GAUSSIAN, RANDOM, SEQUENTIAL, WALSH

# Row j: for bit 0 .. 31 of a word, most significant first, bit j of bit + 1.
COUNTS = np.array([sum(((b + 1 >> j) & 1) << (31 - b) for b in range(32)) for j in range(5)], np.uint32)
BLOCKS = 8  # of four normals each, made at a time
ALL = np.uint32(0xFFFFFFFF)


@inner
def words_per_perturbation(n_params):
    """W = ceil(P/32), above 2 rounded up to a multiple of 4."""
    w = (n_params + 31) // 32
    return w if w <= 2 else 4 * ((w + 3) // 4)


@inner
def copy_row(source, i, target, j):
    """target[j] <- source[i]."""
    for v in range(0, lanes_of(target), width_of(target)):
        store(target, j, v, load(source, i, v))


@inner
def random_words(k, n_params, seed, ids, cache, cached, words):
    """Sign words of perturbation k into words uint32[ceil(P/32), lanes]; returns the block now in `cache`.

    With one or two words a perturbation, a Philox block serves four or two perturbations: cache uint32[4, lanes].
    """
    per = words_per_perturbation(n_params)
    rows = words.shape[0]
    first = k * per
    if per <= 2:
        block = first >> 2
        if block != cached:
            words4(seed, ids, np.uint64(PERTURBATION), np.uint64(block), cache, 0)
        for row in range(rows):
            copy_row(cache, (first & 3) + row, words, row)
        return block
    for row in range(0, rows - rows % 4, 4):
        words4(seed, ids, np.uint64(PERTURBATION), np.uint64((first + row) >> 2), words, row)
    if rows % 4:
        words4(seed, ids, np.uint64(PERTURBATION), np.uint64((first + rows) >> 2), cache, 0)
        for row in range(rows - rows % 4, rows):
            copy_row(cache, row & 3, words, row)
    return np.int64(-1)


@inner
def parity(x):
    """1 where x has an odd number of set bits."""
    x = np.uint64(x)
    x ^= x >> np.uint64(32)
    x ^= x >> np.uint64(16)
    x ^= x >> np.uint64(8)
    x ^= x >> np.uint64(4)
    x ^= x >> np.uint64(2)
    x ^= x >> np.uint64(1)
    return np.uint32(x & np.uint64(1))


@leaf
def odd(x):
    """All bits set where x has an odd number of set bits, else none."""
    return ALL if parity(x) == np.uint32(1) else np.uint32(0)


@inner
def walsh_words(k, n_params, words):
    """Sign words of Walsh codes at perturbation k: parameter p has code p + 1, sign parity(popcount((p+1) & k)).

    With p = 32 row + bit the code is 32 row + (bit + 1), two parts that share no bit but for bit 31, whose part of 32
    carries over.
    """
    period = np.int64(1)
    while period < n_params + 1:
        period *= 2
    k = k & (period - 1)
    low = np.uint32(0)
    for j in range(5):
        if (k >> j) & 1:
            low ^= COUNTS[j]
    last = np.uint32(1)
    for row in range(words.shape[0]):
        word = (low ^ odd(32 * row & k)) & ~last
        word |= odd(32 * (row + 1) & k) & last
        for v in range(0, lanes_of(words), width_of(words)):
            store(words, row, v, word)


@inner
def normals(seed, ids, stream, block, blocks, words, out):
    """Normals 4 block .. 4 (block + blocks) - 1 of a stream into rows of out real[.., lanes], words uint32 as many.

    Several blocks at a time, because the many constants are then put into registers once.
    """
    for q in range(blocks):
        words4(seed, ids, np.uint64(stream), np.uint64(block + q), words, 4 * q)
    for row in range(0, 4 * blocks, 2):
        for v in range(0, lanes_of(out), width_of(out)):
            c, s = normal_pair(load(words, row, v), load(words, row + 1, v), out)
            store(out, row, v, c)
            store(out, row + 1, v, s)


@inner
def normals4(seed, ids, stream, block, words, out):
    """Normals 4 block .. 4 block + 3 of a stream into out real[4, lanes]; words is scratch uint32[4, lanes]."""
    normals(seed, ids, stream, block, 1, words, out)


@inner
def gaussian_values(k, amplitude, seed, ids, words, many, values):
    """values <- amplitude times normals k Wg + p, Wg = P rounded up to a multiple of 4."""
    n_params = values.shape[0]
    per = (n_params + 3) // 4
    for q in range(0, per, BLOCKS):
        normals(seed, ids, PERTURBATION, k * per + q, min(BLOCKS, per - q), words, many)
        for p in range(4 * q, min(4 * (q + BLOCKS), n_params)):
            for v in range(0, lanes_of(values), width_of(values)):
                store(values, p, v, load(many, p - 4 * q, v) * amplitude)


@inner
def sinusoid_values(n, dt, period, amplitude, multiple, wave, phase_sin, phase_cos, values):
    """values <- sqrt(2) amplitude sin(2 pi (f_p t + u_p)), f_p = multiple_p / period, t = n dt.

    The phase comes from n each time, exactly for whole t. multiple float64[1, P + 15] has rows that are not lanes but
    parameters, as scratch wave real[2, P + 15], rounded down to a multiple of 16: what all lanes share is made for 16
    parameters at a time.
    """
    t = n * dt
    whole = np.float64(period)
    t = t - np.floor(t / whole) * whole
    root = np.sqrt(2.0)
    for p in range(0, multiple.shape[1], width_of(multiple)):
        turns = load(multiple, 0, p) * t
        turns = (turns - floor(turns / whole) * whole) / whole
        s, c = sincos64(turns)
        store(wave, 0, p, resized(s * root, wave) * amplitude)
        store(wave, 1, p, resized(c * root, wave) * amplitude)
    for p in range(values.shape[0]):
        s = filled(wave[0, p], values)
        c = filled(wave[1, p], values)
        for v in range(0, lanes_of(values), width_of(values)):
            store(values, p, v, fma(load(phase_cos, p, v), s, load(phase_sin, p, v) * c))


@inner
def perturbation_values(
    kind, n, k, turn, dt, period, amplitude, seed, ids, multiple, wave, phase_sin, phase_cos, scratch, many, values
):
    """values real[P, lanes] <- theta_ac of perturbation k (of time n dt for sinusoids), `turn` being k % P."""
    if kind == GAUSSIAN:
        gaussian_values(k, amplitude, seed, ids, scratch, many, values)
    elif kind == SEQUENTIAL:
        for p in range(values.shape[0]):
            a = amplitude if p == turn else values.dtype.type(0.0)
            for v in range(0, lanes_of(values), width_of(values)):
                store(values, p, v, a)
    else:
        sinusoid_values(n, dt, period, amplitude, multiple, wave, phase_sin, phase_cos, values)


@leaf
def sign_values(words, amplitude, values):
    """values <- +-amplitude, minus where the bit of words is set, the highest bit of a word first."""
    size = filled(amplitude, values)
    for p in range(values.shape[0]):
        for v in range(0, lanes_of(values), width_of(values)):
            store(values, p, v, flip(size, load(words, p >> 5, v) << np.uint32(p & 31)))


@inner
def any_values(
    kind, n, k, dt, period, amplitude, seed, ids, multiple, wave, phase_sin, phase_cos, scratch, many, cache, cached,
    turns, words, values,
):  # fmt: skip
    """As `perturbation_values`, of any kind; returns the block now in `cache` (`random_words`).

    turns int64[layers + 1 or 0]: where the layers begin in values, which have their perturbations in turn, layer k %
    layers that of number k // layers.
    """
    rows, layers, turn = values.shape[0], max(turns.shape[0] - 1, 1), 0
    if layers > 1:
        turn = k % layers
        k = k // layers
    if kind == RANDOM:
        cached = random_words(k, rows, seed, ids, cache, cached, words)
        sign_values(words, amplitude, values)
    elif kind == WALSH:
        walsh_words(k, rows, words)
        sign_values(words, amplitude, values)
    else:
        perturbation_values(
            kind, n, k, k % rows, dt, period, amplitude, seed, ids, multiple, wave, phase_sin, phase_cos, scratch,
            many, values,
        )  # fmt: skip
    if layers > 1:
        for p in range(rows):
            if p < turns[turn] or p >= turns[turn + 1]:
                for v in range(0, lanes_of(values), width_of(values)):
                    store(values, p, v, 0.0)
    return cached

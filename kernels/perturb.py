"""Perturbations: as one sign bit per parameter (random, walsh) or as values (all)."""

from __future__ import annotations

import numpy as np

from .dense import sign_mask
from .jit import inner
from .mathfn import normal_pair, sincos64
from .philox import PERTURBATION, words4
from .simd import WIDTH, fma, load, signed, splat, store
from .table import GAUSSIAN, RANDOM, SEQUENTIAL, WALSH


@inner
def words_per_perturbation(n_params):
    """W = ceil(P/32), above 2 rounded up to a multiple of 4."""
    w = (n_params + 31) // 32
    return w if w <= 2 else 4 * ((w + 3) // 4)


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


@inner
def copy_row(source, i, target, j):
    """target[j] <- source[i]."""
    for v in range(0, target.shape[1], WIDTH):
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
def walsh_words(k, n_params, words):
    """Sign words of Walsh codes at perturbation k: parameter p has code p + 1, sign parity(popcount((p+1) & k))."""
    period = np.int64(1)
    while period < n_params + 1:
        period *= 2
    k = k % period
    for row in range(words.shape[0]):
        word = np.uint32(0)
        for bit in range(32):
            word = np.uint32(np.uint32(word << np.uint32(1)) | parity((32 * row + bit + 1) & k))
        for v in range(0, words.shape[1], WIDTH):
            store(words, row, v, word)


@inner
def normals4(seed, ids, stream, block, words, out):
    """Normals 4 block .. 4 block + 3 of a stream into out real[4, lanes]; words is scratch uint32[4, lanes]."""
    words4(seed, ids, np.uint64(stream), np.uint64(block), words, 0)
    for v in range(0, out.shape[1], WIDTH):
        for half in range(0, 4, 2):
            c, s = normal_pair(load(words, half, v), load(words, half + 1, v), out)
            store(out, half, v, c)
            store(out, half + 1, v, s)


@inner
def gaussian_values(k, amplitude, seed, ids, words, four, values):
    """values <- amplitude times normals k Wg + p, Wg = P rounded up to a multiple of 4."""
    n_params = values.shape[0]
    per = (n_params + 3) // 4
    for q in range(per):
        normals4(seed, ids, PERTURBATION, k * per + q, words, four)
        for r in range(min(4, n_params - 4 * q)):
            for v in range(0, values.shape[1], WIDTH):
                store(values, 4 * q + r, v, load(four, r, v) * amplitude)


@inner
def sinusoid_values(n, dt, first, period, amplitude, phase_sin, phase_cos, wave, values):
    """values <- sqrt(2) amplitude sin(2 pi (f_p t + u_p)), f_p = (first + p)/period, t = n dt.

    The phase comes from n each time, exactly for whole t; wave float64[2, P] is scratch.
    """
    t = n * dt
    whole = np.float64(period)
    t = t - np.floor(t / whole) * whole
    root = np.sqrt(2.0)
    sin = wave[0]
    cos = wave[1]
    for p in range(values.shape[0]):
        turns = np.float64(first + p) * t
        turns = (turns - np.floor(turns / whole) * whole) / whole
        s, c = sincos64(turns)
        sin[p] = root * s
        cos[p] = root * c
    for p in range(values.shape[0]):
        s = values.dtype.type(sin[p]) * amplitude
        c = values.dtype.type(cos[p]) * amplitude
        for v in range(0, values.shape[1], WIDTH):
            store(values, p, v, fma(load(phase_cos, p, v), s, load(phase_sin, p, v) * c))


@inner
def perturbation_values(kind, n, k, dt, first, period, amplitude, seed, ids, phase_sin, phase_cos, work, values):
    """values real[P, lanes] <- theta_ac of perturbation k (of time n dt for sinusoids).

    work = (cache, cached, words, scratch, four, wave); returns the block of words now in `cache`.
    """
    cache, cached, words, scratch, four, wave = work
    n_params = values.shape[0]
    zero = values.dtype.type(0.0)
    if kind == GAUSSIAN:
        gaussian_values(k, amplitude, seed, ids, scratch, four, values)
    elif kind == SEQUENTIAL:
        for p in range(n_params):
            a = amplitude if p == k % n_params else zero
            for v in range(0, values.shape[1], WIDTH):
                store(values, p, v, a)
    elif kind in (RANDOM, WALSH):
        if kind == RANDOM:
            cached = random_words(k, n_params, seed, ids, cache, cached, words)
        else:
            walsh_words(k, n_params, words)
        for p in range(n_params):
            mask = sign_mask(p)
            for v in range(0, values.shape[1], WIDTH):
                store(values, p, v, signed(load(words, p >> 5, v), mask, splat(amplitude), splat(-amplitude)))
    else:
        sinusoid_values(n, dt, first, period, amplitude, phase_sin, phase_cos, wave, values)
    return cached

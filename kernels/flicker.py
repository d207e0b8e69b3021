"""Conductances that fluctuate by themselves: 1/f noise and telegraph noise, a state that goes on from step to step.

1/f noise is a sum of Ornstein-Uhlenbeck processes of equal variance whose time constants are 1, 10, 100, ... steps. A
process is brought up to date, by its exact transition, every tenth of its time constant (at least every step) and keeps
its value in between. So what a step sees of it is at most that much older: its correlations are off by less than
0.1 of its variance, and its variance is exact. Telegraph noise: two states, exact transition probabilities.
"""

from __future__ import annotations

import numpy as np

from . import pair_table as pt
from .jit import inner
from .mathfn import uniform
from .perturb import BLOCKS, normals
from .philox import FLICKER, TELEGRAPH, words4
from .simd import filled, fma, lanes_of, load, store, where, width_of

FAST = 2  # processes that are updated at every step


@inner
def go_on(x, number, keep, k, n_params, seed, ids, words, xi):
    """The next value of process k of every device of a side; block `number` ceil(P/4) on of the stream FLICKER."""
    real = x.dtype.type
    blocks = (n_params + 3) // 4
    stays = real(keep)
    moves = real(np.sqrt(1.0 - keep * keep))
    for q in range(0, blocks, BLOCKS):
        normals(seed, ids, FLICKER, number * blocks + q, min(BLOCKS, blocks - q), words, xi)
        for p in range(4 * q, min(4 * (q + BLOCKS), n_params)):
            row = k * n_params + p
            for v in range(0, lanes_of(x), width_of(x)):
                store(x, row, v, fma(load(x, row, v), stays, load(xi, p - 4 * q, v) * moves))


@inner
def sum_slow(x, slow, processes, n_params):
    """slow <- the sum of the processes that are not updated at every step."""
    for p in range(n_params):
        for v in range(0, lanes_of(x), width_of(x)):
            total = load(x, FAST * n_params + p, v)
            for k in range(FAST + 1, processes):
                total = total + load(x, k * n_params + p, v)
            store(slow, p, v, total)


@inner
def switch(state, s, number, keep, high, n_params, seed, ids, words):
    """The next state of every trap: 1 with the probability high + (state - high) keep."""
    real = state.dtype.type
    blocks = (n_params + 3) // 4
    for q in range(blocks):
        words4(seed, ids, np.uint64(TELEGRAPH), np.uint64((2 * number + s) * blocks + q), words, 0)
        for p in range(4 * q, min(4 * q + 4, n_params)):
            for v in range(0, lanes_of(state), width_of(state)):
                chance = fma(load(state, p, v) - real(high), real(keep), real(high))
                up = uniform(load(words, p - 4 * q, v), state) <= chance
                store(state, p, v, where(up, filled(real(1.0), state), 0.0))


@inner
def fluctuate(n, n_params, seed, ids, words, xi, pair):
    """Processes and traps that are due at step n go on; at step 0 all of them start, as they are in the long run."""
    about, every, keep, real, at = pair.about, pair.every, pair.keep, pair.real, pair.at
    processes = every.shape[0]
    each = np.int64(about[pt.TELEGRAPH_EVERY])
    switching = each > 0 and n % each == 0
    for s in range(2):
        x, state = real[at[pt.PROCESSES + s] : at[pt.PROCESSES + s + 1]], real[at[pt.STATE + s] : at[pt.STATE + s + 1]]
        slow = False
        for k in range(processes):
            stride = np.int64(every[k])
            if n % stride != 0:  # nor are slower ones
                break
            number = ((n // stride) * processes + k) * 2 + s
            go_on(x, number, keep[k] if n > 0 else 0.0, k, n_params, seed, ids, words, xi)
            slow = k >= FAST
        if slow:
            sum_slow(x, real[at[pt.SLOW + s] : at[pt.SLOW + s + 1]], processes, n_params)
        if switching:
            stays = about[pt.TELEGRAPH_KEEP] if n > 0 else 0.0
            switch(state, s, n // each, stays, about[pt.TELEGRAPH_HIGH], n_params, seed, ids, words)


@inner
def clear(theta, first, last, groups):
    """theta <- 0, in those groups of four from first on whose bit is set; groups -1: in all."""
    for p in range(first, last):
        if groups < 0 or (groups >> ((p - first) >> 2)) & 1:
            for v in range(0, lanes_of(theta), width_of(theta)):
                store(theta, p, v, 0.0)


@inner
def add_fluctuation(theta, first, last, groups, s, pair):
    """theta +- what the conductances of side s are off; not below 0 in all. Parameters as in `clear`."""
    about, rows, at = pair.about, pair.real, pair.at
    now, ratio, x = (
        rows[at[pt.NOW + s] : at[pt.NOW + s + 1]],
        rows[at[pt.RATIO + s] : at[pt.RATIO + s + 1]],
        rows[at[pt.PROCESSES + s] : at[pt.PROCESSES + s + 1]],
    )
    slow, trap, state = (
        rows[at[pt.SLOW + s] : at[pt.SLOW + s + 1]],
        rows[at[pt.TRAP + s] : at[pt.TRAP + s + 1]],
        rows[at[pt.STATE + s] : at[pt.STATE + s + 1]],
    )
    real = theta.dtype.type
    n_params = now.shape[0]
    high, share = real(about[pt.TELEGRAPH_HIGH]), real(about[pt.TELEGRAPH_SHARE])
    fixed = real(about[pt.TELEGRAPH_FIXED])
    for p in range(first, last):
        if groups >= 0 and (groups >> ((p - first) >> 2)) & 1 == 0:
            continue
        for v in range(0, lanes_of(theta), width_of(theta)):
            g = load(now, p, v)
            change = filled(real(0.0), theta)
            if ratio.shape[0] > 0:
                total = load(x, p, v)
                if x.shape[0] > n_params:
                    total = total + load(x, n_params + p, v)
                if slow.shape[0] > 0:
                    total = total + load(slow, p, v)
                change = g * load(ratio, p, v) * total
            if trap.shape[0] > 0:
                size = fma(g, share, fixed) * load(trap, p, v)
                change = fma(size, load(state, p, v) - high, change)
            change = where(g + change < 0.0, -g, change)
            store(theta, p, v, load(theta, p, v) + (change if s == 0 else -change))

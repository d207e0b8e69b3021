"""Writes of devices that are not ideal, as values: bounds, levels, write noise. Whole pulses: `pulses`.

`device` is a `hardware.Hardware`.
"""

from __future__ import annotations

import numpy as np

from .aging import decayed
from .asked import asked_on, given_on
from .conductance import program_on
from .jit import inner, leaf
from .mathfn import uniform
from .perturb import BLOCKS, normals
from .philox import PULSE, WRITE, words4
from .pulse import limited
from .simd import any_lane, filled, floor, fma, lanes_of, load, store, where, width_of
from .table import (
    GRANULARITY,
    MAX_PULSES,
    MOMENTUM,
    NEAREST,
    ROUNDING,
    SIGMA_THETA,
    STOCHASTIC,
    STUCK,
    WEIGHT_DECAY,
    WRITE_NOISE,
    WRITES,
    WRITES_DIRECT,
)
from .update import asked

NOTHING = 1e-30  # asked of a device whose write is noise alone


@leaf
def whole_of(x, u, stochastic):
    """The whole number of granules for x, signed like it: one more with the probability of what is over, or u more.

    Stochastic: u uniform in (0, 1], compared and not added, so that a small chance stays so in single precision.
    """
    size = where(x < 0.0, -x, x)
    n = floor(size)
    n = where(u < size - n, n + 1.0, n) if stochastic else floor(size + u)
    return where(x < 0.0, -n, n)


@inner
def write_values(n, theta, G, velocity, reals, rate, clear, number, seed, ids, words, device):
    """The write at the end of step n of devices that take any value, or one of their levels, within bounds.

    Words of the stream PULSE: those of write `number` come in slots of ceil(P/4) blocks, slot 0 for the rounding and
    slot 1 for the write noise; sigma_theta has the stream WRITE.
    """
    law, held, carry, counted, limit, kept = (
        device.law, device.held, device.carry, device.counted, device.limit, device.kept,
    )  # fmt: skip
    high, low, offset, counts, xi = device.high, device.low, device.offset, device.counts, device.xi
    aging = device.aging
    real = theta.dtype.type
    n_params = theta.shape[0]
    momentum, decay = real(reals[MOMENTUM]), real(reals[WEIGHT_DECAY])
    moving, decaying = velocity.shape[0] > 0, reals[WEIGHT_DECAY] != 0.0
    sigma, noise = real(reals[SIGMA_THETA]), real(law[WRITE_NOISE])
    granules, granularity = real(1.0 / law[GRANULARITY]), real(law[GRANULARITY])
    most = real(law[MAX_PULSES])
    direct = law[WRITES] == WRITES_DIRECT
    always = direct and reals[SIGMA_THETA] > 0.0
    stochastic = law[ROUNDING] == STOCHASTIC and not direct
    half = real(0.5) if law[ROUNDING] == NEAREST else real(0.0)
    blocks = (n_params + 3) // 4
    slots = np.int64(law[MAX_PULSES]) + 2
    one = np.uint32(1)
    for q in range(0, blocks, BLOCKS):
        some = min(BLOCKS, blocks - q)
        first, last = 4 * q, min(4 * (q + BLOCKS), n_params)
        if stochastic:
            for i in range(some):
                words4(seed, ids, np.uint64(PULSE), np.uint64(number * slots * blocks + q + i), words, 4 * i)
        written = False
        for p in range(first, last):
            for v in range(0, lanes_of(theta), width_of(theta)):
                x = asked(load(theta, p, v), G, velocity, momentum, decay, moving, decaying, rate, clear, p, v)
                x = asked_on(x, p, v, device)
                if not direct:
                    x = x * granules
                    if carry.shape[0] > 0:
                        x = x + load(carry, p, v)
                    u = uniform(load(words, p - first, v), theta) if stochastic else filled(half, theta)
                    m = whole_of(x, u, stochastic)
                    m = where(m > most, most, m)
                    m = where(m < -most, -most, m)
                    if carry.shape[0] > 0:
                        store(carry, p, v, x - m)
                    x = m
                if law[STUCK] > 0.0:  # what is stuck is not written
                    x = where(load(high, p, v) == load(low, p, v), 0.0, x)
                if limit.shape[0] > 0:
                    x = where(load(counted, p, v) >= load(limit, p, v), 0.0, x)
                if always:  # a noisy write of nothing still writes, but not what cannot move
                    moves = filled(one, counted) > np.uint32(0)
                    if law[STUCK] > 0.0:
                        moves = moves & (load(high, p, v) != load(low, p, v))
                    if limit.shape[0] > 0:
                        moves = moves & (load(counted, p, v) < load(limit, p, v))
                    x = where(moves & (x == 0.0), real(NOTHING), x)
                store(counts, p - first, v, x)
                written = written or any_lane(x != 0.0)
        given_on(counts, counted, limit, first, last, device)
        if direct and sigma > 0.0:
            normals(seed, ids, WRITE, number * blocks + q, some, words, xi)
        if not written:
            continue
        for p in range(first, last):
            if aging.written.shape[0] > 0:
                wake(n, held, counts, aging, p, p - first)
            for v in range(0, lanes_of(theta), width_of(theta)):
                before, m = load(held, p, v), load(counts, p - first, v)
                h = before
                if direct:
                    h = h + m
                    if sigma > 0.0:
                        h = where(m == 0.0, h, fma(load(xi, p - first, v), sigma, h))
                else:
                    base = load(low, p, v)
                    h = fma(floor((h - base) * granules + (m + 0.5)), granularity, base)
                # what is not written stays, also on a bound between two levels
                store(held, p, v, where(m == 0.0, before, limited(h, high, low, p, v)))
                c = load(counted, p, v)
                store(counted, p, v, where((m == 0.0) | (m == real(NOTHING)), c, c + one))
        if noise > 0.0:
            normals(seed, ids, PULSE, (number * slots + 1) * blocks + q, some, words, xi)
        for p in range(first, last):
            for v in range(0, lanes_of(theta), width_of(theta)):
                seen = load(held, p, v)
                if offset.shape[0] > 0:
                    seen = seen - load(offset, p, v)
                untouched = load(counts, p - first, v) == 0.0  # what is not written is not seen anew
                if noise > 0.0:
                    extra = load(xi, p - first, v) * noise
                    if kept.shape[0] > 0:
                        store(kept, p, v, where(untouched, load(kept, p, v), extra))
                    seen = seen + extra
                store(theta, p, v, where(untouched, load(theta, p, v), seen))
        program_on(n, number, seed, ids, words, q, first, last, theta, device)


@leaf
def wake(n, held, counts, aging, p, row):
    """What is written at the end of step n starts from what it has become, and its clock anew."""
    written = aging.written
    for v in range(0, lanes_of(held), width_of(held)):
        h, t = load(held, p, v), load(written, p, v)
        still = load(counts, row, v) == 0.0
        now = decayed(h, n + 1, aging, p, v)
        store(held, p, v, where(still, h, now))
        store(written, p, v, where(still, t, n + 1))

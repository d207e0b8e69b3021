"""Writes of devices that are not ideal: whole pulses whose step depends on the state, bounds, levels, write noise.

`device` is a `hardware.Hardware`.
Equations: Gong et al., Nat. Commun. 9, 2102 (2018); Rasch et al., AICAS 2021, arXiv 2104.02184.
"""

from __future__ import annotations

import numpy as np

from .aging import decayed
from .asked import asked_on, given_on
from .conductance import program_on
from .jit import inner, leaf
from .mathfn import exp, log, uniform
from .perturb import BLOCKS, normals
from .philox import PULSE, WRITE, words4
from .simd import any_lane, filled, floor, fma, lanes_of, load, store, where, width_of
from .table import (
    C2C,
    C2C_FLOOR,
    C2C_KIND,
    C2C_SLOPE,
    EXPONENTIAL,
    FACTOR_DOWN,
    FACTOR_UP,
    GRANULARITY,
    MAX_PULSES,
    MODEL,
    MOMENTUM,
    NEAREST,
    OF_NOMINAL,
    POWER,
    RATE_DOWN,
    RATE_UP,
    RELATIVE,
    ROUNDING,
    SIGMA_THETA,
    STOCHASTIC,
    STUCK,
    WEIGHT_DECAY,
    WRITE_NOISE,
    WRITES,
    WRITES_AT_ONCE,
    WRITES_DIRECT,
    Z_SHIFT,
)
from .update import asked

LEAST = 2.0**-40  # of the argument of a power: its logarithm is finite


@leaf
def whole_of(x, u, stochastic):
    """The whole number of granules for x, signed like it: one more with the probability of what is over, or u more.

    Stochastic: u uniform in (0, 1], compared and not added, so that a small chance stays so in single precision.
    """
    size = where(x < 0.0, -x, x)
    n = floor(size)
    n = where(u < size - n, n + 1.0, n) if stochastic else floor(size + u)
    return where(x < 0.0, -n, n)


@leaf
def step_of(h, rising, up, down, slope_up, slope_down, high, low, law, p, v):
    """Size of the step of one pulse from state h, before the cycle-to-cycle spread; positive downwards too."""
    real = up.dtype.type
    size = where(rising, load(up, p, v), load(down, p, v))
    if law[MODEL] == EXPONENTIAL:  # slope_up: 2 z_scale / (high - low)
        z = fma(load(slope_up, p, v), h, real(law[Z_SHIFT]))
        y = exp(where(rising, z * law[RATE_UP], z * -law[RATE_DOWN]))
        y = 1.0 - y * where(rising, filled(real(law[FACTOR_UP]), up), filled(real(law[FACTOR_DOWN]), up))
        return size * where(y < 0.0, 0.0, y)
    if law[MODEL] == POWER:  # slope_up: 1 / (high - low)
        room = where(rising, load(high, p, v) - h, h - load(low, p, v)) * load(slope_up, p, v)
        y = log(where(room < LEAST, LEAST, room), up)
        return size * exp(where(rising, y * law[RATE_UP], y * law[RATE_DOWN]))
    if slope_up.shape[0] > 0:
        return size * fma(where(rising, load(slope_up, p, v), load(slope_down, p, v)), -h, 1.0)
    return size


@leaf
def pulse(h, xi, rising, up, down, slope_up, slope_down, high, low, law, p, v):
    """The state after one pulse, xi a standard normal."""
    size = step_of(h, rising, up, down, slope_up, slope_down, high, low, law, p, v)
    if law[C2C] > 0.0:
        spread = xi * law[C2C]
        if law[C2C_KIND] == RELATIVE:
            size = fma(size, spread, size)
        elif law[C2C_KIND] == OF_NOMINAL:
            size = fma(where(rising, load(up, p, v), load(down, p, v)), spread, size)
        else:
            state = where(h < 0.0, -h, h) * law[C2C_SLOPE] + law[C2C_FLOOR]
            size = fma(where(size < 0.0, -size, size) + state, spread, size)
    return limited(h + where(rising, size, -size), high, low, p, v)


@leaf
def limited(h, high, low, p, v):
    """h within the bounds of device p, where it has any."""
    if high.shape[0] > 0:
        h = where(h > load(high, p, v), load(high, p, v), h)
        h = where(h < load(low, p, v), load(low, p, v), h)
    return h


@inner
def write_pulses(n, theta, G, velocity, reals, rate, clear, number, seed, ids, words, device):
    """The write at the end of step n of devices that are not ideal, as `update.write` is that of the others.

    Words of the stream PULSE: those of write `number` come in slots of ceil(P/4) blocks, slot 0 for the rounding, slot
    1 for the write noise, slot 2 + i for the i-th pulse; sigma_theta has the stream WRITE.
    """
    law, held, carry, counted, limit, kept = (
        device.law, device.held, device.carry, device.counted, device.limit, device.kept,
    )  # fmt: skip
    up, down, slope_up, slope_down = device.up, device.down, device.slope_up, device.slope_down
    high, low, offset, counts, xi = device.high, device.low, device.offset, device.counts, device.xi
    aging = device.aging
    real = theta.dtype.type
    n_params = theta.shape[0]
    momentum, decay = real(reals[MOMENTUM]), real(reals[WEIGHT_DECAY])
    moving, decaying = velocity.shape[0] > 0, reals[WEIGHT_DECAY] != 0.0
    sigma, noise = real(reals[SIGMA_THETA]), real(law[WRITE_NOISE])
    granules = real(1.0 / law[GRANULARITY])
    granularity = real(law[GRANULARITY])
    most = real(law[MAX_PULSES])
    direct, at_once = law[WRITES] == WRITES_DIRECT, law[WRITES] == WRITES_AT_ONCE
    always = direct and reals[SIGMA_THETA] > 0.0  # a noisy write of nothing still writes
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
        # what is asked for, as whole granules where there are such; which groups of four parameters get any
        active = np.int64(0)
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
                store(counts, p - first, v, x)
                if any_lane(x != 0.0):
                    active |= 1 << ((p - first) >> 2)
        given_on(counts, counted, limit, first, last, device)
        if direct and sigma > 0.0:
            normals(seed, ids, WRITE, number * blocks + q, some, words, xi)
        written = active
        if aging.written.shape[0] > 0:
            for p in range(first, last):
                wake(n, held, counts, always, aging, p, p - first)
        if direct or at_once:
            for p in range(first, last):
                for v in range(0, lanes_of(theta), width_of(theta)):
                    h, m = load(held, p, v), load(counts, p - first, v)
                    if direct:
                        h = h + m
                        if sigma > 0.0:
                            h = fma(load(xi, p - first, v), sigma, h)
                    else:
                        base = load(low, p, v)
                        h = fma(floor((h - base) * granules + (m + 0.5)), granularity, base)
                    store(held, p, v, limited(h, high, low, p, v))
                    c = load(counted, p, v)
                    store(counted, p, v, where(m == 0.0, c, c + one))
        else:
            i = np.int64(0)
            while active != 0:
                if law[C2C] > 0.0:
                    block = (number * slots + 2 + i) * blocks + q
                    normals_of(active, seed, ids, PULSE, block, some, words, xi)
                still = np.int64(0)
                for p in range(first, last):
                    g = (p - first) >> 2
                    if (active >> g) & 1 == 0:
                        continue
                    for v in range(0, lanes_of(theta), width_of(theta)):
                        m = load(counts, p - first, v)
                        size = where(m < 0.0, -m, m)
                        here = size > real(i)
                        if limit.shape[0] > 0:
                            here = here & (load(counted, p, v) < load(limit, p, v))
                        if any_lane(here):
                            h = load(held, p, v)
                            after = pulse(
                                h, load(xi, p - first, v), m > 0.0, up, down, slope_up, slope_down, high, low, law, p, v
                            )
                            store(held, p, v, where(here, after, h))
                            c = load(counted, p, v)
                            store(counted, p, v, where(here, c + one, c))
                            if any_lane(size > real(i + 1)):
                                still |= 1 << g
                active = still
                i += 1
        if noise > 0.0:
            normals_of(written, seed, ids, PULSE, (number * slots + 1) * blocks + q, some, words, xi)
        for p in range(first, last):
            if not always and (written >> ((p - first) >> 2)) & 1 == 0:
                continue
            for v in range(0, lanes_of(theta), width_of(theta)):
                seen = load(held, p, v)
                if offset.shape[0] > 0:
                    seen = seen - load(offset, p, v)
                untouched = load(counts, p - first, v) == 0.0  # what no pulse reached is not written
                if noise > 0.0:
                    extra = load(xi, p - first, v) * noise
                    if kept.shape[0] > 0:
                        store(kept, p, v, where(untouched, load(kept, p, v), extra))
                    seen = seen + extra
                store(theta, p, v, seen if always else where(untouched, load(theta, p, v), seen))
        program_on(n, always, number, seed, ids, words, q, first, last, theta, device)


@inner
def normals_of(groups, seed, ids, stream, block, blocks, words, out):
    """`normals`, at least in those groups of four whose bit is set."""
    few = 0
    for g in range(blocks):
        few += (groups >> g) & 1
    if 4 * few > 3 * blocks:
        normals(seed, ids, stream, block, blocks, words, out)
    else:
        for g in range(blocks):
            if (groups >> g) & 1:
                normals(seed, ids, stream, block + g, 1, words, out[4 * g : 4 * g + 4])


@leaf
def wake(n, held, counts, always, aging, p, row):
    """What is written at the end of step n starts from what it has become, and its clock anew."""
    written = aging.written
    for v in range(0, lanes_of(held), width_of(held)):
        h, t = load(held, p, v), load(written, p, v)
        still = load(counts, row, v) == 0.0
        now = decayed(h, n + 1, aging, p, v)
        store(held, p, v, now if always else where(still, h, now))
        store(written, p, v, t * 0 + (n + 1) if always else where(still, t, n + 1))

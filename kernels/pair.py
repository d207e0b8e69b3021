"""Writes of weights that are the difference of two devices, each of which pulses can only raise.

What is asked for upwards goes to plus, downwards to minus. A pair whose larger device is above one share of the full
range and whose smaller one above another cannot go on for long: both are reset, and their difference is written anew.
Nandakumar et al., Front. Neurosci. 14, 406 (2020). `device` is a `hardware.Hardware` with a `Pair`.
"""

from __future__ import annotations

import numpy as np

from . import pair_table as pt
from . import table as t
from .asked import asked_on
from .conductance import clock_of, drifted, groups_of, program, see
from .jit import inner
from .mathfn import uniform
from .perturb import BLOCKS, normals
from .philox import PULSE, REFRESH, words4
from .picked import spot
from .pulse import limited, pulse, slopes
from .simd import any_lane, filled, fma, lanes_of, load, store, where, width_of
from .update import asked
from .writes import whole_of

TINY = 1e-30


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


@inner
def awake(n, s, counts, sign, nu, written, t0, pair, first, last):
    """Devices first .. last - 1 of side s for which sign times `counts` is more than 0 are touched.

    They go on from what they have become, their clocks anew.
    """
    held, touched = (
        pair.real[pair.at[pt.HELD + s] : pair.at[pt.HELD + s + 1]],
        pair.real[pair.at[pt.TOUCHED + s] : pair.at[pt.TOUCHED + s + 1]],
    )
    real = held.dtype.type
    clock = clock_of(written, held.shape[0], s)
    for p in range(first, last):
        for v in range(0, lanes_of(held), width_of(held)):
            here = load(counts, p - first, v) * real(sign) > 0.0
            store(touched, p - first, v, where(here, filled(real(1.0), held), 0.0))
            if nu.shape[0] > 0:
                h, w = load(held, p, v), load(written, clock + p, v)
                store(held, p, v, where(here, drifted(h, n + 1, nu, written, p, clock + p, t0, v), h))
                store(written, clock + p, v, where(here, w * 0 + (n + 1), w))


@inner
def push(s, sign, i, counts, groups, xi, law, pair, first, last):
    """Pulse i for the devices first .. last - 1 of side s, where sign `counts` is more; groups that still wait."""
    rows, at = pair.real, pair.at
    held, up, slope = (
        rows[at[pt.HELD + s] : at[pt.HELD + s + 1]],
        rows[at[pt.STEP_UP + s] : at[pt.STEP_UP + s + 1]],
        rows[at[pt.SLOPE + s] : at[pt.SLOPE + s + 1]],
    )
    high, low = rows[at[pt.HIGH + s] : at[pt.HIGH + s + 1]], rows[at[pt.LOW + s] : at[pt.LOW + s + 1]]
    counted, limit = (
        pair.count[pair.count_at[pt.COUNTED + s] : pair.count_at[pt.COUNTED + s + 1]],
        pair.count[pair.count_at[pt.LIMIT + s] : pair.count_at[pt.LIMIT + s + 1]],
    )
    real = held.dtype.type
    still = np.int64(0)
    for p in range(first, last):
        row = p - first
        if (groups >> (row >> 2)) & 1 == 0:
            continue
        for v in range(0, lanes_of(counts), width_of(counts)):
            wanted = load(counts, row, v) * real(sign)
            here = wanted > real(i)
            if limit.shape[0] > 0:
                here = here & (load(counted, p, v) < load(limit, p, v))
            if any_lane(here):
                h = load(held, p, v)
                rising = h == h
                step, steep = slopes(rising, up, up, slope, slope, law, up, spot(p, v, up))
                top, bottom = load(high, p, v), load(low, p, v)
                after = pulse(h, load(xi, row, v), rising, step, steep, top, bottom, law, held)
                store(held, p, v, where(here, after, h))
                c = load(counted, p, v)
                store(counted, p, v, where(here, c + np.uint32(1), c))
                if any_lane(wanted > real(i + 1)):
                    still |= 1 << (row >> 2)
    return still


@inner
def hold_back(s, values, sign, pair, first, last):
    """values <- 0 where the device they mean, that of side s with sign times the value above 0, cannot move.

    It is stuck, or worn out; sign 0: where either of the pair cannot, whatever the value.
    """
    high, low = (
        pair.real[pair.at[pt.HIGH + s] : pair.at[pt.HIGH + s + 1]],
        pair.real[pair.at[pt.LOW + s] : pair.at[pt.LOW + s + 1]],
    )
    counted, limit = (
        pair.count[pair.count_at[pt.COUNTED + s] : pair.count_at[pt.COUNTED + s + 1]],
        pair.count[pair.count_at[pt.LIMIT + s] : pair.count_at[pt.LIMIT + s + 1]],
    )
    real = high.dtype.type
    for p in range(first, last):
        for v in range(0, lanes_of(values), width_of(values)):
            x = load(values, p - first, v)
            ends = load(high, p, v) == load(low, p, v)
            if limit.shape[0] > 0:
                ends = ends | (load(counted, p, v) >= load(limit, p, v))
            if sign != 0.0:
                ends = ends & (x * real(sign) > 0.0)
            store(values, p - first, v, where(ends, 0.0, x))


@inner
def reset(n, s, xi, written, pair, first, last):
    """The devices first .. last - 1 of side s, where due, to where a reset leaves them; counts as a pulse."""
    rows, at = pair.real, pair.at
    held, rest, touched = (
        rows[at[pt.HELD + s] : at[pt.HELD + s + 1]],
        rows[at[pt.RESET + s] : at[pt.RESET + s + 1]],
        rows[at[pt.TOUCHED + s] : at[pt.TOUCHED + s + 1]],
    )
    high, low, due = (
        rows[at[pt.HIGH + s] : at[pt.HIGH + s + 1]],
        rows[at[pt.LOW + s] : at[pt.LOW + s + 1]],
        rows[at[pt.DUE] : at[pt.DUE + 1]],
    )
    counted = pair.count[pair.count_at[pt.COUNTED + s] : pair.count_at[pt.COUNTED + s + 1]]
    real = held.dtype.type
    spread = real(pair.about[pt.RESET_C2C])
    clock = clock_of(written, held.shape[0], s)
    for p in range(first, last):
        row = p - first
        for v in range(0, lanes_of(due), width_of(due)):
            here = load(due, row, v) != 0.0
            h = load(held, p, v)
            after = limited(fma(load(xi, row, v), spread, load(rest, p, v)), high, low, p, v)
            store(held, p, v, where(here, after, h))
            c = load(counted, p, v)
            store(counted, p, v, where(here, c + np.uint32(1), c))
            if written.shape[0] > 0:
                w = load(written, clock + p, v)
                store(written, clock + p, v, where(here, w * 0 + (n + 1), w))
            store(touched, row, v, where(here, filled(real(1.0), due), load(touched, row, v)))


@inner
def find_full(n, pair, nu_plus, nu_minus, written, t0, first, last):
    """DUE <- the weight where a pair is nearly full, else 0."""
    plus, minus, due = (
        pair.real[pair.at[pt.HELD] : pair.at[pt.HELD + 1]],
        pair.real[pair.at[pt.HELD + 1] : pair.at[pt.HELD + 2]],
        pair.real[pair.at[pt.DUE] : pair.at[pt.DUE + 1]],
    )
    real = due.dtype.type
    upper, lower = real(pair.about[pt.REFRESH_UPPER]), real(pair.about[pt.REFRESH_LOWER])
    clock = clock_of(written, plus.shape[0], 1)
    for p in range(first, last):
        for v in range(0, lanes_of(due), width_of(due)):
            a = drifted(load(plus, p, v), n + 1, nu_plus, written, p, p, t0, v)
            b = drifted(load(minus, p, v), n + 1, nu_minus, written, p, clock + p, t0, v)
            full = (where(a > b, a, b) > upper) & (where(a > b, b, a) > lower)
            w = a - b
            store(due, p - first, v, where(full, where(w == 0.0, real(TINY), w), 0.0))


@inner
def missing(counts, pair, first, last):
    """counts <- +1 or -1 where a pair that is due is not yet as far apart as it was, else 0 and no longer due."""
    plus, minus, due = (
        pair.real[pair.at[pt.HELD] : pair.at[pt.HELD + 1]],
        pair.real[pair.at[pt.HELD + 1] : pair.at[pt.HELD + 2]],
        pair.real[pair.at[pt.DUE] : pair.at[pt.DUE + 1]],
    )
    real = due.dtype.type
    for p in range(first, last):
        row = p - first
        for v in range(0, lanes_of(due), width_of(due)):
            wanted = load(due, row, v)
            w = load(plus, p, v) - load(minus, p, v)
            one = filled(real(1.0), due)
            sign = where((wanted > 0.0) & (w < wanted), one, 0.0)
            sign = where((wanted < 0.0) & (w > wanted), -one, sign)
            store(counts, row, v, sign)
            store(due, row, v, where(sign == 0.0, 0.0, wanted))


@inner
def refresh(n, number, seed, ids, words, xi, q, first, last, blocks, law, pair, aging, counts):
    """Pairs of the parameters first .. last - 1 that are nearly full are reset, and their difference written anew.

    Pulse by pulse, until the difference is there or max_pulses are given. Words of the stream REFRESH: those of write
    `number` in slots of `blocks`, 0 and 1 for the resets of plus and minus, 2 + i for the i-th pulse. counts: scratch.
    """
    written = aging.written
    due, times = (
        pair.real[pair.at[pt.DUE] : pair.at[pt.DUE + 1]],
        pair.count[pair.count_at[pt.REFRESHED] : pair.count_at[pt.REFRESHED + 1]],
    )
    some = (last - first + 3) // 4
    slots = np.int64(law[t.MAX_PULSES]) + 2
    find_full(n, pair, aging.nu_plus, aging.nu_minus, written, aging.about[t.DRIFT_T0], first, last)
    for s in range(2):
        hold_back(s, due, 0.0, pair, first, last)
    active = groups_of(due, last - first)
    if active == 0:
        return
    for p in range(first, last):
        for v in range(0, lanes_of(due), width_of(due)):
            c = load(times, p, v)
            store(times, p, v, where(load(due, p - first, v) != 0.0, c + np.uint32(1), c))
    for s in range(2):
        normals_of(active, seed, ids, REFRESH, (number * slots + s) * blocks + q, some, words, xi)
        reset(n, s, xi, written, pair, first, last)
    for i in range(np.int64(law[t.MAX_PULSES])):
        missing(counts, pair, first, last)
        active = groups_of(counts, last - first)
        if active == 0:
            break
        if law[t.C2C] > 0.0:
            normals_of(active, seed, ids, REFRESH, (number * slots + 2 + i) * blocks + q, some, words, xi)
        for s in range(2):
            push(s, 1.0 - 2.0 * s, np.int64(0), counts, active, xi, law, pair, first, last)


@inner
def request(theta, G, velocity, reals, rate, clear, words, law, carry, counts, first, last, device):
    """counts <- the pulses asked of the parameters first .. last - 1, downwards negative."""
    real = theta.dtype.type
    momentum, decay = real(reals[t.MOMENTUM]), real(reals[t.WEIGHT_DECAY])
    moving, decaying = velocity.shape[0] > 0, reals[t.WEIGHT_DECAY] != 0.0
    granules = real(1.0 / law[t.GRANULARITY])
    most = real(law[t.MAX_PULSES])
    stochastic = law[t.ROUNDING] == t.STOCHASTIC
    half = real(0.5) if law[t.ROUNDING] == t.NEAREST else real(0.0)
    for p in range(first, last):
        row = p - first
        for v in range(0, lanes_of(theta), width_of(theta)):
            x = asked(load(theta, p, v), G, velocity, momentum, decay, moving, decaying, rate, clear, p, v)
            x = asked_on(x, p, v, device) * granules
            if carry.shape[0] > 0:
                x = x + load(carry, p, v)
            u = uniform(load(words, row, v), theta) if stochastic else filled(half, theta)
            m = whole_of(x, u, stochastic)
            m = where(m > most, most, m)
            m = where(m < -most, -most, m)
            if carry.shape[0] > 0:
                store(carry, p, v, x - m)
            store(counts, row, v, m)


@inner
def keep_noise(xi, noise, kept, pair, first, last):
    """kept <- the noise of a write, of weights of which a device was touched."""
    plus, minus = (
        pair.real[pair.at[pt.TOUCHED] : pair.at[pt.TOUCHED + 1]],
        pair.real[pair.at[pt.TOUCHED + 1] : pair.at[pt.TOUCHED + 2]],
    )
    for p in range(first, last):
        row = p - first
        for v in range(0, lanes_of(kept), width_of(kept)):
            wrote = (load(plus, row, v) > 0.0) | (load(minus, row, v) > 0.0)
            store(kept, p, v, where(wrote, load(xi, row, v) * noise, load(kept, p, v)))


@inner
def write_pairs(n, theta, G, velocity, reals, rate, clear, number, seed, ids, words, device):
    """The write at the end of step n, as `pulses.write_pulses` is that of other devices.

    Words of PULSE: those of write `number` in slots of ceil(P/4) blocks, 0 for the rounding, 1 for the write noise,
    2 + i for the i-th pulse.
    """
    law, carry, counts, xi, aging, pair = device.law, device.carry, device.counts, device.xi, device.aging, device.pair
    written, t0 = aging.written, aging.about[t.DRIFT_T0]
    kept, offset = device.kept, device.offset
    n_params = theta.shape[0]
    every = np.int64(pair.about[pt.REFRESH_EVERY])
    refreshing = every > 0 and (number + 1) % max(every, 1) == 0
    blocks = (n_params + 3) // 4
    slots = np.int64(law[t.MAX_PULSES]) + 2
    for q in range(0, blocks, BLOCKS):
        some = min(BLOCKS, blocks - q)
        first, last = 4 * q, min(4 * (q + BLOCKS), n_params)
        if law[t.ROUNDING] == t.STOCHASTIC:
            for i in range(some):
                words4(seed, ids, np.uint64(PULSE), np.uint64(number * slots * blocks + q + i), words, 4 * i)
        request(theta, G, velocity, reals, rate, clear, words, law, carry, counts, first, last, device)
        for s in range(2):
            sign = 1.0 - 2.0 * s
            hold_back(s, counts, sign, pair, first, last)
            nu = aging.nu_plus if s == 0 else aging.nu_minus
            awake(n, s, counts, sign, nu, written, t0, pair, first, last)
        active = groups_of(counts, last - first)
        i = np.int64(0)
        while active != 0:
            if law[t.C2C] > 0.0:
                normals_of(active, seed, ids, PULSE, (number * slots + 2 + i) * blocks + q, some, words, xi)
            still = np.int64(0)
            for s in range(2):
                still |= push(s, 1.0 - 2.0 * s, i, counts, active, xi, law, pair, first, last)
            active = still
            i += 1
        if refreshing:
            refresh(n, number, seed, ids, words, xi, q, first, last, blocks, law, pair, aging, counts)
        groups = np.int64(0)
        for s in range(2):
            those = groups_of(pair.real[pair.at[pt.TOUCHED + s] : pair.at[pt.TOUCHED + s + 1]], last - first)
            nu = aging.nu_plus if s == 0 else aging.nu_minus
            if those != 0:
                program(s, those, number + 1, seed, ids, words, xi, q, first, last, blocks, nu, pair)
            groups |= those
        if groups == 0:
            continue
        if law[t.WRITE_NOISE] > 0.0:
            normals_of(groups, seed, ids, PULSE, (number * slots + 1) * blocks + q, some, words, xi)
            keep_noise(xi, theta.dtype.type(law[t.WRITE_NOISE]), kept, pair, first, last)
        see(theta, first, last, groups, offset, kept, pair)

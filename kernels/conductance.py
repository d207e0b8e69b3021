"""The two conductances of a weight: what a write makes of them, what becomes of them, what the network sees.

`pair` is a `hardware.Pair`, s one of its sides: 0 plus, 1 minus. Errors of programming, exponents of drift and the size
of fluctuations depend on the conductance that is written and stay until the next write. Drift: g(t) = g_w ((t - t_w +
t0)/t0)^(-nu). PCM: Nandakumar et al., ICECS 2019; Joshi et al., Nat. Commun. 11, 2473 (2020).
"""

from __future__ import annotations

import numpy as np
from numba.extending import overload

from . import pair_table as pt
from . import table as t
from .aging import beside, mapped
from .flicker import add_fluctuation, clear, fluctuate
from .hardware import lacks
from .jit import FLAGS, entry, inner, leaf
from .mathfn import exp, log
from .perturb import BLOCKS, copy_row, normals
from .philox import PROGRAM
from .simd import any_lane, filled, fma, lanes_of, load, store, to_float, where, width_of

SLOTS = 4  # of a write in the stream PROGRAM: exponents of plus and minus, then their errors
LEAST = 1e-7  # conductance relative to the full scale, for logarithms


@leaf
def limits(x, low, high):
    """x, between low and high."""
    x = where(x < low, low, x)
    return where(x > high, high, x)


@leaf
def meant_by(h, aging, p, v):
    """Both conductances that stand for the state h of pair p."""
    plus, minus = mapped(h, aging)
    if aging.stuck_plus.shape[0] > 0:
        s, z = load(aging.stuck_plus, p, v), load(aging.stuck_minus, p, v)
        if aging.about[t.MAPPING] != t.REFERENCE:
            plus, minus = beside(plus, minus, h, s, z)
        else:  # the state is that of plus, whatever the reference is stuck at
            plus, minus = where(s != s, plus, s), where(z != z, minus, z)
    return plus, minus


@leaf
def drifted(g, n, nu, written, p, at, t0, v):
    """What has become at step n of the conductance g, of exponent nu[p], since step written[at]."""
    if nu.shape[0] > 0:
        since = to_float(n - load(written, at, v), nu)
        age = log(fma(since, nu.dtype.type(1.0 / t0), 1.0), nu)
        g = g * exp(age * -load(nu, p, v))
    return g


@leaf
def clock_of(written, n_params, s):
    """Where the clocks of a side begin: those of devices that are mapped are the weight's."""
    return n_params if s == 1 and written.shape[0] > n_params else 0


@inner
def drawn(groups, seed, ids, block, blocks, words, xi):
    """Normals of the stream PROGRAM for those groups of four whose bit is set."""
    for g in range(blocks):
        if (groups >> g) & 1:
            normals(seed, ids, PROGRAM, block + g, 1, words, xi[4 * g : 4 * g + 4])


@inner
def program(s, groups, number, seed, ids, words, xi, q, first, last, blocks, nu, pair):
    """What writes make of one side of the parameters first .. last - 1, where `touched`: from `held` on.

    `number` of the first programming is 0; q is the block of four that `first` begins.
    """
    about, real_rows, at = pair.about, pair.real, pair.at
    held, done, now = (
        real_rows[at[pt.HELD + s] : at[pt.HELD + s + 1]],
        real_rows[at[pt.PROGRAMMED + s] : at[pt.PROGRAMMED + s + 1]],
        real_rows[at[pt.NOW + s] : at[pt.NOW + s + 1]],
    )
    touched, ratio = (
        real_rows[at[pt.TOUCHED + s] : at[pt.TOUCHED + s + 1]],
        real_rows[at[pt.RATIO + s] : at[pt.RATIO + s + 1]],
    )
    real = held.dtype.type
    some = (last - first + 3) // 4
    over = real(about[pt.OVER_FULL])
    e0, e1, e2, e3 = about[pt.ERROR_0], about[pt.ERROR_1], about[pt.ERROR_2], about[pt.ERROR_3]
    noisy = e0 != 0.0 or e1 != 0.0 or e2 != 0.0 or e3 != 0.0
    if noisy:
        drawn(groups, seed, ids, (number * SLOTS + 2 + s) * blocks + q, some, words, xi)
    for p in range(first, last):
        for v in range(0, lanes_of(held), width_of(held)):
            g = load(held, p, v)
            if noisy:
                x = g * over
                sigma = fma(fma(fma(x, real(e3), real(e2)), x, real(e1)), x, real(e0))
                g = fma(where(sigma < 0.0, 0.0, sigma), load(xi, p - first, v), g)
                g = where(g < 0.0, 0.0, g)
            here = load(touched, p - first, v) > 0.0
            store(done, p, v, where(here, g, load(done, p, v)))
            store(now, p, v, where(here, g, load(now, p, v)))
    pcm, flickers = about[pt.DRIFT_MODEL] == pt.OF_PCM, ratio.shape[0] > 0
    if not pcm and not flickers:
        return
    if pcm:
        drawn(groups, seed, ids, (number * SLOTS + s) * blocks + q, some, words, xi)
    for p in range(first, last):
        for v in range(0, lanes_of(held), width_of(held)):
            here = load(touched, p - first, v) > 0.0
            x = load(done, p, v) * over
            ln = log(where(x < LEAST, real(LEAST), x), held)
            if pcm:
                mean = limits(fma(ln, real(-0.0155), real(0.0244)), real(0.049), real(0.1))
                spread = limits(fma(ln, real(-0.0125), real(-0.0059)), real(0.008), real(0.045))
                y = fma(spread, load(xi, p - first, v), mean)
                y = where(y < 0.0, -y, y)
                store(nu, p, v, where(here, y, load(nu, p, v)))
            if flickers:
                r = exp(ln * real(-about[pt.FLICKER_POWER])) * real(about[pt.FLICKER])
                r = where(r > real(about[pt.FLICKER_MOST]), real(about[pt.FLICKER_MOST]), r)
                r = r * real(about[pt.FLICKER_ROOT])
                store(ratio, p, v, where(here, r, load(ratio, p, v)))


@inner
def groups_of(touched, n):
    """Bits of those groups of four of the first n rows in which any lane is not 0."""
    groups = np.int64(0)
    for row in range(n):
        for v in range(0, lanes_of(touched), width_of(touched)):
            if any_lane(load(touched, row, v) != 0.0):
                groups |= 1 << (row >> 2)
    return groups


@inner
def look(theta, first, last, groups, offset, kept, pair):
    """theta <- what the network sees of the conductances as they are now, of those groups of four whose bit is set.

    groups -1: of all; else of the parameters from first on.
    """
    real, at = pair.real, pair.at
    plus, minus, still = (
        real[at[pt.NOW] : at[pt.NOW + 1]],
        real[at[pt.NOW + 1] : at[pt.NOW + 2]],
        real[at[pt.STILL] : at[pt.STILL + 1]],
    )
    for p in range(first, last):
        if groups >= 0 and (groups >> ((p - first) >> 2)) & 1 == 0:
            continue
        for v in range(0, lanes_of(theta), width_of(theta)):
            w = load(plus, p, v) - load(minus, p, v)
            if offset.shape[0] > 0:
                w = w - load(offset, p, v)
            if kept.shape[0] > 0:
                w = w + load(kept, p, v)
            if still.shape[0] > 0:
                store(still, p, v, w)
                w = w + load(theta, p, v)
            store(theta, p, v, w)


@inner
def grow_old(n, s, nu, written, t0, pair):
    """What has become at step n of the conductances of a side."""
    done, now = (
        pair.real[pair.at[pt.PROGRAMMED + s] : pair.at[pt.PROGRAMMED + s + 1]],
        pair.real[pair.at[pt.NOW + s] : pair.at[pt.NOW + s + 1]],
    )
    clock = clock_of(written, now.shape[0], s)
    for p in range(now.shape[0]):
        for v in range(0, lanes_of(now), width_of(now)):
            store(now, p, v, drifted(load(done, p, v), n, nu, written, p, clock + p, t0, v))


@inner
def see(theta, first, last, groups, offset, kept, pair):
    """`look`, with what fluctuates."""
    if pair.at[pt.STILL + 1] > pair.at[pt.STILL]:
        clear(theta, first, last, groups)
        for s in range(2):
            add_fluctuation(theta, first, last, groups, s, pair)
    look(theta, first, last, groups, offset, kept, pair)


@inner
def hold_pairs(n, theta, seed, ids, words, xi, device):
    """What the network sees at step n of conductances that change by themselves."""
    pair, aging = device.pair, device.aging
    every = np.int64(aging.about[t.AGE_EVERY])
    aged = every > 0 and n % every == 0
    if aged:
        grow_old(n, 0, aging.nu_plus, aging.written, aging.about[t.DRIFT_T0], pair)
        grow_old(n, 1, aging.nu_minus, aging.written, aging.about[t.DRIFT_T0], pair)
    moving = pair.at[pt.STILL + 1] > pair.at[pt.STILL]
    if moving:
        fluctuate(n, theta.shape[0], seed, ids, words, xi, pair)
    if aged or moving:
        see(theta, np.int64(0), theta.shape[0], np.int64(-1), device.offset, device.kept, pair)


@inner
def program_mapped(n, number, seed, ids, words, q, first, last, theta, device):
    """After a write of weights that are mapped onto pairs: both conductances of those written, as `counts` say."""
    pair, aging, counts, xi, held = device.pair, device.aging, device.counts, device.xi, device.held
    groups = np.int64(0)
    for s in range(2):
        touched, meant = (
            pair.real[pair.at[pt.TOUCHED + s] : pair.at[pt.TOUCHED + s + 1]],
            pair.real[pair.at[pt.HELD + s] : pair.at[pt.HELD + s + 1]],
        )
        stuck = aging.stuck_plus if s == 0 else aging.stuck_minus
        for p in range(first, last):
            for v in range(0, lanes_of(theta), width_of(theta)):
                one = filled(theta.dtype.type(1.0), theta)
                here = load(counts, p - first, v) != 0.0
                if stuck.shape[0] > 0:
                    at = load(stuck, p, v)
                    here = here & (at != at)
                store(touched, p - first, v, where(here, one, 0.0))
                plus, minus = meant_by(load(held, p, v), aging, p, v)
                store(meant, p, v, plus if s == 0 else minus)
        groups |= groups_of(touched, last - first)
    if groups == 0:
        return
    blocks = (theta.shape[0] + 3) // 4
    for s in range(2):
        nu = aging.nu_plus if s == 0 else aging.nu_minus
        program(s, groups, number + 1, seed, ids, words, xi, q, first, last, blocks, nu, pair)
    see(theta, first, last, groups, device.offset, device.kept, pair)


@entry
def program_all(seed, ids, words, xi, nu_plus, nu_minus, pair):
    """The first programming of all devices: `program` from `held` on."""
    n_params = pair.at[pt.HELD + 1] - pair.at[pt.HELD]
    blocks = (n_params + 3) // 4
    for q in range(0, blocks, BLOCKS):
        first, last = 4 * q, min(4 * (q + BLOCKS), n_params)
        for s in range(2):
            nu = nu_plus if s == 0 else nu_minus
            program(s, np.int64(255), np.int64(0), seed, ids, words, xi, q, first, last, blocks, nu, pair)


def program_on(n, number, seed, ids, words, q, first, last, theta, device):
    """`program_mapped`, or nothing where weights are not held by conductances of their own."""


@overload(program_on, jit_options=FLAGS)
def _program_on(n, number, seed, ids, words, q, first, last, theta, device):
    if lacks(device, "pair"):
        return lambda n, number, seed, ids, words, q, first, last, theta, device: None
    return lambda n, number, seed, ids, words, q, first, last, theta, device: program_mapped(
        n, number, seed, ids, words, q, first, last, theta, device
    )


@leaf
def program_those(n, number, seed, ids, words, theta, device):
    """`program_mapped` of all parameters whose weights have had pulses, as `given` says."""
    counts, given, n_params = device.counts, device.given, theta.shape[0]
    blocks = (n_params + 3) // 4
    for q in range(0, blocks, BLOCKS):
        first, last = 4 * q, min(4 * (q + BLOCKS), n_params)
        for p in range(first, last):
            copy_row(given, p, counts, p - first)
        program_mapped(n, number, seed, ids, words, q, first, last, theta, device)


def program_given_on(n, number, seed, ids, words, theta, device):
    """`program_those`, or nothing where weights are not held by conductances of their own."""


@overload(program_given_on, jit_options=FLAGS)
def _program_given_on(n, number, seed, ids, words, theta, device):
    if lacks(device, "pair"):
        return lambda n, number, seed, ids, words, theta, device: None
    return lambda n, number, seed, ids, words, theta, device: program_those(n, number, seed, ids, words, theta, device)

"""G and the write: what each parameter does with the broadcast C_ac."""

from __future__ import annotations

import numpy as np

from .dense import VALUES
from .jit import inner, leaf
from .mathfn import sincos64
from .perturb import BLOCKS, normals
from .philox import WRITE
from .simd import filled, flip, fma, lanes_of, load, store, where, width_of
from .table import (
    ANALOG,
    COSINE,
    DT,
    ETA,
    INVERSE,
    MODE,
    MOMENTUM,
    SCHEDULE,
    SCHEDULE_DECAY,
    SCHEDULE_STEPS,
    SIGMA_THETA,
    WEIGHT_DECAY,
)


@inner
def learning_rate(ints, reals, n):
    """eta at the write of iteration n, float64; in analog mode times dt, time being n dt."""
    eta = reals[ETA]
    t = n * reals[DT] if ints[MODE] == ANALOG else np.float64(n)
    if ints[SCHEDULE] == COSINE:
        x = min(t / reals[SCHEDULE_STEPS], 1.0)
        _, c = sincos64(0.5 * x)
        eta = eta * 0.5 * (1.0 + c)
    elif ints[SCHEDULE] == INVERSE:
        eta = eta / (1.0 + reals[SCHEDULE_DECAY] * t)
    return eta * reals[DT] if ints[MODE] == ANALOG else eta


def make_accumulate(form: int):
    """G <- keep G + e theta_ac and, at a `plain` end of a window, at once theta <- theta - rate G.

    accumulate(words, values, e, keep, direct, ends, clear, rate, G, theta, first, last) for parameters first .. last-1:
    row e of `signal` holds C_ac/amplitude (CODES, GAINS) or C_ac/amplitude**2 (VALUES), scaled in analog mode by the
    low-pass. `ends`: write theta, nothing else being to do there; `clear`: then G <- 0. `direct`: G was 0 and ends at
    0 (windows of one step), so it is neither read nor written. All ways round the same.
    """
    signs = form != VALUES

    @leaf
    def increment(word, values, p, v, e):
        return flip(e, word) if signs else e * load(values, p, v)

    @leaf
    def accumulate(words, values, signal, row, keep, direct, ends, clear, rate, G, theta, first, last):
        for v in range(0, lanes_of(theta), width_of(theta)):
            e = load(signal, row, v)
            step = filled(-rate, theta)
            for p0 in range(first, last, 32):
                word = load(words, p0 >> 5, v) if signs else filled(np.uint32(0), words)
                stop = min(p0 + 32, last)
                if direct:
                    for p in range(p0, stop):
                        g = increment(word, values, p, v, e)
                        store(theta, p, v, load(theta, p, v) + step * g)
                        word = word + word  # the next parameter's sign
                elif ends:
                    for p in range(p0, stop):
                        g = fma(load(G, p, v), keep, increment(word, values, p, v, e))
                        store(G, p, v, where(clear, 0.0, g))
                        store(theta, p, v, load(theta, p, v) + step * g)
                        word = word + word
                else:
                    for p in range(p0, stop):
                        store(G, p, v, fma(load(G, p, v), keep, increment(word, values, p, v, e)))
                        word = word + word

    return accumulate


@leaf
def asked(theta_p, G, velocity, momentum, decay, moving, decaying, rate, clear, p, v):
    """What the rule asks of parameter p: -rate v, v = momentum v + G + weight_decay theta; G <- 0 if `clear`."""
    g = load(G, p, v)
    if decaying:
        g = fma(theta_p, decay, g)
    if moving:
        g = fma(load(velocity, p, v), momentum, g)
        store(velocity, p, v, g)
    if clear:
        store(G, p, v, 0.0)
    return g * -rate


@inner
def write(theta, G, velocity, reals, rate, clear, number, seed, ids, words, many):
    """theta <- theta - rate v (+ sigma_theta xi), v = momentum v + G + weight_decay theta; G <- 0 if `clear`.

    `number` counts writes and keys their noise; velocity has no rows without momentum; words uint32[32, lanes] and
    many real[32, lanes] are scratch. Devices with a state of their own: `pulse`.
    """
    n_params = theta.shape[0]
    momentum = theta.dtype.type(reals[MOMENTUM])
    decay = theta.dtype.type(reals[WEIGHT_DECAY])
    sigma = theta.dtype.type(reals[SIGMA_THETA])
    noisy = reals[SIGMA_THETA] > 0.0
    moving = velocity.shape[0] > 0
    decaying = reals[WEIGHT_DECAY] != 0.0
    per = (n_params + 3) // 4
    for q in range(0, per, BLOCKS):
        if noisy:
            normals(seed, ids, WRITE, number * per + q, min(BLOCKS, per - q), words, many)
        for p in range(4 * q, min(4 * (q + BLOCKS), n_params)):
            for v in range(0, lanes_of(theta), width_of(theta)):
                theta_p = load(theta, p, v)
                theta_p = theta_p + asked(theta_p, G, velocity, momentum, decay, moving, decaying, rate, clear, p, v)
                if noisy:
                    theta_p = fma(load(many, p - 4 * q, v), sigma, theta_p)
                store(theta, p, v, theta_p)

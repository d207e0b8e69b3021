"""G and the write: what each parameter does with the broadcast C_ac."""

from __future__ import annotations

import numpy as np

from .dense import sign_mask
from .jit import inner, leaf
from .mathfn import sincos64
from .perturb import normals4
from .philox import WRITE
from .simd import WIDTH, fma, load, signed, splat, store
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


def make_accumulate(codes: bool):
    """G <- decay G + e theta_ac and, if `write`, at once theta <- theta - eta G (nothing else to do there).

    accumulate(words, values, e, decay, write, direct, rate, G, theta): e real[lanes] holds C_ac/amplitude (codes) or
    C_ac/amplitude**2 (values), scaled in analog mode by the low-pass; `direct`: G was 0 and ends at 0 (windows of one
    step), so it is neither read nor written. Both ways round the same.
    """

    @leaf
    def increment(words, values, p, v, plus, minus):
        if codes:
            return signed(load(words, p >> 5, v), sign_mask(p), plus, minus)
        return plus * load(values, p, v)

    @leaf
    def accumulate(words, values, e, decay, write, direct, rate, G, theta, first, last):
        step = splat(-rate)
        keep = splat(decay)
        for v in range(0, theta.shape[1], WIDTH):
            plus = load(e, 0, v)
            minus = -plus
            if direct:
                for p in range(first, last):
                    g = increment(words, values, p, v, plus, minus)
                    store(theta, p, v, load(theta, p, v) + step * g)
            elif write:
                for p in range(first, last):
                    g = fma(keep, load(G, p, v), increment(words, values, p, v, plus, minus))
                    store(G, p, v, g)
                    store(theta, p, v, load(theta, p, v) + step * g)
            else:
                for p in range(first, last):
                    store(G, p, v, fma(keep, load(G, p, v), increment(words, values, p, v, plus, minus)))

    return accumulate


@inner
def write(theta, G, velocity, reals, rate, clear, number, seed, ids, words, four):
    """theta <- theta - rate v (+ sigma_theta xi), v = momentum v + G + weight_decay theta; G <- 0 if `clear`.

    `number` counts writes and keys their noise; velocity has no rows without momentum. The device's own way of
    writing belongs here.
    """
    n_params, lanes = theta.shape
    momentum = theta.dtype.type(reals[MOMENTUM])
    decay = theta.dtype.type(reals[WEIGHT_DECAY])
    sigma = theta.dtype.type(reals[SIGMA_THETA])
    noisy = reals[SIGMA_THETA] > 0.0
    moving = velocity.shape[0] > 0
    decaying = reals[WEIGHT_DECAY] != 0.0
    for q in range((n_params + 3) // 4):
        if noisy:
            normals4(seed, ids, WRITE, number * ((n_params + 3) // 4) + q, words, four)
        for p in range(4 * q, min(4 * q + 4, n_params)):
            for v in range(0, lanes, WIDTH):
                theta_p = load(theta, p, v)
                g = load(G, p, v)
                if decaying:
                    g = fma(theta_p, decay, g)
                if moving:
                    g = fma(load(velocity, p, v), momentum, g)
                    store(velocity, p, v, g)
                theta_p = theta_p + g * -rate
                if noisy:
                    theta_p = fma(load(four, p - 4 * q, v), sigma, theta_p)
                store(theta, p, v, theta_p)
                if clear:
                    store(G, p, v, 0.0)

"""G and the write: what each parameter does with the broadcast C_ac."""

from __future__ import annotations

import numpy as np

from .dense import sign_mask
from .jit import inner
from .mathfn import _sincos64
from .perturb import normals4
from .philox import WRITE
from .simd import WIDTH, add, fma, load, mul, neg, signed, splat, store
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
        _, c = _sincos64(0.5 * x)
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

    @inner
    def increment(words, values, p, v, plus, minus):
        if codes:
            return signed(load(words, p >> 5, v), sign_mask(p), plus, minus)
        return mul(plus, load(values, p, v))

    @inner
    def accumulate(words, values, e, decay, write, direct, rate, G, theta, first, last):
        step = splat(-rate)
        keep = splat(decay)
        for v in range(0, theta.shape[1], WIDTH):
            plus = load(e, 0, v)
            minus = neg(plus)
            if direct:
                for p in range(first, last):
                    g = increment(words, values, p, v, plus, minus)
                    store(theta, p, v, add(load(theta, p, v), mul(step, g)))
            elif write:
                for p in range(first, last):
                    g = fma(keep, load(G, p, v), increment(words, values, p, v, plus, minus))
                    store(G, p, v, g)
                    store(theta, p, v, add(load(theta, p, v), mul(step, g)))
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
    zero = rate - rate
    momentum = theta.dtype.type(reals[MOMENTUM])
    decay = theta.dtype.type(reals[WEIGHT_DECAY])
    sigma = theta.dtype.type(reals[SIGMA_THETA])
    noisy = reals[SIGMA_THETA] > 0.0
    for q in range((n_params + 3) // 4):
        if noisy:
            normals4(seed, ids, WRITE, number * ((n_params + 3) // 4) + q, words, four)
        for r in range(min(4, n_params - 4 * q)):
            p = 4 * q + r
            t = theta[p]
            g = G[p]
            if velocity.shape[0] > 0:
                u = velocity[p]
                for lane in range(lanes):
                    u[lane] = momentum * u[lane] + (g[lane] + decay * t[lane])
                for lane in range(lanes):
                    t[lane] += -rate * u[lane]
            elif reals[WEIGHT_DECAY] != 0.0:
                for lane in range(lanes):
                    t[lane] += -rate * (g[lane] + decay * t[lane])
            else:
                for v in range(0, lanes, WIDTH):
                    store(theta, p, v, add(load(theta, p, v), mul(splat(-rate), load(G, p, v))))
            if noisy:
                xi = four[r]
                for lane in range(lanes):
                    t[lane] += sigma * xi[lane]
            if clear:
                for lane in range(lanes):
                    g[lane] = zero

"""Noise of a cost readout that is not white, and its spectra. One chip, double precision.

1/f noise as a sum of Ornstein-Uhlenbeck processes of equal variance, their time constants a decade apart (van der
Ziel, Physica 16, 359 (1950)); a random walk; the mains; a level that jumps (Machlup, J. Appl. Phys. 25, 341 (1954)).
"""

import math

import numpy as np

from . import philox

COLOUR, CONVERTER = 20, 13  # streams


def time_constants(slowest, step):
    """slowest, slowest/10, ... as long as they are not below the step; seconds."""
    count = 1
    while slowest / 10**count >= step:
        count += 1
    return [slowest / 10**k for k in range(count)]


def cost_noise(seed, chip, steps, dt, flicker=0.0, slowest=1.0, drift=0.0, hum=0.0, frequency=50.0, telegraph=0.0,
               dwell=1.0):  # fmt: skip
    """Noise of the steps 0 .. steps-1, which last dt seconds each: float64[steps].

    Step n has 4 (1 + ceil(K/4)) words of the stream COLOUR, K processes: normal 0 for the walk, words 2 and 3, most
    significant first, for the jump, and normals 4 .. 4 + K - 1. The phase of the mains is word 2**41 of CONVERTER.
    """
    taus = time_constants(slowest, dt) if flicker else []
    K = len(taus)
    stride = 4 * (1 + math.ceil(K / 4))
    each = flicker / math.sqrt(K) if K else 0.0
    x, walk, level = np.zeros(K), 0.0, telegraph
    u = philox.uniform(philox.word(seed, chip, CONVERTER, 2**41))
    out = np.zeros(steps)
    for n in range(steps):
        for k, tau in enumerate(taus):
            xi = philox.normal(seed, chip, COLOUR, n * stride + 4 + k)
            rho = math.exp(-dt / tau) if n else 0.0
            x[k] = rho * x[k] + each * math.sqrt(1.0 - rho**2) * xi
        if n:
            walk += drift * math.sqrt(dt) * philox.normal(seed, chip, COLOUR, n * stride)
        if telegraph:
            high, low = philox.words(seed, chip, COLOUR, n * stride + 2, 2)
            chance = 0.5 * (1.0 - math.exp(-2.0 * dt / dwell)) if n else 0.5
            if (int(high) + int(low) * 2.0**-32) * 2.0**-32 < chance:
                level = -level
        mains = hum * math.sin(2.0 * math.pi * (math.fmod(frequency * n * dt, 1.0) + u))
        out[n] = x.sum() + walk + mains + (level if telegraph else 0.0)
    return out


def flicker_spectrum(f, flicker, slowest, dt):
    """Two-sided density of the sampled 1/f noise at f cycles per step; its mean over -1/2 .. 1/2 is the variance."""
    taus = time_constants(slowest, dt)
    total = np.zeros_like(f)
    for tau in taus:
        rho = math.exp(-dt / tau)
        total += (1.0 - rho**2) / (1.0 - 2.0 * rho * np.cos(2.0 * np.pi * f) + rho**2)
    return flicker**2 / len(taus) * total

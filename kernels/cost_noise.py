"""Noise of the cost's readout that is not white: 1/f, random walk, mains, telegraph.

The same for all measurements of a step, so that it cancels in C - C0 where both are measured in it. Words of the
stream COLOUR: step n has 1 + ceil(K/4) blocks, the first for the walk (normal 0) and the telegraph (words 2, 3), the
others for the K processes of the 1/f noise. `extras` is a `hardware.Extras`. In double precision, whatever the run's:
a process that is slow beside a step changes by less than a float32 can tell.

1/f noise: Ornstein-Uhlenbeck processes x <- keep x + fresh xi, keep = exp(-dt/tau), fresh^2 = rms^2 (1 - keep^2), of
equal rms, tau a decade apart (van der Ziel, Physica 16, 359 (1950)).
"""

from __future__ import annotations

import numpy as np
from numba.extending import overload

from .hardware import lacks
from .jit import FLAGS, inner
from .mathfn import normal_pair, sincos64
from .perturb import normals
from .philox import COLOUR, words4
from .simd import filled, fma, lanes_of, load, resized, store, to_float, where, width_of
from .table import FLICKER, FLIP, HUM, HUM_TURNS, TELEGRAPH, WALK

LOW_WORD = 2.0**-64
HIGH_WORD = 2.0**-32


@inner
def add_cost_noise(n, signal, first, last, seed, ids, words, extras):
    """Noise of step n onto rows first .. last of signal; words uint32[32] is scratch."""
    about, keep, fresh, noise, hum, xi = extras.about, extras.keep, extras.fresh, extras.noise, extras.hum, extras.xi
    many = keep.shape[0]
    blocks = (many + 3) // 4
    start = n * (1 + blocks)
    rms, walk, high, flip = about[FLICKER], about[WALK], about[TELEGRAPH], about[FLIP]
    if many > 0:
        normals(seed, ids, COLOUR, start + 1, blocks, words, xi[4:])
    if walk > 0.0 or high > 0.0:
        words4(seed, ids, np.uint64(COLOUR), np.uint64(start), words, 0)
    turns = n * about[HUM_TURNS]
    sine, cosine = sincos64(turns - np.floor(turns))
    sine, cosine = sine * about[HUM], cosine * about[HUM]
    for v in range(0, lanes_of(signal), width_of(signal)):
        total = filled(0.0, noise)
        for k in range(many):
            x = load(xi, 4 + k, v)
            x = x * rms if n == 0 else fma(load(noise, k, v), keep[k], x * fresh[k])
            store(noise, k, v, x)
            total = total + x
        if walk > 0.0:
            step, _ = normal_pair(load(words, 0, v), load(words, 1, v), noise)
            x = filled(0.0, noise) if n == 0 else fma(step, walk, load(noise, many, v))
            store(noise, many, v, x)
            total = total + x
        if high > 0.0:
            u = fma(to_float(load(words, 2, v), noise), HIGH_WORD, to_float(load(words, 3, v), noise) * LOW_WORD)
            x = filled(high, noise) if n == 0 else load(noise, many + 1, v)
            x = where(u < (0.5 if n == 0 else flip), -x, x)
            store(noise, many + 1, v, x)
            total = total + x
        if about[HUM] > 0.0:
            total = fma(load(hum, 0, v), sine, fma(load(hum, 1, v), cosine, total))
        for row in range(first, last + 1):
            store(signal, row, v, load(signal, row, v) + resized(total, signal))


def cost_noise_on(n, signal, first, last, seed, ids, words, device):
    """`add_cost_noise`, or nothing."""


@overload(cost_noise_on, jit_options=FLAGS)
def _cost_noise_on(n, signal, first, last, seed, ids, words, device):
    if lacks(device, "extras"):
        return lambda n, signal, first, last, seed, ids, words, device: None

    def body(n, signal, first, last, seed, ids, words, device):
        if device.extras.noise.shape[0] > 0:
            add_cost_noise(n, signal, first, last, seed, ids, words, device.extras)

    return body

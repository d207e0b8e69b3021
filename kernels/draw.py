"""What is drawn once per chip: initial parameters and the variation that defines it."""

from __future__ import annotations

import numpy as np

from .jit import allocating_entry, entry
from .mathfn import exp, sincos, uniform
from .perturb import BLOCKS, normals, normals4
from .philox import INIT, MISMATCH, NEURON, words4
from .simd import WIDTH, fma, load, store


@allocating_entry
def draw_theta(seed, ids, scale, theta):
    """theta[p] <- scale[p] (2 u - 1), u from word p of INIT; scale real[P], theta real[P, lanes]."""
    words = np.empty((4, ids.shape[1]), np.uint32)
    for p in range(theta.shape[0]):
        if p % 4 == 0:
            words4(seed, ids, np.uint64(INIT), np.uint64(p >> 2), words, 0)
        for v in range(0, ids.shape[1], WIDTH):
            store(theta, p, v, fma(uniform(load(words, p & 3, v), theta), 2.0, -1.0) * scale[p])


@allocating_entry
def draw_neurons(seed, ids, sigma, neuron):
    """Rows (alpha, beta, a0, b0) of neuron q at 4 q: alpha, beta = 1 + sigma xi; a0, b0 = sigma xi (NEURON)."""
    words = np.empty((4, ids.shape[1]), np.uint32)
    for q in range(neuron.shape[0] // 4):
        normals4(seed, ids, NEURON, q, words, neuron[4 * q : 4 * q + 4])
        for row in range(4 * q, 4 * q + 4):
            mean = 1.0 if row - 4 * q < 2 else 0.0
            for v in range(0, ids.shape[1], WIDTH):
                store(neuron, row, v, fma(load(neuron, row, v), sigma, mean))


@allocating_entry
def draw_mismatch(seed, ids, sigma, gain):
    """gain[p] <- 1 + sigma xi_p: what a parameter's perturbation really is, over the nominal one."""
    words = np.empty((4, ids.shape[1]), np.uint32)
    four = np.empty((4, ids.shape[1]), gain.dtype)
    for p in range(gain.shape[0]):
        if p % 4 == 0:
            normals4(seed, ids, MISMATCH, p >> 2, words, four)
        for v in range(0, ids.shape[1], WIDTH):
            store(gain, p, v, fma(load(four, p & 3, v), sigma, 1.0))


@allocating_entry
def draw_phases(seed, ids, stream, block, phase_sin, phase_cos):
    """Sine and cosine of random phases 2 pi u_p, u_p from word p of a stream from a block on."""
    words = np.empty((4, ids.shape[1]), np.uint32)
    for p in range(phase_sin.shape[0]):
        if p % 4 == 0:
            words4(seed, ids, np.uint64(stream), np.uint64(block + (p >> 2)), words, 0)
        for v in range(0, ids.shape[1], WIDTH):
            s, c = sincos(uniform(load(words, p & 3, v), phase_sin))
            store(phase_sin, p, v, s)
            store(phase_cos, p, v, c)


@entry
def draw_normals(seed, ids, stream, number, words, out):
    """Normals 4 number ceil(n/4) .. of a stream into out real[n, lanes], n a multiple of 4; words uint32[32, lanes]."""
    blocks = out.shape[0] // 4
    for q in range(0, blocks, BLOCKS):
        some = min(BLOCKS, blocks - q)
        normals(seed, ids, stream, number * blocks + q, some, words, out[4 * q : 4 * (q + some)])


@entry
def exponential(x, out):
    """out <- exp(x), real[n, lanes] both."""
    for row in range(x.shape[0]):
        for v in range(0, x.shape[1], WIDTH):
            store(out, row, v, exp(load(x, row, v)))

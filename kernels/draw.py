"""What is drawn once per chip: initial parameters and the variation that defines it."""

from __future__ import annotations

import numpy as np

from .jit import entry
from .mathfn import sincos, uniform
from .perturb import normals4
from .philox import INIT, MISMATCH, NEURON, PHASE, words4


@entry
def draw_theta(seed, ids, scale, theta):
    """theta[p] <- scale[p] (2 u - 1), u from word p of INIT; scale real[P], theta real[P, lanes]."""
    words = np.empty((4, ids.shape[0]), np.uint32)
    one = theta.dtype.type(1.0)
    two = theta.dtype.type(2.0)
    for p in range(theta.shape[0]):
        if p % 4 == 0:
            words4(seed, ids, np.uint64(INIT), np.uint64(p >> 2), words, 0)
        for lane in range(ids.shape[0]):
            theta[p, lane] = scale[p] * (two * uniform(words[p & 3, lane], one) - one)


@entry
def draw_neurons(seed, ids, sigma, neuron):
    """Rows (alpha, beta, a0, b0) of neuron q at 4 q: alpha, beta = 1 + sigma xi; a0, b0 = sigma xi (stream NEURON)."""
    words = np.empty((4, ids.shape[0]), np.uint32)
    one = neuron.dtype.type(1.0)
    for q in range(neuron.shape[0] // 4):
        four = neuron[4 * q : 4 * q + 4]
        normals4(seed, ids, NEURON, q, words, four)
        for lane in range(ids.shape[0]):
            four[0, lane] = one + sigma * four[0, lane]
            four[1, lane] = one + sigma * four[1, lane]
            four[2, lane] = sigma * four[2, lane]
            four[3, lane] = sigma * four[3, lane]


@entry
def draw_mismatch(seed, ids, sigma, gain):
    """gain[p] <- 1 + sigma xi_p: what a parameter's perturbation really is, over the nominal one."""
    words = np.empty((4, ids.shape[0]), np.uint32)
    four = np.empty((4, ids.shape[0]), gain.dtype)
    one = gain.dtype.type(1.0)
    for p in range(gain.shape[0]):
        if p % 4 == 0:
            normals4(seed, ids, MISMATCH, p >> 2, words, four)
        for lane in range(ids.shape[0]):
            gain[p, lane] = one + sigma * four[p & 3, lane]


@entry
def draw_phases(seed, ids, phase_sin, phase_cos):
    """Sine and cosine of the random phase 2 pi u_p of each parameter's sinusoid."""
    words = np.empty((4, ids.shape[0]), np.uint32)
    one = phase_sin.dtype.type(1.0)
    for p in range(phase_sin.shape[0]):
        if p % 4 == 0:
            words4(seed, ids, np.uint64(PHASE), np.uint64(p >> 2), words, 0)
        for lane in range(ids.shape[0]):
            phase_sin[p, lane], phase_cos[p, lane] = sincos(uniform(words[p & 3, lane], one))

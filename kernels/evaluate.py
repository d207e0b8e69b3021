"""Cost and accuracy of a block of chips over a set of samples, noise off, static imperfections in."""

from __future__ import annotations

import numpy as np

from . import table as t
from .dense import plain_dense, shared_dense
from .jit import entry, inner
from .neuron import activate, sample_cost
from .readout import convert_inputs, read_columns
from .simd import WIDTH, filled, load, resized, store, where


@inner
def count_correct(z, row, targets, s, n_out, correct):
    """correct += 1 where the outputs, rows of z from `row` on, decide as targets[s] do.

    One output: on the same side of 1/2. Several: the largest output is the largest target (the first of equals).
    NaN compares false, so a chip that has diverged counts as wrong.
    """
    wanted = 0
    for k in range(1, n_out):
        if targets[s, k] > targets[s, wanted]:
            wanted = k
    for v in range(0, z.shape[1], WIDTH):
        best = load(z, row, v)
        if n_out == 1:
            right = best > 0.5 if targets[s, 0] > z.dtype.type(0.5) else best <= 0.5
        else:
            label = filled(np.uint32(0), correct)
            for k in range(1, n_out):
                a = load(z, row + k, v)
                label = where(a > best, np.uint32(k), label)
                best = where(a > best, a, best)
            right = (label == np.uint32(wanted)) & (best == best)
        count = load(correct, 0, v)
        store(correct, 0, v, where(right, count + np.uint32(1), count))


@entry
def evaluate(s0, s1, cost, layers, neuron, theta, xs, targets, smoothed, y, work, total, correct, device):
    """Add the costs of samples s0 .. s1-1 to total float64[1, lanes] and right decisions to correct uint32[1, lanes].

    xs real[n, n_in]; targets and smoothed (for the cost) real[n, n_out]; scratch: y real[n_out, lanes], work
    real[2 x widest layer, lanes]. device: (), or a `hardware.Reading` without noise; xs is what the converters make.
    """
    lanes = theta.shape[1]
    n_layers = layers.shape[0]
    n_out = layers[n_layers - 1, t.N_OUT]
    half = work.shape[0] // 2
    for s in range(s0, s1):
        z = 0
        for q in range(n_layers):
            z = half * (q & 1)
            w0, b0 = layers[q, t.WEIGHTS], layers[q, t.BIASES]
            if q == 0:
                shared_dense(theta, w0, b0, layers[q, t.N_IN], layers[q, t.N_OUT], xs, s, work, z)
            else:
                convert_inputs(work, half - z, layers[q, t.N_IN], False, device)
                plain_dense(theta, w0, b0, layers[q, t.N_IN], layers[q, t.N_OUT], work, half - z, work, z)
            read_columns(layers[q, t.N_OUT], work, z, layers[q, t.NEURONS], device)
            activate(work, z, layers[q, t.N_OUT], layers[q, t.ACTIVATION], neuron, layers[q, t.NEURONS])
        for v in range(0, lanes, WIDTH):
            for k in range(n_out):
                store(y, k, v, smoothed[s, k])
            c = sample_cost(cost, work, z, y, n_out, v)
            store(total, 0, v, load(total, 0, v) + resized(c, total))
        count_correct(work, z, targets, s, n_out, correct)

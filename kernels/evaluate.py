"""Cost and accuracy of a block of chips over a set of samples, noise off, static imperfections in."""

from __future__ import annotations

import numpy as np

from . import table as t
from .dense import plain_dense, shared_dense
from .jit import entry, inner
from .neuron import activate, add_cost


@inner
def count_correct(z, target, n_out, correct, best, label):
    """correct += 1 where the outputs decide as the targets do.

    One output: on the same side of 1/2. Several: the largest output is the largest target (the first of equals).
    """
    half = z.dtype.type(0.5)
    if n_out == 1:
        high = target[0] > half
        for lane in range(correct.shape[0]):
            correct[lane] += np.int64((z[0, lane] > half) == high)
        return
    wanted = 0
    for k in range(1, n_out):
        if target[k] > target[wanted]:
            wanted = k
    for lane in range(correct.shape[0]):
        best[lane] = z[0, lane]
        label[lane] = 0
    for k in range(1, n_out):
        for lane in range(correct.shape[0]):
            a = z[k, lane]
            b = best[lane]
            larger = a > b
            best[lane] = a if larger else b
            label[lane] = k if larger else label[lane]
    for lane in range(correct.shape[0]):
        # NaN compares false: a chip that has diverged counts as wrong
        correct[lane] += np.int64((label[lane] == wanted) & (best[lane] == best[lane]))


@entry
def evaluate(s0, s1, cost, layers, neuron, theta, xs, targets, smoothed, y, a0, a1, total, correct):
    """Add the costs of samples s0 .. s1-1 to total float64[lanes] and the right decisions to correct int64[lanes].

    xs real[n, n_in]; targets and smoothed (for the cost) real[n, n_out]; y, a0, a1 scratch of one row a neuron.
    """
    lanes = theta.shape[1]
    n_layers = layers.shape[0]
    n_out = layers[n_layers - 1, t.N_OUT]
    one = np.empty(lanes, theta.dtype)
    lse = np.empty(lanes, theta.dtype)
    peak = np.empty(lanes, theta.dtype)
    label = np.empty(lanes, np.int64)
    for s in range(s0, s1):
        for q in range(n_layers):
            row = layers[q]
            z = a0 if (q & 1) == 0 else a1
            if q == 0:
                shared_dense(theta, row[t.WEIGHTS], row[t.BIASES], row[t.N_IN], row[t.N_OUT], xs[s], z)
            else:
                x = a1 if (q & 1) == 0 else a0
                plain_dense(theta, row[t.WEIGHTS], row[t.BIASES], row[t.N_IN], row[t.N_OUT], x, z)
            activate(z, row[t.N_OUT], row[t.ACTIVATION], neuron, row[t.NEURONS])
        z = a1 if (n_layers & 1) == 0 else a0
        for k in range(n_out):
            for lane in range(lanes):
                y[k, lane] = smoothed[s, k]
        for lane in range(lanes):
            one[lane] = theta.dtype.type(0.0)
        add_cost(cost, z, y, n_out, one, lse, peak)
        for lane in range(lanes):
            total[lane] += np.float64(one[lane])
        count_correct(z, targets[s], n_out, correct, lse, label)

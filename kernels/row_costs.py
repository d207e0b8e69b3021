"""The costs of several steps of one window of one chip, whose weights stand in the lanes (row_layer.py)."""

from __future__ import annotations

import numpy as np

from . import table as t
from .jit import inner
from .neuron import sample_cost
from .perturb import normals4
from .philox import BASELINE, COST, COST_MINUS
from .row_layer import activate_row, matrix, shift, signed_sums
from .row_signs import random_row, walsh_row
from .sample import draw_samples
from .simd import WIDTH, fma, store

# Rows of `costs`, real[COSTS, group]: of each step of the group.
C_PLUS, C_MINUS, C_AC, ERROR, COSTS = range(5)


@inner
def take_sample(xs, ys, chosen, x, y, c):
    """Column c of x real[columns, ..] and y real[n_out, columns] <- a sample."""
    for i in range(xs.shape[1]):
        x[c, i] = xs[chosen, i]
    for i in range(ys.shape[1]):
        y[i, c] = ys[chosen, i]


@inner
def forward(columns, step_of, two, antithetic, amplitude, layers, neuron, theta, words, slot, x, work, s):
    """Outputs of the baseline or of theta minus the perturbation (if `two`), and of theta plus it, for each column.

    step_of int64[columns]: the step of the group whose signs a column has. Outputs stand in the last layer's rows of
    work real[4 columns, widest]: layers take turns in two blocks of columns, for each of the two copies.
    """
    group = x.shape[0]
    for q in range(layers.shape[0]):
        w0, b0, n_in, n_out = layers[q, t.WEIGHTS], layers[q, t.BIASES], layers[q, t.N_IN], layers[q, t.N_OUT]
        xa, xb = ((q + 1) & 1) * group, (2 + ((q + 1) & 1)) * group
        za, zb = (q & 1) * group, (2 + (q & 1)) * group
        if q == 0:
            matrix(theta, w0, b0, n_in, n_out, x, 0, columns, work, za)
        else:
            matrix(theta, w0, b0, n_in, n_out, work, xb, columns, work, zb)
            if two:
                matrix(theta, w0, b0, n_in, n_out, work, xa, columns, work, za)
        for c in range(columns):
            k = slot[step_of[c]]
            if q == 0:
                signed_sums(words, k, w0, b0, n_in, n_out, x, c, s)
                shift(s, n_out, amplitude, work, za + c, zb + c)
            else:
                signed_sums(words, k, w0, b0, n_in, n_out, work, xb + c, s)
                shift(s, n_out, amplitude, work, zb + c, zb + c)
                if antithetic:
                    signed_sums(words, k, w0, b0, n_in, n_out, work, xa + c, s)
            if antithetic:
                shift(s, n_out, -amplitude, work, za + c, za + c)
            activate_row(work, zb + c, n_out, layers[q, t.ACTIVATION], neuron, layers[q, t.NEURONS])
            if two:
                activate_row(work, za + c, n_out, layers[q, t.ACTIVATION], neuron, layers[q, t.NEURONS])


@inner
def add_costs(cost, columns, step_of, work, row, n_out, z, y, costs, target):
    """costs[target, step of the column] += C of its outputs, row + c of work, in the order of columns."""
    for c in range(columns):
        for k in range(n_out):
            z[k, c] = work[row + c, k]
    for v in range(0, columns, WIDTH):
        store(z, 0, v, sample_cost(cost, z, 0, y, n_out, v))
    for c in range(columns):
        costs[target, step_of[c]] += z[0, c]


@inner
def measured_normal(n, stream, seed, ids, scratch, four):
    """Normal n of a stream."""
    normals4(seed, ids, stream, n >> 2, scratch, four)
    return four[n & 3, 0]


@inner
def needs_baseline(n, ints):
    """Whether C0 is measured at step n."""
    return ints[t.BASELINE] == t.MEASURED and (n % ints[t.TAU_X] == 0 or n % ints[t.TAU_THETA] == 0)


@inner
def present(n, n0, base, seed, ids, ints, n_params, keys_epoch, index, keys, words, slot, shown):
    """Samples and signs of step n, where they are new or n is n0; returns the epoch the keys now belong to."""
    if n % ints[t.TAU_X] == 0 or n == n0:
        batch = ints[t.BATCH]
        keys_epoch = draw_samples(
            (n // ints[t.TAU_X]) * batch, batch, ints[t.SHUFFLE] == 1, ints[t.N_TRAIN], seed, ids, keys, keys_epoch,
            index,
        )  # fmt: skip
    shown[n - base] = index[0, 0]
    k = n // ints[t.TAU_P]
    if n > n0 and n % ints[t.TAU_P] > 0:
        slot[n - base] = slot[n - base - 1]
    else:
        slot[n - base] = n - base
        if ints[t.PERTURBATION] == t.RANDOM:
            random_row(k, n_params, seed, ids[0, 0], words, n - base)
        else:
            walsh_row(k, n_params, words, n - base)
    return keys_epoch


@inner
def read_out(base, n0, n1, seed, ids, ints, reals, costs, scratch, four):
    """Sums over the batch in columns n - base of costs become what steps n0 .. n1-1 measure: means, with noise."""
    antithetic = ints[t.BASELINE] == t.ANTITHETIC
    real = costs.dtype.type
    share = real(1.0) / real(ints[t.BATCH])
    sigma, sigma0 = real(reals[t.SIGMA_C]), real(reals[t.SIGMA_C_BASELINE])
    for n in range(n0, n1):
        c = n - base
        if ints[t.BATCH] > 1:
            costs[C_PLUS, c] *= share
            costs[C_MINUS, c] *= share
        if sigma > 0.0:
            xi = measured_normal(n, COST, seed, ids, scratch, four)
            costs[C_PLUS, c] = fma(xi, sigma, costs[C_PLUS, c])
        if antithetic and sigma > 0.0:
            xi = measured_normal(n, COST_MINUS, seed, ids, scratch, four)
            costs[C_MINUS, c] = fma(xi, sigma, costs[C_MINUS, c])
        elif sigma0 > 0.0 and needs_baseline(n, ints):
            xi = measured_normal(n, BASELINE, seed, ids, scratch, four)
            costs[C_MINUS, c] = fma(xi, sigma0, costs[C_MINUS, c])


@inner
def measure(base, n0, n1, seed, ids, ints, reals, layers, xs, ys, neuron, theta, costs, words, slot, shown, own):
    """Signs and costs of steps n0 .. n1-1 of a window, into rows and columns n - base of words and costs."""
    x, work, s, z, y, step_of, index, keys, scratch, four, _ = own
    batch = ints[t.BATCH]
    antithetic = ints[t.BASELINE] == t.ANTITHETIC
    last = layers.shape[0] - 1
    n_out = layers[last, t.N_OUT]
    n_params = layers[last, t.BIASES] + n_out
    group = x.shape[0]
    amplitude = theta.dtype.type(reals[t.AMPLITUDE])
    keys_epoch = np.int64(-1)
    for c in range(n0 - base, n1 - base):
        costs[C_PLUS, c] = 0.0
        costs[C_MINUS, c] = 0.0
    total = (n1 - n0) * batch
    for g in range(0, total, group):
        columns = min(group, total - g)
        two = antithetic
        for c in range(columns):
            n = n0 + (g + c) // batch
            b = g + c - (n - n0) * batch
            step_of[c] = n - base
            two = two or needs_baseline(n, ints)
            if b == 0:
                keys_epoch = present(
                    n, n0, base, seed, ids, ints, n_params, keys_epoch, index, keys, words, slot, shown
                )  # fmt: skip
            take_sample(xs, ys, np.int64(index[b, 0]), x, y, c)
        forward(columns, step_of, two, antithetic, amplitude, layers, neuron, theta, words, slot, x, work, s)
        add_costs(ints[t.COST], columns, step_of, work, (2 + (last & 1)) * group, n_out, z, y, costs, C_PLUS)
        if two:
            add_costs(ints[t.COST], columns, step_of, work, (last & 1) * group, n_out, z, y, costs, C_MINUS)
    read_out(base, n0, n1, seed, ids, ints, reals, costs, scratch, four)

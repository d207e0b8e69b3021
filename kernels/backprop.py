"""Backpropagation for a block of lanes: the true gradient, and the rule that MGD is set beside."""

from __future__ import annotations

import numpy as np

from . import table as t
from .dense import plain_dense
from .jit import allocating_entry, entry, inner
from .mathfn import exp, sigmoid, tanh
from .neuron import add_cost, after, before, log_sum_exp
from .perturb import copy_row
from .sample import gather, next_samples, order_width
from .simd import WIDTH, filled, fma, load, store, where
from .update import learning_rate, write


@inner
def activate_and_slope(acts, slope, n_out, kind, neuron, first):
    """As `activate` on rows first .. first+n_out-1 of acts, and slope <- df/da there."""
    spread = neuron.shape[0] > 0
    one = filled(acts.dtype.type(1.0), acts)
    for v in range(0, acts.shape[1], WIDTH):
        for j in range(first, first + n_out):
            r = before(acts, j, v, spread, neuron, 4 * j)
            d = one
            if kind == t.SIGMOID:
                r = sigmoid(r)
                d = r * (1.0 - r)
            elif kind == t.TANH:
                r = tanh(r)
                d = 1.0 - r * r
            elif kind == t.RELU:
                d = where(r > 0.0, one, 0.0)
                r = where(r < 0.0, 0.0, r)
            if spread:
                d = d * load(neuron, 4 * j, v) * load(neuron, 4 * j + 1, v)
            store(slope, j, v, d)
            after(r, acts, j, v, spread, neuron, 4 * j)


@inner
def output_delta(cost, acts, first, y, n_out, delta):
    """delta <- delta dC/dz in the rows of the output layer, delta holding the slopes."""
    for v in range(0, acts.shape[1], WIDTH):
        if cost == t.CROSS_ENTROPY:
            lse = log_sum_exp(acts, first, n_out, v)
            total = load(y, 0, v)
            for k in range(1, n_out):
                total = total + load(y, k, v)
            for k in range(n_out):
                d = fma(total, exp(load(acts, first + k, v) - lse), -load(y, k, v))
                store(delta, first + k, v, load(delta, first + k, v) * d)
        else:
            for k in range(n_out):
                d = (load(acts, first + k, v) - load(y, k, v)) * (2.0 / n_out)
                store(delta, first + k, v, load(delta, first + k, v) * d)


@inner
def add_gradient(cost, layers, neuron, theta, x, y, acts, deltas, total, G):
    """G += dC/dtheta, total real[1, lanes] += C of the samples in the lanes; acts, deltas real[neurons, lanes]."""
    last = layers.shape[0] - 1
    for q in range(last + 1):
        n_in, n, first = layers[q, t.N_IN], layers[q, t.N_OUT], layers[q, t.NEURONS]
        if q == 0:
            plain_dense(theta, layers[q, t.WEIGHTS], layers[q, t.BIASES], n_in, n, x, 0, acts, first)
        else:
            plain_dense(theta, layers[q, t.WEIGHTS], layers[q, t.BIASES], n_in, n, acts, first - n_in, acts, first)
        activate_and_slope(acts, deltas, n, layers[q, t.ACTIVATION], neuron, first)
    n, first = layers[last, t.N_OUT], layers[last, t.NEURONS]
    add_cost(cost, acts, first, y, n, total, 0)
    output_delta(cost, acts, first, y, n, deltas)
    for q in range(last, -1, -1):
        n_in, n, first = layers[q, t.N_IN], layers[q, t.N_OUT], layers[q, t.NEURONS]
        w0 = layers[q, t.WEIGHTS]
        for v in range(0, theta.shape[1], WIDTH):
            if q > 0:
                for i in range(n_in):
                    s = load(theta, w0 + i, v) * load(deltas, first, v)
                    for j in range(1, n):
                        s = fma(load(theta, w0 + j * n_in + i, v), load(deltas, first + j, v), s)
                    store(deltas, first - n_in + i, v, s * load(deltas, first - n_in + i, v))
            for j in range(n):
                d = load(deltas, first + j, v)
                for i in range(n_in):
                    p = w0 + j * n_in + i
                    below = load(x, i, v) if q == 0 else load(acts, first - n_in + i, v)
                    store(G, p, v, fma(d, below, load(G, p, v)))
                p = layers[q, t.BIASES] + j
                store(G, p, v, load(G, p, v) + d)


@entry
def sum_gradient(s0, s1, cost, layers, neuron, theta, xs, ys, x, y, acts, deltas, total, G):
    """G real[P, lanes] += sum over samples s0 .. s1-1 of dC/dtheta; total real[1, lanes] += their costs."""
    for s in range(s0, s1):
        for v in range(0, theta.shape[1], WIDTH):
            for i in range(xs.shape[1]):
                store(x, i, v, xs[s, i])
            for k in range(ys.shape[1]):
                store(y, k, v, ys[s, k])
        add_gradient(cost, layers, neuron, theta, x, y, acts, deltas, total, G)


@entry
def steps_backprop(
    n0, n1, seed, ids, ints, reals, layers, xs, ys, neuron, theta, G, velocity, last_gradient, first_bad,
    x, y, acts, deltas, signal, index, keys, scratch, fours, probe_lane, probe_cost, probe_cost_ac, probe_sample,
):  # fmt: skip
    """Iterations n0 .. n1-1 of theta <- theta - eta v, v = momentum v + mean gradient + weight_decay theta.

    One iteration is one sample or batch; samples come in the order MGD sees them with tau_x = 1. Arrays as in
    `steps_values`; signal real[1, lanes] is scratch.
    """
    lanes = theta.shape[1]
    n_params = theta.shape[0]
    batch = ints[t.BATCH]
    share = theta.dtype.type(1.0) / theta.dtype.type(batch)
    shuffled = ints[t.SHUFFLE] == 1
    n_train = ints[t.N_TRAIN]
    width = order_width(n_train)
    epoch = n0 * batch // n_train
    position = n0 * batch - epoch * n_train
    keys_epoch = np.int64(-1)
    for n in range(n0, n1):
        epoch, position, keys_epoch = next_samples(
            epoch, position, keys_epoch, shuffled, n_train, width, seed, ids, keys, index
        )
        for v in range(0, lanes, WIDTH):
            store(signal, 0, v, 0.0)
        for b in range(batch):
            gather(xs, index, b, x)
            gather(ys, index, b, y)
            add_gradient(ints[t.COST], layers, neuron, theta, x, y, acts, deltas, signal, G)
        for v in range(0, lanes, WIDTH):
            c = load(signal, 0, v)
            bad = load(first_bad, 0, v)
            store(first_bad, 0, v, where(((c - c) != 0.0) & (bad < 0), n, bad))
        if batch > 1:
            for p in range(n_params):
                for v in range(0, lanes, WIDTH):
                    store(G, p, v, load(G, p, v) * share)
        if ints[t.KEEP_GRADIENT] == 1 and n + 1 == n1:
            for p in range(n_params):
                copy_row(G, p, last_gradient, p)
        for q in range(probe_lane.shape[0]):
            probe_cost[n - n0, q] = signal[0, probe_lane[q]] * share
            probe_cost_ac[n - n0, q] = theta.dtype.type(0.0)
            probe_sample[n - n0, q] = index[0, probe_lane[q]]
        rate = theta.dtype.type(learning_rate(ints, reals, n))
        write(theta, G, velocity, reals, rate, True, n, seed, ids, scratch, fours[8:])


@allocating_entry
def gradient_of_shown(cost, layers, neuron, theta, xs, ys, index, x, y, acts, deltas, G):
    """G real[P, lanes] += sum over the samples index uint32[batch, lanes] shown to each lane of dC/dtheta."""
    total = np.zeros((1, theta.shape[1]), theta.dtype)
    for b in range(index.shape[0]):
        gather(xs, index, b, x)
        gather(ys, index, b, y)
        add_gradient(cost, layers, neuron, theta, x, y, acts, deltas, total, G)

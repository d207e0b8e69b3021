"""Backpropagation for a block of lanes: the true gradient, and the rule that MGD is set beside."""

from __future__ import annotations

import numpy as np

from . import table as t
from .dense import plain_dense
from .jit import entry, inner
from .mathfn import exp
from .neuron import activate, add_cost, finite, log_sum_exp
from .sample import draw_samples, gather
from .simd import WIDTH, fma, load, mul, splat, store
from .update import learning_rate, write


@inner
def activate_and_slope(z, n_out, kind, neuron, first, slope):
    """As `activate`, and slope <- df/da of every neuron."""
    real = z.dtype.type
    one = real(1.0)
    spread = neuron.shape[0] > 0
    for j in range(n_out):
        r = z[j]
        d = slope[j]
        if spread:
            # the slope needs the bare activation, so undo nothing: shift and scale here, activate bare, scale back
            beta = neuron[4 * (first + j) + 1]
            a0 = neuron[4 * (first + j) + 2]
            for lane in range(r.shape[0]):
                r[lane] = beta[lane] * (r[lane] - a0[lane])
        if kind == t.RELU:
            for lane in range(r.shape[0]):
                d[lane] = one if r[lane] > real(0.0) else real(0.0)
    activate(z, n_out, kind, neuron[:0], first)
    for j in range(n_out):
        r = z[j]
        d = slope[j]
        if kind == t.SIGMOID:
            for lane in range(r.shape[0]):
                d[lane] = r[lane] * (one - r[lane])
        elif kind == t.TANH:
            for lane in range(r.shape[0]):
                d[lane] = one - r[lane] * r[lane]
        elif kind == t.LINEAR:
            for lane in range(r.shape[0]):
                d[lane] = one
        if spread:
            alpha = neuron[4 * (first + j)]
            beta = neuron[4 * (first + j) + 1]
            b0 = neuron[4 * (first + j) + 3]
            for lane in range(r.shape[0]):
                r[lane] = alpha[lane] * r[lane] + b0[lane]
                d[lane] *= alpha[lane] * beta[lane]


@inner
def output_delta(cost, z, y, n_out, delta, lse, peak):
    """delta <- delta dC/dz on the output layer, delta holding the slopes."""
    if cost == t.CROSS_ENTROPY:
        log_sum_exp(z, n_out, lse, peak)
        for lane in range(lse.shape[0]):
            peak[lane] = z.dtype.type(0.0)
        for k in range(n_out):
            for lane in range(lse.shape[0]):
                peak[lane] += y[k, lane]
        for k in range(n_out):
            for lane in range(lse.shape[0]):
                delta[k, lane] *= peak[lane] * exp(z[k, lane] - lse[lane]) - y[k, lane]
    else:
        share = z.dtype.type(2.0) / z.dtype.type(n_out)
        for k in range(n_out):
            for lane in range(lse.shape[0]):
                delta[k, lane] *= share * (z[k, lane] - y[k, lane])


@inner
def add_gradient(cost, layers, neuron, theta, x, y, acts, deltas, c, lse, peak, G):
    """G += dC/dtheta and c += C of the samples in the lanes; acts, deltas real[neurons, lanes] are scratch."""
    last = layers.shape[0] - 1
    for q in range(last + 1):
        row = layers[q]
        n = row[t.N_OUT]
        first = row[t.NEURONS]
        z = acts[first : first + n]
        below = x if q == 0 else acts[first - row[t.N_IN] : first]
        plain_dense(theta, row[t.WEIGHTS], row[t.BIASES], row[t.N_IN], n, below, z)
        activate_and_slope(z, n, row[t.ACTIVATION], neuron, first, deltas[first : first + n])
    row = layers[last]
    first = row[t.NEURONS]
    out = acts[first : first + row[t.N_OUT]]
    add_cost(cost, out, y, row[t.N_OUT], c, lse, peak)
    output_delta(cost, out, y, row[t.N_OUT], deltas[first : first + row[t.N_OUT]], lse, peak)
    for q in range(last, -1, -1):
        row = layers[q]
        n_in = row[t.N_IN]
        n = row[t.N_OUT]
        first = row[t.NEURONS]
        w0 = row[t.WEIGHTS]
        delta = deltas[first : first + n]
        below = x if q == 0 else acts[first - n_in : first]
        for v in range(0, theta.shape[1], WIDTH):
            if q > 0:
                before = deltas[first - n_in : first]
                for i in range(n_in):
                    s = mul(load(theta, w0 + i, v), load(delta, 0, v))
                    for j in range(1, n):
                        s = fma(load(theta, w0 + j * n_in + i, v), load(delta, j, v), s)
                    store(before, i, v, mul(s, load(before, i, v)))
            for j in range(n):
                d = load(delta, j, v)
                for i in range(n_in):
                    p = w0 + j * n_in + i
                    store(G, p, v, fma(d, load(below, i, v), load(G, p, v)))
                p = row[t.BIASES] + j
                store(G, p, v, fma(splat(G.dtype.type(1.0)), d, load(G, p, v)))


@entry
def sum_gradient(s0, s1, cost, layers, neuron, theta, xs, ys, x, y, acts, deltas, total, G):
    """G real[P, lanes] += sum over samples s0 .. s1-1 of dC/dtheta; total real[lanes] += their costs."""
    lanes = theta.shape[1]
    lse = np.empty(lanes, theta.dtype)
    peak = np.empty(lanes, theta.dtype)
    for s in range(s0, s1):
        for i in range(xs.shape[1]):
            for lane in range(lanes):
                x[i, lane] = xs[s, i]
        for k in range(ys.shape[1]):
            for lane in range(lanes):
                y[k, lane] = ys[s, k]
        add_gradient(cost, layers, neuron, theta, x, y, acts, deltas, total, lse, peak, G)


@entry
def steps_backprop(
    n0, n1, seed, ids, ints, reals, layers, xs, ys, neuron, theta, G, velocity, last_gradient, first_bad,
    x, y, acts, deltas, signal, index, keys, scratch, fours, probe_lane, probe_cost, probe_cost_ac, probe_sample,
):  # fmt: skip
    """Iterations n0 .. n1-1 of theta <- theta - eta v, v = momentum v + mean gradient + weight_decay theta.

    One iteration is one sample or batch; samples come in the order MGD sees them with tau_x = 1. Arrays as in
    `steps_values`; signal real[3, lanes] is scratch.
    """
    lanes = theta.shape[1]
    n_params = theta.shape[0]
    batch = ints[t.BATCH]
    share = theta.dtype.type(1.0) / theta.dtype.type(batch)
    keys_epoch = np.int64(-1)
    cost = signal[0]
    for n in range(n0, n1):
        keys_epoch = draw_samples(
            n * batch, batch, ints[t.SHUFFLE] == 1, ints[t.N_TRAIN], seed, ids, keys, keys_epoch, index
        )
        for lane in range(lanes):
            cost[lane] = theta.dtype.type(0.0)
        for b in range(batch):
            gather(xs, index[b], x)
            gather(ys, index[b], y)
            add_gradient(ints[t.COST], layers, neuron, theta, x, y, acts, deltas, cost, signal[1], signal[2], G)
        for lane in range(lanes):
            bad = first_bad[lane]
            first_bad[lane] = n if (bad < 0) & (not finite(cost[lane])) else bad
        if batch > 1:
            for p in range(n_params):
                for lane in range(lanes):
                    G[p, lane] *= share
        if ints[t.KEEP_GRADIENT] == 1 and n + 1 == n1:
            for p in range(n_params):
                for lane in range(lanes):
                    last_gradient[p, lane] = G[p, lane]
        for q in range(probe_lane.shape[0]):
            probe_cost[n - n0, q] = cost[probe_lane[q]] * share
            probe_cost_ac[n - n0, q] = theta.dtype.type(0.0)
            probe_sample[n - n0, q] = index[0, probe_lane[q]]
        rate = theta.dtype.type(learning_rate(ints, reals, n))
        write(theta, G, velocity, reals, rate, True, n, seed, ids, scratch, fours[0:4])


@entry
def gradient_of_shown(cost, layers, neuron, theta, xs, ys, index, x, y, acts, deltas, G):
    """G real[P, lanes] += sum over the samples index int64[batch, lanes] shown to each lane of dC/dtheta."""
    lanes = theta.shape[1]
    total = np.empty(lanes, theta.dtype)
    lse = np.empty(lanes, theta.dtype)
    peak = np.empty(lanes, theta.dtype)
    for b in range(index.shape[0]):
        gather(xs, index[b], x)
        gather(ys, index[b], y)
        add_gradient(cost, layers, neuron, theta, x, y, acts, deltas, total, lse, peak, G)

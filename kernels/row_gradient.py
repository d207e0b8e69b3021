"""The true gradient of one chip whose weights stand in the lanes, samples as columns."""

from __future__ import annotations

from . import table as t
from .backprop import output_delta
from .jit import entry, inner
from .mathfn import sigmoid, tanh
from .row_costs import take_sample
from .row_layer import matrix
from .simd import WIDTH, fma, load, splat, store, where


@inner
def activate_and_slope_row(z, slope, row, n_out, kind, neuron, first):
    """As `activate_row`, and slope <- df/da in the same row, zeros after it too."""
    spread = neuron.shape[1] > 0
    for j in range(0, n_out, WIDTH):
        a = load(z, row, j)
        if spread:
            a = load(neuron, 1, first + j) * (a - load(neuron, 2, first + j))
        d = splat(z.dtype.type(1.0))
        if kind == t.SIGMOID:
            a = sigmoid(a)
            d = a * (1.0 - a)
        elif kind == t.TANH:
            a = tanh(a)
            d = 1.0 - a * a
        elif kind == t.RELU:
            d = where(a > 0.0, d, 0.0)
            a = where(a < 0.0, 0.0, a)
        if spread:
            d = d * load(neuron, 0, first + j) * load(neuron, 1, first + j)
            a = fma(load(neuron, 0, first + j), a, load(neuron, 3, first + j))
        store(z, row, j, a)
        store(slope, row, j, d)
    for j in range(n_out, -(-n_out // WIDTH) * WIDTH):
        z[row, j] = 0.0
        slope[row, j] = 0.0


@inner
def add_products(G, p, n_in, d, x, columns):
    """G[p .. p+n_in-1] += sum over columns of d_c x_c; d real[columns], in rows of x."""
    for i in range(0, n_in, WIDTH):
        g = load(G, 0, p + i)
        for c in range(columns):
            g = fma(load(x, c, i), d[c], g)
        store(G, 0, p + i, g)


@inner
def below(theta, w0, n_in, n_out, delta, row, target):
    """Row `target` of delta (holding slopes) *= W^T times row `row` of it."""
    for i in range(0, n_in, WIDTH):
        s = splat(theta.dtype.type(0.0))
        for j in range(n_out):
            s = fma(load(theta, 0, w0 + j * n_in + i), delta[row, j], s)
        store(delta, target, i, load(delta, target, i) * s)


@entry
def gradient_rows(chosen, s0, s1, cost, layers, neuron, theta, xs, ys, x, acts, deltas, z, y, dz, G):
    """G real[1, P padded] += sum of dC/dtheta over samples chosen[s0] .. chosen[s1-1]; chosen int64[n].

    Scratch: x real[columns, n_in padded], acts and deltas real[layers columns, widest padded], z, y, dz
    real[n_out, columns].
    """
    group = x.shape[0]
    last = layers.shape[0] - 1
    for g in range(s0, s1, group):
        columns = min(group, s1 - g)
        for c in range(columns):
            take_sample(xs, ys, chosen[g + c], x, y, c)
        for q in range(last + 1):
            w0, b0, n_in, n_out = layers[q, t.WEIGHTS], layers[q, t.BIASES], layers[q, t.N_IN], layers[q, t.N_OUT]
            if q == 0:
                matrix(theta, w0, b0, n_in, n_out, x, 0, columns, acts, 0)
            else:
                matrix(theta, w0, b0, n_in, n_out, acts, (q - 1) * group, columns, acts, q * group)
            for c in range(q * group, q * group + columns):
                activate_and_slope_row(acts, deltas, c, n_out, layers[q, t.ACTIVATION], neuron, layers[q, t.NEURONS])
        n_out = layers[last, t.N_OUT]
        for c in range(columns):
            for k in range(n_out):
                z[k, c] = acts[last * group + c, k]
                dz[k, c] = deltas[last * group + c, k]
        output_delta(cost, z, 0, y, n_out, dz)
        for c in range(columns):
            for k in range(n_out):
                deltas[last * group + c, k] = dz[k, c]
        for q in range(last, -1, -1):
            w0, b0, n_in, n_out = layers[q, t.WEIGHTS], layers[q, t.BIASES], layers[q, t.N_IN], layers[q, t.N_OUT]
            for j in range(n_out):
                for c in range(columns):
                    dz[0, c] = deltas[q * group + c, j]
                    G[0, b0 + j] += dz[0, c]
                source = x if q == 0 else acts[(q - 1) * group : q * group]
                add_products(G, w0 + j * n_in, n_in, dz[0], source, columns)
            if q > 0:
                for c in range(columns):
                    below(theta, w0, n_in, n_out, deltas, q * group + c, (q - 1) * group + c)

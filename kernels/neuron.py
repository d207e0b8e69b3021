"""Activations with neuron spread, and costs: elementwise over lanes."""

from __future__ import annotations

from .jit import inner, leaf
from .mathfn import exp, log, sigmoid, tanh
from .simd import WIDTH, fma, load, store, where
from .table import CROSS_ENTROPY, RELU, SIGMOID, TANH


@inner
def activate_rows(z, j0, j1, kind):
    """z <- f(z) in rows j0 .. j1-1, without spread."""
    for v in range(0, z.shape[1], WIDTH):
        if kind == SIGMOID:
            for j in range(j0, j1):
                store(z, j, v, sigmoid(load(z, j, v)))
        elif kind == TANH:
            for j in range(j0, j1):
                store(z, j, v, tanh(load(z, j, v)))
        elif kind == RELU:
            for j in range(j0, j1):
                a = load(z, j, v)
                store(z, j, v, where(a < 0.0, 0.0, a))  # lets NaN through


@inner
def shift(z, row, n_out, neuron, first):
    """z <- beta (z - a0) in n_out rows from `row` on."""
    for v in range(0, z.shape[1], WIDTH):
        for j in range(n_out):
            q = 4 * (first + j)
            store(z, row + j, v, load(neuron, q + 1, v) * (load(z, row + j, v) - load(neuron, q + 2, v)))


@inner
def stretch(z, row, n_out, neuron, first):
    """z <- alpha z + b0 in n_out rows from `row` on."""
    for v in range(0, z.shape[1], WIDTH):
        for j in range(n_out):
            q = 4 * (first + j)
            store(z, row + j, v, fma(load(neuron, q, v), load(z, row + j, v), load(neuron, q + 3, v)))


@inner
def activate(z, row, n_out, kind, neuron, first):
    """z <- alpha f(beta (z - a0)) + b0, in place on n_out rows of z from `row` on.

    neuron : real[4 * neurons, lanes], rows (alpha, beta, a0, b0) of neuron q from row 4 q, or of no rows where
    all neurons are nominal; first : number of the layer's first neuron. Source: McCaughan et al. 2023, eq. for
    the logistic form; the other activations take the same affine spread.
    """
    if neuron.shape[0] > 0:
        shift(z, row, n_out, neuron, first)
    activate_rows(z, row, row + n_out, kind)
    if neuron.shape[0] > 0:
        stretch(z, row, n_out, neuron, first)


@leaf
def log_sum_exp(z, row, n_out, v):
    """log(sum over n_out rows from `row` on of exp(z)) of 16 lanes."""
    peak = load(z, row, v)
    for k in range(row + 1, row + n_out):
        a = load(z, k, v)
        peak = where(a > peak, a, peak)
    total = exp(load(z, row, v) - peak)
    for k in range(row + 1, row + n_out):
        total = total + exp(load(z, k, v) - peak)
    return log(total, z) + peak


@leaf
def sample_cost(kind, z, row, y, n_out, v):
    """C(z, y) of 16 lanes; outputs in rows of z from `row` on, y real[n_out, lanes].

    Mean squared error: mean over outputs of (z - y)^2. Cross-entropy on logits, y smoothed beforehand:
    sum of y (log sum exp z - z).
    """
    if kind == CROSS_ENTROPY:
        lse = log_sum_exp(z, row, n_out, v)
        c = load(y, 0, v) * (lse - load(z, row, v))
        for k in range(1, n_out):
            c = fma(load(y, k, v), lse - load(z, row + k, v), c)
        return c
    d = load(z, row, v) - load(y, 0, v)
    c = d * d
    for k in range(1, n_out):
        d = load(z, row + k, v) - load(y, k, v)
        c = fma(d, d, c)
    return c * (1.0 / n_out)


@leaf
def add_cost(kind, z, row, y, n_out, signal, target):
    """signal[target] += C(z, y) in every lane."""
    for v in range(0, z.shape[1], WIDTH):
        store(signal, target, v, load(signal, target, v) + sample_cost(kind, z, row, y, n_out, v))

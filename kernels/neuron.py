"""Activations with neuron spread, and costs: elementwise over lanes."""

from __future__ import annotations

from .jit import leaf
from .mathfn import exp, log, sigmoid, tanh
from .simd import fma, lanes_of, load, store, where, width_of
from .table import CROSS_ENTROPY, RELU, SIGMOID, TANH


@leaf
def before(z, row, v, spread, neuron, q):
    """beta (z - a0) of one row, the neuron's variation being in rows from q on."""
    a = load(z, row, v)
    if spread:
        a = load(neuron, q + 1, v) * (a - load(neuron, q + 2, v))
    return a


@leaf
def after(f, z, row, v, spread, neuron, q):
    """z <- alpha f + b0 in one row."""
    if spread:
        f = fma(load(neuron, q, v), f, load(neuron, q + 3, v))
    store(z, row, v, f)


@leaf
def activate(z, row, n_out, kind, neuron, first):
    """z <- alpha f(beta (z - a0)) + b0, in place on n_out rows of z from `row` on.

    neuron : real[4 * neurons, lanes], rows (alpha, beta, a0, b0) of neuron q from row 4 q, or of no rows where
    all neurons are nominal; first : number of the layer's first neuron. Source: McCaughan et al. 2023, eq. for
    the logistic form; the other activations take the same affine spread.
    """
    spread = neuron.shape[0] > 0
    for v in range(0, lanes_of(z), width_of(z)):
        for j in range(n_out):
            q = 4 * (first + j)
            a = before(z, row + j, v, spread, neuron, q)
            if kind == SIGMOID:
                a = sigmoid(a)
            elif kind == TANH:
                a = tanh(a)
            elif kind == RELU:
                a = where(a < 0.0, 0.0, a)  # lets NaN through
            after(a, z, row + j, v, spread, neuron, q)


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
    for v in range(0, lanes_of(z), width_of(z)):
        store(signal, target, v, load(signal, target, v) + sample_cost(kind, z, row, y, n_out, v))

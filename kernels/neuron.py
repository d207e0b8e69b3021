"""Activations with neuron spread, costs: elementwise over lanes."""

from __future__ import annotations

from .jit import inner
from .mathfn import exp, log, sigmoid, tanh
from .table import CROSS_ENTROPY, RELU, SIGMOID, TANH


@inner
def activate(z, n_out, kind, neuron, first):
    """z <- alpha f(beta (z - a0)) + b0, in place on rows 0..n_out-1 of z.

    neuron : real[4 * neurons, lanes], rows (alpha, beta, a0, b0) of neuron q from row 4 q, or of no rows where
    all neurons are nominal; first : number of the layer's first neuron. Source: McCaughan et al. 2023, eq. for
    the logistic form; the other activations take the same affine spread.
    """
    zero = z.dtype.type(0.0)
    spread = neuron.shape[0] > 0
    for j in range(n_out):
        r = z[j]
        if spread:
            beta = neuron[4 * (first + j) + 1]
            a0 = neuron[4 * (first + j) + 2]
            for lane in range(r.shape[0]):
                r[lane] = beta[lane] * (r[lane] - a0[lane])
        if kind == SIGMOID:
            for lane in range(r.shape[0]):
                r[lane] = sigmoid(r[lane])
        elif kind == TANH:
            for lane in range(r.shape[0]):
                r[lane] = tanh(r[lane])
        elif kind == RELU:
            for lane in range(r.shape[0]):
                a = r[lane]
                r[lane] = zero if a < zero else a  # lets NaN through
        if spread:
            alpha = neuron[4 * (first + j)]
            b0 = neuron[4 * (first + j) + 3]
            for lane in range(r.shape[0]):
                r[lane] = alpha[lane] * r[lane] + b0[lane]


@inner
def log_sum_exp(z, n_out, out, peak):
    """out <- log(sum over outputs of exp(z)), peak <- the largest output."""
    for lane in range(out.shape[0]):
        peak[lane] = z[0, lane]
        out[lane] = out.dtype.type(0.0)
    for k in range(1, n_out):
        r = z[k]
        for lane in range(out.shape[0]):
            a = r[lane]
            b = peak[lane]
            peak[lane] = b if a < b else a
    for k in range(n_out):
        r = z[k]
        for lane in range(out.shape[0]):
            out[lane] += exp(r[lane] - peak[lane])
    for lane in range(out.shape[0]):
        out[lane] = log(out[lane]) + peak[lane]


@inner
def add_cost(kind, z, y, n_out, cost, lse, peak):
    """cost += C(z, y) of one sample; z, y real[n_out, lanes], cost real[lanes]; lse, peak are scratch.

    Mean squared error: mean over outputs of (z - y)^2. Cross-entropy on logits, y smoothed beforehand:
    sum of y (log sum exp z - z).
    """
    if kind == CROSS_ENTROPY:
        log_sum_exp(z, n_out, lse, peak)
        for k in range(n_out):
            r = z[k]
            t = y[k]
            for lane in range(cost.shape[0]):
                cost[lane] += t[lane] * (lse[lane] - r[lane])
    else:
        for lane in range(cost.shape[0]):
            lse[lane] = cost.dtype.type(0.0)
        for k in range(n_out):
            r = z[k]
            t = y[k]
            for lane in range(cost.shape[0]):
                d = r[lane] - t[lane]
                lse[lane] += d * d
        share = cost.dtype.type(1.0) / cost.dtype.type(n_out)
        for lane in range(cost.shape[0]):
            cost[lane] += lse[lane] * share


@inner
def finite(x):
    """False for infinities and NaN (x - x is NaN for both)."""
    d = x - x
    return d == d

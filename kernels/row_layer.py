"""A dense layer of one chip with its weights in the lanes: for networks too large to keep 16 chips in a cache.

Parameters are one flat vector, real[1, P + padding]; a vector is 16 neighbouring weights of a row. Columns are
inputs that share the parameters: the samples of a batch, or the steps of a window, each with its own signs. The
product with the weights is then one of matrices, and the perturbation adds amplitude * sum_i s_ji x_i, in which the
negative signs are summed under a mask: sum_i s_i x_i = sum_i x_i - 2 sum over negative s_i of x_i.
Inputs are padded with zeros to a multiple of 16. A sum's order never depends on how many columns there are.
"""

from __future__ import annotations

from .across import signs, sum_lanes
from .jit import inner, leaf
from .mathfn import sigmoid, tanh
from .simd import WIDTH, fma, load, splat, store, where
from .table import RELU, SIGMOID, TANH


@leaf
def tile44(theta, p, n_in, x, c, z, r, j):
    """Rows j .. j+3 of four columns: 16 sums in registers. z holds the biases."""
    zero = splat(theta.dtype.type(0.0))
    a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = c0 = c1 = c2 = c3 = d0 = d1 = d2 = d3 = zero
    for i in range(0, n_in, WIDTH):
        w0 = load(theta, 0, p + i)
        w1 = load(theta, 0, p + n_in + i)
        w2 = load(theta, 0, p + 2 * n_in + i)
        w3 = load(theta, 0, p + 3 * n_in + i)
        u = load(x, c, i)
        a0 = fma(w0, u, a0)
        a1 = fma(w1, u, a1)
        a2 = fma(w2, u, a2)
        a3 = fma(w3, u, a3)
        u = load(x, c + 1, i)
        b0 = fma(w0, u, b0)
        b1 = fma(w1, u, b1)
        b2 = fma(w2, u, b2)
        b3 = fma(w3, u, b3)
        u = load(x, c + 2, i)
        c0 = fma(w0, u, c0)
        c1 = fma(w1, u, c1)
        c2 = fma(w2, u, c2)
        c3 = fma(w3, u, c3)
        u = load(x, c + 3, i)
        d0 = fma(w0, u, d0)
        d1 = fma(w1, u, d1)
        d2 = fma(w2, u, d2)
        d3 = fma(w3, u, d3)
    sums4(z, r, j, a0, a1, a2, a3)
    sums4(z, r + 1, j, b0, b1, b2, b3)
    sums4(z, r + 2, j, c0, c1, c2, c3)
    sums4(z, r + 3, j, d0, d1, d2, d3)


@leaf
def sums4(z, r, j, a, b, c, d):
    """z[r, j .. j+3] += the sums of four vectors."""
    z[r, j] += sum_lanes(a)
    z[r, j + 1] += sum_lanes(b)
    z[r, j + 2] += sum_lanes(c)
    z[r, j + 3] += sum_lanes(d)


@leaf
def tile41(theta, p, n_in, x, c, z, r, j):
    """Rows j .. j+3 of one column."""
    zero = splat(theta.dtype.type(0.0))
    a0 = a1 = a2 = a3 = zero
    for i in range(0, n_in, WIDTH):
        u = load(x, c, i)
        a0 = fma(load(theta, 0, p + i), u, a0)
        a1 = fma(load(theta, 0, p + n_in + i), u, a1)
        a2 = fma(load(theta, 0, p + 2 * n_in + i), u, a2)
        a3 = fma(load(theta, 0, p + 3 * n_in + i), u, a3)
    sums4(z, r, j, a0, a1, a2, a3)


@inner
def matrix(theta, w0, b0, n_in, n_out, x, first, columns, z, row):
    """z[row + c, j] = b_j + sum_i W_ji x[first + c, i] for c < columns."""
    for c in range(columns):
        for j in range(0, n_out, WIDTH):
            store(z, row + c, j, load(theta, 0, b0 + j))
    whole = columns - columns % 4
    j = 0
    while j + 4 <= n_out:
        p = w0 + j * n_in
        for c in range(0, whole, 4):
            tile44(theta, p, n_in, x, first + c, z, row + c, j)
        for c in range(whole, columns):
            tile41(theta, p, n_in, x, first + c, z, row + c, j)
        j += 4
    while j < n_out:
        for c in range(columns):
            a = splat(theta.dtype.type(0.0))
            for i in range(0, n_in, WIDTH):
                a = fma(load(theta, 0, w0 + j * n_in + i), load(x, first + c, i), a)
            z[row + c, j] += sum_lanes(a)
        j += 1


def make_masked(aligned: bool):
    """masked: s[0, j] = sum of those x[c, i] whose sign s_ji is set; at half the cost where all rows begin at bytes."""

    @leaf
    def masked(words, k, w0, n_in, n_out, x, c, s):
        zero = splat(s.dtype.type(0.0))
        vectors = (n_in + WIDTH - 1) // WIDTH
        j = 0
        while j + 4 <= n_out:
            p0 = w0 + j * n_in
            p1, p2, p3 = p0 + n_in, p0 + 2 * n_in, p0 + 3 * n_in
            b0, b1, b2, b3 = p0 >> 3, p1 >> 3, p2 >> 3, p3 >> 3
            f0, f1, f2, f3 = (0, 0, 0, 0) if aligned else (p0 & 7, p1 & 7, p2 & 7, p3 & 7)
            a0 = a1 = a2 = a3 = zero
            for i in range(vectors):
                u = load(x, c, WIDTH * i)
                a0 = where(signs(words, k, b0 + 2 * i, f0), a0 + u, a0)
                a1 = where(signs(words, k, b1 + 2 * i, f1), a1 + u, a1)
                a2 = where(signs(words, k, b2 + 2 * i, f2), a2 + u, a2)
                a3 = where(signs(words, k, b3 + 2 * i, f3), a3 + u, a3)
            s[0, j] = sum_lanes(a0)
            s[0, j + 1] = sum_lanes(a1)
            s[0, j + 2] = sum_lanes(a2)
            s[0, j + 3] = sum_lanes(a3)
            j += 4
        while j < n_out:
            p0 = w0 + j * n_in
            a0 = zero
            for i in range(vectors):
                mask = signs(words, k, (p0 >> 3) + 2 * i, 0 if aligned else p0 & 7)
                a0 = where(mask, a0 + load(x, c, WIDTH * i), a0)
            s[0, j] = sum_lanes(a0)
            j += 1

    return masked


masked_at_bytes = make_masked(aligned=True)
masked_anywhere = make_masked(aligned=False)


@inner
def signed_sums(words, k, w0, bias, n_in, n_out, x, c, s):
    """s[0, j] = s_j + sum_i s_ji x[c, i] with the signs of row k of words; s real[1, outputs padded to 16]."""
    total = splat(s.dtype.type(0.0))
    for i in range(0, n_in, WIDTH):
        total = total + load(x, c, i)
    whole = sum_lanes(total)
    if (n_in & 7) == 0 and (w0 & 7) == 0:
        masked_at_bytes(words, k, w0, n_in, n_out, x, c, s)
    else:
        masked_anywhere(words, k, w0, n_in, n_out, x, c, s)
    for j in range(0, n_out, WIDTH):
        u = fma(load(s, 0, j), -2.0, whole)
        store(s, 0, j, where(signs(words, k, (bias + j) >> 3, bias & 7), u - 1.0, u + 1.0))


@inner
def shift(s, n_out, amplitude, z, source, target):
    """z[target, j] = z[source, j] + amplitude s[0, j]."""
    for j in range(0, n_out, WIDTH):
        store(z, target, j, fma(load(s, 0, j), amplitude, load(z, source, j)))


@inner
def activate_row(z, row, n_out, kind, neuron, first):
    """z <- alpha f(beta (z - a0)) + b0 on n_out outputs of a row, zeros after them up to a multiple of 16.

    neuron real[4, neurons + 16] of rows (alpha, beta, a0, b0), or no columns: all nominal. Source: as `activate`.
    """
    spread = neuron.shape[1] > 0
    for j in range(0, n_out, WIDTH):
        a = load(z, row, j)
        if spread:
            a = load(neuron, 1, first + j) * (a - load(neuron, 2, first + j))
        if kind == SIGMOID:
            a = sigmoid(a)
        elif kind == TANH:
            a = tanh(a)
        elif kind == RELU:
            a = where(a < 0.0, 0.0, a)
        if spread:
            a = fma(load(neuron, 0, first + j), a, load(neuron, 3, first + j))
        store(z, row, j, a)
    for j in range(n_out, -(-n_out // WIDTH) * WIDTH):
        z[row, j] = 0.0

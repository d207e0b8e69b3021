"""Pre-activations of a dense layer on a register of lanes at a time: a = W x + b with every parameter read once.

A pass evaluates one or two copies of the network with one reading of theta: the baseline and the perturbed one
(PAIR), both signs of the perturbation (ANTITHETIC), or the perturbed one alone (SINGLE). The perturbation is
a sign per parameter times the amplitude (CODES) or times a size of its own (GAINS), or an array of values (VALUES).
Of nodes (NODES), pre-activations are perturbed and parameters are not.
"""

from __future__ import annotations

import numpy as np

from .jit import inner, leaf
from .simd import WIDTH, filled, flip, fma, funnel, lanes_of, load, store, width_of

SINGLE, PAIR, ANTITHETIC = range(3)
CODES, GAINS, VALUES, NODES = range(4)


@leaf
def sign_word(words, p, v):
    """A word whose highest bit is the sign of parameter p, those of the next parameters of its word below it."""
    return load(words, p >> 5, v) << np.uint32(p & 31)


@leaf
def sign_words(words, p, v):
    """The same with the signs of parameters p to p + 31, across the border of two words."""
    after = min((p >> 5) + 1, words.shape[0] - 1)
    return funnel(load(words, p >> 5, v), load(words, after, v), np.uint32(p & 31))


def make_dense(kind: int, form: int):
    """The layer function for one kind of pass and form of perturbation.

    dense(theta, words, values, amplitude, w0, b0, n_in, n_out, work, xa, xb, za, zb): theta real[P, lanes],
    words uint32[ceil(P/32), lanes] the signs (CODES and GAINS), values real[P, lanes] the perturbation (VALUES) or its
    size (GAINS); weights from row w0, biases from row b0 of theta. xa, xb, za, zb are the first rows of the inputs and
    of the pre-activations in work real[.., lanes] (rows and not arrays: binding an array costs more than a small
    layer). In a SINGLE pass only xb and zb are used; otherwise `a` is the baseline (PAIR) or theta minus the
    perturbation (ANTITHETIC), `b` theta plus it.
    """
    pair = kind != SINGLE
    antithetic = kind == ANTITHETIC
    signs = form in (CODES, GAINS)
    sized = form == GAINS

    @leaf
    def both(theta, word, values, size, p, v):
        t = load(theta, p, v)
        if form == NODES:
            return t, t
        d = flip(load(values, p, v) if sized else size, word) if signs else load(values, p, v)
        a = t - d if antithetic else t
        return a, t + d

    @leaf
    def first_word(words, p, v):
        return sign_word(words, p, v) if signs else filled(np.uint32(0), words)

    @leaf
    def row_words(words, p, v):
        return sign_words(words, p, v) if signs else filled(np.uint32(0), words)

    @leaf
    def rows4(theta, words, values, size, w0, b0, n_in, work, xa, xb, za, zb, j, v):
        a0, c0 = both(theta, first_word(words, b0 + j, v), values, size, b0 + j, v)
        a1, c1 = both(theta, first_word(words, b0 + j + 1, v), values, size, b0 + j + 1, v)
        a2, c2 = both(theta, first_word(words, b0 + j + 2, v), values, size, b0 + j + 2, v)
        a3, c3 = both(theta, first_word(words, b0 + j + 3, v), values, size, b0 + j + 3, v)
        for i0 in range(0, n_in, 32):
            p = w0 + j * n_in
            word0 = row_words(words, p + i0, v)
            word1 = row_words(words, p + n_in + i0, v)
            word2 = row_words(words, p + 2 * n_in + i0, v)
            word3 = row_words(words, p + 3 * n_in + i0, v)
            for i in range(i0, min(i0 + 32, n_in)):
                x = load(work, xb + i, v)
                s0, t0 = both(theta, word0, values, size, p + i, v)
                s1, t1 = both(theta, word1, values, size, p + n_in + i, v)
                s2, t2 = both(theta, word2, values, size, p + 2 * n_in + i, v)
                s3, t3 = both(theta, word3, values, size, p + 3 * n_in + i, v)
                c0 = fma(t0, x, c0)
                c1 = fma(t1, x, c1)
                c2 = fma(t2, x, c2)
                c3 = fma(t3, x, c3)
                if pair:
                    y = load(work, xa + i, v)
                    a0 = fma(s0, y, a0)
                    a1 = fma(s1, y, a1)
                    a2 = fma(s2, y, a2)
                    a3 = fma(s3, y, a3)
                word0 = word0 + word0  # the next parameter's sign
                word1 = word1 + word1
                word2 = word2 + word2
                word3 = word3 + word3
        store(work, zb + j, v, c0)
        store(work, zb + j + 1, v, c1)
        store(work, zb + j + 2, v, c2)
        store(work, zb + j + 3, v, c3)
        if pair:
            store(work, za + j, v, a0)
            store(work, za + j + 1, v, a1)
            store(work, za + j + 2, v, a2)
            store(work, za + j + 3, v, a3)

    @leaf
    def rows1(theta, words, values, size, w0, b0, n_in, work, xa, xb, za, zb, j, v):
        a0, c0 = both(theta, first_word(words, b0 + j, v), values, size, b0 + j, v)
        p = w0 + j * n_in
        for i0 in range(0, n_in, 32):
            word = row_words(words, p + i0, v)
            for i in range(i0, min(i0 + 32, n_in)):
                s0, t0 = both(theta, word, values, size, p + i, v)
                c0 = fma(t0, load(work, xb + i, v), c0)
                if pair:
                    a0 = fma(s0, load(work, xa + i, v), a0)
                word = word + word
        store(work, zb + j, v, c0)
        if pair:
            store(work, za + j, v, a0)

    @leaf
    def dense(theta, words, values, amplitude, w0, b0, n_in, n_out, work, xa, xb, za, zb):
        size = filled(amplitude, theta)
        for v in range(0, lanes_of(theta), width_of(theta)):
            j = 0
            while j + 4 <= n_out:
                rows4(theta, words, values, size, w0, b0, n_in, work, xa, xb, za, zb, j, v)
                j += 4
            while j < n_out:
                rows1(theta, words, values, size, w0, b0, n_in, work, xa, xb, za, zb, j, v)
                j += 1

    return dense


@leaf
def perturb_columns(kind, values, first, n_out, work, za, zb):
    """Pre-activations plus rows `first` .. of values, in copy a minus them (ANTITHETIC)."""
    for j in range(n_out):
        for v in range(0, lanes_of(work), width_of(work)):
            d = load(values, first + j, v)
            store(work, zb + j, v, load(work, zb + j, v) + d)
            if kind == ANTITHETIC:
                store(work, za + j, v, load(work, za + j, v) - d)


def make_plain(shared: bool):
    """z <- W x + b without perturbation.

    plain(theta, w0, b0, n_in, n_out, source, x, work, z): outputs from row z of work on. Inputs are row x of source
    real[n, n_in], the same for all lanes (shared), or the rows from x on of source real[.., lanes].
    """

    @leaf
    def inputs(source, x, i, v):
        return filled(source[x, i], source) if shared else load(source, x + i, v)

    @inner
    def plain(theta, w0, b0, n_in, n_out, source, x, work, z):
        for v in range(0, theta.shape[1], WIDTH):
            j = 0
            while j + 4 <= n_out:
                p = w0 + j * n_in
                c0 = load(theta, b0 + j, v)
                c1 = load(theta, b0 + j + 1, v)
                c2 = load(theta, b0 + j + 2, v)
                c3 = load(theta, b0 + j + 3, v)
                for i in range(n_in):
                    u = inputs(source, x, i, v)
                    c0 = fma(load(theta, p + i, v), u, c0)
                    c1 = fma(load(theta, p + n_in + i, v), u, c1)
                    c2 = fma(load(theta, p + 2 * n_in + i, v), u, c2)
                    c3 = fma(load(theta, p + 3 * n_in + i, v), u, c3)
                store(work, z + j, v, c0)
                store(work, z + j + 1, v, c1)
                store(work, z + j + 2, v, c2)
                store(work, z + j + 3, v, c3)
                j += 4
            while j < n_out:
                c0 = load(theta, b0 + j, v)
                for i in range(n_in):
                    c0 = fma(load(theta, w0 + j * n_in + i, v), inputs(source, x, i, v), c0)
                store(work, z + j, v, c0)
                j += 1

    return plain


plain_dense = make_plain(shared=False)
shared_dense = make_plain(shared=True)

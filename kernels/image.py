"""Layers of pictures with samples or steps in the lanes: convolutions, pools, dense layers.

A layer is a row of `stages` (table.py). The picture that it reads and the one that it makes stand in rows of work
real[.., 16], row (channel height + y) width + x from its first row on, the margin that padding asks for around it and
always 0. `places` are the rows, within a channel, of the upper left cells that the kernel is laid on, in groups of
four, `targets` those of what comes out; where a pool of 2 x 2 follows at once, the four are its window, and have one
target. Weights are those of one chip: the same in all lanes, theta real[1, P + padding] (shared), or each lane's own,
real[P of a layer, 16].
Four channels at four places are summed in registers, so a weight and an input are each read once for four products.
"""

from __future__ import annotations

import numpy as np

from . import table as t
from .jit import inner, leaf
from .mathfn import sigmoid, tanh
from .simd import WIDTH, filled, flip, fma, load, put, store, where


def make_layer(shared: bool):
    """The two kinds of a layer with weights, see the module."""

    @leaf
    def weight(theta, p, work):
        return filled(theta[0, p], work) if shared else load(theta, p, 0)

    @leaf
    def tile44(theta, w0, c_in, high, wide, height, width, work, x0, x1, x2, x3, sums):
        """sums[4 j + k] <- sum of the products of kernel j at place k, four of each."""
        n = c_in * high * wide
        zero = filled(work.dtype.type(0.0), work)
        a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = c0 = c1 = c2 = c3 = d0 = d1 = d2 = d3 = zero
        p = w0
        for c in range(c_in):
            for r in range(high):
                line = (c * height + r) * width
                for i in range(line, line + wide):
                    u0 = load(work, x0 + i, 0)
                    u1 = load(work, x1 + i, 0)
                    u2 = load(work, x2 + i, 0)
                    u3 = load(work, x3 + i, 0)
                    w = weight(theta, p, work)
                    a0 = fma(w, u0, a0)
                    a1 = fma(w, u1, a1)
                    a2 = fma(w, u2, a2)
                    a3 = fma(w, u3, a3)
                    w = weight(theta, p + n, work)
                    b0 = fma(w, u0, b0)
                    b1 = fma(w, u1, b1)
                    b2 = fma(w, u2, b2)
                    b3 = fma(w, u3, b3)
                    w = weight(theta, p + 2 * n, work)
                    c0 = fma(w, u0, c0)
                    c1 = fma(w, u1, c1)
                    c2 = fma(w, u2, c2)
                    c3 = fma(w, u3, c3)
                    w = weight(theta, p + 3 * n, work)
                    d0 = fma(w, u0, d0)
                    d1 = fma(w, u1, d1)
                    d2 = fma(w, u2, d2)
                    d3 = fma(w, u3, d3)
                    p += 1
        keep4(sums, 0, a0, a1, a2, a3)
        keep4(sums, 4, b0, b1, b2, b3)
        keep4(sums, 8, c0, c1, c2, c3)
        keep4(sums, 12, d0, d1, d2, d3)

    @leaf
    def tile14(theta, w0, c_in, high, wide, height, width, work, x0, x1, x2, x3, sums):
        """The same of one kernel."""
        zero = filled(work.dtype.type(0.0), work)
        a0 = a1 = a2 = a3 = zero
        p = w0
        for c in range(c_in):
            for r in range(high):
                line = (c * height + r) * width
                for i in range(line, line + wide):
                    w = weight(theta, p, work)
                    a0 = fma(w, load(work, x0 + i, 0), a0)
                    a1 = fma(w, load(work, x1 + i, 0), a1)
                    a2 = fma(w, load(work, x2 + i, 0), a2)
                    a3 = fma(w, load(work, x3 + i, 0), a3)
                    p += 1
        keep4(sums, 0, a0, a1, a2, a3)

    @leaf
    def tile41(theta, w0, n, work, x, sums):
        """sums[4 j] <- sum of the products of row j of a dense layer, four of them."""
        zero = filled(work.dtype.type(0.0), work)
        a0 = a1 = a2 = a3 = zero
        for i in range(n):
            u = load(work, x + i, 0)
            a0 = fma(weight(theta, w0 + i, work), u, a0)
            a1 = fma(weight(theta, w0 + n + i, work), u, a1)
            a2 = fma(weight(theta, w0 + 2 * n + i, work), u, a2)
            a3 = fma(weight(theta, w0 + 3 * n + i, work), u, a3)
        store(sums, 0, 0, a0)
        store(sums, 4, 0, a1)
        store(sums, 8, 0, a2)
        store(sums, 12, 0, a3)

    @leaf
    def tile11(theta, w0, n, work, x, sums):
        """The same of one row."""
        a0 = filled(work.dtype.type(0.0), work)
        for i in range(n):
            a0 = fma(weight(theta, w0 + i, work), load(work, x + i, 0), a0)
        store(sums, 0, 0, a0)

    @leaf
    def finish(theta, b0, stage, neuron, j, few, work, targets, q, sums):
        """Biases, neurons and the pool of what stands in sums, channels j .. j + few - 1, group q of places."""
        z, plane = stage[t.TARGET_ROW], stage[t.TARGET_PLANE]
        alone = stage[t.PLACES] == 1
        for k in range(few):
            bias = weight(theta, b0 + j + k, work)
            row = z + (j + k) * plane
            number = stage[t.STAGE_NEURONS] + j + k
            a = respond(load(sums, 4 * k, 0) + bias, stage[t.STAGE_ACTIVATION], neuron, number, work)
            if alone:
                store(work, row + targets[q], 0, a)
                continue
            b = respond(load(sums, 4 * k + 1, 0) + bias, stage[t.STAGE_ACTIVATION], neuron, number, work)
            c = respond(load(sums, 4 * k + 2, 0) + bias, stage[t.STAGE_ACTIVATION], neuron, number, work)
            d = respond(load(sums, 4 * k + 3, 0) + bias, stage[t.STAGE_ACTIVATION], neuron, number, work)
            if stage[t.THEN] == t.MAX_OF_FOUR:
                store(work, row + targets[q], 0, larger(larger(a, b), larger(c, d)))
            elif stage[t.THEN] == t.MEAN_OF_FOUR:
                store(work, row + targets[q], 0, ((a + b) + (c + d)) * 0.25)
            else:
                store(work, row + targets[q], 0, a)
                store(work, row + targets[q + 1], 0, b)
                store(work, row + targets[q + 2], 0, c)
                store(work, row + targets[q + 3], 0, d)

    @inner
    def layer(theta, w0, b0, stage, places, targets, neuron, work, sums):
        """One layer; w0, b0 : its first weight and bias in theta."""
        c_in, high, wide = stage[t.CHANNELS], stage[t.KERNEL_HIGH], stage[t.KERNEL_WIDE]
        height, width, n_out = stage[t.HEIGHT], stage[t.WIDTH_IN], stage[t.CHANNELS_OUT]
        n = c_in * high * wide
        x, first, count = stage[t.SOURCE_ROW], stage[t.FIRST_PLACE], stage[t.PLACES]
        target = stage[t.FIRST_TARGET]
        each = 4 if stage[t.THEN] == t.NOTHING else 1
        j = 0
        while j < n_out:
            few = 4 if j + 4 <= n_out else 1
            w = w0 + j * n
            if count == 1:
                if few == 4:
                    tile41(theta, w, n, work, x + places[first], sums)
                else:
                    tile11(theta, w, n, work, x + places[first], sums)
                finish(theta, b0, stage, neuron, j, few, work, targets, target, sums)
            else:
                for q in range(0, count, 4):
                    k = first + q
                    x0, x1, x2, x3 = x + places[k], x + places[k + 1], x + places[k + 2], x + places[k + 3]
                    if few == 4:
                        tile44(theta, w, c_in, high, wide, height, width, work, x0, x1, x2, x3, sums)
                    else:
                        tile14(theta, w, c_in, high, wide, height, width, work, x0, x1, x2, x3, sums)
                    finish(theta, b0, stage, neuron, j, few, work, targets, target + (q >> 2) * each, sums)
            j += few

    return layer


@leaf
def tap_row(stage, i):
    """Row, from a place on, of the input that weight i of a kernel is multiplied with."""
    wide = stage[t.KERNEL_WIDE]
    window = stage[t.KERNEL_HIGH] * wide
    c = i // window
    r = (i - c * window) // wide
    return (c * stage[t.HEIGHT] + r) * stage[t.WIDTH_IN] + i - c * window - r * wide


@leaf
def keep4(sums, row, a, b, c, d):
    """Four rows."""
    store(sums, row, 0, a)
    store(sums, row + 1, 0, b)
    store(sums, row + 2, 0, c)
    store(sums, row + 3, 0, d)


@leaf
def larger(a, b):
    """The larger one; NaN goes through."""
    return where((a > b) | (a != a), a, b)


@leaf
def respond(a, kind, neuron, number, like):
    """alpha f(beta (a - a0)) + b0 of neuron `number`; neuron real[4, neurons + 16] as in `activate_row`."""
    spread = neuron.shape[1] > 0
    if spread:
        a = filled(neuron[1, number], like) * (a - neuron[2, number])
    if kind == t.SIGMOID:
        a = sigmoid(a)
    elif kind == t.TANH:
        a = tanh(a)
    elif kind == t.RELU:
        a = where(a < 0.0, 0.0, a)
    if spread:
        a = fma(a, neuron[0, number], filled(neuron[3, number], like))
    return a


@inner
def pool(stage, places, targets, work):
    """A pool that does not follow its layer at once, or is not of 2 x 2: of size KERNEL_HIGH at each place."""
    size, width = stage[t.KERNEL_HIGH], stage[t.WIDTH_IN]
    share = work.dtype.type(1.0) / work.dtype.type(size * size)
    for c in range(stage[t.CHANNELS]):
        x = stage[t.SOURCE_ROW] + c * stage[t.HEIGHT] * width
        z = stage[t.TARGET_ROW] + c * stage[t.TARGET_PLANE]
        for q in range(stage[t.PLACES]):
            first = x + places[stage[t.FIRST_PLACE] + q]
            a = load(work, first, 0)
            for i in range(1, size * size):
                b = load(work, first + (i // size) * width + i % size, 0)
                a = larger(a, b) if stage[t.STAGE] == t.MAX_POOL else a + b
            if stage[t.STAGE] == t.AVG_POOL:
                a = a * share
            store(work, z + targets[stage[t.FIRST_TARGET] + q], 0, a)


shared_layer = make_layer(shared=True)
own_layer = make_layer(shared=False)


@inner
def forward_shared(theta, stages, places, targets, neuron, work, sums):
    """All layers with the weights theta real[1, P + padding]; inputs in the first stage's rows of work."""
    for s in range(stages.shape[0]):
        stage = stages[s]
        if stage[t.STAGE] == t.ARRAY:
            shared_layer(
                theta, stage[t.STAGE_WEIGHTS], stage[t.STAGE_BIASES], stage, places, targets, neuron, work, sums
            )
        else:
            pool(stage, places, targets, work)


@inner
def forward_own(theta, words, slots, amplitude, stages, places, targets, neuron, work, sums, own, word):
    """The same with theta + amplitude times the signs of row slots[lane] of words in each lane.

    own real[most parameters of a layer, 16] and word uint32[1, 16] are scratch.
    """
    for s in range(stages.shape[0]):
        stage = stages[s]
        if stage[t.STAGE] == t.ARRAY:
            w0, b0 = stage[t.STAGE_WEIGHTS], stage[t.STAGE_BIASES]
            perturbed(theta, w0, b0 + stage[t.CHANNELS_OUT], words, slots, amplitude, own, word)
            own_layer(own, 0, b0 - w0, stage, places, targets, neuron, work, sums)
        else:
            pool(stage, places, targets, work)


@inner
def perturbed(theta, p0, p1, words, slots, amplitude, own, word):
    """own[p - p0] <- theta[p] + amplitude times each lane's sign, for parameters p0 .. p1-1."""
    size = filled(amplitude, own)
    for first in range(p0 & ~31, p1, 32):
        for lane in range(WIDTH):
            put(word, 0, lane, words[slots[lane], first >> 5])
        w = load(word, 0, 0)
        for p in range(max(first, p0), min(first + 32, p1)):
            sign = w << np.uint32(31 - (p - first))
            store(own, p - p0, 0, filled(theta[0, p], own) + flip(size, sign))

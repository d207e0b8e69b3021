"""Backpropagation through networks of pictures, samples in the lanes and the weights of one chip shared by them.

As in image.py; the stages here are those without fused pools, so that everything stands in work: slope df/da of every
output in the same rows of slopes, and in delta dC/dz, then dC/da.
"""

from __future__ import annotations

from . import table as t
from .across import sum_lanes
from .backprop import output_delta
from .columns import show
from .image import forward_shared, tap_row
from .jit import entry, inner, leaf
from .neuron import sample_cost
from .simd import WIDTH, filled, fma, load, store, where


@leaf
def slope_of(z, kind, neuron, number, like):
    """df/da where f(a) = z; neuron as in `respond`."""
    spread = neuron.shape[1] > 0
    alive = spread and neuron[0, number] != 0.0  # a dead one has no slope, whatever f is
    f = (z - neuron[3, number]) / neuron[0, number] if alive else z
    d = filled(like.dtype.type(1.0), like)
    if kind == t.SIGMOID:
        d = f * (1.0 - f)
    elif kind == t.TANH:
        d = 1.0 - f * f
    elif kind == t.RELU:
        d = where(f > 0.0, d, 0.0)
    if spread:
        d = d * (neuron[0, number] * neuron[1, number])
    return d


@inner
def through_neurons(stage, targets, neuron, work, delta):
    """dC/da from dC/dz of a layer."""
    step = stage[t.TARGET_PLANE]
    for j in range(stage[t.CHANNELS_OUT]):
        for q in range(stage[t.OUTPUTS]):
            row = stage[t.TARGET_ROW] + j * step + targets[stage[t.FIRST_TARGET] + q]
            d = slope_of(load(work, row, 0), stage[t.STAGE_ACTIVATION], neuron, stage[t.STAGE_NEURONS] + j, work)
            store(delta, row, 0, load(delta, row, 0) * d)


@leaf
def weights4(stage, places, targets, j, few, i, many, work, delta, G):
    """G of weights i .. i+many-1 of kernels j .. j+few-1, up to four of each; those beyond repeat the last."""
    n = stage[t.CHANNELS] * stage[t.KERNEL_HIGH] * stage[t.KERNEL_WIDE]
    z, plane, first, target = stage[t.TARGET_ROW], stage[t.TARGET_PLANE], stage[t.FIRST_PLACE], stage[t.FIRST_TARGET]
    x = stage[t.SOURCE_ROW]
    i0, i1 = x + tap_row(stage, i), x + tap_row(stage, i + min(1, many - 1))
    i2, i3 = x + tap_row(stage, i + min(2, many - 1)), x + tap_row(stage, i + min(3, many - 1))
    j0, j1 = z + j * plane, z + (j + min(1, few - 1)) * plane
    j2, j3 = z + (j + min(2, few - 1)) * plane, z + (j + min(3, few - 1)) * plane
    zero = filled(work.dtype.type(0.0), work)
    a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = c0 = c1 = c2 = c3 = d0 = d1 = d2 = d3 = zero
    for q in range(stage[t.OUTPUTS]):
        place, out = places[first + q], targets[target + q]
        u0 = load(work, i0 + place, 0)
        u1 = load(work, i1 + place, 0)
        u2 = load(work, i2 + place, 0)
        u3 = load(work, i3 + place, 0)
        d = load(delta, j0 + out, 0)
        a0 = fma(d, u0, a0)
        a1 = fma(d, u1, a1)
        a2 = fma(d, u2, a2)
        a3 = fma(d, u3, a3)
        d = load(delta, j1 + out, 0)
        b0 = fma(d, u0, b0)
        b1 = fma(d, u1, b1)
        b2 = fma(d, u2, b2)
        b3 = fma(d, u3, b3)
        d = load(delta, j2 + out, 0)
        c0 = fma(d, u0, c0)
        c1 = fma(d, u1, c1)
        c2 = fma(d, u2, c2)
        c3 = fma(d, u3, c3)
        d = load(delta, j3 + out, 0)
        d0 = fma(d, u0, d0)
        d1 = fma(d, u1, d1)
        d2 = fma(d, u2, d2)
        d3 = fma(d, u3, d3)
    p = stage[t.STAGE_WEIGHTS] + j * n + i
    add4(G, p, many, a0, a1, a2, a3)
    if few > 1:
        add4(G, p + n, many, b0, b1, b2, b3)
    if few > 2:
        add4(G, p + 2 * n, many, c0, c1, c2, c3)
    if few > 3:
        add4(G, p + 3 * n, many, d0, d1, d2, d3)


@leaf
def add4(G, p, many, a, b, c, d):
    """G[p ..] += the sums of the first `many` of four vectors."""
    G[0, p] += sum_lanes(a)
    if many > 1:
        G[0, p + 1] += sum_lanes(b)
    if many > 2:
        G[0, p + 2] += sum_lanes(c)
    if many > 3:
        G[0, p + 3] += sum_lanes(d)


@leaf
def below4(theta, stage, places, targets, i, many, delta):
    """dC/dx += what kernels' weights i .. i+many-1 pass down at every place."""
    n = stage[t.CHANNELS] * stage[t.KERNEL_HIGH] * stage[t.KERNEL_WIDE]
    z, plane, first, target = stage[t.TARGET_ROW], stage[t.TARGET_PLANE], stage[t.FIRST_PLACE], stage[t.FIRST_TARGET]
    x = stage[t.SOURCE_ROW]
    i0, i1 = x + tap_row(stage, i), x + tap_row(stage, i + min(1, many - 1))
    i2, i3 = x + tap_row(stage, i + min(2, many - 1)), x + tap_row(stage, i + min(3, many - 1))
    zero = filled(delta.dtype.type(0.0), delta)
    for q in range(stage[t.OUTPUTS]):
        place, row = places[first + q], z + targets[target + q]
        a = b = c = d = zero
        p = stage[t.STAGE_WEIGHTS] + i
        for j in range(stage[t.CHANNELS_OUT]):
            e = load(delta, row + j * plane, 0)
            a = fma(e, theta[0, p], a)
            b = fma(e, theta[0, p + 1], b)
            c = fma(e, theta[0, p + 2], c)
            d = fma(e, theta[0, p + 3], d)
            p += n
        store(delta, i0 + place, 0, load(delta, i0 + place, 0) + a)
        if many > 1:
            store(delta, i1 + place, 0, load(delta, i1 + place, 0) + b)
        if many > 2:
            store(delta, i2 + place, 0, load(delta, i2 + place, 0) + c)
        if many > 3:
            store(delta, i3 + place, 0, load(delta, i3 + place, 0) + d)


@inner
def array_back(theta, stage, places, targets, lowest, work, delta, G):
    """Gradients of a layer's weights and biases, and dC/dx unless it is the lowest."""
    n = stage[t.CHANNELS] * stage[t.KERNEL_HIGH] * stage[t.KERNEL_WIDE]
    n_out = stage[t.CHANNELS_OUT]
    for j in range(n_out):
        total = filled(work.dtype.type(0.0), work)
        row = stage[t.TARGET_ROW] + j * stage[t.TARGET_PLANE]
        for q in range(stage[t.OUTPUTS]):
            total = total + load(delta, row + targets[stage[t.FIRST_TARGET] + q], 0)
        G[0, stage[t.STAGE_BIASES] + j] += sum_lanes(total)
    for i in range(0, n, 4):
        for j in range(0, n_out, 4):
            weights4(stage, places, targets, j, min(4, n_out - j), i, min(4, n - i), work, delta, G)
        if not lowest:
            below4(theta, stage, places, targets, i, min(4, n - i), delta)


@inner
def pool_back(stage, places, targets, work, delta):
    """dC/dx += of a pool: to the first of the largest, or to all alike."""
    size, width = stage[t.KERNEL_HIGH], stage[t.WIDTH_IN]
    share = work.dtype.type(1.0) / work.dtype.type(size * size)
    for c in range(stage[t.CHANNELS]):
        x = stage[t.SOURCE_ROW] + c * stage[t.HEIGHT] * width
        z = stage[t.TARGET_ROW] + c * stage[t.TARGET_PLANE]
        for q in range(stage[t.OUTPUTS]):
            first = x + places[stage[t.FIRST_PLACE] + q]
            row = z + targets[stage[t.FIRST_TARGET] + q]
            e = load(delta, row, 0)
            if stage[t.STAGE] == t.AVG_POOL:
                e = e * share
            peak = load(work, row, 0)
            for i in range(size * size):
                at = first + (i // size) * width + i % size
                d = load(delta, at, 0)
                if stage[t.STAGE] == t.AVG_POOL:
                    store(delta, at, 0, d + e)
                else:
                    hit = load(work, at, 0) == peak
                    store(delta, at, 0, where(hit, d + e, d))
                    e = where(hit, 0.0, e)  # the others get nothing


@entry
def gradient_columns(s0, s1, cost, scale, tables, neuron, theta, xs, ys, chosen, own, G, total):
    """G real[1, P padded] += sum of dC/dtheta over samples chosen[s0] .. chosen[s1-1], total real[1, 1] += their costs.

    tables = (stages, places, targets, input_rows), without fused pools; own = (work, delta real[rows, 16], sums
    real[16, 16], y real[n_out, 16]) is scratch; chosen int64[n].
    """
    stages, places, targets, input_rows = tables
    work, delta, sums, y = own
    last = stages.shape[0] - 1
    outputs = stages[last, t.TARGET_ROW]
    n_out = y.shape[0]
    for s in range(s0, s1, WIDTH):
        count = min(WIDTH, s1 - s)
        show(xs, ys, input_rows, chosen, s, count, scale, work, y)
        forward_shared(theta, stages, places, targets, neuron, work, sums)
        store(sums, 0, 0, sample_cost(cost, work, outputs, y, n_out, 0))
        for lane in range(count):
            total[0, 0] += sums[0, lane]
        for row in range(delta.shape[0]):
            store(delta, row, 0, filled(delta.dtype.type(0.0), delta))
        for k in range(n_out):
            store(delta, outputs + k, 0, filled(delta.dtype.type(1.0), delta))
        output_delta(cost, work, outputs, y, n_out, delta)
        for lane in range(count, WIDTH):  # repeated samples do not count
            for k in range(n_out):
                delta[outputs + k, lane] = 0.0
        for q in range(last, -1, -1):
            stage = stages[q]
            if stage[t.STAGE] == t.ARRAY:
                through_neurons(stage, targets, neuron, work, delta)
                array_back(theta, stage, places, targets, q == 0, work, delta, G)
            else:
                pool_back(stage, places, targets, work, delta)

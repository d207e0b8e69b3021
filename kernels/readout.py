"""Columns as a chip reads them: read noise of the devices, converters with few bits, saturation counted.

`readout` is a `hardware.Readout`.
"""

from __future__ import annotations

import numpy as np
from numba.extending import overload

from .hardware import is_empty, lacks
from .jit import FLAGS, leaf
from .perturb import BLOCKS, normals
from .philox import READ
from .simd import filled, floor, fma, lanes_of, load, resized, sqrt, store, where, width_of
from .table import (
    AGE_EVERY,
    ADC_RANGE,
    ADC_STEP,
    CHANGE,
    COLUMN,
    COST_CODE,
    COST_RANGE,
    COST_READ,
    COST_STEP,
    DAC_HIGH,
    DAC_LOW,
    DAC_STEP,
    DIGITAL,
    INPUT,
    READ_FLOOR,
    READ_SLOPE,
    SPARE,
)


@leaf
def convert(x, low, high, step, per_step, count):
    """(x on the nearest of the values low, low + step, .. high, count + 1 in the lanes where it had to be cut)."""
    count = where((x > high) | (x < low), count + np.uint32(1), count)
    x = where(x > high, high, x)
    x = where(x < low, low, x)
    return fma(floor((x - low) * per_step + 0.5), step, low), count


@leaf
def add_count(saturated, row, v, count):
    """saturated[row] += count."""
    store(saturated, row, v, load(saturated, row, v) + resized(count, saturated))


@leaf
def inputs_read(z, row, n, new, readout):
    """The DAC: n inputs in rows of z from `row` on become what the crossbar is driven with; counted if they are new."""
    about, saturated = readout.about, readout.saturated
    real = z.dtype.type
    low, high, step = real(about[DAC_LOW]), real(about[DAC_HIGH]), real(about[DAC_STEP])
    if step > 0.0:
        per_step = 1.0 / step
        for v in range(0, lanes_of(z), width_of(z)):
            count = filled(np.uint32(0), z)
            for i in range(row, row + n):
                x, count = convert(load(z, i, v), low, high, step, per_step, count)
                store(z, i, v, x)
            add_count(saturated, INPUT if new else SPARE, v, count)


@leaf
def draw_reads(index, alone, seed, ids, words, readout):
    """Normals of evaluation `index` into xi: of both copies, or (alone) of copy b."""
    xi = readout.xi
    blocks = xi.shape[0] // 4
    for q in range(blocks // 2 if alone else 0, blocks, BLOCKS):
        some = min(BLOCKS, blocks - q)
        normals(seed, ids, READ, index * blocks + q, some, words, xi[4 * q : 4 * (q + some)])


@leaf
def note_spreads(theta, readout):
    """What the noise of each pair has as its variance: of theta as it is from now on, see `add_noise`."""
    about, variance = readout.about, readout.variance
    rest, slope = theta.dtype.type(about[READ_FLOOR]), theta.dtype.type(about[READ_SLOPE])
    for p in range(variance.shape[0]):
        for v in range(0, lanes_of(theta), width_of(theta)):
            w = load(theta, p, v)
            s = fma(where(w < 0.0, -w, w), slope, rest)
            store(variance, p, v, fma(s, s, rest * rest))


@leaf
def add_noise(alone, w0, b0, n_in, n_out, work, xa, xb, za, zb, first, readout):
    """Noise of all devices of a column at once, on the pre-activations in rows of work from za (not alone) and zb on.

    Variance: the sum over the pairs of (sigma_plus^2 + sigma_minus^2) x^2, inputs in rows from xa and xb on, sigma =
    READ_FLOOR + READ_SLOPE |w| of the device that holds w and READ_FLOOR of the other (the perturbation, a small
    part of w, is left out of sigma). `first` is the number of the layer's first column.
    """
    about, xi, variance = readout.about, readout.xi, readout.variance
    real = work.dtype.type
    if xi.shape[0] == 0:
        return
    rest, bias = real(about[READ_FLOOR]), real(1.0 - about[DIGITAL])  # what drives the biases
    qa, qb = first, xi.shape[0] // 2 + first
    two = not alone and xa != xb  # copies that are driven differently
    for v in range(0, lanes_of(work), width_of(work)):
        if variance.shape[0] == 0:
            for copy in range(1 if alone else 0, 2):
                drive = filled(bias, work)
                for i in range(xb if copy else xa, (xb if copy else xa) + n_in):
                    drive = fma(load(work, i, v), load(work, i, v), drive)
                deviation = sqrt(drive * (real(2.0) * rest * rest))
                z, q = (zb, qb) if copy else (za, qa)
                for j in range(n_out):
                    store(work, z + j, v, fma(deviation, load(xi, q + j, v), load(work, z + j, v)))
        else:
            for j in range(0, n_out - n_out % 4, 4):
                noise4(
                    alone,
                    two,
                    w0 + j * n_in,
                    b0 + j,
                    n_in,
                    work,
                    xa,
                    xb,
                    za + j,
                    zb + j,
                    qa + j,
                    qb + j,
                    v,
                    bias,
                    readout,
                )
            for j in range(n_out - n_out % 4, n_out):
                noise1(
                    alone,
                    two,
                    w0 + j * n_in,
                    b0 + j,
                    n_in,
                    work,
                    xa,
                    xb,
                    za + j,
                    zb + j,
                    qa + j,
                    qb + j,
                    v,
                    bias,
                    readout,
                )


@leaf
def noise1(alone, two, p, b, n_in, work, xa, xb, za, zb, qa, qb, v, bias, readout):
    """Noise of a column."""
    xi, variance = readout.xi, readout.variance
    t = load(variance, b, v) * bias
    s = t
    for i in range(n_in):
        u = load(work, xb + i, v)
        d = load(variance, p + i, v)
        t = fma(u * u, d, t)
        if two:
            u = load(work, xa + i, v)
            s = fma(u * u, d, s)
    if not two:
        s = t
    store(work, zb, v, fma(sqrt(t), load(xi, qb, v), load(work, zb, v)))
    if not alone:
        store(work, za, v, fma(sqrt(s), load(xi, qa, v), load(work, za, v)))


@leaf
def noise4(alone, two, p, b, n_in, work, xa, xb, za, zb, qa, qb, v, bias, readout):
    """Noise of four columns at a time, each a sum of its own."""
    xi, variance = readout.xi, readout.variance
    t0, t1 = load(variance, b, v) * bias, load(variance, b + 1, v) * bias
    t2, t3 = load(variance, b + 2, v) * bias, load(variance, b + 3, v) * bias
    s0, s1, s2, s3 = t0, t1, t2, t3
    for i in range(n_in):
        u = load(work, xb + i, v)
        u = u * u
        d0, d1 = load(variance, p + i, v), load(variance, p + n_in + i, v)
        d2, d3 = load(variance, p + 2 * n_in + i, v), load(variance, p + 3 * n_in + i, v)
        t0, t1, t2, t3 = fma(u, d0, t0), fma(u, d1, t1), fma(u, d2, t2), fma(u, d3, t3)
        if two:
            u = load(work, xa + i, v)
            u = u * u
            s0, s1, s2, s3 = fma(u, d0, s0), fma(u, d1, s1), fma(u, d2, s2), fma(u, d3, s3)
    t0, t1, t2, t3 = sqrt(t0), sqrt(t1), sqrt(t2), sqrt(t3)
    store(work, zb, v, fma(t0, load(xi, qb, v), load(work, zb, v)))
    store(work, zb + 1, v, fma(t1, load(xi, qb + 1, v), load(work, zb + 1, v)))
    store(work, zb + 2, v, fma(t2, load(xi, qb + 2, v), load(work, zb + 2, v)))
    store(work, zb + 3, v, fma(t3, load(xi, qb + 3, v), load(work, zb + 3, v)))
    if not alone:
        if two:
            t0, t1, t2, t3 = sqrt(s0), sqrt(s1), sqrt(s2), sqrt(s3)
        store(work, za, v, fma(t0, load(xi, qa, v), load(work, za, v)))
        store(work, za + 1, v, fma(t1, load(xi, qa + 1, v), load(work, za + 1, v)))
        store(work, za + 2, v, fma(t2, load(xi, qa + 2, v), load(work, za + 2, v)))
        store(work, za + 3, v, fma(t3, load(xi, qa + 3, v), load(work, za + 3, v)))


@leaf
def columns_read(n_out, work, z, first, readout):
    """The ADC on the pre-activations in rows of work from z on; `first` is the number of the layer's first column."""
    about, columns, saturated = readout.about, readout.columns, readout.saturated
    real = work.dtype.type
    step, high = real(about[ADC_STEP]), real(about[ADC_RANGE])
    if step > 0.0:
        per_step = 1.0 / step
        for v in range(0, lanes_of(work), width_of(work)):
            count = filled(np.uint32(0), work)
            for j in range(n_out):
                a = load(work, z + j, v)
                if columns.shape[0] > 0:
                    q = 2 * (first + j)
                    a = fma(a, load(columns, q, v), load(columns, q + 1, v))
                a, count = convert(a, -high, high, step, per_step, count)
                store(work, z + j, v, a)
            add_count(saturated, COLUMN, v, count)


@leaf
def cost_read(c, of_change, readout, v):
    """The ADC of the cost, where it is the one of its change (of_change), or of the cost itself."""
    about, saturated = readout.about, readout.saturated
    if about[COST_STEP] > 0.0 and (about[COST_CODE] == CHANGE) == of_change:
        high, step = about[COST_RANGE], about[COST_STEP]
        c, count = convert(c, -high if of_change else 0.0, high, step, 1.0 / step, filled(np.uint32(0), saturated))
        add_count(saturated, COST_READ, v, count)
    return c


# The same, or nothing where the tuple of the devices is empty.


def convert_inputs(z, row, n, new, device):
    """`inputs_read`, or nothing."""


@overload(convert_inputs, jit_options=FLAGS)
def _convert_inputs(z, row, n, new, device):
    if is_empty(device):
        return lambda z, row, n, new, device: None
    return lambda z, row, n, new, device: inputs_read(z, row, n, new, device.readout)


def draw_noise(index, alone, seed, ids, words, device):
    """`draw_reads`, or nothing."""


@overload(draw_noise, jit_options=FLAGS)
def _draw_noise(index, alone, seed, ids, words, device):
    if is_empty(device):
        return lambda index, alone, seed, ids, words, device: None
    return lambda index, alone, seed, ids, words, device: draw_reads(index, alone, seed, ids, words, device.readout)


def spreads_on(n, fresh, theta, device):
    """`note_spreads` where theta may have changed since the last step (`fresh`: by a write), or nothing."""


@overload(spreads_on, jit_options=FLAGS)
def _spreads_on(n, fresh, theta, device):
    if is_empty(device):
        return lambda n, fresh, theta, device: None
    always = not lacks(device, "wires")

    def body(n, fresh, theta, device):
        every = np.int64(device.aging.about[AGE_EVERY])
        if always or fresh or (every > 0 and n % every == 0):
            note_spreads(theta, device.readout)

    return body


def noise_on(alone, w0, b0, n_in, n_out, work, xa, xb, za, zb, first, device):
    """`add_noise`, or nothing."""


@overload(noise_on, jit_options=FLAGS)
def _noise_on(alone, w0, b0, n_in, n_out, work, xa, xb, za, zb, first, device):
    if is_empty(device):
        return lambda alone, w0, b0, n_in, n_out, work, xa, xb, za, zb, first, device: None
    return lambda alone, w0, b0, n_in, n_out, work, xa, xb, za, zb, first, device: add_noise(
        alone, w0, b0, n_in, n_out, work, xa, xb, za, zb, first, device.readout
    )


def read_columns(n_out, work, z, first, device):
    """`columns_read`, or nothing."""


@overload(read_columns, jit_options=FLAGS)
def _read_columns(n_out, work, z, first, device):
    if is_empty(device):
        return lambda n_out, work, z, first, device: None
    return lambda n_out, work, z, first, device: columns_read(n_out, work, z, first, device.readout)


def read_cost(c, of_change, device, v):
    """`cost_read`, or c."""


@overload(read_cost, jit_options=FLAGS, inline="never")
def _read_cost(c, of_change, device, v):
    if is_empty(device):
        return lambda c, of_change, device, v: c
    return lambda c, of_change, device, v: cost_read(c, of_change, device.readout, v)


def read_costs(signal, first, last, device):
    """`cost_read` of the costs in these rows, or nothing."""


@overload(read_costs, jit_options=FLAGS)
def _read_costs(signal, first, last, device):
    if is_empty(device):
        return lambda signal, first, last, device: None

    def body(signal, first, last, device):
        for row in range(first, last + 1):
            for v in range(0, lanes_of(signal), width_of(signal)):
                store(signal, row, v, cost_read(load(signal, row, v), False, device.readout, v))

    return body

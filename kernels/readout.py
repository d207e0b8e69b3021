"""Columns as a chip reads them: read noise of the devices, converters with few bits, saturation counted.

`readout` is a `hardware.Readout`.
"""

from __future__ import annotations

import numpy as np
from numba.extending import overload

from .hardware import is_empty
from .jit import FLAGS, leaf
from .perturb import BLOCKS, normals
from .philox import READ
from .simd import filled, floor, fma, lanes_of, load, resized, sqrt, store, where, width_of
from .table import (
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
    READ_HELD,
    READ_SIGNED,
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
def add_noise(alone, theta, w0, b0, n_in, n_out, work, xa, xb, za, zb, first, readout):
    """Noise of all devices of a column at once, on the pre-activations in rows of work from za (not alone) and zb on.

    Variance: the sum over the pairs of (sigma_plus^2 + sigma_minus^2) x^2, inputs in rows from xa and xb on, sigma =
    READ_HELD + READ_SLOPE |w| (w with READ_SIGNED) of the device that holds w and READ_FLOOR of the other (the
    perturbation, a small part of w, is left out of sigma). `first` is the number of the layer's first column.
    """
    about, xi = readout.about, readout.xi
    real = work.dtype.type
    if xi.shape[0] == 0:
        return
    rest, slope, held = real(about[READ_FLOOR]), real(about[READ_SLOPE]), real(about[READ_HELD])
    signed = about[READ_SIGNED] > 0.0
    bias = real(1.0 - about[DIGITAL])  # what drives the biases
    qa, qb = first, xi.shape[0] // 2 + first
    two = not alone and xa != xb  # copies that are driven differently
    for v in range(0, lanes_of(work), width_of(work)):
        common_b, common_a = filled(bias, work), filled(bias, work)
        for i in range(n_in):
            u = load(work, xb + i, v)
            common_b = fma(u, u, common_b)
            if two:
                u = load(work, xa + i, v)
                common_a = fma(u, u, common_a)
        common_b = common_b * (rest * rest)
        common_a = common_a * (rest * rest) if two else common_b
        j = 0
        if slope > 0.0:
            while j + 4 <= n_out:
                noise4(alone, two, theta, w0 + j * n_in, b0 + j, n_in, work, xa, xb, za + j, zb + j, qa + j, qb + j, v,
                       held, slope, signed, bias, common_a, common_b, xi)  # fmt: skip
                j += 4
        while j < n_out:
            t, s = common_b, common_a
            if slope > 0.0:
                d = sigma(theta, b0 + j, v, held, slope, signed) * bias
                t, s = fma(d, d, t), fma(d, d, s)
                for i in range(n_in):
                    d = sigma(theta, w0 + j * n_in + i, v, held, slope, signed)
                    u = d * load(work, xb + i, v)
                    t = fma(u, u, t)
                    if two:
                        u = d * load(work, xa + i, v)
                        s = fma(u, u, s)
            else:
                t, s = t + t, s + s
            add_to(work, zb + j, v, sqrt(t), xi, qb + j)
            if not alone:
                add_to(work, za + j, v, sqrt(s if two else t), xi, qa + j)
            j += 1


@leaf
def sigma(theta, p, v, held, slope, signed):
    """Read noise of the device that holds weight p."""
    t = load(theta, p, v)
    return fma(t if signed else where(t < 0.0, -t, t), slope, held)


@leaf
def add_to(work, z, v, deviation, xi, q):
    """work[z] += deviation xi[q]."""
    store(work, z, v, fma(deviation, load(xi, q, v), load(work, z, v)))


@leaf
def noise4(alone, two, theta, p, b, n_in, work, xa, xb, za, zb, qa, qb, v, held, slope, signed, bias, common_a,
           common_b, xi):  # fmt: skip
    """Noise of four columns at a time, each a sum of its own."""
    d0, d1 = sigma(theta, b, v, held, slope, signed) * bias, sigma(theta, b + 1, v, held, slope, signed) * bias
    d2, d3 = sigma(theta, b + 2, v, held, slope, signed) * bias, sigma(theta, b + 3, v, held, slope, signed) * bias
    t0, t1, t2, t3 = fma(d0, d0, common_b), fma(d1, d1, common_b), fma(d2, d2, common_b), fma(d3, d3, common_b)
    s0, s1, s2, s3 = fma(d0, d0, common_a), fma(d1, d1, common_a), fma(d2, d2, common_a), fma(d3, d3, common_a)
    for i in range(n_in):
        u = load(work, xb + i, v)
        d0, d1 = sigma(theta, p + i, v, held, slope, signed), sigma(theta, p + n_in + i, v, held, slope, signed)
        d2, d3 = (
            sigma(theta, p + 2 * n_in + i, v, held, slope, signed),
            sigma(theta, p + 3 * n_in + i, v, held, slope, signed),
        )
        e0, e1, e2, e3 = d0 * u, d1 * u, d2 * u, d3 * u
        t0, t1, t2, t3 = fma(e0, e0, t0), fma(e1, e1, t1), fma(e2, e2, t2), fma(e3, e3, t3)
        if two:
            u = load(work, xa + i, v)
            e0, e1, e2, e3 = d0 * u, d1 * u, d2 * u, d3 * u
            s0, s1, s2, s3 = fma(e0, e0, s0), fma(e1, e1, s1), fma(e2, e2, s2), fma(e3, e3, s3)
    t0, t1, t2, t3 = sqrt(t0), sqrt(t1), sqrt(t2), sqrt(t3)
    add_to(work, zb, v, t0, xi, qb)
    add_to(work, zb + 1, v, t1, xi, qb + 1)
    add_to(work, zb + 2, v, t2, xi, qb + 2)
    add_to(work, zb + 3, v, t3, xi, qb + 3)
    if not alone:
        if two:
            t0, t1, t2, t3 = sqrt(s0), sqrt(s1), sqrt(s2), sqrt(s3)
        add_to(work, za, v, t0, xi, qa)
        add_to(work, za + 1, v, t1, xi, qa + 1)
        add_to(work, za + 2, v, t2, xi, qa + 2)
        add_to(work, za + 3, v, t3, xi, qa + 3)


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


def noise_on(alone, theta, w0, b0, n_in, n_out, work, xa, xb, za, zb, first, device):
    """`add_noise`, or nothing."""


@overload(noise_on, jit_options=FLAGS)
def _noise_on(alone, theta, w0, b0, n_in, n_out, work, xa, xb, za, zb, first, device):
    if is_empty(device):
        return lambda alone, theta, w0, b0, n_in, n_out, work, xa, xb, za, zb, first, device: None
    return lambda alone, theta, w0, b0, n_in, n_out, work, xa, xb, za, zb, first, device: add_noise(
        alone, theta, w0, b0, n_in, n_out, work, xa, xb, za, zb, first, device.readout
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

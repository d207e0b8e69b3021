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
from .simd import filled, floor, fma, lanes_of, load, sqrt, store, where, width_of
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
    READ_SLOPE,
    SPARE,
)


@leaf
def convert(x, low, high, step, saturated, row, v):
    """x on the nearest of the values low, low + step, .. high; what lies outside is cut and counted in `row`."""
    one = np.uint64(1)
    over = (x > high) | (x < low)
    count = load(saturated, row, v)
    store(saturated, row, v, where(over, count + one, count))
    x = where(x > high, high, x)
    x = where(x < low, low, x)
    return fma(floor((x - low) * (1.0 / step) + 0.5), step, low)


@leaf
def inputs_read(z, row, n, new, readout):
    """The DAC: n inputs in rows of z from `row` on become what the crossbar is driven with; counted if they are new."""
    about, saturated = readout.about, readout.saturated
    real = z.dtype.type
    low, high, step = real(about[DAC_LOW]), real(about[DAC_HIGH]), real(about[DAC_STEP])
    if step > 0.0:
        for v in range(0, lanes_of(z), width_of(z)):
            for i in range(row, row + n):
                store(z, i, v, convert(load(z, i, v), low, high, step, saturated, INPUT if new else SPARE, v))


@leaf
def draw_reads(index, seed, ids, words, readout):
    """Normals of evaluation `index` of both copies into xi."""
    xi = readout.xi
    blocks = xi.shape[0] // 4
    for q in range(0, blocks, BLOCKS):
        some = min(BLOCKS, blocks - q)
        normals(seed, ids, READ, index * blocks + q, some, words, xi[4 * q : 4 * (q + some)])


@leaf
def columns_read(theta, w0, b0, n_in, n_out, work, x, z, first, copy, readout):
    """Noise and ADC on the pre-activations in rows of work from z on, inputs in those from x on.

    Noise of all devices of a column at once: variance the sum over the pairs of (sigma_plus^2 + sigma_minus^2) x^2,
    sigma = READ_FLOOR + READ_SLOPE |w| of the device that holds w and READ_FLOOR of the other (the perturbation, a
    small part of w, is left out of sigma). `first` is the number of the layer's first column.
    """
    about, columns, xi, saturated = readout
    real = theta.dtype.type
    rest, slope = real(about[READ_FLOOR]), real(about[READ_SLOPE])
    step, high = real(about[ADC_STEP]), real(about[ADC_RANGE])
    bias = real(1.0 - about[DIGITAL])  # what drives the biases
    base = copy * (xi.shape[0] // 2) + first
    for v in range(0, lanes_of(theta), width_of(theta)):
        if xi.shape[0] > 0:
            drive = filled(bias, theta)
            for i in range(n_in):
                u = load(work, x + i, v)
                drive = fma(u, u, drive)
            common = drive * (rest * rest)
            j = 0
            if slope > 0.0:
                while j + 4 <= n_out:
                    add_noise4(theta, w0, b0, n_in, work, x, z, j, v, rest, slope, bias, common, xi, base)
                    j += 4
            while j < n_out:
                if slope > 0.0:
                    s = sigma(theta, b0 + j, v, rest, slope) * bias
                    total = fma(s, s, common)
                    for i in range(n_in):
                        s = sigma(theta, w0 + j * n_in + i, v, rest, slope) * load(work, x + i, v)
                        total = fma(s, s, total)
                else:
                    total = common + common
                store(work, z + j, v, fma(sqrt(total), load(xi, base + j, v), load(work, z + j, v)))
                j += 1
        if step > 0.0:
            for j in range(n_out):
                a = load(work, z + j, v)
                if columns.shape[0] > 0:
                    q = 2 * (first + j)
                    a = fma(a, load(columns, q, v), load(columns, q + 1, v))
                store(work, z + j, v, convert(a, -high, high, step, saturated, COLUMN, v))


@leaf
def sigma(theta, p, v, rest, slope):
    """Read noise of the device that holds weight p."""
    t = load(theta, p, v)
    return fma(where(t < 0.0, -t, t), slope, rest)


@leaf
def add_noise4(theta, w0, b0, n_in, work, x, z, j, v, rest, slope, bias, common, xi, base):
    """Noise of four columns at a time, each a sum of its own."""
    s0 = sigma(theta, b0 + j, v, rest, slope) * bias
    s1 = sigma(theta, b0 + j + 1, v, rest, slope) * bias
    s2 = sigma(theta, b0 + j + 2, v, rest, slope) * bias
    s3 = sigma(theta, b0 + j + 3, v, rest, slope) * bias
    t0, t1, t2, t3 = fma(s0, s0, common), fma(s1, s1, common), fma(s2, s2, common), fma(s3, s3, common)
    p = w0 + j * n_in
    for i in range(n_in):
        u = load(work, x + i, v)
        s0 = sigma(theta, p + i, v, rest, slope) * u
        s1 = sigma(theta, p + n_in + i, v, rest, slope) * u
        s2 = sigma(theta, p + 2 * n_in + i, v, rest, slope) * u
        s3 = sigma(theta, p + 3 * n_in + i, v, rest, slope) * u
        t0, t1, t2, t3 = fma(s0, s0, t0), fma(s1, s1, t1), fma(s2, s2, t2), fma(s3, s3, t3)
    store(work, z + j, v, fma(sqrt(t0), load(xi, base + j, v), load(work, z + j, v)))
    store(work, z + j + 1, v, fma(sqrt(t1), load(xi, base + j + 1, v), load(work, z + j + 1, v)))
    store(work, z + j + 2, v, fma(sqrt(t2), load(xi, base + j + 2, v), load(work, z + j + 2, v)))
    store(work, z + j + 3, v, fma(sqrt(t3), load(xi, base + j + 3, v), load(work, z + j + 3, v)))


@leaf
def cost_read(c, of_change, readout, v):
    """The ADC of the cost, where it is the one of its change (of_change), or of the cost itself."""
    about, saturated = readout.about, readout.saturated
    if about[COST_STEP] > 0.0 and (about[COST_CODE] == CHANGE) == of_change:
        high = about[COST_RANGE]
        c = convert(c, -high if of_change else 0.0, high, about[COST_STEP], saturated, COST_READ, v)
    return c


# The same, or nothing where the tuple of the devices is empty.


def convert_inputs(z, row, n, new, device):
    """`inputs_read`, or nothing."""


@overload(convert_inputs, jit_options=FLAGS)
def _convert_inputs(z, row, n, new, device):
    if is_empty(device):
        return lambda z, row, n, new, device: None
    return lambda z, row, n, new, device: inputs_read(z, row, n, new, device.readout)


def draw_noise(index, seed, ids, words, device):
    """`draw_reads`, or nothing."""


@overload(draw_noise, jit_options=FLAGS)
def _draw_noise(index, seed, ids, words, device):
    if is_empty(device):
        return lambda index, seed, ids, words, device: None
    return lambda index, seed, ids, words, device: draw_reads(index, seed, ids, words, device.readout)


def read_columns(theta, w0, b0, n_in, n_out, work, x, z, first, copy, device):
    """`columns_read`, or nothing."""


@overload(read_columns, jit_options=FLAGS)
def _read_columns(theta, w0, b0, n_in, n_out, work, x, z, first, copy, device):
    if is_empty(device):
        return lambda theta, w0, b0, n_in, n_out, work, x, z, first, copy, device: None
    return lambda theta, w0, b0, n_in, n_out, work, x, z, first, copy, device: columns_read(
        theta, w0, b0, n_in, n_out, work, x, z, first, copy, device.readout
    )


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

"""Half-select disturbance: a pulse on one device moves the others of its row and of its column a little.

`device` is a `hardware.Hardware`. After all pulses of a write: a device whose line has had n_up pulses up and n_down
down, its own left out, goes from h to h + half_select (n_up step_up(h) - n_down step_down(h)), cut to its bounds.
"""

from __future__ import annotations

from numba.extending import overload

from .hardware import lacks
from .jit import FLAGS, inner, leaf
from .perturb import copy_row
from .picked import spot
from .pulse import limited, slopes, step_of
from .simd import any_lane, filled, lanes_of, load, store, where, width_of
from .table import AGE_EVERY, HALF_SELECT


@leaf
def count_lines(w0, b0, n_in, n_out, rows, given, lines):
    """Pulses up of each row and then of each column into the first rows of lines, those down after them."""
    many = rows + n_out
    for v in range(0, lanes_of(given), width_of(given)):
        for k in range(2 * many):
            store(lines, k, v, 0.0)
        for j in range(n_out):
            for i in range(rows):
                m = load(given, b0 + j if i == n_in else w0 + j * n_in + i, v)
                up, down = where(m > 0.0, m, 0.0), where(m < 0.0, -m, 0.0)
                store(lines, i, v, load(lines, i, v) + up)
                store(lines, rows + j, v, load(lines, rows + j, v) + up)
                store(lines, many + i, v, load(lines, many + i, v) + down)
                store(lines, many + rows + j, v, load(lines, many + rows + j, v) + down)


@inner
def disturb(theta, device):
    """What the pulses of the write that has just ended do to the other devices of their lines."""
    extras, held, kept, limit, counted = device.extras, device.held, device.kept, device.limit, device.counted
    high, low, offset, law = device.high, device.low, device.offset, device.law
    given, lines, arrays = extras.given, extras.lines, extras.arrays
    share = theta.dtype.type(extras.about[HALF_SELECT])
    ages = device.aging.about[AGE_EVERY] > 0.0
    for q in range(arrays.shape[0] // 4):
        n_in, n_out, w0, b0 = arrays[4 * q], arrays[4 * q + 1], arrays[4 * q + 2], arrays[4 * q + 3]
        rows = n_in if extras.number.shape[0] > 0 else n_in + 1  # biases are the last row
        many = rows + n_out
        count_lines(w0, b0, n_in, n_out, rows, given, lines)
        for j in range(n_out):
            for i in range(rows):
                p = b0 + j if i == n_in else w0 + j * n_in + i
                for v in range(0, lanes_of(theta), width_of(theta)):
                    m = load(given, p, v)
                    up = load(lines, i, v) + load(lines, rows + j, v) - 2.0 * where(m > 0.0, m, 0.0)
                    down = load(lines, many + i, v) + load(lines, many + rows + j, v) - 2.0 * where(m < 0.0, -m, 0.0)
                    if not any_lane(up + down > 0.0):
                        continue
                    rising, falling = filled(share, theta) > 0.0, filled(share, theta) < 0.0
                    h = load(held, p, v)
                    at = spot(p, v, theta)
                    step, slope = slopes(rising, device.up, device.down, device.slope_up, device.slope_down, law,
                                         device.packed, at)  # fmt: skip
                    rise = step_of(h, rising, step, slope, load(high, p, v), load(low, p, v), law, theta)
                    step, slope = slopes(falling, device.up, device.down, device.slope_up, device.slope_down, law,
                                         device.packed, at)  # fmt: skip
                    fall = step_of(h, falling, step, slope, load(high, p, v), load(low, p, v), law, theta)
                    after = limited(h + (up * rise - down * fall) * share, high, low, p, v)
                    after = where(up + down > 0.0, after, h)
                    if limit.shape[0] > 0:
                        after = where(load(counted, p, v) < load(limit, p, v), after, h)
                    store(held, p, v, after)
                    before = load(theta, p, v)
                    if ages:  # until it is brought up to date
                        seen = before + (after - h)
                    else:
                        seen = after
                        if offset.shape[0] > 0:
                            seen = seen - load(offset, p, v)
                        if kept.shape[0] > 0:
                            seen = seen + load(kept, p, v)
                    store(theta, p, v, where(after == h, before, seen))


@leaf
def restore(theta, extras):
    """Biases that are only numbers are what they are."""
    for q in range(extras.biases.shape[0]):
        copy_row(extras.value, q, theta, extras.biases[q])


def disturb_on(theta, device):
    """`disturb`, or nothing."""


@overload(disturb_on, jit_options=FLAGS)
def _disturb_on(theta, device):
    if lacks(device, "extras"):
        return lambda theta, device: None

    def body(theta, device):
        if device.extras.given.shape[0] > 0:
            disturb(theta, device)

    return body


def restore_on(theta, device):
    """`restore`, or nothing."""


@overload(restore_on, jit_options=FLAGS)
def _restore_on(theta, device):
    if lacks(device, "extras"):
        return lambda theta, device: None
    return lambda theta, device: restore(theta, device.extras)

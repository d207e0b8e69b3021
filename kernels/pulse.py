"""What one pulse does to devices: a step that depends on the state, within bounds.

Equations: Gong et al., Nat. Commun. 9, 2102 (2018); Rasch et al., AICAS 2021, arXiv 2104.02184.
"""

from __future__ import annotations

from .jit import leaf
from .mathfn import exp, log
from .picked import seen_of
from .simd import fma, load, where
from .table import (
    C2C,
    C2C_FLOOR,
    C2C_KIND,
    C2C_SLOPE,
    EXPONENTIAL,
    FACTOR_DOWN,
    FACTOR_UP,
    MODEL,
    OF_NOMINAL,
    POWER,
    RATE_DOWN,
    RATE_UP,
    RELATIVE,
    Z_SHIFT,
)

UP_AT, DOWN_AT, SLOPE_UP_AT, SLOPE_DOWN_AT, HIGH_AT, LOW_AT, OFFSET_AT = range(7)  # in `Hardware.packed`
LEAST = 2.0**-40  # of the argument of a power: its logarithm is finite


@leaf
def slopes(rising, up, down, slope_up, slope_down, law, packed, at):
    """(step, slope) of the devices at a `picked.spot` in the direction they are written: what does not change then."""
    step = where(rising, seen_of(up, packed, UP_AT, at), seen_of(down, packed, DOWN_AT, at))
    slope = step * 0.0
    if law[MODEL] == EXPONENTIAL or law[MODEL] == POWER:  # 2 z_scale / (high - low), 1 / (high - low)
        slope = seen_of(slope_up, packed, SLOPE_UP_AT, at)
    elif slope_up.shape[0] > 0:
        rise, fall = seen_of(slope_up, packed, SLOPE_UP_AT, at), seen_of(slope_down, packed, SLOPE_DOWN_AT, at)
        slope = where(rising, rise, fall)
    return step, slope


@leaf
def step_of(h, rising, step, slope, high, low, law, like):
    """Size of the step of one pulse from state h, before the cycle-to-cycle spread; positive downwards too."""
    real = like.dtype.type
    if law[MODEL] == EXPONENTIAL:
        z = fma(slope, h, real(law[Z_SHIFT]))
        y = exp(where(rising, z * law[RATE_UP], z * -law[RATE_DOWN]))
        y = 1.0 - y * where(rising, real(law[FACTOR_UP]), real(law[FACTOR_DOWN]))
        return step * where(y < 0.0, 0.0, y)
    if law[MODEL] == POWER:
        room = where(rising, high - h, h - low) * slope
        y = log(where(room < LEAST, LEAST, room), like)
        return step * exp(where(rising, y * law[RATE_UP], y * law[RATE_DOWN]))
    return step * fma(slope, -h, 1.0)


@leaf
def pulse(h, xi, rising, step, slope, high, low, law, like):
    """The state after one pulse, xi a standard normal; `like` an array of its type, the rest vectors of devices."""
    size = step_of(h, rising, step, slope, high, low, law, like)
    if law[C2C] > 0.0:
        spread = xi * law[C2C]
        if law[C2C_KIND] == RELATIVE:
            size = fma(size, spread, size)
        elif law[C2C_KIND] == OF_NOMINAL:
            size = fma(step, spread, size)
        else:
            state = where(h < 0.0, -h, h) * law[C2C_SLOPE] + law[C2C_FLOOR]
            size = fma(where(size < 0.0, -size, size) + state, spread, size)
    return within(h + where(rising, size, -size), high, low)


@leaf
def within(h, high, low):
    """h, at most `high` and at least `low`."""
    h = where(h > high, high, h)
    return where(h < low, low, h)


@leaf
def limited(h, high, low, p, v):
    """h within the bounds of device p, where it has any."""
    return within(h, load(high, p, v), load(low, p, v)) if high.shape[0] > 0 else h

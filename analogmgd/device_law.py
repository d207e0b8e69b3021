"""From the settings of a device to the numbers its kernel takes: the law, and what each device drew."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .kernels import table as t

if TYPE_CHECKING:
    from .devices import Device

Normals = Callable[[int], np.ndarray]
Exponential = Callable[[np.ndarray], np.ndarray]
WRITES = {"ideal": t.WRITES_DIRECT, "noisy": t.WRITES_DIRECT, "quantised": t.WRITES_AT_ONCE, "pulsed": t.WRITES_PULSES}
MODELS = {"exponential": t.EXPONENTIAL, "power": t.POWER}
MAPPINGS = {"one-sided": t.ONE_SIDED, "symmetric": t.SYMMETRIC, "reference": t.REFERENCE}
SHORTEST = 0.01  # lifetime of a device, as a part of the nominal one
ROUNDINGS = {"stochastic": t.STOCHASTIC, "nearest": t.NEAREST, "carried": t.CARRIED}
# Which standard normal of a device is which; part of what a seed means: only append.
(
    W_MAX, W_MIN, GAIN, UP_DOWN, SLOPE_UP, SLOPE_DOWN, REFERENCE, NU_PLUS, NU_MINUS, LIFETIME, FIRST_WRITE, RESET, TRAP,
) = range(13)  # fmt: skip
SECOND = 32  # added to them for the second of two devices that share a weight


@dataclass(frozen=True)
class Devices:
    """What each device of some chips drew: real[P, lanes] each, in units of theta; no rows where not needed.

    up, down : step of a pulse; slope_up, slope_down : what the model multiplies the state with
    high, low : bounds of the state; offset : what is subtracted from the state for the network to see
    """

    up: np.ndarray
    down: np.ndarray
    slope_up: np.ndarray
    slope_down: np.ndarray
    high: np.ndarray
    low: np.ndarray
    offset: np.ndarray


def nominal_steps(device: Device, w: float = 0.0) -> tuple[float, float]:
    """Step up and step down of a device without spread at weight w, in units of w; of a one-sided one, up twice.

    >>> from analogmgd.devices import Device
    >>> nominal_steps(Device(model="soft-bounds", dw_min=0.01, w_min=-1, w_max=1), 0.5)
    (0.005, 0.015)
    """
    assert device.dw_min is not None and device.w_max is not None and device.w_min is not None  # noqa: PT018
    if device.one_sided:
        return (step_up(device, w),) * 2
    up = abs(device.dw_min * (1 + min(device.up_down, 0.0)))
    down = abs(device.dw_min * (1 - max(device.up_down, 0.0)))
    span = device.w_max - device.w_min
    if device.model == "exponential":
        z = 2 * device.z_scale * w / span + device.z_shift
        return (
            up * max(0.0, 1 - device.a_up * math.exp(device.g_up * z)),
            down * max(0.0, 1 - device.a_down * math.exp(-device.g_down * z)),
        )
    if device.model == "power":
        rising, falling = max(0.0, (device.w_max - w) / span), max(0.0, (w - device.w_min) / span)
        return up * rising**device.g_up, down * falling**device.g_down
    if device.model == "constant":
        return up, down
    slope_up, slope_down = (1.0, 1.0) if device.model != "linear" else (device.slope_up, device.slope_down)
    return up * (1 - slope_up * w / device.w_max), down * (1 - slope_down * w / device.w_min)


def step_up(device: Device, w: float) -> float:
    """Step of a one-sided device without spread at conductance w, in units of w."""
    assert device.dw_min is not None and device.w_max is not None and device.w_min is not None  # noqa: PT018
    up = abs(device.dw_min * (1 + min(device.up_down, 0.0)))
    span = device.w_max - device.w_min
    if device.model == "exponential":
        z = 2 * device.z_scale * w / span + device.z_shift
        return up * max(0.0, 1 - device.a_up * math.exp(device.g_up * z))
    if device.model == "power":
        return up * float(max(0.0, (device.w_max - w) / span) ** device.g_up)
    slope = {"constant": 0.0, "linear": device.slope_up}.get(device.model or "", 1.0)
    return up * (1 - slope * w / device.w_max)


def granularity(device: Device) -> float:
    """dw that one pulse, or one level, stands for, in units of w.

    >>> from analogmgd.devices import device
    >>> round(granularity(device("reram-es")) / 0.00135, 4)
    1.2862
    """
    if device.granularity is not None and device.write != "quantised":
        return device.granularity
    assert device.w_max is not None and device.w_min is not None  # noqa: PT018
    if device.write == "quantised":
        assert device.levels is not None
        return (device.w_max - device.w_min) / (device.levels - 1)
    middle = 0.0 if device.w_min < 0 < device.w_max else 0.5 * (device.w_min + device.w_max)
    reference = 0.0 if isinstance(device.reference, str) else device.reference  # where the state is at w = 0
    return 0.5 * sum(nominal_steps(device, middle + reference))


def law(device: Device) -> np.ndarray:
    """float64[LAW]: see `kernels.table`; in units of theta."""
    out = np.zeros(t.LAW)
    out[t.WRITES] = WRITES[device.write]
    out[t.MODEL] = MODELS.get(device.model or "", t.SLOPED)
    out[t.GRANULARITY] = 1.0 if WRITES[device.write] == t.WRITES_DIRECT else device.scale * granularity(device)
    out[t.ROUNDING] = ROUNDINGS[device.rounding]
    out[t.MAX_PULSES] = device.max_pulses
    out[t.C2C] = device.c2c
    of_state = device.c2c_floor > 0 or device.c2c_slope > 0
    out[t.C2C_KIND] = t.OF_STATE if of_state else t.OF_NOMINAL if device.c2c_additive else t.RELATIVE
    out[t.C2C_FLOOR], out[t.C2C_SLOPE] = device.scale * device.c2c_floor, device.c2c_slope
    out[t.WRITE_NOISE] = device.scale * device.write_noise * (device.dw_min or 0.0)
    out[t.FACTOR_UP], out[t.FACTOR_DOWN] = device.a_up, device.a_down
    out[t.RATE_UP], out[t.RATE_DOWN], out[t.Z_SHIFT] = device.g_up, device.g_down, device.z_shift
    return out


def populate(device: Device, normals: Normals, exp: Exponential, shape: tuple[int, int]) -> Devices:
    """Draw the devices of a block; shape (P, lanes).

    normals : k -> real[P, lanes], standard normal k of each device (W_MAX, ...)
    exp : the exponential of such an array, to the same bits everywhere
    """
    dtype = normals(0).dtype
    none = np.zeros((0, shape[1]), dtype)
    if device.w_max is None or device.w_min is None:
        return Devices(none, none, none, none, none, none, none)
    one = dtype.type
    high, low = bounds(device, normals)
    if device.write != "pulsed":
        return Devices(none, none, none, none, high, low, none)
    assert device.dw_min is not None
    spread = one(device.dw_spread) * normals(GAIN)
    gain = exp(spread) if device.dw_lognormal else one(1) + spread
    r = one(device.up_down_spread) * normals(UP_DOWN)
    unit = one(device.scale * device.dw_min)
    up = np.abs(unit * (gain + one(min(device.up_down, 0.0)) + r))
    down = np.abs(unit * (gain - one(max(device.up_down, 0.0)) - r))
    slope_up, slope_down = slopes(device, normals, high, low)
    offset = none
    if device.reference != 0 or device.reference_spread > 0:
        offset = one(device.scale * device.reference_spread) * normals(REFERENCE)
        if device.reference == "symmetry":
            offset += symmetry_points(up, down, slope_up, slope_down, low, high)
        else:
            offset += one(device.scale * device.reference)
    return Devices(up, down, slope_up, slope_down, high, low, offset)


def bounds(device: Device, normals: Normals) -> tuple[np.ndarray, np.ndarray]:
    """Upper and lower bound of each device: swapped if crossed; above and below 0 where the nominal ones are."""
    one = normals(W_MAX).dtype.type
    assert device.w_max is not None and device.w_min is not None  # noqa: PT018
    first = one(device.scale * device.w_max) * (one(1) + one(device.w_max_spread) * normals(W_MAX))
    second = one(device.scale * device.w_min) * (one(1) + one(device.w_min_spread) * normals(W_MIN))
    high, low = np.maximum(first, second), np.minimum(first, second)
    if device.w_min <= 0 <= device.w_max:
        high, low = np.abs(high), -np.abs(low)
    return high, low


def slopes(device: Device, normals: Normals, high: np.ndarray, low: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the model multiplies the state with, up and down: slope/bound, or 2 z_scale/(b_max - b_min), or 1/(..)."""
    one = high.dtype.type
    none = np.zeros((0, high.shape[1]), high.dtype)
    if device.model in ("exponential", "power"):
        return one(2 * device.z_scale if device.model == "exponential" else 1) / (high - low), none
    if device.model == "constant":
        return none, none
    if device.model != "linear":  # soft bounds
        return one(1) / high, one(1) / low
    assert device.w_max is not None and device.w_min is not None  # noqa: PT018
    up = np.abs(one(device.slope_up) + one(device.slope_spread) * normals(SLOPE_UP))
    down = np.abs(one(device.slope_down) + one(device.slope_spread) * normals(SLOPE_DOWN))
    if device.mean_bound:
        return up / one(device.scale * device.w_max), down / one(device.scale * device.w_min)
    return up / high, down / low


def symmetry_points(
    up: np.ndarray, down: np.ndarray, slope_up: np.ndarray, slope_down: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Where both pulses are of one size: up (1 - slope_up h) = down (1 - slope_down h); within the bounds."""
    with np.errstate(divide="ignore", invalid="ignore"):
        point = (up - down) / (up * slope_up - down * slope_down)
    return np.clip(np.nan_to_num(point), low, high)


def about(device: Device, seconds: float) -> np.ndarray:
    """float64[AGING]: see `kernels.table`; `seconds` an iteration takes on the chip."""
    out = np.zeros(t.AGING)
    out[t.AGE_EVERY] = device.drift_every if device.ages else 0
    out[t.DRIFT_T0] = 1.0 if device.drift_t0 is None else device.drift_t0 / seconds
    out[t.MAPPING] = MAPPINGS[device.mapping]
    largest = max(abs(device.w_min or 0.0), abs(device.w_max or 0.0))
    share = {"one-sided": 0.0, "symmetric": 0.5, "reference": 1.0}[device.mapping]  # so that no conductance is < g_min
    out[t.G_PAIR] = device.scale * (device.g_min + share * largest)
    out[t.REST] = device.scale * device.rest
    return out


def ages(device: Device, normals: Normals, seconds: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Drift exponents of both conductances of each pair, and the part of w - rest that leaks away an iteration.

    real[P, lanes] each, no rows where not needed.
    """
    like = normals(W_MAX)
    one = like.dtype.type
    none = np.zeros((0, like.shape[1]), like.dtype)
    plus = minus = leak = none
    if device.drift_model == "power" and device.drifts:
        plus, minus = (
            np.abs(one(device.drift_nu) + one(device.drift_nu_spread) * normals(k)) for k in (NU_PLUS, NU_MINUS)
        )
    if device.lifetime > 0:
        of_mean = np.maximum(np.abs(one(1) + one(device.lifetime_spread) * normals(LIFETIME)), one(SHORTEST))
        leak = one(seconds / device.lifetime) / of_mean
    return plus, minus, leak


Both = tuple[np.ndarray, np.ndarray]


def mapped(h: np.ndarray, about: np.ndarray, stuck: Both | None = None) -> Both:
    """Both conductances of the pairs that hold the states h, in their precision; stuck : at what, NaN where not."""
    base = h.dtype.type(about[t.G_PAIR])
    if about[t.MAPPING] == t.ONE_SIDED:
        plus, minus = np.maximum(h, 0) + base, np.maximum(-h, 0) + base
    elif about[t.MAPPING] == t.SYMMETRIC:
        plus, minus = base + h / 2, base - h / 2
    else:
        plus, minus = base + h, np.full_like(h, base)
    if stuck is not None and len(stuck[0]):
        if about[t.MAPPING] != t.REFERENCE:
            return beside(plus, minus, h, stuck)
        s, z = (x.astype(h.dtype) for x in stuck)  # the state is that of plus, whatever the reference is stuck at
        plus, minus = np.where(np.isnan(s), plus, s), np.where(np.isnan(z), minus, z)
    return plus, minus


def beside(plus: np.ndarray, minus: np.ndarray, w: np.ndarray, stuck: Both) -> Both:
    """Both conductances, plus and minus where neither is stuck; else w held by the one that is not."""
    s, z = (x.astype(w.dtype) for x in stuck)
    moves, other = np.isnan(s), np.isnan(z)
    return (
        np.where(moves, np.where(other, plus, w + z), s),
        np.where(other, np.where(moves, minus, s - w), z),
    )


def drifted(
    h: np.ndarray, iterations: float, about: np.ndarray, plus: np.ndarray, minus: np.ndarray, stuck: Both | None = None
) -> Both:
    """Both conductances of the pairs that were written as h, so many iterations later; with a reference at its own."""
    up, down = mapped(h, about, None if about[t.MAPPING] == t.REFERENCE else stuck)
    age = np.log1p(iterations / about[t.DRIFT_T0])
    return up * np.exp(-plus.astype(np.float64) * age), down * np.exp(-minus.astype(np.float64) * age)


def decayed(
    h: np.ndarray, iterations: float, about: np.ndarray, plus: np.ndarray | None, minus: np.ndarray | None,
    leak: np.ndarray | None, stuck: Both | None = None,
) -> np.ndarray:  # fmt: skip
    """The state that was h when it was written, so many iterations later; arrays as `ages` gives them, or None."""
    if plus is not None and minus is not None:
        up, down = drifted(h, iterations, about, plus, minus, stuck)
        h = up - down
    if leak is not None:
        rest = rests(np.full_like(h, about[t.REST]), about, stuck)
        h = rest + (h - rest) * np.exp(-leak.astype(np.float64) * iterations)
    return h


def rests(rest: np.ndarray, about: np.ndarray, stuck: Both | None) -> np.ndarray:
    """The states that pairs leak to, `rest` those of whole ones: each device that moves leaks to its own part of it."""
    if stuck is None or not len(stuck[0]):
        return rest
    whole, of_plus, of_minus = np.isnan(stuck[0]), *mapped(rest, about)
    plus, minus = np.where(whole, of_plus, stuck[0]), of_minus
    if about[t.MAPPING] != t.REFERENCE:
        whole, minus = whole & np.isnan(stuck[1]), np.where(np.isnan(stuck[1]), of_minus, stuck[1])
    return np.where(whole, rest, plus - minus)

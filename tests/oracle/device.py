"""Pulsed devices: what is drawn once per device, what one pulse does, how many pulses an update asks for.

Weights are normalised. w is what the network sees; with a reference the device itself holds v = w + reference,
which is what the model steps and what is clipped. Without one, v = w. Sources: Gokmen and Vlasov, Front. Neurosci. 10,
333 (2016); Rasch et al., AICAS 2021 (arXiv 2104.02184) for the models and their spreads; Fusi and Abbott, Nat.
Neurosci. 10, 485 (2007) for the power step. Where the papers are silent, the choices of aihwkit 1.x are followed.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

MODELS = ("constant", "linear", "soft-bounds", "soft-bounds-reference", "exponential", "power")
NORMALS = ("b_max", "b_min", "gain", "up_down", "slope_up", "slope_down", "reference", "lifetime")  # rows of xi


@dataclass(frozen=True)
class DeviceSettings:
    """One kind of device, all numbers nominal. Spreads and c2c are standard deviations, relative unless said."""

    model: str = "constant"
    dw_min: float = 0.001  # nominal step, in units of w
    w_max: float = 1.0  # >= 0
    w_min: float = -1.0  # <= 0
    up_down: float = 0.0  # above 0: down steps are smaller by that share of dw_min; below 0: up steps
    # device to device
    dw_spread: float = 0.0
    dw_lognormal: bool = False  # gain exp(s xi), median 1, mean exp(s**2/2); else 1 + s xi
    up_down_spread: float = 0.0  # in units of dw_min
    w_max_spread: float = 0.0
    w_min_spread: float = 0.0
    # cycle to cycle
    c2c: float = 0.0
    c2c_additive: bool = False  # c2c times D, not times the step; linear and soft-bounds models
    c2c_floor: float = 0.0  # both in units of w; exponential: sigma = c2c (step + floor + slope |v|)
    c2c_slope: float = 0.0
    write_noise: float = 0.0  # of the apparent weight, in units of dw_min
    # linear
    slope_up: float = 0.0  # share of the step lost at the upper bound, relative to w = 0
    slope_down: float = 0.0
    slope_spread: float = 0.0  # absolute
    mean_bound: bool = False  # the slopes refer to w_max and w_min, not to the device's own bounds
    # exponential; the power step uses g_up and g_down as its exponents
    a_up: float = 0.0
    a_down: float = 0.0
    g_up: float = 1.0
    g_down: float = 1.0
    z_scale: float = 1.0  # a
    z_shift: float = 0.0  # b
    # soft-bounds-reference
    reference: float | str = 0.0  # or "symmetry": the device's own symmetry point
    reference_spread: float = 0.0  # in units of w
    # leak; 0: none
    lifetime: float = 0.0  # seconds
    lifetime_spread: float = 0.0
    one_sided: bool = False  # written by up pulses only, two of them making a weight

    def __post_init__(self):
        if self.model not in MODELS:
            raise ValueError(f"model is {self.model!r}; expected one of {MODELS}")
        if not self.w_min <= 0.0 <= self.w_max or self.w_min == self.w_max:
            raise ValueError(f"w_min, w_max are {self.w_min}, {self.w_max}; expected w_min <= 0 <= w_max, not both 0")
        if self.model != "soft-bounds-reference" and (self.reference != 0.0 or self.reference_spread != 0.0):
            raise ValueError(f"reference is {self.reference}; only soft-bounds-reference has one")
        if self.c2c_additive and self.model in ("exponential", "power"):
            raise ValueError(f"c2c_additive with model {self.model!r}; expected linear or soft bounds")


@dataclass(frozen=True)
class Devices:
    """What was drawn for each of n devices: float64[n] each."""

    b_max: np.ndarray  # bounds of v
    b_min: np.ndarray
    D_up: np.ndarray  # steps that the model multiplies, >= 0
    D_down: np.ndarray
    slope_up: np.ndarray  # the step is D (1 - slope v): per unit of v, so already divided by the bound
    slope_down: np.ndarray
    reference: np.ndarray
    lifetime: np.ndarray  # seconds; inf where there is no leak


def populate(s, xi):
    """Devices from standard normals xi, float64[8, n], rows as in NORMALS."""
    n = dict(zip(NORMALS, np.asarray(xi, dtype=np.float64), strict=True))
    # bounds, made consistent: swapped if crossed, then upper >= 0 >= lower
    b_max = s.w_max * (1.0 + s.w_max_spread * n["b_max"])
    b_min = s.w_min * (1.0 + s.w_min_spread * n["b_min"])
    crossed = b_min > b_max
    b_max, b_min = np.where(crossed, b_min, b_max), np.where(crossed, b_max, b_min)
    b_max, b_min = np.abs(b_max), -np.abs(b_min)
    # steps
    gain = np.exp(s.dw_spread * n["gain"]) if s.dw_lognormal else 1.0 + s.dw_spread * n["gain"]
    r = s.up_down_spread * n["up_down"]
    D_up = np.abs(s.dw_min * (gain + min(s.up_down, 0.0) + r))
    D_down = np.abs(s.dw_min * (gain - max(s.up_down, 0.0) - r))
    # slopes, per unit of v
    if s.model == "linear":
        upper, lower = (s.w_max, s.w_min) if s.mean_bound else (b_max, b_min)
        slope_up = over(np.abs(s.slope_up + s.slope_spread * n["slope_up"]), upper)
        slope_down = over(np.abs(s.slope_down + s.slope_spread * n["slope_down"]), lower)
    elif s.model in ("soft-bounds", "soft-bounds-reference"):
        slope_up, slope_down = over(1.0, b_max), over(1.0, b_min)
    else:
        slope_up = slope_down = np.zeros_like(b_max)
    # reference
    reference = s.reference_spread * n["reference"]
    if s.reference == "symmetry":
        reference = reference + soft_bounds_symmetry(D_up, D_down, b_max, b_min)
    else:
        reference = reference + s.reference
    # leak
    lifetime = s.lifetime * np.abs(1.0 + s.lifetime_spread * n["lifetime"])
    if s.lifetime == 0.0:
        lifetime = np.full_like(b_max, np.inf)
    return Devices(b_max, b_min, D_up, D_down, slope_up, slope_down, reference, lifetime)


def over(share, bound):
    """share/bound; 0 where the bound is 0."""
    bound = np.asarray(bound, dtype=np.float64)
    return np.where(bound == 0.0, 0.0, share / np.where(bound == 0.0, 1.0, bound))


def soft_bounds_symmetry(D_up, D_down, b_max, b_min):
    """v at which D_up (1 - v/b_max) = D_down (1 - v/b_min); 0 for a device with a bound at 0."""
    inside = (b_max > 0.0) & (b_min < 0.0)
    slope = D_up * over(1.0, b_max) - D_down * over(1.0, b_min)
    return np.where(inside & (slope > 0.0), (D_up - D_down) / np.where(slope > 0.0, slope, 1.0), 0.0)


def nominal(s):
    """The device without any spread, as Devices of one."""
    return populate(s, np.zeros((len(NORMALS), 1)))


def steps(s, dev, w):
    """Size of an up pulse and of a down pulse at w, without noise: two float64[n]. Up adds, down subtracts.

    w + reference must lie within the bounds.
    """
    v = w + dev.reference
    if s.model in ("exponential", "power"):
        width = dev.b_max - dev.b_min
        width_or_1 = np.where(width > 0.0, width, 1.0)  # a device without any range does not move
        if s.model == "exponential":
            z = 2.0 * s.z_scale * v / width_or_1 + s.z_shift
            y_up = np.maximum(0.0, 1.0 - s.a_up * np.exp(s.g_up * z))
            y_down = np.maximum(0.0, 1.0 - s.a_down * np.exp(-s.g_down * z))
        else:
            y_up = ((dev.b_max - v) / width_or_1) ** s.g_up
            y_down = ((v - dev.b_min) / width_or_1) ** s.g_down
        y_up, y_down = np.where(width > 0.0, y_up, 0.0), np.where(width > 0.0, y_down, 0.0)
    else:
        y_up, y_down = 1.0 - dev.slope_up * v, 1.0 - dev.slope_down * v
    return dev.D_up * y_up, dev.D_down * y_down


def pulse(s, dev, w, direction, xi):
    """w after one pulse each; direction float64[n] of +1, -1 or 0 (no pulse), xi float64[n] standard normal.

    w + reference <- clip(w + reference + direction (step + sigma xi)): the noise takes the pulse's sign too.
    """
    step_up, step_down = steps(s, dev, w)
    step = np.where(direction > 0, step_up, step_down)
    v = w + dev.reference
    if s.c2c_additive:
        sigma = s.c2c * np.where(direction > 0, dev.D_up, dev.D_down)
    elif s.model == "exponential" and (s.c2c_floor or s.c2c_slope):
        sigma = s.c2c * (np.abs(step) + s.c2c_floor + s.c2c_slope * np.abs(v))
    else:
        sigma = s.c2c * step
    moved = np.clip(v + direction * (step + sigma * xi), dev.b_min, dev.b_max)
    return np.where(direction == 0, w, moved - dev.reference)


def apparent(s, w, xi):
    """What the network sees until the next write: w + write_noise dw_min xi."""
    return w + s.write_noise * s.dw_min * xi


def response(s, dev, n_up, n_down, w0=None, xi=None):
    """w after 0 .. n_up up pulses and then n_down down pulses: float64[1 + n_up + n_down, n].

    From w0, by default each device's lower bound; xi float64[n_up + n_down, n], by default no noise.
    """
    w = dev.b_min - dev.reference if w0 is None else np.full_like(dev.b_min, w0)
    history = [w]
    for k in range(n_up + n_down):
        direction = np.full_like(w, 1.0 if k < n_up else -1.0)
        w = pulse(s, dev, w, direction, np.zeros_like(w) if xi is None else xi[k])
        history.append(w)
    return np.array(history)


def granularity(s):
    """Mean of the nominal up and down step at w = 0; one-sided devices: the up step at mid-range."""
    dev = nominal(s)
    if s.one_sided:
        return float(steps(s, dev, (dev.b_min + dev.b_max) / 2.0)[0][0])
    step_up, step_down = steps(s, dev, np.zeros(1))
    return float(step_up[0] + step_down[0]) / 2.0


def pulses_asked(dw, granularity, rounding="stochastic", u=0.0, carry=0.0, max_pulses=math.inf):
    """Signed number of pulses for an update dw, and the new carry (both float64 of the shape of dw).

    stochastic: floor(|dw|/granularity + u) with u uniform in [0, 1); nearest: halves away from 0;
    carried: the whole part of carry + dw/granularity, what was not pulsed (by max_pulses too) being the new carry,
    in pulses (the accumulator of Nandakumar et al., Front. Neurosci. 14, 406 (2020)).
    """
    asked = np.asarray(dw, dtype=np.float64) / granularity
    if rounding == "stochastic":
        n = np.floor(np.abs(asked) + u)
    elif rounding == "nearest":
        n = np.floor(np.abs(asked) + 0.5)
    elif rounding == "carried":
        asked = asked + carry
        n = np.floor(np.abs(asked))
    else:
        raise ValueError(f"rounding is {rounding!r}; expected stochastic, nearest or carried")
    n = np.copysign(np.minimum(n, max_pulses), asked)
    return n, (asked - n if rounding == "carried" else carry)


def symmetry_point(s):
    """Nominal w at which an up and a down step are equal, by bisection; nan if there is none or more than one."""
    dev = nominal(s)
    low, high = dev.b_min - dev.reference, dev.b_max - dev.reference

    def excess(w):
        step_up, step_down = steps(s, dev, w)
        return float(step_up[0] - step_down[0])

    if not excess(low) > 0.0 > excess(high):
        return math.nan
    for _ in range(200):
        middle = (low + high) / 2.0
        low, high = (middle, high) if excess(middle) > 0.0 else (low, middle)
    return float(low[0] + high[0]) / 2.0


def without_noise(s):
    """The same kind of device without any spread or noise."""
    off = ("dw_spread", "up_down_spread", "w_max_spread", "w_min_spread", "slope_spread", "reference_spread",
           "lifetime_spread", "c2c", "c2c_floor", "c2c_slope", "write_noise")  # fmt: skip
    return replace(s, **dict.fromkeys(off, 0.0), dw_lognormal=False)

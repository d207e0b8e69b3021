"""What a device can do, in a few figures: pulses from end to end, asymmetry, noise; and the devices it stands for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .device_law import granularity, nominal_steps
from .device_presets import PRESETS
from .devices import Device

SHARE = 0.9  # of the range, over which pulses are counted: soft bounds are never reached
MANY = 100_000  # pulses after which counting stops
POINTS = 200  # of the range, for its mean asymmetry
NOISE_OFF = {"c2c": 0.0, "write_noise": 0.0}
SPREADS_OFF = {
    "dw_spread": 0.0, "up_down_spread": 0.0, "w_min_spread": 0.0, "w_max_spread": 0.0, "slope_spread": 0.0,
    "reference_spread": 0.0,
}  # fmt: skip


@dataclass(frozen=True)
class Figures:
    """Of a device without spread; None where it has none. In units of w unless said.

    Of a pair of one-sided devices, range is the pair's and the rest that of one of them, whose pulses down are the
    other's pulses up.

    range : lowest and highest w, as the network sees it (less the reference)
    granularity : dw that one pulse or level stands for
    steps : range / granularity
    pulses_up, pulses_down : over the first nine tenths of the range, without noise; None beyond 100,000
    step_up, step_down : of a pulse at w = 0, or in the middle of a range that 0 is not inside of
    symmetry_point : w at which they are equal; None where there is none, and where they are equal everywhere
    asymmetry : mean over the range of |up - down| / (up + down): 0, equal everywhere, to 1, one direction only
    step_noise : standard deviation from pulse to pulse, relative to the mean of step_up and step_down
    write_noise : standard deviation of what is seen of w after a write
    """

    range: tuple[float, float] | None = None
    granularity: float | None = None
    steps: float | None = None
    pulses_up: int | None = None
    pulses_down: int | None = None
    step_up: float | None = None
    step_down: float | None = None
    symmetry_point: float | None = None
    asymmetry: float | None = None
    step_noise: float | None = None
    write_noise: float | None = None


def figures(device: Device) -> Figures:
    """The figures of a device.

    >>> from analogmgd.devices import device
    >>> of = figures(device("reram-es"))
    >>> of.pulses_up, of.pulses_down, round(of.symmetry_point, 3), of.step_noise
    (1106, 821, -0.217, 5.0)
    """
    if device.w_min is None or device.w_max is None:
        return Figures()
    noise = device.write_noise * (device.dw_min or 0.0)
    if device.write not in ("quantised", "pulsed"):
        return Figures(range=(device.w_min, device.w_max), write_noise=noise)
    dw, span = granularity(device), device.w_max - device.w_min
    if device.write == "quantised":
        return Figures((device.w_min, device.w_max), dw, span / dw, write_noise=noise)
    off = offset(device)
    state = off if device.w_min < off < device.w_max else 0.5 * (device.w_min + device.w_max)
    up, down = nominal_steps(device, state)
    between = device.w_min + span * (np.arange(POINTS) + 0.5) / POINTS
    sizes = np.abs([nominal_steps(device, float(h)) for h in between])
    total = sizes.sum(1)
    uneven = np.abs(sizes[:, 0] - sizes[:, 1])[total > 0] / total[total > 0]
    point = symmetric_state(device)
    up_across = pulses_across(device, rising=True)
    lowest = device.w_min - device.w_max if device.one_sided else device.w_min - off
    return Figures(
        range=(lowest, device.w_max - (device.w_min if device.one_sided else off)),
        granularity=dw,
        steps=span / dw,
        pulses_up=up_across,
        pulses_down=up_across if device.one_sided else pulses_across(device, rising=False),
        step_up=up,
        step_down=down,
        symmetry_point=None if point is None else point - off,
        asymmetry=float(uneven.mean()) if len(uneven) and not device.one_sided else None,
        step_noise=step_noise(device, state),
        write_noise=noise,
    )


def nominal(device: Device) -> Device:
    """The device without spread and noise."""
    changed: Device = device.replace(**SPREADS_OFF, **NOISE_OFF)
    return changed


def drawn_device(device: Device, drawn: Mapping[str, np.ndarray], number: int) -> Device:
    """One of the devices that `device_response.Response.drawn` speaks of, as a `Device` without spread.

    >>> import analogmgd as am
    >>> response = am.device_response("ecram", [1], devices=3)
    >>> one = drawn_device(am.device("ecram"), response.drawn, 2)
    >>> bool(one.w_max == response.drawn["high"][2]), one.dw_spread
    (True, 0.0)
    """
    of = {name: float(values[number]) for name, values in drawn.items()}
    up, down = of["up"] / device.scale, of["down"] / device.scale
    changes: dict[str, Any] = {
        **SPREADS_OFF,
        "w_max": of["high"] / device.scale,
        "w_min": of["low"] / device.scale,
        "dw_min": max(up, down),
        "up_down": 1 - down / up if up > down else up / down - 1,
        "dw_lognormal": False,
        "reference": of.get("offset", 0.0) / device.scale,
    }
    if device.model == "linear":
        changes |= {"slope_up": of["slope_up"] * of["high"], "slope_down": of["slope_down"] * of["low"]}
        changes |= {"mean_bound": False}
    out: Device = device.replace(**changes)
    return out


def mean_steps(device: Device, state: float) -> tuple[float, float]:
    """How far a pulse up and a pulse down move a device without spread from a state, on average: bounds included.

    >>> mean_steps(Device(model="constant", dw_min=0.25, w_min=-1, w_max=1), 0.9)
    (0.09999999999999998, 0.25)
    """
    assert device.w_max is not None and device.w_min is not None  # noqa: PT018
    up, down = nominal_steps(device, state)
    up = min(up, device.w_max - state)
    return up, up if device.one_sided else min(down, state - device.w_min)


def offset(device: Device) -> float:
    """What is subtracted from the state of a device without spread to give w."""
    if device.reference != "symmetry":
        return float(device.reference)
    assert device.w_max is not None and device.w_min is not None  # noqa: PT018
    point = symmetric_state(device)
    return min(max(0.0 if point is None else point, device.w_min), device.w_max)


def symmetric_state(device: Device) -> float | None:
    """The state at which up and down steps of a device without spread are equal, if it is one."""
    assert device.w_max is not None and device.w_min is not None  # noqa: PT018

    def excess(h: float) -> float:
        up, down = nominal_steps(device, h)
        return up - down

    low, high = device.w_min, device.w_max
    at_low, at_high = excess(low), excess(high)
    if at_low * at_high >= 0 or device.model == "constant" or device.one_sided:
        return None
    for _ in range(60):
        middle = 0.5 * (low + high)
        if excess(middle) * at_low > 0:
            low = middle
        else:
            high = middle
    point = 0.5 * (low + high)
    return point if abs(point) > 1e-15 * (device.w_max - device.w_min) else 0.0


def pulses_across(device: Device, rising: bool) -> int | None:
    """Pulses of one direction, without spread and noise, over the first nine tenths of the range.

    >>> pulses_across(Device(model="constant", dw_min=0.25, w_min=-1, w_max=1), True)
    8
    """
    assert device.w_max is not None and device.w_min is not None  # noqa: PT018
    left, state = SHARE * (device.w_max - device.w_min), device.w_min if rising else device.w_max
    for pulse in range(1, MANY + 1):
        step = mean_steps(device, state)[0 if rising else 1]
        if step <= 0:
            return None
        left -= step
        state += step if rising else -step
        if left <= 1e-12:
            return pulse
    return None


def step_noise(device: Device, state: float) -> float | None:
    """Standard deviation of a step from pulse to pulse over the mean step, both the mean of up and down."""
    up, down = nominal_steps(device, state)
    mean = 0.5 * (up + down)
    if mean <= 0:
        return None
    if device.c2c_floor > 0 or device.c2c_slope > 0:
        return device.c2c * (mean + device.c2c_floor + device.c2c_slope * abs(state)) / mean
    if not device.c2c_additive:
        return device.c2c
    assert device.dw_min is not None
    unit = device.dw_min * (1 - 0.5 * abs(device.up_down))  # the mean of up and down, which additive noise refers to
    return device.c2c * unit / mean


def source(device: Device) -> str:
    """Where its figures are from."""
    return str(PRESETS[device.name]["source"])


def short_source(text: str) -> str:
    """First author and year of a source, or the text.

    >>> short_source("lithium ECRAM: Tang et al., IEDM 2018"), short_source("w += dw, unbounded")
    ('Tang 2018', 'w += dw, unbounded')
    """
    found = re.search(r": (\w+).*?\b((?:19|20)\d\d)\b", text)
    return f"{found[1]} {found[2]}" if found else text

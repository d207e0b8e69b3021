"""What a series of pulses does to devices, outside of any training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .device_draws import draws
from .device_law import SECOND, Devices, law, populate
from .devices import Device
from .devices import device as preset
from .errors import ConfigError
from .kernels.response import respond
from .kernels.simd import WIDTH

MANY = 1_000_000


@dataclass(frozen=True)
class Response:
    """w float64[pulses + 1, devices], as the network would see it without write noise; drawn : the devices' numbers."""

    w: np.ndarray
    drawn: dict[str, np.ndarray]


def draw_devices(device: Device, count: int, seed: int = 0, side: int = 0) -> tuple[Devices, np.ndarray]:
    """Those of parameter 0 of the chips 0, 1, ..: `Devices` of float64[1, lanes], and the ids uint64[1, lanes].

    side : of a pair of one-sided devices, 0 plus, 1 minus
    """
    lanes = -(-count // WIDTH) * WIDTH
    ids = np.arange(lanes, dtype=np.uint64)[np.newaxis]
    normals, exp = draws(np.uint64(seed), ids, 1, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):  # steps down of one-sided devices, which there are none of
        return populate(device, lambda k: normals(k + side * SECOND), exp, (1, lanes)), ids


def device_response(
    device: Device | str,
    pulses: Sequence[int] = (500, -500),
    devices: int = 5,
    start: float | None = None,
    seed: int = 0,
) -> Response:
    """Apply pulses to some devices, one by one.

    device : Device or the name of a preset, with write = "pulsed"
    pulses : numbers of pulses, one after the other; negative: downwards
    devices : how many, drawn as those of parameter 0 of the chips 0, 1, ...
    start : w they start from (as near as each can), by default each one's lower bound, of pairs of one-sided devices 0

    Of pairs, `drawn` is what plus is like. No pair is refreshed.

    Returns a `Response`: w float64[pulses + 1, devices] from before the first pulse on, dimensionless, with the
    cycle-to-cycle noise but without that of writes, and what each device drew. Raises ConfigError for devices that are
    not pulsed, and for no pulses or devices or more than a million of them. Models and sources: docs/devices.md.

    >>> float(device_response(Device(model="constant", dw_min=0.25, w_min=-1, w_max=1), [3, -1], 1).w[-1, 0])
    -0.5
    """
    if isinstance(device, str):
        device = preset(device)
    if device.write != "pulsed":
        raise ConfigError(f"device {device.name!r} is written without pulses (write = {device.write!r}): no response")
    total = sum(abs(n) for n in pulses)
    if not 1 <= total <= MANY or not 1 <= devices <= MANY:
        raise ConfigError(f"pulses = {list(pulses)}, devices = {devices}: must be 1 to {MANY:,} each")
    directions = np.concatenate([np.full(abs(n), 1.0 if n > 0 else -1.0) for n in pulses])
    drawn, ids = draw_devices(device, devices, seed)
    offset = drawn.offset if len(drawn.offset) else 0.0
    if device.one_sided:
        up, down = drawn.up, drawn.slope_up
        w = 0.0 if start is None else start
        plus = _respond(device, drawn, ids, seed, np.maximum(directions, 0), max(w, 0.0))
        other = draw_devices(device, devices, seed, side=1)[0]
        out = plus - _respond(device, other, ids, seed, np.maximum(-directions, 0), max(-w, 0.0))
        drawn = replace(drawn, down=up, slope_down=down)
    else:
        low = drawn.low[0] if start is None else device.scale * start + offset
        out = _respond(device, drawn, ids, seed, directions, low)
    numbers: dict[str, Any] = {name: array[0, :devices] for name, array in vars(drawn).items() if len(array)}
    return Response((out - offset)[:, :devices] / device.scale, numbers)


def _respond(
    device: Device, drawn: Devices, ids: np.ndarray, seed: int, directions: np.ndarray, start: Any
) -> np.ndarray:
    """The states float64[pulses + 1, lanes] of devices of one kind."""
    out = np.zeros((len(directions) + 1, ids.shape[1]))
    out[0] = np.clip(device.scale * start if device.one_sided else start, drawn.low, drawn.high)
    down, slope_down = (drawn.up, drawn.slope_up) if device.one_sided else (drawn.down, drawn.slope_down)
    respond(
        np.uint64(seed), ids, directions, law(device), drawn.up, down, drawn.slope_up, slope_down,
        drawn.high, drawn.low, np.zeros((4, ids.shape[1]), np.uint32), np.zeros((4, ids.shape[1])), out,
    )  # fmt: skip
    return out


response = device_response  # its name within this module's own subject

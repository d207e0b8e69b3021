"""What settings of a device do not go together, where both conductances of a weight have a state of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .devices import Device

OF_FLICKER = {"flicker_power": 0.65, "flicker_most": 0.2, "flicker_read_time": 250e-9, "flicker_slowest": None}
OF_TELEGRAPH = {"telegraph_size": 0.0, "telegraph_share": 0.0, "telegraph_high": None, "telegraph_low": None}
OF_PAIRS = {
    "reset": 0.0, "reset_spread": 0.0, "reset_c2c": 0.0, "refresh_every": 1, "refresh_upper": 0.75,
    "refresh_lower": 0.25,
}  # fmt: skip


def pair_problem(device: Device) -> str | None:
    """The first of them in words, or None.

    >>> from analogmgd.devices import Device
    >>> pair_problem(Device()) is None
    True
    """
    for needed, others in (("flicker", OF_FLICKER), ("telegraph", OF_TELEGRAPH), ("one_sided", OF_PAIRS)):
        given = [key for key, value in others.items() if getattr(device, key) != value]
        if given and not getattr(device, needed):
            return f"{given[0]} = {getattr(device, given[0])!r} needs {needed}"
    if device.drift_model == "pcm" and (device.drift_nu > 0 or device.drift_nu_spread > 0):
        return f'drift_nu = {device.drift_nu:g}: not with drift_model = "pcm", which has exponents of its own'
    if device.telegraph > 0 and (device.telegraph_high is None or device.telegraph_low is None):
        return f"telegraph = {device.telegraph:g} needs telegraph_high and telegraph_low, in seconds"
    if device.telegraph > 0 and device.telegraph_size == device.telegraph_share == 0:
        return f"telegraph = {device.telegraph:g} needs telegraph_size or telegraph_share"
    if not device.paired:
        return f"full_scale = {device.full_scale:g} needs programming_noise, flicker or drift_model = \"pcm\"" \
            if device.full_scale is not None else None  # fmt: skip
    if device.half_select > 0:
        return f"half_select = {device.half_select:g}: not with devices whose conductances have a state of their own"
    if device.lifetime > 0:
        return f"lifetime = {device.lifetime:g}: not with devices whose conductances have a state of their own"
    if device.one_sided and device.write != "pulsed":
        return f'one_sided = true needs write = "pulsed", not "{device.write}"'
    if device.full_scale is None and device.w_max is None:
        return "full_scale = None: needed where there is no w_max"
    if device.mapping != "one-sided" and device.w_max is None:
        return f'mapping = "{device.mapping}": needs w_min and w_max with conductances of their own'
    return _one_sided_problem(device) if device.one_sided else None


def _one_sided_problem(device: Device) -> str | None:
    if device.w_min is not None and device.w_min < 0:
        return f"w_min = {device.w_min:g}: of devices that are one_sided, must be at least 0"
    if device.mapping != "one-sided" or device.g_min > 0:
        return f'mapping = "{device.mapping}", g_min = {device.g_min:g}: not with one_sided devices, which are the pair'
    if device.model == "soft-bounds-reference":
        return f'model = "{device.model}": not with one_sided'
    if device.read_noise_slope > 0:
        return f"read_noise_slope = {device.read_noise_slope:g}: not with one_sided; use read_noise"
    if device.reset > (device.w_max or 0.0):
        return f"reset = {device.reset:g}: must be at most w_max = {device.w_max:g}"
    return None

"""Which settings of a device say nothing without others: given alone they would silently do nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .device_presets import DEFAULTS, PRESETS

if TYPE_CHECKING:
    from .devices import Device

_EXPONENTIAL, _POWER, _LINEAR = ("exponential",), ("exponential", "power"), ("linear",)
_REFERENCE = ("soft-bounds-reference",)
ONLY_OF = {  # what other models do not look at
    "a_up": _EXPONENTIAL, "a_down": _EXPONENTIAL, "z_scale": _EXPONENTIAL, "z_shift": _EXPONENTIAL, "g_up": _POWER,
    "g_down": _POWER, "slope_up": _LINEAR, "slope_down": _LINEAR, "slope_spread": _LINEAR, "mean_bound": _LINEAR,
    "reference": _REFERENCE, "reference_spread": _REFERENCE,
}  # fmt: skip
OF_PULSES = (
    "max_pulses", "granularity", "up_down", "dw_spread", "dw_lognormal", "up_down_spread", "c2c", "c2c_additive",
    "c2c_floor", "c2c_slope",
)  # fmt: skip


def idle(device: Device) -> dict[str, str]:
    """The settings that say nothing beside what else is set, each with what it would need.

    >>> from analogmgd.devices import Device
    >>> idle(Device(levels=3, w_min=-1, w_max=1))["g_up"]
    'model = "exponential" or "power"'
    """
    found = {}
    for key, models in {**dict.fromkeys(OF_PULSES, ()), **ONLY_OF}.items():
        if device.model is None or (models and device.model not in models):
            which = " or ".join(f'"{name}"' for name in models)
            found[key] = f"model = {which}" if which else "model"
    if device.model is None and device.levels is None:
        found["rounding"] = "model or levels"
    if device.w_max is None:
        found |= dict.fromkeys(("w_min_spread", "w_max_spread"), "w_min and w_max")
    return found


def missing(device: Device) -> str | None:
    """What a setting that was given needs and has not, in words; None where each can do something.

    A value that a preset brings along is left in peace, and so is everything beside a model that was switched off by
    `write`, or a drift or leak of 0: settings are switched off to see what they do.

    >>> from analogmgd.devices import device
    >>> missing(device("ecram", model="constant")) is None
    True
    """
    default, named = type(device).model_fields, PRESETS[device.name]
    for key, needed in idle(device).items():
        value = getattr(device, key)
        if value not in (default[key].default, DEFAULTS.get(key), named.get(key)):
            return f"{key} = {value!r} needs {needed}"
    return None

"""Every setting of a device in a few words, with its unit: for `analogmgd devices show` and docs/devices.md."""

from __future__ import annotations

from typing import Any

from .device_needs import ONLY_OF
from .devices import Device
from .devices import device as preset

MEANINGS: dict[str, tuple[str, str]] = {  # key: unit, meaning
    "name": ("", "preset that the other settings start from"),
    "write": ("", "how a parameter is changed: ideal, noisy, quantised, pulsed"),
    "sigma_theta": ("theta", "noise of a write = \"noisy\""),
    "write_steps": ("steps", "until what is written is seen by the network"),
    "write_time": ("s", "that an update of all parameters takes"),
    "amplitude_mismatch": ("relative", "spread of the perturbation's amplitude"),
    "perturbation_bits": ("", "of the element that adds the perturbation"),
    "perturbation_range": ("theta", "largest perturbation that it can add"),
    "perturbation_cubic": ("1/theta^2", "it gives d (1 + perturbation_cubic d^2)"),
    "digital_biases": ("", "biases are numbers, not on the crossbar"),
    "w_min": ("w", "lower bound"),
    "w_max": ("w", "upper bound"),
    "w_min_spread": ("relative", "device-to-device spread of w_min"),
    "w_max_spread": ("relative", "device-to-device spread of w_max"),
    "write_noise": ("dw_min", "noise of what is seen of w, drawn at each write"),
    "half_select": ("relative", "of their step that a pulse moves the others of its row and column"),
    "correlation_length": ("cells", "over which devices are alike"),
    "correlated_share": ("relative", "of the variance from device to device that is correlated"),
    "levels": ("", "values between the bounds, of write = \"quantised\""),
    "rounding": ("", "to whole pulses: stochastic, nearest, carried"),
    "max_pulses": ("", "pulses a device gets in one write at most"),
    "granularity": ("w", "that one pulse stands for; else the mean step"),
    "model": ("", "what a pulse does"),
    "dw_min": ("w", "step of a pulse, before the model's factor"),
    "up_down": ("dw_min", "above 0, down steps are smaller by it; below 0, up steps"),
    "dw_spread": ("relative", "device-to-device spread of the step"),
    "dw_lognormal": ("", "that spread is of the step's logarithm"),
    "up_down_spread": ("dw_min", "device-to-device spread of the asymmetry"),
    "c2c": ("relative", "spread of a step from pulse to pulse"),
    "c2c_additive": ("", "c2c refers to dw_min, not to the step made"),
    "c2c_floor": ("w", "spread is c2c (step + c2c_floor + c2c_slope |w|)"),
    "c2c_slope": ("relative", "see c2c_floor"),
    "slope_up": ("relative", "share of the up step lost from w = 0 to w_max"),
    "slope_down": ("relative", "share of the down step lost from w = 0 to w_min"),
    "slope_spread": ("absolute", "device-to-device spread of both slopes"),
    "mean_bound": ("", "slopes refer to the nominal bounds, not the device's own"),
    "a_up": ("1", "up step times 1 - a_up exp(g_up z)"),
    "a_down": ("1", "down step times 1 - a_down exp(-g_down z)"),
    "g_up": ("1", "rate (exponential) or exponent (power) of up steps"),
    "g_down": ("1", "rate (exponential) or exponent (power) of down steps"),
    "z_scale": ("1", "z = 2 z_scale w / (w_max - w_min) + z_shift"),
    "z_shift": ("1", "see z_scale"),
    "reference": ("w", "subtracted from the device; \"symmetry\": its symmetry point"),
    "reference_spread": ("w", "device-to-device spread of the reference"),
    "scale": ("theta/w", "what the network sees of w"),
    "mapping": ("", "of w onto two conductances: one-sided, symmetric, reference"),
    "g_min": ("w", "conductance at the lower end"),
    "drift_nu": ("1", "exponent of the drift since the last write"),
    "drift_nu_spread": ("absolute", "device-to-device spread of drift_nu"),
    "drift_t0": ("s", "reference time of the drift; else one step"),
    "drift_every": ("steps", "after which drift and leak are brought up to date"),
    "drift_model": ("", "power: one exponent a device; pcm: drawn at each write, from the conductance"),
    "full_scale": ("w", "conductance that the next ones refer to; else that at the end of the range"),
    "programming_noise": ("full scale", "error of a conductance, drawn at each write: polynomial in g/full_scale"),
    "one_sided": ("", "two devices a weight, each written by up pulses only"),
    "reset": ("w", "conductance that a reset leaves"),
    "reset_spread": ("w", "device-to-device spread of reset"),
    "reset_c2c": ("w", "spread of reset from one to the next"),
    "refresh_every": ("writes", "after which full pairs are reset and written anew; 0: never"),
    "refresh_upper": ("w_max", "the larger of a full pair is above it"),
    "refresh_lower": ("w_max", "the smaller of a full pair is above it"),
    "flicker": ("relative", "1/f noise of a conductance at full scale, over one unit of ln(time)"),
    "flicker_power": ("1", "relative 1/f noise goes with (g/full_scale)^-flicker_power"),
    "flicker_most": ("relative", "1/f noise at most, over one unit of ln(time)"),
    "flicker_read_time": ("s", "of a read: faster noise is averaged out"),
    "flicker_slowest": ("s", "time constant of the slowest 1/f noise; else the run"),
    "telegraph": ("fraction", "of the devices that switch between two conductances"),
    "telegraph_size": ("w", "from one to the other"),
    "telegraph_share": ("relative", "the same, in proportion to the conductance"),
    "telegraph_high": ("s", "mean time in the higher conductance"),
    "telegraph_low": ("s", "mean time in the lower conductance"),
    "lifetime": ("s", "in which w leaks to 1/e of its distance from rest"),
    "lifetime_spread": ("relative", "device-to-device spread of the lifetime"),
    "rest": ("w", "that w leaks to"),
    "read_noise": ("w", "noise of a conductance, fresh at every evaluation"),
    "read_noise_slope": ("relative", "the same, in proportion to the conductance"),
    "joules_per_pulse": ("J", "of one device, for the estimate of energy"),
    "joules_per_read": ("J", "of one device, for the estimate of energy"),
    "seconds_per_pulse": ("s", "for the estimate of the time for pulses"),
}  # fmt: skip


def told_settings(device: Device) -> dict[str, Any]:
    """The settings, but for the name, that are not at their default or not those of the preset.

    What the device's model does not look at is left out.

    >>> told_settings(Device(sigma_theta=0.01))
    {'write': 'noisy', 'sigma_theta': 0.01}
    """
    default, named = Device(), preset(device.name)
    return {
        key: value
        for key, value in device
        if key != "name"
        and value is not None
        and (value != getattr(default, key) or value != getattr(named, key))
        and (key not in ONLY_OF or device.model in ONLY_OF[key])
    }

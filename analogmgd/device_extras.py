"""What few chips have, for a block of lanes: noise of the cost that is not white, an error signal for each array,
disturbance of neighbours, digital biases, and an element of few levels that perturbs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .device_draws import exponential
from .kernels import draw
from .kernels import table as t
from .kernels.hardware import Extras
from .kernels.philox import CONVERTER

if TYPE_CHECKING:
    from .chip import Chip
    from .plan import Plan

ERRORS, PHASE = 2**40, 2**39  # number, and block, of what is drawn from CONVERTER; part of what a seed means


def flicker_times(slowest: float, step: float) -> list[float]:
    """Time constants of the processes that 1/f noise is made of, in seconds: a decade apart, down to that of a step.

    >>> flicker_times(1.0, 2e-3)
    [1.0, 0.1, 0.01]
    """
    times = [slowest]
    while slowest / 10 ** len(times) >= step:
        times.append(slowest / 10 ** len(times))
    return times


def lost(x: float) -> float:
    """1 - exp(-x) for x > 0, to the same bits everywhere."""
    return x * (1 - x / 2 * (1 - x / 3 * (1 - x / 4))) if x < 1e-3 else 1.0 - float(exponential(np.array([-x]))[0])


def about_extras(chip: Chip, seconds: float) -> np.ndarray:
    """float64[EXTRAS]: see `kernels.table`; `seconds` an iteration takes on the chip."""
    out = np.zeros(t.EXTRAS)
    device, converters = chip.device, chip.converters
    if converters.cost_flicker > 0:
        times = flicker_times(converters.cost_flicker_slowest, seconds)
        out[t.FLICKER] = converters.cost_flicker / math.sqrt(len(times))
    out[t.WALK] = converters.cost_drift * math.sqrt(seconds)
    out[t.HUM] = converters.cost_hum
    out[t.HUM_TURNS] = converters.cost_hum_frequency * seconds % 1.0
    out[t.TELEGRAPH] = converters.cost_telegraph
    out[t.FLIP] = 0.5 * lost(2 * seconds / converters.cost_telegraph_time)
    out[t.HALF_SELECT] = device.half_select
    if device.perturbation_bits is not None and device.perturbation_range is not None:
        out[t.ELEMENT_RANGE] = device.perturbation_range
        out[t.ELEMENT_STEP] = device.perturbation_range / (2 ** (device.perturbation_bits - 1) - 1)
    out[t.ELEMENT_CUBIC] = device.perturbation_cubic
    return out


def element_size(chip: Chip, amplitude: float) -> float:
    """What the element adds when it is asked for `amplitude`.

    >>> from analogmgd import Chip, Device, Network
    >>> chip = Chip(Network.mlp([2, 1]), device=Device(perturbation_bits=3, perturbation_range=0.03))
    >>> element_size(chip, 0.012)
    0.01
    """
    device = chip.device
    d = amplitude
    if device.perturbation_bits is not None and device.perturbation_range is not None:
        step = device.perturbation_range / (2 ** (device.perturbation_bits - 1) - 1)
        d = math.floor(min(d, device.perturbation_range) / step + 0.5) * step
    return d * (1 + device.perturbation_cubic * d * d)


class ExtrasBlock:
    """arrays : all of it, for the kernel, or (); state : what changes; drawn : what defines the chips, by name."""

    def __init__(
        self, plan: Plan, seed: np.uint64, ids: np.ndarray, theta: np.ndarray, rows: Callable[..., np.ndarray]
    ) -> None:
        self.arrays: Extras | tuple[()] = ()
        self.state: tuple[np.ndarray, ...] = ()
        self.drawn: dict[str, np.ndarray] = {}
        if not plan.extras:
            return
        device, converters, layers = plan.chip.device, plan.chip.converters, plan.layers
        real, double, word = plan.dtype, np.dtype(np.float64), np.dtype(np.uint32)
        gain, offset = rows(len(layers) if converters.errors_vary else 0), rows(0)
        if converters.errors_vary:
            gain, offset = self._errors(plan, seed, ids, rows)
        keep, fresh = flicker_steps(plan)
        coloured = converters.coloured
        hum = rows(2 if coloured else 0, double)
        if coloured:
            draw.draw_phases(seed, ids, CONVERTER, PHASE, hum[1:], hum[:1])
        noise = rows(len(keep) + 2 if coloured else 0, double)
        xi = rows(4 + 4 * ((len(keep) + 3) // 4) if coloured else 0, double)
        disturbs = device.half_select > 0
        lines = max(n_in + 1 + n_out for n_in, n_out in layers[:, : t.N_OUT + 1])
        biases = plan.biases if device.digital_biases else np.zeros(0, np.int64)
        number = np.full(plan.n_params if device.digital_biases else 0, -1, np.int64)
        number[biases] = np.arange(len(biases))
        value = rows(len(biases))
        value[:] = theta[biases]
        words = rows((plan.n_params + 31) // 32 if converters.errors_vary and plan.signs else 0, word)
        self.arrays = Extras(
            about_extras(plan.chip, plan.iteration_seconds), np.ascontiguousarray(layers[:, : t.BIASES + 1]).ravel(),
            gain, offset, words, keep, fresh, noise, hum, xi, rows(plan.n_params if disturbs else 0, real),
            rows(2 * lines if disturbs else 0, real), number, biases, value,
        )  # fmt: skip
        self.state = noise, value
        self.drawn = {"error": np.stack([gain, offset], 1).reshape(2 * len(gain), -1)} if len(gain) else {}

    def _errors(self, plan, seed, ids, rows) -> tuple[np.ndarray, np.ndarray]:
        one, n = plan.dtype.type, len(plan.layers)
        converters = plan.chip.converters
        xi = rows(4 * ((2 * n + 3) // 4))
        draw.draw_normals(seed, ids, CONVERTER, ERRORS, rows(32, np.dtype(np.uint32)), xi)
        gain, offset = rows(n), rows(n)
        gain[:] = one(1) + one(converters.error_gain_spread) * xi[: 2 * n : 2]
        offset[:] = one(converters.error_offset_spread) * xi[1 : 2 * n : 2]
        return gain, offset


def flicker_steps(plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """(keep, fresh) float64[K] of an iteration: what is left of each process, and the rms of what comes anew."""
    converters, seconds = plan.chip.converters, plan.iteration_seconds
    if converters.cost_flicker == 0:
        return np.zeros(0), np.zeros(0)
    times = flicker_times(converters.cost_flicker_slowest, seconds)
    rms = converters.cost_flicker / math.sqrt(len(times))
    keep = [1 - lost(seconds / tau) for tau in times]
    fresh = [rms * math.sqrt(lost(2 * seconds / tau)) for tau in times]
    return np.array(keep), np.array(fresh)

"""How the columns of a chip are read: what each converter drew, and what is counted."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .kernels import draw
from .kernels import table as t
from .kernels.hardware import Reading, Readout
from .kernels.philox import CONVERTER

if TYPE_CHECKING:
    from .chip import Chip
    from .plan import Plan


def reading(chip: Chip) -> np.ndarray:
    """float64[READOUT]: see `kernels.table`; conductances in units of theta."""
    out = np.zeros(t.READOUT)
    device, converters = chip.device, chip.converters
    slope = device.read_noise_slope
    out[t.READ_SLOPE] = slope
    out[t.READ_FLOOR] = out[t.READ_HELD] = device.scale * (device.read_noise + slope * device.g_min)
    if slope > 0 and device.mapping != "one-sided":
        end = device.scale * max(abs(device.w_min or 0.0), abs(device.w_max or 0.0))
        if device.mapping == "reference":  # held + slope w, and the same at w = 0
            out[t.READ_FLOOR] = out[t.READ_HELD] = out[t.READ_FLOOR] + slope * end
            out[t.READ_SIGNED] = 1
        else:  # sigma +- slope w/2: their squares are 2 sigma^2 + (slope w)^2/2 together
            out[t.READ_FLOOR] = math.sqrt(2) * (out[t.READ_FLOOR] + slope * end / 2)
            out[t.READ_HELD], out[t.READ_SLOPE] = 0.0, slope / math.sqrt(2)
    out[t.DIGITAL] = device.digital_biases
    if converters.dac_bits is not None:
        out[t.DAC_LOW], out[t.DAC_HIGH] = converters.dac_range
        out[t.DAC_STEP] = (out[t.DAC_HIGH] - out[t.DAC_LOW]) / (2**converters.dac_bits - 1)
    if converters.adc_bits is not None:
        out[t.ADC_RANGE] = converters.adc_range
        out[t.ADC_STEP] = 2 * converters.adc_range / (2**converters.adc_bits - 1)
    if converters.cost_bits is not None:
        change = converters.cost_of == "change"
        out[t.COST_RANGE] = converters.cost_range
        out[t.COST_STEP] = (2 if change else 1) * converters.cost_range / (2**converters.cost_bits - 1)
        out[t.COST_CODE] = t.CHANGE if change else t.WHOLE_COST
    return out


def converted(x: np.ndarray, about: np.ndarray) -> np.ndarray:
    """Inputs real[n, n_in] on the values that their converter has; `about` as `reading` gives it."""
    if about[t.DAC_STEP] == 0:
        return x
    one = x.dtype.type
    low, high, step = (one(about[k]) for k in (t.DAC_LOW, t.DAC_HIGH, t.DAC_STEP))
    out = low + np.floor((np.clip(x, low, high) - low) * (one(1) / step) + one(0.5)) * step
    out.setflags(write=False)
    return out


class ReadoutBlock:
    """Converters and read noise of a block of lanes.

    columns : real[2 neurons or 0, lanes], gain and offset of each column's converter
    saturated : uint64[4, lanes], conversions that were cut: inputs, columns, cost (and scratch)
    """

    def __init__(self, plan: Plan, seed: np.uint64, ids: np.ndarray, rows: Callable[..., np.ndarray]) -> None:
        converters = plan.chip.converters
        self.about = plan.reading
        count = 2 * plan.n_neurons
        self.columns = rows(count if converters.adc_varies else 0)
        if converters.adc_varies:
            one = plan.dtype.type
            normals = rows(4 * ((count + 3) // 4))
            draw.draw_normals(seed, ids, CONVERTER, 0, rows(32, np.dtype(np.uint32)), normals)
            self.columns[0::2] = one(1) + one(converters.adc_gain_spread) * normals[:count:2]
            self.columns[1::2] = one(converters.adc_offset_spread) * normals[1:count:2]
        self.xi = rows(8 * ((plan.chip.network.column_reads + 3) // 4) if plan.chip.device.noisy_reads else 0)
        self.saturated = rows(t.SATURATED, np.dtype(np.uint64))
        self.arrays = Readout(self.about, self.columns, self.xi, self.saturated)
        self._no_noise, self._scratch = rows(0), rows(t.SATURATED, np.dtype(np.uint64))

    def silent(self) -> Reading:
        """The same for an evaluation: without noise, and nothing counted."""
        return Reading(Readout(self.about, self.columns, self._no_noise, self._scratch))

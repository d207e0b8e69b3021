"""Weights held by two conductances of their own: pairs of one-sided devices, errors of programming, fluctuations."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from .device_law import RESET, SECOND, TRAP, Exponential, Normals, mapped, populate
from .kernels import conductance
from .kernels import pair_table as pt
from .kernels.flicker import FAST
from .kernels.hardware import Pair

if TYPE_CHECKING:
    from .devices import Device
    from .faults import FaultBlock
    from .plan import Plan

Rows = Callable[..., np.ndarray]
DRIFTS = {"power": pt.OF_POWER, "pcm": pt.OF_PCM}
DECADE = 10  # between the time constants of 1/f noise, and steps a time constant is cut into
SCRATCH_ROWS = 32
SIGNS = "plus", "minus"
FOREVER = 2.0**62  # iterations, more than any run has and no more than an int64 holds


def full_scale(device: Device) -> float:
    """The conductance that settings relative to the full scale refer to, in units of w."""
    if device.full_scale is not None:
        return device.full_scale
    assert device.w_max is not None and device.w_min is not None  # noqa: PT018
    return max(abs(device.w_max), abs(device.w_min)) + (0.0 if device.one_sided else device.g_min)


def relaxation(device: Device, seconds: float) -> tuple[np.ndarray, np.ndarray, float]:
    """1/f noise whose fastest process has the time constant of one iteration, `seconds`.

    Returns iterations between updates and the correlation between them, float64[processes] each, and the size of a
    process, whose square is (total variance)/processes, relative to min(flicker/g^flicker_power, flicker_most) g.
    """
    if device.flicker == 0:
        return np.zeros(0), np.zeros(0), 0.0
    slowest = device.flicker_slowest if device.flicker_slowest is not None else seconds
    decades = max(0, math.ceil(math.log(slowest / seconds, DECADE) - 1e-9))
    tau = float(DECADE) ** np.arange(decades + 1)
    every = np.clip(tau / DECADE, 1.0, FOREVER)
    total = math.log(max(1.0, (slowest + device.flicker_read_time) / (2 * device.flicker_read_time)))
    return every, np.exp(-every / tau), math.sqrt(total / len(tau))


def about_pairs(device: Device, seconds: float) -> np.ndarray:
    """float64[PAIR]: see `kernels.table`; `seconds` an iteration takes on the chip."""
    out = np.zeros(pt.PAIR)
    out[pt.WRITTEN_UP] = device.one_sided
    out[pt.DRIFT_MODEL] = DRIFTS[device.drift_model]
    full = device.scale * full_scale(device)
    out[pt.OVER_FULL] = 1 / full
    for k, c in enumerate(device.programming_noise or ()):
        out[pt.ERROR_0 + k] = c * full
    out[pt.FLICKER], out[pt.FLICKER_POWER] = device.flicker, device.flicker_power
    out[pt.FLICKER_MOST], out[pt.FLICKER_ROOT] = device.flicker_most, relaxation(device, seconds)[2]
    if device.telegraph_high is not None and device.telegraph_low is not None:
        high, low = device.telegraph_high / seconds, device.telegraph_low / seconds
        out[pt.TELEGRAPH_HIGH] = high / (high + low)
        correlation = high * low / (high + low)
        if max(high, low) > FOREVER:  # of which the product, or each, may be more than a float holds
            out[pt.TELEGRAPH_HIGH] = 1 / (1 + device.telegraph_low / device.telegraph_high)
            correlation = 1 / max(1 / high + 1 / low, 1e-300)
        out[pt.TELEGRAPH_EVERY] = max(1, math.floor(min(correlation / DECADE, FOREVER)))
        out[pt.TELEGRAPH_KEEP] = math.exp(-out[pt.TELEGRAPH_EVERY] / correlation)
        out[pt.TELEGRAPH_FIXED], out[pt.TELEGRAPH_SHARE] = device.scale * device.telegraph_size, device.telegraph_share
    if device.one_sided:
        assert device.w_max is not None
        most = device.scale * device.w_max
        out[pt.REFRESH_EVERY] = device.refresh_every
        out[pt.REFRESH_UPPER], out[pt.REFRESH_LOWER] = device.refresh_upper * most, device.refresh_lower * most
        out[pt.RESET_C2C] = device.scale * device.reset_c2c
    return out


def _of_side(normals: Normals, side: int, k: int) -> np.ndarray:
    """Standard normal k of each device of a side."""
    return normals(k + side * SECOND)


class PairBlock:
    """Both conductances of the weights of a block of lanes.

    weights real[P, lanes] is what they are to stand for (the state of devices that are mapped onto pairs); nu : drift
    exponents of both, changed where they are drawn at each write; stuck : what both are stuck at, real[P or 0, lanes],
    NaN where they move; never : bool[P or 0, lanes] weights that never change.
    """

    def __init__(
        self,
        plan: Plan,
        seed: np.uint64,
        ids: np.ndarray,
        rows: Rows,
        weights: np.ndarray,
        normals: Normals,
        exp: Exponential,
        nu: tuple[np.ndarray, np.ndarray],
        stuck: tuple[np.ndarray, np.ndarray],
        never: np.ndarray,
        faults: FaultBlock | None,
    ) -> None:
        device = plan.chip.device
        about = about_pairs(device, plan.iteration_seconds)
        every, keep, _ = relaxation(device, plan.iteration_seconds)
        self.upwards, self.moving, self._nu, self._faults = device.one_sided, device.fluctuates, nu, faults
        n, up, processes = len(weights), device.one_sided, len(every)
        sizes = np.zeros(pt.PARTS, np.int64)
        for part, wanted in (
            (pt.HELD, 1), (pt.PROGRAMMED, 1), (pt.NOW, 1), (pt.STEP_UP, up),
            (pt.SLOPE, up and device.model != "constant"), (pt.HIGH, up), (pt.LOW, up), (pt.RESET, up),
            (pt.RATIO, processes > 0), (pt.PROCESSES, processes), (pt.SLOW, processes > FAST),
            (pt.TRAP, device.telegraph > 0), (pt.STATE, device.telegraph > 0),
        ):  # fmt: skip
            sizes[part : part + 2] = n * int(wanted)
        sizes[pt.TOUCHED : pt.TOUCHED + 2] = sizes[pt.DUE] = SCRATCH_ROWS
        sizes[pt.STILL] = n if self.moving else 0
        worn = faults is not None and len(faults.limit) > 0
        counted = np.array([n * up, n * up, n * (up and worn), n * (up and worn), n * up], np.int64)
        at, count_at = (np.concatenate([[0], np.cumsum(x)]) for x in (sizes, counted))
        self.arrays = Pair(
            about, every, keep, at, count_at, rows(int(at[-1])), rows(int(count_at[-1]), np.dtype(np.uint32))
        )
        targets = mapped(weights, plan.about, stuck)
        if up:
            targets = np.maximum(weights, 0), np.maximum(-weights, 0)
        for side in range(2):
            of_side = partial(_of_side, normals, side)
            if up:
                self._draw_upwards(device, side, of_side, exp)
            self.part(pt.HELD, side)[:] = np.clip(targets[side], *self._bounds(side)) if up else targets[side]
            self.part(pt.PROGRAMMED, side)[:] = self.part(pt.NOW, side)[:] = self.part(pt.HELD, side)
            if device.telegraph > 0:
                most = NormalDist().inv_cdf(device.telegraph) if device.telegraph < 1 else math.inf
                self.part(pt.TRAP, side)[:] = of_side(TRAP) < most
            self.part(pt.TOUCHED, side)[:] = 1
        scratch = seed, ids, rows(SCRATCH_ROWS, np.dtype(np.uint32)), rows(SCRATCH_ROWS), *nu
        still = [self._still(side, stuck[side], never) for side in range(2)]
        ratios = []
        if processes > 0 and any(len(x) for x in still):  # what was never written fluctuates as it is, without errors
            sure = about.copy()
            sure[[pt.ERROR_0, pt.ERROR_1, pt.ERROR_2, pt.ERROR_3]] = 0
            conductance.program_all(*scratch, self.arrays._replace(about=sure))
            ratios = [self.part(pt.RATIO, side).copy() for side in range(2)]
        conductance.program_all(*scratch, self.arrays)
        for side, ratio in enumerate(ratios):
            if len(still[side]):
                self.part(pt.RATIO, side)[:] = np.where(still[side], ratio, self.part(pt.RATIO, side))
        self._spare(stuck, still)

    def part(self, k: int, side: int = 0) -> np.ndarray:
        """Part k (`kernels.pair_table`) of a side, real[.., lanes]."""
        at = self.arrays.at
        return self.arrays.real[at[k + side] : at[k + side + 1]]

    def count(self, k: int, side: int = 0) -> np.ndarray:
        """What is counted, uint32[.., lanes]."""
        at = self.arrays.count_at
        return self.arrays.count[at[k + side] : at[k + side + 1]]

    def _bounds(self, side: int) -> tuple[np.ndarray, np.ndarray]:
        return self.part(pt.LOW, side), self.part(pt.HIGH, side)

    def _draw_upwards(self, device: Device, side: int, normals: Normals, exp: Exponential) -> None:
        """What each of the devices of a side is like."""
        held = self.part(pt.HELD, side)
        one = held.dtype.type
        with np.errstate(divide="ignore", invalid="ignore"):  # of steps down, which there are none of
            drawn = populate(device, normals, exp, held.shape)
        low, high = drawn.low, drawn.high
        if self._faults is not None:
            low, high = self._faults.single(side, low, high)
            if len(self._faults.limit):
                self.count(pt.LIMIT, side)[:] = self._faults.limits(side)
        rest = one(device.scale) * (one(device.reset) + one(device.reset_spread) * normals(RESET))
        for part, array in ((pt.STEP_UP, drawn.up), (pt.SLOPE, drawn.slope_up), (pt.HIGH, high), (pt.LOW, low),
                            (pt.RESET, rest)):  # fmt: skip
            self.part(part, side)[:] = array

    def _still(self, side: int, stuck: np.ndarray, never: np.ndarray) -> np.ndarray:
        """bool[P or 0, lanes]: devices of a side that are never written."""
        low, high = self._bounds(side)
        found = high == low if self.upwards else never
        return found | ~np.isnan(stuck) if len(stuck) else found

    def _spare(self, stuck: tuple[np.ndarray, np.ndarray], still: list[np.ndarray]) -> None:
        """What was never written has no error, what is stuck does not drift; what lies on a dead line does nothing."""
        opened = self._faults.open if self._faults is not None else still[0][:0]
        for side, fixed in enumerate(still):
            held, done, nu = self.part(pt.HELD, side), self.part(pt.PROGRAMMED, side), self._nu[side]
            if len(fixed):
                done[:] = np.where(fixed, held, done)
                self.part(pt.NOW, side)[:] = done
            frozen = fixed if self.upwards else ~np.isnan(stuck[side])
            if len(frozen) and len(nu):
                nu[frozen] = 0
            for array in (nu, self.part(pt.RATIO, side), self.part(pt.TRAP, side)):
                if len(opened) and len(array):
                    array[opened] = 0

    @property
    def fixed(self) -> np.ndarray:
        """bool[P, lanes]: pairs of which neither device moves."""
        (a, b), (c, d) = self._bounds(0), self._bounds(1)
        return (a == b) & (c == d)

    def seen(self) -> np.ndarray:
        """What the network sees before the first step, less references and the noise of writes."""
        out: np.ndarray = self.part(pt.NOW, 0) - self.part(pt.NOW, 1)
        return out

    @property
    def still(self) -> np.ndarray:
        """theta without what fluctuates, or no rows where nothing does."""
        return self.part(pt.STILL)

    @property
    def state(self) -> tuple[np.ndarray, ...]:
        """What changes."""
        return self.arrays.real, self.arrays.count, *self._nu

    @property
    def drawn(self) -> dict[str, np.ndarray]:
        """What defines the devices, by name."""
        names = {"step_up": pt.STEP_UP, "slope_up": pt.SLOPE, "w_max": pt.HIGH, "w_min": pt.LOW, "reset": pt.RESET,
                 "trap": pt.TRAP}  # fmt: skip
        arrays = {f"{name}_{sign}": self.part(k, side) for name, k in names.items() for side, sign in enumerate(SIGNS)}
        return {name: array for name, array in arrays.items() if len(array)}

    @property
    def kept(self) -> dict[str, np.ndarray]:
        """What is kept at the end of a run, see `trace_schema.COUNTS`."""
        out = {f"conductance_{sign}": self.part(pt.NOW, side) for side, sign in enumerate(SIGNS)}
        if self.moving:
            out["theta_still"] = self.still
        if len(self._nu[0]):
            out |= {f"nu_{sign}": self._nu[side] for side, sign in enumerate(SIGNS)}
        if self.upwards:
            out |= {"pulses": self.count(pt.COUNTED) + self.count(pt.COUNTED, 1), "refreshes": self.count(pt.REFRESHED)}
        return out

"""The devices of a block of lanes: what each drew, and their state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from .device_draws import draws
from .device_law import FIRST_WRITE, Devices, ages, populate
from .faults import FaultBlock
from .kernels import table as t
from .plan import Plan
from .readout import ReadoutBlock

SCRATCH_ROWS = 32  # parameters that are written together


class DeviceBlock:
    """Devices whose writes are those of `kernels.pulse`; theta real[P, lanes] is changed to what they can hold.

    drawn : what defines the devices, by name; arrays : all of them in the order of the kernel; state : what changes
    """

    def __init__(
        self,
        plan: Plan,
        seed: np.uint64,
        ids: np.ndarray,
        theta: np.ndarray,
        rows: Callable[..., np.ndarray],
        faults: FaultBlock | None = None,
    ) -> None:
        shape = theta.shape
        normals, exp = draws(seed, ids, shape[0], plan.dtype)
        device = plan.chip.device
        drawn = populate(device, normals, exp, shape)
        if faults is not None:
            low, high = faults.bounds(drawn.low, drawn.high, shape[1])
            offset = np.where(faults.open, 0, drawn.offset) if len(faults.open) and len(drawn.offset) else drawn.offset
            drawn = replace(drawn, low=low, high=high, offset=offset.astype(plan.dtype))
        state = plan.law[t.WRITES] != t.WRITES_PLAIN
        self.held = rows(shape[0] if state else 0)
        if state:
            self.held[:] = theta
            self._start(plan, drawn)
            theta[:] = self.held - drawn.offset if len(drawn.offset) else self.held
        noise = plan.dtype.type(plan.law[t.WRITE_NOISE])
        self.kept = rows(shape[0] if device.ages and noise > 0 else 0)
        if noise > 0:  # they were written, too
            first = noise * normals(FIRST_WRITE)
            if len(drawn.high):
                first[drawn.high == drawn.low] = 0  # but what is stuck is not
            theta += first
            self.kept[:] = first[: len(self.kept)]
        carried = device.write in ("quantised", "pulsed") and device.rounding == "carried"
        self.carry = rows(shape[0] if carried else 0)
        self.counted = rows(shape[0] if state else 0, np.dtype(np.uint32))
        self.limit = faults.limit if faults is not None else rows(0, np.dtype(np.uint32))
        counts, xi = rows(SCRATCH_ROWS), rows(SCRATCH_ROWS)
        copied = aligned_like(rows)
        fixed = [drawn.up, drawn.down, drawn.slope_up, drawn.slope_down, drawn.high, drawn.low, drawn.offset]
        aging = list(ages(device, normals, plan.iteration_seconds))
        if faults is not None and len(faults.open):
            aging = [np.where(faults.open, plan.dtype.type(0), a) if len(a) else a for a in aging]
        self.written = rows(shape[0] if device.ages else 0, np.dtype(np.int64))
        self.aging = (self.written, *map(copied, aging))
        self.readout = ReadoutBlock(plan, seed, ids, rows)
        self.state: tuple[np.ndarray, ...] = (
            self.held, self.carry, self.counted, self.kept, self.written, self.readout.saturated,
        )  # fmt: skip
        self.arrays = (self.held, *map(copied, fixed), self.carry, self.counted, self.limit, self.kept, counts, xi)
        names = {"step_up": drawn.up, "step_down": drawn.down, "w_max": drawn.high, "w_min": drawn.low}
        names |= {"slope_up": drawn.slope_up, "slope_down": drawn.slope_down, "reference": drawn.offset}
        names |= dict(zip(("drift_nu_plus", "drift_nu_minus", "leak"), aging, strict=True))
        names |= {"adc": self.readout.columns}
        self.drawn = {name: array for name, array in names.items() if len(array)}
        self.counts = {"saturated": self.readout.saturated[: t.SPARE]} | ({"pulses": self.counted} if state else {})
        self.late = latency_arrays(plan, rows)
        ring, _, _, after, seen, target = self.late
        self.state += (ring, after, seen, target)
        self.lanes = (*self.arrays, *self.aging, *self.late, *self.readout.arrays, *self.state)
        self._tables = plan.law, plan.about, plan.latency, plan.reading

    def arguments(self, pick: Callable[[np.ndarray], np.ndarray]) -> tuple[Any, ...]:
        """The tuple `device` of the kernels, `pick` of every array with lanes."""
        law, about, late, reading = self._tables
        parts = zip((about, late, reading), (self.aging, self.late, self.readout.arrays), strict=True)
        return (law, *map(pick, self.arrays), *((table, *map(pick, arrays)) for table, arrays in parts))

    def _start(self, plan: Plan, drawn: Devices) -> None:
        """The state that stands for the initial parameters: what the devices can hold."""
        held = self.held
        if len(drawn.offset):
            held += drawn.offset
        if not len(drawn.high):
            return
        np.clip(held, drawn.low, drawn.high, out=held)
        if plan.law[t.WRITES] == t.WRITES_AT_ONCE:
            one = held.dtype.type
            level = np.floor((held - drawn.low) * one(1 / plan.law[t.GRANULARITY]) + one(0.5))
            held[:] = np.clip(drawn.low + level * one(plan.law[t.GRANULARITY]), drawn.low, drawn.high)


def latency_arrays(plan: Plan, rows: Callable[..., np.ndarray]) -> tuple[np.ndarray, ...]:
    """ring, words, values, next, seen, target of `kernels.latency`."""
    chip, n = plan.chip, plan.n_params
    signs = plan.mgd is not None and plan.mgd.perturbation in ("random", "walsh")
    matched = chip.delay > 0 and chip.delay_matched
    slow = chip.network.n_in if chip.input_tau > 0 else 0
    return (
        rows(plan.delay), rows(4 + (n + 31) // 32 if matched and signs else 0, np.dtype(np.uint32)),
        rows(n if matched and not signs else 0), rows(n if chip.device.write_steps > 0 else 0), rows(slow), rows(slow),
    )  # fmt: skip


def aligned_like(rows: Callable[..., np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Copies arrays to where a line of the cache starts."""

    def copy(array: np.ndarray) -> np.ndarray:
        out = rows(len(array))
        out[:] = array
        return out

    return copy

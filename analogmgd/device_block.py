"""The devices of a block of lanes: what each drew, and their state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from .device_draws import draws
from .device_extras import ExtrasBlock
from .device_field import alike
from .device_law import FIRST_WRITE, Devices, ages, populate
from .device_pair import PairBlock
from .faults import FaultBlock
from .kernels import table as t
from .kernels.hardware import Aging, Hardware, Latency
from .kernels.pulses import SCRATCH
from .plan import Plan
from .readout import ReadoutBlock
from .wire_block import WireBlock

TOGETHER = 32  # parameters that `kernels.writes` writes together


class DeviceBlock:
    """Devices whose writes are those of `kernels.pulse`; theta real[P, lanes] is changed to what they can hold.

    drawn : what defines the devices, by name; hardware : all of them, for the kernel; state : what changes
    """

    def __init__(
        self,
        plan: Plan,
        seed: np.uint64,
        ids: np.ndarray,
        theta: np.ndarray,
        rows: Callable[..., np.ndarray],
        faults: FaultBlock | None = None,
        gain: np.ndarray | None = None,
    ) -> None:
        shape = theta.shape
        normals, exp = draws(seed, ids, shape[0], plan.dtype)
        device = plan.chip.device
        copied = aligned_like(rows)
        normals = alike(plan, normals, seed, ids)
        numbers = theta[plan.biases]
        paired, upwards = device.paired, device.one_sided
        drawn = (
            Devices(*[np.zeros((0, shape[1]), plan.dtype)] * 7) if upwards else populate(device, normals, exp, shape)
        )
        stuck: tuple[np.ndarray, np.ndarray] = (rows(0), rows(0))
        shift: np.ndarray | None = None
        if faults is not None and not upwards:
            stuck = faults.conductances(drawn.low, drawn.high)
            low, high = faults.bounds(drawn.low, drawn.high, shape[1])
            offset = np.where(faults.open, 0, drawn.offset) if len(faults.open) and len(drawn.offset) else drawn.offset
            if len(stuck[1]) and device.mapping == "reference":  # one that is not where it was to be
                shift = np.nan_to_num(stuck[1] - plan.dtype.type(plan.about[t.G_PAIR]))
                if not paired:
                    offset = offset + shift if len(offset) else shift
            drawn = replace(drawn, low=low, high=high, offset=offset.astype(plan.dtype))
        state = plan.law[t.WRITES] != t.WRITES_PLAIN and not upwards
        self.held = rows(shape[0] if state else 0)
        if state:
            self.held[:] = theta
            if paired and shift is not None:
                self.held += shift
            self._start(plan, drawn)
            theta[:] = self.held - drawn.offset if len(drawn.offset) else self.held
        aging = list(ages(device, normals, plan.iteration_seconds))
        if faults is not None and len(faults.open):
            aging = [np.where(faults.open, plan.dtype.type(0), a) if len(a) else a for a in aging]
        if len(stuck[0]):  # what is stuck neither drifts nor leaks
            still = (~np.isnan(stuck[0]), ~np.isnan(stuck[1]), ~np.isnan(stuck[0]) & ~np.isnan(stuck[1]))
            aging = [np.where(s, plan.dtype.type(0), a) if len(a) else a for a, s in zip(aging, still, strict=True)]
        aging = [copied(a) for a in aging]
        stuck = copied(stuck[0]), copied(stuck[1])
        self.written = rows(shape[0] * (1 + upwards) if device.ages else 0, np.dtype(np.int64))
        self.pair: PairBlock | None = None
        if paired:
            if device.drift_model == "pcm":
                aging[:2] = rows(shape[0]), rows(shape[0])
            self.pair = PairBlock(
                plan, seed, ids, rows, theta if upwards else self.held, normals, exp, (aging[0], aging[1]), stuck,
                drawn.high == drawn.low, faults,
            )  # fmt: skip
            theta[:] = self.pair.seen()
            if len(drawn.offset):
                theta -= drawn.offset
        noise = plan.dtype.type(plan.law[t.WRITE_NOISE])
        self.kept = rows(shape[0] if (device.ages or paired or device.half_select > 0) and noise > 0 else 0)
        if noise > 0:  # they were written, too
            first = noise * normals(FIRST_WRITE)
            if len(drawn.high):
                first[drawn.high == drawn.low] = 0  # but what is stuck is not
            if upwards and self.pair is not None:
                first[self.pair.fixed] = 0
            theta += first
            self.kept[:] = first[: len(self.kept)]
        if device.digital_biases:
            theta[plan.biases] = numbers
        if self.pair is not None and self.pair.moving:
            self.pair.still[:] = theta
        carried = device.write in ("quantised", "pulsed") and device.rounding == "carried"
        self.carry = rows(shape[0] if carried else 0)
        self.counted = rows(shape[0] if state else 0, np.dtype(np.uint32))
        self.limit = faults.limit if faults is not None else rows(0, np.dtype(np.uint32))
        counts, xi, work = rows(SCRATCH), rows(TOGETHER), rows(SCRATCH, np.dtype(np.uint32))
        fixed = [drawn.up, drawn.down, drawn.slope_up, drawn.slope_down, drawn.high, drawn.low, drawn.offset]
        up, down, slope_up, slope_down, high, low, offset = map(copied, fixed)
        self.readout = ReadoutBlock(plan, seed, ids, rows)
        extras = ExtrasBlock(plan, seed, ids, theta, rows)
        self.state: tuple[np.ndarray, ...] = (
            self.held, self.carry, self.counted, self.kept, self.written, self.readout.saturated,
        )  # fmt: skip
        names = {"step_up": drawn.up, "step_down": drawn.down, "w_max": drawn.high, "w_min": drawn.low}
        names |= {"slope_up": drawn.slope_up, "slope_down": drawn.slope_down, "reference": drawn.offset}
        names |= dict(zip(("drift_nu_plus", "drift_nu_minus", "leak"), aging, strict=True))
        if device.drift_model == "pcm":  # drawn at each write
            del names["drift_nu_plus"], names["drift_nu_minus"]
        names |= self.pair.drawn if self.pair is not None else {}
        names |= {"adc": self.readout.columns} | extras.drawn
        self.drawn = {name: array for name, array in names.items() if len(array)}
        late = latency_of(plan, rows)
        self.state += (late.ring, late.next, late.seen, late.target, *extras.state)
        self.wires: WireBlock | None = None
        if plan.wired and gain is not None:
            self.wires = WireBlock(plan, theta, gain, rows, faults, stuck)
            self.state += self.wires.state
        pulsed = plan.law[t.WRITES] == t.WRITES_PULSES and state
        packed = rows(8 * shape[0] if pulsed else 0).reshape(-1, shape[1], 8)
        for k, array in enumerate(fixed if pulsed else []):
            if len(array):
                packed[:, :, k] = array
        given = rows(shape[0] if pulsed and paired else 0)
        changing = Aging(plan.about, self.written, aging[0], aging[1], aging[2], *stuck)
        self.hardware = Hardware(
            plan.law, self.held, up, down, slope_up, slope_down, high, low, offset, self.carry, self.counted,
            self.limit, self.kept, counts, xi, work, packed, given, changing, late,
            self.readout.arrays, extras.arrays, self.wires.parts if self.wires else (),
            self.pair.arrays if self.pair is not None else (),
        )  # fmt: skip
        if self.pair is not None:
            self.state += self.pair.state

    @property
    def counts(self) -> dict[str, np.ndarray]:
        """What is counted and kept, see `trace_schema.COUNTS`."""
        found = {"saturated": self.readout.saturated[: t.SPARE]}
        if len(self.counted):
            found["pulses"] = self.counted
        found |= self.wires.counts if self.wires is not None else {}
        return found | (self.pair.kept if self.pair is not None else {})

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


def arrays_of(part: Any) -> list[np.ndarray]:
    """All arrays of a tuple of tuples."""
    return [part] if isinstance(part, np.ndarray) else [array for each in part for array in arrays_of(each)]


def picked(part: Any, pick: Callable[[np.ndarray], np.ndarray]) -> Any:
    """The same tuple of tuples with `pick` of every array that has lanes: of two axes."""
    if isinstance(part, np.ndarray):
        return pick(part) if part.ndim == 2 else part
    parts = [picked(each, pick) for each in part]
    return type(part)(*parts) if parts else ()


def latency_of(plan: Plan, rows: Callable[..., np.ndarray]) -> Latency:
    """What comes late: `kernels.latency`."""
    chip, n = plan.chip, plan.n_params
    signs = plan.signs
    matched = chip.delay > 0 and chip.delay_matched
    slow = chip.network.n_in if chip.input_tau > 0 else 0
    return Latency(
        plan.latency, rows(plan.delay), rows(4 + (n + 31) // 32 if matched and signs else 0, np.dtype(np.uint32)),
        rows(n if matched and not signs else 0), rows(n if chip.device.write_steps > 0 else 0), rows(slow), rows(slow),
    )  # fmt: skip


def aligned_like(rows: Callable[..., np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Copies arrays to where a line of the cache starts."""

    def copy(array: np.ndarray) -> np.ndarray:
        out = rows(len(array))
        out[:] = array
        return out

    return copy

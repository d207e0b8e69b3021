"""A block of lanes: the arrays of some chips, and the only calls of the step kernels."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

from .device_block import DeviceBlock, arrays_of, picked
from .device_extras import element_size
from .faults import FaultBlock
from .kernels import backprop, draw, evaluate
from .kernels import step as kernel
from .kernels import table as t
from .kernels.perturb import BLOCKS
from .kernels.philox import PHASE
from .kernels.sample import KEY_ROWS
from .kernels.simd import WIDTH
from .plan import Plan
from .plan_tables import Samples, start_scale

ALONE = 2  # runs of so few chips take one lane a block
PROBE_ROWS = 4096  # iterations a call may cover while a probe is on
LINE_BYTES = 64
EVALUATE_WORK = 20_000_000  # multiply-adds a lane in one call of the evaluation


def aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Zeros that start where a line of the cache does: a register of 16 lanes then never lies across two."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.zeros(size + LINE_BYTES, np.uint8)
    start = -memory.ctypes.data % LINE_BYTES
    return memory[start : start + size].view(dtype).reshape(shape)


class Block:
    """Chips `ids` of a plan, in lanes; `n` counts the steps done.

    Lanes beyond the last chip repeat it and are dropped on the way out. A lane's bits depend on its chip alone.
    The steps of a chip that is `alone` are done without lanes, by the same kernel compiled for 1-D arrays.
    """

    def __init__(self, plan: Plan, first: int, count: int, theta0: np.ndarray | None) -> None:
        self.plan, self.first, self.count = plan, first, count
        self.n = 0
        self.alone = plan.mgd is not None and count == 1 and len(plan.ids) <= ALONE
        lanes = -(-count // WIDTH) * WIDTH
        chosen = np.minimum(np.arange(first, first + lanes), first + count - 1)
        self.ids = aligned((1, lanes), plan.ids.dtype)
        self.ids[0] = plan.ids[chosen]
        self.seed = np.uint64(plan.run.seed)
        real, n_params = plan.dtype, plan.n_params
        rule = plan.rule

        def rows(n: int, dtype: np.dtype = real) -> np.ndarray:
            return aligned((n, lanes), dtype)

        self.theta = rows(n_params)
        if theta0 is None:
            draw.draw_theta(self.seed, self.ids, start_scale(plan.chip, real), self.theta)
        else:
            self.theta[:] = theta0[chosen].T
        self.theta += 0.0  # no -0, whose sign would depend on whether G is kept
        self.gradient = rows(n_params)
        self.velocity = rows(n_params if rule.momentum > 0 else 0)
        self.last_gradient = rows(n_params if plan.keep_gradient else 0)
        self.signal = rows(kernel.SIGNALS)
        self.first_bad = rows(1, np.dtype(np.int64))
        self.first_bad -= 1
        broken = plan.mgd is not None and plan.chip.faults.any
        self.faults = FaultBlock(plan, self.seed, self.ids, rows) if broken else None
        self.neuron, self.gain = self._variation(rows)
        self.no_spread = rows(0)

        net = plan.chip.network
        self.index = rows(rule.batch, np.dtype(np.uint32))
        self._keys, self._scratch = rows(KEY_ROWS, np.dtype(np.uint32)), rows(4 * BLOCKS, np.dtype(np.uint32))
        self._fours = rows(8 + 4 * BLOCKS)
        self._x, self._y = rows(net.n_in), rows(net.n_out)
        probed = np.isin(self.ids[0, :count], np.array(plan.run.probe_chips, np.uint64))
        self.probe_lane = np.flatnonzero(probed).astype(np.int64)
        self._probe_off = np.zeros(0, np.int64)
        m = len(self.probe_lane)
        depth = PROBE_ROWS if m else 0
        self.probe_cost, self.probe_cost_ac = np.zeros((depth, m), real), np.zeros((depth, m), real)
        self.probe_sample = np.zeros((depth, m), np.int64)
        self.devices: DeviceBlock | None = None
        self._before: tuple[Any, ...]
        self._copies: list[tuple[np.ndarray, np.ndarray]] = []
        self._prepare_mgd(rows) if plan.mgd else self._prepare_backprop(rows)

    def _variation(self, rows) -> tuple[np.ndarray, np.ndarray]:
        """Device-to-device variation: neuron real[4 neurons or 0, lanes], gain real[P or 0, lanes]."""
        plan, chip, faults = self.plan, self.plan.chip, self.faults
        dead = faults is not None and len(faults.dead) > 0
        neuron = rows(4 * plan.n_neurons if chip.neuron.spread > 0 or dead else 0)
        if chip.neuron.spread > 0:  # what is not needed is not compiled
            draw.draw_neurons(self.seed, self.ids, plan.dtype.type(chip.neuron.spread), neuron)
        elif dead:
            neuron[0::4] = neuron[1::4] = 1
        if faults is not None and dead:
            faults.neurons(neuron)
        mismatch = chip.device.amplitude_mismatch
        gain = rows(plan.n_perturbed if plan.mgd and not plan.exact else 0)
        if mismatch > 0 and len(gain):
            draw.draw_mismatch(self.seed, self.ids, plan.dtype.type(mismatch), gain)
        elif len(gain):
            gain[:] = 1
        if len(gain) and plan.mgd and not chip.device.exact_element and not plan.shaped:
            gain *= plan.dtype.type(element_size(chip, plan.mgd.amplitude) / plan.mgd.amplitude)
        if len(gain) and chip.device.digital_biases and not plan.nodes:
            gain[plan.biases] = 1
        if faults is not None and len(faults.open) and not plan.nodes:
            gain[faults.open] = 0
        return neuron, gain

    def _prepare_mgd(self, rows) -> None:
        plan, n, rule = self.plan, self.plan.n_perturbed, self.plan.rule
        mgd = plan.mgd
        assert mgd is not None
        words = rows((n + 31) // 32, np.dtype(np.uint32))
        values = rows(0 if plan.signs else n)
        applied = rows(n) if len(self.gain) else values
        phase_sin = rows(n if mgd.perturbation == "sinusoid" else 0)
        phase_cos = rows(len(phase_sin))
        if len(phase_sin):
            draw.draw_phases(self.seed, self.ids, PHASE, 0, phase_sin, phase_cos)
        multiple = (plan.ints[t.SINE_FIRST] + np.arange(-(-n // WIDTH) * WIDTH, dtype=np.float64))[np.newaxis]
        train = plan.train
        signs = kernel.steps_codes if plan.codes else kernel.steps_gains
        self._kernel = kernel.steps_nodes if plan.nodes else signs if plan.signs else kernel.steps_values
        tables = (
            self.seed, plan.ints, plan.reals, plan.layers, train.x, train.smoothed,
            multiple, np.zeros((2, multiple.size), plan.dtype),
        )  # fmt: skip
        state = (self.theta, self.gradient, self.velocity, self.last_gradient, self.signal, self.first_bad, self.index)
        self.devices = chip = (
            DeviceBlock(plan, self.seed, self.ids, self.theta, rows, self.faults, self.gain) if plan.physical else None
        )
        lanes: tuple[np.ndarray, ...] = (
            self.ids, self.neuron, self.gain, phase_sin, phase_cos, *state,
            words, values, applied, rows(self._work_rows), self._y, rows(rule.batch, np.dtype(np.uint32)),
            self._keys, rows(4, np.dtype(np.uint32)), self._scratch, self._fours,
        )  # fmt: skip
        if self.alone:
            every = [*lanes, *(a for a in arrays_of(chip.hardware if chip else ()) if a.ndim == 2)]
            own = {id(a): np.ascontiguousarray(a[:, 0]) for a in every}  # one array stays one
            self._copies = [(a, own[id(a)]) for a in (*state, *(chip.state if chip else ()))]
            lanes = tuple(own[id(a)] for a in lanes)
        device = chip.hardware if chip else ()
        if self.alone:
            device = picked(device, lambda a: own[id(a)])
        self._before = (*tables, *lanes, plan.turns, self._pictures, device)
        if chip and chip.wires:
            self.advance(0, probe=False)  # what the network sees of the start

    @property
    def _pictures(self) -> tuple[Any, ...]:
        """The layout of a network of pictures, or ()."""
        return ()

    @property
    def _work_rows(self) -> int:
        """Rows of scratch that the network needs."""
        net = self.plan.chip.network
        return net.n_in + 4 * max(layer.columns for layer in net.arrays)

    def _prepare_backprop(self, rows) -> None:
        plan = self.plan
        train = plan.train
        acts, deltas = self._layers
        self._kernel = backprop.steps_backprop
        self._before = (
            self.seed, self.ids, plan.ints, plan.reals, plan.layers, train.x, train.smoothed, self.no_spread,
            self.theta, self.gradient, self.velocity, self.last_gradient, self.first_bad,
            self._x, self._y, acts, deltas, rows(1), self.index, self._keys, self._scratch, self._fours,
        )  # fmt: skip

    @cached_property
    def _layers(self) -> tuple[np.ndarray, np.ndarray]:
        shape = (self.plan.n_neurons, self.ids.shape[1])
        return np.zeros(shape, self.plan.dtype), np.zeros(shape, self.plan.dtype)

    @property
    def _physical(self) -> list[np.ndarray]:
        """All that changes and is no function of the step: [.., lanes] each."""
        own = (self.theta, self.gradient, self.velocity, self.last_gradient, self.signal, self.first_bad, self.index)
        return [*own, *(self.devices.state if self.devices else ())]

    def state(self) -> list[np.ndarray]:
        """What the chips are to be gone on with from step n, first axis chips."""
        return [array[:, : self.count].T.copy() for array in self._physical]

    def load(self, n: int, state: list[np.ndarray]) -> None:
        """Go on from step n with what `state` gave."""
        lanes = np.minimum(np.arange(self.ids.shape[1]), self.count - 1)
        for array, values in zip(self._physical, state, strict=True):
            array[:] = values.T[:, lanes]
        for array, own in self._copies:
            own[...] = array[:, 0]
        self.n = n

    def advance(self, until: int, probe: bool) -> None:
        """Do steps n .. until-1 (at most PROBE_ROWS with the probe on, whose rows start at 0)."""
        lane = self.probe_lane if probe else self._probe_off
        self._kernel(self.n, until, *self._before, lane, self.probe_cost, self.probe_cost_ac, self.probe_sample)
        for lanes, own in self._copies:
            lanes[:] = own[:, np.newaxis]
        self.n = until

    def chips_variation(self) -> dict[str, np.ndarray]:
        """What defines these chips, where drawn: neuron real[count, neurons, 4], amplitude_gain real[count, P]."""
        out = {}
        if len(self.neuron):
            out["neuron"] = self.neuron[:, : self.count].T.reshape(self.count, self.plan.n_neurons, 4)
        gain = self.devices.wires.mismatch if self.devices and self.devices.wires else self.gain
        if len(gain):
            out["amplitude_gain"] = gain[:, : self.count].T
        if self.devices:
            out |= {name: array[:, : self.count].T for name, array in self.devices.drawn.items()}
        return out

    def chips_counts(self) -> dict[str, np.ndarray]:
        """pulses uint32[count, P] (or writes), saturated uint64[count, 3], what wires count; where there are such."""
        counted = self.devices.counts if self.devices else {}
        return {name: np.ascontiguousarray(array[:, : self.count].T) for name, array in counted.items()}

    def finite(self) -> np.ndarray:
        """bool[count]: whether all parameters of a chip are numbers."""
        return np.isfinite(self.theta[:, : self.count]).all(axis=0)

    def chips_theta(self) -> np.ndarray:
        """real[count, P]: what the network sees."""
        return np.ascontiguousarray(self.theta[:, : self.count].T)

    @property
    def quiet(self) -> np.ndarray:
        """theta real[P, lanes] without what fluctuates: what evaluations, which have no noise, see."""
        pair = self.devices.pair if self.devices else None
        return pair.still if pair is not None and pair.moving else self.theta

    def chips_gradient(self) -> np.ndarray:
        """real[count, P]: G at the end of the last window, or so far where no window has ended yet."""
        mgd = self.plan.mgd
        whole = mgd is None or (mgd.mode == "discrete" and self.n >= mgd.tau_theta)
        kept = self.last_gradient if whole else self.gradient
        return np.ascontiguousarray(kept[:, : self.count].T)

    def chips_cost_ac(self) -> np.ndarray:
        """real[count]: C_ac of the last step, clipped as the rule asks; 0 for backpropagation."""
        return self.signal[kernel.C_MINUS, : self.count].copy()

    def evaluate(self, samples: Samples, n_samples: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean cost and accuracy over the first samples, float64[count] each; noise off."""
        plan, lanes = self.plan, self.ids.shape[1]
        widest = max(layer.columns for layer in plan.chip.network.arrays)
        y, work = (np.zeros((n, lanes), plan.dtype) for n in (plan.chip.network.n_out, 2 * widest))
        total, correct = np.zeros((1, lanes)), np.zeros((1, lanes), np.uint32)
        neuron = self.neuron if plan.mgd else self.no_spread
        readout = self.devices.readout.silent() if self.devices else ()
        chunk = max(1, EVALUATE_WORK // (plan.n_params * WIDTH))
        for s0 in range(0, n_samples, chunk):
            s1 = min(s0 + chunk, n_samples)
            evaluate.evaluate(
                s0, s1, plan.cost, plan.layers, neuron, self.quiet, samples.x, samples.targets, samples.smoothed,
                y, work, total, correct, readout,
            )  # fmt: skip
        return total[0, : self.count] / n_samples, correct[0, : self.count] / n_samples

    def true_gradient(self, samples: Samples, ideal: bool) -> np.ndarray:
        """real[count, P]: mean gradient of the cost over all samples, of this chip or of the ideal network."""
        total = np.zeros((1, self.ids.shape[1]), self.plan.dtype)
        grad = np.zeros_like(self.theta)
        neuron = self.no_spread if ideal else self._read_neuron
        backprop.sum_gradient(
            0, len(samples.x), self.plan.cost, self.plan.layers, neuron, self.quiet, samples.x, samples.smoothed,
            self._scratch_x, self._scratch_y, *self._layers, total, grad,
        )  # fmt: skip
        if not ideal:
            grad = self._as_reached(grad)
        return np.ascontiguousarray(grad[:, : self.count].T) / self.plan.dtype.type(len(samples.x))

    def sample_gradient(self, samples: Samples) -> np.ndarray:
        """real[count, P]: gradient of this chip's cost of the samples it was last shown."""
        grad = np.zeros_like(self.theta)
        backprop.gradient_of_shown(
            self.plan.cost, self.plan.layers, self._read_neuron, self.quiet, samples.x, samples.smoothed, self.index,
            self._scratch_x, self._scratch_y, *self._layers, grad,
        )  # fmt: skip
        grad = self._as_reached(grad)
        return np.ascontiguousarray(grad[:, : self.count].T) / self.plan.dtype.type(len(self.index))

    @cached_property
    def _read_neuron(self) -> np.ndarray:
        """The variation of the neurons with that of the columns' converters: beta (gain a + offset - a0)."""
        columns = self.devices.readout.columns if self.devices else self.no_spread
        if not len(columns):
            return self.neuron
        out = np.zeros((2 * len(columns), columns.shape[1]), columns.dtype)
        out[0::4] = out[1::4] = 1
        if len(self.neuron):
            out[:] = self.neuron
        gain, offset = columns[0::2], columns[1::2]
        out[2::4] = (out[2::4] - offset) / gain
        out[1::4] *= gain
        return out

    def _as_reached(self, grad: np.ndarray) -> np.ndarray:
        """The gradient to what a parameter can do, from that to what the network sees: none on open lines, and what
        wires leave of it."""
        if self.faults is not None and len(self.faults.open):
            grad[self.faults.open] = 0
        return self.devices.wires.left_of(grad) if self.devices and self.devices.wires else grad

    @cached_property
    def _scratch_x(self) -> np.ndarray:
        return np.zeros_like(self._x)  # the kernel keeps the current sample in _x between calls

    @cached_property
    def _scratch_y(self) -> np.ndarray:
        return np.zeros_like(self._y)


def lanes_per_block(plan: Plan, threads: int) -> int:
    """Width of a block: what keeps its parameters in a core's cache, narrower where threads would idle.

    No result depends on it.
    """
    if plan.mgd and len(plan.ids) <= ALONE:
        return 1
    row_bytes = plan.n_params * plan.dtype.itemsize
    width = WIDTH
    while width < 128 and 2 * width * row_bytes <= 32_768:
        width *= 2
    share = -(-len(plan.ids) // threads)
    return max(WIDTH, min(width, -(-share // WIDTH) * WIDTH))

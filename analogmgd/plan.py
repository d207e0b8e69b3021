"""From a validated configuration to the arrays and numbers the kernels take."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property

import numpy as np

from .config import Config
from .data import Dataset
from .device_law import about, law
from .errors import ConfigError
from .kernels import table as t
from .kernels.simd import WIDTH
from .plan_checks import (
    check_cost_noise,
    check_data,
    check_element,
    check_faults,
    check_latency,
    check_memory,
    check_pairs,
    check_perturbed,
    check_range,
    check_streams,
)
from .plan_tables import COSTS, Samples, iteration_seconds, layer_table
from .readout import converted, reading
from .rule import MGD
from .wire_block import check_wires, scratch_bytes

PERTURBATIONS = {
    "random": t.RANDOM,
    "walsh": t.WALSH,
    "sequential": t.SEQUENTIAL,
    "gaussian": t.GAUSSIAN,
    "sinusoid": t.SINUSOID,
}
SCHEDULES = {"constant": t.CONSTANT, "cosine": t.COSINE, "inverse": t.INVERSE}
ROWS_FROM = 16384  # parameters from which 16 chips no longer fit a core's cache, even for windows of one step
LONG_WINDOW = 32  # steps from which rows pay for half as many parameters: as many share a reading of the weights


class Plan:
    """All that the blocks of a run share. keep_gradient: of each window; by default where the run records it."""

    def __init__(self, config: Config, data: Dataset, keep_gradient: bool | None = None) -> None:
        check_data(config.chip, data)
        check_faults(config.chip)
        check_latency(config.chip, config.rule)
        check_perturbed(config.chip, config.rule)
        check_pairs(config.chip)
        check_wires(config.chip, config.rule)
        self.config, self.data = config, data
        self.chip, self.rule, self.run = config.chip, config.rule, config.run
        self.dtype = np.dtype(np.float64 if self.run.precision == "double" else np.float32)
        self.n_params = self.chip.network.n_params
        self.n_perturbed = config.rule.perturbed(config.chip.network) if isinstance(config.rule, MGD) else 0
        self.n_neurons = self.chip.network.n_neurons
        recorded = not {"gradient", "angle"}.isdisjoint(self.run.record)
        self.keep_gradient = recorded if keep_gradient is None else keep_gradient
        check_memory(self)
        check_range(self)
        self.ids = np.array(self.run.chip_ids, np.uint64)
        self.layers = layer_table(self.chip)
        self.cost = COSTS[self.chip.network.cost]
        self.ints, self.reals = self._scalars()
        check_streams(self)
        check_cost_noise(self)
        check_element(self)

    @cached_property
    def train(self) -> Samples:
        """The training set."""
        return Samples.of(self.chip, self.data, "train", self.dtype, self.kind == "columns")

    @cached_property
    def test(self) -> Samples:
        """The test set, as the converters of the inputs give it."""
        return self._converted(Samples.of(self.chip, self.data, "test", self.dtype, self.kind == "columns"))

    @cached_property
    def shown(self) -> Samples:
        """The training set, as the converters of the inputs give it."""
        return self._converted(self.train)

    def _converted(self, samples: Samples) -> Samples:
        return replace(samples, x=converted(samples.x, self.reading)) if self.physical else samples

    @property
    def mgd(self) -> MGD | None:
        """The rule, where it is MGD."""
        return self.rule if isinstance(self.rule, MGD) else None

    @property
    def codes(self) -> bool:
        """Whether the perturbation is a sign times one amplitude, so that the kernel needs only its bits."""
        mgd = self.mgd
        return mgd is not None and self.signs and self.exact

    @property
    def exact(self) -> bool:
        """Whether every perturbation has the size it is believed to have."""
        return self.exact_amplitude and not self.wired

    @property
    def exact_amplitude(self) -> bool:
        """Whether it has where it is made."""
        device = self.chip.device
        return device.amplitude_mismatch == 0 and device.exact_element and not self.chip.faults.lines

    @property
    def signs(self) -> bool:
        """Whether the perturbation is a sign of each parameter times a size."""
        mgd = self.mgd
        return mgd is not None and mgd.perturbation in ("random", "walsh") and not (self.nodes or len(self.turns))

    @property
    def nodes(self) -> bool:
        """Whether pre-activations are perturbed, and not parameters."""
        return self.mgd is not None and self.mgd.perturb == "nodes"

    @cached_property
    def turns(self) -> np.ndarray:
        """int64[layers + 1]: where the layers begin among what is perturbed, if in turn; else empty."""
        if self.mgd is None or self.mgd.layers == "together":
            return np.zeros(0, np.int64)
        net = self.chip.network
        if self.nodes:
            sizes = [layer.columns * n for layer, n in zip(net.arrays, net.places, strict=True)]
        else:
            sizes = [layer.n_params for layer in net.arrays]
        return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    @property
    def shaped(self) -> bool:
        """Whether an element that is not exact has perturbations of many sizes to give."""
        many = self.mgd is not None and self.mgd.perturbation in ("gaussian", "sinusoid")
        return many and not self.chip.device.exact_element

    @cached_property
    def biases(self) -> np.ndarray:
        """int64[neurons]: the parameters that are biases."""
        return np.concatenate([np.arange(row[t.BIASES], row[t.BIASES] + row[t.N_OUT]) for row in self.layers])

    @property
    def extras(self) -> bool:
        """Whether there is anything of `hardware.Extras`."""
        device, converters = self.chip.device, self.chip.converters
        numbers = device.digital_biases and (self.law[t.WRITES] != t.WRITES_PLAIN or self.shaped)
        return converters.coloured or converters.errors_vary or device.half_select > 0 or self.shaped or numbers

    @property
    def wired(self) -> bool:
        """Whether wires with resistance stand between the devices and what the network sees."""
        return self.mgd is not None and self.chip.wires is not None and not self.chip.wires.ideal

    @property
    def physical(self) -> bool:
        """Whether devices and converters are more than numbers with noise: `kernels.pulse`, `kernels.readout`."""
        chip = self.chip
        late = chip.delay > 0 or chip.input_tau > 0 or chip.device.write_steps > 0
        plain = chip.device.plain and chip.converters.plain and not chip.faults.any
        return self.mgd is not None and not (plain and not late and not self.shaped and not self.wired)

    @cached_property
    def law(self) -> np.ndarray:
        """How such devices are written, float64[LAW]."""
        out = law(self.chip.device)
        faults = self.chip.faults
        if self.chip.device.stateless and not (faults.devices or faults.lines or faults.endurance or self.wired):
            out[t.WRITES] = t.WRITES_PLAIN
        out[t.STUCK] = faults.devices or faults.lines
        return out

    @property
    def counts(self) -> tuple[str, ...]:
        """What a run counts for each chip, see `trace_schema.COUNTS`."""
        if not self.physical:
            return ()
        device = self.chip.device
        found: tuple[str, ...] = ("saturated",) if self.law[t.WRITES] == t.WRITES_PLAIN else ("saturated", "pulses")
        if device.paired:
            found += ("conductance_plus", "conductance_minus")
            found += ("refreshes",) if device.one_sided else ()
            found += ("theta_still",) if device.fluctuates else ()
            found += ("nu_plus", "nu_minus") if device.drifts else ()
        return (*found, "own", "wire_solves", "wire_error") if self.wired else found

    @cached_property
    def about(self) -> np.ndarray:
        """What such devices do between writes, float64[AGING]."""
        return about(self.chip.device, self.iteration_seconds)

    @property
    def delay(self) -> int:
        """Iterations after which the error signal arrives."""
        return round(self.chip.delay / self.dt)

    @cached_property
    def latency(self) -> np.ndarray:
        """What comes late, float64[LATENCY]."""
        out = np.zeros(t.LATENCY)
        out[t.DELAY], out[t.MATCHED] = self.delay, self.chip.delay_matched
        out[t.WRITE_STEPS] = self.chip.device.write_steps
        out[t.INPUT_SHARE] = 1.0 if self.chip.input_tau == 0 else -math.expm1(-self.dt / self.chip.input_tau)
        return out

    @cached_property
    def reading(self) -> np.ndarray:
        """How columns are read, float64[READOUT]."""
        return reading(self.chip)

    @property
    def iteration_seconds(self) -> float:
        """Emulated time from one iteration to the next, on average over baselines and writes."""
        assert self.mgd is not None
        return iteration_seconds(self.chip, self.mgd)

    @property
    def kind(self) -> str:
        """Which kernels: "ensemble" (a lane is a chip), "rows" (a lane is a weight of a row, one chip at a time) or
        "columns" (networks of pictures with ideal devices, and backpropagation of batches through large ones; a lane
        is a sample or a step, one chip at a time).

        They sum in different orders, so this depends on network and rule alone.
        """
        mgd = self.mgd
        if mgd is None:
            large = self.n_params >= ROWS_FROM and self.rule.batch >= WIDTH
            return "columns" if large or self.chip.network.pictures else "ensemble"
        if self.chip.network.pictures:
            few = self.n_params < ROWS_FROM and mgd.mode == "discrete" and mgd.batch * int(mgd.tau_theta) < WIDTH
            ideal = mgd.mode == "discrete" and self.codes and not self.physical
            return "columns" if ideal and not few else "ensemble"
        if mgd.mode != "discrete" or not self.codes or self.physical:
            return "ensemble"
        least = ROWS_FROM // 2 if mgd.tau_theta >= LONG_WINDOW else ROWS_FROM
        return "rows" if self.n_params >= least else "ensemble"

    @property
    def dt(self) -> float:
        """Time from one step to the next, in units of the time constants: 1 but in analog mode."""
        return self.mgd.dt if self.mgd else 1.0

    def _scalars(self) -> tuple[np.ndarray, np.ndarray]:
        ints, reals = np.zeros(t.INTS, np.int64), np.zeros(t.REALS, np.float64)
        rule, mgd = self.rule, self.mgd
        ints[t.TAU_X] = ints[t.TAU_P] = ints[t.TAU_THETA] = 1
        ints[t.BATCH] = rule.batch
        ints[t.SHUFFLE] = self.run.order == "shuffle"
        ints[t.N_TRAIN] = len(self.data.x_train)
        ints[t.COST] = self.cost
        ints[t.SCHEDULE] = SCHEDULES[rule.schedule]
        ints[t.KEEP_GRADIENT] = self.keep_gradient
        reals[t.ETA], reals[t.MOMENTUM], reals[t.WEIGHT_DECAY] = rule.eta, rule.momentum, rule.weight_decay
        reals[t.SCHEDULE_STEPS] = rule.schedule_steps or self.run.steps * self.dt
        reals[t.SCHEDULE_DECAY] = rule.schedule_decay
        reals[t.DT], reals[t.CLIP], reals[t.AMPLITUDE] = 1.0, math.inf, 1.0
        reals[t.INPUT_SCALE] = 255.0 if self.kind == "columns" and self.data.x_train.dtype == np.uint8 else 1.0
        if mgd is not None:
            ints[t.MODE] = t.ANALOG if mgd.mode == "analog" else t.DISCRETE
            ints[t.TAU_X], ints[t.TAU_P] = mgd.iterations("tau_x"), mgd.iterations("tau_p")
            ints[t.TAU_THETA] = 1 if mgd.mode == "analog" else int(mgd.tau_theta)
            ints[t.BASELINE] = t.ANTITHETIC if mgd.baseline == "antithetic" else t.MEASURED
            ints[t.PERTURBATION] = PERTURBATIONS[mgd.perturbation]
            if mgd.perturbation == "sinusoid":
                if self.n_perturbed > (mgd.band[1] - mgd.band[0]) * 2**26:  # phases are exact up to this period
                    what = "nodes" if self.nodes else "parameters"
                    raise ConfigError(f"rule.band = {list(mgd.band)}: too narrow for {self.n_perturbed} {what}")
                ints[t.SINE_FIRST], ints[t.SINE_PERIOD] = mgd.sine_grid(self.n_perturbed)
            readout = self.chip.converters
            reals[t.AMPLITUDE], reals[t.DT], reals[t.TAU_HP] = mgd.amplitude, mgd.dt, mgd.tau_hp
            reals[t.TAU_THETA_LOWPASS] = mgd.tau_theta
            reals[t.SIGMA_C] = readout.sigma_C
            reals[t.SIGMA_C_BASELINE] = readout.sigma_C if readout.sigma_C_baseline else 0.0
            reals[t.SIGMA_THETA] = self.chip.device.sigma_theta
            reals[t.CLIP] = mgd.clip if mgd.clip is not None else math.inf
        return ints, reals

    @property
    def bytes_per_chip(self) -> int:
        """Memory a chip takes in a run, bytes, without what is recorded."""
        rows = 2 + (self.rule.momentum > 0) + self.keep_gradient
        if self.mgd:
            rows += 0 if self.codes else 1
            rows += 2 * (self.chip.device.amplitude_mismatch > 0) + 2 * (self.mgd.perturbation == "sinusoid")
            device = self.chip.device
            rows += 7 * self.physical + 10 * self.wired  # these are measured, some are only there while it is built
            rows += 20 * (device.model is not None) + 10 * device.paired + 4 * device.ages + 24 * (device.flicker > 0)
        neurons = 8 * self.n_neurons + self.chip.network.n_in + 64
        if self.kind == "rows":
            rows += 4  # the signs of up to 128 steps, a bit each
            neurons *= 32  # columns
        if self.nodes:
            neurons += 5 * self.n_perturbed
        if self.kind == "ensemble" and (self.chip.network.pictures or self.nodes):
            neurons += 3 * self.chip.network.cells
            neurons += 2 * self.chip.network.column_reads * self.chip.device.noisy_reads
        if self.kind == "columns":
            rows += 8 + 16  # signs, and the weights of a layer for each lane
            neurons += 32 * self.chip.network.cells
        shared = scratch_bytes(self.chip) // WIDTH if self.wired else 0
        bits = self.n_params // 8
        return (rows * self.n_params + neurons) * self.dtype.itemsize + bits + shared + self.bytes_of_batch + 200

    @property
    def bytes_of_batch(self) -> int:
        """The part of `bytes_per_chip` that grows with the batch."""
        return self.rule.batch * (4 + (20 * self.dtype.itemsize if self.kind == "columns" else 0))

    def evaluations(self, n: int) -> float:
        """Network evaluations of the first n steps, baselines included, in units of step_time."""
        batch, mgd = self.rule.batch, self.mgd
        if mgd is None or mgd.mode == "analog":
            return batch * n * self.dt
        if mgd.baseline == "antithetic":
            return 2 * batch * n
        tau_x, tau_theta, late = mgd.tau_x, int(mgd.tau_theta), self.chip.device.write_steps

        def times(first: int, every: int) -> int:
            return max(0, -(-(n - first) // every))

        shared = math.gcd(tau_x, tau_theta)
        both = 0
        if late % shared == 0:  # steps at which a sample and a write are new: the first, and then every lcm
            turns = late // shared * pow(tau_x // shared, -1, tau_theta // shared) % (tau_theta // shared)
            both = times(tau_x * turns, math.lcm(tau_x, tau_theta))
        return batch * (n + times(0, tau_x) + times(late, tau_theta) - both)

    def writes(self, n: int) -> int:
        """Parameter updates in the first n steps."""
        mgd = self.mgd
        return n // int(mgd.tau_theta) if mgd and mgd.mode == "discrete" else n

    def seconds(self, n: int) -> float:
        """Emulated hardware time after n steps: evaluations and writes."""
        return self.evaluations(n) * self.chip.step_time + self.writes(n) * self.chip.device.write_time

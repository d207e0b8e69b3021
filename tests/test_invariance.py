"""The same bits for any number of threads, width of blocks, neighbours of a chip, cuts of the run, and records.

One property over every option: `test_every_option_is_drawn` fails when one is added that it does not know.
"""

import math
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from typing import get_args
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import analogmgd as am
from analogmgd import engine, row_block
from analogmgd import plan as plan_module
from analogmgd.config import Quantity
from analogmgd.plan import Plan
from analogmgd.train import settle

pytestmark = pytest.mark.filterwarnings("ignore::analogmgd.errors.AnalogMGDWarning")  # biased rules are drawn too

EVERYTHING = get_args(Quantity)
WIDTHS = [None, 16, 32, 48, 128]


def bits(array):
    """Bit patterns; every NaN alike (which operand's sign it takes is no result)."""
    array = np.asarray(array)
    if array.dtype.kind != "f":
        return array
    return np.where(np.isnan(array), np.array(np.nan, array.dtype), array).view(f"u{array.dtype.itemsize}")


def assert_bits(found, expected, what):
    assert np.array_equal(bits(found), bits(expected)), what


@dataclass(frozen=True)
class Case:
    """A configuration, its data, and whether the start is given; chips and records are left to each run."""

    chip: am.Chip
    rule: am.MGD | am.Backprop
    data: am.Dataset
    given_start: bool
    run: dict

    def start(self, ids):
        """theta0 of these chips, a function of their ids; some zeros of either sign among it."""
        if not self.given_start:
            return None
        rows = [np.random.default_rng(c).uniform(-1, 1, self.chip.network.n_params).round(1) for c in ids]
        return np.array(rows)

    def plan(self, ids, keep_gradient):
        return Plan(settle(self._config(ids), self.data), self.data, keep_gradient=keep_gradient)

    def _config(self, ids, **run):
        return am.Config(self.chip, self.rule, {"name": self.data.name}, am.Run(chips=list(ids), **self.run, **run))

    def play(self, ids, threads=1, lanes=None, **run):
        """Train these chips: Trace."""
        config = self._config(ids, **run)
        return am.run_config(config, self.data, theta0=self.start(ids), threads=threads, lanes=lanes)


unit = st.floats(0, 1, width=16)
small = st.floats(0.001, 0.3)
MGD = {
    "perturbation": st.sampled_from(["random", "walsh", "sequential", "sinusoid", "gaussian"]),
    "amplitude": small,
    "tau_x": st.integers(1, 7),
    "tau_p": st.integers(1, 5),
    "tau_theta": st.integers(1, 9),
    "mode": st.sampled_from(["discrete", "analog"]),
    "dt": st.sampled_from([1.0, 0.25, 0.5]),
    "tau_hp": st.floats(0.5, 50),
    "baseline": st.sampled_from(["measured", "antithetic"]),
    "clip": st.none() | st.floats(1e-4, 0.1),
    "band": st.sampled_from([(0.16, 0.32), (0.05, 0.45)]),
    "perturb": st.just("parameters"),  # nodes, and layers in turn, have their own kind of rule
    "layers": st.just("together"),
}
OPTIMISER = {
    "eta": st.sampled_from([0.0, 0.003, 0.1]),
    "batch": st.sampled_from([1, 1, 2, 5]),
    "momentum": st.sampled_from([0.0, 0.5]),
    "weight_decay": st.sampled_from([0.0, 0.01]),
    "schedule": st.sampled_from(["constant", "cosine", "inverse"]),
    "schedule_steps": st.none() | st.integers(1, 60),
    "schedule_decay": st.floats(0, 1),
}
NETWORK = {
    "layers": st.integers(2, 4).flatmap(lambda n: st.lists(st.integers(1, 9), min_size=n, max_size=n)),  # widths
    "cost": st.sampled_from(["mse", "cross-entropy"]),
    "label_smoothing": st.sampled_from([0.0, 0.1]),
    "init": st.sampled_from(["uniform", "glorot"]),
    "init_scale": st.floats(0.1, 2),
}
CONV2D = {
    "c_out": st.integers(1, 5),
    "kernel": st.tuples(st.integers(1, 3), st.integers(1, 3)),
    "stride": st.integers(1, 2),
    "padding": st.integers(0, 1),
}
LAYER = {"activation": st.sampled_from(["sigmoid", "tanh", "relu", "linear"]), "n_in": None, "n_out": None}
maybe = st.just(0.0) | small
DEVICE = {
    "name": st.just("ideal"),
    "write": st.sampled_from(["ideal", "noisy"]),
    "sigma_theta": small,
    "write_time": maybe,
    "amplitude_mismatch": maybe,
    "digital_biases": st.booleans(),
}
BOUNDS = {
    "w_min": st.sampled_from([-1.5, -0.4]),
    "w_max": st.sampled_from([0.3, 2.0]),
    "w_min_spread": maybe,
    "w_max_spread": maybe,
    "scale": st.sampled_from([1.0, 3.0]),
}
LEVELS = {"levels": st.integers(2, 50), "rounding": st.sampled_from(["stochastic", "nearest", "carried"])}
PULSES = {
    "model": st.sampled_from(["constant", "linear", "soft-bounds", "soft-bounds-reference", "exponential", "power"]),
    "rounding": LEVELS["rounding"],
    "dw_min": st.floats(0.001, 0.05),
    "granularity": st.none() | st.floats(0.001, 0.01),
    "max_pulses": st.sampled_from([1, 5, 100]),
    "up_down": st.sampled_from([0.0, 0.2, -0.3]),
    "dw_spread": maybe,
    "dw_lognormal": st.booleans(),
    "up_down_spread": maybe,
    "c2c": st.just(0.0) | st.floats(0.01, 3),
    "write_noise": st.just(0.0) | st.floats(0.1, 10),
    "joules_per_pulse": maybe,
    "joules_per_read": maybe,
    "seconds_per_pulse": maybe,
    "half_select": maybe,
}
OF_MODEL = {
    "linear": {"slope_up": unit, "slope_down": unit, "slope_spread": maybe, "mean_bound": st.booleans(),
               "c2c_additive": st.booleans()},
    "soft-bounds-reference": {"reference": st.sampled_from([0.0, 0.1, "symmetry"]), "reference_spread": maybe},
    "exponential": {"a_up": st.just(-1.2), "a_down": st.just(-0.1), "g_up": st.floats(1, 4), "g_down": st.floats(1, 4),
                    "z_scale": st.just(-0.5), "z_shift": st.just(-0.5), "c2c_floor": maybe, "c2c_slope": maybe},
    "power": {"g_up": st.floats(0.5, 3), "g_down": st.floats(0.5, 3)},
}  # fmt: skip
AGES = {
    "mapping": st.sampled_from(["one-sided", "symmetric", "reference"]),
    "g_min": maybe,
    "drift_nu": maybe,
    "drift_nu_spread": maybe,
    "drift_t0": st.none() | small,
    "drift_every": st.sampled_from([1, 1, 3]),
    "lifetime": st.just(0.0) | st.floats(0.1, 10),
    "lifetime_spread": maybe,
    "rest": st.sampled_from([0.0, 0.2]),
}
PAIRS = {
    "w_min": st.sampled_from([0.0, 0.05]),
    "w_max": st.sampled_from([0.6, 2.0]),
    "reset": st.sampled_from([0.0, 0.1]),
    "reset_spread": maybe,
    "reset_c2c": maybe,
    "refresh_every": st.sampled_from([0, 1, 3]),
    "refresh_upper": st.sampled_from([0.2, 0.75]),
    "refresh_lower": st.sampled_from([0.0, 0.25]),
}
CONDUCTANCES = {
    "drift_model": st.sampled_from(["power", "pcm"]),
    "full_scale": st.none() | st.floats(0.5, 3),
    "programming_noise": st.none() | st.lists(st.floats(-0.1, 0.1), min_size=1, max_size=4),
}
FLICKER = {
    "flicker": small,
    "flicker_power": unit,
    "flicker_most": small,
    "flicker_read_time": st.floats(1e-3, 1),
    "flicker_slowest": st.none() | st.floats(0.01, 100),
}
TELEGRAPH = {
    "telegraph": st.floats(0.1, 1),
    "telegraph_size": small,
    "telegraph_share": unit,
    "telegraph_high": st.floats(0.01, 10),
    "telegraph_low": st.floats(0.01, 10),
}
ALIKE = {"correlation_length": st.sampled_from([0.5, 2.0]), "correlated_share": st.sampled_from([0.3, 1.0])}
ELEMENT = {
    "perturbation_bits": st.integers(10, 12),
    "perturbation_range": st.floats(0.3, 0.6),
    "perturbation_cubic": st.sampled_from([0.0, -0.5, 3.0]),
}
READS = {"read_noise": maybe, "read_noise_slope": maybe}
FAULTS = {
    "rows": st.sampled_from([0.0, 0.2]),
    "columns": st.sampled_from([0.0, 0.2]),
    "neurons": st.sampled_from([0.0, 0.2]),
    "neuron_output": st.sampled_from([0.0, 0.3]),
    "dead_rows": st.sampled_from([(), ((0, 0),)]),
    "dead_columns": st.sampled_from([(), ((0, 0),)]),
    "dead_neurons": st.sampled_from([(), ((0, 0),)]),
    "endurance": st.none() | st.floats(1, 20),
}
STUCK = {
    "stuck_low": st.sampled_from([0.0, 0.1]),
    "stuck_high": st.sampled_from([0.0, 0.1]),
    "stuck_random": st.sampled_from([0.0, 0.1]),
    "stuck": st.sampled_from([(), ((0, "plus", 0.3),)]),
}
OF_DEVICE = DEVICE, BOUNDS, LEVELS, PULSES, AGES, READS, ALIKE, ELEMENT, PAIRS, CONDUCTANCES, FLICKER, TELEGRAPH
NEURON = {"spread": st.just(0.0) | small}
CONVERTERS = {"sigma_C": st.just(0.0) | small, "sigma_C_baseline": st.booleans()}
BITS = {
    "dac_bits": st.none() | st.integers(1, 9),
    "dac_range": st.sampled_from([(0.0, 1.0), (-0.5, 0.7)]),
    "adc_bits": st.integers(2, 9),
    "adc_range": st.sampled_from([0.5, 4.0]),
    "adc_gain_spread": maybe,
    "adc_offset_spread": maybe,
    "cost_bits": st.none() | st.integers(3, 12),
    "cost_of": st.sampled_from(["change", "cost"]),
    "cost_range": st.sampled_from([0.05, 1.0]),
}
COLOURED = {
    "cost_flicker": maybe,
    "cost_flicker_slowest": st.sampled_from([100.0, 1e6]),
    "cost_drift": maybe,
    "cost_hum": maybe,
    "cost_hum_frequency": st.sampled_from([50.0, 0.7]),
    "cost_telegraph": maybe,
    "cost_telegraph_time": st.floats(0.01, 10),
    "error_gain_spread": maybe,
    "error_offset_spread": maybe,
}
LATE = {
    "delay": st.sampled_from([0, 1, 3]),
    "delay_matched": st.booleans(),
    "input_tau": st.just(0.0) | st.floats(0.5, 5),
}
WIRES = {
    "row": st.sampled_from([0.0, 50.0]),
    "column": st.sampled_from([0.0, 80.0]),
    "source": st.sampled_from([0.0, 100.0]),
    "sense": st.sampled_from([0.0, 30.0]),
    "driven": st.sampled_from(["left", "both"]),
    "sensed": st.sampled_from(["bottom", "both"]),
    "tile": st.sampled_from([None, (3, 4), (64, 2)]),
    "update": st.sampled_from(["correction", "correction", "exact"]),
    "refresh": st.none() | st.integers(1, 7),
    "tolerance": st.sampled_from([0.001, 0.1]),
    "g_unit": st.just(1e-4),
}
OF_CHIP = "wires", "network", "device", "neuron", "converters", "faults"
CHIP = {**dict.fromkeys(OF_CHIP), "step_time": small}
RUN = {
    "steps": st.integers(1, 40),
    "seed": st.integers(0, 2**64 - 1),
    "order": st.sampled_from(["shuffle", "sequential"]),
    "precision": st.sampled_from(["single", "single", "double"]),
    "eval_samples": st.none() | st.integers(1, 6),
    "angle": st.sampled_from(["chip", "ideal", "sample"]),
    # drawn for each run of a case by itself
    "chips": None, "record": None, "record_every": None, "probe_chips": None, "probe_from": None, "probe_until": None,
}  # fmt: skip


def test_every_option_is_drawn():
    assert set(am.MGD.model_fields) == set(MGD) | set(OPTIMISER)
    assert set(am.Backprop.model_fields) == set(OPTIMISER)
    for kind, drawn in (
        (am.Network, {*NETWORK, "input_shape"}), (am.Dense, LAYER), (am.Neuron, NEURON),
        (am.Conv2d, {*CONV2D, "c_in", "activation"}),
        (am.Device, {"write_steps", "one_sided"}.union(*OF_DEVICE, *OF_MODEL.values())),
        (am.Converters, CONVERTERS | BITS | COLOURED), (am.Chip, CHIP | LATE), (am.Run, RUN),
        (am.Faults, set(FAULTS) | set(STUCK) | {"endurance_spread"}), (am.Wires, WIRES),
    ):  # fmt: skip
        assert set(kind.model_fields) == set(drawn), kind
    choices = {f: get_args(am.MGD.model_fields[f].annotation) for f in ("perturbation", "mode", "baseline")}
    assert len(choices["perturbation"]) == 5
    assert len(choices["mode"]) == len(choices["baseline"]) == 2
    assert len(get_args(am.Dense.model_fields["activation"].annotation)) == 4
    assert len(get_args(am.Network.model_fields["cost"].annotation)) == 2
    assert len(EVERYTHING) == 6


@st.composite
def devices(draw):
    """Half of them plain; else within bounds, with levels or pulsed, and some of them aging."""
    values = draw_all(draw, DEVICE)
    if values["write"] == "ideal":
        values["sigma_theta"] = 0.0
    values |= draw_all(draw, ELEMENT) if draw(st.booleans()) else {}
    kind = draw(st.sampled_from(["plain", "plain", "bounds", "levels", "pulses", "pulses", "pulses"]))
    if kind == "plain":
        return am.Device(**values)
    values |= draw_all(draw, BOUNDS)
    if kind != "bounds":
        del values["write"], values["sigma_theta"]
    if kind == "levels":
        values |= draw_all(draw, LEVELS)
    if kind == "pulses":
        values |= draw_all(draw, PULSES)
        values |= draw_all(draw, OF_MODEL.get(values["model"], {}))
    values |= draw_all(draw, ALIKE) if draw(st.booleans()) else {}
    values |= draw_all(draw, AGES) if draw(st.booleans()) else {}
    values |= draw_all(draw, READS) if draw(st.booleans()) else {}
    return am.Device(**with_conductances(draw, kind, values) if draw(st.integers(0, 3)) == 0 else values)


def with_conductances(draw, kind, values):
    """The same with conductances that have a state of their own; pulsed ones may be pairs."""
    one_sided = kind == "pulses" and values["model"] != "soft-bounds-reference" and draw(st.booleans())
    if one_sided:
        values |= {"one_sided": True, **draw_all(draw, PAIRS)}
        for key in ("mapping", "g_min", "read_noise_slope"):
            values.pop(key, None)
    for options in (CONDUCTANCES, FLICKER, TELEGRAPH):
        values |= draw_all(draw, options) if draw(st.booleans()) else {}
    values["lifetime"] = 0.0
    values.pop("half_select", None)
    if values.get("drift_model") == "pcm":
        values |= {"drift_nu": 0.0, "drift_nu_spread": 0.0}
    if not one_sided and values.get("drift_model") != "pcm" and not any(values.get("programming_noise") or ()):
        values |= draw_all(draw, FLICKER)
    return values


def draw_all(draw, options):
    return {name: draw(strategy) for name, strategy in options.items() if strategy is not None}


@st.composite
def optimisers(draw):
    values = draw_all(draw, OPTIMISER)
    if values["schedule"] != "cosine":
        del values["schedule_steps"]
    if values["schedule"] != "inverse":
        del values["schedule_decay"]
    return values


@st.composite
def mgds(draw, **fixed):
    values = {**draw_all(draw, MGD), **fixed}
    if values["layers"] == "in-turn" and values["perturbation"] in ("sequential", "sinusoid"):
        values["perturbation"] = "walsh"
    if values["mode"] == "discrete":
        del values["dt"]
    else:
        values["baseline"] = "measured"
        values["tau_x"] += values["dt"] == 1.0  # more than dt
        values["tau_theta"] *= draw(st.sampled_from([0.3, 1.0, 2.5]))
    one = {"batch": 1} if values["perturb"] == "nodes" else {}
    return am.MGD(**values, **{**draw(optimisers()), **one})


@st.composite
def others(draw):
    """Rules that perturb nodes, or one layer after another."""
    perturb, layers = draw(st.sampled_from([("nodes", "together"), ("nodes", "in-turn"), ("parameters", "in-turn")]))
    return draw(mgds(perturb=perturb, layers=layers))


@st.composite
def networks(draw):
    values = draw_all(draw, NETWORK)
    widths = values.pop("layers")
    if values["cost"] == "cross-entropy":
        widths[-1] = max(2, widths[-1])
    else:
        values["label_smoothing"] = 0.0
    return am.Network([am.Dense(a, b, draw(LAYER["activation"])) for a, b in pairwise(widths)], **values)


@st.composite
def picture_networks(draw):
    """A convolution, or two, with pools before, between or after them, and a dense layer."""
    values = draw_all(draw, NETWORK)
    del values["layers"]
    shape = draw(st.tuples(st.integers(1, 2), st.integers(4, 7), st.integers(4, 7)))
    layers, after = [], shape
    pools = [None, am.MaxPool2d(2), am.AvgPool2d(2), am.MaxPool2d(3, stride=1), am.AvgPool2d(1, stride=2)]
    for q in range(draw(st.integers(1, 2))):
        convolution = draw_all(draw, CONV2D)
        if q:  # whatever is left of the picture, it fits
            convolution |= {"kernel": (1, 2), "padding": 1}
        layers.append(am.Conv2d(after[0], **convolution, activation=draw(LAYER["activation"])))
        after = layers[-1].shape_after(after)
        pool = draw(st.sampled_from(pools))
        if pool and min(after[1:]) >= pool.size:
            layers.append(pool)
            after = pool.shape_after(after)
    n_out = draw(st.integers(1, 3))
    if values["cost"] == "cross-entropy":
        n_out += 1
    else:
        values["label_smoothing"] = 0.0
    layers.append(am.Dense(math.prod(after), n_out, draw(LAYER["activation"])))
    return am.Network(layers, input_shape=shape, **values)


@st.composite
def cases(draw, rules, kinds=networks()):  # noqa: B008
    network = draw(kinds)
    device = draw(devices())
    rule = draw(rules)
    late = draw_all(draw, LATE) if draw(st.booleans()) else {}
    if (
        isinstance(rule, am.MGD)
        and rule.mode == "discrete"
        and rule.tau_theta > 1
        and not (device.ages or device.fluctuates)
    ):
        device = device.replace(write_steps=draw(st.integers(0, int(rule.tau_theta) - 1)))
    if rule.batch > 1:
        late.pop("input_tau", None)
    other = isinstance(rule, am.MGD) and (rule.perturb, rule.layers) != ("parameters", "together")
    if other:
        late.pop("delay", None)
    faults = draw_all(draw, FAULTS) if draw(st.booleans()) else {}
    if faults and device.w_max is not None:
        faults |= draw_all(draw, STUCK)
    if faults.get("endurance"):
        faults["endurance_spread"] = draw(maybe)
    wires = draw_all(draw, WIRES) if draw(st.booleans()) and not device.paired and not other else None
    if wires and wires["update"] == "exact":
        del wires["refresh"]
    chip = am.Chip(
        network,
        device=device,
        wires=am.Wires(**wires) if wires else None,
        faults=am.Faults(**faults),
        **late,
        neuron=am.Neuron(**draw_all(draw, NEURON)),
        converters=am.Converters(
            **draw_all(draw, CONVERTERS | draw(st.sampled_from([{}, BITS, BITS | COLOURED, COLOURED])))
        ),
        **draw_all(draw, CHIP),
    )
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    sets = [
        rng.random((n, w)) for n in draw(st.tuples(*[st.integers(1, 9)] * 2)) for w in (network.n_in, network.n_out)
    ]
    run = draw_all(draw, RUN)
    if wires:  # one precision less to compile: each kernel with a solver in it takes long
        run["precision"] = "double"
    return Case(chip, rule, am.Dataset(*sets), draw(st.booleans()), run)


@st.composite
def chip_ids(draw):
    """One to some 40 ids, so of one to three blocks of 16: neighbours, and some at the ends of what is allowed."""
    first = draw(st.integers(100, 2**32 - 100))
    ids = list(range(first, first + draw(st.sampled_from([1, 5, 16, 17, 33, 39]))))
    ends = [c for c in draw(st.permutations([0, 17, 2**31, 2**32 - 1, 99])) if c not in ids]
    places = list(range(0, len(ids) // 2, 4))
    for place, end in zip(places, ends, strict=False):
        ids[place] = end
    return ids


records = st.lists(st.sampled_from(EVERYTHING), unique=True)


def assert_same(run, whole, what):
    """Rows, probes and the end of `run` are those of `whole`, which has every step, quantity and chip."""
    lanes = [whole.chips.tolist().index(c) for c in run.chips.tolist()]
    assert run.status == whole.status
    assert_bits(run.theta, whole.theta[lanes], what)
    if whole.pulses is not None:
        assert_bits(run.pulses, whole.pulses[lanes], f"{what}: pulses")
        assert_bits(run.saturated, whole.saturated[lanes], f"{what}: saturated")
    if whole.conductances is not None:
        for name in ("conductances", "nu", "refreshes", "theta_still"):
            if getattr(whole, name) is not None:
                assert_bits(getattr(run, name), getattr(whole, name)[lanes], f"{what}: {name}")
    if whole.own is not None:
        for name in ("own", "wire_solves", "wire_error"):
            assert_bits(getattr(run, name), getattr(whole, name)[lanes], f"{what}: {name}")
    assert_bits(run.time, whole.time[run.step], what)
    for name in set(run.record) - {"step", "time"}:
        assert_bits(run.record[name], whole.record[name][run.step][:, lanes], f"{what}: {name}")
    for name in run.chip_arrays:
        if name in whole.chip_arrays:
            assert_bits(run.chip_arrays[name], whole.chip_arrays[name][lanes], f"{what}: {name}")
    if len(run.probe):
        probed = [whole.probe["chip"].tolist().index(c) for c in run.probe["chip"].tolist()]
        for name in ("cost", "cost_ac", "sample"):
            assert_bits(run.probe[name], whole.probe[name][run.probe["step"]][:, probed], f"{what}: probe {name}")


def assert_cuts(case, ids, whole, lanes, cuts, keep):
    """A block driven by hand, cut anywhere: theta, C_ac and G at every cut."""
    plan = case.plan(ids, keep_gradient=keep)
    start = case.start(ids)
    if start is not None:
        start = start.astype(plan.dtype)
    for block in engine.make_blocks(plan, start, 1, lanes):
        of_block = slice(block.first, block.first + block.count)
        for cut in sorted({*cuts, case.run["steps"]}):
            block.advance(cut, probe=False)
            assert_bits(block.chips_theta(), whole.record["theta"][cut, of_block], f"cut at {cut}: theta")
            assert_bits(block.chips_cost_ac(), whole.record["cost_ac"][cut, of_block], f"cut at {cut}: C_ac")
            if keep:
                assert_bits(block.chips_gradient(), whole.record["gradient"][cut, of_block], f"cut at {cut}: G")
            if cut == min(cuts, default=0):
                kept = cut, block.state()
        again = next(b for b in engine.make_blocks(plan, start, 1, lanes) if b.first == block.first)
        if cuts:  # a new block that is given the state goes on as if nothing had happened
            again.load(*kept)
            again.advance(case.run["steps"], probe=False)
            assert_bits(again.chips_theta(), block.chips_theta(), f"resumed at {kept[0]}: theta")
            assert_bits(again.first_bad, block.first_bad, f"resumed at {kept[0]}: first bad")
            for name, values in block.chips_counts().items():
                assert_bits(again.chips_counts()[name], values, f"resumed at {kept[0]}: {name}")


# Each kind of rule has its own examples, so that few of them reach every path of the kernels.
RULES = {
    f"{perturbation} {mode}": mgds(perturbation=perturbation, mode=mode)
    for perturbation in get_args(am.MGD.model_fields["perturbation"].annotation)
    for mode in get_args(am.MGD.model_fields["mode"].annotation)
} | {"backpropagation": optimisers().map(lambda values: am.Backprop(**values))}
PICTURES = {f"{rule} of pictures": RULES[rule] for rule in ("random discrete", "walsh discrete", "backpropagation")}
ROWS = {f"{perturbation} discrete in rows": RULES[f"{perturbation} discrete"] for perturbation in ("random", "walsh")}


@pytest.fixture
def small_nets_in_rows(request):
    """The kernels of large networks, for small ones, with teams of threads; pictures of ideal chips in columns."""
    if not any(word in request.node.name for word in ("in rows", "of pictures")):
        yield
        return
    with (
        mock.patch.object(plan_module, "ROWS_FROM", 0),
        mock.patch.object(row_block, "SHARED_FROM", 0),
        mock.patch.object(row_block, "COLUMNS", 16),
    ):
        yield


ANY = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": [
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
        HealthCheck.function_scoped_fixture,  # sets what holds for all examples
    ],
}


@pytest.mark.usefixtures("small_nets_in_rows")
@pytest.mark.parametrize("rule", RULES | ROWS)
@settings(max_examples=12, **ANY)
@given(data=st.data())
def test_the_bits_depend_on_nothing_but_the_configuration(rule, data):
    check_bits(data, data.draw(cases((RULES | ROWS)[rule]), label="case"))


@pytest.mark.usefixtures("small_nets_in_rows")
@pytest.mark.parametrize("rule", PICTURES)
@settings(max_examples=5, **ANY)  # their kernels take long to compile
@given(data=st.data())
def test_the_bits_of_networks_of_pictures_do_so_too(rule, data):
    check_bits(data, data.draw(cases(PICTURES[rule], picture_networks()), label="case"))


@settings(max_examples=8, **ANY)
@given(data=st.data())
def test_the_bits_of_nodes_and_of_layers_in_turn_do_so_too(data):
    check_bits(data, data.draw(cases(others(), networks() | picture_networks()), label="case"))


def check_bits(data, case):
    """The same bits however a case is run."""
    ids = data.draw(chip_ids(), label="chips")
    steps = case.run["steps"]
    every = data.draw(st.integers(1, steps + 2), label="record_every")
    some = data.draw(st.lists(st.sampled_from(ids), min_size=1, unique=True), label="some chips, in any order")
    one = data.draw(st.sampled_from(ids), label="one chip")
    probed = data.draw(st.lists(st.sampled_from(some), unique=True), label="probed")
    window = {"probe_from": data.draw(st.integers(0, steps), label="from")}
    window["probe_until"] = data.draw(st.none() | st.integers(window["probe_from"] + 1, steps + 6), label="until")
    whole = case.play(ids, record=EVERYTHING, record_every=1, probe_chips=ids)
    assume(whole.status == "complete")

    others = {
        "two threads": {"threads": 2, "lanes": 16, "record": EVERYTHING, "record_every": every},
        "three threads": {"threads": 3, "lanes": 48, "record": data.draw(records), "record_every": steps},
        "wide, nothing recorded": {"lanes": 128, "record": (), "record_every": steps},
        "cost alone": {"lanes": 32, "record": ("cost",), "record_every": every},
    }
    for what, settings_ in others.items():
        assert_same(case.play(ids, **settings_), whole, what)
    lanes = data.draw(st.sampled_from(WIDTHS), label="lanes")
    run = case.play(some, 2, lanes, record=data.draw(records), record_every=every, probe_chips=probed, **window)
    assert_same(run, whole, "some chips in another order")
    group = data.draw(st.sampled_from([1, 2, 5]), label="steps measured together, in rows")
    with mock.patch.object(row_block, "GROUP", group):
        run = case.play([one], threads=3, record=EVERYTHING, record_every=every, probe_chips=[one])
        assert_same(run, whole, "one chip")
    with mock.patch.object(engine, "CHUNK_SECONDS", 0.0):
        run = case.play(ids, 2, 16, record=("accuracy",), record_every=steps, probe_chips=some, **window)
        assert_same(run, whole, "shortest chunks")
    if isinstance(case.rule, am.MGD):
        cuts = data.draw(st.lists(st.integers(1, steps), max_size=5), label="cuts")
        assert_cuts(case, ids, whole, data.draw(st.sampled_from([16, 48])), cuts, data.draw(st.booleans()))


CHOSEN = {
    "plain": (am.MGD(eta=0.5, amplitude=0.05), {}, "single"),
    "with everything": (
        am.MGD(perturbation="gaussian", eta=0.05, amplitude=0.05, tau_x=3, tau_p=2, tau_theta=5, momentum=0.5, batch=2),
        {"device": am.Device(sigma_theta=0.01, amplitude_mismatch=0.1), "neuron": am.Neuron(spread=0.1),
         "converters": am.Converters(sigma_C=0.01, sigma_C_baseline=True)},
        "single",
    ),
    "double": (am.MGD(perturbation="walsh", eta=0.2, baseline="antithetic", tau_theta=4), {}, "double"),
    "analog": (am.MGD(mode="analog", perturbation="sinusoid", eta=0.2, tau_x=9, dt=0.5, tau_theta=7.5), {}, "double"),
    "backpropagation": (am.Backprop(eta=0.5), {}, "single"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHOSEN)
def test_chip_17_alone_and_among_a_thousand(name):
    rule, imperfections, precision = CHOSEN[name]
    chip = am.Chip(am.Network.mlp([2, 3, 1], "tanh"), **imperfections)
    settings_ = {"steps": 300, "seed": 5, "precision": precision, "record": EVERYTHING, "record_every": 70}
    alone = am.train(chip, "parity", rule, chips=[17], probe_chips=[17], **settings_)
    among = am.train(chip, "parity", rule, chips=1000, probe_chips=[17], threads=2, **settings_)
    assert len(among.chips) == 1000
    assert alone.step.tolist() == among.step.tolist() == [0, 70, 140, 210, 280, 300]
    assert_bits(alone.theta[0], among.theta[17], "theta")
    for quantity in EVERYTHING:
        assert_bits(alone.record[quantity][:, 0], among.record[quantity][:, 17], quantity)
    for signal in ("cost", "cost_ac", "sample"):
        assert_bits(alone.probe[signal], among.probe[signal], signal)
    assert len(np.unique(among.theta, axis=0)) == 1000  # each chip is its own


@pytest.mark.parametrize("record", [(), ("gradient",), ("angle",)])
def test_recording_the_gradient_does_not_change_a_sign(record):
    """Zeros of theta included: a glorot start has biases of 0, and a dead relu leaves C_ac = 0."""
    network = am.Network.mlp([2, 4, 1], "relu", init="glorot")
    data = am.Dataset(np.zeros((2, 2)), np.zeros((2, 1)))
    ids = list(range(40))
    start = am.train(network, data, am.MGD(), steps=1, chips=ids, record="theta").record["theta"][0]
    assert (start == 0).any()
    for theta0 in (None, np.where(start == 0, -0.0, start), np.zeros(network.n_params)):
        run = am.train(network, data, am.MGD(eta=0.1), steps=5, chips=ids, theta0=theta0, record=record)
        plain = am.train(network, data, am.MGD(eta=0.1), steps=5, chips=ids, theta0=theta0, record="theta")
        assert_bits(run.theta, plain.theta, "theta")
        assert not (np.signbit(run.theta) & (run.theta == 0)).any()


KERNELS = """
import hashlib, sys, analogmgd as am
for perturbation in sys.argv[1:]:
    run = am.train(am.Network.mlp([2, 2, 1]), "parity", am.MGD(perturbation=perturbation), steps=40, chips=3, threads=1)
    print(perturbation, hashlib.sha256(run.theta.tobytes()).hexdigest())
"""


def test_a_kernel_is_itself_whatever_was_loaded_before_it():
    """Kernels from the disk cache are linked by name: two with one name, and the second runs the first's code."""
    printed = []
    for order in (["random", "gaussian"], ["gaussian"]):
        done = subprocess.run([sys.executable, "-P", "-c", KERNELS, *order], capture_output=True, text=True, check=True)
        printed.append(dict(line.split() for line in done.stdout.splitlines()))
    assert printed[0]["gaussian"] == printed[1]["gaussian"]
    assert printed[0]["random"] != printed[0]["gaussian"]


def brute_force_evaluations(rule, n, late=0):
    """Evaluations of the network in the first n steps, counted one by one (in units of the step time)."""
    if isinstance(rule, am.Backprop):
        return rule.batch * n
    count = 0
    for step in range(n):
        if rule.mode == "analog":
            count += rule.batch * rule.dt
        elif rule.baseline == "antithetic":
            count += 2 * rule.batch
        else:
            sample_changed, theta_changed = step % rule.tau_x == 0, step % rule.tau_theta == late
            count += rule.batch * (1 + (sample_changed or theta_changed))
    return count


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(case=cases(st.one_of(list(RULES.values()))), n=st.integers(0, 200))
def test_emulated_time_counts_every_evaluation_and_write(case, n):
    plan = case.plan([0], keep_gradient=False)
    discrete = isinstance(case.rule, am.MGD) and case.rule.mode == "discrete"
    writes = sum(not discrete or (step + 1) % case.rule.tau_theta == 0 for step in range(n))
    expected = (
        brute_force_evaluations(case.rule, n, case.chip.device.write_steps) * case.chip.step_time
        + writes * case.chip.device.write_time
    )
    assert math.isclose(plan.seconds(n), expected, rel_tol=1e-12)


OTHER_PROCESSOR = """
import hashlib, analogmgd as am
chip = am.Chip(am.Network.mlp([2, 2, 1]), device=am.device("ecram"))
run = am.train(chip, "parity", am.MGD(eta=0.1, tau_theta=3), steps=500, chips=5, seed=3, record_every=50)
print(hashlib.sha256(run.theta.tobytes() + run.cost[:].tobytes()).hexdigest())
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the other types of processors are x86-64's")
def test_the_bits_of_processors_without_fused_multiply_add(tmp_path):
    """A small part of bench/cpu_types.py."""
    narrow = {"NUMBA_CPU_NAME": "x86-64-v2", "NUMBA_CPU_FEATURES": "+sse4.1,+sse4.2,+popcnt,+ssse3",
              "NUMBA_CACHE_DIR": str(tmp_path), "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4"}  # fmt: skip
    found = {
        subprocess.run(
            [sys.executable, "-c", OTHER_PROCESSOR],
            env={**os.environ, **more},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for more in ({}, narrow)
    }
    assert len(found) == 1
    assert len(found.pop()) == 65

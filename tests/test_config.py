"""Configuration: to TOML and back, one clear line for every bad value, and the forms of the Python interface."""

import dataclasses
import re
import subprocess
import sys
import tomllib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import analogmgd as am
from analogmgd.config import read_toml
from analogmgd.device_law import granularity
from analogmgd.device_needs import idle
from analogmgd.devices import NAMES

NET = am.Network.mlp([2, 2, 1])
NAN, INF = float("nan"), float("inf")

# --- to TOML and back ------------------------------------------------------------------------------------------

positive = st.floats(min_value=5e-324, max_value=1e308, allow_nan=False)
non_negative = st.just(0.0) | positive
fraction = st.floats(0, 1, exclude_max=True)
count = st.integers(1, 2**62)
text = st.text(st.characters(codec="utf-8"), max_size=20)
activation = st.sampled_from(["sigmoid", "tanh", "relu", "linear"])
quantities = st.lists(
    st.sampled_from(["cost", "accuracy", "theta", "gradient", "cost_ac", "angle"]), unique=True, max_size=6
)
ids = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=6, unique=True)


@st.composite
def networks(draw):
    widths = draw(st.lists(st.integers(1, 1_000_000), min_size=2, max_size=5))
    cost = draw(st.sampled_from(["mse", "cross-entropy"] if widths[-1] > 1 else ["mse"]))
    options = {"cost": cost, "init": draw(st.sampled_from(["uniform", "glorot"]))}
    if cost == "cross-entropy":
        options["label_smoothing"] = draw(fraction)
    if draw(st.booleans()):
        options["init_scale"] = draw(positive)
    if draw(st.booleans()):
        return am.Network.mlp(widths, draw(activation), draw(st.none() | activation), **options)
    return am.Network([am.Dense(a, b, draw(activation)) for a, b in pairwise(widths)], **options)


@st.composite
def rules(draw):
    common = {
        "eta": draw(non_negative),
        "batch": draw(count),
        "momentum": draw(fraction),
        "weight_decay": draw(non_negative),
        "schedule": draw(st.sampled_from(["constant", "cosine", "inverse"])),
    }
    if common["schedule"] == "cosine":
        common["schedule_steps"] = draw(st.none() | count)
    elif common["schedule"] == "inverse":
        common["schedule_decay"] = draw(non_negative)
    if draw(st.booleans()):
        return am.Backprop(**common)
    low, high = sorted(draw(st.lists(st.floats(1e-9, 0.249), min_size=2, max_size=2, unique=True)))
    own = {
        "perturbation": draw(st.sampled_from(["random", "walsh", "sequential", "sinusoid", "gaussian"])),
        "amplitude": draw(positive),
        "clip": draw(st.none() | positive),
        "tau_hp": draw(positive),
        "band": (low, high),
    }
    if draw(st.booleans()):
        own |= {
            "tau_x": draw(count),
            "tau_p": draw(count),
            "baseline": draw(st.sampled_from(["measured", "antithetic"])),
        }
        own["tau_theta"] = draw(st.integers(1, 2**53))
    else:
        dt, k = draw(st.sampled_from([(0.1, 1), (0.25, 1), (1.0, 1), (2.0, 2)]))
        own |= {"mode": "analog", "dt": dt, "tau_theta": draw(st.floats(1e-6, 1e6))}
        own |= {"tau_x": 2 * k * draw(st.integers(1, 1000)), "tau_p": k * draw(st.integers(1, 1000))}
    return am.MGD(**own, **common)


@st.composite
def configs(draw):
    sigma = draw(non_negative)
    device = {"write": "noisy"} if sigma or draw(st.booleans()) else {}
    chip = am.Chip(
        draw(networks()),
        device=am.Device(
            sigma_theta=sigma, amplitude_mismatch=draw(non_negative), write_time=draw(non_negative), **device
        ),
        neuron=am.Neuron(spread=draw(non_negative)),
        converters=am.Converters(sigma_C=draw(non_negative), sigma_C_baseline=draw(st.booleans())),
        step_time=draw(positive | st.sampled_from(["chip-in-the-loop", "mem-compute", "superconducting"])),
    )
    chips = draw(st.integers(1, 2**32) | ids)
    some = chips if isinstance(chips, list) else range(min(chips, 3))
    run = am.Run(
        steps=draw(count),
        chips=chips,
        seed=draw(st.integers(0, 2**64 - 1)),
        order=draw(st.sampled_from(["shuffle", "sequential"])),
        precision=draw(st.sampled_from(["single", "double"])),
        record=draw(quantities),
        record_every=draw(st.none() | count),
        eval_samples=draw(st.none() | count),
        angle=draw(st.sampled_from(["chip", "ideal", "sample"])),
        probe_chips=draw(st.lists(st.sampled_from(some), unique=True, max_size=3)),
        probe_from=draw(st.integers(0, 1000)),
        probe_until=draw(st.none() | st.integers(1001, 2**62)),
    )
    options = draw(st.dictionaries(text.filter(lambda key: key != "name"), st.integers() | text | st.booleans()))
    return am.Config(chip, draw(rules()), {"name": draw(text), **options}, run)


@settings(
    max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(config=configs())
def test_toml_and_back(config):
    written = config.to_toml()
    assert am.Config.from_toml(written) == config
    assert am.Config.from_toml(written).to_toml() == written
    assert am.Config.from_tables(tomllib.loads(written)) == config


def test_what_is_left_out_takes_its_default():
    config = am.Config.from_toml('[network]\nsizes = [2, 2, 1]\n[data]\nname = "parity"\n')
    assert config == am.Config(am.Chip(NET), am.MGD(), {"name": "parity"}, am.Run())
    assert am.Config.from_toml(config.to_toml()) == config


def test_the_two_forms_of_a_network_in_toml():
    rows = """
    data = {name = "parity"}
    [[network.layers]]
    n_in = 2
    n_out = 3
    activation = "relu"
    [[network.layers]]
    type = "dense"
    n_in = 3
    n_out = 1
    """
    network = am.Config.from_toml(rows).chip.network
    assert network == am.Network([am.Dense(2, 3, "relu"), am.Dense(3, 1)])
    short = 'network = {sizes = [2, 3, 1], activation = "relu", output = "sigmoid"}\ndata = {name = "x"}'
    assert am.Config.from_toml(short).chip.network == network


def test_numbers_as_toml_writes_them():
    """Whole floats where counts are wanted, whole numbers where reals are; eval_samples = 0 is all."""
    config = am.Config.from_toml(
        'data = {name = "x"}\nnetwork = {sizes = [2, 1]}\nrun = {steps = 1e6, eval_samples = 0, chips = 4.0}\n'
        "rule = {eta = 1, band = [0.1, 0.2]}"
    )
    assert (config.run.steps, config.run.chips, config.run.eval_samples) == (1_000_000, 4, None)
    assert isinstance(config.run.steps, int)
    assert isinstance(config.run.chips, int)
    assert isinstance(config.rule.eta, float)


# --- one clear line for every bad value ------------------------------------------------------------------------

# table, key, bad values, and what the line must say after naming table and key
COUNT = [0, -1, 1.5, True, "3", [1], NAN, INF]
RATE = [-1, -1e-9, True, "0.1", NAN, INF, [0.1]]
BAD = [
    ("run", "steps", [*COUNT, 2**63], "at least 1|whole number|finite|at most"),
    ("run", "chips", [*COUNT[:-3], NAN, INF, 2**32 + 1, {"a": 1}], "whole number"),
    ("run", "chips", [[-1], [2**32], ["a"], [True], [1.5], [[1]], [NAN]], "chip ids must be whole numbers"),
    ("run", "chips", [[]], "at least one"),
    ("run", "chips", [[3, 1, 3]], "once"),
    ("run", "seed", [-1, 2**64, True, 1.5, "1", NAN], "at least 0|less than|whole number|finite"),
    ("run", "order", ["random", "Shuffle", 3, True], 'one of "shuffle", "sequential"'),
    ("run", "precision", ["half", 32], 'one of "single", "double"'),
    ("run", "record", ["loss", ["cost", "loss"], [5]], 'one of "cost", "accuracy", "theta"'),
    ("run", "record", [5, True, {"cost": 1}], "name or a list of names"),
    ("run", "record", [["cost", "theta", "cost"]], "once"),
    ("run", "record_every", COUNT, "at least 1|whole number|finite"),
    ("run", "eval_samples", [-1, 1.5, True, False, "3"], "at least 1|whole number"),
    ("run", "angle", ["device", 1], 'one of "chip", "ideal", "sample"'),
    ("run", "probe_chips", [[64], [2, 99]], "not among the chips"),
    ("run", "probe_chips", [[-1], ["a"], [True], [1.5], 5], "at least 0|whole number|list"),
    ("run", "probe_from", [-1, 0.5, "a"], "at least 0|whole number"),
    ("run", "probe_until", [0, -1, "a"], "at least 1|whole number"),
    ("rule", "type", ["sgd", 3, ["mgd"]], 'one of "mgd", "backprop"'),
    ("rule", "perturbation", ["walhs", 1], 'one of "random", "walsh", "sequential", "sinusoid", "gaussian"'),
    ("rule", "mode", ["digital"], 'one of "discrete", "analog"'),
    ("rule", "baseline", ["none"], 'one of "measured", "antithetic"'),
    ("rule", "schedule", ["linear"], 'one of "constant", "cosine", "inverse"'),
    ("rule", "tau_x", COUNT, "at least 1|whole number|finite"),
    ("rule", "tau_p", COUNT, "at least 1|whole number|finite"),
    ("rule", "tau_theta", [0, -1, 1.5, True, "3", NAN, INF], "greater than 0|whole number|number|finite"),
    ("rule", "amplitude", [0, 0.0, *RATE], "greater than 0|must be a number|finite"),
    ("rule", "tau_hp", [0, *RATE], "greater than 0|must be a number|finite"),
    ("rule", "dt", [0, *RATE], "greater than 0|must be a number|finite"),
    ("rule", "dt", [0.5], 'needs mode = "analog"'),
    ("rule", "clip", [0, *RATE], "greater than 0|must be a number|finite"),
    ("rule", "eta", RATE, "at least 0|must be a number|finite"),
    ("rule", "weight_decay", RATE, "at least 0|must be a number|finite"),
    ("rule", "momentum", [1, 1.5, *RATE], "at least 0|less than 1|must be a number|finite"),
    ("rule", "batch", COUNT, "at least 1|whole number|finite"),
    ("rule", "schedule_steps", [10], 'needs schedule = "cosine"'),
    ("rule", "schedule_steps", COUNT, "at least 1|whole number|finite"),
    ("rule", "schedule_decay", [0.1], 'needs schedule = "inverse"'),
    ("rule", "schedule_decay", RATE, "at least 0|must be a number|finite"),
    ("rule", "band", [[0.3, 0.2], [0.2, 0.2]], "below the second"),
    ("rule", "band", [[0, 0.2], [0.2, 0.5], [0.2], ["a", 0.3], [NAN, 0.3], 0.3, [0.1, 0.2, 0.3]],
     "greater than 0|less than 0.5|required|number|list|finite|too long|at most 2"),
    ("network", "sizes", [[2], [], "2-2-1", 5, {"a": 1}], "list of at least 2 widths"),
    ("network", "sizes", [[2, 0], [-2, 1], [2, 2.5], [2, "a"], [2, True], [2, [1]], [10**7, 1]], "every width"),
    ("network", "activation", ["sigmoi", 3, ["relu"]], 'one of "sigmoid", "tanh", "relu", "linear"'),
    ("network", "output", ["sotfmax", 3], 'one of "sigmoid", "tanh", "relu", "linear"'),
    ("network", "cost", ["l1", 1], 'one of "mse", "cross-entropy"'),
    ("network", "label_smoothing", [0.1], 'needs cost = "cross-entropy"'),
    ("network", "label_smoothing", [1, 1.5, *RATE], "at least 0|less than 1|must be a number|finite"),
    ("network", "cost", ["cross-entropy"], "at least 2 outputs"),
    ("network", "init", ["zeros", 0], 'one of "uniform", "glorot"'),
    ("network", "init_scale", [0, *RATE], "greater than 0|must be a number|finite"),
    ("device", "name", ["reram", 5, ["ideal"], True], "unknown device.*known: ideal"),
    ("device", "write", ["analog", 1], 'one of "ideal", "noisy", "quantised", "pulsed"'),
    ("device", "write", ["pulsed"], "needs model, dw_min, w_min and w_max"),
    ("device", "write", ["quantised"], "needs levels, w_min and w_max"),
    ("device", "model", ["linear", "constant"], "needs model, dw_min, w_min and w_max"),
    ("device", "model", ["cubic", 3], 'one of "constant", "linear"'),
    ("device", "levels", [0, 1, -1, 2.5, "8", True, 2**30], "at least 2|whole number|at most"),
    ("device", "levels", [16], "needs levels, w_min and w_max"),
    ("device", "w_min", [-1.0], "give both or neither"),
    ("device", "w_max", [True, "1", NAN, INF], "must be a number|finite"),
    ("device", "rounding", ["up", 1], 'one of "stochastic", "nearest", "carried"'),
    ("device", "max_pulses", [0, -1, 1.5, "3", True, 10_001], "at least 1|whole number|at most 10000"),
    ("device", "dw_min", [0, *RATE], "greater than 0|must be a number|finite"),
    ("device", "write_noise", [1.0], "counts in dw_min"),
    ("device", "write_noise", RATE, "at least 0|must be a number|finite"),
    ("device", "c2c", RATE, "at least 0|must be a number|finite"),
    ("device", "dw_lognormal", [1, "yes"], "true or false"),
    ("device", "granularity", [0, *RATE], "greater than 0|must be a number|finite"),
    ("device", "mapping", ["pair", 2], 'one of "one-sided", "symmetric", "reference"'),
    ("device", "g_min", RATE, "at least 0|must be a number|finite"),
    ("device", "drift_nu", RATE, "at least 0|must be a number|finite"),
    ("device", "drift_t0", [0, *RATE], "greater than 0|must be a number|finite"),
    ("device", "drift_every", COUNT, "at least 1|whole number|finite|at most"),
    ("device", "lifetime", RATE, "at least 0|must be a number|finite"),
    ("device", "reference", [True, "zero", NAN], 'number|"symmetry"|finite'),
    ("device", "scale", [0, *RATE], "greater than 0|must be a number|finite"),
    ("device", "sigma_theta", RATE, "at least 0|must be a number|finite"),
    ("device", "write_time", RATE, "at least 0|must be a number|finite"),
    ("device", "amplitude_mismatch", RATE, "at least 0|must be a number|finite"),
    ("neuron", "spread", RATE, "at least 0|must be a number|finite"),
    ("device", "read_noise", RATE, "at least 0|must be a number|finite"),
    ("converters", "dac_bits", [0, 25, -1, 1.5, "8", True], "at least 1|at most 24|whole number"),
    ("converters", "adc_bits", [0, 25, -1, 1.5, "8", True], "at least 1|at most 24|whole number"),
    ("converters", "cost_bits", [0, 25], "at least 1|at most 24"),
    ("converters", "dac_range", [[1.0, 0.0], [0.5, 0.5]], "the first must be less"),
    ("converters", "dac_range", [[1.0], ["a", 1.0], 3, [0.0, NAN]], "required|number|must be a list|finite"),
    ("converters", "adc_range", [0, *RATE], "greater than 0|must be a number|finite"),
    ("converters", "adc_gain_spread", [0.1], "needs adc_bits"),
    ("converters", "cost_of", ["C", 1], 'one of "change", "cost"'),
    ("converters", "sigma_C", RATE, "at least 0|must be a number|finite"),
    ("converters", "sigma_C_baseline", [1, 0, "yes", 1.0], "true or false"),
    ("chip", "step_time", [0, -1, True, "1 ms", "cmos", NAN, INF], "greater than 0|seconds or one of|number|finite"),
    ("chip", "delay", [-1, True, "3", NAN, 100_001], "at least 0|must be a number|finite|at most"),
    ("chip", "delay_matched", [1, "yes"], "true or false"),
    ("chip", "input_tau", RATE, "at least 0|must be a number|finite"),
    ("device", "write_steps", [-1, 1.5, "3", True], "at least 0|whole number"),
    ("data", "name", [5, True, ["parity"]], "must be the name"),
]  # fmt: skip
BAD_DEVICES = [
    ({"w_min": 1.0, "w_max": -1.0}, "w_min = 1: must be less than w_max = -1"),
    ({"model": "linear", "dw_min": 0.1, "w_min": 0.0, "w_max": 1.0}, "needs w_min < 0 < w_max"),
    ({"model": "constant", "dw_min": 0.1, "w_min": -1.0, "w_max": 1.0, "reference": 0.1}, "soft-bounds-reference"),
    ({"model": "power", "dw_min": 0.1, "w_min": -1.0, "w_max": 1.0, "c2c_additive": True}, "c2c_additive"),
    ({"model": "exponential", "dw_min": 0.1, "w_min": -1.0, "w_max": 1.0, "a_up": 2.0, "a_down": 2.0}, "no step"),
    ({"levels": 8, "w_min": -1.0, "w_max": 1.0, "write": "noisy"}, 'levels = 8 needs write = "quantised"'),
    ({"drift_nu": 0.1, "mapping": "symmetric"}, "need w_min and w_max"),
    ({"sigma_theta": 0.1, "levels": 8, "w_min": -1.0, "w_max": 1.0}, 'sigma_theta = 0.1 needs write = "noisy"'),
    ({"name": "reram-es", "w_max": -2.0}, "w_min = -1: must be less than w_max = -2"),
    # what would do nothing
    ({"reference": 0.25}, 'reference = 0.25 needs model = "soft-bounds-reference"'),
    ({"reference": "symmetry", "levels": 8, "w_min": -1.0, "w_max": 1.0}, "reference = 'symmetry' needs model"),
    ({"dw_spread": 0.3}, "dw_spread = 0.3 needs model"),
    ({"c2c": 0.3, "levels": 8, "w_min": -1.0, "w_max": 1.0}, "c2c = 0.3 needs model"),
    ({"granularity": 0.1, "levels": 8, "w_min": -1.0, "w_max": 1.0}, "granularity = 0.1 needs model"),
    ({"max_pulses": 3}, "max_pulses = 3 needs model"),
    ({"rounding": "carried"}, "rounding = 'carried' needs model or levels"),
    ({"w_max_spread": 0.3}, "w_max_spread = 0.3 needs w_min and w_max"),
    ({"name": "ecram", "g_up": 2.0}, 'g_up = 2.0 needs model = "exponential" or "power"'),
    ({"name": "reram-es", "slope_up": 0.1}, 'slope_up = 0.1 needs model = "linear"'),
]
RESTING = [  # switched off to see what they do, or brought along by a preset
    am.device("ecram", model="constant"),
    am.device("ecram", model="constant").replace(c2c=0.5),
    *[am.device(name, write="ideal") for name in NAMES if not am.device(name).one_sided],
    am.device("reram-es", c2c=0.5, write="quantised", levels=9),
    am.device("ecram", granularity=0.1, write="quantised", levels=9),
    am.device("capacitor", lifetime=0.0),
    am.Device(model="linear", dw_min=0.1, w_min=-1, w_max=1, slope_up=0.2, c2c=0.1, write="ideal"),
    am.Device(drift_t0=20.0, lifetime_spread=0.1, rest=0.1, drift_every=3),
]
CASES = [(table, key, value, allowed) for table, key, values, allowed in BAD for value in values]


def one_line(call):
    """The text of the ConfigError that `call` must raise."""
    with pytest.raises(am.ConfigError) as caught:
        call()
    message = str(caught.value)
    assert message.strip() == message
    assert message
    assert len(message.splitlines()) == 1
    assert "pydantic" not in message
    assert "constrained" not in message
    assert len(message) < 400
    return message


def tables(**changes):
    """Tables of a configuration that is all right but for these."""
    good = {"network": {"sizes": [2, 2, 1]}, "data": {"name": "parity"}}
    return {name: {**good.get(name, {}), **changes.get(name, {})} for name in {**good, **changes}}


@pytest.mark.parametrize(("settings", "wanted"), BAD_DEVICES)
def test_devices_that_cannot_be(settings, wanted):
    assert wanted in one_line(lambda: am.Config.from_tables(tables(device=settings)))


@pytest.mark.parametrize("device", RESTING, ids=range(len(RESTING)))
def test_what_rests_is_no_error(device):
    """Also read back, and copied."""
    config = am.Config(am.Chip(NET, device=device), am.MGD(), {"name": "parity"}, am.Run())
    assert am.Config.from_toml(config.to_toml()).chip.device == device == device.replace()


def test_granularity_is_of_pulses_only():
    """Levels are equally far apart, whatever a pulse would stand for."""
    assert granularity(am.device("ecram", granularity=0.1, write="quantised", levels=9)) == pytest.approx(2 / 8)


@pytest.mark.parametrize(("table", "key", "value", "allowed"), CASES)
def test_a_bad_value_gives_one_line(table, key, value, allowed):
    """It names the table and the key, the value, and what is allowed."""
    message = one_line(lambda: am.Config.from_tables(tables(**{table: {key: value}})))
    assert re.match(rf"{table}(\.|: ){key}\b|{table}: .*\b{key}\b", message), message
    assert re.search(allowed, message), message
    if not isinstance(value, list | dict):
        assert str(value) in message, message


@pytest.mark.parametrize(
    ("table", "key", "meant"),
    [
        ("run", "stepss", "steps"), ("run", "Chips", "chips"), ("run", "record_evry", "record_every"),
        ("rule", "etaa", "eta"), ("rule", "tau_t", "tau_p|tau_theta|tau_x"), ("rule", "perturbations", "perturbation"),
        ("network", "size", "sizes"), ("network", "activaton", "activation"), ("network", "ouput", "output"),
        ("device", "nam", "name"), ("device", "sigma_thetta", "sigma_theta"), ("neuron", "spred", "spread"),
        ("converters", "sigma_c", "sigma_C"), ("chip", "steptime", "step_time"),
    ],
)  # fmt: skip
def test_an_unknown_key_is_named_with_a_guess(table, key, meant):
    message = one_line(lambda: am.Config.from_tables(tables(**{table: {key: 1}})))
    assert re.match(rf"{table}\.{key}: unknown key \(did you mean ({meant})\?\); allowed: ", message), message


@pytest.mark.parametrize("table", ["run", "rule", "network", "device", "neuron", "converters", "chip"])
@pytest.mark.parametrize("key", ["self", "cls", "values", "settings", "table", "model_config", "network", "unknown"])
def test_any_other_key_is_unknown(table, key):
    message = one_line(lambda: am.Config.from_tables(tables(**{table: {key: 1}})))
    assert message.startswith(f"{table}.{key}: unknown key")
    assert "allowed: " in message


def test_tables():
    from_tables = am.Config.from_tables
    assert one_line(lambda: from_tables(tables(rules={}))).startswith("rules: unknown table (did you mean rule?)")
    assert one_line(lambda: from_tables({**tables(), "rule": 5})) == "rule = 5: must be a table, as in [rule]"
    assert one_line(lambda: from_tables({})).startswith("data.name is required")
    assert one_line(lambda: from_tables({"data": {"name": "parity"}})).startswith("network: needs sizes")
    both = {"sizes": [2, 1], "layers": [{"n_in": 2, "n_out": 1}]}
    assert one_line(lambda: from_tables(tables(network=both))) == "network: give sizes or layers, not both"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"n_in": 2}, "needs n_in and n_out"),
        ({"n_in": 2, "n_out": 0}, "network.layers[0].n_out = 0: must be at least 1"),
        (
            {"type": "conv2d", "c_in": 1, "c_out": 1, "kernel": [3, 3, 3]},
            "[0].kernel = [3, 3, 3]: must be one",
        ),
        ({"type": "flatten", "n": 1}, "[0].n: unknown key; allowed: none"),
        ({"n_in": 2, "n_out": 1, "activation": "x"}, "activation = 'x': must be one of"),
        ({"n_in": 2, "n_out": 1, "kernel": 3}, "kernel: unknown key"),
        ({"type": ["conv2d"], "c_in": 1, "c_out": 1}, "type = ['conv2d']: must be one of dense, conv2d"),
        ({"type": "conv", "n_in": 2, "n_out": 1}, "type = 'conv': must be one of dense, conv2d"),
        (5, "array of tables"),
    ],
)
def test_layers_of_a_network(row, said):
    assert said in one_line(lambda: am.Config.from_tables({"network": {"layers": [row]}, "data": {"name": "x"}}))


def test_pictures_that_do_not_fit():
    conv = am.Conv2d(1, 1, (7, 2))
    for shape, said in (
        ((1, 6, 9), "the window of conv7x2:1 is 7 high, and what comes before gives 6"),
        ((1, 9, 1), "the window of conv7x2:1 is 2 wide, and what comes before gives 1"),
        ((9, 9), "network.input_shape = (9, 9): must be channels, height and width"),
    ):
        assert said in one_line(lambda s=shape: am.Network([conv, am.Dense(1, 1)], input_shape=s))
    assert "network.layers = []: must have at least 1" in one_line(lambda: am.Network([]))
    net = am.Network([am.AvgPool2d(1), am.Dense(36, 2)], input_shape=(6, 6, 1))
    x, y = np.zeros((3, 6, 6)), np.eye(2)[[0, 1, 0]]
    for images in (x, x[:, None]):
        said = one_line(lambda images=images: am.train(net, am.Dataset(images, y), am.MGD(), steps=1))
        assert "network.input_shape = [6, 6, 1]: must be [1, 6, 6], channels, height and width" in said
    assert am.train(net, am.Dataset(x.reshape(3, 36), y), am.MGD(), steps=1).status == "complete"


def test_text_that_is_not_toml(tmp_path):
    assert "not valid TOML" in one_line(lambda: am.Config.from_toml("run = ["))
    assert "not valid TOML" in one_line(lambda: am.Config.from_toml("[run]\nsteps = 1\nsteps = 2"))
    assert "cannot be read" in one_line(lambda: read_toml(tmp_path / "absent.toml"))
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    assert "not text in UTF-8" in one_line(lambda: read_toml(tmp_path / "binary.toml"))
    (tmp_path / "bad.toml").write_text("a = ")
    assert str(tmp_path / "bad.toml") in one_line(lambda: read_toml(tmp_path / "bad.toml"))


@pytest.mark.parametrize(
    ("settings_", "said"),
    [
        ({}, "tau_x = 1 must be greater than dt = 1"),
        ({"tau_x": 2, "dt": 2.0}, "tau_x = 2 must be greater than dt = 2"),
        ({"tau_x": 5, "dt": 0.3}, "tau_x = 5 must be a multiple of dt = 0.3"),
        ({"tau_x": 6, "tau_p": 1, "dt": 2.0}, "tau_p = 1 must be a multiple of dt = 2"),
        ({"tau_x": 5, "dt": 1e-310}, "tau_x = 5 must be a multiple"),
        ({"tau_x": 5, "dt": 1e-30}, "tau_x = 5 must be a multiple"),
        ({"tau_x": 5, "baseline": "antithetic"}, 'baseline = "antithetic" needs mode = "discrete"'),
        ({"tau_x": 6, "tau_p": 2, "dt": 2.0, "perturbation": "sinusoid"}, "upper end times dt = 2 must be below 1/2"),
    ],
)
def test_analog_mode(settings_, said):
    assert said in one_line(lambda: am.MGD(mode="analog", **settings_))


def test_analog_mode_takes_any_tau_theta():
    assert am.MGD(mode="analog", tau_x=5, tau_theta=0.3, dt=0.1).iterations("tau_x") == 50


@pytest.mark.parametrize(
    ("theta0", "said"),
    [
        (np.zeros(8), "theta0 has shape (8,); expected (9,) or (2, 9)"),
        (np.zeros((3, 9)), "theta0 has shape (3, 9)"),
        (np.zeros((2, 9, 1)), "theta0 has shape (2, 9, 1)"),
        (0.5, "theta0 has shape ()"),
        ([], "theta0 has shape (0,)"),
        ([0.0] * 8 + [NAN], "theta0[0, 8] = nan: every value must be finite"),
        (np.where(np.arange(18).reshape(2, 9) == 12, -INF, 0), "theta0[1, 3] = -inf"),
        ([1e300] * 9, "theta0[0, 0] = inf"),  # beyond single precision
        (["a"] * 9, "theta0 is not an array of numbers"),
        (["1"] * 9, "theta0 is not an array of numbers"),
        ([None] * 9, "theta0 is not an array of numbers"),
        (np.zeros(9, complex), "theta0 is not an array of numbers"),
        ([[1.0] * 9, [1.0] * 8], "theta0 is not an array of numbers"),
        ({"a": 1}, "theta0 is not an array of numbers"),
        ("zeros", "theta0 is not an array of numbers"),
    ],
)
def test_theta0(theta0, said):
    assert said in one_line(lambda: am.train(NET, "parity", am.MGD(), steps=1, chips=2, theta0=theta0))


def test_gradient_names_theta():
    assert one_line(lambda: am.gradient(NET, "parity", np.zeros(8))).startswith("theta has shape (8,)")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"chips": 2**32}, "run.chips = 4294967296: would need .* GB of memory and .* are free: use at most"),
        ({"steps": 2**62}, "run.steps = 4611686018427387904: must be at most"),
        ({"chips": [1, 1]}, "every chip id may be given once"),
        ({"chips": 0}, "run.chips = 0"),
        ({"probe_chips": [5]}, "chip 5 is not among the chips of the run"),
        ({"record": "loss"}, "must be one of"),
        ({"record": None}, "name or a list of names"),
        ({"threads": 0}, "threads = 0: must be a whole number from 1 to 4096"),
        ({"threads": 2.5}, "threads = 2.5: must be a whole number"),
        ({"threads": "x"}, "threads = x: must be a whole number"),
        ({"threads": [1]}, "threads = .*must be a whole number"),
        ({"threads": INF}, "threads = inf: must be a whole number"),
        ({"data": 5}, "data is a int; expected a Dataset or the name of one"),
        ({"data": "pairty"}, "unknown data set 'pairty' .did you mean 'parity'"),
        ({"chip": 5}, "chip is a int; expected a Chip or a Network"),
        ({"chip": am.Network.mlp([3, 1])}, "network takes 3 inputs but data set parity has 2"),
        ({"chip": am.Network.mlp([2, 2])}, "network has 2 outputs but data set parity has 1"),
        ({"rule": "mgd"}, "rule is a str; expected MGD or Backprop"),
        ({"rule": am.MGD(perturbation="sinusoid", band=(1e-300, 2e-300))}, "rule.band = .*too narrow for 9 param"),
        ({"rule": am.MGD(batch=2**62)}, "of memory"),
    ],
)
def test_train_refuses(arguments, said):
    """Before any step, whatever it is."""
    positional = [arguments.pop(name, good) for name, good in (("chip", NET), ("data", "parity"), ("rule", am.MGD()))]
    message = one_line(lambda: am.train(*positional, **{"steps": 1, "chips": 2, **arguments}))
    assert re.search(said, message), message


# --- the Python interface --------------------------------------------------------------------------------------


def test_positional_forms():
    assert am.Dense(2, 3) == am.Dense(n_in=2, n_out=3, activation="sigmoid")
    assert am.Dense(2, 3, "relu").activation == "relu"
    assert am.Network([am.Dense(2, 3), am.Dense(3, 1)]) == am.Network.mlp([2, 3, 1]) == am.Network.mlp((2, 3, 1))
    assert am.Network.mlp([49, 4, 4], activation="sigmoid").n_params == 220
    assert str(am.Network.mlp([49, 4, 4])) == "49-4-4"
    hidden, last = am.Network.mlp([2, 3, 2], "tanh", cost="cross-entropy").layers
    assert (hidden.activation, last.activation) == ("tanh", "linear")
    assert am.Chip(NET).network is NET
    assert am.Chip(NET, device="ideal").device == am.device("ideal") == am.Device()
    assert am.Chip(NET, step_time="superconducting").step_time == 200e-12
    rule = am.MGD(perturbation="random", amplitude=0.01, eta=0.1, tau_x=1, tau_p=1, tau_theta=1, mode="discrete")
    assert rule == am.MGD()
    assert am.Device(sigma_theta=0.1).write == am.device("ideal", sigma_theta=0.1).write == "noisy"
    assert am.Backprop(eta=0.5).batch == 1


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: am.Dense(0, 2), "n_in = 0: must be at least 1"),
        (lambda: am.Dense("2", 2), "n_in = '2': must be a whole number"),
        (lambda: am.Dense(2, 2, "softmax"), "activation = 'softmax': must be one of"),
        (lambda: am.Dense(2, 2, bits=8), "bits: unknown key"),
        (lambda: am.Network([]), r"network.layers = \[\]"),
        (lambda: am.Network([5]), r"network.layers.0 = 5"),
        (lambda: am.Network([am.Dense(2, 3), am.Dense(2, 1)]), "gives 3 numbers, and the next has n_in = 2"),
        (lambda: am.Network.mlp([2, 1], cost="cross-entropy"), "at least 2 outputs"),
        (lambda: am.Chip(5), "chip.network = 5"),
        (lambda: am.Chip(NET, device=5), "chip.device = 5"),
        (lambda: am.Chip(NET, device="reram"), "unknown device.*; known: ideal"),
        (lambda: am.Chip(NET, temperature=300), "chip.temperature: unknown key"),
        (lambda: am.MGD(eta=None), "rule.eta = None: must be a number"),
        (lambda: am.MGD(tau=3), r"rule.tau: unknown key"),
        (lambda: am.Device(write="ideal", sigma_theta=0.1), 'sigma_theta = 0.1 needs write = "noisy"'),
    ],
)  # fmt: skip
def test_python_forms_refuse(call, said):
    assert re.search(said, one_line(call))


def test_numpy_numbers_are_numbers():
    rule = am.MGD(tau_x=np.int64(5), eta=np.float64(0.25), amplitude=np.float32(0.5))
    assert (rule.tau_x, rule.eta, rule.amplitude) == (5, 0.25, 0.5)
    # all 64 bits of a seed: through a float the last ones would be lost
    assert am.Run(seed=np.int64(2**60 + 1)).seed == 2**60 + 1
    assert am.Run(seed=np.uint64(2**64 - 1)).seed == 2**64 - 1
    assert am.Run(chips=np.int32(3)).chips == 3
    assert am.Run(chips=np.array([5, 3])).chips == am.Run(chips=[5, 3]).chips == am.Run(chips=(5.0, 3)).chips == (5, 3)
    assert am.Run(chips=range(3, 6)).chip_ids == (3, 4, 5)
    assert am.Run(chips=3).chip_ids == range(3)
    assert am.Run(record="cost").record == ("cost",)


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (am.Dense(2, 1), "n_in"), (NET, "layers"), (am.Chip(NET), "network"), (am.MGD(), "eta"), (am.Backprop(), "eta"),
        (am.Neuron(), "spread"), (am.Device(), "write"), (am.Converters(), "sigma_C"), (am.Run(), "steps"),
    ],
)  # fmt: skip
def test_frozen(thing, name):
    with pytest.raises(ValidationError, match="frozen"):
        setattr(thing, name, getattr(thing, name))
    assert hash(thing) == hash(thing.replace())
    assert thing.replace() == thing


def test_a_config_is_frozen():
    config = am.Config(am.Chip(NET), am.MGD(), {"name": "parity"}, am.Run())
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.run = am.Run(steps=3)


def test_replace_checks_again():
    assert am.MGD(eta=1).replace(eta=2) == am.MGD(eta=2)
    assert "rule.eta" in one_line(lambda: am.MGD().replace(eta=-1))
    assert "unknown key" in one_line(lambda: am.MGD().replace(etaa=1))


def test_import_is_light():
    """Neither the compiler nor the plots are loaded before they are needed."""
    heavy = ["numba", "llvmlite", "matplotlib", "h5py", "pyarrow", "scipy"]
    code = f"import sys, analogmgd; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_are_there():
    for name in am.__all__:
        assert getattr(am, name) is not None
        assert name in dir(am)
    with pytest.raises(AttributeError, match="no attribute 'Resistor'"):
        _ = am.Resistor


WIDE_MARGIN = {
    "input_shape": [1024, 1, 1],
    "layers": [
        {"type": "conv2d", "c_in": 1024, "c_out": 1, "kernel": 1, "padding": 1024},
        {"type": "maxpool2d", "size": 1024},
        {"n_in": 4, "n_out": 2},
    ],
}


@pytest.mark.parametrize(
    ("tables", "parts"),
    [
        ({"rule": {"amplitude": 1e-40}}, ["rule.amplitude", "single"]),
        ({"rule": {"eta": 1e300}}, ["rule.eta = 1e+300", "single"]),
        ({"converters": {"sigma_C": 1e300}}, ["converters.sigma_C", "single"]),
        ({"rule": {"batch": 10**12}, "run": {"chips": 1}}, ["rule.batch = 1000000000000", "GB"]),
        ({"network": {"sizes": [2, 10**6, 10**6, 1]}, "run": {"chips": 1}}, ["network = 2-1000000-1000000-1", "GB"]),
        ({"run": {"chips": 4 * 10**9}}, ["run.chips = 4000000000", "GB", "at most"]),
        ({"network": WIDE_MARGIN, "run": {"chips": 1}}, ["network = 1024x1x1-conv", "GB"]),
        (
            {"network": WIDE_MARGIN, "run": {"chips": 1}, "rule": {"type": "backprop"}},
            ["network = 1024x1x1-conv", "GB"],
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_taken(tables, parts):
    base = {"network": {"sizes": [2, 2, 1]}, "data": {"name": "parity"}}
    config = am.Config.from_tables(base | tables)
    data = am.load_dataset("parity")
    if config.chip.network.pictures:
        data = am.Dataset(np.zeros((2, 1024)), np.eye(2))
    message = one_line(lambda: am.run_config(config, data))
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    "chosen",
    [
        am.device("capacitor", lifetime=0.0),
        am.device("reram-es", write="ideal", w_min=None, w_max=None, write_noise=0.0),
        am.device("ecram", c2c=0.0, granularity=0.01),
        am.device("ecram", write="ideal", model="constant", w_min=None, w_max=None),
    ],
)
def test_a_device_that_differs_from_its_preset_survives_toml(chosen):
    config = am.Config(am.Chip(NET, device=chosen), am.MGD(), {"name": "parity"}, am.Run())
    again = am.Config.from_toml(config.to_toml()).chip.device.model_dump()
    says_nothing = {"name", *(idle(chosen) if again["name"] != chosen.name else ())}
    assert {k: v for k, v in again.items() if k not in says_nothing} == {
        k: v for k, v in chosen.model_dump().items() if k not in says_nothing
    }

"""The preset devices: complete, plausible, and with the figures of their sources."""

import math
from dataclasses import fields

import numpy as np
import pytest

import analogmgd as am
from analogmgd.device_pair import full_scale
from analogmgd.device_presets import DEFAULTS, PRESETS
from oracle import retention
from oracle.device import DeviceSettings, granularity, nominal, response, steps, symmetry_point, without_noise

PULSED = [name for name, preset in PRESETS.items() if preset["model"] != "ideal"]
ORACLE_KEYS = {f.name for f in fields(DeviceSettings)}


def settings(name):
    keys = {**DEFAULTS, **PRESETS[name]}
    return DeviceSettings(**{k: v for k, v in keys.items() if k in ORACLE_KEYS})


def test_names_and_keys():
    assert list(PRESETS) == [
        "ideal", "reram-es", "reram-sb", "reram-array-om", "reram-array-hfo2", "capacitor", "ecram", "ecram-mo",
        "gokmen-vlasov", "idealized", "pcm", "pcm-programmed", "rram-milo", "rram-wan",
    ]  # fmt: skip
    for preset in PRESETS.values():
        assert set(preset) <= set(DEFAULTS) | {"source"}
        assert preset["source"]
        assert all(
            type(v) is type(DEFAULTS[k]) or k in ("reference", "drift_t0", "programming_noise")
            for k, v in preset.items()
            if k != "source"
        )
    assert {f.name: f.default for f in fields(DeviceSettings)}.keys() <= DEFAULTS.keys()
    assert all(DEFAULTS[f.name] == f.default for f in fields(DeviceSettings) if f.name != "model")


def test_presets_cannot_be_changed_by_accident():
    with pytest.raises(TypeError):
        PRESETS["ecram"]["dw_min"] = 1.0


# Granularity, nominal up step and down step at w = 0 (pcm: at mid-range), all in units of dw_min; symmetry point.
FIGURES = {
    "reram-es": (1.28618, 1.09723, 1.47514, -0.21723),
    "reram-sb": (1.0, 1.0, 1.0, 0.0),
    "reram-array-om": (1.0, 1.0, 1.0, 0.0),
    "reram-array-hfo2": (1.0, 1.0, 1.0, 0.0),
    "capacitor": (1.0, 1.0, 1.0, 0.0),
    "ecram": (1.0, 1.0, 1.0, 0.0),
    "ecram-mo": (1.0, 1.0, 1.0, 0.0),
    "gokmen-vlasov": (1.0, 1.0, 1.0, math.nan),
    "idealized": (1.0, 1.0, 1.0, math.nan),
    "pcm": (3.23558, 3.23558, 28.22787, 0.50005),
}


@pytest.mark.parametrize("name", PULSED)
def test_steps_granularity_and_symmetry_point(name):
    s = settings(name)
    dev = nominal(s)
    middle = np.array([(s.w_max + s.w_min) / 2 if s.one_sided else 0.0])
    step_up, step_down = steps(s, dev, middle)
    found = granularity(s) / s.dw_min, step_up[0] / s.dw_min, step_down[0] / s.dw_min, symmetry_point(s)
    assert found == pytest.approx(FIGURES[name], abs=6e-6, nan_ok=True)
    if not math.isnan(found[3]):
        assert s.w_min < found[3] < s.w_max


def pulses_to(s, target):
    """Up pulses from w_min to the target, nominal device, on paper (exponential: its differential equation)."""
    if s.model == "constant":
        return (target - s.w_min) / s.dw_min
    if s.model == "exponential":
        rate = 2 * s.z_scale * s.g_up / (s.w_max - s.w_min)  # y = 1 - A exp(rate w)
        A = s.a_up * math.exp(s.g_up * s.z_shift)
        return math.log((math.exp(-rate * target) - A) / (math.exp(-rate * s.w_min) - A)) / (-rate * s.dw_min)
    slope = (s.slope_up if s.model == "linear" else 1.0) / s.w_max  # geometric, towards 1/slope
    return math.log((1 - slope * target) / (1 - slope * s.w_min)) / math.log1p(-s.dw_min * slope)


@pytest.mark.parametrize(("name", "expected"), [
    ("reram-es", 1106),
    ("reram-sb", 1438),
    ("reram-array-om", 23),
    ("reram-array-hfo2", 4),
    ("capacitor", 358),
    ("ecram", 909),
    ("ecram-mo", 6795),
    ("gokmen-vlasov", 1125),
    ("idealized", 9000),
    ("pcm", 57),
])  # fmt: skip
def test_up_pulses_across_nine_tenths_of_the_range(name, expected):
    s = without_noise(settings(name))
    target = s.w_min + 0.9 * (s.w_max - s.w_min)
    w = response(s, nominal(s), 10_000, 0)[:, 0]
    assert round(pulses_to(s, target)) == expected
    assert abs(np.argmax(w >= target) - pulses_to(s, target)) < 1.001


@pytest.mark.parametrize("name", PULSED)
def test_spreads_leave_most_devices_usable(name):
    """Bounds on their side of 0 and steps forward for at least 95 % of the devices of every preset."""
    p = {**DEFAULTS, **PRESETS[name]}
    assert max(p["w_max_spread"], p["w_min_spread"]) <= 0.608  # 1/1.645
    assert p["dw_lognormal"] or math.hypot(p["dw_spread"], p["up_down_spread"]) <= 0.608
    assert p["w_min"] <= 0 <= p["w_max"]
    assert p["dw_min"] > 0


def test_errors_of_programmed_devices():
    """As functions of the conductance in microsiemens, against the fits."""
    for name, full, sigma, at in (
        ("pcm-programmed", 25.0, retention.pcm_programming_sigma, [0.0, 3.0, 25.0]),
        ("rram-milo", 225.0, retention.rram_milo_sigma, [50.0, 100.0, 225.0]),
        ("rram-wan", 39.26, retention.rram_wan_sigma, [0.0, 10.0, 39.26]),
    ):
        p, g = PRESETS[name], np.array(at)
        found = full * sum(c * (g / full) ** k for k, c in enumerate(p["programming_noise"]))
        np.testing.assert_allclose(found, sigma(g), rtol=1e-4)
    milo = am.device("rram-milo")
    assert full_scale(milo) == pytest.approx(225 / 175)
    assert milo.g_min / full_scale(milo) == pytest.approx(50 / 225)

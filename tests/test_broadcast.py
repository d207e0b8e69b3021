"""Gain and offset of the error signal of each layer's array, against the equations."""

import numpy as np
import pytest
from scipy import stats

import analogmgd as am
from oracle import network as onet
from oracle import philox
from oracle import rule as orule

pytestmark = pytest.mark.filterwarnings("ignore::analogmgd.errors.AnalogMGDWarning")  # biased rules are run too
SEED, CHIPS, CONVERTER = 5, [0, 7], 13
SIZES = (5, 7, 6, 3)  # layers start at parameters 42, 90: within a word of signs
NET = am.Network.mlp(list(SIZES), "tanh")
ORACLE = onet.Net(SIZES, ("tanh",) * 3)
P = NET.n_params
RNG = np.random.default_rng(9)
DATA = am.Dataset(*[RNG.random((6, n)) for n in (5, 3, 5, 3)], name="own")
SPREAD = {"error_gain_spread": 0.3, "error_offset_spread": 0.01}
RULES = {
    f"{kind}, {name}": {"perturbation": kind} | rule
    for kind in ("random", "walsh", "sequential", "gaussian", "sinusoid")
    for name, rule in {
        "every step": {},
        "windows": {"tau_theta": 4, "tau_x": 3, "momentum": 0.5, "weight_decay": 0.01},
        "analog": {"mode": "analog", "tau_x": 4, "tau_p": 2, "dt": 0.5, "tau_theta": 2.5, "clip": 0.01},
    }.items()
}


def layers_of(chip, seed=SEED):
    """(gain, offset) of each parameter: normals 0 and 1 of layer 0, then layer 1, .. of a block of 8."""
    xi = philox.normals(seed, chip, CONVERTER, 2**40 * 8, 6).reshape(3, 2)
    sizes = [(a + 1) * b for a, b in ORACLE.layers]
    return np.repeat(1 + 0.3 * xi[:, 0], sizes), np.repeat(0.01 * xi[:, 1], sizes)


@pytest.mark.parametrize("mismatch", [0.0, 0.1])
@pytest.mark.parametrize("rule", RULES)
def test_every_step_is_that_of_the_equations(rule, mismatch):
    values = {"amplitude": 0.02, "eta": 0.01, "tau_hp": 10.0, "band": (0.16, 0.32)} | RULES[rule]
    chip_ = am.Chip(NET, converters=am.Converters(**SPREAD), device=am.Device(amplitude_mismatch=mismatch))
    run = am.train(
        chip_, DATA, am.MGD(**values), steps=80, chips=CHIPS, seed=SEED, precision="double",
        record=("theta", "gradient"), record_every=1,
    )  # fmt: skip
    for lane, chip in enumerate(CHIPS):
        gain, offset = layers_of(chip)
        parts = orule.Parts(error=lambda C_ac, gain=gain, offset=offset: C_ac * gain + offset)
        settings = orule.Settings(seed=SEED, chip=chip, init_scale=0.5, mismatch=mismatch, **values)
        history = orule.simulate(ORACLE, DATA.x_train, DATA.y_train, settings, 80, parts=parts)
        np.testing.assert_allclose(run.record["theta"][:, lane], history.theta, rtol=1e-9, atol=1e-11)
        scale = np.abs(history.gradient).max()
        np.testing.assert_allclose(run.record["gradient"][:, lane], history.gradient, atol=1e-9 * scale)


def test_offset_arrives_before_a_late_error_does():
    """The receiver's own offset is there at once; the error of the first step comes `delay` later, with the gain."""
    chip = am.Chip(NET, converters=am.Converters(**SPREAD), delay=5, delay_matched=False)
    run = am.train(
        chip, DATA, am.MGD(eta=0.0, amplitude=0.05, tau_p=100), steps=12, chips=[3], seed=SEED, precision="double",
        record="gradient", record_every=1, probe_chips=[3],
    )  # fmt: skip
    gain, offset = layers_of(3)
    c_ac, G = np.concatenate([np.zeros(5), run.probe["cost_ac"][:, 0]]), run.record["gradient"][1:, 0]
    np.testing.assert_allclose(np.abs(G) * 0.05, np.abs(c_ac[:12, np.newaxis] * gain + offset), rtol=1e-9)


def test_spreads_are_as_asked():
    """2000 chips, 3 layers: Kolmogorov-Smirnov at 1e-3, and none correlated at 99.9 %."""
    chip = am.Chip(NET, converters=am.Converters(**SPREAD))
    run = am.train(chip, DATA, am.MGD(), steps=1, chips=2000, seed=1, record=())
    drawn = run.chip_arrays["error"]
    z = np.concatenate([(drawn[:, ::2] - 1) / 0.3, drawn[:, 1::2] / 0.01], axis=1)
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-3
    worst = np.abs(np.corrcoef(z.T) - np.eye(6)).max()
    assert worst < stats.norm.ppf(1 - 0.0005 / 15) / np.sqrt(2000)


@pytest.mark.parametrize("name", ["error_gain_spread", "error_offset_spread"])
def test_what_cannot_be(name):
    with pytest.raises(am.ConfigError, match=f"converters.{name} = -0.1: must be at least 0"):
        am.Converters(**{name: -0.1})

"""Chips that are left alone: the formulas, and what the loop itself makes of idle steps."""

import numpy as np
import pytest

import analogmgd as am
from oracle import retention

NET = am.Network.mlp([4, 3, 2], "tanh")
DATA = am.Dataset(*[np.random.default_rng(5).random((9, n)) for n in (4, 2, 4, 2)], name="own")
STEP = 1e-3


def chip(**device):
    return am.Chip(NET, device=am.Device(**device), neuron=am.Neuron(spread=0.1), step_time=STEP / 2)


def train(of, steps=50, **settings):
    rule = am.MGD(eta=settings.pop("eta", 0.1), amplitude=0.05, baseline="antithetic")
    return am.train(of, DATA, rule, steps=steps, chips=70, seed=3, precision="double", eval_samples=None, **settings)


def test_drift_is_the_formula():
    run = train(chip(drift_nu=0.08, drift_nu_spread=0.02, drift_t0=20.0))
    seconds = [0.0, 1.0, 1e3, 1e7]
    found = am.age(run, seconds, DATA)
    assert found.accuracy.shape == found.cost.shape == (4, 70)
    plus, minus = run.chip_arrays["drift_nu_plus"], run.chip_arrays["drift_nu_minus"]
    for theta, t in zip(found.theta, seconds, strict=True):
        up, down = np.maximum(run.theta, 0), np.maximum(-run.theta, 0)
        wanted = retention.drift(up, t, 0, 20.0, plus) - retention.drift(down, t, 0, 20.0, minus)
        np.testing.assert_allclose(theta, wanted, rtol=1e-12)
    np.testing.assert_allclose(found.cost[0], run.cost[-1], rtol=1e-12)
    assert (found.cost[3] != found.cost[0]).all()


@pytest.mark.parametrize(
    "device",
    [
        {"drift_nu": 0.1, "g_min": 0.1, "drift_nu_spread": 0.05},
        {"drift_nu": 0.1, "g_min": 0.1, "mapping": "symmetric", "w_min": -2.0, "w_max": 2.0},
        {"drift_nu": 0.1, "mapping": "reference", "w_min": -2.0, "w_max": 2.0, "drift_nu_spread": 0.02},
        {"lifetime": 0.05, "lifetime_spread": 0.2, "rest": 0.1},
    ],
)
def test_the_same_as_idle_steps_in_the_loop(device):
    """Chips that start at what was found and do 41 steps that ask for nothing have aged by 40 of them."""
    run = train(chip(**device))
    idle = train(chip(**device), steps=41, eta=0.0, theta0=run.theta)
    np.testing.assert_allclose(am.age(run, [40 * STEP], DATA).theta[0], idle.theta, rtol=1e-9, atol=1e-12)


def test_refuses():
    aging = train(chip(drift_nu=0.1))
    with pytest.raises(am.ConfigError, match="neither drifts nor leaks"):
        am.age(train(chip()), [1.0], DATA)
    with pytest.raises(am.ConfigError, match="backpropagation"):
        am.age(am.train(chip(drift_nu=0.1), DATA, am.Backprop(), steps=2), [1.0], DATA)
    with pytest.raises(am.ConfigError, match="times >= 0"):
        am.age(aging, [-1.0], DATA)
    with pytest.raises(am.ConfigError, match="not the one the run was trained on"):
        am.age(aging, [1.0], am.Dataset(DATA.x_train + 1, DATA.y_train, DATA.x_test, DATA.y_test, name="own"))

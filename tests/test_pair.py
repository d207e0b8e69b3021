"""Pairs of one-sided devices, errors of programming, drift and noise that depend on the conductance, in the loop."""

import numpy as np
import pytest
from pair_replay import SEED, STEP, Replay

import analogmgd as am

NET = am.Network.mlp([2, 3, 1])
P = NET.n_params
PCM_ERRORS = am.device("pcm-programmed").programming_noise
LINEAR = {
    "model": "linear",
    "dw_min": 0.01,
    "w_min": -1.2,
    "w_max": 1.0,
    "slope_up": 0.2,
    "slope_down": 0.1,
    "c2c": 0.3,
}
FLICKER = {"flicker": 0.05, "flicker_slowest": 0.05}
TELEGRAPH = {
    "telegraph": 0.5,
    "telegraph_size": 0.02,
    "telegraph_share": 0.1,
    "telegraph_high": 0.02,
    "telegraph_low": 0.05,
}
SETTINGS = {
    "pcm": {"name": "pcm"},
    "every third write": {"name": "pcm", "refresh_every": 3, "rounding": "carried", "max_pulses": 5},
    "never": {"name": "pcm", "refresh_every": 0, "rounding": "nearest"},
    "soft bounds": {"one_sided": True, "model": "soft-bounds", "dw_min": 0.05, "w_min": 0, "w_max": 1, "dw_spread": 0.2,
                    "w_max_spread": 0.1, "write_noise": 2.0, "refresh_upper": 0.5, "refresh_lower": 0.3, "reset": 0.05},
    "pcm with all": {"name": "pcm", "drift_model": "pcm", "programming_noise": PCM_ERRORS, **FLICKER, **TELEGRAPH,
                     "write_noise": 1.0},
    "pcm, drift of one exponent": {"name": "pcm", "drift_nu": 0.05, "drift_nu_spread": 0.02, "drift_every": 4},
    "mapped": {**LINEAR, "programming_noise": (0.01, 0.05, -0.03, 0.02), "drift_model": "pcm", "drift_every": 3, **FLICKER},
    "mapped, symmetric": {**LINEAR, "mapping": "symmetric", "g_min": 0.1, "programming_noise": PCM_ERRORS, **TELEGRAPH,
                          "write_noise": 2.0},
    "mapped, to a reference": {**LINEAR, "mapping": "reference", "drift_model": "pcm", "full_scale": 3.0, "drift_t0": 2.0},
    "with a symmetry point": {"name": "reram-array-om", "programming_noise": (0.02,), "drift_model": "pcm"},
    "written to what is asked": {"name": "pcm-programmed", "flicker_slowest": 0.3},
    "rram-milo": {"name": "rram-milo"},
    "rram-wan": {"name": "rram-wan"},
}  # fmt: skip


def device_of(name):
    settings = dict(SETTINGS[name])
    return am.device(settings.pop("name", "ideal"), **settings)


def trained(device, steps, chips=(3, 20), eta=0.3, **more):
    theta0 = np.random.default_rng(1).uniform(-0.5, 0.5, P).round(2)
    rule = am.MGD(eta=eta, amplitude=0.05, baseline="antithetic")
    more = {"record": ("theta", "gradient"), "record_every": 1, "precision": "double", **more}
    chip = am.Chip(NET, device=device, step_time=STEP / 2)
    return theta0, am.train(chip, "parity", rule, steps=steps, chips=list(chips), seed=SEED, theta0=theta0, **more)


@pytest.mark.parametrize("name", SETTINGS)
def test_every_write_is_that_of_the_oracle(name):
    """200 writes of two chips, refreshes included; what is kept at the end, too."""
    device, steps, eta = device_of(name), 200, 0.5 if "pcm" in name else 0.1
    theta0, run = trained(device, steps, eta=eta)
    for lane, chip in enumerate([3, 20]):
        theta, G = run.record["theta"][:, lane], run.record["gradient"][:, lane]
        replay = Replay(device, chip, theta0, steps)
        np.testing.assert_allclose(theta[0], replay.seen(), rtol=1e-9, atol=1e-11)
        for n in range(steps):
            replay.hold(n)
            replay.write(n, -eta * G[n + 1])
            np.testing.assert_allclose(theta[n + 1], replay.seen(n), rtol=1e-9, atol=1e-11, err_msg=f"step {n}")
        np.testing.assert_allclose(run.conductances[lane].T, replay.now, rtol=1e-9, atol=1e-11)
        if device.drifts:
            np.testing.assert_allclose(run.nu[lane].T, replay.nu, rtol=1e-9)
        if device.one_sided:
            assert np.array_equal(run.pulses[lane], replay.counted)
            assert np.array_equal(run.refreshes[lane], replay.refreshes)
            assert (replay.refreshes.sum() > 10) == (device.refresh_every > 0)
        if device.fluctuates:
            np.testing.assert_allclose(run.theta_still[lane], replay.seen(), rtol=1e-9, atol=1e-11)

"""Drift and leak in the loop against the formulas, device by device and step by step."""

import numpy as np
import pytest
from scipy import stats
from test_pulsed import BLOCKS, NET, SEED, Draws, P, populated, settings_of

import analogmgd as am
from analogmgd.chip import TIME_SCALES
from oracle import device as oracle
from oracle import philox, retention

BASE = {"model": "linear", "dw_min": 0.01, "w_min": -1.2, "w_max": 1.0, "slope_up": 0.2, "slope_down": 0.1, "c2c": 0.3}
STEP = 1e-3  # seconds of an iteration: antithetic, at half a millisecond an evaluation
AGES = {
    "drift": {"drift_nu": 0.05, "drift_nu_spread": 0.02},
    "drift of both, by 2 s": {"drift_nu": 0.1, "g_min": 0.1, "drift_t0": 2.0, "drift_nu_spread": 0.05},
    "symmetric": {"drift_nu": 0.1, "g_min": 0.1, "mapping": "symmetric", "drift_nu_spread": 0.05},
    "reference": {"drift_nu": 0.1, "g_min": 0.2, "mapping": "reference", "drift_nu_spread": 0.05},
    "leak": {"lifetime": 0.03, "lifetime_spread": 0.2, "rest": 0.1},
    "leak and drift": {"lifetime": 0.05, "drift_nu": 0.1, "drift_nu_spread": 0.01},
    "write noise is kept": {"drift_nu": 0.2, "write_noise": 3.0},
}


def normals_of(chip, k):
    return philox.normals(SEED, chip, 10, 4 * k * BLOCKS, P)


def aged(device, chip, w, since, step=STEP):
    """w after `since` steps, each device with what it drew: drift of the pair, then leak."""
    t = since * step
    if device.drift_nu:
        largest = max(-device.w_min, device.w_max)
        pair = {
            "one-sided": (device.g_min + np.maximum(w, 0), device.g_min + np.maximum(-w, 0)),
            "symmetric": (device.g_min + largest / 2 + w / 2, device.g_min + largest / 2 - w / 2),
            "reference": (device.g_min + largest + w, device.g_min + largest),
        }[device.mapping]
        nus = (np.abs(device.drift_nu + device.drift_nu_spread * normals_of(chip, k)) for k in (7, 8))
        plus, minus = (retention.drift(g, t, 0, device.drift_t0 or step, nu) for g, nu in zip(pair, nus, strict=True))
        w = plus - minus
    if device.lifetime:
        lifetime = device.lifetime * np.abs(1 + device.lifetime_spread * normals_of(chip, 9))
        w = retention.leak(w, t, lifetime, device.rest)
    return w


@pytest.mark.parametrize("chips", [[3], [1, 2, 3, 4]])
@pytest.mark.parametrize("every", [1, 7])
@pytest.mark.parametrize("name", AGES)
def test_every_step_is_that_of_the_formulas(name, every, chips):
    """Also what a write starts from, that it sets the clock anew, and that no pulse does not; alone and in lanes."""
    follow(am.Device(**BASE, **AGES[name], drift_every=every), STEP, chips)


@pytest.mark.parametrize("t0", [None, 20.0, 1e-6, 1e-9])
@pytest.mark.parametrize("scale", TIME_SCALES)
def test_every_step_on_three_time_scales(scale, t0):
    """On chips of 1 ms, 10 ns and 200 ps an evaluation, with one step as t0, the published 20 s, and between them."""
    device = am.Device(**BASE, drift_nu=0.1, drift_nu_spread=0.03, drift_t0=t0)
    drifted = follow(device, 2 * TIME_SCALES[scale])
    assert (drifted > 1e-4) == (t0 is None or t0 < 1e4 * TIME_SCALES[scale])


def follow(device, step, chips=(3,)):
    """80 steps of `step` seconds each against the oracle; how far the largest weight drifted between two writes."""
    every, largest = device.drift_every, 0.0
    rule = am.MGD(eta=0.02, amplitude=0.05, baseline="antithetic")
    run = am.train(
        am.Chip(NET, device=device, step_time=step / 2), "parity", rule, steps=80, chips=chips, seed=SEED,
        precision="double", record=("theta", "gradient"), record_every=1,
    )  # fmt: skip
    chip, lane = 3, chips.index(3)
    theta, G = run.record["theta"][:, lane], run.record["gradient"][:, lane]
    s, dev = settings_of(device.replace(lifetime=0.0)), populated(device.replace(lifetime=0.0), chip)
    kept = device.write_noise * device.dw_min * normals_of(chip, 10)
    state, seen, clock = theta[0] - kept, theta[0].copy(), np.zeros(P)
    moved = 0
    for n in range(80):
        if n % every == 0:
            seen = aged(device, chip, state, n - clock, step) + kept
            largest = max(largest, np.abs(seen - kept - state).max())
        draws = Draws(chip, n, device)
        asked, _ = oracle.pulses_asked(
            -rule.eta * G[n + 1], oracle.granularity(s), "stochastic", draws.rounding(), max_pulses=100
        )
        after = aged(device, chip, state, n + 1 - clock, step)
        for i in range(int(np.abs(asked).max())):
            which = np.where(np.abs(asked) > i, np.sign(asked), 0)
            after = oracle.pulse(s, dev, after, which, draws.of_pulse(i))
        noise = device.write_noise * device.dw_min
        fresh = noise * draws.of_noise()
        wrote = asked != 0
        kept = np.where(wrote, fresh, kept) if noise else kept
        state, clock = np.where(wrote, after, state), np.where(wrote, n + 1, clock)
        seen = np.where(wrote, after + kept, seen)
        moved += wrote.sum()
        np.testing.assert_allclose(theta[n + 1], seen, rtol=1e-9, atol=1e-11, err_msg=f"step {n}")
    assert 20 < moved < 80 * P - 100  # some devices were written, and not all
    return largest


NU, NU_SPREAD, T0 = 0.06, 0.02, 20.0  # about those measured on PCM, with its t0
IDLE = am.MGD(eta=0.0, baseline="antithetic")
ONE = am.Dataset(np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1)))


def moments(seconds):
    """Mean, variance and fourth central moment of g/g_w, by quadrature over nu = |N(NU, NU_SPREAD)|."""
    nu = stats.foldnorm(NU / NU_SPREAD, scale=NU_SPREAD)

    def mean(of):
        x = np.linspace(0.0, NU + 9 * NU_SPREAD, 20_001)
        return np.trapezoid(of(retention.drift(1.0, seconds, 0.0, T0, x)) * nu.pdf(x), x)

    first = mean(lambda g: g)
    return first, mean(lambda g: (g - first) ** 2), mean(lambda g: (g - first) ** 4)


def as_drawn(held, seconds):
    """Mean and spread of g/g_w, 0.1 % each, and its distribution, Kolmogorov-Smirnov, 0.1 %."""
    n, (mean, variance, fourth) = len(held), moments(seconds)
    z = stats.norm.isf(0.0005)
    assert abs(held.mean() - mean) < z * np.sqrt(variance / n)
    assert abs(held.var(ddof=1) - variance) < z * np.sqrt((fourth - variance**2) / n)
    exponents = -np.log(held) / np.log((seconds + T0) / T0)
    assert stats.kstest(exponents, stats.foldnorm(NU / NU_SPREAD, scale=NU_SPREAD).cdf).pvalue > 1e-3


DECADES = [1.0, 10.0, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7]


@pytest.mark.parametrize("seconds", DECADES)
def test_drift_in_the_loop_over_seven_decades(seconds):
    """Mean and spread of the conductance of 8192 idle devices after 1 s to 1e7 s, as the training loop has them."""
    device = am.Device(drift_nu=NU, drift_nu_spread=NU_SPREAD, drift_t0=T0)
    slow = am.Chip(am.Network.mlp([1, 1]), device=device, step_time=seconds / 8)
    start = np.array([0.5, -0.5])  # one device of each pair is at 0, so that the other is what is seen
    run = am.train(slow, ONE, IDLE, steps=5, chips=4096, theta0=start, record=(), precision="double", seed=4)
    as_drawn((run.theta / start).ravel(), seconds)  # seen last at step 4, after 4 iterations of two evaluations


def test_drift_of_chips_left_alone_over_seven_decades():
    """The same of `am.age`."""
    device = am.Device(drift_nu=NU, drift_nu_spread=NU_SPREAD, drift_t0=T0)
    chip, start = am.Chip(am.Network.mlp([1, 1]), device=device, step_time="mem-compute"), np.array([0.5, -0.5])
    run = am.train(chip, ONE, IDLE, steps=1, chips=4096, theta0=start, record=(), precision="double", seed=11)
    for seconds, theta in zip(DECADES, am.age(run, DECADES, ONE).theta, strict=True):
        as_drawn((theta / start).ravel(), seconds)


@pytest.mark.parametrize("step_time", [1e-3, 10e-9, 200e-12])
def test_one_drift_on_three_time_scales(step_time):
    """By default t0 is one step, so the same steps drift alike; a t0 in seconds makes the fast chip drift little."""
    runs = {}
    for t0 in (None, 20.0):
        device = am.Device(drift_nu=0.1, drift_t0=t0)
        chip = am.Chip(am.Network.mlp([1, 1]), device=device, step_time=step_time)
        run = am.train(chip, ONE, IDLE, steps=101, chips=1, theta0=np.array([0.5, 0.5]), record=(), precision="double")
        runs[t0] = run.theta[0, 0] / 0.5
    assert runs[None] == pytest.approx(101**-0.1, rel=1e-12)
    assert runs[20.0] == pytest.approx(((200 * step_time + 20) / 20) ** -0.1, rel=1e-12)

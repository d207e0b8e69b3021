"""Noise of the cost that is not white: step by step against the equations, and its spectra."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

import analogmgd as am
from oracle import cost_noise as oracle
from oracle import network as onet
from oracle import rule as orule

pytestmark = pytest.mark.filterwarnings("ignore::analogmgd.errors.AnalogMGDWarning")  # biased rules are run too
SEED, CHIPS, STEP = 11, [2, 9], 1e-3
NET = am.Network.mlp([3, 4, 2])
ORACLE = onet.Net((3, 4, 2), ("sigmoid", "sigmoid"))
RNG = np.random.default_rng(3)
DATA = am.Dataset(*[RNG.random((5, n)) for n in (3, 2, 3, 2)], name="own")
ALL = {
    "cost_flicker": 0.02, "cost_flicker_slowest": 3.0, "cost_drift": 0.05, "cost_hum": 0.03,
    "cost_hum_frequency": 47.0, "cost_telegraph": 0.02, "cost_telegraph_time": 0.01,
}  # fmt: skip
KINDS = {
    "flicker": ALL | {"cost_drift": 0.0, "cost_hum": 0.0, "cost_telegraph": 0.0},
    "five decades": {"cost_flicker": 0.02, "cost_flicker_slowest": 300.0},
    "drift": {"cost_drift": 0.05},
    "hum": {"cost_hum": 0.03},
    "telegraph": {"cost_telegraph": 0.02, "cost_telegraph_time": 0.01},
    "all": ALL,
}
RULES = {
    "measured": {},
    "windows": {"tau_theta": 4, "tau_x": 3},
    "antithetic": {"baseline": "antithetic"},
    "analog": {"mode": "analog", "tau_x": 4, "tau_p": 2, "dt": 0.5, "tau_theta": 2.5},
    "gaussian, batch": {"perturbation": "gaussian", "batch": 2, "tau_x": 2},
}


def noise_of(converters, chip, steps, dt):
    c = am.Converters(**converters)
    return oracle.cost_noise(
        SEED, chip, steps, dt, c.cost_flicker, c.cost_flicker_slowest, c.cost_drift, c.cost_hum, c.cost_hum_frequency,
        c.cost_telegraph, c.cost_telegraph_time,
    )  # fmt: skip


def train(converters, rule, steps, chips=CHIPS, step_time=STEP, **settings):
    chip = am.Chip(NET, converters=am.Converters(**converters), step_time=step_time)
    return am.train(chip, DATA, rule, steps=steps, chips=chips, seed=SEED, precision="double", **settings)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_step_is_that_of_the_equations(kind, rule):
    """theta, cost and C_ac of 120 steps: the baseline has the noise of the step it was measured in."""
    values = {"amplitude": 0.02, "eta": 0.02, "tau_hp": 10.0} | RULES[rule]
    mgd, steps = am.MGD(**values), 120
    run = train(KINDS[kind], mgd, steps, record=("theta",), record_every=1, probe_chips=CHIPS)
    seconds = STEP * mgd.batch * mgd.evaluations * mgd.dt
    for lane, chip in enumerate(CHIPS):
        noise = noise_of(KINDS[kind], chip, steps, seconds)
        settings = orule.Settings(seed=SEED, chip=chip, order="shuffle", init_scale=0.5, **values)
        history = orule.simulate(
            ORACLE, DATA.x_train, DATA.y_train, settings, steps, parts=orule.Parts(cost_noise=noise.__getitem__)
        )
        np.testing.assert_allclose(run.probe["cost"][:, lane], history.cost, rtol=1e-9)
        np.testing.assert_allclose(run.probe["cost_ac"][:, lane], history.cost_ac, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(run.record["theta"][:, lane], history.theta, rtol=1e-9, atol=1e-10)
        assert np.ptp(noise) > 0.005


def noises(converters, steps, chips, rule=None, **settings):
    """What is added to the cost of a chip that does not learn: float64[steps, chips]."""
    quiet = am.MGD(eta=0.0, amplitude=1e-9, baseline="antithetic", tau_x=steps)
    ids = list(range(chips))
    found = train(converters, rule or quiet, steps, ids, probe_chips=ids, record=(), order="sequential", **settings)
    return found.probe["cost"] - train({}, rule or quiet, 1, ids, probe_chips=ids, record=(), order="sequential",
                                       **settings).probe["cost"][0]  # fmt: skip


def test_the_spectrum_of_flicker_is_1_over_f():
    """Periodograms of 400 chips x 2048 steps: every band at the density of the processes, the slope at -1.

    In each of 24 bands the sum of the normalised ordinates is gamma with so many degrees of freedom (chips are
    independent, ordinates of one nearly so): two-sided 1e-3 for all together. Slope of the density itself over the
    decades between: -1 +- 0.1.
    """
    chips, steps, dt = 400, 2048, 2 * STEP
    x = noises({"cost_flicker": 0.05, "cost_flicker_slowest": 2000.0}, steps, chips)
    window = np.hanning(steps)[:, np.newaxis]  # else the low frequencies leak into the high ones
    power = np.abs(np.fft.rfft(x * window, axis=0)) ** 2 / (window**2).sum()
    f = np.fft.rfftfreq(steps)
    edges = np.unique(np.geomspace(8, steps // 2, 25).astype(int))
    for a, b in pairwise(edges):
        some = np.arange(a, b, 4)  # those of a Hann window four apart are independent
        expected = oracle.flicker_spectrum(f[some], 0.05, 2000.0, dt)
        ratio = (power[some] / expected[:, np.newaxis]).sum()
        low, high = stats.gamma.interval(1 - 1e-3 / len(edges), len(some) * chips)
        assert low < ratio < high, (a, b, ratio / (len(some) * chips))
    middle = np.geomspace(1e-5, 3e-2, 40)
    density = oracle.flicker_spectrum(middle, 0.05, 2000.0, dt)
    slope = np.polyfit(np.log(middle), np.log(density), 1)[0]
    assert abs(slope + 1) < 0.05
    measured = np.polyfit(np.log(f[8:60]), np.log(power[8:60].mean(axis=1)), 1)[0]
    assert abs(measured + 1) < 0.1


def test_variances():
    """Of 2000 chips at single steps, within 99.9 %: flicker is stationary, the walk grows with time, the rest not."""
    chips, last, dt = 2000, 299, 2 * STEP

    def within(x, variance):
        low, high = stats.chi2.interval(0.999, chips)
        return low < (x**2).sum() / variance < high

    flicker = noises({"cost_flicker": 0.05, "cost_flicker_slowest": 1.0}, last + 1, chips)
    assert within(flicker[0], 0.05**2)
    assert within(flicker[last], 0.05**2)
    walk = noises({"cost_drift": 0.5}, last + 1, chips)
    assert not walk[0].any()
    assert within(walk[last], 0.5**2 * last * dt)
    hum = noises({"cost_hum": 0.03}, last + 1, chips)
    assert abs((hum[last] ** 2).mean() / (0.03**2 / 2) - 1) < 3.29 * np.sqrt(0.5 / chips)
    assert stats.kstest(np.arcsin(hum[last] / 0.03) / np.pi + 0.5, "uniform").pvalue > 1e-3
    jumps = noises({"cost_telegraph": 0.02, "cost_telegraph_time": 0.01}, last + 1, chips)
    np.testing.assert_allclose(np.abs(jumps), 0.02, rtol=1e-6)
    low, high = stats.binom.interval(0.999, chips * last, 0.5 * (1 - np.exp(-2 * dt / 0.01)))
    assert low <= (np.abs(np.diff(jumps, axis=0)) > 0.02).sum() <= high
    low, high = stats.binom.interval(0.999, chips, 0.5)
    assert low <= (jumps[0] > 0).sum() <= high


def test_hum_far_in():
    """From n, not added up: at step 3 million as exact as at the start."""
    chip = am.Chip(NET, converters=am.Converters(cost_hum=0.5, cost_hum_frequency=60.0), step_time=1.7e-4)
    rule = am.MGD(eta=0.0, amplitude=1e-9, baseline="antithetic", tau_x=10**9)
    runs = [
        am.train(c, DATA, rule, steps=n, chips=[4], seed=SEED, precision="double", record=(), probe_chips=[4],
                 probe_from=n - 50, order="sequential").probe["cost"]
        for c, n in ((chip, 3_000_000), (am.Chip(NET), 50))
    ]  # fmt: skip
    n = np.arange(3_000_000 - 50, 3_000_000)
    u = oracle.philox.uniform(oracle.philox.word(SEED, 4, oracle.CONVERTER, 2**41))
    wanted = 0.5 * np.sin(2 * np.pi * ((n * (60 * 3.4e-4)) % 1.0 + u))
    np.testing.assert_allclose((runs[0] - runs[1])[:, 0], wanted, atol=1e-9)


@pytest.mark.parametrize("baseline", ["measured", "antithetic"])
def test_it_cancels_where_both_costs_are_of_one_step(baseline):
    """tau_theta = 1: C_ac is that of a quiet chip; in long windows the baseline is old, and it does not."""
    loud = {"cost_flicker": 0.1, "cost_drift": 0.5, "cost_hum": 0.1, "cost_telegraph": 0.05}
    for tau_theta, cancels in ((1, True), (50, baseline == "antithetic")):
        rule = am.MGD(eta=0.0, amplitude=0.05, tau_x=10**6, tau_theta=tau_theta, baseline=baseline)
        quiet, noisy = (train(c, rule, 200, probe_chips=CHIPS).probe["cost_ac"] for c in ({}, loud))
        rms = np.sqrt(((quiet - noisy) ** 2).mean())
        assert (rms < 1e-14) if cancels else (rms > 0.01)


def test_the_cost_converter_comes_after_it():
    converters = {"cost_hum": 0.1, "cost_bits": 6, "cost_of": "cost", "cost_range": 1.0}
    rule = am.MGD(eta=0.0, amplitude=1e-9, baseline="antithetic", tau_x=1000)
    run = train(converters, rule, 100, probe_chips=CHIPS, record=())
    level = run.probe["cost"] * 63
    np.testing.assert_allclose(level, np.round(level), atol=1e-9)
    assert len(np.unique(level.round())) > 5


def test_time_is_the_chips():
    """The same noise in seconds on a chip of steps ten times as long: the same hum at every tenth step."""
    fast, slow = (
        noises({"cost_hum": 0.1, "cost_hum_frequency": 3.0}, n, 16, step_time=s) for n, s in ((100, 1e-3), (10, 1e-2))
    )
    np.testing.assert_allclose(fast[::10], slow, atol=1e-8)


@pytest.mark.parametrize(
    ("converters", "said"),
    [
        ({"cost_flicker": -1.0}, "converters.cost_flicker = -1.0: must be at least 0"),
        ({"cost_flicker_slowest": 0.0}, "converters.cost_flicker_slowest = 0.0: must be greater than 0"),
        ({"cost_flicker": 0.1, "cost_flicker_slowest": 1e-3}, "must be at least the time of a step, 0.003 s"),
        ({"cost_hum_frequency": 0}, "converters.cost_hum_frequency = 0: must be greater than 0"),
        ({"cost_telegraph_time": -1}, "converters.cost_telegraph_time = -1: must be greater than 0"),
        ({"cost_drift": "much"}, "converters.cost_drift = 'much': must be a number"),
        ({"cost_drift": float("inf")}, "must be finite"),
    ],
)
def test_what_cannot_be(converters, said):
    with pytest.raises(am.ConfigError, match=said) as caught:
        train(converters, am.MGD(tau_x=2, tau_theta=2, batch=2), 1)
    assert len(str(caught.value).splitlines()) == 1


def test_toml():
    device = am.device("ecram", half_select=0.01, correlation_length=2.0, correlated_share=0.5, digital_biases=True,
                       perturbation_bits=6, perturbation_range=0.1, perturbation_cubic=-2.0)  # fmt: skip
    chip = am.Chip(NET, device=device, converters=am.Converters(**ALL, error_gain_spread=0.1, error_offset_spread=0.01))
    config = am.Config(chip, am.MGD(), {"name": "own"}, am.Run())
    assert am.Config.from_toml(config.to_toml()) == config

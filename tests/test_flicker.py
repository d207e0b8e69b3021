"""Noise of conductances that goes on from step to step: spectra, variances, and what the rule sees of it."""

import numpy as np
import pytest
from scipy import signal, stats

import analogmgd as am
from oracle import flicker, retention

ONE = am.Dataset(np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1)))
RULE = am.MGD(eta=0.0, baseline="antithetic", amplitude=0.01)
STEP = 1e-6  # seconds of a step


def watched(steps, chips, theta0=(0.5, -0.5), every=1, **device):
    """theta float64[rows, chips, 2] of idle chips with a weight and a bias, from after the first step on."""
    chip = am.Chip(am.Network.mlp([1, 1]), device=am.Device(w_min=-1, w_max=1, **device), step_time=STEP / 2)
    run = am.train(
        chip, ONE, RULE, steps=steps, chips=chips, theta0=np.array(theta0), seed=3, record=("theta",),
        record_every=every, precision="double",
    )  # fmt: skip
    return run.record["theta"][1:]


def test_one_over_f():
    """Slope -1 over three decades, within 4 standard errors and the ripple; what the sum of Lorentzians has, there.

    400 devices of 2^15 steps, processes of 1 to 10^6 steps.
    """
    steps, chips = 2**15, 200
    noise = watched(steps, chips, flicker=0.01, flicker_slowest=1.0).reshape(steps, -1)
    scale = 0.5 * flicker.relative_size(0.5, 1.0, 0.01, 0.65, 0.2, 1.0, 250e-9)
    f, power = signal.periodogram(noise - np.sign(noise.mean(0)) * 0.5, axis=0, detrend="constant", window="hann")
    power = power.mean(axis=1)
    edges = np.logspace(np.log10(20 / steps), np.log10(0.05), 25)
    inside = np.digitize(f, edges)
    at = np.array([f[inside == k].mean() for k in range(1, 25)])
    mean = np.array([power[inside == k].mean() for k in range(1, 25)])
    slope = np.polyfit(np.log(at), np.log(mean), 1)[0]
    assert slope == pytest.approx(-1.0, abs=0.04)
    taus = flicker.taus(1.0 / STEP)
    wanted = sum(scale**2 / len(taus) * 4 * t / (1 + (2 * np.pi * at * t) ** 2) for t in taus)
    assert np.abs(mean / wanted - 1).max() < 0.25  # hold of a tenth of tau: up to 1 dB near 1/tau


@pytest.mark.parametrize("slowest", [1e-6, 1e-5, 1e-2])
def test_total_variance_is_that_of_the_formula_at_every_step(slowest):
    """Of 4000 devices at the first, a middle and the last step; chi-squared, 0.1 % each. Independent devices."""
    chips = 4000
    theta = watched(301, chips, theta0=(0.5, 0.2), flicker=0.01, flicker_slowest=slowest, every=100)
    for g, x in ((0.5, theta[:, :, 0]), (0.2, theta[:, :, 1])):
        sigma = g * flicker.relative_size(g, 1.0, 0.01, 0.65, 0.2, slowest, 250e-9)
        for row in x:
            ratio = ((row - g) ** 2).sum() / sigma**2
            assert stats.chi2.ppf(5e-4, chips) < ratio < stats.chi2.ppf(1 - 5e-4, chips)
    r = np.corrcoef(theta[-1].T)[0, 1]
    assert abs(r) < 3.3 / np.sqrt(chips)
    neighbours = np.corrcoef(theta[-1, :-1, 0], theta[-1, 1:, 0])[0, 1]
    assert abs(neighbours) < 3.3 / np.sqrt(chips)


def test_correlation_in_time_is_off_by_what_is_stated():
    """Of the values held: between their exact correlation at a distance and a tenth of the variance from it."""
    steps, chips = 400, 4000
    x = watched(steps, chips, flicker=0.01, flicker_slowest=1e-3)[:, :, 0] - 0.5
    variance = (0.5 * flicker.relative_size(0.5, 1.0, 0.01, 0.65, 0.2, 1e-3, 250e-9)) ** 2
    taus = flicker.taus(1e-3 / STEP)
    for lag in (1, 3, 17, 100, 399):
        found = np.mean(x[0] * x[lag]) / variance
        exact = np.mean(np.exp(-lag / taus))
        assert abs(found - exact) < 0.1 + 3.3 / np.sqrt(chips)


def test_common_to_both_evaluations_of_a_step():
    """Frozen chip, fixed sample: C_ac of a slowly flickering chip is nearly that of a still one.

    Read noise of the same variance, a fresh draw for each evaluation, drowns it.
    """
    rule = am.MGD(eta=0.0, amplitude=1e-3, tau_theta=1, perturbation="walsh")
    data = am.Dataset(np.ones((1, 4)), np.ones((1, 1)), np.ones((1, 4)), np.ones((1, 1)))
    net = am.Network.mlp([4, 3, 1])
    theta0 = np.random.default_rng(0).uniform(-0.9, 0.9, net.n_params)
    settings = {"flicker": 0.02, "flicker_power": 0.0, "flicker_slowest": 1e3, "flicker_read_time": 1e-6}
    sigma = float(flicker.relative_size(1.0, 1.0, 0.02, 0.0, 0.2, 1e3, 1e-6))
    devices = {
        "still": am.Device(w_min=-1, w_max=1),
        "flickers": am.Device(w_min=-1, w_max=1, **settings),
        "read noise": am.Device(w_min=-1, w_max=1, read_noise_slope=sigma),
    }
    c_ac = {}
    for name, device in devices.items():
        chip = am.Chip(net, device=device, step_time=STEP)
        run = am.train(
            chip, data, rule, steps=64, chips=200, theta0=theta0, seed=1, probe_chips=range(200), record=(),
            precision="double",
        )  # fmt: skip
        c_ac[name] = run.probe["cost_ac"]
    size = np.std(c_ac["still"])
    assert np.std(c_ac["flickers"] - c_ac["still"]) < 0.5 * size
    assert np.std(c_ac["read noise"] - c_ac["still"]) > 10 * size


TRAPS = {"telegraph": 1.0, "telegraph_size": 0.1, "telegraph_high": 20e-6, "telegraph_low": 60e-6}


def test_telegraph_noise():
    """Two values 0.1 apart round the mean; occupation, dwell times and variance; the spectrum is a Lorentzian."""
    steps, chips = 2**14, 100
    theta = watched(steps, chips, theta0=(0.5, 0.0), **TRAPS)
    high = theta[:, :, 0] > 0.5
    # g_minus, whose mean is 0, cannot be below: it is seen at 0 or 0.075
    values = np.unique(theta[:, :, 0].round(6))
    np.testing.assert_allclose(values, [0.4, 0.475, 0.5, 0.575], atol=1e-6)
    plus = theta[:, :, 0] > 0.45
    states = np.isin(theta[:, :, 0].round(6), [0.5, 0.575]) if high.any() else plus
    share = 20 / 80
    # samples are correlated over 15 steps: 2 tau - 1 of them count as one
    effective = chips * steps / (2 * 15)
    assert abs(states.mean() - share) < 3.3 * np.sqrt(share * (1 - share) / effective)
    for state, mean in ((True, 20.0), (False, 60.0)):
        lengths = []
        for lane in range(chips):
            change = np.flatnonzero(np.diff(states[:, lane].astype(int)))
            inner = np.diff(change)
            of = states[change[:-1] + 1, lane]
            lengths += inner[of == state].tolist()
        # within a step a trap may go and come back: the mean time seen is that of a chain with exact transitions
        leave = (1 - np.exp(-1 / 15)) * ((1 - share) if state else share)
        assert abs(np.mean(lengths) - 1 / leave) < 3.3 * np.std(lengths) / np.sqrt(len(lengths))
        assert 1 / leave == pytest.approx(mean, rel=0.04)
    f, power = signal.periodogram(states.astype(float), axis=0, detrend="constant", window="hann")
    power = power.mean(axis=1)
    edges = np.logspace(-3, np.log10(0.05), 15)
    inside = np.digitize(f, edges)
    at = np.array([f[inside == k].mean() for k in range(1, 15)])
    mean = np.array([power[inside == k].mean() for k in range(1, 15)])
    assert np.abs(mean / flicker.telegraph_spectrum(at, 20.0, 60.0, 1.0) - 1).max() < 0.1


def test_a_fraction_of_devices_has_a_trap():
    """Also: in proportion to the conductance, and the same state for as long as a transition is not due."""
    theta = watched(41, 2000, theta0=(0.8, -0.4), telegraph=0.3, telegraph_share=0.5, telegraph_high=1e-3,
                    telegraph_low=1e-3)[:, :, 0]  # fmt: skip
    np.testing.assert_allclose(np.unique(theta.round(9)), [0.6, 0.8, 1.0], atol=1e-9)
    trapped = (np.abs(theta - 0.8) > 0.1).all(axis=0)
    assert stats.binomtest(int(trapped.sum()), 2000, 0.3).pvalue > 1e-3
    assert (theta == theta[0]).all()  # the first transition is due after 50 steps
    assert stats.binomtest(int((theta[0, trapped] > 0.8).sum()), int(trapped.sum()), 0.5).pvalue > 1e-3


def test_evaluations_have_no_noise():
    """Cost, accuracy and the true gradient are those of the chip without what fluctuates; theta has it."""
    kw = {"steps": 20, "chips": 5, "seed": 2, "record": ("cost", "theta", "angle", "gradient"), "record_every": 10}
    net = am.Network.mlp([2, 3, 1])
    noisy = am.Device(w_min=-1, w_max=1, flicker=0.1)
    theta0 = np.random.default_rng(0).uniform(-0.5, 0.5, net.n_params)
    runs = [am.train(am.Chip(net, device=d), "parity", am.MGD(eta=0.0), theta0=theta0, **kw)
            for d in (noisy, am.Device(w_min=-1, w_max=1))]  # fmt: skip
    np.testing.assert_array_equal(runs[0].cost, runs[1].cost)
    np.testing.assert_array_equal(runs[0].theta_still, runs[1].theta)
    assert (runs[0].theta != runs[1].theta).all()
    assert retention.relaxation_times(1.0, 20.0).tolist() == [1.0, 10.0, 100.0]


@pytest.mark.parametrize("seconds", [1e10, 1e17, 1e30, 1e300])
def test_traps_slower_than_any_run(seconds):
    """They start as they are in the long run, 3 : 1, and stay; binomial, 0.1 %. Two conductances a weight."""
    chips, size = 2000, 0.1
    theta = watched(20, chips, g_min=0.2, telegraph=1.0, telegraph_size=size, telegraph_high=3 * seconds,
                    telegraph_low=seconds)  # fmt: skip
    assert (theta == theta[0]).all()
    apart = np.abs(np.abs(theta[0] - [0.5, -0.5]) / size)
    np.testing.assert_allclose(apart, np.round(apart), atol=1e-9)
    low, high = stats.binom.interval(0.999, 2 * chips, 2 * 0.75 * 0.25)
    assert low <= np.round(apart).sum() <= high


def test_one_over_f_slower_than_any_run():
    """1e22 s in steps of 1e-6 s: 29 processes, of the variance that the formula has; chi-squared, 0.1 %."""
    chips, slowest = 4000, 1e22
    theta = watched(20, chips, theta0=(0.5, 0.2), flicker=0.01, flicker_slowest=slowest)[-1]
    for g, x in zip((0.5, 0.2), theta.T, strict=True):
        ratio = ((x - g) ** 2).sum() / (g * flicker.relative_size(g, 1.0, 0.01, 0.65, 0.2, slowest, 250e-9)) ** 2
        assert stats.chi2.ppf(5e-4, chips) < ratio < stats.chi2.ppf(1 - 5e-4, chips)

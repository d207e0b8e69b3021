"""Spreads between devices and noise from pulse to pulse against the distributions of the formulas, 0.1 % each."""

import numpy as np
import pytest
from scipy import stats
from test_pulsed import POWER, PULSED, settings_of

import analogmgd as am
from analogmgd.device_law import granularity
from analogmgd.device_response import draw_devices, response
from oracle import device as oracle

SIGNIFICANCE = 1e-3
Z = stats.norm.isf(SIGNIFICANCE / 2)
N = 10_000
OFF = {k: 0.0 for k in am.Device.model_fields if k.endswith("_spread")}
OWN = {
    "power": POWER,
    "soft-bounds": am.Device(model="soft-bounds", dw_min=0.01, w_min=-0.9, w_max=1.1, up_down=0.2, c2c=0.5),
    "soft-bounds, additive": am.Device(
        model="soft-bounds", dw_min=0.01, w_min=-0.9, w_max=1.1, up_down=-0.2, c2c=0.5, c2c_additive=True
    ),
    "of the state": am.device("reram-es", c2c=0.6, c2c_floor=0.042, c2c_slope=0.108),
}


# --- what is drawn once ---


def folded(cdf):
    """Distribution of |X|."""
    return lambda x: cdf(x) - cdf(-x)


def gain_cdf(device, shift):
    """Distribution of gain + shift + r, by quadrature over r where the gain is log-normal."""
    if not device.dw_lognormal:
        return stats.norm(1 + shift, np.hypot(device.dw_spread, device.up_down_spread)).cdf
    gain, (nodes, weights) = stats.lognorm(device.dw_spread), np.polynomial.hermite_e.hermegauss(40)
    weights = weights / weights.sum()
    return lambda x: sum(
        p * gain.cdf(np.asarray(x) - shift - device.up_down_spread * xi)
        for xi, p in zip(nodes, weights, strict=True)
    )  # fmt: skip


def fits(values, cdf):
    return stats.kstest(values, cdf).pvalue > SIGNIFICANCE


@pytest.mark.parametrize("name", PULSED)
def test_bounds(name):
    """Of 10,000 devices: the larger and the smaller of two normal numbers, and their sizes; they are independent."""
    device = am.device(name)
    drawn, _ = draw_devices(device, N, seed=3)
    high, low = drawn.high[0, :N], drawn.low[0, :N]
    up = stats.norm(device.w_max, device.w_max * device.w_max_spread)
    down = stats.norm(device.w_min, -device.w_min * device.w_min_spread)
    assert fits(high, folded(lambda x: up.cdf(x) * down.cdf(x)))
    assert fits(-low, folded(lambda x: 1 - up.sf(x) * down.sf(x)))
    assert (high > 0).all()
    assert (low < 0).all()
    assert stats.spearmanr(high, low).pvalue > SIGNIFICANCE


@pytest.mark.parametrize("name", PULSED)
def test_gain_and_asymmetry(name):
    """D_up and D_down of 10,000 devices, and that they have the gain in common and r with opposite sign."""
    device = am.device(name)
    drawn, _ = draw_devices(device, N, seed=3)
    up, down = drawn.up[0, :N] / device.dw_min, drawn.down[0, :N] / device.dw_min
    above, below = min(device.up_down, 0.0), -max(device.up_down, 0.0)
    assert fits(up, folded(gain_cdf(device, above)))
    assert fits(down, folded(gain_cdf(device, below)))
    kept = np.minimum(up, down) > 0.2  # none that was turned round is among them
    asymmetry = (up - down - above + below)[kept] / 2
    if device.up_down_spread > 0:
        assert fits(asymmetry, stats.norm(0, device.up_down_spread).cdf)
        assert stats.spearmanr(asymmetry, (up + down)[kept]).pvalue > SIGNIFICANCE
    else:
        np.testing.assert_allclose(asymmetry, 0, atol=1e-12)


@pytest.mark.parametrize("name", [n for n in PULSED if am.device(n).slope_spread > 0])
def test_slopes(name):
    """Of the linear presets, which refer to the nominal bounds."""
    device = am.device(name)
    drawn, _ = draw_devices(device, N, seed=3)
    up, down = drawn.slope_up[0, :N] * device.w_max, drawn.slope_down[0, :N] * device.w_min
    assert device.mean_bound
    assert fits(up, folded(stats.norm(device.slope_up, device.slope_spread).cdf))
    assert fits(down, folded(stats.norm(device.slope_down, device.slope_spread).cdf))


@pytest.mark.parametrize("name", [n for n in PULSED if am.device(n).reference == "symmetry"])
def test_references(name):
    """Each device's own symmetry point, and a normal error on it."""
    device = am.device(name)
    drawn, _ = draw_devices(device, N, seed=3)
    exact, _ = draw_devices(device.replace(reference_spread=0.0), N, seed=3)
    point = exact.offset[0, :N]
    up, down = exact.up[0, :N] * (1 - point / exact.high[0, :N]), exact.down[0, :N] * (1 - point / exact.low[0, :N])
    np.testing.assert_allclose(up, down, rtol=1e-9)
    assert fits(drawn.offset[0, :N] - point, stats.norm(0, device.reference_spread).cdf)


# --- what is drawn at every pulse ---

CASES = {**{name: am.device(name, **OFF) for name in PULSED}, **{k: d.replace(**OFF) for k, d in OWN.items()}}


def noise(device, s, step, direction, w):
    """Standard deviation of a step at w, by the table of docs/devices.md."""
    one = oracle.nominal(s)
    if device.c2c_floor > 0 or device.c2c_slope > 0:
        return device.c2c * (abs(step) + device.c2c_floor + device.c2c_slope * abs(w))
    if device.c2c_additive:
        return device.c2c * (one.D_up if direction > 0 else one.D_down)[0]
    return device.c2c * abs(step)


@pytest.mark.parametrize("w", [-0.2, 0.0, 0.3])
@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("name", CASES)
def test_one_pulse_away_from_the_bounds(name, direction, w):
    """Mean and spread of single steps of 20,000 nominal devices, and that they are normal."""
    device, n = CASES[name], 20_000
    s = settings_of(device)
    found = response(device, [direction], n, start=w, seed=1).w
    np.testing.assert_allclose(found[0], w, rtol=1e-12)
    steps = direction * (found[1] - found[0])
    step = oracle.steps(s, oracle.nominal(s), np.array([w]))[0 if direction > 0 else 1][0]
    sigma = noise(device, s, step, direction, w)
    room = min(device.w_max - abs(w), abs(device.w_min) - abs(w))
    kept = stats.norm.cdf((room - step) / sigma)
    if kept < 1 - 1e-6:  # a bound cuts some: what is below it is still normal
        assert name == "reram-array-hfo2"
        inside = steps < 0.9 * room
        cut = stats.truncnorm(-np.inf, (0.9 * room - step) / sigma, step, sigma)
        assert fits(steps[inside], cut.cdf)
        return
    assert abs(steps.mean() - step) < Z * sigma / np.sqrt(n)
    ratio = (n - 1) * steps.var(ddof=1) / sigma**2
    assert stats.chi2.ppf(SIGNIFICANCE / 2, n - 1) < ratio < stats.chi2.isf(SIGNIFICANCE / 2, n - 1)
    assert fits((steps - step) / sigma, stats.norm.cdf)


@pytest.mark.parametrize("pulses", [1, 10, 100])
@pytest.mark.parametrize("name", [*PULSED, *OWN])
def test_many_pulses_of_one_write_are_as_one_by_one(name, pulses):
    """What a write of the training loop asks for at once, and pulses given one by one to other devices:
    Kolmogorov-Smirnov over 4096 devices with their spreads and noise."""
    device = OWN.get(name) or am.device(name)
    device = device.replace(write_noise=0.0, lifetime=0.0, max_pulses=100)
    asked, target = pulses * granularity(device), 50.0
    data = am.Dataset(np.ones((1, 1)), np.full((1, 1), target), np.ones((1, 1)), np.full((1, 1), target))
    # The first weight alone, by a central difference of a parabola: the gradient is exactly 2 (w + b - target).
    rule = am.MGD(perturbation="sequential", baseline="antithetic", amplitude=0.01, eta=asked / (2 * target))
    run = am.train(
        am.Chip(am.Network.mlp([1, 1], "linear"), device=device), data, rule, steps=1, chips=4096, seed=6,
        theta0=np.zeros(2), record=(), precision="double",
    )  # fmt: skip
    start = response(device, [1], 4096, start=0.0, seed=6).w[0]
    free = np.abs(start) < 1e-9  # all but those whose reference is out of their range
    assert free.mean() > 0.9
    assert (run.pulses[:, 1] == 0).all()
    assert (np.abs(run.pulses[free, 0].astype(int) - pulses) <= 1).all()  # rounding of 1e-12 pulses
    assert run.pulses[free, 0].mean() == pytest.approx(pulses, rel=1e-3)
    w = response(device, [pulses], 4096, start=0.0, seed=7).w
    assert stats.ks_2samp(run.theta[free, 0], w[-1, np.abs(w[0]) < 1e-9]).pvalue > SIGNIFICANCE

"""The spreads and the noise of the oracle of pulsed devices against the distributions of the formulas."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from oracle.device import NORMALS, DeviceSettings, apparent, nominal, populate, pulse, steps, without_noise

EXACT = {"rtol": 1e-12, "atol": 1e-12}
SIGNIFICANCE = 1e-3  # of every statistical test here; seeds are fixed
RERAM_ES = DeviceSettings(
    model="exponential", dw_min=0.00135, up_down=0.259359, a_up=-1.18445, a_down=-0.081404, g_up=5.0, g_down=5.0,
    z_scale=-0.5, z_shift=-0.5,
)  # fmt: skip
PCM = DeviceSettings(
    model="exponential", dw_min=0.01, w_max=2.0, w_min=0.0, a_up=-27.235, a_down=-2.235, g_up=2.5, g_down=2.5,
    z_scale=-1.0, c2c=0.6, c2c_floor=0.042, c2c_slope=0.108, one_sided=True,
)  # fmt: skip


def drawn(s, n=10_000, seed=0):
    return populate(s, np.random.default_rng(seed).standard_normal((len(NORMALS), n)))


# --- spreads over 10,000 devices ---


def test_bounds_and_steps_have_the_distributions_of_the_formulas():
    s = DeviceSettings("constant", dw_min=0.002, w_max=0.8, w_min=-1.1, up_down=0.2, dw_spread=0.3, up_down_spread=0.05,
                       w_max_spread=0.25, w_min_spread=0.2)  # fmt: skip
    dev = drawn(s)
    spread = math.hypot(0.3, 0.05)
    for values, mean, sd in [
        (dev.b_max, 0.8, 0.8 * 0.25),
        (-dev.b_min, 1.1, 1.1 * 0.2),
        (dev.D_up, 0.002, 0.002 * spread),
        (dev.D_down, 0.0016, 0.002 * spread),
    ]:
        assert stats.kstest(values, stats.foldnorm(mean / sd, scale=sd).cdf).pvalue > SIGNIFICANCE
    # the gain is common to both directions, up/down of opposite sign:
    # Var(D_up + D_down) = (2 s_dw dw_min)**2, Var(D_up - D_down) = (2 s_ud dw_min)**2
    for values, sd in [(dev.D_up + dev.D_down, 2 * 0.3), (dev.D_up - dev.D_down, 2 * 0.05)]:
        # chi-square of the variance, wide enough for the few folded devices (0.04 %)
        low, high = stats.chi2(9999).ppf([SIGNIFICANCE / 2, 1 - SIGNIFICANCE / 2]) / 9999
        assert low < np.var(values, ddof=1) / (0.002 * sd) ** 2 < high


def test_lognormal_gain_has_median_one_and_mean_above_one():
    s = DeviceSettings("constant", dw_min=0.1, dw_spread=0.7829, dw_lognormal=True)
    dev = drawn(s)
    np.testing.assert_array_equal(dev.D_up, dev.D_down)
    gain = dev.D_up / 0.1
    assert stats.kstest(gain, stats.lognorm(0.7829).cdf).pvalue > SIGNIFICANCE
    sd_of_mean = stats.lognorm(0.7829).std() / 100
    assert abs(gain.mean() - math.exp(0.7829**2 / 2)) < stats.norm.isf(SIGNIFICANCE / 2) * sd_of_mean


def test_crossed_and_wrong_signed_bounds_are_made_consistent():
    s = DeviceSettings("soft-bounds", w_max=1.0, w_min=-1.0, w_max_spread=1.0, w_min_spread=1.0)
    xi = np.zeros((len(NORMALS), 4))
    xi[NORMALS.index("b_max")] = [0.0, -1.5, -1.5, -1.2]  # b_max = 1, -0.5, -0.5, -0.2
    xi[NORMALS.index("b_min")] = [0.0, 0.0, -1.3, -1.7]  # b_min = -1, -1, 0.3, 0.7
    dev = populate(s, xi)
    np.testing.assert_allclose(dev.b_max, [1.0, 0.5, 0.3, 0.7], **EXACT)
    np.testing.assert_allclose(dev.b_min, [-1.0, -1.0, -0.5, -0.2], **EXACT)


def test_slopes_are_positive_and_refer_to_the_bounds_asked_for():
    s = DeviceSettings("linear", dw_min=0.01, w_max=1.2, w_min=-0.8, w_max_spread=0.1, w_min_spread=0.1, slope_up=0.1,
                       slope_down=0.5, slope_spread=0.2)  # fmt: skip
    own, mean = drawn(s), drawn(replace(s, mean_bound=True))
    np.testing.assert_allclose(own.slope_up * own.b_max, mean.slope_up * 1.2, **EXACT)
    np.testing.assert_allclose(own.slope_down * own.b_min, mean.slope_down * -0.8, **EXACT)
    steep = replace(s, slope_up=2.0, slope_down=2.0)  # far from 0: nothing is folded
    assert stats.pearsonr(drawn(steep).slope_up, drawn(steep).slope_down).pvalue > SIGNIFICANCE  # drawn apart
    for values, slope in [(mean.slope_up * 1.2, 0.1), (mean.slope_down * -0.8, 0.5)]:
        assert stats.kstest(values, stats.foldnorm(slope / 0.2, scale=0.2).cdf).pvalue > SIGNIFICANCE


def test_the_reference_is_each_device_s_own_symmetry_point_and_its_spread():
    s = DeviceSettings("soft-bounds-reference", dw_min=0.01, dw_spread=0.5, dw_lognormal=True, up_down_spread=0.1,
                       w_max_spread=0.2, w_min_spread=0.2, reference="symmetry")  # fmt: skip
    dev = drawn(s)
    step_up, step_down = steps(s, dev, np.zeros(10_000))
    np.testing.assert_allclose(step_up, step_down, **EXACT)
    error = drawn(replace(s, reference_spread=0.05)).reference - dev.reference
    assert stats.kstest(error / 0.05, stats.norm.cdf).pvalue > SIGNIFICANCE


def test_lifetimes():
    dev = drawn(DeviceSettings("linear", lifetime=0.01, lifetime_spread=0.3))
    assert stats.kstest(dev.lifetime, stats.foldnorm(1 / 0.3, scale=0.003).cdf).pvalue > SIGNIFICANCE
    assert np.all(np.isinf(drawn(DeviceSettings("linear"), 3).lifetime))


# --- noise of a pulse ---


@pytest.mark.parametrize(("s", "w", "direction", "sd"), [
    (DeviceSettings("constant", dw_min=0.001, c2c=5.0), 0.2, 1.0, 0.005),
    (DeviceSettings("linear", dw_min=0.001, slope_up=0.5, c2c=0.3), 0.4, 1.0, 0.3 * 0.001 * 0.8),
    (DeviceSettings("linear", dw_min=0.001, slope_up=0.5, c2c=0.3, c2c_additive=True), 0.4, 1.0, 0.3 * 0.001),
    (DeviceSettings("soft-bounds", dw_min=0.001, up_down=0.5, c2c=2.0, c2c_additive=True), -0.4, -1.0, 0.001),
    (DeviceSettings("power", dw_min=0.001, g_down=2.0, c2c=2.0), 0.0, -1.0, 2.0 * 0.001 / 4),
    (replace(RERAM_ES, c2c=5.0), 0.0, 1.0, 5.0 * 0.00135 * (1 + 1.18445 * math.exp(-2.5))),
    (PCM, 0.5, 1.0, 0.6 * (0.01 * (1 + 27.235 * math.exp(-1.25)) + 0.042 + 0.108 * 0.5)),
])  # fmt: skip
def test_a_pulse_away_from_the_bounds_has_the_mean_and_spread_of_the_formula(s, w, direction, sd):
    one = nominal(s)
    dev = populate(s, np.zeros((len(NORMALS), 3)))
    xi = np.array([-1.0, 0.0, 2.0])
    start, towards = np.full(3, w), np.full(3, direction)
    moved = pulse(s, dev, start, towards, xi)
    step = steps(s, one, np.array([w]))[0 if direction > 0 else 1][0]
    np.testing.assert_allclose(moved, w + direction * (step + sd * xi), **EXACT)


def test_no_pulse_changes_nothing_and_every_pulse_stays_within_the_bounds():
    rng = np.random.default_rng(3)
    s = DeviceSettings("soft-bounds-reference", dw_min=0.1, c2c=3.0, c2c_additive=True, w_max_spread=0.3,
                       w_min_spread=0.3, reference="symmetry", reference_spread=0.05)  # fmt: skip
    dev = drawn(s, 1000)
    w = np.clip(np.zeros(1000), dev.b_min - dev.reference, dev.b_max - dev.reference)
    np.testing.assert_array_equal(pulse(s, dev, w, np.zeros(1000), rng.standard_normal(1000)), w)
    for _ in range(50):
        w = pulse(s, dev, w, rng.integers(-1, 2, 1000), rng.standard_normal(1000))
        assert np.all(w + dev.reference <= dev.b_max + 1e-12)
        assert np.all(w + dev.reference >= dev.b_min - 1e-12)


def test_write_noise_and_a_device_without_any():
    s = DeviceSettings("constant", dw_min=0.002, write_noise=75.0, c2c=0.3, dw_spread=0.3)
    np.testing.assert_allclose(apparent(s, 0.1, np.array([-2.0, 1.0])), [0.1 - 0.3, 0.1 + 0.15], **EXACT)
    assert without_noise(s) == DeviceSettings("constant", dw_min=0.002)

"""The oracle of drift, leak and 1/f noise against closed forms."""

import numpy as np
import pytest

from oracle.retention import (
    drift,
    leak,
    ornstein_uhlenbeck,
    pcm_nu,
    pcm_nu_mean,
    pcm_nu_sigma,
    pcm_programming_sigma,
    pcm_read_sigma,
    relaxation_times,
    rram_milo_sigma,
    rram_wan_sigma,
)


def test_drift_starts_at_the_written_value_and_is_a_power_law():
    g, t0 = 10.0, 20.0
    assert drift(g, 5.0, 5.0, t0, 0.05) == g
    t = 5.0 + t0 * (np.array([1.0, 10.0, 1e4]) - 1.0)
    np.testing.assert_allclose(drift(g, t, 5.0, t0, 0.05), g * np.array([1.0, 10.0, 1e4]) ** -0.05, rtol=1e-13)


def test_leak_composes_and_rests():
    whole = leak(0.8, 3e-3, 0.01, rest=0.1)
    assert whole == pytest.approx(0.1 + 0.7 * np.exp(-0.3), rel=1e-14)
    assert leak(leak(0.8, 1e-3, 0.01, 0.1), 2e-3, 0.01, 0.1) == pytest.approx(whole, rel=1e-14)
    assert leak(0.8, 1.0, np.inf) == 0.8


def test_pcm_figures():
    """By hand from the published polynomials."""
    np.testing.assert_allclose(pcm_programming_sigma([0.0, 12.5, 25.0]), [0.26348, 0.952705, 1.05538], rtol=1e-12)
    ln10 = 2.302585092994046
    by_decade = [0.1, 0.031 * ln10 + 0.0244, 0.0155 * ln10 + 0.0244, 0.049]
    np.testing.assert_allclose(pcm_nu_mean([0.0, 0.25, 2.5, 25.0]), by_decade, rtol=1e-12)
    np.testing.assert_allclose(pcm_nu_sigma([0.0, 2.5, 25.0]), [0.045, 0.0125 * ln10 - 0.0059, 0.008], rtol=1e-12)
    assert pcm_nu(25.0, -10.0) == pytest.approx(0.031)  # |0.049 - 0.08|


def test_pcm_read_noise():
    # no noise before the second read; then sqrt(ln(..)); the relative noise saturates at 0.2
    assert pcm_read_sigma(10.0, 250e-9) == 0.0
    t = 250e-9 * (2.0 * np.e**4 - 1.0)
    assert pcm_read_sigma(25.0, t) == pytest.approx(25.0 * 0.0088 * 2.0, rel=1e-12)
    assert pcm_read_sigma(0.01, t) == pytest.approx(0.01 * 0.2 * 2.0, rel=1e-12)
    assert pcm_read_sigma(20.0, t, g_written=25.0) == pytest.approx(20.0 * 0.0088 * 2.0, rel=1e-12)


def test_programming_errors_of_rram():
    np.testing.assert_allclose(rram_milo_sigma([50.0, 225.0]), [4.326971, 2.733246], rtol=1e-9)
    np.testing.assert_allclose(rram_wan_sigma([0.0, 10.0, 20.0]), [1.053, 2.4136, 2.3618], rtol=1e-12)


def test_relaxation_times_cover_the_run():
    np.testing.assert_allclose(relaxation_times(1e-8, 1e-3), 1e-8 * 10.0 ** np.arange(6), rtol=1e-12)
    assert relaxation_times(1e-8, 2e-8).tolist() == pytest.approx([1e-8, 1e-7])
    assert relaxation_times(1.0, 1.0).tolist() == [1.0]


def test_one_process_a_decade_of_equal_variance_is_one_over_f():
    """The sum of Lorentzians, on paper: slope -1 to 2 % over the inner decades, ripple below 1.5 dB."""
    tau = relaxation_times(1e-6, 1e2)
    f = np.logspace(0, 3, 61)
    power = sum(4 * t / (1 + (2 * np.pi * f * t) ** 2) for t in tau)
    slope, offset = np.polyfit(np.log(f), np.log(power), 1)
    assert slope == pytest.approx(-1.0, abs=0.02)
    assert np.abs(10 * np.log10(power) - 10 * (slope * np.log(f) + offset) / np.log(10)).max() < 1.5


def test_ornstein_uhlenbeck_composes_and_keeps_its_variance():
    """Two steps are one in mean and variance, exactly; a stationary start stays stationary."""
    tau, sigma = 3.0, 0.7
    for a, b in [(0.5, 2.0), (1e-3, 30.0)]:
        mean = ornstein_uhlenbeck(ornstein_uhlenbeck(1.0, a, tau, sigma, 0.0), b, tau, sigma, 0.0)
        assert mean == pytest.approx(ornstein_uhlenbeck(1.0, a + b, tau, sigma, 0.0), rel=1e-13)
        first = ornstein_uhlenbeck(ornstein_uhlenbeck(0.0, a, tau, sigma, 1.0), b, tau, sigma, 0.0)
        second = ornstein_uhlenbeck(0.0, b, tau, sigma, 1.0)
        assert first**2 + second**2 == pytest.approx(ornstein_uhlenbeck(0.0, a + b, tau, sigma, 1.0) ** 2, rel=1e-12)
        kept = ornstein_uhlenbeck(sigma, a, tau, sigma, 0.0) ** 2 + ornstein_uhlenbeck(0.0, a, tau, sigma, 1.0) ** 2
        assert kept == pytest.approx(sigma**2, rel=1e-12)

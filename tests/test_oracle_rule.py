"""The oracle of the learning rule against finite differences, backpropagation, SciPy, and counts by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import lfilter

from oracle import perturb, philox
from oracle.network import Net, gradient, initial_theta, mean_cost, neuron_spread
from oracle.rule import Settings, backprop_train, mismatch_gain, scheduled_eta, simulate

XOR = Net((2, 2, 1), ("sigmoid", "sigmoid"))
X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
Y = np.array([[0.0], [1.0], [1.0], [0.0]])

# --- discrete rule ---


def test_sequential_codes_are_the_finite_difference():
    theta0 = initial_theta(XOR, "uniform", 1.0, 1, 1)
    s = Settings(perturbation="sequential", tau_theta=9, tau_x=9, eta=0.5, order="sequential")
    h = simulate(XOR, X, Y, s, 9, theta0)
    forward_difference = np.zeros(9)
    for p in range(9):
        shifted = theta0.copy()
        shifted[p] += s.amplitude
        difference = mean_cost(XOR, shifted, X[:1], Y[:1]) - mean_cost(XOR, theta0, X[:1], Y[:1])
        forward_difference[p] = difference / s.amplitude
    np.testing.assert_allclose(h.gradient[9], forward_difference, rtol=1e-12)
    np.testing.assert_allclose(h.theta[9], theta0 - 0.5 * forward_difference, rtol=1e-13)


@pytest.mark.parametrize("kind", ["walsh", "sequential", "sinusoid"])
@pytest.mark.parametrize(("baseline", "order_of_error"), [("measured", 1), ("antithetic", 2)])
def test_after_one_period_G_is_the_gradient_to_the_order_of_the_baseline(kind, baseline, order_of_error):
    theta0 = initial_theta(XOR, "uniform", 1.0, 1, 1)
    g = gradient(XOR, theta0, X, Y)
    s = Settings(perturbation=kind, baseline=baseline, batch=4, band=(0.05, 0.4), order="sequential")
    period = {"walsh": 16, "sequential": 9, "sinusoid": perturb.sinusoid_plan(9, s.band)[1]}[kind]
    steps_to_gradient = 1 if kind == "sequential" else period
    errors = []
    for amplitude in (0.02, 0.01):
        h = simulate(XOR, X, Y, replace(s, amplitude=amplitude, tau_theta=period, tau_x=period), period, theta0)
        errors.append(np.linalg.norm(h.gradient[period] / steps_to_gradient - g) / np.linalg.norm(g))
    assert errors[0] < 0.1
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order_of_error, abs=0.05)


def test_a_window_of_whole_walsh_periods_follows_gradient_descent():
    N, updates = 16, 20
    descent = {"batch": 4, "momentum": 0.9, "order": "sequential"}
    theta_bp = backprop_train(XOR, X, Y, updates, eta=0.3, weight_decay=1e-3, seed=4, **descent)
    s = Settings(perturbation="walsh", baseline="antithetic", amplitude=1e-4, tau_theta=N, seed=4, **descent)
    h = simulate(XOR, X, Y, replace(s, eta=0.3 / N, weight_decay=1e-3 * N), N * updates)
    np.testing.assert_allclose(h.theta[::N], theta_bp, atol=1e-7)
    assert np.abs(theta_bp[-1] - theta_bp[0]).max() > 0.1


def test_gradient_record_keeps_the_last_completed_window():
    h = simulate(XOR, X, Y, Settings(tau_theta=3, tau_x=2, eta=0.0), 8)
    contribution = h.cost_ac[:, None] * h.theta_ac / 0.01**2
    sums = [0, contribution[0], contribution[:2].sum(0), contribution[:3].sum(0), contribution[3:6].sum(0)]
    for row, expected in zip(range(9), [*sums[:4], sums[3], sums[3], *[sums[4]] * 3], strict=True):
        np.testing.assert_allclose(h.gradient[row], np.broadcast_to(expected, 9), rtol=1e-12)


def test_noise_mismatch_and_clip_enter_where_they_should():
    s = Settings(eta=0.0, tau_x=3, tau_theta=2, seed=6, chip=7)
    quiet, noisy = (simulate(XOR, X, Y, replace(s, sigma_C=c), 12) for c in (0.0, 0.1))
    xi = [philox.normal(6, 7, philox.COST, n) for n in range(12)]
    np.testing.assert_allclose(noisy.cost - quiet.cost, 0.1 * np.array(xi), atol=1e-15)
    np.testing.assert_array_equal(noisy.baseline, quiet.baseline)
    both = simulate(XOR, X, Y, replace(s, sigma_C=0.1, sigma_C_baseline=True), 12)
    measured_at = [0, 0, 2, 3, 4, 4, 6, 6, 8, 9, 10, 10]  # a baseline is held until the next one
    xi_0 = [philox.normal(6, 7, philox.BASELINE, n) for n in measured_at]
    np.testing.assert_allclose(both.baseline - quiet.baseline, 0.1 * np.array(xi_0), atol=1e-15)
    pair = simulate(XOR, X, Y, replace(s, sigma_C=0.1, baseline="antithetic"), 12)
    pair_quiet = simulate(XOR, X, Y, replace(s, baseline="antithetic"), 12)
    xi_minus = [philox.normal(6, 7, philox.COST_MINUS, n) for n in range(12)]
    expected = 0.05 * (np.array(xi) - xi_minus)
    np.testing.assert_allclose(pair.cost_ac - pair_quiet.cost_ac, expected, atol=1e-15)
    assert np.isnan(pair.baseline).all()
    clipped = simulate(XOR, X, Y, replace(s, sigma_C=0.1, clip=0.05), 12)
    np.testing.assert_array_equal(clipped.cost_ac, np.clip(noisy.cost_ac, -0.05, 0.05))
    uneven = simulate(XOR, X, Y, replace(s, mismatch=0.3), 1)
    gain = [1 + 0.3 * philox.normal(6, 7, philox.MISMATCH, p) for p in range(9)]
    np.testing.assert_allclose(mismatch_gain(9, 0.3, 6, 7), gain, rtol=1e-13)
    seen = uneven.theta[0] + gain * uneven.theta_ac[0]
    i = uneven.sample[0]
    assert uneven.cost[0] == pytest.approx(mean_cost(XOR, seen, X[i], Y[i]), rel=1e-14)
    np.testing.assert_array_equal(uneven.theta_ac, quiet.theta_ac[:1])


@pytest.mark.parametrize(("mode", "tau_theta"), [("discrete", 3), ("analog", 3)])
def test_write_noise_is_numbered_by_the_write(mode, tau_theta):
    s = Settings(eta=0.0, tau_x=2, tau_theta=tau_theta, sigma_theta=0.01, mode=mode, seed=6, chip=7)
    h = simulate(XOR, X, Y, s, 7)
    for n in range(7):
        u = n // 3 if mode == "discrete" else n
        xi = [philox.normal(6, 7, philox.WRITE, 12 * u + p) for p in range(9)]
        expected = 0.01 * np.array(xi) if mode == "analog" or n % 3 == 2 else np.zeros(9)
        np.testing.assert_allclose(h.theta[n + 1] - h.theta[n], expected, atol=1e-15)


def test_schedules():
    assert scheduled_eta(2.0, "constant", None, None, 7) == 2.0
    assert scheduled_eta(2.0, "inverse", None, 0.5, 4) == pytest.approx(2.0 / 3.0)
    cosine = [scheduled_eta(2.0, "cosine", 100, None, t) for t in (0, 50, 100, 1000)]
    assert cosine == pytest.approx([2.0, 1.0, 0.0, 0.0])


@pytest.mark.parametrize(("tau_x", "tau_theta"), [(1, 1), (1, 5), (7, 1), (4, 6), (5, 3), (6, 12), (100, 100)])
@pytest.mark.parametrize("batch", [1, 3])
def test_emulated_time_counts_every_evaluation(tau_x, tau_theta, batch):
    s = Settings(tau_x=tau_x, tau_theta=tau_theta, batch=batch)
    measured, antithetic = (simulate(XOR, X, Y, replace(s, baseline=b), 30) for b in ("measured", "antithetic"))
    n = np.arange(31)
    due = lambda tau: -(-n // tau)  # noqa: E731  multiples of tau in 0 .. n-1
    baselines = due(tau_x) + due(tau_theta) - due(math.lcm(tau_x, tau_theta))
    np.testing.assert_array_equal(measured.evaluations, batch * (n + baselines))
    np.testing.assert_array_equal(antithetic.evaluations, 2 * batch * n)
    np.testing.assert_array_equal(measured.time, measured.evaluations)


# --- every option at once, each step against its equation ---

EVERYTHING = Settings(
    eta=0.3,
    tau_x=4,
    tau_p=2,
    tau_theta=3,
    batch=3,
    momentum=0.5,
    weight_decay=0.1,
    spread=0.2,
    mismatch=0.3,
    seed=12,
    chip=5,
)


def perturbed_cost(h, s, n, sign):
    """Cost of the samples of step n with theta perturbed in one direction, spread and mismatch included."""
    seen = h.theta[n] + sign * mismatch_gain(9, s.mismatch, s.seed, s.chip) * h.theta_ac[n]
    neurons = neuron_spread(XOR, s.spread, s.seed, s.chip)
    return mean_cost(XOR, seen, X[h.sample[n]], Y[h.sample[n]], neurons)


def check_writes(h, s, writes, factor):
    """theta after each of the writes (step, time), from the recorded G and eta halved over 40 steps."""
    v = np.zeros(9)
    for n, t in writes:
        v = 0.5 * v + h.gradient[n + 1] + 0.1 * h.theta[n]
        eta = 0.3 / (1 + t / 40) if s.schedule == "inverse" else 0.15 * (1 + math.cos(math.pi * t / 80))
        np.testing.assert_allclose(h.theta[n + 1], h.theta[n] - factor * eta * v, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("schedule", ["inverse", "cosine"])
@pytest.mark.parametrize("baseline", ["measured", "antithetic"])
@pytest.mark.parametrize("kind", ["random", "walsh", "sequential", "gaussian", "sinusoid"])
def test_each_discrete_step(kind, baseline, schedule):
    options = {"schedule": schedule, "schedule_decay": 1 / 40, "schedule_steps": 80}
    s = replace(EVERYTHING, perturbation=kind, baseline=baseline, **options)
    h = simulate(XOR, X, Y, s, 24)
    for n in range(24):
        theta_ac = perturb.perturbation(kind, 9, n // 2, n, 0.01, s.band, 12, 5)
        np.testing.assert_array_equal(h.theta_ac[n], theta_ac)
        assert h.cost[n] == pytest.approx(perturbed_cost(h, s, n, +1), rel=1e-13)
        other = perturbed_cost(h, s, n, -1 if baseline == "antithetic" else 0)
        expected = (h.cost[n] - other) / (2 if baseline == "antithetic" else 1)
        assert h.cost_ac[n] == pytest.approx(expected, rel=1e-11)
    check_writes(h, s, [(n, n) for n in range(2, 24, 3)], factor=1.0)


@pytest.mark.parametrize("schedule", ["inverse", "cosine"])
@pytest.mark.parametrize("kind", ["random", "walsh", "sequential", "gaussian", "sinusoid"])
def test_each_analog_step(kind, schedule):
    options = {"schedule": schedule, "schedule_decay": 1 / 40, "schedule_steps": 80}
    s = replace(EVERYTHING, perturbation=kind, mode="analog", dt=0.5, **options)
    h = simulate(XOR, X, Y, s, 24)
    for n in range(24):
        theta_ac = perturb.perturbation(kind, 9, n // 4, n * 0.5, 0.01, s.band, 12, 5)
        np.testing.assert_array_equal(h.theta_ac[n], theta_ac)
        assert h.cost[n] == pytest.approx(perturbed_cost(h, s, n, +1), rel=1e-13)
    check_writes(h, s, [(n, n * 0.5) for n in range(24)], factor=0.5)


@pytest.mark.parametrize("schedule", ["inverse", "cosine"])
def test_each_backpropagation_step(schedule):
    options = {"schedule": schedule, "schedule_decay": 1 / 40, "schedule_steps": 80, "seed": 12, "chip": 5}
    theta = backprop_train(XOR, X, Y, 12, eta=0.3, batch=3, momentum=0.5, weight_decay=0.1, **options)
    h = simulate(XOR, X, Y, Settings(batch=3, seed=12, chip=5), 12)  # the same samples
    g = [gradient(XOR, theta[n], X[h.sample[n]], Y[h.sample[n]]) for n in range(12)]
    same = replace(h, theta=theta, gradient=np.array([np.zeros(9), *g]))
    check_writes(same, Settings(schedule=schedule), [(n, n) for n in range(12)], factor=1.0)


# --- analog rule ---


@pytest.mark.parametrize("perturbation", ["random", "sinusoid"])
@pytest.mark.parametrize("dt", [1.0, 0.25])
def test_filters_of_the_analog_mode(perturbation, dt):
    tau_hp, tau_theta, steps = 4.0, 9.0, 120
    s = Settings(perturbation, mode="analog", dt=dt, tau_hp=tau_hp, tau_theta=tau_theta, tau_x=5, eta=0.2, batch=2)
    h = simulate(XOR, X, Y, s, steps)
    change = np.diff(h.cost, prepend=h.cost[0])
    change[:: round(5 / dt)] = 0.0  # samples change here
    pole = tau_hp / (tau_hp + dt)
    np.testing.assert_allclose(h.cost_ac, lfilter([pole], [1.0, -pole], change), rtol=1e-10, atol=1e-15)
    estimate = h.cost_ac[:, None] * h.theta_ac / s.amplitude**2
    low_pass = lfilter([dt / (tau_theta + dt)], [1.0, -tau_theta / (tau_theta + dt)], estimate, axis=0)
    np.testing.assert_allclose(h.gradient[1:], low_pass, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(np.diff(h.theta, axis=0), -0.2 * dt * low_pass, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(h.time, 2 * dt * np.arange(steps + 1))
    clip = np.median(np.abs(h.cost_ac))
    clipped = simulate(XOR, X, Y, replace(s, eta=0.0, clip=clip), steps)
    whole = simulate(XOR, X, Y, replace(s, eta=0.0), steps)
    np.testing.assert_array_equal(clipped.cost_ac, np.clip(whole.cost_ac, -clip, clip))


def test_settings_that_mean_nothing_are_refused():
    for bad in (
        Settings(mode="analog", tau_x=1),
        Settings(mode="analog", tau_x=2, baseline="antithetic"),
        Settings(mode="analog", tau_x=2, tau_p=0.3, dt=0.2),
        Settings(dt=0.5),
        Settings(perturbation="none"),
        Settings(order="random"),
    ):
        with pytest.raises(ValueError, match=r"expected|has none"):
            simulate(XOR, X, Y, bad, 3)

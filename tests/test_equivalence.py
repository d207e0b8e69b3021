"""Special cases of the rule by the names they are known under, each against its textbook form in plain NumPy.

The plain forms share nothing with the kernels: costs and gradients come from the one-sample oracle network.
"""

import math

import numpy as np
import pytest

import analogmgd as am
from oracle import network as onet
from oracle.order import batch_indices
from oracle.perturb import perturbation, walsh_period

SIZES, P, N_TRAIN = [3, 4, 2], 26, 5
NET = am.Network.mlp(SIZES, "tanh", "sigmoid")
PLAIN = onet.Net(tuple(SIZES), ("tanh", "sigmoid"))
RNG = np.random.default_rng(26)
X, Y = RNG.random((N_TRAIN, 3)), RNG.random((N_TRAIN, 2))
DATA = am.Dataset(X, Y)
THETA0 = RNG.normal(0, 0.5, P)
WALSH = walsh_period(P)  # 32
SEED, CHIP = 4, 7


def cost(theta, samples):
    """Mean cost of some samples."""
    return float(onet.mean_cost(PLAIN, theta, X[samples], Y[samples]))


def gradient(theta, samples):
    """True gradient of it."""
    return onet.gradient(PLAIN, theta, X[samples], Y[samples])


def trajectory(rule, steps, order="sequential", record="theta", every=1):
    """theta (or another record) of chip CHIP after every `every` steps, (steps/every + 1, P)."""
    run = am.train(
        NET, DATA, rule, steps=steps, chips=[CHIP], seed=SEED, theta0=THETA0, order=order, precision="double",
        record=record, record_every=every,
    )  # fmt: skip
    return run.record[record][:, 0]


def assert_same(theta, expected):
    """To rounding: C - C0 loses about five digits of 16."""
    assert np.abs(theta - expected).max() <= 1e-10 * np.abs(expected).max()
    assert np.abs(np.diff(expected, axis=0)).max() > 1e-4  # it moved


def slope(amplitudes, errors):
    """Exponent of errors ~ amplitude**slope."""
    return np.polyfit(np.log(amplitudes), np.log(errors), 1)[0]


# --- finite differences, coordinate descent, SPSA ---------------------------------------------------------------------


@pytest.mark.parametrize("tau_p", [1, 3])
@pytest.mark.parametrize("baseline", ["measured", "antithetic"])
def test_sequential_over_all_parameters_is_finite_differences(baseline, tau_p):
    """tau_theta = P tau_p: theta <- theta - eta tau_p (forward or central differences), one sample an update."""
    h, eta, window = 1e-3, 0.5, P * tau_p
    rule = am.MGD(
        perturbation="sequential", amplitude=h, eta=eta, tau_p=tau_p, tau_theta=window, tau_x=window, baseline=baseline
    )
    theta = trajectory(rule, 8 * window, every=window)
    expected = [THETA0]
    for update in range(8):
        now, sample = expected[-1], [update % N_TRAIN]
        differences = np.zeros(P)
        for p in range(P):
            e = np.eye(P)[p] * h
            if baseline == "measured":
                differences[p] = (cost(now + e, sample) - cost(now, sample)) / h
            else:
                differences[p] = (cost(now + e, sample) - cost(now - e, sample)) / (2 * h)
        expected.append(now - eta * tau_p * differences)
    assert_same(theta, np.array(expected))


@pytest.mark.parametrize("tau_p", [1, 3])
def test_sequential_one_parameter_an_update_is_coordinate_descent(tau_p):
    """tau_theta = tau_p: parameters move one after the other, each along its own slope where theta is now."""
    h, eta, updates = 1e-3, 0.5, 2 * P + 3
    rule = am.MGD(perturbation="sequential", amplitude=h, eta=eta, tau_p=tau_p, tau_theta=tau_p, tau_x=4 * tau_p)
    theta = trajectory(rule, updates * tau_p, every=tau_p)
    expected = [THETA0]
    for update in range(updates):
        now, sample, p = expected[-1].copy(), [update // 4 % N_TRAIN], update % P
        shifted = now.copy()
        shifted[p] += h
        now[p] -= eta * tau_p * (cost(shifted, sample) - cost(now, sample)) / h
        expected.append(now)
    assert_same(theta, np.array(expected))


@pytest.mark.parametrize("decay", [0.0, 0.02])
@pytest.mark.parametrize("baseline", ["antithetic", "measured"])
def test_random_one_code_an_update_is_spsa(baseline, decay):
    """tau_theta = tau_p: theta <- theta - a_k (y(+) - y(-))/(2 c) 1/Delta, Delta = +-1 (Spall, IEEE Trans. Autom.
    Control 37, 332 (1992), eq. 2.2 and the gains a/(1 + k decay)); measured: the one-sided form of Spall 1997."""
    c, eta, updates = 1e-2, 0.1, 200
    schedule = {"schedule": "inverse", "schedule_decay": decay} if decay else {}
    rule = am.MGD(perturbation="random", amplitude=c, eta=eta, baseline=baseline, **schedule)
    theta = trajectory(rule, updates)
    expected = [THETA0]
    for k in range(updates):
        now, sample = expected[-1], [k % N_TRAIN]
        Delta = perturbation("random", P, k, k, 1.0, None, SEED, CHIP)
        if baseline == "antithetic":
            estimate = (cost(now + c * Delta, sample) - cost(now - c * Delta, sample)) / (2 * c) / Delta
        else:
            estimate = (cost(now + c * Delta, sample) - cost(now, sample)) / c / Delta
        expected.append(now - eta / (1 + decay * k) * estimate)
    assert_same(theta, np.array(expected))


# --- mini-batches -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("B", [1, 2, 3])
def test_several_samples_a_window_is_a_mini_batch(B):
    """tau_theta = B tau_x, a Walsh period a sample: G -> (Walsh period) x sum of the B samples' gradients; the rest is
    of order amplitude^2 (antithetic), and theta follows gradient descent on mini-batches of B."""
    window, eta, updates = B * WALSH, 0.5, 12
    plain = [THETA0]
    for update in range(updates):
        samples = [(update * B + b) % N_TRAIN for b in range(B)]
        plain.append(plain[-1] - eta * gradient(plain[-1], samples))
    amplitudes, errors = np.geomspace(1e-3, 1e-2, 4), []
    for amplitude in amplitudes:
        rule = am.MGD(
            perturbation="walsh", amplitude=amplitude, eta=eta / window, tau_x=WALSH, tau_theta=window,
            baseline="antithetic",
        )  # fmt: skip
        theta = trajectory(rule, updates * window, every=window)
        errors.append(np.abs(theta - plain).max())
    assert slope(amplitudes, errors) == pytest.approx(2, abs=0.02)
    assert errors[0] < 1e-5


@pytest.mark.parametrize("B", [2, 5, 8])
@pytest.mark.parametrize("order", ["sequential", "shuffle"])
def test_batch_averages_the_cost_of_its_samples(order, B):
    """batch = B, tau_theta = 1: SPSA on the mean cost of B samples at once."""
    c, eta, updates = 1e-2, 0.1, 60
    rule = am.MGD(amplitude=c, eta=eta, batch=B)
    theta = trajectory(rule, updates, order)
    expected = [THETA0]
    for k in range(updates):
        now, samples = expected[-1], batch_indices(order, SEED, CHIP, k, B, N_TRAIN)
        Delta = perturbation("random", P, k, k, 1.0, None, SEED, CHIP)
        change = np.mean([cost(now + c * Delta, [i]) - cost(now, [i]) for i in samples])
        expected.append(now - eta * change / c * Delta)
    assert_same(theta, np.array(expected))


# --- full batches: gradient descent -----------------------------------------------------------------------------------

FULL = {
    "sample after sample, each a Walsh period": {"tau_x": WALSH, "tau_theta": WALSH * N_TRAIN},
    "two rounds of that": {"tau_x": WALSH, "tau_theta": 2 * WALSH * N_TRAIN},
    "code after code, each for all samples": {"tau_p": N_TRAIN, "tau_theta": WALSH * N_TRAIN},
    "a batch of all samples": {"batch": N_TRAIN, "tau_theta": WALSH},
}
UPDATES = 50


@pytest.mark.parametrize("order", ["sequential", "shuffle"])
@pytest.mark.parametrize("settings", FULL.values(), ids=FULL)
def test_many_walsh_periods_follow_full_batch_gradient_descent(settings, order):
    """With eta/tau_theta, as G sums: the largest distance to backpropagation over 50 updates ~ amplitude^2."""
    eta, window = 1.0, settings["tau_theta"]
    descent = trajectory(am.Backprop(eta=eta, batch=N_TRAIN), UPDATES)
    plain = [THETA0]
    for _ in range(UPDATES):
        plain.append(plain[-1] - eta * gradient(plain[-1], list(range(N_TRAIN))))
    assert_same(descent, np.array(plain))
    assert np.linalg.norm(descent[-1] - THETA0) > 0.5
    amplitudes, errors = np.geomspace(2e-3, 2e-2, 4), []
    for amplitude in amplitudes:
        rule = am.MGD(
            perturbation="walsh", baseline="antithetic", amplitude=amplitude, eta=eta / window, **settings
        )  # fmt: skip
        theta = trajectory(rule, UPDATES * window, order, every=window)
        errors.append(np.linalg.norm(theta - descent, axis=1).max())
    assert slope(amplitudes, errors) == pytest.approx(2, abs=0.02)
    assert errors[0] < 1e-4


def test_measured_baseline_leaves_the_first_power():
    """The same with C - C0: second derivatives alias into G, and the distance falls as amplitude only."""
    window = WALSH * N_TRAIN
    descent = trajectory(am.Backprop(eta=1.0, batch=N_TRAIN), UPDATES)
    amplitudes, errors = np.geomspace(1e-5, 1e-3, 4), []
    for amplitude in amplitudes:
        rule = am.MGD(perturbation="walsh", amplitude=amplitude, eta=1 / window, tau_x=WALSH, tau_theta=window)
        errors.append(np.linalg.norm(trajectory(rule, UPDATES * window, every=window) - descent, axis=1).max())
    assert slope(amplitudes, errors) == pytest.approx(1, abs=0.02)


# --- momentum, weight decay, clip -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("momentum", "weight_decay"), [(0.9, 0.0), (0.0, 0.05), (0.8, 0.05)])
def test_momentum_and_weight_decay(momentum, weight_decay):
    """v <- momentum v + G + weight_decay theta, G being the window's sum: gradient descent with the weight decay
    divided by the steps of a window."""
    eta, window = 0.2, WALSH * N_TRAIN
    everything = list(range(N_TRAIN))
    plain, v = [THETA0], np.zeros(P)
    for _ in range(UPDATES):
        v = momentum * v + gradient(plain[-1], everything) + weight_decay * plain[-1]
        plain.append(plain[-1] - eta * v)
    backprop = am.Backprop(eta=eta, batch=N_TRAIN, momentum=momentum, weight_decay=weight_decay)
    assert_same(trajectory(backprop, UPDATES), np.array(plain))
    amplitudes, errors = np.geomspace(2e-3, 2e-2, 3), []
    for amplitude in amplitudes:
        rule = am.MGD(
            perturbation="walsh", baseline="antithetic", amplitude=amplitude, eta=eta / window, tau_x=WALSH,
            tau_theta=window, momentum=momentum, weight_decay=weight_decay * window,
        )  # fmt: skip
        theta = trajectory(rule, UPDATES * window, every=window)
        errors.append(np.linalg.norm(theta - plain, axis=1).max())
    assert slope(amplitudes, errors) == pytest.approx(2, abs=0.05)


def test_clip_acts_above_its_limit_only():
    rule = am.MGD(amplitude=0.05, eta=0.0, tau_theta=50)
    free = trajectory(rule, 50, record="cost_ac")[1:]
    limit = float(np.median(np.abs(free)))
    clipped = trajectory(rule.replace(clip=limit), 50, record="cost_ac")[1:]
    assert np.array_equal(clipped, np.clip(free, -limit, limit))
    assert 20 <= (clipped != free).sum() <= 30
    moving = rule.replace(eta=0.5)
    unclipped = trajectory(moving, 500)
    assert np.array_equal(trajectory(moving.replace(clip=10.0), 500), unclipped)
    assert not np.array_equal(trajectory(moving.replace(clip=limit), 500), unclipped)


def test_clipped_C_ac_is_what_G_sums():
    """SPSA with a clip, step by step."""
    c, eta, limit = 0.05, 0.1, 3e-3
    theta = trajectory(am.MGD(amplitude=c, eta=eta, clip=limit), 100)
    expected, met = [THETA0], 0
    for k in range(100):
        now, sample = expected[-1], [k % N_TRAIN]
        Delta = perturbation("random", P, k, k, 1.0, None, SEED, CHIP)
        change = cost(now + c * Delta, sample) - cost(now, sample)
        met += abs(change) > limit
        expected.append(now - eta * math.copysign(min(abs(change), limit), change) / c * Delta)
    assert 10 < met < 95
    assert_same(theta, np.array(expected))


def test_eta_of_the_authors_code_is_P_times_ours():
    """Dividing by the squared norm of the whole perturbation, P amplitude^2 for codes, in place of amplitude^2."""
    c, eta = 1e-2, 0.1
    theta = trajectory(am.MGD(amplitude=c, eta=eta), 40)
    expected = [THETA0]
    for k in range(40):
        now, sample = expected[-1], [k % N_TRAIN]
        theta_ac = perturbation("random", P, k, k, c, None, SEED, CHIP)
        estimate = (cost(now + theta_ac, sample) - cost(now, sample)) * theta_ac / np.sum(theta_ac**2)
        expected.append(now - P * eta * estimate)
    assert_same(theta, np.array(expected))

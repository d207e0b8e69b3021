"""The analog mode: its filters against scipy's, what they do to the estimate, and the limit dt -> 0.

Statistical tests: |z| < 4.5 (two-sided significance 7e-6), fixed seeds; see test_estimator.py.
"""

import math

import numpy as np
import pytest
from scipy.linalg import hadamard
from scipy.signal import lfilter

import analogmgd as am
from oracle import network as onet
from oracle.perturb import perturbation

Z = 4.5
SIZES, P = [2, 2, 1], 9
NET = am.Network.mlp(SIZES)
PLAIN = onet.Net(tuple(SIZES), ("sigmoid", "sigmoid"))
RNG = np.random.default_rng(9)
THETA0 = RNG.normal(0, 1, P)
ONE = am.Dataset([[0.3, 0.8]], [[1.0]])
FOUR = am.Dataset(RNG.random((4, 2)), [[0.0], [1.0], [1.0], [0.0]])
SEED, CHIP = 5, 2
AMPLITUDE = 1e-2


def run_chip(data, rule, steps, record=("theta", "gradient"), **settings):
    """A run of chip CHIP, every iteration recorded and probed."""
    settings = {"theta0": THETA0, "precision": "double"} | settings
    rule = am.MGD(mode="analog", **{"amplitude": AMPLITUDE} | rule)
    return am.train(
        NET, data, rule, steps=steps, chips=[CHIP], seed=SEED, record=record, record_every=1, probe_chips=[CHIP],
        **settings,
    )  # fmt: skip


def theta_ac(kind, steps, dt=1.0, tau_p=1):
    """(steps, P), from the oracle."""
    hold = round(tau_p / dt)
    return np.array(
        [perturbation(kind, P, n // hold, n * dt, AMPLITUDE, (0.16, 0.32), SEED, CHIP) for n in range(steps)]
    )


# --- the filters themselves -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dt", [1.0, 0.25])
@pytest.mark.parametrize("tau_hp", [0.7, 10.0, 1e4])
def test_high_pass_is_a_first_order_filter(tau_hp, dt):
    """C_ac = lfilter([a, -a], [1, -a], C - C(0)), a = tau_hp/(tau_hp + dt), for one sample."""
    run = run_chip(ONE, {"tau_hp": tau_hp, "dt": dt, "tau_x": 10**6, "eta": 1e-3, "tau_theta": 3}, 400)
    C, C_ac = run.probe["cost"][:, 0], run.probe["cost_ac"][:, 0]
    a = tau_hp / (tau_hp + dt)
    assert np.abs(C_ac - lfilter([a, -a], [1, -a], C - C[0])).max() < 1e-13
    assert np.ptp(C_ac) > AMPLITUDE / 100


@pytest.mark.parametrize("tau_x", [2, 5, 12])
def test_high_pass_leaves_out_the_change_of_sample(tau_x):
    """The same filter of the cost's increments, those at a change of the sample left out."""
    run = run_chip(FOUR, {"tau_hp": 10.0, "tau_x": tau_x, "eta": 1e-3, "tau_theta": 3}, 400)
    C, C_ac = run.probe["cost"][:, 0], run.probe["cost_ac"][:, 0]
    increments = np.diff(C, prepend=C[0])
    increments[::tau_x] = 0
    a = 10 / 11
    assert np.abs(C_ac - lfilter([a], [1, -a], increments)).max() < 1e-13


def test_step_of_the_cost_between_samples_does_not_pass():
    """With a tiny perturbation the cost jumps between samples by thousands of what C_ac ever is."""
    run = run_chip(FOUR, {"tau_x": 4, "tau_hp": 10.0, "amplitude": 1e-6, "eta": 0.0}, 400)
    jumps = np.abs(np.diff(run.probe["cost"][:, 0])[3::4])
    slopes = [onet.gradient(PLAIN, THETA0, FOUR.x_train[[i]], FOUR.y_train[[i]]) for i in range(4)]
    limit = 11 * 2e-6 * np.abs(slopes).sum(axis=1).max()  # the filter's memory times the largest increment
    assert np.abs(run.probe["cost_ac"]).max() < limit
    assert jumps.max() > 1000 * limit


@pytest.mark.filterwarnings("ignore::analogmgd.errors.AnalogMGDWarning")  # of the bias of turns
@pytest.mark.parametrize("kind", ["random", "walsh", "sequential", "gaussian", "sinusoid"])
@pytest.mark.parametrize(("tau_theta", "dt"), [(7.5, 1.0), (0.3, 1.0), (40.0, 0.5)])
def test_low_pass_is_a_first_order_filter(kind, tau_theta, dt):
    """G = lfilter([b], [1, -(1 - b)], C_ac theta_ac/amplitude^2), b = dt/(tau_theta + dt)."""
    rule = {"perturbation": kind, "tau_theta": tau_theta, "dt": dt, "tau_x": 5, "eta": 1e-3}
    run = run_chip(FOUR, rule, 300)
    products = run.probe["cost_ac"] * theta_ac(kind, 300, dt) / AMPLITUDE**2
    b = dt / (tau_theta + dt)
    expected = lfilter([b], [1, -(1 - b)], products, axis=0)
    assert np.abs(run.record["gradient"][1:, 0] - expected).max() < 1e-9 * np.abs(expected).max()


def test_theta_moves_by_eta_dt_G():
    run = run_chip(FOUR, {"tau_theta": 20.0, "dt": 0.5, "tau_x": 5, "eta": 1e-3}, 300)
    moved = np.diff(run.record["theta"][:, 0], axis=0)
    assert np.abs(moved + 1e-3 * 0.5 * run.record["gradient"][1:, 0]).max() < 1e-14


# --- what they do to the estimate -------------------------------------------------------------------------------------


def estimates(chips, steps, data=ONE, seed=0, **rule):
    """(G (chips, P) after `steps` iterations at a fixed theta, g); chips differ by codes or phases."""
    mgd = am.MGD(mode="analog", amplitude=1e-4, eta=0.0, **rule)
    run = am.train(
        NET, data, mgd, steps=steps, chips=chips, seed=seed, theta0=THETA0, precision="double", record="gradient",
        record_every=steps,
    )  # fmt: skip
    return run.record["gradient"][-1], am.gradient(NET, data, THETA0)


def expected_scale(correlation, tau_theta, tau_hp, tau_x, dt):
    """Factor of G against g after 1, 2, .. iterations for a cost linear in theta, from the two filters alone.

    correlation : (steps, steps), of a parameter's perturbation at two iterations, in units of amplitude^2
    """
    a, b = tau_hp / (tau_hp + dt), dt / (tau_theta + dt)
    n = np.arange(len(correlation))
    passes = n % round(tau_x / dt) != 0  # increments at a change of the sample are left out
    increment = correlation - np.roll(correlation, 1, axis=1)  # of the cost at m, seen by the perturbation at n
    age = np.tril(n[:, np.newaxis] - n)
    high_passed = np.tril(a ** (age + 1.0) * increment * passes).sum(axis=1)
    return lfilter([b], [1, -(1 - b)], high_passed)


def correlation_of_codes(steps, hold):
    """1 while a code is held, independent codes otherwise."""
    number = np.arange(steps) // hold
    return (number[:, np.newaxis] == number).astype(float)


def z_of_scale(G, g, expected):
    """Of mean(G.g)/|g|^2, in standard errors."""
    scale = G @ g / (g @ g)
    return (scale.mean() - expected) / (scale.std(ddof=1) / math.sqrt(len(scale)))


CHANGING = [(1.0, 10_000, 1), (10.0, 4, 1), (100.0, 2, 1), (3.0, 3, 1), (1.0, 8, 2), (30.0, 4, 2)]


@pytest.mark.parametrize(("tau_hp", "tau_x", "dt"), CHANGING)
@pytest.mark.parametrize("kind", ["random", "gaussian"])
def test_scale_for_codes_that_change_every_dt(kind, tau_hp, tau_x, dt):
    """tau_hp/(tau_hp + dt) (1 - dt/tau_x): of a code's own change of the cost the high-pass lets that much through,
    and nothing in the first iteration of a sample."""
    steps, tau_theta = 600, 50.0 * dt
    exact = expected_scale(correlation_of_codes(steps, 1), tau_theta, tau_hp, tau_x, dt)
    over_samples = exact[-12:].mean()  # several presentations
    assert over_samples == pytest.approx(tau_hp / (tau_hp + dt) * (1 - dt / tau_x), rel=2e-4)
    rule = {"perturbation": kind, "tau_hp": tau_hp, "tau_x": tau_x, "dt": dt, "tau_p": dt, "tau_theta": tau_theta}
    assert abs(z_of_scale(*estimates(8192, steps, seed=round(7 * tau_hp), **rule), exact[-1])) < Z


@pytest.mark.parametrize(("tau_hp", "tau_x", "tau_p"), [(100.0, 40, 4), (3.0, 40, 4), (10.0, 5, 2), (10.0, 6, 3)])
def test_scale_for_codes_that_are_held(tau_hp, tau_x, tau_p):
    """M = tau_p/dt iterations a code: a (1 - a^M)/(M (1 - a)), a = tau_hp/(tau_hp + dt); times the share of codes that
    do not come together with a sample, 1 - tau_p/lcm(tau_p, tau_x)."""
    steps, tau_theta, a, both = 600, 60.0, tau_hp / (tau_hp + 1), math.lcm(tau_p, tau_x)
    exact = expected_scale(correlation_of_codes(steps, tau_p), tau_theta, tau_hp, tau_x, 1)
    held = a * (1 - a**tau_p) / (tau_p * (1 - a))
    assert exact[-both:].mean() == pytest.approx(held * (1 - tau_p / both), rel=2e-4)
    rule = {"tau_hp": tau_hp, "tau_x": tau_x, "tau_p": tau_p, "tau_theta": tau_theta}
    assert abs(z_of_scale(*estimates(8192, steps, seed=tau_p, **rule), exact[-1])) < Z


@pytest.mark.parametrize(("tau_hp", "tau_x", "dt"), [(0.5, 10_000, 1.0), (10.0, 5, 1.0), (2.0, 10, 0.5)])
def test_scale_for_sinusoids(tau_hp, tau_x, dt):
    """Re H(f) (1 - dt/tau_x), parameter by parameter, H = a (1 - z)/(1 - a z), z = exp(-2 pi i f dt)."""
    steps, tau_theta, a = 600, 50.0 * dt, tau_hp / (tau_hp + dt)
    rule = {"perturbation": "sinusoid", "tau_hp": tau_hp, "tau_x": tau_x, "dt": dt, "tau_theta": tau_theta}
    first, period = am.MGD(mode="analog", **{k: rule[k] for k in ("tau_x", "dt")}).sine_grid(P)
    G, g = estimates(4096, steps, seed=3, **rule)
    lag = np.arange(steps)[:, np.newaxis] - np.arange(steps)
    z = []
    for p in range(P):
        angle = 2 * math.pi * (first + p) / period * dt
        turn = np.exp(-1j * angle)
        exact = expected_scale(np.cos(angle * lag), tau_theta, tau_hp, tau_x, dt)
        passed = (a * (1 - turn) / (1 - a * turn)).real
        assert exact[-20:].mean() == pytest.approx(passed * (1 - dt / tau_x), rel=2e-3)
        z.append((G[:, p].mean() - exact[-1] * g[p]) / (G[:, p].std(ddof=1) / math.sqrt(len(G))))
    assert np.abs(z).max() < Z


def test_low_pass_has_gain_one():
    """E[G] settles at the scale of the high-pass, as 1 - (tau_theta/(tau_theta + dt))^n: it averages, does not sum."""
    tau_theta = 30.0
    for steps in (1, 20, 300):
        rule = {"tau_theta": tau_theta, "tau_hp": 1e6, "tau_x": 10**6}
        expected = 1 - (tau_theta / (tau_theta + 1)) ** (steps - 1)  # nothing in the first iteration
        expected *= tau_theta / (tau_theta + 1) if steps == 1 else 1
        if steps == 1:
            G, _ = estimates(16, 1, **rule)
            assert not G.any()
        else:
            assert abs(z_of_scale(*estimates(8192, steps, seed=steps, **rule), expected)) < Z


def test_sequential_turns_lose_the_mean_of_the_gradient():
    """The high-pass takes away what all turns have in common: P G -> g - mean(g)."""
    rule = {"perturbation": "sequential", "tau_hp": 300.0, "tau_x": 10**6, "tau_theta": 3000.0}
    with pytest.warns(am.AnalogMGDWarning, match="less its mean"):
        G, g = estimates(1, 30_000, **rule)
    assert np.abs(P * G[0] - (g - g.mean())).max() < 0.02 * np.linalg.norm(g)
    assert abs(g.mean()) > 0.1 * np.linalg.norm(g)


@pytest.mark.parametrize("tau_hp", [1.0, 3.0, 30.0, 300.0])
def test_walsh_codes_cross_over_through_the_high_pass(tau_hp):
    """Delayed Walsh codes are not orthogonal: what the high-pass remembers of others enters G, as 1/tau_hp for long
    ones. Against the Hadamard matrix put through the filter as a periodic signal."""
    G, g = estimates(1, 80_000, perturbation="walsh", tau_hp=tau_hp, tau_x=10**6, tau_theta=8000.0)
    codes = hadamard(16)[:, 1 : P + 1]
    a, turn = tau_hp / (tau_hp + 1), np.exp(-2j * np.pi * np.fft.fftfreq(16))
    cost = np.fft.ifft(np.fft.fft(codes @ g) * a * (1 - turn) / (1 - a * turn)).real
    expected = codes.T @ cost / 16
    assert np.linalg.norm(G[0] - expected) < 1e-3 * np.linalg.norm(g)
    error = np.linalg.norm(expected - g) / np.linalg.norm(g)
    assert 0.4 < error * tau_hp < 0.8


@pytest.mark.parametrize(("tau_hp", "amplitude", "learns"), [(100.0, 1e-2, True), (1e4, 1e-3, False)])
def test_too_much_of_the_offset_stops_sinusoids(tau_hp, amplitude, learns):
    """eta |g| tau_hp thousands of times the amplitude: theta swings against its perturbation and cancels it."""
    rule = am.MGD(
        perturbation="sinusoid", mode="analog", amplitude=amplitude, eta=2e-3, tau_hp=tau_hp, tau_theta=10.0,
        tau_x=10**6,
    )  # fmt: skip
    settings = {"chips": 16, "theta0": THETA0, "precision": "double", "record": "cost", "record_every": 10_000}
    cost = am.train(NET, ONE, rule, steps=10_000, **settings).cost
    assert (cost[-1] < 0.1 * cost[0]).all() if learns else (cost[-1] > 0.8 * cost[0]).all()


@pytest.mark.parametrize(("kind", "tau_x", "cured"), [("walsh", 16, 17), ("walsh", 2, 3), ("sinusoid", 19, 20)])
def test_changes_of_sample_in_step_with_the_perturbation_bias_G(kind, tau_x, cured):
    """Also with shuffled samples, even with a single one: the same codes always lose their change of the cost."""
    rule = {"perturbation": kind, "tau_hp": 100.0, "tau_theta": 8000.0}
    with pytest.warns(am.AnalogMGDWarning, match=f"for example, tau_x = {cured}"):
        locked, g = estimates(1, 80_000, tau_x=tau_x, **rule)
    free, g = estimates(1, 80_000, tau_x=cured, **rule)

    def angle(G):
        return math.degrees(math.acos(G @ g / np.linalg.norm(G) / np.linalg.norm(g)))

    assert angle(locked[0]) > (30 if kind == "walsh" else 3)
    assert angle(free[0]) < 0.5


def test_learning_itself_leaves_an_offset():
    """While theta descends the cost falls by eta |g|^2 a step, and tau_hp of that stands in C_ac: it adds noise to G,
    so eta |g| tau_hp should stay well below the amplitude."""
    eta, tau_hp = 2e-5, 50.0
    rule = am.MGD(mode="analog", amplitude=1e-2, eta=eta, tau_hp=tau_hp, tau_theta=20.0, tau_x=10**6)
    settings = {"chips": 8192, "theta0": THETA0, "precision": "double", "record": "cost_ac", "record_every": 600}
    offset = am.train(NET, ONE, rule, steps=600, **settings).record["cost_ac"][-1]
    still = am.train(NET, ONE, rule.replace(eta=0), steps=600, **settings).record["cost_ac"][-1]  # the same codes
    g = am.gradient(NET, ONE, THETA0)
    change = offset - still
    assert change.mean() == pytest.approx(-eta * (g @ g) * tau_hp * tau_hp / (tau_hp + 1), rel=0.02)
    assert change.std(ddof=1) / math.sqrt(len(change)) < 0.004 * abs(change.mean())


def test_perturbations_that_change_with_the_sample_tell_nothing():
    """tau_p a multiple of tau_x: C_ac stays 0, as with tau_x = dt, which is refused; here a warning is given."""
    with pytest.warns(am.AnalogMGDWarning, match="tells nothing"):
        G, _ = estimates(4, 64, tau_x=2, tau_p=4, tau_theta=5.0)
    assert np.abs(G).max() < 1e-12 / 1e-4
    with pytest.raises(am.ConfigError, match="tau_x"):
        am.MGD(mode="analog", tau_x=1)


# --- learning per unit of time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [ONE, FOUR], ids=["one sample", "four samples"])
def test_trajectory_converges_at_first_order_in_dt(data):
    """Slow sinusoids, the same times: theta at t = 2000 for dt = 1, 1/2, 1/4, ... changes by half as much each time,
    and has moved far compared with that."""
    ends = []
    for halvings in range(5):
        dt = 0.5**halvings
        rule = am.MGD(
            perturbation="sinusoid", mode="analog", band=(0.01, 0.02), amplitude=0.05, eta=0.01, dt=dt, tau_hp=50.0,
            tau_theta=200.0, tau_x=41,
        )  # fmt: skip
        run = am.train(
            NET, data, rule, steps=2000 * 2**halvings, chips=[CHIP], seed=SEED, theta0=THETA0,
            precision="double", record="theta", record_every=1000 * 2**halvings,
        )  # fmt: skip
        assert run.time[-1] == pytest.approx(2000e-3)
        ends.append(run.theta[0])
    changes = np.linalg.norm(np.diff(ends, axis=0), axis=1)
    order = -np.polyfit(np.arange(4), np.log2(changes), 1)[0]
    assert order == pytest.approx(1, abs=0.03)
    assert np.linalg.norm(ends[-1] - THETA0) > 100 * changes[-1]


def test_learning_per_step_is_that_of_the_discrete_mode():
    """eta is per step of time in both modes: a slow high-pass, long samples and small eta give the same descent."""
    common = {"perturbation": "sinusoid", "amplitude": 1e-2, "eta": 2e-3}
    settings = {"steps": 20_000, "chips": 8, "theta0": THETA0, "precision": "double", "record": "cost"}
    discrete = am.train(NET, ONE, am.MGD(**common), **settings)
    analog = am.train(
        NET, ONE, am.MGD(mode="analog", tau_hp=100.0, tau_x=10**6, tau_theta=100.0, **common), **settings
    )  # fmt: skip
    moved = np.linalg.norm(discrete.theta - THETA0, axis=1)
    assert moved.min() > 0.3
    assert (np.linalg.norm(discrete.theta - analog.theta, axis=1) / moved).max() < 0.02

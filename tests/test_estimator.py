"""What G is: its mean, spread and direction against theory, through the public functions alone.

Statistical tests use fixed seeds and many chips, which differ by their random codes alone: all start at the same
theta, see the same sample and, with eta = 0, stay there. Each asserts |z| < 4.5 (two-sided significance 7e-6) unless
it says otherwise, so that all of them together would fail by chance with a probability below 1e-3.
"""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

import analogmgd as am
from analogmgd.advice import data_period, shared_factor, warnings_for
from oracle import network as onet

Z = 4.5
SIZES = {9: [2, 2, 1], 220: [49, 4, 4], 2000: [78, 20, 20]}


def problem(n_params, n_samples=1, activation="tanh"):
    """(network, data, theta0) with a gradient of ordinary size."""
    sizes = SIZES[n_params]
    net = am.Network.mlp(sizes, activation, "sigmoid")
    assert net.n_params == n_params
    rng = np.random.default_rng(n_params)
    data = am.Dataset(rng.random((n_samples, sizes[0])), rng.random((n_samples, sizes[-1])))
    return net, data, rng.normal(0, 0.3, n_params)


def estimates(net, data, theta0, steps, draws=1, seed=0, record="gradient", angle="chip", order="shuffle", **rule):
    """G (draws, P), or the angle (draws,), after one window of `steps` steps."""
    settings = {"amplitude": 1e-4, "eta": 0.0, "tau_theta": steps, "tau_x": steps, "baseline": "antithetic"} | rule
    run = am.train(
        net, data, am.MGD(**settings), steps=steps, chips=draws, seed=seed, theta0=theta0, precision="double",
        record=record, record_every=steps, angle=angle, order=order,
    )  # fmt: skip
    return run.record[record][-1]


def z_of_mean(values, expected):
    """Deviation of a mean from theory in standard errors."""
    return (values.mean() - expected) / (values.std(ddof=1) / math.sqrt(len(values)))


def efficiency(G, g):
    """mean(G.g) / (|g| sqrt(mean |G|^2)) and its standard error (delta method)."""
    along, square = G @ g / np.linalg.norm(g), (G**2).sum(axis=1)
    root = math.sqrt(square.mean())
    value = along.mean() / root
    influence = along / root - value / 2 * (square / square.mean())
    return value, influence.std(ddof=1) / math.sqrt(len(G))


def z_of_efficiency(G, g, steps, extra):
    """Of sqrt(K/(K + P + extra)), in standard errors."""
    value, error = efficiency(G, g)
    return (value - math.sqrt(steps / (steps + len(g) + extra))) / error


# --- direction and spread ---------------------------------------------------------------------------------------------

DRAWS = {9: 8192, 220: 1024, 2000: 1024}
EXTRA = {"random": -1, "gaussian": +1}
CASES = [(kind, 9, steps) for kind in EXTRA for steps in (1, 2, 9, 30, 90)]
CASES += [(kind, 220, steps) for kind in EXTRA for steps in (1, 22, 220, 2200)]
CASES += [(kind, 2000, steps) for kind in EXTRA for steps in (1, 200)] + [("random", 2000, 2000)]


@pytest.mark.parametrize(("kind", "n_params", "steps"), CASES)
def test_efficiency_and_mean(kind, n_params, steps):
    """mean(G.g)/(|g| sqrt(mean |G|^2)) = sqrt(K/(K+P-1)), random; sqrt(K/(K+P+1)), gaussian; and E[G]/K = g."""
    net, data, theta0 = problem(n_params)
    G = estimates(net, data, theta0, steps, DRAWS[n_params], seed=steps, perturbation=kind)
    g = am.gradient(net, data, theta0)
    assert abs(z_of_efficiency(G, g, steps, EXTRA[kind])) < Z
    # E[G] = K g: along g, and every component (significance 7e-6 for all of them together, Bonferroni)
    assert abs(z_of_mean(G @ g, steps * (g @ g))) < Z
    z = (G.mean(axis=0) - steps * g) / (G.std(axis=0, ddof=1) / math.sqrt(len(G)))
    assert np.abs(z).max() < stats.norm.isf(stats.norm.sf(Z) / len(g))


@pytest.mark.parametrize("steps", [2, 9, 30])
@pytest.mark.parametrize("kind", EXTRA)
def test_the_formulas_are_told_apart(kind, steps):
    """The test above has power: for P = 9 it rejects the other kind's formula, and K + P in place of K + P -+ 1."""
    net, data, theta0 = problem(9)
    G = estimates(net, data, theta0, steps, DRAWS[9], seed=steps, perturbation=kind)
    g = am.gradient(net, data, theta0)
    for wrong in (-EXTRA[kind], 0):
        assert abs(z_of_efficiency(G, g, steps, wrong)) > Z


def test_covariance_of_random_codes():
    """Covariance of G: K (|g|^2 1 + g g^T - 2 diag(g^2)), every element, P = 9."""
    net, data, theta0 = problem(9)
    g, steps, draws = am.gradient(net, data, theta0), 5, 16384
    deviation = estimates(net, data, theta0, steps, draws, seed=5) - steps * g
    expected = steps * (g @ g * np.eye(9) + np.outer(g, g) - 2 * np.diag(g**2))
    products = deviation[:, :, np.newaxis] * deviation[:, np.newaxis, :]
    z = (products.mean(axis=0) - expected) / (products.std(axis=0, ddof=1) / math.sqrt(draws))
    assert np.abs(z).max() < stats.norm.isf(stats.norm.sf(Z) / 45)


def test_angle_is_that_of_gradient():
    """The recorded angle is arccos of the cosine between G and the true gradient, chip by chip."""
    net, data, theta0 = problem(9)
    g = am.gradient(net, data, theta0)
    G, angle = (estimates(net, data, theta0, 40, 64, seed=3, record=name) for name in ("gradient", "angle"))
    cosine = G @ g / np.linalg.norm(g) / np.linalg.norm(G, axis=1)
    assert np.allclose(angle, np.degrees(np.arccos(cosine)), atol=1e-4)


# --- one period of the orthogonal perturbations -----------------------------------------------------------------------

AMPLITUDES = {"measured": np.geomspace(1e-5, 1e-3, 5), "antithetic": np.geomspace(2e-3, 2e-2, 5)}


def period_error(n_params, amplitude, **rule):
    """|G/G_expected - g|/|g| after one period: G is K g, for sequential (K/P) g."""
    net, data, theta0 = problem(n_params)
    mgd = am.MGD(**rule)
    steps = mgd.period(n_params)
    G = estimates(net, data, theta0, steps, amplitude=amplitude, **rule)[0]
    g = am.gradient(net, data, theta0)
    share = 1 if mgd.perturbation == "sequential" else steps
    return np.linalg.norm(G / share - g) / np.linalg.norm(g)


def slope(amplitudes, errors):
    """Exponent of errors ~ amplitude**slope."""
    return np.polyfit(np.log(amplitudes), np.log(errors), 1)[0]


@pytest.mark.parametrize("n_params", [9, 220])
@pytest.mark.parametrize(("kind", "baseline", "order"), [
    ("walsh", "measured", 1), ("sequential", "measured", 1), ("sinusoid", "measured", 2),
    ("walsh", "antithetic", 2), ("sequential", "antithetic", 2), ("sinusoid", "antithetic", 2),
])  # fmt: skip
def test_error_after_a_period_against_amplitude(kind, baseline, order, n_params):
    """Exact but for the curvature of the cost: error ~ amplitude with the measured baseline, squared with the
    antithetic one. Sinusoids in the default band, one octave, gain the square with either: sums and differences of two
    frequencies, where the second order lands, lie outside the band."""
    amplitudes = AMPLITUDES["measured" if order == 1 else "antithetic"]
    errors = [period_error(n_params, a, perturbation=kind, baseline=baseline) for a in amplitudes]
    assert slope(amplitudes, errors) == pytest.approx(order, abs=0.1)
    assert errors[0] < (0.05 if order == 1 else 0.01)


def hessian(net, data, theta, h=1e-4):
    """Second derivatives of the mean cost, central differences of the true gradient: (P, P)."""
    steps = h * np.eye(net.n_params)
    H = (am.gradient(net, data, theta + steps) - am.gradient(net, data, theta - steps)) / (2 * h)
    return (H + H.T) / 2


@pytest.mark.parametrize("kind", ["walsh", "sequential"])
def test_first_power_is_the_second_derivatives(kind):
    """With C - C0, G - g -> amplitude/2 times: sequential, H_pp; Walsh, the sum of H_qr over all pairs of parameters
    whose codes have that of p as their product, (q+1) xor (r+1) = p+1."""
    net, data, theta0 = problem(9)
    H, amplitude = hessian(net, data, theta0), 1e-5
    steps = am.MGD(perturbation=kind).period(9)
    G = estimates(net, data, theta0, steps, perturbation=kind, baseline="measured", amplitude=amplitude)[0]
    error = G / (steps if kind == "walsh" else 1) - am.gradient(net, data, theta0)
    expected = H.diagonal().copy()
    if kind == "walsh":
        number = np.arange(1, 10)
        product = number[:, np.newaxis] ^ number
        expected = np.array([H[product == p].sum() for p in number])
    assert np.abs(error - amplitude / 2 * expected).max() < 1e-3 * np.abs(error).max()


def test_a_wider_band_lets_the_second_order_in():
    """Sinusoids over more than an octave have only the first power with the measured baseline, like codes."""
    rule = {"perturbation": "sinusoid", "baseline": "measured", "band": (0.05, 0.45)}
    amplitudes = AMPLITUDES["measured"]
    errors = [period_error(220, a, **rule) for a in amplitudes]
    assert slope(amplitudes, errors) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("baseline", ["measured", "antithetic"])
@pytest.mark.parametrize("kind", ["walsh", "sequential"])
@pytest.mark.parametrize("tau_p", [2, 3])
def test_holding_a_code_counts_it_again(kind, tau_p, baseline):
    """tau_p steps a code: G is tau_p times as large and its error the same."""
    net, data, theta0 = problem(9)
    once = estimates(net, data, theta0, 144, perturbation=kind, baseline=baseline, seed=1)
    held = estimates(net, data, theta0, 144 * tau_p, perturbation=kind, baseline=baseline, tau_p=tau_p)
    assert np.allclose(held, tau_p * once, rtol=0, atol=1e-9 * np.abs(held).max())


# --- noise of the cost ------------------------------------------------------------------------------------------------

SIGMA = 1e-3


@pytest.mark.parametrize(("kind", "baseline", "noisy_baseline", "expected"), [
    # variance of a component of G in units of (sigma_C/amplitude)^2, K = 16 steps, P = 9
    ("random", "measured", False, 16), ("random", "measured", True, 32), ("random", "antithetic", False, 8),
    ("gaussian", "measured", False, 16), ("gaussian", "antithetic", False, 8),
    ("walsh", "measured", False, 16), ("walsh", "measured", True, 16), ("walsh", "antithetic", False, 8),
    ("sequential", "measured", False, 16 / 9), ("sequential", "measured", True, (7 * 4 + 2 * 1 + 16) / 9),
])  # fmt: skip
def test_variance_of_G_from_cost_noise(kind, baseline, noisy_baseline, expected):
    """K (sigma_C/amplitude)^2, half of it antithetic; a noisy baseline adds (sum of theta_ac)^2 of the window: K on
    average for random codes, nothing for Walsh codes over a period, the square of its turns for sequential."""
    net, data, theta0 = problem(9)
    rule = {"perturbation": kind, "baseline": baseline, "amplitude": 1e-2, "draws": 4096, "seed": 11}
    converters = am.Converters(sigma_C=SIGMA, sigma_C_baseline=noisy_baseline)
    noisy = estimates(am.Chip(net, converters=converters), data, theta0, 16, **rule)
    noise = noisy - estimates(net, data, theta0, 16, **rule)  # the same codes
    assert abs(noise.mean() / noise.mean(axis=1).std(ddof=1) * math.sqrt(len(noise))) < Z
    assert abs(z_of_mean((noise**2).mean(axis=1) * (1e-2 / SIGMA) ** 2, expected)) < Z


def test_noise_of_walsh_codes_is_white():
    """Over a period of orthogonal codes every component has independent noise of the same variance: chi-squared with
    chips x P degrees of freedom."""
    net, data, theta0 = problem(220)
    noisy = am.Chip(net, converters=am.Converters(sigma_C=SIGMA))
    rule = {"perturbation": "walsh", "baseline": "measured", "amplitude": 1e-2, "draws": 64}
    noise = estimates(noisy, data, theta0, 256, **rule) - estimates(net, data, theta0, 256, **rule)
    chi2 = (noise**2).sum() * (1e-2 / SIGMA) ** 2 / 256
    assert 7e-6 < 2 * stats.chi2.cdf(chi2, noise.size) < 2 - 7e-6


# --- imperfections of the chip ----------------------------------------------------------------------------------------


def test_gradient_is_the_chips_own():
    """With neurons that differ, G points along the gradient of this chip and not of the ideal network."""
    net, data, theta0 = problem(220)
    chip = am.Chip(net, neuron=am.Neuron(spread=0.2))
    rule = {"perturbation": "walsh", "draws": 16, "seed": 9}
    own = estimates(chip, data, theta0, 256, record="angle", angle="chip", **rule)
    ideal = estimates(chip, data, theta0, 256, record="angle", angle="ideal", **rule)
    assert own.max() < 1e-3
    oracle = onet.Net(SIZES[220], ("tanh", "sigmoid"))
    g0 = onet.gradient(oracle, theta0, data.x_train, data.y_train)
    for c in range(16):
        g = onet.gradient(oracle, theta0, data.x_train, data.y_train, onet.neuron_spread(oracle, 0.2, 9, c))
        true = math.degrees(math.acos(g @ g0 / np.linalg.norm(g) / np.linalg.norm(g0)))
        assert ideal[c] == pytest.approx(true, abs=1e-3)
    assert ideal.min() > 3


def test_mismatch_of_the_amplitude_scales_each_component():
    """The network sees theta_ac (1 + s xi), the rule believes theta_ac: G = (1 + s xi) g, parameter by parameter."""
    net, data, theta0 = problem(220)
    chip = am.Chip(net, device=am.device(amplitude_mismatch=0.3))
    run = am.train(
        chip, data, am.MGD(perturbation="walsh", baseline="antithetic", amplitude=1e-4, eta=0, tau_theta=256),
        steps=256, chips=3, theta0=theta0, precision="double", record="gradient", record_every=256,
    )  # fmt: skip
    gain = run.chip_arrays["amplitude_gain"]
    g = am.gradient(net, data, theta0)
    assert gain.std() > 0.2
    assert np.allclose(run.record["gradient"][-1] / 256, gain * g, rtol=0, atol=1e-6 * np.abs(g).max())


# --- locking of perturbations to data, and the warnings ---------------------------------------------------------------


@pytest.mark.parametrize("kind", ["walsh", "sequential", "sinusoid"])
def test_shared_factor_is_whether_all_samples_meet_all_perturbations(kind):
    """Against a count of every pair (sample, perturbation) over the joint period."""
    locked = 0
    holds = (1,) if kind == "sinusoid" else (1, 2, 3, 4, 6)
    for tau_x, tau_p, n, batch in itertools.product((1, 2, 3, 4, 8, 16), holds, (1, 2, 3, 4, 6, 12), (1, 2, 3)):
        rule = am.MGD(perturbation=kind, tau_x=tau_x, tau_p=tau_p, batch=batch)
        data, codes = data_period(rule, n), rule.period(6)
        step = np.arange(math.lcm(data, codes))
        met = np.zeros((data // tau_x, codes // tau_p), int)
        np.add.at(met, (step // tau_x % len(met), step // tau_p % met.shape[1]), 1)
        uniform = bool((met == met[0, 0]).all())
        assert uniform == (shared_factor(rule, 6, data, tau_x) == 1), rule
        locked += not uniform
    assert locked >= 20


@pytest.mark.parametrize("kind", ["walsh", "sequential"])
def test_locked_perturbations_bias_G(kind):
    """What is warned of: four samples in order lock to 16 Walsh codes or 220 turns; G never becomes the gradient."""
    n_params = 9 if kind == "walsh" else 220
    net, data, theta0 = problem(n_params, n_samples=4)
    g = am.gradient(net, data, theta0)
    period = math.lcm(4, am.MGD(perturbation=kind).period(n_params))
    errors = {}
    for name, tau_x in (("locked", 1), ("cured", period)):
        steps = 4 * period
        rule = {"perturbation": kind, "tau_x": tau_x, "order": "sequential", "amplitude": 1e-5}
        if name == "locked":
            with pytest.warns(am.AnalogMGDWarning, match="always meet"):
                G = estimates(net, data, theta0, steps, **rule)[0]
        else:
            G = estimates(net, data, theta0, steps, **rule)[0]
        G *= (n_params if kind == "sequential" else 1) / steps
        errors[name] = np.linalg.norm(G - g) / np.linalg.norm(g)
    assert errors["locked"] > 0.1
    assert errors["cured"] < 1e-6


def test_warnings():
    walsh = am.MGD(perturbation="walsh")
    assert warnings_for(am.Backprop(), 9, 4, "sequential", "single") == []
    assert warnings_for(walsh, 9, 4, "shuffle", "single") == []
    assert warnings_for(walsh, 9, 5, "sequential", "single") == []
    assert warnings_for(am.MGD(), 9, 4, "sequential", "single") == []
    (text,) = warnings_for(walsh.replace(tau_p=3), 9, 4, "sequential", "single")
    assert "samples repeat every 4 steps" in text
    assert "perturbations every 48" in text
    for cure in ({"tau_x": 48, "tau_p": 3}, {"tau_p": 4}):
        assert warnings_for(walsh.replace(**cure), 9, 4, "sequential", "single") == []
    analog = am.MGD(perturbation="walsh", mode="analog", tau_x=3, dt=0.5)
    assert "every 12 steps and perturbations every 16" in warnings_for(analog, 9, 4, "sequential", "single")[0]
    assert warnings_for(analog, 9, 4, "shuffle", "single") == []
    assert "tau_x = 7" in warnings_for(analog.replace(tau_x=6), 9, 4, "shuffle", "single")[0]
    assert warnings_for(analog.replace(tau_x=1602), 9, 4, "shuffle", "single") == []
    assert warnings_for(analog.replace(tau_x=6, tau_p=2), 9, 4, "shuffle", "single") == []
    sinusoid = analog.replace(perturbation="sinusoid")  # period 57
    assert warnings_for(sinusoid.replace(tau_x=20), 9, 4, "shuffle", "single") == []
    assert "the factor 19" in warnings_for(sinusoid.replace(tau_x=19), 9, 4, "shuffle", "single")[0]
    slow = am.MGD(perturbation="sinusoid", mode="analog", band=(0.05, 0.1), dt=2, tau_x=20)  # period 180
    assert "the factor 20" in warnings_for(slow, 9, 4, "shuffle", "single")[0]
    assert "tau_x = 22" in warnings_for(slow, 9, 4, "shuffle", "single")[0]
    assert warnings_for(slow.replace(tau_x=22), 9, 4, "shuffle", "single") == []
    never = slow.replace(dt=1.5, tau_x=21, band=(0.1, 0.16))  # every tau_x shares 3
    assert "another tau_x or band" in warnings_for(never, 9, 4, "shuffle", "single")[0]
    assert "its mean" in warnings_for(analog.replace(perturbation="sequential"), 9, 4, "shuffle", "single")[0]
    low = am.MGD(amplitude=9e-5)
    assert warnings_for(low, 9, 4, "shuffle", "double") == []
    assert "single precision" in warnings_for(low, 9, 4, "shuffle", "single")[0]
    deaf = am.MGD(mode="analog", tau_x=2, tau_p=4)
    assert "tells nothing" in warnings_for(deaf, 9, 4, "shuffle", "double")[0]
    assert warnings_for(deaf.replace(tau_p=3), 9, 4, "shuffle", "double") == []


def test_train_warns_before_anything_runs():
    net, data, _ = problem(9)
    with pytest.raises(am.AnalogMGDWarning, match="amplitude = 1e-06 in single precision"):  # an error in these tests
        am.train(net, data, am.MGD(amplitude=1e-6), steps=1, chips=1)

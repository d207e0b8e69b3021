"""Digital biases: numbers beside a crossbar that only has the weights."""

import numpy as np
import pytest
from test_pulsed import DEVICE, SEED, Draws, settings_of
from test_readout import quantised

import analogmgd as am
from oracle import device as oracle
from oracle import philox

NET = am.Network.mlp([3, 4, 2], "tanh")
P, BLOCKS = 26, 7
BIASES = np.array([12, 13, 14, 15, 24, 25])
WEIGHTS = np.setdiff1d(np.arange(P), BIASES)
DATA = am.Dataset(*[np.random.default_rng(6).random((5, n)) for n in (3, 2, 3, 2)], name="own")
CASES = {
    "reram-es": am.device("reram-es"),
    "half-select": am.device("ecram", half_select=0.02, dw_min=0.01),
    "drift": am.device("reram-es", drift_nu=0.1, g_min=0.1, drift_every=2),
    "noisy": am.Device(sigma_theta=0.05),
    "noisy within bounds": am.Device(sigma_theta=0.05, w_min=-0.2, w_max=0.2),
    "levels": am.Device(levels=9, w_min=-1.0, w_max=1.0, rounding="carried"),
}


def train(device, rule, steps=60, chips=(3, 20), data=DATA, **settings):
    run = {"record": ("theta", "gradient"), "record_every": 1, "precision": "double"}
    run |= {k: settings.pop(k) for k in ("probe_chips", "record") if k in settings}
    return am.train(
        am.Chip(NET, device=device, **settings), data, rule, steps=steps, chips=list(chips), seed=SEED, **run
    )


@pytest.mark.parametrize("faults", [{}, {"stuck_random": 0.3, "endurance": 3, "columns": 0.5}])
@pytest.mark.parametrize("name", CASES)
def test_biases_follow_the_rule_and_nothing_else(name, faults):
    """theta <- theta - eta v of every window, whatever happens to the weights; they have no pulses, and no faults."""
    device = CASES[name].replace(digital_biases=True)
    if device.w_max is None and faults:
        faults = {"columns": 0.5}
    rule = am.MGD(eta=0.1, amplitude=0.05, tau_theta=2, momentum=0.5, weight_decay=0.01)
    run = train(device, rule, faults=am.Faults(**faults))
    theta, G = run.record["theta"][:, :, BIASES], run.record["gradient"][:, :, BIASES]
    start = train(am.Device(), rule, steps=1).record["theta"][0][:, BIASES]
    np.testing.assert_array_equal(theta[0], start)
    velocity = np.zeros_like(start)
    wanted = start.copy()
    for n in range(60):
        if n % 2:
            velocity = 0.5 * velocity + G[n + 1] + 0.01 * wanted
            wanted = wanted - 0.1 * velocity
        np.testing.assert_allclose(theta[n + 1], wanted, rtol=1e-12, atol=1e-14)
    assert np.ptp(theta, axis=0).min() > 1e-3
    assert not run.pulses[:, BIASES].any()
    assert run.pulses[:, WEIGHTS].any()


@pytest.mark.parametrize("name", ["reram-es", "carried"])
def test_weights_are_written_as_ever(name):
    """Pulse by pulse as the equations say, with the words that they would have anyway."""
    device = (
        am.device("reram-es", rounding=name, digital_biases=True)
        if name == "carried"
        else am.device(name, digital_biases=True)
    )
    rule = am.MGD(eta=0.3, amplitude=0.05)
    run = train(device, rule, chips=[3])
    s = settings_of(device)
    xi = [philox.normals(SEED, 3, DEVICE, k * 4 * BLOCKS, P) for k in range(7)]
    dev = oracle.populate(s, np.array([*xi, np.zeros(P)]))
    theta, G = run.record["theta"][:, 0], run.record["gradient"][:, 0]
    noise = device.write_noise * device.dw_min
    state, carry = theta[0] - noise * philox.normals(SEED, 3, DEVICE, 40 * BLOCKS, P), np.zeros(P)
    for n in range(60):
        draws = Draws(3, n, device, P)
        u = draws.rounding()
        asked, carry = oracle.pulses_asked(-0.3 * G[n + 1], oracle.granularity(s), device.rounding, u, carry, 100)
        for i in range(int(np.abs(asked).max())):
            which = np.where(np.abs(asked) > i, np.sign(asked), 0)
            state = oracle.pulse(s, dev, state, which, draws.of_pulse(i))
        wanted = np.where(asked != 0, state + noise * draws.of_noise(), theta[n])
        np.testing.assert_allclose(theta[n + 1][WEIGHTS], wanted[WEIGHTS], rtol=1e-9, atol=1e-11)


def test_a_slow_write_is_slow_for_them_too():
    rule = am.MGD(eta=0.1, amplitude=0.05, tau_theta=5)
    run = train(am.device("ecram", digital_biases=True, write_steps=2), rule)
    theta, G = run.record["theta"][:, :, BIASES], run.record["gradient"][:, :, BIASES]
    for n in range(7, 57, 5):  # of the write at the end of step n - 3
        np.testing.assert_allclose(theta[n + 1], theta[n] - 0.1 * G[n - 2], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_reads_have_the_noise_of_the_weights_alone(slope):
    """One evaluation by the equations; the number reaches the column before its converter."""
    device = am.Device(read_noise=0.05, read_noise_slope=slope, digital_biases=True)
    rule = am.MGD(eta=0.0, amplitude=1e-12, tau_x=1)
    x, y = DATA.x_train[:1], DATA.y_train[:1]
    data = am.Dataset(x, y, x, y, name="one")
    converters = am.Converters(adc_bits=9, adc_range=2.0)
    run = train(device, rule, 5, data=data, converters=converters, probe_chips=[3, 20], record=())
    for lane, chip in enumerate([3, 20]):
        for n in range(5):
            xi, a, first, p = philox.normals(SEED, chip, 12, 16 * n + 8, 6), x[0], 0, 0
            for n_in, n_out in ((3, 4), (4, 2)):
                W = run.theta[lane][p : p + n_in * n_out].reshape(n_out, n_in)
                b = run.theta[lane][p + n_in * n_out : p + (n_in + 1) * n_out]
                sigma = np.sqrt(((0.05 + slope * np.abs(W)) ** 2 + 0.05**2) @ a**2)
                z = quantised(W @ a + b + sigma * xi[first : first + n_out], -2.0, 2.0, 9)[0]
                a, p, first = np.tanh(z), p + (n_in + 1) * n_out, first + n_out
            assert run.probe["cost"][n, lane] == pytest.approx(((a - y[0]) ** 2).mean(), rel=1e-9)


def test_perturbations_of_numbers_are_exact():
    """Without mismatch, levels or curvature; on a chip where they alone are left, C_ac is that of an ideal one."""
    device = am.Device(amplitude_mismatch=0.5, perturbation_bits=3, perturbation_range=0.04, perturbation_cubic=50.0)
    faults = am.Faults(columns=1.0)
    for kind in ("random", "walsh", "sequential", "gaussian", "sinusoid"):
        rule = am.MGD(perturbation=kind, amplitude=0.03, eta=0.05)
        numbers, plain = (
            train(d, rule, 40, faults=faults, probe_chips=[3, 20]).probe["cost_ac"]
            for d in (device.replace(digital_biases=True), am.Device(digital_biases=True))
        )
        np.testing.assert_array_equal(numbers, plain)
        assert numbers.any()


def test_left_alone_they_stay():
    device = am.Device(drift_nu=0.2, drift_t0=1.0, digital_biases=True)
    run = train(device, am.MGD(eta=0.1, amplitude=0.05, baseline="antithetic"))
    later = am.age(run, [1e6], DATA).theta[0]
    np.testing.assert_array_equal(later[:, BIASES], run.theta[:, BIASES])
    assert (np.abs(later[:, WEIGHTS]) < 0.1 * np.abs(run.theta[:, WEIGHTS])).all()


def test_a_stuck_bias_cannot_be():
    device = am.Device(w_min=-1, w_max=1, digital_biases=True)
    with pytest.raises(am.ConfigError, match="parameter 12: is a bias, and device"):
        train(device, am.MGD(), faults=am.Faults(stuck=[(12, "plus", 0.5)]))
    with pytest.raises(am.ConfigError, match="digital_biases = 1: must be true or false"):
        am.Device(digital_biases=1)

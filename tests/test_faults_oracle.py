"""Training of broken chips, step by step against the equations."""

import numpy as np
import pytest

import analogmgd as am
from oracle import faults as oracle
from oracle import network as onet
from oracle import rule as orule

SEED, CHIPS, STEPS = 8, [1, 6], 80
NET = am.Network.mlp([5, 4, 3], "tanh")
ORACLE = onet.Net((5, 4, 3), ("tanh", "tanh"))
RNG = np.random.default_rng(4)
DATA = am.Dataset(*[RNG.random((6, n)) for n in (5, 3, 5, 3)], name="own")
LOW, HIGH = -0.5, 0.8
CASES = {
    "dead row": {"dead_rows": [(0, 2), (1, 3)]},
    "dead column": {"dead_columns": [(0, 1)]},
    "dead neuron": {"dead_neurons": [(0, 1), (1, 2)], "neuron_output": 0.3},
    "stuck": {"stuck": [(0, "plus", 0.0), (1, "minus", 1.0), (7, "plus", 0.3), (7, "minus", 0.6), (24, "plus", 1.0)]},
    "lines by fraction": {"rows": 0.2, "columns": 0.2},
    "neurons by fraction": {"neurons": 0.3, "neuron_output": -0.2},
    "stuck low": {"stuck_low": 0.3},
    "stuck high": {"stuck_high": 0.3},
    "stuck random": {"stuck_random": 0.3},
    "all": {"stuck_low": 0.1, "stuck_high": 0.1, "stuck_random": 0.1, "rows": 0.1, "columns": 0.1, "neurons": 0.1,
            "stuck": [(3, "plus", 0.5)], "dead_rows": [(0, 0)]},
}  # fmt: skip


@pytest.mark.parametrize("perturbation", ["random", "gaussian"])
@pytest.mark.parametrize("spread", [0.0, 0.1])
@pytest.mark.parametrize("name", CASES)
def test_every_step_is_that_of_the_equations(name, spread, perturbation):
    """Weights keep what their pair can still do; open lines have neither weight nor perturbation; dead neurons stay."""
    values = {"perturbation": perturbation, "amplitude": 0.02, "eta": 0.05, "tau_theta": 2, "tau_x": 3}
    chip_ = am.Chip(NET, device=am.Device(w_min=LOW, w_max=HIGH), faults=am.Faults(**CASES[name]),
                    neuron=am.Neuron(spread=spread))  # fmt: skip
    run = am.train(
        chip_, DATA, am.MGD(**values), steps=STEPS, chips=CHIPS, seed=SEED, precision="double", record="theta",
        record_every=1, probe_chips=CHIPS,
    )  # fmt: skip
    given = {k.removeprefix("stuck_"): v for k, v in CASES[name].items() if k != "neuron_output"}
    for lane, chip in enumerate(CHIPS):
        faults = oracle.broken(ORACLE, SEED, chip, **given)
        lowest, highest = oracle.bounds(faults, LOW, HIGH)
        start = np.clip(onet.initial_theta(ORACLE, "uniform", 0.5, SEED, chip), lowest, highest)
        whole = onet.neuron_spread(ORACLE, spread, SEED, chip)
        parts = orule.Parts(
            gain=np.where(faults.open, 0.0, 1.0),
            write=lambda theta, dw, u, low=lowest, high=highest: np.clip(theta + dw, low, high),
            neurons=oracle.neurons(faults, whole, CASES[name].get("neuron_output", 0.0)),
        )
        settings = orule.Settings(seed=SEED, chip=chip, **values)
        history = orule.simulate(ORACLE, DATA.x_train, DATA.y_train, settings, STEPS, start, parts)
        np.testing.assert_allclose(run.record["theta"][:, lane], history.theta, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(run.probe["cost_ac"][:, lane], history.cost_ac, rtol=1e-9, atol=1e-12)
    assert np.ptp(run.record["theta"], axis=0).max() > 0.01


STUCK = [(0, "plus", 0.3), (1, "minus", 0.7), (2, "plus", 1.0), (2, "minus", 1.0), (3, "plus", 0.0), (5, "minus", 0.0),
         (7, "minus", 1.0)]  # fmt: skip
MAPPED = [("one-sided", -0.7, 1.0), ("symmetric", -1.0, 1.0), ("symmetric", -0.6, 0.9), ("reference", -0.8, 0.8),
          ("reference", -0.5, 0.9)]  # fmt: skip


def of_pairs(mapping, low, high, **more):
    """A device, what is stuck of chip 1's, and the bounds of its weights."""
    g_min = 0.2
    device = am.Device(w_min=low, w_max=high, mapping=mapping, g_min=g_min, **more)
    faults = oracle.broken(ORACLE, SEED, 1, stuck=STUCK, rows=0.2)
    at = oracle.stuck_at(faults, low, high, mapping, g_min)
    at[:, faults.open] = np.nan
    return device, faults, at, oracle.bounds(faults, low, high, mapping, g_min)


def play(device, steps, theta0=None, eta=0.0, **chip):
    broken = am.Faults(stuck=STUCK, rows=0.2)
    rule = am.MGD(eta=eta, amplitude=0.02, tau_theta=2, baseline="antithetic")
    return am.train(
        am.Chip(NET, device=device, faults=broken, step_time=0.5, **chip), DATA, rule, steps=steps, chips=[1],
        seed=SEED, precision="double", record="theta", record_every=1, theta0=theta0,
    )  # fmt: skip


@pytest.mark.parametrize(("mapping", "low", "high"), MAPPED)
def test_pairs_reach_what_their_devices_can(mapping, low, high):
    """Pushed both ways for long, weights end at the bounds that conductances give; both stuck: at their difference."""
    device, faults, _, (lowest, highest) = of_pairs(mapping, low, high)
    for far in (-9.0, 9.0):
        run = play(device, 1, theta0=np.full(NET.n_params, far))
        np.testing.assert_allclose(run.theta[0], lowest if far < 0 else highest, atol=1e-12)
    assert lowest[2] == highest[2]
    if mapping != "reference":
        assert highest[2] == pytest.approx((high + low) / (1 if mapping == "one-sided" else 2), abs=1e-12)
        free = np.setdiff1d([0, 1, 3, 5, 7], np.flatnonzero(faults.open))
        assert len(free) > 2
        assert (lowest[free] < highest[free]).all()
    assert (lowest[faults.open] == 0).all()


@pytest.mark.parametrize(("mapping", "low", "high"), MAPPED)
def test_what_is_stuck_does_not_drift(mapping, low, high):
    """The device that moves drifts from what it holds; left alone, aged at once, behind wires of next to nothing."""
    nu, t0, end = 0.1, 1.0, max(-low, high)
    device, faults, at, (lowest, highest) = of_pairs(mapping, low, high, drift_nu=nu, drift_t0=t0)
    run = play(device, 30)
    start = np.clip(onet.initial_theta(ORACLE, "uniform", 0.5, SEED, 1), lowest, highest)
    g = oracle.conductances(start, at, mapping, 0.2, end)
    exponents = np.where(np.isnan(at), nu, 0.0)

    def later(seconds):
        aged = g * (1 + seconds / t0) ** -exponents
        return np.where(faults.open, 0.0, aged[0] - aged[1])

    for n in range(30):  # as seen in step n; two evaluations of half a second each
        np.testing.assert_allclose(run.record["theta"][n + 1, 0], later(float(n)), rtol=1e-10, atol=1e-12)
    written = play(device, 1)
    np.testing.assert_allclose(am.age(written, [0.0, 1e5], DATA).theta[1, 0], later(1e5), rtol=1e-9, atol=1e-12)
    assert np.abs(later(30.0) - start).max() > 0.01
    wires = am.Wires(row=1e-7, g_unit=1e-4, update="exact")
    for eta in (0.0, 0.3):  # while it learns, too
        plain, wired = play(device, 30, eta=eta), play(device, 30, eta=eta, wires=wires)
        np.testing.assert_allclose(wired.record["theta"], plain.record["theta"], atol=1e-8)
    aged = am.age(play(device, 1, wires=wires), [0.0, 1e5], DATA).theta[1, 0]
    np.testing.assert_allclose(aged, later(1e5), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("mapping", "low", "high"), MAPPED)
def test_conductances_of_pairs_with_a_stuck_device(mapping, low, high):
    """Those that are stuck have neither errors of programming nor exponents; the others hold the rest of the weight."""
    device, faults, at, _ = of_pairs(mapping, low, high, drift_model="pcm", drift_t0=1.0, programming_noise=(0.02, 0.1))
    run = play(device, 40, eta=0.3)
    g, nu = run.conductances[0].T, run.nu[0].T
    here = ~np.isnan(at) & ~faults.open
    np.testing.assert_allclose(g[here], at[here], rtol=1e-12)
    assert (nu[here] == 0).all()
    assert (nu[~here & ~faults.open] > 0).all()
    np.testing.assert_allclose(run.theta[0], np.where(faults.open, 0.0, g[0] - g[1]), atol=1e-12)
    moved = np.abs(run.record["theta"][-1, 0] - run.record["theta"][0, 0])
    assert moved[0] > 0
    assert moved[2] == 0


LEAK = {"lifetime": 20.0, "rest": 0.3}


@pytest.mark.parametrize("drift", [{}, {"drift_nu": 0.1, "drift_t0": 1.0}])
@pytest.mark.parametrize(("mapping", "low", "high"), MAPPED)
def test_what_is_stuck_does_not_leak(mapping, low, high, drift):
    """The device that moves leaks to its own rest, and never beyond its range; in the loop, aged, behind wires."""
    device, faults, at, (lowest, highest) = of_pairs(mapping, low, high, **LEAK, **drift)
    start = np.clip(onet.initial_theta(ORACLE, "uniform", 0.5, SEED, 1), lowest, highest)
    whole = oracle.conductances(start, at, mapping, 0.2, max(-low, high))
    exponents = np.where(np.isnan(at), drift.get("drift_nu", 0.0), 0.0)

    def later(seconds):
        g = whole * (1 + seconds) ** -exponents
        g = oracle.leaked(g, at, seconds / LEAK["lifetime"], LEAK["rest"], mapping, 0.2, max(-low, high))
        return np.where(faults.open, 0.0, g[0] - g[1])

    run = play(device, 30)
    for n in range(30):
        np.testing.assert_allclose(run.record["theta"][n + 1, 0], later(float(n)), rtol=1e-10, atol=1e-12)
    first = play(device, 1)
    np.testing.assert_allclose(am.age(first, [7.0, 1e4], DATA).theta[:, 0], [later(7.0), later(1e4)], atol=1e-9)
    if not drift:
        assert (later(1e4) > lowest - 1e-12).all()
        assert (later(1e4) < highest + 1e-12).all()
    wires = am.Wires(row=1e-7, g_unit=1e-4, update="exact")
    plain, wired = play(device, 30, eta=0.3), play(device, 30, eta=0.3, wires=wires)
    np.testing.assert_allclose(wired.record["theta"], plain.record["theta"], atol=1e-8)
    aged = am.age(play(device, 1, wires=wires), [7.0, 1e4], DATA).theta[:, 0]
    np.testing.assert_allclose(aged, [later(7.0), later(1e4)], atol=1e-8)


@pytest.mark.parametrize("mapping", ["one-sided", "symmetric", "reference"])
def test_whole_pairs_do_not_feel_stuck_ones(mapping):
    """Bounds of pairs with no stuck device are those drawn, to the bit, in either precision."""
    device = am.Device(w_min=-0.7, w_max=1.0, g_min=0.2, mapping=mapping, w_max_spread=0.2, w_min_spread=0.2)
    for precision in ("single", "double"):
        broken, whole = (
            am.train(am.Chip(NET, device=device, faults=am.Faults(stuck=stuck)), DATA, am.MGD(), steps=1, chips=16,
                     precision=precision).chip_arrays
            for stuck in (STUCK, [(0, "plus", 0.3)])
        )  # fmt: skip
        free = np.setdiff1d(np.arange(NET.n_params), [p for p, _, _ in STUCK])
        drawn = am.train(am.Chip(NET, device=device), DATA, am.MGD(), steps=1, chips=16, precision=precision)
        for name in ("w_min", "w_max"):
            np.testing.assert_array_equal(broken[name][:, free], drawn.chip_arrays[name][:, free])
            np.testing.assert_array_equal(whole[name][:, 1:], drawn.chip_arrays[name][:, 1:])


def test_both_ways_of_saying_it_are_hit():
    """On these two chips every fraction above breaks something, and not all."""
    drawn = [oracle.broken(ORACLE, SEED, c, 0.3, rows=0.2, columns=0.2, neurons=0.3) for c in CHIPS]
    for part in (np.concatenate([~np.isnan(d.plus) for d in drawn]), np.concatenate([d.open for d in drawn]),
                 np.concatenate([d.dead for d in drawn])):  # fmt: skip
        assert 0 < part.mean() < 1

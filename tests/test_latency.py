"""What comes late: the error signal, the end of a write, the inputs."""

import numpy as np
import pytest

import analogmgd as am
from oracle import network as onet

NET = am.Network.mlp([3, 4, 2], "tanh")
RNG = np.random.default_rng(4)
DATA = am.Dataset(*[RNG.random((5, n)) for n in (3, 2, 3, 2)])
ONE = am.Dataset(*[RNG.random((1, n)) for n in (3, 2, 3, 2)])
ORACLE = onet.Net([3, 4, 2], ["tanh", "tanh"], "mse", 0.0)
pytestmark = pytest.mark.filterwarnings("ignore::analogmgd.errors.AnalogMGDWarning")
PERTURBATIONS = ["random", "walsh", "sequential", "sinusoid", "gaussian"]


def train(rule, steps, data=DATA, device=None, record=("theta", "gradient"), **late):
    chip = am.Chip(NET, device=device or am.Device(), **late)
    return am.train(
        chip, data, rule, steps=steps, chips=3, seed=2, precision="double", record=record, record_every=1,
        probe_chips=[0, 1, 2],
    )  # fmt: skip


@pytest.mark.parametrize("mode", ["discrete", "analog"])
@pytest.mark.parametrize("perturbation", PERTURBATIONS)
def test_matched_delay_is_the_same_estimate_later(perturbation, mode):
    """G of every window of one step, exactly `delay` steps late, and 0 before."""
    rule = am.MGD(perturbation=perturbation, eta=0.0, amplitude=0.05, tau_p=3, tau_x=4, mode=mode)
    if mode == "analog":  # the low-pass starts from 0 in both
        rule = rule.replace(tau_theta=5.0, tau_p=3, dt=0.5)
    now = train(rule, 40).record["gradient"]
    late = train(rule, 40, delay=7).record["gradient"]
    steps = 7 if mode == "discrete" else 14
    np.testing.assert_array_equal(late[steps:], now[:-steps])
    assert not late[1:steps].any()
    assert now[1:].any()


def test_unmatched_delay_multiplies_with_the_present_perturbation():
    rule = am.MGD(eta=0.0, amplitude=0.05, tau_p=2)
    now = train(rule, 60)
    late = train(rule, 60, delay=3, delay_matched=False).record["gradient"]
    c_ac, G = now.probe["cost_ac"], now.record["gradient"][1:]
    wanted = c_ac[:-3, :, np.newaxis] * (G[3:] / c_ac[3:, :, np.newaxis])
    np.testing.assert_allclose(late[4:], wanted, rtol=1e-9)


def test_learning_with_a_matched_delay_and_without():
    """Matched, a delayed chip learns XOR as well as any; unmatched random codes learn nothing (64 chips each)."""
    net = am.Network.mlp([2, 3, 1])
    rule = am.MGD(eta=0.3, amplitude=0.05)
    solved = {}
    for name, late in {"none": {}, "matched": {"delay": 5}, "not": {"delay": 5, "delay_matched": False}}.items():
        run = am.train(am.Chip(net, **late), "parity", rule, steps=60_000, chips=64, seed=1, record=("cost",))
        solved[name] = np.median(run.cost[-1])
    assert solved["matched"] < 0.5 * solved["not"]
    assert solved["none"] < 0.5 * solved["not"]


@pytest.mark.parametrize("device", [{}, {"sigma_theta": 0.01}, {"w_min": -0.3, "w_max": 0.3}])
def test_a_write_is_seen_when_it_is_done(device):
    """The network goes on with the old parameters for `write_steps` steps, and its baseline is theirs."""
    rule = am.MGD(eta=0.5, amplitude=0.05, tau_theta=10, tau_x=1000)
    ideal = train(rule, 63, ONE, am.Device(**device))
    run = train(rule, 63, ONE, am.Device(write_steps=4, **device))
    theta, G = run.record["theta"], run.record["gradient"]
    changed = np.flatnonzero((np.diff(theta, axis=0) != 0).any(axis=(1, 2)))
    assert changed.tolist() == [14, 24, 34, 44, 54]  # the step in which the network saw it first
    if not device:
        for n in changed:
            np.testing.assert_allclose(theta[n + 1] - theta[n], -0.5 * G[n - 4], rtol=1e-9, atol=1e-13)
    np.testing.assert_array_equal(theta[15], ideal.record["theta"][10])  # of the first window nothing else differs
    base = run.probe["cost"] - run.probe["cost_ac"]
    for n in (0, 9, 12, 13, 14, 23, 25):
        for c in range(3):
            wanted = onet.mean_cost(ORACLE, theta[n + 1, c], ONE.x_train, ONE.y_train, None)
            assert base[n, c] == pytest.approx(wanted, rel=1e-10)


def test_inputs_follow_with_their_time_constant():
    """x <- x + (presented - x)(1 - exp(-1/tau)); the first sample is there from the start."""
    tau, rule = 2.5, am.MGD(eta=0.0, amplitude=1e-12, tau_x=6)
    chip = am.Chip(NET, input_tau=tau)
    run = am.train(
        chip, DATA, rule, steps=40, chips=3, seed=2, precision="double", order="sequential", record=(), probe_chips=[1]
    )
    x = DATA.x_train[0]
    for n in range(40):
        sample = n // 6 % 5
        if n:
            x = x + (DATA.x_train[sample] - x) * (1 - np.exp(-1 / tau))
        wanted = onet.mean_cost(ORACLE, run.theta[1], x[np.newaxis], DATA.y_train[sample : sample + 1], None)
        assert run.probe["cost"][n, 0] == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize(
    ("late", "rule", "said"),
    [
        ({"delay": -1}, {}, "chip.delay = -1: must be at least 0"),
        ({"delay": 1.5}, {}, "chip.delay = 1.5: must be a multiple of rule.dt = 1"),
        ({"input_tau": 2.0}, {"batch": 3}, "chip.input_tau = 2: needs rule.batch = 1"),
        (
            {"device": am.Device(write_steps=5)},
            {"tau_theta": 5},
            "write_steps = 5: must be less than rule.tau",
        ),
        ({"device": am.Device(write_steps=1)}, {"mode": "analog", "tau_x": 3, "tau_theta": 9.0}, "in discrete mode"),
        (
            {"device": am.Device(write_steps=1, drift_nu=0.1)},
            {"tau_theta": 5},
            "not together with drift, leak or fluctuations",
        ),
    ],
)
def test_what_cannot_be(late, rule, said):
    with pytest.raises(am.ConfigError, match=said):
        am.train(am.Chip(NET, **late), DATA, am.MGD(**rule), steps=1)

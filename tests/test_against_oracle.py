"""The kernels against the plain-NumPy oracle: theta after every step, double precision."""

import numpy as np
import pytest

import analogmgd as am
from oracle import image as oimage
from oracle import network as onet
from oracle import rule as orule

pytestmark = pytest.mark.filterwarnings("ignore::analogmgd.errors.AnalogMGDWarning")  # biased rules are run too
NETS = {
    "2-2-1": ([2, 2, 1], "sigmoid", "sigmoid", "mse", 0.0),
    "49-4-4": ([49, 4, 4], "sigmoid", "sigmoid", "mse", 0.0),
    "8-6-5-4-3": ([8, 6, 5, 4, 3], "tanh", "linear", "cross-entropy", 0.05),
}
BAND = (0.16, 0.32)
CHIP, SEED = 5, 1234


def make_data(net, n=7):
    """Random samples with one-hot targets, or of 0 and 1 for a single output."""
    sizes = NETS[net][0]
    rng = np.random.default_rng(7)
    x = rng.random((n, sizes[0]))
    labels = rng.integers(0, max(2, sizes[-1]), n)
    y = np.eye(sizes[-1])[labels] if sizes[-1] > 1 else labels[:, None].astype(float)
    return am.Dataset(x, y)


def both(net, steps, *, data=None, order="shuffle", rule=None, sigma_C=0.0, sigma_C_baseline=False, sigma_theta=0.0,
         spread=0.0, mismatch=0.0, init="uniform", chips=(3, CHIP), **extra):  # fmt: skip
    """(run, history of chip CHIP, oracle, data) of the same configuration; every step recorded.

    net: a name in NETS, or a Network (then `data` has to be given, and its own `init` counts)."""
    rule = {"amplitude": 1e-2, "eta": 0.002, "tau_hp": 10.0, **(rule or {})}
    if isinstance(net, am.Network):
        network, oracle = net, oimage.net_of(net)
    else:
        sizes, hidden, output, cost, smoothing = NETS[net]
        network = am.Network.mlp(sizes, hidden, output, cost=cost, label_smoothing=smoothing, init=init)
        oracle = onet.Net(sizes, [hidden] * (len(sizes) - 2) + [output], cost.replace("-", "_"), smoothing)
    data = data or make_data(net)
    chip = am.Chip(
        network,
        device=am.device("ideal", sigma_theta=sigma_theta, amplitude_mismatch=mismatch),
        neuron=am.Neuron(spread=spread),
        converters=am.Converters(sigma_C=sigma_C, sigma_C_baseline=sigma_C_baseline),
    )
    run = am.train(
        chip, data, am.MGD(band=BAND, **rule), steps=steps, chips=chips, seed=SEED, order=order, precision="double",
        record=("cost", "accuracy", "theta", "gradient", "cost_ac"), record_every=1, eval_samples=None, threads=1,
        probe_chips=(CHIP,), **extra,
    )  # fmt: skip
    settings = orule.Settings(
        band=BAND, seed=SEED, chip=CHIP, order=order, sigma_C=sigma_C, sigma_C_baseline=sigma_C_baseline,
        sigma_theta=sigma_theta, spread=spread, mismatch=mismatch, init=network.init,
        init_scale=network.init_scale, **rule,
    )  # fmt: skip
    return run, orule.simulate(oracle, data.x_train, data.y_train, settings, steps), oracle, data


def assert_agree(run, history, rtol=1e-10):
    """theta to rtol of its norm, C_ac and G to what the cancellation in C - C0 leaves of that."""
    lane = list(run.chips).index(CHIP)
    theta = run.record["theta"][:, lane]
    scale = np.abs(history.theta).max()
    assert np.abs(theta - history.theta).max() <= rtol * scale
    assert np.array_equal(run.step, np.arange(len(history.theta)))
    assert np.allclose(run.time, np.asarray(history.time) * 1e-3, rtol=1e-12)
    gradient = run.record["gradient"][:, lane]
    assert np.abs(gradient - history.gradient).max() <= 1e-9 * np.abs(history.gradient).max()
    assert np.abs(run.probe["cost"][:, 0] - history.cost).max() <= 1e-12 * np.abs(history.cost).max()
    assert np.abs(run.probe["cost_ac"][:, 0] - history.cost_ac).max() <= 1e-12
    assert np.abs(run.record["cost_ac"][1:, lane] - history.cost_ac).max() <= 1e-12
    assert np.array_equal(run.probe["sample"][:, 0], np.asarray(history.sample)[:, 0])


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("perturbation", ["sequential", "walsh", "random", "sinusoid", "gaussian"])
@pytest.mark.parametrize("mode", ["discrete", "analog"])
def test_thousand_steps(net, perturbation, mode):
    """The issue's first oracle: 1000 steps of every perturbation in both modes."""
    rule = {"perturbation": perturbation, "mode": mode}
    rule |= {"tau_x": 3, "tau_theta": 4, "tau_p": 2} if mode == "discrete" else {"tau_x": 20, "tau_theta": 7.5}
    assert_agree(*both(net, 1000, rule=rule)[:2])


EVERY = {
    "all taus 1": {},
    "taus that share no factor": {"tau_x": 5, "tau_p": 3, "tau_theta": 7},
    "tau_theta below tau_p": {"tau_x": 4, "tau_p": 6, "tau_theta": 2},
    "antithetic": {"baseline": "antithetic", "tau_theta": 3, "tau_x": 2},
    "batch": {"batch": 3, "tau_x": 2},
    "batch over epochs": {"batch": 9, "tau_theta": 2},
    "momentum": {"momentum": 0.9, "tau_theta": 3},
    "weight decay": {"weight_decay": 0.01},
    "both": {"momentum": 0.5, "weight_decay": 0.01, "tau_theta": 2},
    "cosine": {"schedule": "cosine", "schedule_steps": 80, "tau_theta": 3},
    "inverse": {"schedule": "inverse", "schedule_decay": 0.05},
    "clip": {"clip": 1e-3},
    "analog momentum clip": {"mode": "analog", "tau_x": 9, "momentum": 0.5, "clip": 1e-3, "weight_decay": 0.01},
    "analog dt": {"mode": "analog", "tau_x": 4, "tau_p": 2, "dt": 0.5, "tau_theta": 2.5},
    "analog batch schedule": {"mode": "analog", "tau_x": 6, "dt": 2.0, "tau_p": 2, "batch": 2, "schedule": "cosine",
                              "schedule_steps": 300},
}  # fmt: skip


@pytest.mark.parametrize("perturbation", ["walsh", "random", "gaussian", "sequential", "sinusoid"])
@pytest.mark.parametrize("name", EVERY)
def test_every_option_of_the_rule(name, perturbation):
    if perturbation == "sinusoid" and EVERY[name].get("dt", 1) > 1:
        pytest.skip("dt = 2 puts the band above half the sampling rate")
    rule = EVERY[name] | {"perturbation": perturbation}
    assert_agree(*both("8-6-5-4-3", 120, rule=rule)[:2])


@pytest.mark.parametrize("baseline", ["measured", "antithetic"])
@pytest.mark.parametrize("perturbation", ["random", "gaussian", "sequential"])
def test_all_imperfections(perturbation, baseline):
    rule = {"perturbation": perturbation, "baseline": baseline, "tau_theta": 3, "tau_x": 2}
    run, history, *_ = both(
        "8-6-5-4-3", 200, rule=rule, sigma_C=1e-3, sigma_C_baseline=True, sigma_theta=1e-3, spread=0.1,
        mismatch=0.1, init="glorot", order="sequential",
    )  # fmt: skip
    assert_agree(run, history)


@pytest.mark.parametrize("sizes", [[3, 4], [3, 7, 1], [5, 9, 8, 2]])
@pytest.mark.parametrize("activation", ["relu", "tanh", "linear", "sigmoid"])
def test_shapes_and_activations(sizes, activation, monkeypatch):
    monkeypatch.setitem(NETS, "odd", (sizes, activation, "sigmoid", "mse", 0.0))
    assert_agree(*both("odd", 60, rule={"tau_theta": 2}, spread=0.05)[:2])


def test_cost_and_accuracy_are_of_the_chip_with_its_spread():
    run, history, oracle, data = both("8-6-5-4-3", 20, spread=0.2)
    neurons = onet.neuron_spread(oracle, 0.2, SEED, CHIP)
    for row in (0, 7, 20):
        cost = onet.mean_cost(oracle, history.theta[row], data.x_test, data.y_test, neurons)
        assert run.cost[row, 1] == pytest.approx(cost, rel=1e-9)
        assert run.accuracy[row, 1] == onet.accuracy(oracle, history.theta[row], data.x_test, data.y_test, neurons)


@pytest.mark.parametrize("net", NETS)
def test_gradient_is_the_oracles(net):
    sizes, hidden, output, cost, smoothing = NETS[net]
    data = make_data(net)
    network = am.Network.mlp(sizes, hidden, output, cost=cost, label_smoothing=smoothing)
    oracle = onet.Net(sizes, [hidden] * (len(sizes) - 2) + [output], cost.replace("-", "_"), smoothing)
    theta = np.random.default_rng(3).normal(size=(3, network.n_params))
    expected = [onet.gradient(oracle, one, data.x_train, data.y_train) for one in theta]
    assert np.allclose(am.gradient(network, data, theta), expected, rtol=1e-11, atol=1e-15)
    assert np.array_equal(am.gradient(network, data, theta[0]), am.gradient(network, data, theta)[0])


@pytest.mark.parametrize(
    "settings",
    [{}, {"batch": 3, "momentum": 0.9}, {"weight_decay": 0.01, "schedule": "cosine", "schedule_steps": 60}],
)
@pytest.mark.parametrize("net", NETS)
def test_backprop_is_the_oracles(net, settings):
    sizes, hidden, output, cost, smoothing = NETS[net]
    data = make_data(net)
    network = am.Network.mlp(sizes, hidden, output, cost=cost, label_smoothing=smoothing)
    oracle = onet.Net(sizes, [hidden] * (len(sizes) - 2) + [output], cost.replace("-", "_"), smoothing)
    run = am.train(
        network, data, am.Backprop(eta=0.3, **settings), steps=100, chips=[CHIP], seed=SEED, precision="double",
        record="theta", record_every=1,
    )  # fmt: skip
    expected = orule.backprop_train(oracle, data.x_train, data.y_train, 100, eta=0.3, seed=SEED, chip=CHIP, **settings)
    assert np.abs(run.record["theta"][:, 0] - expected).max() <= 1e-11 * np.abs(expected).max()

"""The kernels of large networks (weights in the lanes) against the oracle, and beside those of small ones."""

import numpy as np
import pytest

import analogmgd as am
from analogmgd import plan, row_block
from analogmgd.kernels import rows
from analogmgd.plan import ROWS_FROM, Plan
from analogmgd.train import settle
from oracle import network as onet
from test_against_oracle import CHIP, EVERY, NETS, assert_agree, both

pytestmark = pytest.mark.filterwarnings("ignore::analogmgd.errors.AnalogMGDWarning")
# Rows of signs that begin anywhere, at bytes, in the middle of vectors; one word of signs, two, more than 64.
SHAPES = {
    "2-2-1": [2, 2, 1],
    "8-6-5-4-3": [8, 6, 5, 4, 3],
    "40-33-17-3": [40, 33, 17, 3],
    "24-16-16-10": [24, 16, 16, 10],
    "5-9-3": [5, 9, 3],
}
DISCRETE = {name: options for name, options in EVERY.items() if options.get("mode") != "analog"}


@pytest.fixture(autouse=True)
def in_rows(monkeypatch):
    monkeypatch.setattr(plan, "ROWS_FROM", 0)
    for name, sizes in SHAPES.items():
        monkeypatch.setitem(NETS, name, (sizes, "tanh", "linear", "mse" if sizes[-1] == 1 else "cross-entropy", 0.0))


@pytest.mark.parametrize("net", SHAPES)
@pytest.mark.parametrize("perturbation", ["random", "walsh"])
def test_hundreds_of_steps(net, perturbation):
    rule = {"perturbation": perturbation, "tau_x": 3, "tau_theta": 50, "tau_p": 2, "eta": 1e-3}
    assert_agree(*both(net, 300, rule=rule)[:2])


@pytest.mark.parametrize("perturbation", ["random", "walsh"])
@pytest.mark.parametrize("name", DISCRETE)
def test_every_option_of_the_rule(name, perturbation):
    rule = DISCRETE[name] | {"perturbation": perturbation}
    assert_agree(*both("8-6-5-4-3", 120, rule=rule)[:2])


def test_more_parameters_than_are_worked_on_at_a_time(monkeypatch):
    monkeypatch.setitem(NETS, "wide", ([150, 70, 3], "tanh", "linear", "cross-entropy", 0.0))
    assert am.Network.mlp([150, 70, 3]).n_params > rows.NEAR
    assert_agree(*both("wide", 60, rule={"tau_theta": 20, "eta": 1e-3})[:2])


@pytest.mark.parametrize("baseline", ["measured", "antithetic"])
@pytest.mark.parametrize("batch", [1, 40])
def test_all_imperfections(baseline, batch):
    """A batch of 40 is more than the columns taken at once."""
    rule = {"perturbation": "random", "baseline": baseline, "tau_theta": 3, "tau_x": 2, "batch": batch}
    run, history, *_ = both(
        "24-16-16-10", 60, rule=rule, sigma_C=1e-3, sigma_C_baseline=True, sigma_theta=1e-3, spread=0.1,
        init="glorot", order="sequential",
    )  # fmt: skip
    assert_agree(run, history)


@pytest.mark.parametrize("activation", ["relu", "tanh", "linear", "sigmoid"])
def test_activations(activation, monkeypatch):
    monkeypatch.setitem(NETS, "odd", ([7, 19, 3], activation, "sigmoid", "mse", 0.0))
    assert_agree(*both("odd", 60, rule={"tau_theta": 2}, spread=0.05)[:2])


def test_a_team_of_threads_shares_the_steps_of_a_window(monkeypatch):
    monkeypatch.setattr(row_block, "SHARED_FROM", 0)
    monkeypatch.setattr(row_block, "GROUP", 7)
    from_team = []

    def counted(self, jobs):
        from_team.append(len(jobs))
        return together(self, jobs)

    together = row_block.RowBlock._together
    monkeypatch.setattr(row_block.RowBlock, "_together", counted)
    settings = {"steps": 65, "chips": [CHIP], "precision": "double", "record": ("cost", "theta"), "record_every": 13}
    rule = am.MGD(tau_theta=20, tau_p=3, tau_x=2, eta=0.01)
    runs = [am.train(am.Network.mlp([9, 30, 4]), _data(9, 4), rule, threads=n, **settings) for n in (1, 4)]
    assert set(from_team) == {4}
    assert np.array_equal(runs[0].record["theta"], runs[1].record["theta"])
    assert np.array_equal(runs[0].cost, runs[1].cost)


def _data(n_in, n_out, n=11):
    rng = np.random.default_rng(3)
    return am.Dataset(rng.random((n, n_in)), np.eye(n_out)[rng.integers(0, n_out, n)])


def test_cost_and_accuracy_are_the_oracles():
    run, history, oracle, data = both("40-33-17-3", 20, spread=0.2)
    neurons = onet.neuron_spread(oracle, 0.2, 1234, CHIP)
    for row in (0, 7, 20):
        cost = onet.mean_cost(oracle, history.theta[row], data.x_test, data.y_test, neurons)
        assert run.cost[row, 1] == pytest.approx(cost, rel=1e-9)
        assert run.accuracy[row, 1] == onet.accuracy(oracle, history.theta[row], data.x_test, data.y_test, neurons)


@pytest.mark.parametrize("activation", ["relu", "tanh", "linear", "sigmoid"])
@pytest.mark.parametrize("cost", ["mse", "cross-entropy"])
def test_gradients_are_the_oracles(activation, cost):
    """40 samples: more than the columns taken at once."""
    sizes, spread, seed = [11, 21, 18, 3], 0.2, 9
    data = _data(11, 3, 40)
    network = am.Network.mlp(sizes, activation, "linear", cost=cost)
    oracle = onet.Net(sizes, [activation] * 2 + ["linear"], cost.replace("-", "_"), 0.0)
    chip = am.Chip(network, neuron=am.Neuron(spread=spread))
    rule = am.MGD(batch=3)
    run = am.Run(steps=5, chips=[CHIP], precision="double", seed=seed)
    block = row_block.RowBlock(Plan(settle(am.Config(chip, rule, {"name": data.name}, run), data), data), 0, None)
    block.advance(5, probe=False)
    own = onet.neuron_spread(oracle, spread, seed, CHIP)
    theta, x, y = block.chips_theta()[0], data.x_train, data.y_train
    shown = block._own[-1][6][:, 0]
    assert len(np.unique(shown)) > 1
    for found, expected in (
        (block.true_gradient(block.plan.train, ideal=False), onet.gradient(oracle, theta, x, y, own)),
        (block.true_gradient(block.plan.train, ideal=True), onet.gradient(oracle, theta, x, y, None)),
        (block.sample_gradient(block.plan.train), onet.gradient(oracle, theta, x[shown], y[shown], own)),
    ):
        assert np.abs(found[0] - expected).max() <= 1e-12 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("sizes", "rule", "kind"),
    [
        ([784, 128, 10], {}, "rows"),
        ([784, 128, 10], {"perturbation": "walsh", "tau_theta": 100}, "rows"),
        ([784, 128, 10], {"perturbation": "gaussian"}, "ensemble"),
        ([784, 128, 10], {"mode": "analog", "tau_x": 10}, "ensemble"),
        ([64, 32, 10], {"tau_theta": 1000}, "ensemble"),
        ([128, 64, 10], {"tau_theta": 32}, "rows"),
        ([128, 64, 10], {"tau_theta": 31}, "ensemble"),
    ],
)
@pytest.mark.parametrize("chips", [1, 100])
def test_the_kind_of_kernel_follows_from_network_and_rule(sizes, rule, kind, chips, monkeypatch):
    monkeypatch.undo()
    chip = am.Chip(am.Network.mlp(sizes))
    data = _data(sizes[0], sizes[-1])
    config = am.Config(chip, am.MGD(**rule), {"name": data.name}, am.Run(steps=5, chips=chips))
    assert Plan(config, data).kind == kind


def test_single_precision_is_near_double():
    """The signed sums cancel: their error stays at that of the products."""
    data = _data(400, 4, 50)
    network = am.Network.mlp([400, 60, 4])
    theta = {}
    for precision in ("single", "double"):
        run = am.train(network, data, am.MGD(eta=1e-4, amplitude=0.01), steps=200, chips=4, precision=precision)
        theta[precision] = run.theta.astype(float)
    start = am.train(network, data, am.MGD(), steps=1, chips=4, record="theta").record["theta"][0]
    moved = np.abs(theta["double"] - start).max()
    assert np.abs(theta["single"] - theta["double"]).max() < 1e-3 * moved


def test_gradient_of_a_large_network_is_the_oracles():
    data = _data(300, 3, 20)
    network = am.Network.mlp([300, 60, 3])
    oracle = onet.Net([300, 60, 3], ["sigmoid", "sigmoid"], "mse", 0.0)
    theta = np.random.default_rng(1).normal(size=(2, network.n_params))
    expected = [onet.gradient(oracle, one, data.x_train, data.y_train) for one in theta]
    assert network.n_params >= ROWS_FROM
    assert np.allclose(am.gradient(network, data, theta), expected, rtol=1e-11, atol=1e-14)

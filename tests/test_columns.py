"""Networks of pictures (samples or steps in the lanes) against the oracle, and what must not change a bit."""

import numpy as np
import pytest

import analogmgd as am
from analogmgd import column_block
from analogmgd import plan as plan_module
from oracle import image as oimage
from oracle import network as onet
from test_against_oracle import CHIP, EVERY, assert_agree, both

pytestmark = pytest.mark.filterwarnings("ignore::analogmgd.errors.AnalogMGDWarning")
SOFT = {"cost": "cross-entropy", "label_smoothing": 0.1, "init": "glorot"}
NETS = {
    # a pool of 2 x 2 that follows at once and drops a row; channels that are no multiple of four
    "max": am.Network(
        [
            am.Conv2d(1, 6, 3, activation="tanh"), am.MaxPool2d(2), am.Conv2d(6, 5, 2), am.Flatten(),
            am.Dense(5, 3, "linear"),
        ],
        input_shape=(1, 7, 7), **SOFT,
    ),
    # padding, strides, kernels that are not square, a pool of its own
    "odd": am.Network(
        [
            am.Conv2d(2, 4, (3, 2), stride=2, padding=1, activation="sigmoid"), am.AvgPool2d(3, stride=1),
            am.Conv2d(4, 3, (1, 2), activation="linear"), am.Dense(12, 5, "tanh"), am.Dense(5, 2, "sigmoid"),
        ],
        input_shape=(2, 7, 8),
    ),
    # means of 2 x 2 at once, dense layers before and after
    "mean": am.Network(
        [am.AvgPool2d(2), am.Conv2d(1, 5, 3, padding=2, activation="tanh"), am.AvgPool2d(2), am.Dense(45, 1)],
        input_shape=(1, 8, 9),
    ),
}  # fmt: skip
# convolutions with one place, narrower than what they read: by their stride, at its corner, and with a margin
for name, kernel, more, shape in (
    ("stride", (3, 3), {"stride": 2}, (2, 4, 4)), ("tall", (3, 1), {"stride": 4}, (2, 3, 4)),
    ("margin", (1, 4), {"stride": 4, "padding": 1}, (2, 2, 4)),
):  # fmt: skip
    one = am.Conv2d(2, 5, kernel, activation="tanh", **more)
    NETS[f"one place, {name}"] = am.Network([one, am.Dense(5, 3, "linear")], input_shape=shape, **SOFT)
DISCRETE = {name: options for name, options in EVERY.items() if options.get("mode") != "analog"}


@pytest.fixture(autouse=True)
def small_nets_in_columns(monkeypatch):
    """Also those that would have chips in their lanes."""
    monkeypatch.setattr(plan_module, "ROWS_FROM", 0)


def pictures(net, n=7):
    """Random pictures with one-hot targets, or of 0 and 1 for a single output."""
    rng = np.random.default_rng(7)
    labels = rng.integers(0, max(2, net.n_out), n)
    y = np.eye(net.n_out)[labels] if net.n_out > 1 else labels[:, None].astype(float)
    return am.Dataset(rng.random((n, *net.input_shape)), y)


def agree(name, steps, **options):
    net = NETS[name]
    assert_agree(*both(net, steps, data=pictures(net), init=net.init, **options)[:2])


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("perturbation", ["random", "walsh"])
def test_windows(net, perturbation):
    agree(net, 90, rule={"perturbation": perturbation, "tau_x": 3, "tau_theta": 40, "tau_p": 2})


@pytest.mark.parametrize("perturbation", ["random", "walsh"])
@pytest.mark.parametrize("name", DISCRETE)
def test_every_option_of_the_rule(name, perturbation):
    agree("max", 40, rule=DISCRETE[name] | {"perturbation": perturbation})


@pytest.mark.parametrize("batch", [15, 16, 37])
@pytest.mark.parametrize("baseline", ["measured", "antithetic"])
def test_batches_and_all_imperfections(batch, baseline):
    """From 16 samples a step on the perturbed weights are shared."""
    agree(
        "odd", 12, rule={"batch": batch, "baseline": baseline, "tau_theta": 3, "tau_x": 2, "tau_p": 2},
        sigma_C=1e-3, sigma_C_baseline=True, sigma_theta=1e-3, spread=0.1, order="sequential",
    )  # fmt: skip


@pytest.mark.parametrize("net", NETS)
def test_gradient(net):
    network = NETS[net]
    data = pictures(network, 21)
    theta = np.random.default_rng(3).normal(size=network.n_params) * 0.4
    wanted = onet.gradient(oimage.net_of(network), theta, data.x_train, data.y_train)
    found = am.gradient(network, data, theta)
    assert np.abs(found - wanted).max() <= 1e-12 * np.abs(wanted).max()


@pytest.mark.parametrize("net", NETS)
def test_angle_to_the_gradient_of_a_chip_with_spread(net):
    network = NETS[net]
    data = pictures(network)
    settings = {"steps": 5, "chips": [CHIP], "precision": "double", "record": ("theta", "gradient", "angle")}
    chip = am.Chip(network, neuron=am.Neuron(spread=0.2))
    run = am.train(chip, data, am.MGD(tau_theta=5), seed=3, record_every=5, **settings)
    oracle = oimage.net_of(network)
    neurons = onet.neuron_spread(oracle, 0.2, 3, CHIP)
    true = onet.gradient(oracle, run.theta[0].astype(float), data.x_train, data.y_train, neurons)
    g = run.record["gradient"][-1, 0]
    cosine = g @ true / np.linalg.norm(g) / np.linalg.norm(true)
    assert np.isclose(np.cos(np.radians(run.record["angle"][-1, 0])), cosine, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["max", "dense"])
@pytest.mark.parametrize("rule", [{"batch": 1}, {"batch": 16, "momentum": 0.5}, {"batch": 33, "weight_decay": 0.01}])
def test_backpropagation(name, rule):
    """theta after every step; the batch in four parts. Dense layers of large networks are columns, too."""
    net = {**NETS, "dense": am.Network.mlp([49, 6, 3], "tanh", **SOFT)}[name]
    data = pictures(NETS["max"], 9)
    run = am.train(
        net, data, am.Backprop(eta=0.1, **rule), steps=12, chips=[CHIP], seed=5, precision="double",
        record=("theta", "cost"), record_every=1, order="sequential",
    )  # fmt: skip
    oracle = oimage.net_of(net)
    theta, velocity = run.record["theta"][0, 0], 0.0
    for n in range(12):
        shown = np.arange(n * rule["batch"], (n + 1) * rule["batch"]) % 9
        g = onet.gradient(oracle, theta, data.x_train[shown], data.y_train[shown]) + rule.get("weight_decay", 0) * theta
        velocity = rule.get("momentum", 0) * velocity + g
        theta = theta - 0.1 * velocity
        assert np.abs(run.record["theta"][n + 1, 0] - theta).max() < 1e-12


@pytest.mark.parametrize("rule", [
    am.MGD(tau_theta=50, tau_x=2), am.MGD(batch=3, tau_theta=7, baseline="antithetic"), am.MGD(batch=40, tau_theta=2),
    am.Backprop(batch=10),
])  # fmt: skip
@pytest.mark.parametrize("precision", ["single", "double"])
def test_the_bits_depend_on_nothing_but_the_configuration(rule, precision, monkeypatch):
    net = NETS["max"]
    settings = {"steps": 61, "seed": 2, "precision": precision}
    whole = am.train(
        net, pictures(net), rule, chips=[4, 9], threads=1, record=("theta", "cost"), record_every=1, **settings
    )
    for threads, group, every in ((1, 128, 61), (2, 16, 7), (3, 48, 20), (4, 256, 61)):
        monkeypatch.setattr(column_block, "GROUP", group)
        run = am.train(net, pictures(net), rule, chips=[9], threads=threads, record_every=every, **settings)
        assert run.theta[0].tobytes() == whole.theta[1].tobytes()
        assert run.cost[:, 0].tobytes() == whole.record["cost"][run.step, 1].tobytes()


def test_pictures_of_bytes_are_what_their_numbers_are():
    net = NETS["max"]
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 256, (9, 1, 7, 7)).astype(np.uint8), np.eye(3)[rng.integers(0, 3, 9)]
    runs = [
        am.train(net, am.Dataset(a, y), am.MGD(tau_theta=4), steps=30, chips=2, seed=1)
        for a in (x, np.divide(x, np.float32(255), dtype=np.float32))
    ]
    assert runs[0].theta.tobytes() == runs[1].theta.tobytes()
    assert runs[0].cost.tobytes() == runs[1].cost.tobytes()


def test_evaluation_is_the_oracles():
    net = NETS["odd"]
    data = pictures(net, 37)
    run = am.train(net, data, am.MGD(), steps=3, chips=[CHIP], precision="double", record_every=1, eval_samples=None)
    oracle = oimage.net_of(net)
    theta = run.theta[0]
    assert np.isclose(run.cost[-1, 0], onet.mean_cost(oracle, theta, data.x_train, data.y_train), rtol=1e-12)
    assert run.accuracy[-1, 0] == onet.accuracy(oracle, theta, data.x_train, data.y_train)

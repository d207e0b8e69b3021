"""Node perturbation, and layers in turn: kernels against the oracle, what their estimates are, what is refused."""

import numpy as np
import pytest

import analogmgd as am
from test_against_oracle import assert_agree, both

pytestmark = pytest.mark.filterwarnings("ignore::analogmgd.errors.AnalogMGDWarning")  # biased rules are run too
KINDS = ["random", "walsh", "gaussian", "sequential", "sinusoid"]
IN_TURN = ["random", "walsh", "gaussian"]
CHOICES = {
    "nodes": {"perturb": "nodes"},
    "nodes in turn": {"perturb": "nodes", "layers": "in-turn"},
    "parameters in turn": {"layers": "in-turn"},
}
CASES = [(c, k) for c in CHOICES for k in (IN_TURN if "turn" in c else KINDS)]
PICTURES = am.Network(
    [
        am.Conv2d(2, 3, kernel=(2, 3), padding=1, activation="tanh"), am.MaxPool2d(2), am.AvgPool2d(2, stride=1),
        am.Conv2d(3, 4, kernel=2, activation="sigmoid"), am.Flatten(), am.Dense(16, 3, "linear"),
    ],
    input_shape=(2, 7, 8), cost="cross-entropy",
)  # fmt: skip


def pictures():
    rng = np.random.default_rng(11)
    return am.Dataset(rng.random((5, 2 * 7 * 8)), np.eye(3)[rng.integers(0, 3, 5)])


@pytest.mark.parametrize(("choice", "perturbation"), CASES)
@pytest.mark.parametrize("mode", ["discrete", "analog"])
def test_dense_networks_step_by_step(choice, perturbation, mode):
    rule = CHOICES[choice] | {"perturbation": perturbation, "mode": mode}
    rule |= {"tau_x": 3, "tau_theta": 4, "tau_p": 2} if mode == "discrete" else {"tau_x": 20, "tau_theta": 7.5}
    assert_agree(*both("8-6-5-4-3", 300, rule=rule)[:2])


@pytest.mark.parametrize(("choice", "perturbation"), CASES)
@pytest.mark.parametrize("baseline", ["measured", "antithetic"])
def test_with_all_imperfections_and_momentum(choice, perturbation, baseline):
    rule = CHOICES[choice] | {"perturbation": perturbation, "baseline": baseline, "tau_x": 5, "tau_p": 3}
    rule |= {"tau_theta": 7, "momentum": 0.5, "weight_decay": 0.01, "clip": 0.02, "schedule": "cosine"}
    run, history, *_ = both(
        "49-4-4", 150, rule=rule | {"schedule_steps": 200}, sigma_C=1e-3, sigma_C_baseline=True, sigma_theta=1e-3,
        spread=0.1, mismatch=0.2, init="glorot",
    )  # fmt: skip
    assert_agree(run, history)


@pytest.mark.parametrize(("choice", "perturbation"), CASES)
def test_networks_of_pictures_step_by_step(choice, perturbation):
    rule = CHOICES[choice] | {"perturbation": perturbation, "tau_x": 3, "tau_theta": 2}
    rule |= {"baseline": "antithetic"} if perturbation == "walsh" else {}
    assert_agree(*both(PICTURES, 60, data=pictures(), rule=rule, spread=0.1, mismatch=0.1)[:2])


@pytest.mark.parametrize("choice", CHOICES)
def test_every_write_at_once(choice):
    assert_agree(*both("2-2-1", 400, rule=CHOICES[choice])[:2])
    if choice == "parameters in turn":  # batches are for parameters
        assert_agree(*both("2-2-1", 100, rule=CHOICES[choice] | {"batch": 3, "tau_x": 2})[:2])


@pytest.mark.parametrize("choice", CHOICES)
def test_a_chip_alone_has_the_bits_it_has_among_others(choice):
    rule = am.MGD(tau_theta=3, tau_x=2, **CHOICES[choice])
    many, alone = (
        am.train(PICTURES, pictures(), rule, steps=40, chips=chips, seed=4, record=("cost", "theta"), record_every=10)
        for chips in (list(range(20)), [17])
    )
    assert np.array_equal(many.record["theta"][:, 17], alone.record["theta"][:, 0])
    assert np.array_equal(many.cost[:, 17], alone.cost[:, 0])


def test_the_estimate_of_one_layer_is_as_good_as_that_of_its_nodes():
    """One layer and one sample: all rows of G are in proportion to x, so the angle is that of N node gradients, cos =
    sqrt(K / (K + N - 1)) in the mean as for parameters, N = 6 and not 54; mean of cos^2 within 5 standard errors."""
    rng = np.random.default_rng(5)
    data = am.Dataset(rng.random((1, 8)), np.eye(6)[[2]])
    net = am.Network.mlp([8, 6], output="linear", cost="cross-entropy")
    steps, chips = 12, 4000
    rule = am.MGD(perturb="nodes", amplitude=1e-4, eta=0.0, tau_theta=steps, tau_x=steps, baseline="antithetic")
    run = am.train(
        net, data, rule, steps=steps, chips=chips, precision="double", record=("gradient",), record_every=steps,
        theta0=np.broadcast_to(np.linspace(-0.5, 0.5, net.n_params), (chips, net.n_params)).copy(),
    )  # fmt: skip
    true = am.gradient(net, data, np.linspace(-0.5, 0.5, net.n_params)).ravel()
    G = run.record["gradient"][-1]
    # E[G.g]^2 / (|g|^2 E|G|^2) = K / (K + N - 1)
    along, square = G @ true / steps, (G**2).sum(axis=1) / steps**2
    g2 = true @ true
    assert abs(along.mean() - g2) < 5 * along.std() / chips**0.5 + 1e-6 * g2
    assert abs(square.mean() - g2 * (steps + 5) / steps) < 5 * square.std() / chips**0.5 + 1e-6 * g2


def test_a_weight_correlates_with_what_it_reads():
    """With converters of two bits, that is the converted input; a mismatch of the elements is not in it."""
    data = am.Dataset(np.array([[0.1, 0.6, 0.9]]), np.array([[1.0, 0.0]]))
    chip = am.Chip(
        am.Network.mlp([3, 2], output="linear"), device=am.device("ideal", amplitude_mismatch=0.5),
        converters=am.Converters(dac_bits=2),
    )  # fmt: skip
    run = am.train(
        chip, data, am.MGD(perturb="nodes", eta=0.0, tau_x=1), steps=1, chips=4, precision="double",
        record=("gradient", "cost_ac"), record_every=1,
    )  # fmt: skip
    G = run.record["gradient"][-1]
    weights, biases = G[:, :6].reshape(4, 2, 3), G[:, 6:]
    np.testing.assert_allclose(np.abs(biases), np.abs(run.record["cost_ac"][-1])[:, None] / 0.01 * [1, 1], rtol=1e-12)
    np.testing.assert_allclose(weights, biases[:, :, None] * np.array([0, 2 / 3, 1]), rtol=1e-12)


@pytest.mark.parametrize(
    ("rule", "chip", "says"),
    [
        ({"perturb": "nodes", "batch": 4}, {}, "rule: perturb = \"nodes\" needs batch = 1, and it is 4"),
        ({"layers": "in-turn", "perturbation": "sequential"}, {}, "layers = \"in-turn\": not with perturbation"),
        ({"layers": "in-turn", "perturbation": "sinusoid"}, {}, "layers = \"in-turn\": not with perturbation"),
        ({"perturb": "nodes"}, {"delay": 2}, "rule.perturb = \"nodes\": not with chip.delay = 2"),
        ({"layers": "in-turn"}, {"delay": 1}, "rule.layers = \"in-turn\": not with chip.delay = 1"),
        ({"perturb": "nodes"}, {"wires": am.Wires(row=5.0, g_unit=1e-4)}, "not with wires that have resistance"),
        ({"perturb": "weights"}, {}, "must be one of \"parameters\", \"nodes\""),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(rule, chip, says):
    with pytest.raises(am.ConfigError) as error:
        am.train(am.Chip(am.Network.mlp([2, 2, 1]), **chip), am.load_dataset("parity"), am.MGD(**rule), steps=10)
    assert says in str(error.value)
    assert "\n" not in str(error.value)

"""Faults: how many, where, and what they do to the chip."""

import numpy as np
import pytest
from scipy import stats

import analogmgd as am

NET = am.Network.mlp([6, 5, 4])
P = NET.n_params
RANGE = {"w_min": -1.0, "w_max": 1.0}
DATA = am.Dataset(*[np.random.default_rng(2).random((9, n)) for n in (6, 4, 6, 4)])
RULE = am.MGD(eta=0.5, amplitude=0.05)


def train(faults, steps=300, device=None, **settings):
    chip = am.Chip(NET, device=device or am.Device(**RANGE), faults=am.Faults(**faults))
    return am.train(chip, DATA, settings.pop("rule", RULE), steps=steps, **{"chips": 64, "seed": 3} | settings)


def layers(theta):
    """Weights (n_out, n_in) and biases of both layers."""
    return (theta[:30].reshape(5, 6), theta[30:35]), (theta[35:55].reshape(4, 5), theta[55:])


def within(found, total, fraction):
    """Whether a count is where 99.9 % of them lie."""
    low, high = stats.binom.interval(0.999, total, fraction)
    return low <= found <= high


def test_dead_lines_by_place():
    """A dead row takes its weights away, a dead column its weights and its bias; neither is ever written."""
    run = train({"dead_rows": [(0, 2), (1, 4)], "dead_columns": [(0, 1)]}, device=am.device("gokmen-vlasov"))
    for theta, pulses in zip(run.theta, run.pulses, strict=True):
        (W, b), (V, _c) = layers(theta)
        assert (W[:, 2] == 0).all()
        assert (W[1] == 0).all()
        assert b[1] == 0
        assert (V[:, 4] == 0).all()
        dead = theta == 0
        assert dead.sum() == 5 + 6 + 1 + 4 - 1
        assert (pulses[dead] == 0).all()
    assert (run.pulses.sum(axis=1) > 0).all()


def test_the_perturbation_of_a_dead_line_has_no_effect():
    """The cost of a chip whose first layer is all dead does not depend on what is done to it."""
    faults = {"dead_columns": [(0, k) for k in range(5)]}
    runs = [
        train(faults, 20, rule=am.MGD(eta=0.0, amplitude=a, perturbation="sequential"), probe_chips=[0])
        for a in (0.01, 0.5)
    ]
    first = runs[0].probe["cost_ac"][:, 0], runs[1].probe["cost_ac"][:, 0]
    assert not first[0].any()
    assert not first[1].any()


def test_dead_neurons():
    """Their output is what was said, whatever the input; without spread the others are untouched."""
    run = train({"dead_neurons": [(1, 2)], "neuron_output": 0.25}, record=("cost",))
    values = run.chip_arrays["neuron"][:, 5 + 2]
    np.testing.assert_array_equal(values, np.tile([0.0, 1.0, 0.0, 0.25], (64, 1)).astype(np.float32))
    others = np.delete(run.chip_arrays["neuron"], 7, axis=1)
    assert (others == np.array([1, 1, 0, 0])).all()


def test_fractions_are_those_asked_for():
    run = train({"rows": 0.1, "columns": 0.05, "neurons": 0.2}, steps=1, chips=2000)
    dead = run.theta == 0
    rows = sum(dead[:, :30].reshape(-1, 5, 6).all(axis=1).sum(axis=0)) + sum(
        dead[:, 35:55].reshape(-1, 4, 5).all(axis=1).sum(axis=0)
    )
    columns = dead[:, 30:35].sum() + dead[:, 55:].sum()
    assert within(columns, 2000 * 9, 0.05)
    assert within(rows, 2000 * 11, 0.1 + 0.9 * 0.05**5)  # a row is all 0 by its columns, too, now and then
    assert within((run.chip_arrays["neuron"][:, :, 0] == 0).sum(), 2000 * 9, 0.2)


def test_stuck_devices_leave_what_the_other_of_the_pair_can_do():
    """Bounds of w = g_plus - g_minus with either stuck, at the places given; both: stuck for good."""
    stuck = [(0, "plus", 0.0), (1, "plus", 1.0), (2, "minus", 0.25), (3, "plus", 0.75), (3, "minus", 0.5)]
    run = train({"stuck": stuck}, steps=2000, rule=am.MGD(eta=20.0, amplitude=0.05))
    low, high = run.chip_arrays["w_min"], run.chip_arrays["w_max"]
    wanted = [(-1, 0), (0, 1), (-0.25, 0.75), (0.25, 0.25), (-1, 1)]
    for p, (a, b) in enumerate(wanted):
        np.testing.assert_array_equal(low[:, p], np.float32(a))
        np.testing.assert_array_equal(high[:, p], np.float32(b))
        assert (run.theta[:, p] >= np.float32(a)).all()
        assert (run.theta[:, p] <= np.float32(b)).all()
    assert (run.pulses[:, 3] == 0).all()
    assert np.ptp(run.theta[:, 4]) > 1


@pytest.mark.parametrize("kind", ["stuck_low", "stuck_high", "stuck_random"])
def test_fraction_of_stuck_devices(kind):
    run = train({kind: 0.1}, steps=1, chips=1000)
    low, high = run.chip_arrays["w_min"], run.chip_arrays["w_max"]
    untouched = ((low == -1) & (high == 1)).sum()
    assert within(untouched, 1000 * P, 0.9**2)
    both = (low == high).sum()
    assert within(both, 1000 * P, 0.1**2)
    if kind == "stuck_random":
        one = (low > -1) & (high == low + 1)  # plus or minus stuck anywhere
        values = np.concatenate([high[one & (high < 1)], 1 - high[one & (high < 1)]])
        assert stats.kstest(values[::2], "uniform").pvalue > 1e-3


def test_endurance():
    """Log-normal lives; what has lived them moves no more, and none gets a pulse more."""
    device = am.device("gokmen-vlasov", dw_min=0.02)
    run = train({"endurance": 40, "endurance_spread": 0.5}, steps=6000, device=device, chips=256, rule=am.MGD(eta=5.0))
    worn = run.pulses
    share = (worn < 6000).mean()
    assert share == 1.0
    later = train(
        {"endurance": 40, "endurance_spread": 0.5}, steps=12_000, device=device, chips=256, rule=am.MGD(eta=5.0)
    )
    stopped = later.pulses == worn
    assert stopped.mean() > 0.9
    lives = worn[stopped]
    assert stats.kstest(np.log(lives + 0.5), stats.norm(np.log(40), 0.5).cdf).statistic < 0.08
    np.testing.assert_array_equal(run.theta[stopped], later.theta[stopped])


def test_noisy_writes_do_not_move_what_is_worn_out():
    """Nor do they program what is stuck."""
    device = am.Device(**RANGE, sigma_theta=0.05, programming_noise=[0.05])
    runs = [
        train({"endurance": 3.0, "stuck": [(7, "plus", 0.5), (7, "minus", 0.2)]}, steps=steps, device=device, chips=4)
        for steps in (20, 40)
    ]
    assert (runs[0].pulses[:, np.arange(P) != 7] == 3).all()
    np.testing.assert_array_equal(runs[0].theta, runs[1].theta)
    np.testing.assert_allclose(runs[0].theta[:, 7], 0.3, rtol=1e-6)


def test_true_gradient_knows_the_dead_lines():
    """The angle of a chip that estimates well goes to 0 only if what is dead has no gradient."""
    rule = am.MGD(perturbation="walsh", eta=0.0, amplitude=0.01, baseline="antithetic", tau_theta=64 * 9, tau_x=64)
    run = train({"rows": 0.3}, steps=64 * 9, rule=rule, record="angle", order="sequential", precision="double")
    assert run.record["angle"][-1].max() < 0.5


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ({"dead_rows": [(0, 6)]}, r"faults.dead_rows: \[0, 6\]: must be less than 6"),
        ({"dead_columns": [(2, 0)]}, "faults.dead_columns: layer 2: must be less than 2"),
        ({"dead_neurons": [(1, 4)]}, r"faults.dead_neurons: \[1, 4\]: must be less than 4"),
        ({"stuck": [(P, "plus", 0.5)]}, f"faults.stuck: parameter {P}: must be less than {P}"),
        ({"stuck": [(0, "left", 0.5)]}, 'must be one of "plus", "minus"'),
        ({"stuck": [(0, "plus", 1.5)]}, "must be at most 1"),
        ({"stuck_low": 1.5}, "must be at most 1"),
        ({"stuck_low": 0.6, "stuck_high": 0.6}, "more than 1 together"),
        ({"rows": -0.1}, "must be at least 0"),
        ({"endurance": 0}, "must be greater than 0"),
        ({"endurance_spread": 0.5}, "needs endurance"),
        ({"dead_rows": [(-1, 0)]}, "must be at least 0"),
        ({"dead_rows": [3]}, "faults.dead_rows"),
    ],
)
def test_faults_that_cannot_be(faults, said):
    with pytest.raises(am.ConfigError, match=said) as caught:
        train(faults, steps=1)
    assert len(str(caught.value).splitlines()) == 1


def test_stuck_needs_a_range():
    with pytest.raises(am.ConfigError, match="needs w_min and w_max"):
        train({"stuck_low": 0.1}, device=am.Device(), steps=1)

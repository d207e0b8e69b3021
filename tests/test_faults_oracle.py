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


def test_both_ways_of_saying_it_are_hit():
    """On these two chips every fraction above breaks something, and not all."""
    drawn = [oracle.broken(ORACLE, SEED, c, 0.3, rows=0.2, columns=0.2, neurons=0.3) for c in CHIPS]
    for part in (np.concatenate([~np.isnan(d.plus) for d in drawn]), np.concatenate([d.open for d in drawn]),
                 np.concatenate([d.dead for d in drawn])):  # fmt: skip
        assert 0 < part.mean() < 1
